//! The files that an API server opens when it starts: the policy, the kubeconfig of the webhook, and what that
//! kubeconfig names. Each path is followed through the pod's own mounts to a file of the host.
//!
//! An API server without a policy does not open the kubeconfig of its webhook. So a flag that was left over and did no
//! harm ends the API server as soon as a policy is added.

use std::collections::BTreeSet;

use super::mounts::{NeededMount, Present, find_on_host, rest_below};
use super::settings::Wanted;
use crate::audit::flags::Flags;
use crate::audit::kubeconfig::{self, FileRole, Kubeconfig, absolute};
use crate::facts::file::{Attributes, Files, Seen, SeenFile, lossy};
use crate::path::parent;
use crate::yaml::fields::{Finding, Severity};

/// The user that the API server runs as, for the permissions of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reader {
    pub user: u32,
    pub groups: Vec<u32>,
    /// The permissions of files don't matter: `CAP_DAC_OVERRIDE`.
    pub overrides: bool,
}

impl Reader {
    /// The root user, as kubeadm's manifest has it.
    pub const ROOT: Reader = Reader { user: 0, groups: Vec::new(), overrides: true };

    /// Does the user have a permission: 4 reads, 1 passes a directory?
    fn may(&self, permission: u32, on: &Attributes) -> bool {
        let shift = match () {
            () if self.user == on.uid => 6,
            () if self.groups.contains(&on.gid) => 3,
            () => 0,
        };
        self.overrides || on.mode >> shift & permission == permission
    }
}

/// What an API server meets when it opens its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The paths of the host that must be known for this verdict.
    pub asked: BTreeSet<String>,
    /// Why the API server would not start.
    pub faults: Vec<String>,
    /// The files that do not exist, without which the API server would not start: what to do. They may still come.
    pub missing: Vec<String>,
    /// The API server starts, and events may not arrive.
    pub warnings: Vec<String>,
}

/// A container, as far as it matters which files the API server finds in it.
pub(super) struct Container {
    pub flags: Flags,
    pub present: Vec<Present>,
    pub reader: Reader,
}

/// The kubeconfig of the webhook: its path in the container, if the API server opens it.
fn webhook_of(flags: &Flags) -> Option<String> {
    let path = flags.get("audit-webhook-config-file").filter(|path| !path.is_empty())?;
    // The working directory of the API server's image is the root directory.
    flags.get("audit-policy-file").filter(|path| !path.is_empty()).map(|_| absolute("/", path))
}

/// The mount that serves a path of the container.
fn mount_of<'p>(present: &'p [Present], path: &str) -> Option<&'p Present> {
    let serves = |one: &&Present| one.container == path || rest_below(&one.container, path).is_some();
    present.iter().filter(serves).max_by_key(|one| one.container.len())
}

/// Does the container need a mount of its own for a file? Without a mount, it has no such file. A mount of another
/// directory of the host can lack the file.
fn needs_mount(present: &[Present], files: &Files, path: &str) -> bool {
    if mount_of(present, path).is_none() {
        return true;
    }
    let host = find_on_host(present, path);
    host.is_some_and(|host| files.get(&host) == Some(&Seen::Missing))
        && matches!(files.get(path), Some(Seen::File(_)))
}

/// The kubeconfig of the webhook, if its content is known. `host`: its path on the host.
fn read_kubeconfig(files: &Files, container: &str, host: &str) -> Option<Kubeconfig> {
    match files.get(host)? {
        Seen::File(file) => Some(kubeconfig::read(&lossy(&file.snapshot.bytes), parent(container))),
        Seen::Missing | Seen::Wrong(_) => None,
    }
}

/// The mounts that the webhook needs beside what `present` has.
pub(super) fn webhook_mounts(flags: &Flags, wanted: &Wanted, present: &[Present]) -> Vec<NeededMount> {
    let Some(path) = webhook_of(flags) else { return Vec::new() };
    let files = &wanted.files;
    let is_ours = wanted.flags.iter().any(|(name, _)| name == "audit-webhook-config-file");
    let mount = |name, path: &str, kind| {
        let path = path.to_owned();
        NeededMount { name, host: path.clone(), container: path, read_only: true, kind, old: None }
    };
    let mut mounts = Vec::new();
    let host = if is_ours || needs_mount(present, files, &path) {
        // `wanted_mounts` has the mount of a webhook that is ours.
        if !is_ours {
            mounts.push(mount("audit-webhook", &path, "File"));
        }
        path.clone()
    } else {
        find_on_host(present, &path).unwrap_or_default()
    };
    let Some(kubeconfig) = read_kubeconfig(files, &path, &host) else { return mounts };
    let mut own: Vec<_> = kubeconfig.files.iter().map(|file| file.path.clone()).collect();
    own.sort_unstable();
    own.dedup();
    own.push(path);
    let named = own[..own.len() - 1].iter();
    for path in named.filter(|named| needs_mount(present, files, named)) {
        let directory = parent(path);
        if mounts.iter().any(|mount| mount.container == directory) {
            continue;
        }
        mounts.push(match files.get(path) {
            // A file that is replaced by a rename, as certificates are, is not seen through a mount of the file.
            Some(Seen::File(file)) if is_private(file, directory, &own) => mount(FILES, directory, "Directory"),
            _ => mount(FILES, path, "File"),
        });
    }
    mounts
}

/// The name of the volumes for the files that a webhook's kubeconfig names.
pub(super) const FILES: &str = "audit-webhook-files";

