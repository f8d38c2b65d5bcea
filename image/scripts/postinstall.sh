#!/bin/sh
# Runs after an installation or an upgrade, by dpkg or rpm. It enables the units once, as the presets say. It starts
# nothing, because on a running control plane that could restart the API server.
state=/var/lib/kube-audit-bootstrap
# The marker names the units that were enabled once, or is empty for all of them. So an upgrade does not enable a unit
# that the administrator has disabled.
marker=$state/units-are-preset

if ! command -v systemctl >/dev/null; then
    echo "kube-audit-bootstrap: there is no systemctl, so no unit is enabled; if you install systemd later, run: systemctl preset kube-audit-bootstrap.service kube-audit-bootstrap-heal.path" >&2
    exit 0
fi
# If systemd does not run, as in the chroot of an image, systemctl makes the links itself.
failed=''
for unit in kube-audit-bootstrap.service kube-audit-bootstrap-heal.path; do
    if [ -e $marker ] && { [ ! -s $marker ] || grep -qxF $unit $marker; }; then continue; fi
    mask=/etc/systemd/system/$unit
    # systemctl preset fails for a masked unit: a link to /dev/null, or an empty file. The administrator wants it so.
    if [ "$(readlink $mask)" = /dev/null ] || { [ -f $mask ] && [ ! -s $mask ]; }; then
        echo "kube-audit-bootstrap: $unit is masked, and stays so" >&2
    elif ! systemctl preset $unit; then
        failed="$failed $unit"
        continue
    fi
    [ -d $state ] || mkdir -p -m 0700 $state
    echo $unit >>$marker
done
if [ -n "$failed" ]; then
    echo "kube-audit-bootstrap: not enabled, see above:$failed; fix this and run: systemctl preset$failed" >&2
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi
exit 0
