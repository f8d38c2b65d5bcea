step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
step 'it has the 14 audit flags' has_default_flags
LIMIT=400 step 'kubeadm upgrades' upgrade @NEXT@
step 'the API server answers' eventually api_is_ready
step 'it is the next version' is "$(kubectl get --raw /version | jq -r .gitVersion)" v@NEXT@
step 'it has the 14 audit flags' has_default_flags
upgraded=$(date -u +%FT%TZ)
step 'new events are written' eventually has_events ".requestReceivedTimestamp > \"$upgraded\""
step 'apply has nothing to do' writes_nothing kube-audit-bootstrap apply
