//! What the verbs share: their common options, the root directory, and the configuration.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use nix::sys::stat::{Mode, umask};

use crate::audit::version::Version;
use crate::config::{self, Config, Existing};
use crate::node::root::{Root, stays_wrong};
use crate::path::parent;
use crate::plan::{KubeadmCall, Occasion};
use crate::run::misuse::Misuse;
use crate::run::{PolicySource, Run, Unplannable, given};

/// The exit code of a run (README.md, "Exit codes"). An error means [`Outcome::Failed`], or [`Outcome::Misused`] if
/// there is a [`Misuse`] in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, or there was nothing to do.
    Done = 0,
    /// The run failed or was refused. Nothing was changed, or the changes are undone.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Misused = 2,
    /// `plan` and `status`: something would change.
    Differs = 3,
    /// `apply --wait`: there was no proof that the API server audits, and the changes were rolled back.
    PutBack = 4,
}

#[derive(Debug, Args)]
pub struct Common {
    /// Work on the node whose files are in this directory, such as a mounted image
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Read this configuration (- for standard input) instead of ROOT/etc/kube-audit-bootstrap/config.yaml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print text for people, or JSON for programs
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub output: OutputFormat,
    /// Print more messages on stderr; -vv prints even more. RUST_LOG overrides this
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What stdout is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    Text,
    Json,
    /// Only `policy test`: the XML that programs for continuous integration read
    Junit,
    /// Only `policy check`: SARIF 2.1.0, which programs for the review of code read
    Sarif,
    /// Only `policy check`: commands that GitHub shows at the line of a pull request
    Github,
}

/// What every verb can print.
pub const TEXT_AND_JSON: &[OutputFormat] = &[OutputFormat::Text, OutputFormat::Json];

/// The options that override the configuration.
#[derive(Debug, Default, Args)]
pub struct Overrides {
    /// Install this audit policy: a file on the machine that runs the program, - for standard input, or a
    /// profile
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Let the API server write its audit log to this file on the node
    #[arg(long, value_name = "PATH")]
    pub log_path: Option<String>,
    /// Edit this kubeadm configuration file on the node, instead of those at the default paths; may be repeated
    #[arg(long, value_name = "PATH")]
    pub kubeadm_config: Vec<String>,
    /// Judge the manifest with the patches in this directory on the node, which kubeadm will get with its --patches
    #[arg(long, value_name = "DIR", value_parser = absolute_path)]
    pub patches: Option<String>,
    /// Do not edit the cluster's kubeadm configuration (the ConfigMap kube-system/kubeadm-config)
    #[arg(long)]
    pub no_cluster: bool,
    /// The node's Kubernetes version, if the files on the node give none, or a wrong one
    #[arg(long, value_name = "VERSION", value_parser = kubernetes_version)]
    pub kubernetes_version: Option<Version>,
    /// What to do with audit flags that the node's files already have
    #[arg(long, value_name = "WHAT")]
    pub existing: Option<ExistingArg>,
    /// Refuse a policy that --existing keep keeps if the API server reads it in another way than it says
    #[arg(long)]
    pub strict: bool,
}

/// The values of `--existing`, see [`Existing`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ExistingArg {
    /// Set them to the program's values
    Replace,
    /// Keep them, and add what is missing
    Keep,
}

/// The exit code that an error means.
pub fn outcome_of(error: &anyhow::Error) -> Outcome {
    let is_misuse = error.chain().any(|cause| {
        cause.is::<Misuse>()
            || cause.downcast_ref::<Unplannable>().is_some_and(|unplannable| unplannable.is_misuse)
    });
    match is_misuse {
        true => Outcome::Misused,
        false => Outcome::Failed,
    }
}

/// Parses a Kubernetes version on the command line.
///
/// # Errors
///
/// The text is not a version; the error says what to write.
pub fn kubernetes_version(text: &str) -> Result<Version, String> {
    Version::parse(text).ok_or_else(|| "write a version such as v1.30.2".to_owned())
}

/// Parses a number of seconds on the command line.
///
/// # Errors
///
/// The text is not one; the error says what to write.
pub fn seconds(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "write a number of seconds, such as 300, without a unit".to_owned())
}

/// Parses an absolute path on the command line.
///
/// # Errors
///
/// The path is relative; the error says what to write.
pub fn absolute_path(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        Ok(text.to_owned())
    } else {
        Err("write an absolute path, as the node sees it".to_owned())
    }
}

impl Common {
    /// Opens `--root`.
    ///
    /// # Errors
    ///
    /// As [`open_root`].
    pub fn open_root(&self) -> Result<Root> {
        open_root(&self.root, "--root")
    }

