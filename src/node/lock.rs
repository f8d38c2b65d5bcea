//! The lock that lets one run at a time change a node.

use std::fs::{File, TryLockError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::root::Root;
use crate::facts::file::FileKind;
use crate::path::STATE;

const NAME: &str = "lock";
const POLL: Duration = Duration::from_millis(100);

/// The exclusive right to change a node. It is released when dropped, or when the process ends in any way.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock. Waits up to `timeout` for another run to end. Creates the lock file if it doesn't exist. An
    /// existing lock file is not written to, and its times don't change.
    ///
    /// # Errors
    ///
    /// The timeout is over; the lock file can't be opened or is not a regular file.
    pub fn take(root: &Root, timeout: Duration) -> Result<Lock> {
        let path = format!("{STATE}/{NAME}");
        let file = open(root, &path)?;
        let start = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", root.shown(&path)));
                }
            }
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                let time = match timeout.as_secs() {
                    0 => String::new(),
                    seconds => format!(", and {seconds} s were not enough"),
                };
                bail!(
                    "another run holds {}{time}; wait for it to end (fuser names it), then run again",
                    root.shown(&path)
                );
            }
            if !told {
                log::warn!("another run holds {}; waiting for up to {} s", root.shown(&path), timeout.as_secs());
                told = true;
            }
            sleep(POLL.min(left));
        }
    }
}

/// Does another run hold the lock at this moment? Writes nothing. What can't be read counts as not held.
pub fn is_held(root: &Root) -> bool {
    let path = format!("{STATE}/{NAME}");
    let Ok(Some(_)) = root.look(&path) else { return false };
    open(root, &path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Whether the lock file exists.
///
/// # Errors
///
/// What is there is no regular file.
pub(super) fn check(root: &Root) -> Result<bool> {
    let path = format!("{STATE}/{NAME}");
    let Some(entry) = root.look(&path)? else { return Ok(false) };
    ensure!(entry.kind == FileKind::File, "{}: the lock is not a regular file; remove it", root.shown(&path));
    Ok(true)
}

fn open(root: &Root, path: &str) -> Result<File> {
    let failed = |errno| root.error("open the lock file", path, errno);
    if check(root)? {
        let opened = root.find_name(path).and_then(|found| root.reopen_found(path, &found));
        return Ok(File::from(opened.map_err(failed)?));
    }
    root.make_private(STATE)?;
    let slot = root.slot(path)?;
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fd = openat(&slot.dir, NAME, flags, Mode::S_IRUSR | Mode::S_IWUSR);
    Ok(File::from(fd.map_err(failed)?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::super::testing::Node;
    use super::*;

    const LOCK: &str = "/var/lib/kube-audit-bootstrap/lock";
    const NOT: Duration = Duration::ZERO;

    #[test]
    fn the_lock_file_is_private_and_its_directory_too() {
        let node = Node::new();
        Lock::take(&node.root, NOT).unwrap();
        assert_eq!((node.mode(STATE), node.mode(LOCK), node.mode("/var/lib")), (0o700, 0o600, 0o755));
    }

    #[test]
    fn taking_it_again_changes_nothing() {
        let node = Node::new();
        let times = || {
            Lock::take(&node.root, NOT).unwrap();
            let (file, directory) = (node.host(LOCK).metadata().unwrap(), node.host(STATE).metadata().unwrap());
            [&file, &directory].map(|meta| (meta.ino(), meta.mtime_nsec(), meta.ctime_nsec(), meta.ctime()))
        };
        assert_eq!(times(), times());
    }

    #[test]
    fn a_second_run_gives_up_when_its_time_is_over() {
        let node = Node::new();
        let held = Lock::take(&node.root, NOT).unwrap();
        for timeout in [0, 150].map(Duration::from_millis) {
            let start = Instant::now();
            let error = Lock::take(&node.root, timeout).unwrap_err().to_string();
            // A slow machine takes longer, but never less.
            assert!(start.elapsed() >= timeout);
            assert!(error.contains(LOCK) && error.contains("another run"), "{error}");
        }
        assert!(is_held(&node.root));
        drop(held);
        assert!(!is_held(&node.root));
        Lock::take(&node.root, NOT).unwrap();
    }

    #[test]
    fn a_look_at_the_lock_makes_nothing() {
        let node = Node::new();
        assert!(!is_held(&node.root));
        assert_eq!(node.names(), [""; 0]);
    }

    #[test]
    fn a_fifo_in_its_place_is_refused_at_once() {
        let node = Node::new();
        std::fs::create_dir_all(node.host(STATE)).unwrap();
        nix::unistd::mkfifo(&node.host(LOCK), Mode::S_IRWXU).unwrap();
        let error = Lock::take(&node.root, NOT).unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let node = Node::with(&[("/var/lib/kube-audit-bootstrap", "")]);
        let error = Lock::take(&node.root, NOT).unwrap_err().to_string();
        assert!(error.contains(LOCK) && error.contains("should be a directory"), "{error}");
    }
}
