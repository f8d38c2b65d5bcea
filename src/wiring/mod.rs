//! Puts the audit flags and mounts into other people's YAML: kubeadm's configuration and the static pod
//! manifest. Pure: text in, text out.

pub mod kubeadm;
pub mod manifest;
pub mod patch;
#[cfg(test)]
mod property;

use std::fmt;

use crate::audit::flags::{self, Flags};
use crate::audit::version::Version;
use crate::config::{Config, Existing};
use crate::path::{log_directory_fault, parent};
use crate::yaml::edit::{New, Refused};
use crate::yaml::fields::brief;
use crate::yaml::node::Fault;
use crate::yaml::scalar::{Type, resolve, template_mark};
use crate::yaml::{Node, Place};

/// What a file shall have.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Flags and values, in the order in which they are written.
    pub flags: Vec<(String, String)>,
    /// Boolean flags that must be false where a file has them.
    pub off: Vec<String>,
    pub existing: Existing,
}

impl Wanted {
    /// What a configuration asks for.
    pub fn of(config: &Config) -> Wanted {
        Wanted { flags: config.flags(), off: config.flags_off(), existing: config.existing }
    }
}

impl Wanted {
    /// The values to give, each with whether it is added where it is missing.
    fn values(&self) -> impl Iterator<Item = (&String, &str, bool)> {
        let on = self.flags.iter().map(|(name, value)| (name, value.as_str(), true));
        on.chain(self.off.iter().map(|name| (name, "false", false)))
    }
}

/// A file after its edit.
#[derive(Clone, Debug)]
pub struct Wired {
    /// The new text; the old one where nothing was missing.
    pub text: String,
    /// Where the policy lies on the host.
    pub policy: String,
    /// The directory of the log on the host; `None` where a kept flag logs elsewhere than to a file.
    pub log_directory: Option<String>,
    /// The audit flags that the API server will have.
    pub flags: Flags,
    /// What a person should know about this file.
    pub notes: Vec<String>,
}

/// Why a file was left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub place: Place,
    pub reason: String,
    /// The YAML to add by hand, where that would do.
    pub by_hand: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl Refusal {
    fn new(place: Place, reason: impl Into<String>) -> Refusal {
        Refusal { place, reason: reason.into(), by_hand: None }
    }

    fn from_edit(refused: Refused, by_hand: String) -> Refusal {
        Refusal { place: refused.place, reason: refused.reason, by_hand: Some(by_hand) }
    }
}

/// Refuses a template that was not filled in.
fn filled_in(node: &Node) -> Result<(), Refusal> {
    match template_mark(node) {
        Some(found) => Err(Refusal::new(
            found.place,
            format!("{} is a template's mark that was not filled in", brief(found.scalar().unwrap_or_default())),
        )),
        None => Ok(()),
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal::new(fault.place, fault.message)
    }
}

/// A path of the host that the API server's container must see.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// The volume's name, unless it is taken.
    name: &'static str,
    host: String,
    container: String,
    read_only: bool,
    /// The `hostPath` type.
    kind: &'static str,
    /// Where the file's flags point at before the edit, if elsewhere.
    old: Option<String>,
}

