# ask_slowly: from now on, sends a request each second that takes 8 s, and keeps its status and curl's exit code when it
# has ended.
ask_slowly() {
    keep_credentials
    while sleep 1; do
        curl -skN -o /dev/null --cert "$WORK/client-certificate" --key "$WORK/client-key" \
            -w '%{http_code} %{exitcode}\n' \
            'https://localhost:6443/api/v1/namespaces?watch=true&timeoutSeconds=8' >>"$WORK/slow" &
    done &
    echo $! >>"$WORK/askers"
}
# was_not_killed CONTAINER: containerd's journal knows the container, and didn't kill it.
was_not_killed() {
    journalctl --quiet --no-pager --unit containerd >"$WORK/journal" &&
        grep -q "$1" "$WORK/journal" && lacks "Kill container.*$1" "$WORK/journal"
}
