//! Hides a manifest from the kubelet, so that the kubelet ends its pod, or restarts it.
//!
//! While it is hidden, nothing would start the API server again, so a [`Net`] is spread before. These are the states
//! of the directory in which a run or the power can end, in their order. In each of them, one manifest is in place, or
//! the net puts one there. *Hidden* is the name that hides, *kept* the name of the previous file.
//!
//! | state | the manifest | hidden | kept | what comes next, by the run, the guard, the next boot or the next run |
//! |---|---|---|---|---|
//! | staged | previous | | previous | the previous manifest stays |
//! | spread | previous | | previous | the same; the next run removes the line for the next boot |
//! | both | previous | new | previous | the same; the next run removes what is hidden (`leftovers`) |
//! | bare | previous | new | | the same |
//! | hidden | | new | previous | the guard, the boot or the next run puts the new one in place |
//! | shown | new | | previous | the new manifest stays; the next run removes the line |
//! | booted | link to hidden | new | previous | the kubelet reads the link; the next run puts the new one in place |
//!
//! The new manifest is whole and durable before it gets the name that hides. No state has another manifest hidden than
//! the one that the kubelet must run next: [`show_again`] hides the one that was there, a [`Hide`] the new one. What
//! somebody else writes at the manifest's own name meanwhile counts, and what is hidden then goes. The link that a boot
//! makes there is no such thing ([`net`]).

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::sys::signal::SigSet;

use super::leaving::{Traces, is_watched};
use super::names::{hidden_name, kept_name};
use super::net::{self, Net, hidden_path};
use super::root::{Root, Slot, split, warn_on_error};
use crate::facts::file::Snapshot;
use crate::facts::server::Remains;
use crate::yaml::tree::MAX_BYTES;

/// How long [`show_again`] hides the manifest: long enough for the kubelet to notice.
const HIDDEN: Duration = Duration::from_secs(2);

/// What spreads a net under a manifest: [`Net::spread`], or in tests, nothing.
type Spread = fn(&Root, &Slot, &[String]) -> Result<Net>;

/// How a manifest is hidden while a new one takes its place.
#[derive(Debug)]
pub struct Hide {
    path: String,
    traces: Traces,
    /// The words by which the guard ends the previous API server if the run can't; none if it does not.
    ends: Vec<String>,
    spread: Spread,
}

impl Hide {
    /// How the manifest at `path` is hidden, until the kubelet has finished the previous pod, whose traces these are.
    ///
    /// # Errors
    ///
    /// Why it is not hidden.
    pub fn of(root: &Root, path: &str, traces: Option<Traces>, ends: Vec<String>) -> Result<Hide> {
        net::check(root, path)?;
        let directory = root.stat(split(path)?.0)?.map(|directory| directory.identity.inode);
        ensure!(
            directory.is_some_and(is_watched),
            "nothing tells the kubelet of changes in the manifest directory"
        );
        let traces = traces.context("the control group of its pod can't be seen")?;
        let spread: Spread = |root, slot, ends| Net::spread(root, &slot.path, ends);
        Ok(Hide { path: path.to_owned(), traces, ends, spread })
    }

    /// One for tests, in which no kubelet and no systemd runs. `has_net`: whether the net can be had, without a guard.
    #[cfg(test)]
    pub(super) fn in_test(path: &str, has_net: bool) -> Hide {
        let none: Spread = |_, _, _| Err(anyhow!("no net"));
        let some: Spread = |root, slot, _| Net::with_line(root, &slot.path);
        let spread = if has_net { some } else { none };
        Hide { path: path.to_owned(), traces: Traces::none(), ends: Vec::new(), spread }
    }

    /// Is it the manifest at this path that is hidden?
    pub(super) fn is_of(&self, slot: &Slot) -> bool {
        self.path == slot.path
    }

    /// Spreads the net. The temporary file `new` beside the manifest gets the name that hides.
    ///
    /// # Errors
    ///
    /// There is no net, or the file system reports an error. Then `new` has its name again.
    pub(super) fn stage(self, root: &Root, slot: &Rc<Slot>, new: &str) -> Result<Hidden> {
        let net = (self.spread)(root, slot, &self.ends)?;
        let hidden = hidden_name(&slot.name);
        let content = slot
            .rename(new, &hidden)
            .and_then(|()| slot.sync())
            .map_err(|errno| root.error("hide the new manifest beside", &slot.path, errno));
        let content = content.and_then(|()| {
            let content = root.read(&hidden_path(&slot.path)?, MAX_BYTES)?;
            content.with_context(|| {
                format!("{}: something removes what is hidden, so the manifest is not hidden", slot.path)
            })
        });
        let content = content.inspect_err(|_| {
            // The first error is the one to report.
            let _ = slot.rename(&hidden, new);
        })?;
        Ok(Hidden { slot: Rc::clone(slot), content, traces: self.traces, net, is_shown: false })
    }
}

