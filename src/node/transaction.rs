//! Executes changes: all of them, or none.
//!
//! At every moment, a file is the previous or the new one in full. The new file is written under a dot-name beside
//! its target, made durable, and then renamed over it. In the manifest directory this is one event for the kubelet.
//! The kubelet ignores names that begin with a dot, and would run every other file (kubernetes/kubernetes#55596). The
//! previous file keeps a second name until the run has ended, so that undoing needs no space.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::SystemTime;

use anyhow::{Result, anyhow, bail, ensure};
use nix::errno::Errno;
use nix::sys::stat::{Mode, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, fsync, getegid, geteuid, unlinkat};

use super::backup;
use super::cluster;
use super::device;
use super::disk::{self, MountStep};
use super::hidden::{Hidden, Hide};
use super::leftovers;
use super::names::{kept_name, temporary_name};
use super::obstacle;
use super::root::{Root, Slot, Standing, set_attributes, split, warn_on_error};
use super::storage::mounted_at;
use crate::change::{Change, KUBEADM_CONFIG};
use crate::facts::backup::{Set, Why};
use crate::facts::file::{Attributes, FileKind, Snapshot};
use crate::storage::blank::Content;
use crate::storage::unit::UNITS;

/// What a run did.
#[derive(Debug, Default)]
pub struct Executed {
    /// The ID of the backup; `None` if nothing was done.
    pub backup: Option<String>,
    /// The directories that could not be removed, each with the reason.
    pub left: Vec<(String, String)>,
    /// The new manifest, if it is hidden.
    pub hidden: Option<Hidden>,
}

/// Executes `changes` in their order. Call it with the lock held. It first cleans up after earlier runs. On success all
/// changes are durable; a failure to clean up after them is only a warning.
///
/// # Errors
///
/// A path changed since the changes were planned; a change failed. In both cases the node is as it was, unless the
/// error says what is not, and where its copy is.
pub fn execute(root: &Root, changes: &[Change], why: &Why, now: SystemTime) -> Result<Executed> {
    execute_hiding(root, changes, why, now, None)
}

/// Does as [`execute`], and hides the new manifest from the kubelet, where `hide` says how, and if its net can be had.
///
/// # Errors
///
/// As [`execute`]. The manifest is not hidden then.
pub fn execute_hiding(
    root: &Root,
    changes: &[Change],
    why: &Why,
    now: SystemTime,
    hide: Option<Hide>,
) -> Result<Executed> {
    backup::recover(root)?;
    warn_on_error(leftovers::clear(root));
    if changes.is_empty() {
        backup::complete_partial(root, why)?;
        return Ok(Executed::default());
    }
    match first_stale(root, changes)? {
        None => {}
        Some(Stale::Changed(path)) => {
            bail!("{} was changed by something else meanwhile; nothing was written: run again", root.shown(path))
        }
        Some(Stale::Unreadable(error)) => bail!("{error:#}; nothing was written: run again"),
    }
    if let Some((path, obstacle)) = obstacle::first(root, changes)? {
        bail!(
            "{}: {obstacle}; nothing was written; {}, and run this again",
            root.shown(path),
            obstacle.remedy(path, &root.on_machine())
        );
    }
    let set = backup::begin(root, changes, why, now)?;
    let mut undo = Vec::new();
    let mut hiding = Hiding { hide, hidden: None };
    let staged = stage(root, changes, &mut undo);
    let kept = match staged.and_then(|slots| commit(root, changes, slots, &mut undo, &mut hiding)) {
        Ok(kept) => kept,
        Err(error) => {
            // Only what is in place can be undone.
            drop(hiding);
            return Err(take_back(root, undo, &set, error));
        }
    };
    for slot in kept {
        let removed = slot.remove(&kept_name(&slot.name));
        warn_on_error(removed.map_err(|errno| root.error("remove the previous file beside", &slot.path, errno)));
    }
    // Only now are the kept files out of the directories that are to be removed. A directory that is not empty stays:
    // a log that was written meanwhile is worth more than a tidy node.
    let mut left = Vec::new();
    for change in changes {
        if let Change::RemoveDirectory { path, .. } = change
            && let Err(error) = remove_directory(root, path)
        {
            left.push((path.clone(), format!("{error:#}")));
        }
    }
    let is_unit = |change: &Change| change.path().starts_with(UNITS);
    if root.is_host() && changes.iter().any(is_unit) {
        warn_on_error(disk::reload());
    }
    if left.len() == changes.len() {
        warn_on_error(backup::abandon(root, &set));
        return Ok(Executed { left, ..Executed::default() });
    }
    warn_on_error(backup::finish(root, &set));
    Ok(Executed { backup: Some(set.id), left, hidden: hiding.hidden })
}

/// The manifest that is to be hidden, or is hidden.
#[derive(Default)]
struct Hiding {
    hide: Option<Hide>,
    hidden: Option<Hidden>,
}

/// Why a change does not fit any more.
#[derive(Debug)]
pub enum Stale<'c> {
    /// The path was changed since the change was planned.
    Changed(&'c str),
    /// It is not known whether it was changed.
    Unreadable(anyhow::Error),
}

/// The first change that does not fit any more; `None` if all do.
pub fn first_stale<'c>(root: &Root, changes: &'c [Change]) -> Result<Option<Stale<'c>>> {
    for change in changes {
        if let Change::WriteCluster { before, .. } = change {
            match cluster::read() {
                Ok(now) if now == *before => continue,
                Ok(_) => return Ok(Some(Stale::Changed(change.path()))),
                Err(error) => return Ok(Some(Stale::Unreadable(error))),
            }
        }
        if !holds(root, change)? {
            return Ok(Some(Stale::Changed(change.path())));
        }
    }
    Ok(None)
}

