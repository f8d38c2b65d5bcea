//! `plan`: what `apply` would do.

use std::cell::OnceCell;
use std::fmt::Write as _;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::change::{action, describe, diff};
use super::{Common, Outcome, Overrides, configuration, headline, storage, survey, warn};
use crate::node::change::Change;
use crate::plan::Planned;

/// Show what apply would change, as a unified diff; exit 3 if anything
#[derive(Debug, Args)]
pub struct Plan {
    #[command(flatten)]
    overrides: Overrides,
}

impl Plan {
    pub fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let root = common.open_root()?;
        let config = configuration(&root, common, &self.overrides)?;
        let policy = OnceCell::new();
        let plan = survey(&root, &config, &self.overrides, &policy)?;
        show(&plan, common, out)
    }
}

/// Prints a plan.
pub fn show(plan: &crate::plan::Plan, common: &Common, out: &mut String) -> Result<Outcome> {
    warn(common, &plan.warnings);
    plan.allowed()?;
    if common.json() {
        let _ = writeln!(out, "{:#}", document(plan, None));
    } else {
        out.push_str(&headline(plan));
        out.push_str(&plan.storage.as_ref().map(storage::text).unwrap_or_default());
        if plan.changes.is_empty() {
            out.push_str(nothing(plan));
        }
        for planned in &plan.changes {
            let _ = writeln!(out, "{:9} {}", planned.step.name(), describe(&planned.change));
        }
        for planned in &plan.changes {
            if let Some(diff) = diff(&planned.change) {
                out.push('\n');
                out.push_str(&diff);
            }
        }
    }
    Ok(if plan.changes.is_empty() { Outcome::Done } else { Outcome::Differs })
}

/// What there is to say where nothing changes.
pub fn nothing(plan: &crate::plan::Plan) -> &'static str {
    match plan.role {
        crate::plan::Role::Worker => "nothing to do: a worker has no API server\n",
        _ => "nothing to do: everything is in place\n",
    }
}

/// A plan as JSON. `backup` is there after an `apply`.
pub fn document(plan: &crate::plan::Plan, backup: Option<&str>) -> Value {
    json!({
        "role": plan.role.name(),
        "kubernetesVersion": plan.version.map(|version| version.to_string()),
        "changes": plan.changes.iter().map(change).collect::<Vec<_>>(),
        "storage": plan.storage.as_ref().map(storage::document),
        "warnings": plan.warnings,
        "backup": backup,
    })
}

fn change(planned: &Planned) -> Value {
    let mut value = json!({
        "step": planned.step.name(),
        "action": action(&planned.change),
        "path": planned.change.path(),
    });
    if let Change::CreateDirectory { attributes, .. }
    | Change::SetAttributes { after: attributes, .. }
    | Change::WriteFile { attributes, .. } = &planned.change
    {
        value["mode"] = json!(format!("{:04o}", attributes.mode));
        value["uid"] = json!(attributes.uid);
        value["gid"] = json!(attributes.gid);
    }
    if let Some(diff) = diff(&planned.change) {
        value["diff"] = json!(diff);
    }
    value
}
