//! Cases: stories of one or more nodes. A folder in `cases/` has `case.yaml` and a folder for each node, with a script
//! for each boot, `boot-1.sh` and so on, and cloud-init's `user-data`, or else that of `user-data.yaml`. The scripts run in the node when cloud-init is done, and
//! tell of their steps; `scripts/lib.sh` has what they say.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use fs_err as fs;
use serde::Deserialize;

use crate::components::{Components, minor};
use crate::host::Host;
use crate::namespaces::{Container, Switch};
use crate::node::{LOGS, NETWORK, Node};
use crate::qemu::{self, Accelerator, Disk, Machine};
use crate::random::Random;
use crate::watch::Watch;
use crate::{image, interrupt, kubeadm, run, stale};

const HERE: &str = env!("CARGO_MANIFEST_DIR");
/// Where the cases are, in it.
const CASES: &str = "cases";

/// What kubeadm is given, where it can be: an emulated API server may need minutes to start, and ends and starts again where that
/// takes it too long.
const TIMEOUTS: &str = "timeouts: {kubernetesAPICall: 10m, etcdAPICall: 5m, tlsBootstrap: 10m, kubeletHealthCheck: 10m, \
                        controlPlaneComponentHealthCheck: 10m}";

/// What an emulated control plane that is alone is given. With an election, each time that its API server is away for ten seconds
/// the others end as well, and their starts take the time that it needs for its own.
const NO_ELECTION: &str = "controllerManager: {extraArgs: [{name: leader-elect, value: 'false'}]}
    scheduler: {extraArgs: [{name: leader-elect, value: 'false'}]}";
/// What every emulated cluster is given: each probe of each component is a signature.
const SHORT_KEYS: &str = "encryptionAlgorithm: ECDSA-P256";

/// What runs the scripts of a case in its node, in `/usr/local/lib/case` there.
const SCRIPTS: &str = "scripts";

/// A node's own user-data; one that has none becomes a control plane, by kubeadm alone.
const USER_DATA: &str = "user-data";
/// What who made the image has cloud-init do, whatever the user-data.
const VENDOR_DATA: &str = "vendor-data";

/// Where a node finds its user-data.
pub const SEED: &str = "/var/lib/cloud/seed/nocloud";

/// How long a case may take, as a multiple of what it takes, and how long it may say nothing.
const LIMIT: u32 = 5;
const SILENCE: Duration = Duration::from_secs(120);

/// A story.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub description: Description,
    dir: PathBuf,
    nodes: Vec<String>,
}

/// What `case.yaml` says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    pub about: String,
    /// How long it takes, more or less: the longest begin first.
    pub seconds: u32,
    /// It takes too long to be run for every change.
    #[serde(default)]
    pub long: bool,
    /// It begins with the version before the one that it is run for.
    #[serde(default)]
    pub from_previous: bool,
    /// Where it can run.
    #[serde(default = "on_nodes")]
    pub on: Vec<On>,
    /// The nodes have what kind needs: Docker, and a node image.
    #[serde(default)]
    pub docker: bool,
    /// The nodes have another disk, blank, of so many MiB: `/dev/disk/by-id/virtio-audit`.
    #[serde(default)]
    pub disk: Option<u32>,
    /// The program is in the nodes' image, as a package that was installed there.
    #[serde(default)]
    pub baked: bool,
    /// The nodes run the scripts, and neither systemd nor anything else.
    #[serde(default)]
    pub bare: bool,
    /// How often the power is cut.
    #[serde(default)]
    pub cuts: u32,
}

/// Where nodes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum On {
    /// In namespaces of this machine, which takes seconds
    Namespaces,
    /// On machines of their own, which takes minutes
    Qemu,
    /// Nowhere: on this machine itself, for cases that make their nodes with kind
    Host,
}

fn on_nodes() -> Vec<On> {
    vec![On::Namespaces, On::Qemu]
}

