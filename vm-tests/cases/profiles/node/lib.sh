# How long each volume is measured, in seconds. README.md's table is of a longer run, see CONTRIBUTING.md.
WINDOW=15

# login NAMESPACE NAME: makes a service account that may do everything, and its kubeconfig.
login() {
    local token
    kubectl create namespace "$1" && kubectl -n "$1" create serviceaccount "$2" &&
        kubectl create clusterrolebinding "$1-$2" --clusterrole=cluster-admin "--serviceaccount=$1:$2" &&
        token=$(kubectl -n "$1" create token "$2" --duration=5h) &&
        kubectl config view --raw --minify --flatten -o json |
        jq --arg token "$token" '.users[0].user = {token: $token}' >"$WORK/$2.conf"
}
# A service account that may do nothing.
login_without_rights() { login ops nobody && kubectl delete clusterrolebinding ops-nobody; }
# of NAME KUBECTL-ARGUMENT...: kubectl with the kubeconfig of a service account.
of() { kubectl --kubeconfig "$WORK/$1.conf" "${@:2}"; }

# The image of an idle container that the node has.
idle_image() { crictl images -o json | jq -r '[.images[].repoTags[] | select(contains("pause"))][0]'; }

# deployment NAME: a deployment with one idle pod, as YAML.
deployment() {
    cat <<END
apiVersion: apps/v1
kind: Deployment
metadata: {name: $1}
spec:
  selector: {matchLabels: {app: $1}}
  template:
    metadata: {labels: {app: $1}}
    spec:
      tolerations: [{operator: Exists}]
      containers: [{name: idle, image: "$(idle_image)", imagePullPolicy: Never}]
END
}

# a_person SECONDS: looks around, and changes something now and then: a command about every six seconds.
a_person() {
    local end=$((SECONDS + $1)) n=0
    while [ $SECONDS -lt $end ]; do
        case $((n++ % 8)) in
        0) kubectl get pods -A ;;
        1) kubectl get nodes -o wide ;;
        2) kubectl -n kube-system describe pod "kube-apiserver-$(hostname)" ;;
        3) kubectl -n kube-system get deployments,services,configmaps ;;
        4) kubectl get events -A ;;
        5) kubectl -n kube-system logs --tail=3 "kube-scheduler-$(hostname)" ;;
        6) kubectl -n default annotate serviceaccount default "looked=$n" --overwrite ;;
        7) kubectl auth can-i list secrets ;;
        esac >/dev/null
        sleep 5
    done
}

# an_operator SECONDS: renews its lease every two seconds, watches, and writes a status every ten seconds.
an_operator() {
    local end=$((SECONDS + $1)) n=0 watcher
    of operator -n operators get lease operator >/dev/null || of operator -n operators create -f - >/dev/null <<'END'
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: operator}
END
    timeout "$1" kubectl --kubeconfig "$WORK/operator.conf" get pods -A --watch >/dev/null &
    watcher=$!
    while [ $SECONDS -lt $end ]; do
        of operator -n operators patch lease operator --type merge \
            -p "{\"spec\":{\"renewTime\":\"$(date -u +%FT%T.%6NZ)\"}}" >/dev/null
        [ $((n++ % 5)) -ne 0 ] || of operator -n operators create configmap "status-$n" --dry-run=client -o yaml |
            of operator apply -f - >/dev/null
        sleep 2
    done
    wait $watcher || [ $? -eq 124 ]
}

# a_pipeline SECONDS: makes a namespace with a deployment, waits for it, looks at it, and deletes it, about
# every 30 seconds.
a_pipeline() {
    local end=$((SECONDS + $1)) n=0
    while [ $SECONDS -lt $end ]; do
        n=$((n + 1))
        of pipeline create namespace "build-$n" >/dev/null
        deployment web | of pipeline -n "build-$n" apply -f - >/dev/null
        of pipeline -n "build-$n" create configmap settings --from-literal=a=b >/dev/null
        of pipeline -n "build-$n" create secret generic keys --from-literal=a=b >/dev/null
        timeout 20 kubectl --kubeconfig "$WORK/pipeline.conf" -n "build-$n" rollout status deployment web >/dev/null || true
        of pipeline -n "build-$n" get all >/dev/null
        of pipeline delete namespace "build-$n" --wait=false >/dev/null
        sleep 20
    done
}

# work SECONDS: two people, an operator and a pipeline.
work() {
    local jobs=() job
    for job in a_person a_person an_operator a_pipeline; do
        $job "$1" &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do wait "$job" || return 1; done
}

# The log begins anew. The API server appends to the file that it has open.
forget() { sleep 2 && truncate -s 0 "$AUDIT_LOG"; }

