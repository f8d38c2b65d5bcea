//! A backup set as data: what a run did to each path, and what was there before. `node::backup` reads and writes it.

use super::file::Attributes;

/// Where backup sets are, 0700.
pub const BACKUPS: &str = "/var/lib/kube-audit-bootstrap/backups";

/// The `why` of a set that a restore wrote: such a set is not what `restore` goes back to by default.
pub const RESTORE: &str = "restore";

/// The `why` of one whose run was killed before it was through, and not begun again: nobody knows how far the node was put back.
pub const CUT_OFF: &str = "restore, cut off";

pub const PARTIAL: &str = ".partial";

/// What a run did to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Created a file where none was.
    Created,
    /// Replaced a file's content.
    Replaced,
    /// Moved a stray out of the manifest directory.
    Moved,
    /// Removed a file (a restore does).
    Removed,
    /// Changed owner, mode or label only.
    Attributes,
    /// Created a directory.
    Directory,
    /// Removed an empty directory (a restore does).
    DirectoryRemoved,
    /// Replaced the text of the cluster's own kubeadm configuration.
    Cluster,
    /// Gave a device a file system.
    Formatted,
    /// Mounted something at a directory. The path has a slash at its end: it is what is mounted there.
    Mounted,
    /// Took that away (a restore does).
    Unmounted,
}

impl Action {
    const ALL: [(Action, &str); 11] = [
        (Action::Created, "created"),
        (Action::Replaced, "replaced"),
        (Action::Moved, "moved"),
        (Action::Removed, "removed"),
        (Action::Attributes, "attributes"),
        (Action::Directory, "directory"),
        (Action::DirectoryRemoved, "directory-removed"),
        (Action::Cluster, "cluster"),
        (Action::Formatted, "formatted"),
        (Action::Mounted, "mounted"),
        (Action::Unmounted, "unmounted"),
    ];

    /// The action that a word of the index means.
    pub fn of(word: &str) -> Option<Action> {
        Action::ALL.iter().find(|(_, known)| *known == word).map(|(action, _)| *action)
    }

    /// The word for it in the index.
    pub fn word(self) -> &'static str {
        Action::ALL.iter().find(|(action, _)| *action == self).map_or("", |(_, word)| word)
    }
}

/// What a path was before a run changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub path: String,
    pub action: Action,
    /// From before the run; those it gave where nothing was.
    pub attributes: Attributes,
    /// The name of the copy in the set, where there was a file.
    pub file: Option<String>,
    /// The fingerprint of what the run wrote, where it wrote a file.
    pub written: Option<u64>,
}

/// Tells whether a file is still what a run wrote: FNV-1a, 64 bits. Nobody is kept from making two files of one
/// fingerprint; who can write there needs no such tricks.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// A backup set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub id: String,
    /// RFC 3339, UTC.
    pub when: String,
    /// The verb that wrote it.
    pub why: String,
    /// False: its run is under way, or was killed.
    pub complete: bool,
    /// In the order of the changes; where a path comes twice, the older state is first.
    pub records: Vec<Record>,
}

impl Set {
    /// The directory of the set, as the node sees it.
    pub fn directory(&self) -> String {
        format!("{BACKUPS}/{}{}", self.id, if self.complete { "" } else { PARTIAL })
    }
}
