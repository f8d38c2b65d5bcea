//! Runs other programs: by absolute path, without a shell, and with a time limit. Lists those that run.

use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::facts::file::FileIdentity;

/// Environment variables that would send a request for this node through a proxy.
const PROXIES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

/// The directories of the programs that only the root user needs.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// How much of a program's output is read, in bytes. An API server's metrics are some MiB, an object of a cluster at
/// most 1.5 MiB.
const LIMIT: u64 = 64 << 20;
/// How long to wait for the output after the program has ended: a process that it started may still hold the pipe.
const REST: Duration = Duration::from_secs(1);

/// The running processes, each as (number, name). The kernel cuts names at 15 characters. A process that has just ended
/// has an empty name.
pub fn running() -> impl Iterator<Item = (i32, String)> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        Some((pid, name.trim_end().to_owned()))
    })
}

/// Whether a process is one of the node's own, run by the root user: it has the root directory of this program. Any user
/// can give a process any name, and a container that is somebody's node has a root directory of its own.
pub fn is_of_node(pid: i32) -> bool {
    let root = |path: &str| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let ours = root("/");
    ours.is_some() && root(&format!("/proc/{pid}/root")) == ours && is_of_user(pid)
}

/// Whether a process is this node's kubelet.
pub fn is_kubelet(pid: i32) -> bool {
    program(pid).as_deref() == Some("kubelet") && is_of_node(pid)
}

/// The processes of this node's kubelet.
pub fn kubelets() -> impl Iterator<Item = i32> {
    running().map(|(pid, _)| pid).filter(|pid| is_kubelet(*pid))
}

/// Whether the user of this program, the root user, runs a process.
pub fn is_of_user(pid: i32) -> bool {
    user_of(pid) == Some(geteuid().as_raw())
}

/// The user that a process acts as.
fn user_of(pid: i32) -> Option<u32> {
    // proc_pid_status(5): the real, the effective, the saved and the file system's user ID.
    status(pid, "Uid:")?.split_whitespace().nth(1)?.parse().ok()
}

fn status(pid: i32, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field)).map(str::to_owned)
}

/// The file name of the program that a process runs. Unlike the name of the process, no process can choose it.
pub fn program(pid: i32) -> Option<String> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let name = path.file_name()?.to_str()?;
    // A program that was replaced, as by an upgrade.
    Some(name.strip_suffix(" (deleted)").unwrap_or(name).to_owned())
}

/// The words of a process's command line; none if it has ended, also if nobody has waited for it.
pub fn words(pid: i32) -> Vec<String> {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if words.is_empty() {
        return Vec::new();
    }
    let words = words.strip_suffix(b"\0").unwrap_or(&words);
    words.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// When a process started: the kernel's hundredths of a second (USER_HZ) since the machine started.
pub fn started(pid: i32) -> Option<u64> {
    stat_field(&stat(pid)?, 19)
}

fn stat(pid: i32) -> Option<String> {
    Some(String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?).into_owned())
}

/// A field of a `/proc/PID/stat`, by its number after the name in brackets, which may contain anything
/// (proc_pid_stat(5)).
fn stat_field<T: std::str::FromStr>(stat: &str, number: usize) -> Option<T> {
    stat.rsplit_once(") ")?.1.split(' ').nth(number)?.parse().ok()
}

/// Where a process runs, by its control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// In a static pod of this node's kubelet.
    StaticPod,
    /// In another pod, or in a pod of another kubelet: a container here can be a node of another cluster.
    OtherPod,
    /// In no pod.
    Outside,
}

/// Where a process runs.
pub fn place(pid: i32) -> Runs {
    place_in(pod_of(pid).as_deref(), &status(pid, "NSpid:").unwrap_or_default())
}

/// Where a process runs. `pod`: the UID of its pod. `ids`: its ID in the namespace of `/proc`, and in each that is nested
/// in it (proc_pid_status(5), `NSpid`). A container of this node's kubelet has at most one of its own.
fn place_in(pod: Option<&str>, ids: &str) -> Runs {
    match pod {
        Some(uid) if is_static(uid) && ids.split_whitespace().count() <= 2 => Runs::StaticPod,
        Some(_) => Runs::OtherPod,
        None => Runs::Outside,
    }
}

