//! Other programs: run by absolute path, without a shell, with a limit.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What a program prints to its standard output, 64 KiB at most. It is killed after `limit`.
pub fn output(program: &str, arguments: &[&str], limit: Duration) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("{program}: can't be run"))?;
    let stdout = child.stdout.take();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(stdout) = stdout {
            // What it says after the limit, or when it is killed, doesn't matter.
            let _ = stdout.take(64 * 1024).read_to_end(&mut bytes);
        }
        bytes
    });
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            bail!("{program}: did not end within {} s", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(5));
    };
    let bytes = reader.join().unwrap_or_default();
    if !status.success() {
        bail!("{program}: failed with {status}");
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
