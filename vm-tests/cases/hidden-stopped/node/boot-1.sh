step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready

policy first
watch_api
LIMIT=200 step 'a run that is a service hides the manifest' hide_as_service
step 'it is stopped together with its guard' stop_all
LIMIT=20 step 'the guard goes on, and another API server answers soon' eventually another_api_is_ready
step 'the guard is gone, and the line for the next boot' eventually has_no_net
LIMIT=300 step 'the next run proves what is there' says '^proof .* recorded' kube-audit-bootstrap apply --wait "$LONG"
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

policy second
watch_api
LIMIT=200 step 'something removes what is hidden' lose
LIMIT=300 step 'the run writes it again, and ends well' run_ends_well
step 'it says so' grep 'something else removed it while it was hidden' "$WORK/hidden"
step 'another API server runs' another_api_is_ready
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

policy third
watch_api
LIMIT=300 step 'a limit that is too short rolls back' says 'everything is as it was' exits 4 kube-audit-bootstrap apply --wait 3s
step 'the API server that was about to end does not count as the one that is back' another_api_is_ready
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

policy fourth
watch_api
LIMIT=200 step 'a run hides the manifest' hide
kill -STOP "$(cat "$WORK/run")" $(guards)
LIMIT=200 step 'systemd replaces a guard that is stopped with its run' eventually test -e "$MANIFEST"
LIMIT=180 step 'another API server answers' eventually another_api_is_ready
kill -CONT "$(cat "$WORK/run")"
LIMIT=300 step 'the run goes on, and ends well' run_ends_well
step 'the guard is gone, and the line for the next boot' eventually has_no_net
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

policy fifth
configure 'policy: {source: /etc/kube-audit-bootstrap/policy.yaml}' 'restart: {mode: graceful}'
LIMIT=200 step 'a run is killed while it moves the manifest away and back' killed_in_nudge
LIMIT=20 step 'its guard puts it in place' eventually test -e "$MANIFEST"
step 'the guard is gone, and the line for the next boot' eventually has_no_net
LIMIT=180 step 'the API server answers' eventually api_is_ready
LIMIT=300 step 'the next run proves what is there' says '^proof ' kube-audit-bootstrap apply --wait "$LONG"
