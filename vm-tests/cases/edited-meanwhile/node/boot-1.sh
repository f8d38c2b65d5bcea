step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready

edit_meanwhile &
LIMIT=300 step 'the API server of the edited manifest is proved' \
    says 'manifests/kube-apiserver.yaml: something else changed' kube-audit-bootstrap apply --wait "$LONG"
step 'it has the flag of the edit' eventually exits 0 pgrep -f -- '--enable-bootstrap-token-auth=false.*--v=3|--v=3.*--enable-bootstrap-token-auth=false'
step 'it has the 14 audit flags' has_default_flags
step 'nothing is left to do' kube-audit-bootstrap status
