//! `policy`: what is done with audit policies as text. One file a verb.

mod check;
mod diff;
mod explain;
mod test;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use super::common::{Common, Outcome, OutputFormat, Overrides, TEXT_AND_JSON, run_of};
use crate::audit::policy::Policy;
use crate::audit::policy::evaluate::{Decision, Request, Target};
use crate::audit::policy::read;
use crate::audit::version::Version;
use crate::plan::Occasion;
use crate::run::given;
use crate::run::misuse::Misuse;
use crate::yaml::Position;
use crate::yaml::fields::{Finding, Severity};

/// Check an audit policy, explain what it does with a request, test it, or compare it with another one
#[derive(Debug, Subcommand)]
pub enum PolicyVerb {
    Check(check::Check),
    Explain(explain::Explain),
    Test(test::Test),
    Diff(diff::Diff),
}

impl PolicyVerb {
    /// What the verb can print.
    pub fn formats(&self) -> &'static [OutputFormat] {
        match self {
            PolicyVerb::Test(_) => &[OutputFormat::Text, OutputFormat::Json, OutputFormat::Junit],
            _ => TEXT_AND_JSON,
        }
    }

    /// Runs the verb. What it prints on stdout goes to `out`.
    ///
    /// # Errors
    ///
    /// An option is wrong, or the policy can't be read.
    pub fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        match self {
            PolicyVerb::Check(check) => check.run(common, out),
            PolicyVerb::Explain(explain) => explain.run(common, out),
            PolicyVerb::Test(test) => test.run(common, out),
            PolicyVerb::Diff(diff) => diff.run(common, out),
        }
    }
}

/// The name of a policy, its text, and its Kubernetes version if that is known.
fn source(file: Option<PathBuf>, common: &Common) -> Result<(String, String, Option<Version>)> {
    match file {
        Some(path) => Ok((path.display().to_string(), given::read(&path)?, None)),
        None => nodes_own(common),
    }
}

/// Refuses standard input as the name of more than one of the files.
///
/// # Errors
///
/// A [`Misuse`].
fn read_once<'p>(files: impl Iterator<Item = &'p PathBuf>) -> Result<()> {
    if files.filter(|file| file.as_os_str() == "-").count() > 1 {
        return Err(Misuse("-: standard input can be read only once; name a file instead".to_owned()).into());
    }
    Ok(())
}

/// A policy that other verbs than `check` ask. `None` if it is refused; its errors are logged.
fn accepted(name: &str, text: &str, version: Option<Version>) -> Option<Policy> {
    let (policy, mut findings) = read::parse(text, version);
    findings.retain(|finding| finding.severity == Severity::Error);
    log(name, &findings);
    policy
}

/// A request as words of a command line: what `policy explain` takes.
fn typed(request: &Request) -> String {
    let words: Vec<_> =
        request.options().iter().map(|(option, value)| format!("--{option} {}", shell_word(value))).collect();
    words.join(" ")
}

/// A text as one word of a shell.
fn shell_word(text: &str) -> String {
    match !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+=@,%:".contains(c)) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Number and position of the rule that decides.
fn decisive(policy: &Policy, decision: &Decision) -> Option<(usize, Position)> {
    let index = decision.rule?;
    Some((index + 1, policy.rules.get(index)?.position))
}

/// The rule that decides, as words.
fn by_rule(name: &str, policy: &Policy, decision: &Decision) -> String {
    match decisive(policy, decision) {
        Some((number, position)) => format!("by rule {number} at {name}:{position}"),
        None => "as no rule matches".to_owned(),
    }
}

fn rule_json((number, position): (usize, Position)) -> Value {
    json!({"number": number, "line": position.line, "column": position.column})
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

fn log(name: &str, findings: &[Finding]) {
    for finding in findings {
        let line = format!("{name}:{}: {}", finding.position, finding.message);
        match finding.severity {
            Severity::Error => log::error!("{line}"),
            Severity::Warning => log::warn!("{line}"),
        }
    }
}

fn document(name: &str, accepted: bool, findings: &[Finding]) -> Value {
    let findings: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "severity": match finding.severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                },
                "line": finding.position.line,
                "column": finding.position.column,
                "message": finding.message,
            })
        })
        .collect();
    json!({"file": name, "accepted": accepted, "findings": findings})
}

