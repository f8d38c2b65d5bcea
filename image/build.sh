#!/usr/bin/env bash
# Builds the release program for a target: image/build.sh TRIPLE. The same source gives the same bytes, wherever it lies:
# no path of this machine gets into the program.
set -euo pipefail
cd "$(dirname "$0")/.."
triple=${1:?usage: build.sh TRIPLE}
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
sysroot=$(rustc --print sysroot)
commit=$(rustc --version --verbose | sed -n 's/^commit-hash: //p')

if [ ! -d "$sysroot/lib/rustlib/$triple/lib" ]; then
    rustup target add "$triple" || { echo "Rust's standard library for $triple is missing; rustup can add it" >&2; exit 1; }
fi
# What is fetched later has no folder yet that a path could be taken away from.
cargo fetch --quiet --locked --target "$triple"
# Of several prefixes that fit, the last one counts. Where rust-src is installed, the standard library's paths are those.
flags=("$PWD=." "${CARGO_TARGET_DIR:-$PWD/target}=target" "$sysroot/lib/rustlib/src/rust=/rustc/$commit")
for index in "$registry"/*; do
    flags+=("$index=registry")
done
list=$(printf '"--remap-path-prefix=%s",' "${flags[@]}")
# Without the index for unwinding, which the release never does: it aborts. Tests do, so this is said here alone.
list+='"-C","link-arg=-Wl,--no-eh-frame-hdr"'
exec cargo build --release --locked --target "$triple" --config "target.$triple.rustflags=[$list]"
