step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
rare_policy
LIMIT=300 step 'what the policy records is rare, and apply --wait says so' \
    says 'nothing that its policy records has happened' kube-audit-bootstrap apply --wait "$LONG"

cp /etc/kubernetes/admin.conf "$WORK/admin.conf"
rm -r /etc/kube-audit-bootstrap
step 'admin.conf gets the certificate of another authority' spoil_admin_conf
LIMIT=300 step 'a refusal is an answer, and other requests are traffic' \
    says 'it recorded what the cluster does|it recorded a request' kube-audit-bootstrap apply --wait "$LONG"
LIMIT=60 step 'verify says the same' \
    says 'it recorded what the cluster does|it recorded a request' kube-audit-bootstrap verify
cp "$WORK/admin.conf" /etc/kubernetes/admin.conf
mv /usr/bin/kubectl /usr/bin/kubectl.away
LIMIT=60 step 'without kubectl there is still what the cluster does' \
    says 'it recorded what the cluster does' kube-audit-bootstrap verify
mv /usr/bin/kubectl.away /usr/bin/kubectl
step 'the manifest is kept' keep audited manifest

bad_webhook
LIMIT=300 step 'a run is killed while it puts the node back' killed_at '; rolling back'
LIMIT=300 step 'the next run puts it back' says 'everything is as it was' exits 4 kube-audit-bootstrap apply --wait 90s
step 'the manifest is the previous one' is_still audited manifest

step 'the backups have a small disk' small_disk
fill_disk &
LIMIT=300 step 'on a full disk the manifest alone is put back' \
    says 'only the manifest could be rolled back.*API server answers again' exits 1 kube-audit-bootstrap apply --wait 90s
step 'the manifest is the previous one' is_still audited manifest
LIMIT=120 step 'the API server answers' eventually api_is_ready
step 'it has the 14 audit flags' has_default_flags
