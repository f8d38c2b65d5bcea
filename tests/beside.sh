#!/usr/bin/env bash
# Runs two commands at the same time: tests/beside.sh COMMAND COMMAND. The first command has a lower priority, because
# the nodes of the second have time limits. The output of the second command is printed after both have ended. If one
# command fails, the script ends the other one and fails.
set -u
# Each command gets its own process group, so that all its processes can be ended.
set -m
said=$(mktemp)
trap 'rm -f "$said"' EXIT
nice bash -c "$1" </dev/null &
first=$!
bash -c "$2" </dev/null >"$said" 2>&1 &
second=$!
end() { kill -- "-$first" "-$second" 2>/dev/null; wait; }
trap 'end; cat "$said"; exit 1' HUP INT TERM

for _ in 1 2; do
    code=0
    wait -n -p ended || code=$?
    command=$1
    [ "$ended" = $first ] || command=$2
    [ $code -eq 0 ] || break
    echo "== $command: passed after $SECONDS s"
done
[ $code -eq 0 ] || end
if [ $code -eq 0 ] || [ "$ended" = $second ]; then
    echo "== $2:"
    cat "$said"
fi
[ $code -eq 0 ] || echo "== $command: FAILED ($code) after $SECONDS s" >&2
exit $code
