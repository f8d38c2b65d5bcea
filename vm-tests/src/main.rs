//! The harness: real nodes with real Kubernetes, to show that kube-audit-bootstrap does what it says.
//!
//! Exit codes: 0 all passed; 1 a case failed; 2 bad usage; 3 the harness failed.

mod apiserver;
mod cache;
mod case;
mod components;
mod host;
mod image;
mod interrupt;
mod job;
mod kubeadm;
mod matrix;
mod namespaces;
mod node;
mod qemu;
mod random;
mod run;
#[cfg(test)]
mod slices;
mod stale;
mod watch;

use std::fmt;
use std::io::{Write, stderr, stdout};
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use clap::{Parser, Subcommand};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{AccessFlags, access};

use case::{On, Setting};
use components::Components;
use qemu::{Accelerator, Disk};

#[derive(Debug, Parser)]
#[command(about = "Runs kube-audit-bootstrap on real nodes, with real Kubernetes")]
struct Arguments {
    /// A folder of release binaries, to build nothing: etcd, containerd, containerd-shim-runc-v2, ctr, crictl and kind where a
    /// case needs them, and v1.N.P/kubeadm and so on
    #[arg(long, value_name = "DIR", global = true)]
    components: Option<PathBuf>,
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say which cases there are
    List,
    /// Say which versions of Kubernetes are pinned, oldest first
    Versions,
    /// Run cases; where none is named, those that every change must pass
    Run(Run),
    /// Start a case's nodes, and give a shell on the first one, with which all of them end; the scripts, in /case, don't run by themselves
    Shell(Shell),
    /// Build what machines start from, and say where that is; or an image that boots by itself, for --image to be tried
    BuildImage(BuildImage),
    /// Build programs of Kubernetes, all versions where none is named, and say where they are
    Components { versions: Vec<String> },
    #[command(hide = true)]
    Enter { spec: PathBuf },
    #[command(hide = true)]
    Boot { spec: PathBuf },
    #[command(hide = true)]
    Switch,
}

#[derive(Debug, clap::Args)]
struct Run {
    cases: Vec<String>,
    /// Versions of Kubernetes, such as 1.37; where none is named, the newest, and for kubeadm the oldest, too
    #[arg(long, value_name = "VERSION", value_delimiter = ',')]
    versions: Vec<String>,
    /// Run everything, in namespaces with every version
    #[arg(long, conflicts_with_all = ["cases", "versions"])]
    all: bool,
    #[command(flatten)]
    nodes: Nodes,
    /// How often the power is cut, where a case cuts it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    cuts: Option<u32>,
    /// What the moments of the cuts come from; by chance where it isn't given
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Put the table of what each version supports into a Markdown file
    #[arg(long, value_name = "FILE")]
    matrix: Option<PathBuf>,
    /// Where logs of failed cases go
    #[arg(long, value_name = "DIR", default_value = "target/vm-tests")]
    logs: PathBuf,
    /// How many nodes run at once; where it isn't given, 6 in namespaces if this machine has room for so many, and 2 on machines
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: Option<u8>,
    /// By how much all limits are longer, for a machine that is slow
    #[arg(long, value_name = "FACTOR", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    patience: u32,
    /// Print each step
    #[arg(short, long)]
    verbose: bool,
}

#[derive(Debug, clap::Args)]
struct Shell {
    case: String,
    /// A version of Kubernetes, such as 1.37; where none is named, the newest
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    #[command(flatten)]
    nodes: Nodes,
}

/// What nodes are, and what is tried on them.
#[derive(Debug, clap::Args)]
struct Nodes {
    /// Where the nodes run: in namespaces where it isn't given, or on machines if --image or --accel is
    #[arg(long, value_name = "WHERE")]
    on: Option<On>,
    /// How machines run: tcg where it isn't given
    #[arg(long, value_name = "HOW")]
    accel: Option<Accelerator>,
    /// Run on this disk image, with cloud-init and the kubeadm of --versions in it, instead of our own
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

#[derive(Debug, clap::Args)]
struct BuildImage {
    /// Where an image that boots by itself goes, in the format qcow2
    file: Option<PathBuf>,
    /// A version of Kubernetes, such as 1.37; where none is named, the newest
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A panic, such as of a message that nobody reads any more, is a failure of the harness.
    match catch_unwind(|| run(arguments)).unwrap_or_else(|_| Err(anyhow!("it panicked"))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let _ = writeln!(stderr(), "vm-tests: {error:#}");
            ExitCode::from(if error.chain().any(|cause| cause.is::<Misuse>()) { 2 } else { 3 })
        }
    }
}

const NEEDS_ROOT: &str = "the harness needs root, to make nodes and what they start from";

/// Marks an error as one of the command line.
#[derive(Debug)]
struct Misuse(String);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

