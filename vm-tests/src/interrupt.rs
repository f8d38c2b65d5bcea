//! Ctrl-C and its kind: the harness ends what it started, then itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Result, ensure};
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
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signal_hook::flag::register_conditional_shutdown(signal as i32, 3, Arc::clone(flag))?;
        signal_hook::flag::register(signal as i32, Arc::clone(flag))?;
    }
    Ok(())
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
