//! Reports what is in place on a node, and what earlier runs did to it.

use std::time::SystemTime;

use anyhow::Result;

use super::{Run, Unplannable};
use crate::change::{Change, KUBEADM_CONFIG};
use crate::config::misuse::Misuse;
use crate::facts::backup::Set;
use crate::facts::file::text_of;
use crate::facts::in_force::Away;
use crate::facts::repairs::RepairHistory;
use crate::facts::server::{Lost, Process};
use crate::node::pod::Container;
use crate::node::root::stays_wrong;
use crate::node::{apiserver, backup, healing, hidden, kubelet, lock, observe, pending};
use crate::plan::{LogStorage, Plan, Role, Step};
use crate::wiring::manifest;

/// The state of a node.
#[derive(Debug)]
pub struct Report {
    pub plan: Plan,
    pub backups: Vec<Set>,
    /// The IDs of the backups that can't be read.
    pub unreadable: Vec<String>,
    /// A run was interrupted, or is under way.
    pub interrupted: bool,
    /// A run is under way.
    pub works: bool,
    /// Self-healing is enabled.
    pub heals: bool,
    /// The repairs since the last `apply`.
    pub history: RepairHistory,
    /// The ID of the backup of the run that is not proved yet.
    pub unproved: Option<String>,
    /// The events that the API server lost; `None` if no API server could be asked.
    pub lost: Option<Lost>,
    /// The node has an API server whose process can be judged: a control plane that is the running system.
    pub judges: bool,
    /// The ID of the run whose settings are still in the cluster's kubeadm configuration, although the node was put back.
    pub left_in_cluster: Option<String>,
}

/// The API server of the manifest, and why it is of no use at this moment.
type Seen = (Option<Process>, Option<Away>);

/// Reads the state of a node. Changes nothing.
///
/// # Errors
///
/// As [`Run::survey`]. The program's own files on the node can't be read.
pub fn status(mut run: Run<'_>) -> Result<Report> {
    let root = run.root;
    // What is wrong with the manifest is told by the survey.
    let (process, away) = look(&run).unwrap_or((None, None));
    // An API server that does not answer is asked once: nobody should wait for each of the questions.
    let asks_cluster = run.config.cluster;
    run.config.cluster &= away.is_none();
    let mut plan = run.survey().or_else(|error| match error.downcast::<Unplannable>() {
        Ok(unplannable) => {
            let (version, version_source) = unplannable.version;
            Ok(Plan { version, version_source, ..Plan::unread(unplannable.role, unplannable.why) })
        }
        // What is at one of the paths is wrong, and stays so.
        Err(error) if stays_wrong(&error) && !error.is::<Misuse>() => {
            Ok(Plan::unread(role_by_names(&run)?, format!("{error:#}")))
        }
        Err(error) => Err(error),
    })?;
    // Nothing is written yet, so only what is there now can be in force.
    plan.in_force = std::mem::take(&mut plan.in_force_now);
    if let Some(away) = away.as_ref().filter(|_| plan.role == Role::ControlPlane) {
        let path = kubelet::manifest_path(root, &run.config)?;
        let age = root.written(&path).and_then(|written| SystemTime::now().duration_since(written).ok());
        let pid = process.as_ref().map(|process| process.pid);
        plan.tell_away(&path, pid, away, age, asks_cluster);
    }
    let asked = process.filter(|_| plan.role == Role::ControlPlane && away.is_none());
    let (backups, history) = (backup::list(root)?, healing::history(root)?);
    let is_back = history.restored.is_some() && loses_settings(&plan) && plan.has_cluster_settings();
    let unfinished = match kubelet::manifest_path(root, &run.config) {
        Ok(path) => pending::unfinished_rollback(root, &path)?,
        Err(_) => None,
    };
    Ok(Report {
        left_in_cluster: unfinished.or_else(|| is_back.then(|| edit_of_cluster(&backups)).flatten()),
        backups,
        unreadable: backup::unreadable(root)?,
        interrupted: backup::is_unfinished(root)?,
        works: lock::is_held(root),
        heals: healing::is_enabled(root),
        history,
        unproved: pending::unproved_set(root)?.map(|set| set.id),
        judges: plan.role == Role::ControlPlane && root.is_host(),
        lost: asked.as_ref().and_then(apiserver::count_lost),
        plan,
    })
}

/// The role of a node as its names let expect, where its files can't be read.
fn role_by_names(run: &Run<'_>) -> Result<Role> {
    let root = run.root;
    let has_manifest = || -> Result<bool> {
        let path = kubelet::manifest_path(root, &run.config)?;
        Ok(hidden::is_hidden(root, &path)? || root.look(&path)?.is_some())
    };
    Ok(match () {
        () if has_manifest().unwrap_or(true) || observe::is_certified(root)? => Role::ControlPlane,
        () if observe::is_worker(root)? => Role::Worker,
        () => Role::Image,
    })
}

/// Looks for the API server of the manifest, and asks it whether it answers.
fn look(run: &Run<'_>) -> Result<Seen> {
    let root = run.root;
    let manifest = match root.is_host() {
        true => observe::manifest(root, &kubelet::manifest_path(root, &run.config)?)?,
        false => None,
    };
    let Some((container, auditing)) = manifest.and_then(|manifest| {
        let container = Container::of(root, &manifest.text).ok()?;
        Some((container, manifest::read_auditing(&manifest.text).ok()?))
    }) else {
        return Ok((None, None));
    };
    Ok(match container.api_server(&auditing) {
        Some((process, _)) => {
            let away = apiserver::away(&process);
            (Some(process), away)
        }
        None => {
            let here = container.processes();
            // Its program may have another name, and only its listener shows it.
            let is_gone =
                here.has_kubelet && here.api_servers.is_empty() && !apiserver::is_served(&auditing.words);
            (None, is_gone.then_some(Away::Gone))
        }
    })
}

/// Has the manifest other audit flags than `apply` would write? What else it would edit there is no setting.
fn loses_settings(plan: &Plan) -> bool {
    let flags = |bytes: &[u8]| {
        let flags = manifest::read_auditing(text_of(bytes).ok()?).ok()?.flags;
        Some(flags.into_iter().filter(|(name, _)| name.starts_with("audit-")).collect::<Vec<_>>())
    };
    plan.changes.iter().filter(|planned| planned.step == Step::Manifest).any(|planned| match &planned.change {
        Change::WriteFile { before: Some(before), bytes, .. } => flags(&before.bytes) != flags(bytes),
        _ => true,
    })
}

/// The newest run of an `apply` that edited the cluster's kubeadm configuration.
fn edit_of_cluster(backups: &[Set]) -> Option<String> {
    let edited =
        |set: &&Set| !set.why.is_restore() && set.records.iter().any(|record| record.path == KUBEADM_CONFIG);
    backups.iter().find(edited).map(|set| set.id.clone())
}

impl Report {
    /// Whether everything is in place and in force, and events can be written.
    pub fn is_in_place(&self) -> bool {
        let plan = &self.plan;
        let has_room =
            plan.role != Role::ControlPlane || plan.storage.as_ref().is_none_or(LogStorage::takes_events);
        plan.is_empty()
            && plan.refusal.is_none()
            && !self.interrupted
            && plan.cluster_fault.is_none()
            && plan.in_force.is_settled()
            && has_room
            && self.left_in_cluster.is_none()
    }

    /// Why `apply` would change nothing.
    pub fn refusal(&self) -> Option<&String> {
        self.plan.refusal.as_ref().or(self.plan.objection.as_ref())
    }
}
