//! Decides what `restore` and a rollback do: put the node back as it was before a backup was written, except for what
//! the API server then still needs.

use std::collections::BTreeSet;
use std::fmt;

use crate::change::{Change, KUBEADM_CONFIG};
use crate::facts::backup::{Action, BACKUPS, Record, fingerprint};
use crate::facts::file::{FileKind, Text, lossy, text_of};
use crate::facts::way_back::{ContentStep, Goal, WayBack};
use crate::path::is_within;
use crate::wiring::{kubeadm, manifest, pod};
use crate::yaml::{self, undo::undo};

/// What a restore does, and what it does not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restore {
    /// The IDs of the backups that are put back, newest first.
    pub sets: Vec<String>,
    /// The changes, in order, for `node::transaction::execute`. Empty if nothing differs.
    pub changes: Vec<Change>,
    /// Files that somebody else changed so that the restore can't undo what the program wrote there alone.
    pub foreign: Vec<Foreign>,
    /// Files that somebody else changed, and from which the restore takes only what the program wrote.
    pub shared: Vec<String>,
    /// Files that a run wrote, and that were removed since: only a forced restore puts them back.
    pub gone: Vec<String>,
    /// What does not change, and why.
    pub notes: Vec<String>,
    /// The note that says why the cluster's kubeadm configuration is not put back.
    pub cluster_stays: Option<String>,
}

/// A file that somebody else changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    pub path: String,
    /// The ID of the backup of the run after which it was changed.
    pub after: String,
    /// The ID of the oldest backup of a run after that change, if there was one: a restore can go back so far.
    pub until: Option<String>,
    /// Why the settings can't be taken out of it, with the position, where this was tried.
    pub why: Option<String>,
    /// The program had made the file, so a restore would remove it.
    pub is_new: bool,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Foreign { path, after, why, .. } = self;
        write!(f, "{path}: something else changed this after {after}")?;
        why.as_ref().map_or(Ok(()), |why| write!(f, " ({path}:{why})"))
    }
}

/// Plans a restore. Undoes only what the program wrote. With `force`, every file gets its previous content, whatever
/// somebody else has made of it.
///
/// The order is the reverse of an apply: the manifest comes first, and nothing is removed before it. A directory is
/// removed only if it becomes empty. A stray manifest stays in the backup. Notes report what stays.
pub fn plan(way: &WayBack, force: bool) -> Restore {
    let sets = way.sets.iter().map(|set| set.id.clone()).collect();
    let mut back =
        Back { way, force, restore: Restore { sets, ..Restore::default() }, unmounts: vec![], removals: vec![] };
    for goal in &way.goals {
        back.plan(goal);
    }
    let Back { mut restore, unmounts, removals, .. } = back;
    // The API server that the previous manifest starts must not see what is about to be removed.
    restore.changes.splice(0..0, unmounts);
    restore.changes.extend(removals);
    remove_directories(way, &mut restore);
    restore
}

/// What comes of the content of a file if the runs are undone, the newest first.
#[derive(Clone, Debug, Default)]
struct Unwound {
    content: Option<Vec<u8>>,
    /// The number of the oldest run that is undone.
    reached: usize,
    /// The program's own part was taken out of a text that somebody else had changed.
    shared: bool,
    /// Where the way back ends: at a change of somebody else.
    foreign: Option<Foreign>,
    /// Where the way back ends: somebody else removed the file.
    gone: bool,
}

/// Undoes the runs of `steps` on a file that is `now`. A run is undone only as long as the file is what the run wrote;
/// what somebody else changed between two runs, or after the last one, stays.
fn unwind(path: &str, steps: &[ContentStep], now: Option<&[u8]>) -> Unwound {
    let mut unwound = Unwound { content: now.map(<[u8]>::to_vec), reached: steps.len(), ..Unwound::default() };
    let mut until = None;
    for (at, chain) in chains(steps).into_iter().rev() {
        let print = unwound.content.as_deref().map(fingerprint);
        let (Some(first), Some(last)) = (chain.first(), chain.last()) else { continue };
        // A state between two runs is known, too: the later run did nothing, or somebody undid it by hand.
        let is_known = |step: &&ContentStep| step.record.left(print) || step.before == unwound.content;
        let is_ours = last.record.left(print) || print.is_some() && chain.iter().any(is_known);
        let is_nothing = last.record.left(first.before.as_deref().map(fingerprint));
        if unwound.content == first.before {
        } else if is_ours {
            unwound.content.clone_from(&first.before);
        } else if is_nothing {
        } else if unwound.content.is_none() {
            // A file that the program had made is to be gone anyway.
            unwound.gone = first.before.is_some();
        } else {
            match take_out(first.before.as_deref(), last.after.as_deref(), unwound.content.as_deref()) {
                Ok(text) => {
                    unwound.shared |= Some(text.as_bytes()) != unwound.content.as_deref();
                    unwound.content = Some(text.into_bytes());
                }
                Err(why) => {
                    let (path, after, is_new) = (path.to_owned(), last.set.clone(), first.before.is_none());
                    unwound.foreign = Some(Foreign { path, after, until, why, is_new });
                }
            }
        }
        if unwound.gone || unwound.foreign.is_some() {
            return unwound;
        }
        unwound.reached = at;
        until = Some(first.set.clone());
    }
    unwound
}

/// Divides runs into chains: each run found what the previous one had left. Where a chain ends, somebody else changed
/// the file. A run that changed nothing, because it was interrupted or undone at once, is left out. Each chain comes
/// with the number of its first run.
fn chains(steps: &[ContentStep]) -> Vec<(usize, Vec<&ContentStep>)> {
    let mut chains: Vec<(usize, Vec<&ContentStep>)> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let print = step.before.as_deref().map(fingerprint);
        match chains.last_mut() {
            Some((_, chain)) if chain.last().is_some_and(|last| last.record.left(print)) => chain.push(step),
            Some((_, chain)) if chain.last().is_some_and(|last| last.before == step.before) => {
                chain.pop();
                chain.push(step);
            }
            _ => chains.push((at, vec![step])),
        }
    }
    chains
}