/// The mounts that a set of flags needs, with the same path on both sides. `before` are the flags before the edit.
fn mounts(flags: &Flags, before: &Flags) -> Vec<Mount> {
    let mount = |name, flag: &str, of: fn(&str) -> &str, read_only, kind| {
        let get =
            |flags: &Flags| flags.get(flag).filter(|path| path.starts_with('/')).map(|path| of(path).to_owned());
        let path = get(flags)?;
        let old = get(before).filter(|old| *old != path);
        Some(Mount { name, host: path.clone(), container: path, read_only, kind, old })
    };
    fn same(path: &str) -> &str {
        path
    }
    [
        // `File`: the kubelet then refuses to start the pod where the file is missing, and makes no directory of it.
        mount("audit", "audit-policy-file", same, true, "File"),
        // The directory, not the file: rotation renames, which a mounted file answers with EBUSY.
        mount("audit-log", "audit-log-path", parent, false, "DirectoryOrCreate"),
        mount("audit-webhook", "audit-webhook-config-file", same, true, "File"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The mounts that an edit sees to: a webhook that isn't ours has what it needs, or doesn't work today either.
fn wanted_mounts(flags: &Flags, before: &Flags, wanted: &Wanted) -> Vec<Mount> {
    let webhook = wanted.flags.iter().any(|(name, _)| name == "audit-webhook-config-file");
    let mut mounts = mounts(flags, before);
    mounts.retain(|mount| webhook || mount.name != "audit-webhook");
    mounts
}

/// A mount that a file has.
#[derive(Clone, Debug)]
struct Present {
    place: Place,
    name: String,
    container: String,
    /// What it shows, where that is a path of the host.
    host: Option<String>,
    read_only: bool,
    /// The runtime can't make a mount point in it.
    closed: bool,
}

/// How a mount that is needed relates to those that a file has.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fit {
    /// This one is at the same path and shows the same path of the host.
    Same(usize),
    /// This one, a directory above, serves the path too.
    Above(usize),
    /// This one is at the same path but shows something else.
    Taken(usize),
    /// This one mounts the log file itself, or is ours and shows where the settings pointed at before.
    Move(usize),
    Missing,
}

/// Finds how a mount fits. `file` is the log file, for the log's mount.
fn fit(mount: &Mount, file: Option<&str>, present: &[Present]) -> Result<Fit, Refusal> {
    let at =
        |path: &str| present.iter().enumerate().filter(move |(_, one)| one.container == path).collect::<Vec<_>>();
    let (same, of_file) = (at(&mount.container), file.map(at).unwrap_or_default());
    if let [_, (_, second), ..] = same.as_slice() {
        return Err(Refusal::new(second.place, format!("{} is mounted twice; remove one", mount.container)));
    }
    match (same.as_slice(), of_file.as_slice()) {
        ([_, ..], [(_, one), ..]) | ([], [_, (_, one), ..]) => Err(Refusal::new(
            one.place,
            "the log file itself is mounted here, which makes its rotation fail; remove this mount",
        )),
        ([(index, one)], []) if one.host.as_ref() == Some(&mount.host) => Ok(Fit::Same(*index)),
        ([(index, _)], []) => Ok(Fit::Taken(*index)),
        ([], [(index, _)]) => Ok(Fit::Move(*index)),
        _ => {
            let above = present
                .iter()
                .enumerate()
                .filter(|(_, one)| below(&one.container, &mount.container).is_some())
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
                && seen_through(one, &mount.container).as_ref() != Some(&mount.host)
                && one.closed
            {
                let (path, parent) = (&mount.container, &one.container);
                let reason = format!(
                    "{path} needs a mount of its own below {parent}, and the runtime can't make the place for it in \
                     what is mounted here; choose another path"
                );
                return Err(Refusal::new(one.place, reason));
            }
            Ok(match above {
                Some((index, one))
                    if seen_through(one, &mount.container).as_ref() == Some(&mount.host)
                        && (mount.read_only || !one.read_only) =>
                {
                    Fit::Above(index)
                }
                _ => {
                    if let Some(fault) = log_directory_fault(&mount.host).filter(|_| !mount.read_only) {
                        let reason = format!("the log of --audit-log-path, which is kept, {fault}");
                        return Err(Refusal::new(Place { line: 1, column: 1 }, reason));
                    }
                    old.map_or(Fit::Missing, Fit::Move)
                }
            })
        }
    }
}

/// The rest of a path below a directory.
fn below<'p>(directory: &str, path: &'p str) -> Option<&'p str> {
    let directory = directory.trim_end_matches('/');
    path.strip_prefix(directory).filter(|rest| rest.starts_with('/') && rest.len() > 1)
}

/// The host's path of a container's path that lies at or below a mount.
fn seen_through(present: &Present, path: &str) -> Option<String> {
    let host = present.host.as_deref()?;
    if present.container == path {
        return Some(host.to_owned());
    }
    Some(format!("{}{}", host.trim_end_matches('/'), below(&present.container, path)?))
}

/// Where a container's path lies on the host: by the nearest mount, else at the same path.
fn on_host(present: &[Present], path: &str) -> Option<String> {
    let nearest = present
        .iter()
        .filter(|one| one.container == path || below(&one.container, path).is_some())
        .max_by_key(|one| one.container.len());
    match nearest {
        Some(one) => seen_through(one, path),
        None => Some(path.to_owned()),
    }
}

