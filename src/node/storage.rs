//! Where the audit log lies on this node: what is mounted there, on which devices, with how much room, and the log itself.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::fstat;
use nix::sys::statvfs::fstatvfs;

use super::disk;
use super::observe::{self, KUBELET_CONFIG};
use super::root::Root;
use crate::proof::event_time;
use crate::storage::forecast::{self, Disk, History, Rotated, Share};
use crate::storage::mounts::{self, Mount, covering};
use crate::storage::persistence::{self, Block, Judgement, Lasting};
use crate::storage::unit::{self, Source};
use crate::time;

/// Where the kubelet keeps what it measures the room for.
const KUBELET: &str = "/var/lib/kubelet";
/// How much of the beginning and the end of a log is looked at for its first and last event. An event has at most as many bytes as a request.
const ENDS: u64 = 1 << 20;

/// The log directory as it is.
#[derive(Clone, Debug)]
pub struct Seen {
    pub judgement: Judgement,
    pub disk: Disk,
    pub history: History,
}

/// Looks at the directory of a log, which may not be there yet, on the running system, and at what is about to be mounted there. `log` is the
/// name of the log in it, `kubelet` what a kubelet will keep free that has no configuration yet.
pub fn look(root: &Root, directory: &str, log: &str, disk: Option<&disk::State>, kubelet: Share) -> Result<Seen> {
    let history = history(root, directory, log)?;
    let place = match disk.filter(|disk| disk.mounted.is_none()).map(|disk| (&disk.source, disk)) {
        Some((Source::Bind(from), _)) => from,
        Some((Source::Device { name, .. }, state)) => {
            let judgement = match (mounts(), block(&unit::device_path(name))) {
                (Ok(mounts), Some(block)) => persistence::judge_device(&mounts, &block, &self::block),
                (Err(why), _) => Judgement { lasting: Lasting::Unknown, reason: why },
                (_, None) => Judgement { lasting: Lasting::Unknown, reason: format!("{name}, which isn't there") },
            };
            return Ok(Seen {
                judgement,
                disk: Disk { total: state.size, available: state.size, eviction: 0 },
                history,
            });
        }
        None => directory,
    };
    let there = existing(root, place)?;
    let fd = root.open_at(there, OFlag::O_PATH | OFlag::O_DIRECTORY);
    let fd = fd.map_err(|errno| root.error("open", there, errno))?;
    let failed = |errno| root.error("look at the file system of", there, errno);
    let stat = fstatvfs(&fd).map_err(failed)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.fragment_size());
    let total = bytes(stat.blocks());
    let shares = device(root, KUBELET)? == Some(fstat(&fd).map_err(failed)?.st_dev);
    let eviction = if shares { eviction(root).unwrap_or(kubelet).of(total) } else { 0 };
    // The path without links, as the mounts have it.
    let real = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let judgement = match (mounts(), real) {
        (Ok(mounts), Ok(real)) => persistence::judge(&mounts, &real.to_string_lossy(), &block),
        (Err(why), _) => Judgement { lasting: Lasting::Unknown, reason: why },
        (_, Err(error)) => Judgement { lasting: Lasting::Unknown, reason: error.to_string() },
    };
    let disk = Disk { total, available: bytes(stat.blocks_available()), eviction };
    Ok(Seen { judgement, disk, history })
}

/// What is mounted, as this process sees it, or why that can't be told.
pub fn mounts() -> Result<Vec<Mount>, String> {
    const TABLE: &str = "/proc/self/mountinfo";
    let text = fs::read(TABLE).map_err(|error| format!("{TABLE}: {error}"))?;
    mounts::parse(&String::from_utf8_lossy(&text)).map_err(|fault| format!("{TABLE}: {fault}"))
}

/// What is mounted at a directory itself; `None` where nothing is.
pub fn mounted_at(directory: &str) -> Option<Mount> {
    let mounts = mounts().ok()?;
    covering(&mounts, directory).filter(|mount| mount.point == directory).cloned()
}

/// The first of a path and its parents that is there.
fn existing<'p>(root: &Root, path: &'p str) -> Result<&'p str> {
    Ok(match root.missing_directories(path)?.first() {
        Some(first) => crate::config::parent(first),
        None => path,
    })
}

/// A path without the links in it, also where not all of it is there yet.
pub fn real(root: &Root, path: &str) -> Result<String> {
    let there = existing(root, path)?;
    let real = fs::canonicalize(there).with_context(|| there.to_owned())?;
    Ok(format!(
        "{}{}",
        real.to_string_lossy().trim_end_matches('/'),
        path.strip_prefix(there.trim_end_matches('/')).unwrap_or_default()
    ))
}

/// The number of the file system that a path lies on, or will.
fn device(root: &Root, path: &str) -> Result<Option<u64>> {
    Ok(root.stat(existing(root, path)?)?.map(|entry| entry.identity.0))
}

