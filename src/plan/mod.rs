//! What a run does to a node: decided here from facts, without touching anything.
//!
//! * [`wire`] says what kind of node this is, and puts the settings into its files; [`steps`] makes a plan of that.
//! * [`place`] is about the place of the log: what is mounted there, and whether it is fit for a log.
//! * [`way_back`] is what of the way back may be done.
//! * [`proof`] says when it is proved that the API server audits.

pub mod place;
pub mod proof;
pub mod steps;
#[cfg(test)]
pub mod testing;
pub mod way_back;
pub mod wire;

use anyhow::{Result, bail};

use crate::audit::version::Version;
use crate::change::Change;
use crate::facts::Seen;
use crate::facts::file::Attributes;
use crate::storage::forecast::Forecast;

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

/// All that a run does.
#[derive(Clone, Debug)]
pub struct Plan {
    pub role: Role,
    pub version: Option<Version>,
    /// Where the version was found.
    pub version_source: &'static str,
    pub changes: Vec<Planned>,
    /// What each part looks at, for `status`: the paths. A part that isn't here doesn't apply to the node.
    pub subjects: Vec<(Step, String)>,
    /// Files of kubeadm's that can't be edited, which doesn't matter where the cluster exists: warnings say why.
    pub skipped: Vec<String>,
    /// Why the cluster's own configuration isn't known, where it was asked for.
    pub unknown: Option<String>,
    /// The API server must be started anew by hand for the policy to count: the warnings say how.
    pub by_hand: bool,
    /// Where the log lies, on a running system.
    pub storage: Option<Storage>,
    /// Why nothing can be changed, where that isn't to be told from the files.
    pub refusal: Option<String>,
    /// What speaks against the place of the log.
    pub objection: Option<String>,
    pub warnings: Vec<String>,
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
pub struct Storage {
    pub directory: String,
    pub seen: Seen,
    pub forecast: Forecast,
}

impl Plan {
    fn add(&mut self, step: Step, change: Change) {
        self.changes.push(Planned { step, change });
    }

    fn restart_by_hand(&mut self, warning: String) {
        self.by_hand = true;
        self.warnings.push(warning);
    }

    /// The first reason counts.
    fn refuse(&mut self, why: String) {
        self.refusal.get_or_insert(why);
    }

    /// Errors: why nothing can be done, or the changes may not be made.
    pub fn allowed(&self) -> Result<()> {
        match (&self.refusal, &self.objection) {
            (Some(why), _) => bail!("{why}"),
            (None, Some(why)) if !self.changes.is_empty() => bail!("{why}"),
            _ => Ok(()),
        }
    }

    /// Makes what speaks against the place of the log a warning: a node that is repaired audited there before.
    pub fn waive_objection(&mut self) {
        self.warnings.extend(self.objection.take());
    }

    /// What a transaction does, that is all but what follows when everything is through.
    pub fn changes(&self) -> Vec<Change> {
        let changes = self.changes.iter().map(|planned| &planned.change);
        changes.filter(|change| !matches!(change, Change::Gather { .. })).cloned().collect()
    }

    /// The log whose events from before are to follow, and their attributes, if they are to have others.
    pub fn gathers(&self) -> Option<(String, Option<Attributes>)> {
        self.changes.iter().find_map(|planned| match &planned.change {
            Change::Mount { log, begun: attributes, .. } | Change::Gather { log, attributes } => {
                Some((log.clone(), attributes.clone()))
            }
            _ => None,
        })
    }

    /// Is something to be mounted?
    pub fn mounts(&self) -> bool {
        self.changes.iter().any(|planned| matches!(planned.change, Change::Mount { .. }))
    }
}
