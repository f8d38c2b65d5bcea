#!/bin/sh
# After an installation or an upgrade, by dpkg or rpm. Enables the units once, as the presets say, and starts nothing: on
# a running control plane that could end its API server.
state=/var/lib/kube-audit-bootstrap
# That it was done, so that an upgrade leaves alone what somebody has disabled.
marker=$state/units-are-preset

if ! command -v systemctl >/dev/null; then
    echo "kube-audit-bootstrap: there is no systemctl, so no unit is enabled; where systemd follows: systemctl preset kube-audit-bootstrap.service kube-audit-bootstrap-heal.path" >&2
    exit 0
fi
if [ ! -e $marker ]; then
    # Without a systemd that runs, as in an image's chroot, systemctl makes the links itself.
    # One after the other: one that somebody masked fails.
    failed=''
    for unit in kube-audit-bootstrap.service kube-audit-bootstrap-heal.path; do
        systemctl preset $unit || failed=1
    done
    if [ -z "$failed" ]; then
        mkdir -p -m 0700 $state && : >$marker
    else
        echo "kube-audit-bootstrap: the units could not be enabled, see above; then: systemctl preset kube-audit-bootstrap.service kube-audit-bootstrap-heal.path" >&2
    fi
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi
exit 0
