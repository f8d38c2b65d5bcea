//! What README.md says is so: its tables of verbs and options, the commands in its examples, the explanation of a
//! policy, the names of packages, the targets of make and what they say where they can't, and some of what is never
//! done.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::{BINARY, program, put, strace};

type Options = BTreeMap<String, BTreeSet<String>>;

fn text_of(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The text of README.md from one heading to the next one that is given.
fn section(from: &str, to: &str) -> String {
    let readme = text_of("README.md");
    let (_, rest) = readme.split_once(&format!("\n{from}\n")).unwrap();
    rest.split_once(&format!("\n{to}\n")).unwrap().0.to_owned()
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

fn help(verb: &str) -> String {
    let arguments: Vec<_> = verb.split_whitespace().chain(["--help"]).collect();
    let output = run(&arguments);
    assert!(output.status.success(), "{verb}");
    String::from_utf8(output.stdout).unwrap()
}

/// What follows "Commands:" in a help, but for `help` itself.
fn verbs_below(verb: &str) -> Vec<String> {
    let help = help(verb);
    let commands = help.split_once("Commands:\n").map(|(_, rest)| rest.split("\n\n").next().unwrap());
    commands
        .unwrap_or_default()
        .lines()
        .map(|line| format!("{verb} {}", line.split_whitespace().next().unwrap()).trim().to_owned())
        .filter(|verb| !verb.ends_with("help"))
        .collect()
}

/// Every verb and its options, by the name that comes first, but for --help and --version.
fn of_the_program() -> Options {
    let verbs = verbs_below("").into_iter().flat_map(|verb| match verbs_below(&verb) {
        none if none.is_empty() => vec![verb],
        below => below,
    });
    verbs
        .map(|verb| {
            let help = help(&verb);
            let lines = help.lines().filter_map(|line| line.split_whitespace().next());
            let names = lines.map(|word| word.trim_end_matches(',')).filter(|word| is_option(word));
            let options = names.filter(|name| !["-h", "-V"].contains(name)).map(str::to_owned).collect();
            (verb, options)
        })
        .collect()
}

fn is_option(word: &str) -> bool {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
    name.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase() || c == 'V'))
}

/// The options that a text names. `-vv` is `-v`, twice.
fn options_in(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| c != '-' && !c.is_ascii_lowercase());
    words.filter(|word| is_option(word) && *word != "-vv").map(str::to_owned)
}

/// The verbs that a cell or a sentence begins its quotes with: "`restore [ID]`" is about `restore`.
fn verb_of(quoted: &str) -> String {
    let is_verb = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
    quoted.split_whitespace().take_while(is_verb).collect::<Vec<_>>().join(" ")
}

/// The same, by the tables of the section Reference.
fn of_the_readme() -> Options {
    let reference = section("## Reference", "### Exit codes");
    let mut options = Options::new();
    let mut intro = "";
    for block in reference.split("\n\n") {
        let rows = block.lines().skip(2).filter(|line| line.starts_with("| `"));
        if block.starts_with("| verb |") {
            for row in rows {
                let verb = verb_of(row.split('`').nth(1).unwrap());
                options.entry(verb).or_default().extend(options_in(row));
            }
        } else if block.starts_with("| option |") {
            let named: Vec<_> = intro.split('`').skip(1).step_by(2).map(verb_of).collect();
            // The first table is for all verbs, and has no sentence before it.
            let of_these = if named.is_empty() || intro.starts_with('|') { "" } else { intro };
            for (verb, of_verb) in &mut options {
                if of_these.is_empty() || named.contains(verb) {
                    of_verb.extend(rows.clone().chain([of_these]).flat_map(options_in));
                }
            }
        }
        intro = block;
    }
    options
}

#[test]
fn the_reference_has_every_verb_and_option_and_no_other() {
    let (program, readme) = (of_the_program(), of_the_readme());
    assert!(program.contains_key("policy explain") && program["apply"].contains("--wait"), "{program:?}");
    for verb in program.keys().chain(readme.keys()) {
        assert_eq!(readme.get(verb), program.get(verb), "{verb}: README.md on the left, --help on the right");
    }
}

