step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
cp "$MANIFEST" "$WORK/manifest"

bad_webhook
LIMIT=300 step 'a run is killed when the old API server takes no more requests' killed_at 'takes no more requests'
step 'status tells of it' says '^proof +missing' kube-audit-bootstrap status
LIMIT=300 step 'the next one goes on with it, and puts back what the killed one changed' \
    says 'no/such/ca.crt.*everything is as it was' exits 4 kube-audit-bootstrap apply --wait 4m
step 'the manifest is the one from before' cmp "$MANIFEST" "$WORK/manifest"
step 'the API server answers, without audit flags' eventually has_no_flags
LIMIT=120 step 'its pod is ready' eventually api_pod_is_ready

policy second
watch_api
LIMIT=300 step 'a run is killed when the new API server runs' killed_at 'it runs with the flags'
LIMIT=300 step 'the next one proves what is there' says '^proof .* recorded' kube-audit-bootstrap apply --wait 4m
step 'the API server is another one' another_api_is_ready

policy third
watch_api
LIMIT=300 step 'a run is killed when the new API server answers' killed_at 'it answers'
LIMIT=300 step 'the next one proves what is there' says '^proof .* recorded' kube-audit-bootstrap apply --wait 4m
step 'the API server is another one' another_api_is_ready

cp "$MANIFEST" "$WORK/audited"
bad_webhook
LIMIT=300 step 'a run is killed while it puts the node back' killed_at 'putting everything back'
LIMIT=300 step 'the next one puts it back' says 'everything is as it was' exits 4 kube-audit-bootstrap apply --wait 4m
step 'the manifest is the one from before' cmp "$MANIFEST" "$WORK/audited"
policy third
step 'nothing is left to do' kube-audit-bootstrap status
step 'and the API server audits' kube-audit-bootstrap verify
