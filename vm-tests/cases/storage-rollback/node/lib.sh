NAME=/dev/disk/by-id/audit
DIRECTORY=/var/log/kubernetes/audit

kubelet_needs_no_log() {
    local unit
    unit=$(systemctl show -p LoadState -p RequiresMountsFor kubelet.service) &&
        grep -x LoadState=loaded <<<"$unit" && lacks audit <<<"$unit"
}
nothing_is_mounted() {
    is_not_mounted $DIRECTORY && [ ! -e $DIRECTORY.before-mount ] &&
        [ ! -e /etc/systemd/system/var-log-kubernetes-audit.mount ]
}
# killed_when COMMAND: kills apply --wait as soon as the command succeeds.
killed_when() {
    local pid
    kube-audit-bootstrap apply --wait "$LONG" >"$WORK/killed" 2>&1 &
    pid=$!
    until "$@"; do kill -0 $pid || { cat "$WORK/killed"; return 1; }; done
    ends_killed $pid && exits 3 kube-audit-bootstrap status
}
went_aside() { [ -e $DIRECTORY.before-mount ]; }
