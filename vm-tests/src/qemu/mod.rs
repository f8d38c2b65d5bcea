//! A node that is a machine of its own, in QEMU: its own kernel, its own disk, and a power that can be cut.
//!
//! Its disk is a copy-on-write overlay of an image that is only read. A second disk has the files of the case; one port
//! of virtio-serial brings back what the node tells, one its journal, and one its logs where it failed.

mod accelerator;
mod disk;
mod docker;

use std::fs::{self, File};
use std::net::UdpSocket;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

pub use accelerator::Accelerator;
pub use disk::{Disk, disk};
pub use docker::docker;

use crate::node::{self, NETWORK};
use crate::run;

/// What a kernel is told: nothing that an emulated machine is slow at and a test has no need of, and to end, not to wait,
/// when it panics.
const KERNEL: &str = "root=/dev/vda rw console=ttyS0 panic=-1 net.ifnames=0 mitigations=off init_on_alloc=0 \
    systemd.default_device_timeout_sec=300 modprobe.blacklist=kvm,kvm_amd,kvm_intel,ata_piix,ata_generic,powernow_k8,\
    acpi_cpufreq,i2c_piix4,psmouse";

/// A cable between the machines of a case: packets to a group that only this machine hears.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    port: u16,
}

impl Network {
    /// A network that nobody else has.
    ///
    /// # Errors
    ///
    /// No port is free.
    pub fn new() -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").context("can't find a free port")?;
        Ok(Self { port: socket.local_addr()?.port() })
    }
}

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    pub disk: &'a Disk,
    /// Another disk, of which it gets a copy-on-write overlay as well.
    pub second: Option<&'a Path>,
    pub network: Network,
    pub accelerator: Accelerator,
    /// The kernel's first program, where it isn't systemd.
    pub init: Option<&'a str>,
    /// Its power will be cut.
    pub unsafe_power: bool,
}

/// A machine that may be booted, more than once, over the same disk.
#[derive(Debug)]
pub struct Machine {
    top: PathBuf,
    command: Vec<String>,
}

