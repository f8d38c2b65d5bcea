//! The API server that a changed manifest replaces. On the kubelet's SIGTERM, it stops listening, lets running
//! requests end, and then waits for watches, until the kubelet kills it after 30 s. Only then the new API server
//! starts. A second SIGTERM ends it at once (kubernetes/apiserver `pkg/server/signal.go`).

use std::fs;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::apiserver::{self, Tail};
use super::kubectl::{self, Kubectl};
use super::pod::Container;
use super::process::{self, spawn};
use super::root::Root;
use super::storage::identity;
use crate::facts::server::Process;

/// The request that is watched: one small object that every cluster has.
const WATCH: &str = "/api/v1/namespaces?watch=true&fieldSelector=metadata.name%3Dkube-system&timeoutSeconds=600";

/// How long the watch may take to start: kubectl has to start, too.
const BEGINNING: Duration = Duration::from_secs(10);
/// How long to wait for a sign that the API server has written all events.
const PATIENCE: Duration = Duration::from_secs(5);
/// A log that has not grown for this long is complete: the last events are written one after the other.
const SETTLED: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

/// Where the API server writes its events, as far as ending it early could lose some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventSink {
    /// Nowhere: it writes no events.
    None,
    /// To this file of the node.
    Log(String),
    /// To another destination, such as a webhook. Nothing here shows whether the events have arrived.
    Elsewhere,
}

/// An API server that is about to be replaced.
#[derive(Debug)]
pub struct Outgoing {
    pub process: Process,
    /// Whether it accepted connections when this was made.
    pub listened: bool,
    events: EventSink,
    canary: Option<Canary>,
    /// Another one, which [`Outgoing::ask`] ends before the time is over that running requests have.
    scout: Option<Canary>,
    /// The log, as soon as the scout has shown that the audit backend is closed.
    rest: Option<Quiet>,
}

/// A watch by this program, which the API server audits if its policy says so. When the watch ends, the API server's
/// messages show whether the audit backend is closed.
#[derive(Debug)]
struct Canary {
    client: Client,
    mark: String,
    messages: Tail,
    /// What was read of the messages since the watch ended.
    said: Option<String>,
}

/// A log that gets only the events that were left in a closed audit backend.
#[derive(Debug)]
struct Quiet {
    log: String,
    length: u64,
    /// When it was first seen with this length.
    since: Instant,
}

/// The log target of the progress lines of a wait, which are printed without `-v`.
pub const PROGRESS: &str = "progress";

/// The process that watches.
#[derive(Debug)]
enum Client {
    Own(Child),
    /// Of a run that has ended: its number and its start.
    Other(i32, u64),
}

impl Outgoing {
    /// Starts to watch the API server. Call it while the API server still answers.
    pub fn of(process: Process, events: EventSink, container: &Container) -> Outgoing {
        let canary = match events {
            EventSink::Log(_) => Canary::begin(&process, container)
                .inspect_err(|error| {
                    log::info!(
                        target: PROGRESS,
                        "the program can't watch the API server that runs, so it leaves its end to the kubelet: {error:#}"
                    );
                })
                .ok(),
            EventSink::None | EventSink::Elsewhere => None,
        };
        // It only saves time.
        let scout = canary.as_ref().and_then(|_| Canary::begin(&process, container).ok());
        let mut outgoing = Outgoing { process, listened: false, events, canary, scout, rest: None };
        outgoing.listened = outgoing.listens();
        outgoing
    }

    /// Whether it has begun to end: it accepts no connections any more.
    pub fn is_ending(&self) -> bool {
        self.listened && !self.listens()
    }

    /// Whether it accepts connections.
    pub fn listens(&self) -> bool {
        apiserver::is_listening(&self.process)
    }

