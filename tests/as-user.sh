#!/usr/bin/env bash
# Runs the fast tests once more as an ordinary user, after `make check` has run them as root: tests/as-user.sh. It
# builds nothing. Only root may be able to enter the folder of the checkout, so the user has a copy at the same path, in
# a mount namespace.
set -euo pipefail
cd "$(dirname "$0")/.."

# A user and a group that don't exist.
id=20000
# The copy has no .git, which this test asks.
skipped=the_version_has_the_commit_where_git_knows_it

if [ "$(id -u)" -ne 0 ]; then
    echo "make check has run the tests as $(id -un), who isn't root"
    exit 0
fi

# Mounts the copy of a folder at its path. The first folder above it that the user can't enter is hidden by an empty
# one.
place() {
    local above=
    while IFS= read -r -d / name; do
        above+=$name/
        setpriv --reuid $id --regid $id --clear-groups test -x "$above" && continue
        mount -t tmpfs -o mode=0755 tmpfs "$above"
        break
    done <<<"$1"
    mkdir -p "$1"
    mount --bind "$scratch/copy$1" "$1"
}

if [ $# -eq 0 ]; then
    scratch=$(mktemp -d -t kube-audit-bootstrap-tests.XXXXXX)
    trap 'rm -rf "$scratch"' EXIT
    for package in kube-audit-bootstrap vm-tests; do
        cargo test --locked --no-run --message-format=json --package $package
    done >"$scratch/messages"
    # The tests, and both programs.
    sed -nE 's/.*"executable":"([^"]+)".*/\1/p' "$scratch/messages" | sort -u >"$scratch/built"
    mkdir -p "$scratch/copy$PWD"
    tar --exclude=./target --exclude=./.git -c . | tar -C "$scratch/copy$PWD" -x
    xargs -d '\n' cp --parents -t "$scratch/copy" <"$scratch/built"
    # Some tests look for cargo. That of root may be in root's home.
    install -D -m 0755 "$(command -v cargo)" "$scratch/bin/cargo"
    chmod -R u=rwX,go=rX "$scratch"
    install -d -m 0700 -o $id -g $id "$scratch/home"
    mkdir "$scratch/tmp"
    unshare --mount --propagation private "$PWD/tests/as-user.sh" "$scratch"
    exit
fi

scratch=$1
# This folder is in memory, as the cases flush many files to the disk.
mount -t tmpfs -o mode=1777 tmpfs "$scratch/tmp"
place "$PWD"
built=$(head -n 1 "$scratch/built")
built=${built%/x86_64-unknown-linux-gnu/*}
[[ $built == "$PWD"/* ]] || place "$built"
cd "$PWD"

count=0
while read -r program; do
    [[ $program == */deps/* ]] || continue
    count=$((count + 1))
    echo "as user $id: ${program##*/}"
    setpriv --reuid $id --regid $id --clear-groups env HOME="$scratch/home" TMPDIR="$scratch/tmp" \
        PATH="$PATH:$scratch/bin" "$program" --quiet --skip $skipped </dev/null
done <"$scratch/built"
# Each file is a program, and so is each folder.
files=(tests/*.rs src vm-tests/tests/*.rs vm-tests/src)
[ $count -eq ${#files[@]} ] || { echo "$count of ${#files[@]} programs of tests were run" >&2; exit 1; }
