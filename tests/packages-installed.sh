#!/usr/bin/env bash
# Installs, upgrades, removes and purges the packages in a separate Debian, runs install.sh on root directories, and
# imports and runs the container image: tests/packages-installed.sh [all]. Run `make packages oci` before, and for "all"
# also `make packages oci ARCH=arm64`. If this machine cannot run it, the last line says so; with CI=true, this is a
# failure.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(image/version.sh) all=${1-}

cannot() {
    printf 'NOT RUN: the packages in a Debian of their own: %s\n' "$1" >&2
    case ${CI-} in '' | false) exit 0 ;; *) exit 1 ;; esac
}
if [ -z "${IN_NAMESPACE-}" ]; then
    [ "$(id -u)" -eq 0 ] || cannot 'it needs root'
    unshare --mount true 2>/dev/null || cannot 'this machine allows no namespaces'
    tests/setup.sh mmdebstrap unshare || cannot 'programs are missing, see above'
    # All mounts disappear with the namespace.
    IN_NAMESPACE=1 exec unshare --mount --propagation private "$0" "$@"
fi

# A Debian with the other programs that read the packages and the image, and with the shells that have completions. It
# is made once, and only read.
include=systemd,rpm,dnf,man-db,zsh,fish,containerd,podman
base=${XDG_CACHE_HOME:-$HOME/.cache}/kube-audit-bootstrap/packages-trixie-${include//,/-}
if [ ! -d "$base" ]; then
    echo "a Debian for the packages: installing into a folder, which takes a minute"
    mkdir -p "$(dirname "$base")"
    rm -rf "$base.partial"
    mmdebstrap --quiet --variant=minbase --format=directory --include=$include trixie "$base.partial"
    mv "$base.partial" "$base"
fi

scratch=$(mktemp -d -t kube-audit-bootstrap-packages.XXXXXX)
server=''
end() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } || :
    umount --recursive --lazy "$scratch"
    rmdir "$scratch"
}
trap end EXIT
mount -t tmpfs -o mode=755 scratch "$scratch"

# Each case has a fresh Debian: a layer over this one.
passed=0 failed=0 case='' node=''
new_node() {
    case=$1 node=$scratch/$1/root
    mkdir -p "$scratch/$1"/{upper,work,root}
    mount -t overlay -o "lowerdir=$base,upperdir=$scratch/$1/upper,workdir=$scratch/$1/work" overlay "$node"
    mount -t proc proc "$node/proc"
}
clean=(env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive)
on() { chroot "$node" "${clean[@]}" "$@"; }
check() { # WHAT COMMAND...
    local printed
    if printed=$("${@:2}" 2>&1); then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s: %s\n%s' "$case" "$1" "${printed:+$printed$'\n'}"
    fi
}
# run WHAT COMMAND...: runs a command on the node, and puts its output into $said.
said=''
run() {
    local code=0
    said=$(on "${@:2}" 2>&1 </dev/null) || code=$?
    [ $code -eq 0 ] || said+=$'\n'"exit code $code"
    check "$1 (output: $said)" [ $code -eq 0 ]
}
says() { [[ $said == *"$1"* ]]; }
there() { [ -e "$node$1" ] || [ -L "$node$1" ]; }
gone() { ! there "$1"; }
has() { grep -qF -- "$2" "$node$1"; }
mode() { [ "$(stat -c '%a %u:%g' "$node$1")" = "$2" ]; }
is_enabled() { [ "$(on systemctl is-enabled "$1" 2>&1)" = enabled ]; }
wants=/etc/systemd/system/multi-user.target.wants
state=/var/lib/kube-audit-bootstrap
config=/etc/kube-audit-bootstrap/config.yaml
program=/usr/bin/kube-audit-bootstrap

