//! What a run does to a node, as data. `node::transaction` executes it, `node::backup` records it.

use crate::facts::file::{Attributes, Snapshot};
use crate::storage::unit::FileSystem;

/// The name of the cluster's kubeadm configuration, in place of a path.
pub const KUBEADM_CONFIG: &str = "kube-system/configmaps/kubeadm-config";

/// One change to a node. Paths are absolute paths on the node. `before` is what was observed when the change was
/// planned. If it differs when the run starts, the run refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Creates a directory, and its missing parents (mode 0755, owned by the user of the program, that is the root
    /// user).
    CreateDirectory { path: String, attributes: Attributes },
    /// Sets owner, mode and label of a file or directory.
    SetAttributes { path: String, before: Attributes, after: Attributes },
    /// Creates a file (`before` is `None`) or replaces it. If the path is a link, its target is replaced. Missing
    /// parents are created as above. If `attributes` has no label, a replaced file keeps its label.
    WriteFile { path: String, before: Option<Snapshot>, bytes: Vec<u8>, attributes: Attributes },
    /// Moves a stray manifest to the backup and removes its name (of a link, the link). `restore` never puts it back,
    /// because the kubelet would run it again.
    MoveAway { path: String, before: Snapshot },
    /// Replaces the text of the cluster's kubeadm configuration, which is not a file: see `node::cluster`.
    WriteCluster { before: String, after: String },
    /// Creates a file system on a blank disk. The run checks once more that the disk is blank. No run can undo this.
    Format { device: String, format: FileSystem },
    /// Mounts the disk of the unit over a directory, and renames the directory with its files before. If `begun` has
    /// attributes, it starts the log there: see `node::disk`.
    Mount { path: String, unit: String, attributes: Attributes, log: String, begun: Option<Attributes> },
    /// Unmounts the disk, and gives the renamed directory its name back.
    Unmount { path: String },
    /// Removes a file that a run created. Its bytes are moved to the backup.
    RemoveFile { path: String, before: Snapshot },
    /// Removes a directory that a run created, if it is empty.
    RemoveDirectory { path: String, before: Attributes },
}

impl Change {
    /// The path that this change is about. If it is not a file, a name without a slash at the front.
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

    /// The name of the action in JSON.
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
