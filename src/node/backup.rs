//! Backups: copies of the files that a run changed.
//!
//! A backup is a directory in [`BACKUPS`] with an `index.json` and the copies. Its name is its time. Before a run
//! changes anything, it writes the backup under a dot-name and renames it to `ID.partial`. When the run has ended,
//! the backup becomes `ID`. An interrupted run leaves its partial backup. The next run that changes something takes
//! over the records of the partial backup. So a backup always has the state before the *job*, however often the job
//! was interrupted.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::errno::Errno;
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use serde_json::{Value, json};

use super::names::{kept_name, temporary_name};
use super::root::{Root, Slot, split, warn_on_error};
use crate::change::{Change, KUBEADM_CONFIG};
use crate::facts::backup::{Action, BACKUPS, PARTIAL, Record, Set, Why, fingerprint};
use crate::facts::file::Attributes;
use crate::path::STATE;
use crate::time::{rfc3339, stamp};

/// How many complete backups are kept.
const KEEP: usize = 10;
const INDEX: &str = "index.json";
/// The version of the index format.
const VERSION: u64 = 1;
const INDEX_LIMIT: usize = 1 << 20;
/// The largest file that is read, in bytes. No file that the program changes is near this size.
pub(super) const FILE_LIMIT: usize = 64 << 20;

/// The backups, newest first, those of interrupted runs included. A backup whose index can't be read is left out,
/// with a warning.
pub fn list(root: &Root) -> Result<Vec<Set>> {
    let mut tries = 1;
    loop {
        let all: Vec<_> = load_all(root)?.map(|(_, loaded)| loaded).collect();
        // Another run has just renamed or removed one.
        let is_moved = all.iter().any(|loaded| loaded.as_ref().is_err_and(is_vanished));
        if !is_moved || tries == TRIES {
            let all = all.into_iter().filter(|loaded| !loaded.as_ref().is_err_and(is_vanished));
            return Ok(all.filter_map(|loaded| loaded.inspect_err(warn_once).ok()).collect());
        }
        tries += 1;
    }
}

/// Warns of a backup that can't be read. A run reads the backups several times.
fn warn_once(error: &anyhow::Error) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let text = format!("{error:#}");
    // A thread that ended while it held the lock left the set whole.
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone()) {
        log::warn!("{text}");
    }
}

/// The IDs of the backups that can't be read, newest first.
///
/// # Errors
///
/// The directory of the backups can't be read.
pub fn unreadable(root: &Root) -> Result<Vec<String>> {
    let names = Names::read(root)?;
    let is_broken = |id: &&Id| load(root, id, true).is_err_and(|error| !is_vanished(&error));
    Ok(names.complete.iter().rev().filter(is_broken).map(Id::to_string).collect())
}

/// How often the backups are read, if another run changes them in the meantime.
const TRIES: usize = 10;

/// The directory of a backup is not there any more.
#[derive(Debug)]
struct Vanished;

impl fmt::Display for Vanished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another run has just removed it")
    }
}

impl std::error::Error for Vanished {}

/// Is the error that another run has renamed or removed the backup?
pub(super) fn is_vanished(error: &anyhow::Error) -> bool {
    error.is::<Vanished>()
}

/// The backups, newest first, each with whether it is complete.
pub(super) fn load_all(root: &Root) -> Result<impl Iterator<Item = (bool, Result<Set>)>> {
    let names = Names::read(root)?;
    let mut ids: Vec<_> = names.complete.into_iter().map(|id| (id, true)).collect();
    ids.extend(names.partial.into_iter().map(|id| (id, false)));
    ids.sort_unstable_by(|a, b| b.cmp(a));
    Ok(ids.into_iter().map(|(id, complete)| (complete, load(root, &id, complete))))
}

/// The ID of the newest backup; empty if there is none.
pub(super) fn newest_id(root: &Root) -> Result<String> {
    Ok(Names::read(root)?.newest().map(Id::to_string).unwrap_or_default())
}

/// Whether a run was interrupted, even if this was before its first change.
pub fn is_unfinished(root: &Root) -> Result<bool> {
    let names = Names::read(root)?;
    Ok(!names.partial.is_empty() || !names.unfinished.is_empty())
}

/// The paths that interrupted runs may have changed.
pub fn unfinished_paths(root: &Root) -> Vec<String> {
    let partial = Names::read(root).map(|names| names.partial).unwrap_or_default();
    let records = partial.iter().filter_map(|id| load(root, id, false).ok()).flat_map(|set| set.records);
    records.map(|record| record.path).collect()
}

/// Cleans up after interrupted runs. Removes temporary and kept files, backups that were not written in full, and
/// backups that a later one has taken over. Keeps the records of the partial backups. A failure to remove something
/// is only a warning. Call it with the lock held; [`super::transaction::execute`] calls it first.
pub(super) fn recover(root: &Root) -> Result<()> {
    let names = Names::read(root)?;
    for unfinished in &names.unfinished {
        warn_on_error(discard(root, unfinished));
    }
    for id in &names.partial {
        let Some(set) = load_partial(root, id) else { continue };
        for record in &set.records {
            warn_on_error(clear(root, record));
        }
        // A run that ends takes over or completes all partial backups, and a new backup has the highest ID.
        if names.complete.last().is_some_and(|newest| newest > id) {
            warn_on_error(discard(root, &format!("{id}{PARTIAL}")));
        }
    }
    Ok(())
}

