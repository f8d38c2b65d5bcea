//! The files that an API server opens when it starts: the policy, the kubeconfig of the webhook, and what that
//! kubeconfig names. Each path is followed through the pod's own mounts to a file of the host.
//!
//! An API server without a policy does not open the kubeconfig of its webhook. So a flag that was left over and did no
//! harm ends the API server as soon as a policy is added.

use std::collections::BTreeSet;

use super::mounts::{NeededMount, is_known, needed_mounts};
use super::present::{Place, Present, place_of};
use super::settings::Wanted;
use crate::audit::flags::Flags;
use crate::audit::kubeconfig::{self, FileRole, Kubeconfig, absolute};
use crate::config::Existing;
use crate::facts::file::{Attributes, FileUser, Files, Seen, SeenFile, lossy};
use crate::facts::{Opened, Written};
use crate::path::{clean, is_within, parent};
use crate::yaml::fields::{Finding, Severity};

/// Why the API server would end when it opens its log (`AuditLogOptions.ensureLogFile`): it creates a log that is
/// missing. `attributes`: of a path that exists, unless an access control list may allow more.
pub fn write_fault(log: &Written, attributes: impl Fn(&str) -> Option<Attributes>) -> Option<String> {
    let Written { what, host, top, user } = log;
    let refused_at = |path: &str, permissions: u32, advice: &str| {
        let on = attributes(path).filter(|on| !user.may(permissions, on))?;
        Some(refused(user, path, &on, advice))
    };
    let own = format!("chown {}", user.user);
    // Above a mount, the container has its own directories.
    let above = std::iter::successors(Some(parent(host)), |path| (*path != "/").then(|| parent(path)));
    let above: Vec<_> = above.take_while(|path| host != top && is_within(path, top)).collect();
    let why = match attributes(host) {
        Some(_) => refused_at(host, 6, &own),
        None => above.first().and_then(|directory| refused_at(directory, 3, &own)),
    };
    let why = why.or_else(|| above.iter().find_map(|directory| refused_at(directory, 1, "chmod o+x")));
    why.map(|why| format!("{what}: the API server can't write {host}: {why}"))
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
    /// The policy, the log, and the files of the webhook: links may lead the container elsewhere.
    pub opened: Vec<Opened>,
    /// The log.
    pub written: Option<Written>,
}

impl Verdict {
    /// The paths of the host that the API server opens: the files, and the directory of the log.
    pub(super) fn on_host(self) -> Vec<String> {
        let log = self.written.map(|log| parent(&log.host).to_owned());
        self.opened.into_iter().map(|opened| opened.on_host).chain(log).collect()
    }
}

/// A container, as far as it matters which files the API server finds in it.
pub(super) struct Container {
    pub flags: Flags,
    pub present: Vec<Present>,
    pub reader: FileUser,
}

/// The kubeconfig of the webhook: its path in the container, if the API server opens it.
fn webhook_of(flags: &Flags) -> Option<String> {
    let path = flags.get("audit-webhook-config-file").filter(|path| !path.is_empty())?;
    // The working directory of the API server's image is the root directory.
    flags.get("audit-policy-file").filter(|path| !path.is_empty()).map(|_| absolute("/", path))
}

/// The mount that a path of the container lies in.
fn mount_of<'p>(present: &'p [Present], path: &str) -> Option<&'p Present> {
    match place_of(present, path) {
        Place::Image => None,
        Place::Host(_, by) | Place::Pod(by) => Some(by),
    }
}

