//! Reads everything on a node that a plan depends on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow, bail, ensure};

use super::hidden;
use super::kubelet::Kubelet;
use super::root::{Root, is_planted, leads_to, split, stays_wrong};
use super::{backup, cluster, container, disk, handover, in_force, lock, obstacle, storage};
use crate::config::misuse::Misuse;
use crate::config::{Config, KUBEADM_CONFIGS};
use crate::facts::backup::{Action, Set, fingerprint};
use crate::facts::distribution::{DISTRIBUTIONS, Distribution};
use crate::facts::file::{Attributes, Entry, FileKind, Files, Owner, Seen, SeenFile, Snapshot, Text, text_of};
use crate::facts::obstacle::Obstacle;
use crate::facts::{
    Directory, Facts, KubeletFacts, PatchDirectory, PatchFacts, Paths, Reads, Targets, Unit, Written,
};
use crate::path::{API_SERVER_CERTIFICATE, KUBELET_KUBECONFIG, is_within, parent};
use crate::storage::persistence::{self, Lasting};
use crate::storage::{mounts, rotation, unit};
use crate::wiring::patches::check::certificates;
use crate::yaml::tree::MAX_BYTES;

/// What is cleared at a boot, or in time, on most systems (file-hierarchy(7), tmpfiles.d(5)), whatever is mounted there.
const CLEARED: &[&str] = &["/run", "/tmp", "/var/run", "/var/tmp"];
/// The table of file systems (fstab(5)).
const FSTAB: &str = "/etc/fstab";
/// The most directories above a file that are looked at.
const MAX_DIRECTORIES: usize = 256;
/// The most files in a directory that are looked at for a kubeadm configuration that nobody names.
const MAX_NAMES: usize = 100;

/// Reads the facts of a node. With `required`, each kubeadm configuration that is named must exist.
///
/// # Errors
///
/// A file can't be read as text, or a file that was named doesn't exist.
pub fn observe(root: &Root, config: &Config, required: bool) -> Result<Facts> {
    let kubelet = Kubelet::of(root)?;
    let usual = kubelet.manifest(root)?;
    let manifest_path = config.manifest_path.as_ref().unwrap_or(&usual).clone();
    let manifest = manifest(root, &manifest_path)?;
    if manifest.is_none() && config.manifest_path.is_some() && root.stat(&usual)?.is_some() {
        return Err(Misuse(format!(
            "{manifest_path}: manifest.path does not exist, but {usual} does; correct manifest.path"
        ))
        .into());
    }
    log::info!("{manifest_path}: {}", if manifest.is_some() { "found, the manifest" } else { "no manifest" });
    let (mut kubeadm, mut unreadable): (Vec<Text>, Vec<String>) = (Vec::new(), Vec::new());
    let configured = config.kubeadm_configs.as_deref();
    let default = KUBEADM_CONFIGS.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    for path in configured.unwrap_or(&default) {
        match root.text(path) {
            Ok(Some(text)) => {
                if !is_known(root, &kubeadm, &text)? {
                    log::info!("{path}: found, a kubeadm configuration");
                    kubeadm.push(text);
                }
            }
            Ok(None) if required => {
                bail!("{}: there is no such file; name an existing kubeadm configuration file", root.shown(path))
            }
            Ok(None) => {}
            Err(error) if configured.is_none() && (stays_wrong(&error) || is_planted(&error)) => {
                unreadable.push(format!("{error:#}"))
            }
            Err(error) => return Err(error),
        }
    }
    let is_lost = manifest.as_ref().is_none_or(|text| text.text.trim().is_empty());
    let backed_up = is_lost.then(|| backup_of(root, &manifest_path)).flatten();
    let distribution = distribution(root)?;
    // What can't be looked at is taken for what kubeadm makes.
    let reads = kubelet.reads(root, &manifest_path).unwrap_or_default();
    // Only on a control plane is there an API server to ask.
    let asks = config.cluster && manifest.is_some() && root.is_host();
    let beside = match reads {
        Reads::Directory => beside(root, &manifest_path, manifest.as_ref())?,
        Reads::File | Reads::Elsewhere { .. } | Reads::Not { .. } => Vec::new(),
    };
    let running = manifest.as_ref().and_then(|manifest| in_force::look(root, manifest));
    Ok(Facts {
        unnamed: match manifest.is_none() && kubeadm.is_empty() {
            true => unnamed(root, configured),
            false => Vec::new(),
        },
        cluster: asks.then(|| cluster::read().map_err(|error| format!("{error:#}"))),
        unreadable,
        kubelet: KubeletFacts {
            config: kubelet.config,
            fault: kubelet.fault,
            unread: super::kubelet::unread(root),
            reads,
            has_url: kubelet.has_url,
            eviction: kubelet.eviction,
        },
        neighbours: in_force::neighbours(root, &beside, running.as_ref()),
        beside,
        running,
        readers: manifest.as_ref().map(|manifest| in_force::readers(root, manifest, config)).unwrap_or_default(),
        unfinished: backup::unfinished_paths(root),
        manifest,
        manifest_path,
        kubeadm,
        joined: root.stat(KUBELET_KUBECONFIG)?.is_some(),
        certified: is_certified(root)?,
        distribution,
        is_agent: is_agent(root, distribution)?,
        live: root.is_host(),
        root: root.on_machine(),
        backed_up,
        owner: Owner { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() },
        files: Files::new(),
    })
}

