step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
ask_api
LIMIT=300 step 'apply --wait proves the API server' kube-audit-bootstrap apply --wait "$LONG"
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

policy today
mv /etc/tmpfiles.d /etc/tmpfiles.away
forget_answers
LIMIT=300 step 'without a net nothing is hidden' \
    says_nothing_of 'has finished the previous pod' kube-audit-bootstrap apply --wait "$LONG"
today=$(absence)
mv /etc/tmpfiles.away /etc/tmpfiles.d
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

# A kubelet that starts gives a pod whose manifest is gone one second to end, and starts the new one beside it
# (kubernetes `pkg/kubelet/kubelet.go`, `SyncTerminatingRuntimePod`). The API server may lose events by that, and the
# new one may find its port taken, and start again. So neither is judged here.
disturbed 'stops for 5 s' without_kubelet 5
disturbed restarts systemctl restart kubelet
disturbed 'stops for 1 s' without_kubelet 1

bad_webhook
edit_in_rollback &
LIMIT=400 step 'a rollback hides the manifest, and somebody else writes one' \
    says 'everything is as it was.*except for [^ ]*/kube-apiserver.yaml, which something else has changed' \
    exits 4 kube-audit-bootstrap apply --wait "$LONG"
step 'it did so while it was hidden' test -e "$WORK/edited"
step 'an API server runs with what somebody else wrote' eventually has_word --v=3
step 'it has no webhook' lacks audit-webhook "$MANIFEST"
step 'it answers' eventually api_is_ready
step 'nothing is left' eventually has_no_net
