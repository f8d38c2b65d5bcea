//! A control plane that runs, as far as the program can see: in namespaces of its own, with a kubelet, an API server and a kubectl of
//! some lines of shell (`tests/running`). What it does on a real one, the cases of `vm-tests` show; here each of its settings is seen to
//! count, in seconds.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

const CLUSTER: &str =
    "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.33.1\n";

struct Node {
    directory: tempfile::TempDir,
}

impl Node {
    /// A node on which `story` was told, with some lines of configuration. An API server that is replaced gets so many tenths of a second.
    fn told(config: &str, grace: u32, story: &str) -> Node {
        let node = Node { directory: tempfile::tempdir().unwrap() };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let head = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\n";
        let manifest = format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-apiserver\n  namespace: kube-system\nspec:\n  containers:\n  - name: \
             kube-apiserver\n    image: registry.k8s.io/kube-apiserver:v1.33.1\n    command:\n    - kube-apiserver\n    - \
             --advertise-address=127.0.0.1\n    - --secure-port={port}\n"
        );
        let configmap = json!({"kind": "ConfigMap", "data": {"ClusterConfiguration": CLUSTER, "other": "kept"}});
        for (name, text) in [
            ("config", format!("{head}storage: {{require: any, headroom: any}}\n{config}\n")),
            ("manifest", manifest),
            ("configmap", configmap.to_string()),
            ("metrics", "apiserver_audit_error_total{plugin=\"log\"} 7\n".to_owned()),
            ("grace", grace.to_string()),
            ("story", story.to_owned()),
        ] {
            fs::write(node.at(name), text).unwrap();
        }
        fs::create_dir(node.at("bin")).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_kube-audit-bootstrap"), node.at("bin/kube-audit-bootstrap")).unwrap();
        for (name, text) in [
            ("kubectl", include_str!("running/kubectl")),
            ("kubelet", include_str!("running/kubelet")),
            ("kube-apiserver", include_str!("running/kube-apiserver")),
            ("node", include_str!("running/node")),
        ] {
            let path = node.at("bin").join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let (ending, ended) = (node.at("ending"), node.at("ended"));
        let closes = thread::spawn(move || {
            while !ending.exists() && !ended.exists() {
                thread::sleep(Duration::from_millis(20));
            }
            drop(listener);
        });
        // A stand-in that dies is a failure, and nothing to wait for.
        let output = Command::new("timeout")
            .args(["--kill-after=5", "300", "unshare"])
            .args(["--map-root-user", "--mount", "--pid", "--fork", "--kill-child"])
            .arg(node.at("bin/node"))
            .arg(node.directory.path())
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            .env("all_proxy", "http://127.0.0.1:1")
            .env_remove("RUST_LOG")
            .env_remove("JOURNAL_STREAM")
            .output()
            .unwrap();
        fs::write(node.at("ended"), "").unwrap();
        closes.join().unwrap();
        assert!(output.status.success(), "{output:?}");
        // Nobody's proxies are handed on.
        assert_eq!(node.lines("proxies"), [""; 0]);
        node
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_default()
    }

    fn lines(&self, name: &str) -> Vec<String> {
        self.text(name).lines().map(str::to_owned).collect()
    }

    /// What a run printed. Its exit code must be this one.
    fn stdout(&self, run: &str, code: i32) -> String {
        assert_eq!(self.text(&format!("{run}/code")).trim(), code.to_string(), "{run}: {}", self.stderr(run));
        self.text(&format!("{run}/stdout"))
    }

    fn json(&self, run: &str, code: i32) -> Value {
        serde_json::from_str(&self.stdout(run, code)).unwrap()
    }

    fn stderr(&self, run: &str) -> String {
        self.text(&format!("{run}/stderr"))
    }

    /// The ClusterConfiguration in the cluster as it was kept under a name.
    fn cluster(&self, name: &str) -> String {
        let object: Value = serde_json::from_str(&self.text(name)).unwrap();
        assert_eq!(object["data"]["other"], "kept");
        object["data"]["ClusterConfiguration"].as_str().unwrap().to_owned()
    }

