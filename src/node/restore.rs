//! Reads what a restore needs: the backups, and the present state of each path in them. `plan::way_back` decides what
//! the restore does.

use anyhow::{Result, bail};

use super::backup::{FILE_LIMIT, copy, copy_of_after, load_all};
use super::cluster;
use super::root::Root;
use super::storage::mounted_at;
use crate::facts::backup::{Action, BACKUPS, Record, Set, fingerprint};
use crate::facts::file::FileKind;
use crate::facts::way_back::{ContentStep, Goal, Known, Now, WayBack, known};
use crate::path::aside;

/// Reads what is needed to go back to the state before the backup `id`, or else before the newest backup that is not
/// of a restore. All newer backups are restored, too: for each path, the oldest state counts.
///
/// # Errors
///
/// There is no such backup; a backup or a copy can't be read; something other than a file is at a path of a file.
pub fn look(root: &Root, id: Option<&str>) -> Result<WayBack> {
    let sets = sets_back_to(root, id)?;
    let goals = known(&sets).iter().map(|known| goal(root, known)).collect::<Result<_>>()?;
    Ok(WayBack { goals, sets, is_host: root.is_host() })
}

fn sets_back_to(root: &Root, id: Option<&str>) -> Result<Vec<Set>> {
    let mut sets = Vec::new();
    for (complete, loaded) in load_all(root)? {
        match loaded {
            Ok(set) => {
                let is_found = id.map_or(!set.why.is_way_back(), |id| set.id == id);
                sets.push(set);
                if is_found {
                    return Ok(sets);
                }
            }
            // Only this backup knows what its run changed, so the restore can't skip it.
            Err(error) if complete => return Err(error),
            // Its run was interrupted while it made the backup, and changed nothing.
            Err(error) => log::warn!("{error:#}"),
        }
    }
    match id {
        Some(id) => bail!(
            "there is no backup {id} in {}; list the IDs with {} restore --list",
            root.shown(BACKUPS),
            root.program()
        ),
        None => bail!("there is no backup in {}, so there is nothing to restore", root.shown(BACKUPS)),
    }
}

fn goal(root: &Root, known: &Known<'_>) -> Result<Goal> {
    let (set, record) = known.first;
    let mut goal = Goal { record: record.clone(), set: set.id.clone(), steps: vec![], now: Now::default() };
    let (path, now) = (record.path.as_str(), &mut goal.now);
    match record.action {
        Action::Formatted | Action::Moved => {}
        Action::Unmounted | Action::Mounted if !root.is_host() => {}
        Action::Unmounted | Action::Mounted => {
            let directory = path.trim_end_matches('/');
            now.mounted = mounted_at(directory)?;
            now.has_aside = now.mounted.is_none() && root.stat(&aside(directory))?.is_some();
        }
        Action::Cluster if !root.is_host() => {}
        Action::Cluster => {
            goal.steps = steps(root, known)?;
            now.cluster = Some(cluster::read().map_err(|error| format!("{error:#}")));
        }
        Action::Directory | Action::DirectoryRemoved => {
            // A link that took the place of a directory is somebody else's.
            now.entry = if record.action == Action::Directory { root.look(path)? } else { root.stat(path)? };
            if now.entry.as_ref().is_some_and(|entry| entry.kind == FileKind::Directory) {
                now.names = root.list(path)?.unwrap_or_default();
            }
        }
        Action::Created | Action::Replaced | Action::Removed | Action::Attributes => {
            goal.steps = steps(root, known)?;
            // An empty directory stands in for a file only. Of a directory, only its attributes were changed.
            let was_directory = goal.steps.is_empty() && record.attributes.mode & 0o100 != 0;
            now.entry = root.stat(path)?.filter(|_| was_directory || !root.is_stand_in(path));
            // A log that the program created may have grown larger than what is read.
            let began_empty = goal.steps.iter().any(|step| step.record.written == Some(fingerprint(b"")));
            let has_events = began_empty && now.entry.as_ref().is_some_and(|entry| entry.size > 0);
            if !goal.steps.is_empty() && !has_events {
                now.file = root.read_target(path, FILE_LIMIT)?;
            }
        }
    }
    Ok(goal)
}