/// What a case is run with.
#[derive(Clone, Debug)]
pub struct Setting {
    pub components: Components,
    pub on: On,
    pub accelerator: Accelerator,
    /// A disk image to run on instead of our own.
    pub image: Option<PathBuf>,
    /// How often the power is cut, where a case cuts it.
    pub cuts: Option<u32>,
    /// What the moments of these cuts come from.
    pub seed: u64,
    /// The program under test.
    pub program: PathBuf,
    /// The same as a package.
    pub package: Option<PathBuf>,
    /// Where logs of failed jobs go.
    pub log_root: PathBuf,
    /// By how much limits are longer.
    pub patience: u32,
    /// Print each step.
    pub verbose: bool,
}

impl Setting {
    /// By how much limits are longer, where the nodes are slower, too.
    pub fn patience(&self) -> u32 {
        match self.on {
            On::Namespaces | On::Host => self.patience,
            On::Qemu => self.patience * self.accelerator.patience(),
        }
    }

    /// Are the nodes emulated?
    pub fn emulated(&self) -> bool {
        self.on == On::Qemu && self.accelerator == Accelerator::Tcg
    }

    /// Where the logs of a job go, for a version.
    pub fn logs(&self, job: &str, version: &str) -> PathBuf {
        self.log_root.join(format!("{job}-{version}"))
    }
}

/// How a case ended.
#[derive(Debug)]
pub enum Verdict {
    /// How many events the audit logs have at the end, if there are any.
    Passed(Option<u64>),
    /// Why, and where the logs are.
    Failed(String),
}

/// The names of all cases, sorted.
///
/// # Errors
///
/// Their folder can't be read.
pub fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(Path::new(HERE).join(CASES))? {
        let path = entry?.path();
        if path.is_dir() {
            names.push(name_of(&path));
        }
    }
    names.sort();
    Ok(names)
}

impl Case {
    /// The case of a name.
    ///
    /// # Errors
    ///
    /// It is not as it should be.
    pub fn named(name: &str) -> Result<Self> {
        Self::read(&Path::new(HERE).join(CASES).join(name))
    }

    fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("case.yaml");
        let text = fs::read_to_string(&path)?;
        let description: Description = serde_yaml::from_str(&text).with_context(|| path.display().to_string())?;
        let mut nodes = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                let files = fs::read_dir(&path)?;
                let boots = files.filter_map(|file| Some(name_of(&file.ok()?.path()).starts_with("boot-")));
                let boots = boots.filter(|is_boot| *is_boot).count();
                ensure!(
                    boots > 0 && (1..=boots).all(|boot| path.join(format!("boot-{boot}.sh")).exists()),
                    "{}: a node has boot-1.sh, boot-2.sh and so on",
                    path.display()
                );
                nodes.push(name_of(&path));
            }
        }
        nodes.sort();
        ensure!(!nodes.is_empty(), "{}: a case has a folder for each node", dir.display());
        let machine_only =
            description.docker || description.disk.is_some() || description.bare || description.cuts > 0;
        ensure!(
            !(machine_only && description.on.contains(&On::Namespaces)),
            "{}: what has docker, disk, bare or cuts doesn't run in namespaces; it needs `on: [qemu]`",
            path.display()
        );
        Ok(Self { name: name_of(dir), description, dir: dir.to_owned(), nodes })
    }

    /// The versions that the case needs of all that there are, the first node's first, if it is run for `version`.
    ///
    /// # Errors
    ///
    /// The version before this one isn't there.
    pub fn versions(&self, version: &str, all: &[String]) -> Result<Vec<String>> {
        if !self.description.from_previous {
            return Ok(vec![version.to_owned()]);
        }
        let previous = all.iter().find(|other| minor(other) + 1 == minor(version));
        let previous = previous.with_context(|| format!("there is no version before {version} to begin with"))?;
        Ok(vec![previous.clone(), version.to_owned()])
    }

    /// Builds what the case's nodes start from.
    ///
    /// # Errors
    ///
    /// A part can't be built.
    pub fn prepare(&self, versions: &[String], setting: &Setting) -> Result<()> {
        match (setting.on, &setting.image) {
            (On::Namespaces, _) => image::image(&setting.components, versions).map(drop),
            (On::Host, _) => Ok(()),
            (On::Qemu, Some(_)) => qemu::emulator(setting.accelerator).map(drop),
            (On::Qemu, None) => {
                qemu::emulator(setting.accelerator)?;
                qemu::disk(&setting.components, versions)?;
                self.docker(versions, setting).map(drop)
            }
        }
    }

    /// The disk with Docker's images, if the case needs one.
    fn docker(&self, versions: &[String], setting: &Setting) -> Result<Option<PathBuf>> {
        self.description.docker.then(|| qemu::docker(&setting.components, &versions[0])).transpose()
    }

    /// Tells the story. An error is one of the harness, not of the case.
    ///
    /// # Errors
    ///
    /// A node can't be made, or the run was interrupted.
    pub fn run(&self, versions: &[String], setting: &Setting) -> Result<Verdict> {
        let top = stale::run_dir(&format!("{}-{}", self.name, versions.join("-")))?;
        let nodes = self.make(top.path(), versions, setting)?;
        let mut random = Random::new(setting.seed);
        let cuts = self.cuts(setting);
        let boots = match cuts {
            0 => u32::MAX,
            _ => {
                eprintln!("{}: the power is cut {cuts} times, --seed {}", self.name, setting.seed);
                cuts + 1
            }
        };
        let patience = setting.patience();
        // Where the power is cut, they are what one boot takes.
        let limit = u64::from(self.description.seconds.max(60)) * u64::from(LIMIT * patience * (cuts + 1));
        let watch = Watch {
            case: &self.name,
            start: Instant::now(),
            limit: Duration::from_secs(limit),
            silence: SILENCE * patience,
            cuts,
            verbose: setting.verbose,
        };
        for boot in 1..=boots {
            let present = self.nodes.iter().map(String::as_str).zip(nodes.iter().map(AsRef::as_ref));
            let present: Vec<_> =
                present.filter(|(name, _)| boots < u32::MAX || self.script(name, boot).exists()).collect();
            if present.is_empty() {
                break;
            }
            let why = match watch.boot(&present, boot, &mut random) {
                Ok(Ok(())) => continue,
                Ok(Err(reason)) => Ok(reason),
                Err(error) => Err(error),
            };
            // Who interrupts it has no use for logs.
            interrupt::check()?;
            let logs = setting.logs(&self.name, versions.last().map_or("", String::as_str));
            for (name, node) in self.nodes.iter().zip(&nodes) {
                // Why it failed is told all the same.
                keep_logs(node.as_ref(), &logs.join(name))
                    .unwrap_or_else(|error| eprintln!("the logs of {name} are not complete: {error:#}"));
            }
            return match why {
                Ok(reason) => Ok(Verdict::Failed(format!("{reason}\nlogs: {}", logs.display()))),
                Err(error) => Err(error.context(format!("logs in {}", logs.display()))),
            };
        }
        let mut events = None;
        for node in &nodes {
            let text = fs::read(node.result())?;
            let text = String::from_utf8_lossy(&text);
            let last = text.lines().rev().find_map(|line| line.strip_prefix("EVENTS ")?.parse::<u64>().ok());
            events = last.map(|last| last + events.unwrap_or_default()).or(events);
        }
        Ok(Verdict::Passed(events))
    }

    /// Gives a shell on the first node, with the case's user-data at work and its scripts in `/case`, and starts the others.
    ///
    /// # Errors
    ///
    /// As with [`Case::run`].
    pub fn shell(&self, versions: &[String], setting: &Setting) -> Result<()> {
        let top = stale::run_dir(&format!("{}-shell", self.name))?;
        let nodes = self.make(top.path(), versions, setting)?;
        for node in &nodes {
            fs::write(node.path("/case/shell"), "")?;
        }
        let (first, others) = nodes.split_first().context("a case has a node")?;
        let _others = others.iter().map(|node| node.boot()).collect::<Result<Vec<_>>>()?;
        first.shell()
    }

    /// Who made the image has something to say to cloud-init, too.
    pub fn has_vendor_data(&self) -> bool {
        self.nodes.iter().any(|node| self.dir.join(node).join(VENDOR_DATA).exists())
    }

    /// How many nodes it has.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    fn cuts(&self, setting: &Setting) -> u32 {
        if self.description.cuts == 0 { 0 } else { setting.cuts.unwrap_or(self.description.cuts) }
    }

    /// Makes the nodes, with all that the case gives them.
    fn make(&self, top: &Path, versions: &[String], setting: &Setting) -> Result<Vec<Box<dyn Node>>> {
        let mut nodes = Vec::new();
        match setting.on {
            On::Namespaces => {
                let image = image::image(&setting.components, versions)?;
                let switch = Rc::new(Switch::start()?);
                for (index, name) in self.nodes.iter().enumerate() {
                    let node = Container::new(&image, &top.join(name), name, &address(index), Rc::clone(&switch))?;
                    nodes.push(Box::new(node) as Box<dyn Node>);
                }
            }
            On::Host => {
                for name in &self.nodes {
                    nodes.push(Box::new(Host::new(&top.join(name))?));
                }
            }
            On::Qemu => {
                let disk = match &setting.image {
                    Some(image) => Disk::Given(image.clone()),
                    None => qemu::disk(&setting.components, versions)?,
                };
                let docker = self.docker(versions, setting)?;
                let parts = qemu::Parts {
                    disk: &disk,
                    second: docker.as_deref(),
                    blank: self.description.disk,
                    network: qemu::Network::new()?,
                    accelerator: setting.accelerator,
                    init: self.description.bare.then_some("/usr/local/lib/case/init"),
                    unsafe_power: self.description.cuts > 0,
                };
                for (index, name) in self.nodes.iter().enumerate() {
                    nodes.push(Box::new(Machine::new(&parts, &top.join(name), index)?));
                }
            }
        }
        for (index, (name, node)) in self.nodes.iter().zip(&nodes).enumerate() {
            if self.description.baked {
                let package = setting.package.as_ref().context("this case needs --package")?;
                let debian = match setting.on {
                    On::Qemu => image::debian_of_machines()?,
                    On::Namespaces | On::Host => image::debian()?,
                };
                let layers = [image::layer(&setting.components, versions)?, debian];
                image::bake(&layers, &node.path("/"), package)?;
            }
            self.furnish(node.as_ref(), name, &address(index), versions, setting)?;
        }
        Ok(nodes)
    }

    fn script(&self, node: &str, boot: u32) -> PathBuf {
        self.dir.join(node).join(format!("boot-{boot}.sh"))
    }

    /// Puts into a node what the case gives it.
    fn furnish(
        &self,
        node: &dyn Node,
        name: &str,
        address: &str,
        versions: &[String],
        setting: &Setting,
    ) -> Result<()> {
        let newest = versions.last().map_or("", String::as_str);
        let api = kubeadm::api_version(&versions[0]).context("a kubeadm reads a version of its API")?;
        let has_lists = kubeadm::has_lists(api);
        let spare = has_lists && setting.emulated();
        // As it stands in the content of a file of user-data.
        let init = include_str!("kubeadm.yaml").trim_end().replace('\n', "\n    ");
        let fill = |text: &str| {
            text.replace("@INIT@", &init)
                .replace("@VERSION@", &versions[0])
                .replace("@NEXT@", newest)
                .replace("@ADDRESS@", address)
                .replace("@KUBEADM_API@", api)
                .replace("@TIMEOUTS@", if has_lists { TIMEOUTS } else { "# as they are" })
                .replace("@ELECTION@", if spare { NO_ELECTION } else { "# as it is" })
                .replace("@KEYS@", if spare { SHORT_KEYS } else { "# as they are" })
        };
        let write = |path: &str, text: &str| -> Result<()> {
            let path = node.path(path);
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            Ok(fs::write(&path, text)?)
        };
        for entry in fs::read_dir(self.dir.join(name))? {
            let path = entry?.path();
            // What an editor keeps beside a file that is open.
            if name_of(&path).starts_with('.') {
                continue;
            }
            let text = fill(&fs::read_to_string(&path)?);
            let to = if [USER_DATA, VENDOR_DATA].iter().any(|name| path.ends_with(name)) { SEED } else { "/case" };
            write(&format!("{to}/{}", name_of(&path)), &text)?;
        }
        if !self.dir.join(name).join(USER_DATA).exists() {
            write(&format!("{SEED}/{USER_DATA}"), &fill(include_str!("user-data.yaml")))?;
        }
        if !self.description.baked {
            // As who enables them finds them: not enabled.
            let units = node.path("/usr/local/lib/systemd/system");
            fs::create_dir_all(&units)?;
            run::copy(&Path::new(HERE).join("../image/systemd"), &units)?;
        }
        let scripts = node.path("/usr/local/lib/case");
        fs::create_dir_all(&scripts)?;
        run::copy(&Path::new(HERE).join(SCRIPTS), &scripts)?;
        let meta_data = format!("instance-id: {}-{name}\nlocal-hostname: {name}\n", self.name);
        write(&format!("{SEED}/meta-data"), &meta_data)?;
        write("/case/patience", &setting.patience().to_string())?;
        if setting.emulated() {
            write("/case/emulated", "")?;
        }
        write("/case/logs", &LOGS.map(|path| path.trim_start_matches('/')).join("\n"))?;
        write("/case/cuts", &self.cuts(setting).to_string())?;
        let bin = node.path("/usr/local/bin");
        fs::create_dir_all(&bin)?;
        let mut programs = Vec::new();
        if !self.description.baked {
            programs.push((setting.program.clone(), "kube-audit-bootstrap"));
        }
        if self.description.docker && setting.on == On::Qemu {
            programs.push((setting.components.kind()?, "kind"));
        }
        for (program, name) in programs {
            fs::copy(&program, bin.join(name))?;
        }
        if setting.image.is_some() {
            return furnish_image(node);
        }
        write("/etc/hostname", &format!("{name}\n"))?;
        write("/etc/hosts", &format!("127.0.0.1 localhost\n{address} {name}\n"))?;
        // Nobody listens there: a look-up fails at once.
        write("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")?;
        let network = format!("[Match]\nName=eth0\n\n[Network]\nAddress={address}/24\nGateway={NETWORK}.1\n");
        write("/etc/systemd/network/05-eth0.network", &network)
    }
}