/// Whether a type of a volume does as well as the wanted one: the directory is there before the flags are, so nothing
/// has to make it, and changing the type would restart the API server for nothing.
fn serves(node: &Node, wanted: &New) -> bool {
    *wanted == New::str("DirectoryOrCreate") && node.str() == Some("Directory")
}

/// Whether a field is there and true, as Kubernetes reads it: `yes` is, too.
fn is_true(node: &Node, name: &str) -> bool {
    node.get(name).is_some_and(|node| resolve(node) == Type::Bool(true))
}

/// A path as it is compared: without a slash at its end.
fn clean(path: &str) -> String {
    if path == "/" { path.to_owned() } else { path.trim_end_matches('/').to_owned() }
}

/// The log file, where a mount is that of the log.
fn log_file<'f>(mount: &Mount, flags: &'f flags::Flags) -> Option<&'f str> {
    let file = flags.get("audit-log-path").map(String::as_str)?;
    (mount.name == "audit-log").then_some(file)
}

/// Whether a node has a value already; of paths, the slash at the end doesn't count.
fn same(node: &Node, value: &New) -> bool {
    match value {
        New::Str(text) => node.str().is_some_and(|found| clean(found) == clean(text)),
        New::Bool(value) => resolve(node) == Type::Bool(*value),
        _ => false,
    }
}

/// A volume name that isn't taken.
fn free_name(name: &str, taken: &[String]) -> String {
    let free = |candidate: &String| !taken.contains(candidate);
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(free).unwrap_or_default()
}

/// The flags that the API server will have: ours, over or under those that are there.
fn effective(wanted: &Wanted, present: &[(String, String)]) -> Flags {
    let mut all: Flags = present.iter().cloned().collect();
    for (name, value) in &wanted.flags {
        if wanted.existing == Existing::Replace || !all.contains_key(name) {
            all.insert(name.clone(), value.clone());
        }
    }
    for name in &wanted.off {
        if let Some(value) = all.get_mut(name).filter(|_| wanted.existing == Existing::Replace) {
            "false".clone_into(value);
        }
    }
    all.retain(|name, _| flags::is_audit(name));
    all
}

/// Says why an API server would not start with these flags.
fn check(flags: &Flags, version: Option<Version>, place: Place) -> Result<(), Refusal> {
    for name in ["audit-policy-file", "audit-log-path"] {
        if let Some(path) = flags.get(name).filter(|path| !path.starts_with('/') && *path != "-") {
            let reason = format!("--{name} is kept, and {path:?} is no absolute path; correct or remove it");
            return Err(Refusal::new(place, reason));
        }
    }
    match flags::faults(flags, version).as_slice() {
        [] => Ok(()),
        faults => {
            let faults: Vec<_> = faults.iter().map(flags::Fault::to_string).collect();
            Err(Refusal::new(place, format!("the API server would not start: {}", faults.join("; "))))
        }
    }
}

/// What the results of both kinds of file have in common. `present` are the mounts before the edit.
fn wired(text: String, flags: &Flags, wanted: &Wanted, present: &[Present], mut notes: Vec<String>) -> Wired {
    if flags::is_busy(flags) {
        notes.push(format!(
            "{}: the API server will look for events without a pause, which takes up to a whole processor: batches of more than one \
             need --audit-log-batch-max-wait (log.batch.maxWait), such as 1s",
            Place::START
        ));
    }
    let place = |path: &str| match wanted.existing {
        Existing::Keep => on_host(present, path).unwrap_or_else(|| path.to_owned()),
        Existing::Replace => path.to_owned(),
    };
    let policy = flags.get("audit-policy-file").map(|path| place(path)).unwrap_or_default();
    let log = flags.get("audit-log-path").filter(|path| path.starts_with('/'));
    let log_directory = log.map(|path| place(parent(path)));
    Wired { text, policy, log_directory, flags: flags.clone(), notes }
}

