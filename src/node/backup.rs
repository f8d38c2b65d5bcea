//! What files were before a run changed them, and the way back.
//!
//! A backup set is a directory in [`BACKUPS`], named after its time: an `index.json` and the copies. It is written
//! before the first change of its run, under a dot-name, and moved in place as `ID.partial`; when the run is through,
//! it becomes `ID`. A run that was killed leaves its partial set. The next run that changes something takes over what
//! it says; so a set always knows the state from before the *job*, however often that was interrupted.

use std::collections::HashMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::errno::Errno;
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, getegid, geteuid, unlinkat};
use serde_json::{Value, json};

use super::change::{Attributes, Change};
use super::root::{Kind, Place, Root, split};
use super::transaction::{kept_name, temporary_name};

/// What we keep on a node, 0700.
pub const STATE: &str = "/var/lib/kube-audit-bootstrap";
/// Where backup sets are, 0700.
pub const BACKUPS: &str = "/var/lib/kube-audit-bootstrap/backups";
/// The `why` of a set that a restore wrote: such a set is not what `restore` goes back to by default.
pub const RESTORE: &str = "restore";

/// How many complete sets are kept.
const KEEP: usize = 10;
const PARTIAL: &str = ".partial";
const INDEX: &str = "index.json";
/// The format of the index that we write and read.
const VERSION: u64 = 1;
const INDEX_LIMIT: usize = 1 << 20;
/// No file that we change is near this size, in bytes.
const FILE_LIMIT: usize = 64 << 20;

/// What a run did to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Created a file where none was.
    Created,
    /// Replaced a file's content.
    Replaced,
    /// Moved a stray out of the manifest directory.
    Moved,
    /// Removed a file (a restore does).
    Removed,
    /// Changed owner, mode or label only.
    Attributes,
    /// Created a directory.
    Directory,
    /// Removed an empty directory (a restore does).
    DirectoryRemoved,
}

impl Action {
    const ALL: [(Action, &str); 7] = [
        (Action::Created, "created"),
        (Action::Replaced, "replaced"),
        (Action::Moved, "moved"),
        (Action::Removed, "removed"),
        (Action::Attributes, "attributes"),
        (Action::Directory, "directory"),
        (Action::DirectoryRemoved, "directory-removed"),
    ];

    /// The word for it in the index.
    pub fn word(self) -> &'static str {
        Action::ALL.iter().find(|(action, _)| *action == self).map_or("", |(_, word)| word)
    }
}

/// What a path was before a run changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub path: String,
    pub action: Action,
    /// From before the run; those it gave where nothing was.
    pub attributes: Attributes,
    /// The name of the copy in the set, where there was a file.
    pub file: Option<String>,
}

/// A backup set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub id: String,
    /// RFC 3339, UTC.
    pub when: String,
    /// The verb that wrote it.
    pub why: String,
    /// False: its run is under way, or was killed.
    pub complete: bool,
    /// In the order of the changes; where a path comes twice, the older state is first.
    pub records: Vec<Record>,
}

impl Set {
    /// The directory of the set, as the node sees it.
    pub fn directory(&self) -> String {
        format!("{BACKUPS}/{}{}", self.id, if self.complete { "" } else { PARTIAL })
    }

    fn copy(&self, root: &Root, record: &Record) -> Result<Option<Vec<u8>>> {
        let Some(file) = &record.file else { return Ok(None) };
        let path = format!("{}/{file}", self.directory());
        match root.read(&path, FILE_LIMIT)? {
            Some(copy) => Ok(Some(copy.bytes)),
            None => bail!("{} is missing; name another backup set", root.shown(&path)),
        }
    }
}

/// How to put a node back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The sets that are taken back, newest first.
    pub sets: Vec<String>,
    /// For [`super::transaction::execute`], with [`RESTORE`] as `why`. Empty where nothing differs.
    pub changes: Vec<Change>,
    /// What stays as it is, and why.
    pub notes: Vec<String>,
}

