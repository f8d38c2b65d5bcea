#!/usr/bin/env bash
# Checks how the program is built: tests/static.sh RELEASE DEBUG. The release build has no symbols, so the debug build
# shows them.
set -euo pipefail
release=${1:?usage: static.sh RELEASE DEBUG} debug=${2:?usage: static.sh RELEASE DEBUG}
passed=0 failed=0

check() { # WHAT COMMAND...
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $what"
    fi
}
static_pie() { [[ $(file -b "$1") == *"pie executable"*"static-pie linked"* ]]; }
needs_nothing() { ! readelf -dl "$1" | grep -E 'NEEDED|INTERP'; }
small() { [ "$(stat -c %s "$1")" -le 3200000 ]; }
# In a static glibc, these functions load the name-service libraries of the host, and crash if those do not match.
# (Their tables, __nss_*, come with fork.)
no_name_service() {
    local calls='get(pw|gr)(nam|uid|gid|ent|ouplist)|getaddrinfo|getnameinfo|gethostby|getservby|initgroups'
    ! nm "$1" | grep -E " [TWi] ($calls)"
}
symbols() { nm "$1" | grep ' T main$' >/dev/null; }
starts() { env -i "$1" --version >/dev/null; }
# An error is one line, with any environment.
tells_errors() {
    local said
    said=$(RUST_BACKTRACE=full RUST_LIB_BACKTRACE=1 "$1" plan --root /no/such/root 2>&1 || echo $?)
    [ "$said" = $'error: /no/such/root: --root is not a directory; name the root directory of a node\n2' ]
}

check "$release is a static-pie" static_pie "$release"
check "$release needs no library and no loader" needs_nothing "$release"
check "$release is at most 3200000 bytes (it has $(stat -c %s "$release"))" small "$release"
check "$debug has its symbols" symbols "$debug"
check "$debug has no name-service symbol" no_name_service "$debug"
check "$release starts with an empty environment" starts "$release"
check "$release prints an error in one line, also with backtraces enabled" tells_errors "$release"
echo "static: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
