//! Any text as /proc/PID/mountinfo: it is refused, or each mount covers its own mount point.

#![no_main]

use kube_audit_bootstrap::storage::mounts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(all) = mounts::parse(text) else { return };
    for path in ["/", "/var/log/kubernetes/audit", "", "relative"] {
        mounts::covering(&all, path);
    }
});
