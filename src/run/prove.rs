//! Proves that the API server that runs here audits, and goes back where that fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, bail};

use crate::audit::log::{RECEIVED, event_time};
use crate::audit::policy::{self, Policy};
use crate::change::{Change, KUBEADM_CONFIG};
use crate::config::{Config, Restart};
use crate::facts::backup::{BACKUPS, Set, Why};
use crate::facts::file::{Snapshot, text_of};
use crate::facts::server::Process;
use crate::node::apiserver::{self, Processes, Tail};
use crate::node::kubectl::{self, Answer, Kubectl};
use crate::node::lock::Lock;
use crate::node::outgoing::{EventSink, Outgoing};
use crate::node::root::Root;
use crate::node::{hidden, kubelet, observe, pending, restore, transaction};
use crate::plan::proof::{NO_KUBELET, Next, Proof, ProofStage, Sight, Trace, find_trace};
use crate::plan::{Plan, Step, way_back};
use crate::time;
use crate::wiring::manifest::{self, Auditing};

/// The target of messages for whoever waits, which are there without `-v`.
pub const PROGRESS: &str = "progress";

/// How long events of what the cluster does anyway are waited for: leases are renewed every 10 s at least.
const RARE: Duration = Duration::from_secs(25);

/// How often is looked.
const PAUSE: Duration = Duration::from_millis(200);

/// What came of looking for a proof.
#[derive(Debug)]
pub enum Verified {
    /// Why there is nothing to prove.
    NoApiServer(String),
    /// How it was proved, and what is odd about it.
    Proved(Proved, Vec<String>),
}

/// Proves that the API server that runs here audits, within `limit`.
///
/// # Errors
///
/// Why it can't be proved.
pub fn verify(root: &Root, config: &Config, limit: Duration) -> Result<Verified> {
    let path = kubelet::manifest_path(root, config)?;
    let Some(manifest) = observe::manifest(root, &path)? else {
        if !apiserver::find_processes().api_servers.is_empty() {
            bail!(
                "{path}: the manifest isn't there, but an API server runs; set manifest.path to the file that is meant"
            );
        }
        if observe::is_certified(root)? {
            bail!(
                "{path}: the manifest isn't there, and this node has an API server's certificate; set manifest.path"
            );
        }
        return Ok(Verified::NoApiServer(format!("there is no API server here: {path} doesn't exist")));
    };
    let auditing = manifest::read_auditing(&manifest.text).map_err(|refusal| anyhow!("{path}:{refusal}"))?;
    if !auditing.flags.contains_key("audit-policy-file") {
        bail!("{path}: the manifest has no audit flags; run kube-audit-bootstrap apply");
    }
    let written = auditing.policy.as_ref().and_then(|policy| Some((policy.clone(), written_at(policy)?)));
    let proved = Watch::begin(root, &path, auditing, Vec::new())?.prove(root, limit)?;
    let mut warnings = Vec::new();
    if let Some((policy, written)) = written
        && apiserver::start_time(&proved.process).is_some_and(|start| start + CLOCK < written)
    {
        warnings.push(format!(
            "{policy}: it was written after the API server started, which read it then; apply --wait says what is to be done"
        ));
    }
    // What an interrupted run left to prove is proved by that. One that is at work has the lock.
    if pending::unproved_set(root)?.is_some()
        && let Ok(_lock) = Lock::take(root, Duration::ZERO)
    {
        pending::end(root, &path);
    }
    Ok(Verified::Proved(proved, warnings))
}

/// The clock's ticks and the file system's are not the same.
const CLOCK: Duration = Duration::from_secs(1);

fn written_at(path: &str) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

/// How it was proved.
#[derive(Debug)]
pub struct Proved {
    pub process: Process,
    pub evidence: Evidence,
    pub after: Duration,
}

/// What was seen of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A request of our own for this path.
    Question(&'static str),
    Traffic,
    /// The policy records nothing.
    Nothing,
    /// They go to a webhook alone.
    Elsewhere,
    /// There are none for now: what it records is rare, and can't be asked for without changing something.
    Rare,
}

/// Where events are found.
#[derive(Debug)]
enum EventSource {
    File(Tail),
    /// On the container's standard output, which its runtime writes to a file.
    Container,
    Nowhere,
}

