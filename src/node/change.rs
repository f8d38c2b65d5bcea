//! What a run does to a node, as data. [`super::transaction`] executes it, [`super::backup`] records it.

use super::cluster;
use crate::storage::unit::Format;

/// Owner, permissions and SELinux label of a file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The permission bits, `07777` at most.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// The extended attribute `security.selinux` without its final NUL; `None` where there is none. Where it is
    /// wanted: `None` leaves the label that a file has, and gives a new file the one that the kernel chooses.
    pub label: Option<Vec<u8>>,
}

impl Attributes {
    /// Attributes with the label left to the kernel.
    pub fn new(mode: u32, uid: u32, gid: u32) -> Attributes {
        Attributes { mode, uid, gid, label: None }
    }

    /// Whether `actual` is what these wanted attributes ask for. A label that isn't asked for isn't compared.
    pub fn met_by(&self, actual: &Attributes) -> bool {
        (self.mode, self.uid, self.gid) == (actual.mode, actual.uid, actual.gid)
            && (self.label.is_none() || self.label == actual.label)
    }
}

/// A regular file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub bytes: Vec<u8>,
    pub attributes: Attributes,
    /// Device and inode: two paths with the same identity are the same file.
    pub identity: (u64, u64),
}

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
    /// Replaces the text of the cluster's own kubeadm configuration, which is no file: see [`super::cluster`].
    WriteCluster { before: String, after: String },
    /// Gives a blank device a file system. What is there is checked once more; it can't be taken back.
    Format { device: String, format: Format },
    /// Mounts what the unit of that name says over a directory, whose files go aside, and begins the log there, if it is to have
    /// attributes: see [`super::disk`].
    Mount { path: String, unit: String, attributes: Attributes, log: String, begun: Option<Attributes> },
    /// Takes that away again, and puts back what went aside.
    Unmount { path: String },
    /// Moves the logs that went aside to where this one lies, and gives them attributes, if they are to have some. That is no matter of a transaction: nothing needs it, and nobody takes it back.
    Gather { log: String, attributes: Option<Attributes> },
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
            Change::Gather { log, .. } => log,
            Change::WriteCluster { .. } => cluster::NAME,
        }
    }
}