/// What a shell would run of this program in an example, without what it is piped or written to.
fn commands(text: &str) -> Vec<Vec<&str>> {
    let (mut commands, quotes) = (Vec::new(), text.split('`').skip(1).step_by(2));
    for line in text.lines().filter_map(|line| line.strip_prefix("    ")).chain(quotes) {
        let Some((before, rest)) = line.split_once("kube-audit-bootstrap ") else { continue };
        let end = rest.find(['|', '>', '&', ';']).unwrap_or(rest.len());
        let words: Vec<_> = rest[..end].split_whitespace().collect();
        let is_word = |c: char| c.is_ascii_lowercase() || c == '-';
        if words.first().is_some_and(|word| word.chars().all(is_word)) && !before.starts_with("scp") {
            commands.push(words);
        }
    }
    commands
}

#[test]
fn every_command_in_an_example_is_understood() {
    let readme = text_of("README.md");
    let commands = commands(&readme);
    assert_eq!(commands.len(), 20, "count the examples anew: {commands:?}");
    for words in commands {
        // With --help, the words before it are read, and nothing is done.
        let output = run(&[&words[..], &["--help"]].concat());
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_example_of_an_explanation_is_what_is_printed() {
    let reference = section("## Reference", "### Exit codes");
    let (_, example) = reference.split_once("    $ kube-audit-bootstrap ").unwrap();
    let mut lines = example.lines();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.yaml");
    let rules = "- level: None\n  users: [system:kube-proxy]\n- level: None\n  verbs: [create, patch]\n- \
                 level: Metadata\n";
    let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n";
    fs::write(&file, format!("{head}{rules}")).unwrap();
    let words = lines.next().unwrap().replace("policy.yaml", file.to_str().unwrap());
    let output = run(&words.split_whitespace().collect::<Vec<_>>());
    let shown: Vec<_> = lines.take_while(|line| !line.is_empty()).map(str::trim_start).collect();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().collect::<Vec<_>>(), shown);
}

#[test]
fn the_example_of_a_comparison_is_what_is_printed() {
    let section = section("### Differences of two policies", "### Backups");
    let (_, example) = section.split_once("    $ kube-audit-bootstrap ").unwrap();
    let mut lines = example.lines();
    let directory = tempfile::tempdir().unwrap();
    let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n";
    for (name, first) in [
        ("old.yaml", "{level: Request, resources: [{resources: [secrets, configmaps]}]}"),
        ("new.yaml", "{level: None, users: [system:kube-scheduler], verbs: [get, watch]}"),
    ] {
        fs::write(directory.path().join(name), format!("{head}- {first}\n- level: Metadata\n")).unwrap();
    }
    let words: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    let output = program().args(words).current_dir(directory.path()).output().unwrap();
    let shown: Vec<_> = lines.take_while(|line| !line.is_empty()).map(|line| &line[4..]).collect();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().collect::<Vec<_>>(), shown);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn the_packages_have_the_names_that_are_shown() {
    let readme = text_of("README.md");
    let version = env!("CARGO_PKG_VERSION");
    for name in [
        format!("kube-audit-bootstrap_{version}-1_amd64.deb"),
        format!("kube-audit-bootstrap-{version}-1.x86_64.rpm"),
        format!("kube-audit-bootstrap-{version}-linux-amd64.tar.gz"),
        format!("kube-audit-bootstrap-{version}.oci.tar"),
        format!("localhost/kube-audit-bootstrap:{version}"),
        format!("    kube-audit-bootstrap {version} ("),
    ] {
        assert!(readme.contains(&name), "README.md doesn't name {name}");
    }
}

/// The targets that a text tells its reader to make.
fn made(text: &str) -> BTreeSet<String> {
    let quotes = text.split('`').skip(1).step_by(2);
    let lines = text.lines().filter_map(|line| line.strip_prefix("    ")).chain(quotes);
    let targets = lines.filter_map(|line| line.strip_prefix("make ")?.split_whitespace().next());
    targets.map(str::to_owned).collect()
}

#[test]
fn every_target_of_make_that_is_told_of_is_there() {
    let makefile = text_of("Makefile");
    let is_target = |name: &str| makefile.lines().any(|line| line.starts_with(&format!("{name}:")));
    let (readme, contributing) = (made(&text_of("README.md")), made(&text_of("CONTRIBUTING.md")));
    for name in readme.iter().chain(&contributing) {
        assert!(is_target(name), "there is no `make {name}`");
    }
    assert!(readme.contains("demo") && contributing.contains("bench"), "{readme:?} {contributing:?}");
}

const CLUSTER: &str =
    "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.30.1\n";

/// A root with files in it.
fn node(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        put(directory.path(), path, text, 0o644);
    }
    directory
}

