//! Tries whether QEMU can run a machine as it is asked to.

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fs_err as fs;

use super::accelerator::Accelerator;
use super::emulator::find_emulator;
use crate::stale;

/// A boot sector that counts down from 131,000,000, and powers the machine off with [`STATUS`]. A KVM that merely seems
/// to work, such as a nested one, takes minutes for it.
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
/// The exit code of QEMU after the boot sector.
const STATUS: i32 = 33;
/// How long the boot sector may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Tries whether an accelerator works. Emulation always does.
///
/// # Errors
///
/// It doesn't work.
pub fn probe(accelerator: Accelerator) -> Result<()> {
    if accelerator == Accelerator::Tcg {
        return Ok(());
    }
    boot_sector(accelerator, find_emulator(accelerator)?)
        .context("KVM doesn't work here: leave --accel out, to emulate")
}

fn boot_sector(accelerator: Accelerator, qemu: Command) -> Result<()> {
    let top = stale::make_run_dir("accelerator")?;
    let path = top.path().join("sector");
    let mut sector = [0; 512];
    sector[..SECTOR.len()].copy_from_slice(&SECTOR);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    fs::write(&path, sector)?;
    match boot(accelerator, qemu, &path)? {
        status if status.code() == Some(STATUS) => Ok(()),
        status => bail!("QEMU: {status}"),
    }
}

fn boot(accelerator: Accelerator, mut qemu: Command, disk: &Path) -> Result<ExitStatus> {
    let mut child = qemu
        .args(accelerator.arguments())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run;

    #[test]
    fn the_boot_sector_ends_an_emulated_machine_with_its_status() {
        if run::output(std::process::Command::new("qemu-system-x86_64").arg("--version")).is_err() {
            eprintln!("NOT RUN: QEMU is not installed");
            return;
        }
        boot_sector(Accelerator::Tcg, run::bound("qemu-system-x86_64")).unwrap();
    }
}
