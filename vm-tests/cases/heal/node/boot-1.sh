step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
step 'the manifest is kept' keep manifest manifest
LIMIT=300 step 'apply' kube-audit-bootstrap apply --wait "$LONG"
step 'self-healing is off unless somebody enables it' \
    is "$(self_healing)" '{"enabled":false,"repairs":[],"stopped":false}'
step 'systemd finds no fault in the units' \
    units_are_right /usr/local/lib/systemd/system/kube-audit-bootstrap*.{path,service,timer}
heal_patiently
step 'self-healing is enabled' systemctl enable --now kube-audit-bootstrap-heal.path
step 'status shows it' says '^healing +enabled +0 repairs' kube-audit-bootstrap status

for time in 1 2 3; do
    write_again
    LIMIT=180 step "the manifest is written again, and repaired ($time)" eventually is_repaired $time
done
write_again
LIMIT=180 step 'the fourth time it is not repaired' eventually has_given_up
step 'the journal says why' says 'repaired 3 times within an hour.*find out what writes it' \
    journalctl -u kube-audit-bootstrap-heal.service
step 'status says so' says 'no more repairs' exits 3 kube-audit-bootstrap status
LIMIT=180 step 'the API server answers' eventually api_is_ready
# The unit waits for the lock for a short time. That apply --wait holds it for longer is no reason for the unit to fail.
step 'self-healing does not wait long for others' heal_with --lock-timeout 1
LIMIT=300 step 'apply by hand repairs it' kube-audit-bootstrap apply --wait "$LONG"
step 'the count of repairs starts again' \
    is "$(self_healing)" '{"enabled":true,"repairs":[],"stopped":false}'
LIMIT=120 step 'the unit is done' eventually unit_is_done

# The timer repairs what the path unit can't see.
step 'the path unit is stopped' systemctl stop kube-audit-bootstrap-heal.path
step 'and its timer with it' is "$(systemctl is-active kube-audit-bootstrap-heal.timer)" inactive
write_again
LIMIT=200 step 'the node has been up for three minutes' eventually is_up_for_long
# A timer remembers its last look, and this one has looked. A copy under another name hasn't.
cp /usr/local/lib/systemd/system/kube-audit-bootstrap-heal.timer /run/systemd/system/as-new.timer
systemctl daemon-reload
step 'the timer is started alone' systemctl start as-new.timer
LIMIT=180 step 'it has the manifest repaired at once' eventually is_repaired 1
step 'and looks again 15 minutes after that' looks_again
step 'the path unit had no part in it' is "$(systemctl is-active kube-audit-bootstrap-heal.path)" inactive
systemctl stop as-new.timer
step 'the path unit is started again' systemctl start kube-audit-bootstrap-heal.path

watch_api
step 'restore' kube-audit-bootstrap restore
LIMIT=120 step 'another API server answers' eventually another_api_is_ready
LIMIT=120 step 'it goes on running' stays_for 25
step 'self-healing leaves a restored node alone' has_no_flags
step 'the journal says so' says 'was restored or rolled back.* stays so until you run apply' journalctl -u kube-audit-bootstrap-heal.service
