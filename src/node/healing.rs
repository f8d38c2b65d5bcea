//! Self-healing: what the units in `image/systemd` need when another program rewrites the manifest without the audit
//! flags.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::backup;
use super::handover::KUBEADM;
use super::process::{is_of_node, program, running, words};
use super::root::Root;
use crate::change::KUBEADM_CONFIG;
use crate::facts::backup::{Set, Why};
use crate::facts::repairs::{Repair, RepairHistory};
use crate::path::STATE;
use crate::yaml::tree::MAX_BYTES;

/// How long the manifest must not change.
const QUIET: Duration = Duration::from_secs(10);
/// How long an upgrade may take.
const LIMIT: Duration = Duration::from_secs(30 * 60);
const PAUSE: Duration = Duration::from_millis(500);

/// The file with the ID of the newest backup that no longer counts; older backups don't count either. [`forget`]
/// writes it.
const FORGOTTEN: &str = "/var/lib/kube-audit-bootstrap/forgotten";

/// The directories where systemd looks for the link that enables the path unit.
const WANTS: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];
const ENABLED: &str = "multi-user.target.wants/kube-audit-bootstrap-heal.path";

/// Waits until the manifest has not changed for ten seconds and no kubeadm runs: `kubeadm upgrade` waits for the pod
/// of the manifest that it wrote.
///
/// # Errors
///
/// This takes more than half an hour.
pub fn wait_until_quiet(root: &Root, manifest: &str) -> Result<()> {
    let start = Instant::now();
    let (mut last, mut since) = (root.read(manifest, MAX_BYTES)?, start);
    loop {
        let now = root.read(manifest, MAX_BYTES)?;
        if now != last || kubeadm_runs() {
            (last, since) = (now, Instant::now());
        }
        if since.elapsed() >= QUIET {
            return Ok(());
        }
        if start.elapsed() > LIMIT {
            bail!(
                "{manifest}: it did not stay unchanged within {} minutes: kubeadm runs, or another program keeps writing it; \
                 when that has ended, run apply",
                LIMIT.as_secs() / 60
            );
        }
        thread::sleep(PAUSE);
    }
}

/// Whether the root user runs a kubeadm here that may write the manifest.
fn kubeadm_runs() -> bool {
    let writes = |word: &String| ["init", "join", "upgrade", "reset"].contains(&word.as_str());
    running().any(|(pid, _)| {
        program(pid).is_some_and(|program| program.starts_with(KUBEADM))
            && is_of_node(pid)
            && words(pid).iter().any(writes)
    })
}

/// Forgets the history up to the backup `id`. Needed after an `apply` by hand that found nothing to do and so made no
/// backup, and after a restore that undid a restore and left everything in place. The caller holds the lock.
///
/// # Errors
///
/// The file system reports an error.
pub fn forget(root: &Root, id: &str) -> Result<()> {
    root.make_private(STATE)?;
    root.replace(FORGOTTEN, id)
}

/// The repairs since the last `apply`, and whether the last run was a `restore`.
pub fn history(root: &Root) -> Result<RepairHistory> {
    let mut sets = backup::list(root)?;
    // If the forgotten backup was removed because of its age, it is older than every backup that matters.
    let forgotten = root.read(FORGOTTEN, MAX_BYTES)?.map(|forgotten| forgotten.bytes).unwrap_or_default();
    if let Some(at) = sets.iter().position(|set| set.id.as_bytes() == forgotten) {
        sets.truncate(at);
    }
    // A restore of the cluster's kubeadm configuration alone leaves the node as it is.
    let is_of_cluster = |set: &Set| set.records.iter().all(|record| record.path == KUBEADM_CONFIG);
    sets.retain(|set| !set.why.is_restore() || set.records.is_empty() || !is_of_cluster(set));
    // The next run undoes an interrupted restore, so it doesn't count as a restore.
    let is_whole = !backup::is_unfinished(root)?;
    let restored = sets.first().filter(|set| is_whole && set.why.is_restore()).map(|set| set.id.clone());
    let repairs = sets
        .iter()
        .take_while(|set| set.why == Why::Heal)
        .map(|set| Repair { id: set.id.clone(), when: set.when.clone() })
        .collect();
    Ok(RepairHistory { repairs, restored })
}