/// Does the container need a mount of its own for a file? Without a mount, it has no such file. A mount of another
/// directory of the host can lack the file.
fn needs_mount(present: &[Present], files: &Files, path: &str) -> bool {
    if mount_of(present, path).is_none() {
        return true;
    }
    let host = place_of(present, path).on_host();
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

/// The mounts that an edit adds, or that it corrects. The mounts of a webhook that the configuration does not name stay
/// as they are. `present`: the mounts that the container will have without an edit.
pub(super) fn wanted_mounts(
    flags: &Flags,
    before: &Flags,
    wanted: &Wanted,
    present: &[Present],
) -> Vec<NeededMount> {
    let webhook = wanted.flags.iter().any(|(name, _)| name == "audit-webhook-config-file");
    let mut mounts = needed_mounts(flags, before);
    mounts.retain(|mount| {
        // A file that a mount shows already stays there, as the other settings do.
        let stays = || wanted.existing == Existing::Keep && !needs_mount(present, &wanted.files, &mount.container);
        mount.name != "audit-webhook" || webhook && !stays()
    });
    let mut named = webhook_mounts(flags, wanted, present);
    // What the other settings mount is mounted already, unless an existing mount stays in its place.
    let is_new = |mount: &&NeededMount| {
        wanted.existing == Existing::Replace || place_of(present, mount.file()) == Place::Image
    };
    let serves =
        |one: &NeededMount| mounts.iter().filter(is_new).any(|mount| is_within(&one.container, &mount.container));
    named.retain(|one| !serves(one));
    mounts.extend(named);
    as_shown(mounts, &wanted.shown)
}

/// The same mounts, as those of a manifest that stays show their files. What such a manifest does not mount, such as a
/// device, needs no mount.
fn as_shown(mounts: Vec<NeededMount>, shown: &[Present]) -> Vec<NeededMount> {
    let mut found: Vec<NeededMount> = Vec::new();
    for mount in mounts {
        let by = match place_of(shown, mount.file()) {
            Place::Host(_, by) => by,
            Place::Image if !mount.read_only && is_within(mount.file(), "/dev") && !shown.is_empty() => continue,
            Place::Image | Place::Pod(_) => {
                found.push(mount);
                continue;
            }
        };
        let kind = match (by.container == mount.file(), mount.read_only) {
            (true, true) => "File",
            (true, false) => "FileOrCreate",
            (false, _) => "DirectoryOrCreate",
        };
        let host = by.host.clone().unwrap_or_default();
        if !found.iter().any(|other| other.container == by.container) {
            let container = by.container.clone();
            found.push(NeededMount { host, container, read_only: by.read_only, kind, is_shown: true, ..mount });
        }
    }
    found
}

/// The mounts that a person would have to add to `present` for these flags.
pub(super) fn missing_mounts(flags: &Flags, wanted: &Wanted, present: &[Present]) -> Vec<NeededMount> {
    let mut mounts = wanted_mounts(flags, &Flags::new(), wanted, present);
    mounts.retain(|mount| match place_of(present, mount.file()) {
        Place::Image => true,
        Place::Host(host, _) => wanted.existing == Existing::Replace && host != clean(&mount.host_file()),
        Place::Pod(_) => wanted.existing == Existing::Replace,
    });
    mounts
}

/// The mounts that the webhook needs beside what `present` has.
fn webhook_mounts(flags: &Flags, wanted: &Wanted, present: &[Present]) -> Vec<NeededMount> {
    let Some(path) = webhook_of(flags) else { return Vec::new() };
    let files = &wanted.files;
    let is_ours = wanted.flags.iter().any(|(name, _)| name == "audit-webhook-config-file");
    let mount = |name, path: &str, kind| {
        let path = path.to_owned();
        NeededMount {
            name,
            host: path.clone(),
            container: path,
            read_only: true,
            kind,
            old: None,
            is_known: false,
            is_shown: false,
            log: None,
        }
    };
    let mut mounts = Vec::new();
    let is_moved = is_ours && wanted.existing == Existing::Replace;
    let host = if is_moved || needs_mount(present, files, &path) {
        // `wanted_mounts` has the mount of a webhook that is ours.
        if !is_ours {
            mounts.push(mount("audit-webhook", &path, "File"));
        }
        path.clone()
    } else {
        place_of(present, &path).on_host().unwrap_or_default()
    };
    let host = place_of(&wanted.shown, &path).on_host().unwrap_or(host);
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
            // If the kubeconfig names other files later and this directory goes, the pod must start all the same.
            Some(Seen::File(file)) if is_private(file, directory, &own) => {
                mount(FILES, directory, "DirectoryOrCreate")
            }
            _ => mount(FILES, path, "File"),
        });
    }
    // A mount of this program for a file that the kubeconfig no longer names becomes the mount of one that it names.
    let mut left_over = left_over_files(present, &own).map(|one| one.container.clone());
    for mount in mounts.iter_mut().filter(|mount| mount.name == FILES) {
        mount.old = left_over.next();
    }
    mounts
}

