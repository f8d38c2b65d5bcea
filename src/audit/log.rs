//! Reads lines of logs: when an event was received or written, and why an API server ended.

/// How an API server begins to say that it could not write or send an event (kubernetes/kubernetes
/// `staging/src/k8s.io/apiserver/pkg/audit/metrics.go`). The word audit alone means nothing: each error about a request
/// ends with its `auditID`.
const LOST_EVENT: &str = "Error in audit plugin";

/// The line of a container's log that best explains why the container ended: the error after which it did nothing more,
/// or else the last line. Whoever is killed has no such error, and an error from its start explains nothing.
/// If the container still runs (`runs`), only an event that could not be written counts, because a healthy API server
/// logs other errors, too, and every request.
pub fn last_words(log: &str, runs: bool) -> Option<String> {
    // In CRI's log format, the time, the stream and a tag (full or partial line) stand before each line.
    let lines: Vec<_> = log.lines().filter_map(|line| line.splitn(4, ' ').nth(3)).map(str::trim).collect();
    // klog's levels.
    let is_of = |levels: &str, line: &str| {
        let mut start = line.chars();
        start.next().is_some_and(|level| levels.contains(level))
            && start.next().is_some_and(|c| c.is_ascii_digit())
    };
    // Other threads may still log something after these.
    let is_end = |line: &&&str| {
        line.starts_with("Error:")
            || line.starts_with("panic:")
            || line.contains("\"command failed\"")
            || is_of("F", line)
    };
    let newest = || lines.iter().rev();
    let says_lost = |line: &str| match line.starts_with('{') {
        true => line.contains(&format!("\"msg\":\"{LOST_EVENT}")),
        // The text stands behind the place in the source.
        false => {
            line.split_once("] ").is_some_and(|(_, text)| text.trim_start_matches('"').starts_with(LOST_EVENT))
        }
    };
    let found = match runs {
        true => newest().find(|line| (is_of("E", line) || line.starts_with('{')) && says_lost(line)),
        false => newest()
            .find(is_end)
            .or_else(|| newest().find(|line| is_of("IWE", line)).filter(|line| is_of("E", line)))
            .or_else(|| newest().find(|line| !line.is_empty())),
    };
    found.map(|line| (*line).to_owned())
}

/// Whether an API server's last words say that it found no etcd (kubernetes/kubernetes
/// `pkg/controlplane/instance.go`: "error creating storage factory").
pub fn lacks_etcd(words: &str) -> bool {
    ["etcd", "storage factory", "storage backend"].iter().any(|of_etcd| words.contains(of_etcd))
}

/// The text in an event's JSON line before the time at which the request was received.
pub const RECEIVED: &str = "\"requestReceivedTimestamp\":\"";

/// The text before the time at which the event was written.
pub const WRITTEN: &str = "\"stageTimestamp\":\"";

/// The time of an event, in the format of [`crate::time::stamp`]: of its request with [`RECEIVED`] as `before`, of
/// its writing with [`WRITTEN`]. A line in the legacy format begins with the time. `None` if there is no time.
pub fn event_time(line: &str, before: &str) -> Option<String> {
    let rest = match line.split_once(before) {
        Some((_, rest)) => rest,
        None => line.split_once(" AUDIT: ").map(|(before, _)| before.rsplit(' ').next().unwrap_or(before))?,
    };
    let (seconds, _) = rest.split_once(['.', '"', 'Z'])?;
    let plain: String = seconds.chars().filter(|c| !matches!(c, '-' | ':' | 'Z')).collect();
    Some(plain + "Z")
}

/// How each event begins in JSON: the type comes first (`k8s.io/apimachinery/pkg/apis/meta/v1` `TypeMeta`).
const EVENT: &str = "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/";

/// What comes after the time in the legacy format (`k8s.io/apiserver/pkg/audit/format.go`).
const LEGACY_EVENT: &str = " AUDIT: id=\"";