installed() {
    run 'the program runs' kube-audit-bootstrap --version
    check "it prints its version, not: $said" says "kube-audit-bootstrap $version"
    check 'the program is executable and belongs to the root user' mode $program '755 0:0'
    check 'the configuration can be read' mode $config '644 0:0'
    for unit in kube-audit-bootstrap.service kube-audit-bootstrap-heal.path; do
        check "$unit is enabled" is_enabled $unit
        check "$unit is enabled by a link in /etc" there $wants/$unit
    done
    check 'the timer has no link of its own' gone $wants/kube-audit-bootstrap-heal.timer
    check 'nothing is prepared yet' gone /etc/kubernetes
    check 'no log directory is made' gone /var/log/kubernetes
}
# Makes the files of a prepared node.
prepare() {
    mkdir -p "$node$state/backups/20260101T000000Z" "$node/etc/kubernetes/manifests" "$node/var/log/kubernetes/audit"
    touch "$node$state/backups/20260101T000000Z/index.json" "$node/etc/kubernetes/audit-policy.yaml" \
        "$node/etc/kubernetes/manifests/kube-apiserver.yaml" "$node/var/log/kubernetes/audit/audit.log"
    echo 'existing: keep' >>"$node$config"
}
stays() {
    for file in /etc/kubernetes/audit-policy.yaml /etc/kubernetes/manifests/kube-apiserver.yaml \
        /var/log/kubernetes/audit/audit.log; do
        check "$file stays" there $file
    done
}
units_gone() {
    for place in /etc /usr/lib /usr/local/lib; do
        check "no unit of the package is left in $place" \
            [ -z "$(find "$node$place" -path '*/systemd/*' -name '*kube-audit*' 2>/dev/null)" ]
    done
}
hooks='/usr/local/bin/kubeadm /usr/local/sbin/kubeadm /opt/bin/kubeadm'
hook() {
    local link
    for link in $hooks; do
        mkdir -p "$node${link%/*}"
        ln -s $program "$node$link"
    done
}

# An older systemctl links to the units by /lib. The copyright file is not compared, because only Debian needs it.
listing() {
    (cd "$1" && find etc usr \( -name '*kube-audit-bootstrap*' -o -path '*/kube-audit-bootstrap/*' \) ! -type d \
        ! -name copyright -printf '%p %m %l\n' | sed 's# /lib/# /usr/lib/#' | sort)
}

# The same package again, with a later version and another default configuration.
arch=amd64 later=$version.1 packages=$PWD/target/packages
next=$scratch/next
cp -a "target/packaging/$arch" "$next"
echo '# One line more.' >>"$next/tree/config.yaml"
for packager in deb rpm; do
    (cd "$next" && VERSION=$later ARCH=$arch "$OLDPWD/target/nfpm" package --config "$OLDPWD/image/nfpm.yaml" \
        --packager $packager --target . >/dev/null)
done
deb=kube-audit-bootstrap_$version-1_amd64.deb later_deb=kube-audit-bootstrap_$later-1_amd64.deb
rpm=kube-audit-bootstrap-$version-1.x86_64.rpm later_rpm=kube-audit-bootstrap-$later-1.x86_64.rpm
tarball=kube-audit-bootstrap-$version-linux-$arch.tar.gz
bring() { cp "$packages"/{"$deb","$rpm"} "$next"/{"$later_deb","$later_rpm"} "$node/tmp"; }

