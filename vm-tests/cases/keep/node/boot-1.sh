step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
watch_api
audit_by_hand
LIMIT=300 step 'an administrator makes it audit' eventually another_api_is_ready
step 'it records by that policy' eventually records_by_it
step 'the policy is kept' keep policy cat "$POLICY"
step 'the mounts are counted' keep mounts mount_count

configure 'existing: keep'
LIMIT=300 step 'apply --wait adds what is missing, and proves it' kube-audit-bootstrap apply --wait "$LONG"
step 'it adds no mount' is_still mounts mount_count
step "the policy is the administrator's" is_still policy cat "$POLICY"
step 'it records by that policy' eventually records_by_it
step 'it has a flag that was missing' has_flag --audit-log-maxage=30
watch_api
step 'a second apply --wait has nothing to do' says 'nothing to do' kube-audit-bootstrap apply --wait "$LONG"
step 'the API server was not restarted' is "$(api_starts)" 0
step "the policy is still the administrator's" is_still policy cat "$POLICY"
step 'it still records by that policy' eventually records_by_it
step 'nothing was made where only the container sees it' lacks_paths
step 'status finds all in place' kube-audit-bootstrap status

rm /etc/kube-audit-bootstrap/config.yaml
step 'a policy is mounted into the node' mount_policy
step 'plan foresees that it cannot be replaced' \
    says 'to keep the policy that is mounted, use --existing keep' exits 1 kube-audit-bootstrap plan
step 'apply refuses in the same words' \
    says 'to keep the policy that is mounted, use --existing keep' exits 1 kube-audit-bootstrap apply
step 'the API server was not restarted' is "$(api_starts)" 0
