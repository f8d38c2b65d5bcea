//! The kubelet of a node: its version, and what its flags and its configuration say.

use std::time::Duration;

use anyhow::Result;

use super::container::is_same;
use super::kubelet_unit;
use super::process;
use super::root::{Root, leads_to};
use crate::audit::flags;
use crate::audit::version::Version;
use crate::config::Config;
use crate::facts::Reads;
use crate::facts::file::FileKind;
use crate::path::{clean, parent};
use crate::pflag::Arguments;
use crate::storage::forecast::{self, Share};
use crate::wiring::manifest::identify_pod;

const MANIFEST_DIRECTORY: &str = "/etc/kubernetes/manifests";
const MANIFEST: &str = "kube-apiserver.yaml";

/// Where the kubelet writes the logs of containers, unless its configuration says otherwise.
const POD_LOGS: &str = "/var/log/pods";

/// Where kubeadm puts its configuration.
const KUBELET_CONFIG: &str = "/var/lib/kubelet/config.yaml";

/// How deep drop-in files of the kubelet may lie, and how many may be read.
const MAX_DEPTH: usize = 8;
const MAX_DROP_INS: usize = 256;

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
    match &config.manifest_path {
        Some(path) => Ok(path.clone()),
        None => Kubelet::of(root)?.manifest(root),
    }
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

/// The settings of a node's kubelet.
#[derive(Clone, Debug, PartialEq)]
pub struct Kubelet {
    /// The path of its configuration.
    pub config: String,
    /// Why its configuration does not count.
    pub fault: Option<String>,
    /// Its path of static pods; `None` if it has none.
    path: Option<String>,
    /// Its settings are there; if not, the path is kubeadm's.
    is_known: bool,
    /// It also takes static pods from a URL.
    pub has_url: bool,
    /// The directory of the logs of containers.
    pub pod_logs: String,
    /// What it keeps free of its file system, by its configuration.
    pub eviction: Option<Share>,
}

impl Kubelet {
    /// Reads the settings of the kubelet: its flags come before its configuration.
    ///
    /// # Errors
    ///
    /// Its configuration can't be read.
    pub fn of(root: &Root) -> Result<Kubelet> {
        let words = words(root);
        let absolute = |base: &str, path: &str| match path {
            "" => None,
            _ if path.starts_with('/') => Some(clean(path)),
            _ => Some(clean(&format!("{base}/{path}"))),
        };
        // systemd starts the kubelet in /.
        let named = flag(&words, "config").and_then(|path| absolute("/", path));
        let config = named.unwrap_or_else(|| KUBELET_CONFIG.to_owned());
        let (given, url) = (flag(&words, "pod-manifest-path"), flag(&words, "manifest-url"));
        let mut kubelet = Kubelet {
            fault: None,
            path: given.map_or(Some(MANIFEST_DIRECTORY.to_owned()), |path| absolute("/", path)),
            is_known: given.is_some(),
            has_url: url.is_some_and(|url| !url.is_empty()),
            pod_logs: POD_LOGS.to_owned(),
            eviction: None,
            config,
        };
        // A relative path begins at the directory of the configuration, but in a drop-in file where the kubelet runs.
        let mut files = vec![(kubelet.config.clone(), parent(&kubelet.config).to_owned())];
        if let Some(directory) = flag(&words, "config-dir").and_then(|path| absolute("/", path)) {
            drop_ins(root, &directory, 0, &mut files)?;
        }
        for (file, base) in files {
            let Some(text) = root.text(&file)? else { continue };
            // The kubelet accepts more YAML than this program, and a worker's boot must not fail because of that.
            let documents = match crate::yaml::parse(&text.text) {
                Ok(documents) => documents,
                Err(fault) => {
                    kubelet.fault = Some(format!("{file}:{fault}"));
                    continue;
                }
            };
            let Some(document) = documents.first().map(|document| &document.root) else { continue };
            // A file replaces what an earlier one says, and a null removes it.
            let field = |name: &str| document.get(name).map(|node| node.str().unwrap_or_default());
            let is_first = !std::mem::replace(&mut kubelet.is_known, true) || file == kubelet.config;
            if let Some(path) = field("staticPodPath").or(is_first.then_some("")).filter(|_| given.is_none()) {
                kubelet.path = absolute(&base, path);
            }
            if let Some(of_file) = field("staticPodURL").filter(|_| url.is_none()) {
                kubelet.has_url = !of_file.is_empty();
            }
            if let Some(logs) = field("podLogsDir") {
                kubelet.pod_logs = Some(logs).filter(|logs| logs.starts_with('/')).unwrap_or(POD_LOGS).to_owned();
            }
            if is_first || document.get("evictionHard").is_some() {
                kubelet.eviction = Some(forecast::eviction(document));
            }
        }
        Ok(kubelet)
    }

