//! Puts the audit flags and mounts into other people's YAML: kubeadm's configuration and the static pod
//! manifest. Pure: text in, text out.
//!
//! * `settings` is what a file shall have, `mounts` which mounts that needs.
//! * [`kubeadm`] edits kubeadm's configuration, [`manifest`] the manifest; [`patch`] is the settings as a patch of kubeadm's.

pub mod kubeadm;
pub mod manifest;
mod mounts;
pub mod patch;
#[cfg(test)]
mod property;
mod settings;

pub use settings::{Refusal, Wanted, Wired};
