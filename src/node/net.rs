//! What puts a hidden manifest in place if the run that hid it can't.
//!
//! * **A guard**: this program as a service of systemd, for which no unit file is written. It waits for the end of the
//!   run. systemd starts it again if somebody kills or stops it, and it is in another control group than the run.
//! * **A line for the next boot**, in `/etc/tmpfiles.d`: systemd makes a link to the hidden manifest in its place, before
//!   it starts the kubelet. A copy would not be durable: systemd flushes none to the disk, so a second cut of the power
//!   could leave an empty manifest. The line can't remove its own file at that boot: systemd removes before it creates
//!   (systemd `src/tmpfiles/tmpfiles.c`, `run`), so a cut between the two could leave nothing. It does nothing while a
//!   manifest is there, and the next run removes it.

use std::cell::Cell;
use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::unistd::Pid;

use super::apiserver::read_process;
use super::names::hidden_name;
use super::process::{self, running, words};
use super::root::{Root, Slot, split, warn_on_error};

/// The word by which this program is called as the guard.
pub const GUARD: &str = "guard-hidden-manifest";

/// The file with the line for the next boot.
pub(super) const LINE: &str = "/etc/tmpfiles.d/kube-audit-bootstrap-hidden.conf";

/// How long systemd may take to start the guard.
const START: Duration = Duration::from_secs(5);

/// The settings of the guard's service: it ends only by itself. It does not heed a stop ([`crate::run::guard`]), after
/// which systemd would not start it again, and has this time to put the manifest in place. If somebody has stopped it
/// (SIGSTOP), systemd hears no [`Pulse`] of it, ends it, and starts another one. What can't be run is not tried for
/// ever.
const SETTINGS: [&str; 9] = [
    "--property=Restart=on-failure",
    "--property=RestartForceExitStatus=SIGHUP SIGINT SIGPIPE SIGTERM",
    "--property=RestartSec=100ms",
    "--property=StartLimitIntervalSec=1min",
    "--property=StartLimitBurst=30",
    "--property=TimeoutStopSec=90s",
    "--property=IgnoreOnIsolate=yes",
    "--property=NotifyAccess=main",
    "--property=WatchdogSec=30s",
];

/// How often a guard tells systemd that it goes on. It may be silent for some seconds while it ends an API server.
const PULSE: Duration = Duration::from_secs(2);

/// How a guard tells systemd that it has not stopped (sd_notify(3)).
#[derive(Debug)]
pub struct Pulse {
    systemd: Option<UnixDatagram>,
    next: Cell<Instant>,
}

impl Pulse {
    /// `socket`: the value of `NOTIFY_SOCKET`, if the guard is a service.
    pub fn to(socket: Option<OsString>) -> Pulse {
        let connect = |path| -> std::io::Result<_> {
            let systemd = UnixDatagram::unbound()?;
            systemd.connect(path)?;
            systemd.set_nonblocking(true)?;
            Ok(systemd)
        };
        Pulse { systemd: socket.and_then(|path| connect(path).ok()), next: Cell::new(Instant::now()) }
    }

    /// Tells it now and then.
    pub fn beat(&self) {
        if let Some(systemd) = self.systemd.as_ref().filter(|_| Instant::now() >= self.next.get()) {
            // A systemd that can't be told starts another guard.
            let _ = systemd.send(b"WATCHDOG=1");
            self.next.set(Instant::now() + PULSE);
        }
    }
}

/// The net under a hidden manifest, for as long as this value exists.
#[derive(Debug)]
pub struct Net {
    /// Where the line for the next boot is.
    line: Slot,
    /// Whether it stays, because the manifest is still hidden.
    pub stays: bool,
}

/// Whether a net can be had for the manifest at `path`.
///
/// # Errors
///
/// Why not.
pub fn check(root: &Root, path: &str) -> Result<()> {
    ensure!(root.is_host(), "this is not the running system");
    ensure!(root.real(path)? == path && root.leads_to(path).is_none(), "{path} is a link, or below one");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@,".contains(&byte);
    ensure!(path.bytes().all(is_plain), "systemd can't have this path in its configuration");
    let identity =
        |path: &str| -> Result<_> { Ok(root.stat(path)?.with_context(|| format!("{path}: missing"))?.identity) };
    let directory = identity(split(path)?.0)?;
    ensure!(directory.device == identity("/")?.device, "the manifest directory is on a file system of its own");
    // sd_booted(3)
    ensure!(Path::new("/run/systemd/system").is_dir(), "systemd doesn't run");
    process::installed("systemd-run")?;
    process::installed("systemd-tmpfiles")?;
    identity(split(LINE)?.0).map(drop)
}

