DEVICE=$(new_device "$NAME" 64M) || { tell 'FAILED there is no free loop device'; exit 1; }
step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
configure 'log: {maxSize: 1, maxBackup: 4}'
LIMIT=300 step 'it audits' kube-audit-bootstrap apply --wait "$LONG"
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

ask_numbers
configure 'log: {maxSize: 1, maxBackup: 4}' "storage: {device: $NAME, format: ext4}"
LIMIT=300 step 'the log moves to a disk of its own' \
    says 'move the events in .*: done' kube-audit-bootstrap apply --wait "$LONG"
step 'the disk is mounted' is "$(findmnt -no SOURCE,FSTYPE $DIRECTORY | xargs)" "$DEVICE ext4"
step 'events are written to it' eventually has_events
step 'nothing is left where the log was' test ! -e $DIRECTORY.before-mount
step 'apply has nothing to do' writes_nothing kube-audit-bootstrap apply
ask_no_more
step 'every request that was answered has one event' eventually all_are_recorded
rm "$WORK"/answered-*

# The load fills more files than are kept: its requests are little work, and much to write. If an emulated API server
# has more requests than it can answer, its probe kills it, and it doesn't start again under that load.
first=$(rotations | tail -n 1)
if emulated; then ask_numbers 8000 20000; else ask_numbers 400 2000; fi
LIMIT=600 step 'the log is rotated' eventually rotated_since "$first" 4
first=$(rotations | tail -n 1)
LIMIT=300 step 'and once more, so that all kept files are of that load' eventually rotated_since "$first" 1
step 'status foretells how long a file takes' foretell
echo 0 >"$WORK/most"
watch_size &
watcher=$!
first=$(rotations | tail -n 1)
LIMIT=300 step 'the log is rotated three times more' eventually rotated_since "$first" 3
kill $watcher
most=$(cat "$WORK/most")
step "a file took $(interval) s, and $(foretold rotationSeconds | cut -c 1-4) s were foretold" \
    within 20 "$(foretold rotationSeconds)" "$(interval)"
step "the log came to $most bytes, and $(foretold bytes) were foretold" within 20 "$(foretold bytes)" "$most"
step 'maxbackup limits the log' is "$(foretold limitedBy)" maxbackup

step 'the disk of the log is filled' fill
step 'the API server goes on running' stays_for 10
step 'status reports the lost events' says 'lost .*since' eventually_told
configure 'log: {maxSize: 2, maxBackup: 4}' "storage: {device: $NAME, format: ext4}"
step 'apply changes nothing' \
    says 'no event could be written; make room' writes_nothing exits 1 kube-audit-bootstrap apply
rm $DIRECTORY/ballast
now=$(date -u +%FT%TZ)
step 'with room, there are events again' eventually has_events ".requestReceivedTimestamp > \"$now\""
ask_no_more
