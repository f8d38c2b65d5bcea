//! Reads everything on a node that a plan depends on.

use anyhow::{Result, bail};

use super::hidden;
use super::kubelet::{manifest_path, usual_manifest_path};
use super::root::{Root, split, stays_wrong};
use super::{backup, cluster, disk, gather, in_force, storage};
use crate::config::{Config, KUBEADM_CONFIGS};
use crate::facts::distribution::{DISTRIBUTIONS, Distribution};
use crate::facts::file::{FileKind, Owner, Text, text_of};
use crate::facts::{Directory, Facts, Paths, Targets, Unit};
use crate::path::parent;
use crate::storage::unit;
use crate::yaml::tree::MAX_BYTES;

/// The kubelet's kubeconfig, which kubeadm writes when a node joins or is initialised.
const KUBELET_KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";
const API_SERVER_CERTIFICATE: &str = "/etc/kubernetes/pki/apiserver.crt";

/// Reads the facts of a node. With `required`, each kubeadm configuration that is named must exist.
///
/// # Errors
///
/// A file can't be read as text, or a file that was named doesn't exist.
pub fn observe(root: &Root, config: &Config, required: bool) -> Result<Facts> {
    let manifest_path = manifest_path(root, config)?;
    let manifest = manifest(root, &manifest_path)?;
    if manifest.is_none() && config.manifest_path.is_some() {
        let usual = usual_manifest_path(root)?;
        if root.stat(&usual)?.is_some() {
            bail!("{manifest_path}: manifest.path does not exist, but {usual} does; correct manifest.path");
        }
    }
    log::info!("{manifest_path}: {}", if manifest.is_some() { "found, the manifest" } else { "no manifest" });
    let (mut kubeadm, mut unreadable): (Vec<Text>, Vec<String>) = (Vec::new(), Vec::new());
    let configured = config.kubeadm_configs.as_deref();
    let default = KUBEADM_CONFIGS.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    for path in configured.unwrap_or(&default) {
        match root.text(path) {
            Ok(Some(text)) => {
                // Two names of the same file count once.
                if !kubeadm.iter().any(|known| known.snapshot.identity == text.snapshot.identity) {
                    log::info!("{path}: found, a kubeadm configuration");
                    kubeadm.push(text);
                }
            }
            Ok(None) if required => {
                bail!("{}: there is no such file; name an existing kubeadm configuration file", root.shown(path))
            }
            Ok(None) => {}
            Err(error) if configured.is_none() && stays_wrong(&error) => unreadable.push(format!("{error:#}")),
            Err(error) => return Err(error),
        }
    }
    // Only on a control plane is there an API server to ask.
    let asks = config.cluster && manifest.is_some() && root.is_host();
    Ok(Facts {
        cluster: asks.then(|| cluster::read().map_err(|error| format!("{error:#}"))),
        unreadable,
        beside: beside(root, &manifest_path)?,
        running: manifest.as_ref().and_then(|manifest| in_force::look(root, manifest)),
        readers: manifest.as_ref().map(|manifest| in_force::readers(root, manifest, config)).unwrap_or_default(),
        unfinished: backup::unfinished_paths(root),
        manifest,
        manifest_path,
        kubeadm,
        joined: root.stat(KUBELET_KUBECONFIG)?.is_some(),
        certified: is_certified(root)?,
        distribution: distribution(root)?,
        live: root.is_host(),
        owner: Owner { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() },
    })
}

/// The distribution without kubeadm that has left its signs on the node.
fn distribution(root: &Root) -> Result<Option<&'static Distribution>> {
    let release = root.text("/etc/os-release").ok().flatten().map(|file| file.text).unwrap_or_default();
    let os = release.lines().find_map(|line| line.strip_prefix("ID=")).map(|id| id.trim_matches('"'));
    for known in DISTRIBUTIONS {
        for sign in known.signs {
            if root.stat(sign)?.is_some() {
                return Ok(Some(known));
            }
        }
        if os.is_some() && os == known.os {
            return Ok(Some(known));
        }
    }
    Ok(None)
}

/// Whether the node has the API server's certificate, which only control planes have.
pub fn is_certified(root: &Root) -> Result<bool> {
    Ok(root.stat(API_SERVER_CERTIFICATE)?.is_some())
}

