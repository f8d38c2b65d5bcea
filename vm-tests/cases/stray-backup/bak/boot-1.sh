step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready

# This name sorts after that of the manifest. The kubelet runs the copy, whatever is done to the manifest.
watch_api
cp "$MANIFEST" "$MANIFEST.bak"
step 'the flags are put in by hand' edit_by_hand
step 'the manifest has them' grep audit-policy-file "$MANIFEST"
LIMIT=300 step 'another API server answers' eventually another_api_is_ready
LIMIT=120 step 'it goes on running' stays_for 25
step 'it has no audit flags' has_no_flags

watch_api
step 'the copy is kept' keep copy cat "$MANIFEST.bak"
step 'apply moves the copy away' kube-audit-bootstrap apply
step 'a backup has the copy' is_backed_up "$(kept copy)"
step 'the copy is gone' test ! -e "$MANIFEST.bak"
LIMIT=300 step 'another API server answers' eventually another_api_is_ready
step 'it has the 14 audit flags' has_default_flags
LIMIT=120 step 'it goes on running' stays_for 25
step 'it was started once' is "$(api_starts)" 1
step 'events are written' eventually has_events '.stage == "ResponseComplete"'
