#!/bin/sh
# Runs before the files are removed, by dpkg ("remove") or rpm (0 versions are left). It also runs in an upgrade, and
# then changes nothing.
case $1 in
    remove | 0) ;;
    *) exit 0 ;;
esac
program=/usr/bin/kube-audit-bootstrap
state=/var/lib/kube-audit-bootstrap

# Without the program, the hook would be a link to nothing.
for directory in /usr/local/bin /usr/local/sbin /opt/bin; do
    hook=$directory/kubeadm
    if [ -L $hook ] && [ "$(readlink -f $hook)" = "$(readlink -f $program)" ]; then
        rm -f $hook
        echo "kube-audit-bootstrap: removed $hook, the kubeadm hook" >&2
    fi
done

if command -v systemctl >/dev/null; then
    if [ -d /run/systemd/system ]; then
        systemctl stop kube-audit-bootstrap-heal.path kube-audit-bootstrap-heal.timer || :
        # A run that holds the lock may be changing the manifest, so it gets time to end.
        if [ -e $state/lock ] && command -v flock >/dev/null; then
            flock -w 900 $state/lock true || :
        fi
        systemctl stop kube-audit-bootstrap-heal.service || :
    fi
    systemctl disable kube-audit-bootstrap.service kube-audit-bootstrap-heal.path || :
fi
# systemctl does not disable a unit whose file is already removed.
rm -f /etc/systemd/system/multi-user.target.wants/kube-audit-bootstrap.service \
    /etc/systemd/system/multi-user.target.wants/kube-audit-bootstrap-heal.path
rm -f $state/units-are-preset
exit 0
