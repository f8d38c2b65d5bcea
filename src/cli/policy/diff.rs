//! `policy diff`: for which requests two policies differ.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::request::{self, typed};
use super::source::{Accepted, read_once, subject};
use crate::audit::policy::Level;
use crate::audit::policy::diff::words::{Described, Resources, Words};
use crate::audit::policy::diff::{Change, Class, Differences, answer, compare};
use crate::audit::policy::evaluate::Decision;
use crate::audit::version::Version;
use crate::cli::common::{Common, Outcome, kubernetes_version};

/// So many areas of a difference are shown.
const SHOWN: usize = 4;

/// Compare two policies; exit 3 if they record any request differently
#[derive(Debug, Args)]
pub struct Diff {
    /// A policy file, - for standard input, or a profile
    first: PathBuf,
    /// What to compare it with; without this, the node's own policy is compared with the first
    second: Option<PathBuf>,
    /// The Kubernetes version of the policies; by default, the node's version for the node's own policy, and all supported
    /// versions for files
    #[arg(long, value_name = "VERSION", value_parser = kubernetes_version)]
    kubernetes_version: Option<Version>,
}

impl Diff {
    pub(super) fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        read_once([&self.first].into_iter().chain(&self.second))?;
        let (from, to) = match self.second {
            Some(second) => (Some(self.first), second),
            None => (None, self.first),
        };
        let from = subject(from, common)?;
        let version = self.kubernetes_version.or(from.version);
        let policies = (Accepted::of(from, version), Accepted::of(subject(Some(to), common)?, version));
        let (Some(from), Some(to)) = policies else { return Ok(Outcome::Failed) };
        let Some(differences) = compare([&from.policy, &to.policy]) else {
            log::error!(
                "{} and {}: the policies differ in too many ways to find them all; compare them in parts",
                from.name,
                to.name
            );
            return Ok(Outcome::Failed);
        };
        let policies = [&from, &to];
        if common.json() {
            let _ = writeln!(out, "{:#}", document(policies, &differences));
        } else {
            text(policies, &differences, out);
        }
        Ok(if differences.classes.is_empty() { Outcome::Done } else { Outcome::Differs })
    }
}

fn text(policies: [&Accepted; 2], differences: &Differences, out: &mut String) {
    for class in &differences.classes {
        let (mark, what) = match class.change {
            Change::New => ('+', "now recorded"),
            Change::Gone => ('-', "no longer recorded"),
            Change::More => ('>', "more is recorded"),
            Change::Less => ('<', "less is recorded"),
            Change::Other => ('~', "something else is recorded"),
        };
        let side = |side: usize| {
            let decision = &class.decisions[side];
            format!("{} {}", recorded(decision), policies[side].by_rule(decision))
        };
        let _ = writeln!(out, "{mark} {what}: {}; then {}", side(0), side(1));
        let areas = differences.described(class);
        let count = areas.len();
        for area in areas.take(SHOWN) {
            let _ = writeln!(out, "    {}", line(&area));
        }
        if count > SHOWN {
            let _ = writeln!(out, "    and {} more of {count}; --output json lists all", count - SHOWN);
        }
        let _ = writeln!(out, "    such as {}", typed(&class.witness));
    }
    let _ = match differences.classes.len() {
        0 => writeln!(out, "no differences"),
        1 => writeln!(out, "1 difference"),
        number => writeln!(out, "{number} differences"),
    };
}

/// What is recorded, in words.
fn recorded(decision: &Decision) -> String {
    if answer(decision) == 0 {
        return "nothing".to_owned();
    }
    let mut text = decision.level.to_string();
    if !decision.omit_stages.is_empty() {
        let stages: Vec<_> = decision.omit_stages.iter().map(ToString::to_string).collect();
        let _ = write!(text, " without {}", stages.join(", "));
    }
    if decision.omit_managed_fields && decision.level > Level::Metadata {
        text.push_str(", managed fields left out");
    }
    text
}

/// An area as a line.
fn line(area: &Described) -> String {
    let mut parts = Vec::new();
    let mut add = |axis: &str, words: &Option<Words>| {
        if let Some(words) = words {
            parts.push(format!("{axis} {}", listed(words)));
        }
    };
    add("users", &area.users);
    add("verbs", &area.verbs);
    add("paths", &area.paths);
    add("namespaces", &area.namespaces);
    add("names", &area.names);
    if let Some(Resources { except, groups }) = &area.resources {
        let groups: Vec<_> = groups
            .iter()
            .map(|(group, words)| {
                let group = if group.is_empty() { "core" } else { group };
                let words = if words.except && words.words.is_empty() { "*".to_owned() } else { listed(words) };
                format!("{group}: {words}")
            })
            .collect();
        parts.push(format!("resources {}{}", if *except { "all but " } else { "" }, groups.join("; ")));
    }
    for groups in &area.one_of {
        parts.push(format!("in group {}", groups.join(" or ")));
    }
    if !area.none_of.is_empty() {
        parts.push(format!("not in group {}", area.none_of.join(" or ")));
    }
    let kind = if area.is_url { "requests for paths" } else { "requests for resources" };
    if parts.is_empty() { format!("all {kind}") } else { format!("{kind}: {}", parts.join(" | ")) }
}

fn listed(words: &Words) -> String {
    let shown: Vec<_> =
        words.words.iter().map(|word| if word.is_empty() { "\"\"" } else { word.as_str() }).collect();
    format!("{}{}", if words.except { "all but " } else { "" }, shown.join(", "))
}

fn document(policies: [&Accepted; 2], differences: &Differences) -> Value {
    let classes: Vec<_> =
        differences.classes.iter().map(|class| class_json(class, policies, differences)).collect();
    json!({"from": policies[0].name, "to": policies[1].name, "differences": classes})
}

fn class_json(class: &Class, policies: [&Accepted; 2], differences: &Differences) -> Value {
    let change = match class.change {
        Change::New => "new",
        Change::Gone => "gone",
        Change::More => "more",
        Change::Less => "less",
        Change::Other => "other",
    };
    let side = |side: usize| {
        let decision = &class.decisions[side];
        json!({
            "rule": policies[side].decisive(decision).map(|rule| policies[side].rule_json(rule)),
            "level": decision.level.to_string(),
            "omitStages": decision.omit_stages.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "omitManagedFields": decision.omit_managed_fields,
        })
    };
    let areas: Vec<_> = differences.described(class).map(|area| area_json(&area)).collect();
    json!({
        "change": change, "from": side(0), "to": side(1),
        "request": request::json(&class.witness), "areas": areas,
    })
}

fn area_json(area: &Described) -> Value {
    let words = |words: &Words| json!({"except": words.except, "words": words.words});
    let some = |axis: &Option<Words>| axis.as_ref().map(words);
    let resources = area.resources.as_ref().map(|resources| {
        let groups: Vec<_> = resources
            .groups
            .iter()
            .map(|(group, listed)| json!({"group": group, "except": listed.except, "words": listed.words}))
            .collect();
        json!({"except": resources.except, "groups": groups})
    });
    json!({
        "of": if area.is_url { "paths" } else { "resources" },
        "users": some(&area.users), "inGroups": area.one_of, "notInGroups": area.none_of,
        "verbs": some(&area.verbs), "resources": resources, "paths": some(&area.paths),
        "namespaces": some(&area.namespaces), "names": some(&area.names),
    })
}
