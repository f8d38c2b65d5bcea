POLICY=/etc/kubernetes/audit-policy.yaml

# The data of kubeadm's own ConfigMap.
cluster_data() { kubectl -n kube-system get configmap kubeadm-config -o json | jq .data; }
in_force() { says "^running +ok +kube-apiserver \\($(api_pid)\\)" kube-audit-bootstrap status; }

# told WORDS: the run in the background has told the words.
told() { grep "$1" "$WORK/run"; }
# starts_run ARGUMENT...: starts a run in the background, which keeps what it tells.
starts_run() {
    kube-audit-bootstrap "$@" >"$WORK/run" 2>&1 &
    echo $! >"$WORK/run-pid"
}
# Spoils the policy for the API server that is about to start, waits until the run rolls back, and kills the run as soon
# as the manifest is back.
kills_rollback() {
    starts_run apply --wait "$LONG"
    until [ -s "$POLICY" ]; do sleep 0.05; done
    while curl -skf --max-time "$PATIENCE" -o /dev/null https://localhost:6443/livez; do sleep 0.1; done
    printf '%s\n' 'apiVersion: audit.k8s.io/v1' 'kind: Policy' 'rules: []' >"$POLICY"
    until told '; rolling back'; do kill -0 "$(cat "$WORK/run-pid")" && sleep 0.05 || return 1; done
    until cmp -s "$MANIFEST" "$(kept manifest)"; do sleep 0.02; done
    kill -KILL "$(cat "$WORK/run-pid")" && exits 137 wait "$(cat "$WORK/run-pid")" && lacks 'everything is as' "$WORK/run"
}
# edits_at_the_end WORDS: edits the policy when a run tells the words, and the run then refuses to call it done.
edits_at_the_end() {
    starts_run apply --wait "$LONG"
    until told "$1"; do sleep 0.02; done
    sed -i 's/- level: Metadata/- level: Request/' "$POLICY"
    exits 1 wait "$(cat "$WORK/run-pid")" && told "not as this run left it: $POLICY: .*nothing is rolled back"
}

# The container runtime makes such a directory where a policy is missing.
is_empty_directory() { rm -f "$POLICY" && mkdir "$POLICY"; }

# Every kubectl that the program may run hangs, whatever it is asked.
hang_kubectl() {
    local kubectl
    printf '#!/bin/sh\nexec sleep 300\n' >"$WORK/hangs" && chmod 755 "$WORK/hangs"
    for kubectl in /usr/bin/kubectl /usr/local/bin/kubectl /opt/bin/kubectl; do
        [ ! -e $kubectl ] || mount --bind "$WORK/hangs" $kubectl || return 1
    done
}
unhang_kubectl() {
    local kubectl
    for kubectl in /usr/bin/kubectl /usr/local/bin/kubectl /opt/bin/kubectl; do
        ! is_mounted $kubectl || umount $kubectl || return 1
    done
}
