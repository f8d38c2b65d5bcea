//! Runs the whole binary on every kind of node. A case is a folder in `tests/cases/`:
//!
//! * `case.yaml`: one line that says what the case shows (`about`), and the words that show it. All words of `shows`
//!   must be in `plan.txt`. `after` is for what only a file shows: its path, and what must be in it after `apply`.
//! * `before/`: the files of the node.
//! * `args`: more arguments for the binary, if there are any.
//! * `plan.txt`: what `plan` prints, stdout before stderr, and its exit code.
//! * `after/`: the files that `apply` creates or changes, with their new content; `modes`: their modes. If `apply`
//!   changes nothing, there is neither.
//!
//! Each case runs `plan`, `apply`, `status`, `apply` again (which must write nothing) and `restore` (which must put
//! back the previous state). If the plan of a case fails, the node must not change. Any other file in the folder is a
//! fault, such as an expectation that no run produces.
//!
//! The expectations are those of the root user. For another user, the files belong to that user, and a warning says
//! so. If files would belong to a third user, `apply` must fail, as only the root user can change the owner of a file.
//!
//! `UPDATE_CASES=1 cargo test --test cases`, as the root user, writes new expectations: read the diff before you
//! commit. It does not write `case.yaml`. A case that no longer shows what `case.yaml` says still fails.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use common::{Tree, program, records, tree};

use nix::unistd::{getegid, geteuid, getgroups};
use serde_yaml::{Mapping, Value};

/// The number of cases, so that no case is lost unnoticed.
const CASES: usize = 141;

/// The program's own files, which other tests check.
const OWN: &str = "/var/lib/kube-audit-bootstrap";

/// The modes and contents of all files that are not the program's own.
fn contents(tree: &Tree) -> BTreeMap<&str, (u32, &Option<Vec<u8>>)> {
    // A new root directory may lack the parents of the program's own directory; they are no part of a node's contents.
    tree.iter()
        .filter(|(path, _)| !path.starts_with(OWN) && !OWN.starts_with(&format!("{path}/")))
        .map(|(path, found)| (path.as_str(), (found.mode & 0o7777, &found.content)))
        .collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::write(&target, fs::read(entry.path()).unwrap()).unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}

fn run(root: &Path, verb: &[&str], arguments: &[String]) -> Output {
    program().args(verb).args(["--root".as_ref(), root.as_os_str()]).args(arguments).output().unwrap()
}

fn report(output: &Output, root: &Path) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut report = text(&output.stdout);
    if !output.stderr.is_empty() {
        report += "--- stderr\n";
        report += &text(&output.stderr);
    }
    let _ = writeln!(report, "--- exit {}", output.status.code().unwrap_or(-1));
    report.replace(root.to_str().unwrap(), "ROOT")
}

/// The output of a plan as the root user would get it.
fn as_root(plan: &str) -> Result<String, String> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    if uid == 0 {
        return Ok(plan.to_owned());
    }
    let warning = format!(
        "warning: not run as root: new files and directories belong to {uid}:{gid}; on a node, run as root\n"
    );
    let ours = plan.contains(&format!("owner {uid}:"));
    if plan.matches(&warning).count() != usize::from(ours) {
        return Err(format!("the warning that files do not belong to root is missing, or is not needed:\n{plan}"));
    }
    let plan = plan.replace(&warning, "").replace("--- stderr\n--- exit", "--- exit");
    Ok(plan.replace(&format!("owner {uid}:"), "owner 0:").replace(&format!("owner 0:{gid}"), "owner 0:0"))
}

/// Does the output of a plan, as the root user would get it, name owners that only the root user can set?
fn names_others(report: &str) -> bool {
    let groups: Vec<_> = getgroups().unwrap().iter().map(|group| group.as_raw()).collect();
    let digits = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok();
    let owner = |text: &str| text.split_once(':').and_then(|(uid, gid)| Some((digits(uid)?, digits(gid)?)));
    let mut owners = report.split("owner ").skip(1).filter_map(owner);
    owners.any(|(uid, gid)| uid != 0 || gid != 0 && !groups.contains(&gid))
}

