//! The way back: what puts a node to what it was before a backup set was written.

use std::collections::HashMap;

use anyhow::{Result, bail};

use super::backup::{FILE_LIMIT, copy, load_all};
use super::cluster;
use super::root::{Kind, Root};
use super::storage::mounted_at;
use crate::change::{Change, KUBEADM_CONFIG, Restore};
use crate::facts::backup::{Action, BACKUPS, CUT_OFF, RESTORE, Record, Set, fingerprint};
use crate::path::aside;

/// Plans to put the node back to what it was before the set `id` was written, or else the newest set that isn't a
/// restore's own. All sets since are taken back: of each path, the oldest state counts.
///
/// The order is that of an apply reversed: the manifest first, and nothing is removed before. Directories are
/// removed only if they become empty, strays stay in the backup: notes say so. Writes nothing.
///
/// Errors: no such set; a set or a copy that can't be read; a path that is now something else than a file.
pub fn plan(root: &Root, id: Option<&str>) -> Result<Restore> {
    let mut sets = Vec::new();
    let mut found = false;
    for (complete, loaded) in load_all(root)? {
        match loaded {
            Ok(set) => {
                found = id.map_or(![RESTORE, CUT_OFF].contains(&set.why.as_str()), |id| set.id == id);
                sets.push(set);
            }
            // The way back leads past it, and it alone knows what its run changed.
            Err(error) if complete => return Err(error),
            // Its run was killed while it made the set, and changed nothing.
            Err(error) => log::warn!("{error:#}"),
        }
        if found {
            break;
        }
    }
    if !found {
        match id {
            Some(id) => bail!("no backup set {id} in {}; list them and name one", root.shown(BACKUPS)),
            None => bail!("no backup set in {}: nothing to restore", root.shown(BACKUPS)),
        }
    }

    let mut restore = Restore { sets: sets.iter().map(|set| set.id.clone()).collect(), ..Restore::default() };
    let goals = goals(&sets);
    let ours = |path: &str, bytes: &[u8]| {
        let records = sets.iter().flat_map(|set| &set.records).filter(|record| record.path == path);
        records.filter_map(|record| record.written).any(|written| written == fingerprint(bytes))
    };
    let (mut removals, mut unmounts) = (Vec::new(), Vec::new());
    for goal in &goals {
        let path = goal.first.1.path.clone();
        match goal.first.1.action {
            Action::Directory => {}
            Action::Unmounted => {
                let path = path.trim_end_matches('/');
                if root.is_host() && mounted_at(path)?.is_none() {
                    restore
                        .notes
                        .push(format!("{path} is not mounted again: apply does that, and so does a reboot"));
                }
            }
            Action::Formatted => {
                restore.notes.push(format!("{path} keeps the file system that it was given, and what is in it"));
            }
            Action::Mounted => {
                let path = path.trim_end_matches('/').to_owned();
                let mounted = if root.is_host() { mounted_at(&path)? } else { None };
                if let Some(mounted) = &mounted {
                    restore.notes.push(format!(
                        "the events in {path}, those from before that were moved to it, too, stay on {}, in its directory {}",
                        mounted.source, mounted.root
                    ));
                }
                // A run may have been killed before it had mounted, or unmounted, everything.
                if mounted.is_some() || root.is_host() && root.stat(&aside(&path))?.is_some() {
                    unmounts.push(Change::Unmount { path });
                }
            }
            // A log that was begun for others to write to; what they wrote is worth more than a tidy node.
            Action::Created
                if goal.first.1.written == Some(fingerprint(b""))
                    && root.stat(&path)?.is_some_and(|entry| entry.size > 0) => {}
            Action::Created => {
                let Some(before) = root.read(&path, FILE_LIMIT)? else { continue };
                if !ours(&path, &before.bytes) {
                    restore.foreign.push(path.clone());
                }
                removals.push(Change::RemoveFile { path, before });
            }
            Action::Moved => {
                let (set, record) = goal.first;
                // A restore completes the set, if it wasn't.
                restore.notes.push(format!(
                    "{path} is not put back, as the kubelet would run it; its copy is {BACKUPS}/{}/{}",
                    set.id,
                    record.file.as_deref().unwrap_or_default()
                ));
            }
            Action::Cluster if !root.is_host() => {
                restore.notes.push(format!(
                    "{path} is not put back, as that is the cluster's, and this is no running node"
                ));
            }
            Action::Cluster => {
                let (set, record) = goal.first;
                let before = String::from_utf8_lossy(&copy(root, set, record)?.unwrap_or_default()).into_owned();
                match put_cluster_back(before, cluster::read(), |now| ours(&path, now.as_bytes())) {
                    Ok(None) => {}
                    // Before the manifest, as the API server is away then.
                    Ok(Some(change)) => restore.changes.insert(0, change),
                    Err(note) => restore.notes.push(note),
                }
            }
            Action::DirectoryRemoved => match root.stat(&path)? {
                Some(_) => restore.changes.extend(set_back(root, goal)?),
                None => {
                    restore
                        .changes
                        .push(Change::CreateDirectory { path, attributes: goal.first.1.attributes.clone() });
                }
            },
            Action::Replaced | Action::Removed | Action::Attributes => {
                let attributes = goal.first.1.attributes.clone();
                let Some(bytes) = goal.content.map_or(Ok(None), |(set, record)| copy(root, set, record))? else {
                    if root.stat(&path)?.is_none() {
                        restore.notes.push(format!("{path} is gone, and no backup set has its content"));
                    }
                    restore.changes.extend(set_back(root, goal)?);
                    continue;
                };
                let before = root.read(&path, FILE_LIMIT)?;
                match &before {
                    Some(before) if before.bytes == bytes => {
                        restore.changes.extend(set_back(root, goal)?);
                        continue;
                    }
                    Some(before) if !ours(&path, &before.bytes) => restore.foreign.push(path.clone()),
                    _ => {}
                }
                let gone = before.is_none() && !removed_by_us(&sets, &path);
                let change = Change::WriteFile { path, before, bytes, attributes };
                if gone { restore.gone.push(change) } else { restore.changes.push(change) }
            }
        }
    }
    // An API server that the old manifest starts must not begin with what goes away.
    restore.changes.splice(0..0, unmounts);
    restore.changes.extend(removals);
    remove_directories(root, &goals, &mut restore)?;
    Ok(restore)
}

