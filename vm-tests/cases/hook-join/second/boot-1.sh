step 'cloud-init succeeded' cloud_init_done
step 'the unit of the boot did nothing' \
    is "$(systemctl show -p ConditionResult --value kube-audit-bootstrap.service)" no
step 'kubeadm is the hook' is "$(command -v kubeadm)" /usr/local/bin/kubeadm
step 'its own API server has the 14 audit flags' eventually has_default_flags
step 'its own API server writes events' eventually has_events '.stage == "ResponseComplete"'
step 'policy and log are private' is_private
step 'status finds all in place' kube-audit-bootstrap status
LIMIT=240 step 'kubeadm upgrade node' kubeadm upgrade node --skip-phases=addon --ignore-preflight-errors=all
step 'its own API server has the 14 audit flags' eventually has_default_flags
step 'status finds all in place' eventually kube-audit-bootstrap status
step 'the first node is told' eventually announce second-is-done
step 'the first node has seen that' eventually was_announced first-has-seen
