//! What the command line promises: JSON, exit codes, the journal, the lock.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use common::{program, put, run, tree};
use serde_json::{Value, json};

mod common;

#[path = "../build.rs"]
#[allow(dead_code)]
mod build;

const STATE: &str = "var/lib/kube-audit-bootstrap";

fn command(root: &Path, arguments: &[&str]) -> Command {
    let mut command = program();
    command.args(arguments).arg("--root").arg(root);
    command
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn control_plane() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let manifests = directory.path().join("etc/kubernetes/manifests");
    fs::create_dir_all(&manifests).unwrap();
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver}\nspec:\n  containers:\n  - name: \
                kube-apiserver\n    image: kube-apiserver:v1.33.1\n    command: [kube-apiserver]\n";
    fs::write(manifests.join("kube-apiserver.yaml"), text).unwrap();
    fs::write(manifests.join("kube-apiserver.backup"), text).unwrap();
    directory
}

/// Nobody can change the file, or remove it, as long as this lives.
struct Immutable(std::path::PathBuf);

impl Immutable {
    /// `None` where this needs a right or a file system that is not here.
    fn of(path: std::path::PathBuf) -> Option<Immutable> {
        chattr("+i", &path).then_some(Immutable(path))
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        chattr("-i", &self.0);
    }
}

fn chattr(change: &str, path: &Path) -> bool {
    Command::new("chattr").arg(change).arg(path).output().is_ok_and(|output| output.status.success())
}

/// An administrator protects a file by `chattr +i`.
#[test]
fn an_immutable_log_or_policy_stops_apply_before_it_has_changed_anything() {
    for (path, text) in
        [("/var/log/kubernetes/audit/audit.log", ""), ("/etc/kubernetes/audit-policy.yaml", "kind: Policy\n")]
    {
        let node = control_plane();
        put(node.path(), path, text, 0o644);
        let Some(_held) = Immutable::of(node.path().join(&path[1..])) else {
            println!("NOT RUN: chattr +i does not work here");
            return;
        };
        let before = tree(&node.path().join("etc"));
        let refused = run(node.path(), &["apply"]);
        let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{path}: {stderr}");
        assert!(
            stderr.contains(path)
                && stderr.contains("immutable")
                && (stderr.contains("chattr -i") || stderr.contains("lsattr")),
            "{stderr}"
        );
        let after = tree(&node.path().join("etc"));
        let contents = |tree: &common::Tree| {
            tree.iter().map(|(path, entry)| (path.clone(), entry.content.clone(), entry.mode)).collect::<Vec<_>>()
        };
        assert_eq!(contents(&after), contents(&before), "{path}");
        assert!(
            !node.path().join(STATE).join("backups").exists()
                || fs::read_dir(node.path().join(STATE).join("backups")).unwrap().next().is_none(),
            "{path}"
        );
    }
}

#[test]
fn an_option_that_names_a_place_among_the_manifests_is_the_one_that_is_told() {
    let node = control_plane();
    let manifest = fs::read(node.path().join("etc/kubernetes/manifests/kube-apiserver.yaml")).unwrap();
    put(node.path(), "/srv/pods/kube-apiserver.yaml", manifest, 0o600);
    put(node.path(), "/var/lib/kubelet/config.yaml", "staticPodPath: /srv/pods\n", 0o600);
    let refused = run(node.path(), &["plan", "--log-path", "/srv/pods/x/audit.log"]);
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("error: --log-path: /srv/pods/x: the log must not be in the manifest directory"),
        "{stderr}"
    );
}

#[test]
fn json_says_what_the_readme_says() {
    let node = control_plane();
    let root = node.path();
    let plan = run(root, &["plan", "--output", "json"]);
    assert_eq!(plan.status.code(), Some(3));
    assert!(plan.stderr.is_empty(), "warnings are in the document");
    let plan = json_of(&plan);
    assert_eq!(plan["role"], "control-plane");
    assert_eq!(plan["kubernetesVersion"], "1.33");
    assert_eq!(plan["backup"], Value::Null);
    let steps: Vec<_> =
        plan["changes"].as_array().unwrap().iter().map(|one| (&one["step"], &one["action"])).collect();
    assert_eq!(
        json!(steps),
        json!([
            ["storage", "create-directory"],
            ["policy", "create-file"],
            ["strays", "move-away"],
            ["manifest", "edit-file"]
        ])
    );
    assert_eq!(plan["changes"][1]["mode"], "0600");
    assert!(plan["changes"][3]["diff"].as_str().unwrap().contains("+    volumeMounts:"));
    assert!(plan["warnings"][0].as_str().unwrap().contains("kube-apiserver.backup"));

    let status = run(root, &["status", "--output", "json"]);
    assert_eq!(status.status.code(), Some(3));
    assert_eq!(json_of(&status)["inPlace"], false);

    let applied = json_of(&run(root, &["apply", "--output", "json"]));
    assert_eq!(applied["changes"], plan["changes"], "plan prints what apply does");
    let id = applied["backup"].as_str().unwrap();

    let status = run(root, &["status", "--output", "json"]);
    assert_eq!(status.status.code(), Some(0));
    let status = json_of(&status);
    assert_eq!((&status["inPlace"], &status["interrupted"]), (&json!(true), &json!(false)));
    assert_eq!(status["backups"], json!([id]));
    let states: Vec<_> =
        status["steps"].as_array().unwrap().iter().map(|one| (&one["step"], &one["state"])).collect();
    assert_eq!(
        json!(states),
        json!([["storage", "ok"], ["policy", "ok"], ["kubeadm", "unknown"], ["manifest", "ok"]])
    );

    let list = json_of(&run(root, &["restore", "--list", "--output", "json"]));
    assert_eq!((&list["backups"][0]["id"], &list["backups"][0]["why"]), (&json!(id), &json!("apply")));

    let preview = run(root, &["restore", "--dry-run", "--output", "json"]);
    assert_eq!(preview.status.code(), Some(3));
    let restored = run(root, &["restore", id, "--output", "json"]);
    assert_eq!(restored.status.code(), Some(0));
    let restored = json_of(&restored);
    assert_eq!(restored["restored"], json!([id]));
    assert_eq!(restored["changes"], json_of(&preview)["changes"]);
    assert!(restored["notes"][0].as_str().unwrap().contains("kube-apiserver.backup is not put back"));
    assert_eq!(json_of(&run(root, &["restore", id, "--output", "json"]))["changes"], json!([]));
}

#[test]
fn the_stray_lies_in_the_backup() {
    let node = control_plane();
    let root = node.path();
    let stray = root.join("etc/kubernetes/manifests/kube-apiserver.backup");
    let text = fs::read(&stray).unwrap();
    let id = json_of(&run(root, &["apply", "--output", "json"]))["backup"].as_str().unwrap().to_owned();
    assert!(!stray.exists());
    let set = root.join(STATE).join("backups").join(id);
    let copies = fs::read_dir(set).unwrap().map(|entry| entry.unwrap().path());
    let copy = copies.into_iter().find(|path| path.to_string_lossy().ends_with("kube-apiserver.backup")).unwrap();
    assert_eq!(fs::read(copy).unwrap(), text);
}

#[test]
fn exit_codes_tell_usage_from_failure() {
    let node = control_plane();
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["status", "extra"], 2),
        (&["apply", "--no-such-option"], 2),
        (&["plan", "--kubernetes-version", "new"], 2),
        (&["plan", "--log-path", "relative.log"], 2),
        (&["plan", "--log-path", "/var/log/audit.log"], 2),
        (&["plan", "--config", "/no/such/file"], 2),
        (&["plan", "--policy", "/no/such/file"], 2),
        (&["plan", "--kubeadm-config", "/no/such/file"], 2),
        (&["restore", "20000101T000000Z"], 1),
        (&["restore"], 1),
        (&["policy", "check"], 2),
        (&["policy", "explain", "--user", "a", "--verb", "get", "--resource", "pods"], 2),
        (&["policy", "explain", "--user", "a", "--verb", "get"], 2),
        (&["policy", "explain", "--user", "a", "--verb", "get", "--resource", "pods", "--path", "/x"], 2),
        (&["policy", "explain", "--user", "a", "--verb", "get", "--resource", "pods/"], 2),
        (&["policy", "explain", "--user", "a", "--verb", "get", "--path", "healthz"], 2),
        (&["policy", "explain", "--user", "a", "--verb", "get", "--path", "/api/v1/pods"], 2),
        (&["policy", "test"], 2),
        (&["policy", "test", "/no/such/file"], 2),
        (&["policy", "test", "-", "--policy", "-"], 2),
        (&["policy", "test", "-", "--coverage", "--output", "junit"], 2),
        (&["policy", "diff"], 2),
        (&["policy", "diff", "-", "-"], 2),
        (&["policy", "diff", "/no/such/file", "-"], 2),
        (&["policy", "check", "--output", "junit"], 2),
        (&["plan", "--output", "junit"], 2),
        (&["policy", "explain", "--user", "a", "--verb", "GET", "--resource", "pods"], 2),
        (&["policy", "explain", "--user", "system:serviceaccount:a", "--verb", "get", "--resource", "pods"], 2),
        (&["plan"], 3),
        (&["apply", "--dry-run"], 3),
    ] {
        let output = run(node.path(), arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_policy_is_checked_on_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("p.yaml");
    fs::write(&file, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n  verb: [get]\n")
        .unwrap();
    let name = file.to_str().unwrap();
    let output = run(directory.path(), &["policy", "check", name]);
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(stdout.starts_with(&format!("{name}:5:3: error: unknown field")), "{stdout}");
    assert!(
        stdout.ends_with(
            " [PA009]\n   5 |   verb: [get]\n     |   ^^^^\n1 policy: 1 refused, 1 error, 0 warnings\n"
        )
    );
    let document = json_of(&run(directory.path(), &["policy", "check", name, "--output", "json"]));
    assert_eq!(document["accepted"], false);
    let finding = &document["findings"][0];
    assert_eq!(
        (&finding["severity"], &finding["line"], &finding["column"]),
        (&json!("error"), &json!(5), &json!(3))
    );
}

/// The folder with the tests of the profiles.
const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/policies");

#[test]
fn each_profile_passes_its_tests_and_each_of_its_rules_has_one() {
    let directory = tempfile::tempdir().unwrap();
    let told = |words: &[&str]| {
        let output = run(directory.path(), &[&["policy", "test"], words].concat());
        let told = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), told)
    };
    for profile in ["default", "low-noise", "writes", "cis", "stig"] {
        let (code, said) = told(&[&format!("{POLICIES}/{profile}.yaml"), "--coverage"]);
        assert!(code == Some(0) && said.lines().count() == 1, "{profile}: {said}");
        let (_, rules) = said.trim_end().rsplit_once(" 0 failed, ").expect(&said);
        let (reached, all) = rules.trim_end_matches(" rules reached").split_once(" of ").unwrap();
        assert_eq!(reached, all, "{profile}: {said}");
        // Each of them claims the floor.
        let (code, said) = told(&[&format!("{POLICIES}/floor.yaml"), "--policy", profile]);
        assert!(code == Some(0) && said.lines().count() == 1, "{profile}: {said}");
    }
    // What drops a part of the floor does not pass.
    let file = directory.path().join("p.yaml");
    let rules = "- {level: None, users: [system:kube-scheduler], verbs: [delete]}\n- level: Metadata\n";
    fs::write(&file, format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{rules}")).unwrap();
    let (code, said) = told(&[&format!("{POLICIES}/floor.yaml"), "--policy", file.to_str().unwrap()]);
    assert!(code == Some(1) && said.contains(": deletes: level: expected Metadata or "), "{said}");
}

/// A folder with a policy and tests of it, of which one fails.
fn tested() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: None, users: [bob]}\n- {level: Request, \
                  verbs: [create]}\n- {level: Metadata, verbs: [get]}\n";
    let tests = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditPolicyTest\npolicy: p.yaml\ntests:\n- name: no \
                 <bodies>\n  requests: [{user: [bob, \"it's\"], verb: [get, create], resource: secrets}]\n  expect:\n    \
                 level: [None, Metadata]\n- requests: [{user: al, verb: put, path: /x}]\n  expect: {rule: none}\n";
    fs::create_dir(directory.path().join("etc")).unwrap();
    fs::write(directory.path().join("p.yaml"), policy).unwrap();
    fs::write(directory.path().join("t.yaml"), tests).unwrap();
    directory
}

fn policy_test(folder: &Path, arguments: &[&str]) -> Output {
    program().args(["policy", "test", "--root"]).arg(folder).args(arguments).current_dir(folder).output().unwrap()
}

#[test]
fn a_failed_expectation_is_told_with_its_place_and_the_rule_that_decides() {
    let folder = tested();
    let output = policy_test(folder.path(), &["t.yaml", "--coverage"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "t.yaml:8:12: no <bodies>: level: expected None or Metadata, got Request by rule 2 at p.yaml:5:3: --user \
         'it'\\''s' --verb create --resource secrets\n2 tests, 5 requests, 1 failed, 3 of 3 rules reached\n"
    );
    assert!(output.stderr.is_empty());

    // The policy of the command line instead; the tests come from standard input.
    let other = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n- level: None\n";
    fs::write(folder.path().join("other.yaml"), other).unwrap();
    let mut child = program()
        .args(["policy", "test", "-", "--policy", "other.yaml", "--coverage"])
        .current_dir(folder.path())
        .stdin(fs::File::open(folder.path().join("t.yaml")).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(
        told,
        "-:10:18: tests[1]: rule: expected none, got 1 by rule 1 at other.yaml:4:3: --user al --verb put --path \
         /x\nother.yaml:5:3: rule 2: no test reaches it\n2 tests, 5 requests, 1 failed, 1 of 2 rules reached\n"
    );
}

#[test]
fn junit_has_a_suite_for_each_file_and_a_case_for_each_test() {
    let folder = tested();
    let output = policy_test(folder.path(), &["t.yaml", "t.yaml", "--output", "junit"]);
    assert_eq!(output.status.code(), Some(1));
    let suite = "  <testsuite name=\"t.yaml\" tests=\"2\" failures=\"1\">\n    <testcase classname=\"t.yaml\" name=\"no \
                 &lt;bodies&gt;\">\n      <failure message=\"1 of 4 requests\">t.yaml:8:12: no &lt;bodies&gt;: level: \
                 expected None or Metadata, got Request by rule 2 at p.yaml:5:3: --user 'it'\\''s' --verb create \
                 --resource secrets\n</failure>\n    </testcase>\n    <testcase classname=\"t.yaml\" \
                 name=\"tests[1]\"/>\n  </testsuite>\n";
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"4\" failures=\"2\">\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{head}{suite}{suite}</testsuites>\n"));
}

#[test]
fn tests_that_cannot_be_run_are_refused_by_their_place() {
    let folder = tested();
    let text = fs::read_to_string(folder.path().join("t.yaml")).unwrap();
    for (from, to, code, told) in [
        ("policy: p.yaml", "policy: none.yaml", 2, "error: none.yaml: "),
        (
            "policy: p.yaml",
            "policy: p",
            2,
            "error: t.yaml:3:9: policy: there is no profile \"p\"; write one of default, ",
        ),
        ("policy: p.yaml\n", "", 2, "error: /etc/kubernetes/audit-policy.yaml ("),
        ("policy: p.yaml", "policy: t.yaml", 1, "error: t.yaml:2:7: this is not an audit policy"),
        ("verb: put", "verbs: put", 2, "error: t.yaml:9:25: unknown field"),
        ("rule: none", "", 2, "error: t.yaml:10:11: tests[1].expect says nothing"),
        ("path: /x", "path: x", 2, "error: t.yaml:9:42: tests[1].requests[0].path x: the path must begin"),
    ] {
        fs::write(folder.path().join("t.yaml"), text.replace(from, to)).unwrap();
        for output in ["text", "json", "junit"] {
            let output = policy_test(folder.path(), &["t.yaml", "--output", output]);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{to}: {stderr}");
            assert!(output.stdout.is_empty() && stderr.starts_with(told), "{to}: {stderr}");
        }
    }
}

#[test]
fn a_policy_is_compared_with_the_nodes_own() {
    let node = control_plane();
    let file = node.path().join("p.yaml");
    fs::write(&file, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Request\n").unwrap();
    let compare = ["policy", "diff", file.to_str().unwrap()];
    assert_eq!(run(node.path(), &compare).status.code(), Some(2), "the node has no policy yet");
    assert_eq!(run(node.path(), &["apply"]).status.code(), Some(0));
    let output = run(node.path(), &compare);
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8(output.stdout).unwrap();
    let first = "> more is recorded: Metadata by rule 1 at /etc/kubernetes/audit-policy.yaml:";
    assert!(told.starts_with(first) && told.ends_with("\n1 difference\n"), "{told}");
    let same = [compare[0], compare[1], compare[2], compare[2]];
    let output = run(node.path(), &same);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"no differences\n"[..]));
}

/// A node whose policy has these fragments, and the profile low-noise.
fn node_with_fragments(fragments: &[(&str, &str)]) -> tempfile::TempDir {
    let node = control_plane();
    put(
        node.path(),
        "/etc/kube-audit-bootstrap/config.yaml",
        "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\nprofile: low-noise\n",
        0o600,
    );
    for (name, rules) in fragments {
        let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{rules}");
        put(node.path(), &format!("/etc/kube-audit-bootstrap/policy.d/{name}"), &text, 0o600);
    }
    node
}

#[test]
fn the_nodes_composed_policy_is_checked_file_by_file() {
    let allowed =
        "# kube-audit-bootstrap: allow PA109: the log is encrypted\n- {level: Request, users: [alice]}\n";
    let node = node_with_fragments(&[
        ("10-a.yaml", "- {level: Request, users: [bob]}\n- {level: None, users: [eve], verbs: [GETS]}\n"),
        ("20-b.yaml", allowed),
        ("30-c.yml", "- level: None\n"),
    ]);
    let folder = "/etc/kube-audit-bootstrap/policy.d";
    let check = |output: &str| {
        let output = run(node.path(), &["policy", "check", "--output", output]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), stderr)
    };
    let (code, text, stderr) = check("text");
    assert!(stderr.starts_with(&format!("warning: {folder}/30-c.yml: this file is left alone")), "{stderr}");
    let lines: Vec<_> = text.lines().filter(|line| !line.contains(" | ")).collect();
    let starts = [
        format!("{folder}/10-a.yaml:4:3: warning: rules[0] puts the bodies of "),
        format!("{folder}/10-a.yaml:5:39: warning: rules[1].verbs: no request has \"GETS\""),
        format!("{folder}/10-a.yaml: accepted"),
        format!("{folder}/20-b.yaml: accepted"),
        "profile low-noise: accepted".to_owned(),
        "3 policies: 0 refused, 0 errors, 2 warnings".to_owned(),
    ];
    assert_eq!((code, lines.len()), (Some(0), starts.len()), "{text}");
    assert!(lines.iter().zip(&starts).all(|(line, start)| line.starts_with(start)), "{text}");
    // The line of the fragment, not of the policy that is made.
    assert!(text.contains("   5 | - {level: None, users: [eve], verbs: [GETS]}\n"), "{text}");
    let place = |file: &str, line: usize, column: usize| (json!(file), json!(line), json!(column));
    let expected = [(4, 3), (5, 39)].map(|(line, column)| place(&format!("{folder}/10-a.yaml"), line, column));
    let document: Value = serde_json::from_str(&check("json").1).unwrap();
    let found = document["findings"].as_array().unwrap().iter();
    let found: Vec<_> =
        found.map(|one| (one["file"].clone(), one["line"].clone(), one["column"].clone())).collect();
    assert_eq!(found, expected);
    let log: Value = serde_json::from_str(&check("sarif").1).unwrap();
    let places = log["runs"][0]["results"].as_array().unwrap().iter();
    let places: Vec<_> = places
        .map(|result| &result["locations"][0]["physicalLocation"])
        .map(|at| {
            let file = at["artifactLocation"]["uri"].as_str().unwrap().trim_start_matches("file://");
            (json!(file), at["region"]["startLine"].clone(), at["region"]["startColumn"].clone())
        })
        .collect();
    assert_eq!(places, expected);
    let (_, github, _) = check("github");
    assert!(github.starts_with(&format!("::warning file={folder}/10-a.yaml,line=4,col=3,")), "{github}");

    // With faults, too.
    let fragment = node.path().join("etc/kube-audit-bootstrap/policy.d/20-b.yaml");
    let text = fs::read_to_string(&fragment).unwrap();
    let head = "metadata: {annotations: {kube-audit-bootstrap/position: last}}\n";
    fs::write(&fragment, text.replace("users", "user") + head).unwrap();
    let (code, text, _) = check("text");
    let errors: Vec<_> = text.lines().filter(|line| line.contains(": error: ")).collect();
    assert_eq!((code, errors.len()), (Some(1), 2), "{text}");
    let start = format!("{folder}/20-b.yaml:");
    assert!(errors[0].starts_with(&format!("{start}5:20: error: unknown field \"rules[0].user\"")), "{text}");
    assert!(
        errors[1].starts_with(&format!("{start}6:57: error: kube-audit-bootstrap/position can't be")),
        "{text}"
    );
    assert!(text.contains(&format!("{folder}/10-a.yaml: accepted\n")), "{text}");
}

