//! Self-healing: what the units in `image/systemd` do when something re-writes the manifest without the audit flags.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::backup;
use super::process::running;
use super::root::Root;
use crate::facts::backup::RESTORE;
use crate::path::STATE;
use crate::time;
use crate::yaml::tree::MAX_BYTES;

/// The `why` of a backup set that a repair wrote.
pub const HEAL: &str = "heal";

/// How many repairs there may be within [`WINDOW`]: who undoes more than that means it.
pub const REPAIRS: usize = 3;
const WINDOW: Duration = Duration::from_secs(3600);

/// How long nobody may have written the manifest.
const QUIET: Duration = Duration::from_secs(10);
/// How long an upgrade may go on.
const LIMIT: Duration = Duration::from_secs(30 * 60);
const PAUSE: Duration = Duration::from_millis(500);

/// The id of the newest backup set that no longer counts, nor do those before it. It is there where no set tells so: see [`forget`].
const FORGOTTEN: &str = "/var/lib/kube-audit-bootstrap/forgotten";

/// Where the path unit is linked to where it is enabled.
const WANTS: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];
const ENABLED: &str = "multi-user.target.wants/kube-audit-bootstrap-heal.path";

/// Waits until nobody has written the manifest for ten seconds, and no kubeadm runs: `kubeadm upgrade` waits for the pod of the
/// manifest that it wrote.
///
/// Errors: that lasts for more than half an hour.
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
                "{manifest}: there was no quiet for {} minutes: kubeadm runs, or something writes it again and again",
                LIMIT.as_secs() / 60
            );
        }
        thread::sleep(PAUSE);
    }
}

fn kubeadm_runs() -> bool {
    running().any(|(_, name)| name == "kubeadm")
}

/// What was done last to a node, as far as it matters to who would repair it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The repairs since the last `apply`, newest first: the ids of their backup sets, and when they were.
    pub repairs: Vec<(String, String)>,
    /// The set of the restore that came last of all. Somebody wants the node like that, or it was a repair that couldn't be proved.
    pub restored: Option<String>,
}

impl History {
    /// Were there [`REPAIRS`] within an hour? None comes after that until somebody runs `apply` himself.
    pub fn is_a_fight(&self) -> bool {
        let moment = |(_, when): &(String, String)| time::seconds(when).map(Duration::from_secs);
        let ends = self.repairs.first().and_then(moment).zip(self.repairs.get(REPAIRS - 1).and_then(moment));
        ends.is_some_and(|(last, first)| last.saturating_sub(first) < WINDOW)
    }

    /// The newest set, where there is something to forget.
    pub fn newest(&self) -> Option<&str> {
        self.restored.as_deref().or_else(|| self.repairs.first().map(|(id, _)| id.as_str()))
    }
}

/// Forgets the history up to the set `id`: an `apply` by hand found nothing to do, so it made no set of its own, or a restore took a
/// restore back, and everything is in place again. To be called with the lock held.
///
/// Errors: the file system's.
pub fn forget(root: &Root, id: &str) -> Result<()> {
    root.make_private(STATE)?;
    root.replace(FORGOTTEN, id)
}

/// What was done last.
pub fn history(root: &Root) -> Result<History> {
    let mut sets = backup::list(root)?;
    // One that is not there any more is older than all that matter.
    let forgotten = root.read(FORGOTTEN, MAX_BYTES)?.map(|forgotten| forgotten.bytes).unwrap_or_default();
    if let Some(at) = sets.iter().position(|set| set.id.as_bytes() == forgotten) {
        sets.truncate(at);
    }
    // One that was cut off is taken back by the next run, and put back nothing.
    let is_whole = !backup::unfinished(root)?;
    let restored = sets.first().filter(|set| is_whole && set.why == RESTORE).map(|set| set.id.clone());
    let repairs =
        sets.iter().take_while(|set| set.why == HEAL).map(|set| (set.id.clone(), set.when.clone())).collect();
    Ok(History { repairs, restored })
}

/// Shall systemd start the repairs?
pub fn is_enabled(root: &Root) -> bool {
    // A link to nothing is an error, and enables nothing.
    WANTS.iter().any(|folder| matches!(root.stat(&format!("{folder}/{ENABLED}")), Ok(Some(_))))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MANIFEST, Node, at};
    use super::super::transaction::execute;
    use super::*;

    /// Runs, by why and when, in seconds since 1970; each writes another text.
    fn node(runs: &[(&str, u64)]) -> Node {
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
            (&[("apply", 1000)], 0, false),
            (&[("apply", 1000), (HEAL, 2000), (HEAL, 3000)], 2, false),
            (&[("apply", 1000), (HEAL, 2000), (HEAL, 3000), (HEAL, 5599)], 3, true),
            (&[("apply", 1000), (HEAL, 2000), (HEAL, 3000), (HEAL, 5600)], 3, false),
            (&[(HEAL, 1000), (HEAL, 9000), (HEAL, 9100), (HEAL, 9200)], 4, true),
            (&[(HEAL, 2000), (HEAL, 3000), ("apply", 3500), (HEAL, 4000)], 1, false),
        ] {
            let history = history(&node(runs).root).unwrap();
            assert_eq!((history.repairs.len(), history.is_a_fight()), (repairs, fight), "{runs:?}");
            assert_eq!(history.restored, None);
        }
    }

    #[test]
    fn what_was_restored_last_is_known() {
        let node = node(&[("apply", 1000), (HEAL, 2000), (RESTORE, 3000)]);
        assert_eq!(history(&node.root).unwrap().restored, Some(time::stamp(at(3000))));
        execute(&node.root, &[node.write(MANIFEST, "x")], "apply", at(4000)).unwrap();
        assert_eq!(history(&node.root).unwrap(), History::default());
    }

    #[test]
    fn what_is_forgotten_counts_no_more_and_what_comes_later_does() {
        let node = node(&[("apply", 1000), (HEAL, 2000), (HEAL, 2100), (HEAL, 2200)]);
        let newest = || history(&node.root).unwrap().newest().map(str::to_owned);
        assert!(history(&node.root).unwrap().is_a_fight());
        forget(&node.root, &newest().unwrap()).unwrap();
        assert_eq!(history(&node.root).unwrap(), History::default());
        for (why, when) in [(HEAL, 2300), (RESTORE, 2400)] {
            execute(&node.root, &[node.write(MANIFEST, why)], why, at(when)).unwrap();
            assert_eq!(newest(), Some(time::stamp(at(when))));
        }
        forget(&node.root, &newest().unwrap()).unwrap();
        assert_eq!(newest(), None);
        // Its set went with age.
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
