//! Paths of a node as text: which path is below which, and which text can be a path. No code here reads a file.

/// The directory of this program's own files on a node, mode 0700.
pub const STATE: &str = "/var/lib/kube-audit-bootstrap";

/// Directories that many programs use. None of them can be the log directory, which is mounted read-write into the API
/// server, and gets mode 0700.
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

/// Directories that belong to the system, to Kubernetes or to this program, with everything below them.
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

/// Why a directory cannot be the log directory; `None` if it can. The log directory is mounted into the API server's
/// container, where it would hide the files of the image, and it is closed to all other users.
pub fn log_directory_fault(directory: &str) -> Option<String> {
    let taken =
        SHARED_DIRECTORIES.contains(&directory) || SYSTEM_TREES.iter().any(|tree| is_within(directory, tree));
    taken.then(|| {
        format!(
            "must be in a directory of its own, not in {directory}: the API server gets the directory of the log, and \
             it is closed to all other users; use for example /var/log/kubernetes/audit/audit.log"
        )
    })
}

/// Is `path` the directory, or below it?
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

/// Why a text cannot be the path of a file on the node and in the API server's container; `None` if it can. `name`:
/// the setting, for the message.
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
        // A mount path cannot have a colon, and the kubelet expands $(...) in arguments.
        "must have only letters, digits and punctuation, and no blanks, quotes, colons, backslashes or `$`"
    } else {
        return None;
    };
    Some(format!("{name} {reason}: {path:?}"))
}

/// The name that a directory gets before a disk is mounted over it.
pub fn aside(directory: &str) -> String {
    format!("{directory}.before-mount")
}

/// The kubeconfig of the cluster's administrator, which kubeadm writes.
pub const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";