/// The backup sets, newest first, those of killed runs included. Errors: a set whose index can't be read, by name.
pub fn list(root: &Root) -> Result<Vec<Set>> {
    let names = Names::read(root)?;
    let ids = names.complete.iter().map(|id| (id, true)).chain(names.partial.iter().map(|id| (id, false)));
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.into_iter().map(|(id, complete)| load(root, id, complete)).collect()
}

/// Whether a run was killed before it was through.
pub fn unfinished(root: &Root) -> Result<bool> {
    Ok(!Names::read(root)?.partial.is_empty())
}

/// Plans to put the node back to what it was before the set `id` was written, or else the newest set that isn't a
/// restore's own. All sets since are taken back: of each path, the oldest state counts.
///
/// The order is that of an apply reversed: the manifest first, and nothing is removed before. Directories are
/// removed only if they become empty, strays stay in the backup: notes say so. Writes nothing.
///
/// Errors: no such set; a set or a copy that can't be read; a path that is now something else than a file.
pub fn restore_changes(root: &Root, id: Option<&str>) -> Result<Restore> {
    let mut sets = list(root)?;
    let found = match id {
        Some(id) => sets.iter().position(|set| set.id == id),
        None => sets.iter().position(|set| set.why != RESTORE),
    };
    let Some(oldest) = found else {
        match id {
            Some(id) => bail!("no backup set {id} in {}; list them and name one", root.shown(BACKUPS)),
            None => bail!("no backup set in {}: nothing to restore", root.shown(BACKUPS)),
        }
    };
    sets.truncate(oldest + 1);

    let mut restore =
        Restore { sets: sets.iter().map(|set| set.id.clone()).collect(), changes: vec![], notes: vec![] };
    let goals = goals(&sets);
    let (mut directories, mut removals) = (Vec::new(), Vec::new());
    for goal in &goals {
        let path = goal.first.1.path.clone();
        match goal.first.1.action {
            Action::Directory => {}
            Action::Created => {
                let current = root.read(&path, FILE_LIMIT)?;
                removals.extend(current.map(|before| Change::RemoveFile { path, before }));
            }
            Action::Moved => {
                let (set, record) = goal.first;
                restore.notes.push(format!(
                    "{path} is not put back, as the kubelet would run it; its copy is {}/{}",
                    set.directory(),
                    record.file.as_deref().unwrap_or_default()
                ));
            }
            Action::DirectoryRemoved => match root.stat(&path)? {
                Some(_) => restore.changes.extend(set_back(root, goal)?),
                None => {
                    directories
                        .push(Change::CreateDirectory { path, attributes: goal.first.1.attributes.clone() });
                }
            },
            Action::Replaced | Action::Removed | Action::Attributes => {
                let attributes = goal.first.1.attributes.clone();
                let Some(bytes) = goal.content.map_or(Ok(None), |(set, record)| set.copy(root, record))? else {
                    if root.stat(&path)?.is_none() {
                        restore.notes.push(format!("{path} is gone, and no backup set has its content"));
                    }
                    restore.changes.extend(set_back(root, goal)?);
                    continue;
                };
                let before = root.read(&path, FILE_LIMIT)?;
                if before.as_ref().is_some_and(|before| before.bytes == bytes) {
                    restore.changes.extend(set_back(root, goal)?);
                } else {
                    restore.changes.push(Change::WriteFile { path, before, bytes, attributes });
                }
            }
        }
    }
    restore.changes.splice(0..0, directories);
    restore.changes.extend(removals);
    remove_directories(root, &goals, &mut restore)?;
    Ok(restore)
}

/// What the sets say of one path.
struct Goal<'a> {
    /// The oldest record.
    first: (&'a Set, &'a Record),
    /// The oldest record that says whether there was a file, and what was in it.
    content: Option<(&'a Set, &'a Record)>,
    /// How far from the end of its set the path was, at most: 0 is the manifest, which comes last.
    rank: usize,
}

