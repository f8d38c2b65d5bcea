//! The directory of the program's own files on a node, as far as a run needs it.

use anyhow::Result;

use super::root::{Root, stays_wrong};
use super::{lock, pending};
use crate::facts::backup::BACKUPS;
use crate::path::STATE;

/// Why a run could not keep its own files on the node: the lock, the backups, and the record of a proof. `None` if it
/// can, or if this is not known.
pub fn fault(root: &Root) -> Option<String> {
    let fault = [lock::check(root).map(drop), check(root)].into_iter().find_map(Result::err)?;
    stays_wrong(&fault).then(|| format!("{fault:#}"))
}

fn check(root: &Root) -> Result<()> {
    for path in [STATE, BACKUPS] {
        root.is_private(path)?;
    }
    pending::unproved_set(root).map(drop)
}
