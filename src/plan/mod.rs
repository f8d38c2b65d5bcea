//! Decides what a run does to a node. Everything here is a function of the facts: no code here reads or changes a
//! file, or runs a program. That is the job of `node`.
//!
//! * [`identify`] says what kind of node this is, [`wire`] adds the settings to the node's files, and [`steps`] makes
//!   a plan from both.
//! * `planner` holds an unfinished plan; [`place`] decides what is mounted at the log directory, and whether a log can
//!   be there.
//! * `obstacle` decides what to do about changes that this node does not allow.
//! * [`way_back`] decides what `restore` and a rollback do.
//! * [`left`] judges whether the API server starts on the node that a restore or a rollback leaves.
//! * [`patches`] judges the manifests that kubeadm makes with patches.
//! * [`in_force`] decides whether the running API server has what the files say.
//! * [`proof`] decides when it is proved that the API server audits, and [`hiding`] when a manifest that is hidden for
//!   that comes back.

pub mod hiding;
pub mod identify;
pub mod in_force;
pub mod left;
pub mod obstacle;
pub mod patches;
pub mod place;
mod planner;
pub mod proof;
pub mod steps;
#[cfg(test)]
pub mod testing;
pub mod way_back;
pub mod wire;

use std::time::Duration;

use anyhow::{Result, bail};

use in_force::InForce;

use crate::audit::policy::compose::Sources;
use crate::audit::version::Version;
use crate::change::{Change, KUBEADM_CONFIG};
use crate::config::{Config, Restart};
use crate::facts::LogPlace;
use crate::facts::file::{Attributes, FileIdentity, Files};
use crate::facts::in_force::Away;
use crate::storage::forecast::Forecast;

/// Why the program was started. Set by the caller, never by the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Occasion {
    #[default]
    Any,
    /// A boot: kubeadm may follow, or not.
    Boot,
    /// `kubeadm init` is about to start. It reads the named file, in which only the documents for init count, or runs
    /// without a file.
    Init,
    /// `kubeadm join` is about to start. It reads the named file, or makes a control plane without a file.
    Join,
    /// `kubeadm upgrade` is about to write a new manifest.
    Upgrade,
}

impl Occasion {
    /// The kubeadm command that is about to start, which then writes the manifest, or fails. `None`: no kubeadm is
    /// about to start.
    pub fn command(self) -> Option<&'static str> {
        match self {
            Occasion::Any | Occasion::Boot => None,
            Occasion::Init => Some("init"),
            Occasion::Join => Some("join"),
            Occasion::Upgrade => Some("upgrade"),
        }
    }

    /// Is kubeadm about to start? It reads only the named file.
    pub fn is_kubeadm(self) -> bool {
        self.command().is_some()
    }
}

/// What a run is for: what the configuration says, and what the caller adds to it.
#[derive(Clone, Copy, Debug)]
pub struct Intent<'c> {
    pub config: &'c Config,
    pub occasion: Occasion,
    /// The user named the kubeadm configuration files, so kubeadm must be able to read each of them.
    pub required: bool,
    pub kubeadm: &'c KubeadmCall,
}

/// How kubeadm is called, beside its configuration file.
#[derive(Clone, Debug, Default)]
pub struct KubeadmCall {
    /// The absolute path that `--patches` names.
    pub patches: Option<String>,
    /// The directory in which kubeadm is started.
    pub directory: Option<String>,
}

impl KubeadmCall {
    /// Nothing is known.
    pub const UNKNOWN: KubeadmCall = KubeadmCall { patches: None, directory: None };
}

impl Intent<'_> {
    /// Is this the occasion, and does kubeadm run without a configuration file?
    pub fn is_without_file(&self, occasion: Occasion) -> bool {
        self.occasion == occasion && self.config.kubeadm_configs.as_deref().is_none_or(<[_]>::is_empty)
    }
}

/// What kind of node this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An image, or a node that kubeadm has not touched yet.
    Image,
    /// A node on which `kubeadm init` is about to run.
    FirstBoot,
    /// A node with a manifest of the API server.
    ControlPlane,
    /// A node that is about to join as a control plane.
    Joining,
    /// A node without an API server: nothing is done there.
    Worker,
}

