//! Paths of a node as text: which path is below which, and which text can be a path. No code here reads a file.

/// The directory of this program's own files on a node, mode 0700.
pub const STATE: &str = "/var/lib/kube-audit-bootstrap";

/// The directory of this program's configuration, and of the fragments of its policy.
const SETTINGS: &str = "/etc/kube-audit-bootstrap";

/// Directories that many programs use, or that belong to one other program (FHS 3.0, hier(7), file-hierarchy(7)). None
/// of them can be the log directory, which is mounted read-write into the API server, and gets mode 0700.
const SHARED_DIRECTORIES: &[&str] = &[
    "/",
    "/data",
    "/etc",
    "/etc/kubernetes",
    "/etc/kubernetes/tmp",
    "/home",
    "/lost+found",
    "/media",
    "/mnt",
    "/opt",
    "/root",
    "/run",
    "/srv",
    "/tmp",
    "/var",
    "/var/backups",
    "/var/cache",
    "/var/lib",
    "/var/lib/containerd",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/local",
    "/var/lock",
    "/var/log",
    // auditd's own: it writes and rotates audit.log there.
    "/var/log/audit",
    "/var/log/containers",
    "/var/log/journal",
    "/var/log/pods",
    "/var/log/private",
    "/var/mail",
    "/var/opt",
    "/var/run",
    "/var/spool",
    "/var/tmp",
];

/// Directories that belong to the system, to Kubernetes or to this program, with everything below them.
const SYSTEM_TREES: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    SETTINGS,
    "/etc/kubernetes/manifests",
    "/etc/kubernetes/pki",
    "/etc/ssl",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/etcd",
    "/var/lib/kubelet/pods",
    "/var/lib/private",
    "/var/log/containers",
    "/var/log/journal",
    "/var/log/pods",
    "/var/log/private",
    STATE,
];

/// Directories whose subdirectories belong to other programs, unless the name of the first one says otherwise: the
/// kubelet's units are not in a directory for logs of Kubernetes.
const TREES_OF_PROGRAMS: &[&str] = &["/etc", "/var/lib/kubelet"];
/// Directories whose subdirectories belong to users, unless their names say otherwise.
const TREES_OF_USERS: &[&str] = &["/home", "/root"];

/// Why a directory cannot be the log directory; `None` if it can. The log directory is mounted into the API server's
/// container, where it would hide the files of the image, and it is closed to all other users.
pub fn log_directory_fault(directory: &str) -> Option<String> {
    let within = |trees: &[&str]| trees.iter().any(|tree| is_within(directory, tree));
    // A link such as /dev/stdout would lead to a file of the host.
    let stream = match is_within(directory, "/dev") || is_within(directory, "/proc") {
        true => "; for the standard output of the API server's container, write -",
        false => "",
    };
    let taken = SHARED_DIRECTORIES.contains(&directory)
        || within(SYSTEM_TREES)
        || TREES_OF_PROGRAMS.iter().filter(|tree| is_within(directory, tree)).any(|tree| {
            let first = directory[tree.len()..].trim_start_matches('/').split('/').next().unwrap_or_default();
            !names(first, &KUBERNETES)
        })
        || within(TREES_OF_USERS) && !names(directory, &KUBERNETES);
    // What only the log has may be in none of the trees either.
    let why = match SHARED_DIRECTORIES.contains(&directory) {
        true => format!("must be in a directory of its own, not in {directory}"),
        false => format!("must not be in {directory}, a place of the system, of other programs or of users"),
    };
    taken.then(|| {
        format!(
            "{why}: the API server gets the directory of the log, and \
             it is closed to all other users; use for example /var/log/kubernetes/audit/audit.log{stream}"
        )
    })
}

/// Directories in which other programs read each file, or each with the right name: there, a policy would be taken for a
/// setting, or for a patch of kubeadm.
const READ_BY_OTHERS: &[&str] = &[
    "/etc/apt",
    "/etc/cloud",
    "/etc/cni",
    "/etc/containers",
    "/etc/cron.daily",
    "/etc/cron.hourly",
    "/etc/cron.monthly",
    "/etc/cron.weekly",
    "/etc/kubernetes/patches",
    "/etc/netplan",
    "/etc/network",
    "/etc/ssh",
    "/etc/systemd",
    "/etc/udev",
    "/var/spool",
];

