has_nothing_of_ours() {
    finds_nothing /etc/kubernetes -path '*audit*' -o -path '*/manifests/*' &&
        [ ! -e /var/log/kubernetes ] && [ ! -e /var/lib/kube-audit-bootstrap/backups ]
}
