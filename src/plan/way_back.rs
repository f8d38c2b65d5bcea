//! Decides what `restore` and a rollback do: put the node back as it was before a backup was written, except for what
//! the API server then still needs.

use crate::change::{Change, KUBEADM_CONFIG};
use crate::facts::backup::{Action, BACKUPS, Record, Set, fingerprint};
use crate::facts::file::{FileKind, lossy};
use crate::facts::way_back::{Goal, WayBack};
use crate::path::is_within;
use crate::wiring::manifest;

/// What a restore does, and what it does not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restore {
    /// The IDs of the backups that are put back, newest first.
    pub sets: Vec<String>,
    /// The changes, in order, for `node::transaction::execute`. Empty if nothing differs.
    pub changes: Vec<Change>,
    /// Files that were changed after a run wrote them: a restore would undo those changes, too.
    pub foreign: Vec<String>,
    /// Files that a run wrote, and that were removed since: only `--force` puts them back.
    pub gone: Vec<Change>,
    /// What does not change, and why.
    pub notes: Vec<String>,
}

/// Plans a restore.
///
/// The order is the reverse of an apply: the manifest comes first, and nothing is removed before it. A directory is
/// removed only if it becomes empty. A stray manifest stays in the backup. Notes report what stays.
pub fn plan(way: &WayBack) -> Restore {
    let sets = way.sets.iter().map(|set| set.id.clone()).collect();
    let mut back =
        Back { way, restore: Restore { sets, ..Restore::default() }, unmounts: vec![], removals: vec![] };
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

/// An unfinished restore.
struct Back<'w> {
    way: &'w WayBack,
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
            Action::Created => self.remove(goal),
            // The path is right also for an incomplete backup, because a restore completes it.
            Action::Moved => self.note(format!(
                "{path} is not put back, because the kubelet would run it; its copy is {BACKUPS}/{}/{}",
                goal.set,
                goal.record.file.as_deref().unwrap_or_default()
            )),
            Action::Cluster => self.put_cluster_back(goal),
            Action::DirectoryRemoved if goal.now.entry.is_some() => self.restore.changes.extend(set_back(goal)),
            Action::DirectoryRemoved => {
                let (path, attributes) = (path.clone(), goal.record.attributes.clone());
                self.restore.changes.push(Change::CreateDirectory { path, attributes });
            }
            Action::Replaced | Action::Removed | Action::Attributes => self.put_back(goal),
        }
    }

    fn note(&mut self, note: String) {
        self.restore.notes.push(note);
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

    /// Plans to remove a file that a run created. A log that the run created empty stays if it has events now:
    /// `node::restore` then reads no file.
    fn remove(&mut self, goal: &Goal) {
        let path = goal.record.path.clone();
        let Some(before) = goal.now.file.clone() else { return };
        if !self.is_ours(&path, &before.bytes) {
            self.restore.foreign.push(path.clone());
        }
        self.removals.push(Change::RemoveFile { path, before });
    }

    fn put_cluster_back(&mut self, goal: &Goal) {
        let path = &goal.record.path;
        let Some(now) = &goal.now.cluster else {
            return self.note(format!(
                "{path} is not put back, because it is in the cluster, and this is not a running node"
            ));
        };
        let before = lossy(goal.copy.as_deref().unwrap_or_default());
        match put_cluster_back(before, now, |now| self.is_ours(path, now.as_bytes())) {
            Ok(None) => {}
            // Before the manifest, because the API server is down after that change.
            Ok(Some(change)) => self.restore.changes.insert(0, change),
            Err(note) => self.note(note),
        }
    }

    fn put_back(&mut self, goal: &Goal) {
        let path = goal.record.path.clone();
        let Some(bytes) = goal.copy.clone() else {
            if goal.now.entry.is_none() {
                self.note(format!("{path} does not exist any more, and no backup has its content"));
            }
            self.restore.changes.extend(set_back(goal));
            return;
        };
        let before = goal.now.file.clone();
        match &before {
            Some(before) if before.bytes == bytes => {
                self.restore.changes.extend(set_back(goal));
                return;
            }
            Some(before) if !self.is_ours(&path, &before.bytes) => self.restore.foreign.push(path.clone()),
            _ => {}
        }
        let is_gone = before.is_none() && !is_removed_by_us(&self.way.sets, &path);
        let change = Change::WriteFile { path, before, bytes, attributes: goal.record.attributes.clone() };
        if is_gone { self.restore.gone.push(change) } else { self.restore.changes.push(change) }
    }

    /// Did a run write these bytes to this path?
    fn is_ours(&self, path: &str, bytes: &[u8]) -> bool {
        let records = self.way.sets.iter().flat_map(|set| &set.records).filter(|record| record.path == path);
        records.filter_map(|record| record.written).any(|written| written == fingerprint(bytes))
    }
}