    /// The words by which another process takes it over if this one ends: the API server and its start, and if that
    /// audits, the log, the client that watches and its start, the mark of its request, and the API server's messages.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![self.process.pid.to_string(), self.process.started.to_string()];
        if let (EventSink::Log(log), Some(canary)) = (&self.events, &self.canary)
            && let Some((pid, started)) = canary.client.process()
        {
            let messages = canary.messages.path();
            words.extend([log, &pid.to_string(), &started.to_string(), &canary.mark, messages].map(str::to_owned));
        }
        words
    }

    /// Takes over from another process. `None` if the API server has ended, or the words are wrong.
    pub fn taken_over(words: &[String]) -> Option<Outgoing> {
        let [pid, started, rest @ ..] = words else { return None };
        let started: u64 = started.parse().ok()?;
        let process = apiserver::read_process(pid.parse().ok()?).filter(|process| process.started == started)?;
        let (events, canary) = match rest {
            [] => (EventSink::None, None),
            [log, pid, started, mark, messages] => {
                let client = Client::Other(pid.parse().ok()?, started.parse().ok()?);
                let messages = Tail::from_now(&Root::open(Path::new("/")).ok()?, messages);
                (EventSink::Log(log.clone()), Some(Canary { client, mark: mark.clone(), messages, said: None }))
            }
            _ => return None,
        };
        Some(Outgoing { process, listened: true, events, canary, scout: None, rest: None })
    }

    /// Whether [`Outgoing::end`] may succeed.
    pub fn may_end(&self) -> bool {
        self.events == EventSink::None || self.canary.is_some()
    }

    /// Ends one of the watches, so that [`Outgoing::look`] may see early that the audit backend is closed.
    pub fn ask(&mut self) {
        self.scout.iter_mut().for_each(Canary::stop);
    }

    /// Looks whether the audit backend is closed, once it was asked, and whether the log grows since then. What can't be
    /// read only costs time.
    pub fn look(&mut self) {
        let EventSink::Log(log) = &self.events else { return };
        if let Some(rest) = &mut self.rest {
            let _ = rest.look();
        } else if let Some(scout) = &mut self.scout
            && let Ok(true) = scout.is_unheard()
        {
            self.rest = Quiet::of(log).ok();
        }
    }

    /// Ends the API server early, if no event is lost by that: it writes none; or its running requests have ended,
    /// after which it closes its audit backend (kubernetes/apiserver `pkg/server/genericapiserver.go`) and then
    /// writes the events that were left in it. Returns false if it had ended already.
    ///
    /// # Errors
    ///
    /// The reason why the kubelet has to end it.
    pub fn end(&mut self) -> Result<bool> {
        match (&self.events, &mut self.canary) {
            (EventSink::None, _) => {}
            (EventSink::Log(log), Some(canary)) => {
                if self.rest.is_none() {
                    ensure!(canary.ends_unheard()?, "nothing shows that it has closed its audit backend");
                }
                let rest = self.rest.take().map_or_else(|| Quiet::of(log), Ok)?;
                ensure!(rest.settles()?, "{} still writes events", writers(log, self.process.pid));
            }
            (EventSink::Log(_) | EventSink::Elsewhere, _) => {
                bail!("nothing shows whether it has written all its events")
            }
        }
        terminate(&self.process)
    }
}

impl Canary {
    fn begin(process: &Process, container: &Container) -> Result<Canary> {
        let mark = kubectl::mark();
        let log = container.log_of(process).context("its container has no log")?;
        let messages = Tail::from_now(&Root::open(Path::new("/"))?, &log.path.to_string_lossy());
        let mut command = Kubectl::of(process)?.watch(&format!("{WATCH}&{mark}"));
        let mut client = command.stdout(Stdio::piped()).spawn()?;
        let output = client.stdout.take();
        let canary = Canary { client: Client::Own(client), mark, messages, said: None };
        let first = read_on(output.context("kubectl has no output")?)?;
        first.recv_timeout(BEGINNING).context("the watch did not start")?;
        Ok(canary)
    }

    /// Ends the watch. Returns true if the event of its end came after the audit backend was closed.
    fn ends_unheard(&mut self) -> Result<bool> {
        self.stop();
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if self.is_unheard()? {
                return Ok(true);
            }
            thread::sleep(PAUSE);
        }
        Ok(false)
    }

    /// Whether the watch has ended, and its event came after the audit backend was closed.
    fn is_unheard(&mut self) -> Result<bool> {
        let Some(said) = &mut self.said else { return Ok(false) };
        *said += &self.messages.read_on(&Root::open(Path::new("/"))?)?;
        Ok(is_unheard(said, &self.mark))
    }

    fn stop(&mut self) {
        self.said.get_or_insert_default();
        // kubectl may have ended already.
        match &mut self.client {
            Client::Own(client) => {
                let _ = client.kill();
                let _ = client.wait();
            }
            Client::Other(pid, started) => {
                if apiserver::read_process(*pid).is_some_and(|process| process.started == *started) {
                    let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
                }
            }
        }
    }
}

