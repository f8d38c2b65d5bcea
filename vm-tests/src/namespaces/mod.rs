//! Nodes in namespaces of this machine: a copy-on-write chroot of an image with systemd as PID 1, in mount, network,
//! PID, UTS, IPC and cgroup namespaces of its own. A node shares nothing with the machine but its kernel and,
//! read-only, the image.
//!
//! Three processes make one. The harness starts `enter` (this program again), which joins the network of the node and
//! becomes `unshare`. The child of that is `boot` (this program once more), which joins the control groups of the node
//! and becomes systemd. Each dies with the one before it.
//!
//! Here lives what the kernel must do for such a node. What a case gives to its nodes doesn't belong here.

mod boot;
mod cgroup;
mod container;
mod network;
mod spec;

pub use boot::boot;
pub use cgroup::{GROUPS, remove_group};
pub use container::{Container, count_room, enter};
pub use network::{Switch, serve as serve_switch};
