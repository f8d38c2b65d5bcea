//! `render`: prints snippets for the user's own files.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::common::{Common, Outcome, configuration_text, parse};
use super::show::warn;
use crate::audit::policy::findings::lines;
use crate::audit::policy::read::Reading;
use crate::config::{Config, FRAGMENTS};
use crate::node::root::Root;
use crate::render::{self, Ingredients, Snippet};
use crate::run::misuse::Misuse;
use crate::run::{asked_policy, has_fragments, manifest_path, webhook_files};
use crate::yaml::fields::Severity;

/// Print a snippet for cloud-init, Cluster API, kind, Flatcar, image builders, systemd or a log shipper
#[derive(Debug, Args)]
pub struct RenderArgs {
    /// What to print
    #[arg(value_enum)]
    kind: Snippet,
    /// Read the text of policy.source from this file, or - for standard input
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl RenderArgs {
    /// Runs the verb. What it prints on stdout goes to `out`.
    ///
    /// # Errors
    ///
    /// A file can't be read, or is wrong, or there is no such snippet for this configuration.
    pub fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let root = common.open_root()?;
        let read = configuration_text(&root, common.config.as_deref())?;
        let config = match &read {
            Some((name, text)) => parse(text, name)?,
            None => Config::default(),
        };
        // Read only what the snippet needs: the machine that prints it may lack the rest.
        let manifest = match self.kind.names_manifest() {
            true => manifest_path(&root, &config)?,
            false => String::new(),
        };
        let policy = match self.kind.holds_policy(&config) {
            true => checked_policy(&root, &config, self.kind, self.policy)?,
            false if self.policy.is_some() => {
                let sourced = Config { policy_source: "/".to_owned(), ..config };
                let reason = match self.kind.holds_policy(&sourced) {
                    true => {
                        "--policy: policy.source names no file, so this snippet holds no policy; set it, or leave out --policy"
                    }
                    false => "--policy: this snippet never holds a policy; leave out --policy",
                };
                return Err(Misuse(reason.to_owned()).into());
            }
            false => String::new(),
        };
        let (files, told) = match self.kind.mounts_webhook(&config) {
            true => webhook_files(&root, &config).map(|(files, verdict)| (files, verdict.warnings))?,
            false => Default::default(),
        };
        let facts = Ingredients {
            config: &config,
            configuration: read.as_ref().map(|(_, text)| text.as_str()),
            policy: &policy,
            manifest: &manifest,
            files: &files,
        };
        let text = render::render(self.kind, &facts).map_err(Misuse)?;
        let mut warnings = [render::warnings(self.kind, &config, &files), told].concat();
        if self.kind.brings_settings() && has_fragments(&root)? {
            warnings
                .push(format!("{FRAGMENTS}: the fragments are not in the snippet; put them on the node yourself"));
        }
        warn(common, &warnings);
        if common.json() {
            out.push_str(&format!("{:#}\n", json!({"text": text, "warnings": warnings})));
        } else {
            out.push_str(&text);
        }
        Ok(Outcome::Done)
    }
}

/// The text of a policy that the API server accepts: with its fragments if nothing puts them together on the node, or else
/// the file that `policy.source` names.
///
/// # Errors
///
/// The policy can't be read, or has faults: one line each.
fn checked_policy(root: &Root, config: &Config, kind: Snippet, given: Option<PathBuf>) -> Result<String> {
    let mut sources = asked_policy(root, config, given.as_deref())?.sources;
    if kind.brings_settings() {
        sources.fragments.clear();
    }
    match sources.compose(config.kubernetes_version, Reading::Strict) {
        Ok(composed) => Ok(composed.text),
        Err(checked) => bail!("{}", lines(&checked, Severity::Error).join("\n")),
    }
}
