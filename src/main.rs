//! Makes a kubeadm control-plane node audit its Kubernetes API server. See README.md.

mod audit;
mod cli;
mod config;
mod node;
mod plan;
mod proof;
mod render;
mod storage;
mod time;
mod wiring;
mod yaml;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
