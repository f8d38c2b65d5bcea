booted=$(date -u +%FT%TZ)
step 'the unit has nothing to do' unit_ended
tell "TIME$(time_of_unit)"
step 'the API server answers' eventually api_is_ready
step 'the manifest is as it was' is_still manifest manifest
step 'events of this boot are written' eventually has_events ".requestReceivedTimestamp > \"$booted\""
step 'self-healing looks three minutes after the boot' looks_after_the_boot
