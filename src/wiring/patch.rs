//! The settings as a patch, which `kubeadm init --patches` puts into the manifest that it makes.
//!
//! It is a JSON patch, as the others replace a list where they should add to it. What a patch can be, and that they are taken in the
//! order of their paths, is said by kubeadm's `cmd/kubeadm/app/util/patches`.

use serde_json::{Value, json};

use super::{Refusal, Wanted, check, clean, effective, mounts};
use crate::audit::flags::{Flags, is_audit, normal};
use crate::audit::version::Version;
use crate::config::Config;
use crate::yaml::{Node, Place};

/// The name of a patch of the API server's manifest begins with this.
const TARGET: &str = "kube-apiserver";
/// A name that kubeadm takes for a JSON patch of it.
pub const NAME: &str = "kube-apiserver+json.json";

/// The patch for a manifest without audit settings.
///
/// Errors: the API server of that version would not start with it.
pub fn patch(config: &Config, version: Option<Version>) -> Result<String, Refusal> {
    let flags = effective(&Wanted::of(config), &[]);
    check(&flags, version, Place::START)?;
    let container = "/spec/containers/0";
    let add = |path: String, value: Value| json!({"op": "add", "path": path, "value": value});
    // Another patch may have put a container before it.
    let mut operations = vec![json!({"op": "test", "path": format!("{container}/name"), "value": TARGET})];
    for (name, value) in config.flags() {
        operations.push(add(format!("{container}/command/-"), json!(format!("--{name}={value}"))));
    }
    for mount in mounts(&flags, &Flags::new()) {
        let in_container = json!({"mountPath": mount.container, "name": mount.name, "readOnly": mount.read_only});
        operations.push(add(format!("{container}/volumeMounts/-"), in_container));
        let volume = json!({"hostPath": {"path": mount.host, "type": mount.kind}, "name": mount.name});
        operations.push(add("/spec/volumes/-".to_owned(), volume));
    }
    Ok(format!("{:#}\n", Value::from(operations)))
}

/// Looks through a patch of the user's, by its name and text, for what ours has, too.
///
/// Errors: it has an audit flag, or a volume or mount of the same name or path.
pub fn clash(name: &str, text: &str, config: &Config) -> Result<(), Refusal> {
    if !name.starts_with(TARGET) {
        return Ok(());
    }
    let ours: Vec<_> = mounts(&config.flags().into_iter().collect(), &Flags::new())
        .into_iter()
        .flat_map(|mount| [mount.name.to_owned(), mount.container])
        .collect();
    // What can't be read, kubeadm judges.
    let documents = crate::yaml::parse(text).unwrap_or_default();
    documents.iter().try_for_each(|document| {
        each_scalar(&document.root, &mut |node, word| {
            let flag = word.strip_prefix("--").map(|flag| normal(flag.split('=').next().unwrap_or_default()));
            match flag.is_some_and(|flag| is_audit(&flag)) || ours.contains(&clean(word)) {
                true => Err(Refusal::new(
                    node.place,
                    format!(
                        "this patch has {word}, too, which is the audit settings' own; remove it, or use --config"
                    ),
                )),
                false => Ok(()),
            }
        })
    })
}

fn each_scalar(node: &Node, look: &mut impl FnMut(&Node, &str) -> Result<(), Refusal>) -> Result<(), Refusal> {
    if let Some(word) = node.scalar() {
        look(node, word)?;
    }
    for item in node.items().unwrap_or_default() {
        each_scalar(item, look)?;
    }
    // Keys are names of fields.
    node.pairs().unwrap_or_default().iter().try_for_each(|(_, value)| each_scalar(value, look))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patch_adds_what_the_configuration_asks_for() {
        let patch = patch(&Config::default(), Some(Version::new(33))).unwrap();
        let operations: Vec<Value> = serde_json::from_str(&patch).unwrap();
        assert_eq!(
            operations[0],
            json!({"op": "test", "path": "/spec/containers/0/name", "value": "kube-apiserver"})
        );
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
        assert_eq!(operations.len(), 1 + flags.len() + 4);
    }

    #[test]
    fn flags_that_a_version_does_not_have_are_refused() {
        let mut config = Config::default();
        config.log.backend.batch_max_wait = Some("soon".to_owned());
        let refusal = patch(&config, None).unwrap_err();
        assert!(refusal.reason.contains("would not start"), "{refusal}");
    }

    #[test]
    fn patches_of_users_that_have_the_same_are_found() {
        for (name, text, at) in [
            (
                "kube-apiserver.yaml",
                "spec:\n  containers:\n  - name: kube-apiserver\n    command: [a, --audit_log_path=/x]\n",
                Some((4, 18)),
            ),
            (
                "kube-apiserver0+json.json",
                r#"[{"op": "add", "path": "/spec/volumes/-", "value": {"name": "audit-log"}}]"#,
                Some((1, 61)),
            ),
            (
                "kube-apiserver9.yaml",
                "spec: {volumes: []}\n---\na: {mountPath: /var/log/kubernetes/audit/}\n",
                Some((3, 16)),
            ),
            // Another target's, and another name.
            ("etcd.yaml", "command: [--audit-log-path=/x]\n", None),
            ("kube-apiserver.yaml", "spec: {volumes: [{name: audits}], x: --audits=1}\n", None),
            ("kube-apiserver.yaml", "a: [\n", None),
        ] {
            let found = clash(name, text, &Config::default())
                .err()
                .map(|refusal| (refusal.place.line, refusal.place.column));
            assert_eq!(found, at, "{name}: {text}");
        }
    }
}
