step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready

step 'verify says that there are no audit flags' says 'no audit flags' exits 1 kube-audit-bootstrap verify
watch_api
LIMIT=300 step 'apply --wait proves it' kube-audit-bootstrap apply --wait "$LONG"
step 'another API server answers' another_api_is_ready
step 'it has the 14 audit flags' has_default_flags
step 'it was started once' is "$(api_starts)" 1
step 'verify proves it again' kube-audit-bootstrap verify
step 'and has its own request in the log' has_events '(.requestURI // "") | contains("kube-audit-bootstrap=")'

systemctl stop kubelet
step 'without a kubelet apply --wait changes nothing' \
    writes_nothing says 'kubelet' exits 1 kube-audit-bootstrap apply --wait "$LONG"
step 'verify needs no kubelet' kube-audit-bootstrap verify
