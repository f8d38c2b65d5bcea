//! The only code that touches the host.
//!
//! * [`root`] reads: every path goes through a root directory that links can't lead out of.
//! * [`change`] is what a run does, as data; [`transaction`] executes it, all or nothing.
//! * [`backup`] keeps what was there before, and plans the way back.
//! * [`lock`] lets one run at a time work on a node.
//! * [`apiserver`] looks at the API server that runs.

pub mod apiserver;
pub mod backup;
pub mod change;
pub mod lock;
pub mod observe;
pub mod process;
pub mod root;
#[cfg(test)]
mod testing;
pub mod transaction;
