//! Makes a plan from the facts, step by step.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::in_force::{State, judge};
use super::place::{Fit, Log, Mounting, fit, other_log};
use super::planner::Planner;
use super::wire::{WiredCluster, WiredFile, Wiring};
use super::{Asked, AskedPolicy, Intent, NoLog, Occasion, Plan, Role, Step};
use crate::audit::flags::Flags;
use crate::audit::log::may_be_events;
use crate::audit::policy::compose::Sources;
use crate::audit::policy::findings::Id;
use crate::audit::policy::lint::check;
use crate::audit::policy::read::Reading;
use crate::change::{Change, KUBEADM_CONFIG};
use crate::config::misuse::Misuse;
use crate::facts::file::{Attributes, Owner, Seen, Snapshot, Text, lossy, text_of};
use crate::facts::in_force::Neighbour;
use crate::facts::obstacle::{Lock, Obstacle};
use crate::facts::{Facts, Paths, Targets, Written};
use crate::path::{ADMIN_CONF, is_no_place_for_policy, log_directory_fault, parent, program};
use crate::storage::forecast::Limits;
use crate::wiring::Replaced;
use crate::wiring::manifest::read_auditing;
use crate::wiring::mark::{self, Contents};
use crate::wiring::references::write_fault;
use crate::yaml::fields::Severity;

/// What `policy check` warns of in a policy that has no error.
struct Doubts {
    /// The rules that a rule of another file, or of the same, hides: line by line, if there are fragments.
    unused: Vec<String>,
    others: usize,
}

/// Plans the changes, in the order that keeps the API server alive.
///
/// # Errors
///
/// A policy that the node's API server would refuse, or would read in another way than it is written; a directory
/// where a log cannot be.
pub fn plan(
    intent: &Intent<'_>,
    facts: &Facts,
    wiring: Wiring,
    targets: &Targets,
    policy: &AskedPolicy,
) -> Result<Plan> {
    let mut planner = Planner::new(intent, facts, targets, &wiring);
    if wiring.role == Role::Worker {
        return Ok(planner.plan);
    }
    planner.remark_on_image();
    let is_edited = wiring.kubeadm.iter().chain(&wiring.manifest).any(WiredFile::is_edited)
        || intent.is_without_file(Occasion::Init);
    let logs = &wiring.paths.logs;
    if !wiring.unmet.is_empty() {
        planner.plan.refuse(wiring.unmet.join("\n"));
    }
    planner.tell_of_standard_output();
    planner.plan.no_log = no_log(logs, &wiring.flags);
    let is_own = wiring.run_as.user.is_none();
    planner.refuse_misleading_links();
    planner.refuse_wrong_kinds(&wiring.paths, wiring.manifest.is_some());
    planner.make_directories(logs, wiring.log_before.as_deref());
    planner.expect_place_for_disk(logs)?;
    let mounting = planner.mount(logs)?;
    planner.begin_logs(logs);
    planner.open_logs(logs, mounting);
    planner.judge_around_logs(&wiring.paths.written, mounting);
    planner.judge_rotation(logs, is_edited, mounting);
    for path in &wiring.paths.policies {
        planner.install_policy(path, policy)?;
    }
    for file in wiring.kubeadm {
        // On a control plane, this is told of the manifest.
        if wiring.manifest.is_none() {
            planner.tell_of_replaced(&file);
        }
        planner.edit(Step::Kubeadm, file);
    }
    planner.judge_fleeting(is_edited);
    planner.edit_cluster(wiring.cluster);
    planner.move_strays(wiring.strays, wiring.manifest.as_ref());
    if let Some(file) = wiring.manifest.filter(|_| !planner.before_kubeadm) {
        planner.edit_manifest(file, mounting);
    }
    if let (Some(seen), Some(log)) = (&targets.storage, logs.first()) {
        let limits = Limits::of(&wiring.flags, wiring.other_version.or(wiring.version));
        planner.judge_place(parent(log), seen, &limits, is_edited || mounting.is_new);
    }
    if let Some(log) = logs.first().filter(|_| targets.is_log_cleared) {
        // What stays was there before.
        planner.judge_cleared(log, is_edited && !planner.keeps());
    }
    if wiring.role == Role::Joining {
        planner.warn(
            "a joining control plane takes its flags from the cluster's kubeadm-config; if the audit flags are \
             not there yet, run kube-audit-bootstrap apply on a running control plane first",
        );
    }
    if is_own {
        planner.tell_who_owns_what();
    }
    Ok(planner.plan)
}

/// Why there is no log file on this node to look after, and whether nothing is known about it. `None`: there is one.
fn no_log(logs: &[String], flags: &Flags) -> Option<NoLog> {
    if !logs.is_empty() {
        return None;
    }
    Some(match flags.get("audit-log-path").map(String::as_str) {
        None | Some("") => NoLog { why: "the API server writes no audit log", is_unknown: false },
        Some("-") => NoLog { why: "events go to the standard output of the API server", is_unknown: false },
        Some(path) if path.contains("$(") => {
            NoLog { why: "only the kubelet knows the whole path of the log; see the warning", is_unknown: true }
        }
        Some(_) => NoLog { why: "the log is in a volume that is no directory of this node", is_unknown: true },
    })
}

