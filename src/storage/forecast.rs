//! Calculates how much room the log's limits need, and how far back they let the log reach.
//!
//! The API server rotates its log with lumberjack (natefinch/lumberjack `lumberjack.go`). A file that would become
//! larger than `maxsize` is renamed, then compressed. At each rotation, and only then, lumberjack deletes the oldest
//! files beyond `maxbackup`, and the files older than `maxage` days.

use std::fmt;

use crate::audit::flags::{self, Flags};
use crate::audit::version::Version;
use crate::quantity::thousandths;
use crate::yaml::Node;

const MIB: u64 = 1 << 20;
const DAY: f64 = 86400.0;

/// How many times smaller compression makes a rotated file, if no file is there to measure. Events are much alike,
/// and no measured log was compressed less.
pub const ASSUMED_RATIO: f64 = 5.0;

/// The shortest time over which a rate is measured, in seconds.
const MIN_WINDOW: u64 = 30;

/// The limits of the log, from the API server's flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest size of one file in bytes. `None`: it grows forever.
    pub size: Option<u64>,
    /// The largest number of rotated files. `None`: no limit.
    pub backups: Option<u64>,
    /// The largest age of a rotated file in days. `None`: no limit.
    pub age: Option<u64>,
    pub compress: bool,
}

impl Limits {
    /// The limits that an API server of that version takes from its flags. Kubernetes 1.36 introduced default limits,
    /// and a `maxsize` of 0 that means no limit (kubernetes/kubernetes#136478). Before, lumberjack used its own 100
    /// MiB for 0.
    pub fn of(flags: &Flags, version: Option<Version>) -> Limits {
        let is_new = version.is_none_or(|version| version >= Version::new(36));
        let value = |name: &str, unset: u64| {
            let given = flags
                .get(name)
                .and_then(|value| flags::integer(value))
                .map(|value| u64::try_from(value).unwrap_or(0));
            given.unwrap_or(if is_new { unset } else { 0 })
        };
        let some = |value: u64| Some(value).filter(|value| *value > 0);
        let size = match value("audit-log-maxsize", 100) {
            0 if is_new => None,
            0 => Some(100 * MIB),
            size => Some(size.saturating_mul(MIB)),
        };
        Limits {
            size,
            backups: some(value("audit-log-maxbackup", 100)),
            age: some(value("audit-log-maxage", 366)),
            compress: flags
                .get("audit-log-compress")
                .is_some_and(|value| flags::is_equivalent("audit-log-compress", value, "true")),
        }
    }
}

/// A rotated file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// When it was rotated, in seconds since 1970.
    pub time: u64,
    /// On the disk.
    pub bytes: u64,
    /// Uncompressed.
    pub plain: u64,
}

/// When the first and the last event of a log were written, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTimes {
    pub first: u64,
    pub last: u64,
}

/// How fast a log grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Bytes of events a second, uncompressed.
    pub bytes_per_second: f64,
    /// The start of the measured time, in seconds since 1970.
    pub since: u64,
    /// The length of the measured time, in seconds.
    pub seconds: u64,
}

/// How far back a log reaches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    pub seconds: f64,
    /// What limits it.
    pub end: End,
}

/// The log files that are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogHistory {
    /// The size of the current file in bytes.
    pub bytes: u64,
    pub events: Option<EventTimes>,
    /// Oldest first.
    pub rotated: Vec<Rotated>,
}

impl LogHistory {
    /// On the disk.
    pub fn total(&self) -> u64 {
        self.rotated.iter().fold(self.bytes, |sum, file| sum.saturating_add(file.bytes))
    }

    /// How many times smaller compression makes a file, as measured on the compressed files.
    fn ratio(&self) -> Option<f64> {
        let compressed = self.rotated.iter().filter(|file| file.plain != file.bytes);
        let (plain, bytes) = compressed
            .fold((0_f64, 0_f64), |(plain, bytes), file| (plain + file.plain as f64, bytes + file.bytes as f64));
        (plain > 0.0 && bytes > 0.0).then(|| (plain / bytes).max(1.0))
    }

