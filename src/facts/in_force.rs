//! What the running API server has. It reads its files when it starts and never again, and it writes to the log that it
//! opened, whatever is at that path now.

use std::time::SystemTime;

use super::file::Text;

/// The one API server of the manifest that runs here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    pub pid: i32,
    pub started: SystemTime,
    /// When it was looked at.
    pub now: SystemTime,
    /// When the manifest was written.
    pub manifest_written: SystemTime,
    /// How often its container was restarted in its pod; `None` if the runtime keeps no log that tells.
    pub restarts: Option<u32>,
    /// When the kubelet started that runs now.
    pub kubelet_started: Option<SystemTime>,
    /// It started in a run that has not proved yet what it left.
    pub is_unproved: bool,
    /// `None`: it runs with other flags than those of the manifest.
    pub holding: Option<Holding>,
}

/// Another API server of this node.
#[derive(Clone, Debug)]
pub struct Neighbour {
    pub manifest: Text,
    /// `None` if none of this manifest is known to run with its flags.
    pub running: Option<Running>,
}

/// What an API server that runs with the flags of the manifest has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// The policy, and the webhook's kubeconfig.
    pub files: Vec<HeldFile>,
    /// Where it writes its log; `None` if it has no log file on the host.
    pub log: Option<HeldLog>,
}

/// A file that the API server reads only when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldFile {
    /// The path on the host.
    pub path: String,
    /// What its container sees: a mounted file stays the same file there when another one takes its name.
    pub held: Found<Stamped>,
    /// What is at the path on the host.
    pub there: Found<Vec<u8>>,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    This(T),
    Nothing,
    /// Something is there, or may be, but it can't be read.
    Unreadable,
}

impl<T> Found<T> {
    /// The same with another content.
    pub fn map<U>(self, of: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Found::This(content) => Found::This(of(content)),
            Found::Nothing => Found::Nothing,
            Found::Unreadable => Found::Unreadable,
        }
    }
}

/// The content of a file, and when it was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped {
    pub bytes: Vec<u8>,
    /// When its content, or a link that leads to it, was written, as far as that tells: programs can set this time.
    pub written: SystemTime,
    /// When its content, mode, owner or name, or that of such a link, was last changed.
    pub touched: SystemTime,
    /// When a directory on the way to it was last changed: another one may have taken its name.
    pub around: SystemTime,
}

/// The log of an API server, against the path of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLog {
    /// The path of the log on the host.
    pub path: String,
    pub state: LogState,
}

/// Why an API server is of no use at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Away {
    /// It does not run.
    Gone,
    /// It does not accept connections: it is being started or ended.
    Closed,
    /// It accepts connections, and does not answer: the last line of who asked.
    Silent(String),
}

/// Where an API server writes its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogState {
    /// To the path of the log; or it will, at its first event.
    InPlace,
    /// To a file that was deleted. The file can still be read at this path.
    Deleted(String),
    /// To a file that was renamed to this path, in its container.
    Renamed(String),
    /// To a directory that something else replaced. The open file, if it can still be read.
    OtherDirectory(Option<String>),
}
