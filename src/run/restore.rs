//! Puts back what earlier runs changed on a node.

use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow, bail};

use super::{PolicySource, Run};
use crate::change::Change;
use crate::config::{Config, KUBEADM_CONFIGS};
use crate::facts::Reads;
use crate::facts::backup::{Action, Set, Why};
use crate::facts::file::{Text, text_of};
use crate::facts::way_back::{Goal, WayBack};
use crate::node::kubelet::Kubelet;
use crate::node::lock::Lock;
use crate::node::root::Root;
use crate::node::{backup, healing, hidden, in_force, kubelet, observe, obstacle, pending, restore, transaction};
use crate::plan::in_force::restart_for_policy;
use crate::plan::left::{self, Sight};
use crate::plan::obstacle::meet_back;
use crate::plan::way_back::{self, Around, Foreign, Present, Restore, keep_needed, tell_of_auditing};
use crate::plan::{KubeadmCall, Occasion};
use crate::wiring::{Refusal, manifest};

/// What to put back, and how.
#[derive(Clone, Debug)]
pub struct RestoreTerms {
    /// The ID of the oldest backup to put back; `None` is the newest backup.
    pub id: Option<String>,
    /// Change nothing.
    pub dry_run: bool,
    /// Also put back files that something else changed or removed since.
    pub force: bool,
    /// How long to wait for another run of the program to end.
    pub patience: Duration,
}

/// What was put back, or would be.
#[derive(Debug)]
pub struct Restored {
    /// The IDs of the backups that were put back, newest first.
    pub sets: Vec<String>,
    pub changes: Vec<Change>,
    /// What is not put back, and why.
    pub notes: Vec<String>,
    /// The ID of the backup of what this restore replaced.
    pub backup: Option<String>,
    /// Everything was put back that was to be put back. If not, warnings say what was not.
    pub is_whole: bool,
}

/// Puts back what the backups of a node have. `configured` reads the configuration when no other run is under way.
///
/// # Errors
///
/// There is no such backup, or something else changed a file since: then nothing was put back. Or a change failed.
pub fn restore(root: &Root, terms: &RestoreTerms, configured: &dyn Fn() -> Result<Config>) -> Result<Restored> {
    let lock = match terms.dry_run {
        true => None,
        false => Some(Lock::take(root, terms.patience)?),
    };
    // A broken manifest or kubelet configuration must not prevent a restore, because it may be the reason for it.
    let told = |error| log::warn!("{error:#}; restore continues");
    let kubelet = Kubelet::of(root).ok();
    if let Some(fault) = kubelet.as_ref().and_then(|kubelet| kubelet.fault.clone()) {
        told(anyhow!(fault));
    }
    let config = configured()
        .map_err(|error| log::warn!("{error:#}; restore continues, with what the backups say about the manifest"))
        .ok();
    let known_path = match &config {
        Some(config) => kubelet::manifest_path(root, config).map_err(told).ok(),
        None => recorded_manifest(&restore::look(root, terms.id.as_deref())?),
    };
    let is_known = known_path.is_some();
    let manifest_path = known_path.unwrap_or_else(kubelet::default_manifest_path);
    if lock.is_some() {
        hidden::unhide(root, &manifest_path).map_err(told).unwrap_or_default();
    }
    let reached = match &terms.id {
        Some(_) => None,
        None => reached(root)?,
    };
    let back = restore::look(root, terms.id.as_deref().or(reached.as_deref()))?;
    let undoes_restore = back.sets.last().is_some_and(|set| set.why.is_restore());
    let read = root.text(&manifest_path).map_err(told);
    let present = match &read {
        Ok(Some(manifest)) if is_known => Present::Text(&manifest.text),
        Ok(None) if is_known => Present::Absent,
        Ok(_) | Err(_) if config.is_none() && !is_known => Present::Unnamed,
        Ok(_) | Err(_) => Present::Unknown,
    };
    let manifest = read.as_ref().ok().and_then(Option::as_ref);
    let real = |path: &str| root.leads_to(path).unwrap_or_else(|| path.to_owned());
    let around = Around {
        beside: &beside(root, kubelet.as_ref(), &manifest_path, manifest),
        kubeadm: &kubeadm_files(root, config.as_ref()),
        real: &real,
    };
    let planned = |force: bool| {
        let mut restore = way_back::plan(&back, force);
        keep_needed(&mut restore, &manifest_path, present, &around);
        tell_of_auditing(&back, &mut restore, &manifest_path, present);
        restore
    };
    let mut restore = planned(terms.force);
    if !restore.foreign.is_empty() && !terms.force {
        if !terms.dry_run {
            bail!(refusal(&root.program(), &restore.foreign, terms.id.as_deref(), undoes_restore));
        }
        // What --force would do.
        let foreign = restore.foreign;
        restore = planned(true);
        restore.foreign = foreign;
    }
    if let Err(refusal) = restart(root, &mut restore.changes, manifest) {
        restore.notes.push(goes_on(root, &manifest_path, &refusal));
    }
    let starts = judge(root, &manifest_path, present, &restore.changes);
    let Restore { sets, mut changes, foreign, shared, mut gone, mut notes, .. } = restore;
    notes.extend(tell_of_start(root, terms, starts)?);
    notes.extend(meet(root, &mut changes, terms.dry_run)?);
    let is_whole = gone.is_empty();
    warn_of_manifest(root, &manifest_path, &mut gone, &sets);
    notes.extend(tell_of_others(&foreign, &shared, &gone, terms.force));
    let (backup, is_done) = match terms.dry_run {
        true => (None, true),
        false => execute(root, &mut changes, &manifest_path)?,
    };
    let is_in_place = || config.is_some_and(|config| is_in_place(root, config));
    if let Some(id) = backup.as_deref().filter(|_| undoes_restore && is_in_place()) {
        allow_boots(root, id);
    }
    notes.extend(closing(root, &sets, changes.is_empty() && terms.id.is_none(), backup.is_some()));
    Ok(Restored { sets, changes, notes, backup, is_whole: is_whole && is_done })
}

