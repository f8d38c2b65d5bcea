//! What a run does to a node: decided here from facts, without touching anything.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use anyhow::{Result, bail};

use crate::audit::flags::Flags;
use crate::audit::policy;
use crate::audit::version::Version;
use crate::config::{Config, Existing, KUBEADM_CONFIGS, Occasion, Strays, is_within, parent};
use crate::node::backup::Restore;
use crate::node::change::{Attributes, Change, Snapshot};
use crate::node::cluster;
use crate::node::disk::{LABEL, aside};
use crate::node::kubectl::ADMIN_CONF;
use crate::node::observe::{Facts, Targets, Text, text_of};
use crate::node::storage::Seen;
use crate::storage::blank::Content;
use crate::storage::forecast::{Bytes, Disk, EVICTION, Forecast, Limits, Share, eviction, forecast, misfit};
use crate::storage::persistence::Lasting;
use crate::storage::unit::{KUBELET_DROP_IN, Source, UNITS, device_path, name as unit_name};
use crate::wiring::kubeadm::{self, Purpose};
use crate::wiring::manifest::{self, Manifest};
use crate::wiring::{Refusal, Wanted, Wired};
use crate::yaml::Node;
use crate::yaml::fields::Severity;

/// The versions of Kubernetes that this is made for.
const SUPPORTED: RangeInclusive<Version> = Version::new(26)..=Version::new(37);

/// With less room than this, in bytes, no log is worth to be begun.
const MIN_ROOM: u64 = 1 << 20;

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

/// The place of the log, and what is to be expected of it.
#[derive(Clone, Debug)]
pub struct Storage {
    pub directory: String,
    pub seen: Seen,
    pub forecast: Forecast,
}

/// The node's files with the settings put in, before it is known what lies at the paths that they name.
#[derive(Debug)]
pub struct Wiring {
    pub role: Role,
    pub version: Option<Version>,
    pub version_source: &'static str,
    /// The files that `kubeadm init` reads.
    kubeadm: Vec<(Text, Wired)>,
    /// The cluster's own, before and after, or why it isn't known.
    cluster: Option<Result<(String, Wired), String>>,
    manifest: Option<(Text, Wired)>,
    strays: Vec<Text>,
    run_as: (Option<u32>, Option<u32>),
    /// Where the policy must lie.
    pub policies: Vec<String>,
    /// Where the log's directory must be.
    pub directories: Vec<String>,
    /// The logs themselves.
    pub logs: Vec<String>,
    /// The audit flags that the API server will have.
    flags: Flags,
    pub manifest_path: String,
    /// What the kubelet will keep free of its file system, as the file says that kubeadm will configure it from.
    pub eviction: Share,
    /// Other files that the flags point at, each of which must be there.
    pub referenced: Vec<String>,
    /// Files of kubeadm's that are left as they are.
    skipped: Vec<String>,
    warnings: Vec<String>,
}

/// An error for a refused file: one line, and the YAML to add by hand below it.
fn refuse(path: &str, refusal: &Refusal) -> anyhow::Error {
    let mut message = format!("{path}:{refusal}");
    if let Some(by_hand) = &refusal.by_hand {
        let lines: String = by_hand.lines().map(|line| format!("\n    {line}")).collect();
        let _ = write!(message, "; add by hand what is missing of this:{lines}");
    }
    anyhow::anyhow!(message)
}

/// Reads the node's files and puts the settings in.
///
/// `required` says that the kubeadm files were named on the command line; then each must be one that
/// `kubeadm` reads. Errors name the file, line and column, and what to do.
pub fn wire(config: &Config, facts: &Facts, required: bool) -> Result<Wiring> {
    let (mut warnings, mut skipped) = (Vec::new(), Vec::new());
    let manifest = match &facts.manifest {
        Some(text) => Some(manifest::read(&text.text).map_err(|refusal| refuse(&text.path, &refusal))?),
        None => None,
    };
    // A file of its own accord in one of the usual places doesn't matter where the cluster exists.
    let lenient = (manifest.is_some() || facts.joined) && config.kubeadm_configs.is_none();
    if !lenient && let Some(error) = facts.unreadable.first() {
        bail!("{error}");
    }
    warnings.extend(facts.unreadable.iter().cloned());
    let mut files = Vec::new();
    for text in &facts.kubeadm {
        match kubeadm::read(&text.text, &text.path, config.occasion == Occasion::Init) {
            Ok(file) if file.purpose == Purpose::Other && required => bail!(
                "{}:1:1: there is no ClusterConfiguration, InitConfiguration or JoinConfiguration in this file",
                text.path
            ),
            Ok(file) => files.push((text, file)),
            Err(refusal) if lenient => {
                warnings.push(format!("{}:{refusal}; left as it is", text.path));
                skipped.push(text.path.clone());
            }
            Err(refusal) => return Err(refuse(&text.path, &refusal)),
        }
    }
    let has = |purpose| files.iter().any(|(_, file)| file.purpose == purpose);
    let role = match () {
        () if manifest.is_some() => Role::ControlPlane,
        () if has(Purpose::Init) || config.is_without_file(Occasion::Init) => Role::FirstBoot,
        () if has(Purpose::JoinControlPlane) || config.is_without_file(Occasion::Join) => Role::Joining,
        () if has(Purpose::JoinWorker) || facts.joined => Role::Worker,
        () => Role::Image,
    };
    if manifest.is_none() && facts.joined && facts.certified {
        let message = format!(
            "{}: the manifest isn't there, and the node has an API server's certificate: set manifest.path if the \
             manifest is elsewhere",
            facts.manifest_path
        );
        // With a file for kubeadm init, that may just be at work.
        if role != Role::FirstBoot {
            bail!(message);
        }
        warnings.push(message);
    }
    // A running API server's image tells more than the file that the cluster was once made from.
    let (version, version_source) = [
        (config.kubernetes_version, "as configured"),
        (manifest.as_ref().and_then(|manifest| manifest.version), "from the manifest's image"),
        (files.iter().find_map(|(_, file)| file.version), "from the ClusterConfiguration"),
        (facts.kubelet, "as installed"),
    ]
    .into_iter()
    .find(|(version, _)| version.is_some())
    .unwrap_or((None, "not known"));
    log::info!("this is {}", role.description());
    if let Some(version) = version.filter(|version| !SUPPORTED.contains(version)) {
        let (first, last) = (SUPPORTED.start(), SUPPORTED.end());
        warnings.push(format!("Kubernetes {version} is not among the tried ones, {first} to {last}"));
    }
    if role == Role::Image && facts.live && config.occasion == Occasion::Any {
        warnings.push(format!(
            "there is no kubeadm configuration where it is looked for ({}): if kubeadm init is to follow, name its \
             file with --kubeadm-config",
            config.kubeadm_configs.as_deref().map_or_else(|| KUBEADM_CONFIGS.join(", "), |paths| paths.join(", "))
        ));
    }
    let mut wiring = Wiring {
        role,
        version,
        version_source,
        kubeadm: Vec::new(),
        cluster: None,
        manifest: None,
        strays: Vec::new(),
        run_as: manifest.as_ref().map_or((None, None), |manifest| manifest.run_as),
        policies: Vec::new(),
        directories: Vec::new(),
        logs: Vec::new(),
        flags: Flags::new(),
        manifest_path: facts.manifest_path.clone(),
        eviction: files
            .iter()
            .flat_map(|(_, file)| &file.documents)
            .find(|document| document.root.get("kind").and_then(Node::scalar) == Some("KubeletConfiguration"))
            .map_or(EVICTION, |document| eviction(&document.root)),
        referenced: Vec::new(),
        skipped,
        warnings,
    };
    if role == Role::Worker {
        return Ok(wiring);
    }
    let wanted = Wanted::of(config);
    for (text, file) in &files {
        if file.purpose != Purpose::Init {
            continue;
        }
        match kubeadm::wire(&text.text, file, &wanted, version) {
            Ok(wired) => wiring.kubeadm.push(((*text).clone(), wired)),
            Err(refusal) if lenient => {
                wiring.warnings.push(format!("{}:{refusal}; left as it is", text.path));
                wiring.skipped.push(text.path.clone());
            }
            Err(refusal) => return Err(refuse(&text.path, &refusal)),
        }
    }
    wiring.cluster = facts.cluster.clone().map(|read| {
        let text = read?;
        let wired = kubeadm::read(&text, cluster::NAME, true)
            .and_then(|file| kubeadm::wire(&text, &file, &wanted, version))
            .map_err(|refusal| format!("{:#}", refuse(cluster::NAME, &refusal)))?;
        Ok((text, wired))
    });
    wiring.strays = strays(config, facts, manifest.as_ref(), &mut wiring.warnings)?;
    if let (Some(text), Some(manifest)) = (&facts.manifest, &manifest) {
        let wired = manifest::wire(&text.text, manifest, &wanted, version);
        wiring.manifest = Some((text.clone(), wired.map_err(|refusal| refuse(&text.path, &refusal))?));
    }
    wiring.collect(config);
    let manifests = parent(&facts.manifest_path);
    if let Some(path) = wiring.directories.iter().find(|path| is_within(path, manifests)) {
        bail!("{path}: a log must not lie in the manifest directory: the kubelet reads what is there");
    }
    if let Some(path) = wiring.policies.iter().find(|path| parent(path) == manifests) {
        bail!("{path}: a policy must not lie in the manifest directory: the kubelet runs what is there");
    }
    Ok(wiring)
}

