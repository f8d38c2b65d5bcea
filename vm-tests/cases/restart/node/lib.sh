# ask_slowly: from now on, a request is begun each second that takes 8 s, and its code, and curl's, are kept when it has ended.
ask_slowly() {
    keep_credentials
    while sleep 1; do
        curl -skN -o /dev/null --cert "$WORK/client-certificate" --key "$WORK/client-key" -w '%{http_code} %{exitcode}\n' \
            'https://localhost:6443/api/v1/namespaces?watch=true&timeoutSeconds=8' >>"$WORK/slow" &
    done &
    echo $! >>"$WORK/askers"
}
was_not_killed() { journalctl --quiet --no-pager --unit containerd >"$WORK/journal" && grep -q "$1" "$WORK/journal" && lacks "Kill container.*$1" "$WORK/journal"; }
