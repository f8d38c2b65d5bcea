//! What was observed on a node, as data: the input of a plan. `node` fills it in. No code here reads a node, and none
//! decides what to do.

pub mod asker;
pub mod backup;
pub mod distribution;
pub mod file;
pub mod in_force;
pub mod obstacle;
pub mod repairs;
pub mod server;
pub mod way_back;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::path::typed;
use crate::storage::blank::Content;
use crate::storage::forecast::{Disk, LogHistory, Share};
use crate::storage::persistence::Judgement;
use distribution::Distribution;
use file::{Attributes, FileKind, FileUser, Files, Owner, Snapshot, Text};
use in_force::{Neighbour, Running};
use obstacle::Obstacle;

/// What a plan is made from.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The path of the manifest, whether it exists or not.
    pub manifest_path: String,
    pub manifest: Option<Text>,
    /// The other files in the manifest directory that the kubelet would read.
    pub beside: Vec<Text>,
    pub kubelet: KubeletFacts,
    /// The kubeadm configuration files that are there, in the order in which they are looked for.
    pub kubeadm: Vec<Text>,
    /// The paths of other files that look like kubeadm configuration files, where no configuration was found.
    pub unnamed: Vec<String>,
    /// The text of the cluster's kubeadm configuration, or why it is not known; `None` if it was not asked for.
    pub cluster: Option<Result<String, String>>,
    /// For each file at a default path that cannot be read, why.
    pub unreadable: Vec<String>,
    /// The node has joined a cluster, or was initialised.
    pub joined: bool,
    /// The node has the API server's certificate, which only control planes have.
    pub certified: bool,
    /// The distribution without kubeadm that the node belongs to.
    pub distribution: Option<&'static Distribution>,
    /// It belongs to that distribution as a node without an API server.
    pub is_agent: bool,
    /// The node is the running system, not an image.
    pub live: bool,
    /// Where the root directory of the node is on this machine; empty for the running system.
    pub root: String,
    /// The newest run with a backup of the manifest, if the manifest is lost.
    pub backed_up: Option<String>,
    /// The owner of new files, unless the API server's pod runs as another user: the root user, or the user who builds
    /// an image.
    pub owner: Owner,
    /// What flags and kubeconfigs name. `plan::wire` says what else it needs to know.
    pub files: Files,
    /// The API server that runs here, if it is known.
    pub running: Option<Running>,
    /// The other API servers that audit by manifests beside.
    pub neighbours: Vec<Neighbour>,
    /// The programs that read the log of the manifest, if the configuration names another one.
    pub readers: Vec<String>,
    /// The paths that an interrupted run may have changed.
    pub unfinished: Vec<String>,
}

impl Facts {
    /// The path of a file of the node where the user types a command.
    pub fn shown(&self, path: &str) -> String {
        typed(&self.root, path)
    }
}

/// The kubelet of the node.
#[derive(Clone, Debug, Default)]
pub struct KubeletFacts {
    /// The path of its configuration.
    pub config: String,
    /// Why its configuration does not count: its path, the position, and the reason.
    pub fault: Option<String>,
    /// The places of its flags that are not read, and why.
    pub unread: Vec<String>,
    pub reads: Reads,
    /// It takes static pods from a URL, too.
    pub has_url: bool,
    /// What it keeps free of its file system, if its configuration can be read.
    pub eviction: Option<Share>,
}

/// How the kubelet reads the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// With all other files in its directory.
    #[default]
    Directory,
    /// As its only file.
    File,
    /// Not at all: it reads all files in another directory.
    Elsewhere { directory: String },
    /// Not at all. `path`: its path of static pods, if it has one.
    Not { path: Option<String> },
}

/// kubeadm's patches, and what of a node they are applied to.
#[derive(Clone, Debug, Default)]
pub struct PatchFacts {
    pub directories: Vec<PatchDirectory>,
    /// The directories of certificates that the node has, among those that kubeadm mounts.
    pub certificates: Vec<String>,
}

/// A directory of patches.
#[derive(Clone, Debug)]
pub struct PatchDirectory {
    pub path: String,
    /// Where the path leads, if it is a symbolic link itself. kubeadm reads nothing through one.
    pub leads_to: Option<String>,
    /// The path and the text of each patch, in the order of kubeadm. `None`: there is no such directory. `Err`: why it
    /// cannot be read.
    pub files: Result<Option<Vec<(String, String)>>, String>,
}

/// What exists at the paths that a plan wants to write.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// By path; `None` if there is no file.
    pub policies: BTreeMap<String, Option<Snapshot>>,
    /// The paths of those at which an empty directory stands in for the missing file.
    pub stand_ins: Vec<String>,
    /// The policies that a run wrote, and the log directories that a run made, and that no restore has put back since.
    pub written: BTreeSet<String>,
    /// By path; `None` if there is no directory.
    pub directories: BTreeMap<String, Option<Directory>>,
    /// The existing logs, with rotated ones; `None` for anything that is not a regular file.
    pub logs: BTreeMap<String, Option<Attributes>>,
    /// The files that the API server opens and that lie elsewhere for it: the path on the host, and the symbolic link
    /// that the container resolves in itself.
    pub elsewhere: Vec<(String, String)>,
    /// What is at the paths of volumes with a type; `None`: nothing.
    pub kinds: BTreeMap<String, Option<FileKind>>,
    /// The files that the API server opens when it starts and that are lost at a reboot, while its manifest stays: the
    /// path on the host, and what it is on.
    pub fleeting: Vec<(String, String)>,
    /// The logs, and the directories above them, also where links lead: their attributes, and whether an access control
    /// list may allow more.
    pub around_logs: BTreeMap<String, (Attributes, bool)>,
    /// What keeps the API server from renaming a log, which its rotation does, or from creating it.
    pub log_obstacles: BTreeMap<String, Obstacle>,
    /// In an image, the directory of the log is cleared at a boot, or in time.
    pub is_log_cleared: bool,
    /// The first bytes of each log.
    pub heads: BTreeMap<String, Vec<u8>>,
    /// What is at the path of a log and can't be the API server's log: why, in words.
    pub blocked: BTreeMap<String, String>,
    /// The policies that are what a run wrote.
    pub unchanged: BTreeSet<String>,
    /// The units that the configuration needs to mount a disk at the log directory.
    pub units: Vec<Unit>,
    /// The directory that `storage.bind` names, if it exists.
    pub bound: Option<Directory>,
    /// The mount units of this program that the configuration does not need: those of an earlier one.
    pub left_units: Vec<String>,
    /// The line of `/etc/fstab` that mounts something at the log directory, and what.
    pub fstab: Option<(usize, String)>,
    /// The state of the dedicated disk, on the running system.
    pub disk: Option<DiskState>,
    /// The log directory; `None` if this is not the running system, or if there is no log.
    pub storage: Option<LogPlace>,
}