/// The watch over an API server, from a moment on.
#[derive(Debug)]
pub struct Watch {
    path: String,
    auditing: Auditing,
    evidence: Evidence,
    old: Vec<Process>,
    /// The one of them that is replaced, if it is to be ended early, and how long requests under way have.
    outgoing: Option<(Outgoing, Duration)>,
    logs: BTreeMap<PathBuf, SystemTime>,
    source: EventSource,
    /// In the path of our question, so that its event is known.
    mark: String,
    /// What was heard instead of an answer.
    heard: Option<String>,
    /// Since when events of what the cluster does are waited for.
    quiet: Option<Instant>,
}

impl Watch {
    /// Begins to watch for the API server of the manifest at `path`, with these flags, that is none of `old`.
    ///
    /// Errors: the policy can't be read; the flags lead events nowhere.
    pub fn begin(root: &Root, path: &str, auditing: Auditing, old: Vec<Process>) -> Result<Watch> {
        let source = match (&auditing.log, auditing.flags.get("audit-log-path").map(String::as_str)) {
            (Some(log), _) => EventSource::File(Tail::from_now(log)),
            (None, Some("-")) => EventSource::Container,
            (None, _) if auditing.flags.contains_key("audit-webhook-config-file") => EventSource::Nowhere,
            (None, _) => {
                bail!("{path}: the audit flags name no log and no webhook, so the API server drops every event")
            }
        };
        let evidence = match (policy_of(root, &auditing)?.as_ref().map_or(Trace::Nothing, find_trace), &source) {
            (Trace::Nothing, _) => Evidence::Nothing,
            (_, EventSource::Nowhere) => Evidence::Elsewhere,
            (Trace::Question(path), _) => Evidence::Question(path),
            (Trace::Traffic, _) => Evidence::Traffic,
        };
        Ok(Watch::new(path, auditing, old, evidence, source))
    }

    /// A watch for the return of an API server, whose events don't matter. One from before the run will do, which the kubelet may not even
    /// have ended; the one that `failed` won't.
    fn for_return(path: &str, auditing: Auditing, failed: Vec<Process>) -> Watch {
        Watch::new(path, auditing, failed, Evidence::Nothing, EventSource::Nowhere)
    }

    fn new(path: &str, auditing: Auditing, old: Vec<Process>, evidence: Evidence, source: EventSource) -> Watch {
        Watch {
            path: path.to_owned(),
            auditing,
            evidence,
            old,
            outgoing: None,
            logs: apiserver::container_logs(),
            source,
            mark: kubectl::mark(),
            heard: None,
            quiet: None,
        }
    }

