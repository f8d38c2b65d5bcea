//! The command line, and the settings that it asks for. Nothing is made or run here.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};
use nix::unistd::{AccessFlags, access, geteuid};

use crate::components::Components;
use crate::misuse::Misuse;
use crate::qemu::{self, Accelerator};
use crate::setting::{Invocation, On, Setting};

/// The error of whoever isn't root.
pub const NEEDS_ROOT: &str = "making nodes, and what they start from, needs root: run this as root";

/// The command line.
#[derive(Debug, Parser)]
#[command(about = "Runs kube-audit-bootstrap on real nodes, with real Kubernetes")]
pub struct Arguments {
    /// Build nothing, and take release binaries from this folder: etcd, containerd, containerd-shim-runc-v2, ctr,
    /// crictl and kind for the cases that need them, and v1.N.P/kubeadm and so on
    #[arg(long, value_name = "DIR", global = true)]
    pub components: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Verb,
}

/// What the harness is asked to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the cases
    List,
    /// List the pinned versions of Kubernetes, oldest first
    Versions,
    Run(RunArguments),
    Shell(ShellArguments),
    BuildImage(BuildImageArguments),
    /// Build the programs of Kubernetes, without a version those of all versions, and print their paths
    Components {
        versions: Vec<String>,
    },
    #[command(hide = true)]
    Enter {
        spec: PathBuf,
    },
    #[command(hide = true)]
    Boot {
        spec: PathBuf,
    },
    #[command(hide = true)]
    Switch,
}

/// Run cases; without a name, those that every change must pass
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The names of cases and judges; see `vm-tests list`
    pub cases: Vec<String>,
    /// Versions of Kubernetes, such as 1.37; by default the newest, and for kubeadm the oldest, too
    #[arg(long, value_name = "VERSION", value_delimiter = ',')]
    pub versions: Vec<String>,
    /// Run everything; in namespaces, run it with every version
    #[arg(long, conflicts_with_all = ["cases", "versions"])]
    pub all: bool,
    #[command(flatten)]
    nodes: NodeArguments,
    /// How often to cut the power, in cases that cut it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    cuts: Option<u32>,
    /// The seed for the moments of the cuts, and for the random configurations; random by default
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many random configurations with patches to judge by each kubeadm
    #[arg(long, value_name = "N", default_value_t = 20)]
    patched: u32,
    /// Write the table of what each version supports into a Markdown file
    #[arg(long, value_name = "FILE")]
    pub matrix: Option<PathBuf>,
    /// The folder for the logs of failed cases
    #[arg(long, value_name = "DIR", default_value = "target/vm-tests")]
    logs: PathBuf,
    /// How many nodes run at once; by default 2 on machines, and in namespaces 6, or fewer on a machine that hasn't the
    /// room
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: Option<u8>,
    /// Multiply all limits of time by this factor, for a slow machine
    #[arg(long, value_name = "FACTOR", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    patience: u32,
    /// Print each step
    #[arg(short, long)]
    verbose: bool,
}

/// Start the nodes of a case, and open a shell on the first one. The scripts are in /case, and don't run by themselves.
/// All nodes end with the shell
#[derive(Debug, Args)]
pub struct ShellArguments {
    /// The name of a case
    pub case: String,
    /// A version of Kubernetes, such as 1.37; by default the newest
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    #[command(flatten)]
    nodes: NodeArguments,
}

/// What nodes are, and what is tested on them.
#[derive(Debug, Args)]
struct NodeArguments {
    /// Where the nodes run; by default in namespaces, or with --image or --accel on machines
    #[arg(long, value_name = "WHERE")]
    on: Option<On>,
    /// How QEMU runs machines; by default tcg
    #[arg(long, value_name = "HOW")]
    accel: Option<Accelerator>,
    /// Start machines from this disk image in place of our own; it must have cloud-init and the kubeadm of --versions
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// The program under test
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/x86_64-unknown-linux-gnu/release/kube-audit-bootstrap"
    )]
    program: PathBuf,
    /// A .deb of the program, for the cases that have it in their image; `make packages` builds one
    #[arg(long, value_name = "FILE")]
    package: Option<PathBuf>,
}

/// Build what machines start from, and print its path; or write an image that boots by itself, to try --image
#[derive(Debug, Args)]
pub struct BuildImageArguments {
    /// Where to write an image that boots by itself, in the format qcow2
    pub file: Option<PathBuf>,
    /// A version of Kubernetes, such as 1.37; by default the newest
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
}

impl RunArguments {
    /// The invocation that these arguments ask for.
    ///
    /// # Errors
    ///
    /// An argument is wrong, or KVM is asked for and doesn't work here.
    pub fn invocation(&self, components: Components) -> Result<Invocation> {
        Ok(Invocation {
            setting: self.nodes.setting(components, self.cuts, self.patience)?,
            seed: self.seed.unwrap_or_else(draw_seed),
            log_root: self.logs.clone(),
            patched: self.patched,
            is_verbose: self.verbose,
        })
    }
}

impl ShellArguments {
    /// The setting that these arguments ask for.
    ///
    /// # Errors
    ///
    /// An argument is wrong, or KVM is asked for and doesn't work here.
    pub fn setting(&self, components: Components) -> Result<Setting> {
        let has_own_console = "an image that boots by itself has a console of its own: start it in QEMU yourself";
        ensure!(self.nodes.image.is_none(), Misuse(has_own_console.to_owned()));
        self.nodes.setting(components, None, 1)
    }
}

impl NodeArguments {
    fn setting(&self, components: Components, cuts: Option<u32>, asked_patience: u32) -> Result<Setting> {
        let needs_machines = self.image.is_some() || self.accel.is_some();
        let on = self.on.unwrap_or(if needs_machines { On::Qemu } else { On::Namespaces });
        ensure!(
            !needs_machines || on == On::Qemu,
            Misuse("--image and --accel are for machines: add --on qemu, or leave them out".to_owned())
        );
        if let Some(folder) = &components.given {
            let is_no_folder = || Misuse(format!("--components {}: this is no folder", folder.display()));
            ensure!(folder.is_dir(), is_no_folder());
        }
        let accelerator = self.accel.unwrap_or(Accelerator::Tcg);
        // Our own images belong to root, and so do the files of a node.
        ensure!(self.image.is_some() || on == On::Host || geteuid().is_root(), Misuse(NEEDS_ROOT.to_owned()));
        qemu::probe(accelerator)?;
        let find = |path: Option<&PathBuf>, hint: &str| path.map(|path| find_file(path, hint)).transpose();
        let program = find_file(&self.program, "; build it with `make build`")?;
        access(&program, AccessFlags::X_OK).map_err(|error| Misuse(format!("{}: {error}", program.display())))?;
        Ok(Setting {
            components,
            on,
            accelerator,
            image: find(self.image.as_ref(), "")?,
            program,
            package: find(self.package.as_ref(), "; build it with `make packages`")?,
            cuts,
            asked_patience,
        })
    }
}

/// The absolute path of a file that must be there. An error ends with the hint.
fn find_file(path: &Path, hint: &str) -> Result<PathBuf> {
    let found = path.canonicalize().map_err(|error| Misuse(format!("{}: {error}{hint}", path.display())))?;
    ensure!(found.is_file(), Misuse(format!("{}: this is no file{hint}", path.display())));
    Ok(found)
}

/// A seed that nobody knows beforehand.
fn draw_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| u64::from(now.subsec_nanos()))
}
