//! Decides whether the API server that runs here runs with what the files say.

use std::time::{Duration, SystemTime};

use crate::change::Change;
use crate::facts::file::Text;
use crate::facts::in_force::{Away, Found, HeldFile, HeldLog, LogState, Running};
use crate::path::parent;
use crate::wiring::Refusal;
use crate::wiring::manifest::read_auditing;
use crate::wiring::mark::{self, Contents};

/// How far the times of a process and of a file may differ.
const CLOCK: Duration = Duration::from_millis(200);

/// After this time the kubelet has ended the API server of a previous manifest, or it has not noticed the new one.
const SETTLED: Duration = Duration::from_secs(120);

const GONE: &str = "this file does not exist any more, and the API server needs it when it starts again";

/// Whether what the files say is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// The API server has what the files say.
    Ok,
    /// It has something else, and nothing is about to restart it.
    Differs,
    /// It has something else, and the manifest was written after it started, so the kubelet is about to restart it.
    Pending,
    /// It takes no requests, because it is being started or ended, or it is not started yet.
    Starting,
    /// It does not answer, or it does not run and nothing is about to start it.
    Silent,
    /// No API server runs, it is not known which one is that of the manifest, or its files do not tell.
    #[default]
    Unknown,
}

impl State {
    /// The name, in text and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Differs => "differs",
            State::Pending => "pending",
            State::Starting => "starting",
            State::Silent => "silent",
            State::Unknown => "unknown",
        }
    }
}

/// What is in force, and why it is not what the files say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    pub state: State,
    /// The process of the API server; `None`: there is none, or it is not known which one it is.
    pub process: Option<i32>,
    pub reasons: Vec<Reason>,
}

/// Why something is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The path that it is about.
    pub path: String,
    /// The sentence for people, with the path.
    pub text: String,
}

impl InForce {
    /// Is there nothing that a person must know?
    pub fn is_settled(&self) -> bool {
        matches!(self.state, State::Ok | State::Unknown)
    }

    /// The process that is to be replaced by another one.
    pub fn outdated(&self) -> Option<i32> {
        self.process.filter(|_| matches!(self.state, State::Differs | State::Pending))
    }

    /// Adds that the API server of the manifest at `path` is of no use at this moment, and returns the sentence. `age`: how
    /// long ago the manifest was written; the kubelet may be about to start the API server.
    pub fn add_away(&mut self, path: &str, process: Option<i32>, why: &Away, age: Option<Duration>) -> String {
        let is_new = age.is_some_and(|age| age < SETTLED);
        let pid = process.unwrap_or_default();
        let logs = "see the kubelet's log (journalctl -u kubelet) and its own (crictl ps -a, crictl logs)";
        let (state, text) = match why {
            Away::Gone if is_new => (
                State::Starting,
                format!("{path}: the kubelet has not started the API server yet; look again in a minute"),
            ),
            Away::Gone => (State::Silent, format!("{path}: no API server of this manifest runs; {logs}")),
            Away::Closed => (
                State::Starting,
                format!(
                    "{path}: the API server (process {pid}) takes no requests: it is being started or ended; look again \
                     in a minute"
                ),
            ),
            Away::Silent(why) => {
                (State::Silent, format!("{path}: the API server (process {pid}) does not answer ({why}); {logs}"))
            }
        };
        if self.state != State::Differs {
            self.state = state;
        }
        self.process = process;
        self.reasons.push(Reason { path: path.to_owned(), text: text.clone() });
        text
    }
}

/// Judges the API server that runs here. `manifest`: the text of its manifest. `after`: the content that the policy at a
/// path has after the run; without it, its present content counts, and no mark.
pub fn judge(running: &Running, manifest: &str, after: &dyn Fn(&str) -> Option<Vec<u8>>) -> InForce {
    let path = read_auditing(manifest).ok().and_then(|auditing| auditing.policy);
    let policy = path.as_deref().and_then(|path| Some((path, after(path)?)));
    let policy = policy.as_ref().map(|(path, bytes)| (*path, bytes.as_slice()));
    judge_marked(running, policy, &|file, bytes| match Some(&file.path) == path.as_ref() {
        true => mark::has_policy(manifest, bytes),
        false => mark::has_webhook(manifest, bytes),
    })
}