/// Is a path a place of the system or of other programs, where no policy is created? Administrators put policies among
/// the certificates of the cluster, because these are mounted already.
pub fn is_no_place_for_policy(path: &str) -> bool {
    let trees = SYSTEM_TREES
        .iter()
        .filter(|tree| !["/etc/kubernetes/pki", "/etc/kubernetes/manifests", SETTINGS].contains(tree));
    let name = path.rsplit('/').next().unwrap_or_default();
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    let is_named_for_it = ends(&[".yaml", ".yml", ".json"]) || names(name, &["audit", "policy"]);
    // The files of kubeadm, and those of other programs.
    let is_of_others = match is_within(path, "/etc/kubernetes") {
        true => ends(&[".conf", ".crt", ".key", ".pub"]),
        false => is_within(path, "/etc") && !is_named_for_it,
    };
    // Another program reads each file there.
    let mut directories = path.split('/').rev().skip(1);
    let is_ours = is_within(path, "/etc/kubernetes");
    let is_drop_in = |name: &str| {
        name.ends_with(".d")
            && is_within(path, "/etc")
            && !names(name, &["audit"])
            && (!is_ours || names(name, &["kubelet"]))
    };
    let is_of_reader = directories.any(|name| is_drop_in(name) || [".ssh", ".gnupg", ".config"].contains(&name))
        || READ_BY_OTHERS.iter().any(|tree| is_within(path, tree))
        || TREES_OF_USERS.iter().any(|tree| is_within(path, tree)) && name.starts_with('.')
        || is_within(path, "/var/lib/kubelet") && !names(name, &["audit", "policy"]);
    is_of_others || is_of_reader || trees.clone().any(|tree| is_within(path, tree))
}

/// Words in the name of a directory that is for Kubernetes.
const KUBERNETES: [&str; 3] = ["kube", "k8s", "apiserver"];

/// Does a part of the path have one of these words in it?
fn names(path: &str, words: &[&str]) -> bool {
    words.iter().any(|word| path.to_ascii_lowercase().contains(word))
}

/// Does the path say that a directory is for Kubernetes, or for audit logs? Other logs of the cluster may be there.
pub fn is_named_for_logs(directory: &str) -> bool {
    names(directory, &KUBERNETES) || names(directory, &["audit"])
}

/// Can an existing directory without an audit log belong to a program or a user that has put nothing there yet? It can
/// where packages have their directories, unless its name says what it is for. A directory that is not directly in
/// `/var/log` belongs to whoever made the directory above it.
pub fn may_be_of_others(directory: &str) -> bool {
    let packaged = ["/etc", "/home", "/opt", "/root", "/run", "/tmp", "/var"];
    let is_in_log = is_within(directory, "/var/log") && parent(directory) != "/var/log";
    packaged.iter().any(|tree| is_within(directory, tree)) && !is_in_log && !is_named_for_logs(directory)
}

