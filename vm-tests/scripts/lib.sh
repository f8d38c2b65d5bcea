# The words that the scripts of the cases say. A step that fails ends its script.
set -o pipefail
# The folder of this file, the folder of the case, the file that the harness reads, and a folder for what a script
# keeps. If the scripts run on no node, they are set (src/host.rs).
export LIB=${LIB:-/usr/local/lib/case} CASE=${CASE:-/case}
export RESULT=${RESULT:-/dev/virtio-ports/result} WORK=${WORK:-/var/lib/case}
export KUBECONFIG=${KUBECONFIG:-/etc/kubernetes/admin.conf} HOME=${HOME:-/root}
MANIFEST=/etc/kubernetes/manifests/kube-apiserver.yaml
AUDIT_LOG=/var/log/kubernetes/audit/audit.log
# The factor by which all limits are longer than in namespaces of a quiet machine.
PATIENCE=$(cat "$CASE/patience" 2>/dev/null || echo 1)
# How long a proof of an API server may take that should be proved.
LONG=$((4 * PATIENCE))m

# Is the node emulated? If so, an API server needs minutes to start, and what only its speed shows can't be judged.
emulated() { [ -e "$CASE/emulated" ]; }

# nap TENTHS: sleeps for so many tenths of a second, or longer on a slow node, which asking again would keep busy.
nap() { local tenths=$(($1 * PATIENCE)); sleep "$((tenths / 10)).$((tenths % 10))"; }

# tell WORD...: tells the harness a line. The port takes one line at a time.
tell() { flock "$LIB/lib.sh" sh -c 'printf "%s\\n" "$1" >>"$RESULT"' - "$*"; }

# step NAME COMMAND...: the command succeeds within LIMIT seconds, which is 120 by default, times the patience of the
# harness.
step() {
    local name=$1 start=${EPOCHREALTIME/./} rc=0 took beat
    shift
    tell "STEP $name"
    rm -f "$WORK"/eventually*
    # A long step is no silence of its node, and has a limit of its own.
    while sleep 30; do tell "WAIT $name"; done &
    beat=$!
    # The output goes to a file: a process that the command leaves behind would hold a pipe open. The command runs in
    # the foreground: the scripts of a case without a node are ended as one group. What a command has started may go on
    # after its limit, until its node ends.
    timeout --foreground --kill-after=5 "$((${LIMIT:-120} * PATIENCE))" \
        bash -c '. "$LIB/lib.sh"; "$@"' - "$@" >"$WORK/output" 2>&1 || rc=$?
    kill "$beat" 2>/dev/null || true
    wait "$beat" 2>/dev/null || true
    printf '\n== %s: exit %s\n' "$name" "$rc"
    cat "$WORK/output"
    took=$(((${EPOCHREALTIME/./} - start) / 100000))
    if [ $rc -eq 0 ]; then
        tell "OK $((took / 10)).$((took % 10)) s $name"
        return
    fi
    tell "FAILED exit $rc after $((took / 10)) s"
    # Its limit was over. If it waited by `eventually`, the last attempt says why.
    case $rc in 124 | 137)
        cat "$WORK/eventually" >>"$WORK/output" 2>/dev/null ||
            cat "$WORK/eventually-now" >>"$WORK/output" 2>/dev/null || true
        ;;
    esac
    touch "$WORK/failed"
    tell_end "$WORK/output"
    exit 1
}
# last_lines FILE: its last lines, without the stacks that a program in Go may print below its error. tell_end FILE:
# tells them to the harness.
last_lines() { sed -E '$!N;/^[^[:space:]]+[./][^[:space:]]+\n\t[^ ]+\.(go|s):[0-9]+$/d;P;D' "$1" | tail -n 12; }
tell_end() { last_lines "$1" | while IFS= read -r line; do tell "| $line"; done; }

# eventually COMMAND...: repeats the command until it succeeds, or the limit of the step is over.
eventually() {
    until "$@" >"$WORK/eventually-now" 2>&1; do
        mv "$WORK/eventually-now" "$WORK/eventually"
        nap 2
    done
    cat "$WORK/eventually-now"
}