/// One goal a path, in the order of the way back. `sets`: newest first.
fn goals(sets: &[Set]) -> Vec<Goal<'_>> {
    let mut goals: Vec<Goal<'_>> = Vec::new();
    let mut index: HashMap<&str, usize> = HashMap::new();
    for set in sets.iter().rev() {
        for (at, record) in set.records.iter().enumerate() {
            let (rank, this) = (set.records.len() - at, (set, record));
            let content = (record.action != Action::Attributes).then_some(this);
            match index.get(record.path.as_str()).and_then(|&known| goals.get_mut(known)) {
                Some(goal) => {
                    goal.rank = goal.rank.max(rank);
                    goal.content = goal.content.or(content);
                }
                None => {
                    index.insert(&record.path, goals.len());
                    goals.push(Goal { first: this, content, rank });
                }
            }
        }
    }
    goals.sort_by_key(|goal| goal.rank);
    goals
}

/// The change of attributes that a path needs, if it is there and needs one.
fn set_back(root: &Root, goal: &Goal<'_>) -> Result<Option<Change>> {
    let Record { path, attributes: after, .. } = goal.first.1;
    let before = root.stat(path)?.map(|entry| entry.attributes).filter(|before| !after.met_by(before));
    Ok(before.map(|before| Change::SetAttributes { path: path.clone(), before, after: after.clone() }))
}

/// Plans the removal of created directories, inner ones first, that hold nothing any more after `restore`'s changes.
fn remove_directories(root: &Root, goals: &[Goal<'_>], restore: &mut Restore) -> Result<()> {
    let created = goals.iter().map(|goal| goal.first.1).filter(|record| record.action == Action::Directory);
    let mut paths: Vec<&str> = created.map(|record| record.path.as_str()).collect();
    paths.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
    for (at, &path) in paths.iter().enumerate() {
        let Some(entry) = root.stat(path)? else { continue };
        if entry.kind != Kind::Directory {
            restore.notes.push(format!("{path} stays: it is {} now", entry.kind));
            continue;
        }
        let mut rest = root.list(path)?.unwrap_or_default();
        rest.retain(|name| {
            let inner = format!("{path}/{name}");
            !restore.changes.iter().any(|change| {
                matches!(change, Change::RemoveFile { .. } | Change::RemoveDirectory { .. })
                    && change.path() == inner
            })
        });
        if rest.is_empty() {
            restore.changes.push(Change::RemoveDirectory { path: path.to_owned(), before: entry.attributes });
        } else if !rest.iter().all(|name| paths.iter().take(at).any(|inner| *inner == format!("{path}/{name}"))) {
            // Where only inner directories are left, their own notes say why.
            let (count, first) = (rest.len(), rest.swap_remove(0));
            restore.notes.push(format!("{path} stays: it holds {count} name(s), {first:?} first; logs are kept"));
        }
    }
    Ok(())
}

/// Clears up after killed runs: temporary and kept files, sets that were never finished writing or that a later set
/// has taken over. What the partial sets say stays. What can't be cleared up is a warning. To be called with the
/// lock held; [`super::transaction::execute`] does so first of all.
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
        // A run that completes takes over or completes all partial sets, and a new set has the highest id.
        if names.complete.last().is_some_and(|newest| newest > id) {
            warn_on_error(discard(root, &format!("{id}{PARTIAL}")));
        }
    }
    Ok(())
}

/// Removes what a killed run may have left beside a path.
fn clear(root: &Root, record: &Record) -> Result<()> {
    let path = match record.action {
        Action::Created | Action::Replaced => root.real(&record.path)?,
        Action::Moved | Action::Removed => record.path.clone(),
        Action::Attributes | Action::Directory | Action::DirectoryRemoved => return Ok(()),
    };
    if root.stat(split(&path)?.0)?.is_none() {
        return Ok(());
    }
    let place = root.place(&path)?;
    for name in [temporary_name(&place.name), kept_name(&place.name)] {
        place.remove(&name).map_err(|errno| root.error("remove the leftover beside", &path, errno))?;
    }
    Ok(())
}

