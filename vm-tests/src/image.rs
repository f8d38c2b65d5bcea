//! What a node starts from: a root of Debian, a layer of Kubernetes over it, and the store of container images.

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

/// A part of each key, as this file says how a thing is made.
const OWN_TEXT: &[u8] = include_bytes!("image.rs");

/// A part of the key of a Debian in place of [`OWN_TEXT`], as installing takes too long to repeat for each change of
/// this file. Change it with what [`install`] does.
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

/// What a machine needs besides.
const MACHINE_PACKAGES: [&str; 6] =
    ["docker-cli", "docker.io", "grub-common", "grub-pc-bin", "initramfs-tools", "linux-image-cloud-amd64"];

/// A unit that starts with the node, and the target that wants it.
#[derive(Clone, Copy, Debug)]
pub struct EnabledUnit {
    /// The name of the target.
    pub target: &'static str,
    /// Its path on the node.
    pub unit: &'static str,
}

/// The units that start with a node. The names of the harness's own begin with `case`.
const ENABLED: [EnabledUnit; 6] = [
    EnabledUnit { target: "sysinit.target", unit: "/etc/systemd/system/case-emulated.service" },
    EnabledUnit {
        target: "dev-virtio\\x2dports-journal.device",
        unit: "/etc/systemd/system/case-journal.service",
    },
    EnabledUnit { target: "multi-user.target", unit: "/etc/systemd/system/containerd.service" },
    EnabledUnit { target: "multi-user.target", unit: "/usr/lib/systemd/system/kubelet.service" },
    EnabledUnit { target: "multi-user.target", unit: "/usr/lib/systemd/system/systemd-networkd.service" },
    EnabledUnit { target: "cloud-init.target", unit: "/etc/systemd/system/case.service" },
];

/// The units of the harness.
pub fn own_units() -> impl Iterator<Item = EnabledUnit> {
    ENABLED.into_iter().filter(|enabled| enabled.unit.contains("/case"))
}

/// The units that a node doesn't need for the minutes that it lives.
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

/// What a node in namespaces starts from: folders of the cache, which are only read.
#[derive(Clone, Debug)]
pub struct Base {
    /// The folders of its root, the topmost first.
    pub layers: Vec<PathBuf>,
    /// The first content of `/var/lib/containerd`.
    pub store: PathBuf,
}

/// A program that is put into a root.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Its file in the cache, or in the folder of release binaries.
    pub program: PathBuf,
    /// Its path below the root, without a `/` at the beginning.
    pub path: String,
}

impl Installed {
    /// A program, and its path below the root.
    pub fn new(program: PathBuf, path: impl Into<String>) -> Self {
        Self { program, path: path.into() }
    }
}

/// Makes what a node in namespaces starts from. The first version is the node's own. Of the others, kubeadm, kubelet
/// and kubectl are in `/opt/kubernetes/VERSION`, and the container images in the store.
///
/// # Errors
///
/// A part can't be made.
pub fn make_base(components: &Components, versions: &[String]) -> Result<Base> {
    let store = make_store(components, versions)?;
    Ok(Base { layers: vec![make_layer(components, versions)?, make_debian()?], store })
}

/// Makes a root of Debian, without anything of Kubernetes.
///
/// # Errors
///
/// It can't be installed.
pub fn make_debian() -> Result<PathBuf> {
    install("debian", &PACKAGES, None)
}

/// Makes the root of Debian for a machine: it has a kernel, and Docker, which kind needs.
///
/// # Errors
///
/// It can't be installed.
pub fn make_debian_of_machines() -> Result<PathBuf> {
    let packages: Vec<_> = PACKAGES.into_iter().chain(MACHINE_PACKAGES).collect();
    install("debian-machine", &packages, Some(&Path::new(HERE).join("machine")))
}

