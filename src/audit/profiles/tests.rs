use super::*;
use crate::audit::policy::evaluate::{Request, Target, evaluate, groups_of};
use crate::audit::policy::floor::lost;
use crate::audit::policy::read::parse;
use crate::audit::policy::{Level, Policy, Stage, lint};
use crate::audit::version::Version;

fn policy_of(name: &str) -> Policy {
    parse(named(name).unwrap().text, None).0.unwrap()
}

/// A request: `USER[+GROUP...] VERB RESOURCE[.GROUP][/SUB][@NAMESPACE[:NAME]]`, or a path for the resource. The user `-` is none,
/// as after a login that failed.
fn request(text: &str) -> Request {
    let words: Vec<_> = text.split(' ').collect();
    let [who, verb, what] = words[..] else { panic!("{text}") };
    let mut names = who.split('+').map(str::to_owned);
    let user = names.next().filter(|user| user != "-").unwrap_or_default();
    let groups = if user.is_empty() { Vec::new() } else { groups_of(&user, names.collect()) };
    let target = match what.starts_with('/') {
        true => Target::Url(what.to_owned()),
        false => {
            let (what, place) = what.split_once('@').unwrap_or((what, ""));
            let (namespace, name) = place.split_once(':').unwrap_or((place, ""));
            let (what, subresource) = what.split_once('/').unwrap_or((what, ""));
            let (resource, group) = what.split_once('.').unwrap_or((what, ""));
            let [group, resource, subresource, namespace, name] =
                [group, resource, subresource, namespace, name].map(str::to_owned);
            Target::Resource { group, resource, subresource, namespace, name }
        }
    };
    Request { user, groups, verb: verb.to_owned(), target }
}

#[test]
fn the_default_is_the_guides() {
    assert_eq!(
        (PROFILES[0].name, PROFILES[0].max_age, PROFILES[0].max_backup, PROFILES[0].max_size),
        ("default", 30, 100, 50)
    );
    assert_eq!(PROFILES[0].text, "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n");
    assert_eq!(names(), ["default", "low-noise", "writes", "cis", "stig"]);
    assert!(named("other").is_none() && named("").is_none());
}

#[test]
fn the_linter_has_nothing_to_say_about_a_profile() {
    for profile in &PROFILES {
        for version in (26..38).map(|minor| Some(Version::new(minor))).chain([None]) {
            assert_eq!(lint::check(profile.text, version), [], "{profile} {version:?}");
        }
    }
}

/// What a scanner looks at: the flags maxage, maxbackup and maxsize, and the policy.
type Condition = fn((i64, i64, i64), &Policy) -> bool;

/// The resources that CIS 3.2.2 names.
const NINE: [&str; 9] = [
    "secrets",
    "configmaps",
    "tokenreviews",
    "pods",
    "deployments",
    "pods/exec",
    "pods/portforward",
    "pods/proxy",
    "services/proxy",
];

/// The levels of the rules that name a resource, as scanners of texts look for them: in whatever group.
fn levels(policy: &Policy, resource: &str) -> Vec<Level> {
    let names = |rule: &&crate::audit::policy::Rule| {
        rule.resources.iter().any(|entry| entry.resources.iter().any(|word| word.text == resource))
    };
    policy.rules.iter().filter(names).map(|rule| rule.level).collect()
}

/// Each of the nine is named; the first `exact` at Metadata alone, the others never at None.
fn names_the_nine(policy: &Policy, exact: &[&str]) -> bool {
    NINE.iter().all(|resource| {
        let levels = levels(policy, resource);
        let right = |level: &Level| match exact.contains(resource) {
            true => *level == Level::Metadata,
            false => *level != Level::None,
        };
        !levels.is_empty() && levels.iter().all(right)
    })
}

