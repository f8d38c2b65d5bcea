step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready

configure 'restart: {drain: 20s}'
old=$(api_container)
ask_slowly
step 'requests are under way' eventually test -s "$WORK/slow"
LIMIT=300 step 'the old API server has 20 s for those under way' says 'it has 20 s for those under way' kube-audit-bootstrap apply --wait "$LONG"
step 'then it is ended' grep 'it is ended' "$WORK/said"
step 'and not by the kubelet' was_not_killed "$old"
ask_no_more
step 'requests came to their end' grep -x '200 0' "$WORK/slow"
step 'and none that was answered was cut' lacks '^200 [^0]' "$WORK/slow"
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

configure 'restart: {mode: graceful}' 'log: {maxAge: 31}'
watch_api
old=$(api_container)
kubectl get --raw '/api/v1/namespaces?watch=true' >"$WORK/watched" &
step 'somebody watches' eventually test -s "$WORK/watched"
LIMIT=300 step 'apply --wait leaves the old API server to the kubelet' \
    says_nothing_of 'takes no more requests|it is ended|it is left' kube-audit-bootstrap apply --wait "$LONG"
step 'which killed it' was_killed "$old"
step 'the API server is another one, and answers' another_api_is_ready
step 'with the other setting' has_flag --audit-log-maxage=31
