//! A control plane that its site has made audit already, with a policy, a log and a webhook of its own.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;

use common::{put, run};
use serde_json::{Value, json};

mod common;

const CONFIG: &str = "/etc/kube-audit-bootstrap/config.yaml";
const HEAD: &str = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\n";
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Request\n";

fn node() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let flags =
        "--audit-policy-file=/etc/own/policy.yaml, --audit-log-path=/var/log/own/audit.log, --audit-log-maxage=7";
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: kube-apiserver}}\nspec:\n  containers:\n  - name: kube-apiserver\n    \
         image: kube-apiserver:v1.33.1\n    command: [kube-apiserver, {flags}]\n    volumeMounts:\n    - {{mountPath: \
         /etc/own, name: own, readOnly: true}}\n    - {{mountPath: /var/log/own, name: log}}\n  volumes:\n  - {{name: own, \
         hostPath: {{path: /srv/own}}}}\n  - {{name: log, hostPath: {{path: /var/log/own}}}}\n"
    );
    put(root, MANIFEST, manifest, 0o600);
    put(root, "/srv/own/policy.yaml", POLICY, 0o600);
    put(root, "/var/log/own/audit.log", "", 0o600);
    put(
        root,
        "/etc/kubernetes/kubeadm.yaml",
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.33.1\n",
        0o600,
    );
    directory
}

fn text_at(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(&path[1..])).unwrap()
}

fn json_of(root: &Path, words: &[&str]) -> Value {
    serde_json::from_slice(&run(root, &[words, &["--output", "json"]].concat()).stdout).unwrap()
}

/// What a run prints, and its exit code.
fn said(root: &Path, words: &[&str]) -> (String, Option<i32>) {
    let output = run(root, words);
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    (stdout + &stderr, output.status.code())
}

#[test]
fn neither_a_boot_nor_a_repair_replaces_it_before_somebody_chooses() {
    for (lines, replaces, keeps) in [
        (None, false, true),
        (Some(""), false, true),
        (Some("log: {maxAge: 9}\n"), false, true),
        (Some("existing: replace\n"), true, false),
        (Some("existing: keep\n"), true, true),
    ] {
        let directory = node();
        let root = directory.path();
        if let Some(lines) = lines {
            put(root, CONFIG, format!("{HEAD}{lines}"), 0o644);
        }
        let before = text_at(root, MANIFEST);
        let (told, code) = said(root, &["apply", "--boot"]);
        assert_eq!(code, Some(0), "{told}");
        assert_eq!(text_at(root, MANIFEST) != before, replaces, "{lines:?}");
        assert_eq!(text_at(root, MANIFEST).contains("policy-file=/etc/own/policy.yaml"), keeps, "{lines:?}");
        let advice =
            format!("write `existing: keep` or `existing: replace` into {}{CONFIG}, or run", root.display());
        assert_eq!(told.contains(&advice), !replaces, "{told}");
    }
}

/// The program wrote this file before, so what it finds there later is a drift.
#[test]
fn a_boot_repairs_what_an_apply_has_replaced() {
    let directory = node();
    let root = directory.path();
    assert!(run(root, &["apply"]).status.success());
    let ours = text_at(root, MANIFEST);
    let drifted =
        ours.replace("policy-file=/etc/kubernetes/audit-policy.yaml", "policy-file=/etc/own/policy.yaml");
    assert_ne!(drifted, ours);
    put(root, MANIFEST, drifted, 0o600);
    assert!(run(root, &["apply", "--boot"]).status.success());
    assert!(text_at(root, MANIFEST).contains("policy-file=/etc/kubernetes/audit-policy.yaml"));
}

#[test]
fn an_option_that_the_configuration_does_not_have_is_told_only_where_the_next_apply_undoes_it() {
    for (lines, options, told) in [
        ("", &["--existing", "keep"][..], "write `existing: keep` into "),
        ("existing: keep\n", &["--existing", "keep"], ""),
        ("", &["--existing", "replace"], ""),
        ("", &["--policy", "cis"], "write `profile: cis`, which also sets the limits of its log, into "),
        ("profile: cis\n", &["--policy", "cis"], ""),
        ("", &["--policy", "default"], ""),
        ("", &["--log-path", "/var/log/kube-audit/a.log"], "write `log: {path: /var/log/kube-audit/a.log}` into "),
        ("", &[], ""),
    ] {
        let directory = node();
        let root = directory.path();
        put(root, CONFIG, format!("{HEAD}{lines}"), 0o644);
        let (printed, code) = said(root, &[&["apply"], options].concat());
        assert_eq!(code, Some(0), "{printed}");
        let is_told = printed.contains("the configuration does not say this, so status reports a difference");
        assert_eq!(
            (is_told, is_told && printed.contains(told)),
            (!told.is_empty(), !told.is_empty()),
            "{printed}"
        );
        let drifts = said(root, &["status"]).1 == Some(3);
        assert_eq!(drifts, is_told, "{lines} {options:?}");
    }
}

