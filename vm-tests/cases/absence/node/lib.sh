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

# Asks questions with numbers, several at once, and keeps the numbers of those that were answered.
ask_numbers() {
    local kubeconfig=/etc/kubernetes/admin.conf field
    for field in client-certificate client-key; do
        sed -n "s/^ *$field-data: //p" $kubeconfig | base64 -d >"$WORK/$field"
    done
    for asker in 1 2 3 4; do
        for ((n = 0; ; n++)); do
            ! curl -skf --max-time 5 -o /dev/null --cert "$WORK/client-certificate" --key "$WORK/client-key" \
                "https://localhost:6443/api/v1/namespaces/default/configmaps?number=$asker-$n" || echo "$asker-$n"
        done >"$WORK/answered-$asker" &
        echo $! >>"$WORK/askers"
    done
}
ask_no_more() { kill $(cat "$WORK/askers"); }

# Every answer has its event, and no more than one.
all_are_recorded() {
    sort "$WORK"/answered-* >"$WORK/answered"
    jq -r 'select(.stage == "ResponseComplete" and .responseStatus.code == 200) | .requestURI | capture("number=(?<n>[0-9-]+)$").n' \
        "$AUDIT_LOG" | sort >"$WORK/recorded"
    echo "$(wc -l <"$WORK/answered") answers, $(wc -l <"$WORK/recorded") events"
    [ "$(wc -l <"$WORK/answered")" -gt 20 ] && is "$(uniq -d "$WORK/recorded")" '' &&
        is "$(comm -23 "$WORK/answered" "$WORK/recorded" | head)" ''
}

# are_short SECONDS SECONDS FLOOR: two of them take little more than one bare edit. The kubelet looks again after 10 to 15 s, by chance, and
# the new API server starts the later, the more runs beside it. Where nobody watched the old one, it didn't linger, and nothing can be shortened.
are_short() { awk -v a="$1" -v b="$2" -v floor="$3" 'BEGIN { print a / floor, b / floor; exit !(a > 0 && b > 0 && (a + b <= floor * 1.2 || floor < 30)) }'; }