# runs_whole SCRIPT: the script succeeds, and comes to its end: an `exit 0` before that is a failure. The script has a
# process of its own, as `set -e` has no effect in a condition.
runs_whole() {
    rm -f "$WORK/end"
    bash -c 'set -e; . "$LIB/lib.sh"; . "$1"; touch "$WORK/end"' - "$1" || return
    [ -e "$WORK/end" ] || { echo "$1 succeeds before its end"; return 1; }
}

# cut_power MS COMMAND...: has the harness cut the power within so many milliseconds, and repeats the command until
# then.
cut_power() {
    local output
    # Only what the command writes may be lost.
    sync
    tell "CUT $1"
    while output=$("${@:2}" 2>&1); do :; done
    tell "FAILED ${*:2}: ${output##*$'\n'}"
    exit 1
}

# exits CODE COMMAND...: the command ends with an exit code, such as exits 3 kube-audit-bootstrap status
exits() { local rc=0; "${@:2}" || rc=$?; echo "exit $rc"; [ $rc -eq "$1" ]; }

# says WORDS COMMAND...: the command succeeds, and prints a line with the words, which are an extended regular
# expression.
says() {
    "${@:2}" >"$WORK/said" 2>&1 || { cat "$WORK/said"; return 1; }
    cat "$WORK/said"
    grep -qE "$1" "$WORK/said"
}

# says_nothing_of WORDS COMMAND...: the command succeeds, and prints something, but no line with the words.
says_nothing_of() {
    "${@:2}" >"$WORK/said" 2>&1 || { cat "$WORK/said"; return 1; }
    cat "$WORK/said"
    [ -s "$WORK/said" ] && lacks "$1" "$WORK/said"
}

# lacks WORDS FILE...: no file has a line with the words, and all files can be read.
lacks() { exits 1 grep -E "$@"; }

# finds_nothing ARGUMENT...: find can look everywhere, and finds nothing.
finds_nothing() { local found; found=$(find "$@" 2>&1) || { echo "$found"; return 1; }; is "$found" ''; }

# units_are_right UNIT...: systemd finds no fault in the units. It succeeds and says so if it ignores a directive.
units_are_right() {
    local said
    said=$(systemd-analyze verify "$@" 2>&1) || { echo "$said"; return 1; }
    is "$said" ''
}

# is_mounted DIRECTORY, is_not_mounted DIRECTORY: mountpoint has an exit code for each, and another one if it can't
# tell.
is_mounted() { exits 0 mountpoint -q "$1"; }
is_not_mounted() { exits 32 mountpoint -q "$1"; }

# is WORD WORD: two words are the same, such as is "$(hostname)" node
is() { echo "$1, wanted $2"; [ "$1" = "$2" ]; }

# keep NAME COMMAND...: keeps what the command prints, which must be something, until the node ends. is_still NAME
# COMMAND...: the command prints the same as what was kept. kept NAME: prints the path of the file.
keep() { "${@:2}" >"$WORK/kept-$1" && [ -s "$WORK/kept-$1" ]; }
is_still() { "${@:2}" >"$WORK/now-$1" && diff "$(kept "$1")" "$WORK/now-$1"; }
kept() { echo "$WORK/kept-$1"; }
# manifest: prints the API server's manifest, for keep and is_still.
manifest() { cat "$MANIFEST"; }

# cloud-init has done what user-data says. Its exit code 2 is a warning, such as of a node without ssh. If a command of
# user-data failed, its output says why.
cloud_init_done() {
    { cloud-init status --format json || [ $? -eq 2 ]; } | jq -e '.status == "done" and .errors == []' ||
        { tail -n 12 /var/log/cloud-init-output.log; return 1; }
}

