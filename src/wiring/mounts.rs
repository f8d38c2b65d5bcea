//! The mounts that the settings need, and how existing mounts of a file serve them.

use super::present::{Place, Present, place_of};
use super::settings::{Refusal, Replaced, Wired};
use crate::audit::flags::{self, Flags};
use crate::config::Existing;
use crate::path::{clean, is_within, log_directory_fault, parent};
use crate::yaml::edit::New;
use crate::yaml::scalar::{Type, resolve};
use crate::yaml::{Node, Position};

/// A path of the host that the API server's container must see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NeededMount {
    /// The name of the volume, unless another volume has it.
    pub name: &'static str,
    pub host: String,
    pub container: String,
    pub read_only: bool,
    /// The `hostPath` type.
    pub kind: &'static str,
    /// The path that the flag had before the edit, if it differs.
    pub old: Option<String>,
    /// The file had this flag before the edit.
    pub is_known: bool,
    /// The API server's manifest has this mount.
    pub is_shown: bool,
    /// The log file, if this is the mount of the log.
    pub log: Option<String>,
}

impl NeededMount {
    /// The file that the API server opens.
    pub fn file(&self) -> &str {
        self.log.as_deref().unwrap_or(&self.container)
    }

    /// The path of that file on the host.
    pub fn host_file(&self) -> String {
        let name = self.log.as_ref().and_then(|log| log.rsplit('/').next());
        name.map_or_else(|| self.host.clone(), |name| format!("{}/{name}", self.host))
    }

    /// The option of the configuration that sets the path.
    fn option(&self) -> &'static str {
        match self.name {
            "audit" => "policy.path",
            "audit-log" => "log.path",
            _ => "webhook.configFile",
        }
    }
}

