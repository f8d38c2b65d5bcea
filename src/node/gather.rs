//! Moves the previous log files to the dedicated disk, from the directory that was renamed when the disk was mounted.

use std::fs::{File, Metadata, Permissions};
use std::io::{Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, fchown};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::apiserver;
use super::names::temporary_name;
use super::process;
use super::root::{Root, Slot, split};
use crate::facts::file::Attributes;
use crate::path::aside;
use crate::storage::rotation;

/// The process that may still write in a directory, as `NAME (PID)`: an API server that logs there, even if it has no
/// file open, or any process that has a file there open for writing.
fn find_writer(directory: &Slot, names: &[String]) -> Result<Option<String>> {
    let here = directory.identity()?;
    if let Some((process, _)) = apiserver::loggers().into_iter().find(|(_, log)| *log == here) {
        return Ok(Some(process.name()));
    }
    let files: Vec<_> = names.iter().filter_map(|name| directory.identity_of(name).ok()).collect();
    Ok(process::running().find_map(|(pid, name)| {
        let mut open = process::open_files(pid);
        open.any(|open| files.contains(&open.identity()) && open.is_written()).then(|| format!("{name} ({pid})"))
    }))
}

/// Moves the previous log files to the directory of `log`, each in full or not at all. A rotated file keeps its name,
/// and so its age. The last file gets the name that the API server would have given it at a rotation. Returns the
/// number of moved files; 0 if there is nothing to move. With `attributes`, the moved files get these.
///
/// # Errors
///
/// A process may still write there; there is too little room; the file system reports an error. Files that
/// were not moved stay for the next run.
pub fn gather(root: &Root, log: &str, attributes: Option<&Attributes>) -> Result<usize> {
    let (directory, log) = split(log)?;
    let from = aside(directory);
    if root.stat(&from)?.is_none() {
        return Ok(0);
    }
    // The API server's user may write to both directories, so they are held open, and names are looked up only in them.
    let (source, target) = (root.slot(&format!("{from}/{log}"))?, root.slot(&format!("{directory}/{log}"))?);
    ensure!(
        source.identity()? != target.identity()?,
        "{from}: this is the same directory as {directory}; set storage.bind to another directory"
    );
    let names = root.list(&from)?.unwrap_or_default();
    if let Some(writer) = find_writer(&source, &names)? {
        bail!("{from}: {writer} still writes here; when it has ended, run apply again to move the log files");
    }
    let (mut files, mut needed) = (Vec::new(), 0_u64);
    for name in names.into_iter().filter(|name| rotation::is_of(log, name)) {
        let shown = format!("{from}/{name}");
        // Neither a link nor a FIFO is a log.
        let file = source
            .open(&name)
            .with_context(|| format!("{shown} can't be moved as a log; move it away yourself"))?;
        needed = needed.saturating_add(file.metadata().with_context(|| shown.clone())?.len());
        files.push((name, file));
    }
    let room = fstatvfs(&target.dir).with_context(|| directory.to_owned())?;
    let room = room.blocks_available().saturating_mul(room.fragment_size());
    ensure!(
        needed < room,
        "{from}: {needed} bytes must be moved, but only {room} are free in {directory}; make room, then run apply again"
    );
    let mut moved = 0;
    for (name, file) in files {
        let shown = format!("{from}/{name}");
        let copied = move_log(&file, &target, log, &name, attributes);
        moved += usize::from(copied.with_context(|| format!("cannot move {shown} to {directory}"))?);
        source.remove(&name).map_err(|errno| root.error("remove", &shown, errno))?;
    }
    let parent = root.slot(&from)?;
    match unlinkat(&parent.dir, parent.name.as_str(), UnlinkatFlags::RemoveDir) {
        Ok(()) => {}
        // The directory may have had files other than logs.
        Err(errno) => log::warn!("{from}: {}; the other files in it stay", errno.desc()),
    }
    Ok(moved)
}