impl Planner<'_> {
    /// Nothing in an image starts an API server, so a "done" there is less than it seems.
    fn remark_on_image(&mut self) {
        // On a running system, a warning says it.
        if self.plan.role != Role::Image || self.facts.live {
            return;
        }
        let what = match &self.config().kubeadm_configs {
            Some(paths) if !paths.is_empty() => format!("at {}", paths.join(", ")),
            Some(_) => "named".to_owned(),
            None => "at the default paths".to_owned(),
        };
        let what = match self.facts.kubeadm.is_empty() {
            true => format!("no kubeadm configuration is {what}"),
            false => "the kubeadm configuration has nothing for init or join".to_owned(),
        };
        self.plan.remark = Some(format!(
            "{what}: a node from this image does not audit until kube-audit-bootstrap apply \
             has run on it, too"
        ));
    }

    /// Files of another user than root are not what a node needs, if there are any.
    fn tell_who_owns_what(&mut self) {
        let Owner { uid, gid } = self.owner;
        let belongs = |change: &Change| match change {
            Change::CreateDirectory { attributes, .. } => attributes.uid == uid,
            Change::WriteFile { before: None, attributes, .. } => attributes.uid == uid,
            Change::SetAttributes { after, .. } => after.uid == uid,
            _ => false,
        };
        let any = self.plan.changes.iter().any(|planned| belongs(&planned.change));
        if uid != 0 && any && self.plan.refusal.is_none() {
            self.warn(format!(
                "not run as root: new files and directories belong to {uid}:{gid}; on a node, run as root"
            ));
        }
    }

    fn tell_of_standard_output(&mut self) {
        if self.config().log.file().is_none() {
            self.warn(
                "log.path is -: events go to the standard output of the API server's container; the kubelet rotates \
                 them together with its other messages, and the limits under log do not apply",
            );
        }
    }

    /// A link on the way to a file that the container resolves in itself leads the API server to another file, or to
    /// none: it does not start, or its events are lost.
    fn refuse_misleading_links(&mut self) {
        for (path, link) in &self.targets.elsewhere {
            let what = misleading(path, link);
            self.plan.refuse(match self.keeps() {
                true => {
                    format!("{what}; mount the directory that it leads to at the same path, or remove the link")
                }
                false => format!(
                    "{what}; name the path that it leads to in the setting of this file (policy.path, log.path, \
                     --audit-webhook-config-file or the webhook's kubeconfig), or remove the link"
                ),
            });
        }
    }

    /// The kubelet starts no pod with a volume whose path is of another kind than its type says
    /// (`pkg/volume/hostpath/host_path.go`). `is_running`: an API server runs, so that a path that is missing now will
    /// be missing then. Before kubeadm, others may still make it.
    fn refuse_wrong_kinds(&mut self, paths: &Paths, is_running: bool) {
        let is_made = |path: &String| paths.policies.contains(path) || paths.directories.contains(path);
        let wrong = paths.typed.iter().filter_map(|typed| {
            let found = *self.targets.kinds.get(&typed.path)?;
            let comes = found.is_none() && (!is_running || !self.facts.live || is_made(&typed.path));
            typed.fault(found).filter(|_| !comes)
        });
        if let Some(why) = wrong.collect::<Vec<_>>().into_iter().next() {
            self.plan.refuse(why);
        }
    }

    /// Creates the log directories, or closes them to other users. `before`: the log of the API server until now.
    fn make_directories(&mut self, logs: &[String], before: Option<&str>) {
        for (index, log) in logs.iter().enumerate() {
            let path = parent(log).to_owned();
            if logs[..index].iter().any(|other| parent(other) == path) {
                continue;
            }
            // A log that is kept may be in a directory of others, which is made as others need it.
            let attributes = match log_directory_fault(&path) {
                Some(_) => Attributes::new(0o755, self.facts.owner.uid, self.facts.owner.gid),
                None => self.directory_attributes.clone(),
            };
            self.look_at(Step::Storage, &path);
            self.tell_of_odd_name(log, before);
            let Some(there) = self.targets.directories.get(&path).and_then(Option::as_ref) else {
                self.add(Step::Storage, Change::CreateDirectory { path, attributes });
                continue;
            };
            let head = self.targets.heads.get(log).map(Vec::as_slice).unwrap_or_default();
            let uid = self.targets.logs.get(log).and_then(Option::as_ref).map(|file| file.uid);
            let is_made = self.targets.written.contains(&path);
            let seen = Log { path: log, head, uid, before, is_made };
            if (self.keeps() || seen.is_in_use()) && !may_be_events(head) {
                let also = if self.keeps() { ", and remove `existing: keep`" } else { "" };
                self.warn(format!(
                    "{log}: this file has lines, and none of them is an audit event; if another program writes it, too, the \
                     rotation of each moves the other's lines away; {}{also}",
                    other_log(log)
                ));
            }
            if let Some(why) = self.targets.blocked.get(log) {
                self.plan.refuse(format!("{log}: {why}"));
            }
            if self.keeps() {
                continue;
            }
            // Everything on a disk that is mounted for the log belongs to the log.
            let fit = match self.targets.disk.as_ref().is_some_and(|disk| disk.is_right) {
                true => Fit::Own,
                false => fit(there, &seen, &attributes, &other_log(log)),
            };
            match fit {
                Fit::Foreign(why) => self.plan.refuse(why),
                _ if attributes.met_by(&there.attributes) => {}
                Fit::Shared(other) if self.is_closed_to_the_api_server(&there.attributes) => {
                    let Attributes { mode, uid, gid, .. } = there.attributes;
                    let (user, typed) = (self.owner.uid, self.facts.shown(&path));
                    self.plan.refuse(format!(
                        "{path}: the API server runs as the user {user}, who can't write to this directory (mode \
                         {mode:04o}, owner {uid}:{gid}), and there is more than the audit log in it ({other:?}), so its \
                         owner does not change; set log.path to a file in a directory of its own, or let that user in, \
                         with chown {user} {typed}"
                    ));
                }
                // Other users of a directory would lose access.
                Fit::Shared(other) => self.warn(format!(
                    "{path}: there is more than the audit log in it ({other:?}), so its mode {:04o} and its owner do \
                     not change; to close it to other users, use a directory for the log alone",
                    there.attributes.mode
                )),
                Fit::Own => self.close(&path, &there.attributes, attributes),
            }
        }
    }

    /// A log without an ending, which does not exist yet, was probably meant as the directory of the log.
    fn tell_of_odd_name(&mut self, log: &str, before: Option<&str>) {
        let name = log.rsplit('/').next().unwrap_or_default();
        // Whoever wrote another path into a file of the node has not set log.path.
        let is_ours = self.config().log.file().is_some_and(|path| path == log);
        if is_ours && !name.contains('.') && before != Some(log) && !self.targets.logs.contains_key(log) {
            self.warn(format!(
                "{log}: this will be the log file, and {} its directory; if {log} is meant as the directory, set log.path \
                 to {log}/audit.log",
                parent(log)
            ));
        }
    }

    /// Can the API server's user, who is not root, surely not write to a directory with these attributes? A group of the
    /// pod may open it.
    fn is_closed_to_the_api_server(&self, there: &Attributes) -> bool {
        let is_granted = |shift: u32| there.mode >> shift & 0o3 == 0o3;
        let own = self.owner.uid == there.uid && is_granted(6);
        self.owner.uid != self.facts.owner.uid && self.owner.uid != 0 && !own && !is_granted(3) && !is_granted(0)
    }

    /// Starts the log if a group must be able to read it: rotation gives each new file the mode and the owner of the
    /// previous file.
    fn begin_logs(&mut self, logs: &[String]) {
        let storage = &self.config().storage;
        let is_there = storage.source.is_none() || self.targets.disk.as_ref().is_some_and(|disk| disk.is_right);
        if storage.group.is_none() || !is_there {
            return;
        }
        for path in logs.iter().filter(|path| !self.targets.logs.contains_key(*path)) {
            self.look_at(Step::Storage, path);
            let (path, attributes) = (path.clone(), self.log_attributes.clone());
            self.add(Step::Storage, Change::WriteFile { path, before: None, bytes: Vec::new(), attributes });
        }
    }

    /// Gives the existing log the wanted mode and owner. Rotated logs get them only if a group must be able to read
    /// them; otherwise only their owner can read them.
    fn open_logs(&mut self, logs: &[String], mounting: Mounting) {
        if self.keeps() || mounting.is_new {
            return;
        }
        let has_readers = self.config().storage.group.is_some();
        for (path, before) in &self.targets.logs {
            let after = self.log_attributes.clone();
            let Some(before) = before.as_ref().filter(|before| !after.met_by(before)) else { continue };
            if has_readers || logs.contains(path) {
                self.look_at(Step::Storage, path);
                let (path, before) = (path.clone(), before.clone());
                self.add(Step::Storage, Change::SetAttributes { path, before, after });
            }
        }
    }

    /// Refuses a log that the API server can't write, and warns of one whose directory another user can replace. What the
    /// plan changes counts as changed.
    fn judge_around_logs(&mut self, written: &[Written], mounting: Mounting) {
        let changed = |path: &str| {
            self.plan.changes.iter().find_map(|planned| match &planned.change {
                Change::SetAttributes { path: of, after: attributes, .. }
                | Change::WriteFile { path: of, before: None, attributes, .. }
                | Change::CreateDirectory { path: of, attributes }
                    if of == path =>
                {
                    Some(attributes.clone())
                }
                _ => None,
            })
        };
        let attributes = |path: &str| {
            let there = || self.targets.around_logs.get(path).filter(|(_, has_list)| !has_list);
            changed(path).or_else(|| there().map(|(attributes, _)| attributes.clone()))
        };
        let fault = written.iter().filter(|_| !mounting.is_new).find_map(|log| write_fault(log, attributes));
        let owners = [0, self.owner.uid, self.facts.owner.uid];
        let is_log = |path: &String| written.iter().any(|log| log.host == *path);
        let directories = self.targets.around_logs.iter().filter(|(path, _)| !is_log(path));
        // A disk covers the directory of the log.
        let directories = directories
            .filter(|(path, _)| !mounting.is_new || written.iter().all(|log| parent(&log.host) != *path));
        let others = directories
            .map(|(path, (on, _))| (path, changed(path).unwrap_or_else(|| on.clone())))
            .filter(|(_, on)| !owners.contains(&on.uid) || on.mode & 0o1002 == 0o002);
        let warnings: Vec<_> = others
            .map(|(path, on)| {
                format!(
                    "{path}: the log is below this directory, which has the mode {:04o} and the owner {}:{}, so that \
                     another user can put a link in the place of the log; let only root write to it, or set log.path to \
                     a file elsewhere",
                    on.mode, on.uid, on.gid
                )
            })
            .collect();
        fault.into_iter().for_each(|why| self.plan.refuse(why));
        warnings.into_iter().for_each(|warning| self.warn(warning));
    }

    /// Objects to a log that the API server can't create or open, and to one that its rotation can't rename: then it writes
    /// no event any more as soon as the log has its largest size. `changed`: the plan changes the flags.
    fn judge_rotation(&mut self, logs: &[String], changed: bool, mounting: Mounting) {
        for log in logs.iter().filter(|_| !mounting.is_new) {
            let Some(obstacle) = self.targets.log_obstacles.get(log) else { continue };
            let remedy = obstacle.remedy(log, &self.facts.root);
            let is_there = self.targets.logs.contains_key(log);
            match obstacle {
                // This is told of the whole file system.
                Obstacle::ReadOnly(_) => {}
                Obstacle::Locked { path, lock: Lock::Immutable } if path == log || !is_there => self.plan.refuse(format!(
                    "{log}: the API server does not start, because it can't open its log: {path} is immutable; {remedy}"
                )),
                _ => {
                    let why = match obstacle {
                        Obstacle::Locked { path, lock: Lock::Immutable } => format!("{path} is immutable"),
                        Obstacle::Locked { path, lock: Lock::AppendOnly } => format!("{path} is append-only"),
                        _ => "it is a mount of its own".to_owned(),
                    };
                    let what = format!(
                        "{log}: {why}, so the API server can't rename it for the rotation, and when it has its largest size \
                         (log.maxSize), all events are lost"
                    );
                    let elsewhere = "or set log.path to a file elsewhere";
                    let also = if matches!(obstacle, Obstacle::MountPoint) { ", and mount its directory instead" } else { "" };
                    self.object(changed, what, &format!("{remedy}{also}, {elsewhere}"));
                }
            }
        }
    }

    /// Installs the policy, or checks the existing one if it stays.
    fn install_policy(&mut self, path: &str, policy: &AskedPolicy) -> Result<()> {
        self.look_at(Step::Policy, path);
        let before = self.targets.policies.get(path).cloned().flatten();
        if let Some(before) = before.as_ref().filter(|_| self.keeps_policy(path, policy)) {
            if policy.asked != Asked::Nobody && before.bytes != policy.sources.base.text.as_bytes() {
                let name = &policy.sources.base.name;
                let file = match name.strip_prefix("profile ") {
                    Some(profile) => profile.to_owned(),
                    None => self.facts.shown(name),
                };
                self.warn(format!(
                    "{path}: this policy stays, because of `existing: keep`, and {name} is not installed; to install it, run \
                     apply with --policy {file} once"
                ));
            }
            let text = text_of(&before.bytes).map_err(|error| anyhow::anyhow!("{path}:{error}"))?;
            if let Some(fragment) = policy.sources.fragments.first() {
                self.warn(format!(
                    "{}: the fragments are not used, because existing: keep keeps the policy {path}; add their rules \
                     there, or set existing: replace",
                    fragment.name
                ));
            }
            // The API server runs with what it reads of this policy, and that stays.
            let reading = if self.config().strict { Reading::Strict } else { Reading::AsServed };
            return self.check_policy(&Sources::of(path, text), reading).map(drop);
        }
        if before.is_none() && is_no_place_for_policy(path) {
            bail!(
                "{path}: --audit-policy-file names this file, which does not exist, and apply creates no policy in a place \
                 of the system or of other programs; set --audit-policy-file to another file, such as \
                 /etc/kubernetes/audit-policy.yaml, or remove `existing: keep`"
            );
        }
        refuse_own_source(path, before.as_ref(), policy)?;
        let (text, doubts) = self.check_policy(&policy.sources, Reading::Strict)?;
        if let Some(before) = &before
            && self.stays_for_upgrade(path, &before.bytes)
        {
            self.warn(format!(
                "{path}: another policy is here, and it stays, because kubeadm upgrade may fail; run \
                 kube-audit-bootstrap apply after kubeadm, to replace it"
            ));
            return Ok(());
        }
        // What a run wrote where the settings still name it is the policy, whatever has become of it.
        let is_ours = path == self.config().policy_path && self.targets.written.contains(path);
        if let Some(before) = before.as_ref().filter(|_| !is_ours) {
            check_replaceable(&self.facts.shown(path), path, &before.bytes)?;
        }
        if self.targets.stand_ins.iter().any(|stand_in| stand_in == path) {
            self.warn(format!(
                "{path}: there is an empty directory, which the container runtime made because the policy was missing; \
                 apply removes it, and writes the policy"
            ));
        }
        let attributes = Attributes::new(0o600, self.owner.uid, self.owner.gid);
        let path = path.to_owned();
        match before {
            Some(before) if before.bytes == text.as_bytes() => {
                let before = before.attributes;
                if !attributes.met_by(&before) {
                    self.add(Step::Policy, Change::SetAttributes { path, before, after: attributes });
                }
            }
            before => {
                if before.is_some() && !self.targets.unchanged.contains(&path) {
                    let stays = if self.keeps() { "" } else { " (with --existing keep, it stays)" };
                    self.warn(format!(
                        "{path}: another policy is here; apply replaces it, and keeps a copy in the backup{stays}"
                    ));
                }
                self.tell_doubts(policy, doubts);
                let bytes = text.into_bytes();
                self.add(Step::Policy, Change::WriteFile { path, before, bytes, attributes });
            }
        }
        Ok(())
    }

    /// Does an existing policy stay? One that the user names does replace it, and so does one of the configuration, if the
    /// existing policy is this program's.
    fn keeps_policy(&self, path: &str, policy: &AskedPolicy) -> bool {
        self.keeps()
            && match policy.asked {
                Asked::Nobody => true,
                Asked::Configuration => !self.targets.written.contains(path),
                Asked::CommandLine => false,
            }
    }

    /// Does a policy stay before `kubeadm upgrade`? The API server may read it whether kubeadm fails or not, and it is not
    /// this program's.
    fn stays_for_upgrade(&self, path: &str, bytes: &[u8]) -> bool {
        let is_read = self.intent.occasion == Occasion::Upgrade && self.facts.manifest.is_some();
        let version = self.plan.version;
        let starts = |text: &str| check(text, version).iter().all(|finding| finding.severity != Severity::Error);
        is_read && !self.targets.written.contains(path) && text_of(bytes).is_ok_and(starts)
    }

    /// Puts the policy together. An error in it ends the run, and what the API server reads in another way than it is
    /// written is told. Returns the text, and what `policy check` warns of.
    fn check_policy(&mut self, policy: &Sources, reading: Reading) -> Result<(String, Doubts)> {
        // What starts is the API server of the files, whatever the configuration says.
        let versions = [Some(self.plan.version), self.other_version.map(Some)];
        let is_composed = !policy.fragments.is_empty();
        let composed: Vec<_> =
            versions.into_iter().flatten().map(|version| policy.compose(version, reading)).collect();
        let (mut text, mut faults, mut misread) = (String::new(), Vec::new(), Vec::new());
        let (mut doubts, mut unused) = (Vec::new(), Vec::new());
        for one in composed {
            let checked = match one {
                Ok(composed) => {
                    text = composed.text;
                    composed.checked
                }
                Err(checked) => checked,
            };
            for (of, finding) in checked.iter().flat_map(|one| one.findings.iter().map(move |found| (one, found)))
            {
                let lines = match (finding.severity, finding.id.kind().severity) {
                    (Severity::Error, _) => &mut faults,
                    (Severity::Warning, Severity::Error) => &mut misread,
                    (Severity::Warning, Severity::Warning) if is_composed && finding.id == Id::NeverUsed => {
                        &mut unused
                    }
                    (Severity::Warning, Severity::Warning) => &mut doubts,
                };
                lines.push(of.line(finding));
            }
        }
        // Both versions may find the same, and a large policy has many findings.
        let [faults, misread, doubts] = [faults, misread, doubts].map(|lines| {
            let mut known = BTreeSet::new();
            lines.into_iter().filter(|line| known.insert(line.clone())).collect::<Vec<_>>()
        });
        if !faults.is_empty() {
            bail!("{}", faults.join("\n"));
        }
        for line in policy.left_alone.iter().chain(&misread) {
            if !self.plan.warnings.contains(line) {
                self.warn(line.clone());
            }
        }
        Ok((text, Doubts { unused, others: doubts.len() }))
    }

    /// Tells what the fragments and the base hide of each other, and how many other warnings `policy check` has about the
    /// policy that is written. Says it once, wherever it is written.
    fn tell_doubts(&mut self, policy: &AskedPolicy, Doubts { unused, others: count }: Doubts) {
        for line in unused {
            if !self.plan.warnings.contains(&line) {
                self.warn(line);
            }
        }
        if count == 0 {
            return;
        }
        let name = &policy.sources.base.name;
        let (what, command) = match policy.asked {
            _ if !policy.sources.fragments.is_empty() => {
                (&self.config().policy_path, format!("{} policy check", program(&self.facts.root)))
            }
            Asked::CommandLine => (name, format!("kube-audit-bootstrap policy check {name}")),
            _ => (name, format!("kube-audit-bootstrap policy check {}", self.facts.shown(name))),
        };
        let (warnings, them) = if count == 1 { ("warning", "it") } else { ("warnings", "them") };
        let line =
            format!("{what}: policy check has {count} {warnings} about this policy; to see {them}, run {command}");
        if !self.plan.warnings.contains(&line) {
            self.warn(line);
        }
    }

    /// Replaces a file's text if it differs. The owner and the mode stay.
    fn edit(&mut self, step: Step, file: WiredFile) {
        let is_edited = file.is_edited();
        let WiredFile { before: text, after: wired, .. } = file;
        self.look_at(step, &text.path);
        self.plan.warnings.extend(wired.notes.iter().map(|note| format!("{}:{note}", text.path)));
        if is_edited {
            let attributes = text.snapshot.attributes.clone();
            let bytes = wired.text.into_bytes();
            self.add(step, Change::WriteFile { path: text.path, before: Some(text.snapshot), bytes, attributes });
        }
    }

    /// Plans the edit of the cluster's kubeadm configuration. `Err`: why it is not known. `None`: the plan does not
    /// need it.
    fn edit_cluster(&mut self, cluster: Option<Result<WiredCluster, String>>) {
        match cluster {
            None if self.plan.role == Role::ControlPlane && self.config().cluster && !self.facts.live => {
                self.plan.unknown = Some("it is in the cluster, and --root asks none".to_owned());
            }
            None => {}
            Some(Ok(WiredCluster { before, after: wired })) => {
                self.look_at(Step::Kubeadm, KUBEADM_CONFIG);
                self.plan.warnings.extend(wired.notes.iter().map(|note| format!("{KUBEADM_CONFIG}:{note}")));
                if wired.text != before {
                    self.warn(format!(
                        "{KUBEADM_CONFIG}: other control planes take their flags from it at their next upgrade, and \
                         new ones when they join; run kube-audit-bootstrap apply on each of them before that, for the \
                         policy and the log directory"
                    ));
                    self.add(Step::Kubeadm, Change::WriteCluster { before, after: wired.text });
                }
            }
            // It was read, so only a person can help.
            Some(Err(why)) if matches!(self.facts.cluster, Some(Ok(_))) => {
                self.plan.cluster_fault =
                    Some(format!("{why}; correct it there, with {EDIT_CLUSTER}, then run apply again"));
            }
            Some(Err(why)) => self.plan.unknown = Some(why),
        }
    }

    /// `own`: the manifest that stays.
    fn move_strays(&mut self, strays: Vec<Text>, own: Option<&WiredFile>) {
        for text in strays {
            self.tell_of_other_settings(&text, own);
            let what = "this file defines another API server, which the kubelet may run instead";
            if self.before_kubeadm {
                self.warn(format!(
                    "{}: {what}; run kube-audit-bootstrap apply after kubeadm, to move it to the backup",
                    text.path
                ));
                continue;
            }
            self.warn(format!("{}: {what}; apply moves it to the backup", text.path));
            self.look_at(Step::Strays, &text.path);
            self.add(Step::Strays, Change::MoveAway { path: text.path, before: text.snapshot });
        }
    }

    /// Says which audit settings of a stray do not come into the manifest. The kubelet may have run the stray until now.
    fn tell_of_other_settings(&mut self, stray: &Text, own: Option<&WiredFile>) {
        let (Some(own), Ok(its)) = (own, read_auditing(&stray.text)) else { return };
        let others: Vec<_> = ["audit-policy-file", "audit-log-path"]
            .into_iter()
            .filter_map(|name| Some((name, its.flags.get(name)?)))
            .filter(|(name, value)| own.after.flags.get(*name) != Some(*value))
            .map(|(name, value)| format!("--{name}={value}"))
            .collect();
        if !others.is_empty() {
            self.warn(format!(
                "{}: this file has other audit settings ({}), and the API server of {own} does not get them; to keep them, \
                 put them and their mounts into {own}, and set existing: keep",
                stray.path,
                others.join(", "),
                own = own.before.path
            ));
        }
    }

    /// Edits the manifest. If nothing in it differs, but the API server does not have what the files say, changes the
    /// mark, so that the kubelet restarts it.
    fn edit_manifest(&mut self, mut file: WiredFile, mounting: Mounting) {
        let is_edited = file.is_edited();
        // A policy that is not on the host is not this program's.
        let path = file.after.policy.clone().unwrap_or_default();
        let (policy, is_written) = self.policy_after(&path);
        let is_marked = policy.as_ref().and_then(|policy| mark::has_policy(&file.before.text, policy));
        let facts = self.facts;
        let webhook = read_auditing(&file.after.text).ok().and_then(|auditing| auditing.webhook);
        let webhook = match webhook.and_then(|path| facts.files.get(&path)) {
            Some(Seen::File(seen)) => Some(seen.snapshot.bytes.as_slice()),
            _ => None,
        };
        let contents = Contents { policy: policy.as_deref().unwrap_or_default(), webhook };
        if is_edited {
            self.tell_of_replaced(&file);
            self.tell_of_lost_log();
            // The edit restarts the API server, so a manifest that takes no mark needs none now.
            if policy.is_some()
                && !mark::is_marked(&file.before.text, &contents)
                && let Ok(marked) = mark::mark(&file.after.text, &contents)
            {
                file.after.text = marked;
            }
        } else if self.needs_restart(&file.before.text, (&path, policy.as_deref()), is_written, is_marked)
            || mounting.needs_restart
        {
            match mark::mark(&file.before.text, &contents) {
                Ok(marked) => file.after.text = marked,
                Err(refusal) => {
                    self.plan.by_hand = true;
                    let how = match self.facts.live {
                        true => "; restart it by hand, with crictl stop $(crictl ps -q --name kube-apiserver)",
                        false => "",
                    };
                    self.warn(format!(
                        "{}:{refusal}; the API server reads its policy, opens its log, and sees a new mount, only when \
                         it starts{how}",
                        file.before.path
                    ));
                }
            }
        }
        self.tell_of_neighbours(&file.after.text);
        self.edit(Step::Manifest, file);
        let is_known = self.facts.cluster.is_some() && self.plan.unknown.is_none();
        let fault = self.plan.cluster_fault.as_ref();
        if fault.is_some() || is_edited && !is_known && self.config().cluster {
            let why = fault.or(self.plan.unknown.as_ref()).map(|why| format!(" ({why})")).unwrap_or_default();
            let advice = match fault.is_some() {
                true => String::new(),
                false => format!(
                    "; run kube-audit-bootstrap apply again when the API server answers and kubectl and {ADMIN_CONF} are \
                     there"
                ),
            };
            self.warn(format!(
                "{KUBEADM_CONFIG}: not edited{why}, so the settings that apply adds to the manifest may not outlive the next \
                 kubeadm upgrade{advice}"
            ));
        }
    }

    /// Says which policy and which log of before an edit puts out of use.
    fn tell_of_replaced(&mut self, file: &WiredFile) {
        let Replaced { policy, log } = &file.after.replaced;
        let mut parts = Vec::new();
        if let Some((old, new)) = policy {
            parts.push(format!("{new} replaces its policy {old}, which stays there, but is no longer read"));
        }
        if let Some((old, new)) = log {
            let readers = match self.facts.readers.as_slice() {
                [] => "a log shipper".to_owned(),
                readers => readers.join(", "),
            };
            let name = |path: &str| if path == "-" { "standard output".to_owned() } else { path.to_owned() };
            let (old, new) = (name(old), name(new));
            parts.push(format!(
                "its log goes to {new} and no longer to {old}: let what reads {old} ({readers}) read {new}"
            ));
        }
        if !parts.is_empty() {
            self.plan.replaced.push(file.before.path.clone());
            self.warn(format!(
                "{}: this file has other audit settings already: {}; to keep them, set existing: keep in the \
                 configuration, or use --existing keep",
                file.before.path,
                parts.join("; ")
            ));
        }
    }

    /// Says that the API server that is about to be restarted writes to a deleted log.
    fn tell_of_lost_log(&mut self) {
        let Some(running) = &self.facts.running else { return };
        let log = running.holding.as_ref().and_then(|holding| Some(&holding.log.as_ref()?.path));
        let reasons = judge(running, "", &|_| None).reasons.into_iter();
        self.plan.warnings.extend(reasons.filter(|reason| Some(&reason.path) == log).map(|reason| reason.text));
    }

    /// Says what another API server of this node has of the same policy and log. The program restarts only its own.
    fn tell_of_neighbours(&mut self, manifest: &str) {
        let own = read_auditing(manifest).unwrap_or_default();
        let facts = self.facts;
        for Neighbour { manifest, running } in &facts.neighbours {
            let (path, its) = (&manifest.path, read_auditing(&manifest.text).unwrap_or_default());
            if let Some(log) = its.log.filter(|log| Some(log) == own.log.as_ref()) {
                self.warn(format!(
                    "{path}: the API server of this file writes the same log, {log}, so each of the two rotates and removes \
                     files of the other; name another file in its --audit-log-path"
                ));
            }
            let after = |path: &str| self.policy_after(path).0;
            let found = running.as_ref().map(|running| judge(running, &manifest.text, &after));
            let reasons = found.map(|found| found.reasons).unwrap_or_default();
            let about_policy = reasons.into_iter().filter(|reason| Some(&reason.path) == own.policy.as_ref());
            for reason in about_policy.collect::<Vec<_>>() {
                self.warn(format!(
                    "{}; this is the API server of {path}, which this program does not restart: set an annotation of its \
                     pod there to another value, and the kubelet does",
                    reason.text
                ));
            }
        }
    }

    /// Must the API server be restarted, so that it has what the files say? `is_written`: the plan writes the policy.
    fn needs_restart(
        &mut self,
        manifest: &str,
        (path, policy): (&str, Option<&[u8]>),
        is_written: bool,
        is_marked: Option<bool>,
    ) -> bool {
        let judged = |policy: Option<&[u8]>| {
            let content = |_: &str| policy.map(<[u8]>::to_vec);
            self.facts.running.as_ref().map(|running| judge(running, manifest, &content)).unwrap_or_default()
        };
        let there = self.targets.policies.get(path).and_then(Option::as_ref).map(|there| there.bytes.as_slice());
        let (after, now) = (judged(policy), judged(there.or(policy)));
        (self.plan.in_force, self.plan.in_force_now) = (after, now);
        // That a policy is replaced is told already.
        let reasons = self.plan.in_force.reasons.iter().filter(|reason| !(is_written && reason.path == path));
        let reasons: Vec<_> = reasons.map(|reason| reason.text.clone()).collect();
        reasons.into_iter().for_each(|reason| self.warn(reason));
        match self.plan.in_force.state {
            State::Ok => false,
            State::Differs => true,
            // The API server that starts next may read the policy before it is written.
            State::Pending => is_written,
            State::Starting | State::Silent | State::Unknown => {
                is_written || is_marked.map_or_else(|| self.is_half_done(path), |is_marked| !is_marked)
            }
        }
    }

    /// Did an interrupted run change this file? Without a mark, nobody knows whether the API server has it.
    fn is_half_done(&self, path: &str) -> bool {
        self.facts.unfinished.iter().any(|changed| changed == path)
    }

    /// The policy at a path after the run, and whether the run writes it.
    fn policy_after(&self, path: &str) -> (Option<Vec<u8>>, bool) {
        let written = self.plan.changes.iter().find_map(|planned| match &planned.change {
            Change::WriteFile { path: of, bytes, .. } if of == path => Some(bytes.clone()),
            _ => None,
        });
        let is_written = written.is_some();
        let there = || self.targets.policies.get(path)?.as_ref().map(|there| there.bytes.clone());
        (written.or_else(there), is_written)
    }
}

