#!/usr/bin/env bash
# Runs a slice of what takes too long for every change: tests/slice.sh PROGRAM PACKAGE, after `make packages oci
# harness`. tests/slices says what is in which slice. The commit chooses the slice, or SLICE=K does. `tests/slice.sh
# machines` prints what the slice adds to `make vm-tests`.
set -euo pipefail
cd "$(dirname "$0")/.."

slices=$(awk '/^[0-9]/ { print $1 }' tests/slices | sort -nu | wc -l)
slice=${SLICE:-$(($(tests/commit.sh) % slices))}
[[ $slice =~ ^[0-9]+$ && $slice -lt $slices ]] ||
    { echo "SLICE=$slice: there is no such slice: choose one from 0 to $((slices - 1)), see tests/slices" >&2; exit 2; }
# of KIND COLUMNS: what the slice has of a kind, without its first columns.
of() {
    awk -v slice="$slice" -v kind="$1" -v skip="$2" \
        '$1 == slice && $2 == kind { for (i = 1; i <= skip; i++) $i = ""; print }' tests/slices
}

read -r machines <<<"$(of machines 3)"
if [ "$1" = machines ]; then
    echo "$machines"
    exit
fi
program=$1 package=$2
read -ra nodes <<<"$(of nodes 2 | paste -sd ' ')"
read -ra tests <<<"$(of test 3 | paste -sd ' ')"
harness=${CARGO_TARGET_DIR:-target}/x86_64-unknown-linux-gnu/debug/vm-tests
echo "slice $slice of 0 to $((slices - 1)): nodes: ${nodes[*]}; tests: ${tests[*]:-none};" \
    "with \`make vm-tests\` in CI: ${machines:-nothing}"
[ "$slice" != "${SLICE-}" ] || echo 'SLICE chose this slice, and not the commit'

# The packages, made twice, and with the program for arm64.
packages() {
    local triple=aarch64-unknown-linux-gnu
    if [ -d "$(rustc --print sysroot)/lib/rustlib/$triple/lib" ] || rustup target add $triple; then
        make --no-print-directory arm64
        tests/packages.sh "$program" all
    else
        tests/reproducible.sh "$program"
        echo "NOT RUN: the program for arm64: rustup can't add Rust's standard library for $triple" >&2
        case ${CI-} in '' | false) ;; *) exit 1 ;; esac
    fi
}
image() {
    "$harness" build-image target/image.qcow2
    "$harness" run first-boot --image target/image.qcow2 --program "$program" --patience "${PATIENCE:-1}"
}
timed() {
    local start=$SECONDS
    "$@"
    echo "slice $slice: $1: $((SECONDS - start)) s"
}
nodes() { "$harness" run "${nodes[@]}" --program "$program" --package "$package" --patience "${PATIENCE:-1}"; }
examples() { tests/examples.sh "$program"; }
shippers() { tests/shippers.sh "$program" rsyslog otel; }

timed nodes
for test in "${tests[@]}"; do
    case $test in
        examples | image | packages | shippers) timed "$test" ;;
        *) echo "tests/slices: slice $slice has $test, which this script doesn't know" >&2; exit 2 ;;
    esac
done