/// Copies a log to another file system, under a name that is free there. Returns false if the file is empty, or was
/// copied already.
fn move_log(source: &File, target: &Slot, log: &str, name: &str, attributes: Option<&Attributes>) -> Result<bool> {
    let before = source.metadata()?;
    if before.len() == 0 {
        return Ok(false);
    }
    let written = before.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (mut seconds, is_compressed) = rotation::time(log, name).unwrap_or((written.as_secs(), false));
    let mut name = if name == log { rotation::name(log, (seconds, false)) } else { name.to_owned() };
    while target.identity_of(&name).is_ok() {
        // An interrupted run may have copied this file already.
        if target.open(&name).is_ok_and(|there| is_same_content(source, &there).unwrap_or(false)) {
            return Ok(false);
        }
        // The next second gives a name that is still that of a rotated log.
        seconds += 1;
        name = rotation::name(log, (seconds, is_compressed));
    }
    let staged = temporary_name(&name);
    let copied = copy_log(source, &before, target, &staged, attributes)
        .and_then(|()| Ok(target.rename_new(&staged, &name)?))
        .inspect_err(|_| {
            // The first error is the one to report. The disk may be full of it.
            let _ = target.remove(&staged);
        });
    copied?;
    target.sync()?;
    Ok(true)
}

/// Copies a log as it was `before`, durably.
fn copy_log(
    source: &File,
    before: &Metadata,
    target: &Slot,
    staged: &str,
    attributes: Option<&Attributes>,
) -> Result<()> {
    let mut to = target.open_new(staged)?;
    let mut from = source;
    from.rewind()?;
    std::io::copy(&mut from.take(before.len()), &mut to)?;
    let (uid, gid, mode) = match attributes {
        Some(wanted) => (wanted.uid, wanted.gid, wanted.mode),
        None => (before.uid(), before.gid(), before.mode() & 0o7777),
    };
    fchown(&to, Some(uid), Some(gid))?;
    to.set_permissions(Permissions::from_mode(mode))?;
    to.set_modified(before.modified()?)?;
    to.sync_all()?;
    let after = source.metadata()?;
    ensure!(
        (after.len(), after.modified()?) == (before.len(), before.modified()?),
        "something wrote to it meanwhile; run apply again"
    );
    Ok(())
}

