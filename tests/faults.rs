//! Faults at every system call: a kill, and a write error. strace injects them into the whole binary.
//!
//! Whatever happens, each file of the node is old or new in full, the next run finishes the job and leaves nothing
//! behind, and `restore` gives back what there was before the first run.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const BINARY: &str = env!("CARGO_BIN_EXE_kube-audit-bootstrap");
const OWN: &str = "/var/lib/kube-audit-bootstrap";
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const STRAY: &str = "/etc/kubernetes/manifests/kube-apiserver.backup";
/// What marks the leftovers of a killed run.
const TEMPORARY: &str = ".kube-audit-bootstrap";

/// Mode and content, or no content for a directory, of all but the tool's own files.
type Tree = BTreeMap<String, (u32, Option<Vec<u8>>)>;

fn walk(root: &Path, at: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("/{}", path.strip_prefix(root).unwrap().display());
        if name == OWN {
            continue;
        }
        let meta = fs::symlink_metadata(&path).unwrap();
        tree.insert(name, (meta.mode() & 0o7777, meta.is_file().then(|| fs::read(&path).unwrap())));
        if meta.is_dir() {
            walk(root, &path, tree);
        }
    }
}

fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    walk(root, root, &mut tree);
    // The directory that holds the tool's own may be new, and says nothing about the node.
    tree.remove("/var/lib");
    tree.remove("/var");
    tree
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(&path[1..]);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A control plane with something to do at every step: a policy to replace, kubeadm's file, a stray, the manifest.
fn node(root: &Path) {
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-apiserver\n  namespace: kube-system\nspec:\n  \
                    containers:\n  - command:\n    - kube-apiserver\n    - --secure-port=6443\n    image: \
                    registry.k8s.io/kube-apiserver:v1.31.4\n    name: kube-apiserver\n  hostNetwork: true\n";
    write(root, MANIFEST, manifest);
    write(root, STRAY, manifest);
    write(root, "/etc/kubernetes/audit-policy.yaml", "# an older one\n");
    let cluster = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.31.4\n";
    write(root, "/etc/kubernetes/kubeadm-config.yaml", cluster);
}

/// In memory where that can be: a run flushes each file and directory, and there are thousands of runs.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn run(root: &Path, verb: &str) -> Output {
    Command::new(BINARY).args([verb, "--root"]).arg(root).output().unwrap()
}

fn succeed(root: &Path, verb: &str, context: &str) {
    let output = run(root, verb);
    assert!(output.status.success(), "{context}: {verb}: {}", String::from_utf8_lossy(&output.stderr));
}

fn strace(root: &Path, verb: &str, options: &[&str], log: &Path) -> Output {
    Command::new("strace")
        .args(["-f", "-o"])
        .arg(log)
        .args(options)
        .arg(BINARY)
        .args([verb, "--root"])
        .arg(root)
        .output()
        .expect("strace is missing: `make test` installs it")
}

