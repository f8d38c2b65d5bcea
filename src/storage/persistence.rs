//! Judges whether the files in a directory survive a reboot.

use std::fmt;

use super::mounts::{Mount, covering};

/// Whether a file survives the next reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// It survives.
    Persistent,
    /// It is lost.
    Volatile,
    /// This is not known.
    Unknown,
}

impl Lasting {
    /// The name in text and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Lasting::Persistent => "persistent",
            Lasting::Volatile => "volatile",
            Lasting::Unknown => "unknown",
        }
    }
}

/// What a container's files are on, unless a volume is mounted there. They survive a reboot, and not the container.
const LAYER: &str = "a container's own layer";

/// Whether a directory survives a reboot, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub lasting: Lasting,
    /// What the directory is on, in a few words.
    pub reason: String,
    /// It is on a container's own layer.
    pub is_layer: bool,
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.lasting.name(), self.reason)
    }
}

/// A block device, as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Such as `sda1`, `dm-0`, `loop3`.
    pub name: String,
    /// The file behind a loop device, with ` (deleted)` at its end if it was removed.
    pub backing_file: Option<String>,
    /// The numbers of the devices that it consists of: for the device mapper, a RAID or a cache.
    pub parts: Vec<String>,
    /// The device mapper's UUID, which names the kind of device, such as `LVM-...` and `CRYPT-LUKS2-...`.
    pub uuid: Option<String>,
}

/// A function that describes a block device, by its number or its path. `None` if there is no such device.
pub type Devices<'a> = &'a dyn Fn(&str) -> Option<Block>;

/// The largest number of layers: a file system in a file on a file system, a volume on a RAID.
const DEPTH: usize = 16;

/// File systems whose files are in memory.
const MEMORY: &[&str] = &["tmpfs", "ramfs", "rootfs", "devtmpfs", "hugetlbfs"];
/// Read-only file systems.
const READ_ONLY: &[&str] = &["squashfs", "erofs", "iso9660", "cramfs", "romfs", "udf"];
/// File systems on other machines. Their files don't depend on this machine's reboot.
const NETWORK: &[&str] = &[
    "nfs",
    "nfs4",
    "ceph",
    "fuse.ceph",
    "cifs",
    "smb3",
    "glusterfs",
    "fuse.glusterfs",
    "lustre",
    "ocfs2",
    "gfs2",
    "afs",
];
/// File systems that manage pools of devices themselves.
const POOLS: &[&str] = &["zfs"];
/// File systems on block devices.
const ON_DEVICES: &[&str] = &[
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "reiserfs", "nilfs2", "bcachefs", "vfat", "exfat",
    "ntfs3", "minix",
];

/// Parts of the paths of a container's layers, by the program that made it: Docker, containerd, Podman and CRI-O,
/// BuildKit, kaniko.
const CONTAINERS: &[&str] = &["/docker/", "containerd", "/containers/", "buildkit", "/kaniko"];
/// Parts of the paths of a live system's layers.
const LIVE: &[&str] = &["squashfs", "/cow", "/casper", "/live/", "/erofs", "/rofs"];

/// Judges the directory `path`, which has no links in it, by the mounts that this process sees.
pub fn judge(mounts: &[Mount], path: &str, devices: Devices<'_>) -> Judgement {
    match covering(mounts, path) {
        Some(mount) => judge_mount(mounts, mount, devices, DEPTH),
        None => judgement(Lasting::Unknown, format!("no mount of this process covers {path}")),
    }
}

/// Judges a device that is not mounted yet.
pub fn judge_device(mounts: &[Mount], block: &Block, devices: Devices<'_>) -> Judgement {
    judge_block(mounts, block, devices, DEPTH)
}

fn judgement(lasting: Lasting, reason: impl Into<String>) -> Judgement {
    Judgement { lasting, reason: reason.into(), is_layer: false }
}

