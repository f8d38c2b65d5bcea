//! The kubelet of a node: its version, its manifest directory, and how much of its file system it keeps free.

use std::time::Duration;

use anyhow::Result;

use super::process;
use super::root::Root;
use crate::audit::version::Version;
use crate::config::Config;
use crate::storage::forecast::{self, Share};

const MANIFEST_DIRECTORY: &str = "/etc/kubernetes/manifests";

/// Where the kubelet writes the logs of containers, unless `podLogsDir` of its configuration says otherwise.
const POD_LOGS: &str = "/var/log/pods";

const KUBELET_CONFIG: &str = "/var/lib/kubelet/config.yaml";

/// In a kind node image, the Kubernetes version that it was built from.
const KIND_VERSION: &str = "/kind/version";

/// The paths of the kubelet in distributions, kind and Flatcar.
const KUBELETS: &[&str] = &["/usr/bin/kubelet", "/usr/local/bin/kubelet", "/opt/bin/kubelet"];

/// The path of the manifest: `manifest.path` of the configuration, or else in the kubelet's manifest directory.
pub fn manifest_path(root: &Root, config: &Config) -> Result<String> {
    Ok(match &config.manifest_path {
        Some(path) => path.clone(),
        None => usual_manifest_path(root)?,
    })
}

/// The path of the manifest where nothing says another one.
pub fn default_manifest_path() -> String {
    format!("{MANIFEST_DIRECTORY}/kube-apiserver.yaml")
}

/// The path where kubeadm writes the manifest.
pub fn usual_manifest_path(root: &Root) -> Result<String> {
    Ok(format!("{}/kube-apiserver.yaml", manifest_directory(root)?))
}

/// The Kubernetes version that is installed: from a kind node image, or else from the kubelet. `None` if there is no
/// kubelet, or the root directory is not the running system's.
pub fn installed_version(root: &Root) -> Option<Version> {
    if let Ok(Some(text)) = root.text(KIND_VERSION)
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

/// The manifest directory: `staticPodPath` of the kubelet's configuration, or else kubeadm's default.
fn manifest_directory(root: &Root) -> Result<String> {
    let Some(config) = root.text(KUBELET_CONFIG)? else {
        return Ok(MANIFEST_DIRECTORY.to_owned());
    };
    // The kubelet accepts more YAML than this program, and a worker's boot must not fail because of that.
    let documents = crate::yaml::parse(&config.text).unwrap_or_else(|fault| {
        log::warn!(
            "{KUBELET_CONFIG}:{fault}; using {MANIFEST_DIRECTORY} as the manifest directory; if it is another one, \
             set manifest.path"
        );
        Vec::new()
    });
    let path = documents.first().and_then(|document| document.root.get("staticPodPath")?.scalar());
    let path = path.filter(|path| path.starts_with('/')).unwrap_or(MANIFEST_DIRECTORY);
    Ok(path.trim_end_matches('/').to_owned())
}

/// The directory of the logs of containers: `podLogsDir` of the kubelet's configuration, or else its default.
pub fn pod_logs(root: &Root) -> String {
    let read = || {
        let config = root.text(KUBELET_CONFIG).ok()??;
        let path = crate::yaml::parse(&config.text).ok()?.first()?.root.get("podLogsDir")?.scalar()?.to_owned();
        path.starts_with('/').then_some(path)
    };
    read().unwrap_or_else(|| POD_LOGS.to_owned())
}

/// What the kubelet keeps free of its file system. `None` if it has no configuration that can be read.
pub fn eviction(root: &Root) -> Option<Share> {
    let config = root.text(KUBELET_CONFIG).ok()??;
    Some(forecast::eviction(&crate::yaml::parse(&config.text).ok()?.first()?.root))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Node;
    use super::*;

    #[test]
    fn logs_of_containers_are_where_the_kubelets_configuration_says() {
        for (config, wanted) in [
            (None, "/var/log/pods"),
            (Some("kind: KubeletConfiguration\n"), "/var/log/pods"),
            (Some("podLogsDir: /data/pods\n"), "/data/pods"),
            (Some("podLogsDir: data\n"), "/var/log/pods"),
            (Some("podLogsDir: [\n"), "/var/log/pods"),
        ] {
            let node = Node::new();
            config.inspect(|config| node.put(KUBELET_CONFIG, config));
            assert_eq!(pod_logs(&node.root), wanted, "{config:?}");
        }
    }
}
