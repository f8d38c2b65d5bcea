//! The log directory: what is mounted there, and whether a log can be there.

use anyhow::{Result, bail};

use super::planner::Planner;
use super::{FollowUp, LogStorage, Occasion, Role, Step};
use crate::audit::log::may_be_events;
use crate::change::Change;
use crate::config::misuse::Misuse;
use crate::facts::file::{Attributes, lossy};
use crate::facts::{Directory, DiskState, LogPlace, Unit};
use crate::path::{aside, is_named_for_logs, is_within, log_directory_fault, may_be_of_others, parent};
use crate::storage::blank::Content;
use crate::storage::blank::LABEL;
use crate::storage::forecast::{Bytes, Disk, Limits, forecast, misfit};
use crate::storage::persistence::Lasting;
use crate::storage::rotation;
use crate::storage::unit::{
    FileSystem, KUBELET_DROP_IN, MountSource, NOTE, UNITS, device_path, is_as_written, name as unit_name,
};

/// What an existing directory is to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is for the log alone, and can be closed to other users.
    Own,
    /// It is the log's, but others use it, too: this file of theirs, for example.
    Shared(String),
    /// It may belong to another program: why, and what to do.
    Foreign(String),
}

/// The names that nobody needs, or that belong to the file system.
fn is_nobodys(name: &str) -> bool {
    ["lost+found", ".keep", ".gitkeep"].contains(&name)
        || name.starts_with(".nfs")
        || name.starts_with('.') && name.contains("kube-audit-bootstrap")
}

/// What is known of a log before the plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log<'l> {
    pub path: &'l str,
    /// Its first bytes.
    pub head: &'l [u8],
    /// The user whose file it is, if it exists.
    pub uid: Option<u32>,
    /// The log of the API server until now.
    pub before: Option<&'l str>,
    /// A run of this program made the directory, or gave it its owner.
    pub is_made: bool,
}

/// What to do where the directory of `log.path` is not for the log.
pub(super) fn other_log(log: &str) -> String {
    let examples = ["/var/log/kubernetes/audit", "/var/log/kube-audit"];
    let other = examples.into_iter().find(|example| *example != parent(log)).unwrap_or_default();
    format!("set log.path to a file in a directory of its own, such as {other}/audit.log")
}

impl Log<'_> {
    /// The API server has written this file until now.
    pub fn is_in_use(&self) -> bool {
        self.before == Some(self.path)
    }
}

/// Decides what an existing directory is to a log. `use_another`: what to do if it is not for the log.
///
/// A directory is the log's if the API server's log is there. An empty one is, too, unless another program or another
/// user may have made it.
pub(super) fn fit(there: &Directory, log: &Log<'_>, wanted: &Attributes, use_another: &str) -> Fit {
    let Log { path, head, uid, before, is_made } = *log;
    let name = path.rsplit('/').next().unwrap_or_default();
    let directory = there.leads_to.as_deref().unwrap_or(parent(path));
    let is_in_use = before.is_some_and(|before| parent(before) == parent(path));
    // The user may have been that of an API server with other patches.
    let is_known = |uid: u32| is_made && uid == there.attributes.uid;
    let is_others = |uid: u32| ![0, wanted.uid].contains(&uid) && !is_known(uid);
    if !log.is_in_use() {
        if !may_be_events(head) {
            return Fit::Foreign(format!(
                "{path}: another program writes this file, as it has no audit event; if nobody needs it, move it away; \
                 otherwise {use_another}"
            ));
        }
        if let Some(uid) = uid.filter(|uid| is_others(*uid)) {
            return Fit::Foreign(format!("{path}: this file belongs to the user {uid}; {use_another}"));
        }
    }
    if there.leads_to.is_some() && log_directory_fault(directory).is_some() {
        return Fit::Foreign(format!(
            "{}: this is a link to {directory}, which belongs to the system or to other programs; {use_another}",
            parent(path)
        ));
    }
    // logrotate gives the logs of other programs such names, too.
    let is_named_by_logrotate = |other: &str| other != name && rotation::time(name, other).is_none();
    let is_known = is_in_use || !head.is_empty();
    let is_of = |other: &str| rotation::is_of(name, other) && (is_known || !is_named_by_logrotate(other));
    let is_logs = is_in_use || there.names.iter().any(|other| is_of(other));
    let other = there.names.iter().find(|other| !is_of(other) && !is_nobodys(other));
    let why = match other {
        Some(other) if is_logs || is_named_for_logs(directory) => return Fit::Shared(other.clone()),
        Some(other) => format!("it has no audit log in it, and other files ({other:?})"),
        None if is_in_use || wanted.met_by(&there.attributes) => return Fit::Own,
        None if is_others(there.attributes.uid) => format!("it belongs to the user {}", there.attributes.uid),
        None if is_logs => return Fit::Own,
        // A directory that is named for the log is closed, whoever could write in it until now.
        None if there.attributes.mode & 0o7022 != 0 && !is_named_for_logs(directory) => {
            format!("other users may write in it (mode {:04o})", there.attributes.mode)
        }
        None if may_be_of_others(directory) => "it is empty, and in a directory of the system".to_owned(),
        None => return Fit::Own,
    };
    let remove = if there.names.is_empty() {
        "if nothing needs it, remove it with rmdir, and apply creates it for the log; otherwise "
    } else {
        ""
    };
    Fit::Foreign(format!(
        "{directory}: this directory may belong to another program: {why}; {remove}{use_another}"
    ))
}

/// The file systems that are mounted without formatting.
const FILE_SYSTEMS: [&str; 6] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"];

/// What the plan does about a mount at the log directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mounting {
    /// The plan mounts a disk there.
    pub is_new: bool,
    /// The running API server must be restarted to see the mount.
    pub needs_restart: bool,
}

