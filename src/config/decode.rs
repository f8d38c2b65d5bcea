//! Reads a configuration from the text of its file, field by field.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{Backend, Config, DRAIN, Existing, Log, Restart, Storage, Strays, Webhook};
use crate::audit::version::Version;
use crate::audit::{flags, profiles};
use crate::storage::forecast::Share;
use crate::storage::unit::{FileSystem, MountSource};
use crate::yaml::fields::{Decoder, Severity, join, likely};
use crate::yaml::scalar::{Type, resolve};
use crate::yaml::{Node, Position};

pub(super) const API_VERSION: &str = "kube-audit-bootstrap/v1alpha1";

pub(super) const KIND: &str = "AuditBootstrapConfiguration";

/// After this time, the kubelet ends the API server itself (`terminationGracePeriodSeconds`, 30 by default).
pub(super) const MAX_DRAIN: Duration = Duration::from_secs(30);

impl Config {
    /// Reads the text of a configuration file. An empty text is the default.
    ///
    /// # Errors
    ///
    /// One line per fault. Each begins with `name:line:column`.
    pub fn parse(text: &str, name: &str) -> Result<Config> {
        let documents = match crate::yaml::parse(text) {
            Ok(documents) => documents,
            Err(fault) => bail!("{name}:{fault}"),
        };
        let mut config = Config::default();
        let mut decoder = Decoder::default();
        match documents.as_slice() {
            [] => {}
            [document] => decode(&document.root, &mut config, &mut decoder),
            [_, second, ..] => decoder
                .error(second.root.position, "the file must have one document; here is a second one; remove it"),
        }
        for field in ["existing", "policy.path", "log.path", "webhook.configFile"] {
            let place = decoder.own_position(field).map(|position| (field, format!("{name}:{position}")));
            config.places.extend(place);
        }
        if !decoder.failed() {
            for (field, fault) in config.faults() {
                let position = decoder.position(&field).unwrap_or(Position::START);
                decoder.error(position, fault);
            }
        }
        let lines: Vec<_> = decoder
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .map(|finding| format!("{name}:{finding}"))
            .collect();
        if !lines.is_empty() {
            bail!("{}", lines.join("\n"));
        }
        Ok(config)
    }
}

#[allow(clippy::too_many_lines, reason = "a list of fields")]
fn decode(root: &Node, config: &mut Config, decoder: &mut Decoder) {
    let known = [
        "apiVersion",
        "kind",
        "profile",
        "kubernetesVersion",
        "existing",
        "policy",
        "log",
        "webhook",
        "kubeadm",
        "manifest",
        "restart",
        "storage",
    ];
    if root.is_null() {
        return;
    }
    let (mut api_version, mut kind) = (None, None);
    // The profile comes first, wherever it is written: the other fields win over it.
    if let Some(profile) = root.get("profile").and_then(Node::scalar).and_then(profiles::named) {
        config.profile = profile;
        (config.log.max_age, config.log.max_backup, config.log.max_size) =
            (profile.max_age, profile.max_backup, profile.max_size);
    }
    for (name, node) in decoder.mapping(root, "", &known) {
        match name {
            "apiVersion" => api_version = read_word(decoder, node, name, &[API_VERSION]),
            "kind" => kind = read_word(decoder, node, name, &[KIND]),
            "profile" => {
                read_word(decoder, node, name, &profiles::names());
            }
            "kubernetesVersion" => {
                if let Some(text) = decoder.string(node, name) {
                    config.kubernetes_version = Version::parse(&text);
                    if config.kubernetes_version.is_none() {
                        decoder.error(
                            node.position,
                            format!("kubernetesVersion {text:?} is not a version such as v1.30.2"),
                        );
                    }
                }
            }
            "existing" => {
                if let Some(text) = read_word(decoder, node, name, &["replace", "keep"]) {
                    config.existing = if text == "keep" { Existing::Keep } else { Existing::Replace };
                }
            }
            "policy" => {
                for (name, node) in decoder.mapping(node, "policy", &["path", "source"]) {
                    let slot = if name == "path" { &mut config.policy_path } else { &mut config.policy_source };
                    set_string(decoder, node, &join("policy", name), slot);
                }
            }
            "log" => decode_log(node, &mut config.log, decoder),
            "webhook" => config.webhook = decode_webhook(node, decoder),
            "kubeadm" => {
                for (name, node) in
                    decoder.mapping(node, "kubeadm", &["configs", "patches", "cluster", "required"])
                {
                    let switch = match name {
                        "cluster" => Some(("kubeadm.cluster", &mut config.cluster)),
                        "required" => Some(("kubeadm.required", &mut config.kubeadm_required)),
                        _ => None,
                    };
                    if let Some((name, switch)) = switch {
                        *switch = decoder.boolean(node, name).unwrap_or(*switch);
                        continue;
                    }
                    if name == "patches" {
                        config.kubeadm_patches = decoder.string(node, "kubeadm.patches");
                        continue;
                    }
                    let items = decoder.list(node, "kubeadm.configs");
                    let paths =
                        items.iter().filter_map(|item| decoder.string(item, "kubeadm.configs[]")).collect();
                    config.kubeadm_configs = Some(paths).filter(|_| !node.is_null());
                }
            }
            "restart" => config.restart = decode_restart(node, decoder),
            "storage" => decode_storage(node, &mut config.storage, decoder),
            _ => {
                for (name, node) in decoder.mapping(node, "manifest", &["path", "strays"]) {
                    if name == "path" {
                        config.manifest_path = decoder.string(node, "manifest.path");
                    } else if let Some(text) = read_word(decoder, node, "manifest.strays", &["move", "refuse"]) {
                        config.strays = if text == "move" { Strays::Move } else { Strays::Refuse };
                    }
                }
            }
        }
    }
    for (name, value, expected) in [("apiVersion", api_version, API_VERSION), ("kind", kind, KIND)] {
        if value.is_none() && root.get(name).is_none_or(Node::is_null) {
            decoder.error(root.position, format!("{name} is missing; write {name}: {expected}"));
        }
    }
}

