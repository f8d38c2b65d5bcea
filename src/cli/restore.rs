//! `restore`: puts back what a run changed.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::change::{describe, diff};
use super::common::{Common, Outcome, Overrides, configuration, survey};
use crate::change;
use crate::config::Config;
use crate::facts::backup::{RESTORE, Set};
use crate::node::lock::Lock;
use crate::node::root::Root;
use crate::node::{backup, healing, hidden, kubelet, restore, transaction};
use crate::plan::way_back::keep_referenced;

/// Put back what the newest apply, or all since the named one, changed
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup to go back to, as apply named it
    id: Option<String>,
    /// List the backups instead
    #[arg(long, conflicts_with_all = ["id", "dry_run"])]
    list: bool,
    /// Change nothing, show what would change; exit 3 if anything
    #[arg(long)]
    dry_run: bool,
    /// Put back files, too, that somebody else changed or removed since
    #[arg(long)]
    force: bool,
    /// How long to wait for another run to end
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    lock_timeout: u64,
}

impl Restore {
    pub fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let root = common.open_root()?;
        if self.list {
            return list(&backup::list(&root)?, common, out);
        }
        let lock = match self.dry_run {
            true => None,
            false => Some(Lock::take(&root, Duration::from_secs(self.lock_timeout))?),
        };
        // A configuration that became wrong since must not bar the way back.
        let config = configuration(&root, common, &Overrides::default()).unwrap_or_else(|error| {
            log::warn!("{error:#}; going on with the defaults");
            Config::default()
        });
        // Nor must a manifest or a kubelet's configuration that is broken: that may be why somebody goes back.
        let told = |error| log::warn!("{error:#}; going on");
        let manifest_path = kubelet::manifest_path(&root, &config).map_err(told).unwrap_or_default();
        if lock.is_some() {
            hidden::unhide(&root, &manifest_path).map_err(told).unwrap_or_default();
        }
        let mut restore = restore::plan(&root, self.id.as_deref())?;
        let first = restore.sets.last();
        let undoes_restore = backup::list(&root)?.iter().any(|set| Some(&set.id) == first && set.why == RESTORE);
        let manifest = root.text(&manifest_path).map_err(told).ok().flatten().map(|manifest| manifest.text);
        if self.force {
            restore.changes.splice(0..0, std::mem::take(&mut restore.gone));
        }
        keep_referenced(&mut restore, &manifest_path, manifest.as_deref());
        let change::Restore { sets, changes, foreign, gone, mut notes } = restore;
        if !foreign.is_empty() && !self.force && !self.dry_run {
            bail!(
                "{}: changed by somebody else since; nothing was put back: look with restore --dry-run, and use \
                 --force if that shall be undone too",
                foreign.join(", ")
            );
        }
        let removed = |path: &str| format!("{path} was removed by somebody else since; --force puts it back");
        notes.extend(gone.iter().map(|change| removed(change.path())));
        notes.extend(foreign.iter().map(|path| format!("{path} was changed by somebody else since")));
        let taken = match self.dry_run {
            true => None,
            false => transaction::execute(&root, &changes, RESTORE, SystemTime::now())?,
        };
        if let Some(id) = taken.as_deref().filter(|_| undoes_restore && is_in_place(&root, config)) {
            healing::forget(&root, id)?;
        }
        let differs = self.dry_run && !changes.is_empty();
        if common.json() {
            let changes: Vec<_> = changes
                .iter()
                .map(|change| json!({"action": change.action(), "path": change.path(), "diff": diff(change)}))
                .collect();
            let document = json!({"restored": sets, "changes": changes, "notes": notes, "backup": taken});
            let _ = writeln!(out, "{document:#}");
        } else {
            let _ = writeln!(out, "back to before {}", sets.last().map_or("-", String::as_str));
            if changes.is_empty() {
                out.push_str("nothing to do: the node's files are as they were then\n");
            }
            let done = if self.dry_run { "" } else { ": done" };
            for change in &changes {
                let _ = writeln!(out, "{}{done}", describe(change));
            }
            for note in &notes {
                let _ = writeln!(out, "note: {note}");
            }
            if self.dry_run {
                out.extend(changes.iter().filter_map(diff).map(|diff| format!("\n{diff}")));
            }
            if let Some(id) = &taken {
                let _ = writeln!(out, "backup {id} has what was there until now");
            }
        }
        Ok(if differs { Outcome::Differs } else { Outcome::Done })
    }
}

/// Is there nothing left for `apply`? The cluster isn't asked, as its API server may be about to restart.
fn is_in_place(root: &Root, config: Config) -> bool {
    let config = Config { cluster: false, ..config };
    let plan = survey(root, &config, &Overrides::default(), &OnceCell::new());
    plan.is_ok_and(|plan| plan.changes.is_empty() && plan.refusal.is_none())
}

fn list(sets: &[Set], common: &Common, out: &mut String) -> Result<Outcome> {
    if common.json() {
        let sets: Vec<_> = sets
            .iter()
            .map(|set| {
                let paths: Vec<_> = set.records.iter().map(|record| record.path.as_str()).collect();
                json!({"id": set.id, "when": set.when, "why": set.why, "paths": paths})
            })
            .collect();
        let _ = writeln!(out, "{:#}", json!({ "backups": sets }));
        return Ok(Outcome::Done);
    }
    if sets.is_empty() {
        out.push_str("no backups\n");
    }
    for set in sets {
        let paths: Vec<_> = set.records.iter().map(|record| record.path.as_str()).collect();
        let _ = writeln!(out, "{}  {:8} {}", set.id, set.why, paths.join(" "));
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::common::Format;
    use super::super::contract;
    use super::*;
    use crate::node::testing::{LOGS, MANIFEST, Node, POLICY, STRAY};

    #[test]
    fn a_way_back_is_printed_as_the_readme_says() {
        let node = Node::with(&[(MANIFEST, "0"), (STRAY, "stray"), ("/etc/attributes", "x")]);
        let changes = [
            node.create_directory(LOGS),
            node.set_mode("/etc/attributes", 0o600),
            node.write(POLICY, "1"),
            node.move_away(STRAY),
            node.write(MANIFEST, "1"),
        ];
        node.apply(&changes, 0).unwrap();
        let common = Common { root: node.host("/"), config: None, output: Format::Json, verbose: 0 };
        let printed = |list: bool, dry_run: bool| {
            let verb = Restore { id: None, list, dry_run, force: false, lock_timeout: 60 };
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
