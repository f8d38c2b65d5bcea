//! The domain: the API server's audit flags and the audit policy, with their rules by Kubernetes version.

#[cfg(test)]
mod differential;
pub mod flags;
pub mod log;
pub mod metrics;
pub mod policy;
pub mod version;
