# The name is that of this run alone, as somebody's machine may have another cluster.
CLUSTER=audit-$(cksum <<<"$WORK" | cut -d ' ' -f 1)
NODE=${NODE:-$CLUSTER-control-plane}
NODE_LOG=$AUDIT_LOG
IMAGE=kube-audit-bootstrap/node:$CLUSTER
export KUBECONFIG=$WORK/kubeconfig

# Builds kind's node image with the program in front of kubeadm, as a user does.
build_image() {
    local context=$WORK/context
    mkdir -p "$context"
    cp "$(command -v kube-audit-bootstrap)" "$context"
    kube-audit-bootstrap render kind >"$context/Dockerfile"
    docker build -t "$IMAGE" --build-arg NODE_IMAGE=kindest/node:v@VERSION@ "$context"
}

kind_node_is_ready() { kubectl get node "$NODE" -o json | is_ready; }
in_node() { docker exec "$NODE" "$@"; }
finds_a_worker() { in_node kube-audit-bootstrap status | grep -w 'a worker'; }
calls_the_hook() { is "$(in_node sh -c 'command -v kubeadm')" /usr/local/bin/kubeadm; }

create_cluster() { kind create cluster --name "$CLUSTER" --image "$IMAGE" --config "$CASE/kind.yaml" --retain; }
# Creates the cluster on a machine that may be emulated. Some limits are the same on every machine, and too short for an
# emulated one: kind gives the systemd of a container 30 s, and kubeadm asks a new API server only once for some of what
# CoreDNS needs. If a first try ends because of such a limit, this reports it, keeps its logs, and tries once more. Any
# other end is a failure.
create_cluster_slowly() {
    create_cluster 2>&1 | tee "$WORK/create" && return
    emulated && hit_a_limit "$WORK/create" || return
    tell "NOT JUDGED: kind's first try ended: $(last_lines "$WORK/create" | tail -n 4 | paste -sd ' ')"
    keep_kind_logs kind-first
    kind delete cluster --name "$CLUSTER" && create_cluster
}
# hit_a_limit FILE: kind, which printed the file, ended because of a limit. kubeadm ends a wait with exit code 1, and its
# last lines say why, but for those of its log. The program in front of kubeadm says so if it doesn't start kubeadm, and
# has other exit codes.
hit_a_limit() {
    # The name of the cluster has the word audit.
    sed "s/$CLUSTER/CLUSTER/g" "$1" |
        lacks 'kubeadm [a-z]+ (was not started|starts (all the same|without audit logs))|^(error|warning): .*audit' || return 1
    ! grep -E '^ERROR: failed to create cluster: could not find a log line that matches' "$1" || return 0
    local limits='timed out|[Tt]imeout|deadline exceeded|connection (refused|reset|lost)|was refused|EOF'
    grep -E '^ERROR: failed to .* failed with error: exit status 1$' "$1" &&
        last_lines <(grep -vE '^[IWE][0-9]{4} ' "$1") | grep -E "$limits|too many requests|not yet ready"
}
keep_kind_logs() { kind export logs --name "$CLUSTER" "${LOGS:-/var/log/case}/$1" || true; }

# A copy of the node's log, for the words that read a log.
AUDIT_LOG=$WORK/audit.log
fetch_log() { in_node cat "$NODE_LOG" >"$AUDIT_LOG"; }
node_has_events() { fetch_log && has_events "$@"; }
starts_with() { local now; now=$(first_event) && is "$now" "$1"; }
first_event() { fetch_log && head -n 1 "$AUDIT_LOG"; }

# Removes the cluster and its image, however the script ends. If it failed, this keeps the logs.
clean_up() {
    local rc=$?
    [ $rc -eq 0 ] || keep_kind_logs kind
    kind delete cluster --name "$CLUSTER"
    docker image rm "$IMAGE"
    return $rc
}
# The harness ends the script by SIGTERM. clean_up then knows that this is a failure.
trap 'exit 143' TERM
