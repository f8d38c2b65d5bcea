#!/usr/bin/env bash
# Checks what the program is built as: tests/static.sh RELEASE DEBUG. The debug build has the symbols that the release
# build lost, and no fewer.
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
small() { [ "$(stat -c %s "$1")" -le 2500000 ]; }
# A static glibc loads the name service's libraries of the host, if they fit, when one of these is called.
no_name_service() { ! nm "$1" | grep -E ' (getpw(nam|uid|ent)|getgr(nam|gid|ent|ouplist)|getaddrinfo|gethostby|__nss_)'; }
symbols() { nm "$1" | grep -q ' T main$'; }

check "$release is a static-pie" static_pie "$release"
check "$release needs no library and no loader" needs_nothing "$release"
check "$release is at most 2500000 bytes, and is $(stat -c %s "$release")" small "$release"
check "$debug has its symbols" symbols "$debug"
check "$debug has no name-service symbol" no_name_service "$debug"
check "$release starts without a thing around it" env -i "$release" --version
echo "static: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
