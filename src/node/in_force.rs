//! Looks at what the running API server has: the files as its container sees them, and the log that it holds open.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use nix::sys::stat::fstat;

use super::apiserver;
use super::pending;
use super::pod::Container;
use super::process;
use super::root::{Root, kind_of, times};
use super::storage::identity;
use crate::config::Config;
use crate::facts::file::{FileIdentity, FileKind, Text};
use crate::facts::in_force::{Found, HeldFile, HeldLog, Holding, LogState, Neighbour, Running, Stamped};
use crate::facts::server::Process;
use crate::path::parent;
use crate::storage::rotation;
use crate::time;
use crate::wiring::manifest::{self, Auditing};
use crate::yaml::tree::MAX_BYTES;

/// A rotation closes the log, renames it and opens another one. Only what is still so at the last look counts.
const LOOKS: usize = 3;
const PAUSE: Duration = Duration::from_millis(50);

/// Looks at the API server of a manifest that audits. `None` if this is not the running system, if no API server runs,
/// or if it is not known which one is that of the manifest.
pub fn look(root: &Root, manifest: &Text) -> Option<Running> {
    let auditing = manifest::read_auditing(&manifest.text).ok().filter(|_| root.is_host())?;
    if !auditing.flags.contains_key("audit-policy-file") {
        return None;
    }
    let container = Container::of(root, &manifest.text).ok()?;
    let (process, is_own) = container.api_server(&auditing)?;
    let process = &process;
    let unreadable = |what: &str| log::info!("the API server (process {}): can't read {what}", process.pid);
    let holding = if is_own {
        Some(look_inside(root, process, &auditing).or_else(|| (unreadable("its files"), None).1)?)
    } else {
        None
    };
    let manifest_written = root.written(&manifest.path)?;
    let started = apiserver::start_time(process).or_else(|| (unreadable("when it started"), None).1)?;
    let restarts = container.log_of(process).map(|log| log.restarts);
    let unproved = pending::unproved_set(root).ok()?.and_then(|set| time::seconds(&set.when)).map(time::at);
    // An API server that ended meanwhile has nothing.
    apiserver::read_process(process.pid).filter(|now| now == process)?;
    Some(Running {
        pid: process.pid,
        started,
        now: SystemTime::now(),
        manifest_written,
        restarts,
        kubelet_started: apiserver::kubelet_start(),
        is_unproved: unproved.is_some_and(|began| began <= started),
        holding,
    })
}

/// The API servers of the manifests beside that of `own`, if they audit.
pub fn neighbours(root: &Root, beside: &[Text], own: Option<&Running>) -> Vec<Neighbour> {
    let audits = |manifest: &&Text| {
        let flags = manifest::read_auditing(&manifest.text).map(|auditing| auditing.flags);
        flags.is_ok_and(|flags| flags.contains_key("audit-policy-file"))
    };
    let is_other = |running: &Running| running.holding.is_some() && own.is_none_or(|own| own.pid != running.pid);
    let found = beside.iter().filter(audits);
    found
        .map(|manifest| Neighbour { manifest: manifest.clone(), running: look(root, manifest).filter(is_other) })
        .collect()
}

/// The programs that read the log of a manifest, as `NAME (PID)`, if the configuration names another log.
pub fn readers(root: &Root, manifest: &Text, config: &Config) -> Vec<String> {
    let log = manifest::read_auditing(&manifest.text).ok().and_then(|auditing| auditing.log);
    let Some(log) = log.filter(|log| root.is_host() && config.log.file() != Some(log)) else { return Vec::new() };
    let Some(there) = identity(&log) else { return Vec::new() };
    let reads = |(pid, name): (i32, String)| {
        let its = process::open_files(pid).find(|open| open.identity() == there)?;
        (!its.is_written()).then(|| format!("{name} ({pid})"))
    };
    process::running().filter_map(reads).collect()
}

fn look_inside(root: &Root, process: &Process, auditing: &Auditing) -> Option<Holding> {
    // The container's own root directory: links in it lead nowhere else.
    let inside = Root::open(Path::new(&format!("/proc/{}/root", process.pid))).ok()?;
    let flag = |name: &str| auditing.flags.get(name).filter(|path| path.starts_with('/'));
    let files = [("audit-policy-file", &auditing.policy), ("audit-webhook-config-file", &auditing.webhook)];
    let files = files.into_iter().filter_map(|(name, host)| {
        let (held, path) = (flag(name)?, host.clone()?);
        let there = stamped(root, &path).map(|file| file.bytes);
        Some(HeldFile { held: stamped(&inside, held), there, path })
    });
    let log = flag("audit-log-path").zip(auditing.log.as_ref());
    Some(Holding {
        files: files.collect(),
        log: log.map(|(held, path)| HeldLog {
            path: path.clone(),
            state: look_at_log(process.pid, &inside, held, path),
        }),
    })
}