# volume NAME COMMAND...: runs the command for the time of a measurement, and tells what the log got.
volume() {
    local start took events bytes
    forget && start=${EPOCHREALTIME/./} && "${@:2}" && sleep 2 || return 1
    took=$((${EPOCHREALTIME/./} - start))
    events=$(wc -l <"$AUDIT_LOG") bytes=$(stat -c %s "$AUDIT_LOG")
    tell "VOLUME $1: $events events, $bytes bytes in $((took / 1000000)) s; an hour: \
$((events * 3600000000 / took)) events, $((bytes * 3600000000 / took)) bytes"
    echo "$events events, $bytes bytes in $((took / 1000000)) s"
}

# Does what must be recorded, and what must not be: a word that is in a secret and in a config map, a delete, a role
# binding, a token, a stream, a lease of an operator, a request without rights, and one without a valid login.
do_the_floor() {
    keep_credentials
    kubectl -n default create secret generic floor --from-literal=word=hush-hush &&
        kubectl -n default create configmap floor --from-literal=word=hush-hush &&
        kubectl -n default create service clusterip floor --tcp=80 &&
        kubectl -n default create rolebinding floor --clusterrole=view --user=alice &&
        kubectl -n default create token default >/dev/null &&
        of operator -n operators patch lease operator --type merge -p '{"spec":{"leaseTransitions":1}}' &&
        kubectl -n default delete secret,configmap,service,rolebinding floor || return 1
    exits 1 kubectl -n kube-system exec "etcd-$(hostname)" -- /nothing &&
        exits 1 kubectl --kubeconfig "$WORK/nobody.conf" -n kube-system get pods || return 1
    # curl's 22 is an answer of 400 or more.
    exits 22 curl -skf -H 'Authorization: Bearer wrong' https://localhost:6443/version || return 1
    # With low-noise, nothing else may follow, and `events` leaves out the last line.
    kubectl get namespaces >/dev/null
}

# Of each part of the floor, there is an event.
FLOOR=(
    '.objectRef.resource == "secrets" and .verb == "create" and .objectRef.namespace == "default"'
    '.objectRef.resource == "configmaps" and .verb == "delete" and .objectRef.namespace == "default"'
    '.objectRef.resource == "services" and .verb == "create" and .objectRef.namespace == "default"'
    '.objectRef.resource == "rolebindings" and .verb == "create"'
    '.objectRef.subresource == "token" and .user.username == "kubernetes-admin"'
    '.objectRef.resource == "leases" and .user.username == "system:serviceaccount:operators:operator"'
    '.objectRef.subresource == "exec"'
    '.responseStatus.code == 403 and .user.username == "system:serviceaccount:ops:nobody"'
    '.responseStatus.code == 401'
)
has_the_floor() {
    local filter
    for filter in "${FLOOR[@]}"; do has_events "$filter" || { echo "missing: $filter"; return 1; }; done
}

# What the control plane and the kubelet do all the time.
NOISE=(
    '.requestURI == "/livez" or .requestURI == "/readyz"'
    '.objectRef.resource == "leases" and (.user.username // "" | startswith("system:node:") or startswith("system:kube-"))'
    '(.verb == "list" or .verb == "watch" or .verb == "get") and (.user.username // "" | startswith("system:serviceaccount:kube-system:"))
        and ((.objectRef.resource // "") | IN("secrets") | not) and ((.objectRef.apiGroup // "") | IN("rbac.authorization.k8s.io",
        "certificates.k8s.io", "authentication.k8s.io") | not)'
)
has_the_noise() { has_events "${NOISE[0]}" && has_events "${NOISE[1]}" && has_events "${NOISE[2]}"; }
has_no_noise() {
    has_no_events "${NOISE[0]}" && has_no_events "${NOISE[1]}" && has_no_events "${NOISE[2]}"
}

# The word, and as it is in a secret.
WORD='hush-hush|aHVzaC1odXNo'
has_no_secret() { has_events && lacks "$WORD" "$AUDIT_LOG"; }
has_the_secret() { grep -qE "$WORD" "$AUDIT_LOG"; }
has_bodies() { has_events '.requestObject != null and .objectRef.resource == "services" and .objectRef.name == "floor"'; }
has_no_bodies() { has_no_events '.requestObject != null or .responseObject != null'; }

# has_limits MAXBACKUP MAXSIZE
has_limits() { has_flag "--audit-log-maxage=30" && has_flag "--audit-log-maxbackup=$1" && has_flag "--audit-log-maxsize=$2"; }

# A fragment that drops what the operator does with its lease.
add_fragment() {
    mkdir -p /etc/kube-audit-bootstrap/policy.d && cat >/etc/kube-audit-bootstrap/policy.d/10-operator.yaml <<'END'
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: None
  users: ["system:serviceaccount:operators:operator"]
  resources: [{group: coordination.k8s.io, resources: [leases]}]
END
}
# is_profile NAME: the policy is that of the profile, byte for byte.
is_profile() { kube-audit-bootstrap policy show "$1" | cmp - /etc/kubernetes/audit-policy.yaml; }
