unit_ended() {
    is "$(systemctl show -p Result -p ActiveState --value kube-audit-bootstrap.service | xargs)" 'success active'
}
units_are_enabled() {
    is "$(systemctl is-enabled kube-audit-bootstrap.service kube-audit-bootstrap-heal.path | xargs)" 'enabled enabled'
}
# ended_before UNIT UNIT: the first unit ended before the second one started, in microseconds of the monotonic clock.
ended_before() {
    local end start
    end=$(systemctl show -p ExecMainExitTimestampMonotonic --value "$1")
    start=$(systemctl show -p ExecMainStartTimestampMonotonic --value "$2")
    echo "$1 ended at $end, $2 started at $start"
    [ "$end" -gt 0 ] && [ "$end" -lt "$start" ]
}
looks_after_the_boot() {
    local at
    at=$(booted_at) && is "$(looks kube-audit-bootstrap-heal.timer OnBootUSec)" "180000000 $((at + 180000000))"
}
# The time that the unit took, which is the most by which it made the boot longer.
time_of_unit() { systemd-analyze blame --no-pager | grep ' kube-audit-bootstrap.service$'; }