/// The path beside which a run makes its temporary files for a change; `None` if the change needs none.
pub(super) fn worked_at(root: &Root, record: &Record) -> Result<Option<String>> {
    Ok(match record.action {
        Action::Created | Action::Replaced => Some(root.real(&record.path)?),
        Action::Moved | Action::Removed => Some(record.path.clone()),
        _ => None,
    })
}

/// Removes the temporary files that an interrupted run may have left beside a path.
fn clear(root: &Root, record: &Record) -> Result<()> {
    let Some(path) = worked_at(root, record)? else { return Ok(()) };
    if root.stat(split(&path)?.0)?.is_none() {
        return Ok(());
    }
    let slot = root.slot(&path)?;
    for name in [temporary_name(&slot.name), kept_name(&slot.name)] {
        slot.remove(&name).map_err(|errno| root.error("remove the leftover beside", &path, errno))?;
    }
    Ok(())
}

/// Completes the partial backups. Called if the run after an interrupted one has nothing left to do.
pub(super) fn complete_partial(root: &Root, why: &Why) -> Result<()> {
    let names = Names::read(root)?;
    let mut sets = names.partial.iter().filter_map(|id| load_partial(root, id));
    // If this run is a restore, the interrupted restore has reached its end.
    sets.try_for_each(|set| if why.is_restore() { complete(root, &set) } else { cut_off(root, set) })?;
    prune(root)
}

fn write_index(root: &Root, set: &Set) -> Result<()> {
    root.replace(&format!("{}/{INDEX}", set.directory()), &format!("{:#}\n", to_json(set)))
}

/// Completes the backup of an interrupted run that this run does not continue.
fn cut_off(root: &Root, mut set: Set) -> Result<()> {
    if set.why.is_restore() {
        set.why = Why::CutOff;
        write_index(root, &set)?;
    }
    complete(root, &set)
}

/// A record, with the copies that belong to it.
#[derive(Clone, PartialEq)]
struct Entry {
    record: Record,
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
}

