# without_kubelet SECONDS: stops the kubelet, and starts it again after so many seconds.
without_kubelet() { systemctl stop kubelet && sleep "$1" && systemctl start kubelet; }
# disturbed WHAT COMMAND...: while a run hides the manifest, the kubelet does something.
disturbed() {
    local what=$1 away
    shift
    policy "$1-$#"
    watch_api
    forget_answers
    LIMIT=200 step "a run hides the manifest" hide
    step "the kubelet $what" "$@"
    LIMIT=300 step 'the run ends well' run_ends_well
    away=$(absence)
    step "the API server was away for $away s; for $today s where nothing is hidden" is_not_longer "$away" "$today"
    step 'another one answers' eventually another_api_is_ready
    step 'nothing is left' eventually has_no_net
    LIMIT=180 step 'its pod is ready' eventually api_pod_is_ready
}
# is_not_longer SECONDS TODAY: but for chance. Where nothing is hidden, the kubelet looks again after 10 to 15 s.
is_not_longer() { awk -v a="$1" -v today="$2" 'BEGIN { exit !(a > 0 && today > 0 && a <= today + 8) }'; }
# edit_in_rollback: writes another manifest as soon as a rollback has hidden the previous one, which has no webhook.
edit_in_rollback() {
    # Read once: the run may rename it between two looks.
    until is_hidden && cp "$HIDDEN" "$WORK/hides" && grep -q image: "$WORK/hides" &&
        ! grep -q audit-webhook-config-file "$WORK/hides"; do sleep 0.02; done
    sed 's/^    - --allow-privileged=true$/&\n    - --v=3/' "$WORK/hides" >/etc/kubernetes/manifests/.edited &&
        mv /etc/kubernetes/manifests/.edited "$MANIFEST" && touch "$WORK/edited"
}
# has_word WORD: the API server that runs has the word on its command line.
has_word() { local pid; pid=$(api_pid) && tr '\0' '\n' <"/proc/$pid/cmdline" | grep -x -- "$1"; }
