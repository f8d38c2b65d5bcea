//! The command line: arguments, messages, output, exit codes. One file per verb.
//!
//! * `common` is what the verbs share, `show` prints a plan, `secrets` hides what must not be shown, and `log` prints
//!   messages.
//! * `hook` is the program under the name `kubeadm`.
//!
//! Nothing here decides what to change on a node: [`crate::run`] leads that. Nothing outside imports this folder.

mod apply;
mod common;
#[cfg(test)]
mod contract;
#[cfg(feature = "docs")]
mod docs;
mod hook;
mod log;
mod plan;
mod policy;
mod render;
mod restore;
mod secrets;
mod show;
mod status;
mod verify;

use std::io::Write;
#[cfg(feature = "docs")]
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
#[cfg(feature = "docs")]
use clap::CommandFactory;
use clap::{Parser, Subcommand};

use common::{Common, Outcome, TEXT_AND_JSON, outcome_of, without_mask};

use crate::run::guard;

/// The version, and the commit that it was built from, if build.rs found one.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), env!("BUILT_FROM"));

/// Makes a kubeadm control-plane node audit its Kubernetes API server
#[derive(Debug, Parser)]
#[command(version = VERSION, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Apply(apply::ApplyArgs),
    Plan(plan::PlanArgs),
    Status(status::StatusArgs),
    Verify(verify::VerifyArgs),
    Restore(restore::RestoreArgs),
    #[command(subcommand)]
    Policy(policy::PolicyVerb),
    Render(render::RenderArgs),
}

/// Parses the command line, runs the verb, prints its output, and returns its exit code.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if arguments.next().is_some_and(|name| hook::is_meant(&name)) {
        return hook::main(&arguments.collect::<Vec<_>>());
    }
    let words = || std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    if words().next().as_deref() == Some(guard::GUARD) {
        log::init(0);
        let ended = guard::guard(&words().skip(1).collect::<Vec<_>>());
        let failed = ended.inspect_err(|error| ::log::error!("{error:#}")).is_err();
        return ExitCode::from(u8::from(failed));
    }
    #[cfg(feature = "docs")]
    if let [verb, folder] = std::env::args_os().skip(1).collect::<Vec<_>>().as_slice()
        && verb == "write-docs"
    {
        return docs::main(Cli::command(), Path::new(folder));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // --help and --version go to stdout. A closed pipe there is not an error.
            let _ = error.print();
            if error.to_string().contains("'--profile'") {
                log::init(0);
                ::log::warn!(
                    "for the policy of a profile, use --policy NAME; for its log limits, too, set profile in the configuration"
                );
            }
            return ExitCode::from(if error.use_stderr() { Outcome::Misused as u8 } else { 0 });
        }
    };
    log::init(cli.common.verbose);
    let mut out = String::new();
    let quotes_node = !matches!(cli.verb, Verb::Policy(_) | Verb::Render(_));
    let result = execute(cli, &mut out);
    if quotes_node {
        out = secrets::hide_shapes(&out);
    }
    // If the reader is gone (`| head`), the job is done all the same.
    let _ = std::io::stdout().lock().write_all(out.as_bytes());
    let outcome = result.unwrap_or_else(|error| {
        ::log::error!("{error:#}");
        outcome_of(&error)
    });
    ExitCode::from(outcome as u8)
}

/// Runs the verb. What it prints on stdout goes to `out`.
fn execute(cli: Cli, out: &mut String) -> Result<Outcome> {
    cli.common.check_output(match &cli.verb {
        Verb::Policy(verb) => verb.formats(),
        _ => TEXT_AND_JSON,
    })?;
    without_mask(|| match cli.verb {
        Verb::Apply(verb) => verb.run(&cli.common, out),
        Verb::Plan(verb) => verb.run(&cli.common, out),
        Verb::Status(verb) => verb.run(&cli.common, out),
        Verb::Verify(verb) => verb.run(&cli.common, out),
        Verb::Restore(verb) => verb.run(&cli.common, out),
        Verb::Policy(verb) => verb.run(&cli.common, out),
        Verb::Render(verb) => verb.run(&cli.common, out),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_defined() {
        Cli::command().debug_assert();
    }
}