impl Role {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Role::Image => "image",
            Role::FirstBoot => "first-boot",
            Role::ControlPlane => "control-plane",
            Role::Joining => "joining-control-plane",
            Role::Worker => "worker",
        }
    }

    /// The name in text for people.
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
    /// The log directory, with its disk and its logs.
    Storage,
    /// The audit policy.
    Policy,
    /// The kubeadm configuration: its file, and the cluster's ConfigMap.
    Kubeadm,
    /// The stray manifests.
    Strays,
    /// The static pod manifest.
    Manifest,
}

impl Step {
    /// All steps, in this order.
    pub const ALL: [Step; 5] = [Step::Storage, Step::Policy, Step::Kubeadm, Step::Strays, Step::Manifest];

    /// The name, in text and in JSON.
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

/// A change, and the step that it belongs to.
#[derive(Clone, Debug)]
pub struct Planned {
    pub step: Step,
    pub change: Change,
}

/// A path that a step looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub step: Step,
    pub path: String,
}

/// Everything that a run does, and what it reports.
#[derive(Clone, Debug)]
pub struct Plan {
    pub role: Role,
    pub version: Option<Version>,
    /// Where the version was found.
    pub version_source: &'static str,
    pub changes: Vec<Planned>,
    /// What a run does after all changes.
    pub follow_up: Option<FollowUp>,
    /// The paths that each step looks at, for `status`. A step without a path does not apply to the node.
    pub subjects: Vec<Subject>,
    /// The paths that stay as they are, although they are not as they should be: kubeadm configuration files that cannot
    /// be edited, on a node of a cluster, and what is mounted read-only. The warnings say why.
    pub skipped: Vec<Subject>,
    /// Why the cluster's kubeadm configuration is not known, if it was asked for.
    pub unknown: Option<String>,
    /// What is wrong with the cluster's kubeadm configuration, so that it is not edited.
    pub cluster_fault: Option<String>,
    /// A person must restart the API server, so that it reads the new policy. The warnings say how.
    pub by_hand: bool,
    /// The log directory, on a running system.
    pub storage: Option<LogStorage>,
    /// Why there is no log directory to look after.
    pub no_log: Option<NoLog>,
    /// How an API server that runs here is restarted.
    pub restart: Option<Restart>,
    /// Whether the running API server has what the files say after the run.
    pub in_force: InForce,
    /// The files whose audit settings the plan replaces with other ones.
    pub replaced: Vec<String>,
    /// The same of the files as they are now.
    pub in_force_now: InForce,
    /// Why nothing can be changed, if the files do not show the reason.
    pub refusal: Option<String>,
    /// Why the log should not be in its directory.
    pub objection: Option<String>,
    pub warnings: Vec<String>,
    /// What was seen of the files that flags and kubeconfigs name.
    pub files: Files,
    /// What a person should know about the whole, although nothing is wrong.
    pub remark: Option<String>,
    /// No plan could be made of what the node's files say: `refusal` says why.
    pub is_unread: bool,
}

/// Why there is no log directory to look after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoLog {
    pub why: &'static str,
    /// There may be a log, and this program does not know where.
    pub is_unknown: bool,
}

/// Previous log files move to the dedicated disk. This comes after the transaction, as no change needs it, and no run
/// undoes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp {
    pub log: String,
    /// The new attributes of the logs; `None`: they keep theirs.
    pub attributes: Option<Attributes>,
    /// `true`: there are logs to move. `false`: there are none yet, but more may appear before the end of the run.
    pub is_expected: bool,
}

impl FollowUp {
    /// The step that it belongs to.
    pub const STEP: Step = Step::Storage;
    /// The name of the action in JSON.
    pub const ACTION: &str = "gather";
}

/// The policy to install.
#[derive(Clone, Debug)]
pub struct AskedPolicy {
    pub sources: Sources,
    pub asked: Asked,
    /// The sources that are files, by name.
    pub files: Vec<(String, FileIdentity)>,
}

/// Who asked for a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nobody: it is that of the default profile.
    Nobody,
    /// The configuration names it.
    Configuration,
    /// The user named it on the command line.
    CommandLine,
}

