//! A disk of the log's own, or a directory of one: proved blank, given a file system, mounted where the log lies, and given the events
//! from before. Only of the running system, so no root stands before what isn't a `Root`'s.

use std::fs::{self, File, Permissions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};
use nix::sys::statvfs::statvfs;

use super::change::Attributes;
use super::root::{Root, split};
use super::storage::{self, mounted_at};
use super::transaction::temporary_name;
use super::{apiserver, process};
use crate::config::parent;
use crate::storage::blank::{self, Content, Evidence};
use crate::storage::rotation;
use crate::storage::unit::{self, Format, Source};

/// Where programs are that only root needs.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// How long a device is waited for that udev may not have seen yet.
const SETTLE: Duration = Duration::from_secs(10);
/// How long after its start a machine may not have seen all of its devices.
const STARTED: Duration = Duration::from_secs(600);
/// How long systemd may take: it waits 90 s for a device itself.
const SYSTEMD: Duration = Duration::from_secs(120);
const MKFS: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// What the file systems that we make are called: one of another name may be somebody's.
pub const LABEL: &str = "kube-audit";

/// How it stands about what the configuration wants to be mounted.
#[derive(Clone, Debug)]
pub struct State {
    /// Where links lead: nothing can be mounted at a link.
    pub real: String,
    /// What is mounted there now, in words; `None` for nothing.
    pub mounted: Option<String>,
    /// Is that what is wanted?
    pub is_right: bool,
    /// What is on the device, if nothing is mounted; `None` where there is no such device, or none is wanted.
    pub content: Option<Content>,
    /// The size of the device in bytes.
    pub size: u64,
    /// A directory to be bound there lies on the same file system.
    pub is_same: bool,
    /// Logs are in the directory that went aside.
    pub has_left: bool,
    /// A directory that is in the way of what would go aside, and has no logs in it: somebody's.
    pub is_in_the_way: bool,
    /// An API server that doesn't see what is mounted, as it began before.
    pub blind: Option<Blind>,
}

/// An API server that writes its log to what something is mounted over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blind {
    /// What people know it by.
    pub name: String,
    /// The manifest was written since it began, so another one is about to replace it.
    pub is_replaced: bool,
}

/// Where the directory of before goes when something is mounted over it.
pub fn aside(directory: &str) -> String {
    format!("{directory}.before-mount")
}

/// Looks at what is mounted, and at what shall be, for a log of that path. Waits some seconds for a device that isn't there.
///
/// Errors: the file system's; mountinfo can't be read; there is no wipefs.
pub fn state(root: &Root, source: &Source, log: &str, manifest: &str) -> Result<State> {
    let (directory, name) = split(log)?;
    let mounted = mounted_at(directory)?;
    let is_right = mounted.as_ref().is_some_and(|mount| match source {
        Source::Bind(from) => identity(from).is_some() && identity(from) == identity(directory),
        // The number of btrfs is made up.
        Source::Device { name, .. } => storage::number(&unit::device_path(name))
            .is_some_and(|number| number == mount.device || storage::number(&mount.source) == Some(number)),
    });
    let device = match source {
        Source::Device { name, .. } if mounted.is_none() => appear(&unit::device_path(name)),
        _ => None,
    };
    let aside = aside(directory);
    let has_left = root.list(&aside)?.unwrap_or_default().iter().any(|other| is_log(name, other));
    Ok(State {
        real: storage::real(root, directory)?,
        is_right,
        size: device.as_deref().map_or(0, |path| size(path).unwrap_or(0)),
        content: device.map(|path| content(&path)).transpose()?,
        is_same: match source {
            Source::Bind(from) => storage::file_system(root, from)? == storage::file_system(root, directory)?,
            Source::Device { .. } => false,
        },
        has_left,
        is_in_the_way: mounted.is_none()
            && root.stat(&aside)?.is_some()
            && !has_left
            && has_files(root, directory)?,
        blind: if is_right { blind(directory, manifest) } else { None },
        mounted: mounted.map(|mount| format!("{} on {}", mount.file_system, mount.source)),
    })
}

fn has_files(root: &Root, directory: &str) -> Result<bool> {
    Ok(root.list(directory)?.is_some_and(|names| !names.is_empty()))
}

/// Is a file the log of that name, or one that it was rotated to?
pub(super) fn is_log(log: &str, name: &str) -> bool {
    name == log || rotation::time(log, name).is_some()
}