    /// Waits for the proof. Says each stage that is reached.
    ///
    /// Errors: why it can't be proved, with the last words of an API server that ended.
    pub fn prove(mut self, root: &Root, limit: Duration) -> Result<Proved> {
        let start = Instant::now();
        let wants_event = matches!(self.evidence, Evidence::Question(_) | Evidence::Traffic);
        let Auditing { flags, words, .. } = self.auditing.clone();
        let mut proof = Proof::new(flags, words, self.old.clone(), wants_event, limit);
        if let Some((outgoing, drain)) = &self.outgoing {
            proof = proof.ending(outgoing.process.clone(), *drain);
        }
        loop {
            let Processes { api_servers: processes, has_kubelet: kubelet } = apiserver::find_processes();
            let listens = self.outgoing.as_ref().is_some_and(|(outgoing, _)| outgoing.listens());
            let mut seen =
                Sight { processes, kubelet, starts: self.new_logs().len(), listens, ..Sight::default() };
            if let Some(process) = proof.process().filter(|process| seen.processes.contains(process)) {
                match proof.stage() {
                    ProofStage::Process => {}
                    ProofStage::Answer => {
                        let answers = apiserver::check_answers(process);
                        seen.answers = answers.is_ok();
                        self.heard = answers.err().map(|why| format!("{why:#}"));
                    }
                    ProofStage::Event => seen.event = self.has_event(process),
                }
            }
            let after = start.elapsed();
            match proof.next(&seen, after) {
                Next::Reached(reached) => progress(after, reached.reached()),
                Next::Proved => {
                    match self.evidence {
                        Evidence::Rare => progress(after, "nothing that its policy records has happened yet"),
                        _ => progress(after, proof.stage().reached()),
                    }
                    let process = proof.process().cloned().context("the API server is gone")?;
                    let evidence = match self.evidence {
                        // Nobody could be asked.
                        Evidence::Question(_) if !self.is_recorded() => Evidence::Traffic,
                        evidence => evidence,
                    };
                    return Ok(Proved { process, evidence, after });
                }
                Next::Nudge => {
                    progress(after, "the kubelet hasn't noticed the manifest; it is shown again");
                    hidden::show_again(root, &self.path)?;
                }
                Next::Closed(drain) => progress(
                    after,
                    &format!(
                        "the old one takes no more requests; it has {} s for those under way",
                        drain.as_secs_f64()
                    ),
                ),
                Next::End => match self.outgoing.as_mut().map_or(Ok(()), |(outgoing, _)| outgoing.end()) {
                    Ok(()) => progress(after, "it is ended"),
                    Err(why) => progress(after, &format!("it is left to the kubelet: {why:#}")),
                },
                Next::Wait => thread::sleep(PAUSE),
                Next::Failed(why) => {
                    let heard = self.heard.take().map(|heard| format!(" ({heard})")).unwrap_or_default();
                    bail!("{why}{heard}{}", self.last_words(proof.process().is_some()))
                }
            }
        }
    }

    /// Is the event in the log that is waited for?
    fn has_event(&mut self, process: &Process) -> bool {
        if let (Evidence::Question(path), Ok(kubectl)) = (self.evidence, Kubectl::of(process)) {
            if self.is_recorded() {
                return true;
            }
            // Asked each time: the API server, new as it is, may have refused the one before.
            match kubectl.ask(&format!("{path}?{}", self.mark)) {
                Answer::Text(_) => return self.is_recorded(),
                Answer::Missing(why) => {
                    self.heard = Some(why);
                    return false;
                }
                Answer::Unusable(why) => self.heard = Some(why),
            }
        }
        let Some(start) = apiserver::start_time(process).map(time::stamp) else { return false };
        if self.text().lines().any(|line| event_time(line, RECEIVED).is_some_and(|time| time > start)) {
            return true;
        }
        // An exec, say, may not come for weeks. The API server makes the file when it starts; what it can't write to it makes errors.
        let EventSource::File(log) = &self.source else { return false };
        let is_rare = self.quiet.get_or_insert_with(Instant::now).elapsed() >= RARE
            && Path::new(log.path()).exists()
            && apiserver::newest_words(&self.new_logs(), true).is_none();
        if is_rare {
            self.evidence = Evidence::Rare;
        }
        is_rare
    }

    /// Is our question among the events?
    fn is_recorded(&self) -> bool {
        // The container's log has requests in other lines, too.
        self.text().lines().any(|line| line.contains(&self.mark) && event_time(line, RECEIVED).is_some())
    }

    /// What was written where the events go.
    fn text(&self) -> String {
        match &self.source {
            EventSource::File(tail) => tail.text().unwrap_or_default(),
            EventSource::Container => apiserver::newest_output(&apiserver::container_logs()).unwrap_or_default(),
            EventSource::Nowhere => String::new(),
        }
    }

    fn new_logs(&self) -> BTreeMap<PathBuf, SystemTime> {
        let mut logs = apiserver::container_logs();
        logs.retain(|path, _| !self.logs.contains_key(path));
        logs
    }

    fn last_words(&self, runs: bool) -> String {
        match apiserver::newest_words(&self.new_logs(), runs) {
            Some(words) => format!("; it said: {words}"),
            None => String::new(),
        }
    }
}

/// Waits for a kubelet that is just started anew. False: there is none.
pub fn await_kubelet() -> bool {
    let start = Instant::now();
    while !apiserver::find_processes().has_kubelet {
        if start.elapsed() >= NO_KUBELET {
            return false;
        }
        thread::sleep(PAUSE);
    }
    true
}