/// What the kernel says of a block device, by its number or its path.
pub fn block(device: &str) -> Option<Block> {
    let number = match device.strip_prefix('/') {
        Some(_) => number(device)?,
        None => device.to_owned(),
    };
    let dir = fs::canonicalize(format!("/sys/dev/block/{number}")).ok()?;
    let read = |name: &str| fs::read_to_string(dir.join(name)).ok().map(|text| text.trim_end().to_owned());
    let number_of = |dir: &Path| fs::read_to_string(dir.join("dev")).ok().map(|text| text.trim_end().to_owned());
    let slaves = fs::read_dir(dir.join("slaves")).into_iter().flatten().flatten();
    let mut parts: Vec<_> = slaves.filter_map(|slave| number_of(&slave.path())).collect();
    // What a part of a disk is, the disk tells.
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

/// The number of the device that a path names, as the kernel writes it; `None` where it names none.
pub fn number(path: &str) -> Option<String> {
    use std::os::unix::fs::FileTypeExt;
    let metadata = fs::metadata(path).ok()?;
    let rdev = metadata.rdev();
    metadata
        .file_type()
        .is_block_device()
        .then(|| format!("{}:{}", nix::sys::stat::major(rdev), nix::sys::stat::minor(rdev)))
}

/// What the kubelet is configured to keep free. `None` where it has no configuration that can be read.
fn eviction(root: &Root) -> Option<Share> {
    let config = observe::read(root, KUBELET_CONFIG).ok()??;
    Some(forecast::eviction(&crate::yaml::parse(&config.text).ok()?.first()?.root))
}

/// The log that is there, and what it was rotated to: `audit-2006-01-02T15-04-05.000.log`, and `.gz` where it was compressed.
fn history(root: &Root, directory: &str, log: &str) -> Result<History> {
    let mut history = History::default();
    let (stem, extension) =
        log.rsplit_once('.').map_or((log, String::new()), |(stem, end)| (stem, format!(".{end}")));
    for name in root.list(directory)?.unwrap_or_default() {
        let path = format!("{directory}/{name}");
        if name == log {
            let Ok(fd) = root.open_at(&path, OFlag::O_RDONLY | OFlag::O_NONBLOCK) else { continue };
            let mut file = File::from(fd);
            history.bytes = file.metadata()?.len();
            history.events = events(&mut file);
            continue;
        }
        let Some(rest) = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('-')) else { continue };
        let (plain_name, is_compressed) = rest.strip_suffix(".gz").map_or((rest, false), |rest| (rest, true));
        let Some(time) =
            plain_name.strip_suffix(&extension).filter(|time| time.len() == 23).and_then(time::seconds)
        else {
            continue;
        };
        let Ok(fd) = root.open_at(&path, OFlag::O_RDONLY | OFlag::O_NONBLOCK) else { continue };
        let mut file = File::from(fd);
        let bytes = file.metadata()?.len();
        let plain = if is_compressed { plain_size(&mut file) } else { Some(bytes) };
        // One that is just being compressed lies there twice.
        history.rotated.retain(|other| other.time != time);
        history.rotated.extend(plain.map(|plain| Rotated { time, bytes, plain }));
    }
    history.rotated.sort_by_key(|file| file.time);
    Ok(history)
}

/// What a file compressed by gzip was before: its last four bytes say so (RFC 1952), of what is smaller than 4 GiB.
fn plain_size(file: &mut File) -> Option<u64> {
    let mut last = [0; 4];
    file.seek(SeekFrom::End(-4)).ok()?;
    file.read_exact(&mut last).ok()?;
    Some(u64::from(u32::from_le_bytes(last)))
}

/// When the first and the last event of a log were.
fn events(file: &mut File) -> Option<(u64, u64)> {
    let length = file.metadata().ok()?.len();
    let mut read = |from: u64| {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from)).ok()?;
        file.by_ref().take(ENDS).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let (first, last) = (read(0)?, read(length.saturating_sub(ENDS))?);
    let time = |line| time::seconds(&event_time(line)?);
    Some((first.lines().find_map(time)?, last.lines().rev().find_map(time)?))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Node;
    use super::*;

    const LOGS: &str = "/var/log/kubernetes/audit";

    fn put(node: &Node, name: &str, bytes: &[u8]) {
        node.put(&format!("{LOGS}/{name}"), "");
        fs::write(node.host(&format!("{LOGS}/{name}")), bytes).unwrap();
    }

    #[test]
    fn the_log_and_what_it_was_rotated_to_are_found() {
        let node = Node::new();
        let event = |time: &str| {
            format!("{{\"kind\":\"Event\",\"requestReceivedTimestamp\":\"{time}.123456Z\",\"x\":1}}\n")
        };
        let text = [event("2026-11-26T12:00:00"), event("2026-11-26T12:05:00"), "{\"cut of".to_owned()].concat();
        put(&node, "audit.log", text.as_bytes());
        put(&node, "audit-2026-11-26T11-00-00.000.log", b"12345");
        // What is behind the last four bytes doesn't matter: 0x0102 is 258.
        put(&node, "audit-2026-11-25T11-00-00.000.log.gz", &[9, 9, 9, 2, 1, 0, 0]);
        for other in [
            "audit-2026.log",
            "audit.log.1",
            "other-2026-11-26T11-00-00.000.log",
            "audit-2026-11-25T11-00-00.000.txt",
        ] {
            put(&node, other, b"1");
        }
        let history = history(&node.root, LOGS, "audit.log").unwrap();
        assert_eq!(
            history,
            History {
                bytes: text.len() as u64,
                events: Some((1_795_694_400, 1_795_694_700)),
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
        assert_eq!(history(&node.root, LOGS, "audit.log").unwrap(), History::default());
        put(&node, "audit.log", b"");
        assert_eq!(history(&node.root, LOGS, "audit.log").unwrap(), History::default());
    }

    #[test]
    fn the_running_system_can_be_looked_at() {
        let root = Root::open(Path::new("/")).unwrap();
        let seen = look(&root, "/proc/kube-audit-bootstrap", "audit.log", None, forecast::EVICTION).unwrap();
        assert_eq!(seen.judgement.lasting, Lasting::Unknown, "{}", seen.judgement);
    }
}
