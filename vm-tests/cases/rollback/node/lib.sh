# Removes the rules of the policy when the old API server takes no more requests, before the new one reads the policy.
spoil_policy() {
    until [ -s /etc/kubernetes/audit-policy.yaml ]; do sleep 0.1; done
    while curl -skf --max-time "$PATIENCE" -o /dev/null https://localhost:6443/livez; do sleep 0.1; done
    printf '%s\n' 'apiVersion: audit.k8s.io/v1' 'kind: Policy' 'rules: []' >/etc/kubernetes/audit-policy.yaml
}

# The log gets a disk of its own, of a few MiB.
small_log_disk() {
    mkdir -p /var/log/kubernetes/audit
    mount -t tmpfs -o size=4m,mode=700 tmpfs /var/log/kubernetes/audit
}
# Fills it before the next API server writes to it.
fill_log_disk() {
    until grep -q audit-log-path "$MANIFEST"; do sleep 0.1; done
    cat /dev/zero >/var/log/kubernetes/audit/ballast
}

# The data of kubeadm's own ConfigMap.
cluster_data() { kubectl -n kube-system get configmap kubeadm-config -o json | jq .data; }
is_as_it_was() { is_still manifest manifest && [ ! -e /etc/kubernetes/audit-policy.yaml ]; }

# How long apply --wait waits before it puts the log back.
a_while() { emulated && echo 10m || echo 2m; }

# are_bounded REFUSED UNWRITABLE FLOOR: the two absences are bounded by that of a bare edit. An API server that can't
# write its log answers, so each way is a restart of its own. The rollback hides the manifest, too, so none waits for
# the kubelet's back-off.
are_bounded() {
    awk -v a="$1" -v b="$2" -v floor="$3" \
        'BEGIN { print a / floor, b / floor; exit !(a > 0 && b > 0 && a <= floor && b <= floor * 0.7) }'
}
