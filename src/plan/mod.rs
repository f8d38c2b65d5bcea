//! What a run does to a node: decided here from facts, without touching anything.
//!
//! * [`identify`] says what kind of node this is, [`wire`] puts the settings into its files, and [`steps`] makes a plan of that.
//! * `planner` is a plan in the making; [`place`] is about the place of the log: what is mounted there, and whether it is fit for a log.
//! * [`way_back`] is what of the way back may be done.
//! * [`proof`] says when it is proved that the API server audits.

pub mod identify;
pub mod place;
mod planner;
pub mod proof;
pub mod steps;
#[cfg(test)]
pub mod testing;
pub mod way_back;
pub mod wire;

use anyhow::{Result, bail};

use crate::audit::version::Version;
use crate::change::Change;
use crate::config::Config;
use crate::facts::LogPlace;
use crate::facts::file::Attributes;
use crate::storage::forecast::Forecast;

/// Why the program was started. Set by the caller, never by the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Occasion {
    #[default]
    Any,
    /// A boot: kubeadm may follow, and need not.
    Boot,
    /// `kubeadm init` is about to read the file that is named, so what it says of joining doesn't count, or to run without one.
    Init,
    /// `kubeadm join` is about to read the file that is named, or to make a control plane without one.
    Join,
    /// `kubeadm upgrade` is about to make the manifest anew.
    Upgrade,
}

impl Occasion {
    /// The command of kubeadm's that is about to start, which then makes the manifest, or refuses to.
    pub fn command(self) -> Option<&'static str> {
        match self {
            Occasion::Any | Occasion::Boot => None,
            Occasion::Init => Some("init"),
            Occasion::Join => Some("join"),
            Occasion::Upgrade => Some("upgrade"),
        }
    }

    /// Is kubeadm about to start? It reads the file that is named, and no other.
    pub fn is_kubeadm(self) -> bool {
        self.command().is_some()
    }
}

/// What a run is for: what the configuration says, and what the caller adds to it.
#[derive(Clone, Copy, Debug)]
pub struct Intent<'c> {
    pub config: &'c Config,
    pub occasion: Occasion,
    /// The user named the kubeadm files, so each must be one that kubeadm reads.
    pub required: bool,
}

impl Intent<'_> {
    /// Is kubeadm about to do that without a file of its own?
    pub fn is_without_file(&self, occasion: Occasion) -> bool {
        self.occasion == occasion && self.config.kubeadm_configs.as_deref().is_none_or(<[_]>::is_empty)
    }
}

/// What kind of node this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Image,
    FirstBoot,
    ControlPlane,
    Joining,
    Worker,
}

impl Role {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Role::Image => "image",
            Role::FirstBoot => "first-boot",
            Role::ControlPlane => "control-plane",
            Role::Joining => "joining-control-plane",
            Role::Worker => "worker",
        }
    }

    /// What a person calls it.
    pub fn description(self) -> &'static str {
        match self {
            Role::Image => "an image, or a node that kubeadm hasn't touched yet",
            Role::FirstBoot => "a first boot, before kubeadm init",
            Role::ControlPlane => "a control plane",
            Role::Joining => "a control plane about to join",
            Role::Worker => "a worker",
        }
    }
}

/// A part of the job, in the order that keeps the API server alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Storage,
    Policy,
    Kubeadm,
    Strays,
    Manifest,
}

impl Step {
    /// All of them.
    pub const ALL: [Step; 5] = [Step::Storage, Step::Policy, Step::Kubeadm, Step::Strays, Step::Manifest];

    /// Its name, in text and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Step::Storage => "storage",
            Step::Policy => "policy",
            Step::Kubeadm => "kubeadm",
            Step::Strays => "strays",
            Step::Manifest => "manifest",
        }
    }
}

/// A change, and which part of the job it is.
#[derive(Clone, Debug)]
pub struct Planned {
    pub step: Step,
    pub change: Change,
}

/// What a part of the job looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub step: Step,
    pub path: String,
}

/// All that a run does.
#[derive(Clone, Debug)]
pub struct Plan {
    pub role: Role,
    pub version: Option<Version>,
    /// Where the version was found.
    pub version_source: &'static str,
    pub changes: Vec<Planned>,
    /// What is done when all of them are through.
    pub follow_up: Option<FollowUp>,
    /// What each part looks at, for `status`: the paths. A part that isn't here doesn't apply to the node.
    pub subjects: Vec<Subject>,
    /// Files of kubeadm's that can't be edited, which doesn't matter where the cluster exists: warnings say why.
    pub skipped: Vec<String>,
    /// Why the cluster's own configuration isn't known, where it was asked for.
    pub unknown: Option<String>,
    /// The API server must be started anew by hand for the policy to count: the warnings say how.
    pub by_hand: bool,
    /// Where the log lies, on a running system.
    pub storage: Option<LogStorage>,
    /// Why nothing can be changed, where that isn't to be told from the files.
    pub refusal: Option<String>,
    /// What speaks against the place of the log.
    pub objection: Option<String>,
    pub warnings: Vec<String>,
}

/// The logs that went aside move to where this one lies now. It comes after the transaction, as nothing needs it, and nobody takes it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp {
    pub log: String,
    /// What the logs get, if they are to have other attributes.
    pub attributes: Option<Attributes>,
    /// Logs were seen that will move. Others may appear until then.
    pub is_expected: bool,
}

impl FollowUp {
    /// The part of the job that it belongs to.
    pub const STEP: Step = Step::Storage;
    /// What it is called in JSON, among the actions of changes.
    pub const ACTION: &str = "gather";
}

/// The policy to install.
#[derive(Clone, Debug)]
pub struct PolicyText {
    /// A file, or a profile, for messages.
    pub name: String,
    pub text: String,
}

/// The place of the log, and what is to be expected of it.
#[derive(Clone, Debug)]
pub struct LogStorage {
    pub directory: String,
    pub seen: LogPlace,
    pub forecast: Forecast,
}

impl Plan {
    /// The first reason counts.
    fn refuse(&mut self, why: String) {
        self.refusal.get_or_insert(why);
    }

    /// Errors: why nothing can be done, or the changes may not be made.
    pub fn allowed(&self) -> Result<()> {
        match (&self.refusal, &self.objection) {
            (Some(why), _) => bail!("{why}"),
            (None, Some(why)) if !self.is_empty() => bail!("{why}"),
            _ => Ok(()),
        }
    }

    /// Makes what speaks against the place of the log a warning: a node that is repaired audited there before.
    pub fn waive_objection(&mut self) {
        self.warnings.extend(self.objection.take());
    }

    /// Its changes, for a transaction.
    pub fn changes(&self) -> Vec<Change> {
        self.changes.iter().map(|planned| planned.change.clone()).collect()
    }

    /// What follows for certain, as far as anybody has seen.
    pub fn expected_follow_up(&self) -> Option<&FollowUp> {
        self.follow_up.as_ref().filter(|follow_up| follow_up.is_expected)
    }

    /// Is there nothing to do?
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.expected_follow_up().is_none()
    }

    /// Does it change a part of the job?
    pub fn touches(&self, step: Step) -> bool {
        self.changes.iter().any(|planned| planned.step == step)
    }
}
