//! `AuditBootstrapConfiguration`: what the node shall look like.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::audit::flags;
use crate::audit::version::Version;
use crate::node::disk::aside;
use crate::storage::forecast::Share;
use crate::storage::unit::{Format, Source};
use crate::yaml::fields::{Decoder, Severity, join};
use crate::yaml::{Node, Place};

/// Where the configuration file is looked for.
pub const DEFAULT_PATH: &str = "/etc/kube-audit-bootstrap/config.yaml";
const API_VERSION: &str = "kube-audit-bootstrap/v1alpha1";
const KIND: &str = "AuditBootstrapConfiguration";

/// Where kubeadm's configuration is looked for, each with who puts it there.
pub const KUBEADM_CONFIGS: &[&str] = &[
    // Cluster API's kubeadm bootstrap provider, by cloud-init; and for a machine that joins.
    "/run/kubeadm/kubeadm.yaml",
    "/run/kubeadm/kubeadm-join-config.yaml",
    // The same provider, by Ignition.
    "/etc/kubeadm.yml",
    // kind, on every node.
    "/kind/kubeadm.conf",
    // Kairos' provider-kubeadm: what `kubeadm init` reads, and what it renders manifests from again later.
    "/opt/kubeadm/kubeadm.yaml",
    "/opt/kubeadm/cluster-config.yaml",
    // Where people put it by hand.
    "/etc/kubernetes/kubeadm.yaml",
    "/etc/kubernetes/kubeadm-config.yaml",
    "/etc/kubernetes/kubeadm/kubeadm.yaml",
    "/etc/kubernetes/kubeadm/kubeadm-config.yaml",
    "/etc/kubeadm/kubeadm.yaml",
    "/etc/kubeadm/kubeadm-config.yaml",
];

/// What to do with audit flags that a file already carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// They get our values.
    Replace,
    /// They stay, and what is missing is added.
    Keep,
}

/// What to do with other files in the manifest directory that define an API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strays {
    /// Move them to the backups.
    Move,
    /// Change nothing until somebody has removed them.
    Refuse,
}

/// The options that the log and the webhook backend share.
#[derive(Clone, Debug)]
pub struct Backend {
    pub mode: Option<String>,
    pub batch_max_size: Option<i64>,
    pub batch_max_wait: Option<String>,
    pub batch_buffer_size: Option<i64>,
    pub throttle_enable: Option<bool>,
    pub throttle_qps: Option<String>,
    pub throttle_burst: Option<i64>,
    pub truncate_enabled: Option<bool>,
    pub truncate_max_batch_size: Option<i64>,
    pub truncate_max_event_size: Option<i64>,
    pub version: Option<String>,
}

impl Backend {
    const NONE: Backend = Backend {
        mode: None,
        batch_max_size: None,
        batch_max_wait: None,
        batch_buffer_size: None,
        throttle_enable: None,
        throttle_qps: None,
        throttle_burst: None,
        truncate_enabled: None,
        truncate_max_batch_size: None,
        truncate_max_event_size: None,
        version: None,
    };
}

/// The log backend.
#[derive(Clone, Debug)]
pub struct Log {
    /// A file, or `-` for the standard output of the API server's container.
    pub path: String,
    pub format: String,
    /// Days.
    pub max_age: i64,
    /// Files.
    pub max_backup: i64,
    /// MiB.
    pub max_size: i64,
    pub compress: bool,
    pub backend: Backend,
}

impl Log {
    /// The path of the log, if that is a file.
    pub fn file(&self) -> Option<&String> {
        Some(&self.path).filter(|path| *path != STDOUT)
    }
}

/// The webhook backend.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// A kubeconfig on the node.
    pub config_file: String,
    pub initial_backoff: Option<String>,
    pub backend: Backend,
}

/// How the API server of before is ended that a changed manifest replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// As soon as requests under way have had so long to end; at most the 30 s that the kubelet waits.
    Quick(Duration),
    /// By the kubelet.
    Graceful,
}

/// What is asked of the place where the log lies.
#[derive(Clone, Debug)]
pub struct Storage {
    /// May it be one that doesn't outlive a reboot?
    pub may_be_volatile: bool,
    /// What is mounted there; `None` leaves the place as it is.
    pub source: Option<Source>,
    /// Who may read the log besides its owner.
    pub group: Option<u32>,
    /// What stays free of the file system where the log is as large as its limits let it be; `None` doesn't look.
    pub headroom: Option<Share>,
}