/// Whether a pod with this UID comes from a manifest on the node: its UID is a hash (kubernetes
/// `pkg/kubelet/config/common.go`). The API server gives UIDs with dashes.
pub fn is_static(uid: &str) -> bool {
    uid.len() == 32
}

/// The control groups of the pod that a process runs in, each as the controllers of its hierarchy, and its path there.
pub fn groups_of_pod(pid: i32) -> Vec<(String, String)> {
    groups_in(&fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default())
}

/// The same in the text of a `/proc/PID/cgroup`.
fn groups_in(groups: &str) -> Vec<(String, String)> {
    let group = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let all: Vec<_> = path.split('/').collect();
        let pod = all.iter().rposition(|part| uid_in(part).is_some())?;
        // A group outside the namespace of groups that this process is in.
        let is_here = !all.contains(&"..");
        is_here.then(|| (controllers.trim_start_matches("name=").to_owned(), all[..=pod].join("/")))
    };
    groups.lines().filter_map(group).collect()
}

/// The UID of the pod that a process runs in, by its control group. `None` if it runs in none.
pub fn pod_of(pid: i32) -> Option<String> {
    pod_in(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
}

/// The UID of the innermost pod in the text of a `/proc/PID/cgroup`. The kubelet calls the group of a pod `podUID`, and
/// with systemd `kubepods-burstable-podUID.slice` or the like, where each dash of the UID is an underscore
/// (kubernetes `pkg/kubelet/cm/cgroup_manager_linux.go`).
fn pod_in(groups: &str) -> Option<String> {
    groups.lines().find_map(|line| line.splitn(3, ':').nth(2)?.split('/').rev().find_map(uid_in))
}

/// The UID of the pod whose control group has this name.
fn uid_in(part: &str) -> Option<String> {
    let part = part.strip_suffix(".slice").unwrap_or(part);
    let (before, uid) = part.rsplit_once("pod")?;
    let is_named = before.is_empty() || before.ends_with('-');
    let digits = uid.chars().filter(char::is_ascii_hexdigit).count();
    let others = uid.chars().filter(|char| matches!(char, '-' | '_')).count();
    (is_named && digits == 32 && matches!(others, 0 | 4) && digits + others == uid.len())
        .then(|| uid.replace('_', "-"))
}

/// A command without input and output, and without proxies.
pub fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for name in PROXIES {
        command.env_remove(name);
    }
    command
}

/// A file that a process has open.
pub struct OpenFile {
    pid: i32,
    number: String,
    pub metadata: fs::Metadata,
}

impl OpenFile {
    /// Where it can be read, even if it was deleted.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", self.pid, self.number)
    }

    pub fn identity(&self) -> FileIdentity {
        FileIdentity { device: self.metadata.dev(), inode: self.metadata.ino() }
    }

    /// Whether it is open for writing.
    pub fn is_written(&self) -> bool {
        let info = fs::read_to_string(format!("/proc/{}/fdinfo/{}", self.pid, self.number)).unwrap_or_default();
        // proc_pid_fdinfo(5): the flags are octal, and the last digit is the access mode; 0 is reading alone.
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")?.trim().chars().last());
        flags.is_some_and(|flags| flags != '0')
    }
}

/// What a process has open.
pub fn open_files(pid: i32) -> impl Iterator<Item = OpenFile> {
    fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten().filter_map(move |entry| {
        let number = entry.file_name().to_str()?.to_owned();
        Some(OpenFile { pid, number, metadata: fs::metadata(entry.path()).ok()? })
    })
}

/// Starts a thread that takes no signal: one that another thread blocks must not end this process through it.
///
/// # Errors
///
/// There can be no more threads.
pub fn spawn(work: impl FnOnce() + Send + 'static) -> Result<()> {
    // A thread begins with the mask of the one that starts it.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let started = thread::Builder::new().spawn(work);
    before.thread_set_mask()?;
    started.map(drop).context("can't start a thread")
}

/// That a program did not end in time, with its last words.
#[derive(Debug)]
struct Late(String);

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Late {}