/// An existing directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    pub attributes: Attributes,
    /// The names in it, sorted.
    pub names: Vec<String>,
    /// Where its path leads by symbolic links; `None` if there are none.
    pub leads_to: Option<String>,
}

/// A unit of systemd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    pub path: String,
    /// The text that it must have.
    pub text: String,
    /// The present file, if it exists.
    pub before: Option<Snapshot>,
}

/// A file that the API server opens in its container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The path in the container.
    pub in_container: String,
    /// The path on the host, by the mounts alone.
    pub on_host: String,
    /// The mounts of the container: the path in it, and the path on the host, if it is one.
    pub mounts: Vec<(String, Option<String>)>,
}

/// A log that an API server opens when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What names the log, for messages.
    pub what: String,
    /// The path on the host.
    pub host: String,
    /// Where the mount that shows it begins on the host.
    pub top: String,
    pub user: FileUser,
}

/// A volume of a path of the host with a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// Where the volume is: a file and a position.
    pub place: String,
    pub path: String,
    /// What the path must be, in a word of Kubernetes, such as `Directory`.
    pub kind: String,
}

impl Typed {
    /// Why the kubelet does not start the pod, if this is found at the path; `None`: nothing is there.
    pub fn fault(&self, found: Option<FileKind>) -> Option<String> {
        let Typed { place, path, kind } = self;
        let fits = match (kind.trim_end_matches("OrCreate"), found) {
            (_, None) => kind.ends_with("OrCreate"),
            ("Directory", Some(found)) => found == FileKind::Directory,
            ("File", Some(found)) => found == FileKind::File,
            ("Socket", Some(found)) => found == FileKind::Socket,
            ("CharDevice", Some(found)) => found == FileKind::CharacterDevice,
            ("BlockDevice", Some(found)) => found == FileKind::BlockDevice,
            // The kubelet refuses the manifest.
            _ => true,
        };
        let found = found.map_or("missing".to_owned(), |kind| kind.to_string());
        (!fits).then(|| {
            format!(
                "{place}: the kubelet does not start the API server's pod, because {path} is {found}, and the type of \
                 its volume is {kind}; correct the type, or remove it"
            )
        })
    }
}

/// The paths that a plan is about, before it is known what exists there.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The policy files.
    pub policies: Vec<String>,
    /// The files that the API server opens.
    pub opened: Vec<Opened>,
    /// The logs, as the API server opens them.
    pub written: Vec<Written>,
    /// The log directories.
    pub directories: Vec<String>,
    /// The log files.
    pub logs: Vec<String>,
    /// The volumes of a path of the host whose kind the kubelet checks when it starts the API server's pod.
    pub typed: Vec<Typed>,
    pub manifest: String,
    /// The part of its file system that the kubelet keeps free, or will keep free.
    pub eviction: Share,
}

/// The present state of the log directory.
#[derive(Clone, Debug)]
pub struct LogPlace {
    pub judgement: Judgement,
    /// `None` for a file system that is not mounted yet.
    pub disk: Option<Disk>,
    /// The largest possible size of such a file system, in bytes.
    pub capacity: u64,
    /// The file system is read-only: the kernel does that to a file system that it finds damaged.
    pub is_read_only: bool,
    pub history: LogHistory,
}

/// The state of the dedicated disk, and of the directory where it is to be mounted.
#[derive(Clone, Debug)]
pub struct DiskState {
    /// The log directory with all links resolved: nothing can be mounted at a link.
    pub real: String,
    /// What is mounted at the log directory, in words; `None`: nothing.
    pub mounted: Option<String>,
    /// Is that the disk that the configuration names?
    pub is_right: bool,
    /// What is on the disk, if it is not mounted; `None` if it does not exist, or if the configuration names none.
    pub content: Option<Content>,
    /// The size of the disk, in bytes.
    pub size: u64,
    /// The directory that `storage.bind` names is on the same file system as the log directory.
    pub is_same: bool,
    /// The directory that was renamed before the mount has logs in it.
    pub has_left: bool,
    /// A directory already has the name that the log directory would be renamed to, and no logs are in it, so it is
    /// not this program's.
    pub is_in_the_way: bool,
    /// An API server that does not see the mount, because it started before.
    pub blind: Option<Blind>,
}

/// An API server that writes its log below the mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blind {
    /// The name for messages.
    pub name: String,
    /// The manifest was written after it started, so another API server is about to replace it.
    pub is_replaced: bool,
}