/// Takes out of the text `now` what a run wrote there.
///
/// # Errors
///
/// Why this can't be done, with the position in `now`; `None` if it can't be tried.
fn take_out(
    previous: Option<&[u8]>,
    written: Option<&[u8]>,
    now: Option<&[u8]>,
) -> Result<String, Option<String>> {
    let text = |bytes: Option<&[u8]>| text_of(bytes?).map(str::to_owned).ok();
    let (Some(previous), Some(written), Some(now)) = (text(previous), text(written), text(now)) else {
        return Err(None);
    };
    if !is_edited(&written) {
        return Err(None);
    }
    let undone = undo(&previous, &written, &now).map_err(|refused| Some(refused.to_string()))?;
    // A mount of somebody else may need the volume that was taken out.
    let is_pod = manifest::identify_pod(&undone).is_ok_and(|pod| pod.is_some());
    match pod::check(&undone, None) {
        Err(refusal) if is_pod && pod::check(&now, None).is_ok() => Err(Some(refusal.to_string())),
        _ => Ok(undone),
    }
}

/// Does the program edit files of this kind? A policy, or a unit, is its own text as a whole, and what somebody made of
/// it can't be told from it.
fn is_edited(text: &str) -> bool {
    yaml::parse(text).is_ok_and(|documents| {
        documents
            .iter()
            .map(|document| &document.root)
            .all(|root| root.pairs().is_some() && root.get("kind").and_then(yaml::Node::scalar) != Some("Policy"))
    })
}

/// An unfinished restore.
struct Back<'w> {
    way: &'w WayBack,
    force: bool,
    restore: Restore,
    /// Changes that come before all others.
    unmounts: Vec<Change>,
    /// Changes that come after all others except for directories.
    removals: Vec<Change>,
}

impl Back<'_> {
    fn plan(&mut self, goal: &Goal) {
        let path = &goal.record.path;
        match goal.record.action {
            // Directories are planned when everything else is known.
            Action::Directory => {}
            Action::Unmounted => self.tell_of_unmounted(goal),
            Action::Formatted => {
                self.note(format!("{path} keeps its new file system, and all files in it"));
            }
            Action::Mounted => self.unmount(goal),
            // The path is right also for an incomplete backup, because a restore completes it.
            Action::Moved => self.tell_of_moved(path),
            Action::Cluster => self.put_cluster_back(goal),
            Action::DirectoryRemoved if goal.now.entry.is_some() => self.restore.changes.extend(set_back(goal)),
            Action::DirectoryRemoved => {
                let (path, attributes) = (path.clone(), goal.record.attributes.clone());
                self.restore.changes.push(Change::CreateDirectory { path, attributes });
            }
            Action::Created | Action::Replaced | Action::Removed | Action::Attributes => self.put_back(goal),
        }
    }

    fn note(&mut self, note: String) {
        self.restore.notes.push(note);
    }

    /// Names all copies of a stray, the oldest first: it may have come back with another text.
    fn tell_of_moved(&mut self, path: &str) {
        let copies: Vec<_> = self
            .way
            .sets
            .iter()
            .rev()
            .flat_map(|set| {
                let moved =
                    set.records.iter().filter(|record| record.path == path && record.action == Action::Moved);
                moved.filter_map(|record| Some(format!("{BACKUPS}/{}/{}", set.id, record.file.as_ref()?)))
            })
            .collect();
        let what = if copies.len() > 1 { "its copies are" } else { "its copy is" };
        self.note(format!(
            "{path} is not put back, because the kubelet would run it; {what} {}",
            copies.join(", ")
        ));
    }

    fn tell_of_unmounted(&mut self, goal: &Goal) {
        let path = goal.record.path.trim_end_matches('/');
        if self.way.is_host && goal.now.mounted.is_none() {
            self.note(format!("{path} is not mounted again; run kube-audit-bootstrap apply, or reboot"));
        }
    }

    fn unmount(&mut self, goal: &Goal) {
        let path = goal.record.path.trim_end_matches('/').to_owned();
        if let Some(mounted) = &goal.now.mounted {
            self.note(format!(
                "all events in {path} stay on {}, in its directory {}",
                mounted.source, mounted.root
            ));
        }
        // An interrupted run may have mounted or unmounted only a part.
        if goal.now.mounted.is_some() || goal.now.has_aside {
            self.unmounts.push(Change::Unmount { path });
        }
    }

    fn put_cluster_back(&mut self, goal: &Goal) {
        let path = &goal.record.path;
        let Some(now) = &goal.now.cluster else {
            return self.cluster_stays(format!(
                "{path} is not put back, because it is in the cluster, and this is not a running node"
            ));
        };
        match put_cluster_back(&goal.steps, now) {
            Ok((None, _)) => {}
            // Before the manifest, because the API server is down after that change.
            Ok((Some(change), is_shared)) => {
                if is_shared {
                    self.restore.shared.push(path.clone());
                }
                self.restore.changes.insert(0, change);
            }
            Err(note) => self.cluster_stays(note),
        }
    }

    fn cluster_stays(&mut self, why: String) {
        self.restore.cluster_stays = Some(why.clone());
        self.note(why);
    }

    fn put_back(&mut self, goal: &Goal) {
        let Record { path, attributes, .. } = &goal.record;
        let now = goal.now.file.clone();
        let Some(oldest) = goal.steps.first() else {
            if goal.now.entry.is_none() {
                self.note(format!("{path} does not exist any more, and no backup has its content"));
            }
            self.restore.changes.extend(set_back(goal));
            return;
        };
        // A log that the program began empty, and that has events now, was not read, and stays.
        if now.is_none() && goal.now.entry.is_some() {
            return;
        }
        let unwound = unwind(path, &goal.steps, now.as_ref().map(|now| now.bytes.as_slice()));
        if unwound.gone && !self.force {
            self.restore.gone.push(path.clone());
        }
        let is_told = unwound.foreign.is_some();
        self.restore.foreign.extend(unwound.foreign);
        match self.force {
            true if !is_told && unwound.content != oldest.before => {
                self.note(format!("{path}: something else changed this, too, and --force undoes that as well"))
            }
            false if unwound.shared => self.restore.shared.push(path.clone()),
            _ => {}
        }
        let (content, is_whole) = match self.force {
            true => (oldest.before.clone(), true),
            false => (unwound.content, unwound.reached == 0),
        };
        let attributes = match goal.steps.get(unwound.reached) {
            Some(step) if !is_whole => step.record.attributes.clone(),
            _ => attributes.clone(),
        };
        let path = path.clone();
        match (now, content) {
            (Some(now), Some(content)) if now.bytes == content => {
                self.restore.changes.extend(set_back(goal).filter(|_| is_whole));
            }
            (Some(before), None) => self.removals.push(Change::RemoveFile { path, before }),
            (None, None) => {}
            (before, Some(bytes)) => {
                self.restore.changes.push(Change::WriteFile { path, before, bytes, attributes });
            }
        }
    }
}

