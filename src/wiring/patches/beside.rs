//! What patches give the API server beside kubeadm's configuration file: an edit of that file counts with it.

use super::check::{Base, Patched, apply};
use super::pod::Kubeadm;
use super::value::value_of;
use crate::audit::flags::is_audit;
use crate::wiring::manifest;
use crate::wiring::mounts::{NeededMount, Place, Present, place_of};
use crate::yaml::Position;

/// The audit flags and the mounts of the API server that patches set or change.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Each with the value that counts.
    pub(in crate::wiring) flags: Vec<(String, String)>,
    mounts: Vec<Present>,
}

impl Beside {
    /// The mounts that the API server gets, from those that the file gives it.
    pub(in crate::wiring) fn join(&self, present: &mut Vec<Present>) {
        for one in &self.mounts {
            match present.iter_mut().find(|other| other.container == one.container) {
                Some(other) => {
                    let (position, name) = (other.position, std::mem::take(&mut other.name));
                    *other = Present { position, name, ..one.clone() };
                }
                None => present.push(one.clone()),
            }
        }
    }

    /// Does the file get a mount of its own all the same? A new flag is in the cluster's configuration from now on, and an
    /// upgrade without the patches needs its mount, too.
    pub(in crate::wiring) fn is_not_enough(&self, mount: &NeededMount, present: &[Present]) -> bool {
        let Place::Host(_, by) = place_of(present, mount.file()) else { return false };
        let is_of_patches = self.mounts.iter().any(|one| one.container == by.container);
        !mount.is_known && is_of_patches && by.container != mount.container && by.container != mount.file()
    }
}

/// Reads what the patches give. Nothing, if they cannot be applied: [`check`](super::check()) says why. `position`: who
/// names the patches, in the file.
pub fn beside(patched: &Patched<'_>, position: Position) -> Beside {
    let Base::Configuration { .. } = patched.base else { return Beside::default() };
    let found = Kubeadm::of(patched.version).into_iter().next().and_then(|kubeadm| {
        let mut pods = patched.pods(kubeadm).ok()?;
        let read = |pods: &super::check::Pods| manifest::contents(&pods.text()).ok();
        let (flags_before, mounts_before) = read(&pods)?;
        for file in patched.files {
            for part in file.parts() {
                apply(&mut pods, file.kind, &value_of(part, None), kubeadm).ok()?;
            }
        }
        let (flags, mounts) = read(&pods)?;
        let is_same = |one: &Present| {
            let mut others = mounts_before.iter();
            others.any(|other| {
                (&one.container, &one.host, one.read_only, one.closed)
                    == (&other.container, &other.host, other.read_only, other.closed)
            })
        };
        let flags =
            flags.into_iter().filter(|(name, value)| is_audit(name) && flags_before.get(name) != Some(value));
        let mounts = mounts.into_iter().filter(|one| !is_same(one));
        Some(Beside {
            flags: flags.collect(),
            mounts: mounts.map(|one| Present { position, name: String::new(), ..one }).collect(),
        })
    });
    found.unwrap_or_default()
}
