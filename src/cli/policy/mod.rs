//! `policy`: what is done with audit policies as text. One file a verb.

mod check;
mod explain;
mod report;
mod show;
mod source;

use anyhow::Result;
use clap::Subcommand;

use super::common::{Common, Outcome, OutputFormat, TEXT_AND_JSON};

/// Check an audit policy, explain what it does with a request, or print it
#[derive(Debug, Subcommand)]
pub enum PolicyVerb {
    Check(check::Check),
    Explain(explain::Explain),
    Show(show::Show),
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
            PolicyVerb::Show(show) => show.run(common, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Cli, Verb, contract};
    use clap::Parser as _;
    use serde_json::{Value, json};

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
        // A node whose policy has a fragment, with something to warn of.
        let fragments = directory.path().join("node/etc/kube-audit-bootstrap/policy.d");
        fs::create_dir_all(&fragments).unwrap();
        for name in ["a.yaml", "b.yml"] {
            let text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: None, users: [bob], nonResourceURLs: [/healthz]}\n";
            fs::write(fragments.join(name), text).unwrap();
        }
        let node = format!("--root {}", directory.path().join("node").display());
        let printed = |line: &str| {
            let version = if line.starts_with("show") { "" } else { " --kubernetes-version 1.33" };
            let words = format!("program policy {line} --output json{version}");
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
        contract::holds(&contract::shape("show"), &[printed(&format!("show {node}")), printed("show cis")]);
        let file =
            &printed(&format!("explain {node} --user a --verb get --path /x"))["passedOver"][0]["from"]["file"];
        assert_eq!(file, "/etc/kube-audit-bootstrap/policy.d/a.yaml");
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
                printed(&format!("explain {node} --user alice --verb get --path /x")),
            ],
        );
        contract::holds(
            &Value::Object(of_resource),
            &[&good, &node].map(|policy| {
                printed(&format!(
                    "explain {policy} --user alice --verb create --resource pod --namespace a --name b"
                ))
            }),
        );
    }
}