/// Is a file among `known`, by a link or a mount? A second name of it, a hard link, keeps its text when the first is
/// replaced, so it is another file.
fn is_known(root: &Root, known: &[Text], text: &Text) -> Result<bool> {
    let mut same = known.iter().filter(|known| known.snapshot.identity == text.snapshot.identity).peekable();
    if same.peek().is_none() {
        return Ok(false);
    }
    if !root.stat(&text.path)?.is_some_and(|entry| entry.is_linked) {
        return Ok(true);
    }
    for one in same {
        if leads_to(root, &one.path, &root.real(&text.path)?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The files that look as kubeadm's, in the directories where its file usually is, and that are not among the named
/// ones.
fn unnamed(root: &Root, configured: Option<&[String]>) -> Vec<String> {
    let directories: BTreeSet<_> = KUBEADM_CONFIGS.iter().map(|path| parent(path)).collect();
    let mut found = Vec::new();
    for directory in directories {
        let names = root.list(directory).ok().flatten().unwrap_or_default();
        let is_config = |name: &&String| [".yaml", ".yml", ".conf"].iter().any(|end| name.ends_with(end));
        for name in names.iter().filter(is_config).take(MAX_NAMES) {
            let path = format!("{}/{name}", directory.trim_end_matches('/'));
            let is_looked_at = match configured {
                Some(paths) => paths.contains(&path),
                None => KUBEADM_CONFIGS.contains(&path.as_str()),
            };
            let names_kind = |text: &str| {
                let kinds = ["ClusterConfiguration", "InitConfiguration", "JoinConfiguration"];
                text.contains("kubeadm.k8s.io/") && kinds.iter().any(|kind| text.contains(kind))
            };
            if !is_looked_at && root.text(&path).is_ok_and(|text| text.is_some_and(|text| names_kind(&text.text)))
            {
                found.push(path);
            }
        }
    }
    found
}

/// The newest run, other than a restore, with a copy of the file of before.
fn backup_of(root: &Root, path: &str) -> Option<String> {
    let has = |set: &Set| set.records.iter().any(|record| record.path == path && record.file.is_some());
    let sets = backup::list(root).unwrap_or_default();
    sets.into_iter().find(|set| !set.why.is_way_back() && has(set)).map(|set| set.id)
}

/// Reads the patches in these directories, and what they are applied to.
///
/// # Errors
///
/// The node can't be read.
pub fn patches(root: &Root, directories: Vec<String>) -> Result<PatchFacts> {
    let mut facts = PatchFacts::default();
    if directories.is_empty() {
        return Ok(facts);
    }
    for path in certificates() {
        if root.stat(path).is_ok_and(|entry| entry.is_some()) {
            facts.certificates.push(path.to_owned());
        }
    }
    facts.directories = directories
        .into_iter()
        .map(|path| {
            let files = read_patches(root, &path).map_err(|error| format!("{error:#}"));
            let is_link =
                root.look(&path).is_ok_and(|entry| entry.is_some_and(|entry| entry.kind == FileKind::Link));
            // With a slash at its end, a path names what its link leads to.
            let leads_to = (is_link && !path.ends_with('/')).then(|| root.leads_to(&path)).flatten();
            PatchDirectory { path, leads_to, files }
        })
        .collect();
    Ok(facts)
}

fn read_patches(root: &Root, directory: &str) -> Result<Option<Vec<(String, String)>>> {
    let Some(files) = handover::patches(root, directory)? else { return Ok(None) };
    let text = |(name, bytes): handover::Handed| {
        let path = format!("{}/{name}", directory.trim_end_matches('/'));
        let text = text_of(&bytes).map_err(|error| anyhow!("{path}:{error}"))?.to_owned();
        Ok((path, text))
    };
    files.into_iter().map(text).collect::<Result<_>>().map(Some)
}

/// Finds `Targets::fleeting`.
fn fleeting(root: &Root, paths: &Paths) -> Result<Vec<(String, String)>> {
    let mounts = if root.is_host() { storage::mounts()? } else { Vec::new() };
    let on = |path: &str| {
        if !root.is_host() {
            return None;
        }
        let real = storage::resolve(root, path).ok()?;
        let judgement = persistence::judge(&mounts, &real, &storage::read_block);
        (judgement.lasting == Lasting::Volatile).then_some(judgement)
    };
    // Where the whole system is in memory, all is lost together. The layer of a container is lost later.
    if on(parent(&paths.manifest)).is_some_and(|found| !found.is_layer) {
        return Ok(Vec::new());
    }
    let judge = |path: &str| {
        let cleared = CLEARED.iter().find(|directory| is_within(path, directory));
        let cleared = cleared.map(|directory| format!("files in {directory} are removed at a boot, or in time"));
        on(path).filter(|found| !found.is_layer).map(|found| found.reason).or(cleared)
    };
    let opened = paths.opened.iter().map(|opened| &opened.on_host);
    let files: BTreeSet<_> =
        paths.policies.iter().chain(opened).filter(|path| !paths.logs.contains(path)).collect();
    Ok(files.into_iter().filter_map(|path| Some((path.clone(), judge(path)?))).collect())
}

/// The distribution without kubeadm that has left its signs on the node.
fn distribution(root: &Root) -> Result<Option<&'static Distribution>> {
    let release = root.text("/etc/os-release").ok().flatten().map(|file| file.text).unwrap_or_default();
    let os = release.lines().find_map(|line| line.strip_prefix("ID=")).map(|id| id.trim_matches('"'));
    for known in DISTRIBUTIONS {
        if any(root, known.signs)? {
            return Ok(Some(known));
        }
        if os.is_some() && os == known.os {
            return Ok(Some(known));
        }
    }
    Ok(None)
}

/// Does any of these paths exist?
fn any(root: &Root, paths: &[&str]) -> Result<bool> {
    for path in paths {
        if root.stat(path)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a node of a distribution never runs an API server.
fn is_agent(root: &Root, distribution: Option<&Distribution>) -> Result<bool> {
    distribution.map_or(Ok(false), |known| Ok(any(root, known.agent)? && !any(root, known.server)?))
}

/// Whether the node has the API server's certificate, which only control planes have.
pub fn is_certified(root: &Root) -> Result<bool> {
    Ok(root.stat(API_SERVER_CERTIFICATE)?.is_some())
}

/// Whether the node is a worker: it has joined a cluster and is not a control plane, or is an agent of a distribution
/// without kubeadm. Needs no configuration.
pub fn is_worker(root: &Root) -> Result<bool> {
    Ok(!is_certified(root)? && (root.stat(KUBELET_KUBECONFIG)?.is_some() || is_agent(root, distribution(root)?)?))
}

/// Reads the manifest. `None` if there is none.
///
/// # Errors
///
/// Among others, a run has hidden it from the kubelet.
pub fn manifest(root: &Root, path: &str) -> Result<Option<Text>> {
    if hidden::is_hidden(root, path)? {
        ensure!(
            !lock::is_held(root),
            "{path}: another run has hidden it from the kubelet, and still works; wait for it to end (fuser names it)"
        );
        bail!("{path}: an interrupted run has hidden it from the kubelet; run {} apply", root.program());
    }
    root.text(path)
}

/// The directories above these files.
fn above(root: &Root, files: [&str; 2]) -> Result<BTreeMap<String, Attributes>> {
    let mut directories = BTreeMap::new();
    for file in files {
        let mut directory = parent(file);
        while directories.len() < MAX_DIRECTORIES && !directories.contains_key(directory) {
            if let Some(entry) = root.stat(directory)? {
                directories.insert(directory.to_owned(), entry.attributes);
            }
            if directory == "/" {
                break;
            }
            directory = parent(directory);
        }
    }
    Ok(directories)
}

/// Looks at a file that a flag or a kubeconfig names.
pub fn named_file(root: &Root, path: &str) -> Seen {
    let look = || -> Result<Seen> {
        let Some(snapshot) = root.read_target(path, MAX_BYTES)? else { return Ok(Seen::Missing) };
        let real = root.real(path)?;
        let directories = above(root, [path, &real])?;
        let lists = directories.keys().map(String::as_str).chain([path]).filter(|path| root.has_acl(path));
        let lists = lists.map(str::to_owned).collect();
        let beside = root.list(parent(path))?.unwrap_or_default();
        Ok(Seen::File(Box::new(SeenFile { snapshot, real, directories, lists, beside })))
    };
    look().unwrap_or_else(|error| Seen::Wrong(format!("{error:#}")))
}

/// The attributes of logs and of the directories above them, and whether an access control list may allow more. Where
/// they can't be read, nothing is said of them.
fn around_logs(root: &Root, written: &[Written]) -> BTreeMap<String, (Attributes, bool)> {
    let mut around = BTreeMap::new();
    for written in written {
        let log = &written.host;
        let is_file = |entry: &Entry| entry.kind == FileKind::File;
        let there = root.stat(log).ok().flatten().filter(is_file).map(|entry| (log.clone(), entry.attributes));
        let mut there_is = parent(log);
        while there_is != "/" && matches!(root.stat(there_is), Ok(None)) {
            there_is = parent(there_is);
        }
        let real = root.real(there_is).map(|real| format!("{}/log", real.trim_end_matches('/')));
        let above = real.and_then(|real| above(root, [log, &real])).unwrap_or_default();
        around.extend(above.into_iter().chain(there).map(|(path, attributes)| {
            let has_list = root.has_acl(&path);
            (path, (attributes, has_list))
        }));
    }
    around
}

/// The files and directories that a run wrote or made, and that no restore has put back since. Without the backups, nobody
/// knows.
fn written(root: &Root, paths: &[String]) -> BTreeSet<String> {
    let sets = backup::list(root).unwrap_or_default();
    let is_ours = |path: &&String| {
        let of = |set: &Set| set.records.iter().find(|record| record.path == **path).map(|record| record.action);
        // The newest run that touched a path tells whose file it is.
        let newest = sets.iter().find_map(|set| Some((set, of(set)?)));
        newest.is_some_and(|(set, action)| !set.why.is_way_back() && action != Action::Removed)
    };
    paths.iter().filter(is_ours).cloned().collect()
}

/// Whether a run of this program wrote what is at the path.
pub fn is_of_run(root: &Root, path: &str) -> bool {
    !written(root, &[path.to_owned()]).is_empty()
}

/// Is a file what the newest run that wrote it made of it?
fn is_as_written(root: &Root, path: &str, now: Option<&Snapshot>) -> bool {
    let sets = backup::list(root).unwrap_or_default();
    let newest = sets.iter().flat_map(|set| &set.records).find(|record| record.path == path);
    now.is_some_and(|now| newest.is_some_and(|record| record.left(Some(fingerprint(&now.bytes)))))
}

/// Reads what is at the paths that a plan may write.
pub fn targets(root: &Root, config: &Config, paths: &Paths) -> Result<Targets> {
    let mut targets = Targets::default();
    for path in &paths.policies {
        let policy = root.read_target(path, MAX_BYTES)?;
        targets.unchanged.extend(is_as_written(root, path, policy.as_ref()).then(|| path.clone()));
        targets.policies.insert(path.clone(), policy);
        targets.stand_ins.extend(root.is_stand_in(path).then(|| path.clone()));
    }
    targets.written = written(root, &[paths.policies.as_slice(), &paths.directories].concat());
    for path in &paths.directories {
        let attributes = match root.stat(path)? {
            None => None,
            Some(entry) if entry.kind == FileKind::Directory => {
                let (names, leads_to) = (root.list(path)?.unwrap_or_default(), root.leads_to(path));
                Some(Directory { attributes: entry.attributes, names, leads_to })
            }
            Some(entry) => bail!(
                "{}: this is {}, and the audit log needs a directory here; set log.path to a file in another directory, or, if \
                 nothing needs this, move it away",
                root.shown(path),
                entry.kind
            ),
        };
        targets.directories.insert(path.clone(), attributes);
    }
    for log in &paths.logs {
        look_at_logs(root, log, &mut targets)?;
    }
    targets.log_obstacles = log_obstacles(root, &paths.logs, &targets.directories)?;
    targets.kinds = kinds(root, paths, &targets.stand_ins);
    let elsewhere = paths.opened.iter().map(|opened| (opened, container::misleading_link(root, opened)));
    targets.elsewhere = elsewhere.filter_map(|(opened, link)| Some((opened.on_host.clone(), link?))).collect();
    targets.around_logs = around_logs(root, &paths.written);
    targets.fleeting = fleeting(root, paths).unwrap_or_default();
    let log = paths.logs.first();
    look_at_units(root, config, log.map(|log| parent(log)), &mut targets)?;
    let Some(log) = log else { return Ok(targets) };
    let (directory, name) = split(log)?;
    let source = config.storage.source.as_ref();
    if !root.is_host() {
        let is_cleared = CLEARED.iter().any(|cleared| is_within(directory, cleared));
        targets.is_log_cleared = is_cleared && source.is_none();
        return Ok(targets);
    }
    if let Some(source) = source {
        if let unit::MountSource::Bind(from) = source {
            let entry = root.stat(from)?.filter(|entry| entry.kind == FileKind::Directory);
            if let Some(entry) = entry {
                let names = root.list(from)?.unwrap_or_default();
                let leads_to = root.leads_to(from);
                targets.bound = Some(Directory { attributes: entry.attributes, names, leads_to });
            }
        }
        targets.disk = Some(disk::look(root, source, log, &paths.manifest)?);
    }
    let pending = source.zip(targets.disk.as_ref());
    targets.storage = Some(storage::look(root, directory, name, pending, paths.eviction)?);
    Ok(targets)
}

/// Reads what is at the path of a log, and at those of its rotated files.
fn look_at_logs(root: &Root, log: &str, targets: &mut Targets) -> Result<()> {
    let (directory, name) = split(log)?;
    for other in
        targets.directories.get(directory).and_then(|found| Some(&found.as_ref()?.names)).into_iter().flatten()
    {
        let path = format!("{directory}/{other}");
        if rotation::is_of(name, other) {
            // A link, or what is not a regular file, belongs to another program.
            let entry = root.look(&path).ok().flatten();
            if let Some(why) = entry.as_ref().filter(|_| path == log).and_then(|entry| {
                let there = targets.directories.get(directory)?.as_ref()?;
                log_fault(entry, &there.attributes)
            }) {
                targets.blocked.insert(path.clone(), why);
            }
            // Another name of a file may be that of somebody else's file, such as /etc/shadow.
            let entry = entry.filter(|entry| entry.kind == FileKind::File && !entry.is_linked);
            if entry.is_some() && path == log {
                targets.heads.insert(path.clone(), storage::head(root, &path));
            }
            targets.logs.insert(path, entry.map(|entry| entry.attributes));
        }
    }
    Ok(())
}

/// Looks at the units that mount a disk at the log directory, and at what else does.
fn look_at_units(root: &Root, config: &Config, directory: Option<&str>, targets: &mut Targets) -> Result<()> {
    if let (Some(source), Some(directory)) = (&config.storage.source, directory) {
        for (path, text) in unit::files(source, directory) {
            let before = root.read_target(&path, MAX_BYTES)?;
            targets.units.push(Unit { path, text, before });
        }
        targets.fstab = root.text(FSTAB).ok().flatten().and_then(|fstab| mounts::in_fstab(&fstab.text, directory));
    }
    targets.left_units = left_units(root, &targets.units);
    Ok(())
}

/// The mount units that this program wrote and that are not among `needed`.
fn left_units(root: &Root, needed: &[Unit]) -> Vec<String> {
    let names = root.list(unit::UNITS).ok().flatten().unwrap_or_default();
    let paths = names.iter().filter(|name| name.ends_with(".mount")).map(|name| format!("{}/{name}", unit::UNITS));
    let is_ours = |path: &String| {
        root.text(path).is_ok_and(|unit| unit.is_some_and(|unit| unit.text.starts_with(unit::NOTE)))
    };
    paths.filter(|path| !needed.iter().any(|unit| unit.path == *path)).filter(is_ours).collect()
}

/// Finds `Targets::log_obstacles`. What a directory that is not there yet meets is told of the change that makes it.
fn log_obstacles(
    root: &Root,
    logs: &[String],
    directories: &BTreeMap<String, Option<Directory>>,
) -> Result<BTreeMap<String, Obstacle>> {
    let mut obstacles = BTreeMap::new();
    for log in logs.iter().filter(|log| directories.get(parent(log)).is_some_and(Option::is_some)) {
        obstacles.extend(obstacle::of_file(root, log)?.map(|found| (log.clone(), found)));
    }
    Ok(obstacles)
}

/// What is at the paths of volumes with a type, except where an empty directory stands in for a file.
fn kinds(root: &Root, paths: &Paths, stand_ins: &[String]) -> BTreeMap<String, Option<FileKind>> {
    let typed = paths.typed.iter().filter(|typed| !stand_ins.contains(&typed.path));
    // Like the kubelet, this follows links.
    let kind = |path: &str| root.stat(path).ok().map(|entry| entry.map(|entry| entry.kind));
    typed.filter_map(|typed| Some((typed.path.clone(), kind(&typed.path)?))).collect()
}

/// Why what is at the path of a log can't be the API server's log. `directory`: the attributes of its directory. A link
/// is judged elsewhere.
fn log_fault(entry: &Entry, directory: &Attributes) -> Option<String> {
    let is_shared = directory.mode & 0o022 != 0 || ![0, nix::unistd::geteuid().as_raw()].contains(&directory.uid);
    match entry.kind {
        FileKind::File if entry.is_linked && is_shared => Some(
            "this file has a second name (a hard link), and others than root can write to its directory; remove one of \
             the names"
                .to_owned(),
        ),
        FileKind::File | FileKind::Link => None,
        FileKind::Directory => Some(
            "this is a directory, and the API server needs a file here; name a file in it, such as audit.log in it, in \
             log.path (or --log-path)"
                .to_owned(),
        ),
        kind => Some(format!(
            "this is {kind}, and the API server needs a file here; set log.path to another file, or, if nothing needs \
             this, move it away"
        )),
    }
}

/// The other files in the manifest directory that the kubelet would read: every name that does not begin with a dot.
/// What can't be a pod is left out, because the kubelet skips it: what is not a regular file, not text, or a link to
/// a missing file. A file that can't be read at the moment may define a pod, so it is an error.
///
/// If the manifest is a link, what it leads to is left out, too: that is the manifest. Another name of the same file
/// would keep the previous text when the manifest is replaced, so it is one of the others.
pub fn beside(root: &Root, manifest_path: &str, manifest: Option<&Text>) -> Result<Vec<Text>> {
    let directory = parent(manifest_path);
    let is_link = manifest.is_some() && root.real(manifest_path)? != manifest_path;
    let is_manifest = |entry: &Entry, path: &str| -> Result<bool> {
        let is_same = manifest.is_some_and(|manifest| manifest.snapshot.identity == entry.identity);
        Ok(is_link && is_same && (root.real(path)? != path || leads_to(root, manifest_path, path)?))
    };
    let mut texts = Vec::new();
    let unread = "a file here has a name that isn't UTF-8, so it is not read, and the kubelet may run an API server from \
                  it; rename it, or move it out of the directory";
    for name in root.list_or_tell(directory, unread)?.unwrap_or_default() {
        let path = format!("{directory}/{name}");
        if name.starts_with('.') || path == manifest_path {
            continue;
        }
        match root.stat(&path) {
            Ok(Some(entry)) if entry.kind != FileKind::File => continue,
            Ok(Some(entry)) if is_manifest(&entry, &path)? => continue,
            Ok(Some(entry)) if entry.size > MAX_BYTES as u64 => {
                log::warn!(
                    "{}: {} bytes, too large to read; not checked for the API server's pod; if it is no pod, move it \
                     out of the directory",
                    root.shown(&path),
                    entry.size
                );
                continue;
            }
            Ok(_) => {}
            Err(error) if stays_wrong(&error) => continue,
            Err(error) => return Err(error),
        }
        let Some(snapshot) = root.read(&path, MAX_BYTES)? else { continue };
        if let Ok(text) = text_of(&snapshot.bytes) {
            texts.push(Text { path, text: text.to_owned(), snapshot });
        }
    }
    // A link goes before what it leads to.
    texts.sort_by_cached_key(|text| Reverse(root.links(&text.path)));
    Ok(texts)
}