#[test]
fn scanners_pass_the_profiles_that_are_for_them() {
    const ALL: &str = "default low-noise writes cis stig";
    // The flags that are only looked for are set by every profile: audit-policy-file, audit-log-path.
    let table: &[(&str, Condition, &str)] = &[
        ("kube-bench 1.2.17; checkov CKV_K8S_92; KICS da9f3aa8; V-242464", |(age, ..), _| age >= 30, ALL),
        ("kube-bench 1.2.18; checkov CKV_K8S_93; KICS 768aab52; V-242463", |(_, backup, _), _| backup >= 10, ALL),
        (
            "kube-bench 1.2.19; checkov CKV_K8S_94; KICS 35c0a471; V-242462",
            |(.., size), _| size >= 100,
            "cis stig",
        ),
        ("prowler apiserver_audit_log_maxage_set", |(age, ..), _| age == 30, ALL),
        ("prowler apiserver_audit_log_maxbackup_set", |(_, backup, _), _| backup == 10, "cis stig"),
        ("prowler apiserver_audit_log_maxsize_set", |(.., size), _| size == 100, "cis stig"),
        ("trivy KCV-0020 to KCV-0022", |(age, backup, size), _| age > 0 && backup > 0 && size > 0, ALL),
        ("kubescape C-0161", |_, policy| names_the_nine(policy, &NINE[..3]), "cis"),
        ("KICS 1828a670", |_, policy| names_the_nine(policy, &NINE[..5]), "cis"),
        (
            "V-242403",
            |_, policy| matches!(&policy.rules[..], [rule] if rule.level == Level::RequestResponse),
            "stig",
        ),
    ];
    for (id, condition, expected) in table {
        let passes = PROFILES.iter().filter(|profile| {
            condition((profile.max_age, profile.max_backup, profile.max_size), &policy_of(profile.name))
        });
        assert_eq!(passes.map(|profile| profile.name).collect::<Vec<_>>().join(" "), *expected, "{id}");
    }
    // InSpec compares the list of rules with this one, so that no rule can have another field.
    assert!(named("stig").unwrap().text.ends_with("\nrules:\n- level: RequestResponse\n"));
    // CIS 2.0.1 also names these, and the first rule that names one decides.
    let cis = policy_of("cis");
    for more in ["serviceaccounts/token", "certificatesigningrequests"] {
        assert_eq!(levels(&cis, more), [Level::Metadata], "{more}");
    }
    for what in [
        "secrets@a",
        "tokenreviews.authentication.k8s.io",
        "deployments.apps@a",
        "pods/exec@a",
        "leases.x@a",
        "/x",
    ] {
        assert_eq!(evaluate(&cis, &request(&format!("alice get {what}"))).level, Level::Metadata, "{what}");
    }
}

/// Exec, attach, port-forward and proxies, of everybody.
const STREAMS: [&str; 7] = [
    "alice create pods/exec@a",
    "alice get pods/exec@a",
    "alice create pods/attach@a",
    "system:serviceaccount:kube-system:x create pods/portforward@a",
    "system:apiserver get nodes/proxy",
    "alice get services/proxy@a",
    "alice get pods/proxy@a",
];

/// Requests that low-noise records, and that the floor of every log does not have.
const MORE: [&str; 30] = [
    // Writes by people, by service accounts outside kube-system, and without a login, whatever they write.
    "alice update leases.coordination.k8s.io@kube-system",
    "alice create events@a",
    "alice update endpointslices.discovery.k8s.io@a",
    "kubernetes-admin+system:masters update leases.coordination.k8s.io@kube-system",
    "system:serviceaccount:ops:operator update leases.coordination.k8s.io@ops",
    "system:serviceaccount:ops:operator create events@ops",
    "system:serviceaccount:ops:operator patch widgets.example.com/status@ops",
    "system:anonymous create pods@a",
    "alice post /x",
    // Reviews of tokens, and reads of certificates and of RBAC.
    "system:serviceaccount:kube-system:metrics-server create tokenreviews.authentication.k8s.io",
    "system:apiserver list rolebindings.rbac.authorization.k8s.io",
    "system:node:a+system:nodes get certificatesigningrequests.certificates.k8s.io",
    // Reads of other service accounts, and of other URLs: a rule can't see that they are refused.
    "system:serviceaccount:ops:operator watch pods",
    "alice get /metrics",
    "alice get /healthz/etcd",
    "alice get /api",
    "system:anonymous get /api",
    "system:anonymous get /openapi/v3",
    "alice create subjectaccessreviews.authorization.k8s.io",
    // What no controller needs.
    "system:serviceaccount:kube-system:x patch nodes/status",
    "system:serviceaccount:kube-system:x update leases.coordination.k8s.io@ops",
    "system:serviceaccount:kube-system:x create leases.coordination.k8s.io@kube-system",
    "system:node:a+system:nodes update leases.coordination.k8s.io@ops",
    "system:node:a+system:nodes create nodes/status",
    "system:kube-controller-manager update leases.coordination.k8s.io@kube-system",
    "system:kube-scheduler update leases.coordination.k8s.io@ops",
    "system:apiserver update leases.coordination.k8s.io@ops",
    // A login that failed.
    "- get /healthz",
    "- get /version",
    "- list pods@a",
];

