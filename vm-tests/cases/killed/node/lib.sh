# policy USER: configures a policy that names a user, and so differs from another one.
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