new_node deb
bring
run 'dpkg-deb lists the dependencies' dpkg-deb --field "/tmp/$deb" Depends Pre-Depends Recommends Suggests
check "the .deb needs nothing, not: $said" [ -z "$said" ]
run 'dpkg installs it' dpkg -i "/tmp/$deb"
installed
prepare
hook
on systemctl disable kube-audit-bootstrap-heal.path 2>/dev/null
run 'dpkg upgrades it' dpkg --force-confold -i "/tmp/$later_deb"
check 'an edited configuration stays in an upgrade' has $config 'existing: keep'
check 'the new default is beside it' there $config.dpkg-dist
check 'a unit that the administrator disabled stays disabled in an upgrade' gone $wants/kube-audit-bootstrap-heal.path
check 'an enabled unit stays enabled in an upgrade' is_enabled kube-audit-bootstrap.service
for link in $hooks; do check "an upgrade leaves the hook $link" there "$link"; done
run 'dpkg removes it' dpkg -r kube-audit-bootstrap
for link in $hooks; do check "the hook $link is removed with the program" gone "$link"; done
check 'the removal of the hook is reported' says 'removed /usr/local/bin/kubeadm'
check 'the program is gone' gone $program
units_gone
stays
check 'the configuration stays until the purge' has $config 'existing: keep'
run 'dpkg installs it again' dpkg -i "/tmp/$later_deb"
check 'then the units are enabled again' is_enabled kube-audit-bootstrap-heal.path
check 'with the previous configuration' has $config 'existing: keep'
run 'dpkg purges it' dpkg -P kube-audit-bootstrap
check 'the configuration is gone' gone /etc/kube-audit-bootstrap
check 'the backups stay' there $state/backups/20260101T000000Z/index.json
check 'the message says how to remove them' says KUBE_AUDIT_BOOTSTRAP_PURGE_BACKUPS=1
units_gone
stays
run 'dpkg installs it again' dpkg -i "/tmp/$deb"
run 'dpkg purges it with the backups' env KUBE_AUDIT_BOOTSTRAP_PURGE_BACKUPS=1 dpkg -P kube-audit-bootstrap
check 'the backups are gone if that is asked for' gone $state
stays

new_node deb-preset
bring
mkdir -p "$node/etc/systemd/system-preset"
echo 'disable kube-audit-bootstrap-heal.path' >"$node/etc/systemd/system-preset/10-mine.preset"
run 'apt-get installs it' apt-get --assume-yes install "/tmp/$deb"
check "the administrator's preset wins" gone $wants/kube-audit-bootstrap-heal.path
check 'the preset of the package enables the other unit' is_enabled kube-audit-bootstrap.service
on ln -s /usr/bin/true /usr/local/bin/kubeadm
run 'dpkg purges it' dpkg -P kube-audit-bootstrap
check "a kubeadm that isn't the hook stays" there /usr/local/bin/kubeadm
check 'a program that never ran leaves nothing' gone $state

# A masked unit, as an administrator leaves it who doesn't want it.
new_node deb-masked
bring
on ln -s /dev/null /etc/systemd/system/kube-audit-bootstrap.service
run 'dpkg installs it beside a masked unit' dpkg -i "/tmp/$deb"
check "it says so, not: $said" says 'kube-audit-bootstrap.service is masked, and stays so'
check 'the other unit is enabled' is_enabled kube-audit-bootstrap-heal.path
on systemctl disable kube-audit-bootstrap-heal.path 2>/dev/null
run 'dpkg upgrades it beside a masked unit' dpkg -i "/tmp/$later_deb"
check 'a unit that was disabled beside a masked one stays disabled in an upgrade' gone $wants/kube-audit-bootstrap-heal.path
on rm /etc/systemd/system/kube-audit-bootstrap.service
run 'dpkg upgrades it after the mask' dpkg -i "/tmp/$deb"
check 'a unit that was masked is not enabled by an upgrade' gone $wants/kube-audit-bootstrap.service

# The package sees a running systemd. The calls of systemctl and flock are written to a file.
new_node deb-running
bring
mkdir -p "$node/run/systemd/system"
for tool in systemctl flock; do
    printf '#!/bin/sh\necho "%s $*" >>/tmp/calls\n' $tool >"$node/usr/bin/$tool"
