//! What the verbs share: the options of all, the configuration, the survey of a node.

use std::cell::OnceCell;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{Mode, umask};

use crate::audit;
use crate::audit::version::Version;
use crate::config::{self, Config, Existing, Occasion};
use crate::facts::file::text_of;
use crate::node::root::{Root, stays_wrong};
use crate::node::{kubelet, observe};
use crate::plan::steps::plan;
use crate::plan::wire::wire;
use crate::plan::{Plan, PolicyText, Role};
use crate::yaml::tree::MAX_BYTES;

/// How a run ended. Errors are [`Outcome::Failed`], or [`Outcome::Misused`] where a [`Misuse`] is among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done = 0,
    /// Nothing was changed, or what was is undone.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Misused = 2,
    /// `plan` and `status`: something would change.
    Differs = 3,
    /// `apply --wait`: the API server didn't come to audit, and the node was put back.
    PutBack = 4,
}

/// Marks an error as one of the command line or of the configuration.
#[derive(Debug)]
pub struct Misuse(pub String);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

#[derive(Debug, Args)]
pub struct Common {
    /// Work on the node whose files lie in this directory, such as a mounted image
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Read this configuration instead of ROOT/etc/kube-audit-bootstrap/config.yaml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print text for people or JSON for programs
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub output: Format,
    /// Say more on stderr; twice for still more. RUST_LOG overrides it
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

/// What the command line changes of the configuration.
#[derive(Debug, Default, Args)]
pub struct Overrides {
    /// Install this audit policy: a file of the machine that runs this, - for standard input, or `default`
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Let the API server log to this file of the node
    #[arg(long, value_name = "PATH")]
    pub log_path: Option<String>,
    /// Edit this kubeadm configuration of the node instead of those in the usual places; may be repeated
    #[arg(long, value_name = "PATH")]
    pub kubeadm_config: Vec<String>,
    #[arg(skip)]
    pub occasion: Occasion,
    /// Leave the cluster's own copy of kubeadm's configuration as it is, which kubeadm upgrade reads
    #[arg(long)]
    pub no_cluster: bool,
    /// The node's Kubernetes version, where its files don't tell or tell it wrong
    #[arg(long, value_name = "VERSION", value_parser = kubernetes_version)]
    pub kubernetes_version: Option<Version>,
    /// What to do with audit flags that the node's files already carry
    #[arg(long, value_name = "WHAT")]
    pub existing: Option<ExistingArg>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ExistingArg {
    /// Give them our values
    Replace,
    /// Keep them, and add what is missing
    Keep,
}

pub fn outcome_of(error: &anyhow::Error) -> Outcome {
    match error.chain().any(|cause| cause.is::<Misuse>()) {
        true => Outcome::Misused,
        false => Outcome::Failed,
    }
}

pub fn kubernetes_version(text: &str) -> Result<Version, String> {
    Version::parse(text).ok_or_else(|| "a version such as v1.30.2 is expected".to_owned())
}

impl Common {
    pub fn open_root(&self) -> Result<Root> {
        if !self.root.is_dir() {
            return Err(Misuse(format!("{}: --root names no directory", self.root.display())).into());
        }
        let root = Root::open(&self.root)?;
        // Where an image was to be mounted and wasn't.
        if root.list("/")?.is_some_and(|names| names.is_empty()) {
            return Err(
                Misuse(format!("{}: the root is empty; is the image mounted?", self.root.display())).into()
            );
        }
        Ok(root)
    }

    pub fn json(&self) -> bool {
        self.output == Format::Json
    }
}

/// The name and text of the configuration file. `None` where there is none.
pub fn configuration_text(root: &Root, common: &Common) -> Result<Option<(String, String)>> {
    if let Some(path) = &common.config {
        return Ok(Some((path.display().to_string(), read_here(path)?)));
    }
    let text = root.text(config::DEFAULT_PATH).map_err(|error| match stays_wrong(&error) {
        true => Misuse(format!("{error:#}")).into(),
        false => error,
    })?;
    Ok(text.map(|text| (config::DEFAULT_PATH.to_owned(), text.text)))
}

/// The configuration: the file's, or the defaults, with the command line's words over it.
pub fn configuration(root: &Root, common: &Common, overrides: &Overrides) -> Result<Config> {
    let mut config = match configuration_text(root, common)? {
        Some((name, text)) => parse(&text, &name)?,
        None => Config::default(),
    };
    if let Some(path) = &overrides.log_path {
        config.log.path.clone_from(path);
    }
    if !overrides.kubeadm_config.is_empty() {
        config.kubeadm_configs = Some(overrides.kubeadm_config.clone());
    }
    config.occasion = overrides.occasion;
    if config.occasion.is_kubeadm() {
        config.kubeadm_configs = Some(overrides.kubeadm_config.clone());
    }
    // There is no API server yet that could be asked, or kubeadm is about to.
    config.cluster &= !config.occasion.is_kubeadm() && config.occasion != Occasion::Boot;
    config.cluster &= !overrides.no_cluster;
    config.kubernetes_version = overrides.kubernetes_version.or(config.kubernetes_version);
    config.existing = match overrides.existing {
        Some(ExistingArg::Replace) => Existing::Replace,
        Some(ExistingArg::Keep) => Existing::Keep,
        None => config.existing,
    };
    match config.faults().as_slice() {
        [] => Ok(config),
        faults => {
            let faults: Vec<_> = faults.iter().map(|(_, fault)| fault.as_str()).collect();
            Err(Misuse(faults.join("; ")).into())
        }
    }
}

pub fn parse(text: &str, name: &str) -> Result<Config> {
    Config::parse(text, name).map_err(|error| Misuse(format!("{error:#}")).into())
}

/// Reads a file of the machine that runs this, not of the root. `-` is standard input.
pub fn read_here(path: &Path) -> Result<String> {
    let name = path.display();
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).context("standard input")?;
    } else {
        // A FIFO that nobody writes to is empty, and not waited for; <(...) of a shell has a writer.
        let open = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
        let file = open.map_err(|error| Misuse(format!("{name}: {error}")))?;
        fcntl(&file, FcntlArg::F_SETFL(OFlag::empty())).with_context(|| name.to_string())?;
        file.take(limit).read_to_end(&mut bytes).map_err(|error| Misuse(format!("{name}: {error}")))?;
    }
    if bytes.len() > MAX_BYTES {
        bail!("{name}: more than {MAX_BYTES} bytes, too large to be such a file");
    }
    match text_of(&bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => bail!("{name}:{error}"),
    }
}

