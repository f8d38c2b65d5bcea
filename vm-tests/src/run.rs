//! Other programs, run to their end.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::interrupt;

/// How much of what a failed program printed an error repeats, in lines.
const TAIL: usize = 20;

/// Runs a program and gives what it printed. An error names the program and has the last lines of what it said.
///
/// # Errors
///
/// It can't be started, or it fails.
pub fn output(command: &mut Command) -> Result<String> {
    let child = start(command)?;
    printed(command, child.wait_with_output()?)
}

/// The same for a program that may take minutes: it is ended with SIGTERM when this process is asked to end.
///
/// # Errors
///
/// As with [`output`], or the interruption.
pub fn long_output(command: &mut Command) -> Result<String> {
    let child = start(command)?;
    let pid = Pid::from_raw(child.id().cast_signed());
    let output = thread::scope(|scope| {
        let end = scope.spawn(|| child.wait_with_output());
        while !end.is_finished() {
            if interrupt::check().is_err() {
                let _ = kill(pid, Signal::SIGTERM);
            }
            thread::sleep(Duration::from_millis(50));
        }
        end.join().map_err(|_| anyhow!("a thread panicked"))
    })??;
    interrupt::check()?;
    printed(command, output)
}

fn start(command: &mut Command) -> Result<Child> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    child.with_context(|| {
        format!("can't run {name}: where it isn't installed, `make harness` does that, or says how")
    })
}

fn printed(command: &Command, output: Output) -> Result<String> {
    let name = command.get_program().to_string_lossy();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let said = stdout + &String::from_utf8_lossy(&output.stderr);
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        bail!("{name} {}: {}\n{}", arguments.join(" "), output.status, tail(&said, TAIL));
    }
    Ok(stdout)
}

/// A program that is killed when the thread that starts it ends, however that comes.
pub fn bound(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// The last lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Copies a folder as it is, with owners, modes and links.
///
/// # Errors
///
/// What `cp` says.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    output(Command::new("cp").arg("-a").arg("--reflink=auto").arg(from.join(".")).arg(to)).map(drop)
}

/// Copies a folder over another one, with links in place of files, which nobody may change then.
///
/// # Errors
///
/// What `cp` says.
pub fn link(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    output(Command::new("cp").args(["-a", "--link", "--remove-destination"]).arg(from.join(".")).arg(to)).map(drop)
}

/// Waits until an attempt works, as [`retry`] does, unless this process is asked to end.
///
/// # Errors
///
/// The attempt's, or the interruption.
pub fn wait_for<T>(limit: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    retry(limit, || match interrupt::check() {
        Ok(()) => attempt().map(Ok),
        Err(interrupted) => Ok(Err(interrupted)),
    })?
}

/// Tries until it works or a time is over; gives the last error then. What cleans up goes on through an interruption.
///
/// # Errors
///
/// The attempt's.
pub fn retry<T>(limit: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < limit => thread::sleep(Duration::from_millis(50)),
            result => return result,
        }
    }
}
