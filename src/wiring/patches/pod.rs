//! The API server's pod as kubeadm makes it, before patches (`app/phases/controlplane`, `app/util/arguments.go`).
//!
//! The lists that patches change by index are exact: the command, the volumes and the mounts. Values that kubeadm only
//! knows when it runs, such as the node's address, are samples.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::value::value_of;
use crate::audit::version::{SUPPORTED, Version};
use crate::wiring::kubeadm::VOLUMES;
use crate::yaml::Node;

/// In what the versions of kubeadm differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kubeadm {
    /// The directory /etc/pki is mounted whole, up to 1.30.
    mounts_pki: bool,
    /// `extraArgs` keep their order, and come last; before, all arguments were sorted. From 1.36 on, and from some
    /// patch version of 1.32 to 1.35 on.
    keeps_order: bool,
    /// Strategic patches are merged as before 1.28.
    pub merges_as_before: bool,
}

impl Kubeadm {
    /// What kubeadm can be, if it deploys this version: one of the same version, or one version newer.
    pub fn of(version: Option<Version>) -> Vec<Kubeadm> {
        let minors = match version.map(|version| version.minor) {
            Some(minor) => vec![minor, minor.saturating_add(1)],
            None => vec![SUPPORTED.end().minor, 31, 27],
        };
        let mut all = Vec::new();
        for minor in minors {
            let orders: &[bool] = match minor {
                ..=31 => &[false],
                32..=35 => &[true, false],
                _ => &[true],
            };
            for keeps_order in orders.iter().copied() {
                let kubeadm = Kubeadm { mounts_pki: minor <= 30, keeps_order, merges_as_before: minor <= 27 };
                if !all.contains(&kubeadm) {
                    all.push(kubeadm);
                }
            }
        }
        all
    }
}

/// The arguments that kubeadm itself gives to the API server. The values are those of a usual cluster.
const ARGUMENTS: [(&str, &str); 21] = [
    ("advertise-address", "192.0.2.1"),
    ("allow-privileged", "true"),
    ("authorization-mode", "Node,RBAC"),
    ("client-ca-file", "@/ca.crt"),
    ("enable-admission-plugins", "NodeRestriction"),
    ("enable-bootstrap-token-auth", "true"),
    ("kubelet-client-certificate", "@/apiserver-kubelet-client.crt"),
    ("kubelet-client-key", "@/apiserver-kubelet-client.key"),
    ("kubelet-preferred-address-types", "InternalIP,ExternalIP,Hostname"),
    ("proxy-client-cert-file", "@/front-proxy-client.crt"),
    ("proxy-client-key-file", "@/front-proxy-client.key"),
    ("requestheader-allowed-names", "front-proxy-client"),
    ("requestheader-client-ca-file", "@/front-proxy-ca.crt"),
    ("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
    ("requestheader-group-headers", "X-Remote-Group"),
    ("requestheader-username-headers", "X-Remote-User"),
    ("secure-port", "6443"),
    ("service-account-issuer", "https://kubernetes.default.svc.cluster.local"),
    ("service-account-key-file", "@/sa.pub"),
    ("service-account-signing-key-file", "@/sa.key"),
    ("service-cluster-ip-range", "10.96.0.0/12"),
];
const SERVING: [(&str, &str); 2] =
    [("tls-cert-file", "@/apiserver.crt"), ("tls-private-key-file", "@/apiserver.key")];

/// An argument of `extraArgs`.
struct Extra {
    name: String,
    value: String,
    /// How it is merged with kubeadm's own one, instead of replacing it.
    method: String,
}

/// The pod for a ClusterConfiguration; `None` is an empty one. `certificates`: the directories of
/// [`VOLUMES`] that the node has.
pub fn pod(cluster: Option<&Node>, kubeadm: Kubeadm, certificates: &[String], version: Option<Version>) -> Value {
    let mut pod = without_variables(cluster, kubeadm, certificates, version);
    let variables = cluster.and_then(|cluster| cluster.at(&["apiServer", "extraEnvs"]));
    if let Some(variables) = variables.filter(|variables| variables.items().is_some_and(|items| !items.is_empty()))
    {
        pod["spec"]["containers"][0]["env"] = value_of(variables, None);
    }
    pod
}

/// As [`pod`], without the variables of `extraEnvs`.
fn without_variables(
    cluster: Option<&Node>,
    kubeadm: Kubeadm,
    certificates: &[String],
    version: Option<Version>,
) -> Value {
    let text =
        |path: &[&str]| cluster.and_then(|cluster| cluster.at(path)?.scalar()).filter(|text| !text.is_empty());
    let directory = text(&["certificatesDir"]).unwrap_or("/etc/kubernetes/pki");
    let extra = extra_args(cluster);
    let mut base: Vec<(String, String)> = ARGUMENTS
        .iter()
        .chain(&SERVING)
        .map(|(name, value)| ((*name).to_owned(), value.replace('@', directory)))
        .collect();
    let external = cluster.and_then(|cluster| cluster.at(&["etcd", "external"])).filter(|node| !node.is_null());
    let file = |name: &str| external.and_then(|node| node.get(name)?.scalar()).unwrap_or_default().to_owned();
    let etcd = match external {
        None => ["ca.crt", "client.crt", "client.key"].map(|name| match name {
            "ca.crt" => format!("{directory}/etcd/ca.crt"),
            _ => format!("{directory}/apiserver-etcd-{name}"),
        }),
        Some(_) if file("certFile").is_empty() || file("keyFile").is_empty() => {
            [file("caFile"), String::new(), String::new()]
        }
        Some(_) => [file("caFile"), file("certFile"), file("keyFile")],
    };
    let names = ["etcd-cafile", "etcd-certfile", "etcd-keyfile"];
    base.extend(
        names
            .into_iter()
            .zip(etcd)
            .filter(|(_, path)| !path.is_empty())
            .map(|(name, path)| (name.to_owned(), path)),
    );
    base.push(("etcd-servers".to_owned(), "https://127.0.0.1:2379".to_owned()));
    if kubeadm.keeps_order && extra.iter().any(|one| one.name == "authorization-config") {
        base.retain(|(name, _)| name != "authorization-mode");
    }
    let volumes = volumes(cluster, directory, kubeadm, certificates);
    let mounts = volumes.iter().map(|(name, volume)| {
        let mut mount = json!({"mountPath": volume.mount, "name": name});
        if volume.read_only {
            mount["readOnly"] = true.into();
        }
        mount
    });
    let probe =
        json!({"httpGet": {"host": "192.0.2.1", "path": "/livez", "port": "probe-port", "scheme": "HTTPS"}});
    let image = format!(
        "{}/kube-apiserver:v{}.0",
        text(&["imageRepository"]).unwrap_or("registry.k8s.io"),
        version.unwrap_or(*SUPPORTED.end())
    );
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "kube-apiserver",
            "namespace": "kube-system",
            "labels": {"component": "kube-apiserver", "tier": "control-plane"},
            "annotations": {"kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint": "192.0.2.1:6443"}
        },
        "spec": {
            "containers": [{
                "name": "kube-apiserver",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": command(base, &extra, kubeadm),
                "livenessProbe": probe,
                "readinessProbe": probe,
                "startupProbe": probe,
                "ports": [{"name": "probe-port", "containerPort": 6443, "protocol": "TCP"}],
                "resources": {"requests": {"cpu": "250m"}},
                "volumeMounts": mounts.collect::<Vec<_>>()
            }],
            "hostNetwork": true,
            "priority": 2_000_001_000,
            "priorityClassName": "system-node-critical",
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": volumes.iter().map(|(name, volume)| {
                json!({"name": name, "hostPath": {"path": volume.host, "type": volume.kind}})
            }).collect::<Vec<_>>()
        }
    })
}

