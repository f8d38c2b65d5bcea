# is_in_place SECONDS: the manifest is in place within so many seconds.
is_in_place() {
    local end=$((SECONDS + $1))
    until [ -e "$MANIFEST" ]; do [ $SECONDS -le $end ] || return 1; sleep 0.05; done
    [ ! -e "$HIDDEN" ]
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
# cut_off: ends a run and its guard as a shutdown does, or a cut of the power. Nothing is left that puts the hidden
# manifest in place but the line for the next boot.
cut_off() {
    # A guard does not heed a stop, and systemd starts none again that was stopped.
    systemctl stop --no-block 'kube-audit-bootstrap-guard-*' && kill -KILL $(guards) "$(cat "$WORK/run")" &&
        eventually exits 1 guards && is_hidden &&
        cp "$HIDDEN_LINE" "$WORK/line"
}
# With the line of the run, the tool of a boot makes no link over a manifest that is there, and makes the link again
# after one more cut.
links_at_boot() {
    mkdir -p "$WORK/m" && cp -p "$MANIFEST" "$WORK/m/${HIDDEN##*/}" &&
        sed "s,/etc/kubernetes/manifests,$WORK/m,g" "$WORK/line" >"$WORK/m/line" || return 1
    echo other >"$WORK/m/kube-apiserver.yaml"
    systemd-tmpfiles --create --remove --boot "$WORK/m/line" && is "$(cat "$WORK/m/kube-apiserver.yaml")" other &&
        rm "$WORK/m/kube-apiserver.yaml" || return 1
    for _ in 1 2; do
        systemd-tmpfiles --create --remove --boot "$WORK/m/line" && cmp "$WORK/m/kube-apiserver.yaml" "$MANIFEST" &&
            is "$(readlink "$WORK/m/kube-apiserver.yaml")" "$WORK/m/${HIDDEN##*/}" || return 1
    done
}
