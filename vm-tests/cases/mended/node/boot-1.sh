step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
step 'the manifest is kept' keep manifest manifest
step 'the configuration of the cluster is kept' keep configuration cluster_data

LIMIT=300 step 'a rollback is killed when the manifest is back' kills_rollback
step 'the API server answers' eventually api_is_ready
step 'it has no audit flags' has_no_flags
step 'status tells what is left' \
    says 'still has the settings, and the node does not: run restore 20' exits 3 kube-audit-bootstrap status
step 'restore --list tells what it was' says 'Z  rollback' kube-audit-bootstrap restore --list
LIMIT=300 step 'self-healing finishes the rollback' kube-audit-bootstrap apply --heal --wait "$LONG"
step 'the configuration of the cluster is as it was' is_still configuration cluster_data
step 'and so is the manifest' is_still manifest manifest
rm -f "$POLICY"

LIMIT=300 step 'an edit just before the end is told in place of a proof' edits_at_the_end 'it answers'
# The API server started with the policy that the run had written.
LIMIT=120 step 'the next run puts the policy back, and restarts nothing' mends_nothing
step 'all is in force' in_force

# The API server read this content when it started.
step 'the policy is touched' touch "$POLICY"
step 'all is in force' in_force
step 'nothing is restarted' mends_nothing --heal

step 'an empty directory takes the place of the policy' is_empty_directory
step 'status tells it' says 'there is an empty directory' exits 3 kube-audit-bootstrap status
step 'the API server ends' kill -KILL "$(api_pid)"
LIMIT=300 step 'self-healing puts the policy there' kube-audit-bootstrap apply --heal --wait "$LONG"
step 'the API server answers' eventually api_is_ready
step 'all is in force' in_force

# What is wrong with kubectl says nothing about the API server.
step 'kubectl hangs' hang_kubectl
LIMIT=60 step 'status ends, and tells it' says 'kubectl: it does not end' kube-audit-bootstrap status
step 'the API server is as good as before' grep -E '^running +ok' "$WORK/said"
step 'kubectl does not hang' unhang_kubectl
step 'all is in force' in_force
