//! Leads: reads a node, plans its changes, executes them, and proves the result. Only this folder calls `plan`
//! and what reads and changes a node; `cli` opens the root directory, and prints what a plan holds.
//!
//! * [`Run`] is one run of the program. [`apply`] changes the node, [`prove`] proves that its API server audits,
//!   [`restore`] puts back what was changed, and [`status`] reports what is in place.
//! * [`guard`] watches over a run that hides the manifest from the kubelet.
//! * [`given`] reads the files that the user names on this machine, and `named` looks at what is named on the node.
//!
//! Nothing here writes to stdout. Progress lines of a wait go to stderr; warnings about the node are returned.

pub mod apply;
pub mod given;
pub mod guard;
mod named;
pub mod prove;
pub mod restore;
pub mod status;

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};

pub use crate::config::misuse;
use misuse::Misuse;

use crate::audit::policy::compose::{Composed, Origin, Sources};
use crate::audit::policy::findings::{Checked, lines};
use crate::audit::policy::lint::check;
use crate::audit::policy::read::Reading;
use crate::audit::profiles::{self, PROFILES};
use crate::audit::version::Version;
use crate::change::Change;
use crate::config::{self, Config, Existing};
use crate::facts::file::{Files, Seen};
use crate::facts::{Facts, PatchFacts};
use crate::node::root::Root;
use crate::node::{container, fragments, kubelet, observe, obstacle, process, state, storage};
use crate::path::STATE;
use crate::plan::identify::identify;
use crate::plan::patches;
use crate::plan::steps::{misleading, plan};
use crate::plan::wire::wire;
use crate::plan::{Asked, AskedPolicy, Intent, KubeadmCall, Occasion, Plan, Role};
use crate::wiring::references::{Question, Verdict};
use crate::wiring::{Wanted, kubeadm, manifest};
use crate::yaml::fields::Severity;

/// One run of the program on a node.
#[derive(Debug)]
pub struct Run<'r> {
    /// The node.
    pub root: &'r Root,
    pub config: Config,
    /// Why the program was started. Set by the caller, never by the file.
    pub occasion: Occasion,
    /// The caller named the kubeadm configuration files, so each must exist, and kubeadm must be able to read it.
    pub required: bool,
    /// How kubeadm is about to be called.
    pub kubeadm: KubeadmCall,
    pub policy: PolicySource,
}

/// Where the policy to install comes from. It is read only once, because standard input can't be read twice.
#[derive(Debug, Default)]
pub struct PolicySource {
    given: Option<PathBuf>,
    read: OnceCell<AskedPolicy>,
}

impl PolicySource {
    /// `given` is the file that the user named; without it, the configuration names the policy.
    pub fn new(given: Option<PathBuf>) -> PolicySource {
        PolicySource { given, read: OnceCell::new() }
    }

    /// The policy, read at the first call.
    fn read(&self, root: &Root, config: &Config) -> Result<&AskedPolicy> {
        if let Some(read) = self.read.get() {
            return Ok(read);
        }
        let read = asked_policy(root, config, self.given.as_deref())?;
        Ok(self.read.get_or_init(|| read))
    }
}

