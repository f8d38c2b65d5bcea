//! The harness: real nodes with real Kubernetes, to show that kube-audit-bootstrap does what it says.
//!
//! Exit codes: 0 all passed; 1 a case failed; 2 bad usage; 3 the harness failed.

mod apiserver;
mod cache;
mod case;
mod components;
mod image;
mod interrupt;
mod job;
mod kubeadm;
mod matrix;
mod namespaces;
mod run;
mod stale;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

use case::Setting;
use components::Components;

#[derive(Debug, Parser)]
#[command(about = "Runs kube-audit-bootstrap on real nodes, with real Kubernetes")]
struct Arguments {
    /// A folder of release binaries, to build nothing: etcd, containerd, containerd-shim-runc-v2, ctr, and v1.N.P/kubeadm and
    /// so on
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
    /// Run everything, with every version
    #[arg(long, conflicts_with_all = ["cases", "versions"])]
    all: bool,
    /// Put the table of what each version supports into a Markdown file
    #[arg(long, value_name = "FILE")]
    matrix: Option<PathBuf>,
    /// The program under test
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/x86_64-unknown-linux-gnu/release/kube-audit-bootstrap"
    )]
    program: PathBuf,
    /// Where logs of failed cases go
    #[arg(long, value_name = "DIR", default_value = "target/vm-tests")]
    logs: PathBuf,
    /// How many cases run at once
    #[arg(long, default_value_t = 3)]
    jobs: usize,
    /// By how much all limits are longer, for a machine that is slow
    #[arg(long, value_name = "FACTOR", default_value_t = 1)]
    patience: u32,
    /// Print each step
    #[arg(short, long)]
    verbose: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("vm-tests: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn run(arguments: Arguments) -> Result<bool> {
    let components = Components { given: arguments.components };
    match arguments.command {
        Verb::Enter { spec } => namespaces::enter(&spec).map(|()| true),
        Verb::Boot { spec } => namespaces::boot(&spec).map(|()| true),
        Verb::Switch => namespaces::switch().map(|()| true),
        Verb::List => {
            for (name, about) in job::list()? {
                println!("{name:<18} {about}");
            }
            Ok(true)
        }
        Verb::Versions => {
            println!("{}", components::versions()?.join("\n"));
            Ok(true)
        }
        Verb::Components { versions } => {
            for version in job::versions(&versions)? {
                for name in components::KUBERNETES {
                    println!("{}", components.kubernetes(&version, name)?.display());
                }
            }
            Ok(true)
        }
        Verb::Run(run) => run_cases(&run, components),
    }
}

fn run_cases(arguments: &Run, components: Components) -> Result<bool> {
    ensure!(nix::unistd::geteuid().is_root(), "nodes in namespaces need root");
    let jobs = job::chosen(&arguments.cases, &arguments.versions, arguments.all)?;
    let setting = Setting {
        components,
        program: fs::canonicalize(&arguments.program)
            .with_context(|| format!("{} is missing; build it with `make build`", arguments.program.display()))?,
        log_root: arguments.logs.clone(),
        patience: arguments.patience.max(1),
        verbose: arguments.verbose,
    };
    interrupt::listen()?;
    stale::clean()?;
    job::prepare(&jobs, &setting)?;
    let results = job::run(jobs, arguments.jobs, &setting)?;
    let passed = results.iter().all(|result| result.passed);
    if let Some(path) = &arguments.matrix {
        matrix::write(path, &results)?;
    }
    Ok(passed)
}