/// What shows that a file was written, even if its content is the same again.
#[derive(Debug)]
struct Stamp {
    path: String,
    /// Its identity, its size and its times; `None` if nothing can be seen there.
    seen: Option<(FileIdentity, u64, SystemTime, SystemTime)>,
}

/// A manifest as a run left it, and the files that its API server is to start with.
#[derive(Debug, Default)]
pub struct LeftFiles {
    manifest: String,
    stamps: Vec<Stamp>,
}

impl LeftFiles {
    /// What there is now, with this text of the manifest.
    pub fn of(root: &Root, manifest: String) -> LeftFiles {
        LeftFiles { stamps: Stamp::of(root, &manifest), manifest }
    }

    /// Whether the manifest has still the same text.
    pub fn has(&self, manifest: Option<&Text>) -> bool {
        manifest.is_some_and(|manifest| manifest.text == self.manifest)
    }

    /// The files that something wrote since, even if their content is the same again.
    pub fn written_since(&self, root: &Root) -> Vec<&str> {
        let changed = |stamp: &&Stamp| Stamp::see(root, &stamp.path) != stamp.seen;
        self.stamps.iter().filter(changed).map(|stamp| stamp.path.as_str()).collect()
    }
}

impl Stamp {
    /// The stamps of the policy and of the webhook's kubeconfig that a manifest names.
    fn of(root: &Root, manifest: &str) -> Vec<Stamp> {
        let auditing = manifest::read_auditing(manifest).unwrap_or_default();
        let paths = [auditing.policy, auditing.webhook].into_iter().flatten();
        paths.map(|path| Stamp { seen: Stamp::see(root, &path), path }).collect()
    }

    fn see(root: &Root, path: &str) -> Option<(FileIdentity, u64, SystemTime, SystemTime)> {
        let entry = root.stat(path).ok()??;
        let (written, touched, _) = times_at(root, path)?;
        Some((entry.identity, entry.size, written, touched))
    }
}

/// A regular file with its times.
fn stamped(root: &Root, path: &str) -> Found<Stamped> {
    match root.stat(path) {
        Ok(None) => Found::Nothing,
        Ok(Some(_)) if root.is_stand_in(path) => Found::Nothing,
        Ok(Some(entry)) if entry.kind == FileKind::File => {
            read_stamped(root, path).map_or(Found::Unreadable, Found::This)
        }
        Ok(Some(_)) | Err(_) => Found::Unreadable,
    }
}

fn read_stamped(root: &Root, path: &str) -> Option<Stamped> {
    let fd = root.find(path).and_then(|found| root.reopen_found(path, &found)).ok()?;
    let mut file = File::from(fd);
    file.metadata().ok().filter(fs::Metadata::is_file)?;
    let mut bytes = Vec::new();
    file.by_ref().take(MAX_BYTES as u64).read_to_end(&mut bytes).ok()?;
    let (written, touched, around) = times_at(root, path)?;
    Some(Stamped { bytes, written, touched, around })
}

/// When the file at a path was written and touched, and when a directory around it was, as in [`Stamped`].
fn times_at(root: &Root, path: &str) -> Option<(SystemTime, SystemTime, SystemTime)> {
    let (mut written, mut touched) = times(&fstat(root.find(path).ok()?).ok()?)?;
    let mut around = SystemTime::UNIX_EPOCH;
    for stat in root.way(path).ok()? {
        let (its_written, its_touched) = times(&stat)?;
        if kind_of(&stat) == FileKind::Link {
            (written, touched) = (written.max(its_written), touched.max(its_touched));
        } else {
            around = around.max(its_touched);
        }
    }
    Some((written, touched, around))
}

/// A file that a process has open for writing.
struct Open {
    /// Where it can be read, even if it was deleted.
    descriptor: String,
    /// Its path as the container sees it.
    path: String,
    is_deleted: bool,
    identity: FileIdentity,
}

/// Where a process writes its log. `held`: the path of the log in its container; `path`: on the host.
fn look_at_log(pid: i32, inside: &Root, held: &str, path: &str) -> LogState {
    let mut state = LogState::InPlace;
    for look in 0..LOOKS {
        if look > 0 {
            thread::sleep(PAUSE);
        }
        state = log_state(pid, inside, held, path);
        if state == LogState::InPlace {
            break;
        }
    }
    state
}

fn log_state(pid: i32, inside: &Root, held: &str, path: &str) -> LogState {
    let there = identity(path);
    let open = open_files(pid);
    if there.is_some() && open.iter().any(|file| Some(file.identity) == there) {
        return LogState::InPlace;
    }
    let (directory, name) = held.rsplit_once('/').unwrap_or(("", held));
    let is_its = |file: &&Open| {
        let (own, file) = file.path.rsplit_once('/').unwrap_or_default();
        own.ends_with(directory) && (rotation::is_of(name, file) || file.starts_with(name))
    };
    let its = open.iter().find(is_its);
    let entry = inside.stat(parent(held)).ok().flatten();
    let is_same = entry.is_some_and(|entry| Some(entry.identity) == identity(parent(path)));
    match its {
        Some(file) if !is_same => LogState::OtherDirectory(Some(file.descriptor.clone())),
        Some(file) if file.is_deleted => LogState::Deleted(file.descriptor.clone()),
        Some(file) => {
            // The path of an open file is one of the container's, and says nothing on the host.
            let beside = format!("{}/{}", parent(path), file.path.rsplit_once('/').unwrap_or_default().1);
            let is_it = identity(&beside) == Some(file.identity);
            LogState::Renamed(if is_it { beside } else { file.descriptor.clone() })
        }
        // The API server opens its log at its first event.
        None if is_same => LogState::InPlace,
        None => LogState::OtherDirectory(None),
    }
}

