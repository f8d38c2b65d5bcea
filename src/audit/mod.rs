//! The API server's audit flags, the audit policy and the audit log, with their rules by Kubernetes version.
//!
//! * [`flags`] and [`policy`] check what a node is given, [`version`] is the version that the rules depend on.
//! * [`profiles`] bundle a policy and the limits of the log.
//! * [`command_line`] reads the words that start an API server, and [`shell`] finds them in a shell line.
//! * [`kubeconfig`] checks the kubeconfig of a webhook, with the certificates that [`pem`] reads and the URLs of `url`.
//! * [`log`] and [`metrics`] read what an API server writes.
//!
//! Everything here works on texts and values. No file, no process and nothing of a node may be touched here.

pub mod command_line;
#[cfg(test)]
pub(crate) mod differential;
pub mod flags;
pub mod kubeconfig;
pub mod log;
pub mod metrics;
pub mod pem;
pub mod policy;
pub mod profiles;
pub mod shell;
mod url;
pub mod version;
