//! Puts the commit into the program: `BUILT_FROM` is ` (7aaab0468f2c 2026-11-26)`, or empty if git does not know it.

use std::path::Path;
use std::process::Command;

/// The files and folders that the program is built from.
const SOURCES: [&str; 8] = [
    "src",
    "image/systemd",
    "image/build.sh",
    "image/no-unwinding.ld",
    "build.rs",
    "Cargo.toml",
    "Cargo.lock",
    ".cargo",
];

/// The variables by which git names its repository to a hook. They would override the folder.
pub const ANOTHER_REPOSITORY: [&str; 3] = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"];

fn main() {
    let here = Path::new(".");
    println!(
        "cargo::rustc-env=BUILT_FROM={}",
        commit(here).map(|commit| format!(" ({commit})")).unwrap_or_default()
    );
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    // The files in which git records a new commit: the file of the branch, if it is not packed, and the log, if there is one.
    let branch = git(here, &["symbolic-ref", "--quiet", "HEAD"]).unwrap_or_default();
    for name in ["HEAD", "logs/HEAD", "packed-refs", &branch] {
        if let Some(path) = git(here, &["rev-parse", "--git-path", name])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

/// The commit of a source tree and its day, with `-dirty` if the sources differ from the commit.
pub fn commit(tree: &Path) -> Option<String> {
    // A source tree that was unpacked inside another repository is not a commit of that repository.
    if !git(tree, &["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    let commit = git(tree, &["show", "--no-patch", "--format=%H %cs", "HEAD"])?;
    let (hash, day) = commit.split_once(' ')?;
    let changed = git(tree, &[&["status", "--porcelain", "--"], &SOURCES[..]].concat())?;
    let dirty = if changed.is_empty() { "" } else { "-dirty" };
    Some(format!("{}{dirty} {day}", hash.get(..12)?))
}

fn git(tree: &Path, arguments: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    for name in ANOTHER_REPOSITORY {
        git.env_remove(name);
    }
    // Take no lock that could block another git command.
    let output = git.arg("-C").arg(tree).args(arguments).env("GIT_OPTIONAL_LOCKS", "0").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