impl Net {
    /// Spreads the net under a manifest that is about to be hidden. `ends`: the words of [`words_of`]. Call it with the
    /// lock held.
    ///
    /// # Errors
    ///
    /// A part of it can't be had. Then nothing of it is left but a guard, which ends with this program.
    pub(super) fn spread(root: &Root, path: &str, ends: &[String]) -> Result<Net> {
        check(root, path)?;
        start_guard(&words_of(path, ends)?)?;
        Net::with_line(root, path)
    }

    /// The line alone.
    pub(super) fn with_line(root: &Root, path: &str) -> Result<Net> {
        let net = Net { line: root.slot(LINE)?, stays: false };
        root.replace(LINE, &line(path)?)?;
        Ok(net)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if !self.stays {
            let removed = self.line.remove(&self.line.name).and_then(|()| self.line.sync());
            warn_on_error(removed.map_err(|errno| {
                anyhow!(
                    "can't remove {LINE} ({}); run kube-audit-bootstrap apply, which tries again",
                    errno.desc()
                )
            }));
        }
    }
}

/// The text of the file for the next boot (tmpfiles.d(5)). systemd makes no link if the manifest is there.
fn line(path: &str) -> Result<String> {
    Ok(format!(
        "# kube-audit-bootstrap hides the manifest while it restarts the API server. It then removes this file.\n\
         L {path} - - - - {}\n",
        hidden_path(path)?
    ))
}

/// Removes the line for the next boot.
///
/// # Errors
///
/// The file system reports an error.
pub fn remove_line(root: &Root) -> Result<()> {
    if root.look(LINE)?.is_none() {
        return Ok(());
    }
    let slot = root.slot(LINE)?;
    slot.remove(&slot.name).and_then(|()| slot.sync()).map_err(|errno| root.error("remove", LINE, errno))
}

/// The words of a guard: the process of this run and its start, the path of the manifest, and how the guard ends the
/// previous API server, if it does.
fn words_of(path: &str, ends: &[String]) -> Result<Vec<String>> {
    let run = read_process(Pid::this().as_raw()).context("/proc is not mounted, or not that of this program")?;
    let words = [GUARD, &run.pid.to_string(), &run.started.to_string(), path].map(str::to_owned);
    Ok(words.into_iter().chain(ends.iter().cloned()).collect())
}

/// Starts the guard, and waits until it runs.
fn start_guard(guard: &[String]) -> Result<()> {
    let program = std::fs::read_link("/proc/self/exe")?;
    let program = program.to_str().context("the path of this program is not UTF-8")?;
    let is_guard = || running().any(|(pid, _)| words(pid).get(1..) == Some(guard));
    // A run that goes back has a second one.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let unit = format!("--unit=kube-audit-bootstrap-guard-{}-{}", Pid::this(), now.as_nanos());
    let mut arguments = vec!["--quiet", "--collect", &unit];
    arguments.extend(SETTINGS);
    arguments.push(program);
    arguments.extend(guard.iter().map(String::as_str));
    process::run("systemd-run", &arguments, START)?;
    let start = Instant::now();
    while !is_guard() {
        if start.elapsed() > START {
            bail!("systemd has not started the guard of the hidden manifest");
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The path that hides the file at a path.
pub(super) fn hidden_path(path: &str) -> Result<String> {
    let (directory, name) = split(path)?;
    Ok(format!("{directory}/{}", hidden_name(name)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MANIFEST, Node};
    use super::*;

    const HIDDEN: &str = "/etc/kubernetes/manifests/.kube-apiserver.yaml.kube-audit-bootstrap-hidden";

    #[test]
    fn the_next_boot_makes_a_link_to_the_hidden_manifest() {
        let text = line(MANIFEST).unwrap();
        assert_eq!(text.lines().last(), Some(format!("L {MANIFEST} - - - - {HIDDEN}").as_str()));
        assert!(text.starts_with('#') && text.lines().count() == 2, "{text}");
    }

    #[test]
    fn a_guard_tells_systemd_now_and_then_that_it_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        systemd.set_nonblocking(true).unwrap();
        let mut told = [0; 32];
        let mut hears = || systemd.recv(&mut told).ok().map(|length| told[..length].to_vec());
        let pulse = Pulse::to(Some(path.into()));
        pulse.beat();
        pulse.beat();
        assert_eq!((hears(), hears()), (Some(b"WATCHDOG=1".to_vec()), None));
        pulse.next.set(Instant::now());
        pulse.beat();
        assert!(hears().is_some());
        for socket in [None, Some("/no/such/socket".into())] {
            Pulse::to(socket).beat();
        }
        assert_eq!(hears(), None);
    }

    #[test]
    fn there_is_no_net_below_another_root() {
        let node = Node::with(&[(MANIFEST, "old")]);
        assert!(check(&node.root, MANIFEST).unwrap_err().to_string().contains("running system"));
    }
}