/// A manifest that is hidden from the kubelet. When this value goes, the manifest is in place.
#[derive(Debug)]
pub struct Hidden {
    slot: Rc<Slot>,
    content: Snapshot,
    traces: Traces,
    net: Net,
    is_shown: bool,
}

impl Hidden {
    /// Takes the previous manifest away. It keeps its second name.
    pub(super) fn take_away(&self) -> nix::Result<()> {
        let (slot, kept) = (&self.slot, kept_name(&self.slot.name));
        // If a kept file were the same file, rename(2) would do nothing.
        slot.remove(&kept).and_then(|()| slot.rename(&slot.name, &kept))
    }

    /// Removes the new manifest, which never gets its place.
    pub(super) fn discard(mut self) -> nix::Result<()> {
        self.is_shown = true;
        self.slot.remove(&hidden_name(&self.slot.name))
    }

    /// What the kubelet still has of the previous pod.
    pub fn remains(&self) -> Remains {
        self.traces.look()
    }

    /// Puts the manifest in place.
    ///
    /// # Errors
    ///
    /// The file system reports an error. The net stays.
    pub fn show(&mut self) -> Result<()> {
        if self.is_shown {
            return Ok(());
        }
        let shown = show(&self.slot, Some(&self.content));
        self.is_shown = shown.is_ok();
        self.net.stays = shown.is_err();
        shown.map_err(|errno| {
            anyhow!(
                "{}: can't put it in place ({}); run kube-audit-bootstrap apply, which tries again",
                self.slot.path,
                errno.desc()
            )
        })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        warn_on_error(self.show());
    }
}

/// Gives what is hidden the manifest's own name. What another program wrote there meanwhile counts. `content`: what is
/// hidden, as far as it is known: another program may remove a file that it does not know.
fn show(slot: &Slot, content: Option<&Snapshot>) -> nix::Result<()> {
    let hidden = hidden_name(&slot.name);
    match slot.rename_new(&hidden, &slot.name) {
        Err(Errno::EEXIST) if is_link_to_hidden(slot) => slot.rename(&hidden, &slot.name)?,
        Err(Errno::EEXIST) => slot.remove(&hidden)?,
        Err(Errno::ENOENT) if slot.identity_of(&slot.name) == Err(Errno::ENOENT) => {
            let content = content.ok_or(Errno::ENOENT)?;
            log::warn!("{}: something else removed it while it was hidden; writing it again", slot.path);
            slot.create(&hidden, &content.bytes, Some(&content.attributes))?;
            slot.rename_new(&hidden, &slot.name)?;
        }
        // The guard was quicker.
        Err(Errno::ENOENT) => {}
        other => other?,
    }
    slot.sync()
}

/// Whether a boot has made a link to what is hidden (`net`).
fn is_link_to_hidden(slot: &Slot) -> bool {
    hidden_path(&slot.path).is_ok_and(|hidden| slot.is_link_to(&hidden))
}

/// Hides a manifest from the kubelet for a moment, so that the kubelet restarts the pod even if it sees no change
/// (kubernetes/kubernetes#109596). Only SIGKILL can interrupt this; where a net can be had, it repairs that.
///
/// # Errors
///
/// The file system reports an error.
pub fn show_again(root: &Root, path: &str) -> Result<()> {
    let slot = root.slot(path)?;
    let hidden = hidden_name(&slot.name);
    let net = Net::spread(root, path, &[]);
    let mut net = net.inspect_err(|why| log::info!("{path}: hidden without a net: {why:#}")).ok();
    let content = root.read(path, MAX_BYTES)?;
    let all = SigSet::all();
    all.thread_block()?;
    let shown = || -> nix::Result<()> {
        slot.rename(&slot.name, &hidden)?;
        std::thread::sleep(HIDDEN);
        show(&slot, content.as_ref())
    }();
    all.thread_unblock()?;
    if let Some(net) = &mut net {
        net.stays = shown.is_err();
    }
    shown.map_err(|errno| root.error("restart the pod of", path, errno))
}

