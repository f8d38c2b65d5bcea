//! Finds out what stands in the way of a change: mount points, and file systems that are mounted read-only. No path can
//! tell this, and in an image that is mounted somewhere, nor can a path in the list of mounts. So the kernel is asked
//! about the open directory and the open file.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};

use anyhow::Result;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::sys::statvfs::{FsFlags, fstatvfs};

use super::root::{Root, Slot, split};
use super::storage::mounts;
use crate::change::Change;
use crate::facts::file::FileKind;
use crate::facts::obstacle::Obstacle;

/// The first change that cannot be made, and why.
pub fn first<'c>(root: &Root, changes: &'c [Change]) -> Result<Option<(&'c str, Obstacle)>> {
    for change in changes {
        if let Some(obstacle) = of_change(root, change)? {
            return Ok(Some((change.path(), obstacle)));
        }
    }
    Ok(None)
}

/// What stands in the way of each change.
pub fn of_changes(root: &Root, changes: &[Change]) -> Result<Vec<Option<Obstacle>>> {
    changes.iter().map(|change| of_change(root, change)).collect()
}

/// What stands in the way of a change; `None` if nothing does, or if this is not known.
fn of_change(root: &Root, change: &Change) -> Result<Option<Obstacle>> {
    let path = change.path();
    match change {
        Change::CreateDirectory { .. } | Change::WriteFile { before: None, .. } => of_new(root, path),
        Change::WriteFile { .. } => of_file(root, path),
        // The owner and mode of a mounted directory can be changed, and belong to the node. A file that is mounted
        // here from elsewhere belongs to somebody else.
        Change::SetAttributes { .. } => match root.stat(path)? {
            Some(entry) if entry.kind == FileKind::Directory => Ok(locked(root, path).or(of_new(root, path)?)),
            _ => of_file(root, path),
        },
        // The name goes, and if it is a link, only the link.
        Change::MoveAway { .. } | Change::RemoveFile { .. } => of_name(root, &root.slot(path)?),
        // These are not about a file here, or have a check of their own.
        Change::WriteCluster { .. }
        | Change::Format { .. }
        | Change::Mount { .. }
        | Change::Unmount { .. }
        | Change::RemoveDirectory { .. } => Ok(None),
    }
}

/// What stands in the way of replacing the file at a path. If the path is a link, its target is replaced.
pub fn of_file(root: &Root, path: &str) -> Result<Option<Obstacle>> {
    let real = root.real(path)?;
    match root.stat(split(&real)?.0)? {
        Some(_) => of_name(root, &root.slot(&real)?),
        None => of_new(root, &real),
    }
}

/// What stands in the way of a new file or directory at a path, whose parents may be missing.
pub fn of_new(root: &Root, path: &str) -> Result<Option<Obstacle>> {
    let mut at = path;
    while at != "/" {
        if let Ok(directory) = root.open_directory(at) {
            return Ok(read_only(directory, at).or_else(|| locked(root, at)));
        }
        at = split(at)?.0;
    }
    Ok(None)
}

fn of_name(root: &Root, slot: &Slot) -> Result<Option<Obstacle>> {
    let above = split(&slot.path)?.0;
    let found = read_only(&slot.dir, above).or_else(|| locked(root, &slot.path)).or_else(|| locked(root, above));
    if found.is_some() {
        return Ok(found);
    }
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let own = openat(&slot.dir, slot.name.as_str(), flags, Mode::empty()).ok().and_then(mount_id);
    // An error says nothing about mounts.
    let directory = mount_id(&slot.dir);
    Ok((own.is_some() && directory.is_some() && own != directory).then_some(Obstacle::MountPoint))
}

/// What chattr(1) forbids for the file or directory at a path.
fn locked(root: &Root, path: &str) -> Option<Obstacle> {
    root.lock(path).map(|lock| Obstacle::Locked { path: path.to_owned(), lock })
}

fn read_only(directory: impl AsFd, path: &str) -> Option<Obstacle> {
    if !fstatvfs(&directory).ok()?.flags().contains(FsFlags::ST_RDONLY) {
        return None;
    }
    let id = mount_id(directory);
    let mounted = mounts().unwrap_or_default().into_iter().find(|mount| Some(mount.id) == id);
    Some(Obstacle::ReadOnly(mounted.map_or_else(|| path.to_owned(), |mount| mount.point)))
}

/// The number of the mount that an open file is on (proc_pid_fdinfo(5)). `None` if `/proc` is not mounted.
fn mount_id(fd: impl AsFd) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_the_kernel_mounted_is_an_obstacle() {
        let root = Root::open(Path::new("/")).unwrap();
        let shown = |found: Result<Option<Obstacle>>| found.unwrap().map(|found| found.to_string());
        // Every system has /proc mounted, and nothing is mounted at a file in it.
        assert_eq!(of_name(&root, &root.slot("/proc").unwrap()).unwrap(), Some(Obstacle::MountPoint));
        for path in ["/proc/self/status", "/proc/none/below"] {
            assert_eq!(of_new(&root, path).unwrap(), None, "{path}");
        }
        assert_eq!(shown(of_file(&root, "/proc/version")), None);
        let node = super::super::testing::Node::with(&[("/etc/file", "")]);
        for path in ["/etc/file", "/etc/none", "/none/below"] {
            assert_eq!(of_file(&node.root, path).unwrap(), None, "{path}");
        }
    }
}
