//! This program as the guard of a hidden manifest: a service that a run starts (`node::net`).
//!
//! If the run ends too early, the guard goes on with it. It ends the previous API server when its running requests have
//! had their time, if no event is lost by that. It waits until the kubelet has finished its pod, and then puts the
//! manifest in place. Where it can't end the API server, it puts the manifest in place at once.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::signal::{SigSet, Signal};

use crate::node::apiserver::read_process;
use crate::node::hidden;
use crate::node::leaving::Traces;
use crate::node::lock::Lock;
pub use crate::node::net::GUARD;
use crate::node::net::{Pulse, remove_line};
use crate::node::outgoing::Outgoing;
use crate::node::process::kubelets;
use crate::node::root::Root;
use crate::plan::hiding::{HiddenSight, Hiding};

/// Where the manifest is hidden for longer than any run hides it, its run has stopped.
const STOPPED: Duration = Duration::from_secs(60);
/// How long the guard waits for the end of the previous pod, after it has ended the API server.
const FINISHED: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(100);

/// The words by which a guard ends this API server, whose running requests have this time to end.
pub fn words_of(outgoing: &Outgoing, drain: Duration) -> Vec<String> {
    [drain.as_millis().to_string()].into_iter().chain(outgoing.words()).collect()
}

/// Waits for the end of a run, and then puts its manifest in place, if that is hidden. Does so earlier if the run has
/// stopped. `words`: the run's process and its start, the path of the manifest, and those of [`words_of`], if any.
///
/// # Errors
///
/// The words are not those of a guard, or the file system reports an error.
pub fn guard(words: &[String]) -> Result<()> {
    let [pid, started, path, rest @ ..] = words else { bail!("these are not the words of a guard") };
    // Whoever stops the run may stop the guard with it, and systemd starts no service again that was stopped.
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect::<SigSet>().thread_block()?;
    let (pid, started): (i32, u64) = (pid.parse()?, started.parse()?);
    let mut successor = match rest {
        [] => None,
        [drain, words @ ..] => Successor::of(words, Duration::from_millis(drain.parse()?)),
    };
    let root = Root::open(Path::new("/"))?;
    let pulse = Pulse::to(std::env::var_os("NOTIFY_SOCKET"));
    let runs = || {
        pulse.beat();
        read_process(pid).is_some_and(|run| run.started == started)
    };
    let mut is_time = |after| successor.as_mut().is_none_or(|successor| successor.has_finished(after));
    watch(&root, path, &runs, STOPPED, &mut is_time)?;
    // The next run may have a net of its own by now.
    let Ok(_lock) = Lock::take(&root, Duration::ZERO) else { return Ok(()) };
    remove_line(&root)
}

/// Watches until the run has ended and the manifest is in place. `is_time`: whether the manifest comes back so long
/// after the end of the run.
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

/// What the guard does in the place of the run that has ended.
struct Successor {
    outgoing: Outgoing,
    drain: Duration,
    traces: Traces,
    hiding: Hiding,
    /// When it has ended the API server.
    ended: Option<Instant>,
}

impl Successor {
    /// `None` if the API server has ended already, or nothing shows when the kubelet has finished its pod.
    fn of(words: &[String], drain: Duration) -> Option<Successor> {
        let outgoing = Outgoing::taken_over(words)?;
        let traces = Traces::of(outgoing.process.pid)?;
        Some(Successor { outgoing, drain, traces, hiding: Hiding::default(), ended: None })
    }

    /// Whether the kubelet has finished the pod, or is not waited for. `after`: the time since the end of the run.
    fn has_finished(&mut self, after: Duration) -> bool {
        let runs = read_process(self.outgoing.process.pid).as_ref() == Some(&self.outgoing.process);
        if runs && after >= self.drain && self.ended.is_none() {
            if let Err(why) = self.outgoing.end() {
                log::info!("the previous API server is left to the kubelet: {why:#}");
                return true;
            }
            self.ended = Some(Instant::now());
        }
        let sight = HiddenSight {
            runs,
            listens: false,
            kubelet: kubelets().next().is_some(),
            remains: self.traces.look(),
        };
        let is_late = self.ended.is_some_and(|ended| ended.elapsed() >= FINISHED);
        is_late || self.hiding.next(sight, after).is_some()
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
        for words in [&["1", "2"][..], &["x", "2", "/m"], &["1", "2", "/m", "x"]] {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            assert!(guard(&words).is_err(), "{words:?}");
        }
    }
}