/// Whether an error of [`output`] is that the program did not end in time.
pub fn is_late(error: &anyhow::Error) -> bool {
    error.is::<Late>()
}

/// Runs a program with `input`, and returns its standard output as text. Kills the program after `limit`, with the
/// processes that it started. Doesn't wait for processes that outlive it.
///
/// # Errors
///
/// It can't be run, doesn't end in time (see [`is_late`]), or fails; with the last line of its standard error. A process
/// that outlives it still holds its output.
pub fn output(command: Command, input: &str, limit: Duration) -> Result<String> {
    output_unless(command, input, limit, &|| false)
}

/// Does as [`output`], and ends the program early if `is_off` says so.
///
/// # Errors
///
/// As [`output`].
pub fn output_unless(
    mut command: Command,
    input: &str,
    limit: Duration,
    is_off: &dyn Fn() -> bool,
) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{program}: can't be run"))?;
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let fed = child.stdin.take().map_or(Ok(()), |mut stdin| {
        let input = input.to_owned();
        // A program that doesn't read its input reports why, or doesn't need it.
        spawn(move || drop(stdin.write_all(input.as_bytes())))
    });
    // Whatever failed, the program is waited for.
    let start = Instant::now();
    let ended = wait(&mut child, limit, is_off)?;
    fed?;
    let mut why = match ended {
        Some(status) if status.success() => {
            return stdout
                .recv_timeout(REST)
                .with_context(|| format!("{program}: it has ended, but its output has not: a process holds it"));
        }
        Some(status) => format!("{program}: failed with {status}"),
        None => format!("{program}: did not end within {} s", limit.min(start.elapsed()).as_secs()),
    };
    let said = stderr.recv_timeout(REST).unwrap_or_default();
    if let Some(said) = said.lines().rfind(|line| !line.trim().is_empty()) {
        why = format!("{why}: {}", said.trim());
    }
    match ended {
        Some(_) => bail!(why),
        None => Err(Late(why).into()),
    }
}

/// Runs a program from the system directories, and returns its standard output. Kills it after `limit`.
///
/// # Errors
///
/// It is not installed, and the errors of [`output`].
pub fn run(program: &str, arguments: &[&str], limit: Duration) -> Result<String> {
    output(command(&installed(program)?, arguments), "", limit)
}

/// The path of a program in the system directories.
///
/// # Errors
///
/// It is not installed.
pub fn installed(program: &str) -> Result<String> {
    let path =
        DIRECTORIES.iter().map(|directory| format!("{directory}/{program}")).find(|path| Path::new(path).exists());
    path.with_context(|| format!("there is no {program} in any of {}; install it", DIRECTORIES.join(", ")))
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    // Without a thread, there is no output.
    let _ = spawn(move || {
        let mut bytes = Vec::new();
        // An output that can't be read to its end is none.
        if pipe.is_some_and(|pipe| pipe.take(LIMIT).read_to_end(&mut bytes).is_ok()) {
            let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
        }
    });
    receiver
}

