//! This program as the guard of a hidden manifest: a service that a run starts (`node::net`).
//!
//! If the run ends too early, the guard puts the manifest in place. If the previous API server writes no events, the
//! guard first does what the run would have done: it ends that API server when its running requests have had their time,
//! and waits until the kubelet has finished its pod. Otherwise only the kubelet ends it, and the guard waits for nothing.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::facts::server::Process;
use crate::node::apiserver::read_process;
use crate::node::hidden;
use crate::node::leaving::{Traces, kubelet};
use crate::node::lock::Lock;
pub use crate::node::net::GUARD;
use crate::node::net::remove_line;
use crate::node::outgoing::terminate;
use crate::node::root::Root;
use crate::plan::hiding::{HiddenSight, Hiding};

/// Where the manifest is hidden for longer than any run hides it, its run has stopped.
const STOPPED: Duration = Duration::from_secs(60);
/// How long the guard waits for the end of the previous pod, after it has ended the API server.
const FINISHED: Duration = Duration::from_secs(6);
const PAUSE: Duration = Duration::from_millis(100);

/// Waits for the end of a run, and then puts its manifest in place, if that is hidden. Does so earlier if the run has
/// stopped. `words`: those of [`crate::node::net::words_of`].
///
/// # Errors
///
/// The words are not those of a guard, or the file system reports an error.
pub fn guard(words: &[String]) -> Result<()> {
    let [pid, started, path, rest @ ..] = words else { bail!("these are not the words of a guard") };
    let run = (pid.parse()?, started.parse()?);
    let mut outgoing = match rest {
        [] => None,
        [pid, started, drain] => {
            Outgoing::of((pid.parse()?, started.parse()?), Duration::from_millis(drain.parse()?))
        }
        _ => bail!("these are not the words of a guard"),
    };
    let root = Root::open(Path::new("/"))?;
    let mut is_time = |after| outgoing.as_mut().is_none_or(|outgoing| outgoing.has_ended(after));
    watch(&root, path, &|| process_of(run).is_some(), STOPPED, &mut is_time)?;
    // The next run may have a net of its own by now.
    let Ok(_lock) = Lock::take(&root, Duration::ZERO) else { return Ok(()) };
    remove_line(&root)
}

/// The process with this number that started at this time, if it runs.
fn process_of((pid, started): (i32, u64)) -> Option<Process> {
    read_process(pid).filter(|process| process.started == started)
}

/// Watches until the run has ended and the manifest is in place. `is_time`: whether the manifest comes back so long after
/// the end of the run.
fn watch(
    root: &Root,
    path: &str,
    runs: &dyn Fn() -> bool,
    limit: Duration,
    is_time: &mut dyn FnMut(Duration) -> bool,
) -> Result<()> {
    let (mut since, mut ended) = (None, None);
    loop {
        // In this order: a run that has ended hides nothing after this.
        ended = if runs() { None } else { ended.or(Some(Instant::now())) };
        since = if hidden::is_hidden(root, path)? { since.or(Some(Instant::now())) } else { None };
        match (ended, since) {
            (Some(_), None) => return Ok(()),
            (Some(ended), Some(_)) if is_time(ended.elapsed()) => hidden::put_in_place(root, path)?,
            (None, Some(since)) if since.elapsed() >= limit => hidden::put_in_place(root, path)?,
            _ => thread::sleep(PAUSE),
        }
    }
}

/// The previous API server, which may be ended without the loss of an event.
struct Outgoing {
    process: Process,
    drain: Duration,
    traces: Traces,
    hiding: Hiding,
    is_told: bool,
}

impl Outgoing {
    /// `None` if it has ended already.
    fn of(process: (i32, u64), drain: Duration) -> Option<Outgoing> {
        let process = process_of(process)?;
        let traces = Traces::of(process.pid)?;
        Some(Outgoing { process, drain, traces, hiding: Hiding::default(), is_told: false })
    }

    /// Whether the kubelet has finished its pod, or is not to be waited for. `after`: the time since the end of the run.
    fn has_ended(&mut self, after: Duration) -> bool {
        let runs = process_of((self.process.pid, self.process.started)).is_some();
        if runs && after >= self.drain && !self.is_told {
            self.is_told = true;
            let ended = terminate(&self.process);
            log::info!("ending the previous API server: {ended:?}");
        }
        let kubelet = kubelet().is_some();
        let sight = HiddenSight { runs, listens: false, kubelet, remains: self.traces.look() };
        self.hiding.next(sight, after).is_some() || after >= self.drain + FINISHED
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::node::testing::{MANIFEST, Node};

    const HIDDEN: &str = "/etc/kubernetes/manifests/.kube-apiserver.yaml.kube-audit-bootstrap-hidden";

    #[test]
    fn a_guard_puts_the_manifest_in_place_when_the_run_has_ended() {
        let node = Node::with(&[(HIDDEN, "new")]);
        let looks = Cell::new(0);
        let runs = || {
            looks.set(looks.get() + 1);
            looks.get() < 3
        };
        let mut after = Vec::new();
        let mut is_time = |time| {
            assert!(!node.exists(MANIFEST), "not before its time");
            after.push(time);
            after.len() == 3
        };
        watch(&node.root, MANIFEST, &runs, STOPPED, &mut is_time).unwrap();
        assert_eq!((node.text(MANIFEST).as_str(), node.exists(HIDDEN), after.len()), ("new", false, 3));
    }

    #[test]
    fn a_guard_puts_the_manifest_in_place_when_the_run_has_stopped() {
        let node = Node::with(&[(HIDDEN, "new")]);
        let looks = Cell::new(0);
        // A run that is stopped neither ends nor shows its manifest.
        let runs = || {
            looks.set(looks.get() + 1);
            !node.exists(MANIFEST)
        };
        watch(&node.root, MANIFEST, &runs, Duration::ZERO, &mut |_| true).unwrap();
        assert_eq!((node.text(MANIFEST).as_str(), node.exists(HIDDEN), looks.get()), ("new", false, 2));
    }

    #[test]
    fn a_guard_leaves_a_manifest_that_is_there() {
        let node = Node::with(&[(HIDDEN, "hidden"), (MANIFEST, "there")]);
        watch(&node.root, MANIFEST, &|| false, STOPPED, &mut |_| panic!("it is in place")).unwrap();
        assert_eq!((node.text(MANIFEST).as_str(), node.text(HIDDEN).as_str()), ("there", "hidden"));
    }

    #[test]
    fn a_guard_is_not_called_with_other_words() {
        for words in [&["1", "2"][..], &["x", "2", "/m"], &["1", "2", "/m", "3"], &["1", "2", "/m", "3", "4", "x"]]
        {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            assert!(guard(&words).is_err(), "{words:?}");
        }
    }
}
