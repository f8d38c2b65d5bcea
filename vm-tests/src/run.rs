//! Other programs, which run to their end, and attempts that are repeated.

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

/// The number of lines that an error has of what a failed program printed.
const TAIL: usize = 20;

/// Runs a program, and returns what it printed.
///
/// # Errors
///
/// It can't be started, or it fails. The error names it, and has the last lines of what it printed.
pub fn output(command: &mut Command) -> Result<String> {
    let child = start(command)?;
    check_output(command, child.wait_with_output()?)
}

/// Does as [`output`] for a program that may take minutes: when this process is asked to end, it sends the program
/// SIGTERM.
///
/// # Errors
///
/// As with [`output`], or this process was asked to end.
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
    check_output(command, output)
}

fn start(command: &mut Command) -> Result<Child> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    child.with_context(|| {
        format!("can't run {name}: if it isn't installed, run `make harness`, which installs it or says how")
    })
}

fn check_output(command: &Command, output: Output) -> Result<String> {
    let name = command.get_program().to_string_lossy();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let said = stdout + &String::from_utf8_lossy(&output.stderr);
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        bail!("{name} {}: {}\n{}", arguments.join(" "), output.status, tail(&said, TAIL));
    }
    Ok(stdout)
}

/// A command that is killed when the thread that starts it ends, in whatever way.
pub fn bound(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// The last lines of a text, up to a number of lines.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Copies what is in a folder, with owners, modes and links.
///
/// # Errors
///
/// `cp` fails.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    output(Command::new("cp").arg("-a").arg("--reflink=auto").arg(from.join(".")).arg(to)).map(drop)
}

/// Copies what is in a folder over another one, as hard links. Nobody may change those files afterwards.
///
/// # Errors
///
/// `cp` fails.
pub fn link(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    output(Command::new("cp").args(["-a", "--link", "--remove-destination"]).arg(from.join(".")).arg(to)).map(drop)
}

/// Repeats an attempt as [`retry`] does, until this process is asked to end.
///
/// # Errors
///
/// The last attempt failed, or this process was asked to end.
pub fn wait_for<T>(limit: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    retry(limit, || match interrupt::check() {
        Ok(()) => attempt().map(Ok),
        Err(interrupted) => Ok(Err(interrupted)),
    })?
}

/// Repeats an attempt until it succeeds or the time is over. An interruption doesn't end it, so it suits a clean-up.
///
/// # Errors
///
/// The last attempt failed.
pub fn retry<T>(limit: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < limit => thread::sleep(Duration::from_millis(50)),
            result => return result,
        }
    }
}