/// What runs before a run changes anything: the kubelet may be quick.
#[derive(Debug, Default)]
pub struct Before {
    processes: Vec<Process>,
    outgoing: Option<(Outgoing, Duration)>,
}

impl Before {
    /// Looks at what runs, and begins to watch the API server that `plan` replaces, if it is to be ended early.
    pub fn of(plan: &Plan, restart: Restart) -> Before {
        if old_manifest(plan).is_none() {
            return Before::default();
        }
        let processes = apiserver::find_processes().api_servers;
        let ends = ends_early(plan, restart, &processes);
        let outgoing = ends.map(|(process, events, drain)| (Outgoing::of(process, events), drain));
        Before { processes, outgoing }
    }

    /// What ran before a run that was killed wrote this set, as far as it still runs.
    pub fn of_killed(set: &Set, manifest: &str) -> Before {
        let mut processes = apiserver::find_processes().api_servers;
        let changed = set.records.iter().any(|record| record.path == manifest);
        let made = time::seconds(&set.when).map(time::at);
        processes.retain(|process| changed && apiserver::start_time(process) < made);
        Before { processes, outgoing: None }
    }
}

/// The manifest that a plan is about to change.
fn old_manifest(plan: &Plan) -> Option<&Snapshot> {
    plan.changes.iter().find_map(|planned| match &planned.change {
        Change::WriteFile { before, .. } if planned.step == Step::Manifest => before.as_ref(),
        _ => None,
    })
}

/// Which of these processes is ended early, where its events go, and how long its requests have before.
fn ends_early(plan: &Plan, restart: Restart, processes: &[Process]) -> Option<(Process, EventSink, Duration)> {
    let Restart::Quick(drain) = restart else { return None };
    // An API server whose log is moved away must have its time to write it.
    if plan.follow_up.is_some() {
        return None;
    }
    let auditing = manifest::read_auditing(text_of(&old_manifest(plan)?.bytes).ok()?).ok()?;
    let (process, events) = find_replaced(processes, &auditing)?;
    Some((process, events, drain))
}

/// The process that a manifest stands for which is about to be changed, and where its events go. None where it runs with other flags, or
/// there are two: that isn't known well enough to be ended.
fn find_replaced(processes: &[Process], auditing: &Auditing) -> Option<(Process, EventSink)> {
    let its: Vec<_> = processes.iter().filter(|process| process.is(&auditing.flags, &auditing.words)).collect();
    let [process] = its[..] else { return None };
    let has = |flag: &str| auditing.flags.contains_key(flag);
    let events = match &auditing.log {
        _ if !has("audit-policy-file") => EventSink::None,
        _ if has("audit-webhook-config-file") => EventSink::Elsewhere,
        // Its last events come one by one, with pauses.
        _ if has("audit-log-batch-throttle-enable") => EventSink::Elsewhere,
        Some(log) => EventSink::Log(log.clone()),
        None if has("audit-log-path") => EventSink::Elsewhere,
        None => EventSink::None,
    };
    Some((process.clone(), events))
}

/// How the wait for a proof ended.
#[derive(Debug)]
pub enum Verdict {
    Proved(Proved),
    /// It can't be proved, and what the run changed was put back: why, and how that went.
    PutBack(String),
}

