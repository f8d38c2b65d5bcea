# What a tool does that has a manifest of its own.
write_again() { cp "$WORK/manifest" /etc/kubernetes/manifests/.edited && mv /etc/kubernetes/manifests/.edited "$MANIFEST"; }

# By now it is repaired for the Nth time.
is_repaired() {
    [ "$(kube-audit-bootstrap status --output json | jq '.inPlace and (.selfHealing.repairs | length) == '"$1")" = true ] &&
        unit_is_done && kube-audit-bootstrap verify
}
has_given_up() { systemctl is-failed kube-audit-bootstrap-heal.service; }
unit_is_done() { is "$(systemctl is-active kube-audit-bootstrap-heal.service)" inactive; }
