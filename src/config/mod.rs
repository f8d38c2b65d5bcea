//! The program's configuration file, `AuditBootstrapConfiguration`: how a node should be.
//!
//! [`Config`] holds what the file can say, and nothing else. This folder reads the text, and touches no node.

mod decode;
mod faults;
pub mod misuse;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::audit::profiles::{PROFILES, Profile};
use crate::audit::version::Version;
use crate::storage::forecast::Share;
use crate::storage::unit::MountSource;

/// The path of the configuration file on the node.
pub const DEFAULT_PATH: &str = "/etc/kube-audit-bootstrap/config.yaml";

/// The directory of the fragments on the node: policies that are put together with the policy of the configuration.
pub const FRAGMENTS: &str = "/etc/kube-audit-bootstrap/policy.d";

/// The default paths of the kubeadm configuration file, and what puts the file there.
pub const KUBEADM_CONFIGS: &[&str] = &[
    // Cluster API's kubeadm bootstrap provider, by cloud-init; the second for a machine that joins.
    "/run/kubeadm/kubeadm.yaml",
    "/run/kubeadm/kubeadm-join-config.yaml",
    // The same provider, by Ignition.
    "/etc/kubeadm.yml",
    // kind, on every node.
    "/kind/kubeadm.conf",
    // Kairos' provider-kubeadm: the file for `kubeadm init`, and the file from which it makes manifests later.
    "/opt/kubeadm/kubeadm.yaml",
    "/opt/kubeadm/cluster-config.yaml",
    // minikube, on every start.
    "/var/tmp/minikube/kubeadm.yaml",
    // Administrators, by hand.
    "/etc/kubernetes/kubeadm.yaml",
    "/etc/kubernetes/kubeadm.yml",
    "/etc/kubernetes/kubeadm.conf",
    "/etc/kubernetes/kubeadm-config.yaml",
    "/etc/kubernetes/kubeadm/kubeadm.yaml",
    "/etc/kubernetes/kubeadm/kubeadm-config.yaml",
    "/etc/kubeadm/kubeadm.yaml",
    "/etc/kubeadm/kubeadm-config.yaml",
];

/// What to do with audit flags that a file already has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// They get the program's values.
    Replace,
    /// They keep their values, and missing flags are added.
    Keep,
}

/// What to do with other files in the manifest directory that define an API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strays {
    /// Move them to the backup.
    Move,
    /// Change nothing until the administrator has moved them.
    Refuse,
}

/// The options that the log backend and the webhook backend share. `None` leaves the API server's own default.
/// Durations are texts as Go writes them. Sizes are bytes, except those of `batch_*`, which are events.
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
    /// `json` or `legacy`.
    pub format: String,
    /// Days.
    pub max_age: i64,
    /// Rotated files.
    pub max_backup: i64,
    /// MiB per file.
    pub max_size: i64,
    pub compress: bool,
    pub backend: Backend,
}

impl Log {
    /// The path of the log, if it is a file.
    pub fn file(&self) -> Option<&String> {
        Some(&self.path).filter(|path| *path != STDOUT)
    }
}

/// The webhook backend.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The path of a kubeconfig on the node.
    pub config_file: String,
    /// A duration as Go writes it.
    pub initial_backoff: Option<String>,
    pub backend: Backend,
}

/// How the previous API server ends when the manifest has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// `apply --wait` ends it, after running requests had this time to end: at most the 30 s that the kubelet waits.
    Quick(Duration),
    /// The kubelet ends it.
    Graceful,
}

/// What the log directory must be like.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Whether the log may be lost at a reboot.
    pub may_be_volatile: bool,
    /// The dedicated disk to mount there; `None` mounts nothing.
    pub source: Option<MountSource>,
    /// The number of the group that can read the log.
    pub group: Option<u32>,
    /// What must stay free of the file system when the log has its largest size; `None` does not check this.
    pub headroom: Option<Share>,
}

