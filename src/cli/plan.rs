//! `plan`: prints what `apply` would do.

use anyhow::Result;
use clap::Args;

use super::common::{Common, Outcome, Overrides, run_of};
use super::show::print_plan;
use crate::plan::Occasion;

/// Show what apply would change, with a unified diff; exit 3 if it would change anything
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    overrides: Overrides,
}

impl PlanArgs {
    /// Runs the verb. What it prints on stdout goes to `out`.
    ///
    /// # Errors
    ///
    /// The node can't be read, or `apply` would refuse to change it.
    pub fn run(self, common: &Common, out: &mut String) -> Result<Outcome> {
        let root = common.open_root()?;
        print_plan(
            &run_of(&root, common.config.as_deref(), &self.overrides, Occasion::Any)?.survey()?,
            common,
            out,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::super::contract;
    use super::super::show::document;
    use crate::facts::DiskState;
    use crate::facts::Targets;
    use crate::facts::file::Text;
    use crate::plan::testing::{config, directory, disk_state, facts, planned, seen};
    use crate::plan::{Role, Step};
    use crate::storage::blank::Content;
    use crate::storage::forecast::End;
    use crate::storage::persistence::Lasting;

    #[test]
    fn a_plan_is_printed_as_the_readme_says() {
        let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver}\nspec:\n  containers:\n  - name: kube-apiserver\n    \
                        image: kube-apiserver:v1.33.1\n    command: [kube-apiserver]\n";
        let mut facts = facts(Some(manifest));
        let stray = facts.manifest.clone().unwrap();
        facts.beside.push(Text { path: "/etc/kubernetes/manifests/backup".to_owned(), ..stray });
        facts.cluster = Some(Ok("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n".to_owned()));
        let disk = DiskState { content: Some(Content::Blank), has_left: true, ..disk_state() };
        let mut targets = Targets { storage: Some(seen()), disk: Some(disk), ..Targets::default() };
        let directory = directory(0o755, 0, &[]);
        targets.directories.insert("/var/log/kubernetes/audit".to_owned(), Some(directory));
        let config = config("storage: {device: /dev/disk/by-id/x, format: ext4}");
        let plan = planned(&config, &facts, &targets);
        let full = document(&plan, plan.expected_follow_up(), Some("20261124T121326Z"));
        let bare = planned(&config, &crate::plan::testing::facts(None), &Targets::default());
        let bare = document(&bare, None, None);
        let shape = contract::shape("plan");
        contract::holds(&shape, &[full.clone(), bare.clone()]);

        let words = |path: &[&str]| contract::words(&shape, path);
        let roles = [Role::Image, Role::FirstBoot, Role::ControlPlane, Role::Joining, Role::Worker];
        assert_eq!(words(&["role"]), roles.map(Role::name));
        assert_eq!(words(&["changes", "step"]), Step::ALL.map(Step::name));
        let changes = [&full, &bare].into_iter().flat_map(|document| document["changes"].as_array().unwrap());
        let actions: BTreeSet<_> = changes.map(|change| change["action"].as_str().unwrap().to_owned()).collect();
        assert_eq!(actions, words(&["changes", "action"]).into_iter().collect());
        let lasting = [Lasting::Persistent, Lasting::Volatile, Lasting::Unknown];
        assert_eq!(words(&["storage", "lasting"]), lasting.map(Lasting::name));
        let ends = [End::Backups, End::Age, End::Disk];
        assert_eq!(words(&["storage", "forecast", "limitedBy"]), ends.map(End::name));

        let storage = json!({
            "directory": "/var/log/kubernetes/audit",
            "lasting": "persistent",
            "reason": "ext4 at / on the disk vda1",
            "fileSystem": {"bytes": 40_u64 << 30, "availableBytes": 31_u64 << 30, "evictionBytes": 4_u64 << 30},
            "readOnly": false,
            "log": {
                "bytes": 16 << 20,
                "files": 4,
                "firstEvent": "2026-11-24T15:13:26Z",
                "lastEvent": "2026-11-24T15:14:26Z",
            },
        });
        for (key, value) in storage.as_object().unwrap() {
            assert_eq!(full["storage"][key], *value, "{key}");
        }
        let forecast = &full["storage"]["forecast"];
        // 101 files of 50 MiB, of which all but one are a tenth.
        assert_eq!((&forecast["plainBytes"], &forecast["bytes"]), (&json!(5050_u64 << 20), &json!(550 << 20)));
        assert_eq!((&forecast["ratio"], &forecast["ratioMeasured"]), (&json!(10.0), &json!(true)));
        assert_eq!(
            (&forecast["since"], &forecast["limitedBy"]),
            (&json!("2026-11-24T13:13:26Z"), &json!("maxbackup"))
        );
        // 101 MiB in two hours and a minute.
        let rate = 101.0 * 1_048_576.0 / 7260.0;
        for (key, value) in [
            ("bytesPerSecond", rate),
            ("rotationSeconds", 50.0 * 1_048_576.0 / rate),
            ("keptSeconds", 5000.0 * 1_048_576.0 / rate),
        ] {
            let found = forecast[key].as_f64().unwrap();
            assert!((found / value - 1.0).abs() < 1e-9, "{key}: {found}, and not {value}");
        }
    }
}
