step 'cloud-init succeeded' cloud_init_done
step 'the API server answers' eventually api_is_ready
step 'events are written' eventually has_events
step 'the log lies on the disk, which was blank' lies_on_disk
step 'status says so' says 'persistent .*ext4 at /var/log/kubernetes/audit on the disk vd' kube-audit-bootstrap status
step 'the first event is kept' keep_first_event