/// The node's own policy: its path, its text, and the Kubernetes version that the node's other files give.
fn nodes_own(common: &Common) -> Result<(String, String, Option<Version>)> {
    let root = common.open_root()?;
    let run = run_of(&root, common.config.as_deref(), &Overrides::default(), Occasion::Any)?;
    let path = run.policy_path();
    let Some(text) = root.text(&path)? else {
        return Err(
            Misuse(format!("{}: the node has no policy there; name a policy file", root.shown(&path))).into()
        );
    };
    Ok((path, text.text, run.version()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Cli, Verb, contract};
    use super::*;
    use clap::Parser as _;

    #[test]
    fn a_check_and_an_explanation_are_printed_as_the_readme_says() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{text}")).unwrap();
            path.display().to_string()
        };
        let good = file(
            "good",
            "omitStages: [RequestReceived]\nrules:\n- {level: None, users: [bob]}\n- {level: Metadata, users: [alice]}\n",
        );
        let bad = file(
            "bad",
            "rules:\n- {level: Metadata, resources: [{resources: [pod]}]}\n- {level: Metadata, verb: [get]}\n",
        );
        let printed = |line: &str| {
            let words = format!("program policy {line} --output json --kubernetes-version 1.33");
            let cli = Cli::try_parse_from(words.split(' ')).expect(line);
            let Verb::Policy(verb) = cli.verb else { panic!("{line}") };
            let mut out = String::new();
            verb.run(&cli.common, &mut out).unwrap();
            serde_json::from_str::<Value>(&out).expect(&out)
        };
        let check = contract::shape("check");
        contract::holds(&check, &[printed(&format!("check {good}")), printed(&format!("check {bad}"))]);
        let severities = printed(&format!("check {bad}"));
        let severities: Vec<_> = severities["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["severity"].as_str().unwrap())
            .collect();
        assert_eq!(severities, ["error"]);

        let mut explain = contract::shape("explain");
        let explain = explain.as_object_mut().unwrap();
        explain.extend(check.as_object().unwrap().clone());
        // A good policy has no findings.
        explain.insert("findings".to_owned(), json!([]));
        let mut of_resource = explain.clone();
        // A URL has no warnings.
        explain.insert("warnings".to_owned(), json!([]));
        let request = of_resource["request"].as_object_mut().unwrap();
        request.remove("path").unwrap();
        request.extend(contract::shape("resource").as_object().unwrap().clone());
        let url = format!("explain {good} --verb get --path /healthz");
        contract::holds(
            &Value::Object(explain.clone()),
            &[
                printed(&format!("{url} --user alice")),
                printed(&format!("{url} --user carol")),
                printed(&format!("explain {good} --user alice --verb get --path /x")),
            ],
        );
        contract::holds(
            &Value::Object(of_resource),
            &[printed(&format!(
                "explain {good} --user alice --verb create --resource pod --namespace a --name b"
            ))],
        );
    }

    #[test]
    fn the_results_of_tests_are_printed_as_the_readme_says() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write(
            "p.yaml",
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: Metadata, users: [alice]}\n- {level: None, \
             users: [bob]}\n",
        );
        write(
            "t.yaml",
            "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditPolicyTest\npolicy: p.yaml\ntests:\n- requests: \
             [{user: [alice, carol], verb: fetch, path: /x}]\n  expect: {level: Request, omitStages: [Panic], \
             omitManagedFields: true, rule: 7}\n",
        );
        let file = directory.path().join("t.yaml").display().to_string();
        let words = ["program", "policy", "test", &file, "--output", "json"];
        let cli = Cli::try_parse_from(words).unwrap();
        let Verb::Policy(verb) = cli.verb else { panic!("{words:?}") };
        let mut out = String::new();
        assert_eq!(verb.run(&cli.common, &mut out).unwrap(), Outcome::Failed);
        let document = serde_json::from_str::<Value>(&out).unwrap();
        contract::holds(&contract::shape("test"), std::slice::from_ref(&document));
        assert_eq!((&document["requests"], &document["failed"]), (&json!(2), &json!(2)));
        assert_eq!(document["coverage"][0]["unreached"], json!([{"number": 2, "line": 5, "column": 3}]));
        assert_eq!(document["tests"][0]["failures"][0]["missed"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn differences_are_printed_as_the_readme_says() {
        let directory = tempfile::tempdir().unwrap();
        let [from, to] = [("from", "Metadata", "Metadata"), ("to", "Request", "None")].map(|(name, one, rest)| {
            let path = directory.path().join(name);
            let text = format!(
                "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- {{level: Metadata, \
                 nonResourceURLs: [/x]}}\n- {{level: {one}, users: [a], userGroups: [g], verbs: [get], namespaces: [web], \
                 resources: [{{group: apps, resources: [deployments], resourceNames: [one]}}]}}\n- {{level: None, \
                 userGroups: [h]}}\n- {{level: {rest}}}\n"
            );
            fs::write(&path, text).unwrap();
            path.display().to_string()
        });
        let cli = Cli::try_parse_from(["program", "policy", "diff", &from, &to, "--output", "json"]).unwrap();
        let Verb::Policy(verb) = cli.verb else { panic!("no verb of policy") };
        let mut out = String::new();
        assert_eq!(verb.run(&cli.common, &mut out).unwrap(), Outcome::Differs);
        let mut shape = contract::shape("diff");
        let request = shape["differences"][0]["request"].as_object_mut().unwrap();
        request.remove("path").unwrap();
        request.extend(contract::shape("resource").as_object().unwrap().clone());
        let document: Value = serde_json::from_str(&out).unwrap();
        contract::holds(&shape, std::slice::from_ref(&document));
        let changes: Vec<_> =
            document["differences"].as_array().unwrap().iter().map(|one| &one["change"]).collect();
        assert_eq!(changes, ["more", "gone"]);
    }
}
