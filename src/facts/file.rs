//! A file as it was read: its bytes, its text, and to whom it belongs.

use std::fmt;

use anyhow::{Result, bail};

/// Whom a file belongs to, by number.
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

/// What a name stands for.
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
}

/// A text file that was read.
#[derive(Clone, Debug)]
pub struct Text {
    pub path: String,
    pub text: String,
    pub snapshot: Snapshot,
}

/// Bytes as text. Errors name the line and column of what is none.
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
    bail!("{}: this is no text file", crate::yaml::node::position_at(valid, end))
}

/// Bytes as a text for people.
pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