/// What `case.yaml` says.
struct Description {
    shows: Vec<String>,
    after: BTreeMap<String, Vec<String>>,
}

impl Description {
    fn read(case: &Path) -> Result<Description, String> {
        let text = fs::read_to_string(case.join("case.yaml")).map_err(|error| error.to_string())?;
        let mut fields: Mapping = serde_yaml::from_str(&text).map_err(|error| error.to_string())?;
        let mut field = |name: &str| fields.remove(name).unwrap_or_default();
        let about = field("about");
        let shows = serde_yaml::from_value(field("shows")).map_err(|error| format!("shows: {error}"))?;
        let after = match field("after") {
            Value::Null => BTreeMap::new(),
            after => serde_yaml::from_value(after).map_err(|error| format!("after: {error}"))?,
        };
        if let Some(unknown) = fields.keys().next() {
            return Err(format!("unknown field {:?}", unknown.as_str().unwrap_or_default()));
        }
        if !about.as_str().is_some_and(|about| !about.trim().is_empty() && !about.contains('\n')) {
            return Err("about must be one line".to_owned());
        }
        let description = Description { shows, after };
        let words: Vec<_> = description.after.values().chain([&description.shows]).collect();
        if words.iter().any(|words| words.is_empty() || words.iter().any(|word| word.trim().is_empty())) {
            return Err("shows, and each file of after, must name words".to_owned());
        }
        Ok(description)
    }
}

/// Are all of these words in a text?
fn contains(text: &str, words: &[String], place: &str) -> Result<(), String> {
    match words.iter().find(|words| !text.contains(words.as_str())) {
        Some(words) => Err(format!("case.yaml: this isn't in {place}:\n{words}\nwhich is:\n{text}")),
        None => Ok(()),
    }
}

fn check(case: &Path) -> Result<(), String> {
    let description = Description::read(case).map_err(|error| format!("case.yaml: {error}"))?;
    let mut expected = Expected::new(case);
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    copy(&case.join("before"), &root);
    let settings: Vec<_> = fs::read_to_string(case.join("args"))
        .unwrap_or_default()
        .split_whitespace()
        .map(|word| word.replace("CASE", case.to_str().unwrap()))
        .collect();
    let before = tree(&root);

    let planned = run(&root, &["plan"], &settings);
    let plan = as_root(&report(&planned, &root).replace(case.to_str().unwrap(), "CASE"))?;
    expected.file("plan.txt", plan.as_bytes())?;
    contains(&plan, &description.shows, "plan.txt")?;
    same(&before, &tree(&root), "plan wrote something")?;
    let applied = run(&root, &["apply"], &settings);
    if ![Some(0), Some(3)].contains(&planned.status.code()) {
        if applied.status.code() != planned.status.code() || applied.stderr != planned.stderr {
            return Err(format!("apply did not fail as plan did: {}", report(&applied, &root)));
        }
        same(&before, &tree(&root), "a refused apply wrote something")?;
        if !description.after.is_empty() {
            return Err("case.yaml: after names files, but apply is refused".to_owned());
        }
        return expected.nothing_else();
    }
    if !geteuid().is_root() && names_others(&plan) {
        return only_for_root(&applied, &before, &tree(&root));
    }
    if !applied.status.success() {
        return Err(report(&applied, &root));
    }
    let after = tree(&root);
    if planned.status.code() == Some(0) {
        same(&before, &after, "plan said that nothing would change")?;
    }
    let (old, new) = (contents(&before), contents(&after));
    let mut modes = String::new();
    for (path, (mode, bytes)) in &new {
        if old.get(path) == Some(&(*mode, bytes)) {
            continue;
        }
        let _ = writeln!(modes, "{mode:04o} {path}{}", if bytes.is_none() { "/" } else { "" });
        if let Some(bytes) = bytes {
            expected.file(&format!("after{path}"), bytes)?;
        }
    }
    for path in old.keys().filter(|path| !new.contains_key(*path)) {
        let _ = writeln!(modes, "gone {path}");
    }
    if !modes.is_empty() {
        expected.file("modes", modes.as_bytes())?;
    }
    expected.nothing_else()?;
    for (path, words) in &description.after {
        let (_, bytes) = new.get(path.as_str()).ok_or(format!("case.yaml: there is no {path} after apply"))?;
        contains(&lossy(bytes.as_deref().unwrap_or_default()), words, path)?;
    }

    let status = run(&root, &["status"], &settings);
    if !status.status.success() {
        return Err(format!("status after apply: {}", report(&status, &root)));
    }
    let again = run(&root, &["apply"], &settings);
    if !again.status.success() {
        return Err(format!("a second apply: {}", report(&again, &root)));
    }
    same(&after, &tree(&root), "a second apply wrote something")?;

    if planned.status.code() == Some(0) {
        return Ok(());
    }
    let restored = run(&root, &["restore"], &[]);
    if !restored.status.success() {
        return Err(format!("restore: {}", report(&restored, &root)));
    }
    let stdout = String::from_utf8(restored.stdout).unwrap();
    let (restored, mut expected) = (tree(&root), contents(&before));
    // Stray manifests stay in the backup: the kubelet would run them again.
    expected.retain(|path, _| !modes.contains(&format!("gone {path}\n")));
    let found = contents(&restored);
    // A file that the previous manifest names stays, and a note says so.
    let kept: Vec<_> = stdout
        .lines()
        .filter_map(|line| line.strip_prefix("note: ")?.split_once(" stays: "))
        .map(|note| note.0)
        .collect();
    for path in expected.keys().chain(found.keys()) {
        let leads_there = kept.iter().any(|kept| kept == path || kept.starts_with(&format!("{path}/")));
        if expected.get(path) != found.get(path) && !leads_there {
            return Err(format!("restore left {path} different"));
        }
    }
    Ok(())
}

