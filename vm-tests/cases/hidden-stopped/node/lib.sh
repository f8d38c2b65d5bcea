# hide_as_service: a run that is a service, as self-healing is, hides the manifest.
hide_as_service() {
    systemd-run --quiet --collect --unit=kube-audit-bootstrap-run --property=RemainAfterExit=no \
        kube-audit-bootstrap apply --wait "$LONG" || return 1
    until is_hidden; do systemctl is-active kube-audit-bootstrap-run || return 1; sleep 0.01; done
    guards
}
is_over() { ! systemctl is-active --quiet "$1"; }
# stop_all: stops the run and its guard at once, as systemd does at an isolate.
stop_all() { systemctl stop --no-block 'kube-audit-bootstrap*' && eventually is_over kube-audit-bootstrap-run; }
# lose: removes what is hidden, as a tool does that removes what it does not know.
lose() { hide && rm "$HIDDEN"; }
# killed_in_nudge: a run that moves the manifest away and back is killed while it is away.
killed_in_nudge() {
    local kubelet pid rc=0
    kubelet=$(pgrep -x kubelet)
    kill -STOP "$kubelet"
    kube-audit-bootstrap apply --wait "$LONG" >"$WORK/nudge" 2>&1 &
    pid=$!
    until is_hidden; do kill -0 $pid || { cat "$WORK/nudge"; rc=1; break; }; sleep 0.01; done
    kill -KILL $pid
    kill -CONT "$kubelet"
    cat "$WORK/nudge"
    return $rc
}
