//! `policy check`: whether the API server takes policies, and reads them as they are meant.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::report::print;
use crate::audit::policy::findings::{Checked, Finding, Id};
use crate::audit::policy::lint;
use crate::audit::profiles;
use crate::audit::version::{SUPPORTED, Version};
use crate::cli::common::{Common, Outcome, OutputFormat, Overrides, kubernetes_version, outcome_of, run_of};
use crate::cli::show::warn;
use crate::plan::Occasion;
use crate::run::given;
use crate::run::misuse::Misuse;
use crate::yaml::Position;
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

/// A file that can't be checked, with the reason as a finding.
fn unreadable(name: String, error: &anyhow::Error) -> Checked {
    let message = format!("{error:#}");
    let message = message.strip_prefix(&format!("{name}: ")).unwrap_or(&message).to_owned();
    let (id, position) = (Id::NotYaml, Position::START);
    let finding = Finding { id, position, end: None, severity: Severity::Error, message };
    Checked { name, text: String::new(), findings: vec![finding] }
}

impl Check {
    pub(super) fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let mut files: Vec<PathBuf> = Vec::new();
        for file in self.files {
            let is_profile = file.to_str().and_then(profiles::named).is_some();
            if !is_profile && file.is_dir() {
                let name = given::shown(&file);
                let message =
                    format!("{name}: this is a directory; name the policies in it, such as {name}/*.yaml");
                return Err(Misuse(message).into());
            }
            // A glob may give the same file twice.
            if !files.contains(&file) {
                files.push(file);
            }
        }
        if let Some(version) = self.kubernetes_version.filter(|version| !SUPPORTED.contains(version)) {
            let (first, last) = (SUPPORTED.start(), SUPPORTED.end());
            let warning = format!(
                "Kubernetes {version} is not among the tested versions, {first} to {last}; name one of them"
            );
            warn(common, &[warning]);
        }
        let is_one = files.len() == 1 && common.output == OutputFormat::Text;
        let (mut checked, mut misuse) = (Vec::new(), None);
        for file in &files {
            match given::policy(file) {
                Ok((name, text)) => {
                    let findings = lint::check(&text, self.kubernetes_version);
                    checked.push(Checked { name, text, findings });
                }
                Err(error) if is_one => return Err(error),
                // One file that can't be read does not hide what is in the others.
                Err(error) => {
                    checked.push(unreadable(given::shown(file), &error));
                    if outcome_of(&error) == Outcome::Misused {
                        misuse.get_or_insert(error);
                    }
                }
            }
        }
        if files.is_empty() {
            let root = common.open_root()?;
            let run = run_of(&root, common.config.as_deref(), &Overrides::default(), Occasion::Any)?;
            let own = run.check_own_policy(self.kubernetes_version)?;
            warn(common, &own.warnings);
            checked = own.checked;
        }
        let denies = self.deny == Some(Denied::Warnings);
        print(&checked, denies, common.output, out);
        if let Some(error) = misuse {
            return Err(error);
        }
        let fails = |severity| denies || severity == Severity::Error;
        let failed = checked.iter().flat_map(|one| &one.findings).any(|finding| fails(finding.severity));
        if failed && common.output == OutputFormat::Github && checked.iter().all(Checked::accepted) {
            log::error!("--deny does not let warnings pass; mend them, or allow them with a comment");
        }
        Ok(if failed { Outcome::Failed } else { Outcome::Done })
    }
}
