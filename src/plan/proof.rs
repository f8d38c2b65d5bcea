//! Decides when it is proved that the API server audits, and what to do next. `node::apiserver` observes the API
//! server.
//!
//! A proof has three stages, one after the other: a process with the manifest's audit flags; its answer; and an event
//! in the log that was written after the process started.

use std::time::Duration;

use crate::audit::flags::Flags;
use crate::audit::policy::evaluate::{Request, Target, evaluate};
use crate::audit::policy::{Level, Policy, Stage};
use crate::facts::asker::Asker;
use crate::facts::server::{Process, Remains};

use super::hiding::{Back, HiddenSight, Hiding};

/// The proof fails early if the API server was started at least [`STARTS`] times, and none has run for [`ENDED`]. The
/// kubelet restarts a container at once, then after 10 s, after 20 s and so on.
const STARTS: usize = 2;
const ENDED: Duration = Duration::from_secs(3);

/// How long the kubelet can be down: after a restart it is back at once, after a crash in 10 s (`RestartSec` of its
/// unit).
pub const NO_KUBELET: Duration = Duration::from_secs(12);

/// What is said of a kubelet that doesn't run.
pub const KUBELET_STOPPED: &str = "the kubelet doesn't run, and nothing else starts the API server; start it with systemctl start \
                                   kubelet; journalctl -u kubelet says why it ended";

/// After this time the kubelet must have begun to end the previous API server: it reads the manifest directory every
/// 20 s (`fileCheckFrequency`).
const UNNOTICED: Duration = Duration::from_secs(60);

/// How long the kubelet may take to notice a manifest that was changed: it looks every 20 s, if nothing tells it. What
/// still runs then is what it runs for the manifest.
const NOTICED: Duration = Duration::from_secs(25);

/// How long before the end of the previous process it is asked whether it has closed its audit backend: a second, in
/// which its log must not grow, and the time until the answer is in the messages of the process.
const LEAD: Duration = Duration::from_millis(1500);

/// What the proof waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofStage {
    /// A process with the manifest's audit flags; if the manifest is new, a new process.
    Process,
    Answer,
    Event,
}

impl ProofStage {
    /// What is known at the end of the stage, for people.
    pub fn reached(self) -> &'static str {
        match self {
            ProofStage::Process => "it runs with the flags of the manifest",
            ProofStage::Answer => "it answers",
            ProofStage::Event => "it has written an event",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            ProofStage::Process => "see journalctl -u kubelet, and the containers (crictl ps -a)",
            ProofStage::Answer => "see its log (crictl ps -a, crictl logs)",
            ProofStage::Event => "see its log (crictl ps -a, crictl logs), and its flags",
        }
    }

    fn missing(self) -> &'static str {
        match self {
            ProofStage::Process => "no API server runs with the audit flags of the manifest",
            ProofStage::Answer => "the API server runs, but doesn't answer",
            ProofStage::Event => "the API server answers, but has written no event that its policy asks for",
        }
    }
}

/// What was observed at one moment.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    pub processes: Vec<Process>,
    /// Does the kubelet run, which starts and ends the API server?
    pub kubelet: bool,
    /// Does the API server answer?
    pub answers: bool,
    /// Has it written an event since its process started?
    pub event: bool,
    /// Does the previous process, which is being replaced, still accept connections?
    pub listens: bool,
    /// The number of API server containers that were started since the proof began.
    pub starts: usize,
    /// The last one ended because it found no etcd, which says nothing about its flags.
    pub lacks_etcd: bool,
    /// What the kubelet still has of the previous pod, if the manifest is hidden.
    pub remains: Option<Remains>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Wait,
    /// A stage is complete.
    Reached(ProofStage),
    /// The kubelet has not noticed the new manifest: write it again.
    Nudge,
    /// The previous process has closed its listener. It has this time to finish its open requests.
    Closed(Duration),
    /// That time is nearly over: find out whether it has closed its audit backend already.
    Ask,
    /// That time is over: end the previous process.
    End,
    /// No kubelet has run for longer than a restart takes. The proof goes on.
    NoKubelet,
    /// The manifest is hidden: put it in place.
    Show(Back),
    Proved,
    /// Why there is no proof.
    Failed(String),
}

/// The previous process, which is being replaced.
#[derive(Debug)]
struct Ending {
    process: Process,
    /// The time that open requests have to finish after the listener is closed.
    drain: Duration,
    listened: bool,
    closed: Option<Duration>,
    asked: bool,
    ended: bool,
}

