//! `policy test`: whether a policy does what is expected of it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::request::{self, typed};
use super::source::{Accepted, read_once, subject};
use crate::audit::policy::evaluate::{Decision, Request, evaluate};
use crate::audit::policy::test::{self, Expected};
use crate::audit::profiles;
use crate::audit::version::Version;
use crate::cli::common::{Common, Outcome, OutputFormat, kubernetes_version};
use crate::run::given;
use crate::run::misuse::Misuse;
use crate::yaml::fields::{Severity, brief};

/// Of an expectation that many requests fail, so many are shown.
const SHOWN: usize = 10;

/// Test a policy with requests and what is expected of them; exit 1 if an expectation fails
#[derive(Debug, Args)]
pub struct Test {
    /// Files of tests, or - for standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Test this policy, and not those that the files name: a file, - for standard input, or a profile
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Also list the rules that no test reaches
    #[arg(long)]
    coverage: bool,
    /// The Kubernetes version of the policies; by default, the node's version for the node's own policy, and all supported
    /// versions for files
    #[arg(long, value_name = "VERSION", value_parser = kubernetes_version)]
    kubernetes_version: Option<Version>,
}

/// A policy under test.
struct Tested {
    /// What was asked for; `None` for the node's own policy.
    file: Option<PathBuf>,
    accepted: Accepted,
    /// Whether a test has reached each of its rules.
    reached: Vec<bool>,
}

/// All files of tests, and their policies.
#[derive(Default)]
struct Loaded {
    given: Vec<Given>,
    tested: Vec<Tested>,
    /// The policies that are refused; their errors are logged.
    refused: Vec<Option<PathBuf>>,
    /// A file of tests is wrong; its errors are logged.
    is_wrong: bool,
    /// Doubts about the requests, for JSON; else they are logged, too.
    warnings: Vec<String>,
}

/// A file of tests, and the index of the policy that it is about.
struct Given {
    name: String,
    tests: Vec<test::Test>,
    policy: usize,
}

/// What came of a test.
struct Ran<'g> {
    file: &'g Given,
    test: &'g test::Test,
    failures: Vec<Failure<'g>>,
}

/// A request that is not recorded as expected.
struct Failure<'g> {
    request: &'g Request,
    decision: Decision,
    /// What is expected, and both values as words.
    missed: Vec<(&'g Expected, String, String)>,
}