/// Whether the node is a worker: it has joined a cluster and is not a control plane. Needs no configuration.
pub fn is_worker(root: &Root) -> Result<bool> {
    Ok(root.stat(KUBELET_KUBECONFIG)?.is_some() && !is_certified(root)?)
}

/// Reads the manifest. `None` if there is none.
///
/// # Errors
///
/// Among others, a run has hidden it from the kubelet.
pub fn manifest(root: &Root, path: &str) -> Result<Option<Text>> {
    if hidden::is_hidden(root, path)? {
        bail!(
            "{path}: another run has hidden it from the kubelet: that run still works, or was interrupted; \
             run kube-audit-bootstrap apply"
        );
    }
    root.text(path)
}

/// Reads what is at the paths that a plan may write.
pub fn targets(root: &Root, config: &Config, paths: &Paths) -> Result<Targets> {
    let mut targets = Targets::default();
    for path in &paths.policies {
        targets.policies.insert(path.clone(), root.read(path, MAX_BYTES)?);
    }
    for path in &paths.directories {
        let attributes = match root.stat(path)? {
            None => None,
            Some(entry) if entry.kind == FileKind::Directory => {
                Some(Directory { attributes: entry.attributes, names: root.list(path)?.unwrap_or_default() })
            }
            Some(entry) => bail!(
                "{}: this is {}, and the audit log needs a directory here; move it away",
                root.shown(path),
                entry.kind
            ),
        };
        targets.directories.insert(path.clone(), attributes);
    }
    for log in &paths.logs {
        let (directory, name) = split(log)?;
        for other in
            targets.directories.get(directory).and_then(|found| Some(&found.as_ref()?.names)).into_iter().flatten()
        {
            let path = format!("{directory}/{other}");
            if gather::is_log(name, other) {
                // A link, or what is not a regular file, belongs to another program.
                let entry = root.stat(&path).ok().flatten();
                let entry = entry.filter(|entry| {
                    entry.kind == FileKind::File && root.real(&path).is_ok_and(|real| real == path)
                });
                targets.logs.insert(path, entry.map(|entry| entry.attributes));
            }
        }
    }
    let Some(log) = paths.logs.first() else { return Ok(targets) };
    let (directory, name) = split(log)?;
    let source = config.storage.source.as_ref();
    for (path, text) in source.map(|source| unit::files(source, directory)).into_iter().flatten() {
        let before = root.read(&path, MAX_BYTES)?;
        targets.units.push(Unit { path, text, before });
    }
    let unit = format!("{}/{}", unit::UNITS, unit::name(directory));
    targets.has_unit =
        root.text(&unit).is_ok_and(|unit| unit.is_some_and(|unit| unit.text.starts_with(unit::NOTE)));
    if !root.is_host() {
        return Ok(targets);
    }
    if let Some(source) = source {
        if let unit::MountSource::Bind(from) = source {
            let entry = root.stat(from)?.filter(|entry| entry.kind == FileKind::Directory);
            if let Some(entry) = entry {
                let names = root.list(from)?.unwrap_or_default();
                targets.bound = Some(Directory { attributes: entry.attributes, names });
            }
        }
        targets.disk = Some(disk::look(root, source, log, &paths.manifest)?);
    }
    let pending = source.zip(targets.disk.as_ref());
    targets.storage = Some(storage::look(root, directory, name, pending, paths.eviction)?);
    Ok(targets)
}

/// The other files in the manifest directory that the kubelet would read: every name that does not begin with a dot.
/// What can't be a pod is left out, because the kubelet skips it: what is not a regular file, not text, or a link to
/// a missing file. A file that can't be read at the moment may define a pod, so it is an error.
fn beside(root: &Root, manifest_path: &str) -> Result<Vec<Text>> {
    let directory = parent(manifest_path);
    let mut texts = Vec::new();
    for name in root.list(directory)?.unwrap_or_default() {
        let path = format!("{directory}/{name}");
        if name.starts_with('.') || path == manifest_path {
            continue;
        }
        match root.stat(&path) {
            Ok(Some(entry)) if entry.kind != FileKind::File => continue,
            Ok(Some(entry)) if entry.size > MAX_BYTES as u64 => {
                log::warn!(
                    "{}: {} bytes, too large to read; not checked for the API server's pod",
                    root.shown(&path),
                    entry.size
                );
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
