# This is each boot after a cut.
step 'the manifest is the previous one or the new one' is_old_or_new
step 'the API server answers' eventually api_is_ready
LIMIT=600 step 'the next run proves it' kube-audit-bootstrap apply --wait "$LONG"
step 'the manifest is the new one, and no link' is "$(stat -c %F "$MANIFEST")" 'regular file'
step 'it is the new one' cmp "$MANIFEST" "$WORK/new"
step 'nothing that hides a manifest is left' has_no_net
step 'status finds all in place' kube-audit-bootstrap status
cuts=$(cat /case/cuts)
if [ "$BOOT" -le "$cuts" ]; then
    LIMIT=300 step 'its pod is ready' eventually api_pod_is_ready
    cut_in_the_moment "$BOOT"
fi
# So many cuts can't all have come before the manifest was hidden, or all after that.
[ "$cuts" -lt 10 ] || step 'cuts came while the manifest was hidden' grep hidden "$WORK/found"
