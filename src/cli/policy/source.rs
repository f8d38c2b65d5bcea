//! What the verbs of `policy` share: the policy that they are about, and what was found in it.

use std::fmt::Display;
use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use super::report;
use crate::audit::policy::compose::Origin;
use crate::audit::policy::evaluate::Decision;
use crate::audit::policy::findings::Finding;
use crate::audit::policy::{Policy, read};
use crate::audit::version::Version;
use crate::cli::common::{Common, Overrides, run_of};
use crate::cli::show::warn;
use crate::plan::Occasion;
use crate::run::given;
use crate::run::misuse::Misuse;
use crate::yaml::Position;
use crate::yaml::fields::Severity;

/// A policy that a verb is about.
pub struct Subject {
    pub name: String,
    pub text: String,
    /// The Kubernetes version, if it is known.
    pub version: Option<Version>,
    /// Where each rule is from, if the policy is made of fragments.
    pub origins: Vec<Origin>,
}

/// The policy of a file, of `-`, of a profile, or else the node's own one.
///
/// # Errors
///
/// The policy can't be read, or there is none.
pub fn subject(file: Option<PathBuf>, common: &Common) -> Result<Subject> {
    if let Some(path) = file {
        let (name, text) = given::policy(&path)?;
        return Ok(Subject { name, text, version: None, origins: Vec::new() });
    }
    let root = common.open_root()?;
    let own = run_of(&root, common.config.as_deref(), &Overrides::default(), Occasion::Any)?.own_policy()?;
    warn(common, own.warning.as_slice());
    Ok(Subject { name: own.path, text: own.text, version: own.version, origins: own.origins })
}

/// Refuses standard input as the name of more than one of the files.
///
/// # Errors
///
/// A [`Misuse`].
pub fn read_once<'p>(files: impl Iterator<Item = &'p PathBuf>) -> Result<()> {
    if files.filter(|file| file.as_os_str() == "-").count() > 1 {
        return Err(Misuse("-: standard input can be read only once; name a file instead".to_owned()).into());
    }
    Ok(())
}

/// A policy that is not refused.
pub struct Accepted {
    pub name: String,
    pub policy: Policy,
    pub origins: Vec<Origin>,
}

impl Accepted {
    /// The policy, if it is right for that version; else its errors are logged.
    pub fn of(subject: Subject, version: Option<Version>) -> Option<Accepted> {
        let Subject { name, text, origins, .. } = subject;
        let (policy, mut findings) = read::parse(&text, version);
        findings.retain(|finding| finding.severity == Severity::Error);
        log(&name, &findings);
        policy.map(|policy| Accepted { name, policy, origins })
    }

    /// Number and position of the rule that decides.
    pub fn decisive(&self, decision: &Decision) -> Option<(usize, Position)> {
        let index = decision.rule?;
        Some((index + 1, self.policy.rules.get(index)?.position))
    }

    /// A rule and its place in words.
    pub fn rule(&self, number: usize, place: impl Display) -> String {
        match self.origins.get(number - 1) {
            Some(origin) => format!("rule {number} at {place} ({origin})"),
            None => format!("rule {number} at {place}"),
        }
    }

    /// The rule that decides, as the reason for an answer.
    pub fn by_rule(&self, decision: &Decision) -> String {
        match self.decisive(decision) {
            Some((number, position)) => {
                format!("by {}", self.rule(number, format_args!("{}:{position}", self.name)))
            }
            None => "as no rule matches".to_owned(),
        }
    }

    /// A rule as JSON.
    pub fn rule_json(&self, (number, position): (usize, Position)) -> Value {
        let at = |number: usize, position: Position| json!({"number": number, "line": position.line, "column": position.column});
        let mut rule = at(number, position);
        rule["from"] = self.origins.get(number - 1).map_or(Value::Null, |origin| {
            let mut from = at(origin.number, origin.position);
            from["file"] = json!(origin.name);
            from
        });
        rule
    }
}

/// Tells of the findings.
pub fn log(name: &str, findings: &[Finding]) {
    for finding in findings {
        let line = format!("{name}:{}: {}", finding.position, finding.message);
        match finding.severity {
            Severity::Error => log::error!("{line}"),
            Severity::Warning => log::warn!("{line}"),
        }
    }
}

/// What is known about a policy, as JSON.
pub fn document(name: &str, accepted: bool, findings: &[Finding]) -> Value {
    let findings: Vec<_> = findings.iter().map(|finding| report::finding(name, finding)).collect();
    json!({"file": name, "accepted": accepted, "findings": findings})
}