/// How a person edits the cluster's kubeadm configuration.
const EDIT_CLUSTER: &str = "kubectl -n kube-system edit configmap kubeadm-config";

/// # Errors
///
/// A source of the policy is the file that the policy is written to, so that each run would add the fragments once more (a
/// [`Misuse`]).
fn refuse_own_source(path: &str, there: Option<&Snapshot>, policy: &AskedPolicy) -> Result<()> {
    if policy.sources.fragments.is_empty() {
        return Ok(());
    }
    let own = policy.files.iter().find(|(_, identity)| there.is_some_and(|there| there.identity == *identity));
    let Some((name, _)) = own else { return Ok(()) };
    let advice = match *name == policy.sources.base.name {
        true => "copy it to another file, and name that in policy.source, or with --policy",
        false => "put a copy of it in its place, or remove it",
    };
    Err(Misuse(format!(
        "{name}: this is also the file {path}, to which apply writes the policy with all fragments, so each run would add \
         their rules once more; {advice}"
    ))
    .into())
}

/// A broken policy can be replaced; a key, a certificate or a program cannot.
///
/// # Errors
///
/// The file is not a policy.
fn check_replaceable(typed: &str, path: &str, bytes: &[u8]) -> Result<()> {
    let text = lossy(bytes);
    let kind = kind_of(bytes).filter(|kind| kind != "Policy");
    let what =
        kind.as_ref().map_or("not an audit policy".to_owned(), |kind| format!("a {kind}, not an audit policy"));
    match kind {
        None if text.contains("Policy") || says_nothing(bytes) => Ok(()),
        Some(_) if !text.contains("audit.k8s.io") => {
            bail!("{path}: this is {what}; set policy.path to another file")
        }
        // A certificate, or a key.
        None if text.contains("-----BEGIN") => bail!("{path}: this is {what}; set policy.path to another file"),
        _ => bail!(
            "{path}: this is {what}, and may be somebody's file; if nobody needs it, move it away (mv {typed} \
             {typed}.old), and run apply again; otherwise set policy.path to another file"
        ),
    }
}