    /// How fast the log grows. For the oldest rotated file, only its end is known, so its bytes don't count.
    fn rate(&self) -> Option<Rate> {
        let last = self.events.map(|times| times.last).or(self.rotated.last().map(|file| file.time))?;
        let (bytes, since) = match self.rotated.as_slice() {
            [first, later @ ..] if last >= first.time + MIN_WINDOW => {
                (later.iter().fold(self.bytes, |sum, file| sum.saturating_add(file.plain)), first.time)
            }
            _ => (self.bytes, self.events?.first),
        };
        let seconds = last.checked_sub(since).filter(|seconds| *seconds >= MIN_WINDOW)?;
        (bytes > 0).then(|| Rate { bytes_per_second: bytes as f64 / seconds as f64, since, seconds })
    }
}

/// The file system of the log directory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    pub total: u64,
    pub available: u64,
    /// What the kubelet keeps free by evicting pods; 0 if the kubelet uses another file system.
    pub eviction: u64,
}

/// With less room than this, in bytes, it is useless to start a log.
const MIN_ROOM: u64 = 1 << 20;

impl Disk {
    /// Can an event be written?
    pub fn has_room(&self) -> bool {
        self.available >= MIN_ROOM
    }

    /// The bytes that can be written before the kubelet evicts pods, or the disk is full.
    pub fn free(&self) -> u64 {
        self.available.saturating_sub(self.eviction)
    }
}

/// What limits how far back the log reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `maxbackup` files of `maxsize`.
    Backups,
    Age,
    /// The disk is full before the limits are reached.
    Disk,
}

impl End {
    /// The name in text and JSON.
    pub fn name(self) -> &'static str {
        match self {
            End::Backups => "maxbackup",
            End::Age => "maxage",
            End::Disk => "disk",
        }
    }
}

/// The forecast for a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// The largest size of all files in bytes, uncompressed. `None` if there is no limit.
    pub worst: Option<u64>,
    /// The largest size of all files on the disk in bytes: with compression, and without the files that `maxage`
    /// deletes.
    pub expected: Option<u64>,
    /// How many times smaller compression makes a file; 1 without compression.
    pub ratio: f64,
    /// The ratio was measured on this log. If not, it is [`ASSUMED_RATIO`].
    pub is_measured: bool,
    pub rate: Option<Rate>,
    /// The time until a file is full and rotated, in seconds.
    pub rotation: Option<f64>,
    /// How far back the log will reach at least. `None` if no rate is known, or there is no limit.
    pub kept: Option<Kept>,
}

/// Forecasts the size and the reach of a log, from its limits, its history and its file system.
pub fn forecast(limits: &Limits, history: &LogHistory, disk: Option<Disk>) -> Forecast {
    let measured = history.ratio().filter(|_| limits.compress);
    let ratio = measured.unwrap_or(if limits.compress { ASSUMED_RATIO } else { 1.0 });
    let rate = history.rate();
    let worst =
        limits.size.zip(limits.backups).map(|(size, backups)| size.saturating_mul(backups.saturating_add(1)));
    // Events older than `maxage` are only in the current file, because files are deleted only at a rotation. A rate of
    // less than a day doesn't count here: a quiet hour says nothing about a month.
    let by_age = rate
        .filter(|rate| rate.seconds as f64 >= DAY)
        .zip(limits.age)
        .zip(limits.size)
        .map(|((rate, age), size)| rate.bytes_per_second * age as f64 * DAY + size as f64);
    let plain = match (worst, by_age) {
        (Some(worst), Some(by_age)) => Some(by_age.min(worst as f64)),
        (worst, by_age) => worst.map(|worst| worst as f64).or(by_age),
    };
    // One file is always uncompressed: the current one, or the one that is being compressed after a rotation.
    let expected =
        plain.zip(limits.size).map(|(plain, size)| (size as f64 + (plain - size as f64) / ratio) as u64);
    let kept = rate.and_then(|rate| {
        let rate = rate.bytes_per_second;
        let backups = limits
            .size
            .zip(limits.backups)
            .map(|(size, backups)| Kept { seconds: size as f64 * backups as f64 / rate, end: End::Backups });
        let age = limits
            .age
            .filter(|_| limits.size.is_some())
            .map(|age| Kept { seconds: age as f64 * DAY, end: End::Age });
        let room = disk.map(|disk| disk.free().saturating_add(history.total()) as f64);
        // If the disk has room for the limits, the log reaches its limits first.
        let full = room.map(|room| {
            let whole = limits.size.map_or(0.0, |size| size as f64).min(room);
            Kept { seconds: (whole + (room - whole) * ratio) / rate, end: End::Disk }
        });
        [backups, age, full].into_iter().flatten().min_by(|a, b| a.seconds.total_cmp(&b.seconds))
    });
    Forecast {
        worst,
        expected,
        ratio,
        is_measured: measured.is_some(),
        rotation: rate.zip(limits.size).map(|(rate, size)| size as f64 / rate.bytes_per_second),
        rate,
        kept,
    }
}

