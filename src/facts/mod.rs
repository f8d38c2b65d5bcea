//! What was seen on a node, as data: what a plan starts from. `node` fills it in; nothing here looks at a node.

pub mod backup;
pub mod file;
pub mod repairs;
pub mod server;
pub mod way_back;

use std::collections::BTreeMap;

use anyhow::Result;

use crate::storage::blank::Content;
use crate::storage::forecast::{Disk, LogHistory, Share};
use crate::storage::persistence::Judgement;
use file::{Attributes, Owner, Snapshot, Text};

/// What a plan starts from.
#[derive(Clone, Debug)]
pub struct Facts {
    pub manifest_path: String,
    pub manifest: Option<Text>,
    /// The other files in the manifest directory that the kubelet would read.
    pub beside: Vec<Text>,
    /// The kubeadm configuration files that are there, in the order in which they are looked for.
    pub kubeadm: Vec<Text>,
    /// The cluster's own, or why it isn't known; `None` where it isn't asked for.
    pub cluster: Option<Result<String, String>>,
    /// Why those in the usual places can't be read that can't.
    pub unreadable: Vec<String>,
    /// The node has joined a cluster, or was initialised.
    pub joined: bool,
    /// It has the API server's certificate, which only control planes have.
    pub certified: bool,
    /// It is the running system, not an image.
    pub live: bool,
    /// Who owns what is written, unless the API server's pod says otherwise: root, or who builds an image.
    pub owner: Owner,
}

/// What there is at the paths that a plan wants to write.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    pub policies: BTreeMap<String, Option<Snapshot>>,
    pub directories: BTreeMap<String, Option<Directory>>,
    /// The logs that are there, rotated ones, too; `None` for what is no plain file.
    pub logs: BTreeMap<String, Option<Attributes>>,
    /// The units that shall mount something where the log lies.
    pub units: Vec<Unit>,
    /// The directory that shall be bound there, if it is there.
    pub bound: Option<Directory>,
    /// The unit that mounts something there is from a configuration that named it.
    pub has_unit: bool,
    /// What is mounted there, on the running system.
    pub disk: Option<DiskState>,
    /// Where the log lies; `None` where this isn't the running system, or there is no log.
    pub storage: Option<LogPlace>,
}

/// A directory that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    pub attributes: Attributes,
    /// The names in it, sorted.
    pub names: Vec<String>,
}

/// A unit of systemd's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    pub path: String,
    /// The text that it shall have.
    pub text: String,
    /// What is there now.
    pub before: Option<Snapshot>,
}

/// The paths that a plan is about, before it is known what lies there.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Where the policy must lie.
    pub policies: Vec<String>,
    /// Where the log's directory must be.
    pub directories: Vec<String>,
    /// The logs themselves.
    pub logs: Vec<String>,
    pub manifest: String,
    /// What the kubelet will keep free of its file system, as the file says that kubeadm will configure it from.
    pub eviction: Share,
}

/// The log directory as it is.
#[derive(Clone, Debug)]
pub struct LogPlace {
    pub judgement: Judgement,
    /// `None` where it is a file system that isn't mounted yet.
    pub disk: Option<Disk>,
    /// How much such a file system can have at most, in bytes.
    pub capacity: u64,
    /// Nothing can be written there: the kernel does that to a file system that it finds damaged.
    pub is_read_only: bool,
    pub history: LogHistory,
}

/// How it stands about what the configuration wants to be mounted.
#[derive(Clone, Debug)]
pub struct DiskState {
    /// Where links lead: nothing can be mounted at a link.
    pub real: String,
    /// What is mounted there now, in words; `None` for nothing.
    pub mounted: Option<String>,
    /// Is that what is wanted?
    pub is_right: bool,
    /// What is on the device, if nothing is mounted; `None` where there is no such device, or none is wanted.
    pub content: Option<Content>,
    /// The size of the device in bytes.
    pub size: u64,
    /// A directory to be bound there lies on the same file system.
    pub is_same: bool,
    /// Logs are in the directory that went aside.
    pub has_left: bool,
    /// A directory that is in the way of what would go aside, and has no logs in it: somebody's.
    pub is_in_the_way: bool,
    /// An API server that doesn't see what is mounted, as it began before.
    pub blind: Option<Blind>,
}

/// An API server that writes its log to what something is mounted over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blind {
    /// What people know it by.
    pub name: String,
    /// The manifest was written since it began, so another one is about to replace it.
    pub is_replaced: bool,
}
