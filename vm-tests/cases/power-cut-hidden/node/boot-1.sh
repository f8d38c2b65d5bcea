step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
cut_while_hidden 1
