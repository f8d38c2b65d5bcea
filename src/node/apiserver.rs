//! The API server that runs on this node: its processes, its answers and its audit log. Works
//! only on the running system, so paths here are not below a `Root`.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::kubectl::{self, Answer};
use super::process::{Runs, is_kubelet, is_of_user, kubelets, place, program, running, started, words};
use super::root::Root;
use crate::audit::command_line;
use crate::audit::metrics;
use crate::facts::asker::Answered;
use crate::facts::file::FileIdentity;
use crate::facts::in_force::Away;
use crate::facts::server::{Listener, Lost, Process};
use crate::path::{ADMIN_CONF, parent};
use anyhow::{Result, bail, ensure};

/// The names of processes.
const API_SERVER: &str = "kube-apiserver";
const HYPERKUBE: &str = "hyperkube";

/// How many bytes at the end of a log are read.
const LOG_LIMIT: u64 = 64 << 20;

/// The processes of Kubernetes that run here.
#[derive(Clone, Debug, Default)]
pub struct Processes {
    pub api_servers: Vec<Process>,
    pub has_kubelet: bool,
}

/// Finds the running API servers of this node's manifests, and whether a kubelet runs. Which of them is the one of a
/// manifest says `super::pod::Container`.
pub fn find_processes() -> Processes {
    let mut found = Processes::default();
    let mut outside = Vec::new();
    for (pid, _) in running() {
        match program(pid).as_deref() {
            Some(name @ (API_SERVER | HYPERKUBE)) => {
                // hyperkube is all programs of Kubernetes; its first argument says which.
                let is_one = |one: &Process| name == API_SERVER || command_line::start(&one.arguments) == Some(2);
                match place(pid) {
                    Runs::StaticPod => found.api_servers.extend(read_process(pid).filter(is_one)),
                    Runs::Outside if is_of_user(pid) => outside.extend(read_process(pid).filter(is_one)),
                    Runs::Outside | Runs::OtherPod => {}
                }
            }
            Some(_) => found.has_kubelet |= is_kubelet(pid),
            None => {}
        }
    }
    // A kubelet can be told to make no groups of pods (`cgroupsPerQOS: false`). Only then is no process in one, and an
    // API server counts if the root user runs it.
    let has_pods = || running().any(|(pid, _)| place(pid) != Runs::Outside);
    if found.api_servers.is_empty() && !outside.is_empty() && !has_pods() {
        found.api_servers = outside;
    }
    found
}

/// When this node's kubelet started; `None` if none runs.
pub fn kubelet_start() -> Option<SystemTime> {
    kubelets().find_map(|pid| start_time(&read_process(pid)?))
}

/// Reads a process from `/proc`. `None` if it has ended.
pub fn read_process(pid: i32) -> Option<Process> {
    let (started, arguments) = (started(pid)?, words(pid));
    (!arguments.is_empty()).then_some(Process { pid, started, arguments })
}

/// When a process started, to a few hundredths of a second: both times since the boot are the kernel's own, and only
/// their difference is taken from the clock.
pub fn start_time(process: &Process) -> Option<SystemTime> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let uptime = Duration::try_from_secs_f64(uptime.split(' ').next()?.parse().ok()?).ok()?;
    let since_boot = Duration::from_millis(process.started.checked_mul(10)?);
    SystemTime::now().checked_sub(uptime.saturating_sub(since_boot))
}

/// Why an API server does not answer. `None` if it does, whatever it says, or if nobody can ask it.
pub fn away(process: &Process) -> Option<Away> {
    if !is_listening(process) {
        return Some(Away::Closed);
    }
    kubectl::silence(process).map(Away::Silent)
}

/// Whether anything on this node listens where an API server with these words would.
pub fn is_served(words: &[String]) -> bool {
    let arguments = [&[API_SERVER.to_owned()], words].concat();
    listens("/proc/net", Process { pid: 0, started: 0, arguments }.listener())
}

/// Whether an API server accepts connections, in its own network.
pub fn is_listening(process: &Process) -> bool {
    listens(&format!("/proc/{}/net", process.pid), process.listener())
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
    let listener = process.listener();
    ensure!(is_listening(process), "nothing listens on {}", SocketAddr::new(listener.address, listener.port));
    log::info!("nobody can ask the API server, so its open port counts as an answer: {why}");
    Ok(Answered::ByItsPort)
}

/// How long the metrics may take: they are megabytes, and the API server collects them for each answer.
const METRICS: Duration = Duration::from_secs(15);

/// The number of events that an API server could not write, by backend, and when it started to count. `None` if this is
/// not known.
pub fn count_lost(process: &Process) -> Option<Lost> {
    let metrics = kubectl::read(process, METRICS, "/metrics");
    // An API server that doesn't audit loses no events.
    let audits = ["audit-log-path", "audit-webhook-config-file"].iter().any(|flag| process.value(flag).is_some());
    let level = if audits { log::Level::Warn } else { log::Level::Info };
    let metrics = metrics
        .inspect_err(|error| {
            log::log!(
                level,
                "can't read how many events the API server has lost: {error:#}; this needs kubectl and {ADMIN_CONF}, so \
                 put back what is missing"
            );
        })
        .ok()?;
    Some(Lost { events: metrics::lost(&metrics), since: start_time(process)? })
}

