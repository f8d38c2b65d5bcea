#!/bin/sh
# Installs kube-audit-bootstrap into a root directory, without a package manager: for image builders, or on a node.
# It uses the same paths as the packages. It enables the units, and starts none.
set -eu

usage() {
    cat <<'END'
usage: install.sh --root DIR [--prefix DIR] [--hook] [--uninstall] [--program FILE]

  --root DIR       the root directory of the image, such as $BUILDROOT of mkosi; / for this system
  --prefix DIR     /usr (the default) or /usr/local: systemd looks for units in no other prefix
  --hook           also make /usr/local/bin/kubeadm a link to the program: it then prepares the node before each
                   `kubeadm init` or `join`, and becomes the real kubeadm, which must be in another directory
  --uninstall      remove what was installed, with the hook; the configuration and the backups stay. The prefix is the
                   one of the installation
  --program FILE   the program, if it is not beside this script
END
}
say() { echo "install.sh: $*" >&2; }
fail() {
    say "$@"
    exit 1
}
misused() {
    say "$@"
    usage >&2
    exit 2
}

# cd must not search other directories for a name.
unset CDPATH
here=$(cd -- "$(dirname -- "$0")" && pwd)
root='' prefix='' hook='' uninstall='' program=$here/kube-audit-bootstrap
while [ $# -gt 0 ]; do
    case $1 in
        --root | --prefix | --program)
            [ $# -gt 1 ] || misused "$1 needs a value"
            case $1 in
                --root) root=$2 ;;
                --prefix) prefix=${2%/} ;;
                --program) program=$2 ;;
            esac
            shift
            ;;
        --hook) hook=1 ;;
        --uninstall) uninstall=1 ;;
        --help | -h)
            usage
            exit
            ;;
        *) misused "$1: unknown option" ;;
    esac
    shift
done
[ -n "$root" ] || misused "--root is missing"
[ -d "$root" ] || fail "$root: --root is not a directory"
case $prefix in
    '' | /usr | /usr/local) ;;
    *) misused "--prefix $prefix: use /usr or /usr/local" ;;
esac
case $root in /*) ;; *) root=./$root ;; esac
umask 022
# Probably the image is not mounted there.
is_empty() {
    for entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -e "$entry" ] || [ -L "$entry" ]; then return 1; fi
    done
}
! is_empty "$root" || fail "$root: --root is empty; mount the image first"
# No slash at the end, so this is empty for the root directory of this system.
root=$(cd -- "$root" && pwd -P)
root=${root%/}
units="kube-audit-bootstrap.service kube-audit-bootstrap-heal.path"
links=/etc/systemd/system/multi-user.target.wants

# Prints the path on this machine of a directory of the image. It follows links as the image means them: an absolute
# link starts at the root of the image, and no .. leads out of it.
within() { # PATH
    rest=${1#/} at='' left=40
    while [ -n "$rest" ]; do
        name=${rest%%/*}
        case $rest in */*) rest=${rest#*/} ;; *) rest='' ;; esac
        case $name in
            '' | .) ;;
            ..) at=${at%/*} ;;
            *)
                if [ -L "$root$at/$name" ]; then
                    left=$((left - 1))
                    [ $left -gt 0 ] || fail "$root$1: too many links"
                    target=$(readlink "$root$at/$name")
                    case $target in /*) at='' ;; esac
                    rest=$target/$rest
                else
                    at=$at/$name
                fi
                ;;
        esac
    done
    printf '%s\n' "$root$at"
}

# Lists the files to install: the mode, the path in the image, and the file on this machine.
files() {
    echo "0755 $prefix/bin/kube-audit-bootstrap $program"
    for file in "$here"/systemd/*.service "$here"/systemd/*.path "$here"/systemd/*.timer; do
        echo "0644 $prefix/lib/systemd/system/${file##*/} $file"
    done
    echo "0644 $prefix/lib/systemd/system-preset/90-kube-audit-bootstrap.preset $here/systemd/kube-audit-bootstrap.preset"
    echo "0644 $prefix/lib/tmpfiles.d/kube-audit-bootstrap.conf $here/tmpfiles.d/kube-audit-bootstrap.conf"
    echo "0644 /etc/kube-audit-bootstrap/config.yaml $here/config.yaml"
    # The tarball contains these. In the source, they must be built first.
    for file in "$here"/man/*.1.gz; do
        echo "0644 $prefix/share/man/man1/${file##*/} $file"
    done
    zsh=site-functions
    [ ! -e "$root/etc/debian_version" ] || [ $prefix != /usr ] || zsh=vendor-completions
    echo "0644 $prefix/share/bash-completion/completions/kube-audit-bootstrap $here/completions/bash/kube-audit-bootstrap"
    echo "0644 $prefix/share/fish/vendor_completions.d/kube-audit-bootstrap.fish $here/completions/fish/kube-audit-bootstrap.fish"
    echo "0644 $prefix/share/zsh/$zsh/_kube-audit-bootstrap $here/completions/zsh/_kube-audit-bootstrap"
    for file in LICENSE README.md CHANGELOG.md third-party-licenses.txt; do
        echo "0644 $prefix/share/doc/kube-audit-bootstrap/$file $here/$file"
    done
    for file in "$here"/docs/*.md; do
        echo "0644 $prefix/share/doc/kube-audit-bootstrap/docs/${file##*/} $file"
    done
}