fn judge_mount(mounts: &[Mount], mount: &Mount, devices: Devices<'_>, depth: usize) -> Judgement {
    let kind = mount.file_system.as_str();
    let at = format!("{kind} at {}", mount.point);
    if depth == 0 {
        return judgement(Lasting::Unknown, format!("{at}, on too many layers"));
    }
    if READ_ONLY.contains(&kind) {
        return judgement(Lasting::Volatile, format!("{at}, which is read-only"));
    }
    match kind {
        _ if MEMORY.contains(&kind) => judgement(Lasting::Volatile, format!("{at}, in memory")),
        _ if NETWORK.contains(&kind) => {
            judgement(Lasting::Persistent, format!("{at}, {} of another machine", mount.source))
        }
        _ if POOLS.contains(&kind) => judgement(Lasting::Persistent, format!("{at}, {}", mount.source)),
        "overlay" | "overlayfs" | "aufs" | "fuse.fuse-overlayfs" => judge_overlay(mounts, mount, devices, depth),
        _ if ON_DEVICES.contains(&kind) => {
            // btrfs, and other file systems with many devices, have a made-up number.
            let block = devices(&mount.device).or_else(|| devices(&mount.source));
            match block {
                Some(block) => {
                    let found = judge_block(mounts, &block, devices, depth - 1);
                    Judgement { reason: format!("{at} on {}", found.reason), ..found }
                }
                // A container sees no devices, but a part of a disk that it is given is still on that disk.
                None if mount.source.starts_with("/dev/") => {
                    let name = mount.source.trim_start_matches("/dev/");
                    let found = judge_name(name);
                    Judgement { reason: format!("{at} on {}", found.reason), ..found }
                }
                None => {
                    judgement(Lasting::Unknown, format!("{at} on {}, which is not visible here", mount.source))
                }
            }
        }
        _ => judgement(Lasting::Unknown, format!("{at}, a file system of an unknown kind")),
    }
}

/// Judges an overlay by the directory that its files are written to, which may not be visible here.
fn judge_overlay(mounts: &[Mount], mount: &Mount, devices: Devices<'_>, depth: usize) -> Judgement {
    let at = format!("{} at {}", mount.file_system, mount.point);
    // libmount escapes paths with a comma. Such a path is not found, so the result is Unknown.
    let (upper, lower) = (mount.super_option("upperdir"), mount.super_option("lowerdir").unwrap_or_default());
    let Some(upper) = upper else {
        return match mount.is_read_only() || mount.super_options.contains("lowerdir") {
            true => judgement(Lasting::Volatile, format!("{at}, which is read-only")),
            false => judgement(Lasting::Unknown, format!("{at}, whose layers are not listed")),
        };
    };
    let has = |words: &[&str]| words.iter().any(|word| upper.contains(word) || lower.contains(word));
    // A container's layer is a path on its host. A directory of the same name in the container is something else.
    let is_container = mount.point == "/" && has(CONTAINERS);
    match covering(mounts, upper).filter(|_| !is_container) {
        // An upper layer can't be on its own overlay. If it seems so, it was made where other mounts are visible.
        Some(below) if below.id != mount.id && below.file_system != mount.file_system => {
            let found = judge_mount(mounts, below, devices, depth - 1);
            Judgement { reason: format!("{at}, written to {upper} on {}", found.reason), ..found }
        }
        _ if is_container => {
            let found =
                judgement(Lasting::Volatile, format!("{at}, {LAYER}, which is deleted with the container"));
            Judgement { is_layer: true, ..found }
        }
        _ if has(LIVE) => judgement(Lasting::Volatile, format!("{at}, the layer of a live system, in memory")),
        _ => judgement(Lasting::Unknown, format!("{at}, written to {upper}, which is not visible here")),
    }
}

