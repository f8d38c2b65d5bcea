//! Injects a fault at every system call of the whole binary, by strace: a kill, and an error.
//!
//! After any fault, each file of the node is the previous or the new one, complete, and the next run finishes the job
//! and leaves nothing behind. After an error, the node is as before, or the message names what is not. After `apply`,
//! `restore` puts back the state from before the first run.
//!
//! Each call is tried. What the next run does depends only on the node's files, so it is tried once for each state
//! that a fault leaves.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{BINARY, put, strace, unshare};

const OWN: &str = "/var/lib/kube-audit-bootstrap";
const BACKUPS: &str = "/var/lib/kube-audit-bootstrap/backups";
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
/// What a manifest with the settings needs.
const NEEDED: [&str; 2] = ["/etc/kubernetes/audit-policy.yaml", "/var/log/kubernetes/audit"];
const STRAY: &str = "/etc/kubernetes/manifests/kube-apiserver.backup";
/// The mark in the names of files that an interrupted run leaves.
const TEMPORARY: &str = ".kube-audit-bootstrap";

/// The system calls that get no fault, and why. All other calls of a run are tried.
const LEFT_OUT: [(&str, &str); 21] = [
    ("execve", "strace itself makes it"),
    ("exit_group", "it cannot fail, and a kill there comes after everything else"),
    ("arch_prctl", "libc starts the process"),
    ("set_tid_address", "libc starts the process"),
    ("set_robust_list", "libc starts the process"),
    ("rseq", "libc starts the process"),
    ("prlimit64", "libc starts the process"),
    ("readlink", "libc starts the process: it looks for its own name"),
    ("poll", "Rust starts the process: are the standard streams open?"),
    ("rt_sigaction", "Rust starts the process: a guard of the stack"),
    ("sigaltstack", "Rust starts the process: a guard of the stack"),
    ("sched_getaffinity", "Rust starts the process: a guard of the stack"),
    ("gettid", "it cannot fail"),
    ("geteuid", "it cannot fail"),
    ("getegid", "it cannot fail"),
    ("umask", "it cannot fail"),
    ("getrandom", "a seed for hashes; it touches no file"),
    ("brk", "memory; the number of calls differs from run to run"),
    ("mmap", "memory; the number of calls differs from run to run"),
    ("munmap", "memory; the number of calls differs from run to run"),
    ("mprotect", "memory; the number of calls differs from run to run"),
];

/// The system calls that change nothing on a disk, as the kills show. They can fail only if the disk fails, not if it
/// is full or read-only. The same is true for an `openat` that creates nothing.
const READS: [&str; 14] = [
    "close",
    "fcntl",
    "fgetxattr",
    "flock",
    "fstat",
    "fstatfs",
    "getdents64",
    "ioctl",
    "lseek",
    "newfstatat",
    "openat2",
    "read",
    "readlinkat",
    "statx",
];

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Found {
    /// `st_mode`: the kind and the permissions.
    mode: u32,
    /// `None` for a directory.
    content: Option<Vec<u8>>,
    /// The number of names of a file. It is 0 for a directory, and in a [`Tree`].
    names: u64,
}

/// A node without the program's own files.
type Tree = BTreeMap<String, Found>;

/// Everything in a root directory, with the program's own files.
type State = BTreeMap<String, Found>;

fn state(root: &Path) -> State {
    let found = common::tree(root).into_iter();
    found
        .map(|(path, entry)| {
            let names = if entry.content.is_some() { entry.names } else { 0 };
            (path, Found { mode: entry.mode, content: entry.content, names })
        })
        .collect()
}

/// The node without the program's own files. The parents of their directory may be new; they are no part of the node.
fn tree_of(state: &State) -> Tree {
    let own = |path: &str| path.starts_with(OWN) || ["/var", "/var/lib"].contains(&path);
    let node = state.iter().filter(|(path, _)| !own(path));
    node.map(|(path, found)| (path.clone(), Found { names: 0, ..found.clone() })).collect()
}

fn tree(root: &Path) -> Tree {
    tree_of(&state(root))
}

/// The name of a backup without the marks of an incomplete one.
fn id(name: &str) -> &str {
    name.trim_start_matches('.').trim_end_matches(".partial")
}

fn sets(state: &State) -> impl Iterator<Item = &str> {
    state
        .keys()
        .filter_map(|path| path.strip_prefix(BACKUPS)?.strip_prefix('/'))
        .filter(|name| !name.contains('/'))
}

