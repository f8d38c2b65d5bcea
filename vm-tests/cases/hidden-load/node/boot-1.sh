step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
# It has events from its start on.
LIMIT=300 step 'the API server audits' kube-audit-bootstrap apply --wait "$LONG"
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

ask_much 200 20
LIMIT=180 step '200 workers ask, and 20 watch' eventually asks
for change in first second third; do
    policy "$change"
    watch_api
    LIMIT=300 step "the manifest of the $change change is hidden" \
        says 'the kubelet has finished the previous pod' kube-audit-bootstrap apply --wait "$LONG"
    step 'the old API server was ended' grep 'the previous API server is ended' "$WORK/said"
    LIMIT=180 step 'another API server answers' eventually another_api_is_ready
    step 'it was started once' is "$(api_starts)" 1
    LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready
done
step 'they still ask' eventually asks
ask_no_more
LIMIT=180 step 'every request that was answered has one event' eventually all_and_watches_are_recorded
tell "ASKED $(wc -l <"$WORK/answered") requests and $(wc -l <"$WORK/watched") watches were answered"