impl Planner<'_> {
    /// Plans the mount at the log directory. `logs`: the paths of the log files.
    ///
    /// # Errors
    ///
    /// The log is in another directory than `log.path` says, or a link leads to the log directory.
    pub fn mount(&mut self, logs: &[String]) -> Result<Mounting> {
        let Some(log) = logs.first() else {
            self.tell_of_units_that_are_left(None);
            return Ok(Mounting::default());
        };
        let (directory, targets) = (parent(log), self.targets);
        if self.may_be_workers() {
            if targets.disk.as_ref().is_some_and(|disk| !disk.is_right) && self.config().storage.source.is_some() {
                self.warn(format!(
                    "{directory}: the dedicated disk is not mounted yet, as nothing says that this node becomes a \
                     control plane; run kube-audit-bootstrap apply when the kubeadm configuration file is there, or \
                     use the kubeadm hook"
                ));
            }
            return Ok(Mounting::default());
        }
        let Some(source) = &self.config().storage.source else {
            self.tell_of_units_that_are_left(None);
            return Ok(Mounting::default());
        };
        self.tell_of_units_that_are_left(Some(directory));
        if let Some((line, what)) = &targets.fstab {
            self.warn(format!(
                "/etc/fstab:{line}:1: this line mounts {what} at {directory}, and the unit of the disk that storage names \
                 takes its place; remove the line, or remove storage.bind and storage.device to keep it"
            ));
        }
        if let Some(other) = logs.iter().find(|other| parent(other) != parent(&self.config().log.path)) {
            bail!(
                "{other}: a manifest has the log here, and log.path names another directory, so the dedicated disk \
                 cannot be mounted; remove `existing: keep`, or set log.path to this file"
            );
        }
        self.write_units();
        let Some(state) = &targets.disk else { return Ok(Mounting::default()) };
        if state.real != directory {
            bail!(
                "{directory}: a link leads to {}, and a disk cannot be mounted at a link; name that directory in \
                 log.path",
                state.real
            );
        }
        if let Some(mounted) = &state.mounted {
            return Ok(self.keep_mounted(log, mounted, state));
        }
        if state.is_in_the_way {
            self.plan.refuse(format!(
                "{}: this directory exists, but apply must move the files of {directory} there; move one of the two \
                 away",
                aside(directory)
            ));
        }
        match source {
            MountSource::Bind(from) => self.prepare_directory(from, log, state)?,
            MountSource::Device { name, format } => self.prepare_device(device_path(name), *format, state),
        }
        self.mount_over(log, state);
        Ok(Mounting { is_new: true, needs_restart: true })
    }

    /// # Errors
    ///
    /// A log that stays is in no directory of the host. Without `keep`, a disk needs a log.path that is a file.
    pub fn expect_place_for_disk(&self, logs: &[String]) -> Result<()> {
        if logs.is_empty() && self.keeps() && self.config().storage.source.is_some() {
            bail!(
                "{}: its log is in no directory of the host, and `existing: keep` keeps it there, so the dedicated disk \
                 cannot be mounted; remove `existing: keep`, or remove storage.bind and storage.device",
                self.facts.manifest_path
            );
        }
        Ok(())
    }

    /// The same image can be for workers. Their kubelet must not wait for a disk of control planes, and their own disk
    /// must not be formatted.
    fn may_be_workers(&self) -> bool {
        self.intent.occasion == Occasion::Boot && self.plan.role == Role::Image
    }

    /// Tells of the mount units of an earlier configuration. `directory`: where a disk is to be mounted now.
    fn tell_of_units_that_are_left(&mut self, directory: Option<&str>) {
        for path in &self.targets.left_units {
            let advice = match directory {
                Some(directory) => format!(
                    "the disk of the log is at {directory} now, and this unit still mounts one for the previous directory: \
                     if nothing else needs it, remove this file (rm {})",
                    self.facts.shown(path)
                ),
                None => format!(
                    "the configuration no longer names a disk, but this unit still mounts one, and the kubelet needs it: \
                     run kube-audit-bootstrap restore, or remove this file and {UNITS}/{KUBELET_DROP_IN}"
                ),
            };
            self.warn(format!("{path}: {advice}"));
        }
    }

    fn write_units(&mut self) {
        // A kubelet that needs the mount does not start on a worker from this image, which has no such disk.
        let may_be_workers = self.plan.role == Role::Image && !self.facts.live;
        let units = self.targets.units.iter();
        for Unit { path, text, before } in units.filter(|unit| !may_be_workers || !is_drop_in(&unit.path)) {
            self.look_at(Step::Storage, path);
            let is_foreign = |bytes: &[u8]| !bytes.starts_with(NOTE.as_bytes()) && bytes != text.as_bytes();
            if before.as_ref().is_some_and(|before| is_foreign(&before.bytes)) {
                let typed = self.facts.shown(path);
                self.plan.refuse(format!(
                    "{path}: this unit is somebody else's, and apply would replace it; if nobody needs it, move it away \
                     (mv {typed} {typed}.old); otherwise remove storage.bind and storage.device, and let your own unit \
                     mount the disk"
                ));
            }
            let is_edited =
                |bytes: &[u8]| bytes != text.as_bytes() && !is_foreign(bytes) && !is_as_written(&lossy(bytes));
            if before.as_ref().is_some_and(|before| is_edited(&before.bytes)) {
                self.warn(format!(
                    "{path}: somebody has edited this unit since kube-audit-bootstrap wrote it, and apply writes it anew; the \
                     backup has the edited one: put what you need of it into a drop-in of your own (systemctl edit)"
                ));
            }
            if before.as_ref().is_none_or(|before| before.bytes != text.as_bytes()) {
                let new = Attributes::new(0o644, self.facts.owner.uid, self.facts.owner.gid);
                let attributes = before.as_ref().map_or(new, |before| before.attributes.clone());
                let (path, before, bytes) = (path.clone(), before.clone(), text.clone().into_bytes());
                self.add(Step::Storage, Change::WriteFile { path, before, bytes, attributes });
            }
        }
    }

    /// Keeps an existing mount, and plans the move of the logs from before the mount: now, or when the API server has
    /// been restarted.
    fn keep_mounted(&mut self, log: &str, mounted: &str, state: &DiskState) -> Mounting {
        let directory = parent(log);
        if !state.is_right {
            self.plan.refuse(format!(
                "{directory}: {mounted} is mounted here, but storage names another disk; unmount it, or correct storage"
            ));
        }
        match &state.blind {
            Some(blind) => self.warn(format!(
                "{directory}: {} started before the disk was mounted, so it writes its log below the mount, or to {}, \
                 until the kubelet restarts it; run kube-audit-bootstrap apply after the restart, to move these \
                 events to the disk",
                blind.name,
                aside(directory)
            )),
            None if state.has_left => {
                let attributes = self.config().storage.group.map(|_| self.log_attributes.clone());
                self.follow_up(FollowUp { log: log.to_owned(), attributes, is_expected: true });
            }
            None => {}
        }
        let needs_restart = state.blind.as_ref().is_some_and(|blind| !blind.is_replaced);
        Mounting { is_new: false, needs_restart }
    }

    /// Creates or closes the directory on another disk, which only the log uses.
    fn prepare_directory(&mut self, from: &str, log: &str, state: &DiskState) -> Result<()> {
        if is_within(from, parent(&self.facts.manifest_path)) {
            return Err(Misuse(format!(
                "{from}: storage.bind must not be in the manifest directory, because the kubelet reads every file \
                 there; name another directory"
            ))
            .into());
        }
        let wanted = self.directory_attributes.clone();
        let Some(there) = &self.targets.bound else {
            self.add(Step::Storage, Change::CreateDirectory { path: from.to_owned(), attributes: wanted });
            if state.is_same {
                self.warn(format!(
                    "{from}: storage.bind is on the same file system as {}: is its disk mounted? If not, mount it",
                    parent(log)
                ));
            }
            return Ok(());
        };
        let name = log.rsplit('/').next().unwrap_or_default();
        let log = Log { path: &format!("{from}/{name}"), head: &[], uid: None, before: None, is_made: false };
        match fit(there, &log, &wanted, "name another directory in storage.bind, such as /data/audit") {
            Fit::Own if wanted.met_by(&there.attributes) => {}
            Fit::Own => self.close(from, &there.attributes, wanted),
            Fit::Shared(other) => self.plan.refuse(format!(
                "{from}: storage.bind has other files in it ({other:?}), and apply would close it to other users; \
                 name a directory that only the log uses"
            )),
            Fit::Foreign(why) => self.plan.refuse(format!("storage.bind {why}")),
        }
        Ok(())
    }

    /// Gives an existing directory the wanted mode and owner, and says so if others lose access by that.
    pub fn close(&mut self, path: &str, there: &Attributes, wanted: Attributes) {
        let loses_group = there.mode & 0o070 != 0 && there.gid != wanted.gid;
        if there.mode & 0o077 & !wanted.mode != 0 || loses_group {
            self.warn(format!(
                "{path}: apply closes this directory to other users (until now, it has the mode {:04o}); if one of them \
                 reads the log, set storage.group to the number of a group of that user",
                there.mode
            ));
        }
        let (path, before) = (path.to_owned(), there.clone());
        self.add(Step::Storage, Change::SetAttributes { path, before, after: wanted });
    }

    /// Formats a blank disk if the configuration asks for it. A disk that has a fitting file system is mounted without
    /// formatting. All other disks are refused.
    fn prepare_device(&mut self, device: String, format: Option<FileSystem>, state: &DiskState) {
        let refusal = match (&state.content, format) {
            (None, _) => format!("{device}: storage.device does not exist; attach the disk, or correct its name"),
            (Some(Content::Blank), Some(format)) => {
                return self.add(Step::Storage, Change::Format { device, format });
            }
            (Some(Content::Blank), None) => {
                format!("{device}: it is blank; create a file system on it, or set storage.format")
            }
            (Some(Content::Single(one)), Some(format)) if one.kind == format.name() && one.label == LABEL => {
                return;
            }
            (Some(Content::Single(one)), None) if FILE_SYSTEMS.contains(&one.kind.as_str()) => return,
            (Some(Content::Single(one)), Some(_)) if FILE_SYSTEMS.contains(&one.kind.as_str()) => format!(
                "{device}: it is not blank, there is {} with the label {:?}, and file systems of this program have \
                 the label {LABEL}; to use it as it is, remove storage.format",
                one.kind, one.label
            ),
            (Some(content), _) => format!(
                "{device}: {content}; it cannot be used for the log, and does not change; name another disk, or, if \
                 you need nothing on it, clear it with wipefs --all and blkdiscard --zeroout"
            ),
        };
        self.plan.refuse(refusal);
    }

    fn mount_over(&mut self, log: &str, state: &DiskState) {
        let directory = parent(log);
        // Files on a new file system have no SELinux labels.
        let there = self.targets.directories.get(directory).and_then(Option::as_ref);
        let label = there.and_then(|there| there.attributes.label.clone());
        let attributes = Attributes { label, ..self.directory_attributes.clone() };
        let begun = self.config().storage.group.map(|_| self.log_attributes.clone());
        let (path, unit, log) = (directory.to_owned(), unit_name(directory), log.to_owned());
        let mount = Change::Mount { path, unit, attributes, log: log.clone(), begun: begun.clone() };
        self.add(Step::Storage, mount);
        let is_expected = state.has_left || !self.targets.logs.is_empty();
        self.follow_up(FollowUp { log, attributes: begun, is_expected });
    }

    /// Objects to files that are lost at a reboot, while the flags that name them stay: without such a file, the API
    /// server does not start. `changed`: the plan changes the flags.
    pub fn judge_fleeting(&mut self, changed: bool) {
        for (path, reason) in &self.targets.fleeting {
            let is_policy = self.targets.policies.contains_key(path);
            let advice = match (is_policy, self.keeps()) {
                (true, false) => {
                    "set policy.path to a file that stays, such as /etc/kubernetes/audit-policy.yaml".to_owned()
                }
                (true, true) => {
                    "move it to a directory that stays, and change --audit-policy-file and its mount, or \
                                 remove `existing: keep`"
                        .to_owned()
                }
                (false, _) => {
                    "move it to a directory that stays, and change what names it, or make sure that it is \
                               there before the kubelet starts"
                        .to_owned()
                }
            };
            let why = format!(
                "{path}: this file is lost at a reboot ({reason}), and the API server does not start without it"
            );
            // At a boot, the policy is there in time only if it is written now. Another program may write other files.
            match !is_policy || self.plan.role == Role::Image || self.intent.occasion == Occasion::Boot {
                true => self.warn(format!("{why}; {advice}")),
                false => self.object(changed, why, &advice),
            }
        }
    }

    /// Judges a log in a directory that is cleared at a boot, or in time, of a node that does not run.
    pub fn judge_cleared(&mut self, log: &str, changed: bool) {
        let why = format!("{log}: files here are removed at a boot, or in time, and the log would be lost");
        match self.config().storage.may_be_volatile {
            true => self.warn(why),
            false => self.object(
                changed,
                why,
                "set log.path to a directory that survives a reboot, or set storage.require to any",
            ),
        }
    }

    /// Judges the log directory, and whether the logs that the flags allow fit there. `changed`: the plan changes the
    /// flags or mounts something.
    pub fn judge_place(&mut self, directory: &str, seen: &LogPlace, limits: &Limits, changed: bool) {
        let config = self.config();
        let forecast = forecast(limits, &seen.history, seen.disk);
        let place = format!("{directory}: {}", seen.judgement);
        match seen.judgement.lasting {
            Lasting::Volatile if !config.storage.may_be_volatile => self.object(
                changed,
                format!("{place}: the log would be lost at a reboot"),
                "use a dedicated disk (storage.device, storage.bind), set log.path to a directory that survives a \
                 reboot, or set storage.require to any",
            ),
            Lasting::Volatile => self.warn(format!("{place}: the log will be lost at a reboot")),
            Lasting::Unknown if !config.storage.may_be_volatile => self.object(
                false,
                format!(
                    "{directory}: it is not known whether the log survives a reboot: {}",
                    seen.judgement.reason
                ),
                "if it does, set storage.require to any",
            ),
            _ => {}
        }
        if seen.is_read_only {
            self.object(
                changed,
                format!("{directory}: its file system is read-only, so no event can be written"),
                "read the kernel's log for the reason, and mount it read-write",
            );
        }
        // If the disk is not mounted yet, only its size is known.
        let capacity = Disk { total: seen.capacity, available: seen.capacity, eviction: 0 };
        if let Some(disk) = seen.disk.or(Some(capacity).filter(|capacity| capacity.total > 0)) {
            if !disk.has_room() {
                let left = Bytes(disk.available);
                self.object(
                    changed,
                    format!("{directory}: {left} are left on its file system, so no event could be written"),
                    "make room",
                );
            }
            if let Some(headroom) = config.storage.headroom
                && let Some(misfit) = misfit(&forecast, limits, &seen.history, disk, headroom.of(disk.total))
            {
                self.object(
                    changed,
                    format!("{directory}: {misfit}"),
                    "set log.maxBackup and log.maxSize so that the log fits, use a larger dedicated disk \
                     (storage.device), or set storage.headroom to any",
                );
            }
        }
        self.plan.storage = Some(LogStorage { directory: directory.to_owned(), seen: seen.clone(), forecast });
    }

    /// Objects to the log directory. In an image this is a warning, as the image runs on another machine. It is also a
    /// warning if the plan changes nothing about the log: a known problem must not prevent other changes.
    pub(super) fn object(&mut self, changed: bool, why: String, advice: &str) {
        match self.plan.role {
            Role::Image => self.warn(why),
            _ if !changed => self.warn(format!("{why}; {advice}")),
            _ => {
                self.plan.objection.get_or_insert(format!("{why}; {advice}"));
            }
        }
    }
}

