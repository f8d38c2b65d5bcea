//! Finds out what kind of node this is, and its version of Kubernetes, from its files.

use std::fmt::Write as _;

use anyhow::{Result, bail};

use super::{Intent, Occasion, Role};
use crate::audit::version::Version;
use crate::facts::distribution::{Distribution, Form};
use crate::facts::file::Text;
use crate::facts::{Facts, Reads};
use crate::path::{API_SERVER_CERTIFICATE, KUBELET_KUBECONFIG, is_within, parent, program};
use crate::wiring::Refusal;
use crate::wiring::kubeadm::{self, Purpose, Reader};
use crate::wiring::manifest::{self, Manifest};
use crate::wiring::pod;
use crate::yaml::edit::{New, render};

/// What kind of node this is. It borrows the texts of the node's files.
#[derive(Debug)]
pub struct Identity<'f> {
    pub role: Role,
    pub version: Option<Version>,
    /// Where the version was found.
    pub version_source: &'static str,
    /// The version that the node's files say, if that is another one.
    pub(super) other_version: Option<Version>,
    pub(super) manifest: Option<Manifest>,
    pub(super) kubeadm: Vec<(&'f Text, kubeadm::KubeadmFile)>,
    /// A bad kubeadm configuration file at a default path is no error, because the cluster exists.
    pub lenient: bool,
    /// The kubeadm configuration files that cannot be used, and do not change.
    pub(super) skipped: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Finds out what kind of node this is, from its files.
///
/// # Errors
///
/// A file that cannot be used: its path and position, and what to do.
pub fn identify<'f>(intent: &Intent<'_>, facts: &'f Facts) -> Result<Identity<'f>> {
    let manifest = match &facts.manifest {
        Some(text) => {
            if text.text.trim().is_empty() {
                bail!("{}:1:1: this file is empty; {}", text.path, regain(facts));
            }
            let manifest = manifest::read(&text.text).map_err(|refusal| refuse(&text.path, &refusal))?;
            pod::check(&text.text, manifest.version).map_err(|refusal| refuse(&text.path, &refusal))?;
            Some(manifest)
        }
        None => None,
    };
    let mut identity = Identity {
        role: Role::Image,
        version: None,
        version_source: "not known",
        other_version: None,
        lenient: (manifest.is_some() || facts.joined) && intent.config.kubeadm_configs.is_none(),
        manifest,
        kubeadm: Vec::new(),
        skipped: Vec::new(),
        warnings: Vec::new(),
    };
    if let Some(fault) = facts.kubelet.fault.as_ref().filter(|_| intent.config.manifest_path.is_none()) {
        let directory = parent(&facts.manifest_path);
        identity.warnings.push(format!(
            "{fault}; using {directory} as the manifest directory; if it is another one, set manifest.path"
        ));
    }
    identity.read_kubeadm_files(intent, facts)?;
    identity.role = identity.find_role(intent, facts);
    if intent.config.manifest_path.is_none() && identity.role != Role::Worker {
        identity.warnings.extend(facts.kubelet.unread.iter().cloned());
    }
    identity.expect_manifest(facts)?;
    identity.expect_kubeadm(intent, facts)?;
    identity.find_version(intent);
    Ok(identity)
}

impl<'f> Identity<'f> {
    fn read_kubeadm_files(&mut self, intent: &Intent<'_>, facts: &'f Facts) -> Result<()> {
        if let Some(error) = facts.unreadable.first().filter(|_| !self.lenient) {
            bail!("{error}");
        }
        self.warnings.extend(facts.unreadable.iter().cloned());
        let reader = match intent.occasion {
            Occasion::Init => Reader::Init,
            Occasion::Join => Reader::Join,
            _ => Reader::Unknown,
        };
        for text in &facts.kubeadm {
            match kubeadm::read(&text.text, &text.path, reader) {
                Ok(file) if file.purpose == Purpose::Other && reader == Reader::Join => bail!(
                    "{}:1:1: there is no JoinConfiguration in this file, so kubeadm join refuses it; add one, or name \
                     the file that has it",
                    text.path
                ),
                Ok(file) if file.purpose == Purpose::Other && intent.required => bail!(
                    "{}:1:1: there is no ClusterConfiguration, InitConfiguration or JoinConfiguration in this file; \
                     name the file that kubeadm reads",
                    text.path
                ),
                Ok(file) => self.kubeadm.push((text, file)),
                Err(refusal) => self.skip(text, &refusal)?,
            }
        }
        Ok(())
    }

    /// Skips a kubeadm configuration file with a warning, if `lenient`.
    ///
    /// # Errors
    ///
    /// The node is not `lenient`: why the file cannot be used.
    pub(super) fn skip(&mut self, text: &Text, refusal: &Refusal) -> Result<()> {
        if !self.lenient {
            return Err(refuse(&text.path, refusal));
        }
        self.warnings.push(format!("{}:{refusal}; this file does not change", text.path));
        self.skipped.push(text.path.clone());
        Ok(())
    }

    fn find_role(&self, intent: &Intent<'_>, facts: &Facts) -> Role {
        let has = |purpose| self.kubeadm.iter().any(|(_, file)| file.purpose == purpose);
        match () {
            () if self.manifest.is_some() => Role::ControlPlane,
            () if has(Purpose::Init) || intent.is_without_file(Occasion::Init) => Role::FirstBoot,
            () if has(Purpose::JoinControlPlane) || intent.is_without_file(Occasion::Join) => Role::Joining,
            () if has(Purpose::JoinWorker) || facts.joined || facts.is_agent => Role::Worker,
            () => Role::Image,
        }
    }

    /// A node with an API server's certificate must have a manifest.
    fn expect_manifest(&mut self, facts: &Facts) -> Result<()> {
        if self.manifest.is_none() && facts.joined && facts.certified {
            let mut message = format!(
                "{}: the manifest does not exist, but the node has an API server's certificate ({}) and has joined a \
                 cluster ({}); {}; if this is no control plane any more, remove the certificate",
                facts.manifest_path,
                facts.shown(API_SERVER_CERTIFICATE),
                facts.shown(KUBELET_KUBECONFIG),
                regain(facts)
            );
            if facts.kubelet.has_url {
                let _ = write!(
                    message,
                    "; if the kubelet takes it from staticPodURL ({}), add the audit flags and mounts to the pod there",
                    facts.kubelet.config
                );
            }
            // With a file for kubeadm init, kubeadm may be running at this moment.
            if self.role != Role::FirstBoot {
                bail!(message);
            }
            self.warnings.push(message);
        }
        if self.manifest.is_some() && facts.running.is_none() {
            let (manifest, config) = (&facts.manifest_path, &facts.kubelet.config);
            let directory = parent(manifest);
            let restart = if facts.live { ", and run systemctl restart kubelet" } else { "" };
            self.warnings.extend(match &facts.kubelet.reads {
                // The directory that it reads is where the file belongs, so this is a refusal.
                Reads::Directory | Reads::File | Reads::Elsewhere { .. } => None,
                Reads::Not { path: None } => Some(format!(
                    "{config}: staticPodPath is missing or empty, so the kubelet starts no API server from {manifest}; \
                     write staticPodPath: {directory}{restart}"
                )),
                Reads::Not { path: Some(path) } => Some(format!(
                    "{manifest}: the kubelet does not read this file, because its path of static pods is {path}; correct \
                     manifest.path, or write staticPodPath: {directory} in {config}{restart}"
                )),
            });
        }
        Ok(())
    }

    /// A node that shows nothing of kubeadm may belong to a distribution that does without it, and so may a manifest.
    fn expect_kubeadm(&self, intent: &Intent<'_>, facts: &Facts) -> Result<()> {
        let Some(known) = facts.distribution else { return Ok(()) };
        let is_in = |directory| is_within(&facts.manifest_path, directory);
        let is_its_manifest = self.manifest.is_some() && known.manifests.is_some_and(is_in);
        if !is_its_manifest && (self.role != Role::Image || intent.occasion.is_kubeadm()) {
            return Ok(());
        }
        let Distribution { name, advice, form, .. } = known;
        let mut message = format!(
            "this is a node of {name}, which starts the API server without kubeadm, so this program can't make it \
             audit; {advice}"
        );
        let lines = settings_of(form, intent.config.flags());
        let lines: String = lines.lines().map(|line| format!("\n    {line}")).collect();
        if !lines.is_empty() {
            let _ = write!(message, ":{lines}");
        }
        bail!(message)
    }

    /// The image of the running API server is newer than the file that the cluster was made from. The version of the
    /// configuration counts, but it starts no other API server than that of the files.
    fn find_version(&mut self, intent: &Intent<'_>) {
        let image = self.manifest.as_ref().and_then(|manifest| manifest.version);
        let mut found = [
            (intent.config.kubernetes_version, "as configured"),
            (image, "from the manifest's image"),
            (self.kubeadm.iter().find_map(|(_, file)| file.version), "from the ClusterConfiguration"),
        ]
        .into_iter()
        .filter_map(|(version, source)| Some((version?, source)));
        let Some((version, source)) = found.next() else { return };
        (self.version, self.version_source) = (Some(version), source);
        let configured = intent.config.kubernetes_version.is_some();
        if let Some((other, source)) = found.next().filter(|(other, _)| configured && *other != version) {
            self.other_version = Some(other);
            self.warnings.push(format!(
                "kubernetesVersion is {version}, but the node has {other}, {source}: the policy must be right for both; \
                 remove kubernetesVersion (or --kubernetes-version), or correct it"
            ));
        }
    }

    /// Is the version needed, and in none of the files?
    pub fn lacks_version(&self) -> bool {
        self.version.is_none() && self.role != Role::Worker
    }

    /// Sets the version of the installed kubelet, if there is one.
    pub fn use_installed(&mut self, version: Option<Version>) {
        if version.is_some() {
            (self.version, self.version_source) = (version, "as installed");
        }
    }
}

/// The flags as a distribution writes them.
fn settings_of(form: &Form, flags: Vec<(String, String)>) -> String {
    let word = |(flag, value): (String, String)| format!("{flag}={value}");
    match form {
        Form::Items(own) => {
            let (own, arguments): (Vec<_>, Vec<_>) =
                flags.into_iter().partition(|(flag, _)| own.contains(&flag.as_str()));
            let own = own.into_iter().map(|(flag, value)| (flag, New::Str(value)));
            let arguments = New::List(arguments.into_iter().map(word).map(New::Str).collect());
            render(&own.chain([("kube-apiserver-arg".to_owned(), arguments)]).collect::<Vec<_>>())
        }
        Form::Mapping => {
            let flags = New::Map(flags.into_iter().map(|(flag, value)| (flag, New::Str(value))).collect());
            let spec = New::map([("api", New::map([("extraArgs", flags)]))]);
            render(&[("spec".to_owned(), spec)])
        }
        Form::Words => flags.into_iter().map(|flag| format!("--{}\n", word(flag))).collect(),
        Form::Own => String::new(),
    }
}

/// How to get back a manifest that is lost.
fn regain(facts: &Facts) -> String {
    let runs =
        |text: &&Text| manifest::identify_pod(&text.text).is_ok_and(|pod| pod.is_some_and(|(_, runs)| runs));
    if let Some(Text { path, .. }) = facts.beside.iter().find(runs) {
        return format!(
            "{path} defines the API server: move it here (mv {} {}), or set manifest.path to {path}",
            facts.shown(path),
            facts.shown(&facts.manifest_path)
        );
    }
    let program = program(&facts.root);
    let way = match &facts.backed_up {
        Some(id) => format!(
            "run {program} restore {id} --force, which puts it back as it was before that run, and then {program} apply"
        ),
        None => "no backup has it: write it again, with kubeadm init phase control-plane apiserver --config FILE"
            .to_owned(),
    };
    let path = &facts.manifest_path;
    format!(
        "if it was moved, move it back to {path}, because the kubelet reads it there; if this kubelet reads it in another \
         place, set manifest.path to that file; if it is lost, {way}"
    )
}

/// The error for a refused file: one line, and below it the YAML to add by hand, if that helps.
pub(super) fn refuse(path: &str, refusal: &Refusal) -> anyhow::Error {
    let mut message = format!("{path}:{refusal}");
    if let Some(by_hand) = &refusal.by_hand {
        let lines: String = by_hand.lines().map(|line| format!("\n    {line}")).collect();
        let _ = write!(message, "; add by hand those of these lines that are missing:{lines}");
    }
    anyhow::anyhow!(message)
}
