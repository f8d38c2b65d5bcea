//! The disk of a machine: a file system without a partition or a boot loader, made of folders of the cache. QEMU itself
//! loads the kernel.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use fs_err::os::unix::fs::FileExt;
use fs_err::{self as fs, File};

use crate::cache::{self, Key};
use crate::components::Components;
use crate::{image, run, stale};

const OWN_TEXT: &[u8] = include_bytes!("disk.rs");

/// The command line of a kernel. It leaves out what an emulated machine is slow at and a test has no need of, and has a
/// kernel that panics end instead of wait.
pub const KERNEL: &str = "rw console=ttyS0 panic=-1 net.ifnames=0 mitigations=off init_on_alloc=0 \
    transparent_hugepage=never systemd.default_device_timeout_sec=300 \
    modprobe.blacklist=kvm,kvm_amd,kvm_intel,ata_piix,ata_generic,powernow_k8,acpi_cpufreq,i2c_piix4,psmouse";

/// The size of file systems. A file system takes the room of what it holds, as its file has holes.
const ROOT_GIB: u64 = 12;
/// The size of the disk with the files of a case.
pub const FILES_SIZE: &str = "64M";

/// The first sector of the one partition of an image that boots by itself.
const PARTITION: u64 = 2048;
const SECTOR: u64 = 512;

/// What a machine starts from.
#[derive(Clone, Debug)]
pub enum Disk {
    /// Our own disk, with its kernel and initrd beside it.
    Built { vmlinuz: PathBuf, initrd: PathBuf, root: PathBuf },
    /// Somebody's image that boots by itself, in any format that qemu-img knows.
    Given(PathBuf),
}

/// Makes the disk for versions of Kubernetes, which are as [`image::make_base`] has them.
///
/// # Errors
///
/// A part can't be made.
pub fn make_disk(components: &Components, versions: &[String]) -> Result<Disk> {
    let debian = image::make_debian_of_machines()?;
    let store = image::make_store(components, versions)?;
    let layer = image::make_layer(components, versions)?;
    let parts = [&debian, &layer, &store].map(|path| path.to_string_lossy().into_owned());
    let key = Key::default().with(OWN_TEXT).with(parts.join(" "));
    let folder = cache::provide_folder(&format!("disk-{}", versions.join("-")), &key, |folder| {
        eprintln!("disk of {}: making the file system", versions.join(", "));
        let tree = folder.join("tree");
        link_tree([&debian, &layer, &store], &tree)?;
        let kernel = Kernel::find(&tree)?;
        fs::copy(&kernel.vmlinuz, folder.join("vmlinuz"))?;
        fs::copy(&kernel.initrd, folder.join("initrd"))?;
        fs::remove_dir_all(tree.join("boot"))?;
        make_file_system(&tree, &folder.join("root.raw"), "root", &format!("{ROOT_GIB}G"))?;
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
fn link_tree([debian, layer, store]: [&Path; 3], tree: &Path) -> Result<()> {
    run::link(debian, tree)?;
    run::link(layer, tree)?;
    run::link(store, &tree.join("var/lib/containerd"))
}

/// The kernel of a root.
struct Kernel {
    vmlinuz: PathBuf,
    initrd: PathBuf,
}

impl Kernel {
    /// Finds the one kernel, and its initrd.
    fn find(root: &Path) -> Result<Self> {
        let find =
            |kind: &str| -> Result<PathBuf> {
                let mut found = Vec::new();
                for file in fs::read_dir(root.join("boot"))? {
                    let path = file?.path();
                    found.extend(Some(path).filter(|path| {
                        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(kind))
                    }));
                }
                ensure!(found.len() == 1, "{}: boot must have one {kind}, and has {found:?}", root.display());
                Ok(found.remove(0))
            };
        Ok(Self { vmlinuz: find("vmlinuz")?, initrd: find("initrd")? })
    }
}

/// Writes an image that boots by itself: a disk with a partition and a boot loader, in the format qcow2. It has
/// cloud-init and all of Kubernetes, takes its address by DHCP, and has no unit of the harness. The initrd looks for
/// the files of a case, and finds none.
///
/// # Errors
///
/// A part can't be made.
pub fn write_bootable(components: &Components, versions: &[String], to: &Path) -> Result<()> {
    let debian = image::make_debian_of_machines()?;
    let store = image::make_store(components, versions)?;
    let layer = image::make_layer(components, versions)?;
    let top = stale::make_run_dir("image")?;
    let (tree, raw) = (top.path().join("tree"), top.path().join("disk.raw"));
    link_tree([&debian, &layer, &store], &tree)?;
    let kernel = Kernel::find(&tree)?;
    fs::rename(&kernel.vmlinuz, tree.join("boot/vmlinuz"))?;
    fs::rename(&kernel.initrd, tree.join("boot/initrd"))?;
    for enabled in image::own_units() {
        let unit = Path::new(enabled.unit);
        let wants = unit.with_file_name(format!("{}.wants", enabled.target));
        for ours in [unit, &wants.join(unit.file_name().unwrap_or_default())] {
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
        // The file may be a link into the cache, through which nothing may be written.
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
    make_file_system_at(PARTITION * SECTOR, &tree, &raw, "root", &format!("{ROOT_GIB}G"))?;
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

/// Makes a file system with the content of a folder. The size is one that mke2fs takes, such as `12G`.
///
/// # Errors
///
/// mke2fs fails.
pub fn make_file_system(from: &Path, to: &Path, label: &str, size: &str) -> Result<()> {
    make_file_system_at(0, from, to, label, size)
}

/// Makes a file system at an offset in bytes, for a partition.
fn make_file_system_at(offset: u64, from: &Path, to: &Path, label: &str, size: &str) -> Result<()> {
    let mut make = Command::new("mkfs.ext4");
    make.args(["-q", "-L", label, "-E"]);
    make.arg(format!("lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0,offset={offset}"));
    run::output(make.arg("-d").arg(from).arg(to).arg(size)).map(drop)
}

/// Copies files and directories from the disk of a machine that was killed, as far as they were written.
///
/// # Errors
///
/// qemu-img, e2fsck or debugfs fails, or nothing can be written to `to`.
pub fn copy_out(disk: &Path, paths: &[&str], to: &Path) -> Result<()> {
    // e2fsck exits with 1 if it replayed something.
    const REPLAY: &str = "e2fsck -y -E journal_only \"$1\" || [ $? -eq 1 ]";
    let raw = disk.with_extension("raw");
    run::output(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(disk).arg(&raw))?;
    run::output(Command::new("sh").args(["-c", REPLAY, "replay"]).arg(&raw))?;
    for path in paths {
        let path = Path::new(path);
        let parent = to.join(path.parent().unwrap_or(path).strip_prefix("/")?);
        fs::create_dir_all(&parent)?;
        // If the path isn't there, debugfs says so and succeeds.
        let request = format!("rdump \"{}\" \"{}\"", path.display(), parent.display());
        run::output(Command::new("debugfs").arg("-R").arg(request).arg(&raw))?;
    }
    Ok(())
}
