//! The names of the temporary files that a run makes beside a file. Each begins with a dot, because the kubelet ignores
//! such names in its manifest directory.

/// The name of the file with the new content of `name`, until it is renamed to `name`.
pub(super) fn temporary_name(name: &str) -> String {
    format!(".{name}.kube-audit-bootstrap")
}

/// The name that keeps the previous file of `name` until the run ends.
pub(super) fn kept_name(name: &str) -> String {
    format!(".{name}.kube-audit-bootstrap-old")
}

/// The name that keeps the previous manifest until a run is proved.
pub(super) fn unproved_name(name: &str) -> String {
    format!(".{name}.kube-audit-bootstrap-unproved")
}

/// The name that hides `name` from the kubelet.
pub(super) fn hidden_name(name: &str) -> String {
    format!(".{name}.kube-audit-bootstrap-hidden")
}
