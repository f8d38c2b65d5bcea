//! The `--audit-*` flags of kube-apiserver: their names, their types, and the combinations that keep the API server
//! from starting. Source: `staging/src/k8s.io/apiserver/pkg/server/options/audit.go`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::version::Version;
use crate::yaml::fields::likely;

/// Flags by name, without the leading dashes. A flag without a value (`--audit-log-compress`) has `"true"`.
pub type Flags = BTreeMap<String, String>;

/// Flags from names and values; of two with the same name, the last one counts. `collect` does the same, and costs 4 KB
/// of the program for each kind of iterator, because it sorts.
pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Flags {
    let mut flags = Flags::new();
    flags.extend(pairs);
    flags
}

/// The type of a flag's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    Bool,
    Int,
    Float,
    Duration,
    Text,
}

const LOG_AND_WEBHOOK: &[(&str, Takes)] = &[
    ("mode", Takes::Text),
    ("batch-buffer-size", Takes::Int),
    ("batch-max-size", Takes::Int),
    ("batch-max-wait", Takes::Duration),
    ("batch-throttle-enable", Takes::Bool),
    ("batch-throttle-qps", Takes::Float),
    ("batch-throttle-burst", Takes::Int),
    ("truncate-enabled", Takes::Bool),
    ("truncate-max-batch-size", Takes::Int),
    ("truncate-max-event-size", Takes::Int),
    ("version", Takes::Text),
];

const OTHERS: &[(&str, Takes)] = &[
    ("audit-policy-file", Takes::Text),
    ("audit-log-path", Takes::Text),
    ("audit-log-maxage", Takes::Int),
    ("audit-log-maxbackup", Takes::Int),
    ("audit-log-maxsize", Takes::Int),
    ("audit-log-format", Takes::Text),
    ("audit-log-compress", Takes::Bool),
    ("audit-webhook-config-file", Takes::Text),
    ("audit-webhook-initial-backoff", Takes::Duration),
    ("audit-webhook-batch-initial-backoff", Takes::Duration),
];

/// The type of an audit flag's value. `None` for a name that is not an audit flag.
pub fn takes(name: &str) -> Option<Takes> {
    if let Some((_, takes)) = OTHERS.iter().find(|(known, _)| *known == name) {
        return Some(*takes);
    }
    let option = name.strip_prefix("audit-log-").or_else(|| name.strip_prefix("audit-webhook-"))?;
    LOG_AND_WEBHOOK.iter().find(|(known, _)| *known == option).map(|(_, takes)| *takes)
}

/// The name as the API server compares it: each underscore becomes a dash.
pub fn normal(name: &str) -> String {
    name.replace('_', "-")
}

/// Whether a [`normal`] name is an audit flag, or looks like one: it begins with `audit-`.
pub fn is_audit(name: &str) -> bool {
    name.starts_with("audit-")
}

/// Whether the log backend would use a processor all the time, even without events. In batch mode, with batches of
/// more than one event, the API server waits up to `--audit-log-batch-max-wait` and then looks again; the default
/// is 0 (kubernetes/apiserver `plugin/pkg/audit/buffered/buffered.go`). Measured in an idle cluster: two thirds of a
/// processor with 0, and 4 percent with one second.
pub fn is_busy(flags: &Flags) -> bool {
    let value = |option: &str| flags.get(&format!("audit-log-{option}")).map(String::as_str);
    value("path").is_some_and(|path| !path.is_empty())
        && value("mode") == Some("batch")
        && value("batch-max-size").and_then(integer).is_some_and(|size| size > 1)
        && value("batch-max-wait").is_none_or(|wait| nanoseconds(wait).is_some_and(|wait| wait <= 0))
}

/// Whether two values of a flag mean the same to the API server.
pub fn is_equivalent(name: &str, a: &str, b: &str) -> bool {
    a == b
        || match takes(name) {
            Some(Takes::Bool) => boolean(a).is_some() && boolean(a) == boolean(b),
            Some(Takes::Int) => integer(a).is_some() && integer(a) == integer(b),
            Some(Takes::Float) => float(a).is_some() && float(a) == float(b),
            Some(Takes::Duration) => nanoseconds(a).is_some() && nanoseconds(a) == nanoseconds(b),
            _ => false,
        }
}

