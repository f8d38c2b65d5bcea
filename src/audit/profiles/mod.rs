//! The profiles: what people want of an audit log, each as a policy and the limits of the log.

use std::fmt;

use super::policy;

/// A profile. Its policy is a file of this folder.
pub struct Profile {
    pub name: &'static str,
    /// The policy.
    pub text: &'static str,
    /// Days that a rotated file is kept.
    pub max_age: i64,
    /// Rotated files.
    pub max_backup: i64,
    /// MiB per file.
    pub max_size: i64,
}

/// The limits of the guide that administrators follow by hand.
const GUIDE: (i64, i64, i64) = (30, 100, 50);

/// The only limits that every scanner passes: some want these numbers, and not just as much.
const SCANNERS: (i64, i64, i64) = (30, 10, 100);

/// All profiles; the first is the default.
pub static PROFILES: [Profile; 5] = [
    profile("default", policy::DEFAULT, GUIDE),
    profile("low-noise", include_str!("low-noise.yaml"), GUIDE),
    profile("writes", include_str!("writes.yaml"), GUIDE),
    profile("cis", include_str!("cis.yaml"), SCANNERS),
    profile("stig", include_str!("stig.yaml"), SCANNERS),
];

const fn profile(name: &'static str, text: &'static str, limits: (i64, i64, i64)) -> Profile {
    let (max_age, max_backup, max_size) = limits;
    Profile { name, text, max_age, max_backup, max_size }
}

/// The profile with this name.
pub fn named(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.name == name)
}

/// The names of all profiles.
pub fn names() -> [&'static str; PROFILES.len()] {
    PROFILES.each_ref().map(|profile| profile.name)
}

/// The name is enough: the rest follows from it.
impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// For messages: `profile cis`.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "profile {}", self.name)
    }
}

#[cfg(test)]
mod tests;