/// A state without the time of the new backup, the one that is not in `start`. The time is in its name, and in a line
/// of its index.
fn timeless(state: &State, start: &State) -> State {
    let before: HashSet<_> = sets(start).map(id).collect();
    let new: HashSet<_> = sets(state).map(id).filter(|id| !before.contains(id)).collect();
    assert!(new.len() <= 1, "a run made more than one backup: {new:?}");
    let Some(new) = new.into_iter().next() else { return state.clone() };
    let without = |path: &str, found: &Found| {
        let is_index = path.contains(new) && path.ends_with("/index.json");
        let content = found.content.as_ref().map(|bytes| match std::str::from_utf8(bytes) {
            Ok(text) if is_index => {
                let lines = text.lines().filter(|line| !line.contains("\"when\":"));
                lines.map(|line| line.replace(new, "ID") + "\n").collect::<String>().into_bytes()
            }
            _ => bytes.clone(),
        });
        (path.replace(new, "ID"), Found { content, ..found.clone() })
    };
    state.iter().map(|(path, entry)| without(path, entry)).collect()
}

/// A control plane with something to do at every step: a directory and a policy to create, a stray manifest to move,
/// the kubeadm configuration file and the manifest to replace.
fn node(root: &Path) {
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-apiserver\n  namespace: kube-system\nspec:\n  \
                    containers:\n  - command:\n    - kube-apiserver\n    - --secure-port=6443\n    image: \
                    registry.k8s.io/kube-apiserver:v1.31.4\n    name: kube-apiserver\n  hostNetwork: true\n";
    put(root, MANIFEST, manifest, 0o600);
    put(root, STRAY, manifest, 0o600);
    let cluster = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.31.4\n";
    put(root, "/etc/kubernetes/kubeadm-config.yaml", cluster, 0o600);
}

