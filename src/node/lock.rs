//! One run at a time.

use std::fs::{File, TryLockError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::backup::{STATE, make_private};
use super::root::Root;

const NAME: &str = "lock";
const POLL: Duration = Duration::from_millis(100);

/// The exclusive right to change a node; given back when dropped, or when the process ends, however that happens.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, waiting up to `timeout` for another run to end. Makes the lock file where there is none;
    /// one that is there isn't written to, nor are its times changed.
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
                bail!(
                    "another run has held {} for {:.1} s; wait for it to end (fuser names it), then run again",
                    root.shown(&path),
                    timeout.as_secs_f64()
                );
            }
            if !told {
                log::info!("another run holds {}; waiting for up to {left:.1?}", root.shown(&path));
                told = true;
            }
            sleep(POLL.min(left));
        }
    }
}

fn open(root: &Root, path: &str) -> Result<File> {
    let failed = |errno| root.error("open the lock file", path, errno);
    match root.open_at(path, OFlag::O_RDONLY | OFlag::O_NOFOLLOW) {
        Ok(fd) => return Ok(File::from(fd)),
        Err(Errno::ENOENT) => {}
        Err(errno) => return Err(failed(errno)),
    }
    make_private(root, STATE)?;
    let place = root.place(path)?;
    let flags = OFlag::O_RDONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fd = openat(&place.dir, NAME, flags, Mode::S_IRUSR | Mode::S_IWUSR);
    Ok(File::from(fd.map_err(failed)?))
}
