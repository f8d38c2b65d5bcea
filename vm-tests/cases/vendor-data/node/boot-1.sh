step 'cloud-init succeeded' cloud_init_done
step 'the API server answers' eventually api_is_ready
step 'it has the configuration'\''s flag' has_flag --audit-log-maxage=7
step 'events are written' eventually has_events
step 'status finds all in place' kube-audit-bootstrap status
step 'render prints vendor-data' keep vendor-data kube-audit-bootstrap render vendor-data
step 'with the same commands' diff <(commands /var/lib/cloud/instance/vendor-data.txt) <(commands "$(kept vendor-data)")
