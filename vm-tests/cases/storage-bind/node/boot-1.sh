step 'cloud-init found no fault' cloud_init_done
step 'the API server answers' eventually api_is_ready
step 'events are written' eventually has_events
step 'the log lies in the directory' is_bound
step 'what was there before has followed' is "$(stat -c '%a %u:%g' /data/audit/audit-2026-11-20T00-00-00.000.log*)" '640 0:4'
step 'status finds all in place' kube-audit-bootstrap status
ask_numbers
LIMIT=300 step 'the log is rotated' eventually was_rotated
ask_no_more
step 'the group may read it all' group_reads
step 'nobody else may' says 'Permission denied' exits 1 setpriv --reuid 65534 --regid 65534 --clear-groups cat "$AUDIT_LOG"
chmod 755 $DIRECTORY
chmod 600 "$AUDIT_LOG"
step 'what others changed is found' says 'was mode 0600' exits 3 kube-audit-bootstrap status
step 'and mended' kube-audit-bootstrap apply
step 'the group may read it again' group_reads
step 'status finds all in place' kube-audit-bootstrap status
keep_first_event
