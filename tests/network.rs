//! The program opens no connection: kubectl, which it runs, does. strace tells who calls what.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Makes a folder the root of a running control plane, in namespaces of its own: the programs are the machine's, but
/// for kubectl, and an API server with the manifest's flags and a kubelet run by name.
const NODE: &str = r#"
set -e
root=$1
shift
mount --bind "$root" "$root"
for name in usr bin lib lib64; do
    [ ! -e /$name ] || { mkdir -p "$root/$name" && mount --rbind /$name "$root/$name"; }
done
for kubectl in usr/bin usr/local/bin; do
    [ ! -e "$root/$kubectl/kubectl" ] || mount --bind "$root/opt/bin/kubectl" "$root/$kubectl/kubectl"
done
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
manifest=$root/etc/kubernetes/manifests/kube-apiserver.yaml
chroot "$root" /opt/kube-apiserver $(sed -n 's/^ *- \(--.*\)/\1/p' "$manifest") &
chroot "$root" /opt/kubelet &
for name in kube-apiserver kubelet; do
    until grep -qsx $name "$root"/proc/*/comm; do sleep 0.01; done
done
strace -f -o "$root/trace" -e trace=network,execve -e signal=none chroot "$root" /opt/bin/program "$@" || exit $?
"#;

const SERVER: &str = "#!/bin/sh\nsleep 600\n";

/// It connects, to where nobody listens, and answers all the same.
const KUBECTL: &str = r#"#!/bin/bash
: 2>/dev/null </dev/tcp/127.0.0.1/1
case "$*" in
*" replace "*) cat >/opt/replaced ;;
*/kubeadm-config*)
    text='apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n'
    [ -e /opt/replaced ] || echo "{\"data\": {\"ClusterConfiguration\": \"$text\"}}" >/opt/replaced
    cat /opt/replaced
    ;;
*) echo ok ;;
esac
"#;

const MANIFEST: &str = "apiVersion: v1
kind: Pod
metadata:
  name: kube-apiserver
spec:
  containers:
  - name: kube-apiserver
    image: kube-apiserver:v1.33.1
    command:
    - kube-apiserver
    - --advertise-address=127.0.0.1
";

/// The folder may be in memory, and small.
const CONFIG: &str = "apiVersion: kube-audit-bootstrap/v1alpha1
kind: AuditBootstrapConfiguration
storage: {require: any, headroom: any}
";

fn node() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for (path, text, mode) in [
        ("opt/kube-apiserver", SERVER, 0o755),
        ("opt/kubelet", SERVER, 0o755),
        ("opt/bin/kubectl", KUBECTL, 0o755),
        ("etc/kubernetes/admin.conf", "", 0o600),
        ("etc/kubernetes/manifests/kube-apiserver.yaml", MANIFEST, 0o600),
        ("etc/kube-audit-bootstrap/config.yaml", CONFIG, 0o644),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    for folder in ["proc", "dev", "var/log"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::copy(env!("CARGO_BIN_EXE_kube-audit-bootstrap"), root.join("opt/bin/program")).unwrap();
    directory
}

/// What a run on that node says, and the network's system calls that it and kubectl make.
fn run(root: &Path, arguments: &[&str], code: i32) -> (String, Vec<String>, Vec<String>) {
    // A stand-in that dies is a failure, and nothing to wait for.
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "300", "unshare"]);
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--pid", "--net", "--fork", "--kill-child", "sh", "-c", NODE, "-"]).arg(root);
    let output = command.args(arguments).output().expect("unshare is missing");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    let (mut own, mut kubectl) = (Vec::new(), Vec::new());
    // Threads, and children that have not become another program, are the program's own.
    let mut programs: BTreeMap<&str, &str> = BTreeMap::new();
    let trace = fs::read_to_string(root.join("trace")).unwrap();
    for line in trace.lines() {
        let (process, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        if let Some(path) = call.strip_prefix("execve(\"") {
            programs.insert(process, path.split_once('"').unwrap().0);
        } else if !call.starts_with("+++") && !call.starts_with("<... execve") {
            let is_kubectl = programs.get(process).is_some_and(|path| path.ends_with("/kubectl"));
            if is_kubectl { &mut kubectl } else { &mut own }.push(call.to_owned());
        }
    }
    (said, own, kubectl)
}

#[test]
#[ignore = "needs strace and namespaces: `make test` runs it"]
fn nobody_but_kubectl_opens_a_connection() {
    let node = node();
    for (arguments, code, says, asks) in [
        (&["plan"][..], 3, "+++ b/kube-system/configmaps/kubeadm-config", true),
        (&["status"], 3, "kubeadm   differs  kube-system/configmaps/kubeadm-config", true),
        (&["apply"], 0, "kube-system/configmaps/kubeadm-config", true),
        (&["status"], 0, "kubeadm   ok       kube-system/configmaps/kubeadm-config", true),
        (&["verify", "--wait", "2s"], 1, "no event", true),
        (&["render", "rsyslog"], 0, "logs.example.com", false),
        (&["restore"], 0, "kube-system/configmaps/kubeadm-config", true),
    ] {
        let (said, own, kubectl) = run(node.path(), arguments, code);
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert_eq!(own, [""; 0], "{arguments:?}");
        // What opens one is seen.
        assert_eq!(kubectl.iter().any(|call| call.starts_with("connect(")), asks, "{arguments:?}: {kubectl:?}");
    }
}
