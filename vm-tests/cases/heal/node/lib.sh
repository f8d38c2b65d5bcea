# Writes the manifest without the settings, as a tool does that has a manifest of its own.
write_again() {
    cp "$(kept manifest)" /etc/kubernetes/manifests/.edited && mv /etc/kubernetes/manifests/.edited "$MANIFEST"
}
# self_healing: what status says of it, in JSON.
self_healing() { kube-audit-bootstrap status --output json | jq -c .selfHealing; }

# is_repaired N: the manifest is in place, after N repairs.
is_repaired() {
    local filter=".inPlace and (.selfHealing.repairs | length) == $1"
    [ "$(kube-audit-bootstrap status --output json | jq "$filter")" = true ] &&
        unit_is_done && kube-audit-bootstrap verify
}
# The node has been up for more than three minutes.
is_up_for_long() {
    local at
    at=$(booted_at) && awk -v at="$at" '{ print $1; exit !($1 > at / 1000000 + 180) }' /proc/uptime
}
# The timer looks again 15 minutes after the unit ended.
looks_again() {
    local ended
    ended=$(systemctl show --value -p InactiveEnterTimestampMonotonic kube-audit-bootstrap-heal.service) &&
        [ "$ended" -gt 0 ] &&
        is "$(looks as-new.timer OnUnitInactiveUSec)" "900000000 $((ended + 900000000))"
}
has_given_up() { systemctl is-failed kube-audit-bootstrap-heal.service; }
unit_is_done() { is "$(systemctl is-active kube-audit-bootstrap-heal.service)" inactive; }
