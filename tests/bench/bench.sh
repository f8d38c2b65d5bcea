#!/usr/bin/env bash
# Measures the program against a floor, as ratios: tests/bench/bench.sh PROGRAM [ROUNDS]. Numbers that differ between
# machines are only shown. The other numbers (sizes, bytes written by a second run) fail the run if they miss their
# target.
set -euo pipefail
program=$(realpath "${1:?usage: bench.sh PROGRAM [ROUNDS]}") rounds=${2:-100}
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d -p "$(dirname "$program")") # on the same disk as the build
memory=$(mktemp -d -p /dev/shm)
trap 'rm -rf "$work" "$memory"' EXIT
failed=0

"$here/../sample-node.sh" "$work/sample"
trace() { # NAME ROOT COMMAND...: writes all system calls of a command to $work/NAME.trace
    local name=$1
    shift
    strace -f -y -s 0 -o "$work/$name.full" "$@" >/dev/null 2>"$work/stderr" ||
        { cat "$work/stderr" >&2; exit 1; }
    grep -vE '^[0-9]+ +(---|\+\+\+)' "$work/$name.full" >"$work/$name.trace"
}
# Prints the files of the traced node with their sizes. The name and the index of a backup contain the time, so they are
# left out.
made() {
    find "$root" -type f ! -name index.json -printf '%P %s\n' | sed 's/[0-9]*T[0-9]*Z/ID/' | sort
}

# The floor is a program that only makes the file system changes of the first apply.
root=$work/traced
cp -a "$work/sample" "$root"
strace -f -y -s 4096 -o "$work/names.trace" "$program" --root "$root" apply >/dev/null 2>&1
awk -v root="$root" -f "$here/operations.awk" "$work/names.trace" >"$work/operations.h"
cc -O2 -static -Wall -Wextra -Werror -I "$work" -o "$work/floor" "$here/floor.c"
cc -O2 -static -Wall -Wextra -Werror -o "$work/timer" "$here/timer.c"

trace second "$program" --root "$root" apply
rm -rf "$root" && cp -a "$work/sample" "$root"
trace first "$program" --root "$root" apply
made >"$work/made"
rm -rf "$root" && cp -a "$work/sample" "$root"
trace floor "$work/floor" "$root"
made | diff "$work/made" - || { echo "the floor and the program do not make the same files" >&2; exit 1; }
trace version "$program" --version
trace true /bin/true

calls() { wc -l <"$work/$1.trace"; }
syncs() { grep -cE '^[0-9]+ +(fsync|fdatasync|syncfs|sync)\(' "$work/$1.trace" || true; }
# Bytes written, except to standard output and standard error.
written() {
    local calls='write|writev|pwrite64|copy_file_range|sendfile'
    sed -nE "s/^[0-9]+ +($calls)\\(([0-9]+).* = ([0-9]+)\$/\\2 \\3/p" "$work/$1.trace" |
        awk '$1 > 2 { sum += $2 } END { print sum + 0 }'
}
# Calls that change the file system in other ways.
changes() {
    local calls='mkdir|rename|link|symlink|unlink|rmdir|f?chmod|l?f?chown|f?truncate|utime|f?setxattr'
    grep -v ' = -1 E' "$work/$1.trace" | grep -cE "^[0-9]+ +($calls)[a-z0-9]*\(" || true
}

verdict() { # VALUE LIMIT: is the value within the limit?
    awk -v value="$1" -v limit="$2" 'BEGIN { print value <= limit ? "met" : "MISSED" }'
}
must() { # NAME VALUE LIMIT UNIT: a target that does not depend on the machine
    printf '%-36s %10s %-6s target: at most %s, %s\n' "$1" "$2" "$4" "$3" "$(verdict "$2" "$3")"
    [ "$(verdict "$2" "$3")" = met ] || failed=1
}
ratio() { # NAME OF TO [LIMIT]: medians in $work/times
    awk -v name="$1" -v of="$2" -v to="$3" -v limit="${4:-0}" '
        { median[$1] = $2 }
        END {
            r = median[of] / median[to]
            printf "%-36s %10.2f        ", name, r
            if (limit) printf "target: at most %s, %s  ", limit, r <= limit ? "met" : "MISSED"
            printf "[%.0f us / %.0f us]\n", median[of], median[to]
        }' "$work/times"
}

for place in "memory (tmpfs) $memory" "disk ($(stat -f -c %T "$work")) $work"; do
    echo "Times in ${place% *}, medians of $rounds rounds:"
    "$work/timer" "$rounds" "$work/sample" "${place##* }" "$program" "$work/floor" >"$work/times"
    ratio "  first apply / floor" first floor 2
    ratio "  second apply / true" second true 3
    ratio "  start (--version) / true" version true
done
echo
echo "System calls       all  syncs  changes  bytes written"
for name in first floor second version true; do
    printf '  %-12s %7d %6d %8d %14d\n' \
        "$name" "$(calls $name)" "$(syncs $name)" "$(changes $name)" "$(written $name)"
done
echo
must "bytes written by a second apply" "$(written second)" 0 bytes
must "changes by a second apply" "$(changes second)" 0 calls
must "binary size" "$(stat -c %s "$program")" 3200000 bytes
must "largest resident size, first apply" "$(awk '$1 == "first" { print $3 }' "$work/times")" 5120 KiB
exit $failed
