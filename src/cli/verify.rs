//! `verify`: proves that the API server that runs here audits; `apply --wait` does that too, and goes back where it fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use serde_json::{Value, json};

use super::{Common, Outcome, Overrides, configuration};
use crate::audit::flags;
use crate::audit::policy::{self, Policy};
use crate::config::Restart;
use crate::node::apiserver::{self, Tail};
use crate::node::backup::BACKUPS;
use crate::node::change::Change;
use crate::node::kubectl::Kubectl;
use crate::node::outgoing::Outgoing;
use crate::node::root::Root;
use crate::node::{backup, observe, transaction};
use crate::plan::{Plan, Step};
use crate::proof::{NO_KUBELET, Next, Process, Proof, Seen, Stage, Trace, trace};
use crate::wiring::manifest::{self, Auditing};

/// How often is looked.
const PAUSE: Duration = Duration::from_millis(200);

/// Prove that the API server of this node audits: it runs with the manifest's flags, answers, and writes an event
#[derive(Debug, Args)]
pub struct Verify {
    /// How long to wait for each of that, all in all
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    wait: Duration,
}

/// A duration on the command line.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration = flags::duration(text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "a duration such as 90s or 5m is expected".to_owned())
}

impl Verify {
    pub fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let root = common.open_root()?;
        let config = configuration(&root, common, &Overrides::default())?;
        let path = observe::manifest_path(&root, &config)?;
        if !root.is_host() {
            bail!("{}: only what runs can be verified; leave --root out", common.root.display());
        }
        let Some(manifest) = observe::read(&root, &path)? else {
            if !apiserver::processes().0.is_empty() {
                bail!(
                    "{path}: the manifest isn't there, but an API server runs; set manifest.path to the file that is meant"
                );
            }
            let what = format!("there is no API server here: {path} doesn't exist");
            print(common, out, &what, json!({"proved": null, "reason": what}));
            return Ok(Outcome::Done);
        };
        let auditing = manifest::auditing(&manifest.text).map_err(|refusal| anyhow!("{path}:{refusal}"))?;
        if !auditing.flags.contains_key("audit-policy-file") {
            bail!("{path}: the manifest has no audit flags; run kube-audit-bootstrap apply");
        }
        let proved = Watch::begin(&root, &path, auditing, Vec::new())?.prove(&root, self.wait)?;
        print(common, out, &proved.text(), proved.document());
        Ok(Outcome::Done)
    }
}

fn print(common: &Common, out: &mut String, text: &str, document: Value) {
    let _ = match common.json() {
        true => writeln!(out, "{document:#}"),
        false => writeln!(out, "{text}"),
    };
}

/// How it was proved.
#[derive(Debug)]
pub struct Proved {
    process: Process,
    evidence: Evidence,
    after: Duration,
}

/// What was seen of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evidence {
    Question(&'static str),
    Traffic,
    /// The policy records nothing.
    Nothing,
    /// They go to a webhook alone.
    Elsewhere,
}

impl Proved {
    pub fn text(&self) -> String {
        let how = match self.evidence {
            Evidence::Question(path) => format!("it recorded a request for {path}"),
            Evidence::Traffic => "it recorded what the cluster does".to_owned(),
            Evidence::Nothing => "and answers; its policy records nothing, so no event was waited for".to_owned(),
            Evidence::Elsewhere => {
                "and answers; its events go to a webhook, where nobody looked for one".to_owned()
            }
        };
        let runs = "runs with the audit flags of the manifest";
        format!("the API server (process {}) {runs}: {how}, after {} s", self.process.pid, self.after.as_secs())
    }

    pub fn document(&self) -> Value {
        let event = match self.evidence {
            Evidence::Question(path) => Some(path),
            Evidence::Traffic => Some("traffic"),
            Evidence::Nothing | Evidence::Elsewhere => None,
        };
        json!({"proved": true, "process": self.process.pid, "event": event, "seconds": self.after.as_secs_f64()})
    }
}

/// Where events are found.
#[derive(Debug)]
enum Events {
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
    events: Events,
    /// In the path of our question, so that its event is known.
    mark: String,
}

impl Watch {
    /// Begins to watch for the API server of the manifest at `path`, with these flags, that is none of `old`.
    ///
    /// Errors: the policy can't be read; the flags lead events nowhere.
    pub fn begin(root: &Root, path: &str, auditing: Auditing, old: Vec<Process>) -> Result<Watch> {
        let events = match (&auditing.log, auditing.flags.get("audit-log-path").map(String::as_str)) {
            (Some(log), _) => Events::File(Tail::from_now(log)),
            (None, Some("-")) => Events::Container,
            (None, _) if auditing.flags.contains_key("audit-webhook-config-file") => Events::Nowhere,
            (None, _) => {
                bail!("{path}: the audit flags name no log and no webhook, so the API server drops every event")
            }
        };
        let evidence = match (policy_of(root, &auditing)?.as_ref().map_or(Trace::Nothing, trace), &events) {
            (Trace::Nothing, _) => Evidence::Nothing,
            (_, Events::Nowhere) => Evidence::Elsewhere,
            (Trace::Question(path), _) => Evidence::Question(path),
            (Trace::Traffic, _) => Evidence::Traffic,
        };
        let unique = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Ok(Watch {
            path: path.to_owned(),
            auditing,
            evidence,
            old,
            outgoing: None,
            logs: apiserver::container_logs(),
            events,
            mark: format!("kube-audit-bootstrap={unique:x}"),
        })
    }

