//! Looks at what is in place on a node, and what was done to it before.

use anyhow::Result;

use super::Run;
use crate::facts::backup::Set;
use crate::facts::repairs::RepairHistory;
use crate::facts::server::Lost;
use crate::node::{apiserver, backup, healing, pending};
use crate::plan::{Plan, Role};

/// All that there is to say about a node.
#[derive(Debug)]
pub struct Report {
    pub plan: Plan,
    pub backups: Vec<Set>,
    /// A run was killed before it was through, or is under way.
    pub interrupted: bool,
    /// Self-healing is enabled.
    pub heals: bool,
    pub history: RepairHistory,
    /// The set of the run that is to be proved.
    pub unproved: Option<String>,
    /// `None` where no API server could be asked.
    pub lost: Option<Lost>,
}

/// Looks at a node, and changes nothing.
///
/// # Errors
///
/// As [`Run::survey`]; what the program keeps on the node can't be read.
pub fn status(run: &Run<'_>) -> Result<Report> {
    let (plan, root) = (run.survey()?, run.root);
    Ok(Report {
        backups: backup::list(root)?,
        interrupted: backup::is_unfinished(root)?,
        heals: healing::is_enabled(root),
        history: healing::history(root)?,
        unproved: pending::unproved_set(root)?.map(|set| set.id),
        lost: if plan.role == Role::ControlPlane && root.is_host() { apiserver::count_lost() } else { None },
        plan,
    })
}

impl Report {
    /// Is there nothing to do?
    pub fn is_in_place(&self) -> bool {
        self.plan.is_empty() && self.plan.refusal.is_none() && !self.interrupted
    }

    /// Why nothing may be done.
    pub fn refusal(&self) -> Option<&String> {
        self.plan.refusal.as_ref().or(self.plan.objection.as_ref())
    }
}
