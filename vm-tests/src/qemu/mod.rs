//! Nodes that are machines of their own, in QEMU: each has its own kernel, its own disk, and a power that can be cut.
//!
//! Here lives what QEMU must know of a machine, and what it starts from. What a case gives to its nodes doesn't belong
//! here.

mod accelerator;
mod disk;
mod docker;
mod emulator;
mod machine;
mod probe;

pub use accelerator::Accelerator;
pub use disk::{Disk, make_disk, write_bootable};
pub use docker::make_docker_disk;
pub use emulator::find_emulator;
pub use machine::{Machine, Network, Parts};
pub use probe::probe;
