//! What of the way back may be done: nothing that the API server, as it will be then, still needs.

use crate::change::Change;
use crate::change::Restore;
use crate::facts::file::lossy;
use crate::path::is_within;
use crate::wiring::manifest;

/// Takes out of the way back what would remove a file or directory that the manifest, as it will be then, still
/// points at: the API server would not come back without it. `manifest` is the text of today's. Each gets a note.
pub fn keep_referenced(restore: &mut Restore, manifest_path: &str, manifest: Option<&str>) {
    let changed = restore.changes.iter().find_map(|change| match change {
        Change::WriteFile { path, bytes, .. } if path == manifest_path => Some(lossy(bytes)),
        Change::RemoveFile { path, .. } if path == manifest_path => Some(String::new()),
        _ => None,
    });
    let text = changed.as_deref().or(manifest).unwrap_or_default();
    let referenced = manifest::auditing(text).map(|auditing| auditing.referenced).unwrap_or_default();
    let removed = |change: &Change| match change {
        Change::RemoveFile { path, .. } | Change::RemoveDirectory { path, .. } => Some(path.clone()),
        // Who may read it is part of what the API server needs.
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
    // What is kept keeps the directories that lead to it.
    restore
        .changes
        .retain(|change| !removed(change).is_some_and(|path| kept.iter().any(|kept| is_within(kept, &path))));
    let note = |path| format!("{path} stays: {manifest_path} points at it, and the API server needs it");
    restore.notes.extend(kept.iter().map(note));
    restore.foreign.retain(|path| restore.changes.iter().any(|change| change.path() == path));
}

/// What a roll-back does to the node's files, and the paths that it leaves: those that somebody else wrote or removed meanwhile, and what the
/// manifest points at, as it will be then. `manifest` is the text of today's. What is in the cluster comes later, when its API server answers.
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
    use crate::facts::file::{Attributes, Snapshot};

    #[test]
    fn a_roll_back_takes_nothing_from_a_manifest_that_stays() {
        const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
        const POLICY: &str = "/etc/kubernetes/audit-policy.yaml";
        let snapshot = |text: &str| Snapshot {
            bytes: text.as_bytes().to_vec(),
            attributes: Attributes::new(0o600, 0, 0),
            identity: (1, 1),
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
        let file = |uid| Snapshot { bytes: b"text".to_vec(), attributes: of(uid, 0o600), identity: (1, 1) };
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
            // Its content is put back, and who may read it stays.
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
}
