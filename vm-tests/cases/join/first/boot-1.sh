step 'the API server answers' eventually api_is_ready
LIMIT=240 step 'the second node has joined as a control plane' eventually is_control_plane second
LIMIT=120 step 'the second node is done' eventually kubectl -n default get configmap second-is-done
