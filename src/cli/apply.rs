//! `apply`: the job.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::change::describe;
use super::common::{Common, Misuse, Outcome, Overrides, configuration, headline, survey, warn};
use super::plan::{document, nothing, show};
use super::verify::{self, Verdict};
use crate::change::Change;
use crate::config::{Config, Occasion};
use crate::node::healing::{self, HEAL, History};
use crate::node::lock::Lock;
use crate::node::root::Root;
use crate::node::{backup, gather, hidden, kubelet, observe, pending, transaction};
use crate::plan::{Plan, Planned, Role, Step};

/// Prepare the node: log directory, policy, kubeadm's configuration, API server manifest
#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    overrides: Overrides,
    /// Change nothing, do what plan does
    #[arg(long)]
    dry_run: bool,
    /// Wait until the API server is proved to audit, as verify does, at most so long, and as long again for its return where it isn't and everything is put back; then exit 4
    #[arg(long, value_name = "DURATION", value_parser = verify::duration)]
    wait: Option<Duration>,
    /// Repair a manifest that something re-wrote, once all is quiet; what kube-audit-bootstrap-heal.service runs
    #[arg(long, requires = "wait", conflicts_with = "dry_run")]
    heal: bool,
    /// As at a boot, before the kubelet: leave the cluster's configuration and a node that was put back as they are, and the proof to self-healing
    #[arg(long, conflicts_with_all = ["dry_run", "wait"])]
    boot: bool,
    /// How long to wait for another run to end
    #[arg(long, value_name = "SECONDS", default_value_t = LOCK_TIMEOUT)]
    lock_timeout: u64,
}

/// Seconds.
const LOCK_TIMEOUT: u64 = 60;

/// How often is tried again where another program changes a file, or the cluster's configuration, meanwhile.
const TRIES: usize = 3;

/// What a run did.
struct Done {
    plan: Plan,
    backup: Option<String>,
    /// What became of the proof, where one was asked for.
    proof: Option<Verdict>,
}

impl Apply {
    /// `apply`, as it is without options but these.
    pub fn of(overrides: Overrides) -> Apply {
        Apply { overrides, dry_run: false, wait: None, heal: false, boot: false, lock_timeout: LOCK_TIMEOUT }
    }

    pub fn run(mut self, common: &Common, out: &mut String) -> Result<Outcome> {
        let root = common.open_root()?;
        if self.wait.is_some() && !root.is_host() {
            return Err(
                Misuse("--wait: only what runs can be proved; leave --wait or --root out".to_owned()).into()
            );
        }
        if self.heal {
            return self.heal(&root, common, out);
        }
        if self.boot {
            if let Some(id) = healing::history(&root)?.restored {
                say_nothing_done(&put_back(&id), common, out);
                return Ok(Outcome::Done);
            }
            self.overrides.occasion = Occasion::Boot;
        }
        let config = match configuration(&root, common, &self.overrides) {
            // It is for control planes, and no reason for a worker's boot to turn red.
            Err(error) if self.boot && observe::is_worker(&root)? => {
                log::warn!("{error:#}; this is a worker, so it doesn't matter here");
                return Ok(Outcome::Done);
            }
            read => read?,
        };
        if self.dry_run {
            return show(&survey(&root, &config, &self.overrides, &OnceCell::new())?, common, out);
        }
        print(&self.once(&root, &config, common)?, &root, common, out)
    }