/// Whether a path is still as it was when its change was planned.
fn holds(root: &Root, change: &Change) -> Result<bool> {
    let path = change.path();
    Ok(match change {
        Change::CreateDirectory { .. } => root.stat(path)?.is_none(),
        Change::WriteFile { before: None, .. } => root.stat(path)?.is_none() || root.is_stand_in(path),
        Change::SetAttributes { before, .. } => root.stat(path)?.is_some_and(|entry| entry.attributes == *before),
        Change::WriteFile { before: Some(before), .. }
        | Change::MoveAway { before, .. }
        | Change::RemoveFile { before, .. } => is_as_before(root, path, before),
        // `cluster::replace` compares it once more.
        Change::WriteCluster { .. } => true,
        Change::Format { device, .. } => device::judge_content(device)? == Content::Blank,
        Change::Mount { .. } => mounted_at(path)?.is_none(),
        Change::Unmount { .. } => true,
        Change::RemoveDirectory { before, .. } => {
            root.stat(path)?.is_some_and(|entry| entry.kind == FileKind::Directory && entry.attributes == *before)
        }
    })
}

/// The same file with the same text: a run that was undone leaves the same text in another file.
fn is_as_before(root: &Root, path: &str, before: &Snapshot) -> bool {
    matches!(root.read(path, before.bytes.len()), Ok(Some(now)) if now == *before)
}

/// What undoes one step.
enum Undo {
    /// Remove a temporary or kept file, if it is still there.
    Unlink(Rc<Slot>, String),
    /// Rename the kept file back, if what the run wrote is there.
    PutBack(Rc<Slot>, Standing),
    /// Rename the kept file back, if nothing is there.
    Return(Rc<Slot>),
    /// Remove a created file.
    Remove(Rc<Slot>, Standing),
    /// Remove a created directory.
    RemoveDirectory(Slot),
    /// Make the empty directory again that stood in for a file.
    MakeDirectory(Rc<Slot>),
    /// Set the previous attributes of a file or directory that is held open.
    SetAttributes(String, OwnedFd, Attributes),
    /// A device was formatted, in full or in part. This can't be undone.
    Formatted(String),
    /// Put back the directory that was renamed before a disk was mounted.
    PutAsideBack(String),
    /// Unmount what was mounted at a directory.
    Unmount(String),
    /// Put back the text of the cluster's kubeadm configuration: the new text, and the previous one.
    Cluster(String, String),
}

/// Makes the directories, writes the temporary files and keeps the previous ones. Returns the slot of each change to
/// a file.
fn stage(root: &Root, changes: &[Change], undo: &mut Vec<Undo>) -> Result<Vec<Option<Rc<Slot>>>> {
    let mut slots = Vec::with_capacity(changes.len());
    let mut seen = HashSet::new();
    for change in changes {
        let path = change.path();
        let slot = match change {
            Change::SetAttributes { .. }
            | Change::WriteCluster { .. }
            | Change::Format { .. }
            | Change::Mount { .. }
            | Change::Unmount { .. }
            | Change::RemoveDirectory { .. } => None,
            Change::CreateDirectory { attributes, .. } => {
                root.make_directory(path, attributes, &mut |made| undo.push(Undo::RemoveDirectory(made)))?;
                None
            }
            Change::WriteFile { before, bytes, attributes, .. } => {
                if before.is_none() {
                    make_parents(root, path, undo)?;
                }
                let slot = Rc::new(root.slot(&root.real(path)?)?);
                if let Some(before) = before {
                    // From here on, the directory is held.
                    expect_unchanged(root, &slot, before)?;
                    keep(root, &slot, before, undo)?;
                }
                let old = before.as_ref().and_then(|before| before.attributes.label.clone());
                let wanted = Attributes { label: attributes.label.clone().or(old), ..attributes.clone() };
                create(root, &slot, temporary_name(&slot.name), bytes, &wanted, undo)?;
                Some(slot)
            }
            Change::MoveAway { .. } | Change::RemoveFile { .. } => Some(Rc::new(root.slot(path)?)),
        };
        if let Some(slot) = &slot {
            let dir = fstat(&slot.dir).map_err(|errno| root.error("look at the directory of", path, errno))?;
            let first = seen.insert((dir.st_dev, dir.st_ino, slot.name.clone()));
            ensure!(
                first,
                "{} would be changed twice, under two names; configure only one of them",
                root.shown(path)
            );
        }
        slots.push(slot);
    }
    Ok(slots)
}

fn make_parents(root: &Root, path: &str, undo: &mut Vec<Undo>) -> Result<()> {
    let parent = split(path)?.0;
    if root.stat(parent)?.is_some() {
        return Ok(());
    }
    let attributes = Attributes::new(0o755, geteuid().as_raw(), getegid().as_raw());
    root.make_directory(parent, &attributes, &mut |made| undo.push(Undo::RemoveDirectory(made)))
}

/// Keeps the previous file under a second name: as a hard link, or as a copy if the file system has no hard links.
fn keep(root: &Root, slot: &Rc<Slot>, before: &Snapshot, undo: &mut Vec<Undo>) -> Result<()> {
    let name = kept_name(&slot.name);
    match slot.link(&name) {
        Ok(()) => undo.push(Undo::Unlink(Rc::clone(slot), name)),
        Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::EMLINK | Errno::ENOSYS) => {
            create(root, slot, name, &before.bytes, &before.attributes, undo)?;
        }
        Err(errno) => return Err(root.error("keep the previous file of", &slot.path, errno)),
    }
    Ok(())
}

fn create(
    root: &Root,
    slot: &Rc<Slot>,
    name: String,
    bytes: &[u8],
    attributes: &Attributes,
    undo: &mut Vec<Undo>,
) -> Result<()> {
    let created = slot.create(&name, bytes, Some(attributes));
    created.map_err(|errno| root.error("write beside", &slot.path, errno))?;
    undo.push(Undo::Unlink(Rc::clone(slot), name));
    Ok(())
}