    /// How the kubelet reads a manifest.
    ///
    /// # Errors
    ///
    /// A link that leads nowhere.
    pub fn reads(&self, root: &Root, manifest: &str) -> Result<Reads> {
        let Some(path) = &self.path else { return Ok(Reads::Not { path: None }) };
        if !self.is_known || path == parent(manifest) {
            return Ok(Reads::Directory);
        }
        Ok(match root.stat(path)?.map(|entry| entry.kind) {
            Some(FileKind::Directory) if is_same(root, path, parent(manifest)) => Reads::Directory,
            Some(FileKind::Directory) => Reads::Elsewhere { directory: path.clone() },
            _ if path == manifest => Reads::File,
            // Another name of the same file would keep the previous text when the manifest is replaced.
            Some(_) if leads_to(root, path, &root.real(manifest)?)? => Reads::File,
            _ => Reads::Not { path: Some(path.clone()) },
        })
    }

    /// The path of the API server's manifest. The kubelet's path can be that of a single file.
    ///
    /// # Errors
    ///
    /// The path can't be looked at.
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
}

/// Adds the drop-in files below a directory in the order in which the kubelet merges them over its configuration
/// (`mergeKubeletConfigurations` of `cmd/kubelet/app/server.go`), each with the directory where relative paths begin.
fn drop_ins(root: &Root, directory: &str, depth: usize, files: &mut Vec<(String, String)>) -> Result<()> {
    for name in root.list(directory)?.unwrap_or_default() {
        let path = format!("{directory}/{name}");
        // It follows no link to a directory.
        let is_directory = root.look(&path)?.is_some_and(|entry| entry.kind == FileKind::Directory);
        if is_directory && depth < MAX_DEPTH {
            drop_ins(root, &path, depth + 1, files)?;
        } else if !is_directory && name.ends_with(".conf") && files.len() <= MAX_DROP_INS {
            // systemd starts the kubelet in /.
            files.push((path, "/".to_owned()));
        }
    }
    Ok(())
}

/// The directory of the logs of containers. If the kubelet's configuration can't be read, its default.
pub fn pod_logs(root: &Root) -> String {
    Kubelet::of(root).map_or_else(|_| POD_LOGS.to_owned(), |kubelet| kubelet.pod_logs)
}

/// The words of the kubelet's command line: of the running kubelet, or else of its units. Without a unit, those in the
/// files from which the units of Kubernetes' packages take its flags, in their order.
fn words(root: &Root) -> Vec<String> {
    let running = || {
        let kubelets = process::running().filter(|(pid, name)| name == "kubelet" && process::is_kubelet(*pid));
        // A process that ends has no words.
        let mut all = kubelets.map(|(pid, _)| process::words(pid));
        let words = all.find(|words| !words.is_empty())?;
        Some(words.into_iter().skip(1).collect())
    };
    root.is_host().then(running).flatten().unwrap_or_else(|| {
        let units = kubelet_unit::read(root);
        if let Some(words) = units.words {
            return words;
        }
        let texts = FLAG_FILES.iter().filter_map(|path| root.text(path).ok()?).map(|file| file.text);
        let values = |text: String| -> Vec<String> {
            let values = text.lines().filter_map(|line| line.trim_start().split_once('='));
            let values = values.filter(|(name, _)| !name.starts_with('#')).map(|(_, value)| value);
            let words = values.flat_map(|value| value.split(SEPARATORS)).filter(|word| !word.is_empty());
            words.map(str::to_owned).collect()
        };
        let words = |value: &String| value.split(SEPARATORS).map(str::to_owned).collect::<Vec<_>>();
        let of_units = units.values.iter().flat_map(words).filter(|word| !word.is_empty());
        of_units.chain(texts.flat_map(values)).collect()
    })
}

/// The places of the kubelet's flags that are not read, and why. None, if a kubelet runs.
pub fn unread(root: &Root) -> Vec<String> {
    let runs = || process::running().any(|(pid, name)| name == "kubelet" && process::is_kubelet(pid));
    if root.is_host() && runs() { Vec::new() } else { kubelet_unit::read(root).unread }
}

