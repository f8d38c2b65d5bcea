//! What a node starts from: a Debian root, a layer of Kubernetes on it, and the store of container images.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::cache::{self, Key, hex};
use crate::components::{self, Components};
use crate::run;

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// What is made changes with how it is made.
const OWN_TEXT: &[u8] = include_bytes!("image.rs");

/// Changes with what [`install`] does besides installing: that takes too long to be done for every change of this file.
const RECIPE: &str = "3";

/// The Debian that nodes are made of.
pub const SUITE: &str = "trixie";
const PACKAGES: [&str; 23] = [
    "ca-certificates",
    "cloud-init",
    "conntrack",
    "containernetworking-plugins",
    "curl",
    "dbus",
    "e2fsprogs",
    "ethtool",
    "iproute2",
    "iptables",
    "jq",
    "kmod",
    "mount",
    "nftables",
    "procps",
    "rsyslog",
    "runc",
    "socat",
    "systemd",
    "systemd-sysv",
    "udev",
    "util-linux",
    "xz-utils",
];

/// What else a machine of its own needs.
const MACHINE_PACKAGES: [&str; 6] =
    ["docker-cli", "docker.io", "grub-common", "grub-pc-bin", "initramfs-tools", "linux-image-cloud-amd64"];

/// Units that start with the node, by who wants them. The names of those of the harness begin with `case`.
const ENABLED: [(&str, &str); 6] = [
    ("sysinit.target", "/etc/systemd/system/case-emulated.service"),
    ("dev-virtio\\x2dports-journal.device", "/etc/systemd/system/case-journal.service"),
    ("multi-user.target", "/etc/systemd/system/containerd.service"),
    ("multi-user.target", "/usr/lib/systemd/system/kubelet.service"),
    ("multi-user.target", "/usr/lib/systemd/system/systemd-networkd.service"),
    ("cloud-init.target", "/etc/systemd/system/case.service"),
];

/// Those of the harness.
pub fn own_units() -> impl Iterator<Item = (&'static str, &'static str)> {
    ENABLED.into_iter().filter(|(_, unit)| unit.contains("/case"))
}

/// Units that a node for a minute has no need of.
const MASKED: [&str; 14] = [
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "ldconfig.service",
    "serial-getty@ttyS0.service",
    "systemd-binfmt.service",
    "systemd-journal-catalog-update.service",
    "systemd-pstore.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-update-done.service",
];

/// What a node of one version starts from; folders of the cache, only read.
#[derive(Clone, Debug)]
pub struct Image {
    /// Folders that lie one on the other, the topmost first.
    pub layers: Vec<PathBuf>,
    /// What `/var/lib/containerd` begins with.
    pub store: PathBuf,
}

/// Makes the image for the versions: the first is the node's own; of the others, kubeadm, kubelet and kubectl lie in
/// `/opt/kubernetes/VERSION`, and the container images are there.
///
/// # Errors
///
/// A part can't be made.
pub fn image(components: &Components, versions: &[String]) -> Result<Image> {
    let store = store(components, versions)?;
    Ok(Image { layers: vec![layer(components, versions)?, debian()?], store })
}

/// A root of Debian, without anything of Kubernetes.
///
/// # Errors
///
/// It can't be installed.
pub fn debian() -> Result<PathBuf> {
    install("debian", &PACKAGES, None)
}

/// The same with a kernel, for a machine of its own, and Docker, which kind needs.
///
/// # Errors
///
/// It can't be installed.
pub fn debian_of_machines() -> Result<PathBuf> {
    let packages: Vec<_> = PACKAGES.into_iter().chain(MACHINE_PACKAGES).collect();
    install("debian-machine", &packages, Some(&Path::new(HERE).join("machine")))
}

