//! Other programs: run by absolute path, without a shell, with a limit.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Settings that would lead a request for this node through somebody else's hands.
const PROXIES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

/// What a program prints to its standard output, 64 KiB at most. It is killed after `limit`.
pub fn output(program: &str, arguments: &[&str], limit: Duration) -> Result<String> {
    let mut child = command(program, arguments)
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{program}: can't be run"))?;
    let stdout = child.stdout.take();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(stdout) = stdout {
            // What it says after the limit, or when it is killed, doesn't matter.
            let _ = stdout.take(64 * 1024).read_to_end(&mut bytes);
        }
        bytes
    });
    wait(program, &mut child, limit)?;
    let bytes = reader.join().unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Runs a program that prints nothing of interest. It is killed after `limit`; what it started in turn isn't waited for.
pub fn run(program: &str, arguments: &[&str], limit: Duration) -> Result<()> {
    let child = command(program, arguments).stdout(Stdio::null()).spawn();
    wait(program, &mut child.with_context(|| format!("{program}: can't be run"))?, limit)
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
    for name in PROXIES {
        command.env_remove(name);
    }
    command
}

fn wait(program: &str, child: &mut Child, limit: Duration) -> Result<()> {
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
    if !status.success() {
        bail!("{program}: failed with {status}");
    }
    Ok(())
}
