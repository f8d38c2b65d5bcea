//! `apply`: changes the node, and waits for the proof that its API server audits.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::common::{Common, ExistingArg, Outcome, Overrides, run_of, seconds};
use super::show::{describe, describe_follow_up, document, headline, nothing, print_plan, restore_command, warn};
use super::verify;
use crate::audit::profiles;
use crate::config;
use crate::facts::backup::Why;
use crate::node::root::Root;
use crate::plan::{FollowUp, Occasion, Step};
use crate::run::apply::{self, ApplyTerms, Done, LeftAlone, Look};
use crate::run::misuse::Misuse;
use crate::run::prove::Verdict;
use crate::run::{self, Run};

/// Prepare the node: log directory, audit policy, kubeadm configuration, manifest of the API server
#[derive(Debug, Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    overrides: Overrides,
    /// Change nothing; do what plan does
    #[arg(long)]
    dry_run: bool,
    /// Wait up to DURATION for proof that the API server audits. If there is none, roll back, wait up to DURATION again
    /// for the API server to return, and exit 4
    #[arg(long, value_name = "DURATION", value_parser = verify::duration)]
    wait: Option<Duration>,
    /// Repair the manifest if it needs it, after nothing has written it for a while; kube-audit-bootstrap-heal.service
    /// runs this
    #[arg(long, requires = "wait", conflicts_with = "dry_run")]
    heal: bool,
    /// Run at a boot, before the kubelet: do not edit the cluster's kubeadm configuration, do nothing on a node that
    /// was restored or rolled back, and leave the proof to self-healing
    #[arg(long, conflicts_with_all = ["dry_run", "wait"])]
    boot: bool,
    /// How long to wait for another run of the program to end
    #[arg(long, value_name = "SECONDS", default_value_t = LOCK_TIMEOUT, value_parser = seconds)]
    lock_timeout: u64,
}

/// The default of `--lock-timeout`, in seconds.
pub const LOCK_TIMEOUT: u64 = 60;