/// Installs packages into a folder of the cache. `files` are put there before the packages.
fn install(name: &str, packages: &[&str], files: Option<&Path>) -> Result<PathBuf> {
    let mut key = Key::default().with(RECIPE).with(SUITE).with(packages.join(","));
    if let Some(files) = files {
        key = key.with_folder(files)?;
    }
    let folder = cache::provide_folder(&format!("{name}-{SUITE}"), &key, |folder| {
        eprintln!("{name} {SUITE}: installing into a folder, which takes a minute");
        let include = format!("--include={}", packages.join(","));
        let mut install = run::bound("mmdebstrap");
        install.args(["--quiet", "--variant=minbase", "--format=directory", &include]);
        // A case that needs rsyslog starts it.
        install.arg("--customize-hook=chroot \"$1\" systemctl --quiet disable rsyslog.service");
        if let Some(files) = files {
            install.arg(format!("--essential-hook=sync-in '{}' /", files.display()));
            install.arg("--customize-hook=chroot \"$1\" systemctl --quiet disable docker.service docker.socket");
        }
        run::long_output(install.arg(SUITE).arg(folder.join("root")))?;
        // With a machine ID, systemd takes a boot for the second one. Its first boot is slow.
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

/// Makes the layer of a Kubernetes node over a Debian: its programs and files. See [`make_base`] for the versions.
///
/// # Errors
///
/// A program can't be built.
pub fn make_layer(components: &Components, versions: &[String]) -> Result<PathBuf> {
    let [version, others @ ..] = versions else { bail!("an image needs a version") };
    let files = Path::new(HERE).join("rootfs");
    let mut programs = Vec::new();
    for name in ["kubeadm", "kubelet", "kubectl"] {
        programs.push(Installed::new(components.provide_kubernetes(version, name)?, format!("usr/bin/{name}")));
        for other in others {
            let path = format!("opt/kubernetes/{other}/{name}");
            programs.push(Installed::new(components.provide_kubernetes(other, name)?, path));
        }
    }
    for name in components::CONTAINERD {
        programs.push(Installed::new(components.provide_containerd(name)?, format!("usr/local/bin/{name}")));
    }
    if versions.iter().any(|version| components::needs_crictl(version)) {
        programs.push(Installed::new(components.provide_crictl()?, "usr/local/bin/crictl"));
    }
    let pause = find_pause(components, version)?;

    let mut key = Key::default().with(OWN_TEXT).with_folder(&files)?.with(&pause);
    for Installed { program, path } in &programs {
        key = key.with_program(program)?.with(path);
    }
    cache::provide_folder(&format!("layer-{}", versions.join("-")), &key, |folder| {
        run::copy(&files, folder)?;
        run::output(Command::new("chown").args(["-R", "0:0"]).arg(folder))?;
        for Installed { program, path } in &programs {
            let to = folder.join(path);
            fs::create_dir_all(to.parent().unwrap_or(folder))?;
            // A node never changes a layer, so the file of the cache itself will do. The file of a given folder may
            // change.
            match &components.given {
                None => fs::hard_link(program, &to)?,
                Some(_) => fs::copy(program, &to).map(drop)?,
            }
        }
        let config = folder.join("etc/containerd/config.toml");
        fs::write(&config, fs::read_to_string(&config)?.replace("@PAUSE@", &pause))?;
        let units = folder.join("etc/systemd/system");
        for EnabledUnit { target, unit } in ENABLED {
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

/// Installs a Debian package as somebody does who builds an image: in a chroot of the layers, in which no systemd runs.
/// The layers stay as they are, and what dpkg writes goes to `upper`, which is to be a layer over them.
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
    // An overlay needs its folders on the same file system.
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

/// Finds the name of the pause image, which every pod needs.
///
/// # Errors
///
/// kubeadm names none.
pub fn find_pause(components: &Components, version: &str) -> Result<String> {
    let pause = list_images(components, version)?.into_iter().find(|image| image.contains("/pause:"));
    pause.context("kubeadm names no pause image")
}

/// The names of the container images that kubeadm deploys.
fn list_images(components: &Components, version: &str) -> Result<Vec<String>> {
    let kubeadm = components.provide_kubernetes(version, "kubeadm")?;
    let version = format!("v{version}");
    let printed =
        run::output(Command::new(kubeadm).args(["config", "images", "list", "--kubernetes-version", &version]))?;
    Ok(printed.lines().map(str::to_owned).collect())
}

/// A container image: one static program.
struct ContainerImage {
    /// Its full name, such as `registry.k8s.io/etcd:3.6.5-0`.
    image: String,
    /// The name of its program, such as `etcd`.
    name: String,
    /// The program. Without one, the image has the pause program, which does nothing.
    program: Option<PathBuf>,
}

/// Makes a root of containerd in which every image is imported and unpacked. The images that a test only needs to exist
/// (pause, coredns, kube-proxy) do nothing.
///
/// # Errors
///
/// A program can't be built, or an image can't be imported.
pub fn make_store(components: &Components, versions: &[String]) -> Result<PathBuf> {
    let source = Path::new(HERE).join("images/pause.c");
    let mut key = Key::default().with(OWN_TEXT).with_file(&source)?;
    let mut all = Vec::new();
    for version in versions {
        for image in list_images(components, version)? {
            let name =
                image.rsplit('/').next().and_then(|name| name.split(':').next()).unwrap_or_default().to_owned();
            let program = match name.as_str() {
                "kube-apiserver" | "kube-controller-manager" | "kube-scheduler" => {
                    Some(components.provide_kubernetes(version, &name)?)
                }
                "etcd" => Some(components.provide_etcd()?),
                _ => None,
            };
            key = key.with(&image);
            if let Some(program) = &program {
                key = key.with_program(program)?;
            }
            all.push(ContainerImage { image, name, program });
        }
    }
    let containerd = components.provide_containerd("containerd")?;
    let ctr = components.provide_containerd("ctr")?;
    key = key.with_program(&containerd)?;
    let folder = cache::provide_folder(&format!("images-{}", versions.join("-")), &key, |folder| {
        eprintln!("container images of {}: importing them", versions.join(", "));
        let pause = folder.join("pause");
        run::output(Command::new("cc").args(["-static", "-Os", "-s", "-o"]).arg(&pause).arg(&source))?;
        let server = Containerd::start(&containerd, &ctr, folder)?;
        for container in &all {
            let archive = folder.join("archive.tar");
            let program = container.program.as_deref().unwrap_or(&pause);
            write_archive(&archive, &container.image, &container.name, program)?;
            server.ctr(&["images", "import", &archive.to_string_lossy()])?;
            fs::remove_file(&archive)?;
        }
        let there = server.ctr(&["images", "ls", "-q"])?;
        for ContainerImage { image, .. } in &all {
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

/// A containerd of our own, which runs while images are imported.
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

/// Writes a container image as `docker save` does, with one layer that has one program.
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
    // machine/etc/systemd/system.conf.d/case.conf has the same for the units of a machine.
    // Each probe is a TLS handshake. An emulated processor is spared the part against quantum computers.
    let mut env = vec![
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "GOGC=400",
        "GODEBUG=tlsmlkem=0",
    ];
    if name == "etcd" {
        // On a busy machine, the follower of two members would look for a new leader again and again. And a slow etcd
        // gets slower by logging each request that took long.
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