/// Device and inode.
fn identity(path: impl AsRef<Path>) -> Option<(u64, u64)> {
    fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok()
}

/// The directory that an API server logs to, as it sees it.
fn log_of(process: &crate::proof::Process) -> Option<(u64, u64)> {
    let log = apiserver::value(process, "--audit-log-path").filter(|log| log.starts_with('/'))?;
    identity(format!("/proc/{}/root{}", process.pid, parent(log)))
}

/// An API server that logs elsewhere than to what is mounted, and began before that was: its container keeps what was there then.
fn blind(directory: &str, manifest: &str) -> Option<Blind> {
    let here = identity(directory)?;
    let since = mounted_since(directory)?;
    let written = fs::metadata(manifest).ok()?.modified().ok()?;
    apiserver::processes().0.iter().find_map(|process| {
        let began = Duration::from_millis(process.started.checked_mul(10)?);
        let is_blind = began < since && log_of(process).is_some_and(|log| log != here);
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
    run("systemctl", &words, LOOK).ok()?.trim().parse().ok().map(Duration::from_micros)
}

/// Waits a moment for a device's name, and follows it.
fn appear(path: &str) -> Option<String> {
    // Long after the start, it won't be seen any more.
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let uptime = uptime
        .split('.')
        .next()
        .and_then(|seconds| seconds.parse().ok())
        .map_or(Duration::ZERO, Duration::from_secs);
    let end = Instant::now() + if uptime < STARTED { SETTLE } else { Duration::ZERO };
    loop {
        match fs::canonicalize(path) {
            Ok(real) => return Some(real.to_string_lossy().into_owned()),
            Err(_) if Instant::now() < end => thread::sleep(PAUSE),
            Err(_) => return None,
        }
    }
}

/// The size of a block device in bytes.
fn size(path: &str) -> std::io::Result<u64> {
    File::open(path)?.seek(SeekFrom::End(0))
}

/// What is on a device.
///
/// Errors: there is none, it can't be read, or there is no wipefs.
pub fn content(path: &str) -> Result<Content> {
    let real = fs::canonicalize(path).with_context(|| path.to_owned())?.to_string_lossy().into_owned();
    let mut evidence = Evidence {
        is_block_device: fs::metadata(&real).with_context(|| path.to_owned())?.file_type().is_block_device(),
        ..Evidence::default()
    };
    if !evidence.is_block_device {
        return Ok(blank::judge(&evidence));
    }
    evidence.users = users(&real).unwrap_or_else(|error| vec![format!("the kernel tells nothing of it: {error}")]);
    // wipefs knows what libblkid knows, at every place where that may be.
    evidence.signatures = blank::signatures(&run("wipefs", &["--no-act", "--parsable", &real], LOOK)?);
    evidence.size = size(&real).with_context(|| path.to_owned())?;
    // Exclusive is what mounts, swap and the device mapper are, too.
    let flags = OFlag::O_EXCL | OFlag::O_CLOEXEC;
    match File::options().read(true).custom_flags(flags.bits()).open(&real) {
        Ok(file) => evidence.data = first_data(&file, evidence.size).with_context(|| path.to_owned())?,
        Err(error) => evidence.claimed = Some(error.to_string()),
    }
    Ok(blank::judge(&evidence))
}

/// What the kernel has made of a device.
fn users(path: &str) -> std::io::Result<Vec<String>> {
    let number = storage::number(path).unwrap_or_default();
    let dir = fs::canonicalize(format!("/sys/dev/block/{number}"))?;
    let mut users = Vec::new();
    for entry in fs::read_dir(&dir)? {
        if entry?.path().join("partition").exists() {
            users.push("it has partitions".to_owned());
        }
    }
    if fs::read_dir(dir.join("holders"))?.next().is_some() {
        users.push("another device is made of it".to_owned());
    }
    let mounts = storage::mounts().map_err(std::io::Error::other)?;
    if let Some(mount) = mounts.iter().find(|mount| mount.device == number) {
        users.push(format!("it is mounted at {}", mount.point));
    }
    // A loop device claims nothing.
    for entry in fs::read_dir("/sys/block")? {
        let file = fs::read_to_string(entry?.path().join("loop/backing_file")).unwrap_or_default();
        if !file.is_empty() && storage::number(file.trim_end()).is_some_and(|other| other == number) {
            users.push("a loop device is made of it".to_owned());
        }
    }
    Ok(users)
}

/// Where the first byte is that isn't zero, of those that are looked at.
fn first_data(file: &File, size: u64) -> std::io::Result<Option<u64>> {
    let mut bytes = vec![0; 1 << 20];
    for (start, length) in blank::parts(size) {
        let mut at = start;
        while at < start + length {
            let wanted = usize::try_from(start + length - at).unwrap_or(usize::MAX).min(bytes.len());
            file.read_exact_at(&mut bytes[..wanted], at)?;
            if let Some(found) = bytes[..wanted].iter().position(|byte| *byte != 0) {
                return Ok(Some(at + found as u64));
            }
            at += wanted as u64;
        }
    }
    Ok(None)
}

/// Gives a device a file system, if it is blank at this moment.
///
/// Errors: it isn't; what mkfs says.
pub fn format(path: &str, format: Format) -> Result<()> {
    match content(path)? {
        Content::Blank => {}
        other => bail!("{path}: {other}; it is not formatted"),
    }
    log::info!("{path}: blank, and gets {}", format.name());
    run(&format!("mkfs.{}", format.name()), &["-q", "-L", LABEL, path], MKFS).map(drop)
}

fn run(program: &str, arguments: &[&str], limit: Duration) -> Result<String> {
    let path =
        DIRECTORIES.iter().map(|directory| format!("{directory}/{program}")).find(|path| Path::new(path).exists());
    let path =
        path.with_context(|| format!("there is no {program} in any of {}; install it", DIRECTORIES.join(", ")))?;
    process::output(process::command(&path, arguments), "", limit)
}

/// Makes systemd read its units again.
pub fn reload() -> Result<()> {
    run("systemctl", &["daemon-reload"], SYSTEMD).map(drop)
}

/// What [`mount`] has done, to be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
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
    done: &mut dyn FnMut(Done),
) -> Result<()> {
    let (aside, place) = (aside(directory), root.place(directory)?);
    ensure!(mounted_at(directory)?.is_none(), "{directory}: something was mounted there meanwhile; run again");
    if has_files(root, directory)? && root.stat(&aside)?.is_some() {
        // A run was killed before it had mounted, and an API server has begun a log since.
        gather(log, begun)?;
    }
    if has_files(root, directory)? {
        let moved = place.rename_new(&place.name, split(&aside)?.1);
        moved.and_then(|()| place.sync()).map_err(|errno| root.error("move away", directory, errno))?;
        done(Done::Aside);
    }
    root.make_directory(directory, attributes, &mut |_| {})?;
    reload()?;
    // Half way, too, something may be mounted.
    done(Done::Mounted);
    let asked = ["--no-ask-password", "start", unit];
    run("systemctl", &asked, SYSTEMD).with_context(|| format!("{directory}: see journalctl -u '{unit}'"))?;
    ensure!(mounted_at(directory)?.is_some(), "{directory}: systemd says that {unit} is mounted, and nothing is");
    root.make_directory(directory, attributes, &mut |_| {})?;
    if let Some(attributes) = begun
        && root.stat(log)?.is_none()
    {
        let place = root.place(log)?;
        let done = place.create(&place.name, b"", Some(attributes)).and_then(|()| place.sync());
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
    let place = root.place(directory)?;
    // Empty: it was made to be mounted at.
    match fs::remove_dir(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            log::warn!("{directory}: {error}; the files of before stay in {aside}");
            return Ok(());
        }
    }
    let moved = place.rename_new(split(&aside)?.1, &place.name).and_then(|()| place.sync());
    moved.map_err(|errno| root.error("put back", directory, errno))
}

/// Who may still write in a directory: an API server that logs there, whether it has a file open or not, or whoever has.
fn writer(directory: &str) -> Option<String> {
    let here = identity(directory);
    let logs_here = |process: &crate::proof::Process| log_of(process).is_some_and(|log| Some(log) == here);
    if let Some(process) = apiserver::processes().0.into_iter().find(logs_here) {
        return Some(format!("kube-apiserver ({})", process.pid));
    }
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let files: Vec<_> = entries.filter_map(|entry| identity(entry.path())).collect();
    process::running().find_map(|(pid, name)| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let writes = |fd: fs::DirEntry| {
            let number = fd.file_name().to_string_lossy().into_owned();
            let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
            // proc_pid_fdinfo(5): in octal digits, of which the last says for what it was opened.
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim().chars().last()?;
            (flags != '0' && files.contains(&identity(fd.path())?)).then_some(())
        };
        open.filter_map(writes).next().map(|()| format!("{name} ({pid})"))
    })
}

