step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready

# Somebody else's edit. The API server hasn't restarted with it yet.
edit='s/^    - kube-apiserver$/&\n    - --no-such-flag=1/'
step 'the manifest is kept as it will be' keep bad sed "$edit" "$MANIFEST"
edit_manifest "$edit"
LIMIT=300 step 'apply --wait names the flag, and what is still wrong when all is put back' \
    says 'unknown flag: --no-such-flag.* files are as they were.*there are problems.*no-such-flag.*restore' \
    exits 4 kube-audit-bootstrap apply --wait 2m
step 'the manifest is the previous one' is_still bad manifest

edit_manifest '/no-such-flag/d'
LIMIT=300 step 'without the flag the API server answers' eventually api_is_ready
step 'it has no audit flags' has_no_flags
LIMIT=300 step 'and can be made to audit' kube-audit-bootstrap apply --wait "$LONG"
