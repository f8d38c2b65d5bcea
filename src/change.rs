//! What a run does to a node, as data. `node::transaction` executes it, `node::backup` records it.

use crate::facts::file::{Attributes, Snapshot};
use crate::storage::unit::FileSystem;

/// The cluster's own copy of kubeadm's configuration, as it is called where a file has its path.
pub const KUBEADM_CONFIG: &str = "kube-system/configmaps/kubeadm-config";

/// One change to a node. Paths are absolute, as the node sees them. `before` is what was observed when the change
/// was planned; a run refuses where that isn't what is there any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Makes a directory that isn't there, and its missing parents (0755, owned by who runs, that is root).
    CreateDirectory { path: String, attributes: Attributes },
    /// Sets owner, mode and label of a file or directory.
    SetAttributes { path: String, before: Attributes, after: Attributes },
    /// Creates (`before` is `None`) or replaces a file. Through a link its target is replaced. Missing parents are
    /// made as above. Without a label in `attributes`, a replaced file's label is copied.
    WriteFile { path: String, before: Option<Snapshot>, bytes: Vec<u8>, attributes: Attributes },
    /// Takes a stray out of the manifest directory: its bytes go to the backup, its name is removed (of a link,
    /// the link). `restore` never puts it back, as the kubelet would run it again.
    MoveAway { path: String, before: Snapshot },
    /// Replaces the text of the cluster's own kubeadm configuration, which is no file: see `node::cluster`.
    WriteCluster { before: String, after: String },
    /// Gives a blank device a file system. What is there is checked once more; it can't be taken back.
    Format { device: String, format: FileSystem },
    /// Mounts what the unit of that name says over a directory, whose files go aside, and begins the log there, if it is to have
    /// attributes: see `node::disk`.
    Mount { path: String, unit: String, attributes: Attributes, log: String, begun: Option<Attributes> },
    /// Takes that away again, and puts back what went aside.
    Unmount { path: String },
    /// Removes a file that an earlier run created. Its bytes go to the backup.
    RemoveFile { path: String, before: Snapshot },
    /// Removes a directory that an earlier run created, where it is empty by then.
    RemoveDirectory { path: String, before: Attributes },
}

impl Change {
    /// The path that this change is about; what is no file has a name without a slash in front.
    pub fn path(&self) -> &str {
        match self {
            Change::CreateDirectory { path, .. }
            | Change::SetAttributes { path, .. }
            | Change::WriteFile { path, .. }
            | Change::MoveAway { path, .. }
            | Change::Mount { path, .. }
            | Change::Unmount { path }
            | Change::RemoveFile { path, .. }
            | Change::RemoveDirectory { path, .. } => path,
            Change::Format { device, .. } => device,
            Change::WriteCluster { .. } => KUBEADM_CONFIG,
        }
    }

    /// The kind of a change, in JSON.
    pub fn action(&self) -> &'static str {
        match self {
            Change::CreateDirectory { .. } => "create-directory",
            Change::SetAttributes { .. } => "set-attributes",
            Change::WriteFile { before: None, .. } => "create-file",
            Change::WriteFile { .. } => "edit-file",
            Change::MoveAway { .. } => "move-away",
            Change::Format { .. } => "format",
            Change::Mount { .. } => "mount",
            Change::Unmount { .. } => "unmount",
            Change::RemoveFile { .. } => "remove-file",
            Change::RemoveDirectory { .. } => "remove-directory",
            Change::WriteCluster { .. } => "edit-cluster",
        }
    }
}
