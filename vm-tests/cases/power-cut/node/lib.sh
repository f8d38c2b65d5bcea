# The manifest is the one of kubeadm, or the edited one, and the API server that runs has what it says.
is_old_or_new() {
    local found
    if cmp "$MANIFEST" "$WORK/manifest"; then found=old; elif cmp "$MANIFEST" "$WORK/edited"; then found=new; else return 1; fi
    tell "FOUND $found"
}
runs_what_is_written() {
    api_is_ready &&
        if cmp -s "$MANIFEST" "$WORK/manifest"; then has_no_flags; else has_default_flags; fi
}
policy_is_whole() { [ ! -e /etc/kubernetes/audit-policy.yaml ] || cmp /etc/kubernetes/audit-policy.yaml "$WORK/policy"; }
back_and_forth() { kube-audit-bootstrap apply && kube-audit-bootstrap restore; }
