# The manifest is the one that kubeadm wrote, or the edited one.
is_old_or_new() {
    local found
    if is_still manifest manifest; then
        found=old
    else
        cmp "$MANIFEST" "$WORK/edited" || return 1
        found=new
    fi
    tell "FOUND $found"
}
# The API server that runs has the flags of the manifest.
runs_what_is_written() {
    api_is_ready &&
        if is_still manifest manifest; then has_no_flags; else has_default_flags; fi
}
policy_is_whole() {
    [ ! -e /etc/kubernetes/audit-policy.yaml ] || cmp /etc/kubernetes/audit-policy.yaml "$WORK/policy"
}
back_and_forth() { kube-audit-bootstrap apply && kube-audit-bootstrap restore; }
