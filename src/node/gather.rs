//! Moves the previous log files to the dedicated disk, from the directory that was renamed when the disk was mounted.

use std::fs::{self, File, Permissions};
use std::io::{Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::OFlag;
use nix::sys::statvfs::statvfs;

use super::apiserver::{self, log_of};
use super::names::temporary_name;
use super::process;
use super::root::split;
use super::storage::identity;
use crate::facts::file::Attributes;
use crate::facts::server::Process;
use crate::path::aside;
use crate::storage::rotation;

/// Whether a file is the log with the name `log`, or one of its rotated files.
pub fn is_log(log: &str, name: &str) -> bool {
    name == log || rotation::time(log, name).is_some()
}

/// The process that may still write in a directory, as `NAME (PID)`: an API server that logs there, even if it has no
/// file open, or any process that has a file there open for writing.
fn find_writer(directory: &str) -> Option<String> {
    let here = identity(directory);
    let logs_here = |process: &Process| log_of(process).is_some_and(|log| Some(log) == here);
    if let Some(process) = apiserver::find_processes().api_servers.into_iter().find(logs_here) {
        return Some(format!("kube-apiserver ({})", process.pid));
    }
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let files: Vec<_> = entries.filter_map(|entry| identity(entry.path())).collect();
    process::running().find_map(|(pid, name)| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let writes = |fd: fs::DirEntry| {
            let number = fd.file_name().to_string_lossy().into_owned();
            (is_written(pid, &number) && files.contains(&identity(fd.path())?)).then_some(())
        };
        open.filter_map(writes).next().map(|()| format!("{name} ({pid})"))
    })
}

/// Whether a process has a descriptor open for writing.
pub fn is_written(pid: i32, descriptor: &str) -> bool {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}")).unwrap_or_default();
    // proc_pid_fdinfo(5): the flags are octal, and the last digit is the access mode; 0 is reading alone.
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")?.trim().chars().last());
    flags.is_some_and(|flags| flags != '0')
}

/// Moves the previous log files to the directory of `log`, each in full or not at all. A rotated file keeps its name,
/// and so its age. The last file gets the name that the API server would have given it at a rotation. Returns the
/// number of moved files; 0 if there is nothing to move. With `attributes`, the moved files get these.
///
/// # Errors
///
/// A process may still write there; there is too little room; the file system reports an error. Files that
/// were not moved stay for the next run.
pub fn gather(log: &str, attributes: Option<&Attributes>) -> Result<usize> {
    let (directory, log) = split(log)?;
    let from = aside(directory);
    if !Path::new(&from).exists() {
        return Ok(0);
    }
    ensure!(
        identity(&from) != identity(directory),
        "{from}: this is the same directory as {directory}; set storage.bind to another directory"
    );
    if let Some(writer) = find_writer(&from) {
        bail!("{from}: {writer} still writes here; when it has ended, run apply again to move the log files");
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&from).with_context(|| from.clone())? {
        let entry = entry?;
        // A name that isn't UTF-8 is not the name of a log.
        if let Some(name) = entry.file_name().to_str().filter(|name| is_log(log, name)) {
            files.push((name.to_owned(), entry.path(), entry.metadata()?.len()));
        }
    }
    let needed = files.iter().fold(0_u64, |sum, (_, _, length)| sum.saturating_add(*length));
    let room = statvfs(directory).with_context(|| directory.to_owned())?;
    let room = room.blocks_available().saturating_mul(room.fragment_size());
    ensure!(
        needed < room,
        "{from}: {needed} bytes must be moved, but only {room} are free in {directory}; make room, then run apply again"
    );
    let mut moved = 0;
    for (name, path, _) in files {
        moved += usize::from(move_log(&path, directory, log, &name, attributes)?);
        fs::remove_file(&path).with_context(|| path.display().to_string())?;
    }
    match fs::remove_dir(&from) {
        Ok(()) => {}
        // The directory may have had files other than logs.
        Err(error) => log::warn!("{from}: {error}; the other files in it stay"),
    }
    Ok(moved)
}

