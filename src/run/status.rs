//! Reports what is in place on a node, and what earlier runs did to it.

use anyhow::Result;

use super::Run;
use crate::facts::backup::Set;
use crate::facts::repairs::RepairHistory;
use crate::facts::server::Lost;
use crate::node::{apiserver, backup, healing, pending};
use crate::plan::{Plan, Role};

/// The state of a node.
#[derive(Debug)]
pub struct Report {
    pub plan: Plan,
    pub backups: Vec<Set>,
    /// A run was interrupted, or is under way.
    pub interrupted: bool,
    /// Self-healing is enabled.
    pub heals: bool,
    /// The repairs since the last `apply`.
    pub history: RepairHistory,
    /// The ID of the backup of the run that is not proved yet.
    pub unproved: Option<String>,
    /// The events that the API server lost; `None` if no API server could be asked.
    pub lost: Option<Lost>,
}

/// Reads the state of a node. Changes nothing.
///
/// # Errors
///
/// As [`Run::survey`]. The program's own files on the node can't be read.
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
    /// Whether everything is in place, and in force.
    pub fn is_in_place(&self) -> bool {
        self.plan.is_empty() && self.plan.refusal.is_none() && !self.interrupted && self.plan.in_force.is_settled()
    }

    /// Why `apply` would change nothing.
    pub fn refusal(&self) -> Option<&String> {
        self.plan.refusal.as_ref().or(self.plan.objection.as_ref())
    }
}
