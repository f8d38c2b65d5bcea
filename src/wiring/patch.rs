//! Writes the settings as a patch. `kubeadm init --patches` applies it to the manifest that kubeadm makes.
//!
//! It is a JSON patch, because the other kinds replace a list instead of adding to it. kubeadm's
//! `cmd/kubeadm/app/util/patches` defines what a patch can be, and applies patches in the order of their paths. This
//! program's patch comes first, when the manifest is as kubeadm makes it: a strategic patch can put another container
//! before the API server's. So the patches after it must not replace what it adds.

use serde_json::{Value, json};

use super::kubeadm::built_in;
use super::mounts::{needed_mounts, with_names};
use super::references::wanted_mounts;
use super::settings::{Refusal, Wanted, check, effective};
use crate::audit::flags::{Flags, is_audit, normal};
use crate::audit::version::Version;
use crate::config::Config;
use crate::facts::file::Files;
use crate::yaml::{Node, Position};

/// The targets of kubeadm's patches. The name of a patch begins with its target.
const TARGETS: [&str; 7] = [
    TARGET,
    "etcd",
    "kube-controller-manager",
    "kube-scheduler",
    "kubeletconfiguration",
    "corednsdeployment",
    "kubeproxydaemonset",
];
const TARGET: &str = "kube-apiserver";
/// A file name that kubeadm reads as a JSON patch of this target.
pub const NAME: &str = "kube-apiserver+json.json";

/// Does kubeadm read a file of this name as a patch?
pub fn is_patch(name: &str) -> bool {
    TARGETS.iter().any(|target| name.starts_with(target))
        && [".yaml", ".json"].iter().any(|end| name.ends_with(end))
}

/// The patch for a manifest without audit settings.
///
/// # Errors
///
/// The API server of this version would not start with the settings.
pub fn patch(config: &Config, version: Option<Version>, files: &Files) -> Result<String, Refusal> {
    let wanted = Wanted::of(config, files);
    let flags = effective(&wanted, &[]);
    check(&flags, version, Position::START)?;
    let container = "/spec/containers/0";
    let add = |path: String, value: Value| json!({"op": "add", "path": path, "value": value});
    let mut operations = Vec::new();
    for (name, value) in config.flags() {
        operations.push(add(format!("{container}/command/-"), json!(format!("--{name}={value}"))));
    }
    for (mount, name) in with_names(wanted_mounts(&flags, &Flags::new(), &wanted, &built_in(None))) {
        let in_container = json!({"mountPath": mount.container, "name": name, "readOnly": mount.read_only});
        operations.push(add(format!("{container}/volumeMounts/-"), in_container));
        let volume = json!({"hostPath": {"path": mount.host, "type": mount.kind}, "name": name});
        operations.push(add("/spec/volumes/-".to_owned(), volume));
    }
    Ok(format!("{:#}\n", Value::from(operations)))
}

/// Checks that an administrator's patch, given by its name and text, leaves the settings intact.
///
/// # Errors
///
/// The patch has an audit flag, or a volume or mount with the same name or path as a setting; it replaces a list that
/// the settings add to; or it lets the API server run as a user who could not read the policy.
pub fn clash(name: &str, text: &str, config: &Config) -> Result<(), Refusal> {
    if !name.starts_with(TARGET) {
        return Ok(());
    }
    let kind = name.split_once('+').map_or("strategic", |(_, kind)| kind.split('.').next().unwrap_or_default());
    // The names of the volumes, and the paths of the mounts.
    let ours: Vec<_> = needed_mounts(&config.flags().into_iter().collect(), &Flags::new())
        .into_iter()
        .flat_map(|mount| [mount.name.to_owned(), mount.container])
        .collect();
    // kubeadm itself refuses a patch that cannot be read.
    let documents = crate::yaml::parse(text).unwrap_or_default();
    documents.iter().try_for_each(|document| {
        look(&document.root, &ours, "", false)?;
        match kind {
            "json" => document.root.items().unwrap_or_default().iter().try_for_each(operation),
            "merge" => merge(&document.root),
            _ => strategic(&document.root),
        }
    })
}

