//! Ctrl-C and its kind: the harness ends what it started, then itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use nix::sys::signal::Signal;

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on a signal that asks this process to end is noticed by [`check`]; a second one ends it at once, with all that it started
/// and what is left for the next run to remove.
///
/// # Errors
///
/// The system's.
pub fn listen() -> Result<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    let ignored = ignored()?;
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // As by nohup, which would be in vain if this listened all the same.
        if ignored >> (signal as u32 - 1) & 1 == 1 {
            continue;
        }
        signal_hook::flag::register_conditional_shutdown(signal as i32, 3, Arc::clone(flag))?;
        signal_hook::flag::register(signal as i32, Arc::clone(flag))?;
    }
    Ok(())
}

/// The signals that who started this process has it ignore, a bit each; the kernel's fs/proc/array.c.
fn ignored() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let mask =
        status.lines().find_map(|line| line.strip_prefix("SigIgn:")).context("/proc/self/status: no SigIgn")?;
    Ok(u64::from_str_radix(mask.trim(), 16)?)
}

/// Fails once this process was asked to end.
///
/// # Errors
///
/// See above.
pub fn check() -> Result<()> {
    ensure!(!INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed)), "interrupted");
    Ok(())
}