/// How often a run makes each system call.
fn calls(verb: &str, prepare: &dyn Fn(&Path)) -> BTreeMap<String, usize> {
    let directory = scratch();
    let (root, log) = (directory.path().join("root"), directory.path().join("log"));
    prepare(&root);
    assert!(strace(&root, verb, &[], &log).status.success());
    let mut calls = BTreeMap::new();
    for line in fs::read_to_string(log).unwrap().lines() {
        // "1234 openat(3, ..."
        let call = line.split_whitespace().nth(1).and_then(|rest| rest.split_once('(')).map(|(name, _)| name);
        if let Some(name) = call.filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')) {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    // strace itself starts the program; exits have nothing after them.
    calls.retain(|name, _| !["execve", "exit_group"].contains(&name.as_str()));
    calls
}

struct Bench {
    _directory: tempfile::TempDir,
    root: PathBuf,
    log: PathBuf,
}

impl Bench {
    fn new(prepare: &dyn Fn(&Path)) -> Bench {
        let directory = scratch();
        let (root, log) = (directory.path().join("root"), directory.path().join("log"));
        prepare(&root);
        Bench { _directory: directory, root, log }
    }

    fn inject(&self, verb: &str, what: &str) -> Output {
        strace(&self.root, verb, &["-e", &format!("inject={what}")], &self.log)
    }
}

fn each_is_old_or_new(now: &Tree, old: &Tree, new: &Tree, context: &str) {
    for (path, found) in now {
        if path.contains(TEMPORARY) {
            let name = path.rsplit('/').next().unwrap();
            assert!(name.starts_with('.'), "{context}: {path} would be run by the kubelet");
            continue;
        }
        // A directory's mode is set after it is made.
        let same = |tree: &Tree| tree.get(path).is_some_and(|other| other == found || found.1.is_none());
        assert!(same(old) || same(new), "{context}: {path} is neither old nor new");
    }
    for path in old.keys().filter(|path| !now.contains_key(*path)) {
        assert!(!new.contains_key(path), "{context}: {path} is lost");
    }
}

/// Like `assert_eq!`, but names the paths that differ instead of printing all files.
fn assert_same(found: &Tree, expected: &Tree, context: &str) {
    let paths = found.keys().chain(expected.keys());
    let differing: std::collections::BTreeSet<_> =
        paths.filter(|path| found.get(*path) != expected.get(*path)).collect();
    let modes =
        |tree: &Tree| differing.iter().map(|path| tree.get(*path).map(|found| found.0)).collect::<Vec<_>>();
    let (now, wanted) = (modes(found), modes(expected));
    assert!(differing.is_empty(), "{context}: {differing:?} differ, modes {now:?}, expected {wanted:?}");
}

fn without_leftovers(tree: &Tree, context: &str) {
    let leftover = tree.keys().find(|path| path.contains(TEMPORARY));
    assert_eq!(leftover, None, "{context}");
}

fn results() -> (Tree, Tree) {
    let bench = Bench::new(&node);
    let old = tree(&bench.root);
    succeed(&bench.root, "apply", "undisturbed");
    (old, tree(&bench.root))
}

#[test]
#[ignore = "takes half a minute, and needs strace: `make test` runs it"]
fn a_run_killed_at_any_system_call_is_finished_by_the_next() {
    let (old, new) = results();
    let mut restored = old.clone();
    restored.remove(STRAY);
    let mut kills = 0;
    for (call, count) in calls("apply", &node) {
        for nth in 1..=count {
            let context = format!("killed at {call} {nth}");
            let bench = Bench::new(&node);
            let output = bench.inject("apply", &format!("{call}:signal=KILL:when={nth}"));
            kills += usize::from(output.status.signal() == Some(9) || output.status.code() == Some(137));
            each_is_old_or_new(&tree(&bench.root), &old, &new, &context);
            succeed(&bench.root, "apply", &context);
            assert_same(&tree(&bench.root), &new, &context);
            succeed(&bench.root, "restore", &context);
            assert_same(&tree(&bench.root), &restored, &format!("{context}: restored"));
        }
    }
    assert!(kills > 100, "only {kills} runs were killed: does strace inject?");
}

#[test]
#[ignore = "takes half a minute, and needs strace: `make test` runs it"]
fn a_restore_killed_at_any_system_call_is_finished_by_the_next() {
    let applied = |root: &Path| {
        node(root);
        succeed(root, "apply", "undisturbed");
    };
    let (mut old, new) = results();
    old.remove(STRAY);
    for (call, count) in calls("restore", &applied) {
        for nth in 1..=count {
            let context = format!("killed at {call} {nth}");
            let bench = Bench::new(&applied);
            bench.inject("restore", &format!("{call}:signal=KILL:when={nth}"));
            each_is_old_or_new(&tree(&bench.root), &new, &old, &context);
            succeed(&bench.root, "restore", &context);
            assert_same(&tree(&bench.root), &old, &context);
        }
    }
}

#[test]
#[ignore = "takes half a minute, and needs strace: `make test` runs it"]
fn a_write_error_anywhere_leaves_the_node_as_it_was() {
    let (old, new) = results();
    let calls = calls("apply", &node);
    let mut failures = 0;
    for call in [
        "read",
        "write",
        "fsync",
        "rename",
        "renameat",
        "renameat2",
        "openat",
        "openat2",
        "linkat",
        "mkdirat",
        "fchmod",
        "fchown",
        "unlinkat",
    ] {
        for nth in 1..=calls.get(call).copied().unwrap_or_default() {
            for error in ["ENOSPC", "EIO", "EROFS"] {
                // Once, and, of what an undo doesn't need, from then on.
                let lasting = ["write", "fsync", "linkat", "mkdirat"].contains(&call);
                for when in [format!("{nth}"), format!("{nth}+")].iter().take(1 + usize::from(lasting)) {
                    let context = format!("{error} from {call} {when}");
                    let bench = Bench::new(&node);
                    let output = bench.inject("apply", &format!("{call}:error={error}:when={when}"));
                    let after = tree(&bench.root);
                    if output.status.success() {
                        // All was durable already: what failed is the report, or the tidying.
                        let kept = |path: &String| !path.contains(TEMPORARY);
                        let after: Tree = after.into_iter().filter(|(path, _)| kept(path)).collect();
                        assert_same(&after, &new, &context);
                        continue;
                    }
                    failures += 1;
                    let stderr = String::from_utf8_lossy(&output.stderr);
                    assert_eq!(output.status.code(), Some(1), "{context}: {stderr}");
                    assert!(!stderr.is_empty() || call == "write", "{context}: no word about it");
                    assert_same(&after, &old, &format!("{context}: {stderr}"));
                    without_leftovers(&after, &context);
                    succeed(&bench.root, "apply", &context);
                    assert_same(&tree(&bench.root), &new, &format!("{context}: the next run"));
                }
            }
        }
    }
    assert!(failures > 50, "only {failures} runs failed: does strace inject?");
}

#[test]
#[ignore = "needs a mount namespace: `make test` runs it"]
fn a_read_only_node_is_told_so_and_can_be_looked_at() {
    let bench = Bench::new(&node);
    let script =
        "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" && exec \"$2\" \"$3\" --root \"$1\"";
    for (verb, code, message) in
        [("apply", 1, "Read-only file system; mount it read-write"), ("plan", 3, "warning")]
    {
        let output = Command::new("unshare")
            .args(["--mount", "--map-root-user", "sh", "-c", script, "sh"])
            .arg(&bench.root)
            .args([BINARY, verb])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{verb}: {stderr}");
        assert!(stderr.contains(message), "{verb}: {stderr}");
    }
}