fn judge_block(mounts: &[Mount], block: &Block, devices: Devices<'_>, depth: usize) -> Judgement {
    let name = &block.name;
    if depth == 0 {
        return judgement(Lasting::Unknown, format!("{name}, on too many layers"));
    }
    if let Some(file) = &block.backing_file {
        if file.ends_with(" (deleted)") {
            return judgement(Lasting::Volatile, format!("{name}, whose file was removed"));
        }
        let found = judge_depth(mounts, file, devices, depth - 1);
        return Judgement { reason: format!("{name}, the file {file} in {}", found.reason), ..found };
    }
    if block.uuid.as_ref().is_some_and(|uuid| uuid.starts_with("CRYPT-PLAIN")) {
        return judgement(Lasting::Unknown, format!("{name}, encrypted with a key that may change at each boot"));
    }
    // The first of the worst parts decides.
    let parts = block.parts.iter().map(|part| match devices(part) {
        Some(part) => judge_block(mounts, &part, devices, depth - 1),
        None => judgement(Lasting::Unknown, format!("{part}, which is not visible here")),
    });
    let found = parts.reduce(|worst, part| {
        let rank = |found: &Judgement| match found.lasting {
            Lasting::Volatile => 2,
            Lasting::Unknown => 1,
            Lasting::Persistent => 0,
        };
        if rank(&part) > rank(&worst) { part } else { worst }
    });
    match found {
        Some(found) => Judgement { reason: format!("{name}, made of {}", found.reason), ..found },
        None => judge_name(name),
    }
}

fn judge_depth(mounts: &[Mount], path: &str, devices: Devices<'_>, depth: usize) -> Judgement {
    match covering(mounts, path) {
        Some(mount) => judge_mount(mounts, mount, devices, depth),
        None => judgement(Lasting::Unknown, "a directory that is not visible here"),
    }
}