/// Can a file with these first bytes be a log of an API server's events? It can if it is empty, or if a line is an
/// event. A full disk and a crash leave NULs, and parts of an event.
pub fn may_be_events(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let mut lines =
        text.lines().map(|line| line.trim_matches(['\0', ' '])).filter(|line| !line.is_empty()).peekable();
    lines.peek().is_none()
        || lines.any(|line| line.starts_with(EVENT) || EVENT.starts_with(line) || line.contains(LEGACY_EVENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_says_why() {
        let log = |lines: &[&str]| {
            lines.iter().map(|line| format!("2026-01-01T00:00:00.1Z stderr F {line}\n")).collect::<String>()
        };
        for (lines, wanted) in [
            (
                &["I0101 x", "Error: unknown flag: --audit-log-what", "Usage:", "  kube-apiserver [flags]"][..],
                "Error: unknown flag: --audit-log-what",
            ),
            (
                &["E0101 00:00:00.1 1 run.go:72] \"command failed\" err=\"no\""],
                "E0101 00:00:00.1 1 run.go:72] \"command failed\" err=\"no\"",
            ),
            (&["Etcd is there", "I0101 last", ""], "I0101 last"),
            (&["F0101 1 a.go:1] no", "goroutine 1 [running]:", "I0101 x"], "F0101 1 a.go:1] no"),
            (&["E0101 1 a.go:1] bind: in use", "goroutine 1 [running]:"], "E0101 1 a.go:1] bind: in use"),
            // It was killed long after this error.
            (&["E0101 1 a.go:1] The manifest file is empty, ignoring.", "I0101 \"HTTP\""], "I0101 \"HTTP\""),
        ] {
            assert_eq!(last_words(&log(lines), false).as_deref(), Some(wanted));
        }
        assert_eq!(last_words("", false), None);
        assert_eq!(last_words("not the format\n\n", false), None);
        let harmless = "E0101 00:00:00.1 1 controller.go:1] The manifest file is empty, ignoring.";
        assert_eq!(last_words(&log(&[harmless]), true), None);
        let audit = "E0101 00:00:00.1 1 metrics.go:110] Error in audit plugin 'log' affecting 1 audit events: no space left on device";
        assert_eq!(last_words(&log(&[audit, harmless]), true).as_deref(), Some(audit));
        let json = "{\"ts\":1.5,\"caller\":\"audit/metrics.go:110\",\"msg\":\"Error in audit plugin 'log' affecting 1 audit events\"}";
        assert_eq!(last_words(&log(&[json, harmless]), true).as_deref(), Some(json));
        for about_a_request in [
            "E0101 00:00:00.1 1 wrap.go:53] \"Timeout or abort while handling\" method=\"POST\" auditID=\"x\"",
            "E0101 00:00:00.1 1 a.go:1] \"no\" userAgent=\"] Error in audit plugin 'log'\"",
            "{\"msg\":\"no\",\"userAgent\":\"\\\"msg\\\":\\\"Error in audit plugin 'log'\"}",
        ] {
            assert_eq!(last_words(&log(&[about_a_request]), true), None);
        }
        let request = "I0101 00:00:00.1 1 httplog.go:135] \"HTTP\" verb=\"PUT\" audit-ID=\"x\"";
        assert_eq!(last_words(&log(&[request]), true), None);
        assert_eq!(last_words(&log(&["panic: audit", request]), true), None);
        assert_eq!(last_words(&log(&[request]), false).as_deref(), Some(request));
    }

    #[test]
    fn an_api_server_without_etcd_says_so() {
        for (words, wanted) in [
            (
                "E1130 1 run.go:72] \"command failed\" err=\"error creating storage factory: etcd grpc connection not ready: \
                 context deadline exceeded\"",
                true,
            ),
            (
                "F1130 1 instance.go:291] Error creating leases: error creating storage factory: deadline exceeded",
                true,
            ),
            ("Error: unknown flag: --no-such-flag", false),
            ("E1130 1 run.go:72] \"command failed\" err=\"loading audit policy file: no such file\"", false),
        ] {
            assert_eq!(lacks_etcd(words), wanted, "{words}");
        }
    }

    #[test]
    fn a_log_of_another_program_is_known() {
        for (head, expected) in [
            ("", true),
            ("{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"Metadata\"}\n", true),
            ("{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1beta1\",\"le", true),
            ("{\"kind\":\"Event\",\"api", true),
            ("2026-11-24T12:13:26.123456Z AUDIT: id=\"x\"\n", true),
            // What a full disk and a crash leave.
            ("rest of a line\n{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\"}\n", true),
            ("\0\0\0\0", true),
            ("\0\0{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\"}\n", true),
            // What others write.
            ("{\"level\":\"info\",\"msg\":\"started\"}\n", false),
            ("{\"level\":\"info\",\"msg\":\"sta", false),
            ("{\"kind\":\"Event\",\"apiVersion\":\"v1\",\"reason\":\"Pulled\"}\n", false),
            ("{\"apiVersion\":\"audit.k8s.io/v1\",\"kind\":\"Policy\"}\n", false),
            ("2026-11-24 12:13:26 AUDIT: alice has logged in\n", false),
            ("a line without an end", false),
            ("type=DAEMON_START msg=audit(1795522406.123:1): op=start\n", false),
            ("Nov 30 11:00:00 host sshd[1]: x\nNov", false),
            ("I1130 1 server.go] x\n", false),
        ] {
            assert_eq!(may_be_events(head.as_bytes()), expected, "{head:?}");
        }
    }

    #[test]
    fn an_events_time_compares_with_a_stamp() {
        let line = r#"{"kind":"Event","requestReceivedTimestamp":"2026-11-24T12:13:26.123456Z","stage":"x"}"#;
        assert_eq!(event_time(line, RECEIVED).as_deref(), Some("20261124T121326Z"));
        assert!(event_time(line, RECEIVED).unwrap() > crate::time::stamp(std::time::UNIX_EPOCH));
        let legacy = "2026-11-24T12:13:26.123456Z AUDIT: id=\"x\" stage=\"ResponseComplete\"";
        assert_eq!(event_time(legacy, RECEIVED).as_deref(), Some("20261124T121326Z"));
        let in_container = format!("2026-11-24T12:13:27.1Z stdout F {legacy}");
        assert_eq!(event_time(&in_container, RECEIVED).as_deref(), Some("20261124T121326Z"));
        assert_eq!(event_time("{\"kind\":\"Event\"", RECEIVED), None);
        assert_eq!(event_time("\"requestReceivedTimestamp\":\"", RECEIVED), None);
    }
}
