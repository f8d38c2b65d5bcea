//! `policy explain`: what a policy does with a request.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::request;
use super::source::{Accepted, Subject, document, log, subject};
use crate::audit::policy::evaluate::{self, Decision, Request};
use crate::audit::policy::read::Reading;
use crate::audit::policy::request::Asked;
use crate::audit::policy::{Level, lint};
use crate::audit::version::Version;
use crate::cli::common::{Common, Outcome, kubernetes_version};
use crate::cli::show::warn;
use crate::run::misuse::Misuse;
use crate::yaml::Position;

/// Explain what a policy does with a request: which rule decides, why the earlier rules do not match, what is recorded
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("target").required(true).args(["resource", "path"])))]
pub struct Explain {
    /// A policy file, - for standard input, or a profile; by default, the node's own policy
    file: Option<PathBuf>,
    /// The user who makes the request, who may impersonate another; "" for one whose login fails
    #[arg(long, value_name = "NAME")]
    user: String,
    /// A group of the user; may be repeated. system:authenticated and the groups of a service account and of a node are
    /// always added
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
    /// The verb, such as get, list or create; for a path the HTTP method, in lower case
    #[arg(long)]
    verb: String,
    /// The resource of the request, in the plural, such as pods or pods/log
    #[arg(long, value_name = "RESOURCE[/SUB]")]
    resource: Option<String>,
    /// The API group of the resource, such as apps; by default, the core group
    #[arg(long, value_name = "GROUP", requires = "resource", conflicts_with = "path")]
    api_group: Option<String>,
    /// The namespace; leave it out if the resource has none, or if the request is for all namespaces
    #[arg(long, value_name = "NAME", requires = "resource", conflicts_with = "path")]
    namespace: Option<String>,
    /// The name of the object; a list request and most create requests have none
    #[arg(long, value_name = "NAME", requires = "resource", conflicts_with = "path")]
    name: Option<String>,
    /// The path of a request that is not for a resource, such as /healthz
    #[arg(long)]
    path: Option<String>,
    /// The Kubernetes version to check the policy for; the default is as for `policy check`
    #[arg(long, value_name = "VERSION", value_parser = kubernetes_version)]
    kubernetes_version: Option<Version>,
    /// Refuse a policy that the API server reads in another way than it says, instead of a warning
    #[arg(long)]
    strict: bool,
}

impl Explain {
    pub(super) fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let (request, warnings) = self.request()?;
        let Subject { name, text, version, origins } = subject(self.file, common)?;
        let version = self.kubernetes_version.or(version);
        let reading = if self.strict { Reading::Strict } else { Reading::AsServed };
        let (policy, findings) = lint::check_as(&text, version, reading);
        if !common.json() {
            log(&name, &findings);
        }
        let Some(policy) = policy else {
            if common.json() {
                let _ = writeln!(out, "{:#}", document(&name, false, &findings));
            }
            return Ok(Outcome::Failed);
        };
        let decision = evaluate::evaluate(&policy, &request);
        let accepted = Accepted { name, policy, origins };
        let mut warnings = warnings;
        if decision.level != Level::None && !evaluate::is_recorded(&decision, &request) {
            let stages: Vec<_> = evaluate::stages_of(&request).iter().map(ToString::to_string).collect();
            warnings.push(format!(
                "nothing is recorded: such a request has no other stages than {}, and the policy omits them",
                stages.join(" and ")
            ));
        }
        warn(common, &warnings);
        if common.json() {
            let mut document = document(&accepted.name, true, &findings);
            document["request"] = request::json(&request);
            document["warnings"] = json!(warnings);
            explain_json(&accepted, &request, &decision, &mut document);
            let _ = writeln!(out, "{document:#}");
        } else {
            explain_text(&accepted, &request, &decision, out);
        }
        Ok(Outcome::Done)
    }

    /// The request as the API server sees it, and warnings about it.
    ///
    /// # Errors
    ///
    /// An option is wrong.
    fn request(&self) -> Result<(Request, Vec<String>)> {
        let asked = Asked {
            user: &self.user,
            groups: &self.groups,
            verb: &self.verb,
            resource: self.resource.as_deref().unwrap_or_default(),
            api_group: self.api_group.as_deref().unwrap_or_default(),
            namespace: self.namespace.as_deref(),
            name: self.name.as_deref().unwrap_or_default(),
            path: self.path.as_deref(),
        };
        asked.request().map_err(|refusal| Misuse(format!("--{} {}", refusal.field, refusal.message)).into())
    }
}

/// The rules before the rule that decides, or all rules if none does: number, position, and why it doesn't match.
fn passed_over<'a>(
    Accepted { policy, .. }: &'a Accepted,
    request: &'a Request,
    decision: &Decision,
) -> impl Iterator<Item = (usize, Position, String)> + 'a {
    let before = policy.rules.iter().take(decision.rule.unwrap_or(policy.rules.len()));
    before.enumerate().map(|(i, rule)| {
        let why = evaluate::mismatch(rule, request).map(|why| evaluate::reason(why, rule, request));
        (i + 1, rule.position, why.unwrap_or_default())
    })
}

fn explain_text(accepted: &Accepted, request: &Request, decision: &Decision, out: &mut String) {
    for (number, position, why) in passed_over(accepted, request, decision) {
        let _ = writeln!(out, "{}: {why}", accepted.rule(number, position));
    }
    let _ = match accepted.decisive(decision) {
        Some((number, position)) => writeln!(out, "{} decides", accepted.rule(number, position)),
        None => writeln!(out, "no rule matches"),
    };
    if decision.level == Level::None {
        let _ = writeln!(out, "level: None, so nothing is recorded");
        return;
    }
    let stages: Vec<_> = decision.omit_stages.iter().map(ToString::to_string).collect();
    let stages = if stages.is_empty() { "none".to_owned() } else { stages.join(", ") };
    let fields = if decision.omit_managed_fields { "left out" } else { "kept" };
    let _ = writeln!(out, "level: {}\nstages not recorded: {stages}\nmanaged fields: {fields}", decision.level);
}

fn explain_json(accepted: &Accepted, request: &Request, decision: &Decision, document: &mut Value) {
    document["rule"] = json!(accepted.decisive(decision).map(|rule| accepted.rule_json(rule)));
    document["level"] = json!(decision.level.to_string());
    document["omitStages"] = decision.omit_stages.iter().map(ToString::to_string).collect();
    document["omitManagedFields"] = json!(decision.omit_managed_fields);
    document["passedOver"] = passed_over(accepted, request, decision)
        .map(|(number, position, why)| {
            let mut rule = accepted.rule_json((number, position));
            rule["reason"] = json!(why);
            rule
        })
        .collect();
}
