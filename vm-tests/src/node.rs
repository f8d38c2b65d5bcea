//! What a case needs of a node, wherever the node runs.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use fs_err as fs;

use crate::run;

/// The first three numbers of the addresses of all nodes.
pub const NETWORK: &str = "10.99.0";

/// The folder in which a node finds its user-data.
pub const SEED: &str = "/var/lib/cloud/seed/nocloud";

/// The paths that are kept of a node that failed.
pub const LOGS: [&str; 7] = [
    "/etc/kubernetes/manifests",
    "/var/log/case",
    "/var/log/cloud-init-output.log",
    "/var/log/cloud-init.log",
    "/var/log/journal",
    "/var/log/kubernetes",
    "/var/log/pods",
];

/// Unpacks the [`LOGS`] that a node that failed sent. Returns whether it sent any.
///
/// # Errors
///
/// The archive is not complete.
pub fn unpack_logs(archive: &Path, to: &Path) -> Result<bool> {
    let sent = fs::metadata(archive).is_ok_and(|metadata| metadata.len() > 0);
    if sent {
        run::output(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(to))?;
    }
    Ok(sent)
}

/// A node that may be booted more than once, with the same files.
pub trait Node: Debug {
    /// The node's own folder.
    fn top(&self) -> &Path;

    /// Where to write a file that the node has from its first boot on.
    fn path(&self, path: &str) -> PathBuf {
        self.top().join("files").join(path.trim_start_matches('/'))
    }

    /// The file with the lines that the node tells the harness.
    fn result(&self) -> PathBuf {
        self.top().join("result")
    }

    /// The file with what the kernel and systemd printed.
    fn console(&self) -> PathBuf {
        self.top().join("console")
    }

    /// Starts the node.
    ///
    /// # Errors
    ///
    /// This machine can't start it.
    fn boot(&self) -> Result<Box<dyn Running>>;

    /// Starts the node without its scripts, opens a shell of its root on this terminal, and waits until the shell ends.
    ///
    /// # Errors
    ///
    /// This machine can't start it.
    fn give_shell(&self) -> Result<()>;

    /// Copies the logs of a node that failed and has ended.
    ///
    /// # Errors
    ///
    /// A file can't be copied.
    fn keep_logs(&self, to: &Path) -> Result<()>;
}

/// A node that was started. It ends when this is dropped, as if its power were cut.
pub trait Running: Debug {
    /// Has the node ended, by powering itself off or by rebooting?
    ///
    /// # Errors
    ///
    /// It ended in another way.
    fn has_ended(&mut self) -> Result<bool>;
}