impl Ending {
    /// `after`: the time since the proof began. A listener that was never seen open does not show that the kubelet has
    /// begun to end the process. The kubelet may be quicker than the first look here, so `listened` begins with what
    /// was seen before the manifest was changed.
    fn next(&mut self, seen: &Sight, after: Duration) -> Option<Next> {
        if self.ended || !seen.processes.contains(&self.process) {
            return None;
        }
        if seen.listens {
            (self.listened, self.closed) = (true, None);
            return None;
        }
        let Some(closed) = self.closed else {
            self.closed = self.listened.then_some(after);
            return self.closed.map(|_| Next::Closed(self.drain));
        };
        self.ended = after >= closed + self.drain;
        if self.ended {
            return Some(Next::End);
        }
        let asks = !self.asked && after >= closed + self.drain.saturating_sub(LEAD);
        self.asked |= asks;
        asks.then_some(Next::Ask)
    }
}

/// A proof that has not ended yet.
#[derive(Debug)]
pub struct Proof {
    flags: Flags,
    /// The other words of the manifest's command line: this machine may also run the API server of another cluster in
    /// containers.
    words: Vec<String>,
    /// The previous processes, none of which counts; empty if the manifest is not new.
    old: Vec<Process>,
    /// Does the proof wait for an event?
    wants_event: bool,
    limit: Duration,
    stage: ProofStage,
    process: Option<Process>,
    /// Since when no API server runs; as all times here, counted from the start of the proof.
    empty: Option<Duration>,
    /// Since when no kubelet runs, and whether that was told.
    without_kubelet: Option<Duration>,
    told_kubelet: bool,
    nudged: bool,
    ending: Option<Ending>,
    hiding: Hiding,
    /// The processes that ran when the manifest was changed during the proof. They count from `settled` on.
    earlier: Vec<Process>,
    settled: Duration,
}

impl Proof {
    /// Starts a proof that an API server runs with these audit flags and words, is none of `old`, answers, and, if
    /// `wants_event`, writes an event. All of this must happen within `limit`.
    pub fn new(flags: Flags, words: Vec<String>, old: Vec<Process>, wants_event: bool, limit: Duration) -> Self {
        Self {
            flags,
            words,
            old,
            wants_event,
            limit,
            stage: ProofStage::Process,
            process: None,
            empty: None,
            without_kubelet: None,
            told_kubelet: false,
            nudged: false,
            ending: None,
            hiding: Hiding::default(),
            earlier: Vec::new(),
            settled: Duration::ZERO,
        }
    }

    /// Begins again, because the manifest was changed: these are its flags and words now. `running`: the processes at
    /// that moment. The kubelet ends them, unless the change means nothing to it.
    pub fn begin_again(
        &mut self,
        (flags, words): (Flags, Vec<String>),
        wants_event: bool,
        running: &[Process],
        after: Duration,
    ) {
        (self.flags, self.words, self.wants_event) = (flags, words, wants_event);
        (self.stage, self.process) = (ProofStage::Process, None);
        (self.earlier, self.settled) = (running.to_vec(), after + NOTICED);
    }

    /// Lets the proof end the previous process when its listener has been closed for `drain`, as the process would
    /// stay longer. `listened`: whether the process accepted connections before the manifest was changed.
    pub fn ending(mut self, process: Process, drain: Duration, listened: bool) -> Self {
        self.ending = Some(Ending { process, drain, listened, closed: None, asked: false, ended: false });
        self
    }

    /// The process that the proof is about at the moment.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// The stage that the proof waits for.
    pub fn stage(&self) -> ProofStage {
        self.stage
    }

    /// Whether a hidden manifest comes back now, and why.
    fn back(&mut self, seen: &Sight, after: Duration) -> Option<Back> {
        let remains = seen.remains?;
        let runs = self.ending.as_ref().is_some_and(|ending| seen.processes.contains(&ending.process));
        let sight = HiddenSight { runs, listens: seen.listens, kubelet: seen.kubelet, remains };
        self.hiding.next(sight, after)
    }