done
# told EXPECTED: are these the calls since the last check?
told() { mv "$node"/tmp/{calls,told} && diff <(echo "$1") "$node/tmp/told"; }
run 'dpkg installs it' dpkg -i "/tmp/$deb"
check 'units are enabled by their presets, and none is started' told 'systemctl preset kube-audit-bootstrap.service
systemctl preset kube-audit-bootstrap-heal.path
systemctl daemon-reload'
run 'dpkg upgrades it' dpkg -i "/tmp/$later_deb"
check 'an upgrade starts, stops and enables none' told 'systemctl daemon-reload'
touch "$node$state/lock"
run 'dpkg removes it' dpkg -r kube-audit-bootstrap
check 'self-healing stops, and a run has 15 minutes to end before' \
    told "systemctl stop kube-audit-bootstrap-heal.path kube-audit-bootstrap-heal.timer
flock -w 900 $state/lock true
systemctl stop kube-audit-bootstrap-heal.service
systemctl disable kube-audit-bootstrap.service kube-audit-bootstrap-heal.path
systemctl daemon-reload"

new_node rpm
bring
run 'rpm lists the dependencies' rpm -q --package --requires --recommends --suggests "/tmp/$rpm"
check "the .rpm needs nothing, not: $said" [ -z "$said" ]
run 'rpm installs it' rpm -i "/tmp/$rpm"
installed
prepare
hook
on systemctl disable kube-audit-bootstrap-heal.path 2>/dev/null
run 'rpm upgrades it' rpm -U "/tmp/$later_rpm"
check 'an edited configuration stays in an upgrade' has $config 'existing: keep'
check 'the new default is beside it' there $config.rpmnew
check 'a unit that the administrator disabled stays disabled in an upgrade' gone $wants/kube-audit-bootstrap-heal.path
check 'an enabled unit stays enabled in an upgrade' is_enabled kube-audit-bootstrap.service
for link in $hooks; do check "an upgrade leaves the hook $link" there "$link"; done
run 'rpm finds its files unchanged' rpm -V --noconfig kube-audit-bootstrap
run 'rpm erases it' rpm -e kube-audit-bootstrap
for link in $hooks; do check "the hook $link is removed with the program" gone "$link"; done
check 'the program is gone' gone $program
check 'an edited configuration is kept as .rpmsave' has $config.rpmsave 'existing: keep'
check 'the backups stay' there $state/backups/20260101T000000Z/index.json
units_gone
stays
run 'rpm installs it again' rpm -i "/tmp/$rpm"
run 'rpm erases it with the backups' env KUBE_AUDIT_BOOTSTRAP_PURGE_BACKUPS=1 rpm -e kube-audit-bootstrap
check 'the backups are gone if that is asked for' gone $state
stays

new_node dnf
bring
# dnf does not know the release of Debian. There is no repository.
run 'dnf installs it' dnf --assumeyes --releasever 1 install "/tmp/$rpm"
installed
of_rpm=$(listing "$node")
prepare
run 'dnf upgrades it' dnf --assumeyes --releasever 1 install "/tmp/$later_rpm"
check 'an edited configuration stays in an upgrade' has $config 'existing: keep'
check 'the new default is beside it' there $config.rpmnew
run 'dnf removes it' dnf --assumeyes --releasever 1 remove kube-audit-bootstrap
check 'the program is gone' gone $program
check 'an edited configuration is kept as .rpmsave' has $config.rpmsave 'existing: keep'
units_gone
stays

# The man pages and the completions work.
new_node docs
bring
run 'dpkg installs it' dpkg -i "/tmp/$deb"
for page in $(cd "$node/usr/share/man/man1" && echo kube-audit-bootstrap*.1.gz); do
    run "man shows $page" env LC_ALL=C.UTF-8 MANROFFSEQ= MANWIDTH=80 \
        sh -c "man --warnings -E UTF-8 -l -Tutf8 /usr/share/man/man1/$page 2>&1 >/dev/null"
    check "$page has no fault: $said" [ -z "$said" ]
done
for verb in apply plan status verify restore policy render; do
    check "there is a page for $verb" there /usr/share/man/man1/kube-audit-bootstrap-$verb.1.gz
