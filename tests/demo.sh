#!/usr/bin/env bash
# Shows the main job on a sample node: tests/demo.sh PROGRAM [quietly]. Needs no Kubernetes and touches nothing but a
# directory of its own under $TMPDIR. "quietly" says only what is wrong, and removes the sample node.
set -euo pipefail
program=$(realpath "${1:?usage: demo.sh PROGRAM [quietly]}") quietly=${2-}
here=$(dirname "$(realpath "$0")")
root=$(mktemp -d -t kube-audit-bootstrap-demo.XXXXXX)
"$here/sample-node.sh" "$root"
cp -r "$root/etc/kubernetes" "$root.before"
trap 'rm -rf "$root".{before,shown} ${quietly:+"$root"}' EXIT
[ -z "$quietly" ] || exec >"$root.shown"
fail() {
    [ -z "$quietly" ] || cat "$root.shown" >&2
    echo "demo: $1" >&2
    exit 1
}

bold='' plain=''
[ ! -t 1 ] || bold=$'\e[1m' plain=$'\e[0m'
heading() { printf '\n%s== %s%s\n' "$bold" "$1" "$plain"; }

# step HEADING EXIT-CODE ARGUMENT...: runs the program on the sample node and shows the command and its exit code.
step() {
    heading "$1"
    local expected=$2 code=0
    shift 2
    echo "\$ kube-audit-bootstrap --root NODE $*"
    "$program" --root "$root" "$@" 2>&1 || code=$?
    echo "[exit code $code]"
    [ "$code" -eq "$expected" ] || fail "exit code $expected was expected"
}

# Every file and directory, and when it was last written or changed.
node() { find "$root" -printf '%P %m %s %T@ %C@\n' | sort; }
manifest=etc/kubernetes/manifests/kube-apiserver

heading "A control-plane node as kubeadm leaves it, with a stray backup beside the manifest"
echo "NODE is $root"
(cd "$root" && find etc var -type f | sort)

step "What would change (exit code 3: something would)" 3 plan
step "Do it" 0 apply
grep -q -e --audit-log-path= "$root/$manifest.yaml" || fail 'the manifest has no flags'
[ ! -e "$root/$manifest.backup" ] || fail 'the stray is still there'
before=$(node)
step "Do it again: nothing is written" 0 apply
diff <(echo "$before") <(node) >&2 || fail 'a second run wrote'
step "What is in place" 0 status
step "Put everything back" 0 restore

heading "Is it what it was?"
for file in kubeadm.yaml manifests/kube-apiserver.yaml; do
    cmp "$root.before/$file" "$root/etc/kubernetes/$file" >&2 || fail "$file was not put back"
    echo "$file: byte for byte"
done
[ ! -e "$root/etc/kubernetes/audit-policy.yaml" ] || fail 'the policy is still there'

heading "What to look at"
cat <<END
NODE is still there: $root
  var/lib/kube-audit-bootstrap/backups/   what each run replaced: the files, and an index.json of when and why
  etc/kubernetes/manifests/               no stray any more: the kubelet would have run it beside the manifest
Put other files of yours in their places and try again:
  $program --root $root plan
When done: rm -r $root
END
