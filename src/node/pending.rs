//! Remembers that a run is not proved yet: which run it is, and what a rollback needs.

use anyhow::{Result, anyhow};
use nix::errno::Errno;

use super::backup::{FILE_LIMIT, Id, list, newest_id};
use super::names::unproved_name;
use super::root::{Root, split, warn_on_error};
use crate::facts::backup::{Set, fingerprint};
use crate::path::STATE;

/// Exists while a run waits for its proof, or if such a run was interrupted. It has the ID of the newest backup before
/// the run.
const UNPROVED: &str = "/var/lib/kube-audit-bootstrap/unproved";

/// Records that a run has to be proved. Call it before the run changes anything, and with the lock held. If an
/// earlier run is not proved yet, a rollback goes back to the state before that run.
///
/// # Errors
///
/// The file system reports an error.
pub fn begin(root: &Root, manifest: &str) -> Result<()> {
    // A hard link keeps the previous manifest, so that a rollback needs no space.
    let slot = root.slot(&root.real(manifest)?)?;
    let kept = unproved_name(&slot.name);
    let is_killed = unproved_set(root)?.is_some();
    let is_kept = root.stat(&format!("{}/{kept}", split(&slot.path)?.0))?.is_some();
    if !(is_killed && is_kept)
        && let Err(errno) = slot.link(&kept)
    {
        // Without it, a rollback uses only the backup.
        log::info!("{manifest}: can't make a hard link to it ({})", errno.desc());
    }
    if is_killed {
        return Ok(());
    }
    root.make_private(STATE)?;
    root.replace(UNPROVED, &newest_id(root)?)
}

/// Removes that record: the run is proved, or rolled back, or a later run ended that needs no proof. Call it with the
/// lock held. A failure is only a warning.
pub fn end(root: &Root, manifest: &str) {
    warn_on_error(forget(root, UNPROVED));
    let real = root.real(manifest).unwrap_or_else(|_| manifest.to_owned());
    if let Ok((directory, name)) = split(&real) {
        warn_on_error(forget(root, &format!("{directory}/{}", unproved_name(name))));
    }
}

/// Whether a run is recorded as not proved, also if it changed nothing.
///
/// # Errors
///
/// The record can't be read.
pub(super) fn is_marked(root: &Root) -> Result<bool> {
    Ok(root.stat(UNPROVED)?.is_some())
}

/// Begins the second line of the record: the ID of the run whose rollback is not finished.
const ROLLBACK: &str = "rollback ";

/// Records that the settings of the run `id` are still in the cluster's kubeadm configuration while the files go back,
/// or, with `None`, that they are not. The next run finishes an interrupted rollback.
///
/// # Errors
///
/// The file system reports an error.
pub fn mark_rollback(root: &Root, id: Option<&str>) -> Result<()> {
    let record =
        root.read(UNPROVED, FILE_LIMIT)?.map(|record| String::from_utf8_lossy(&record.bytes).into_owned());
    let before = record.as_ref().and_then(|record| record.lines().next()).unwrap_or_default();
    match id {
        None if record.is_none() => Ok(()),
        None => root.replace(UNPROVED, before),
        Some(id) => {
            root.make_private(STATE)?;
            root.replace(UNPROVED, &format!("{before}\n{ROLLBACK}{id}"))
        }
    }
}

/// The run whose rollback has put the files back, and not yet the cluster's kubeadm configuration. `None` also if the
/// manifest is what the run wrote: somebody put that back, and the cluster's settings fit.
///
/// # Errors
///
/// The record or a backup can't be read.
pub fn unfinished_rollback(root: &Root, manifest: &str) -> Result<Option<String>> {
    let Some(text) = root.read(UNPROVED, FILE_LIMIT)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&text.bytes);
    let id = text.lines().find_map(|line| line.strip_prefix(ROLLBACK)).map(str::to_owned);
    let Some(id) = id else { return Ok(None) };
    let now = root.read(manifest, FILE_LIMIT).ok().flatten().map(|now| fingerprint(&now.bytes));
    let sets = list(root)?;
    let mut written = sets.iter().filter(|set| set.id == id).flat_map(|set| &set.records);
    let stands = now.is_some() && written.any(|record| record.path == manifest && record.left(now));
    // Until the files are back, the whole rollback is to be made.
    Ok(Some(id).filter(|_| !stands && matches!(unproved_set(root), Ok(None))))
}