    /// Begins to watch for the return of an API server, whose events don't matter. The one of before will do: the kubelet may not have
    /// ended it yet.
    fn begin_again(path: &str, auditing: Auditing) -> Watch {
        Watch {
            path: path.to_owned(),
            auditing,
            evidence: Evidence::Nothing,
            old: Vec::new(),
            outgoing: None,
            logs: apiserver::container_logs(),
            events: Events::Nowhere,
            mark: String::new(),
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
            let (processes, kubelet) = apiserver::processes();
            let listens = self.outgoing.as_ref().is_some_and(|(outgoing, _)| outgoing.listens());
            let mut seen = Seen { processes, kubelet, starts: self.new_logs().len(), listens, ..Seen::default() };
            if let Some(process) = proof.process().filter(|process| seen.processes.contains(process)) {
                seen.answers = proof.stage() == Stage::Answer && apiserver::answers(process);
                seen.event = proof.stage() == Stage::Event && self.has_event(process);
            }
            let after = start.elapsed();
            match proof.next(&seen, after) {
                Next::Reached(reached) => progress(after, reached.reached()),
                Next::Proved => {
                    progress(after, proof.stage().reached());
                    let process = proof.process().cloned().context("the API server is gone")?;
                    let evidence = match self.evidence {
                        // Nobody was asked.
                        Evidence::Question(_) if Kubectl::of(&process).is_none() => Evidence::Traffic,
                        evidence => evidence,
                    };
                    return Ok(Proved { process, evidence, after });
                }
                Next::Nudge => {
                    progress(after, "the kubelet hasn't noticed the manifest; it is shown again");
                    apiserver::show_again(root, &self.path)?;
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
                Next::Failed(why) => bail!("{why}{}", self.last_words()),
            }
        }
    }

    /// Is the event in the log that is waited for?
    fn has_event(&self, process: &Process) -> bool {
        match (self.evidence, Kubectl::of(process)) {
            (Evidence::Question(path), Some(kubectl)) => {
                // Asked each time: the API server, new as it is, may have refused the one before.
                self.text().contains(&self.mark) || {
                    let _ = kubectl.get(&format!("{path}?{}", self.mark));
                    self.text().contains(&self.mark)
                }
            }
            _ => {
                let Some(start) = apiserver::start_time(process).map(backup::stamp) else { return false };
                self.text().lines().any(|line| event_time(line).is_some_and(|time| time > start))
            }
        }
    }

    /// What was written where the events go.
    fn text(&self) -> String {
        match &self.events {
            Events::File(tail) => tail.text().unwrap_or_default(),
            Events::Container => apiserver::newest_text(&apiserver::container_logs()).unwrap_or_default(),
            Events::Nowhere => String::new(),
        }
    }

    fn new_logs(&self) -> BTreeMap<PathBuf, SystemTime> {
        let mut logs = apiserver::container_logs();
        logs.retain(|path, _| !self.logs.contains_key(path));
        logs
    }

    fn last_words(&self) -> String {
        match apiserver::newest_words(&self.new_logs()) {
            Some(words) => format!("; it said: {words}"),
            None => String::new(),
        }
    }
}

/// Does a kubelet run, or one again in a moment?
pub fn kubelet_runs() -> bool {
    let start = Instant::now();
    while !apiserver::processes().1 {
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
        let manifest = plan.changes.iter().find_map(|planned| match &planned.change {
            Change::WriteFile { before, .. } if planned.step == Step::Manifest => before.as_ref(),
            _ => None,
        });
        let Some(manifest) = manifest else { return Before::default() };
        let processes = apiserver::processes().0;
        let mut before = Before { processes, outgoing: None };
        let (Restart::Quick(drain), Ok(text)) = (restart, observe::text_of(&manifest.bytes)) else {
            return before;
        };
        let Ok(auditing) = manifest::auditing(text) else { return before };
        // One that runs with other flags, or one of two, isn't known well enough to be ended.
        let is_its = |process: &&Process| process.is(&auditing.flags, &auditing.words);
        if let [process] = before.processes.iter().filter(is_its).collect::<Vec<_>>()[..] {
            let has = |flag: &str| auditing.flags.contains_key(flag);
            let audits = has("audit-policy-file") && (has("audit-log-path") || has("audit-webhook-config-file"));
            before.outgoing = Some((Outgoing::of(process.clone(), audits), drain));
        }
        before
    }

    /// What ran before a run that was killed wrote this set, as far as it still runs.
    pub fn of_killed(set: &backup::Set, manifest: &str) -> Before {
        let mut processes = apiserver::processes().0;
        let is_older = |process: &Process| {
            apiserver::start_time(process).is_some_and(|start| backup::stamp(start).as_str() < set.id.as_str())
        };
        processes.retain(|process| set.records.iter().any(|record| record.path == manifest) && is_older(process));
        Before { processes, outgoing: None }
    }
}

/// Proves what a run that just ended has made of the node with the manifest at `path`. Where that can't be
/// proved, everything of its backup set `id` goes back, and the API server's return is awaited: the inner error says why, and how that went.
///
/// Errors: the node could not be put back, and what is where; without a set, why it can't be proved.
pub fn prove_or_go_back(
    root: &Root,
    path: &str,
    before: Before,
    id: Option<&str>,
    limit: Duration,
) -> Result<Result<Proved, String>> {
    let auditing = || -> Result<Auditing> {
        let text = observe::read(root, path)?.with_context(|| format!("{path}: the manifest is gone"))?.text;
        manifest::auditing(&text).map_err(|refusal| anyhow!("{path}:{refusal}"))
    };
    let start = Instant::now();
    let prove = || -> Result<Proved> {
        let mut watch = Watch::begin(root, path, auditing()?, before.processes)?;
        watch.outgoing = before.outgoing;
        watch.prove(root, limit)
    };
    let why = match prove() {
        Ok(proved) => return Ok(Ok(proved)),
        Err(why) => format!("{why:#}"),
    };
    let Some(id) = id else {
        bail!("{why}; this run changed nothing, so nothing is put back: see restore --list")
    };
    progress(start.elapsed(), &format!("{why}; putting everything back"));
    // What somebody else wrote meanwhile stays, but the API server must come back.
    let go_back = |of_cluster: bool| -> Result<Vec<String>> {
        let mut restore = backup::restore_changes(root, Some(id))?;
        restore.changes.retain(|change| {
            of_cluster == matches!(change, Change::WriteCluster { .. })
                && !restore.foreign.iter().any(|path| path == change.path())
        });
        transaction::execute(root, &restore.changes, backup::RESTORE, SystemTime::now())?;
        Ok(restore.foreign)
    };
    let foreign = go_back(false).with_context(|| {
        format!("{why}; and what this run changed could not be put back: try restore {id}, whose copies are in {BACKUPS}/{id}")
    })?;
    let but = match foreign.as_slice() {
        [] => String::new(),
        foreign => format!(", but for {}, changed by somebody else meanwhile", foreign.join(", ")),
    };
    let returned = auditing().and_then(|auditing| Watch::begin_again(path, auditing).prove(root, limit));
    // Only now is there an API server that can be asked.
    let ended = match returned.and_then(|_| go_back(true)) {
        Ok(_) => format!("everything is as it was before {id}{but}, and the API server answers again"),
        Err(error) => format!(
            "the node's files are as they were before {id}{but}; not all is well: {error:#}; look at the kubelet's log, at \
             {path}, and at restore {id} --dry-run"
        ),
    };
    Ok(Err(format!("{why}; {ended}")))
}

/// The policy that the flags name.
fn policy_of(root: &Root, auditing: &Auditing) -> Result<Option<Policy>> {
    let Some(path) = &auditing.policy else { return Ok(None) };
    let text = observe::read(root, path)?.with_context(|| format!("{path}: the policy isn't there"))?;
    let (policy, findings) = policy::parse(&text.text, None);
    let why = || match findings.first() {
        Some(finding) => format!("{path}:{finding}"),
        None => format!("{path}: this is no policy"),
    };
    policy.with_context(why).map(Some)
}

/// When an event happened, as [`backup::stamp`] writes it: in JSON, or in the legacy format, where a line begins with it.
fn event_time(line: &str) -> Option<String> {
    let rest = match line.split_once("\"requestReceivedTimestamp\":\"") {
        Some((_, rest)) => rest,
        None => line.split_once(" AUDIT: ").map(|(before, _)| before.rsplit(' ').next().unwrap_or(before))?,
    };
    let (seconds, _) = rest.split_once(['.', '"', 'Z'])?;
    let plain: String = seconds.chars().filter(|c| !matches!(c, '-' | ':' | 'Z')).collect();
    Some(plain + "Z")
}

/// A line for whoever waits.
pub fn progress(after: Duration, what: &str) {
    log::info!(target: super::log::PROGRESS, "{:4} s  {what}", after.as_secs());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_events_time_compares_with_a_stamp() {
        let line = r#"{"kind":"Event","requestReceivedTimestamp":"2026-11-24T12:13:26.123456Z","stage":"x"}"#;
        assert_eq!(event_time(line).as_deref(), Some("20261124T121326Z"));
        assert!(event_time(line).unwrap() > backup::stamp(UNIX_EPOCH));
        let legacy = "2026-11-24T12:13:26.123456Z AUDIT: id=\"x\" stage=\"ResponseComplete\"";
        assert_eq!(event_time(legacy).as_deref(), Some("20261124T121326Z"));
        let in_container = format!("2026-11-24T12:13:27.1Z stdout F {legacy}");
        assert_eq!(event_time(&in_container).as_deref(), Some("20261124T121326Z"));
        assert_eq!(event_time("{\"kind\":\"Event\""), None);
        assert_eq!(event_time("\"requestReceivedTimestamp\":\""), None);
    }

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "5", "-5s", "0s", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