done
run 'bash reads its completions' bash -c '. /usr/share/bash-completion/completions/kube-audit-bootstrap
    function=$(complete -p kube-audit-bootstrap | sed "s/.*-F \([^ ]*\).*/\1/")
    COMP_WORDS=(kube-audit-bootstrap res) COMP_CWORD=1
    $function kube-audit-bootstrap res kube-audit-bootstrap
    echo "${COMPREPLY[*]}"'
check "bash completes a verb, not: $said" [ "$said" = restore ]
run 'bash completes kinds' bash -c '. /usr/share/bash-completion/completions/kube-audit-bootstrap
    COMP_WORDS=(kube-audit-bootstrap render rs) COMP_CWORD=2
    $(complete -p kube-audit-bootstrap | sed "s/.*-F \([^ ]*\).*/\1/") kube-audit-bootstrap rs render
    echo "${COMPREPLY[*]}"'
check "bash completes a kind, not: $said" [ "$said" = rsyslog ]
run 'fish reads its completions' fish -c 'complete --do-complete "kube-audit-bootstrap re"'
check "fish completes a verb, not: $said" says restore
run 'zsh finds its completions' zsh -c 'autoload -Uz compinit && compinit -u -d /tmp/dump &&
    echo $_comps[kube-audit-bootstrap] && autoload +X -U _kube-audit-bootstrap'
check "zsh has one for the program, not: $said" says _kube-audit-bootstrap