/// Copies what tells why a node failed.
fn keep_logs(node: &dyn Node, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for file in [node.console(), node.result()] {
        fs::copy(&file, to.join(name_of(&file)))?;
    }
    node.keep_logs(to)
}

/// Puts into somebody's image what ours has: the units of the harness. That image has a name and a network by its own means.
fn furnish_image(node: &dyn Node) -> Result<()> {
    fs::create_dir_all(node.path("/etc/systemd/system"))?;
    let files = Path::new(HERE).join("rootfs");
    for (_, unit) in image::own_units() {
        fs::copy(files.join(unit.trim_start_matches('/')), node.path(unit))?;
    }
    fs::write(node.path(&format!("{SEED}/{VENDOR_DATA}")), include_str!("vendor-data.yaml"))?;
    Ok(())
}

/// The address of a case's node.
fn address(index: usize) -> String {
    format!("{NETWORK}.{}", 11 + index)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_would_not_be_told_to_its_end_is_refused() {
        let top = std::env::temp_dir().join(format!("cases-{}", std::process::id()));
        for (index, (more, scripts, wanted)) in [
            ("", &["boot-1.sh", "boot-2.sh"][..], None),
            ("", &["boot-1.sh", "boot-3.sh"], Some("a node has boot-1.sh, boot-2.sh and so on")),
            ("", &["lib.sh"], Some("a node has boot-1.sh")),
            ("cuts: 3", &["boot-1.sh"], Some("doesn't run in namespaces")),
            ("on: [qemu]\ncuts: 3", &["boot-1.sh"], None),
        ]
        .into_iter()
        .enumerate()
        {
            let dir = top.join(index.to_string());
            fs::create_dir_all(dir.join("node")).unwrap();
            fs::write(dir.join("case.yaml"), format!("about: it\nseconds: 60\n{more}\n")).unwrap();
            for script in scripts {
                fs::write(dir.join("node").join(script), "").unwrap();
            }
            let read = Case::read(&dir).map_err(|error| format!("{error:#}"));
            match wanted {
                None => assert_eq!(read.unwrap().nodes, ["node"], "{scripts:?}"),
                Some(wanted) => assert!(read.unwrap_err().contains(wanted), "{scripts:?}"),
            }
        }
        fs::remove_dir_all(&top).unwrap();
    }
}