/// The other files that define this manifest's pod: of those the kubelet runs one, whichever it read last. A pod of
/// another name that runs an API server, too, is somebody's own and is only told.
fn strays(
    config: &Config,
    facts: &Facts,
    manifest: Option<&Manifest>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Text>> {
    let own = facts.manifest.as_ref().and_then(|text| manifest::identify(&text.text).ok()?);
    let mut strays = Vec::new();
    for text in &facts.beside {
        let (identity, runs_api_server) = match manifest::identify(&text.text) {
            Ok(Some(found)) => found,
            Ok(None) => continue,
            Err(fault) => {
                if text.text.contains("kube-apiserver") {
                    warnings.push(format!(
                        "{}:{fault}; it may define an API server all the same, as the kubelet reads more",
                        text.path
                    ));
                }
                continue;
            }
        };
        let same = own.as_ref().is_some_and(|(own, _)| *own == identity);
        if manifest.is_none() && runs_api_server {
            bail!(
                "{}: this defines the API server, and {} isn't there; set manifest.path to the file that is meant",
                text.path,
                facts.manifest_path
            );
        }
        if !same {
            if runs_api_server {
                warnings
                    .push(format!("{}: a pod of another name runs an API server, too; left as it is", text.path));
            }
            continue;
        }
        if config.strays == Strays::Refuse {
            bail!(
                "{}: this defines another API server beside {}, and the kubelet runs every file there; move it \
                 out of the directory",
                text.path,
                facts.manifest_path
            );
        }
        strays.push(text.clone());
    }
    Ok(strays)
}

impl Wiring {
    /// Gathers the paths that the flags point at.
    fn collect(&mut self, config: &Config) {
        let mut policies = BTreeSet::new();
        let mut directories = BTreeSet::new();
        let mut referenced = BTreeSet::new();
        let mut logs = BTreeSet::new();
        let name =
            |flags: &Flags| flags.get("audit-log-path").and_then(|path| Some(path.rsplit_once('/')?.1.to_owned()));
        // Not what the cluster's own names: other nodes may have been given other paths.
        for (_, wired) in self.kubeadm.iter().chain(&self.manifest) {
            policies.insert(wired.policy.clone());
            directories.extend(wired.log_directory.clone());
            let log = wired.log_directory.as_ref().zip(name(&wired.flags));
            logs.extend(log.map(|(directory, name)| format!("{directory}/{name}")));
            self.flags = wired.flags.clone();
        }
        referenced.extend(config.webhook.as_ref().map(|webhook| webhook.config_file.clone()));
        // Nothing here tells of an API server yet: what it will find is the configuration's.
        if policies.is_empty() {
            policies.insert(config.policy_path.clone());
            directories.extend(config.log.file().map(|path| parent(path).to_owned()));
            logs.extend(config.log.file().cloned());
            self.flags = config.flags().into_iter().collect();
        }
        self.logs = logs.into_iter().collect();
        self.policies = policies.into_iter().collect();
        self.directories = directories.into_iter().collect();
        self.referenced = referenced.into_iter().collect();
    }
}

/// The policy to install.
#[derive(Clone, Debug)]
pub struct PolicyText {
    /// A file, or a profile, for messages.
    pub name: String,
    pub text: String,
}

/// Plans the changes.
///
/// Errors: a policy that the node's API server would refuse, or would take for something else than it says.
pub fn plan(
    config: &Config,
    facts: &Facts,
    wiring: Wiring,
    targets: &Targets,
    policy_text: &PolicyText,
) -> Result<Plan> {
    let mut plan = Plan {
        role: wiring.role,
        version: wiring.version,
        version_source: wiring.version_source,
        changes: Vec::new(),
        subjects: Vec::new(),
        skipped: wiring.skipped,
        unknown: None,
        by_hand: false,
        storage: None,
        refusal: None,
        objection: None,
        warnings: wiring.warnings,
    };
    if wiring.role == Role::Worker {
        return Ok(plan);
    }
    let owner = (wiring.run_as.0.unwrap_or(facts.owner.0), wiring.run_as.1.unwrap_or(facts.owner.1));
    if owner.0 != 0 && wiring.run_as.0.is_none() {
        plan.warnings.push(format!("not run as root: what is written belongs to {}:{}", owner.0, owner.1));
    }
    if config.log.file().is_none() {
        plan.warnings.push(
            "log.path is -: events go to the standard output of the API server's container, where the kubelet rotates \
             them away with its other messages, and none of the log's own limits holds"
                .to_owned(),
        );
    }
    let keep = config.existing == Existing::Keep;
    let (mode, log_mode, group) = match config.storage.group {
        Some(group) => (0o750, 0o640, group),
        None => (0o700, 0o600, owner.1),
    };
    for path in &wiring.directories {
        let wanted = Attributes::new(mode, owner.0, group);
        plan.subjects.push((Step::Storage, path.clone()));
        match targets.directories.get(path).cloned().flatten() {
            None => {
                let change = Change::CreateDirectory { path: path.clone(), attributes: wanted };
                plan.add(Step::Storage, change);
            }
            Some((before, names)) if !keep && !wanted.met_by(&before) => {
                // A directory that others use, too, would be closed to them; what is mounted there for the log is the log's.
                let is_ours = targets.disk.as_ref().is_some_and(|disk| disk.is_right);
                let other = names.iter().find(|name| !is_of_log(name, &config.log.path));
                if let Some(other) = other.filter(|_| !is_ours) {
                    plan.warnings.push(format!(
                        "{path}: there is more than the audit log in it ({other:?}), so its mode {:04o} and its owner \
                         stay; a directory of its own would be closed to others",
                        before.mode
                    ));
                } else {
                    let change = Change::SetAttributes { path: path.clone(), before, after: wanted };
                    plan.add(Step::Storage, change);
                }
            }
            Some(_) => {}
        }
    }
    let edits = wiring.kubeadm.iter().chain(&wiring.manifest).any(|(text, wired)| wired.text != text.text)
        || config.is_without_file(Occasion::Init);
    let log_attributes = Attributes::new(log_mode, owner.0, group);
    let blind = plan.plan_mount(
        config,
        facts,
        &wiring.logs,
        targets,
        [&Attributes::new(mode, owner.0, group), &log_attributes],
    )?;
    let mounts = plan.mounts();
    for path in &wiring.logs {
        // What rotates the log gives each new file the mode and the owner of the one before.
        if !targets.logs.contains_key(path)
            && config.storage.group.is_some()
            && (config.storage.source.is_none() || targets.disk.as_ref().is_some_and(|disk| disk.is_right))
        {
            plan.subjects.push((Step::Storage, path.clone()));
            let (path, attributes) = (path.clone(), log_attributes.clone());
            plan.add(Step::Storage, Change::WriteFile { path, before: None, bytes: Vec::new(), attributes });
        }
    }
    for (path, before) in &targets.logs {
        let Some(before) = before.as_ref().filter(|before| !keep && !mounts && !log_attributes.met_by(before))
        else {
            continue;
        };
        // Old ones stay closed to all but their owner, unless a group shall read them.
        if config.storage.group.is_some() || wiring.logs.contains(path) {
            plan.subjects.push((Step::Storage, path.clone()));
            let (path, before, after) = (path.clone(), before.clone(), log_attributes.clone());
            plan.add(Step::Storage, Change::SetAttributes { path, before, after });
        }
    }
    for path in &wiring.policies {
        plan.subjects.push((Step::Policy, path.clone()));
        let before = targets.policies.get(path).cloned().flatten();
        plan.policy(path, before, keep, owner, policy_text)?;
    }
    let replaced = plan.changes.iter().find_map(|planned| match &planned.change {
        Change::WriteFile { before: Some(before), bytes, .. } if planned.step == Step::Policy => {
            Some([before.bytes.clone(), bytes.clone()])
        }
        _ => None,
    });
    for (text, wired) in wiring.kubeadm {
        plan.edit(Step::Kubeadm, text, wired);
    }
    match wiring.cluster {
        None => {}
        Some(Ok((before, wired))) => {
            plan.subjects.push((Step::Kubeadm, cluster::NAME.to_owned()));
            plan.warnings.extend(wired.notes.iter().map(|note| format!("{}:{note}", cluster::NAME)));
            if wired.text != before {
                plan.warnings.push(format!(
                    "{}: other control planes take their flags from it at their next upgrade, and new ones when they join: \
                     each needs this program's policy and directory before",
                    cluster::NAME
                ));
                plan.add(Step::Kubeadm, Change::WriteCluster { before, after: wired.text });
            }
        }
        Some(Err(why)) => plan.unknown = Some(why),
    }
    for text in wiring.strays {
        plan.warnings.push(format!(
            "{}: this defines another API server, which the kubelet may run instead; it goes to the backups",
            text.path
        ));
        plan.subjects.push((Step::Strays, text.path.clone()));
        plan.add(Step::Strays, Change::MoveAway { path: text.path, before: text.snapshot });
    }
    if let Some((text, mut wired)) = wiring.manifest {
        let edited = wired.text != text.text;
        // A container keeps what was mounted when it began.
        let moved = blind.then(|| [Vec::new(), b"mount".to_vec()]);
        if let Some([before, after]) = replaced.or(moved).filter(|_| !edited) {
            match manifest::mark(&text.text, &[&before, &after]) {
                Ok(marked) => wired.text = marked,
                Err(refusal) => plan.restart_by_hand(format!(
                    "{}:{refusal}; the API server reads its policy, and sees what is mounted, when it starts: restart it for the new one to \
                     count, with crictl stop $(crictl ps -q --name kube-apiserver)",
                    text.path
                )),
            }
        }
        plan.edit(Step::Manifest, text, wired);
        let known = facts.cluster.is_some() && plan.unknown.is_none();
        if edited && !known && config.cluster {
            plan.warnings.push(format!(
                "{}: the cluster's own configuration isn't edited, and the next kubeadm upgrade drops what it doesn't have: \
                 run apply again on a control plane with kubectl and {ADMIN_CONF} once its API server answers, or put the \
                 settings there by hand, with kubectl -n kube-system edit configmap kubeadm-config{}",
                cluster::NAME,
                plan.unknown.as_ref().map(|why| format!(" ({why})")).unwrap_or_default()
            ));
        }
    }
    if let (Some(seen), Some(log)) = (&targets.storage, wiring.logs.first()) {
        let limits = Limits::of(&wiring.flags, wiring.version);
        plan.judge_place(config, parent(log), seen, &limits, edits || plan.mounts());
    }
    if config.occasion.is_kubeadm() && plan.role == Role::ControlPlane {
        // kubeadm makes the manifest anew in a moment, or finds that there is one; what a mount needs restarted, it restarts only then.
        plan.changes.retain(|planned| match planned.step {
            Step::Policy | Step::Kubeadm => true,
            Step::Storage => {
                matches!(planned.change, Change::CreateDirectory { .. } | Change::SetAttributes { .. })
            }
            Step::Strays | Step::Manifest => false,
        });
    }
    if wiring.role == Role::Joining {
        plan.warnings.push(
            "a joining control plane takes its flags from the cluster's kubeadm-config: they must be there"
                .to_owned(),
        );
    }
    Ok(plan)
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

    /// Plans what shall be mounted where the log lies. True if an API server that runs must be started anew to see it.
    ///
    /// Errors: the log lies elsewhere, or a link leads there.
    fn plan_mount(
        &mut self,
        config: &Config,
        facts: &Facts,
        logs: &[String],
        targets: &Targets,
        [directory_attributes, log_attributes]: [&Attributes; 2],
    ) -> Result<bool> {
        let Some(log) = logs.first() else { return Ok(false) };
        let directory = parent(log);
        // One image may be for workers, too: their kubelet must not wait for a disk of control planes, nor theirs be formatted.
        if config.occasion == Occasion::Boot && self.role == Role::Image {
            if config.storage.source.is_some() && targets.disk.as_ref().is_some_and(|disk| !disk.is_right) {
                self.warnings.push(format!(
                    "{directory}: nothing is mounted before kubeadm's configuration, or the hook, tells that this becomes a control plane"
                ));
            }
            return Ok(false);
        }
        let Some(source) = &config.storage.source else {
            if targets.has_unit {
                self.warnings.push(format!(
                    "{UNITS}/{}: storage names nothing any more, and this still mounts it, and the kubelet needs it: restore, or remove it, and \
                     {UNITS}/{KUBELET_DROP_IN}",
                    unit_name(directory)
                ));
            }
            return Ok(false);
        };
        if let Some(other) = logs.iter().find(|other| parent(other) != parent(&config.log.path)) {
            bail!(
                "{other}: a manifest has the log here, and not where log.path has it, so nothing can be mounted; remove `existing: \
                 keep`, or set log.path to this"
            );
        }
        for (path, text, before) in &targets.units {
            self.subjects.push((Step::Storage, path.clone()));
            if before.as_ref().is_none_or(|before| before.bytes != text.as_bytes()) {
                let new = Attributes::new(0o644, facts.owner.0, facts.owner.1);
                let attributes = before.as_ref().map_or(new, |before| before.attributes.clone());
                let (path, before, bytes) = (path.clone(), before.clone(), text.clone().into_bytes());
                self.add(Step::Storage, Change::WriteFile { path, before, bytes, attributes });
            }
        }
        let Some(state) = &targets.disk else { return Ok(false) };
        if state.real != directory {
            bail!(
                "{directory}: a link leads to {}, and nothing can be mounted at a link; name that in log.path",
                state.real
            );
        }
        let aside = aside(directory);
        if let Some(mounted) = &state.mounted {
            if !state.is_right {
                self.refuse(format!(
                    "{directory}: {mounted} is mounted there, and not what storage names; unmount it, or correct storage"
                ));
            }
            match &state.blind {
                Some(blind) => self.warnings.push(format!(
                    "{directory}: {} began before this was mounted, and writes its log below it, or to {aside}, until the kubelet has started \
                     it anew; apply moves the events then",
                    blind.name
                )),
                None if state.has_left => {
                    let attributes = config.storage.group.map(|_| log_attributes.clone());
                    self.add(Step::Storage, Change::Gather { log: log.clone(), attributes });
                }
                None => {}
            }
            return Ok(state.blind.as_ref().is_some_and(|blind| !blind.is_replaced));
        }
        if state.is_in_the_way {
            self.refuse(format!(
                "{aside}: this is there, and so are files in {directory}, which would go there; move one of them away"
            ));
        }
        match source {
            Source::Bind(from) if is_within(from, parent(&facts.manifest_path)) => {
                bail!("{from}: storage.bind must not lie in the manifest directory: the kubelet reads what is there");
            }
            Source::Bind(from) if state.is_same && targets.bound.is_none() => {
                let attributes = directory_attributes.clone();
                self.add(Step::Storage, Change::CreateDirectory { path: from.clone(), attributes });
                self.warnings.push(format!("{from}: storage.bind is on the same file system as {directory}: is its disk mounted?"));
            }
            Source::Bind(from) => match &targets.bound {
                Some((_, names)) if names.iter().any(|name| !is_of_log(name, log)) => self.refuse(format!(
                    "{from}: storage.bind holds more than the log ({:?}), and would be closed to others; name a directory of its own",
                    names.iter().find(|name| !is_of_log(name, log)).map_or("", String::as_str)
                )),
                None => {
                    let attributes = directory_attributes.clone();
                    self.add(Step::Storage, Change::CreateDirectory { path: from.clone(), attributes });
                }
                Some((before, _)) if !directory_attributes.met_by(before) => {
                    let (path, before, after) = (from.clone(), before.clone(), directory_attributes.clone());
                    self.add(Step::Storage, Change::SetAttributes { path, before, after });
                }
                Some(_) => {}
            },
            Source::Device { name, format } => {
                let device = device_path(name);
                match (&state.content, format) {
                    (None, _) => {
                        self.refuse(format!("{device}: storage.device isn't there; attach it, or correct its name"));
                    }
                    (Some(Content::Blank), Some(format)) => {
                        self.add(Step::Storage, Change::Format { device, format: *format });
                    }
                    (Some(Content::Blank), None) => self.refuse(format!(
                        "{device}: it is blank; give it a file system, or let storage.format do so"
                    )),
                    (Some(Content::Single(one)), Some(format)) if one.kind == format.name() && one.label == LABEL => {}
                    (Some(Content::Single(one)), None) if FILE_SYSTEMS.contains(&one.kind.as_str()) => {}
                    (Some(Content::Single(one)), Some(_)) if FILE_SYSTEMS.contains(&one.kind.as_str()) => {
                        self.refuse(format!(
                            "{device}: it is not blank, there is {} with the label {:?}, and what is made here has the label {LABEL}; to use it as \
                             it is, leave storage.format out",
                            one.kind, one.label
                        ));
                    }
                    (Some(content), _) => self.refuse(format!(
                        "{device}: {content}; it can't hold the log, and is left as it is: name another one, or, if nothing on it is needed, \
                         clear it with wipefs --all and blkdiscard --zeroout"
                    )),
                }
            }
        }
        let (path, unit) = (directory.to_owned(), unit_name(directory));
        // A new file system has no labels.
        let label = targets.directories.get(directory).and_then(|found| found.as_ref()?.0.label.clone());
        let attributes = Attributes { label, ..directory_attributes.clone() };
        let begun = config.storage.group.map(|_| log_attributes.clone());
        self.add(Step::Storage, Change::Mount { path, unit, attributes, log: log.clone(), begun: begun.clone() });
        if state.has_left || !targets.logs.is_empty() {
            self.add(Step::Storage, Change::Gather { log: log.clone(), attributes: begun });
        }
        Ok(true)
    }

    /// Judges the place of the log, and whether what the flags allow has room there. `changed` says that the flags, or the place, are about to
    /// become others.
    fn judge_place(&mut self, config: &Config, directory: &str, seen: &Seen, limits: &Limits, changed: bool) {
        let forecast = forecast(limits, &seen.history, seen.disk);
        let place = format!("{directory}: {}", seen.judgement);
        match seen.judgement.lasting {
            Lasting::Volatile if !config.storage.may_be_volatile => self.object(
                changed,
                format!("{place}: the log would be gone after a reboot"),
                "mount a disk there (storage.device, storage.bind), set log.path to a directory on a disk, or storage.require to any",
            ),
            Lasting::Volatile => self.warnings.push(format!("{place}: the log will be gone after a reboot")),
            Lasting::Unknown if !config.storage.may_be_volatile => self.warnings.push(format!(
                "{directory}: it can't be told whether the log outlives a reboot: {}",
                seen.judgement.reason
            )),
            _ => {}
        }
        if seen.is_read_only {
            self.object(
                changed,
                format!("{directory}: its file system is read-only, so no event can be written"),
                "see the kernel's log for why, and mount it read-write",
            );
        }
        // Of what isn't mounted, only the size is known.
        let capacity = Disk { total: seen.capacity, available: seen.capacity, eviction: 0 };
        if let Some(disk) = seen.disk.or(Some(capacity).filter(|capacity| capacity.total > 0)) {
            if disk.available < MIN_ROOM {
                let left = Bytes(disk.available);
                self.object(
                    changed,
                    format!("{directory}: {left} are left on its file system, so no event could be written"),
                    "make room",
                );
            }
            if let Some(headroom) = config.storage.headroom
                && let Some(misfit) = misfit(&forecast, limits, &seen.history, disk, headroom.of(disk.total))
            {
                self.object(
                    changed,
                    format!("{directory}: {misfit}"),
                    "set log.maxBackup and log.maxSize so that it fits, give the log a larger disk of its own (storage.device), or set storage.headroom to any",
                );
            }
        }
        self.storage = Some(Storage { directory: directory.to_owned(), seen: seen.clone(), forecast });
    }

    /// Speaks against the place of the log. On an image that is no matter, as it is copied to where it will run; and what was so before is no
    /// reason to do nothing.
    fn object(&mut self, changed: bool, why: String, advice: &str) {
        match self.role {
            Role::Image => self.warnings.push(why),
            _ if !changed => self.warnings.push(format!("{why}; {advice}")),
            _ => {
                self.objection.get_or_insert(format!("{why}; {advice}"));
            }
        }
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

    /// Replaces a file's text where it differs. Its owner and mode stay.
    fn edit(&mut self, step: Step, text: Text, wired: Wired) {
        self.subjects.push((step, text.path.clone()));
        self.warnings.extend(wired.notes.iter().map(|note| format!("{}:{note}", text.path)));
        if wired.text != text.text {
            let attributes = text.snapshot.attributes.clone();
            let bytes = wired.text.into_bytes();
            self.add(step, Change::WriteFile { path: text.path, before: Some(text.snapshot), bytes, attributes });
        }
    }

    /// Installs the policy, or judges the one that stays.
    fn policy(
        &mut self,
        path: &str,
        before: Option<Snapshot>,
        keep: bool,
        owner: (u32, u32),
        policy_text: &PolicyText,
    ) -> Result<()> {
        let attributes = Attributes::new(0o600, owner.0, owner.1);
        if let Some(before) = before.as_ref().filter(|_| keep) {
            let text = text_of(&before.bytes).map_err(|error| anyhow::anyhow!("{path}:{error}"))?;
            return self.check(path, text);
        }
        self.check(&policy_text.name, &policy_text.text)?;
        if let Some(kind) =
            before.as_ref().and_then(|before| kind_of(&before.bytes)).filter(|kind| kind != "Policy")
        {
            bail!("{path}: a {kind} is there, and no audit policy; set policy.path to another file");
        }
        // A broken policy may be replaced; a key, a certificate or a program may not.
        let may_go = |bytes: &[u8]| lossy(bytes).contains("Policy") || says_nothing(bytes);
        if before.as_ref().is_some_and(|before| !may_go(&before.bytes)) {
            bail!("{path}: something is there that is no audit policy; set policy.path to another file");
        }
        match before {
            Some(before) if before.bytes == policy_text.text.as_bytes() => {
                if !attributes.met_by(&before.attributes) {
                    let before = before.attributes;
                    self.add(
                        Step::Policy,
                        Change::SetAttributes { path: path.to_owned(), before, after: attributes },
                    );
                }
            }
            before => {
                if before.is_some() {
                    self.warnings.push(format!(
                        "{path}: another policy is there; it goes to the backups (--existing keep keeps it)"
                    ));
                }
                let bytes = policy_text.text.clone().into_bytes();
                self.add(Step::Policy, Change::WriteFile { path: path.to_owned(), before, bytes, attributes });
            }
        }
        Ok(())
    }

    fn check(&mut self, name: &str, text: &str) -> Result<()> {
        let findings = policy::check(text, self.version);
        let (errors, warnings): (Vec<_>, Vec<_>) =
            findings.iter().partition(|finding| finding.severity == Severity::Error);
        if !errors.is_empty() {
            let lines: Vec<_> = errors.iter().map(|finding| format!("{name}:{finding}")).collect();
            bail!("{}", lines.join("\n"));
        }
        for finding in warnings {
            let line = format!("{name}:{}: {}", finding.place, finding.message);
            if !self.warnings.contains(&line) {
                self.warnings.push(line);
            }
        }
        Ok(())
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

/// Takes out of the way back what would remove a file or directory that the manifest, as it will be then, still
/// points at: the API server would not come back without it. `manifest` is the text of today's. Each gets a note.
pub fn keep_referenced(restore: &mut Restore, manifest_path: &str, manifest: Option<&str>) {
    let changed = restore.changes.iter().find_map(|change| match change {
        Change::WriteFile { path, bytes, .. } if path == manifest_path => Some(lossy(bytes)),
        Change::RemoveFile { path, .. } if path == manifest_path => Some(String::new()),
        _ => None,
    });
    let text = changed.as_deref().or(manifest).unwrap_or_default();
    let referenced = manifest::auditing(text).map(|auditing| auditing.referenced).unwrap_or_default();
    let removed = |change: &Change| match change {
        Change::RemoveFile { path, .. } | Change::RemoveDirectory { path, .. } => Some(path.clone()),
        // Who may read it is part of what the API server needs.
        Change::SetAttributes { path, before, after } if before.uid != after.uid => Some(path.clone()),
        _ => None,
    };
    for change in &mut restore.changes {
        if let Change::WriteFile { path, before: Some(before), attributes, .. } = change
            && path != manifest_path
            && referenced.contains(path)
        {
            (attributes.uid, attributes.gid) = (before.attributes.uid, before.attributes.gid);
        }
    }
    let kept: Vec<_> =
        restore.changes.iter().filter_map(removed).filter(|path| referenced.contains(path)).collect();
    // What is kept keeps the directories that lead to it.
    restore
        .changes
        .retain(|change| !removed(change).is_some_and(|path| kept.iter().any(|kept| is_within(kept, &path))));
    let note = |path| format!("{path} stays: {manifest_path} points at it, and the API server needs it");
    restore.notes.extend(kept.iter().map(note));
    restore.foreign.retain(|path| restore.changes.iter().any(|change| change.path() == path));
}

/// What a roll-back does to the node's files, and the paths that it leaves: those that somebody else wrote or removed meanwhile, and what the
/// manifest points at, as it will be then. `manifest` is the text of today's. What is in the cluster comes later, when its API server answers.
pub fn roll_back(mut restore: Restore, manifest_path: &str, manifest: Option<&str>) -> (Vec<Change>, Vec<String>) {
    let mut left = std::mem::take(&mut restore.foreign);
    restore.changes.retain(|change| !matches!(change, Change::WriteCluster { .. }));
    let before: Vec<_> = restore.changes.iter().map(|change| change.path().to_owned()).collect();
    restore.changes.retain(|change| !left.iter().any(|path| path == change.path()));
    keep_referenced(&mut restore, manifest_path, manifest);
    let kept = |path: &String| !restore.changes.iter().any(|change| change.path() == path);
    left.extend(restore.gone.iter().map(|change| change.path().to_owned()));
    for path in before.into_iter().filter(kept) {
        if !left.contains(&path) {
            left.push(path);
        }
    }
    (restore.changes, left)
}

/// Is a name in the directory of a log, given by its path, the log's, or nobody's?
fn is_of_log(name: &str, log: &str) -> bool {
    let stem = log.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or_default();
    name.starts_with(stem) || name.starts_with('.') || name == "lost+found"
}

/// What may be mounted as it is.
const FILE_SYSTEMS: [&str; 6] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"];

/// The `kind` of a file, where it is a YAML document with one.
fn kind_of(bytes: &[u8]) -> Option<String> {
    let documents = crate::yaml::parse(text_of(bytes).ok()?).ok()?;
    Some(documents.first()?.root.get("kind")?.scalar()?.to_owned())
}

/// Whether a file has blanks and comments at most.
fn says_nothing(bytes: &[u8]) -> bool {
    lossy(bytes).lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

/// What a change does, in words.
pub fn describe(change: &Change) -> String {
    let who = |attributes: &Attributes| {
        format!("mode {:04o}, owner {}:{}", attributes.mode, attributes.uid, attributes.gid)
    };
    match change {
        Change::CreateDirectory { path, attributes } => format!("create directory {path} ({})", who(attributes)),
        Change::SetAttributes { path, before, after } => {
            format!("set {path} to {} (was {})", who(after), who(before))
        }
        Change::WriteFile { path, before: None, attributes, .. } => format!("create {path} ({})", who(attributes)),
        Change::WriteFile { path, before: Some(before), bytes, attributes } => {
            let (added, removed) = count(&lossy(&before.bytes), &lossy(bytes));
            let old = who(&before.attributes);
            let also =
                if old == who(attributes) { String::new() } else { format!("; {} (was {old})", who(attributes)) };
            format!("edit {path} (lines: {added} added, {removed} removed{also})")
        }
        Change::MoveAway { path, .. } => format!("move {path} to the backups"),
        Change::Format { device, format } => format!("format {device}, which is blank, as {}", format.name()),
        Change::Mount { path, unit, .. } => format!("mount {unit} at {path}"),
        Change::Unmount { path } => format!("unmount {path}"),
        Change::Gather { log, .. } => format!("move the events in {} to {}", aside(parent(log)), parent(log)),
        Change::RemoveFile { path, .. } => format!("remove {path}"),
        Change::RemoveDirectory { path, .. } => format!("remove directory {path}"),
        Change::WriteCluster { before, after } => {
            let (added, removed) = count(before, after);
            format!("edit the cluster's {} (lines: {added} added, {removed} removed)", cluster::NAME)
        }
    }
}

/// The kind of a change, in JSON.
pub fn action(change: &Change) -> &'static str {
    match change {
        Change::CreateDirectory { .. } => "create-directory",
        Change::SetAttributes { .. } => "set-attributes",
        Change::WriteFile { before: None, .. } => "create-file",
        Change::WriteFile { .. } => "edit-file",
        Change::MoveAway { .. } => "move-away",
        Change::Format { .. } => "format",
        Change::Mount { .. } => "mount",
        Change::Unmount { .. } => "unmount",
        Change::Gather { .. } => "gather",
        Change::RemoveFile { .. } => "remove-file",
        Change::RemoveDirectory { .. } => "remove-directory",
        Change::WriteCluster { .. } => "edit-cluster",
    }
}

/// The unified diff of a change to a file; `None` for all else.
pub fn diff(change: &Change) -> Option<String> {
    let (path, old, new) = match change {
        Change::WriteFile { path, before, bytes, .. } => {
            (path.as_str(), before.as_ref().map(|before| lossy(&before.bytes)), Some(lossy(bytes)))
        }
        Change::RemoveFile { path, before } => (path.as_str(), Some(lossy(&before.bytes)), None),
        Change::WriteCluster { before, after } => (cluster::NAME, Some(before.clone()), Some(after.clone())),
        _ => return None,
    };
    let name = |side: &str, there: bool| match there {
        true => format!("{side}/{}", path.trim_start_matches('/')),
        false => "/dev/null".to_owned(),
    };
    let mut text = format!("--- {}\n+++ {}\n", name("a", old.is_some()), name("b", new.is_some()));
    let hunks = hunks(old.as_deref(), &new.unwrap_or_default());
    for line in hunks.lines() {
        text.push_str(&hide_secret(line));
        text.push('\n');
    }
    Some(text)
}

/// What follows the two names in a unified diff; `old` is `None` where there was no file.
fn hunks(old: Option<&str>, new: &str) -> String {
    let input = imara_diff::InternedInput::new(old.unwrap_or_default(), new);
    let mut diff = imara_diff::Diff::compute(imara_diff::Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let printer = imara_diff::BasicLineDiffPrinter(&input.interner);
    let text = diff.unified_diff(&printer, imara_diff::UnifiedDiffConfig::default(), &input).to_string();
    // imara-diff 0.2 prints all lines before a first change that is near the start, but counts from three before it.
    let text = match diff.hunks().next().map(|hunk| hunk.before.start) {
        Some(start @ 4..=6) => {
            let line = start - 2;
            text.replacen(&format!("@@ -{line},"), "@@ -1,", 1).replacen(&format!(" +{line},"), " +1,", 1)
        }
        _ => text,
    };
    // A file that isn't there has no line 1, or `patch` looks for it.
    match (old, text.strip_prefix("@@ -1,0 ")) {
        (None, Some(rest)) => format!("@@ -0,0 {rest}"),
        _ => text,
    }
}

/// A diff's line without a bootstrap token (`abcdef.0123456789abcdef`) or a certificate key (64 hexadecimal digits) that
/// may stand around an edit: a diff ends in the boot log, which more people read than the file.
fn hide_secret(line: &str) -> String {
    let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.';
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(part) {
        shown.push_str(&rest[..start]);
        rest = &rest[start..];
        let word = &rest[..rest.find(|c| !part(c)).unwrap_or(rest.len())];
        let token = word.len() == 23 && word.find('.') == Some(6) && word.rfind('.') == Some(6);
        let key = word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
        shown.push_str(if token || key { "<hidden>" } else { word });
        rest = &rest[word.len()..];
    }
    shown + rest
}

fn count(old: &str, new: &str) -> (u32, u32) {
    let input = imara_diff::InternedInput::new(old, new);
    let diff = imara_diff::Diff::compute(imara_diff::Algorithm::Histogram, &input);
    (diff.count_additions(), diff.count_removals())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::disk;
    use crate::storage::blank::Signature;
    use crate::storage::forecast::History;
    use crate::storage::persistence::Judgement;

    const MANIFEST_PATH: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";

    fn config(lines: &str) -> Config {
        let text =
            format!("apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\n{lines}\n");
        Config::parse(&text, "config").unwrap()
    }

    fn snapshot(text: &str) -> Snapshot {
        Snapshot { bytes: text.into(), attributes: Attributes::new(0o600, 0, 0), identity: (1, 1) }
    }

    /// A node that runs, with this manifest if it is a control plane.
    fn facts(manifest: Option<&str>) -> Facts {
        let text =
            |text: &str| Text { path: MANIFEST_PATH.to_owned(), text: text.to_owned(), snapshot: snapshot(text) };
        Facts {
            manifest_path: MANIFEST_PATH.to_owned(),
            manifest: manifest.map(text),
            beside: Vec::new(),
            kubeadm: Vec::new(),
            cluster: None,
            unreadable: Vec::new(),
            joined: false,
            certified: false,
            live: true,
            kubelet: None,
            owner: (0, 0),
        }
    }

    fn planned(config: &Config, facts: &Facts, targets: &Targets) -> Plan {
        let wiring = wire(config, facts, false).unwrap();
        let policy = PolicyText { name: "default".to_owned(), text: policy::DEFAULT.to_owned() };
        plan(config, facts, wiring, targets, &policy).unwrap()
    }

    /// A manifest that audits as the configuration wants, and the policy that is there.
    fn audited(config: &Config) -> (Facts, Targets) {
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
        let directory = (Attributes::new(0o700, 0, 0), vec!["audit.log".to_owned()]);
        targets.directories.insert("/var/log/kubernetes/audit".to_owned(), Some(directory));
        assert_eq!(actions(&planned(config, &facts, &targets)), "");
        (facts, targets)
    }

    fn actions(plan: &Plan) -> String {
        plan.changes.iter().map(|planned| action(&planned.change)).collect::<Vec<_>>().join(" ")
    }

    fn disk_state() -> disk::State {
        disk::State {
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

    #[test]
    fn only_a_blank_device_is_formatted_and_only_a_file_system_mounted() {
        let single = |kind: &str, label: &str| {
            Some(Content::Single(Signature { kind: kind.to_owned(), label: label.to_owned() }))
        };
        let (plain, formatted) =
            ("storage: {device: /dev/disk/by-id/x}", "storage: {device: /dev/disk/by-id/x, format: ext4}");
        for (storage, content, does, refusal) in [
            (formatted, Some(Content::Blank), "format mount", None),
            (formatted, single("ext4", "kube-audit"), "mount", None),
            (plain, single("xfs", "mine"), "mount", None),
            (plain, Some(Content::Blank), "mount", Some("it is blank")),
            (formatted, single("ext4", "data"), "mount", Some("with the label \"data\"")),
            (formatted, single("xfs", "kube-audit"), "mount", Some("there is xfs")),
            (plain, single("crypto_LUKS", ""), "mount", Some("there is crypto_LUKS")),
            (formatted, Some(Content::Taken("it has partitions".to_owned())), "mount", Some("it has partitions")),
            (formatted, None, "mount", Some("isn't there")),
        ] {
            let state = disk::State { content: content.clone(), ..disk_state() };
            let plan =
                planned(&config(storage), &facts(None), &Targets { disk: Some(state), ..Targets::default() });
            assert_eq!(actions(&plan), format!("create-directory {does} create-file"), "{storage} {content:?}");
            assert_eq!(plan.refusal.is_some(), refusal.is_some(), "{storage} {content:?}: {:?}", plan.refusal);
            assert!(
                plan.refusal.unwrap_or_default().contains(refusal.unwrap_or_default()),
                "{storage} {content:?}"
            );
        }
    }

    #[test]
    fn what_a_node_needs_depends_on_the_occasion() {
        let wanted = config("storage: {device: /dev/disk/by-id/x, format: ext4}");
        let targets = || {
            let state = disk::State { content: Some(Content::Blank), ..disk_state() };
            Targets { disk: Some(state), ..Targets::default() }
        };
        let manifest = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    command: [kube-apiserver]\n";
        for (occasion, manifest, role, does) in [
            (Occasion::Any, None, Role::Image, "create-directory format mount create-file"),
            // It may become a worker.
            (Occasion::Boot, None, Role::Image, "create-directory create-file"),
            (
                Occasion::Boot,
                Some(manifest),
                Role::ControlPlane,
                "create-directory format mount create-file edit-file",
            ),
            (Occasion::Init, None, Role::FirstBoot, "create-directory format mount create-file"),
            // By mistake: kubeadm won't start either.
            (Occasion::Init, Some(manifest), Role::ControlPlane, "create-directory create-file"),
            (Occasion::Join, None, Role::Joining, "create-directory format mount create-file"),
            // kubeadm makes the manifest anew.
            (Occasion::Upgrade, Some(manifest), Role::ControlPlane, "create-directory create-file"),
        ] {
            let config = Config { occasion, kubeadm_configs: Some(Vec::new()), ..wanted.clone() };
            let plan = planned(&config, &facts(manifest), &targets());
            assert_eq!((plan.role, actions(&plan).as_str()), (role, does), "{occasion:?}");
        }
    }

    #[test]
    fn a_log_that_does_not_last_keeps_kubeadm_from_starting() {
        for (occasion, is_refused) in [(Occasion::Init, true), (Occasion::Any, false), (Occasion::Boot, false)] {
            let config = Config { occasion, kubeadm_configs: Some(Vec::new()), ..Config::default() };
            let targets = Targets { storage: Some(seen(Lasting::Volatile, 1 << 40)), ..Targets::default() };
            let plan = planned(&config, &facts(None), &targets);
            assert_eq!(plan.allowed().is_err(), is_refused, "{occasion:?}: {:?}", plan.warnings);
        }
    }

    #[test]
    fn a_bound_directory_is_made_or_mended_and_nothing_goes_over_what_went_aside() {
        let config = config("storage: {bind: /data/audit}");
        let holds = |mode, name: &str| Some((Attributes::new(mode, 0, 0), vec![name.to_owned()]));
        for (bound, is_in_the_way, does, is_refused) in [
            (None, false, "create-directory mount", false),
            (holds(0o755, "audit.log"), false, "set-attributes mount", false),
            (holds(0o700, "lost+found"), false, "mount", false),
            (holds(0o700, "audit.log"), true, "mount", true),
            (holds(0o700, "index.html"), false, "mount", true),
        ] {
            let state = disk::State { is_in_the_way, ..disk_state() };
            let plan = planned(&config, &facts(None), &Targets { bound, disk: Some(state), ..Targets::default() });
            assert_eq!(actions(&plan), format!("create-directory {does} create-file"));
            assert_eq!(plan.refusal.is_some(), is_refused);
        }
    }

    #[test]
    fn what_is_mounted_stays_and_an_api_server_that_does_not_see_it_is_started_anew() {
        let config = config("storage: {bind: /data/audit}");
        let (facts, targets) = audited(&config);
        let blind = |is_replaced| Some(disk::Blind { name: "kube-apiserver (1)".to_owned(), is_replaced });
        for (is_right, has_left, blind, does, is_refused) in [
            (true, false, None, "", false),
            (true, true, None, "gather", false),
            (true, true, blind(true), "", false),
            (true, true, blind(false), "edit-file", false),
            (true, false, blind(false), "edit-file", false),
            (false, false, None, "", true),
        ] {
            let mounted = Some("ext4 on /dev/sdb".to_owned());
            let state = disk::State { mounted, is_right, has_left, blind, ..disk_state() };
            let targets = Targets { disk: Some(state.clone()), ..targets.clone() };
            let plan = planned(&config, &facts, &targets);
            assert_eq!((actions(&plan).as_str(), plan.refusal.is_some()), (does, is_refused), "{state:?}");
        }
    }

    #[test]
    fn what_is_mounted_for_the_log_is_the_logs_alone() {
        let config = config("storage: {bind: /data/audit}");
        let (facts, mut targets) = audited(&config);
        let names = vec!["audit.log".to_owned(), "notes".to_owned()];
        targets
            .directories
            .insert("/var/log/kubernetes/audit".to_owned(), Some((Attributes::new(0o755, 0, 0), names)));
        assert_eq!(actions(&planned(&config, &facts, &targets)), "");
        targets.disk =
            Some(disk::State { mounted: Some("ext4 on /dev/sdb".to_owned()), is_right: true, ..disk_state() });
        assert_eq!(actions(&planned(&config, &facts, &targets)), "set-attributes");
    }

    #[test]
    fn a_link_is_nothing_to_mount_at() {
        let config = config("storage: {bind: /data/audit}");
        let facts = facts(None);
        let state = disk::State { real: "/data/logs".to_owned(), ..disk_state() };
        let wiring = wire(&config, &facts, false).unwrap();
        let policy = PolicyText { name: "default".to_owned(), text: policy::DEFAULT.to_owned() };
        let targets = Targets { disk: Some(state), ..Targets::default() };
        let error = plan(&config, &facts, wiring, &targets, &policy).unwrap_err().to_string();
        assert!(error.contains("a link leads to /data/logs"), "{error}");
    }

    fn seen(lasting: Lasting, available: u64) -> Seen {
        let judgement = Judgement { lasting, reason: "somewhere".to_owned() };
        let disk = Some(Disk { total: 100 << 30, available, eviction: 0 });
        Seen { judgement, disk, capacity: 100 << 30, is_read_only: false, history: History::default() }
    }

    #[test]
    fn a_bad_place_is_refused_where_something_changes_and_else_told() {
        use Lasting::{Persistent, Unknown, Volatile};
        const GIB: u64 = 1 << 30;
        let damaged = Seen { is_read_only: true, ..seen(Persistent, 50 * GIB) };
        for (storage, seen, objection) in [
            ("", seen(Persistent, 50 * GIB), None),
            ("", seen(Unknown, 50 * GIB), None),
            ("", seen(Volatile, 50 * GIB), Some("would be gone after a reboot")),
            ("storage: {require: any}", seen(Volatile, 50 * GIB), None),
            ("", seen(Persistent, 7 * GIB), None),
            ("", seen(Persistent, 5 * GIB), Some("are to stay so; set log.maxBackup")),
            ("storage: {headroom: any}", seen(Persistent, 5 * GIB), None),
            ("storage: {headroom: 1Gi}", seen(Persistent, 5 * GIB), None),
            ("storage: {headroom: any}", seen(Persistent, 1000), Some("1000 bytes are left")),
            ("", damaged, Some("is read-only")),
        ] {
            let fresh = config(storage);
            let (audited_facts, targets) = audited(&fresh);
            let targets = Targets { storage: Some(seen), ..targets };
            // Its flags change.
            let bare = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver}\nspec:\n  containers:\n  - name: x\n    command: \
                        [kube-apiserver]\n    image: registry.k8s.io/kube-apiserver:v1.31.4\n";
            let mut changed = planned(&fresh, &facts(Some(bare)), &targets);
            let found = changed.objection.clone().unwrap_or_default();
            assert_eq!(changed.allowed().is_err(), objection.is_some(), "{storage}: {found}");
            assert!(found.contains(objection.unwrap_or_default()), "{storage}: {found}");
            changed.waive_objection();
            assert!(changed.allowed().is_ok());
            assert!(objection.is_none() || changed.warnings.contains(&found), "{storage}");
            // They are as they were, and the policy alone is another one.
            let mut targets = targets;
            targets.policies.insert(fresh.policy_path.clone(), Some(snapshot("kind: Policy\n")));
            let same = planned(&fresh, &audited_facts, &targets);
            assert!(!same.changes.is_empty() && same.allowed().is_ok(), "{storage}");
            let told = same.warnings.iter().any(|warning| warning.contains(objection.unwrap_or_default()));
            assert!(objection.is_none() || told, "{storage}: {:?}", same.warnings);
        }
    }

    #[test]
    fn a_roll_back_takes_nothing_from_a_manifest_that_stays() {
        const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
        const POLICY: &str = "/etc/kubernetes/audit-policy.yaml";
        let snapshot = |text: &str| Snapshot {
            bytes: text.as_bytes().to_vec(),
            attributes: Attributes::new(0o600, 0, 0),
            identity: (1, 1),
        };
        let audited = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    command: [kube-apiserver, \
                       --audit-policy-file=/etc/kubernetes/audit-policy.yaml]\n    volumeMounts: [{name: p, mountPath: \
                       /etc/kubernetes/audit-policy.yaml}]\n  volumes: [{name: p, hostPath: {path: \
                       /etc/kubernetes/audit-policy.yaml}}]\n";
        let attributes = Attributes::new(0o600, 0, 0);
        let restore = Restore {
            changes: vec![
                Change::WriteCluster { before: "after".to_owned(), after: "before".to_owned() },
                Change::WriteFile {
                    path: MANIFEST.to_owned(),
                    before: Some(snapshot(audited)),
                    bytes: b"kind: Pod".to_vec(),
                    attributes: attributes.clone(),
                },
                Change::RemoveFile { path: POLICY.to_owned(), before: snapshot("policy") },
            ],
            ..Restore::default()
        };
        let paths = |changes: &[Change]| changes.iter().map(|change| change.path().to_owned()).collect::<Vec<_>>();
        let (changes, left) = roll_back(restore.clone(), MANIFEST, Some(audited));
        assert_eq!((paths(&changes), left), (vec![MANIFEST.to_owned(), POLICY.to_owned()], vec![]));
        let foreign = Restore { foreign: vec![MANIFEST.to_owned()], ..restore };
        let (changes, left) = roll_back(foreign, MANIFEST, Some(audited));
        assert_eq!((paths(&changes), left), (vec![], vec![MANIFEST.to_owned(), POLICY.to_owned()]));
    }

    #[test]
    fn a_hunk_says_where_its_lines_are() {
        let old: Vec<_> = (1..=20).map(|line| format!("{line}\n")).collect();
        for at in 0..20 {
            let mut new = old.clone();
            new.insert(at, "new\n".to_owned());
            let text = hunks(Some(&old.concat()), &new.concat());
            let mut lines = text.lines();
            let header = lines.next().unwrap();
            let numbers: Vec<usize> =
                header.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
            let body: Vec<_> = lines.collect();
            let kept: Vec<_> = body.iter().filter_map(|line| line.strip_prefix(' ')).collect();
            assert_eq!(kept.first().copied(), Some(numbers[0].to_string().as_str()), "{at}: {text}");
            assert_eq!((numbers[1], numbers[3]), (kept.len(), body.len()), "{at}: {text}");
            assert_eq!(numbers[0], numbers[2], "{at}: {text}");
        }
    }

    #[test]
    fn secrets_do_not_get_into_the_diff() {
        let key = "0123456789abcdef".repeat(4);
        for (line, shown) in [
            (" - token: abcdef.0123456789abcdef", " - token: <hidden>".to_owned()),
            (" 'token': \"abcdef.0123456789abcdef\"  # mine", " 'token': \"<hidden>\"  # mine".to_owned()),
            (&format!("   {key}"), "   <hidden>".to_owned()),
            (&format!(" {{certificateKey: {key}}}"), " {certificateKey: <hidden>}".to_owned()),
            (
                "+    value: /var/log/kubernetes/audit/audit.log",
                "+    value: /var/log/kubernetes/audit/audit.log".to_owned(),
            ),
            (
                " image: registry.k8s.io/kube-apiserver:v1.31.4",
                " image: registry.k8s.io/kube-apiserver:v1.31.4".to_owned(),
            ),
        ] {
            assert_eq!(hide_secret(line), shown);
        }
    }
}
