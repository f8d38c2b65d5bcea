# ended_or_left COMMAND...: the command succeeds, and says that it ended the old API server. On a slow node it may say
# that it left the old API server to the kubelet, as it may not see there that no event would be lost.
ended_or_left() { says "is ended$(! emulated || echo '|is left to the kubelet')" "$@"; }

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

# are_short SECONDS SECONDS FLOOR: two absences take little more than that of one bare edit. The kubelet looks again
# after 10 to 15 s, by chance, and the new API server starts later on a busy machine.
are_short() {
    awk -v a="$1" -v b="$2" -v floor="$3" \
        'BEGIN { print a / floor, b / floor; exit !(a > 0 && b > 0 && a + b <= floor * 1.2) }'
}