/// Copies a log to another file system, under a name that is free there. Returns false if the file is empty, or was
/// copied already.
fn move_log(from: &Path, directory: &str, log: &str, name: &str, attributes: Option<&Attributes>) -> Result<bool> {
    // The API server's user may put anything there, so no link is followed, and no FIFO is waited for.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let shown = || from.display().to_string();
    let source = File::options().read(true).custom_flags(flags.bits()).open(from).with_context(shown)?;
    let before = source.metadata()?;
    ensure!(before.is_file(), "{}: this is not a regular file; move it away", shown());
    if before.len() == 0 {
        return Ok(false);
    }
    let written = before.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (mut seconds, is_compressed) = rotation::time(log, name).unwrap_or((written.as_secs(), false));
    let mut name = if name == log { rotation::name(log, (seconds, false)) } else { name.to_owned() };
    while let Ok(there) = File::options().read(true).custom_flags(flags.bits()).open(format!("{directory}/{name}"))
    {
        // An interrupted run may have copied this file already.
        if is_same_content(&source, &there)? {
            return Ok(false);
        }
        // The next second gives a name that is still that of a rotated log.
        seconds += 1;
        name = rotation::name(log, (seconds, is_compressed));
    }
    let target = format!("{directory}/{name}");
    let staged = format!("{directory}/{}", temporary_name(&name));
    let copy = || -> std::io::Result<()> {
        match fs::remove_file(&staged) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut to = File::options().write(true).create_new(true).mode(0o600).open(&staged)?;
        (&source).rewind()?;
        std::io::copy(&mut (&source).take(before.len()), &mut to)?;
        let (uid, gid, mode) = match attributes {
            Some(wanted) => (wanted.uid, wanted.gid, wanted.mode),
            None => (before.uid(), before.gid(), before.mode() & 0o7777),
        };
        fchown(&to, Some(uid), Some(gid))?;
        to.set_permissions(Permissions::from_mode(mode))?;
        to.set_modified(before.modified()?)?;
        to.sync_all()?;
        let after = source.metadata()?;
        if (after.len(), after.modified()?) != (before.len(), before.modified()?) {
            return Err(std::io::Error::other("something wrote to it meanwhile; run apply again"));
        }
        fs::rename(&staged, &target)?;
        File::open(directory)?.sync_all()
    };
    copy().map(|()| true).with_context(|| format!("cannot move {} to {target}", shown()))
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
        format!("{}/audit.log", node.host(LOGS).display())
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
        assert_eq!(gather(&log, None).unwrap(), 2);
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
        assert_eq!(gather(&log, None).unwrap(), 1);
        assert_eq!(node.text(&format!("{LOGS}/{OLD}")), "new");
        assert_eq!(node.text(&format!("{LOGS}/{later}")), "old");
        // As a run leaves it that is interrupted after a copy, before it removes the original.
        node.put(&format!("{aside}/{OLD}"), "old");
        assert_eq!(gather(&log, None).unwrap(), 0);
        assert_eq!(names(&node, LOGS), [OLD, later]);
        assert!(!node.exists(&aside));
    }

    #[test]
    fn who_may_read_the_log_may_read_what_follows() {
        let node = Node::new();
        let log = log(&node);
        node.put(&format!("{LOGS}.before-mount/{OLD}"), "old");
        gather(&log, Some(&super::super::testing::mode(0o640))).unwrap();
        assert_eq!(node.mode(&format!("{LOGS}/{OLD}")), 0o640);
    }

    #[test]
    fn a_directory_is_not_gathered_into_itself() {
        let node = Node::new();
        let log = log(&node);
        fs::remove_dir(node.host(LOGS)).unwrap();
        node.link(LOGS, node.host(&format!("{LOGS}.before-mount")).to_str().unwrap());
        node.put(&format!("{LOGS}.before-mount/{OLD}"), "old");
        assert!(gather(&log, None).is_err());
        assert!(node.exists(&format!("{LOGS}.before-mount/{OLD}")));
    }

    #[test]
    fn what_is_no_log_stays_aside() {
        let node = Node::new();
        let log = log(&node);
        node.put(&format!("{LOGS}.before-mount/notes"), "somebody's");
        node.put(&format!("{LOGS}.before-mount/audit.log"), "last");
        fs::create_dir(node.host(&format!("{LOGS}.before-mount/archive"))).unwrap();
        assert_eq!(gather(&log, None).unwrap(), 1);
        assert_eq!(names(&node, &format!("{LOGS}.before-mount")), ["archive", "notes"]);
    }

    #[test]
    fn no_link_is_followed() {
        let node = Node::new();
        let log = log(&node);
        node.put("/secret", "secret");
        node.link(&format!("{LOGS}.before-mount/audit.log"), node.host("/secret").to_str().unwrap());
        assert!(gather(&log, None).is_err());
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
        let error = gather(&log, None).unwrap_err().to_string();
        assert!(error.contains(&format!("({}) still writes here", std::process::id())), "{error}");
        drop(open);
        assert_eq!(gather(&log, None).unwrap(), 1);
    }
}