/// A part of a file system, in percent or in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Share {
    Percent(f64),
    Bytes(u64),
}

impl Share {
    /// Reads `10%`, `1Gi`, `500M` or `1000`, as the kubelet reads its eviction thresholds. `None` for other texts.
    pub fn parse(text: &str) -> Option<Share> {
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.parse().ok()?;
            return (0.0..=100.0).contains(&percent).then_some(Share::Percent(percent));
        }
        // The kubelet rounds up.
        let bytes = thousandths(text).filter(|size| *size >= 0)?.unsigned_abs().div_ceil(1000);
        Some(Share::Bytes(u64::try_from(bytes).ok()?))
    }

    /// The share of `total` bytes, in bytes.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Share::Percent(percent) => (total as f64 * percent / 100.0) as u64,
            Share::Bytes(bytes) => bytes,
        }
    }
}

/// What a kubelet keeps free of its file system by default.
pub const EVICTION: Share = Share::Percent(10.0);

/// What a kubelet with this KubeletConfiguration keeps free of its file system. If the configuration sets any hard
/// threshold, the defaults of the others don't hold (kubernetes/kubernetes `pkg/kubelet/eviction/helpers.go`).
pub fn eviction(config: &Node) -> Share {
    match config.get("evictionHard").filter(|hard| !hard.is_null()) {
        None => EVICTION,
        Some(hard)
            if hard.get("nodefs.available").is_none()
                && config.get("mergeDefaultEvictionSettings").and_then(Node::scalar) == Some("true") =>
        {
            EVICTION
        }
        Some(hard) => {
            hard.get("nodefs.available").and_then(|value| Share::parse(value.scalar()?)).unwrap_or(Share::Bytes(0))
        }
    }
}

/// Why the log may fill the disk, of which `headroom` bytes must stay free; `None` if its limits fit.
pub fn misfit(
    forecast: &Forecast,
    limits: &Limits,
    history: &LogHistory,
    disk: Disk,
    headroom: u64,
) -> Option<String> {
    let Some(expected) = forecast.expected else {
        let missing = match limits.size {
            None => "--audit-log-maxsize is 0, so the log is never rotated",
            Some(_) if limits.age.is_some() => {
                "only --audit-log-maxage limits it, and how large it becomes is known only after a day of events"
            }
            Some(_) => "neither --audit-log-maxbackup nor --audit-log-maxage limits it",
        };
        return Some(format!("the log grows until the disk is full: {missing}"));
    };
    let kept = headroom.max(disk.eviction);
    if expected > disk.total.saturating_sub(kept) {
        return Some(format!(
            "the log can grow to {}, and the file system has {}, of which {} must stay free",
            Bytes(expected),
            Bytes(disk.total),
            Bytes(kept)
        ));
    }
    let growth = expected.saturating_sub(history.total());
    (growth > disk.available.saturating_sub(kept)).then(|| {
        format!(
            "the log can grow to {}, {} more than now, and {} are free, of which {} must stay free",
            Bytes(expected),
            Bytes(growth),
            Bytes(disk.available),
            Bytes(kept)
        )
    })
}

/// A number of bytes, printed with a unit: `50.0 MiB`.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
        let mut number = self.0 as f64;
        let mut unit = 0;
        while number >= 1023.95 && unit + 1 < UNITS.len() {
            number /= 1024.0;
            unit += 1;
        }
        let places = usize::from(unit > 0);
        write!(f, "{number:.places$} {}", UNITS[unit])
    }
}