impl Client {
    /// Its number and its start; `None` if it has ended.
    fn process(&self) -> Option<(i32, u64)> {
        match self {
            Client::Own(client) => {
                let pid = i32::try_from(client.id()).ok()?;
                Some((pid, apiserver::read_process(pid)?.started))
            }
            Client::Other(pid, started) => Some((*pid, *started)),
        }
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Reads to the end, so that the writer never waits, and sends a message for each part.
fn read_on(mut from: impl Read + Send + 'static) -> Result<mpsc::Receiver<()>> {
    let (began, parts) = mpsc::channel();
    spawn(move || {
        let mut bytes = [0; 4096];
        while from.read(&mut bytes).is_ok_and(|number| number > 0) {
            let _ = began.send(());
        }
    })?;
    Ok(parts)
}

/// Whether a container's log says that the event of the request with this mark came too late. A closed backend in batch
/// mode logs this (`plugin/pkg/audit/buffered/buffered.go`), in a message of several lines: first the reason, then the
/// events (`pkg/audit/metrics.go`).
fn is_unheard(log: &str, mark: &str) -> bool {
    log.find("audit backend shut down").is_some_and(|at| log[at..].contains(mark))
}

impl Quiet {
    fn of(log: &str) -> Result<Quiet> {
        Ok(Quiet { log: log.to_owned(), length: fs::metadata(log)?.len(), since: Instant::now() })
    }

    /// Whether the log has not grown for long enough.
    fn look(&mut self) -> Result<bool> {
        let length = fs::metadata(&self.log)?.len();
        if length != self.length {
            (self.length, self.since) = (length, Instant::now());
        }
        Ok(self.since.elapsed() >= SETTLED)
    }

    /// Waits until the log has stopped growing. Returns false if it still grows after some seconds.
    fn settles(mut self) -> Result<bool> {
        let end = Instant::now() + PATIENCE;
        while !self.look()? {
            if Instant::now() >= end {
                return Ok(false);
            }
            thread::sleep(PAUSE);
        }
        Ok(true)
    }
}

/// Who may be writing a log: `pid`, as "it", and each other program that has it open.
fn writers(log: &str, pid: i32) -> String {
    let there = identity(log);
    let writes = |(other, name): (i32, String)| {
        let is_its = |open: process::OpenFile| Some(open.identity()) == there && open.is_written();
        (other != pid && process::open_files(other).any(is_its)).then(|| format!("{name} ({other})"))
    };
    let others: Vec<_> = process::running().filter_map(writes).collect();
    match others.as_slice() {
        [] => "it".to_owned(),
        others => format!("it, or {}, which has the same log open,", others.join(" or ")),
    }
}

/// Sends SIGTERM to this process, never to another one that has its number by now. The descriptor stands for one
/// process, so the check in `/proc` after it was opened is about the same process. Returns false if it has ended.
fn terminate(process: &Process) -> Result<bool> {
    let fd = match pidfd_open(process.pid) {
        Err(Errno::ESRCH) => return Ok(false),
        opened => opened.context("can't get a descriptor of the process")?,
    };
    if apiserver::read_process(process.pid).as_ref() != Some(process) {
        return Ok(false);
    }
    match pidfd_send_signal(&fd, libc::SIGTERM) {
        Err(Errno::ESRCH) => Ok(false),
        sent => sent.map(|()| true).context("can't send a signal to the process"),
    }
}

// nix has neither call (as of 0.31).
#[allow(unsafe_code)]
fn pidfd_open(pid: i32) -> nix::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) takes a number and flags, and gives a new descriptor or an error.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the descriptor is new, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[allow(unsafe_code)]
fn pidfd_send_signal(fd: &OwnedFd, signal: i32) -> nix::Result<()> {
    // SAFETY: pidfd_send_signal(2) reads no siginfo if the pointer is null.
    let done = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
    };
    Errno::result(done).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    fn sleeper() -> (Child, Process) {
        let child = Command::new("sleep").arg("100").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        // Before execve(2) the child is still this test program.
        let process = loop {
            match apiserver::read_process(pid) {
                Some(process) if process.arguments == ["sleep", "100"] => break process,
                _ => thread::sleep(PAUSE),
            }
        };
        (child, process)
    }

    #[test]
    fn an_event_that_came_too_late_is_known_by_its_request() {
        let late = "E1126 1 metrics.go:110] \"Error in audit plugin\" err=\"audit backend shut down\"\n\
                    2026-01-01T00:00:00.1Z stderr F Impacted events: 2026-01-01T00:00:00Z AUDIT: uri=\"/api?a=1&m=1\"\n";
        assert!(is_unheard(late, "m=1"));
        assert!(!is_unheard(late, "m=2"), "another's");
        assert!(!is_unheard("GET /api?m=1 took 3 s\n", "m=1"), "it is told for another reason");
        assert!(!is_unheard(&format!("GET /api?m=2\n{late}"), "m=2"));
    }

