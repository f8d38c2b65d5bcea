step 'Docker answers' docker info
trap clean_up EXIT
step 'a node image is built with the program in front of kubeadm' build_image
LIMIT=300 step 'kind creates a cluster of two nodes' create_cluster_slowly
step 'the API server answers' eventually api_is_ready
step 'the control plane is ready' eventually kind_node_is_ready
step 'events are written' eventually node_has_events '.level == "Metadata" and .stage == "ResponseComplete"'
step 'status finds all in place' in_node kube-audit-bootstrap status
fetch_log
tell "EVENTS $(events true)"

export NODE=$CLUSTER-worker
step 'the worker is ready' eventually kind_node_is_ready
step 'kubeadm is the hook there, too' calls_the_hook
step 'status finds a worker, with nothing to do' finds_a_worker
step 'it has no policy and no log' in_node test ! -e /etc/kubernetes/audit-policy.yaml -a ! -e /var/log/kubernetes
