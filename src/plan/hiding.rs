//! Decides when a manifest that is hidden from the kubelet comes back.
//!
//! The kubelet starts a changed static pod only when it has finished the previous pod of the same name. If the new
//! manifest comes before that, the kubelet looks again after 10 to 15 s (kubernetes `pkg/kubelet/pod_workers.go`,
//! `allowPodStart`). If it comes after that, the kubelet starts the pod at once.
//!
//! At last, the kubelet removes the control group of the previous pod (`SyncTerminatedPod` in `kubelet.go`). Its
//! housekeeping, every 2 s, may remove the group earlier, while the pod still waits for the next look at the
//! containers. It removes the pod's directory just before that (`HandlePodCleanups` in `kubelet_pods.go`). So if the
//! group goes while the directory is there, the kubelet has finished. If both are gone, it finishes at its next look at
//! the containers. That of 1.37 then removes them, with their logs; that of 1.26 leaves them, and has looked `RELIST`
//! after the end of the last container, which it has seen to end.
//!
//! Measured in one run on a busy machine (1.37.2, running requests had 3 s): the API was away for 8.4 to 11.2 s by these
//! rules, for 12 to 13 s if the manifest came 4 s after the end of the process, for 18.8 s if it was not hidden, and for
//! 49 s after a bare edit. The group went 0.6 to 1.1 s after the end of the process; in 4 of 12 rounds, by housekeeping.
//! Then the kubelet (1.26.15 and 1.37.2, 6 rounds) finished 0.03 to 0.4 s after that, and 0.3 to 1 s after the last
//! container.

use std::time::Duration;

use crate::facts::server::Remains;

/// The kubelet looks at the containers every second, and then looks for volumes every 0.3 s.
const RELIST: Duration = Duration::from_millis(1500);

/// How long the kubelet may take to notice that the manifest is gone. Otherwise, nothing tells it of changes, and it
/// looks every 20 s (`fileCheckFrequency`).
const NOTICED: Duration = Duration::from_secs(5);

/// How long the kubelet may be down.
const NO_KUBELET: Duration = Duration::from_secs(2);

/// How long the kubelet may take to finish a pod whose process has ended.
const FINISHED: Duration = Duration::from_secs(10);

/// How long the manifest is hidden at most. The kubelet kills an API server after 30 s.
const HIDDEN: Duration = Duration::from_secs(45);

/// What is seen of the previous pod while the manifest is hidden.
#[derive(Clone, Copy, Debug)]
pub struct HiddenSight {
    /// Does the API server run?
    pub runs: bool,
    /// Does it accept connections?
    pub listens: bool,
    /// Does the kubelet run?
    pub kubelet: bool,
    pub remains: Remains,
}

/// Why the manifest comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// The kubelet has finished the previous pod.
    Finished,
    /// The kubelet does not notice that the manifest is gone.
    Unnoticed,
    NoKubelet,
    Late,
}

impl Back {
    /// The reason, for people.
    pub fn reason(self) -> &'static str {
        match self {
            Back::Finished => "the kubelet has finished the previous pod; the new manifest is in place",
            Back::Unnoticed => {
                "the kubelet has not noticed that the manifest is hidden; the new manifest is in place"
            }
            Back::NoKubelet => "the kubelet doesn't run; the new manifest is in place",
            Back::Late => "the kubelet has not finished the previous pod in time; the new manifest is in place",
        }
    }
}

/// A manifest that is hidden. All times count from the same moment, at which it was hidden.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hiding {
    without_kubelet: Option<Duration>,
    ended: Option<Duration>,
    /// Were there containers in the pod?
    had_containers: bool,
    /// Since when the pod has no container.
    vacant: Option<Duration>,
}

