//! Messages on stderr, one line each. In the journal, each line has its priority.

use std::io::Write;

use env_logger::{Builder, Env};
use log::{Level, LevelFilter};

use crate::run::prove::PROGRESS;

/// Sets up the messages. `verbose` counts `-v`; `RUST_LOG` overrides it.
pub fn init(verbose: u8) {
    let default = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    };
    let journal = is_journal();
    Builder::new()
        .filter_level(default)
        .filter_module(PROGRESS, LevelFilter::Info)
        .parse_env(Env::default())
        .format(move |buffer, record| {
            let (priority, name) = match record.level() {
                Level::Error => (3, "error: "),
                Level::Warn => (4, "warning: "),
                Level::Info => (6, ""),
                Level::Debug | Level::Trace => (7, ""),
            };
            let message = record.args().to_string();
            for line in message.lines() {
                if journal {
                    // sd-daemon(3): the journal takes the number in front of a line as its priority.
                    writeln!(buffer, "<{priority}>{line}")?;
                } else if line.starts_with(' ') {
                    writeln!(buffer, "{line}")?;
                } else {
                    writeln!(buffer, "{name}{line}")?;
                }
            }
            Ok(())
        })
        .init();
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