/// What keeping somebody else's settings means for their mounts.
fn kept(mount: &Mount, fit: &Fit, present: &[Present], notes: &mut Vec<String>) -> Result<(), Refusal> {
    match fit {
        Fit::Same(index) | Fit::Taken(index) if !mount.read_only && present[*index].read_only => {
            Err(Refusal::new(
                present[*index].place,
                format!("{} is mounted read-only, so no event can be written; make it writable", mount.container),
            ))
        }
        Fit::Move(index) => {
            notes.push(format!(
                "{}: the log file itself is mounted, which makes its rotation fail; mount its directory",
                present[*index].place
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
                place: Place::default(),
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
        let log = Mount {
            name: "audit-log",
            host: "/var/log/kubernetes/audit".to_owned(),
            container: "/var/log/kubernetes/audit".to_owned(),
            read_only: false,
            kind: "DirectoryOrCreate",
            old: None,
        };
        let file = "/var/log/kubernetes/audit/audit.log";
        for (mounts, expected) in [
            (&[][..], Fit::Missing),
            (&[("/etc", "/etc", true)], Fit::Missing),
            (&[("/var/log/kubernetes/audit", "/var/log/kubernetes/audit", false)], Fit::Same(0)),
            (&[("/var/log/kubernetes/audit", "/data/audit", false)], Fit::Taken(0)),
            (&[("/var/log", "/var/log", false)], Fit::Above(0)),
            (&[("/", "/", false)], Fit::Above(0)),
            (&[("/var/log", "/var/log", true)], Fit::Missing),
            (&[("/var/log", "/data", false)], Fit::Missing),
            (&[("/var/lo", "/var/lo", false)], Fit::Missing),
            (&[("/var/log", "/var/log", false), ("/var/log/kubernetes", "/data", false)], Fit::Missing),
            (&[(file, file, false)], Fit::Move(0)),
        ] {
            assert_eq!(fit(&log, Some(file), &present(mounts)), Ok(expected), "{mounts:?}");
        }
        for mounts in [
            &[("/var/log/kubernetes/audit", "/a", false), ("/var/log/kubernetes/audit", "/b", false)][..],
            &[("/var/log/kubernetes/audit", "/var/log/kubernetes/audit", false), (file, file, false)],
            // The runtime could not make the mount point.
            &[("/var/log", "/data", true)],
        ] {
            assert!(fit(&log, Some(file), &present(mounts)).is_err(), "{mounts:?}");
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
    fn booleans_are_turned_off_where_the_settings_replace_others() {
        let present = words("audit-log-compress=true audit-log-maxage=7 v=2");
        for (existing, expected) in [
            (Existing::Replace, "audit-log-compress=false audit-log-maxage=30 audit-log-maxsize=1"),
            (Existing::Keep, "audit-log-compress=true audit-log-maxage=7 audit-log-maxsize=1"),
        ] {
            let off = ["audit-log-compress", "audit-log-truncate-enabled"].map(str::to_owned).to_vec();
            let wanted = Wanted { flags: words("audit-log-maxage=30 audit-log-maxsize=1"), off, existing };
            assert_eq!(effective(&wanted, &present), words(expected).into_iter().collect(), "{existing:?}");
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
            assert_eq!(below(directory, path), expected, "{directory} {path}");
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
        let mount = |read_only| Mount {
            name: "audit-log",
            host: "/l".to_owned(),
            container: "/l".to_owned(),
            read_only,
            kind: "DirectoryOrCreate",
            old: None,
        };
        let (writable, read_only) = (present(&[("/l", "/l", false)]), present(&[("/l", "/l", true)]));
        for (mount, fit, present, refused, noted) in [
            (mount(false), Fit::Same(0), &read_only, true, 0),
            (mount(false), Fit::Taken(0), &read_only, true, 0),
            (mount(false), Fit::Same(0), &writable, false, 0),
            (mount(true), Fit::Same(0), &read_only, false, 0),
            (mount(true), Fit::Same(0), &writable, false, 0),
            (mount(false), Fit::Above(0), &read_only, false, 0),
            (mount(false), Fit::Move(0), &writable, false, 1),
            (mount(false), Fit::Missing, &writable, false, 0),
        ] {
            let mut notes = Vec::new();
            let found = kept(&mount, &fit, present, &mut notes);
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
