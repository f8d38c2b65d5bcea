//! `status`: prints what is in place, step by step.

use std::fmt::Write as _;

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};

use super::common::{Common, Outcome, Overrides, run_of};
use super::show::{describe, headline, storage_document, storage_text, warn};
use crate::change::KUBEADM_CONFIG;
use crate::plan::in_force::{InForce, State};
use crate::plan::{NoLog, Occasion, Plan, Role, Step, Subject};
use crate::run::status::{Report, status};
use crate::time::{at, rfc3339};

/// Show what is in place and what is not; exit 3 if apply would change anything
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    overrides: Overrides,
}

/// A line about one path.
struct Line {
    step: Step,
    path: String,
    state: &'static str,
    detail: String,
}

impl StatusArgs {
    /// Runs the verb. What it prints on stdout goes to `out`.
    ///
    /// # Errors
    ///
    /// The node can't be read.
    pub fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let root = common.open_root()?;
        let report = status(run_of(&root, common.config.as_deref(), &self.overrides, Occasion::Any)?)?;
        warn(common, &report.plan.warnings);
        warn(common, report.refusal().map(std::slice::from_ref).unwrap_or_default());
        if common.json() {
            let _ = writeln!(out, "{:#}", document(&report));
        } else {
            out.push_str(&text(&report));
        }
        Ok(if report.is_in_place() { Outcome::Done } else { Outcome::Differs })
    }
}

/// The backup IDs of the repairs since the last `apply`, newest first.
fn repairs(report: &Report) -> Vec<&str> {
    report.history.repairs.iter().map(|repair| repair.id.as_str()).collect()
}

/// The report as JSON.
pub fn document(report: &Report) -> Value {
    let plan = &report.plan;
    let steps: Vec<_> = lines(report)
        .iter()
        .map(|line| {
            json!({"step": line.step.name(), "path": line.path, "state": line.state, "detail": line.detail})
        })
        .collect();
    json!({
        "role": plan.role.name(),
        "kubernetesVersion": plan.version.map(|version| version.to_string()),
        "inPlace": report.is_in_place(),
        "interrupted": report.interrupted,
        "steps": steps,
        "storage": plan.storage.as_ref().map(storage_document),
        "refusal": report.refusal(),
        "running": {
            "state": if report.judges && is_seen(&plan.in_force) { plan.in_force.state.name() } else { "none" },
            "process": plan.in_force.process,
            "reasons": plan.in_force.reasons.iter().map(|reason| &reason.text).collect::<Vec<_>>(),
        },
        "lost": report.lost.as_ref().map(|lost| json!({
            "events": lost.events.iter().map(|(plugin, count)| (plugin.clone(), json!(count))).collect::<Map<_, _>>(),
            "since": rfc3339(lost.since),
        })),
        "warnings": plan.warnings,
        "selfHealing": {
            "enabled": report.heals,
            "repairs": repairs(report),
            "stopped": report.history.is_a_fight(),
        },
        "unproved": report.unproved,
        "backups": report.backups.iter().map(|set| set.id.as_str()).collect::<Vec<_>>(),
        "unreadableBackups": report.unreadable,
    })
}

