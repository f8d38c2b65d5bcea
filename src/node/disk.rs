//! A disk of the log's own, or a directory of one: proved blank, given a file system, mounted where the log lies, and given the events
//! from before. Only of the running system, so no root stands before what isn't a `Root`'s.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, umount2};

use super::device::{judge_content, size_of, wait_for};
use super::gather::{gather, is_log};
use super::root::{Root, split};
use super::storage::{self, identity, mounted_at};
use super::{apiserver, process};
use crate::facts::file::Attributes;
use crate::facts::{Blind, DiskState};
use crate::path::aside;
use crate::storage::unit::{self, MountSource};

/// How long systemd may take: it waits 90 s for a device itself.
const SYSTEMD: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_secs(30);

/// Looks at what is mounted, and at what shall be, for a log of that path. Waits some seconds for a device that isn't there.
///
/// Errors: the file system's; mountinfo can't be read; there is no wipefs.
pub fn look(root: &Root, source: &MountSource, log: &str, manifest: &str) -> Result<DiskState> {
    let (directory, name) = split(log)?;
    let mounted = mounted_at(directory)?;
    let is_right = mounted.as_ref().is_some_and(|mount| match source {
        MountSource::Bind(from) => identity(from).is_some() && identity(from) == identity(directory),
        // The number of btrfs is made up.
        MountSource::Device { name, .. } => storage::device_number(&unit::device_path(name))
            .is_some_and(|number| number == mount.device || storage::device_number(&mount.source) == Some(number)),
    });
    let device = match source {
        MountSource::Device { name, .. } if mounted.is_none() => wait_for(&unit::device_path(name)),
        _ => None,
    };
    let aside = aside(directory);
    let has_left = root.list(&aside)?.unwrap_or_default().iter().any(|other| is_log(name, other));
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
        blind: if is_right { find_blind(directory, manifest) } else { None },
        mounted: mounted.map(|mount| format!("{} on {}", mount.file_system, mount.source)),
    })
}

fn has_files(root: &Root, directory: &str) -> Result<bool> {
    Ok(root.list(directory)?.is_some_and(|names| !names.is_empty()))
}

/// An API server that logs elsewhere than to what is mounted, and began before that was: its container keeps what was there then.
fn find_blind(directory: &str, manifest: &str) -> Option<Blind> {
    let here = identity(directory)?;
    let since = mounted_since(directory)?;
    let written = fs::metadata(manifest).ok()?.modified().ok()?;
    apiserver::find_processes().api_servers.iter().find_map(|process| {
        let began = Duration::from_millis(process.started.checked_mul(10)?);
        let is_blind = began < since && apiserver::log_of(process).is_some_and(|log| log != here);
        is_blind.then(|| Blind {
            name: format!("kube-apiserver ({})", process.pid),
            is_replaced: apiserver::start_time(process).is_none_or(|began| began < written),
        })
    })
}

/// How long after the kernel's start systemd mounted something at a directory.
fn mounted_since(directory: &str) -> Option<Duration> {
    let unit = unit::name(directory);
    let words = ["show", "--value", "--property=ActiveEnterTimestampMonotonic", &unit];
    process::run("systemctl", &words, LOOK).ok()?.trim().parse().ok().map(Duration::from_micros)
}

/// Makes systemd read its units again.
pub fn reload() -> Result<()> {
    process::run("systemctl", &["daemon-reload"], SYSTEMD).map(drop)
}

/// What [`mount`] has done, to be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountStep {
    /// The files that were there went aside: see [`put_back`].
    Aside,
    /// Something is mounted: see [`unmount`].
    Mounted,
}

/// Mounts a unit's file system over a directory, whose files go aside, and begins the log there where that is asked for. Tells `done` of each step
/// that is to be taken back.
///
/// Errors: the file system's, and what systemd says.
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
        // A run was killed before it had mounted, and an API server has begun a log since.
        gather(log, begun)?;
    }
    if has_files(root, directory)? {
        let moved = slot.rename_new(&slot.name, split(&aside)?.1);
        moved.and_then(|()| slot.sync()).map_err(|errno| root.error("move away", directory, errno))?;
        done(MountStep::Aside);
    }
    root.make_directory(directory, attributes, &mut |_| {})?;
    reload()?;
    // Half way, too, something may be mounted.
    done(MountStep::Mounted);
    let asked = ["--no-ask-password", "start", unit];
    process::run("systemctl", &asked, SYSTEMD)
        .with_context(|| format!("{directory}: see journalctl -u '{unit}'"))?;
    ensure!(mounted_at(directory)?.is_some(), "{directory}: systemd says that {unit} is mounted, and nothing is");
    root.make_directory(directory, attributes, &mut |_| {})?;
    if let Some(attributes) = begun
        && root.stat(log)?.is_none()
    {
        let slot = root.slot(log)?;
        let done = slot.create(&slot.name, b"", Some(attributes)).and_then(|()| slot.sync());
        done.map_err(|errno| root.error("begin", log, errno))?;
    }
    Ok(())
}

/// Takes away what is mounted at a directory, for the processes that don't use it already. Not by systemd: that would stop the kubelet, which
/// needs the mount.
///
/// Errors: the kernel's.
pub fn unmount(root: &Root, directory: &str) -> Result<()> {
    if mounted_at(directory)?.is_some() {
        umount2(directory, MntFlags::MNT_DETACH).map_err(|errno| root.error("unmount", directory, errno))?;
    }
    Ok(())
}

/// Puts back the files that were there before. Where others are there by now, they stay aside, with a warning.
///
/// Errors: the file system's.
pub fn put_back(root: &Root, directory: &str) -> Result<()> {
    let aside = aside(directory);
    if root.stat(&aside)?.is_none() {
        return Ok(());
    }
    let slot = root.slot(directory)?;
    // Empty: it was made to be mounted at.
    match fs::remove_dir(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            log::warn!("{directory}: {error}; the files of before stay in {aside}");
            return Ok(());
        }
    }
    let moved = slot.rename_new(split(&aside)?.1, &slot.name).and_then(|()| slot.sync());
    moved.map_err(|errno| root.error("put back", directory, errno))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::testing::Node;
    use super::*;

    const LOGS: &str = "/logs/audit";

    #[test]
    fn files_come_back_from_aside_but_over_nothing() {
        let node = Node::new();
        node.put(&format!("{LOGS}.before-mount/audit.log"), "last");
        // The node is not the running system: its paths are those of its root's.
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
