//! A node's root directory in a temporary directory, for tests.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use super::restore;
use super::root::Root;
use super::transaction::execute;
use crate::change::Change;
use crate::facts::backup::{BACKUPS, Why};
use crate::facts::file::{Attributes, Snapshot};
use crate::plan::way_back::{self, Restore};

pub const POLICY: &str = "/etc/kubernetes/audit-policy.yaml";
pub const KUBEADM: &str = "/etc/kubernetes/kubeadm-config.yaml";
pub const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
pub const STRAY: &str = "/etc/kubernetes/manifests/backup";
pub const LOGS: &str = "/var/log/kubernetes/audit";
/// The ID of the first backup, written at [`at`]`(0)`.
pub const FIRST: &str = "20261124T121326Z";

/// A sample node.
pub struct Node {
    /// A directory around the root directory, for files that must not be reached through the root directory.
    pub outside: tempfile::TempDir,
    pub root: Root,
}

/// `seconds` after 2026-11-24T12:13:26Z.
pub fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_522_406 + seconds)
}

/// Attributes that the user of the tests can set.
pub fn mode(mode: u32) -> Attributes {
    Attributes::new(mode, nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
}

/// The plan of a restore.
pub fn way_back(root: &Root, id: Option<&str>) -> Result<Restore> {
    Ok(way_back::plan(&restore::look(root, id)?, false))
}

impl Node {
    /// A node without files.
    pub fn new() -> Node {
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir(outside.path().join("node")).unwrap();
        let root = Root::open(&outside.path().join("node")).unwrap();
        Node { outside, root }
    }

    /// A node with these files, each a path and a text.
    pub fn with(files: &[(&str, &str)]) -> Node {
        let node = Node::new();
        files.iter().for_each(|(path, text)| node.put(path, text));
        node
    }

    /// The path on the host of a path on the node.
    pub fn host(&self, path: &str) -> PathBuf {
        self.outside.path().join("node").join(path.trim_start_matches('/'))
    }

    /// Writes a file with mode 0644, and makes its parents.
    pub fn put(&self, path: &str, text: &str) {
        fs::create_dir_all(self.host(path).parent().unwrap()).unwrap();
        fs::write(self.host(path), text).unwrap();
        self.chmod(path, 0o644);
    }

    pub fn chmod(&self, path: &str, mode: u32) {
        fs::set_permissions(self.host(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn link(&self, path: &str, target: &str) {
        fs::create_dir_all(self.host(path).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, self.host(path)).unwrap();
    }

    pub fn exists(&self, path: &str) -> bool {
        self.host(path).symlink_metadata().is_ok()
    }

    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.host(path)).unwrap()
    }

    pub fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.host(path)).unwrap().mode() & 0o7777
    }

    pub fn snapshot(&self, path: &str) -> Snapshot {
        self.root.read(path, 1 << 20).unwrap().unwrap()
    }

    /// All names, sorted, with inode, mode, and content or link target: what must not change if a run changes nothing.
    pub fn everything(&self) -> Vec<(String, u64, u32, String)> {
        let mut found = Vec::new();
        let mut directories = vec![self.host("/")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let meta = path.symlink_metadata().unwrap();
                let content = if meta.is_dir() {
                    directories.push(path.clone());
                    String::new()
                } else if meta.is_symlink() {
                    fs::read_link(&path).unwrap().display().to_string()
                } else {
                    fs::read_to_string(&path).unwrap()
                };
                let name = path.strip_prefix(self.host("/")).unwrap();
                found.push((format!("/{}", name.display()), meta.ino(), meta.mode(), content));
            }
        }
        found.sort();
        found
    }

    /// All names except for the program's own files and directories.
    pub fn names(&self) -> Vec<String> {
        let names = self.everything().into_iter().map(|(name, ..)| name);
        names.filter(|name| !name.starts_with("/var/lib") && name != "/var").collect()
    }

    /// The names of the backups, sorted.
    pub fn sets(&self) -> Vec<String> {
        self.root.list(BACKUPS).unwrap().unwrap_or_default()
    }

    pub fn write(&self, path: &str, text: &str) -> Change {
        let before = self.root.read(path, 1 << 20).unwrap();
        Change::WriteFile { path: path.into(), before, bytes: text.into(), attributes: mode(0o600) }
    }

    pub fn move_away(&self, path: &str) -> Change {
        Change::MoveAway { path: path.into(), before: self.snapshot(path) }
    }

    pub fn set_mode(&self, path: &str, to: u32) -> Change {
        let before = self.root.stat(path).unwrap().unwrap().attributes;
        Change::SetAttributes { path: path.into(), before, after: mode(to) }
    }

    pub fn create_directory(&self, path: &str) -> Change {
        Change::CreateDirectory { path: path.into(), attributes: mode(0o700) }
    }

    /// A change that passes every check and fails when it is made: its label is too long (xattr(7)).
    pub fn fail_late(&self, path: &str) -> Change {
        let before = self.root.stat(path).unwrap().unwrap().attributes;
        let after = Attributes { label: Some(vec![b'x'; 70_000]), ..mode(0o640) };
        Change::SetAttributes { path: path.into(), before, after }
    }

    pub fn apply(&self, changes: &[Change], seconds: u64) -> Result<Option<String>> {
        Ok(execute(&self.root, changes, &Why::Apply, at(seconds))?.backup)
    }

    /// Does a restore.
    pub fn restore(&self, id: Option<&str>, seconds: u64) -> Restore {
        let restore = way_back(&self.root, id).unwrap();
        execute(&self.root, &restore.changes, &Why::Restore, at(seconds)).unwrap();
        restore
    }
}
