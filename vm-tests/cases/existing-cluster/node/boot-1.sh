step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
step 'it has no audit flags' has_no_flags
step 'the manifest is kept' keep manifest manifest
watch_api

step 'status finds nothing in place' exits 3 kube-audit-bootstrap status
step 'plan has something to do' exits 3 kube-audit-bootstrap plan
step 'apply' kube-audit-bootstrap apply
LIMIT=300 step 'another API server answers' eventually another_api_is_ready
step 'it has the 14 audit flags' has_default_flags
step 'events are written' eventually has_events '.stage == "ResponseComplete"'
LIMIT=120 step 'it goes on running' stays_for 25
step 'it was started once' is "$(api_starts)" 1
step 'status finds all in place' kube-audit-bootstrap status
step 'plan has nothing to do' kube-audit-bootstrap plan

watch_api
step 'restore' kube-audit-bootstrap restore
LIMIT=300 step 'another API server answers' eventually another_api_is_ready
step 'it has no audit flags' has_no_flags
step 'the manifest is as it was' is_still manifest manifest
step 'it goes on running' stays_for 25
step 'it was started once' is "$(api_starts)" 1
step 'status finds nothing in place' exits 3 kube-audit-bootstrap status
