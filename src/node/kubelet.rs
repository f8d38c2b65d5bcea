//! The kubelet of a node: its version, its manifest directory, and how much of its file system it keeps free.

use std::time::Duration;

use anyhow::Result;

use super::process;
use super::root::Root;
use crate::audit::version::Version;
use crate::config::Config;
use crate::facts::file::FileKind;
use crate::path::{clean, parent};
use crate::storage::forecast::{self, Share};

const MANIFEST_DIRECTORY: &str = "/etc/kubernetes/manifests";
const MANIFEST: &str = "kube-apiserver.yaml";

/// Where the kubelet writes the logs of containers, unless `podLogsDir` of its configuration says otherwise.
const POD_LOGS: &str = "/var/log/pods";

pub const KUBELET_CONFIG: &str = "/var/lib/kubelet/config.yaml";

/// The files with the kubelet's flags, in the order in which they come on its command line
/// (`kubernetes/release`, `10-kubeadm.conf`).
const FLAG_FILES: &[&str] =
    &["/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet", "/etc/sysconfig/kubelet"];
/// What separates the words in these files: `KUBELET_EXTRA_ARGS="--a=b --c"`.
const SEPARATORS: [char; 5] = [' ', '\t', '\r', '"', '\''];

/// In a kind node image, the Kubernetes version that it was built from.
const KIND_VERSION: &str = "/kind/version";

/// The paths of the kubelet in distributions, kind and Flatcar.
const KUBELETS: &[&str] = &["/usr/bin/kubelet", "/usr/local/bin/kubelet", "/opt/bin/kubelet"];

/// The path of the manifest: `manifest.path` of the configuration, or else in the kubelet's manifest directory.
pub fn manifest_path(root: &Root, config: &Config) -> Result<String> {
    Ok(match &config.manifest_path {
        Some(path) => path.clone(),
        None => StaticPods::of(root)?.manifest(root)?,
    })
}

/// The path of the manifest where nothing says another one.
pub fn default_manifest_path() -> String {
    format!("{MANIFEST_DIRECTORY}/{MANIFEST}")
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

/// Where the kubelet of a node looks for static pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticPods {
    /// Its path of static pods; `None` if it has none.
    path: Option<String>,
    /// It also takes static pods from a URL.
    pub has_url: bool,
}

impl StaticPods {
    /// Reads the settings of the kubelet. Its flag comes before its configuration.
    ///
    /// # Errors
    ///
    /// Its configuration can't be read.
    pub fn of(root: &Root) -> Result<StaticPods> {
        let absolute = |base: &str, path: &str| match path {
            "" => None,
            _ if path.starts_with('/') => Some(clean(path)),
            _ => Some(clean(&format!("{base}/{path}"))),
        };
        let config = root.text(KUBELET_CONFIG)?;
        // The kubelet accepts more YAML than this program, and a worker's boot must not fail because of that.
        let documents = config.as_ref().map(|config| {
            crate::yaml::parse(&config.text).inspect_err(|fault| {
                log::warn!(
                    "{KUBELET_CONFIG}:{fault}; using {MANIFEST_DIRECTORY} as the manifest directory; if it is another \
                     one, set manifest.path"
                );
            })
        });
        let documents = match documents {
            Some(Ok(documents)) => documents,
            Some(Err(_)) | None => {
                let path = flag(root).map_or(Some(MANIFEST_DIRECTORY.to_owned()), |path| absolute("/", &path));
                return Ok(StaticPods { path, has_url: false });
            }
        };
        let field = |name: &str| documents.first().and_then(|document| document.root.get(name)?.str());
        let path = match flag(root) {
            Some(path) => absolute("/", &path),
            // A relative path begins at the directory of the configuration (`cmd/kubelet/app/server.go`).
            None => absolute(parent(KUBELET_CONFIG), field("staticPodPath").unwrap_or_default()),
        };
        Ok(StaticPods { path, has_url: field("staticPodURL").is_some_and(|url| !url.is_empty()) })
    }

    /// Does the kubelet run no manifest from a file?
    pub fn has_no_path(&self) -> bool {
        self.path.is_none()
    }

