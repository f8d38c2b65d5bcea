step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
ask_api

forget_answers
LIMIT=300 step 'apply --wait ends the old API server, and proves the new one' \
    says 'the previous API server is ended' kube-audit-bootstrap apply --wait "$LONG"
first=$(absence)
step 'the new manifest was hidden until the kubelet had finished the old pod' \
    grep 'the kubelet has finished the previous pod' "$WORK/said"
step 'nothing of its net is left' eventually has_no_net
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

policy_for a-user
ask_numbers
watch_api
forget_answers
LIMIT=300 step 'an old API server that audited is ended once it has written its events' \
    ended_or_left kube-audit-bootstrap apply --wait "$LONG"
second=$(absence)
ask_no_more
step 'another API server runs' another_api_is_ready
step 'it was started once' is "$(api_starts)" 1
step 'its policy is the new one' has_events '.level == "Request" and .objectRef.resource == "configmaps"'
step 'apply has nothing to do' writes_nothing kube-audit-bootstrap apply
step 'every request that was answered has one event' eventually all_are_recorded
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

# Without a net, the new manifest is not hidden.
policy_for another-user
mv /etc/tmpfiles.d /etc/tmpfiles.away
forget_answers
LIMIT=300 step 'without a net nothing is hidden' \
    says_nothing_of 'has finished the previous pod' kube-audit-bootstrap apply --wait "$LONG"
third=$(absence)
mv /etc/tmpfiles.away /etc/tmpfiles.d
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

watch_api
old=$(api_container)
forget_answers
kubectl get --raw '/api/v1/namespaces?watch=true' >"$WORK/watched" &
step 'somebody watches' eventually test -s "$WORK/watched"
edit_manifest 's/^  annotations:/&\n    edited: by-hand/'
LIMIT=300 step 'another API server answers after a bare edit' eventually another_api_is_ready
floor=$(absence)
step 'the old API server ran until the kubelet killed it' was_killed "$old"
away="for $first s and $second s; for $third s, as nothing was hidden; and for $floor s after a bare edit"
if emulated; then
    tell "NOT JUDGED: the API server was away $away; on a slow node a start takes longer than the end of an old one"
else
    step "the API server was away $away" are_short "$first" "$second" "$third" "$floor"
fi