impl Machine {
    /// A machine that has never been booted, in a new folder `top`. Of those in its network, it is number `index`.
    ///
    /// # Errors
    ///
    /// The file system's, or those of qemu-img.
    pub fn new(parts: &Parts, top: &Path, index: usize) -> Result<Self> {
        fs::create_dir_all(top.join("files")).with_context(|| top.display().to_string())?;
        let mut command: Vec<String> = Vec::new();
        let mut add = |arguments: &[&str]| command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        add(parts.accelerator.arguments());
        add(&["-smp", "2", "-m", "4G", "-nodefaults", "-display", "none", "-no-reboot"]);
        add(&["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]);
        for port in ["result", "journal", "logs"] {
            // The journal begins anew with each boot; logs come once.
            let append = if port == "result" { "on" } else { "off" };
            let path = top.join(port);
            add(&["-chardev", &format!("file,id={port},path={},append={append}", path.display())]);
            add(&["-device", &format!("virtserialport,chardev={port},name={port}")]);
        }
        let console = top.join("console");
        add(&["-chardev", &format!("file,id=console,path={},append=on", console.display())]);
        add(&["-serial", "chardev:console"]);

        // Without a flush a disk may forget what it was told to write; where no power is cut, that is quicker.
        let cache = if parts.unsafe_power { "none" } else { "unsafe" };
        let mut drive = |path: &Path, format: &str, cache: &str| {
            let path = path.display();
            add(&["-drive", &format!("file={path},format={format},if=virtio,cache={cache}")]);
        };
        let (root, format) = match parts.disk {
            Disk::Built { root, .. } => (root.as_path(), "raw"),
            Disk::Given(path) => (path.as_path(), "qcow2"),
        };
        drive(&overlay(root, format, &top.join("root.qcow2"))?, "qcow2", cache);
        drive(&top.join("files.raw"), "raw", "unsafe");
        if let Some(second) = parts.second {
            drive(&overlay(second, "raw", &top.join("second.qcow2"))?, "qcow2", cache);
        }
        match parts.disk {
            Disk::Built { vmlinuz, initrd, .. } => {
                let mut kernel = KERNEL.to_owned();
                if let Some(init) = parts.init {
                    kernel += &format!(" init={init}");
                }
                if parts.unsafe_power {
                    // Without the help that ext4 has for programs that forget to sync before a rename, and with a journal
                    // that is written often, so that what is renamed is on the disk before what was written into it.
                    kernel += " rootflags=noauto_da_alloc,commit=1";
                }
                add(&["-kernel", &vmlinuz.to_string_lossy(), "-initrd", &initrd.to_string_lossy()]);
                add(&["-append", &kernel]);
                let port = parts.network.port;
                add(&["-netdev", &format!("socket,id=net,mcast=230.0.0.1:{port},localaddr=127.0.0.1")]);
                add(&["-device", &format!("virtio-net-pci,netdev=net,mac=52:54:00:99:00:{:02x}", 11 + index)]);
            }
            Disk::Given(_) => {
                drive(&top.join("seed.raw"), "raw", "unsafe");
                let start = 11 + index;
                let dhcp = format!("net={NETWORK}.0/24,host={NETWORK}.1,dhcpstart={NETWORK}.{start}");
                add(&["-nic", &format!("user,model=virtio-net-pci,{dhcp}")]);
                add(&["-smbios", "type=1,serial=ds=nocloud"]);
            }
        }
        Ok(Self { top: top.to_owned(), command })
    }
}

impl node::Node for Machine {
    fn path(&self, path: &str) -> PathBuf {
        self.top.join("files").join(path.trim_start_matches('/'))
    }

    fn result(&self) -> PathBuf {
        self.top.join("result")
    }

    fn console(&self) -> PathBuf {
        self.top.join("console")
    }

    fn boot(&self) -> Result<Box<dyn node::Running>> {
        let files = self.top.join("files.raw");
        if !files.exists() {
            disk::file_system(&self.top.join("files"), &files, "case-files", disk::FILES_SIZE)?;
        }
        // Read before the machine has opened them.
        for file in [self.result(), self.console()] {
            File::options().create(true).append(true).open(&file).with_context(|| file.display().to_string())?;
        }
        let log = self.top.join("qemu.log");
        let stderr = File::create(&log).with_context(|| log.display().to_string())?;
        let child = run::bound("nice")
            .arg("qemu-system-x86_64")
            .args(&self.command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .context("can't start QEMU")?;
        Ok(Box::new(Running { child, log }))
    }

    fn keep_logs(&self, to: &Path) -> Result<()> {
        fs::copy(self.top.join("journal"), to.join("journal"))?;
        let logs = self.top.join("logs");
        // A machine that hung has sent none, or not to the end.
        if fs::metadata(&logs).is_ok_and(|metadata| metadata.len() > 0) {
            let mut tar = Command::new("tar");
            if let Err(error) = run::output(tar.arg("-xf").arg(&logs).arg("-C").arg(to)) {
                eprintln!("the machine's logs are not complete: {error:#}");
            }
        }
        Ok(())
    }
}

/// A machine that runs. Its power is cut when this is dropped.
#[derive(Debug)]
struct Running {
    child: Child,
    log: PathBuf,
}

impl node::Running for Running {
    fn ended(&mut self) -> Result<bool> {
        match self.child.try_wait()? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                bail!("QEMU: {status}\n{}", run::tail(&log, 10))
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn overlay(base: &Path, format: &str, path: &Path) -> Result<PathBuf> {
    let mut create = Command::new("qemu-img");
    create.args(["create", "-q", "-f", "qcow2", "-F", format, "-b"]).arg(base).arg(path);
    run::output(&mut create)?;
    Ok(path.to_owned())
}
