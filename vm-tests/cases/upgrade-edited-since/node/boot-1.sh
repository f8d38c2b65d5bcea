step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
watch_api
step 'apply' kube-audit-bootstrap apply
LIMIT=300 step 'another API server answers' eventually another_api_is_ready
step 'it has the 14 audit flags' has_default_flags
LIMIT=120 step 'its pod is ready' eventually api_pod_is_ready
LIMIT=400 step 'kubeadm upgrades' upgrade @NEXT@
step 'the API server answers' eventually api_is_ready
step 'it is the next version' is "$(kubectl get --raw /version | jq -r .gitVersion)" v@NEXT@
step 'it has the 14 audit flags' has_default_flags
step 'status finds all in place' kube-audit-bootstrap status
watch_api
step 'restore takes only the settings out of what the upgrade wrote' \
    says 'kube-apiserver.yaml: something else changed this, too, and that stays' kube-audit-bootstrap restore
LIMIT=300 step 'another API server answers' eventually another_api_is_ready
step 'it is still the next version' is "$(kubectl get --raw /version | jq -r .gitVersion)" v@NEXT@
step 'it has no audit flags' has_no_flags
