//! The API server's container as the kubelet has it: which processes are in its pod, and its logs.
//!
//! The kubelet gives each pod of a manifest an identity (UID) that is a hash of its content, and keeps the log of each
//! start in `NAMESPACE_POD-NODE_UID/CONTAINER/RESTARTS.log` (kubernetes/kubernetes `pkg/kubelet/kuberuntime/helpers.go`).
//! The control group of a process has the UID, too. So nothing here goes by the beginning of a name: the logs of init
//! containers, of sidecars and of pods with a similar name are not the API server's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Result, anyhow};
use nix::fcntl::OFlag;

use super::apiserver::{self, Processes};
use super::kubelet;
use super::opening::{Expected, open_known};
use super::process::{is_static, kubelets, pod_of, words};
use super::root::Root;
use crate::audit::log::last_words;
use crate::facts::server::Process;
use crate::wiring::manifest::{self, Auditing};

/// How many bytes at the end of a log are read.
const LAST_WORDS_LIMIT: u64 = 64 << 10;

/// The container that a manifest defines for the API server.
#[derive(Clone, Debug)]
pub struct Container {
    /// The directory of the logs of all pods.
    logs: PathBuf,
    namespace: String,
    pod: String,
    name: String,
    /// The names that the node may have for its kubelet.
    nodes: BTreeSet<String>,
}

/// The log of one start of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The UID of the pod.
    pub pod: String,
    /// How many starts came before, in this pod.
    pub restarts: u32,
    pub path: PathBuf,
    /// The time of the last line.
    pub written: SystemTime,
    /// When the log and the directory of its pod were made, where the file system knows it.
    pub made: Option<SystemTime>,
    pub pod_made: Option<SystemTime>,
}

impl Container {
    /// The container of a manifest, on this node.
    ///
    /// # Errors
    ///
    /// The text is no manifest of an API server.
    pub fn of(root: &Root, manifest: &str) -> Result<Container> {
        let (pod, name) = manifest::identify_container(manifest).map_err(|refusal| anyhow!("{refusal}"))?;
        let logs = PathBuf::from(kubelet::pod_logs(root));
        Ok(Container { logs, namespace: pod.namespace, pod: pod.name, name, nodes: node_names() })
    }

    /// Learns the name of the node from an API server that runs in a pod of this manifest's name, if the kubelet has
    /// another name than those that are known.
    pub fn learn(&mut self, process: &Process) {
        if self.pods().is_empty()
            && let Some(uid) = pod_of(process.pid)
        {
            self.nodes.extend(self.node_of(&uid));
        }
    }

    /// The name of the node, if the pod with this UID is of this manifest. The kubelet puts the name behind that of each
    /// static pod, so an API server whose name begins the same does not end like the others.
    fn node_of(&self, uid: &str) -> Option<String> {
        let pods = self.directories();
        let own = pods.iter().find(|(namespace, _, pod, _)| pod == uid && *namespace == self.namespace);
        let node = own?.1.strip_prefix(&self.pod)?.strip_prefix('-').filter(|node| !node.is_empty())?;
        let mut others = pods.iter().filter(|(_, _, pod, _)| is_static(pod) && pod != uid);
        let is_its = |name: &str| name.strip_suffix(node).is_some_and(|name| name.ends_with('-'));
        others.all(|(_, name, ..)| is_its(name)).then(|| node.to_owned())
    }

