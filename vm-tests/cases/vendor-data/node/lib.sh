# But for comments.
commands() { grep -v '^#.' "$1"; head -n 1 "$1"; }
