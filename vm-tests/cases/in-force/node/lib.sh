POLICY=/etc/kubernetes/audit-policy.yaml

# in_force: the API server has what the files say, and status finds all in place.
in_force() { says "^running +ok +kube-apiserver \\($(api_pid)\\)" kube-audit-bootstrap status "$@"; }
# is_told WORDS ARGUMENT...: status finds that the API server has something else, and says so with the words.
is_told() { says "$1" exits 3 kube-audit-bootstrap status "${@:2}" && grep -qE '^running +differs' "$WORK/said"; }
# writes_to FILE: the API server has this file open.
writes_to() {
    local pid
    pid=$(api_pid) && find -L "/proc/$pid/fd" -maxdepth 1 -samefile "$1" | grep -q .
}
# can_be_copied: the command that status prints copies the events of the deleted log.
can_be_copied() {
    local copy
    copy=$(kube-audit-bootstrap status 2>&1 | sed -nE 's/.*run (cp [^ ]+) FILE before.*/\1/p')
    $copy "$WORK/deleted.log" && [ -s "$WORK/deleted.log" ]
}
# renames_over FILE NEW: another file takes the name of the first one, as this program replaces files.
renames_over() { install -m 0600 "$2" "$1.new" && mv "$1.new" "$1"; }
# level LEVEL: prints a policy that records everything at this level.
level() { printf 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: %s\n' "$1"; }
