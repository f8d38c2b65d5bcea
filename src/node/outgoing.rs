//! The API server that a changed manifest replaces. At the kubelet's SIGTERM it closes its listener and lets requests under way end, then
//! lingers for watches, until the kubelet kills it 30 s later; only then does the new one start. A second SIGTERM ends it at once
//! (kubernetes/apiserver `pkg/server/signal.go`).

use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::libc;

use super::apiserver::{self, Tail};
use super::kubectl::Kubectl;
use crate::proof::Process;

/// What is watched: one small object that every cluster has.
const WATCH: &str = "/api/v1/namespaces?watch=true&fieldSelector=metadata.name%3Dkube-system&timeoutSeconds=600";

/// How long our watch may take to begin, and its end to be heard of.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// An API server that is about to be replaced.
#[derive(Debug)]
pub struct Outgoing {
    pub process: Process,
    port: u16,
    audits: bool,
    watch: Option<Watch>,
}

/// A watch of our own, which the API server audits, as far as its policy says so. It tells when an audit backend has been closed.
#[derive(Debug)]
struct Watch {
    client: Child,
    mark: String,
    messages: Tail,
}

impl Outgoing {
    /// To be called while it still answers. `audits`: it writes events, none of which may be lost.
    pub fn of(process: Process, audits: bool) -> Outgoing {
        let watch = match audits {
            true => Watch::begin(&process)
                .inspect_err(|error| log::info!("the API server that runs can't be watched: {error:#}"))
                .ok(),
            false => None,
        };
        Outgoing { port: apiserver::port(&process), process, audits, watch }
    }

    /// Does it accept connections?
    pub fn listens(&self) -> bool {
        apiserver::listens(&format!("/proc/{}/net", self.process.pid), self.port)
    }

    /// Ends it, where that loses no event: where its audit backend is closed, which happens once requests under way have ended
    /// (`pkg/server/genericapiserver.go`), or where it has none.
    ///
    /// Errors: why it is left to the kubelet.
    pub fn end(&mut self) -> Result<()> {
        if self.audits {
            let Some(watch) = &mut self.watch else { bail!("nobody knows whether it has written all its events") };
            ensure!(watch.ends_unheard()?, "it isn't seen to have written all its events");
        }
        terminate(&self.process)
    }
}

impl Watch {
    fn begin(process: &Process) -> Result<Watch> {
        let unique = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let mark = format!("kube-audit-bootstrap={unique:x}");
        let logs = apiserver::container_logs();
        let log = apiserver::newest(&logs).context("its container has no log")?;
        let messages = Tail::from_now(&log.to_string_lossy());
        let kubectl = Kubectl::of(process).context("there is no kubectl, or no admin.conf")?;
        let mut client = kubectl.watch(&format!("{WATCH}&{mark}")).stdout(Stdio::piped()).spawn()?;
        let stdout = client.stdout.take();
        let mut watch = Watch { client, mark, messages };
        let (began, first) = mpsc::channel();
        // Reads on, so that kubectl never waits; ends with it.
        thread::spawn(move || {
            let mut stdout = stdout?;
            let mut bytes = [0; 4096];
            while stdout.read(&mut bytes).ok()? > 0 {
                let _ = began.send(());
            }
            Some(())
        });
        if first.recv_timeout(PATIENCE).is_err() {
            watch.stop();
            bail!("no watch began");
        }
        Ok(watch)
    }

    /// Ends the watch. True where the event of that found the backend closed: "audit backend shut down", says then
    /// `plugin/pkg/audit/buffered`, and of which event.
    fn ends_unheard(&mut self) -> Result<bool> {
        self.stop();
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if self.messages.text()?.lines().any(|line| line.contains(&self.mark)) {
                let text = self.messages.text()?;
                return Ok(text.contains("audit backend shut down"));
            }
            thread::sleep(PAUSE);
        }
        Ok(false)
    }

    fn stop(&mut self) {
        // It may have ended.
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends SIGTERM to this process, and to none that got its number since: the descriptor stands for one process, and what `/proc` says
/// after it was opened is of that one, if it is the one that is meant.
fn terminate(process: &Process) -> Result<()> {
    let fd = pidfd_open(process.pid).context("no descriptor of the process can be had")?;
    ensure!(apiserver::process(process.pid).as_ref() == Some(process), "it has ended");
    pidfd_send_signal(&fd, libc::SIGTERM).context("no signal can be sent")
}

// nix has neither (as of 0.31).
#[allow(unsafe_code)]
fn pidfd_open(pid: i32) -> nix::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) takes a number and flags, and gives a new descriptor or an error.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: nobody else has this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[allow(unsafe_code)]
fn pidfd_send_signal(fd: &OwnedFd, signal: i32) -> nix::Result<()> {
    // SAFETY: pidfd_send_signal(2) takes no information where the pointer is null.
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
        // Before execve(2) it is still this test.
        let process = loop {
            match apiserver::process(pid) {
                Some(process) if process.arguments == ["sleep", "100"] => break process,
                _ => thread::sleep(PAUSE),
            }
        };
        (child, process)
    }

    #[test]
    fn a_signal_ends_the_process_that_is_meant() {
        let (mut child, process) = sleeper();
        terminate(&process).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
        assert!(terminate(&process).is_err(), "it has been waited for");
    }

    #[test]
    fn a_process_with_the_same_number_is_left_alone() {
        let (mut child, process) = sleeper();
        let earlier = Process { started: process.started - 1, ..process.clone() };
        let other = Process { arguments: vec!["kube-apiserver".to_owned()], ..process };
        for wrong in [earlier, other] {
            let error = terminate(&wrong).unwrap_err().to_string();
            assert!(error.contains("ended"), "{error}");
        }
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
