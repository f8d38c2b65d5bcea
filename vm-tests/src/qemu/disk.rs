//! The disk of a machine: a file system without a partition or a boot loader, made of folders of the cache. QEMU loads the
//! kernel itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::{self, Key};
use crate::components::Components;
use crate::{image, run};

const OWN_TEXT: &[u8] = include_bytes!("disk.rs");

/// How large file systems may grow; they are files with holes.
const ROOT_SIZE: &str = "12G";
pub const FILES_SIZE: &str = "64M";

/// What a machine starts from.
#[derive(Clone, Debug)]
pub enum Disk {
    /// Our own.
    Built { vmlinuz: PathBuf, initrd: PathBuf, root: PathBuf },
    /// Somebody's image, in the format qcow2, that boots by itself.
    Given(PathBuf),
}

/// The disk for versions of Kubernetes, as [`image::image`] has them.
///
/// # Errors
///
/// A part can't be made.
pub fn disk(components: &Components, versions: &[String]) -> Result<Disk> {
    let debian = image::debian_of_machines()?;
    let store = image::store(components, versions)?;
    let layer = image::layer(components, versions)?;
    let parts = [&debian, &layer, &store].map(|path| path.to_string_lossy().into_owned());
    let key = Key::default().with(OWN_TEXT).with(parts.join(" "));
    let folder = cache::folder(&format!("disk-{}", versions.join("-")), &key, |folder| {
        eprintln!("disk of {}: making the file system", versions.join(", "));
        let tree = folder.join("tree");
        run::link(&debian, &tree)?;
        for file in fs::read_dir(tree.join("boot"))? {
            let path = file?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(name) = ["vmlinuz", "initrd"].into_iter().find(|kind| name.starts_with(&format!("{kind}")))
            {
                fs::copy(&path, folder.join(name)).with_context(|| path.display().to_string())?;
            }
        }
        fs::remove_dir_all(tree.join("boot"))?;
        run::link(&layer, &tree)?;
        run::link(&store, &tree.join("var/lib/containerd"))?;
        file_system(&tree, &folder.join("root.raw"), "root", ROOT_SIZE)?;
        fs::remove_dir_all(&tree)?;
        Ok(())
    })?;
    Ok(Disk::Built {
        vmlinuz: folder.join("vmlinuz"),
        initrd: folder.join("initrd"),
        root: folder.join("root.raw"),
    })
}

/// Makes a file system of what lies in a folder.
///
/// # Errors
///
/// What mke2fs says.
pub fn file_system(from: &Path, to: &Path, label: &str, size: &str) -> Result<()> {
    let mut make = Command::new("mkfs.ext4");
    make.args(["-q", "-L", label, "-E", "lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0", "-d"]);
    run::output(make.arg(from).arg(to).arg(size)).map(drop)
}