fn decode_log(node: &Node, log: &mut Log, decoder: &mut Decoder) {
    let known =
        ["path", "format", "maxAge", "maxBackup", "maxSize", "compress", "mode", "batch", "truncate", "version"];
    for (name, node) in decoder.mapping(node, "log", &known) {
        let path = join("log", name);
        match name {
            "path" => set_string(decoder, node, &path, &mut log.path),
            "format" => set_string(decoder, node, &path, &mut log.format),
            "maxAge" => set_integer(decoder, node, &path, &mut log.max_age),
            "maxBackup" => set_integer(decoder, node, &path, &mut log.max_backup),
            "maxSize" => set_integer(decoder, node, &path, &mut log.max_size),
            "compress" => log.compress = decoder.boolean(node, &path).unwrap_or(log.compress),
            _ => decode_backend(name, node, "log", &mut log.backend, decoder),
        }
    }
}

fn decode_webhook(node: &Node, decoder: &mut Decoder) -> Option<Webhook> {
    if node.is_null() {
        return None;
    }
    let mut webhook = Webhook { config_file: String::new(), initial_backoff: None, backend: Backend::NONE };
    let known = ["configFile", "initialBackoff", "mode", "batch", "truncate", "version"];
    for (name, node) in decoder.mapping(node, "webhook", &known) {
        let path = join("webhook", name);
        match name {
            "configFile" => set_string(decoder, node, &path, &mut webhook.config_file),
            "initialBackoff" => webhook.initial_backoff = read_duration(decoder, node, &path),
            _ => decode_backend(name, node, "webhook", &mut webhook.backend, decoder),
        }
    }
    if webhook.config_file.is_empty() {
        decoder.error(node.position, "webhook.configFile is missing; name the kubeconfig of the webhook's server");
    }
    Some(webhook)
}

fn decode_restart(node: &Node, decoder: &mut Decoder) -> Restart {
    let (mut mode, mut drain) = (None, DRAIN);
    for (name, node) in decoder.mapping(node, "restart", &["mode", "drain"]) {
        let path = join("restart", name);
        match name {
            "mode" => mode = read_word(decoder, node, &path, &["quick", "graceful"]),
            _ => {
                let Some(text) = read_duration(decoder, node, &path) else { continue };
                match flags::duration(&text).filter(|drain| *drain <= MAX_DRAIN) {
                    Some(given) => drain = given,
                    None => decoder.error(
                        node.position,
                        format!(
                            "{path} {text:?} must be from 0s to 30s, the time that the kubelet gives an API server to end"
                        ),
                    ),
                }
            }
        }
    }
    if mode.as_deref() == Some("graceful") { Restart::Graceful } else { Restart::Quick(drain) }
}

