//! Folders for as long as a run takes, and the end of those that a killed run left behind.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{cache, namespaces};

/// A folder that is removed when this is dropped.
#[derive(Debug)]
pub struct RunDir(PathBuf);

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
    let path = cache::dir()?.join("run").join(format!("{}-{name}", std::process::id()));
    // In a container a process of an earlier one may have had the same number.
    if path.exists() {
        fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
    }
    fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
    Ok(RunDir(path))
}

/// Removes what runs left behind that were killed before they could.
///
/// # Errors
///
/// Something can't be removed.
pub fn clean() -> Result<()> {
    let runs = cache::dir()?.join("run");
    fs::create_dir_all(&runs)?;
    for entry in fs::read_dir(&runs)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_dead(name.split('-').next().unwrap_or_default()) {
            fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
        }
    }
    namespaces::remove_stale(|name| {
        name.strip_prefix("vm-tests-").is_some_and(|rest| is_dead(rest.split('-').next().unwrap_or_default()))
    })
}

fn is_dead(pid: &str) -> bool {
    !Path::new("/proc").join(pid).exists()
}
