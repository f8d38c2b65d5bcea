#!/usr/bin/env bash
# The harness must fail programs that are known to be bad, or its "ok" says nothing: vm-tests/tests/bad-programs.sh HARNESS
# PROGRAM. It needs what the harness needs; its cases take half a minute.
set -euo pipefail
harness=${1:?usage: bad-programs.sh HARNESS PROGRAM} program=$(realpath "$2")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# must_fail NAME WORDS: the job prints FAILED, the reason has the words, and the exit code is 1. The program under test is in
# standard input, as a script that may call the good program, $GOOD.
must_fail() {
    local job=${1%%-v1*} words=$2 code=0
    { printf '#!/bin/bash\nGOOD=%q\n' "$program" && cat; } >"$scratch/program"
    chmod 755 "$scratch/program"
    "$harness" run "$job" --versions 1.37 --program "$scratch/program" >"$scratch/said" 2>&1 || code=$?
    if [ $code -ne 1 ] || ! grep -A 1 "^FAILED  $1 " "$scratch/said" | grep -qF "$words"; then
        echo "$1: a bad program gets exit code $code, and must get 1, FAILED and \"$words\":" >&2
        cat "$scratch/said" >&2
        exit 1
    fi
}

must_fail kubeadm-v1beta4 "apply didn't edit" <<<'exit 0'
must_fail kubeadm-v1beta4 'kubeadm refuses the edited file' <<'END'
"$GOOD" "$@" && [ "$1" = apply ] && sed -i 's/extraVolumes:/extraVolume:/' "$3/run/kubeadm/kubeadm.yaml"
END
# Another version of kubeadm's API compares no manifests, and passes this program: one failure of two is a failure.
must_fail kubeadm-v1beta4 "the edit of kubeadm's manifest says" <<'END'
"$GOOD" "$@" && { [ "$1" != apply ] || sed -i '/--audit-log-maxage/d' "$3"/etc/kubernetes/manifests/*.yaml 2>/dev/null || true; }
END
must_fail kubeadm-v1beta4 'there is something to do on' <<<'[ "$1" = plan ] || exec "$GOOD" "$@"; exit 3'
must_fail apiserver 'levels: ' <<<'exit 0'
# A node, whose steps fail.
must_fail wait 'boot 1: failed in "' <<<'exit 0'
echo 'bad programs: the harness failed each of them'
