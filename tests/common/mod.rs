//! What several tests of the whole binary need: the program, the files of a node, namespaces, strace, and a control
//! plane that runs. What one test alone needs doesn't belong here.

#![allow(dead_code, reason = "each test uses a part of it")]

pub mod control_plane;
pub mod strace;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_kube-audit-bootstrap");

/// The program under test, without the environment variables that it reads.
pub fn program() -> Command {
    let mut command = Command::new(BINARY);
    command.env_remove("RUST_LOG").env_remove("JOURNAL_STREAM");
    command
}

/// Runs the program on a root directory.
pub fn run(root: &Path, arguments: &[&str]) -> Output {
    program().args(arguments).arg("--root").arg(root).output().unwrap()
}

/// Must a test write new expectations? It must if the variable is 1; in CI that is refused, as nobody reviews them there.
pub fn records(variable: &str) -> bool {
    let value = |name: &str| std::env::var(name).ok();
    let records = may_record(value(variable).as_deref(), value("CI").as_deref());
    records.unwrap_or_else(|| {
        panic!("{variable}=1 with CI=true: expectations are not written in CI; unset one of them")
    })
}

/// The same, from the values of the two variables; `None` if it is refused.
pub fn may_record(value: Option<&str>, ci: Option<&str>) -> Option<bool> {
    let records = value == Some("1");
    (!records || ci != Some("true")).then_some(records)
}

/// Writes a file of a node, and creates its parent directories. `path`: its absolute path on the node.
pub fn put(root: &Path, path: &str, content: impl AsRef<[u8]>, mode: u32) {
    let path = root.join(&path[1..]);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A file, a directory or a link, with everything that a write would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub inode: u64,
    /// The number of names of a file (hard links).
    pub names: u64,
    /// `st_mode`: the kind and the permissions.
    pub mode: u32,
    /// Nanoseconds since the epoch.
    pub modified: i128,
    /// Nanoseconds since the epoch.
    pub changed: i128,
    /// The content of a file; empty for a file of 4 MB or more, `None` for anything else.
    pub content: Option<Vec<u8>>,
}

/// Everything below a root directory, by its absolute path on the node.
pub type Tree = BTreeMap<String, Entry>;

/// Reads everything below a root directory.
pub fn tree(root: &Path) -> Tree {
    fn walk(root: &Path, at: &Path, tree: &mut Tree) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
            let read = || if meta.len() < 4_000_000 { fs::read(&path).unwrap() } else { Vec::new() };
            let entry = Entry {
                inode: meta.ino(),
                names: meta.nlink(),
                mode: meta.mode(),
                modified: nanoseconds(meta.mtime(), meta.mtime_nsec()),
                changed: nanoseconds(meta.ctime(), meta.ctime_nsec()),
                content: meta.is_file().then(read),
            };
            tree.insert(format!("/{}", path.strip_prefix(root).unwrap().display()), entry);
            if meta.is_dir() {
                walk(root, &path, tree);
            }
        }
    }
    let mut tree = Tree::new();
    walk(root, root, &mut tree);
    tree
}

/// `unshare` with these namespaces: mounts in them disappear at their end. A user other than root is root in a user
/// namespace.
pub fn unshare(namespaces: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(namespaces);
    command
}
