//! The mounts that the settings need, and how existing mounts of a file serve them.

use super::settings::{Refusal, Replaced, Wanted, Wired};
use crate::audit::flags::{self, Flags};
use crate::config::Existing;
use crate::path::{log_directory_fault, parent};
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
}

/// The mounts that the flags need, with the same path on the host and in the container. `before`: the flags before the
/// edit.
pub(super) fn needed_mounts(flags: &Flags, before: &Flags) -> Vec<NeededMount> {
    let mount = |name, flag: &str, of: fn(&str) -> &str, read_only, kind| {
        let get =
            |flags: &Flags| flags.get(flag).filter(|path| path.starts_with('/')).map(|path| of(path).to_owned());
        let path = get(flags)?;
        let old = get(before).filter(|old| *old != path);
        Some(NeededMount { name, host: path.clone(), container: path, read_only, kind, old })
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

/// The mounts that an edit adds. A webhook that the configuration does not name has its mount already, or does not
/// work today either.
pub(super) fn wanted_mounts(flags: &Flags, before: &Flags, wanted: &Wanted) -> Vec<NeededMount> {
    let webhook = wanted.flags.iter().any(|(name, _)| name == "audit-webhook-config-file");
    let mut mounts = needed_mounts(flags, before);
    mounts.retain(|mount| webhook || mount.name != "audit-webhook");
    mounts
}

/// A mount that a file has.
#[derive(Clone, Debug)]
pub(super) struct Present {
    pub position: Position,
    pub name: String,
    pub container: String,
    /// The path on the host, if it is one.
    pub host: Option<String>,
    pub read_only: bool,
    /// The container runtime cannot create a mount point in it.
    pub closed: bool,
}

/// How the existing mounts serve a needed one. The number is an index into them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// This mount has the same path, and the same path on the host.
    Same(usize),
    /// This mount of a directory above also serves the path.
    Above(usize),
    /// This mount has the same path, but another path on the host.
    Taken(usize),
    /// This mount is of the log file itself, or is the program's own mount of the previous path.
    Move(usize),
    Missing,
}

/// Finds how the existing mounts serve a needed one. `file`: the log file, if it is the mount of the log.
///
/// # Errors
///
/// A mount that makes the needed one impossible: its position, and what to do.
pub(super) fn find_match(mount: &NeededMount, file: Option<&str>, present: &[Present]) -> Result<Match, Refusal> {
    let at =
        |path: &str| present.iter().enumerate().filter(move |(_, one)| one.container == path).collect::<Vec<_>>();
    let (same, of_file) = (at(&mount.container), file.map(at).unwrap_or_default());
    if let [_, (_, second), ..] = same.as_slice() {
        return Err(Refusal::new(second.position, format!("{} is mounted twice; remove one", mount.container)));
    }
    match (same.as_slice(), of_file.as_slice()) {
        ([_, ..], [(_, one), ..]) | ([], [_, (_, one), ..]) => Err(Refusal::new(
            one.position,
            "the log file itself is mounted here, which makes its rotation fail; remove this mount",
        )),
        ([(index, one)], []) if one.host.as_ref() == Some(&mount.host) => Ok(Match::Same(*index)),
        ([(index, _)], []) => Ok(Match::Taken(*index)),
        ([], [(index, _)]) => Ok(Match::Move(*index)),
        _ => {
            let above = present
                .iter()
                .enumerate()
                .filter(|(_, one)| rest_below(&one.container, &mount.container).is_some())
                .max_by_key(|(_, one)| one.container.len());
            let of_ours = |one: &Present| {
                let rest = one.name.strip_prefix(mount.name);
                rest.is_some_and(|rest| {
                    rest.is_empty() || rest.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok())
                })
            };
            let old = present.iter().position(|one| {
                Some(&one.container) == mount.old.as_ref() && one.host == mount.old && of_ours(one)
            });
            if let Some((_, one)) = above
                && host_path_of(one, &mount.container).as_ref() != Some(&mount.host)
                && one.closed
            {
                let (path, parent) = (&mount.container, &one.container);
                let reason = format!(
                    "{path} needs its own mount below {parent}, but the container runtime cannot create its mount \
                     point in this mount; choose another path"
                );
                return Err(Refusal::new(one.position, reason));
            }
            Ok(match above {
                Some((index, one))
                    if host_path_of(one, &mount.container).as_ref() == Some(&mount.host)
                        && (mount.read_only || !one.read_only) =>
                {
                    Match::Above(index)
                }
                _ => {
                    if let Some(fault) = log_directory_fault(&mount.host).filter(|_| !mount.read_only) {
                        let reason = format!("the log of the existing flag --audit-log-path {fault}");
                        return Err(Refusal::new(Position { line: 1, column: 1 }, reason));
                    }
                    old.map_or(Match::Missing, Match::Move)
                }
            })
        }
    }
}