/// A duration in seconds, printed with the unit that fits: `40 minutes`.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub f64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds if seconds < 2.0 * 60.0 => write!(f, "{seconds:.0} seconds"),
            seconds if seconds < 2.0 * 3600.0 => write!(f, "{:.0} minutes", seconds / 60.0),
            seconds if seconds < 3.0 * DAY => write!(f, "{:.0} hours", seconds / 3600.0),
            seconds => write!(f, "{:.0} days", seconds / DAY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const NOW: u64 = 1_795_694_400;

    fn limits(size: u64, backups: u64, age: u64, compress: bool) -> Limits {
        let some = |value: u64| Some(value).filter(|value| *value > 0);
        Limits { size: some(size * MIB), backups: some(backups), age: some(age), compress }
    }

    fn times(first: u64, last: u64) -> Option<EventTimes> {
        Some(EventTimes { first, last })
    }

    /// A rate without the length of its time.
    fn known(rate: Option<Rate>) -> Option<(f64, u64)> {
        rate.map(|rate| (rate.bytes_per_second, rate.since))
    }

    /// A log that gets one MiB an hour, for that many hours.
    fn hours(hours: u64) -> LogHistory {
        LogHistory { bytes: hours * MIB, events: times(NOW, NOW + hours * 3600), rotated: Vec::new() }
    }

    fn disk(total: u64, available: u64, eviction: u64) -> Disk {
        Disk { total: total * GIB, available: available * GIB, eviction: eviction * GIB }
    }

    #[test]
    fn limits_are_what_the_version_makes_of_the_flags() {
        for (words, minor, expected) in [
            (
                "audit-log-maxsize=50 audit-log-maxbackup=100 audit-log-maxage=30 audit-log-compress=true",
                30,
                limits(50, 100, 30, true),
            ),
            ("audit-log-maxsize=0x10 audit-log-compress=0", 30, limits(16, 0, 0, false)),
            ("", 35, limits(100, 0, 0, false)),
            ("", 36, limits(100, 100, 366, false)),
            ("audit-log-maxsize=0", 35, limits(100, 0, 0, false)),
            ("audit-log-maxsize=0", 36, limits(0, 100, 366, false)),
            ("audit-log-maxbackup=-1", 36, limits(100, 0, 366, false)),
        ] {
            let flags = words.split_whitespace().map(|word| word.split_once('=').unwrap());
            let flags = flags.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            assert_eq!(Limits::of(&flags, Some(Version::new(minor))), expected, "{words} {minor}");
        }
    }

    #[test]
    fn the_worst_case_is_every_file_at_its_full_size() {
        let of = |limits| forecast(&limits, &LogHistory::default(), None);
        // The defaults: 101 files of 50 MiB; compressed, a whole one, and 100 at a fifth.
        let found = of(limits(50, 100, 30, true));
        assert_eq!((found.worst, found.expected), (Some(5050 * MIB), Some(1050 * MIB)));
        let found = of(limits(50, 100, 30, false));
        assert_eq!((found.worst, found.expected), (Some(5050 * MIB), Some(5050 * MIB)));
        assert_eq!(of(limits(50, 0, 30, false)).worst, None);
        assert_eq!(of(limits(0, 100, 30, false)).worst, None);
        assert_eq!(of(limits(u64::MAX / MIB, u64::MAX, 0, false)).worst, Some(u64::MAX));
    }

    #[test]
    fn a_rate_needs_half_a_minute_of_events() {
        let of = |history: &LogHistory| known(forecast(&limits(50, 10, 0, false), history, None).rate);
        assert_eq!(of(&hours(2)), Some((MIB as f64 / 3600.0, NOW)));
        assert_eq!(of(&LogHistory { events: times(NOW, NOW + 29), ..hours(2) }), None);
        assert_eq!(of(&LogHistory { events: None, ..hours(2) }), None);
        assert_eq!(of(&LogHistory { events: times(NOW, NOW - 10), ..hours(2) }), None);
    }

    #[test]
    fn with_rotated_files_the_rate_is_that_since_the_oldest_of_them() {
        let rotated = [(NOW - 7200, 10, 100), (NOW - 3600, 20, 200), (NOW, 30, 300)];
        let rotated =
            rotated.map(|(time, bytes, plain)| Rotated { time, bytes: bytes * MIB, plain: plain * MIB }).to_vec();
        let history = LogHistory { bytes: 100 * MIB, events: times(NOW, NOW + 3600), rotated };
        let found = forecast(&limits(100, 10, 0, true), &history, None);
        // 200, 300 and 100 MiB in three hours.
        assert_eq!(known(found.rate), Some((600.0 * MIB as f64 / 10800.0, NOW - 7200)));
        assert_eq!((found.ratio, found.is_measured), (10.0, true));
        assert_eq!(history.total(), 160 * MIB);
        // The time is too short, or there is nothing to measure.
        let log = |bytes, last, rotated: &[(u64, u64, u64)]| LogHistory {
            bytes,
            events: times(NOW - 100, NOW + last),
            rotated: rotated.iter().map(|&(time, bytes, plain)| Rotated { time, bytes, plain }).collect(),
        };
        for (history, rate, ratio) in [
            (log(129, 29, &[(NOW, 10, 20)]), Some((1.0, NOW - 100)), Some(2.0)),
            (log(120, 30, &[(NOW, 10, 20)]), Some((4.0, NOW)), Some(2.0)),
            (log(0, 0, &[]), None, None),
            (log(100, 0, &[(NOW, 0, 20)]), Some((1.0, NOW - 100)), None),
            (log(100, 0, &[(NOW, 10, 0)]), Some((1.0, NOW - 100)), None),
            (log(100, 0, &[(NOW, 20, 10)]), Some((1.0, NOW - 100)), Some(1.0)),
        ] {
            let found = forecast(&limits(100, 10, 0, true), &history, None);
            let expected = (rate, ratio.unwrap_or(ASSUMED_RATIO), ratio.is_some());
            assert_eq!((known(found.rate), found.ratio, found.is_measured), expected, "{history:?}");
        }
    }

    #[test]
    fn what_bites_first_ends_the_history() {
        const HOUR: f64 = 3600.0;
        for (limits, disk, expected) in [
            // Ten files of 6 MiB, at one an hour.
            (limits(6, 10, 30, false), disk(10, 5, 1), Some((60.0 * HOUR, End::Backups))),
            (limits(6, 10, 2, false), disk(10, 5, 1), Some((48.0 * HOUR, End::Age))),
            (
                limits(6, 0, 0, false),
                Disk { available: 8 * MIB, ..disk(10, 5, 0) },
                Some((10.0 * HOUR, End::Disk)),
            ),
            (
                limits(6, 10, 2, false),
                Disk { available: 8 * MIB, ..disk(10, 5, 0) },
                Some((10.0 * HOUR, End::Disk)),
            ),
            // One uncompressed file of 2 MiB, and 8 MiB for the files compressed to a fifth.
            (
                limits(2, 100, 0, true),
                Disk { available: 8 * MIB, ..disk(10, 5, 0) },
                Some((42.0 * HOUR, End::Disk)),
            ),
            // There is less room than for one file, so nothing is compressed.
            (
                limits(50, 100, 0, true),
                Disk { available: 8 * MIB, ..disk(10, 5, 0) },
                Some((10.0 * HOUR, End::Disk)),
            ),
            (limits(0, 0, 0, false), disk(10, 5, 5), Some((2.0 * HOUR, End::Disk))),
        ] {
            let kept = forecast(&limits, &hours(2), Some(disk)).kept;
            assert_eq!(kept.map(|kept| (kept.seconds, kept.end)), expected, "{limits:?}");
        }
        assert_eq!(forecast(&limits(6, 10, 30, false), &LogHistory::default(), None).kept, None);
        assert_eq!(forecast(&limits(6, 10, 30, false), &hours(2), None).rotation, Some(6.0 * HOUR));
        assert_eq!([End::Backups, End::Age, End::Disk].map(End::name), ["maxbackup", "maxage", "disk"]);
    }

    #[test]
    fn where_events_are_few_age_keeps_the_log_small() {
        // One MiB an hour for two days, and the current file.
        let found = forecast(&limits(6, 100, 2, false), &hours(48), None);
        assert_eq!((found.worst, found.expected), (Some(606 * MIB), Some(54 * MIB)));
        assert_eq!(forecast(&limits(6, 0, 2, false), &hours(48), None).expected, Some(54 * MIB));
        // A quiet hour says nothing about two days.
        assert_eq!(forecast(&limits(6, 100, 2, false), &hours(23), None).expected, Some(606 * MIB));
        assert_eq!(forecast(&limits(6, 0, 2, false), &hours(23), None).expected, None);
    }

    #[test]
    fn limits_that_have_no_room_are_told() {
        let misfit_of = |limits: &Limits, history: &LogHistory, disk: Disk, headroom| {
            misfit(&forecast(limits, history, Some(disk)), limits, history, disk, headroom)
        };
        let none = LogHistory::default();
        for (limits, history, disk, headroom, expected) in [
            (limits(100, 9, 0, false), &none, disk(10, 5, 1), GIB, None),
            (limits(1024, 9, 0, false), &none, disk(10, 10, 0), 0, None),
            (limits(1024, 9, 0, false), &none, disk(10, 10, 0), 1, Some("has 10.0 GiB, of which 1 bytes")),
            (limits(1024, 9, 0, false), &none, disk(10, 10, 1), 0, Some("has 10.0 GiB, of which 1.0 GiB")),
            (limits(1024, 4, 0, false), &none, disk(10, 5, 0), 0, None),
            (limits(1024, 4, 0, false), &none, disk(10, 5, 1), 0, Some("5.0 GiB are free, of which 1.0 GiB")),
            // The log already takes a part of its largest size.
            (
                limits(1024, 4, 0, false),
                &LogHistory { bytes: GIB, ..LogHistory::default() },
                disk(10, 5, 1),
                0,
                None,
            ),
            (limits(1024, 0, 0, false), &none, disk(10, 10, 0), 0, Some("nor --audit-log-maxage limits it")),
            (limits(1024, 0, 9, false), &none, disk(10, 10, 0), 0, Some("only after a day of events")),
            (limits(0, 10, 0, false), &none, disk(10, 10, 0), 0, Some("is never rotated")),
        ] {
            let found = misfit_of(&limits, history, disk, headroom);
            assert_eq!(found.is_some(), expected.is_some(), "{limits:?} {disk:?}: {found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{limits:?} {disk:?}");
        }
    }

    #[test]
    fn a_share_is_read_as_the_kubelet_does() {
        for (text, expected) in [
            ("10%", Some(Share::Percent(10.0))),
            ("7.5%", Some(Share::Percent(7.5))),
            ("101%", None),
            ("1Gi", Some(Share::Bytes(GIB))),
            ("1.5Ki", Some(Share::Bytes(1536))),
            ("2Mi", Some(Share::Bytes(2 << 20))),
            ("2Ti", Some(Share::Bytes(2 << 40))),
            ("2Pi", Some(Share::Bytes(2 << 50))),
            ("2k", Some(Share::Bytes(2000))),
            ("2K", None),
            ("1Ei", Some(Share::Bytes(1 << 60))),
            ("1e3", Some(Share::Bytes(1000))),
            ("1500m", Some(Share::Bytes(2))),
            ("100M", Some(Share::Bytes(100_000_000))),
            ("2G", Some(Share::Bytes(2_000_000_000))),
            ("2T", Some(Share::Bytes(2_000_000_000_000))),
            ("2P", Some(Share::Bytes(2_000_000_000_000_000))),
            ("123", Some(Share::Bytes(123))),
            ("-1", None),
            ("inf", None),
            ("", None),
            ("%", None),
            ("many", None),
        ] {
            assert_eq!(Share::parse(text), expected, "{text}");
        }
        assert_eq!(Share::Percent(10.0).of(200), 20);
    }

    #[test]
    fn what_the_kubelet_keeps_free_is_read_from_its_configuration() {
        for (text, expected) in [
            ("kind: KubeletConfiguration\n", EVICTION),
            ("evictionHard:\n", EVICTION),
            ("evictionHard: {nodefs.available: \"0%\"}\n", Share::Percent(0.0)),
            ("evictionHard:\n  nodefs.available: 1Gi\n", Share::Bytes(GIB)),
            ("evictionHard: {memory.available: 100Mi}\n", Share::Bytes(0)),
            ("evictionHard: {memory.available: 100Mi}\nmergeDefaultEvictionSettings: true\n", EVICTION),
            ("evictionHard: {nodefs.available: 1Gi}\nmergeDefaultEvictionSettings: true\n", Share::Bytes(GIB)),
        ] {
            assert_eq!(eviction(&crate::yaml::parse(text).unwrap()[0].root), expected, "{text}");
        }
    }

    #[test]
    fn sizes_and_times_are_written_for_people() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (5050 * MIB, "4.9 GiB"),
            (GIB - 1, "1.0 GiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), expected);
        }
        for (seconds, expected) in [
            (1.0, "1 seconds"),
            (119.0, "119 seconds"),
            (120.0, "2 minutes"),
            (7199.0, "120 minutes"),
            (7200.0, "2 hours"),
            (259_199.0, "72 hours"),
            (259_200.0, "3 days"),
        ] {
            assert_eq!(Span(seconds).to_string(), expected);
        }
    }
}
