//! `policy`: what is done with audit policies as text. One file a verb.

mod check;
mod diff;
mod explain;
mod report;
mod request;
mod show;
mod source;
mod test;

use anyhow::Result;
use clap::Subcommand;

use super::common::{Common, Outcome, OutputFormat, TEXT_AND_JSON};

/// Check an audit policy, explain what it does with a request, test it, compare it with another one, or print it
#[derive(Debug, Subcommand)]
pub enum PolicyVerb {
    Check(check::Check),
    Explain(explain::Explain),
    Test(test::Test),
    Diff(diff::Diff),
    Show(show::Show),
}

impl PolicyVerb {
    /// What the verb can print.
    pub fn formats(&self) -> &'static [OutputFormat] {
        match self {
            PolicyVerb::Check(_) => {
                &[OutputFormat::Text, OutputFormat::Json, OutputFormat::Sarif, OutputFormat::Github]
            }
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
            PolicyVerb::Show(show) => show.run(common, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::{Cli, Verb, contract};
    use super::Outcome;
    use clap::Parser as _;
    use serde_json::{Value, json};

    /// The option for a node whose policy has a fragment, with something to warn of.
    fn node(directory: &Path) -> String {
        let root = directory.join("node");
        let fragments = root.join("etc/kube-audit-bootstrap/policy.d");
        fs::create_dir_all(&fragments).unwrap();
        for name in ["a.yaml", "b.yml"] {
            let text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: None, users: [bob], nonResourceURLs: [/healthz]}\n";
            fs::write(fragments.join(name), text).unwrap();
        }
        format!("--root={}", root.display())
    }

    /// What `policy` with these words prints as JSON, and its outcome.
    fn printed(words: &[&str]) -> (Value, Outcome) {
        let cli = Cli::try_parse_from([&["program", "policy"], words, &["--output", "json"]].concat()).unwrap();
        let Verb::Policy(verb) = cli.verb else { panic!("{words:?}") };
        let mut out = String::new();
        let outcome = verb.run(&cli.common, &mut out).unwrap();
        (serde_json::from_str(&out).expect(&out), outcome)
    }

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
        let node = node(directory.path());
        let printed = |line: &str| {
            let version = if line.starts_with("show") { "" } else { " --kubernetes-version 1.33" };
            printed(&format!("{line}{version}").split(' ').collect::<Vec<_>>()).0
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
        let (document, outcome) = printed(&["test", &file]);
        assert_eq!(outcome, Outcome::Failed);
        assert_eq!((&document["requests"], &document["failed"]), (&json!(2), &json!(2)));
        let rule = json!({"number": 2, "line": 5, "column": 3, "from": null});
        assert_eq!(document["coverage"][0]["unreached"], json!([rule]));
        assert_eq!(document["tests"][0]["failures"][0]["missed"].as_array().unwrap().len(), 4);
        // The node's own policy.
        let text = fs::read_to_string(&file).unwrap().replace("policy: p.yaml\n", "").replace("carol", "bob");
        let mut documents = vec![document];
        for path in ["/x", "/healthz"] {
            fs::write(&file, text.replace("/x", path)).unwrap();
            let (of_node, _) = printed(&["test", &file, &node(directory.path())]);
            assert_eq!(of_node["tests"][0]["policy"], "/etc/kubernetes/audit-policy.yaml");
            documents.push(of_node);
        }
        contract::holds(&contract::shape("test"), &documents);
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
        let (document, outcome) = printed(&["diff", &from, &to]);
        assert_eq!(outcome, Outcome::Differs);
        let changes: Vec<_> =
            document["differences"].as_array().unwrap().iter().map(|one| &one["change"]).collect();
        assert_eq!(changes, ["more", "gone"]);
        // The node's own policy has fragments.
        let (mut of_node, _) = printed(&["diff", &to, &node(directory.path())]);
        let differences = of_node["differences"].as_array_mut().unwrap();
        differences.retain(|one| one["request"]["path"].is_null());
        let mut shape = contract::shape("diff");
        let request = shape["differences"][0]["request"].as_object_mut().unwrap();
        request.remove("path").unwrap();
        request.extend(contract::shape("resource").as_object().unwrap().clone());
        contract::holds(&shape, &[document, of_node]);
    }
}
