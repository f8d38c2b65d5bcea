//! A backup as data: what a run did to each path, and what was there before. `node::backup` reads and writes it.

use std::fmt;

use super::file::Attributes;

/// The directory of the backups, mode 0700.
pub const BACKUPS: &str = "/var/lib/kube-audit-bootstrap/backups";

/// The end of the name of an incomplete backup's directory.
pub const PARTIAL: &str = ".partial";

/// Why a backup was written: the kind of its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    Apply,
    /// An `apply` at a boot.
    Boot,
    /// A repair of the manifest.
    Heal,
    /// A restore. `restore` without an ID does not put such a backup back, nor that of a rollback.
    Restore,
    /// The rollback of a run that was not proved.
    RollBack,
    /// A restore or a rollback that was interrupted and not continued: it is not known how much it put back.
    CutOff,
    /// A word that another version of the program wrote.
    Other(String),
}

impl Why {
    const ALL: [(Why, &str); 6] = [
        (Why::Apply, "apply"),
        (Why::Boot, "boot"),
        (Why::Heal, "heal"),
        (Why::Restore, "restore"),
        (Why::RollBack, "rollback"),
        (Why::CutOff, "restore, cut off"),
    ];

    /// The kind of run that a word of the index means.
    pub fn of(word: &str) -> Why {
        let known = Why::ALL.into_iter().find(|(_, known)| *known == word);
        known.map_or_else(|| Why::Other(word.to_owned()), |(why, _)| why)
    }

    /// The word for it in the index.
    pub fn word(&self) -> &str {
        match self {
            Why::Other(word) => word,
            why => Why::ALL.iter().find(|(known, _)| known == why).map_or("", |(_, word)| word),
        }
    }

    /// Was the run a restore or a rollback, complete or not?
    pub fn is_way_back(&self) -> bool {
        self.is_restore() || *self == Why::CutOff
    }

    /// Was the run a restore or a rollback that was not cut off?
    pub fn is_restore(&self) -> bool {
        matches!(self, Why::Restore | Why::RollBack)
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What a run did to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Created a new file.
    Created,
    /// Replaced a file's content.
    Replaced,
    /// Moved a stray manifest out of the manifest directory.
    Moved,
    /// Removed a file (a restore does).
    Removed,
    /// Changed owner, mode or label only.
    Attributes,
    /// Created a directory.
    Directory,
    /// Removed an empty directory (a restore does).
    DirectoryRemoved,
    /// Replaced the text of the cluster's kubeadm configuration.
    Cluster,
    /// Created a file system on a disk.
    Formatted,
    /// Mounted a disk at a directory. The path ends with a slash, to tell it from the directory itself.
    Mounted,
    /// Unmounted it (a restore does).
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
    /// The attributes before the run; for something new, those that the run gave it.
    pub attributes: Attributes,
    /// The name of the copy in the backup, if there was a file.
    pub file: Option<String>,
    /// The fingerprint of that copy. Backups of older versions have none.
    pub copied: Option<u64>,
    /// The fingerprint of the file that the run wrote, if it wrote one.
    pub written: Option<u64>,
    /// The fingerprints of what later runs made of that, whose backups were removed because of their age.
    pub later: Vec<u64>,
    /// The name of the copy of what the run wrote. Backups of older versions have none.
    pub after: Option<String>,
}

impl Record {
    /// Is this about the content of a file, or of the cluster's kubeadm configuration?
    pub fn is_of_content(&self) -> bool {
        use Action::{Cluster, Created, Moved, Removed, Replaced};
        matches!(self.action, Created | Replaced | Moved | Removed | Cluster)
    }

    /// Did the run, or a later one whose backup is gone, leave this content? `None`: no file.
    pub fn left(&self, content: Option<u64>) -> bool {
        match content {
            Some(content) => self.written == Some(content) || self.later.contains(&content),
            None => self.written.is_none(),
        }
    }
}

/// Shows whether a file is still what a run wrote: FNV-1a, 64 bits. It is no protection against a forged file: a
/// program that can write there needs no forgery.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    fingerprint_on(0xcbf2_9ce4_8422_2325, bytes)
}

/// The fingerprint of a content that goes on with these bytes. `before`: that of what comes before them.
pub fn fingerprint_on(before: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(before, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The name of its directory, which `restore` takes.
    pub id: String,
    /// RFC 3339, UTC.
    pub when: String,
    pub why: Why,
    /// `false`: the run has not ended, or was interrupted.
    pub complete: bool,
    /// In the order of the changes. If a path is there twice, the first record has the older state.
    pub records: Vec<Record>,
}

impl Set {
    /// The directory of the backup: an absolute path on the node.
    pub fn directory(&self) -> String {
        format!("{BACKUPS}/{}{}", self.id, if self.complete { "" } else { PARTIAL })
    }
}