/// Installs packages into a folder. Files that are to be there before the packages may be given.
fn install(name: &str, packages: &[&str], files: Option<&Path>) -> Result<PathBuf> {
    let mut key = Key::default().with(RECIPE).with(SUITE).with(packages.join(","));
    if let Some(files) = files {
        key = key.with_folder(files)?;
    }
    let folder = cache::folder(&format!("{name}-{SUITE}"), &key, |folder| {
        eprintln!("{name} {SUITE}: installing into a folder, which takes a minute");
        let include = format!("--include={}", packages.join(","));
        let mut install = run::bound("mmdebstrap");
        install.args(["--quiet", "--variant=minbase", "--format=directory", &include]);
        // A case that needs it starts it.
        install.arg("--customize-hook=chroot \"$1\" systemctl --quiet disable rsyslog.service");
        if let Some(files) = files {
            install.arg(format!("--essential-hook=sync-in '{}' /", files.display()));
            install.arg("--customize-hook=chroot \"$1\" systemctl --quiet disable docker.service docker.socket");
        }
        run::long_output(install.arg(SUITE).arg(folder.join("root")))?;
        // What makes a system that boots a second time: a first boot of systemd is slow.
        let root = folder.join("root");
        fs::write(root.join("etc/machine-id"), format!("{:032x}\n", 1))?;
        fs::write(root.join("etc/fstab"), "")?;
        for cached in ["var/cache/apt", "var/lib/apt/lists"] {
            fs::remove_dir_all(root.join(cached))?;
        }
        Ok(())
    })?;
    Ok(folder.join("root"))
}

/// The programs and files of a Kubernetes node, over a Debian; see [`image`] for the versions.
///
/// # Errors
///
/// A program can't be built.
pub fn layer(components: &Components, versions: &[String]) -> Result<PathBuf> {
    let [version, others @ ..] = versions else { bail!("an image needs a version") };
    let files = Path::new(HERE).join("rootfs");
    let mut programs = Vec::new();
    for name in ["kubeadm", "kubelet", "kubectl"] {
        programs.push((components.kubernetes(version, name)?, format!("usr/bin/{name}")));
        for other in others {
            programs.push((components.kubernetes(other, name)?, format!("opt/kubernetes/{other}/{name}")));
        }
    }
    for name in components::CONTAINERD {
        programs.push((components.containerd(name)?, format!("usr/local/bin/{name}")));
    }
    if versions.iter().any(|version| components::needs_crictl(version)) {
        programs.push((components.crictl()?, "usr/local/bin/crictl".to_owned()));
    }
    let pause = pause(components, version)?;

    let mut key = Key::default().with(OWN_TEXT).with_folder(&files)?.with(&pause);
    for (program, place) in &programs {
        key = key.with_program(program)?.with(place);
    }
    cache::folder(&format!("layer-{}", versions.join("-")), &key, |folder| {
        run::copy(&files, folder)?;
        run::output(Command::new("chown").args(["-R", "0:0"]).arg(folder))?;
        for (program, place) in &programs {
            let place = folder.join(place);
            fs::create_dir_all(place.parent().unwrap_or(folder))?;
            // A node never changes a layer, so the cache's own file will do. Somebody else's may change.
            match &components.given {
                None => fs::hard_link(program, &place)?,
                Some(_) => fs::copy(program, &place).map(drop)?,
            }
        }
        let config = folder.join("etc/containerd/config.toml");
        fs::write(&config, fs::read_to_string(&config)?.replace("@PAUSE@", &pause))?;
        let units = folder.join("etc/systemd/system");
        for (target, unit) in ENABLED {
            let wants = units.join(format!("{target}.wants"));
            fs::create_dir_all(&wants)?;
            symlink(unit, wants.join(Path::new(unit).file_name().unwrap_or_default()))?;
        }
        for unit in MASKED {
            symlink("/dev/null", units.join(unit))?;
        }
        for empty in ["case", "etc/kubernetes/manifests", "opt/cni", "var/log/journal", "var/lib/containerd"] {
            fs::create_dir_all(folder.join(empty))?;
        }
        symlink("/usr/lib/cni", folder.join("opt/cni/bin"))?;
        Ok(())
    })
}

