//! Writes the settings as a patch. `kubeadm init --patches` applies it to the manifest that kubeadm makes.
//!
//! It is a JSON patch, because the other kinds replace a list instead of adding to it. kubeadm applies patches in the
//! order of their paths. This program's patch comes first, when the manifest is as kubeadm makes it: a strategic patch
//! can put another container before the API server's. [`super::patches`] judges what the patches after it do.

use serde_json::{Value, json};

use super::kubeadm::built_in;
use super::mounts::with_names;
use super::references::wanted_mounts;
use super::settings::{Refusal, Wanted, check, effective};
use crate::audit::flags::Flags;
use crate::audit::version::Version;
use crate::config::Config;
use crate::facts::file::Files;
use crate::yaml::Position;

/// A file name that kubeadm reads as a JSON patch of this target.
pub const NAME: &str = "kube-apiserver+json.json";

/// The patch for a manifest without audit settings.
///
/// # Errors
///
/// The API server of this version would not start with the settings.
pub fn patch(config: &Config, version: Option<Version>, files: &Files) -> Result<String, Refusal> {
    let wanted = Wanted::of(config, files);
    let flags = effective(&wanted, &[]);
    check(&flags, version, &|_| Position::START)?;
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
}
