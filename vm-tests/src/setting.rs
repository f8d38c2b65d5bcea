//! The settings of the harness, whole from the moment they are made, and what a job may end with.

use std::path::PathBuf;

use clap::ValueEnum;
use serde::Deserialize;

use crate::components::Components;
use crate::qemu::Accelerator;

/// Where nodes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum On {
    /// In namespaces of this machine; a case takes seconds
    Namespaces,
    /// On machines of their own; a case takes minutes
    Qemu,
    /// On this machine itself, without a node, for cases that make their nodes with kind
    Host,
}

/// What nodes are made of, and what is tested on them.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Where the programs of Kubernetes come from.
    pub components: Components,
    /// Where the nodes run.
    pub on: On,
    /// How QEMU runs a machine.
    pub accelerator: Accelerator,
    /// A disk image to start machines from, in place of our own.
    pub image: Option<PathBuf>,
    /// The program under test.
    pub program: PathBuf,
    /// The same program as a .deb.
    pub package: Option<PathBuf>,
    /// How often a case cuts the power, if it cuts it at all. Without it, `case.yaml` says how often.
    pub cuts: Option<u32>,
    /// The factor for all limits that --patience asks for. See [`Setting::patience`].
    pub asked_patience: u32,
}

impl Setting {
    /// The factor for all limits: the one that was asked for, times the one for slow nodes.
    pub fn patience(&self) -> u32 {
        match self.on {
            On::Namespaces | On::Host => self.asked_patience,
            On::Qemu => self.asked_patience * self.accelerator.patience(),
        }
    }

    /// Are the nodes emulated?
    pub fn is_emulated(&self) -> bool {
        self.on == On::Qemu && self.accelerator == Accelerator::Tcg
    }
}

/// One invocation of `vm-tests run`.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// What its nodes are made of.
    pub setting: Setting,
    /// The seed for the moments at which the power is cut, and for the random configurations.
    pub seed: u64,
    /// How many random configurations with patches the judge of kubeadm looks at.
    pub patched: u32,
    /// The folder for the logs of failed jobs.
    pub log_root: PathBuf,
    /// Print each step.
    pub is_verbose: bool,
}

impl Invocation {
    /// The folder for the logs of a job, for a version of Kubernetes.
    pub fn logs(&self, job: &str, version: &str) -> PathBuf {
        self.log_root.join(format!("{job}-{version}"))
    }
}

/// How a job ended.
#[derive(Debug)]
pub enum Verdict {
    /// It passed.
    Passed {
        /// The number of events in the audit logs at the end, if there are audit logs.
        events: Option<u64>,
    },
    /// It failed. The text says why, and where the logs are.
    Failed(String),
}
