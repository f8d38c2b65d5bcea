#!/usr/bin/env bash
# Gives the examples of `render` to the programs that read such files: cloud-init, Cluster API, kubeadm, Butane,
# systemd, Packer, Ansible, mkosi and BuildKit's parser. Usage: tests/examples.sh PROGRAM. The programs are installed
# into folders of the cache. They run in a copy-on-write layer over one of these folders, without a network, and leave
# nothing behind. If this machine cannot run them, the last line says so; with CI=true, this is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$1

cannot() {
    printf 'NOT RUN: the examples of render, judged by the programs that read them: %s\n' "$1" >&2
    case ${CI-} in '' | false) exit 0 ;; *) exit 1 ;; esac
}
[ "$(id -u)" -eq 0 ] || cannot 'it needs the root user'
unshare --mount --pid --net --fork true 2>/dev/null || cannot 'this machine allows no namespaces'
tests/setup.sh go mmdebstrap unshare || cannot 'programs are missing, see above'
(cd tests/examples && GOTOOLCHAIN=local GOFLAGS=-mod=readonly go list -m >/dev/null) ||
    cannot 'Go is too old, see above'

cache=${XDG_CACHE_HOME:-$HOME/.cache}/kube-audit-bootstrap
mkdir -p "$cache"

# Prints the folder with the packages of a suite. The first call installs them: debian SUITE VARIANT PACKAGES
debian() {
    local folder key
    key=$(printf '%s\n' "$@" | sha256sum | head -c 16)
    folder=$cache/examples-$1-$key
    if [ ! -e "$folder" ]; then
        echo "$3: installing into a folder, which takes a minute" >&2
        local new
        new=$(mktemp -d "$cache/examples-new-XXXXXX")
        mmdebstrap --quiet --format=directory --variant="$2" --include="$3" "$1" "$new/root" >&2
        rm -rf "$new"/root/var/{cache/apt,lib/apt/lists}
        mv -T "$new" "$folder" 2>/dev/null || rm -rf "$new"
    fi
    echo "$folder/root"
}

root=$(debian trixie minbase cloud-init,ansible-core,mkosi,systemd)
# Debian's last version of Packer with a free licence.
packer=$(debian bookworm extract packer)/usr/bin/packer

export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
module=$(echo vm-tests/components/kubernetes-1.37.*)
version=${module##*-}
package=k8s.io/component-base/version
stamps="-X $package.gitVersion=v$version -X $package.gitMajor=1 -X $package.gitMinor=37"
go vet -C tests/examples .
go build -C tests/examples -trimpath -o "$work/examples" .
go build -C "$module" -trimpath -ldflags "$stamps" -o "$work/kubeadm" k8s.io/kubernetes/cmd/kubeadm
# The same files as in the tarball, without the documents.
mkdir "$work/kube-audit-bootstrap"
cp "$program" "$work/kube-audit-bootstrap/kube-audit-bootstrap"
cp -r image/install.sh image/config.yaml image/systemd image/tmpfiles.d "$work/kube-audit-bootstrap"
cp -r image/examples "$work/image-examples"
cp tests/examples/judge.sh tests/examples/written.py "$work"
cp "$packer" "$work/packer"

# An overlay keeps the folder in the cache unchanged. The devices are mounted, so that they cannot be replaced.
# shellcheck disable=SC2016
unshare --mount --pid --net --fork --kill-child bash -euc '
    root=$1 work=$2
    mount -t tmpfs none /mnt
    mkdir /mnt/upper /mnt/work /mnt/root
    mount -t overlay -o "lowerdir=$root,upperdir=/mnt/upper,workdir=/mnt/work" none /mnt/root
    mkdir /mnt/root/judge
    mount --bind "$work" /mnt/root/judge
    mount -t proc proc /mnt/root/proc
    mount -t tmpfs none /mnt/root/run
    mount -t tmpfs none /mnt/root/tmp
    mount -t tmpfs -o mode=0755 none /mnt/root/dev
    for device in null zero full random urandom tty; do
        : >"/mnt/root/dev/$device"
        mount --bind "/dev/$device" "/mnt/root/dev/$device"
    done
    ln -s /proc/self/fd /mnt/root/dev/fd
    ln -s fd/0 /mnt/root/dev/stdin
    mkdir /mnt/root/dev/shm
    exec chroot /mnt/root env -i PATH=/usr/sbin:/usr/bin HOME=/root LANG=C.UTF-8 sh /judge/judge.sh "$3"
' bash "$root" "$work" "$version"
