//! Tells the program which commit it is built from: `BUILT_FROM` is ` (7aaab0468f2c 2026-11-26)`, or empty where git doesn't know.

use std::path::Path;
use std::process::Command;

/// What the program is made of.
const SOURCES: [&str; 6] = ["src", "image/systemd", "build.rs", "Cargo.toml", "Cargo.lock", ".cargo"];

/// By which git tells a hook for which repository it is called, whatever the folder.
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
    // Where git notes that there is another commit: in the branch's file, if that isn't packed, and in the log, if one is kept.
    let branch = git(here, &["symbolic-ref", "--quiet", "HEAD"]).unwrap_or_default();
    for name in ["HEAD", "logs/HEAD", "packed-refs", &branch] {
        if let Some(path) = git(here, &["rev-parse", "--git-path", name])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

/// The commit and its day of a source tree; `-dirty` where the sources are others.
pub fn commit(tree: &Path) -> Option<String> {
    // A source tree that was unpacked within somebody's repository is no commit of that.
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
    // It shall not stand in the way of somebody's own git.
    let output = git.arg("-C").arg(tree).args(arguments).env("GIT_OPTIONAL_LOCKS", "0").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