# The process of the one API server that runs here. It is an error if there is none, or two.
api_pid() { local pids; pids=$(pgrep -x kube-apiserver) && [[ $pids =~ ^[0-9]+$ ]] && echo "$pids"; }
# The ID of its container.
api_container() { local pid; pid=$(api_pid) && grep -oE '[0-9a-f]{64}' "/proc/$pid/cgroup" | tail -n 1; }
api_is_ready() { kubectl get --raw /readyz; }
# The node or the pod on stdin, in JSON, is ready. If it isn't, this prints why.
is_ready() {
    jq -e '.status.conditions[] | select(.type == "Ready") |
        if .status == "True" then true else .reason, .message, false end'
}
node_is_ready() { kubectl get node "$(hostname)" -o json | is_ready; }

# The API server's pod is ready. So its kubelet knows it, and kubeadm isn't about to restart that kubelet.
api_pod_is_ready() {
    kubectl -n kube-system get pod "kube-apiserver-$(hostname)" -o json | is_ready
}

# The audit flags on the command line of the one API server that runs here, sorted. An API server that ends has no
# command line any more, which is an error.
audit_flags() {
    local pid words
    pid=$(api_pid) && words=$(tr '\0' '\n' <"/proc/$pid/cmdline") && [ -n "$words" ] || return 1
    sed -n '/^--audit-/p' <<<"$words" | sort
}
has_flag() { audit_flags | grep -Fx -- "$1"; }
has_no_flags() { local flags; flags=$(audit_flags) && is "$flags" ''; }

# The audit flags are those of the default configuration, with its values.
has_default_flags() {
    diff - <(audit_flags) <<'END'
--audit-log-batch-max-size=5
--audit-log-batch-max-wait=1s
--audit-log-compress=true
--audit-log-format=json
--audit-log-maxage=30
--audit-log-maxbackup=100
--audit-log-maxsize=50
--audit-log-mode=batch
--audit-log-path=/var/log/kubernetes/audit/audit.log
--audit-log-truncate-enabled=true
--audit-log-truncate-max-batch-size=10485760
--audit-log-truncate-max-event-size=102400
--audit-log-version=audit.k8s.io/v1
--audit-policy-file=/etc/kubernetes/audit-policy.yaml
END
}
# Nobody but root may read the policy or the log.
is_private() {
    local modes
    modes=$(stat -c '%a %u:%g' /etc/kubernetes/audit-policy.yaml /var/log/kubernetes/audit "$AUDIT_LOG") &&
        is "$(xargs <<<"$modes")" '600 0:0 700 0:0 600 0:0'
}

# events FILTER: how many events of the log a filter of jq selects, such as .level == "Metadata". The last line may not
# be complete.
events() { head -c "$(stat -c %s "$AUDIT_LOG")" "$AUDIT_LOG" | sed '$d' | jq -c "select($1)" | wc -l; }
has_events() { local n; n=$(events "${1:-true}") && echo "$n events" && [ "$n" -gt 0 ]; }
# has_no_events FILTER: the log has events, but none that the filter selects.
has_no_events() { local n; has_events && n=$(events "$1") && is "$n" 0; }
# keep_first_event: from now on, has_first_event says whether the log still begins with the same event.
keep_first_event() { head -n 1 "$AUDIT_LOG" >"$WORK/first-event" && [ -s "$WORK/first-event" ]; }
has_first_event() { [ -s "$WORK/first-event" ] && cmp "$WORK/first-event" <(head -n 1 "$AUDIT_LOG"); }

# All events that are kept, those of rotated and compressed files, too, without a last line that is not complete.
all_events() {
    zcat -f "${AUDIT_LOG%.log}"-* 2>/dev/null
    head -c "$(stat -c %s "$AUDIT_LOG")" "$AUDIT_LOG" | sed '$d'
}

# Keeps the administrator's certificate and key, for curl.
keep_credentials() {
    local field
    for field in client-certificate client-key; do
        sed -n "s/^ *$field-data: //p" "$KUBECONFIG" | base64 -d >"$WORK/$field"
    done
}

