step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
LIMIT=300 step 'apply' kube-audit-bootstrap apply --wait "$LONG"
step 'status finds all in place' says '^running +ok' kube-audit-bootstrap status

# The kernel still takes its connections.
PROCESS=$(api_pid)
step 'the API server is stopped' kill -STOP "$PROCESS"
LIMIT=12 step 'status tells that it does not answer' \
    says "^running +silent +kube-apiserver \\($PROCESS\\) +does not answer; see the warning" exits 3 kube-audit-bootstrap status
step 'it goes on' kill -CONT "$PROCESS"
step 'it answers' eventually api_is_ready
step 'status finds all in place' eventually says '^running +ok' kube-audit-bootstrap status

# A watch keeps an API server that is being ended.
kubectl get --raw '/api/v1/namespaces?watch=true&timeoutSeconds=600' >/dev/null &
step 'somebody watches' sleep 1
step 'it is being ended' kill -TERM "$PROCESS"
step 'status tells it' eventually says '^running +starting' exits 3 kube-audit-bootstrap status
