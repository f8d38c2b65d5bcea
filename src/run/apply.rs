//! Changes a node as planned, waits for the proof if the caller asks for it, and decides about repairs.

use std::fmt;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::Run;
use super::prove::{self, Before, Verdict};
use crate::change::Change;
use crate::config::{self, Restart};
use crate::facts::backup::Why;
use crate::facts::file::FileKind;
use crate::facts::repairs::{REPAIRS, RepairHistory};
use crate::node::healing;
use crate::node::in_force::LeftFiles;
use crate::node::lock::Lock;
use crate::node::root::Root;
use crate::node::{backup, gather, hidden, kubelet, leftovers, pending, transaction};
use crate::plan::in_force::State;
use crate::plan::{FollowUp, Occasion, Plan, Planned, Role, Step};

/// How often a run tries, if another program changes a file or the cluster's kubeadm configuration in the meantime.
const TRIES: usize = 3;

/// How a node is changed.
#[derive(Clone, Debug)]
pub struct ApplyTerms {
    pub why: Why,
    /// How long to wait for the proof; `None` does not wait.
    pub wait: Option<Duration>,
    /// How long to wait for another run of the program to end.
    pub patience: Duration,
}

/// Why a node was not changed, and the warnings about it.
#[derive(Debug)]
pub struct Refused {
    pub warnings: Vec<String>,
    pub error: anyhow::Error,
}

impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Refused {
        Refused { warnings: Vec::new(), error }
    }
}

/// Why neither a boot nor a repair changes the node.
#[derive(Debug)]
pub struct LeftAlone(pub String);

impl fmt::Display for LeftAlone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LeftAlone {}

/// A node that was changed and is not proved yet. As long as this value exists, no other run can change the node.
#[derive(Debug)]
pub struct Changed<'r> {
    pub plan: Plan,
    /// The ID of the backup, if something was changed.
    backup: Option<String>,
    root: &'r Root,
    manifest: String,
    /// What ran before the change, and how long to wait for a proof.
    proof: Option<(Before, Duration)>,
    left: LeftFiles,
    restart: Restart,
    is_boot: bool,
    /// The ID of the backup because of which nothing was repaired before this `apply` of the user.
    past: Option<String>,
    lock: Option<Lock>,
}

/// What a run did.
#[derive(Debug)]
pub struct Done {
    pub plan: Plan,
    /// The ID of the backup, if something was changed.
    pub backup: Option<String>,
    /// How the wait for the proof ended, if there was one.
    pub proof: Option<Verdict>,
    /// The previous log files that were moved to the dedicated disk.
    pub followed: Option<FollowUp>,
    /// The warnings that are not in the plan.
    pub warnings: Vec<String>,
}

/// Plans the changes to a node, and makes them.
///
/// # Errors
///
/// The run is refused, or failed. The node is then as it was, unless the error says what is not.
pub fn change<'r>(run: &Run<'r>, terms: &ApplyTerms) -> Result<Changed<'r>, Refused> {
    let manifest = kubelet::manifest_path(run.root, &run.config)?;
    unhide(run.root, &manifest, terms.patience)?;
    prove::finish_rollback(run.root, &manifest, terms.patience)?;
    // A restore that comes after this look counts.
    let is_by_hand = terms.why == Why::Apply && run.occasion == Occasion::Any;
    let past = if is_by_hand { healing::history(run.root)?.newest().map(str::to_owned) } else { None };
    let (plan, wait) = plan(run, terms, &manifest)?;
    let mut changed = Changed {
        plan,
        backup: None,
        root: run.root,
        manifest,
        proof: wait.map(|limit| (Before::default(), limit)),
        left: LeftFiles::default(),
        restart: run.config.restart,
        is_boot: terms.why == Why::Boot,
        past,
        lock: None,
    };
    let has_past = changed.past.is_some();
    let is_untidy = backup::is_unfinished(run.root)? || leftovers::exist(run.root)?;
    if !changed.plan.is_empty() || is_untidy || wait.is_some() || has_past {
        changed.lock = Some(Lock::take(run.root, terms.patience)?);
        // A restore may have ended just now.
        if matches!(terms.why, Why::Heal | Why::Boot)
            && let Some(why) = keeps_from_boot(run.root)?
        {
            return Err(anyhow::Error::new(LeftAlone(why)).context(changed.manifest).into());
        }
        changed.execute(run, terms)?;
    }
    Ok(changed)
}