# ask_numbers [EVERY [PADDING]]: from now on, four processes send requests with numbers, and keep the numbers of the
# requests that were answered. Each sends one every so many milliseconds, with so many characters more than it needs. On
# a slow node the requests alone could keep the API server from its work, some of which it must do within a minute of
# its start.
ask_numbers() {
    local every=${1:-$(emulated && echo $((250 * PATIENCE)) || echo 100)} since=$EPOCHSECONDS padding next left
    padding=$(printf '%*s' "${2:-0}" '' | tr ' ' x)
    keep_credentials
    api_container >"$WORK/asked"
    for asker in 1 2 3 4; do
        next=${EPOCHREALTIME/./}
        for ((n = 0; ; n++)); do
            ! curl -skf --max-time 5 -o /dev/null --cert "$WORK/client-certificate" --key "$WORK/client-key" \
                "https://localhost:6443/api/v1/namespaces/default/configmaps?padding=$padding&number=$since-$asker-$n" ||
                echo "$since-$asker-$n"
            next=$((next + every * 1000)) left=$((next - ${EPOCHREALTIME/./}))
            [ $left -le 0 ] || sleep "$((left / 1000000)).$(printf %06d $((left % 1000000)))"
        done >"$WORK/answered-$asker" &
        echo $! >>"$WORK/askers"
    done
}
ask_no_more() { kill $(cat "$WORK/askers"); rm "$WORK/askers"; }

# Every request that was answered has one event.
all_are_recorded() {
    local missing
    sort "$WORK"/answered-* >"$WORK/answered" || return 1
    all_events | jq -r 'select(.stage == "ResponseComplete" and .responseStatus.code == 200) |
        .requestURI | capture("number=(?<n>[0-9-]+)$").n' | sort >"$WORK/recorded" || return 1
    echo "$(wc -l <"$WORK/answered") answers, $(wc -l <"$WORK/recorded") events"
    [ "$(wc -l <"$WORK/answered")" -gt 20 ] && is "$(uniq -d "$WORK/recorded")" '' || return 1
    missing=$(comm -23 "$WORK/answered" "$WORK/recorded") || return 1
    is "$(head <<<"$missing")" '' && return
    # The kubelet kills an API server that doesn't end within 30 s. Its buffer may have events then. A quick API server
    # ends in time.
    emulated && was_killed "$(cat "$WORK/asked")" &&
        tell 'NOT JUDGED: the kubelet killed an API server that did not end in time, and its last events are missing'
}
# was_killed CONTAINER: the container didn't end by itself within the 30 s that the kubelet gives it.
was_killed() {
    local said
    [ -n "$1" ] && said=$(journalctl --quiet --no-pager --unit containerd) && grep "Kill container.*$1" <<<"$said"
}

# Everything that kube-audit-bootstrap may write but the log itself, with inode, mode and times, and the version of the
# cluster's own configuration.
written() {
    local paths=(/etc/kubernetes /var/lib/kube-audit-bootstrap /var/log/kubernetes) optional
    for optional in /etc/kube-audit-bootstrap /run/{kubeadm,kube-audit-bootstrap} /etc/systemd/system/{,*.d/}*audit*; do
        [ ! -e "$optional" ] || paths+=("$optional")
    done
    # The API server changes the directory of its log. A log that it rotates meanwhile may be gone under its old name,
    # which is no error.
    find "${paths[@]}" -ignore_readdir_race ! -path '*/tmp/*' ! -name '*.log*' \
        \( -path "${AUDIT_LOG%/*}" -printf '%p %i %m %u:%g\n' -o -printf '%p %i %m %u:%g %C@ %s\n' \) | sort || return 1
    [ -e "$KUBECONFIG" ] || return 0
    pgrep -x kube-apiserver >/dev/null || { [ $? -eq 1 ]; return; }
    version_of_configmap
}
# The API server of a slow node has moments in which it doesn't answer.
version_of_configmap() {
    for _ in {1..60}; do
        kubectl -n kube-system get configmap kubeadm-config \
            -o 'jsonpath=kubeadm-config {.metadata.resourceVersion}{"\n"}' && return
        nap 5
    done
    return 1
} 2>/dev/null
# writes_nothing COMMAND...: the command succeeds, and `written` prints the same before and after it.
writes_nothing() {
    local before after
    before=$(written) && "$@" && after=$(written) && diff <(echo "$before") <(echo "$after")
}