/// Completes the partial sets: there was nothing left to do for the run after the killed one.
pub(super) fn complete_partial(root: &Root) -> Result<()> {
    let names = Names::read(root)?;
    names.partial.iter().filter_map(|id| load_partial(root, id)).try_for_each(|set| complete(root, &set))?;
    prune(root)
}

/// Writes the backup set of `changes`, durably, and returns it. On errors there is none.
pub(super) fn begin(root: &Root, changes: &[Change], why: &str, now: SystemTime) -> Result<Set> {
    let names = Names::read(root)?;
    let mut copies = Vec::new();
    for set in names.partial.iter().filter_map(|id| load_partial(root, id)) {
        // A restore goes back past the killed run, not on with its work, and so does an apply after a restore.
        if why == RESTORE || set.why == RESTORE {
            complete(root, &set)?;
            continue;
        }
        for record in &set.records {
            let copy = (Record { file: None, ..record.clone() }, set.copy(root, record)?);
            // Each killed run took over the ones before.
            if !copies.contains(&copy) {
                copies.push(copy);
            }
        }
    }
    for copy in records(root, changes)? {
        if !copies.contains(&copy) {
            copies.push(copy);
        }
    }
    for (at, (record, bytes)) in copies.iter_mut().enumerate() {
        // 50 characters are at most 200 bytes; a name has at most 255.
        let name: String = split(&record.path)?.1.chars().take(50).collect();
        record.file = bytes.is_some().then(|| format!("{at}-{name}"));
    }
    let set = Set {
        id: names.next(now).to_string(),
        when: rfc3339(now),
        why: why.to_owned(),
        complete: false,
        records: copies.iter().map(|(record, _)| record.clone()).collect(),
    };
    make_private(root, STATE)?;
    make_private(root, BACKUPS)?;
    let hidden = format!(".{}", set.id);
    let place = root.place(&format!("{BACKUPS}/{hidden}"))?;
    write(root, &place, &set, &copies).inspect_err(|_| warn_on_error(discard(root, &hidden)))?;
    Ok(set)
}

/// What has to be recorded before `changes`, with the copies.
fn records(root: &Root, changes: &[Change]) -> Result<Vec<(Record, Option<Vec<u8>>)>> {
    let mut records: Vec<(Record, Option<Vec<u8>>)> = Vec::new();
    let mut add = |path: &str, action, attributes: &Attributes, bytes: Option<&Vec<u8>>| {
        let record = Record { path: path.to_owned(), action, attributes: attributes.clone(), file: None };
        // A directory may be a parent of several changes.
        if action != Action::Directory || !records.iter().any(|(other, _)| other.path == path) {
            records.push((record, bytes.cloned()));
        }
    };
    for change in changes {
        match change {
            Change::CreateDirectory { path, attributes } => {
                for missing in root.missing_directories(path)? {
                    add(missing, Action::Directory, attributes, None);
                }
            }
            Change::SetAttributes { path, before, .. } => add(path, Action::Attributes, before, None),
            Change::WriteFile { path, before: Some(before), .. } => {
                add(path, Action::Replaced, &before.attributes, Some(&before.bytes));
            }
            Change::WriteFile { path, attributes, .. } => {
                for missing in root.missing_directories(split(path)?.0)? {
                    add(missing, Action::Directory, &Attributes::new(0o755, 0, 0), None);
                }
                add(path, Action::Created, attributes, None);
            }
            Change::MoveAway { path, before } => add(path, Action::Moved, &before.attributes, Some(&before.bytes)),
            Change::RemoveFile { path, before } => {
                add(path, Action::Removed, &before.attributes, Some(&before.bytes));
            }
            Change::RemoveDirectory { path, before } => add(path, Action::DirectoryRemoved, before, None),
        }
    }
    Ok(records)
}