/// The regular files that a process has open for writing.
fn open_files(pid: i32) -> Vec<Open> {
    let open = process::open_files(pid).filter(|open| open.metadata.is_file() && open.is_written());
    let open = open.filter_map(|open| {
        let target = fs::read_link(open.path()).ok()?.to_str()?.to_owned();
        let path = target.strip_suffix(" (deleted)").unwrap_or(&target).to_owned();
        let is_deleted = open.metadata.nlink() == 0 || target.len() > path.len();
        Some(Open { descriptor: open.path(), path, is_deleted, identity: open.identity() })
    });
    open.collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A link has times of its own, and a directory does, too.
    #[test]
    fn the_times_of_a_file_are_also_those_of_the_links_that_lead_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let at = |path: &str| directory.path().join(path);
        let touch = |path: &str, seconds: i64| {
            let time = nix::sys::time::TimeSpec::new(seconds, 0);
            let flags = nix::sys::stat::UtimensatFlags::NoFollowSymlink;
            nix::sys::stat::utimensat(nix::fcntl::AT_FDCWD, &at(path), &time, &time, flags).unwrap();
        };
        fs::create_dir_all(at("v1")).unwrap();
        fs::write(at("v1/file"), "text").unwrap();
        touch("v1/file", 1000);
        let look = || read_stamped(&root, "/current/link").unwrap();
        symlink("file", at("v1/link")).unwrap();
        symlink("v1", at("current")).unwrap();
        for (link, directory, written) in [(900, 900, 1000), (1100, 900, 1100), (900, 1200, 1200)] {
            touch("v1/link", link);
            touch("current", directory);
            let seconds = look().written.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            assert_eq!(seconds, written, "{link} {directory}");
        }
        // Each time, only one of them changes, and no program can set the time of that.
        let mut before = look();
        for change in ["v1/link", "current"] {
            while look().touched == before.touched {
                touch(change, 900);
            }
            before = look();
        }
        while look().around == before.around {
            fs::rename(at("v1"), at("v2")).unwrap();
            fs::rename(at("v2"), at("v1")).unwrap();
        }
        assert_eq!(look().touched, before.touched);
    }

    #[test]
    fn a_policy_that_has_its_content_again_was_written() {
        let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: kube-apiserver\n    image: a\n    \
                        command: [kube-apiserver, --audit-policy-file=/p]\n    volumeMounts:\n    - {name: p, mountPath: /p}\n  \
                        volumes:\n  - {name: p, hostPath: {path: /p}}\n";
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let (policy, other) = (directory.path().join("p"), directory.path().join("q"));
        let put = |bytes: &str| fs::write(&policy, bytes).unwrap();
        let again = || put("policy");
        let anew = || fs::write(&other, "policy").and_then(|()| fs::rename(&other, &policy)).unwrap();
        let chmod = || fs::set_permissions(&policy, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        put("policy");
        for change in [&again as &dyn Fn(), &anew, &chmod, &|| fs::remove_file(&policy).unwrap()] {
            let left = LeftFiles::of(&root, manifest.to_owned());
            assert_eq!(left.written_since(&root), [""; 0]);
            change();
            // The kernel's clock for files has steps.
            let end = std::time::Instant::now() + Duration::from_secs(10);
            while left.written_since(&root).is_empty() && std::time::Instant::now() < end {
                change();
            }
            assert_eq!(left.written_since(&root), ["/p"]);
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_one_that_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        fs::write(directory.path().join("file"), "text").unwrap();
        fs::create_dir(directory.path().join("directory")).unwrap();
        fs::create_dir_all(directory.path().join("full/of")).unwrap();
        symlink("file", directory.path().join("link")).unwrap();
        symlink("loop", directory.path().join("loop")).unwrap();
        for (path, found) in [
            ("/file", Found::This(b"text".to_vec())),
            ("/link", Found::This(b"text".to_vec())),
            ("/missing", Found::Nothing),
            ("/missing/file", Found::Nothing),
            // The container runtime made it for a missing file.
            ("/directory", Found::Nothing),
            ("/full", Found::Unreadable),
            ("/loop", Found::Unreadable),
            ("/file/file", Found::Unreadable),
        ] {
            assert_eq!(stamped(&root, path).map(|file| file.bytes), found, "{path}");
        }
    }
}
