//! The disk of a machine: a file system without a partition or a boot loader, made of folders of the cache. QEMU loads the
//! kernel itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use fs_err::os::unix::fs::FileExt;
use fs_err::{self as fs, File};

use super::KERNEL;
use crate::cache::{self, Key};
use crate::components::Components;
use crate::{image, run, stale};

const OWN_TEXT: &[u8] = include_bytes!("disk.rs");

/// How large file systems may grow; they are files with holes.
const ROOT_GIB: u64 = 12;
pub const FILES_SIZE: &str = "64M";

/// Where the one partition of an image that boots by itself begins, in sectors.
const PARTITION: u64 = 2048;
const SECTOR: u64 = 512;

/// What a machine starts from.
#[derive(Clone, Debug)]
pub enum Disk {
    /// Our own.
    Built { vmlinuz: PathBuf, initrd: PathBuf, root: PathBuf },
    /// Somebody's image, in any format that qemu-img knows, that boots by itself.
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
        tree_of([&debian, &layer, &store], &tree)?;
        for (from, to) in kernels(&tree)? {
            fs::copy(&from, folder.join(to))?;
        }
        fs::remove_dir_all(tree.join("boot"))?;
        file_system(&tree, &folder.join("root.raw"), "root", &format!("{ROOT_GIB}G"))?;
        fs::remove_dir_all(&tree)?;
        Ok(())
    })?;
    Ok(Disk::Built {
        vmlinuz: folder.join("vmlinuz"),
        initrd: folder.join("initrd"),
        root: folder.join("root.raw"),
    })
}

/// Puts the parts of a root together, as links into the cache.
fn tree_of([debian, layer, store]: [&Path; 3], tree: &Path) -> Result<()> {
    run::link(debian, tree)?;
    run::link(layer, tree)?;
    run::link(store, &tree.join("var/lib/containerd"))
}

/// The kernel and its initrd in a root, with plain names.
fn kernels(root: &Path) -> Result<Vec<(PathBuf, &'static str)>> {
    let mut found = Vec::new();
    for file in fs::read_dir(root.join("boot"))? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.extend(
            ["vmlinuz", "initrd"].into_iter().find(|kind| name.starts_with(kind)).map(|kind| (path, kind)),
        );
    }
    let mut kinds: Vec<_> = found.iter().map(|(_, kind)| *kind).collect();
    kinds.sort_unstable();
    ensure!(
        kinds == ["initrd", "vmlinuz"],
        "{}: one kernel and one initrd are expected in boot, and there are: {}",
        root.display(),
        kinds.join(", ")
    );
    Ok(found)
}

