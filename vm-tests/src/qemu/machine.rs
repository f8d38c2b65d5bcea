//! A machine. Its disk is a copy-on-write overlay of an image that is only read. A second disk has the files of the
//! case. The ports of virtio-serial bring back what the node tells, its journal, and its logs if it failed.

use std::net::UdpSocket;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use fs_err::{self as fs, File};

use super::accelerator::Accelerator;
use super::disk::{self, Disk, KERNEL};
use super::emulator::find_emulator;
use crate::misuse::Misuse;
use crate::node::{self, NETWORK, Node, SEED};
use crate::run;

/// The folder of the drop-ins of systemd's debug shell. With ours, the machine ends with the shell, which would restart
/// otherwise.
const SHELL: &str = "/etc/systemd/system/debug-shell.service.d";
const SHELL_ENDS: &str =
    "[Unit]\nSuccessAction=poweroff-force\nFailureAction=poweroff-force\n[Service]\nRestart=no\n";

/// The network of the machines of a case: a multicast group that only this machine hears.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    port: u16,
}

impl Network {
    /// Makes a network that no other case uses.
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
    /// The disk that it starts from.
    pub disk: &'a Disk,
    /// Another disk. The machine gets a copy-on-write overlay of it as well.
    pub second: Option<&'a Path>,
    /// The size in MiB of one more disk, which is blank.
    pub blank: Option<u32>,
    /// The network of the case.
    pub network: Network,
    /// How QEMU runs its processor.
    pub accelerator: Accelerator,
    /// The first program of the kernel, if it isn't systemd.
    pub init: Option<&'a str>,
    /// Will its power be cut?
    pub unsafe_power: bool,
}

/// A machine that may be booted more than once, with the same disk.
#[derive(Debug)]
pub struct Machine {
    top: PathBuf,
    accelerator: Accelerator,
    arguments: Vec<String>,
    /// The command line of the kernel, unless the machine boots by itself.
    kernel: Option<String>,
}