/// In memory if possible: a run flushes each file and directory, and there are thousands of runs.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn succeed(root: &Path, verb: &str, context: &str) {
    let output = Command::new(BINARY).args([verb, "--root"]).arg(root).output().unwrap();
    assert!(output.status.success(), "{context}: {verb}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The log of strace, and the output of the program.
fn trace(root: &Path, verb: &str, options: &[&str]) -> (String, Output) {
    let log = root.with_extension("log");
    let output = strace::output(strace::strace(&log, options).arg(BINARY).args([verb, "--root"]).arg(root));
    let log = fs::read_to_string(log).unwrap_or_else(|_| panic!("strace ran nothing: {output:?}"));
    (log, output)
}

/// A system call of a run, and its number among the calls of the same name.
struct NumberedCall {
    name: String,
    nth: usize,
    line: String,
}

impl NumberedCall {
    fn changes_the_disk(&self) -> bool {
        let opens = self.name == "openat" && !self.line.contains("O_CREAT");
        !opens && !READS.contains(&self.name.as_str())
    }

    /// How the call can fail: the error, its words in a message, and when. An error lasts only if the call changes
    /// something, as on a disk that is full.
    fn errors(&self) -> Vec<(&'static str, &'static str, String)> {
        let once = self.nth.to_string();
        let failing = ("EIO", "I/O error");
        if !self.changes_the_disk() {
            let (error, word) = if self.name == "flock" { ("ENOLCK", "No locks") } else { failing };
            return vec![(error, word, once)];
        }
        let errors = [failing, ("ENOSPC", "No space left"), ("EROFS", "Read-only file system")];
        let twice = |(error, word)| [(error, word, once.clone()), (error, word, format!("{once}+"))];
        errors.into_iter().flat_map(twice).collect()
    }
}

/// A run on a node, which is the same each time.
struct Job {
    verb: &'static str,
    _start: tempfile::TempDir,
    root: PathBuf,
    start: State,
    calls: Vec<NumberedCall>,
    old: Tree,
    end: State,
    new: Tree,
}

impl Job {
    fn new(verb: &'static str, prepare: &dyn Fn(&Path)) -> Job {
        let directory = scratch();
        let root = directory.path().join("root");
        prepare(&root);
        let start = state(&root);
        let old = tree_of(&start);
        let (new, end, calls) = (Tree::new(), State::new(), Vec::new());
        let mut job = Job { verb, _start: directory, root, start, calls, old, end, new };
        let (_directory, copy) = job.copy();
        let (log, output) = trace(&copy, verb, &[]);
        assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
        job.end = timeless(&state(&copy), &job.start);
        job.new = tree(&copy);
        assert!(log.ends_with("+++ exited with 0 +++\n"), "{log}");
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for strace::Call { name, line, .. } in strace::calls(&log) {
            let nth = counts.entry(name.to_owned()).or_default();
            *nth += 1;
            // In a debug build, Rust itself checks whether a descriptor is open.
            let checks = name == "fcntl" && line.contains("F_GETFD");
            if !checks && !LEFT_OUT.iter().any(|(left_out, _)| *left_out == name) {
                job.calls.push(NumberedCall { name: name.to_owned(), nth: *nth, line: line.to_owned() });
            }
        }
        job
    }

    fn apply() -> Job {
        Job::new("apply", &node)
    }

    fn restore() -> Job {
        Job::new("restore", &|root| {
            node(root);
            succeed(root, "apply", "undisturbed");
        })
    }

    /// The node before the run.
    fn copy(&self) -> (tempfile::TempDir, PathBuf) {
        let directory = scratch();
        let root = directory.path().join("root");
        assert!(Command::new("cp").arg("-a").args([&self.root, &root]).status().unwrap().success());
        (directory, root)
    }

    /// The log of strace for a run with a fault in one call.
    fn inject(&self, root: &Path, call: &NumberedCall, what: &str, when: &str) -> (String, Output) {
        let name = &call.name;
        let (traced, inject) = (format!("trace={name}"), format!("inject={name}:{what}:when={when}"));
        let mut options = vec!["-e", &traced, "-e", &inject];
        // strace stops at no other call, which saves half the time; but then it injects no signal.
        if !what.starts_with("signal") {
            options.push("--seccomp-bpf");
        }
        trace(root, self.verb, &options)
    }

    /// Checks that the next run finishes the job, and leaves nothing behind.
    fn finish(&self, root: &Path, context: &str) {
        succeed(root, self.verb, context);
        let after = state(root);
        assert_same(&tree_of(&after), &self.new, &format!("{context}: the next run"));
        assert_eq!(sets(&after).find(|name| id(name) != *name), None, "{context}: the next run");
    }
}

fn each_is_old_or_new(now: &Tree, old: &Tree, new: &Tree, context: &str) {
    for (path, found) in now {
        if path.contains(TEMPORARY) {
            let name = path.rsplit('/').next().unwrap();
            assert!(name.starts_with('.'), "{context}: {path} would be run by the kubelet");
            continue;
        }
        // The mode of a directory is set after the directory is created.
        let same = |tree: &Tree| tree.get(path).is_some_and(|other| other == found || found.content.is_none());
        assert!(same(old) || same(new), "{context}: {path} is neither old nor new");
    }
    for path in old.keys().filter(|path| !now.contains_key(*path)) {
        assert!(!new.contains_key(path), "{context}: {path} is lost");
    }
    let manifest = now.get(MANIFEST).and_then(|found| found.content.as_deref()).unwrap();
    let audits = String::from_utf8_lossy(manifest).contains("--audit-policy-file=");
    let missing = NEEDED.iter().find(|path| audits && !now.contains_key(**path));
    assert_eq!(missing, None, "{context}: the manifest needs it");
}

/// The paths that differ.
fn differing(found: &Tree, expected: &Tree) -> BTreeSet<String> {
    let paths = found.keys().chain(expected.keys());
    paths.filter(|path| found.get(*path) != expected.get(*path)).cloned().collect()
}

/// Like `assert_eq!`, but names the paths that differ instead of printing all files.
fn assert_same(found: &Tree, expected: &Tree, context: &str) {
    let differing = differing(found, expected);
    let modes =
        |tree: &Tree| differing.iter().map(|path| tree.get(path).map(|found| found.mode)).collect::<Vec<_>>();
    let (now, wanted) = (modes(found), modes(expected));
    assert!(differing.is_empty(), "{context}: {differing:?} differ, modes {now:?}, expected {wanted:?}");
}

/// Does a message name a path, or the file that a temporary one is for?
fn is_named(path: &str, message: &str) -> bool {
    let (directory, name) = path.rsplit_once('/').unwrap();
    let named = match name.split_once(TEMPORARY) {
        Some((beside, _)) => format!("{directory}/{}", beside.trim_start_matches('.')),
        None => path.to_owned(),
    };
    message.contains(&format!("{named} ("))
}

fn killed_at_any_system_call(job: &Job, then: &dyn Fn(&Path, &str)) {
    let mut seen = HashSet::new();
    let (mut before, mut last) = (job.start.clone(), None::<&NumberedCall>);
    for call in &job.calls {
        let context = format!("killed at {} {}", call.name, call.nth);
        let (_directory, root) = job.copy();
        let (log, output) = job.inject(&root, call, "signal=KILL", &call.nth.to_string());
        assert!(log.ends_with("+++ killed by SIGKILL +++\n"), "{context}: {output:?}: {log}");
        let after = state(&root);
        each_is_old_or_new(&tree_of(&after), &job.old, &job.new, &context);
        let after = timeless(&after, &job.start);
        let changes = last.is_some_and(NumberedCall::changes_the_disk);
        assert!(
            changes || after == before,
            "{context}: READS has the call before it, but that call changed a file"
        );
        (before, last) = (after.clone(), Some(call));
        if seen.insert(after) {
            job.finish(&root, &context);
            then(&root, &context);
        }
    }
    assert!(before == job.end, "nothing is killed after the last change");
    println!("{}: {} kills, {} states", job.verb, job.calls.len(), seen.len());
}

fn an_error_anywhere(job: &Job) {
    let mut seen = HashSet::new();
    let mut runs = 0;
    for call in &job.calls {
        for (error, word, when) in call.errors() {
            let (_directory, root) = job.copy();
            let (log, output) = job.inject(&root, call, &format!("error={error}"), &when);
            let stderr = String::from_utf8_lossy(&output.stderr);
            let context = format!("{error} from {} {when}: {stderr}", call.name);
            assert!(log.contains("(INJECTED)"), "{context}: nothing was injected: {log}");
            runs += 1;
            let after = state(&root);
            let now = tree_of(&after);
            each_is_old_or_new(&now, &job.old, &job.new, &context);
            // A run that cannot write cannot report that either.
            let says = [" write(1,", " write(2,"].iter().any(|report| call.line.contains(report));
            let mute = says || call.name == "write" && when.ends_with('+');
            assert!(
                !call.changes_the_disk() || mute || stderr.contains(word),
                "{context}: the error is not reported"
            );
            // After a success, all files are durable: the error was in the report, or in the cleanup.
            let failed = !output.status.success();
            assert!(failed || call.name != "flock", "{context}: it ran without the lock");
            let left = differing(&now, if failed { &job.old } else { &job.new });
            for path in &left {
                assert!(is_named(path, &stderr), "{context}: the error does not name {path}");
            }
            if failed {
                assert_eq!(output.status.code(), Some(1), "{context}");
                assert!(!stderr.is_empty() || mute, "{context}: the error is not reported");
                // After one error, all other changes are still undone.
                assert!(left.is_empty() || when.ends_with('+'), "{context}: {left:?} are left");
            } else {
                let is_untidy = |path: &String| {
                    now.get(path).is_some_and(|found| found.content.is_none() || path.contains(TEMPORARY))
                };
                assert!(left.iter().all(is_untidy), "{context}: {left:?} are left");
            }
            if seen.insert(timeless(&after, &job.start)) {
                // The next run also removes a temporary file that this run could not remove.
                job.finish(&root, &context);
            }
        }
    }
    println!("{}: {runs} errors, {} states", job.verb, seen.len());
}

#[test]
#[ignore = "takes seconds, and needs strace: `make test` runs it"]
fn a_run_killed_at_any_system_call_is_finished_by_the_next() {
    let job = Job::apply();
    let mut restored = job.old.clone();
    restored.remove(STRAY);
    killed_at_any_system_call(&job, &|root, context| {
        succeed(root, "restore", context);
        assert_same(&tree(root), &restored, &format!("{context}: restored"));
    });
}

#[test]
#[ignore = "takes seconds, and needs strace: `make test` runs it"]
fn a_restore_killed_at_any_system_call_is_finished_by_the_next() {
    killed_at_any_system_call(&Job::restore(), &|_, _| {});
}

#[test]
#[ignore = "takes seconds, and needs strace: `make test` runs it"]
fn an_error_anywhere_leaves_the_node_as_it_was() {
    an_error_anywhere(&Job::apply());
}

#[test]
#[ignore = "takes seconds, and needs strace: `make test` runs it"]
fn an_error_anywhere_in_a_restore_leaves_the_node_as_it_was() {
    an_error_anywhere(&Job::restore());
}

#[test]
#[ignore = "needs a mount namespace: `make test` runs it"]
fn a_read_only_node_is_told_so_and_can_be_looked_at() {
    let directory = scratch();
    let root = directory.path().join("root");
    node(&root);
    let script =
        "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" && exec \"$2\" \"$3\" --root \"$1\"";
    for (verb, code, message) in
        [("apply", 1, "Read-only file system; mount it read-write"), ("plan", 3, "warning")]
    {
        let mut command = unshare(&["--mount", "sh", "-c", script, "sh"]);
        let output = command.arg(&root).args([BINARY, verb]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{verb}: {stderr}");
        assert!(stderr.contains(message), "{verb}: {stderr}");
    }
}

#[test]
#[ignore = "needs a mount namespace: `make test` runs it"]
fn a_restore_puts_back_what_can_be_and_foresees_what_stands_in_its_way() {
    const LOGS: &str = NEEDED[1];
    let read_only = "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" && shift && exec \"$@\"";
    let mounted = "mount --bind \"$1\" \"$1\" && shift && exec \"$@\"";
    for (script, path, arguments, code, words) in [
        (read_only, LOGS, &["restore", "--dry-run"][..], 3, "its owner and mode do not change"),
        (read_only, LOGS, &["restore"], 0, "its owner and mode do not change"),
        (mounted, MANIFEST, &["restore", "--dry-run"], 3, "unmount it (umount "),
        (mounted, MANIFEST, &["restore"], 1, "unmount it (umount "),
    ] {
        let directory = scratch();
        let root = directory.path().join("root");
        node(&root);
        put(&root, &format!("{LOGS}/audit.log"), "", 0o600);
        let logs = root.join(&LOGS[1..]);
        fs::set_permissions(&logs, fs::Permissions::from_mode(0o755)).unwrap();
        succeed(&root, "apply", "undisturbed");
        let mut command = unshare(&["--mount", "sh", "-c", script, "sh"]);
        let output = command
            .arg(root.join(&path[1..]))
            .arg(BINARY)
            .args(arguments)
            .arg("--root")
            .arg(&root)
            .output()
            .unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{path} {arguments:?}: {said}");
        assert!(said.contains(words), "{path} {arguments:?}: {said}");
        let is_done = code == 0 && arguments.len() == 1;
        assert_eq!(root.join(&NEEDED[0][1..]).exists(), !is_done, "{path} {arguments:?}: {said}");
    }
}

/// A directory where something is mounted can be empty and still not be removed.
#[test]
#[ignore = "needs a mount namespace: `make test` runs it"]
fn a_directory_that_cannot_be_removed_is_told_at_each_try_and_makes_no_backup() {
    let directory = scratch();
    let root = directory.path().join("root");
    node(&root);
    succeed(&root, "apply", "undisturbed");
    let script = "mount -t tmpfs none \"$1/var/log/kubernetes/audit\" && \"$2\" --root \"$1\" restore && \"$2\" --root \
                  \"$1\" restore && \"$2\" --root \"$1\" restore";
    let output = unshare(&["--mount", "sh", "-c", script, "sh"]).arg(&root).arg(BINARY).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let warning =
        "warning: /var/log/kubernetes/audit stays: cannot remove the directory /var/log/kubernetes/audit (";
    assert_eq!(stderr.matches(warning).count(), 3, "{stderr}");
    assert!(!stdout.contains("/var/log/kubernetes/audit: done"), "{stdout}");
    assert_eq!(stdout.matches(" has what this restore replaced").count(), 1, "{stdout}");
    assert!(!stdout.contains("nothing to do"), "{stdout}");
}

/// Many runs of all kinds at once: each ends well, and no text that the program did not write is lost.
#[test]
#[ignore = "takes seconds: `make test` runs it"]
fn two_hundred_runs_at_once_lose_nothing_and_report_nothing_wrong() {
    let directory = scratch();
    let root = directory.path().join("root");
    node(&root);
    let bare = fs::read(root.join(&MANIFEST[1..])).unwrap();
    let verbs = ["apply", "restore", "status", "plan", "restore", "apply", "status", "restore"];
    let mut runs = Vec::new();
    for number in 0..200 {
        let mut command = Command::new(BINARY);
        command.arg(verbs[number % verbs.len()]).arg("--root").arg(&root);
        if ["apply", "restore"].contains(&verbs[number % verbs.len()]) {
            command.args(["--lock-timeout", "300"]);
        }
        let output =
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        runs.push((verbs[number % verbs.len()], output));
        if number == 100 {
            // An administrator saves a policy meanwhile.
            put(&root, "/etc/kubernetes/audit-policy.yaml", MINE, 0o600);
        }
    }
    for (verb, run) in runs {
        let output = run.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let is_said = |words: &str| stderr.contains(words);
        let is_fine = match (verb, output.status.code()) {
            (_, Some(0)) | ("status" | "plan", Some(3)) => true,
            // Nothing was applied yet, or what the administrator wrote bars the way.
            ("restore", Some(1)) => is_said("nothing to restore") || is_said("; nothing was put back: "),
            ("apply", Some(1)) => is_said("meanwhile"),
            _ => false,
        };
        assert!(is_fine, "{verb}: {output:?}");
        assert!(!is_said("can't be read"), "{verb}: {stderr}");
    }
    succeed(&root, "apply", "after all of them");
    let end = state(&root);
    assert_eq!(sets(&end).find(|name| id(name) != *name), None);
    assert!(!end.keys().any(|path| path.contains(TEMPORARY)), "{:?}", end.keys());
    let is_kept = |text: &[u8]| end.values().any(|found| found.content.as_deref() == Some(text));
    assert!(is_kept(MINE.as_bytes()) && is_kept(&bare));
}

const MINE: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Request # a week of work\n";

#[test]
#[ignore = "needs a mount namespace: `make test` runs it"]
fn a_file_that_is_mounted_stays_and_the_plan_foresees_it() {
    const POLICY: &str = NEEDED[0];
    const KUBEADM: &str = "/etc/kubernetes/kubeadm-config.yaml";
    let script = "mount --bind \"$1\" \"$2$3\" && shift 3 && exec \"$@\"";
    let policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Request\n";
    for (path, arguments, code, message) in [
        (POLICY, &["plan"][..], 1, "to keep the policy that is mounted, use --existing keep"),
        (POLICY, &["apply"], 1, "to keep the policy that is mounted, use --existing keep"),
        (POLICY, &["status"], 3, "to keep the policy that is mounted, use --existing keep"),
        (POLICY, &["apply", "--existing", "keep"], 0, ""),
        (MANIFEST, &["plan"], 1, "/etc/kubernetes/manifests/kube-apiserver.yaml), and run this again"),
        (MANIFEST, &["apply"], 1, "a file is mounted here"),
        (STRAY, &["apply"], 1, "/etc/kubernetes/manifests/kube-apiserver.backup), and run this again"),
        (KUBEADM, &["plan", "--kubeadm-config", KUBEADM], 1, "name that with --kubeadm-config"),
        (KUBEADM, &["apply", "--kubeadm-config", KUBEADM], 1, "a file is mounted here"),
        // Nobody named it, and the node belongs to a cluster.
        (KUBEADM, &["apply"], 0, "a file is mounted here, so it cannot be replaced; this file does not change"),
    ] {
        let directory = scratch();
        let (root, outside) = (directory.path().join("root"), directory.path().join("outside"));
        node(&root);
        put(&root, POLICY, policy.replace("Request", "Metadata"), 0o644);
        let mounted =
            if path == POLICY { policy.to_owned() } else { fs::read_to_string(root.join(&path[1..])).unwrap() };
        put(directory.path(), "/outside", &mounted, 0o644);
        let before = tree(&root);
        let mut command = unshare(&["--mount", "sh", "-c", script, "sh"]);
        command.args([&outside, &root]).arg(path).arg(BINARY).args(arguments).arg("--root").arg(&root);
        let output = command.output().unwrap();
        let (context, stderr) = (format!("{path} {arguments:?}"), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{context}: {stderr}");
        assert!(stderr.contains(message), "{context}: {stderr}");
        assert_eq!(fs::read_to_string(&outside).unwrap(), mounted, "{context}");
        let mut after = tree(&root);
        after.retain(|name, _| !name.starts_with("/var"));
        let mut before = before;
        before.retain(|name, _| !name.starts_with("/var"));
        assert_eq!(after == before, code != 0, "{context}");
    }
}
