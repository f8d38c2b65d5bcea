DIRECTORY=/var/log/kubernetes/audit

# As it runs elsewhere: as a user of its own, who has no more than a group. Without the kernel's log, which is the machine's.
prepare_rsyslog() {
    useradd --system --gid adm --no-create-home --home-dir /nonexistent syslog &&
        chown syslog /var/spool/rsyslog &&
        chgrp adm /var/log &&
        chmod 0775 /var/log &&
        sed -i '/imklog/d' /etc/rsyslog.conf &&
        mkdir -p /etc/systemd/system/rsyslog.service.d || return 1
    printf '[Service]\nUser=syslog\nGroup=adm\nCapabilityBoundingSet=\n' >/etc/systemd/system/rsyslog.service.d/user.conf
    systemctl daemon-reload &&
        kube-audit-bootstrap render rsyslog >"$WORK/rendered" &&
        sed 's/logs\.example\.com/127.0.0.1/' "$WORK/rendered" >/etc/rsyslog.d/40-kube-audit.conf
}
is_its_user() { is "$(stat -c %U "/proc/$(systemctl show --value -p MainPID rsyslog)")" syslog; }

has_rotated() { local n; n=$(ls $DIRECTORY | grep -c '^audit-.*\.gz$') && echo "$n files" && [ "$n" -ge "$1" ]; }
# By the names that they have when they are compressed, too.
rotated() { ls $DIRECTORY | sed 's/\.gz$//' | sort -u; }
# Soon after a rotation, and done before the next: what isn't read of a file when that is rotated meanwhile would be in the
# compressed file alone.
between_rotations() {
    until [ "$(stat -c %s "$AUDIT_LOG")" -lt 400000 ]; do sleep 0.1; done
    local files
    files=$(rotated) || return 1
    "$@" && is "$(rotated)" "$files"
}
# Compressed files are nobody's to send.
start() {
    zcat -f "${AUDIT_LOG%.log}"-* 2>/dev/null | sort >"$WORK/before"
    systemctl enable --now rsyslog
}

first() { awk 'NR <= 3 { print substr($0, 1, 200) }'; }
# What follows on the seven fields of a syslog header.
arrived() { cut -d ' ' -f 8- "$WORK/received" | sort; }
since_start() { all_events | sort | comm -23 - "$WORK/before"; }
# Every event that was written has arrived, as it was written, and nothing else has: there are more all the time.
all_have_arrived() {
    since_start >"$WORK/written"
    arrived >"$WORK/arrived"
    since_start >"$WORK/written-since"
    echo "$(wc -l <"$WORK/written") events, $(wc -l <"$WORK/arrived") arrived"
    is "$(comm -23 "$WORK/written" "$WORK/arrived" | first)" '' &&
        is "$(comm -13 "$WORK/written-since" "$WORK/arrived" | first)" ''
}
