# A policy that records what nobody does for weeks.
rare_policy() {
    configure 'policy: {source: /etc/kube-audit-bootstrap/policy.yaml}'
    cat >/etc/kube-audit-bootstrap/policy.yaml <<'END'
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Metadata
  resources:
  - resources: [pods/exec, pods/attach]
END
}

# A certificate of another authority: the API server answers that it doesn't know who asks.
spoil_admin_conf() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=nobody \
        -keyout "$WORK/key" -out "$WORK/crt" 2>/dev/null &&
        sed -i -e "s|client-certificate-data: .*|client-certificate-data: $(base64 -w0 <"$WORK/crt")|" \
            -e "s|client-key-data: .*|client-key-data: $(base64 -w0 <"$WORK/key")|" /etc/kubernetes/admin.conf
}

# The backups get a disk of their own. It is filled once the manifest is written.
small_disk() {
    mkdir -p /var/lib/kube-audit-bootstrap
    mount -t tmpfs -o size=256k,mode=700 tmpfs /var/lib/kube-audit-bootstrap
}
fill_disk() {
    while cmp -s "$MANIFEST" "$(kept audited)"; do sleep 0.1; done
    cat /dev/zero >/var/lib/kube-audit-bootstrap/ballast
}
