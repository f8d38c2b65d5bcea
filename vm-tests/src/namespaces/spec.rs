//! What the processes of a node must know of it, as a file that each hands to the next.

use std::path::{Path, PathBuf};

use anyhow::Result;
use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::cgroup::Group;
#[cfg(doc)]
use crate::node::NETWORK;

/// What `enter` and `boot` must know of a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// Its host name.
    pub name: String,
    /// Its IPv4 address, in the network of [`NETWORK`].
    pub address: String,
    /// The folders of its root, the topmost first.
    pub layers: Vec<PathBuf>,
    /// Its own folder: `up` has the files that it changed, `result` what it told.
    pub top: PathBuf,
    /// Its control groups.
    pub group: Group,
    /// The ID of the process whose network namespace has the bridge.
    pub switch: u32,
    /// See [`own_program`].
    pub program: String,
}

impl Spec {
    /// Reads what [`Spec::write`] wrote.
    ///
    /// # Errors
    ///
    /// The file can't be read, or is no spec.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
    }

    /// Writes it for the processes of the node.
    ///
    /// # Errors
    ///
    /// The file can't be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(fs::write(path, serde_json::to_string(self)?)?)
    }
}

/// The path of the harness's own program, by its process. Since it started, its file may have been replaced by a newer
/// one.
pub fn own_program() -> String {
    format!("/proc/{}/exe", std::process::id())
}
