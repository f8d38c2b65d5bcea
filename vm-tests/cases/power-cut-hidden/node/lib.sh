# wants NUMBER: configures what the run of this number must change, and keeps the manifest as it is and as it will be.
wants() {
    local copy=$WORK/copy
    policy "number-$1"
    keep manifest manifest && rm -rf "$copy" && mkdir -p "$copy/etc/kubernetes/manifests" &&
        cp -r /etc/kube-audit-bootstrap "$copy/etc/" && cp "$MANIFEST" "$copy/etc/kubernetes/manifests/" &&
        kube-audit-bootstrap apply --root "$copy" && cp "$copy$MANIFEST" "$WORK/new" && exits 1 is_still manifest manifest_of_copy
}
manifest_of_copy() { cat "$WORK/new"; }
# begin_to_hide NUMBER: starts a run, and returns when it has a net under its manifest. A slow node may not answer a run in
# time, or a run may leave the API server to the kubelet, and hide nothing. Then another run has something to change.
begin_to_hide() {
    local try
    for try in 1 2 3 4 5; do
        wants "$1-$try" || return 1
        # Only what the run writes may be lost. So nothing is flushed from here on.
        sync
        kube-audit-bootstrap apply --wait "$LONG" >"$WORK/hidden" 2>&1 &
        until [ -e "$HIDDEN_LINE" ] || ! kill -0 $! 2>/dev/null; do sleep 0.01; done
        [ ! -e "$HIDDEN_LINE" ] || return 0
        cat "$WORK/hidden"
        eventually api_pod_is_ready
    done
    return 1
}
# measure: a run that is not cut off. Keeps for how many milliseconds it had a net under its manifest.
measure() {
    local start end
    begin_to_hide 0 || return 1
    start=${EPOCHREALTIME/./}
    while [ -e "$HIDDEN_LINE" ]; do sleep 0.01; done
    end=${EPOCHREALTIME/./}
    echo $(((end - start) / 1000)) | tee "$WORK/moment"
    # On a slow node the kubelet may finish the previous pod too late, so only the run's success counts.
    wait $! || { cat "$WORK/hidden"; return 1; }
}
# The manifest is the previous one or the new one. The boot has put the new one in place, or the run or nobody had before.
is_old_or_new() {
    local found=old
    if [ -L "$MANIFEST" ]; then found=hidden; elif cmp "$MANIFEST" "$WORK/new"; then found=new; fi
    if [ $found = old ]; then is_still manifest manifest; else cmp "$MANIFEST" "$WORK/new"; fi || return 1
    echo $found >>"$WORK/found"
    tell "FOUND $found"
}
# cut_in_the_moment NUMBER: has the power cut within the time that a run has a net under its manifest.
cut_in_the_moment() {
    if begin_to_hide "$1" >"$WORK/tries"; then
        tell "CUT $(cat "$WORK/moment")"
        sleep infinity
    fi
    tell "FAILED no run hides the manifest"
    tell_end "$WORK/tries"
    exit 1
}
