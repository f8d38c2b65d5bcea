//! What a run does to a node, step by step: from facts to changes.

use anyhow::{Result, bail};

use super::place::is_of_log;
use super::wire::Wiring;
use super::{Plan, PolicyText, Role, Step};
use crate::audit::policy;
use crate::change::{Change, KUBEADM_CONFIG};
use crate::config::{Config, Existing, Occasion};
use crate::facts::file::{Attributes, Snapshot, Text, lossy, text_of};
use crate::facts::{Facts, Targets};
use crate::path::{ADMIN_CONF, parent};
use crate::storage::forecast::Limits;
use crate::wiring::{Wired, manifest};
use crate::yaml::fields::Severity;

/// Plans the changes.
///
/// Errors: a policy that the node's API server would refuse, or would take for something else than it says.
pub fn plan(
    config: &Config,
    facts: &Facts,
    wiring: Wiring,
    targets: &Targets,
    policy_text: &PolicyText,
) -> Result<Plan> {
    let mut plan = Plan {
        role: wiring.role,
        version: wiring.version,
        version_source: wiring.version_source,
        changes: Vec::new(),
        subjects: Vec::new(),
        skipped: wiring.skipped,
        unknown: None,
        by_hand: false,
        storage: None,
        refusal: None,
        objection: None,
        warnings: wiring.warnings,
    };
    if wiring.role == Role::Worker {
        return Ok(plan);
    }
    let owner = (wiring.run_as.0.unwrap_or(facts.owner.0), wiring.run_as.1.unwrap_or(facts.owner.1));
    if owner.0 != 0 && wiring.run_as.0.is_none() {
        plan.warnings.push(format!("not run as root: what is written belongs to {}:{}", owner.0, owner.1));
    }
    if config.log.file().is_none() {
        plan.warnings.push(
            "log.path is -: events go to the standard output of the API server's container, where the kubelet rotates \
             them away with its other messages, and none of the log's own limits holds"
                .to_owned(),
        );
    }
    let keep = config.existing == Existing::Keep;
    let (mode, log_mode, group) = match config.storage.group {
        Some(group) => (0o750, 0o640, group),
        None => (0o700, 0o600, owner.1),
    };
    for path in &wiring.paths.directories {
        let wanted = Attributes::new(mode, owner.0, group);
        plan.subjects.push((Step::Storage, path.clone()));
        match targets.directories.get(path).cloned().flatten() {
            None => {
                let change = Change::CreateDirectory { path: path.clone(), attributes: wanted };
                plan.add(Step::Storage, change);
            }
            Some((before, names)) if !keep && !wanted.met_by(&before) => {
                // A directory that others use, too, would be closed to them; what is mounted there for the log is the log's.
                let is_ours = targets.disk.as_ref().is_some_and(|disk| disk.is_right);
                let other = names.iter().find(|name| !is_of_log(name, &config.log.path));
                if let Some(other) = other.filter(|_| !is_ours) {
                    plan.warnings.push(format!(
                        "{path}: there is more than the audit log in it ({other:?}), so its mode {:04o} and its owner \
                         stay; a directory of its own would be closed to others",
                        before.mode
                    ));
                } else {
                    let change = Change::SetAttributes { path: path.clone(), before, after: wanted };
                    plan.add(Step::Storage, change);
                }
            }
            Some(_) => {}
        }
    }
    let edits = wiring.kubeadm.iter().chain(&wiring.manifest).any(|(text, wired)| wired.text != text.text)
        || config.is_without_file(Occasion::Init);
    let log_attributes = Attributes::new(log_mode, owner.0, group);
    let blind = plan.plan_mount(
        config,
        facts,
        &wiring.paths.logs,
        targets,
        [&Attributes::new(mode, owner.0, group), &log_attributes],
    )?;
    let mounts = plan.mounts();
    for path in &wiring.paths.logs {
        // What rotates the log gives each new file the mode and the owner of the one before.
        if !targets.logs.contains_key(path)
            && config.storage.group.is_some()
            && (config.storage.source.is_none() || targets.disk.as_ref().is_some_and(|disk| disk.is_right))
        {
            plan.subjects.push((Step::Storage, path.clone()));
            let (path, attributes) = (path.clone(), log_attributes.clone());
            plan.add(Step::Storage, Change::WriteFile { path, before: None, bytes: Vec::new(), attributes });
        }
    }
    for (path, before) in &targets.logs {
        let Some(before) = before.as_ref().filter(|before| !keep && !mounts && !log_attributes.met_by(before))
        else {
            continue;
        };
        // Old ones stay closed to all but their owner, unless a group shall read them.
        if config.storage.group.is_some() || wiring.paths.logs.contains(path) {
            plan.subjects.push((Step::Storage, path.clone()));
            let (path, before, after) = (path.clone(), before.clone(), log_attributes.clone());
            plan.add(Step::Storage, Change::SetAttributes { path, before, after });
        }
    }
    for path in &wiring.paths.policies {
        plan.subjects.push((Step::Policy, path.clone()));
        let before = targets.policies.get(path).cloned().flatten();
        plan.policy(path, before, keep, owner, policy_text)?;
    }
    let replaced = plan.changes.iter().find_map(|planned| match &planned.change {
        Change::WriteFile { before: Some(before), bytes, .. } if planned.step == Step::Policy => {
            Some([before.bytes.clone(), bytes.clone()])
        }
        _ => None,
    });
    for (text, wired) in wiring.kubeadm {
        plan.edit(Step::Kubeadm, text, wired);
    }
    match wiring.cluster {
        None => {}
        Some(Ok((before, wired))) => {
            plan.subjects.push((Step::Kubeadm, KUBEADM_CONFIG.to_owned()));
            plan.warnings.extend(wired.notes.iter().map(|note| format!("{}:{note}", KUBEADM_CONFIG)));
            if wired.text != before {
                plan.warnings.push(format!(
                    "{}: other control planes take their flags from it at their next upgrade, and new ones when they join: \
                     each needs this program's policy and directory before",
                    KUBEADM_CONFIG
                ));
                plan.add(Step::Kubeadm, Change::WriteCluster { before, after: wired.text });
            }
        }
        Some(Err(why)) => plan.unknown = Some(why),
    }
    // kubeadm makes the manifest anew in a moment, or finds that there is one.
    let is_kubeadms = config.occasion.is_kubeadm() && plan.role == Role::ControlPlane;
    for text in wiring.strays {
        let what = "this defines another API server, which the kubelet may run instead";
        if is_kubeadms {
            plan.warnings.push(format!("{}: {what}; it stays until kube-audit-bootstrap apply", text.path));
            continue;
        }
        plan.warnings.push(format!("{}: {what}; it goes to the backups", text.path));
        plan.subjects.push((Step::Strays, text.path.clone()));
        plan.add(Step::Strays, Change::MoveAway { path: text.path, before: text.snapshot });
    }
    if let Some((text, mut wired)) = wiring.manifest.filter(|_| !is_kubeadms) {
        let edited = wired.text != text.text;
        // A container keeps what was mounted when it began.
        let moved = blind.then(|| [Vec::new(), b"mount".to_vec()]);
        if let Some([before, after]) = replaced.or(moved).filter(|_| !edited) {
            match manifest::mark(&text.text, &[&before, &after]) {
                Ok(marked) => wired.text = marked,
                Err(refusal) => plan.restart_by_hand(format!(
                    "{}:{refusal}; the API server reads its policy, and sees what is mounted, when it starts: restart it for the new one to \
                     count, with crictl stop $(crictl ps -q --name kube-apiserver)",
                    text.path
                )),
            }
        }
        plan.edit(Step::Manifest, text, wired);
        let known = facts.cluster.is_some() && plan.unknown.is_none();
        if edited && !known && config.cluster {
            plan.warnings.push(format!(
                "{}: the cluster's own configuration isn't edited, and the next kubeadm upgrade drops what it doesn't have: \
                 run apply again on a control plane with kubectl and {ADMIN_CONF} once its API server answers, or put the \
                 settings there by hand, with kubectl -n kube-system edit configmap kubeadm-config{}",
                KUBEADM_CONFIG,
                plan.unknown.as_ref().map(|why| format!(" ({why})")).unwrap_or_default()
            ));
        }
    }
    if let (Some(seen), Some(log)) = (&targets.storage, wiring.paths.logs.first()) {
        let limits = Limits::of(&wiring.flags, wiring.version);
        plan.judge_place(config, parent(log), seen, &limits, edits || plan.mounts());
    }
    if is_kubeadms {
        // What a mount needs restarted, kubeadm restarts only then.
        plan.changes.retain(|planned| {
            let is_little =
                matches!(planned.change, Change::CreateDirectory { .. } | Change::SetAttributes { .. });
            planned.step != Step::Storage || is_little
        });
    }
    if wiring.role == Role::Joining {
        plan.warnings.push(
            "a joining control plane takes its flags from the cluster's kubeadm-config: they must be there"
                .to_owned(),
        );
    }
    Ok(plan)
}