    fn asked(&self, what: &str) -> usize {
        self.lines("asked").iter().filter(|line| line.contains(what)).count()
    }
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_run_is_proved_told_and_put_back() {
    let node = Node::told(
        "restart: {drain: 0s}",
        100,
        "run apply apply --wait 1m --output json; cp /mnt/configmap /mnt/edited; cp /mnt/pid /mnt/proved
         run verify verify --output json; run text verify
         run status status --output json; run told status
         run restore restore; cp /mnt/configmap /mnt/restored; settle
         run again apply; settle
         sed 's/v1.33.1/v1.33.2/' /mnt/configmap >/mnt/upgraded; cp /mnt/upgraded /mnt/configmap
         run preview restore --dry-run --output json; run left restore --output json",
    );
    let process: u32 = node.text("proved").trim().parse().unwrap();
    let applied = node.json("apply", 0);
    for proof in [&applied["proof"], &node.json("verify", 0)] {
        let seconds = proof["seconds"].as_f64().unwrap();
        assert_eq!(*proof, json!({"proved": true, "process": process, "event": "/version", "seconds": seconds}));
    }
    assert!(node.stdout("text", 0).starts_with(&format!("the API server (process {process}) runs with")));
    assert!(node.cluster("edited").contains("audit-policy-file"));

    let status = node.json("status", 0);
    assert_eq!(status["lost"]["events"], json!({"log": 7}));
    assert_eq!((&status["role"], &status["unproved"]), (&json!("control-plane"), &Value::Null));
    assert_eq!(status["storage"]["directory"], "/var/log/kubernetes/audit");
    let told = node.stdout("told", 0);
    let since = status["lost"]["since"].as_str().unwrap();
    assert!(
        told.contains(&format!(
            "\nevents    lost     since the API server started at {since}, as it counts: 7 by log"
        )),
        "{told}"
    );
    assert!(told.contains("\nplace     volatile   /var/log/kubernetes/audit: tmpfs"), "{told}");

    node.stdout("restore", 0);
    assert_eq!(node.cluster("restored"), CLUSTER);
    // What kubeadm changed since stays.
    let upgraded = node.cluster("upgraded");
    assert!(upgraded.contains("v1.33.2") && upgraded.contains("audit-policy-file"));
    for (run, code) in [("preview", 3), ("left", 0)] {
        let restore = node.json(run, code);
        let notes = restore["notes"].as_array().unwrap();
        let note = "kube-system/configmaps/kubeadm-config is not put back, as it was changed since";
        assert!(notes.iter().any(|one| one.as_str().unwrap().starts_with(note)), "{notes:?}");
        let paths: Vec<_> =
            restore["changes"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
        assert!(paths.contains(&"/etc/kubernetes/manifests/kube-apiserver.yaml"), "{paths:?}");
        assert!(!paths.iter().any(|path| path.contains("kubeadm-config")), "{paths:?}");
    }
    assert_eq!(node.cluster("configmap"), upgraded);
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn what_cannot_be_proved_is_put_back_in_the_cluster_too() {
    let node = Node::told(
        "restart: {drain: 0s}",
        0,
        "cp \"$manifest\" /mnt/before; : >/mnt/broken; run apply apply --wait 2s --output json; cp \"$manifest\" /mnt/after; settle",
    );
    let proof = node.json("apply", 4)["proof"].clone();
    assert_eq!(proof["proved"], false);
    let reason = proof["reason"].as_str().unwrap();
    assert!(
        reason.starts_with(
            "no API server runs with the audit flags of the manifest after 2 s; everything is as it was"
        ),
        "{reason}"
    );
    assert_eq!(node.text("after"), node.text("before"));
    assert_eq!((node.cluster("configmap").as_str(), node.asked(" replace --raw ")), (CLUSTER, 2));
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn the_clusters_own_configuration_is_left_to_who_says_so() {
    for (config, option, is_edited) in
        [("", "", true), ("", "--no-cluster", false), ("kubeadm: {cluster: false}", "", false)]
    {
        let node = Node::told(config, 0, &format!("run apply apply {option}"));
        assert!(node.stdout("apply", 0).contains("manifest  edit "), "{config} {option}");
        assert_eq!(node.cluster("configmap").contains("audit-policy-file"), is_edited, "{config} {option}");
        assert_eq!(node.asked("kubeadm-config") > 0, is_edited, "{config} {option}");
    }
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn the_old_api_server_is_ended_as_the_configuration_says() {
    for (restart, ends, words) in [
        ("{drain: 0s}", "ended", Some("0 s")),
        ("{drain: 1.5s}", "ended", Some("1.5 s")),
        ("{mode: graceful}", "killed", None),
        ("{mode: graceful, drain: 0s}", "killed", None),
    ] {
        // Who leaves it to the kubelet waits this long; the others have it ended before.
        let grace = if words.is_some() { 300 } else { 20 };
        let node = Node::told(&format!("restart: {restart}"), grace, "run apply apply --wait 1m -v");
        node.stdout("apply", 0);
        let stderr = node.stderr("apply");
        assert_eq!(node.lines("ends"), [ends], "{restart}: {stderr}");
        let closed = "the old one takes no more requests; it has ";
        let told = stderr.lines().find_map(|line| line.split_once(closed)?.1.strip_suffix(" for those under way"));
        assert_eq!(told, words, "{restart}: {stderr}");
    }
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn three_repairs_within_an_hour_are_the_last_ones() {
    let node = Node::told(
        "restart: {drain: 0s}",
        0,
        "run apply apply; settle
         for repair in 1 2 3; do
             set=/var/lib/kube-audit-bootstrap/backups/20990101T00000${repair}Z
             mkdir \"$set\"
             echo '{\"version\": 1, \"when\": \"2099-01-01T00:00:00Z\", \"why\": \"heal\", \"entries\": []}' >\"$set/index.json\"
         done
         cp /mnt/manifest \"$manifest\"; settle
         run heal apply --heal --wait 1m; cp \"$manifest\" /mnt/after; run status status --output json",
    );
    assert_eq!(node.stdout("heal", 1), "");
    let stderr = node.stderr("heal");
    assert!(
        stderr
            .contains("it was repaired 3 times within an hour, and is without its settings again; it is left so"),
        "{stderr}"
    );
    assert_eq!(node.text("after"), node.text("manifest"));
    assert_eq!(node.json("status", 3)["selfHealing"]["stopped"], true);
}

/// A run may have been killed before it had mounted everything, and a restore before it had put everything back.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn what_was_mounted_is_taken_away_and_what_is_half_done_too() {
    let node = Node::told(
        "",
        0,
        "log=/var/log/kubernetes/audit set=/var/lib/kube-audit-bootstrap/backups/20260101T000000Z
         mkdir -p \"$log\" \"$set\"
         echo '{\"version\": 1, \"when\": \"2026-01-01T00:00:00Z\", \"why\": \"apply\", \"entries\": [{\"path\": \"/var/log/kubernetes/audit/\", \
                \"action\": \"mounted\", \"mode\": 448, \"uid\": 0, \"gid\": 0}]}' >\"$set/index.json\"
         run nothing restore --dry-run --output json
         mkdir \"$log.before-mount\"; : >\"$log.before-mount/audit.log\"
         run moved restore --dry-run --output json
         mount -t tmpfs events \"$log\"
         run both restore --dry-run --output json
         mv \"$log.before-mount\" /var/kept
         run mounted restore --dry-run --output json
         mv /var/kept \"$log.before-mount\"
         run restore restore
         ls \"$log\" >/mnt/left; grep \" $log \" /proc/self/mountinfo >/mnt/mounts || :",
    );
    let path = "/var/log/kubernetes/audit";
    let stays = format!(
        "the events in {path}, those from before that were moved to it, too, stay on events, in its directory /"
    );
    for (run, is_undone, is_mounted) in
        [("nothing", false, false), ("moved", true, false), ("both", true, true), ("mounted", true, true)]
    {
        let restore = node.json(run, if is_undone { 3 } else { 0 });
        let change = json!({"action": "unmount", "path": path, "diff": null});
        assert_eq!(restore["changes"], Value::from(if is_undone { vec![change] } else { vec![] }), "{run}");
        let notes = if is_mounted { vec![stays.as_str()] } else { vec![] };
        assert_eq!(restore["notes"], Value::from(notes), "{run}");
    }
    node.stdout("restore", 0);
    assert_eq!((node.lines("left"), node.text("mounts").as_str()), (vec!["audit.log".to_owned()], ""));
}
