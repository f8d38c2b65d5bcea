//! Facts of sample nodes, for the tests of `plan`.

use std::collections::BTreeMap;

use super::identify::identify;
use super::steps::plan;
use super::wire::{Wiring, wire};
use super::*;
use crate::audit::policy;
use crate::audit::policy::compose::Sources;
use crate::config::Config;
use crate::facts::DiskState;
use crate::facts::file::{FileIdentity, Owner, Snapshot, Text, lossy};
use crate::facts::{Directory, Facts, KubeletFacts, PatchFacts, Targets};
use crate::path::parent;
use crate::storage::forecast::{Disk, EventTimes, LogHistory, Rotated};
use crate::storage::persistence::{Judgement, Lasting};

const MANIFEST_PATH: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";

pub fn config(lines: &str) -> Config {
    let text = format!("apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\n{lines}\n");
    Config::parse(&text, "config").unwrap()
}

pub fn snapshot(text: &str) -> Snapshot {
    Snapshot {
        bytes: text.into(),
        attributes: Attributes::new(0o600, 0, 0),
        identity: FileIdentity { device: 1, inode: 1 },
    }
}

/// A directory of the root user, with these names in it.
pub fn directory(mode: u32, gid: u32, names: &[&str]) -> Directory {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Directory { attributes: Attributes::new(mode, 0, gid), names, leads_to: None }
}

/// A running node. With a manifest it is a control plane.
pub fn facts(manifest: Option<&str>) -> Facts {
    let text =
        |text: &str| Text { path: MANIFEST_PATH.to_owned(), text: text.to_owned(), snapshot: snapshot(text) };
    Facts {
        manifest_path: MANIFEST_PATH.to_owned(),
        manifest: manifest.map(text),
        beside: Vec::new(),
        kubeadm: Vec::new(),
        cluster: None,
        unreadable: Vec::new(),
        unnamed: Vec::new(),
        joined: false,
        distribution: None,
        is_agent: false,
        certified: false,
        live: true,
        root: String::new(),
        backed_up: None,
        owner: Owner { uid: 0, gid: 0 },
        files: BTreeMap::new(),
        running: None,
        neighbours: Vec::new(),
        readers: Vec::new(),
        unfinished: Vec::new(),
        kubelet: KubeletFacts::default(),
    }
}

/// An intent without command line options.
pub fn intent(config: &Config) -> Intent<'_> {
    Intent { config, occasion: Occasion::Any, required: false, kubeadm: &KubeadmCall::UNKNOWN }
}

pub fn wired(intent: &Intent<'_>, facts: &Facts) -> Result<Wiring> {
    wire(intent, facts, &PatchFacts::default(), identify(intent, facts)?)
}

pub fn planned(config: &Config, facts: &Facts, targets: &Targets) -> Plan {
    planned_for(&intent(config), facts, targets).unwrap()
}

pub fn planned_for(intent: &Intent<'_>, facts: &Facts, targets: &Targets) -> Result<Plan> {
    let policy =
        AskedPolicy { sources: Sources::of("default", policy::DEFAULT), asked: Asked::Nobody, files: Vec::new() };
    plan(intent, facts, wired(intent, facts)?, targets, &policy)
}

/// A control plane that audits as the configuration says, and has the default policy.
pub fn audited(config: &Config) -> (Facts, Targets) {
    let bare = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver, namespace: kube-system}\nspec:\n  containers:\n  - name: \
                kube-apiserver\n    command:\n    - kube-apiserver\n    image: registry.k8s.io/kube-apiserver:v1.31.4\n";
    let plan = planned(config, &facts(Some(bare)), &Targets::default());
    let manifest = plan.changes.iter().find_map(|planned| match &planned.change {
        Change::WriteFile { bytes, .. } if planned.step == Step::Manifest => Some(lossy(bytes)),
        _ => None,
    });
    let facts = facts(manifest.as_deref());
    let mut targets = Targets::default();
    targets.policies.insert(config.policy_path.clone(), Some(snapshot(policy::DEFAULT)));
    let directory = directory(0o700, 0, &["audit.log"]);
    targets.directories.insert(parent(&config.log.path).to_owned(), Some(directory));
    assert_eq!(actions(&planned(config, &facts, &targets)), "");
    (facts, targets)
}

/// A log directory about which everything is known.
pub fn seen() -> LogPlace {
    let judgement = Judgement {
        lasting: Lasting::Persistent,
        reason: "ext4 at / on the disk vda1".to_owned(),
        is_layer: false,
    };
    let disk = Some(Disk { total: 40 << 30, available: 31 << 30, eviction: 4 << 30 });
    // One file each hour, from 2026-11-24T12:13:26Z.
    let start = 1_795_522_406;
    let rotated =
        (1..=3).map(|hour| Rotated { time: start + hour * 3600, bytes: 5 << 20, plain: 50 << 20 }).collect();
    let events = Some(EventTimes { first: start + 3 * 3600, last: start + 3 * 3600 + 60 });
    let history = LogHistory { bytes: 1 << 20, events, rotated };
    LogPlace { judgement, disk, capacity: 40 << 30, is_read_only: false, history }
}

pub fn actions(plan: &Plan) -> String {
    let changes = plan.changes.iter().map(|planned| planned.change.action());
    changes.chain(plan.expected_follow_up().map(|_| FollowUp::ACTION)).collect::<Vec<_>>().join(" ")
}

pub fn disk_state() -> DiskState {
    DiskState {
        real: "/var/log/kubernetes/audit".to_owned(),
        mounted: None,
        is_right: false,
        content: None,
        size: 1 << 30,
        has_left: false,
        is_same: false,
        is_in_the_way: false,
        blind: None,
    }
}
