//! A block device of the running system: waits for it, reads what is on it, and formats it if it is blank.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;

use super::opening::{Expected, open_known};
use super::process;
use super::storage;
use crate::storage::blank::{self, Content, DeviceEvidence, LABEL};
use crate::storage::unit::FileSystem;

/// How long to wait for a device that udev may not have found yet.
const SETTLE: Duration = Duration::from_secs(10);

/// How long after the boot udev may still find devices.
const STARTED: Duration = Duration::from_secs(600);

const MKFS: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// Waits a few seconds for a device's name. Returns the path that the name leads to, or `None` if it doesn't appear.
pub fn wait_for(path: &str) -> Option<String> {
    // Long after the boot, the device won't appear any more.
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
    open_known(Path::new(path), Expected::BlockDevice, OFlag::empty())?.seek(SeekFrom::End(0))
}

/// Reads what is on a device.
///
/// # Errors
///
/// There is no such device, it can't be read, or wipefs is not installed.
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
        find_users(&real).unwrap_or_else(|error| vec![format!("the kernel does not describe it: {error}")]);
    // wipefs finds every signature that libblkid knows, at every offset.
    evidence.signatures = blank::signatures(&process::run("wipefs", &["--no-act", "--parsable", &real], LOOK)?);
    evidence.size = size_of(&real).with_context(|| path.to_owned())?;
    // Mounts, swap and the device mapper open a device exclusively, too.
    match open_known(Path::new(&real), Expected::BlockDevice, OFlag::O_EXCL) {
        Ok(file) => evidence.data = find_data(&file, evidence.size).with_context(|| path.to_owned())?,
        Err(error) => evidence.claimed = Some(error.to_string()),
    }
    Ok(blank::judge(&evidence))
}

/// What uses a device, in words, as the kernel reports it.
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
        users.push("another device uses it".to_owned());
    }
    let mounts = storage::mounts().map_err(std::io::Error::other)?;
    if let Some(mount) = mounts.iter().find(|mount| mount.device == number) {
        users.push(format!("it is mounted at {}", mount.point));
    }
    // A loop device does not open its device exclusively.
    for entry in fs::read_dir("/sys/block")? {
        let file = fs::read_to_string(entry?.path().join("loop/backing_file")).unwrap_or_default();
        if !file.is_empty() && storage::device_number(file.trim_end()).is_some_and(|other| other == number) {
            users.push("a loop device uses it".to_owned());
        }
    }
    Ok(users)
}

/// The offset of the first byte that is not zero, in the parts that must be zero.
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

/// Formats a device, if it is blank at this moment.
///
/// # Errors
///
/// It is not blank; mkfs fails.
pub fn format(path: &str, format: FileSystem) -> Result<()> {
    match judge_content(path)? {
        Content::Blank => {}
        other => bail!("{path}: {other}; it was not formatted: check the device, then run again"),
    }
    log::info!("{path}: blank; formatting it as {}", format.name());
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
        // A device that can't be read is not blank.
        assert!(find_data(&file, 41 << 20).is_err());
        for at in [(40 << 20) - 1, (1 << 20) + 1080, 0] {
            file.write_all_at(b"x", at).unwrap();
            assert_eq!(find_data(&file, 40 << 20).unwrap(), Some(at));
        }
    }
}
