step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready

configure 'restart: {drain: 20s}'
old=$(api_container)
ask_slowly
step 'requests are under way' eventually test -s "$WORK/slow"
LIMIT=300 step 'the old API server has 20 s for requests under way' \
    says 'running requests have 20 s to end' kube-audit-bootstrap apply --wait "$LONG"
step 'apply --wait ends it then' grep 'the previous API server is ended' "$WORK/said"
step 'the kubelet did not kill it' was_not_killed "$old"
ask_no_more
step 'requests were answered in full' grep -x '200 0' "$WORK/slow"
step 'no request was cut off while it was answered' lacks '^200 [^0]' "$WORK/slow"
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

configure 'restart: {mode: graceful}' 'log: {maxAge: 31}'
watch_api
old=$(api_container)
kubectl get --raw '/api/v1/namespaces?watch=true' >"$WORK/watched" &
step 'somebody watches' eventually test -s "$WORK/watched"
LIMIT=300 step 'apply --wait leaves the old API server to the kubelet' \
    says_nothing_of 'takes no more requests|is ended|is left to the kubelet' kube-audit-bootstrap apply --wait "$LONG"
step 'the kubelet killed it' was_killed "$old"
step 'another API server answers' another_api_is_ready
step 'with the other setting' has_flag --audit-log-maxage=31
