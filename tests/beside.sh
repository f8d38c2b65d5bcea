#!/usr/bin/env bash
# Runs two commands beside each other: tests/beside.sh COMMAND COMMAND. The first one gives way to the second, whose
# nodes have limits of time. The output of the second comes when both have ended. If one of them fails, this ends the
# other and fails.
set -u
# A process group for each, so that all of it can be ended.
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
