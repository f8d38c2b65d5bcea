//! `policy`: what is done with audit policies as text. One file a verb.

mod check;
mod explain;
mod report;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use super::common::{Common, Outcome, OutputFormat, Overrides, TEXT_AND_JSON, run_of};
use crate::audit::policy::findings::Finding;
use crate::audit::version::Version;
use crate::plan::Occasion;
use crate::run::given;
use crate::run::misuse::Misuse;
use crate::yaml::fields::Severity;

/// Check an audit policy, or explain what it does with a request
#[derive(Debug, Subcommand)]
pub enum PolicyVerb {
    Check(check::Check),
    Explain(explain::Explain),
}

impl PolicyVerb {
    /// What the verb can print.
    pub fn formats(&self) -> &'static [OutputFormat] {
        match self {
            PolicyVerb::Check(_) => {
                &[OutputFormat::Text, OutputFormat::Json, OutputFormat::Sarif, OutputFormat::Github]
            }
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
    let findings: Vec<_> = findings.iter().map(|finding| report::finding(name, finding)).collect();
    json!({"file": name, "accepted": accepted, "findings": findings})
}

/// The node's own policy: its path, its text, and the Kubernetes version that the node's other files give.
fn nodes_own(common: &Common) -> Result<(String, String, Option<Version>)> {
    let root = common.open_root()?;
    let run = run_of(&root, common.config.as_deref(), &Overrides::default(), Occasion::Any)?;
    let (path, version) = run.policy();
    let Some(text) = root.text(&path)? else {
        return Err(
            Misuse(format!("{}: the node has no policy there; name a policy file", root.shown(&path))).into()
        );
    };
    Ok((path, text.text, version))
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
            "# kube-audit-bootstrap: allow PA121 PA122\nomitStages: [RequestReceived]\nrules:\n- {level: None, users: [bob]}\n- {level: Metadata, users: [alice]}\n",
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
        explain.remove("files").unwrap();
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
}
