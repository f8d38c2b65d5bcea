//! What kind of node this is, and its files with the settings put in.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use anyhow::{Result, bail};

use super::Role;
use crate::audit::flags::Flags;
use crate::audit::version::Version;
use crate::change::KUBEADM_CONFIG;
use crate::config::{Config, KUBEADM_CONFIGS, Occasion, Strays};
use crate::facts::file::Text;
use crate::facts::{Facts, Paths};
use crate::path::{is_within, parent};
use crate::storage::forecast::{EVICTION, eviction};
use crate::wiring::kubeadm::{self, Purpose};
use crate::wiring::manifest::{self, Manifest};
use crate::wiring::{Refusal, Wanted, Wired};
use crate::yaml::Node;

/// The versions of Kubernetes that this is made for.
const SUPPORTED: RangeInclusive<Version> = Version::new(26)..=Version::new(37);

/// The node's files with the settings put in, before it is known what lies at the paths that they name.
#[derive(Debug)]
pub struct Wiring {
    pub role: Role,
    pub version: Option<Version>,
    pub version_source: &'static str,
    /// The files that `kubeadm init` reads.
    pub(super) kubeadm: Vec<(Text, Wired)>,
    /// The cluster's own, before and after, or why it isn't known.
    pub(super) cluster: Option<Result<(String, Wired), String>>,
    pub(super) manifest: Option<(Text, Wired)>,
    pub(super) strays: Vec<Text>,
    pub(super) run_as: (Option<u32>, Option<u32>),
    pub paths: Paths,
    /// The audit flags that the API server will have.
    pub(super) flags: Flags,
    /// Other files that the flags point at, each of which must be there.
    pub referenced: Vec<String>,
    /// Files of kubeadm's that are left as they are.
    pub(super) skipped: Vec<String>,
    pub(super) warnings: Vec<String>,
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
        paths: Paths {
            policies: Vec::new(),
            directories: Vec::new(),
            logs: Vec::new(),
            manifest: facts.manifest_path.clone(),
            eviction: files
                .iter()
                .flat_map(|(_, file)| &file.documents)
                .find(|document| document.root.get("kind").and_then(Node::scalar) == Some("KubeletConfiguration"))
                .map_or(EVICTION, |document| eviction(&document.root)),
        },
        flags: Flags::new(),
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
        let wired = kubeadm::read(&text, KUBEADM_CONFIG, true)
            .and_then(|file| kubeadm::wire(&text, &file, &wanted, version))
            .map_err(|refusal| format!("{:#}", refuse(KUBEADM_CONFIG, &refusal)))?;
        Ok((text, wired))
    });
    wiring.strays = strays(config, facts, manifest.as_ref(), &mut wiring.warnings)?;
    if let (Some(text), Some(manifest)) = (&facts.manifest, &manifest) {
        let wired = manifest::wire(&text.text, manifest, &wanted, version);
        wiring.manifest = Some((text.clone(), wired.map_err(|refusal| refuse(&text.path, &refusal))?));
    }
    wiring.collect(config);
    let manifests = parent(&facts.manifest_path);
    if let Some(path) = wiring.paths.directories.iter().find(|path| is_within(path, manifests)) {
        bail!("{path}: a log must not lie in the manifest directory: the kubelet reads what is there");
    }
    if let Some(path) = wiring.paths.policies.iter().find(|path| parent(path) == manifests) {
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
        self.paths.logs = logs.into_iter().collect();
        self.paths.policies = policies.into_iter().collect();
        self.paths.directories = directories.into_iter().collect();
        self.referenced = referenced.into_iter().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{config, facts, snapshot};
    use super::*;
    use crate::storage::forecast::Share;

    const API_SERVER: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver}\nspec:\n  containers:\n  - name: kube-apiserver\n    \
                              command: [kube-apiserver]\n    image: registry.k8s.io/kube-apiserver:v1.31.4\n";
    const INIT: &str =
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.30.1\n";
    const WORKER: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n";
    const JOIN: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ncontrolPlane: {}\n";
    const OTHER: &str = "apiVersion: v1\nkind: ConfigMap\n";
    const BROKEN: &str = "kind: [";
    /// kubeadm reads it, and its arguments can't be edited: two places share them.
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
            match (wire(&config, &facts, required), fault) {
                (Err(error), Some(fault)) => assert!(error.to_string().contains(fault), "{case}: {error}"),
                (Ok(wiring), None) => {
                    let is_left = [BROKEN, SHARED].contains(&text);
                    assert_eq!(wiring.skipped, ["/k"][..usize::from(is_left)], "{case}");
                    let told = wiring.warnings.iter().any(|line| line.ends_with("; left as it is"));
                    assert_eq!(told, is_left, "{case}: {:?}", wiring.warnings);
                }
                (found, _) => panic!("{case}: {:?}", found.map(|wiring| wiring.warnings)),
            }
            let facts = Facts { kubeadm: Vec::new(), unreadable: vec!["/k: why".to_owned()], ..facts };
            let found = wire(&config, &facts, required).map(|wiring| wiring.warnings[0].clone());
            let is_lenient = (manifest.is_some() || joined) && config.kubeadm_configs.is_none();
            let why = "/k: why".to_owned();
            assert_eq!(
                found.map_err(|error| error.to_string()),
                if is_lenient { Ok(why) } else { Err(why) },
                "{case}"
            );
        }
    }

    #[test]
    fn a_role_comes_from_the_manifest_then_kubeadms_file_then_what_joined() {
        let all = format!("{INIT}---\n{WORKER}");
        for (manifest, kubeadm, joined, occasion, role) in [
            (Some(API_SERVER), Some(("/k", WORKER)), true, Occasion::Any, Role::ControlPlane),
            (None, Some(("/k", INIT)), false, Occasion::Any, Role::FirstBoot),
            (None, Some(("/k", JOIN)), false, Occasion::Any, Role::Joining),
            (None, Some(("/k", WORKER)), false, Occasion::Any, Role::Worker),
            (None, None, true, Occasion::Any, Role::Worker),
            (None, None, false, Occasion::Any, Role::Image),
            (None, None, false, Occasion::Init, Role::FirstBoot),
            (None, None, false, Occasion::Join, Role::Joining),
            // kind's has the documents of all roles.
            (None, Some(("/kind/kubeadm.conf", all.as_str())), false, Occasion::Any, Role::Worker),
            (None, Some(("/kind/kubeadm.conf", all.as_str())), false, Occasion::Init, Role::FirstBoot),
        ] {
            let kubeadm: Vec<_> = kubeadm.into_iter().map(|(path, text)| file(path, text)).collect();
            let case = format!("{kubeadm:?} {joined} {occasion:?}");
            let edited = kubeadm.iter().filter(|_| role == Role::FirstBoot).count();
            let facts = Facts { kubeadm, joined, ..facts(manifest) };
            let wiring = wire(&Config { occasion, ..Config::default() }, &facts, false).unwrap();
            assert_eq!((wiring.role, wiring.kubeadm.len()), (role, edited), "{case}");
            let asks = wiring.warnings.iter().any(|line| line.contains("there is no kubeadm configuration"));
            assert_eq!(asks, role == Role::Image, "{case}");
        }
        for (live, occasion, asks) in
            [(true, Occasion::Any, true), (false, Occasion::Any, false), (true, Occasion::Boot, false)]
        {
            let wiring = wire(&Config { occasion, ..Config::default() }, &Facts { live, ..facts(None) }, false);
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
            let found = wire(&config(""), &facts, false).map_err(|error| {
                assert!(error.to_string().contains("the manifest isn't there"), "{error}");
            });
            let told = |wiring: Wiring| {
                wiring.warnings.iter().filter(|line| line.contains("the manifest isn't there")).count()
            };
            assert_eq!(found.map(told), expected, "{joined} {certified}");
        }
        let facts = Facts { joined: true, certified: true, ..facts(Some(API_SERVER)) };
        assert_eq!(wire(&config(""), &facts, false).unwrap().warnings, [""; 0]);
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
                wire(&config(lines), &Facts { kubeadm: vec![file("/k", INIT)], ..facts(manifest) }, false);
            let wiring = wiring.unwrap();
            assert_eq!((wiring.version, wiring.version_source), (Some(Version::new(expected)), source));
            assert_eq!(wiring.warnings.iter().any(|line| line.contains("not among the tried ones")), !is_tried);
        }
    }

    #[test]
    fn what_the_kubelet_keeps_free_comes_from_its_own_document() {
        let text = format!(
            "{INIT}evictionHard: {{nodefs.available: 1Gi}}\n---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n\
             evictionHard: {{nodefs.available: 2Gi}}\n"
        );
        for (text, expected) in [(text.as_str(), Share::Bytes(2 << 30)), (INIT, EVICTION)] {
            let wiring = wire(&config(""), &Facts { kubeadm: vec![file("/k", text)], ..facts(None) }, false);
            assert_eq!(wiring.unwrap().paths.eviction, expected);
        }
    }

    #[test]
    fn neither_policy_nor_log_may_lie_among_the_manifests() {
        let with = |directory: &str| Facts { manifest_path: format!("{directory}/m.yaml"), ..facts(None) };
        for (directory, fault) in [
            ("/etc/kubernetes", Some("a policy must not lie in the manifest directory")),
            ("/var/log/kubernetes", Some("a log must not lie in the manifest directory")),
            ("/etc/kubernetes/manifests", None),
        ] {
            let found = wire(&config(""), &with(directory), false).err().map(|error| error.to_string());
            assert_eq!(found.is_some(), fault.is_some(), "{directory}: {found:?}");
            assert!(found.unwrap_or_default().contains(fault.unwrap_or_default()));
        }
    }
}