fn decode_storage(node: &Node, storage: &mut Storage, decoder: &mut Decoder) {
    let (mut bind, mut device, mut format) = (None, None, None);
    for (name, node) in
        decoder.mapping(node, "storage", &["require", "bind", "device", "format", "group", "headroom"])
    {
        let path = join("storage", name);
        match name {
            "require" => {
                storage.may_be_volatile =
                    read_word(decoder, node, &path, &["persistent", "any"]).is_some_and(|word| word == "any")
            }
            "bind" => bind = decoder.string(node, &path),
            "device" => device = decoder.string(node, &path),
            "format" => format = read_word(decoder, node, &path, &["ext4", "xfs"]),
            "group" => {
                let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
                if let (Type::Str, Some(name)) = (resolve(node), node.scalar().filter(|name| is_name(name))) {
                    let message = format!(
                        "{path} must be the number of a group, not its name; write the one that getent group {name} shows"
                    );
                    decoder.error(node.position, message);
                    continue;
                }
                let Some(number) = decoder.integer(node, &path) else { continue };
                match u32::try_from(number).ok().filter(|group| *group < u32::MAX) {
                    Some(group) => storage.group = Some(group),
                    None => decoder.error(
                        node.position,
                        format!(
                            "{path} {number} is not the number of a group; write one such as 4 (getent group adm)"
                        ),
                    ),
                }
            }
            _ => {
                let text = node.scalar().unwrap_or_default();
                match Share::parse(text) {
                    _ if node.is_null() => {}
                    // A number without a unit would mean bytes, which is surely a mistake.
                    Some(_) if text.ends_with(|c: char| c.is_ascii_digit()) && text != "0" => decoder.error(
                        node.position,
                        format!("{path} {text} is not a share such as 5%, or a size such as 1Gi; write the unit"),
                    ),
                    Some(share) => storage.headroom = Some(share),
                    None if text == "any" => storage.headroom = None,
                    None => decoder.error(
                        node.position,
                        format!("{path} {text:?} is not a share such as 5%, a size such as 1Gi, or any"),
                    ),
                }
            }
        }
    }
    let format = format.map(|format| if format == "ext4" { FileSystem::Ext4 } else { FileSystem::Xfs });
    storage.source = match (bind, device) {
        (Some(_), Some(_)) => {
            decoder.error(node.position, "storage.bind and storage.device exclude one another; leave one out");
            None
        }
        (bind, None) if format.is_some() => {
            decoder.error(
                node.position,
                "storage.format needs a storage.device; set storage.device, or remove storage.format",
            );
            bind.map(MountSource::Bind)
        }
        (bind, None) => bind.map(MountSource::Bind),
        (None, Some(name)) => Some(MountSource::Device { name, format }),
    };
}

fn decode_backend(name: &str, node: &Node, prefix: &str, backend: &mut Backend, decoder: &mut Decoder) {
    let path = join(prefix, name);
    match name {
        "mode" => {
            let mode = read_word(decoder, node, &path, &["batch", "blocking", "blocking-strict"]);
            backend.mode = mode.or(backend.mode.take());
        }
        "version" => backend.version = decoder.string(node, &path).or(backend.version.take()),
        "batch" => {
            let known = ["maxSize", "maxWait", "bufferSize", "throttleEnable", "throttleQPS", "throttleBurst"];
            for (name, node) in decoder.mapping(node, &path, &known) {
                let path = join(&path, name);
                match name {
                    "maxSize" => backend.batch_max_size = decoder.integer(node, &path).or(backend.batch_max_size),
                    "maxWait" => backend.batch_max_wait = read_duration(decoder, node, &path),
                    "bufferSize" => backend.batch_buffer_size = decoder.integer(node, &path),
                    "throttleEnable" => backend.throttle_enable = decoder.boolean(node, &path),
                    "throttleQPS" => backend.throttle_qps = read_number(decoder, node, &path),
                    _ => backend.throttle_burst = decoder.integer(node, &path),
                }
            }
        }
        _ => {
            for (name, node) in decoder.mapping(node, &path, &["enabled", "maxBatchSize", "maxEventSize"]) {
                let path = join(&path, name);
                match name {
                    "enabled" => {
                        backend.truncate_enabled = decoder.boolean(node, &path).or(backend.truncate_enabled);
                    }
                    "maxBatchSize" => {
                        let size = decoder.integer(node, &path);
                        backend.truncate_max_batch_size = size.or(backend.truncate_max_batch_size);
                    }
                    _ => {
                        let size = decoder.integer(node, &path);
                        backend.truncate_max_event_size = size.or(backend.truncate_max_event_size);
                    }
                }
            }
        }
    }
}

/// Sets a string; null keeps the default.
fn set_string(decoder: &mut Decoder, node: &Node, path: &str, slot: &mut String) {
    if let Some(value) = decoder.string(node, path) {
        *slot = value;
    }
}

/// Sets a number; null keeps the default.
fn set_integer(decoder: &mut Decoder, node: &Node, path: &str, slot: &mut i64) {
    if let Some(value) = decoder.integer(node, path) {
        *slot = value;
    }
}

/// A string that must be one of `known`.
fn read_word(decoder: &mut Decoder, node: &Node, path: &str, known: &[&str]) -> Option<String> {
    let text = decoder.string(node, path)?;
    if known.contains(&text.as_str()) {
        return Some(text);
    }
    let hint = match likely(&text, known) {
        Some(likely) => format!("did you mean {likely:?}?"),
        None => format!("it takes {}", known.join(", ")),
    };
    decoder.error(node.position, format!("{path} {text:?} is not known; {hint}"));
    None
}

/// A duration, as the text that Go reads.
fn read_duration(decoder: &mut Decoder, node: &Node, path: &str) -> Option<String> {
    let text = decoder.string(node, path)?;
    if flags::is_duration(&text) {
        return Some(text);
    }
    decoder.error(node.position, format!("{path} {text:?} is not a duration such as 5s or 1m30s"));
    None
}

/// A number that fits into 32 bits as a float, as text.
fn read_number(decoder: &mut Decoder, node: &Node, path: &str) -> Option<String> {
    let text = node.scalar().unwrap_or_default();
    match text.parse::<f32>() {
        Ok(value) if value.is_finite() => Some(text.to_owned()),
        _ if node.is_null() => None,
        _ => {
            decoder.wrong_type(node, path, "a number");
            None
        }
    }
}