/// Puts back a manifest that an interrupted run left under another name.
fn unhide(root: &Root, manifest: &str, patience: Duration) -> Result<()> {
    if hidden::is_hidden(root, manifest)? {
        let _lock = Lock::take(root, patience)?;
        hidden::unhide(root, manifest)?;
    }
    Ok(())
}

/// A plan that may be executed, and how long to wait for its proof. A repair is not refused because of the log directory.
///
/// # Errors
///
/// The node can't be read, the plan is refused, or there would be no proof of it.
fn plan(run: &Run<'_>, terms: &ApplyTerms, manifest: &str) -> Result<(Plan, Option<Duration>), Refused> {
    let mut plan = run.survey()?;
    if terms.why == Why::Heal {
        plan.waive_objection();
    }
    if matches!(terms.why, Why::Heal | Why::Boot)
        && let Some(why) = keeps_from_replacing(run, &plan)?
    {
        return Err(anyhow::Error::new(LeftAlone(why)).into());
    }
    match plan.allowed() {
        Ok(()) => {}
        Err(error) => return Err(Refused { warnings: plan.warnings, error }),
    }
    if terms.wait.is_some() && plan.role != Role::ControlPlane {
        plan.warnings.push(format!("there is nothing to prove: this is {}", plan.role.description()));
    }
    let wait = provable(&plan, terms, manifest)?;
    Ok((plan, wait))
}

/// How long to wait for the proof of a plan; `None` if there is nothing to prove.
///
/// # Errors
///
/// Nothing would restart the API server, so there would be no proof.
fn provable(plan: &Plan, terms: &ApplyTerms, manifest: &str) -> Result<Option<Duration>, Refused> {
    let Some(limit) = terms.wait.filter(|_| plan.role == Role::ControlPlane) else { return Ok(None) };
    if !prove::await_kubelet() {
        return Err(anyhow!(
            "the kubelet doesn't run, so nothing would restart the API server; start the kubelet, or leave out --wait"
        )
        .into());
    }
    if plan.by_hand {
        let error = anyhow!(
            "{manifest}: only you can restart the API server (see the warning), so there would be no proof; leave out --wait"
        );
        return Err(Refused { warnings: plan.warnings.clone(), error });
    }
    Ok(Some(limit))
}

