//! The names beside a file that a run uses while it works. Each begins with a dot: the kubelet ignores such names in its manifest directory.

/// The name that `name`'s new content is staged under.
pub(super) fn temporary_name(name: &str) -> String {
    format!(".{name}.kube-audit-bootstrap")
}

/// The name that keeps `name`'s old file until the run is through.
pub(super) fn kept_name(name: &str) -> String {
    format!(".{name}.kube-audit-bootstrap-old")
}

/// The name that keeps the manifest from before a run until that is proved.
pub(super) fn unproved_name(name: &str) -> String {
    format!(".{name}.kube-audit-bootstrap-unproved")
}

/// The name under which the kubelet doesn't see `name`.
pub(super) fn hidden_name(name: &str) -> String {
    format!(".{name}.kube-audit-bootstrap-hidden")
}
