//! A block device of the running system: whether it is there, what is on it, and how a blank one gets a file system.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;

use super::process;
use super::storage;
use crate::storage::blank::{self, Content, DeviceEvidence, LABEL};
use crate::storage::unit::FileSystem;

/// How long a device is waited for that udev may not have seen yet.
const SETTLE: Duration = Duration::from_secs(10);

/// How long after its start a machine may not have seen all of its devices.
const STARTED: Duration = Duration::from_secs(600);

const MKFS: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// Waits a moment for a device's name, and follows it.
pub fn wait_for(path: &str) -> Option<String> {
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
pub fn size_of(path: &str) -> std::io::Result<u64> {
    File::open(path)?.seek(SeekFrom::End(0))
}

/// What is on a device.
///
/// Errors: there is none, it can't be read, or there is no wipefs.
pub fn judge_content(path: &str) -> Result<Content> {
    let real = fs::canonicalize(path).with_context(|| path.to_owned())?.to_string_lossy().into_owned();
    let mut evidence = DeviceEvidence {
        is_block_device: fs::metadata(&real).with_context(|| path.to_owned())?.file_type().is_block_device(),
        ..DeviceEvidence::default()
    };
    if !evidence.is_block_device {
        return Ok(blank::judge(&evidence));
    }
    evidence.users =
        find_users(&real).unwrap_or_else(|error| vec![format!("the kernel tells nothing of it: {error}")]);
    // wipefs knows what libblkid knows, at every place where that may be.
    evidence.signatures = blank::signatures(&process::run("wipefs", &["--no-act", "--parsable", &real], LOOK)?);
    evidence.size = size_of(&real).with_context(|| path.to_owned())?;
    // Exclusive is what mounts, swap and the device mapper are, too.
    let flags = OFlag::O_EXCL | OFlag::O_CLOEXEC;
    match File::options().read(true).custom_flags(flags.bits()).open(&real) {
        Ok(file) => evidence.data = find_data(&file, evidence.size).with_context(|| path.to_owned())?,
        Err(error) => evidence.claimed = Some(error.to_string()),
    }
    Ok(blank::judge(&evidence))
}

/// What the kernel has made of a device.
fn find_users(path: &str) -> std::io::Result<Vec<String>> {
    let number = storage::device_number(path).unwrap_or_default();
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
        if !file.is_empty() && storage::device_number(file.trim_end()).is_some_and(|other| other == number) {
            users.push("a loop device is made of it".to_owned());
        }
    }
    Ok(users)
}

/// Where the first byte is that isn't zero, of those that are looked at.
fn find_data(file: &File, size: u64) -> std::io::Result<Option<u64>> {
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
pub fn format(path: &str, format: FileSystem) -> Result<()> {
    match judge_content(path)? {
        Content::Blank => {}
        other => bail!("{path}: {other}; it is not formatted"),
    }
    log::info!("{path}: blank, and gets {}", format.name());
    process::run(&format!("mkfs.{}", format.name()), &["-q", "-L", LABEL, path], MKFS).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_is_not_zero_is_found() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(40 << 20).unwrap();
        assert_eq!(find_data(&file, 40 << 20).unwrap(), None);
        // What can't be read isn't blank.
        assert!(find_data(&file, 41 << 20).is_err());
        for at in [(40 << 20) - 1, (1 << 20) + 1080, 0] {
            file.write_all_at(b"x", at).unwrap();
            assert_eq!(find_data(&file, 40 << 20).unwrap(), Some(at));
        }
    }
}