/// Whether systemd starts the repairs: the path unit is enabled.
pub fn is_enabled(root: &Root) -> bool {
    // A link to a missing file is an error, and enables nothing.
    WANTS.iter().any(|folder| matches!(root.stat(&format!("{folder}/{ENABLED}")), Ok(Some(_))))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MANIFEST, Node, at};
    use super::super::transaction::execute;
    use super::*;
    use crate::time;

    /// A node after these runs, each with its reason and its time in seconds since 1970; each writes another text.
    fn node(runs: &[(Why, u64)]) -> Node {
        let node = Node::with(&[(MANIFEST, "old")]);
        for (number, (why, when)) in runs.iter().enumerate() {
            execute(&node.root, &[node.write(MANIFEST, &number.to_string())], why, at(*when)).unwrap();
        }
        node
    }

    #[test]
    fn three_repairs_within_an_hour_since_the_last_apply_are_a_fight() {
        for (runs, repairs, fight) in [
            (&[][..], 0, false),
            (&[(Why::Apply, 1000)], 0, false),
            (&[(Why::Apply, 1000), (Why::Heal, 2000), (Why::Heal, 3000)], 2, false),
            (&[(Why::Apply, 1000), (Why::Heal, 2000), (Why::Heal, 3000), (Why::Heal, 5599)], 3, true),
            (&[(Why::Apply, 1000), (Why::Heal, 2000), (Why::Heal, 3000), (Why::Heal, 5600)], 3, false),
            (&[(Why::Heal, 1000), (Why::Heal, 9000), (Why::Heal, 9100), (Why::Heal, 9200)], 4, true),
            (&[(Why::Heal, 2000), (Why::Heal, 3000), (Why::Apply, 3500), (Why::Heal, 4000)], 1, false),
        ] {
            let history = history(&node(runs).root).unwrap();
            assert_eq!((history.repairs.len(), history.is_a_fight()), (repairs, fight), "{runs:?}");
            assert_eq!(history.restored, None);
        }
    }

    #[test]
    fn what_was_restored_last_is_known() {
        let rolled_back = node(&[(Why::Apply, 1000), (Why::RollBack, 2000)]);
        assert_eq!(history(&rolled_back.root).unwrap().restored, Some(time::stamp(at(2000))));
        let node = node(&[(Why::Apply, 1000), (Why::Heal, 2000), (Why::Restore, 3000)]);
        assert_eq!(history(&node.root).unwrap().restored, Some(time::stamp(at(3000))));
        execute(&node.root, &[node.write(MANIFEST, "x")], &Why::Apply, at(4000)).unwrap();
        assert_eq!(history(&node.root).unwrap(), RepairHistory::default());
    }

    #[test]
    fn what_is_forgotten_counts_no_more_and_what_comes_later_does() {
        let node = node(&[(Why::Apply, 1000), (Why::Heal, 2000), (Why::Heal, 2100), (Why::Heal, 2200)]);
        let newest = || history(&node.root).unwrap().newest().map(str::to_owned);
        assert!(history(&node.root).unwrap().is_a_fight());
        forget(&node.root, &newest().unwrap()).unwrap();
        assert_eq!(history(&node.root).unwrap(), RepairHistory::default());
        for (why, when) in [(Why::Heal, 2300), (Why::Restore, 2400)] {
            execute(&node.root, &[node.write(MANIFEST, why.word())], &why, at(when)).unwrap();
            assert_eq!(newest(), Some(time::stamp(at(when))));
        }
        forget(&node.root, &newest().unwrap()).unwrap();
        assert_eq!(newest(), None);
        // Its backup was removed because of its age.
        forget(&node.root, "20200101T000000Z").unwrap();
        assert_eq!(newest(), Some(time::stamp(at(2400))));
    }

    #[test]
    fn the_path_unit_is_enabled_by_its_link() {
        let node = node(&[]);
        assert!(!is_enabled(&node.root));
        node.link("/etc/systemd/system/multi-user.target.wants/kube-audit-bootstrap-heal.path", "/no/such/unit");
        assert!(!is_enabled(&node.root));
        node.put(&format!("/usr/lib/systemd/system/{ENABLED}"), "");
        assert!(is_enabled(&node.root));
    }
}
