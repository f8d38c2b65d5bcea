//! An unfinished plan.

use super::in_force::InForce;
use super::wire::Wiring;
use super::{FollowUp, Intent, Plan, Planned, Role, Step, Subject};
use crate::audit::version::Version;
use crate::change::Change;
use crate::config::{Config, Existing};
use crate::facts::file::{Attributes, Owner};
use crate::facts::{Facts, Targets};

/// An unfinished plan, and what it is made from.
pub(super) struct Planner<'p> {
    pub intent: &'p Intent<'p>,
    pub facts: &'p Facts,
    pub targets: &'p Targets,
    pub plan: Plan,
    /// The version that the node's files say, if it is not that of the plan.
    pub other_version: Option<Version>,
    /// The owner of what is written.
    pub owner: Owner,
    /// The attributes of a log directory, and of the log itself.
    pub directory_attributes: Attributes,
    pub log_attributes: Attributes,
    /// kubeadm is about to write the manifest, or to find that there is one. The plan does not edit the manifest and
    /// mounts nothing, as only kubeadm restarts the API server then.
    pub before_kubeadm: bool,
}

impl<'p> Planner<'p> {
    /// A plan without changes, for the role and the owner that `wiring` found.
    pub fn new(intent: &'p Intent<'p>, facts: &'p Facts, targets: &'p Targets, wiring: &Wiring) -> Planner<'p> {
        let owner = Owner {
            uid: wiring.run_as.user.unwrap_or(facts.owner.uid),
            gid: wiring.run_as.group.unwrap_or(facts.owner.gid),
        };
        let (directory_mode, log_mode, group) = match intent.config.storage.group {
            Some(group) => (0o750, 0o640, group),
            None => (0o700, 0o600, owner.gid),
        };
        let plan = Plan {
            role: wiring.role,
            version: wiring.version,
            version_source: wiring.version_source,
            changes: Vec::new(),
            follow_up: None,
            subjects: Vec::new(),
            skipped: wiring
                .skipped
                .iter()
                .map(|path| Subject { step: Step::Kubeadm, path: path.clone() })
                .collect(),
            unknown: None,
            cluster_fault: None,
            by_hand: false,
            storage: None,
            no_log: None,
            restart: (facts.live && wiring.role == Role::ControlPlane).then_some(intent.config.restart),
            in_force: InForce::default(),
            replaced: Vec::new(),
            in_force_now: InForce::default(),
            refusal: None,
            objection: None,
            warnings: wiring.warnings.clone(),
            files: facts.files.clone(),
            remark: None,
            is_unread: false,
        };
        Planner {
            before_kubeadm: intent.occasion.is_kubeadm() && plan.role == Role::ControlPlane,
            directory_attributes: Attributes::new(directory_mode, owner.uid, group),
            log_attributes: Attributes::new(log_mode, owner.uid, group),
            intent,
            facts,
            targets,
            plan,
            other_version: wiring.other_version,
            owner,
        }
    }

    /// The configuration.
    pub fn config(&self) -> &'p Config {
        self.intent.config
    }

    /// Do existing settings stay?
    pub fn keeps(&self) -> bool {
        self.config().existing == Existing::Keep
    }

    /// Adds a warning.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.plan.warnings.push(warning.into());
    }

    /// Records a path that a step looks at, whether the plan changes it or not.
    pub fn look_at(&mut self, step: Step, path: &str) {
        self.plan.subjects.push(Subject { step, path: path.to_owned() });
    }

    /// Adds a change. While kubeadm is about to write the manifest, changes to the storage other than directories and
    /// attributes are left out.
    pub fn add(&mut self, step: Step, change: Change) {
        let is_little = matches!(change, Change::CreateDirectory { .. } | Change::SetAttributes { .. });
        if step != Step::Storage || is_little || !self.before_kubeadm {
            self.plan.changes.push(Planned { step, change });
        }
    }

    /// Sets the follow-up, unless kubeadm is about to write the manifest.
    pub fn follow_up(&mut self, follow_up: FollowUp) {
        self.plan.follow_up = Some(follow_up).filter(|_| !self.before_kubeadm);
    }
}