impl Test {
    pub(super) fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        read_once(self.files.iter().chain(&self.policy))?;
        if self.coverage && common.output == OutputFormat::Junit {
            let message = "--coverage: --output junit has no place for it; use text or json";
            return Err(Misuse(message.to_owned()).into());
        }
        let mut loaded = Loaded::default();
        for path in &self.files {
            self.read(path, common, &mut loaded)?;
        }
        if loaded.is_wrong {
            return Ok(Outcome::Misused);
        }
        if !loaded.refused.is_empty() {
            return Ok(Outcome::Failed);
        }
        let Loaded { given, mut tested, warnings, .. } = loaded;
        let tests = given.iter().flat_map(|file| file.tests.iter().map(move |test| (file, test)));
        let ran: Vec<_> = tests.map(|(file, test)| run(file, test, &mut tested[file.policy])).collect();
        match common.output {
            OutputFormat::Json => {
                let _ = writeln!(out, "{:#}", json(&ran, &tested, &warnings));
            }
            OutputFormat::Junit => junit(&ran, &tested, out),
            _ => self.text(&ran, &tested, out),
        }
        let is_right = ran.iter().all(|ran| ran.failures.is_empty());
        Ok(if is_right { Outcome::Done } else { Outcome::Failed })
    }

    /// Reads a file of tests, and its policy if it is another one than those of the files before.
    fn read(&self, path: &Path, common: &Common, loaded: &mut Loaded) -> Result<()> {
        let name = path.display().to_string();
        let (file, findings) = test::read(&given::read(path)?);
        for finding in findings {
            let line = format!("{name}:{}: {}", finding.position, finding.message);
            match finding.severity {
                Severity::Error => log::error!("{line}"),
                Severity::Warning if common.json() => loaded.warnings.push(line),
                Severity::Warning => log::warn!("{line}"),
            }
        }
        let Some(file) = file else {
            loaded.is_wrong = true;
            return Ok(());
        };
        let policy = match (&self.policy, &file.policy) {
            (Some(policy), _) => Some(policy.clone()),
            (None, Some(policy)) if policy.text.contains(['.', '/']) => {
                Some(path.parent().unwrap_or(path).join(&policy.text))
            }
            (None, Some(policy)) if profiles::named(&policy.text).is_some() => Some(PathBuf::from(&policy.text)),
            (None, Some(test::Word { text, position })) => {
                let known = profiles::names().join(", ");
                let message = format!(
                    "{name}:{position}: policy: there is no profile {}; write one of {known}, or a file such as ./{text}",
                    brief(text)
                );
                return Err(Misuse(message).into());
            }
            (None, None) => None,
        };
        if loaded.refused.contains(&policy) {
            return Ok(());
        }
        let index = match loaded.tested.iter().position(|tested| tested.file == policy) {
            Some(index) => index,
            None => {
                let subject = subject(policy.clone(), common)?;
                let version = self.kubernetes_version.or(subject.version);
                let Some(accepted) = Accepted::of(subject, version) else {
                    loaded.refused.push(policy);
                    return Ok(());
                };
                let reached = vec![false; accepted.policy.rules.len()];
                loaded.tested.push(Tested { file: policy, accepted, reached });
                loaded.tested.len() - 1
            }
        };
        loaded.given.push(Given { name, tests: file.tests, policy: index });
        Ok(())
    }

    fn text(&self, ran: &[Ran<'_>], tested: &[Tested], out: &mut String) {
        for ran in ran {
            failures(ran, tested, out);
        }
        let mut rules = String::new();
        if self.coverage {
            let (mut all, mut missed) = (0, 0);
            for tested in tested {
                for (number, position) in unreached(tested) {
                    let _ =
                        writeln!(out, "{}:{position}: rule {number}: no test reaches it", tested.accepted.name);
                    missed += 1;
                }
                all += tested.reached.len();
            }
            rules = format!(", {} of {all} rules reached", all - missed);
        }
        let _ = writeln!(out, "{}, {} failed{rules}", counted(ran), failed(ran));
    }
}

