//! Any text as the kubeconfig of an audit webhook: it is read or refused with a reason, and the files that it names are
//! absolute paths. What the files hold is judged, and ends the program neither.

#![no_main]

use kube_audit_bootstrap::audit::kubeconfig;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let read = kubeconfig::read(text, "/etc/audit");
    assert!(read.is_usable() || !read.findings.is_empty(), "refused without a reason");
    for finding in &read.findings {
        assert!(finding.message.contains(' '), "no sentence: {finding:?}");
    }
    for file in &read.files {
        assert!(file.path.starts_with('/'), "relative to nothing: {file:?}");
        assert!(!file.position.to_string().is_empty());
    }
    // Each file is missing, empty, or has what the kubeconfig has.
    for content in [None, Some(""), Some(text)] {
        for finding in read.judge(|_| content.map(str::as_bytes)) {
            assert!(finding.message.contains(' '), "no sentence: {finding:?}");
        }
    }
    assert_eq!(kubeconfig::read(text, "/etc/audit"), read, "the second reading differs");
});
