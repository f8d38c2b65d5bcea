step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready

policy first
watch_api
LIMIT=300 step 'a run is killed when the new API server runs' killed_at 'it runs with the flags'
step 'status reports the missing proof' says '^proof +missing' kube-audit-bootstrap status
LIMIT=300 step 'the next run proves what is there' says '^proof .* recorded' kube-audit-bootstrap apply --wait "$LONG"
step 'another API server runs' another_api_is_ready
step 'status reports no missing proof' says_nothing_of '^proof' kube-audit-bootstrap status

policy second
watch_api
LIMIT=300 step 'a run is killed when the new API server answers' killed_at 'it answers'
LIMIT=300 step 'the next run proves what is there' says '^proof .* recorded' kube-audit-bootstrap apply --wait "$LONG"
step 'another API server runs' another_api_is_ready
