//! The guard of a hidden manifest: this program, as a service that [`super::net`] starts.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::apiserver::read_process;
use super::hidden;
use super::lock::Lock;
use super::net::remove_line;
use super::root::Root;

/// Where the manifest is hidden for longer than any run hides it, its run has stopped.
const STOPPED: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// Waits for the end of a run, and then puts its manifest in place, if that is hidden. Does so earlier if the run has
/// stopped. `words`: the run's process, when that started, and the path of the manifest.
///
/// # Errors
///
/// The words are not those of a guard, or the file system reports an error.
pub fn guard(words: &[String]) -> Result<()> {
    let [pid, started, path] = words else { bail!("these are not the words of a guard") };
    let (pid, started): (i32, u64) = (pid.parse()?, started.parse()?);
    let root = Root::open(Path::new("/"))?;
    watch(&root, path, &|| read_process(pid).is_some_and(|run| run.started == started), STOPPED)?;
    // The next run may have a net of its own by now.
    let Ok(_lock) = Lock::take(&root, Duration::ZERO) else { return Ok(()) };
    remove_line(&root)
}

fn watch(root: &Root, path: &str, runs: &dyn Fn() -> bool, limit: Duration) -> Result<()> {
    let mut since = None;
    loop {
        // In this order: a run that has ended hides nothing after this.
        let has_ended = !runs();
        since = if hidden::is_hidden(root, path)? { since.or(Some(Instant::now())) } else { None };
        if has_ended || since.is_some_and(|since| since.elapsed() >= limit) {
            hidden::put_in_place(root, path)?;
        }
        if has_ended {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::testing::{MANIFEST, Node};
    use super::*;

    const HIDDEN: &str = "/etc/kubernetes/manifests/.kube-apiserver.yaml.kube-audit-bootstrap-hidden";

    #[test]
    fn a_guard_puts_the_manifest_in_place_when_the_run_has_ended() {
        let node = Node::with(&[(HIDDEN, "new")]);
        let looks = Cell::new(0);
        let runs = || {
            assert!(!node.exists(MANIFEST), "not before the end");
            looks.set(looks.get() + 1);
            looks.get() < 3
        };
        watch(&node.root, MANIFEST, &runs, STOPPED).unwrap();
        assert_eq!((node.text(MANIFEST).as_str(), node.exists(HIDDEN), looks.get()), ("new", false, 3));
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
        watch(&node.root, MANIFEST, &runs, Duration::ZERO).unwrap();
        assert_eq!((node.text(MANIFEST).as_str(), node.exists(HIDDEN), looks.get()), ("new", false, 2));
    }

    #[test]
    fn a_guard_leaves_a_manifest_that_is_there() {
        let node = Node::with(&[(HIDDEN, "hidden"), (MANIFEST, "there")]);
        watch(&node.root, MANIFEST, &|| false, STOPPED).unwrap();
        assert_eq!((node.text(MANIFEST).as_str(), node.text(HIDDEN).as_str()), ("there", "hidden"));
    }

    #[test]
    fn a_guard_is_not_called_with_other_words() {
        for words in [&["1", "2"][..], &["x", "2", "/m"], &["1", "2", "/m", "more"]] {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            assert!(guard(&words).is_err(), "{words:?}");
        }
    }
}
