//! A node that is a machine of its own, in QEMU: its own kernel, its own disk, and a power that can be cut.
//!
//! Its disk is a copy-on-write overlay of an image that is only read. A second disk has the files of the case; one port
//! of virtio-serial brings back what the node tells, one its journal, and one its logs where it failed.

mod accelerator;
mod disk;
mod docker;
mod emulator;

use std::net::UdpSocket;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use fs_err::{self as fs, File};

pub use accelerator::Accelerator;
pub use disk::{Disk, bootable, disk};
pub use docker::docker;
pub use emulator::emulator;

use crate::case::SEED;
use crate::node::{self, NETWORK, Node};
use crate::{Misuse, run};

/// What a kernel is told: nothing that an emulated machine is slow at and a test has no need of, and to end, not to wait,
/// when it panics.
const KERNEL: &str = "rw console=ttyS0 panic=-1 net.ifnames=0 mitigations=off init_on_alloc=0 \
    transparent_hugepage=never systemd.default_device_timeout_sec=300 \
    modprobe.blacklist=kvm,kvm_amd,kvm_intel,ata_piix,ata_generic,powernow_k8,acpi_cpufreq,i2c_piix4,psmouse";

/// Drop-ins of systemd's debug shell, which otherwise begins anew when it ends: the machine ends with it.
const SHELL: &str = "/etc/systemd/system/debug-shell.service.d";
const SHELL_ENDS: &str =
    "[Unit]\nSuccessAction=poweroff-force\nFailureAction=poweroff-force\n[Service]\nRestart=no\n";

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
    /// The size of one more that nothing is on, in MiB.
    pub blank: Option<u32>,
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
    accelerator: Accelerator,
    arguments: Vec<String>,
    /// What the kernel is told, unless the machine boots by itself.
    kernel: Option<String>,
}

