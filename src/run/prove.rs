//! Proves that the API server on this node audits, and rolls back if there is no proof.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, bail};

use super::guard;
use crate::audit::log::{RECEIVED, event_time, lacks_etcd};
use crate::audit::policy::read::Reading;
use crate::audit::policy::{self, Policy};
use crate::change::{Change, KUBEADM_CONFIG};
use crate::config::{Config, Restart};
use crate::facts::asker::Answered;
use crate::facts::backup::{BACKUPS, Set, Why};
use crate::facts::file::text_of;
use crate::facts::server::Process;
use crate::node::apiserver::{self, Processes, Tail};
use crate::node::hidden::{self, Hidden, Hide};
use crate::node::kubectl::{self, Answer};
use crate::node::leaving::Traces;
use crate::node::lock::{self, Lock};
use crate::node::outgoing::{EventSink, Outgoing};
use crate::node::pod::{self, Container, Log, Starts};
use crate::node::root::Root;
use crate::node::{in_force, kubelet, observe, obstacle, pending, restore, transaction};
use crate::plan::in_force::{State, judge};
use crate::plan::obstacle::meet_back;
use crate::plan::proof::{KUBELET_STOPPED, NO_KUBELET, Next, Proof, ProofStage, Sight, Trace, find_trace};
use crate::plan::way_back::{Around, Present, RollBack};
use crate::plan::{Plan, Step, way_back};
use crate::time;
use crate::wiring::manifest::{self, Auditing};
use crate::yaml::fields::Severity;
use crate::yaml::tree::MAX_BYTES;

pub use crate::node::outgoing::PROGRESS;

/// How long to wait for events of what the cluster does anyway: leases are renewed every 10 s at least.
const RARE: Duration = Duration::from_secs(25);

/// How long an API server takes to start at most, after a rollback that came while the previous one ended.
const RETURN: Duration = Duration::from_secs(30);

/// How long a manifest that something else changes must stay unchanged before it counts.
const WRITTEN: Duration = Duration::from_secs(1);

/// What happened to a manifest during the wait.
const EDITED: &str = "changed the manifest during the wait, and the proof is about it as it is now";
const AGAIN: &str = "; run kube-audit-bootstrap apply --wait 5m";
const REMOVED: &str = "removed the audit flags from the manifest during the wait";

const POLICY_FLAG: &str = "audit-policy-file";

/// The pause between two looks, and while the manifest is hidden.
const PAUSE: Duration = Duration::from_millis(200);
const SHORT_PAUSE: Duration = Duration::from_millis(30);

/// How `verify` ended.
#[derive(Debug)]
pub enum Verified {
    /// Why there is nothing to prove.
    NoApiServer(String),
    /// The proof, and warnings about it.
    Proved(Proved, Vec<String>),
}

/// Proves that the API server on this node audits. Waits up to `limit`. Changes nothing on the node,
/// except the program's own record that a proof is missing.
///
/// # Errors
///
/// There is no proof; the error says why.
pub fn verify(root: &Root, config: &Config, limit: Duration) -> Result<Verified> {
    let path = kubelet::manifest_path(root, config)?;
    let Some(manifest) = observe::manifest(root, &path)? else {
        let none = || Ok(Verified::NoApiServer(format!("there is no API server here: {path} doesn't exist")));
        // What runs on a worker is not its own API server: it may host the control planes of other clusters.
        if observe::is_worker(root)? {
            return none();
        }
        if !apiserver::find_processes().api_servers.is_empty() {
            bail!(
                "{path}: there is no manifest here, but an API server runs; set manifest.path to the path of its manifest"
            );
        }
        if observe::is_certified(root)? {
            bail!(
                "{path}: there is no manifest here, but this node has an API server's certificate; set manifest.path to the path of its manifest"
            );
        }
        return none();
    };
    let auditing = read_auditing(&path, &manifest.text)?;
    if !auditing.flags.contains_key(POLICY_FLAG) {
        bail!("{path}: the manifest has no audit flags; run kube-audit-bootstrap apply");
    }
    let proved = Watch::begin(root, &path, manifest.text, &Before::default())
        .and_then(|mut watch| watch.prove(root, limit))
        .map_err(|error| explained(root, &path, error, &|state| advice(root, state)))?;
    let warnings = doubts(root, &path, &|state| advice(root, state));
    // This is also the proof of an interrupted run. A run that still waits has the lock.
    if warnings.is_empty()
        && pending::unproved_set(root)?.is_some()
        && let Ok(_lock) = Lock::take(root, Duration::ZERO)
    {
        pending::end(root, &path);
    }
    Ok(Verified::Proved(proved, warnings))
}

fn read_auditing(path: &str, manifest: &str) -> Result<Auditing> {
    manifest::read_auditing(manifest).map_err(|refusal| anyhow!("{path}:{refusal}"))
}

/// A proof.
#[derive(Debug)]
pub struct Proved {
    pub process: Process,
    pub evidence: Evidence,
    /// How it was found that it answers.
    pub answered: Answered,
    /// How long it took.
    pub after: Duration,
}

/// What was seen of the API server's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The event of the program's own request for this path.
    Question(&'static str),
    /// An event of what the cluster does anyway.
    Traffic,
    /// The policy records nothing.
    Nothing,
    /// Events go only to a webhook.
    Elsewhere,
    /// None yet: the policy records only rare requests, and the program can't make one without a change to the cluster.
    Rare,
}

/// Where events are found.
#[derive(Debug)]
enum EventSource {
    File(Tail),
    /// The container's standard output, which the container runtime writes to a file: that of the last process.
    Container(Option<Tail>),
    Nowhere,
}

/// What was seen of the events of one process.
#[derive(Debug)]
struct Events {
    /// A random text in the URL of the program's request, by which its event is recognised.
    mark: String,
    /// The event of that request was seen.
    is_marked: bool,
    /// When the newest request with an event was received, as [`event_time`] has it.
    newest: Option<String>,
    /// Since when the program waits for events of what the cluster does.
    quiet: Option<Instant>,
}

