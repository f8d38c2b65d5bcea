step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
LIMIT=300 step 'apply leaves the configuration of the cluster' \
    kube-audit-bootstrap apply --no-cluster --wait "$LONG"
heal_patiently
step 'self-healing is enabled' systemctl enable --now kube-audit-bootstrap-heal.path
LIMIT=120 step 'its pod is ready' eventually api_pod_is_ready
# kubeadm upgrades to the version that the node has, which does the same to the manifest.
LIMIT=400 step 'kubeadm upgrades' upgrade_with kubeadm @VERSION@ --force --etcd-upgrade=false
# kubeadm renders the manifest from the cluster's configuration, which nobody edited.
step 'the manifest has no audit flags' is "$(grep -c audit "$MANIFEST")" 0
LIMIT=180 step 'self-healing puts them back' eventually has_default_flags
LIMIT=180 step 'the API server is proved to audit' eventually kube-audit-bootstrap verify
step 'it was repaired once' is "$(kube-audit-bootstrap status --output json | jq '.selfHealing.repairs | length')" 1
step 'now the configuration of the cluster has them, too' \
    says audit-policy-file kubectl -n kube-system get configmap kubeadm-config -o yaml
