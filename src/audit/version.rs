//! Kubernetes versions.

use std::fmt;
use std::ops::RangeInclusive;

/// A minor version of Kubernetes 1; no rule here depends on the patch version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub minor: u32,
}

impl Version {
    /// Version 1.`minor`.
    pub const fn new(minor: u32) -> Self {
        Version { minor }
    }

    /// Reads `v1.30.2`, `1.30`, `v1.31.0-rc.1+build`. `None` for everything else, such as kubeadm's `stable-1`.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('v').unwrap_or(text).strip_prefix("1.")?;
        let (minor, patch) = match rest.find(|c: char| !c.is_ascii_digit()) {
            Some(end) => rest.split_at(end),
            None => (rest, ""),
        };
        let minor = minor.parse().ok()?;
        (patch.is_empty() || patch.starts_with(['.', '+', '-'])).then_some(Version { minor })
    }
}

/// The tested versions. The program knows what each of them has in other ways than the ones before.
pub const SUPPORTED: RangeInclusive<Version> = Version::new(26)..=Version::new(37);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_kubernetes_writes_them() {
        for (text, minor) in [
            ("v1.30.2", Some(30)),
            ("1.30", Some(30)),
            ("v1.31.0-rc.1", Some(31)),
            ("v1.31.5+k3s1", Some(31)),
            ("1.36-alpha", Some(36)),
            ("stable-1", None),
            ("v2.0.0", None),
            ("1.", None),
            ("1.x", None),
            ("1.30x", None),
            ("", None),
            ("1.99999999999", None),
        ] {
            assert_eq!(Version::parse(text), minor.map(Version::new), "{text:?}");
        }
    }
}