/// The rest of a path below a directory; `None` if it is not below.
pub(super) fn rest_below<'p>(directory: &str, path: &'p str) -> Option<&'p str> {
    let directory = directory.trim_end_matches('/');
    path.strip_prefix(directory).filter(|rest| rest.starts_with('/') && rest.len() > 1)
}

/// The path on the host of a path in the container, at or below a mount; `None` if the mount is not of the host.
pub(super) fn host_path_of(present: &Present, path: &str) -> Option<String> {
    let host = present.host.as_deref()?;
    if present.container == path {
        return Some(host.to_owned());
    }
    Some(format!("{}{}", host.trim_end_matches('/'), rest_below(&present.container, path)?))
}

/// The path on the host of a path in the container, by the nearest mount. Without a mount, it is the same path.
pub(super) fn find_on_host(present: &[Present], path: &str) -> Option<String> {
    let nearest = present
        .iter()
        .filter(|one| one.container == path || rest_below(&one.container, path).is_some())
        .max_by_key(|one| one.container.len());
    match nearest {
        Some(one) => host_path_of(one, path),
        None => Some(path.to_owned()),
    }
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

/// A path for comparison: without a slash at its end.
pub(super) fn without_slash(path: &str) -> String {
    if path == "/" { path.to_owned() } else { path.trim_end_matches('/').to_owned() }
}

/// The log file, if the mount is the mount of the log.
pub(super) fn log_file_of<'f>(mount: &NeededMount, flags: &'f flags::Flags) -> Option<&'f str> {
    let file = flags.get("audit-log-path").map(String::as_str)?;
    (mount.name == "audit-log").then_some(file)
}