/// Writes a set under the dot-name `place`, then moves it in place.
fn write(root: &Root, place: &Place, set: &Set, copies: &[(Record, Option<Vec<u8>>)]) -> Result<()> {
    let failed = |errno| root.error("write the backup set", &set.directory(), errno);
    mkdirat(&place.dir, place.name.as_str(), Mode::S_IRWXU).map_err(failed)?;
    let inside = root.place(&format!("{}/{INDEX}", place.path))?;
    for (record, bytes) in copies {
        if let (Some(file), Some(bytes)) = (&record.file, bytes) {
            inside.create(file, bytes, None).map_err(failed)?;
        }
    }
    let index = format!("{:#}\n", to_json(set));
    ensure!(index.len() <= INDEX_LIMIT, "a backup set of {} entries is too large", set.records.len());
    inside.create(INDEX, index.as_bytes(), None).map_err(failed)?;
    inside.sync().map_err(failed)?;
    place.rename(&place.name, &format!("{}{PARTIAL}", set.id)).map_err(failed)?;
    place.sync().map_err(failed)
}

/// After the last change: the set is complete, what it took over and sets beyond the newest go. Nothing here has to
/// be durable: if it is lost with the power, the next run finds a partial set and does this again.
pub(super) fn finish(root: &Root, set: &Set) -> Result<()> {
    complete(root, set)?;
    for id in Names::read(root)?.partial {
        if load_partial(root, &id).is_some() {
            discard(root, &format!("{id}{PARTIAL}"))?;
        }
    }
    prune(root)
}

fn prune(root: &Root) -> Result<()> {
    let complete = Names::read(root)?.complete;
    let surplus = complete.len().saturating_sub(KEEP);
    complete.iter().take(surplus).try_for_each(|id| discard(root, &id.to_string()))
}

/// Removes the set of a run that was undone.
pub(super) fn abandon(root: &Root, set: &Set) -> Result<()> {
    discard(root, &format!("{}{PARTIAL}", set.id))
}

fn complete(root: &Root, set: &Set) -> Result<()> {
    let path = set.directory();
    let place = root.place(&path)?;
    place.rename(&place.name, &set.id).map_err(|errno| root.error("complete the backup set", &path, errno))
}

/// Removes a set, by its name in [`BACKUPS`]: first gives it a dot-name, so that no half of one is ever taken for one.
fn discard(root: &Root, name: &str) -> Result<()> {
    let hidden = format!(".{}", name.trim_start_matches('.'));
    let path = format!("{BACKUPS}/{hidden}");
    let place = root.place(&path)?;
    let failed = |errno| root.error("remove the backup set", &path, errno);
    if name != hidden {
        place.rename(name, &hidden).map_err(failed)?;
    }
    for file in root.list(&path)?.unwrap_or_default() {
        root.place(&format!("{path}/{file}"))?.remove(&file).map_err(failed)?;
    }
    match unlinkat(&place.dir, place.name.as_str(), UnlinkatFlags::RemoveDir) {
        Err(Errno::ENOENT) => Ok(()),
        other => other.map_err(failed),
    }
}

/// Makes a directory that only we may enter, where there is none.
pub(super) fn make_private(root: &Root, path: &str) -> Result<()> {
    if root.stat(path)?.is_some() {
        return Ok(());
    }
    root.make_directory(path, &Attributes::new(0o700, geteuid().as_raw(), getegid().as_raw()), &mut |_| {})
}

pub(super) fn warn_on_error(result: Result<()>) {
    if let Err(error) = result {
        log::warn!("{error:#}");
    }
}

/// A partial set, or a warning: an unreadable one must not keep a node from being audited. It stays.
fn load_partial(root: &Root, id: &Id) -> Option<Set> {
    load(root, id, false).inspect_err(|error| log::warn!("{error:#}")).ok()
}

