HIDDEN=/etc/kubernetes/manifests/.kube-apiserver.yaml.kube-audit-bootstrap-hidden
LINE=/etc/tmpfiles.d/kube-audit-bootstrap-hidden.conf

# The processes that guard the hidden manifest.
guards() { pgrep -f '^[^ ]*kube-audit-bootstrap guard-hidden-manifest '; }
is_hidden() { [ -e "$HIDDEN" ] && [ ! -e "$MANIFEST" ]; }
# is_in_place SECONDS: the manifest is in place within so many seconds.
is_in_place() {
    local end=$((SECONDS + $1))
    until [ -e "$MANIFEST" ]; do [ $SECONDS -le $end ] || return 1; sleep 0.05; done
    [ ! -e "$HIDDEN" ]
}

# hide: starts a run, and waits until the manifest is hidden and there is a net. Prints the number of the run's process.
hide() {
    kube-audit-bootstrap apply --wait "$LONG" >"$WORK/hidden" 2>&1 &
    echo $! >"$WORK/run"
    until is_hidden; do
        kill -0 "$(cat "$WORK/run")" || { cat "$WORK/hidden"; return 1; }
        sleep 0.01
    done
    guards && cat "$LINE"
}
# killed_while_hidden WHO...: a run hides the manifest, and who is named is killed: run, guard.
killed_while_hidden() {
    local who pids=''
    hide || return
    for who in "$@"; do
        case $who in run) pids+=" $(cat "$WORK/run")" ;; guard) pids+=" $(guards)" ;; esac
    done
    kill -KILL $pids
}
# At the end of a run, or after the next one, nothing of the net is left.
has_no_net() { [ ! -e "$HIDDEN" ] && [ ! -e "$LINE" ] && ! guards; }
run_ends_well() {
    local end=$((SECONDS + 300 * PATIENCE))
    while kill -0 "$(cat "$WORK/run")" 2>/dev/null; do [ $SECONDS -le $end ] || return 1; sleep 0.2; done
    cat "$WORK/hidden"
    grep -q '^proof ' "$WORK/hidden"
}
# With such a line as a run writes, the tool of a boot puts the manifest in its place, with its owner and mode, and
# copies nothing over a manifest that is there.
copies_at_boot() {
    mkdir -p "$WORK/m" && cp -p "$MANIFEST" "$WORK/m/.hidden" || return 1
    echo "C $WORK/m/a.yaml 0600 0 0 - $WORK/m/.hidden" >"$WORK/m/line"
    systemd-tmpfiles --create "$WORK/m/line" && cmp "$WORK/m/a.yaml" "$MANIFEST" &&
        is "$(stat -c '%a %u:%g' "$WORK/m/a.yaml")" '600 0:0' &&
        echo other >"$WORK/m/a.yaml" && systemd-tmpfiles --create "$WORK/m/line" && is "$(cat "$WORK/m/a.yaml")" other
}
