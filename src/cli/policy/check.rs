//! `policy check`: whether the API server takes policies, and reads them as they are meant.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::report::{Checked, print};
use super::source::{Subject, subject};
use crate::audit::policy::lint;
use crate::audit::profiles;
use crate::audit::version::Version;
use crate::cli::common::{Common, Outcome, kubernetes_version};
use crate::run::misuse::Misuse;
use crate::yaml::fields::Severity;

/// Check audit policies; exit 1 if the API server would refuse one, or read it in another way than it says
#[derive(Debug, Args)]
pub struct Check {
    /// The policy files, - for standard input, or profiles; by default, the node's own policy
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The Kubernetes version to check for; by default, the node's version for the node's own policy, and all supported
    /// versions for a file
    #[arg(long, value_name = "VERSION", value_parser = kubernetes_version)]
    kubernetes_version: Option<Version>,
    /// What else makes the check fail
    #[arg(long, value_name = "WHAT")]
    deny: Option<Denied>,
}

/// The values of `--deny`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Denied {
    /// Warnings
    Warnings,
}

impl Check {
    pub(super) fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let mut files: Vec<Option<PathBuf>> = Vec::new();
        for file in self.files {
            let is_profile = file.to_str().and_then(profiles::named).is_some();
            if !is_profile && file.is_dir() {
                let name = file.display();
                let message =
                    format!("{name}: this is a directory; name the policies in it, such as {name}/*.yaml");
                return Err(Misuse(message).into());
            }
            // A glob may give the same file twice.
            if !files.contains(&Some(file.clone())) {
                files.push(Some(file));
            }
        }
        if files.is_empty() {
            files.push(None);
        }
        let mut checked = Vec::new();
        for file in files {
            let Subject { name, text, version, .. } = subject(file, common)?;
            let findings = lint::check(&text, self.kubernetes_version.or(version));
            checked.push(Checked { name, text, findings });
        }
        let denies = self.deny == Some(Denied::Warnings);
        print(&checked, denies, common.output, out);
        let fails = |severity| denies || severity == Severity::Error;
        let failed = checked.iter().flat_map(|one| &one.findings).any(|finding| fails(finding.severity));
        Ok(if failed { Outcome::Failed } else { Outcome::Done })
    }
}