fn plan(node: &tempfile::TempDir, arguments: &[&str]) -> serde_json::Value {
    let root = ["plan", "--output", "json", "--root", node.path().to_str().unwrap()];
    let output = run(&[&root[..], arguments].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn kubeadms_file_is_found_in_each_of_the_usual_places() {
    let readme = text_of("README.md");
    for (path, words) in [
        ("/run/kubeadm/kubeadm.yaml", "`/run/kubeadm/kubeadm.yaml`"),
        ("/run/kubeadm/kubeadm-join-config.yaml", "`/run/kubeadm/kubeadm-join-config.yaml`"),
        ("/etc/kubeadm.yml", "`/etc/kubeadm.yml`"),
        ("/kind/kubeadm.conf", "`/kind/kubeadm.conf`"),
        ("/opt/kubeadm/kubeadm.yaml", "`/opt/kubeadm/kubeadm.yaml`"),
        ("/opt/kubeadm/cluster-config.yaml", "`/opt/kubeadm/cluster-config.yaml`"),
        ("/var/tmp/minikube/kubeadm.yaml", "`/var/tmp/minikube/kubeadm.yaml`"),
        ("/etc/kubernetes/kubeadm.yml", "`kubeadm.yml` or `kubeadm.conf` in `/etc/kubernetes`"),
        ("/etc/kubernetes/kubeadm.conf", "`kubeadm.yml` or `kubeadm.conf` in `/etc/kubernetes`"),
        ("/etc/kubernetes/kubeadm.yaml", "`kubeadm.yaml` or `kubeadm-config.yaml` in `/etc/kubernetes`"),
        ("/etc/kubernetes/kubeadm-config.yaml", "`kubeadm.yaml` or `kubeadm-config.yaml` in `/etc/kubernetes`"),
        ("/etc/kubernetes/kubeadm/kubeadm.yaml", "`/etc/kubernetes/kubeadm` and `/etc/kubeadm`"),
        ("/etc/kubernetes/kubeadm/kubeadm-config.yaml", "`/etc/kubernetes/kubeadm` and `/etc/kubeadm`"),
        ("/etc/kubeadm/kubeadm.yaml", "`/etc/kubernetes/kubeadm` and `/etc/kubeadm`"),
        ("/etc/kubeadm/kubeadm-config.yaml", "`/etc/kubernetes/kubeadm` and `/etc/kubeadm`"),
    ] {
        assert!(readme.split_whitespace().collect::<Vec<_>>().join(" ").contains(words), "{words}");
        let plan = plan(&node(&[(path, CLUSTER)]), &[]);
        let edited = plan["changes"].as_array().unwrap().iter().find(|change| change["step"] == "kubeadm");
        assert_eq!(
            (&plan["role"], edited.map(|change| &change["path"])),
            (&"first-boot".into(), Some(&path.into()))
        );
    }
}

#[test]
fn the_version_is_that_of_the_first_who_tells_it() {
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver}\nspec:\n  containers:\n  - name: \
                    kube-apiserver\n    image: kube-apiserver:v1.31.4\n    command: [kube-apiserver]\n";
    let config = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: \
                  AuditBootstrapConfiguration\nkubernetesVersion: v1.32.0\n";
    let files = [
        ("/etc/kube-audit-bootstrap/config.yaml", config),
        ("/etc/kubernetes/manifests/kube-apiserver.yaml", manifest),
        ("/etc/kubernetes/kubeadm.yaml", CLUSTER),
        ("/kind/version", "v1.29.9\n"),
        ("/etc/hostname", "node\n"),
    ];
    let given = plan(&node(&files), &["--kubernetes-version", "v1.33.0"]);
    assert_eq!(given["kubernetesVersion"], "1.33");
    for (from, version) in ["1.32", "1.31", "1.30", "1.29"].iter().enumerate() {
        assert_eq!(plan(&node(&files[from..]), &[])["kubernetesVersion"], *version);
    }
    assert!(plan(&node(&files[4..]), &[])["kubernetesVersion"].is_null());
    for (version, is_warned_of) in [("v1.25.9", true), ("v1.26.0", false), ("v1.37.0", false), ("v1.38.0", true)] {
        let plan = plan(&node(&files[2..]), &["--kubernetes-version", version]);
        let warned =
            plan["warnings"].as_array().unwrap().iter().any(|one| one.as_str().unwrap().contains("1.26 to 1.37"));
        assert_eq!(warned, is_warned_of, "{version}: {}", plan["warnings"]);
    }
}

/// Runs a script of ours as a user who isn't root. Returns its exit code, and what it wrote to stderr.
fn by_somebody(script: &str, arguments: &[&str], ci: &str) -> (Option<i32>, String) {
    let (code, _, stderr) = with_stand_ins(script, arguments, ci, &[("id", "echo 1000")]);
    (code, stderr)
}

/// Runs a script of ours with stand-ins for programs, which may add others to `$HERE`. Returns its exit code, and what
/// it wrote to stdout and to stderr.
fn with_stand_ins(
    script: &str,
    arguments: &[&str],
    ci: &str,
    stand_ins: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().unwrap();
    // An ordinary user may have no cargo, which setup.sh asks for first.
    for (name, script) in [("cargo", "")].iter().chain(stand_ins) {
        put(directory.path(), &format!("/{name}"), format!("#!/bin/sh\n{script}\n"), 0o755);
    }
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
        .args(arguments)
        .env("PATH", path)
        .env("HERE", directory.path())
        .env("CI", ci)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn what_is_missing_is_said_with_the_line_to_run() {
    let (code, said) = by_somebody("tests/setup.sh", &["sh", "no-such-program"], "");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.ends_with("  sudo apt-get install -y --no-install-recommends no-such-program\n"), "{said}");
}

#[test]
fn what_is_missing_is_installed_unless_another_run_has_done_so() {
    let appears = "cp /bin/true \"$HERE/no-such-program\"";
    let apt = "case \"$*\" in *' update') ;; *) echo \"$*\" >&2; exit 7 ;; esac";
    let calls = "install -y --no-install-recommends -o DPkg::Lock::Timeout=600 no-such-program\n";
    for (flock, code, stdout, stderr) in [
        // The other run holds the lock, and installs it meanwhile.
        (appears, 0, "", ""),
        ("", 1, "installing no-such-program\n", calls),
    ] {
        let stand_ins = [("id", "echo 0"), ("flock", flock), ("apt-get", apt)];
        let found = with_stand_ins("tests/setup.sh", &["sh", "no-such-program"], "", &stand_ins);
        assert_eq!(found, (Some(code), stdout.to_owned(), stderr.to_owned()));
    }
}

#[test]
fn the_last_line_says_what_was_not_run_and_in_ci_that_is_a_failure() {
    for (script, arguments, what) in [
        ("tests/real.sh", &["program", "package"][..], "real Kubernetes as the judge"),
        ("tests/packages-installed.sh", &[], "the packages in a Debian of their own: it needs root"),
    ] {
        for (ci, expected) in [("", 0), ("false", 0), ("true", 1)] {
            let (code, said) = by_somebody(script, arguments, ci);
            assert_eq!(code, Some(expected), "{script}: {said}");
            assert!(said.lines().last().unwrap().starts_with(&format!("NOT RUN: {what}")), "{script}: {said}");
        }
    }
}

#[test]
#[ignore = "needs strace: `make test` runs it"]
fn a_run_on_a_root_starts_nothing_opens_no_connection_and_puts_the_manifest_in_place_last() {
    let directory = tempfile::tempdir().unwrap();
    let (root, trace) = (directory.path().join("root"), directory.path().join("trace"));
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sample-node.sh");
    assert!(Command::new(sample).arg(&root).status().unwrap().success());
    let traced = "trace=%network,%process,rename,renameat,renameat2,mkdir,mkdirat,fsync,fdatasync";
    let mut strace = strace::strace(&trace, &["-y", "-e", traced]);
    let output = strace::output(strace.arg(BINARY).args(["apply", "--output", "json", "--root"]).arg(&root));
    assert!(output.status.success(), "{output:?}");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let trace = fs::read_to_string(trace).unwrap();
    let trace = trace.replace(root.canonicalize().unwrap().to_str().unwrap(), "");
    let trace = trace.replace(document["backup"].as_str().unwrap(), "ID");
    let (mut others, mut done) = (Vec::new(), Vec::new());
    for call in strace::calls(&trace) {
        let names = call.quoted();
        let directory = call.line.split_once('<').and_then(|(_, rest)| Some(rest.split_once('>')?.0));
        match (call.name.trim_end_matches(char::is_numeric), directory, names.as_slice()) {
            ("fsync", Some(path), []) => done.push(format!("sync {path}")),
            ("mkdirat", Some(path), [name]) => done.push(format!("make {path}/{name}")),
            ("renameat", Some(path), [from, to]) => done.push(format!("rename {path}/{from} to {to}")),
            (name, ..) => others.push(name.to_owned()),
        }
    }
    assert_eq!(others, ["execve", "exit_group"], "{trace}");
    let expected = "
        make /var/lib/kube-audit-bootstrap
        sync /var/lib
        make /var/lib/kube-audit-bootstrap/backups
        sync /var/lib/kube-audit-bootstrap
        make /var/lib/kube-audit-bootstrap/backups/.ID
        sync /var/lib/kube-audit-bootstrap/backups/.ID/3-kubeadm.yaml
        sync /var/lib/kube-audit-bootstrap/backups/.ID/3-kubeadm.yaml.after
        sync /var/lib/kube-audit-bootstrap/backups/.ID/4-kube-apiserver.backup
        sync /var/lib/kube-audit-bootstrap/backups/.ID/5-kube-apiserver.yaml
        sync /var/lib/kube-audit-bootstrap/backups/.ID/5-kube-apiserver.yaml.after
        sync /var/lib/kube-audit-bootstrap/backups/.ID/index.json
        sync /var/lib/kube-audit-bootstrap/backups/.ID
        rename /var/lib/kube-audit-bootstrap/backups/.ID to ID.partial
        sync /var/lib/kube-audit-bootstrap/backups
        make /var/log/kubernetes
        sync /var/log
        make /var/log/kubernetes/audit
        sync /var/log/kubernetes
        sync /etc/kubernetes/.audit-policy.yaml.kube-audit-bootstrap
        sync /etc/kubernetes/.kubeadm.yaml.kube-audit-bootstrap
        sync /etc/kubernetes/manifests/.kube-apiserver.yaml.kube-audit-bootstrap
        rename /etc/kubernetes/.audit-policy.yaml.kube-audit-bootstrap to audit-policy.yaml
        sync /etc/kubernetes
        rename /etc/kubernetes/.kubeadm.yaml.kube-audit-bootstrap to kubeadm.yaml
        sync /etc/kubernetes
        rename /etc/kubernetes/manifests/kube-apiserver.backup to .kube-apiserver.backup.kube-audit-bootstrap-old
        sync /etc/kubernetes/manifests
        rename /etc/kubernetes/manifests/.kube-apiserver.yaml.kube-audit-bootstrap to kube-apiserver.yaml
        sync /etc/kubernetes/manifests
        rename /var/lib/kube-audit-bootstrap/backups/ID.partial to ID";
    assert_eq!(done, expected.trim().lines().map(str::trim).collect::<Vec<_>>(), "{trace}");
}