/// Go's `strconv.ParseBool`.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Go's `strconv.ParseInt(text, 0, 64)`, which pflag uses to read integers: `030` is 24.
pub fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        _ if digits.starts_with('0') && digits.len() > 1 => (8, &digits[1..]),
        _ => (10, digits),
    };
    let plain = digits.replace('_', "");
    let grouped = !digits.ends_with('_') && !digits.contains("__") && (radix != 10 || !digits.starts_with('_'));
    if !grouped || !plain.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    i64::try_from(sign * i128::from_str_radix(&plain, radix).ok()?).ok()
}

/// Whether Go's `time.ParseDuration` accepts the text: `1h30m`, `1.5s`, `0`; at most about 292 years.
pub fn is_duration(text: &str) -> bool {
    nanoseconds(text).is_some()
}

/// Reads a duration as Go writes it: `90s`, `1m30s`. `None` if it is negative or not a duration.
pub fn duration(text: &str) -> Option<Duration> {
    nanoseconds(text).and_then(|nanoseconds| u64::try_from(nanoseconds).ok()).map(Duration::from_nanos)
}

fn nanoseconds(text: &str) -> Option<i128> {
    // Unicode has two characters for the Greek letter mu, and Go accepts both.
    const UNITS: [(&str, u64); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("\u{b5}s", 1_000),
        ("\u{3bc}s", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    let mut sum = 0;
    let mut terms = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (digits, unit) = rest.split_at(end);
        let (name, size) =
            UNITS.iter().filter(|(name, _)| unit.starts_with(name)).max_by_key(|(name, _)| name.len())?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let fraction: f64 = format!("0.{fraction}0").parse().ok()?;
        sum += i128::from(whole) * i128::from(*size) + (fraction * *size as f64) as i128;
        terms += 1;
        rest = &rest[end + name.len()..];
    }
    let sum = if negative { -sum } else { sum };
    (terms > 0 && i64::try_from(sum).is_ok()).then_some(sum)
}

/// Go's `strconv.ParseFloat(text, 32)`, except for hexadecimal numbers and underscores, which no one uses here.
fn float(text: &str) -> Option<f32> {
    let number: f32 = text.parse().ok()?;
    let named = text.contains(['n', 'N']);
    let signed = text.starts_with(['+', '-']);
    // Rust accepts a signed "nan", and reads a number that is too large as infinity. Go refuses both.
    let sound = if named { !(number.is_nan() && signed) } else { number.is_finite() };
    sound.then_some(number)
}

/// One reason why an API server would not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagFault {
    /// The flag that causes it, without dashes.
    pub flag: String,
    /// What is wrong with the flag, and what to do; without the flag's name.
    problem: String,
}

impl fmt::Display for FlagFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{} {}", self.flag, self.problem)
    }
}

fn fault(flag: &str, problem: impl Into<String>) -> FlagFault {
    FlagFault { flag: flag.to_owned(), problem: problem.into() }
}

