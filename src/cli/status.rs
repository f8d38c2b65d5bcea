//! `status`: what is in place, step by step.

use std::cell::OnceCell;
use std::fmt::Write as _;

use anyhow::Result;
use clap::Args;
use serde_json::{Map, json};

use super::change::describe;
use super::{Common, Outcome, Overrides, configuration, headline, storage, survey, warn};
use crate::node::{apiserver, backup, cluster, healing, pending};
use crate::plan::{Plan, Role, Step};
use crate::time::{at, rfc3339};

/// Show what is in place and what drifted; exit 3 if apply would change anything
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    overrides: Overrides,
}

/// The state of one thing.
struct Line {
    step: Step,
    path: String,
    state: &'static str,
    detail: String,
}

impl Status {
    pub fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let root = common.open_root()?;
        let config = configuration(&root, common, &self.overrides)?;
        let policy = OnceCell::new();
        let plan = survey(&root, &config, &self.overrides, &policy)?;
        let backups = backup::list(&root)?;
        let interrupted = backup::unfinished(&root)?;
        let (heals, history) = (healing::is_enabled(&root), healing::history(&root)?);
        let repairs: Vec<_> = history.repairs.iter().map(|(id, _)| id.as_str()).collect();
        let unproved = pending::set(&root)?;
        let lost = if plan.role == Role::ControlPlane && root.is_host() { apiserver::lost() } else { None };
        warn(common, &plan.warnings);
        let refusal = plan.refusal.as_ref().or(plan.objection.as_ref());
        warn(common, refusal.map(std::slice::from_ref).unwrap_or_default());
        let lines = lines(&plan);
        let is_in_place = plan.changes.is_empty() && plan.refusal.is_none() && !interrupted;
        if common.json() {
            let steps: Vec<_> = lines
                .iter()
                .map(|line| {
                    json!({"step": line.step.name(), "path": line.path, "state": line.state, "detail": line.detail})
                })
                .collect();
            let document = json!({
                "role": plan.role.name(),
                "kubernetesVersion": plan.version.map(|version| version.to_string()),
                "inPlace": is_in_place,
                "interrupted": interrupted,
                "steps": steps,
                "storage": plan.storage.as_ref().map(storage::document),
                "refusal": refusal,
                "lost": lost.as_ref().map(|(lost, since)| json!({
                    "events": lost.iter().map(|(plugin, count)| (plugin.clone(), json!(count))).collect::<Map<_, _>>(),
                    "since": rfc3339(*since),
                })),
                "warnings": plan.warnings,
                "selfHealing": {"enabled": heals, "repairs": repairs, "stopped": history.is_a_fight()},
                "unproved": unproved.as_ref().map(|set| set.id.as_str()),
                "backups": backups.iter().map(|set| set.id.as_str()).collect::<Vec<_>>(),
            });
            let _ = writeln!(out, "{document:#}");
        } else {
            out.push_str(&headline(&plan));
            for line in &lines {
                let detail = if line.detail.is_empty() { String::new() } else { format!("  {}", line.detail) };
                let _ = writeln!(out, "{:9} {:8} {}{detail}", line.step.name(), line.state, line.path);
            }
            out.push_str(&plan.storage.as_ref().map(storage::text).unwrap_or_default());
            if let Some((lost, since)) = lost.filter(|(lost, _)| !lost.is_empty()) {
                let counts: Vec<_> = lost.iter().map(|(plugin, count)| format!("{count} by {plugin}")).collect();
                let last = plan.storage.as_ref().and_then(|storage| storage.seen.history.events);
                let last = last
                    .map(|(_, last)| format!("; the last that could be was at {}", rfc3339(at(last))))
                    .unwrap_or_default();
                let _ = writeln!(
                    out,
                    "events    lost     since the API server started at {}, as it counts: {}{last}",
                    rfc3339(since),
                    counts.join(", ")
                );
            }
            if heals || !repairs.is_empty() {
                let state = if heals { "enabled" } else { "off" };
                let stopped = match &history.restored {
                    _ if history.is_a_fight() => {
                        ", too many within an hour: no more are made, find out what writes the manifest".to_owned()
                    }
                    Some(id) => format!(", and none until apply is run: {id} put the node back"),
                    None => String::new(),
                };
                let _ = writeln!(out, "healing   {state:8} {} repairs since apply{stopped}", repairs.len());
            }
            if let Some(set) = &unproved {
                let _ = writeln!(
                    out,
                    "proof     missing  of {}, by a boot, or a run that was killed or waits; apply --wait goes on with it",
                    set.id
                );
            }
            if interrupted {
                out.push_str("a run was interrupted, or is under way: run it again to finish its job\n");
            }
            match backups.first() {
                Some(newest) => {
                    let _ =
                        writeln!(out, "backups   {}, the newest {} ({})", backups.len(), newest.id, newest.why);
                }
                None => out.push_str("backups   none\n"),
            }
        }
        Ok(if is_in_place { Outcome::Done } else { Outcome::Differs })
    }
}

fn lines(plan: &Plan) -> Vec<Line> {
    let mut lines = Vec::new();
    for (step, path) in &plan.subjects {
        let change = plan.changes.iter().find(|planned| planned.step == *step && planned.change.path() == path);
        let (state, detail) = match change {
            None => ("ok", String::new()),
            Some(planned) => ("differs", format!("apply would {}", describe(&planned.change))),
        };
        lines.push(Line { step: *step, path: path.clone(), state, detail });
    }
    for path in &plan.skipped {
        let detail = "can't be edited, see the warning".to_owned();
        lines.push(Line { step: Step::Kubeadm, path: path.clone(), state: "skipped", detail });
    }
    if let Some(why) = &plan.unknown {
        let path = cluster::NAME.to_owned();
        lines.push(Line { step: Step::Kubeadm, path, state: "unknown", detail: why.clone() });
    }
    for step in Step::ALL {
        if !lines.iter().any(|line| line.step == step) && step != Step::Strays {
            let detail = match plan.role {
                Role::Worker => "a worker has no API server",
                _ => "not on this node",
            };
            lines.push(Line { step, path: "-".to_owned(), state: "none", detail: detail.to_owned() });
        }
    }
    lines.sort_by_key(|line| line.step);
    lines
}
