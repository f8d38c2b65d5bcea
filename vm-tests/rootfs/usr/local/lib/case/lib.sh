# What the scripts of the cases say. A step that fails ends the script.
export KUBECONFIG=/etc/kubernetes/admin.conf
MANIFEST=/etc/kubernetes/manifests/kube-apiserver.yaml
AUDIT_LOG=/var/log/kubernetes/audit/audit.log

# A line for the harness.
tell() { echo "$*" >>/dev/virtio-ports/result; }

# step NAME COMMAND...: the command succeeds within LIMIT seconds.
step() {
    local name=$1 start=${EPOCHREALTIME/./} output rc took beat
    shift
    tell "STEP $name"
    # A long step is no silence: it has its own limit.
    while sleep 30; do tell "WAIT $name"; done &
    beat=$!
    output=$(timeout --kill-after=5 "${LIMIT:-60}" bash -c '. /usr/local/lib/case/lib.sh; "$@"' - "$@" 2>&1)
    rc=$?
    kill "$beat"
    printf '== %s: exit %s\n%s\n' "$name" "$rc" "$output"
    took=$(((${EPOCHREALTIME/./} - start) / 100000))
    if [ $rc -eq 0 ]; then
        tell "OK $((took / 10)).$((took % 10)) s $name"
        return
    fi
    tell "FAILED exit $rc after $((took / 10)) s"
    tail -n 12 <<<"$output" | while IFS= read -r line; do tell "| $line"; done
    exit 1
}

# The command succeeds sooner or later; the limit is the step's.
eventually() { until "$@" >/tmp/eventually 2>&1; do sleep 0.2; done; cat /tmp/eventually; }

# The command fails with an exit code: exits 3 kube-audit-bootstrap status
exits() { local rc=0; "${@:2}" || rc=$?; echo "exit $rc"; [ $rc -eq "$1" ]; }

# Two words are the same: is "$(hostname)" node
is() { echo "$1, wanted $2"; [ "$1" = "$2" ]; }

cloud_init_done() { cloud-init status --format json | jq -e '.status == "done" and .errors == []'; }

# The process ids of the API servers that run here.
api_pids() { pgrep -x kube-apiserver | sort -n | xargs; }
api_is_ready() { kubectl get --raw /readyz; }
node_is_ready() { kubectl get node "$(hostname)" -o json | jq -e '.status.conditions[] | select(.type == "Ready") | .status == "True"'; }

# Ready, and known to a kubelet that isn't about to be restarted by kubeadm.
api_pod_is_ready() {
    kubectl -n kube-system get pod "kube-apiserver-$(hostname)" -o json |
        jq -e '.status.conditions[] | select(.type == "Ready") | .status == "True"'
}

# The audit flags on the command line of the one API server that runs here, sorted.
audit_flags() { tr '\0' '\n' <"/proc/$(api_pids)/cmdline" | grep '^--audit-' | sort; }
has_flags() { audit_flags; is "$(audit_flags | wc -l)" "$1"; }

# The events in the log that a filter of jq takes, such as .level == "Metadata".
events() { jq -c "select($1)" "$AUDIT_LOG" | wc -l; }
has_events() { local n; n=$(events "${1:-true}") && echo "$n events" && [ "$n" -gt 0 ]; }

# Everything that kube-audit-bootstrap may write to, with inode and time of change.
written() { find /etc/kubernetes /etc/kube-audit-bootstrap /var/lib/kube-audit-bootstrap "$@" ! -path '*/tmp/*' -printf '%p %i %C@ %s\n' 2>/dev/null | sort; }
writes_nothing() { local before; before=$(written); "$@" && diff <(echo "$before") <(written); }

# kubeadm init, as far as a cluster without addons goes. This is not the machine that its preflight checks want.
init() { kubeadm init --config "$1" --skip-phases=addon --ignore-preflight-errors=all "${@:2}"; }

# watch_api: from now on, api_starts counts the API servers that were started, and another_api_is_ready waits for one.
watch_api() {
    api_pids >/var/lib/case/api-pids
    date -u +%FT%T.%NZ >/var/lib/case/since
    readlink -f /var/log/pods/kube-system_kube-apiserver-*/kube-apiserver/*.log | sort >/var/lib/case/api-logs
}
# A container has a log of its own: a new file is a start.
api_starts() {
    readlink -f /var/log/pods/kube-system_kube-apiserver-*/kube-apiserver/*.log | sort | comm -13 /var/lib/case/api-logs - | wc -l
}
another_api_is_ready() { [ "$(api_pids | wc -w)" = 1 ] && [ "$(api_pids)" != "$(cat /var/lib/case/api-pids)" ] && api_is_ready; }
# The API server that runs now is the one that runs in some seconds.
stays_for() { local pids; pids=$(api_pids); sleep "$1"; is "$(api_pids)" "$pids"; }

# What an administrator does who follows a guide: directory, policy, and an edit of the manifest.
edit_by_hand() {
    mkdir -p /tmp/hand/etc/kubernetes/manifests /var/log/kubernetes/audit
    cp "$MANIFEST" /tmp/hand/etc/kubernetes/manifests/
    kube-audit-bootstrap apply --root /tmp/hand
    cp /tmp/hand/etc/kubernetes/audit-policy.yaml /etc/kubernetes/
    cp "/tmp/hand$MANIFEST" /etc/kubernetes/manifests/.edited
    mv /etc/kubernetes/manifests/.edited "$MANIFEST"
}

# kubeadm upgrade to a version whose programs are in /opt/kubernetes.
upgrade() {
    local bin=/opt/kubernetes/$1 skip=()
    ! "$bin/kubeadm" upgrade apply --help | grep -q -- --skip-phases || skip=(--skip-phases=addon)
    "$bin/kubeadm" upgrade apply "v$1" --yes --ignore-preflight-errors=all "${skip[@]}"
}
