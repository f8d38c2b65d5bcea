# next_boot_is NAME: what goes wrong at the next boot (see sabotage).
next_boot_is() { echo "$1" >"$WORK/sabotage"; }
unit_failed() { is "$(systemctl show -p Result --value kube-audit-bootstrap)" exit-code; }
unit_says() {
    local said
    said=$(journalctl -b -u kube-audit-bootstrap --no-pager -o cat)
    echo "$said"
    grep -qE "$1" <<<"$said"
}
runs_as_before() { api_is_ready && has_no_flags && is_still manifest manifest; }