/// Reads the node and plans the changes. Changes nothing; the programs that it may run are the kubelet, for its version,
/// and kubectl, for the cluster's own configuration.
///
/// `policy` keeps the policy that was read, as standard input can't be read twice. A worker's isn't read: its configuration
/// may name what is only on control planes.
pub fn survey(root: &Root, config: &Config, overrides: &Overrides, policy: &OnceCell<PolicyText>) -> Result<Plan> {
    let required = !overrides.kubeadm_config.is_empty();
    let mut facts = observe::observe(root, config, required)?;
    let mut wiring = wire(config, &facts, required)?;
    if wiring.version.is_none() && wiring.role != Role::Worker {
        facts.kubelet = kubelet::installed_version(root);
        if facts.kubelet.is_some() {
            wiring = wire(config, &facts, required)?;
        }
    }
    let targets = observe::targets(root, config, &wiring.paths)?;
    for path in &wiring.referenced {
        // Before kubeadm it may come later, but not where kubeadm starts now.
        kubeconfig(root, path, wiring.role == Role::ControlPlane || config.occasion == Occasion::Init)?;
    }
    let read = match policy.get() {
        Some(read) => read,
        None if wiring.role == Role::Worker => &profile(),
        None => {
            let read = policy_text(root, config, overrides)?;
            policy.get_or_init(|| read)
        }
    };
    plan(config, &facts, wiring, &targets, read)
}

/// Checks the webhook's kubeconfig, which the API server needs to start. Where it isn't due, there may be none yet.
fn kubeconfig(root: &Root, path: &str, is_due: bool) -> Result<()> {
    let Some(text) = root.text(path)? else {
        if !is_due {
            return Ok(());
        }
        bail!(
            "{}: webhook.configFile isn't there, and the API server would not start without it",
            root.shown(path)
        );
    };
    let documents = crate::yaml::parse(&text.text).map_err(|fault| anyhow!("{path}:{fault}"))?;
    let clusters = documents.first().and_then(|document| document.root.get("clusters")?.items());
    if clusters.is_none_or(<[_]>::is_empty) {
        bail!("{path}:1:1: webhook.configFile is no kubeconfig: it has no clusters");
    }
    Ok(())
}

/// The policy of those who bring none.
fn profile() -> PolicyText {
    PolicyText { name: "the policy of profile default".to_owned(), text: audit::policy::DEFAULT.to_owned() }
}

/// The policy to install: of the command line, of the configuration, or the profile's.
pub fn policy_text(root: &Root, config: &Config, overrides: &Overrides) -> Result<PolicyText> {
    match (&overrides.policy, config.policy_source.as_str()) {
        (Some(path), _) if path.as_os_str() == "default" => Ok(profile()),
        (Some(path), _) => Ok(PolicyText { name: path.display().to_string(), text: read_here(path)? }),
        (None, "default") => Ok(profile()),
        (None, path) => match root.text(path)? {
            Some(text) => Ok(PolicyText { name: path.to_owned(), text: text.text }),
            None => Err(Misuse(format!(
                "{}: policy.source isn't there; put it there, or name one with --policy",
                root.shown(path)
            ))
            .into()),
        },
    }
}

/// Warnings go to the log in text, and into the document in JSON.
pub fn warn(common: &Common, warnings: &[String]) {
    if !common.json() {
        for warning in warnings {
            ::log::warn!("{warning}");
        }
    }
}

/// The head of every report about a node.
pub fn headline(plan: &Plan) -> String {
    let version = match plan.version {
        Some(version) => format!("Kubernetes {version} {}", plan.version_source),
        None => "Kubernetes version not known".to_owned(),
    };
    format!("{}; {version}\n", plan.role.description())
}

/// Does something while what is created has the mode that is asked for, whatever the caller's mask is. kubeadm gets that back.
pub fn without_mask<T>(act: impl FnOnce() -> T) -> T {
    let mask = umask(Mode::empty());
    let done = act();
    umask(mask);
    done
}
