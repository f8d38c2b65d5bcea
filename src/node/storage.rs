//! The storage of the log directory on this node: its mounts, its devices, its free space, and the log files in it.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use nix::sys::statvfs::{FsFlags, fstatvfs};

use super::root::Root;
use crate::audit::log::{WRITTEN, event_time};
use crate::facts::file::FileIdentity;
use crate::facts::{DiskState, LogPlace};
use crate::path::parent;
use crate::storage::blank::Content;
use crate::storage::forecast::{Disk, EventTimes, LogHistory, Rotated, Share};
use crate::storage::mounts::{self, Mount, covering};
use crate::storage::persistence::{self, Block, Judgement, Lasting};
use crate::storage::rotation;
use crate::storage::unit::{MountSource, device_path};
use crate::time;

/// The kubelet's directory, on the file system whose free space it watches.
const KUBELET: &str = "/var/lib/kubelet";
/// How many bytes at each end of a log are searched for its first and last event. An event is at most as large as a
/// request.
const ENDS: u64 = 1 << 20;
/// How many bytes tell whose log a file is.
const HEAD: u64 = 4096;

/// Reads the storage of a log directory on the running system. The directory need not exist yet, and `pending` is
/// what is about to be mounted there. `log` is the name of the log in it. `kubelet` is what the kubelet will keep
/// free, if it has no configuration yet.
///
/// # Errors
///
/// The file system reports an error.
pub fn look(
    root: &Root,
    directory: &str,
    log: &str,
    pending: Option<(&MountSource, &DiskState)>,
    kubelet: Share,
) -> Result<LogPlace> {
    let history = read_history(root, directory, log)?;
    let place = match pending.filter(|(_, state)| state.mounted.is_none()) {
        Some((MountSource::Bind(from), _)) => from,
        Some((MountSource::Device { name, .. }, state)) => {
            let judgement = match (mounts(), read_block(&device_path(name))) {
                (Ok(mounts), Some(block)) => persistence::judge_device(&mounts, &block, &read_block),
                (Err(why), _) => unknown(format!("{why:#}")),
                (_, None) => unknown(format!("{name}, which does not exist")),
            };
            // The file system will use a part of the device for itself.
            let room = state.size / 100 * 93;
            let disk = Disk { total: room, available: room, eviction: 0 };
            let disk = Some(disk).filter(|_| state.content == Some(Content::Blank));
            return Ok(LogPlace { judgement, disk, capacity: state.size, is_read_only: false, history });
        }
        None => directory,
    };
    let there = first_existing(root, place)?;
    let fd = root.find(there).map_err(|errno| root.error("open", there, errno))?;
    let failed = |errno| root.error("look at the file system of", there, errno);
    let stat = fstatvfs(&fd).map_err(failed)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.fragment_size());
    let total = bytes(stat.blocks());
    let shares = file_system(root, KUBELET)? == Some(stat.filesystem_id());
    let eviction = if shares { kubelet.of(total) } else { 0 };
    // The list of mounts has paths without links.
    let judgement = match (mounts(), resolve(root, place)) {
        (Ok(mounts), Ok(real)) => persistence::judge(&mounts, &real, &read_block),
        (Err(why), _) | (_, Err(why)) => unknown(format!("{why:#}")),
    };
    Ok(LogPlace {
        judgement,
        capacity: total,
        disk: Some(Disk { total, available: bytes(stat.blocks_available()), eviction }),
        is_read_only: stat.flags().contains(FsFlags::ST_RDONLY),
        history,
    })
}

fn unknown(reason: String) -> Judgement {
    Judgement { lasting: Lasting::Unknown, reason, is_layer: false }
}

/// All mounts that this process sees.
///
/// # Errors
///
/// The list of mounts can't be read.
pub fn mounts() -> Result<Vec<Mount>> {
    const TABLE: &str = "/proc/self/mountinfo";
    let text = fs::read(TABLE).context(TABLE)?;
    mounts::parse(&String::from_utf8_lossy(&text)).map_err(|fault| anyhow!("{TABLE}: {fault}"))
}

/// What is mounted directly at a directory; `None` if it is not a mount point.
///
/// # Errors
///
/// The list of mounts can't be read.
pub fn mounted_at(directory: &str) -> Result<Option<Mount>> {
    Ok(covering(&mounts()?, directory).filter(|mount| mount.point == directory).cloned())
}

