# The disk is missing. systemd waits for it as long as for any device.
step 'the boot came to its end' eventually systemctl is-active multi-user.target
step 'the kubelet was not started' is "$(since kubelet.service ExecMainStartTimestampMonotonic)" 0
step 'no API server runs' exits 1 pgrep -x kube-apiserver
step 'nothing was written where the disk would be' finds_nothing $DIRECTORY -mindepth 1
step 'apply says what is missing' \
    says "/dev/disk/by-label/audit: storage.device does not exist" exits 1 kube-audit-bootstrap apply
step 'the journal does, too' eventually journal_says_so
e2label $DISK audit
udevadm trigger --settle $DISK
step 'with the disk apply succeeds' kube-audit-bootstrap apply
step 'the kubelet starts' systemctl start kubelet.service
step 'the API server answers' eventually api_is_ready
step 'the log lies on the disk' lies_on_disk
step 'the first event is still the same' has_first_event