/// What goes on around a run. None of the file's: who calls says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Occasion {
    #[default]
    Any,
    /// A boot: kubeadm may follow, and need not.
    Boot,
    /// `kubeadm init` is about to read the file that is named, so what it says of joining doesn't count, or to run without one.
    Init,
    /// `kubeadm join` is about to read the file that is named, or to make a control plane without one.
    Join,
    /// `kubeadm upgrade` is about to make the manifest anew.
    Upgrade,
}

impl Occasion {
    /// The command of kubeadm's that is about to start, which then makes the manifest, or refuses to.
    pub fn command(self) -> Option<&'static str> {
        match self {
            Occasion::Any | Occasion::Boot => None,
            Occasion::Init => Some("init"),
            Occasion::Join => Some("join"),
            Occasion::Upgrade => Some("upgrade"),
        }
    }

    /// Is kubeadm about to start? It reads the file that is named, and no other.
    pub fn is_kubeadm(self) -> bool {
        self.command().is_some()
    }
}

impl Config {
    /// Is kubeadm about to do that without a file of its own?
    pub fn is_without_file(&self, occasion: Occasion) -> bool {
        self.occasion == occasion && self.kubeadm_configs.as_deref().is_none_or(<[_]>::is_empty)
    }
}

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub kubernetes_version: Option<Version>,
    pub existing: Existing,
    pub policy_path: String,
    /// A file on the node, or `default`.
    pub policy_source: String,
    pub log: Log,
    pub webhook: Option<Webhook>,
    pub storage: Storage,
    /// `None`: [`KUBEADM_CONFIGS`], of which those count that are there.
    pub kubeadm_configs: Option<Vec<String>>,
    /// Called as kubeadm: doesn't that start where the node can't be prepared?
    pub kubeadm_required: bool,
    /// Why the program runs, where that isn't to be told from the files.
    pub occasion: Occasion,
    /// Is the cluster's own copy of kubeadm's configuration edited, too?
    pub cluster: bool,
    /// `None`: `kube-apiserver.yaml` in the directory that the kubelet's configuration names.
    pub manifest_path: Option<String>,
    pub strays: Strays,
    pub restart: Restart,
}

/// How long requests under way have where nothing else is said.
const DRAIN: Duration = Duration::from_secs(5);
/// The kubelet ends the API server after so long itself (`terminationGracePeriodSeconds`).
const MAX_DRAIN: Duration = Duration::from_secs(30);

/// The nanoseconds of more days don't fit (natefinch/lumberjack `millRunOnce`).
const MAX_AGE: i64 = 106_751;

/// What stays free where nothing else is said, and the kubelet doesn't keep more.
const HEADROOM: Share = Share::Percent(5.0);

impl Default for Config {
    /// The values of the guide that the `default` profile follows, and a wait for batches: see [`flags::is_busy`].
    fn default() -> Self {
        Config {
            kubernetes_version: None,
            existing: Existing::Replace,
            policy_path: "/etc/kubernetes/audit-policy.yaml".to_owned(),
            policy_source: "default".to_owned(),
            log: Log {
                path: "/var/log/kubernetes/audit/audit.log".to_owned(),
                format: "json".to_owned(),
                max_age: 30,
                max_backup: 100,
                max_size: 50,
                compress: true,
                backend: Backend {
                    mode: Some("batch".to_owned()),
                    batch_max_size: Some(5),
                    batch_max_wait: Some("1s".to_owned()),
                    truncate_enabled: Some(true),
                    truncate_max_batch_size: Some(10_485_760),
                    truncate_max_event_size: Some(102_400),
                    version: Some("audit.k8s.io/v1".to_owned()),
                    ..Backend::NONE
                },
            },
            webhook: None,
            storage: Storage { may_be_volatile: false, source: None, group: None, headroom: Some(HEADROOM) },
            kubeadm_configs: None,
            kubeadm_required: true,
            occasion: Occasion::Any,
            cluster: true,
            manifest_path: None,
            strays: Strays::Move,
            restart: Restart::Quick(DRAIN),
        }
    }
}

