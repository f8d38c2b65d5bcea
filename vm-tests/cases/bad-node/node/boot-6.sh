# Nothing is wrong in this boot.
step 'the unit succeeded' is "$(systemctl show -p Result --value kube-audit-bootstrap)" success
step 'the API server answers, with the audit flags' eventually has_default_flags
step 'events are written' eventually has_events '.stage == "ResponseComplete"'
step 'apply edits the cluster'\''s own configuration, which a boot does not' kube-audit-bootstrap apply
step 'and then all is in place' kube-audit-bootstrap status
