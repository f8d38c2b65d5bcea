# Another policy each time.
policy() {
    configure 'policy: {source: /etc/kube-audit-bootstrap/policy.yaml}'
    cat >/etc/kube-audit-bootstrap/policy.yaml <<END
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Metadata
  users: [$1]
- level: Metadata
END
}
