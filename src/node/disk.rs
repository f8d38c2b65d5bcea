//! A disk of the log's own, or a directory of one: proved blank, given a file system, mounted where the log lies, and given the events
//! from before. Only of the running system, so no root stands before the paths.

use std::fs::{self, File, Permissions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};

use super::change::Attributes;
use super::process;
use super::root::Root;
use super::storage::{self, mounted_at};
use crate::storage::unit::{self, Format, Source};
use crate::time;

/// Where programs are that only root needs.
const PROGRAMS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// How long a device is waited for that udev may not have seen yet.
const SETTLE: Duration = Duration::from_secs(10);
/// How long systemd may take: it waits 90 s for a device itself.
const SYSTEMD: Duration = Duration::from_secs(120);
const MKFS: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// How much of each end of a device must be zero, in bytes: what no program knows may still be somebody's.
const ZERO: u64 = 1 << 20;
/// The least that is worth a file system, in bytes; mkfs.xfs takes no less than 300 MiB.
const MIN_SIZE: u64 = 16 << 20;

/// What is on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing.
    Blank,
    /// What wipefs finds, such as `ext4`, `gpt`, `LVM2_member`, `crypto_LUKS`.
    Signatures(Vec<String>),
    /// Something, or something has it: why it is left alone.
    Taken(String),
}

/// How it stands about what the configuration wants to be mounted.
#[derive(Clone, Debug)]
pub struct State {
    pub source: Source,
    /// Where links lead: nothing can be mounted at a link.
    pub real: String,
    /// What is mounted there now, in words; `None` for nothing.
    pub mounted: Option<String>,
    /// Is that what is wanted?
    pub is_right: bool,
    /// What is on the device, if that isn't mounted; `None` where there is no such device.
    pub content: Option<Content>,
    /// The size of the device in bytes.
    pub size: u64,
    /// The directory that was there before has something left in it.
    pub left: bool,
    /// Who still writes there.
    pub writer: Option<String>,
}

/// Where the directory of before goes when something is mounted over it.
pub fn aside(directory: &str) -> String {
    format!("{directory}.before-mount")
}

/// Looks at what is mounted, and at what shall be.
pub fn state(root: &Root, source: &Source, directory: &str) -> Result<State> {
    let mounted = mounted_at(directory);
    let is_right = mounted.as_ref().is_some_and(|mount| match source {
        Source::Bind(from) => same(from, directory),
        Source::Device { name, .. } => {
            let path = unit::device_path(name);
            // The number of btrfs is made up.
            let number = |path: &str| storage::number(path);
            number(&path)
                .is_some_and(|found| found == mount.device || number(&mount.source) == Some(found.clone()))
        }
    });
    let device = match source {
        Source::Device { name, .. } if mounted.is_none() => appear(&unit::device_path(name)),
        _ => None,
    };
    let aside = aside(directory);
    let left = root.list(&aside)?.is_some_and(|names| !names.is_empty());
    Ok(State {
        source: source.clone(),
        real: storage::real(root, directory)?,
        mounted: mounted.map(|mount| format!("{} on {}", mount.file_system, mount.source)),
        is_right,
        size: device.as_deref().map_or(0, size),
        content: device.map(|path| content(&path)).transpose()?,
        writer: if left { writer(&aside) } else { None },
        left,
    })
}

fn same(a: &str, b: &str) -> bool {
    let identity = |path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    identity(a).is_some() && identity(a) == identity(b)
}

/// Waits a moment for a device's name, and follows it.
fn appear(path: &str) -> Option<String> {
    let end = Instant::now() + SETTLE;
    loop {
        match fs::canonicalize(path) {
            Ok(real) => return Some(real.to_string_lossy().into_owned()),
            Err(_) if Instant::now() < end => thread::sleep(PAUSE),
            Err(_) => return None,
        }
    }
}

/// The size of a block device in bytes.
fn size(path: &str) -> u64 {
    let end = || File::open(path)?.seek(SeekFrom::End(0));
    end().unwrap_or(0)
}

