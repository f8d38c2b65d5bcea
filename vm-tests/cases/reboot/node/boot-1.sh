step 'the API server answers' eventually api_is_ready
step 'events are written' eventually has_events
step 'the times of all files are kept' keep written written_on_disk
step 'so is the first event' keep_first_event