# Does systemd run here, and is this system the one that changes?
runs() { [ -z "$root" ] && [ -d /run/systemd/system ]; }
has_systemctl() { command -v systemctl >/dev/null; }

hook_directory=$(within /usr/local/bin)
is_our_hook() {
    [ -L "$hook_directory/kubeadm" ] || return 1
    case $(readlink "$hook_directory/kubeadm") in */kube-audit-bootstrap) ;; *) return 1 ;; esac
}

# Makes a link. It replaces an existing link, also one that leads to a directory.
link() { # TARGET DIRECTORY NAME
    mkdir -p "$2"
    if [ -L "$2/$3" ]; then rm -f "$2/$3"; fi
    [ ! -d "$2/$3" ] || fail "$2/$3 is a directory; move it away"
    ln -sf "$1" "$2/$3"
}
state=$(within /var/lib/kube-audit-bootstrap)
# The packages use the same marker: it names the units that were enabled once, or is empty for all of them. So a unit
# that the administrator disables later stays disabled.
marker=$state/units-are-preset
has_line() { # FILE LINE
    while read -r read; do
        [ "$read" != "$2" ] || return 0
    done <"$1"
    return 1
}
is_preset() { [ -e "$marker" ] && { [ ! -s "$marker" ] || has_line "$marker" "$1"; }; }
# A masked unit is a link to /dev/null, or an empty file.
is_masked() {
    mask=$(within /etc/systemd/system)/$1
    [ "$(readlink "$mask")" = /dev/null ] || { [ -f "$mask" ] && [ ! -s "$mask" ]; }
}

# The paths in the image of the files that an installation wrote. `--uninstall` removes these, and no others.
list=$state/installed
there=''
if [ -f "$list" ]; then
    while read -r place; do
        case $place in */bin/kube-audit-bootstrap) there=${place%/bin/*} ;; esac
    done <"$list"
elif [ -n "$uninstall" ] && [ -z "$prefix" ]; then
    # An earlier version kept no list, and a package keeps its own.
    for place in /usr /usr/local; do
        [ ! -e "$(within $place/bin)/kube-audit-bootstrap" ] ||
            fail "${root:-/} has no list of what install.sh installed: if it did, name its --prefix (the program is in $place/bin)"
    done
fi
if [ -n "$there" ] && [ -n "$prefix" ] && [ "$there" != "$prefix" ]; then
    [ -z "$uninstall" ] || fail "it is installed with --prefix $there, not $prefix: leave out --prefix"
    fail "it is installed with --prefix $there, not $prefix: first run $0 --root ${root:-/} --uninstall"
fi
prefix=${prefix:-${there:-/usr}}
called=$prefix/bin/kube-audit-bootstrap

if [ -n "$uninstall" ]; then
    if [ ! -f "$list" ]; then
        [ ! -e "$(within /var/lib/dpkg/info)/kube-audit-bootstrap.list" ] ||
            fail "it is installed as a package: run apt-get remove kube-audit-bootstrap"
        [ -e "$(within "$prefix/bin")/kube-audit-bootstrap" ] || {
            say "${root:-/}: there is nothing to uninstall in $prefix"
            exit
        }
    fi
    if is_our_hook; then
        rm -f "$hook_directory/kubeadm"
        say "removed $hook_directory/kubeadm"
    fi
    if runs && has_systemctl; then
        systemctl stop kube-audit-bootstrap-heal.path kube-audit-bootstrap-heal.timer || :
        # A run that holds the lock may be changing the manifest, so it gets time to end.
        lock=/var/lib/kube-audit-bootstrap/lock
        if [ -e $lock ] && command -v flock >/dev/null; then flock -w 900 $lock true || :; fi
        systemctl stop kube-audit-bootstrap-heal.service || :
    fi
    directory=$(within $links)
    for unit in $units; do
        rm -f "$directory/$unit"
    done
    if [ -f "$list" ]; then
        cat "$list"
    else
        files | while read -r _ place _; do echo "$place"; done
    fi | while read -r place; do
        case $place in /etc/*) continue ;; esac
        directory=$(within "${place%/*}")
        rm -f "$directory/${place##*/}"
    done
    rmdir "$(within "$prefix/share/doc/kube-audit-bootstrap/docs")" 2>/dev/null || :
    rmdir "$(within "$prefix/share/doc/kube-audit-bootstrap")" 2>/dev/null || :
    rm -f "$marker" "$list"
    rmdir "$state" 2>/dev/null || :
    if runs && has_systemctl; then systemctl daemon-reload || :; fi
    say "removed kube-audit-bootstrap from ${root:-/}; the configuration and the backups stay"
    exit