/// `is_marked`: the manifest is marked with this content of a file; `None`: its mark does not tell.
fn judge_marked(
    running: &Running,
    policy: Option<(&str, &[u8])>,
    is_marked: &dyn Fn(&HeldFile, &[u8]) -> Option<bool>,
) -> InForce {
    let Running { pid, now, manifest_written, .. } = *running;
    let is_replaced = is_later(running, manifest_written);
    let mut is_doubtful = None;
    let mut reasons = Vec::new();
    match &running.holding {
        None if !is_replaced => return InForce::default(),
        None => reasons.push(Reason {
            path: String::new(),
            text: format!(
                "the API server (process {pid}) started before the manifest was written, and runs with other flags"
            ),
        }),
        Some(holding) => {
            for file in &holding.files {
                let new = policy.filter(|(path, _)| *path == file.path).map(|(_, bytes)| bytes);
                match look_at(running, file, new, is_marked) {
                    Sight::Right => {}
                    Sight::Doubtful(reason) => is_doubtful = Some(reason),
                    Sight::Wrong(reason) => reasons.push(reason),
                }
            }
            reasons.extend(holding.log.as_ref().and_then(|log| tell_of_log(pid, log)));
        }
    }
    let state = match (reasons.as_slice(), &is_doubtful) {
        ([], None) => State::Ok,
        ([], Some(_)) => State::Unknown,
        (_, _) if is_replaced && now < manifest_written + SETTLED => State::Pending,
        (_, _) => State::Differs,
    };
    if reasons.is_empty() {
        reasons.extend(is_doubtful);
    }
    InForce { state, process: Some(pid), reasons }
}

/// Is a time after the start of the process? A time in the future tells nothing: a clock is wrong, or was.
fn is_later(running: &Running, time: SystemTime) -> bool {
    time > running.started + CLOCK && time <= running.now + CLOCK
}

/// What is known of a file that an API server has read.
enum Sight {
    Right,
    Doubtful(Reason),
    Wrong(Reason),
}

/// `new`: the content after the run, if it is not the present content.
fn look_at(
    running: &Running,
    file: &HeldFile,
    new: Option<&[u8]>,
    is_marked: &dyn Fn(&HeldFile, &[u8]) -> Option<bool>,
) -> Sight {
    let (pid, path) = (running.pid, &file.path);
    let reason = |text: String| Reason { path: path.clone(), text };
    let stale = || {
        reason(match (new, &file.there) {
            (_, Found::Nothing) => format!("{path}: {GONE}"),
            (Some(new), Found::This(there)) if there != new => format!(
                "{path}: the API server (process {pid}) has another content of this file than apply writes, and reads it only \
                 when it starts"
            ),
            (_, _) => format!(
                "{path}: the API server (process {pid}) started before this file was written, and reads it only when it \
                 starts"
            ),
        })
    };
    let wanted = match (new, &file.there) {
        (Some(new), _) => new,
        (None, Found::This(there)) => there,
        (None, Found::Nothing) => {
            return Sight::Wrong(reason(format!("{path}: {GONE}")));
        }
        (None, Found::Unreadable) => {
            return Sight::Doubtful(reason(format!(
                "{path}: this file can't be read, so it is not known whether the API server has what it says; correct its permissions, and run this again"
            )));
        }
    };
    let is_marked = is_marked(file, wanted);
    let held = match &file.held {
        Found::This(held) if held.bytes == wanted => held,
        Found::This(_) | Found::Nothing => return Sight::Wrong(stale()),
        // A restart might not help.
        Found::Unreadable => {
            return Sight::Doubtful(reason(format!(
                "{path}: this file can't be read as the API server (process {pid}) sees it; if it was changed since the \
                 API server started, restart the API server, with crictl stop $(crictl ps -q --name kube-apiserver)"
            )));
        }
    };
    let (is_written, is_touched) = (is_later(running, held.written), is_later(running, held.touched));
    if !is_written && !is_touched && is_marked == Some(false) && is_later(running, held.around) {
        return Sight::Wrong(reason(format!(
            "{path}: a directory on its path changed after the API server (process {pid}) started, and the mark of its pod \
             names another content than this file has, so the API server may have that one"
        )));
    }
    if !is_written && !is_touched {
        return Sight::Right;
    }
    // A time, the mode, the owner or the name of a file can change without its content, and the mark tells the content
    // with which the process started.
    match is_marked {
        // A mode or an owner that is set again is no new content.
        Some(true) if !is_written || is_started_with_mark(running) => Sight::Right,
        Some(true) => Sight::Wrong(stale()),
        Some(false) => Sight::Wrong(stale()),
        // Nothing tells whether the process has the content that an edit in place left.
        None if is_written && new.is_none() => Sight::Wrong(stale()),
        None => Sight::Doubtful(reason(format!(
            "{path}: something touched this file after the API server (process {pid}) started; if it changed the content, \
             and not only the mode or the owner, the API server does not have it yet: restart it, with crictl stop \
             $(crictl ps -q --name kube-apiserver)"
        ))),
    }
}

