has_flag() { audit_flags | grep -Fx -- "$1"; }
# But for comments.
commands() { grep -v '^#.' "$1"; head -n 1 "$1"; }
