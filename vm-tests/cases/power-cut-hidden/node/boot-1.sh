step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
LIMIT=900 step 'a run hides the manifest for a moment' measure
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready
cut_in_the_moment 1
