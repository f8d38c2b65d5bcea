//! Puts a node back to what it was before a run changed it.

use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};

use super::{PolicySource, Run};
use crate::change::Change;
use crate::config::Config;
use crate::facts::backup::{Set, Why};
use crate::node::lock::Lock;
use crate::node::root::Root;
use crate::node::{backup, healing, hidden, kubelet, restore, transaction};
use crate::plan::Occasion;
use crate::plan::way_back::{self, Restore, keep_referenced};

/// How a node is put back.
#[derive(Clone, Debug)]
pub struct RestoreTerms {
    /// The backup set to go back to; the newest where none is named.
    pub id: Option<String>,
    /// Change nothing.
    pub dry_run: bool,
    /// Put back files, too, that somebody else changed or removed since.
    pub force: bool,
    /// How long to wait for another run to end.
    pub patience: Duration,
}

/// What was put back, or would be.
#[derive(Debug)]
pub struct Restored {
    /// The sets that are taken back, newest first.
    pub sets: Vec<String>,
    pub changes: Vec<Change>,
    /// What stays as it is, and why.
    pub notes: Vec<String>,
    /// The set that has what was there until now.
    pub backup: Option<String>,
}

/// Puts a node back. `configured` reads the configuration once no other run is under way.
///
/// # Errors
///
/// There is no such set, or somebody else changed a file since: then nothing was put back. The way back failed.
pub fn restore(root: &Root, terms: &RestoreTerms, configured: &dyn Fn() -> Config) -> Result<Restored> {
    let lock = match terms.dry_run {
        true => None,
        false => Some(Lock::take(root, terms.patience)?),
    };
    // A manifest or a kubelet's configuration that is broken must not bar the way back: that may be why somebody goes back.
    let told = |error| log::warn!("{error:#}; going on");
    let manifest_path = kubelet::manifest_path(root, &configured()).map_err(told).unwrap_or_default();
    if lock.is_some() {
        hidden::unhide(root, &manifest_path).map_err(told).unwrap_or_default();
    }
    let mut restore = way_back::plan(&restore::look(root, terms.id.as_deref())?);
    let first = restore.sets.last();
    let undoes_restore = backup::list(root)?.iter().any(|set| Some(&set.id) == first && set.why == Why::Restore);
    let manifest = root.text(&manifest_path).map_err(told).ok().flatten().map(|manifest| manifest.text);
    if terms.force {
        restore.changes.splice(0..0, std::mem::take(&mut restore.gone));
    }
    keep_referenced(&mut restore, &manifest_path, manifest.as_deref());
    let Restore { sets, changes, foreign, gone, mut notes } = restore;
    if !foreign.is_empty() && !terms.force && !terms.dry_run {
        bail!(
            "{}: changed by somebody else since; nothing was put back: look with restore --dry-run, and use \
             --force if that shall be undone too",
            foreign.join(", ")
        );
    }
    let removed = |path: &str| format!("{path} was removed by somebody else since; --force puts it back");
    notes.extend(gone.iter().map(|change| removed(change.path())));
    notes.extend(foreign.iter().map(|path| format!("{path} was changed by somebody else since")));
    let backup = match terms.dry_run {
        true => None,
        false => transaction::execute(root, &changes, &Why::Restore, SystemTime::now())?,
    };
    if let Some(id) = backup.as_deref().filter(|_| undoes_restore && is_in_place(root, configured())) {
        healing::forget(root, id)?;
    }
    Ok(Restored { sets, changes, notes, backup })
}

/// Is there nothing left for `apply` to do? The cluster is not asked, as its API server may be about to restart.
fn is_in_place(root: &Root, config: Config) -> bool {
    let config = Config { cluster: false, ..config };
    let run = Run { root, config, occasion: Occasion::Any, required: false, policy: PolicySource::new(None) };
    run.survey().is_ok_and(|plan| plan.is_empty() && plan.refusal.is_none())
}

/// The backup sets, newest first, those of killed runs included.
///
/// # Errors
///
/// Their directory can't be read.
pub fn list(root: &Root) -> Result<Vec<Set>> {
    backup::list(root)
}