/// Whether the manifest is hidden: by a run that still works, or that was interrupted. A link that a boot has made to it
/// counts as hidden, too.
pub fn is_hidden(root: &Root, path: &str) -> Result<bool> {
    if root.stat(&hidden_path(path)?)?.is_none() {
        return Ok(false);
    }
    Ok(root.stat(path)?.is_none() || is_link_to_hidden(&root.slot(path)?))
}

/// Puts back a manifest that an interrupted run left hidden. Call it with the lock held.
///
/// # Errors
///
/// The file system reports an error.
pub fn unhide(root: &Root, path: &str) -> Result<()> {
    if is_hidden(root, path)? {
        log::warn!("{path}: an interrupted run left it hidden from the kubelet; putting it back");
        put_in_place(root, path)?;
    }
    Ok(())
}

/// Puts a manifest in place if it is hidden.
///
/// # Errors
///
/// The file system reports an error.
pub fn put_in_place(root: &Root, path: &str) -> Result<()> {
    if is_hidden(root, path)? {
        show(&root.slot(path)?, None).map_err(|errno| root.error("put back", path, errno))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal;

    use super::super::leftovers;
    use super::super::net::LINE;
    use super::super::testing::{MANIFEST, Node, POLICY, at};
    use super::super::transaction::execute_hiding;
    use super::*;
    use crate::facts::backup::Why;

    const NAME: &str = "/etc/kubernetes/manifests/.kube-apiserver.yaml.kube-audit-bootstrap-hidden";
    const KEPT: &str = "/etc/kubernetes/manifests/.kube-apiserver.yaml.kube-audit-bootstrap-old";

    /// The line, before it has its name.
    const NEW_LINE: &str = "/etc/tmpfiles.d/.kube-audit-bootstrap-hidden.conf.kube-audit-bootstrap";

    /// Hides `new` in the place of what is there.
    fn hide(node: &Node, has_net: bool) -> Option<Hidden> {
        let changes = [node.write(MANIFEST, "new")];
        let hide = Hide::in_test(MANIFEST, has_net);
        execute_hiding(&node.root, &changes, &Why::Apply, at(0), Some(hide)).unwrap().hidden
    }

    /// systemd has a directory for the line of the next boot.
    fn node() -> Node {
        Node::with(&[(MANIFEST, "old"), ("/etc/tmpfiles.d/other.conf", "")])
    }

    #[test]
    fn a_new_manifest_is_hidden_until_it_is_shown_or_forgotten() {
        for is_shown in [true, false] {
            let node = node();
            let names = node.names();
            let mut hidden = hide(&node, true).unwrap();
            assert!(is_hidden(&node.root, MANIFEST).unwrap());
            assert_eq!((node.text(NAME).as_str(), node.mode(NAME), node.exists(KEPT)), ("new", 0o600, false));
            assert!(node.exists(LINE));
            assert_eq!(node.sets(), ["20261124T121326Z"], "the backup is whole");
            if is_shown {
                hidden.show().unwrap();
                assert_eq!(node.text(MANIFEST), "new");
            }
            drop(hidden);
            assert_eq!((node.text(MANIFEST).as_str(), node.names()), ("new", names));
        }
    }

    #[test]
    fn a_manifest_is_not_hidden_without_a_net_nor_is_another_file() {
        let node = node();
        let names = node.names();
        assert!(hide(&node, false).is_none());
        assert_eq!((node.text(MANIFEST).as_str(), node.names()), ("new", names));
        node.put(POLICY, "old");
        let policy = [node.write(POLICY, "new")];
        let other = execute_hiding(&node.root, &policy, &Why::Apply, at(1), Some(Hide::in_test(MANIFEST, true)));
        assert!(other.unwrap().hidden.is_none());
        assert_eq!(node.text(POLICY), "new");
    }

    /// systemd takes its time to start the guard.
    #[test]
    fn what_somebody_does_while_the_net_is_spread_is_not_lost() {
        let saves: Spread = |root, slot, _| {
            slot.create(&slot.name, b"saved", None)?;
            Net::with_line(root, &slot.path)
        };
        let saves_without_net: Spread = |_, slot, _| {
            slot.create(&slot.name, b"saved", None)?;
            Err(anyhow!("no net"))
        };
        let removes: Spread = |root, slot, _| {
            slot.remove(&slot.name)?;
            Net::with_line(root, &slot.path)
        };
        for (spread, left) in [(saves, Some("saved")), (saves_without_net, Some("saved")), (removes, None)] {
            let node = node();
            let changes = [node.write(MANIFEST, "new")];
            let hide = Hide { spread, ..Hide::in_test(MANIFEST, true) };
            let error =
                execute_hiding(&node.root, &changes, &Why::Apply, at(0), Some(hide)).unwrap_err().to_string();
            assert!(error.contains("changed by another program meanwhile"), "{error}");
            assert_eq!(node.exists(MANIFEST).then(|| node.text(MANIFEST)).as_deref(), left);
            assert!(![NAME, KEPT, LINE].iter().any(|name| node.exists(name)), "{:?}", node.names());
        }
    }

    #[test]
    fn what_somebody_else_puts_in_place_counts() {
        let node = node();
        let hidden = hide(&node, true).unwrap();
        node.put(MANIFEST, "by somebody else");
        drop(hidden);
        assert_eq!((node.text(MANIFEST).as_str(), node.exists(NAME)), ("by somebody else", false));
        // The guard, the boot or another run was quicker, and its manifest was changed since.
        let hidden = hide(&node, true).unwrap();
        put_in_place(&node.root, MANIFEST).unwrap();
        node.put(MANIFEST, "changed since");
        drop(hidden);
        assert_eq!((node.text(MANIFEST).as_str(), node.exists(NAME)), ("changed since", false));
    }

    /// Such as `rsync --delete`.
    #[test]
    fn what_something_else_removes_while_it_is_hidden_is_written_again() {
        let node = node();
        let names = node.names();
        let mut hidden = hide(&node, true).unwrap();
        std::fs::remove_file(node.host(NAME)).unwrap();
        hidden.show().unwrap();
        drop(hidden);
        assert_eq!((node.text(MANIFEST).as_str(), node.mode(MANIFEST), node.names()), ("new", 0o600, names));
    }

    #[test]
    fn a_run_that_fails_while_the_manifest_is_hidden_puts_the_previous_one_back() {
        let node = node();
        node.put("/var/lib/y", "");
        let before = node.names();
        let changes = [node.write(MANIFEST, "new"), node.fail_late("/var/lib/y")];
        let hide = Some(Hide::in_test(MANIFEST, true));
        let error = execute_hiding(&node.root, &changes, &Why::Apply, at(0), hide).unwrap_err().to_string();
        assert!(error.ends_with("the node is as it was"), "{error}");
        assert_eq!((node.text(MANIFEST).as_str(), node.names()), ("old", before));
    }

    /// The states of this module's head, each as a run or the power left it.
    #[test]
    fn in_each_state_one_manifest_is_in_place_after_the_next_run() {
        for (state, there, hidden, kept, comes) in [
            ("staged", Some("old"), None, Some("old"), "old"),
            ("both", Some("old"), Some("new"), Some("old"), "old"),
            ("bare", Some("old"), Some("new"), None, "old"),
            ("hidden", None, Some("new"), Some("old"), "new"),
            ("shown", Some("new"), None, Some("old"), "new"),
            ("booted", Some("-> hidden"), Some("new"), Some("old"), "new"),
        ] {
            let node = node();
            node.apply(&[node.write(MANIFEST, "first")], 0).unwrap();
            std::fs::remove_file(node.host(MANIFEST)).unwrap();
            for (path, text) in
                [(MANIFEST, there), (NAME, hidden), (KEPT, kept), (LINE, Some("L a")), (NEW_LINE, Some("L"))]
            {
                match text {
                    Some("-> hidden") => node.link(path, NAME),
                    Some(text) => node.put(path, text),
                    None => {}
                }
            }
            let is_away = ["hidden", "booted"].contains(&state);
            assert_eq!(is_hidden(&node.root, MANIFEST).unwrap(), is_away, "{state}");
            assert!(leftovers::exist(&node.root).unwrap(), "{state}");
            // A run may tidy up before it looks at the manifest.
            leftovers::clear(&node.root).unwrap();
            assert_eq!(is_hidden(&node.root, MANIFEST).unwrap(), is_away, "{state}");
            unhide(&node.root, MANIFEST).unwrap();
            assert_eq!(node.text(MANIFEST), comes, "{state}");
            assert!(node.host(MANIFEST).symlink_metadata().unwrap().is_file(), "{state}");
            node.apply(&[], 1).unwrap();
            assert_eq!(node.text(MANIFEST), comes, "{state}");
            assert!(!leftovers::exist(&node.root).unwrap(), "{state}");
            for path in [NAME, KEPT, LINE, NEW_LINE] {
                assert!(!node.exists(path), "{state}: {path}");
            }
        }
    }

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
