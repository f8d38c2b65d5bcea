//! Every kind of node, by the whole binary. A case is a folder in `tests/cases/`:
//!
//! * `before/`: the node's files;
//! * `args`: more arguments for the binary, where there are any;
//! * `plan.txt`: what `plan` prints, stdout then stderr, and its exit code;
//! * `after/`: the files that `apply` creates or changes, as they are then, and `modes`: what it creates or
//!   changes, with the modes.
//!
//! Each case is planned, applied, looked at, applied again (which must write nothing) and restored (which must
//! give back what was there). A case whose plan fails must leave the node untouched.
//!
//! `UPDATE_CASES=1 cargo test --test cases` writes the expected files anew: review them before you commit.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

/// The tool's own files, which are looked at by other tests.
const OWN: &str = "/var/lib/kube-audit-bootstrap";

#[derive(Clone, Debug, PartialEq)]
struct Found {
    mode: u32,
    /// `None` for a directory.
    bytes: Option<Vec<u8>>,
    /// Inode, and mtime and ctime in nanoseconds.
    stamp: (u64, i128, i128),
}

type Tree = BTreeMap<String, Found>;

fn walk(root: &Path, at: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        let found = Found {
            mode: meta.mode() & 0o7777,
            bytes: meta.is_file().then(|| fs::read(&path).unwrap()),
            stamp: (
                meta.ino(),
                nanoseconds(meta.mtime(), meta.mtime_nsec()),
                nanoseconds(meta.ctime(), meta.ctime_nsec()),
            ),
        };
        tree.insert(format!("/{}", path.strip_prefix(root).unwrap().display()), found);
        if meta.is_dir() {
            walk(root, &path, tree);
        }
    }
}

fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    walk(root, root, &mut tree);
    tree
}

/// Modes and contents of what isn't the tool's own.
fn contents(tree: &Tree) -> BTreeMap<&str, (u32, &Option<Vec<u8>>)> {
    // A new root may lack the directories that lead to the tool's own; they are not a node's contents.
    tree.iter()
        .filter(|(path, _)| !path.starts_with(OWN) && !OWN.starts_with(&format!("{path}/")))
        .map(|(path, found)| (path.as_str(), (found.mode, &found.bytes)))
        .collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
    if !from.exists() {
        return;
    }
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::write(&target, fs::read(entry.path()).unwrap()).unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}

fn run(root: &Path, verb: &[&str], arguments: &[String]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kube-audit-bootstrap"))
        .args(verb)
        .args(["--root".as_ref(), root.as_os_str()])
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn report(output: &Output, root: &Path) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut report = text(&output.stdout);
    if !output.stderr.is_empty() {
        report += "--- stderr\n";
        report += &text(&output.stderr);
    }
    let _ = writeln!(report, "--- exit {}", output.status.code().unwrap_or(-1));
    let owner = tree_owner(root);
    report.replace(root.to_str().unwrap(), "ROOT").replace(&owner, "owner 0:0")
}

/// What the owner of new files is called where the tests don't run as root.
fn tree_owner(root: &Path) -> String {
    let meta = fs::metadata(root).unwrap();
    format!("owner {}:{}", meta.uid(), meta.gid())
}

fn check(case: &Path) -> Result<(), String> {
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    copy(&case.join("before"), &root);
    let arguments: Vec<_> = fs::read_to_string(case.join("args"))
        .unwrap_or_default()
        .split_whitespace()
        .map(|word| word.replace("CASE", case.to_str().unwrap()))
        .collect();
    let settings: Vec<_> = arguments.clone();
    let before = tree(&root);

    let planned = run(&root, &["plan"], &settings);
    expect(case, "plan.txt", report(&planned, &root).replace(case.to_str().unwrap(), "CASE").as_bytes(), update)?;
    same(&before, &tree(&root), "plan wrote something")?;
    let applied = run(&root, &["apply"], &settings);
    if ![Some(0), Some(3)].contains(&planned.status.code()) {
        if applied.status.code() != planned.status.code() || applied.stderr != planned.stderr {
            return Err(format!("apply did not fail as plan did: {}", report(&applied, &root)));
        }
        return same(&before, &tree(&root), "a refused apply wrote something");
    }
    if !applied.status.success() {
        return Err(report(&applied, &root));
    }
    let after = tree(&root);
    if planned.status.code() == Some(0) {
        same(&before, &after, "plan said that nothing would change")?;
    }
    let (old, new) = (contents(&before), contents(&after));
    let mut modes = String::new();
    for (path, (mode, bytes)) in &new {
        if old.get(path) == Some(&(*mode, bytes)) {
            continue;
        }
        let _ = writeln!(modes, "{mode:04o} {path}{}", if bytes.is_none() { "/" } else { "" });
        if let Some(bytes) = bytes {
            expect(case, &format!("after{path}"), bytes, update)?;
        }
    }
    for path in old.keys().filter(|path| !new.contains_key(*path)) {
        let _ = writeln!(modes, "gone {path}");
    }
    expect(case, "modes", modes.as_bytes(), update)?;

    let status = run(&root, &["status"], &settings);
    if !status.status.success() {
        return Err(format!("status after apply: {}", report(&status, &root)));
    }
    let again = run(&root, &["apply"], &settings);
    if !again.status.success() {
        return Err(format!("a second apply: {}", report(&again, &root)));
    }
    same(&after, &tree(&root), "a second apply wrote something")?;

    if planned.status.code() == Some(0) {
        return Ok(());
    }
    let restored = run(&root, &["restore"], &[]);
    if !restored.status.success() {
        return Err(format!("restore: {}", report(&restored, &root)));
    }
    let stdout = String::from_utf8(restored.stdout).unwrap();
    let (restored, mut expected) = (tree(&root), contents(&before));
    // Strays stay in the backup: the kubelet would run them again.
    expected.retain(|path, _| !modes.contains(&format!("gone {path}\n")));
    let found = contents(&restored);
    // What the old manifest already pointed at is kept, and said to be.
    let kept: Vec<_> = stdout
        .lines()
        .filter_map(|line| line.strip_prefix("note: ")?.split_once(" stays: "))
        .map(|note| note.0)
        .collect();
    for path in expected.keys().chain(found.keys()) {
        let leads_there = kept.iter().any(|kept| kept == path || kept.starts_with(&format!("{path}/")));
        if expected.get(path) != found.get(path) && !leads_there {
            return Err(format!("restore left {path} different"));
        }
    }
    Ok(())
}

fn same(before: &Tree, after: &Tree, message: &str) -> Result<(), String> {
    for path in before.keys().chain(after.keys()) {
        if before.get(path) != after.get(path) {
            return Err(format!("{message}: {path}"));
        }
    }
    Ok(())
}

fn expect(case: &Path, name: &str, found: &[u8], update: bool) -> Result<(), String> {
    let path = case.join(name);
    if update {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, found).unwrap();
        return Ok(());
    }
    let expected = fs::read(&path).map_err(|error| format!("{name}: {error}"))?;
    if expected == found {
        return Ok(());
    }
    Err(format!("{name} differs. Expected:\n{}\nfound:\n{}", lossy(&expected), lossy(found)))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_node_gets_what_its_case_expects() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    let failures: Vec<_> = cases
        .iter()
        .filter_map(|case| check(case).err().map(|error| format!("{}: {error}", case.display())))
        .collect();
    assert!(cases.len() > 20, "the cases are missing");
    assert!(failures.is_empty(), "{} of {} cases failed\n{}", failures.len(), cases.len(), failures.join("\n\n"));
}