/// The mounts that the flags need, with the same path on the host and in the container. `before`: the flags before the
/// edit.
pub(super) fn needed_mounts(flags: &Flags, before: &Flags) -> Vec<NeededMount> {
    let mount = |name, flag: &str, of: fn(&str) -> &str, read_only, kind| {
        let file = |flags: &Flags| flags.get(flag).filter(|path| is_known(path)).map(|path| clean(path));
        let opened = file(flags)?;
        let path = of(&opened).to_owned();
        let known = file(before).map(|old| of(&old).to_owned());
        let (is_known, old) = (known.is_some(), known.filter(|old| *old != path));
        let log = (name == "audit-log").then_some(opened);
        let host = path.clone();
        Some(NeededMount { name, host, container: path, read_only, kind, old, is_known, is_shown: false, log })
    };
    fn same(path: &str) -> &str {
        path
    }
    [
        // `File`: if the file is missing, the kubelet then refuses to start the pod, and does not create a directory
        // of that name.
        mount("audit", "audit-policy-file", same, true, "File"),
        // The directory, not the file: rotation renames the file, and the rename of a mounted file fails with EBUSY.
        mount("audit-log", "audit-log-path", parent, false, "DirectoryOrCreate"),
        mount("audit-webhook", "audit-webhook-config-file", same, true, "File"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Is a flag's value a path, and does this program know it? What the kubelet puts in for a variable, it does not know.
pub(super) fn is_known(path: &str) -> bool {
    path.starts_with('/') && !path.contains("$(")
}

/// What a person must know of paths that stay, and of which only the kubelet knows a part. `flag_at`: where a flag is.
///
/// # Errors
///
/// No mount shows such a path, so its file is in the container alone.
pub(super) fn tell_of_unknown_paths(
    flags: &Flags,
    present: &[Present],
    flag_at: &dyn Fn(&str) -> Position,
    notes: &mut Vec<String>,
) -> Result<(), Refusal> {
    for flag in ["audit-policy-file", "audit-log-path"] {
        let Some(path) = flags.get(flag).filter(|path| path.starts_with('/') && !is_known(path)) else { continue };
        let fixed = path.split("$(").next().unwrap_or_default();
        let directory = &fixed[..=fixed.rfind('/').unwrap_or_default()];
        let position = flag_at(flag);
        if place_of(present, directory) == Place::Image {
            let reason = format!(
                "--{flag} stays, only the kubelet knows the whole path {path:?}, and no mount shows {}; write the path \
                 without a variable, mount that directory, or remove `existing: keep`",
                clean(directory)
            );
            return Err(Refusal::new(position, reason));
        }
        notes.push(format!(
            "{position}: --{flag} stays, and only the kubelet knows the whole path {path:?}, so this program does not \
             look after its file; to let it, write the path without a variable"
        ));
    }
    Ok(())
}

/// How the existing mounts serve a needed one. The number is an index into them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// Nothing has to be added or changed: a mount of a directory above also serves the path, or the settings keep
    /// what serves it.
    Served,
    /// This mount has the same path, and the same path on the host.
    Same(usize),
    /// This mount has the same path, but another path on the host.
    Taken(usize),
    /// This mount is of the log file itself, or is the program's own mount of the previous path.
    Move(usize),
    Missing,
}

/// Notes about mounts that the settings no longer need: a file that is mounted must exist, or the pod does not start.
/// `present` and `after`: the mounts before and after the edit.
pub(super) fn tell_left_over(
    (before, present): (&Flags, &[Present]),
    (flags, after): (&Flags, &[Present]),
    notes: &mut Vec<String>,
) {
    for flag in ["audit-policy-file", "audit-log-path"] {
        let file = |flags: &Flags| flags.get(flag).filter(|path| path.starts_with('/')).map(|path| clean(path));
        let Some(old) = file(before).filter(|old| file(flags).as_ref() != Some(old)) else { continue };
        let stays = |one: &&Present| {
            after.iter().any(|other| (&other.container, &other.host) == (&one.container, &one.host))
        };
        for one in present.iter().filter(|one| one.container == old).filter(stays) {
            if let Some(host) = &one.host {
                notes.push(format!(
                    "{}: the API server no longer uses {old}, but its pod does not start without the file that is \
                     mounted here; remove this mount and its volume before you remove {host}",
                    one.position
                ));
            }
        }
    }
}

/// Finds how the existing mounts serve a needed one. With `existing: keep`, a mount that shows the path of a kept flag
/// stays as it is, whatever it shows there; `notes` gets what a person must know about it. `log_flag`: where the
/// flag of the log is.
///
/// # Errors
///
/// A mount that makes the needed one impossible: its position, and what to do.
pub(super) fn find_match(
    mount: &NeededMount,
    present: &[Present],
    existing: Existing,
    notes: &mut Vec<String>,
    log_flag: Position,
) -> Result<Match, Refusal> {
    if existing == Existing::Replace {
        let found = match_anew(mount, present, log_flag)?;
        // What a flag named before is told as replaced.
        if let Match::Taken(index) = found
            && let Some(one) = present.get(index).filter(|_| !mount.is_known)
        {
            let shown = one.host.clone().unwrap_or_else(|| format!("the volume {}", one.name));
            notes.push(format!(
                "{}: {shown} was mounted at {}, and {} is mounted there now; to keep that mount, set {} to another path",
                one.position,
                one.container,
                mount.host,
                mount.option()
            ));
        }
        return Ok(found);
    }
    if mount.is_known {
        return match place_of(present, mount.file()) {
            // A device, such as /dev/stdout: nothing is mounted there, and the flag stays.
            Place::Image if !mount.read_only && is_within(mount.file(), "/dev") => {
                notes.push(format!(
                    "{log_flag}: --audit-log-path={} stays, and is a device of the container: what it gets is in no file \
                     of the host; for the standard output, write - instead",
                    mount.file()
                ));
                Ok(Match::Served)
            }
            Place::Image => match_anew(mount, present, log_flag),
            place => keep(mount, &place, notes).map(|()| Match::Served),
        };
    }
    // The flag is new, and its path is the configuration's. Existing mounts at that path stay.
    let found = match_anew(mount, present, log_flag)?;
    if found != Match::Missing {
        keep(mount, &place_of(present, mount.file()), notes)?;
        return Ok(Match::Served);
    }
    Ok(found)
}

/// Checks an existing mount that stays.
fn keep(mount: &NeededMount, place: &Place<'_>, notes: &mut Vec<String>) -> Result<(), Refusal> {
    let (Place::Host(_, by) | Place::Pod(by)) = place else { return Ok(()) };
    let (file, position) = (mount.file(), by.position);
    if !mount.read_only && by.read_only {
        let at = &by.container;
        let reason = format!("{at} is mounted read-only, so no event can be written to {file}; make it writable");
        return Err(Refusal::new(position, reason));
    }
    if mount.log.as_ref() == Some(&by.container) {
        notes.push(format!(
            "{position}: the log file itself is mounted, which makes its rotation fail; mount its directory"
        ));
    }
    if let Place::Host(host, _) = place
        && mount.log.as_ref().is_some_and(|log| *log != by.container)
        && log_directory_fault(parent(host)).is_some()
    {
        notes.push(format!(
            "{position}: the log {host} stays in {}, which belongs to the system or to other programs: the program \
             neither closes this directory nor looks after its other files; for a log of its own, remove `existing: \
             keep`, and set log.path to a file such as /var/log/kubernetes/audit/audit.log",
            parent(host)
        ));
    }
    if let Place::Pod(by) = place {
        let what = match (mount.read_only, by.by_expression) {
            (true, _) => "this program cannot see it, and neither checks nor installs it",
            (false, true) => {
                "this program cannot see it, and neither closes its directory nor looks after its space"
            }
            (false, false) => "its events are lost with the pod, at each change of the manifest",
        };
        notes.push(format!(
            "{position}: {file} is {}, so {what}; mount a directory of the host there (hostPath), or remove `existing: \
             keep`",
            by.elsewhere()
        ));
    }
    Ok(())
}

/// Finds how the existing mounts serve a needed one that has the same path on the host.
fn match_anew(mount: &NeededMount, present: &[Present], log_flag: Position) -> Result<Match, Refusal> {
    let at =
        |path: &str| present.iter().enumerate().filter(move |(_, one)| one.container == path).collect::<Vec<_>>();
    let log = mount.log.as_deref().filter(|log| *log != mount.container);
    let (same, of_file) = (at(&mount.container), log.map(at).unwrap_or_default());
    if let [_, (_, second), ..] = same.as_slice() {
        return Err(Refusal::new(second.position, format!("{} is mounted twice; remove one", mount.container)));
    }
    match (same.as_slice(), of_file.as_slice()) {
        ([_, ..], [(_, one), ..]) | ([], [_, (_, one), ..]) => {
            return Err(Refusal::new(
                one.position,
                "the log file itself is mounted here, which makes its rotation fail; remove this mount",
            ));
        }
        ([(index, one)], []) if one.host.as_ref() == Some(&mount.host) => return Ok(Match::Same(*index)),
        ([(index, _)], []) => return Ok(Match::Taken(*index)),
        ([], [(index, _)]) => return Ok(Match::Move(*index)),
        _ => {}
    }
    let place = place_of(present, &mount.container);
    if let Place::Host(host, by) = &place
        && *host == mount.host
        && (mount.read_only || !by.read_only)
    {
        return Ok(Match::Served);
    }
    if let Place::Host(_, by) | Place::Pod(by) = &place
        && by.closed
        && place.clone().on_host().as_ref() != Some(&mount.host)
    {
        let (path, parent, option) = (&mount.container, &by.container, mount.option());
        let reason = format!(
            "{path} needs its own mount below {parent}, but the container runtime cannot create its mount point in \
             this mount; set {option} to a path that is not below {parent}, or, if this mount shows the right file at \
             {path}, use --existing keep"
        );
        return Err(Refusal::new(by.position, reason));
    }
    if let Some(fault) = log_directory_fault(&mount.host).filter(|_| !mount.read_only && !mount.is_shown) {
        let reason = format!(
            "no mount shows the log of --audit-log-path, so its events are lost at each restart of the API server, and \
             it can't stay where it is: it {fault}; set --audit-log-path to such a path, or remove `existing: keep`"
        );
        return Err(Refusal::new(log_flag, reason));
    }
    let of_ours = |one: &Present| {
        let rest = one.name.strip_prefix(mount.name);
        rest.is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok())
        })
    };
    let old = present
        .iter()
        .position(|one| Some(&one.container) == mount.old.as_ref() && one.host == mount.old && of_ours(one));
    Ok(old.map_or(Match::Missing, Match::Move))
}