impl Config {
    /// Reads a configuration file's text. Errors are one line a fault, each beginning with `name:line:column`.
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
            [_, second, ..] => decoder.error(second.root.place, "one document is expected, here is a second one"),
        }
        if !decoder.failed() {
            for (field, fault) in config.faults() {
                let place = decoder.place(&field).unwrap_or(Place::START);
                decoder.error(place, fault);
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

    /// The flags that the configuration asks for, in the order in which the guide has them.
    pub fn flags(&self) -> Vec<(String, String)> {
        let mut flags = Vec::new();
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                flags.push((name.to_owned(), value));
            }
        };
        let log = &self.log;
        add("audit-policy-file", Some(self.policy_path.clone()));
        add("audit-log-path", Some(log.path.clone()));
        add("audit-log-batch-max-size", log.backend.batch_max_size.map(|size| size.to_string()));
        add("audit-log-compress", log.compress.then(|| "true".to_owned()));
        add("audit-log-format", Some(log.format.clone()));
        add("audit-log-maxage", Some(log.max_age.to_string()));
        add("audit-log-maxbackup", Some(log.max_backup.to_string()));
        add("audit-log-maxsize", Some(log.max_size.to_string()));
        backend_flags("audit-log", &log.backend, &mut flags);
        if let Some(webhook) = &self.webhook {
            let mut add = |name: &str, value: Option<String>| {
                if let Some(value) = value {
                    flags.push((name.to_owned(), value));
                }
            };
            add("audit-webhook-config-file", Some(webhook.config_file.clone()));
            add("audit-webhook-initial-backoff", webhook.initial_backoff.clone());
            add("audit-webhook-batch-max-size", webhook.backend.batch_max_size.map(|size| size.to_string()));
            backend_flags("audit-webhook", &webhook.backend, &mut flags);
        }
        flags
    }

    /// The boolean flags that the configuration turns off. Off is what the API server does without them, so they are
    /// set only where a file has them.
    pub fn flags_off(&self) -> Vec<String> {
        let webhook = self.webhook.as_ref().and_then(|webhook| webhook.backend.truncate_enabled);
        [
            ("audit-log-compress", Some(self.log.compress)),
            ("audit-log-truncate-enabled", self.log.backend.truncate_enabled),
            ("audit-webhook-truncate-enabled", webhook),
        ]
        .into_iter()
        .filter(|(_, on)| *on == Some(false))
        .map(|(name, _)| name.to_owned())
        .collect()
    }

    /// What makes this configuration impossible, whatever the node: the field to blame, and a sentence.
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
        if self.policy_source != "default" {
            let fault = path_fault("policy.source", &self.policy_source);
            faults.extend(fault.map(|fault| ("policy.source".to_owned(), fault)));
        }
        if faults.is_empty()
            && let Some(fault) = self.log.file().and_then(|path| log_directory_fault(parent(path)))
        {
            faults.push(("log.path".to_owned(), format!("log.path {fault}")));
        }
        if is_within(&self.policy_path, STATE) {
            faults.push(("policy.path".to_owned(), format!("policy.path must not lie in {STATE}")));
        }
        let webhook = self.webhook.as_ref().map(|webhook| &webhook.config_file);
        for (name, other) in [
            ("webhook.configFile", webhook),
            ("manifest.path", self.manifest_path.as_ref()),
            ("log.path", self.log.file()),
        ] {
            if other == Some(&self.policy_path) {
                faults.push(("policy.path".to_owned(), format!("policy.path and {name} are the same file")));
            }
        }
        if let Some(fault) = self.storage.source.as_ref().and_then(|source| source_fault(source, self.log.file()))
        {
            faults.push(fault);
        }
        if self.log.max_age > MAX_AGE {
            let fault = format!(
                "log.maxAge {} is more than {MAX_AGE} days, which the API server can't count: it would keep nothing",
                self.log.max_age
            );
            faults.push(("log.maxAge".to_owned(), fault));
        }
        let flags: flags::Flags = self.flags().into_iter().collect();
        let would_fail = flags::faults(&flags, self.kubernetes_version);
        faults.extend(would_fail.iter().map(|fault| (field_of(&fault.flag), fault.to_string())));
        faults
    }
}

