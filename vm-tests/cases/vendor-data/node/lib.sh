# commands FILE: a script without its comments.
commands() { grep -v '^#.' "$1"; head -n 1 "$1"; }
