//! What there is on a node, as far as a plan depends on it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use nix::errno::Errno;

use super::change::{Attributes, Snapshot};
use super::root::{Failed, Kind, Root, split};
use super::{apiserver, cluster, disk, process, storage};
use crate::audit::version::Version;
use crate::config::{Config, KUBEADM_CONFIGS, parent};
use crate::plan::Wiring;
use crate::storage::unit;
use crate::yaml::tree::MAX_BYTES;

const MANIFEST_DIRECTORY: &str = "/etc/kubernetes/manifests";
pub(super) const KUBELET_CONFIG: &str = "/var/lib/kubelet/config.yaml";
/// The kubelet's kubeconfig, which kubeadm writes when a node joins or is initialised.
const KUBELET_KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";
const API_SERVER_CERTIFICATE: &str = "/etc/kubernetes/pki/apiserver.crt";
/// A kind node image says here what it was built from.
const KIND_VERSION: &str = "/kind/version";
/// Where distributions, kind and Flatcar put the kubelet.
const KUBELETS: &[&str] = &["/usr/bin/kubelet", "/usr/local/bin/kubelet", "/opt/bin/kubelet"];

/// A text file that was read.
#[derive(Clone, Debug)]
pub struct Text {
    pub path: String,
    pub text: String,
    pub snapshot: Snapshot,
}

/// What a plan starts from.
#[derive(Clone, Debug)]
pub struct Facts {
    pub manifest_path: String,
    pub manifest: Option<Text>,
    /// The other files in the manifest directory that the kubelet would read.
    pub beside: Vec<Text>,
    /// The kubeadm configuration files that are there, in the order in which they are looked for.
    pub kubeadm: Vec<Text>,
    /// The cluster's own, or why it isn't known; `None` where it isn't asked for.
    pub cluster: Option<Result<String, String>>,
    /// Why those in the usual places can't be read that can't.
    pub unreadable: Vec<String>,
    /// The node has joined a cluster, or was initialised.
    pub joined: bool,
    /// It has the API server's certificate, which only control planes have.
    pub certified: bool,
    /// It is the running system, not an image.
    pub live: bool,
    /// The version of the kubelet, asked for only where nothing in the files tells one.
    pub kubelet: Option<Version>,
    /// Who owns what is written, unless the API server's pod says otherwise: root, or who builds an image.
    pub owner: (u32, u32),
}

/// What there is at the paths that a plan wants to write.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    pub policies: BTreeMap<String, Option<Snapshot>>,
    /// With the names that are in each directory.
    pub directories: BTreeMap<String, Option<(Attributes, Vec<String>)>>,
    /// The logs that are there, rotated ones, too; `None` for what is no plain file.
    pub logs: BTreeMap<String, Option<Attributes>>,
    /// The units that shall mount something where the log lies, with their texts and what is there now.
    pub units: Vec<(String, String, Option<Snapshot>)>,
    /// The directory that shall be bound there, if it is there, with the names in it.
    pub bound: Option<(Attributes, Vec<String>)>,
    /// The unit that mounts something there is from a configuration that named it.
    pub has_unit: bool,
    /// What is mounted there, on the running system.
    pub disk: Option<disk::State>,
    /// Where the log lies; `None` where this isn't the running system, or there is no log.
    pub storage: Option<storage::Seen>,
}

/// Reads a node.
///
/// Errors: a file that can't be read as text, or one that was asked for by name and isn't there.
pub fn observe(root: &Root, config: &Config, required: bool) -> Result<Facts> {
    let manifest_path = manifest_path(root, config)?;
    let manifest = manifest(root, &manifest_path)?;
    if manifest.is_none() && config.manifest_path.is_some() {
        let usual = usual_manifest_path(root)?;
        if root.stat(&usual)?.is_some() {
            bail!("{manifest_path}: manifest.path isn't there, but {usual} is; correct it");
        }
    }
    log::info!("{manifest_path}: {}", if manifest.is_some() { "found, the manifest" } else { "no manifest" });
    let (mut kubeadm, mut unreadable): (Vec<Text>, Vec<String>) = (Vec::new(), Vec::new());
    let configured = config.kubeadm_configs.as_deref();
    let default = KUBEADM_CONFIGS.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    for path in configured.unwrap_or(&default) {
        match read(root, path) {
            Ok(Some(text)) => {
                // Two names of one file are one file.
                if !kubeadm.iter().any(|known| known.snapshot.identity == text.snapshot.identity) {
                    log::info!("{path}: found, a kubeadm configuration");
                    kubeadm.push(text);
                }
            }
            Ok(None) if required => {
                bail!("{}: there is no such file; name the kubeadm configuration", root.shown(path))
            }
            Ok(None) => {}
            Err(error) if configured.is_none() && stays_wrong(&error) => unreadable.push(format!("{error:#}")),
            Err(error) => return Err(error),
        }
    }
    // Only a control plane's API server can be asked.
    let asks = config.cluster && manifest.is_some() && root.is_host();
    Ok(Facts {
        cluster: asks.then(|| cluster::read().map_err(|error| format!("{error:#}"))),
        unreadable,
        beside: beside(root, &manifest_path)?,
        manifest,
        manifest_path,
        kubeadm,
        joined: root.stat(KUBELET_KUBECONFIG)?.is_some(),
        certified: is_certified(root)?,
        live: root.is_host(),
        kubelet: None,
        owner: (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()),
    })
}