/// What keeps a disk, or a directory of one, from being mounted where the log lies: the field to blame, and a sentence.
fn source_fault(source: &Source, log: Option<&String>) -> Option<(String, String)> {
    let field = match source {
        Source::Bind(_) => "storage.bind",
        Source::Device { .. } => "storage.device",
    };
    let fault = |text: String| Some((field.to_owned(), text));
    let Some(directory) = log.map(|log| parent(log)) else {
        return fault(format!("{field} needs a log.path that is a file"));
    };
    match source {
        Source::Bind(from) => {
            if let Some(fault) = path_fault(field, from) {
                return Some((field.to_owned(), fault));
            }
            let aside = aside(directory);
            if is_within(from, directory) || is_within(directory, from) || is_within(from, &aside) {
                return fault(format!(
                    "{field} {from} and the directory of log.path, {directory}, or {aside}, lie in one another"
                ));
            }
            log_directory_fault(from).map(|_| {
                (field.to_owned(), format!("{field} {from} is a place of the system's, or of others; name a directory of its own, such as /data/audit"))
            })
        }
        Source::Device { name, format } => {
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
                    "{field} {name:?} is no LABEL=..., UUID=..., PARTLABEL=... or PARTUUID=..., and no path such as /dev/disk/by-id/...: \
                     names such as /dev/sdb may be another disk's at the next boot"
                ));
            }
            (is_tag && format.is_some() && !name.starts_with("PART")).then(|| {
                (
                    "storage.format".to_owned(),
                    format!("storage.format: a blank device has no {name}; name it by /dev/disk/by-id/..."),
                )
            })
        }
    }
}

/// The field that gives a flag its value.
fn field_of(flag: &str) -> String {
    let flag = flag.strip_prefix("audit-").unwrap_or(flag);
    let (backend, option) = flag.split_once('-').unwrap_or((flag, ""));
    let field = match option {
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

/// What we keep on a node, 0700.
pub const STATE: &str = "/var/lib/kube-audit-bootstrap";

/// Directories that many programs use. The log's directory is mounted into the API server read-write, and
/// its mode is set to 0700.
const SHARED_DIRECTORIES: &[&str] = &[
    "/",
    "/var",
    "/var/log",
    "/var/lib",
    "/var/log/pods",
    "/var/log/containers",
    "/etc",
    "/etc/kubernetes",
    "/tmp",
    "/run",
    "/root",
    "/home",
    "/opt",
    "/mnt",
    "/srv",
    "/data",
    "/var/lib/kubelet",
    "/var/lib/etcd",
    "/var/log/journal",
];

/// Directories whose whole content is the system's, Kubernetes' or this program's.
const SYSTEM_TREES: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc/kubernetes/manifests",
    "/etc/kubernetes/pki",
    "/etc/ssl",
    "/lib",
    "/lib64",
    "/proc",
    "/sbin",
    "/sys",
    "/usr",
    STATE,
];

/// What keeps a directory from being the log's: it is mounted into the API server's container, where it would hide what the
/// image has there, and closed to everybody else.
pub fn log_directory_fault(directory: &str) -> Option<String> {
    let taken =
        SHARED_DIRECTORIES.contains(&directory) || SYSTEM_TREES.iter().any(|tree| is_within(directory, tree));
    taken.then(|| {
        format!(
            "must lie in a directory of its own, not in {directory}: that is given to the API server and closed to \
             everybody else; use for example /var/log/kubernetes/audit/audit.log"
        )
    })
}

/// Is a path a directory, or below it?
pub fn is_within(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The `--audit-log-path` that is no file: the container runtime keeps what is written there, for as long as it likes.
const STDOUT: &str = "-";

/// The directory of an absolute path.
pub fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

/// What keeps a text from being a file's path on the node and in the API server's container.
pub fn path_fault(name: &str, path: &str) -> Option<String> {
    let reason = if !path.starts_with('/') {
        "must be an absolute path"
    } else if path.len() > 1024 {
        "is too long"
    } else if path.ends_with('/') {
        "must name a file, not a directory"
    } else if path[1..].split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        "must be written without `//`, `.` and `..`"
    } else if path.contains(|c: char| !c.is_ascii_graphic() || ":\"'\\`$".contains(c)) {
        // A mount path takes no colon, and the kubelet expands $(...) in arguments.
        "may hold letters, digits and plain marks alone, no blanks, quotes, colons or `$`"
    } else {
        return None;
    };
    Some(format!("{name} {reason}: {path:?}"))
}

fn backend_flags(prefix: &str, backend: &Backend, flags: &mut Vec<(String, String)>) {
    let number = |value: Option<i64>| value.map(|value| value.to_string());
    let boolean = |value: Option<bool>| value.map(|value| value.to_string());
    for (option, value) in [
        ("mode", backend.mode.clone()),
        ("batch-max-wait", backend.batch_max_wait.clone()),
        ("batch-buffer-size", number(backend.batch_buffer_size)),
        ("batch-throttle-enable", boolean(backend.throttle_enable)),
        ("batch-throttle-qps", backend.throttle_qps.clone()),
        ("batch-throttle-burst", number(backend.throttle_burst)),
        // Off is the API server's default, and the sizes are checked in any case.
        ("truncate-enabled", backend.truncate_enabled.filter(|on| *on).map(|on| on.to_string())),
        ("truncate-max-batch-size", number(backend.truncate_max_batch_size)),
        ("truncate-max-event-size", number(backend.truncate_max_event_size)),
        ("version", backend.version.clone()),
    ] {
        if let Some(value) = value {
            flags.push((format!("{prefix}-{option}"), value));
        }
    }
}

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
    for (name, node) in decoder.mapping(root, "", &known) {
        match name {
            "apiVersion" => api_version = one_of(decoder, node, name, &[API_VERSION]),
            "kind" => kind = one_of(decoder, node, name, &[KIND]),
            "profile" => {
                one_of(decoder, node, name, &["default"]);
            }
            "kubernetesVersion" => {
                if let Some(text) = decoder.string(node, name) {
                    config.kubernetes_version = Version::parse(&text);
                    if config.kubernetes_version.is_none() {
                        decoder.error(
                            node.place,
                            format!("kubernetesVersion {text:?} is no version such as v1.30.2"),
                        );
                    }
                }
            }
            "existing" => {
                if let Some(text) = one_of(decoder, node, name, &["replace", "keep"]) {
                    config.existing = if text == "keep" { Existing::Keep } else { Existing::Replace };
                }
            }
            "policy" => {
                for (name, node) in decoder.mapping(node, "policy", &["path", "source"]) {
                    let slot = if name == "path" { &mut config.policy_path } else { &mut config.policy_source };
                    string(decoder, node, &join("policy", name), slot);
                }
            }
            "log" => decode_log(node, &mut config.log, decoder),
            "webhook" => config.webhook = decode_webhook(node, decoder),
            "kubeadm" => {
                for (name, node) in decoder.mapping(node, "kubeadm", &["configs", "cluster", "required"]) {
                    let switch = match name {
                        "cluster" => Some(("kubeadm.cluster", &mut config.cluster)),
                        "required" => Some(("kubeadm.required", &mut config.kubeadm_required)),
                        _ => None,
                    };
                    if let Some((name, switch)) = switch {
                        *switch = decoder.boolean(node, name).unwrap_or(*switch);
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
                    } else if let Some(text) = one_of(decoder, node, "manifest.strays", &["move", "refuse"]) {
                        config.strays = if text == "move" { Strays::Move } else { Strays::Refuse };
                    }
                }
            }
        }
    }
    for (name, value, expected) in [("apiVersion", api_version, API_VERSION), ("kind", kind, KIND)] {
        if value.is_none() && root.get(name).is_none_or(Node::is_null) {
            decoder.error(root.place, format!("{name} is missing; write {name}: {expected}"));
        }
    }
}

