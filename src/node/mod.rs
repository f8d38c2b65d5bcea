//! The only code that touches the host.
//!
//! * [`root`] reads: every path goes through a root directory that links can't lead out of. [`names`] are those beside a file.
//! * [`observe`] looks at a node for a plan; [`kubelet`] and [`storage`] at what their names say.
//! * [`transaction`] executes changes, all or nothing.
//! * [`backup`] keeps what was there before; [`restore`] plans the way back; [`pending`] is a proof that is still to come.
//! * [`healing`] is when a node may repair itself.
//! * [`device`] is a disk of the log's own; [`disk`] mounts one where the log lies, and [`gather`] moves the logs from before there.
//! * [`handover`] is what kubeadm is called with, where that is no file of the user's.
//! * [`lock`] lets one run at a time work on a node.
//! * [`apiserver`] looks at the API server that runs; [`outgoing`] is the one that a changed manifest replaces;
//!   [`hidden`] makes the kubelet start it again; [`kubectl`] asks it, and [`cluster`] what kubeadm keeps in it.

pub mod apiserver;
pub mod backup;
pub mod cluster;
pub mod device;
pub mod disk;
pub mod gather;
pub mod handover;
pub mod healing;
pub mod hidden;
pub mod kubectl;
pub mod kubelet;
pub mod lock;
pub mod names;
pub mod observe;
pub mod outgoing;
pub mod pending;
pub mod process;
pub mod restore;
pub mod root;
pub mod storage;
#[cfg(test)]
pub mod testing;
pub mod transaction;