impl Events {
    fn none() -> Events {
        Events { mark: kubectl::mark(), is_marked: false, newest: None, quiet: None }
    }

    fn add(&mut self, line: &str) {
        let Some(time) = event_time(line, RECEIVED) else { return };
        self.is_marked |= line.contains(&self.mark);
        self.newest = self.newest.take().max(Some(time));
    }
}

/// What is at the path of the manifest, compared with what the proof is about.
enum Reread {
    Same,
    /// The proof is about another manifest now.
    Changed,
    /// What is there can't count, or not yet: why.
    Changes(String),
}

/// Watches an API server from the moment at which this is made.
#[derive(Debug)]
pub struct Watch {
    /// The path of the manifest.
    path: String,
    /// The manifest that the proof is about.
    text: String,
    /// Another text that was seen at the path, and since when. An editor may still be writing it.
    next: Option<(String, Instant)>,
    /// What is wrong with what is at the path, since when, and whether that was told.
    wrong: Option<(String, Duration, bool)>,
    /// It was told that the API server can't write an event.
    told_lost: bool,
    auditing: Auditing,
    /// The container of the API server.
    container: Container,
    policy: Option<Policy>,
    evidence: Evidence,
    /// How it was found that it answers, as soon as it does.
    answered: Option<Answered>,
    /// Does the proof wait for an event, or only for an answer?
    is_return: bool,
    /// The processes that ran before. None of them counts.
    old: Vec<Process>,
    /// The previous API server, if the program ends it early, and how long running requests have to end.
    outgoing: Option<(Outgoing, Duration)>,
    /// The manifest, if it is hidden until the kubelet has finished the previous pod.
    hidden: Option<Hidden>,
    starts: Starts,
    source: EventSource,
    events: Events,
    /// The last error of a request.
    heard: Option<String>,
}

impl Watch {
    /// Begins to watch for an API server of the manifest `text` at `path` that did not run before.
    ///
    /// # Errors
    ///
    /// The policy can't be read; the flags name no log and no webhook.
    pub fn begin(root: &Root, path: &str, text: String, before: &Before) -> Result<Watch> {
        let mut watch = Watch::new(root, path, text, before)?;
        watch.find_events(root)?;
        Ok(watch)
    }

    /// Watches for the return of an API server after a rollback, or after a change of somebody else. Its events do not
    /// matter. A process from before the run counts, because the kubelet may not have ended it; the processes in `back`
    /// do not.
    fn for_return(root: &Root, path: &str, back: Before) -> Result<Watch> {
        let text = match &back.written {
            Some(written) => written.clone(),
            None => root.text(path)?.with_context(|| format!("{path}: the manifest is gone"))?.text,
        };
        let watch = Watch::new(root, path, text, &back)?;
        Ok(Watch { is_return: true, outgoing: back.outgoing, hidden: back.hidden, ..watch })
    }

    fn new(root: &Root, path: &str, text: String, before: &Before) -> Result<Watch> {
        let mut container = Container::of(root, &text)?;
        before.processes.iter().for_each(|process| container.learn(process));
        Ok(Watch {
            path: path.to_owned(),
            auditing: read_auditing(path, &text)?,
            text,
            next: None,
            wrong: None,
            told_lost: false,
            starts: Starts::since(&container.logs(), before.since),
            container,
            policy: None,
            evidence: Evidence::Nothing,
            answered: None,
            is_return: false,
            old: before.processes.clone(),
            outgoing: None,
            hidden: None,
            source: EventSource::Nowhere,
            events: Events::none(),
            heard: None,
        })
    }

    /// Finds out where the events of the manifest go, and what there is to wait for.
    fn find_events(&mut self, root: &Root) -> Result<()> {
        let Auditing { flags, log, .. } = &self.auditing;
        self.source = match (log, flags.get("audit-log-path").map(String::as_str)) {
            (Some(log), _) => EventSource::File(Tail::from_now(root, log)),
            (None, Some("-")) => EventSource::Container(None),
            // A webhook has them, or a volume of the pod that this program cannot see.
            (None, path) if path.is_some() || flags.contains_key("audit-webhook-config-file") => {
                EventSource::Nowhere
            }
            (None, _) => bail!(
                "{}: the audit flags name no log and no webhook, so the API server drops every event; run \
                 kube-audit-bootstrap apply",
                self.path
            ),
        };
        self.policy = policy_of(root, &self.auditing)?;
        self.events = Events::none();
        self.evidence = self.expected();
        Ok(())
    }

    /// What there is to wait for, as far as it is known who can ask the API server.
    fn expected(&self) -> Evidence {
        let asker = match self.answered {
            Some(Answered::To(asker)) => Some(asker),
            Some(Answered::ByItsPort) | None => None,
        };
        match (self.policy.as_ref().map_or(Trace::Nothing, |policy| find_trace(policy, asker)), &self.source) {
            (Trace::Nothing, _) => Evidence::Nothing,
            (_, EventSource::Nowhere) => Evidence::Elsewhere,
            (Trace::Question(path), _) => Evidence::Question(path),
            (Trace::Traffic, _) => Evidence::Traffic,
        }
    }

    fn wants_event(&self) -> bool {
        matches!(self.evidence, Evidence::Question(_) | Evidence::Traffic)
    }

