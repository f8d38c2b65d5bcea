# Nothing is wrong any more.
step 'the unit is content' is "$(systemctl show -p Result --value kube-audit-bootstrap)" success
step 'the API server answers, with the audit flags' eventually has_default_flags
step 'events are written' eventually has_events '.stage == "ResponseComplete"'
step 'what a boot leaves is the cluster'\''s own configuration' kube-audit-bootstrap apply
step 'and then all is in place' kube-audit-bootstrap status