/// Whether a process listens there, by the tables in `network`, such as `/proc/net`. Another process may listen on the
/// same port of another address. Opens no connection: the program never does.
fn listens(network: &str, wanted: Listener) -> bool {
    let is_it = |found: IpAddr| {
        let (found, wanted) = (found.to_canonical(), wanted.address.to_canonical());
        // Go listens on all addresses by one socket, for both families if the kernel has both.
        if wanted.is_unspecified() { found.is_unspecified() } else { found == wanted }
    };
    ["tcp", "tcp6"].iter().any(|name| {
        let table = fs::read_to_string(format!("{network}/{name}")).unwrap_or_default();
        // proc_net(5): the local address with its port, the remote one, the state; 0A is LISTEN.
        table.lines().any(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let local = words.get(1).and_then(|local| {
                let (address, port) = local.rsplit_once(':')?;
                Some((address_of(address)?, u16::from_str_radix(port, 16).ok()?))
            });
            words.get(3) == Some(&"0A")
                && local.is_some_and(|(address, port)| port == wanted.port && is_it(address))
        })
    })
}

/// An address as the kernel prints it: words of 32 bits, each as the number that it is in memory.
fn address_of(text: &str) -> Option<IpAddr> {
    if !text.len().is_multiple_of(8) {
        return None;
    }
    let words =
        text.as_bytes().chunks(8).map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok());
    let bytes: Vec<_> = words.collect::<Option<Vec<_>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    if let Ok(bytes) = <[u8; 16]>::try_from(bytes.as_slice()) {
        return Some(IpAddr::from(bytes));
    }
    <[u8; 4]>::try_from(bytes.as_slice()).ok().map(IpAddr::from)
}

/// The part of a log file that is written after some moment, read piece by piece.
#[derive(Clone, Debug)]
pub struct Tail {
    path: String,
    /// The file that was read last, and how far; `None`: there was none.
    read: Option<(FileIdentity, u64)>,
}

impl Tail {
    /// A tail that starts at the present end of the file.
    pub fn from_now(root: &Root, path: &str) -> Tail {
        let read = root.stat(path).ok().flatten().map(|entry| (entry.identity, entry.size));
        Tail { path: path.to_owned(), read }
    }

    /// A tail that starts at the beginning of the file.
    pub fn from_start(path: String) -> Tail {
        Tail { path, read: None }
    }

    /// The path of the log.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the log is there.
    pub fn exists(&self, root: &Root) -> bool {
        root.stat(&self.path).is_ok_and(|entry| entry.is_some())
    }

