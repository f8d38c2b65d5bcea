//! `policy`: what concerns an audit policy by itself.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Common, Outcome, kubernetes_version, read_here};
use crate::audit::policy;
use crate::audit::version::Version;
use crate::config::Config;
use crate::node::observe;
use crate::plan::wire;
use crate::yaml::fields::Severity;

/// Check an audit policy
#[derive(Debug, Subcommand)]
pub enum Policy {
    Check(Check),
}

/// Check a policy as strictly as it deserves; exit 1 if the API server would refuse or misread it
#[derive(Debug, Args)]
pub struct Check {
    /// The policy, or - for standard input; the node's own where none is named
    file: Option<PathBuf>,
    /// The Kubernetes version to check for; without one, the node's for its own policy, else what all supported
    /// versions take
    #[arg(long, value_name = "VERSION", value_parser = kubernetes_version)]
    kubernetes_version: Option<Version>,
}

impl Policy {
    pub fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let Policy::Check(check) = self;
        check.run(common, out)
    }
}

impl Check {
    fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let (name, text, version) = match &self.file {
            Some(path) => (path.display().to_string(), read_here(path)?, None),
            None => nodes_own(common)?,
        };
        let findings = policy::check(&text, self.kubernetes_version.or(version));
        let failed = findings.iter().any(|finding| finding.severity == Severity::Error);
        if common.json() {
            let findings: Vec<_> = findings
                .iter()
                .map(|finding| {
                    json!({
                        "severity": match finding.severity {
                            Severity::Error => "error",
                            Severity::Warning => "warning",
                        },
                        "line": finding.place.line,
                        "column": finding.place.column,
                        "message": finding.message,
                    })
                })
                .collect();
            let document = json!({"file": name, "accepted": !failed, "findings": findings});
            let _ = writeln!(out, "{document:#}");
        } else {
            for finding in &findings {
                let line = format!("{name}:{}: {}", finding.place, finding.message);
                match finding.severity {
                    Severity::Error => log::error!("{line}"),
                    Severity::Warning => log::warn!("{line}"),
                }
            }
            if !failed {
                let _ = writeln!(out, "{name}: accepted");
            }
        }
        Ok(if failed { Outcome::Failed } else { Outcome::Done })
    }
}

/// The node's own policy: its path and text, and the version that its other files tell.
fn nodes_own(common: &Common) -> Result<(String, String, Option<Version>)> {
    let root = common.open_root()?;
    let config: Config = super::configuration(&root, common, &super::Overrides::default())?;
    let Some(text) = observe::read(&root, &config.policy_path)? else {
        anyhow::bail!("{}: there is no policy here; name a file", root.shown(&config.policy_path));
    };
    // What is wrong with other files is no matter of the policy's.
    let facts = observe::observe(&root, &config, false);
    let version = facts.and_then(|facts| wire(&config, &facts, false)).ok().and_then(|wiring| wiring.version);
    Ok((config.policy_path, text.text, version))
}