/// Does a node have this value already? In paths, a slash at the end does not count.
pub(super) fn has_value(node: &Node, value: &New) -> bool {
    match value {
        New::Str(text) => node.str().is_some_and(|found| without_slash(found) == without_slash(text)),
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

/// The result of an edit, for both kinds of file. `present`: the mounts before the edit.
pub(super) fn to_wired(
    text: String,
    before: &Flags,
    flags: &Flags,
    wanted: &Wanted,
    present: &[Present],
    mut notes: Vec<String>,
) -> Wired {
    if flags::is_busy(flags) {
        notes.push(format!(
            "{}: the API server will look for events without a pause, which takes up to a whole processor; set \
             --audit-log-batch-max-wait (log.batch.maxWait), for example to 1s",
            Position::START
        ));
    }
    let host_path = |path: &str| match wanted.existing {
        Existing::Keep => find_on_host(present, path).unwrap_or_else(|| path.to_owned()),
        Existing::Replace => path.to_owned(),
    };
    let policy = flags.get("audit-policy-file").map(|path| host_path(path)).unwrap_or_default();
    let log = flags.get("audit-log-path").filter(|path| path.starts_with('/'));
    let log_directory = log.map(|path| host_path(parent(path)));
    let replaced = Replaced::of(before, present, [Some(&policy), log.map(|path| host_path(path)).as_ref()]);
    Wired { text, policy, log_directory, flags: flags.clone(), notes, replaced }
}

impl Replaced {
    /// What an edit puts out of use. `before`: the flags and the mounts before it; `after`: the policy and the log after
    /// it, on the host.
    fn of(before: &Flags, present: &[Present], after: [Option<&String>; 2]) -> Replaced {
        // Without a policy, an API server does not audit.
        if !before.contains_key("audit-policy-file") {
            return Replaced::default();
        }
        let [policy, log] =
            [("audit-policy-file", after[0]), ("audit-log-path", after[1])].map(|(flag, after)| {
                let old = before.get(flag)?;
                let old = find_on_host(present, old).unwrap_or_else(|| old.clone());
                let after = after.map_or("-", |after| after.as_str());
                (old != after).then(|| (old, after.to_owned()))
            });
        Replaced { policy, log }
    }
}

/// Checks an existing mount that stays. `notes` gets what a person must know.
pub(super) fn check_kept(
    mount: &NeededMount,
    fit: &Match,
    present: &[Present],
    notes: &mut Vec<String>,
) -> Result<(), Refusal> {
    match fit {
        Match::Same(index) | Match::Taken(index) if !mount.read_only && present[*index].read_only => {
            Err(Refusal::new(
                present[*index].position,
                format!("{} is mounted read-only, so no event can be written; make it writable", mount.container),
            ))
        }
        Match::Move(index) => {
            notes.push(format!(
                "{}: the log file itself is mounted, which makes its rotation fail; mount its directory",
                present[*index].position
            ));
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(mounts: &[(&str, &str, bool)]) -> Vec<Present> {
        mounts
            .iter()
            .map(|(container, host, read_only)| Present {
                position: Position::default(),
                name: String::new(),
                container: (*container).to_owned(),
                host: Some((*host).to_owned()),
                read_only: *read_only,
                closed: *read_only,
            })
            .collect()
    }

    #[test]
    fn mounts_are_matched_by_path() {
        let log = NeededMount {
            name: "audit-log",
            host: "/var/log/kubernetes/audit".to_owned(),
            container: "/var/log/kubernetes/audit".to_owned(),
            read_only: false,
            kind: "DirectoryOrCreate",
            old: None,
        };
        let file = "/var/log/kubernetes/audit/audit.log";
        for (mounts, expected) in [
            (&[][..], Match::Missing),
            (&[("/etc", "/etc", true)], Match::Missing),
            (&[("/var/log/kubernetes/audit", "/var/log/kubernetes/audit", false)], Match::Same(0)),
            (&[("/var/log/kubernetes/audit", "/data/audit", false)], Match::Taken(0)),
            (&[("/var/log", "/var/log", false)], Match::Above(0)),
            (&[("/", "/", false)], Match::Above(0)),
            (&[("/var/log", "/var/log", true)], Match::Missing),
            (&[("/var/log", "/data", false)], Match::Missing),
            (&[("/var/lo", "/var/lo", false)], Match::Missing),
            (&[("/var/log", "/var/log", false), ("/var/log/kubernetes", "/data", false)], Match::Missing),
            (&[(file, file, false)], Match::Move(0)),
        ] {
            assert_eq!(find_match(&log, Some(file), &present(mounts)), Ok(expected), "{mounts:?}");
        }
        for mounts in [
            &[("/var/log/kubernetes/audit", "/a", false), ("/var/log/kubernetes/audit", "/b", false)][..],
            &[("/var/log/kubernetes/audit", "/var/log/kubernetes/audit", false), (file, file, false)],
            // The runtime could not make the mount point.
            &[("/var/log", "/data", true)],
        ] {
            assert!(find_match(&log, Some(file), &present(mounts)).is_err(), "{mounts:?}");
        }
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
            ("audit-policy-file=/p", &["audit", "audit-log"][..]),
            ("audit-policy-file=/p audit-webhook-config-file=/w", &["audit", "audit-log", "audit-webhook"]),
        ] {
            let wanted = Wanted { flags: words(ours), off: Vec::new(), existing: Existing::Replace };
            let found: Vec<_> = wanted_mounts(&flags, &flags, &wanted).iter().map(|mount| mount.name).collect();
            assert_eq!(found, expected, "{ours}");
        }
    }

    #[test]
    fn a_path_below_a_directory_is_more_than_a_slash() {
        for (directory, path, expected) in [
            ("/a", "/a/b", Some("/b")),
            ("/a/", "/a/b", Some("/b")),
            ("/", "/a", Some("/a")),
            ("/a", "/a/", None),
            ("/a", "/a", None),
            ("/a", "/ab", None),
        ] {
            assert_eq!(rest_below(directory, path), expected, "{directory} {path}");
        }
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
    fn kept_mounts_are_refused_or_noted_where_no_log_can_be_written() {
        let mount = |read_only| NeededMount {
            name: "audit-log",
            host: "/l".to_owned(),
            container: "/l".to_owned(),
            read_only,
            kind: "DirectoryOrCreate",
            old: None,
        };
        let (writable, read_only) = (present(&[("/l", "/l", false)]), present(&[("/l", "/l", true)]));
        for (mount, fit, present, refused, noted) in [
            (mount(false), Match::Same(0), &read_only, true, 0),
            (mount(false), Match::Taken(0), &read_only, true, 0),
            (mount(false), Match::Same(0), &writable, false, 0),
            (mount(true), Match::Same(0), &read_only, false, 0),
            (mount(true), Match::Same(0), &writable, false, 0),
            (mount(false), Match::Above(0), &read_only, false, 0),
            (mount(false), Match::Move(0), &writable, false, 1),
            (mount(false), Match::Missing, &writable, false, 0),
        ] {
            let mut notes = Vec::new();
            let found = check_kept(&mount, &fit, present, &mut notes);
            assert_eq!((found.is_err(), notes.len()), (refused, noted), "{mount:?} {fit:?} {present:?}");
        }
    }

    #[test]
    fn a_taken_volume_name_gets_a_number() {
        let taken = ["audit".to_owned(), "audit-2".to_owned()];
        assert_eq!(free_name("audit", &taken), "audit-3");
        assert_eq!(free_name("audit-log", &taken), "audit-log");
    }
}
