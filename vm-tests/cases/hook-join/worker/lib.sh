has_nothing_of_ours() {
    is "$(find /etc/kubernetes -path '*audit*' 2>&1; ls -A /etc/kubernetes/manifests)" '' && [ ! -e /var/log/kubernetes ] && [ ! -e /var/lib/kube-audit-bootstrap/backups ]
}