/// Does the mark in the manifest tell what the process started with? Only the first process of a pod did surely start
/// with that: one that the kubelet restarted read what was there then, and so did one whose run was not proved.
fn is_started_with_mark(running: &Running) -> bool {
    let Running { started, manifest_written, restarts, kubelet_started, is_unproved, .. } = *running;
    // After a boot, the container runtime may have forgotten its restarts.
    let is_revived = kubelet_started.is_some_and(|kubelet| manifest_written < kubelet && kubelet < started);
    let is_first = restarts.map_or(started <= manifest_written + SETTLED, |restarts| restarts == 0);
    is_first && !is_revived && !is_unproved && !is_later(running, manifest_written)
}

fn tell_of_log(pid: i32, HeldLog { path, state }: &HeldLog) -> Option<Reason> {
    let keep = |file: &str| format!("; to keep its events, run cp {file} FILE before the API server is restarted");
    let text = match state {
        LogState::InPlace => return None,
        LogState::Deleted(file) => format!(
            "{path}: the log was deleted, and the API server (process {pid}) goes on writing to the deleted file{}",
            keep(file)
        ),
        LogState::Renamed(to) => format!(
            "{path}: the log was renamed, and the API server (process {pid}) goes on writing to {to}; for rotation, set \
             log.maxSize, and leave the log to the API server"
        ),
        LogState::OtherDirectory(file) => format!(
            "{}: this is not the directory any more to which the API server (process {pid}) writes its log: something \
             removed or renamed that one, or mounted another one{}",
            parent(path),
            file.as_deref().map(keep).unwrap_or_default()
        ),
    };
    Some(Reason { path: path.clone(), text })
}