/// The report for people.
pub fn text(report: &Report) -> String {
    let Report { plan, backups, history, .. } = report;
    let mut out = headline(plan);
    for line in &lines(report) {
        let detail = if line.detail.is_empty() { String::new() } else { format!("  {}", line.detail) };
        let _ = writeln!(out, "{:9} {:8} {}{detail}", line.step.name(), line.state, line.path);
    }
    out.push_str(&running(plan));
    out.push_str(&plan.storage.as_ref().map(storage_text).unwrap_or_default());
    if let Some(lost) = report.lost.as_ref().filter(|lost| !lost.events.is_empty()) {
        let counts: Vec<_> = lost.events.iter().map(|(plugin, count)| format!("{count} by {plugin}")).collect();
        let last = plan.storage.as_ref().and_then(|storage| storage.seen.history.events);
        let last = last
            .map(|times| format!("; the last event that it wrote was at {}", rfc3339(at(times.last))))
            .unwrap_or_default();
        let _ = writeln!(
            out,
            "events    lost     since the API server started at {}, by its own count: {}{last}",
            rfc3339(lost.since),
            counts.join(", ")
        );
    }
    let repairs = history.repairs.len();
    if report.heals || repairs > 0 || history.restored.is_some() {
        let state = if report.heals { "enabled" } else { "off" };
        let stopped = match &history.restored {
            _ if history.is_a_fight() => {
                "; no more repairs, because these were too many within an hour: find out what writes the manifest, then run \
                 `apply --wait 5m`"
                    .to_owned()
            }
            Some(id) => format!(
                "; neither self-healing nor a boot repairs anything until you run apply: {id} restored the node or rolled it back"
            ),
            None => String::new(),
        };
        let count = match (report.heals, repairs) {
            (false, 0) => String::new(),
            (_, 1) => "1 repair since apply".to_owned(),
            (_, repairs) => format!("{repairs} repairs since apply"),
        };
        let line = format!("{count}{stopped}");
        let _ = writeln!(out, "healing   {state:8} {}", line.trim_start_matches("; "));
    }
    if let Some(id) = &report.unproved {
        let why = match report.works {
            true => "another run still works: wait for it to end (fuser names it)",
            false => "a boot or an interrupted run left it; run `apply --wait 5m`",
        };
        let _ = writeln!(out, "proof     missing  not proved yet: {id}; {why}");
    }
    if report.interrupted {
        out.push_str(match report.works {
            true => "another run changes the node at this moment: wait for it to end (fuser names it)\n",
            false => "a run was interrupted: run the same command again to finish it\n",
        });
    }
    match backups.first() {
        Some(newest) => {
            let _ = writeln!(out, "backups   {}, the newest {} ({})", backups.len(), newest.id, newest.why);
        }
        None if report.unreadable.is_empty() => out.push_str("backups   none\n"),
        None => {}
    }
    if !report.unreadable.is_empty() {
        let _ = writeln!(out, "backups   unreadable: {}; see the warning", report.unreadable.join(", "));
    }
    out
}

/// Is anything known of the API server that runs? Without a kubelet and an API server, there is nothing to know.
fn is_seen(in_force: &InForce) -> bool {
    in_force.state != State::Unknown || in_force.process.is_some() || !in_force.reasons.is_empty()
}

/// The line about the API server that runs; none if nothing is known about it.
fn running(plan: &Plan) -> String {
    let InForce { state, process, reasons } = &plan.in_force;
    let process = match (process, state) {
        (Some(process), _) => format!(" ({process})"),
        (None, State::Starting | State::Silent) => String::new(),
        (None, _) => return String::new(),
    };
    let detail = match state {
        State::Ok => "has this policy, and writes this log",
        State::Pending => "does not have all of this yet; the kubelet restarts it",
        State::Differs => "does not have all of this",
        State::Starting => "takes no requests yet, or does not run yet",
        State::Silent => "does not answer",
        State::Unknown => "may not have all of this",
    };
    // What is about a policy that apply writes is in no warning.
    let see = match reasons.first() {
        Some(_) if reasons.iter().any(|reason| plan.warnings.contains(&reason.text)) => {
            "; see the warning".to_owned()
        }
        Some(reason) => format!(": {}", reason.text),
        None => String::new(),
    };
    format!("{:9} {:8} kube-apiserver{process}  {detail}{see}\n", "running", state.name())
}