/// This program's mounts of files that a webhook's kubeconfig no longer names. `own`: the files that it names.
fn left_over_files<'p>(present: &'p [Present], own: &[String]) -> impl Iterator<Item = &'p Present> {
    let is_ours = |one: &&Present| one.name.starts_with(FILES) && one.host.as_ref() == Some(&one.container);
    present.iter().filter(is_ours).filter(|one| !own.iter().any(|path| is_within(path, &one.container)))
}

/// Notes about mounts of files that the webhook's kubeconfig no longer names.
pub(super) fn tell_left_over_files(flags: &Flags, wanted: &Wanted, present: &[Present], notes: &mut Vec<String>) {
    let own = webhook_of(flags).map(|path| {
        let host = place_of(present, &path).on_host().unwrap_or_default();
        let named = read_kubeconfig(&wanted.files, &path, &host).map(|kubeconfig| kubeconfig.files);
        (path, named)
    });
    let own = match own {
        // What it names is not known.
        Some((_, None)) => return,
        Some((path, Some(named))) => named.into_iter().map(|file| file.path).chain([path]).collect(),
        None => Vec::new(),
    };
    notes.extend(left_over_files(present, &own).map(|one| {
        format!(
            "{}: the webhook no longer uses {}, but the API server's pod does not start without the file that is mounted \
             here; remove this mount and its volume",
            one.position, one.container
        )
    }));
}

/// The name of the volumes for the files that a webhook's kubeconfig names.
pub(super) const FILES: &str = "audit-webhook-files";

/// Does the directory of a file have only the webhook's own files? A name with two dots in front belongs to the atomic
/// writer of Kubernetes, which replaces a directory that the files are links into.
fn is_private(file: &SeenFile, directory: &str, own: &[String]) -> bool {
    directory != "/"
        && is_within(&file.real, directory)
        && file.beside.iter().all(|name| name.starts_with("..") || own.contains(&format!("{directory}/{name}")))
}

/// Who asks whether an API server finds its files.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is at the paths of the host.
    pub files: &'a Files,
    /// The file that has the flags, for messages.
    pub path: &'a str,
    /// The existing policy stays.
    pub keeps: bool,
    /// A policy that is missing is installed.
    pub installs: bool,
    /// Where the configuration names the webhook, if it does.
    pub webhook: Option<&'a str>,
}

/// Judges what an API server meets in its container.
pub(super) fn judge(container: &Container, question: &Question<'_>) -> Verdict {
    let Question { files, path: origin, keeps, installs, webhook } = *question;
    let mut judge = Judge { container, files, verdict: Verdict::default(), gets_owner: false };
    let file = |flag: &str| container.flags.get(flag).filter(|path| is_known(path));
    // The log need not exist.
    for path in ["audit-policy-file", "audit-log-path"].into_iter().filter_map(file) {
        judge.remember(path);
    }
    judge.verdict.written = file("audit-log-path").and_then(|log| {
        let by = mount_of(&container.present, log)?;
        Some(Written {
            what: format!("{origin}: --audit-log-path"),
            host: place_of(&container.present, log).on_host()?,
            top: by.host.clone()?,
            user: container.reader.clone(),
        })
    });
    if let Some(policy) = file("audit-policy-file") {
        // One that does not stay gets its owner.
        judge.gets_owner = !keeps;
        // An image may have a policy of its own, which no mount shows.
        let is_needed = !installs && mount_of(&container.present, policy).is_some();
        judge.open(policy, &format!("{origin}: --audit-policy-file"), is_needed);
        judge.gets_owner = false;
    }
    if let Some(path) = webhook_of(&container.flags) {
        // The setting is in the program's configuration, not in the file that has the flag.
        let what = match webhook {
            Some(place) => format!("{place}: webhook.configFile"),
            None => format!("{origin}: --audit-webhook-config-file"),
        };
        judge.follow_webhook(&path, &what);
    }
    judge.verdict
}

