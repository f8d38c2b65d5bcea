#!/usr/bin/env bash
# The words of scripts/lib.sh and of the cases fail if what they ask fails, or can't be asked. Stand-ins for the
# programs of a node fail as those may.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch"/{bin,work,case}
export LIB=$PWD/scripts CASE=$scratch/case RESULT=$scratch/result WORK=$scratch/work
export KUBECONFIG=$scratch/none PATH=$scratch/bin:$PATH

# word SCRIPT: runs a word as a step does. yes SCRIPT..., no SCRIPT...: each must succeed, or must fail.
word() { bash -c '. "$LIB/lib.sh"; eval "$1"' - "$1" >"$scratch/said" 2>&1 </dev/null; }
wrong=0
yes() { for said; do word "$said" || { echo "should hold: $said"; cat "$scratch/said"; wrong=1; }; done; }
no() { for said; do ! word "$said" || { echo "should not hold: $said"; cat "$scratch/said"; wrong=1; }; done; }
# stand_in NAME SCRIPT: from now on that program is this script. for_want_of NAME: it fails, and says nothing. as_ever:
# all programs are those of this machine again.
stand_in() { printf '#!/bin/bash\n%s\n' "$2" >"$scratch/bin/$1"; chmod 755 "$scratch/bin/$1"; }
for_want_of() { stand_in "$1" 'exit 4'; }
as_ever() { rm -f "$scratch"/bin/*; }
# the_case NODE: from now on the words have those of that node's case, too.
the_case() { cp "cases/$1/lib.sh" "$CASE/lib.sh"; }

for text in true false 'exit 0' 'false; true'; do echo "$text" >"$scratch/${text// /-}"; done
yes "runs_whole $scratch/true" "runs_whole $scratch/true && ! runs_whole $scratch/exit-0"
no "runs_whole $scratch/false" "runs_whole $scratch/exit-0" "runs_whole '$scratch/false;-true'" "runs_whole $scratch/missing"

echo audit >"$scratch/words"
kept="keep words cat $scratch/words"
yes "$kept; is_still words cat $scratch/words" "$kept; cmp $scratch/words \$(kept words)"
no "keep words cat $scratch/missing" 'keep words true' "keep words eval 'cat $scratch/words; false'"
no "$kept; is_still words echo policy" "$kept; is_still words cat $scratch/missing" "is_still others cat $scratch/words"
no "$kept; is_still words eval 'cat $scratch/words; false'"
yes "lacks policy $scratch/words"
no "lacks audit $scratch/words" "lacks policy $scratch/missing" "lacks 'a(b' $scratch/words"
yes "says_nothing_of policy echo audit"
no "says_nothing_of audit echo audit" "says_nothing_of policy false" "says_nothing_of policy true"
yes "finds_nothing $scratch -name none"
no "finds_nothing $scratch -name words" "finds_nothing $scratch/missing -name none"
for_want_of find
no "finds_nothing $scratch -name none"
as_ever

# systemd-analyze succeeds even if it ignores a directive.
stand_in systemd-analyze '[ "$1" = verify ] && ! grep -H Misspelt "${@:2}" || exit 0'
echo 'Misspelt=yes' >"$scratch/wrong.service"
echo 'ExecStart=/bin/true' >"$scratch/right.service"
yes "units_are_right $scratch/right.service"
no "units_are_right $scratch/wrong.service" "units_are_right $scratch/right.service $scratch/wrong.service"
for_want_of systemd-analyze
no "units_are_right $scratch/right.service"
as_ever

yes "is_mounted /proc" "is_not_mounted $scratch"
no "is_mounted $scratch" "is_not_mounted /proc" "is_not_mounted $scratch/missing" "is_mounted $scratch/missing"
for_want_of mountpoint
no "is_mounted /proc" "is_not_mounted $scratch"
as_ever

# Without an API server, with one that is about to end and has no command line any more, and with two.
stand_in pgrep 'exit 1'
no has_no_flags
stand_in pgrep 'echo 1; echo 2'
no has_no_flags
as_ever
# Its parent doesn't reap it, so it has no command line after its end.
bash -c 'sleep 600 & echo $! >"$1"; exec sleep 600' - "$scratch/running" &
parent=$!
until [ -s "$scratch/running" ]; do sleep 0.1; done
running=$(cat "$scratch/running")
stand_in pgrep "echo $running"
yes has_no_flags
no has_default_flags
kill $running
until [ -z "$(tr '\0' ' ' <"/proc/$running/cmdline")" ]; do sleep 0.1; done
no has_no_flags
kill $parent
as_ever

the_log() { printf '%s\n' "$@" >"$scratch/audit.log"; }
log="AUDIT_LOG=$scratch/audit.log"
the_log '{"level":"Metadata"}' '{"level":"Request"}' 'in the maki'
yes "$log has_events" "$log has_events '.level == \"Request\"'" "$log has_no_events '.level == \"None\"'"
no "$log has_events '.level == \"None\"'" "$log has_no_events '.level == \"Request\"'"
no "$log has_no_events '.level =='"
yes "$log; keep_first_event && has_first_event"
the_log '{"level":"Request"}'
no "$log has_first_event" "$log has_no_events '.level == \"None\"'"
rm "$scratch/audit.log"
no "$log keep_first_event" "$log has_first_event" "$log has_events" "$log has_no_events true"
: >"$scratch/audit.log"
no "$log; keep_first_event" "$log has_no_events true"

# A run that is killed, and runs that end before.
: >"$WORK/killed"
yes 'sleep 600 & ends_killed $!'
no 'true & wait; ends_killed $!'
# The run came to its end a moment before.
no 'kill() { true; }; true & ends_killed $!'
stand_in kube-audit-bootstrap "echo began; echo 'proof  it recorded a request'; exec sleep 600"
no 'killed_at recorded'
stand_in kube-audit-bootstrap 'echo began; exec sleep 600'
yes 'killed_at began'
stand_in kube-audit-bootstrap 'echo began'
no 'killed_at "never said"' 'kill() { true; }; killed_at began'
as_ever

# containerd's journal.
stand_in journalctl "echo 'Kill container \"0123abcd\"'"
yes 'was_killed 0123abcd'
no 'was_killed 4567' 'was_killed ""'
stand_in journalctl "echo 'Kill container \"0123abcd\"'; exit 4"
no 'was_killed 0123abcd'
as_ever

the_case storage-rollback/node
stand_in systemctl 'echo LoadState=loaded; echo RequiresMountsFor=/var/lib/kubelet'
yes kubelet_needs_no_log
stand_in systemctl 'echo LoadState=loaded; echo RequiresMountsFor=/var/log/kubernetes/audit'
no kubelet_needs_no_log
stand_in systemctl 'echo LoadState=not-found; echo RequiresMountsFor='
no kubelet_needs_no_log
for_want_of systemctl
no kubelet_needs_no_log
as_ever

# The absences of a quick API server and of a slow one.
the_case absence/node
yes 'are_short 10.7 12.9 18.4 42.5' 'are_short 12.1 13.4 18.9 39.7'
no 'are_short 41.8 45.4 18.0 39.6' 'are_short 12.1 13.4 18.9 20.0' 'are_short 0.0 12.9 18.4 42.5' 'are_short 10.7 "" 18.4 42.5'
the_case rollback/node
yes 'are_bounded 18.9 14.2 40.8'
no 'are_bounded 55.2 14.2 40.8' 'are_bounded 18.9 48.2 40.8' 'are_bounded 0.0 14.2 40.8' 'are_bounded 18.9 14.2 ""'

# kind tries once more if its first try hit a limit that is too short for an emulated machine, and in no other case.
the_case kind/node
cluster=$(bash -c '. "$LIB/lib.sh"; echo "$CLUSTER"')
stand_in kind "case \$1 in
create) echo >>$scratch/tries; [ \$(wc -l <$scratch/tries) -gt 1 ] || { cat $scratch/end; exit 1; } ;;
*) exit 0 ;;
esac"
# ends LINE...: kind's first try prints these lines at its end. kubeadm_ends CODE LINE...: kubeadm ends so in that try.
ends() {
    rm -f "$scratch/tries"
    printf '%s\n' 'Creating cluster "audit" ...' ' ✓ Ensuring node image (kube-audit-bootstrap/node:audit) 🖼' \
        "$@" >"$scratch/end"
}
kubeadm_ends() {
    local init="docker exec --privileged $cluster-control-plane kubeadm init"
    init+=' --config=/kind/kubeadm.conf --skip-token-print --v=6'
    local loading='I1130 04:00:00.000000     120 initconfiguration.go:260] loading configuration from'
    local adding='I1130 04:00:01.000000     120 manifests.go:161] [control-plane] adding volume'
    local failed='ERROR: failed to create cluster: failed to init node with kubeadm: command'
    ends "$failed \"$init\" failed with error: exit status $1" '' \
        "Command Output: $loading \"/kind/kubeadm.conf\"" \
        "$adding \"audit-policy\" for component \"kube-apiserver\"" \
        'I1130 04:00:02.000000     120 with_retry.go:234] Got a Retry-After 1s response: connection refused' "${@:2}"
}
tries() {
    local tries
    tries=$(wc -l <"$scratch/tries")
    [ "$tries" -eq "$1" ] || { echo "kind was called $tries times:"; cat "$scratch/end"; wrong=1; }
}
again() { yes create_cluster_slowly; tries 2; }
never() { no create_cluster_slowly; tries 1; }
touch "$CASE/emulated"
failed='ERROR: failed to create cluster:'
reached='"Reached target .*Multi-User System.*|detected cgroup v1"'
slow_systemd="$failed could not find a log line that matches $reached"
ends "$slow_systemd"
again
deployments="https://$cluster-control-plane:6443/apis/apps/v1/namespaces/kube-system/deployments?timeout=10s"
refused="Post \"$deployments\": dial tcp 172.18.0.2:6443: connect: connection refused"
workflow=k8s.io/kubernetes/cmd/kubeadm/app/cmd/phases/workflow
kubeadm_ends 1 "error: error execution phase addon/coredns: unable to create deployment: $refused" \
    "$workflow.(*Runner).Run.func1" $'\t'"${workflow/kubernetes/kubernetes@v1.37.2}/runner.go:262"
again
unprepared="the node can't be prepared for audit logs: /kind/kubeadm.conf:3:1: timed out"
kubeadm_ends 1 "error: kubeadm init was not started, because $unprepared; fix this and call it again"
never
late='error: error execution phase wait-control-plane: failed while waiting for the control plane to start:'
late+=' timed out waiting for the condition'
kubeadm_ends 1 "$late"
again
kubeadm_ends 1 'warning: /kind/kubeadm.conf: it has audit flags that are kept' "$late"
never
kubeadm_ends 2 "$late"
never
kubeadm_ends 1 'error: error execution phase preflight: [preflight] Some fatal errors occurred:' \
    $'\t[ERROR Port-6443]: Port 6443 is in use'
never
ends "$failed command \"docker run --name audit-control-plane\" failed with error: exit status 125" '' \
    'Command Output: docker: Error response from daemon: no space left'
never
rm "$CASE/emulated"
ends "$slow_systemd"
never
as_ever

[ $wrong -eq 0 ] && echo 'words: as they should be'