impl Machine {
    /// A machine that has never been booted, in a new folder `top`. Of those in its network, it is number `index`.
    ///
    /// # Errors
    ///
    /// The file system's, or those of qemu-img.
    pub fn new(parts: &Parts, top: &Path, index: usize) -> Result<Self> {
        fs::create_dir_all(top.join("files"))?;
        let mut machine =
            Self { top: top.to_owned(), accelerator: parts.accelerator, arguments: Vec::new(), kernel: None };
        machine.add(parts.accelerator.arguments());
        machine.add(&["-m", "4G", "-nodefaults", "-display", "none", "-no-reboot"]);
        machine.add(&["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]);
        for port in ["result", "journal", "logs"] {
            // The journal begins anew with each boot; logs come once.
            let append = if port == "result" { "on" } else { "off" };
            machine
                .add(&["-chardev", &format!("file,id={port},path={},append={append}", top.join(port).display())]);
            machine.add(&["-device", &format!("virtserialport,chardev={port},name={port}")]);
        }
        let console = top.join("console");
        machine.add(&["-chardev", &format!("file,id=console,path={},append=on", console.display())]);
        machine.add(&["-serial", "chardev:console"]);
        // Without a flush a disk may forget what it was told to write; where no power is cut, that is quicker.
        let cache = if parts.unsafe_power { "none" } else { "unsafe" };
        match parts.disk {
            Disk::Built { vmlinuz, initrd, root } => {
                let mut kernel = format!("root=/dev/vda {KERNEL}");
                if let Some(init) = parts.init {
                    kernel += &format!(" init={init}");
                }
                if parts.unsafe_power {
                    // Without the help that ext4 has for programs that forget to sync before a rename, and with a journal
                    // that is written often, so that what is renamed is on the disk before what was written into it.
                    kernel += " rootflags=noauto_da_alloc,commit=1";
                }
                machine.kernel = Some(kernel);
                machine.add(&["-kernel", &vmlinuz.to_string_lossy(), "-initrd", &initrd.to_string_lossy()]);
                machine.drive(root, "raw", "root.qcow2", cache)?;
                machine.add_files();
                let port = parts.network.port;
                machine.add(&["-netdev", &format!("socket,id=net,mcast=230.0.0.1:{port},localaddr=127.0.0.1")]);
                machine.add(&[
                    "-device",
                    &format!("virtio-net-pci,netdev=net,mac=52:54:00:99:00:{:02x}", 11 + index),
                ]);
            }
            Disk::Given(image) => {
                machine.drive(image, &format(image, top)?, "root.qcow2", cache)?;
                // What cloud-init looks for; QEMU makes a file system of it.
                let seed = machine.path(SEED);
                let seed = format!("driver=vvfat,dir={},label=CIDATA,if=virtio,read-only=on", seed.display());
                machine.add(&["-drive", &seed, "-smbios", "type=1,serial=ds=nocloud"]);
                machine.add_files();
                // Its containers' images may have to be pulled.
                let dhcp = format!("net={NETWORK}.0/24,host={NETWORK}.1,dhcpstart={NETWORK}.{}", 11 + index);
                machine.add(&["-nic", &format!("user,model=virtio-net-pci,{dhcp}")]);
            }
        }
        if let Some(second) = parts.second {
            machine.drive(second, "raw", "second.qcow2", cache)?;
        }
        if let Some(size) = parts.blank {
            let path = top.join("blank.raw");
            File::create(&path)?.set_len(u64::from(size) << 20)?;
            machine
                .add(&["-drive", &format!("file={},format=raw,if=none,id=blank,cache={cache}", path.display())]);
            // The last of its bus, so that all others keep their names.
            machine.add(&["-device", "virtio-blk-pci,drive=blank,serial=audit,addr=0x1e"]);
        }
        Ok(machine)
    }

    fn add(&mut self, arguments: &[&str]) {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    }

    /// Adds a disk that is a copy-on-write overlay of a base.
    fn drive(&mut self, base: &Path, format: &str, overlay: &str, cache: &str) -> Result<()> {
        let overlay = self.top.join(overlay);
        let mut create = Command::new("qemu-img");
        create.args(["create", "-q", "-f", "qcow2", "-F", format, "-b"]).arg(base).arg(&overlay);
        run::output(&mut create)?;
        self.add(&["-drive", &format!("file={},format=qcow2,if=virtio,cache={cache}", overlay.display())]);
        Ok(())
    }

    /// Adds the disk with the files of the case, which is made when they are there.
    fn add_files(&mut self) {
        let files = self.top.join("files.raw");
        self.add(&["-drive", &format!("file={},format=raw,if=virtio,cache=unsafe", files.display())]);
    }

    /// QEMU with this machine. More may be told to the kernel.
    fn qemu(&self, more: &str) -> Result<Command> {
        let files = self.top.join("files.raw");
        if !files.exists() {
            disk::file_system(&self.top.join("files"), &files, "case-files", disk::FILES_SIZE)?;
        }
        // Read before the machine has opened them.
        for file in [self.result(), self.console()] {
            File::options().create(true).append(true).open(&file)?;
        }
        let mut qemu = emulator(self.accelerator)?;
        qemu.args(&self.arguments);
        if let Some(kernel) = &self.kernel {
            qemu.arg("-append").arg(format!("{kernel}{more}"));
        }
        Ok(qemu)
    }
}

impl Node for Machine {
    fn top(&self) -> &Path {
        &self.top
    }

    fn boot(&self) -> Result<Box<dyn node::Running>> {
        let mut qemu = self.qemu("")?;
        let log = self.top.join("qemu.log");
        let stderr = File::create(&log)?.into_file();
        let qemu = qemu.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).process_group(0);
        Ok(Box::new(Running { child: qemu.spawn().context("can't start QEMU")?, log }))
    }

    /// The shell is on the second serial port, where the kernel's messages don't disturb it.
    fn shell(&self) -> Result<()> {
        ensure!(self.kernel.is_some(), "an image that boots by itself has a console of its own");
        let unit = self.path(SHELL);
        fs::create_dir_all(&unit)?;
        fs::write(unit.join("case.conf"), SHELL_ENDS)?;
        let mut qemu = self.qemu(" systemd.debug_shell=ttyS1")?;
        let status = qemu.args(["-chardev", "stdio,id=shell,signal=off", "-serial", "chardev:shell"]).status()?;
        ensure!(status.success(), "QEMU: {status}");
        Ok(())
    }

    fn keep_logs(&self, to: &Path) -> Result<()> {
        for file in ["journal", "qemu.log"] {
            fs::copy(self.top.join(file), to.join(file))?;
        }
        let sent = node::unpack_logs(&self.top.join("logs"), to);
        // A machine that hung has sent none, or not to the end. Where the file system is on somebody's disk we don't know.
        let kept = match sent {
            Ok(false) | Err(_) if self.kernel.is_some() => {
                disk::copy_out(&self.top.join("root.qcow2"), &node::LOGS, to)
            }
            sent => sent.map(drop),
        };
        // Why it failed is told all the same.
        kept.unwrap_or_else(|error| eprintln!("the machine's logs are not complete: {error:#}"));
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

/// The format of somebody's image, as qemu-img has it, which takes for raw what it doesn't know. It must have a boot sector.
fn format(image: &Path, top: &Path) -> Result<String> {
    let info = run::output(Command::new("qemu-img").args(["info", "--output=json"]).arg(image))?;
    let info: serde_json::Value = serde_json::from_str(&info)?;
    let format = info["format"].as_str().context("qemu-img info knows no format")?;
    let sector = top.join("sector");
    let (input, output) = (format!("if={}", image.display()), format!("of={}", sector.display()));
    let mut copy = Command::new("qemu-img");
    run::output(copy.args(["dd", "-f", format, "-O", "raw", "bs=512", "count=1", &input, &output]))?;
    ensure!(
        fs::read(&sector)?.ends_with(&[0x55, 0xaa]),
        Misuse(format!("{}: this is no disk that boots", image.display()))
    );
    Ok(format.to_owned())
}