/// Does the existing type of a volume serve as well as the wanted one? The directory exists before the flags do, so
/// the kubelet does not need to create it. A change of the type alone would restart the API server for nothing.
pub(super) fn serves(node: &Node, wanted: &New) -> bool {
    *wanted == New::str("DirectoryOrCreate") && node.str() == Some("Directory")
}

/// Is the field present and true, as Kubernetes reads it? `yes` is true, too.
pub(super) fn is_true(node: &Node, name: &str) -> bool {
    node.get(name).is_some_and(|node| resolve(node) == Type::Bool(true))
}

/// Does a node have this value already? In paths, a slash at the end does not count.
pub(super) fn has_value(node: &Node, value: &New) -> bool {
    match value {
        New::Str(text) => node.str().is_some_and(|found| clean(found) == clean(text)),
        New::Bool(value) => resolve(node) == Type::Bool(*value),
        _ => false,
    }
}

/// A volume name that no other volume has.
pub(super) fn free_name(name: &str, taken: &[String]) -> String {
    let free = |candidate: &String| !taken.contains(candidate);
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(free).unwrap_or_default()
}

/// Mounts with the names of their volumes, where no other volumes are.
pub(super) fn with_names(mounts: Vec<NeededMount>) -> Vec<(NeededMount, String)> {
    let mut taken = Vec::new();
    let name = |mount: NeededMount| {
        let name = free_name(mount.name, &taken);
        taken.push(name.clone());
        (mount, name)
    };
    mounts.into_iter().map(name).collect()
}

