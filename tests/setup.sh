#!/usr/bin/env bash
# Makes sure that programs are installed: tests/setup.sh PROGRAM... As root, it installs those that are missing with
# apt. Otherwise it prints the command to run, and fails.
set -euo pipefail

# The Debian package of a program.
package() {
    case $1 in
        cc) echo gcc libc6-dev ;;
        c++) echo g++ ;;
        nm | readelf) echo binutils ;;
        ip) echo iproute2 ;;
        prlimit | setpriv | unshare) echo util-linux ;;
        qemu-img) echo qemu-utils ;;
        mkfs.ext4) echo e2fsprogs ;;
        mmdebstrap) echo mmdebstrap debian-archive-keyring ;;
        go) echo golang-go ca-certificates ;;
        aarch64-linux-gnu-gcc) echo gcc-aarch64-linux-gnu libc6-dev-arm64-cross ;;
        qemu-aarch64-static) echo qemu-user-static ;;
        cargo-fmt) echo rustfmt ;;
        cargo-clippy) echo rust-clippy ;;
        *) echo "$1" ;;
    esac
}

# Is a program there, and does it work? rustup has a cargo-fmt even if the toolchain lacks it.
there() {
    case $1 in
        cc) command -v cc && [ -e "$(cc -print-file-name=libc.a)" ] ;;
        cargo-fmt | cargo-clippy) cargo "${1#cargo-}" --version ;;
        *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

if ! command -v cargo >/dev/null; then
    echo "cargo is missing: install Rust 1.95 or newer, from https://rustup.rs" >&2
    exit 1
fi
# The packages of the programs that are missing.
missing() {
    local program
    for program in "$@"; do there "$program" || package "$program"; done | tr '\n' ' '
}
packages=$(missing "$@")
[ -n "$packages" ] || exit 0

install="apt-get install -y --no-install-recommends"
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    printf 'missing: %s. Run this, or what your distribution has for it:\n' "${packages% }" >&2
    echo "  sudo $install ${packages% }" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Two parts of `make test` may run this at once. The second waits for the first, and then finds what that has installed.
exec {lock}</run
flock "$lock"
packages=$(missing "$@")
[ -n "$packages" ] || exit 0
echo "installing ${packages% }"
# Another apt, of somebody else, may hold the lock of dpkg for some minutes.
patience='-o DPkg::Lock::Timeout=600'
# shellcheck disable=SC2086
{ apt-get $patience update && $install $patience $packages; } >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
