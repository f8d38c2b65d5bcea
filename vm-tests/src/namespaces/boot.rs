//! What a node does before systemd starts: it mounts its file systems, and writes the few files that differ from those
//! of a machine.

use std::ffi::CString;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::{chroot, sethostname};

use super::cgroup;
use super::spec::Spec;

/// The device files of a node, each with the device of the machine that it is. The files are the node's own: systemd
/// sets the owner and mode of its console, and must not set those of the machine's.
const DEVICES: [(&str, &str); 7] = [
    ("full", "full"),
    // The kernel's log belongs to the machine.
    ("kmsg", "null"),
    ("null", "null"),
    ("random", "random"),
    ("tty", "tty"),
    ("urandom", "urandom"),
    ("zero", "zero"),
];

/// The values that the kubelet wants in `/proc/sys`, for files that belong to the machine. The kubelet finds these
/// values and changes nothing. Source: `setupKernelTunables` of `pkg/kubelet/cm/container_manager_linux.go`.
const TUNABLES: [(&str, &str); 6] = [
    ("kernel/keys/root_maxbytes", "25000000"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
];

/// A wrapper of the kubelet and of containerd, for a machine that keeps the controllers in version 1 of the control
/// groups. systemd uses version 2, which has no controllers then, so these two programs see version 1 instead. That one
/// mount alone is private: what the kubelet mounts must reach containerd.
const WITH_CGROUP_V1: &str = r##"#!/bin/sh
exec unshare --mount --propagation unchanged sh -c '
mount --make-private /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
for c in $(awk "!/^#/ && \$2 != 0 {print \$1}" /proc/cgroups); do
    mkdir /sys/fs/cgroup/$c
    mount -t cgroup -o $c cgroup /sys/fs/cgroup/$c || rmdir /sys/fs/cgroup/$c
done
exec "$@"' - "$@"
"##;

/// A wrapper of the kubelet that adds to the configuration that kubeadm writes: a full disk of the machine is no reason
/// to evict a pod, and the control groups are those of the machine.
const KUBELET: &str = r#"#!/bin/sh
config=/var/lib/kubelet/config.yaml
if [ -e $config ] && ! grep -q ^evictionHard: $config; then
    cat >>$config <<'END'
evictionHard: {nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%, imagefs.inodesFree: 0%}
imageGCHighThresholdPercent: 100
END
    if [ -x /usr/local/sbin/with-cgroup-v1 ]; then
        sed -i 's/^cgroupDriver: .*/cgroupDriver: cgroupfs/' $config
        echo 'failCgroupV1: false' >>$config
    fi
fi
[ ! -x /usr/local/sbin/with-cgroup-v1 ] || exec /usr/local/sbin/with-cgroup-v1 /usr/bin/kubelet "$@"
exec /usr/bin/kubelet "$@"
"#;

/// Drop-ins for what a container may not do: these settings need CAP_SYS_RESOURCE.
const CONTAINERD_UNIT: &str = "[Service]\nOOMScoreAdjust=0\nTasksMax=infinity\n";
const KUBELET_UNIT: &str = "[Service]\nRestartSec=1\nExecStart=\nExecStart=/usr/local/sbin/kubelet-here \
                            $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS\n";

/// Does what `vm-tests boot SPEC` does, which is the first process of a node: mounts its file systems and becomes
/// systemd.
///
/// # Errors
///
/// A file system can't be mounted, or systemd can't be run.
pub fn boot(spec_path: &Path) -> Result<()> {
    let spec = &Spec::read(spec_path)?;
    // In version 2, a group hands on its controllers only if it has no process of its own.
    spec.group.join()?;
    unshare(CloneFlags::CLONE_NEWCGROUP).context("can't make a cgroup namespace")?;
    let root = spec.top.join("mnt");
    mount_all(spec, &root)?;
    configure(&root)?;
    // From here on the mounts of the node are shared among its own namespaces. None reaches the machine.
    remount(&root, MsFlags::MS_SHARED | MsFlags::MS_REC)?;
    sethostname(&spec.name)?;
    chroot(&root).with_context(|| root.display().to_string())?;
    std::env::set_current_dir("/")?;
    let error = Command::new("/sbin/init")
        .args(["--log-target=console", "--show-status=1"])
        .env_clear()
        .env("container", "namespaces")
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .exec();
    Err(error).context("can't run systemd")
}

fn mount_all(spec: &Spec, root: &Path) -> Result<()> {
    remount(Path::new("/"), MsFlags::MS_PRIVATE | MsFlags::MS_REC)?;
    let lower: Vec<_> = spec.layers.iter().map(|layer| layer.to_string_lossy()).collect();
    let (up, work) = (spec.top.join("up"), spec.top.join("work"));
    let overlay = format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), up.display(), work.display());
    new_mount("overlay", root, MsFlags::empty(), &overlay)?;
    new_mount("proc", &root.join("proc"), MsFlags::empty(), "")?;
    protect_tunables(spec, &root.join("proc/sys"))?;
    let sysrq = root.join("proc/sysrq-trigger");
    if sysrq.exists() {
        bind(Path::new("/dev/null"), &sysrq)?;
    }
    // With a writable sysfs, networkd would wait for udev.
    new_mount("sysfs", &root.join("sys"), MsFlags::MS_RDONLY, "")?;
    new_mount("cgroup2", &root.join("sys/fs/cgroup"), MsFlags::empty(), "")?;
    new_mount("tmpfs", &root.join("run"), MsFlags::empty(), "mode=755")?;
    new_mount("tmpfs", &root.join("tmp"), MsFlags::empty(), "mode=1777")?;
    let dev = root.join("dev");
    new_mount("tmpfs", &dev, MsFlags::empty(), "mode=755")?;
    for (name, of) in DEVICES {
        let device = fs::metadata(Path::new("/dev").join(of))?.rdev();
        let everybody = Mode::from_bits_truncate(0o666);
        mknod(&dev.join(name), SFlag::S_IFCHR, everybody, device)
            .with_context(|| format!("can't make the device {}", dev.join(name).display()))?;
        fs::set_permissions(dev.join(name), Permissions::from_mode(0o666))?;
    }
    for dir in ["mqueue", "pts", "shm", "virtio-ports"] {
        fs::create_dir(dev.join(dir))?;
    }
    new_mount("devpts", &dev.join("pts"), MsFlags::empty(), "newinstance,ptmxmode=0666,mode=620,gid=5")?;
    new_mount("tmpfs", &dev.join("shm"), MsFlags::empty(), "mode=1777")?;
    let links = [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ];
    for (name, target) in links {
        symlink(target, dev.join(name)).with_context(|| name.to_owned())?;
    }
    bind_file(&spec.top.join("console"), &dev.join("console"))?;
    // A machine has serial ports in their place.
    for port in ["result", "logs"] {
        bind_file(&spec.top.join(port), &dev.join("virtio-ports").join(port))?;
    }
    // An overlay can't be the upper part of another one, so the layers of containers need another kind of folder.
    bind(&spec.top.join("containerd"), &root.join("var/lib/containerd"))
}

