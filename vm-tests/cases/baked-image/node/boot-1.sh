step 'cloud-init succeeded' cloud_init_done
step 'the units are enabled' units_are_enabled
step 'systemd finds no fault in them' units_are_right /usr/lib/systemd/system/kube-audit-bootstrap*
step 'the node was prepared' unit_ended
step 'before kubeadm ran' ended_before kube-audit-bootstrap.service cloud-final.service
step 'and before the kubelet' ended_before kube-audit-bootstrap.service kubelet.service
step 'the API server answers' eventually api_is_ready
step 'it has the 14 audit flags' has_default_flags
step 'events are written' eventually has_events '.level == "Metadata" and .stage == "ResponseComplete"'
step 'policy and log are private' is_private
step 'status finds all in place' kube-audit-bootstrap status
step 'the manifest is kept' keep manifest manifest
tell "TIME$(time_of_unit)"
