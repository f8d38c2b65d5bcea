//! Looks at what the settings name on the node, before something else stumbles over it: the error then says which setting
//! to correct, and not that the user moves away what is there.

use anyhow::Result;

use crate::config::Config;
use crate::config::misuse::Misuse;
use crate::facts::Paths;
use crate::facts::file::FileKind;
use crate::node::root::Root;
use crate::path::parent;
use crate::plan::Intent;

/// Looks at what is read first: the manifest, the kubeadm configuration files, and the patches.
///
/// # Errors
///
/// A setting names a directory instead of a file, or a file instead of a directory, or a file that is not there (a
/// [`Misuse`]).
pub(super) fn check(root: &Root, intent: &Intent<'_>) -> Result<()> {
    if let Some(path) = &intent.config.manifest_path {
        file(root, "manifest.path", path, "kube-apiserver.yaml")?;
    }
    let setting = match (intent.occasion.is_kubeadm(), intent.required) {
        (true, _) => "--config",
        (false, true) => "--kubeadm-config",
        (false, false) => "kubeadm.configs",
    };
    for path in intent.config.kubeadm_configs.iter().flatten() {
        file(root, setting, path, "kubeadm.yaml")?;
        if intent.required && matches!(root.stat(path), Ok(None)) {
            return Err(Misuse(format!(
                "{}: there is no such file; name an existing kubeadm configuration file",
                root.shown(path)
            ))
            .into());
        }
    }
    intent.kubeadm.patches.as_ref().map_or(Ok(()), |path| directory(root, "--patches", path))
}

/// Looks at what is written, and at what the API server reads.
///
/// # Errors
///
/// As [`check`].
pub(super) fn check_paths(root: &Root, config: &Config, paths: &Paths) -> Result<()> {
    let policy = &config.policy_path;
    if paths.policies.contains(policy) && !root.is_stand_in(policy) {
        // Not in the manifest directory.
        let is_among_manifests = parent(&paths.manifest) == policy;
        let example = if is_among_manifests { "/etc/kubernetes/audit-policy.yaml" } else { "audit-policy.yaml" };
        file(root, "policy.path", policy, example)?;
    }
    if let Some(webhook) = &config.webhook {
        file(root, "webhook.configFile", &webhook.config_file, "audit-webhook.conf")?;
    }
    config.storage.bind().map_or(Ok(()), |path| directory(root, "storage.bind", path))
}

/// `example`: the path of a file that may be meant, or its name in the directory.
///
/// # Errors
///
/// A setting that must name a file names a directory (a [`Misuse`]).
pub(super) fn file(root: &Root, setting: &str, path: &str, example: &str) -> Result<()> {
    match root.stat(path) {
        Ok(Some(entry)) if entry.kind == FileKind::Directory => {
            let shown = root.shown(path);
            let directory = path.trim_end_matches('/');
            let is_named_as_file = directory.rsplit('/').next().is_some_and(|name| name.contains('.'));
            Err(Misuse(match (is_named_as_file, example.starts_with('/')) {
                (true, _) => format!(
                    "{shown}: {setting} names this directory, where a file must be; if nothing needs it, move it away, or \
                     name another file in {setting}"
                ),
                (false, true) => format!("{shown}: {setting} names this directory; name a file, such as {example}"),
                (false, false) => {
                    format!("{shown}: {setting} names this directory; name a file in it, such as {directory}/{example}")
                }
            })
            .into())
        }
        // Whoever reads it says what is wrong.
        _ => Ok(()),
    }
}

/// # Errors
///
/// A setting that must name a directory names a file (a [`Misuse`]).
fn directory(root: &Root, setting: &str, path: &str) -> Result<()> {
    match root.stat(path) {
        Ok(Some(entry)) if entry.kind != FileKind::Directory => Err(Misuse(format!(
            "{}: {setting} names {}, and takes a directory; name one, such as {}",
            root.shown(path),
            entry.kind,
            parent(path)
        ))
        .into()),
        _ => Ok(()),
    }
}
