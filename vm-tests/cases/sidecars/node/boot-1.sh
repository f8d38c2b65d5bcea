step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
step 'a pod gets a name that begins the same' pod_with_a_like_name
step 'it ends again and again' eventually has_ended_twice

configure 'log: {path: "-"}'
LIMIT=300 step 'apply --wait counts no start of another container' \
    says 'proof .*recorded a request for /version' kube-audit-bootstrap apply --wait "$LONG"
step 'it is the API server of this manifest' eventually has_flag --audit-log-path=-
LIMIT=60 step 'verify finds the events beside those of a sidecar' \
    says 'recorded a request for /version' kube-audit-bootstrap verify
