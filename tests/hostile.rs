//! Broken and hostile input gives a clear error of one line, within one second of processor time and 50 MB of address
//! space, and the node does not change.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use common::{BINARY, strace, tree};

const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const KUBEADM: &str = "/run/kubeadm/kubeadm.yaml";
const CONFIG: &str = "/etc/kube-audit-bootstrap/config.yaml";
const POLICY: &str = "/etc/kubernetes/audit-policy.yaml";

const GOOD_MANIFEST: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-apiserver\nspec:\n  containers:\n  - \
                             name: kube-apiserver\n    command:\n    - kube-apiserver\n    image: \
                             kube-apiserver:v1.31.4\n";
const GOOD_KUBEADM: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";

fn put(root: &Path, path: &str, bytes: &[u8]) {
    common::put(root, path, bytes, 0o644);
}

fn link(root: &Path, path: &str, target: &Path) {
    let path = root.join(&path[1..]);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(target, path).unwrap();
}

/// Runs the binary with 50 MB of address space, of which only a part is resident, and one second of processor time.
/// The kernel kills a program that needs more, however busy the machine is.
fn run(root: &Path, arguments: &[&str]) -> Output {
    Command::new("sh")
        .args(["-c", "ulimit -v 50000 && ulimit -t 1 && exec \"$@\"", "sh", BINARY])
        .args(arguments)
        .arg("--root")
        .arg(root)
        .env_remove("RUST_LOG")
        .env_remove("JOURNAL_STREAM")
        .output()
        .unwrap()
}

/// Checks that `apply` refuses the node, and returns its message.
fn refused(name: &str, root: &Path) -> String {
    let before = tree(root);
    let output = run(root, &["apply"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{name}: {:?} {stderr}", output.status);
    let lines: Vec<_> = stderr.lines().collect();
    assert!(lines.iter().all(|line| line.starts_with("error: ")) && lines.len() == 1, "{name}: {stderr}");
    assert!(lines[0].len() < 400, "{name}: {stderr}");
    assert_eq!(tree(root), before, "{name}: the node changed");
    stderr
}

fn contents() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let bomb: String = (0..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
        text + &format!("a{}: &a{} [*a{n}, *a{n}]\n", n + 1, n + 1)
    });
    let wide = format!("a: &a [{}]\nb: [{}]\n", "x, ".repeat(2000), "*a, ".repeat(2000));
    vec![
        ("binary", (0..=255).cycle().take(5000).collect(), "this is no text file"),
        ("half a character", b"apiVersion: v1 # \xe2\x82".to_vec(), "1:18: this is no text file"),
        ("a NUL byte", b"apiVersion: v1\nkind: Pod\0\n".to_vec(), "2:10: this is no text file"),
        ("cut off", b"apiVersion: v1\nspec: {containers: [{name: \"kube".to_vec(), "not YAML"),
        ("tabs", b"apiVersion: v1\n\tkind: Pod\n".to_vec(), "2:1: not YAML"),
        (
            "duplicate keys",
            b"apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkind: ClusterConfiguration\n"
                .to_vec(),
            "3:1: the key \"kind\" is there twice",
        ),
        ("deep brackets", vec![b'['; 100_000], "nested more than"),
        (
            "deep blocks",
            (0..200).map(|n| format!("{:n$}a:\n", "")).collect::<String>().into_bytes(),
            "nested more than",
        ),
        ("an alias bomb", bomb.into_bytes(), "more than 100000 values"),
        ("a wide alias bomb", wide.into_bytes(), "more than 100000 values"),
        ("many values", "- a\n".repeat(200_000).into_bytes(), "more than 100000 values"),
        ("an undefined alias", b"kind: *nothing\n".to_vec(), "1:7: the alias *nothing"),
        ("control characters", b"kind: \x07\n".to_vec(), "1:7: not YAML"),
        ("a megabyte and more", vec![b'#'; 1_100_000], "1048576"),
    ]
}

