# ask_much WORKERS WATCHES: from now on, so many workers ask and so many watch, until ask_no_more.
ask_much() {
    keep_credentials
    api_container >"$WORK/asked"
    python3 "$CASE/ask.py" "$@" >"$WORK/answered-all" 2>"$WORK/asker" &
    echo $! >>"$WORK/askers"
}
# asks: it asks, and its programs have no error.
asks() { [ "$(wc -l <"$WORK/answered-all")" -gt 1000 ] && is "$(cat "$WORK/asker")" ''; }
# Every request and every watch that was answered has one event of its stage.
all_and_watches_are_recorded() {
    grep -v watch "$WORK/answered-all" | sort >"$WORK/answered" && grep watch "$WORK/answered-all" | sort >"$WORK/watched" &&
        all_events >"$WORK/events" || return 1
    one_event_each "$WORK/answered" ResponseComplete '[?&]number=(?<n>[0-9-]+)' '' &&
        one_event_each "$WORK/watched" ResponseStarted '[?&]watched=(?<n>[0-9-]+)' watch-
}
# one_event_each ANSWERED STAGE PATTERN PREFIX: each line of a file has one event of this stage.
one_event_each() {
    local missing
    jq -r --arg stage "$2" --arg pattern "$3" --arg prefix "$4" 'select(.stage == $stage and .responseStatus.code == 200) |
        .requestURI | capture($pattern) | $prefix + .n' "$WORK/events" | sort >"$WORK/recorded" || return 1
    echo "$(wc -l <"$1") answers, $(wc -l <"$WORK/recorded") events"
    is "$(uniq -d "$WORK/recorded")" '' && missing=$(comm -23 "$1" "$WORK/recorded") && is "$(head <<<"$missing")" ''
}