/// Moves the logs that went aside to where they are looked for, each whole or not at all: what was rotated keeps its name, and with it its age;
/// what was written last gets the name that the API server would have given it. Gives their number, 0 where nothing went aside.
///
/// Errors: somebody may still write there; no room; the file system's. What wasn't moved stays, for another time.
pub fn gather(log: &str, attributes: Option<&Attributes>) -> Result<usize> {
    let (directory, log) = split(log)?;
    let from = aside(directory);
    if !Path::new(&from).exists() {
        return Ok(0);
    }
    ensure!(identity(&from) != identity(directory), "{from}: this is what {directory} is; bind another directory");
    if let Some(writer) = writer(&from) {
        bail!("{from}: {writer} still writes there; apply moves the events when it has ended");
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&from).with_context(|| from.clone())? {
        let entry = entry?;
        // What isn't UTF-8 is no log.
        if let Some(name) = entry.file_name().to_str().filter(|name| is_log(log, name)) {
            files.push((name.to_owned(), entry.path(), entry.metadata()?.len()));
        }
    }
    let needed = files.iter().fold(0_u64, |sum, (_, _, length)| sum.saturating_add(*length));
    let room = statvfs(directory).with_context(|| directory.to_owned())?;
    let room = room.blocks_available().saturating_mul(room.fragment_size());
    ensure!(
        needed < room,
        "{from}: {needed} bytes, and {room} are free in {directory}; make room and apply again"
    );
    let mut moved = 0;
    for (name, path, _) in files {
        moved += usize::from(move_log(&path, directory, log, &name, attributes)?);
        fs::remove_file(&path).with_context(|| path.display().to_string())?;
    }
    match fs::remove_dir(&from) {
        Ok(()) => {}
        // It may have been somebody's place for more than the log.
        Err(error) => log::warn!("{from}: {error}; what else is in it stays"),
    }
    Ok(moved)
}

