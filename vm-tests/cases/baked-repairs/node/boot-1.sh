step 'the API server answers' eventually api_is_ready
step 'it has the 14 audit flags' has_default_flags
# An upgrade may do this, on a node that goes down before anything can repair it.
systemctl stop kube-audit-bootstrap-heal.path kubelet
sed -i '/- --audit-/d' "$MANIFEST"
step 'the manifest has lost its settings' lacks ' --audit-' "$MANIFEST"
