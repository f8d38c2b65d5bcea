DIRECTORY=/var/log/kubernetes/audit

# Lets rsyslog run as other distributions do: as a user of its own, which has a group and no other right. It doesn't
# read the log of the kernel, which belongs to the machine.
prepare_rsyslog() {
    useradd --system --gid adm --no-create-home --home-dir /nonexistent syslog &&
        chown syslog /var/spool/rsyslog &&
        chgrp adm /var/log &&
        chmod 0775 /var/log &&
        sed -i '/imklog/d' /etc/rsyslog.conf &&
        mkdir -p /etc/systemd/system/rsyslog.service.d || return 1
    printf '[Service]\nUser=syslog\nGroup=adm\nCapabilityBoundingSet=\n' \
        >/etc/systemd/system/rsyslog.service.d/user.conf
    systemctl daemon-reload &&
        kube-audit-bootstrap render rsyslog >"$WORK/rendered" &&
        sed 's/logs\.example\.com/127.0.0.1/' "$WORK/rendered" >/etc/rsyslog.d/40-kube-audit.conf
}
is_its_user() { is "$(stat -c %U "/proc/$(systemctl show --value -p MainPID rsyslog)")" syslog; }

has_rotated() { local n; n=$(ls $DIRECTORY | grep -c '^audit-.*\.gz$') && echo "$n files" && [ "$n" -ge "$1" ]; }
# The rotated files, without the .gz that a file gets when it is compressed.
rotated() { ls $DIRECTORY | sed 's/\.gz$//' | sort -u; }
# between_rotations COMMAND...: runs the command soon after a rotation, and it ends before the next one. If a file is
# rotated before rsyslog has read it, its last events are in the compressed file alone.
between_rotations() {
    until [ "$(stat -c %s "$AUDIT_LOG")" -lt 400000 ]; do sleep 0.1; done
    local files
    files=$(rotated) || return 1
    "$@" && is "$(rotated)" "$files"
}
# Starts rsyslog, and keeps the events of the compressed files, which rsyslog doesn't send.
start() {
    zcat -f "${AUDIT_LOG%.log}"-* 2>/dev/null | sort >"$WORK/before"
    systemctl enable --now rsyslog
}

first() { awk 'NR <= 3 { print substr($0, 1, 200) }'; }
# The events that have arrived: what follows the seven fields of a syslog header.
arrived() { cut -d ' ' -f 8- "$WORK/received" | sort; }
since_start() { all_events | sort | comm -23 - "$WORK/before"; }
# Every event that was written has arrived as it was written, and nothing else has arrived. More events come all the
# time, so the written ones are read twice.
all_have_arrived() {
    since_start >"$WORK/written"
    arrived >"$WORK/arrived"
    since_start >"$WORK/written-since"
    echo "$(wc -l <"$WORK/written") events, $(wc -l <"$WORK/arrived") arrived"
    is "$(comm -23 "$WORK/written" "$WORK/arrived" | first)" '' &&
        is "$(comm -13 "$WORK/written-since" "$WORK/arrived" | first)" ''
}