/// The change that puts the cluster's kubeadm configuration back, and whether only the program's own part of it is
/// undone; no change if it is already as before. `now`: its text, or why it cannot be read.
///
/// # Errors
///
/// A note: why it is not put back.
fn put_cluster_back(
    steps: &[ContentStep],
    now: &Result<String, String>,
) -> Result<(Option<Change>, bool), String> {
    let now = now.as_ref().map_err(|error| {
        format!("{error:#}, so it is not put back; run kube-audit-bootstrap restore again when it can be read")
    })?;
    let unwound = unwind(KUBEADM_CONFIG, steps, Some(now.as_bytes()));
    if unwound.foreign.is_some() {
        return Err(format!(
            "{KUBEADM_CONFIG} is not put back, because it was changed since; remove the audit settings by hand, with \
             kubectl -n kube-system edit configmap kubeadm-config"
        ));
    }
    let after = lossy(unwound.content.as_deref().unwrap_or_default());
    let change = (after != *now).then(|| Change::WriteCluster { before: now.clone(), after });
    Ok((change, unwound.shared))
}

/// The change of owner, mode or label that a path needs, if it exists and needs one.
fn set_back(goal: &Goal) -> Option<Change> {
    let Record { path, attributes: after, .. } = &goal.record;
    let before = goal.now.entry.as_ref().map(|entry| &entry.attributes).filter(|before| !after.met_by(before))?;
    Some(Change::SetAttributes { path: path.clone(), before: before.clone(), after: after.clone() })
}

/// Plans the removal of directories that a run created, inner ones first, if they are empty after the changes of
/// `restore`.
fn remove_directories(way: &WayBack, restore: &mut Restore) {
    let mut created: Vec<_> = way.goals.iter().filter(|goal| goal.record.action == Action::Directory).collect();
    created.sort_by_key(|goal| std::cmp::Reverse(goal.record.path.matches('/').count()));
    for (at, goal) in created.iter().enumerate() {
        let path = &goal.record.path;
        let is_it = |change: &Change| matches!(change, Change::Unmount { path: mounted } if mounted == path);
        // The files in it disappear with the mount.
        if restore.changes.iter().any(is_it) {
            continue;
        }
        let Some(entry) = &goal.now.entry else { continue };
        if entry.kind != FileKind::Directory {
            restore.notes.push(format!("{path} stays: it is {} now", entry.kind));
            continue;
        }
        let mut rest = goal.now.names.clone();
        rest.retain(|name| {
            let inner = format!("{path}/{name}");
            !restore.changes.iter().any(|change| {
                matches!(change, Change::RemoveFile { .. } | Change::RemoveDirectory { .. })
                    && change.path() == inner
            })
        });
        let is_inner =
            |name: &String| created.iter().take(at).any(|inner| inner.record.path == format!("{path}/{name}"));
        if rest.is_empty() {
            let before = entry.attributes.clone();
            restore.changes.push(Change::RemoveDirectory { path: path.clone(), before });
        } else if !rest.iter().all(is_inner) {
            // If only inner directories are left, their own notes say why.
            let (count, first) = (rest.len(), rest.swap_remove(0));
            let is_log = [&first].into_iter().chain(&rest).any(|name| name.contains(".log"));
            let why = if is_log { "; a log is never deleted" } else { "" };
            let what = match count {
                1 => format!("{first:?} is in it"),
                _ => format!("{count} files or directories are in it, such as {first:?}"),
            };
            restore.notes.push(format!("{path} stays: {what}{why}"));
        }
    }
}

/// The manifest before a restore.
#[derive(Clone, Copy, Debug)]
pub enum Present<'t> {
    Absent,
    Text(&'t str),
    /// Something else removed what a run wrote there.
    Away,
    /// It can't be read.
    Unknown,
    /// Its path is not known, because the configuration can't be read.
    Unnamed,
}

