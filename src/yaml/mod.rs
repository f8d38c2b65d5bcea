//! YAML as text: where each value stands, how Kubernetes reads it, and edits that leave the rest alone.
//!
//! * [`node`] is what a text consists of, and [`tree`] reads a text into it.
//! * [`scalar`] says what a plain word means to Kubernetes, and quotes our own words accordingly.
//! * [`edit`] inserts and replaces values in the text and proves that nothing else changed.
//! * [`fields`] decodes a node strictly, for our own configuration and for audit policies.

pub mod edit;
pub mod fields;
pub mod node;
pub mod scalar;
pub mod tree;

pub use node::{Document, Node, NodeKind, Position};
pub use tree::{is_json, parse};
