//! The temporary files that a run could not remove beside the files that it changed. The next run removes them.

use std::collections::BTreeSet;

use anyhow::Result;

use super::backup;
use super::hidden::is_hidden;
use super::names::{hidden_name, kept_name, temporary_name, unproved_name};
use super::net::LINE;
use super::pending;
use super::root::{Root, split};

/// Whether an earlier run left a temporary file. If another run is under way, this may be one of its files.
///
/// # Errors
///
/// The backups or a directory can't be read.
pub fn exist(root: &Root) -> Result<bool> {
    Ok(!find(root)?.is_empty())
}

/// Removes what earlier runs left. Call it with the lock held.
///
/// # Errors
///
/// A file can't be removed.
pub(super) fn clear(root: &Root) -> Result<()> {
    for path in find(root)? {
        let slot = root.slot(&path)?;
        let removed = slot.remove(&slot.name).and_then(|()| slot.sync());
        removed.map_err(|errno| root.error("remove the leftover", &path, errno))?;
    }
    Ok(())
}

/// The paths of temporary files beside the files in the backups.
fn find(root: &Root) -> Result<Vec<String>> {
    let mut beside = BTreeSet::new();
    for record in backup::list(root)?.into_iter().flat_map(|set| set.records) {
        beside.extend(backup::worked_at(root, &record).ok().flatten());
    }
    let is_unproved = pending::is_marked(root)?;
    let mut found = Vec::new();
    let (directory, name) = split(LINE)?;
    for path in [LINE.to_owned(), format!("{directory}/{}", temporary_name(name))] {
        found.extend(root.look(&path)?.map(|_| path));
    }
    let mut listed: Option<(String, Vec<String>)> = None;
    for path in beside {
        let (directory, name) = split(&path)?;
        if listed.as_ref().is_none_or(|(known, _)| known != directory) {
            // A directory that can't be listed has nothing that a run could remove.
            let names = root.list(directory).ok().flatten().unwrap_or_default();
            listed = Some((directory.to_owned(), names));
        }
        let Some((_, names)) = &listed else { continue };
        let has = |name: &String| names.contains(name);
        let mut left = vec![temporary_name(name), kept_name(name)];
        // A manifest that is hidden is put back, not removed.
        left.extend(Some(hidden_name(name)).filter(|_| !is_hidden(root, &path).unwrap_or(true)));
        left.extend(Some(unproved_name(name)).filter(|_| !is_unproved));
        found.extend(left.into_iter().filter(has).map(|name| format!("{directory}/{name}")));
    }
    Ok(found)
}
