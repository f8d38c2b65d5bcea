//! A node in namespaces, as the harness sees it: its folder, its processes, and its end.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fs_err::{self as fs, File};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cgroup::{GROUPS, Group};
use super::network::{self, Switch};
use super::spec::{Spec, own_program};
use crate::image::Base;
use crate::node::{self, LOGS, Node};
use crate::run;

/// How many instances of inotify a node uses. Most are those of systemd, the kubelet and containerd.
const INOTIFY: usize = 17;

/// The number of nodes that this machine has room for. It gives few instances of inotify, and systemd doesn't start
/// without.
///
/// # Errors
///
/// `/proc` can't be read.
pub fn count_room() -> Result<usize> {
    let given = fs::read_to_string("/proc/sys/fs/inotify/max_user_instances")?.trim().parse::<usize>()?;
    let mut used = 0;
    for process in fs::read_dir("/proc")? {
        // It has ended meanwhile, or is no process.
        let Ok(files) = fs::read_dir(process?.path().join("fd")) else { continue };
        let is_inotify =
            |path: PathBuf| fs::read_link(path).is_ok_and(|link| link.ends_with("anon_inode:inotify"));
        used += files.flatten().filter(|file| is_inotify(file.path())).count();
    }
    Ok(given.saturating_sub(used) / INOTIFY)
}

/// The exit code of a systemd that can't start: `EXIT_EXCEPTION` of its `exit-status.h`.
const SYSTEMD_GAVE_UP: i32 = 255;

/// How many nodes this process has made. Each has control groups of its own.
static NODES: AtomicU32 = AtomicU32::new(0);

/// A node in namespaces that may be booted more than once, with the same files.
#[derive(Debug)]
pub struct Container {
    spec: Spec,
    spec_path: PathBuf,
    #[expect(dead_code, reason = "held until the last of its nodes is gone")]
    switch: Rc<Switch>,
}

impl Container {
    /// Makes a node that has never been booted, in a new folder `top`.
    ///
    /// # Errors
    ///
    /// A file can't be written.
    pub fn new(base: &Base, top: &Path, name: &str, address: &str, switch: Rc<Switch>) -> Result<Self> {
        for dir in ["up", "work", "mnt", "containerd"] {
            let dir = top.join(dir);
            fs::create_dir_all(&dir)?;
        }
        copy_store(&base.store, &top.join("containerd"))?;
        let spec = Spec {
            name: name.to_owned(),
            address: address.to_owned(),
            layers: base.layers.clone(),
            top: top.to_owned(),
            group: Group::named(&format!(
                "vm-tests-{}-{}",
                std::process::id(),
                NODES.fetch_add(1, Ordering::Relaxed)
            )),
            switch: switch.pid(),
            program: own_program(),
        };
        // By this file the next run finds the groups that a killed harness leaves behind.
        let groups = top.parent().unwrap_or(top).join(GROUPS);
        let mut groups = File::options().create(true).append(true).open(groups)?;
        writeln!(groups, "{}", spec.group.name())?;
        let spec_path = top.join("spec.json");
        spec.write(&spec_path)?;
        Ok(Self { spec, spec_path, switch })
    }
}

impl Node for Container {
    fn top(&self) -> &Path {
        &self.spec.top
    }

    fn path(&self, path: &str) -> PathBuf {
        self.spec.top.join("up").join(path.trim_start_matches('/'))
    }

    fn boot(&self) -> Result<Box<dyn node::Running>> {
        Ok(Box::new(self.start()?))
    }