fn decode_log(node: &Node, log: &mut Log, decoder: &mut Decoder) {
    let known =
        ["path", "format", "maxAge", "maxBackup", "maxSize", "compress", "mode", "batch", "truncate", "version"];
    for (name, node) in decoder.mapping(node, "log", &known) {
        let path = join("log", name);
        match name {
            "path" => string(decoder, node, &path, &mut log.path),
            "format" => string(decoder, node, &path, &mut log.format),
            "maxAge" => integer(decoder, node, &path, &mut log.max_age),
            "maxBackup" => integer(decoder, node, &path, &mut log.max_backup),
            "maxSize" => integer(decoder, node, &path, &mut log.max_size),
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
            "configFile" => string(decoder, node, &path, &mut webhook.config_file),
            "initialBackoff" => webhook.initial_backoff = duration(decoder, node, &path),
            _ => decode_backend(name, node, "webhook", &mut webhook.backend, decoder),
        }
    }
    if webhook.config_file.is_empty() {
        decoder.error(node.place, "webhook.configFile is missing; name the kubeconfig of the webhook's server");
    }
    Some(webhook)
}

fn decode_restart(node: &Node, decoder: &mut Decoder) -> Restart {
    let (mut mode, mut drain) = (None, DRAIN);
    for (name, node) in decoder.mapping(node, "restart", &["mode", "drain"]) {
        let path = join("restart", name);
        match name {
            "mode" => mode = one_of(decoder, node, &path, &["quick", "graceful"]),
            _ => {
                let Some(text) = duration(decoder, node, &path) else { continue };
                match flags::duration(&text).filter(|drain| *drain <= MAX_DRAIN) {
                    Some(given) => drain = given,
                    None => decoder.error(
                        node.place,
                        format!(
                            "{path} {text:?} is not within the 30 s that the kubelet gives an API server to end"
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
                    one_of(decoder, node, &path, &["persistent", "any"]).is_some_and(|word| word == "any")
            }
            "bind" => bind = decoder.string(node, &path),
            "device" => device = decoder.string(node, &path),
            "format" => format = one_of(decoder, node, &path, &["ext4", "xfs"]),
            "group" => {
                let Some(number) = decoder.integer(node, &path) else { continue };
                match u32::try_from(number).ok().filter(|group| *group < u32::MAX) {
                    Some(group) => storage.group = Some(group),
                    None => decoder.error(node.place, format!("{path} {number} is no number of a group")),
                }
            }
            _ => {
                let text = node.scalar().unwrap_or_default();
                match Share::parse(text) {
                    _ if node.is_null() => {}
                    // Of 5 bytes, nobody thinks.
                    Some(_) if text.ends_with(|c: char| c.is_ascii_digit()) && text != "0" => decoder.error(
                        node.place,
                        format!("{path} {text} is no share such as 5%, and no size such as 1Gi; write the unit"),
                    ),
                    Some(share) => storage.headroom = Some(share),
                    None if text == "any" => storage.headroom = None,
                    None => decoder.error(
                        node.place,
                        format!("{path} {text:?} is no share such as 5%, no size such as 1Gi, and not any"),
                    ),
                }
            }
        }
    }
    let format = format.map(|format| if format == "ext4" { Format::Ext4 } else { Format::Xfs });
    storage.source = match (bind, device) {
        (Some(_), Some(_)) => {
            decoder.error(node.place, "storage.bind and storage.device exclude one another; leave one out");
            None
        }
        (bind, None) if format.is_some() => {
            decoder.error(node.place, "storage.format needs a storage.device");
            bind.map(Source::Bind)
        }
        (bind, None) => bind.map(Source::Bind),
        (None, Some(name)) => Some(Source::Device { name, format }),
    };
}

fn decode_backend(name: &str, node: &Node, prefix: &str, backend: &mut Backend, decoder: &mut Decoder) {
    let path = join(prefix, name);
    match name {
        "mode" => {
            let mode = one_of(decoder, node, &path, &["batch", "blocking", "blocking-strict"]);
            backend.mode = mode.or(backend.mode.take());
        }
        "version" => backend.version = decoder.string(node, &path).or(backend.version.take()),
        "batch" => {
            let known = ["maxSize", "maxWait", "bufferSize", "throttleEnable", "throttleQPS", "throttleBurst"];
            for (name, node) in decoder.mapping(node, &path, &known) {
                let path = join(&path, name);
                match name {
                    "maxSize" => backend.batch_max_size = decoder.integer(node, &path).or(backend.batch_max_size),
                    "maxWait" => backend.batch_max_wait = duration(decoder, node, &path),
                    "bufferSize" => backend.batch_buffer_size = decoder.integer(node, &path),
                    "throttleEnable" => backend.throttle_enable = decoder.boolean(node, &path),
                    "throttleQPS" => backend.throttle_qps = number(decoder, node, &path),
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

/// Sets a string; null leaves the default.
fn string(decoder: &mut Decoder, node: &Node, path: &str, slot: &mut String) {
    if let Some(value) = decoder.string(node, path) {
        *slot = value;
    }
}

/// Sets a number; null leaves the default.
fn integer(decoder: &mut Decoder, node: &Node, path: &str, slot: &mut i64) {
    if let Some(value) = decoder.integer(node, path) {
        *slot = value;
    }
}

fn one_of(decoder: &mut Decoder, node: &Node, path: &str, known: &[&str]) -> Option<String> {
    let text = decoder.string(node, path)?;
    if known.contains(&text.as_str()) {
        return Some(text);
    }
    decoder.error(node.place, format!("{path} {text:?} is not known; it takes {}", known.join(", ")));
    None
}

fn duration(decoder: &mut Decoder, node: &Node, path: &str) -> Option<String> {
    let text = decoder.string(node, path)?;
    if flags::is_duration(&text) {
        return Some(text);
    }
    decoder.error(node.place, format!("{path} {text:?} is no duration such as 5s or 1m30s"));
    None
}

fn number(decoder: &mut Decoder, node: &Node, path: &str) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The configuration that README.md shows.
    fn shown() -> String {
        let (_, rest) = include_str!("../README.md").split_once("This is the default, in full:\n\n").unwrap();
        rest.lines().map_while(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect()
    }

    /// The packages bring the same text, commented out.
    #[test]
    fn the_default_is_what_the_readme_shows() {
        let shown = shown();
        let read = Config::parse(&shown, "README.md").unwrap();
        assert_eq!(format!("{read:#?}"), format!("{:#?}", Config::default()));
        let packaged: String = shown.lines().map(|line| format!("# {line}\n")).collect();
        assert!(include_str!("../image/config.yaml").ends_with(&format!("#\n{packaged}")), "{packaged}");
    }

    /// A field that is in no mapping brings up the ones that are.
    #[test]
    fn the_readme_shows_every_field() {
        let shown = shown();
        let mut text = "q: 0\n".to_owned();
        for line in shown.lines() {
            text += &format!("{}\n", line.replace('}', ", q: 0}"));
            if line.ends_with(':') {
                text += "  q: 0\n";
            }
        }
        let documents = crate::yaml::parse(&shown).unwrap();
        let mut mappings = Vec::new();
        let faults = Config::parse(&text, "README.md").unwrap_err().to_string();
        for fault in faults.lines() {
            let (_, fault) = fault.split_once("unknown field \"").unwrap();
            let (path, known) = fault.split_once("q\"; known are ").unwrap();
            let names = path.split('.').filter(|name| !name.is_empty());
            let mapping = names.fold(&documents[0].root, |node, name| node.get(name).unwrap());
            let keys: BTreeSet<_> = mapping.entries().into_iter().filter_map(|(key, _)| key.scalar()).collect();
            assert_eq!(keys, known.split(", ").collect(), "{path}");
            mappings.push(path);
        }
        mappings.sort_unstable();
        let all = ",kubeadm.,log.,log.batch.,log.truncate.,manifest.,policy.,restart.,storage.";
        assert_eq!(mappings.join(","), all);
    }

    #[test]
    fn what_is_mounted_must_have_a_name_that_stays_and_a_place_of_its_own() {
        for (storage, fault) in [
            ("{device: LABEL=audit}", None),
            ("{device: UUID=0b1d-2c3e}", None),
            ("{device: PARTLABEL=audit, format: xfs}", None),
            ("{device: /dev/disk/by-id/x, format: ext4}", None),
            ("{device: /dev/mapper/vg-audit}", None),
            ("{bind: /data/audit}", None),
            ("{headroom: any, group: 0}", None),
            ("{device: /dev/sdb}", Some("may be another disk's")),
            ("{device: LABEL=}", Some("is no LABEL=")),
            ("{device: 'LABEL=a b'}", None),
            ("{device: /dev/disk/by-path/pci-0000:00:1f.2-ata-1}", None),
            ("{bind: /var/log/kubernetes/audit.before-mount}", Some("lie in one another")),
            ("{device: audit}", Some("is no LABEL=")),
            ("{device: /dev/disk/../sdb}", Some("is no LABEL=")),
            ("{device: LABEL=audit, format: ext4}", Some("a blank device has no LABEL=audit")),
            ("{bind: data}", Some("must be an absolute path")),
            ("{bind: /data}", Some("a directory of its own")),
            ("{headroom: 5}", Some("is no share")),
            ("{bind: /var/log/kubernetes/audit/x}", Some("lie in one another")),
            ("{bind: /var/log/kubernetes}", Some("lie in one another")),
        ] {
            let text = format!("apiVersion: {API_VERSION}\nkind: {KIND}\nstorage: {storage}\n");
            let found = Config::parse(&text, "config").err().map(|error| format!("{error:#}"));
            assert_eq!(found.is_some(), fault.is_some(), "{storage}: {found:?}");
            assert!(found.unwrap_or_default().contains(fault.unwrap_or_default()), "{storage}");
        }
        let text = format!(
            "apiVersion: {API_VERSION}\nkind: {KIND}\nstorage: {{bind: /data/audit}}\nlog: {{path: '-'}}\n"
        );
        assert!(
            Config::parse(&text, "config").unwrap_err().to_string().contains("needs a log.path that is a file")
        );
    }
}
