step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
etcd_away &
LIMIT=300 step 'proved' kube-audit-bootstrap apply --wait "$LONG"
step 'it has the 14 audit flags' has_default_flags