/// Proves what a run that just ended has made of the node with the manifest at `path`. Where that can't be proved, everything of its backup
/// set `id` goes back, and the API server's return is awaited, as long once more.
///
/// Errors: the node could not be put back, and what is where; without a set, why it can't be proved.
pub fn prove_or_go_back(
    root: &Root,
    path: &str,
    before: Before,
    id: Option<&str>,
    limit: Duration,
) -> Result<Verdict> {
    let auditing = || -> Result<Auditing> {
        let text = root.text(path)?.with_context(|| format!("{path}: the manifest is gone"))?.text;
        manifest::read_auditing(&text).map_err(|refusal| anyhow!("{path}:{refusal}"))
    };
    let start = Instant::now();
    let Before { processes, outgoing } = before;
    let prove = || -> Result<Proved> {
        let mut watch = Watch::begin(root, path, auditing()?, processes.clone())?;
        watch.outgoing = outgoing;
        watch.prove(root, limit)
    };
    let why = match prove() {
        Ok(proved) => return Ok(Verdict::Proved(proved)),
        Err(why) => format!("{why:#}"),
    };
    let Some(id) = id else {
        bail!("{why}; this run changed nothing, so nothing is put back: see restore --list")
    };
    progress(start.elapsed(), &format!("{why}; putting everything back"));
    // What failed must not be taken for what returns.
    let mut failed = apiserver::find_processes().api_servers;
    failed.retain(|process| !processes.contains(process));
    let (changes, left) = match put_back(root, path, id) {
        Ok(done) => done,
        Err(error) => {
            let rest =
                format!("restore {id}, whose copies are in {BACKUPS}/{id}, puts back what else this run changed");
            pending::put_manifest_back(root, path)
                .with_context(|| format!("{why}; and the node could not be put back: {error:#}; {rest}"))?;
            let returned =
                auditing().and_then(|auditing| Watch::for_return(path, auditing, failed).prove(root, limit));
            let api_server = match returned {
                Ok(_) => "the API server answers again".to_owned(),
                Err(error) => format!("the API server isn't back: {error:#}"),
            };
            bail!("{why}; only the manifest could be put back ({error:#}), and {api_server}; {rest}");
        }
    };
    if !changes.iter().any(|change| change.path() == path) {
        failed.clear();
    }
    let but = match left.as_slice() {
        [] => String::new(),
        left => format!(", but for {}, which somebody else changed meanwhile, or needs", left.join(", ")),
    };
    let returned = auditing().and_then(|auditing| Watch::for_return(path, auditing, failed).prove(root, limit));
    // Whatever was seen of it: one that answers can be asked to put the cluster's configuration back.
    let problems: Vec<_> =
        [returned.map(drop), put_cluster_back(root, id)].into_iter().filter_map(Result::err).collect();
    let ended = match problems.as_slice() {
        [] => format!("everything is as it was before {id}{but}, and the API server answers again"),
        problems => format!(
            "the node's files are as they were before {id}{but}; not all is well: {}; look at the kubelet's log, at \
             {path}, and at restore {id} --dry-run, which says what else is to be put back",
            problems.iter().map(|problem| format!("{problem:#}")).collect::<Vec<_>>().join("; ")
        ),
    };
    Ok(Verdict::PutBack(format!("{why}; {ended}")))
}

/// Puts the files of the set `id` back. Gives the changes, and what stays.
fn put_back(root: &Root, path: &str, id: &str) -> Result<(Vec<Change>, Vec<String>)> {
    hidden::unhide(root, path)?;
    let restore = way_back::plan(&restore::look(root, Some(id))?);
    restore.notes.iter().for_each(|note| log::info!("{note}"));
    let manifest = root.text(path)?.map(|manifest| manifest.text);
    let (changes, left) = way_back::roll_back(restore, path, manifest.as_deref());
    transaction::execute(root, &changes, &Why::Restore, SystemTime::now())?;
    Ok((changes, left))
}

/// Puts back what of the set `id` is in the cluster, now that its API server answers.
fn put_cluster_back(root: &Root, id: &str) -> Result<()> {
    let mut restore = way_back::plan(&restore::look(root, Some(id))?);
    restore.changes.retain(|change| matches!(change, Change::WriteCluster { .. }));
    transaction::execute(root, &restore.changes, &Why::Restore, SystemTime::now())?;
    match restore.notes.into_iter().find(|note| note.starts_with(KUBEADM_CONFIG)) {
        Some(note) => bail!(note),
        None => Ok(()),
    }
}

/// The policy that the flags name.
fn policy_of(root: &Root, auditing: &Auditing) -> Result<Option<Policy>> {
    let Some(path) = &auditing.policy else { return Ok(None) };
    let text = root.text(path)?.with_context(|| format!("{path}: the policy isn't there"))?;
    let (policy, findings) = policy::read::parse(&text.text, None);
    let why = || match findings.first() {
        Some(finding) => format!("{path}:{finding}"),
        None => format!("{path}: this is no policy"),
    };
    policy.with_context(why).map(Some)
}