#[test]
fn a_run_counts_the_warnings_about_a_policy_only_when_it_is_written() {
    let node =
        node_with_fragments(&[("a.yaml", "- {level: Request, users: [bob]}\n- {level: None, verbs: [GETS]}\n")]);
    let warnings = |words: &[&str]| {
        let output = run(node.path(), words);
        let stderr = String::from_utf8(output.stderr).unwrap();
        stderr.lines().filter(|line| line.contains("policy")).map(str::to_owned).collect::<Vec<_>>()
    };
    let counted = format!(
        "warning: /etc/kubernetes/audit-policy.yaml: policy check has 2 warnings about this policy; to see them, run \
         kube-audit-bootstrap --root {} policy check",
        node.path().display()
    );
    assert_eq!(warnings(&["plan"]), [counted.as_str()]);
    assert_eq!(warnings(&["apply"]), [counted.as_str()]);
    assert_eq!(warnings(&["plan"]), [""; 0]);
    assert_eq!(warnings(&["apply"]), [""; 0]);
    let file = node.path().join("p.yaml");
    fs::write(&file, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: Metadata, verbs: []}\n")
        .unwrap();
    fs::remove_dir_all(node.path().join("etc/kube-audit-bootstrap/policy.d")).unwrap();
    let file = file.to_str().unwrap();
    let told = warnings(&["plan", "--policy", file]);
    let end = format!(
        "policy check has 1 warning about this policy; to see it, run kube-audit-bootstrap policy check {file}"
    );
    assert!(told.iter().any(|line| line.ends_with(&end)), "{told:?}");
}

