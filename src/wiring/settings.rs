//! What a file must have, the result of an edit, and why an edit was refused.

use std::collections::BTreeSet;
use std::fmt;

use super::present::Present;
use crate::audit::flags::{self, Flags};
use crate::audit::version::Version;
use crate::config::{Config, Existing};
use crate::facts::file::Files;
use crate::yaml::edit::RefusedEdit;
use crate::yaml::fields::brief;
use crate::yaml::node::YamlFault;
use crate::yaml::scalar::template_mark;
use crate::yaml::{Node, Position};

/// What a file must have.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Flags and values, in the order in which they are written.
    pub flags: Vec<(String, String)>,
    /// Boolean flags that must be false if a file has them.
    pub off: Vec<String>,
    pub existing: Existing,
    /// What is at the paths that the webhook's flag and its kubeconfig name.
    pub files: Files,
    /// The mounts of a manifest whose settings stay, for the files that kubeadm makes the next manifest of.
    pub(super) shown: Vec<Present>,
}

impl Wanted {
    /// What a configuration asks for.
    pub fn of(config: &Config, files: &Files) -> Wanted {
        let files = files.clone();
        let (flags, off, existing) = (config.flags(), config.flags_off(), config.existing);
        Wanted { flags, off, existing, files, shown: Vec::new() }
    }

    /// Wants these flags, too, and their values.
    pub(super) fn set(&mut self, flags: &Flags) {
        for (name, value) in flags {
            match self.flags.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => known.clone_from(value),
                None => self.flags.push((name.clone(), value.clone())),
            }
        }
    }

    /// The name and value of each flag, and whether it is added if it is missing.
    pub(super) fn values(&self) -> impl Iterator<Item = (&String, &str, bool)> {
        let on = self.flags.iter().map(|(name, value)| (name, value.as_str(), true));
        on.chain(self.off.iter().map(|name| (name, "false", false)))
    }
}

/// A file after its edit.
#[derive(Clone, Debug)]
pub struct Wired {
    /// The new text; if nothing was missing, the same text as before.
    pub text: String,
    /// The policy on the host; `None` if it is in a volume that is not of the host.
    pub policy: Option<String>,
    /// The log file on the host; `None` if the log goes to no file, or to one that is not on the host.
    pub log: Option<String>,
    /// The audit flags that the API server will have.
    pub flags: Flags,
    /// What a person should know about this file.
    pub notes: Vec<String>,
    /// What the edit puts out of use.
    pub replaced: Replaced,
    /// The manifest that kubeadm makes of this file with patches, if they were judged.
    pub patched: Option<String>,
}

impl Wired {
    /// How the audit settings of `other`, an edited file of kubeadm's, differ from those of this manifest.
    pub fn differences(&self, other: &Wired) -> Vec<String> {
        let names: BTreeSet<_> = self.flags.keys().chain(other.flags.keys()).collect();
        let flag = |name: &&String| match (self.flags.get(*name), other.flags.get(*name)) {
            (Some(own), Some(theirs)) if flags::is_equivalent(name, own, theirs) => None,
            (Some(own), Some(theirs)) => Some(format!("--{name}={theirs} instead of {own}")),
            (Some(own), None) => Some(format!("no --{name}={own}")),
            (None, Some(theirs)) => Some(format!("--{name}={theirs}")),
            (None, None) => None,
        };
        let mut differences: Vec<_> = names.iter().filter_map(flag).collect();
        let same = |flag: &str| self.flags.get(flag) == other.flags.get(flag);
        for (flag, own, theirs) in
            [("audit-policy-file", &self.policy, &other.policy), ("audit-log-path", &self.log, &other.log)]
        {
            if let (Some(own), Some(theirs)) = (own, theirs)
                && same(flag)
                && own != theirs
            {
                differences.push(format!("{theirs} of the host instead of {own} for --{flag}"));
            }
        }
        differences
    }

    /// The API server gets what the manifest says that kubeadm makes of this file with patches. The text of the file
    /// and what its edit did stay.
    pub fn follow(&mut self, made: &Wired) {
        let old = std::mem::replace(self, made.clone());
        *self = Wired {
            text: old.text,
            notes: old.notes,
            replaced: old.replaced,
            patched: Some(made.text.clone()),
            ..made.clone()
        };
    }
}

/// The files of an API server that audits already which an edit puts out of use, each with what replaces it: paths on
/// the host, or `-`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    pub policy: Option<(String, String)>,
    pub log: Option<(String, String)>,
}

/// Why a file is not edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub position: Position,
    pub reason: String,
    /// Where the first one of two things is that can't both be there.
    pub first: Option<Position>,
    /// The YAML to add by hand, if that helps.
    pub by_hand: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.reason)?;
        self.first.map_or(Ok(()), |first| write!(f, "; the first is at {first}"))
    }
}

