//! Tests what `render` prints, with the whole binary. `image/examples/` has its output for the default configuration,
//! and for the one in `image/examples/configured`. `tests/examples.sh` has these files checked by the programs that
//! read them.
//!
//! `UPDATE_EXAMPLES=1 cargo test --test examples` writes new files: read the diff before you commit.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Output;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/image/examples");

/// Every kind, and the name of its file.
const KINDS: &[(&str, &str)] = &[
    ("cloud-init", "cloud-init.yaml"),
    ("vendor-data", "vendor-data.sh"),
    ("cluster-api", "cluster-api.yaml"),
    ("cluster-api-files", "cluster-api-files.yaml"),
    ("kind", "kind.Dockerfile"),
    ("ignition", "ignition.bu"),
    ("mkosi", "mkosi.postinst"),
    ("packer", "packer.pkr.hcl"),
    ("ansible", "ansible.yml"),
    ("kairos", "kairos.Dockerfile"),
    ("systemd", "systemd.conf"),
    ("rsyslog", "rsyslog.conf"),
    ("vector", "vector.yaml"),
    ("fluent-bit", "fluent-bit.yaml"),
    ("otel-collector", "otel-collector.yaml"),
];

fn render(root: &Path, arguments: &[&str]) -> Output {
    common::run(root, &[&["render"], arguments].concat())
}

const HEAD: &str = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\n";

/// A root directory with a configuration, and the files that it names.
fn root(config: &str, policy: Option<&str>) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("etc/kube-audit-bootstrap");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("config.yaml"), config).unwrap();
    if let Some(policy) = policy {
        fs::write(directory.join("audit-policy.yaml"), policy).unwrap();
    }
    root
}

#[test]
fn the_examples_are_what_is_printed() {
    let given = |name: &str| fs::read_to_string(Path::new(EXAMPLES).join("configured").join(name)).unwrap();
    let configured = root(&given("config.yaml"), Some(&given("audit-policy.yaml")));
    let default = tempfile::tempdir().unwrap();
    fs::create_dir(default.path().join("etc")).unwrap();
    let update = common::records("UPDATE_EXAMPLES");
    for (set, root) in [("default", &default), ("configured", &configured)] {
        for (kind, file) in KINDS {
            let output = render(root.path(), &[kind]);
            assert_eq!(output.status.code(), Some(0), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
            let printed = String::from_utf8(output.stdout).unwrap();
            let path = Path::new(EXAMPLES).join(set).join(file);
            if update {
                fs::write(&path, &printed).unwrap();
            }
            let expected = fs::read_to_string(&path).unwrap_or_default();
            assert!(printed == expected, "{} is not what is printed, which is:\n{printed}", path.display());
        }
    }
}

#[test]
fn expectations_are_recorded_for_one_value_and_not_in_ci() {
    for (value, ci, records) in [
        (None, None, Some(false)),
        (Some(""), None, Some(false)),
        (Some("0"), Some("true"), Some(false)),
        (Some("1"), Some("true"), None),
        (Some("1"), Some("false"), Some(true)),
        (Some("1"), None, Some(true)),
    ] {
        assert_eq!(common::may_record(value, ci), records, "{value:?}, CI: {ci:?}");
    }
}

#[test]
fn every_kind_has_an_example() {
    let help = render(Path::new("/"), &["--help"]);
    let help = String::from_utf8(help.stdout).unwrap();
    let (arguments, _) = help.split_once("\nOptions:").unwrap();
    let kinds: Vec<_> = arguments
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ")?.split_once(':'))
        .map(|(kind, _)| kind)
        .collect();
    assert_eq!(kinds, KINDS.iter().map(|(kind, _)| *kind).collect::<Vec<_>>());
}

#[test]
fn what_is_left_to_the_user_is_said() {
    let webhook = root(
        &format!("{HEAD}webhook: {{configFile: /etc/kubernetes/hook.yaml}}\nstorage: {{bind: /data/audit}}\n"),
        None,
    );
    for (kind, expected) in [
        ("cloud-init", &["/etc/kubernetes/hook.yaml"][..]),
        ("cluster-api-files", &["not in the snippet", "not there to be read", "storage.device and storage.bind"]),
        ("vector", &["storage.group"]),
        ("systemd", &[]),
    ] {
        let output = render(webhook.path(), &[kind]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), expected.len(), "{kind}: {said}");
        assert!(expected.iter().all(|words| said.contains(words)), "{kind}: {said}");

        let output = render(webhook.path(), &[kind, "--output", "json"]);
        assert!(output.stderr.is_empty(), "{kind}");
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["warnings"].as_array().unwrap().len(), expected.len(), "{kind}");
        assert_eq!(document["text"].as_str().unwrap().as_bytes(), render(webhook.path(), &[kind]).stdout);
    }
}

#[test]
fn a_policy_may_come_from_elsewhere() {
    let given = tempfile::NamedTempFile::new().unwrap();
    fs::write(given.path(), "# Mine.\napiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n")
        .unwrap();
    let given = given.path().to_str().unwrap();
    let source = "policy: {source: /etc/audit/mine.yaml}\n";
    for (config, kind, code) in [
        (source, "cloud-init", 0),
        (source, "ignition", 0),
        ("", "cluster-api-files", 0),
        ("", "cloud-init", 2),
        (source, "kind", 2),
    ] {
        let output = render(root(&format!("{HEAD}{config}"), None).path(), &[kind, "--policy", given]);
        assert_eq!(output.status.code(), Some(code), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout).contains("# Mine."), code == 0, "{kind}");
    }
    // A kind whose output has no policy text does not need the policy file.
    let output = render(root(&format!("{HEAD}{source}"), None).path(), &["kind"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("\"/etc/audit/mine.yaml\""));
}

#[test]
fn what_is_wrong_prints_nothing() {
    let source = "policy: {source: /etc/kube-audit-bootstrap/audit-policy.yaml}\n";
    let policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n  verb: [get]\n";
    for (config, policy, kind, code, expected) in [
        ("log: {maxsize: 1}\n", None, "cloud-init", 2, "config.yaml:3:7: "),
        ("log: {path: '-'}\n", None, "rsyslog", 2, "log.path is -"),
        (source, None, "cluster-api", 2, "policy.source does not exist"),
        (source, Some(policy), "cloud-init", 1, "audit-policy.yaml:5:3: "),
        ("", None, "terraform", 2, "terraform"),
    ] {
        let output = render(root(&format!("{HEAD}{config}"), policy).path(), &[kind]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{config}: {said}");
        assert!(said.contains(expected), "{config}: {said}");
    }
}