/// Has the node the API server's certificate, which only control planes have?
pub fn is_certified(root: &Root) -> Result<bool> {
    Ok(root.stat(API_SERVER_CERTIFICATE)?.is_some())
}

/// Has the node joined a cluster, and is no control plane? Told without the configuration.
pub fn is_worker(root: &Root) -> Result<bool> {
    Ok(root.stat(KUBELET_KUBECONFIG)?.is_some() && !is_certified(root)?)
}

/// Reads the manifest. `None` where there is none.
///
/// Errors: among others, a run was killed while it had hidden it from the kubelet.
pub fn manifest(root: &Root, path: &str) -> Result<Option<Text>> {
    if apiserver::is_hidden(root, path)? {
        bail!(
            "{path}: a run has hidden it from the kubelet, and was killed, or ends in a moment; run kube-audit-bootstrap apply"
        );
    }
    read(root, path)
}

/// Where the manifest is: as configured, else in the kubelet's directory.
pub fn manifest_path(root: &Root, config: &Config) -> Result<String> {
    Ok(match &config.manifest_path {
        Some(path) => path.clone(),
        None => usual_manifest_path(root)?,
    })
}

/// Where kubeadm puts the manifest.
fn usual_manifest_path(root: &Root) -> Result<String> {
    Ok(format!("{}/kube-apiserver.yaml", manifest_directory(root)?))
}

/// Reads what there is at the paths that a plan wants to write.
pub fn targets(root: &Root, config: &Config, wiring: &Wiring) -> Result<Targets> {
    let mut targets = Targets::default();
    for path in &wiring.policies {
        targets.policies.insert(path.clone(), root.read(path, MAX_BYTES)?);
    }
    for path in &wiring.directories {
        let attributes = match root.stat(path)? {
            None => None,
            Some(entry) if entry.kind == Kind::Directory => {
                Some((entry.attributes, root.list(path)?.unwrap_or_default()))
            }
            Some(entry) => bail!(
                "{}: this is {}, and the audit log needs a directory here; move it away",
                root.shown(path),
                entry.kind
            ),
        };
        targets.directories.insert(path.clone(), attributes);
    }
    for log in &wiring.logs {
        let (directory, name) = split(log)?;
        for other in
            targets.directories.get(directory).and_then(|found| Some(&found.as_ref()?.1)).into_iter().flatten()
        {
            let path = format!("{directory}/{other}");
            if disk::is_log(name, other) {
                // A link is somebody's own, and what is no file as well.
                let entry = root.stat(&path).ok().flatten();
                let entry = entry
                    .filter(|entry| entry.kind == Kind::File && root.real(&path).is_ok_and(|real| real == path));
                targets.logs.insert(path, entry.map(|entry| entry.attributes));
            }
        }
    }
    let Some(log) = wiring.logs.first() else { return Ok(targets) };
    let (directory, name) = split(log)?;
    let source = config.storage.source.as_ref();
    for (path, text) in source.map(|source| unit::files(source, directory)).into_iter().flatten() {
        let before = root.read(&path, MAX_BYTES)?;
        targets.units.push((path, text, before));
    }
    let unit = format!("{}/{}", unit::UNITS, unit::name(directory));
    targets.has_unit =
        read(root, &unit).is_ok_and(|unit| unit.is_some_and(|unit| unit.text.starts_with(unit::NOTE)));
    if !root.is_host() {
        return Ok(targets);
    }
    if let Some(source) = source {
        if let unit::Source::Bind(from) = source {
            let entry = root.stat(from)?.filter(|entry| entry.kind == Kind::Directory);
            targets.bound = entry
                .map(|entry| Ok::<_, anyhow::Error>((entry.attributes, root.list(from)?.unwrap_or_default())))
                .transpose()?;
        }
        targets.disk = Some(disk::state(root, source, log, &wiring.manifest_path)?);
    }
    let pending = source.zip(targets.disk.as_ref());
    targets.storage = Some(storage::look(root, directory, name, pending, wiring.eviction)?);
    Ok(targets)
}