# install.sh installs the same files into a root directory, with the systemctl of the machine or without one, and never
# outside.
tar -C "$scratch" -xzf "$packages/$tarball"
install=$scratch/${tarball%.tar.gz}/install.sh
expected=$(listing "$node")
# Only Debian's zsh looks in vendor-completions.
check 'the .rpm has the files of the .deb' \
    diff <(sed s#/vendor-completions/#/site-functions/# <<<"$expected") <(echo "$of_rpm")
for with in systemctl nothing; do
    new_node "install-$with"
    path=$PATH
    [ $with = systemctl ] || {
        path=$scratch/bin
        mkdir -p "$path"
        for tool in cat chmod cp dirname ln mkdir mv readlink rm rmdir; do
            ln -s "$(command -v $tool)" "$path/$tool"
        done
    }
    check 'install.sh installs' env PATH="$path" /bin/sh "$install" --root "$node" --hook
    check 'the files are those of the package' diff <(echo "$expected") <(listing "$node" | grep -v local/bin/kubeadm)
    installed
    check 'the hook is there' [ "$(readlink "$node/usr/local/bin/kubeadm")" = $program ]
    prepare
    on systemctl disable kube-audit-bootstrap-heal.path 2>/dev/null
    check 'install.sh installs again' env PATH="$path" /bin/sh "$install" --root "$node"
    check 'an edited configuration stays' has $config 'existing: keep'
    check 'a unit that the administrator disabled stays disabled' gone $wants/kube-audit-bootstrap-heal.path
    check 'install.sh removes everything' env PATH="$path" /bin/sh "$install" --root "$node" --uninstall
    check 'only the configuration is left' [ "$(listing "$node")" = "${config#/} 644 " ]
    check 'the hook is gone' gone /usr/local/bin/kubeadm
    check 'the configuration stays' there $config
    stays
done

# From the source, without man pages, and with a program in another directory.
new_node install-local
check 'install.sh installs' image/install.sh --root "$node" --prefix /usr/local \
    --program "target/packaging/$arch/tree/kube-audit-bootstrap"
run 'the program runs' /usr/local/bin/kube-audit-bootstrap --version
check 'nothing is in /usr' gone $program
for unit in kube-audit-bootstrap.service kube-audit-bootstrap-heal.path; do
    check "$unit is in /usr/local" there /usr/local/lib/systemd/system/$unit
    check "$unit is enabled" is_enabled $unit
done

program_file=target/packaging/$arch/tree/kube-audit-bootstrap
refused() { ! "$@"; }
touch "$node$program"
said=$(image/install.sh --root "$node" --prefix /usr --program $program_file 2>&1) || :
check "it names the first one, not: $said" says 'it is installed with --prefix /usr/local'
check 'install.sh removes nothing from another prefix' refused image/install.sh --root "$node" --prefix /usr --uninstall
check 'the program is still there' there /usr/local/bin/kube-audit-bootstrap
check 'install.sh finds the prefix of the installation' image/install.sh --root "$node" --uninstall
check 'the program is gone' gone /usr/local/bin/kube-audit-bootstrap
check 'what it did not install stays' there $program
check 'install.sh removes nothing that it does not know' refused image/install.sh --root "$node" --uninstall
check 'a program that it did not install stays' there $program

new_node install-masked
on ln -s /dev/null /etc/systemd/system/kube-audit-bootstrap.service
check 'install.sh installs beside a masked unit' "$install" --root "$node" --hook
check 'the other unit is enabled' is_enabled kube-audit-bootstrap-heal.path
check 'the masked one stays so' [ "$(readlink "$node/etc/systemd/system/kube-audit-bootstrap.service")" = /dev/null ]
check 'the hook is there' there /usr/local/bin/kubeadm
on systemctl disable kube-audit-bootstrap-heal.path 2>/dev/null
check 'install.sh installs again beside a masked unit' "$install" --root "$node"
check 'a unit that was disabled stays disabled' gone $wants/kube-audit-bootstrap-heal.path

new_node install-hook-taken
on ln -s /usr/bin/true /usr/local/bin/kubeadm
said=$("$install" --root "$node" --hook 2>&1 >/dev/null) || :
check 'the hook replaces no kubeadm' says 'exists and is not a link to this program'
check 'and nothing is installed then' gone $program

# Links in a hostile or unusual root directory, and the files of a failed run.
new_node install-hostile
mkdir -p "$scratch/out2/kube-audit-bootstrap" "$node/usr/local/bin"
echo precious >"$scratch/out2/file"
ln -s "$scratch/out2/file" "$node/usr/bin/kube-audit-bootstrap.new"
ln -s "$scratch/out2/kube-audit-bootstrap" "$node/usr/local/bin/kubeadm"
mkdir -p "$node/etc/systemd/system"
ln -s "$scratch/out2" "$node$wants"
check 'install.sh installs' "$install" --root "$node" --hook
check 'a file outside is unchanged' [ "$(cat "$scratch/out2/file")" = precious ]
check 'nothing is linked outside' [ -z "$(find "$scratch/out2" -type l)" ]
check 'the hook is a link to the program' [ "$(readlink "$node/usr/local/bin/kubeadm")" = $program ]
new_node install-again
mkdir "$node/usr/lib/tmpfiles.d/kube-audit-bootstrap.conf"
check 'a directory in the way is reported' \
    [ "$("$install" --root "$node" 2>&1 | grep -c 'is a directory; move it away')" = 1 ]
rmdir "$node/usr/lib/tmpfiles.d/kube-audit-bootstrap.conf"
check 'install.sh installs' "$install" --root "$node"
check 'the units are enabled, after a run that failed' is_enabled kube-audit-bootstrap.service
(cd "$scratch" && mkdir -p elsewhere/install-again/root &&
    CDPATH=$scratch/elsewhere "$install" --root install-again/root) >/dev/null 2>&1
check 'a relative root directory is relative to the working directory' \
    [ -z "$(ls -A "$scratch/elsewhere/install-again/root")" ]

# A root directory with links that lead out of it if they are followed literally.
case=install-links node=$scratch/links/root
mkdir -p "$node/real" "$node/usr" "$node/opt" "$scratch/out"
ln -s "$scratch/out" "$node/etc"
ln -s /real "$node/usr/bin"
ln -s ../../../../../../../../out "$node/usr/lib"
ln -s /opt "$node/usr/local"
check 'install.sh installs' env PATH="$scratch/bin" /bin/sh "$install" --root "$node" --hook
check 'nothing is written outside' [ -z "$(ls -A "$scratch/out")" ]
check 'an absolute link starts at the root directory' there /real/kube-audit-bootstrap
check 'also one whose target exists outside' there "$scratch/out/kube-audit-bootstrap/config.yaml"
check 'no .. leads out' there /out/systemd/system/kube-audit-bootstrap.service
check 'the hook is also inside' there /opt/bin/kubeadm

case='install-usage'
check '--root is required' [ "$("$install" >/dev/null 2>&1 || echo $?)" = 2 ]
check '--root must be a directory' [ "$("$install" --root "$scratch/none" >/dev/null 2>&1 || echo $?)" = 1 ]
mkdir "$scratch/empty" "$scratch/image" && touch "$scratch/image/file"
check 'an empty root directory is refused' [ "$("$install" --root "$scratch/empty" >/dev/null 2>&1 || echo $?)" = 1 ]
check 'and nothing is in it' [ -z "$(ls -A "$scratch/empty")" ]
check 'what is no program is refused' \
    [ "$("$install" --root "$scratch/image" --program README.md >/dev/null 2>&1 || echo $?)" = 1 ]
check 'and nothing is installed' [ "$(ls -A "$scratch/image")" = file ]
check 'systemd must find the units' [ "$("$install" --root / --prefix /opt >/dev/null 2>&1 || echo $?)" = 2 ]
check 'an unknown option is refused' [ "$("$install" --root / --rot >/dev/null 2>&1 || echo $?)" = 2 ]

# containerd and podman use the container image.
new_node oci
cp "target/packages/kube-audit-bootstrap-$version.oci.tar" "$node/tmp/image.tar"
image=localhost/kube-audit-bootstrap:$version
podman() { on podman --root /tmp/podman --runroot /tmp/podman-run --storage-driver vfs --cgroup-manager cgroupfs "$@"; }
check 'podman loads it' podman load --input /tmp/image.tar
format='{{.RepoTags}} {{.Config.Entrypoint}} {{.Os}}/{{.Architecture}}'
said=$(podman image inspect --format "$format" "$image" 2>/dev/null) || :
check "podman has its name, its entrypoint and its architecture, not: $said" \
    [ "$said" = "[$image] [/kube-audit-bootstrap] linux/$arch" ]
cat >"$node/tmp/containerd.toml" <<END
version = 2
root = "/tmp/containerd"
state = "/tmp/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "/tmp/containerd.sock"
END
# runc needs these mounts. The mounts of the machine stay unchanged.
mount --rbind /sys "$node/sys"
mount --make-rslave "$node/sys"
(exec chroot "$node" "${clean[@]}" containerd --config /tmp/containerd.toml) >"$scratch/containerd.log" 2>&1 &
server=$!
ctr() { on ctr --address /tmp/containerd.sock "$@"; }
for ((tries = 0; tries < 300; tries++)); do
    ! ctr version >/dev/null 2>&1 || break
    kill -0 $server || { cat "$scratch/containerd.log" >&2; exit 1; }
    sleep 0.1
done
run 'ctr imports it' ctr --address /tmp/containerd.sock images import --snapshotter native /tmp/image.tar
check "it is there by its name, among: $(ctr images ls -q)" [ "$(ctr images ls -q)" = "$image" ]
run 'ctr mounts it' ctr --address /tmp/containerd.sock images mount --snapshotter native "$image" /mnt
check 'the program is alone in it, belongs to the root user, and is executable' \
    [ "$(cd "$node/mnt" && find . -mindepth 1 -printf '%P %m %U:%G\n')" = 'kube-audit-bootstrap 755 0:0' ]
check 'it is the same program as in the packages' \
    cmp "$node/mnt/kube-audit-bootstrap" "target/packaging/$arch/tree/kube-audit-bootstrap"
manifest=$(ctr content get "$(ctr images ls "name==$image" | sed -n 's/.* \(sha256:[0-9a-f]*\) .*/\1/p')")
settings=$(ctr content get "$(sed 's/.*"config":{[^}]*"digest":"\(sha256:[0-9a-f]*\)".*/\1/' <<<"$manifest")")
check "the program is the entrypoint, not as in: $settings" \
    grep -qF '"Entrypoint":["/kube-audit-bootstrap"]' <<<"$settings"
check "its architecture is that of the program, not as in: $settings" \
    grep -qF "\"architecture\":\"$arch\"" <<<"$settings"

# The container sees a control plane at /host, and the program.
tests/sample-node.sh "$node/tmp/host"
cp -a "$node/tmp/host" "$node/tmp/same"
# contained ARGUMENT...: runs the program in its container. Its stdout is in $said, its exit code in $code.
contained() {
    code=0
    said=$(ctr run --rm --snapshotter native --cgroup "/kube-audit-bootstrap-packages-$$" \
        --mount type=bind,src=/tmp/host,dst=/host,options=rbind:rw "$image" one \
        /kube-audit-bootstrap --root /host "$@" 2>"$scratch/stderr") || code=$?
}
outside() { "target/packaging/$arch/tree/kube-audit-bootstrap" --root "$node/tmp/same" "$@" 2>/dev/null; }
contained plan
check "in a container, something would change, not: exit code $code, $(<"$scratch/stderr")" [ $code -eq 3 ]
check 'the plan is the same as outside' diff <(echo "$said") <(outside plan)
contained apply
check "in a container, apply does it, not: exit code $code, $(<"$scratch/stderr")" [ $code -eq 0 ]
check 'outside, apply does it' outside apply
check 'both make the same changes' diff -r "$node"/tmp/{host,same}/etc
check 'the manifest has the flags' has /tmp/host/etc/kubernetes/manifests/kube-apiserver.yaml --audit-log-path=

if [ "$all" = all ]; then
    # The packages for arm64 are not run here. They must have the same files, and a program for arm64.
    new_node arm64
    bring
    other_deb=${deb/amd64/arm64} other_rpm=${rpm/x86_64/aarch64} other_tarball=${tarball/amd64/arm64}
    cp "$packages"/{"$other_deb","$other_rpm","$other_tarball"} "$node/tmp"
    cp "$packages/kube-audit-bootstrap-$version-arm64.oci.tar" "$node/tmp/image.tar"
    files() { on sh -c "dpkg-deb --contents /tmp/$1 | awk '{ print \$1, \$2, \$6 }'"; }
    architecture() { on od -An -tx1 -j 18 -N 2 "$1"; }
    run 'the .deb is for arm64' dpkg-deb --field "/tmp/$other_deb" Architecture
    check "the architecture is arm64, not: $said" [ "$said" = arm64 ]
    check 'the .deb has the same files' diff <(files "$deb") <(files "$other_deb")
    run 'the .deb has a program' dpkg-deb --extract "/tmp/$other_deb" /tmp/deb
    run 'the .rpm is for aarch64' rpm -q --package --queryformat '%{ARCH}' "/tmp/$other_rpm"
    check "the architecture is aarch64, not: $said" [ "$said" = aarch64 ]
    check 'the .rpm has the same files' \
        diff <(on rpm -q --package --list "/tmp/$rpm") <(on rpm -q --package --list "/tmp/$other_rpm")
    run 'the tarball has a program' tar -C /tmp -xzf "/tmp/$other_tarball"
    check 'podman loads it' podman load --input /tmp/image.tar
    said=$(podman image inspect --format '{{.Architecture}}' "$image" 2>/dev/null) || :
    check "the image is for arm64, not: $said" [ "$said" = arm64 ]
    for file in "/tmp/deb$program" "/tmp/${other_tarball%.tar.gz}/kube-audit-bootstrap"; do
        check "$file is for aarch64" [ "$(architecture "$file")" = ' b7 00' ]
    done
fi

echo "packages: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
