//! A file as it was read: its bytes, its text, its owner and its mode.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, bail};

/// The owner of a file, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// Owner, permissions and SELinux label of a file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The permission bits, `07777` at most.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// The extended attribute `security.selinux` without its final NUL; `None` if there is none. In wanted attributes,
    /// `None` keeps the label of an existing file, and lets the kernel choose the label of a new file.
    pub label: Option<Vec<u8>>,
}

impl Attributes {
    /// Attributes whose label the kernel chooses.
    pub fn new(mode: u32, uid: u32, gid: u32) -> Attributes {
        Attributes { mode, uid, gid, label: None }
    }

    /// Do the `actual` attributes meet these wanted ones? A label that is not wanted is not compared.
    pub fn met_by(&self, actual: &Attributes) -> bool {
        (self.mode, self.uid, self.gid) == (actual.mode, actual.uid, actual.gid)
            && (self.label.is_none() || self.label == actual.label)
    }
}

/// What tells a file from all others on a machine: two paths with the same identity are the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    pub device: u64,
    pub inode: u64,
}

/// A regular file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub bytes: Vec<u8>,
    pub attributes: Attributes,
    pub identity: FileIdentity,
}

/// The kind of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    File,
    Directory,
    Link,
    Fifo,
    Socket,
    CharacterDevice,
    BlockDevice,
}

impl FileKind {
    /// The kind in `st_mode` (inode(7)).
    pub fn of(mode: u32) -> FileKind {
        match mode & 0o170_000 {
            0o040_000 => FileKind::Directory,
            0o120_000 => FileKind::Link,
            0o010_000 => FileKind::Fifo,
            0o140_000 => FileKind::Socket,
            0o020_000 => FileKind::CharacterDevice,
            0o060_000 => FileKind::BlockDevice,
            _ => FileKind::File,
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileKind::File => "a regular file",
            FileKind::Directory => "a directory",
            FileKind::Link => "a symbolic link",
            FileKind::Fifo => "a FIFO",
            FileKind::Socket => "a socket",
            FileKind::CharacterDevice => "a character device",
            FileKind::BlockDevice => "a block device",
        })
    }
}

/// What is at a path, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: FileKind,
    pub attributes: Attributes,
    /// Bytes.
    pub size: u64,
    pub identity: FileIdentity,
    /// There is a second name of it, a hard link.
    pub is_linked: bool,
}

/// What is at a path that a flag or a kubeconfig names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Missing,
    /// No regular file, or one that cannot be read: why.
    Wrong(String),
    File(Box<SeenFile>),
}

/// A file that a flag or a kubeconfig names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenFile {
    pub snapshot: Snapshot,
    /// The path that a link leads to, or else the path itself.
    pub real: String,
    /// The directories above both paths.
    pub directories: BTreeMap<String, Attributes>,
    /// Which of these paths have an access control list, which can allow more than the mode.
    pub lists: Vec<String>,
    /// The names in the directory of the file.
    pub beside: Vec<String>,
}

/// The user that the API server runs as, for the permissions of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileUser {
    pub user: u32,
    pub groups: Vec<u32>,
    /// The permissions of files don't matter: `CAP_DAC_OVERRIDE`.
    pub overrides: bool,
}

impl FileUser {
    /// The root user, as kubeadm's manifest has it.
    pub const ROOT: FileUser = FileUser { user: 0, groups: Vec::new(), overrides: true };

    /// Does the user have these permissions: 4 reads, 2 writes, 1 passes a directory?
    pub fn may(&self, permission: u32, on: &Attributes) -> bool {
        let shift = match () {
            () if self.user == on.uid => 6,
            () if self.groups.contains(&on.gid) => 3,
            () => 0,
        };
        self.overrides || on.mode >> shift & permission == permission
    }
}

/// What is at the paths of the host that flags and kubeconfigs name, as far as it was looked at.
pub type Files = BTreeMap<String, Seen>;

/// A text file that was read.
#[derive(Clone, Debug)]
pub struct Text {
    pub path: String,
    pub text: String,
    pub snapshot: Snapshot,
}

/// Bytes as text.
///
/// # Errors
///
/// The bytes are not UTF-8, or have a NUL: the position of the first fault.
pub fn text_of(bytes: &[u8]) -> Result<&str> {
    let (valid, error) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => (std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(), Some(error)),
    };
    let end = match (valid.find('\0'), error) {
        (Some(end), _) => end,
        (None, Some(_)) => valid.len(),
        (None, None) => return Ok(valid),
    };
    bail!("{}: this is no text file; name another file", crate::yaml::node::position_at(valid, end))
}

/// Bytes as text for people; what is not UTF-8 is replaced.
pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