/// The `kind` of a file, if it is a YAML document that has one.
fn kind_of(bytes: &[u8]) -> Option<String> {
    let documents = crate::yaml::parse(text_of(bytes).ok()?).ok()?;
    Some(documents.first()?.root.get("kind")?.scalar()?.to_owned())
}

/// Does a file have only blanks and comments?
fn says_nothing(bytes: &[u8]) -> bool {
    lossy(bytes).lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

/// What is wrong with a link on the way to a file that the API server opens.
pub fn misleading(path: &str, link: &str) -> String {
    format!(
        "{path}: {link} is a symbolic link, which the API server's container resolves in itself, where it leads to \
         another file, or to none"
    )
}

#[cfg(test)]
mod tests {
    use super::super::FollowUp;
    use super::super::testing::{
        actions, audited, config, directory, disk_state, facts, intent, planned, planned_for, snapshot, wired,
    };
    use super::*;
    use crate::audit::policy;
    use crate::audit::policy::compose::Source;
    use crate::config::Config;
    use crate::facts::file::FileIdentity;
    use crate::facts::in_force::{Found, HeldFile, Holding, Running, Stamped};
    use crate::facts::{DiskState, Unit};
    use crate::storage::blank::Content;

    /// The program restarts only the API server of its own manifest.
    #[test]
    fn an_api_server_beside_is_told_what_it_does_not_have() {
        let config = config("");
        let (mut facts, targets) = audited(&config);
        let own = facts.manifest.clone().unwrap();
        let audited = read_auditing(&own.text).unwrap();
        let (policy, log) = (audited.policy.unwrap(), audited.log.unwrap());
        let there = targets.policies[&policy].as_ref().unwrap().bytes.clone();
        let at = |seconds| std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let (told, one_log) =
            ("this is the API server of /m/b.yaml", "/m/b.yaml: the API server of this file writes");
        for (its_log, held, expected) in [
            (log.as_str(), None, [false, true]),
            (&log, Some(there.as_slice()), [false, true]),
            (&log, Some(b"previous"), [true, true]),
            ("/var/log/b.log", Some(b"previous"), [true, false]),
        ] {
            let held =
                held.map(|held| Stamped { bytes: held.to_vec(), written: at(1), touched: at(1), around: at(1) });
            let running = held.map(|held| {
                let (held, there) = (Found::This(held), Found::This(there.clone()));
                let files = vec![HeldFile { path: policy.clone(), held, there }];
                Running {
                    pid: 8,
                    started: at(5),
                    now: at(900),
                    manifest_written: at(1),
                    restarts: Some(0),
                    kubelet_started: None,
                    is_unproved: false,
                    holding: Some(Holding { files, log: None }),
                }
            });
            let manifest = Text {
                path: "/m/b.yaml".to_owned(),
                text: own.text.replace(&log, its_log).replace("name: kube-apiserver", "name: b"),
                ..own.clone()
            };
            facts.neighbours = vec![Neighbour { manifest, running }];
            let plan = planned(&config, &facts, &targets);
            let found = [told, one_log].map(|words| plan.warnings.iter().any(|warning| warning.contains(words)));
            assert_eq!(found, expected, "{its_log}: {:?}", plan.warnings);
            assert!(plan.is_empty(), "{:?}", plan.changes);
        }
    }

    #[test]
    fn what_a_node_needs_depends_on_the_occasion() {
        let wanted = config("storage: {device: /dev/disk/by-id/x, format: ext4}");
        let targets = || {
            let state = DiskState { content: Some(Content::Blank), ..disk_state() };
            Targets { disk: Some(state), ..Targets::default() }
        };
        let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: kube-apiserver\n    image: a\n    \
                        command: [kube-apiserver]\n";
        for (occasion, manifest, role, does) in [
            (Occasion::Any, None, Role::Image, "create-directory format mount create-file"),
            // The node can still become a worker.
            (Occasion::Boot, None, Role::Image, "create-directory create-file"),
            (
                Occasion::Boot,
                Some(manifest),
                Role::ControlPlane,
                "create-directory format mount create-file edit-file",
            ),
            (Occasion::Init, None, Role::FirstBoot, "create-directory format mount create-file"),
            // A mistake of the caller: kubeadm does not start either.
            (Occasion::Init, Some(manifest), Role::ControlPlane, "create-directory create-file"),
            (Occasion::Join, None, Role::Joining, "create-directory format mount create-file"),
            // kubeadm writes a new manifest.
            (Occasion::Upgrade, Some(manifest), Role::ControlPlane, "create-directory create-file"),
        ] {
            let config = Config { kubeadm_configs: Some(Vec::new()), ..wanted.clone() };
            let intent = Intent { occasion, ..intent(&config) };
            let plan = planned_for(&intent, &facts(manifest), &targets()).unwrap();
            assert_eq!((plan.role, actions(&plan).as_str()), (role, does), "{occasion:?}");
            // Logs follow a mount, and nothing else here.
            assert_eq!(plan.follow_up.is_some(), does.contains("mount"), "{occasion:?}");
        }
    }

    #[test]
    fn a_policy_of_somebody_else_stays_until_kubeadm_has_ended() {
        let config = config("");
        let (facts, mut targets) = audited(&config);
        let others = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: RequestResponse\n";
        for (occasion, text, is_written, stays) in [
            (Occasion::Upgrade, others, false, true),
            // The API server would not start with it.
            (Occasion::Upgrade, "apiVersion: audit.k8s.io/v1\nkind: Policy\n", false, false),
            (Occasion::Upgrade, others, true, false),
            (Occasion::Any, others, false, false),
        ] {
            targets.policies.insert(config.policy_path.clone(), Some(snapshot(text)));
            targets.written = is_written.then(|| config.policy_path.clone()).into_iter().collect();
            let plan = planned_for(&Intent { occasion, ..intent(&config) }, &facts, &targets).unwrap();
            let writes = plan.changes.iter().any(|planned| planned.step == Step::Policy);
            let is_told = warns(&plan, "it stays, because kubeadm upgrade may fail");
            assert_eq!((!writes, is_told), (stays, stays), "{occasion:?} {text}: {:?}", plan.warnings);
        }
    }

    #[test]
    fn what_is_odd_about_the_clusters_own_configuration_is_told_with_its_name() {
        let config = config("existing: keep");
        let (mut facts, targets) = audited(&config);
        let warnings = |facts: &Facts| planned(&config, facts, &targets).warnings;
        let mounted = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\napiServer:\n  extraVolumes:\n  - name: log\n    \
                       hostPath: /var/log/kubernetes/audit/audit.log\n    mountPath: /var/log/kubernetes/audit/audit.log\n";
        facts.cluster = Some(Ok(mounted.to_owned()));
        let found = warnings(&facts);
        let note = "kube-system/configmaps/kubeadm-config:5:5: the log file itself is mounted, which makes its rotation fail; mount its directory";
        assert!(found.iter().any(|warning| warning == note), "{found:?}");
    }

    #[test]
    fn with_keep_the_clusters_own_configuration_gets_what_the_manifest_keeps() {
        let config = config("existing: keep");
        let (mut facts, targets) = audited(&config);
        let text = &mut facts.manifest.as_mut().unwrap().text;
        *text = text.replace("--audit-log-maxage=30", "--audit-log-maxage=7");
        assert!(text.contains("maxage=7"), "{text}");
        let cluster = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";
        facts.cluster = Some(Ok(cluster.to_owned()));
        let plan = planned(&config, &facts, &targets);
        let after = plan.changes.iter().find_map(|planned| match &planned.change {
            Change::WriteCluster { after, .. } => Some(after.as_str()),
            _ => None,
        });
        assert!(after.unwrap().contains("- name: audit-log-maxage\n    value: \"7\"\n"), "{after:?}");
        facts.cluster = Some(Ok(after.unwrap().replace("\"7\"", "\"9\"")));
        let plan = planned(&config, &facts, &targets);
        let told = "kubeadm-config: these audit settings are not those of ";
        assert!(warns(&plan, told) && warns(&plan, "--audit-log-maxage=9 instead of 7"), "{:?}", plan.warnings);
    }

    #[test]
    fn a_stray_is_said_to_go_only_where_it_goes() {
        let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver}\nspec:\n  containers:\n  - name: kube-apiserver\n    image: a\n    \
                        command: [kube-apiserver]\n";
        for (occasion, does, says) in [
            (Occasion::Any, "create-directory create-file move-away edit-file", "apply moves it to the backup"),
            (Occasion::Upgrade, "create-directory create-file", "run kube-audit-bootstrap apply after kubeadm"),
        ] {
            let mut facts = facts(Some(manifest));
            let stray = facts.manifest.clone().unwrap();
            facts.beside.push(Text { path: "/etc/kubernetes/manifests/backup".to_owned(), ..stray });
            let config = Config { kubeadm_configs: Some(Vec::new()), ..Config::default() };
            let plan = planned_for(&Intent { occasion, ..intent(&config) }, &facts, &Targets::default()).unwrap();
            assert_eq!(actions(&plan), does, "{occasion:?}");
            let told: Vec<_> = plan.warnings.iter().filter(|line| line.contains("another API server")).collect();
            assert!(told.len() == 1 && told[0].contains(says), "{occasion:?}: {:?}", plan.warnings);
        }
    }

    /// A manifest without audit flags.
    const BARE: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver, namespace: kube-system}\nspec:\n  containers:\n  - name: \
                        kube-apiserver\n    command:\n    - kube-apiserver\n    image: registry.k8s.io/kube-apiserver:v1.31.4\n";
    const LOGS: &str = "/var/log/kubernetes/audit";

    fn warns(plan: &Plan, words: &str) -> bool {
        plan.warnings.iter().any(|line| line.contains(words))
    }

    #[test]
    fn what_nodes_and_parts_of_the_job_are_called() {
        use Role::{ControlPlane, FirstBoot, Image, Joining, Worker};
        for (role, name, description) in [
            (Image, "image", "an image, or a node that kubeadm hasn't touched yet"),
            (FirstBoot, "first-boot", "a first boot, before kubeadm init"),
            (ControlPlane, "control-plane", "a control plane"),
            (Joining, "joining-control-plane", "a control plane about to join"),
            (Worker, "worker", "a worker"),
        ] {
            assert_eq!((role.name(), role.description()), (name, description));
        }
        assert_eq!(Step::ALL.map(Step::name), ["storage", "policy", "kubeadm", "strays", "manifest"]);
    }

    #[test]
    fn files_belong_to_whom_the_api_server_runs_as_or_to_who_runs_this() {
        let run_as = format!("{BARE}  securityContext: {{runAsUser: 65, runAsGroup: 66}}\n");
        for (manifest, owner, expected, is_told) in [
            (BARE, (0, 0), (0, 0), false),
            (BARE, (1000, 1001), (1000, 1001), true),
            (&run_as, (1000, 1001), (65, 66), false),
            (&run_as, (0, 0), (65, 66), false),
        ] {
            let owner = Owner { uid: owner.0, gid: owner.1 };
            let plan = planned(&config(""), &Facts { owner, ..facts(Some(manifest)) }, &Targets::default());
            let Change::CreateDirectory { attributes, .. } = &plan.changes[0].change else { panic!("{plan:?}") };
            assert_eq!((attributes.uid, attributes.gid), expected);
            assert_eq!(warns(&plan, "not run as root: new files and directories belong to 1000:1001"), is_told);
            assert_eq!(warns(&plan, "not run as root"), is_told);
        }
    }

    #[test]
    fn a_directory_that_others_use_stays_open_and_the_first_of_them_is_named() {
        let (facts, mut targets) = audited(&config(""));
        for (names, does, told) in [
            (vec!["audit.log", "notes"], "", Some("more than the audit log in it (\"notes\")")),
            (vec!["audit.log", "audit-2026-11-26T12-00-00.000.log"], "set-attributes", None),
        ] {
            targets.directories.insert(LOGS.to_owned(), Some(directory(0o755, 0, &names)));
            let plan = planned(&config(""), &facts, &targets);
            assert_eq!((actions(&plan).as_str(), warns(&plan, "more than the audit log")), (does, told.is_some()));
            assert!(warns(&plan, told.unwrap_or_default()) || told.is_none(), "{:?}", plan.warnings);
            assert_eq!(actions(&planned(&config("existing: keep"), &facts, &targets)), "");
        }
    }

    #[test]
    fn a_missing_directory_of_others_is_not_made_for_the_log_alone() {
        for (path, mode) in [("/var/log", 0o755), ("/var/log/kube", 0o700)] {
            let flags = format!(
                "    - --audit-policy-file=/p\n    - --audit-log-path={path}/a.log\n    volumeMounts: [{{name: l, mountPath: {path}}}]\n"
            );
            let manifest = BARE.replace("    image:", &format!("{flags}    image:"));
            let manifest = format!("{manifest}  volumes: [{{name: l, hostPath: {{path: {path}}}}}]\n");
            let plan = planned(&config("existing: keep"), &facts(Some(&manifest)), &Targets::default());
            let Change::CreateDirectory { attributes, .. } = &plan.changes[0].change else { panic!("{plan:?}") };
            assert_eq!(attributes.mode, mode, "{path}");
        }
    }

    #[test]
    fn a_kubelet_configuration_that_does_not_count_is_a_warning_of_the_plan() {
        for (lines, times) in [("", 1), ("manifest: {path: /etc/pods/a.yaml}", 0)] {
            let mut facts = facts(None);
            facts.kubelet.fault = Some("/var/lib/kubelet/config.yaml:2:1: why".to_owned());
            let plan = planned(&config(lines), &facts, &Targets::default());
            let start = "/var/lib/kubelet/config.yaml:2:1: why; using ";
            let told = plan.warnings.iter().filter(|line| line.starts_with(start)).count();
            assert_eq!(told, times, "{lines}: {:?}", plan.warnings);
        }
    }

    #[test]
    fn a_link_that_leads_the_container_elsewhere_is_refused() {
        for (lines, advice) in
            [("", "name the path that it leads to"), ("existing: keep", "mount the directory that it leads to")]
        {
            let (facts, mut targets) = audited(&config(""));
            targets.elsewhere.push(("/etc/kubernetes/audit-policy.yaml".to_owned(), "/etc/link".to_owned()));
            let plan = planned(&config(lines), &facts, &targets);
            let refusal = plan.refusal.unwrap_or_default();
            assert!(refusal.contains("/etc/link is a symbolic link") && refusal.contains(advice), "{refusal}");
        }
    }

    #[test]
    fn a_log_that_the_api_server_cannot_write_is_refused() {
        let (log, above) = ("/var/log/kubernetes/audit/audit.log", "/var/log/kubernetes/audit");
        let user = "    securityContext: {runAsUser: 1234}\n    command:";
        let dropped = "    securityContext: {capabilities: {drop: [ALL]}}\n    command:";
        for (security, lines, directory, file, fault) in [
            ("    command:", "existing: keep", (0o700, 0), Some((0o600, 7)), ""),
            (user, "existing: keep", (0o700, 0), None, "audit has the mode 0700 and the owner 0:0"),
            (user, "existing: keep", (0o755, 0), None, "audit has the mode 0755 and the owner 0:0"),
            (user, "existing: keep", (0o700, 1234), None, ""),
            (user, "existing: keep", (0o755, 0), Some((0o600, 0)), "audit.log has the mode 0600"),
            (user, "existing: keep", (0o755, 0), Some((0o600, 1234)), ""),
            (user, "existing: keep", (0o700, 0), Some((0o600, 1234)), "audit has the mode 0700"),
            (dropped, "existing: keep", (0o755, 1000), None, "audit has the mode 0755 and the owner 1000:0"),
            (dropped, "existing: keep", (0o755, 0), None, ""),
            // apply gives it to the API server's user.
            (user, "", (0o700, 0), Some((0o600, 0)), ""),
        ] {
            let (mut facts, mut targets) = audited(&config(""));
            let manifest = facts.manifest.as_mut().unwrap();
            manifest.text = manifest.text.replacen("    command:", security, 1);
            let of = |(mode, uid)| Attributes::new(mode, uid, 0);
            if let Some(Some(there)) = targets.directories.get_mut(above) {
                there.attributes = of(directory);
            }
            targets.around_logs.insert(above.to_owned(), (of(directory), false));
            if let Some(file) = file {
                targets.around_logs.insert(log.to_owned(), (of(file), false));
                targets.logs.insert(log.to_owned(), Some(of(file)));
            }
            let refusal = planned(&config(lines), &facts, &targets).refusal.unwrap_or_default();
            let told = refusal.lines().find(|line| line.contains("can't write")).unwrap_or_default();
            assert_eq!(told.is_empty(), fault.is_empty(), "{security} {lines} {directory:?} {file:?}: {refusal}");
            assert!(told.contains(fault), "{fault}: {told}");
        }
    }

    #[test]
    fn a_directory_above_the_log_that_another_user_can_change_is_told() {
        for (mode, uid, is_told) in
            [(0o755, 0, false), (0o755, 1000, true), (0o777, 0, true), (0o1777, 0, false), (0o775, 0, false)]
        {
            let (facts, mut targets) = audited(&config(""));
            targets.around_logs.insert("/data".to_owned(), (Attributes::new(mode, uid, 0), false));
            let plan = planned(&config(""), &facts, &targets);
            assert_eq!(warns(&plan, "/data: the log is below this directory"), is_told, "{mode:o} {uid}");
        }
    }

    #[test]
    fn the_directory_of_the_log_counts_as_the_plan_leaves_it() {
        let above = "/var/log/kubernetes/audit";
        for (names, is_told) in [(vec!["audit.log"], false), (vec!["audit.log", "other"], true)] {
            let (facts, mut targets) = audited(&config(""));
            let there = Attributes::new(0o777, 0, 0);
            targets.around_logs.insert(above.to_owned(), (there.clone(), false));
            let names = names.into_iter().map(str::to_owned).collect();
            let seen = crate::facts::Directory { attributes: there, names, leads_to: None };
            targets.directories.insert(above.to_owned(), Some(seen));
            let plan = planned(&config(""), &facts, &targets);
            assert_eq!(warns(&plan, "another user can put a link"), is_told, "{:?}", plan.warnings);
        }
    }

    #[test]
    fn a_log_that_cannot_be_renamed_or_opened_is_told() {
        let (log, above) = ("/var/log/kubernetes/audit/audit.log", "/var/log/kubernetes/audit");
        let locked = |path: &str, lock| Obstacle::Locked { path: path.to_owned(), lock };
        let no_start = "does not start, because it can't open its log";
        for (obstacle, is_there, new, running) in [
            (Obstacle::MountPoint, true, "umount /var/log/kubernetes/audit/audit.log", "is a mount of its own"),
            (
                locked(log, Lock::AppendOnly),
                true,
                "chattr -a /var/log/kubernetes/audit/audit.log",
                "all events are lost",
            ),
            (locked(above, Lock::AppendOnly), false, "/audit is append-only", "all events are lost"),
            (locked(above, Lock::Immutable), true, "/audit is immutable", "all events are lost"),
            (Obstacle::ReadOnly("/var".to_owned()), true, "", ""),
            (locked(log, Lock::Immutable), true, no_start, no_start),
            (locked(above, Lock::Immutable), false, no_start, no_start),
        ] {
            let seen = |targets: Targets| {
                let mut targets = targets;
                targets.log_obstacles.insert(log.to_owned(), obstacle.clone());
                targets.logs.clear();
                if is_there {
                    targets.logs.insert(log.to_owned(), Some(Attributes::new(0o600, 0, 0)));
                }
                targets
            };
            // An API server that gets its flags now must not lose its events; one that has them is not stopped.
            let plan = planned(&config(""), &facts(Some(BARE)), &seen(Targets::default()));
            let told = plan.refusal.or(plan.objection).unwrap_or_default();
            assert!(told.contains(new) && told.is_empty() == new.is_empty(), "{obstacle:?}: {told}");
            let (facts, targets) = audited(&config(""));
            let plan = planned(&config(""), &facts, &seen(targets));
            let refusal = plan.refusal.clone().unwrap_or_default();
            assert_eq!(refusal.is_empty(), running != no_start, "{obstacle:?}: {refusal}");
            assert!(warns(&plan, running) || refusal.contains(running), "{obstacle:?}: {:?}", plan.warnings);
        }
    }

    #[test]
    fn a_log_of_an_image_among_files_that_are_cleared_is_refused() {
        for (lines, is_refused) in [("", true), ("storage: {require: any}", false)] {
            let targets = Targets { is_log_cleared: true, ..Targets::default() };
            let plan = planned(&config(lines), &facts(Some(BARE)), &targets);
            let told = plan.objection.clone().unwrap_or_default();
            assert_eq!(told.contains("files here are removed at a boot"), is_refused, "{told}");
            assert_eq!(warns(&plan, "files here are removed at a boot"), !is_refused, "{:?}", plan.warnings);
        }
    }

    #[test]
    fn a_volume_whose_path_is_of_another_kind_than_its_type_is_refused() {
        use crate::facts::file::FileKind::{CharacterDevice, Directory, Fifo, File, Socket};
        for (kind, found, is_refused) in [
            ("File", Some(Directory), true),
            ("File", Some(Fifo), true),
            ("File", Some(File), false),
            ("FileOrCreate", Some(Directory), true),
            ("FileOrCreate", None, false),
            ("Directory", Some(File), true),
            ("Directory", None, true),
            ("DirectoryOrCreate", Some(Socket), true),
            ("DirectoryOrCreate", None, false),
            ("Socket", Some(File), true),
            ("Socket", Some(Socket), false),
            ("CharDevice", Some(CharacterDevice), false),
            ("BlockDevice", Some(CharacterDevice), true),
        ] {
            let (mut facts, mut targets) = audited(&config(""));
            let volume = format!("volumes:\n  - name: typed\n    hostPath: {{path: /srv/x, type: {kind}}}\n");
            let manifest = facts.manifest.as_mut().unwrap();
            assert!(manifest.text.contains("volumes:\n"), "{}", manifest.text);
            manifest.text = manifest.text.replacen("\n  volumes:\n", &format!("\n  {volume}"), 1);
            targets.kinds.insert("/srv/x".to_owned(), found);
            let plan = planned(&config(""), &facts, &targets);
            let why = plan.refusal.unwrap_or_default();
            assert_eq!(why.contains("the kubelet does not start"), is_refused, "{kind} {found:?}: {why}");
        }
    }

    #[test]
    fn logs_get_the_mode_that_is_wanted_and_old_ones_where_a_group_shall_read_them() {
        let (log, old) = (format!("{LOGS}/audit.log"), format!("{LOGS}/audit-2026-11-26T12-00-00.000.log"));
        let mounted = Some("ext4 on /dev/sdb".to_owned());
        let right = DiskState { mounted, is_right: true, ..disk_state() };
        let bound = "storage: {group: 7, bind: /data/audit}";
        for (lines, logs, disk, does) in [
            ("", vec![], None, ""),
            ("", vec![(&log, 0o600, 0)], None, ""),
            ("", vec![(&log, 0o644, 0)], None, "set-attributes"),
            ("existing: keep", vec![(&log, 0o644, 0)], None, ""),
            // A rotated log stays closed.
            ("", vec![(&old, 0o644, 0)], None, ""),
            ("storage: {group: 7}", vec![], None, "create-file"),
            ("storage: {group: 7}", vec![(&log, 0o640, 7), (&old, 0o640, 7)], None, ""),
            (
                "storage: {group: 7}",
                vec![(&log, 0o600, 0), (&old, 0o600, 0)],
                None,
                "set-attributes set-attributes",
            ),
            (bound, vec![], Some(right), "create-file"),
            // A new log starts on the mounted disk.
            (bound, vec![], Some(disk_state()), "create-directory mount edit-file"),
            (bound, vec![(&log, 0o600, 0)], Some(disk_state()), "create-directory mount edit-file gather"),
        ] {
            let wanted = config(lines);
            let (facts, mut targets) = audited(&config(""));
            let (mode, group) = wanted.storage.group.map_or((0o700, 0), |group| (0o750, group));
            targets.directories.insert(LOGS.to_owned(), Some(directory(mode, group, &[])));
            let attributes = |mode: u32, group: u32| Some(Attributes::new(mode, 0, group));
            targets.logs =
                logs.iter().map(|(path, mode, group)| ((*path).clone(), attributes(*mode, *group))).collect();
            targets.disk = disk;
            assert_eq!(actions(&planned(&wanted, &facts, &targets)), does, "{lines} {logs:?}");
        }
    }

    #[test]
    fn an_api_server_is_started_anew_for_a_policy_and_for_nothing_else() {
        let fresh = config("storage: {bind: /data/audit}");
        let (facts, targets) = audited(&fresh);
        let mounted = Some("ext4 on /dev/sdb".to_owned());
        let disk = Some(DiskState { mounted, is_right: true, ..disk_state() });
        let ours = format!("{}old", crate::storage::unit::NOTE);
        let unit = |before: Option<&str>| Unit {
            path: "/u".to_owned(),
            text: "new".to_owned(),
            before: before.map(snapshot),
        };
        for (policy, units, does) in [
            (policy::DEFAULT, vec![unit(Some("new"))], ""),
            (policy::DEFAULT, vec![unit(Some(&ours))], "edit-file"),
            (policy::DEFAULT, vec![unit(None)], "create-file"),
            // The policy, and the annotation of the manifest.
            ("kind: Policy\n", vec![unit(Some("new"))], "edit-file edit-file"),
            ("# none\n", vec![unit(Some(&ours))], "edit-file edit-file edit-file"),
        ] {
            let mut targets = Targets { units, disk: disk.clone(), ..targets.clone() };
            targets.policies.insert(fresh.policy_path.clone(), Some(snapshot(policy)));
            let plan = planned(&fresh, &facts, &targets);
            assert_eq!((actions(&plan).as_str(), plan.by_hand, plan.refusal), (does, false, None), "{policy}");
        }
        let targets = Targets { units: vec![unit(Some("[Mount]\n"))], disk, ..targets.clone() };
        let refusal = planned(&fresh, &facts, &targets).refusal.unwrap_or_default();
        assert!(refusal.contains("/u: this unit is somebody else's"), "{refusal}");
    }

    #[test]
    fn a_plan_says_whether_the_api_server_is_away() {
        let audited = audited(&config(""));
        let planned_for = |lines: &str, facts: &Facts, targets: &Targets, live: bool| {
            planned(&config(lines), &Facts { live, ..facts.clone() }, targets).absence()
        };
        let bare = facts(Some(BARE));
        for (lines, facts, targets, live, words) in [
            ("", &bare, &Targets::default(), true, Some("a quarter of that")),
            ("restart: {mode: graceful}", &bare, &Targets::default(), true, Some("also with --wait")),
            ("", &audited.0, &audited.1, true, Some("the API server does not restart")),
            // No API server runs in an image, nor before kubeadm.
            ("", &bare, &Targets::default(), false, None),
            ("", &facts(None), &Targets::default(), true, None),
        ] {
            let told = planned_for(lines, facts, targets, live);
            assert_eq!(told.map(|told| told.contains(words.unwrap_or_default())), words.map(|_| true), "{told:?}");
        }
    }

    #[test]
    fn a_log_that_is_not_looked_after_is_told_why() {
        let manifest = |path: &str| {
            BARE.replace(
                "    image:",
                &format!("    - --audit-policy-file=/p\n    - --audit-log-path={path}\n    image:"),
            ) + "    volumeMounts: [{name: p, mountPath: /p}, {name: l, mountPath: /var/log}]\n  volumes:\n  - {name: p, hostPath: {path: \
                   /p}}\n  - {name: l, hostPath: {path: /var/log}}\n"
        };
        for (path, expected) in [
            ("/var/log/$(NODE)/a.log", Some(("only the kubelet knows the whole path of the log", true))),
            ("-", Some(("standard output", false))),
            ("/var/log/a/audit.log", None),
        ] {
            let env = "    env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]\n    image:";
            let manifest = manifest(path).replacen("    image:", env, 1);
            let plan = planned(&config("existing: keep"), &facts(Some(&manifest)), &Targets::default());
            let found = plan.no_log.map(|no_log| (no_log.why, no_log.is_unknown));
            let fits = |(why, is_unknown): (&str, bool)| {
                expected.is_some_and(|(words, expected)| why.contains(words) && is_unknown == expected)
            };
            assert_eq!(found.map(fits), expected.map(|_| true), "{path}: {found:?}");
        }
    }

    /// Only `log.path` can be set to another path.
    #[test]
    fn an_odd_name_is_told_where_it_is_that_of_the_configuration() {
        let manifest = BARE.replace("    image:", "    - --audit-log-path=/var/log/kube/audit\n    image:");
        let kubeadm = Text {
            path: "/etc/kubernetes/kubeadm.yaml".to_owned(),
            text: "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\napiServer:\n  extraArgs:\n  - {name: audit-log-path, \
                   value: /var/log/kube/audit}\n"
                .to_owned(),
            ..facts(Some(&manifest)).manifest.unwrap()
        };
        for (lines, is_told) in [("existing: keep", false), ("log: {path: /var/log/kube/audit}", true)] {
            let facts = Facts { kubeadm: vec![kubeadm.clone()], ..facts(None) };
            let plan = planned(&config(lines), &facts, &Targets::default());
            assert_eq!(warns(&plan, "this will be the log file"), is_told, "{lines}: {:?}", plan.warnings);
        }
    }

    #[test]
    fn what_is_around_the_unit_of_a_disk_is_told() {
        let source = crate::storage::unit::MountSource::Bind("/data/b".to_owned());
        let [(path, written), _] = crate::storage::unit::files(&source, LOGS);
        let unit = |before: String| {
            vec![Unit {
                path: path.clone(),
                text: written.replace("/data/b", "/data/audit"),
                before: Some(snapshot(&before)),
            }]
        };
        let edited = written.replace("Options=", "Options=noatime,");
        let left = || vec!["/etc/systemd/system/var-old.mount".to_owned()];
        let fstab = Some((3, "LABEL=x".to_owned()));
        let bind = "storage: {bind: /data/audit}";
        for (lines, set, expected) in [
            (bind, Targets { units: unit(written.clone()), ..Targets::default() }, ""),
            (bind, Targets { units: unit(edited), ..Targets::default() }, "somebody has edited this unit"),
            (
                bind,
                Targets { left_units: left(), ..Targets::default() },
                "remove this file (rm /etc/systemd/system/var-old.mount)",
            ),
            ("", Targets { left_units: left(), ..Targets::default() }, "the configuration no longer names a disk"),
            (
                "log: {path: '-'}",
                Targets { left_units: left(), ..Targets::default() },
                "the configuration no longer names a disk",
            ),
            (bind, Targets { fstab, ..Targets::default() }, "/etc/fstab:3:1: this line mounts LABEL=x at"),
        ] {
            let disk = Some(DiskState { mounted: Some("x".to_owned()), is_right: true, ..disk_state() });
            let plan = planned(&config(lines), &facts(Some(BARE)), &Targets { disk, ..set });
            let told = ["somebody has edited", "rm /etc", "no longer names a disk", "/etc/fstab"];
            let told: Vec<_> =
                plan.warnings.iter().filter(|line| told.iter().any(|words| line.contains(words))).collect();
            match expected {
                "" => assert!(told.is_empty(), "{lines}: {told:?}"),
                _ => assert!(
                    told.len() == 1 && told[0].contains(expected),
                    "{lines} {expected}: {:?}",
                    plan.warnings
                ),
            }
        }
    }

    #[test]
    fn an_api_server_whose_manifest_takes_no_mark_is_restarted_by_hand() {
        let (mut facts, mut targets) = audited(&config(""));
        let text = &mut facts.manifest.as_mut().unwrap().text;
        let (head, rest) = text.split_once(", annotations: {").unwrap();
        *text = format!("{head}, labels: &l {{a: b}}, annotations: *l}}{}", rest.split_once("}}").unwrap().1);
        targets.policies.insert(Config::default().policy_path, Some(snapshot("kind: Policy\n")));
        let plan = planned(&config(""), &facts, &targets);
        assert_eq!((actions(&plan).as_str(), plan.by_hand), ("edit-file", true));
        assert!(warns(&plan, "restart it by hand, with crictl stop"), "{:?}", plan.warnings);
    }

    #[test]
    fn the_clusters_own_configuration_is_edited_once_or_said_to_be_unknown() {
        let text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.31.4\n";
        let edited = |cluster, config: &Config, manifest: &Facts| {
            planned(config, &Facts { cluster, ..manifest.clone() }, &Targets::default())
        };
        let plan = edited(Some(Ok(text.to_owned())), &config(""), &facts(Some(BARE)));
        let after = plan.changes.iter().find_map(|planned| match &planned.change {
            Change::WriteCluster { after, .. } => Some(after.clone()),
            _ => None,
        });
        let told = "other control planes take their flags from it";
        assert!(after.is_some() && warns(&plan, told), "{:?}", plan.warnings);
        let plan = edited(after.map(Ok), &config(""), &facts(Some(BARE)));
        assert!(!actions(&plan).contains("edit-cluster") && !warns(&plan, told), "{:?}", plan.warnings);
        // It names a file that is gone, or can't be read: the API server answers, so another advice is needed.
        let webhook = format!(
            "{text}apiServer:\n  extraArgs:\n  - {{name: audit-webhook-config-file, value: /etc/kubernetes/gone.yaml}}\n"
        );
        for (text, words) in [(webhook.as_str(), "/etc/kubernetes/gone.yaml"), ("kind: [", ":1:")] {
            let mut facts = facts(Some(BARE));
            facts.files.insert("/etc/kubernetes/gone.yaml".to_owned(), Seen::Missing);
            let plan = edited(Some(Ok(text.to_owned())), &config("existing: keep"), &facts);
            let fault = plan.cluster_fault.clone().unwrap_or_default();
            assert!(fault.contains(words) && fault.contains(EDIT_CLUSTER), "{fault}");
            assert!(
                plan.unknown.is_none() && warns(&plan, &fault) && !warns(&plan, "when the API server answers")
            );
        }
        let unknown = "kubeadm-config: not edited";
        let (audited, _) = audited(&config(""));
        for (cluster, lines, facts, is_told) in [
            (None, "", facts(Some(BARE)), true),
            (Some(Err("nobody answers".to_owned())), "", facts(Some(BARE)), true),
            (Some(Ok(text.to_owned())), "", facts(Some(BARE)), false),
            (None, "kubeadm: {cluster: false}", facts(Some(BARE)), false),
            (None, "", audited, false),
        ] {
            let plan = edited(cluster.clone(), &config(lines), &facts);
            assert_eq!(warns(&plan, unknown), is_told, "{cluster:?} {lines}: {:?}", plan.warnings);
            assert_eq!(warns(&plan, "(nobody answers)"), matches!(cluster, Some(Err(_))));
        }
    }

    /// An upgrade makes the manifest of the cluster's configuration, and the files that it mounts must exist.
    #[test]
    fn what_the_manifest_keeps_is_in_the_clusters_configuration_as_it_is() {
        let text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.31.4\n";
        let kept = |host: &str| {
            let args = "    - --audit-policy-file=/etc/audit/p.yaml\n    - --audit-log-path=/var/log/mine/a.log\n    \
                        - --audit-log-maxage=7\n    image:";
            let mounts = "    volumeMounts:\n    - {name: p, mountPath: /etc/audit, readOnly: true}\n    - {name: l, mountPath: \
                          /var/log/mine}\n  volumes:\n  - {name: p, hostPath: {path: HOST}}\n  - {name: l, hostPath: {path: \
                          /var/log/mine}}\n";
            BARE.replace("    image:", args) + &mounts.replace("HOST", host)
        };
        let policy = |path: &str| Targets {
            policies: [(
                path.to_owned(),
                Some(snapshot("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n")),
            )]
            .into(),
            ..Targets::default()
        };
        for (host, found) in [("/etc/audit", "/etc/audit/p.yaml"), ("/data", "/data/p.yaml")] {
            let facts = Facts { cluster: Some(Ok(text.to_owned())), ..facts(Some(&kept(host))) };
            let plan = planned(&config("existing: keep"), &facts, &policy(found));
            let after = plan.changes.iter().find_map(|planned| match &planned.change {
                Change::WriteCluster { after, .. } => Some(after.as_str()),
                _ => None,
            });
            assert!(after.is_some(), "{host}: {:?}", plan.warnings);
            let after = after.unwrap_or_default();
            assert!(!after.contains("/etc/kubernetes/audit-policy.yaml"), "{after}");
            let mounted = format!("hostPath: {host}\n    mountPath: /etc/audit\n");
            for line in ["value: \"7\"", &mounted, "hostPath: /var/log/mine"] {
                assert!(after.contains(line), "{host} {line}: {after}");
            }
        }
    }

    #[test]
    fn a_joining_control_plane_is_told_where_its_flags_come_from() {
        for (occasion, is_told) in [(Occasion::Join, true), (Occasion::Init, false), (Occasion::Any, false)] {
            let config = Config::default();
            let intent = Intent { occasion, ..intent(&config) };
            let plan = planned_for(&intent, &facts(None), &Targets::default()).unwrap();
            assert_eq!(warns(&plan, "takes its flags from the cluster's kubeadm-config"), is_told, "{occasion:?}");
        }
    }

    #[test]
    fn a_refusal_always_counts_an_objection_where_something_changes_and_the_first_is_said() {
        let fresh = || planned(&config(""), &facts(Some(BARE)), &Targets::default());
        let nothing = || Plan { changes: Vec::new(), ..fresh() };
        let why = |plan: Plan| plan.allowed().err().map(|error| error.to_string()).unwrap_or_default();
        let objected = |plan: Plan| Plan { objection: Some("objection".to_owned()), ..plan };
        let refused = |mut plan: Plan| {
            plan.refuse("refusal".to_owned());
            plan.refuse("second".to_owned());
            plan
        };
        for (plan, expected) in [
            (fresh(), ""),
            (objected(fresh()), "objection"),
            (objected(nothing()), ""),
            (refused(nothing()), "refusal"),
            (refused(objected(fresh())), "refusal"),
        ] {
            assert_eq!(why(plan), expected);
        }
    }

    #[test]
    fn a_file_that_is_no_policy_is_not_overwritten() {
        let (facts, mut targets) = audited(&config(""));
        for (text, fault) in [
            ("", None),
            ("\n  # only a comment\n\n", None),
            ("kind: Policy\nrules: []\n", None),
            ("broken: [Policy", None),
            ("# Policy\nkind: Secret\n", Some("this is a Secret, not an audit policy")),
            ("# a comment\nkey: value\n", Some("this is not an audit policy")),
            ("-----BEGIN CERTIFICATE-----\n", Some("this is not an audit policy")),
        ] {
            targets.policies.insert(Config::default().policy_path, Some(snapshot(text)));
            let found = planned_for(&intent(&config("")), &facts, &targets).err().map(|error| error.to_string());
            assert_eq!(found.is_some(), fault.is_some(), "{text}: {found:?}");
            assert!(found.unwrap_or_default().contains(fault.unwrap_or_default()), "{text}");
        }
    }

    #[test]
    fn with_keep_only_a_policy_that_is_asked_for_replaces_another() {
        let wanted = config("existing: keep");
        let good = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Request\n";
        for (asked, is_ours, replaces, is_told) in [
            (Asked::Nobody, true, false, false),
            (Asked::Configuration, true, true, false),
            (Asked::Configuration, false, false, true),
            (Asked::CommandLine, false, true, false),
        ] {
            let (facts, mut targets) = audited(&config(""));
            if is_ours {
                targets.written.insert(wanted.policy_path.clone());
            }
            let intent = intent(&wanted);
            let policy = AskedPolicy { sources: Sources::of("mine", good), asked, files: Vec::new() };
            let plan = plan(&intent, &facts, wired(&intent, &facts).unwrap(), &targets, &policy).unwrap();
            assert_eq!(plan.touches(Step::Policy), replaces, "{asked:?} {is_ours}");
            assert_eq!(
                warns(&plan, "this policy stays, because of `existing: keep`"),
                is_told,
                "{asked:?} {is_ours}"
            );
        }
    }

    #[test]
    fn a_policy_that_would_grow_with_each_run_is_refused() {
        let (config, (facts, mut targets)) = (config(""), audited(&config("")));
        let text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Request\n";
        let source = |name: &str| Source { name: name.to_owned(), text: text.to_owned() };
        let there = snapshot(text);
        let other = FileIdentity { inode: there.identity.inode + 1, ..there.identity };
        targets.policies.insert(config.policy_path.clone(), Some(there.clone()));
        for (name, identity, fragments, expected) in [
            ("/src", there.identity, vec!["/f"], Some("and name that in policy.source")),
            ("/f", there.identity, vec!["/f"], Some("put a copy of it in its place")),
            ("/src", other, vec!["/f"], None),
            ("/src", there.identity, vec![], None),
        ] {
            let fragments = fragments.into_iter().map(source).collect();
            let sources = Sources { fragments, ..Sources::of("/src", text) };
            let files = vec![(name.to_owned(), identity)];
            let policy = AskedPolicy { sources, asked: Asked::Configuration, files };
            let intent = intent(&config);
            let error = plan(&intent, &facts, wired(&intent, &facts).unwrap(), &targets, &policy).err();
            assert_eq!(error.is_some(), expected.is_some(), "{name}: {error:?}");
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(expected.unwrap_or_default()), "{name}: {error}");
        }
    }

    #[test]
    fn no_policy_is_created_in_a_place_of_others() {
        let keep = config("existing: keep");
        for (path, is_refused) in
            [("/etc/nologin", true), ("/etc/cron.d/audit.yaml", true), ("/srv/p.yaml", false)]
        {
            let manifest = BARE.replace(
                "    - kube-apiserver\n",
                &format!("    - kube-apiserver\n    - --audit-policy-file={path}\n"),
            );
            let found = planned_for(&intent(&keep), &facts(Some(&manifest)), &Targets::default());
            let error = found.err().map(|error| error.to_string());
            assert_eq!(error.is_some(), is_refused, "{path}: {error:?}");
            assert!(error.is_none_or(|error| error.starts_with(&format!("{path}: --audit-policy-file names"))));
            // What is there stays.
            let policy = Some(snapshot("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"));
            let targets = Targets { policies: [(path.to_owned(), policy)].into(), ..Targets::default() };
            planned_for(&intent(&keep), &facts(Some(&manifest)), &targets).unwrap();
        }
    }

    #[test]
    fn a_policy_must_be_right_for_what_the_files_start_too() {
        let star = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n  resources: [{group: \"*\"}]\n";
        let (facts, targets) = audited(&config(""));
        for (lines, text, is_refused, is_told) in [
            ("kubernetesVersion: v1.37.0", star, true, true),
            ("kubernetesVersion: v1.37.0", policy::DEFAULT, false, true),
            ("kubernetesVersion: v1.31.9", policy::DEFAULT, false, false),
        ] {
            let wanted = config(lines);
            let intent = intent(&wanted);
            let policy =
                AskedPolicy { sources: Sources::of("mine", text), asked: Asked::Configuration, files: Vec::new() };
            let wiring = wired(&intent, &facts).unwrap();
            let told = wiring
                .warnings
                .iter()
                .any(|line| line.contains("but the node has 1.31, from the manifest's image"));
            assert_eq!(told, is_told, "{lines}");
            let found = plan(&intent, &facts, wiring, &targets, &policy).err().map(|error| error.to_string());
            assert_eq!(found.is_some(), is_refused, "{lines}: {found:?}");
        }
    }

    #[test]
    fn a_log_that_may_be_meant_as_a_directory_is_told() {
        for (path, is_told) in [("/var/log/kubernetes/audit", true), ("/var/log/kubernetes/x/audit.log", false)] {
            let plan = planned(&config(&format!("log: {{path: {path}}}")), &facts(None), &Targets::default());
            assert_eq!(warns(&plan, "this will be the log file"), is_told, "{path}");
        }
    }

    #[test]
    fn what_a_run_wrote_is_its_policy_whatever_has_become_of_it() {
        let path = Config::default().policy_path;
        let (facts, mut targets) = audited(&config(""));
        for text in ["foo: [", "foo\n", "apiVersion: audit.k8s.io/v1\nkind: Pol"] {
            targets.policies.insert(path.clone(), Some(snapshot(text)));
            targets.written.clear();
            let refused = planned_for(&intent(&config("")), &facts, &targets).unwrap_err().to_string();
            assert!(refused.contains(&format!("move it away (mv {path} {path}.old)")), "{text}: {refused}");
            let image = Facts { root: "/mnt/image".to_owned(), ..facts.clone() };
            let refused = planned_for(&intent(&config("")), &image, &targets).unwrap_err().to_string();
            assert!(refused.contains(&format!("(mv /mnt/image{path} /mnt/image{path}.old)")), "{text}: {refused}");
            targets.written.insert(path.clone());
            let plan = planned(&config(""), &facts, &targets);
            assert!(actions(&plan).starts_with("edit-file"), "{text}: {}", actions(&plan));
        }
    }

    #[test]
    fn a_policys_errors_end_the_run_and_its_warnings_are_said_once() {
        let install = |text: &str| {
            let (config, facts, targets) = (config(""), facts(None), Targets::default());
            let intent = intent(&config);
            let wiring = wired(&intent, &facts)?;
            let mut planner = Planner::new(&intent, &facts, &targets, &wiring);
            planner.plan.warnings.clear();
            let policy =
                AskedPolicy { sources: Sources::of("mine", text), asked: Asked::Nobody, files: Vec::new() };
            for path in ["/a", "/b"] {
                planner.install_policy(path, &policy)?;
            }
            Ok::<_, anyhow::Error>(planner.plan.warnings)
        };
        let good = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n";
        assert_eq!(install(good).unwrap(), [""; 0]);
        let error = install(&good.replace("Metadata", "Everything")).unwrap_err().to_string();
        assert!(error.starts_with("mine:4:10: "), "{error}");
        // A policy that is installed is right.
        let lenient = good.replace("level: Metadata", "level: Metadata\n  verb: [get]\n- level: Metadata");
        assert!(install(&lenient).unwrap_err().to_string().starts_with("mine:5:3: unknown field"));
        // This is about a rule that matches everything, and is not the last one.
        let warnings = install(&format!("{good}- level: None\n")).unwrap();
        let told = "mine: policy check has 1 warning about this policy; to see it, run kube-audit-bootstrap policy check mine";
        assert_eq!(warnings, [told]);
    }

    #[test]
    fn events_from_before_follow_when_everything_is_through() {
        let wanted = config("storage: {bind: /data/audit, group: 7}");
        let disk = Some(DiskState { has_left: true, ..disk_state() });
        let plan = planned(&wanted, &facts(None), &Targets { disk, ..Targets::default() });
        assert_eq!(actions(&plan), "create-directory create-directory mount create-file gather");
        assert_eq!(plan.changes().len(), 4);
        let attributes = Some(Attributes::new(0o640, 0, 7));
        let expected = Some(FollowUp { log: format!("{LOGS}/audit.log"), attributes, is_expected: true });
        assert_eq!((plan.follow_up.clone(), plan.is_empty()), (expected, false));
        let plan = planned(&config(""), &facts(None), &Targets::default());
        assert_eq!(plan.follow_up, None);
    }
}
