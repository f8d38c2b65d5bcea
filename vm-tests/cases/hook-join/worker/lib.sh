has_nothing_of_ours() { is "$(find /etc/kubernetes /var/lib/kube-audit-bootstrap/backups /var/log/kubernetes ! -type d -path '*audit*' 2>/dev/null; ls -A /etc/kubernetes/manifests)" ''; }
