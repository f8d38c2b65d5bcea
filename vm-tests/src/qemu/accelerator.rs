//! How QEMU runs a machine: by emulation, which works everywhere, or by KVM if it is asked for and works.

use clap::ValueEnum;

/// How QEMU runs the processor of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accelerator {
    /// Emulate the processor: slow, and the same everywhere
    Tcg,
    /// Use the virtualisation of the processor; it is tried first, as a /dev/kvm may be there and not work
    Kvm,
}

impl Accelerator {
    /// The arguments of QEMU. They leave out the features of a processor that emulation is slow at. Kubernetes is more
    /// code than the usual gigabyte of translations holds. A second processor hardly makes an emulated machine quicker,
    /// as the two wait for each other: two machines of one processor take as long as one machine of two.
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Tcg => &["-accel", "tcg,thread=multi,tb-size=2047", "-cpu", "max,-la57,-erms", "-smp", "1"],
            Self::Kvm => &["-accel", "kvm", "-cpu", "host", "-smp", "2"],
        }
    }

    /// The factor by which limits are longer than in namespaces.
    pub fn patience(self) -> u32 {
        match self {
            Self::Tcg => 8,
            Self::Kvm => 2,
        }
    }
}
