another_policy() {
    mkdir -p /etc/kube-audit-bootstrap
    cat >/etc/kube-audit-bootstrap/config.yaml <<'END'
apiVersion: kube-audit-bootstrap/v1alpha1
kind: AuditBootstrapConfiguration
policy:
  source: /etc/kube-audit-bootstrap/policy.yaml
END
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

# says WORDS COMMAND...: the command succeeds, and says so.
says() {
    local words=$1
    shift
    "$@" >"$WORK/said" 2>&1 || { cat "$WORK/said"; return 1; }
    cat "$WORK/said"
    grep -qE "$words" "$WORK/said"
}

differs() { ! cmp "$1" "$2"; }