/// All reasons why an API server of that version would not start with these flags; empty if it would start. Flags
/// that are not audit flags are ignored. Without a version, the rules of the newest supported one count.
pub fn faults(flags: &Flags, version: Option<Version>) -> Vec<FlagFault> {
    let mut faults = Vec::new();
    for (name, value) in flags.iter().filter(|(name, _)| is_audit(name)) {
        let Some(takes) = takes(name) else {
            let known: Vec<_> = OTHERS.iter().map(|(name, _)| *name).collect();
            let hint = match (name.as_str(), likely(name, &known)) {
                ("audit-dynamic-configuration", _) => "remove it, as Kubernetes 1.19 did".to_owned(),
                // A word such as `--audit-log-maxage 5` is a name with a blank.
                (word, _) if word.contains(char::is_whitespace) => {
                    format!("write --{}", word.split_whitespace().collect::<Vec<_>>().join("="))
                }
                (_, Some(likely)) => format!("did you mean --{likely}?"),
                _ => "remove it".to_owned(),
            };
            faults.push(fault(name, format!("is not a flag of kube-apiserver; {hint}")));
            continue;
        };
        let expected = match takes {
            Takes::Bool if boolean(value).is_none() => "true or false",
            Takes::Int if integer(value).is_none() => "a whole number",
            Takes::Float if float(value).is_none() => "a number",
            Takes::Duration if !is_duration(value) => "a duration such as 5s",
            _ => continue,
        };
        faults.push(fault(name, format!("takes {expected}, not {value:?}")));
    }
    if let Some(version) = version.filter(|version| *version < Version::new(20))
        && flags.contains_key("audit-log-compress")
    {
        faults.push(fault(
            "audit-log-compress",
            format!("needs Kubernetes 1.20 or later, and this is {version}; set log.compress to false"),
        ));
    }
    let get = |name: &str| flags.get(name).map(String::as_str).unwrap_or_default();
    for name in ["audit-log-maxage", "audit-log-maxbackup", "audit-log-maxsize"] {
        if !get("audit-log-path").is_empty() && integer(get(name)).is_some_and(|value| value < 0) {
            faults.push(fault(name, "must be 0 or more"));
        }
    }
    let format = flags.get("audit-log-format").map_or("json", String::as_str);
    if !get("audit-log-path").is_empty() && !["json", "legacy"].contains(&format) {
        let problem = format!("takes json or legacy, not {format:?}");
        faults.push(fault("audit-log-format", problem));
    }
    backend_faults("log", "audit-log-path", "blocking", flags, version, &mut faults);
    backend_faults("webhook", "audit-webhook-config-file", "batch", flags, version, &mut faults);
    faults
}

/// The most events in a buffer. The API server sets aside 8 bytes for each one when it starts (`newBackend` of
/// `plugin/pkg/audit/buffered/buffered.go`), and ends if it does not get them.
const MAX_BUFFER: i64 = 100_000_000;
/// The most days whose nanoseconds fit into 64 bits (`millRunOnce` of natefinch/lumberjack, which rotates the log).
const MAX_AGE: i64 = 106_751;
/// The most MiB whose bytes fit into 64 bits (`max` there).
const MAX_SIZE: i64 = i64::MAX >> 20;

/// The numbers that the API server accepts, and cannot handle: it ends, or loses events or logs.
pub fn excesses(flags: &Flags) -> Vec<FlagFault> {
    let get = |name: &str| flags.get(name).map(String::as_str).unwrap_or_default();
    let mut faults = Vec::new();
    let mut judge = |name: &str, most: i64, unit: &str, why: &str| {
        let excess = integer(get(name)).filter(|number| *number > most);
        faults.extend(excess.map(|number| {
            fault(name, format!("{number} is more than {most} {unit}, {why}; write at most {most}"))
        }));
    };
    for (backend, enabled_by) in [("log", "audit-log-path"), ("webhook", "audit-webhook-config-file")] {
        let mode = get(&format!("audit-{backend}-mode"));
        let is_batch = mode == "batch" || mode.is_empty() && backend == "webhook";
        if !get(enabled_by).is_empty() && is_batch {
            let why = "for which the API server sets memory aside when it starts: it would end, or fill the node's memory";
            judge(&format!("audit-{backend}-batch-buffer-size"), MAX_BUFFER, "events", why);
        }
    }
    if !["", "-"].contains(&get("audit-log-path")) {
        let why = "which the API server can't count: it would keep nothing";
        judge("audit-log-maxage", MAX_AGE, "days", why);
        let why = "which the API server can't count: it would write nothing";
        judge("audit-log-maxsize", MAX_SIZE, "MiB", why);
    }
    faults
}

