//! A manifest that the kubelet doesn't see for a moment, so that it starts the pod again.

use std::time::Duration;

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::signal::SigSet;

use super::names::hidden_name;
use super::root::Root;

/// How long the kubelet is given to notice that a manifest is gone.
const HIDDEN: Duration = Duration::from_secs(2);

/// Takes a manifest out of the kubelet's sight for a moment: it starts the pod anew, even where it believes that nothing changed
/// (kubernetes/kubernetes#109596). No signal but SIGKILL ends this half way; [`unhide`] mends that.
///
/// Errors: the file system's.
pub fn show_again(root: &Root, path: &str) -> Result<()> {
    let slot = root.slot(path)?;
    let hidden = hidden_name(&slot.name);
    let all = SigSet::all();
    all.thread_block()?;
    let shown = || -> nix::Result<()> {
        slot.rename(&slot.name, &hidden)?;
        std::thread::sleep(HIDDEN);
        match slot.rename_new(&hidden, &slot.name) {
            // Somebody wrote another one meanwhile, which counts.
            Err(Errno::EEXIST) => slot.remove(&hidden)?,
            other => other?,
        }
        slot.sync()
    }();
    all.thread_unblock()?;
    shown.map_err(|errno| root.error("show the kubelet again", path, errno))
}

/// Was a run killed in [`show_again`], or is it there just now?
pub fn is_hidden(root: &Root, path: &str) -> Result<bool> {
    let Some((dir, name)) = path.rsplit_once('/') else { return Ok(false) };
    let hidden = format!("{dir}/{}", hidden_name(name));
    Ok(root.stat(path)?.is_none() && root.stat(&hidden)?.is_some())
}

/// Puts back a manifest that a run was killed over in [`show_again`]. To be called with the lock held.
///
/// Errors: the file system's.
pub fn unhide(root: &Root, path: &str) -> Result<()> {
    if is_hidden(root, path)? {
        log::warn!("{path}: a run was killed while it was hidden from the kubelet; it is put back");
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
        // Nobody else sees the mask of a thread but by what the kernel tells of it.
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
        // A run was killed.
        let slot = node.root.slot(MANIFEST).unwrap();
        slot.rename(&slot.name, &hidden_name(&slot.name)).unwrap();
        assert!(is_hidden(&node.root, MANIFEST).unwrap());
        unhide(&node.root, MANIFEST).unwrap();
        unhide(&node.root, MANIFEST).unwrap();
        assert_eq!(node.text(MANIFEST), "manifest");
        // Two of them: the other is newer.
        node.put("/etc/kubernetes/manifests/.kube-apiserver.yaml.kube-audit-bootstrap-hidden", "old");
        unhide(&node.root, MANIFEST).unwrap();
        assert_eq!(node.text(MANIFEST), "manifest");
    }
}
