//! Judges the node that a restore or a rollback leaves, with the functions that judge what `apply` leaves: does the API
//! server start that the manifest then defines?

use crate::change::Change;
use crate::facts::Typed;
use crate::facts::file::{FileKind, Files, Seen, SeenFile, Snapshot};
use crate::wiring::references::Question;
use crate::wiring::{manifest, pod};

/// What is on the node now.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it has functions")]
pub struct Sight<'s> {
    pub file: &'s dyn Fn(&str) -> Seen,
    pub kind: &'s dyn Fn(&str) -> Option<FileKind>,
    /// Where a path leads if it is a link, or else the path itself.
    pub real: &'s dyn Fn(&str) -> String,
    /// The node is the running system, so what is missing now will be missing when the kubelet starts the pod.
    pub live: bool,
}

/// Why the API server of the manifest at `path` does not start after `changes`. `text`: the manifest then. Empty if it
/// starts.
pub fn faults(path: &str, text: &str, changes: &[Change], sight: &Sight<'_>) -> Vec<String> {
    if let Err(refusal) = manifest::read(text).and_then(|read| pod::check(text, read.version)) {
        return vec![format!("{path}:{refusal}")];
    }
    let mut files = Files::new();
    let verdict = loop {
        let question = Question { files: &files, path, keeps: true, installs: false, webhook: None };
        let Ok(verdict) = manifest::judge(text, &question) else { return Vec::new() };
        let asked: Vec<_> = verdict.asked.iter().filter(|path| !files.contains_key(*path)).cloned().collect();
        if asked.is_empty() {
            break verdict;
        }
        files.extend(asked.into_iter().map(|path| {
            let seen = file_after(changes, &path, sight);
            (path, seen)
        }));
    };
    let typed = manifest::typed_volumes(text).into_iter().filter_map(|(_, host, kind)| {
        let found = kind_after(changes, &host, sight);
        // What the flags name is told already.
        let is_told = verdict.missing.iter().any(|missing| missing.contains(&host));
        let comes = found.is_none() && (!sight.live || is_told);
        Typed { place: path.to_owned(), path: host, kind }.fault(found).filter(|_| !comes)
    });
    let typed: Vec<_> = typed.collect();
    verdict.faults.into_iter().chain(verdict.missing).chain(typed).collect()
}

/// The changes at a path, and at what it leads to.
fn changes_at<'c>(changes: &'c [Change], path: &str, sight: &Sight<'_>) -> impl Iterator<Item = &'c Change> {
    let paths = [path.to_owned(), (sight.real)(path)];
    changes.iter().filter(move |change| paths.iter().any(|path| change.path() == path))
}

fn file_after(changes: &[Change], path: &str, sight: &Sight<'_>) -> Seen {
    let mut seen = (sight.file)(path);
    for change in changes_at(changes, path, sight) {
        match (change, &mut seen) {
            (Change::RemoveFile { .. } | Change::MoveAway { .. }, _) => seen = Seen::Missing,
            (Change::WriteFile { bytes, attributes, .. }, Seen::File(file)) => {
                (file.snapshot.bytes, file.snapshot.attributes) = (bytes.clone(), attributes.clone());
            }
            (Change::WriteFile { bytes, attributes, .. }, _) => {
                let identity = crate::facts::file::FileIdentity { device: 0, inode: 0 };
                let snapshot = Snapshot { bytes: bytes.clone(), attributes: attributes.clone(), identity };
                let (real, directories) = (path.to_owned(), Default::default());
                let (lists, beside) = (Vec::new(), Vec::new());
                seen = Seen::File(Box::new(SeenFile { snapshot, real, directories, lists, beside }));
            }
            (Change::SetAttributes { after, .. }, Seen::File(file)) => file.snapshot.attributes = after.clone(),
            _ => {}
        }
    }
    if let Seen::File(file) = &mut seen {
        for (directory, attributes) in &mut file.directories {
            let set = changes.iter().find_map(|change| match change {
                Change::SetAttributes { path, after, .. } if path == directory => Some(after),
                _ => None,
            });
            if let Some(after) = set {
                attributes.clone_from(after);
            }
        }
    }
    seen
}

fn kind_after(changes: &[Change], path: &str, sight: &Sight<'_>) -> Option<FileKind> {
    changes_at(changes, path, sight).fold((sight.kind)(path), |kind, change| match change {
        Change::RemoveFile { .. } | Change::RemoveDirectory { .. } | Change::MoveAway { .. } => None,
        Change::WriteFile { .. } => Some(FileKind::File),
        Change::CreateDirectory { .. } => Some(FileKind::Directory),
        _ => kind,
    })
}
