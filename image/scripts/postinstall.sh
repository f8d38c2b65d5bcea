#!/bin/sh
# Runs after an installation or an upgrade, by dpkg or rpm. It enables the units once, as the presets say. It starts
# nothing, because on a running control plane that could restart the API server.
state=/var/lib/kube-audit-bootstrap
# The marker that the units were enabled once. So an upgrade does not enable a unit that the administrator has disabled.
marker=$state/units-are-preset

if ! command -v systemctl >/dev/null; then
    echo "kube-audit-bootstrap: there is no systemctl, so no unit is enabled; if you install systemd later, run: systemctl preset kube-audit-bootstrap.service kube-audit-bootstrap-heal.path" >&2
    exit 0
fi
if [ ! -e $marker ]; then
    # If systemd does not run, as in the chroot of an image, systemctl makes the links itself.
    # One unit after the other, because systemctl fails for a masked unit.
    failed=''
    for unit in kube-audit-bootstrap.service kube-audit-bootstrap-heal.path; do
        systemctl preset $unit || failed=1
    done
    if [ -z "$failed" ]; then
        mkdir -p -m 0700 $state && : >$marker
    else
        echo "kube-audit-bootstrap: the units could not be enabled, see above; fix this and run: systemctl preset kube-audit-bootstrap.service kube-audit-bootstrap-heal.path" >&2
    fi
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi
exit 0
