//! Messages on stderr, one line each. In the journal, each line has its priority.

use std::io::Write;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::secrets::hide_shapes;
use crate::run::prove::PROGRESS;

/// What is printed, and how.
struct Stderr {
    filter: LevelFilter,
    is_journal: bool,
}

/// Sets up the messages. `verbose` counts `-v`; the level in `RUST_LOG` overrides it.
pub fn init(verbose: u8) {
    let default = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    let given = std::env::var("RUST_LOG").ok().and_then(|level| level.trim().parse().ok());
    let logger = Stderr { filter: given.unwrap_or(default), is_journal: is_journal() };
    log::set_max_level(logger.filter.max(LevelFilter::Info));
    // Only a second call would fail, and there is one.
    let _ = log::set_boxed_logger(Box::new(logger));
}

impl Log for Stderr {
    /// The progress of a wait is always printed.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.filter || metadata.target() == PROGRESS && metadata.level() <= LevelFilter::Info
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // Nobody can be told that stderr is closed.
            let _ = std::io::stderr().write_all(self.lines(record).as_bytes());
        }
    }

    fn flush(&self) {}
}

impl Stderr {
    fn lines(&self, record: &Record<'_>) -> String {
        let (priority, name) = match record.level() {
            Level::Error => (3, "error: "),
            Level::Warn => (4, "warning: "),
            Level::Info => (6, ""),
            Level::Debug | Level::Trace => (7, ""),
        };
        let line = |line: &str| match self.is_journal {
            // sd-daemon(3): the journal takes the number in front of a line as its priority.
            true => format!("<{priority}>{line}\n"),
            false if line.starts_with(' ') => format!("{line}\n"),
            false => format!("{name}{line}\n"),
        };
        hide_shapes(&record.args().to_string()).lines().map(line).collect()
    }
}

/// Whether stderr is connected to the journal: systemd sets `JOURNAL_STREAM` to the socket's device and inode
/// (systemd.exec(5)).
fn is_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    match nix::sys::stat::fstat(std::io::stderr()) {
        Ok(stat) => named == format!("{}:{}", stat.st_dev, stat.st_ino),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_printed_from_its_level_on_and_progress_always() {
        for (filter, level, target, is_printed) in [
            (LevelFilter::Warn, Level::Warn, "any", true),
            (LevelFilter::Warn, Level::Info, "any", false),
            (LevelFilter::Debug, Level::Debug, "any", true),
            (LevelFilter::Error, Level::Warn, "any", false),
            (LevelFilter::Off, Level::Info, PROGRESS, true),
            (LevelFilter::Off, Level::Debug, PROGRESS, false),
        ] {
            let logger = Stderr { filter, is_journal: false };
            let metadata = Metadata::builder().level(level).target(target).build();
            assert_eq!(logger.enabled(&metadata), is_printed, "{filter} {level} {target}");
        }
    }

    #[test]
    fn each_line_of_a_message_has_its_name_or_its_priority() {
        for (is_journal, level, expected) in [
            (false, Level::Error, "error: one\n  two\n"),
            (false, Level::Info, "one\n  two\n"),
            (true, Level::Warn, "<4>one\n<4>  two\n"),
        ] {
            let logger = Stderr { filter: LevelFilter::Info, is_journal };
            let lines = logger.lines(&Record::builder().level(level).args(format_args!("one\n  two")).build());
            assert_eq!(lines, expected);
        }
    }
}