impl Present<'_> {
    /// Its text, if it is known.
    pub fn text(&self) -> Option<&str> {
        match self {
            Present::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// What else may need what a restore would remove.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it has functions")]
pub struct Around<'a> {
    /// The other manifests that the kubelet reads.
    pub beside: &'a [Text],
    /// The kubeadm configuration files, of which the first manifest is made.
    pub kubeadm: &'a [Text],
    /// Where a path leads if it is a link, or else the path itself.
    pub real: &'a dyn Fn(&str) -> String,
}

/// What the changes of a restore write to `path`, or to the file that it leads to: `Some(None)` if they remove the file
/// there. `real`: as in [`Around`].
pub fn written(changes: &[Change], path: &str, real: &dyn Fn(&str) -> String) -> Option<Option<String>> {
    let is_it = |other: &String| other == path || real(other) == real(path);
    changes.iter().find_map(|change| match change {
        Change::WriteFile { path: written, bytes, .. } if is_it(written) => Some(Some(lossy(bytes))),
        Change::RemoveFile { path: removed, .. } if removed == path => Some(None),
        _ => None,
    })
}

/// The paths that a manifest names.
enum Referenced {
    These(Vec<String>),
    /// The program can't read the manifest, so any path may be one. The text is why, with the position.
    Any(String),
}

impl Referenced {
    fn by(manifest: Present<'_>, real: &dyn Fn(&str) -> String) -> Referenced {
        match manifest {
            Present::Absent => Referenced::These(Vec::new()),
            Present::Text(text) => match manifest::needed_paths(text) {
                Ok(paths) => Referenced::These(with_links(paths, real)),
                Err(refusal) => Referenced::Any(format!(":{refusal}")),
            },
            Present::Away => {
                Referenced::Any(": somebody has moved the manifest away, and may move it back".to_owned())
            }
            Present::Unknown => Referenced::Any(": the manifest can't be read".to_owned()),
            Present::Unnamed => Referenced::Any(
                ": the configuration, which may name another manifest, can't be read; correct it, and run restore again"
                    .to_owned(),
            ),
        }
    }

    fn has(&self, path: &str) -> bool {
        match self {
            Referenced::These(paths) => paths.iter().any(|one| one == path),
            Referenced::Any(_) => true,
        }
    }
}

/// Adds what the links among `paths` lead to.
fn with_links(mut paths: Vec<String>, real: &dyn Fn(&str) -> String) -> Vec<String> {
    paths.extend(paths.iter().map(|path| real(path)).collect::<Vec<_>>());
    paths
}

/// Removes from a restore or a rollback what would take a file from a pod that needs it afterwards: that of the manifest
/// at `manifest_path`, which is `manifest` now, those of the other manifests that the kubelet reads, and, as long as
/// there is no manifest, the one that kubeadm will make. Adds a note for each.
pub fn keep_needed(restore: &mut Restore, manifest_path: &str, manifest: Present<'_>, around: &Around<'_>) {
    keep_referenced(restore, manifest_path, manifest, around.real);
    for other in around.beside.iter().filter(|other| other.path != manifest_path) {
        let mounted = manifest::host_paths(&other.text).unwrap_or_default();
        keep_for_other(restore, [manifest_path, &other.path], &with_links(mounted, around.real), "mounts");
    }
    let has_manifest = match written(&restore.changes, manifest_path, around.real) {
        Some(written) => written.is_some(),
        None => !matches!(manifest, Present::Absent),
    };
    for file in around.kubeadm.iter().filter(|_| !has_manifest) {
        let text = written(&restore.changes, &file.path, around.real).unwrap_or_else(|| Some(file.text.clone()));
        let named = text.and_then(|text| kubeadm::needed_paths(&text).ok()).unwrap_or_default();
        keep_for_other(restore, [manifest_path, &file.path], &with_links(named, around.real), "names");
    }
}

/// Removes from a restore all changes that would remove a file or directory that the manifest names after the restore:
/// without it, the API server would not start. If the program can't read that manifest, everything stays that would be
/// removed. `manifest`: the present one. Adds a note for each.
fn keep_referenced(
    restore: &mut Restore,
    manifest_path: &str,
    manifest: Present<'_>,
    real: &dyn Fn(&str) -> String,
) {
    let changed = written(&restore.changes, manifest_path, real);
    let after = match &changed {
        Some(text) => text.as_deref().map_or(Present::Absent, Present::Text),
        // Somebody has moved it away, as for a restart of the pod, and may move it back.
        None if restore.gone.iter().any(|gone| gone == manifest_path) => Present::Away,
        None => manifest,
    };
    let referenced = Referenced::by(after, real);
    let removed = |change: &Change| match change {
        Change::RemoveFile { path, .. } if path == manifest_path => None,
        Change::RemoveFile { path, .. } | Change::RemoveDirectory { path, .. } => Some(path.clone()),
        // The previous manifest had the directory below the mount, which is there again.
        Change::Unmount { path } if changed.is_none() => Some(path.clone()),
        // The API server needs to read the file, so its owner counts, too.
        Change::SetAttributes { path, before, after } if before.uid != after.uid => Some(path.clone()),
        _ => None,
    };
    for change in &mut restore.changes {
        if let Change::WriteFile { path, before: Some(before), attributes, .. } = change
            && path != manifest_path
            && referenced.has(path)
        {
            (attributes.uid, attributes.gid) = (before.attributes.uid, before.attributes.gid);
        }
    }
    let kept: Vec<_> = restore.changes.iter().filter_map(removed).filter(|path| referenced.has(path)).collect();
    // If a file stays, the directories above it stay.
    restore
        .changes
        .retain(|change| !removed(change).is_some_and(|path| kept.iter().any(|kept| is_within(kept, &path))));
    // What somebody else made of a file that the program had made is no question where the file stays anyway.
    let stays =
        |foreign: &Foreign| foreign.is_new && foreign.path != manifest_path && referenced.has(&foreign.path);
    let foreign = restore.foreign.extract_if(.., |foreign| stays(foreign)).map(|foreign| foreign.path);
    let kept: BTreeSet<_> = foreign.chain(kept).collect();
    let note = |path| match &referenced {
        Referenced::These(_) => format!("{path} stays: {manifest_path} points at it, and the API server needs it"),
        Referenced::Any(why) => format!(
            "{path} stays, because the API server may need it ({manifest_path}{why}); remove it yourself if the manifest \
             doesn't name it"
        ),
    };
    restore.notes.extend(kept.iter().map(note));
}

/// Removes from a restore all changes that would remove what another file needs, such as the manifest of a second API
/// server: its pod would not start. `own`: the manifest, and that file. `needed`: the paths that it needs. Adds a note for
/// each.
fn keep_for_other(restore: &mut Restore, own: [&str; 2], needed: &[String], verb: &str) {
    let mut kept = BTreeSet::new();
    restore.changes.retain(|change| {
        let path = match change {
            Change::RemoveFile { path, .. } | Change::RemoveDirectory { path, .. } | Change::Unmount { path } => {
                path
            }
            _ => return true,
        };
        // A directory goes only if it is empty, so a mount above it needs nothing of it.
        let is_needed = !own.contains(&path.as_str()) && needed.iter().any(|needed| is_within(needed, path));
        if is_needed {
            kept.insert(path.clone());
        }
        !is_needed
    });
    restore.foreign.retain(|foreign| {
        let stays = foreign.is_new && needed.contains(&foreign.path) && foreign.path != own[0];
        if stays {
            kept.insert(foreign.path.clone());
        }
        !stays
    });
    restore.notes.extend(kept.iter().map(|path| format!("{path} stays, because {} {verb} it", own[1])));
}

/// Says that the API server goes on auditing after a restore: kubeadm made the manifest of a file that had the settings,
/// and no run has written it. `manifest`: the present one.
pub fn tell_of_auditing(way: &WayBack, restore: &mut Restore, manifest_path: &str, manifest: Present<'_>) {
    let Present::Text(text) = manifest else { return };
    let is_ours = way.goals.iter().any(|goal| goal.record.path == manifest_path);
    let print = Some(fingerprint(text.as_bytes()));
    let moved = way.goals.iter().find(|goal| goal.steps.iter().any(|step| step.record.left(print)));
    if let Some(from) = moved.map(|goal| &goal.record.path).filter(|_| !is_ours) {
        restore.notes.push(format!(
            "{manifest_path}: the API server goes on auditing, because a run wrote this text to {from}, and restore puts \
             back only what is there; move it back there for the restore, and run restore again"
        ));
        return;
    }
    let policy = manifest::read_auditing(text).ok().and_then(|auditing| auditing.policy);
    let is_made =
        |goal: &Goal| goal.record.action == Action::Created && Some(&goal.record.path) == policy.as_ref();
    if !is_ours && way.goals.iter().any(is_made) {
        restore.notes.push(format!(
            "{manifest_path}: the API server goes on auditing, because kubeadm, and not this program, wrote this file \
             with the audit settings; to end that, remove the --audit-... flags and their mounts from it, and from the \
             cluster's configuration, with kubectl -n kube-system edit configmap kubeadm-config"
        ));
    }
}

/// What a rollback does, and what it leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RollBack {
    /// The changes to the node's files.
    pub changes: Vec<Change>,
    /// The paths that stay: what somebody else wrote or removed in between, and what the manifest still names.
    pub left: Vec<String>,
    /// Files that somebody else changed, and that lose only what the program wrote.
    pub shared: Vec<String>,
    /// The manifest keeps settings, because somebody else changed them. The kubeadm configurations then keep them, too.
    pub keeps_settings: bool,
}

