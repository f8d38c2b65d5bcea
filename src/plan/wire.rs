//! Adds the settings to the texts of a node's files.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow, bail};

use super::identify::{Identity, refuse};
use super::patches::{self, EditedFile};
use super::{Intent, Occasion, Role};
use crate::audit::flags::{self, Flags};
use crate::audit::version::{SUPPORTED, Version};
use crate::change::KUBEADM_CONFIG;
use crate::config::misuse::Misuse;
use crate::config::{Config, Existing, KUBEADM_CONFIGS, Strays};
use crate::facts::file::Text;
use crate::facts::{Facts, PatchFacts, Paths, Reads, Typed};
use crate::path::{is_within, parent};
use crate::storage::forecast::{EVICTION, eviction};
use crate::wiring::kubeadm::{self, Purpose, Reader};
use crate::wiring::manifest::{self, RunAs};
use crate::wiring::pod;
use crate::wiring::references::{Question, Verdict};
use crate::wiring::{Wanted, Wired};
use crate::yaml::Node as Yaml;

/// A file, before and after the edit.
#[derive(Clone, Debug)]
pub struct WiredFile {
    pub before: Text,
    pub after: Wired,
}

impl WiredFile {
    /// Does the edit change the text?
    pub fn is_edited(&self) -> bool {
        self.after.text != self.before.text
    }
}

/// The cluster's kubeadm configuration, before and after the edit.
#[derive(Clone, Debug)]
pub struct WiredCluster {
    pub before: String,
    pub after: Wired,
}