/// The change that puts the cluster's kubeadm configuration back; `None` if it is already as before. `now`: its text,
/// or why it cannot be read.
///
/// # Errors
///
/// A note: why it is not put back.
fn put_cluster_back(
    before: String,
    now: &Result<String, String>,
    is_ours: impl Fn(&str) -> bool,
) -> Result<Option<Change>, String> {
    match now {
        Ok(now) if *now == before => Ok(None),
        Ok(now) if is_ours(now) => Ok(Some(Change::WriteCluster { before: now.clone(), after: before })),
        // kubeadm writes the new version there at each upgrade, and needs it.
        Ok(_) => Err(format!(
            "{} is not put back, because it was changed since; remove the audit settings by hand, with kubectl -n \
             kube-system edit configmap kubeadm-config",
            KUBEADM_CONFIG
        )),
        Err(error) => Err(format!(
            "{error:#}, so it is not put back; run kube-audit-bootstrap restore again when it can be read"
        )),
    }
}

/// Did a run remove this file? The newest backup that has the path decides. `sets`: newest first.
fn is_removed_by_us(sets: &[Set], path: &str) -> bool {
    let newest = sets.iter().flat_map(|set| set.records.iter().rev()).find(|record| record.path == path);
    newest.is_some_and(|record| matches!(record.action, Action::Removed | Action::Moved))
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
            restore.notes.push(format!(
                "{path} stays: it has {count} file(s) or directories in it, such as {first:?}; \
                 a log is never deleted"
            ));
        }
    }
}

/// Removes from a restore all changes that would remove a file or directory that the manifest names after the restore:
/// without it, the API server would not start. `manifest`: the present text. Adds a note for each.
pub fn keep_referenced(restore: &mut Restore, manifest_path: &str, manifest: Option<&str>) {
    let changed = restore.changes.iter().find_map(|change| match change {
        Change::WriteFile { path, bytes, .. } if path == manifest_path => Some(lossy(bytes)),
        Change::RemoveFile { path, .. } if path == manifest_path => Some(String::new()),
        _ => None,
    });
    let text = changed.as_deref().or(manifest).unwrap_or_default();
    let referenced = manifest::read_auditing(text).map(|auditing| auditing.referenced).unwrap_or_default();
    let removed = |change: &Change| match change {
        Change::RemoveFile { path, .. } | Change::RemoveDirectory { path, .. } => Some(path.clone()),
        // The API server needs to read the file, so its owner counts, too.
        Change::SetAttributes { path, before, after } if before.uid != after.uid => Some(path.clone()),
        _ => None,
    };
    for change in &mut restore.changes {
        if let Change::WriteFile { path, before: Some(before), attributes, .. } = change
            && path != manifest_path
            && referenced.contains(path)
        {
            (attributes.uid, attributes.gid) = (before.attributes.uid, before.attributes.gid);
        }
    }
    let kept: Vec<_> =
        restore.changes.iter().filter_map(removed).filter(|path| referenced.contains(path)).collect();
    // If a file stays, the directories above it stay.
    restore
        .changes
        .retain(|change| !removed(change).is_some_and(|path| kept.iter().any(|kept| is_within(kept, &path))));
    let note = |path| format!("{path} stays: {manifest_path} points at it, and the API server needs it");
    restore.notes.extend(kept.iter().map(note));
    restore.foreign.retain(|path| restore.changes.iter().any(|change| change.path() == path));
}

