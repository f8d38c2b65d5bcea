//! The harness: real nodes with real Kubernetes, to show that kube-audit-bootstrap does what it says.
//!
//! [`arguments`] reads the command line, [`select`] makes jobs of it, and [`job`] runs them. A job is a case or a judge
//! for a version of Kubernetes. [`case`] is what a case says, [`furnish`] makes its nodes, and [`story`] boots them
//! while [`watch`] listens. The judges are [`kubeadm`] and [`apiserver`]. A [`node`] runs in [`namespaces`], in
//! [`qemu`], or is this machine, [`host`]. What it starts from is in [`image`] and [`components`], which [`cache`]
//! keeps.
//!
//! Exit codes: 0 all passed; 1 a case failed; 2 bad usage; 3 the harness failed.

mod apiserver;
mod arguments;
mod cache;
mod case;
mod components;
mod furnish;
mod host;
mod image;
mod interrupt;
mod job;
mod kubeadm;
mod matrix;
mod misuse;
mod namespaces;
mod node;
mod patches;
mod qemu;
mod random;
mod run;
mod select;
mod setting;
#[cfg(test)]
mod slices;
mod stale;
mod story;
mod watch;

use std::io::{Write, stderr, stdout};
use std::panic::catch_unwind;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;

use arguments::{Arguments, BuildImageArguments, NEEDS_ROOT, RunArguments, ShellArguments, Verb};
use components::Components;
use misuse::Misuse;
use qemu::Disk;
use setting::On;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A panic is a failure of the harness. A write to a pipe that nobody reads any more is one.
    match catch_unwind(|| obey(arguments)).unwrap_or_else(|_| Err(anyhow!("it panicked"))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let _ = writeln!(stderr(), "vm-tests: {error:#}");
            ExitCode::from(if error.chain().any(|cause| cause.is::<Misuse>()) { 2 } else { 3 })
        }
    }
}

/// Does what the command line asks for. Returns whether all cases passed.
fn obey(arguments: Arguments) -> Result<bool> {
    // This process makes the files of the nodes, and users other than root must be able to read them there.
    umask(Mode::from_bits_truncate(0o022));
    let components = Components { given: arguments.components };
    match arguments.command {
        Verb::Enter { spec } => namespaces::enter(&spec)?,
        Verb::Boot { spec } => namespaces::boot(&spec)?,
        Verb::Switch => namespaces::serve_switch()?,
        Verb::List => {
            for entry in select::list()? {
                writeln!(stdout(), "{:<21} {}", entry.name, entry.about)?;
            }
        }
        Verb::Versions => writeln!(stdout(), "{}", components::pinned_versions()?.join("\n"))?,
        Verb::Components { versions } => {
            for version in select::find_versions(&versions)? {
                for name in components::KUBERNETES {
                    writeln!(stdout(), "{}", components.provide_kubernetes(&version, name)?.display())?;
                }
            }
        }
        Verb::Run(run) => return run_jobs(&run, components),
        Verb::Shell(shell) => give_shell(shell, components)?,
        Verb::BuildImage(build) => build_image(build, &components)?,
    }
    Ok(true)
}

fn run_jobs(arguments: &RunArguments, components: Components) -> Result<bool> {
    let invocation = arguments.invocation(components)?;
    let setting = &invocation.setting;
    let jobs = select::select_jobs(&arguments.cases, &arguments.versions, arguments.all, setting)?;
    interrupt::listen()?;
    stale::clean()?;
    job::prepare(&jobs, setting)?;
    let usual = match setting.on {
        On::Namespaces => namespaces::count_room()?.clamp(1, 6),
        On::Qemu => 2,
        On::Host => 1,
    };
    let outcomes = job::run(jobs, arguments.jobs.map_or(usual, usize::from), &invocation)?;
    if let Some(path) = &arguments.matrix {
        matrix::write(path, &outcomes, &setting.program)?;
    }
    Ok(outcomes.iter().all(|outcome| outcome.passed))
}

fn give_shell(arguments: ShellArguments, components: Components) -> Result<()> {
    let setting = arguments.setting(components)?;
    let versions: Vec<_> = arguments.version.into_iter().collect();
    let jobs = select::select_jobs(&[arguments.case], &versions, false, &setting)?;
    interrupt::listen()?;
    stale::clean()?;
    job::prepare(&jobs, &setting)?;
    jobs.first().context("the case doesn't run there")?.give_shell(&setting)
}

fn build_image(arguments: BuildImageArguments, components: &Components) -> Result<()> {
    ensure!(geteuid().is_root(), Misuse(NEEDS_ROOT.to_owned()));
    let versions = match &arguments.version {
        Some(version) => select::find_versions(std::slice::from_ref(version))?,
        None => components::pinned_versions()?.pop().into_iter().collect(),
    };
    interrupt::listen()?;
    if let Some(file) = arguments.file {
        stale::clean()?;
        qemu::write_bootable(components, &versions, &file)?;
    } else if let Disk::Built { vmlinuz, initrd, root } = qemu::make_disk(components, &versions)? {
        writeln!(stdout(), "{}\n{}\n{}", vmlinuz.display(), initrd.display(), root.display())?;
    }
    Ok(())
}
