//! `policy show`: prints a policy.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::cli::common::{Common, Outcome, Overrides, run_of};
use crate::cli::show::warn;
use crate::plan::Occasion;
use crate::run::given;

/// Print a policy: that of a profile, or what apply would install, with the fragments of policy.d
#[derive(Debug, Args)]
pub struct Show {
    /// A profile (default, low-noise, writes, cis, stig), a policy file, or - for standard input; by default, what apply
    /// would install
    #[arg(value_name = "PROFILE|FILE")]
    file: Option<PathBuf>,
}

impl Show {
    pub(super) fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let (name, text, warnings) = match self.file {
            Some(path) => {
                let (name, text) = given::policy(&path)?;
                (name, text, Vec::new())
            }
            None => {
                let root = common.open_root()?;
                let run = run_of(&root, common.config.as_deref(), &Overrides::default(), Occasion::Any)?;
                run.policy_to_be()?
            }
        };
        warn(common, &warnings);
        if common.json() {
            let _ = writeln!(out, "{:#}", json!({"file": name, "text": text, "warnings": warnings}));
        } else {
            out.push_str(&text);
        }
        Ok(Outcome::Done)
    }
}
