//! `apply`: the job.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::plan::{document, nothing, show};
use super::verify::{self, Proved};
use super::{Common, Outcome, Overrides, configuration, headline, survey, warn};
use crate::config::Config;
use crate::node::healing::{self, HEAL};
use crate::node::lock::Lock;
use crate::node::root::Root;
use crate::node::{apiserver, backup, observe, transaction};
use crate::plan::{Plan, Role, Step, describe};

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
    /// Repair a manifest that something re-wrote, once all is quiet; what kube-audit-bootstrap-heal.service runs
    #[arg(long, requires = "wait", conflicts_with = "dry_run")]
    heal: bool,
    /// How long to wait for another run to end
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    lock_timeout: u64,
}

/// How often is tried again where another program changes a file, or the cluster's configuration, meanwhile.
const TRIES: usize = 3;

/// What a run did.
struct Done {
    plan: Plan,
    backup: Option<String>,
    /// What became of the proof, where one was asked for.
    proof: Option<Result<Proved, String>>,
}

impl Apply {
    pub fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let root = common.open_root()?;
        let config = configuration(&root, common, &self.overrides)?;
        if self.heal {
            return self.heal(&root, &config, common, out);
        }
        if self.dry_run {
            return show(&survey(&root, &config, &self.overrides, &OnceCell::new())?, common, out);
        }
        print(&self.once(&root, &config, "apply", common)?, &root, common, out)
    }

    /// Repairs the node until it stays as it is, or is repaired too often.
    fn heal(&self, root: &Root, config: &Config, common: &Common, out: &mut String) -> Result<Outcome> {
        let manifest = observe::manifest_path(root, config)?;
        loop {
            healing::wait_until_quiet(root, &manifest)?;
            let plan = survey(root, config, &self.overrides, &OnceCell::new())?;
            if !plan.changes.iter().any(|planned| matches!(planned.step, Step::Strays | Step::Manifest)) {
                out.push_str("nothing to repair: the manifest is as it should be\n");
                return Ok(Outcome::Done);
            }
            let repairs = healing::repairs(root, SystemTime::now())?;
            if repairs.len() >= healing::REPAIRS {
                bail!(
                    "{manifest}: it was repaired {} times within an hour, and is without its settings again; it is left so: find \
                     out what writes it (its time of change tells when), such as an upgrade with another configuration or a \
                     configuration management, then run kube-audit-bootstrap apply --wait 5m",
                    repairs.len()
                );
            }
            let outcome = print(&self.once(root, config, HEAL, common)?, root, common, out)?;
            if outcome != Outcome::Done {
                return Ok(outcome);
            }
        }
    }

    fn once(&self, root: &Root, config: &Config, why: &str, common: &Common) -> Result<Done> {
        let manifest = observe::manifest_path(root, config)?;
        if apiserver::is_hidden(root, &manifest)? {
            let _lock = Lock::take(root, Duration::from_secs(self.lock_timeout))?;
            apiserver::unhide(root, &manifest)?;
        }
        let policy = OnceCell::new();
        let mut plan = survey(root, config, &self.overrides, &policy)?;
        let waits = self.wait.filter(|_| plan.role == Role::ControlPlane && root.is_host());
        if waits.is_some() && !verify::kubelet_runs() {
            bail!(
                "the kubelet doesn't run, so nothing would start the API server again; start it, or leave --wait out"
            );
        }
        if waits.is_some() && plan.by_hand {
            warn(common, &plan.warnings);
            bail!(
                "{manifest}: nothing would start the API server anew, so nothing could be proved; leave --wait out"
            );
        }
        let mut before = verify::Before::default();
        let mut backup = None;
        let mut lock = None;
        if !plan.changes.is_empty() || backup::unfinished(root)? {
            lock = Some(Lock::take(root, Duration::from_secs(self.lock_timeout))?);
            for tries in 1.. {
                if transaction::changed(root, &plan.changes())?.is_some() {
                    // Another run did the job, or undid it, before this one had the lock; or another program writes what this one does.
                    plan = survey(root, config, &self.overrides, &policy)?;
                }
                if waits.is_some() {
                    before = verify::Before::of(&plan, config.restart);
                }
                let changes = plan.changes();
                match transaction::execute(root, &changes, why, SystemTime::now()) {
                    Ok(id) => {
                        backup = id;
                        break;
                    }
                    Err(error) if tries < TRIES && transaction::changed(root, &changes)?.is_some() => {
                        log::warn!("{error:#}; trying once more");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        warn(common, &plan.warnings);
        let mut proof = None;
        if let Some(limit) = waits {
            let _lock = match lock.take() {
                Some(lock) => lock,
                None => Lock::take(root, Duration::from_secs(self.lock_timeout))?,
            };
            // Where a run was killed while it waited, this one goes on with that.
            let mut id = backup.clone();
            if id.is_none()
                && let Some(set) = backup::unproved(root)?
            {
                before = verify::Before::of_killed(&set, &manifest);
                id = Some(set.id);
            }
            backup::set_unproved(root, id.as_deref())?;
            proof = Some(verify::prove_or_go_back(root, &manifest, before, id.as_deref(), limit)?);
            backup::set_unproved(root, None)?;
        }
        Ok(Done { plan, backup, proof })
    }
}

fn print(done: &Done, root: &Root, common: &Common, out: &mut String) -> Result<Outcome> {
    let Done { plan, backup, proof } = done;
    let outcome = if proof.as_ref().is_some_and(Result::is_err) { Outcome::PutBack } else { Outcome::Done };
    if common.json() {
        let mut document = document(plan, backup.as_deref());
        match proof {
            Some(Ok(proved)) => document["proof"] = proved.document(),
            Some(Err(why)) => document["proof"] = json!({"proved": false, "reason": why}),
            None => {}
        }
        let _ = writeln!(out, "{document:#}");
        return Ok(outcome);
    }
    if let Some(Err(why)) = proof {
        log::error!("{why}");
        return Ok(outcome);
    }
    out.push_str(&headline(plan));
    if plan.changes.is_empty() {
        out.push_str(nothing(plan));
    }
    for planned in &plan.changes {
        let _ = writeln!(out, "{:9} {}: done", planned.step.name(), describe(&planned.change));
    }
    if let Some(id) = backup {
        let root = if root.is_host() { String::new() } else { format!(" --root {}", common.root.display()) };
        let _ = writeln!(out, "backup    {id}; to undo: kube-audit-bootstrap{root} restore {id}");
    }
    if let Some(Ok(proved)) = proof {
        let _ = writeln!(out, "proof     {}", proved.text());
    }
    Ok(outcome)
}
