step 'cloud-init succeeded' cloud_init_done
step 'the unit of the boot did nothing' \
    is "$(systemctl show -p ConditionResult --value kube-audit-bootstrap.service)" no
step 'kubeadm is the hook' is "$(command -v kubeadm)" /usr/local/bin/kubeadm
step 'the API server answers' eventually api_is_ready
step 'it has the 14 audit flags' has_default_flags
LIMIT=240 step 'the second node has joined as a control plane' eventually is_control_plane second
LIMIT=240 step 'the second node is done' eventually was_announced second-is-done
LIMIT=240 step 'the worker is done' eventually worker_is_done
# Neither of two members of etcd works without the other, so the second node ends only when the first has seen all.
step 'the second node is told' eventually announce first-has-seen
