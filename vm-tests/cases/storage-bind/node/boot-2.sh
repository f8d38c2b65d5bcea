step 'the API server answers' eventually api_is_ready
step 'the log is in the directory' is_bound
step 'the earlier event is there' grep -qxF "$(cat "$WORK/first-event")" <(zcat -f /data/audit/*)
step 'apply has nothing to do' writes_nothing kube-audit-bootstrap apply
