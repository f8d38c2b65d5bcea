//! Makes a kubeadm control-plane node audit its Kubernetes API server. README.md says what that means. This is the map
//! of the source.
//!
//! ```text
//! config + node --observe--> facts --plan--> changes --execute--> node
//!                                       |
//!                                       +--> text, diff, JSON
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `cli` | faces the user: arguments, messages, output, exit codes; one file per verb |
//! | `run` | leads: reads a node, plans its changes, executes them, and proves the result; only `run` uses both `plan` and `node` |
//! | [`plan`] | decides: what kind of node this is, what to change on it, what to put back, and when the API server is proved to audit |
//! | [`facts`], [`change`] | pass between the two: what was seen on a node, and what to do to it |
//! | `node` | touches the host: reads a node, executes changes, keeps backups, asks the API server |
//! | [`wiring`] | puts the audit settings into a kubeadm configuration, a static pod manifest, or a patch |
//! | [`render`] | makes the snippets for the user's own files |
//! | [`storage`] | judges the log directory: its mounts, the forecast of its size, the mount unit |
//! | [`config`] | reads the program's own configuration file |
//! | [`audit`] | knows the API server's audit flags and the audit policy |
//! | [`yaml`] | reads YAML as Kubernetes does, and edits it so that nothing else changes |
//! | [`path`], [`pflag`], [`quantity`], [`time`](mod@time) | paths of a node, arguments of a program and quantities of Kubernetes as text, and points in time |
//!
//! `cli`, `run` and `node` are private, so that the compiler reports unused code in them; `cargo doc
//! --document-private-items` shows them.
//! All other modules touch neither files nor processes. `tests/layers.rs` lists which module may use which.

// clippy.toml says how many lines are too many.
#![cfg_attr(not(test), deny(clippy::too_many_lines))]

pub mod audit;
pub mod change;
mod cli;
pub mod config;
pub mod facts;
mod node;
pub mod path;
pub mod pflag;
pub mod plan;
pub mod quantity;
pub mod render;
mod run;
pub mod storage;
pub mod time;
pub mod wiring;
pub mod yaml;

pub use cli::main;