impl Plan {
    /// Replaces a file's text where it differs. Its owner and mode stay.
    fn edit(&mut self, step: Step, text: Text, wired: Wired) {
        self.subjects.push((step, text.path.clone()));
        self.warnings.extend(wired.notes.iter().map(|note| format!("{}:{note}", text.path)));
        if wired.text != text.text {
            let attributes = text.snapshot.attributes.clone();
            let bytes = wired.text.into_bytes();
            self.add(step, Change::WriteFile { path: text.path, before: Some(text.snapshot), bytes, attributes });
        }
    }

    /// Installs the policy, or judges the one that stays.
    fn policy(
        &mut self,
        path: &str,
        before: Option<Snapshot>,
        keep: bool,
        owner: (u32, u32),
        policy_text: &PolicyText,
    ) -> Result<()> {
        let attributes = Attributes::new(0o600, owner.0, owner.1);
        if let Some(before) = before.as_ref().filter(|_| keep) {
            let text = text_of(&before.bytes).map_err(|error| anyhow::anyhow!("{path}:{error}"))?;
            return self.check(path, text);
        }
        self.check(&policy_text.name, &policy_text.text)?;
        if let Some(kind) =
            before.as_ref().and_then(|before| kind_of(&before.bytes)).filter(|kind| kind != "Policy")
        {
            bail!("{path}: a {kind} is there, and no audit policy; set policy.path to another file");
        }
        // A broken policy may be replaced; a key, a certificate or a program may not.
        let may_go = |bytes: &[u8]| lossy(bytes).contains("Policy") || says_nothing(bytes);
        if before.as_ref().is_some_and(|before| !may_go(&before.bytes)) {
            bail!("{path}: something is there that is no audit policy; set policy.path to another file");
        }
        match before {
            Some(before) if before.bytes == policy_text.text.as_bytes() => {
                if !attributes.met_by(&before.attributes) {
                    let before = before.attributes;
                    self.add(
                        Step::Policy,
                        Change::SetAttributes { path: path.to_owned(), before, after: attributes },
                    );
                }
            }
            before => {
                if before.is_some() {
                    self.warnings.push(format!(
                        "{path}: another policy is there; it goes to the backups (--existing keep keeps it)"
                    ));
                }
                let bytes = policy_text.text.clone().into_bytes();
                self.add(Step::Policy, Change::WriteFile { path: path.to_owned(), before, bytes, attributes });
            }
        }
        Ok(())
    }

