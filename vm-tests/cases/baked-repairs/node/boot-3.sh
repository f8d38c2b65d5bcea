step 'the unit succeeds on a node that was put back' unit_ended
step 'it stays so' says 'the node was restored or rolled back' journalctl --boot --unit kube-audit-bootstrap.service
step 'the API server answers' eventually api_is_ready
step 'it has no audit flags' has_no_flags
