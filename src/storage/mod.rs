//! Where the audit log lies: decided here from texts and numbers, without touching anything. `node::storage` gets them.
//!
//! * [`mounts`] reads `/proc/self/mountinfo`, [`persistence`] judges by it whether a directory outlives a reboot.
//! * [`forecast`] says how much the log's limits can take, and how far back they reach.
//! * [`rotation`] is the names that old logs have, [`blank`] whether a device may be formatted.
//! * [`unit`](mod@unit) is the mount unit of a disk of the log's own.

pub mod blank;
pub mod forecast;
pub mod mounts;
pub mod persistence;
pub mod rotation;
pub mod unit;