    fn give_shell(&self) -> Result<()> {
        let mut running = self.start()?;
        let unshare = running.child.id();
        let children = format!("/proc/{unshare}/task/{unshare}/children");
        // When systemd has made its first folder, the node has its file systems.
        let init = run::wait_for(Duration::from_secs(60), || {
            node::Running::has_ended(&mut running)?;
            let init = fs::read_to_string(&children)?.trim().to_owned();
            ensure!(
                Path::new(&format!("/proc/{init}/root/run/systemd/system")).exists(),
                "the node doesn't start"
            );
            Ok(init)
        })?;
        let mut shell = Command::new("nsenter");
        shell.args(["--target", &init, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root"]);
        shell.args(["env", "--chdir=/", "--ignore-environment", "HOME=/root", "TERM=linux"]);
        shell.args(["KUBECONFIG=/etc/kubernetes/admin.conf", "bash", "--login"]);
        let mut shell = shell.spawn().context("can't run nsenter")?;
        let nsenter = Pid::from_raw(shell.id().cast_signed());
        while shell.try_wait()?.is_none() {
            // When systemd powers off, it stops all processes for a moment. nsenter stops itself with its child, and
            // nobody would ever reap the child.
            let _ = kill(nsenter, Signal::SIGCONT);
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// A node that hung sends no logs, which are then copied from its files. A link in them leads to its own files, not
    /// to those of the machine.
    fn keep_logs(&self, to: &Path) -> Result<()> {
        if let Ok(true) = node::unpack_logs(&self.spec.top.join("logs"), to) {
            return Ok(());
        }
        let root = File::open(self.path("/"))?;
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
        for log in LOGS {
            let found = match openat2(&root, log, how) {
                Ok(found) => found,
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => continue,
                Err(errno) => return Err(errno).with_context(|| format!("{log} of {}", self.spec.name)),
            };
            let from = PathBuf::from(format!("/proc/{}/fd/{}", process::id(), found.as_raw_fd()));
            let to = to.join(log.trim_start_matches('/'));
            if from.is_dir() {
                fs::create_dir_all(&to)?;
                run::copy(&from, &to)?;
            } else if from.is_file() {
                fs::create_dir_all(to.parent().unwrap_or(&to))?;
                fs::copy(&from, &to)?;
            }
        }
        Ok(())
    }
}

impl Container {
    fn start(&self) -> Result<RunningContainer> {
        self.spec.group.create()?;
        let append = |path| File::options().create(true).append(true).open(path).map(File::into_file);
        for port in [self.result(), self.spec.top.join("logs")] {
            append(port)?;
        }
        let console = append(self.console())?;
        let child = Command::new(&self.spec.program)
            .arg("enter")
            .arg(&self.spec_path)
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            // Ctrl-C on the terminal reaches the harness alone, which then ends the node.
            .process_group(0)
            .spawn()
            .context("can't start a node")?;
        Ok(RunningContainer { child, group: self.spec.group.clone() })
    }
}

/// A node in namespaces that was started.
#[derive(Debug)]
struct RunningContainer {
    child: Child,
    group: Group,
}

impl node::Running for RunningContainer {
    fn has_ended(&mut self) -> Result<bool> {
        let Some(status) = self.child.try_wait()? else { return Ok(false) };
        if is_shutdown(status) {
            return Ok(true);
        }
        ensure!(
            status.code() != Some(SYSTEMD_GAVE_UP),
            "systemd gave up: {status}. If this machine runs more nodes than it has room for, such as those of two \
             runs, raise fs.inotify.max_user_instances, or lower --jobs"
        );
        bail!("the node ended by itself: {status}")
    }
}

/// Did the node power itself off, or reboot? reboot(2) in a PID namespace ends its init by SIGINT (power-off) or SIGHUP
/// (reboot), and `unshare` exits with 128 more than that.
fn is_shutdown(status: ExitStatus) -> bool {
    let signal = status.signal().or(status.code().map(|code| code - 128));
    signal.is_some_and(|signal| [Signal::SIGINT as i32, Signal::SIGHUP as i32].contains(&signal))
}

impl Drop for RunningContainer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Err(error) = self.group.remove() {
            eprintln!("{error:#}");
        }
    }
}

/// Does what `vm-tests enter SPEC` does: joins the network of a node, and becomes `unshare`, whose child is
/// [`boot`](super::boot()).
///
/// # Errors
///
/// The node can't be made.
pub fn enter(spec_path: &Path) -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let spec = Spec::read(spec_path)?;
    network::join(&spec)?;
    let error = Command::new("unshare")
        .args(["--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"])
        .arg(&spec.program)
        .arg("boot")
        .arg(spec_path)
        .exec();
    Err(error).context("can't run unshare")
}

/// Copies a store of images. Its big files are linked, since nothing changes them in place. Its databases are copied.
fn copy_store(from: &Path, to: &Path) -> Result<()> {
    run::output(Command::new("cp").args(["-a", "--link"]).arg(from.join(".")).arg(to))?;
    let databases = run::output(Command::new("find").arg(to).args(["-type", "f", "-name", "*.db"]))?;
    for path in databases.lines() {
        let copy = format!("{path}.copy");
        fs::copy(path, &copy)?;
        fs::rename(&copy, path)?;
    }
    Ok(())
}