/// Makes the changes, each durable before the next. Returns the slots that have a kept file.
fn commit(
    root: &Root,
    changes: &[Change],
    slots: Vec<Option<Rc<Slot>>>,
    undo: &mut Vec<Undo>,
    hiding: &mut Hiding,
) -> Result<Vec<Rc<Slot>>> {
    let mut kept = Vec::new();
    for (change, slot) in changes.iter().zip(slots) {
        let path = change.path();
        // An editor may have saved the file since, and its text must not be lost. Only the rename comes after this
        // check.
        match (change, &slot) {
            (Change::WriteFile { before: Some(before), .. }, Some(slot)) => expect_unchanged(root, slot, before)?,
            (Change::WriteFile { .. }, _) if !holds(root, change)? => bail!(changed_meanwhile(root, path)),
            _ => {}
        }
        match (change, slot) {
            (Change::WriteFile { before, .. }, Some(slot)) => {
                replace(root, &slot, before.as_ref(), undo, hiding)?;
                kept.extend(before.is_some().then_some(slot));
            }
            (Change::MoveAway { before, .. } | Change::RemoveFile { before, .. }, Some(slot)) => {
                move_away(root, &slot, before, undo)?;
                kept.push(slot);
            }
            (Change::SetAttributes { before, after, .. }, _) => {
                let held = hold(root, path)?;
                let failed = |errno| root.error("set the owner, mode or label of", path, errno);
                let set = set_attributes(&held, after).and_then(|()| fsync(&held));
                undo.push(Undo::SetAttributes(path.to_owned(), held, before.clone()));
                set.map_err(failed)?;
            }
            (Change::WriteCluster { before, after }, _) => {
                let mut sent = false;
                let replaced = cluster::replace(before, after, &mut sent);
                if sent {
                    undo.push(Undo::Cluster(after.clone(), before.clone()));
                }
                replaced?;
            }
            (Change::Format { device, format }, _) => {
                undo.push(Undo::Formatted(device.clone()));
                device::format(device, *format)?;
            }
            (Change::Mount { unit, attributes, log, begun, .. }, _) => {
                disk::mount(root, path, unit, attributes, (log, begun.as_ref()), &mut |done| {
                    undo.push(match done {
                        MountStep::Aside => Undo::PutAsideBack(path.to_owned()),
                        MountStep::Mounted => Undo::Unmount(path.to_owned()),
                    });
                })?;
            }
            (Change::Unmount { .. }, _) => {
                disk::unmount(root, path)?;
                warn_on_error(disk::put_back(root, path));
            }
            // A directory is made by `stage`, and removed after all other changes.
            (Change::CreateDirectory { .. } | Change::RemoveDirectory { .. }, _) => {}
            (Change::WriteFile { .. } | Change::MoveAway { .. } | Change::RemoveFile { .. }, None) => {
                bail!("{path} was not staged");
            }
        }
    }
    Ok(kept)
}

/// Renames the temporary file to the name of the slot, or hides it. `before`: the file that it replaces.
///
/// # Errors
///
/// Another program made or changed the file meanwhile; the file system reports an error.
fn replace(
    root: &Root,
    slot: &Rc<Slot>,
    before: Option<&Snapshot>,
    undo: &mut Vec<Undo>,
    hiding: &mut Hiding,
) -> Result<()> {
    let failed = |errno| root.error("replace", &slot.path, errno);
    let new = temporary_name(&slot.name);
    let standing = slot.standing(&new).map_err(failed)?;
    let standing = standing.ok_or_else(|| failed(Errno::ENOENT))?;
    match before {
        Some(before) => {
            let hide = hiding.hide.take_if(|hide| hide.is_of(slot));
            let hidden = match hide.map(|hide| hide.stage(root, slot, &new)) {
                None => None,
                Some(staged) => {
                    let staged = staged.inspect_err(|why| log::info!("{}: not hidden: {why:#}", slot.path)).ok();
                    // The net took its time.
                    if let Err(changed) = expect_unchanged(root, slot, before) {
                        staged.map_or(Ok(()), Hidden::discard).map_err(failed)?;
                        return Err(changed);
                    }
                    staged
                }
            };
            match hidden {
                Some(hidden) => hiding.hidden.insert(hidden).take_away(),
                None => slot.rename(&new, &slot.name),
            }
        }
        // Another program may have made a file there meanwhile; it must not be replaced.
        None => {
            match unlinkat(&slot.dir, slot.name.as_str(), UnlinkatFlags::RemoveDir) {
                Ok(()) => undo.push(Undo::MakeDirectory(Rc::clone(slot))),
                // It is no empty directory.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ENOTEMPTY | Errno::EEXIST) => {}
                Err(errno) => return Err(failed(errno)),
            }
            slot.rename_new(&new, &slot.name)
        }
    }
    .map_err(failed)?;
    undo.push(match before {
        Some(_) => Undo::PutBack(Rc::clone(slot), standing),
        None => Undo::Remove(Rc::clone(slot), standing),
    });
    slot.sync().map_err(failed)?;
    // An editor may have saved into the previous file after the check; then that comes back.
    let Some(before) = before else { return Ok(()) };
    let is_kept = slot.has(&kept_name(&slot.name), &before.bytes).map_err(failed)?;
    ensure!(is_kept, changed_meanwhile(root, &slot.path));
    Ok(())
}

/// Renames a file, or a link to one, to its kept name.
///
/// # Errors
///
/// Another program changed it meanwhile; the file system reports an error.
fn move_away(root: &Root, slot: &Rc<Slot>, before: &Snapshot, undo: &mut Vec<Undo>) -> Result<()> {
    let failed = |errno| root.error("move away", &slot.path, errno);
    let changed = || changed_meanwhile(root, &slot.path);
    let identity = slot.identity_of(&slot.name);
    // A link goes, and its target stays.
    let is_link = matches!(slot.open(&slot.name), Err(Errno::EINVAL));
    match is_link {
        true => ensure!(is_as_before(root, &slot.path, before), changed()),
        false => expect_unchanged(root, slot, before)?,
    }
    let kept = kept_name(&slot.name);
    // If a kept file of an earlier run were the same file, rename(2) would do nothing.
    slot.remove(&kept).and_then(|()| slot.rename(&slot.name, &kept)).map_err(failed)?;
    undo.push(Undo::Return(Rc::clone(slot)));
    slot.sync().map_err(failed)?;
    // An editor may have saved after the check; then that comes back.
    let is_same = slot.identity_of(&kept) == identity;
    ensure!(is_same && (is_link || slot.has(&kept, &before.bytes).map_err(failed)?), changed());
    Ok(())
}