# The logs of the API server's containers. Each container has a log of its own, so a new log is a start.
api_logs() { readlink -f /var/log/pods/kube-system_kube-apiserver-*/kube-apiserver/*.log | sort; }
# watch_api: from now on, api_starts counts the starts of the API server, and another_api_is_ready says whether a new
# one answers.
watch_api() {
    api_pid >"$WORK/api-pid"
    api_logs >"$WORK/api-logs"
}
api_starts() {
    api_logs | comm -13 "$WORK/api-logs" - | wc -l
}
another_api_is_ready() {
    local pid before
    before=$(cat "$WORK/api-pid") && pid=$(api_pid) && [ "$pid" != "$before" ] && api_is_ready
}
# stays_for SECONDS: after so many seconds the same API server runs, and answers. A busy one may not be ready for a
# moment.
stays_for() {
    local pid
    pid=$(api_pid) && sleep "$1" && eventually api_is_ready && is "$(api_pid)" "$pid"
}

# ask_api: from now on until the script ends, asks the API server ten times a second whether it lives, or more seldom on
# a slow node, and keeps the time of each answer.
ask_api() {
    while :; do
        ! curl -skf --max-time "$PATIENCE" -o /dev/null https://localhost:6443/livez || echo "$EPOCHREALTIME"
        nap 1
    done >>"$WORK/answers" &
}
answers() { wc -l <"$WORK/answers"; }
another_answer() {
    local n end=$((SECONDS + 120 * PATIENCE))
    n=$(answers) && until [ "$(answers)" -gt "$n" ]; do [ $SECONDS -lt $end ] && sleep 0.1 || return 1; done
}
forget_answers() { : >"$WORK/answers" && another_answer; }
# The longest time without an answer since forget_answers, in seconds.
absence() {
    another_answer &&
        awk 'NR > 1 && $1 - last > gap { gap = $1 - last } { last = $1 } END { printf "%.1f", gap }' "$WORK/answers"
}

# loop_on FILE: makes a loop device on a file or another device, and prints its path. The node has device files of its
# own, but the device belongs to the machine. The machine has it back when no process holds it any more: after
# give_back, or when the node ends in whatever way.
loop_on() {
    local number
    [ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
    # Another node may take a free device before this one does.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        number=$(losetup -f 2>/dev/null | tr -dc 0-9)
        [ -e "/dev/loop$number" ] || mknod "/dev/loop$number" b 7 "$number"
        losetup "/dev/loop$number" "$1" || continue
        # A process holds the device before losetup -d, which gives the device back when the last process lets it go.
        {
            sleep infinity >/dev/null 2>&1 &
            echo $! >"$WORK/holds-loop$number"
            losetup -d "/dev/loop$number"
        } 9<"/dev/loop$number"
        echo "/dev/loop$number"
        return
    done
    return 1
}
give_back() { kill "$(cat "$WORK/holds-${1#/dev/}")"; }
# new_device NAME BYTES: makes a blank device with a name, as udev gives names, and prints its path.
new_device() {
    local device
    truncate -s "$2" "$WORK/disk" && device=$(loop_on "$WORK/disk") || return 1
    # If udev runs, systemd waits until udev knows the name.
    if udevadm control --ping >&2; then
        mkdir -p /run/udev/rules.d
        echo "KERNEL==\"${device#/dev/}\", SYMLINK+=\"${1#/dev/}\"" >/run/udev/rules.d/60-new-device.rules
        udevadm control --reload && udevadm trigger --settle "$device" >&2
    else
        mkdir -p "${1%/*}"
        ln -sfn "$device" "$1"
    fi
    echo "$device"
}

# configure LINE...: writes the configuration of kube-audit-bootstrap, with more lines.
configure() {
    mkdir -p /etc/kube-audit-bootstrap
    printf '%s\n' 'apiVersion: kube-audit-bootstrap/v1alpha1' 'kind: AuditBootstrapConfiguration' "$@" \
        >/etc/kube-audit-bootstrap/config.yaml
}

# policy USER: configures a policy that names a user, and so differs from another one.
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

# Configures a webhook that looks right, but that the API server can't use: its certificate has the structure of one,
# and every part is empty.
bad_webhook() {
    local empty=LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1Ca3dFZ0lCQVRBQU1BQXdBREFBTUFVd0FBTUJBREFBQXdFQQotLS0tLUVORCBDRVJUSUZJQ0FURS0tLS0tCg==
    configure 'webhook: {configFile: /etc/kubernetes/audit-webhook.yaml}'
    cat >/etc/kubernetes/audit-webhook.yaml <<END
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: https://192.0.2.1, certificate-authority-data: $empty}}]
contexts: [{name: c, context: {cluster: c, user: ""}}]
current-context: c
END
}

# heal_with [OPTION...]: gives more options to the unit that heals. On a slow node, the unit waits as long as an API
# server may need there.
heal_with() {
    local dir=/etc/systemd/system/kube-audit-bootstrap-heal.service.d wait=5m
    ! emulated || wait=$LONG
    mkdir -p $dir && printf '[Service]\nExecStart=\nExecStart=%s\n' \
        "kube-audit-bootstrap apply --heal --wait $wait $*" >$dir/case.conf && systemctl daemon-reload
}
# On a slow node, lets the unit that heals wait longer. Elsewhere it stays as it is shipped.
heal_patiently() { ! emulated || step 'self-healing waits as long as this node may need' heal_with; }

# looks TIMER BASE: for each directive of a timer, such as OnBootSec, the microseconds after its base and the time of
# the next look.
looks() {
    local unit=${1//-/_2d}
    busctl --json=short get-property org.freedesktop.systemd1 "/org/freedesktop/systemd1/unit/${unit/./_2e}" \
        org.freedesktop.systemd1.Timer TimersMonotonic |
        jq -r --arg base "$2" '.data[] | select(.[0] == $base) | "\(.[1]) \(.[2])"'
}
# When this node booted, in microseconds of the monotonic clock. In namespaces, that is the start of its systemd.
booted_at() {
    if systemd-detect-virt --quiet --container; then
        systemctl show --value -p UserspaceTimestampMonotonic
    else
        echo 0
    fi
}

# killed_at WORDS: kills apply --wait as soon as it prints the words. It must be killed before its end.
killed_at() {
    local pid
    # Without the words of a previous run, which would be found before this one has emptied the file.
    : >"$WORK/killed"
    kube-audit-bootstrap apply --wait "$LONG" >"$WORK/killed" 2>&1 &
    pid=$!
    until grep -q "$1" "$WORK/killed"; do kill -0 $pid || { cat "$WORK/killed"; return 1; }; sleep 0.01; done
    ends_killed $pid && lacks '^proof|everything is as it was' "$WORK/killed"
}
# ends_killed PID: kills a child, which didn't come to its end before.
ends_killed() {
    kill -KILL "$1" && exits 137 wait "$1" && cat "$WORK/killed"
}

# What `apply --wait` has while it hides the new manifest: its name, the line for the next boot, and the guards.
HIDDEN=/etc/kubernetes/manifests/.kube-apiserver.yaml.kube-audit-bootstrap-hidden
HIDDEN_LINE=/etc/tmpfiles.d/kube-audit-bootstrap-hidden.conf
guards() { pgrep -f '^[^ ]*kube-audit-bootstrap guard-hidden-manifest '; }
is_hidden() { [ -e "$HIDDEN" ] && [ ! -e "$MANIFEST" ]; }
# hide: starts a run, and waits until the manifest is hidden and there is a net.
hide() {
    kube-audit-bootstrap apply --wait "$LONG" >"$WORK/hidden" 2>&1 &
    echo $! >"$WORK/run"
    until is_hidden; do
        kill -0 "$(cat "$WORK/run")" || { cat "$WORK/hidden"; return 1; }
        sleep 0.01
    done
    guards && cat "$HIDDEN_LINE"
}
# run_ends_well: the run that `hide` started makes its proof.
run_ends_well() {
    local end=$((SECONDS + 300 * PATIENCE))
    while kill -0 "$(cat "$WORK/run")" 2>/dev/null; do [ $SECONDS -le $end ] || return 1; sleep 0.2; done
    cat "$WORK/hidden"
    grep -q '^proof ' "$WORK/hidden"
}
# At the end of a run, or after the next one, nothing of the net is left.
has_no_net() { [ ! -e "$HIDDEN" ] && [ ! -e "$HIDDEN_LINE" ] && ! guards; }

# mends ARGUMENT...: apply with these arguments restarts the API server once.
mends() {
    watch_api
    kube-audit-bootstrap apply --wait "$LONG" "$@" && another_api_is_ready && is "$(api_starts)" 1
}
# mends_nothing ARGUMENT...: apply with these arguments does not restart it.
mends_nothing() {
    local before
    before=$(api_pid) && kube-audit-bootstrap apply --wait "$LONG" "$@" && is "$(api_pid)" "$before"
}

# edit_manifest SCRIPT: edits the API server's manifest by a script of sed, and puts it in place by one rename.
edit_manifest() {
    sed "$1" "$MANIFEST" >/etc/kubernetes/manifests/.edited
    mv /etc/kubernetes/manifests/.edited "$MANIFEST"
}

# Does what an administrator does who follows a guide: makes the directory, writes the policy, and edits the manifest.
edit_by_hand() {
    mkdir -p /tmp/hand/etc/kubernetes/manifests /var/log/kubernetes/audit &&
        cp "$MANIFEST" /tmp/hand/etc/kubernetes/manifests/ &&
        kube-audit-bootstrap apply --root /tmp/hand &&
        cp /tmp/hand/etc/kubernetes/audit-policy.yaml /etc/kubernetes/ &&
        cp "/tmp/hand$MANIFEST" /etc/kubernetes/manifests/.edited &&
        mv /etc/kubernetes/manifests/.edited "$MANIFEST"
}

# upgrade_with KUBEADM VERSION [OPTION...]: runs kubeadm upgrade.
upgrade_with() {
    local options=("${@:3}")
    # With grep -q, grep would end before kubeadm, and kubeadm would die of the broken pipe.
    ! "$1" upgrade apply --help | grep -- --skip-phases >/dev/null || options+=(--skip-phases=addon)
    "$1" upgrade apply "v$2" --yes --ignore-preflight-errors=all "${options[@]}"
}
# upgrade VERSION: runs kubeadm upgrade to a version whose programs are in /opt/kubernetes.
upgrade() { upgrade_with "/opt/kubernetes/$1/kubeadm" "$1"; }

# is_backed_up FILE: a backup has the content of the file.
is_backed_up() {
    local file
    for file in /var/lib/kube-audit-bootstrap/backups/*/*; do ! cmp -s "$1" "$file" || return 0; done
    return 1
}

# The backups have kubeadm's file as it was before apply, without anything of ours.
has_backup_without_flags() {
    local files
    files=$(find /var/lib/kube-audit-bootstrap/backups -name '*kubeadm.yaml') && [ -n "$files" ] && lacks audit $files
}

# announce NAME: tells the other nodes, for which it creates a configmap. If the answer was lost, a second try finds it
# there.
announce() { kubectl -n default get configmap "$1" || kubectl -n default create configmap "$1"; }
was_announced() { kubectl -n default get configmap "$1"; }

is_control_plane() { kubectl get node -l node-role.kubernetes.io/control-plane -o name | grep -x "node/$1"; }

# The words of this case alone.
[ ! -e "$CASE/lib.sh" ] || . "$CASE/lib.sh"
