//! The only code that touches the host.
//!
//! * [`root`] reads: every path goes through a root directory that links can't lead out of.
//! * [`change`] is what a run does, as data; [`transaction`] executes it, all or nothing.
//! * [`backup`] keeps what was there before; [`restore`] plans the way back; [`pending`] is a proof that is still to come.
//! * [`healing`] is when a node may repair itself.
//! * [`storage`] looks at where the log lies; [`disk`] mounts one of its own there.
//! * [`handover`] is what kubeadm is called with, where that is no file of the user's.
//! * [`lock`] lets one run at a time work on a node.
//! * [`apiserver`] looks at the API server that runs; [`outgoing`] is the one that a changed manifest replaces;
//!   [`kubectl`] asks it, and [`cluster`] what kubeadm keeps in it.

pub mod apiserver;
pub mod backup;
pub mod change;
pub mod cluster;
pub mod disk;
pub mod handover;
pub mod healing;
pub mod kubectl;
pub mod lock;
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
