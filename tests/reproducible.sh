#!/usr/bin/env bash
# Makes the packages again from a copy of the source in another folder, and compares them: tests/reproducible.sh
# PROGRAM, after `make packages oci`. It compiles the whole program again.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:?usage: reproducible.sh PROGRAM}
scratch=$(mktemp -d -t kube-audit-bootstrap-reproducible.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
copy=$scratch/of/another/name
mkdir -p "$copy/target"
# Copy also the files that are not committed yet, and .git, because the version contains the commit.
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    [ ! -e "$file" ] || printf '%s\0' "$file"
done | tar --null --files-from=- -c | tar -C "$copy" -x
cp -r .git "$copy"
cp -rp target/docs target/nfpm "$copy/target"
# The crates also get another path.
ln -s "${CARGO_HOME:-$HOME/.cargo}" "$scratch/crates"

(
    cd "$copy"
    export CARGO_TARGET_DIR=$scratch/built CARGO_HOME=$scratch/crates
    umask 077
    image/build.sh x86_64-unknown-linux-gnu
    other=$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release/kube-audit-bootstrap
    image/package.sh "$other" amd64 target/docs target/nfpm
    image/oci.sh "$other" amd64
    cp "$other" target/packages/program
)
failed=0
for file in "$copy"/target/packages/*; do
    name=${file##*/}
    mine=target/packages/$name
    [ "$name" != program ] || mine=$program
    if cmp "$mine" "$file"; then
        echo "reproducible: $name, $(sha256sum <"$mine" | cut -c 1-16)"
    else
        failed=1
    fi
done
# Both builds use the same toolchain, so the comparison does not find its path.
if grep -qaF -- "$(rustc --print sysroot)/" "$program"; then
    echo "FAILED: $program has the path of the toolchain in it" >&2
    failed=1
fi
exit $failed
