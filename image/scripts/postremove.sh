#!/bin/sh
# Runs after the files are removed, by dpkg ("remove", and later perhaps "purge") or rpm (0 versions are left). The log,
# the policy and the flags in the manifest stay on the node. The backups stay, too: they are the only copies of the
# previous files.
state=/var/lib/kube-audit-bootstrap
case $1 in
    remove | purge | 0) ;;
    *) exit 0 ;;
esac
if [ "$1" != purge ] && [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then
    systemctl daemon-reload || :
fi
[ "$1" != remove ] || exit 0

if [ "${KUBE_AUDIT_BOOTSTRAP_PURGE_BACKUPS-}" = 1 ]; then
    rm -rf $state
elif [ -n "$(ls -A $state/backups 2>/dev/null)" ]; then
    echo "kube-audit-bootstrap: $state/backups stays, because it contains the previous files; remove it by hand, or purge with KUBE_AUDIT_BOOTSTRAP_PURGE_BACKUPS=1 in the environment" >&2
else
    rm -rf $state
fi
exit 0
