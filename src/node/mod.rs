//! The node: the only code that reads or changes the host.
//!
//! * [`root`] reads and writes files below a root directory that links can't lead out of, and is the one place that
//!   says where a path of the node leads. [`names`] has the names of the temporary files beside a file, [`leftovers`]
//!   removes those that a run has left. [`opening`] opens a file only if it is of the expected kind.
//! * [`observe`] reads everything that a plan depends on, [`container`] where a path leads in the API server's
//!   container, [`fragments`] reads the fragments of the policy, [`kubelet`] the kubelet's configuration
//!   (`kubelet_unit`: its units), and [`storage`] the file system of the log directory.
//! * [`transaction`] executes changes: all of them, or none. [`obstacle`] finds out what stands in their way.
//! * [`backup`] keeps the previous files; [`restore`] reads what `restore` needs. [`pending`] remembers that a run is
//!   not proved yet.
//! * [`healing`] decides when a node may repair itself.
//! * [`device`] reads and formats a dedicated disk, [`disk`] mounts it at the log directory, and [`gather`] moves the
//!   previous log files to it.
//! * [`handover`] finds the real kubeadm, and writes the files that only kubeadm reads.
//! * [`lock`] lets one run at a time work on a node.
//! * [`process`] runs other programs, and lists those that run and what they have open.
//! * [`apiserver`] looks at the running API server, [`pod`] at the logs of its container, and [`in_force`] at the files
//!   and the log that it has. [`outgoing`] is the API server that a changed manifest replaces, and [`hidden`] makes the
//!   kubelet restart it, over a [`net`]; [`leaving`] is what the kubelet still has of its pod. [`kubectl`] sends
//!   requests to it, and [`cluster`] reads and writes kubeadm's configuration in it, a ConfigMap.
//! * `testing` is a node in a temporary directory, for tests.
//!
//! Nothing here decides what to change: that is `plan`, which this folder doesn't import.

pub mod apiserver;
pub mod backup;
pub mod cluster;
pub mod container;
pub mod device;
pub mod disk;
pub mod fragments;
pub mod gather;
pub mod handover;
pub mod healing;
pub mod hidden;
pub mod in_force;
pub mod kubectl;
pub mod kubelet;
mod kubelet_unit;
pub mod leaving;
pub mod leftovers;
pub mod lock;
pub mod names;
pub mod net;
pub mod observe;
pub mod obstacle;
pub mod opening;
pub mod outgoing;
pub mod pending;
pub mod pod;
pub mod process;
pub mod restore;
pub mod root;
pub mod state;
pub mod storage;
#[cfg(test)]
pub mod testing;
pub mod transaction;
