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
use crate::wiring::manifest::identify_pod;

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
    /// Its settings are there; if not, the path is kubeadm's.
    is_known: bool,
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
                let flag = flag(root);
                let is_known = flag.is_some();
                let path = flag.map_or(Some(MANIFEST_DIRECTORY.to_owned()), |path| absolute("/", &path));
                return Ok(StaticPods { path, is_known, has_url: false });
            }
        };
        let field = |name: &str| documents.first().and_then(|document| document.root.get(name)?.str());
        let path = match flag(root) {
            Some(path) => absolute("/", &path),
            // A relative path begins at the directory of the configuration (`cmd/kubelet/app/server.go`).
            None => absolute(parent(KUBELET_CONFIG), field("staticPodPath").unwrap_or_default()),
        };
        Ok(StaticPods { path, is_known: true, has_url: field("staticPodURL").is_some_and(|url| !url.is_empty()) })
    }

    /// The kubelet's path, if it does not read this manifest by it; an empty text if it has no path.
    ///
    /// # Errors
    ///
    /// A link that leads nowhere.
    pub fn elsewhere(&self, root: &Root, manifest: &str) -> Result<Option<String>> {
        let Some(path) = &self.path else { return Ok(Some(String::new())) };
        if !self.is_known {
            return Ok(None);
        }
        let reads = [manifest, parent(manifest)].contains(&path.as_str())
            || root.stat(path)?.is_some()
                && [root.real(manifest)?.as_str(), &root.real(parent(manifest))?]
                    .contains(&root.real(path)?.as_str());
        Ok((!reads).then(|| path.clone()))
    }

    /// The path of the API server's manifest. The kubelet's path can be that of a single file.
    pub fn manifest(&self, root: &Root) -> Result<String> {
        let path = self.path.as_deref().unwrap_or(MANIFEST_DIRECTORY);
        if !self.is_known || root.stat(path)?.is_none_or(|entry| entry.kind != FileKind::File) {
            return Ok(format!("{path}/{MANIFEST}"));
        }
        // A worker can have a single pod of its own.
        let text = root.text(path)?.map(|file| file.text).unwrap_or_default();
        let is_other = identify_pod(&text).is_ok_and(|pod| pod.is_some_and(|(_, runs)| !runs));
        Ok(if is_other { default_manifest_path() } else { path.to_owned() })
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
        let (pid, _) = process::running().find(|(pid, name)| name == "kubelet" && process::is_kubelet(*pid))?;
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
    let mut given = words.iter().enumerate().filter_map(|(at, word)| {
        let rest = word.strip_prefix("--pod-manifest-path")?;
        rest.strip_prefix('=').or_else(|| words.get(at + 1).map(String::as_str).filter(|_| rest.is_empty()))
    });
    given.next_back().map(str::to_owned)
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
        for (config, flags, wanted, elsewhere_is) in [
            (None, "", usual.as_str(), None),
            (Some("staticPodPath: /etc/pods"), "", "/etc/pods/kube-apiserver.yaml", None),
            (Some("staticPodPath: /etc//pods/"), "", "/etc/pods/kube-apiserver.yaml", None),
            (Some("staticPodPath: pods"), "", "/var/lib/kubelet/pods/kube-apiserver.yaml", None),
            (Some("staticPodPath: /etc/one.yaml"), "", "/etc/one.yaml", None),
            (Some("staticPodPath: /etc/other.yaml"), "", &usual, Some("/etc/other.yaml")),
            (Some("staticPodPath: \"\""), "", &usual, Some("")),
            (Some("kind: KubeletConfiguration"), "", &usual, Some("")),
            (Some("staticPodPath: ~"), "", &usual, Some("")),
            (Some("staticPodPath: /a"), "X=\"--v=2 --pod-manifest-path=/b\"", "/b/kube-apiserver.yaml", None),
            (Some("kind: x"), "X=--pod-manifest-path /b", "/b/kube-apiserver.yaml", None),
            (None, "X=--pod-manifest-path=/etc/one.yaml", "/etc/one.yaml", None),
            (None, "# X=--pod-manifest-path=/b", &usual, None),
            (None, "X=--pod-manifest-path=/a\nY='--pod-manifest-path=/b'", "/b/kube-apiserver.yaml", None),
            (Some("staticPodPath: /a"), "X=--pod-manifest-path=", &usual, Some("")),
            (Some("staticPodPath: /a"), "X=--pod-manifest-path-of=/b", "/a/kube-apiserver.yaml", None),
        ] {
            let runs = "kind: Pod\nspec: {containers: [{name: a, command: [kube-apiserver]}]}\n";
            let other = "kind: Pod\nspec: {containers: [{name: a, command: [nginx]}]}\n";
            let node = Node::with(&[("/etc/one.yaml", runs), ("/etc/other.yaml", other)]);
            config.inspect(|config| node.put(KUBELET_CONFIG, config));
            node.put("/etc/default/kubelet", flags);
            let pods = StaticPods::of(&node.root).unwrap();
            let manifest = pods.manifest(&node.root).unwrap();
            let elsewhere = pods.elsewhere(&node.root, &manifest).unwrap();
            assert_eq!((manifest.as_str(), elsewhere.as_deref()), (wanted, elsewhere_is), "{config:?} {flags}");
            assert_eq!(pods.is_directory_of(wanted), wanted != "/etc/one.yaml", "{config:?} {flags}");
        }
    }

    #[test]
    fn a_manifest_that_the_kubelet_does_not_read_is_known() {
        let node = Node::with(&[("/etc/pods/a.yaml", ""), (KUBELET_CONFIG, "staticPodPath: /etc/pods")]);
        node.link("/etc/link", "/etc/pods");
        let pods = StaticPods::of(&node.root).unwrap();
        for (manifest, reads) in [
            ("/etc/pods/a.yaml", true),
            ("/etc/link/a.yaml", true),
            ("/etc/pods/b/a.yaml", false),
            ("/etc/a.yaml", false),
        ] {
            assert_eq!(pods.elsewhere(&node.root, manifest).unwrap().is_none(), reads, "{manifest}");
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
