# What a tool does that has a manifest of its own.
write_again() { cp "$WORK/manifest" /etc/kubernetes/manifests/.edited && mv /etc/kubernetes/manifests/.edited "$MANIFEST"; }

# By now it is repaired for the Nth time.
is_repaired() {
    [ "$(kube-audit-bootstrap status --output json | jq '.inPlace and (.selfHealing.repairs | length) == '"$1")" = true ] &&
        unit_is_done && kube-audit-bootstrap verify
}
is_up_for_long() { local at; at=$(booted_at) && awk -v at="$at" '{ print $1; exit !($1 > at / 1000000 + 180) }' /proc/uptime; }
looks_again() {
    local ended
    ended=$(systemctl show --value -p InactiveEnterTimestampMonotonic kube-audit-bootstrap-heal.service) && [ "$ended" -gt 0 ] &&
        is "$(looks as-new.timer OnUnitInactiveUSec)" "900000000 $((ended + 900000000))"
}
has_given_up() { systemctl is-failed kube-audit-bootstrap-heal.service; }
unit_is_done() { is "$(systemctl is-active kube-audit-bootstrap-heal.service)" inactive; }
