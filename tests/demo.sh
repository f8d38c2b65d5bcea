#!/usr/bin/env bash
# Shows the main job on a sample node: tests/demo.sh PROGRAM [quietly]. It needs no Kubernetes, and changes only its own
# directory under $TMPDIR. "quietly" prints only errors, and removes the sample node.
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
    [ "$code" -eq "$expected" ] || fail "expected exit code $expected"
}

# Every file and directory, with the times when it was last written and changed.
node() { find "$root" -printf '%P %m %s %T@ %C@\n' | sort; }
manifest=etc/kubernetes/manifests/kube-apiserver

heading "A control-plane node as kubeadm leaves it, with a stray manifest: a backup beside the manifest"
echo "NODE is $root"
(cd "$root" && find etc var -type f | sort)

step "What apply would change (exit code 3: something would change)" 3 plan
step "Change it" 0 apply
grep -q -e --audit-log-path= "$root/$manifest.yaml" || fail 'the manifest has no flags'
[ ! -e "$root/$manifest.backup" ] || fail 'the stray manifest is still there'
before=$(node)
step "Run apply again: it writes nothing" 0 apply
diff <(echo "$before") <(node) >&2 || fail 'the second run wrote something'
step "What is in place" 0 status
step "Put the previous files back" 0 restore

heading "Are the files the same as before?"
for file in kubeadm.yaml manifests/kube-apiserver.yaml; do
    cmp "$root.before/$file" "$root/etc/kubernetes/$file" >&2 || fail "$file was not put back"
    echo "$file: the same, byte for byte"
done
[ ! -e "$root/etc/kubernetes/audit-policy.yaml" ] || fail 'the policy is still there'

heading "Look at the result"
cat <<END
NODE still exists: $root
  var/lib/kube-audit-bootstrap/backups/   the files that each run replaced, and an index.json that says when and why
  etc/kubernetes/manifests/               without the stray manifest, which the kubelet could have run instead
Replace the files of NODE by your own, and try again:
  $program --root $root plan
When you are done, remove NODE: rm -r $root
END