fn forget(root: &Root, path: &str) -> Result<()> {
    if root.stat(path)?.is_none() {
        return Ok(());
    }
    let slot = root.slot(path)?;
    slot.remove(&slot.name).and_then(|()| slot.sync()).map_err(|errno| root.error("remove", path, errno))
}

/// Puts back only the manifest of before an unproved run, by one rename. For the case that a restore fails, such as
/// on a full disk.
///
/// # Errors
///
/// The previous manifest was not kept, as on a file system without hard links. Something else changed the manifest
/// since.
pub fn put_manifest_back(root: &Root, manifest: &str) -> Result<()> {
    let failed = |errno| match errno {
        Errno::EEXIST => anyhow!("{manifest}: something else changed this since, so it stays"),
        errno => root.error("put back", manifest, errno),
    };
    let slot = root.slot(&root.real(manifest)?)?;
    let now = slot.standing(&slot.name).map_err(failed)?;
    let sets = list(root)?;
    let mut written = sets.iter().flat_map(|set| &set.records).filter(|record| record.path == manifest);
    let ours = now.filter(|now| written.any(|record| record.left(Some(now.print))));
    slot.put_back(&unproved_name(&slot.name), &ours.ok_or(Errno::EEXIST).map_err(failed)?).map_err(failed)
}

/// The backup that a rollback goes back to: that of the run that is to be proved, or of the first interrupted run
/// before it. `None` if it was restored already.
///
/// # Errors
///
/// A backup can't be read.
pub fn unproved_set(root: &Root) -> Result<Option<Set>> {
    let Some(text) = root.read(UNPROVED, FILE_LIMIT)? else { return Ok(None) };
    let before = Id::parse(String::from_utf8_lossy(&text.bytes).lines().next().unwrap_or_default());
    let is_later = |set: &Set| before.is_none() || Id::parse(&set.id) > before;
    let later = list(root)?.into_iter().take_while(is_later);
    // An interrupted restore may not have reached the manifest.
    Ok(later.take_while(|set| !set.why.is_restore() || !set.complete).last())
}

#[cfg(test)]
mod tests {
    use super::super::backup;
    use super::super::testing::{MANIFEST, Node, POLICY, at};
    use super::*;
    use crate::facts::backup::Why;

    fn node() -> Node {
        Node::with(&[(MANIFEST, "old"), (POLICY, "old policy"), ("/var/lib/x", "")])
    }

    #[test]
    fn the_manifest_alone_comes_back_by_a_rename() {
        let node = node();
        begin(&node.root, MANIFEST).unwrap();
        node.apply(&[node.write(POLICY, "policy"), node.write(MANIFEST, "first")], 0).unwrap();
        // A run is interrupted, and then another one.
        begin(&node.root, MANIFEST).unwrap();
        node.apply(&[node.write(MANIFEST, "second")], 1).unwrap();
        node.put(MANIFEST, "by hand");
        assert!(put_manifest_back(&node.root, MANIFEST).unwrap_err().to_string().contains("so it stays"));
        node.put(MANIFEST, "second");
        put_manifest_back(&node.root, MANIFEST).unwrap();
        assert_eq!((node.text(MANIFEST), node.text(POLICY)), ("old".to_owned(), "policy".to_owned()));
        assert!(put_manifest_back(&node.root, MANIFEST).is_err());
        assert_eq!(node.text(MANIFEST), "old");
    }