/// The names and values in `apiServer.extraArgs`: a mapping, or a list.
fn extra_args(cluster: Option<&Node>) -> Vec<Extra> {
    let Some(args) = cluster.and_then(|cluster| cluster.at(&["apiServer", "extraArgs"])) else {
        return Vec::new();
    };
    let word = |node: Option<&Node>| {
        node.filter(|node| !node.is_null()).and_then(Node::scalar).unwrap_or_default().to_owned()
    };
    if let Some(items) = args.items() {
        let extra = |item: &Node| Extra {
            name: word(item.get("name")),
            value: word(item.get("value")),
            method: word(item.get("mergeMethod")),
        };
        return items.iter().map(extra).collect();
    }
    let mut extra: Vec<_> = args
        .entries()
        .into_iter()
        .map(|(name, value)| Extra { name: word(Some(name)), value: word(Some(value)), method: String::new() })
        .collect();
    extra.sort_by(|a, b| a.name.cmp(&b.name));
    extra
}

/// The command: an extra argument replaces kubeadm's own ones of its name.
fn command(mut base: Vec<(String, String)>, extra: &[Extra], kubeadm: Kubeadm) -> Vec<String> {
    base.sort();
    let mut all = Vec::new();
    for (name, value) in base {
        let last = extra.iter().rfind(|one| one.name == name);
        match last.map(|one| (one.method.as_str(), &one.value)) {
            None => all.push((name, value)),
            Some(("append", more)) => all.push((name, format!("{value}{more}"))),
            Some(("prepend", more)) => all.push((name, format!("{more}{value}"))),
            Some(_) => {}
        }
    }
    all.extend(extra.iter().filter(|one| one.method.is_empty()).map(|one| (one.name.clone(), one.value.clone())));
    if !kubeadm.keeps_order {
        all.sort();
    }
    let words = all.into_iter().map(|(name, value)| format!("--{name}={value}"));
    std::iter::once("kube-apiserver".to_owned()).chain(words).collect()
}

/// A directory or file of the host in the pod.
struct Volume {
    host: String,
    mount: String,
    read_only: bool,
    kind: String,
}

