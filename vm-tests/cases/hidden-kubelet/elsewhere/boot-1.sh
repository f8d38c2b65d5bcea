step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
LIMIT=300 step 'apply --wait proves the API server' kube-audit-bootstrap apply --wait "$LONG"
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

step 'another pod runs an API server' second_api_server
policy second
LIMIT=300 step 'the manifest is hidden, and the other API server runs on' is_hidden_beside_it
step 'nothing is left' eventually has_no_net
step 'the other pod ends' is_alone
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

ask_numbers 500
step 'the manifest becomes a link' make_link
policy link
LIMIT=300 step 'it is not hidden' not_hidden 'is a link, or below one'
step 'it is still a link' is_still_a_link
step 'it becomes a file again' in_place "/etc/kubernetes/elsewhere/${MANIFEST##*/}" "$MANIFEST"
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

step 'the kubelet watches another directory' bind
policy unwatched
LIMIT=300 step 'the manifest is not hidden' not_hidden 'nothing tells the kubelet of changes in the manifest directory'
step 'the kubelet watches its directory again' unbind
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

step 'the manifests are in memory' in_memory
step 'the API server answers' eventually api_is_ready
policy memory
LIMIT=300 step 'the manifest is not hidden' not_hidden 'the manifest directory is on a file system of its own'
ask_no_more
step 'every request that was answered has one event' eventually all_are_recorded
