step 'the API server answers' eventually api_is_ready
step 'events are written' eventually has_events
written | grep -v ^/run/ >"$WORK/written"
keep_first_event