/// The path, or the nearest of its parents that exists.
fn first_existing<'p>(root: &Root, path: &'p str) -> Result<&'p str> {
    Ok(match root.missing_directories(path)?.first() {
        Some(first) => parent(first),
        None => path,
    })
}

/// A path with its links resolved. The path need not exist yet.
pub fn resolve(root: &Root, path: &str) -> Result<String> {
    let there = first_existing(root, path)?;
    let real = fs::canonicalize(there).with_context(|| there.to_owned())?;
    Ok(format!(
        "{}{}",
        real.to_string_lossy().trim_end_matches('/'),
        path.strip_prefix(there.trim_end_matches('/')).unwrap_or_default()
    ))
}

/// The ID of the file system that a path is on, or will be on. A subvolume has the ID of its file system.
pub fn file_system(root: &Root, path: &str) -> Result<Option<u64>> {
    let there = first_existing(root, path)?;
    let fd = root.find(there).map_err(|errno| root.error("open", there, errno))?;
    Ok(fstatvfs(&fd).ok().map(|stat| stat.filesystem_id()))
}

/// Reads what the kernel reports about a block device, by its number or its path. `None` if there is no such device.
pub fn read_block(device: &str) -> Option<Block> {
    let number = match device.strip_prefix('/') {
        Some(_) => device_number(device)?,
        None => device.to_owned(),
    };
    let dir = fs::canonicalize(format!("/sys/dev/block/{number}")).ok()?;
    let read = |name: &str| fs::read_to_string(dir.join(name)).ok().map(|text| text.trim_end().to_owned());
    let number_of = |dir: &Path| fs::read_to_string(dir.join("dev")).ok().map(|text| text.trim_end().to_owned());
    let slaves = fs::read_dir(dir.join("slaves")).into_iter().flatten().flatten();
    let mut parts: Vec<_> = slaves.filter_map(|slave| number_of(&slave.path())).collect();
    // A partition is judged by its disk.
    if dir.join("partition").exists() && dir.starts_with("/sys/devices/virtual") {
        parts.extend(dir.parent().and_then(number_of));
    }
    parts.sort_unstable();
    Some(Block {
        name: dir.file_name()?.to_string_lossy().into_owned(),
        backing_file: read("loop/backing_file"),
        parts,
        uuid: read("dm/uuid"),
    })
}

/// The number of the block device at a path, as MAJOR:MINOR; `None` if there is none.
pub fn device_number(path: &str) -> Option<String> {
    use std::os::unix::fs::FileTypeExt;
    let metadata = fs::metadata(path).ok()?;
    let rdev = metadata.rdev();
    metadata
        .file_type()
        .is_block_device()
        .then(|| format!("{}:{}", nix::sys::stat::major(rdev), nix::sys::stat::minor(rdev)))
}

/// The first bytes of a file; none if they can't be read.
pub fn head(root: &Root, path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(fd) = root.find_name(path).and_then(|found| root.reopen_found(path, &found)) {
        // What was read before an error counts, too.
        let _ = File::from(fd).take(HEAD).read_to_end(&mut bytes);
    }
    bytes
}

/// The log files that are there: the current one and the rotated ones.
fn read_history(root: &Root, directory: &str, log: &str) -> Result<LogHistory> {
    let mut history = LogHistory::default();
    // A compressed file beside the plain one is still being written, so it is skipped. The names are sorted.
    let names = root.list(directory)?.unwrap_or_default();
    for name in &names {
        let rotated = rotation::time(log, name);
        if name != log && rotated.is_none()
            || name
                .strip_suffix(".gz")
                .is_some_and(|plain| names.binary_search_by(|other| other.as_str().cmp(plain)).is_ok())
        {
            continue;
        }
        let path = format!("{directory}/{name}");
        // A link, or what is not a regular file, belongs to another program, and is not opened.
        let opened = root.find_name(&path).and_then(|found| root.reopen_found(&path, &found));
        // The file may just have been deleted.
        let Ok(mut file) = opened.map(File::from) else { continue };
        let metadata = file.metadata()?;
        match rotated {
            _ if !metadata.is_file() => {}
            None => {
                history.bytes = metadata.len();
                history.events = read_times(&mut file, metadata.len());
            }
            Some((time, is_compressed)) => {
                let bytes = metadata.len();
                let plain = if is_compressed { plain_size(&mut file) } else { Some(bytes) };
                history.rotated.extend(plain.map(|plain| Rotated { time, bytes, plain }));
            }
        }
    }
    history.rotated.sort_by_key(|file| file.time);
    Ok(history)
}

