//! How QEMU runs a machine: by emulation, which works everywhere, or by KVM where that is asked for and works.

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use fs_err as fs;

use crate::stale;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accelerator {
    /// Emulate: slow, and the same everywhere
    Tcg,
    /// Use the processor's own virtualisation; it is tried first, as a /dev/kvm that is there need not work
    Kvm,
}

/// A boot sector that counts down from 131,000,000 and powers the machine off with status 33. A KVM that merely seems to work,
/// such as a nested one, takes minutes for it.
const SECTOR: [u8; 19] = [
    0x66, 0xb9, 0x80, 0xe4, 0xce, 0x07, // mov ecx, 131000448
    0x66, 0x49, // again: dec ecx
    0x75, 0xfc, // jnz again
    0xb0, 0x10, // mov al, 16
    0xba, 0xf4, 0x00, // mov dx, 0xf4
    0xee, // out dx, al: the status is 2 * al + 1
    0xf4, // hlt
    0xeb, 0xfd, // jmp, to the hlt
];
const STATUS: i32 = 33;
const LIMIT: Duration = Duration::from_secs(5);

impl Accelerator {
    /// What QEMU is told. The features that are left out are those that emulation is slow at, and Kubernetes is more code
    /// than the usual gigabyte of translations holds. An emulated machine is hardly quicker with two processors, which
    /// wait for each other: two machines of one take as long as one of two.
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Tcg => &["-accel", "tcg,thread=multi,tb-size=2047", "-cpu", "max,-la57,-erms", "-smp", "1"],
            Self::Kvm => &["-accel", "kvm", "-cpu", "host", "-smp", "2"],
        }
    }

    /// By how much limits are longer than in namespaces.
    pub fn patience(self) -> u32 {
        match self {
            Self::Tcg => 8,
            Self::Kvm => 2,
        }
    }

    /// Tries whether it works.
    ///
    /// # Errors
    ///
    /// It doesn't.
    pub fn probe(self) -> Result<()> {
        if self == Self::Tcg {
            return Ok(());
        }
        self.boot_sector(super::emulator(self)?).context("KVM doesn't work here; leave --accel out to emulate")
    }

    fn boot_sector(self, qemu: Command) -> Result<()> {
        let top = stale::run_dir("accelerator")?;
        let path = top.path().join("sector");
        let mut sector = [0; 512];
        sector[..SECTOR.len()].copy_from_slice(&SECTOR);
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        fs::write(&path, sector)?;
        match self.boot(qemu, &path)? {
            status if status.code() == Some(STATUS) => Ok(()),
            status => bail!("QEMU: {status}"),
        }
    }

    fn boot(self, mut qemu: Command, disk: &Path) -> Result<ExitStatus> {
        let mut child = qemu
            .args(self.arguments())
            .args(["-m", "16M", "-nodefaults", "-display", "none", "-no-reboot"])
            .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"])
            .args(["-drive", &format!("file={},format=raw,if=ide", disk.display())])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("can't start QEMU")?;
        let start = Instant::now();
        loop {
            match child.try_wait()? {
                Some(status) => return Ok(status),
                None if start.elapsed() > LIMIT => {
                    child.kill()?;
                    child.wait()?;
                    bail!("a loop of a fraction of a second didn't end within {} s", LIMIT.as_secs());
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run;

    /// The sector itself, by emulation.
    #[test]
    fn the_boot_sector_ends_with_its_status() {
        if run::output(std::process::Command::new("qemu-system-x86_64").arg("--version")).is_err() {
            eprintln!("not run: there is no QEMU");
            return;
        }
        Accelerator::Tcg.boot_sector(run::bound("qemu-system-x86_64")).unwrap();
    }
}