/// Judges a device without parts, by its name.
fn judge_name(name: &str) -> Judgement {
    let is =
        |kind: &str| name.strip_prefix(kind).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    match name {
        _ if is("zram") || is("ram") => judgement(Lasting::Volatile, format!("{name}, in memory")),
        // Without the kernel's description, the parts of these devices are not known.
        _ if is("loop") || is("dm-") || is("nbd") || name.starts_with("mapper/") => {
            judgement(Lasting::Unknown, format!("{name}, whose parts are unknown"))
        }
        _ => judgement(Lasting::Persistent, format!("the disk {name}")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::mounts::parse;
    use super::*;

    const LOGS: &str = "/var/log/kubernetes/audit";

    fn block(name: &str) -> Block {
        Block { name: name.to_owned(), ..Block::default() }
    }

    fn made_of(name: &str, parts: &[&str]) -> Block {
        Block { parts: parts.iter().map(|part| (*part).to_owned()).collect(), ..block(name) }
    }

    fn file(name: &str, path: &str) -> Block {
        Block { backing_file: Some(path.to_owned()), ..block(name) }
    }

    fn found(text: &str, path: &str, devices: &[(&str, Block)]) -> (Lasting, String) {
        let devices: HashMap<_, _> = devices.iter().cloned().collect();
        let judgement = judge(&parse(text).unwrap(), path, &|name| devices.get(name).cloned());
        assert_eq!(judgement.is_layer, judgement.reason.contains(LAYER), "{text}");
        (judgement.lasting, judgement.reason)
    }

    /// A name, the mounts and devices, and the expected result.
    type Layout<'a> = (&'a str, &'a str, &'a [(&'a str, Block)], Lasting, &'a str);

    /// Mounts of real machines and containers, as far as they matter, each with the expected result for the log.
    #[test]
    fn known_layouts_are_judged() {
        use Lasting::{Persistent, Unknown, Volatile};
        let cases: &[Layout<'_>] = &[
            (
                "a plain machine",
                "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro\n\
                 27 22 0:24 / /run rw,nosuid,nodev shared:5 - tmpfs tmpfs rw,size=399096k,mode=755\n",
                &[("254:1", block("vda1"))],
                Persistent,
                "ext4 at / on the disk vda1",
            ),
            (
                "/var/log in memory",
                "22 1 254:1 / / rw - ext4 /dev/vda1 rw\n30 22 0:30 / /var/log rw - tmpfs tmpfs rw,size=50m\n",
                &[("254:1", block("vda1"))],
                Volatile,
                "tmpfs at /var/log, in memory",
            ),
            (
                "log2ram on zram",
                "22 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw\n31 22 253:0 / /var/log rw - ext4 /dev/zram0 rw,discard\n",
                &[("253:0", block("zram0"))],
                Volatile,
                "ext4 at /var/log on zram0, in memory",
            ),
            (
                "a node of kind: its own layer, with a volume over /var",
                "1543 1408 0:130 / / rw,relatime - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/AAA:/var/lib/docker/overlay2/l/BBB,\
                 upperdir=/var/lib/docker/overlay2/0d/diff,workdir=/var/lib/docker/overlay2/0d/work\n\
                 1560 1543 254:1 /var/lib/docker/volumes/5fd0/_data /var rw,relatime - ext4 /dev/vda1 rw\n",
                &[("254:1", block("vda1"))],
                Persistent,
                "ext4 at /var on the disk vda1",
            ),
            (
                "a container of Docker, with a volume where its own layer is said to be",
                "1543 1408 0:130 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A,upperdir=/data/docker/overlay2/0d/diff,workdir=/x\n\
                 1560 1543 254:1 /volumes/5fd0 /data rw - ext4 /dev/vda1 rw\n",
                &[("254:1", block("vda1"))],
                Volatile,
                "overlay at /, a container's own layer, which is deleted with the container",
            ),
            (
                "a container of containerd, whose devices are not visible",
                "9 8 0:200 / / rw - overlay overlay rw,lowerdir=/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/2/fs,\
                 upperdir=/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/9/fs,workdir=/w\n\
                 10 9 8:1 /data /var/log rw - xfs /dev/sda1 rw\n",
                &[],
                Persistent,
                "xfs at /var/log on the disk sda1",
            ),
            (
                "Kairos: a read-only image in a file, overlays in memory, /var/log bound to the persistent partition",
                "30 1 7:0 / / ro,relatime - ext2 /dev/loop0 ro\n\
                 40 30 0:40 / /run rw - tmpfs tmpfs rw\n\
                 41 30 0:41 / /var rw - overlay overlay rw,lowerdir=/var,upperdir=/run/overlay/var.overlay/upper,workdir=/run/overlay/var.overlay/work\n\
                 42 30 8:5 / /usr/local rw - ext4 /dev/sda5 rw\n\
                 43 41 8:5 /.state/var-log.bind /var/log rw - ext4 /dev/sda5 rw\n",
                &[("7:0", file("loop0", "/run/initramfs/cos-state/cOS/active.img")), ("8:5", block("sda5"))],
                Persistent,
                "ext4 at /var/log on the disk sda5",
            ),
            (
                "the same without that partition",
                "30 1 7:0 / / ro - ext2 /dev/loop0 ro\n40 30 0:40 / /run rw - tmpfs tmpfs rw\n\
                 41 30 0:41 / /var rw - overlay overlay rw,lowerdir=/var,upperdir=/run/overlay/var.overlay/upper,workdir=/run/w\n",
                &[],
                Volatile,
                "overlay at /var, written to /run/overlay/var.overlay/upper on tmpfs at /run, in memory",
            ),
            (
                "Flatcar",
                "24 1 8:9 / / rw - ext4 /dev/sda9 rw,seclabel\n\
                 25 24 254:0 / /usr ro - btrfs /dev/mapper/usr ro,rescue=nologreplay\n",
                &[("8:9", block("sda9"))],
                Persistent,
                "ext4 at / on the disk sda9",
            ),
            (
                "a subvolume of btrfs, whose number is made up",
                "24 1 0:32 /@ / rw - btrfs /dev/nvme0n1p3 rw,subvolid=256,subvol=/@\n\
                 25 24 0:32 /@log /var/log rw - btrfs /dev/nvme0n1p3 rw,subvolid=257,subvol=/@log\n",
                &[("/dev/nvme0n1p3", block("nvme0n1p3"))],
                Persistent,
                "btrfs at /var/log on the disk nvme0n1p3",
            ),
            (
                "LVM on LUKS on a RAID",
                "24 1 254:2 / / rw - xfs /dev/mapper/vg-root rw\n",
                &[
                    ("254:2", made_of("dm-2", &["254:0"])),
                    ("254:0", Block { uuid: Some("CRYPT-LUKS2-aa-luks".to_owned()), ..made_of("dm-0", &["9:0"]) }),
                    ("9:0", made_of("md0", &["8:1", "8:17"])),
                    ("8:1", block("sda1")),
                    ("8:17", block("sdb1")),
                ],
                Persistent,
                "xfs at / on dm-2, made of dm-0, made of md0, made of the disk sda1",
            ),
            (
                "one part of a volume in memory",
                "24 1 254:2 / / rw - xfs /dev/mapper/x rw\n",
                &[("254:2", made_of("dm-2", &["8:1", "1:0"])), ("8:1", block("sda1")), ("1:0", block("ram0"))],
                Volatile,
                "xfs at / on dm-2, made of ram0, in memory",
            ),
            (
                "encrypted with a key of this boot",
                "24 1 254:2 / / rw - ext4 /dev/mapper/x rw\n",
                &[
                    ("254:2", Block { uuid: Some("CRYPT-PLAIN-x".to_owned()), ..made_of("dm-2", &["8:1"]) }),
                    ("8:1", block("sda1")),
                ],
                Unknown,
                "ext4 at / on dm-2, encrypted with a key that may change at each boot",
            ),
            (
                "a file in memory",
                "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n25 24 0:5 / /dev/shm rw - tmpfs tmpfs rw\n26 24 7:3 / /var/log rw - ext4 /dev/loop3 rw\n",
                &[("7:3", file("loop3", "/dev/shm/log.img"))],
                Volatile,
                "ext4 at /var/log on loop3, the file /dev/shm/log.img in tmpfs at /dev/shm, in memory",
            ),
            (
                "a file on a disk",
                "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n26 24 7:3 / /var/log rw - ext4 /dev/loop3 rw\n",
                &[("7:3", file("loop3", "/srv/log.img")), ("8:1", block("sda1"))],
                Persistent,
                "ext4 at /var/log on loop3, the file /srv/log.img in ext4 at / on the disk sda1",
            ),
            (
                "a file that was removed",
                "24 1 7:3 / / rw - ext4 /dev/loop3 rw\n",
                &[("7:3", file("loop3", "/srv/log.img (deleted)"))],
                Volatile,
                "ext4 at / on loop3, whose file was removed",
            ),
            (
                "a live system of Ubuntu",
                "24 1 0:30 / / rw - overlay /cow rw,lowerdir=/minimal.standard.squashfs:/minimal.squashfs,upperdir=/cow/upper,workdir=/cow/work\n",
                &[],
                Volatile,
                "overlay at /, the layer of a live system, in memory",
            ),
            (
                "a live system of Debian",
                "24 1 0:30 / / rw - overlay overlay rw,lowerdir=/run/live/rootfs/filesystem.squashfs/,upperdir=/run/live/overlay/rw,workdir=/w\n\
                 25 24 0:24 / /run rw - tmpfs tmpfs rw\n26 25 0:29 / /run/live/overlay rw - tmpfs tmpfs rw\n",
                &[],
                Volatile,
                "overlay at /, written to /run/live/overlay/rw on tmpfs at /run/live/overlay, in memory",
            ),
            (
                "a read-only image",
                "24 1 7:0 / / ro - squashfs /dev/loop0 ro\n",
                &[],
                Volatile,
                "squashfs at /, which is read-only",
            ),
            (
                "an overlay that something of the initramfs made",
                "24 1 0:30 / / rw - overlay overlay rw,lowerdir=/root-ro,upperdir=/root-rw/upper,workdir=/w\n",
                &[],
                Unknown,
                "overlay at /, written to /root-rw/upper, which is not visible here",
            ),
            (
                "an overlay whose mount lists no layers",
                "24 1 0:30 / / rw - overlay overlay rw\n",
                &[],
                Unknown,
                "overlay at /, whose layers are not listed",
            ),
            (
                "an overlay without an upper layer",
                "24 1 0:30 / / rw - overlay overlay rw,lowerdir=/a:/b\n",
                &[],
                Volatile,
                "overlay at /, which is read-only",
            ),
            (
                "an overlay that is mounted read-only",
                "24 1 0:30 / / ro - overlay overlay rw\n",
                &[],
                Volatile,
                "overlay at /, which is read-only",
            ),
            (
                "an overlay whose upper layer would be on another overlay",
                "24 1 0:30 / / rw - overlay overlay rw,lowerdir=/a,upperdir=/b,workdir=/w\n\
                 25 24 0:31 / /var rw - overlay overlay rw,lowerdir=/c,upperdir=/d,workdir=/w\n",
                &[],
                Unknown,
                "overlay at /var, written to /d, which is not visible here",
            ),
            ("a pool of ZFS", "24 1 0:40 / / rw - zfs rpool/ROOT rw\n", &[], Persistent, "zfs at /, rpool/ROOT"),
            (
                "a root directory whose source is not the path of a device",
                "24 1 0:40 / / rw - btrfs none rw\n",
                &[],
                Unknown,
                "btrfs at / on none, which is not visible here",
            ),
            (
                "another machine's disk",
                "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n25 24 0:50 / /var/log rw - nfs4 nas:/logs rw,vers=4.2\n",
                &[],
                Persistent,
                "nfs4 at /var/log, nas:/logs of another machine",
            ),
            (
                "a directory of the host of a virtual machine",
                "24 1 0:50 / / rw - virtiofs root rw\n",
                &[],
                Unknown,
                "virtiofs at /, a file system of an unknown kind",
            ),
            (
                "a device of the device mapper without a description",
                "24 1 254:7 / / rw - ext4 /dev/mapper/x rw\n",
                &[],
                Unknown,
                "ext4 at / on mapper/x, whose parts are unknown",
            ),
        ];
        for (name, text, devices, lasting, reason) in cases {
            assert_eq!(found(text, LOGS, devices), (*lasting, (*reason).to_owned()), "{name}");
        }
    }

    #[test]
    fn what_lies_on_itself_has_an_end() {
        let text = "1 0 7:0 / / rw - ext4 /dev/loop0 rw\n";
        let (lasting, reason) = found(text, LOGS, &[("7:0", file("loop0", "/disk.img"))]);
        assert_eq!((lasting, reason.matches("loop0").count()), (Lasting::Unknown, DEPTH / 2));
        let overlays =
            "1 0 0:1 / / rw - overlay overlay rw,upperdir=/a/b\n2 1 0:2 / /a rw - aufs aufs rw,upperdir=/c\n";
        let (lasting, reason) = found(overlays, LOGS, &[]);
        assert_eq!((lasting, reason.matches("aufs at").count()), (Lasting::Unknown, DEPTH / 2));
        let circle = [("7:0", made_of("dm-0", &["7:0"]))];
        assert_eq!(found(text, LOGS, &circle).0, Lasting::Unknown);
    }

    #[test]
    fn a_device_without_parts_is_judged_by_its_name() {
        use Lasting::{Persistent, Unknown, Volatile};
        for (name, lasting) in [
            ("sda1", Persistent),
            ("ramp", Persistent),
            ("loopback", Persistent),
            ("ram0", Volatile),
            ("zram1", Volatile),
            ("loop3", Unknown),
            ("dm-0", Unknown),
            ("nbd0", Unknown),
            ("mapper/audit", Unknown),
        ] {
            assert_eq!(judge_device(&[], &block(name), &|_| None).lasting, lasting, "{name}");
        }
        assert_eq!([Persistent, Volatile, Unknown].map(Lasting::name), ["persistent", "volatile", "unknown"]);
        assert_eq!(judge_device(&[], &block("ram0"), &|_| None).to_string(), "volatile: ram0, in memory");
    }

    #[test]
    fn the_first_part_that_lasts_least_decides() {
        let devices = |name: &str| (name != "gone").then(|| block(name));
        for (parts, expected) in [
            (["sda", "sdb"], "md0, made of the disk sda"),
            (["sda", "ram0"], "md0, made of ram0, in memory"),
            (["ram0", "ram1"], "md0, made of ram0, in memory"),
            (["ram0", "gone"], "md0, made of ram0, in memory"),
            (["sda", "gone"], "md0, made of gone, which is not visible here"),
            (["gone", "sda"], "md0, made of gone, which is not visible here"),
        ] {
            assert_eq!(judge_device(&[], &made_of("md0", &parts), &devices).reason, expected);
        }
    }

    #[test]
    fn where_nothing_is_mounted_nothing_is_known() {
        assert_eq!(found("", LOGS, &[]).0, Lasting::Unknown);
    }
}
