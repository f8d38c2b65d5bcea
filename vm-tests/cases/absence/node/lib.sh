# ended_or_left COMMAND...: the old API server is ended, or left to the kubelet where this node is too slow to see that it may be.
ended_or_left() { says "it is ended$(! emulated || echo '|it is left to the kubelet')" "$@"; }

another_policy() {
    configure 'policy: {source: /etc/kube-audit-bootstrap/policy.yaml}'
    cat >/etc/kube-audit-bootstrap/policy.yaml <<'END'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Request
  resources:
  - resources: [configmaps]
- level: Metadata
END
}

# are_short SECONDS SECONDS FLOOR: two of them take little more than one bare edit. The kubelet looks again after 10 to 15 s, by chance, and
# the new API server starts the later, the more runs beside it.
are_short() { awk -v a="$1" -v b="$2" -v floor="$3" 'BEGIN { print a / floor, b / floor; exit !(a > 0 && b > 0 && a + b <= floor * 1.2) }'; }
