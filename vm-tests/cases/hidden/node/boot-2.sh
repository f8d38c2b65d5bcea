step 'the boot makes a link to the hidden manifest' is "$(readlink "$MANIFEST")" "$HIDDEN"
step 'the kubelet reads it, and the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
watch_api
LIMIT=300 step 'the next run proves what is there' says '^proof .* recorded' kube-audit-bootstrap apply --wait "$LONG"
step 'the manifest is no link any more' is "$(stat -c %F "$MANIFEST")" 'regular file'
step 'nothing is left of the net' has_no_net
LIMIT=120 step 'the API server goes on running' stays_for 25
step 'it was not started for that' is "$(api_starts)" 0
step 'a boot makes a link where there is no manifest, and only there' links_at_boot
