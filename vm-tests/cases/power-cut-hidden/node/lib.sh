HIDDEN=/etc/kubernetes/manifests/.kube-apiserver.yaml.kube-audit-bootstrap-hidden
LINE=/etc/tmpfiles.d/kube-audit-bootstrap-hidden.conf

# hide: starts a run, and waits until its manifest is hidden.
hide() {
    kube-audit-bootstrap apply --wait "$LONG" >"$WORK/hidden" 2>&1 &
    until [ -e "$HIDDEN" ] && [ ! -e "$MANIFEST" ]; do
        kill -0 $! || { cat "$WORK/hidden"; return 1; }
        sleep 0.01
    done
    cp "$HIDDEN" "$WORK/new"
}
# The boot of now or the guard of before has put the new manifest in place, or the cut came before it was hidden.
is_old_or_new() {
    local found
    if cmp "$MANIFEST" "$WORK/new"; then found=new; else is_still manifest manifest && found=old || return 1; fi
    tell "FOUND $found"
}
has_no_net() { [ ! -e "$HIDDEN" ] && [ ! -e "$LINE" ]; }
# cut_while_hidden NUMBER: has the power cut within a second of the moment when a run has hidden the manifest.
cut_while_hidden() {
    policy "number-$1"
    LIMIT=300 step 'the manifest is kept' keep manifest manifest
    LIMIT=300 step 'a run hides the manifest' hide
    cut_power 2000 sleep 0.2
}