impl Storage {
    /// The directory on another disk that is mounted at the log directory, if it is one.
    pub fn bind(&self) -> Option<&String> {
        match &self.source {
            Some(MountSource::Bind(path)) => Some(path),
            _ => None,
        }
    }
}

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Sets the limits of the log, if their own fields do not.
    pub profile: &'static Profile,
    /// `None`: the version is found on the node.
    pub kubernetes_version: Option<Version>,
    pub existing: Existing,
    /// Refuse a policy that stays if the API server reads it in another way than it says. Only `--strict` sets it.
    pub strict: bool,
    /// Where the policy is installed.
    pub policy_path: String,
    /// The path of a file on the node, or `default`, the policy of the profile.
    pub policy_source: String,
    pub log: Log,
    pub webhook: Option<Webhook>,
    pub storage: Storage,
    /// `None`: those of [`KUBEADM_CONFIGS`] that exist.
    pub kubeadm_configs: Option<Vec<String>>,
    /// The directory that kubeadm gets with its own `--patches`.
    pub kubeadm_patches: Option<String>,
    /// If the program is called as kubeadm: do not start kubeadm if the node can't be prepared.
    pub kubeadm_required: bool,
    /// Also edit the cluster's kubeadm configuration, the ConfigMap `kube-system/kubeadm-config`.
    pub cluster: bool,
    /// `None`: `kube-apiserver.yaml` in the manifest directory of the kubelet's configuration.
    pub manifest_path: Option<String>,
    pub strays: Strays,
    pub restart: Restart,
    /// Where some fields are written, as `FILE:LINE:COLUMN` or `--OPTION`.
    pub places: BTreeMap<&'static str, String>,
}

/// The default of `restart.drain`.
const DRAIN: Duration = Duration::from_secs(5);

/// The default of `storage.headroom`. The kubelet may keep more free.
const HEADROOM: Share = Share::Percent(5.0);

impl Default for Config {
    /// The values of the guide that administrators follow by hand, and `maxWait`, see
    /// [`is_busy`](crate::audit::flags::is_busy).
    fn default() -> Self {
        let profile = &PROFILES[0];
        Config {
            profile,
            kubernetes_version: None,
            existing: Existing::Replace,
            strict: false,
            policy_path: "/etc/kubernetes/audit-policy.yaml".to_owned(),
            policy_source: "default".to_owned(),
            log: Log {
                path: "/var/log/kubernetes/audit/audit.log".to_owned(),
                format: "json".to_owned(),
                max_age: profile.max_age,
                max_backup: profile.max_backup,
                max_size: profile.max_size,
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
            kubeadm_patches: None,
            kubeadm_required: true,
            cluster: true,
            manifest_path: None,
            strays: Strays::Move,
            restart: Restart::Quick(DRAIN),
            places: BTreeMap::new(),
        }
    }
}

impl Config {
    /// The name and value of each flag that the configuration sets, without dashes, in the order of the guide.
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

    /// The names of the boolean flags that the configuration turns off. Off is the API server's default, so they are
    /// set only in a file that has them.
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
}

/// The `--audit-log-path` that means standard output. The container runtime decides how long it keeps that.
const STDOUT: &str = "-";

/// Adds the flags that both backends have.
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
        // Off is the API server's default. The API server checks the sizes in any case.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use anyhow::Result;

    use super::decode::{API_VERSION, KIND, MAX_DRAIN};
    use super::*;
    use crate::storage::unit::FileSystem;

