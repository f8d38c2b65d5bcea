#!/usr/bin/env bash
# Lets real Kubernetes judge the program: tests/real.sh PROGRAM [all]. In a short form for every change, or with every
# version and the long random runs. Where this machine can't, it says what was not run; with CI=true that is a failure.
set -euo pipefail
program=$1 all=${2-}
cd "$(dirname "$0")/.."

# Says why nothing can be run here, in the last lines.
cannot() {
    printf 'NOT RUN: real Kubernetes as the judge (kubeadm, kube-apiserver, policies, nodes in namespaces): %s\n' "$1" >&2
    [ "${CI-}" != true ] || exit 1
    exit 0
}
[ "$(id -u)" -eq 0 ] || cannot 'that needs root'
unshare --mount --pid --uts --ipc --cgroup --net --fork true 2>/dev/null || cannot 'no namespaces can be made here'

cargo build --locked -p vm-tests
harness=target/x86_64-unknown-linux-gnu/debug/vm-tests
versions=$("$harness" versions)
if [ "$all" = all ]; then
    oracles='1.26 1.31 1.35 1.36 1.37' pairs=1000000
else
    oldest=$(head -n 1 <<<"$versions") newest=$(tail -n 1 <<<"$versions")
    versions="$oldest $newest" oracles=1.37 pairs=20000
fi