/// The volumes by name: kubeadm keeps one of each name.
fn volumes(
    cluster: Option<&Node>,
    directory: &str,
    kubeadm: Kubeadm,
    certificates: &[String],
) -> BTreeMap<String, Volume> {
    let own = |path: &str| Volume {
        host: path.to_owned(),
        mount: path.to_owned(),
        read_only: true,
        kind: "DirectoryOrCreate".to_owned(),
    };
    let mut volumes = BTreeMap::new();
    let known = VOLUMES.iter().filter(|(.., is_whole)| is_whole.is_none_or(|whole| whole == kubeadm.mounts_pki));
    for (index, (name, path, _)) in known.clone().enumerate() {
        if index < 2 || certificates.iter().any(|one| one == path) {
            volumes.insert((*name).to_owned(), own(if index == 0 { directory } else { path }));
        }
    }
    let known: Vec<_> =
        known.enumerate().map(|(at, (_, path, _))| if at == 0 { directory } else { path }).collect();
    let external = cluster.and_then(|cluster| cluster.at(&["etcd", "external"]));
    for (index, path) in etcd_directories(external, &known).iter().enumerate() {
        volumes.insert(format!("etcd-certs-{index}"), own(path));
    }
    let extra = cluster.and_then(|cluster| cluster.at(&["apiServer", "extraVolumes"])).and_then(Node::items);
    for item in extra.unwrap_or_default() {
        let field = |name: &str| item.get(name).and_then(Node::scalar).unwrap_or_default().to_owned();
        let volume = Volume {
            host: field("hostPath"),
            mount: field("mountPath"),
            read_only: crate::wiring::mounts::is_true(item, "readOnly"),
            kind: item
                .get("pathType")
                .filter(|node| !node.is_null())
                .and_then(Node::scalar)
                .unwrap_or_default()
                .to_owned(),
        };
        volumes.insert(field("name"), volume);
    }
    volumes
}

/// The directories of an external etcd's certificates that are mounted nowhere else, sorted
/// (`getEtcdCertVolumes`).
fn etcd_directories(external: Option<&Node>, known: &[&str]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for file in ["caFile", "certFile", "keyFile"] {
        let path = external.and_then(|node| node.get(file)?.scalar()).unwrap_or_default();
        let Some((parent, _)) = path.rsplit_once('/') else { continue };
        let is_mounted = known.iter().any(|top| parent.starts_with(top));
        if is_mounted || found.iter().any(|other| parent.starts_with(other.as_str())) {
            continue;
        }
        found.retain(|other| !other.starts_with(parent));
        found.push(parent.to_owned());
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str, minor: u32) -> Value {
        let documents = crate::yaml::parse(text).unwrap();
        let version = Some(Version::new(minor));
        let certificates = VOLUMES.map(|(_, path, _)| path.to_owned());
        pod(documents.first().map(|document| &document.root), Kubeadm::of(version)[0], &certificates, version)
    }

    fn names(pod: &Value, path: &str) -> Vec<String> {
        let list = pod.pointer(path).unwrap().as_array().unwrap();
        list.iter().map(|item| item.get("name").unwrap_or(item).as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn extra_arguments_are_sorted_before_1_36_and_come_last_since() {
        let extra = "apiServer: {extraArgs: [{name: zz, value: b}, {name: audit-log-path, value: a}, {name: secure-port, value: '1'}]}";
        let command = |minor| names(&made(extra, minor), "/spec/containers/0/command");
        let (sorted, kept) = (command(31), command(36));
        assert_eq!(sorted[3], "--audit-log-path=a");
        assert_eq!(kept[kept.len() - 3..], ["--zz=b", "--audit-log-path=a", "--secure-port=1"]);
        assert_eq!((sorted.len(), kept.len()), (30, 30));
        assert!(!kept.contains(&"--secure-port=6443".to_owned()));
        assert_eq!(Kubeadm::of(Some(Version::new(34))).len(), 2);
    }

    #[test]
    fn volumes_are_sorted_by_name_and_kept_once() {
        let text = "etcd: {external: {endpoints: [e], caFile: /e/ca, certFile: /e/tls/crt, keyFile: /e/tls/key}}\n\
                    apiServer: {extraVolumes: [{name: zz, hostPath: /h, mountPath: /m}, {name: ca-certs, hostPath: /h, mountPath: /m}]}\n";
        let pod = made(text, 37);
        let expected = [
            "ca-certs",
            "etc-ca-certificates",
            "etc-pki-ca-trust",
            "etc-pki-tls-certs",
            "etcd-certs-0",
            "k8s-certs",
            "usr-local-share-ca-certificates",
            "usr-share-ca-certificates",
            "zz",
        ];
        assert_eq!(names(&pod, "/spec/volumes"), expected);
        assert_eq!(names(&pod, "/spec/containers/0/volumeMounts"), expected);
        assert_eq!(pod["spec"]["volumes"][0]["hostPath"]["path"], "/h");
        assert_eq!(pod["spec"]["volumes"][4]["hostPath"]["path"], "/e");
        assert!(names(&made(text, 30), "/spec/volumes").contains(&"etc-pki".to_owned()));
    }
}
