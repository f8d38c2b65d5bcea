//! Other programs: run by absolute path, without a shell, with a limit.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Settings that would lead a request for this node through somebody else's hands.
const PROXIES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

/// Where programs are that only root needs.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// How much of what a program prints is read, in bytes: what an API server counts comes to some MiB, an object of a cluster to 1.5 MiB at most.
const LIMIT: u64 = 64 << 20;
/// How long what a program printed is waited for once it has ended: something that it started may hold its pipe.
const REST: Duration = Duration::from_secs(1);

/// What runs: the numbers of processes and their names, which the kernel cuts at 15 characters. One that ends meanwhile has none.
pub fn running() -> impl Iterator<Item = (i32, String)> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        Some((pid, name.trim_end().to_owned()))
    })
}

/// A program to be run, silent and without anybody's proxies.
pub fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for name in PROXIES {
        command.env_remove(name);
    }
    command
}

/// What a program prints to its standard output, given `input`. It is killed after `limit`; what it started in turn isn't waited for.
///
/// Errors: it can't be run, doesn't end in time, or fails; with the last line that it wrote to its standard error.
pub fn output(mut command: Command, input: &str, limit: Duration) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{program}: can't be run"))?;
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_owned();
        // One that doesn't read it says why, or needs none.
        thread::spawn(move || stdin.write_all(input.as_bytes()));
    }
    let ended = wait(&program, &mut child, limit);
    let text = |reader: mpsc::Receiver<String>| reader.recv_timeout(REST).unwrap_or_default();
    match ended {
        Ok(()) => Ok(text(stdout)),
        Err(error) => match text(stderr).lines().rfind(|line| !line.trim().is_empty()) {
            Some(said) => bail!("{error:#}: {}", said.trim()),
            None => Err(error),
        },
    }
}

/// What one of the system's own programs prints to its standard output. It is killed after `limit`.
///
/// Errors: it isn't installed, and as [`output`].
pub fn run(program: &str, arguments: &[&str], limit: Duration) -> Result<String> {
    let path =
        DIRECTORIES.iter().map(|directory| format!("{directory}/{program}")).find(|path| Path::new(path).exists());
    let path =
        path.with_context(|| format!("there is no {program} in any of {}; install it", DIRECTORIES.join(", ")))?;
    output(command(&path, arguments), "", limit)
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What it says when it is killed doesn't matter.
        let _ = pipe?.take(LIMIT).read_to_end(&mut bytes);
        sender.send(String::from_utf8_lossy(&bytes).into_owned()).ok()
    });
    receiver
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

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use nix::sys::signal::{SIGKILL, kill};
    use nix::unistd::Pid;

    use super::*;

    fn sh(script: &str, input: &str, limit: Duration) -> Result<String> {
        output(command("/bin/sh", &["-c", script]), input, limit)
    }

    #[test]
    fn a_program_gets_its_input_and_gives_its_output() {
        assert_eq!(sh("cat; echo of >&2", "text", Duration::from_secs(10)).unwrap(), "text");
        assert_eq!(sh("echo done", "it reads nothing", Duration::from_secs(10)).unwrap(), "done\n");
    }

    #[test]
    fn a_program_that_prints_without_end_is_not_read_without_end() {
        let error = sh("exec head -c 70000000 /dev/zero", "", Duration::from_secs(60)).unwrap_err().to_string();
        assert!(error.contains("SIGPIPE"), "{error}");
    }

    #[test]
    fn what_it_says_last_is_why_it_failed() {
        let error = sh("echo first >&2; echo why >&2; echo >&2; exit 3", "", Duration::from_secs(10)).unwrap_err();
        assert_eq!(error.to_string(), "/bin/sh: failed with exit status: 3: why");
    }

    /// What the shell starts holds the shell's pipes. Where that still runs, nobody waited for it.
    #[test]
    fn nothing_is_waited_for_longer_than_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let still_runs = |pid: &str| {
            let pid = pid.trim_end();
            // One that has ended has no arguments, even where nobody has asked how it ended.
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            assert_eq!(arguments, b"sleep\x0060\0", "{pid} was waited for");
            kill(Pid::from_raw(pid.parse().unwrap()), SIGKILL).unwrap();
        };
        let script = |then: &str| format!("sleep 60 & echo $! >{}; {then}", file.display());
        let mut limit = Duration::from_millis(100);
        let pid = loop {
            let error = sh(&script("wait"), "", limit).unwrap_err().to_string();
            assert!(error.contains("did not end"), "{error}");
            match fs::read_to_string(&file) {
                Ok(pid) if pid.ends_with('\n') => break pid,
                // A slow machine ended the shell before it had begun.
                _ => limit *= 2,
            }
        };
        still_runs(&pid);
        sh(&script("true"), "", Duration::from_secs(60)).unwrap();
        still_runs(&fs::read_to_string(&file).unwrap());
    }

    #[test]
    fn nobodys_proxies_are_handed_on() {
        let command = command("/bin/true", &[]);
        // By name, and not by the program's own list. Nothing else is taken away or given.
        let wanted = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "http_proxy", "https_proxy"];
        let changed: Vec<_> = command.get_envs().collect();
        assert_eq!(changed, wanted.map(|name| (OsStr::new(name), None)));
    }
}
