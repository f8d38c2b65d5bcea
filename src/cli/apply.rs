//! `apply`: the job.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use clap::Args;

use super::plan::{document, nothing, show};
use super::{Common, Outcome, Overrides, configuration, headline, survey, warn};
use crate::node::lock::Lock;
use crate::node::{backup, transaction};
use crate::plan::describe;

/// Prepare the node: log directory, policy, kubeadm's configuration, API server manifest
#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    overrides: Overrides,
    /// Change nothing, do what plan does
    #[arg(long)]
    dry_run: bool,
    /// How long to wait for another run to end
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    lock_timeout: u64,
}

impl Apply {
    pub fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let root = common.open_root()?;
        let config = configuration(&root, common, &self.overrides)?;
        let policy = OnceCell::new();
        let mut plan = survey(&root, &config, &self.overrides, &policy)?;
        if self.dry_run {
            return show(&plan, common, out);
        }
        let mut backup = None;
        if !plan.changes.is_empty() || backup::unfinished(&root)? {
            let _lock = Lock::take(&root, Duration::from_secs(self.lock_timeout))?;
            let mut changes = plan.changes();
            if transaction::changed(&root, &changes)?.is_some() {
                // Another run did the job, or undid it, before this one had the lock.
                plan = survey(&root, &config, &self.overrides, &policy)?;
                changes = plan.changes();
            }
            backup = transaction::execute(&root, &changes, "apply", SystemTime::now())?;
        }
        warn(common, &plan.warnings);
        if common.json() {
            let _ = writeln!(out, "{:#}", document(&plan, backup.as_deref()));
            return Ok(Outcome::Done);
        }
        out.push_str(&headline(&plan));
        if plan.changes.is_empty() {
            out.push_str(nothing(&plan));
        }
        for planned in &plan.changes {
            let _ = writeln!(out, "{:9} {}: done", planned.step.name(), describe(&planned.change));
        }
        if let Some(id) = backup {
            let root = if root.is_host() { String::new() } else { format!(" --root {}", common.root.display()) };
            let _ = writeln!(out, "backup    {id}; to undo: kube-audit-bootstrap{root} restore {id}");
        }
        Ok(Outcome::Done)
    }
}