/// The version of the Kubernetes that is installed: as kind's node image says, else as the kubelet does.
/// `None` where there is none, or where the root isn't the running system's.
pub fn installed_version(root: &Root) -> Option<Version> {
    if let Ok(Some(text)) = read(root, KIND_VERSION)
        && let Some(version) = Version::parse(text.text.trim())
    {
        return Some(version);
    }
    if !root.is_host() {
        return None;
    }
    let kubelet = KUBELETS.iter().find(|path| matches!(root.stat(path), Ok(Some(_))))?;
    // "Kubernetes v1.30.2"
    log::info!("asking {kubelet} for its version");
    let output = process::output(process::command(kubelet, &["--version"]), "", Duration::from_secs(5));
    let output = output.inspect_err(|error| log::warn!("{error:#}")).ok()?;
    Version::parse(output.trim().rsplit(' ').next()?)
}

/// Reads a text file. `None` where there is none.
pub fn read(root: &Root, path: &str) -> Result<Option<Text>> {
    let Some(snapshot) = root.read(path, MAX_BYTES)? else {
        return Ok(None);
    };
    // The place follows the path as the node sees it: PATH:LINE:COLUMN.
    let text = text_of(&snapshot.bytes).map_err(|error| anyhow!("{path}:{error}"))?.to_owned();
    Ok(Some(Text { path: path.to_owned(), text, snapshot }))
}

/// Bytes as text. Errors name the line and column of what is none.
pub fn text_of(bytes: &[u8]) -> Result<&str> {
    let (valid, error) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => (std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(), Some(error)),
    };
    let end = match (valid.find('\0'), error) {
        (Some(end), _) => end,
        (None, Some(_)) => valid.len(),
        (None, None) => return Ok(valid),
    };
    bail!("{}: this is no text file", crate::yaml::tree::place_at(valid, end))
}

/// `staticPodPath` of the kubelet's configuration, else where kubeadm puts it.
fn manifest_directory(root: &Root) -> Result<String> {
    let Some(config) = read(root, KUBELET_CONFIG)? else {
        return Ok(MANIFEST_DIRECTORY.to_owned());
    };
    // The kubelet reads more than we do, and a worker's boot must not fail for that.
    let documents = crate::yaml::parse(&config.text).unwrap_or_else(|fault| {
        log::warn!("{KUBELET_CONFIG}:{fault}; taking {MANIFEST_DIRECTORY} for the manifest directory");
        Vec::new()
    });
    let path = documents.first().and_then(|document| document.root.get("staticPodPath")?.scalar());
    let path = path.filter(|path| path.starts_with('/')).unwrap_or(MANIFEST_DIRECTORY);
    Ok(path.trim_end_matches('/').to_owned())
}

/// The files beside the manifest that the kubelet would read: every name without a dot at its start. What can't
/// be a pod is left out, as the kubelet goes on past it: what is no file, no text, or a link to nothing. A file that
/// can't be read just now may well be one, and is an error.
fn beside(root: &Root, manifest_path: &str) -> Result<Vec<Text>> {
    let directory = parent(manifest_path);
    let mut texts = Vec::new();
    for name in root.list(directory)?.unwrap_or_default() {
        let path = format!("{directory}/{name}");
        if name.starts_with('.') || path == manifest_path {
            continue;
        }
        match root.stat(&path) {
            Ok(Some(entry)) if entry.kind != Kind::File => continue,
            Ok(Some(entry)) if entry.size > MAX_BYTES as u64 => {
                log::warn!("{}: {} bytes, too large to be looked at", root.shown(&path), entry.size);
                continue;
            }
            Ok(_) => {}
            Err(error) if stays_wrong(&error) => continue,
            Err(error) => return Err(error),
        }
        let Some(snapshot) = root.read(&path, MAX_BYTES)? else { continue };
        if let Ok(text) = text_of(&snapshot.bytes) {
            texts.push(Text { path, text: text.to_owned(), snapshot });
        }
    }
    Ok(texts)
}

/// Whether what lies at a path is itself wrong (a link to nothing or in a circle, no directory, no file, no text), so
/// that nobody else can read it either; not so what fails just now, such as a disk.
pub fn stays_wrong(error: &anyhow::Error) -> bool {
    let failed = error.downcast_ref::<Failed>();
    failed.is_none_or(|failed| matches!(failed.errno, Errno::ELOOP | Errno::ENOTDIR))
}
