# wants NUMBER: configures what the run of this number must change, and keeps the manifest as it is and as it will be.
wants() {
    local copy=$WORK/copy
    policy "number-$1"
    keep manifest manifest && rm -rf "$copy" && mkdir -p "$copy/etc/kubernetes/manifests" &&
        cp -r /etc/kube-audit-bootstrap "$copy/etc/" && cp "$MANIFEST" "$copy/etc/kubernetes/manifests/" &&
        kube-audit-bootstrap apply --root "$copy" && cp "$copy$MANIFEST" "$WORK/new" && exits 1 is_still manifest manifest_of_copy
}
manifest_of_copy() { cat "$WORK/new"; }
# measure: a run that is not cut off. Keeps for how many milliseconds it had a net under its manifest.
measure() {
    local start end
    kube-audit-bootstrap apply --wait "$LONG" >"$WORK/hidden" 2>&1 &
    until [ -e "$HIDDEN_LINE" ]; do kill -0 $! || { cat "$WORK/hidden"; return 1; }; sleep 0.01; done
    start=${EPOCHREALTIME/./}
    while [ -e "$HIDDEN_LINE" ]; do sleep 0.01; done
    end=${EPOCHREALTIME/./}
    echo $(((end - start) / 1000)) | tee "$WORK/moment"
    wait $! && grep 'the kubelet has finished the previous pod' "$WORK/hidden"
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
    local try
    # On a slow node, a run may leave the API server to the kubelet, and hide nothing.
    for try in 1 2 3; do
        step 'the manifest is kept' wants "$1-$try"
        # Only what the run writes may be lost. So nothing is flushed from here on.
        sync
        kube-audit-bootstrap apply --wait "$LONG" >"$WORK/hidden" 2>&1 &
        until [ -e "$HIDDEN_LINE" ] || ! kill -0 $! 2>/dev/null; do sleep 0.01; done
        if [ -e "$HIDDEN_LINE" ]; then
            tell "CUT $(cat "$WORK/moment")"
            sleep infinity
        fi
        LIMIT=300 step 'its pod is ready' eventually api_pod_is_ready
    done
    tell "FAILED no run hides the manifest"
    tell_end "$WORK/hidden"
    exit 1
}
