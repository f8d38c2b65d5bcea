//! Hides a manifest from the kubelet for a moment, so that the kubelet restarts its pod.

use std::time::Duration;

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::signal::SigSet;

use super::names::hidden_name;
use super::root::Root;

/// How long the manifest is hidden: long enough for the kubelet to notice.
const HIDDEN: Duration = Duration::from_secs(2);

/// Hides a manifest from the kubelet for a moment, so that the kubelet restarts the pod even if it sees no change
/// (kubernetes/kubernetes#109596). Only SIGKILL can interrupt this; [`unhide`] repairs that.
///
/// # Errors
///
/// The file system reports an error.
pub fn show_again(root: &Root, path: &str) -> Result<()> {
    let slot = root.slot(path)?;
    let hidden = hidden_name(&slot.name);
    let all = SigSet::all();
    all.thread_block()?;
    let shown = || -> nix::Result<()> {
        slot.rename(&slot.name, &hidden)?;
        std::thread::sleep(HIDDEN);
        match slot.rename_new(&hidden, &slot.name) {
            // Another program wrote a manifest meanwhile, and that one counts.
            Err(Errno::EEXIST) => slot.remove(&hidden)?,
            other => other?,
        }
        slot.sync()
    }();
    all.thread_unblock()?;
    shown.map_err(|errno| root.error("restart the pod of", path, errno))
}

/// Whether the manifest is hidden: a run is in [`show_again`], or was interrupted there.
pub fn is_hidden(root: &Root, path: &str) -> Result<bool> {
    let Some((dir, name)) = path.rsplit_once('/') else { return Ok(false) };
    let hidden = format!("{dir}/{}", hidden_name(name));
    Ok(root.stat(path)?.is_none() && root.stat(&hidden)?.is_some())
}

/// Puts back a manifest that an interrupted run left hidden. Call it with the lock held.
///
/// # Errors
///
/// The file system reports an error.
pub fn unhide(root: &Root, path: &str) -> Result<()> {
    if is_hidden(root, path)? {
        log::warn!("{path}: an interrupted run left it hidden from the kubelet; putting it back");
        let slot = root.slot(path)?;
        let hidden = hidden_name(&slot.name);
        let shown = slot.rename(&hidden, &slot.name).and_then(|()| slot.sync());
        shown.map_err(|errno| root.error("put back", path, errno))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal;

    use super::super::testing::{MANIFEST, Node};
    use super::*;

    #[test]
    fn a_manifest_that_is_hidden_comes_back() {
        let node = Node::with(&[(MANIFEST, "manifest")]);
        let names = node.names();
        assert!(!is_hidden(&node.root, MANIFEST).unwrap());
        // Only the kernel reports the signal mask of a thread.
        let (sender, receiver) = std::sync::mpsc::channel();
        let blocked = |thread: i32| {
            let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/status")).unwrap();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim().to_owned();
            let mask = u64::from_str_radix(&mask, 16).unwrap();
            [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM].map(|signal| mask >> (signal as i32 - 1) & 1)
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let thread = nix::unistd::gettid().as_raw();
                let before = blocked(thread);
                sender.send(thread).unwrap();
                show_again(&node.root, MANIFEST).unwrap();
                assert_eq!((before, blocked(thread)), ([0; 3], [0; 3]));
            });
            let thread = receiver.recv().unwrap();
            while !is_hidden(&node.root, MANIFEST).unwrap() {
                std::thread::yield_now();
            }
            assert_eq!(blocked(thread), [1; 3]);
        });
        assert_eq!((node.text(MANIFEST).as_str(), node.names()), ("manifest", names));
        // As an interrupted run leaves it.
        let slot = node.root.slot(MANIFEST).unwrap();
        slot.rename(&slot.name, &hidden_name(&slot.name)).unwrap();
        assert!(is_hidden(&node.root, MANIFEST).unwrap());
        unhide(&node.root, MANIFEST).unwrap();
        unhide(&node.root, MANIFEST).unwrap();
        assert_eq!(node.text(MANIFEST), "manifest");
        // Both names exist: the visible manifest is newer.
        node.put("/etc/kubernetes/manifests/.kube-apiserver.yaml.kube-audit-bootstrap-hidden", "old");
        unhide(&node.root, MANIFEST).unwrap();
        assert_eq!(node.text(MANIFEST), "manifest");
    }
}
