//! What a plan or a way back does about changes that cannot be made on this node, so that it promises only what can be
//! done.

use super::{Plan, Planned, Step, Subject};
use crate::change::Change;
use crate::facts::obstacle::Obstacle;
use crate::path::STATE;

impl Plan {
    /// Takes note of what stands in the way of each change, in the order of the changes, and of the program's own files
    /// (`state`). Owners and modes that cannot be set stay. A kubeadm configuration file that nobody named stays on a
    /// node of a cluster (`lenient`). In an image (`root` is its path on this machine), a read-only mount is a warning: people look at images
    /// and at the nodes below a container before they mount them read-write. Anything else refuses the plan.
    pub fn meet(&mut self, obstacles: Vec<Option<Obstacle>>, state: Option<Obstacle>, lenient: bool, root: &str) {
        let live = root.is_empty();
        let read_only = |obstacle: &&Obstacle| matches!(obstacle, Obstacle::ReadOnly(_));
        if !live && let Some(obstacle) = obstacles.iter().flatten().chain(&state).find(read_only) {
            self.warnings.push(format!("{obstacle}, so apply will change nothing; mount it read-write for apply"));
        }
        let met = |obstacle: Option<Obstacle>| {
            obstacle.filter(|obstacle| live || !matches!(obstacle, Obstacle::ReadOnly(_)))
        };
        let state = met(state);
        let planned = std::mem::take(&mut self.changes);
        for (planned, obstacle) in planned.into_iter().zip(obstacles) {
            let path = planned.change.path();
            match met(obstacle) {
                None => self.changes.push(planned),
                Some(obstacle) if matches!(planned.change, Change::SetAttributes { .. }) => {
                    let what = keeps_attributes(path, &obstacle);
                    let advice = advice(&planned, &obstacle, root);
                    self.skip(planned.step, path, format!("{what}; if the API server cannot use it, {advice}"));
                }
                Some(obstacle) if planned.step == Step::Kubeadm && lenient => {
                    let advice = advice(&planned, &obstacle, root);
                    let what = format!("{path}: {obstacle}; this file does not change");
                    self.skip(planned.step, path, format!("{what}; if kubeadm reads it again, {advice}"));
                }
                Some(obstacle) => {
                    let advice = advice(&planned, &obstacle, root);
                    self.refuse(format!("{path}: {obstacle}; {advice}"));
                    self.changes.push(planned);
                }
            }
        }
        if let Some(obstacle) = state.filter(|_| !self.changes.is_empty()) {
            self.refuse(format!(
                "{STATE}: {obstacle}, and the backups of this run must go here; mount it read-write, or mount a \
                 writable directory at {STATE}"
            ));
        }
    }

    /// A path stays as it is, although it should change: it is neither in place, nor does `apply` change it.
    fn skip(&mut self, step: Step, path: &str, warning: String) {
        self.warnings.push(warning);
        let subject = Subject { step, path: path.to_owned() };
        self.subjects.retain(|other| *other != subject);
        self.skipped.push(subject);
    }
}

/// Takes the changes out of a restore or a rollback that cannot be made, and need not be: owners and modes. Returns the
/// paths that stay, each with a note, and what to do if another change cannot be made.
pub fn meet_back(
    changes: &mut Vec<Change>,
    obstacles: Vec<Option<Obstacle>>,
    root: &str,
) -> (Vec<(String, String)>, Result<(), String>) {
    let (mut stay, mut refusal) = (Vec::new(), Ok(()));
    for (change, obstacle) in std::mem::take(changes).into_iter().zip(obstacles) {
        let path = change.path().to_owned();
        match obstacle {
            Some(obstacle) if matches!(change, Change::SetAttributes { .. }) => {
                let note = keeps_attributes(&path, &obstacle);
                stay.push((path, note));
                continue;
            }
            Some(obstacle) if refusal.is_ok() => {
                let way = obstacle.remedy(&path, root);
                refusal = Err(format!("{path}: {obstacle}; {way}, and run this again"));
            }
            _ => {}
        }
        changes.push(change);
    }
    (stay, refusal)
}

fn keeps_attributes(path: &str, obstacle: &Obstacle) -> String {
    format!("{path}: {obstacle}; its owner and mode do not change")
}

