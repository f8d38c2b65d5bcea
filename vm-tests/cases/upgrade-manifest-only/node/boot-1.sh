step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
watch_api
step 'apply' kube-audit-bootstrap apply --no-cluster
LIMIT=300 step 'another API server answers' eventually another_api_is_ready
step 'it has the 14 audit flags' has_default_flags
LIMIT=120 step 'its pod is ready' eventually api_pod_is_ready
LIMIT=400 step 'kubeadm upgrades' upgrade @NEXT@
step 'the API server answers' eventually api_is_ready
step 'it is the next version' is "$(kubectl get --raw /version | jq -r .gitVersion)" v@NEXT@
# kubeadm renders the manifest from the cluster's configuration, which nobody edited.
step 'it has no audit flags' has_no_flags
step 'status finds them missing' says '^manifest +differs' exits 3 kube-audit-bootstrap status