/// The result of an edit, for both kinds of file: the flags and the mounts before the edit, and after it.
pub(super) fn to_wired(
    text: String,
    (before, mounted): (&Flags, &[Present]),
    (flags, present): (&Flags, &[Present]),
    mut notes: Vec<String>,
) -> Wired {
    if flags::is_busy(flags) {
        notes.push(format!(
            "{}: the API server will look for events without a pause, which takes up to a whole processor; set \
             --audit-log-batch-max-wait (log.batch.maxWait), for example to 1s",
            Position::START
        ));
    }
    let on_host = |flag: &str| {
        let path = flags.get(flag).filter(|path| is_known(path))?;
        place_of(present, path).on_host()
    };
    let (policy, log) = (on_host("audit-policy-file"), on_host("audit-log-path"));
    let replaced = Replaced::of((before, mounted), (flags, present));
    Wired { text, policy, log, flags: flags.clone(), notes, replaced, patched: None }
}

impl Replaced {
    /// What an edit puts out of use, from the flags and the mounts before it and after it.
    fn of((before, mounted): (&Flags, &[Present]), (flags, present): (&Flags, &[Present])) -> Replaced {
        // Without a policy, an API server does not audit.
        if !before.contains_key("audit-policy-file") {
            return Replaced::default();
        }
        let [policy, log] = ["audit-policy-file", "audit-log-path"].map(|flag| {
            let path = |flags: &Flags, present: &[Present]| {
                let path = flags.get(flag).filter(|path| !path.is_empty())?;
                let written = || if path.starts_with('/') { clean(path) } else { path.clone() };
                Some(place_of(present, path).on_host().unwrap_or_else(written))
            };
            let (old, new) = (path(before, mounted)?, path(flags, present).unwrap_or_else(|| "-".to_owned()));
            (old != new).then_some((old, new))
        });
        Replaced { policy, log }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mounts: the path in the container, the path on the host or an empty text for another volume, read-only or not.
    fn present(mounts: &[(&str, &str, bool)]) -> Vec<Present> {
        mounts
            .iter()
            .enumerate()
            .map(|(index, (container, host, read_only))| Present {
                position: Position { line: index + 1, column: 1 },
                name: String::new(),
                container: (*container).to_owned(),
                host: Some((*host).to_owned()).filter(|host| !host.is_empty()),
                read_only: *read_only,
                closed: *read_only,
                by_expression: false,
            })
            .collect()
    }

    const LOG: &str = "/var/log/kubernetes/audit/audit.log";

    fn log_mount(is_known: bool) -> NeededMount {
        let path = "/var/log/kubernetes/audit".to_owned();
        let (host, container, log) = (path.clone(), path, Some(LOG.to_owned()));
        let (name, kind) = ("audit-log", "DirectoryOrCreate");
        NeededMount { name, host, container, read_only: false, kind, old: None, is_known, is_shown: false, log }
    }

    #[test]
    fn a_path_lies_where_the_innermost_mount_shows_it() {
        for (mounts, path, expected) in [
            (&[][..], "/a/b", "image"),
            (&[("", "/x", false)], "/a/b", "image"),
            (&[("/a", "/x", false)], "/ab", "image"),
            (&[("/a", "/x", false)], "/a", "/x"),
            (&[("/a", "/x", false)], "/a/b/c", "/x/b/c"),
            (&[("/a", "/", false)], "/a/b", "/b"),
            (&[("/", "/x", false)], "/a/b", "/x/a/b"),
            (&[("/", "/", false)], "/a/b", "/a/b"),
            (&[("/a", "/x", false)], "//a/./c/../b/", "/x/b"),
            (&[("/a/b", "/y", true), ("/a", "/x", false)], "/a/b/c", "/y/c"),
            (&[("/a/b", "/y", true), ("/a", "/x", false)], "/a/c", "/x/c"),
            (&[("/a", "", false)], "/a/b", "pod"),
            (&[("/a", "", false), ("/a/b", "/x", false)], "/a/b/c", "/x/c"),
            (&[("/a", "/x", false), ("/a/b", "", false)], "/a/b/c", "pod"),
        ] {
            let present = present(mounts);
            let found = match place_of(&present, path) {
                Place::Image => "image".to_owned(),
                Place::Pod(_) => "pod".to_owned(),
                Place::Host(path, _) => path,
            };
            assert_eq!(found, expected, "{path} {mounts:?}");
        }
    }

    #[test]
    fn mounts_are_matched_by_path() {
        let found = |mounts: &[(&str, &str, bool)]| {
            find_match(&log_mount(false), &present(mounts), Existing::Replace, &mut Vec::new(), Position::START)
        };
        for (mounts, expected) in [
            (&[][..], Match::Missing),
            (&[("/etc", "/etc", true)], Match::Missing),
            (&[("/var/log/kubernetes/audit", "/var/log/kubernetes/audit", false)], Match::Same(0)),
            (&[("/var/log/kubernetes/audit", "/data/audit", false)], Match::Taken(0)),
            (&[("/var/log", "/var/log", false)], Match::Served),
            (&[("/", "/", false)], Match::Served),
            (&[("/var/log", "/var/log", true)], Match::Missing),
            (&[("/var/log", "/data", false)], Match::Missing),
            (&[("/var/lo", "/var/lo", false)], Match::Missing),
            (&[("/var/log", "/var/log", false), ("/var/log/kubernetes", "/data", false)], Match::Missing),
            (&[(LOG, LOG, false)], Match::Move(0)),
        ] {
            assert_eq!(found(mounts), Ok(expected), "{mounts:?}");
        }
        for mounts in [
            &[("/var/log/kubernetes/audit", "/a", false), ("/var/log/kubernetes/audit", "/b", false)][..],
            &[("/var/log/kubernetes/audit", "/var/log/kubernetes/audit", false), (LOG, LOG, false)],
            // The runtime could not make the mount point.
            &[("/var/log", "/data", true)],
        ] {
            assert!(found(mounts).is_err(), "{mounts:?}");
        }
    }

    #[test]
    fn a_path_that_is_written_otherwise_is_no_other_path() {
        let mounted = present(&[("/var/log/kube", "/var/log/kube", false)]);
        for (path, is_other) in [
            ("//var/log/kube/a.log", false),
            ("/var/log/../log/kube/./a.log", false),
            ("/var/log/kube/b.log", true),
        ] {
            let flags = |log: &str| -> Flags {
                [("audit-policy-file", "-"), ("audit-log-path", log)]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into()
            };
            let replaced = Replaced::of((&flags(path), &[]), (&flags("/var/log/kube/a.log"), &mounted));
            assert_eq!(replaced.log.is_some(), is_other, "{path}: {replaced:?}");
        }
        let flags = |policy: &str| Flags::from([("audit-policy-file".to_owned(), policy.to_owned())]);
        assert_eq!(Replaced::of((&flags(""), &[]), (&flags("/p"), &[])), Replaced::default());
    }

    #[test]
    fn what_shows_the_path_of_a_kept_flag_stays() {
        let (audit, read_only) = ("/var/log/kubernetes/audit", true);
        for (is_known, mounts, expected, noted) in [
            // Nothing shows it: the mount is added.
            (true, &[][..], Some(Match::Missing), None),
            (true, &[("/var/log", "/data", false)], Some(Match::Served), None),
            (true, &[(audit, "/data", false)], Some(Match::Served), Some("stays in /data, which belongs to")),
            (true, &[("/var/log", "/data", false), (audit, audit, false)], Some(Match::Served), None),
            (true, &[(LOG, "/data/x.log", false)], Some(Match::Served), Some("rotation fail")),
            (true, &[("/var/log", "", false)], Some(Match::Served), Some("events are lost with the pod")),
            // The innermost mount counts.
            (true, &[("/var/log", "/data", read_only), (audit, "/l", false)], Some(Match::Served), None),
            (true, &[("/var/log", "/data", false), (audit, "/l", read_only)], None, None),
            (true, &[("/var/log", "/data", read_only)], None, None),
            // The flag is new: the path is the configuration's.
            (false, &[("/var/log", "/data", false)], Some(Match::Missing), None),
            (false, &[(audit, "/data", false)], Some(Match::Served), Some("stays in /data")),
            (false, &[(audit, "/data", read_only)], None, None),
            (false, &[("/var/log", "/var/log", false)], Some(Match::Served), None),
        ] {
            let mut notes = Vec::new();
            let found =
                find_match(&log_mount(is_known), &present(mounts), Existing::Keep, &mut notes, Position::START);
            assert_eq!(found.ok(), expected, "{is_known} {mounts:?}");
            assert_eq!(notes.len(), usize::from(noted.is_some()), "{is_known} {mounts:?}: {notes:?}");
            assert!(notes.iter().all(|note| note.contains(noted.unwrap_or_default())), "{notes:?}");
        }
        // A device needs no mount.
        let stdout = NeededMount { log: Some("/dev/stdout".to_owned()), ..log_mount(true) };
        let mut notes = Vec::new();
        let found = find_match(&stdout, &[], Existing::Keep, &mut notes, Position::START);
        assert_eq!((found, notes.len()), (Ok(Match::Served), 1), "{notes:?}");
        // A policy is only read.
        let policy = NeededMount { read_only: true, log: None, ..log_mount(true) };
        let found = find_match(
            &policy,
            &present(&[("/var", "/d", true)]),
            Existing::Keep,
            &mut Vec::new(),
            Position::START,
        );
        assert_eq!(found, Ok(Match::Served));
    }

    #[test]
    fn a_type_serves_where_the_directory_is_there() {
        for (wanted, found, expected) in [
            ("DirectoryOrCreate", "Directory", true),
            ("DirectoryOrCreate", "File", false),
            ("File", "Directory", false),
            ("File", "FileOrCreate", false),
        ] {
            let node = crate::yaml::parse(found).unwrap().remove(0).root;
            assert_eq!(serves(&node, &New::str(wanted)), expected, "{wanted} {found}");
        }
    }

    #[test]
    fn a_taken_volume_name_gets_a_number() {
        let taken = ["audit".to_owned(), "audit-2".to_owned()];
        assert_eq!(free_name("audit", &taken), "audit-3");
        assert_eq!(free_name("audit-log", &taken), "audit-log");
    }
}
