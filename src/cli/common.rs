//! What the verbs share: the options of all, the root, and the configuration.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use nix::sys::stat::{Mode, umask};

use crate::audit::version::Version;
use crate::config::{self, Config, Existing};
use crate::node::root::{Root, stays_wrong};
use crate::plan::Occasion;
use crate::run::misuse::Misuse;
use crate::run::{PolicySource, Run, given};

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

#[derive(Debug, Args)]
pub struct Common {
    /// Work on the node whose files are in this directory, such as a mounted image
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Read this configuration instead of ROOT/etc/kube-audit-bootstrap/config.yaml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print text for people, or JSON for programs
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub output: OutputFormat,
    /// Print more messages on stderr; -vv prints even more. RUST_LOG overrides this
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    Text,
    Json,
}

/// What the command line changes of the configuration.
#[derive(Debug, Default, Args)]
pub struct Overrides {
    /// Install this audit policy: a file on the machine that runs the program, - for standard input, or `default`
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Let the API server write its audit log to this file on the node
    #[arg(long, value_name = "PATH")]
    pub log_path: Option<String>,
    /// Edit this kubeadm configuration file on the node, instead of those at the default paths; may be repeated
    #[arg(long, value_name = "PATH")]
    pub kubeadm_config: Vec<String>,
    /// Do not edit the cluster's kubeadm configuration (the ConfigMap kube-system/kubeadm-config)
    #[arg(long)]
    pub no_cluster: bool,
    /// The node's Kubernetes version, if the files on the node give none, or a wrong one
    #[arg(long, value_name = "VERSION", value_parser = kubernetes_version)]
    pub kubernetes_version: Option<Version>,
    /// What to do with audit flags that the node's files already have
    #[arg(long, value_name = "WHAT")]
    pub existing: Option<ExistingArg>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ExistingArg {
    /// Set them to the program's values
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
    Version::parse(text).ok_or_else(|| "write a version such as v1.30.2".to_owned())
}

impl Common {
    pub fn open_root(&self) -> Result<Root> {
        open_root(&self.root)
    }

    pub fn json(&self) -> bool {
        self.output == OutputFormat::Json
    }
}

/// Opens the directory of a node's files.
pub fn open_root(path: &Path) -> Result<Root> {
    let shown = path.display();
    if !path.is_dir() {
        return Err(
            Misuse(format!("{shown}: --root is not a directory; name the root directory of a node")).into()
        );
    }
    let root = Root::open(path)?;
    // Where an image was to be mounted and wasn't.
    if root.list("/")?.is_some_and(|names| names.is_empty()) {
        return Err(Misuse(format!(
            "{shown}: --root is not the root directory of a node: it is empty; mount the image first"
        ))
        .into());
    }
    Ok(root)
}

/// The name and text of the configuration file: the one that is named, or the node's. `None` where there is none.
pub fn configuration_text(root: &Root, named: Option<&Path>) -> Result<Option<(String, String)>> {
    if let Some(path) = named {
        return Ok(Some((path.display().to_string(), given::read(path)?)));
    }
    let text = root.text(config::DEFAULT_PATH).map_err(|error| match stays_wrong(&error) {
        true => Misuse(format!("{error:#}")).into(),
        false => error,
    })?;
    Ok(text.map(|text| (config::DEFAULT_PATH.to_owned(), text.text)))
}

/// A run on a node, as the command line wants it.
pub fn run_of<'r>(
    root: &'r Root,
    named: Option<&Path>,
    overrides: &Overrides,
    occasion: Occasion,
) -> Result<Run<'r>> {
    Ok(Run {
        root,
        config: configuration(root, named, overrides, occasion)?,
        occasion,
        required: !overrides.kubeadm_config.is_empty(),
        policy: PolicySource::new(overrides.policy.clone()),
    })
}

/// The configuration: the file's, or the defaults, with the command line's words over it.
pub fn configuration(
    root: &Root,
    named: Option<&Path>,
    overrides: &Overrides,
    occasion: Occasion,
) -> Result<Config> {
    let mut config = match configuration_text(root, named)? {
        Some((name, text)) => parse(&text, &name)?,
        None => Config::default(),
    };
    if let Some(path) = &overrides.log_path {
        config.log.path.clone_from(path);
    }
    // kubeadm reads the file that is named, and no other.
    if !overrides.kubeadm_config.is_empty() || occasion.is_kubeadm() {
        config.kubeadm_configs = Some(overrides.kubeadm_config.clone());
    }
    // At a boot, and before kubeadm, there is no API server yet that could be asked.
    config.cluster &= occasion == Occasion::Any && !overrides.no_cluster;
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

/// Does something while what is created has the mode that is asked for, whatever the caller's mask is. kubeadm gets that back.
pub fn without_mask<T>(act: impl FnOnce() -> T) -> T {
    let mask = umask(Mode::empty());
    let done = act();
    umask(mask);
    done
}
