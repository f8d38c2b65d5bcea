//! kubeadm's patches: what they make of the manifest of the API server, before kubeadm writes it.
//!
//! kubeadm makes the API server's pod from its configuration, applies the patches of a directory to it, and writes the
//! result into the manifest directory. These modules do the same with a model of that pod, so that the manifest can be
//! judged before it exists.
//!
//! * [`mod@file`] tells patches by their names, and reads them; `value` makes data of YAML.
//! * `pod` is the pod as kubeadm makes it; `operations` and `merge` apply patches to it.
//! * [`mod@check`] judges the result, and finds the patch that is to blame; `beside` says what patches give the API server
//!   beside the configuration file.

mod beside;
pub mod check;
pub mod file;
mod merge;
mod operations;
mod pod;
mod value;

pub use beside::beside;
pub use check::{Base, Made, Patched, check};