    /// Waits up to `limit` for the proof. Prints a progress line for each stage.
    ///
    /// # Errors
    ///
    /// There is no proof. The error says why, with the last message of an API server that ended.
    pub fn prove(&mut self, root: &Root, limit: Duration) -> Result<Proved> {
        let start = Instant::now();
        let Auditing { flags, words, .. } = self.auditing.clone();
        let mut proof = Proof::new(flags, words, self.old.clone(), self.wants_event(), limit);
        if let Some((outgoing, drain)) = &self.outgoing {
            proof = proof.ending(outgoing.process.clone(), *drain, outgoing.listened);
        }
        loop {
            let Processes { api_servers: processes, has_kubelet: kubelet } = self.container.processes();
            if !self.has_manifest(root, &mut proof, &processes, start.elapsed(), limit)? {
                thread::sleep(PAUSE);
                continue;
            }
            let seen = self.look(root, &proof, processes, kubelet);
            let after = start.elapsed();
            self.tell_lost(&proof, &seen, after);
            match proof.next(&seen, after) {
                Next::Reached(reached) => progress(after, reached.reached()),
                Next::Proved => {
                    match self.evidence {
                        Evidence::Rare => progress(after, "nothing that its policy records has happened yet"),
                        _ => progress(after, proof.stage().reached()),
                    }
                    self.tell_of_webhook(after);
                    let process = proof.process().cloned().context("the API server is gone")?;
                    let evidence = match self.evidence {
                        // The program could make no request.
                        Evidence::Question(_) if !self.events.is_marked => Evidence::Traffic,
                        evidence => evidence,
                    };
                    let answered = self.answered.unwrap_or(Answered::ByItsPort);
                    return Ok(Proved { process, evidence, answered, after });
                }
                Next::Nudge => {
                    progress(after, "the kubelet has not noticed the manifest; it is moved away and back");
                    hidden::show_again(root, &self.path)?;
                }
                Next::Closed(drain) => progress(
                    after,
                    &format!(
                        "the previous API server takes no more requests; running requests have {} s to end",
                        drain.as_secs_f64()
                    ),
                ),
                Next::Ask => self.outgoing.iter_mut().for_each(|(outgoing, _)| outgoing.ask()),
                Next::End => self.end_outgoing(after),
                Next::NoKubelet => progress(after, &format!("{KUBELET_STOPPED}; waiting for it")),
                Next::Show(back) => {
                    self.show()?;
                    progress(start.elapsed(), back.reason());
                }
                Next::Wait => thread::sleep(if self.hidden.is_some() { SHORT_PAUSE } else { PAUSE }),
                Next::Failed(why) => {
                    // Its own words say more than what was heard of it.
                    let heard = || self.heard.as_ref().map(|heard| format!(" ({heard})"));
                    let more = self.last_words(&seen.processes).or_else(heard).unwrap_or_default();
                    bail!("{why}{more}")
                }
            }
        }
    }

