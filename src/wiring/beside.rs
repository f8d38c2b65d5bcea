//! What kubeadm's patches give the API server beside the configuration file: an edit of that file counts with it.

use super::mounts::NeededMount;
use super::present::{Place, Present, place_of};

/// The audit flags and the mounts of the API server that patches set or change.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Each with the value that counts.
    pub(super) flags: Vec<(String, String)>,
    pub(super) mounts: Vec<Present>,
}

impl Beside {
    /// The mounts that the API server gets, from those that the file gives it.
    pub(super) fn join(&self, present: &mut Vec<Present>) {
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
    pub(super) fn is_not_enough(&self, mount: &NeededMount, present: &[Present]) -> bool {
        let Place::Host(_, by) = place_of(present, mount.file()) else { return false };
        let is_of_patches = self.mounts.iter().any(|one| one.container == by.container);
        !mount.is_known && is_of_patches && by.container != mount.container && by.container != mount.file()
    }
}
