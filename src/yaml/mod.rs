//! YAML as text: the position of each value, how Kubernetes reads it, and edits that leave the rest alone.
//!
//! * [`node`] holds what a text consists of, and [`tree`] reads a text into it.
//! * [`scalar`] decides what a plain word means to Kubernetes, and quotes words so that they keep their meaning.
//! * [`edit`] inserts and replaces values in the text, and checks that nothing else changed.
//! * [`undo`] takes an earlier edit out of a text that somebody has changed since.
//! * [`fields`] decodes a node strictly, for the configuration and for audit policies.
//!
//! Everything here works on texts. Nothing here knows kubeadm, manifests or files.

pub mod edit;
pub mod fields;
pub mod node;
pub mod scalar;
pub mod tree;
pub mod undo;

pub use node::{Document, Node, NodeKind, Position};
pub use tree::{is_json, parse, parse_lenient};