/// One line for each path, and one for each step that the node does not have.
fn lines(report: &Report) -> Vec<Line> {
    let plan = &report.plan;
    let mut lines = Vec::new();
    for Subject { step, path } in &plan.subjects {
        let change = plan.changes.iter().find(|planned| planned.step == *step && planned.change.path() == path);
        let (state, detail) = match (change, &report.left_in_cluster) {
            (Some(planned), _) => ("differs", format!("apply would {}", describe(&planned.change))),
            (None, Some(id)) if path == KUBEADM_CONFIG => (
                "differs",
                format!(
                    "still has the settings, and the node does not: run restore {id}, or apply --wait 5m to audit again"
                ),
            ),
            (None, _) => ("ok", String::new()),
        };
        lines.push(Line { step: *step, path: path.clone(), state, detail });
    }
    for Subject { step, path } in &plan.skipped {
        let detail = "can't be changed; see the warning".to_owned();
        lines.push(Line { step: *step, path: path.clone(), state: "skipped", detail });
    }
    if let Some(why) = &plan.unknown {
        let path = KUBEADM_CONFIG.to_owned();
        lines.push(Line { step: Step::Kubeadm, path, state: "unknown", detail: why.clone() });
    }
    if let Some(why) = &plan.cluster_fault {
        let path = KUBEADM_CONFIG.to_owned();
        lines.push(Line { step: Step::Kubeadm, path, state: "differs", detail: why.clone() });
    }
    for step in Step::ALL {
        if !lines.iter().any(|line| line.step == step) && step != Step::Strays {
            let mut state = "none";
            let detail = match plan.role {
                _ if plan.is_unread => {
                    let (path, detail) = ("-".to_owned(), "not known; see the warning".to_owned());
                    lines.push(Line { step, path, state: "unknown", detail });
                    continue;
                }
                Role::Worker => "a worker has no API server",
                Role::Joining if step == Step::Kubeadm => {
                    "a joining control plane takes its flags from the cluster"
                }
                _ => match plan.no_log.filter(|_| step == Step::Storage) {
                    Some(NoLog { why, is_unknown }) => {
                        state = if is_unknown { "unknown" } else { state };
                        why
                    }
                    None => "not on this node",
                },
            };
            lines.push(Line { step, path: "-".to_owned(), state, detail: detail.to_owned() });
        }
    }
    lines.sort_by_key(|line| line.step);
    lines
}

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::*;
    use crate::facts::Targets;
    use crate::facts::backup::{Set, Why};
    use crate::facts::repairs::{Repair, RepairHistory};
    use crate::facts::server::Lost;
    use crate::plan::in_force::Reason;
    use crate::plan::testing::{audited, config, facts, planned, seen};

    fn set(id: &str, why: Why) -> Set {
        Set {
            id: id.to_owned(),
            when: "2026-11-24T12:13:26Z".to_owned(),
            why,
            complete: true,
            records: Vec::new(),
        }
    }

    fn lost(events: &[(&str, u64)]) -> Option<Lost> {
        let events = events.iter().map(|(plugin, count)| ((*plugin).to_owned(), *count)).collect();
        Some(Lost { events, since: at(1_795_522_406) })
    }

    /// A node that audits, with nothing else to report.
    fn report() -> Report {
        let config = config("");
        let (facts, targets) = audited(&config);
        Report {
            plan: planned(&config, &facts, &Targets { storage: Some(seen()), ..targets }),
            backups: Vec::new(),
            unreadable: Vec::new(),
            interrupted: false,
            works: false,
            heals: false,
            history: RepairHistory::default(),
            unproved: None,
            lost: None,
            left_in_cluster: None,
            judges: true,
        }
    }

    const PLACE: &str = "\
directory persistent /var/log/kubernetes/audit: ext4 at / on the disk vda1
forecast  up to 550.0 MiB on the disk (4.9 GiB uncompressed; compressed to 10 percent, measured); its file system has 40.0 GiB, 31.0 GiB of it free, and the kubelet evicts pods when less than 4.0 GiB is free
forecast  50.1 MiB of events an hour since 2026-11-24T13:13:26Z, a new file every 60 minutes: the log will reach back 4 days, limited by maxbackup
";
    const STEPS: &str = "\
a control plane; Kubernetes 1.31 from the manifest's image
storage   ok       /var/log/kubernetes/audit
policy    ok       /etc/kubernetes/audit-policy.yaml
kubeadm   none     -  not on this node
manifest  ok       /etc/kubernetes/manifests/kube-apiserver.yaml
";

    #[test]
    fn people_are_told_each_thing_that_is_the_matter() {
        let report = report();
        assert_eq!(text(&report), format!("{STEPS}{PLACE}backups   none\n"));
        for (state, line) in [
            (State::Ok, "ok       kube-apiserver (7)  has this policy, and writes this log"),
            (State::Differs, "differs  kube-apiserver (7)  does not have all of this; see the warning"),
            (
                State::Pending,
                "pending  kube-apiserver (7)  does not have all of this yet; the kubelet restarts it; see the warning",
            ),
            (
                State::Starting,
                "starting kube-apiserver (7)  takes no requests yet, or does not run yet; see the warning",
            ),
            (State::Silent, "silent   kube-apiserver (7)  does not answer; see the warning"),
            (State::Unknown, "unknown  kube-apiserver (7)  may not have all of this; see the warning"),
        ] {
            let mut report = self::report();
            // No line says that there is a warning where there is none.
            let bare = match line.strip_suffix("; see the warning") {
                Some(line) => format!("{line}: another"),
                None => line.to_owned(),
            };
            for (reason, line) in [("why", line), ("another", bare.as_str())] {
                report.plan.warnings = vec!["why".to_owned()];
                let mut reasons = vec![Reason { path: "/l".to_owned(), text: reason.to_owned() }];
                reasons.retain(|_| state != State::Ok);
                report.plan.in_force = InForce { state, process: Some(7), reasons };
                assert_eq!(text(&report), format!("{STEPS}running   {line}\n{PLACE}backups   none\n"));
            }
        }
        let repairs = |minutes: &[u64]| {
            let repair =
                |minute: &u64| Repair { id: format!("H{minute}"), when: format!("2026-11-24T12:{minute:02}:26Z") };
            minutes.iter().map(repair).collect::<Vec<_>>()
        };
        type Change = fn(&mut Report);
        for (change, line) in [
            (
                (|report| report.lost = lost(&[("log", 7), ("webhook", 1)])) as Change,
                "events    lost     since the API server started at 2026-11-24T12:13:26Z, by its own count: 7 by log, 1 by webhook; \
                 the last event that it wrote was at 2026-11-24T15:14:26Z\n",
            ),
            (|report| report.lost = lost(&[]), ""),
            (|report| report.heals = true, "healing   enabled  0 repairs since apply\n"),
            (
                |report| report.unproved = Some("U".to_owned()),
                "proof     missing  not proved yet: U; a boot or an interrupted run left it; run `apply --wait 5m`\n",
            ),
            (
                |report| (report.works, report.unproved) = (true, Some("U".to_owned())),
                "proof     missing  not proved yet: U; another run still works: wait for it to end (fuser names it)\n",
            ),
            (
                |report| (report.works, report.interrupted) = (true, true),
                "another run changes the node at this moment: wait for it to end (fuser names it)\n",
            ),
            (
                |report| report.interrupted = true,
                "a run was interrupted: run the same command again to finish it\n",
            ),
        ] {
            let mut report = self::report();
            change(&mut report);
            assert_eq!(text(&report), format!("{STEPS}{PLACE}{line}backups   none\n"));
        }
        for (heals, minutes, restored, line) in [
            (false, &[9, 5][..], None, "off      2 repairs since apply"),
            (
                true,
                &[9, 5, 1],
                None,
                "enabled  3 repairs since apply; no more repairs, because these were too many within an hour: find out what writes the \
                 manifest, then run `apply --wait 5m`",
            ),
            (
                true,
                &[],
                Some("R"),
                "enabled  0 repairs since apply; neither self-healing nor a boot repairs anything until you run apply: R restored the node or \
                 rolled it back",
            ),
            (
                false,
                &[],
                Some("R"),
                "off      neither self-healing nor a boot repairs anything until you run apply: R restored the node or \
                 rolled it back",
            ),
        ] {
            let history = RepairHistory { repairs: repairs(minutes), restored: restored.map(str::to_owned) };
            let report = Report { heals, history, ..self::report() };
            assert_eq!(text(&report), format!("{STEPS}{PLACE}healing   {line}\nbackups   none\n"));
        }
        let report = Report { backups: vec![set("B2", Why::Restore), set("B1", Why::Apply)], ..report };
        assert_eq!(text(&report), format!("{STEPS}{PLACE}backups   2, the newest B2 (restore)\n"));
    }

    #[test]
    fn programs_are_told_what_the_readme_says() {
        let plan = contract::shape("plan");
        let mut shape = contract::shape("status");
        for key in ["role", "kubernetesVersion", "storage", "warnings"] {
            assert!(shape.as_object_mut().unwrap().insert(key.to_owned(), plan[key].clone()).is_none(), "{key}");
        }
        let bare = document(&report());
        let mut full = report();
        full.interrupted = true;
        full.heals = true;
        full.history.repairs = vec![Repair { id: "H".to_owned(), when: "2026-11-24T12:13:26Z".to_owned() }];
        full.lost = lost(&[("log", 7)]);
        full.unproved = Some("U".to_owned());
        full.unreadable = vec!["B0".to_owned()];
        full.backups = vec![set("B2", Why::Heal), set("B1", Why::Apply)];
        full.plan.in_force = InForce {
            state: State::Differs,
            process: Some(7),
            reasons: vec![Reason { path: "/l".to_owned(), text: "why".to_owned() }],
        };
        full.plan.refusal = Some("why".to_owned());
        full.plan.warnings = vec!["a warning".to_owned()];
        full.plan.skipped = vec![Subject { step: Step::Kubeadm, path: "/etc/kubeadm.yaml".to_owned() }];
        full.plan.unknown = Some("nobody can be asked".to_owned());
        let full = document(&full);
        let open = document(&Report { plan: planned(&config(""), &facts(None), &Targets::default()), ..report() });
        contract::holds(&shape, &[bare.clone(), full.clone(), open.clone()]);
        let steps = |document: &Value| {
            document["steps"]
                .as_array()
                .unwrap()
                .iter()
                .map(|step| step["state"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(steps(&bare), ["ok", "ok", "none", "ok"]);
        assert_eq!(steps(&full), ["ok", "ok", "skipped", "unknown", "ok"]);
        assert_eq!(steps(&open), ["differs", "differs", "none", "none"]);
        for (key, plain, told) in [
            ("inPlace", json!(true), json!(false)),
            ("interrupted", json!(false), json!(true)),
            ("refusal", Value::Null, json!("why")),
            ("lost", Value::Null, json!({"events": {"log": 7}, "since": "2026-11-24T12:13:26Z"})),
            (
                "selfHealing",
                json!({"enabled": false, "repairs": [], "stopped": false}),
                json!({"enabled": true, "repairs": ["H"], "stopped": false}),
            ),
            ("unproved", Value::Null, json!("U")),
            (
                "running",
                json!({"state": "none", "process": null, "reasons": []}),
                json!({"state": "differs", "process": 7, "reasons": ["why"]}),
            ),
            ("backups", json!([]), json!(["B2", "B1"])),
            ("warnings", json!([]), json!(["a warning"])),
        ] {
            assert_eq!((&bare[key], &full[key]), (&plain, &told), "{key}");
        }
        type Change = fn(&mut Report);
        for change in [
            (|report| report.interrupted = true) as Change,
            |report| report.plan.refusal = Some("why".to_owned()),
            |report| report.plan.in_force.state = State::Differs,
            |report| report.plan.cluster_fault = Some("why".to_owned()),
            |report| report.plan.in_force.state = State::Pending,
            |report| report.plan.changes = planned(&config(""), &facts(None), &Targets::default()).changes,
        ] {
            let mut report = report();
            assert!(report.is_in_place());
            change(&mut report);
            assert!(!report.is_in_place());
        }
        let objection =
            Report { plan: Plan { objection: Some("no room".to_owned()), ..report().plan }, ..report() };
        assert_eq!((document(&objection)["refusal"].clone(), objection.is_in_place()), (json!("no room"), true));
    }
}