#[test]
fn with_keep_the_policy_is_that_of_the_manifest_before_apply_and_after() {
    let directory = node();
    let root = directory.path();
    put(root, CONFIG, format!("{HEAD}existing: keep\nprofile: cis\n"), 0o644);
    let plan = json_of(root, &["plan"]);
    let made = plan["changes"].as_array().unwrap().iter().any(|change| change["step"] == "policy");
    assert!(!made, "{plan}");
    assert!(plan["warnings"].to_string().contains("run apply with --policy cis once"), "{plan}");
    for _ in 0..2 {
        let asked = ["policy", "explain", "--user", "a", "--verb", "get", "--resource", "pods"];
        assert_eq!(json_of(root, &asked)["level"], json!("Request"));
        assert!(run(root, &["apply"]).status.success());
    }
}

/// What kubeadm's file says otherwise is told, because the next API server may be made of it.
#[test]
fn with_keep_what_kubeadm_would_change_is_told() {
    for (args, told) in [
        ("", None),
        ("- {name: audit-log-maxage, value: \"30\"}", Some("--audit-log-maxage=30 instead of 7; to keep")),
        ("- {name: audit-log-maxage, value: \"07\"}", None),
        ("- {name: audit-webhook-mode, value: batch}", Some("has them: --audit-webhook-mode=batch; to keep")),
    ] {
        let directory = node();
        let root = directory.path();
        put(root, CONFIG, format!("{HEAD}existing: keep\n"), 0o644);
        let file = "/etc/kubernetes/kubeadm.yaml";
        let text = text_at(root, file) + "apiServer:\n  extraArgs:\n  - {name: v, value: \"2\"}\n  " + args + "\n";
        put(root, file, text, 0o600);
        for verb in ["apply", "status"] {
            let (printed, code) = said(root, &[verb]);
            assert_eq!(code, Some(0), "{printed}");
            let line =
                printed.lines().find(|line| line.contains("kubeadm.yaml: these audit settings are not those of"));
            assert_eq!(line.is_some(), told.is_some(), "{args}: {printed}");
            assert!(line.unwrap_or_default().contains(told.unwrap_or_default()), "{args}: {printed}");
        }
    }
}

/// kubeadm's file can't name such a place, so it gets nothing that would move the log or the policy.
#[test]
fn with_keep_what_kubeadm_cannot_make_is_told_and_its_file_stays() {
    for (volume, path, why) in [
        ("emptyDir: {}", "/etc/own/policy.yaml", "in a volume that is not a directory of the host"),
        ("hostPath: {path: /srv/own}", "/etc/own/$(HOST)/policy.yaml", "a path that only the kubelet knows"),
    ] {
        let directory = node();
        let root = directory.path();
        let manifest = text_at(root, MANIFEST)
            .replace("hostPath: {path: /srv/own}", volume)
            .replace("policy-file=/etc/own/policy.yaml", &format!("policy-file={path}"));
        put(root, MANIFEST, manifest, 0o600);
        let before = text_at(root, "/etc/kubernetes/kubeadm.yaml");
        let (printed, code) = said(root, &["apply", "--existing", "keep"]);
        assert_eq!(code, Some(0), "{printed}");
        assert!(
            printed.contains(&format!("--audit-policy-file={path} is {why}, and kubeadm can't make")),
            "{printed}"
        );
        assert_eq!(text_at(root, "/etc/kubernetes/kubeadm.yaml"), before);
        let status = json_of(root, &["status", "--existing", "keep"]);
        let state = status["steps"].as_array().unwrap().iter().find(|step| step["step"] == "kubeadm");
        assert_eq!(state.unwrap()["state"], "skipped", "{status}");
    }
}