/// Is this the drop-in with which the kubelet needs the mount?
fn is_drop_in(path: &str) -> bool {
    path.ends_with(KUBELET_DROP_IN)
}

#[cfg(test)]
mod tests {
    use super::super::Intent;
    use super::super::testing::{
        actions, audited, config, directory, disk_state, facts, intent, planned, planned_for, snapshot,
    };
    use super::*;
    use crate::config::Config;
    use crate::facts::{Blind, Facts, Targets};
    use crate::storage::blank::Signature;
    use crate::storage::forecast::LogHistory;
    use crate::storage::persistence::Judgement;

    const BARE: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver, namespace: kube-system}\nspec:\n  containers:\n  - name: \
                        kube-apiserver\n    command:\n    - kube-apiserver\n    image: registry.k8s.io/kube-apiserver:v1.31.4\n";

    fn seen(lasting: Lasting, available: u64) -> LogPlace {
        let judgement = Judgement { lasting, reason: "somewhere".to_owned(), is_layer: false };
        let disk = Some(Disk { total: 100 << 30, available, eviction: 0 });
        LogPlace { judgement, disk, capacity: 100 << 30, is_read_only: false, history: LogHistory::default() }
    }

    #[test]
    fn only_a_blank_device_is_formatted_and_only_a_file_system_mounted() {
        let single = |kind: &str, label: &str| {
            Some(Content::Single(Signature { kind: kind.to_owned(), label: label.to_owned() }))
        };
        let (plain, formatted) =
            ("storage: {device: /dev/disk/by-id/x}", "storage: {device: /dev/disk/by-id/x, format: ext4}");
        for (storage, content, does, refusal) in [
            (formatted, Some(Content::Blank), "format mount", None),
            (formatted, single("ext4", "kube-audit"), "mount", None),
            (plain, single("xfs", "mine"), "mount", None),
            (plain, Some(Content::Blank), "mount", Some("it is blank")),
            (formatted, single("ext4", "data"), "mount", Some("with the label \"data\"")),
            (formatted, single("xfs", "kube-audit"), "mount", Some("there is xfs")),
            (plain, single("crypto_LUKS", ""), "mount", Some("there is crypto_LUKS")),
            (formatted, single("crypto_LUKS", ""), "mount", Some("it cannot be used for the log")),
            (formatted, Some(Content::Taken("it has partitions".to_owned())), "mount", Some("it has partitions")),
            (formatted, None, "mount", Some("does not exist")),
        ] {
            let state = DiskState { content: content.clone(), ..disk_state() };
            let plan =
                planned(&config(storage), &facts(None), &Targets { disk: Some(state), ..Targets::default() });
            assert_eq!(actions(&plan), format!("create-directory {does} create-file"), "{storage} {content:?}");
            assert_eq!(plan.refusal.is_some(), refusal.is_some(), "{storage} {content:?}: {:?}", plan.refusal);
            assert!(
                plan.refusal.unwrap_or_default().contains(refusal.unwrap_or_default()),
                "{storage} {content:?}"
            );
        }
    }

    #[test]
    fn a_policy_that_does_not_last_keeps_the_flags_from_naming_it() {
        let path = &Config::default().policy_path;
        let fleeting = vec![(path.clone(), "tmpfs at /run, in memory".to_owned())];
        for (lines, is_new, occasion, is_refused, advice) in [
            ("", true, Occasion::Any, true, "set policy.path to a file that stays"),
            ("", false, Occasion::Any, false, "set policy.path to a file that stays"),
            ("", true, Occasion::Boot, false, "set policy.path to a file that stays"),
            ("existing: keep", false, Occasion::Any, false, "change --audit-policy-file and its mount"),
        ] {
            let wanted = config(lines);
            let (audited, targets) = audited(&config(""));
            let facts = if is_new { facts(Some(BARE)) } else { audited };
            let targets = Targets { fleeting: fleeting.clone(), ..targets };
            let plan = planned_for(&Intent { occasion, ..intent(&wanted) }, &facts, &targets).unwrap();
            let told = plan.warnings.iter().chain(&plan.objection).find(|line| line.contains("lost at a reboot"));
            assert_eq!(plan.objection.is_some(), is_refused, "{lines} {is_new} {occasion:?}");
            assert!(told.is_some_and(|line| line.contains(advice)), "{lines} {is_new}: {told:?}");
        }
    }

    #[test]
    fn a_log_that_does_not_last_keeps_kubeadm_from_starting() {
        for (occasion, is_refused) in [(Occasion::Init, true), (Occasion::Any, false), (Occasion::Boot, false)] {
            let config = Config { kubeadm_configs: Some(Vec::new()), ..Config::default() };
            let targets = Targets { storage: Some(seen(Lasting::Volatile, 1 << 40)), ..Targets::default() };
            let plan = planned_for(&Intent { occasion, ..intent(&config) }, &facts(None), &targets).unwrap();
            assert_eq!(plan.allowed().is_err(), is_refused, "{occasion:?}: {:?}", plan.warnings);
        }
    }

    #[test]
    fn a_bound_directory_is_made_or_mended_and_nothing_goes_over_what_went_aside() {
        let config = config("storage: {bind: /data/audit}");
        let holds = |mode, name: &str| Some(directory(mode, 0, &[name]));
        for (bound, is_in_the_way, does, is_refused) in [
            (None, false, "create-directory mount", false),
            (holds(0o755, "audit.log"), false, "set-attributes mount", false),
            (holds(0o700, "lost+found"), false, "mount", false),
            (holds(0o700, "audit.log"), true, "mount", true),
            (holds(0o700, "index.html"), false, "mount", true),
        ] {
            let state = DiskState { is_in_the_way, ..disk_state() };
            let plan = planned(&config, &facts(None), &Targets { bound, disk: Some(state), ..Targets::default() });
            assert_eq!(actions(&plan), format!("create-directory {does} create-file"));
            assert_eq!(plan.refusal.is_some(), is_refused);
        }
    }

    #[test]
    fn what_is_mounted_stays_and_an_api_server_that_does_not_see_it_is_started_anew() {
        let config = config("storage: {bind: /data/audit}");
        let (facts, targets) = audited(&config);
        let blind = |is_replaced| Some(Blind { name: "kube-apiserver (1)".to_owned(), is_replaced });
        for (is_right, has_left, blind, does, is_refused) in [
            (true, false, None, "", false),
            (true, true, None, "gather", false),
            (true, true, blind(true), "", false),
            (true, true, blind(false), "edit-file", false),
            (true, false, blind(false), "edit-file", false),
            (false, false, None, "", true),
        ] {
            let mounted = Some("ext4 on /dev/sdb".to_owned());
            let state = DiskState { mounted, is_right, has_left, blind, ..disk_state() };
            let targets = Targets { disk: Some(state.clone()), ..targets.clone() };
            let plan = planned(&config, &facts, &targets);
            assert_eq!((actions(&plan).as_str(), plan.refusal.is_some()), (does, is_refused), "{state:?}");
        }
    }

    #[test]
    fn what_is_mounted_for_the_log_is_the_logs_alone() {
        let config = config("storage: {bind: /data/audit}");
        let (facts, mut targets) = audited(&config);
        let open = directory(0o755, 0, &["audit.log", "notes"]);
        targets.directories.insert("/var/log/kubernetes/audit".to_owned(), Some(open));
        assert_eq!(actions(&planned(&config, &facts, &targets)), "");
        targets.disk =
            Some(DiskState { mounted: Some("ext4 on /dev/sdb".to_owned()), is_right: true, ..disk_state() });
        assert_eq!(actions(&planned(&config, &facts, &targets)), "set-attributes");
    }

    #[test]
    fn a_link_is_nothing_to_mount_at() {
        let config = config("storage: {bind: /data/audit}");
        let facts = facts(None);
        let state = DiskState { real: "/data/logs".to_owned(), ..disk_state() };
        let targets = Targets { disk: Some(state), ..Targets::default() };
        let error = planned_for(&intent(&config), &facts, &targets).unwrap_err().to_string();
        assert!(error.contains("a link leads to /data/logs"), "{error}");
    }

    #[test]
    fn a_bad_place_is_refused_where_something_changes_and_else_told() {
        use Lasting::{Persistent, Unknown, Volatile};
        const GIB: u64 = 1 << 30;
        let damaged = LogPlace { is_read_only: true, ..seen(Persistent, 50 * GIB) };
        for (storage, seen, objection) in [
            ("", seen(Persistent, 50 * GIB), None),
            ("", seen(Unknown, 50 * GIB), None),
            ("", seen(Volatile, 50 * GIB), Some("would be lost at a reboot")),
            ("storage: {require: any}", seen(Volatile, 50 * GIB), None),
            ("", seen(Persistent, 7 * GIB), None),
            ("", seen(Persistent, 5 * GIB), Some("must stay free; set log.maxBackup")),
            ("storage: {headroom: any}", seen(Persistent, 5 * GIB), None),
            ("storage: {headroom: 1Gi}", seen(Persistent, 5 * GIB), None),
            ("storage: {headroom: any}", seen(Persistent, 1000), Some("1000 bytes are left")),
            ("", damaged, Some("is read-only")),
        ] {
            let fresh = config(storage);
            let (audited_facts, targets) = audited(&fresh);
            let targets = Targets { storage: Some(seen), ..targets };
            // The flags change.
            let bare = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver}\nspec:\n  containers:\n  - name: x\n    command: \
                        [kube-apiserver]\n    image: registry.k8s.io/kube-apiserver:v1.31.4\n";
            let mut changed = planned(&fresh, &facts(Some(bare)), &targets);
            let found = changed.objection.clone().unwrap_or_default();
            assert_eq!(changed.allowed().is_err(), objection.is_some(), "{storage}: {found}");
            assert!(found.contains(objection.unwrap_or_default()), "{storage}: {found}");
            changed.waive_objection();
            assert!(changed.allowed().is_ok());
            assert!(objection.is_none() || changed.warnings.contains(&found), "{storage}");
            // The flags stay, and only the policy changes.
            let mut targets = targets;
            targets.policies.insert(fresh.policy_path.clone(), Some(snapshot("kind: Policy\n")));
            let same = planned(&fresh, &audited_facts, &targets);
            assert!(!same.changes.is_empty() && same.allowed().is_ok(), "{storage}");
            let told = same.warnings.iter().any(|warning| warning.contains(objection.unwrap_or_default()));
            assert!(objection.is_none() || told, "{storage}: {:?}", same.warnings);
        }
    }

    #[test]
    fn a_directory_is_closed_where_it_is_the_logs_and_nobody_elses() {
        let log = |directory: &str| format!("{directory}/audit.log");
        let of_user =
            |mode, uid| Directory { attributes: Attributes::new(mode, uid, uid), ..directory(0, 0, &[]) };
        let leads = |to: &str| Directory { leads_to: Some(to.to_owned()), ..directory(0o755, 0, &[]) };
        let (own, json): (_, &[u8]) = ("own", b"{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\"}\n");
        let auditd: &[u8] = b"type=USER_LOGIN msg=audit(1795522406.123:1)\n";
        for (path, there, head, is_in_use, expected) in [
            // Empty directories.
            ("/var/log/kubernetes/audit", directory(0o755, 0, &[]), json, false, own),
            ("/var/log/kube-audit", directory(0o755, 0, &["lost+found"]), json, false, own),
            ("/srv/x", directory(0o755, 0, &[]), json, false, own),
            ("/var/log/kube", of_user(0o755, 65), json, false, own),
            ("/var/log/chrony", directory(0o755, 0, &[]), json, false, "with rmdir"),
            ("/var/log/chrony", directory(0o755, 0, &[]), json, true, own),
            ("/var/log/chrony", of_user(0o700, 65), json, false, own),
            ("/var/log/kube", of_user(0o755, 1000), json, false, "belongs to the user 1000"),
            ("/srv/x", directory(0o1777, 0, &[]), json, false, "other users may write in it (mode 1777)"),
            ("/srv/x", directory(0o775, 0, &[]), json, false, "other users may write in it"),
            ("/var/log/kube", directory(0o775, 0, &[]), json, false, own),
            // Directories behind links.
            ("/srv/x", leads("/etc/cron.d"), json, false, "this is a link to /etc/cron.d"),
            ("/srv/x", leads("/etc/cron.d"), json, true, "this is a link to /etc/cron.d"),
            ("/srv/x", leads("/var/lib/x"), json, false, "with rmdir"),
            ("/var/log/x", leads("/data/x"), json, false, own),
            // Directories with the log.
            ("/srv/x", directory(0o755, 0, &["audit.log"]), json, false, own),
            ("/srv/x", directory(0o755, 0, &["audit-2026-11-26T12-00-00.000.log.gz"]), json, false, own),
            ("/srv/x", directory(0o755, 0, &["audit.log"]), auditd, false, "another program writes this file"),
            ("/srv/x", directory(0o755, 0, &["audit.log"]), auditd, true, own),
            // Directories with other files.
            ("/srv/x", directory(0o755, 0, &["audit.log", "notes"]), json, false, "shared notes"),
            ("/srv/x", directory(0o755, 0, &["notes"]), json, true, "shared notes"),
            ("/var/log/kubernetes", directory(0o755, 0, &["kubelet.log"]), json, false, "shared kubelet.log"),
            ("/var/log/apiserver", directory(0o755, 0, &["apiserver.log"]), json, false, "shared apiserver.log"),
            ("/srv/x", directory(0o700, 0, &["notes"]), json, false, "other files (\"notes\")"),
            ("/var/log/nginx", directory(0o755, 0, &["access.log"]), json, false, "other files"),
            ("/srv/x", directory(0o700, 0, &[".ssh"]), json, false, "other files"),
        ] {
            let file = log(path);
            let log =
                Log { path: &file, head, uid: None, before: is_in_use.then_some(file.as_str()), is_made: false };
            let found = match fit(&there, &log, &Attributes::new(0o700, 65, 65), &other_log("/x/y")) {
                Fit::Own => "own".to_owned(),
                Fit::Shared(name) => format!("shared {name}"),
                Fit::Foreign(why) => why,
            };
            assert!(found.contains(expected), "{path} {there:?} {is_in_use}: {found}");
        }
    }

    #[test]
    fn a_log_is_the_api_servers_by_its_name_and_a_directory_by_its_log() {
        let (json, syslog): (&[u8], &[u8]) =
            (b"{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\"}\n", b"Nov 30 host sshd[1]: x\n");
        let (there, of_user) = (directory(0o755, 0, &["audit.log"]), Attributes::new(0o755, 1000, 1000));
        let users = Directory { attributes: of_user, ..there.clone() };
        let none: &[u8] = &[];
        let by_logrotate = directory(0o750, 4, &["audit.log.1", "audit.log.2.gz"]);
        let also = directory(0o750, 4, &["audit.log", "audit.log.1"]);
        for (there, path, head, uid, before, expected) in [
            // Another program's logs can have such names.
            (&by_logrotate, "/srv/x/audit.log", none, None, None, "and other files (\"audit.log.1\")"),
            (&by_logrotate, "/srv/kube/audit.log", &[], None, None, "shared audit.log.1"),
            (&by_logrotate, "/srv/x/audit.log", &[], None, Some("/srv/x/audit.log"), "own"),
            (&also, "/srv/x/audit.log", &[], Some(0), None, "shared audit.log.1"),
            (&also, "/srv/x/audit.log", json, Some(0), None, "own"),
            (&there, "/srv/x/audit.log", syslog, Some(105), Some("/srv/x/audit.log"), "own"),
            (&there, "/srv/x/other.log", syslog, Some(105), Some("/srv/x/audit.log"), "another program writes"),
            (&there, "/srv/x/other.log", json, Some(105), Some("/srv/x/audit.log"), "belongs to the user 105"),
            (&there, "/srv/x/other.log", &[], Some(105), Some("/srv/x/audit.log"), "belongs to the user 105"),
            (&there, "/srv/x/other.log", &[], None, Some("/srv/x/audit.log"), "shared audit.log"),
            (&there, "/srv/x/audit.log", &[], Some(1000), None, "belongs to the user 1000"),
            (&there, "/srv/x/audit.log", &[], Some(65), None, "own"),
            (&users, "/srv/x/audit.log", json, Some(0), None, "it belongs to the user 1000"),
            (&users, "/srv/x/audit.log", json, Some(0), Some("/srv/x/audit.log"), "own"),
        ] {
            let log = Log { path, head, uid, before, is_made: false };
            let found = match fit(there, &log, &Attributes::new(0o700, 65, 65), &other_log("/x/y")) {
                Fit::Own => "own".to_owned(),
                Fit::Shared(name) => format!("shared {name}"),
                Fit::Foreign(why) => why,
            };
            assert!(found.contains(expected), "{log:?}: {found}");
        }
    }

    #[test]
    fn a_directory_that_a_run_made_for_another_user_is_the_logs() {
        let of =
            |uid| Directory { attributes: Attributes::new(0o700, uid, uid), ..directory(0, 0, &["audit.log"]) };
        for (there, uid, is_made, expected) in [
            (of(65534), 65534, true, Fit::Own),
            // Somebody else has put this log there.
            (of(65534), 1000, true, Fit::Foreign(String::new())),
            (of(65534), 65534, false, Fit::Foreign(String::new())),
        ] {
            let log = Log { path: "/var/log/k/audit.log", head: &[], uid: Some(uid), before: None, is_made };
            let found = fit(&there, &log, &Attributes::new(0o700, 0, 0), &other_log("/var/log/k/audit.log"));
            assert_eq!(
                std::mem::discriminant(&found),
                std::mem::discriminant(&expected),
                "{uid} {is_made}: {found:?}"
            );
        }
        for (log, other) in [
            ("/x/y", "/var/log/kubernetes/audit/"),
            ("/var/log/kubernetes/audit/audit.log", "/var/log/kube-audit/"),
        ] {
            assert!(other_log(log).contains(other), "{log}");
        }
    }

    #[test]
    fn a_bound_directory_of_others_is_refused_with_what_helps() {
        let wanted = config("storage: {bind: /data/audit}");
        let of_user = Attributes::new(0o755, 1000, 1000);
        let bound = Some(Directory { attributes: of_user, ..directory(0o755, 0, &[]) });
        let plan =
            planned(&wanted, &facts(None), &Targets { bound, disk: Some(disk_state()), ..Targets::default() });
        let refusal = plan.refusal.unwrap_or_default();
        assert!(refusal.contains("name another directory in storage.bind"), "{refusal}");
        assert!(!refusal.contains("log.path"), "{refusal}");
    }

    #[test]
    fn a_foreign_directory_refuses_the_plan_unless_the_log_is_kept_there() {
        for (lines, is_refused) in [("", true), ("existing: keep", false)] {
            let wanted = config(&format!("log: {{path: /var/log/chrony/audit.log}}\n{lines}"));
            let empty = Some(directory(0o755, 0, &[]));
            let mut targets = Targets::default();
            targets.directories.insert("/var/log/chrony".to_owned(), empty.clone());
            let plan = planned(&wanted, &facts(None), &targets);
            assert_eq!((plan.refusal.is_some(), actions(&plan).as_str()), (is_refused, "create-file"), "{lines}");
            // The API server has its log there already.
            let (facts, mut targets) = audited(&config("log: {path: /var/log/chrony/audit.log}"));
            targets.directories.insert("/var/log/chrony".to_owned(), empty);
            let plan = planned(&wanted, &facts, &targets);
            let does = if is_refused { "set-attributes" } else { "" };
            assert_eq!((plan.refusal.is_some(), actions(&plan).as_str()), (false, does), "{lines}");
        }
    }

    #[test]
    fn an_image_is_told_what_is_not_mounted_before_it_has_a_role() {
        for (lines, is_right, is_told) in [
            ("storage: {bind: /data/audit}", false, true),
            ("storage: {bind: /data/audit}", true, false),
            ("", false, false),
        ] {
            let disk = Some(DiskState { is_right, ..disk_state() });
            let config = config(lines);
            let boot = Intent { occasion: Occasion::Boot, ..intent(&config) };
            let plan = planned_for(&boot, &facts(None), &Targets { disk, ..Targets::default() }).unwrap();
            let told = plan.warnings.iter().any(|line| line.contains("is not mounted yet"));
            assert_eq!((actions(&plan).contains("mount"), told), (false, is_told), "{lines}");
        }
    }

    #[test]
    fn a_bound_directory_on_the_same_disk_is_made_and_doubted() {
        let wanted = config("storage: {bind: /data/audit}");
        let there = Some(directory(0o700, 0, &[]));
        for (is_same, bound, does, is_doubted) in [
            (true, None, "create-directory mount", true),
            (false, None, "create-directory mount", false),
            (true, there.clone(), "mount", false),
            (false, there, "mount", false),
        ] {
            let disk = Some(DiskState { is_same, ..disk_state() });
            let plan = planned(&wanted, &facts(None), &Targets { bound, disk, ..Targets::default() });
            assert_eq!(actions(&plan), format!("create-directory {does} create-file"));
            assert_eq!(plan.warnings.iter().any(|line| line.contains("is its disk mounted?")), is_doubted);
        }
        let facts = Facts { manifest_path: "/data/audit/kube-apiserver.yaml".to_owned(), ..facts(None) };
        let targets = Targets { disk: Some(disk_state()), ..Targets::default() };
        let error = planned_for(&intent(&wanted), &facts, &targets).unwrap_err().to_string();
        assert!(error.contains("must not be in the manifest directory"), "{error}");
    }

    #[test]
    fn what_was_logged_before_a_mount_follows_it() {
        let wanted = config("storage: {device: LABEL=audit}");
        let content = Some(Content::Single(Signature { kind: "xfs".to_owned(), label: "audit".to_owned() }));
        let log = || ("/var/log/kubernetes/audit/audit.log".to_owned(), Some(Attributes::new(0o600, 0, 0)));
        for (has_left, logs, does) in [
            (false, None, "mount create-file"),
            (true, None, "mount create-file gather"),
            (false, Some(log()), "mount create-file gather"),
        ] {
            let disk = Some(DiskState { has_left, content: content.clone(), ..disk_state() });
            let logs = logs.into_iter().collect();
            let plan = planned(&wanted, &facts(None), &Targets { disk, logs, ..Targets::default() });
            assert_eq!(actions(&plan), format!("create-directory {does}"));
        }
    }

    #[test]
    fn of_an_image_and_of_what_may_be_lost_there_are_warnings() {
        use Lasting::{Persistent, Unknown, Volatile};
        let any = "storage: {require: any, headroom: any}";
        let of = |lasting| seen(lasting, 50 << 30);
        let room = |disk, capacity| LogPlace { disk, capacity, ..of(Persistent) };
        let left = |available| Some(Disk { total: 50 << 30, available, eviction: 0 });
        let all = ["reboot", "are left", "read-only"];
        for (lines, seen, told) in [
            ("", of(Persistent), ""),
            ("", of(Volatile), "the log would be lost at a reboot"),
            (any, of(Volatile), "the log will be lost at a reboot"),
            ("", of(Unknown), "it is not known whether the log survives a reboot"),
            (any, of(Unknown), ""),
            (any, of(Persistent), ""),
            ("", LogPlace { is_read_only: true, ..of(Persistent) }, "its file system is read-only"),
            (any, room(left(1 << 20), 0), ""),
            (any, room(left((1 << 20) - 1), 0), "1.0 MiB are left"),
            // If the disk is not mounted yet, only its size is known, or nothing.
            (any, room(None, 0), ""),
            (any, room(None, 1000), "1000 bytes are left"),
            (any, room(None, 1 << 30), ""),
        ] {
            let targets = Targets { storage: Some(seen.clone()), ..Targets::default() };
            let plan = planned(&config(lines), &facts(None), &targets);
            assert_eq!((plan.role, plan.objection), (Role::Image, None));
            let found: Vec<_> =
                plan.warnings.iter().filter(|line| all.iter().any(|words| line.contains(words))).collect();
            assert_eq!(found.len(), usize::from(!told.is_empty()), "{lines} {seen:?}: {found:?}");
            // An image needs no advice: the administrator of the node does.
            assert!(found.iter().all(|line| line.contains(told) && !line.contains("; ")), "{found:?}");
        }
    }

    #[test]
    fn nothing_is_mounted_for_a_log_that_is_kept_elsewhere() {
        let kept = config("existing: keep\nstorage: {bind: /data/audit}");
        let (facts, targets) = audited(&config("log: {path: /srv/audit/log}"));
        let error = planned_for(&intent(&kept), &facts, &targets).unwrap_err().to_string();
        assert!(error.starts_with("/srv/audit/log: a manifest has the log here"), "{error}");
        let stdout = BARE.replace("    - kube-apiserver\n", "    - kube-apiserver\n    - --audit-log-path=-\n");
        let facts = super::super::testing::facts(Some(&stdout));
        let error = planned_for(&intent(&kept), &facts, &Targets::default()).unwrap_err().to_string();
        assert!(error.contains("its log is in no directory of the host"), "{error}");
    }
}