/// Requests that low-noise drops.
const NOISE: [&str; 27] = [
    "system:anonymous get /livez",
    "system:anonymous get /readyz",
    "alice get /healthz",
    "alice get /version",
    "alice get /openapi/v3",
    "alice get /openapi/v3/apis/apps/v1",
    "prometheus+system:monitoring get /metrics",
    "prometheus+system:monitoring get /readyz/etcd",
    "system:apiserver list pods",
    "system:apiserver get services@default",
    "system:apiserver update leases.coordination.k8s.io@kube-system",
    "system:apiserver create events.events.k8s.io@default",
    "system:kube-controller-manager update leases.coordination.k8s.io@kube-system:kube-controller-manager",
    "system:kube-scheduler update leases.coordination.k8s.io@kube-system:kube-scheduler",
    "system:kube-scheduler watch pods",
    "system:kube-scheduler create events.events.k8s.io@a",
    "system:node:a+system:nodes update leases.coordination.k8s.io@kube-node-lease",
    "system:node:a+system:nodes patch nodes/status",
    "system:node:a+system:nodes create events@a",
    "system:node:a+system:nodes watch configmaps@a",
    "system:node:a+system:nodes create subjectaccessreviews.authorization.k8s.io",
    "system:serviceaccount:kube-system:generic-garbage-collector get /apis",
    "system:serviceaccount:kube-system:kube-proxy watch endpointslices.discovery.k8s.io",
    "system:serviceaccount:kube-system:endpointslice-controller update endpointslices.discovery.k8s.io@a",
    "system:serviceaccount:kube-system:endpoint-controller update endpoints@a",
    "system:serviceaccount:kube-system:resourcequota-controller list widgets.example.com",
    "system:serviceaccount:kube-system:deployment-controller patch events@a",
];

#[test]
fn low_noise_drops_the_noise_and_never_the_floor() {
    let policy = policy_of("low-noise");
    for recorded in MORE.iter().chain(&STREAMS) {
        assert_eq!(evaluate(&policy, &request(recorded)).level, Level::Metadata, "{recorded}");
    }
    for noise in NOISE {
        assert_eq!(evaluate(&policy, &request(noise)).level, Level::None, "{noise}");
    }
}

/// An event at RequestReceived is a second event for each request. Only for a stream it tells what nothing else tells, for
/// as long as the stream has not begun.
#[test]
fn low_noise_records_a_stream_from_its_first_moment_and_every_panic() {
    let policy = policy_of("low-noise");
    for stream in STREAMS {
        assert_eq!(evaluate(&policy, &request(stream)).omit_stages, [], "{stream}");
    }
    for other in MORE {
        assert_eq!(evaluate(&policy, &request(other)).omit_stages, [Stage::RequestReceived], "{other}");
    }
}

#[test]
fn writes_has_the_bodies_of_writes_and_of_nothing_with_credentials() {
    let policy = policy_of("writes");
    for (asked, level) in [
        ("alice create pods@a", Level::Request),
        ("alice patch deployments.apps@a", Level::Request),
        ("alice delete deployments.apps@a", Level::Request),
        ("alice deletecollection pods@a", Level::Request),
        ("system:serviceaccount:ops:operator update widgets.example.com@a", Level::Request),
        ("alice create rolebindings.rbac.authorization.k8s.io@a", Level::Request),
        ("alice create certificatesigningrequests.certificates.k8s.io", Level::Request),
        ("alice get pods@a", Level::Metadata),
        ("alice list secrets@a", Level::Metadata),
        ("alice create secrets@a", Level::Metadata),
        ("alice patch configmaps@a", Level::Metadata),
        ("alice create serviceaccounts/token@a", Level::Metadata),
        ("alice create tokenreviews.authentication.k8s.io", Level::Metadata),
        ("alice update leases.coordination.k8s.io@a", Level::Metadata),
        ("alice create events@a", Level::Metadata),
        ("alice create events.events.k8s.io@a", Level::Metadata),
        ("alice get /x", Level::Metadata),
    ] {
        let decision = evaluate(&policy, &request(asked));
        assert_eq!((decision.level, decision.omit_managed_fields), (level, true), "{asked}");
        assert_eq!(decision.omit_stages, [Stage::RequestReceived], "{asked}");
    }
}

/// No profile loses anything of the floor.
#[test]
fn every_profile_has_the_floor() {
    for profile in &PROFILES {
        let losses = lost(&policy_of(profile.name));
        assert!(losses.is_empty(), "{profile}: {losses:?}");
    }
}

/// The profiles that are not about noise record every request.
#[test]
fn only_low_noise_drops_requests() {
    for profile in PROFILES.iter().filter(|profile| profile.name != "low-noise") {
        let policy = policy_of(profile.name);
        for asked in MORE.iter().chain(&STREAMS).chain(&NOISE) {
            assert_ne!(evaluate(&policy, &request(asked)).level, Level::None, "{profile}: {asked}");
        }
    }
}
