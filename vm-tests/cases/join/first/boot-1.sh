step 'the API server answers' eventually api_is_ready
LIMIT=240 step 'the second node has joined as a control plane' eventually is_control_plane second
LIMIT=120 step 'the second node is done' eventually was_announced second-is-done
# Of two members of etcd, none can do without the other: the second one ends when this is known to both.
step 'the second node is told' eventually announce first-has-seen
