//! The harness: real nodes with real Kubernetes, to show that kube-audit-bootstrap does what it says.
//!
//! Exit codes: 0 all passed; 1 a case failed; 2 bad usage; 3 the harness failed.

mod cache;
mod case;
mod components;
mod image;
mod interrupt;
mod namespaces;
mod run;
mod stale;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

use case::{Case, Setting, Verdict};
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
    /// Run cases, all of them where none is named
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
    /// Versions of Kubernetes; the newest where none is named
    #[arg(long, value_name = "VERSION", value_delimiter = ',')]
    versions: Vec<String>,
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
    #[arg(long, default_value_t = 2)]
    jobs: usize,
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
            for case in case::all()? {
                println!("{:<18} {}", case.name, case.about);
            }
            Ok(true)
        }
        Verb::Versions => {
            println!("{}", components::versions()?.join("\n"));
            Ok(true)
        }
        Verb::Components { versions } => {
            for version in chosen(&versions, components::versions()?)? {
                for name in components::KUBERNETES {
                    println!("{}", components.kubernetes(&version, name)?.display());
                }
            }
            Ok(true)
        }
        Verb::Run(run) => run_cases(&run, components),
    }
}

/// The versions that were asked for, or these.
fn chosen(asked: &[String], default: Vec<String>) -> Result<Vec<String>> {
    let known = components::versions()?;
    if asked.is_empty() {
        return Ok(default);
    }
    asked
        .iter()
        .map(|asked| {
            let found =
                known.iter().find(|version| *version == asked || version.starts_with(&format!("{asked}.")));
            found.cloned().with_context(|| format!("{asked} is not one of {}", known.join(", ")))
        })
        .collect()
}

fn run_cases(arguments: &Run, components: Components) -> Result<bool> {
    ensure!(nix::unistd::geteuid().is_root(), "nodes in namespaces need root");
    let known = case::all()?;
    let versions = components::versions()?;
    let newest: Vec<_> = versions.iter().next_back().cloned().into_iter().collect();
    let mut queue: Vec<(Case, Vec<String>)> = Vec::new();
    for version in chosen(&arguments.versions, newest)? {
        for name in &arguments.cases {
            ensure!(known.iter().any(|case| case.name == *name), "there is no case {name}; see `vm-tests list`");
        }
        for case in &known {
            if arguments.cases.is_empty() || arguments.cases.contains(&case.name) {
                queue.push((case.clone(), case.versions(&version, &versions)?));
            }
        }
    }
    let setting = Setting {
        components,
        program: arguments.program.clone(),
        logs: arguments.logs.clone(),
        verbose: arguments.verbose,
    };
    ensure!(setting.program.is_file(), "{} is missing; build it with `make build`", setting.program.display());
    interrupt::listen()?;
    stale::clean()?;
    // What is built for all is built before anything runs beside it.
    for (_, versions) in &queue {
        image::image(&setting.components, versions)?;
    }
    queue.reverse();
    let queue = Mutex::new(queue);
    let next = || queue.lock().ok()?.pop();
    let work = || -> Result<bool> {
        let mut passed = true;
        while let Some((case, versions)) = next() {
            let start = Instant::now();
            let verdict = case.run(&versions, &setting).with_context(|| case.name.clone())?;
            let about =
                format!("{} ({}, {:.1} s)", case.name, versions.join(" to "), start.elapsed().as_secs_f64());
            match verdict {
                Verdict::Passed => println!("ok      {about}"),
                Verdict::Failed(why) => {
                    passed = false;
                    println!("FAILED  {about}\n        {}", why.replace('\n', "\n        "));
                }
            }
        }
        Ok(passed)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..arguments.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        let mut passed = true;
        for worker in workers {
            passed &= worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
        }
        Ok(passed)
    })
}