struct Judge<'j> {
    container: &'j Container,
    files: &'j Files,
    verdict: Verdict,
    /// The file gets the right owner, so only the directories above it count.
    gets_owner: bool,
}

impl<'j> Judge<'j> {
    fn follow_webhook(&mut self, path: &str, what: &str) {
        let Some((host, _)) = self.open_of_webhook(path, what, true) else { return };
        let Some(kubeconfig) = read_kubeconfig(self.files, path, &host) else { return };
        self.tell(&host, &kubeconfig.findings);
        let mut seen = Vec::new();
        for file in &kubeconfig.files {
            let what = format!("{host}:{}: {}", file.position, file.role.name());
            if let Some((_, content)) = self.open_of_webhook(&file.path, &what, file.is_needed) {
                seen.push((file.role, content));
            }
        }
        let content = |role: FileRole| {
            seen.iter().find(|(other, _)| *other == role).map(|(_, file)| file.snapshot.bytes.as_slice())
        };
        self.tell(&host, &kubeconfig.judge(|file| content(file.role)));
    }

    fn tell(&mut self, host: &str, findings: &[Finding]) {
        for Finding { position, severity, message, .. } in findings {
            match severity {
                Severity::Error => self.verdict.faults.push(format!(
                    "{host}:{position}: {message}; with this kubeconfig of the audit webhook, the API server does not \
                     start"
                )),
                Severity::Warning => self.verdict.warnings.push(format!("{host}:{position}: {message}")),
            }
        }
    }

    /// As [`Judge::open`], and remembers the file.
    fn open_of_webhook(&mut self, path: &str, what: &str, is_needed: bool) -> Option<(String, &'j SeenFile)> {
        let found = self.open(path, what, is_needed)?;
        self.remember(path);
        Some(found)
    }