impl ApplyArgs {
    /// Runs the verb. What it prints on stdout goes to `out`.
    ///
    /// # Errors
    ///
    /// The run was refused or failed. The node is then as it was, unless the error says what is not.
    pub fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let root = common.open_root()?;
        if self.wait.is_some() && !root.is_host() {
            return Err(Misuse(
                "--wait: a proof needs a running API server; leave out --wait or --root".to_owned(),
            )
            .into());
        }
        if self.heal {
            return self.heal(&root, common, out);
        }
        if self.boot
            && let Some(why) = apply::keeps_from_boot(&root)?
        {
            say_nothing_done(&why, common, out);
            return Ok(Outcome::Done);
        }
        let occasion = if self.boot { Occasion::Boot } else { Occasion::Any };
        let run = match run_of(&root, common.config.as_deref(), &self.overrides, occasion) {
            // The configuration is for control planes, so a fault in it must not make the boot of a worker fail.
            Err(error) if self.boot && run::is_worker(&root)? => {
                log::warn!("{error:#}; this node is a worker, so this does not matter");
                return Ok(Outcome::Done);
            }
            read => read?,
        };
        if self.dry_run {
            return print_plan(&run.survey()?, common, out);
        }
        match self.once(&run, common, out) {
            // As before the wait, this is no failure of the boot.
            Err(error) if self.boot && error.is::<LeftAlone>() => {
                say_nothing_done(&error.downcast::<LeftAlone>()?.0, common, out);
                Ok(Outcome::Done)
            }
            done => done,
        }
    }

    /// Repairs the node until there is nothing to repair.
    ///
    /// # Errors
    ///
    /// As [`apply::look`] and [`apply::change`].
    fn heal(&self, root: &Root, common: &Common, out: &mut String) -> Result<Outcome> {
        let configured = || run_of(root, common.config.as_deref(), &self.overrides, Occasion::Any);
        for repaired in 0.. {
            match apply::look(root, self.patience(), &configured)? {
                Look::Repair(run) => {
                    let outcome = self.once(&run, common, out)?;
                    if outcome != Outcome::Done {
                        return Ok(outcome);
                    }
                }
                Look::Leave(why) => {
                    if repaired == 0 {
                        say_nothing_done(&why, common, out);
                    }
                    break;
                }
            }
        }
        Ok(Outcome::Done)
    }

    /// What a person must write into the configuration, if the next `apply` without these options undoes what this one
    /// did with them.
    fn tell_of_passing(&self, run: &Run<'_>, done: &Done, common: &Common) -> Option<String> {
        let Overrides { policy, log_path, existing, .. } = &self.overrides;
        if self.heal || self.boot || matches!(done.proof, Some(Verdict::PutBack(_))) {
            return None;
        }
        let mut fields = Vec::new();
        if let Some(path) = policy {
            fields.push(match path.to_str().and_then(profiles::named) {
                Some(profile) => format!("`profile: {}`, which also sets the limits of its log,", profile.name),
                None => "`policy: {source: PATH}`, with this policy in that file of the node,".to_owned(),
            });
        }
        fields.extend(log_path.as_ref().map(|path| format!("`log: {{path: {path}}}`")));
        fields.extend(existing.map(|existing| match existing {
            ExistingArg::Keep => "`existing: keep`".to_owned(),
            ExistingArg::Replace => "`existing: replace`".to_owned(),
        }));
        if fields.is_empty() {
            return None;
        }
        let others = Overrides {
            kubeadm_config: self.overrides.kubeadm_config.clone(),
            patches: self.overrides.patches.clone(),
            kubernetes_version: self.overrides.kubernetes_version,
            no_cluster: true,
            ..Overrides::default()
        };
        let next = run_of(run.root, common.config.as_deref(), &others, Occasion::Any).ok()?.survey().ok()?;
        let file = common.config.as_ref().map_or_else(
            || format!("{}{}", run.root.on_machine(), config::DEFAULT_PATH),
            |path| path.display().to_string(),
        );
        // What the API server is yet to read is no matter of the configuration.
        let undone = next.changes.iter().find(|planned| {
            done.plan
                .subjects
                .iter()
                .any(|subject| subject.path == planned.change.path() && planned.step != Step::Storage)
                || planned.step == Step::Policy
        })?;
        Some(format!(
            "the configuration does not say this, so status reports a difference ({}), and the next apply without these \
             options undoes it; to keep it, write {} into {file}",
            undone.change.path(),
            fields.join(" and ")
        ))
    }

    /// How long to wait for another run of the program to end.
    fn patience(&self) -> Duration {
        let patience = Duration::from_secs(self.lock_timeout);
        // The other run may wait for its proof, and then for its rollback, as long as a repair may.
        self.wait.filter(|_| self.heal).map_or(patience, |wait| patience.saturating_add(wait.saturating_mul(2)))
    }

    /// Changes the node, waits for the proof if there is a `--wait`, and prints what was done.
    fn once(&self, run: &Run<'_>, common: &Common, out: &mut String) -> Result<Outcome> {
        let why = match () {
            () if self.heal => Why::Heal,
            () if self.boot => Why::Boot,
            () => Why::Apply,
        };
        let terms = ApplyTerms { why, wait: self.wait, patience: self.patience() };
        let changed = apply::change(run, &terms).map_err(|refused| {
            warn(common, &refused.warnings);
            refused.error
        })?;
        // They are printed before the wait for the proof.
        warn(common, &changed.plan.warnings);
        let mut done = changed.finish(run)?;
        done.warnings.extend(self.tell_of_passing(run, &done, common));
        warn(common, &done.warnings);
        done.plan.warnings.append(&mut done.warnings);
        print(&done, run.root, common, out)
    }
}

/// Prints that nothing was done, and why.
fn say_nothing_done(why: &str, common: &Common, out: &mut String) {
    let _ = match common.json() {
        true => writeln!(out, "{:#}", json!({"changes": [], "reason": why})),
        false => writeln!(out, "nothing to do: {why}"),
    };
}