    /// Decides what to do next. `seen`: what was observed; `after`: the time since the proof began.
    pub fn next(&mut self, seen: &Sight, after: Duration) -> Next {
        self.empty = if seen.processes.is_empty() { self.empty.or(Some(after)) } else { None };
        self.without_kubelet = if seen.kubelet { None } else { self.without_kubelet.or(Some(after)) };
        self.told_kubelet &= !seen.kubelet;
        if self.process.as_ref().is_some_and(|process| !seen.processes.contains(process)) {
            // The process ended. If the kubelet starts another one, the proof begins again.
            self.process = None;
            self.stage = ProofStage::Process;
        }
        let reached = match self.stage {
            ProofStage::Process => {
                let counts = |one: &Process| after >= self.settled || !self.earlier.contains(one);
                let is_it =
                    |one: &&Process| one.is(&self.flags, &self.words) && !self.old.contains(one) && counts(one);
                self.process = seen.processes.iter().find(is_it).cloned();
                self.process.is_some()
            }
            ProofStage::Answer => seen.answers,
            ProofStage::Event => seen.event,
        };
        match (self.stage, reached) {
            (ProofStage::Process, true) => {
                self.stage = ProofStage::Answer;
                return Next::Reached(ProofStage::Process);
            }
            (ProofStage::Answer, true) if self.wants_event => {
                self.stage = ProofStage::Event;
                return Next::Reached(ProofStage::Answer);
            }
            (ProofStage::Answer | ProofStage::Event, true) => return Next::Proved,
            (_, false) => {}
        }
        if let Some(back) = self.back(seen, after) {
            return Next::Show(back);
        }
        if let Some(next) = self.ending.as_mut().and_then(|ending| ending.next(seen, after)) {
            return next;
        }
        if self.process.is_none() {
            if !self.told_kubelet && self.without_kubelet.is_some_and(|since| after >= since + NO_KUBELET) {
                self.told_kubelet = true;
                return Next::NoKubelet;
            }
            if seen.starts >= STARTS && !seen.lacks_etcd && self.empty.is_some_and(|since| after >= since + ENDED)
            {
                return Next::Failed(format!(
                    "the API server was started {} times and ended each time; see its log (crictl ps -a, crictl logs)",
                    seen.starts
                ));
            }
            let unnoticed = !self.old.is_empty() && self.old.iter().all(|old| seen.processes.contains(old));
            if unnoticed && seen.kubelet && !self.nudged && after > UNNOTICED {
                self.nudged = true;
                return Next::Nudge;
            }
        }
        if after > self.limit {
            if self.process.is_none() && self.without_kubelet.is_some() {
                return Next::Failed(KUBELET_STOPPED.to_owned());
            }
            return Next::Failed(format!(
                "{} after {} s; {}",
                self.stage.missing(),
                self.limit.as_secs(),
                self.stage.advice()
            ));
        }
        Next::Wait
    }
}

/// Requests that change nothing.
const QUESTIONS: [&str; 5] =
    ["/version", "/healthz", "/apis", "/api/v1/namespaces/kube-system", "/api/v1/namespaces/kube-system/pods"];

/// How to make an API server write an event under a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// By a request for this path, which the policy records.
    Question(&'static str),
    /// By the requests that the cluster makes anyway.
    Traffic,
    /// Not possible: the policy records nothing.
    Nothing,
}

/// Finds out how to make an API server write an event under a policy. `asker`: who can ask it, if anybody.
pub fn find_trace(policy: &Policy, asker: Option<Asker>) -> Trace {
    if policy.rules.iter().all(|rule| rule.level == Level::None) {
        return Trace::Nothing;
    }
    let Some((user, user_groups)) = asker.and_then(Asker::user) else { return Trace::Traffic };
    let is_recorded = |path: &str| {
        user_groups.iter().all(|group| {
            let request = Request {
                user: user.to_owned(),
                groups: vec![(*group).to_owned(), "system:authenticated".to_owned()],
                verb: if path.ends_with("/pods") { "list" } else { "get" }.to_owned(),
                target: target_of(path),
            };
            let decision = evaluate(policy, &request);
            decision.level != Level::None && !decision.omit_stages.contains(&Stage::ResponseComplete)
        })
    };
    match QUESTIONS.iter().find(|path| is_recorded(path)) {
        Some(path) => Trace::Question(path),
        None => Trace::Traffic,
    }
}