    fn check(&mut self, name: &str, text: &str) -> Result<()> {
        let findings = policy::lint::check(text, self.version);
        let (errors, warnings): (Vec<_>, Vec<_>) =
            findings.iter().partition(|finding| finding.severity == Severity::Error);
        if !errors.is_empty() {
            let lines: Vec<_> = errors.iter().map(|finding| format!("{name}:{finding}")).collect();
            bail!("{}", lines.join("\n"));
        }
        for finding in warnings {
            let line = format!("{name}:{}: {}", finding.place, finding.message);
            if !self.warnings.contains(&line) {
                self.warnings.push(line);
            }
        }
        Ok(())
    }
}

/// The `kind` of a file, where it is a YAML document with one.
fn kind_of(bytes: &[u8]) -> Option<String> {
    let documents = crate::yaml::parse(text_of(bytes).ok()?).ok()?;
    Some(documents.first()?.root.get("kind")?.scalar()?.to_owned())
}

/// Whether a file has blanks and comments at most.
fn says_nothing(bytes: &[u8]) -> bool {
    lossy(bytes).lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{actions, audited, config, disk_state, facts, planned, snapshot};
    use super::super::wire::wire;
    use super::*;
    use crate::facts::State;
    use crate::storage::blank::Content;

    #[test]
    fn what_a_node_needs_depends_on_the_occasion() {
        let wanted = config("storage: {device: /dev/disk/by-id/x, format: ext4}");
        let targets = || {
            let state = State { content: Some(Content::Blank), ..disk_state() };
            Targets { disk: Some(state), ..Targets::default() }
        };
        let manifest = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    command: [kube-apiserver]\n";
        for (occasion, manifest, role, does) in [
            (Occasion::Any, None, Role::Image, "create-directory format mount create-file"),
            // It may become a worker.
            (Occasion::Boot, None, Role::Image, "create-directory create-file"),
            (
                Occasion::Boot,
                Some(manifest),
                Role::ControlPlane,
                "create-directory format mount create-file edit-file",
            ),
            (Occasion::Init, None, Role::FirstBoot, "create-directory format mount create-file"),
            // By mistake: kubeadm won't start either.
            (Occasion::Init, Some(manifest), Role::ControlPlane, "create-directory create-file"),
            (Occasion::Join, None, Role::Joining, "create-directory format mount create-file"),
            // kubeadm makes the manifest anew.
            (Occasion::Upgrade, Some(manifest), Role::ControlPlane, "create-directory create-file"),
        ] {
            let config = Config { occasion, kubeadm_configs: Some(Vec::new()), ..wanted.clone() };
            let plan = planned(&config, &facts(manifest), &targets());
            assert_eq!((plan.role, actions(&plan).as_str()), (role, does), "{occasion:?}");
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
    fn a_stray_is_said_to_go_only_where_it_goes() {
        let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver}\nspec:\n  containers:\n  - name: kube-apiserver\n    \
                        command: [kube-apiserver]\n";
        for (occasion, does, says) in [
            (Occasion::Any, "create-directory create-file move-away edit-file", "it goes to the backups"),
            (Occasion::Upgrade, "create-directory create-file", "it stays until kube-audit-bootstrap apply"),
        ] {
            let mut facts = facts(Some(manifest));
            let stray = facts.manifest.clone().unwrap();
            facts.beside.push(Text { path: "/etc/kubernetes/manifests/backup".to_owned(), ..stray });
            let config = Config { occasion, kubeadm_configs: Some(Vec::new()), ..Config::default() };
            let plan = planned(&config, &facts, &Targets::default());
            assert_eq!(actions(&plan), does, "{occasion:?}");
            let told: Vec<_> = plan.warnings.iter().filter(|line| line.contains("another API server")).collect();
            assert!(told.len() == 1 && told[0].contains(says), "{occasion:?}: {:?}", plan.warnings);
        }
    }

    /// A manifest that doesn't audit yet.
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
            let plan = planned(&config(""), &Facts { owner, ..facts(Some(manifest)) }, &Targets::default());
            let Change::CreateDirectory { attributes, .. } = &plan.changes[0].change else { panic!("{plan:?}") };
            assert_eq!((attributes.uid, attributes.gid), expected);
            assert_eq!(warns(&plan, "not run as root: what is written belongs to 1000:1001"), is_told);
            assert_eq!(warns(&plan, "not run as root"), is_told);
        }
    }

    #[test]
    fn a_directory_that_others_use_stays_open_and_the_first_of_them_is_named() {
        let (facts, mut targets) = audited(&config(""));
        for (names, does, told) in [
            (vec!["audit.log", "notes"], "", Some("more than the audit log in it (\"notes\")")),
            (vec!["audit.log", "audit-2026.log"], "set-attributes", None),
        ] {
            let names = names.into_iter().map(str::to_owned).collect();
            targets.directories.insert(LOGS.to_owned(), Some((Attributes::new(0o755, 0, 0), names)));
            let plan = planned(&config(""), &facts, &targets);
            assert_eq!((actions(&plan).as_str(), warns(&plan, "more than the audit log")), (does, told.is_some()));
            assert!(warns(&plan, told.unwrap_or_default()) || told.is_none(), "{:?}", plan.warnings);
            assert_eq!(actions(&planned(&config("existing: keep"), &facts, &targets)), "");
        }
    }

    #[test]
    fn logs_get_the_mode_that_is_wanted_and_old_ones_where_a_group_shall_read_them() {
        let (log, old) = (format!("{LOGS}/audit.log"), format!("{LOGS}/audit-2026-11-26T12-00-00.000.log"));
        let mounted = Some("ext4 on /dev/sdb".to_owned());
        let right = State { mounted, is_right: true, ..disk_state() };
        let bound = "storage: {group: 7, bind: /data/audit}";
        for (lines, logs, disk, does) in [
            ("", vec![], None, ""),
            ("", vec![(&log, 0o600, 0)], None, ""),
            ("", vec![(&log, 0o644, 0)], None, "set-attributes"),
            ("existing: keep", vec![(&log, 0o644, 0)], None, ""),
            // Old ones stay closed.
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
            // What is mounted begins a log of its own.
            (bound, vec![], Some(disk_state()), "create-directory mount edit-file"),
            (bound, vec![(&log, 0o600, 0)], Some(disk_state()), "create-directory mount gather edit-file"),
        ] {
            let wanted = config(lines);
            let (facts, mut targets) = audited(&config(""));
            let (mode, group) = wanted.storage.group.map_or((0o700, 0), |group| (0o750, group));
            let directory = Attributes::new(mode, 0, group);
            targets.directories.insert(LOGS.to_owned(), Some((directory, Vec::new())));
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
        let disk = Some(State { mounted, is_right: true, ..disk_state() });
        let unit = |before: &str| ("/u".to_owned(), "new".to_owned(), Some(snapshot(before)));
        for (policy, units, does) in [
            (policy::DEFAULT, vec![unit("new")], ""),
            (policy::DEFAULT, vec![unit("old")], "edit-file"),
            (policy::DEFAULT, vec![("/u".to_owned(), "new".to_owned(), None)], "create-file"),
            // The policy, and the manifest's mark.
            ("kind: Policy\n", vec![unit("new")], "edit-file edit-file"),
            ("# none\n", vec![unit("old")], "edit-file edit-file edit-file"),
        ] {
            let mut targets = Targets { units, disk: disk.clone(), ..targets.clone() };
            targets.policies.insert(fresh.policy_path.clone(), Some(snapshot(policy)));
            let plan = planned(&fresh, &facts, &targets);
            assert_eq!((actions(&plan).as_str(), plan.by_hand), (does, false), "{policy}");
        }
    }

    #[test]
    fn an_api_server_whose_manifest_takes_no_mark_is_restarted_by_hand() {
        let (mut facts, mut targets) = audited(&config(""));
        let text = &mut facts.manifest.as_mut().unwrap().text;
        *text =
            text.replace("namespace: kube-system", "namespace: kube-system, labels: &l {a: b}, annotations: *l");
        targets.policies.insert(Config::default().policy_path, Some(snapshot("kind: Policy\n")));
        let plan = planned(&config(""), &facts, &targets);
        assert_eq!((actions(&plan).as_str(), plan.by_hand), ("edit-file", true));
        assert!(warns(&plan, "restart it for the new one to count"), "{:?}", plan.warnings);
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
        let unknown = "the cluster's own configuration isn't edited";
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

    #[test]
    fn a_joining_control_plane_is_told_where_its_flags_come_from() {
        for (occasion, is_told) in [(Occasion::Join, true), (Occasion::Init, false), (Occasion::Any, false)] {
            let config = Config { occasion, ..Config::default() };
            let plan = planned(&config, &facts(None), &Targets::default());
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
            ("# Policy\nkind: Secret\n", Some("a Secret is there, and no audit policy")),
            ("# a comment\nkey: value\n", Some("something is there that is no audit policy")),
            ("-----BEGIN CERTIFICATE-----\n", Some("something is there that is no audit policy")),
        ] {
            targets.policies.insert(Config::default().policy_path, Some(snapshot(text)));
            let wiring = wire(&config(""), &facts, false).unwrap();
            let policy = PolicyText { name: "default".to_owned(), text: policy::DEFAULT.to_owned() };
            let found = plan(&config(""), &facts, wiring, &targets, &policy).err().map(|error| error.to_string());
            assert_eq!(found.is_some(), fault.is_some(), "{text}: {found:?}");
            assert!(found.unwrap_or_default().contains(fault.unwrap_or_default()), "{text}");
        }
    }

    #[test]
    fn a_policys_errors_end_the_run_and_its_warnings_are_said_once() {
        let install = |text: &str| {
            let mut plan = planned(&config(""), &facts(None), &Targets::default());
            plan.warnings.clear();
            let policy = PolicyText { name: "mine".to_owned(), text: text.to_owned() };
            for path in ["/a", "/b"] {
                plan.policy(path, None, false, (0, 0), &policy)?;
            }
            Ok::<_, anyhow::Error>(plan.warnings)
        };
        let good = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n";
        assert_eq!(install(good).unwrap(), [""; 0]);
        let error = install(&good.replace("Metadata", "Everything")).unwrap_err().to_string();
        assert!(error.starts_with("mine:4:10: "), "{error}");
        // Of a rule that takes everything, and isn't the last.
        let warnings = install(&format!("{good}- level: None\n")).unwrap();
        assert!(warnings.len() == 1 && warnings[0].starts_with("mine:4:3: "), "{warnings:?}");
    }

    #[test]
    fn events_from_before_follow_when_everything_is_through() {
        let wanted = config("storage: {bind: /data/audit, group: 7}");
        let disk = Some(State { has_left: true, ..disk_state() });
        let plan = planned(&wanted, &facts(None), &Targets { disk, ..Targets::default() });
        assert_eq!(actions(&plan), "create-directory create-directory mount gather create-file");
        assert_eq!(plan.changes().len(), 4);
        assert!(!plan.changes().iter().any(|change| matches!(change, Change::Gather { .. })));
        let expected = Some((format!("{LOGS}/audit.log"), Some(Attributes::new(0o640, 0, 7))));
        assert_eq!((plan.gathers(), plan.mounts()), (expected, true));
        let plan = planned(&config(""), &facts(None), &Targets::default());
        assert_eq!((plan.gathers(), plan.mounts()), (None, false));
    }
}