/// What puts the cluster's own configuration back, if it isn't as it was; `now` is what could be read of it.
///
/// Errors: a note, why it stays.
fn put_cluster_back(
    before: String,
    now: Result<String>,
    is_ours: impl Fn(&str) -> bool,
) -> Result<Option<Change>, String> {
    match now {
        Ok(now) if now == before => Ok(None),
        Ok(now) if is_ours(&now) => Ok(Some(Change::WriteCluster { before: now, after: before })),
        // kubeadm writes its version there at each upgrade, and needs it.
        Ok(_) => Err(format!(
            "{} is not put back, as it was changed since: take the audit settings out by hand, with kubectl -n \
             kube-system edit configmap kubeadm-config",
            KUBEADM_CONFIG
        )),
        Err(error) => Err(format!("{error:#}, so it is not put back: restore again once it can")),
    }
}

/// Whether the newest of the sets, which are newest first, that knows a path removed the file.
fn removed_by_us(sets: &[Set], path: &str) -> bool {
    let newest = sets.iter().flat_map(|set| set.records.iter().rev()).find(|record| record.path == path);
    newest.is_some_and(|record| matches!(record.action, Action::Removed | Action::Moved))
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

/// Plans the removal of created directories, inner ones first, that hold nothing any more after `restore`'s
/// changes.
fn remove_directories(root: &Root, goals: &[Goal<'_>], restore: &mut Restore) -> Result<()> {
    let created = goals.iter().map(|goal| goal.first.1).filter(|record| record.action == Action::Directory);
    let mut paths: Vec<&str> = created.map(|record| record.path.as_str()).collect();
    paths.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
    for (at, &path) in paths.iter().enumerate() {
        // What is in it now goes away with what is mounted there.
        if restore
            .changes
            .iter()
            .any(|change| matches!(change, Change::Unmount { path: mounted } if mounted == path))
        {
            continue;
        }
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::backup::{begin, finish, list};
    use super::super::testing::{FIRST, KUBEADM, LOGS, MANIFEST, Node, POLICY, STRAY, at};
    use super::super::transaction::execute;
    use super::*;

    fn paths(changes: &[Change]) -> Vec<&str> {
        changes.iter().map(Change::path).collect()
    }

    #[test]
    fn what_is_in_the_cluster_is_no_matter_of_an_image() {
        let node = Node::new();
        let change = Change::WriteCluster { before: "before".to_owned(), after: "after".to_owned() };
        let set = begin(&node.root, &[change], "apply", at(0)).unwrap();
        finish(&node.root, &set).unwrap();
        assert_eq!(list(&node.root).unwrap()[0].records[0].path, KUBEADM_CONFIG);
        let restore = plan(&node.root, None).unwrap();
        assert_eq!(restore.changes, []);
        assert!(restore.notes[0].contains("no running node"), "{:?}", restore.notes);
    }

    #[test]
    fn what_was_mounted_is_no_matter_of_an_image() {
        let node = Node::new();
        fs::create_dir_all(node.host(&aside(LOGS))).unwrap();
        let (path, unit, log) = (LOGS.to_owned(), "audit.mount".to_owned(), format!("{LOGS}/audit.log"));
        let attributes = super::super::testing::mode(0o700);
        let mount = Change::Mount { path: path.clone(), unit, attributes, log, begun: None };
        for (seconds, change) in [(0, mount), (1, Change::Unmount { path })] {
            let set = begin(&node.root, std::slice::from_ref(&change), "apply", at(seconds)).unwrap();
            finish(&node.root, &set).unwrap();
            let restore = plan(&node.root, None).unwrap();
            assert_eq!((restore.changes, restore.notes), (vec![], vec![]), "{change:?}");
        }
    }

    #[test]
    fn a_log_that_was_begun_goes_only_while_nothing_is_in_it() {
        for (text, stays) in [("", false), ("event", true)] {
            let node = Node::new();
            node.apply(&[node.write("/audit.log", "")], 0).unwrap();
            node.put("/audit.log", text);
            assert_eq!(node.restore(None, 1).foreign, [""; 0]);
            assert_eq!(node.exists("/audit.log"), stays, "{text}");
        }
    }

    #[test]
    fn a_directory_that_stays_for_an_inner_one_needs_no_note_of_its_own() {
        let node = Node::new();
        node.apply(&[node.create_directory("/srv/a/b")], 0).unwrap();
        node.put("/srv/a/b/x", "");
        let note = "/srv/a/b stays: it holds 1 name(s), \"x\" first; logs are kept";
        assert_eq!(plan(&node.root, None).unwrap().notes, [note]);
        node.put("/srv/y", "");
        let outer = "/srv stays: it holds 2 name(s), ";
        let notes = plan(&node.root, None).unwrap().notes;
        assert!(notes.len() == 2 && notes[0] == note && notes[1].starts_with(outer), "{notes:?}");
    }

    #[test]
    fn what_somebody_else_changed_in_the_cluster_stays() {
        let ours = |now: &str| now == "after";
        let back = |now: Result<String>| put_cluster_back("before".to_owned(), now, ours);
        let text = |text: &str| Ok(text.to_owned());
        let change = Change::WriteCluster { before: "after".to_owned(), after: "before".to_owned() };
        assert_eq!(back(text("after")), Ok(Some(change)));
        assert_eq!(back(text("before")), Ok(None));
        for (now, why) in [
            (text("upgraded"), "is not put back, as it was changed since"),
            (text(""), "is not put back, as it was changed since"),
            (Err(anyhow::anyhow!("no API server runs here")), "no API server runs here, so it is not put back"),
        ] {
            let note = back(now).unwrap_err();
            assert!(note.contains(why), "{note}");
        }
    }

    #[test]
    fn a_set_that_a_killed_run_left_half_written_does_not_bar_the_way_back() {
        let node = Node::with(&[(MANIFEST, "0")]);
        node.apply(&[node.write(MANIFEST, "1")], 0).unwrap();
        let index = |name: &str| format!("{BACKUPS}/{name}/index.json");
        for broken in ["", "{\"version\": 1", "[]"] {
            node.put(&index("20261124T121327Z.partial"), broken);
            let restore = plan(&node.root, None).unwrap();
            assert_eq!(
                (restore.sets.as_slice(), paths(&restore.changes).as_slice()),
                (&[FIRST.to_owned()][..], &[MANIFEST][..])
            );
        }
        // One whose run came to its end changed something.
        node.put(&index("20261124T121328Z"), "");
        let error = format!("{:#}", plan(&node.root, None).unwrap_err());
        assert!(error.contains(&index("20261124T121328Z")), "{error}");
    }

    #[test]
    fn what_somebody_else_changed_is_told() {
        let node = Node::with(&[(POLICY, "0"), (MANIFEST, "0")]);
        node.apply(&[node.write(POLICY, "1"), node.write("/new", "1"), node.write(MANIFEST, "1")], 0).unwrap();
        node.apply(&[node.write(MANIFEST, "2")], 1).unwrap();
        for (path, text, foreign) in [
            (MANIFEST, "2", &[][..]),
            (MANIFEST, "1", &[]),
            (MANIFEST, "0", &[]),
            (MANIFEST, "3", &[MANIFEST]),
            (POLICY, "mine", &[MANIFEST, POLICY]),
            ("/new", "mine", &[MANIFEST, "/new", POLICY]),
        ] {
            node.put(path, text);
            let mut found = plan(&node.root, Some(FIRST)).unwrap().foreign;
            found.sort();
            let mut expected: Vec<_> = foreign.iter().map(|path| (*path).to_owned()).collect();
            expected.sort();
            assert_eq!(found, expected, "{path} {text}");
        }
    }

    #[test]
    fn what_somebody_else_removed_is_told_apart() {
        let node = Node::with(&[("/run/kubeadm.yaml", "0")]);
        node.apply(&[node.write("/run/kubeadm.yaml", "1")], 0).unwrap();
        fs::remove_file(node.host("/run/kubeadm.yaml")).unwrap();
        let restore = plan(&node.root, None).unwrap();
        assert_eq!(
            (restore.changes.as_slice(), paths(&restore.gone).as_slice()),
            (&[][..], &["/run/kubeadm.yaml"][..])
        );
    }

    #[test]
    fn a_restore_puts_back_all_but_strays_and_logs() {
        let node = Node::with(&[(POLICY, "0"), (MANIFEST, "0"), (STRAY, "stray"), ("/etc/attributes", "x")]);
        fs::create_dir_all(node.host("/var/log")).unwrap();
        let changes = [
            node.create_directory(LOGS),
            node.create_directory("/srv/deep/empty"),
            node.set_mode("/etc/attributes", 0o600),
            node.write(POLICY, "1"),
            node.write(KUBEADM, "1"),
            node.move_away(STRAY),
            node.write(MANIFEST, "1"),
        ];
        node.apply(&changes, 0).unwrap();
        node.put("/var/log/kubernetes/audit/audit.log", "event");
        let restore = node.restore(None, 1);
        assert_eq!(restore.sets, [FIRST]);
        // The manifest first; nothing is removed before, inner directories before outer ones.
        let order = [MANIFEST, POLICY, "/etc/attributes", KUBEADM, "/srv/deep/empty", "/srv/deep", "/srv"];
        assert_eq!(paths(&restore.changes), order);
        let notes = [
            format!(
                "{STRAY} is not put back, as the kubelet would run it; its copy is {BACKUPS}/{FIRST}/8-backup"
            ),
            format!("{LOGS} stays: it holds 1 name(s), \"audit.log\" first; logs are kept"),
        ];
        assert_eq!(restore.notes, notes);
        for (path, text) in [(MANIFEST, "0"), (POLICY, "0"), ("/etc/attributes", "x")] {
            assert_eq!((node.text(path).as_str(), node.mode(path)), (text, 0o644), "{path}");
        }
        assert!(!node.exists(KUBEADM) && !node.exists("/srv") && !node.exists(STRAY));
        assert_eq!(node.text("/var/log/kubernetes/audit/audit.log"), "event");
        // The restore's own set isn't what it goes back to, and nothing differs any more.
        assert_eq!(plan(&node.root, None).unwrap().changes, []);
    }

    #[test]
    fn sets_are_taken_back_from_the_newest_to_the_one_named() {
        let node = Node::with(&[(POLICY, "0"), (MANIFEST, "0"), (KUBEADM, "0")]);
        node.apply(&[node.write(POLICY, "1"), node.write(MANIFEST, "1")], 0).unwrap();
        node.apply(&[node.write(POLICY, "2")], 1).unwrap();
        node.apply(&[node.write(POLICY, "3"), node.write(KUBEADM, "3")], 2).unwrap();
        for (id, expected) in [
            (None, [POLICY, KUBEADM].map(|path| (path, if path == POLICY { "2" } else { "0" })).to_vec()),
            (Some("20261124T121327Z"), vec![(POLICY, "1"), (KUBEADM, "0")]),
            (Some(FIRST), vec![(POLICY, "0"), (KUBEADM, "0"), (MANIFEST, "0")]),
        ] {
            let mut found: Vec<_> = Vec::new();
            for change in plan(&node.root, id).unwrap().changes {
                let Change::WriteFile { path, bytes, .. } = change else { panic!("{change:?}") };
                found.push((path, String::from_utf8(bytes).unwrap()));
            }
            found.sort();
            let mut expected: Vec<_> = expected.iter().map(|(p, t)| ((*p).to_owned(), (*t).to_owned())).collect();
            expected.sort();
            assert_eq!(found, expected, "{id:?}");
        }
        assert_eq!(paths(&plan(&node.root, Some(FIRST)).unwrap().changes)[0], MANIFEST);
        let error = plan(&node.root, Some("20200101T000000Z")).unwrap_err().to_string();
        assert!(error.contains("no backup set 20200101T000000Z"), "{error}");
    }

    #[test]
    fn the_manifest_is_first_even_if_other_files_changed_before_it_alone() {
        let node = Node::with(&[(POLICY, "0"), (MANIFEST, "0")]);
        node.apply(&[node.write(POLICY, "1")], 0).unwrap();
        node.apply(&[node.write(POLICY, "2"), node.write(MANIFEST, "2")], 1).unwrap();
        assert_eq!(paths(&plan(&node.root, Some(FIRST)).unwrap().changes), [MANIFEST, POLICY]);
    }

    #[test]
    fn directories_of_several_sets_are_removed_from_the_inside_out() {
        let node = Node::new();
        node.apply(&[node.create_directory("/srv/a")], 0).unwrap();
        node.apply(&[node.create_directory("/srv/a/b")], 1).unwrap();
        assert_eq!(paths(&node.restore(Some(FIRST), 2).changes), ["/srv/a/b", "/srv/a", "/srv"]);
        assert!(!node.exists("/srv"));
    }

    #[test]
    fn a_restore_can_be_restored() {
        let node = Node::with(&[(MANIFEST, "0")]);
        node.apply(&[node.create_directory("/srv/a"), node.write("/srv/a/b", "1"), node.write(MANIFEST, "1")], 0)
            .unwrap();
        node.restore(None, 1);
        assert_eq!((node.exists("/srv"), node.text(MANIFEST).as_str()), (false, "0"));
        node.restore(Some("20261124T121327Z"), 2);
        assert_eq!((node.text("/srv/a/b").as_str(), node.text(MANIFEST).as_str()), ("1", "1"));
        assert_eq!((node.mode("/srv/a"), node.mode("/srv/a/b")), (0o700, 0o600));
    }

    #[test]
    fn the_oldest_state_of_a_path_counts_piece_by_piece() {
        let node = Node::with(&[(POLICY, "0")]);
        node.apply(&[node.set_mode(POLICY, 0o640)], 0).unwrap();
        node.apply(&[node.write(POLICY, "1")], 1).unwrap();
        node.restore(Some(FIRST), 2);
        assert_eq!((node.text(POLICY).as_str(), node.mode(POLICY)), ("0", 0o644));
    }

    #[test]
    fn only_the_mode_is_put_back_where_only_that_differs() {
        let node = Node::with(&[(POLICY, "0")]);
        node.apply(&[node.write(POLICY, "0")], 0).unwrap();
        let changes = plan(&node.root, None).unwrap().changes;
        let [Change::SetAttributes { before, after, .. }] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!((before.mode, after.mode), (0o600, 0o644));
    }

    #[test]
    fn a_file_that_is_gone_comes_back_with_its_directory() {
        let node = Node::with(&[("/srv/a/policy", "0")]);
        node.apply(&[node.write("/srv/a/policy", "1")], 0).unwrap();
        fs::remove_dir_all(node.host("/srv")).unwrap();
        let gone = plan(&node.root, None).unwrap().gone;
        execute(&node.root, &gone, RESTORE, at(1)).unwrap();
        assert_eq!(node.text("/srv/a/policy"), "0");
    }

    #[test]
    fn nothing_to_restore_is_said() {
        let node = Node::new();
        let error = plan(&node.root, None).unwrap_err().to_string();
        assert!(error.contains("nothing to restore"), "{error}");
        assert_eq!(list(&node.root).unwrap(), []);
    }
}