impl Run<'_> {
    fn intent(&self) -> Intent<'_> {
        Intent { config: &self.config, occasion: self.occasion, required: self.required, kubeadm: &self.kubeadm }
    }

    /// What the node's files say. The cluster is not asked, because its API server may hang.
    fn files(&self) -> Option<Facts> {
        let config = Config { cluster: false, ..self.config.clone() };
        observe::observe(self.root, &config, self.required).ok()
    }

    /// The policy that `apply` installs, for an API server of that version.
    ///
    /// # Errors
    ///
    /// It can't be read, or has faults: one line for each.
    pub fn composed(&self, version: Option<Version>) -> Result<Composed> {
        let composed = self.policy.read(self.root, &self.config)?.sources.compose(version, Reading::Strict);
        composed.map_err(|checked| anyhow!("{}", lines(&checked, Severity::Error).join("\n")))
    }

    /// The node's own policy: the one that is installed or, where it is made of fragments, what those make now.
    ///
    /// # Errors
    ///
    /// It can't be read, the fragments have faults, or there is none (a [`Misuse`]).
    pub fn own_policy(&self) -> Result<OwnPolicy> {
        let own = self.own()?;
        let (path, version) = (own.path.clone(), own.version);
        Ok(match own.installed() {
            Some(text) => OwnPolicy { path, text, version, origins: Vec::new(), warning: None },
            None => {
                let Composed { text, origins, .. } = self.composed(version)?;
                OwnPolicy { path, warning: own.differs(self.root, &text), text, version, origins }
            }
        })
    }

    /// What is found in the node's own policy, file by file, for an API server of that version, or else of the node's.
    ///
    /// # Errors
    ///
    /// It can't be read, or there is none (a [`Misuse`]).
    pub fn check_own_policy(&self, version: Option<Version>) -> Result<CheckedPolicy> {
        let own = self.own()?;
        let version = version.or(own.version);
        if let Some(text) = own.installed() {
            let findings = check(&text, version);
            return Ok(CheckedPolicy {
                checked: vec![Checked { name: own.path, text, findings }],
                warnings: Vec::new(),
            });
        }
        let sources = &self.policy.read(self.root, &self.config)?.sources;
        let mut warnings = sources.left_alone.clone();
        let checked = sources.compose(version, Reading::Strict).map_or_else(
            |checked| checked,
            |composed| {
                warnings.extend(own.differs(self.root, &composed.text));
                composed.checked
            },
        );
        Ok(CheckedPolicy { checked, warnings })
    }

    /// Where the node's own policy is, and what is there.
    fn own(&self) -> Result<Own> {
        let (path, version) = self.policy_place();
        let found = self.root.text(&path)?.map(|text| text.text);
        let is_composed = !self.is_kept(&path, found.is_some()) && has_fragments(self.root)?;
        if found.is_none() && !is_composed {
            let shown = self.root.shown(&path);
            return Err(Misuse(format!("{shown}: the node has no policy there; name a policy file")).into());
        }
        Ok(Own { path, version, found, is_composed })
    }

    /// What `apply` would leave or install, with its path and with warnings.
    ///
    /// # Errors
    ///
    /// As [`Run::composed`].
    pub fn policy_to_be(&self) -> Result<(String, String, Vec<String>)> {
        let (path, version) = self.policy_place();
        let installed = self.root.text(&path)?.map(|text| text.text);
        if let Some(text) = installed.filter(|_| self.is_kept(&path, true)) {
            let ignored = if has_fragments(self.root)? { ", and the fragments are not used" } else { "" };
            let warning = format!("{path}: this policy stays, because of existing: keep{ignored}");
            return Ok((path, text, vec![warning]));
        }
        let composed = self.composed(version)?;
        let warnings = composed.warnings();
        Ok((self.config.policy_path.clone(), composed.text, warnings))
    }

    /// Does `apply` leave the policy that is there? As `keeps_policy` of the plan.
    fn is_kept(&self, path: &str, is_installed: bool) -> bool {
        let is_asked = self.config.policy_source != "default" || self.config.profile.name != PROFILES[0].name;
        self.config.existing == Existing::Keep
            && is_installed
            && !(is_asked && observe::is_of_run(self.root, path))
    }

    /// The path of the node's policy: with `existing: keep`, of the one that its files name. And the Kubernetes version
    /// that the node's files give; `None` if they give none, or have faults.
    fn policy_place(&self) -> (String, Option<Version>) {
        let (facts, intent) = (self.files(), self.intent());
        let identity = facts.as_ref().and_then(|facts| Some((facts, identify(&intent, facts).ok()?)));
        let version = identity.as_ref().and_then(|(_, identity)| identity.version);
        let kept = identity.filter(|_| self.config.existing == Existing::Keep).and_then(|(facts, identity)| {
            let wiring = wire(&intent, facts, &PatchFacts::default(), identity).ok()?;
            wiring.policy_of_manifest().or(wiring.paths.policies.first()).cloned()
        });
        (kept.unwrap_or_else(|| self.config.policy_path.clone()), version)
    }

    /// Reads the node and plans the changes. Changes nothing. This may run two programs: the kubelet for its version,
    /// and kubectl for the cluster's kubeadm configuration.
    ///
    /// # Errors
    ///
    /// The node can't be read, or can't be changed as the configuration says.
    pub fn survey(&self) -> Result<Plan> {
        let Run { root, config, .. } = self;
        let intent = self.intent();
        named::check(root, &intent)?;
        let mut facts = observe::observe(root, config, self.required)?;
        let expected = expected_role(&facts);
        let unplannable = |role: Role, version: Known| {
            move |error: anyhow::Error| Unplannable {
                role,
                version,
                is_misuse: error.chain().any(|cause| cause.is::<Misuse>()),
                why: format!("{error:#}"),
            }
        };
        let installed = OnceCell::new();
        // All rounds judge the same patches.
        let mut patches = None;
        let judge = |facts: &Facts| {
            let mut identity = identify(&intent, facts).map_err(unplannable(expected, (None, "not known")))?;
            if identity.lacks_version() {
                identity.use_installed(*installed.get_or_init(|| kubelet::installed_version(root)));
            }
            let lenient = identity.lenient;
            let patches = match &patches {
                Some(patches) => patches,
                None => patches.insert(observe::patches(root, patches::directories(&intent, &identity))?),
            };
            let (role, version) = (identity.role, (identity.version, identity.version_source));
            let wiring = wire(&intent, facts, patches, identity).map_err(unplannable(role, version))?;
            let asked = wiring.referenced.clone();
            Ok(((wiring, lenient), asked))
        };
        let (wiring, lenient) = settle(root, &mut facts, |facts| &mut facts.files, judge)?;
        log::info!("this is {}", wiring.role.description());
        if wiring.role != Role::Worker {
            named::check_paths(root, config, &wiring.paths)?;
        }
        let targets = observe::targets(root, config, &wiring.paths)?;
        // The policy of a worker is not read: the configuration may name a file that only control planes have.
        let policy = match wiring.role {
            Role::Worker => &AskedPolicy {
                sources: Sources::of(PROFILES[0].name, PROFILES[0].text),
                asked: Asked::Nobody,
                files: Vec::new(),
            },
            _ => self.policy.read(root, config)?,
        };
        let (role, version) = (wiring.role, (wiring.version, wiring.version_source));
        let mut plan = plan(&intent, &facts, wiring, &targets, policy).map_err(unplannable(role, version))?;
        let obstacles = obstacle::of_changes(root, &plan.changes())?;
        plan.meet(obstacles, obstacle::of_new(root, STATE)?, lenient, &root.on_machine());
        let mounts = plan.changes().iter().any(|change| matches!(change, Change::Mount { .. }));
        let unmounted = || mounts.then(|| process::installed("systemctl").err()).flatten();
        if !plan.changes.is_empty()
            && let Some(why) = state::fault(root).or_else(|| unmounted().map(|error| format!("{error:#}")))
        {
            plan.refuse(why);
        }
        Ok(plan)
    }
}