/// A line for whoever waits.
pub fn progress(after: Duration, what: &str) {
    log::info!(target: PROGRESS, "{:4} s  {what}", after.as_secs());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::DiskState;
    use crate::facts::Targets;
    use crate::plan::testing::{config, disk_state, facts, planned};
    use crate::storage::blank::Content;

    #[test]
    fn the_old_process_is_ended_as_the_configuration_says() {
        let manifest = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    command: [kube-apiserver, --v=2]\n";
        let process =
            Process { pid: 7, started: 1, arguments: vec!["kube-apiserver".to_owned(), "--v=2".to_owned()] };
        let disk = || DiskState { content: Some(Content::Blank), ..disk_state() };
        let moves = "storage: {device: /dev/disk/by-id/x, format: ext4}";
        for (lines, disk, drain) in [
            ("", None, Some(5)),
            ("restart: {mode: quick}", None, Some(5)),
            ("restart: {drain: 7s}", None, Some(7)),
            ("restart: {mode: quick, drain: 0s}", None, Some(0)),
            ("restart: {mode: graceful}", None, None),
            ("restart: {mode: graceful, drain: 7s}", None, None),
            // Its log is moved away.
            (moves, Some(disk()), None),
        ] {
            let config = config(lines);
            let plan = planned(&config, &facts(Some(manifest)), &Targets { disk, ..Targets::default() });
            let ends = ends_early(&plan, config.restart, std::slice::from_ref(&process));
            let wanted = drain.map(|drain| (process.clone(), EventSink::None, Duration::from_secs(drain)));
            assert_eq!(ends, wanted, "{lines}");
        }
        let config = config("");
        let worker = planned(&config, &facts(None), &Targets::default());
        assert_eq!(ends_early(&worker, config.restart, &[process]), None, "no manifest is changed");
    }

    #[test]
    fn only_the_one_process_of_the_old_manifest_is_ended() {
        let process = |pid, words: &str| Process {
            pid,
            started: 1,
            arguments: words.split(' ').map(str::to_owned).collect(),
        };
        let auditing = |words: &str, log: Option<&str>| {
            let arguments: Vec<_> = words.split_whitespace().collect();
            let flag =
                |word: &&str| word.strip_prefix("--")?.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
            let flags = arguments.iter().filter_map(flag).filter(|(name, _)| name.starts_with("audit-")).collect();
            let words = arguments.into_iter().map(str::to_owned).collect();
            Auditing { flags, words, log: log.map(str::to_owned), ..Auditing::default() }
        };
        let log = "--audit-policy-file=/p --audit-log-path=/l";
        let throttled = "--audit-policy-file=/p --audit-log-path=/l --audit-log-batch-throttle-enable=true";
        let webhook = "--audit-policy-file=/p --audit-log-path=/l --audit-webhook-config-file=/w";
        for (words, host, running, events) in [
            ("--v=2", None, &["kube-apiserver --v=2"][..], Some(EventSink::None)),
            ("--v=2", None, &["kube-apiserver --v=2", "kube-apiserver --v=3"], Some(EventSink::None)),
            ("--v=2", None, &["kube-apiserver --v=2", "kube-apiserver --v=2"], None),
            ("--v=2", None, &["kube-apiserver --v=2 --audit-log-path=/l"], None),
            ("--audit-log-path=/l", Some("/l"), &["kube-apiserver --audit-log-path=/l"], Some(EventSink::None)),
            (log, Some("/l"), &[&format!("kube-apiserver {log}")], Some(EventSink::Log("/l".to_owned()))),
            (log, None, &[&format!("kube-apiserver {log}")], Some(EventSink::Elsewhere)),
            (webhook, Some("/l"), &[&format!("kube-apiserver {webhook}")], Some(EventSink::Elsewhere)),
            ("--v=2", None, &[], None),
            (throttled, Some("/l"), &[&format!("kube-apiserver {throttled}")], Some(EventSink::Elsewhere)),
        ] {
            let processes: Vec<_> = (1..).zip(running).map(|(pid, words)| process(pid, words)).collect();
            let found = find_replaced(&processes, &auditing(words, host));
            assert_eq!(
                found.map(|(process, events)| (process.pid, events)),
                events.map(|events| (1, events)),
                "{words}"
            );
        }
    }
}
