//! A node in namespaces: a copy-on-write chroot of an image, with systemd as PID 1, in mount, network, PID, UTS, IPC
//! and cgroup namespaces of its own. It shares nothing with the machine but its kernel and, read-only, the image.
//!
//! Three processes make one: the harness starts `enter` (this program again), which joins the node's network
//! and becomes `unshare`, whose child is `boot` (this program once more), which joins the node's cgroups and becomes systemd. Each dies with
//! the one before it.

mod boot;
mod cgroup;
mod network;

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
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
use serde::{Deserialize, Serialize};

use crate::image::Image;
#[cfg(doc)]
use crate::node::NETWORK;
use crate::node::{self, LOGS, Node};
use crate::{run, stale};
use cgroup::Group;
pub use cgroup::remove_group;
pub use network::{Switch, serve as switch};

/// How many instances of inotify a node has, most of them those of systemd, the kubelet and containerd.
const INOTIFY: usize = 17;

/// For how many nodes this machine has room: it gives few instances of inotify, and systemd doesn't begin without.
///
/// # Errors
///
/// `/proc` can't be read.
pub fn room() -> Result<usize> {
    let given = fs::read_to_string("/proc/sys/fs/inotify/max_user_instances")?.trim().parse::<usize>()?;
    let mut used = 0;
    for process in fs::read_dir("/proc")? {
        // Those that end meanwhile, and what is no process.
        let Ok(files) = fs::read_dir(process?.path().join("fd")) else { continue };
        let is_inotify =
            |path: PathBuf| fs::read_link(path).is_ok_and(|link| link.ends_with("anon_inode:inotify"));
        used += files.flatten().filter(|file| is_inotify(file.path())).count();
    }
    Ok(given.saturating_sub(used) / INOTIFY)
}

/// `EXIT_EXCEPTION` of systemd's `exit-status.h`.
const SYSTEMD_GAVE_UP: i32 = 255;

/// How many nodes there were: each has control groups of its own.
static NODES: AtomicU32 = AtomicU32::new(0);

/// A node in namespaces that may be booted, more than once, over the same files.
#[derive(Debug)]
pub struct Container {
    spec: Spec,
    spec_path: PathBuf,
    #[expect(dead_code, reason = "held until the last of its nodes is gone")]
    switch: Rc<Switch>,
}

/// What `enter` and `boot` must know of a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// The host's name.
    pub name: String,
    /// IPv4 address, in the network that [`NETWORK`] names.
    pub address: String,
    layers: Vec<PathBuf>,
    /// The node's own folder: `up` has the files that it changed, `result` what it told.
    top: PathBuf,
    group: Group,
    switch: u32,
    /// See [`own_program`].
    program: String,
}

impl Container {
    /// A node that has never been booted, in a new folder `top`.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn new(image: &Image, top: &Path, name: &str, address: &str, switch: Rc<Switch>) -> Result<Self> {
        for dir in ["up", "work", "mnt", "containerd"] {
            let dir = top.join(dir);
            fs::create_dir_all(&dir)?;
        }
        copy_store(&image.store, &top.join("containerd"))?;
        let spec = Spec {
            name: name.to_owned(),
            address: address.to_owned(),
            layers: image.layers.clone(),
            top: top.to_owned(),
            group: Group::named(&format!(
                "vm-tests-{}-{}",
                std::process::id(),
                NODES.fetch_add(1, Ordering::Relaxed)
            )),
            switch: switch.pid(),
            program: own_program(),
        };
        // What a killed harness leaves behind, the next one finds by this.
        let groups = top.parent().unwrap_or(top).join(stale::GROUPS);
        let mut groups = File::options().create(true).append(true).open(groups)?;
        writeln!(groups, "{}", spec.group.name())?;
        let spec_path = top.join("spec.json");
        fs::write(&spec_path, serde_json::to_string(&spec)?)?;
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

    fn shell(&self) -> Result<()> {
        let mut running = self.start()?;
        let unshare = running.child.id();
        let children = format!("/proc/{unshare}/task/{unshare}/children");
        // systemd is there when it has made its first folder: from then on, the node has its file systems.
        let init = run::wait_for(Duration::from_secs(60), || {
            node::Running::ended(&mut running)?;
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
            // systemd stops all processes for a moment when it powers off. nsenter stops itself with its child, and then nobody
            // would ever reap that.
            let _ = kill(nsenter, Signal::SIGCONT);
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// Those of a node that hung lie where it wrote them. Its links lead to its own files, not to the machine's.
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
    fn start(&self) -> Result<Running> {
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
            // Ctrl-C on the terminal is for the harness alone, which ends the node itself.
            .process_group(0)
            .spawn()
            .context("can't start a node")?;
        Ok(Running { child, group: self.spec.group.clone() })
    }
}

#[derive(Debug)]
struct Running {
    child: Child,
    group: Group,
}

impl node::Running for Running {
    fn ended(&mut self) -> Result<bool> {
        use std::os::unix::process::ExitStatusExt;
        let Some(status) = self.child.try_wait()? else { return Ok(false) };
        // reboot(2) in a PID namespace ends its init by SIGINT (power-off) or SIGHUP (reboot).
        let signal = status.signal().or(status.code().map(|code| code - 128));
        match signal {
            Some(signal) if signal == Signal::SIGINT as i32 || signal == Signal::SIGHUP as i32 => Ok(true),
            // What it ends with in a container that it can't begin in, and nobody is there yet to say why.
            _ if status.code() == Some(SYSTEMD_GAVE_UP) => bail!(
                "systemd gave up: {status}. With more nodes than this machine has room for, such as those of two runs, raise \
                 fs.inotify.max_user_instances, or give --jobs less"
            ),
            _ => bail!("the node ended by itself: {status}"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Err(error) = self.group.remove() {
            eprintln!("{error:#}");
        }
    }
}

/// The harness's own program, by its process: the file may have been replaced by a newer one since.
fn own_program() -> String {
    format!("/proc/{}/exe", std::process::id())
}

/// The first process of a node, on the machine's side: `enter SPEC` makes the network and becomes
/// `unshare`, whose child is [`boot`].
///
/// # Errors
///
/// The node can't be made.
pub fn enter(spec_path: &Path) -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let spec = read_spec(spec_path)?;
    network::join(&spec)?;
    let error = Command::new("unshare")
        .args(["--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"])
        .arg(&spec.program)
        .arg("boot")
        .arg(spec_path)
        .exec();
    Err(error).context("can't run unshare")
}

/// The node's first own process: `boot SPEC` makes its file systems and becomes systemd.
///
/// # Errors
///
/// A file system can't be mounted.
pub fn boot(spec_path: &Path) -> Result<()> {
    boot::boot(&read_spec(spec_path)?)
}

fn read_spec(path: &Path) -> Result<Spec> {
    let text = fs::read_to_string(path)?;
    Ok(serde_json::from_str(&text)?)
}

/// Copies a store of images. Its big files are never changed in place, so they are linked; its databases are copied.
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
