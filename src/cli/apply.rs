//! `apply`: the job.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::plan::{document, nothing, show};
use super::{Common, Outcome, Overrides, configuration, headline, survey, verify, warn};
use crate::node::lock::Lock;
use crate::node::{apiserver, backup, observe, transaction};
use crate::plan::{Role, describe};

/// Prepare the node: log directory, policy, kubeadm's configuration, API server manifest
#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    overrides: Overrides,
    /// Change nothing, do what plan does
    #[arg(long)]
    dry_run: bool,
    /// Wait until the API server is proved to audit, as verify does, at most so long; put everything back where it isn't, and exit 4
    #[arg(long, value_name = "DURATION", value_parser = verify::duration)]
    wait: Option<Duration>,
    /// How long to wait for another run to end
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    lock_timeout: u64,
}

impl Apply {
    pub fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let root = common.open_root()?;
        let config = configuration(&root, common, &self.overrides)?;
        let manifest = observe::manifest_path(&root, &config)?;
        if !self.dry_run && apiserver::is_hidden(&root, &manifest)? {
            let _lock = Lock::take(&root, Duration::from_secs(self.lock_timeout))?;
            apiserver::unhide(&root, &manifest)?;
        }
        let policy = OnceCell::new();
        let mut plan = survey(&root, &config, &self.overrides, &policy)?;
        if self.dry_run {
            return show(&plan, common, out);
        }
        let waits = self.wait.filter(|_| plan.role == Role::ControlPlane && root.is_host());
        if waits.is_some() && !apiserver::processes().1 {
            bail!(
                "the kubelet doesn't run, so nothing would start the API server again; start it, or leave --wait out"
            );
        }
        // Before anything is written: the kubelet may be quick.
        let old = if waits.is_some() { apiserver::processes().0 } else { Vec::new() };
        let mut backup = None;
        let mut lock = None;
        if !plan.changes.is_empty() || backup::unfinished(&root)? {
            lock = Some(Lock::take(&root, Duration::from_secs(self.lock_timeout))?);
            let mut changes = plan.changes();
            if transaction::changed(&root, &changes)?.is_some() {
                // Another run did the job, or undid it, before this one had the lock.
                plan = survey(&root, &config, &self.overrides, &policy)?;
                changes = plan.changes();
            }
            backup = transaction::execute(&root, &changes, "apply", SystemTime::now())?;
        }
        warn(common, &plan.warnings);
        let mut proof = None;
        if let Some(limit) = waits {
            let _lock = match lock.take() {
                Some(lock) => lock,
                None => Lock::take(&root, Duration::from_secs(self.lock_timeout))?,
            };
            // Where a run was killed while it waited, this one goes on with that.
            let id = match &backup {
                Some(id) => Some(id.clone()),
                None => backup::unproved(&root)?,
            };
            backup::set_unproved(&root, id.as_deref())?;
            proof = Some(verify::prove_or_go_back(&root, &manifest, &plan, old, id.as_deref(), limit)?);
            backup::set_unproved(&root, None)?;
        }
        drop(lock);
        let outcome = if proof.as_ref().is_some_and(Result::is_err) { Outcome::PutBack } else { Outcome::Done };
        if common.json() {
            let mut document = document(&plan, backup.as_deref());
            match &proof {
                Some(Ok(proved)) => document["proof"] = proved.document(),
                Some(Err(why)) => document["proof"] = json!({"proved": false, "reason": why}),
                None => {}
            }
            let _ = writeln!(out, "{document:#}");
            return Ok(outcome);
        }
        if let Some(Err(why)) = &proof {
            log::error!("{why}");
            return Ok(outcome);
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
        if let Some(Ok(proved)) = &proof {
            let _ = writeln!(out, "proof     {}", proved.text());
        }
        Ok(outcome)
    }
}
