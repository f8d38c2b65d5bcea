//! QEMU itself. An old QEMU is slow at what Kubernetes does all the time. If the QEMU of this machine is old, the QEMU
//! of the Debian that nodes are made of is unpacked into the cache, and runs there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::accelerator::Accelerator;
use crate::cache::{self, Key};
use crate::image::SUITE;
use crate::run;

const OWN_TEXT: &[u8] = include_bytes!("emulator.rs");

const PROGRAM: &str = "qemu-system-x86_64";

/// The first major version that isn't old. With 7.2, in which each fork is slower, the pods of a control plane start
/// after 97 s, and with this one after 67 s.
const MAJOR: u32 = 10;

/// The packages, and the folders in which they have the firmware and the libraries.
const PACKAGES: &str = "--include=qemu-system-x86,seabios";
const FIRMWARE: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// The command that is QEMU, which ends with this process.
///
/// # Errors
///
/// QEMU can't be unpacked, or must be installed and isn't.
pub fn find_emulator(accelerator: Accelerator) -> Result<Command> {
    let version = run::output(Command::new(PROGRAM).arg("--version")).ok();
    let is_there = version.is_some();
    let is_old = version.is_none_or(|version| major(&version).is_some_and(|major| major < MAJOR));
    // With KVM an old QEMU will do. Unpacking needs root, as our own nodes do, but a machine of somebody's image
    // doesn't.
    let can_unpack =
        || nix::unistd::geteuid().is_root() && run::output(Command::new("mmdebstrap").arg("--version")).is_ok();
    let mut qemu = if is_old && accelerator == Accelerator::Tcg && can_unpack() {
        command_in(&unpack_packages()?)
    } else {
        ensure!(is_there, "{PROGRAM} is not installed, or doesn't run: install Debian's package qemu-system-x86");
        run::bound(PROGRAM)
    };
    // The table of translated code takes a tenth of an emulated processor's time, unless it is in huge pages.
    qemu.env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
    Ok(qemu)
}

/// Unpacks the packages into a folder of the cache. Nothing of them is configured.
fn unpack_packages() -> Result<PathBuf> {
    let key = Key::default().with(OWN_TEXT).with(SUITE);
    let folder = cache::provide_folder(&format!("qemu-{SUITE}"), &key, |folder| {
        eprintln!("QEMU of {SUITE}: unpacking, which takes half a minute");
        let mut unpack = run::bound("mmdebstrap");
        unpack.args(["--quiet", "--variant=extract", "--format=directory", PACKAGES, SUITE]);
        run::long_output(unpack.arg(folder.join("root"))).map(drop)
    })?;
    Ok(folder.join("root"))
}

/// The command that is the QEMU of another root, with the libraries and the firmware of that root.
fn command_in(root: &Path) -> Command {
    let libraries = root.join(LIBRARIES);
    let mut qemu = run::bound(libraries.join("ld-linux-x86-64.so.2"));
    qemu.env("QEMU_MODULE_DIR", libraries.join("qemu"));
    qemu.arg("--library-path").arg(&libraries).arg(root.join("usr/bin").join(PROGRAM));
    for firmware in FIRMWARE {
        qemu.arg("-L").arg(root.join(firmware));
    }
    qemu
}

/// The major version in what `--version` prints.
fn major(version: &str) -> Option<u32> {
    version.split_once(" version ")?.1.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_found() {
        for (text, wanted) in [
            ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) 2003", Some(7)),
            ("QEMU emulator version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)\n", Some(10)),
            ("something else", None),
        ] {
            assert_eq!(major(text), wanted, "{text}");
        }
    }
}