/// Judges what is known until nothing more is asked for: a flag names a kubeconfig, and that names further files, so each
/// round looks at what the one before asked for. `judge` returns its verdict, and the paths that it asks for.
fn settle<K, V>(
    root: &Root,
    known: &mut K,
    files: fn(&mut K) -> &mut Files,
    mut judge: impl FnMut(&K) -> Result<(V, BTreeSet<String>)>,
) -> Result<V> {
    loop {
        let (verdict, mut asked) = judge(known)?;
        let files = files(known);
        asked.retain(|path| !files.contains_key(path));
        if asked.is_empty() {
            return Ok(verdict);
        }
        files.extend(asked.into_iter().map(|path| {
            let seen = observe::named_file(root, &path);
            (path, seen)
        }));
    }
}

/// The Kubernetes version, and where it was found.
pub type Known = (Option<Version>, &'static str);

/// No plan can be made of what the node's files say.
#[derive(Debug)]
pub struct Unplannable {
    /// The role that the files let expect.
    role: Role,
    version: Known,
    /// The configuration is wrong on this node.
    pub is_misuse: bool,
    why: String,
}

impl fmt::Display for Unplannable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Unplannable {}

/// The role of a node as its files let expect, whatever is in them.
fn expected_role(facts: &Facts) -> Role {
    let says = |word: &str| facts.kubeadm.iter().any(|text| text.text.contains(word));
    match () {
        () if facts.manifest.is_some() || facts.joined && facts.certified => Role::ControlPlane,
        () if facts.joined || facts.is_agent => Role::Worker,
        () if facts.kubeadm.is_empty() && facts.unreadable.is_empty() => Role::Image,
        () if ["Init", "Cluster"].iter().any(|kind| says(&format!("{kind}Configuration"))) => Role::FirstBoot,
        () if says("JoinConfiguration") && says("controlPlane") => Role::Joining,
        () if says("JoinConfiguration") => Role::Worker,
        () => Role::FirstBoot,
    }
}

/// The error of a proof, and why the API server of the manifest can't start, if a file that its flags name is the
/// reason.
pub fn explain(root: &Root, path: &str, error: anyhow::Error) -> anyhow::Error {
    let Ok(Some(text)) = observe::manifest(root, path) else { return error };
    let judged = settle(
        root,
        &mut Files::new(),
        |files| files,
        |files| {
            let question = Question { files, path, keeps: true, installs: true, webhook: None };
            let mut verdict = manifest::judge(&text.text, &question).map_err(|refusal| anyhow!("{refusal}"))?;
            let asked = std::mem::take(&mut verdict.asked);
            Ok((verdict, asked))
        },
    );
    let Ok(verdict) = judged else { return error };
    let link = || {
        verdict.opened.iter().find_map(|opened| {
            let link = container::misleading_link(root, opened)?;
            let what = misleading(&opened.on_host, &link);
            Some(format!("{what}; mount the directory that it leads to at the same path"))
        })
    };
    match verdict.faults.into_iter().chain(verdict.missing).next().or_else(link) {
        Some(why) => anyhow!("{error:#}; {why}"),
        None => error,
    }
}

/// What the kubeconfig of the webhook names, and what an API server with the settings would meet there, on a node whose
/// files are below `root`.
///
/// # Errors
///
/// The API server would not start with this kubeconfig.
pub fn webhook_files(root: &Root, config: &Config) -> Result<(Files, Verdict)> {
    let mut files = Files::new();
    let webhook = config.places.get("webhook.configFile").map(String::as_str);
    let verdict = settle(
        root,
        &mut files,
        |files| files,
        |files| {
            let question = Question { files, path: config::DEFAULT_PATH, keeps: false, installs: true, webhook };
            let mut verdict = kubeadm::judge_settings(&Wanted::of(config, files), &question);
            let asked = std::mem::take(&mut verdict.asked);
            Ok((verdict, asked))
        },
    )?;
    // What else is in their directories on the node is not known, so that no directory is mounted as a whole.
    for seen in files.values_mut() {
        if let Seen::File(file) = seen {
            file.beside.push("unknown".to_owned());
        }
    }
    match verdict.faults.as_slice() {
        [] => Ok((files, verdict)),
        faults => bail!("{}", faults.join("\n")),
    }
}

/// Where the node's own policy is.
struct Own {
    path: String,
    /// The Kubernetes version that the node's files give.
    version: Option<Version>,
    /// What is installed.
    found: Option<String>,
    /// The policy is what its fragments make, whatever is installed.
    is_composed: bool,
}

impl Own {
    /// The policy, if it is what is installed.
    fn installed(&self) -> Option<String> {
        self.found.clone().filter(|_| !self.is_composed)
    }

    /// A warning that another policy is installed than the composed one.
    fn differs(&self, root: &Root, composed: &str) -> Option<String> {
        let is_other = self.found.as_ref().is_some_and(|found| found != composed);
        is_other.then(|| {
            format!(
                "{0}: this is about what apply would install there, and not about the policy that is there now; run {1} \
                 apply, or name the file {2}{0}",
                self.path,
                root.program(),
                root.on_machine()
            )
        })
    }
}

/// What is found in the node's own policy.
#[derive(Debug)]
pub struct CheckedPolicy {
    /// The files that it is made of.
    pub checked: Vec<Checked>,
    /// What else there is to say of it.
    pub warnings: Vec<String>,
}

/// The node's own policy.
#[derive(Debug)]
pub struct OwnPolicy {
    /// Where it is installed.
    pub path: String,
    pub text: String,
    /// The Kubernetes version that the node's files give.
    pub version: Option<Version>,
    /// Where each rule is from, if it is made of fragments.
    pub origins: Vec<Origin>,
    /// Another policy is installed.
    pub warning: Option<String>,
}

/// What the policy to install is made of: the base is the file or the profile of the command line (`given`), or else what
/// the configuration says; the fragments are the node's.
///
/// # Errors
///
/// A file can't be read, or `policy.source` does not exist (a [`Misuse`]).
pub fn asked_policy(root: &Root, config: &Config, given: Option<&Path>) -> Result<AskedPolicy> {
    let (base, asked) = match (given, config.policy_source.as_str()) {
        (Some(path), _) => (given::policy(path)?, Asked::CommandLine),
        (None, "default") => {
            let is_default = config.profile.name == PROFILES[0].name;
            let asked = if is_default { Asked::Nobody } else { Asked::Configuration };
            ((config.profile.to_string(), config.profile.text.to_owned()), asked)
        }
        (None, path) => {
            match named::file(root, "policy.source", path, "audit-policy.yaml").and_then(|()| root.text(path))? {
                Some(text) => ((path.to_owned(), text.text), Asked::Configuration),
                None => {
                    return Err(Misuse(format!(
                        "{}: policy.source does not exist; create it, or name a policy with --policy",
                        root.shown(path)
                    ))
                    .into());
                }
            }
        }
    };
    let (fragments, left_alone) = fragments::fragments(root)?;
    // Its path is as the user typed it, and the same file makes the same policy.
    let is_file = given.is_some_and(|path| path.to_str().is_none_or(|name| profiles::named(name).is_none()));
    let label = is_file.then_some("--policy");
    let mut sources = Sources { fragments, left_alone, label, ..Sources::of(&base.0, &base.1) };
    sources.left_alone.extend(sources.tell_of_scanners());
    let mut files: Vec<_> =
        given.and_then(storage::identity).map(|file| (base.0.clone(), file)).into_iter().collect();
    for name in sources.fragments.iter().map(|source| &source.name).chain(given.is_none().then_some(&base.0)) {
        let entry = if name.starts_with('/') { root.stat(name)? } else { None };
        files.extend(entry.map(|entry| (name.clone(), entry.identity)));
    }
    Ok(AskedPolicy { sources, asked, files })
}

/// Whether the policy of the node has fragments.
///
/// # Errors
///
/// They can't be read.
pub fn has_fragments(root: &Root) -> Result<bool> {
    Ok(!fragments::fragments(root)?.0.is_empty())
}

/// Whether the node has joined a cluster and is not a control plane. This does not need the configuration.
///
/// # Errors
///
/// The node can't be read.
pub fn is_worker(root: &Root) -> Result<bool> {
    observe::is_worker(root)
}

/// The path of the manifest: `manifest.path`, or else in the kubelet's manifest directory.
///
/// # Errors
///
/// The kubelet's configuration can't be read.
pub fn manifest_path(root: &Root, config: &Config) -> Result<String> {
    kubelet::manifest_path(root, config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::testing::Node;

    #[test]
    fn a_policy_is_asked_for_by_an_option_a_source_or_another_profile_than_the_default() {
        let text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n";
        let node = Node::with(&[("/srv/p.yaml", text)]);
        let default = Config::default();
        let stig = Config { profile: &PROFILES[4], ..default.clone() };
        let sourced = Config { policy_source: "/srv/p.yaml".to_owned(), ..stig.clone() };
        for (config, given, name, asked) in [
            (&default, None, "profile default", Asked::Nobody),
            (&stig, None, "profile stig", Asked::Configuration),
            (&sourced, None, "/srv/p.yaml", Asked::Configuration),
            (&sourced, Some("default"), "profile default", Asked::CommandLine),
        ] {
            let found = asked_policy(&node.root, config, given.map(Path::new)).unwrap();
            assert_eq!((found.sources.base.name.as_str(), found.asked), (name, asked));
        }
    }

    #[test]
    fn a_link_that_leads_the_api_server_elsewhere_explains_why_it_does_not_start() {
        let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver}\nspec:\n  containers:\n  - name: kube-apiserver\n    \
                        command: [kube-apiserver, --audit-policy-file=/etc/audit/now/p.yaml]\n    volumeMounts: [{mountPath: /etc/audit, \
                        name: a}]\n  volumes: [{name: a, hostPath: {path: /etc/audit}}]\n";
        for (target, is_explained) in [("/data", true), ("new", false)] {
            let node = Node::with(&[("/m", manifest), ("/data/p.yaml", ""), ("/etc/audit/new/p.yaml", "")]);
            node.link("/etc/audit/now", target);
            let error = explain(&node.root, "/m", anyhow!("no proof")).to_string();
            let why = "/etc/audit/now is a symbolic link, which the API server's container resolves in itself";
            assert_eq!(error.contains(why), is_explained, "{target}: {error}");
        }
    }
}