#[test]
fn broken_files_are_refused_wherever_they_lie() {
    for (name, bytes, message) in contents() {
        for path in [MANIFEST, KUBEADM, CONFIG] {
            let directory = tempfile::tempdir().unwrap();
            put(directory.path(), path, &bytes);
            let stderr = refused(&format!("{name} at {path}"), directory.path());
            assert!(stderr.contains(message) && stderr.contains(path), "{name} at {path}: {stderr}");
        }
        let directory = tempfile::tempdir().unwrap();
        let config = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\n\
                      policy: {source: /p}\n";
        put(directory.path(), CONFIG, config.as_bytes());
        put(directory.path(), "/p", &bytes);
        let stderr = refused(&format!("{name} as policy"), directory.path());
        assert!(stderr.contains(message), "{name} as policy: {stderr}");
    }
}

#[test]
fn a_file_of_100_mb_is_not_read() {
    for path in [MANIFEST, KUBEADM, CONFIG, POLICY] {
        let directory = tempfile::tempdir().unwrap();
        put(directory.path(), path, b"");
        fs::File::options()
            .write(true)
            .open(directory.path().join(&path[1..]))
            .unwrap()
            .set_len(100_000_000)
            .unwrap();
        assert!(refused(path, directory.path()).contains("100000000"));
    }
}

#[test]
fn what_is_no_file_is_refused() {
    for path in [MANIFEST, KUBEADM, CONFIG, POLICY] {
        for (name, message) in [
            ("directory", "is a directory, not a regular file"),
            ("fifo", "is a FIFO, not a regular file"),
            ("dangling", "is a symbolic link to nothing"),
            ("loop", "circle"),
            ("outside", "is a symbolic link to nothing"),
            ("dots", "is a symbolic link to nothing"),
            ("not a parent", "should be a directory"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let outside = directory.path().join("outside.yaml");
            fs::write(&outside, GOOD_MANIFEST).unwrap();
            let root = directory.path().join("root");
            let at = root.join(&path[1..]);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            match name {
                // An empty one can stand in for a policy that was missing.
                "directory" => fs::create_dir_all(at.join("inner")).unwrap(),
                "fifo" => assert!(Command::new("mkfifo").arg(&at).status().unwrap().success()),
                "dangling" => link(&root, path, Path::new("/nowhere")),
                "loop" => link(&root, path, at.file_name().unwrap().as_ref()),
                "outside" => link(&root, path, &outside),
                "dots" => link(&root, path, Path::new("../../../../../../../../outside.yaml")),
                _ => {
                    fs::remove_dir(at.parent().unwrap()).unwrap();
                    fs::write(at.parent().unwrap(), "").unwrap();
                }
            }
            let stderr = refused(&format!("{name} at {path}"), &root);
            let is_setting = name == "directory" && stderr.contains("policy.path names this directory");
            assert!(is_setting || stderr.contains(message), "{name} at {path}: {stderr}");
            assert_eq!(fs::read_to_string(&outside).unwrap(), GOOD_MANIFEST);
        }
    }
}

#[test]
fn a_log_directory_that_leads_out_is_refused() {
    for name in ["/var", "/var/log", "/var/log/kubernetes", "/var/log/kubernetes/audit"] {
        let directory = tempfile::tempdir().unwrap();
        let (root, outside) = (directory.path().join("root"), directory.path().join("outside"));
        fs::create_dir(&outside).unwrap();
        put(&root, MANIFEST, GOOD_MANIFEST.as_bytes());
        link(&root, name, &outside);
        refused(name, &root);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }
}

#[test]
fn a_link_inside_the_root_is_followed_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    put(root, "/data/kubernetes/kube-apiserver.yaml", GOOD_MANIFEST.as_bytes());
    put(root, "/data/kubeadm.yaml", GOOD_KUBEADM.as_bytes());
    link(root, MANIFEST, Path::new("/data/kubernetes/kube-apiserver.yaml"));
    link(root, KUBEADM, Path::new("../../data/kubeadm.yaml"));
    let output = run(root, &["apply"]);
    assert!(output.status.success(), "{output:?}");
    for (path, target) in [(MANIFEST, "data/kubernetes/kube-apiserver.yaml"), (KUBEADM, "data/kubeadm.yaml")] {
        assert!(fs::symlink_metadata(root.join(&path[1..])).unwrap().is_symlink(), "{path}");
        assert!(fs::read_to_string(root.join(target)).unwrap().contains("audit-log-path"), "{target}");
    }
}