impl Refusal {
    pub(super) fn new(position: Position, reason: impl Into<String>) -> Refusal {
        Refusal { position, reason: reason.into(), first: None, by_hand: None }
    }

    pub(super) fn from_edit(refused: RefusedEdit, by_hand: String) -> Refusal {
        Refusal { position: refused.position, reason: refused.reason, first: None, by_hand: Some(by_hand) }
    }
}

/// Refuses a template that was not filled in.
pub(super) fn filled_in(node: &Node) -> Result<(), Refusal> {
    match template_mark(node) {
        Some(found) => Err(Refusal::new(
            found.position,
            format!("{} is a placeholder of a template; fill it in", brief(found.scalar().unwrap_or_default())),
        )),
        None => Ok(()),
    }
}

impl From<YamlFault> for Refusal {
    fn from(fault: YamlFault) -> Refusal {
        Refusal::new(fault.position, fault.message)
    }
}

/// The flags that the API server will have: the wanted flags replace existing ones, or existing ones stay, as
/// `wanted.existing` says.
pub(super) fn effective(wanted: &Wanted, present: &[(String, String)]) -> Flags {
    let mut all = flags::from_pairs(present.iter().cloned());
    for (name, value) in &wanted.flags {
        if wanted.existing == Existing::Replace || !all.contains_key(name) {
            all.insert(name.clone(), value.clone());
        }
    }
    for name in &wanted.off {
        if let Some(value) = all.get_mut(name).filter(|_| wanted.existing == Existing::Replace) {
            "false".clone_into(value);
        }
    }
    all.retain(|name, _| flags::is_audit(name));
    all
}

/// Checks that an API server starts with these flags. `position`: where a flag stands.
///
/// # Errors
///
/// It would not start: why.
pub(super) fn check(
    flags: &Flags,
    version: Option<Version>,
    position: &dyn Fn(&str) -> Position,
) -> Result<(), Refusal> {
    for name in ["audit-policy-file", "audit-log-path"] {
        if let Some(path) = flags.get(name).filter(|path| !path.starts_with('/') && *path != "-") {
            let reason = format!(
                "--{name} stays, and {path:?} is not an absolute path; write one there, or remove `existing: keep`"
            );
            return Err(Refusal::new(position(name), reason));
        }
    }
    let refuse = |faults: Vec<flags::FlagFault>, what: &str| {
        let Some(first) = faults.first() else { return Ok(()) };
        let position = position(&first.flag);
        let faults: Vec<_> = faults.iter().map(flags::FlagFault::to_string).collect();
        Err(Refusal::new(position, format!("the API server would {what}: {}", faults.join("; "))))
    };
    refuse(flags::faults(flags, version), "not start")?;
    refuse(flags::excesses(flags), "fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(String, String)> {
        let pairs = text.split_whitespace().filter_map(|word| word.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn flags_with_which_the_api_server_fails_are_refused_where_they_stand() {
        let position = |flag: &str| Position { line: flag.len(), column: 1 };
        let base = "audit-policy-file=/p audit-log-path=/l audit-log-mode=batch";
        for (flag, expected) in [
            ("audit-log-batch-max-size=1", ""),
            (
                "audit-log-batch-max-size=0",
                "24:1: the API server would not start: --audit-log-batch-max-size must",
            ),
            (
                "audit-log-batch-buffer-size=9000000000000000000",
                "27:1: the API server would fail: --audit-log-batch-buffer-size 9000000000000000000 is more than",
            ),
        ] {
            let flags = flags::from_pairs(words(&format!("{base} {flag}")));
            let found = check(&flags, None, &position).err().map(|refusal| refusal.to_string());
            assert_eq!(found.is_some(), !expected.is_empty(), "{flag}: {found:?}");
            assert!(found.clone().unwrap_or_default().starts_with(expected), "{flag}: {found:?}");
        }
    }

    #[test]
    fn booleans_are_turned_off_where_the_settings_replace_others() {
        let present = words("audit-log-compress=true audit-log-maxage=7 v=2");
        for (existing, expected) in [
            (Existing::Replace, "audit-log-compress=false audit-log-maxage=30 audit-log-maxsize=1"),
            (Existing::Keep, "audit-log-compress=true audit-log-maxage=7 audit-log-maxsize=1"),
        ] {
            let off = ["audit-log-compress", "audit-log-truncate-enabled"].map(str::to_owned).to_vec();
            let wanted = Wanted {
                flags: words("audit-log-maxage=30 audit-log-maxsize=1"),
                off,
                existing,
                files: Files::new(),
                shown: Vec::new(),
            };
            assert_eq!(effective(&wanted, &present), words(expected).into_iter().collect(), "{existing:?}");
        }
    }
}
