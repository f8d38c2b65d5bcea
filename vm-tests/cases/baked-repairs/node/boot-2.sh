# Self-healing looks three minutes after the boot. An emulated API server may need as long to start.
systemctl stop kube-audit-bootstrap-heal.timer
step 'the unit has repaired the manifest' unit_ended
step 'before the kubelet read it' ended_before kube-audit-bootstrap.service kubelet.service
step 'the API server answers' eventually api_is_ready
step 'it has the 14 audit flags' has_default_flags
step 'nobody has proved it yet' says '^proof +missing  not proved yet' kube-audit-bootstrap status
LIMIT=300 step 'self-healing proves it' systemctl start kube-audit-bootstrap-heal.service
step 'status says that it is proved' says '"unproved": null' kube-audit-bootstrap status --output json
watch_api
step 'somebody restores the node' kube-audit-bootstrap restore
LIMIT=180 step 'another API server answers' eventually another_api_is_ready
step 'it has no audit flags' has_no_flags
