step 'cloud-init is content' cloud_init_done
step 'its own API server has the 14 audit flags' eventually has_default_flags
step 'its own API server writes events' eventually has_events '.stage == "ResponseComplete"'
step 'status finds all in place' kube-audit-bootstrap status
step 'a second apply writes nothing' writes_nothing kube-audit-bootstrap apply
step 'the first node is told' eventually kubectl -n default create configmap second-is-done
step 'it knows' eventually kubectl -n default get configmap first-has-seen
