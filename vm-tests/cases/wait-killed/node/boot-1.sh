step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
step 'it has the 14 audit flags' has_default_flags
cp "$MANIFEST" "$WORK/audited"
bad_webhook
LIMIT=300 step 'a run is killed when the old API server takes no more requests' killed_at 'takes no more requests'
step 'the manifest is another one by then' exits 1 cmp -s "$MANIFEST" "$WORK/audited"
LIMIT=300 step 'the next one goes on with it, and puts back what the killed one changed: a webhook that can not be' \
    says 'no/such/ca.crt.*everything is as it was' exits 4 kube-audit-bootstrap apply --wait 4m
step 'the manifest is the one from before' cmp "$MANIFEST" "$WORK/audited"
step 'the API server answers, with the flags from before' eventually has_default_flags
step 'it audits' kube-audit-bootstrap verify