/// Copies a log to another file system, under a name that nothing has there. False for one that is empty, or was copied already.
fn move_log(from: &Path, directory: &str, log: &str, name: &str, attributes: Option<&Attributes>) -> Result<bool> {
    // The API server's user may put there what it likes: nothing is followed, or waited for.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let shown = || from.display().to_string();
    let source = File::options().read(true).custom_flags(flags.bits()).open(from).with_context(shown)?;
    let before = source.metadata()?;
    ensure!(before.is_file(), "{}: this is no file; move it away", shown());
    if before.len() == 0 {
        return Ok(false);
    }
    let written = before.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (mut seconds, is_compressed) = rotation::time(log, name).unwrap_or((written.as_secs(), false));
    let mut name = if name == log { rotation::name(log, (seconds, false)) } else { name.to_owned() };
    while let Ok(there) = File::options().read(true).custom_flags(flags.bits()).open(format!("{directory}/{name}"))
    {
        // A run may have been killed when it had copied this one.
        if same_content(&source, &there)? {
            return Ok(false);
        }
        // So that it is still told for a rotated log.
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
            return Err(std::io::Error::other("it was written meanwhile"));
        }
        fs::rename(&staged, &target)?;
        File::open(directory)?.sync_all()
    };
    copy().map(|()| true).with_context(|| format!("cannot move {} to {target}", shown()))
}

/// Are two files the same, byte by byte?
fn same_content(a: &File, b: &File) -> std::io::Result<bool> {
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

    /// The name of a log in a node's root; its directory is there, and one that went aside.
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
        // Of the same size and time as the one that is there.
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
        // As a run leaves it that is killed before it removes what it copied.
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
        assert!(error.contains(&format!("({}) still writes there", std::process::id())), "{error}");
        drop(open);
        assert_eq!(gather(&log, None).unwrap(), 1);
    }

    #[test]
    fn files_come_back_from_aside_but_over_nothing() {
        let node = Node::new();
        log(&node);
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

    #[test]
    fn the_first_byte_that_is_not_zero_is_found() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(40 << 20).unwrap();
        assert_eq!(first_data(&file, 40 << 20).unwrap(), None);
        // What can't be read isn't blank.
        assert!(first_data(&file, 41 << 20).is_err());
        for at in [(40 << 20) - 1, (1 << 20) + 1080, 0] {
            file.write_all_at(b"x", at).unwrap();
            assert_eq!(first_data(&file, 40 << 20).unwrap(), Some(at));
        }
    }
}