/// What becomes of the changes that something is in the way of, for people.
///
/// # Errors
///
/// Nothing can be put back.
fn meet(root: &Root, changes: &mut Vec<Change>, dry_run: bool) -> Result<Vec<String>> {
    let obstacles = obstacle::of_changes(root, changes)?;
    let (stay, met) = meet_back(changes, obstacles, &root.on_machine());
    let mut notes: Vec<String> = stay.into_iter().map(|(_, note)| note).collect();
    match met {
        Err(why) if dry_run => notes.push(format!("restore would put nothing back: {why}")),
        Err(why) => bail!("nothing was put back: {why}"),
        Ok(()) => {}
    }
    Ok(notes)
}

/// The oldest run before which the node is, if the newest run was a restore: the ID of its backup. The way back to a
/// newer run would lead forward.
fn reached(root: &Root) -> Result<Option<String>> {
    let sets = backup::list(root)?;
    if !sets.first().is_some_and(|newest| newest.why.is_way_back()) {
        return Ok(None);
    }
    let runs = sets.iter().rev().filter(|set| !set.why.is_way_back());
    for set in runs {
        // A way back that can't be looked at is no matter of a restore that nobody asked to go so far.
        let Ok(back) = restore::look(root, Some(&set.id)) else { continue };
        let way = way_back::plan(&back, false);
        if way.changes.is_empty() && way.foreign.is_empty() && way.gone.is_empty() {
            return Ok(Some(set.id.clone()));
        }
    }
    Ok(None)
}

/// What is said of an API server that does not start after the restore.
///
/// # Errors
///
/// It would stop, and nobody asked for that.
fn tell_of_start(root: &Root, terms: &RestoreTerms, starts: Result<(), Unstarted>) -> Result<Option<String>> {
    let Err(Unstarted { is_new, why }) = starts else { return Ok(None) };
    Ok(Some(match is_new {
        false => format!("the API server does not start: {why}"),
        true if terms.force => format!("the API server will not start: {why}"),
        true => {
            let why = cannot_start(&root.program(), &why, terms.id.as_deref());
            if !terms.dry_run {
                bail!("nothing was put back: {why}");
            }
            format!("restore would put nothing back: {why}")
        }
    }))
}

/// Makes the changes: the ID of the backup, and whether all were made. Those that were not are taken out.
fn execute(root: &Root, changes: &mut Vec<Change>, manifest_path: &str) -> Result<(Option<String>, bool)> {
    let executed = transaction::execute(root, changes, &Why::Restore, SystemTime::now())?;
    let is_done = executed.left.is_empty();
    for (path, why) in executed.left {
        changes.retain(|change| change.path() != path);
        log::warn!("{path} stays: {why}");
    }
    forget_rollback(root, manifest_path);
    Ok((executed.backup, is_done))
}

/// Lets boots and self-healing go on after the restore with the backup `id`. The node is put back already.
fn allow_boots(root: &Root, id: &str) {
    if let Err(error) = healing::forget(root, id) {
        log::warn!(
            "{error:#}; the next boot changes nothing on this node until you run kube-audit-bootstrap apply"
        );
    }
}

