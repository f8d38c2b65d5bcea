//! What a story needs of a node, wherever it runs.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use fs_err as fs;

use crate::run;

/// The first three numbers of all addresses of nodes.
pub const NETWORK: &str = "10.99.0";

/// What is kept of a node that failed.
pub const LOGS: [&str; 7] = [
    "/etc/kubernetes/manifests",
    "/var/log/case",
    "/var/log/cloud-init-output.log",
    "/var/log/cloud-init.log",
    "/var/log/journal",
    "/var/log/kubernetes",
    "/var/log/pods",
];

/// Unpacks what a node that failed sent of its [`LOGS`]. Did it send any?
///
/// # Errors
///
/// What it sent is not complete.
pub fn unpack_logs(archive: &Path, to: &Path) -> Result<bool> {
    let sent = fs::metadata(archive).is_ok_and(|metadata| metadata.len() > 0);
    if sent {
        run::output(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(to))?;
    }
    Ok(sent)
}

/// A node that may be booted, more than once, over the same files.
pub trait Node: Debug {
    /// The node's own folder.
    fn top(&self) -> &Path;

    /// Where a file is written that the node shall have when it is booted first.
    fn path(&self, path: &str) -> PathBuf {
        self.top().join("files").join(path.trim_start_matches('/'))
    }

    /// Where the node's words to the harness are found, a line each.
    fn result(&self) -> PathBuf {
        self.top().join("result")
    }

    /// What kernel and systemd printed.
    fn console(&self) -> PathBuf {
        self.top().join("console")
    }

    /// Starts the node.
    ///
    /// # Errors
    ///
    /// This machine can't.
    fn boot(&self) -> Result<Box<dyn Running>>;

    /// Starts the node, whose scripts don't run, with a shell of its root on this terminal, and waits for the shell's end.
    ///
    /// # Errors
    ///
    /// This machine can't.
    fn shell(&self) -> Result<()>;

    /// Copies what tells why the node failed, once it has ended.
    ///
    /// # Errors
    ///
    /// The file system's.
    fn keep_logs(&self, to: &Path) -> Result<()>;
}

/// A node that was started. It ends when this is dropped, as by a cut of power.
pub trait Running: Debug {
    /// Has the node ended? An error is a node that didn't end by powering off or rebooting itself.
    ///
    /// # Errors
    ///
    /// See above.
    fn ended(&mut self) -> Result<bool>;
}
