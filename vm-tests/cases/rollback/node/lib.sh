# Spoils the policy before an API server reads it, when the one of before takes no more requests: to the next it has no rules.
spoil_policy() {
    until [ -s /etc/kubernetes/audit-policy.yaml ]; do sleep 0.1; done
    while curl -skf --max-time "$PATIENCE" -o /dev/null https://localhost:6443/livez; do sleep 0.1; done
    printf '%s\n' 'apiVersion: audit.k8s.io/v1' 'kind: Policy' 'rules: []' >/etc/kubernetes/audit-policy.yaml
}

# A disk of the log's own, of a few MiB.
small_log_disk() {
    mkdir -p /var/log/kubernetes/audit
    mount -t tmpfs -o size=4m,mode=700 tmpfs /var/log/kubernetes/audit
}
# It is full when the next API server would write to it.
fill_log_disk() {
    until grep -q audit-log-path "$MANIFEST"; do sleep 0.1; done
    cat /dev/zero >/var/log/kubernetes/audit/ballast
}

# The data of kubeadm's own ConfigMap.
cluster_data() { kubectl -n kube-system get configmap kubeadm-config -o json | jq .data; }
is_as_it_was() { is_still manifest manifest && [ ! -e /etc/kubernetes/audit-policy.yaml ]; }

# What comes to its end before it is put back.
a_while() { emulated && echo 10m || echo 2m; }

# are_bounded REFUSED UNWRITABLE FLOOR: an API server that doesn't start is known after its second end, so it is away for less than two bare edits;
# one that can't write its log serves, so that each way is a restart of its own, which takes the kubelet a quarter more or less, by chance.
are_bounded() { awk -v a="$1" -v b="$2" -v floor="$3" 'BEGIN { print a / floor, b / floor; exit !(a > 0 && b > 0 && a <= floor * 2 && b <= floor * 1.5) }'; }