/// Plans a rollback: the changes to the node's files, and the paths that stay. These are the files that another
/// program wrote or removed in between, and what the manifest names after the rollback. `manifest`: the present text.
/// The cluster's kubeadm configuration is put back later, when the API server answers.
pub fn roll_back(mut restore: Restore, manifest_path: &str, manifest: Option<&str>) -> (Vec<Change>, Vec<String>) {
    let mut left = std::mem::take(&mut restore.foreign);
    restore.changes.retain(|change| !matches!(change, Change::WriteCluster { .. }));
    let before: Vec<_> = restore.changes.iter().map(|change| change.path().to_owned()).collect();
    restore.changes.retain(|change| !left.iter().any(|path| path == change.path()));
    keep_referenced(&mut restore, manifest_path, manifest);
    let kept = |path: &String| !restore.changes.iter().any(|change| change.path() == path);
    left.extend(restore.gone.iter().map(|change| change.path().to_owned()));
    for path in before.into_iter().filter(kept) {
        if !left.contains(&path) {
            left.push(path);
        }
    }
    (restore.changes, left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::file::{Attributes, FileIdentity, Snapshot};
    use crate::facts::way_back::Now;
    use crate::storage::mounts;

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
                    bytes: b"kind: Pod".to_vec(),
                    attributes: attributes.clone(),
                },
                Change::RemoveFile { path: POLICY.to_owned(), before: snapshot("policy") },
            ],
            ..Restore::default()
        };
        let paths = |changes: &[Change]| changes.iter().map(|change| change.path().to_owned()).collect::<Vec<_>>();
        let (changes, left) = roll_back(restore.clone(), MANIFEST, Some(audited));
        assert_eq!((paths(&changes), left), (vec![MANIFEST.to_owned(), POLICY.to_owned()], vec![]));
        let foreign = Restore { foreign: vec![MANIFEST.to_owned()], ..restore };
        let (changes, left) = roll_back(foreign, MANIFEST, Some(audited));
        assert_eq!((paths(&changes), left), (vec![], vec![MANIFEST.to_owned(), POLICY.to_owned()]));
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
            (vec![write(MANIFEST, 0), remove("/p/policy")], vec![write(MANIFEST, 0), remove("/p/policy")], vec![]),
            (vec![write("/q", 0), remove("/p/policy")], vec![write("/q", 0)], vec!["/p/policy"]),
            (vec![give(of(7, 0o600), of(0, 0o600))], vec![], vec!["/p/policy"]),
            (vec![give(of(7, 0o600), of(7, 0o644))], vec![give(of(7, 0o600), of(7, 0o644))], vec![]),
            // The content is put back, and the owner stays.
            (vec![write("/p/policy", 0)], vec![write("/p/policy", 7)], vec![]),
        ] {
            let restore = Restore { changes: changes.clone(), ..Restore::default() };
            let (found, others) = roll_back(restore, MANIFEST, Some(audited));
            assert_eq!((found, others), (done, left.into_iter().map(str::to_owned).collect()), "{changes:?}");
        }
        let foreign = vec!["/p/policy".to_owned(), "/q".to_owned()];
        let mut restore =
            Restore { changes: vec![remove("/p/policy"), remove("/q")], foreign, ..Restore::default() };
        keep_referenced(&mut restore, MANIFEST, Some(audited));
        assert_eq!((restore.foreign, restore.notes.len()), (vec!["/q".to_owned()], 1));
    }

    #[test]
    fn what_somebody_else_changed_in_the_cluster_stays() {
        let ours = |now: &str| now == "after";
        let back = |now: Result<String, String>| put_cluster_back("before".to_owned(), &now, ours);
        let text = |text: &str| Ok(text.to_owned());
        let change = Change::WriteCluster { before: "after".to_owned(), after: "before".to_owned() };
        assert_eq!(back(text("after")), Ok(Some(change)));
        assert_eq!(back(text("before")), Ok(None));
        for (now, why) in [
            (text("upgraded"), "is not put back, because it was changed since"),
            (text(""), "is not put back, because it was changed since"),
            (Err("no API server runs here".to_owned()), "no API server runs here, so it is not put back"),
        ] {
            let note = back(now).unwrap_err();
            assert!(note.contains(why), "{note}");
        }
    }

    /// What the backups say about a path, and what is there now.
    fn goal(action: Action, path: &str, now: Now) -> Goal {
        let attributes = Attributes::new(0, 0, 0);
        let record = Record { path: path.to_owned(), action, attributes, file: None, written: None };
        Goal { record, set: "ID".to_owned(), copy: None, now }
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
                bytes: vec![],
                attributes: Attributes::new(0, 0, 0),
                identity: FileIdentity { device: 1, inode: 1 },
            };
            let file = Now { file: Some(before.clone()), ..Now::default() };
            let goals = vec![goal(Action::Created, "/m", file), goal(action, "/logs/", now)];
            let restore = plan(&WayBack { sets: vec![], goals, is_host });
            let remove = Change::RemoveFile { path: "/m".to_owned(), before };
            let unmount = is_unmounted.then(|| Change::Unmount { path: "/logs".to_owned() });
            assert_eq!(restore.changes, unmount.into_iter().chain([remove]).collect::<Vec<_>>(), "{case}");
            assert_eq!(restore.notes.len(), usize::from(told.is_some()), "{case}: {:?}", restore.notes);
            assert!(restore.notes.iter().all(|note| note.contains(told.unwrap_or_default())), "{case}");
        }
    }
}