/// What is on a device. Only where nothing at all is found, wherever it could be, it is blank.
///
/// Errors: it can't be read, or there is no wipefs.
pub fn content(path: &str) -> Result<Content> {
    let taken = |why: &str| Ok(Content::Taken(why.to_owned()));
    if !fs::metadata(path).with_context(|| path.to_owned())?.file_type().is_block_device() {
        return taken("it is no block device");
    }
    let Some(dir) =
        storage::number(path).and_then(|number| fs::canonicalize(format!("/sys/dev/block/{number}")).ok())
    else {
        return taken("the kernel tells nothing of it");
    };
    let inside = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    if inside(&dir).any(|path| path.join("partition").exists()) {
        return taken("it has partitions");
    }
    if inside(&dir.join("holders")).next().is_some() {
        return taken("another device is made of it");
    }
    // wipefs knows what libblkid knows, at every place where that may be.
    let found = run("wipefs", &["--no-act", "--parsable", path], LOOK)?;
    let kinds = found.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit(',').next());
    let mut kinds: Vec<_> = kinds.map(|kind| kind.trim().to_owned()).filter(|kind| !kind.is_empty()).collect();
    kinds.dedup();
    if !kinds.is_empty() {
        return Ok(Content::Signatures(kinds));
    }
    // Exclusive is what mounts, swap and the device mapper are, too.
    let opened =
        File::options().read(true).write(true).custom_flags((OFlag::O_EXCL | OFlag::O_CLOEXEC).bits()).open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) => return Ok(Content::Taken(format!("it can't be had: {error}"))),
    };
    let size = file.seek(SeekFrom::End(0))?;
    if size < MIN_SIZE {
        return taken("it is too small for a log");
    }
    for start in [0, size - ZERO] {
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        (&file).take(ZERO).read_to_end(&mut bytes).with_context(|| path.to_owned())?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(Content::Taken(format!("there is something in the MiB at {start} that no program knows")));
        }
    }
    Ok(Content::Blank)
}

/// Gives a device a file system, if it is blank at this moment.
///
/// Errors: it isn't; what mkfs says.
pub fn format(path: &str, format: Format) -> Result<()> {
    let real = fs::canonicalize(path).with_context(|| path.to_owned())?;
    let real = real.to_string_lossy();
    match content(&real)? {
        Content::Blank => {}
        other => bail!("{path}: {}; it is not formatted", describe(&other)),
    }
    log::info!("{path}: blank, and gets {}", format.name());
    let quiet: &[&str] = &["-q"];
    run(&format!("mkfs.{}", format.name()), &[quiet, &[&real]].concat(), MKFS).map(drop)
}

/// What is on a device, in words.
pub fn describe(content: &Content) -> String {
    match content {
        Content::Blank => "it is blank".to_owned(),
        Content::Signatures(kinds) => format!("it is not blank, there is {}", kinds.join(", ")),
        Content::Taken(why) => why.clone(),
    }
}

fn run(program: &str, arguments: &[&str], limit: Duration) -> Result<String> {
    let path = PROGRAMS.iter().map(|dir| format!("{dir}/{program}")).find(|path| Path::new(path).exists());
    let path =
        path.with_context(|| format!("there is no {program} in any of {}; install it", PROGRAMS.join(", ")))?;
    process::output(process::command(&path, arguments), "", limit)
}

/// Makes systemd read its units again.
pub fn reload() -> Result<()> {
    run("systemctl", &["daemon-reload"], SYSTEMD).map(drop)
}

/// Mounts a unit's file system over a directory, whose files go aside. [`unmount`] takes that back, from half way, too.
///
/// Errors: the file system's, and what systemd says.
pub fn mount(root: &Root, directory: &str, unit: &str, attributes: &Attributes) -> Result<()> {
    let (aside, place) = (aside(directory), root.place(directory)?);
    if root.list(directory)?.is_some_and(|names| !names.is_empty()) {
        ensure!(root.stat(&aside)?.is_none(), "{aside}: this is there from another time; move it away");
        let name = super::root::split(&aside)?.1;
        let moved = place.rename_new(&place.name, name).and_then(|()| place.sync());
        moved.map_err(|errno| root.error("move away", directory, errno))?;
    }
    root.make_directory(directory, attributes, &mut |_| {})?;
    reload()?;
    let asked = ["--no-ask-password", "start", unit];
    run("systemctl", &asked, SYSTEMD).with_context(|| format!("{directory}: see journalctl -u '{unit}'"))?;
    ensure!(mounted_at(directory).is_some(), "{directory}: systemd says that {unit} is mounted, and nothing is");
    root.make_directory(directory, attributes, &mut |_| {})
}

/// Takes away what is mounted at a directory, for the processes that don't use it already, and puts back the files that were there before.
///
/// Errors: the file system's.
pub fn unmount(root: &Root, directory: &str) -> Result<()> {
    if mounted_at(directory).is_some() {
        umount2(directory, MntFlags::MNT_DETACH).map_err(|errno| root.error("unmount", directory, errno))?;
    }
    let aside = aside(directory);
    if root.stat(&aside)?.is_some() {
        let place = root.place(directory)?;
        // Empty: it was made to be mounted at.
        match fs::remove_dir(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context(directory.to_owned());
            }
            _ => {}
        }
        let name = super::root::split(&aside)?.1.to_owned();
        let moved = place.rename_new(&name, &place.name).and_then(|()| place.sync());
        moved.map_err(|errno| root.error("put back", directory, errno))?;
    }
    Ok(())
}