/// The rules that the log and the webhook backend share, each with its own prefix and defaults.
fn backend_faults(
    backend: &str,
    enabled_by: &str,
    default_mode: &str,
    flags: &Flags,
    version: Option<Version>,
    faults: &mut Vec<FlagFault>,
) {
    let flag = |option: &str| format!("audit-{backend}-{option}");
    let get = |option: &str, default: &'static str| flags.get(&flag(option)).map_or(default, String::as_str);
    if flags.get(enabled_by).is_none_or(String::is_empty) {
        // The API server checks this even if the backend is off (`ApplyTo`).
        if backend == "webhook" && get("version", "").matches('/').count() > 1 {
            faults.push(fault(&flag("version"), format!("takes audit.k8s.io/v1, not {:?}", get("version", ""))));
        }
        return;
    }
    let mode = get("mode", "");
    let mode = if mode.is_empty() && !flags.contains_key(&flag("mode")) { default_mode } else { mode };
    if !["batch", "blocking", "blocking-strict"].contains(&mode) {
        faults.push(fault(&flag("mode"), format!("takes batch, blocking or blocking-strict, not {mode:?}")));
    }
    let positive = |option: &str, default: &'static str| {
        let value = get(option, default);
        let positive = match takes(&flag(option)) {
            Some(Takes::Float) => float(value).is_none_or(|value| value > 0.0 || value.is_nan()),
            _ => integer(value).is_none_or(|value| value > 0),
        };
        (!positive).then(|| fault(&flag(option), "must be more than 0 in batch mode"))
    };
    // The API server checks batch options only in batch mode. In the log backend, throttling has no defaults.
    if mode == "batch" {
        faults.extend(positive("batch-buffer-size", "10000"));
        faults.extend(positive("batch-max-size", "1"));
        let throttled = if backend == "log" { "false" } else { "true" };
        if boolean(get("batch-throttle-enable", throttled)) == Some(true) {
            let (qps, burst) = if backend == "log" { ("0", "0") } else { ("10", "15") };
            faults.extend(positive("batch-throttle-qps", qps));
            faults.extend(positive("batch-throttle-burst", burst));
        }
    }
    // The API server checks these even if truncation is off.
    let event = integer(get("truncate-max-event-size", "102400")).unwrap_or(1);
    let batch = integer(get("truncate-max-batch-size", "10485760")).unwrap_or(i64::MAX);
    if event <= 0 {
        faults.push(fault(&flag("truncate-max-event-size"), "must be more than 0"));
    } else if batch < event {
        let problem = format!("({batch}) must not be less than --{} ({event})", flag("truncate-max-event-size"));
        faults.push(fault(&flag("truncate-max-batch-size"), problem));
    }
    let known: &[&str] = match version {
        Some(version) if version < Version::new(24) => {
            &["audit.k8s.io/v1", "audit.k8s.io/v1beta1", "audit.k8s.io/v1alpha1"]
        }
        _ => &["audit.k8s.io/v1"],
    };
    let group_version = get("version", "audit.k8s.io/v1");
    if !known.contains(&group_version) {
        faults.push(fault(&flag("version"), format!("takes {}, not {group_version:?}", known.join(", "))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(text: &str) -> Flags {
        text.split_whitespace()
            .map(|flag| flag.split_once('=').unwrap_or((flag, "true")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    const ON: &str = "audit-log-path=/var/log/a.log audit-log-mode=batch";

    #[test]
    fn numbers_that_the_api_server_cannot_handle_are_found() {
        let webhook = "audit-webhook-config-file=/w";
        for (set, expected) in [
            (format!("{ON} audit-log-batch-buffer-size=100000000"), ""),
            (format!("{ON} audit-log-batch-buffer-size=100000001"), "audit-log-batch-buffer-size"),
            (format!("{ON} audit-log-batch-buffer-size=0x7fffffffffffffff"), "audit-log-batch-buffer-size"),
            // Without batches there is no buffer.
            ("audit-log-path=/a audit-log-batch-buffer-size=100000001".to_owned(), ""),
            ("audit-log-mode=batch audit-log-batch-buffer-size=100000001".to_owned(), ""),
            (format!("{webhook} audit-webhook-batch-buffer-size=100000001"), "audit-webhook-batch-buffer-size"),
            (format!("{webhook} audit-webhook-mode=blocking audit-webhook-batch-buffer-size=100000001"), ""),
            ("audit-webhook-batch-buffer-size=100000001".to_owned(), ""),
            (format!("{ON} audit-log-maxage=106751 audit-log-maxsize=8796093022207"), ""),
            (
                format!("{ON} audit-log-maxage=106752 audit-log-maxsize=8796093022208"),
                "audit-log-maxage audit-log-maxsize",
            ),
            ("audit-log-path=- audit-log-maxage=106752 audit-log-maxsize=8796093022208".to_owned(), ""),
        ] {
            let found: Vec<_> = excesses(&flags(&set)).into_iter().map(|fault| fault.flag).collect();
            assert_eq!(found.join(" "), expected, "{set}");
        }
    }

    #[test]
    fn sets_that_keep_the_api_server_down_are_found() {
        let v1_30 = Some(Version::new(30));
        for (set, version, fault) in [
            ("audit-log-mode=never", v1_30, None),
            ("audit-log-path=/a audit-log-mode=never", v1_30, Some("--audit-log-mode takes batch")),
            ("audit-log-path=/a audit-log-batch-max-size=0", v1_30, None),
            (
                &format!("{ON} audit-log-batch-max-size=0"),
                v1_30,
                Some("--audit-log-batch-max-size must be more than 0"),
            ),
            (
                &format!("{ON} audit-log-batch-buffer-size=-1"),
                v1_30,
                Some("batch-buffer-size must be more than 0"),
            ),
            (
                &format!("{ON} audit-log-batch-throttle-enable"),
                v1_30,
                Some("batch-throttle-qps must be more than 0"),
            ),
            (
                &format!(
                    "{ON} audit-log-batch-throttle-enable audit-log-batch-throttle-qps=1 audit-log-batch-throttle-burst=1"
                ),
                v1_30,
                None,
            ),
            ("audit-webhook-config-file=/w", v1_30, None),
            (
                "audit-webhook-config-file=/w audit-webhook-batch-throttle-qps=0",
                v1_30,
                Some("throttle-qps must be"),
            ),
            (
                &format!("{ON} audit-log-truncate-max-event-size=0"),
                v1_30,
                Some("truncate-max-event-size must be more than 0"),
            ),
            (
                &format!("{ON} audit-log-truncate-max-batch-size=10 audit-log-truncate-max-event-size=11"),
                v1_30,
                Some("must not be less than"),
            ),
            (
                &format!("{ON} audit-log-truncate-max-batch-size=11 audit-log-truncate-max-event-size=11"),
                v1_30,
                None,
            ),
            (&format!("{ON} audit-log-version=audit.k8s.io/v1beta1"), v1_30, Some("--audit-log-version takes")),
            (&format!("{ON} audit-log-version=audit.k8s.io/v1beta1"), Some(Version::new(23)), None),
            (
                &format!("{ON} audit-log-version=audit.k8s.io/v1beta1"),
                Some(Version::new(24)),
                Some("--audit-log-version takes audit.k8s.io/v1, not"),
            ),
            ("audit-log-path=/a audit-log-mode=", v1_30, Some("--audit-log-mode takes batch")),
            (&format!("{ON} audit-log-maxage=0"), v1_30, None),
            (&format!("{ON} audit-log-format=xml"), v1_30, Some("json or legacy")),
            (&format!("{ON} audit-log-format="), v1_30, Some("takes json or legacy, not \"\"")),
            (&format!("{ON} audit-log-batch-max-size=0x0"), v1_30, Some("must be more than 0")),
            (&format!("{ON} audit-log-maxsize=9223372036854775808"), v1_30, Some("takes a whole number")),
            ("audit-log-batch-buffer-size=-9223372036854775808", v1_30, None),
            ("audit-log-batch-throttle-qps=1e39", v1_30, Some("takes a number, not \"1e39\"")),
            ("audit-log-batch-throttle-qps=+nan", v1_30, Some("takes a number")),
            ("audit-log-batch-throttle-qps=+Inf", v1_30, None),
            (
                "audit-webhook-config-file=/w audit-webhook-batch-throttle-qps=1e-50",
                v1_30,
                Some("throttle-qps must be more than 0"),
            ),
            ("audit-webhook-version=a/b/c", v1_30, Some("--audit-webhook-version takes")),
            ("audit-webhook-version=a/b", v1_30, None),
            (&format!("{ON} audit-log-maxage=-1"), v1_30, Some("must be 0 or more")),
            (&format!("{ON} audit-log-maxage=ten"), v1_30, Some("takes a whole number")),
            (&format!("{ON} audit-log-compress=yes"), v1_30, Some("takes true or false")),
            (&format!("{ON} audit-log-compress"), Some(Version::new(19)), Some("needs Kubernetes 1.20 or later")),
            (&format!("{ON} audit-log-compress"), Some(Version::new(20)), None),
            (&format!("{ON} audit-log-batch-max-wait=5"), v1_30, Some("takes a duration")),
            (&format!("{ON} audit-log-batch-max-wait=1m30.5s"), v1_30, None),
            (&format!("{ON} audit-log-max-age=30"), v1_30, Some("did you mean --audit-log-maxage?")),
            (&format!("{ON} audit-dynamic-configuration"), v1_30, Some("remove it, as Kubernetes 1.19 did")),
            ("authorization-mode=Node", v1_30, None),
        ] {
            let found = faults(&flags(set), version);
            match fault {
                None => assert!(found.is_empty(), "{set}: {found:?}"),
                Some(fault) => {
                    assert!(found.iter().any(|one| one.to_string().contains(fault)), "{set}: {found:?}")
                }
            }
        }
    }

    #[test]
    fn batches_without_a_wait_keep_a_processor_busy() {
        for (words, busy) in [
            ("audit-log-path=/a audit-log-mode=batch audit-log-batch-max-size=5", true),
            ("audit-log-path=- audit-log-mode=batch audit-log-batch-max-size=5 audit-log-batch-max-wait=0s", true),
            (
                "audit-log-path=/a audit-log-mode=batch audit-log-batch-max-size=5 audit-log-batch-max-wait=1s",
                false,
            ),
            ("audit-log-path=/a audit-log-mode=batch", false),
            ("audit-log-path=/a audit-log-mode=batch audit-log-batch-max-size=1", false),
            ("audit-log-path=/a audit-log-batch-max-size=5", false),
            ("audit-log-mode=batch audit-log-batch-max-size=5", false),
        ] {
            let pairs = words.split(' ').filter_map(|word| word.split_once('='));
            let flags: Flags = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            assert_eq!(is_busy(&flags), busy, "{words}");
        }
    }

    #[test]
    fn durations_are_those_of_go() {
        for (text, expected) in [
            ("5s", true),
            ("1h30m", true),
            ("1.5s", true),
            ("-1s", true),
            ("0", true),
            (".5s", true),
            ("100ms", true),
            ("", false),
            ("-", false),
            ("5", false),
            ("s", false),
            ("1.2.3s", false),
            ("5x", false),
            ("9999999999h", false),
            ("1h-", false),
            ("1\u{b5}s", true),
            ("1\u{3bc}s", true),
            (".s", false),
            ("1.s", true),
            ("2562047h47m16.854775807s", true),
            ("2562047h47m16.854775808s", false),
            ("-2562047h47m16.854775808s", true),
        ] {
            assert_eq!(is_duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn values_are_compared_as_the_api_server_reads_them() {
        for (name, a, b, equal) in [
            ("audit-log-compress", "true", "1", true),
            ("audit-log-compress", "true", "false", false),
            ("audit-log-compress", "false", "0", true),
            ("audit-log-maxage", "30", "030", false),
            ("audit-log-maxage", "24", "030", true),
            ("audit-log-maxage", "1000", "1_000", true),
            ("audit-log-maxage", "100", "0x64", true),
            ("audit-log-maxage", "89", "089", false),
            ("audit-log-maxage", "5", "0b101", true),
            ("audit-log-maxage", "15", "0o17", true),
            ("audit-log-maxage", "7", "0_7", true),
            ("audit-log-maxage", "7", "_7", false),
            ("audit-log-maxage", "10", "10_", false),
            ("audit-log-maxage", "10", "1__0", false),
            ("audit-log-maxage", "-30", "30", false),
            ("audit-log-batch-max-wait", "60s", "1m", true),
            ("audit-log-batch-max-wait", "60s", "-1m", false),
            ("audit-log-batch-throttle-qps", "10", "10.0", true),
            ("audit-log-batch-throttle-qps", "10", "11", false),
            ("audit-log-path", "/a", "/a/", false),
            ("audit-log-mode", "batch", "Batch", false),
        ] {
            assert_eq!(is_equivalent(name, a, b), equal, "{name} {a} {b}");
        }
    }
}
