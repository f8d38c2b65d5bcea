//! Makes a kubeadm control-plane node audit its Kubernetes API server. See README.md.

mod audit;
mod change;
mod cli;
mod config;
mod facts;
mod node;
mod path;
mod plan;
mod render;
mod storage;
mod time;
mod wiring;
mod yaml;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
