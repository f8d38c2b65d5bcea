//! What the tests of the whole program share: how it is run, and what is put into a node's root and found there.

// Each test is a crate of its own, and uses a part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::Path;
use std::process::{Command, Output};

/// The program.
pub const BINARY: &str = env!("CARGO_BIN_EXE_kube-audit-bootstrap");

/// What we keep on a node.
pub const OWN: &str = "/var/lib/kube-audit-bootstrap";

/// A call of a program, which may be ours by another name, without what in the environment changes its messages.
pub fn quiet(mut command: Command) -> Command {
    command.env_remove("RUST_LOG").env_remove("JOURNAL_STREAM");
    command
}

/// A call of the program with these arguments.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments);
    quiet(command)
}

/// A call of the program on a root.
pub fn command(root: &Path, arguments: &[&str]) -> Command {
    let mut command = program(arguments);
    command.arg("--root").arg(root);
    command
}

/// Runs the program on a root, to its end.
pub fn run(root: &Path, arguments: &[&str]) -> Output {
    command(root, arguments).output().unwrap()
}

/// Puts a file into a root, by its path on the node.
pub fn put(root: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(&path[1..]);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Everything below a root, by its path on the node: what `look` makes of its path here and its metadata. No link is followed.
pub fn tree<T>(root: &Path, look: &dyn Fn(&Path, &Metadata) -> T) -> BTreeMap<String, T> {
    let mut tree = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            tree.insert(format!("/{}", path.strip_prefix(root).unwrap().display()), look(&path, &metadata));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    tree
}
