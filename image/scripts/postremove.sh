#!/bin/sh
# After the files are gone, by dpkg ("remove", later perhaps "purge") or rpm (0 are left). What was made on the node stays:
# the log, the policy, the flags in the manifest. So do the backups, the only copies of what was there before.
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
    echo "kube-audit-bootstrap: $state/backups stays, with the files from before; remove it by hand, or purge with KUBE_AUDIT_BOOTSTRAP_PURGE_BACKUPS=1 in the environment" >&2
else
    rm -rf $state
fi
exit 0
