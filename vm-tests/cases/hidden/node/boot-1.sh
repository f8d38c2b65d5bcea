step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready

policy first
watch_api
LIMIT=200 step 'a run is killed while the manifest is hidden' killed_while_hidden run
LIMIT=20 step 'its guard goes on with it, and another API server answers soon' eventually another_api_is_ready
step 'the guard is gone, and the line for the next boot' eventually has_no_net
LIMIT=300 step 'the next run proves what is there' says '^proof .* recorded' kube-audit-bootstrap apply --wait "$LONG"
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

policy second
watch_api
LIMIT=200 step 'a guard is killed while the manifest is hidden' killed_while_hidden guard
LIMIT=300 step 'the run ends well' run_ends_well
step 'another API server runs' another_api_is_ready
step 'it was started once' is "$(api_starts)" 1
step 'the guard is gone, and the line for the next boot' eventually has_no_net
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

policy third
ask_numbers
watch_api
LIMIT=200 step 'a run and its guard are killed while the manifest is hidden' killed_while_hidden run guard
LIMIT=20 step 'systemd starts another guard, which goes on with it' eventually another_api_is_ready
ask_no_more
step 'every request that was answered has one event' eventually all_are_recorded
step 'the guard is gone, and the line for the next boot' eventually has_no_net
LIMIT=300 step 'the next run proves what is there' says '^proof .* recorded' kube-audit-bootstrap apply --wait "$LONG"
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

policy ended
watch_api
LIMIT=300 step 'a run is killed when it has ended the old API server' killed_at 'the previous API server [a-z]* ended'
LIMIT=20 step 'its guard waits for the kubelet, and another API server answers soon' eventually another_api_is_ready
LIMIT=300 step 'the next run proves what is there' says '^proof .* recorded' kube-audit-bootstrap apply --wait "$LONG"
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

policy fourth
watch_api
LIMIT=200 step 'a run hides the manifest' hide
kill -STOP "$(cat "$WORK/run")"
LIMIT=100 step 'a run that has stopped leaves it hidden for a minute at most' is_in_place 65
kill -CONT "$(cat "$WORK/run")"
LIMIT=300 step 'the run goes on, and ends well' run_ends_well
step 'another API server runs' another_api_is_ready
step 'the guard is gone, and the line for the next boot' eventually has_no_net
LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready

policy fifth
LIMIT=200 step 'a run hides the manifest' hide
step 'its node goes down then' cut_off
