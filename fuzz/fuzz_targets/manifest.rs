//! Any text as the API server's manifest: it is refused, or edited so that a second edit changes nothing.

#![no_main]

use kube_audit_bootstrap::config::Config;
use kube_audit_bootstrap::wiring::{Wanted, manifest, mark};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = manifest::identify_pod(text);
    let _ = manifest::read_auditing(text);
    let Ok(file) = manifest::read(text) else { return };
    let wanted = Wanted::of(&Config::default(), &Default::default());
    let Ok(wired) = manifest::wire(text, &file, &wanted, None) else { return };
    let again = manifest::read(&wired.text).expect("the edited manifest can be read");
    let twice = manifest::wire(&wired.text, &again, &wanted, None).expect("the edited manifest can be edited");
    assert_eq!(twice.text, wired.text, "the second edit changes something");
    let auditing = manifest::read_auditing(&wired.text).expect("the edited manifest audits");
    assert!(auditing.flags.contains_key("audit-policy-file"));
    if let Ok(marked) = mark::mark(&wired.text, &mark::Contents { policy: b"policy", webhook: None }) {
        assert_ne!(marked, wired.text, "the mark is the same");
        let auditing_of_marked = manifest::read_auditing(&marked).expect("the marked manifest audits");
        assert_eq!(auditing_of_marked.flags, auditing.flags);
    }
});