    /// The directories of all pods: namespace, name, UID and path.
    fn directories(&self) -> Vec<(String, String, String, PathBuf)> {
        let entries = fs::read_dir(&self.logs).into_iter().flatten().flatten();
        let parts = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            // None of the three can have an underscore.
            let (namespace, rest) = name.split_once('_')?;
            let (pod, uid) = rest.split_once('_')?;
            Some((namespace.to_owned(), pod.to_owned(), uid.to_owned(), entry.path()))
        });
        parts.collect()
    }

    /// The directories of this container's pods, each with its UID: a manifest that was changed has another one.
    fn pods(&self) -> Vec<(String, PathBuf)> {
        let is_its = |name: &str| {
            name.strip_prefix(&self.pod)
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|node| self.nodes.contains(node))
        };
        let found = self.directories().into_iter();
        found
            .filter(|(namespace, name, ..)| *namespace == self.namespace && is_its(name))
            .map(|(.., uid, path)| (uid, path))
            .collect()
    }

    /// The UIDs of this manifest's pods whose logs are there. At most one of them runs.
    pub fn uids(&self) -> Vec<String> {
        self.pods().into_iter().map(|(uid, _)| uid).collect()
    }

    /// The API servers that run in a pod of this manifest's name, or of which nothing shows that they do not, such as with
    /// a container runtime that names its control groups in its own way; and whether a kubelet runs.
    pub fn processes(&self) -> Processes {
        let mut found = apiserver::find_processes();
        let pods = self.pods();
        found.api_servers.retain(|process| match pod_of(process.pid) {
            Some(uid) if !pods.is_empty() => pods.iter().any(|(pod, _)| *pod == uid),
            _ => true,
        });
        found
    }

    /// The one API server of the manifest, and whether it runs with the flags of the manifest. `None` if none runs, or if
    /// it is not known which one it is.
    pub fn api_server(&self, auditing: &Auditing) -> Option<(Process, bool)> {
        choose(self.processes().api_servers, auditing)
    }

    /// The logs of this container that are there now. The kubelet removes those of earlier starts.
    pub fn logs(&self) -> Vec<Log> {
        let mut logs = Vec::new();
        for (pod, directory) in self.pods() {
            let pod_made = fs::metadata(&directory).and_then(|metadata| metadata.created()).ok();
            for entry in fs::read_dir(directory.join(&self.name)).into_iter().flatten().flatten() {
                let path = entry.path();
                let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".log")?.parse().ok());
                // Docker's logs are links.
                let Ok(metadata) = fs::metadata(&path) else { continue };
                if let (Some(restarts), Ok(written)) = (number, metadata.modified()) {
                    let made = metadata.created().ok();
                    logs.push(Log { pod: pod.clone(), restarts, path, written, made, pod_made });
                }
            }
        }
        logs
    }

    /// The log of the start that a process belongs to; if its pod is not known, the newest log.
    pub fn log_of(&self, process: &Process) -> Option<Log> {
        let (pod, logs) = (pod_of(process.pid), self.logs());
        let own: Vec<_> = logs.iter().filter(|log| pod.as_ref() == Some(&log.pod)).cloned().collect();
        let logs = if own.is_empty() { logs } else { own };
        logs.into_iter().max_by_key(|log| (log.written, log.restarts))
    }
}

/// The API server of a manifest among those that may be in its pod, and whether it runs with the flags of the manifest.
fn choose(mut all: Vec<Process>, auditing: &Auditing) -> Option<(Process, bool)> {
    // One that is being replaced may still run.
    let is_own = |process: &&Process| process.is(&auditing.flags, &auditing.words);
    match (all.iter().filter(is_own).max_by_key(|process| process.started), all.len()) {
        (Some(newest), _) => Some((newest.clone(), true)),
        (None, 1) => all.pop().map(|other| (other, false)),
        (None, number) => {
            log::info!("{number} API servers run here, and none with the flags of the manifest");
            None
        }
    }
}

/// The starts of a container since some moment, by the numbers in the names of its logs: the kubelet removes the logs
/// themselves when it pleases, and the numbers only rise.
#[derive(Clone, Debug, Default)]
pub struct Starts {
    /// The number of the newest log of each pod at that moment.
    before: BTreeMap<String, u32>,
    /// The highest number of each pod that was seen since.
    newest: BTreeMap<String, u32>,
}

impl Starts {
    /// Counts from now on; with `since`, the starts from that time on whose logs are there, too.
    pub fn since(logs: &[Log], since: Option<SystemTime>) -> Starts {
        let is_later =
            |made: Option<SystemTime>| matches!((made, since), (Some(made), Some(since)) if made >= since);
        let mut starts = Starts::default();
        note(&mut starts.before, logs.iter().filter(|log| !is_later(log.made)));
        for log in logs.iter().filter(|log| !is_later(log.pod_made) && log.restarts > 0) {
            // The pod is older. What it was before the oldest log that is there does not count.
            let oldest = logs.iter().filter(|one| one.pod == log.pod).map(|one| one.restarts).min();
            starts.before.entry(log.pod.clone()).or_insert(oldest.unwrap_or_default().saturating_sub(1));
        }
        starts
    }

    /// Counts what is there now, too. Returns the number of starts.
    pub fn count(&mut self, logs: &[Log]) -> usize {
        note(&mut self.newest, logs.iter());
        let starts = self.newest.iter().map(|(pod, newest)| match self.before.get(pod) {
            Some(before) => newest.saturating_sub(*before) as usize,
            None => *newest as usize + 1,
        });
        starts.sum()
    }

    /// Whether a log is of a start that counts.
    pub fn has(&self, log: &Log) -> bool {
        self.before.get(&log.pod).is_none_or(|before| log.restarts > *before)
    }
}

fn note<'l>(numbers: &mut BTreeMap<String, u32>, logs: impl Iterator<Item = &'l Log>) {
    for log in logs {
        let number = numbers.entry(log.pod.clone()).or_insert(log.restarts);
        *number = log.restarts.max(*number);
    }
}

