#!/usr/bin/env bash
# Runs the fast tests, which `make check` has run as root, once more as an ordinary user: tests/as-user.sh. Nothing is built.
# A checkout may lie where root alone gets to: that user has a copy, at the same path, in a mount namespace.
set -euo pipefail
cd "$(dirname "$0")/.."

# A user and a group of nobody's.
id=20000
# git doesn't tell them the commit of a checkout that isn't theirs.
skipped=the_version_has_the_commit_where_git_knows_it

if [ "$(id -u)" -ne 0 ]; then
    echo "make check has run the tests as $(id -un), who isn't root"
    exit 0
fi

# Puts the copy of a folder in its place. Above, the first folder that is closed is hidden by an empty one.
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
    scratch=$(mktemp -d /tmp/kube-audit-bootstrap-tests.XXXXXX)
    trap 'rm -rf "$scratch"' EXIT
    cargo test --locked --no-run --message-format=json >"$scratch/messages"
    # The tests, and the program.
    sed -nE 's/.*"executable":"([^"]+)".*/\1/p' "$scratch/messages" | sort -u >"$scratch/built"
    mkdir -p "$scratch/copy$PWD"
    tar --exclude=./target --exclude=./.git -c . | tar -C "$scratch/copy$PWD" -x
    xargs -d '\n' cp --parents -t "$scratch/copy" <"$scratch/built"
    # Who runs tests has a cargo, which some of them look for; this one may lie in root's home.
    install -D -m 0755 "$(command -v cargo)" "$scratch/bin/cargo"
    chmod -R u=rwX,go=rX "$scratch"
    install -d -m 0700 -o $id -g $id "$scratch/home"
    mkdir "$scratch/tmp"
    unshare --mount --propagation private "$0" "$scratch"
    exit
fi

scratch=$1
# In memory, as cases flush much.
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
# Each file is one, and those of src are one more.
files=(tests/*.rs src)
[ $count -eq ${#files[@]} ] || { echo "$count of ${#files[@]} programs of tests were run" >&2; exit 1; }