/// Whether two files have the same bytes.
fn is_same_content(a: &File, b: &File) -> std::io::Result<bool> {
    let length = a.metadata()?.len();
    if b.metadata()?.len() != length {
        return Ok(false);
    }
    let (mut left, mut right, mut at) = (vec![0; 1 << 16], vec![0; 1 << 16], 0);
    while at < length {
        let wanted = usize::try_from(length - at).unwrap_or(usize::MAX).min(left.len());
        a.read_exact_at(&mut left[..wanted], at)?;
        b.read_exact_at(&mut right[..wanted], at)?;
        if left[..wanted] != right[..wanted] {
            return Ok(false);
        }
        at += wanted as u64;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::testing::Node;
    use super::*;

    const LOGS: &str = "/logs/audit";
    const OLD: &str = "audit-2026-11-26T12-00-00.000.log";

    /// The path of a log on the node; its directory exists, and so does the renamed one.
    fn log(node: &Node) -> String {
        node.put(&format!("{LOGS}/x"), "");
        node.put(&format!("{LOGS}.before-mount/x"), "");
        for path in [format!("{LOGS}/x"), format!("{LOGS}.before-mount/x")] {
            fs::remove_file(node.host(&path)).unwrap();
        }
        format!("{LOGS}/audit.log")
    }

    fn names(node: &Node, path: &str) -> Vec<String> {
        node.root.list(path).unwrap().unwrap_or_default()
    }

    #[test]
    fn logs_that_went_aside_follow_and_the_last_one_is_as_if_rotated() {
        let node = Node::new();
        let log = log(&node);
        for (name, text) in [("audit.log", "last"), (OLD, "old"), ("audit-2026-11-25T12-00-00.000.log.gz", "")] {
            node.put(&format!("{LOGS}.before-mount/{name}"), text);
        }
        let last =
            File::options().append(true).open(node.host(&format!("{LOGS}.before-mount/audit.log"))).unwrap();
        last.set_modified(crate::time::at(1_795_698_000)).unwrap();
        node.chmod(&format!("{LOGS}.before-mount/{OLD}"), 0o640);
        drop(last);
        assert_eq!(gather(&node.root, &log, None).unwrap(), 2);
        assert_eq!(names(&node, LOGS), [OLD, "audit-2026-11-26T13-00-00.000.log"]);
        assert_eq!(node.text(&format!("{LOGS}/{OLD}")), "old");
        assert_eq!(node.mode(&format!("{LOGS}/{OLD}")), 0o640);
        assert!(!node.exists(&format!("{LOGS}.before-mount")));
    }

    #[test]
    fn a_log_is_moved_once_and_over_nothing() {
        let node = Node::new();
        let log = log(&node);
        let (aside, later) = (format!("{LOGS}.before-mount"), "audit-2026-11-26T12-00-01.000.log");
        // It has the same size and time as the file that is there.
        node.put(&format!("{LOGS}/{OLD}"), "new");
        node.put(&format!("{aside}/{OLD}"), "old");
        for path in [format!("{LOGS}/{OLD}"), format!("{aside}/{OLD}")] {
            File::options()
                .append(true)
                .open(node.host(&path))
                .unwrap()
                .set_modified(crate::time::at(1_795_698_000))
                .unwrap();
        }
        assert_eq!(gather(&node.root, &log, None).unwrap(), 1);
        assert_eq!(node.text(&format!("{LOGS}/{OLD}")), "new");
        assert_eq!(node.text(&format!("{LOGS}/{later}")), "old");
        // As a run leaves it that is interrupted after a copy, before it removes the original.
        node.put(&format!("{aside}/{OLD}"), "old");
        assert_eq!(gather(&node.root, &log, None).unwrap(), 0);
        assert_eq!(names(&node, LOGS), [OLD, later]);
        assert!(!node.exists(&aside));
    }

    /// As on a full disk.
    #[test]
    fn a_copy_that_fails_leaves_nothing() {
        let node = Node::new();
        let log = log(&node);
        node.put(&format!("{LOGS}.before-mount/{OLD}"), "old");
        // It can't be read.
        let source = File::options().append(true).open(node.host(&format!("{LOGS}.before-mount/{OLD}"))).unwrap();
        let target = node.root.slot(&log).unwrap();
        assert!(move_log(&source, &target, "audit.log", OLD, None).is_err());
        assert_eq!(names(&node, LOGS), [] as [&str; 0]);
    }

    #[test]
    fn who_may_read_the_log_may_read_what_follows() {
        let node = Node::new();
        let log = log(&node);
        node.put(&format!("{LOGS}.before-mount/{OLD}"), "old");
        gather(&node.root, &log, Some(&super::super::testing::mode(0o640))).unwrap();
        assert_eq!(node.mode(&format!("{LOGS}/{OLD}")), 0o640);
    }

    #[test]
    fn a_directory_is_not_gathered_into_itself() {
        let node = Node::new();
        let log = log(&node);
        fs::remove_dir(node.host(LOGS)).unwrap();
        node.link(LOGS, &format!("{LOGS}.before-mount"));
        node.put(&format!("{LOGS}.before-mount/{OLD}"), "old");
        assert!(gather(&node.root, &log, None).is_err());
        assert!(node.exists(&format!("{LOGS}.before-mount/{OLD}")));
    }

    #[test]
    fn what_is_no_log_stays_aside() {
        let node = Node::new();
        let log = log(&node);
        node.put(&format!("{LOGS}.before-mount/notes"), "somebody's");
        node.put(&format!("{LOGS}.before-mount/audit.log"), "last");
        fs::create_dir(node.host(&format!("{LOGS}.before-mount/archive"))).unwrap();
        assert_eq!(gather(&node.root, &log, None).unwrap(), 1);
        assert_eq!(names(&node, &format!("{LOGS}.before-mount")), ["archive", "notes"]);
    }

    #[test]
    fn no_link_is_followed() {
        let node = Node::new();
        let log = log(&node);
        node.put("/secret", "secret");
        node.link(&format!("{LOGS}.before-mount/audit.log"), "/secret");
        assert!(gather(&node.root, &log, None).is_err());
        assert_eq!(names(&node, LOGS), [] as [&str; 0]);
        assert!(node.exists(&format!("{LOGS}.before-mount/audit.log")));
    }

    #[test]
    fn a_directory_that_is_written_to_is_left() {
        let node = Node::new();
        let log = log(&node);
        node.put(&format!("{LOGS}.before-mount/audit.log"), "last");
        let open =
            File::options().append(true).open(node.host(&format!("{LOGS}.before-mount/audit.log"))).unwrap();
        let error = gather(&node.root, &log, None).unwrap_err().to_string();
        assert!(error.contains(&format!("({}) still writes here", std::process::id())), "{error}");
        drop(open);
        assert_eq!(gather(&node.root, &log, None).unwrap(), 1);
    }
}