/// Waits for the end of a program; `None`: it was killed, because it did not end in time.
fn wait(child: &mut Child, limit: Duration, is_off: &dyn Fn() -> bool) -> Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end || is_off() {
            // Its own children, too, such as a plugin of kubectl that waits for a browser.
            let below = descendants(child.id());
            child.kill()?;
            for pid in below {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// The processes that a process has started, and those that these have started.
fn descendants(pid: u32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> =
        running().filter_map(|(pid, _)| Some((pid, stat_field(&stat(pid)?, 1)?))).collect();
    let mut found: Vec<i32> = pid.try_into().into_iter().collect();
    let mut at = 0;
    while let Some(above) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, parent)| *parent == above).map(|(pid, _)| *pid));
        at += 1;
    }
    found.split_off(found.len().min(1))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn the_pod_of_a_process_is_read_from_its_control_group() {
        let (hash, uid) = ("0123456789abcdef0123456789abcdef", "01234567-89ab-cdef-0123-456789abcdef");
        let underscores = uid.replace('-', "_");
        for (groups, expected) in [
            (
                format!(
                    "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{hash}.slice/cri-containerd-{hash}{hash}.scope"
                ),
                Some(hash),
            ),
            (format!("0::/kubepods.slice/kubepods-pod{underscores}.slice/crio-{hash}{hash}.scope"), Some(uid)),
            (format!("0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{hash}.slice/x"), Some(hash)),
            (format!("12:cpu:/kubepods/burstable/pod{uid}/{hash}{hash}\n11:pids:/\n"), Some(uid)),
            (format!("12:pids:/\n11:cpu,cpuacct:/kubepods/pod{hash}/{hash}{hash}\n"), Some(hash)),
            // A node that is a pod of this one: the inner pod counts.
            (
                format!("0::/kubepods/pod{uid}/{hash}{hash}/kubelet/kubepods/burstable/pod{hash}/{hash}"),
                Some(hash),
            ),
            ("0::/user.slice/user-1000.slice/session-1.scope".to_owned(), None),
            (format!("0::/user.slice/my-podman-{hash}.scope"), None),
            (format!("0::/user.slice/tripod{hash}"), None),
            ("0::/".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(pod_in(&groups).as_deref(), expected, "{groups}");
            let found = groups_in(&groups);
            assert_eq!(found.is_empty(), expected.is_none(), "{groups}");
            assert!(
                found.iter().all(|(_, group)| pod_in(&format!("0::{group}")).as_deref() == expected),
                "{found:?}"
            );
        }
        let groups = format!(
            "9:cpu,cpuacct:/kubepods/pod{hash}/{uid}\n8:name=systemd:/kubepods/pod{hash}/{uid}\n7:pids:/\n6:rdma:/../pod{hash}\n"
        );
        let group = format!("/kubepods/pod{hash}");
        let expected = ["cpu,cpuacct", "systemd"].map(|controllers| (controllers.to_owned(), group.clone()));
        assert_eq!(groups_in(&groups), expected);
        for (pod, ids, expected) in [
            (Some(hash), "71", Runs::StaticPod),
            (Some(hash), "\t71\t1", Runs::StaticPod),
            // The kubelet of a node in a container.
            (Some(hash), "\t71\t60\t1", Runs::OtherPod),
            (Some(uid), "71\t1", Runs::OtherPod),
            (None, "71", Runs::Outside),
        ] {
            assert_eq!(place_in(pod, ids), expected, "{pod:?} {ids:?}");
        }
    }

    #[test]
    fn the_fields_of_a_process_are_read_whatever_its_name_is() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1000 2000";
        assert_eq!((stat_field(stat, 1), stat_field(stat, 19)), (Some(1), Some(12345)));
        assert_eq!(stat_field::<u64>("nonsense", 19), None);
    }

    #[test]
    fn a_process_counts_by_its_program_and_not_by_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("kubeadm");
        fs::copy("/bin/sh", &copy).unwrap();
        let mut child =
            Command::new(&copy).args(["-c", "read -r x", "upgrade"]).stdin(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        fs::remove_file(&copy).unwrap();
        // The kernel lets the parent go on before the new program has its arguments.
        while words(pid).is_empty() {
            std::thread::yield_now();
        }
        let (program, words) = (program(pid), words(pid));
        assert_eq!((program.as_deref(), is_of_node(pid)), (Some("kubeadm"), true));
        assert_eq!(words[1..], ["-c", "read -r x", "upgrade"]);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(super::program(pid), None);
    }

    #[test]
    fn a_process_that_calls_itself_a_kubelet_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        fs::create_dir(&real).unwrap();
        fs::create_dir(&link).unwrap();
        fs::copy("/bin/sh", real.join("kubelet")).unwrap();
        std::os::unix::fs::symlink("/bin/sh", link.join("kubelet")).unwrap();
        for (of, expected) in [(real, true), (link, false)] {
            let program = of.join("kubelet");
            let mut child =
                Command::new(&program).args(["-c", "read -r x"]).stdin(Stdio::piped()).spawn().unwrap();
            let pid = i32::try_from(child.id()).unwrap();
            // The kernel lets the parent go on before the new program has its arguments.
            while words(pid).is_empty() {
                std::thread::yield_now();
            }
            let named = running().any(|process| process == (pid, "kubelet".to_owned()));
            assert_eq!((named, is_kubelet(pid)), (true, expected), "{program:?}");
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }

    fn sh(script: &str, input: &str, limit: Duration) -> Result<String> {
        output(command("/bin/sh", &["-c", script]), input, limit)
    }

    #[test]
    fn a_program_gets_its_input_and_gives_its_output() {
        assert_eq!(sh("cat; echo of >&2", "text", Duration::from_secs(10)).unwrap(), "text");
        assert_eq!(sh("echo done", "it reads nothing", Duration::from_secs(10)).unwrap(), "done\n");
    }

    #[test]
    fn a_program_that_prints_without_end_is_not_read_without_end() {
        let error = sh("exec head -c 70000000 /dev/zero", "", Duration::from_secs(60)).unwrap_err().to_string();
        assert!(error.contains("SIGPIPE"), "{error}");
    }

    #[test]
    fn a_thread_that_is_spawned_takes_no_signal() {
        let (sender, receiver) = mpsc::channel();
        spawn(move || sender.send(SigSet::thread_get_mask().unwrap()).unwrap()).unwrap();
        let (mask, own) = (receiver.recv().unwrap(), SigSet::thread_get_mask().unwrap());
        for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
            assert_eq!((mask.contains(signal), own.contains(signal)), (true, false), "{signal}");
        }
    }

    #[test]
    fn what_a_process_has_open_is_known_and_whether_it_writes_there() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let reading = fs::File::open(file.path()).unwrap();
        let here = fs::metadata(file.path()).unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        let mut open: Vec<_> = open_files(pid)
            .filter(|open| open.identity() == FileIdentity { device: here.dev(), inode: here.ino() })
            .map(|open| (open.is_written(), fs::metadata(open.path()).unwrap().ino()))
            .collect();
        open.sort_unstable();
        assert_eq!(open, [(false, here.ino()), (true, here.ino())]);
        drop(reading);
    }

    #[test]
    fn what_it_says_last_is_why_it_failed() {
        let error = sh("echo first >&2; echo why >&2; echo >&2; exit 3", "", Duration::from_secs(10)).unwrap_err();
        assert_eq!(error.to_string(), "/bin/sh: failed with exit status: 3: why");
    }

    /// The child of the shell keeps the shell's pipes open.
    #[test]
    fn nothing_is_waited_for_longer_than_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let still_runs = |pid: &str| {
            // A process that has ended has no arguments, even if its parent has not waited for it.
            let arguments = fs::read(format!("/proc/{}/cmdline", pid.trim_end())).unwrap_or_default();
            arguments == b"sleep\x0060\0"
        };
        let script = |then: &str| format!("sleep 60 & echo $! >{}; {then}", file.display());
        let mut limit = Duration::from_millis(100);
        let pid = loop {
            let error = sh(&script("wait"), "", limit).unwrap_err();
            assert!(is_late(&error) && error.to_string().contains("did not end"), "{error}");
            match fs::read_to_string(&file) {
                Ok(pid) if pid.ends_with('\n') => break pid,
                // On a slow machine, the shell is killed before it starts its child.
                _ => limit *= 2,
            }
        };
        // What a program that is killed has started is killed, too, in its turn.
        let end = Instant::now() + Duration::from_secs(60);
        while still_runs(&pid) {
            assert!(Instant::now() < end, "{pid} still runs");
            thread::sleep(Duration::from_millis(5));
        }
        // It may have more to say, so what it said is not taken for all.
        let error = sh(&script("echo half"), "", Duration::from_secs(60)).unwrap_err();
        assert!(
            error.to_string().contains("its output has not: a process holds it") && !is_late(&error),
            "{error}"
        );
        let pid = fs::read_to_string(&file).unwrap();
        assert!(still_runs(&pid), "{pid} was waited for");
        kill(Pid::from_raw(pid.trim_end().parse().unwrap()), Signal::SIGKILL).unwrap();
    }

    #[test]
    fn nobodys_proxies_are_handed_on() {
        let command = command("/bin/true", &[]);
        // The names are listed here again on purpose. No other variable is removed or added.
        let wanted = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "http_proxy", "https_proxy"];
        let changed: Vec<_> = command.get_envs().collect();
        assert_eq!(changed, wanted.map(|name| (OsStr::new(name), None)));
    }
}