/// A process that has a file of a directory open for writing.
fn writer(directory: &str) -> Option<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let files: Vec<_> = entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| (metadata.dev(), metadata.ino()))
        .collect();
    process::running().find_map(|(pid, name)| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let writes = |fd: fs::DirEntry| {
            let metadata = fs::metadata(fd.path()).ok()?;
            let number = fd.file_name().to_string_lossy().into_owned();
            let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
            // proc_pid_fdinfo(5): in octal digits, of which the last says for what it was opened.
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim().chars().last()?;
            (files.contains(&(metadata.dev(), metadata.ino())) && flags != '0').then_some(())
        };
        open.filter_map(writes).next().map(|()| format!("{name} ({pid})"))
    })
}

/// Moves the files that went aside to where they are looked for, each whole or not at all: what was rotated keeps its name, and with it its age;
/// what was written last gets the name that the API server would have given it. Gives their number.
///
/// Errors: somebody still writes there; no room; the file system's. What wasn't moved stays, for another time.
pub fn gather(directory: &str, log: &str) -> Result<usize> {
    let from = aside(directory);
    if let Some(writer) = writer(&from) {
        bail!("{from}: {writer} still writes there; apply again when it has ended");
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&from).with_context(|| from.clone())? {
        let entry = entry?;
        if entry.metadata()?.is_file() {
            files.push((entry.file_name().to_string_lossy().into_owned(), entry.path(), entry.metadata()?));
        }
    }
    let needed: u64 = files.iter().map(|(_, _, metadata)| metadata.len()).sum();
    let room =
        nix::sys::statvfs::statvfs(directory).map_err(|errno| anyhow::anyhow!("{directory}: {}", errno.desc()))?;
    let room = room.blocks_available().saturating_mul(room.fragment_size());
    ensure!(
        needed < room,
        "{from}: {needed} bytes, and {room} are free in {directory}; make room and apply again"
    );
    let mut moved = 0;
    for (name, path, metadata) in files {
        if name == log && metadata.len() > 0 {
            let (stem, end) =
                log.rsplit_once('.').map_or((log, String::new()), |(stem, end)| (stem, format!(".{end}")));
            let written = metadata.modified()?;
            let stamp = time::rfc3339(written).replace(':', "-").replace('Z', "");
            move_file(&path, metadata, directory, &format!("{stem}-{stamp}.000{end}"))?;
        } else if metadata.len() > 0 {
            move_file(&path, metadata, directory, &name)?;
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| from.clone());
            }
            _ => moved += 1,
        }
    }
    // What is no log of ours keeps it.
    if let Err(error) = fs::remove_dir(&from) {
        log::warn!("{from}: {error}");
    }
    Ok(moved)
}

/// Copies a file to another file system, under a name that nothing has there.
fn move_file(from: &Path, metadata: fs::Metadata, directory: &str, name: &str) -> Result<()> {
    let target = (1..).map(|number| match number {
        1 => format!("{directory}/{name}"),
        number => format!("{directory}/{name}.{number}"),
    });
    // A run may have been killed when it had copied this one.
    let is_there = |path: &String| {
        fs::metadata(path).is_ok_and(|found| {
            (found.len(), found.mtime(), found.mtime_nsec())
                == (metadata.len(), metadata.mtime(), metadata.mtime_nsec())
        })
    };
    let mut target = target;
    let target = match target.find(|path| is_there(path) || !Path::new(path).exists()) {
        Some(path) if !is_there(&path) => path,
        _ => return Ok(()),
    };
    let staged = format!("{directory}/.{name}.kube-audit-bootstrap");
    let copy = || -> std::io::Result<()> {
        let mut to = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&staged)?;
        std::io::copy(&mut File::open(from)?, &mut to)?;
        std::os::unix::fs::fchown(&to, Some(metadata.uid()), Some(metadata.gid()))?;
        to.set_permissions(Permissions::from_mode(metadata.mode() & 0o7777))?;
        to.set_modified(metadata.modified()?)?;
        to.sync_all()?;
        fs::rename(&staged, &target)?;
        File::open(directory)?.sync_all()
    };
    copy().with_context(|| format!("cannot move {} to {target}", from.display()))
}
