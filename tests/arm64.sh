#!/usr/bin/env bash
# Checks the program for arm64, and runs the main job in an emulator: tests/arm64.sh PROGRAM.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
program=${1:?usage: arm64.sh PROGRAM}
if [ "$(id -u)" -ne 0 ]; then
    echo 'tests/arm64.sh needs the root user, because it runs in its own root directory' >&2
    exit 1
fi
emulator=$(command -v qemu-aarch64-static)
node=$(mktemp -d -t kube-audit-bootstrap-arm64.XXXXXX)
trap 'rm -rf "$node"' EXIT
fail() {
    echo "FAILED: $1" >&2
    exit 1
}

[[ $(file -b "$program") == *"pie executable, ARM aarch64"*"static-pie linked"* ]] ||
    fail "$program: $(file -b "$program")"
! readelf -dl "$program" | grep -E 'NEEDED|INTERP' || fail "$program needs a library or a loader"
# Some kernels have pages of 64 KiB.
readelf -lW "$program" |
    awk '$1 == "LOAD" && $NF != "0x10000" { print "FAILED: aligned to " $NF; bad = 1 } END { exit bad }'

# The program runs in its own root directory, because the emulator does not know the system call that --root needs.
"$here/sample-node.sh" "$node"
rm "$node/etc/kubernetes/manifests/kube-apiserver.backup" # restore does not put back a stray manifest
mkdir -p "$node"/{dev,proc,usr/bin,etc/kube-audit-bootstrap}
cp "$program" "$emulator" "$node/usr/bin"
cat >"$node/etc/kube-audit-bootstrap/config.yaml" <<'END'
apiVersion: kube-audit-bootstrap/v1alpha1
kind: AuditBootstrapConfiguration
storage: {require: any, headroom: any}
END
cp -r "$node/etc/kubernetes" "$node/before"
step() { # EXIT-CODE ARGUMENT...
    local code=0 printed
    printed=$(env -i "$(command -v chroot)" "$node" \
        /usr/bin/qemu-aarch64-static /usr/bin/kube-audit-bootstrap "${@:2}" 2>&1) || code=$?
    [ $code -eq "$1" ] || fail "${*:2}: exit code $code, expected $1: $printed"
}
step 0 --version
step 3 plan
step 0 apply --no-cluster
step 0 status --no-cluster
grep -q -- --audit-log-path= "$node/etc/kubernetes/manifests/kube-apiserver.yaml" || fail 'the manifest has no flags'
step 0 restore
diff -r "$node/before" "$node/etc/kubernetes" || fail 'restore did not put the files back'
echo "arm64: built, and did the main job in an emulator"
