//! Any text as a kubeadm configuration file: it is refused, or edited so that a second edit changes nothing.

#![no_main]

use kube_audit_bootstrap::config::Config;
use kube_audit_bootstrap::wiring::kubeadm::Reader;
use kube_audit_bootstrap::wiring::{Wanted, kubeadm};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let wanted = Wanted::of(&Config::default(), &Default::default());
    for reader in [Reader::Unknown, Reader::Init, Reader::Join] {
        let Ok(file) = kubeadm::read(text, "/f", reader) else { continue };
        let Ok(wired) = kubeadm::wire(text, &file, &wanted, None) else { continue };
        let again = kubeadm::read(&wired.text, "/f", reader).expect("the edited file can be read");
        assert_eq!(again.purpose, file.purpose);
        let twice = kubeadm::wire(&wired.text, &again, &wanted, None).expect("the edited file can be edited");
        assert_eq!(twice.text, wired.text, "the second edit changes something");
        assert_eq!(twice.flags, wired.flags);
    }
});