    /// The path of the API server's manifest. The kubelet's path can be that of a single file.
    pub fn manifest(&self, root: &Root) -> Result<String> {
        let path = self.path.as_deref().unwrap_or(MANIFEST_DIRECTORY);
        let is_file = root.stat(path)?.is_some_and(|entry| entry.kind == FileKind::File);
        Ok(if is_file { path.to_owned() } else { format!("{path}/{MANIFEST}") })
    }

    /// Does the kubelet read the other files in the directory of this manifest?
    pub fn is_directory_of(&self, manifest: &str) -> bool {
        self.path.as_deref() != Some(manifest)
    }
}

/// The kubelet's flag `--pod-manifest-path`: of the running kubelet, or else in the files from which the units of
/// Kubernetes' packages take its flags, in their order.
fn flag(root: &Root) -> Option<String> {
    let running = || {
        let (pid, _) = process::running().find(|(pid, _)| process::is_kubelet(*pid))?;
        Some(process::words(pid))
    };
    let words = root.is_host().then(running).flatten().unwrap_or_else(|| {
        let texts = FLAG_FILES.iter().filter_map(|path| root.text(path).ok()?).map(|file| file.text);
        let values = |text: String| -> Vec<String> {
            let values = text.lines().filter_map(|line| line.trim_start().split_once('='));
            let values = values.filter(|(name, _)| !name.starts_with('#')).map(|(_, value)| value);
            values.flat_map(|value| value.split(SEPARATORS)).map(str::to_owned).collect()
        };
        texts.flat_map(values).collect()
    });
    let given = words.iter().enumerate().filter_map(|(at, word)| {
        let rest = word.strip_prefix("--pod-manifest-path")?;
        rest.strip_prefix('=').or_else(|| words.get(at + 1).map(String::as_str).filter(|_| rest.is_empty()))
    });
    given.last().map(str::to_owned)
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
    fn the_manifest_is_where_the_kubelet_reads_it() {
        let usual = default_manifest_path();
        for (config, flags, wanted, has_no_path) in [
            (None, "", usual.as_str(), false),
            (Some("staticPodPath: /etc/pods"), "", "/etc/pods/kube-apiserver.yaml", false),
            (Some("staticPodPath: /etc//pods/"), "", "/etc/pods/kube-apiserver.yaml", false),
            (Some("staticPodPath: pods"), "", "/var/lib/kubelet/pods/kube-apiserver.yaml", false),
            (Some("staticPodPath: /etc/one.yaml"), "", "/etc/one.yaml", false),
            (Some("staticPodPath: \"\""), "", &usual, true),
            (Some("kind: KubeletConfiguration"), "", &usual, true),
            (Some("staticPodPath: ~"), "", &usual, true),
            (Some("staticPodPath: /a"), "X=\"--v=2 --pod-manifest-path=/b\"", "/b/kube-apiserver.yaml", false),
            (Some("kind: x"), "X=--pod-manifest-path /b", "/b/kube-apiserver.yaml", false),
            (None, "X=--pod-manifest-path=/etc/one.yaml", "/etc/one.yaml", false),
            (None, "# X=--pod-manifest-path=/b", &usual, false),
            (None, "X=--pod-manifest-path=/a\nY='--pod-manifest-path=/b'", "/b/kube-apiserver.yaml", false),
            (Some("staticPodPath: /a"), "X=--pod-manifest-path=", &usual, true),
            (Some("staticPodPath: /a"), "X=--pod-manifest-path-of=/b", "/a/kube-apiserver.yaml", false),
        ] {
            let node = Node::with(&[("/etc/one.yaml", "kind: Pod")]);
            config.inspect(|config| node.put(KUBELET_CONFIG, config));
            node.put("/etc/default/kubelet", flags);
            let pods = StaticPods::of(&node.root).unwrap();
            let found = (pods.manifest(&node.root).unwrap(), pods.has_no_path());
            assert_eq!(found, (wanted.to_owned(), has_no_path), "{config:?} {flags}");
            assert_eq!(pods.is_directory_of(wanted), wanted != "/etc/one.yaml", "{config:?} {flags}");
        }
    }

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
