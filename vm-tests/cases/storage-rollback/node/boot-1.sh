DEVICE=$(new_device "$NAME" 256M) || { tell 'FAILED there is no free loop device'; exit 1; }
mkfs.ext4 -q "$DEVICE"
step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
LIMIT=300 step 'it audits' kube-audit-bootstrap apply --wait "$LONG"
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready
step 'the manifest is kept' keep manifest manifest
step 'the first event is kept' keep_first_event

bad_webhook
printf '%s\n' "storage: {device: $NAME}" 'log: {maxSize: 10, maxBackup: 10}' >>/etc/kube-audit-bootstrap/config.yaml
LIMIT=400 step 'an API server that does not start is put back' \
    says 'root certificates.*everything is as it was' exits 4 kube-audit-bootstrap apply --wait 4m
step 'the manifest is as it was' is_still manifest manifest
step 'nothing is mounted' nothing_is_mounted
step 'the kubelet needs no mount for the log' kubelet_needs_no_log
step 'the log is the previous one' has_first_event
now=$(date -u +%FT%TZ)
step 'events are written there' eventually has_events ".requestReceivedTimestamp > \"$now\""
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

configure "storage: {device: $NAME}" 'log: {maxSize: 10, maxBackup: 10}'
ask_numbers
step 'a run is killed while it mounts the disk' killed_when went_aside
LIMIT=300 step 'the next run finishes its job' kube-audit-bootstrap apply --wait "$LONG"
step 'the disk is mounted' is "$(findmnt -no SOURCE $DIRECTORY)" "$DEVICE"
step 'nothing is left aside' test ! -e $DIRECTORY.before-mount
step 'status finds all in place' kube-audit-bootstrap status
ask_no_more
step 'every request that was answered has one event' eventually all_are_recorded
