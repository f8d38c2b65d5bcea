#!/usr/bin/env bash
# Tests whether log shippers deliver every audit event once and unchanged, with the configuration that `render` prints.
# The library that the API server uses writes and rotates the log. In the end, the events in its files must have
# arrived. The test needs Go. It needs the root user, to run the shippers as a user who can read the log only by its
# group.
# Usage: tests/shippers.sh PROGRAM rsyslog|otel...
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 1 ] || { echo 'usage: tests/shippers.sh PROGRAM rsyslog|otel...' >&2; exit 2; }
PROGRAM=$1
shift
if [ "$(id -u)" -ne 0 ] || ! tests/setup.sh go setpriv; then
    echo 'NOT RUN: log shippers on a log that is rotated: they need the root user, and the programs above' >&2
    case ${CI-} in '' | false) exit 0 ;; *) exit 1 ;; esac
fi
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/kube-audit-bootstrap
GROUP=4 PORT=15514
WORK=$(mktemp -d)
chmod 755 "$WORK"
mkdir -p "$CACHE"
trap '{ kill $(jobs -p) || true; } 2>/dev/null; wait; rm -rf "$WORK"' EXIT

GOTOOLCHAIN=local go build -C tests/shippers/stream -o "$WORK/stream" .

render() {
    printf '%s\n' 'apiVersion: kube-audit-bootstrap/v1alpha1' 'kind: AuditBootstrapConfiguration' \
        "log: {path: '$LOG'}" "storage: {group: $GROUP}" >"$WORK/config.yaml"
    "$PROGRAM" render "$1" --config "$WORK/config.yaml"
}

# Debian's program is unpacked and not installed: its service would start and take over the log of the system.
find_rsyslog() {
    RSYSLOGD=$(PATH=$PATH:/usr/sbin command -v rsyslogd) && return
    command -v apt-get >/dev/null || { echo 'rsyslogd is missing' >&2; return 1; }
    local root=$CACHE/rsyslog package
    if [ ! -e "$root/usr/sbin/rsyslogd" ]; then
        rm -rf "$root" "$WORK/packages"
        mkdir "$WORK/packages"
        apt-get -qq update
        (cd "$WORK/packages" && apt-get -qq -o APT::Sandbox::User=root download rsyslog libestr0 libfastjson4)
        for package in "$WORK"/packages/*.deb; do dpkg -x "$package" "$WORK/packages/root"; done
        mv "$WORK/packages/root" "$root"
    fi
    # Everybody can read this directory.
    cp -r "$root" "$WORK/root"
    MODULES=$(echo "$WORK"/root/usr/lib/*/rsyslog)
    RSYSLOGD=$WORK/root/usr/sbin/rsyslogd
}
prepare_rsyslog() {
    find_rsyslog
    RECEIVES=syslog
    # Only the target and the time between tries differ from the rendered configuration.
    render rsyslog |
        sed "s/logs.example.com/127.0.0.1/; s/\"514\"/\"$PORT\" action.resumeInterval=\"1\"/" >"$HERE/audit.conf"
    # Debian includes the file after an input. Here, this input must not read the log of the system.
    cat >"$HERE/rsyslog.conf" <<END
module(load="imuxsock" SysSock.Use="off")
global(workDirectory="$STATE")
include(file="$HERE/audit.conf")
syslog.* action(type="omfile" file="$STATE/own")
END
    COMMAND=(env ${MODULES:+"LD_LIBRARY_PATH=${MODULES%/rsyslog}"} "$RSYSLOGD" -n -f "$HERE/rsyslog.conf"
        -i "$STATE/pid" ${MODULES:+-M"$MODULES"})
    "${COMMAND[@]}" -N1 2>"$HERE/check" || { cat "$HERE/check"; return 1; }
}

prepare_otel() {
    local start=$SECONDS
    GOTOOLCHAIN=local go build -C tests/shippers/otel -trimpath -o "$WORK/otelcol" .
    [ $((SECONDS - start)) -lt 30 ] || echo "the Collector was built in $((SECONDS - start)) s"
    RECEIVES=otlp
    render otel-collector >"$HERE/otel-collector.yaml"
    # Only the target, and a directory that the user can write to, differ from the rendered configuration.
    cat >"$HERE/here.yaml" <<END
extensions: {file_storage: {directory: $STATE/storage}}
exporters: {otlphttp/kube-audit: {endpoint: "http://127.0.0.1:$PORT", encoding: json, compression: none}}
service: {telemetry: {metrics: {level: none}}}
END
    COMMAND=("$WORK/otelcol" --config "$HERE/otel-collector.yaml" --config "$HERE/here.yaml")
}

