//! What stands in the way of a change to a file.

use std::fmt;

use crate::path::typed;

/// What stands in the way of a change to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Something is mounted at the path itself, so the file there can be neither replaced, renamed nor removed.
    MountPoint,
    /// The directory of the path is on a file system that is mounted read-only: the directory where it is mounted.
    ReadOnly(String),
    /// A file or directory on the way has an attribute of chattr(1) that keeps even root from the change: its path.
    Locked { path: String, lock: Lock },
}

/// An attribute of a file or directory (chattr(1)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    Immutable,
    /// Something can be added, and nothing else.
    AppendOnly,
}

impl Obstacle {
    /// How to remove it. `root`: where the root directory of the node is on this machine.
    pub fn remedy(&self, path: &str, root: &str) -> String {
        match self {
            Obstacle::MountPoint => format!("unmount it (umount {})", typed(root, path)),
            Obstacle::ReadOnly(at) => format!("mount it read-write (mount -o remount,rw {at})"),
            Obstacle::Locked { path, lock } => {
                let letter = if *lock == Lock::Immutable { 'i' } else { 'a' };
                format!("take the attribute away (chattr -{letter} {})", typed(root, path))
            }
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::MountPoint => f.write_str("a file is mounted here, so it cannot be replaced"),
            Obstacle::ReadOnly(at) => write!(f, "nothing can be written here: {at} is mounted read-only"),
            Obstacle::Locked { path, lock: Lock::Immutable } => {
                write!(f, "this cannot be changed: {path} is immutable")
            }
            Obstacle::Locked { path, lock: Lock::AppendOnly } => {
                write!(f, "this cannot be replaced: {path} is append-only")
            }
        }
    }
}