fn json(ran: &[Ran<'_>], tested: &[Tested], warnings: &[String]) -> Value {
    let tests: Vec<_> = ran
        .iter()
        .map(|ran| {
            let policy = &tested[ran.file.policy];
            let failures: Vec<_> = ran.failures.iter().map(|failure| failure_json(failure, policy)).collect();
            json!({
                "file": ran.file.name, "line": ran.test.position.line, "column": ran.test.position.column,
                "name": ran.test.name, "policy": policy.accepted.name, "requests": ran.test.requests.len(),
                "failures": failures,
            })
        })
        .collect();
    let coverage: Vec<_> = tested
        .iter()
        .map(|tested| {
            let missed: Vec<_> =
                unreached(tested).into_iter().map(|rule| tested.accepted.rule_json(rule)).collect();
            json!({"policy": tested.accepted.name, "rules": tested.reached.len(), "unreached": missed})
        })
        .collect();
    json!({
        "requests": ran.iter().map(|ran| ran.test.requests.len()).sum::<usize>(),
        "failed": failed(ran),
        "tests": tests,
        "coverage": coverage,
        "warnings": warnings,
    })
}

/// Asks the policy about each request of a test.
fn run<'g>(file: &'g Given, test: &'g test::Test, tested: &mut Tested) -> Ran<'g> {
    let mut failures = Vec::new();
    for request in &test.requests {
        let decision = evaluate(&tested.accepted.policy, request);
        if let Some(reached) = decision.rule.and_then(|rule| tested.reached.get_mut(rule)) {
            *reached = true;
        }
        let missed: Vec<_> = test
            .expected
            .iter()
            .filter_map(|expected| expected.wanted.missed(&decision).map(|(wanted, got)| (expected, wanted, got)))
            .collect();
        if !missed.is_empty() {
            failures.push(Failure { request, decision, missed });
        }
    }
    Ran { file, test, failures }
}

/// The number of requests that failed.
fn failed(ran: &[Ran<'_>]) -> usize {
    ran.iter().map(|ran| ran.failures.len()).sum()
}

fn counted(ran: &[Ran<'_>]) -> String {
    let requests = ran.iter().map(|ran| ran.test.requests.len()).sum::<usize>();
    let plural = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    format!("{}, {}", plural(ran.len(), "test"), plural(requests, "request"))
}

/// The rules that no test reached.
fn unreached(tested: &Tested) -> Vec<(usize, crate::yaml::Position)> {
    let missed = tested
        .reached
        .iter()
        .zip(&tested.accepted.policy.rules)
        .enumerate()
        .filter(|(_, (reached, _))| !**reached);
    missed.map(|(index, (_, rule))| (index + 1, rule.position)).collect()
}

/// A line for each expectation and request that fail, up to a number of them.
fn failures(ran: &Ran<'_>, tested: &[Tested], out: &mut String) {
    let accepted = &tested[ran.file.policy].accepted;
    for expected in &ran.test.expected {
        let start =
            format!("{}:{}: {}: {}", ran.file.name, expected.position, ran.test.name, expected.wanted.field());
        let of_this = ran.failures.iter().flat_map(|failure| {
            let missed = failure.missed.iter().filter(|(one, ..)| one.position == expected.position);
            missed.map(move |missed| (failure, missed))
        });
        let mut number = 0;
        for (failure, (_, wanted, got)) in of_this {
            number += 1;
            if number <= SHOWN {
                let rule = accepted.by_rule(&failure.decision);
                let _ = writeln!(out, "{start}: expected {wanted}, got {got} {rule}: {}", typed(failure.request));
            }
        }
        if number > SHOWN {
            let _ = writeln!(out, "{start}: and so for {} more requests", number - SHOWN);
        }
    }
}

fn failure_json(failure: &Failure<'_>, tested: &Tested) -> Value {
    let rule = tested.accepted.decisive(&failure.decision).map(|rule| tested.accepted.rule_json(rule));
    let missed: Vec<_> = failure
        .missed
        .iter()
        .map(|(expected, wanted, got)| {
            json!({
                "line": expected.position.line, "column": expected.position.column,
                "field": expected.wanted.field(), "expected": wanted, "got": got,
            })
        })
        .collect();
    json!({"request": request::json(failure.request), "rule": rule, "missed": missed})
}

/// The XML of JUnit: a suite for each file, a case for each test.
fn junit(ran: &[Ran<'_>], tested: &[Tested], out: &mut String) {
    let broken = |ran: &[Ran<'_>]| ran.iter().filter(|ran| !ran.failures.is_empty()).count();
    let _ = writeln!(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{}\" failures=\"{}\">",
        ran.len(),
        broken(ran)
    );
    for suite in ran.chunk_by(|a, b| std::ptr::eq(a.file, b.file)) {
        let Some(first) = suite.first() else { continue };
        let name = xml(&first.file.name);
        let _ = writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\">",
            suite.len(),
            broken(suite)
        );
        for ran in suite {
            let _ = write!(out, "    <testcase classname=\"{name}\" name=\"{}\"", xml(&ran.test.name));
            if ran.failures.is_empty() {
                out.push_str("/>\n");
                continue;
            }
            let mut lines = String::new();
            failures(ran, tested, &mut lines);
            let _ = writeln!(
                out,
                ">\n      <failure message=\"{} of {} requests\">{}</failure>\n    </testcase>",
                ran.failures.len(),
                ran.test.requests.len(),
                xml(&lines)
            );
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
}

/// A text in XML. A character that XML can't hold becomes U+FFFD.
fn xml(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            '\0'..=' ' if c != ' ' => escaped.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(c),
        }
    }
    escaped
}