    /// The configuration that README.md shows.
    fn shown() -> String {
        let (_, rest) = include_str!("../../README.md").split_once("This is the default, in full:\n\n").unwrap();
        rest.lines().map_while(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect()
    }

    /// The packages have the same text, commented out.
    #[test]
    fn the_default_is_what_the_readme_shows() {
        let shown = shown();
        let read = Config { places: BTreeMap::new(), ..Config::parse(&shown, "README.md").unwrap() };
        assert_eq!(format!("{read:#?}"), format!("{:#?}", Config::default()));
        let packaged: String = shown.lines().map(|line| format!("# {line}\n")).collect();
        assert!(include_str!("../../image/config.yaml").ends_with(&format!("#\n{packaged}")), "{packaged}");
    }

    /// The error about an unknown field lists the known fields of its mapping.
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
            let (path, known) = fault.split_once("q\"; the known fields are ").unwrap();
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
            ("{device: /dev/sdb}", Some("may mean another disk")),
            ("{device: LABEL=}", Some("must be LABEL=")),
            ("{device: 'LABEL=a b'}", None),
            ("{device: /dev/disk/by-path/pci-0000:00:1f.2-ata-1}", None),
            ("{bind: /var/log/kubernetes/audit.before-mount}", Some("must not be in, above or the same as")),
            ("{device: audit}", Some("must be LABEL=")),
            ("{device: /dev/disk/../sdb}", Some("must be LABEL=")),
            ("{device: LABEL=audit, format: ext4}", Some("a blank disk has no LABEL=audit")),
            ("{bind: data}", Some("must be an absolute path")),
            ("{bind: /data}", Some("a directory of its own")),
            ("{headroom: 5}", Some("is not a share")),
            ("{bind: /var/log/kubernetes/audit/x}", Some("must not be in, above or the same as")),
            ("{bind: /var/log/kubernetes}", Some("must not be in, above or the same as")),
        ] {
            let text = format!("apiVersion: {API_VERSION}\nkind: {KIND}\nstorage: {storage}\n");
            let found = Config::parse(&text, "config").err().map(|error| format!("{error:#}"));
            assert_eq!(found.is_some(), fault.is_some(), "{storage}: {found:?}");
            assert!(found.unwrap_or_default().contains(fault.unwrap_or_default()), "{storage}");
        }
        for (policy, is_refused) in
            [("/var/log/kubernetes/audit/policy.yaml", true), ("/var/log/kubernetes/p.yaml", false)]
        {
            let text = format!("apiVersion: {API_VERSION}\nkind: {KIND}\npolicy: {{path: {policy}}}\n");
            let found = Config::parse(&text, "config").err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(
                found.starts_with("config:3:16: policy.path must not be in /var/log/kubernetes/audit,"),
                is_refused,
                "{found}"
            );
        }
        let text = format!(
            "apiVersion: {API_VERSION}\nkind: {KIND}\nstorage: {{bind: /data/audit}}\nlog: {{path: '-'}}\n"
        );
        assert!(
            Config::parse(&text, "config").unwrap_err().to_string().contains("needs a log.path that is a file")
        );
    }

    fn read(lines: &str) -> Result<Config> {
        Config::parse(&format!("apiVersion: {API_VERSION}\nkind: {KIND}\n{lines}\n"), "config")
    }

    #[test]
    fn every_field_of_a_backend_becomes_its_flag() {
        let backend = |mode: &str, n: u32| {
            format!(
                "mode: {mode}, version: audit.k8s.io/v1, batch: {{maxSize: {n}1, maxWait: {n}2s, bufferSize: {n}3, throttleEnable: true, \
                 throttleQPS: {n}4.5, throttleBurst: {n}5}}, truncate: {{enabled: true, maxBatchSize: {n}70, maxEventSize: {n}6}}"
            )
        };
        let flags = |prefix: &str, mode: &str, n: u32| {
            format!(
                "{prefix}-mode={mode} {prefix}-batch-max-wait={n}2s {prefix}-batch-buffer-size={n}3 {prefix}-batch-throttle-enable=true \
                 {prefix}-batch-throttle-qps={n}4.5 {prefix}-batch-throttle-burst={n}5 {prefix}-truncate-enabled=true \
                 {prefix}-truncate-max-batch-size={n}70 {prefix}-truncate-max-event-size={n}6 {prefix}-version=audit.k8s.io/v1"
            )
        };
        let config = read(&format!(
            "policy: {{path: /p/policy}}\n\
             log: {{path: /l/log, format: legacy, maxAge: 1, maxBackup: 2, maxSize: 3, compress: true, {}}}\n\
             webhook: {{configFile: /w/hook, initialBackoff: 4s, {}}}",
            backend("blocking", 1),
            backend("blocking-strict", 2)
        ))
        .unwrap();
        let found: Vec<_> = config.flags().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = format!(
            "audit-policy-file=/p/policy audit-log-path=/l/log audit-log-batch-max-size=11 audit-log-compress=true \
             audit-log-format=legacy audit-log-maxage=1 audit-log-maxbackup=2 audit-log-maxsize=3 {} \
             audit-webhook-config-file=/w/hook audit-webhook-initial-backoff=4s audit-webhook-batch-max-size=21 {}",
            flags("audit-log", "blocking", 1),
            flags("audit-webhook", "blocking-strict", 2)
        );
        assert_eq!(found.join(" "), expected);
        assert_eq!(config.flags_off(), [""; 0]);
        // Off is no flag, and null is what it was.
        let off = read(
            "log: {mode: null, version: null, batch: {maxSize: null}, compress: false, truncate: {enabled: false, maxBatchSize: null, \
             maxEventSize: null}}\nwebhook: {configFile: /w/hook, truncate: {enabled: false}, batch: {throttleQPS: null}}",
        )
        .unwrap();
        let expected = ["audit-log-compress", "audit-log-truncate-enabled", "audit-webhook-truncate-enabled"]
            .map(str::to_owned);
        assert_eq!(off.flags_off(), expected);
        let gone = ["audit-log-compress", "audit-log-truncate-enabled"];
        let mut kept: Vec<_> = Config::default().flags();
        kept.retain(|(name, _)| !gone.contains(&name.as_str()));
        kept.push(("audit-webhook-config-file".to_owned(), "/w/hook".to_owned()));
        assert_eq!(off.flags(), kept);
    }

    #[test]
    fn every_other_field_is_read_and_null_leaves_the_default() {
        type Change = fn(&mut Config);
        let cases: &[(&str, Change)] = &[
            ("", |_| {}),
            ("profile: default", |_| {}),
            ("profile: null", |_| {}),
            ("profile: low-noise", |c| c.profile = &PROFILES[1]),
            ("log: {maxSize: 7, maxAge: null}\nprofile: cis", |c| {
                (c.profile, c.log.max_backup, c.log.max_size) = (&PROFILES[3], 10, 7);
            }),
            ("policy: {source: default}\nprofile: stig", |c| {
                (c.profile, c.log.max_backup, c.log.max_size) = (&PROFILES[4], 10, 100);
            }),
            ("kubernetesVersion: v1.30.2", |c| c.kubernetes_version = Some(Version::new(30))),
            ("existing: replace", |_| {}),
            ("existing: keep", |c| c.existing = Existing::Keep),
            ("policy: {path: null, source: /s}", |c| "/s".clone_into(&mut c.policy_source)),
            ("log: {path: '-', maxAge: null}", |c| "-".clone_into(&mut c.log.path)),
            ("log: {maxAge: 106751}", |c| c.log.max_age = 106_751),
            ("webhook: null", |_| {}),
            ("kubeadm: {configs: null, cluster: false, required: null}", |c| c.cluster = false),
            ("kubeadm: {configs: [], cluster: null, required: false}", |c| {
                (c.kubeadm_configs, c.kubeadm_required) = (Some(Vec::new()), false);
            }),
            ("kubeadm: {configs: [/a, /b]}", |c| {
                c.kubeadm_configs = Some(vec!["/a".to_owned(), "/b".to_owned()]);
            }),
            ("manifest: {path: /m, strays: refuse}", |c| {
                (c.manifest_path, c.strays) = (Some("/m".to_owned()), Strays::Refuse);
            }),
            ("manifest: {path: null, strays: move}", |_| {}),
            ("restart: {mode: quick, drain: 30s}", |c| c.restart = Restart::Quick(MAX_DRAIN)),
            ("restart: {drain: 0s}", |c| c.restart = Restart::Quick(Duration::ZERO)),
            ("restart: {mode: graceful}", |c| c.restart = Restart::Graceful),
            ("restart: {mode: null, drain: null}", |_| {}),
            ("storage: {require: persistent, bind: null, group: null, headroom: null}", |_| {}),
            ("storage: {require: any, bind: /b/b, group: 7, headroom: 0}", |c| {
                let source = Some(MountSource::Bind("/b/b".to_owned()));
                c.storage =
                    Storage { may_be_volatile: true, source, group: Some(7), headroom: Some(Share::Bytes(0)) };
            }),
            ("storage: {device: /dev/disk/by-id/d, format: ext4, headroom: any}", |c| {
                let format = Some(FileSystem::Ext4);
                c.storage.source = Some(MountSource::Device { name: "/dev/disk/by-id/d".to_owned(), format });
                c.storage.headroom = None;
            }),
            ("storage: {device: UUID=d, group: 4294967294, headroom: 1Gi}", |c| {
                c.storage.source = Some(MountSource::Device { name: "UUID=d".to_owned(), format: None });
                (c.storage.group, c.storage.headroom) = (Some(u32::MAX - 1), Some(Share::Bytes(1 << 30)));
            }),
            ("storage: {device: PARTUUID=d, format: xfs}", |c| {
                let format = Some(FileSystem::Xfs);
                c.storage.source = Some(MountSource::Device { name: "PARTUUID=d".to_owned(), format });
            }),
        ];
        for (lines, change) in cases {
            let mut expected = Config::default();
            change(&mut expected);
            let found = Config { places: BTreeMap::new(), ..read(lines).unwrap() };
            assert_eq!(format!("{found:#?}"), format!("{expected:#?}"), "{lines}");
        }
        assert_eq!(format!("{:?}", Config::parse("", "config").unwrap()), format!("{:?}", Config::default()));
    }

    #[test]
    fn what_cannot_be_is_refused_at_its_place() {
        let long = |length: usize| format!("manifest: {{path: /{}}}", "m".repeat(length - 1));
        assert!(read(&long(1024)).is_ok());
        for (lines, fault) in [
            ("log: {path: /dev/stdout}", "; for the standard output of the API server's container, write -"),
            (long(1025).as_str(), "3:18: manifest.path must have at most 1024 bytes"),
            (
                "profile: other",
                "3:10: profile \"other\" is not known; it takes default, low-noise, writes, cis, stig",
            ),
            ("profile: [cis]", "3:10: profile must be a string"),
            (
                "policy: {source: cis}",
                "3:18: policy.source must be an absolute path, and cis is a profile; write profile: cis",
            ),
            (
                "policy: {path: /etc/kube-audit-bootstrap/policy.d/p.yaml}",
                "3:16: policy.path must not be /etc/kube-audit-bootstrap/policy.d/p.yaml, a place of the system",
            ),
            (
                "policy: {source: /etc/kube-audit-bootstrap/policy.d/p.yaml}",
                "3:18: policy.source must not be in /etc/kube-audit-bootstrap/policy.d",
            ),
            ("kubernetesVersion: new", "3:20: kubernetesVersion \"new\" is not a version"),
            ("log: {maxAge: 106752}", "3:15: log.maxAge 106752 is more than 106751 days"),
            ("log: {maxSize: 8796093022208}", "3:16: log.maxSize 8796093022208 is more than 8796093022207 MiB"),
            (
                "log: {batch: {bufferSize: 9223372036854775807}}",
                "3:27: log.batch.bufferSize 9223372036854775807 is more than 100000000 events",
            ),
            ("log: {maxBackup: -1}", "3:18: log.maxBackup must be 0 or more"),
            ("log: {batch: {maxSize: 0}}", "3:24: log.batch.maxSize must be more than 0"),
            ("log: {truncate: {enabled: true, maxEventSize: 20971520}}", "log.truncate.maxEventSize"),
            (
                "storage: {group: adm}",
                "3:18: storage.group must be the number of a group, not its name; write the one that getent group adm shows",
            ),
            ("kubeadm: {configs: /x}", "3:20: kubeadm.configs must be a list, not a string (\"/x\"); write [/x]"),
            (
                "policy: /x",
                "3:9: policy must be a mapping of fields, not a string (\"/x\"); write it as {path: ...}",
            ),
            ("kubeadm: {patches: p}", "3:20: kubeadm.patches must be an absolute path"),
            ("log: {batch: {maxWait: soon}}", "3:24: log.batch.maxWait \"soon\" is not a duration"),
            ("log: {batch: {throttleQPS: fast}}", "3:28: log.batch.throttleQPS must be a number"),
            ("log: {batch: {throttleQPS: 1e99}}", "3:28: log.batch.throttleQPS must be a number"),
            ("webhook: {mode: batch}", "3:10: webhook.configFile is missing"),
            ("webhook: {configFile: hook}", "3:23: webhook.configFile must be an absolute path"),
            ("policy: {source: file}", "3:18: policy.source must be an absolute path"),
            ("policy: {path: /p/}", "3:16: policy.path must name a file"),
            ("policy: {path: /p//p}", "3:16: policy.path must be written without"),
            ("policy: {path: /p/./p}", "3:16: policy.path must be written without"),
            ("policy: {path: /p/../p}", "3:16: policy.path must be written without"),
            ("policy: {path: '/p:p'}", "3:16: policy.path must have only letters"),
            ("policy: {path: '/p p'}", "3:16: policy.path must have only letters"),
            ("policy: {path: /var/lib/kube-audit-bootstrap/p}", "3:16: policy.path must not be /var/lib"),
            (
                "log: {path: /etc/kube-audit-bootstrap/a.log}",
                "3:13: log.path must not be in /etc/kube-audit-bootstrap, a place of the system",
            ),
            ("policy: {path: /m}\nmanifest: {path: /m}", "3:16: policy.path and manifest.path are the same file"),
            (
                "log: {path: /var/log/audit.log}",
                "3:13: log.path must be in a directory of its own, not in /var/log:",
            ),
            ("log: {path: /usr/x/audit.log}", "3:13: log.path must not be in /usr/x, a place of the system"),
            ("kubeadm: {configs: [k]}", "kubeadm.configs[] must be an absolute path"),
            ("restart: {drain: 31s}", "3:18: restart.drain \"31s\" must be from 0s to 30s"),
            ("storage: {group: 4294967295}", "3:18: storage.group 4294967295 is not the number of a group"),
            ("storage: {headroom: lots}", "3:21: storage.headroom \"lots\" is not a share"),
            ("storage: {headroom: 5}", "3:21: storage.headroom 5 is not a share such as 5%, or a size"),
            ("storage: {bind: /b/b, format: xfs}", "3:10: storage.format needs a storage.device"),
            ("storage: {bind: /b/b, device: UUID=d}", "3:10: storage.bind and storage.device exclude"),
        ] {
            let error = read(lines).unwrap_err().to_string();
            assert_eq!(error.lines().count(), 1, "{error}");
            assert!(error.contains(fault), "{fault}: {error}");
        }
        for (text, fault) in [
            (format!("apiVersion: {API_VERSION}\n"), "config:1:1: kind is missing"),
            (format!("apiVersion: null\nkind: {KIND}\n"), "config:1:1: apiVersion is missing"),
            (format!("apiVersion: v1\nkind: {KIND}\n"), "config:1:13: apiVersion \"v1\" is not known"),
            ("kind: Other\n---\nkind: Other\n".to_owned(), "config:3:1: the file must have one document"),
        ] {
            let error = Config::parse(&text, "config").unwrap_err().to_string();
            assert!(error.starts_with(fault) && error.lines().count() == 1, "{error}");
        }
    }
}