/// The path of the manifest that the runs of a way back changed.
fn recorded_manifest(back: &WayBack) -> Option<String> {
    let is_api_server = |bytes: &Vec<u8>| {
        let pod = text_of(bytes).ok().and_then(|text| manifest::identify_pod(text).ok().flatten());
        pod.is_some_and(|(_, runs)| runs)
    };
    let is_manifest = |goal: &&Goal| {
        goal.record.action != Action::Moved
            && goal.steps.iter().any(|step| step.before.iter().chain(&step.after).any(is_api_server))
    };
    back.goals.iter().find(is_manifest).map(|goal| goal.record.path.clone())
}

/// The kubeadm configuration files of the node. What can't be read must not prevent a way back.
fn kubeadm_files(root: &Root, config: Option<&Config>) -> Vec<Text> {
    let named = config.and_then(|config| config.kubeadm_configs.as_deref());
    let default = || KUBEADM_CONFIGS.iter().map(|path| (*path).to_owned()).collect();
    let paths = named.map_or_else(default, <[String]>::to_vec);
    paths.iter().filter_map(|path| root.text(path).ok().flatten()).collect()
}

/// Why the API server does not start after a way back.
pub(super) struct Unstarted {
    /// Before the way back, nothing is known that would keep it from starting.
    is_new: bool,
    pub why: String,
}

/// Judges whether the API server starts after `changes`. `present`: the manifest before.
pub(super) fn judge(root: &Root, path: &str, present: Present<'_>, changes: &[Change]) -> Result<(), Unstarted> {
    let kind = |path: &str| root.stat(path).ok().flatten().map(|entry| entry.kind);
    let real = |path: &str| root.leads_to(path).unwrap_or_else(|| path.to_owned());
    let sight =
        Sight { file: &|path| observe::named_file(root, path), kind: &kind, real: &real, live: root.is_host() };
    let text = match way_back::written(changes, path, &real) {
        Some(text) => text,
        None => present.text().map(str::to_owned),
    };
    let Some(text) = text else { return Ok(()) };
    let after = left::faults(path, &text, changes, &sight);
    if after.is_empty() {
        return Ok(());
    }
    let starts_now = present.text().is_some_and(|text| left::faults(path, text, &[], &sight).is_empty());
    Err(Unstarted { is_new: starts_now, why: after.join("; ") })
}

/// Why a restore that would stop the API server is refused. `id`: the backup that was named.
fn cannot_start(program: &str, why: &str, id: Option<&str>) -> String {
    let id = id.map(|id| format!(" {id}")).unwrap_or_default();
    format!(
        "with what would stand there then, the API server does not start: {why}; to put everything back all the same, run \
         {program} restore{id} --force"
    )
}

/// The other manifests that the kubelet reads. What can't be read must not prevent a way back.
pub(super) fn beside(root: &Root, kubelet: Option<&Kubelet>, path: &str, manifest: Option<&Text>) -> Vec<Text> {
    match kubelet.and_then(|kubelet| kubelet.reads(root, path).ok()).unwrap_or_default() {
        Reads::Directory => observe::beside(root, path, manifest).unwrap_or_else(|error| {
            log::warn!("{error:#}; the way back continues");
            Vec::new()
        }),
        Reads::File | Reads::Elsewhere { .. } | Reads::Not { .. } => Vec::new(),
    }
}

/// It is the restore now that decides what the cluster has, and not a rollback that is not finished.
/// The node is put back already, so an error is told and no more.
fn forget_rollback(root: &Root, manifest: &str) {
    match pending::unfinished_rollback(root, manifest) {
        Ok(Some(_)) => pending::end(root, manifest),
        // What a boot left to be proved is put back.
        Ok(None) if matches!(pending::unproved_set(root), Ok(None)) => pending::end(root, manifest),
        Ok(None) => {}
        Err(error) => log::warn!("{error:#}; run kube-audit-bootstrap restore again"),
    }
}

/// Warns of a manifest among the files that are gone, with the command that puts it back, and takes it out of them.
fn warn_of_manifest(root: &Root, manifest: &str, gone: &mut Vec<String>, sets: &[String]) {
    let Some(at) = gone.iter().position(|path| path == manifest) else { return };
    gone.remove(at);
    let (program, id) = (root.program(), sets.last().map(String::as_str).unwrap_or_default());
    log::warn!(
        "{manifest}: something else removed the manifest since, and no API server runs without it; to put it back, run \
         {program} restore {id} --force"
    );
}

