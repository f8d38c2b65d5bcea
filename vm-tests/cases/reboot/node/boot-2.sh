booted=$(date -u +%FT%TZ)
step 'the API server answers' eventually api_is_ready
step 'the first event is still the same' has_first_event
step 'new events are written' eventually has_events ".requestReceivedTimestamp > \"$booted\""
step 'apply has nothing to do' writes_nothing kube-audit-bootstrap apply
step 'no file was written again' is_still written written_on_disk