#[test]
fn what_is_wrong_with_fragments_is_told_and_the_node_stays() {
    let names: Vec<_> = (0..1000).map(|number| format!("{number:04}.yaml")).collect();
    let rule = "- {level: None, users: [bob], verbs: [get]}\n";
    let thousand: Vec<_> = names.iter().map(|name| (name.as_str(), rule)).collect();
    let hundred = &thousand[..100];
    let long = format!("- {{level: None, users: [{}]}}\n", "a".repeat(600 * 1024));
    let folder = "/etc/kube-audit-bootstrap/policy.d";
    for (fragments, said) in [
        (
            &thousand[..],
            "there are 1000 fragments, and at most 100 are read; put several into one file".to_owned(),
        ),
        (&[("a.yaml", rule), ("b.yaml", "- {level: [}\n")], format!("error: {folder}/b.yaml:4:")),
        (&[("a.yaml", "- {level: Nix}\n"), ("b.yaml", "- \tx\n")], format!("error: {folder}/a.yaml:4:11: ")),
        (&[("a.yaml", long.as_str()), ("b.yaml", long.as_str())], format!("{folder}/b.yaml: up to this one")),
    ] {
        let node = node_with_fragments(fragments);
        let before = tree(node.path());
        for words in [&["apply"][..], &["plan"]] {
            let output = run(node.path(), words);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.code() == Some(1) && stderr.contains(&said), "{stderr}");
        }
        assert!(tree(node.path()) == before, "{said}");
    }
    let node = node_with_fragments(hundred);
    let output = run(node.path(), &["apply"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    // Of two files that differ only in their ending, one is a fragment, and the other is told of.
    let node = node_with_fragments(&[("a.yaml", rule), ("a.yml", "- level: Request\n")]);
    let output = run(node.path(), &["apply"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let warning = format!(
        "{folder}/a.yml: this file is left alone, because the name of a fragment ends in .yaml; rename it to a.yaml, or \
         remove it"
    );
    assert!(output.status.code() == Some(0) && stderr.contains(&warning), "{stderr}");
    let policy = fs::read_to_string(node.path().join("etc/kubernetes/audit-policy.yaml")).unwrap();
    assert!(policy.contains("# /etc/kube-audit-bootstrap/policy.d/a.yaml, rule 1\n") && !policy.contains("a.yml"));
}

#[test]
fn many_policies_are_checked_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n";
    for (name, rules) in [
        ("good.yaml", "- level: Metadata\n"),
        ("doubtful.yaml", "- {level: Metadata, verbs: []}\n"),
        ("bad.yaml", "- {level: Metadata, verbs: []}\n- level: All\n"),
    ] {
        fs::write(directory.path().join(name), format!("{head}{rules}")).unwrap();
    }
    let check = |words: &str| {
        let output = program()
            .current_dir(directory.path())
            .args(["policy", "check"])
            .args(words.split_whitespace())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    for (words, code, last) in [
        ("good.yaml", 0, "good.yaml: accepted"),
        ("good.yaml good.yaml", 0, "good.yaml: accepted"),
        ("good.yaml doubtful.yaml", 0, "2 policies: 0 refused, 0 errors, 1 warning"),
        (
            "good.yaml doubtful.yaml --deny warnings",
            1,
            "2 policies: 0 refused, 0 errors, 1 warning, which --deny does not let pass",
        ),
        ("good.yaml --deny warnings", 0, "good.yaml: accepted"),
        ("bad.yaml good.yaml doubtful.yaml", 1, "3 policies: 1 refused, 1 error, 2 warnings"),
    ] {
        let (found, stdout, _) = check(words);
        assert_eq!((found, stdout.lines().last()), (code, Some(last)), "{words}: {stdout}");
    }
    // What can't be read does not hide what is in the others.
    fs::write(directory.path().join("latin1.yaml"), b"\xe9").unwrap();
    let (code, stdout, _) = check("latin1.yaml bad.yaml --output github");
    assert!(
        code == 1 && stdout.starts_with("::error file=latin1.yaml,") && stdout.contains("file=bad.yaml"),
        "{stdout}"
    );
    let (code, stdout, stderr) = check("absent bad.yaml");
    assert!(
        code == 2 && stdout.contains("bad.yaml:5:10: error") && stderr.contains("one of default, low-noise"),
        "{stderr}"
    );
    // No message quotes a key.
    fs::write(directory.path().join("sa.key"), "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n").unwrap();
    let (code, stdout, stderr) = check("sa.key");
    assert!(code == 1 && !(stdout + &stderr).contains("MIIEow"), "{stderr}");
    // A name has no line of its own.
    fs::write(directory.path().join("a\u{1b}b"), "x").unwrap();
    assert!(check("a\u{1b}b").1.starts_with("a?b:1:1: error: "));
    let (code, _, stderr) = check("doubtful.yaml --deny warnings --output github");
    assert!(code == 1 && stderr.contains("--deny does not let warnings pass"), "{stderr}");
    let (_, _, stderr) = check("good.yaml --kubernetes-version 1.20");
    assert!(stderr.contains("Kubernetes 1.20 is not among the tested versions"), "{stderr}");
    let (_, stdout, stderr) = check("bad.yaml good.yaml --output github");
    let (first, second) = stdout.split_once('\n').unwrap();
    assert!(
        first.starts_with(
            "::warning file=bad.yaml,line=4,col=28,endLine=4,endColumn=30,title=PA101 empty-list::rules[0]"
        ),
        "{first}"
    );
    assert!(
        second.starts_with("::error file=bad.yaml,line=5,col=10,endLine=5,endColumn=13,title=PA013"),
        "{second}"
    );
    assert_eq!((second.lines().count(), stderr.as_str()), (1, ""));
    let document: Value = serde_json::from_str(&check("bad.yaml good.yaml --output json").1).unwrap();
    assert_eq!((&document["file"], &document["accepted"]), (&Value::Null, &json!(false)));
    assert_eq!(document["files"][1], json!({"file": "good.yaml", "accepted": true}));
    for (words, said) in [
        (". good.yaml", "error: .: this is a directory; name the policies in it, such as ./*.yaml\n"),
        ("good.yaml none.yaml", "error: none.yaml: No such file or directory"),
        ("good.yaml --deny errors", "error: invalid value 'errors' for '--deny <WHAT>'"),
    ] {
        let (code, stdout, stderr) = check(words);
        let is_quiet = stdout.is_empty() || words.contains("none.yaml");
        assert!(code == 2 && is_quiet && stderr.starts_with(said), "{words}: {code} {stdout}{stderr}");
    }
    let plan = run(directory.path(), &["plan", "--output", "sarif"]);
    let said = "error: --output sarif: this verb prints text, json; name one of them\n";
    assert_eq!((plan.status.code(), String::from_utf8(plan.stderr).unwrap().as_str()), (Some(2), said));
}

#[test]
fn only_what_runs_is_verified() {
    let node = control_plane();
    let output = run(node.path(), &["verify"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("a proof needs a running API server; leave out --root"), "{stderr}");
    // "5m": an image has nobody to wait for.
    for wrong in ["5m", "5", "soon", "0s"] {
        assert_eq!(run(node.path(), &["apply", "--wait", wrong]).status.code(), Some(2), "{wrong}");
    }
}

#[test]
fn the_journal_gets_priorities() {
    let node = control_plane();
    let path = node.path().join("journal");
    for (arguments, code, priority) in
        [(&["plan"][..], 3, "<4>"), (&["plan", "--log-path", "relative.log"], 2, "<3>")]
    {
        let journal = fs::File::create(&path).unwrap();
        let meta = journal.metadata().unwrap();
        let status = command(node.path(), arguments)
            .env("JOURNAL_STREAM", format!("{}:{}", meta.dev(), meta.ino()))
            .stdout(Stdio::null())
            .stderr(journal)
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(code));
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.is_empty() && text.lines().all(|line| line.starts_with(priority)), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_causes() {
    let node = control_plane();
    let root = node.path();
    for (set, verb, code, words) in [
        // Its run was killed while it made the set, so it changed nothing.
        ("20260101T000000Z.partial", "apply", 0, "warning: "),
        ("20990101T000000Z", "restore", 1, "error: "),
    ] {
        let set = root.join(STATE).join("backups").join(set);
        fs::create_dir_all(&set).unwrap();
        fs::write(set.join("index.json"), "{\"version\": 2}").unwrap();
        let output = run(root, &[verb, "--output", "json"]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = stderr.lines().find(|line| line.starts_with(words)).unwrap();
        for part in [
            "this backup can't be read, and nothing else tells whether the copies beside it are whole",
            "version: not 1, the only version that this program reads",
        ] {
            assert!(line.contains(part), "{stderr}");
        }
        fs::remove_dir_all(set).unwrap();
    }
}

#[test]
fn a_file_beside_the_manifest_that_is_not_looked_at_is_told() {
    let node = control_plane();
    let big = fs::File::create(node.path().join("etc/kubernetes/manifests/big.yaml")).unwrap();
    big.set_len(2_000_000).unwrap();
    let stderr = String::from_utf8(run(node.path(), &["plan"]).stderr).unwrap();
    assert!(stderr.contains("2000000 bytes, too large to read"), "{stderr}");
}

/// `/var/log` is for log shippers, too.
#[test]
fn what_is_made_has_its_mode_whatever_the_mask_is() {
    for mask in ["077", "000"] {
        let node = control_plane();
        let masked = Command::new("sh")
            .args(["-c", "umask $0; exec \"$@\"", mask, common::BINARY, "apply", "--root"])
            .arg(node.path())
            .env_remove("RUST_LOG")
            .output()
            .unwrap();
        assert!(masked.status.success(), "{masked:?}");
        for (path, mode) in [
            ("var", 0o755),
            ("var/log", 0o755),
            ("var/log/kubernetes", 0o755),
            ("var/log/kubernetes/audit", 0o700),
            ("var/lib", 0o755),
            (STATE, 0o700),
            ("etc/kubernetes/audit-policy.yaml", 0o600),
        ] {
            let found = fs::metadata(node.path().join(path)).unwrap().mode() & 0o7777;
            assert_eq!(found, mode, "{path}: {found:o} by a mask of {mask}");
        }
    }
}

/// A diff ends in a boot log, and shows lines around an edit.
#[test]
fn a_token_beside_an_edit_is_shown_by_no_verb() {
    let node = control_plane();
    let root = node.path();
    let key = "0123456789abcdef".repeat(4);
    let text = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.33.1\n---\n\
         bootstrapTokens:\n- token: abcdef.0123456789abcdef\ncertificateKey: {key}\napiVersion: \
         kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n"
    );
    fs::write(root.join("etc/kubernetes/kubeadm.yaml"), text).unwrap();
    for words in [
        "plan",
        "plan --output json",
        "apply --dry-run",
        "apply --output json",
        "restore --dry-run",
        "restore --dry-run --output json",
        "restore --output json",
    ] {
        let output = run(root, &words.split(' ').collect::<Vec<_>>());
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(said.contains("- token: <hidden>"), "{words}: {said}");
        assert!(!said.contains("0123456789abcdef"), "{words}: {said}");
    }
}

#[test]
fn a_reader_that_goes_away_does_not_matter() {
    let node = control_plane();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = command(node.path(), &["apply"]).stdout(writer).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

/// Reads what a run says until it says that it waits for the lock.
fn until_it_waits(run: &Child) {
    let stderr = run.stderr.as_ref().unwrap().as_fd().try_clone_to_owned().map(fs::File::from).unwrap();
    let mut lines = BufReader::new(stderr).lines();
    assert!(lines.any(|line| line.unwrap().contains("waiting for up to")), "it doesn't wait");
}

#[test]
fn a_second_run_waits_for_the_first_and_gives_up_in_time() {
    let node = control_plane();
    let root = node.path();
    fs::create_dir_all(root.join(STATE)).unwrap();
    let lock = fs::File::create(root.join(STATE).join("lock")).unwrap();
    lock.lock().unwrap();
    let limited = |verb| {
        let output = run(root, &[verb, "--lock-timeout", "1"]);
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            stderr.contains("another run holds") && stderr.contains(", and 1 s were not enough; wait"),
            "{stderr}"
        );
        assert_eq!(stderr.matches("waiting for up to").count(), 1, "{stderr}");
    };
    let wait = |verb, lock: fs::File| {
        let waiting = command(root, &[verb]).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        until_it_waits(&waiting);
        drop(lock);
        assert!(waiting.wait_with_output().unwrap().status.success());
    };
    limited("apply");
    wait("apply", lock);
    let lock = fs::File::open(root.join(STATE).join("lock")).unwrap();
    lock.lock().unwrap();
    limited("restore");
    // What changes nothing waits for nobody.
    assert_eq!(run(root, &["restore", "--dry-run"]).status.code(), Some(3));
    wait("restore", lock);
    assert_eq!(run(root, &["plan"]).status.code(), Some(3));
}

#[test]
fn a_run_that_was_killed_is_told_and_finished_by_the_next() {
    let node = control_plane();
    let root = node.path();
    let id = json_of(&run(root, &["apply", "--output", "json"]))["backup"].as_str().unwrap().to_owned();
    let set = root.join(STATE).join("backups").join(&id);
    fs::rename(&set, set.with_extension("partial")).unwrap();
    let told = run(root, &["status"]);
    let stdout = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(3));
    assert!(stdout.contains("\na run was interrupted: run the same command again to finish it\n"), "{stdout}");
    let status = json_of(&run(root, &["status", "--output", "json"]));
    assert_eq!((&status["inPlace"], &status["interrupted"]), (&json!(false), &json!(true)));
    assert_eq!(run(root, &["apply"]).status.code(), Some(0));
    let status = json_of(&run(root, &["status", "--output", "json"]));
    assert_eq!((&status["inPlace"], &status["interrupted"]), (&json!(true), &json!(false)));
}

/// A root directory has no process to ask, so the mark of the pod counts.
#[test]
fn a_policy_that_is_not_in_force_marks_the_pod() {
    let node = control_plane();
    let root = node.path();
    let manifest = root.join("etc/kubernetes/manifests/kube-apiserver.yaml");
    let policy = root.join("etc/kubernetes/audit-policy.yaml");
    assert_eq!(run(root, &["apply"]).status.code(), Some(0));
    let (own, marked) = (fs::read(&policy).unwrap(), fs::read_to_string(&manifest).unwrap());
    assert!(marked.contains("kube-audit-bootstrap/policy"), "{marked}");
    assert_eq!(run(root, &["status"]).status.code(), Some(0));
    let other = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Request\n";
    let file = root.join("other.yaml");
    fs::write(&file, other).unwrap();
    let with_other = |verb: &'static str| vec![verb, "--policy", file.to_str().unwrap()];
    // As a run leaves it that was killed before the manifest, and as the hook does before an upgrade that fails.
    fs::write(&policy, other).unwrap();
    assert_eq!(run(root, &with_other("status")).status.code(), Some(3));
    assert_eq!(run(root, &with_other("apply")).status.code(), Some(0));
    let anew = fs::read_to_string(&manifest).unwrap();
    assert_ne!(anew, marked);
    assert_eq!(run(root, &with_other("status")).status.code(), Some(0));
    // Removed, and made anew by the program.
    fs::remove_file(&policy).unwrap();
    assert_eq!(run(root, &["apply"]).status.code(), Some(0));
    assert_eq!((fs::read(&policy).unwrap(), fs::read_to_string(&manifest).unwrap()), (own, marked));
    // A manifest that kubeadm made has no mark, and needs none.
    let text = fs::read_to_string(&manifest).unwrap();
    let bare: String = text.replace("kube-audit-bootstrap/policy", "other");
    fs::write(&manifest, &bare).unwrap();
    assert_eq!(run(root, &["status"]).status.code(), Some(0));
}

#[test]
fn two_runs_at_once_do_the_job_once() {
    let node = control_plane();
    let start = || command(node.path(), &["apply", "--output", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    let outputs: Vec<_> =
        [start(), start(), start()].into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    assert!(outputs.iter().all(|output| output.status.success()));
    let backups = outputs.iter().filter(|output| !json_of(output)["backup"].is_null()).count();
    assert_eq!(backups, 1);
}

const GOES_ON: &str = "kube-apiserver.yaml: the API server goes on auditing, because kubeadm";

#[test]
fn a_dry_run_that_shows_what_force_would_do_says_that_auditing_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let (kubeadm, manifests) = (root.join("etc/kubeadm/kubeadm.yaml"), root.join("etc/kubernetes/manifests"));
    fs::create_dir_all(kubeadm.parent().unwrap()).unwrap();
    fs::create_dir_all(&manifests).unwrap();
    fs::write(&kubeadm, "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n").unwrap();
    assert!(run(root, &["apply"]).status.success());
    let edited = fs::read_to_string(&kubeadm).unwrap().replace("\"30\"", "\"7\"");
    fs::write(&kubeadm, edited).unwrap();
    let wired = control_plane();
    assert!(run(wired.path(), &["apply"]).status.success());
    fs::copy(
        wired.path().join("etc/kubernetes/manifests/kube-apiserver.yaml"),
        manifests.join("kube-apiserver.yaml"),
    )
    .unwrap();
    let shown = run(root, &["restore", "--dry-run", "--output", "json"]);
    assert_eq!(shown.status.code(), Some(3), "{shown:?}");
    let notes = json_of(&shown)["notes"].to_string();
    assert!(notes.contains("only --force undoes that") && notes.contains(GOES_ON), "{notes}");
}

#[test]
fn restore_leaves_what_the_manifest_still_points_at() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    // An image is prepared; on the node, kubeadm then writes a manifest with the flags.
    fs::create_dir_all(root.join("etc/kubernetes/manifests")).unwrap();
    assert!(run(root, &["apply"]).status.success());
    let manifest = root.join("etc/kubernetes/manifests/kube-apiserver.yaml");
    let wired = control_plane();
    assert!(run(wired.path(), &["apply"]).status.success());
    fs::copy(wired.path().join("etc/kubernetes/manifests/kube-apiserver.yaml"), &manifest).unwrap();

    let restored = json_of(&run(root, &["restore", "--output", "json"]));
    assert_eq!(restored["changes"], json!([]));
    for path in ["/etc/kubernetes/audit-policy.yaml", "/var/log/kubernetes/audit"] {
        assert!(root.join(&path[1..]).exists(), "{path}");
        let notes = restored["notes"].as_array().unwrap();
        assert!(
            notes.iter().any(|note| note.as_str().unwrap().starts_with(&format!("{path} stays"))),
            "{notes:?}"
        );
    }
    let notes = restored["notes"].to_string();
    assert!(notes.contains(GOES_ON), "{notes}");
    // What restore undoes on the other node ends auditing.
    let restored = json_of(&run(wired.path(), &["restore", "--output", "json"]));
    assert!(!restored["notes"].to_string().contains("goes on auditing"), "{restored}");
}

#[test]
fn restore_leaves_what_another_manifest_mounts() {
    let node = control_plane();
    let root = node.path();
    let manifests = root.join("etc/kubernetes/manifests");
    assert!(run(root, &["apply"]).status.success());
    let edited = fs::read_to_string(manifests.join("kube-apiserver.yaml")).unwrap();
    fs::write(manifests.join("two.yaml"), edited.replace("name: kube-apiserver\n", "name: kube-apiserver-two\n"))
        .unwrap();
    let restored = json_of(&run(root, &["restore", "--output", "json"]));
    let notes = restored["notes"].to_string();
    for path in ["/etc/kubernetes/audit-policy.yaml", "/var/log/kubernetes/audit"] {
        assert!(root.join(&path[1..]).exists(), "{path}: {notes}");
        let told = format!("{path} stays, because /etc/kubernetes/manifests/two.yaml mounts it");
        assert!(notes.contains(&told), "{notes}");
    }
    let manifest = fs::read_to_string(manifests.join("kube-apiserver.yaml")).unwrap();
    assert!(!manifest.contains("audit-policy-file"), "{manifest}");
}

#[test]
fn status_tells_what_it_can_where_no_plan_can_be_made() {
    let directory = control_plane();
    let root = directory.path();
    assert!(run(root, &["apply"]).status.success());
    let manifest = root.join("etc/kubernetes/manifests/kube-apiserver.yaml");
    let path = "/etc/kubernetes/manifests/kube-apiserver.yaml";
    for (text, why) in [(Some(""), "this file is empty"), (Some("foo: ["), "not YAML"), (None, "does not exist")] {
        match text {
            Some(text) => fs::write(&manifest, text).unwrap(),
            None => fs::remove_file(&manifest).unwrap(),
        }
        put(root, "/etc/kubernetes/pki/apiserver.crt", "", 0o644);
        put(root, "/etc/kubernetes/kubelet.conf", "", 0o600);
        let output = run(root, &["status", "--output", "json"]);
        assert_eq!(output.status.code(), Some(3), "{why}: {output:?}");
        let status = json_of(&output);
        assert_eq!((&status["role"], &status["inPlace"]), (&json!("control-plane"), &json!(false)), "{status}");
        let refusal = status["refusal"].as_str().unwrap();
        assert!(refusal.starts_with(path) && refusal.contains(why), "{refusal}");
        let id = status["backups"][0].as_str().unwrap();
        // A file that is no YAML may be mended by hand.
        let regains = format!("--root {} restore {id} --force", root.display());
        assert_eq!(refusal.contains(&regains), text != Some("foo: ["), "{refusal}");
        let table = run(root, &["status"]);
        let text = String::from_utf8(table.stdout).unwrap();
        assert!(
            text.contains("manifest  unknown  -  not known; see the warning\n") && text.contains(id),
            "{text}"
        );
        assert_eq!(run(root, &["apply"]).status.code(), Some(1));
    }
    // The tag of the image is still to be read.
    for (path, text) in [
        (
            "/etc/kubernetes/manifests/kube-apiserver.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: kube-apiserver\n    image: \
          kube-apiserver:v1.33.1\n    command: [sh, -c, kube-apiserver $FLAGS]\n",
        ),
        ("/etc/kube-audit-bootstrap/policy.d/1.yaml", "rules: [\n"),
    ] {
        put(root, path, text, 0o600);
        let status = json_of(&run(root, &["status", "--output", "json"]));
        assert!(!status["refusal"].is_null(), "{status}");
        assert_eq!(status["kubernetesVersion"], "1.33", "{path}");
    }
    fs::remove_dir_all(root.join("etc/kube-audit-bootstrap")).unwrap();
    fs::remove_file(&manifest).unwrap();
    assert_eq!(json_of(&run(root, &["status", "--output", "json"]))["running"]["state"], json!("none"));
    // What restore says of a manifest that is gone, and what it does by force.
    let told = run(root, &["restore", "--dry-run"]);
    let (stdout, stderr) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(!stdout.contains("nothing to do") && stderr.contains("to put it back, run "), "{stdout}{stderr}");
    assert!(run(root, &["restore", "--force"]).status.success());
    assert!(manifest.exists());
}

#[test]
fn what_was_typed_is_named() {
    let node = control_plane();
    for (words, code, said) in [
        (&["plan", "--log-path", "x"][..], 2, "--log-path must be an absolute path"),
        (&["plan", "--kubeadm-config", "x"], 2, "--kubeadm-config must be an absolute path"),
        (&["verify"], 2, "a proof needs a running API server"),
        (&["apply", "--wait", "5s"], 2, "a proof needs a running API server"),
        (&["render", "kind", "--policy", "/x"], 2, "this snippet never holds a policy"),
        (&["render", "cloud-init", "--policy", "/x"], 2, "policy.source names no file"),
    ] {
        let output = run(node.path(), words);
        let found = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {found}");
        assert!(found.contains(said), "{words:?}: {found}");
    }
    // In an image, the ConfigMap is not known.
    let status = String::from_utf8(run(node.path(), &["status"]).stdout).unwrap();
    assert!(status.contains("kubeadm   unknown  kube-system/configmaps/kubeadm-config"), "{status}");
}

#[test]
fn a_damaged_policy_of_a_run_is_replaced() {
    let directory = control_plane();
    let root = directory.path();
    assert!(run(root, &["apply"]).status.success());
    let policy = root.join("etc/kubernetes/audit-policy.yaml");
    let right = fs::read_to_string(&policy).unwrap();
    let cut = right.find("kind: Pol").unwrap() + "kind: Pol".len();
    for text in ["foo: [", "foo", &right[..cut]] {
        fs::write(&policy, text).unwrap();
        let output = run(root, &["apply"]);
        assert_eq!(output.status.code(), Some(0), "{text}: {output:?}");
        assert_eq!(fs::read_to_string(&policy).unwrap(), right);
    }
    // After a restore, what stands there is somebody's.
    assert!(run(root, &["restore"]).status.success());
    fs::write(&policy, "foo").unwrap();
    let output = run(root, &["apply"]);
    let typed = policy.display();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("(mv {typed} {typed}.old)")), "{said}");
}

#[test]
fn a_second_restore_names_the_run_before() {
    let directory = control_plane();
    let root = directory.path();
    let id = |words: &[&str]| json_of(&run(root, words))["backup"].as_str().unwrap().to_owned();
    let first = id(&["apply", "--output", "json"]);
    fs::write(root.join("etc/kubernetes/audit-policy.yaml"), "").unwrap();
    let second = id(&["apply", "--output", "json"]);
    let preview = json_of(&run(root, &["restore", "--dry-run", "--output", "json"]));
    assert_eq!(preview["restored"], json!([]), "{preview}");
    let restored = json_of(&run(root, &["restore", "--output", "json"]));
    assert_eq!(restored["restored"], json!([second]), "{restored}");
    let again = json_of(&run(root, &["restore", "--output", "json"]));
    assert_eq!((&again["restored"], &again["changes"]), (&json!([]), &json!([])), "{again}");
    let told = again["notes"].to_string();
    assert!(told.contains(&format!("--root {} restore {first};", root.display())), "{told}");
}

/// The way back to the newest run would lead forward, to its settings.
#[test]
fn a_restore_after_one_that_undid_several_runs_does_nothing() {
    let directory = control_plane();
    let root = directory.path();
    let id = |words: &[&str]| json_of(&run(root, words))["backup"].as_str().unwrap_or_default().to_owned();
    let first = id(&["apply", "--output", "json"]);
    let second = id(&["apply", "--policy", "cis", "--output", "json"]);
    let audits = || text_at(root, AT_MANIFEST).contains("--audit-policy-file");
    let undone = id(&["restore", &first, "--output", "json"]);
    assert!(!audits());
    let again = json_of(&run(root, &["restore", "--output", "json"]));
    assert_eq!((&again["changes"], &again["backup"], audits()), (&json!([]), &Value::Null, false), "{again}");
    // If the restore is undone itself, the newest run is in place again.
    id(&["restore", &undone, "--output", "json"]);
    assert!(audits());
    let restored = json_of(&run(root, &["restore", "--output", "json"]));
    assert!(restored["restored"].as_array().unwrap().contains(&json!(second)) && audits(), "{restored}");
}

#[test]
fn a_policy_of_a_run_is_replaced_without_a_word_as_long_as_it_is_unchanged() {
    let directory = control_plane();
    let root = directory.path();
    for (policy, edits, is_told) in [("default", false, false), ("cis", false, false), ("stig", true, true)] {
        if edits {
            let text = text_at(root, "/etc/kubernetes/audit-policy.yaml");
            put(root, "/etc/kubernetes/audit-policy.yaml", format!("# mine\n{text}"), 0o600);
        }
        let told = String::from_utf8_lossy(&run(root, &["apply", "--policy", policy]).stderr).into_owned();
        assert_eq!(told.contains("another policy is here"), is_told, "{policy}: {told}");
    }
}

#[test]
fn a_command_to_type_names_the_root_directory() {
    let directory = control_plane();
    let root = directory.path();
    assert!(run(root, &["apply"]).status.success());
    put(
        root,
        "/etc/kube-audit-bootstrap/policy.d/1.yaml",
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: Request, users: [a]}\n",
        0o600,
    );
    let told = String::from_utf8_lossy(&run(root, &["policy", "check"]).stderr).into_owned();
    let at = root.display();
    let advice =
        format!("kube-audit-bootstrap --root {at} apply, or name the file {at}/etc/kubernetes/audit-policy.yaml");
    assert!(told.contains(&advice), "{told}");
}

#[test]
fn a_restore_says_that_it_switches_self_healing_off() {
    for is_enabled in [true, false] {
        let directory = control_plane();
        let root = directory.path();
        if is_enabled {
            let unit = "/etc/systemd/system/multi-user.target.wants/kube-audit-bootstrap-heal.path";
            put(root, unit, "", 0o644);
        }
        assert!(run(root, &["apply"]).status.success());
        let told = String::from_utf8(run(root, &["restore"]).stdout).unwrap();
        assert_eq!(
            told.contains("self-healing and boots change nothing on this node until"),
            is_enabled,
            "{told}"
        );
    }
}

#[test]
fn what_is_not_done_in_an_image_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir_all(root.join("run/kubeadm")).unwrap();
    let text = |words: &[&str]| {
        let output = run(root, words);
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    // A typo in the path of a kubeadm file.
    fs::write(root.join("run/kubeadm/kubeadm.yml"), "").unwrap();
    let said = text(&["plan"]);
    assert!(said.contains("note: no kubeadm configuration is at the default paths: a node from this"), "{said}");
    put(
        root,
        "/etc/kube-audit-bootstrap/config.yaml",
        "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: \
        AuditBootstrapConfiguration\nkubeadm: {configs: [/run/nofile.yaml]}\n",
        0o644,
    );
    let said = text(&["apply"]);
    assert!(said.contains("note: no kubeadm configuration is at /run/nofile.yaml: a node from this"), "{said}");
    assert!(text(&["status"]).contains("note: no kubeadm configuration"));
    // A file that has nothing in it.
    put(root, "/run/nofile.yaml", "", 0o644);
    let said = text(&["plan"]);
    assert!(said.contains("warning: /run/nofile.yaml:1:1: there is no ClusterConfiguration"), "{said}");
}

#[test]
fn restore_leaves_what_a_manifest_may_need_that_cannot_be_read() {
    let shell = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver}\nspec:\n  containers:\n  - name: \
                 kube-apiserver\n    image: i\n    command: [sh, -c, 'exec kube-apiserver $FLAGS']\n";
    let plain = shell.replace("[sh, -c, 'exec kube-apiserver $FLAGS']", "[kube-apiserver]");
    for (manifest, has_kubelet, stays) in [(shell, true, true), (&plain, true, false), (&plain, false, true)] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        // An image is prepared; on the node, something else then writes the manifest.
        fs::create_dir_all(root.join("etc/kubernetes/manifests")).unwrap();
        assert!(run(root, &["apply"]).status.success());
        let path = "/etc/kubernetes/manifests/kube-apiserver.yaml";
        fs::write(root.join(&path[1..]), manifest).unwrap();
        if !has_kubelet {
            // Where the kubelet's manifests are can't be read.
            fs::create_dir_all(root.join("var/lib/kubelet/config.yaml")).unwrap();
        }
        let output = run(root, &["restore", "--output", "json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let restored = json_of(&output);
        let policy = "/etc/kubernetes/audit-policy.yaml";
        assert_eq!(root.join(&policy[1..]).exists(), stays, "{restored}");
        let mut notes = restored["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap());
        let told = format!("{policy} stays, because the API server may need it ({path}:");
        assert_eq!(notes.any(|note| note.starts_with(&told)), stays, "{restored}");
    }
}

#[test]
fn a_boot_that_waited_for_a_restore_leaves_what_it_put_back() {
    let history = History::new();
    let root = history.node.path();
    history.write(&history.bare);
    let lock = fs::File::open(root.join(STATE).join("lock")).unwrap();
    lock.lock().unwrap();
    let boot = command(root, &["apply", "--boot"]).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    until_it_waits(&boot);
    // The restore that has the lock.
    let set = root.join(STATE).join("backups/20990101T000000Z");
    fs::create_dir(&set).unwrap();
    let index = json!({"version": 1, "when": "2099-01-01T00:00:00Z", "why": "restore", "entries": []});
    fs::write(set.join("index.json"), index.to_string()).unwrap();
    drop(lock);
    let output = boot.wait_with_output().unwrap();
    assert_eq!(history.manifest(), history.bare);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        stdout.starts_with("nothing to do: the node was restored or rolled back, by 20990101T000000Z"),
        "{output:?}"
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn restore_undoes_what_others_made_of_its_own_lines_by_force_alone() {
    let node = control_plane();
    let root = node.path();
    let manifest = root.join("etc/kubernetes/manifests/kube-apiserver.yaml");
    let before = fs::read_to_string(&manifest).unwrap();
    assert!(run(root, &["apply"]).status.success());
    let edited = fs::read_to_string(&manifest).unwrap().replace("--audit-log-maxage=30", "--audit-log-maxage=7");
    fs::write(&manifest, &edited).unwrap();
    let refused = run(root, &["restore"]);
    assert_eq!(refused.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&refused.stderr);
    for told in [
        "kube-apiserver.yaml: something else changed this after 20",
        "somebody has changed what was written here); nothing was put back",
        &format!("run kube-audit-bootstrap --root {} restore --dry-run; ", root.display()),
        &format!("run kube-audit-bootstrap --root {} restore --force", root.display()),
    ] {
        assert!(stderr.contains(told), "{stderr}");
    }
    assert_eq!(fs::read_to_string(&manifest).unwrap(), edited);
    assert_eq!(run(root, &["restore", "--dry-run"]).status.code(), Some(3));
    assert!(run(root, &["restore", "--force"]).status.success());
    assert_eq!(fs::read_to_string(&manifest).unwrap(), before);
}

/// An upgrade, an administrator's edit, and a program that writes the manifest anew, each after a run or between two.
#[test]
fn restore_takes_out_its_own_lines_and_leaves_what_others_changed() {
    type Edit = fn(&str) -> String;
    let edits: [(&str, Edit); 3] = [
        ("an upgrade", |text| text.replace("v1.33.1", "v1.34.0")),
        ("another flag", |text| text.replace("    - --secure-port", "    - --v=4 # for now\n    - --secure-port")),
        // As kubeadm does: no marks, flags in order, no field that is false.
        ("kubeadm", |text| {
            let lines: Vec<_> = text.lines().filter(|line| *line != "      readOnly: false").collect();
            let is_flag = |line: &&str| line.starts_with("    - --");
            let mut flags: Vec<_> = lines.iter().copied().filter(is_flag).collect();
            flags.sort_unstable();
            let mut flags = flags.into_iter();
            lines
                .iter()
                .map(|line| format!("{}\n", if is_flag(line) { flags.next().unwrap() } else { line }))
                .collect()
        }),
    ];
    let audits = |text: &str| text.contains("audit");
    for (what, edit) in edits {
        for is_between in [false, true] {
            let node = control_plane();
            let root = node.path();
            let manifest = root.join("etc/kubernetes/manifests/kube-apiserver.yaml");
            let read = || fs::read_to_string(&manifest).unwrap();
            let before = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-apiserver\nspec:\n  containers:\n  - command:\n    - \
                          kube-apiserver\n    - --secure-port=6443\n    - --allow-privileged=true\n    image: kube-apiserver:v1.33.1\n    \
                          name: kube-apiserver\n    volumeMounts:\n    - mountPath: /etc/kubernetes/pki\n      name: pki\n      \
                          readOnly: true\n  hostNetwork: true\n  volumes:\n  - hostPath:\n      path: /etc/kubernetes/pki\n    \
                          name: pki\n";
            fs::write(&manifest, before).unwrap();
            let first = json_of(&run(root, &["apply", "--output", "json"]))["backup"].as_str().unwrap().to_owned();
            let edited = edit(&read());
            assert_ne!(edited, read(), "{what}");
            fs::write(&manifest, &edited).unwrap();
            if is_between {
                let policy = root.join("policy.yaml");
                fs::write(&policy, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Request\n")
                    .unwrap();
                assert!(run(root, &["apply", "--policy", policy.to_str().unwrap()]).status.success(), "{what}");
            }
            let restored = run(root, &["restore", &first]);
            let stdout = String::from_utf8_lossy(&restored.stdout);
            assert_eq!(restored.status.code(), Some(0), "{what}: {restored:?}");
            let note = "kube-apiserver.yaml: something else changed this, too, and that stays";
            assert!(stdout.contains(note), "{what}: {stdout}");
            let after = read();
            assert!(!audits(&after) && !root.join("etc/kubernetes/audit-policy.yaml").exists(), "{what}: {after}");
            let sorted = |text: &str| {
                let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
                lines.sort_unstable();
                lines
            };
            assert_eq!(sorted(&after), sorted(&edit(before)), "{what}");
        }
    }
}

/// A policy of an administrator that an apply replaced is where a way back past that apply ends.
#[test]
fn restore_does_not_go_past_a_file_of_somebody_else() {
    let node = control_plane();
    let root = node.path();
    let policy = root.join("etc/kubernetes/audit-policy.yaml");
    let id = |output: Output| json_of(&output)["backup"].as_str().unwrap().to_owned();
    let first = id(run(root, &["apply", "--output", "json"]));
    let mine = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Request # mine\n";
    fs::write(&policy, mine).unwrap();
    let second = id(run(root, &["apply", "--output", "json"]));
    let refused = run(root, &["restore", &first]);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    let told = format!("audit-policy.yaml: something else changed this after {first}; nothing was put back");
    assert!(refused.status.code() == Some(1) && stderr.contains(&told), "{stderr}");
    assert!(
        stderr.contains(&format!(
            "to undo only the runs after that change, run kube-audit-bootstrap --root {} restore {second};",
            root.display()
        )),
        "{stderr}"
    );
    assert!(run(root, &["restore", &second]).status.success());
    assert_eq!(fs::read_to_string(&policy).unwrap(), mine);
}

#[test]
fn what_the_manifest_is_a_link_to_is_no_stray_and_another_name_of_it_is() {
    for target in [
        "kube-apiserver-v1.33.yaml",
        "./kube-apiserver-v1.33.yaml",
        "/etc/kubernetes/manifests/kube-apiserver-v1.33.yaml",
    ] {
        let node = control_plane();
        let directory = node.path().join("etc/kubernetes/manifests");
        let (link, real) = (directory.join("kube-apiserver.yaml"), directory.join("kube-apiserver-v1.33.yaml"));
        fs::rename(&link, &real).unwrap();
        std::os::unix::fs::symlink(target, &link).unwrap();
        for _ in 0..2 {
            assert_eq!(run(node.path(), &["apply"]).status.code(), Some(0), "{target}");
            assert!(fs::read_to_string(&real).unwrap().contains("--audit-policy-file="), "{target}");
        }
        assert!(link.is_symlink(), "{target}");
        // The same file by another name keeps its text when the manifest is replaced.
        fs::hard_link(&real, directory.join("old")).unwrap();
        assert_eq!(run(node.path(), &["apply"]).status.code(), Some(0), "{target}");
        assert!(!directory.join("old").exists() && real.exists(), "{target}");
    }
}

/// That may be why somebody goes back.
#[test]
fn what_became_wrong_since_does_not_bar_the_way_back() {
    const MANIFEST: &str = "etc/kubernetes/manifests/kube-apiserver.yaml";
    for (path, bytes, option, told) in [
        (
            "etc/kube-audit-bootstrap/config.yaml",
            &b"log: [\n"[..],
            None,
            "restore continues, with what the backups say about the manifest",
        ),
        ("var/lib/kubelet/config.yaml", b"\xff", None, "var/lib/kubelet/config.yaml:1:1: this is no text file"),
        (MANIFEST, b"\xff", Some("--force"), "kube-apiserver.yaml:1:1: this is no text file"),
        (MANIFEST, b"spec: [\n", Some("--force"), ""),
    ] {
        let node = control_plane();
        let root = node.path();
        let before = fs::read(root.join(MANIFEST)).unwrap();
        assert!(run(root, &["apply"]).status.success());
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), bytes).unwrap();
        let output = run(root, &["restore"].into_iter().chain(option).collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(0), "{path}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(told), "{path}: {output:?}");
        assert_eq!(fs::read(root.join(MANIFEST)).unwrap(), before, "{path}");
    }
}

#[test]
fn restore_puts_back_what_others_removed_by_force_alone() {
    for force in [false, true] {
        let node = control_plane();
        let root = node.path();
        let manifest = root.join("etc/kubernetes/manifests/kube-apiserver.yaml");
        let before = fs::read(&manifest).unwrap();
        assert!(run(root, &["apply"]).status.success());
        fs::remove_file(&manifest).unwrap();
        let output = run(root, if force { &["restore", "--force"] } else { &["restore"] });
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(fs::read(&manifest).ok(), force.then_some(before));
        let stderr = String::from_utf8_lossy(&output.stderr);
        let why =
            "warning: /etc/kubernetes/manifests/kube-apiserver.yaml: something else removed the manifest since";
        assert_eq!(stderr.contains(why) && stderr.contains(" --force\n"), !force, "{output:?}");
    }
}

/// A control plane and what a later run needs to know of it: its manifest as kubeadm made it, and with the settings.
struct History {
    node: tempfile::TempDir,
    bare: Vec<u8>,
    wired: Vec<u8>,
}

impl History {
    fn new() -> History {
        let mut history = History { node: control_plane(), bare: Vec::new(), wired: Vec::new() };
        history.bare = history.manifest();
        history.run("apply");
        history.wired = history.manifest();
        history
    }

    fn manifest(&self) -> Vec<u8> {
        fs::read(self.node.path().join("etc/kubernetes/manifests/kube-apiserver.yaml")).unwrap()
    }

    fn write(&self, manifest: &[u8]) {
        fs::write(self.node.path().join("etc/kubernetes/manifests/kube-apiserver.yaml"), manifest).unwrap();
    }

    /// What a run that must succeed prints.
    fn run(&self, words: &str) -> String {
        let output = run(self.node.path(), &words.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(0), "{words}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The id of the set that a run makes.
    fn set(&self, words: &str) -> String {
        let document: Value = serde_json::from_str(&self.run(&format!("{words} --output json"))).unwrap();
        document["backup"].as_str().unwrap().to_owned()
    }

    /// Does a boot repair a manifest that lost its settings? They are in it when this returns.
    fn is_repaired_by_a_boot(&self) -> bool {
        self.write(&self.bare);
        let said = self.run("apply --boot");
        let is_repaired = self.manifest() == self.wired;
        assert_eq!(said.contains("the node was restored or rolled back, by "), !is_repaired, "{said}");
        self.write(&self.wired);
        is_repaired
    }

    /// The line of `status` that says why nothing is repaired.
    fn told(&self) -> Option<String> {
        let output = run(self.node.path(), &["status"]);
        let stdout = String::from_utf8(output.stdout).unwrap();
        stdout.lines().find(|line| line.starts_with("healing ")).map(str::to_owned)
    }
}

#[test]
fn an_apply_by_hand_ends_that_a_node_was_put_back_even_if_it_finds_nothing_to_do() {
    let history = History::new();
    let root = history.node.path();
    let kubernetes = root.join("etc/kubernetes");
    let policy = fs::read(kubernetes.join("audit-policy.yaml")).unwrap();
    assert_eq!((history.told(), history.is_repaired_by_a_boot()), (None, true));
    history.run("apply");
    let id = history.set("restore");
    // Somebody puts the settings in by hand.
    fs::write(kubernetes.join("audit-policy.yaml"), policy).unwrap();
    fs::set_permissions(kubernetes.join("audit-policy.yaml"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir_all(root.join("var/log/kubernetes/audit")).unwrap();
    fs::set_permissions(root.join("var/log/kubernetes/audit"), fs::Permissions::from_mode(0o700)).unwrap();
    history.write(&history.wired);
    let told = format!(
        "healing   off      neither self-healing nor a boot repairs anything until you run \
         apply: {id} restored the node or rolled it back"
    );
    assert_eq!((history.told(), history.is_repaired_by_a_boot()), (Some(told), false));
    // Only an apply by hand makes a difference, and that once.
    let before = tree(root);
    for words in ["plan", "apply --dry-run", "apply --boot", "status"] {
        history.run(words);
        assert_eq!(tree(root), before, "{words}");
    }
    assert!(history.run("apply").contains("nothing to do: everything is in place"));
    let after = tree(root);
    assert_ne!(after, before);
    assert_eq!(history.told(), None);
    history.run("apply");
    assert_eq!(tree(root), after);
    assert!(history.is_repaired_by_a_boot());

    // Another one is another matter.
    history.run("apply");
    history.run("restore");
    assert!(!history.is_repaired_by_a_boot());
}

#[test]
fn a_run_that_is_done_does_not_fail_because_of_its_note() {
    let history = History::new();
    let root = history.node.path();
    let told = |words: &str| {
        let output = run(root, &words.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(0), "{words}: {output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("cannot write /var/lib/kube-audit-bootstrap/forgotten"), "{words}: {stderr}");
    };
    let first = history.set("restore");
    // What is in the way of the note.
    let bar = root.join(STATE).join(".forgotten.kube-audit-bootstrap/x");
    fs::create_dir_all(&bar).unwrap();
    // A restore that undoes a restore.
    told(&format!("restore {first}"));
    assert_eq!(history.manifest(), history.wired);
    assert!(history.told().is_some());
    told("apply");
    assert!(history.told().is_some(), "a boot and self-healing change nothing yet");
    fs::remove_dir_all(bar.parent().unwrap()).unwrap();
    history.run("apply");
    assert_eq!(history.told(), None);
}

#[test]
fn an_apply_by_hand_that_finds_nothing_to_do_ends_a_fight_too() {
    let history = History::new();
    for repair in 1..=3 {
        let set = history.node.path().join(STATE).join(format!("backups/20990101T00000{repair}Z"));
        fs::create_dir(&set).unwrap();
        let index = json!({"version": 1, "when": "2099-01-01T00:00:00Z", "why": "heal", "entries": []});
        fs::write(set.join("index.json"), index.to_string()).unwrap();
    }
    let healing = || {
        let status: Value = serde_json::from_str(&history.run("status --output json")).unwrap();
        let repairs = status["selfHealing"]["repairs"].as_array().unwrap().len();
        (repairs, status["selfHealing"]["stopped"].as_bool().unwrap())
    };
    assert_eq!(healing(), (3, true));
    history.run("apply --boot");
    assert_eq!(healing(), (3, true));
    history.run("apply");
    assert_eq!(healing(), (0, false));
}

#[test]
fn a_restore_that_takes_a_restore_back_leaves_the_node_to_boots_again() {
    let history = History::new();
    let first = history.set("restore");
    assert_eq!(history.manifest(), history.bare);
    let second = history.set(&format!("restore {first}"));
    assert_eq!((history.manifest() == history.wired, history.told()), (true, None));
    assert!(history.is_repaired_by_a_boot());
    history.run("apply");
    // And back, which is as it was after the first one.
    history.run(&format!("restore {second} --force"));
    assert_eq!(history.manifest(), history.bare);
    assert!(history.told().is_some());
    assert!(!history.is_repaired_by_a_boot());

    // Who takes an apply back means it, whatever is left for another one.
    let history = History::new();
    let policy = history.node.path().join("policy.yaml");
    fs::write(&policy, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Request\n").unwrap();
    history.run(&format!("apply --policy {}", policy.display()));
    history.run("restore");
    history.run("plan");
    assert!(history.told().is_some());
    assert!(!history.is_repaired_by_a_boot());
}

#[test]
fn a_boot_leaves_what_was_put_back_and_the_proof_of_what_it_repairs() {
    let root = control_plane();
    let status = || json_of(&run(root.path(), &["status", "--output", "json"]));
    assert_eq!(run(root.path(), &["apply", "--boot"]).status.code(), Some(0));
    let repaired = status();
    assert_eq!(repaired["inPlace"], true);
    assert_eq!(repaired["unproved"], repaired["backups"][0]);
    // It stays so until somebody proves it, or applies by hand.
    assert_eq!(run(root.path(), &["apply", "--boot"]).status.code(), Some(0));
    assert_eq!(status()["unproved"], repaired["unproved"]);
    assert_eq!(run(root.path(), &["restore"]).status.code(), Some(0));
    let output = run(root.path(), &["apply", "--boot"]);
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("the node was restored or rolled back"),
        "{output:?}"
    );
    assert_eq!((output.status.code(), status()["inPlace"].clone()), (Some(0), false.into()));
    assert_eq!(run(root.path(), &["apply"]).status.code(), Some(0));
    assert_eq!((status()["inPlace"].clone(), status()["unproved"].is_null()), (true.into(), true));
}

#[test]
fn a_worker_boots_whatever_the_configuration_is() {
    for (certificate, code) in [(None, 0), (Some("etc/kubernetes/pki/apiserver.crt"), 2)] {
        let root = tempfile::tempdir().unwrap();
        let broken = [("etc/kubernetes/kubelet.conf", ""), ("etc/kube-audit-bootstrap/config.yaml", "a: b\n")];
        for (path, text) in broken.into_iter().chain(certificate.map(|path| (path, ""))) {
            fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
            fs::write(root.path().join(path), text).unwrap();
        }
        assert_eq!(run(root.path(), &["apply", "--boot"]).status.code(), Some(code), "{certificate:?}");
        assert_eq!(run(root.path(), &["apply"]).status.code(), Some(2));
    }
}

#[test]
fn an_empty_root_is_a_mount_that_failed() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(directory.path(), &["apply"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    assert_eq!(run(&directory.path().join("no-such"), &["plan"]).status.code(), Some(2));
}

#[test]
fn a_control_plane_without_its_manifest_is_no_worker() {
    let directory = tempfile::tempdir().unwrap();
    let kubernetes = directory.path().join("etc/kubernetes");
    fs::create_dir_all(kubernetes.join("pki")).unwrap();
    fs::write(kubernetes.join("kubelet.conf"), "").unwrap();
    assert_eq!(run(directory.path(), &["apply"]).status.code(), Some(0));
    fs::write(kubernetes.join("pki/apiserver.crt"), "").unwrap();
    let output = run(directory.path(), &["apply"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("set manifest.path"));
}

#[test]
fn a_policy_on_standard_input_is_read_once() {
    let node = control_plane();
    let root = node.path();
    fs::create_dir_all(root.join(STATE)).unwrap();
    let lock = fs::File::create(root.join(STATE).join("lock")).unwrap();
    lock.lock().unwrap();
    let mut waiting = command(root, &["apply", "--policy", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let policy = b"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Request\n";
    std::io::Write::write_all(&mut waiting.stdin.take().unwrap(), policy).unwrap();
    until_it_waits(&waiting);
    // The node changes meanwhile, so the run looks again.
    let manifest = root.join("etc/kubernetes/manifests/kube-apiserver.yaml");
    fs::write(&manifest, fs::read_to_string(&manifest).unwrap() + "# another\n").unwrap();
    drop(lock);
    assert!(waiting.wait_with_output().unwrap().status.success());
    assert_eq!(fs::read(root.join("etc/kubernetes/audit-policy.yaml")).unwrap(), policy);
}

const EXPLAINED: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [system:kube-proxy]
- level: Metadata
  verbs: [create, patch]
- level: RequestResponse
  resources:
  - resources: [pods/log]
  omitStages: [Panic]
  omitManagedFields: true
- level: Request
  namespaces: [team]
- level: None
  userGroups: [system:authenticated]
  nonResourceURLs: [/healthz*]
# kube-audit-bootstrap: allow PA109, PA121, PA122
";

#[test]
fn a_policy_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("p.yaml");
    fs::write(&file, EXPLAINED).unwrap();
    let first = "rule 1 at 5:3: users: \"alice\" is not in [system:kube-proxy]\n";
    let second = "rule 2 at 7:3: verbs: \"get\" is not in [create, patch]\n";
    let third = "rule 3 at 9:3: resources: \"pods\" is not in [pods/log]\n";
    for (arguments, stdout, stderr) in [
        (
            "--verb get --resource pods/log --namespace kube-system",
            format!(
                "{first}{second}rule 3 at 9:3 decides\nlevel: RequestResponse\nstages not recorded: RequestReceived, \
                 Panic\nmanaged fields: left out\n"
            ),
            "",
        ),
        (
            "--verb get --path /healthz/etcd",
            format!(
                "{first}{second}rule 3 at 9:3: it is about resources, and the request is not\nrule 4 at 14:3: it is about \
                 resources, and the request is not\nrule 5 at 16:3 decides\nlevel: None, so nothing is recorded\n"
            ),
            "",
        ),
        (
            "--verb get --resource pods --namespace kube-system --name a",
            format!(
                "{first}{second}{third}rule 4 at 14:3: namespaces: \"kube-system\" is not in [team]\nrule 5 at 16:3: it is \
                 about nonResourceURLs, and the request is for a resource\nno rule matches\nlevel: None, so nothing is recorded\n"
            ),
            "",
        ),
        (
            "--verb get --resource namespaces --name team",
            format!(
                "{first}{second}{}rule 4 at 14:3 decides\nlevel: Request\nstages not recorded: RequestReceived\nmanaged \
                 fields: kept\n",
                third.replace("\"pods\"", "\"namespaces\"")
            ),
            "",
        ),
        (
            "--verb create --resource deployment --name a",
            format!(
                "{first}rule 2 at 7:3 decides\nlevel: Metadata\nstages not recorded: RequestReceived\nmanaged fields: kept\n"
            ),
            "warning: the API server doesn't look at the name of an object that a request creates: the name is ignored\nwarning: there are \
             no \"deployment\" in group \"\"; did you mean deployments in group \"apps\"?\n",
        ),
    ] {
        let mut words = vec!["policy", "explain", file.to_str().unwrap(), "--user", "alice"];
        words.extend(arguments.split(' '));
        let output = run(directory.path(), &words);
        assert_eq!(output.status.code(), Some(0), "{arguments}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), stdout, "{arguments}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), stderr, "{arguments}");
    }
    let user = "system:serviceaccount:team:bot";
    let request = "--verb list --resource jobs --api-group batch --group team:admins --group night";
    let request: Vec<_> = ["--user", user].into_iter().chain(request.split(' ')).collect();
    let output = run(
        directory.path(),
        &[&["policy", "explain", "--output", "json", file.to_str().unwrap()], &request[..]].concat(),
    );
    let document = json_of(&output);
    assert_eq!(document["accepted"], true);
    assert_eq!(
        document["request"],
        json!({
            "user": user,
            "groups": [
                "team:admins",
                "night",
                "system:serviceaccounts",
                "system:serviceaccounts:team",
                "system:authenticated",
            ],
            "verb": "list",
            "apiGroup": "batch",
            "resource": "jobs",
            "subresource": "",
            "namespace": "",
            "name": "",
        })
    );
    assert_eq!((&document["rule"], &document["level"]), (&Value::Null, &json!("None")));
    assert_eq!(document["omitStages"], json!(["RequestReceived"]));
    assert_eq!(
        document["passedOver"][2],
        json!({"number": 3, "line": 9, "column": 3, "from": null, "reason": "resources: group \"batch\" is not in [\"\"]"})
    );
}

#[test]
fn what_the_api_server_makes_of_a_policy_is_explained_unless_strict() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("p.yaml");
    fs::write(&file, EXPLAINED.replace("verbs:", "verb:")).unwrap();
    let name = file.to_str().unwrap();
    let request = ["--user", "alice", "--verb", "get", "--path", "/healthz"];
    let explain =
        |options: &[&str]| run(directory.path(), &[&["policy", "explain", name], &request[..], options].concat());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let output = explain(&["--strict"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with(&format!("error: {name}:8:3: unknown field \"rules[1].verb\"")), "{stderr}");
    let output = explain(&["--strict", "--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let document = json_of(&output);
    assert_eq!((&document["accepted"], &document["findings"][0]["line"]), (&json!(false), &json!(8)));
    // The API server drops the field, so that the rule matches each verb.
    let output = explain(&[]);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(
        stderr.contains(&format!(
            "warning: {name}:8:3: unknown field \"rules[1].verb\"; did you mean \"verbs\"? The API server drops it"
        )),
        "{stderr}"
    );
    assert!(
        output.status.code() == Some(0) && stdout.contains("rule 2 at 7:3 decides\nlevel: Metadata"),
        "{stdout}"
    );
    // What the API server refuses is refused.
    fs::write(&file, EXPLAINED.replace("level: Metadata", "level: All")).unwrap();
    assert_eq!((explain(&[]).status.code(), explain(&[]).stdout.len()), (Some(1), 0));
}

#[test]
fn the_nodes_own_policy_is_checked_for_the_nodes_version() {
    let node = control_plane();
    let file = node.path().join("etc/kubernetes/audit-policy.yaml");
    let rule = "- level: Metadata\n  resources:\n  - group: \"*\"\n";
    fs::write(&file, format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{rule}")).unwrap();
    let check = |version: Option<&str>| {
        let option = version.map(|version| ["--kubernetes-version", version]);
        run(node.path(), &["policy", "check"].into_iter().chain(option.into_iter().flatten()).collect::<Vec<_>>())
            .status
            .code()
    };
    assert_eq!((check(None), check(Some("v1.36.0"))), (Some(1), Some(0)));
    let manifest = node.path().join("etc/kubernetes/manifests/kube-apiserver.yaml");
    fs::write(&manifest, fs::read_to_string(&manifest).unwrap().replace("v1.33.1", "v1.36.0")).unwrap();
    assert_eq!((check(None), check(Some("v1.35.0"))), (Some(0), Some(1)));
}

#[test]
fn the_policy_that_a_node_keeps_is_its_own() {
    let node = control_plane();
    let manifest = node.path().join("etc/kubernetes/manifests/kube-apiserver.yaml");
    let text = fs::read_to_string(&manifest).unwrap();
    let text = text.replace("[kube-apiserver]", "[kube-apiserver, --audit-policy-file=/etc/kept.yaml]");
    fs::write(&manifest, text).unwrap();
    let policy = |level: &str| format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: {level}\n");
    fs::write(node.path().join("etc/kept.yaml"), policy("Request")).unwrap();
    fs::write(node.path().join("etc/kubernetes/audit-policy.yaml"), policy("None")).unwrap();
    let config = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\nexisting: ";
    fs::create_dir_all(node.path().join("etc/kube-audit-bootstrap")).unwrap();
    for (existing, path, level) in
        [("keep", "/etc/kept.yaml", "Request"), ("replace", "/etc/kubernetes/audit-policy.yaml", "None")]
    {
        let file = node.path().join("etc/kube-audit-bootstrap/config.yaml");
        fs::write(file, format!("{config}{existing}\n")).unwrap();
        let checked = json_of(&run(node.path(), &["policy", "check", "--output", "json"]));
        assert_eq!(checked["file"], path, "{existing}");
        let asked =
            ["policy", "explain", "--user", "a", "--verb", "get", "--resource", "pods", "--output", "json"];
        assert_eq!(json_of(&run(node.path(), &asked))["level"], level, "{existing}");
    }
}

#[test]
fn the_clusters_own_configuration_is_left_where_somebody_says_so() {
    let node = control_plane();
    let config = node.path().join("config.yaml");
    let head = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\n";
    for (cluster, option, is_asked) in [
        ("true", None, true),
        ("true", Some("--no-cluster"), false),
        ("false", None, false),
        ("false", Some("--no-cluster"), false),
    ] {
        fs::write(&config, format!("{head}kubeadm: {{cluster: {cluster}}}\n")).unwrap();
        for verb in ["plan", "status", "apply"] {
            let dry = (verb == "apply").then_some("--dry-run");
            let words =
                [Some(verb), dry, Some("--config"), config.to_str(), Some("--output"), Some("json"), option];
            let words: Vec<_> = words.into_iter().flatten().collect();
            let document = json_of(&run(node.path(), &words));
            let warnings: Vec<_> =
                document["warnings"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
            // Nobody can be asked in a root, which is told to who wants it asked.
            let told = warnings.iter().any(|warning| warning.contains("kubeadm-config: not edited"));
            assert_eq!(told, is_asked, "{words:?}, cluster: {cluster}: {warnings:?}");
        }
    }
}

/// The packages bring a configuration that is commented out: as it is, and without the marks, it is the default.
#[test]
fn the_packaged_configuration_is_the_default() {
    let packaged = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/image/config.yaml")).unwrap();
    let (_, fields) = packaged.split_once("#\n").unwrap();
    let fields: String = fields.lines().map(|line| line.strip_prefix("# ").unwrap().to_owned() + "\n").collect();
    assert!(fields.starts_with("apiVersion: "), "{fields}");
    let node = control_plane();
    let config = node.path().join("etc/kube-audit-bootstrap/config.yaml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    let plan = || {
        let output = run(node.path(), &["plan", "--output", "json"]);
        assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
        json_of(&output)
    };
    let default = plan();
    for text in [&packaged, &fields, &fields.replace("maxAge: 30 ", "maxAge: 31 ")] {
        fs::write(&config, text).unwrap();
        assert_eq!(plan() == default, !text.contains("maxAge: 31"), "{text}");
    }
}

#[test]
fn the_version_has_the_commit_where_git_knows_it() {
    let output = run(Path::new("/"), &["--version"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let commit = Command::new("git")
        .args(["show", "--no-patch", "--format=%H %cs"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let version = concat!("kube-audit-bootstrap ", env!("CARGO_PKG_VERSION"));
    let Ok(commit) = commit else {
        // Who runs the tests has no git; who built the program may have had it.
        let built = printed.strip_prefix(version).unwrap().trim_end();
        let words = built.strip_prefix(" (").and_then(|words| words.strip_suffix(')')?.split_once(' '));
        let is_commit =
            words.is_some_and(|(hash, day)| hash.trim_end_matches("-dirty").len() == 12 && day.len() == 10);
        assert!(built.is_empty() || is_commit, "{printed}");
        return;
    };
    let commit = Some(commit)
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8(output.stdout).unwrap());
    match commit.as_deref().map(|commit| commit.trim().split_once(' ').unwrap()) {
        Some((hash, day)) => {
            let clean = format!("{version} ({} {day})\n", &hash[..12]);
            let dirty = format!("{version} ({}-dirty {day})\n", &hash[..12]);
            assert!(printed == clean || printed == dirty, "{printed}");
        }
        None => assert_eq!(printed, format!("{version}\n")),
    }
}

#[test]
fn the_version_is_dirty_where_the_sources_are_others() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path();
    let put = |path: &str, text: &str| {
        fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
        fs::write(tree.join(path), text).unwrap();
    };
    let git = |words: &[&str]| {
        let own = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgSign=false"];
        let day = "2026-11-26T12:00:00Z";
        let mut git = Command::new("git");
        for name in build::ANOTHER_REPOSITORY {
            git.env_remove(name);
        }
        git.arg("-C").arg(tree).args(own).args(words).env("GIT_COMMITTER_DATE", day).env("GIT_AUTHOR_DATE", day);
        git.output().map(|output| {
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        })
    };
    put("src/main.rs", "one");
    put("README.md", "one");
    assert_eq!(build::commit(tree), None, "no repository");
    if git(&["init", "--quiet"]).is_err() {
        // Where git isn't installed, no build knows a commit.
        assert_eq!(build::commit(Path::new(env!("CARGO_MANIFEST_DIR"))), None);
        return;
    }
    git(&["add", "."]).unwrap();
    git(&["commit", "--quiet", "--message", "one"]).unwrap();
    let hash = git(&["rev-parse", "HEAD"]).unwrap()[..12].to_owned();
    let (clean, dirty) = (format!("{hash} 2026-11-26"), format!("{hash}-dirty 2026-11-26"));
    assert_eq!(build::commit(tree), Some(clean.clone()));
    for (path, text, named) in [
        ("README.md", "two", &clean),
        ("notes", "mine", &clean),
        ("src/main.rs", "two", &dirty),
        ("src/main.rs", "one", &clean),
        ("src/new.rs", "new", &dirty),
    ] {
        put(path, text);
        assert_eq!(build::commit(tree).as_ref(), Some(named), "{path}: {text}");
    }
    assert_eq!(build::commit(&tree.join("src")), None, "unpacked within somebody's repository");
}

#[test]
fn a_link_that_leads_the_container_away_from_a_webhooks_file_is_refused() {
    // The kubeconfig, and the file that it names, each directly in the directory or below a link in it.
    for (kubeconfig, token, target, refused) in [
        ("now/w.yaml", "t", "/data/new", Some("now/w.yaml")),
        ("now/w.yaml", "t", "new", None),
        ("new/w.yaml", "/etc/audit/now/t", "/data/new", Some("now/t")),
        ("new/w.yaml", "/etc/audit/now/t", "new", None),
    ] {
        let node = control_plane();
        let root = node.path();
        let manifest = root.join("etc/kubernetes/manifests/kube-apiserver.yaml");
        let text = fs::read_to_string(&manifest).unwrap().replace(
            "[kube-apiserver]\n",
            &format!(
                "[kube-apiserver, --audit-webhook-config-file=/etc/audit/{kubeconfig}]\n    volumeMounts:\n    - {{name: \
                 a, mountPath: /etc/audit}}\n  volumes:\n  - {{name: a, hostPath: {{path: /etc/audit}}}}\n"
            ),
        );
        fs::write(&manifest, text).unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n\
             clusters: [{{name: a, cluster: {{server: 'https://192.0.2.9'}}}}]\n\
             users: [{{name: a, user: {{tokenFile: {token}}}}}]\n"
        );
        for directory in ["etc/audit/new", "data/new"] {
            fs::create_dir_all(root.join(directory)).unwrap();
            fs::write(root.join(directory).join("w.yaml"), &text).unwrap();
            fs::write(root.join(directory).join("t"), "token").unwrap();
        }
        std::os::unix::fs::symlink(target, root.join("etc/audit/now")).unwrap();
        let plan = run(root, &["plan"]);
        let stderr = String::from_utf8_lossy(&plan.stderr);
        assert_eq!(plan.status.code() == Some(1), refused.is_some(), "{kubeconfig} {token} {target}: {stderr}");
        if let Some(file) = refused {
            let words = format!(
                "/etc/audit/{file}: /etc/audit/now is a symbolic link, which the API server's container resolves"
            );
            assert!(stderr.contains(&words), "{kubeconfig} {token} {target}: {stderr}");
        }
    }
}

/// What a setting names is told with the setting, and nobody is told to move away what the node needs.
#[test]
fn a_setting_that_names_a_directory_says_which_file_to_name() {
    let head = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\n";
    for (lines, options, told, code) in [
        (
            "manifest: {path: /etc/kubernetes/manifests}",
            &[][..],
            "manifest.path names this directory; name a file in it",
            2,
        ),
        ("policy: {source: /etc/kubernetes}", &[], "policy.source names this directory", 2),
        ("policy: {path: /etc/kubernetes}", &[], "policy.path names this directory", 2),
        ("kubeadm: {configs: [/etc/kubernetes]}", &[], "kubeadm.configs names this directory", 2),
        ("webhook: {configFile: /etc/kubernetes}", &[], "webhook.configFile names this directory", 2),
        ("", &["--kubeadm-config", "/etc/kubernetes"], "--kubeadm-config names this directory", 2),
        ("", &["--kubeadm-config", "/etc/none"], "there is no such file; name an existing kubeadm", 2),
        (
            "",
            &["--patches", "/etc/kubernetes/manifests/kube-apiserver.yaml"],
            "takes a directory; name one, such as /etc",
            2,
        ),
        ("manifest: {path: /etc/none.yaml}", &[], "correct manifest.path", 2),
        (
            "policy: {path: /etc/kubernetes/manifests/audit-policy.yaml}",
            &[],
            "must not be in the manifest directory",
            2,
        ),
        ("log: {path: /var/log/kubernetes/audit}", &[], "name a file in it, such as audit.log in it", 1),
    ] {
        let node = control_plane();
        let root = node.path();
        put(root, "/etc/kube-audit-bootstrap/config.yaml", format!("{head}{lines}\n"), 0o644);
        fs::create_dir_all(root.join("var/log/kubernetes/audit")).unwrap();
        let before = tree(root);
        let output = run(root, &[&["apply"], options].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{lines} {options:?}: {stderr}");
        assert!(stderr.contains(told) && !stderr.contains("move it away"), "{lines} {options:?}: {stderr}");
        assert_eq!(tree(root), before, "{lines}");
    }
}

#[test]
fn status_says_why_no_plan_can_be_made_whatever_is_at_a_path() {
    for (path, target) in [
        ("etc/kubernetes/manifests/kube-apiserver.yaml", Some("nothing")),
        ("etc/kubernetes/manifests/kube-apiserver.yaml", None),
        ("etc/kubernetes/audit-policy.yaml", Some("nothing")),
        ("var/log/kubernetes/audit", Some("/nothing")),
    ] {
        let node = control_plane();
        let at = node.path().join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&at);
        match target {
            Some(target) => std::os::unix::fs::symlink(target, &at).unwrap(),
            None => fs::create_dir(&at).unwrap(),
        }
        let output = run(node.path(), &["status", "--output", "json"]);
        let case = format!("{path} {target:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(3), "{case}");
        let document = json_of(&output);
        assert!(document["refusal"].as_str().unwrap().contains(path), "{case}{document}");
        assert_eq!(document["role"], "control-plane", "{case}");
    }
}

#[test]
fn a_root_without_etc_is_no_node() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("image")).unwrap();
    let output = run(directory.path(), &["apply"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("; mount the image first, or name the directory in it")
    );
    assert_eq!(tree(directory.path()).len(), 1);
}

#[test]
fn a_configuration_under_another_name_and_a_kubeadm_file_that_nobody_names_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    put(root, "/etc/kube-audit-bootstrap/config.yml", "existing: keep\n", 0o644);
    let text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";
    put(root, "/etc/kubernetes/kubeadm-init.yaml", text, 0o600);
    let told = String::from_utf8_lossy(&run(root, &["plan"]).stderr).into_owned();
    for words in
        ["config.yml", "name it config.yaml", "/etc/kubernetes/kubeadm-init.yaml: this looks like a kubeadm"]
    {
        assert!(told.contains(words), "{words}: {told}");
    }
    // Misspelt beyond a letter or two.
    put(root, "/etc/kubernetes/kubeadm.yaml", text.replace("Configuration", "Config"), 0o600);
    let output = run(root, &["plan"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("did you mean ClusterConfiguration?"), "{told}");
}

#[test]
fn the_snippet_without_the_program_mounts_what_the_kubeconfig_of_the_webhook_names() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let head = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\n";
    put(
        root,
        "/etc/kube-audit-bootstrap/config.yaml",
        format!("{head}webhook: {{configFile: /etc/kubernetes/wh.conf}}\n"),
        0o644,
    );
    let render = || run(root, &["render", "cluster-api-files"]);
    let told = String::from_utf8_lossy(&render().stderr).into_owned();
    assert!(told.contains("is not there to be read, so the snippet mounts no file that it names"), "{told}");
    put(
        root,
        "/etc/kubernetes/audit-ca.crt",
        include_str!("cases/control-plane-webhook-names-files/before/etc/kubernetes/collector/ca.crt"),
        0o644,
    );
    let kubeconfig = "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://10.0.0.9', certificate-authority: \
                      /etc/kubernetes/audit-ca.crt}}]\nusers: [{name: u, user: {token: t}}]\ncontexts: [{name: x, context: {cluster: c, \
                      user: u}}]\ncurrent-context: x\n";
    put(root, "/etc/kubernetes/wh.conf", kubeconfig, 0o600);
    let output = render();
    let (text, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("mountPath: /etc/kubernetes/audit-ca.crt"), "{text}{told}");
    assert!(told.contains("/etc/kubernetes/audit-ca.crt: the kubeconfig of the webhook names this"), "{told}");
}

#[test]
fn a_backup_that_cannot_be_read_is_listed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    put(root, "/etc/x", "", 0o644);
    put(root, "/var/lib/kube-audit-bootstrap/backups/20261124T121326Z/index.json", "{", 0o600);
    let output = run(root, &["restore", "--list"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "20261124T121326Z  can't be read; see the warning\n");
    let told = String::from_utf8_lossy(&run(root, &["status"]).stderr).into_owned();
    assert_eq!(told.matches("this backup can't be read").count(), 1, "{told}");
    let text = String::from_utf8_lossy(&run(root, &["status"]).stdout).into_owned();
    assert!(text.ends_with("backups   unreadable: 20261124T121326Z; see the warning\n"), "{text}");
    let status = json_of(&run(root, &["status", "--output", "json"]));
    assert_eq!((&status["backups"], &status["unreadableBackups"]), (&json!([]), &json!(["20261124T121326Z"])));
}

#[test]
fn a_time_with_a_unit_is_no_number_of_seconds() {
    let node = control_plane();
    for verb in ["apply", "restore"] {
        let output = run(node.path(), &[verb, "--lock-timeout", "5m"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("write a number of seconds, such as 300"));
    }
}
const AT_MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const AT_POLICY: &str = "/etc/kubernetes/audit-policy.yaml";
const AT_CONFIG: &str = "/etc/kube-audit-bootstrap/config.yaml";

fn configure(root: &Path, lines: &str) {
    let kind = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\n";
    put(root, AT_CONFIG, format!("{kind}{lines}"), 0o644);
}

fn text_at(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(&path[1..])).unwrap()
}

/// What counts is the manifest that a restore leaves, and what its API server finds then.
#[test]
fn a_restore_that_would_stop_the_api_server_is_told() {
    let webhook = |server: &str, files: &str| {
        format!(
            "clusters: [{{name: c, cluster: {{server: 'https://{server}'}}}}]\nusers: [{{name: u, user: {{{files}}}}}]\n\
             contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\ncurrent-context: x\n"
        )
    };
    // Each: the configuration of two runs, what is done before the second and before the restore, and what is told.
    type Act = fn(&Path);
    let nothing: Act = |_| {};
    let cases: [(&str, &str, Act, Act, &str); 3] = [
        (
            "policy: {path: /etc/a/p.yaml}\n",
            "policy: {path: /etc/b/p.yaml}\n",
            nothing,
            |root| fs::remove_file(root.join("etc/a/p.yaml")).unwrap(),
            "--audit-policy-file is /etc/a/p.yaml, which does not exist",
        ),
        (
            "webhook: {configFile: /etc/a/w.yaml}\n",
            "webhook: {configFile: /etc/b/w.yaml}\n",
            nothing,
            |root| fs::remove_file(root.join("etc/a/w.yaml")).unwrap(),
            "--audit-webhook-config-file is /etc/a/w.yaml, which does not exist",
        ),
        // The administrator's kubeconfig names another file, and the restore takes the mount of it.
        (
            "webhook: {configFile: /etc/a/w.yaml}\n",
            "webhook: {configFile: /etc/a/w.yaml}\n",
            |root| {
                let text = text_at(root, "/etc/a/w.yaml").replace("{}", "{tokenFile: /etc/t/token}");
                put(root, "/etc/a/w.yaml", &text, 0o600);
            },
            nothing,
            "/etc/a/w.yaml:2:37: tokenFile: no mount of the API server's container has /etc/t/token",
        ),
    ];
    for (first, second, between, then, told) in cases {
        let node = control_plane();
        let root = node.path();
        for directory in ["/etc/a", "/etc/b"] {
            put(root, &format!("{directory}/w.yaml"), webhook(directory.trim_start_matches("/etc/"), ""), 0o600);
        }
        put(root, "/etc/t/token", "token", 0o600);
        configure(root, first);
        assert!(run(root, &["apply"]).status.success());
        configure(root, second);
        between(root);
        assert!(run(root, &["apply"]).status.success());
        then(root);
        let before = text_at(root, AT_MANIFEST);
        let shown = String::from_utf8(run(root, &["restore", "--dry-run"]).stdout).unwrap();
        assert!(shown.contains("note: restore would put nothing back: ") && shown.contains(told), "{shown}");
        let output = run(root, &["restore"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("nothing was put back: ") && said.contains(told), "{said}");
        assert_eq!((output.status.code(), text_at(root, AT_MANIFEST) == before), (Some(1), true), "{said}");
        let output = run(root, &["restore", "--force"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("the API server will not start: "), "{output:?}");
        assert!(said.contains(told), "{said}");
        assert_ne!(text_at(root, AT_MANIFEST), before);
    }
}

/// It makes nothing worse, and what somebody needs at such a time is not refused.
#[test]
fn an_api_server_that_does_not_start_anyway_bars_no_restore() {
    let node = control_plane();
    let root = node.path();
    for path in ["/etc/a/p.yaml", "/etc/b/p.yaml"] {
        configure(root, &format!("policy: {{path: {path}}}\n"));
        assert!(run(root, &["apply"]).status.success());
    }
    fs::remove_file(root.join("etc/a/p.yaml")).unwrap();
    fs::remove_file(root.join("etc/b/p.yaml")).unwrap();
    let output = run(root, &["restore"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("note: the API server does not start: ") && said.contains("/etc/a/p.yaml"), "{said}");
}

#[test]
fn restore_leaves_what_a_pod_needs_to_start() {
    let pod = |volumes: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: kube-apiserver}}\nspec:\n  containers:\n  - name: \
             kube-apiserver\n    image: i\n    command: [kube-apiserver]\n  volumes: [{volumes}]\n"
        )
    };
    let typed = |path: &str, kind: &str| pod(&format!("{{name: p, hostPath: {{path: {path}, type: {kind}}}}}"));
    let kubeadm = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\napiServer:\n  extraVolumes: [{{name: a, \
         hostPath: {AT_POLICY}, mountPath: {AT_POLICY}, pathType: File}}]\n"
    );
    let unmounted =
        pod("").replace("[kube-apiserver]", &format!("[kube-apiserver, --audit-policy-file={AT_POLICY}]"));
    const KUBEADM: &str = "/run/kubeadm/kubeadm.yaml";
    for (path, text, stays) in [
        (AT_MANIFEST, typed(AT_POLICY, "File"), true),
        (AT_MANIFEST, typed("/opt/link", "File"), true),
        // The kubelet makes it.
        (AT_MANIFEST, typed(AT_POLICY, "FileOrCreate"), false),
        (AT_MANIFEST, pod(""), false),
        // No mount shows it.
        (AT_MANIFEST, unmounted, false),
        (KUBEADM, kubeadm.clone(), true),
        (KUBEADM, kubeadm.replace("pathType: File", "pathType: FileOrCreate"), false),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("etc/kubernetes/manifests")).unwrap();
        assert!(run(root, &["apply"]).status.success());
        put(root, path, &text, 0o600);
        fs::create_dir_all(root.join("opt")).unwrap();
        std::os::unix::fs::symlink(AT_POLICY, root.join("opt/link")).unwrap();
        let output = run(root, &["restore"]);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(root.join(&AT_POLICY[1..]).exists(), stays, "{text}{said}");
        assert_eq!(said.contains(&format!("note: {AT_POLICY} stays")), stays, "{text}{said}");
    }
}

#[test]
fn restore_leaves_the_log_to_the_user_that_writes_it() {
    const LOG: &str = "/var/log/kubernetes/audit/audit.log";
    let node = control_plane();
    let root = node.path();
    if fs::metadata(root).unwrap().uid() != 0 {
        return;
    }
    assert!(run(root, &["apply"]).status.success());
    put(root, LOG, "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\"}\n", 0o600);
    let manifest = text_at(root, AT_MANIFEST).replace("spec:\n", "spec:\n  securityContext: {runAsUser: 2000}\n");
    put(root, AT_MANIFEST, &manifest, 0o600);
    assert!(run(root, &["apply"]).status.success());
    assert!(run(root, &["restore"]).status.success());
    for path in [AT_POLICY, "/var/log/kubernetes/audit", LOG] {
        assert_eq!(fs::metadata(root.join(&path[1..])).unwrap().uid(), 2000, "{path}");
    }
}

#[test]
fn a_broken_configuration_takes_no_file_from_the_manifest_that_it_named() {
    let elsewhere = "/opt/m/kube-apiserver.yaml";
    for is_recorded in [false, true] {
        let node = control_plane();
        let root = node.path();
        let bare = text_at(root, AT_MANIFEST);
        configure(root, &format!("manifest: {{path: {elsewhere}}}\n"));
        if is_recorded {
            fs::remove_file(root.join(&AT_MANIFEST[1..])).unwrap();
            put(root, elsewhere, &bare, 0o600);
        } else {
            fs::remove_dir_all(root.join("etc/kubernetes/manifests")).unwrap();
        }
        assert!(run(root, &["apply"]).status.success());
        if !is_recorded {
            // kubeadm made it of a file that had the settings.
            let wired = control_plane();
            assert!(run(wired.path(), &["apply"]).status.success());
            put(root, elsewhere, text_at(wired.path(), AT_MANIFEST), 0o600);
        }
        configure(root, &format!("manifest: {{path: {elsewhere}}}\nnope: 1\n"));
        let output = run(root, &["restore"]);
        let (said, warned) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && warned.contains("config.yaml:4:1"), "{output:?}");
        let told =
            format!("{AT_POLICY} stays, because the API server may need it ({AT_MANIFEST}: the configuration");
        assert_eq!(said.contains(&told), !is_recorded, "{said}");
        assert_eq!(root.join(&AT_POLICY[1..]).exists(), !is_recorded, "{said}");
        assert_eq!(text_at(root, elsewhere) == bare, is_recorded, "{said}");
    }
}

#[test]
fn a_damaged_copy_is_not_put_back() {
    for damage in ["", "apiVersion: v1\nkind: Pod\n"] {
        let node = control_plane();
        let root = node.path();
        assert!(run(root, &["apply"]).status.success());
        let before = text_at(root, AT_MANIFEST);
        let sets: Vec<_> = fs::read_dir(root.join("var/lib/kube-audit-bootstrap/backups")).unwrap().collect();
        let set = sets[0].as_ref().unwrap().path();
        let index: Value = serde_json::from_slice(&fs::read(set.join("index.json")).unwrap()).unwrap();
        let entries = index["entries"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["path"] == AT_MANIFEST).unwrap();
        let copy = set.join(entry["file"].as_str().unwrap());
        let whole = fs::read(&copy).unwrap();
        fs::write(&copy, damage).unwrap();
        for options in [&["restore"][..], &["restore", "--force"]] {
            let output = run(root, options);
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{error}");
            assert!(error.contains(&format!("this copy of {AT_MANIFEST} is damaged: ")), "{error}");
            assert_eq!(text_at(root, AT_MANIFEST), before);
        }
        fs::write(&copy, whole).unwrap();
        assert!(run(root, &["restore"]).status.success());
    }
}

#[test]
fn status_says_that_a_node_joins_even_if_its_patch_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ncontrolPlane: {}\npatches: {directory: /p}\n";
    put(root, "/run/kubeadm/kubeadm-join-config.yaml", text, 0o600);
    put(root, "/p/kube-apiserver.yaml", "spec: {containers: [{name: kube-apiserver, command: [sh]}]}\n", 0o600);
    let output = run(root, &["status"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(3) && said.contains("a control plane about to join"), "{output:?}");
}

/// The ID of the oldest backup, or of the newest.
fn backup_id(root: &Path, is_oldest: bool) -> String {
    let listed = String::from_utf8(run(root, &["restore", "--list"]).stdout).unwrap();
    let mut ids = listed.lines().filter_map(|line| line.split_whitespace().next());
    (if is_oldest { ids.next_back() } else { ids.next() }).unwrap().to_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

/// Puts a file there that others can read.
fn leave(root: &Path, path: &str, text: &str) {
    let file = root.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

const THE_MANIFEST: &str = "etc/kubernetes/manifests/kube-apiserver.yaml";

#[test]
fn an_upgrade_after_a_restore_is_undone_by_force_alone_and_told() {
    let directory = control_plane();
    let root = directory.path();
    assert!(run(root, &["apply"]).status.success());
    let first = backup_id(root, true);
    assert!(run(root, &["restore"]).status.success());
    let second = backup_id(root, false);
    let upgraded = fs::read_to_string(root.join(THE_MANIFEST)).unwrap().replace("v1.33.1", "v1.34.0");
    leave(root, THE_MANIFEST, &upgraded);
    // The undo of a restore can't put the settings into another text, and apply can.
    let again = run(root, &["restore", &second]);
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    assert!(
        said(&again).contains("to have the audit settings in what stands there now, run kube-audit-bootstrap")
    );
    for options in [&["restore", "--force", "--dry-run", &first][..], &["restore", "--force", &first]] {
        let forced = said(&run(root, options));
        assert!(forced.contains("something else changed this, too, and --force undoes that as well"), "{forced}");
    }
}

#[test]
fn strays_that_are_links_to_each_other_are_moved_in_one_run() {
    let directory = control_plane();
    let root = directory.path();
    let manifests = root.join("etc/kubernetes/manifests");
    fs::rename(manifests.join("kube-apiserver.backup"), manifests.join("b.yaml")).unwrap();
    std::os::unix::fs::symlink("b.yaml", manifests.join("a.yaml")).unwrap();
    std::os::unix::fs::symlink("a.yaml", manifests.join("c.yaml")).unwrap();
    let output = run(root, &["apply"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::read_dir(&manifests).unwrap().count(), 1);
}

#[test]
fn all_copies_of_a_stray_that_came_back_are_named() {
    let directory = control_plane();
    let root = directory.path();
    let stray = "etc/kubernetes/manifests/kube-apiserver.backup";
    let text = fs::read_to_string(root.join(stray)).unwrap();
    for version in ["v1.33.1", "v1.33.2"] {
        leave(root, stray, &text.replace("v1.33.1", version));
        assert!(run(root, &["apply"]).status.success());
    }
    let output = said(&run(root, &["restore", &backup_id(root, true)]));
    assert!(
        output.contains("; its copies are /var/lib/") && output.matches("-kube-apiserver.backup").count() == 2
    );
}

#[test]
fn both_names_of_a_kubeadm_file_are_edited_and_put_back() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.37.2\n";
    let names = ["run/kubeadm/kubeadm.yaml", "etc/kubernetes/kubeadm.yaml"];
    leave(root, names[0], text);
    leave(root, "etc/kubernetes/x", "");
    fs::hard_link(root.join(names[0]), root.join(names[1])).unwrap();
    let has = |text: &str| names.iter().all(|name| fs::read_to_string(root.join(name)).unwrap().contains(text));
    assert!(run(root, &["apply"]).status.success());
    assert!(has("audit-policy-file"));
    assert_eq!(run(root, &["status"]).status.code(), Some(0));
    assert!(run(root, &["restore"]).status.success());
    assert!(has(text) && !has("audit-policy-file"));
}

#[test]
fn a_plan_says_that_the_programs_own_directory_cannot_be_used() {
    type Spoil = fn(&Path);
    let cases: [(Spoil, &str); 5] = [
        (|state| fs::set_permissions(state, fs::Permissions::from_mode(0o1777)).unwrap(), "other users can write"),
        (|state| fs::create_dir(state.join("lock")).unwrap(), "the lock is not a regular file"),
        (|state| fs::write(state.join("backups"), "").unwrap(), "correct the path"),
        (|state| fs::create_dir(state.join("unproved")).unwrap(), "is a directory, not a regular file"),
        (|state| std::os::unix::fs::symlink("none", state.join("backups")).unwrap(), "a symbolic link to nothing"),
    ];
    for (spoil, expected) in cases {
        let directory = control_plane();
        let state = directory.path().join(STATE);
        fs::create_dir_all(&state).unwrap();
        fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(run(directory.path(), &["plan"]).status.code(), Some(3));
        spoil(&state);
        for verb in ["plan", "apply"] {
            let output = run(directory.path(), &[verb]);
            assert_eq!(output.status.code(), Some(1), "{verb} {expected}: {}", said(&output));
            assert!(said(&output).contains(expected), "{verb}: {}", said(&output));
        }
    }
}

#[test]
fn a_restore_leaves_no_trace_of_a_boot_that_it_undoes() {
    let directory = control_plane();
    let root = directory.path();
    assert!(run(root, &["apply", "--boot"]).status.success());
    let count = || fs::read_dir(root.join("etc/kubernetes/manifests")).unwrap().count();
    assert_eq!(count(), 2);
    assert!(run(root, &["restore"]).status.success());
    assert_eq!(count(), 1);
}

#[test]
fn a_manifest_that_was_moved_or_emptied_is_found_where_it_is() {
    let directory = control_plane();
    let root = directory.path();
    let original = fs::read_to_string(root.join(THE_MANIFEST)).unwrap();
    assert!(run(root, &["apply"]).status.success());
    leave(root, "etc/pods/kube-apiserver.yaml", &fs::read_to_string(root.join(THE_MANIFEST)).unwrap());
    fs::remove_file(root.join(THE_MANIFEST)).unwrap();
    let kubelet =
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nstaticPodPath: /etc/pods\n";
    leave(root, "var/lib/kubelet/config.yaml", kubelet);
    let moved = said(&run(root, &["restore"]));
    assert!(moved.contains("a run wrote this text to /etc/kubernetes/manifests/kube-apiserver.yaml"), "{moved}");
    fs::remove_file(root.join("var/lib/kubelet/config.yaml")).unwrap();
    leave(root, THE_MANIFEST, "");
    leave(root, "etc/kubernetes/manifests/api.yml", &original);
    let emptied = said(&run(root, &["apply"]));
    assert!(emptied.contains("api.yml defines the API server: move it here (mv "), "{emptied}");
}

#[test]
fn a_run_that_waited_for_others_looks_again_at_what_they_left() {
    let directory = control_plane();
    let root = directory.path();
    assert!(run(root, &["apply"]).status.success());
    assert!(run(root, &["restore"]).status.success());
    let bytes = fs::read(root.join(THE_MANIFEST)).unwrap();
    // Another run holds the lock; it writes the manifest, and puts the same text back in another file.
    let lock = fs::File::open(root.join(STATE).join("lock")).unwrap();
    lock.lock().unwrap();
    let mut child = command(root, &["apply"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("another run holds")));
    let mode = fs::metadata(root.join(THE_MANIFEST)).unwrap().permissions();
    fs::write(root.join("etc/new"), bytes).unwrap();
    fs::set_permissions(root.join("etc/new"), mode).unwrap();
    fs::rename(root.join("etc/new"), root.join(THE_MANIFEST)).unwrap();
    drop(lock);
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success(), "{rest:?}");
}

#[test]
fn a_stray_that_audits_elsewhere_and_files_in_the_logs_directory_are_seen() {
    let directory = control_plane();
    let root = directory.path();
    let stray = "etc/kubernetes/manifests/kube-apiserver.backup";
    let text = fs::read_to_string(root.join(stray)).unwrap();
    leave(root, stray, &text.replace("[kube-apiserver]", "[kube-apiserver, --audit-log-path=/srv/logs/a.log]"));
    let hook = "clusters: [{name: c, cluster: {server: 'https://a'}}]\n\
                contexts: [{name: x, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {tokenFile: /var/log/kubernetes/audit/token}}]\ncurrent-context: x\n";
    leave(root, "etc/kubernetes/h/hook.yaml", hook);
    leave(root, "var/log/kubernetes/audit/token", "t");
    let config = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\nexisting: keep\n\
                  webhook: {configFile: /etc/kubernetes/h/hook.yaml}\n";
    leave(root, "etc/kube-audit-bootstrap/config.yaml", config);
    let output = said(&run(root, &["plan"]));
    assert!(output.contains("this file has other audit settings (--audit-log-path=/srv/logs/a.log)"), "{output}");
    // The log's mount has the token already.
    assert_eq!(output.matches("mountPath: /var/log/kubernetes/audit").count(), 1, "{output}");
    assert!(!output.contains("audit-webhook-files") && !output.contains("two have the mountPath"), "{output}");
}

#[test]
fn status_says_what_a_node_becomes_whose_kubeadm_file_is_broken() {
    for (kinds, expected) in [
        ("ClusterConfiguration", "a first boot, before kubeadm init"),
        ("JoinConfiguration\ncontrolPlane: {}", "a control plane about to join"),
        ("JoinConfiguration", "a worker"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("etc/kubernetes/kubeadm.yaml");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, format!("apiVersion: kubeadm.k8s.io/v1beta4\nkind: {kinds}\na: [\n")).unwrap();
        let output = command(directory.path(), &["status"]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(told.starts_with(&format!("{expected};")), "{kinds}: {output:?}");
        assert_eq!(output.status.code(), Some(3), "{output:?}");
    }
}
