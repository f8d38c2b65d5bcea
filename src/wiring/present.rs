//! The mounts that a file has, and where a path of the API server's container lies by them.

use crate::path::{clean, innermost};
use crate::yaml::Position;

/// A mount that a file has.
#[derive(Clone, Debug)]
pub(super) struct Present {
    pub position: Position,
    pub name: String,
    pub container: String,
    /// The path on the host, if it is one.
    pub host: Option<String>,
    pub read_only: bool,
    /// The container runtime cannot create a mount point in it.
    pub closed: bool,
    /// It shows a directory of the host by an expression (`subPathExpr`).
    pub by_expression: bool,
}

impl Present {
    /// Where the mount shows its files, if `host` is not known.
    pub fn elsewhere(&self) -> &'static str {
        match self.by_expression {
            true => "at a path of the host that only the kubelet knows (subPathExpr)",
            false => "in a volume that is not a directory of the host",
        }
    }
}

/// Where a path of the API server's container lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place<'p> {
    /// No mount covers it, so it lies in the container's image.
    Image,
    /// At this path of the host, by this mount.
    Host(String, &'p Present),
    /// By this mount in a volume that is not of the host, such as an emptyDir, or at a path of the host that only the
    /// kubelet knows.
    Pod(&'p Present),
}

impl Place<'_> {
    /// The path on the host, if it is one.
    pub fn on_host(self) -> Option<String> {
        match self {
            Place::Host(path, _) => Some(path),
            Place::Image | Place::Pod(_) => None,
        }
    }
}

impl PartialEq for Present {
    fn eq(&self, other: &Present) -> bool {
        (self.position, &self.container) == (other.position, &other.container)
    }
}

impl Eq for Present {}

/// Where a path of the container lies: the mount with the longest path at or above it decides, because containerd and
/// CRI-O make outer mounts before inner ones.
pub(super) fn place_of<'p>(present: &'p [Present], path: &str) -> Place<'p> {
    let path = clean(path);
    let Some((index, rest)) = innermost(present.iter().map(|one| one.container.as_str()), &path) else {
        return Place::Image;
    };
    let one = &present[index];
    match &one.host {
        None => Place::Pod(one),
        Some(host) => Place::Host(clean(&format!("{host}/{rest}")), one),
    }
}
