//! Folders for as long as a run takes, and the end of those that a killed run left behind.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fs_err::{self as fs, File};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::{cache, namespaces};

/// A folder that is removed when this is dropped.
#[derive(Debug)]
pub struct RunDir(PathBuf, #[expect(dead_code, reason = "held until the folder is gone")] Flock<std::fs::File>);

impl RunDir {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

/// A new folder for this run, on the file system of the cache.
///
/// # Errors
///
/// The file system's.
pub fn run_dir(name: &str) -> Result<RunDir> {
    let runs = runs()?;
    let path = runs.join(format!("{}-{name}", std::process::id()));
    // Or another process cleans up what isn't locked yet.
    let _one_at_a_time = cache::lock(&runs.join(LOCK))?;
    // What a process of the same number left, `clean` has removed by now.
    fs::create_dir(&path)?;
    let lock = lock(&path)?.with_context(|| format!("somebody else runs in {}", path.display()))?;
    Ok(RunDir(path, lock))
}

/// Removes what runs left behind that were killed before they could.
///
/// # Errors
///
/// Something can't be removed.
pub fn clean() -> Result<()> {
    let runs = runs()?;
    let _one_at_a_time = cache::lock(&runs.join(LOCK))?;
    for entry in fs::read_dir(&runs)? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        // Whoever runs there holds the lock, in whatever container.
        let locked = lock(&path);
        // Or has just come to an end.
        if path.exists() && locked?.is_some() {
            let groups = fs::read_to_string(path.join(GROUPS)).unwrap_or_default();
            groups.lines().try_for_each(namespaces::remove_group)?;
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// Where these folders are.
fn runs() -> Result<PathBuf> {
    let runs = cache::dir()?.join("run");
    fs::create_dir_all(&runs)?;
    Ok(runs)
}

/// Held while a folder is made, and while old ones are removed.
const LOCK: &str = ".lock";

/// The control groups that a run made, a line each.
pub const GROUPS: &str = "groups";

/// An exclusive lock on a folder, unless somebody has it.
fn lock(path: &Path) -> Result<Option<Flock<std::fs::File>>> {
    let folder = File::open(path)?.into_file();
    match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno).with_context(|| path.display().to_string()),
    }
}
