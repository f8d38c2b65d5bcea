//! What the kubelet still has of a pod that it ends. `plan::hiding` says what that shows.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use super::apiserver::read_process;
use super::process::{groups_of_pod, is_static, kubelets, pod_of, running};
use crate::facts::server::Remains;

/// The kubelet's own directory, unless `--root-dir` says otherwise.
const KUBELET: &str = "/var/lib/kubelet";

/// Where it has the logs of containers, unless `podLogsDir` says otherwise.
const LOGS: &str = "/var/log/pods";

/// The traces of a running pod, by which its end is seen.
#[derive(Debug)]
pub struct Traces {
    groups: Vec<PathBuf>,
    directory: PathBuf,
    /// The logs of its containers.
    logs: Vec<PathBuf>,
}

impl Traces {
    /// The traces of the pod that a process runs in. `None` if it has no control group that can be seen.
    pub fn of(pid: i32) -> Option<Traces> {
        Traces::of_groups(&pod_of(pid)?, &groups_of_pod(pid))
    }

    /// The traces of the first of these pods that has a control group. No process of it needs to run: the group is
    /// found beside that of another pod of a manifest.
    pub fn of_pods(uids: &[String]) -> Option<Traces> {
        running().find_map(|(pid, _)| {
            let beside = pod_of(pid).filter(|beside| is_static(beside))?;
            let groups = groups_of_pod(pid);
            uids.iter().find_map(|uid| {
                let groups: Vec<_> =
                    groups.iter().map(|(at, path)| (at.clone(), path.replace(&beside, uid))).collect();
                Traces::of_groups(uid, &groups)
            })
        })
    }

    fn of_groups(uid: &str, groups: &[(String, String)]) -> Option<Traces> {
        let kubelet = kubelets().next()?;
        // The kubelet may see other file systems of control groups than this program does.
        let seen = |path: &str| PathBuf::from(format!("/proc/{kubelet}/root{path}"));
        let groups = groups.iter().map(|(controllers, path)| seen(&format!("/sys/fs/cgroup/{controllers}{path}")));
        let groups: Vec<_> = groups.filter(|group| group.is_dir()).collect();
        let own = read_process(kubelet)?.value("root-dir").unwrap_or_else(|| KUBELET.to_owned());
        let is_its = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(&format!("_{uid}")));
        let pod = entries(&seen(LOGS)).map(|entry| entry.path()).filter(is_its);
        let logs = pod.flat_map(|pod| entries(&pod)).flat_map(|container| entries(&container.path()));
        let logs =
            logs.map(|log| log.path()).filter(|log| log.extension().is_some_and(|is| is == "log")).collect();
        (!groups.is_empty()).then(|| Traces { groups, directory: seen(&format!("{own}/pods/{uid}")), logs })
    }

    /// No traces, for tests.
    #[cfg(test)]
    pub fn none() -> Traces {
        Traces { groups: Vec::new(), directory: PathBuf::new(), logs: Vec::new() }
    }

    /// What is left of them.
    pub fn look(&self) -> Remains {
        let has_container =
            |group: &PathBuf| entries(group).any(|one| one.file_type().is_ok_and(|it| it.is_dir()));
        let containers = self.groups.iter().any(has_container);
        // In this order: the kubelet may remove the directory after the group.
        let group = self.groups.iter().any(|group| group.is_dir());
        let logs = self.logs.is_empty() || self.logs.iter().any(|log| log.exists());
        Remains { group, containers, directory: self.directory.is_dir(), logs }
    }
}

/// What is in a directory, as far as it can be read.
fn entries(directory: &Path) -> impl Iterator<Item = DirEntry> + use<> {
    fs::read_dir(directory).into_iter().flatten().flatten()
}

/// Whether the kernel tells the kubelet of changes in a directory.
pub fn is_watched(inode: u64) -> bool {
    let Some(kubelet) = kubelets().next() else { return false };
    let entries = fs::read_dir(format!("/proc/{kubelet}/fdinfo")).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::read_to_string(entry.path()).ok()).any(|text| watches(&text, inode))
}

/// The same in the text of one `/proc/PID/fdinfo/FD` (proc_pid_fdinfo(5)).
fn watches(text: &str, inode: u64) -> bool {
    let inode = format!("ino:{inode:x}");
    text.lines().any(|line| line.starts_with("inotify ") && line.split(' ').any(|word| word == inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_known_by_the_inode() {
        let text = "pos:\t0\nflags:\t02004000\ninotify wd:2 ino:b4a755 sdev:28 mask:fc6 ignored_mask:0\n\
                    inotify wd:1 ino:b4a75f sdev:28 mask:fc6 ignored_mask:0\n";
        assert!(watches(text, 0xb4_a755) && watches(text, 0xb4_a75f));
        assert!(!watches(text, 0xb4_a75) && !watches(text, 0x28) && !watches("", 1));
    }

    #[test]
    fn what_is_left_of_a_pod_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let logs = vec![at("0.log"), at("1.log")];
        let traces = Traces { groups: vec![at("cpu"), at("memory")], directory: at("pod"), logs };
        for name in ["cpu", "memory", "memory/container", "pod", "0.log", "1.log"] {
            fs::create_dir(at(name)).unwrap();
        }
        let looks = |removed: &str| {
            fs::remove_dir(at(removed)).unwrap();
            let Remains { group, containers, directory, logs } = traces.look();
            [group, containers, directory, logs]
        };
        assert_eq!(looks("cpu"), [true, true, true, true], "another hierarchy has it");
        assert_eq!(looks("memory/container"), [true, false, true, true]);
        assert_eq!(looks("memory"), [false, false, true, true]);
        assert_eq!(looks("0.log"), [false, false, true, true], "another container has one");
        assert_eq!(looks("pod"), [false, false, false, true]);
        assert_eq!(looks("1.log"), [false, false, false, false]);
        assert!(Traces::none().look().logs, "none were seen");
    }
}