fn changed_meanwhile(root: &Root, path: &str) -> String {
    format!("{} was changed by another program meanwhile; run again", root.shown(path))
}

/// Fails if the file in a held directory is not the one that was read: the same file, with the same bytes and
/// attributes.
fn expect_unchanged(root: &Root, slot: &Slot, before: &Snapshot) -> Result<()> {
    match slot.read(root, before.bytes.len()) {
        Ok(Some(now)) if now == *before => Ok(()),
        _ => bail!(changed_meanwhile(root, &slot.path)),
    }
}

/// Opens the file or directory whose attributes are to be set, and refuses a file that has a second name where another
/// user may have made it.
fn hold(root: &Root, path: &str) -> Result<OwnedFd> {
    let failed = |errno| root.error("set the owner, mode or label of", path, errno);
    let (found, directory) = root.find_in(path).map_err(failed)?;
    let is_linked = fstat(&found).map_err(failed)?.st_nlink > 1;
    let is_shared = match directory {
        Some(directory) => root.is_shared(&fstat(&directory).map_err(failed)?),
        // A directory has no second name.
        None => false,
    };
    ensure!(
        !is_linked || !is_shared,
        "{} has a second name (a hard link), and others than root can write to its directory; remove one of the names",
        root.shown(path)
    );
    root.reopen_found(path, &found).map_err(failed)
}

fn remove_directory(root: &Root, path: &str) -> Result<()> {
    let slot = root.slot(path)?;
    let removed = unlinkat(&slot.dir, slot.name.as_str(), UnlinkatFlags::RemoveDir);
    removed.and_then(|()| slot.sync()).map_err(|errno| root.error("remove the directory", path, errno))
}

/// Undoes the steps, the last one first, and removes the backup. Returns `error` with the state of the node added.
///
/// What somebody else wrote during the run stays, and the backup with the previous file stays complete. If a step can't
/// be undone, the partial backup stays, and the next run takes it over.
fn take_back(root: &Root, undo: Vec<Undo>, set: &Set, error: anyhow::Error) -> anyhow::Error {
    let formatted = undo.iter().filter_map(|step| match step {
        Undo::Formatted(device) => Some(format!(", except for {device}, which was formatted")),
        _ => None,
    });
    let but: String = formatted.collect();
    let has_mounted = undo.iter().any(|step| matches!(step, Undo::Unmount(_)));
    let (mut stuck, mut others) = (Vec::new(), Vec::new());
    for step in undo.into_iter().rev() {
        match take_back_step(root, step) {
            Ok(Taken::Back) => {}
            Ok(Taken::Foreign(path)) => others.push(root.shown(&path)),
            Err(why) => stuck.push(why),
        }
    }
    if has_mounted {
        // systemd must forget the units: with them, the kubelet would need the mount.
        warn_on_error(disk::reload());
    }
    let foreign = match others.as_slice() {
        [] => String::new(),
        others => {
            format!("; what another program did to {} during this run stays", others.join(", "))
        }
    };
    if !stuck.is_empty() {
        let directory = set.directory();
        return anyhow!(
            "{error:#}{foreign}; and these changes could not be undone: {}; the previous files are in {directory}; \
             copy them from there",
            stuck.join(", ")
        );
    }
    if foreign.is_empty() {
        warn_on_error(backup::abandon(root, set));
        return anyhow!("{error:#}; the node is as it was{but}");
    }
    warn_on_error(backup::finish(root, set));
    let directory = Set { complete: true, ..set.clone() }.directory();
    anyhow!("{error:#}{foreign}, and everything else was undone{but}; the previous files are in {directory}")
}

/// What became of a step that is to be undone.
enum Taken {
    Back,
    /// Somebody else wrote to this path or removed it, and that stays.
    Foreign(String),
}

fn take_back_step(root: &Root, step: Undo) -> std::result::Result<Taken, String> {
    let (path, state, done) = match step {
        Undo::Unlink(slot, name) => {
            let done = slot.remove(&name).map(|()| Taken::Back);
            (slot.path.clone(), "may have a temporary file beside it", done)
        }
        Undo::PutBack(slot, written) => {
            let done = slot.put_back(&kept_name(&slot.name), &written);
            (slot.path.clone(), "may not be the previous file", unless_foreign(&slot, done))
        }
        Undo::Return(slot) => {
            let kept = kept_name(&slot.name);
            let mut done = unless_foreign(&slot, slot.rename_new(&kept, &slot.name).and_then(|()| slot.sync()));
            if matches!(done, Ok(Taken::Foreign(_))) {
                // The backup has it, too.
                done = slot.remove(&kept).and(done);
            }
            (slot.path.clone(), "may not be the previous file", done)
        }
        Undo::Remove(slot, written) => {
            let done = slot.is_still(&written).and_then(|stands| match stands {
                true => slot.remove(&slot.name).and_then(|()| slot.sync()),
                false => Err(Errno::EEXIST),
            });
            (slot.path.clone(), "is new and may still be there", unless_foreign(&slot, done))
        }
        Undo::RemoveDirectory(slot) => {
            let done = match unlinkat(&slot.dir, slot.name.as_str(), UnlinkatFlags::RemoveDir) {
                // Somebody else wrote a file into it, or has removed it.
                Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOENT) => Ok(Taken::Foreign(slot.path.clone())),
                other => other.map(|()| Taken::Back),
            };
            (slot.path, "is new and may still be there", done)
        }
        Undo::MakeDirectory(slot) => {
            let done = mkdirat(&slot.dir, slot.name.as_str(), Mode::from_bits_truncate(0o755));
            (slot.path.clone(), "was an empty directory", unless_foreign(&slot, done))
        }
        Undo::SetAttributes(path, held, before) => {
            // What the kernel refused to change, it refuses to change back.
            let is_back = fstat(&held).is_ok_and(|stat| {
                (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid) == (before.mode, before.uid, before.gid)
            });
            let done = set_attributes(&held, &before).and_then(|()| fsync(&held));
            let done = if is_back { Ok(()) } else { done };
            (path, "may have another owner or mode", done.map(|()| Taken::Back))
        }
        Undo::Formatted(_) => return Ok(Taken::Back),
        Undo::PutAsideBack(path) => {
            return disk::put_back(root, &path).map(|()| Taken::Back).map_err(|error| format!("{error:#}"));
        }
        Undo::Unmount(path) => {
            return disk::unmount(root, &path).map(|()| Taken::Back).map_err(|error| format!("{error:#}"));
        }
        Undo::Cluster(now, before) => {
            // Any other text is from another program, and stays.
            let put_back = |text: String| match text {
                text if text == before => Ok(Taken::Back),
                text if text == now => cluster::replace(&now, &before, &mut false).map(|()| Taken::Back),
                _ => Ok(Taken::Foreign(KUBEADM_CONFIG.to_owned())),
            };
            return cluster::read().and_then(put_back).map_err(|error| format!("{error:#}"));
        }
    };
    done.map_err(|errno| format!("{} {state} ({})", root.shown(&path), errno.desc()))
}

