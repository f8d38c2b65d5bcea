step 'cloud-init succeeded' cloud_init_done
step 'the API server answers' eventually api_is_ready
step 'events are written' eventually has_events
step 'the log is in the directory' is_bound
step 'the earlier file has moved there' \
    is "$(stat -c '%a %u:%g' /data/audit/audit-2026-11-20T00-00-00.000.log*)" '640 0:4'
step 'status finds all in place' kube-audit-bootstrap status
ask_numbers
LIMIT=300 step 'the log is rotated' eventually was_rotated
ask_no_more
step 'the group may read all files' group_reads
step 'other users may not' \
    says 'Permission denied' exits 1 setpriv --reuid 65534 --regid 65534 --clear-groups cat "$AUDIT_LOG"
chmod 755 $DIRECTORY
chmod 600 "$AUDIT_LOG"
step 'status finds what others changed' says 'was mode 0600' exits 3 kube-audit-bootstrap status
step 'apply mends that' kube-audit-bootstrap apply
step 'the group may read it again' group_reads
step 'status finds all in place' kube-audit-bootstrap status
step 'the first event is kept' keep_first_event
