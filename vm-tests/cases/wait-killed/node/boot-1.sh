step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
step 'it has the 14 audit flags' has_default_flags
step 'the manifest is kept' keep audited manifest
bad_webhook
LIMIT=300 step 'a run is killed when the old API server takes no more requests' killed_at 'takes no more requests'
step 'the manifest is another one by then' exits 1 is_still audited manifest
LIMIT=300 step 'the next run goes on with it, and puts back what the killed run changed' \
    says 'unable to load root certificates.*everything is as it was' exits 4 kube-audit-bootstrap apply --wait 4m
step 'the manifest is the previous one' is_still audited manifest
step 'the API server answers, with the previous flags' eventually has_default_flags
step 'it audits' kube-audit-bootstrap verify