/// Does the directory of a file have only the webhook's own files? A name with two dots in front belongs to the atomic
/// writer of Kubernetes, which replaces a directory that the files are links into.
fn is_private(file: &SeenFile, directory: &str, own: &[String]) -> bool {
    directory != "/"
        && rest_below(directory, &file.real).is_some()
        && file.beside.iter().all(|name| name.starts_with("..") || own.contains(&format!("{directory}/{name}")))
}

/// Judges what an API server meets in its container. `keeps`: the existing policy stays.
pub(super) fn judge(container: &Container, files: &Files, keeps: bool) -> Verdict {
    let mut judge = Judge { container, files, verdict: Verdict::default() };
    if keeps && let Some(policy) = container.flags.get("audit-policy-file").filter(|path| path.starts_with('/')) {
        // A policy that is missing is installed.
        judge.open(policy, "--audit-policy-file", false);
    }
    if let Some(path) = webhook_of(&container.flags) {
        judge.follow_webhook(&path);
    }
    judge.verdict
}

struct Judge<'j> {
    container: &'j Container,
    files: &'j Files,
    verdict: Verdict,
}

impl<'j> Judge<'j> {
    fn follow_webhook(&mut self, path: &str) {
        let what = "--audit-webhook-config-file";
        let Some((host, _)) = self.open(path, what, true) else { return };
        let Some(kubeconfig) = read_kubeconfig(self.files, path, &host) else { return };
        self.tell(&host, &kubeconfig.findings);
        let mut seen = Vec::new();
        for file in &kubeconfig.files {
            let what = format!("{host}:{}: {}", file.position, file.role.name());
            if let Some((_, content)) = self.open(&file.path, &what, file.is_needed) {
                seen.push((file.role, content));
            }
        }
        let content = |role: FileRole| {
            seen.iter().find(|(other, _)| *other == role).map(|(_, file)| file.snapshot.bytes.as_slice())
        };
        self.tell(&host, &kubeconfig.judge(|file| content(file.role)));
    }

    fn tell(&mut self, host: &str, findings: &[Finding]) {
        for Finding { position, severity, message } in findings {
            match severity {
                Severity::Error => self.verdict.faults.push(format!(
                    "{host}:{position}: {message}; with this kubeconfig of the audit webhook, the API server does not \
                     start"
                )),
                Severity::Warning => self.verdict.warnings.push(format!("{host}:{position}: {message}")),
            }
        }
    }

    /// Follows a path of the container to a file of the host: its path there, and the file. `what` names the path.
    fn open(&mut self, path: &str, what: &str, is_needed: bool) -> Option<(String, &'j SeenFile)> {
        let present = &self.container.present;
        let Some(mount) = mount_of(present, path) else {
            if is_needed {
                self.verdict.faults.push(format!(
                    "{what}: no mount of the API server's container has {path}, and without the file it does not start; \
                     mount the file, or remove this setting"
                ));
            }
            return None;
        };
        let Some(host) = find_on_host(present, path) else {
            self.verdict.warnings.push(format!(
                "{what}: {path} is in a volume that is no directory of the host, so this program can't look at it; the \
                 API server does not start without the file"
            ));
            return None;
        };
        self.verdict.asked.extend([host.clone(), path.to_owned()]);
        let place = if host == path { String::new() } else { format!(" ({host} on the host)") };
        match self.files.get(&host)? {
            Seen::Missing if is_needed => {
                self.verdict.missing.push(format!(
                    "{what}: {path}{place} does not exist, and the API server would not start without it; create it, \
                     or remove this setting"
                ));
                None
            }
            Seen::Missing => None,
            Seen::Wrong(why) => {
                let why = format!("{what}: the API server can't read {path}{place}: {why}");
                if is_needed {
                    self.verdict.faults.push(why);
                } else {
                    self.verdict.warnings.push(why);
                }
                None
            }
            Seen::File(file) => {
                if let Some(why) = self.access_fault(mount, &host, file) {
                    let place = format!("{what}: the API server can't read {path}{place}");
                    self.verdict.faults.push(format!("{place}: {why}"));
                }
                Some((host, file))
            }
        }
    }

    /// Why the API server cannot open a file that exists. In the container, only the directories from the mount on
    /// count.
    fn access_fault(&self, mount: &Present, host: &str, file: &SeenFile) -> Option<String> {
        let reader = &self.container.reader;
        let top = mount.host.as_deref().unwrap_or_default();
        if host != top && file.real != host && rest_below(top, &file.real).is_none() {
            let is_seen = find_on_host(&self.container.present, &file.real).as_ref() == Some(&file.real)
                && mount_of(&self.container.present, &file.real).is_some();
            if !is_seen {
                return Some(format!(
                    "it is a link to {}, which is not mounted; name that path instead, or mount it",
                    file.real
                ));
            }
        }
        let attributes = &file.snapshot.attributes;
        let has_list = |path: &str| file.lists.iter().any(|listed| listed == path);
        if !reader.may(4, attributes) && !has_list(host) {
            return Some(refused(reader, host, attributes, "r"));
        }
        let is_passed = |directory: &&String| *directory == top || rest_below(top, directory).is_some();
        let closed = file.directories.iter().find(|(directory, attributes)| {
            host != top && is_passed(directory) && !reader.may(1, attributes) && !has_list(directory)
        });
        closed.map(|(directory, attributes)| refused(reader, directory, attributes, "x"))
    }
}

fn refused(reader: &Reader, path: &str, attributes: &Attributes, permission: &str) -> String {
    let Attributes { mode, uid, gid, .. } = attributes;
    let user = reader.user;
    format!(
        "{path} has the mode {mode:04o} and the owner {uid}:{gid}, and the API server runs as the user {user}; for \
         example, setfacl -m u:{user}:{permission} {path}"
    )
}
