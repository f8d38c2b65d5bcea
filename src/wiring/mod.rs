//! Adds the audit flags and mounts to YAML files of kubeadm and of administrators: the kubeadm configuration, the
//! static pod manifest, and patches. All functions here take a text and return a text; no code here reads or writes a
//! file.
//!
//! * `settings` holds what a file must have, `mounts` the mounts that this needs.
//! * [`kubeadm`] edits the kubeadm configuration, [`manifest`] the manifest; [`patch`] writes the settings as a patch
//!   for kubeadm. [`mark`] makes the kubelet restart a pod whose policy changes.

pub mod kubeadm;
pub mod manifest;
pub mod mark;
mod mounts;
pub mod patch;
#[cfg(test)]
mod property;
mod settings;

pub use settings::{Refusal, Replaced, Wanted, Wired};
