//! Ctrl-C and similar signals: the harness ends what it started, then itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use nix::sys::signal::Signal;

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on, [`check`] notices a signal that asks this process to end. A second signal ends the process at once,
/// with all that it started. The next run removes what it leaves behind.
///
/// # Errors
///
/// A handler can't be set.
pub fn listen() -> Result<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    let ignored = read_ignored()?;
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // nohup has the process ignore a signal, which would be in vain if this process listened for it.
        if ignored >> (signal as u32 - 1) & 1 == 1 {
            continue;
        }
        signal_hook::flag::register_conditional_shutdown(signal as i32, 3, Arc::clone(flag))?;
        signal_hook::flag::register(signal as i32, Arc::clone(flag))?;
    }
    Ok(())
}

/// The signals that this process ignores since its start, one bit each. Source: the kernel's fs/proc/array.c.
fn read_ignored() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let mask =
        status.lines().find_map(|line| line.strip_prefix("SigIgn:")).context("/proc/self/status: no SigIgn")?;
    Ok(u64::from_str_radix(mask.trim(), 16)?)
}

/// Is this process still to go on?
///
/// # Errors
///
/// It was asked to end.
pub fn check() -> Result<()> {
    ensure!(!INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed)), "interrupted");
    Ok(())
}