fn steps(root: &Root, known: &Known<'_>) -> Result<Vec<ContentStep>> {
    let step = |(set, record): &(&Set, &Record)| {
        let (before, after) = (copy(root, set, record)?, copy_of_after(root, set, record)?);
        Ok(ContentStep { set: set.id.clone(), record: (*record).clone(), before, after })
    };
    known.contents.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::backup::{begin, finish, list};
    use super::super::testing::{FIRST, KUBEADM, LOGS, MANIFEST, Node, POLICY, STRAY, at, way_back};
    use super::super::transaction::execute;
    use super::*;
    use crate::change::{Change, KUBEADM_CONFIG};
    use crate::facts::backup::Why;
    use crate::plan::way_back;

    fn paths(changes: &[Change]) -> Vec<&str> {
        changes.iter().map(Change::path).collect()
    }

    #[test]
    fn what_is_in_the_cluster_is_no_matter_of_an_image() {
        let node = Node::new();
        let change = Change::WriteCluster { before: "before".to_owned(), after: "after".to_owned() };
        let set = begin(&node.root, &[change], &Why::Apply, at(0)).unwrap();
        finish(&node.root, &set).unwrap();
        assert_eq!(list(&node.root).unwrap()[0].records[0].path, KUBEADM_CONFIG);
        let restore = way_back(&node.root, None).unwrap();
        assert_eq!(restore.changes, []);
        assert!(restore.notes[0].contains("not a running node"), "{:?}", restore.notes);
    }

    #[test]
    fn what_was_mounted_is_no_matter_of_an_image() {
        let node = Node::new();
        fs::create_dir_all(node.host(&aside(LOGS))).unwrap();
        let (path, unit, log) = (LOGS.to_owned(), "audit.mount".to_owned(), format!("{LOGS}/audit.log"));
        let attributes = super::super::testing::mode(0o700);
        let mount = Change::Mount { path: path.clone(), unit, attributes, log, begun: None };
        for (seconds, change) in [(0, mount), (1, Change::Unmount { path })] {
            let set = begin(&node.root, std::slice::from_ref(&change), &Why::Apply, at(seconds)).unwrap();
            finish(&node.root, &set).unwrap();
            let restore = way_back(&node.root, None).unwrap();
            assert_eq!((restore.changes, restore.notes), (vec![], vec![]), "{change:?}");
        }
    }

    #[test]
    fn a_directory_behind_a_link_gets_its_mode_back() {
        let node = Node::with(&[("/etc/x", "")]);
        fs::create_dir_all(node.host("/data/audit")).unwrap();
        node.link("/logs", "/data/audit");
        for path in ["/data/audit", "/logs"] {
            fs::set_permissions(node.host("/data/audit"), fs::Permissions::from_mode(0o755)).unwrap();
            node.apply(&[node.set_mode(path, 0o700)], 0).unwrap();
            assert_eq!(node.restore(None, 1).notes, [""; 0], "{path}");
            assert_eq!(node.mode("/data/audit"), 0o755, "{path}");
        }
    }

    #[test]
    fn a_link_in_the_place_of_a_directory_that_a_run_made_stays() {
        for target in ["/data", "/none"] {
            let node = Node::with(&[("/data/x", "")]);
            node.apply(&[node.create_directory("/srv/a")], 0).unwrap();
            fs::remove_dir(node.host("/srv/a")).unwrap();
            node.link("/srv/a", target);
            let restore = way_back(&node.root, None).unwrap();
            assert_eq!(
                (restore.changes, restore.notes),
                (vec![], vec!["/srv/a stays: it is a symbolic link now".to_owned()])
            );
        }
    }

    #[test]
    fn a_log_that_was_begun_goes_only_while_nothing_is_in_it() {
        for (text, stays) in [("", false), ("event", true)] {
            let node = Node::new();
            node.apply(&[node.write("/audit.log", "")], 0).unwrap();
            node.put("/audit.log", text);
            assert_eq!(node.restore(None, 1).foreign, []);
            assert_eq!(node.exists("/audit.log"), stays, "{text}");
        }
    }

    #[test]
    fn a_directory_that_stays_for_an_inner_one_needs_no_note_of_its_own() {
        let node = Node::new();
        node.apply(&[node.create_directory("/srv/a/b")], 0).unwrap();
        node.put("/srv/a/b/x", "");
        let note = "/srv/a/b stays: \"x\" is in it";
        assert_eq!(way_back(&node.root, None).unwrap().notes, [note]);
        node.put("/srv/y", "");
        let outer = "/srv stays: 2 files or directories are in it, ";
        let notes = way_back(&node.root, None).unwrap().notes;
        assert!(notes.len() == 2 && notes[0] == note && notes[1].starts_with(outer), "{notes:?}");
    }

    #[test]
    fn a_set_that_a_killed_run_left_half_written_does_not_bar_the_way_back() {
        let node = Node::with(&[(MANIFEST, "0")]);
        node.apply(&[node.write(MANIFEST, "1")], 0).unwrap();
        let index = |name: &str| format!("{BACKUPS}/{name}/index.json");
        for broken in ["", "{\"version\": 1", "[]"] {
            node.put(&index("20261124T121327Z.partial"), broken);
            let restore = way_back(&node.root, None).unwrap();
            assert_eq!(
                (restore.sets.as_slice(), paths(&restore.changes).as_slice()),
                (&[FIRST.to_owned()][..], &[MANIFEST][..])
            );
        }
        // A complete backup is of a run that ended, so it changed something.
        node.put(&index("20261124T121328Z"), "");
        let error = format!("{:#}", way_back(&node.root, None).unwrap_err());
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
            let others = way_back(&node.root, Some(FIRST)).unwrap().foreign;
            let mut found: Vec<_> = others.into_iter().map(|foreign| foreign.path).collect();
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
        let restore = way_back(&node.root, None).unwrap();
        assert_eq!(
            (restore.changes.as_slice(), restore.gone.as_slice()),
            (&[][..], &["/run/kubeadm.yaml".to_owned()][..])
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
        // The manifest comes first; nothing is removed before it, and inner directories are removed before outer ones.
        let order = [MANIFEST, POLICY, "/etc/attributes", KUBEADM, "/srv/deep/empty", "/srv/deep", "/srv"];
        assert_eq!(paths(&restore.changes), order);
        let notes = [
            format!(
                "{STRAY} is not put back, because the kubelet would run it; its copy is {BACKUPS}/{FIRST}/8-backup"
            ),
            format!("{LOGS} stays: \"audit.log\" is in it; a log is never deleted"),
        ];
        assert_eq!(restore.notes, notes);
        for (path, text) in [(MANIFEST, "0"), (POLICY, "0"), ("/etc/attributes", "x")] {
            assert_eq!((node.text(path).as_str(), node.mode(path)), (text, 0o644), "{path}");
        }
        assert!(!node.exists(KUBEADM) && !node.exists("/srv") && !node.exists(STRAY));
        assert_eq!(node.text("/var/log/kubernetes/audit/audit.log"), "event");
        // A restore doesn't go back to the backup of a restore, so nothing differs any more.
        assert_eq!(way_back(&node.root, None).unwrap().changes, []);
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
            for change in way_back(&node.root, id).unwrap().changes {
                let Change::WriteFile { path, bytes, .. } = change else { panic!("{change:?}") };
                found.push((path, String::from_utf8(bytes).unwrap()));
            }
            found.sort();
            let mut expected: Vec<_> = expected.iter().map(|(p, t)| ((*p).to_owned(), (*t).to_owned())).collect();
            expected.sort();
            assert_eq!(found, expected, "{id:?}");
        }
        assert_eq!(paths(&way_back(&node.root, Some(FIRST)).unwrap().changes)[0], MANIFEST);
        let error = way_back(&node.root, Some("20200101T000000Z")).unwrap_err().to_string();
        assert!(error.contains("there is no backup 20200101T000000Z"), "{error}");
    }

    #[test]
    fn the_manifest_is_first_even_if_other_files_changed_before_it_alone() {
        let node = Node::with(&[(POLICY, "0"), (MANIFEST, "0")]);
        node.apply(&[node.write(POLICY, "1")], 0).unwrap();
        node.apply(&[node.write(POLICY, "2"), node.write(MANIFEST, "2")], 1).unwrap();
        assert_eq!(paths(&way_back(&node.root, Some(FIRST)).unwrap().changes), [MANIFEST, POLICY]);
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
        let changes = way_back(&node.root, None).unwrap().changes;
        let [Change::SetAttributes { before, after, .. }] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!((before.mode, after.mode), (0o600, 0o644));
    }

    #[test]
    fn a_file_that_is_gone_comes_back_with_its_directory() {
        let node = Node::with(&[("/srv/a/policy", "0")]);
        node.apply(&[node.write("/srv/a/policy", "1")], 0).unwrap();
        fs::remove_dir_all(node.host("/srv")).unwrap();
        let forced = way_back::plan(&look(&node.root, None).unwrap(), true);
        execute(&node.root, &forced.changes, &Why::Restore, at(1)).unwrap();
        assert_eq!(node.text("/srv/a/policy"), "0");
    }

    #[test]
    fn nothing_to_restore_is_said() {
        let node = Node::new();
        let error = way_back(&node.root, None).unwrap_err().to_string();
        assert!(error.contains("nothing to restore"), "{error}");
        assert_eq!(list(&node.root).unwrap(), []);
    }
}
