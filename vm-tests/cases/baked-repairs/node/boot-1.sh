step 'the API server answers' eventually api_is_ready
step 'it has the 14 audit flags' has_default_flags
# As by an upgrade, whose node goes down before anything could repair that.
systemctl stop kube-audit-bootstrap-heal.path kubelet
sed -i '/- --audit-/d' "$MANIFEST"
step 'the manifest has lost its settings' lacks ' --audit-' "$MANIFEST"
