# This is each boot after a cut.
step 'the manifest is the previous one or the new one' is_old_or_new
step 'the API server answers' eventually api_is_ready
LIMIT=600 step 'the next run proves it' kube-audit-bootstrap apply --wait "$LONG"
step 'nothing that hides a manifest is left' has_no_net
step 'status finds all in place' kube-audit-bootstrap status
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready
if [ "$BOOT" -le "$(cat /case/cuts)" ]; then
    cut_while_hidden "$BOOT"
fi