/// Plans a rollback. `manifest` and `around`: as for [`keep_needed`]. The cluster's kubeadm configuration is put back
/// later, when the API server answers.
pub fn roll_back(
    mut restore: Restore,
    manifest_path: &str,
    manifest: Present<'_>,
    around: &Around<'_>,
) -> RollBack {
    let mut left: Vec<String> = restore.foreign.iter().map(|foreign| foreign.path.clone()).collect();
    let keeps_settings = left.iter().any(|path| path == manifest_path);
    restore.changes.retain(|change| !matches!(change, Change::WriteCluster { .. }));
    restore.shared.retain(|path| path != KUBEADM_CONFIG);
    let before: Vec<_> = restore.changes.iter().map(|change| change.path().to_owned()).collect();
    restore.changes.retain(|change| !(keeps_settings && is_of_kubeadm(change)));
    keep_needed(&mut restore, manifest_path, manifest, around);
    let kept = |path: &String| !restore.changes.iter().any(|change| change.path() == path);
    left.extend(restore.gone.iter().cloned());
    for path in before.into_iter().filter(kept) {
        if !left.contains(&path) {
            left.push(path);
        }
    }
    RollBack { changes: restore.changes, left, shared: restore.shared, keeps_settings }
}

/// Does the change put a kubeadm configuration file back?
fn is_of_kubeadm(change: &Change) -> bool {
    matches!(change, Change::WriteFile { before: Some(before), .. } if lossy(&before.bytes).contains("kubeadm.k8s.io/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::file::{Attributes, FileIdentity, Snapshot};
    use crate::facts::way_back::Now;
    use crate::storage::mounts;

    const ALONE: Around<'static> = Around { beside: &[], kubeadm: &[], real: &|path| path.to_owned() };

    fn foreign(path: &str) -> Foreign {
        Foreign { path: path.to_owned(), after: "ID".to_owned(), until: None, why: None, is_new: path != "/q" }
    }

    #[test]
    fn a_roll_back_takes_nothing_from_a_manifest_that_stays() {
        const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
        const POLICY: &str = "/etc/kubernetes/audit-policy.yaml";
        let snapshot = |text: &str| Snapshot {
            bytes: text.as_bytes().to_vec(),
            attributes: Attributes::new(0o600, 0, 0),
            identity: FileIdentity { device: 1, inode: 1 },
        };
        let audited = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    command: [kube-apiserver, \
                       --audit-policy-file=/etc/kubernetes/audit-policy.yaml]\n    volumeMounts: [{name: p, mountPath: \
                       /etc/kubernetes/audit-policy.yaml}]\n  volumes: [{name: p, hostPath: {path: \
                       /etc/kubernetes/audit-policy.yaml}}]\n";
        let attributes = Attributes::new(0o600, 0, 0);
        let restore = Restore {
            changes: vec![
                Change::WriteCluster { before: "after".to_owned(), after: "before".to_owned() },
                Change::WriteFile {
                    path: MANIFEST.to_owned(),
                    before: Some(snapshot(audited)),
                    bytes: audited
                        .replace(", --audit-policy-file=/etc/kubernetes/audit-policy.yaml", "")
                        .into_bytes(),
                    attributes: attributes.clone(),
                },
                Change::RemoveFile { path: POLICY.to_owned(), before: snapshot("policy") },
            ],
            ..Restore::default()
        };
        let paths = |changes: &[Change]| changes.iter().map(|change| change.path().to_owned()).collect::<Vec<_>>();
        let back = roll_back(restore.clone(), MANIFEST, Present::Text(audited), &ALONE);
        assert_eq!((paths(&back.changes), back.left), (vec![MANIFEST.to_owned(), POLICY.to_owned()], vec![]));
        assert!(!back.keeps_settings);
        // Another pod needs the policy, too.
        let other = Text {
            path: "/etc/kubernetes/manifests/second.yaml".to_owned(),
            text: audited.to_owned(),
            snapshot: snapshot(audited),
        };
        let back =
            roll_back(restore.clone(), MANIFEST, Present::Text(audited), &Around { beside: &[other], ..ALONE });
        assert_eq!((paths(&back.changes), back.left), (vec![MANIFEST.to_owned()], vec![POLICY.to_owned()]));
        let kubeadm = Change::WriteFile {
            path: "/k".to_owned(),
            before: Some(snapshot("apiVersion: kubeadm.k8s.io/v1beta4")),
            bytes: Vec::new(),
            attributes,
        };
        let changes = [&restore.changes[..1], &restore.changes[2..], &[kubeadm]].concat();
        let back = roll_back(
            Restore { foreign: vec![foreign(MANIFEST)], changes, ..restore },
            MANIFEST,
            Present::Text(audited),
            &ALONE,
        );
        let left = [MANIFEST, POLICY, "/k"].map(str::to_owned).to_vec();
        assert_eq!((paths(&back.changes), back.left, back.keeps_settings), (vec![], left, true));
    }

    #[test]
    fn what_the_api_server_still_needs_stays_and_stays_its_own() {
        const MANIFEST: &str = "/m/kube-apiserver.yaml";
        let audited = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    command: [kube-apiserver, \
                       --audit-policy-file=/p/policy]\n    volumeMounts: [{name: p, mountPath: /p/policy}]\n  volumes: [{name: p, \
                       hostPath: {path: /p/policy}}]\n";
        let of = |uid, mode| Attributes::new(mode, uid, uid);
        let file = |uid| Snapshot {
            bytes: b"text".to_vec(),
            attributes: of(uid, 0o600),
            identity: FileIdentity { device: 1, inode: 1 },
        };
        let remove = |path: &str| Change::RemoveFile { path: path.to_owned(), before: file(0) };
        let directory = |path: &str| Change::RemoveDirectory { path: path.to_owned(), before: of(0, 0o700) };
        let give = |before, after| Change::SetAttributes { path: "/p/policy".to_owned(), before, after };
        let write = |path: &str, uid| Change::WriteFile {
            path: path.to_owned(),
            before: Some(file(7)),
            bytes: b"old".to_vec(),
            attributes: of(uid, 0o644),
        };
        // What is to be done, what of it is done, and what is left.
        for (changes, done, left) in [
            (
                vec![remove("/p/policy"), directory("/p"), remove("/q")],
                vec![remove("/q")],
                vec!["/p/policy", "/p"],
            ),
            // Without the manifest, nothing is needed.
            (vec![remove(MANIFEST), remove("/p/policy")], vec![remove(MANIFEST), remove("/p/policy")], vec![]),
            (vec![write("/q", 0), remove("/p/policy")], vec![write("/q", 0)], vec!["/p/policy"]),
            (vec![give(of(7, 0o600), of(0, 0o600))], vec![], vec!["/p/policy"]),
            (vec![give(of(7, 0o600), of(7, 0o644))], vec![give(of(7, 0o600), of(7, 0o644))], vec![]),
            // The content is put back, and the owner stays.
            (vec![write("/p/policy", 0)], vec![write("/p/policy", 7)], vec![]),
        ] {
            let restore = Restore { changes: changes.clone(), ..Restore::default() };
            let back = roll_back(restore, MANIFEST, Present::Text(audited), &ALONE);
            assert_eq!(
                (back.changes, back.left),
                (done, left.into_iter().map(str::to_owned).collect()),
                "{changes:?}"
            );
        }
        let foreign = vec![foreign("/p/policy"), foreign("/q")];
        let mut restore =
            Restore { changes: vec![remove("/p/policy"), remove("/q")], foreign, ..Restore::default() };
        keep_needed(&mut restore, MANIFEST, Present::Text(audited), &ALONE);
        assert_eq!((restore.foreign, restore.notes.len()), (vec![super::tests::foreign("/q")], 1));
    }

    /// The program can't read every manifest that the kubelet can.
    #[test]
    fn a_manifest_that_cannot_be_read_may_need_everything() {
        const MANIFEST: &str = "/m/kube-apiserver.yaml";
        let pod = |command: &str| {
            format!(
                "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    command: {command}\n"
            )
        };
        let (bare, shell) = (pod("[kube-apiserver]"), pod("[sh, -c, 'exec kube-apiserver $FLAGS']"));
        let attributes = || Attributes::new(0o600, 0, 0);
        let snapshot = |uid| Snapshot {
            bytes: b"text".to_vec(),
            attributes: Attributes::new(0o600, uid, uid),
            identity: FileIdentity { device: 1, inode: 1 },
        };
        let remove = |path: &str| Change::RemoveFile { path: path.to_owned(), before: snapshot(0) };
        let write = |path: &str, text: &str, uid| Change::WriteFile {
            path: path.to_owned(),
            before: Some(snapshot(7)),
            bytes: text.into(),
            attributes: Attributes::new(0o600, uid, uid),
        };
        let directory = Change::RemoveDirectory { path: "/p".to_owned(), before: attributes() };
        let removals = || vec![remove("/p/policy"), directory.clone()];
        for (manifest, written, is_kept) in [
            (Present::Text(&bare), None, false),
            (Present::Absent, None, false),
            (Present::Text(&shell), None, true),
            (Present::Text("kind: ["), None, true),
            (Present::Text(""), None, true),
            (Present::Unknown, None, true),
            // What the manifest is after the restore counts.
            (Present::Unknown, Some(write(MANIFEST, &bare, 0)), false),
            (Present::Unknown, Some(remove(MANIFEST)), false),
            (Present::Text(&bare), Some(write(MANIFEST, &shell, 0)), true),
        ] {
            let case = format!("{manifest:?} {written:?}");
            let changes: Vec<_> = written.iter().cloned().chain(removals()).collect();
            let restore =
                Restore { changes: changes.clone(), foreign: vec![foreign(MANIFEST)], ..Restore::default() };
            let mut kept = restore.clone();
            keep_needed(&mut kept, MANIFEST, manifest, &ALONE);
            let wanted = if is_kept { written.into_iter().collect() } else { changes };
            assert_eq!((kept.changes, kept.foreign), (wanted, restore.foreign.clone()), "{case}");
            let notes = if is_kept { &["/p", "/p/policy"][..] } else { &[] };
            assert_eq!(kept.notes.len(), notes.len(), "{case}: {:?}", kept.notes);
            for (note, path) in kept.notes.iter().zip(notes) {
                assert!(
                    note.starts_with(&format!("{path} stays, because the API server may need it ({MANIFEST}:"))
                );
            }
            let left = roll_back(Restore { foreign: vec![], ..restore }, MANIFEST, manifest, &ALONE).left;
            assert_eq!(left.is_empty(), !is_kept, "{case}: {left:?}");
        }
        let mut restore = Restore { changes: vec![write("/p/policy", "old", 0)], ..Restore::default() };
        keep_needed(&mut restore, MANIFEST, Present::Unknown, &ALONE);
        assert_eq!(restore.changes, [write("/p/policy", "old", 7)], "the owner stays");
    }

    /// kubeadm's file is at a default path that leads to another one, which the run wrote.
    #[test]
    fn a_policy_goes_when_the_file_behind_a_link_names_it_no_more() {
        let attributes = Attributes::new(0o600, 0, 0);
        let snapshot = |text: &str| Snapshot {
            bytes: text.as_bytes().to_vec(),
            attributes: attributes.clone(),
            identity: FileIdentity { device: 1, inode: 1 },
        };
        let wired = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\napiServer:\n  extraArgs: [{name: \
                     audit-policy-file, value: /p}]\n  extraVolumes: [{name: p, hostPath: /p, mountPath: /p}]\n";
        let file = Text { path: "/link".to_owned(), text: wired.to_owned(), snapshot: snapshot(wired) };
        for (leads_to, stays) in [("/real", false), ("/elsewhere", true)] {
            let write = Change::WriteFile {
                path: "/real".to_owned(),
                before: Some(snapshot(wired)),
                bytes: b"apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n".to_vec(),
                attributes: attributes.clone(),
            };
            let remove = Change::RemoveFile { path: "/p".to_owned(), before: snapshot("policy") };
            let mut restore = Restore { changes: vec![write, remove], ..Restore::default() };
            let real = |path: &str| if path == "/link" { leads_to.to_owned() } else { path.to_owned() };
            let around = Around { beside: &[], kubeadm: std::slice::from_ref(&file), real: &real };
            keep_needed(&mut restore, "/m", Present::Absent, &around);
            assert_eq!(
                (restore.changes.len() == 1, restore.notes.len()),
                (stays, usize::from(stays)),
                "{leads_to}"
            );
        }
    }

    #[test]
    fn what_somebody_else_changed_in_the_cluster_stays() {
        let step = step("ID", Some("before"), Some("after"));
        let back = |now: Result<String, String>| put_cluster_back(std::slice::from_ref(&step), &now);
        let text = |text: &str| Ok(text.to_owned());
        let change = Change::WriteCluster { before: "after".to_owned(), after: "before".to_owned() };
        assert_eq!(back(text("after")), Ok((Some(change), false)));
        assert_eq!(back(text("before")), Ok((None, false)));
        for (now, why) in [
            (text("upgraded"), "is not put back, because it was changed since"),
            (text(""), "is not put back, because it was changed since"),
            (Err("no API server runs here".to_owned()), "no API server runs here, so it is not put back"),
        ] {
            let note = back(now).unwrap_err();
            assert!(note.contains(why), "{note}");
        }
    }

    /// What a run did to a file: its content before and after.
    fn step(set: &str, before: Option<&str>, after: Option<&str>) -> ContentStep {
        let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        let record = Record {
            path: "/x".to_owned(),
            action: if after.is_some() { Action::Replaced } else { Action::Removed },
            attributes: Attributes::new(0o600, 0, 0),
            file: None,
            copied: None,
            written: after.map(|text| fingerprint(text.as_bytes())),
            later: Vec::new(),
            after: None,
        };
        ContentStep { set: set.to_owned(), record, before: bytes(before), after: bytes(after) }
    }

    #[test]
    fn a_forced_restore_says_whose_lines_it_undoes() {
        for (now, told) in [
            ("a: [x, --y=1]\nv: 2\n", true),
            ("a: [x, --y=1]\n", false),
            // This is not undone by anything but force, and is told as that.
            ("a: [x, --y=2]\n", false),
        ] {
            let step = step("1", Some("a: [x]\n"), Some("a: [x, --y=1]\n"));
            let now = Now {
                file: Some(Snapshot {
                    bytes: now.into(),
                    attributes: Attributes::new(0o600, 0, 0),
                    identity: FileIdentity { device: 1, inode: 1 },
                }),
                ..Now::default()
            };
            let goal = Goal { set: "1".to_owned(), record: step.record.clone(), steps: vec![step], now };
            let way = WayBack { goals: vec![goal], ..WayBack::default() };
            let note = "/x: something else changed this, too, and --force undoes that as well".to_owned();
            let forced = plan(&way, true);
            assert_eq!((forced.notes, forced.changes.len()), (if told { vec![note] } else { vec![] }, 1));
            assert_eq!(plan(&way, false).notes, [""; 0]);
        }
    }

    #[test]
    fn a_way_back_ends_at_what_somebody_else_wrote_or_goes_round_it() {
        let (bare, wired) = ("a: [x]\n", "a: [x, --y=1]\n");
        let upgraded = "a: [x, --y=1]\nv: 2\n";
        let both = "a: [x, --y=1, --z=1]\nv: 2\n";
        let run = |set: &str, before: &str, after: &str| step(set, Some(before), Some(after));
        let plain = |set: &str, before: &str, after: &str| ContentStep { after: None, ..run(set, before, after) };
        let made = |set: &str, after: &str| step(set, None, Some(after));
        let ended = |after: &str, until: Option<&str>| Some((after.to_owned(), until.map(str::to_owned)));
        for (steps, now, content, is_shared, ends) in [
            (vec![run("1", bare, wired)], Some(wired), Some(bare), false, None),
            (vec![run("1", bare, wired)], Some(bare), Some(bare), false, None),
            (vec![run("1", bare, wired)], Some(upgraded), Some("a: [x]\nv: 2\n"), true, None),
            (
                vec![run("1", bare, wired)],
                Some("a: [x, --y=2]\n"),
                Some("a: [x, --y=2]\n"),
                false,
                ended("1", None),
            ),
            // A backup of an older version does not have what the run wrote.
            (vec![plain("1", bare, wired)], Some(upgraded), Some(upgraded), false, ended("1", None)),
            (vec![plain("1", bare, wired)], Some(wired), Some(bare), false, None),
            // An upgrade between two runs.
            (
                vec![run("1", bare, wired), run("2", upgraded, both)],
                Some(both),
                Some("a: [x]\nv: 2\n"),
                true,
                None,
            ),
            (
                vec![plain("1", bare, wired), run("2", upgraded, both)],
                Some(both),
                Some(upgraded),
                false,
                ended("1", Some("2")),
            ),
            // Two runs in a row, and somebody went back to the result of the first one.
            (vec![run("1", bare, wired), run("2", wired, both)], Some(both), Some(bare), false, None),
            (vec![run("1", bare, wired), run("2", wired, both)], Some(wired), Some(bare), false, None),
            // A run that was interrupted before it wrote.
            (vec![run("1", bare, "a: [--never]\n"), run("2", bare, wired)], Some(wired), Some(bare), false, None),
            // A run, its restore, an edit by hand, and another run.
            (
                vec![run("1", bare, wired), run("2", wired, bare), plain("3", "a: [x]\nv: 2\n", upgraded)],
                Some(upgraded),
                Some("a: [x]\nv: 2\n"),
                false,
                None,
            ),
            // A policy is not taken apart.
            (
                vec![run("1", "kind: Policy\na: 1\n", "kind: Policy\na: 2\n")],
                Some("kind: Policy\na: 2\nb: 3\n"),
                Some("kind: Policy\na: 2\nb: 3\n"),
                false,
                ended("1", None),
            ),
            // A file that the program made.
            (vec![made("1", "p")], Some("p"), None, false, None),
            (vec![made("1", "p")], None, None, false, None),
            (vec![made("1", "p")], Some("mine"), Some("mine"), false, ended("1", None)),
            (vec![made("1", "p"), run("2", "mine", "p")], Some("p"), Some("mine"), false, ended("1", Some("2"))),
            (vec![made("1", "p"), step("2", Some("p"), None), made("3", "q")], Some("q"), None, false, None),
        ] {
            let found = unwind("/x", &steps, now.map(str::as_bytes));
            let text = found.content.as_deref().map(lossy);
            let foreign = found.foreign.map(|foreign| (foreign.after, foreign.until));
            assert_eq!((text.as_deref(), found.shared, foreign), (content, is_shared, ends), "{steps:?} {now:?}");
            assert!(!found.gone);
        }
        let gone = unwind("/x", &[run("1", bare, wired)], None);
        assert_eq!((gone.gone, gone.content), (true, None));
        // What the run left is known even if the backup of a later run is gone.
        let mut older = run("1", bare, wired);
        older.record.later = vec![fingerprint(both.as_bytes())];
        let found = unwind("/x", &[older, run("3", both, "a: [x]\n")], Some(b"a: [x]\n"));
        assert_eq!(found.content.as_deref(), Some(bare.as_bytes()));
    }

    /// The manifest of before logged to the same directory, on another disk.
    #[test]
    fn what_is_mounted_goes_where_the_previous_manifest_comes_back() {
        let audited = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    command: [kube-apiserver, \
                       --audit-log-path=/logs/audit.log]\n    volumeMounts: [{name: l, mountPath: /logs}]\n  volumes: [{name: l, \
                       hostPath: {path: /logs}}]\n";
        let attributes = Attributes::new(0o600, 0, 0);
        let identity = FileIdentity { device: 1, inode: 1 };
        let before = Snapshot { bytes: b"x".to_vec(), attributes: attributes.clone(), identity };
        let manifest = Change::WriteFile {
            path: "/m".to_owned(),
            before: Some(before),
            bytes: audited.as_bytes().to_vec(),
            attributes,
        };
        let unmount = Change::Unmount { path: "/logs".to_owned() };
        for (changes, is_unmounted) in [(vec![unmount.clone(), manifest], true), (vec![unmount.clone()], false)] {
            let mut restore = Restore { changes, ..Restore::default() };
            keep_needed(&mut restore, "/m", Present::Text(audited), &ALONE);
            assert_eq!(restore.changes.contains(&unmount), is_unmounted);
        }
    }

    #[test]
    fn a_mount_of_somebody_else_keeps_its_volume() {
        let pod = |containers: &str, volumes: &str| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers:\n{containers}  volumes:\n{volumes}"
            )
        };
        let (one, volume) =
            ("  - name: a\n    image: i\n    volumeMounts:\n    - {mountPath: /l, name: l}\n", "  - {name: l}\n");
        let bare = pod("  - name: a\n    image: i\n", "  - {name: x}\n");
        let wired = pod(one, &format!("  - {{name: x}}\n{volume}"));
        let reader = "  - name: b\n    image: i\n    volumeMounts:\n    - {mountPath: /r, name: l}\n";
        let now = pod(&format!("{one}{reader}"), &format!("  - {{name: x}}\n{volume}"));
        let steps = [step("1", Some(&bare), Some(&wired))];
        let why = unwind("/x", &steps, Some(now.as_bytes())).foreign.unwrap().to_string();
        let refused = "the kubelet refuses this manifest: the pod has no volume \"l\", which is mounted here; add the volume, or \
                       remove the mount";
        assert_eq!(why, format!("/x: something else changed this after 1 (/x:11:29: {refused})"));
    }

    /// What the backups say about a path, and what is there now.
    fn goal(action: Action, path: &str, now: Now) -> Goal {
        let attributes = Attributes::new(0, 0, 0);
        let text = Some("text").filter(|_| action == Action::Created);
        let step = step("ID", None, text);
        let record = Record { path: path.to_owned(), action, attributes, ..step.record.clone() };
        Goal { record, set: "ID".to_owned(), steps: text.map(|_| step).into_iter().collect(), now }
    }

    /// A rollback is not whole without it, and its note need not begin with its name.
    #[test]
    fn why_the_clusters_configuration_is_not_put_back_is_known_as_such() {
        let cut = "is not put back";
        for (now, why) in [
            (Some(Ok("after".to_owned())), None),
            (Some(Ok("upgraded".to_owned())), Some(cut)),
            (
                Some(Err("kubectl: connection refused".to_owned())),
                Some("kubectl: connection refused, so it is not"),
            ),
            (None, Some(cut)),
        ] {
            let attributes = Attributes::new(0, 0, 0);
            let steps = vec![step("ID", Some("before"), Some("after"))];
            let path = KUBEADM_CONFIG.to_owned();
            let record = Record { path, action: Action::Cluster, attributes, ..steps[0].record.clone() };
            let case = format!("{now:?}");
            let now = Now { cluster: now, ..Now::default() };
            let goals = vec![Goal { record, set: "ID".to_owned(), steps, now }];
            let restore = plan(&WayBack { sets: vec![], goals, is_host: true }, false);
            assert_eq!(restore.cluster_stays.is_some(), why.is_some(), "{case}");
            assert!(restore.cluster_stays.iter().all(|stays| stays.contains(why.unwrap_or_default())), "{case}");
            assert_eq!(restore.notes, Vec::from_iter(restore.cluster_stays), "{case}");
        }
    }

    #[test]
    fn what_is_mounted_goes_before_all_else_and_what_stays_is_told() {
        const LINE: &str = "36 35 8:1 /audit /logs rw - ext4 /dev/sdb1 rw\n";
        let mounted = || Now { mounted: mounts::parse(LINE).unwrap().pop(), ..Now::default() };
        let aside = || Now { has_aside: true, ..Now::default() };
        for (action, now, is_host, is_unmounted, told) in [
            (Action::Mounted, mounted(), true, true, Some("stay on /dev/sdb1, in its directory /audit")),
            (Action::Mounted, aside(), true, true, None),
            (Action::Mounted, Now::default(), true, false, None),
            (Action::Unmounted, Now::default(), true, false, Some("/logs is not mounted again")),
            (Action::Unmounted, mounted(), true, false, None),
            (Action::Unmounted, Now::default(), false, false, None),
            (Action::Formatted, Now::default(), true, false, Some("keeps its new file system")),
        ] {
            let case = format!("{action:?} {now:?} {is_host}");
            let before = Snapshot {
                bytes: b"text".to_vec(),
                attributes: Attributes::new(0, 0, 0),
                identity: FileIdentity { device: 1, inode: 1 },
            };
            let file = Now { file: Some(before.clone()), ..Now::default() };
            let goals = vec![goal(Action::Created, "/m", file), goal(action, "/logs/", now)];
            let restore = plan(&WayBack { sets: vec![], goals, is_host }, false);
            let remove = Change::RemoveFile { path: "/m".to_owned(), before };
            let unmount = is_unmounted.then(|| Change::Unmount { path: "/logs".to_owned() });
            assert_eq!(restore.changes, unmount.into_iter().chain([remove]).collect::<Vec<_>>(), "{case}");
            assert_eq!(restore.notes.len(), usize::from(told.is_some()), "{case}: {:?}", restore.notes);
            assert!(restore.notes.iter().all(|note| note.contains(told.unwrap_or_default())), "{case}");
        }
    }
}
