# ended_or_left COMMAND...: the command succeeds, and says that it ended the old API server. On a slow node it may say
# that it left the old API server to the kubelet, as it may not see there that no event would be lost.
ended_or_left() { says "is ended$(! emulated || echo '|is left to the kubelet')" "$@"; }

# policy_for USER: configures a policy that names a user, and so differs from another one.
policy_for() {
    configure 'policy: {source: /etc/kube-audit-bootstrap/policy.yaml}'
    cat >/etc/kube-audit-bootstrap/policy.yaml <<END
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [$1]
- level: Request
  resources:
  - resources: [configmaps]
- level: Metadata
END
}

# are_short SECONDS SECONDS THIRD FLOOR: two absences in which the manifest is hidden take less than one of a bare edit.
# On a quiet machine each takes a quarter. Most of it is the time of running requests, and the start of the new API
# server, which takes three times as long on a busy machine. The third is only told: where nothing is hidden, the
# kubelet may look again soon, by chance.
are_short() {
    awk -v a="$1" -v b="$2" -v third="$3" -v floor="$4" \
        'BEGIN { print a / floor, b / floor, third / floor; exit !(a > 0 && b > 0 && a + b <= floor * 0.9) }'
}