/// The value of a flag among the kubelet's words, as it reads them. A kubelet with other words than flags ends, so a word
/// after a flag is its value, and a flag with none after it is a switch.
pub fn flag<'w>(words: &'w [String], name: &str) -> Option<&'w str> {
    let is_flag = |word: &String| word.starts_with('-');
    let switches: Vec<_> = (0..words.len())
        .filter(|at| words.get(at + 1).is_none_or(is_flag))
        .filter_map(|at| words[at].strip_prefix("--"))
        .collect();
    let read = Arguments::of(words, |name| switches.contains(&name), &[('h', "help")]);
    let found = read.flags.iter().rev().find(|flag| flags::normal(flag.written) == name)?;
    Some(found.value)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Node;
    use super::*;

    #[test]
    fn the_manifest_is_where_the_kubelet_reads_it() {
        let usual = default_manifest_path();
        let no = |path: &str| Reads::Not { path: Some(path).filter(|path| !path.is_empty()).map(str::to_owned) };
        for (config, flags, wanted, expected) in [
            (None, "", usual.as_str(), Reads::Directory),
            (Some("staticPodPath: /etc/pods"), "", "/etc/pods/kube-apiserver.yaml", Reads::Directory),
            (Some("staticPodPath: /etc//pods/"), "", "/etc/pods/kube-apiserver.yaml", Reads::Directory),
            (Some("staticPodPath: pods"), "", "/var/lib/kubelet/pods/kube-apiserver.yaml", Reads::Directory),
            (Some("staticPodPath: /etc/one.yaml"), "", "/etc/one.yaml", Reads::File),
            (Some("staticPodPath: /etc/other.yaml"), "", &usual, no("/etc/other.yaml")),
            (Some("staticPodPath: \"\""), "", &usual, no("")),
            (Some("kind: KubeletConfiguration"), "", &usual, no("")),
            (Some("staticPodPath: ~"), "", &usual, no("")),
            (
                Some("staticPodPath: /a"),
                "X=\"--v=2 --pod-manifest-path=/b\"",
                "/b/kube-apiserver.yaml",
                Reads::Directory,
            ),
            (Some("kind: x"), "X=--pod-manifest-path /b", "/b/kube-apiserver.yaml", Reads::Directory),
            (None, "X=--pod-manifest-path=/etc/one.yaml", "/etc/one.yaml", Reads::File),
            (None, "# X=--pod-manifest-path=/b", &usual, Reads::Directory),
            (
                None,
                "X=--pod-manifest-path=/a\nY='--pod-manifest-path=/b'",
                "/b/kube-apiserver.yaml",
                Reads::Directory,
            ),
            (Some("staticPodPath: /a"), "X=--pod-manifest-path=", &usual, no("")),
            (Some("staticPodPath: /a"), "X=--pod-manifest-path-of=/b", "/a/kube-apiserver.yaml", Reads::Directory),
        ] {
            let runs = "kind: Pod\nspec: {containers: [{name: a, command: [kube-apiserver]}]}\n";
            let other = "kind: Pod\nspec: {containers: [{name: a, command: [nginx]}]}\n";
            let node = Node::with(&[("/etc/one.yaml", runs), ("/etc/other.yaml", other)]);
            config.inspect(|config| node.put(KUBELET_CONFIG, config));
            node.put("/etc/default/kubelet", flags);
            let kubelet = Kubelet::of(&node.root).unwrap();
            let manifest = kubelet.manifest(&node.root).unwrap();
            let reads = kubelet.reads(&node.root, &manifest).unwrap();
            assert_eq!((manifest.as_str(), &reads), (wanted, &expected), "{config:?} {flags}");
        }
    }

    #[test]
    fn how_the_kubelet_reads_a_manifest_does_not_depend_on_links_in_its_path() {
        let no = |path: &str| Reads::Not { path: Some(path.to_owned()) };
        let elsewhere = || Reads::Elsewhere { directory: "/etc/pods".to_owned() };
        for (path, manifest, expected) in [
            ("/etc/pods", "/etc/pods/a.yaml", Reads::Directory),
            ("/etc/pods", "/etc/link/a.yaml", Reads::Directory),
            ("/etc/link", "/etc/pods/a.yaml", Reads::Directory),
            ("/short/pods", "/etc/pods/a.yaml", Reads::Directory),
            ("/etc/pods", "/short/pods/a.yaml", Reads::Directory),
            ("/short/pods", "/etc/pods/missing.yaml", Reads::Directory),
            ("/etc/none", "/etc/none/a.yaml", Reads::Directory),
            ("/etc/pods/a.yaml", "/etc/pods/a.yaml", Reads::File),
            ("/short/pods/a.yaml", "/etc/pods/a.yaml", Reads::File),
            ("/etc/one.yaml", "/etc/pods/a.yaml", Reads::File),
            ("/etc/pods", "/etc/pods/b/a.yaml", elsewhere()),
            ("/etc/pods", "/etc/a.yaml", elsewhere()),
            ("/etc/pods", "/srv/m", elsewhere()),
            ("/etc/none", "/etc/pods/a.yaml", no("/etc/none")),
            ("/etc/pods/b.yaml", "/etc/pods/a.yaml", no("/etc/pods/b.yaml")),
            ("", "/etc/pods/a.yaml", Reads::Not { path: None }),
        ] {
            let config = format!("staticPodPath: {path:?}\n");
            let files = [("/etc/pods/a.yaml", ""), ("/etc/pods/b.yaml", ""), (KUBELET_CONFIG, config.as_str())];
            let node = Node::with(&files);
            node.link("/etc/link", "pods");
            node.link("/short", "etc");
            node.link("/etc/one.yaml", "/short/pods/a.yaml");
            let kubelet = Kubelet::of(&node.root).unwrap();
            assert_eq!(kubelet.reads(&node.root, manifest).unwrap(), expected, "{path} {manifest}");
        }
    }

    #[test]
    fn the_configuration_that_counts_is_the_one_that_the_kubelet_is_told() {
        for (flags, config, wanted) in [
            ("", KUBELET_CONFIG, "/a"),
            ("X=--config=/etc/own.yaml", "/etc/own.yaml", "/b"),
            ("X=--fail-swap-on --config /etc/own.yaml", "/etc/own.yaml", "/b"),
            ("X=--config=/etc/own.yaml --pod_manifest_path=/c", "/etc/own.yaml", "/c"),
            ("X=--config=etc/own.yaml", "/etc/own.yaml", "/b"),
            ("X=--config=/etc/none.yaml", "/etc/none.yaml", MANIFEST_DIRECTORY),
        ] {
            let own = "staticPodPath: /b\npodLogsDir: /logs\nevictionHard: {nodefs.available: 1Gi}\n";
            let node = Node::with(&[
                (KUBELET_CONFIG, "staticPodPath: /a\n"),
                ("/etc/own.yaml", own),
                ("/etc/default/kubelet", flags),
            ]);
            let kubelet = Kubelet::of(&node.root).unwrap();
            let path = kubelet.path.as_deref();
            assert_eq!((kubelet.config.as_str(), path), (config, Some(wanted)), "{flags}");
            if config == "/etc/own.yaml" {
                let expected = ("/logs", Some(Share::Bytes(1 << 30)));
                assert_eq!((kubelet.pod_logs.as_str(), kubelet.eviction), expected, "{flags}");
            }
        }
    }

    #[test]
    fn a_url_of_static_pods_is_known_by_the_configuration_or_its_flag() {
        for (config, flags, has_url) in [
            ("kind: x\n", "", false),
            ("staticPodURL: http://a/b\n", "", true),
            ("staticPodURL: ftp://a/b\n", "", true),
            ("staticPodURL: ''\n", "", false),
            ("kind: x\n", "X=--manifest-url=http://a/b", true),
            ("kind: x\n", "X=--manifest_url http://a/b", true),
            ("staticPodURL: http://a/b\n", "X=--manifest-url=", false),
        ] {
            let node = Node::with(&[(KUBELET_CONFIG, config), ("/etc/default/kubelet", flags)]);
            assert_eq!(Kubelet::of(&node.root).unwrap().has_url, has_url, "{config} {flags}");
        }
    }

    #[test]
    fn drop_in_files_come_over_the_configuration_in_the_order_of_their_names() {
        const LATER: &str = "/etc/kubelet.d/20-b.conf";
        let of = |path: Option<&str>, url, logs: &str, share| {
            (path.map(str::to_owned), url, logs.to_owned(), Some(share))
        };
        let base = || of(Some("/a"), false, "/logs", Share::Bytes(1 << 30));
        for (flags, files, expected) in [
            ("", &[(LATER, "staticPodPath: /b\n")][..], base()),
            ("X=--config-dir=/etc/none", &[], base()),
            ("X=--config-dir=/etc/kubelet.d", &[], base()),
            (
                "X=--config-dir=/etc/kubelet.d",
                &[
                    (LATER, "staticPodPath: /c\npodLogsDir: /own\n"),
                    (
                        "/etc/kubelet.d/10-a.conf",
                        "staticPodPath: /b\nstaticPodURL: http://x\npodLogsDir: /never\n",
                    ),
                ],
                of(Some("/c"), true, "/own", Share::Bytes(1 << 30)),
            ),
            // Other names are ignored, and folders are read among the files.
            (
                "X=--config-dir=/etc/kubelet.d",
                &[
                    ("/etc/kubelet.d/90.yaml", "staticPodPath: /never\n"),
                    ("/etc/kubelet.d/30/x.conf", "staticPodPath: /d\n"),
                    (LATER, "staticPodPath: /c\n"),
                ],
                of(Some("/d"), false, "/logs", Share::Bytes(1 << 30)),
            ),
            (
                "X=--config_dir etc/kubelet.d",
                &[(LATER, "staticPodPath: pods\n")],
                of(Some("/pods"), false, "/logs", Share::Bytes(1 << 30)),
            ),
            (
                "X=--config-dir=/etc/kubelet.d",
                &[(LATER, "{staticPodPath: ~, podLogsDir: ~}")],
                of(None, false, POD_LOGS, Share::Bytes(1 << 30)),
            ),
            (
                "X=--config-dir=/etc/kubelet.d",
                &[(LATER, "evictionHard: {nodefs.available: 2Gi}\n")],
                of(Some("/a"), false, "/logs", Share::Bytes(2 << 30)),
            ),
            (
                "X=--config-dir=/etc/kubelet.d --pod-manifest-path=/f",
                &[(LATER, "staticPodPath: /c\n")],
                of(Some("/f"), false, "/logs", Share::Bytes(1 << 30)),
            ),
        ] {
            let own = "staticPodPath: /a\npodLogsDir: /logs\nevictionHard: {nodefs.available: 1Gi}\n";
            let node = Node::with(&[(KUBELET_CONFIG, own), ("/etc/default/kubelet", flags)]);
            files.iter().for_each(|(path, text)| node.put(path, text));
            let Kubelet { path, has_url, pod_logs, eviction, fault, .. } = Kubelet::of(&node.root).unwrap();
            assert_eq!(((path, has_url, pod_logs, eviction), fault), (expected, None), "{flags} {files:?}");
        }
        let broken = [
            (KUBELET_CONFIG, "staticPodPath: /a\n"),
            (LATER, "a: [\n"),
            ("/etc/default/kubelet", "X=--config-dir=/etc/kubelet.d"),
        ];
        let kubelet = Kubelet::of(&Node::with(&broken).root).unwrap();
        assert!(kubelet.fault.is_some_and(|fault| fault.starts_with(&format!("{LATER}:"))));
    }

    #[test]
    fn flags_are_read_as_the_kubelet_reads_them() {
        for (line, expected) in [
            ("--a-b=1", Some("1")),
            ("--a_b=1", Some("1")),
            ("--a-b 1", Some("1")),
            ("--a-b=1 --a_b 2", Some("2")),
            ("--switch --a-b=1", Some("1")),
            ("-v 2 --a-b 1", Some("1")),
            ("--a-b=", Some("")),
            ("--a-b-c=1", None),
            ("-a-b=1", None),
            ("--c=--a-b=1", None),
        ] {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(flag(&words, "a-b"), expected, "{line}");
        }
    }

    #[test]
    fn a_configuration_that_is_no_yaml_is_told_once() {
        let node = Node::with(&[(KUBELET_CONFIG, "staticPodPath: [\n")]);
        let kubelet = Kubelet::of(&node.root).unwrap();
        assert!(kubelet.fault.is_some_and(|fault| fault.starts_with("/var/lib/kubelet/config.yaml:")));
        assert_eq!(kubelet.path.as_deref(), Some(MANIFEST_DIRECTORY));
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
            assert_eq!(Kubelet::of(&node.root).unwrap().pod_logs, wanted, "{config:?}");
        }
    }
}
