step 'the API server answers' eventually api_is_ready
LIMIT=240 step 'the second node has joined as a control plane' eventually is_control_plane second
LIMIT=120 step 'the second node is done' eventually was_announced second-is-done
# Neither of two members of etcd works without the other, so the second node ends only when the first has seen all.
step 'the second node is told' eventually announce first-has-seen
