//! A running control plane, as far as the program can see. It has its own namespaces, and short shell scripts as
//! kubelet, API server and kubectl (`tests/running`).

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{BINARY, put, unshare};

pub const CLUSTER: &str =
    "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.33.1\n";

/// A control plane on which a story has run. Its folder has what the story wrote to `/mnt`.
pub struct ControlPlane {
    directory: tempfile::TempDir,
}

impl ControlPlane {
    /// Runs a story on a control plane. `config`: lines of the program's configuration. `grace`: the time, in tenths
    /// of a second, that a replaced API server has to end. `story`: shell, with the commands of `tests/running/node`.
    pub fn tell(config: &str, grace: u32, story: &str) -> Self {
        Self::tell_by("node", config, grace, story)
    }

    /// Runs a story on a control plane on which `apply --wait` hides the new manifest (`tests/running/hiding`).
    pub fn tell_hiding(config: &str, grace: u32, story: &str) -> Self {
        Self::tell_by("hiding", config, grace, story)
    }

    fn tell_by(script: &str, config: &str, grace: u32, story: &str) -> Self {
        let node = Self { directory: tempfile::tempdir().unwrap() };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let storage = if config.contains("storage:") { "" } else { "storage: {require: any, headroom: any}\n" };
        let head = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\n";
        let manifest = format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-apiserver\n  namespace: kube-system\nspec:\n  \
             containers:\n  - name: kube-apiserver\n    image: registry.k8s.io/kube-apiserver:v1.33.1\n    \
             command:\n    - kube-apiserver\n    - --advertise-address=127.0.0.1\n    - --bind-address=127.0.0.1\n    - \
             --secure-port={port}\n"
        );
        let configmap = json!({
            "kind": "ConfigMap",
            "metadata": {"resourceVersion": "1"},
            "data": {"ClusterConfiguration": CLUSTER, "other": "kept"},
        });
        for (name, text) in [
            // The folder can be in memory, and small.
            ("/config", format!("{head}{storage}{config}\n")),
            ("/manifest", manifest),
            ("/configmap", configmap.to_string()),
            ("/metrics", "apiserver_audit_error_total{plugin=\"log\"} 7\n".to_owned()),
            ("/grace", grace.to_string()),
            ("/story", story.to_owned()),
        ] {
            put(node.directory.path(), name, text, 0o644);
        }
        for (name, text) in [
            ("/bin/kubectl", include_str!("../running/kubectl")),
            ("/bin/kubelet", include_str!("../running/kubelet")),
            ("/bin/kube-apiserver", include_str!("../running/kube-apiserver")),
            ("/bin/node", include_str!("../running/node")),
            ("/bin/hiding", include_str!("../running/hiding")),
            ("/bin/systemd-run", include_str!("../running/systemd-run")),
        ] {
            put(node.directory.path(), name, text, 0o755);
        }
        fs::copy(BINARY, node.at("bin/kube-audit-bootstrap")).unwrap();
        // A process counts by its program, and the program of a script is its shell.
        fs::create_dir_all(node.at("programs/watch")).unwrap();
        for name in ["kubelet", "kube-apiserver", "kubeadm"] {
            fs::copy("/bin/sh", node.at(&format!("programs/{name}"))).unwrap();
        }
        let (ending, ended, listens) = (node.at("ending"), node.at("ended"), node.at("listens"));
        fs::write(&listens, "").unwrap();
        // The port of the API server, which it closes when it is being ended.
        let closes = thread::spawn(move || {
            let mut listener = Some(listener);
            while !ended.exists() {
                match (ending.exists(), listener.is_some()) {
                    (true, true) => {
                        listener = None;
                        fs::remove_file(&listens).unwrap();
                    }
                    (false, false) => {
                        listener = Some(TcpListener::bind(("127.0.0.1", port)).unwrap());
                        fs::write(&listens, "").unwrap();
                    }
                    _ => thread::sleep(Duration::from_millis(20)),
                }
            }
        });
        // If one of the scripts dies, the test fails, and does not wait.
        let run = unshare(&["--mount", "--pid", "--fork", "--kill-child"]);
        let output = Command::new("timeout")
            .args(["--kill-after=5", "300"])
            .arg(run.get_program())
            .args(run.get_args())
            .arg(node.at(&format!("bin/{script}")))
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
        // The program passes no proxy settings to its children.
        assert_eq!(node.lines("proxies"), [""; 0]);
        // It asks this node's API server and no other.
        assert_eq!(node.lines("strange"), [""; 0]);
        node
    }

    /// Where a file is that the story wrote.
    pub fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The text of a file that the story wrote; empty if there is none.
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_default()
    }

    pub fn lines(&self, name: &str) -> Vec<String> {
        self.text(name).lines().map(str::to_owned).collect()
    }

    /// The standard output of a run, which must have this exit code.
    pub fn stdout(&self, run: &str, code: i32) -> String {
        assert_eq!(self.text(&format!("{run}/code")).trim(), code.to_string(), "{run}: {}", self.stderr(run));
        self.text(&format!("{run}/stdout"))
    }

    pub fn json(&self, run: &str, code: i32) -> Value {
        serde_json::from_str(&self.stdout(run, code)).unwrap()
    }

    pub fn stderr(&self, run: &str) -> String {
        self.text(&format!("{run}/stderr"))
    }

    /// The ClusterConfiguration in a ConfigMap that the story saved under this name.
    pub fn cluster(&self, name: &str) -> String {
        let object: Value = serde_json::from_str(&self.text(name)).unwrap();
        assert_eq!(object["data"]["other"], "kept");
        object["data"]["ClusterConfiguration"].as_str().unwrap().to_owned()
    }

    /// The number of calls of kubectl with these words.
    pub fn count_asked(&self, words: &str) -> usize {
        self.lines("asked").iter().filter(|line| line.contains(words)).count()
    }
}
