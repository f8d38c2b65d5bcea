booted=$(date -u +%FT%TZ)
step 'the API server answers' eventually api_is_ready
step 'the log lies on the disk' lies_on_disk
step 'it was mounted before the kubelet started' mounted_before_kubelet
step 'the first event is still the same' has_first_event
step 'new events are written' eventually has_events ".requestReceivedTimestamp > \"$booted\""
step 'apply has nothing to do' writes_nothing kube-audit-bootstrap apply
e2label $DISK audit
udevadm trigger --settle $DISK
configure 'log: {maxBackup: 20}' 'storage: {device: LABEL=audit}'
step 'apply takes the same disk by another name' \
    says 'edit /etc/systemd/system/var-log-kubernetes-audit.mount' kube-audit-bootstrap apply
# At the next boot there is no disk of that name.
e2label $DISK other
