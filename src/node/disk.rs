//! A dedicated disk: reads its state, mounts it at the log directory, and unmounts it. The files that were in the log
//! directory are kept in the directory [`aside`] until they are moved to the disk. Works only on the running system, so
//! some paths here are not below a [`Root`].

use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::device::{judge_content, size_of, wait_for};
use super::gather::gather;
use super::root::{Root, split};
use super::storage::{self, identity, mounted_at};
use super::{apiserver, process};
use crate::facts::file::Attributes;
use crate::facts::{Blind, DiskState};
use crate::path::aside;
use crate::storage::rotation;
use crate::storage::unit::{self, MountSource};

/// How long systemd may take: it waits up to 90 s for a device.
const SYSTEMD: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_secs(30);

/// Reads what is mounted at the directory of the log at `log`, and the state of `source`, which the configuration
/// wants to be mounted there. Waits a few seconds for a device that is not there.
///
/// # Errors
///
/// The file system reports an error; mountinfo can't be read; wipefs is not installed.
pub fn look(root: &Root, source: &MountSource, log: &str, manifest: &str) -> Result<DiskState> {
    let (directory, name) = split(log)?;
    let mounted = mounted_at(directory)?;
    let is_right = mounted.as_ref().is_some_and(|mount| match source {
        MountSource::Bind(from) => identity(from).is_some() && identity(from) == identity(directory),
        // btrfs has a made-up device number, so the source is compared, too.
        MountSource::Device { name, .. } => storage::device_number(&unit::device_path(name))
            .is_some_and(|number| number == mount.device || storage::device_number(&mount.source) == Some(number)),
    });
    let device = match source {
        MountSource::Device { name, .. } if mounted.is_none() => wait_for(&unit::device_path(name)),
        _ => None,
    };
    let aside = aside(directory);
    let has_left = root.list(&aside)?.unwrap_or_default().iter().any(|other| rotation::is_of(name, other));
    Ok(DiskState {
        real: storage::resolve(root, directory)?,
        is_right,
        size: device.as_deref().map_or(0, |path| size_of(path).unwrap_or(0)),
        content: device.map(|path| judge_content(&path)).transpose()?,
        is_same: match source {
            MountSource::Bind(from) => storage::file_system(root, from)? == storage::file_system(root, directory)?,
            MountSource::Device { .. } => false,
        },
        has_left,
        is_in_the_way: mounted.is_none()
            && root.stat(&aside)?.is_some()
            && !has_left
            && has_files(root, directory)?,
        blind: if is_right { find_blind(root, directory, manifest) } else { None },
        mounted: mounted.map(|mount| format!("{} on {}", mount.file_system, mount.source)),
    })
}

fn has_files(root: &Root, directory: &str) -> Result<bool> {
    Ok(root.list(directory)?.is_some_and(|names| !names.is_empty()))
}

/// An API server that started before the disk was mounted, and still logs to the directory below the mount: its
/// container keeps what was there when it started.
fn find_blind(root: &Root, directory: &str, manifest: &str) -> Option<Blind> {
    let here = identity(directory)?;
    let since = mounted_since(directory)?;
    let written = root.written(manifest)?;
    apiserver::loggers().into_iter().filter(|(_, log)| *log != here).find_map(|(process, _)| {
        let began = Duration::from_millis(process.started.checked_mul(10)?);
        (began < since).then(|| Blind {
            name: process.name(),
            is_replaced: apiserver::start_time(&process).is_none_or(|began| began < written),
        })
    })
}

/// When systemd mounted something at a directory, as the time since the kernel started.
fn mounted_since(directory: &str) -> Option<Duration> {
    let unit = unit::name(directory);
    let words = ["show", "--value", "--property=ActiveEnterTimestampMonotonic", &unit];
    process::run("systemctl", &words, LOOK).ok()?.trim().parse().ok().map(Duration::from_micros)
}

/// Makes systemd read its units again (`systemctl daemon-reload`).
pub fn reload() -> Result<()> {
    process::run("systemctl", &["daemon-reload"], SYSTEMD).map(drop)
}

/// A step that [`mount`] has done and that may have to be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountStep {
    /// The directory with the previous files was renamed: [`put_back`] undoes it.
    Aside,
    /// Something is mounted: [`unmount`] undoes it.
    Mounted,
}

