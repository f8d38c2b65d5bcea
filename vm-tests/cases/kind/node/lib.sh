CLUSTER=kube-audit-bootstrap
NODE=$CLUSTER-control-plane
IMAGE=kube-audit-bootstrap/node
export KUBECONFIG=$WORK/kubeconfig

# kind's node image with the program in front of kubeadm, as a user makes one.
build_image() {
    local context=$WORK/context
    mkdir -p "$context/root/usr/local/bin"
    cp "$(command -v kube-audit-bootstrap)" "$context/root/usr/local/bin/kube-audit-bootstrap"
    ln -sfn kube-audit-bootstrap "$context/root/usr/local/bin/kubeadm"
    printf 'FROM kindest/node:v@VERSION@\nCOPY root /\n' >"$context/Dockerfile"
    docker build -t "$IMAGE" "$context"
}

kind_node_is_ready() { kubectl get node "$NODE" -o json | jq -e '.status.conditions[] | select(.type == "Ready") | .status == "True"'; }
in_node() { docker exec "$NODE" "$@"; }
calls_the_hook() { is "$(in_node sh -c 'command -v kubeadm')" /usr/local/bin/kubeadm; }

# The node's log, for what looks into one.
fetch_log() {
    in_node cat "$AUDIT_LOG" >"$WORK/audit.log"
    AUDIT_LOG=$WORK/audit.log
}
node_has_events() { fetch_log && has_events "$@"; }
first_event() { fetch_log && head -n 1 "$AUDIT_LOG"; }

# Whatever happened: the cluster is gone after, and its logs are kept if it failed.
clean_up() {
    local rc=$?
    [ $rc -eq 0 ] || kind export logs --name "$CLUSTER" "${LOGS:-/var/log/case}/kind" || true
    kind delete cluster --name "$CLUSTER"
    return $rc
}