/// Writes an image that boots by itself: a disk with a partition and a boot loader. It has cloud-init and all of
/// Kubernetes, takes its address by DHCP, and runs no unit of the harness; what its initrd would do for one finds nothing.
///
/// # Errors
///
/// A part can't be made.
pub fn bootable(components: &Components, versions: &[String], to: &Path) -> Result<()> {
    let debian = image::debian_of_machines()?;
    let store = image::store(components, versions)?;
    let layer = image::layer(components, versions)?;
    let top = stale::run_dir("image")?;
    let (tree, raw) = (top.path().join("tree"), top.path().join("disk.raw"));
    tree_of([&debian, &layer, &store], &tree)?;
    for (from, to) in kernels(&tree)? {
        fs::rename(&from, tree.join("boot").join(to))?;
    }
    for (target, unit) in image::own_units() {
        let unit = Path::new(unit);
        let wanted = unit.with_file_name(format!("{target}.wants")).join(unit.file_name().unwrap_or_default());
        for ours in [unit, &wanted] {
            let ours = tree.join(ours.strip_prefix("/")?);
            fs::remove_file(&ours)?;
        }
    }
    let grub = format!("linux /boot/vmlinuz root=LABEL=root {KERNEL}\ninitrd /boot/initrd\nboot\n");
    for (path, text) in [
        ("etc/cloud/cloud.cfg.d/90-case.cfg", "datasource_list: [NoCloud]\nnetwork: {config: disabled}\n"),
        ("etc/systemd/network/10-dhcp.network", "[Match]\nName=eth*\n\n[Network]\nDHCP=ipv4\n"),
        ("boot/grub/grub.cfg", &grub),
    ] {
        let path = tree.join(path);
        // Not through a link into the cache.
        let _ = fs::remove_file(&path);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        fs::write(&path, text)?;
    }
    // The boot loader of the image itself: the first sector, and what it loads from the sectors after it.
    let core = tree.join("tmp/core.img");
    let mut grub = Command::new("chroot");
    grub.arg(&tree).args(["grub-mkimage", "-O", "i386-pc", "-o", "/tmp/core.img", "-p", "(hd0,msdos1)/boot/grub"]);
    run::output(grub.args(["biosdisk", "part_msdos", "ext2", "normal", "linux", "configfile"]))?;
    let boot = fs::read(tree.join("usr/lib/grub/i386-pc/boot.img"))?;
    let loader = fs::read(&core)?;
    fs::remove_file(&core)?;

    let disk = File::create(&raw)?;
    disk.set_len(PARTITION * SECTOR + (ROOT_GIB << 30))?;
    file_system_at(PARTITION * SECTOR, &tree, &raw, "root", &format!("{ROOT_GIB}G"))?;
    let sectors = (ROOT_GIB << 30) / SECTOR;
    // Of the first sector, the end is the partition table: this is a bootable one of Linux.
    let mut first = [0; SECTOR as usize];
    first[..440].copy_from_slice(&boot[..440]);
    first[446..454].copy_from_slice(&[0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff]);
    first[454..458].copy_from_slice(&u32::try_from(PARTITION)?.to_le_bytes());
    first[458..462].copy_from_slice(&u32::try_from(sectors)?.to_le_bytes());
    first[510..].copy_from_slice(&[0x55, 0xaa]);
    disk.write_all_at(&first, 0)?;
    disk.write_all_at(&loader, SECTOR)?;
    run::output(Command::new("qemu-img").args(["convert", "-O", "qcow2"]).arg(&raw).arg(to)).map(drop)
}

/// Makes a file system of what lies in a folder.
///
/// # Errors
///
/// What mke2fs says.
pub fn file_system(from: &Path, to: &Path, label: &str, size: &str) -> Result<()> {
    file_system_at(0, from, to, label, size)
}

/// The same at an offset in bytes, for a partition.
fn file_system_at(offset: u64, from: &Path, to: &Path, label: &str, size: &str) -> Result<()> {
    let mut make = Command::new("mkfs.ext4");
    make.args(["-q", "-L", label, "-E"]);
    make.arg(format!("lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0,offset={offset}"));
    run::output(make.arg("-d").arg(from).arg(to).arg(size)).map(drop)
}

/// Copies files and directories out of the disk of a machine that was killed, as far as they had come to it.
///
/// # Errors
///
/// What qemu-img, e2fsck or debugfs says, or the file system's of `to`.
pub fn copy_out(disk: &Path, paths: &[&str], to: &Path) -> Result<()> {
    // Where there was something to replay it exits with 1.
    const REPLAY: &str = "e2fsck -y -E journal_only \"$1\" || [ $? -eq 1 ]";
    let raw = disk.with_extension("raw");
    run::output(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(disk).arg(&raw))?;
    run::output(Command::new("sh").args(["-c", REPLAY, "replay"]).arg(&raw))?;
    for path in paths {
        let path = Path::new(path);
        let parent = to.join(path.parent().unwrap_or(path).strip_prefix("/")?);
        fs::create_dir_all(&parent)?;
        // What isn't there is a message to it, no failure.
        let request = format!("rdump \"{}\" \"{}\"", path.display(), parent.display());
        run::output(Command::new("debugfs").arg("-R").arg(request).arg(&raw))?;
    }
    Ok(())
}
