step 'Docker answers' docker info
trap clean_up EXIT
step 'a node image is built with the program in front of kubeadm' build_image
LIMIT=300 step 'kind creates a cluster' create_cluster_slowly
step 'the API server answers' eventually api_is_ready
step 'the node is ready' eventually kind_node_is_ready
step 'kubeadm is the hook' calls_the_hook
step 'status finds all in place, on a volume that outlives the container' \
    says '^directory +persistent .* at /var ' in_node kube-audit-bootstrap status
step 'events are written' eventually node_has_events '.level == "Metadata" and .stage == "ResponseComplete"'
first=$(first_event)
step 'there is a first event' test -n "$first"
step 'the node is restarted' docker restart "$NODE"
restarted=$(date -u +%FT%TZ)
step 'the API server answers again' eventually api_is_ready
step 'the first event is still the same' starts_with "$first"
step 'new events are written' eventually node_has_events ".requestReceivedTimestamp > \"$restarted\""
fetch_log
tell "EVENTS $(events true)"