/// What is said of the files that somebody else changed or removed.
fn tell_of_others(foreign: &[Foreign], shared: &[String], gone: &[String], force: bool) -> Vec<String> {
    let removed = |path: &String| format!("{path}: something else removed this since; use --force to put it back");
    let undone = |foreign: &Foreign| match force {
        true => foreign.to_string(),
        false => format!("{foreign}; only --force undoes that, as shown here"),
    };
    let others = |path: &String| {
        format!("{path}: something else changed this, too, and that stays; only what the program wrote is undone")
    };
    gone.iter().map(removed).chain(foreign.iter().map(undone)).chain(shared.iter().map(others)).collect()
}

/// The note about an API server that nothing restarts.
fn goes_on(root: &Root, path: &str, refusal: &Refusal) -> String {
    let how = match root.is_host() {
        true => ": restart it, with crictl stop $(crictl ps -q --name kube-apiserver)",
        false => "",
    };
    format!("{path}:{refusal}; the API server goes on with the policy that it has{how}")
}

/// What to say at the end. `is_empty`: there was nothing to do for a restore without an ID; `is_done`: it changed files.
fn closing(root: &Root, sets: &[String], is_empty: bool, is_done: bool) -> Option<String> {
    let says = || {
        if is_empty {
            return older(root, sets);
        }
        let stops = is_done && healing::is_enabled(root) && healing::history(root)?.restored.is_some();
        let program = root.program();
        Ok(stops
            .then(|| format!("self-healing and boots change nothing on this node until you run {program} apply")))
    };
    // The node is put back already.
    says().unwrap_or_else(|error| Some(format!("{error:#}; see restore --list")))
}

/// Says which run before those of `sets` is still in place.
fn older(root: &Root, sets: &[String]) -> Result<Option<String>> {
    let all = backup::list(root)?;
    let before = all.iter().skip_while(|set| !sets.contains(&set.id)).skip_while(|set| sets.contains(&set.id));
    let Some(next) = before.into_iter().find(|set| !set.why.is_way_back()) else { return Ok(None) };
    let (program, id) = (root.program(), &next.id);
    Ok(Some(format!(
        "an earlier run may still be in place: to undo it, too, run {program} restore {id}; {program} restore --list lists \
         all"
    )))
}

/// Why nothing is put back, whose change it is that stands there, and what to do. `id`: the backup that was named.
/// `undoes_restore`: it is that of a restore, so the settings would come back.
fn refusal(program: &str, foreign: &[Foreign], id: Option<&str>, undoes_restore: bool) -> String {
    let list: Vec<_> = foreign.iter().map(Foreign::to_string).collect();
    let until = foreign.iter().filter_map(|foreign| foreign.until.as_ref()).max();
    let until = until
        .map(|id| format!(" to undo only the runs after that change, run {program} restore {id};"))
        .unwrap_or_default();
    let id = id.map(|id| format!(" {id}")).unwrap_or_default();
    let again = match undoes_restore {
        true => format!(" to have the audit settings in what stands there now, run {program} apply;"),
        false => String::new(),
    };
    format!(
        "{}; nothing was put back:{until}{again} to see what would be undone, run {program} restore{id} --dry-run; to undo \
         what something else changed, too, run {program} restore{id} --force",
        list.join("; ")
    )
}

/// Adds to `changes` what restarts an API server whose policy goes back while its manifest stays.
pub(super) fn restart(root: &Root, changes: &mut Vec<Change>, manifest: Option<&Text>) -> Result<(), Refusal> {
    let running = manifest.and_then(|manifest| in_force::look(root, manifest));
    restart_for_policy(changes, manifest, running.as_ref())
}

/// Whether `apply` has nothing to do. This does not ask the cluster, because its API server may be about to restart.
fn is_in_place(root: &Root, config: Config) -> bool {
    let config = Config { cluster: false, ..config };
    let run = Run {
        root,
        config,
        occasion: Occasion::Any,
        required: false,
        kubeadm: KubeadmCall::UNKNOWN,
        policy: PolicySource::new(None),
    };
    run.survey().is_ok_and(|plan| plan.is_empty() && plan.refusal.is_none())
}

/// The IDs of the backups that can't be read, newest first.
///
/// # Errors
///
/// The directory of the backups can't be read.
pub fn unreadable(root: &Root) -> Result<Vec<String>> {
    backup::unreadable(root)
}

/// The backups, newest first, also those of interrupted runs.
///
/// # Errors
///
/// The directory of the backups can't be read.
pub fn list(root: &Root) -> Result<Vec<Set>> {
    backup::list(root)
}