impl Machine {
    /// Makes a machine that has never been booted, in a new folder `top`. `index` counts the machines of its network
    /// from 0.
    ///
    /// # Errors
    ///
    /// A file or a disk can't be made.
    pub fn new(parts: &Parts, top: &Path, index: usize) -> Result<Self> {
        fs::create_dir_all(top.join("files"))?;
        let mut machine =
            Self { top: top.to_owned(), accelerator: parts.accelerator, arguments: Vec::new(), kernel: None };
        machine.add(parts.accelerator.arguments());
        machine.add(&["-m", "4G", "-nodefaults", "-display", "none", "-no-reboot"]);
        machine.add(&["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]);
        for port in ["result", "journal", "logs"] {
            // The journal and the logs of a boot replace those of the previous boot.
            let append = if port == "result" { "on" } else { "off" };
            machine
                .add(&["-chardev", &format!("file,id={port},path={},append={append}", top.join(port).display())]);
            machine.add(&["-device", &format!("virtserialport,chardev={port},name={port}")]);
        }
        let console = top.join("console");
        machine.add(&["-chardev", &format!("file,id=console,path={},append=on", console.display())]);
        machine.add(&["-serial", "chardev:console"]);
        // A disk that ignores flushes is quicker. It may lose what was written, but only if the power is cut.
        let cache = if parts.unsafe_power { "none" } else { "unsafe" };
        match parts.disk {
            Disk::Built { vmlinuz, initrd, root } => {
                let mut kernel = format!("root=/dev/vda {KERNEL}");
                if let Some(init) = parts.init {
                    kernel += &format!(" init={init}");
                }
                if parts.unsafe_power {
                    // ext4 must not help programs that forget to sync before a rename. With a journal that is written
                    // often, a rename is on the disk before the content of the file.
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
                machine.drive(image, &detect_format(image, top)?, "root.qcow2", cache)?;
                // cloud-init looks for a file system with this label. QEMU makes it of the folder.
                let seed = machine.path(SEED);
                let seed = format!("driver=vvfat,dir={},label=CIDATA,if=virtio,read-only=on", seed.display());
                machine.add(&["-drive", &seed, "-smbios", "type=1,serial=ds=nocloud"]);
                machine.add_files();
                // The network leads out, as the container images of this disk may have to be pulled.
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
            // The blank disk is the last on its bus, so that the other disks keep their names.
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

    /// Adds the disk with the files of the case. It is made at the first boot, when the files are there.
    fn add_files(&mut self) {
        let files = self.top.join("files.raw");
        self.add(&["-drive", &format!("file={},format=raw,if=virtio,cache=unsafe", files.display())]);
    }

    /// The command that runs this machine. `more` is added to the command line of the kernel.
    fn qemu_command(&self, more: &str) -> Result<Command> {
        let files = self.top.join("files.raw");
        if !files.exists() {
            disk::make_file_system(&self.top.join("files"), &files, "case-files", disk::FILES_SIZE)?;
        }
        // The harness reads these files before QEMU has opened them.
        for file in [self.result(), self.console()] {
            File::options().create(true).append(true).open(&file)?;
        }
        let mut qemu = find_emulator(self.accelerator)?;
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
        let mut qemu = self.qemu_command("")?;
        let log = self.top.join("qemu.log");
        let stderr = File::create(&log)?.into_file();
        let qemu = qemu.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).process_group(0);
        Ok(Box::new(RunningMachine { child: qemu.spawn().context("can't start QEMU")?, log }))
    }

    /// The shell is on the second serial port, where messages of the kernel don't disturb it.
    fn give_shell(&self) -> Result<()> {
        ensure!(self.kernel.is_some(), "an image that boots by itself has a console of its own");
        let unit = self.path(SHELL);
        fs::create_dir_all(&unit)?;
        fs::write(unit.join("case.conf"), SHELL_ENDS)?;
        let mut qemu = self.qemu_command(" systemd.debug_shell=ttyS1")?;
        let status = qemu.args(["-chardev", "stdio,id=shell,signal=off", "-serial", "chardev:shell"]).status()?;
        ensure!(status.success(), "QEMU: {status}");
        Ok(())
    }

    fn keep_logs(&self, to: &Path) -> Result<()> {
        for file in ["journal", "qemu.log"] {
            fs::copy(self.top.join(file), to.join(file))?;
        }
        let sent = node::unpack_logs(&self.top.join("logs"), to);
        // A machine that hung has sent no logs, or a part of them. They are copied from its disk then, if the disk is
        // ours: we don't know where somebody's disk has its file system.
        let kept = match sent {
            Ok(false) | Err(_) if self.kernel.is_some() => {
                disk::copy_out(&self.top.join("root.qcow2"), &node::LOGS, to)
            }
            sent => sent.map(drop),
        };
        // Without its logs, too, the failure is reported.
        kept.unwrap_or_else(|error| eprintln!("the machine's logs are not complete: {error:#}"));
        Ok(())
    }
}

/// A machine that was started. Its power is cut when this is dropped.
#[derive(Debug)]
struct RunningMachine {
    child: Child,
    log: PathBuf,
}

impl node::Running for RunningMachine {
    fn has_ended(&mut self) -> Result<bool> {
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

impl Drop for RunningMachine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The format of somebody's image, as qemu-img calls it. qemu-img calls a file that it doesn't know `raw`, so the image
/// must have a boot sector.
fn detect_format(image: &Path, top: &Path) -> Result<String> {
    let info = run::output(Command::new("qemu-img").args(["info", "--output=json"]).arg(image))?;
    let info: serde_json::Value = serde_json::from_str(&info)?;
    let format = info["format"].as_str().context("qemu-img info knows no format")?;
    let sector = top.join("sector");
    let (input, output) = (format!("if={}", image.display()), format!("of={}", sector.display()));
    let mut copy = Command::new("qemu-img");
    run::output(copy.args(["dd", "-f", format, "-O", "raw", "bs=512", "count=1", &input, &output]))?;
    ensure!(
        fs::read(&sector)?.ends_with(&[0x55, 0xaa]),
        Misuse(format!(
            "{}: this is no disk that boots: give --image a disk image with a boot sector",
            image.display()
        ))
    );
    Ok(format.to_owned())
}
