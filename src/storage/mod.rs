//! Judges the storage of the log directory: whether it survives a reboot, how much room the log needs, and whether a
//! disk may be formatted.
//!
//! * [`mounts`] reads `/proc/self/mountinfo`. From it, [`persistence`] judges whether a directory survives a reboot.
//! * [`forecast`] calculates how much room the log's limits need, and how far back they let the log reach.
//! * [`rotation`] knows the names of rotated logs, and [`blank`] whether a device is blank.
//! * [`unit`](mod@unit) is the mount unit of a dedicated disk.
//!
//! Everything here works on texts and numbers, which `node::storage` and `node::device` read. Nothing here may touch
//! the node.

pub mod blank;
pub mod forecast;
pub mod mounts;
pub mod persistence;
pub mod rotation;
pub mod unit;
