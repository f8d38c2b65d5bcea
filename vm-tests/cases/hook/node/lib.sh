# Nothing was prepared. kubeadm keeps the files of its dry runs in a folder of its own.
is_untouched() {
    local folder folders=(/etc/kubernetes)
    for folder in /var/lib/kube-audit-bootstrap /run/kube-audit-bootstrap /var/log/kubernetes; do
        [ ! -e $folder ] || folders+=($folder)
    done
    finds_nothing "${folders[@]}" ! -type d ! -path '/etc/kubernetes/tmp/*'
}

init() { kubeadm init --skip-phases=addon --ignore-preflight-errors=all "$@"; }
init_by_pipe() { init --config <(cat /root/kubeadm.yaml); }
init_by_options() {
    init --cri-socket unix:///run/containerd/containerd.sock --kubernetes-version v@VERSION@ \
        --apiserver-advertise-address @ADDRESS@ "$@"
}
# until_it_may COMMAND...: on a slow node, repeats a kubeadm that has no file. Without a file, kubeadm waits up to a
# minute for a request, and an emulated API server that has just started may need longer. A second call finds it
# running.
until_it_may() { if emulated; then eventually "$@"; else "$@"; fi; }
reset() {
    kubeadm reset --force --cri-socket unix:///run/containerd/containerd.sock --cleanup-tmp-dir &&
        rm -rf /var/log/kubernetes/audit /etc/kubernetes/audit-policy.yaml
}
audits() {
    eventually api_is_ready && has_default_flags &&
        eventually has_events '.level == "Metadata" and .stage == "ResponseComplete"'
}
has_patches_of_user() { grep -F 'somebody: else' "$MANIFEST" && grep -Fx '    - --v=1' "$MANIFEST"; }
