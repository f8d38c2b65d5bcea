step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
step 'the node has no address of IPv4 but that of lo' is "$(ip -4 -o addr show scope global)" ''
step 'the manifest is kept' keep bare manifest
LIMIT=300 step 'apply --wait proves it' \
    says 'proof .*recorded a request for /version' kube-audit-bootstrap apply --wait "$LONG"
step 'status finds all in place' says '^running +ok' kube-audit-bootstrap status
LIMIT=60 step 'restore puts it back' kube-audit-bootstrap restore
step 'the manifest is as it was' is_still bare manifest
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

bad_webhook
LIMIT=300 step 'what is not proved is put back' \
    says 'root certificates.*everything is as it was' exits 4 kube-audit-bootstrap apply --wait 4m
step 'the manifest is as it was' is_still bare manifest
