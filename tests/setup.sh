#!/usr/bin/env bash
# Makes sure that programs are there: tests/setup.sh PROGRAM... Installs those that are missing with apt as root;
# otherwise says what to run, and fails.
set -euo pipefail

# The Debian package of a program.
package() {
    case $1 in
        cc) echo gcc libc6-dev ;;
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

# Is it there, and does it work? rustup has a cargo-fmt even where the toolchain lacks it.
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
missing=()
for program in "$@"; do
    there "$program" || read -ra missing <<<"${missing[*]} $(package "$program")"
done
[ ${#missing[@]} -gt 0 ] || exit 0

install="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    printf 'missing: %s. Run this, or what your distribution has for it:\n' "${missing[*]}" >&2
    echo "  sudo $install" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# apt doesn't wait for another one, such as that of what runs beside.
exec {lock}>/run/kube-audit-bootstrap-setup.lock
flock "$lock"
echo "installing ${missing[*]}"
{ apt-get update && $install; } >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