/// Mounts the file system of a unit at a directory. First renames the directory if it has files. Afterwards creates the
/// log there if `begun` has attributes for it. Calls `done` after each step that may have to be undone.
///
/// # Errors
///
/// The file system or systemd reports an error.
pub fn mount(
    root: &Root,
    directory: &str,
    unit: &str,
    attributes: &Attributes,
    (log, begun): (&str, Option<&Attributes>),
    done: &mut dyn FnMut(MountStep),
) -> Result<()> {
    let (aside, slot) = (aside(directory), root.slot(directory)?);
    ensure!(mounted_at(directory)?.is_none(), "{directory}: something was mounted there meanwhile; run again");
    if has_files(root, directory)? && root.stat(&aside)?.is_some() {
        // An earlier run was interrupted before it mounted the disk, and an API server has started a log since.
        gather(root, log, begun)?;
    }
    if has_files(root, directory)? {
        let moved = slot.rename_new(&slot.name, split(&aside)?.1);
        moved.and_then(|()| slot.sync()).map_err(|errno| root.error("move away", directory, errno))?;
        done(MountStep::Aside);
    }
    root.make_directory(directory, attributes, &mut |_| {})?;
    reload()?;
    // Even if the start fails, something may be mounted.
    done(MountStep::Mounted);
    let asked = ["--no-ask-password", "start", unit];
    process::run("systemctl", &asked, SYSTEMD)
        .with_context(|| format!("{directory}: can't mount the disk; see journalctl -u '{unit}'"))?;
    ensure!(
        mounted_at(directory)?.is_some(),
        "{directory}: systemd reports that {unit} is mounted, but nothing is; see journalctl -u '{unit}'"
    );
    root.make_directory(directory, attributes, &mut |_| {})?;
    if let Some(attributes) = begun
        && root.stat(log)?.is_none()
    {
        let slot = root.slot(log)?;
        let done = slot.create(&slot.name, b"", Some(attributes)).and_then(|()| slot.sync());
        done.map_err(|errno| root.error("create", log, errno))?;
    }
    Ok(())
}

/// Unmounts what is mounted at a directory, lazily: processes that use it already keep it. Doesn't ask systemd to do
/// it, because that would stop the kubelet, which needs the mount.
///
/// # Errors
///
/// The kernel reports an error.
pub fn unmount(root: &Root, directory: &str) -> Result<()> {
    if mounted_at(directory)?.is_some() {
        // By its descriptor, because another directory may have this path by now.
        let mounted = root.find(directory);
        let unmounted = mounted
            .and_then(|fd| umount2(format!("/proc/self/fd/{}", fd.as_raw_fd()).as_str(), MntFlags::MNT_DETACH));
        unmounted.map_err(|errno| root.error("unmount", directory, errno))?;
    }
    Ok(())
}

/// Puts back the directory that [`mount`] renamed. If the directory in its path has files by now, warns and keeps both.
///
/// # Errors
///
/// The file system reports an error.
pub fn put_back(root: &Root, directory: &str) -> Result<()> {
    let aside = aside(directory);
    if root.stat(&aside)?.is_none() {
        return Ok(());
    }
    let slot = root.slot(directory)?;
    // An empty directory is only the mount point.
    match unlinkat(&slot.dir, slot.name.as_str(), UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(errno) => {
            log::warn!(
                "{directory}: {}; the previous files stay in {aside}; move those that you need",
                errno.desc()
            );
            return Ok(());
        }
    }
    let moved = slot.rename_new(split(&aside)?.1, &slot.name).and_then(|()| slot.sync());
    moved.map_err(|errno| root.error("put back", directory, errno))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::testing::Node;
    use super::*;

    const LOGS: &str = "/logs/audit";

    #[test]
    fn files_come_back_from_aside_but_over_nothing() {
        let node = Node::new();
        node.put(&format!("{LOGS}.before-mount/audit.log"), "last");
        // The node is not the running system: its paths are below another root directory.
        let directory = node.host(LOGS).display().to_string();
        let root = Root::open(Path::new("/")).unwrap();
        node.put(&format!("{LOGS}/another"), "");
        put_back(&root, &directory).unwrap();
        assert!(node.exists(&format!("{LOGS}.before-mount/audit.log")));
        fs::remove_file(node.host(&format!("{LOGS}/another"))).unwrap();
        put_back(&root, &directory).unwrap();
        assert_eq!(node.text(&format!("{LOGS}/audit.log")), "last");
        assert!(!node.exists(&format!("{LOGS}.before-mount")));
    }
}
