//! System calls, as strace reports them.

use std::path::Path;
use std::process::{Command, Output};

/// `strace -f`, which writes to `trace`. `options`: which calls it reports. The caller adds the program and its
/// arguments.
pub fn strace(trace: &Path, options: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-o"]).arg(trace).args(options);
    command
}

/// Runs a command that [`strace`] made, and returns its output.
pub fn output(command: &mut Command) -> Output {
    command.output().expect("strace is missing: `make test` installs it")
}

/// A system call that was made.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The ID of the process.
    pub process: &'a str,
    pub name: &'a str,
    /// The whole line of strace.
    pub line: &'a str,
}

impl<'a> Call<'a> {
    /// The arguments in quotes, such as paths.
    pub fn quoted(&self) -> Vec<&'a str> {
        self.line.split('"').skip(1).step_by(2).collect()
    }
}

/// The calls of a trace, in the order in which they were made.
pub fn calls(trace: &str) -> impl Iterator<Item = Call<'_>> {
    trace.lines().filter_map(|line| {
        // A call is a line such as "1234  openat(3, ...". The end of an interrupted call, the end of a process, and a
        // signal are no calls.
        let (process, rest) = line.split_once(' ')?;
        let (name, _) = rest.trim_start().split_once('(')?;
        let is_name = name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
        is_name.then_some(Call { process, name, line })
    })
}
