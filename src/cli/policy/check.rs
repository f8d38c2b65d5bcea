//! `policy check`: whether the API server takes a policy, and reads it as it is meant.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::{document, log, source};
use crate::audit::policy;
use crate::audit::version::Version;
use crate::cli::common::{Common, Outcome, kubernetes_version};
use crate::yaml::fields::Severity;

/// Check an audit policy; exit 1 if the API server would refuse it, or read it in another way than it says
#[derive(Debug, Args)]
pub struct Check {
    /// A policy file, - for standard input, or a profile; by default, the node's own policy
    file: Option<PathBuf>,
    /// The Kubernetes version to check for; by default, the node's version for the node's own policy, and all supported
    /// versions for a file
    #[arg(long, value_name = "VERSION", value_parser = kubernetes_version)]
    kubernetes_version: Option<Version>,
}

impl Check {
    pub(super) fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let (name, text, version) = source(self.file, common)?;
        let findings = policy::lint::check(&text, self.kubernetes_version.or(version));
        let failed = findings.iter().any(|finding| finding.severity == Severity::Error);
        if common.json() {
            let _ = writeln!(out, "{:#}", document(&name, !failed, &findings));
        } else {
            log(&name, &findings);
            if !failed {
                let _ = writeln!(out, "{name}: accepted");
            }
        }
        Ok(if failed { Outcome::Failed } else { Outcome::Done })
    }
}