/// Prints what was done, and returns the exit code.
fn print(done: &Done, root: &Root, common: &Common, out: &mut String) -> Result<Outcome> {
    let Done { plan, backup, proof, followed, .. } = done;
    let outcome = if matches!(proof, Some(Verdict::PutBack(_))) { Outcome::PutBack } else { Outcome::Done };
    if common.json() {
        let mut document = document(plan, followed.as_ref(), backup.as_deref());
        match proof {
            Some(Verdict::Proved(proved)) => document["proof"] = verify::document(proved),
            Some(Verdict::PutBack(why)) => document["proof"] = json!({"proved": false, "reason": why}),
            None => {}
        }
        let _ = writeln!(out, "{document:#}");
        return Ok(outcome);
    }
    if let Some(Verdict::PutBack(why)) = proof {
        log::error!("{why}");
        return Ok(outcome);
    }
    out.push_str(&text(done, root));
    Ok(outcome)
}

/// What was done, for people.
pub fn text(done: &Done, root: &Root) -> String {
    let Done { plan, backup, proof, followed, .. } = done;
    let mut out = headline(plan);
    if plan.changes.is_empty() && followed.is_none() {
        out.push_str(nothing(plan));
    }
    for planned in &plan.changes {
        let _ = writeln!(out, "{:9} {}: done", planned.step.name(), describe(&planned.change));
    }
    if let Some(follow_up) = followed {
        let _ = writeln!(out, "{:9} {}: done", FollowUp::STEP.name(), describe_follow_up(follow_up));
    }
    if let Some(id) = backup {
        let _ = writeln!(out, "backup    {id}; to undo: {}", restore_command(root, id));
    }
    if let Some(Verdict::Proved(proved)) = proof {
        let _ = writeln!(out, "proof     {}", verify::text(proved));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::common::OutputFormat;
    use super::super::contract;
    use super::*;
    use crate::facts::Targets;
    use crate::node::testing::Node;
    use crate::plan::testing::{config, facts, planned};

    #[test]
    fn what_became_of_the_proof_is_in_the_document() {
        let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: kube-apiserver\n    image: a\n    \
                        command: [kube-apiserver]\n";
        let common = |output| Common { root: "/".into(), config: None, output, verbose: 0 };
        let (json, text) = (common(OutputFormat::Json), common(OutputFormat::Text));
        let root = Node::new().root;
        let printed = |common: &Common, proof: Option<Verdict>| {
            let plan = planned(&config(""), &facts(Some(manifest)), &Targets::default());
            let backup = Some("20261124T121326Z".to_owned());
            let done = Done { plan, backup, proof, followed: None, warnings: Vec::new() };
            let mut out = String::new();
            (print(&done, &root, common, &mut out).unwrap(), out)
        };
        let proof = |proof| {
            let (outcome, out) = printed(&json, proof);
            (outcome, serde_json::from_str::<Value>(&out).unwrap()["proof"].clone())
        };
        assert_eq!(proof(None), (Outcome::Done, Value::Null));
        let mut proofs = Vec::new();
        for proved in verify::tests::proofs() {
            let wanted = verify::document(&proved);
            let text_of_it = format!("\nproof     {}\n", verify::text(&proved));
            assert_eq!(proof(Some(Verdict::Proved(proved))), (Outcome::Done, wanted.clone()));
            proofs.push((wanted, text_of_it));
        }
        let (outcome, put_back) = proof(Some(Verdict::PutBack("no API server runs".to_owned())));
        assert_eq!(
            (outcome, &put_back),
            (Outcome::PutBack, &json!({"proved": false, "reason": "no API server runs"}))
        );
        contract::holds(&contract::shape("no proof"), &[put_back]);
        for (proved, (_, line)) in verify::tests::proofs().into_iter().zip(proofs) {
            let (outcome, out) = printed(&text, Some(Verdict::Proved(proved)));
            assert!(outcome == Outcome::Done && out.ends_with(&line), "{out}");
        }
        assert_eq!(printed(&text, Some(Verdict::PutBack("why".to_owned()))), (Outcome::PutBack, String::new()));
    }
}
