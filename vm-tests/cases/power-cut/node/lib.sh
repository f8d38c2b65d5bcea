# The manifest is the one of kubeadm, or the edited one, and the API server that runs has what it says.
is_old_or_new() { cmp "$MANIFEST" "$WORK/manifest" || cmp "$MANIFEST" "$WORK/edited"; }
runs_what_is_written() {
    api_is_ready &&
        if cmp -s "$MANIFEST" "$WORK/manifest"; then has_no_flags; else has_default_flags; fi
}
policy_is_whole() { [ ! -e /etc/kubernetes/audit-policy.yaml ] || cmp /etc/kubernetes/audit-policy.yaml "$WORK/policy"; }