/// The log directory, and the forecast for it.
#[derive(Clone, Debug)]
pub struct LogStorage {
    pub directory: String,
    pub seen: LogPlace,
    pub forecast: Forecast,
}

impl LogStorage {
    /// Can an event be written? While it can't, the API server drops events and goes on.
    pub fn takes_events(&self) -> bool {
        !self.seen.is_read_only && self.seen.disk.is_none_or(|disk| disk.has_room())
    }
}

impl Plan {
    /// Whether the API server that runs here is away for a while because of the changes, and how long: a line for people.
    pub fn absence(&self) -> Option<&'static str> {
        let restarts = self.changes.iter().any(|planned| matches!(planned.step, Step::Strays | Step::Manifest));
        Some(match self.restart? {
            _ if self.by_hand => "the API server does not restart by itself: restart it by hand; see the warning",
            _ if !restarts => "the API server does not restart",
            Restart::Quick(_) => {
                "the API server restarts, and is away for half a minute or more; with apply --wait 5m it is so for about a \
                 quarter of that, where the program may end the previous one early (restart.mode is quick)"
            }
            Restart::Graceful => {
                "the API server restarts, and is away for half a minute or more, also with --wait (restart.mode is graceful)"
            }
        })
    }

    /// No plan can be made of what the node's files say: why. The role is what the files let expect.
    pub fn unread(role: Role, why: String) -> Plan {
        Plan {
            role,
            version: None,
            version_source: "not known",
            changes: Vec::new(),
            follow_up: None,
            subjects: Vec::new(),
            skipped: Vec::new(),
            unknown: None,
            cluster_fault: None,
            by_hand: false,
            storage: None,
            no_log: None,
            restart: None,
            in_force: InForce::default(),
            replaced: Vec::new(),
            in_force_now: InForce::default(),
            refusal: Some(why),
            objection: None,
            warnings: Vec::new(),
            files: Files::new(),
            remark: None,
            is_unread: true,
        }
    }

    /// Says that the API server of the manifest at `path` is of no use at this moment. `age`: how long ago its manifest
    /// was written. `asks_cluster`: it would have been asked for the cluster's kubeadm configuration, too.
    pub fn tell_away(
        &mut self,
        path: &str,
        process: Option<i32>,
        away: &Away,
        age: Option<Duration>,
        asks_cluster: bool,
    ) {
        let why = self.in_force.add_away(path, process, away, age);
        if asks_cluster {
            self.unknown
                .get_or_insert_with(|| "not asked, as the API server does not answer; see the warning".to_owned());
        }
        self.warnings.push(why);
    }

    /// Does the cluster's kubeadm configuration have the settings already?
    pub fn has_cluster_settings(&self) -> bool {
        self.subjects.iter().any(|subject| subject.path == KUBEADM_CONFIG)
            && !self.changes.iter().any(|planned| planned.change.path() == KUBEADM_CONFIG)
    }

    /// Refuses the plan. Only the first reason is kept.
    pub fn refuse(&mut self, why: String) {
        self.refusal.get_or_insert(why);
    }

    /// # Errors
    ///
    /// The refusal; or the objection, if the plan changes anything.
    pub fn allowed(&self) -> Result<()> {
        match (&self.refusal, &self.objection) {
            (Some(why), _) => bail!("{why}"),
            (None, Some(why)) if !self.is_empty() => bail!("{why}"),
            _ => Ok(()),
        }
    }

    /// Makes the objection a warning, for a repair: the node audited in this directory before.
    pub fn waive_objection(&mut self) {
        self.warnings.extend(self.objection.take());
    }

    /// The changes, for a transaction, in order.
    pub fn changes(&self) -> Vec<Change> {
        self.changes.iter().map(|planned| planned.change.clone()).collect()
    }

    /// The follow-up, if there are logs to move now.
    pub fn expected_follow_up(&self) -> Option<&FollowUp> {
        self.follow_up.as_ref().filter(|follow_up| follow_up.is_expected)
    }

    /// Is there nothing to do?
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.expected_follow_up().is_none()
    }

    /// Does the plan change anything in this step?
    pub fn touches(&self, step: Step) -> bool {
        self.changes.iter().any(|planned| planned.step == step)
    }
}