/// Checks a value, whose key is `key`, and all values in it. `ours`: the volume names and mount paths of the settings.
/// `is_volume`: the value is in a list of volumes or mounts.
fn look(node: &Node, ours: &[String], key: &str, is_volume: bool) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal::new(node.position, why));
    if key == "runAsUser" {
        return refuse(
            "with runAsUser, the API server could not read its policy; use --config, and run kube-audit-bootstrap \
             apply after kubeadm init",
        );
    }
    if let Some(word) = node.scalar() {
        let flag = word.strip_prefix("--").map(|flag| normal(flag.split('=').next().unwrap_or_default()));
        let is_taken = ["name", "mountPath"].contains(&key)
            && is_volume
            && ours.contains(&word.trim_end_matches('/').to_owned());
        if flag.is_some_and(|flag| is_audit(&flag)) || is_taken {
            return refuse(&format!(
                "this patch has {word}, which the audit settings also set; remove it, or use --config"
            ));
        }
    }
    let of_volume = |name: &str| ["volumes", "volumeMounts"].iter().any(|list| name.contains(list));
    for item in node.items().unwrap_or_default() {
        // The path of an operation shows what its value is.
        let path = item.get("path").and_then(Node::scalar).unwrap_or_default();
        look(item, ours, key, is_volume || of_volume(path))?;
    }
    node.pairs().unwrap_or_default().iter().try_for_each(|(name, value)| {
        let name = name.scalar().unwrap_or_default();
        look(value, ours, name, is_volume || of_volume(name))
    })
}

fn replaces(node: &Node) -> Result<(), Refusal> {
    let why = "this patch replaces a list that the audit settings add to; add to the list with a JSON patch, or use \
               --config";
    Err(Refusal::new(node.position, why))
}

/// Checks an operation of a JSON patch. It can add an item to a list or remove one, but not replace the list.
fn operation(operation: &Node) -> Result<(), Refusal> {
    let field = |name: &str| operation.get(name).and_then(Node::scalar).unwrap_or_default();
    let is_whole = |path: &str| {
        let parts: Vec<_> = path.split('/').skip(1).collect();
        match parts.as_slice() {
            [] | ["spec"] | ["spec", "containers" | "volumes"] => true,
            ["spec", "containers", _, "command" | "volumeMounts"] => true,
            // `add` inserts another container.
            ["spec", "containers", _] => field("op") != "add",
            _ => false,
        }
    };
    match field("op") {
        "test" => Ok(()),
        "move" if is_whole(field("from")) => replaces(operation),
        _ if is_whole(field("path")) => replaces(operation),
        _ => Ok(()),
    }
}

/// Checks a merge patch, which replaces all lists that it has.
fn merge(root: &Node) -> Result<(), Refusal> {
    match root.get("spec") {
        Some(spec) if spec.is_null() => replaces(spec),
        Some(spec) => ["containers", "volumes"].iter().find_map(|list| spec.get(list)).map_or(Ok(()), replaces),
        None => Ok(()),
    }
}

/// Checks a strategic patch. It adds to lists of volumes and containers, and replaces a command. A key that begins
/// with a dollar sign makes it replace other lists, too.
fn strategic(root: &Node) -> Result<(), Refusal> {
    if let Some(found) = directive(root) {
        return replaces(found);
    }
    let Some(spec) = root.get("spec") else { return Ok(()) };
    for list in [Some(spec), spec.get("containers"), spec.get("volumes")].into_iter().flatten() {
        if list.is_null() {
            return replaces(list);
        }
    }
    let containers = spec.get("containers").and_then(Node::items).unwrap_or_default();
    for container in containers.iter().filter(|one| one.get("name").and_then(Node::scalar) == Some(TARGET)) {
        let lost =
            container.get("command").or_else(|| container.get("volumeMounts").filter(|mounts| mounts.is_null()));
        lost.map_or(Ok(()), replaces)?;
    }
    Ok(())
}