/// Adds to the changes of a restore or a rollback the new mark of a manifest whose policy goes back while it stays
/// itself: without it, the API server would go on with the policy that it has. `manifest`: the present one.
///
/// # Errors
///
/// The manifest takes no mark.
pub fn restart_for_policy(
    changes: &mut Vec<Change>,
    manifest: Option<&Text>,
    running: Option<&Running>,
) -> Result<(), Refusal> {
    let Some(manifest) = manifest.filter(|text| !changes.iter().any(|change| change.path() == text.path)) else {
        return Ok(());
    };
    let auditing = read_auditing(&manifest.text).unwrap_or_default();
    let Some(bytes) = changes.iter().find_map(|change| match change {
        Change::WriteFile { path, bytes, .. } if Some(path) == auditing.policy.as_ref() => Some(bytes),
        _ => None,
    }) else {
        return Ok(());
    };
    let in_force = running.map(|running| judge(running, &manifest.text, &|_| Some(bytes.clone())));
    if in_force.is_some_and(|in_force| in_force.state == State::Ok) {
        return Ok(());
    }
    let (path, before) = (manifest.path.clone(), manifest.snapshot.clone());
    let files = running.and_then(|running| running.holding.as_ref()).map(|holding| holding.files.as_slice());
    let webhook = files.unwrap_or_default().iter().find_map(|file| match &file.there {
        Found::This(there) if Some(&file.path) == auditing.webhook.as_ref() => Some(there.as_slice()),
        _ => None,
    });
    let contents = Contents { policy: bytes, webhook };
    let (bytes, attributes) = (mark::mark(&manifest.text, &contents)?.into_bytes(), before.attributes.clone());
    changes.push(Change::WriteFile { path, before: Some(before), bytes, attributes });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::in_force::{Holding, Stamped};

    const POLICY: &str = "/etc/kubernetes/audit-policy.yaml";

    /// A moment, in seconds; the API server started at 1000, and it is 2000 now.
    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn running(manifest_written: u64, holding: Option<Holding>) -> Running {
        let (restarts, kubelet_started) = (Some(0), Some(at(100)));
        let (started, now, manifest_written) = (at(1000), at(2000), at(manifest_written));
        let is_unproved = false;
        Running { pid: 7, started, now, manifest_written, restarts, kubelet_started, is_unproved, holding }
    }

    fn file(held: Option<(&str, u64, u64)>, there: Option<&str>) -> HeldFile {
        let stamped = |(text, written, touched): (&str, u64, u64)| Stamped {
            bytes: text.into(),
            written: at(written),
            touched: at(touched),
            around: at(written),
        };
        HeldFile {
            path: POLICY.to_owned(),
            held: held.map_or(Found::Nothing, |held| Found::This(stamped(held))),
            there: there.map_or(Found::Nothing, |text| Found::This(text.into())),
        }
    }

    #[test]
    fn a_policy_is_in_force_if_the_api_server_started_with_it() {
        use State::{Differs, Ok, Pending, Unknown};
        for (held, there, new, is_marked, manifest, state) in [
            (Some(("a", 900, 900)), Some("a"), None, None, 900, Ok),
            // Edited in place.
            (Some(("b", 1500, 1500)), Some("b"), Some("b"), Some(false), 900, Differs),
            // Touched, or edited in place: only the mark can tell.
            (Some(("b", 1500, 1500)), Some("b"), Some("b"), Some(true), 900, Ok),
            (Some(("b", 1500, 1500)), Some("b"), Some("b"), None, 900, Unknown),
            (Some(("b", 1500, 1500)), Some("b"), None, None, 900, Differs),
            // The webhook's kubeconfig, which the program does not write, but marks.
            (Some(("b", 1500, 1500)), Some("b"), None, Some(true), 900, Ok),
            (Some(("b", 1500, 1500)), Some("b"), None, Some(false), 900, Differs),
            (Some(("b", 1500, 1500)), Some("b"), None, Some(true), 1500, Differs),
            // The kubelet is about to restart the API server, or has not noticed the manifest.
            (Some(("b", 1500, 1500)), Some("b"), Some("b"), Some(true), 1950, Pending),
            (Some(("b", 1500, 1500)), Some("b"), Some("b"), Some(true), 1500, Differs),
            // Removed and made anew: the mount holds the previous file.
            (Some(("a", 900, 1500)), Some("b"), None, None, 900, Differs),
            (Some(("a", 900, 900)), Some("a"), Some("a"), None, 900, Ok),
            (None, Some("a"), Some("a"), Some(true), 900, Differs),
            // Deleted, and made anew by this run.
            (Some(("a", 900, 900)), None, None, None, 900, Differs),
            (Some(("a", 900, 900)), None, Some("a"), None, 900, Ok),
            (Some(("a", 900, 900)), None, Some("b"), None, 900, Differs),
            // Replaced by this run.
            (Some(("a", 900, 900)), Some("a"), Some("b"), None, 900, Differs),
            // The mode alone changed, or somebody set the time.
            (Some(("a", 900, 1500)), Some("a"), Some("a"), Some(true), 900, Ok),
            (Some(("a", 900, 1500)), Some("a"), Some("a"), Some(false), 900, Differs),
            (Some(("a", 900, 1500)), Some("a"), Some("a"), None, 900, Unknown),
            // The clock is wrong.
            (Some(("a", 3000, 900)), Some("a"), Some("a"), None, 900, Ok),
        ] {
            let holding = Holding { files: vec![file(held, there)], log: None };
            let new = new.map(|new: &str| (POLICY, new.as_bytes()));
            let found = judge_marked(&running(manifest, Some(holding)), new, &|_, _| is_marked);
            assert_eq!(found.state, state, "{held:?} {there:?} {new:?} {is_marked:?} {manifest}: {found:?}");
            assert_eq!(found.reasons.is_empty(), state == Ok, "{found:?}");
        }
    }

    /// The kubelet starts a container anew with what the files say then.
    #[test]
    fn the_mark_tells_only_what_the_first_process_of_its_pod_started_with() {
        use State::{Differs, Ok, Unknown};
        let first = || running(900, None);
        for (what, running) in [
            ("restarted", Running { restarts: Some(1), ..first() }),
            ("much later than the manifest", Running { restarts: None, manifest_written: at(800), ..first() }),
            ("after a boot", Running { kubelet_started: Some(at(950)), ..first() }),
            ("not proved", Running { is_unproved: true, ..first() }),
            ("a later manifest", Running { manifest_written: at(1500), ..first() }),
        ] {
            for (running, (written, touched), states) in [
                (&first(), (900, 900), [Ok, Ok, Ok]),
                (&first(), (1500, 1500), [Unknown, Ok, Differs]),
                (&first(), (900, 1500), [Unknown, Ok, Differs]),
                (&running, (900, 900), [Ok, Ok, Ok]),
                (&running, (1500, 1500), [Unknown, Differs, Differs]),
                (&running, (900, 1500), [Unknown, Ok, Differs]),
            ] {
                for (is_marked, state) in [None, Some(true), Some(false)].into_iter().zip(states) {
                    let files = vec![file(Some(("a", written, touched)), Some("a"))];
                    let running = Running { holding: Some(Holding { files, log: None }), ..running.clone() };
                    let found = judge_marked(&running, Some((POLICY, b"a")), &|_, _| is_marked);
                    assert_eq!(found.state, state, "{what} {written} {touched} {is_marked:?}: {found:?}");
                }
            }
        }
    }

    /// Many files of a healthy node lie in the same directory, so its time alone says nothing.
    #[test]
    fn a_directory_that_was_exchanged_is_told_by_the_mark() {
        for (around, is_marked, state) in [
            (900, None, State::Ok),
            (900, Some(true), State::Ok),
            // The container was restarted with it, or somebody named this file in the manifest.
            (900, Some(false), State::Ok),
            (1500, None, State::Ok),
            (1500, Some(true), State::Ok),
            (1500, Some(false), State::Differs),
        ] {
            let held = Stamped { bytes: b"a".to_vec(), written: at(900), touched: at(900), around: at(around) };
            let files = vec![HeldFile { held: Found::This(held), ..file(None, Some("a")) }];
            let holding = Holding { files, log: None };
            let found = judge_marked(&running(900, Some(holding)), Some((POLICY, b"a")), &|_, _| is_marked);
            assert_eq!(found.state, state, "{around} {is_marked:?}: {found:?}");
        }
    }

    /// Self-healing would restart the API server again and again, if a restart makes nothing readable.
    #[test]
    fn a_file_that_cannot_be_read_tells_nothing() {
        let held = || file(Some(("a", 900, 900)), Some("a"));
        let unread = || HeldFile { held: Found::Unreadable, ..held() };
        for (file, new, state) in [
            (held(), None, State::Ok),
            (unread(), None, State::Unknown),
            (unread(), Some("a"), State::Unknown),
            (unread(), Some("b"), State::Unknown),
            (HeldFile { there: Found::Nothing, ..unread() }, None, State::Differs),
            (HeldFile { there: Found::Unreadable, ..held() }, None, State::Unknown),
            (HeldFile { there: Found::Unreadable, ..held() }, Some("a"), State::Ok),
            (HeldFile { there: Found::Unreadable, ..held() }, Some("b"), State::Differs),
            (HeldFile { held: Found::Nothing, ..held() }, None, State::Differs),
        ] {
            let case = format!("{file:?} {new:?}");
            let holding = Holding { files: vec![file], log: None };
            let new = new.map(|new: &str| (POLICY, new.as_bytes()));
            for is_marked in [None, Some(true), Some(false)] {
                let found = judge_marked(&running(900, Some(holding.clone())), new, &|_, _| is_marked);
                assert_eq!(
                    (found.state, found.reasons.is_empty()),
                    (state, state == State::Ok),
                    "{case}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn an_api_server_of_a_previous_manifest_is_told() {
        for (manifest, state, process) in
            [(900, State::Unknown, None), (1950, State::Pending, Some(7)), (1500, State::Differs, Some(7))]
        {
            let found = judge(&running(manifest, None), "", &|_| None);
            assert_eq!((found.state, found.process, found.outdated()), (state, process, process), "{manifest}");
        }
    }

    #[test]
    fn an_api_server_that_is_being_started_is_not_one_to_replace() {
        let silent = Away::Silent("why".to_owned());
        let (new, old) = (Some(Duration::from_secs(10)), Some(SETTLED));
        for (why, age, state) in [
            (&Away::Gone, new, State::Starting),
            (&Away::Gone, old, State::Silent),
            (&Away::Closed, old, State::Starting),
            (&silent, new, State::Silent),
        ] {
            let mut found = InForce { state: State::Pending, ..InForce::default() };
            found.add_away("/m", Some(7), why, age);
            assert_eq!((found.state, found.process, found.outdated()), (state, Some(7), None), "{why:?} {age:?}");
            assert!(!found.is_settled());
        }
    }

    #[test]
    fn a_log_is_told_to_be_another_one_and_how_to_keep_its_events() {
        let path = "/var/log/kubernetes/audit/audit.log";
        let open = || "/proc/7/fd/9".to_owned();
        for (log, words) in [
            (LogState::InPlace, &[][..]),
            (LogState::Deleted(open()), &["the log was deleted", "cp /proc/7/fd/9 FILE"]),
            (LogState::Renamed("/l.1".to_owned()), &["goes on writing to /l.1"]),
            (
                LogState::OtherDirectory(Some(open())),
                &["/var/log/kubernetes/audit: this is not", "cp /proc/7/fd/9"],
            ),
            (LogState::OtherDirectory(None), &["mounted another one"]),
        ] {
            let holding = Holding { files: vec![], log: Some(HeldLog { path: path.to_owned(), state: log }) };
            let found = judge(&running(900, Some(holding)), "", &|_| None);
            let state = if words.is_empty() { State::Ok } else { State::Differs };
            assert_eq!(found.state, state);
            let text = found.reasons.first().map_or("", |reason| &reason.text);
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
    }
}
