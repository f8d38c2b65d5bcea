//! Finds what is wrong in a configuration on any node.

use super::{Config, FRAGMENTS};
use crate::audit::{flags, profiles};
use crate::path::{aside, is_no_place_for_policy, is_within, log_directory_fault, parent, path_fault};
use crate::storage::unit::MountSource;
use crate::yaml::fields::join;

impl Config {
    /// What is wrong in this configuration on any node. Each fault is the field to blame, such as `log.path`, and a
    /// message without a position.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let paths = [("policy.path", Some(&self.policy_path)), ("log.path", self.log.file())]
            .into_iter()
            .chain([("manifest.path", self.manifest_path.as_ref())])
            .chain([("webhook.configFile", self.webhook.as_ref().map(|webhook| &webhook.config_file))])
            .chain(self.kubeadm_configs.iter().flatten().map(|path| ("kubeadm.configs[]", Some(path))));
        for (name, path) in paths.filter_map(|(name, path)| path.map(|path| (name, path))) {
            faults.extend(path_fault(name, path).map(|fault| (name.to_owned(), fault)));
        }
        if let Some(path) = &self.kubeadm_patches {
            let fault = path_fault("kubeadm.patches", path.trim_end_matches('/'));
            faults.extend(fault.map(|fault| ("kubeadm.patches".to_owned(), fault)));
        }
        let fault = source_of_policy_fault(&self.policy_source);
        faults.extend(fault.map(|fault| ("policy.source".to_owned(), fault)));
        if faults.is_empty()
            && let Some(fault) = self.log.file().and_then(|path| log_directory_fault(parent(path)))
        {
            faults.push(("log.path".to_owned(), format!("log.path {fault}")));
        }
        if is_no_place_for_policy(&self.policy_path) {
            let fault = format!(
                "policy.path must not be {}, a place of the system or of other programs; use for example \
                 /etc/kubernetes/audit-policy.yaml",
                self.policy_path
            );
            faults.push(("policy.path".to_owned(), fault));
        }
        if let Some(directory) = self.log.file().map(|log| parent(log)).filter(|_| faults.is_empty())
            && is_within(&self.policy_path, directory)
            && self.log.file() != Some(&self.policy_path)
        {
            faults.push((
                "policy.path".to_owned(),
                format!(
                    "policy.path must not be in {directory}, which is for the log alone; set it to a file elsewhere, such \
                     as /etc/kubernetes/audit-policy.yaml"
                ),
            ));
        }
        let webhook = self.webhook.as_ref().map(|webhook| &webhook.config_file);
        for (name, other) in [
            ("webhook.configFile", webhook),
            ("manifest.path", self.manifest_path.as_ref()),
            ("log.path", self.log.file()),
        ] {
            if other == Some(&self.policy_path) {
                faults.push((
                    "policy.path".to_owned(),
                    format!("policy.path and {name} are the same file; set one of them to another file"),
                ));
            }
        }
        if let Some(fault) = self.storage.source.as_ref().and_then(|source| source_fault(source, self.log.file()))
        {
            faults.push(fault);
        }
        let flags = flags::from_pairs(self.flags());
        let mut would_fail = flags::faults(&flags, self.kubernetes_version);
        would_fail.extend(flags::excesses(&flags));
        faults.extend(would_fail.iter().map(|fault| (field_of(&fault.flag), with_fields(&fault.to_string()))));
        faults
    }
}

/// Why a policy can't be from this path.
fn source_of_policy_fault(path: &str) -> Option<String> {
    if path == "default" {
        return None;
    }
    let among = || {
        format!(
            "policy.source must not be in {FRAGMENTS}, whose files are put together with it; set it to a file elsewhere"
        )
    };
    if let Some(profile) = profiles::named(path) {
        let name = profile.name;
        return Some(format!(
            "policy.source must be an absolute path, and {name} is a profile; write profile: {name}"
        ));
    }
    path_fault("policy.source", path).or_else(|| is_within(path, FRAGMENTS).then(among))
}

/// Why a dedicated disk can't be mounted at the log directory: the field to blame, and a message.
fn source_fault(source: &MountSource, log: Option<&String>) -> Option<(String, String)> {
    let field = match source {
        MountSource::Bind(_) => "storage.bind",
        MountSource::Device { .. } => "storage.device",
    };
    let fault = |text: String| Some((field.to_owned(), text));
    let Some(directory) = log.map(|log| parent(log)) else {
        return fault(format!(
            "{field} needs a log.path that is a file; set log.path to a file, or remove {field}"
        ));
    };
    match source {
        MountSource::Bind(from) => {
            if let Some(fault) = path_fault(field, from) {
                return Some((field.to_owned(), fault));
            }
            let aside = aside(directory);
            if is_within(from, directory) || is_within(directory, from) || is_within(from, &aside) {
                return fault(format!(
                    "{field} {from} must not be in, above or the same as the log directory {directory}, or be in {aside}; name another directory"
                ));
            }
            log_directory_fault(from).map(|_| {
                (field.to_owned(), format!("{field} {from} is a system directory, or one that other programs use; name a directory of its own, such as /data/audit"))
            })
        }
        MountSource::Device { name, format } => {
            let is_tag = ["LABEL=", "UUID=", "PARTLABEL=", "PARTUUID="].iter().any(|tag| {
                name.strip_prefix(tag).is_some_and(|value| {
                    !value.is_empty() && value.chars().all(|c| c == ' ' || c.is_ascii_graphic())
                })
            });
            let path = name.strip_prefix("/dev/");
            if !is_tag
                && path
                    .is_none_or(|path| !path.contains('/') || path_fault(field, &name.replace(':', "")).is_some())
            {
                return fault(format!(
                    "{field} {name:?} must be LABEL=..., UUID=..., PARTLABEL=..., PARTUUID=..., or a path such as /dev/disk/by-id/...: \
                     a name such as /dev/sdb may mean another disk at the next boot"
                ));
            }
            (is_tag && format.is_some() && !name.starts_with("PART")).then(|| {
                (
                    "storage.format".to_owned(),
                    format!("storage.format: a blank disk has no {name}; name it by /dev/disk/by-id/..."),
                )
            })
        }
    }
}

/// A message with the field of each flag that it names: the user wrote fields, and no flags.
fn with_fields(message: &str) -> String {
    let mut parts = message.split("--audit-");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(part.len());
        text += &field_of(&part[..end]);
        text += &part[end..];
    }
    text
}

/// The field of the configuration that sets a flag.
fn field_of(flag: &str) -> String {
    let flag = flag.strip_prefix("audit-").unwrap_or(flag);
    let (backend, option) = flag.split_once('-').unwrap_or((flag, ""));
    if flag == "policy-file" {
        return "policy.path".to_owned();
    }
    let field = match option {
        "config-file" => "configFile",
        "initial-backoff" => "initialBackoff",
        "truncate-enabled" => "truncate.enabled",
        "maxage" => "maxAge",
        "maxbackup" => "maxBackup",
        "maxsize" => "maxSize",
        "batch-max-size" => "batch.maxSize",
        "batch-max-wait" => "batch.maxWait",
        "batch-buffer-size" => "batch.bufferSize",
        "batch-throttle-enable" => "batch.throttleEnable",
        "batch-throttle-qps" => "batch.throttleQPS",
        "batch-throttle-burst" => "batch.throttleBurst",
        "truncate-max-batch-size" => "truncate.maxBatchSize",
        "truncate-max-event-size" => "truncate.maxEventSize",
        other => other,
    };
    join(backend, field)
}
