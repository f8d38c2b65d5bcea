step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
step 'the manifest is kept' keep manifest manifest
step 'the configuration of the cluster is kept' keep configuration cluster_data
ask_api

spoil_policy &
forget_answers
LIMIT=300 step 'a policy that the API server refuses is put back' \
    says 'illegal policy with 0 rules.*everything is as it was.*except for /etc/kubernetes/audit-policy.yaml' \
    exits 4 kube-audit-bootstrap apply --wait "$LONG"
refused=$(absence)
step 'the API server answers' eventually api_is_ready
step 'it has no audit flags' has_no_flags
step 'what somebody else wrote is not lost' grep -x 'rules: \[\]' /etc/kubernetes/audit-policy.yaml
rm /etc/kubernetes/audit-policy.yaml
step 'the manifest is as it was' is_as_it_was
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

# The manifest differs from the previous one. The kubelet remembers how often the pod of a manifest ended, and waits
# before it starts that pod again.
configure 'storage: {require: any, headroom: any}' 'log: {maxAge: 31}'
step 'the log has a disk of its own' small_log_disk
fill_log_disk &
forget_answers
LIMIT=400 step 'a log that can not be written is put back' \
    says 'no event.*everything is as it was' exits 4 kube-audit-bootstrap apply --wait "$(a_while)"
unwritable=$(absence)
step 'the API server answers' eventually api_is_ready
step 'it has no audit flags' has_no_flags
step 'the node is as it was' is_as_it_was
step 'so is the configuration of the cluster' is_still configuration cluster_data
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

watch_api
forget_answers
edit_manifest 's/^  annotations:/&\n    edited: by-hand/'
LIMIT=300 step 'another API server answers after a bare edit' eventually another_api_is_ready
floor=$(absence)
away="at a time, for $refused s with the policy, for $unwritable s with the log, and for $floor s after a bare edit"
if emulated; then
    tell "NOT JUDGED: the API server was away, $away; on a slow node a start takes longer than the end of an old one"
else
    step "the API server was away, $away" are_bounded "$refused" "$unwritable" "$floor"
fi
