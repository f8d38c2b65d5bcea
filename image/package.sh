#!/usr/bin/env bash
# Makes the packages: image/package.sh PROGRAM ARCH DOCS NFPM. DOCS is the output of `make docs`. The same input gives
# the same bytes: all times are the time of the commit, or SOURCE_DATE_EPOCH.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:?usage: package.sh PROGRAM ARCH DOCS NFPM} ARCH=$2 docs=$3 nfpm=$(realpath "$4")
VERSION=$(image/version.sh)
# Without git, as in a tarball of the source, any time will do, if it is always the same.
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || echo 1767225600)}"
export ARCH VERSION SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C
umask 022

# What is packed: tree/ is the content of the tarball, and nfpm.yaml takes its files from it.
work=target/packaging/$ARCH out=$PWD/target/packages
rm -rf "$work"
mkdir -p "$work/tree" "$out"
put() { # MODE FOLDER FILE...: into a folder of the tree
    mkdir -p "$work/tree/$2"
    install -m "$1" -t "$work/tree/$2" "${@:3}"
}
put 755 . "$program" image/install.sh
put 644 . LICENSE README.md CHANGELOG.md image/config.yaml
put 644 docs docs/*.md
put 644 systemd image/systemd/*
put 644 tmpfiles.d image/tmpfiles.d/*
put 644 man "$docs"/man/*.1
triple=x86_64-unknown-linux-gnu
[ "$ARCH" = amd64 ] || triple=aarch64-unknown-linux-gnu
image/licenses.sh $triple >"$work/tree/third-party-licenses.txt"
gzip -9n "$work"/tree/man/*.1
for shell in bash fish zsh; do
    put 644 "completions/$shell" "$docs/completions/$shell"/*
done
cp -r image/scripts image/copyright "$work"
find "$work" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

for packager in deb rpm; do
    (cd "$work" && "$nfpm" package --config ../../../image/nfpm.yaml --packager "$packager" --target "$out" >&2)
done
name=kube-audit-bootstrap-$VERSION-linux-$ARCH
tar -C "$work/tree" --format=gnu --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
    --transform "s,^\.,$name," -c . | gzip -9n >"$out/$name.tar.gz"
echo "created package: $out/$name.tar.gz"
