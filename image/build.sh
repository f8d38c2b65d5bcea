#!/usr/bin/env bash
# Builds the release program for a target: image/build.sh TRIPLE. The same source gives the same bytes in any directory,
# because no path of this machine gets into the program.
set -euo pipefail
cd "$(dirname "$0")/.."
triple=${1:?usage: build.sh TRIPLE}
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
sysroot=$(rustc --print sysroot)
commit=$(rustc --version --verbose | sed -n 's/^commit-hash: //p')

if [ ! -d "$sysroot/lib/rustlib/$triple/lib" ]; then
    rustup target add "$triple" || { echo "Rust's standard library for $triple is missing; rustup can add it" >&2; exit 1; }
fi
# Fetch the crates first: the loop below needs their folders, to remove the paths from the program.
cargo fetch --quiet --locked --target "$triple"
# If several prefixes match, the last one counts. If rust-src is installed, the standard library has its paths.
flags=("$PWD=." "${CARGO_TARGET_DIR:-$PWD/target}=target" "$sysroot/lib/rustlib/src/rust=/rustc/$commit")
for index in "$registry"/*; do
    flags+=("$index=registry")
done
list=$(printf '"--remap-path-prefix=%s",' "${flags[@]}")
# The release program aborts on a panic and never unwinds, so it needs no tables for unwinding and no index of them.
# Tests unwind, so only this script sets the options. The path is relative to the crate: an absolute one would change
# the program.
list+='"-C","link-arg=-Wl,--no-eh-frame-hdr","-C","link-arg=image/no-unwinding.ld"'
exec cargo build --release --locked --target "$triple" --config "target.$triple.rustflags=[$list]"
