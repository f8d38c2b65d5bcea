# kubeadm keeps what its dry runs make.
is_untouched() {
    local place places=(/etc/kubernetes)
    for place in /var/lib/kube-audit-bootstrap /run/kube-audit-bootstrap /var/log/kubernetes; do
        [ ! -e $place ] || places+=($place)
    done
    finds_nothing "${places[@]}" ! -type d ! -path '/etc/kubernetes/tmp/*'
}

init() { kubeadm init --skip-phases=addon --ignore-preflight-errors=all "$@"; }
init_by_pipe() { init --config <(cat /root/kubeadm.yaml); }
init_by_options() {
    init --cri-socket unix:///run/containerd/containerd.sock --kubernetes-version v@VERSION@ --apiserver-advertise-address @ADDRESS@ "$@"
}
# Without a file nobody can tell kubeadm to wait longer than a minute for a request, which an emulated API server that just started needs: a
# second call finds it running.
until_it_may() { if emulated; then eventually "$@"; else "$@"; fi; }
reset() {
    kubeadm reset --force --cri-socket unix:///run/containerd/containerd.sock --cleanup-tmp-dir && rm -rf /var/log/kubernetes/audit /etc/kubernetes/audit-policy.yaml
}
audits() {
    eventually api_is_ready && has_default_flags && eventually has_events '.level == "Metadata" and .stage == "ResponseComplete"'
}
has_patches_of_user() { grep -F 'somebody: else' "$MANIFEST" && grep -Fx '    - --v=1' "$MANIFEST"; }