fn load(root: &Root, id: &Id, complete: bool) -> Result<Set> {
    let name = Set { id: id.to_string(), when: String::new(), why: String::new(), complete, records: vec![] };
    let path = format!("{}/{INDEX}", name.directory());
    let broken = || format!("{} can't be used; move its directory away", root.shown(&path));
    let index = root.read(&path, INDEX_LIMIT).with_context(broken)?;
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
        "why": set.why,
        "tool": env!("CARGO_PKG_VERSION"),
        "entries": entries.collect::<Vec<_>>(),
    })
}

/// Reads an index into `set`, which knows its id. Checks all that is used later as a path or a number.
fn from_json(index: &Value, set: Set) -> Result<Set> {
    let text = |value: &Value, field: &str| {
        value.get(field).and_then(Value::as_str).map(str::to_owned).with_context(|| format!("{field}: no text"))
    };
    let number = |value: &Value, field: &str, max: u32| {
        let number = value.get(field).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        number.filter(|number| *number <= max).with_context(|| format!("{field}: no number up to {max}"))
    };
    let version = index.get("version").and_then(Value::as_u64);
    ensure!(version == Some(VERSION), "version: not {VERSION}, which is what this program reads");
    let entries = index.get("entries").and_then(Value::as_array).context("entries: no list")?;
    let records = entries.iter().map(|entry| {
        let word = text(entry, "action")?;
        let action = Action::ALL.iter().find(|(_, known)| *known == word);
        let record = Record {
            path: text(entry, "path")?,
            action: action.with_context(|| format!("action: {word:?} is unknown"))?.0,
            attributes: Attributes {
                mode: number(entry, "mode", 0o7777)?,
                uid: number(entry, "uid", u32::MAX)?,
                gid: number(entry, "gid", u32::MAX)?,
                label: entry.get("selinux").and_then(Value::as_str).map(|label| label.as_bytes().to_vec()),
            },
            file: entry.get("file").and_then(Value::as_str).map(str::to_owned),
        };
        split(&record.path)?;
        let file = record.file.as_deref();
        ensure!(file.is_none_or(|file| !file.contains('/') && !file.starts_with('.')), "file: not a file's name");
        let copied = matches!(record.action, Action::Replaced | Action::Moved | Action::Removed);
        ensure!(file.is_some() == copied, "{}: file: a copy is missing, or one too many", record.path);
        Ok(record)
    });
    let records = records.collect::<Result<Vec<_>>>()?;
    Ok(Set { when: text(index, "when")?, why: text(index, "why")?, records, ..set })
}

/// A set's name: its second in UTC, and a number where several were made in that second.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    stamp: String,
    number: u32,
}

impl Id {
    fn parse(name: &str) -> Option<Id> {
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

/// What is in [`BACKUPS`], each oldest first. Names that aren't ours are left alone.
#[derive(Debug, Default)]
struct Names {
    complete: Vec<Id>,
    partial: Vec<Id>,
    /// Sets that were being written or removed.
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

    /// The id of the next set: always the highest, even if the clock was set back, as it is on a first boot.
    fn next(&self, now: SystemTime) -> Id {
        let stamp = stamp(now);
        match self.complete.last().max(self.partial.last()) {
            Some(newest) if newest.stamp >= stamp => Id { number: newest.number + 1, ..newest.clone() },
            _ => Id { stamp, number: 1 },
        }
    }
}

/// Year, month, day, hour, minute, second in UTC; 1970 for what is before.
fn civil(time: SystemTime) -> [u64; 6] {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).min(253_402_300_799);
    // Days since 0000-03-01, so that a leap day is the last of its year. An era is 400 years.
    let days = seconds / 86400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    [year, month, day, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60]
}

fn stamp(time: SystemTime) -> String {
    let [year, month, day, hour, minute, second] = civil(time);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

fn rfc3339(time: SystemTime) -> String {
    let [year, month, day, hour, minute, second] = civil(time);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
