NAME=/dev/disk/by-id/audit
DIRECTORY=/var/log/kubernetes/audit

# When the files were rotated, in seconds since the epoch, the newest last.
rotations() {
    local day='[0-9]{4}-[0-9]{2}-[0-9]{2}' two='[0-9]{2}'
    ls "$DIRECTORY" | sed -nE "s/^audit-($day)T($two)-($two)-($two\\.[0-9]+)\\.log.*/\\1 \\2:\\3:\\4/p" |
        sort -u | while read -r day time; do date -u -d "$day $time" +%s.%N; done
}
# The seconds that each of the three newest files took, on average.
interval() {
    rotations | tail -n 4 |
        awk 'NR == 1 { first = $1 } { last = $1 } END { printf "%.1f", (last - first) / (NR - 1) }'
}

# Keeps the largest size that all files have had, in bytes.
watch_size() {
    local most=0 now
    while :; do
        now=$(find "$DIRECTORY" -name 'audit*' -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
        [ "$now" -le "$most" ] || { most=$now; echo "$most" >"$WORK/most"; }
        sleep 0.2
    done
}

# Keeps the forecast, which must have a time. foretold FIELD: what it says.
foretell() {
    kube-audit-bootstrap --output json status >"$WORK/status.json"
    jq -e .storage.forecast.rotationSeconds "$WORK/status.json"
}
foretold() { jq -r ".storage.forecast.$1" "$WORK/status.json"; }
# within PERCENT A B: neither number is larger than the other by so many percent.
within() {
    awk -v p="$1" -v a="$2" -v b="$3" \
        'BEGIN { print a, b, a / b; exit !(a > 0 && b > 0 && a / b < 1 + p / 100 && b / a < 1 + p / 100) }'
}

# Fills the disk of the log.
fill() {
    ! cat /dev/zero >"$DIRECTORY/ballast" 2>/dev/null
    is "$(df --output=avail "$DIRECTORY" | tail -n 1 | xargs)" 0
}
# rotated_since SECONDS N: since then, N files have been rotated.
rotated_since() {
    local n
    n=$(rotations | awk -v first="$1" '$1 > first' | wc -l) && echo "$n files" && [ "$n" -ge "$2" ]
}
# Waits until status reports lost events: the API server counts an event that it couldn't write.
eventually_told() { until { kube-audit-bootstrap status 2>&1 || [ $? -eq 3 ]; } | grep 'lost '; do nap 10; done; }
