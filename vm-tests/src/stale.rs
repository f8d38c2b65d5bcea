//! Folders that last as long as a run, and the removal of those that a killed run left behind.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fs_err::{self as fs, File};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::{cache, namespaces};

/// A folder that is removed when this is dropped.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    #[expect(dead_code, reason = "held until the folder is gone")]
    lock: Flock<std::fs::File>,
}

impl RunDir {
    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{}: {error}", self.path.display());
        }
    }
}

/// Makes a folder for this run, on the file system of the cache.
///
/// # Errors
///
/// It can't be made.
pub fn make_run_dir(name: &str) -> Result<RunDir> {
    let runs = find_runs()?;
    let path = runs.join(format!("{}-{name}", std::process::id()));
    // Without it, another process could remove the folder before it is locked.
    let _one_at_a_time = cache::lock(&runs.join(LOCK))?;
    // `clean` has removed by now what an earlier process with the same ID left behind.
    fs::create_dir(&path)?;
    let lock = try_lock(&path)?.with_context(|| format!("another process uses {}", path.display()))?;
    Ok(RunDir { path, lock })
}

/// Removes what killed runs left behind: their folders and control groups.
///
/// # Errors
///
/// Something can't be removed.
pub fn clean() -> Result<()> {
    let runs = find_runs()?;
    let _one_at_a_time = cache::lock(&runs.join(LOCK))?;
    for entry in fs::read_dir(&runs)? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        // A run that uses the folder holds the lock, in whatever container it runs.
        let locked = try_lock(&path);
        // The folder may be gone, as its run may have ended a moment ago.
        if path.exists() && locked?.is_some() {
            let groups = fs::read_to_string(path.join(namespaces::GROUPS)).unwrap_or_default();
            groups.lines().try_for_each(namespaces::remove_group)?;
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// The folder that has these folders.
fn find_runs() -> Result<PathBuf> {
    let runs = cache::find_dir()?.join("run");
    fs::create_dir_all(&runs)?;
    Ok(runs)
}

/// The lock that a process holds while it makes a folder or removes old ones.
const LOCK: &str = ".lock";

/// Takes the exclusive lock on a folder, unless another process has it.
fn try_lock(path: &Path) -> Result<Option<Flock<std::fs::File>>> {
    let folder = File::open(path)?.into_file();
    match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno).with_context(|| path.display().to_string()),
    }
}