/// Writes the backup for `changes`, durably, and returns it. After an error there is no backup.
pub(super) fn begin(root: &Root, changes: &[Change], why: &Why, now: SystemTime) -> Result<Set> {
    let names = Names::read(root)?;
    let mut entries = Vec::new();
    for set in names.partial.iter().filter_map(|id| load_partial(root, id)) {
        // A restore goes back to a state before the interrupted run, so it does not continue it. Neither does an apply
        // after an interrupted restore, nor a run that finds the text of somebody else.
        if why.is_restore() || set.why.is_restore() || !is_undisturbed(root, &set)? {
            cut_off(root, set)?;
            continue;
        }
        for record in &set.records {
            let entry = Entry {
                record: Record { file: None, after: None, ..record.clone() },
                before: copy(root, &set, record)?,
                after: copy_of_after(root, &set, record)?,
            };
            // Each interrupted run took over the records of the earlier ones.
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
    }
    for entry in records(root, changes)? {
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    for (at, Entry { record, before, after }) in entries.iter_mut().enumerate() {
        // 50 characters are at most 200 bytes; a name has at most 255.
        let name: String = record.path.rsplit('/').next().unwrap_or_default().chars().take(50).collect();
        record.file = before.is_some().then(|| format!("{at}-{name}"));
        record.after = after.is_some().then(|| format!("{at}-{name}.after"));
    }
    let set = Set {
        id: names.next(now).to_string(),
        when: rfc3339(now),
        why: why.clone(),
        complete: false,
        records: entries.iter().map(|entry| entry.record.clone()).collect(),
    };
    root.make_private(STATE)?;
    root.make_private(BACKUPS)?;
    let hidden = format!(".{}", set.id);
    let slot = root.slot(&format!("{BACKUPS}/{hidden}"))?;
    write(root, &slot, &set, &entries).inspect_err(|_| warn_on_error(discard(root, &hidden)))?;
    Ok(set)
}

/// Is each file of an interrupted run as it was before the run, or as the run wrote it? If not, a later run must not
/// take over its records: it would be the text of somebody else that a restore overwrites.
fn is_undisturbed(root: &Root, set: &Set) -> Result<bool> {
    for record in set.records.iter().filter(|record| record.is_of_content()) {
        // The API server writes to the log that a run began, and the cluster is asked when it is written.
        if record.action == Action::Cluster || record.written == Some(fingerprint(b"")) {
            continue;
        }
        let Ok(now) = root.read(&record.path, FILE_LIMIT) else { return Ok(false) };
        let now = now.map(|now| fingerprint(&now.bytes));
        let mut known = false;
        for record in set.records.iter().filter(|other| other.path == record.path) {
            known |= record.left(now) || content_before(root, set, record)? == now;
        }
        if !known {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The fingerprint of the content before a run; `None` if there was no file.
fn content_before(root: &Root, set: &Set, record: &Record) -> Result<Option<u64>> {
    Ok(copy(root, set, record)?.map(|bytes| fingerprint(&bytes)))
}

/// The records for `changes`, each with its copies.
fn records(root: &Root, changes: &[Change]) -> Result<Vec<Entry>> {
    let mut records: Vec<Entry> = Vec::new();
    let mut add = |path: &str, action, attributes: &Attributes, bytes: Option<&Vec<u8>>, new: Option<&Vec<u8>>| {
        let written = new.map(|new| fingerprint(new));
        let (path, attributes) = (path.to_owned(), attributes.clone());
        let copied = bytes.map(|bytes| fingerprint(bytes));
        let record =
            Record { path, action, attributes, file: None, copied, written, later: Vec::new(), after: None };
        // A directory may be a parent of several changes.
        if action != Action::Directory || !records.iter().any(|other| other.record.path == record.path) {
            // What a run made anew is undone as a whole, so its text is not needed.
            let after = new.filter(|_| bytes.is_some()).cloned();
            records.push(Entry { record, before: bytes.cloned(), after });
        }
    };
    for change in changes {
        match change {
            Change::CreateDirectory { path, attributes } => {
                for missing in root.missing_directories(path)? {
                    add(missing, Action::Directory, attributes, None, None);
                }
            }
            Change::SetAttributes { path, before, .. } => add(path, Action::Attributes, before, None, None),
            Change::WriteFile { path, before: Some(before), bytes, .. } => {
                add(path, Action::Replaced, &before.attributes, Some(&before.bytes), Some(bytes));
            }
            Change::WriteFile { path, attributes, bytes, .. } => {
                for missing in root.missing_directories(split(path)?.0)? {
                    add(missing, Action::Directory, &Attributes::new(0o755, 0, 0), None, None);
                }
                add(path, Action::Created, attributes, None, Some(bytes));
            }
            Change::MoveAway { path, before } => {
                add(path, Action::Moved, &before.attributes, Some(&before.bytes), None)
            }
            Change::RemoveFile { path, before } => {
                add(path, Action::Removed, &before.attributes, Some(&before.bytes), None);
            }
            Change::RemoveDirectory { path, before } => add(path, Action::DirectoryRemoved, before, None, None),
            Change::Format { device, .. } => add(device, Action::Formatted, &Attributes::new(0, 0, 0), None, None),
            Change::Mount { path, attributes, .. } => {
                add(&format!("{path}/"), Action::Mounted, attributes, None, None)
            }
            Change::Unmount { path } => {
                add(&format!("{path}/"), Action::Unmounted, &Attributes::new(0, 0, 0), None, None)
            }
            Change::WriteCluster { before, after } => {
                let bytes = [before, after].map(|text| text.clone().into_bytes());
                add(KUBEADM_CONFIG, Action::Cluster, &Attributes::new(0, 0, 0), Some(&bytes[0]), Some(&bytes[1]));
            }
        }
    }
    Ok(records)
}

/// Writes a backup under its dot-name, `slot`, then renames it to `ID.partial`.
fn write(root: &Root, slot: &Slot, set: &Set, entries: &[Entry]) -> Result<()> {
    let failed = |errno| root.error("write the backup", &set.directory(), errno);
    mkdirat(&slot.dir, slot.name.as_str(), Mode::S_IRWXU).map_err(failed)?;
    let inside = root.slot(&format!("{}/{INDEX}", slot.path))?;
    for Entry { record, before, after } in entries {
        for (file, bytes) in [(&record.file, before), (&record.after, after)] {
            if let (Some(file), Some(bytes)) = (file, bytes) {
                inside.create(file, bytes, None).map_err(failed)?;
            }
        }
    }
    let index = format!("{:#}\n", to_json(set));
    ensure!(index.len() <= INDEX_LIMIT, "the backup would have {} entries, which is too many", set.records.len());
    inside.create(INDEX, index.as_bytes(), None).map_err(failed)?;
    inside.sync().map_err(failed)?;
    slot.rename(&slot.name, &format!("{}{PARTIAL}", set.id)).map_err(failed)?;
    slot.sync().map_err(failed)
}

/// Ends a backup after the last change: completes it, and removes the backups that it took over and those that are too
/// old. Nothing here has to be durable. If power fails, the next run finds a partial backup and does this again.
pub(super) fn finish(root: &Root, set: &Set) -> Result<()> {
    complete(root, set)?;
    for id in Names::read(root)?.partial {
        if load_partial(root, &id).is_some() {
            discard(root, &format!("{id}{PARTIAL}"))?;
        }
    }
    prune(root)
}

/// Removes old backups. Keeps the newest ones, and an older one if it alone has the first state of a path, a stray
/// manifest, or a text that the program did not write.
fn prune(root: &Root) -> Result<()> {
    let complete = Names::read(root)?.complete;
    let surplus = complete.len().saturating_sub(KEEP);
    if surplus == 0 {
        return Ok(());
    }
    // A backup that can't be read may still be useful to the administrator.
    let mut sets: Vec<Set> = complete.iter().filter_map(|id| load(root, id, true).ok()).collect();
    for id in complete.iter().take(surplus).map(Id::to_string) {
        let Some(at) = sets.iter().position(|set| set.id == id) else { continue };
        let Some(links) = links_around(root, &sets, at)? else { continue };
        for (older, number, written) in links {
            let record = &mut sets[older].records[number];
            // The last but one is needed until the backup of the last one is gone.
            record.later.drain(..record.later.len().saturating_sub(1));
            record.later.push(written);
            write_index(root, &sets[older])?;
        }
        discard(root, &id)?;
        sets.remove(at);
    }
    Ok(())
}

/// What must be added to older backups if the backup `sets[at]` is removed, so that the chain of states holds without
/// it: the number of the backup and of its record, and what the removed run wrote. `None`: it must stay.
fn links_around(root: &Root, sets: &[Set], at: usize) -> Result<Option<Vec<(usize, usize, u64)>>> {
    let set = &sets[at];
    let mut links = Vec::new();
    for record in &set.records {
        let of_path = |other: &Record| other.path == record.path;
        let older = |is: &dyn Fn(&Record) -> bool| {
            sets[..at].iter().enumerate().rev().find_map(|(older, set)| {
                set.records.iter().rposition(|other| of_path(other) && is(other)).map(|number| (older, number))
            })
        };
        if !record.is_of_content() {
            // Only the oldest backup of a path has its first state.
            if older(&|_| true).is_none() {
                return Ok(None);
            }
            continue;
        }
        let is_single = set.records.iter().filter(|other| of_path(other) && other.is_of_content()).count() == 1;
        let newer = sets[at + 1..].iter().find_map(|set| {
            set.records.iter().find(|other| of_path(other) && other.is_of_content()).map(|record| (set, record))
        });
        let (Some((number, place)), Some((newer_set, newer)), true, false) =
            (older(&Record::is_of_content), newer, is_single, record.action == Action::Moved)
        else {
            return Ok(None);
        };
        // A copy that is missing makes a backup that can't be judged.
        let content = |set: &Set, record: &Record| content_before(root, set, record).ok();
        let before = content(set, record);
        let (Some(before), Some(next)) = (before, content(newer_set, newer)) else { return Ok(None) };
        let (older_set, older_record) = (&sets[number], &sets[number].records[place]);
        let is_ours = older_record.left(before) || content(older_set, older_record) == Some(before);
        let is_linked = next == before || record.left(next);
        if !is_ours || !is_linked {
            return Ok(None);
        }
        match next {
            Some(written) if next != before && !older_record.left(next) => links.push((number, place, written)),
            // That there is no file cannot be added.
            None if next != before && !older_record.left(None) => return Ok(None),
            _ => {}
        }
    }
    Ok(Some(links))
}

/// Removes the backup of a run whose changes were undone.
pub(super) fn abandon(root: &Root, set: &Set) -> Result<()> {
    discard(root, &format!("{}{PARTIAL}", set.id))
}

fn complete(root: &Root, set: &Set) -> Result<()> {
    let path = set.directory();
    let slot = root.slot(&path)?;
    slot.rename(&slot.name, &set.id).map_err(|errno| root.error("complete the backup", &path, errno))
}

/// Removes a backup, by its name in [`BACKUPS`]. First renames it to a dot-name, so that a half removed backup is never
/// taken for a whole one.
fn discard(root: &Root, name: &str) -> Result<()> {
    let hidden = format!(".{}", name.trim_start_matches('.'));
    let path = format!("{BACKUPS}/{hidden}");
    let slot = root.slot(&path)?;
    let failed = |errno| root.error("remove the backup", &path, errno);
    if name != hidden {
        slot.rename(name, &hidden).map_err(failed)?;
    }
    for file in root.list(&path)?.unwrap_or_default() {
        root.slot(&format!("{path}/{file}"))?.remove(&file).map_err(failed)?;
    }
    match unlinkat(&slot.dir, slot.name.as_str(), UnlinkatFlags::RemoveDir) {
        Err(Errno::ENOENT) => Ok(()),
        other => other.map_err(failed),
    }
}

/// Reads a partial backup. If it can't be read, warns and keeps it: this must not stop a run.
fn load_partial(root: &Root, id: &Id) -> Option<Set> {
    load(root, id, false).inspect_err(warn_once).ok()
}

fn load(root: &Root, id: &Id, complete: bool) -> Result<Set> {
    let name = Set { id: id.to_string(), when: String::new(), why: Why::Apply, complete, records: vec![] };
    let path = format!("{}/{INDEX}", name.directory());
    let broken = || {
        format!(
            "{}: this backup can't be read, and nothing else tells whether the copies beside it are whole: look at each \
             before you put it back by hand, then move the directory out of {BACKUPS}",
            root.shown(&path)
        )
    };
    let index = root.read(&path, INDEX_LIMIT).with_context(broken)?;
    if index.is_none() && root.stat(&name.directory())?.is_none() {
        return Err(Vanished.into());
    }
    let index = index.ok_or_else(|| anyhow!("there is no such file")).with_context(broken)?;
    let value = serde_json::from_slice(&index.bytes).with_context(broken)?;
    from_json(&value, name).with_context(broken)
}

fn to_json(set: &Set) -> Value {
    let entries = set.records.iter().map(|record| {
        let Attributes { mode, uid, gid, label } = &record.attributes;
        json!({
            "path": record.path,
            "action": record.action.word(),
            "file": record.file,
            "copied": record.copied.map(|copied| format!("{copied:016x}")),
            "written": record.written.map(|written| format!("{written:016x}")),
            "later": record.later.iter().map(|later| format!("{later:016x}")).collect::<Vec<_>>(),
            "after": record.after,
            "mode": mode,
            "uid": uid,
            "gid": gid,
            // A label is ASCII by SELinux's own rules.
            "selinux": label.as_deref().and_then(|label| std::str::from_utf8(label).ok()),
        })
    });
    json!({
        "version": VERSION,
        "id": set.id,
        "when": set.when,
        "why": set.why.word(),
        "tool": env!("CARGO_PKG_VERSION"),
        "entries": entries.collect::<Vec<_>>(),
    })
}

/// Reads an index into `set`, which has its ID already. Checks everything that is used later as a path or a number.
fn from_json(index: &Value, set: Set) -> Result<Set> {
    let text = |value: &Value, field: &str| {
        value.get(field).and_then(Value::as_str).map(str::to_owned).with_context(|| format!("{field}: not a text"))
    };
    let number = |value: &Value, field: &str, max: u32| {
        let number = value.get(field).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        number.filter(|number| *number <= max).with_context(|| format!("{field}: not a number up to {max}"))
    };
    let version = index.get("version").and_then(Value::as_u64);
    ensure!(version == Some(VERSION), "version: not {VERSION}, the only version that this program reads");
    let entries = index.get("entries").and_then(Value::as_array).context("entries: not a list")?;
    let records = entries.iter().map(|entry| {
        let print = |value: &Value| {
            let text = value.as_str().context("written: not a text")?;
            u64::from_str_radix(text, 16).context("written: not a fingerprint")
        };
        let print_at = |field: &str| entry.get(field).filter(|value| value.is_string()).map(print).transpose();
        let word = text(entry, "action")?;
        let action = Action::of(&word);
        let record = Record {
            path: text(entry, "path")?,
            action: action.with_context(|| format!("action: {word:?} is unknown"))?,
            attributes: Attributes {
                mode: number(entry, "mode", 0o7777)?,
                uid: number(entry, "uid", u32::MAX)?,
                gid: number(entry, "gid", u32::MAX)?,
                label: entry.get("selinux").and_then(Value::as_str).map(|label| label.as_bytes().to_vec()),
            },
            file: entry.get("file").and_then(Value::as_str).map(str::to_owned),
            written: print_at("written")?,
            // Older versions of the program write none of these.
            copied: print_at("copied")?,
            later: entry
                .get("later")
                .and_then(Value::as_array)
                .map_or_else(|| Ok(Vec::new()), |all| all.iter().map(print).collect::<Result<_>>())?,
            after: entry.get("after").and_then(Value::as_str).map(str::to_owned),
        };
        if record.action != Action::Cluster {
            split(&record.path)?;
        }
        let file = record.file.as_deref();
        let mut names = file.into_iter().chain(record.after.as_deref());
        ensure!(names.all(|name| !name.contains('/') && !name.starts_with('.')), "file: not a file's name");
        let copied = matches!(record.action, Action::Replaced | Action::Moved | Action::Removed | Action::Cluster);
        ensure!(file.is_some() == copied, "{}: file: the copy is missing, or there must be none", record.path);
        Ok(record)
    });
    let records = records.collect::<Result<Vec<_>>>()?;
    Ok(Set { when: text(index, "when")?, why: Why::of(&text(index, "why")?), records, ..set })
}

/// The ID of a backup, which is its name: its second in UTC, and a number if there are several of that second.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    stamp: String,
    number: u32,
}

impl Id {
    pub(super) fn parse(name: &str) -> Option<Id> {
        let (stamp, number) = name.split_once('-').unwrap_or((name, "1"));
        let shape = stamp.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
        let id = Id { stamp: stamp.to_owned(), number: number.parse().ok()? };
        (shape.eq(*b"00000000T000000Z") && id.to_string() == name).then_some(id)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            1 => f.write_str(&self.stamp),
            number => write!(f, "{}-{number}", self.stamp),
        }
    }
}

/// The names in [`BACKUPS`], each list oldest first. Names that are not of backups are left alone.
#[derive(Debug, Default)]
struct Names {
    complete: Vec<Id>,
    partial: Vec<Id>,
    /// Backups that were being written or removed when a run was interrupted.
    unfinished: Vec<String>,
}

impl Names {
    fn read(root: &Root) -> Result<Names> {
        let mut names = Names::default();
        for name in root.list(BACKUPS)?.unwrap_or_default() {
            let hidden = name.strip_prefix('.');
            let plain = hidden.unwrap_or(&name);
            match (Id::parse(plain.strip_suffix(PARTIAL).unwrap_or(plain)), hidden) {
                (None, _) => {}
                (Some(_), Some(_)) => names.unfinished.push(name),
                (Some(id), None) if name.ends_with(PARTIAL) => names.partial.push(id),
                (Some(id), None) => names.complete.push(id),
            }
        }
        names.complete.sort_unstable();
        names.partial.sort_unstable();
        Ok(names)
    }

    fn newest(&self) -> Option<&Id> {
        self.complete.last().max(self.partial.last())
    }

    /// The ID of the next backup: always the highest, even if the clock was set back, as on a first boot.
    fn next(&self, now: SystemTime) -> Id {
        let stamp = stamp(now);
        match self.newest() {
            Some(newest) if newest.stamp >= stamp => Id { number: newest.number + 1, ..newest.clone() },
            _ => Id { stamp, number: 1 },
        }
    }
}

/// The copy of a file that a backup has for one of its records; `None` if the record has no copy.
pub(super) fn copy(root: &Root, set: &Set, record: &Record) -> Result<Option<Vec<u8>>> {
    read_copy(root, set, record, record.file.as_deref(), record.copied)
}

/// The copy of what the run wrote; `None` if the record has no such copy.
pub(super) fn copy_of_after(root: &Root, set: &Set, record: &Record) -> Result<Option<Vec<u8>>> {
    read_copy(root, set, record, record.after.as_deref(), record.written)
}

/// `print`: the fingerprint of the copy, if it is known.
fn read_copy(
    root: &Root,
    set: &Set,
    record: &Record,
    file: Option<&str>,
    print: Option<u64>,
) -> Result<Option<Vec<u8>>> {
    let Some(file) = file else { return Ok(None) };
    let path = format!("{}/{file}", set.directory());
    match root.read(&path, FILE_LIMIT)? {
        Some(copy) if print.is_some_and(|print| print != fingerprint(&copy.bytes)) => bail!(
            "{}: this copy of {} is damaged: its checksum is not that in {INDEX}; correct {} by hand, or move the \
             directory of this backup away, and go back by another one, if {} restore --list shows one",
            root.shown(&path),
            record.path,
            root.shown(&record.path),
            root.program()
        ),
        Some(copy) => Ok(Some(copy.bytes)),
        None => bail!(
            "{} is missing, so this backup can't be restored; correct {} by hand, or go back by another backup, if {} \
             restore --list shows one",
            root.shown(&path),
            root.shown(&record.path),
            root.program()
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::testing::{FIRST, KUBEADM, MANIFEST, Node, POLICY, STRAY, at, mode, way_back};
    use super::*;
    use crate::facts::file::lossy;

    /// What an interrupted run leaves after it has written its backup.
    fn kill(node: &Node, changes: &[Change], why: &Why, seconds: u64) {
        begin(&node.root, changes, why, at(seconds)).unwrap();
    }

    #[test]
    fn a_new_set_has_the_highest_id_whatever_the_clock_says() {
        let id = |name: &str| Id::parse(name).unwrap();
        for (complete, partial, expected) in [
            (vec![], vec![], FIRST),
            (vec!["20251124T121326Z"], vec![], FIRST),
            (vec![FIRST], vec![], "20261124T121326Z-2"),
            (vec![FIRST, "20261124T121326Z-2"], vec![], "20261124T121326Z-3"),
            (vec!["20261124T121326Z-9"], vec!["20261124T121326Z-10"], "20261124T121326Z-11"),
            (vec!["20300101T000000Z"], vec![], "20300101T000000Z-2"),
        ] {
            let ids = |names: Vec<&str>| names.into_iter().map(id).collect();
            let names = Names { complete: ids(complete), partial: ids(partial), unfinished: vec![] };
            assert_eq!(names.next(at(0)).to_string(), expected);
        }
        assert!(id("20261124T121326Z-10") > id("20261124T121326Z-9"));
    }

    #[test]
    fn names_that_are_no_ids_are_left_alone() {
        for name in ["", "..", "lost+found", "20261124T121326", "20261124T121326Z-1", "20261124T121326Z-02", "x-2"]
        {
            assert_eq!(Id::parse(name), None, "{name}");
        }
        let node = Node::with(&[("/var/lib/kube-audit-bootstrap/backups/.mine/x", ""), (POLICY, "0")]);
        node.apply(&[node.write(POLICY, "1")], 0).unwrap();
        assert_eq!(node.sets(), [".mine", FIRST]);
    }

    #[test]
    fn an_index_is_read_as_it_was_written() {
        let record = |path: &str, action, file: Option<&str>, label: Option<&[u8]>| {
            let attributes =
                Attributes { mode: 0o4755, uid: 7, gid: 4_294_967_294, label: label.map(<[u8]>::to_vec) };
            Record {
                path: path.into(),
                action,
                attributes,
                copied: None,
                file: file.map(str::to_owned),
                written: None,
                later: vec![],
                after: None,
            }
        };
        let records = vec![
            record("/a", Action::Replaced, Some("0-a"), Some(b"system_u:object_r:etc_t:s0")),
            record("/b \"\u{e9}\n", Action::Created, None, None),
            record("/c", Action::Moved, Some("2-c"), None),
            record("/d", Action::Removed, Some("3-d"), None),
            record("/e", Action::Attributes, None, None),
            record("/f", Action::Directory, None, None),
            record("/g", Action::DirectoryRemoved, None, None),
        ];
        let set = Set { id: FIRST.into(), when: rfc3339(at(0)), why: Why::Apply, complete: true, records };
        let text = to_json(&set).to_string();
        let bare = Set { when: String::new(), why: Why::Apply, records: vec![], ..set.clone() };
        assert_eq!(from_json(&serde_json::from_str(&text).unwrap(), bare).unwrap(), set);
    }

    #[test]
    fn a_broken_index_is_an_error_that_names_it() {
        let entry = r#"{"path":"/a","action":"replaced","file":"0-a","mode":420,"uid":0,"gid":0,"selinux":null}"#;
        let index = |entry: &str| format!(r#"{{"version":1,"id":"","when":"","why":"","entries":[{entry}]}}"#);
        let node = Node::with(&[]);
        let path = format!("{BACKUPS}/{FIRST}/{INDEX}");
        node.put(&path, &index(entry));
        assert_eq!(list(&node.root).unwrap().len(), 1);
        for broken in [
            String::new(),
            "[]".into(),
            "{\"version\":1}".into(),
            index(entry).replace("\"version\":1", "\"version\":2"),
            index("1"),
            index(&entry.replace("/a", "a")),
            index(&entry.replace("0-a", "../a")),
            index(&entry.replace("0-a", "0/../../a")),
            index(&entry.replace("0-a", ".a")),
            index(&entry.replace("\"0-a\"", "null")),
            index(&entry.replace("replaced", "created")),
            index(&entry.replace("replaced", "painted")),
            index(&entry.replace("420", "4096")),
            index(&entry.replace("420", "-1")),
            index(&entry.replace("\"uid\":0", "\"uid\":4294967296")),
            " ".repeat(INDEX_LIMIT + 1),
        ] {
            node.put(&path, &broken);
            let error = format!("{:#}", way_back(&node.root, None).unwrap_err());
            assert!(error.contains(&path), "{}: {error}", &broken[..broken.len().min(200)]);
            assert_eq!(list(&node.root).unwrap(), []);
        }
        fs::remove_file(node.host(&path)).unwrap();
        assert!(format!("{:#}", way_back(&node.root, None).unwrap_err()).contains(&path));
    }

    #[test]
    fn a_set_holds_private_copies_of_what_was() {
        let node = Node::with(&[(POLICY, "old"), (STRAY, "stray")]);
        node.apply(&[node.write(POLICY, "new"), node.move_away(STRAY), node.write(KUBEADM, "")], 0).unwrap();
        let set = &list(&node.root).unwrap()[0];
        assert_eq!((set.why.word(), set.when.as_str(), set.complete), ("apply", "2026-11-24T12:13:26Z", true));
        let copies: Vec<_> = set.records.iter().map(|record| (record.action, record.file.as_deref())).collect();
        let expected = [
            (Action::Replaced, Some("0-audit-policy.yaml")),
            (Action::Moved, Some("1-backup")),
            (Action::Created, None),
        ];
        assert_eq!(copies, expected);
        assert_eq!(set.records[0].attributes.mode, 0o644);
        for (file, text) in [("0-audit-policy.yaml", "old"), ("1-backup", "stray")] {
            let path = format!("{BACKUPS}/{FIRST}/{file}");
            assert_eq!((node.text(&path).as_str(), node.mode(&path)), (text, 0o600));
        }
        assert_eq!(node.mode(&format!("{BACKUPS}/{FIRST}")), 0o700);
    }

    #[test]
    fn the_text_of_somebody_else_is_kept_and_what_is_removed_leaves_no_gap() {
        let node = Node::with(&[(POLICY, "0")]);
        let paths = |id: Option<&str>| way_back(&node.root, id).unwrap();
        node.apply(&[node.write(POLICY, "1")], 0).unwrap();
        node.put(POLICY, "a week of work");
        let id = node.apply(&[node.write(POLICY, "2")], 1).unwrap().unwrap();
        for run in 2..40_u64 {
            node.apply(&[node.write(POLICY, &format!("run {run}"))], run).unwrap();
        }
        // The first state, the text of somebody else, and the newest ten.
        assert_eq!(node.sets().len(), 12);
        assert_eq!(node.text(&format!("{BACKUPS}/{id}/0-audit-policy.yaml")), "a week of work");
        // Both are still ends of a way back, as before.
        let restore = paths(Some(&id));
        let [Change::WriteFile { bytes, .. }] = &restore.changes[..] else { panic!("{restore:?}") };
        assert_eq!((lossy(bytes).as_str(), restore.foreign.len()), ("a week of work", 0));
        let foreign = paths(Some(FIRST)).foreign;
        assert_eq!((foreign[0].after.as_str(), foreign[0].until.as_deref()), (FIRST, Some(id.as_str())));
        // A text that came back again and again is kept once.
        for run in 40..80_u64 {
            node.put(POLICY, "by another program");
            node.apply(&[node.write(POLICY, "ours")], run).unwrap();
        }
        assert_eq!(node.sets().len(), 14, "{:?}", node.sets());
    }

    #[test]
    fn a_backup_of_an_older_version_is_read() {
        let node = Node::with(&[(POLICY, "0"), (MANIFEST, "a: [x]\n")]);
        node.apply(&[node.write(POLICY, "1"), node.write(MANIFEST, "a: [x, --y]\n")], 0).unwrap();
        let index = format!("{BACKUPS}/{FIRST}/{INDEX}");
        let mut value: Value = serde_json::from_str(&node.text(&index)).unwrap();
        for entry in value["entries"].as_array_mut().unwrap() {
            let entry = entry.as_object_mut().unwrap();
            assert!(entry.remove("later").is_some() && entry.remove("after").is_some());
        }
        node.put(&index, &value.to_string());
        fs::remove_file(node.host(&format!("{BACKUPS}/{FIRST}/1-kube-apiserver.yaml.after"))).unwrap();
        assert_eq!(way_back(&node.root, None).unwrap().changes.len(), 2);
        node.put(MANIFEST, "a: [x, --y]\nb: 1\n");
        assert_eq!(way_back(&node.root, None).unwrap().foreign.len(), 1);
    }

    #[test]
    fn the_newest_ten_and_the_first_state_are_kept() {
        let node = Node::with(&[(POLICY, "0")]);
        for second in 0..14 {
            node.apply(&[node.write(POLICY, &second.to_string())], second).unwrap();
        }
        let sets = node.sets();
        assert_eq!((sets.len(), sets[0].as_str(), sets[1].as_str()), (11, FIRST, "20261124T121330Z"));
        let listed: Vec<_> = list(&node.root).unwrap().into_iter().map(|set| set.id).rev().collect();
        assert_eq!(listed, sets);
    }

    #[test]
    fn the_only_copy_of_a_stray_is_kept() {
        let node = Node::with(&[(POLICY, "0"), ("/m/stray", "mine")]);
        node.apply(&[node.write(POLICY, "1")], 0).unwrap();
        let before = node.snapshot("/m/stray");
        node.apply(&[Change::MoveAway { path: "/m/stray".to_owned(), before }], 1).unwrap();
        node.put("/m/stray", "another");
        let before = node.snapshot("/m/stray");
        node.apply(&[Change::MoveAway { path: "/m/stray".to_owned(), before }], 2).unwrap();
        for second in 3..16 {
            node.apply(&[node.write(POLICY, &second.to_string())], second).unwrap();
        }
        assert_eq!(node.sets()[..3], [FIRST, "20261124T121327Z", "20261124T121328Z"]);
        assert_eq!(node.sets().len(), 13);
    }

    #[test]
    fn a_killed_run_with_nothing_left_to_do_is_completed() {
        let node = Node::with(&[(POLICY, "0")]);
        kill(&node, &[node.write(POLICY, "1")], &Why::Apply, 0);
        assert_eq!(node.sets(), ["20261124T121326Z.partial"]);
        assert!(!list(&node.root).unwrap()[0].complete);
        node.apply(&[], 1).unwrap();
        assert_eq!(node.sets(), [FIRST]);
    }

    #[test]
    fn the_next_run_takes_over_what_killed_ones_knew() {
        let node = Node::with(&[(POLICY, "0"), (KUBEADM, "0"), (MANIFEST, "0")]);
        let changes = |node: &Node| [POLICY, KUBEADM, MANIFEST].map(|path| node.write(path, "1"));
        // Two runs were interrupted, after the first and after the second file.
        kill(&node, &changes(&node), &Why::Apply, 0);
        node.put(POLICY, "1");
        kill(&node, &changes(&node)[1..], &Why::Apply, 1);
        node.put(KUBEADM, "1");
        let id = node.apply(&[node.write(MANIFEST, "1")], 2).unwrap().unwrap();
        assert_eq!(node.sets(), [id.as_str()]);
        let set = &list(&node.root).unwrap()[0];
        let known: Vec<_> = set.records.iter().map(|record| record.path.as_str()).collect();
        // Each record is there once: the records of three runs about the manifest are the same.
        assert_eq!(known, [POLICY, KUBEADM, MANIFEST]);
        node.restore(None, 3);
        assert_eq!([POLICY, KUBEADM, MANIFEST].map(|path| node.text(path)), ["0", "0", "0"]);
    }

    #[test]
    fn an_edit_between_a_killed_run_and_the_next_is_kept_and_not_undone_with_it() {
        let node = Node::with(&[(POLICY, "0")]);
        kill(&node, &[node.write(POLICY, "1")], &Why::Apply, 0);
        node.put(POLICY, "by hand");
        let id = node.apply(&[node.write(POLICY, "1")], 1).unwrap().unwrap();
        let copies = [FIRST, &id].map(|id| node.text(&format!("{BACKUPS}/{id}/0-audit-policy.yaml")));
        assert_eq!(copies, ["0", "by hand"]);
        node.restore(None, 2);
        assert_eq!(node.text(POLICY), "by hand");
        assert_eq!(way_back(&node.root, Some(FIRST)).unwrap().foreign.len(), 1);
    }

    #[test]
    fn a_run_that_fails_leaves_the_killed_ones_set() {
        let node = Node::with(&[(POLICY, "0"), (KUBEADM, "0")]);
        kill(&node, &[node.write(POLICY, "1")], &Why::Apply, 0);
        node.apply(&[node.write(POLICY, "1"), node.fail_late(KUBEADM)], 1).unwrap_err();
        assert_eq!(node.sets(), ["20261124T121326Z.partial"]);
    }

    #[test]
    fn sets_that_were_half_written_or_are_taken_over_already_go() {
        let node = Node::with(&[(POLICY, "0")]);
        kill(&node, &[node.write(POLICY, "1")], &Why::Apply, 0);
        let partial = fs::read_to_string(node.host(&format!("{BACKUPS}/{FIRST}.partial/{INDEX}"))).unwrap();
        node.apply(&[node.write(POLICY, "1")], 1).unwrap();
        // As if power had failed before the older backup was removed.
        node.put(&format!("{BACKUPS}/{FIRST}.partial/{INDEX}"), &partial);
        node.put(&format!("{BACKUPS}/.20261124T121330Z/0-file"), "");
        node.apply(&[], 2).unwrap();
        assert_eq!(node.sets(), ["20261124T121327Z"]);
    }

    #[test]
    fn an_unreadable_partial_set_stops_no_run() {
        let node = Node::with(&[(POLICY, "0")]);
        node.put(&format!("{BACKUPS}/{FIRST}.partial/{INDEX}"), "{");
        node.apply(&[node.write(POLICY, "1")], 1).unwrap();
        assert_eq!(node.sets(), ["20261124T121326Z.partial", "20261124T121327Z"]);
    }

    #[test]
    fn a_killed_restore_is_not_part_of_the_next_run() {
        let node = Node::with(&[(POLICY, "0")]);
        node.apply(&[node.write(POLICY, "1")], 0).unwrap();
        kill(&node, &[node.write(POLICY, "0")], &Why::Restore, 1);
        node.put(POLICY, "0");
        node.apply(&[node.write(POLICY, "1")], 2).unwrap();
        assert_eq!(node.sets(), [FIRST, "20261124T121327Z", "20261124T121328Z"]);
        node.restore(None, 3);
        assert_eq!(node.text(POLICY), "0");
    }

    #[test]
    fn a_label_that_was_there_is_put_back_with_the_file() {
        let wanted = Attributes { label: Some(b"a".to_vec()), ..mode(0o600) };
        for (actual, met) in [(wanted.clone(), true), (mode(0o600), false), (mode(0o644), false)] {
            assert_eq!(wanted.met_by(&actual), met, "{actual:?}");
        }
        // Without a newest backup, every ID is allowed.
        assert!(mode(0o600).met_by(&wanted));
    }
}
