//! Reads what patches give the API server beside kubeadm's configuration file.

use super::check::{Base, Patched, apply};
use super::pod::Kubeadm;
use super::value::value_of;
use crate::audit::flags::is_audit;
use crate::wiring::beside::Beside;
use crate::wiring::manifest;
use crate::wiring::present::Present;
use crate::yaml::Position;

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
