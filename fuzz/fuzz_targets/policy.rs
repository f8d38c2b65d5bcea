//! Any text as an audit policy: it is read or refused with a position, and a policy that was read decides.

#![no_main]

use kube_audit_bootstrap::audit::policy::evaluate::{Request, Target, evaluate};
use kube_audit_bootstrap::audit::policy::{lint, read};
use kube_audit_bootstrap::audit::version::Version;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for version in [None, Some(Version::new(26))] {
        let (policy, findings) = read::parse(text, version);
        assert!(policy.is_some() || !findings.is_empty(), "refused without a reason");
        lint::check(text, version);
        let Some(policy) = policy else { continue };
        let names = |index: usize| text.split_whitespace().nth(index).unwrap_or_default().to_owned();
        for target in [
            Target::Url(names(3)),
            Target::Resource {
                group: names(4),
                resource: names(5),
                subresource: names(6),
                namespace: names(7),
                name: names(8),
            },
        ] {
            let request = Request { user: names(1), groups: vec![names(2)], verb: names(0), target };
            let decision = evaluate(&policy, &request);
            assert!(decision.rule.is_none_or(|rule| rule < policy.rules.len()));
        }
    }
});
