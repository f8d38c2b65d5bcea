//! What stands in the way of a change to a file.

use std::fmt;

/// What stands in the way of a change to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Something is mounted at the path itself, so the file there can be neither replaced, renamed nor removed.
    MountPoint,
    /// The directory of the path is on a file system that is mounted read-only: the directory where it is mounted.
    ReadOnly(String),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::MountPoint => f.write_str("a file is mounted here, so it cannot be replaced"),
            Obstacle::ReadOnly(at) => write!(f, "nothing can be written here: {at} is mounted read-only"),
        }
    }
}