/// Installs a Debian package, as who builds an image does: in a chroot of the layers, in which no systemd runs. What that writes
/// goes to `upper`, which then lies on them.
///
/// # Errors
///
/// It can't be installed.
pub fn bake(layers: &[PathBuf], upper: &Path, package: &Path) -> Result<()> {
    const SCRIPT: &str = "mount -t overlay -o \"lowerdir=$1,upperdir=$2,workdir=$3/work\" overlay \"$3/root\"
mount --bind /proc \"$3/root/proc\"
cp \"$4\" \"$3/root/tmp/package.deb\"
chroot \"$3/root\" dpkg --install /tmp/package.deb
rm \"$3/root/tmp/package.deb\"";
    // On the same file system.
    let top = upper.with_file_name("bake");
    for folder in [upper, &top.join("work"), &top.join("root")] {
        fs::create_dir_all(folder)?;
    }
    let layers: Vec<_> = layers.iter().map(|layer| layer.to_string_lossy()).collect();
    let mut install = run::bound("unshare");
    install.args(["--mount", "sh", "-ec", SCRIPT, "bake", &layers.join(":")]).arg(upper).arg(&top).arg(package);
    run::long_output(install.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"))?;
    Ok(fs::remove_dir_all(&top)?)
}

/// The name of the image that every pod has, as kubeadm says.
///
/// # Errors
///
/// It names none.
pub fn pause(components: &Components, version: &str) -> Result<String> {
    let pause = images(components, version)?.into_iter().find(|image| image.contains("/pause:"));
    pause.context("kubeadm names no pause image")
}

/// The names of the images that kubeadm deploys.
fn images(components: &Components, version: &str) -> Result<Vec<String>> {
    let kubeadm = components.kubernetes(version, "kubeadm")?;
    let version = format!("v{version}");
    let printed =
        run::output(Command::new(kubeadm).args(["config", "images", "list", "--kubernetes-version", &version]))?;
    Ok(printed.lines().map(str::to_owned).collect())
}

/// A root of containerd in which every image is imported and unpacked. An image is one static binary; what a test
/// only needs to exist (pause, coredns, kube-proxy) does nothing.
///
/// # Errors
///
/// A program can't be built, or an image not imported.
pub fn store(components: &Components, versions: &[String]) -> Result<PathBuf> {
    let source = Path::new(HERE).join("images/pause.c");
    let mut key = Key::default().with(OWN_TEXT).with_file(&source)?;
    let mut all = Vec::new();
    for version in versions {
        for image in images(components, version)? {
            let name =
                image.rsplit('/').next().and_then(|name| name.split(':').next()).unwrap_or_default().to_owned();
            let program = match name.as_str() {
                "kube-apiserver" | "kube-controller-manager" | "kube-scheduler" => {
                    Some(components.kubernetes(version, &name)?)
                }
                "etcd" => Some(components.etcd()?),
                _ => None,
            };
            key = key.with(&image);
            if let Some(program) = &program {
                key = key.with_program(program)?;
            }
            all.push((image, name, program));
        }
    }
    let containerd = components.containerd("containerd")?;
    let ctr = components.containerd("ctr")?;
    key = key.with_program(&containerd)?;
    let folder = cache::folder(&format!("images-{}", versions.join("-")), &key, |folder| {
        eprintln!("container images of {}: importing", versions.join(", "));
        let pause = folder.join("pause");
        run::output(Command::new("cc").args(["-static", "-Os", "-s", "-o"]).arg(&pause).arg(&source))?;
        let server = Containerd::start(&containerd, &ctr, folder)?;
        for (image, name, program) in &all {
            let archive = folder.join("archive.tar");
            write_archive(&archive, image, name, program.as_deref().unwrap_or(&pause))?;
            server.ctr(&["images", "import", &archive.to_string_lossy()])?;
            fs::remove_file(&archive)?;
        }
        let there = server.ctr(&["images", "ls", "-q"])?;
        for (image, ..) in &all {
            ensure!(
                there.lines().any(|line| line == image),
                "{image} was imported, but containerd doesn't list it"
            );
        }
        server.stop()?;
        fs::remove_dir_all(folder.join("state"))?;
        Ok(())
    })?;
    Ok(folder.join("root"))
}

/// A containerd of our own, for as long as images are imported.
struct Containerd {
    child: Child,
    ctr: PathBuf,
    socket: PathBuf,
}

impl Containerd {
    fn start(containerd: &Path, ctr: &Path, folder: &Path) -> Result<Self> {
        let (config, socket) = (folder.join("config.toml"), folder.join("state/socket"));
        let text = format!(
            "version = 3\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \
             \"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\"]\n[grpc]\n  address = {:?}\n",
            folder.join("root"),
            folder.join("state"),
            socket
        );
        fs::write(&config, text)?;
        let log = fs::File::create(folder.join("log"))?.into_file();
        let child = run::bound(containerd)
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| containerd.display().to_string())?;
        let mut server = Self { child, ctr: ctr.to_owned(), socket };
        let start = Instant::now();
        while let Err(error) = server.ctr(&["version"]) {
            let ended = server.child.try_wait()?.is_some();
            if ended || start.elapsed() > Duration::from_secs(30) {
                let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
                return Err(error.context(format!("containerd doesn't start:\n{}", run::tail(&log, 20))));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }

    fn ctr(&self, arguments: &[&str]) -> Result<String> {
        run::output(Command::new(&self.ctr).arg("-a").arg(&self.socket).args(["-n", "k8s.io"]).args(arguments))
    }

    fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes an image as `docker save` does: one layer with one program.
fn write_archive(path: &Path, image: &str, name: &str, program: &Path) -> Result<()> {
    let mut layer = tar::Builder::new(Vec::new());
    for (dir, mode) in
        [("usr", 0o755), ("usr/local", 0o755), ("usr/local/bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)]
    {
        add(&mut layer, dir, tar::EntryType::Directory, mode, &[])?;
    }
    add(&mut layer, "etc/passwd", tar::EntryType::Regular, 0o644, b"root:x:0:0:root:/root:/sbin/nologin\n")?;
    let text = fs::read(program)?;
    add(&mut layer, &format!("usr/local/bin/{name}"), tar::EntryType::Regular, 0o755, &text)?;
    let layer = layer.into_inner()?;
    let digest = hex(&Sha256::digest(&layer));
    // As machine/etc/systemd/system.conf.d/case.conf has it for a machine's units.
    // Each probe is a handshake, and an emulated processor is spared the part against computers that nobody has.
    let mut env = vec![
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "GOGC=400",
        "GODEBUG=tlsmlkem=0",
    ];
    if name == "etcd" {
        // Of two members on a busy machine, the follower would look for a new leader again and again. And who is slow
        // gets slower by telling of each request that took long.
        env.extend(["ETCD_HEARTBEAT_INTERVAL=500", "ETCD_ELECTION_TIMEOUT=5000", "ETCD_LOG_LEVEL=error"]);
    }
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {
            "Env": env,
            "Entrypoint": [format!("/usr/local/bin/{name}")],
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    })
    .to_string();
    let config_name = format!("{}.json", hex(&Sha256::digest(&config)));
    let layer_name = format!("{digest}/layer.tar");
    let manifest = json!([{"Config": config_name, "RepoTags": [image], "Layers": [layer_name]}]).to_string();

    let mut archive = tar::Builder::new(fs::File::create(path)?);
    add(&mut archive, &config_name, tar::EntryType::Regular, 0o644, config.as_bytes())?;
    add(&mut archive, &layer_name, tar::EntryType::Regular, 0o644, &layer)?;
    add(&mut archive, "manifest.json", tar::EntryType::Regular, 0o644, manifest.as_bytes())?;
    archive.finish()?;
    Ok(())
}

fn add<W: std::io::Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    kind: tar::EntryType,
    mode: u32,
    text: &[u8],
) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(text.len() as u64);
    archive.append_data(&mut header, name, text).with_context(|| name.to_owned())
}
