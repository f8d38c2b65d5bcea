step 'the API server answers' eventually api_is_ready
step 'it has no audit flags' has_no_flags
step 'the manifest is kept' keep manifest manifest
# apply on a copy makes the files that apply must make later.
mkdir -p /tmp/copy/etc/kubernetes/manifests
cp "$MANIFEST" /tmp/copy/etc/kubernetes/manifests/
step 'apply on a copy' kube-audit-bootstrap apply --root /tmp/copy
cp "/tmp/copy$MANIFEST" "$WORK/edited"
step 'which edits the manifest' exits 1 cmp "$(kept manifest)" "$WORK/edited"
cp /tmp/copy/etc/kubernetes/audit-policy.yaml "$WORK/policy"
# apply also edits the cluster's own configuration, which takes seconds on an emulated machine.
cut_power 20000 back_and_forth
