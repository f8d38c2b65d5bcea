//! The names of rotated logs, as lumberjack makes them: `audit-2006-01-02T15-04-05.000.log`, in UTC, with `.gz` at the
//! end if it is compressed (natefinch/lumberjack `backupName`).

use crate::time;

/// Splits the name of a log before the dot of its last extension.
fn split(log: &str) -> (&str, &str) {
    log.rfind('.').map_or((log, ""), |dot| log.split_at(dot))
}

/// A shell pattern that matches the paths of the rotated logs of the log at `path`, except for the compressed ones.
pub fn pattern(path: &str) -> String {
    let (directory, log) = path.rsplit_once('/').unwrap_or_default();
    let (stem, extension) = split(log);
    // Without an extension, a rotated name ends with the milliseconds, and a compressed one with letters.
    let end = if extension.is_empty() { "[0-9]" } else { extension };
    format!("{directory}/{stem}-*{end}")
}

/// The name of the log after a rotation that many seconds after 1970, compressed or not.
pub fn name(log: &str, (seconds, is_compressed): (u64, bool)) -> String {
    let (stem, extension) = split(log);
    let stamp = time::rfc3339(time::at(seconds)).replace(':', "-").replace('Z', ".000");
    format!("{stem}-{stamp}{extension}{}", if is_compressed { ".gz" } else { "" })
}

/// When the file `name` was rotated, in seconds after 1970, and whether it is compressed. `None` if it is not a rotated
/// log of `log`.
pub fn time(log: &str, name: &str) -> Option<(u64, bool)> {
    let (stem, extension) = split(log);
    let rest = name.strip_prefix(stem)?.strip_prefix('-')?;
    let (rest, is_compressed) = rest.strip_suffix(".gz").map_or((rest, false), |rest| (rest, true));
    let stamp = rest.strip_suffix(extension).filter(|stamp| stamp.len() == "2006-01-02T15-04-05.000".len())?;
    Some((time::seconds(stamp)?, is_compressed))
}

/// Is `name` the log with the name `log`, or a rotated file of it: by lumberjack, or by logrotate, such as `audit.log.1`
/// and `audit.log-20261126.gz`?
pub fn is_of(log: &str, name: &str) -> bool {
    let by_logrotate = |rest: &str| {
        rest.strip_prefix(['.', '-']).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    name == log || time(log, name).is_some() || name.strip_prefix(log).is_some_and(by_logrotate)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_rotated_log_has_a_name_that_tells_when() {
        for (log, expected) in [
            ("audit.log", "audit-2026-11-26T12-00-00.000.log"),
            ("audit", "audit-2026-11-26T12-00-00.000"),
            ("kube.audit.json", "kube.audit-2026-11-26T12-00-00.000.json"),
        ] {
            for (when, expected) in
                [((1_795_694_400, false), expected.to_owned()), ((1_795_694_400, true), format!("{expected}.gz"))]
            {
                assert_eq!(super::name(log, when), expected);
                assert_eq!(super::time(log, &expected), Some(when), "{expected}");
            }
        }
        for (path, expected) in
            [("/a.b/audit.log", "/a.b/audit-*.log"), ("/a.b/audit", "/a.b/audit-*[0-9]"), ("/a", "/a-*[0-9]")]
        {
            assert_eq!(super::pattern(path), expected);
        }
        for (name, expected) in [
            ("audit.log", true),
            ("audit-2026-11-26T11-00-00.000.log.gz", true),
            ("audit.log.1", true),
            ("audit.log.2.gz", true),
            ("audit.log-20261126", true),
            ("audit.log.bak", false),
            ("audit.logs", false),
            ("audit-2026.log", false),
            ("audit", false),
        ] {
            assert_eq!(super::is_of("audit.log", name), expected, "{name}");
        }
        for other in [
            "audit.log",
            "audit-2026.log",
            "audit.log.1",
            "other-2026-11-26T11-00-00.000.log",
            "audit-2026-11-25T11-00-00.000.txt",
        ] {
            assert_eq!(super::time("audit.log", other), None, "{other}");
        }
    }
}
