//! Self-healing: what the units in `image/systemd` do when something re-writes the manifest without the audit flags.

use std::fs;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, bail};

use super::backup;
use super::root::Root;
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

/// Where the path unit is linked to where it is enabled.
const WANTS: [&str; 2] = ["/etc/systemd/system", "/usr/lib/systemd/system"];
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
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .map(|entry| entry.path().join("comm"))
        .any(|comm| fs::read_to_string(comm).is_ok_and(|name| name.trim_end() == "kubeadm"))
}

/// The repairs of the last hour, newest first. An `apply` by hand begins anew.
pub fn repairs(root: &Root, now: SystemTime) -> Result<Vec<String>> {
    let since = backup::stamp(now - WINDOW);
    let sets = backup::list(root)?;
    // A repair that can't be proved is followed by its own restore.
    let own = sets.iter().take_while(|set| [HEAL, backup::RESTORE].contains(&set.why.as_str()));
    Ok(own.filter(|set| set.why == HEAL && set.id > since).map(|set| set.id.clone()).collect())
}

/// Does systemd start the repairs?
pub fn is_enabled(root: &Root) -> Result<bool> {
    for folder in WANTS {
        if root.stat(&format!("{folder}/{ENABLED}"))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Node, at};
    use super::super::transaction::execute;
    use super::*;

    const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";

    /// Runs, by why and when, in seconds since 1970; each writes another text.
    fn node(runs: &[(&str, u64)]) -> Node {
        let node = Node::with(&[(MANIFEST, "old")]);
        for (number, (why, when)) in runs.iter().enumerate() {
            execute(&node.root, &[node.write(MANIFEST, &number.to_string())], why, at(*when)).unwrap();
        }
        node
    }

    #[test]
    fn repairs_of_the_last_hour_count_since_the_last_apply() {
        for (runs, now, count) in [
            (&[][..], 5000, 0),
            (&[("apply", 1000)], 5000, 0),
            (&[("apply", 1000), (HEAL, 2000), (HEAL, 3000), (HEAL, 4000)], 5000, 3),
            (&[("apply", 1000), (HEAL, 2000), (HEAL, 3000), (HEAL, 4000)], 6000, 2),
            (&[(HEAL, 2000), (backup::RESTORE, 2100), (HEAL, 3000)], 5000, 2),
            (&[(HEAL, 2000), (HEAL, 3000), ("apply", 3500), (HEAL, 4000)], 5000, 1),
        ] {
            assert_eq!(repairs(&node(runs).root, at(now)).unwrap().len(), count, "{runs:?}");
        }
    }

    #[test]
    fn the_path_unit_is_enabled_by_its_link() {
        let node = node(&[]);
        assert!(!is_enabled(&node.root).unwrap());
        node.put(&format!("/usr/lib/systemd/system/{ENABLED}"), "");
        assert!(is_enabled(&node.root).unwrap());
    }
}