/// Makes `/proc/sys` read-only but for its network part, since most of it belongs to the machine.
fn protect_tunables(spec: &Spec, sys: &Path) -> Result<()> {
    bind(sys, sys)?;
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    remount(sys, read_only)?;
    let net = sys.join("net");
    bind(&net, &net)?;
    remount(&net, MsFlags::MS_REMOUNT | MsFlags::MS_BIND)?;
    for (name, value) in TUNABLES {
        let file = spec.top.join(name.replace('/', "."));
        fs::write(&file, format!("{value}\n"))?;
        if sys.join(name).exists() {
            bind(&file, &sys.join(name))?;
        }
    }
    Ok(())
}

fn configure(root: &Path) -> Result<()> {
    let config = "etc/containerd/config.toml";
    let text = fs::read_to_string(root.join(config))?;
    let limits =
        "\n[plugins.'io.containerd.cri.v1.runtime']\n  restrict_oom_score_adj = true\n  disable_apparmor = true\n";
    let runc = "\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]";
    ensure!(text.contains(runc), "{config} has no {runc:?}: find where containerd keeps its limits now");
    // At a second boot the limits are there.
    let mut text = if text.contains(limits) { text } else { text.replacen(runc, &format!("{limits}{runc}"), 1) };
    let mut containerd = CONTAINERD_UNIT.to_owned();
    if cgroup::is_v1() {
        text = text.replace("SystemdCgroup = true", "SystemdCgroup = false");
        write(root, "usr/local/sbin/with-cgroup-v1", 0o755, WITH_CGROUP_V1)?;
        containerd += "ExecStart=\nExecStart=/usr/local/sbin/with-cgroup-v1 /usr/local/bin/containerd\n";
    }
    write(root, config, 0o644, &text)?;
    write(root, "usr/local/sbin/kubelet-here", 0o755, KUBELET)?;
    write(root, "etc/systemd/system/containerd.service.d/90-namespaces.conf", 0o644, &containerd)?;
    write(root, "etc/systemd/system/kubelet.service.d/90-namespaces.conf", 0o644, KUBELET_UNIT)
}

fn write(root: &Path, path: &str, mode: u32, text: &str) -> Result<()> {
    let path = root.join(path);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(&path, text)?;
    Ok(fs::set_permissions(&path, Permissions::from_mode(mode))?)
}

fn new_mount(kind: &str, target: &Path, flags: MsFlags, options: &str) -> Result<()> {
    let options = CString::new(options)?;
    mount(Some(kind), target, Some(kind), flags, Some(options.as_c_str()))
        .with_context(|| format!("can't mount {kind} on {}", target.display()))
}

fn bind(source: &Path, target: &Path) -> Result<()> {
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("can't mount {} on {}", source.display(), target.display()))
}

fn bind_file(source: &Path, target: &Path) -> Result<()> {
    fs::File::create(target)?;
    bind(source, target)
}

fn remount(target: &Path, flags: MsFlags) -> Result<()> {
    mount(None::<&str>, target, None::<&str>, flags, None::<&str>)
        .with_context(|| format!("can't change the mount {}", target.display()))
}