    /// The whole lines that were written since the last call. If the file was rotated meanwhile, those of the new file.
    ///
    /// # Errors
    ///
    /// The log can't be read.
    pub fn read_on(&mut self, root: &Root) -> Result<String> {
        let failed = |errno| root.error("read", &self.path, errno);
        let found = root.find(&self.path).map_err(failed)?;
        let mut file = File::from(root.reopen_found(&self.path, &found).map_err(failed)?);
        let metadata = file.metadata()?;
        let identity = FileIdentity { device: metadata.dev(), inode: metadata.ino() };
        let at = match self.read {
            Some((read, at)) if read == identity && metadata.len() >= at => at,
            _ => 0,
        };
        let at = at.max(metadata.len().saturating_sub(LOG_LIMIT));
        file.seek(SeekFrom::Start(at))?;
        let mut bytes = Vec::new();
        file.take(LOG_LIMIT).read_to_end(&mut bytes)?;
        // The rest of a line comes with the next call.
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        self.read = Some((identity, at + bytes.len() as u64));
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The API servers of this node's manifests that write a log to a file, each with the device and inode of its directory,
/// as the container sees it.
pub fn loggers() -> Vec<(Process, FileIdentity)> {
    let servers = find_processes().api_servers.into_iter();
    servers.filter_map(|process| log_of(&process).map(|log| (process, log))).collect()
}

fn log_of(process: &Process) -> Option<FileIdentity> {
    let log = process.value("audit-log-path").filter(|log| log.starts_with('/'))?;
    // A link in the container leads to where the container has it.
    let root = Root::open(Path::new(&format!("/proc/{}/root", process.pid))).ok()?;
    root.stat(parent(&log)).ok()?.map(|entry| entry.identity)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Node;
    use super::*;

    #[test]
    fn a_process_is_read_until_it_has_ended() {
        let before = SystemTime::now();
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        // Before execve(2) the child is still this test program.
        let process = loop {
            match read_process(pid) {
                Some(process) if process.arguments == ["sleep", "100"] => break process,
                _ => std::thread::yield_now(),
            }
        };
        // The clocks of the kernel that are compared have hundredths of a second.
        let clock = Duration::from_millis(50);
        let started = start_time(&process).unwrap();
        assert!(before - clock < started && started < SystemTime::now() + clock, "{before:?} {started:?}");
        child.kill().unwrap();
        while read_process(pid).is_some() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }

    #[test]
    fn a_listener_is_known_by_its_address_and_its_port() {
        let dir = tempfile::tempdir().unwrap();
        let network = dir.path().to_str().unwrap();
        // The kernel prints an address as words in its own byte order; this is that of x86.
        let v4 = |address: &str, port: &str| format!("   0: {address}:{port} 00000000:0000 0A 0\n");
        let v6 = |address: &str, port: &str| format!("   0: {address}:{port} {:032}:0000 0A 0\n", 0);
        let any6 = format!("{:032}", 0);
        let mapped = "0000000000000000FFFF00000200630A";
        let own6 = "000000FD000000000000000001000000";
        for (address, tcp, tcp6, expected) in [
            ("::", v4("00000000", "18B3"), String::new(), true),
            ("::", String::new(), v6(&any6, "18B3"), true),
            ("0.0.0.0", String::new(), v6(&any6, "18B3"), true),
            ("10.99.0.2", v4("0200630A", "18B3"), String::new(), true),
            ("10.99.0.2", String::new(), v6(mapped, "18B3"), true),
            ("::ffff:10.99.0.2", v4("0200630A", "18B3"), String::new(), true),
            ("fd00::1", String::new(), v6(own6, "18B3"), true),
            // A proxy on another address, and another port.
            ("10.99.0.2", v4("0100007F", "18B3"), String::new(), false),
            ("::", v4("0100007F", "18B3"), String::new(), false),
            ("fd00::1", v4("0200630A", "18B3"), v6(mapped, "18B3"), false),
            ("10.99.0.2", v4("0200630A", "18B4"), String::new(), false),
            ("::", "sl local_address\n   0: 0:18B3 1 0A\n   1: zz:18B3 1 0A\n".to_owned(), String::new(), false),
        ] {
            fs::write(dir.path().join("tcp"), &tcp).unwrap();
            fs::write(dir.path().join("tcp6"), &tcp6).unwrap();
            let wanted = Listener { address: address.parse().unwrap(), port: 6323 };
            assert_eq!(listens(network, wanted), expected, "{address}: {tcp}{tcp6}");
        }
        let established = v4("00000000", "18B3").replace(" 0A ", " 01 ");
        fs::write(dir.path().join("tcp"), established).unwrap();
        assert!(!listens(network, Listener { address: "::".parse().unwrap(), port: 6323 }));
    }

    #[test]
    fn a_fifo_is_no_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let root = Root::open(Path::new("/")).unwrap();
        assert!(Tail::from_now(&root, path.to_str().unwrap()).read_on(&root).is_err());
    }

    #[test]
    fn a_tail_is_what_came_since() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let name = path.to_str().unwrap();
        let root = Root::open(Path::new("/")).unwrap();
        let mut before = Tail::from_now(&root, name);
        assert!(!before.exists(&root));
        fs::write(&path, "one\n").unwrap();
        let mut tail = Tail::from_now(&root, name);
        for (text, more) in [
            ("one\n", ""),
            ("one\ntwo\n", "two\n"),
            // Nothing is read twice, and no half of a line.
            ("one\ntwo\nthree\nfo", "three\n"),
            ("one\ntwo\nthree\nfour\n", "four\n"),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(tail.read_on(&root).unwrap(), more, "{text}");
        }
        assert_eq!(before.read_on(&root).unwrap(), "one\ntwo\nthree\nfour\n");
        // The log is rotated.
        fs::rename(&path, dir.path().join("audit-1.log")).unwrap();
        fs::write(&path, "five\n").unwrap();
        assert_eq!(tail.read_on(&root).unwrap(), "five\n");
        assert!(tail.exists(&root));
    }

    /// Whoever can write there could make this program read another file.
    #[test]
    fn a_log_is_not_read_through_somebodys_link() {
        let node = Node::with(&[("/secret", "secret\n"), ("/log/x", "")]);
        node.chmod("/log", 0o777);
        node.link("/log/audit.log", "/secret");
        let mut tail = Tail::from_start("/log/audit.log".to_owned());
        let is_read = |tail: &mut Tail| tail.read_on(&node.root).is_ok();
        assert!(is_read(&mut tail), "the user's own link");
        if nix::unistd::geteuid().is_root() {
            let other = Some(nix::unistd::Uid::from_raw(12345));
            let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
            nix::unistd::fchownat(nix::fcntl::AT_FDCWD, &node.host("/log/audit.log"), other, None, flags).unwrap();
            assert!(!is_read(&mut tail));
        }
    }
}
