//! `restore`: puts back what a run changed.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::common::{Common, Outcome, Overrides, configuration, seconds};
use super::show::{describe, diff, restore_command};
use crate::facts::backup::Set;
use crate::plan::Occasion;
use crate::run::restore::{self, RestoreTerms, Restored};

/// Put back what the newest apply changed, or everything that the run with the backup ID and all later runs changed
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The ID of a backup, as apply, restore or restore --list printed it
    id: Option<String>,
    /// Only list the backups
    #[arg(long, conflicts_with_all = ["id", "dry_run"])]
    list: bool,
    /// Change nothing; show what would change, and exit 3 if anything would
    #[arg(long)]
    dry_run: bool,
    /// Also put back files that something else changed or removed since, and a manifest whose API server does not start
    #[arg(long)]
    force: bool,
    /// How long to wait for another run of the program to end
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = seconds)]
    lock_timeout: u64,
}

impl RestoreArgs {
    /// Runs the verb. What it prints on stdout goes to `out`.
    ///
    /// # Errors
    ///
    /// There is no such backup. Something else changed a file since. A change failed.
    pub fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let root = common.open_root()?;
        if self.list {
            let unreadable = restore::unreadable(&root)?;
            list(&restore::list(&root)?, &unreadable, common, out);
            // The list is not whole.
            return Ok(if unreadable.is_empty() { Outcome::Done } else { Outcome::Failed });
        }
        let configured = || configuration(&root, common.config.as_deref(), &Overrides::default(), Occasion::Any);
        let dry_run = self.dry_run;
        let patience = Duration::from_secs(self.lock_timeout);
        let terms = RestoreTerms { id: self.id, dry_run, force: self.force, patience };
        let Restored { sets, changes, notes, backup, is_whole } = restore::restore(&root, &terms, &configured)?;
        let differs = dry_run && !changes.is_empty();
        if common.json() {
            let put_back = if dry_run || changes.is_empty() { Vec::new() } else { sets };
            let changes: Vec<_> = changes
                .iter()
                .map(|change| json!({"action": change.action(), "path": change.path(), "diff": diff(change)}))
                .collect();
            let document = json!({"restored": put_back, "changes": changes, "notes": notes, "backup": backup});
            let _ = writeln!(out, "{document:#}");
        } else {
            let _ = writeln!(out, "restore to the state before {}", sets.last().map_or("-", String::as_str));
            if changes.is_empty() && is_whole {
                out.push_str("nothing to do: the node's files are in that state\n");
            }
            let done = if dry_run { "" } else { ": done" };
            for change in &changes {
                let _ = writeln!(out, "{}{done}", describe(change));
            }
            for note in &notes {
                let _ = writeln!(out, "note: {note}");
            }
            if dry_run {
                out.extend(changes.iter().filter_map(diff).map(|diff| format!("\n{diff}")));
            }
            if let Some(id) = &backup {
                let _ = writeln!(
                    out,
                    "backup {id} has what this restore replaced; to undo: {}",
                    restore_command(&root, id)
                );
            }
        }
        Ok(if differs { Outcome::Differs } else { Outcome::Done })
    }
}

/// Prints the backups.
fn list(sets: &[Set], unreadable: &[String], common: &Common, out: &mut String) {
    if common.json() {
        let sets: Vec<_> = sets
            .iter()
            .map(|set| {
                let paths: Vec<_> = set.records.iter().map(|record| record.path.as_str()).collect();
                json!({"id": set.id, "when": set.when, "why": set.why.word(), "complete": set.complete, "paths": paths})
            })
            .collect();
        let _ = writeln!(out, "{:#}", json!({ "backups": sets }));
        return;
    }
    if sets.is_empty() && unreadable.is_empty() {
        out.push_str("no backups\n");
    }
    for set in sets {
        let paths: Vec<_> = set.records.iter().map(|record| record.path.as_str()).collect();
        let why = format!("{}{}", set.why, if set.complete { "" } else { ", interrupted" });
        let _ = writeln!(out, "{}  {why:8} {}", set.id, paths.join(" "));
    }
    for id in unreadable {
        let _ = writeln!(out, "{id}  can't be read; see the warning");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::common::OutputFormat;
    use super::super::contract;
    use super::*;
    use crate::facts::backup::BACKUPS;
    use crate::node::testing::{LOGS, MANIFEST, Node, POLICY, STRAY};

    #[test]
    fn a_rollback_and_a_run_that_was_interrupted_are_listed_as_such() {
        let node = Node::new();
        for (name, why) in [
            ("20261124T121326Z", "apply"),
            ("20261124T121327Z", "rollback"),
            ("20261124T121328Z.partial", "rollback"),
        ] {
            let index = format!(
                "{{\"version\": 1, \"when\": \"2026-11-24T12:13:26Z\", \"why\": \"{why}\", \"entries\": []}}"
            );
            node.put(&format!("{BACKUPS}/{name}/index.json"), &index);
        }
        let common = Common { root: node.host("/"), config: None, output: OutputFormat::Text, verbose: 0 };
        let mut out = String::new();
        list(&restore::list(&node.root).unwrap(), &[], &common, &mut out);
        let wanted =
            "20261124T121328Z  rollback, interrupted \n20261124T121327Z  rollback \n20261124T121326Z  apply    \n";
        assert_eq!(out, wanted);
    }

    #[test]
    fn a_way_back_is_printed_as_the_readme_says() {
        let bare =
            "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: kube-apiserver, command: [kube-apiserver]}]}\n";
        let node = Node::with(&[(MANIFEST, bare), (STRAY, "stray"), ("/etc/attributes", "x")]);
        let changes = [
            node.create_directory(LOGS),
            node.set_mode("/etc/attributes", 0o600),
            node.write(POLICY, "1"),
            node.move_away(STRAY),
            node.write(MANIFEST, "1"),
        ];
        node.apply(&changes, 0).unwrap();
        let common = Common { root: node.host("/"), config: None, output: OutputFormat::Json, verbose: 0 };
        let printed = |list: bool, dry_run: bool| {
            let verb = RestoreArgs { id: None, list, dry_run, force: false, lock_timeout: 60 };
            let mut out = String::new();
            verb.run(&common, &mut out).unwrap();
            serde_json::from_str::<Value>(&out).unwrap()
        };
        contract::holds(&contract::shape("list"), &[printed(true, false)]);
        let documents = [printed(false, true), printed(false, false)];
        contract::holds(&contract::shape("restore"), &documents);
        let actions =
            documents[1]["changes"].as_array().unwrap().iter().map(|change| change["action"].as_str().unwrap());
        let wanted = [
            "edit-file",
            "set-attributes",
            "remove-file",
            "remove-directory",
            "remove-directory",
            "remove-directory",
        ];
        assert_eq!(actions.collect::<Vec<_>>(), wanted);
        let unmount = crate::change::Change::Unmount { path: LOGS.to_owned() };
        assert!(
            contract::words(&contract::shape("restore"), &["changes", "action"])
                .contains(&unmount.action().to_owned())
        );
    }
}