    #[test]
    fn what_is_not_proved_is_remembered_until_it_is_put_back() {
        let node = node();
        let id = node.apply(&[node.write(POLICY, "policy")], 0).unwrap().unwrap();
        assert_eq!(unproved_set(&node.root).unwrap(), None);
        begin(&node.root, MANIFEST).unwrap();
        assert_eq!(unproved_set(&node.root).unwrap(), None, "what was before is no matter of this proof");
        let second = node.apply(&[node.write(POLICY, "another")], 1).unwrap();
        assert_ne!(Some(id), second);
        assert_eq!(unproved_set(&node.root).unwrap().map(|set| set.id), second);
        begin(&node.root, MANIFEST).unwrap();
        node.apply(&[node.write(POLICY, "a third")], 2).unwrap();
        assert_eq!(unproved_set(&node.root).unwrap().map(|set| set.id), second, "one that was killed comes first");
        node.restore(second.as_deref(), 3);
        assert_eq!(unproved_set(&node.root).unwrap(), None, "it was put back");
        end(&node.root, MANIFEST);
        end(&node.root, MANIFEST);
        assert!(!node.names().iter().any(|name| name.contains("unproved")), "{:?}", node.names());
        assert!(node.root.stat("/var/lib/kube-audit-bootstrap/unproved").unwrap().is_none());
    }

    #[test]
    fn a_rollback_is_not_finished_until_the_cluster_is_put_back() {
        let node = node();
        let unfinished = || unfinished_rollback(&node.root, MANIFEST).unwrap();
        mark_rollback(&node.root, None).unwrap();
        assert_eq!(unfinished(), None);
        begin(&node.root, MANIFEST).unwrap();
        let id = node.apply(&[node.write(MANIFEST, "new")], 0).unwrap().unwrap();
        mark_rollback(&node.root, Some(&id)).unwrap();
        assert_eq!(unfinished(), None, "nothing is back yet");
        assert_eq!(unproved_set(&node.root).unwrap().map(|set| set.id), Some(id.clone()));
        node.restore(Some(&id), 1);
        assert_eq!((unfinished(), unproved_set(&node.root).unwrap()), (Some(id.clone()), None));
        node.put(MANIFEST, "new");
        assert_eq!(unfinished(), None, "somebody put back what the run wrote");
        node.put(MANIFEST, "old");
        mark_rollback(&node.root, None).unwrap();
        assert_eq!(unfinished(), None);
        end(&node.root, MANIFEST);
        // The wait is over, and the cluster could not be asked.
        mark_rollback(&node.root, Some(&id)).unwrap();
        assert_eq!(unfinished(), Some(id));
    }

    #[test]
    fn a_restore_that_was_cut_off_put_nothing_back() {
        let node = node();
        begin(&node.root, MANIFEST).unwrap();
        let id = node.apply(&[node.write(MANIFEST, "new")], 0).unwrap();
        let unproved = || unproved_set(&node.root).unwrap().map(|set| set.id);
        // The run is interrupted after it has written its backup.
        backup::begin(&node.root, &[node.write(MANIFEST, "old")], &Why::Restore, at(1)).unwrap();
        assert_eq!(unproved(), id);
        // The next run finds nothing to do, or makes changes of its own.
        for changes in [vec![], vec![node.write(POLICY, "policy")]] {
            node.apply(&changes, 2).unwrap();
            assert_eq!(unproved(), id, "the way back is the same");
            backup::begin(&node.root, &[node.write(MANIFEST, "old")], &Why::Restore, at(3)).unwrap();
        }
        node.restore(None, 4);
        node.restore(id.as_deref(), 5);
        assert_eq!((node.text(MANIFEST).as_str(), unproved()), ("old", None));
        let whys: Vec<_> = backup::list(&node.root).unwrap().into_iter().map(|set| set.why.to_string()).collect();
        let cut = "restore, cut off";
        assert_eq!(whys, ["restore", "restore", cut, "apply", cut, cut, "apply"]);
    }
}