impl Changed<'_> {
    /// Executes the plan. If another program changes a file in the meantime, plans again.
    fn execute(&mut self, run: &Run<'_>, terms: &ApplyTerms) -> Result<(), Refused> {
        for tries in 1.. {
            if transaction::first_stale(self.root, &self.plan.changes())?.is_some() {
                // Another run made or undid these changes before this run had the lock, or another program writes the
                // same files.
                let (plan, wait) = plan(run, terms, &self.manifest)?;
                (self.plan, self.proof) = (plan, wait.map(|limit| (Before::default(), limit)));
            }
            let changes = self.plan.changes();
            self.announce_proof(run)?;
            let hide = self.proof.as_mut().and_then(|(before, _)| before.hide.take());
            match transaction::execute_hiding(self.root, &changes, &terms.why, SystemTime::now(), hide) {
                Ok(executed) => {
                    self.backup = executed.backup;
                    if let Some((before, _)) = &mut self.proof {
                        before.hidden = executed.hidden;
                        let there = || Some(self.root.text(&self.manifest).ok()??.text);
                        let manifest = before.written().map(str::to_owned).or_else(there).unwrap_or_default();
                        self.left = LeftFiles::of(self.root, manifest);
                    }
                    break;
                }
                Err(error) if tries < TRIES && self.may_try_again(&changes) => {
                    log::warn!("{error:#}; trying once more");
                }
                Err(error) => {
                    // The run left nothing to prove.
                    if (self.proof.is_some() || self.is_boot)
                        && matches!(pending::unproved_set(self.root), Ok(None))
                    {
                        pending::end(self.root, &self.manifest);
                    }
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// Records that a proof is needed, before anything is changed.
    fn announce_proof(&mut self, run: &Run<'_>) -> Result<()> {
        // A boot ends before the API server runs. The next run that waits makes the proof, as after an interrupted run.
        if self.is_boot && self.plan.touches(Step::Manifest) {
            pending::begin(self.root, &self.manifest)?;
        }
        if let Some((before, _)) = &mut self.proof
            && !self.plan.changes.is_empty()
        {
            *before = Before::of(self.root, &self.plan, run.config.restart);
            pending::begin(self.root, &self.manifest)?;
        }
        Ok(())
    }

    /// Whether another program changed a file, and the run has undone everything. If the run formatted a disk, it does
    /// not try again, so that the user is told.
    fn may_try_again(&self, changes: &[Change]) -> bool {
        !changes.iter().any(|change| matches!(change, Change::Format { .. }))
            && matches!(transaction::first_stale(self.root, changes), Ok(Some(_)))
            && matches!(backup::is_unfinished(self.root), Ok(false))
    }

    /// Waits for the proof if the caller asked for it, and moves the previous log files to the dedicated disk.
    ///
    /// # Errors
    ///
    /// There is no proof, and the rollback failed, or there was nothing to roll back.
    pub fn finish(mut self, run: &Run<'_>) -> Result<Done> {
        let proof = match self.proof.take() {
            Some((before, limit)) => Some(self.prove(before, limit)?),
            None => None,
        };
        if matches!(proof, Some(Verdict::Proved(_))) {
            self.look_once_more(run)?;
        }
        let is_put_back = matches!(proof, Some(Verdict::PutBack(_)));
        if self.lock.is_some() && !self.is_boot {
            self.end_record(is_put_back);
        }
        let mut warnings = Vec::new();
        if let Some(id) = self.past.filter(|_| self.backup.is_none() && !is_put_back) {
            // The node is changed and proved already.
            if let Err(error) = healing::forget(self.root, &id) {
                warnings.push(format!(
                    "{error:#}; neither self-healing nor a boot repairs anything until you run kube-audit-bootstrap apply again"
                ));
            }
        }
        let mut done = Done { plan: self.plan, backup: self.backup, proof, followed: None, warnings };
        if !is_put_back {
            done.follow_up(self.root);
        }
        Ok(done)
    }

    /// Looks whether the node is still as the run left it, as `status` does.
    ///
    /// # Errors
    ///
    /// Something else changed what the run left, or the API server runs with something else.
    fn look_once_more(&self, run: &Run<'_>) -> Result<()> {
        let until =
            "nothing is rolled back; look at what changed it, then run kube-audit-bootstrap apply --wait 5m";
        let plan = run.survey().with_context(|| {
            format!("the API server audits, but something else changed the node during the wait; {until}")
        })?;
        let manifest = self.root.text(&self.manifest)?;
        let counts = |planned: &&Planned| match &planned.change {
            // It gets another mark because the API server has something else.
            Change::WriteFile { .. } if planned.step == Step::Manifest => !self.left.has(manifest.as_ref()),
            // The API server makes and rotates the logs.
            Change::SetAttributes { path, .. } if planned.step == Step::Storage => {
                matches!(self.root.stat(path), Ok(Some(entry)) if entry.kind == FileKind::Directory)
            }
            _ => planned.step != Step::Kubeadm,
        };
        let changed = plan.changes.iter().filter(counts).map(|planned| planned.change.path());
        let changed: Vec<_> = changed.collect();
        // The API server may have started with something that stood there only for a moment.
        let mut written = self.left.written_since(self.root);
        written.retain(|path| !changed.contains(path));
        let told = changed.iter().chain(&written);
        let mut why: Vec<_> =
            told.map(|path| format!("{path}: something else changed this during the wait")).collect();
        if plan.in_force.outdated().is_some() {
            why.extend(plan.in_force.reasons.iter().map(|reason| reason.text.clone()));
        }
        ensure!(why.is_empty(), "the API server audits, but not as this run left it: {}; {until}", why.join("; "));
        Ok(())
    }

    /// Removes the record of the proof, but not that of a rollback that is not finished. The files are as they will be,
    /// so an error is told and no more.
    fn end_record(&self, is_put_back: bool) {
        let rolled_back = match is_put_back {
            true => pending::unfinished_rollback(self.root, &self.manifest),
            false => Ok(None),
        };
        let ended = rolled_back.and_then(|rolled_back| {
            pending::end(self.root, &self.manifest);
            rolled_back.map_or(Ok(()), |id| pending::mark_rollback(self.root, Some(&id)))
        });
        if let Err(error) = ended {
            log::warn!("{error:#}; run kube-audit-bootstrap apply again");
        }
    }

    fn prove(&self, mut before: Before, limit: Duration) -> Result<Verdict> {
        // If an earlier run was interrupted while it waited, this run continues its proof.
        let set = pending::unproved_set(self.root)?;
        if let (None, Some(set)) = (&self.backup, &set) {
            before = Before::of_killed(self.root, set, &self.manifest);
        }
        before.exclude(self.plan.in_force.outdated());
        before.drain = prove::drain_of(&self.plan, self.restart);
        let id = set.as_ref().map(|set| set.id.as_str());
        prove::prove_or_go_back(self.root, &self.manifest, before, id, limit)
    }
}

impl Done {
    /// Moves the previous log files. By now, the previous API server has ended if the change was proved.
    fn follow_up(&mut self, root: &Root) {
        let Some(follow_up) = &self.plan.follow_up else { return };
        match gather::gather(root, &follow_up.log, follow_up.attributes.as_ref()) {
            Ok(0) => {}
            Ok(_) => self.followed = Some(follow_up.clone()),
            Err(error) => self.warnings.push(format!("{error:#}")),
        }
    }
}

/// What `apply --heal` finds.
#[derive(Debug)]
pub enum Look<'r> {
    /// The run that repairs the manifest.
    Repair(Box<Run<'r>>),
    /// Why nothing is repaired.
    Leave(String),
}

/// Waits until nothing writes the manifest, and looks whether it needs a repair. `configured` reads the configuration,
/// which may change during the wait.
///
/// # Errors
///
/// Something keeps writing the manifest; the node can't be read; the manifest was repaired too often.
pub fn look<'r>(root: &'r Root, patience: Duration, configured: &dyn Fn() -> Result<Run<'r>>) -> Result<Look<'r>> {
    let manifest = kubelet::manifest_path(root, &configured()?.config)?;
    unhide(root, &manifest, patience)?;
    prove::finish_rollback(root, &manifest, patience)?;
    healing::wait_until_quiet(root, &manifest)?;
    // A run that is under way makes its proof or its rollback itself.
    if pending::unproved_set(root)?.is_some() {
        drop(Lock::take(root, patience)?);
    }
    let run = configured()?;
    let plan = run.survey()?;
    // A repair that was interrupted before its proof is continued.
    let is_whole = pending::unproved_set(root)?.is_none() && !needs_repair(&plan);
    if is_whole && plan.role != Role::ControlPlane {
        return Ok(Look::Leave(format!("there is no API server to repair: this is {}", plan.role.description())));
    }
    let kept = keeps_from_repair(&manifest, is_whole, &healing::history(root)?)?;
    let kept = match kept {
        None => keeps_from_replacing(&run, &plan)?,
        kept => kept,
    };
    Ok(kept.map_or_else(|| Look::Repair(Box::new(run)), Look::Leave))
}

/// Does a plan repair what the API server needs, now or when it starts again? A directory with another mode does not
/// count, and the cluster's kubeadm configuration does not either.
fn needs_repair(plan: &Plan) -> bool {
    let writes_policy = plan
        .changes
        .iter()
        .any(|planned| planned.step == Step::Policy && matches!(planned.change, Change::WriteFile { .. }));
    let is_outdated = plan.in_force.state == State::Differs;
    writes_policy || is_outdated || plan.touches(Step::Strays) || plan.touches(Step::Manifest)
}

/// Why neither `apply --boot` nor `apply --heal` changes anything; `None` if they may change something.
///
/// # Errors
///
/// The backups can't be read.
pub fn keeps_from_boot(root: &Root) -> Result<Option<String>> {
    Ok(healing::history(root)?.restored.as_deref().map(stays_put_back))
}

/// Why neither a boot nor a repair replaces the audit settings of a file: somebody else set them up, the program has
/// never written this file, and nobody has said that it may. `None`: nothing like that is replaced.
///
/// # Errors
///
/// The backups can't be read.
fn keeps_from_replacing(run: &Run<'_>, plan: &Plan) -> Result<Option<String>> {
    if plan.replaced.is_empty() || run.config.places.contains_key("existing") {
        return Ok(None);
    }
    let written: Vec<_> = backup::list(run.root)?.into_iter().flat_map(|set| set.records).collect();
    let other = plan.replaced.iter().find(|path| !written.iter().any(|record| record.path == **path));
    Ok(other.map(|path| {
        format!(
            "{path}: this file has other audit settings, which this program did not write, and the configuration does not \
             say what becomes of them: write `existing: keep` or `existing: replace` into {}{}, or run {} apply",
            run.root.on_machine(),
            config::DEFAULT_PATH,
            run.root.program()
        )
    }))
}

/// Why a manifest is not repaired; `None` if it is.
///
/// # Errors
///
/// It was repaired too often.
fn keeps_from_repair(manifest: &str, is_whole: bool, history: &RepairHistory) -> Result<Option<String>> {
    if is_whole {
        return Ok(Some("the manifest is as it should be".to_owned()));
    }
    if history.is_a_fight() {
        bail!(
            "{manifest}: it was repaired {} times within an hour, and another program keeps removing the settings; it is not \
             repaired again: find out what writes it (its modification time says when), such as an upgrade with another \
             configuration or a configuration management tool, then run kube-audit-bootstrap apply --wait 5m",
            REPAIRS
        );
    }
    Ok(history.restored.as_deref().map(stays_put_back))
}

/// Why neither a boot nor self-healing changes the node. `id` is the backup of the restore or rollback.
fn stays_put_back(id: &str) -> String {
    format!("the node was restored or rolled back, by {id}, and stays so until you run apply")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::repairs::Repair;

    #[test]
    fn a_manifest_is_repaired_three_times_an_hour_and_not_where_somebody_put_it_back() {
        const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
        let history = |minutes: &[u64], restored: Option<&str>| RepairHistory {
            repairs: minutes
                .iter()
                .map(|minute| Repair { id: "id".to_owned(), when: format!("2026-11-24T12:{minute:02}:26Z") })
                .collect(),
            restored: restored.map(str::to_owned),
        };
        let fight = "manifests/kube-apiserver.yaml: it was repaired 3 times within an hour";
        for (is_whole, history, wanted) in [
            (false, history(&[], None), Ok(None)),
            (false, history(&[9, 5], None), Ok(None)),
            (false, history(&[9, 5, 1], None), Err(fight)),
            (false, history(&[9, 5, 1, 0], None), Err(fight)),
            (false, history(&[], Some("ID")), Ok(Some("the node was restored or rolled back, by ID"))),
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