    /// Repairs the node until it stays as it is, or is repaired too often.
    fn heal(&self, root: &Root, common: &Common, out: &mut String) -> Result<Outcome> {
        for repaired in 0.. {
            let manifest = kubelet::manifest_path(root, &configuration(root, common, &self.overrides)?)?;
            self.unhide(root, &manifest)?;
            healing::wait_until_quiet(root, &manifest)?;
            // A run that is under way proves what it did, or puts it back, by itself.
            if pending::set(root)?.is_some() {
                drop(Lock::take(root, self.patience())?);
            }
            // That may have been long.
            let config = configuration(root, common, &self.overrides)?;
            let plan = survey(root, &config, &self.overrides, &OnceCell::new())?;
            // A repair that was killed before it was proved goes on.
            let is_whole = pending::set(root)?.is_none()
                && !plan.changes.iter().any(|planned| matches!(planned.step, Step::Strays | Step::Manifest));
            if let Some(why) = keeps_from_repair(&manifest, is_whole, &healing::history(root)?)? {
                if repaired == 0 {
                    say_nothing_done(&why, common, out);
                }
                break;
            }
            let outcome = print(&self.once(root, &config, common)?, root, common, out)?;
            if outcome != Outcome::Done {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Done)
    }

    /// Puts a manifest back that a run was killed over.
    fn unhide(&self, root: &Root, manifest: &str) -> Result<()> {
        if hidden::is_hidden(root, manifest)? {
            let _lock = Lock::take(root, self.patience())?;
            hidden::unhide(root, manifest)?;
        }
        Ok(())
    }

    /// How long to wait for another run to end.
    fn patience(&self) -> Duration {
        let patience = Duration::from_secs(self.lock_timeout);
        // That may be at its proof, and then at its way back, for as long as a repair would be.
        self.wait.filter(|_| self.heal).map_or(patience, |wait| patience.saturating_add(wait.saturating_mul(2)))
    }

    /// The `why` of a backup set that the run writes.
    fn why(&self) -> &'static str {
        match () {
            () if self.heal => HEAL,
            () if self.boot => "boot",
            () => "apply",
        }
    }

    /// Did somebody run `apply` himself, who wants the node to audit?
    fn is_by_hand(&self) -> bool {
        !self.heal && self.overrides.occasion == Occasion::default()
    }

    /// Errors: why the plan may not be carried out. To a repair, the place of the log is no reason.
    fn allowed(&self, plan: &mut Plan) -> Result<()> {
        if self.heal {
            plan.waive_objection();
        }
        plan.allowed()
    }

