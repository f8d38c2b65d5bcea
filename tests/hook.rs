//! The hook: the binary under the name `kubeadm`, before a script that stands for the real one.
//!
//! kubeadm's own `--rootfs` aims it at a scratch root.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{BINARY, Tree, put, unshare};

const GUARD: &str = "KUBE_AUDIT_BOOTSTRAP_HOOK";
/// A path that no machine has, so that a hook that went to `/` would find nothing.
const FILE: &str = "/hook-test/kubeadm.yaml";
const CONFIG: &str = "/etc/kube-audit-bootstrap/config.yaml";
const INIT: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.33.1\n";
/// Says how it was called, and what there was in kubeadm's file by then.
const REAL: &str = "echo \"args: $*\"\necho \"guard: $KUBE_AUDIT_BOOTSTRAP_HOOK\"\necho \"mine: $MINE\"\n\
                    echo \"edited: $(grep -c audit-policy-file \"$EDITED\")\"\necho \"stdin: $(cat)\"\nexit 7\n";

struct Node {
    directory: tempfile::TempDir,
}

impl Node {
    /// A root with a kubeadm file, the hook, and a shell script as the real kubeadm.
    fn new(file: &str, real: &str) -> Node {
        let node = Node { directory: tempfile::tempdir().unwrap() };
        node.put(FILE, file);
        fs::create_dir(node.at("hook")).unwrap();
        symlink(BINARY, node.at("hook/kubeadm")).unwrap();
        put(node.directory.path(), "/real/kubeadm", format!("#!/bin/sh\n{real}"), 0o755);
        node
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where a file of the root is.
    fn on_host(&self, path: &str) -> PathBuf {
        self.at("root").join(&path[1..])
    }

    fn put(&self, path: &str, text: &str) {
        put(&self.at("root"), path, text, 0o644);
    }

    /// `kubeadm`, on the root.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.at("hook/kubeadm"));
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{}:{path}", self.at("hook").display(), self.at("real").display());
        command.arg("--rootfs").arg(self.at("root")).args(arguments).stdin(Stdio::null());
        command.env("PATH", path).env("MINE", "kept").env("EDITED", self.on_host(FILE));
        command.env_remove(GUARD).env_remove("RUST_LOG").env_remove("JOURNAL_STREAM");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What the real kubeadm says where it is called with these arguments.
    fn real_says(&self, arguments: &[&str], guard: &str, edited: &str) -> String {
        format!(
            "args: --rootfs {} {}\nguard: {guard}\nmine: kept\nedited: {edited}\nstdin: \n",
            self.at("root").display(),
            arguments.join(" ")
        )
    }

    /// Everything in the root, with inodes and times.
    fn tree(&self) -> Tree {
        common::tree(&self.at("root"))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a program with this `PATH`, outside of which the hook finds no kubeadm. If this machine has one, it is hidden
/// behind an empty file in a mount namespace. It is an error if none can be made.
fn without_kubeadm(path: &str, empty: &Path, command: &Command) -> Output {
    let usual = ["/usr/bin/kubeadm", "/usr/local/bin/kubeadm", "/opt/bin/kubeadm"];
    let there: Vec<_> = usual.into_iter().filter(|path| Path::new(path).exists()).collect();
    let script = "set -e; path=$1 empty=$2; shift 2\n\
                  while [ \"$1\" != -- ]; do mount --bind \"$empty\" \"$1\"; shift; done\n\
                  shift; PATH=$path; exec \"$@\"";
    let mut shell = if there.is_empty() { Command::new("sh") } else { unshare(&["--mount", "sh"]) };
    shell.args(["-c", script, "sh", path]).arg(empty).args(there).arg("--");
    shell.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.env("PATH", std::env::var_os("PATH").unwrap()).output().unwrap()
}

#[test]
fn init_is_prepared_and_then_is_kubeadms_own() {
    let node = Node::new(INIT, REAL);
    let arguments = ["init", "--config=/hook-test/kubeadm.yaml", "--skip-token-print", "--v=6"];
    let output = node.run(&arguments);
    let stderr = text(&output.stderr);
    assert_eq!(text(&output.stdout), node.real_says(&arguments, "1", "1"), "{stderr}");
    assert_eq!(output.status.code(), Some(7));
    // Who isn't root is warned first.
    let not_root = usize::from(!nix::unistd::geteuid().is_root());
    assert_eq!(stderr.matches("warning: not run as root: ").count(), not_root, "{stderr}");
    assert!(stderr.lines().skip(not_root).all(|line| line.starts_with("kube-audit-bootstrap: ")), "{stderr}");
    for done in ["a first boot", "policy    create /etc/kubernetes/audit-policy.yaml", "to undo: "] {
        assert!(stderr.contains(done), "{stderr}");
    }
    let policy = fs::metadata(node.on_host("/etc/kubernetes/audit-policy.yaml")).unwrap();
    assert_eq!(policy.mode() & 0o7777, 0o600);

    // What apply does: there is nothing left for it, and nothing for a second call.
    let root = node.at("root");
    let plan = Command::new(BINARY).args(["plan", "--kubeadm-config", FILE, "--root"]).arg(root).output().unwrap();
    assert_eq!(plan.status.code(), Some(0), "{plan:?}");
    let before = node.tree();
    let output = node.run(&["init", "--config", FILE]);
    assert_eq!(output.status.code(), Some(7));
    assert!(text(&output.stderr).contains("nothing to do"), "{output:?}");
    assert_eq!(node.tree(), before);
}

#[test]
fn stdin_the_mask_and_signals_are_kubeadms() {
    let node = Node::new(INIT, &format!("[ -z \"$DIE\" ] || kill -TERM $$\necho \"umask: $(umask)\"\n{REAL}"));
    fs::write(node.at("in"), "token").unwrap();
    let stdin = || fs::File::open(node.at("in")).unwrap();
    let mut masked = Command::new("sh");
    let hook = node.command(&["init", "--config", FILE]);
    masked.args(["-c", "umask 027; exec \"$@\"", "sh"]).arg(hook.get_program()).args(hook.get_args());
    masked.envs(hook.get_envs().filter_map(|(name, value)| Some((name, value?)))).env_remove(GUARD);
    let output = masked.stdin(stdin()).output().unwrap();
    let stdout = text(&output.stdout);
    assert!(stdout.contains("umask: 0027\n") && stdout.contains("stdin: token\n"), "{output:?}");
    let status = node.command(&["init", "--config", FILE]).env("DIE", "1").output().unwrap().status;
    assert_eq!(status.signal(), Some(15));
}

#[test]
fn the_configuration_is_respected() {
    let node = Node::new(INIT, REAL);
    node.put(
        CONFIG,
        "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\nlog: {maxAge: 7}\n",
    );
    // Relative to the root, where kubeadm goes with --rootfs.
    assert_eq!(node.run(&["init", "--config", "./hook-test/kubeadm.yaml"]).status.code(), Some(7));
    let edited = fs::read_to_string(node.on_host(FILE)).unwrap();
    assert!(edited.contains("audit-log-maxage\n    value: \"7\""), "{edited}");
}

#[test]
fn joins_are_prepared_by_their_role() {
    let join = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n";
    // The documents for init do not count in a join.
    let worker = format!("{INIT}---\n{join}");
    let control_plane = format!("{INIT}---\n{join}controlPlane: {{}}\n");
    for (file, prepared) in [
        (join.to_owned(), false),
        (format!("{join}controlPlane: {{}}\n"), true),
        (worker, false),
        (control_plane, true),
    ] {
        let node = Node::new(&file, REAL);
        let arguments = ["join", "--config", FILE];
        let output = node.run(&arguments);
        assert_eq!(text(&output.stdout), node.real_says(&arguments, "1", "0"), "{output:?}");
        assert_eq!(output.status.code(), Some(7));
        assert_eq!(node.on_host("/etc/kubernetes/audit-policy.yaml").exists(), prepared, "{output:?}");
        assert_eq!(fs::read_to_string(node.on_host(FILE)).unwrap(), file);
    }
}

/// In kind's file the JoinConfiguration alone tells a worker, but not to who calls `init`.
#[test]
fn init_makes_a_control_plane_whatever_else_is_in_the_file() {
    let node = Node::new(INIT, REAL);
    let file = format!("{INIT}---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n");
    node.put("/kind/kubeadm.conf", &file);
    for (verb, prepared) in [("join", false), ("init", true)] {
        let output = node.run(&[verb, "--config", "/kind/kubeadm.conf"]);
        assert_eq!(output.status.code(), Some(7), "{output:?}");
        let now = fs::read_to_string(node.on_host("/kind/kubeadm.conf")).unwrap();
        assert_eq!(now.contains("audit-policy-file"), prepared, "{output:?}");
    }
}

/// kubespray makes manifests by this phase alone.
#[test]
fn a_phase_that_writes_the_manifest_is_prepared() {
    let node = Node::new(INIT, REAL);
    let arguments = ["init", "phase", "control-plane", "apiserver", "--config", FILE];
    let output = node.run(&arguments);
    assert_eq!(text(&output.stdout), node.real_says(&arguments, "1", "1"), "{output:?}");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn what_makes_no_node_is_kubeadms_alone() {
    let node = Node::new(INIT, REAL);
    let before = node.tree();
    for arguments in [
        &["version"][..],
        &["reset", "--config", FILE],
        &["join", "10.0.0.1:6443"],
        &["upgrade", "plan"],
        &["init", "phase", "control-plane", "scheduler", "--config", FILE],
        &["join", "phase", "preflight", "--config", FILE],
        &["init", "--config", FILE, "--dry-run"],
        &["init", "--config", FILE, "--help"],
        &["-h"],
    ] {
        let output = node.run(arguments);
        assert_eq!(text(&output.stdout), node.real_says(arguments, "1", "0"));
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(7), ""), "{arguments:?}");
    }
    assert_eq!(node.tree(), before);
}

/// The directory that the real kubeadm was given with `--patches=`, in the root.
fn patches(node: &Node, output: &Output) -> PathBuf {
    let stdout = text(&output.stdout);
    let last = stdout.lines().next().unwrap().rsplit(' ').next().unwrap().to_owned();
    node.on_host(last.strip_prefix("--patches=").unwrap_or_else(|| panic!("{output:?}")))
}

#[test]
fn init_without_a_file_gets_the_settings_as_a_patch() {
    let node = Node::new(INIT, REAL);
    // In one of the usual places: kubeadm doesn't read it now.
    node.put("/etc/kubernetes/kubeadm.yaml", INIT);
    node.put("/p/kube-apiserver.yaml", "spec: {priority: 1}\n");
    for given in [&[][..], &["--patches", "/p"]] {
        let output = node.run(&[&["init", "--kubernetes-version", "v1.33.1"], given].concat());
        assert_eq!(output.status.code(), Some(7), "{output:?}");
        let directory = patches(&node, &output);
        let patch = fs::read_to_string(directory.join("1-audit/kube-apiserver+json.json")).unwrap();
        assert!(patch.contains("--audit-policy-file=/etc/kubernetes/audit-policy.yaml"), "{patch}");
        let theirs = fs::read_to_string(directory.join("2-given/kube-apiserver.yaml"));
        assert_eq!(theirs.ok().as_deref(), (!given.is_empty()).then_some("spec: {priority: 1}\n"));
        assert_eq!(fs::metadata(directory).unwrap().mode() & 0o7777, 0o700);
        assert!(
            text(&output.stderr).contains("a first boot, before kubeadm init; Kubernetes 1.33 "),
            "{output:?}"
        );
    }
    assert!(node.on_host("/etc/kubernetes/audit-policy.yaml").exists());
    assert!(node.on_host("/var/log/kubernetes/audit").is_dir());
    assert_eq!(fs::read_to_string(node.on_host("/etc/kubernetes/kubeadm.yaml")).unwrap(), INIT);
}

#[test]
fn a_worker_joins_whatever_the_configuration_is() {
    let cluster = format!("{INIT}---\n");
    for (other, control_plane, code) in
        [("", "", 7), ("", "controlPlane: {}\n", 2), (&cluster, "", 7), (&cluster, "controlPlane: {}\n", 2)]
    {
        let file = format!("{other}apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n{control_plane}");
        let node = Node::new(&file, REAL);
        node.put(CONFIG, "apiVersion: none\n");
        let output = node.run(&["join", "--config", FILE]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let goes_on = text(&output.stderr)
            .contains("kubeadm join starts all the same, because a worker needs no preparation");
        assert_eq!(goes_on, code == 7, "{output:?}");
    }
}

/// kubeadm judges its own file.
#[test]
fn a_join_stops_only_if_it_makes_a_control_plane_for_sure() {
    let join = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n";
    let twice = "---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\na: 1\na: 2\n";
    for (file, code) in [
        (format!("{join}{twice}"), 7),
        (format!("{join}---\n# nothing\n"), 7),
        (format!("{join}a: [\n"), 7),
        (format!("{join}controlPlane: {{}}\na: [\n"), 1),
        (format!("{join}controlPlane: {{}}\n---\n# nothing\n"), 1),
    ] {
        let node = Node::new(&file, REAL);
        let output = node.run(&["join", "--config", FILE]);
        assert_eq!(output.status.code(), Some(code), "{file} {output:?}");
    }
    let node = Node::new("", REAL);
    fs::create_dir(node.on_host("/hook-test/unreadable")).unwrap();
    let output = node.run(&["join", "--config", "/hook-test/unreadable"]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert!(text(&output.stderr).contains("kubeadm join starts all the same"), "{output:?}");
}

#[test]
fn a_webhook_must_be_there_when_kubeadm_starts() {
    let node = Node::new(INIT, REAL);
    node.put(
        CONFIG,
        "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\n\
         webhook: {configFile: /etc/w.yaml}\n",
    );
    for arguments in [&["init"][..], &["init", "--config", FILE]] {
        let output = node.run(arguments);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
        assert!(
            text(&output.stderr).contains(
                "webhook.configFile is /etc/w.yaml, which does not exist, and the API server would not start"
            ),
            "{output:?}"
        );
    }
}

#[test]
fn a_user_that_kubeadm_draws_is_refused() {
    for (gates, is_refused) in [
        ("RootlessControlPlane=true", true),
        ("RootlessControlPlane=1", true),
        ("A=false, RootlessControlPlane = True", true),
        ("RootlessControlPlane=true,RootlessControlPlane=false", false),
        ("RootlessControlPlane=false", false),
        ("NotRootlessControlPlane=true", false),
    ] {
        let node = Node::new(INIT, REAL);
        let before = node.tree();
        let output = node.run(&["init", "--feature-gates", gates]);
        let told = text(&output.stderr).contains("--feature-gates: with RootlessControlPlane");
        assert_eq!((told, node.tree() == before), (is_refused, is_refused), "{gates}: {output:?}");
        assert_eq!(output.status.code() == Some(1) && output.stdout.is_empty(), is_refused, "{gates}: {output:?}");
    }
}

#[test]
fn patches_with_which_the_api_server_would_not_audit_are_refused() {
    let patch = "[{op: add, path: /spec/containers/0/command/-, value: --audit-log-maxage=1}]\n";
    let fault = "/p/deep/kube-apiserver+json.json:1:2: with this patch, the API server has --audit-log-maxage=1,";
    let named = format!(
        "{INIT}---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\npatches: {{directory: /p}}\n"
    );
    let joins = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ncontrolPlane: {}\npatches: {directory: /p}\n";
    for (file, arguments) in [
        (INIT, &["init", "--patches=/p"][..]),
        (&named, &["init", "--config", FILE]),
        (&named.replace("/p}", "p}"), &["init", "--config", FILE]),
        (joins, &["join", "--config", FILE]),
        (INIT, &["join", "10.0.0.1:6443", "--control-plane", "--patches=/p"]),
    ] {
        let node = Node::new(file, REAL);
        node.put("/p/deep/kube-apiserver+json.json", patch);
        let before = node.tree();
        let output = node.run(arguments);
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{arguments:?} {stderr}");
        assert!(stderr.contains(fault), "{arguments:?} {stderr}");
        assert_eq!(node.tree(), before, "{arguments:?}");
    }
}

/// kubeadm refuses most options beside `--config`. It says so on a node that is as it was.
#[test]
fn what_kubeadm_refuses_changes_nothing() {
    let upgrade = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: UpgradeConfiguration\n";
    let joins = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ncontrolPlane: {}\n";
    let manifest = "/etc/kubernetes/manifests/kube-apiserver.yaml";
    let running = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: kube-apiserver\n    image: a\n    \
                   command: [kube-apiserver]\n";
    for (file, arguments, is_prepared) in [
        (INIT, &["init", "--config", FILE, "--patches", "/p"][..], false),
        (INIT, &["init", "phase", "control-plane", "apiserver", "--config", FILE, "--patches", "/p"], false),
        (joins, &["join", "--config", FILE, "--control-plane"], false),
        // Until 1.30, an upgrade reads the documents of `init`, with any options.
        (INIT, &["upgrade", "apply", "--config", FILE, "--patches", "/p"], true),
        (upgrade, &["upgrade", "apply", "--config", FILE, "--patches", "/p"], false),
        (upgrade, &["upgrade", "node", "--config", FILE, "--etcd-upgrade=false"], false),
        (upgrade, &["upgrade", "apply", "--config", FILE, "--yes"], true),
    ] {
        let node = Node::new(file, REAL);
        node.put("/p/kube-apiserver+json.json", "[{op: remove, path: /spec/volumes}]\n");
        if arguments[0] == "upgrade" {
            node.put(manifest, running);
        }
        let before = node.tree();
        let output = node.run(arguments);
        assert_eq!(text(&output.stdout), node.real_says(arguments, "1", "0"), "{output:?}");
        assert_eq!(
            (output.status.code(), node.tree() != before),
            (Some(7), is_prepared),
            "{arguments:?} {output:?}"
        );
        assert_eq!(output.stderr.is_empty(), !is_prepared, "{arguments:?} {output:?}");
    }
}

/// A file that cannot be replaced, because of its own attribute or that of its directory, becomes a copy, too.
#[test]
fn a_file_that_cannot_be_replaced_becomes_a_copy() {
    for (change, locked) in [("i", FILE), ("a", FILE), ("i", "/hook-test"), ("a", "/hook-test")] {
        let node = Node::new(INIT, REAL);
        let chattr = |sign: &str| {
            let output = Command::new("chattr").arg(format!("{sign}{change}")).arg(node.on_host(locked)).output();
            output.is_ok_and(|output| output.status.success())
        };
        if !chattr("+") {
            println!("NOT RUN: chattr +{change} does not work here");
            return;
        }
        let output = node.run(&["init", "--config", FILE]);
        assert!(chattr("-"));
        assert_eq!(output.status.code(), Some(7), "{change} {locked}: {output:?}");
        assert_eq!(fs::read_to_string(node.on_host(FILE)).unwrap(), INIT);
        let said = text(&output.stdout);
        let copy = said.lines().next().and_then(|line| line.split_once(" --config=/run/")).map(|(_, path)| path);
        let copy = fs::read_to_string(node.on_host(&format!("/run/{}", copy.unwrap_or_default()))).unwrap();
        assert!(copy.contains("audit-policy-file"), "{copy}");
    }
}

#[test]
fn an_upgrade_warns_of_its_patches() {
    let patch = "- {op: remove, path: /spec/volumes}\n";
    let configuration =
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: UpgradeConfiguration\napply: {patches: {directory: /p}}\n";
    let relative = configuration.replace("/p", "p");
    for (configuration, arguments) in [
        (configuration, &["upgrade", "apply", "--patches", "/p"][..]),
        (configuration, &["upgrade", "apply", "--config", FILE]),
        (&relative, &["upgrade", "apply", "--config", FILE]),
    ] {
        let node = Node::new(configuration, REAL);
        node.put("/p/kube-apiserver+json.yaml", patch);
        let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: kube-apiserver\n    image: a\n    \
                        command: [kube-apiserver]\n";
        node.put("/etc/kubernetes/manifests/kube-apiserver.yaml", manifest);
        let output = node.run(arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{stderr}");
        let warning =
            "when kubeadm upgrade applies the patches in /p: /p/kube-apiserver+json.yaml:1:3: with this patch, ";
        assert!(stderr.contains(warning), "{arguments:?} {stderr}");
        assert!(node.on_host("/etc/kubernetes/audit-policy.yaml").exists());
    }
}

#[test]
fn a_control_plane_that_joins_or_is_upgraded_gets_its_files_alone() {
    for arguments in
        [&["join", "10.0.0.1:6443", "--control-plane"][..], &["upgrade", "apply"], &["upgrade", "node"]]
    {
        let node = Node::new(INIT, REAL);
        node.put("/etc/kubernetes/kubeadm.yaml", INIT);
        if arguments[0] == "upgrade" {
            let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: kube-apiserver\n    image: a\n    \
                            command: [kube-apiserver]\n";
            node.put("/etc/kubernetes/manifests/kube-apiserver.yaml", manifest);
        }
        let manifests = fs::read_dir(node.on_host("/etc/kubernetes/manifests")).ok().map(Iterator::count);
        let output = node.run(arguments);
        assert_eq!(text(&output.stdout), node.real_says(arguments, "1", "0"), "{output:?}");
        assert!(node.on_host("/etc/kubernetes/audit-policy.yaml").exists(), "{output:?}");
        assert!(node.on_host("/var/log/kubernetes/audit").is_dir());
        assert_eq!(fs::read_to_string(node.on_host("/etc/kubernetes/kubeadm.yaml")).unwrap(), INIT);
        if let Some(manifests) = manifests {
            let directory = node.on_host("/etc/kubernetes/manifests");
            assert_eq!(fs::read_dir(&directory).unwrap().count(), manifests);
            let manifest = fs::read_to_string(directory.join("kube-apiserver.yaml")).unwrap();
            assert!(!manifest.contains("audit"), "{manifest}");
        }
    }
}

#[test]
fn an_upgrade_goes_on_whatever_the_node_is_like() {
    let node = Node::new(INIT, REAL);
    node.put("/etc/kubernetes/audit-policy.yaml/directory", "");
    let output = node.run(&["upgrade", "node"]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert!(text(&output.stderr).contains("kubeadm upgrade starts all the same"), "{output:?}");
}

#[test]
fn a_setting_lets_kubeadm_go_on() {
    let node = Node::new("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nx: [\n", REAL);
    node.put(
        CONFIG,
        "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\nkubeadm: {required: false}\n",
    );
    let arguments = ["init", "--config", FILE];
    let output = node.run(&arguments);
    assert_eq!(text(&output.stdout), node.real_says(&arguments, "1", "0"), "{output:?}");
    assert_eq!(output.status.code(), Some(7));
    assert!(
        text(&output.stderr).contains("starts without audit logs, because kubeadm.required is false"),
        "{output:?}"
    );

    // Without a file, kubeadm gets no patch, which would have the API server look for files that aren't there: nothing
    // can be written to the folder of the state.
    node.put("/var/lib/kube-audit-bootstrap", "");
    let output = node.run(&["init"]);
    assert_eq!(text(&output.stdout), node.real_says(&["init"], "1", "0"), "{output:?}");
}

#[test]
fn kubeadm_does_not_start_where_preparing_fails() {
    let wrong = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\n";
    for (file, config, code, reasons) in [
        ("a: [", "", 1, &["/hook-test/kubeadm.yaml:"][..]),
        (INIT, "log: {maxAge: x}\n", 2, &["config.yaml:3:15: log.maxAge"]),
        // Several lines: all of them, and the first one again in the last line.
        (
            INIT,
            "log: {maxAge: x}\nprofile: y\n",
            2,
            &["config.yaml:4:10: profile", "config.yaml:3:15: log.maxAge"],
        ),
    ] {
        let node = Node::new(file, REAL);
        if !config.is_empty() {
            node.put(CONFIG, &format!("{wrong}{config}"));
        }
        let before = node.tree();
        let output = node.run(&["init", "--config", FILE]);
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(code), ""), "{stderr}");
        let last = stderr.lines().last().unwrap();
        let real = node.at("real/kubeadm");
        assert!(last.starts_with("error: kubeadm init was not started"), "{stderr}");
        assert!(last.contains(reasons.last().unwrap()), "{stderr}");
        let root = node.at("root");
        let typed = format!("with {} --rootfs {} init --config {FILE}", real.display(), root.display());
        assert!(last.ends_with(&typed), "{stderr}");
        assert!(reasons.iter().all(|reason| stderr.contains(reason)), "{stderr}");
        assert_eq!(stderr.lines().count(), if reasons.len() == 1 { 1 } else { 3 }, "{stderr}");
        assert_eq!(node.tree(), before);
    }
}

#[test]
fn without_rootfs_it_is_the_running_system() {
    let node = Node::new(INIT, REAL);
    // Nothing is written where the file isn't there.
    for (file, named) in [
        ("/hook-test/none.yaml", PathBuf::from("/hook-test/none.yaml")),
        ("./hook-test/none.yaml", node.at("root").canonicalize().unwrap().join("hook-test/none.yaml")),
    ] {
        let mut command = node.command(&["join", "--config", file, "--rootfs="]);
        let output = command.current_dir(node.at("root")).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{stderr}");
        assert!(stderr.contains(&format!("{}: there is no such file", named.display())), "{stderr}");
    }
}

#[test]
fn without_a_real_kubeadm_nothing_is_written() {
    let node = Node::new(INIT, REAL);
    fs::create_dir(node.at("copy")).unwrap();
    fs::copy(BINARY, node.at("copy/kubeadm")).unwrap();
    fs::write(node.at("empty"), "").unwrap();
    let path = format!("{}:{}", node.at("hook").display(), node.at("copy").display());
    let before = node.tree();
    for guard in ["", "1"] {
        for arguments in [&["init", "--config", FILE][..], &["version"]] {
            let output = without_kubeadm(&path, &node.at("empty"), node.command(arguments).env(GUARD, guard));
            let stderr = text(&output.stderr);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{stderr}");
            let said =
                format!("error: kubeadm: found only this hook, not the real kubeadm, in PATH ({path}) and in ");
            assert!(stderr.starts_with(&said) && stderr.lines().count() == 1, "{stderr}");
        }
    }
    assert_eq!(node.tree(), before);
}

#[test]
fn what_kubeadm_calls_is_kubeadm() {
    // The real one calls itself by name, once.
    let nested = format!("[ \"$3\" != init ] || kubeadm a b token list\n{REAL}");
    let node = Node::new(INIT, &nested);
    let arguments = ["init", "--config", FILE];
    let output = node.run(&arguments);
    let inner = "args: a b token list\nguard: 2\nmine: kept\nedited: 1\nstdin: \n";
    assert_eq!(text(&output.stdout), inner.to_owned() + &node.real_says(&arguments, "1", "1"), "{output:?}");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn a_guard_that_somebody_left_behind_is_told() {
    let node = Node::new(INIT, REAL);
    let output = node.command(&["init", "--config", FILE]).env(GUARD, "1").output().unwrap();
    assert!(text(&output.stderr).contains("KUBE_AUDIT_BOOTSTRAP_HOOK is set"), "{output:?}");
    assert_eq!((output.status.code(), node.on_host("/etc/kubernetes").exists()), (Some(7), false), "{output:?}");
}

#[test]
fn a_kubeadm_that_only_leads_back_is_found_out() {
    let node = Node::new(INIT, "exec kubeadm \"$@\"\n");
    let output = node.run(&["init", "--config", FILE]);
    let stderr = text(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{stderr}");
    assert_eq!(stderr.matches("a first boot").count(), 1, "prepared once: {stderr}");
    let last = stderr.lines().last().unwrap();
    assert!(
        last.starts_with(&format!("error: {}: called 10 times", node.at("real/kubeadm").display())),
        "{stderr}"
    );
}

/// A file that can't be replaced where it is becomes a copy, which kubeadm gets by another option.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_file_on_a_read_only_mount_becomes_a_copy() {
    let node = Node::new(INIT, REAL);
    let config = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\n";
    fs::write(node.at("config.yaml"), format!("{config}storage: {{require: any, headroom: any}}\n")).unwrap();
    fs::write(node.at("in"), INIT).unwrap();
    let script = "set -e; mount --bind \"$1\" /mnt; for folder in /run /etc /var /media; do mount -t tmpfs tmpfs $folder; done
                  export PATH=\"/mnt/hook:/mnt/real:$PATH\" EDITED=/mnt/in; mkdir /etc/kube-audit-bootstrap
                  mv /mnt/config.yaml /etc/kube-audit-bootstrap
                  cp /mnt/in /media/kubeadm.yaml; ln -s /media/kubeadm.yaml /etc/kubeadm.yaml; mount -o remount,ro /media
                  code=0; kubeadm init --config /etc/kubeadm.yaml >/mnt/said </dev/null || code=$?
                  cat /run/kube-audit-bootstrap/*/kubeadm.yaml >/mnt/copy; exit $code";
    let mut shell = unshare(&["--mount", "sh", "-c", script, "sh"]);
    shell.arg(node.directory.path()).env_remove(GUARD).env_remove("RUST_LOG").env_remove("JOURNAL_STREAM");
    let output = shell.output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let copy = fs::read_to_string(node.at("copy")).unwrap();
    assert!(copy.contains("audit-policy-file"), "{copy}");
    let said = fs::read_to_string(node.at("said")).unwrap();
    let option = said.lines().next().unwrap().strip_prefix("args: init --config /etc/kubeadm.yaml --config=");
    assert!(option.is_some_and(|path| path.starts_with("/run/kube-audit-bootstrap/")), "{said}");
}

/// A file that cannot be replaced below `--rootfs` is copied there: a mount of its own, and one on a read-only mount.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn below_rootfs_a_file_that_is_mounted_is_copied_too() {
    for mount in [
        "mount --bind \"$1/in\" \"$1/root/media/k.yaml\"",
        "mount -t tmpfs tmpfs \"$1/root/media\"; cp \"$1/in\" \"$1/root/media/k.yaml\"; mount -o remount,ro \"$1/root/media\"",
    ] {
        let node = Node::new(INIT, REAL);
        fs::write(node.at("in"), INIT).unwrap();
        node.put("/media/k.yaml", "");
        let script = format!(
            "set -e; mkdir -p \"$1/root/media\" \"$1/root/run\"; {mount}
             export PATH=\"$1/hook:$1/real:$PATH\" EDITED=\"$1/in\"
             exec kubeadm --rootfs \"$1/root\" init --config /media/k.yaml"
        );
        let mut shell = unshare(&["--mount", "sh", "-c", &script, "sh"]);
        shell.arg(node.directory.path()).env_remove(GUARD).env_remove("RUST_LOG").env_remove("JOURNAL_STREAM");
        let output = shell.output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{mount}: {output:?}");
        assert_eq!(fs::read_to_string(node.at("in")).unwrap(), INIT, "{mount}");
        let said = text(&output.stdout);
        let copy = said.lines().next().and_then(|line| line.split_once(" --config=")).map(|(_, path)| path);
        let copy = copy.unwrap_or_else(|| panic!("{mount}: {said}"));
        let copied = fs::read_to_string(node.on_host(copy)).unwrap();
        assert!(copied.contains("audit-policy-file"), "{mount}: {copied}");
    }
}

/// What came through a pipe lies in `/run` for kubeadm, and may hold a token.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_copy_stays_only_where_kubeadm_starts() {
    for (file, code, left) in [(INIT, 7, 1), ("a: [", 1, 0)] {
        let node = Node::new(INIT, REAL);
        fs::write(node.at("in"), file).unwrap();
        // The folders are in memory here.
        let config = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\n";
        fs::write(node.at("config.yaml"), format!("{config}storage: {{require: any, headroom: any}}\n")).unwrap();
        let script =
            "set -e; mount --bind \"$1\" /mnt; for folder in /run /etc /var; do mount -t tmpfs tmpfs $folder; done
                      export PATH=\"/mnt/hook:/mnt/real:$PATH\" EDITED=/mnt/in; mkdir /etc/kube-audit-bootstrap
                      mv /mnt/config.yaml /etc/kube-audit-bootstrap
                      code=0; kubeadm init --config /dev/stdin </mnt/in || code=$?
                      find /run/kube-audit-bootstrap -type f >/mnt/left; exit $code";
        let mut shell = unshare(&["--mount", "sh", "-c", script, "sh"]);
        shell.arg(node.directory.path()).env_remove(GUARD).env_remove("RUST_LOG").env_remove("JOURNAL_STREAM");
        let output = shell.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let copies = fs::read_to_string(node.at("left")).unwrap();
        assert_eq!(copies.lines().filter(|path| path.ends_with("/kubeadm.yaml")).count(), left, "{copies}");
        assert_eq!(copies.lines().count(), left, "{copies}");
    }
}

/// The folder for copies can't be made, and what was read from the pipe is in it no more.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn what_came_through_a_pipe_is_handed_over_also_where_nothing_can_be_written() {
    let worker = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n";
    for (verb, file, required, code) in
        [("init", INIT, "false", 7), ("init", INIT, "true", 1), ("join", worker, "true", 7)]
    {
        let node = Node::new(
            INIT,
            "config=''; for word; do case $word in --config=*) config=${word#*=} ;; esac; done; cat $config >/mnt/seen; exit 7",
        );
        fs::write(node.at("in"), file).unwrap();
        let config = format!(
            "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\nkubeadm: {{required: {required}}}\n"
        );
        fs::write(node.at("config.yaml"), config).unwrap();
        let script =
            "set -e; mount --bind \"$1\" /mnt; for folder in /run /etc /var; do mount -t tmpfs tmpfs $folder; done
                      export PATH=\"/mnt/hook:/mnt/real:$PATH\"; mkdir /etc/kube-audit-bootstrap
                      mv /mnt/config.yaml /etc/kube-audit-bootstrap; mount -o remount,ro /run
                      cat /mnt/in | kubeadm $2 --config /dev/stdin";
        let mut shell = unshare(&["--mount", "sh", "-c", script, "sh"]);
        shell.arg(node.directory.path()).arg(verb);
        shell.env_remove(GUARD).env_remove("RUST_LOG").env_remove("JOURNAL_STREAM");
        let output = shell.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{verb} {required}: {output:?}");
        let seen = fs::read_to_string(node.at("seen")).unwrap_or_default();
        assert_eq!(seen, if code == 7 { file } else { "" }, "{verb} {required}: {output:?}");
    }
}