/// The last error (see [`last_words`]) of the newest log that has one. `runs`: whether the container still runs.
pub fn newest_words(mut logs: Vec<Log>, runs: &dyn Fn(&Log) -> bool) -> Option<String> {
    logs.sort_by_key(|log| std::cmp::Reverse((log.written, log.restarts)));
    logs.into_iter().find_map(|log| last_words(&end_of(&log.path, LAST_WORDS_LIMIT).ok()?, runs(&log)))
}

/// Whether a line of a log was written to standard output: an event. The API server's own messages are on standard error.
pub fn is_output(line: &str) -> bool {
    line.split(' ').nth(1) == Some("stdout")
}

fn end_of(path: &Path, limit: u64) -> Result<String> {
    let mut file = open_known(path, Expected::File, OFlag::empty())?;
    file.seek(SeekFrom::Start(file.metadata()?.len().saturating_sub(limit)))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The names that this node may have: as its kubelet is told, or else its host name (kubernetes/kubernetes
/// `pkg/util/node`).
fn node_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for pid in kubelets() {
        let words = words(pid);
        let name = kubelet::flag(words.get(1..).unwrap_or_default(), "hostname-override");
        names.extend(name.map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()));
    }
    if names.is_empty() {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        names.insert(name.trim().to_lowercase());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::at;

    const UID: &str = "0123456789abcdef0123456789abcdef";
    const OTHER: &str = "ffffffffffffffffffffffffffffffff";

    #[test]
    fn the_api_server_of_a_manifest_is_the_newest_with_its_flags_or_the_only_one() {
        let process = |pid: i32, words: &str| Process {
            pid,
            started: pid.unsigned_abs().into(),
            arguments: words.split(' ').map(str::to_owned).collect(),
        };
        let auditing = Auditing {
            flags: [("audit-policy-file".to_owned(), "/p".to_owned())].into_iter().collect(),
            words: vec!["--audit-policy-file=/p".to_owned()],
            ..Auditing::default()
        };
        let own = |pid| process(pid, "kube-apiserver --audit-policy-file=/p");
        let other = |pid| process(pid, "kube-apiserver --audit-policy-file=/q");
        for (all, found) in [
            (vec![own(1)], Some((1, true))),
            (vec![other(1)], Some((1, false))),
            (vec![other(1), other(2)], None),
            (vec![own(2), own(1)], Some((2, true))),
            (vec![own(1), other(2)], Some((1, true))),
            (vec![], None),
        ] {
            let chosen = choose(all.clone(), &auditing);
            assert_eq!(chosen.map(|(process, is_own)| (process.pid, is_own)), found, "{all:?}");
        }
    }

    fn container(logs: &Path) -> Container {
        let text = |text: &str| text.to_owned();
        Container {
            logs: logs.to_owned(),
            namespace: text("kube-system"),
            pod: text("kube-apiserver"),
            name: text("kube-apiserver"),
            nodes: BTreeSet::from([text("node")]),
        }
    }

    #[test]
    fn the_name_of_the_node_is_learned_from_a_pod_of_the_manifest_alone() {
        const THIRD: &str = "0000000000000000ffffffffffffffff";
        let (node, etcd) = ("kube-system_kube-apiserver-n1", "kube-system_etcd-n1");
        for (pods, found) in [
            (&[(node, UID), (etcd, OTHER)][..], Some("n1")),
            (&[(node, UID)], Some("n1")),
            // The API server of another namespace, and another name that begins the same.
            (&[("tenant_kube-apiserver-n1", UID), (etcd, OTHER)], None),
            (&[("kube-system_kube-apiserver-b-n1", UID), (etcd, OTHER)], None),
            (&[("kube-system_kube-apiserver-b-n1", UID), (node, OTHER)], None),
            (&[("kube-system_kube-apiserverb-n1", UID)], None),
            (&[("kube-system_kube-apiserver-", UID)], None),
            // A node's name has dashes, too.
            (&[("kube-system_kube-apiserver-b-n1", UID), ("kube-system_etcd-b-n1", OTHER)], Some("b-n1")),
            // Only static pods have it behind their names.
            (&[(node, UID), (etcd, OTHER), ("default_web-x", "01234567-89ab-cdef-0123-456789abcdef")], Some("n1")),
            (&[(node, OTHER), (etcd, THIRD)], None),
        ] {
            let dir = tempfile::tempdir().unwrap();
            for (name, uid) in pods {
                fs::create_dir(dir.path().join(format!("{name}_{uid}"))).unwrap();
            }
            assert_eq!(container(dir.path()).node_of(UID).as_deref(), found, "{pods:?}");
        }
    }

    #[test]
    fn only_the_logs_of_this_container_count() {
        let dir = tempfile::tempdir().unwrap();
        let own = format!("kube-system_kube-apiserver-node_{UID}/kube-apiserver");
        for path in [
            format!("{own}/0.log"),
            format!("{own}/12.log"),
            // The kubelet rotates the log of a start.
            format!("{own}/12.log.20260101-000000"),
            format!("{own}/12.log.20260101-000000.gz"),
            format!("{own}/x.log"),
            format!("kube-system_kube-apiserver-node_{UID}/wait-for-etcd/0.log"),
            format!("kube-system_kube-apiserver-node_{UID}/a-sidecar/3.log"),
            format!("kube-system_kube-apiserver-proxy-node_{OTHER}/kube-apiserver/7.log"),
            format!("kube-system_kube-apiserver-other_{OTHER}/kube-apiserver/8.log"),
            format!("tenant_kube-apiserver-node_{OTHER}/kube-apiserver/9.log"),
            format!("kube-system_kube-apiserver_{OTHER}/kube-apiserver/9.log"),
            "kube-system_kube-apiserver-node/kube-apiserver/9.log".to_owned(),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let mut numbers: Vec<_> =
            container(dir.path()).logs().into_iter().map(|log| (log.pod, log.restarts)).collect();
        numbers.sort();
        assert_eq!(numbers, [(UID.to_owned(), 0), (UID.to_owned(), 12)]);
        assert!(container(Path::new("/no/such/directory")).logs().is_empty());
    }

    fn log(pod: &str, restarts: u32, made: u64) -> Log {
        let (made, pod_made) = (Some(at(made)), Some(at(if pod == UID { 50 } else { 300 })));
        Log { pod: pod.to_owned(), restarts, path: PathBuf::new(), written: at(1000), made, pod_made }
    }

    #[test]
    fn starts_are_counted_by_the_numbers_of_logs_that_come_and_go() {
        // An API server that was started often before.
        let old = [log(UID, 6, 100), log(UID, 7, 200)];
        let mut starts = Starts::since(&old, None);
        for (there, count) in [
            (&old[..], 0),
            // The first of another pod.
            (&[log(UID, 7, 200), log(OTHER, 0, 300)], 1),
            // Its log is removed, and the next one is of the third start.
            (&[log(OTHER, 2, 400)], 3),
            (&[], 3),
            (&[log(OTHER, 2, 400), log(OTHER, 3, 500)], 4),
            // The way back: the first pod has its UID again.
            (&[log(UID, 8, 600)], 5),
        ] {
            assert_eq!(starts.count(there), count, "{there:?}");
        }
        assert!(!starts.has(&old[1]) && starts.has(&log(UID, 8, 600)) && starts.has(&log(OTHER, 0, 1)));
    }

    #[test]
    fn a_run_that_goes_on_with_another_one_counts_its_starts() {
        // The earlier run changed the manifest at 300. In its back-off, the kubelet keeps the last log alone. The API
        // server of before has written to its log until 1000, as it takes its time to end.
        let there = [log(UID, 7, 200), log(OTHER, 4, 400)];
        for (there, since, count) in [
            (&there[..], Some(300), 5),
            (&there, Some(500), 0),
            (&there, None, 0),
            // The pod is older, and its earlier logs are gone: no more is known to count.
            (&[log(UID, 7, 400)], Some(300), 1),
            (&[log(UID, 7, 400), log(UID, 8, 500)], Some(300), 2),
            (&[Log { made: None, ..log(OTHER, 4, 400) }], Some(300), 0),
            (&[Log { pod_made: None, ..log(OTHER, 4, 400) }], Some(300), 1),
        ] {
            let mut starts = Starts::since(there, since.map(at));
            assert_eq!(starts.count(there), count, "{there:?} since {since:?}");
        }
    }

    #[test]
    fn what_a_container_says_that_still_runs_is_no_reason() {
        let dir = tempfile::tempdir().unwrap();
        let directory = format!("kube-system_kube-apiserver-node_{UID}/kube-apiserver");
        fs::create_dir_all(dir.path().join(&directory)).unwrap();
        let line = "I0101 00:00:00.1 1 httplog.go:135] \"HTTP\" verb=\"PUT\" audit-ID=\"x\"";
        fs::write(dir.path().join(directory).join("3.log"), format!("2026-01-01T00:00:00.1Z stderr F {line}\n"))
            .unwrap();
        let logs = container(dir.path()).logs();
        assert_eq!(newest_words(logs.clone(), &|_| true), None);
        assert_eq!(newest_words(logs, &|log| log.restarts != 3).as_deref(), Some(line));
    }

    #[test]
    fn messages_are_no_output() {
        let log = "2026-01-01T00:00:00.1Z stderr F I0101 httplog.go:135] URI=\"/version?m=1\"\n\
                   2026-01-01T00:00:00.2Z stdout F {\"kind\":\"Event\"}\nbroken\n";
        let output: Vec<_> = log.lines().filter(|line| is_output(line)).collect();
        assert_eq!(output, ["2026-01-01T00:00:00.2Z stdout F {\"kind\":\"Event\"}"]);
    }
}
