step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
LIMIT=300 step 'apply' kube-audit-bootstrap apply --wait "$LONG"
step 'all is in force' in_force

# Kubernetes goes on writing to the deleted file (kubernetes/kubernetes#111208).
step 'the log is deleted' rm "$AUDIT_LOG"
step 'status tells it' is_told 'the log was deleted.*cp /proc/[0-9]+/fd/[0-9]+ FILE'
step 'its events can be copied, as it says' can_be_copied
step 'verify tells why there is no event' says 'the log was deleted' exits 1 kube-audit-bootstrap verify --wait 5s
LIMIT=300 step 'self-healing restarts the API server' mends --heal
step 'it writes to the new log' eventually writes_to "$AUDIT_LOG"
step 'all is in force' in_force

step 'the log is renamed' mv "$AUDIT_LOG" "$AUDIT_LOG.1"
step 'status tells it' is_told 'the log was renamed'
LIMIT=300 step 'apply restarts the API server' mends
step 'all is in force' in_force

step 'the log directory is removed and made anew' \
    bash -c "rm -r '${AUDIT_LOG%/*}' && mkdir -m 0700 '${AUDIT_LOG%/*}'"
step 'status tells it' is_told 'is not the directory any more'
LIMIT=300 step 'apply restarts the API server' mends
step 'it writes to the new log' eventually writes_to "$AUDIT_LOG"
step 'all is in force' in_force

step 'the log directory is removed' rm -r "${AUDIT_LOG%/*}"
step 'status tells it' is_told 'is not the directory any more'
LIMIT=300 step 'self-healing restarts the API server' mends --heal
step 'all is in force' in_force

step 'the policy is deleted' rm "$POLICY"
step 'status tells it' says '^policy +differs' exits 3 kube-audit-bootstrap status
LIMIT=120 step 'self-healing writes it, and the API server has it already' mends_nothing --heal
step 'all is in force' in_force

step 'the policy is edited in its place' bash -c "$(declare -f level); level Request >'$POLICY'"
step 'status tells it' says '^policy +differs' exits 3 kube-audit-bootstrap status
step 'and to who keeps it' is_told 'started before this file was written' --existing keep
step 'verify warns, and says what to do' says 'started before this file.*apply --wait 5m' kube-audit-bootstrap verify
LIMIT=300 step 'apply --existing keep restarts the API server' mends --existing keep
step 'it has the policy' has_events '.level == "Request"'
step 'all is in force' in_force --existing keep
LIMIT=300 step 'self-healing puts the policy back' mends --heal
step 'all is in force' in_force

step 'the policy is removed and made anew' bash -c "$(declare -f level); rm '$POLICY'; level Request >'$POLICY'"
step 'status tells it' is_told 'started before this file was written' --existing keep
LIMIT=300 step 'apply --existing keep restarts the API server' mends --existing keep
step 'all is in force' in_force --existing keep

# What the API server has already is no reason to restart it.
watch_api
step 'its container ends' kill "$(api_pid)"
LIMIT=120 step 'another API server answers' eventually another_api_is_ready
step 'the mode is set again' chmod 0600 "$POLICY"
step 'all is in force' in_force --existing keep
LIMIT=120 step 'nothing is restarted' mends_nothing --existing keep

level Metadata >/root/policy.yaml
step 'the policy alone is new, as a killed run leaves it' renames_over "$POLICY" /root/policy.yaml
step 'status tells it' is_told 'started before this file was written' --policy /root/policy.yaml
LIMIT=300 step 'the next run restarts the API server' mends --policy /root/policy.yaml
step 'all is in force' in_force --policy /root/policy.yaml
