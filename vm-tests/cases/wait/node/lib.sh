another_policy() {
    configure 'policy: {source: /etc/kube-audit-bootstrap/policy.yaml}'
    cat >/etc/kube-audit-bootstrap/policy.yaml <<'END'
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Request
  resources:
  - resources: [configmaps]
- level: Metadata
END
}

# A webhook's kubeconfig that looks right, and that the API server can't use.
bad_webhook() {
    cat >>/etc/kube-audit-bootstrap/config.yaml <<'END'
webhook:
  configFile: /etc/kubernetes/audit-webhook.yaml
END
    cat >/etc/kubernetes/audit-webhook.yaml <<'END'
apiVersion: v1
kind: Config
clusters:
- name: collector
  cluster: {server: https://192.0.2.1, certificate-authority: /no/such/ca.crt}
contexts:
- name: default
  context: {cluster: collector, user: ""}
current-context: default
END
}