impl Hiding {
    /// Whether the manifest comes back now, and why.
    pub fn next(&mut self, seen: HiddenSight, after: Duration) -> Option<Back> {
        let since = |is: bool, since: Option<Duration>| if is { since.or(Some(after)) } else { None };
        let HiddenSight { runs, listens, kubelet, remains } = seen;
        let is_gone = !runs && !remains.group;
        self.without_kubelet = since(!kubelet, self.without_kubelet);
        self.ended = since(!runs, self.ended);
        self.had_containers |= remains.containers;
        let is_vacant = !runs && !remains.containers && (self.had_containers || is_gone);
        self.vacant = since(is_vacant, self.vacant);
        let over = |since: Option<Duration>, limit: Duration| since.is_some_and(|since| after >= since + limit);
        if is_gone && (remains.directory || !remains.logs || over(self.vacant, RELIST)) {
            Some(Back::Finished)
        } else if over(self.without_kubelet, NO_KUBELET) {
            Some(Back::NoKubelet)
        } else if runs && listens && after >= NOTICED {
            Some(Back::Unnoticed)
        } else if over(self.ended, FINISHED) || after >= HIDDEN {
            Some(Back::Late)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen, in letters: the API server `r`uns and `l`istens, the `k`ubelet runs, and the pod has a `g`roup with
    /// `c`ontainers and a `d`irectory, and its logs are `e`rased.
    fn seen(letters: &str) -> HiddenSight {
        let has = |letter| letters.contains(letter);
        let remains = Remains { group: has('g'), containers: has('c'), directory: has('d'), logs: !has('e') };
        HiddenSight { runs: has('r'), listens: has('l'), kubelet: has('k'), remains }
    }

    #[test]
    fn a_manifest_comes_back_when_the_kubelet_has_finished_the_pod_and_never_later_than_it_helps() {
        type Story = &'static [(u64, &'static str, Option<Back>)];
        let stories: [(&str, Story); 12] = [
            (
                "the kubelet removes the group as the last",
                &[
                    (0, "rlkgd", None),
                    (100, "rkgd", None),
                    (4000, "kgcd", None),
                    (4300, "kgd", None),
                    (4900, "kd", Some(Back::Finished)),
                ],
            ),
            (
                "housekeeping removes both, and the kubelet has not finished",
                &[
                    (4000, "kgcd", None),
                    (4200, "kgd", None),
                    (4900, "k", None),
                    (5600, "k", None),
                    (5700, "k", Some(Back::Finished)),
                ],
            ),
            (
                "the same, and no container was there",
                &[(1000, "kgd", None), (4900, "k", None), (6300, "k", None), (6400, "k", Some(Back::Finished))],
            ),
            (
                "housekeeping removes both, and then the kubelet removes the containers",
                &[
                    (4000, "kgcd", None),
                    (4200, "kgd", None),
                    (4900, "k", None),
                    (5000, "ke", Some(Back::Finished)),
                ],
            ),
            (
                "the kubelet removes the containers before the group",
                &[
                    (4000, "kgcd", None),
                    (4200, "kge", None),
                    (5500, "kge", None),
                    (5600, "ke", Some(Back::Finished)),
                ],
            ),
            (
                "housekeeping removes the directory alone, and then the group goes",
                &[(4000, "kgc", None), (4900, "kg", None), (6300, "k", None), (6400, "k", Some(Back::Finished))],
            ),
            (
                "the group goes before the process is seen to have ended",
                &[(4000, "rkd", None), (4050, "kd", Some(Back::Finished))],
            ),
            (
                "nothing tells the kubelet of changes",
                &[(0, "rlkgd", None), (4900, "rlkgd", None), (5000, "rlkgd", Some(Back::Unnoticed))],
            ),
            (
                "an API server drains for long, and the kubelet kills it",
                &[(5000, "rkgd", None), (30_000, "rkgd", None), (31_000, "kd", Some(Back::Finished))],
            ),
            (
                "an API server doesn't end",
                &[(5000, "rkgd", None), (44_900, "rkgd", None), (45_000, "rkgd", Some(Back::Late))],
            ),
            (
                "the kubelet does not finish the pod",
                &[(4000, "kgd", None), (13_900, "kgd", None), (14_000, "kgd", Some(Back::Late))],
            ),
            (
                "the kubelet restarts, and then it stops",
                &[
                    (1000, "rgd", None),
                    (2900, "rgd", None),
                    (2950, "rkgd", None),
                    (3000, "rgd", None),
                    (5000, "rgd", Some(Back::NoKubelet)),
                ],
            ),
        ];
        for (story, moments) in stories {
            let mut hiding = Hiding::default();
            for (after, letters, back) in moments {
                assert_eq!(
                    hiding.next(seen(letters), Duration::from_millis(*after)),
                    *back,
                    "{story}: after {after} ms, {letters}"
                );
            }
        }
    }
}
