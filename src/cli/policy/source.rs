//! What the verbs of `policy` share: the policy that is asked about, and what was found in it.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::{Value, json};

use super::report;
use crate::audit::policy::compose::Origin;
use crate::audit::policy::findings::Finding;
use crate::audit::version::Version;
use crate::cli::common::{Common, Overrides, run_of};
use crate::cli::show::warn;
use crate::plan::Occasion;
use crate::run::given;
use crate::yaml::fields::Severity;

/// A policy that is asked about.
pub struct Asked {
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
pub fn asked(file: Option<PathBuf>, common: &Common) -> Result<Asked> {
    if let Some(path) = file {
        let (name, text) = given::policy(&path)?;
        return Ok(Asked { name, text, version: None, origins: Vec::new() });
    }
    let root = common.open_root()?;
    let own = run_of(&root, common.config.as_deref(), &Overrides::default(), Occasion::Any)?.own_policy()?;
    warn(common, own.warning.as_slice());
    Ok(Asked { name: own.path, text: own.text, version: own.version, origins: own.origins })
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
