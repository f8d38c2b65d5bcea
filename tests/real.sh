#!/usr/bin/env bash
# Tests the program with real Kubernetes: tests/real.sh PROGRAM PACKAGE [all]. Without "all", it runs what every change
# must pass; with "all", every version, every case and the long random runs. If this machine cannot run them, the last
# lines say what was not run and why; with CI=true, this is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$1 package=$2 all=${3-}

cannot() {
    local what='kubeadm, kube-apiserver, nodes in namespaces, policies'
    printf 'NOT RUN: real Kubernetes as the judge (%s): %s\n' "$what" "$1" >&2
    case ${CI-} in '' | false) exit 0 ;; *) exit 1 ;; esac
}
[ "$(id -u)" -eq 0 ] || cannot 'it needs the root user'
unshare --mount --pid --uts --ipc --cgroup --net --fork true 2>/dev/null || cannot 'this machine allows no namespaces'
tests/setup.sh cc go ip mmdebstrap setpriv unshare || cannot 'programs are missing, see above'

cargo build --locked -p vm-tests
harness=${CARGO_TARGET_DIR:-target}/x86_64-unknown-linux-gnu/debug/vm-tests
# Each commit tests other examples.
seed=${SEED:-$(tests/commit.sh)}
run=("$harness" run --program "$program" --package "$package" --patience "${PATIENCE:-1}" --seed "$seed")
if [ "$all" = all ]; then
    "${run[@]}" --all --patched 250
    minors='26 31 35 36 37' pairs=1000000
else
    "${run[@]}"
    minors=37 pairs=20000
fi
vm-tests/tests/bad-programs.sh "$harness" "$program"

# Ask the code of Kubernetes: the API server's about random policies, requests and flags; the commands' about random
# arguments; the kubelet's about random manifests.
build() {
    CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly \
        go build -C "$1" -trimpath -ldflags '-s -w' -o "$PWD/target/$2" "$PWD/vm-tests/oracle/$3"
}
oracles= commands=
for minor in $minors; do
    module=$(echo vm-tests/components/kubernetes-1."$minor".*)
    build "$module" oracle-1."$minor" main.go
    build "$module" commands-1."$minor" commands/main.go
    oracles+="1.$minor=$PWD/target/oracle-1.$minor "
    commands+="1.$minor=$PWD/target/commands-1.$minor "
done
newest=${minors##* }
build "$(echo vm-tests/components/kubernetes-1."$newest".*)" kubelet-1."$newest" kubelet/main.go
if ! "target/kubelet-1.$newest" fields | diff src/wiring/pod/pod-fields.txt -; then
    echo "src/wiring/pod/pod-fields.txt: a pod has other fields in 1.$newest; write what the kubelet's judge prints" >&2
    exit 1
fi
# Each commit tests other examples.
seed=${SEED:-$(tests/commit.sh)}
echo "random policies, requests, flags, arguments and manifests: SEED=$seed PAIRS=$pairs, for 1.${minors// /, 1.}"
ORACLES=$oracles COMMANDS=$commands KUBELETS="1.$newest=$PWD/target/kubelet-1.$newest" SEED=$seed PAIRS=$pairs \
    cargo test --locked --lib differential -- --include-ignored --nocapture
