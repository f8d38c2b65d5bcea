//! Any words as the API server's audit flags: each is judged, none ends the program.

#![no_main]

use kube_audit_bootstrap::audit::flags::{self, Flags};
use kube_audit_bootstrap::audit::version::Version;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let words: Flags = text
        .lines()
        .map(|line| line.split_once('=').unwrap_or((line, "true")))
        .map(|(name, value)| (flags::normal(name), value.to_owned()))
        .collect();
    for version in [None, Some(Version::new(19)), Some(Version::new(37))] {
        for fault in flags::faults(&words, version) {
            assert!(fault.to_string().contains(' '), "{fault}");
        }
    }
    flags::is_busy(&words);
    for (name, value) in &words {
        assert!(flags::is_equivalent(name, value, value), "{name}={value} differs from itself");
        flags::integer(value);
    }
});
