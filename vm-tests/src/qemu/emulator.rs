//! QEMU itself. An old one is slow at what Kubernetes does all the time, so where this machine's is old, that of the Debian which
//! nodes are made of is taken out of its packages, and run where it lies.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::Accelerator;
use crate::cache::{self, Key};
use crate::image::SUITE;
use crate::run;

const OWN_TEXT: &[u8] = include_bytes!("emulator.rs");

const PROGRAM: &str = "qemu-system-x86_64";

/// The first version that isn't old. With 7.2, the pods of a control plane begin after 97 s rather than 67, of which each fork is slower.
const MAJOR: u32 = 10;

/// The packages, and where they have what a machine is furnished with.
const PACKAGES: &str = "--include=qemu-system-x86,seabios";
const FIRMWARE: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// A command that is QEMU, which ends with this process.
///
/// # Errors
///
/// It can't be unpacked, or isn't installed where it would have to be.
pub fn emulator(accelerator: Accelerator) -> Result<Command> {
    let version = run::output(Command::new(PROGRAM).arg("--version")).ok();
    let is_there = version.is_some();
    let is_old = version.is_none_or(|version| major(&version).is_some_and(|major| major < MAJOR));
    // Virtualised, it has little to do. What unpacks it needs root, as nodes of our own do; an image of somebody's doesn't.
    let can_unpack =
        || nix::unistd::geteuid().is_root() && run::output(Command::new("mmdebstrap").arg("--version")).is_ok();
    let mut qemu = if is_old && accelerator == Accelerator::Tcg && can_unpack() {
        unpacked(&packages()?)
    } else {
        ensure!(is_there, "{PROGRAM} is not installed, or doesn't run: Debian has it in qemu-system-x86");
        run::bound(PROGRAM)
    };
    // A tenth of an emulated processor's time is a table of what it has translated, unless that lies in huge pages.
    qemu.env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
    Ok(qemu)
}

/// The packages in a folder of the cache, as they are before anything of them has run.
fn packages() -> Result<PathBuf> {
    let key = Key::default().with(OWN_TEXT).with(SUITE);
    let folder = cache::folder(&format!("qemu-{SUITE}"), &key, |folder| {
        eprintln!("QEMU of {SUITE}: unpacking, which takes half a minute");
        let mut unpack = run::bound("mmdebstrap");
        unpack.args(["--quiet", "--variant=extract", "--format=directory", PACKAGES, SUITE]);
        run::long_output(unpack.arg(folder.join("root"))).map(drop)
    })?;
    Ok(folder.join("root"))
}

/// QEMU in a root that isn't this machine's, with the libraries and the firmware from there.
fn unpacked(root: &Path) -> Command {
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
