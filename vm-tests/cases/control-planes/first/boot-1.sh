step 'the API server answers' eventually api_is_ready
LIMIT=240 step 'the second node has joined as a control plane' eventually is_control_plane second
LIMIT=120 step 'its API server is ready' eventually was_announced second-is-ready
LIMIT=300 step 'apply --wait proves the API server of this node' \
    says 'it recorded a request' kube-audit-bootstrap apply --wait "$LONG"
step 'it has the 14 audit flags' has_default_flags
step 'the second node is told' eventually announce first-is-done
LIMIT=300 step 'the second node is done' eventually was_announced second-is-done
step 'status finds all in place' kube-audit-bootstrap status
# Neither of two members of etcd works without the other, so the second node ends only when the first has seen all.
step 'the second node is told' eventually announce first-has-seen