/// The node's files with the settings, before it is known what exists at the paths that they name.
#[derive(Debug)]
pub struct Wiring {
    pub role: Role,
    pub version: Option<Version>,
    pub version_source: &'static str,
    /// The version that the node's files say, if that is another one.
    pub(super) other_version: Option<Version>,
    /// The files that `kubeadm init` reads.
    pub(super) kubeadm: Vec<WiredFile>,
    /// The cluster's kubeadm configuration, or why it is not known; `None`: it was not asked for.
    pub(super) cluster: Option<Result<WiredCluster, String>>,
    pub(super) manifest: Option<WiredFile>,
    pub(super) strays: Vec<Text>,
    pub(super) run_as: RunAs,
    /// The log of the manifest before the edit.
    pub(super) log_before: Option<String>,
    /// The policy that the manifest names before the edit.
    policy_before: Option<String>,
    pub paths: Paths,
    /// The audit flags that the API server will have.
    pub(super) flags: Flags,
    /// The paths on the host of further files that the API server opens. What is there must be known: `Facts::files`.
    pub referenced: BTreeSet<String>,
    /// Why an API server with the settings would not start, by the files that its flags name.
    pub(super) unmet: Vec<String>,
    /// The kubeadm configuration files that cannot be edited, and do not change.
    pub(super) skipped: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Adds the settings to the texts of the node's files.
///
/// # Errors
///
/// A file that cannot be edited: its path and position, and what to do.
pub fn wire(intent: &Intent<'_>, facts: &Facts, patches: &PatchFacts, mut node: Identity<'_>) -> Result<Wiring> {
    tell_what_is_odd(intent, facts, &mut node);
    if node.role == Role::Worker {
        expect_worker(facts)?;
    }
    let (mut kubeadm, cluster, strays, manifest) = if node.role == Role::Worker {
        (Vec::new(), None, Vec::new(), None)
    } else {
        let wanted = Wanted::of(intent.config, &facts.files);
        let strays = find_strays(intent.config, facts, &mut node)?;
        let manifest = wire_manifest(facts, &node, &wanted)?;
        let (kubeadm, cluster) =
            wire_kubeadm(intent, (facts, patches), &mut node, wanted, manifest.as_ref().map(|file| &file.after))?;
        (kubeadm, cluster, strays, manifest)
    };
    let files = kubeadm.iter_mut().map(|WiredFile { before, after }| EditedFile {
        path: &before.path,
        before: &before.text,
        after,
    });
    let known = cluster.as_ref().and_then(|cluster| Some(cluster.as_ref().ok()?.after.text.as_str()));
    let made = patches::judge(intent, (&facts.files, patches), &mut node, files.collect(), known)?;
    let eviction = node
        .kubeadm
        .iter()
        .flat_map(|(_, file)| &file.documents)
        .find(|document| document.root.get("kind").and_then(Yaml::scalar) == Some("KubeletConfiguration"))
        .map_or(EVICTION, |document| eviction(&document.root));
    let eviction = facts.kubelet.eviction.unwrap_or(eviction);
    let before =
        facts.manifest.as_ref().and_then(|text| manifest::read_auditing(&text.text).ok()).unwrap_or_default();
    let mut wiring = Wiring {
        role: node.role,
        version: node.version,
        version_source: node.version_source,
        other_version: node.other_version,
        kubeadm,
        cluster,
        manifest,
        strays,
        run_as: node
            .manifest
            .map(|manifest| manifest.run_as)
            .or(made.as_ref().map(|made| made.run_as))
            .unwrap_or_default(),
        log_before: before.log,
        policy_before: before.policy,
        paths: Paths {
            policies: Vec::new(),
            opened: Vec::new(),
            written: Vec::new(),
            directories: Vec::new(),
            logs: Vec::new(),
            typed: Vec::new(),
            manifest: facts.manifest_path.clone(),
            eviction,
        },
        flags: Flags::new(),
        referenced: BTreeSet::new(),
        unmet: Vec::new(),
        skipped: node.skipped,
        warnings: node.warnings,
    };
    if wiring.role != Role::Worker {
        // Without a file, what kubeadm makes with patches counts.
        let made = made.map(|made| made.wired);
        let made = made.filter(|_| wiring.kubeadm.is_empty() && wiring.manifest.is_none());
        wiring.collect_paths(intent.config, made.as_ref());
        wiring.refuse_unread(intent, facts);
        wiring.keep_out_of_manifests(intent.config, &facts.kubelet.reads)?;
        wiring.follow_references(intent, facts, made.as_ref());
        wiring.collect_typed(made.as_ref());
    }
    Ok(wiring)
}

/// Warns if the Kubernetes version was not tested, or if the node looks as if its kubeadm configuration file were at
/// another path.
fn tell_what_is_odd(intent: &Intent<'_>, facts: &Facts, node: &mut Identity<'_>) {
    if let Some(version) = node.version.filter(|version| !SUPPORTED.contains(version)) {
        let (first, last) = (SUPPORTED.start(), SUPPORTED.end());
        node.warnings.push(format!(
            "Kubernetes {version} is not among the tested versions, {first} to {last}; when it runs, check it with \
             kube-audit-bootstrap verify"
        ));
    }
    if node.role != Role::Image {
        return;
    }
    for (text, _) in node.kubeadm.iter().filter(|(_, file)| file.purpose == Purpose::Other) {
        node.warnings.push(format!(
            "{}:1:1: there is no ClusterConfiguration, InitConfiguration or JoinConfiguration in this file, so it does not \
             change; write one, or name the file that kubeadm reads in kubeadm.configs",
            text.path
        ));
    }
    let named = intent.config.kubeadm_configs.as_deref();
    for path in facts.unnamed.iter().filter(|_| !intent.occasion.is_kubeadm()) {
        node.warnings.push(format!(
            "{path}: this looks like a kubeadm configuration file, and it was not looked at; if kubeadm is to read it, name \
             it with --kubeadm-config, or in kubeadm.configs"
        ));
    }
    // At a boot, something may still write a file at a default path; one that is named should be there.
    let tells = match intent.occasion {
        Occasion::Any => node.kubeadm.is_empty(),
        Occasion::Boot => node.kubeadm.is_empty() && named.is_some_and(|paths| !paths.is_empty()),
        _ => false,
    };
    if facts.live && tells {
        node.warnings.push(format!(
            "there is no kubeadm configuration file at the paths where it is expected ({}); if kubeadm init comes \
             next, name its file with --kubeadm-config",
            named.map_or_else(|| KUBEADM_CONFIGS.join(", "), |paths| paths.join(", "))
        ));
    }
}

/// The cluster's kubeadm configuration after its edit, or why it is not known; `None`: it was not asked for.
type EditedCluster = Option<Result<WiredCluster, String>>;

/// Adds the settings to kubeadm's files and to the cluster's kubeadm configuration. Where existing settings stay, these
/// get the settings of `manifest`, because kubeadm makes the next manifest of them.
fn wire_kubeadm(
    intent: &Intent<'_>,
    (facts, patches): (&Facts, &PatchFacts),
    node: &mut Identity<'_>,
    wanted: Wanted,
    manifest: Option<&Wired>,
) -> Result<(Vec<WiredFile>, EditedCluster)> {
    let kept = manifest.filter(|_| wanted.existing == Existing::Keep);
    let wanted = match kept.map(|kept| manifest::kept(&wanted, kept)).transpose() {
        Ok(of_kept) => of_kept.unwrap_or(wanted),
        Err(why) => {
            let files = node.kubeadm.iter().filter(|(_, file)| file.purpose == Purpose::Init);
            node.skipped.extend(files.map(|(text, _)| text.path.clone()));
            node.warnings.push(format!("{}: {why}; kubeadm's configuration stays as it is", facts.manifest_path));
            return Ok((Vec::new(), None));
        }
    };
    let files = wire_kubeadm_files(intent, patches, node, &wanted)?;
    let cluster = facts.cluster.clone().map(|read| wire_cluster(read?, &wanted, node.version));
    if let Some(manifest) = manifest {
        let of_files =
            files.iter().filter(|_| kept.is_some()).map(|file| (file.before.path.as_str(), &file.after));
        let of_cluster = cluster.iter().flatten().map(|cluster| (KUBEADM_CONFIG, &cluster.after));
        for (name, made) in of_files.chain(of_cluster) {
            let differences = manifest.differences(made);
            if !differences.is_empty() {
                node.warnings.push(format!(
                    "{name}: these audit settings are not those of {}, and the next API server that kubeadm makes of them, \
                     as in an upgrade, has them: {}; to keep those of the manifest, write them here{}",
                    facts.manifest_path,
                    differences.join(", "),
                    if name == KUBEADM_CONFIG { ", with kubectl -n kube-system edit configmap kubeadm-config" } else { "" }
                ));
            }
        }
    }
    Ok((files, cluster))
}

/// Adds the settings to the files that `kubeadm init` reads.
fn wire_kubeadm_files(
    intent: &Intent<'_>,
    patches: &PatchFacts,
    node: &mut Identity<'_>,
    wanted: &Wanted,
) -> Result<Vec<WiredFile>> {
    let mut edited = Vec::new();
    let mut files = std::mem::take(&mut node.kubeadm);
    for (text, file) in files.iter_mut().filter(|(_, file)| file.purpose == Purpose::Init) {
        if wanted.existing == Existing::Keep {
            file.beside = patches::beside_file(intent, patches, wanted, node.version, (text, file));
        }
        match kubeadm::wire(&text.text, file, wanted, node.version) {
            Ok(after) => edited.push(WiredFile { before: (*text).clone(), after }),
            Err(refusal) => node.skip(text, &refusal)?,
        }
    }
    node.kubeadm = files;
    Ok(edited)
}

/// Adds the settings to the cluster's kubeadm configuration.
///
/// # Errors
///
/// Why it cannot be edited.
fn wire_cluster(text: String, wanted: &Wanted, version: Option<Version>) -> Result<WiredCluster, String> {
    let after = kubeadm::read(&text, KUBEADM_CONFIG, Reader::Init)
        .and_then(|file| kubeadm::wire(&text, &file, wanted, version))
        .map_err(|refusal| format!("{:#}", refuse(KUBEADM_CONFIG, &refusal)))?;
    Ok(WiredCluster { before: text, after })
}

fn wire_manifest(facts: &Facts, node: &Identity<'_>, wanted: &Wanted) -> Result<Option<WiredFile>> {
    let (Some(text), Some(manifest)) = (&facts.manifest, &node.manifest) else { return Ok(None) };
    // What starts is the API server of this image.
    let wired = manifest::wire(&text.text, manifest, wanted, manifest.version.or(node.version));
    let after = wired.map_err(|refusal| refuse(&text.path, &refusal))?;
    // The kubelet runs the text of before, so what it refuses comes from the settings. The position is in their text.
    if let Err(refusal) = pod::check(&after.text, manifest.version) {
        bail!("{}: with the settings, at {refusal}", text.path);
    }
    Ok(Some(WiredFile { before: text.clone(), after }))
}

/// The error for a file beside the manifest's path that defines the API server.
fn elsewhere(text: &Text, facts: &Facts) -> anyhow::Error {
    anyhow!(
        "{}: this file defines the API server, and the manifest {} does not exist; set manifest.path to the right file",
        text.path,
        facts.manifest_path
    )
}

/// A node that looks like a worker, and runs an API server from a file with another name, is none.
///
/// # Errors
///
/// There is such a file.
fn expect_worker(facts: &Facts) -> Result<()> {
    let runs =
        |text: &&Text| manifest::identify_pod(&text.text).is_ok_and(|pod| pod.is_some_and(|(_, runs)| runs));
    facts.beside.iter().find(runs).map_or(Ok(()), |text| Err(elsewhere(text, facts)))
}

/// Finds the other files that define the manifest's pod: the kubelet runs only one of these files, the one that it
/// read last. A pod with another name that also runs an API server is no stray: the program only warns of it.
fn find_strays(config: &Config, facts: &Facts, node: &mut Identity<'_>) -> Result<Vec<Text>> {
    let Identity { manifest, warnings, .. } = node;
    let own = facts.manifest.as_ref().and_then(|text| manifest::identify_pod(&text.text).ok()?);
    let mut strays = Vec::new();
    for text in &facts.beside {
        let (identity, runs_api_server) = match manifest::identify_pod(&text.text) {
            Ok(Some(found)) => found,
            Ok(None) => continue,
            Err(fault) => {
                if text.text.contains("kube-apiserver") {
                    warnings.push(format!(
                        "{}:{fault}; the kubelet accepts more than this program, and may run an API server from this \
                         file; move it out of the directory",
                        text.path
                    ));
                }
                continue;
            }
        };
        let same = own.as_ref().is_some_and(|(own, _)| *own == identity);
        if manifest.is_none() && runs_api_server {
            return Err(elsewhere(text, facts));
        }
        if !same {
            if runs_api_server {
                warnings.push(format!(
                    "{}: a pod with another name also runs an API server; this file does not change; if it should not \
                     run, move the file out of the directory",
                    text.path
                ));
            }
            continue;
        }
        if config.strays == Strays::Refuse {
            bail!(
                "{}: this file defines the same pod as {}, and the kubelet runs only one of them; move it \
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
    /// Collects the paths that the flags name.
    fn collect_paths(&mut self, config: &Config, made: Option<&Wired>) {
        let mut policies = BTreeSet::new();
        let mut directories = BTreeSet::new();
        let mut logs = BTreeSet::new();
        // Not from the cluster's kubeadm configuration: other nodes may have other paths.
        let files = self.kubeadm.iter().chain(&self.manifest).map(|file| &file.after);
        for wired in files.chain(made) {
            policies.extend(wired.policy.clone());
            directories.extend(wired.log.as_ref().map(|log| parent(log).to_owned()));
            logs.extend(wired.log.clone());
            self.flags = wired.flags.clone();
        }
        // No file here starts an API server yet, so the paths are those of the configuration.
        if self.kubeadm.is_empty() && self.manifest.is_none() {
            policies.insert(config.policy_path.clone());
            directories.extend(config.log.file().map(|path| parent(path).to_owned()));
            logs.extend(config.log.file().cloned());
            self.flags = flags::from_pairs(config.flags());
        }
        self.paths.logs = logs.into_iter().collect();
        self.paths.policies = policies.into_iter().collect();
        self.paths.directories = directories.into_iter().collect();
    }

    /// The policy that the API server of the manifest reads, on the host.
    pub fn policy_of_manifest(&self) -> Option<&String> {
        self.manifest.as_ref()?.after.policy.as_ref()
    }

    /// Collects the volumes with a type, of the files of which the next API server is made.
    fn collect_typed(&mut self, made: Option<&Wired>) {
        let mut add = |name: &str, text: &str, has_positions: bool| {
            for (position, path, kind) in manifest::typed_volumes(text) {
                let place = if has_positions { format!("{name}:{position}") } else { name.to_owned() };
                self.paths.typed.push(Typed { place, path, kind });
            }
        };
        if let Some(WiredFile { before, after }) = &self.manifest {
            add(&before.path, &after.text, true);
        }
        for WiredFile { before, after } in self.kubeadm.iter().filter(|_| self.role != Role::ControlPlane) {
            match &after.patched {
                Some(manifest) => add(&format!("{}, with kubeadm's patches", before.path), manifest, false),
                None => add(&before.path, &after.text, true),
            }
        }
        if let Some(made) = made {
            add("kubeadm's patches", &made.text, false);
        }
    }

    /// Follows the flags of each file to the files that the API server opens. What would keep it from starting is a
    /// refusal where it starts next, and else a warning. `made`: the manifest that kubeadm makes without a file.
    fn follow_references(&mut self, intent: &Intent<'_>, facts: &Facts, made: Option<&Wired>) {
        let config = intent.config;
        let keeps = config.existing == Existing::Keep;
        let webhook = config.places.get("webhook.configFile").map(String::as_str);
        let question = |path| Question { files: &facts.files, path, keeps, installs: true, webhook };
        let mut met: Vec<(Verdict, bool)> = Vec::new();
        if let Some(file) = &self.manifest {
            // An edited manifest can be read: each edit is checked.
            met.extend(
                manifest::judge(&file.after.text, &question(&file.before.path))
                    .ok()
                    .map(|verdict| (verdict, true)),
            );
        }
        // On a control plane, kubeadm init has read the file, and reads it no more.
        let is_next = self.role != Role::ControlPlane;
        for file in &self.kubeadm {
            let question = question(&file.before.path);
            let verdict = match &file.after.patched {
                Some(manifest) => manifest::judge(manifest, &question),
                None => kubeadm::judge(&file.after.text, &question),
            };
            met.extend(verdict.ok().map(|verdict| (verdict, is_next)));
        }
        if let Some(made) = made {
            met.extend(
                manifest::judge(&made.text, &question("the configuration")).ok().map(|verdict| (verdict, true)),
            );
        }
        if met.is_empty() {
            met.push((
                kubeadm::judge_settings(&Wanted::of(config, &facts.files), &question("the configuration")),
                true,
            ));
        }
        if let Some(Ok(cluster)) = &self.cluster {
            let verdict = kubeadm::judge(&cluster.after.text, &question(KUBEADM_CONFIG)).unwrap_or_default();
            self.referenced.extend(verdict.asked.iter().cloned());
            if let Some(why) = verdict.faults.iter().chain(&verdict.missing).next() {
                self.cluster = Some(Err(why.clone()));
            }
        }
        // Before kubeadm, a file may still come, except when kubeadm starts now.
        let starts = self.role == Role::ControlPlane
            || matches!(intent.occasion, Occasion::Init)
            || (intent.occasion == Occasion::Join && self.role == Role::Joining);
        for (verdict, is_next) in met {
            self.referenced.extend(verdict.asked);
            self.paths.opened.extend(verdict.opened.into_iter().filter(|_| is_next));
            self.paths.written.extend(verdict.written.filter(|_| is_next));
            let tell = |lines: Vec<String>, into: &mut Vec<String>| {
                lines.into_iter().for_each(|line| {
                    if !into.contains(&line) {
                        into.push(line)
                    }
                });
            };
            tell(verdict.faults, if is_next { &mut self.unmet } else { &mut self.warnings });
            tell(verdict.missing, if is_next && starts { &mut self.unmet } else { &mut self.warnings });
            tell(verdict.warnings, &mut self.warnings);
        }
    }

    /// Refuses a manifest that the kubelet does not read, while it reads another directory: nothing that is written
    /// there starts an API server. At a boot, the kubelet does not run yet, and only its files tell what it will read.
    fn refuse_unread(&mut self, intent: &Intent<'_>, facts: &Facts) {
        let (Reads::Elsewhere { directory }, Some(manifest)) = (&facts.kubelet.reads, &self.manifest) else {
            return;
        };
        if facts.running.is_some() {
            return;
        }
        let (path, config) = (&manifest.before.path, &facts.kubelet.config);
        let why = format!(
            "{path}: the kubelet does not read this file, because its directory of static pods is {directory}, so it starts \
             no API server from it; move it there (mv {} {}/), and correct or remove manifest.path; if the kubelet is to \
             read another directory, set staticPodPath in {config}",
            facts.shown(path),
            facts.shown(directory)
        );
        match intent.occasion {
            Occasion::Boot => self.warnings.push(why),
            _ => self.unmet.push(why),
        }
    }

    /// # Errors
    ///
    /// The policy, the log, or what the configuration names for them would be in the manifest directory.
    fn keep_out_of_manifests(&mut self, config: &Config, reads: &Reads) -> Result<()> {
        if *reads != Reads::Directory {
            return Ok(());
        }
        let manifests = parent(&self.paths.manifest);
        // Where the path is written, unless it is that of a file of the node.
        let placed = |path: &str, field: &str, own: Option<&str>| match config.places.get(field) {
            Some(place) if own == Some(path) => format!("{place}: {path}"),
            _ => path.to_owned(),
        };
        // Where the settings stay, they are in the manifest.
        let wrong = |why: String| match config.existing {
            Existing::Replace => Misuse(why).into(),
            Existing::Keep => anyhow!(why),
        };
        if let Some(path) = self.paths.directories.iter().find(|path| is_within(path, manifests)) {
            let own = config.log.file().map(|log| parent(log));
            return Err(wrong(format!(
                "{}: the log must not be in the manifest directory, because the kubelet reads every file there; \
                 set log.path to a file in another directory",
                placed(path, "log.path", own)
            )));
        }
        if let Some(path) = self.paths.policies.iter().find(|path| parent(path) == manifests) {
            let advice = match config.existing {
                Existing::Replace => "set policy.path to a file in another directory",
                Existing::Keep => {
                    "move it to another directory, and change --audit-policy-file and its mount, or remove \
                     `existing: keep`"
                }
            };
            return Err(wrong(format!(
                "{}: the policy must not be in the manifest directory, because the kubelet reads every file \
                 there; {advice}",
                placed(path, "policy.path", Some(&config.policy_path))
            )));
        }
        let webhook = config.webhook.as_ref().map(|webhook| &webhook.config_file);
        let source = Some(&config.policy_source);
        for (field, what, path) in [
            ("webhook.configFile", "the webhook's kubeconfig", webhook),
            ("policy.source", "the source of the policy", source),
        ] {
            if let Some(path) = path.filter(|path| path.starts_with('/') && parent(path) == manifests) {
                return Err(Misuse(format!(
                    "{}: {what} must not be in the manifest directory, because the kubelet reads every file there; move it \
                     to another directory, and set {field} to its new path",
                    placed(path, field, Some(path))
                ))
                .into());
            }
        }
        if let Some(path) = self.policy_before.as_ref().filter(|path| parent(path) == manifests) {
            self.warnings.push(format!(
                "{path}: the API server's policy was here until now, among the manifests, where the kubelet reads \
                 every file; when the API server has its new policy, remove this file"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::identify::identify;
    use super::super::testing::{config, facts, intent, snapshot, wired};
    use super::*;
    use crate::facts::distribution::DISTRIBUTIONS;
    use crate::facts::file::{Seen, SeenFile};
    use crate::facts::{KubeletFacts, PatchDirectory};
    use crate::storage::forecast::Share;

    const API_SERVER: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver}\nspec:\n  containers:\n  - name: kube-apiserver\n    \
                              command: [kube-apiserver]\n    image: registry.k8s.io/kube-apiserver:v1.31.4\n";
    const INIT: &str =
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.30.1\n";
    const WORKER: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n";
    const JOIN: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ncontrolPlane: {}\n";
    const OTHER: &str = "apiVersion: v1\nkind: ConfigMap\n";
    const BROKEN: &str = "kind: [";
    /// kubeadm reads this, but its arguments cannot be edited: two fields share them.
    const SHARED: &str =
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nscheduler: &a {}\napiServer: *a\n";

    fn file(path: &str, text: &str) -> Text {
        Text { path: path.to_owned(), text: text.to_owned(), snapshot: snapshot(text) }
    }

    #[test]
    fn a_file_of_kubeadms_that_cannot_be_used_matters_where_it_is_named_or_no_cluster_is_there() {
        let named = || Config { kubeadm_configs: Some(vec!["/k".to_owned()]), ..Config::default() };
        let any = Config::default;
        for (text, manifest, joined, config, required, fault) in [
            (BROKEN, None, false, any(), false, Some("/k:")),
            (BROKEN, Some(API_SERVER), false, any(), false, None),
            (BROKEN, None, true, any(), false, None),
            (BROKEN, Some(API_SERVER), false, named(), true, Some("/k:")),
            (SHARED, None, false, any(), false, Some("/k:")),
            (SHARED, Some(API_SERVER), false, any(), false, None),
            (SHARED, Some(API_SERVER), false, named(), true, Some("/k:")),
            (OTHER, None, false, named(), true, Some("there is no ClusterConfiguration")),
            (OTHER, None, false, named(), false, None),
            (INIT, None, false, named(), true, None),
        ] {
            let case = format!("{text} {} {joined} {required}", manifest.is_some());
            let facts = Facts { kubeadm: vec![file("/k", text)], joined, ..facts(manifest) };
            match (wired(&Intent { required, ..intent(&config) }, &facts), fault) {
                (Err(error), Some(fault)) => assert!(error.to_string().contains(fault), "{case}: {error}"),
                (Ok(wiring), None) => {
                    let is_left = [BROKEN, SHARED].contains(&text);
                    assert_eq!(wiring.skipped, ["/k"][..usize::from(is_left)], "{case}");
                    let told = wiring.warnings.iter().any(|line| line.ends_with("; this file does not change"));
                    assert_eq!(told, is_left, "{case}: {:?}", wiring.warnings);
                }
                (found, _) => panic!("{case}: {:?}", found.map(|wiring| wiring.warnings)),
            }
            let facts = Facts { kubeadm: Vec::new(), unreadable: vec!["/k: why".to_owned()], ..facts };
            let found =
                wired(&Intent { required, ..intent(&config) }, &facts).map(|wiring| wiring.warnings[0].clone());
            let is_lenient = (manifest.is_some() || joined) && config.kubeadm_configs.is_none();
            let why = "/k: why".to_owned();
            assert_eq!(
                found.map_err(|error| error.to_string()),
                if is_lenient { Ok(why) } else { Err(why) },
                "{case}"
            );
        }
    }

    /// What kubeadm makes with these patches of the API server, beside a webhook of the configuration.
    fn patched(text: &str, lines: &str, patch: &str) -> Wiring {
        let config = config(lines);
        let intent = intent(&config);
        let kubeconfig = "clusters: [{name: c, cluster: {server: 'https://a'}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n\
                          users: [{name: u, user: {token: t}}]\ncurrent-context: x\n";
        let seen = SeenFile {
            snapshot: snapshot(kubeconfig),
            real: "/w/conf".to_owned(),
            directories: BTreeMap::new(),
            lists: Vec::new(),
            beside: Vec::new(),
        };
        let files = BTreeMap::from([("/w/conf".to_owned(), Seen::File(Box::new(seen)))]);
        let facts = Facts { kubeadm: vec![file("/k", text)], files, ..facts(None) };
        let files = Ok(Some(vec![("/p/kube-apiserver.yaml".to_owned(), patch.to_owned())]));
        let directories = vec![PatchDirectory { path: "/p".to_owned(), leads_to: None, files }];
        let patches = PatchFacts { directories, certificates: Vec::new() };
        wire(&intent, &facts, &patches, identify(&intent, &facts).unwrap()).unwrap()
    }

    #[test]
    fn what_the_api_server_opens_is_judged_by_the_manifest_with_patches() {
        let init = format!(
            "{INIT}---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\npatches: {{directory: /p}}\n"
        );
        let join = format!("{JOIN}patches: {{directory: /p}}\n");
        let webhook = "webhook: {configFile: /w/conf}";
        let container = |lines: &str| format!("spec:\n  containers:\n  - name: kube-apiserver\n    {lines}\n");
        for (lines, patch, unmet) in [
            (webhook, container("resources: {limits: {memory: 4Gi}}"), None),
            // The kubeconfig is the root user's.
            (webhook, "spec: {securityContext: {runAsUser: 1001}}\n".to_owned(), Some("can't read /w/conf")),
            (
                webhook,
                container("securityContext: {capabilities: {drop: [ALL]}, runAsUser: 7}"),
                Some("can't read /w/conf"),
            ),
        ] {
            for text in [&init, &join] {
                let wiring = patched(text, lines, &patch);
                assert_eq!(wiring.warnings, [""; 0], "{patch}");
                let told = wiring.unmet.first().map(String::as_str).unwrap_or_default();
                assert_eq!(wiring.unmet.len(), usize::from(unmet.is_some()), "{text} {patch}: {:?}", wiring.unmet);
                assert!(told.contains(unmet.unwrap_or_default()), "{text} {patch}: {told}");
            }
        }
        // A link on the way to the policy is judged by the mounts that there will be.
        let wiring = patched(
            &init,
            "",
            &(container("volumeMounts: [{name: mine, mountPath: /mine}]")
                + "  volumes: [{name: mine, hostPath: {path: /real}}]\n"),
        );
        let mine = ("/mine".to_owned(), Some("/real".to_owned()));
        assert!(!wiring.paths.opened.is_empty());
        for opened in &wiring.paths.opened {
            assert!(opened.mounts.contains(&mine), "{opened:?}");
        }
        let file = &wiring.kubeadm[0].after;
        assert!(file.text.starts_with(INIT) && !file.text.contains("/mine"), "{}", file.text);
    }

    #[test]
    fn what_patches_bring_stays_where_existing_settings_stay() {
        let init = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\npatches: {directory: /p}\n";
        let flag = |name: &str, path: &str| format!("  - {{name: {name}, value: {path}}}\n");
        let with = |flags: &str| format!("{init}---\n{INIT}apiServer:\n  extraArgs:\n{flags}");
        let (policy, log) = ("/etc/kubernetes/audit/policy.yaml", "/var/log/kube/audit/audit.log");
        let (policy_flag, log_flag) = (flag("audit-policy-file", policy), flag("audit-log-path", log));
        let patch = |words: &str, mounts: &str, volumes: &str| {
            format!(
                "spec:\n  containers:\n  - name: kube-apiserver\n    args: [{words}]\n    volumeMounts: [{mounts}]\n  volumes: \
                 [{volumes}]\n"
            )
        };
        let policies = "{mountPath: /etc/kubernetes/audit, name: mine, readOnly: true}";
        let one_file = "{mountPath: /etc/kubernetes/audit/policy.yaml, name: mine, readOnly: true}";
        let logs = "{mountPath: /var/log/kube, name: mine}";
        let conf = "{name: mine, hostPath: {path: /data/conf}}";
        let by_flag = patch(&format!("--audit-policy-file={policy}"), policies, conf);
        let usual = "/etc/kubernetes/audit-policy.yaml";
        // The file, the patch, where the policy and the log are, and the paths that the file mounts.
        for (text, patch, on_host, mounted) in [
            // The flag in the patch, the flag in the file.
            (init.to_owned(), by_flag.clone(), ["/data/conf/policy.yaml", ""], vec!["/var/log/kubernetes/audit"]),
            (
                with("  - {name: v, value: \"2\"}\n"),
                by_flag,
                ["/data/conf/policy.yaml", ""],
                vec!["/var/log/kubernetes/audit"],
            ),
            (
                with(&policy_flag),
                patch("", policies, conf),
                ["/data/conf/policy.yaml", ""],
                vec!["/var/log/kubernetes/audit"],
            ),
            (with(&policy_flag), patch("", one_file, conf), ["/data/conf", ""], vec!["/var/log/kubernetes/audit"]),
            (with(&log_flag), patch("", logs, conf), ["", "/data/conf/audit/audit.log"], vec![usual]),
            // What no patch mounts is mounted.
            (
                init.to_owned(),
                patch("--audit-log-path=/var/log/x/y.log", "", ""),
                ["", "/var/log/x/y.log"],
                vec![usual, "/var/log/x"],
            ),
            // A new flag has a mount without the patches, too.
            (
                init.to_owned(),
                patch(
                    "",
                    "{mountPath: /etc/kubernetes, name: mine, readOnly: true}",
                    "{name: mine, hostPath: {path: /etc/kubernetes}}",
                ),
                ["", ""],
                vec![usual, "/var/log/kubernetes/audit"],
            ),
            // A mount of a later patch takes the place of the file's.
            (
                with(&log_flag)
                    + "  extraVolumes: [{name: mine, hostPath: /data/log, mountPath: /var/log/kube, readOnly: true}]\n",
                "spec: {containers: [{name: kube-apiserver, volumeMounts: [{mountPath: /var/log/kube, readOnly: false}]}]}\n"
                    .to_owned(),
                ["", "/data/log/audit/audit.log"],
                vec!["/var/log/kube", usual],
            ),
            (
                with(&policy_flag)
                    + "  extraVolumes: [{name: mine, hostPath: /old, mountPath: /etc/kubernetes/audit, readOnly: true}]\n",
                "spec: {volumes: [{name: mine, hostPath: {path: /new}}]}\n".to_owned(),
                ["/new/policy.yaml", ""],
                vec!["/etc/kubernetes/audit", "/var/log/kubernetes/audit"],
            ),
        ] {
            let wiring = patched(&text, "existing: keep", &patch);
            let after = &wiring.kubeadm[0].after;
            let expected = [usual, "/var/log/kubernetes/audit/audit.log"];
            let expected = [0, 1].map(|at| [on_host[at], expected[at]].into_iter().find(|path| !path.is_empty()));
            assert_eq!([after.policy.as_deref(), after.log.as_deref()], expected, "{text}{patch}");
            let lines = after.text.split("extraVolumes:").nth(1).unwrap().split(['\n', ',']);
            let found: Vec<_> = lines
                .filter_map(|line| line.split_once("mountPath: "))
                .map(|(_, path)| path.trim().trim_matches('"'))
                .collect();
            assert_eq!(found, mounted, "{patch}\n{}", after.text);
            let told: Vec<_> = wiring.warnings.iter().chain(&wiring.unmet).collect();
            assert!(told.is_empty(), "{patch}: {told:?}");
        }
    }

    #[test]
    fn a_role_comes_from_the_manifest_then_kubeadms_file_then_what_joined() {
        let (all, both) = (format!("{INIT}---\n{WORKER}"), format!("{INIT}---\n{JOIN}"));
        for (manifest, kubeadm, joined, occasion, role) in [
            (Some(API_SERVER), Some(("/k", WORKER)), true, Occasion::Any, Role::ControlPlane),
            (None, Some(("/k", INIT)), false, Occasion::Any, Role::FirstBoot),
            (None, Some(("/k", JOIN)), false, Occasion::Any, Role::Joining),
            (None, Some(("/k", WORKER)), false, Occasion::Any, Role::Worker),
            (None, None, true, Occasion::Any, Role::Worker),
            (None, None, false, Occasion::Any, Role::Image),
            (None, None, false, Occasion::Init, Role::FirstBoot),
            (None, None, false, Occasion::Join, Role::Joining),
            // The file of kind has the documents of all roles.
            (None, Some(("/kind/kubeadm.conf", all.as_str())), false, Occasion::Any, Role::Worker),
            (None, Some(("/kind/kubeadm.conf", all.as_str())), false, Occasion::Init, Role::FirstBoot),
            // kubeadm join reads the JoinConfiguration alone.
            (None, Some(("/k", all.as_str())), false, Occasion::Any, Role::FirstBoot),
            (None, Some(("/k", all.as_str())), false, Occasion::Join, Role::Worker),
            (None, Some(("/k", both.as_str())), false, Occasion::Join, Role::Joining),
        ] {
            let kubeadm: Vec<_> = kubeadm.into_iter().map(|(path, text)| file(path, text)).collect();
            let case = format!("{kubeadm:?} {joined} {occasion:?}");
            let edited = kubeadm.iter().filter(|_| role == Role::FirstBoot).count();
            let named =
                (occasion == Occasion::Join).then(|| kubeadm.iter().map(|text| text.path.clone()).collect());
            let config = Config { kubeadm_configs: named, ..Config::default() };
            let facts = Facts { kubeadm, joined, ..facts(manifest) };
            let wiring = wired(&Intent { occasion, ..intent(&config) }, &facts).unwrap();
            assert_eq!((wiring.role, wiring.kubeadm.len()), (role, edited), "{case}");
            let asks = wiring.warnings.iter().any(|line| line.contains("there is no kubeadm configuration file"));
            assert_eq!(asks, role == Role::Image, "{case}");
        }
        // A worker's directory with the manifest of an API server under another name is no worker's.
        let beside = vec![file("/etc/kubernetes/manifests/kube-apiserver.yml", API_SERVER)];
        let facts_of = |beside| Facts { joined: true, beside, ..facts(None) };
        for (beside, is_refused) in
            [(beside, true), (vec![file("/etc/kubernetes/manifests/x.yaml", "a: b\n")], false)]
        {
            let wiring = wired(&intent(&Config::default()), &facts_of(beside));
            assert_eq!(wiring.is_err_and(|why| why.to_string().contains("set manifest.path")), is_refused);
        }
        // A distribution without kubeadm counts only where nothing of kubeadm is there.
        let rke2 = DISTRIBUTIONS.first();
        for (manifest, joined, occasion, is_refused) in [
            (None, false, Occasion::Any, true),
            (None, false, Occasion::Boot, true),
            (None, false, Occasion::Init, false),
            (None, true, Occasion::Any, false),
            (Some(API_SERVER), true, Occasion::Any, false),
        ] {
            let facts = Facts { distribution: rke2, joined, ..facts(manifest) };
            let wiring = wired(&Intent { occasion, ..intent(&Config::default()) }, &facts);
            assert_eq!(wiring.is_err(), is_refused, "{joined} {occasion:?}");
        }
        for (name, expected) in [
            (
                "k0s",
                "systemctl restart k0scontroller:\n    spec:\n      api:\n        extraArgs:\n          audit-policy-file: /etc",
            ),
            ("MicroK8s", "snap restart microk8s.daemon-kubelite:\n    --audit-policy-file=/etc"),
            ("Talos", "auditPolicy in the machine configuration"),
        ] {
            let distribution = DISTRIBUTIONS.iter().find(|known| known.name == name);
            let why = wired(&intent(&Config::default()), &Facts { distribution, ..facts(None) }).unwrap_err();
            assert!(why.to_string().contains(expected), "{why}");
        }
        // It writes its own manifest anew at each start.
        let manifest_path = "/var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml".to_owned();
        let own = Facts { distribution: rke2, joined: true, manifest_path, ..facts(Some(API_SERVER)) };
        let why = wired(&intent(&Config::default()), &own).unwrap_err().to_string();
        assert!(why.contains("\n    kube-apiserver-arg:\n    - audit-log-path=/var/log"), "{why}");
        let agent = Facts { distribution: rke2, is_agent: true, ..facts(None) };
        assert_eq!(wired(&intent(&Config::default()), &agent).unwrap().role, Role::Worker);
        let named = || Config { kubeadm_configs: Some(vec!["/run/k".to_owned()]), ..Config::default() };
        for (live, config, occasion, asks) in [
            (true, Config::default(), Occasion::Any, true),
            (false, Config::default(), Occasion::Any, false),
            (true, Config::default(), Occasion::Boot, false),
            (true, named(), Occasion::Boot, true),
        ] {
            let wiring = wired(&Intent { occasion, ..intent(&config) }, &Facts { live, ..facts(None) });
            assert_eq!(wiring.unwrap().warnings.len(), usize::from(asks), "{live} {occasion:?}");
        }
    }

    #[test]
    fn a_certificate_without_a_manifest_ends_the_run_unless_kubeadm_is_at_work() {
        for (joined, certified, kubeadm, expected) in [
            (true, true, None, Err(())),
            (true, true, Some(INIT), Ok(1)),
            (true, false, None, Ok(0)),
            (false, true, Some(INIT), Ok(0)),
        ] {
            let kubeadm = kubeadm.into_iter().map(|text| file("/k", text)).collect();
            let facts = Facts { joined, certified, kubeadm, ..facts(None) };
            let found = wired(&intent(&config("")), &facts).map_err(|error| {
                assert!(error.to_string().contains("the manifest does not exist"), "{error}");
            });
            let told = |wiring: Wiring| {
                wiring.warnings.iter().filter(|line| line.contains("the manifest does not exist")).count()
            };
            assert_eq!(found.map(told), expected, "{joined} {certified}");
        }
        for has_url in [false, true] {
            let kubelet = KubeletFacts { has_url, ..KubeletFacts::default() };
            let facts = Facts { joined: true, certified: true, kubelet, ..facts(None) };
            let error = wired(&intent(&config("")), &facts).unwrap_err().to_string();
            assert_eq!(error.contains("if the kubelet takes it from staticPodURL"), has_url, "{error}");
        }
        let facts = Facts { joined: true, certified: true, ..facts(Some(API_SERVER)) };
        assert_eq!(wired(&intent(&config("")), &facts).unwrap().warnings, [""; 0]);
    }

    #[test]
    fn a_version_is_told_by_what_knows_best_and_one_that_was_not_tried_is_said() {
        let newer = API_SERVER.replace("v1.31.4", "v1.38.0");
        for (lines, manifest, expected, source, is_tried) in [
            ("kubernetesVersion: v1.29.0", Some(API_SERVER), 29, "as configured", true),
            ("", Some(API_SERVER), 31, "from the manifest's image", true),
            ("", Some(newer.as_str()), 38, "from the manifest's image", false),
            ("", None, 30, "from the ClusterConfiguration", true),
            ("kubernetesVersion: v1.25.9", None, 25, "as configured", false),
        ] {
            let wiring =
                wired(&intent(&config(lines)), &Facts { kubeadm: vec![file("/k", INIT)], ..facts(manifest) });
            let wiring = wiring.unwrap();
            assert_eq!((wiring.version, wiring.version_source), (Some(Version::new(expected)), source));
            assert_eq!(
                wiring.warnings.iter().any(|line| line.contains("not among the tested versions")),
                !is_tried
            );
        }
    }

    #[test]
    fn what_the_kubelet_keeps_free_comes_from_its_own_document() {
        let text = format!(
            "{INIT}evictionHard: {{nodefs.available: 1Gi}}\n---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n\
             evictionHard: {{nodefs.available: 2Gi}}\n"
        );
        for (text, expected) in [(text.as_str(), Share::Bytes(2 << 30)), (INIT, EVICTION)] {
            let wiring = wired(&intent(&config("")), &Facts { kubeadm: vec![file("/k", text)], ..facts(None) });
            assert_eq!(wiring.unwrap().paths.eviction, expected);
        }
    }

    #[test]
    fn a_manifest_that_the_kubelet_does_not_read_is_refused_except_at_a_boot() {
        let reads = || Reads::Elsewhere { directory: "/etc/kubernetes/manifests".to_owned() };
        for (reads, occasion, unmet, warned) in [
            (reads(), Occasion::Any, 1, 0),
            (reads(), Occasion::Boot, 0, 1),
            (Reads::Directory, Occasion::Any, 0, 0),
        ] {
            let mut facts =
                Facts { manifest_path: "/etc/kubernetes/m.yaml".to_owned(), ..facts(Some(API_SERVER)) };
            facts.kubelet.reads = reads;
            let config = config("policy: {path: /etc/kubernetes/p/p.yaml}");
            let wiring = wired(&Intent { occasion, ..intent(&config) }, &facts).unwrap();
            let count = |lines: &[String]| lines.iter().filter(|line| line.contains("move it there (mv ")).count();
            assert_eq!((count(&wiring.unmet), count(&wiring.warnings)), (unmet, warned), "{occasion:?}");
        }
    }

    #[test]
    fn a_file_of_kubeadms_that_nobody_named_is_told() {
        for (occasion, is_told) in [(Occasion::Any, true), (Occasion::Boot, true), (Occasion::Init, false)] {
            let facts = Facts { unnamed: vec!["/etc/kubernetes/kubeadm-init.yaml".to_owned()], ..facts(None) };
            let wiring = wired(&Intent { occasion, ..intent(&Config::default()) }, &facts).unwrap();
            let told = wiring.warnings.iter().any(|line| line.contains("kubeadm-init.yaml: this looks like"));
            assert_eq!(told, is_told, "{occasion:?}");
        }
    }

    #[test]
    fn neither_policy_nor_log_may_lie_among_the_manifests() {
        let with = |directory: &str| Facts { manifest_path: format!("{directory}/m.yaml"), ..facts(None) };
        for (directory, fault) in [
            ("/etc/kubernetes", Some("the policy must not be in the manifest directory")),
            ("/var/log/kubernetes", Some("the log must not be in the manifest directory")),
            ("/etc/kubernetes/manifests", None),
        ] {
            let found = wired(&intent(&config("")), &with(directory)).err().map(|error| error.to_string());
            assert_eq!(found.is_some(), fault.is_some(), "{directory}: {found:?}");
            assert!(found.unwrap_or_default().contains(fault.unwrap_or_default()));
        }
    }

    #[test]
    fn a_path_among_the_manifests_is_refused_where_it_is_written() {
        let among = "/srv/pods/x";
        let facts = Facts { manifest_path: "/srv/pods/m.yaml".to_owned(), ..facts(None) };
        for (lines, place) in [
            (format!("policy: {{path: {among}}}"), "config:3:16: /srv/pods/x: the policy"),
            (format!("log: {{path: {among}/a.log}}"), "config:3:13: /srv/pods/x: the log"),
            (format!("webhook: {{configFile: {among}}}"), "config:3:23: /srv/pods/x: the webhook's kubeconfig"),
            (format!("policy: {{source: {among}}}"), "/srv/pods/x: the source of the policy"),
        ] {
            let error = wired(&intent(&config(&lines)), &facts).unwrap_err().to_string();
            assert!(error.starts_with(place), "{lines}: {error}");
        }
    }
}