/// Is `path` the directory, or below it?
pub fn is_within(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path as the container runtime reads it: without `.`, `..` and slashes that say nothing. Links count for nothing
/// here.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The innermost of these directories that a path is in or below: its number, and the rest of the path below it. An
/// empty text is no directory.
pub fn innermost<'p>(directories: impl Iterator<Item = &'p str>, path: &'p str) -> Option<(usize, &'p str)> {
    let covering = directories.enumerate().filter(|(_, one)| !one.is_empty() && is_within(path, one));
    let (index, one) = covering.max_by_key(|(_, one)| one.len())?;
    Some((index, path[one.trim_end_matches('/').len()..].trim_start_matches('/')))
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
        "must have at most 1024 bytes"
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

/// The kubelet's kubeconfig, which kubeadm writes when a node joins or is initialised.
pub const KUBELET_KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";
/// The API server's certificate, which only control planes have.
pub const API_SERVER_CERTIFICATE: &str = "/etc/kubernetes/pki/apiserver.crt";
/// The kubeconfig of the cluster's administrator, which kubeadm writes.
pub const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";

/// A path of a node as a user types it in a command. `root`: where the node's root directory is on this machine; empty
/// for the running system.
pub fn typed(root: &str, path: &str) -> String {
    format!("{root}{path}")
}

/// This program as a user types it, for the node whose root directory is there on this machine.
pub fn program(root: &str) -> String {
    let option = if root.is_empty() { String::new() } else { format!(" --root {root}") };
    format!("kube-audit-bootstrap{option}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_the_runtime_reads_it() {
        for (path, expected) in [
            ("/", "/"),
            ("", "/"),
            ("//a///b/", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/../a", "/a"),
            ("a/b", "/a/b"),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
        for (path, directory, expected) in [
            ("/a/b", "/a", true),
            ("/a", "/a", true),
            ("/ab", "/a", false),
            ("/a", "/", true),
            ("/a", "/a/b", false),
        ] {
            assert_eq!(is_within(path, directory), expected, "{path} {directory}");
        }
    }

    #[test]
    fn a_directory_of_the_system_is_no_place_for_the_log() {
        for directory in [
            "/",
            "/var",
            "/var/log",
            "/var/log/audit",
            "/var/tmp",
            "/etc/cron.d",
            "/etc/systemd/system",
            "/etc/systemd/system/kubelet.service.d",
            "/home/user",
            "/home/user/logs",
            "/root",
            "/root/.ssh",
            "/usr/local/log",
            "/var/log/pods/x",
            "/var/log/journal",
            "/var/lib/etcd/member",
            "/etc/kubernetes",
            "/etc/kubernetes/pki",
            "/etc/audit",
            "/media",
            "/var/spool",
            "/lib64/x",
            "/etc/kube-audit-bootstrap",
            "/etc/kube-audit-bootstrap/policy.d",
        ] {
            assert!(log_directory_fault(directory).is_some(), "{directory}");
        }
        for directory in [
            "/var/log/kubernetes",
            "/var/log/kubernetes/audit",
            "/var/log/kube-apiserver",
            "/var/log/apiserver",
            "/var/log/kube-audit",
            "/var/log/audit/kube",
            "/etc/kubernetes/audit",
            "/etc/kubernetes/audit/logs",
            "/data/audit",
            "/srv/x",
            "/mnt/disk",
            "/opt/audit",
            "/home/kube/logs",
            "/var/lib/kube-audit",
        ] {
            assert_eq!(log_directory_fault(directory), None, "{directory}");
        }
    }

    #[test]
    fn a_policy_has_no_place_among_files_of_the_system() {
        for path in [
            "/etc/shadow",
            "/etc/kubernetes/admin.conf",
            "/etc/kubernetes/pki/ca.crt",
            "/usr/bin/p.yaml",
            "/dev/p.yaml",
            "/etc/ssl/p.yaml",
            "/etc/cni/net.d/10-audit.conf",
            "/etc/sudoers.d/policy",
            "/etc/kubernetes/patches/kube-apiserver.yaml",
            "/etc/kubernetes/kubelet.conf.d/audit-policy.yaml",
            "/etc/pam.d/policy",
            "/etc/netplan/audit.yaml",
            "/var/spool/cron/audit-policy",
            "/root/.ssh/audit-policy",
            "/root/.profile",
            "/var/lib/kubelet/config.yaml",
            "/var/lib/kube-audit-bootstrap/policy.yaml",
        ] {
            assert!(is_no_place_for_policy(path), "{path}");
        }
        for path in [
            "/etc/kubernetes/audit-policy.yaml",
            "/etc/kubernetes/pki/p.yaml",
            "/etc/kubernetes/audit/policy",
            "/etc/p.yml",
            "/srv/p",
            "/var/lib/kube-audit/p.json",
            "/var/lib/kubelet/audit-policy.yaml",
            "/root/audit-policy.yaml",
            "/etc/example/audit-policy.yaml",
            "/etc/kubernetes/audit.d/policy.yaml",
            "/etc/kubernetes/policy.d/audit-policy.yaml",
            "/etc/containerd/audit-policy.yaml",
            "/etc/kube-audit-bootstrap/policy.yaml",
        ] {
            assert!(!is_no_place_for_policy(path), "{path}");
        }
    }

    #[test]
    fn an_empty_directory_may_be_of_others_where_packages_have_theirs() {
        for (directory, expected) in [
            ("/var/log/chrony", true),
            ("/var/spool/cron", true),
            ("/opt/cni/bin", true),
            ("/var/lib/x", true),
            ("/var/log/kube-audit", false),
            ("/var/log/api-audit", false),
            ("/var/log/mycluster/api", false),
            ("/data/logs", false),
            ("/srv/x", false),
            ("/mnt/disk", false),
        ] {
            assert_eq!(may_be_of_others(directory), expected, "{directory}");
        }
    }
}