/// EEXIST: what stands there is not what the run left.
fn unless_foreign(slot: &Slot, done: nix::Result<()>) -> nix::Result<Taken> {
    match done {
        Err(Errno::EEXIST) => Ok(Taken::Foreign(slot.path.clone())),
        other => other.map(|()| Taken::Back),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::testing::{LOGS, MANIFEST, Node, POLICY, at, mode, way_back};
    use super::*;
    use crate::facts::backup::BACKUPS;
    use crate::storage::unit::FileSystem;

    const STRAY: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml.bak";

    fn node() -> Node {
        Node::with(&[(MANIFEST, "old"), (STRAY, "stray"), (POLICY, "old policy"), ("/var/lib/x", "")])
    }

    #[test]
    fn what_an_editor_saves_in_between_is_not_lost() {
        for (edited, left) in [(MANIFEST, "policy"), (POLICY, "old")] {
            let node = node();
            let changes = [node.write(POLICY, "policy"), node.write(MANIFEST, "manifest")];
            let mut undo = Vec::new();
            let slots = stage(&node.root, &changes, &mut undo).unwrap();
            node.put(edited, "saved by hand");
            let error =
                commit(&node.root, &changes, slots, &mut undo, &mut Hiding::default()).unwrap_err().to_string();
            assert!(error.contains(edited) && error.contains("run again"), "{error}");
            assert_eq!(node.text(edited), "saved by hand");
            assert_eq!(node.text(if edited == POLICY { MANIFEST } else { POLICY }), left);
        }
    }

    /// A run that fails after it has changed everything that comes before, and what somebody does before it is undone.
    fn undone_over(node: &Node, changes: &[Change], meanwhile: &dyn Fn(&Node)) -> String {
        let set = backup::begin(&node.root, changes, &Why::Apply, at(0)).unwrap();
        let mut undo = Vec::new();
        let slots = stage(&node.root, changes, &mut undo).unwrap();
        commit(&node.root, changes, slots, &mut undo, &mut Hiding::default()).unwrap();
        meanwhile(node);
        take_back(&node.root, undo, &set, anyhow!("the cause")).to_string()
    }

    #[test]
    fn what_somebody_saves_during_a_run_is_not_undone_with_it() {
        type Meanwhile = fn(&Node);
        let cases: [(&str, Meanwhile, Option<&str>); 6] = [
            (POLICY, |node| node.put(POLICY, "saved by hand"), Some("saved by hand")),
            (MANIFEST, |node| fs::remove_file(node.host(MANIFEST)).unwrap(), None),
            ("/etc/new/file", |node| node.put("/etc/new/file", "saved by hand"), Some("saved by hand")),
            (STRAY, |node| node.put(STRAY, "saved by hand"), Some("saved by hand")),
            // The same text, but not the file that the run wrote.
            (
                POLICY,
                |node| {
                    node.put("/saved", "policy");
                    fs::rename(node.host("/saved"), node.host(POLICY)).unwrap();
                },
                Some("policy"),
            ),
            (LOGS, |node| node.put(&format!("{LOGS}/audit.log"), "event"), None),
        ];
        for (path, meanwhile, left) in cases {
            let node = node();
            let told = undone_over(&node, &all_kinds(&node), &meanwhile);
            assert!(told.contains(&format!("another program did to {path}")), "{told}");
            assert!(!told.contains("the node is as it was"), "{told}");
            if path != LOGS {
                assert_eq!(node.exists(path).then(|| node.text(path)).as_deref(), left, "{path}");
            }
            for (other, text) in [(MANIFEST, "old"), (POLICY, "old policy"), (STRAY, "stray")] {
                assert!(other == path || node.text(other) == text, "{path}: {other}");
            }
            // The previous files are in a complete backup, and no temporary file is left.
            assert_eq!(node.sets(), ["20261124T121326Z"], "{path}");
            assert!(!node.names().iter().any(|name| name.contains("kube-audit-bootstrap")), "{:?}", node.names());
        }
    }

    /// The directory that is judged is the one in which the file was found, not that of a link to it.
    #[test]
    fn a_file_with_a_second_name_is_changed_only_where_no_other_user_can_have_made_that() {
        let node = Node::with(&[("/logs/audit.log", ""), ("/links/x", "")]);
        node.link("/links/log", "/logs/audit.log");
        fs::hard_link(node.host("/logs/audit.log"), node.host("/second")).unwrap();
        for (logs, links, is_held) in [(0o755, 0o755, true), (0o775, 0o755, false), (0o755, 0o775, true)] {
            node.chmod("/logs", logs);
            node.chmod("/links", links);
            for path in ["/logs/audit.log", "/links/log"] {
                assert_eq!(hold(&node.root, path).is_ok(), is_held, "{path} {logs:o} {links:o}");
            }
            assert!(hold(&node.root, "/logs").is_ok());
        }
    }

    /// Somebody may have made a small file a large one before a restore with `--force`.
    #[test]
    fn a_file_of_any_size_is_replaced_and_put_back() {
        let (node, large) = (node(), "x".repeat(3 << 20));
        node.put(POLICY, &large);
        let write = |path: &str, text: &str| {
            let before = node.root.read(path, 4 << 20).unwrap();
            Change::WriteFile { path: path.into(), before, bytes: text.into(), attributes: mode(0o600) }
        };
        let changes = [write(POLICY, "policy"), write("/etc/new/file", &large), node.fail_late("/var/lib/x")];
        let error = node.apply(&changes, 0).unwrap_err().to_string();
        assert!(error.ends_with("the node is as it was"), "{error}");
        assert!(node.text(POLICY) == large && !node.exists("/etc/new/file"));
        node.apply(&changes[..2], 1).unwrap();
        assert!(node.text(POLICY) == "policy" && node.text("/etc/new/file") == large);
        node.apply(&[write(POLICY, &large)], 2).unwrap();
        assert!(node.text(POLICY) == large);
    }

    /// The directory of a path may be another one than the one that a run holds since it was staged.
    #[test]
    fn what_is_moved_away_is_the_file_that_was_looked_at() {
        let directory = "/etc/kubernetes/manifests";
        for is_link in [false, true] {
            let node = node();
            if is_link {
                fs::rename(node.host(STRAY), node.host("/stray")).unwrap();
                node.link(STRAY, "/stray");
            }
            let changes = [node.move_away(STRAY)];
            let mut undo = Vec::new();
            let slots = stage(&node.root, &changes, &mut undo).unwrap();
            // Another directory takes its name, and an editor saves in the one that is held.
            fs::rename(node.host(directory), node.host("/held")).unwrap();
            if is_link {
                node.put("/stray", "saved by hand");
            } else {
                node.put(STRAY, "stray");
                node.put("/held/kube-apiserver.yaml.bak", "saved by hand");
            }
            let set = backup::begin(&node.root, &changes, &Why::Apply, at(0)).unwrap();
            let error = commit(&node.root, &changes, slots, &mut undo, &mut Hiding::default()).unwrap_err();
            assert!(take_back(&node.root, undo, &set, error).to_string().contains("by another program meanwhile"));
            assert_eq!(
                node.text(if is_link { "/stray" } else { "/held/kube-apiserver.yaml.bak" }),
                "saved by hand"
            );
            assert!(node.exists("/held/kube-apiserver.yaml.bak"));
        }
    }

    #[test]
    fn what_an_editor_saves_into_the_previous_file_comes_back() {
        let node = node();
        let changes = [node.write(POLICY, "policy")];
        let mut undo = Vec::new();
        let slots = stage(&node.root, &changes, &mut undo).unwrap();
        let kept = node.host("/etc/kubernetes/.audit-policy.yaml.kube-audit-bootstrap-old");
        // As an editor that has the file open may do after the last check.
        fs::remove_file(&kept).unwrap();
        fs::write(&kept, "saved by hand").unwrap();
        let set = backup::begin(&node.root, &changes, &Why::Apply, at(0)).unwrap();
        let error = commit(&node.root, &changes, slots, &mut undo, &mut Hiding::default()).unwrap_err();
        assert!(take_back(&node.root, undo, &set, error).to_string().contains("by another program meanwhile"));
        assert_eq!(node.text(POLICY), "saved by hand");
    }

    #[test]
    fn a_directory_that_stays_is_told_and_makes_no_backup_of_nothing() {
        let node = Node::with(&[("/srv/a/log", "x")]);
        let before = node.root.stat("/srv/a").unwrap().unwrap().attributes;
        let remove = Change::RemoveDirectory { path: "/srv/a".to_owned(), before };
        for seconds in [0, 1] {
            let done = execute(&node.root, std::slice::from_ref(&remove), &Why::Restore, at(seconds)).unwrap();
            let [(path, why)] = &done.left[..] else { panic!("{done:?}") };
            assert!(path == "/srv/a" && why.contains("not empty"), "{done:?}");
            assert_eq!((done.backup, node.sets()), (None, vec![]));
        }
    }

    /// Here no API server runs.
    #[test]
    fn a_cluster_that_cannot_be_read_is_not_said_to_be_changed() {
        let node = node();
        let change = Change::WriteCluster { before: "before".to_owned(), after: "after".to_owned() };
        let error = node.apply(&[node.write(POLICY, "policy"), change], 0).unwrap_err().to_string();
        assert!(error.ends_with("; nothing was written: run again") && !error.contains("changed"), "{error}");
        assert_eq!(node.text(POLICY), "old policy");
    }

    #[test]
    fn what_an_earlier_run_could_not_remove_goes_with_the_next() {
        let node = node();
        node.apply(&[node.write(POLICY, "policy"), node.write(MANIFEST, "manifest")], 0).unwrap();
        let names = node.names();
        for (directory, name) in [
            ("/etc/kubernetes", kept_name("audit-policy.yaml")),
            ("/etc/kubernetes/manifests", kept_name("kube-apiserver.yaml")),
            ("/etc/kubernetes/manifests", temporary_name("kube-apiserver.yaml")),
            ("/etc/kubernetes/manifests", super::super::names::hidden_name("kube-apiserver.yaml")),
            ("/etc/kubernetes/manifests", super::super::names::unproved_name("kube-apiserver.yaml")),
        ] {
            assert!(!leftovers::exist(&node.root).unwrap());
            node.put(&format!("{directory}/{name}"), "previous");
            assert!(leftovers::exist(&node.root).unwrap(), "{name}");
            node.apply(&[], 1).unwrap();
            assert_eq!(node.names(), names, "{name}");
        }
    }

    fn all_kinds(node: &Node) -> Vec<Change> {
        vec![
            node.create_directory(LOGS),
            node.set_mode("/var/lib/x", 0o640),
            node.write(POLICY, "policy"),
            node.write("/etc/new/file", "new"),
            node.move_away(STRAY),
            node.write(MANIFEST, "manifest"),
        ]
    }

    /// The container runtime makes it where the policy is missing when the API server starts.
    #[test]
    fn an_empty_directory_in_place_of_a_file_gives_way_and_comes_back_with_the_rest() {
        for (inside, fails) in [(None, false), (None, true), (Some("mine"), false)] {
            let node = Node::with(&[(MANIFEST, "old")]);
            let directory = node.host("/etc/kubernetes/policy");
            fs::create_dir_all(&directory).unwrap();
            if let Some(name) = inside {
                fs::write(directory.join(name), "").unwrap();
            }
            let path = "/etc/kubernetes/policy".to_owned();
            let new = Change::WriteFile { path, before: None, bytes: b"new".to_vec(), attributes: mode(0o600) };
            let mut changes = vec![new];
            if fails {
                changes.push(Change::WriteCluster { before: String::new(), after: String::new() });
            }
            let done = match inside {
                None if !fails => node.apply(&changes, 0).map(|_| ()),
                _ => {
                    let mut undo = Vec::new();
                    let staged = stage(&node.root, &changes, &mut undo);
                    let none = &mut Hiding { hide: None, hidden: None };
                    let done = staged.and_then(|slots| commit(&node.root, &changes, slots, &mut undo, none));
                    assert!(done.is_err());
                    for step in undo.into_iter().rev() {
                        assert!(matches!(take_back_step(&node.root, step), Ok(Taken::Back)));
                    }
                    Err(anyhow!("undone"))
                }
            };
            assert_eq!(directory.is_dir(), done.is_err(), "{inside:?} {fails}");
            if let Some(name) = inside {
                assert!(directory.join(name).exists());
            }
            if done.is_ok() {
                assert_eq!(node.text("/etc/kubernetes/policy"), "new");
                node.restore(None, 1);
                assert!(!directory.exists());
            }
        }
    }

    #[test]
    fn no_changes_touch_nothing() {
        let node = node();
        let before = node.everything();
        assert_eq!(node.apply(&[], 0).unwrap(), None);
        assert_eq!(node.everything(), before);
    }

    /// A disk may get a file system between the plan and the run.
    #[test]
    fn a_device_that_is_no_more_blank_stops_a_run_before_it_begins() {
        let node = node();
        let before = node.everything();
        let device = node.host(POLICY).display().to_string();
        let format = Change::Format { device: device.clone(), format: FileSystem::Ext4 };
        let error = node.apply(&[node.write(MANIFEST, "manifest"), format], 0).unwrap_err().to_string();
        assert!(
            error.starts_with(&node.root.shown(&device)) && error.contains("changed by something else meanwhile"),
            "{error}"
        );
        assert_eq!(node.everything(), before);
    }

    #[test]
    fn changes_are_made_and_nothing_else_is_left() {
        let node = node();
        assert_eq!(node.apply(&all_kinds(&node), 0).unwrap().unwrap(), "20261124T121326Z");
        for (path, text, mode) in
            [(POLICY, "policy", 0o600), ("/etc/new/file", "new", 0o600), (MANIFEST, "manifest", 0o600)]
        {
            assert_eq!((node.text(path).as_str(), node.mode(path)), (text, mode), "{path}");
        }
        assert_eq!([node.mode(LOGS), node.mode("/var/log"), node.mode("/var/lib/x")], [0o700, 0o755, 0o640]);
        assert!(!node.exists(STRAY));
        let expected = [
            "/etc",
            "/etc/kubernetes",
            POLICY,
            "/etc/kubernetes/manifests",
            MANIFEST,
            "/etc/new",
            "/etc/new/file",
            "/var/log",
            "/var/log/kubernetes",
            LOGS,
        ];
        assert_eq!(node.names(), expected);
        assert_eq!(node.mode(BACKUPS), 0o700);
        assert_eq!(node.sets(), ["20261124T121326Z"]);
    }

    #[test]
    fn a_link_stays_and_its_target_is_replaced() {
        let node = Node::with(&[("/srv/policy", "old")]);
        node.link(POLICY, "../../srv/policy");
        node.apply(&[node.write(POLICY, "new")], 0).unwrap();
        assert_eq!(fs::read_link(node.host(POLICY)).unwrap().to_str(), Some("../../srv/policy"));
        assert_eq!(node.text("/srv/policy"), "new");
        assert_eq!(node.root.list("/srv").unwrap().unwrap(), ["policy"]);
    }

    #[test]
    fn a_stray_link_goes_and_its_target_stays() {
        let node = Node::with(&[("/srv/pod", "pod")]);
        node.link(STRAY, "/srv/pod");
        node.apply(&[node.move_away(STRAY)], 0).unwrap();
        assert!(!node.exists(STRAY));
        assert_eq!(node.text("/srv/pod"), "pod");
    }

    #[test]
    fn what_changed_meanwhile_stops_the_run_before_it_writes() {
        type Meanwhile = fn(&Node);
        let cases: [(&str, Meanwhile); 8] = [
            (POLICY, |node| node.put(POLICY, "OLD POLICY")),
            (POLICY, |node| node.put(POLICY, "old policy, longer")),
            (POLICY, |node| node.chmod(POLICY, 0o600)),
            (POLICY, |node| fs::remove_file(node.host(POLICY)).unwrap()),
            ("/etc/new/file", |node| node.put("/etc/new/file", "")),
            (STRAY, |node| node.put(STRAY, "")),
            ("/var/lib/x", |node| node.chmod("/var/lib/x", 0o600)),
            (LOGS, |node| fs::create_dir_all(node.host(LOGS)).unwrap()),
        ];
        for (path, meanwhile) in cases {
            let node = node();
            let changes = all_kinds(&node);
            meanwhile(&node);
            let before = node.everything();
            let error = node.apply(&changes, 0).unwrap_err().to_string();
            assert!(
                error.starts_with(path) && error.contains("changed by something else meanwhile"),
                "{path}: {error}"
            );
            assert_eq!(node.everything(), before, "{path}");
        }
    }

    #[test]
    fn a_failure_at_any_step_takes_all_back() {
        for position in 0..=6 {
            let node = node();
            node.put("/var/lib/y", "");
            let mut changes = all_kinds(&node);
            changes.insert(position, node.fail_late("/var/lib/y"));
            // What a failed run may leave.
            fs::create_dir_all(node.host(BACKUPS)).unwrap();
            let before = node.everything();
            let error = node.apply(&changes, 0).unwrap_err().to_string();
            assert!(error.contains("/var/lib/y") && error.ends_with("the node is as it was"), "{error}");
            assert_eq!(node.everything(), before, "failed at {position}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_staged_takes_all_back() {
        let node = node();
        let changes = all_kinds(&node);
        fs::create_dir(node.host("/etc/kubernetes/manifests/.kube-apiserver.yaml.kube-audit-bootstrap")).unwrap();
        fs::create_dir_all(node.host(BACKUPS)).unwrap();
        let before = node.everything();
        let error = node.apply(&changes, 0).unwrap_err().to_string();
        assert!(error.contains(MANIFEST), "{error}");
        assert_eq!(node.everything(), before);
    }

    #[test]
    fn what_cannot_be_taken_back_is_named_with_its_copy() {
        let node = node();
        fs::create_dir(node.host("/etc/directory")).unwrap();
        let set = backup::begin(&node.root, &[node.write(POLICY, "policy")], &Why::Apply, at(0)).unwrap();
        // There is no kept file to put back.
        let slot = Rc::new(node.root.slot(POLICY).unwrap());
        let standing = slot.standing(&slot.name).unwrap().unwrap();
        let undo = vec![Undo::PutBack(slot, standing)];
        let error = take_back(&node.root, undo, &set, anyhow!("the cause")).to_string();
        let copies = format!("{BACKUPS}/20261124T121326Z.partial");
        assert!(error.starts_with("the cause;") && error.contains(POLICY) && error.contains(&copies), "{error}");
        assert_eq!(
            node.text("/var/lib/kube-audit-bootstrap/backups/20261124T121326Z.partial/0-audit-policy.yaml"),
            "old policy"
        );
    }

    #[test]
    fn one_file_by_two_names_is_refused() {
        let node = node();
        node.link("/etc/link", POLICY);
        let changes = [node.write(POLICY, "a"), node.write("/etc/link", "b")];
        let error = node.apply(&changes, 0).unwrap_err().to_string();
        assert!(error.contains("changed twice"), "{error}");
        assert_eq!(node.text(POLICY), "old policy");
    }

    #[test]
    fn leftovers_of_a_killed_run_are_cleared_by_the_next() {
        let node = node();
        let names = node.names();
        let changes = [node.write(POLICY, "policy"), node.write(MANIFEST, "manifest")];
        backup::begin(&node.root, &changes, &Why::Apply, at(0)).unwrap();
        stage(&node.root, &changes, &mut Vec::new()).unwrap();
        assert_eq!(node.names().len(), names.len() + 4);
        node.apply(&[], 1).unwrap();
        assert_eq!(node.names(), names);
    }

    #[test]
    fn a_restore_that_was_killed_at_its_end_is_whole() {
        let node = node();
        let id = node.apply(&[node.write(MANIFEST, "new")], 0).unwrap();
        backup::begin(&node.root, &[node.write(MANIFEST, "old")], &Why::Restore, at(1)).unwrap();
        node.put(MANIFEST, "old");
        let restore = way_back(&node.root, id.as_deref()).unwrap();
        execute(&node.root, &restore.changes, &Why::Restore, at(2)).unwrap();
        let whys: Vec<_> = backup::list(&node.root).unwrap().into_iter().map(|set| set.why.to_string()).collect();
        assert_eq!(whys, ["restore", "apply"]);
    }

    /// A power cut left this backup.
    #[test]
    fn a_set_that_was_being_written_is_cleared_by_the_next() {
        let node = node();
        let names = node.names();
        node.put(&format!("{BACKUPS}/.20261124T121326Z-3/index.json"), "{");
        assert!(backup::is_unfinished(&node.root).unwrap(), "or a run with nothing to do would leave it");
        node.apply(&[], 1).unwrap();
        assert!(!backup::is_unfinished(&node.root).unwrap());
        assert_eq!(node.names(), names);
    }

    #[test]
    fn a_stale_file_under_a_temporary_name_is_no_obstacle() {
        let node = node();
        for name in [temporary_name("audit-policy.yaml"), kept_name("audit-policy.yaml")] {
            node.put(&format!("/etc/kubernetes/{name}"), "stale");
        }
        node.apply(&[node.write(POLICY, "policy")], 0).unwrap();
        assert_eq!(node.text(POLICY), "policy");
        assert_eq!(node.root.list("/etc/kubernetes").unwrap().unwrap(), ["audit-policy.yaml", "manifests"]);
    }

    #[test]
    fn a_directory_goes_only_when_it_is_empty() {
        let node = Node::with(&[("/a/file", "x"), ("/b/file", "x"), ("/b/log", "x")]);
        let remove = |path: &str| {
            let before = node.root.stat(path).unwrap().unwrap().attributes;
            Change::RemoveDirectory { path: path.to_owned(), before }
        };
        let file = |path: &str| Change::RemoveFile { path: path.to_owned(), before: node.snapshot(path) };
        node.apply(&[file("/a/file"), file("/b/file"), remove("/a"), remove("/b")], 0).unwrap();
        assert_eq!(node.names(), ["/b", "/b/log"]);
    }

    #[test]
    fn a_replaced_file_keeps_its_label() {
        let node = node();
        let label = Some(b"system_u:object_r:kubernetes_file_t:s0".to_vec());
        let labelled = Attributes { label, ..mode(0o644) };
        let found = node.root.find(POLICY).unwrap();
        let fd = node.root.reopen_found(POLICY, &found).unwrap();
        // Only the root user can set a label. For other users, the file has the kernel's label.
        let _ = set_attributes(&fd, &labelled);
        let before = node.snapshot(POLICY).attributes.label;
        node.apply(&[node.write(POLICY, "policy")], 0).unwrap();
        assert_eq!(node.snapshot(POLICY).attributes.label, before);
    }
}
