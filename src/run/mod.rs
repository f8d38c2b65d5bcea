//! Leads: has a node read, its changes planned, executed and proved. Nothing else knows both `plan` and `node`.
//!
//! * [`Run`] is one run of the program; [`apply`] changes the node, [`prove`] proves that it audits, [`restore`] puts it back, and
//!   [`status`] says what is in place.
//! * [`given`] reads the files that the user names on this machine; [`misuse`] marks the user's mistakes.
//!
//! Nothing is printed here but progress for whoever waits: warnings are returned.

pub mod apply;
pub mod given;
pub mod misuse;
pub mod prove;
pub mod restore;
pub mod status;

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};

use misuse::Misuse;

use crate::audit;
use crate::audit::version::Version;
use crate::config::Config;
use crate::node::root::Root;
use crate::node::{kubelet, observe};
use crate::plan::identify::identify;
use crate::plan::steps::plan;
use crate::plan::wire::wire;
use crate::plan::{Intent, Occasion, Plan, PolicyText, Role};

/// One run of the program on a node.
#[derive(Debug)]
pub struct Run<'r> {
    pub root: &'r Root,
    pub config: Config,
    pub occasion: Occasion,
    /// The user named the kubeadm files, so each must be there, and be one that kubeadm reads.
    pub required: bool,
    pub policy: PolicySource,
}

/// Where the policy to install comes from. It is read once, as standard input can't be read twice.
#[derive(Debug, Default)]
pub struct PolicySource {
    given: Option<PathBuf>,
    read: OnceCell<PolicyText>,
}

impl PolicySource {
    /// The file that the user names, in place of the configuration's.
    pub fn new(given: Option<PathBuf>) -> PolicySource {
        PolicySource { given, read: OnceCell::new() }
    }

    fn text(&self, root: &Root, config: &Config) -> Result<&PolicyText> {
        if let Some(read) = self.read.get() {
            return Ok(read);
        }
        let read = policy_text(root, config, self.given.as_deref())?;
        Ok(self.read.get_or_init(|| read))
    }
}

impl Run<'_> {
    fn intent(&self) -> Intent<'_> {
        Intent { config: &self.config, occasion: self.occasion, required: self.required }
    }

    /// The version of Kubernetes that the node's files tell. What is wrong with them is no matter here.
    pub fn version(&self) -> Option<Version> {
        let facts = observe::observe(self.root, &self.config, self.required).ok()?;
        identify(&self.intent(), &facts).ok()?.version
    }

    /// Reads the node and plans the changes. Changes nothing; the programs that it may run are the kubelet, for its version, and
    /// kubectl, for the cluster's own configuration.
    ///
    /// # Errors
    ///
    /// What is on the node can't be read, or can't be changed as the configuration wants it.
    pub fn survey(&self) -> Result<Plan> {
        let Run { root, config, .. } = self;
        let intent = self.intent();
        let facts = observe::observe(root, config, self.required)?;
        let mut identity = identify(&intent, &facts)?;
        if identity.lacks_version() {
            identity.use_installed(kubelet::installed_version(root));
        }
        let wiring = wire(&intent, &facts, identity)?;
        let targets = observe::targets(root, config, &wiring.paths)?;
        for path in &wiring.referenced {
            // Before kubeadm it may come later, but not where kubeadm starts now.
            check_kubeconfig(root, path, wiring.role == Role::ControlPlane || self.occasion == Occasion::Init)?;
        }
        // A worker's policy isn't read: its configuration may name what is only on control planes.
        let policy = match wiring.role {
            Role::Worker => &default_policy(),
            _ => self.policy.text(root, config)?,
        };
        plan(&intent, &facts, wiring, &targets, policy)
    }
}

/// Checks the webhook's kubeconfig, which the API server needs to start. Where it isn't due, there may be none yet.
fn check_kubeconfig(root: &Root, path: &str, is_due: bool) -> Result<()> {
    let Some(text) = root.text(path)? else {
        if !is_due {
            return Ok(());
        }
        bail!(
            "{}: webhook.configFile does not exist, and the API server would not start without it; create it",
            root.shown(path)
        );
    };
    let documents = crate::yaml::parse(&text.text).map_err(|fault| anyhow!("{path}:{fault}"))?;
    let clusters = documents.first().and_then(|document| document.root.get("clusters")?.items());
    if clusters.is_none_or(<[_]>::is_empty) {
        bail!("{path}:1:1: webhook.configFile is not a kubeconfig: it has no clusters");
    }
    Ok(())
}

/// The policy of those who bring none.
fn default_policy() -> PolicyText {
    PolicyText { name: "the policy of profile default".to_owned(), text: audit::policy::DEFAULT.to_owned() }
}

/// The policy to install: of the command line, of the configuration, or the profile's.
pub fn policy_text(root: &Root, config: &Config, given: Option<&Path>) -> Result<PolicyText> {
    match (given, config.policy_source.as_str()) {
        (Some(path), _) if path.as_os_str() == "default" => Ok(default_policy()),
        (Some(path), _) => Ok(PolicyText { name: path.display().to_string(), text: given::read(path)? }),
        (None, "default") => Ok(default_policy()),
        (None, path) => match root.text(path)? {
            Some(text) => Ok(PolicyText { name: path.to_owned(), text: text.text }),
            None => Err(Misuse(format!(
                "{}: policy.source does not exist; create it, or name a policy with --policy",
                root.shown(path)
            ))
            .into()),
        },
    }
}

/// Has the node joined a cluster, and is no control plane? Told without the configuration.
pub fn is_worker(root: &Root) -> Result<bool> {
    observe::is_worker(root)
}

/// Where the manifest is: as configured, else in the kubelet's directory.
pub fn manifest_path(root: &Root, config: &Config) -> Result<String> {
    kubelet::manifest_path(root, config)
}