/// Finds a key such as `$patch` or `$retainKeys`.
fn directive(node: &Node) -> Option<&Node> {
    let pairs = node.pairs().unwrap_or_default();
    let own = pairs.iter().find(|(name, _)| name.scalar().is_some_and(|name| name.starts_with('$')));
    own.map(|(name, _)| name)
        .or_else(|| pairs.iter().find_map(|(_, value)| directive(value)))
        .or_else(|| node.items().unwrap_or_default().iter().find_map(directive))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patch_adds_what_the_configuration_asks_for() {
        let patch = patch(&Config::default(), Some(Version::new(33)), &Files::new()).unwrap();
        let operations: Vec<Value> = serde_json::from_str(&patch).unwrap();
        let at = |path: &str| {
            let of_path = operations.iter().filter(|operation| operation["path"] == path);
            of_path.map(|operation| operation["value"].clone()).collect::<Vec<_>>()
        };
        let flags: Vec<_> =
            Config::default().flags().iter().map(|(name, value)| json!(format!("--{name}={value}"))).collect();
        assert_eq!(at("/spec/containers/0/command/-"), flags);
        assert_eq!(
            at("/spec/containers/0/volumeMounts/-"),
            [
                json!({"mountPath": "/etc/kubernetes/audit-policy.yaml", "name": "audit", "readOnly": true}),
                json!({"mountPath": "/var/log/kubernetes/audit", "name": "audit-log", "readOnly": false}),
            ]
        );
        assert_eq!(
            at("/spec/volumes/-"),
            [
                json!({"hostPath": {"path": "/etc/kubernetes/audit-policy.yaml", "type": "File"}, "name": "audit"}),
                json!({"hostPath": {"path": "/var/log/kubernetes/audit", "type": "DirectoryOrCreate"}, "name": "audit-log"}),
            ]
        );
        assert_eq!(operations.len(), flags.len() + 4);
    }

    #[test]
    fn flags_that_a_version_does_not_have_are_refused() {
        let mut config = Config::default();
        config.log.backend.batch_max_wait = Some("soon".to_owned());
        let refusal = patch(&config, None, &Files::new()).unwrap_err();
        assert!(refusal.reason.contains("would not start"), "{refusal}");
    }

    #[test]
    fn patches_of_users_that_do_not_go_with_ours_are_found() {
        for (name, text, at) in [
            // The same settings.
            (
                "kube-apiserver0+json.json",
                r#"[{"op": "add", "path": "/spec/containers/0/command/-", "value": "--audit_log_path=/x"}]"#,
                Some((1, 65)),
            ),
            (
                "kube-apiserver0+json.json",
                r#"[{"op": "add", "path": "/spec/volumes/-", "value": {"name": "audit-log"}}]"#,
                Some((1, 61)),
            ),
            (
                "kube-apiserver9.yaml",
                "spec: {volumes: [{name: a}]}\n---\nspec: {containers: [{volumeMounts: [{mountPath: /var/log/kubernetes/audit/}]}]}\n",
                Some((3, 49)),
            ),
            ("kube-apiserver.yaml", "spec: {securityContext: {runAsUser: 12}}\n", Some((1, 37))),
            // A list that the settings add to is replaced.
            ("kube-apiserver.yaml", "spec: {containers: [{name: kube-apiserver, command: [a]}]}\n", Some((1, 53))),
            ("kube-apiserver.yaml", "spec: {containers: [{$patch: replace}]}\n", Some((1, 22))),
            ("kube-apiserver.yaml", "spec: {volumes: null}\n", Some((1, 17))),
            ("kube-apiserver+merge.yaml", "spec: {volumes: []}\n", Some((1, 17))),
            ("kube-apiserver+merge.yaml", "spec:\n", Some((1, 6))),
            (
                "kube-apiserver+json.yaml",
                "- {op: replace, path: /spec/containers/0/command, value: [a]}\n",
                Some((1, 3)),
            ),
            ("kube-apiserver+json.yaml", "- {op: remove, path: /spec/containers/1}\n", Some((1, 3))),
            ("kube-apiserver+json.yaml", "- {op: move, from: /spec/volumes, path: /x}\n", Some((1, 3))),
            // The patch only adds, or has such words in other fields.
            ("kube-apiserver.yaml", "spec: {containers: [{name: audit, command: [a]}], priority: 1}\n", None),
            ("kube-apiserver.yaml", "metadata: {labels: {name: audit, audit: audit-log}}\nx: --audits=1\n", None),
            ("kube-apiserver+merge.yaml", "spec: {priority: 1}\n", None),
            (
                "kube-apiserver+json.yaml",
                "- {op: add, path: /spec/containers/0, value: {name: a}}\n- {op: remove, path: /spec/volumes/3}\n",
                None,
            ),
            ("kube-apiserver+json.yaml", "- {op: test, path: /spec/volumes, value: []}\n", None),
            ("kube-apiserver+json.yaml", "- {op: move, from: /spec/volumes/3, path: /spec/volumes/0}\n", None),
            // A patch of another target, and a text that is not YAML.
            ("etcd.yaml", "spec: {containers: [{name: kube-apiserver, command: [--audit-log-path=/x]}]}\n", None),
            ("kube-apiserver.yaml", "a: [\n", None),
        ] {
            let found = clash(name, text, &Config::default())
                .err()
                .map(|refusal| (refusal.position.line, refusal.position.column));
            assert_eq!(found, at, "{name}: {text}");
        }
    }

    #[test]
    fn patches_are_told_by_their_names() {
        for (name, is) in [
            ("kube-apiserver.yaml", true),
            ("etcd0+json.json", true),
            ("kubeletconfiguration+strategic.yaml", true),
            ("other.yaml", false),
            ("kube-apiserver.yml", false),
        ] {
            assert_eq!(is_patch(name), is, "{name}");
        }
    }
}
