//! Adds the audit flags and mounts to YAML files of kubeadm and of administrators: the kubeadm configuration, the
//! static pod manifest, and patches. All functions here take a text and return a text; no code here reads or writes a
//! file.
//!
//! * `settings` holds what a file must have, `mounts` the mounts that this needs; [`references`] follows the flags to
//!   the files that the API server opens.
//! * [`kubeadm`] edits the kubeadm configuration, [`manifest`] the manifest; [`patch`] writes the settings as a patch
//!   for kubeadm, and [`patches`] judges the manifest that kubeadm makes with patches.
//!   [`mark`] makes the kubelet restart a pod whose policy changes.
//! * `beside` is what patches give the API server beside the kubeadm configuration.
//! * `command` reads the words that start the API server; [`pod`] says whether the kubelet runs a manifest.

mod beside;
mod command;
#[cfg(test)]
mod differential;
pub mod kubeadm;
pub mod manifest;
pub mod mark;
mod mounts;
pub mod patch;
pub mod patches;
pub mod pod;
mod present;
#[cfg(test)]
mod property;
pub mod references;
mod settings;

pub use beside::Beside;
pub use settings::{Refusal, Replaced, Wanted, Wired};