    /// Remembers a file that the API server opens, for the links on the way to it.
    fn remember(&mut self, path: &str) {
        let present = &self.container.present;
        let Some(on_host) = place_of(present, path).on_host() else { return };
        let mounts = present.iter().map(|one| (one.container.clone(), one.host.clone())).collect();
        self.verdict.opened.push(Opened { in_container: path.to_owned(), on_host, mounts });
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
        let Some(host) = place_of(present, path).on_host() else {
            self.verdict.warnings.push(format!(
                "{what}: {path} is {}, so this program can't look at it; the API server does not start without the file; \
                 make sure that it is there",
                mount.elsewhere()
            ));
            return None;
        };
        self.verdict.asked.extend([host.clone(), path.to_owned()]);
        let place = if host == path { String::new() } else { format!(" ({host} on the host)") };
        match self.files.get(&host)? {
            Seen::Missing if is_needed => {
                self.verdict.missing.push(format!(
                    "{what} is {path}{place}, which does not exist, and the API server would not start without it; create it, \
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
        let attributes = &file.snapshot.attributes;
        let has_list = |path: &str| file.lists.iter().any(|listed| listed == path);
        if !self.gets_owner && !reader.may(4, attributes) && !has_list(host) {
            return Some(refused(reader, host, attributes, &format!("chown {}", reader.user)));
        }
        let is_passed = |directory: &&String| *directory == top || is_within(directory, top);
        let closed = file.directories.iter().find(|(directory, attributes)| {
            host != top && is_passed(directory) && !reader.may(1, attributes) && !has_list(directory)
        });
        closed.map(|(directory, attributes)| refused(reader, directory, attributes, "chmod o+x"))
    }
}

fn refused(reader: &FileUser, path: &str, attributes: &Attributes, advice: &str) -> String {
    let Attributes { mode, uid, gid, .. } = attributes;
    let user = reader.user;
    format!(
        "{path} has the mode {mode:04o} and the owner {uid}:{gid}, and the API server runs as the user {user}; let that \
         user in, for example with {advice} {path}"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Existing;
    use crate::facts::file::{FileIdentity, Snapshot};
    use crate::wiring::manifest;

    const KUBECONFIG: &str = "clusters: [{name: c, cluster: {server: 'https://a'}}]\n\
                              users: [{name: u, user: {tokenFile: /t/token}}]\n\
                              contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n";

    fn file(
        path: &str,
        text: &str,
        mode: u32,
        real: &str,
        directories: &[(&str, u32)],
        beside: &[&str],
    ) -> (String, Seen) {
        let snapshot = Snapshot {
            bytes: text.into(),
            attributes: Attributes::new(mode, 0, 0),
            identity: FileIdentity { device: 1, inode: 1 },
        };
        let directories =
            directories.iter().map(|(path, mode)| ((*path).to_owned(), Attributes::new(*mode, 0, 0)));
        let seen = SeenFile {
            snapshot,
            real: real.to_owned(),
            directories: directories.collect(),
            lists: Vec::new(),
            beside: beside.iter().map(|name| (*name).to_owned()).collect(),
        };
        (path.to_owned(), Seen::File(Box::new(seen)))
    }

    fn plain(path: &str, text: &str) -> (String, Seen) {
        file(path, text, 0o600, path, &[], &["others"])
    }

    fn missing(path: &str) -> (String, Seen) {
        (path.to_owned(), Seen::Missing)
    }

    /// A manifest with these flags, mounts (`CONTAINER=HOST`) and other lines of `spec`.
    fn pod(flags: &str, mounts: &str, lines: &str) -> String {
        let mut text = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver}\nspec:\n".to_owned() + lines;
        text += "  containers:\n  - name: kube-apiserver\n    command:\n    - kube-apiserver\n";
        text.extend(flags.split_whitespace().map(|flag| format!("    - --{flag}\n")));
        let mounts: Vec<_> = mounts.split_whitespace().filter_map(|mount| mount.split_once('=')).collect();
        text += "    volumeMounts:\n    - {mountPath: /empty, name: empty}\n";
        for (index, (container, _)) in mounts.iter().enumerate() {
            text += &format!("    - {{mountPath: {container}, name: v{index}}}\n");
        }
        text += "  volumes:\n  - {name: empty, emptyDir: {}}\n";
        for (index, (_, host)) in mounts.iter().enumerate() {
            text += &format!("  - {{name: v{index}, hostPath: {{path: {host}}}}}\n");
        }
        text
    }

    fn words(text: &str) -> Vec<(String, String)> {
        let pairs = text.split_whitespace().filter_map(|word| word.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn the_mounts_of_a_webhook_are_seen_to_where_it_is_ours() {
        let flags: Flags =
            words("audit-policy-file=/p audit-log-path=/l/a audit-webhook-config-file=/w").into_iter().collect();
        for (ours, expected) in [
            ("audit-policy-file=/p", &["audit", "audit-log", "audit-webhook"][..]),
            ("audit-policy-file=/p audit-webhook-config-file=/w", &["audit", "audit-log", "audit-webhook"]),
        ] {
            let wanted = Wanted {
                flags: words(ours),
                off: Vec::new(),
                existing: Existing::Replace,
                files: std::collections::BTreeMap::new(),
                shown: Vec::new(),
            };
            let found: Vec<_> =
                wanted_mounts(&flags, &flags, &wanted, &[]).iter().map(|mount| mount.name).collect();
            assert_eq!(found, expected, "{ours}");
        }
    }

    #[test]
    fn a_webhook_that_a_mount_shows_stays_where_existing_settings_stay() {
        let (there, here) = (plain("/data/w", KUBECONFIG), plain("/c/w", KUBECONFIG));
        let known = |files: &[(String, Seen)]| files.iter().cloned().collect::<Files>();
        for (existing, files, is_mounted) in [
            (Existing::Keep, known(&[there.clone(), missing("/c/w")]), false),
            (Existing::Keep, known(&[there.clone(), here.clone()]), false),
            (Existing::Keep, known(&[missing("/data/w"), here.clone()]), true),
            (Existing::Replace, known(&[there, here]), true),
        ] {
            let text = pod("audit-policy-file=/p", "/p=/p /c=/data", "");
            let flags = words("audit-policy-file=/p audit-webhook-config-file=/c/w");
            let wanted = Wanted { flags, off: Vec::new(), existing, files, shown: Vec::new() };
            let wired = manifest::wire(&text, &manifest::read(&text).unwrap(), &wanted, None).unwrap();
            let mounts = wired.text.split("volumeMounts:").nth(1).unwrap();
            assert_eq!(mounts.contains("mountPath: /c/w\n"), is_mounted, "{existing:?}: {mounts}");
        }
    }

    #[test]
    fn a_webhook_is_followed_to_the_files_that_the_api_server_finds() {
        let files = |entries: &[(String, Seen)]| entries.iter().cloned().collect::<Files>();
        let both = &[plain("/w", KUBECONFIG), plain("/t/token", "t")];
        let flags = "audit-policy-file=/p audit-webhook-config-file=/w";
        let at_other = "audit-policy-file=/p audit-webhook-config-file=/c/w";
        for (flags, mounts, files, fault) in [
            (flags, "/p=/p /w=/w /t=/t", files(both), ""),
            // Without a policy, the webhook sleeps; an empty value turns it off.
            ("audit-webhook-config-file=/w", "", files(&[missing("/w")]), ""),
            ("audit-policy-file=/p audit-webhook-config-file=", "", files(&[]), ""),
            (
                flags,
                "/p=/p",
                files(both),
                "--audit-webhook-config-file: no mount of the API server's container has /w",
            ),
            (flags, "/w=/w", files(both), "tokenFile: no mount of the API server's container has /t/token"),
            (
                flags,
                "/w=/w /t=/t",
                files(&[missing("/w")]),
                "--audit-webhook-config-file is /w, which does not exist",
            ),
            (
                flags,
                "/w=/w /t=/t",
                files(&[both[0].clone(), missing("/t/token")]),
                "tokenFile is /t/token, which does",
            ),
            (
                flags,
                "/w=/w /t=/s",
                files(&[both[0].clone(), missing("/s/token"), both[1].clone()]),
                "tokenFile is /t/token (/s/token on the host), which does not exist",
            ),
            (flags, "/w=/w /t=/t", files(&[both[0].clone(), plain("/t/token", "")]), "/t/token is empty"),
            (
                flags,
                "/w=/w /t=/t",
                files(&[both[0].clone(), ("/t/token".to_owned(), Seen::Wrong("a directory".to_owned()))]),
                "the API server can't read /t/token: a directory",
            ),
            // The place in the container counts for relative paths, the place on the host for what is there.
            (
                at_other,
                "/c=/h",
                files(&[plain("/h/w", &KUBECONFIG.replace("/t/token", "token")), missing("/h/token")]),
                "tokenFile is /c/token (/h/token on the host), which does not exist",
            ),
        ] {
            let question = Question { files: &files, path: "/m", keeps: false, installs: true, webhook: None };
            let verdict = manifest::judge(&pod(flags, mounts, ""), &question).unwrap();
            let found = [verdict.faults, verdict.missing].concat();
            assert_eq!(found.is_empty(), fault.is_empty(), "{flags} {mounts}: {found:?}");
            assert!(found.iter().all(|line| line.contains(fault)), "{flags} {mounts}: {found:?}");
            assert!(verdict.asked.iter().all(|path| path.starts_with('/')), "{:?}", verdict.asked);
            // All files that the API server opens are remembered, also a policy that does not exist yet.
            let opened: Vec<_> = verdict.opened.iter().map(|opened| opened.in_container.as_str()).collect();
            let all: &[_] = if mounts.is_empty() { &[] } else { &["/p", "/w", "/t/token"] };
            assert!(!fault.is_empty() || opened == all, "{flags} {mounts}: {opened:?}");
        }
    }

    #[test]
    fn a_file_counts_only_for_a_user_who_may_read_it() {
        let root = "";
        let user = "  securityContext: {runAsUser: 65, runAsGroup: 66, fsGroup: 67, supplementalGroups: [0]}\n";
        let alone = "  securityContext: {runAsUser: 65, runAsGroup: 66}\n";
        let flags = "audit-policy-file=/d/e/p";
        for (lines, mount, mode, directory, is_right) in [
            (root, "/d=/d", 0o600, 0o700, true),
            (alone, "/d=/d", 0o600, 0o755, false),
            (alone, "/d=/d", 0o644, 0o755, true),
            (alone, "/d=/d", 0o644, 0o700, false),
            (alone, "/d=/d", 0o640, 0o755, false),
            // The group 0 owns the file.
            (user, "/d=/d", 0o640, 0o755, true),
            (user, "/d=/d", 0o604, 0o755, false),
            // Above a mount, the container has its own directories.
            (alone, "/d/e/p=/d/e/p", 0o644, 0o700, true),
            (alone, "/d/e=/d/e", 0o644, 0o700, false),
        ] {
            let directories = [("/", 0o700), ("/d", 0o755), ("/d/e", directory)];
            let seen: Files = [file("/d/e/p", "x", mode, "/d/e/p", &directories, &[])].into_iter().collect();
            let question = Question { files: &seen, path: "/m", keeps: true, installs: true, webhook: None };
            let verdict = manifest::judge(&pod(flags, mount, lines), &question).unwrap();
            assert_eq!(verdict.faults.is_empty(), is_right, "{lines} {mount} {mode:o} {directory:o}: {verdict:?}");
        }
        let dropped = pod(flags, "/d=/d", "")
            .replace("    command:", "    securityContext: {capabilities: {drop: [ALL]}}\n    command:");
        for (uid, is_right) in [(0, true), (7, false)] {
            let (path, mut seen) = file("/d/e/p", "x", 0o600, "/d/e/p", &[], &[]);
            if let Seen::File(file) = &mut seen {
                file.snapshot.attributes.uid = uid;
            }
            let seen: Files = [(path, seen)].into_iter().collect();
            let question = Question { files: &seen, path: "/m", keeps: true, installs: true, webhook: None };
            assert_eq!(manifest::judge(&dropped, &question).unwrap().faults.is_empty(), is_right, "{uid}");
        }
    }

    #[test]
    fn a_directory_is_mounted_where_it_has_nothing_else() {
        let path = "/k/w/conf";
        let text = KUBECONFIG
            .replace("{tokenFile: /t/token}", "{client-certificate: a, client-key: b, tokenFile: /t/token}");
        let flags: Flags = [("audit-policy-file", "/p"), ("audit-webhook-config-file", path)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let beside = |names: &[&str], real: &str| file("/k/w/a", "", 0o600, real, &[], names);
        let one = |container: &str, host: &str| Present {
            position: crate::yaml::Position::START,
            name: "n".to_owned(),
            container: container.to_owned(),
            host: Some(host.to_owned()),
            read_only: true,
            closed: true,
            by_expression: false,
        };
        for (a, present, expected) in [
            (beside(&["a", "b", "conf"], "/k/w/a"), vec![], "/k/w /t/token"),
            (beside(&["..data", "a", "b"], "/k/w/..data/a"), vec![], "/k/w /t/token"),
            (beside(&["a", "b", "other"], "/k/w/a"), vec![], "/k/w/a /k/w/b /t/token"),
            (beside(&["a", "b"], "/elsewhere/a"), vec![], "/k/w/a /k/w/b /t/token"),
            (missing("/k/w/a"), vec![], "/k/w/a /k/w/b /t/token"),
            // What is mounted already, in whatever way, stays as it is; without the file there, it does not serve.
            (beside(&["a", "b"], "/k/w/a"), vec![one("/k", "/k"), one("/t", "/t")], ""),
            (beside(&["a", "b"], "/k/w/a"), vec![one("/k", "/k"), one("/t", "/s")], "/t/token"),
        ] {
            let seen = [plain(path, &text), a, missing("/s/token"), plain("/t/token", "t")];
            let wanted = Wanted {
                flags: vec![("audit-webhook-config-file".to_owned(), path.to_owned())],
                off: Vec::new(),
                existing: Existing::Replace,
                files: seen.into_iter().collect::<BTreeMap<_, _>>(),
                shown: Vec::new(),
            };
            let found: Vec<_> =
                webhook_mounts(&flags, &wanted, &present).into_iter().map(|mount| mount.container).collect();
            assert_eq!(found.join(" "), expected, "{present:?}");
        }
    }
}
