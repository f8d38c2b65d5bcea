booted=$(date -u +%FT%TZ)
step 'the unit has nothing to do' unit_ended
tell "TIME$(time_of_unit)"
step 'the API server answers' eventually api_is_ready
step 'the manifest is as it was' manifest_is "$WORK/manifest"
step 'events of this boot are written' eventually has_events ".requestReceivedTimestamp > \"$booted\""
# As by an upgrade, whose node goes down before anything could repair that.
systemctl stop kube-audit-bootstrap-heal.path kubelet
sed -i '/- --audit-/d' "$MANIFEST"