fn run(arguments: Arguments) -> Result<bool> {
    // The nodes' folders are made by this process, and who isn't root must find what is in them.
    umask(Mode::from_bits_truncate(0o022));
    let components = Components { given: arguments.components };
    match arguments.command {
        Verb::Enter { spec } => namespaces::enter(&spec).map(|()| true),
        Verb::Boot { spec } => namespaces::boot(&spec).map(|()| true),
        Verb::Switch => namespaces::switch().map(|()| true),
        Verb::List => {
            for (name, about) in job::list()? {
                writeln!(stdout(), "{name:<18} {about}")?;
            }
            Ok(true)
        }
        Verb::Versions => {
            writeln!(stdout(), "{}", components::versions()?.join("\n"))?;
            Ok(true)
        }
        Verb::Components { versions } => {
            for version in job::versions(&versions)? {
                for name in components::KUBERNETES {
                    writeln!(stdout(), "{}", components.kubernetes(&version, name)?.display())?;
                }
            }
            Ok(true)
        }
        Verb::Run(run) => run_cases(&run, components),
        Verb::Shell(shell) => give_shell(shell, components).map(|()| true),
        Verb::BuildImage(build) => {
            ensure!(nix::unistd::geteuid().is_root(), Misuse(NEEDS_ROOT.to_owned()));
            let versions = match &build.version {
                Some(version) => job::versions(std::slice::from_ref(version))?,
                None => components::versions()?.pop().into_iter().collect(),
            };
            interrupt::listen()?;
            if let Some(file) = build.file {
                stale::clean()?;
                qemu::bootable(&components, &versions, &file)?;
            } else if let Disk::Built { vmlinuz, initrd, root } = qemu::disk(&components, &versions)? {
                writeln!(stdout(), "{}\n{}\n{}", vmlinuz.display(), initrd.display(), root.display())?;
            }
            Ok(true)
        }
    }
}

impl Nodes {
    fn setting(&self, components: Components) -> Result<Setting> {
        let machines = self.image.is_some() || self.accel.is_some();
        let on = self.on.unwrap_or(if machines { On::Qemu } else { On::Namespaces });
        ensure!(!machines || on == On::Qemu, Misuse("--image and --accel are for machines: --on qemu".to_owned()));
        if let Some(folder) = &components.given {
            let no_folder = || Misuse(format!("--components {}: this is no folder", folder.display()));
            ensure!(folder.is_dir(), no_folder());
        }
        let accelerator = self.accel.unwrap_or(Accelerator::Tcg);
        // Our own images belong to root, and so does what is in a node.
        ensure!(
            self.image.is_some() || on == On::Host || nix::unistd::geteuid().is_root(),
            Misuse(NEEDS_ROOT.to_owned())
        );
        accelerator.probe()?;
        let found = |path: &PathBuf, hint: &str| {
            let found =
                path.canonicalize().map_err(|error| Misuse(format!("{}: {error}{hint}", path.display())))?;
            ensure!(found.is_file(), Misuse(format!("{}: this is no file{hint}", path.display())));
            Ok(found)
        };
        Ok(Setting {
            components,
            on,
            accelerator,
            image: self.image.as_ref().map(|image| found(image, "")).transpose()?,
            program: executable(found(&self.program, "; build it with `make build`")?)?,
            package: self
                .package
                .as_ref()
                .map(|package| found(package, "; build it with `make packages`"))
                .transpose()?,
            cuts: None,
            seed: 0,
            log_root: PathBuf::new(),
            patience: 1,
            verbose: false,
        })
    }
}

fn executable(path: PathBuf) -> Result<PathBuf> {
    access(&path, AccessFlags::X_OK).map_err(|error| Misuse(format!("{}: {error}", path.display())))?;
    Ok(path)
}

fn run_cases(arguments: &Run, components: Components) -> Result<bool> {
    let setting = Setting {
        cuts: arguments.cuts,
        seed: arguments.seed.unwrap_or_else(by_chance),
        log_root: arguments.logs.clone(),
        patience: arguments.patience,
        verbose: arguments.verbose,
        ..arguments.nodes.setting(components)?
    };
    let jobs = job::chosen(&arguments.cases, &arguments.versions, arguments.all, &setting)?;
    interrupt::listen()?;
    stale::clean()?;
    job::prepare(&jobs, &setting)?;
    let usual = match setting.on {
        On::Namespaces => namespaces::room()?.clamp(1, 6),
        On::Qemu => 2,
        On::Host => 1,
    };
    let results = job::run(jobs, arguments.jobs.map_or(usual, usize::from), &setting)?;
    let passed = results.iter().all(|result| result.passed);
    if let Some(path) = &arguments.matrix {
        matrix::write(path, &results, &setting.program)?;
    }
    Ok(passed)
}

fn give_shell(arguments: Shell, components: Components) -> Result<()> {
    let by_itself = "an image that boots by itself has a console of its own: start it in QEMU yourself";
    ensure!(arguments.nodes.image.is_none(), Misuse(by_itself.to_owned()));
    let setting = arguments.nodes.setting(components)?;
    let versions: Vec<_> = arguments.version.into_iter().collect();
    let jobs = job::chosen(&[arguments.case], &versions, false, &setting)?;
    interrupt::listen()?;
    stale::clean()?;
    job::prepare(&jobs, &setting)?;
    eprintln!(
        "The node is booting. Its scripts are in /case; the first one runs with: bash -c '. /usr/local/lib/case/lib.sh; . /case/boot-1.sh'"
    );
    jobs.first().context("the case doesn't run there")?.shell(&setting)
}

/// A seed that nobody knows.
fn by_chance() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| u64::from(now.subsec_nanos()))
}