fi

[ -f "$program" ] || fail "$program does not exist: use the tarball that \`make packages\` writes, or --program FILE"
IFS= read -r start <"$program" || :
case $start in
    "$(printf '\177')ELF"*) ;;
    *) fail "$program is not the program: name the binary kube-audit-bootstrap with --program" ;;
esac
if [ -n "$hook" ] && ! is_our_hook && { [ -e "$hook_directory/kubeadm" ] || [ -L "$hook_directory/kubeadm" ]; }; then
    fail "$hook_directory/kubeadm exists and is not a link to this program: move it to /usr/bin or /opt/bin first"
fi
[ -d "$state" ] || mkdir -p -m 0700 "$state"
# The list names a file before it is there, and keeps what an earlier version wrote.
: >>"$list"
files | while read -r _ place file; do
    case $place in /etc/*) continue ;; esac
    if [ -e "$file" ] && ! has_line "$list" "$place"; then echo "$place" >>"$list"; fi
done
files | while read -r mode place file; do
    if [ ! -e "$file" ]; then
        case $file in
            "$here"/man/* | "$here"/completions/* | "$here"/*.md | "$here"/LICENSE | "$here"/*.txt) continue ;;
            *) fail "$file is missing" ;;
        esac
    fi
    directory=$(within "${place%/*}")
    mkdir -p "$directory"
    target=$directory/${place##*/}
    case $place in
        /etc/*)
            if [ -e "$target" ] || [ -L "$target" ]; then
                say "$target exists already and stays as it is"
                continue
            fi
            ;;
    esac
    # A running program cannot be written to, so the new file is written beside it and renamed. Links are not followed.
    for there in "$target" "$target.new"; do
        if [ -L "$there" ]; then rm -f "$there"; fi
        [ ! -d "$there" ] || fail "$there is a directory; move it away"
    done
    rm -f "$target.new"
    cp "$file" "$target.new"
    chmod "$mode" "$target.new"
    mv -f "$target.new" "$target"
done

# systemctl would follow links in the root directory to files of this machine.
has_presets=''
if has_systemctl && [ "$(within $links)" = "$root$links" ] &&
    [ "$(within "$prefix/lib/systemd/system")" = "$root$prefix/lib/systemd/system" ]; then
    has_presets=1
fi
# systemctl says of each unit that it is added to a target that the image lacks, which is no fault.
enable() { # UNIT
    if told=$(LC_ALL=C systemctl --root="${root:-/}" preset "$1" 2>&1); then enabled=0; else enabled=1; fi
    printf '%s\n' "$told" | while IFS= read -r line; do
        case $line in
            '' | *'as a dependency to a non-existent unit'*) ;;
            *) echo "$line" >&2 ;;
        esac
    done
    return $enabled
}
failed=''
for unit in $units; do
    if is_preset "$unit"; then continue; fi
    if is_masked "$unit"; then
        say "$unit is masked, and stays so"
    elif [ -z "$has_presets" ]; then
        link "$prefix/lib/systemd/system/$unit" "$(within $links)" "$unit"
    elif ! enable "$unit"; then
        failed="$failed $unit"
        continue
    fi
    echo "$unit" >>"$marker"
done
if runs && has_systemctl; then systemctl daemon-reload || say "systemctl daemon-reload failed: run it again"; fi
if [ -n "$hook" ]; then
    link "$called" "$hook_directory" kubeadm
fi
say "installed kube-audit-bootstrap into ${root:-/}${hook:+, with the kubeadm hook}"
[ -z "$failed" ] || fail "not enabled, see above:$failed; run: systemctl --root=${root:-/} preset$failed"
