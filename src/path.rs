//! Paths of a node as texts: what lies in what, and what may be a path at all. Nothing here touches a file.

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
            "must be in a directory of its own, not in {directory}: the API server gets the directory of the log, and it is \
             closed to all other users; use for example /var/log/kubernetes/audit/audit.log"
        )
    })
}

/// Is a path a directory, or below it?
pub fn is_within(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

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
        "must have only letters, digits and punctuation, and no blanks, quotes, colons, backslashes or `$`"
    } else {
        return None;
    };
    Some(format!("{name} {reason}: {path:?}"))
}

/// Where the directory of before goes when something is mounted over it.
pub fn aside(directory: &str) -> String {
    format!("{directory}.before-mount")
}

/// Who may ask everything, and who asks.
pub const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";
