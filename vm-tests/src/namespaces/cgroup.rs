//! The control groups of a node: one in each hierarchy of the machine, which may have version 1, version 2, or both.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::run::retry;

/// The file, in the folder of a run, with the names of the groups that the run made, a line each.
pub const GROUPS: &str = "groups";

const MOUNT: &str = "/sys/fs/cgroup";

/// A group of the same name in each hierarchy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    name: String,
}

impl Group {
    /// The group of a name, which need not be there.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// The name of the group.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes the group.
    ///
    /// # Errors
    ///
    /// The machine doesn't let us make it.
    pub fn create(&self) -> Result<()> {
        for hierarchy in find_hierarchies()? {
            let dir = hierarchy.join(&self.name);
            fs::create_dir_all(&dir)?;
            // Version 1: a group of cpuset takes no process before it has these.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if !is_v2(&hierarchy) && hierarchy.join(file).exists() {
                    fs::write(dir.join(file), fs::read(hierarchy.join(file))?)?;
                }
            }
            // Version 2: the node hands these controllers on to its pods, as far as the machine lets us have them.
            if is_v2(&hierarchy) {
                for controller in fs::read_to_string(hierarchy.join("cgroup.controllers"))?.split_whitespace() {
                    let _ = fs::write(hierarchy.join("cgroup.subtree_control"), format!("+{controller}"));
                }
            }
        }
        Ok(())
    }

    /// Moves this process into the group.
    ///
    /// # Errors
    ///
    /// The group isn't there.
    pub fn join(&self) -> Result<()> {
        for hierarchy in find_hierarchies()? {
            let procs = hierarchy.join(&self.name).join("cgroup.procs");
            fs::write(&procs, "0")?;
        }
        Ok(())
    }

    /// Removes the group and those below it once their processes are gone. The kubelet of the next node would fail if
    /// they were there.
    ///
    /// # Errors
    ///
    /// A process is still there after five seconds.
    pub fn remove(&self) -> Result<()> {
        for hierarchy in find_hierarchies()? {
            let dir = hierarchy.join(&self.name);
            retry(Duration::from_secs(5), || remove(&dir))?;
        }
        Ok(())
    }
}

/// Removes the group of a harness that was killed before it could do so itself.
///
/// # Errors
///
/// As with [`Group::remove`].
pub fn remove_group(name: &str) -> Result<()> {
    Group::named(name).remove()
}

/// Has the machine its controllers in version 1? Then the container programs of a node need them there, too.
pub fn is_v1() -> bool {
    !is_v2(Path::new(MOUNT))
}

fn is_v2(hierarchy: &Path) -> bool {
    hierarchy.join("cgroup.controllers").exists()
}

/// The folders on which the hierarchies are mounted.
fn find_hierarchies() -> Result<Vec<PathBuf>> {
    if !is_v1() {
        return Ok(vec![MOUNT.into()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(MOUNT)? {
        let path = entry?.path();
        if path.join("cgroup.procs").exists() && !path.is_symlink() {
            found.push(path);
        }
    }
    Ok(found)
}

fn remove(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            remove(&path)?;
        }
    }
    fs::remove_dir(dir).with_context(|| format!("can't remove the control group {}", dir.display()))
}
