step 'cloud-init succeeded' cloud_init_done
step 'its own API server has the 14 audit flags' eventually has_default_flags
step 'its own API server writes events' eventually has_events '.stage == "ResponseComplete"'
step 'status finds all in place' kube-audit-bootstrap status
step 'a second apply writes nothing' writes_nothing kube-audit-bootstrap apply
step 'the first node is told' eventually announce second-is-done
step 'the first node has seen that' eventually was_announced first-has-seen