    fn once(&self, root: &Root, config: &Config, common: &Common) -> Result<Done> {
        let manifest = kubelet::manifest_path(root, config)?;
        self.unhide(root, &manifest)?;
        // Before the node is looked at, as a restore that comes after that counts.
        let past = if self.is_by_hand() { healing::history(root)?.newest().map(str::to_owned) } else { None };
        let policy = OnceCell::new();
        let mut plan = survey(root, config, &self.overrides, &policy)?;
        if let Err(error) = self.allowed(&mut plan) {
            warn(common, &plan.warnings);
            return Err(error);
        }
        let waits = self.wait.filter(|_| plan.role == Role::ControlPlane);
        if self.wait.is_some() && waits.is_none() {
            plan.warnings.push(format!("nothing can be proved: this is {}", plan.role.description()));
        }
        if waits.is_some() && !verify::await_kubelet() {
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
        if !plan.changes.is_empty() || backup::unfinished(root)? || waits.is_some() || past.is_some() {
            lock = Some(Lock::take(root, self.patience())?);
            if self.heal
                && let Some(id) = healing::history(root)?.restored
            {
                bail!("{manifest}: {}", put_back(&id));
            }
            for tries in 1.. {
                if transaction::changed(root, &plan.changes())?.is_some() {
                    // Another run did the job, or undid it, before this one had the lock; or another program writes what this one does.
                    plan = survey(root, config, &self.overrides, &policy)?;
                    self.allowed(&mut plan)?;
                }
                let changes = plan.changes();
                // A boot is over before the API server runs: the proof is the next run's that waits, as after one that was killed.
                if self.boot && plan.changes.iter().any(|planned| planned.step == Step::Manifest) {
                    pending::begin(root, &manifest)?;
                }
                if waits.is_some() && !changes.is_empty() {
                    before = verify::Before::of(&plan, config.restart);
                    pending::begin(root, &manifest)?;
                }
                match transaction::execute(root, &changes, self.why(), SystemTime::now()) {
                    Ok(id) => {
                        backup = id;
                        break;
                    }
                    // Not where it is stuck half way.
                    Err(error)
                        if tries < TRIES
                            // What was formatted must be told.
                            && !changes.iter().any(|change| matches!(change, Change::Format { .. }))
                            && matches!(transaction::changed(root, &changes), Ok(Some(_)))
                            && matches!(backup::unfinished(root), Ok(false)) =>
                    {
                        log::warn!("{error:#}; trying once more");
                    }
                    Err(error) => {
                        // It left nothing to prove.
                        if (waits.is_some() || self.boot) && matches!(pending::set(root), Ok(None)) {
                            pending::end(root, &manifest);
                        }
                        return Err(error);
                    }
                }
            }
        }
        warn(common, &plan.warnings);
        let mut proof = None;
        if let Some(limit) = waits {
            // Where a run was killed while it waited, this one goes on with that.
            let set = pending::set(root)?;
            if let (None, Some(set)) = (&backup, &set) {
                before = verify::Before::of_killed(set, &manifest);
            }
            let id = set.as_ref().map(|set| set.id.as_str());
            proof = Some(verify::prove_or_go_back(root, &manifest, before, id, limit)?);
        }
        if lock.is_some() && !self.boot {
            pending::end(root, &manifest);
        }
        let is_put_back = matches!(proof, Some(Verdict::PutBack(_)));
        if let Some(id) = past.filter(|_| backup.is_none() && !is_put_back) {
            healing::forget(root, &id)?;
        }
        let gathered = plan.gathers().filter(|_| !is_put_back).map(|(log, attributes)| {
            // Now the API server of before may have ended.
            (gather::gather(&log, attributes.as_ref()), log)
        });
        plan.changes.retain(|planned| !matches!(planned.change, Change::Gather { .. }));
        match gathered {
            Some((Ok(1..), log)) => plan
                .changes
                .push(Planned { step: Step::Storage, change: Change::Gather { log, attributes: None } }),
            Some((Err(error), _)) => {
                let why = format!("{error:#}");
                warn(common, std::slice::from_ref(&why));
                plan.warnings.push(why);
            }
            Some((Ok(0), _)) | None => {}
        }
        Ok(Done { plan, backup, proof })
    }
}

/// Why a manifest isn't repaired; `None` where it is.
///
/// Errors: it was repaired too often.
fn keeps_from_repair(manifest: &str, is_whole: bool, history: &History) -> Result<Option<String>> {
    if is_whole {
        return Ok(Some("the manifest is as it should be".to_owned()));
    }
    if history.is_a_fight() {
        bail!(
            "{manifest}: it was repaired {} times within an hour, and is without its settings again; it is left so: find \
             out what writes it (its time of change tells when), such as an upgrade with another configuration or a \
             configuration management, then run kube-audit-bootstrap apply --wait 5m",
            healing::REPAIRS
        );
    }
    Ok(history.restored.as_deref().map(put_back))
}

fn put_back(id: &str) -> String {
    format!("the node was put back, by {id}, and stays so until apply is run")
}

fn say_nothing_done(why: &str, common: &Common, out: &mut String) {
    let _ = match common.json() {
        true => writeln!(out, "{:#}", json!({"changes": [], "reason": why})),
        false => writeln!(out, "nothing to do: {why}"),
    };
}

fn print(done: &Done, root: &Root, common: &Common, out: &mut String) -> Result<Outcome> {
    let Done { plan, backup, proof } = done;
    let outcome = if matches!(proof, Some(Verdict::PutBack(_))) { Outcome::PutBack } else { Outcome::Done };
    if common.json() {
        let mut document = document(plan, backup.as_deref());
        match proof {
            Some(Verdict::Proved(proved)) => document["proof"] = proved.document(),
            Some(Verdict::PutBack(why)) => document["proof"] = json!({"proved": false, "reason": why}),
            None => {}
        }
        let _ = writeln!(out, "{document:#}");
        return Ok(outcome);
    }
    if let Some(Verdict::PutBack(why)) = proof {
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
    if let Some(Verdict::Proved(proved)) = proof {
        let _ = writeln!(out, "proof     {}", proved.text());
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::common::Format;
    use super::super::contract;
    use super::*;
    use crate::facts::Targets;
    use crate::node::testing::Node;
    use crate::plan::testing::{config, facts, planned};

    #[test]
    fn what_became_of_the_proof_is_in_the_document() {
        let manifest = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    command: [kube-apiserver]\n";
        let common = |output| Common { root: "/".into(), config: None, output, verbose: 0 };
        let (json, text) = (common(Format::Json), common(Format::Text));
        let root = Node::new().root;
        let printed = |common: &Common, proof: Option<Verdict>| {
            let plan = planned(&config(""), &facts(Some(manifest)), &Targets::default());
            let done = Done { plan, backup: Some("20261124T121326Z".to_owned()), proof };
            let mut out = String::new();
            (print(&done, &root, common, &mut out).unwrap(), out)
        };
        let proof = |proof| {
            let (outcome, out) = printed(&json, proof);
            (outcome, serde_json::from_str::<Value>(&out).unwrap()["proof"].clone())
        };
        assert_eq!(proof(None), (Outcome::Done, Value::Null));
        let mut proofs = Vec::new();
        for proved in verify::tests::proofs() {
            let wanted = proved.document();
            let text_of_it = format!("\nproof     {}\n", proved.text());
            assert_eq!(proof(Some(Verdict::Proved(proved))), (Outcome::Done, wanted.clone()));
            proofs.push((wanted, text_of_it));
        }
        let (outcome, put_back) = proof(Some(Verdict::PutBack("no API server runs".to_owned())));
        assert_eq!(
            (outcome, &put_back),
            (Outcome::PutBack, &json!({"proved": false, "reason": "no API server runs"}))
        );
        contract::holds(&contract::shape("no proof"), &[put_back]);
        for (proved, (_, line)) in verify::tests::proofs().into_iter().zip(proofs) {
            let (outcome, out) = printed(&text, Some(Verdict::Proved(proved)));
            assert!(outcome == Outcome::Done && out.ends_with(&line), "{out}");
        }
        assert_eq!(printed(&text, Some(Verdict::PutBack("why".to_owned()))), (Outcome::PutBack, String::new()));
    }

    #[test]
    fn a_manifest_is_repaired_three_times_an_hour_and_not_where_somebody_put_it_back() {
        const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
        let history = |minutes: &[u64], restored: Option<&str>| History {
            repairs: minutes
                .iter()
                .map(|minute| ("id".to_owned(), format!("2026-11-24T12:{minute:02}:26Z")))
                .collect(),
            restored: restored.map(str::to_owned),
        };
        let fight = "manifests/kube-apiserver.yaml: it was repaired 3 times within an hour";
        for (is_whole, history, wanted) in [
            (false, history(&[], None), Ok(None)),
            (false, history(&[9, 5], None), Ok(None)),
            (false, history(&[9, 5, 1], None), Err(fight)),
            (false, history(&[9, 5, 1, 0], None), Err(fight)),
            (false, history(&[], Some("ID")), Ok(Some("the node was put back, by ID"))),
            (true, history(&[], None), Ok(Some("as it should be"))),
            (true, history(&[9, 5, 1], None), Ok(Some("as it should be"))),
            (true, history(&[], Some("ID")), Ok(Some("as it should be"))),
        ] {
            let found = keeps_from_repair(MANIFEST, is_whole, &history).map_err(|error| error.to_string());
            let is_wanted = match (&found, wanted) {
                (Ok(Some(found)), Ok(Some(wanted))) => found.contains(wanted),
                (Err(found), Err(wanted)) => found.contains(wanted),
                (found, wanted) => matches!((found, wanted), (Ok(None), Ok(None))),
            };
            assert!(is_wanted, "{is_whole} {history:?}: {found:?}");
        }
    }
}