fn same(before: &Tree, after: &Tree, message: &str) -> Result<(), String> {
    for path in before.keys().chain(after.keys()) {
        if before.get(path) != after.get(path) {
            return Err(format!("{message}: {path}"));
        }
    }
    Ok(())
}

/// A user other than root cannot change the owner of files, and gets an error.
fn only_for_root(applied: &Output, before: &Tree, after: &Tree) -> Result<(), String> {
    let stderr = lossy(&applied.stderr);
    if applied.status.code() != Some(1) || !stderr.contains("Operation not permitted; run as root") {
        return Err(format!("apply gave files to another user: {stderr}"));
    }
    if contents(before) != contents(after) {
        return Err("an apply that failed left files".to_owned());
    }
    Ok(())
}

/// The expected files of a case: each is compared or written, and there can be no others.
struct Expected<'a> {
    case: &'a Path,
    update: bool,
    known: BTreeSet<String>,
}

impl Expected<'_> {
    fn new(case: &Path) -> Expected<'_> {
        let known = ["case.yaml", "args"].map(str::to_owned).into();
        Expected { case, update: records("UPDATE_CASES"), known }
    }

    fn file(&mut self, name: &str, found: &[u8]) -> Result<(), String> {
        let path = self.case.join(name);
        self.known.insert(name.to_owned());
        if self.update {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, found).unwrap();
            return Ok(());
        }
        let expected = fs::read(&path).map_err(|error| format!("{name}: {error}"))?;
        if expected == found {
            return Ok(());
        }
        Err(format!("{name} differs. Expected:\n{}\nfound:\n{}", lossy(&expected), lossy(found)))
    }

    fn nothing_else(&self) -> Result<(), String> {
        let files = tree(self.case).into_iter().filter(|(_, found)| found.content.is_some());
        let names = files.map(|(path, _)| path[1..].to_owned()).filter(|name| !name.starts_with("before/"));
        let others: Vec<_> = names.filter(|name| !self.known.contains(name)).collect();
        if others.is_empty() {
            return Ok(());
        }
        Err(format!("no run writes these; remove them: {}", others.join(", ")))
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_node_gets_what_its_case_expects() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    let failures: Vec<_> = cases
        .iter()
        .filter_map(|case| check(case).err().map(|error| format!("{}: {error}", case.display())))
        .collect();
    assert!(failures.is_empty(), "{} of {} cases failed\n{}", failures.len(), cases.len(), failures.join("\n\n"));
    assert_eq!(cases.len(), CASES, "a case was added or removed: change CASES");
}