as_its_user() { exec setpriv --reuid 65534 --regid $GROUP --clear-groups "$@"; }
start() { as_its_user "${COMMAND[@]}" >>"$HERE/output" 2>&1 & SHIPPER=$!; }
stop() { kill $SHIPPER; wait $SHIPPER || true; }
receive() { "$WORK/stream" receive "$RECEIVES" 127.0.0.1:$PORT "$HERE/arrived" 2>>"$HERE/receiver" & RECEIVER=$!; }
write() { "$WORK/stream" write "$LOG" "$@"; }

# arrives SHIPPER STORY [REPEATS]: within a minute, exactly the events that were written have arrived.
arrives() {
    local i
    zcat -f "$HERE"/log/* | sort >"$HERE/written"
    for ((i = 0; i < 120; i++)); do
        [ "$(wc -l <"$HERE/arrived")" -lt "$(wc -l <"$HERE/written")" ] && kill -0 $SHIPPER || break
        sleep 0.5
    done
    # A repeated event comes soon after.
    sleep 1
    sort "$HERE/arrived" >"$HERE/sorted"
    local lost others repeated
    lost=$(comm -23 "$HERE/written" <(uniq "$HERE/sorted") | wc -l)
    others=$(comm -13 "$HERE/written" <(uniq "$HERE/sorted") | wc -l)
    repeated=$(($(wc -l <"$HERE/sorted") - $(uniq "$HERE/sorted" | wc -l)))
    printf '%-7s %s: %s events in %s files, %s lost, %s changed, %s repeated\n' \
        "$1" "$2" "$(wc -l <"$HERE/written")" "$(ls "$HERE/log" | wc -l)" "$lost" "$others" "$((repeated - REPEATED))"
    [ "$lost" = 0 ] && [ "$others" = 0 ] && [ $((repeated - REPEATED)) -le "${3:-0}" ] || {
        tail -n 20 "$HERE/output" "$STATE/own" "$HERE/receiver" 2>/dev/null
        return 1
    }
    REPEATED=$repeated
}

try() {
    local writer files
    HERE=$WORK/$1 STATE=$WORK/$1/state LOG=$WORK/$1/log/audit.log MODULES= REPEATED=0
    mkdir -p "$HERE/log" "$STATE"
    # `apply` makes them like this with storage.group.
    install -m 0640 /dev/null "$LOG"
    chmod 0750 "$HERE/log"
    chown 0:$GROUP "$HERE/log" "$LOG"
    chown 65534:$GROUP "$STATE"
    : >"$HERE/arrived"
    "prepare_$1"

    start
    write true 0 1500 2000
    receive
    # rsyslog 8.2302 sends the events of its first try again.
    arrives "$1" 'while the target was down' "$([ "$1" != rsyslog ] || echo 10)"

    write true 2000 4000 1500
    arrives "$1" 'under load'

    # A rotation would leave the part that the shipper has not read only in the compressed file, so there must be none.
    files=$(ls "$HERE/log")
    write true 8000 60 30000 & writer=$!
    for _ in 1 2; do
        sleep 0.5
        stop
        start
    done
    wait $writer
    [ "$files" = "$(ls "$HERE/log")" ] ||
        { echo 'the log was rotated: change the numbers of events in this script' >&2; return 1; }
    arrives "$1" 'restarted in between'

    if [ "$1" != rsyslog ]; then
        # rsyslog's imfile cannot do this: it does not recognise the rotated file.
        stop
        write false 9000 2000 1000
        start
        arrives "$1" 'stopped during a rotation, without compression'
    fi
    stop
    kill $RECEIVER
    wait $RECEIVER 2>/dev/null || true
}

for shipper; do try "$shipper"; done
echo 'not run: Vector and Fluent Bit, which are not in Debian'