    #[test]
    fn who_else_has_the_log_open_for_writing_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (log, own) = (file.path().to_str().unwrap(), i32::try_from(std::process::id()).unwrap());
        assert_eq!(writers(log, own), "it");
        let others = writers(log, 0);
        assert!(others.starts_with("it, or ") && others.contains(&format!("({own}), which has")), "{others}");
    }

    #[test]
    fn a_log_that_grows_has_not_settled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        fs::write(&path, "").unwrap();
        let name = path.to_str().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                for length in 1..=15 {
                    thread::sleep(PAUSE * 2);
                    fs::write(&path, "x".repeat(length)).unwrap();
                }
            });
            assert!(Quiet::of(name).unwrap().settles().unwrap());
            assert_eq!(fs::metadata(&path).unwrap().len(), 15, "it settled while the log grew");
        });
        assert!(Quiet::of("/no/such/log").is_err());
    }

    /// An API server whose audit backend was closed before the end of the scout, or only before that of the canary;
    /// which still writes what was left; or that does not close it. `canary`: whether the canary is ended for that.
    #[test]
    fn an_api_server_is_ended_when_it_has_closed_its_audit_backend_and_written_the_rest() {
        let late = |mark: &str| format!("audit backend shut down\nImpacted events:\n uri=\"/api?{mark}\"\n");
        for (case, scout, messages, grows, canary, ended) in [
            ("asked, and closed", true, late("m=scout"), false, false, true),
            ("asked, and closed, and it still writes", true, late("m=scout"), true, false, true),
            ("asked too early", true, late("m=canary"), false, true, true),
            ("no scout", false, late("m=canary"), false, true, true),
            ("not closed", true, String::new(), false, true, false),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
            let (log, said) = (at("audit.log"), at("messages"));
            fs::write(&log, "").unwrap();
            let ((mut server, process), watch) = (sleeper(), |mark: &str| Canary {
                client: Client::Own(sleeper().0),
                mark: mark.to_owned(),
                messages: Tail::from_start(said.clone()),
                said: None,
            });
            let mut outgoing = Outgoing {
                process,
                listened: true,
                events: EventSink::Log(log.clone()),
                canary: Some(watch("m=canary")),
                scout: scout.then(|| watch("m=scout")),
                rest: None,
            };
            fs::write(&said, &messages).unwrap();
            outgoing.look();
            assert!(outgoing.rest.is_none(), "{case}: it was not asked");
            outgoing.ask();
            outgoing.look();
            thread::scope(|scope| {
                scope.spawn(|| {
                    for length in 1..=15 {
                        thread::sleep(PAUSE * 2);
                        fs::write(&log, "x".repeat(if grows { length } else { 0 })).unwrap();
                    }
                });
                assert_eq!(outgoing.end().is_ok(), ended, "{case}");
                assert!(!grows || fs::metadata(&log).unwrap().len() == 15, "{case}: it was cut");
            });
            let Some(Canary { client: Client::Own(client), .. }) = &mut outgoing.canary else { panic!() };
            assert_eq!(client.try_wait().unwrap().is_some(), canary, "{case}");
            assert_eq!(server.try_wait().unwrap().is_some() || ended, ended, "{case}");
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    #[test]
    fn a_signal_ends_the_process_that_is_meant() {
        let (mut child, process) = sleeper();
        assert!(terminate(&process).unwrap());
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
        // It has ended, and been waited for, which is no error.
        assert!(!terminate(&process).unwrap());
    }

    #[test]
    fn another_process_takes_over_the_one_that_it_is_told_of() {
        let ((mut server, process), (client, _)) = (sleeper(), sleeper());
        let events = EventSink::Log("/audit.log".to_owned());
        let messages = Tail::from_start("/messages".to_owned());
        let canary = Canary { client: Client::Own(client), mark: "m=1".to_owned(), messages, said: None };
        let mut first = Outgoing {
            process: process.clone(),
            listened: true,
            events: events.clone(),
            canary: Some(canary),
            scout: None,
            rest: None,
        };
        let words = first.words();
        let second = Outgoing::taken_over(&words).unwrap();
        assert_eq!((&second.process, &second.events, second.words()), (&process, &events, words.clone()));
        // It ends the client of the first one, too.
        drop(second);
        let Some(Canary { client: Client::Own(client), .. }) = &mut first.canary else { panic!() };
        assert_eq!(client.wait().unwrap().signal(), Some(libc::SIGKILL));
        let silent = Outgoing { events: EventSink::None, canary: None, ..first };
        let second = Outgoing::taken_over(&silent.words()).unwrap();
        assert_eq!((second.events, second.canary.is_none(), silent.words().len()), (EventSink::None, true, 2));
        let mut others = words.clone();
        others[1] = "1".to_owned();
        for wrong in [&words[..1], &words[..4], &others] {
            assert!(Outgoing::taken_over(wrong).is_none(), "{wrong:?}");
        }
        server.kill().unwrap();
        server.wait().unwrap();
    }

    #[test]
    fn a_process_with_the_same_number_is_left_alone() {
        let (mut child, process) = sleeper();
        let earlier = Process { started: process.started - 1, ..process.clone() };
        let other = Process { arguments: vec!["kube-apiserver".to_owned()], ..process };
        for wrong in [earlier, other] {
            assert!(!terminate(&wrong).unwrap());
        }
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
