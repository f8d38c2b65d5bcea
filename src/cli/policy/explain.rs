//! `policy explain`: what a policy does with a request.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::source::{Asked, asked, document, log};
use crate::audit::policy::compose::Origin;
use crate::audit::policy::evaluate::{self, Decision, Request, Target};
use crate::audit::policy::read::Reading;
use crate::audit::policy::{self, Level};
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
        let Asked { name, text, version, origins } = asked(self.file, common)?;
        let version = self.kubernetes_version.or(version);
        let reading = if self.strict { Reading::Strict } else { Reading::AsServed };
        let (policy, findings) = policy::lint::check_as(&text, version, reading);
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
            let mut document = document(&name, true, &findings);
            document["request"] = request_json(&request);
            document["warnings"] = json!(warnings);
            explain_json(&policy, &request, &decision, &origins, &mut document);
            let _ = writeln!(out, "{document:#}");
        } else {
            explain_text(&policy, &request, &decision, &origins, out);
        }
        Ok(Outcome::Done)
    }

    /// The request as the API server sees it, and warnings about it.
    ///
    /// # Errors
    ///
    /// An option is wrong.
    fn request(&self) -> Result<(Request, Vec<String>)> {
        let mut warnings = Vec::new();
        let target = match (&self.resource, &self.path) {
            (_, Some(path)) if !path.starts_with('/') || path.contains('?') => {
                let message = format!("--path {path}: the path must begin with \"/\", and have no query");
                return Err(Misuse(message).into());
            }
            (_, Some(path)) if evaluate::is_resource_path(path) => {
                return Err(
                    Misuse(format!("--path {path}: this is the path of a resource; use --resource")).into()
                );
            }
            (_, Some(path)) => Target::Url(path.clone()),
            (resource, None) => self.resource_target(resource.as_deref().unwrap_or_default(), &mut warnings)?,
        };
        let request = Request {
            groups: evaluate::groups_of(&self.user, self.groups.clone()),
            user: self.user.clone(),
            verb: self.verb.clone(),
            target,
        };
        if let Some(why) = policy::words::refusal(&request) {
            return Err(Misuse(why).into());
        }
        warnings.extend(policy::words::doubts(&request));
        Ok((request, warnings))
    }

    fn resource_target(&self, resource: &str, warnings: &mut Vec<String>) -> Result<Target> {
        let (resource, subresource) = match resource.split_once('/') {
            Some((resource, sub)) if !sub.is_empty() && !sub.contains('/') => (resource, sub),
            None => (resource, ""),
            _ => ("", ""),
        };
        if resource.is_empty() {
            return Err(Misuse(
                "--resource: write RESOURCE or RESOURCE/SUBRESOURCE, such as pods or pods/log".to_owned(),
            )
            .into());
        }
        let mut name = self.name.clone().unwrap_or_default();
        if self.verb == "deletecollection" && !name.is_empty() {
            warnings.push(
                "a deletecollection has no name, not even with a field selector: --name is ignored".to_owned(),
            );
            name.clear();
        }
        // The URL of a create request has a name only for a subresource, whose object exists.
        if self.verb == "create" && subresource.is_empty() && !name.is_empty() {
            warnings.push(
                "the API server doesn't look at the name of an object that a request creates: --name is ignored"
                    .to_owned(),
            );
            name.clear();
        }
        // The API server reads the URL of a namespace as a request in that namespace.
        let own = if resource == "namespaces" { name.clone() } else { String::new() };
        Ok(Target::Resource {
            group: self.api_group.clone().unwrap_or_default(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: self.namespace.clone().unwrap_or(own),
            name,
        })
    }
}

/// The rules before the rule that decides, or all rules if none does: number, position, and why it doesn't match.
fn passed_over<'a>(
    policy: &'a policy::Policy,
    request: &'a Request,
    decision: &Decision,
) -> impl Iterator<Item = (usize, Position, String)> + 'a {
    let before = policy.rules.iter().take(decision.rule.unwrap_or(policy.rules.len()));
    before.enumerate().map(|(i, rule)| {
        let why = evaluate::mismatch(rule, request).map(|why| evaluate::reason(why, rule, request));
        (i + 1, rule.position, why.unwrap_or_default())
    })
}

/// Number and position of the rule that decides.
fn decisive(policy: &policy::Policy, decision: &Decision) -> Option<(usize, Position)> {
    let index = decision.rule?;
    Some((index + 1, policy.rules.get(index)?.position))
}

fn explain_text(
    policy: &policy::Policy,
    request: &Request,
    decision: &Decision,
    origins: &[Origin],
    out: &mut String,
) {
    let named = |number: usize, position: Position| match origins.get(number - 1) {
        Some(origin) => format!("rule {number} at {position} ({origin})"),
        None => format!("rule {number} at {position}"),
    };
    for (number, position, why) in passed_over(policy, request, decision) {
        let _ = writeln!(out, "{}: {why}", named(number, position));
    }
    let _ = match decisive(policy, decision) {
        Some((number, position)) => writeln!(out, "{} decides", named(number, position)),
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

fn explain_json(
    policy: &policy::Policy,
    request: &Request,
    decision: &Decision,
    origins: &[Origin],
    document: &mut Value,
) {
    let at = |number: usize, position: Position| json!({"number": number, "line": position.line, "column": position.column});
    let rule = |number: usize, position: Position| {
        let mut rule = at(number, position);
        rule["from"] = origins.get(number - 1).map_or(Value::Null, |origin| {
            let mut from = at(origin.number, origin.position);
            from["file"] = json!(origin.name);
            from
        });
        rule
    };
    document["rule"] = decisive(policy, decision).map_or(Value::Null, |(number, position)| rule(number, position));
    document["level"] = json!(decision.level.to_string());
    document["omitStages"] = decision.omit_stages.iter().map(ToString::to_string).collect();
    document["omitManagedFields"] = json!(decision.omit_managed_fields);
    document["passedOver"] = passed_over(policy, request, decision)
        .map(|(number, position, why)| {
            let mut rule = rule(number, position);
            rule["reason"] = json!(why);
            rule
        })
        .collect();
}

fn request_json(request: &Request) -> Value {
    let mut value = json!({"user": request.user, "groups": request.groups, "verb": request.verb});
    match &request.target {
        Target::Url(path) => value["path"] = json!(path),
        Target::Resource { group, resource, subresource, namespace, name } => {
            value["apiGroup"] = json!(group);
            value["resource"] = json!(resource);
            value["subresource"] = json!(subresource);
            value["namespace"] = json!(namespace);
            value["name"] = json!(name);
        }
    }
    value
}