    /// Checks that a verb that has these formats can print what `--output` asks for.
    ///
    /// # Errors
    ///
    /// It can't.
    pub fn check_output(&self, formats: &[OutputFormat]) -> Result<()> {
        if formats.contains(&self.output) {
            return Ok(());
        }
        let name = |format: &OutputFormat| {
            format.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        let known: Vec<_> = formats.iter().map(name).collect();
        let (asked, known) = (name(&self.output), known.join(", "));
        Err(Misuse(format!("--output {asked}: this verb prints {known}; name one of them")).into())
    }

    /// Whether to print JSON.
    pub fn json(&self) -> bool {
        self.output == OutputFormat::Json
    }
}

/// The directories of which the root directory of a node has one, even before anything is installed in it.
const OF_A_NODE: &[&str] =
    &["bin", "boot", "data", "etc", "home", "kind", "lib", "opt", "root", "run", "srv", "tmp", "usr", "var"];

/// Opens the root directory of a node, which `option` names.
///
/// # Errors
///
/// It is not a directory, or it has nothing of a node in it (a [`Misuse`]), or it can't be opened.
pub fn open_root(path: &Path, option: &str) -> Result<Root> {
    let shown = path.display();
    // A disk that fails is no mistake of the caller: opening the directory reports it.
    let is_no_directory = match path.metadata() {
        Ok(found) => !found.is_dir(),
        Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    };
    if is_no_directory {
        return Err(
            Misuse(format!("{shown}: {option} is not a directory; name the root directory of a node")).into()
        );
    }
    let root = Root::open(path)?;
    // Probably the image is not mounted there, or below. The container image of this program has nothing of a node in it.
    let is_named = option == "--root" && !root.is_host();
    let names = if is_named { root.list("/")? } else { None };
    if names.is_some_and(|names| !names.iter().any(|name| OF_A_NODE.contains(&name.as_str()))) {
        return Err(Misuse(format!(
            "{shown}: {option} is not the root directory of a node: it has neither etc nor var nor another directory of a \
             system; mount the image first, or name the directory in it that has them"
        ))
        .into());
    }
    Ok(root)
}

/// The name and text of the configuration file: the file `named`, or the one on the node. `None` if there is none.
///
/// # Errors
///
/// The file can't be read.
pub fn configuration_text(root: &Root, named: Option<&Path>) -> Result<Option<(String, String)>> {
    if let Some(path) = named {
        return Ok(Some((path.display().to_string(), given::read(path)?)));
    }
    let directory = parent(config::DEFAULT_PATH);
    let is_config = |name: &&String| [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
    let text = root.text(config::DEFAULT_PATH).map_err(|error| match stays_wrong(&error) {
        true => Misuse(format!("{error:#}")).into(),
        false => error,
    })?;
    // A policy may be beside the configuration, but without one, this is probably its misspelt name.
    let others = if text.is_none() { root.list(directory).ok().flatten() } else { None };
    if let Some(other) = others.iter().flatten().find(|name| is_config(name) && name.starts_with("config")) {
        log::warn!(
            "{}: this file is not read, and the defaults count; if it is the configuration, name it config.yaml, or use \
             --config",
            root.shown(&format!("{directory}/{other}"))
        );
    }
    Ok(text.map(|text| (config::DEFAULT_PATH.to_owned(), text.text)))
}

/// A run on a node, with the configuration and the options of the command line.
///
/// # Errors
///
/// As [`configuration`].
pub fn run_of<'r>(
    root: &'r Root,
    named: Option<&Path>,
    overrides: &Overrides,
    occasion: Occasion,
) -> Result<Run<'r>> {
    let config = configuration(root, named, overrides, occasion)?;
    let patches = overrides.patches.clone().or_else(|| config.kubeadm_patches.clone());
    Ok(Run {
        root,
        config,
        occasion,
        required: !overrides.kubeadm_config.is_empty(),
        kubeadm: KubeadmCall { patches, directory: None },
        policy: PolicySource::new(overrides.policy.clone()),
    })
}

/// The configuration: the file's, or the default, with the options of the command line on top.
///
/// # Errors
///
/// The file can't be read. The configuration is wrong (a [`Misuse`]).
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
        config.places.insert("log.path", "--log-path".to_owned());
    }
    // kubeadm reads only the file that the command line names.
    if !overrides.kubeadm_config.is_empty() || occasion.is_kubeadm() {
        config.kubeadm_configs = Some(overrides.kubeadm_config.clone());
    }
    // At a boot, and before kubeadm, no API server runs yet.
    config.cluster &= occasion == Occasion::Any && !overrides.no_cluster;
    config.kubernetes_version = overrides.kubernetes_version.or(config.kubernetes_version);
    config.strict = overrides.strict;
    if overrides.existing.is_some() {
        config.places.insert("existing", "--existing".to_owned());
    }
    config.existing = match overrides.existing {
        Some(ExistingArg::Replace) => Existing::Replace,
        Some(ExistingArg::Keep) => Existing::Keep,
        None => config.existing,
    };
    match config.faults().as_slice() {
        [] => Ok(config),
        faults => {
            // The user typed an option, and no field.
            let typed = [
                ("log.path", "--log-path", overrides.log_path.is_some()),
                ("kubeadm.configs[]", "--kubeadm-config", !overrides.kubeadm_config.is_empty()),
            ];
            let named = |fault: &str| {
                let is_typed = typed.iter().filter(|(.., is_typed)| *is_typed);
                is_typed.fold(fault.to_owned(), |fault, (field, option, _)| fault.replace(field, option))
            };
            let faults: Vec<_> = faults.iter().map(|(_, fault)| named(fault)).collect();
            Err(Misuse(faults.join("; ")).into())
        }
    }
}

/// Parses the text of the configuration file `name`.
///
/// # Errors
///
/// A [`Misuse`], with one line per fault.
pub fn parse(text: &str, name: &str) -> Result<Config> {
    Config::parse(text, name).map_err(|error| Misuse(format!("{error:#}")).into())
}

/// Calls `act` with an empty umask, so that new files get exactly the mode that the code asks for. Then sets the
/// previous umask, because kubeadm inherits it.
pub fn without_mask<T>(act: impl FnOnce() -> T) -> T {
    let mask = umask(Mode::empty());
    let done = act();
    umask(mask);
    done
}
