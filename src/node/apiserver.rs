//! The API server that runs on this node: its processes, its answers and its audit log. Works
//! only on the running system, so paths here are not below a `Root`.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail, ensure};
use nix::fcntl::OFlag;

use super::kubectl::{self, Answer};
use super::process::running;
use super::storage::identity;
use crate::audit::metrics;
use crate::facts::asker::Answered;
use crate::facts::file::FileIdentity;
use crate::facts::server::{Lost, Process};
use crate::path::parent;

/// The names of processes.
const API_SERVER: &str = "kube-apiserver";
const KUBELET: &str = "kubelet";

/// How many bytes at the end of a log are read.
const LOG_LIMIT: u64 = 64 << 20;

/// The processes of Kubernetes that run here.
#[derive(Clone, Debug, Default)]
pub struct Processes {
    pub api_servers: Vec<Process>,
    pub has_kubelet: bool,
}

/// Finds the running API servers, and whether a kubelet runs.
pub fn find_processes() -> Processes {
    let mut found = Processes::default();
    for (pid, name) in running() {
        match name.as_str() {
            API_SERVER => found.api_servers.extend(read_process(pid)),
            KUBELET => found.has_kubelet = true,
            _ => {}
        }
    }
    found
}

/// When the kubelet started; `None` if none runs.
pub fn kubelet_start() -> Option<SystemTime> {
    running().filter(|(_, name)| name == KUBELET).find_map(|(pid, _)| start_time(&read_process(pid)?))
}

/// Reads a process from `/proc`. `None` if it has ended.
pub fn read_process(pid: i32) -> Option<Process> {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).ok();
    parse(pid, &read("cmdline")?, &read("stat")?)
}

/// Parses `cmdline` and `stat` of `/proc`. A zombie has no command line, so it gives `None`.
fn parse(pid: i32, cmdline: &[u8], stat: &[u8]) -> Option<Process> {
    let words = cmdline.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let mut arguments: Vec<_> = words.collect();
    arguments.pop();
    // proc_pid_stat(5): the name in brackets may contain anything; the start time is the 20th field after it.
    let stat = String::from_utf8_lossy(stat);
    let started = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    (!arguments.is_empty()).then_some(Process { pid, started, arguments })
}

/// When a process started.
pub fn start_time(process: &Process) -> Option<SystemTime> {
    // The kernel reports times to programs in hundredths of a second (USER_HZ), whatever its own ticks are.
    let since_boot = Duration::from_millis(process.started * 10);
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(boot) + since_boot)
}

/// Whether the API server is ready: its answer to `/readyz`. If nobody can ask it, an open port counts as an answer.
///
/// # Errors
///
/// It is not ready: what kubectl or the kernel reports.
pub fn check_answers(process: &Process) -> Result<Answered> {
    let why = match kubectl::ask(process, "/readyz") {
        Answer::Text(_, asker) => return Ok(Answered::To(asker)),
        Answer::Missing(why) => bail!(why),
        Answer::Unusable(why) => why,
    };
    ensure!(listens("/proc/net", process.port()), "nothing listens on port {}", process.port());
    log::info!("nobody can ask the API server, so its open port counts as an answer: {why}");
    Ok(Answered::ByItsPort)
}

/// How long the metrics may take: they are megabytes, and the API server collects them for each answer.
const METRICS: Duration = Duration::from_secs(15);

/// The number of events that the API server here could not write, by backend, and when it started to count. `None` if
/// this is not known.
pub fn count_lost() -> Option<Lost> {
    let processes = find_processes().api_servers;
    let [process] = processes.as_slice() else { return None };
    let metrics = kubectl::read(process, METRICS, "/metrics");
    // An API server that doesn't audit loses no events.
    let audits =
        ["--audit-log-path", "--audit-webhook-config-file"].iter().any(|flag| process.value(flag).is_some());
    let level = if audits { log::Level::Warn } else { log::Level::Info };
    let metrics = metrics
        .inspect_err(|error| {
            log::log!(level, "can't read how many events the API server has lost: {error:#}");
        })
        .ok()?;
    Some(Lost { events: metrics::lost(&metrics), since: start_time(process)? })
}

/// Whether a process listens on a TCP port, by the tables in `network`, such as `/proc/net`. Opens no connection: the
/// program never does.
pub fn listens(network: &str, port: u16) -> bool {
    let wanted = format!("{port:04X}");
    ["tcp", "tcp6"].iter().any(|name| {
        let table = fs::read_to_string(format!("{network}/{name}")).unwrap_or_default();
        // proc_net(5): the local address with its port, the remote one, the state; 0A is LISTEN.
        table.lines().any(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let port = words.get(1).and_then(|address| address.rsplit(':').next());
            port == Some(&wanted) && words.get(3) == Some(&"0A")
        })
    })
}

/// The part of a log file that is written after some moment.
#[derive(Clone, Debug)]
pub struct Tail {
    path: String,
    inode: u64,
    start: u64,
}

impl Tail {
    /// A tail that starts at the present end of the file.
    pub fn from_now(path: &str) -> Tail {
        let (inode, start) = fs::metadata(path).map_or((0, 0), |metadata| (metadata.ino(), metadata.len()));
        Tail { path: path.to_owned(), inode, start }
    }

    /// The path of the log.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What was written since. If the file was rotated meanwhile, the text of the new file.
    pub fn text(&self) -> Result<String> {
        // Without O_NONBLOCK, opening a FIFO would wait for a writer.
        let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&self.path)?;
        let metadata = file.metadata()?;
        ensure!(metadata.is_file(), "{}: not a regular file", self.path);
        let is_same = metadata.ino() == self.inode && metadata.len() >= self.start;
        let start = if is_same { self.start } else { 0 }.max(metadata.len().saturating_sub(LOG_LIMIT));
        read_from(file, start, LOG_LIMIT)
    }
}

fn read_from(mut file: File, start: u64, limit: u64) -> Result<String> {
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The device and inode of the directory that an API server logs to, as its container sees it.
pub fn log_of(process: &Process) -> Option<FileIdentity> {
    let log = process.value("--audit-log-path").filter(|log| log.starts_with('/'))?;
    identity(format!("/proc/{}/root{}", process.pid, parent(log)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let stat = b"42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1000 2000";
        let process = parse(42, b"kube-apiserver\0--v=2\0", stat).unwrap();
        assert_eq!(
            process,
            Process { pid: 42, started: 12345, arguments: vec!["kube-apiserver".into(), "--v=2".into()] }
        );
        assert_eq!(parse(42, b"", stat), None, "a zombie");
        assert_eq!(parse(42, b"kube-apiserver\0", b"nonsense"), None);
    }

    #[test]
    fn a_fifo_is_no_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(Tail::from_now(path.to_str().unwrap()).text().is_err());
    }

    #[test]
    fn a_tail_is_what_came_since() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let name = path.to_str().unwrap();
        let before = Tail::from_now(name);
        fs::write(&path, "one\n").unwrap();
        assert_eq!(before.text().unwrap(), "one\n");
        let tail = Tail::from_now(name);
        assert_eq!(tail.text().unwrap(), "");
        fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(tail.text().unwrap(), "two\n");
        // The log is rotated.
        fs::rename(&path, dir.path().join("audit-1.log")).unwrap();
        fs::write(&path, "three\n").unwrap();
        assert_eq!(tail.text().unwrap(), "three\n");
    }
}
