//! `render`: what fits the node's configuration, for other people's files.

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::{Common, Misuse, Outcome, Overrides, configuration_text, parse, policy_text, warn};
use crate::audit::policy;
use crate::config::Config;
use crate::node::observe;
use crate::render::{self, Facts, Snippet};
use crate::yaml::fields::Severity;

/// Print what fits the configuration for cloud-init, Cluster API, image builders, systemd or a log shipper
#[derive(Debug, Args)]
pub struct Render {
    /// What to print
    #[arg(value_enum)]
    kind: Snippet,
}

impl Render {
    pub fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let root = common.open_root()?;
        let read = configuration_text(&root, common)?;
        let config = match &read {
            Some((name, text)) => parse(text, name)?,
            None => Config::default(),
        };
        let policy = policy_text(&root, &config, &Overrides::default())?;
        let faults: Vec<_> = policy::check(&policy.text, config.kubernetes_version)
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .map(|finding| format!("{}:{finding}", policy.name))
            .collect();
        if !faults.is_empty() {
            bail!("{}", faults.join("\n"));
        }
        let facts = Facts {
            config: &config,
            configuration: read.as_ref().map(|(_, text)| text.as_str()),
            policy: &policy.text,
            manifest: &observe::manifest_path(&root, &config)?,
        };
        let text = render::render(self.kind, &facts).map_err(Misuse)?;
        let warnings = render::warnings(self.kind, &config);
        warn(common, &warnings);
        if common.json() {
            out.push_str(&format!("{:#}\n", json!({"text": text, "warnings": warnings})));
        } else {
            out.push_str(&text);
        }
        Ok(Outcome::Done)
    }
}