#[test]
fn an_empty_file_is_no_manifest_and_no_policy() {
    for text in ["", "\n", "# nothing\n", "---\n"] {
        let directory = tempfile::tempdir().unwrap();
        put(directory.path(), MANIFEST, text.as_bytes());
        refused(&format!("{text:?}"), directory.path());
        let output = run(directory.path(), &["policy", "check", "/dev/null"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
}

/// A directory of this user, for whom the kernel has no name.
const USER: u32 = 20_000;

fn give(root: &Path, path: &str, mode: u32) {
    let path = root.join(&path[1..]);
    fs::create_dir_all(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    chown(&path, Some(0), Some(USER)).unwrap();
}

#[test]
#[ignore = "needs root: `make test` runs it"]
fn a_link_is_followed_where_only_root_can_have_made_it() {
    let config = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\n";
    for (name, at, target, mode, owner, is_followed) in [
        ("the log's directory", "/var/log/x", "/etc/cron.hourly", 0o775, USER, false),
        ("a directory above it", "/var/log", "/etc/cron.hourly", 0o775, USER, false),
        ("where everybody may write", "/var/log/x", "/etc/cron.hourly", 0o1777, USER, false),
        ("root's own link", "/var/log/x", "/srv/logs", 0o775, 0, true),
        ("root's own directory", "/var/log/x", "/srv/logs", 0o755, USER, true),
        ("a kubeadm file", KUBEADM, "/etc/target", 0o775, USER, false),
        ("its directory", "/run/kubeadm", "/etc/kubeadm-files", 0o775, USER, false),
        ("root's own kubeadm file", KUBEADM, "/etc/target", 0o775, 0, true),
        ("the policy", POLICY, "/etc/target", 0o775, USER, false),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        put(root, CONFIG, format!("{config}log: {{path: /var/log/x/audit.log}}\n").as_bytes());
        for directory in ["/etc/cron.hourly", "/srv/logs"] {
            fs::create_dir_all(root.join(&directory[1..])).unwrap();
        }
        for file in ["/etc/target", "/etc/kubeadm-files/kubeadm.yaml"] {
            put(root, file, GOOD_KUBEADM.as_bytes());
        }
        let manifest = GOOD_MANIFEST.replace("spec:\n", "spec:\n  securityContext: {runAsUser: 65000}\n");
        put(root, MANIFEST, manifest.as_bytes());
        give(root, &at[..at.rfind('/').filter(|at| *at > 0).unwrap_or(at.len())], mode);
        link(root, at, Path::new(target));
        lchown(root.join(&at[1..]), Some(owner), Some(owner)).unwrap();
        let before = tree(root);
        let is_kubeadm = at.starts_with("/run");
        let output = run(root, if is_kubeadm { &["apply", "--kubeadm-config", KUBEADM] } else { &["apply"] });
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), is_followed, "{name}: {stderr}");
        if !is_followed {
            assert!(stderr.contains("is a symbolic link of user 20000"), "{name}: {stderr}");
            assert_eq!(tree(root), before, "{name}: the node changed");
        }
        assert_eq!(fs::metadata(root.join("etc/cron.hourly")).unwrap().uid(), 0, "{name}");
    }
}

/// Runs `apply` on a user's kubeadm file, and swaps its directory with a link of the user's where the run makes this
/// system call for the `number`th time. `None` if the run doesn't get there; otherwise its output.
fn swapped_at(call: &str, number: usize) -> Option<Output> {
    let directory = tempfile::tempdir().unwrap();
    let (root, trace) = (directory.path().join("root"), directory.path().join("trace"));
    put(&root, "/etc/target", b"root's own");
    put(&root, "/home/u/d/target", GOOD_KUBEADM.as_bytes());
    link(&root, "/home/u/evil", Path::new("../../etc"));
    for path in ["home/u", "home/u/d", "home/u/d/target", "home/u/evil"] {
        lchown(root.join(path), Some(USER), Some(USER)).unwrap();
    }
    let before = tree(&root)["/etc/target"].clone();
    let injection = format!("inject={call}:signal=STOP:when={number}");
    let mut command = strace::strace(&trace, &["-e", &format!("trace={call}"), "-e", &injection]);
    command.arg(BINARY).args(["apply", "--kubeadm-config", "/home/u/d/target", "--root"]).arg(&root);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let process = loop {
        let text = fs::read_to_string(&trace).unwrap_or_default();
        if let Some(line) = text.lines().find(|line| line.contains("stopped by SIGSTOP")) {
            break line.split(' ').next().unwrap().to_owned();
        }
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        thread::sleep(Duration::from_millis(1));
    };
    let swap = |from: &str, to: &str| fs::rename(root.join(from), root.join(to)).unwrap();
    swap("home/u/d", "home/u/own");
    swap("home/u/evil", "home/u/d");
    assert!(Command::new("kill").args(["-CONT", &process]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let after = tree(&root);
    assert_eq!(after["/etc/target"], before, "{call} {number}: {output:?}");
    assert_eq!(fs::read_dir(root.join("etc")).unwrap().filter(is_left).count(), 0, "{call} {number}: {output:?}");
    Some(output)
}

/// Whether a file in `/etc` was left there by a run.
fn is_left(entry: &std::io::Result<fs::DirEntry>) -> bool {
    entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".target")
}

#[test]
#[ignore = "takes seconds, and needs root and strace: `make test` runs it"]
fn a_directory_that_becomes_a_link_at_any_moment_leads_to_no_file_of_roots() {
    let (mut refused, mut edited) = (0, 0);
    for call in ["openat", "openat2", "fstat", "readlinkat", "linkat", "unlinkat", "renameat", "fchown", "fsync"] {
        for number in 1.. {
            match swapped_at(call, number) {
                Some(output) if output.status.success() => edited += 1,
                Some(_) => refused += 1,
                None => break,
            }
        }
    }
    // Before the look at the file, it is refused; when the directory is held, the user's own file is edited.
    assert!(refused > 20 && edited > 5, "{refused} {edited}");
}

/// The API server could not write its log there, or root would open what somebody else has made.
#[test]
fn what_cannot_be_the_log_is_refused() {
    let me = nix::unistd::geteuid().as_raw();
    for (what, user, message) in [
        ("directory", "", "this is a directory, and the API server needs a file here; name a file in it"),
        ("fifo", "", "this is a FIFO, and the API server needs a file here; set log.path to another file"),
        ("link", "", "this file has a second name (a hard link), and others than root can write to its directory"),
        (
            "other",
            "  securityContext: {runAsUser: 4321}\n",
            "the API server runs as the user 4321, who can't write",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        put(root, MANIFEST, format!("{GOOD_MANIFEST}{user}").as_bytes());
        let logs = root.join("var/log/kubernetes/audit");
        fs::create_dir_all(&logs).unwrap();
        let log = logs.join("audit.log");
        match what {
            "directory" => fs::create_dir(&log).unwrap(),
            "fifo" => nix::unistd::mkfifo(&log, nix::sys::stat::Mode::S_IRUSR).unwrap(),
            "link" => {
                put(root, "/etc/shadow", b"x");
                fs::hard_link(root.join("etc/shadow"), &log).unwrap();
                fs::set_permissions(&logs, fs::Permissions::from_mode(0o777)).unwrap();
            }
            _ => {
                put(root, "/var/log/kubernetes/audit/notes", b"x");
                put(
                    root,
                    "/var/log/kubernetes/audit/audit.log",
                    b"{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\"}\n",
                );
                fs::set_permissions(&logs, fs::Permissions::from_mode(0o700)).unwrap();
                // An ordinary user can't give its files to another one.
                if me != 0 {
                    continue;
                }
            }
        }
        let before = tree(root);
        let output = run(root, &["apply"]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}: {stderr}");
        assert!(stderr.contains(message), "{what}: {stderr}");
        assert_eq!(tree(root), before, "{what}");
    }
}