fn target_of(path: &str) -> Target {
    let Some(rest) = path.strip_prefix("/api/v1/namespaces/") else { return Target::Url(path.to_owned()) };
    let (namespace, resource, name) = match rest.split_once('/') {
        Some((namespace, resource)) => (namespace, resource, ""),
        None => (rest, "namespaces", rest),
    };
    Target::Resource {
        group: String::new(),
        resource: resource.to_owned(),
        subresource: String::new(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::policy::read::parse;

    fn flags(list: &[(&str, &str)]) -> Flags {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn process(pid: i32, arguments: &[&str]) -> Process {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Process { pid, started: 1000 + u64::from(pid.unsigned_abs()), arguments }
    }

    #[test]
    fn a_process_has_flags_however_they_are_written() {
        let wanted = flags(&[("audit-log-path", "/a"), ("audit-log-compress", "true")]);
        for (arguments, has) in [
            (&["kube-apiserver", "--audit-log-path=/a", "--audit-log-compress=true"][..], true),
            (&["kube-apiserver", "--audit_log_path", "/a", "--audit-log-compress"], true),
            (&["kube-apiserver", "--audit-log-path=/b", "--audit-log-path=/a", "--audit-log-compress=true"], true),
            (&["kube-apiserver", "--v=2", "--audit-log-path=/a", "--audit-log-compress=true"], true),
            (&["kube-apiserver", "--audit-log-path=/a"], false),
            (&["kube-apiserver", "--audit-log-path=/a", "--audit-log-compress=false"], false),
            (&["kube-apiserver", "--audit-log-path=/a", "--audit-log-compress", "--audit-log-maxage=3"], false),
            (&["kube-apiserver", "--audit-log-path=/a", "--audit-log-mode=batch"], false),
            (&["kube-apiserver"], false),
        ] {
            assert_eq!(process(1, arguments).is(&wanted, &[]), has, "{arguments:?}");
        }
    }

    #[test]
    fn what_the_kubelet_fills_in_is_not_compared() {
        let wanted = flags(&[("audit-log-path", "/var/log/$(NODE).log")]);
        let words = ["--audit-log-path=/var/log/$(NODE).log", "--external-hostname=a$$b"].map(str::to_owned);
        let process =
            process(1, &["kube-apiserver", "--audit-log-path=/var/log/node.log", "--external-hostname=a$b"]);
        assert!(process.is(&wanted, &words));
        assert!(!process.is(&flags(&[("audit-policy-file", "/$(P)")]), &[]));
    }

    /// Feeds a proof with what is observed at each second, and collects what it decides; decisions to wait are left
    /// out.
    fn story(proof: &mut Proof, moments: &[(u64, Sight)]) -> Vec<(u64, Next)> {
        let steps = moments.iter().map(|(at, seen)| (*at, proof.next(seen, Duration::from_secs(*at))));
        steps.filter(|(_, next)| *next != Next::Wait).collect()
    }

    const NEW: &[&str] = &["kube-apiserver", "--audit-log-path=/a"];

    fn old() -> Process {
        process(7, &["kube-apiserver"])
    }

    fn new() -> Process {
        process(8, NEW)
    }

    fn proof() -> Proof {
        Proof::new(flags(&[("audit-log-path", "/a")]), vec![], vec![old()], true, Duration::from_secs(120))
    }

    fn seen(processes: &[Process]) -> Sight {
        Sight { processes: processes.to_vec(), kubelet: true, ..Sight::default() }
    }

    #[test]
    fn process_answer_and_event_make_a_proof() {
        let answers = Sight { answers: true, ..seen(&[new()]) };
        let moments = [
            (1, seen(&[old()])),
            (30, seen(&[old()])),
            (31, seen(&[])),
            (40, Sight { starts: 1, ..seen(&[new()]) }),
            (41, seen(&[new()])),
            (43, answers.clone()),
            (44, answers.clone()),
            (45, Sight { event: true, ..answers }),
        ];
        let steps = story(&mut proof(), &moments);
        let wanted = [
            (40, Next::Reached(ProofStage::Process)),
            (43, Next::Reached(ProofStage::Answer)),
            (45, Next::Proved),
        ];
        assert_eq!(steps, wanted);
    }

    #[test]
    fn the_old_process_proves_nothing_even_with_the_flags() {
        let old = process(7, NEW);
        let mut proof = Proof::new(
            flags(&[("audit-log-path", "/a")]),
            vec![],
            vec![old.clone()],
            true,
            Duration::from_secs(50),
        );
        let there = seen(std::slice::from_ref(&old));
        let moments = [(1, there.clone()), (51, there)];
        let why = "no API server runs with the audit flags of the manifest after 50 s; see journalctl -u kubelet, and \
                   the containers (crictl ps -a)";
        assert_eq!(story(&mut proof, &moments), [(51, Next::Failed(why.to_owned()))]);
    }

    #[test]
    fn an_api_server_of_somebody_elses_is_passed_over() {
        let words = ["--audit-log-path=/a", "--advertise-address=10.0.0.1", "--bind-address=$(IP)"]
            .map(str::to_owned)
            .to_vec();
        let mut proof =
            Proof::new(flags(&[("audit-log-path", "/a")]), words, vec![], true, Duration::from_secs(50));
        let own = process(
            9,
            &["kube-apiserver", "--advertise-address=10.0.0.1", "--audit-log-path=/a", "--bind-address=10.0.0.1"],
        );
        let seen = seen(&[
            process(3, &["kube-apiserver", "--advertise-address=10.0.0.2", "--audit-log-path=/a"]),
            own.clone(),
        ]);
        assert_eq!(proof.next(&seen, Duration::ZERO), Next::Reached(ProofStage::Process));
        assert_eq!(proof.process(), Some(&own));
    }

    #[test]
    fn a_number_that_is_used_again_is_another_process() {
        let again = Process { started: 9, ..process(7, NEW) };
        assert_eq!(proof().next(&seen(&[again]), Duration::ZERO), Next::Reached(ProofStage::Process));
    }

    #[test]
    fn a_crash_loop_is_not_waited_out() {
        let moments = [
            (35, seen(&[new()])),
            (36, Sight { starts: 1, ..seen(&[]) }),
            (46, Sight { starts: 2, ..seen(&[new()]) }),
            (47, Sight { starts: 2, ..seen(&[]) }),
            (49, Sight { starts: 2, ..seen(&[]) }),
            (50, Sight { starts: 2, ..seen(&[]) }),
        ];
        let steps = story(&mut proof(), &moments);
        let why =
            "the API server was started 2 times and ended each time; see its log (crictl ps -a, crictl logs)";
        let process = Next::Reached(ProofStage::Process);
        assert_eq!(steps, [(35, process.clone()), (46, process), (50, Next::Failed(why.to_owned()))]);
    }

    #[test]
    fn etcd_is_waited_for() {
        let ended = |starts| Sight { starts, lacks_etcd: true, ..seen(&[]) };
        let moments =
            [(36, ended(1)), (60, ended(2)), (70, ended(2)), (90, ended(3)), (119, ended(4)), (121, ended(4))];
        let why = "no API server runs with the audit flags of the manifest after 120 s; see journalctl -u kubelet, and \
                   the containers (crictl ps -a)";
        assert_eq!(story(&mut proof(), &moments), [(121, Next::Failed(why.to_owned()))]);
    }

    #[test]
    fn one_that_ends_is_waited_for_again() {
        let answers = |process| Sight { answers: true, ..seen(&[process]) };
        let moments = [
            (35, answers(new())),
            (36, answers(new())),
            (37, Sight { starts: 1, ..seen(&[]) }),
            (47, Sight { starts: 2, ..answers(process(9, NEW)) }),
            (48, answers(process(9, NEW))),
            (49, Sight { event: true, ..answers(process(9, NEW)) }),
        ];
        let steps = story(&mut proof(), &moments);
        assert_eq!(steps.last(), Some(&(49, Next::Proved)), "{steps:?}");
    }

    #[test]
    fn the_old_process_is_ended_once_when_its_listener_has_been_closed_for_so_long() {
        let five = Duration::from_secs(5);
        let mut proof = proof().ending(old(), five, false);
        let open = Sight { listens: true, ..seen(&[old()]) };
        let closed = seen(&[old()]);
        let moments = [
            (0, open.clone()),
            (1, closed.clone()),
            // Another listener was closed, such as one of many addresses.
            (2, open),
            (3, closed.clone()),
            (7, closed.clone()),
            (8, closed.clone()),
            (9, closed),
            (14, seen(&[new()])),
        ];
        let wanted = [
            (1, Next::Closed(five)),
            (3, Next::Closed(five)),
            (7, Next::Ask),
            (8, Next::End),
            (14, Next::Reached(ProofStage::Process)),
        ];
        assert_eq!(story(&mut proof, &moments), wanted);
    }

    #[test]
    fn a_hidden_manifest_comes_back_between_the_end_of_the_old_process_and_the_new_one() {
        let drain = Duration::from_secs(2);
        let mut proof = proof().ending(old(), drain, true);
        let remains = |group| Some(Remains { group, containers: group, directory: true, logs: true });
        let moments = [
            (0, Sight { listens: true, remains: remains(true), ..seen(&[old()]) }),
            (1, Sight { remains: remains(true), ..seen(&[old()]) }),
            (3, Sight { remains: remains(true), ..seen(&[old()]) }),
            (4, Sight { remains: remains(true), ..seen(&[]) }),
            (5, Sight { remains: remains(false), ..seen(&[]) }),
            // It is hidden no more.
            (6, seen(&[])),
            (7, seen(&[new()])),
        ];
        let wanted = [
            (1, Next::Closed(drain)),
            (3, Next::End),
            (5, Next::Show(Back::Finished)),
            (7, Next::Reached(ProofStage::Process)),
        ];
        assert_eq!(story(&mut proof, &moments), wanted);
    }

    #[test]
    fn a_listener_that_closed_before_the_first_look_is_one_that_has_closed() {
        let mut proof = proof().ending(old(), Duration::from_secs(5), true);
        let closed = seen(&[old()]);
        let moments = [(0, closed.clone()), (4, closed.clone()), (5, closed)];
        let wanted = [(0, Next::Closed(Duration::from_secs(5))), (4, Next::Ask), (5, Next::End)];
        assert_eq!(story(&mut proof, &moments), wanted);
    }

    #[test]
    fn the_old_process_is_asked_once_shortly_before_its_end() {
        for (drain, asked, ended) in
            [(5000, Some(3500), 5000), (1600, Some(100), 1600), (1000, Some(50), 1000), (0, None, 50)]
        {
            let mut proof = proof().ending(old(), Duration::from_millis(drain), true);
            let looks = (0..200).map(|look| look * 50);
            let steps = looks.map(|at| (at, proof.next(&seen(&[old()]), Duration::from_millis(at))));
            let steps: Vec<_> = steps.filter(|(_, next)| [Next::Ask, Next::End].contains(next)).collect();
            let wanted = asked.map(|at| (at, Next::Ask)).into_iter().chain([(ended, Next::End)]);
            assert_eq!(steps, wanted.collect::<Vec<_>>(), "{drain}");
        }
    }

    #[test]
    fn a_process_that_the_kubelet_has_not_begun_to_end_is_not_ended() {
        let again = Process { started: 9, ..old() };
        for process in [old(), again] {
            // The process was never seen to listen; or it is another process with the same number.
            let mut proof = proof().ending(old(), Duration::ZERO, false);
            let listens = process != old();
            let moments: Vec<_> = (0..50)
                .map(|at| (at, Sight { listens: listens && at < 10, ..seen(std::slice::from_ref(&process)) }))
                .collect();
            assert_eq!(story(&mut proof, &moments), []);
        }
    }

    #[test]
    fn a_kubelet_that_is_stopped_is_told_and_waited_for() {
        let stopped = Sight { kubelet: false, ..seen(&[old()]) };
        let moments = |runs: &dyn Fn(u64) -> bool, end: u64| {
            let seen = |at| if runs(at) { seen(&[old()]) } else { stopped.clone() };
            (0..=end).map(|at| (at, seen(at))).collect::<Vec<_>>()
        };
        let failed = Next::Failed(KUBELET_STOPPED.to_owned());
        assert_eq!(story(&mut proof(), &moments(&|at| at < 5, 119)), [(17, Next::NoKubelet)]);
        assert_eq!(story(&mut proof(), &moments(&|at| at < 5, 121)).last(), Some(&(121, failed)));
        // It is told each time, but not of a kubelet that is only restarted.
        assert_eq!(story(&mut proof(), &moments(&|at| at % 10 == 0, 50)), []);
        let twice = story(&mut proof(), &moments(&|at| at % 20 == 0, 40));
        assert_eq!(twice, [(13, Next::NoKubelet), (33, Next::NoKubelet)]);
        // What runs already needs no kubelet.
        let answers = |kubelet| Sight { answers: true, event: true, kubelet, ..seen(&[new()]) };
        let steps = story(&mut proof(), &[(0, answers(true)), (20, answers(false)), (40, answers(false))]);
        assert_eq!(steps.last(), Some(&(40, Next::Proved)), "{steps:?}");
    }

    #[test]
    fn a_manifest_that_goes_unnoticed_is_shown_again_once() {
        let moments: Vec<_> = (0..130).step_by(10).map(|at| (at, seen(&[old()]))).collect();
        let steps = story(&mut proof(), &moments);
        assert_eq!(steps.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [70], "{steps:?}");
        assert_eq!(steps[0].1, Next::Nudge);
    }

    #[test]
    fn each_stage_has_its_own_words_when_time_is_over() {
        let over = Duration::from_secs(121);
        for (before, words) in [
            (vec![], "no API server runs"),
            (vec![seen(&[new()])], "doesn't answer"),
            (vec![seen(&[new()]), Sight { answers: true, ..seen(&[new()]) }], "no event"),
        ] {
            let mut proof = proof();
            for seen in &before {
                proof.next(seen, Duration::ZERO);
            }
            let last = before.last().cloned().map_or(seen(&[old()]), |seen| Sight { answers: false, ..seen });
            proof.nudged = true;
            let Next::Failed(why) = proof.next(&last, over) else { panic!("{words}") };
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn a_policy_is_seen_by_what_it_records() {
        for (rules, wanted) in [
            ("[{level: Metadata}]", Trace::Question("/version")),
            (
                "[{level: None, nonResourceURLs: [/version, \"/healthz*\"]}, {level: Metadata}]",
                Trace::Question("/apis"),
            ),
            (
                "[{level: Metadata, resources: [{group: \"\", resources: [namespaces]}]}]",
                Trace::Question("/api/v1/namespaces/kube-system"),
            ),
            ("[{level: None, users: [kubernetes-admin]}, {level: Metadata}]", Trace::Traffic),
            ("[{level: None, userGroups: [system:masters]}, {level: Metadata}]", Trace::Traffic),
            ("[{level: Request, verbs: [create, update]}]", Trace::Traffic),
            ("[{level: Metadata, omitStages: [ResponseComplete]}]", Trace::Traffic),
            ("[{level: None}]", Trace::Nothing),
        ] {
            let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: {rules}\n");
            let (policy, findings) = parse(&text, None);
            let policy = policy.unwrap();
            assert_eq!(find_trace(&policy, Some(Asker::Admin)), wanted, "{rules}: {findings:?}");
            let nobodys = if wanted == Trace::Nothing { Trace::Nothing } else { Trace::Traffic };
            for asker in [None, Some(Asker::Kubelet)] {
                assert_eq!(find_trace(&policy, asker), nobodys, "{rules}: {asker:?}");
            }
        }
    }

    #[test]
    fn a_request_is_chosen_for_who_asks() {
        let text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n\
                    - {level: None, users: [kubernetes-admin]}\n- {level: Metadata}\n";
        let policy = parse(text, None).0.unwrap();
        assert_eq!(find_trace(&policy, Some(Asker::Admin)), Trace::Traffic);
        assert_eq!(find_trace(&policy, Some(Asker::ApiServer)), Trace::Question("/version"));
    }

    #[test]
    fn a_manifest_that_is_changed_meanwhile_is_the_one_that_counts() {
        let begin = || {
            let mut proof = proof();
            let words = vec!["--v=3".to_owned()];
            assert_eq!(proof.next(&seen(&[new()]), Duration::ZERO), Next::Reached(ProofStage::Process));
            let wanted = (flags(&[("audit-log-path", "/a")]), words);
            proof.begin_again(wanted, true, &[new(), old()], Duration::from_secs(10));
            proof
        };
        let process_of = |pid| process(pid, &["kube-apiserver", "--audit-log-path=/a", "--v=3"]);
        let reached = Next::Reached(ProofStage::Process);
        // The process of the manifest of before never fits.
        let moments = [(11, seen(&[new()])), (50, seen(&[new()])), (51, seen(&[])), (60, seen(&[process_of(9)]))];
        assert_eq!(story(&mut begin(), &moments), [(60, reached.clone())]);

        // If the change means nothing to the kubelet, what runs goes on, and counts when the kubelet had its time.
        let same = process_of(8);
        let mut proof = proof();
        let unchanged = (flags(&[("audit-log-path", "/a")]), vec!["--v=3".to_owned()]);
        proof.begin_again(unchanged, true, std::slice::from_ref(&same), Duration::from_secs(10));
        let there = seen(std::slice::from_ref(&same));
        assert_eq!(story(&mut proof, &[(11, there.clone()), (34, there.clone()), (35, there)]), [(35, reached)]);
    }
}