/// The uncompressed size of a gzip file, from its last four bytes (RFC 1952); right for sizes below 4 GiB.
fn plain_size(file: &mut File) -> Option<u64> {
    let mut last = [0; 4];
    file.seek(SeekFrom::End(-4)).ok()?;
    file.read_exact(&mut last).ok()?;
    Some(u64::from(u32::from_le_bytes(last)))
}

/// When the first and the last event of a log were written, in seconds since 1970. Not when they were received: the
/// event of a watch is written hours after its request.
fn read_times(file: &mut File, length: u64) -> Option<EventTimes> {
    let mut read = |from: u64| {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from)).ok()?;
        file.by_ref().take(ENDS).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let (first, last) = (read(0)?, read(length.saturating_sub(ENDS))?);
    let time = |line| time::seconds(&event_time(line, WRITTEN)?);
    Some(EventTimes { first: first.lines().find_map(time)?, last: last.lines().rev().find_map(time)? })
}

/// The identity of the file at a path, through links. `None` if it doesn't exist.
pub fn identity(path: impl AsRef<Path>) -> Option<FileIdentity> {
    let metadata = fs::metadata(path).ok()?;
    Some(FileIdentity { device: metadata.dev(), inode: metadata.ino() })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{LOGS, Node};
    use super::*;
    use crate::storage::forecast::EVICTION;

    fn put(node: &Node, name: &str, bytes: &[u8]) {
        node.put(&format!("{LOGS}/{name}"), "");
        fs::write(node.host(&format!("{LOGS}/{name}")), bytes).unwrap();
    }

    #[test]
    fn the_log_and_what_it_was_rotated_to_are_found() {
        let node = Node::new();
        let event = |time: &str| {
            format!(
                "{{\"kind\":\"Event\",\"requestReceivedTimestamp\":\"2026-11-20T00:00:00.000000Z\",\"stageTimestamp\":\"{time}.123456Z\",\"x\":1}}\n"
            )
        };
        let text = [event("2026-11-26T12:00:00"), event("2026-11-26T12:05:00"), "{\"cut of".to_owned()].concat();
        put(&node, "audit.log", text.as_bytes());
        put(&node, "audit-2026-11-26T11-00-00.000.log", b"12345");
        // Only the last four bytes matter: 0x0102 is 258.
        put(&node, "audit-2026-11-25T11-00-00.000.log.gz", &[9, 9, 9, 2, 1, 0, 0]);
        // A file that is being compressed is there twice.
        put(&node, "audit-2026-11-26T11-00-00.000.log.gz", &[0xff; 9]);
        put(&node, "notes", b"1");
        let history = read_history(&node.root, LOGS, "audit.log").unwrap();
        assert_eq!(
            history,
            LogHistory {
                bytes: text.len() as u64,
                events: Some(EventTimes { first: 1_795_694_400, last: 1_795_694_700 }),
                rotated: vec![
                    Rotated { time: 1_795_604_400, bytes: 7, plain: 258 },
                    Rotated { time: 1_795_690_800, bytes: 5, plain: 5 },
                ],
            }
        );
    }

    #[test]
    fn a_log_of_nothing_has_no_events() {
        let node = Node::new();
        assert_eq!(read_history(&node.root, LOGS, "audit.log").unwrap(), LogHistory::default());
        put(&node, "audit.log", b"");
        assert_eq!(read_history(&node.root, LOGS, "audit.log").unwrap(), LogHistory::default());
    }

    #[test]
    fn the_running_system_can_be_looked_at() {
        let root = Root::open(Path::new("/")).unwrap();
        let seen = look(&root, "/proc/kube-audit-bootstrap", "audit.log", None, EVICTION).unwrap();
        assert_eq!(seen.judgement.lasting, Lasting::Unknown, "{}", seen.judgement);
    }
}
