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

# killed_at WORDS: apply --wait is killed as soon as it says so.
killed_at() {
    local pid
    kube-audit-bootstrap apply --wait 4m >"$WORK/killed" 2>&1 &
    pid=$!
    until grep -q "$1" "$WORK/killed"; do kill -0 $pid || { cat "$WORK/killed"; return 1; }; sleep 0.01; done
    kill -KILL $pid
    wait $pid
    cat "$WORK/killed"
    # It didn't come to its end.
    ! grep -q '^proof\|everything is as it was' "$WORK/killed"
}