/// What to do about an obstacle of a plan.
fn advice(planned: &Planned, obstacle: &Obstacle, root: &str) -> String {
    let path = planned.change.path();
    let mount = obstacle.remedy(path, root);
    match (planned.step, obstacle) {
        (Step::Policy, Obstacle::MountPoint) => format!(
            "to keep the policy that is mounted, use --existing keep (existing: keep); to install another one, {mount}, \
             or set policy.path to another file"
        ),
        (Step::Policy, _) => format!("{mount}, or set policy.path to a file elsewhere"),
        (Step::Kubeadm, _) => {
            format!(
                "{mount}, or copy it to another file, and name that with --kubeadm-config here and --config to kubeadm"
            )
        }
        (Step::Storage, Obstacle::ReadOnly(_) | Obstacle::Locked { .. }) => {
            format!("{mount}, or set log.path to a directory elsewhere")
        }
        (Step::Storage | Step::Strays | Step::Manifest, _) => format!("{mount}, and run this again"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{actions, config, directory, facts, planned, snapshot};
    use super::*;
    use crate::facts::Targets;
    use crate::facts::file::Text;

    const BARE: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver}\nspec:\n  containers:\n  - name: kube-apiserver\n    \
                        command: [kube-apiserver]\n    image: registry.k8s.io/kube-apiserver:v1.31.4\n";

    #[test]
    fn a_plan_promises_only_what_can_be_done() {
        let mount = || Some(Obstacle::MountPoint);
        let read_only = || Some(Obstacle::ReadOnly("/etc".to_owned()));
        // create-directory, create-file (the policy), edit-file (the manifest)
        for (obstacles, state, words) in [
            (vec![None, None, None], None, ""),
            (vec![None, mount(), None], None, "use --existing keep"),
            (vec![None, read_only(), None], None, "mount -o remount,rw /etc"),
            (vec![None, None, mount()], None, "umount /etc/kubernetes/manifests/kube-apiserver.yaml"),
            (vec![read_only(), None, None], None, "set log.path"),
            (vec![None, None, None], read_only(), "the backups of this run"),
        ] {
            let mut plan = planned(&config(""), &facts(Some(BARE)), &Targets::default());
            let does = actions(&plan);
            plan.meet(obstacles.clone(), state, false, "");
            assert_eq!(plan.refusal.is_some(), !words.is_empty(), "{obstacles:?}");
            assert!(plan.refusal.clone().unwrap_or_default().contains(words), "{obstacles:?}: {:?}", plan.refusal);
            assert_eq!(actions(&plan), does);
        }
    }

    #[test]
    fn what_nobody_named_and_what_can_wait_stays() {
        let mut audited = super::super::testing::audited(&config(""));
        let open = super::super::testing::directory(0o755, 0, &["audit.log"]);
        audited.1.directories.insert("/var/log/kubernetes/audit".to_owned(), Some(open));
        let mut plan = planned(&config(""), &audited.0, &audited.1);
        assert_eq!(actions(&plan), "set-attributes");
        plan.meet(vec![Some(Obstacle::ReadOnly("/var/log".to_owned()))], None, false, "");
        assert_eq!((actions(&plan).as_str(), plan.refusal.is_some()), ("", false));
        assert!(
            plan.warnings.iter().any(|line| line.contains("/var/log is mounted read-only")),
            "{:?}",
            plan.warnings
        );
    }

    #[test]
    fn what_does_not_change_is_not_in_place_either() {
        let kubeadm = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";
        let mut node = facts(Some(BARE));
        let text = Text { path: "/k".to_owned(), text: kubeadm.to_owned(), snapshot: snapshot(kubeadm) };
        node.kubeadm.push(text);
        let mut targets = Targets::default();
        targets
            .directories
            .insert("/var/log/kubernetes/audit".to_owned(), Some(directory(0o755, 0, &["audit.log"])));
        let mut plan = planned(&config(""), &node, &targets);
        let obstacle = |planned: &Planned| {
            let is_met = planned.step == Step::Kubeadm || matches!(planned.change, Change::SetAttributes { .. });
            is_met.then_some(Obstacle::MountPoint)
        };
        let obstacles = plan.changes.iter().map(obstacle).collect();
        plan.meet(obstacles, None, true, "");
        for path in ["/k", "/var/log/kubernetes/audit"] {
            assert!(!plan.subjects.iter().any(|subject| subject.path == path), "{path}: {:?}", plan.subjects);
            assert!(plan.skipped.iter().any(|subject| subject.path == path), "{path}: {:?}", plan.skipped);
        }
    }
}
