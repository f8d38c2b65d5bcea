step 'the API server answers' eventually api_is_ready
LIMIT=240 step 'the second node has joined as a control plane' eventually kubectl get node second -o 'jsonpath={.metadata.labels.node-role\.kubernetes\.io/control-plane}'
LIMIT=120 step 'the second node is done' eventually kubectl -n default get configmap second-is-done