    /// Whether there is a manifest that counts; the proof is about that. What is wrong with it is told as soon as it
    /// lasts.
    ///
    /// # Errors
    ///
    /// As [`Watch::reread`]; or it is wrong at the end of the wait.
    fn has_manifest(
        &mut self,
        root: &Root,
        proof: &mut Proof,
        processes: &[Process],
        after: Duration,
        limit: Duration,
    ) -> Result<bool> {
        let was = self.wrong.take();
        match self.reread(root)? {
            Reread::Same if was.as_ref().is_some_and(|(.., is_told)| *is_told) => {
                progress(after, &format!("{}: the manifest is as it was again", self.path));
            }
            Reread::Same => {}
            Reread::Changed => {
                progress(after, &format!("{}: something else {EDITED}", self.path));
                let Auditing { flags, words, .. } = self.auditing.clone();
                proof.begin_again((flags, words), self.wants_event(), processes, after);
            }
            Reread::Changes(why) if after > limit => bail!("{}: {why}", self.path),
            Reread::Changes(why) => {
                let (why, since, is_told) = was.filter(|(was, ..)| *was == why).unwrap_or((why, after, false));
                let lasts = after >= since + WRITTEN;
                if lasts && !is_told {
                    progress(after, &format!("{}: {why}; the wait goes on", self.path));
                }
                self.wrong = Some((why, since, is_told || lasts));
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn end_outgoing(&mut self, after: Duration) {
        match self.outgoing.as_mut().map_or(Ok(false), |(outgoing, _)| outgoing.end()) {
            Ok(true) => progress(after, "the previous API server is ended"),
            Ok(false) => progress(after, "the previous API server has ended"),
            Err(why) => progress(after, &format!("the previous API server is left to the kubelet: {why:#}")),
        }
    }

    /// Puts a hidden manifest in place.
    fn show(&mut self) -> Result<()> {
        self.hidden.take().map_or(Ok(()), |mut hidden| hidden.show())
    }

    /// What can be seen at this moment.
    fn look(&mut self, root: &Root, proof: &Proof, processes: Vec<Process>, kubelet: bool) -> Sight {
        self.outgoing.iter_mut().for_each(|(outgoing, _)| outgoing.look());
        let listens = self.outgoing.as_ref().is_some_and(|(outgoing, _)| outgoing.listens());
        let starts = self.starts.count(&self.container.logs());
        let ended = if processes.is_empty() { self.newest_words(&processes) } else { None };
        let lacks_etcd = ended.is_some_and(|words| lacks_etcd(&words));
        let remains = self.hidden.as_ref().map(Hidden::remains);
        let mut seen = Sight { processes, kubelet, starts, lacks_etcd, listens, remains, ..Sight::default() };
        let Some(process) = proof.process().filter(|process| seen.processes.contains(process)) else {
            return seen;
        };
        match proof.stage() {
            ProofStage::Process => {}
            ProofStage::Answer => {
                // What another process did is no evidence of this one.
                self.events = Events::none();
                let answers = apiserver::check_answers(process);
                seen.answers = answers.is_ok();
                self.answered = answers.as_ref().ok().copied();
                self.heard = answers.err().map(|why| format!("{why:#}"));
                if seen.answers && !self.is_return {
                    self.evidence = self.expected();
                }
            }
            ProofStage::Event => seen.event = self.has_event(root, process),
        }
        seen
    }

    /// Reads the manifest again: the proof is about the manifest as it is. What can't be read may be half written, or
    /// moved away for a moment.
    ///
    /// # Errors
    ///
    /// The manifest that is there now has no audit flags, or names no log, or a policy that is no policy.
    fn reread(&mut self, root: &Root) -> Result<Reread> {
        let read = root.text(&self.path);
        if self.hidden.is_some() {
            match read {
                Ok(None) => return Ok(Reread::Same),
                // Something else put a manifest in place, or the guard did.
                _ => self.show()?,
            }
        }
        let now = match read {
            Ok(Some(now)) if now.text == self.text => {
                self.next = None;
                return Ok(Reread::Same);
            }
            Ok(Some(now)) => now.text,
            Ok(None) => {
                return Ok(Reread::Changes("something else removed the manifest during the wait".to_owned()));
            }
            Err(why) => return Ok(Reread::Changes(format!("{why:#}"))),
        };
        let since = match self.next.take() {
            Some((text, since)) if text == now => since,
            _ => Instant::now(),
        };
        self.next = Some((now.clone(), since));
        let auditing = match read_auditing(&self.path, &now) {
            Ok(auditing) if since.elapsed() >= WRITTEN => auditing,
            Ok(_) => return Ok(Reread::Changes("something else keeps changing the manifest".to_owned())),
            Err(why) => {
                return Ok(Reread::Changes(format!(
                    "something else changed the manifest during the wait: {why:#}"
                )));
            }
        };
        let mut container = Container::of(root, &now)?;
        self.old.iter().for_each(|process| container.learn(process));
        self.starts = Starts::since(&container.logs(), None);
        (self.container, self.auditing, self.text, self.next) = (container, auditing, now, None);
        if !self.is_return {
            if !self.auditing.flags.contains_key(POLICY_FLAG) {
                bail!("{}: something else {REMOVED}{AGAIN}", self.path);
            }
            self.find_events(root)?;
        }
        Ok(Reread::Changed)
    }

    /// Whether the log has the event of this proof.
    fn has_event(&mut self, root: &Root, process: &Process) -> bool {
        if !self.wants_event() {
            return true;
        }
        self.read_events(root, process);
        if let Evidence::Question(path) = self.evidence {
            if self.events.is_marked {
                return true;
            }
            // Ask again each time, because an API server that has just started may refuse a request.
            match kubectl::ask(process, &format!("{path}?{}", self.events.mark)) {
                Answer::Text(..) => {
                    self.read_events(root, process);
                    return self.events.is_marked;
                }
                Answer::Missing(why) => {
                    self.heard = Some(why);
                    return false;
                }
                Answer::Unusable(why) => self.heard = Some(why),
            }
        }
        let Some(start) = apiserver::start_time(process).map(time::stamp) else { return false };
        if self.events.newest.as_ref().is_some_and(|time| *time > start) {
            return true;
        }
        // The policy may record only rare requests, such as exec. The API server creates the file when it starts, and
        // reports an error if it can't write to it.
        let is_there = match &self.source {
            EventSource::File(log) => log.exists(root),
            EventSource::Container(_) => true,
            EventSource::Nowhere => false,
        };
        let is_rare = self.events.quiet.get_or_insert_with(Instant::now).elapsed() >= RARE
            && is_there
            && pod::newest_words(self.new_logs(), &|_| true).is_none();
        if is_rare {
            self.evidence = Evidence::Rare;
        }
        is_rare
    }

    /// Says that a webhook beside the log is not looked at.
    fn tell_of_webhook(&self, after: Duration) {
        if self.wants_event() && !self.is_return && self.auditing.flags.contains_key("audit-webhook-config-file") {
            progress(after, "its events go to a webhook, too; the program can't see whether they arrive there");
        }
    }

    /// Says once that the API server can't write its events: a policy of rare events may ask for no other one.
    fn tell_lost(&mut self, proof: &Proof, seen: &Sight, after: Duration) {
        if self.told_lost || self.is_return || proof.stage() != ProofStage::Event || seen.event {
            return;
        }
        if let Some(words) = pod::newest_words(self.new_logs(), &|_| true) {
            self.told_lost = true;
            progress(after, &format!("it can't write an event, and nothing is proved until it does: {words}"));
        }
    }

    /// Reads on in the log; for standard output, in what the container of this process wrote.
    fn read_events(&mut self, root: &Root, process: &Process) {
        let (tail, is_mixed) = match &mut self.source {
            EventSource::File(tail) => (tail, false),
            EventSource::Container(tail) => {
                let Some(log) = self.container.log_of(process) else { return };
                let path = log.path.to_string_lossy().into_owned();
                let tail = match tail.take().filter(|tail| tail.path() == path) {
                    Some(same) => tail.insert(same),
                    None => tail.insert(Tail::from_start(path)),
                };
                (tail, true)
            }
            EventSource::Nowhere => return,
        };
        // A log that can't be read has no event.
        let text = tail.read_on(root).unwrap_or_default();
        let lines = text.lines().filter(|line| !is_mixed || pod::is_output(line));
        lines.for_each(|line| self.events.add(line));
    }

    /// The logs of the starts since the beginning.
    fn new_logs(&self) -> Vec<Log> {
        let mut logs = self.container.logs();
        logs.retain(|log| self.starts.has(log));
        logs
    }

    /// The last error in the new container logs.
    fn newest_words(&self, processes: &[Process]) -> Option<String> {
        let running: Vec<_> = processes.iter().filter_map(|process| self.container.log_of(process)).collect();
        pod::newest_words(self.new_logs(), &|log| running.iter().any(|one| one.path == log.path))
    }

    /// The same, as the end of a message.
    fn last_words(&self, processes: &[Process]) -> Option<String> {
        self.newest_words(processes).map(|words| format!("; its last message: {words}"))
    }
}

/// Waits up to [`NO_KUBELET`] for a kubelet that restarts. False if there is none.
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

/// What there is before a run changes the manifest. It is read early, because the kubelet may be quick.
#[derive(Debug, Default)]
pub struct Before {
    /// The API servers that run.
    processes: Vec<Process>,
    outgoing: Option<(Outgoing, Duration)>,
    /// How the new manifest is hidden until the kubelet has finished the previous pod.
    pub hide: Option<Hide>,
    pub hidden: Option<Hidden>,
    /// How long running requests have to end, if a rollback ends the API server, too.
    pub drain: Option<Duration>,
    /// The manifest that the run writes, if it does.
    written: Option<String>,
    /// The starts of the API server count from this time on; without it, from the beginning of the wait.
    since: Option<SystemTime>,
}

impl Before {
    /// Reads what runs, and begins to watch the API server that `plan` replaces, if the program ends it early.
    pub fn of(root: &Root, plan: &Plan, restart: Restart) -> Before {
        let changes = plan.changes.iter().filter(|planned| planned.step == Step::Manifest);
        let drain = drain_of(plan, restart);
        changes
            .map(|planned| &planned.change)
            .find_map(|one| Before::of_change(root, one, drain))
            .unwrap_or_default()
    }

    /// The same for one change of the manifest; `None` if it makes or removes it. `drain`: how long running requests
    /// have to end, if the program ends the API server.
    fn of_change(root: &Root, change: &Change, drain: Option<Duration>) -> Option<Before> {
        let Change::WriteFile { path, before: Some(old), bytes, .. } = change else { return None };
        let container = text_of(&old.bytes).ok().and_then(|text| Container::of(root, text).ok());
        let processes = container.as_ref().map(|container| container.processes().api_servers).unwrap_or_default();
        let ends =
            drain.and_then(|drain| Some((find_ending(&old.bytes, &processes)?, container.as_ref()?, drain)));
        let outgoing =
            ends.map(|((process, events), container, drain)| (Outgoing::of(process, events, container), drain));
        let traces = match &outgoing {
            Some((outgoing, _)) => outgoing.may_end().then(|| Traces::of(outgoing.process.pid)),
            // An API server that ends each time that it starts.
            None => drain.filter(|_| processes.is_empty()).and(container).map(|own| Traces::of_pods(&own.uids())),
        };
        // Without a kubelet, nothing would see that it is hidden, and nothing sees the new one at once.
        let hide = traces.filter(|_| apiserver::kubelet_start().is_some()).and_then(|traces| {
            let ends =
                outgoing.as_ref().map_or_else(Vec::new, |(outgoing, drain)| guard::words_of(outgoing, *drain));
            let hide = Hide::of(root, path, traces, ends);
            hide.inspect_err(|why| {
                log::info!(
                    target: PROGRESS,
                    "{path}: the kubelet sees the new manifest at once, so the API server may be away for 10 to 15 s more: {why:#}"
                );
            })
            .ok()
        });
        let written = text_of(bytes).ok().map(str::to_owned);
        Some(Before { processes, outgoing, hide, written, ..Before::default() })
    }

    /// The manifest that the run writes, if it does.
    pub fn written(&self) -> Option<&str> {
        self.written.as_deref()
    }

    /// Also counts this process as one from before.
    pub fn exclude(&mut self, pid: Option<i32>) {
        self.processes.extend(pid.and_then(apiserver::read_process));
    }

    /// The processes that still run and are older than this backup of an interrupted run.
    pub fn of_killed(root: &Root, set: &Set, manifest: &str) -> Before {
        let mut processes = processes_of(root, manifest);
        let changed = set.records.iter().any(|record| record.path == manifest);
        let made = time::seconds(&set.when).map(time::at);
        processes.retain(|process| changed && apiserver::start_time(process) < made);
        // After a boot, what ended before is no failure.
        let since = made.filter(|_| changed).max(apiserver::kubelet_start());
        Before { processes, since: since.filter(|_| changed), ..Before::default() }
    }
}

/// The API servers of the manifest at a path; those of all manifests, if nothing can be read there.
fn processes_of(root: &Root, path: &str) -> Vec<Process> {
    let container = root.text(path).ok().flatten().and_then(|text| Container::of(root, &text.text).ok());
    container.map_or_else(apiserver::find_processes, |container| container.processes()).api_servers
}

/// The error of a proof, with what the node shows of its cause. `advice`: as for [`doubts`].
fn explained(
    root: &Root,
    path: &str,
    error: anyhow::Error,
    advice: &dyn Fn(State) -> &'static str,
) -> anyhow::Error {
    let mut error = super::explain(root, path, error);
    // Somebody may have deleted the policy, or written something else there, since the proof began.
    let auditing = root.text(path).ok().flatten().and_then(|text| manifest::read_auditing(&text.text).ok());
    if let Some(Err(why)) = auditing.map(|auditing| policy_of(root, &auditing))
        && !format!("{error:#}").contains(&why.to_string())
    {
        error = anyhow!("{error:#}; {why:#}");
    }
    doubts(root, path, advice).into_iter().fold(error, |error, doubt| anyhow!("{error:#}; {doubt}"))
}

/// Why the API server of a manifest does not have what the files say, and what to do, as `advice` says; empty if it has
/// it, or if this is not known.
fn doubts(root: &Root, path: &str, advice: &dyn Fn(State) -> &'static str) -> Vec<String> {
    let Ok(Some(manifest)) = root.text(path) else { return Vec::new() };
    let Some(running) = in_force::look(root, &manifest) else { return Vec::new() };
    let found = judge(&running, &manifest.text, &|path| Some(root.read(path, MAX_BYTES).ok()??.bytes));
    found.reasons.iter().map(|reason| format!("{}{}", reason.text, advice(found.state))).collect()
}

/// What to do about an API server that runs with something else.
fn advice(root: &Root, state: State) -> &'static str {
    match state {
        State::Differs | State::Pending if lock::is_held(root) => {
            "; another run works at this moment: wait for it to end (fuser names it), then run verify again"
        }
        State::Differs => "; run kube-audit-bootstrap apply --wait 5m, which restarts it",
        State::Pending => "; the kubelet is about to restart it",
        State::Ok | State::Starting | State::Silent | State::Unknown => "",
    }
}

/// How long running requests have to end before the program ends the API server that a plan replaces; `None` if the
/// program does not end it.
pub fn drain_of(plan: &Plan, restart: Restart) -> Option<Duration> {
    match restart {
        // An API server whose log is moved away must have its time to write it.
        Restart::Quick(drain) if plan.follow_up.is_none() => Some(drain),
        Restart::Quick(_) | Restart::Graceful => None,
    }
}

/// The process of the previous manifest, and where its events go.
fn find_ending(manifest: &[u8], processes: &[Process]) -> Option<(Process, EventSink)> {
    find_replaced(processes, &manifest::read_auditing(text_of(manifest).ok()?).ok()?)
}

/// The process that runs with the flags of the previous manifest, and where its events go. `None` if no process does,
/// or more than one: then the program does not know which one to end.
fn find_replaced(processes: &[Process], auditing: &Auditing) -> Option<(Process, EventSink)> {
    let its: Vec<_> = processes.iter().filter(|process| process.is(&auditing.flags, &auditing.words)).collect();
    let [process] = its[..] else { return None };
    let has = |flag: &str| auditing.flags.contains_key(flag);
    let events = match &auditing.log {
        _ if !has("audit-policy-file") => EventSink::None,
        _ if has("audit-webhook-config-file") => EventSink::Elsewhere,
        // A throttled log gets its last events with pauses, so a pause does not mean its end.
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
    /// There is no proof, and the changes were rolled back: why, and how the rollback went.
    PutBack(String),
}

/// What a rollback left: whole files, and what others changed in files that it took its own lines out of.
fn exceptions(left: &[String], shared: &[String]) -> String {
    let mut but = match left {
        [] => String::new(),
        left => format!(
            ", except for {}, which something else has changed in the meantime, or still needs",
            left.join(", ")
        ),
    };
    if !shared.is_empty() {
        but += &format!(", except for what something else has changed in {}, which stays", shared.join(", "));
    }
    but
}

/// Waits up to `limit` for the proof that the API server of the manifest at `path` audits. If there is none, rolls back
/// the changes in the backup `id`, and waits up to `limit` again for the API server to return.
///
/// # Errors
///
/// The rollback failed; the error says what is where. Or there is no proof, and no backup to roll back.
pub fn prove_or_go_back(
    root: &Root,
    path: &str,
    mut before: Before,
    id: Option<&str>,
    limit: Duration,
) -> Result<Verdict> {
    let start = Instant::now();
    let read =
        || Ok::<_, anyhow::Error>(root.text(path)?.with_context(|| format!("{path}: the manifest is gone"))?.text);
    let processes = before.processes.clone();
    let drain = before.drain;
    let mut written = before.written.clone();
    let mut outgoing = None;
    let mut prove = || -> Result<Proved> {
        // Something else may have changed the manifest already, or it is hidden.
        let text = match &written {
            Some(written) => written.clone(),
            None => written.insert(read()?).clone(),
        };
        let mut watch = Watch::begin(root, path, text, &before)?;
        (watch.outgoing, watch.hidden) = (before.outgoing.take(), before.hidden.take());
        let proved = watch.prove(root, limit);
        outgoing = watch.outgoing.take();
        proved
    };
    let why = match prove() {
        Ok(proved) => return Ok(Verdict::Proved(proved)),
        // Before the rollback: it takes away what shows the cause.
        Err(why) => format!("{:#}", explained(root, path, why, &|_| "")),
    };
    let Some(id) = id else {
        bail!(
            "{why}; this run changed nothing, so there is nothing to roll back; for earlier runs, see restore --list"
        )
    };
    let returned_in =
        |back, limit| Watch::for_return(root, path, back).and_then(|mut watch| watch.prove(root, limit));
    let returned = |back| returned_in(back, limit);
    if read().is_ok_and(|now| written.is_some_and(|written| now != written)) {
        progress(start.elapsed(), &format!("{why}; waiting for the API server of the manifest that is there now"));
        if returned(Before::default()).is_ok() {
            // The advice comes at the end.
            let why = why.replace(AGAIN, "");
            bail!(
                "{why}; the API server of the manifest that is there now answers, so nothing is rolled back; look at {path}, \
                 and run apply --wait 5m, or restore {id} to put back what this run changed"
            );
        }
    }
    progress(start.elapsed(), &format!("{why}; rolling back"));
    // A process that failed must not count as the one that returns, nor one that ends because its manifest was changed.
    let outgoing = outgoing.filter(|(outgoing, _)| outgoing.is_ending());
    let is_ending =
        |process: &Process| outgoing.as_ref().is_some_and(|(outgoing, _)| outgoing.process == *process);
    let mut failed = processes_of(root, path);
    failed.retain(|process| !processes.contains(process) || is_ending(process));
    let (RollBack { changes, mut left, shared, keeps_settings }, mut back) = match put_back(root, path, id, drain)
    {
        Ok(done) => done,
        Err(error) => {
            let rest = format!(
                "run restore {id} to put back what else this run changed; the copies are in {BACKUPS}/{id}"
            );
            pending::put_manifest_back(root, path)
                .with_context(|| format!("{why}; and the rollback failed: {error:#}; {rest}"))?;
            let returned = returned(Before { processes: failed, ..Before::default() });
            bail!("{why}; {}; {rest}", manifest_alone(&error, returned.map(drop)));
        }
    };
    back.processes = if changes.iter().any(|change| change.path() == path) { failed } else { Vec::new() };
    // One that has begun to end must have the time to end, and the next one the time to start.
    let ending = outgoing.as_ref().map(|(_, drain)| *drain + RETURN);
    back.outgoing = outgoing.or(back.outgoing);
    // A manifest that stays with its settings needs the same settings at the next upgrade.
    let audits = |text: &String| {
        manifest::read_auditing(text).is_ok_and(|auditing| auditing.flags.contains_key(POLICY_FLAG))
    };
    let keeps = keeps_settings || left.iter().any(|left| left == path) && read().is_ok_and(|text| audits(&text));
    if keeps {
        left.push(KUBEADM_CONFIG.to_owned());
    }
    let written = back.written.clone();
    let returned = returned_in(back, ending.map_or(limit, |ending| limit.max(ending)));
    // What somebody else wrote while the kubelet ended the pod counts.
    left.extend(written.filter(|written| read().is_ok_and(|now| now != *written)).map(|_| path.to_owned()));
    let but = exceptions(&left, &shared);
    // Try this in any case: an API server that answers can put back the cluster's kubeadm configuration.
    let cluster = if keeps { Ok(()) } else { put_cluster_back(root, id) };
    if cluster.is_ok() {
        pending::mark_rollback(root, None)?;
    }
    let problems: Vec<_> = [returned.map(drop), cluster].into_iter().filter_map(Result::err).collect();
    let is_gone = matches!(root.look(path), Ok(None));
    Ok(Verdict::PutBack(format!("{why}; {}", how_it_ended(path, id, &but, &problems, is_gone))))
}

/// What a rollback says that could put back nothing but the manifest.
fn manifest_alone(error: &anyhow::Error, returned: Result<()>) -> String {
    let api_server = match returned {
        Ok(()) => "the API server answers again".to_owned(),
        Err(error) => format!("the API server has not returned: {error:#}"),
    };
    format!("only the manifest could be rolled back ({error:#}), and {api_server}")
}

/// What a rollback of the backup `id` says at its end. `but`: the exceptions. `is_gone`: there is no manifest, because
/// something else removed it.
fn how_it_ended(path: &str, id: &str, but: &str, problems: &[anyhow::Error], is_gone: bool) -> String {
    match problems {
        _ if is_gone => format!(
            "the node's files are as they were before {id}{but}; no API server runs without its manifest: run \
             kube-audit-bootstrap restore {id} --force, which puts {path} back as it was before {id}"
        ),
        [] => format!("everything is as it was before {id}{but}, and the API server answers again"),
        problems => format!(
            "the node's files are as they were before {id}{but}; but there are problems: {}; look at the kubelet's log and \
             at {path}, and run restore {id} --dry-run, which shows what else is to be put back",
            problems.iter().map(|problem| format!("{problem:#}")).collect::<Vec<_>>().join("; ")
        ),
    }
}

/// Rolls back the files of the backup `id`, and returns what was done, and what there was before. `drain`: as for
/// [`Before::of_change`].
///
/// # Errors
///
/// The rollback failed.
fn put_back(root: &Root, path: &str, id: &str, drain: Option<Duration>) -> Result<(RollBack, Before)> {
    hidden::unhide(root, path)?;
    let restore = way_back::plan(&restore::look(root, Some(id))?, false);
    restore.notes.iter().for_each(|note| log::info!("{note}"));
    let manifest = root.text(path)?;
    let present = manifest.as_ref().map_or(Present::Absent, |manifest| Present::Text(&manifest.text));
    let is_in_cluster = restore.cluster_stays.is_some()
        || restore.changes.iter().any(|change| matches!(change, Change::WriteCluster { .. }));
    let real = |path: &str| root.leads_to(path).unwrap_or_else(|| path.to_owned());
    let beside = super::restore::beside(root, kubelet::Kubelet::of(root).ok().as_ref(), path, manifest.as_ref());
    let around = Around { beside: &beside, kubeadm: &[], real: &real };
    let mut back = way_back::roll_back(restore, path, present, &around);
    if let Err(unstarted) = super::restore::judge(root, path, present, &back.changes) {
        log::warn!("the API server that is put back does not start: {}", unstarted.why);
    }
    if let Err(refusal) = super::restore::restart(root, &mut back.changes, manifest.as_ref()) {
        log::warn!(
            "{path}:{refusal}; the API server goes on with the policy that it has: restart it, with crictl stop \
             $(crictl ps -q --name kube-apiserver)"
        );
    }
    let obstacles = obstacle::of_changes(root, &back.changes)?;
    let (stay, met) = meet_back(&mut back.changes, obstacles, "");
    met.map_err(|why| anyhow!(why))?;
    for (path, note) in stay {
        log::warn!("{note}");
        back.left.push(path);
    }
    let change = back.changes.iter().find(|change| change.path() == path);
    let mut before = change.and_then(|change| Before::of_change(root, change, drain)).unwrap_or_default();
    let now = SystemTime::now();
    if is_in_cluster && !back.keeps_settings {
        pending::mark_rollback(root, Some(id))?;
    }
    let executed = transaction::execute_hiding(root, &back.changes, &Why::RollBack, now, before.hide.take())?;
    back.left.extend(executed.left.into_iter().map(|(path, _)| path));
    before.hidden = executed.hidden;
    Ok((back, before))
}

/// Puts back the cluster's kubeadm configuration from the backup `id`, because its API server answers again.
///
/// # Errors
///
/// It was changed since, or the API server does not answer.
fn put_cluster_back(root: &Root, id: &str) -> Result<()> {
    let mut restore = way_back::plan(&restore::look(root, Some(id))?, false);
    restore.changes.retain(|change| matches!(change, Change::WriteCluster { .. }));
    transaction::execute(root, &restore.changes, &Why::RollBack, SystemTime::now())?;
    restore.cluster_stays.map_or(Ok(()), |why| Err(anyhow!(why)))
}

/// Puts back the cluster's kubeadm configuration, if a rollback was interrupted before it did that.
///
/// # Errors
///
/// The records can't be read, or another run has the lock for longer than `patience`.
pub fn finish_rollback(root: &Root, path: &str, patience: Duration) -> Result<()> {
    if pending::unfinished_rollback(root, path)?.is_none() {
        return Ok(());
    }
    let _lock = Lock::take(root, patience)?;
    // The run that had the lock may have been that one.
    let Some(id) = pending::unfinished_rollback(root, path)? else { return Ok(()) };
    match put_cluster_back(root, &id) {
        Ok(()) => pending::end(root, path),
        Err(why) => log::warn!("the rollback of {id} is not finished: {why:#}"),
    }
    Ok(())
}

/// The policy that the flags name; `None` if they name none on this node.
///
/// # Errors
///
/// It does not exist, or is not a policy.
fn policy_of(root: &Root, auditing: &Auditing) -> Result<Option<Policy>> {
    let Some(path) = &auditing.policy else { return Ok(None) };
    let text = if root.is_stand_in(path) { None } else { root.text(path)? };
    let text =
        text.with_context(|| format!("{path}: the policy does not exist; run kube-audit-bootstrap apply"))?;
    let (policy, findings) = policy::read::parse_as(&text.text, None, Reading::AsServed);
    let why = || match findings.iter().find(|finding| finding.severity == Severity::Error) {
        Some(finding) => format!("{path}:{finding}"),
        None => format!("{path}: this is not a policy; run kube-audit-bootstrap apply"),
    };
    policy.with_context(why).map(Some)
}

/// Prints a progress line: the time since the start of the wait, and what happened.
pub fn progress(after: Duration, what: &str) {
    log::info!(target: PROGRESS, "{:4} s  {what}", after.as_secs());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::DiskState;
    use crate::facts::Targets;
    use crate::node::testing::Node;
    use crate::plan::testing::{config, disk_state, facts, planned};
    use crate::storage::blank::Content;

    #[test]
    fn a_failed_proof_of_apply_names_the_file_that_the_api_server_lacks() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: kube-apiserver\n    image: a\n    \
                        command: [kube-apiserver, --audit-policy-file=/p, --audit-webhook-config-file=/w]\n";
        std::fs::write(directory.path().join("m"), manifest).unwrap();
        let ended = prove_or_go_back(&root, "/m", Before::default(), None, Duration::ZERO);
        let error = ended.unwrap_err().to_string();
        assert!(
            error.starts_with("/p: the policy does not exist; run kube-audit-bootstrap apply; /m:"),
            "{error}"
        );
        assert!(error.contains("--audit-webhook-config-file"), "{error}");
    }

    const AUDITED: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: kube-apiserver\n    image: a\n    \
                           command: [kube-apiserver, --audit-policy-file=/p, --audit-log-path=/l]\n    volumeMounts:\n    - {name: l, \
                           mountPath: /l}\n    - {name: p, mountPath: /p}\n  volumes:\n  - {name: l, hostPath: {path: /l}}\n  \
                           - {name: p, hostPath: {path: /p}}\n";

    /// A watch of the API server of [`AUDITED`], and a process that could be one.
    fn watched(node: &Node) -> (Watch, Process) {
        node.put("/p", "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n");
        node.put("/l", "");
        let arguments = ["kube-apiserver", "--audit-policy-file=/p", "--audit-log-path=/l"].map(str::to_owned);
        let watch = Watch::begin(&node.root, "/m", AUDITED.to_owned(), &Before::default()).unwrap();
        (watch, Process { pid: i32::MAX, started: 1, arguments: arguments.to_vec() })
    }

    #[test]
    fn what_another_process_did_is_no_evidence_of_the_one_that_answers_now() {
        let node = Node::new();
        let (mut watch, process) = watched(&node);
        let Auditing { flags, words, .. } = watch.auditing.clone();
        let mut proof = Proof::new(flags, words, vec![], true, RARE);
        let running = Sight { processes: vec![process.clone()], kubelet: true, ..Sight::default() };
        assert_eq!(proof.next(&running, Duration::ZERO), Next::Reached(ProofStage::Process));
        let before = watch.events.mark.clone();
        watch.events =
            Events { is_marked: true, newest: Some("9".to_owned()), quiet: Some(Instant::now()), ..watch.events };
        let seen = watch.look(&node.root, &proof, vec![process], true);
        assert!(!seen.answers && !watch.events.is_marked, "{seen:?}");
        assert_eq!((watch.events.newest, watch.events.quiet), (None, None));
        assert_ne!(watch.events.mark, before, "the event of a request to the other one may come late");
    }

    #[test]
    fn each_event_is_read_once() {
        let node = Node::new();
        let (mut watch, process) = watched(&node);
        let event = |second: u32, uri: &str| {
            format!("{{\"requestURI\":\"{uri}\",\"requestReceivedTimestamp\":\"2026-11-24T12:13:{second}.1Z\"}}\n")
        };
        let marked = format!("/version?{}", watch.events.mark);
        let mut log = String::new();
        for (more, newest, is_marked) in [
            (event(26, "/livez"), Some("20261124T121326Z"), false),
            (event(25, "/livez"), Some("20261124T121326Z"), false),
            (format!("{marked}\n"), Some("20261124T121326Z"), false),
            (event(27, &marked), Some("20261124T121327Z"), true),
            (event(28, "/livez"), Some("20261124T121328Z"), true),
        ] {
            log += &more;
            node.put("/l", &log);
            watch.read_events(&node.root, &process);
            assert_eq!((watch.events.newest.as_deref(), watch.events.is_marked), (newest, is_marked), "{log}");
        }
        watch.events = Events::none();
        watch.read_events(&node.root, &process);
        assert_eq!(watch.events.newest, None, "nothing is new");
    }

    #[test]
    fn the_old_process_is_ended_as_the_configuration_says() {
        let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: kube-apiserver\n    image: a\n    \
                        command: [kube-apiserver, --v=2]\n";
        let process =
            Process { pid: 7, started: 1, arguments: vec!["kube-apiserver".to_owned(), "--v=2".to_owned()] };
        let disk = || DiskState { content: Some(Content::Blank), ..disk_state() };
        let moves = "storage: {device: /dev/disk/by-id/x, format: ext4}";
        let ends = |config: &Config, plan: &Plan| {
            let drain = drain_of(plan, config.restart)?;
            let change = plan.changes.iter().find(|planned| planned.step == Step::Manifest)?;
            let Change::WriteFile { before: Some(old), .. } = &change.change else { return None };
            let (process, events) = find_ending(&old.bytes, std::slice::from_ref(&process))?;
            Some((process, events, drain))
        };
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
            let ends = ends(&config, &plan);
            let wanted = drain.map(|drain| (process.clone(), EventSink::None, Duration::from_secs(drain)));
            assert_eq!(ends, wanted, "{lines}");
        }
        let config = config("");
        let worker = planned(&config, &facts(None), &Targets::default());
        assert_eq!(ends(&config, &worker), None, "no manifest is changed");
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
