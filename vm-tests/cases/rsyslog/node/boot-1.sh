step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
configure 'log: {maxSize: 1, maxBackup: 100}' 'storage: {group: 4}'
LIMIT=300 step 'it audits' kube-audit-bootstrap apply --wait "$LONG"
step 'the group may read the log' \
    is "$(stat -c '%a %U:%G' $DIRECTORY "$AUDIT_LOG" | xargs)" '750 root:adm 640 root:adm'

step 'rsyslog is configured for the log' prepare_rsyslog
step 'rsyslog finds no fault in its configuration' rsyslogd -N1
socat -u TCP-LISTEN:514,bind=127.0.0.1,fork,reuseaddr "OPEN:$WORK/received,creat,append" &
receiver=$!
trap 'kill $receiver' EXIT
LIMIT=300 step 'it starts' between_rotations start
step 'as its own user' is_its_user
step 'events arrive' eventually test -s "$WORK/received"

ask_numbers 200 2000
LIMIT=300 step 'the log is rotated' eventually has_rotated 4
ask_no_more
ask_numbers 500
step 'rsyslog is restarted meanwhile' between_rotations systemctl restart rsyslog
# The API server writes more events after the restart.
sleep 2
ask_no_more
step 'every event has arrived once' eventually all_have_arrived
