//! Finds what is legal in a policy but probably a mistake: rules that no request reaches, and words that no request
//! has.

use super::super::version::Version;
use super::evaluate::{Request, Target, contains, group_matches, resource_matches, url_matches};
use super::read::parse;
use super::{GroupResources, Level, Policy, Rule, Scope, Stage, Word};
use crate::yaml::fields::{Decoder, Finding, brief, likely};

/// The verbs of requests for resources. Source: `NewRequestInfo` of `k8s.io/apiserver/pkg/endpoints/request`.
pub(super) const RESOURCE_VERBS: [&str; 9] =
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "proxy"];

/// The verbs of all other requests: the HTTP method in lower case.
pub(super) const URL_VERBS: [&str; 9] =
    ["get", "head", "post", "put", "patch", "delete", "options", "trace", "connect"];

/// The built-in API groups with their resources, of Kubernetes 1.26 and later. The API server's own groups come
/// first, so that `pods` means the core group, not the metrics server.
const GROUPS: [(&str, &[&str]); 25] = [
    (
        "",
        &[
            "bindings",
            "componentstatuses",
            "configmaps",
            "endpoints",
            "events",
            "limitranges",
            "namespaces",
            "nodes",
            "persistentvolumeclaims",
            "persistentvolumes",
            "pods",
            "podtemplates",
            "replicationcontrollers",
            "resourcequotas",
            "secrets",
            "serviceaccounts",
            "services",
        ],
    ),
    (
        "admissionregistration.k8s.io",
        &[
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "validatingwebhookconfigurations",
        ],
    ),
    ("apiextensions.k8s.io", &["customresourcedefinitions"]),
    ("apiregistration.k8s.io", &["apiservices"]),
    ("apps", &["controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets"]),
    ("authentication.k8s.io", &["selfsubjectreviews", "tokenreviews"]),
    (
        "authorization.k8s.io",
        &[
            "localsubjectaccessreviews",
            "selfsubjectaccessreviews",
            "selfsubjectrulesreviews",
            "subjectaccessreviews",
        ],
    ),
    ("autoscaling", &["horizontalpodautoscalers"]),
    ("batch", &["cronjobs", "jobs"]),
    ("certificates.k8s.io", &["certificatesigningrequests", "clustertrustbundles", "podcertificaterequests"]),
    ("coordination.k8s.io", &["leasecandidates", "leases"]),
    ("discovery.k8s.io", &["endpointslices"]),
    ("events.k8s.io", &["events"]),
    // Its last resource was removed in 1.22.
    ("extensions", &[]),
    ("flowcontrol.apiserver.k8s.io", &["flowschemas", "prioritylevelconfigurations"]),
    ("internal.apiserver.k8s.io", &["storageversions"]),
    (
        "networking.k8s.io",
        &["clustercidrs", "ingressclasses", "ingresses", "ipaddresses", "networkpolicies", "servicecidrs"],
    ),
    ("node.k8s.io", &["runtimeclasses"]),
    ("policy", &["poddisruptionbudgets"]),
    ("rbac.authorization.k8s.io", &["clusterrolebindings", "clusterroles", "rolebindings", "roles"]),
    (
        "resource.k8s.io",
        &["deviceclasses", "devicetaintrules", "resourceclaims", "resourceclaimtemplates", "resourceslices"],
    ),
    ("scheduling.k8s.io", &["priorityclasses", "workloads"]),
    (
        "storage.k8s.io",
        &[
            "csidrivers",
            "csinodes",
            "csistoragecapacities",
            "storageclasses",
            "volumeattachments",
            "volumeattributesclasses",
        ],
    ),
    ("storagemigration.k8s.io", &["storageversionmigrations"]),
    ("metrics.k8s.io", &["nodes", "pods"]),
];

/// kubectl's short names.
const SHORT_NAMES: [(&str, &str); 28] = [
    ("cj", "cronjobs"),
    ("cm", "configmaps"),
    ("crd", "customresourcedefinitions"),
    ("crds", "customresourcedefinitions"),
    ("cs", "componentstatuses"),
    ("csr", "certificatesigningrequests"),
    ("deploy", "deployments"),
    ("ds", "daemonsets"),
    ("ep", "endpoints"),
    ("ev", "events"),
    ("hpa", "horizontalpodautoscalers"),
    ("ing", "ingresses"),
    ("limits", "limitranges"),
    ("netpol", "networkpolicies"),
    ("no", "nodes"),
    ("ns", "namespaces"),
    ("pc", "priorityclasses"),
    ("pdb", "poddisruptionbudgets"),
    ("po", "pods"),
    ("pv", "persistentvolumes"),
    ("pvc", "persistentvolumeclaims"),
    ("quota", "resourcequotas"),
    ("rc", "replicationcontrollers"),
    ("rs", "replicasets"),
    ("sa", "serviceaccounts"),
    ("sc", "storageclasses"),
    ("sts", "statefulsets"),
    ("svc", "services"),
];

/// Checks the text of a policy file for an API server of that version. Returns all findings, in the order of the
/// file. An error means that the file must not be used. A warning means that it is legal, but probably a mistake.
/// Without a version, the policy must be right for every supported version.
pub fn check(text: &str, version: Option<Version>) -> Vec<Finding> {
    let (policy, findings) = parse(text, version);
    let mut decoder = Decoder::default();
    decoder.findings = findings;
    if let Some(policy) = policy {
        lint(&policy, &mut decoder);
        decoder.findings.sort_by_key(|finding| finding.position);
    }
    decoder.findings
}

/// Adds the warnings about a valid policy to `out`.
fn lint(policy: &Policy, out: &mut Decoder) {
    unreachable_rules(policy, out);
    for (i, rule) in policy.rules.iter().enumerate() {
        for verb in &rule.verbs {
            if let Some(advice) = verb_advice(&verb.text, rule.scope()) {
                out.warning(
                    verb.position,
                    format!("rules[{i}].verbs: no request has {}; {advice}", brief(&verb.text)),
                );
            }
        }
        no_wildcard(&rule.users, &format!("rules[{i}].users"), out);
        no_wildcard(&rule.user_groups, &format!("rules[{i}].userGroups"), out);
        no_wildcard(&rule.namespaces, &format!("rules[{i}].namespaces"), out);
        for (j, entry) in rule.resources.iter().enumerate() {
            let path = format!("rules[{i}].resources[{j}]");
            if let Some(advice) = group_advice(&entry.group) {
                out.warning(
                    entry.position,
                    format!("{path}.group: no request has {}; {advice}", brief(&entry.group)),
                );
            }
            for resource in &entry.resources {
                if let Some(advice) = resource_advice(&entry.group, &resource.text) {
                    out.warning(resource.position, format!("{path}.resources: {advice}"));
                }
            }
            no_wildcard(&entry.resource_names, &format!("{path}.resourceNames"), out);
        }
    }
}

/// Warnings about a request for `policy explain`: a verb or a resource that no request has.
pub fn doubts(request: &Request) -> Vec<String> {
    let mut doubts = Vec::new();
    let scope = match &request.target {
        Target::Resource { .. } => Scope::Resources,
        Target::Url(_) => Scope::NonResourceUrls,
    };
    if let Some(advice) = verb_advice(&request.verb, scope) {
        doubts.push(format!("no request has the verb {}; {advice}", brief(&request.verb)));
    }
    if let Target::Resource { group, resource, .. } = &request.target
        && builtin_resources(group).is_some_and(|known| !known.contains(&resource.as_str()))
        && let Some((home, plural)) = builtin(group, &resource.to_ascii_lowercase())
    {
        doubts.push(format!(
            "there are no {} in group {group:?}; did you mean {plural} in group {home:?}?",
            brief(resource)
        ));
    }
    doubts
}

/// Warns about rules that no request reaches, and about a policy that records nothing.
fn unreachable_rules(policy: &Policy, out: &mut Decoder) {
    let rules = &policy.rules;
    let catch_all = rules.iter().position(|rule| {
        rule.scope() == Scope::Everything
            && [&rule.users, &rule.user_groups, &rule.verbs].into_iter().all(|list| list.is_empty())
    });
    let end = catch_all.map_or(rules.len(), |at| at + 1);
    if let Some(at) = catch_all
        && end < rules.len()
    {
        let message = "matches every request, and the first match decides: no later rule is ever used; move it to \
                       the end, or remove the rules after it";
        out.warning(rules[at].position, format!("rules[{at}] {message}"));
    }
    let mut records = false;
    for (i, rule) in rules[..end].iter().enumerate() {
        match rules[..i].iter().position(|earlier| covers(earlier, rule)) {
            Some(at) => out.warning(
                rule.position,
                format!(
                    "rules[{i}] is never used: rules[{at}] ({}) comes first and matches every request that it matches; \
                      move it up, or remove it",
                    rules[at].position
                ),
            ),
            None => records |= is_recorded(policy, rule),
        }
    }
    if let Some(first) = rules.first()
        && !records
    {
        let message = "this policy records nothing: each rule that is used has level None or omits every stage; \
             set a level such as Metadata, or omit fewer stages";
        out.warning(first.position, message);
    }
}

/// Whether at least one event is recorded for a request that the rule matches.
fn is_recorded(policy: &Policy, rule: &Rule) -> bool {
    let stages = [Stage::RequestReceived, Stage::ResponseStarted, Stage::ResponseComplete, Stage::Panic];
    let omitted = |stage| policy.omit_stages.contains(stage) || rule.omit_stages.contains(stage);
    rule.level != Level::None && !stages.iter().all(omitted)
}

/// Whether `earlier` matches every request that `later` matches: [`super::evaluate::mismatch`] for sets of requests.
/// False if in doubt.
fn covers(earlier: &Rule, later: &Rule) -> bool {
    // A request matches if one of its groups is in the list, so a shorter list is covered by a longer one, too.
    list_covers(&earlier.users, &later.users)
        && list_covers(&earlier.user_groups, &later.user_groups)
        && list_covers(&earlier.verbs, &later.verbs)
        && match (earlier.scope(), later.scope()) {
            (Scope::Everything, _) => true,
            (Scope::Resources, Scope::Resources) => {
                list_covers(&earlier.namespaces, &later.namespaces)
                    && resources_cover(&earlier.resources, &later.resources)
            }
            (Scope::NonResourceUrls, Scope::NonResourceUrls) => later
                .non_resource_urls
                .iter()
                .all(|url| earlier.non_resource_urls.iter().any(|earlier| url_matches(&earlier.text, &url.text))),
            _ => false,
        }
}

fn list_covers(earlier: &[Word], later: &[Word]) -> bool {
    earlier.is_empty() || (!later.is_empty() && later.iter().all(|word| contains(earlier, &word.text)))
}

fn resources_cover(earlier: &[GroupResources], later: &[GroupResources]) -> bool {
    if earlier.is_empty() {
        return true;
    }
    if later.is_empty() {
        return earlier.iter().any(|entry| entry.group == "*" && covers_resource(entry, "*", None));
    }
    later.iter().all(|entry| {
        let covered = |resource, name| {
            let in_group = |earlier: &&GroupResources| group_matches(&earlier.group, &entry.group);
            earlier.iter().filter(in_group).any(|earlier| covers_resource(earlier, resource, name))
        };
        if entry.resources.is_empty() {
            return covered("*", None);
        }
        entry.resources.iter().all(|resource| {
            let names = &entry.resource_names;
            // Different names may be covered by different entries.
            covered(&resource.text, None)
                || (!names.is_empty() && names.iter().all(|name| covered(&resource.text, Some(&name.text))))
        })
    })
}

/// Whether an entry matches everything that a resource pattern matches: under one name, or under any (`None`).
fn covers_resource(entry: &GroupResources, pattern: &str, name: Option<&str>) -> bool {
    if entry.resources.is_empty() {
        return true;
    }
    let named = entry.resource_names.is_empty() || name.is_some_and(|name| contains(&entry.resource_names, name));
    named && entry.resources.iter().any(|resource| pattern_covers(&resource.text, pattern))
}

/// Whether the earlier pattern matches everything that the later one matches. The star of a later `res/*` or `*/sub`
/// counts as a name: only the same pattern covers it, or one that matches every name.
fn pattern_covers(earlier: &str, later: &str) -> bool {
    let (resource, subresource) = later.split_once('/').unwrap_or((later, ""));
    // To the API server, no star in `*/*` is a wildcard.
    earlier == later || (earlier != "*/*" && resource_matches(earlier, resource, subresource))
}

fn no_wildcard(words: &[Word], path: &str, out: &mut Decoder) {
    for word in words.iter().filter(|word| word.text.contains('*')) {
        let message = "this field has no wildcards; write the full names, or remove the field to match all";
        out.warning(word.position, format!("{path}: {} matches only itself: {message}", brief(&word.text)));
    }
}

/// What to write instead of a verb that no request of that kind has; `None` if the verb is right.
fn verb_advice(verb: &str, scope: Scope) -> Option<String> {
    let known: Vec<&str> = match scope {
        Scope::Resources => RESOURCE_VERBS.to_vec(),
        Scope::NonResourceUrls => URL_VERBS.to_vec(),
        Scope::Everything => {
            let urls = URL_VERBS.into_iter().filter(|verb| !RESOURCE_VERBS.contains(verb));
            RESOURCE_VERBS.into_iter().chain(urls).collect()
        }
    };
    if known.contains(&verb) {
        return None;
    }
    let lower = verb.to_ascii_lowercase();
    let on_urls = scope == Scope::NonResourceUrls;
    Some(match lower.as_str() {
        _ if verb.contains('*') => "verbs have no wildcards: remove verbs to match every verb".to_owned(),
        _ if known.contains(&lower.as_str()) => format!("verbs are in lower case: write {lower}"),
        "post" => "for resources, write create".to_owned(),
        "put" => "for resources, write update".to_owned(),
        "head" => "for resources, write get".to_owned(),
        // Resources have these verbs, so only a rule about URLs comes here.
        "list" | "watch" => "for URLs, write get".to_owned(),
        "create" => "for URLs, write post".to_owned(),
        "update" => "for URLs, write put".to_owned(),
        "deletecollection" => "for URLs, write delete".to_owned(),
        "read" | "view" if on_urls => "write get and head".to_owned(),
        "read" | "view" => "write get, list and watch".to_owned(),
        "write" | "edit" | "modify" if on_urls => "write post, put, patch and delete".to_owned(),
        "write" | "edit" | "modify" => "write create, update, patch, delete and deletecollection".to_owned(),
        "remove" => "write delete".to_owned(),
        "connect" | "exec" | "attach" | "portforward" => {
            "write get and create, with the resource pods/exec, pods/attach or pods/portforward".to_owned()
        }
        "impersonate" | "bind" | "escalate" | "use" | "approve" | "sign" | "attest" => {
            "only RBAC uses it; write the verb of the request itself, such as get or create".to_owned()
        }
        _ => match likely(&lower, &known) {
            Some(likely) => format!("did you mean {likely}?"),
            None => format!("the known verbs are {}", known.join(", ")),
        },
    })
}

pub(super) fn builtin_resources(group: &str) -> Option<&'static [&'static str]> {
    GROUPS.iter().find(|(name, _)| *name == group).map(|(_, resources)| *resources)
}

/// What to write instead of a group that can't exist: one without a dot that is not built in. The group of a custom
/// resource must have a dot (`k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation`).
fn group_advice(group: &str) -> Option<String> {
    if group == "*" || group.contains('.') || builtin_resources(group).is_some() {
        return None;
    }
    let names: Vec<&str> = GROUPS.iter().map(|(name, _)| *name).filter(|name| !name.is_empty()).collect();
    let short = format!("{group}.");
    Some(match names.iter().find(|name| name.starts_with(&short)).copied().or_else(|| likely(group, &names)) {
        _ if matches!(group, "core" | "v1") => "for the core group, write \"\"".to_owned(),
        Some(likely) => format!("did you mean {likely}?"),
        None => "write a built-in group, or one with a dot in its name".to_owned(),
    })
}

/// What to write instead of a resource that no request has; `None` if the resource is right.
fn resource_advice(group: &str, word: &str) -> Option<String> {
    let found = brief(word);
    let (resource, subresource) = match word.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource)),
        None => (word, None),
    };
    let builtin = builtin(group, &resource.to_ascii_lowercase());
    let instead = builtin.map(|(home, plural)| {
        let suffix = subresource.map(|name| format!("/{}", name.to_ascii_lowercase())).unwrap_or_default();
        let elsewhere = if home == group || group == "*" { String::new() } else { format!(" in group {home:?}") };
        format!("\"{plural}{suffix}\"{elsewhere}")
    });
    if word.contains(|c: char| c.is_ascii_uppercase()) {
        let instead = instead.unwrap_or_else(|| "its plural in lower case".to_owned());
        return Some(format!(
            "{found} is a kind, or has capital letters; requests have the name of the resource: write {instead}"
        ));
    }
    if subresource.is_some_and(|name| name.is_empty() || name.contains('/')) || resource.is_empty() {
        return Some(format!("{found} matches nothing; write a resource, or resource/subresource"));
    }
    let starred = |part: &str| part != "*" && part.contains('*');
    if starred(resource) || subresource.is_some_and(starred) || word == "*/*" {
        let forms = "\"*\" (everything), \"pods/*\" or \"*/status\"";
        return Some(format!("{found} matches nothing; write a wildcard as one of {forms}"));
    }
    if let Some((name, rest)) = resource.split_once('.') {
        return Some(format!("{found} matches nothing; write {name:?}, and group: {rest:?}"));
    }
    if resource == "*" {
        return None;
    }
    let known = match group {
        "*" => GROUPS.iter().flat_map(|(_, resources)| resources.iter().copied()).collect(),
        // The resources of a custom group are not known here.
        _ => builtin_resources(group)?.to_vec(),
    };
    match (builtin, instead) {
        _ if known.contains(&resource) => None,
        (Some((home, plural)), _) if plural == resource => {
            Some(format!("{found} is in group {home:?}, not in {group:?}; give it its own entry with that group"))
        }
        (_, Some(instead)) => Some(format!("{found} matches nothing; requests have the plural: write {instead}")),
        _ if group == "*" => None,
        _ => likely(resource, &known)
            .map(|likely| format!("{found} is not in group {group:?}; did you mean {likely:?}?")),
    }
}

/// The built-in resource that a plural, a singular or a short name means, and its group: the given group if that has
/// such a resource, or else the first group that has one.
fn builtin(group: &str, word: &str) -> Option<(&'static str, &'static str)> {
    let full = SHORT_NAMES.iter().find(|(short, _)| *short == word).map(|(_, plural)| *plural);
    let all = || GROUPS.iter().flat_map(|(group, resources)| resources.iter().map(move |name| (*group, *name)));
    let means = |name: &str| name == word || singular(name) == word || full == Some(name);
    all().find(|(home, name)| *home == group && means(name)).or_else(|| all().find(|(_, name)| means(name)))
}

/// The singular of a built-in resource's name.
fn singular(plural: &str) -> String {
    if let Some(stem) = plural.strip_suffix("ies") {
        return format!("{stem}y");
    }
    let ending = if plural.ends_with("sses") || plural.ends_with("uses") { "es" } else { "s" };
    plural.strip_suffix(ending).unwrap_or(plural).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::super::version::Version;
    use super::check;
    use super::{Request, Target, doubts};

    /// The warnings for a policy with these rules, each the text of a flow mapping. A rule without a level gets
    /// Metadata.
    fn warnings(rules: &[&str]) -> Vec<String> {
        let mut text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n".to_owned();
        for rule in rules {
            let level = if rule.contains("level:") { "" } else { "level: Metadata, " };
            text += &format!("- {{{level}{rule}}}\n");
        }
        let findings: Vec<_> =
            check(&text, Some(Version::new(36))).iter().map(|found| found.to_string()).collect();
        assert!(findings.iter().all(|found| found.contains(": warning: ")), "{findings:?}");
        findings
    }

    #[track_caller]
    fn assert_warns(rules: &[&str], expected: &str) {
        let found = warnings(rules);
        match expected {
            "" => assert!(found.is_empty(), "{rules:?}\n{found:?}"),
            _ => assert!(found.len() == 1 && found[0].contains(expected), "{rules:?}\n{found:?}\nnot: {expected}"),
        }
    }

    #[test]
    fn a_rule_is_hidden_by_an_earlier_one_that_matches_all_of_its_requests() {
        let pods = "resources: [{resources: [pods]}]";
        for (earlier, later, hidden) in [
            ("users: [a, b]", "users: [b]", true),
            ("users: [a]", "users: [a, b]", false),
            ("users: [a]", "verbs: [get]", false),
            ("users: [a]", "users: [a], verbs: [get]", true),
            ("users: [a], verbs: [get]", "users: [a]", false),
            ("userGroups: [g, h]", "userGroups: [h]", true),
            ("userGroups: [g]", "userGroups: [g, h]", false),
            ("verbs: [get, list]", "verbs: [get], nonResourceURLs: [/x]", true),
            ("namespaces: [a, \"\"]", "namespaces: [\"\"], resources: [{group: apps}]", true),
            ("namespaces: [a]", "namespaces: [\"\"]", false),
            ("namespaces: [a]", pods, false),
            (pods, "namespaces: [a]", false),
            (pods, "nonResourceURLs: [/api]", false),
            ("nonResourceURLs: [\"*\"]", pods, false),
            (pods, "users: [a]", false),
            ("nonResourceURLs: [/api*]", "nonResourceURLs: [/api, /apis/*]", true),
            ("nonResourceURLs: [/api/*]", "nonResourceURLs: [/api*]", false),
            ("nonResourceURLs: [/api]", "nonResourceURLs: [/api*]", false),
            ("nonResourceURLs: [/*]", "nonResourceURLs: [\"*\"]", false),
            ("nonResourceURLs: [\"*\"]", "nonResourceURLs: [/*]", true),
            ("nonResourceURLs: [/a, /b]", "nonResourceURLs: [/b, /c]", false),
        ] {
            let expected =
                if hidden { "5:3: warning: rules[1] is never used: rules[0] (4:3) comes first" } else { "" };
            assert_warns(&[earlier, later], expected);
        }
    }

    #[test]
    fn resources_hide_resources() {
        for (earlier, later, hidden) in [
            ("{resources: [pods, secrets]}", "{resources: [secrets]}", true),
            ("{resources: [pods]}", "{resources: [pods/log]}", false),
            ("{resources: [pods]}", "{}", false),
            ("{}", "{resources: [pods, pods/log]}", true),
            ("{}", "{group: apps}", false),
            ("{resources: [\"*\"]}", "{}", true),
            ("{resources: [\"*\"]}", "{resources: [pods/exec]}", true),
            ("{resources: [pods/*]}", "{resources: [pods, pods/log, pods/*]}", true),
            ("{resources: [pods/*]}", "{resources: [secrets]}", false),
            ("{resources: [pods/*]}", "{resources: [\"*\"]}", false),
            ("{resources: [pods/*]}", "{resources: [\"*/log\"]}", false),
            ("{resources: [\"*/status\"]}", "{resources: [pods/status]}", true),
            ("{resources: [\"*/status\"]}", "{resources: [pods/log]}", false),
            ("{resources: [\"*/status\"]}", "{resources: [pods]}", false),
            ("{resources: [\"*/status\"]}", "{resources: [pods/*]}", false),
            ("{group: \"*\", resources: [pods]}", "{resources: [pods]}", true),
            ("{resources: [pods]}", "{group: \"*\", resources: [pods]}", false),
            ("{group: apps}, {group: batch}", "{group: batch}, {group: apps}", true),
            ("{group: apps}", "{group: batch}, {group: apps}", false),
            ("{resources: [pods], resourceNames: [a, b]}", "{resources: [pods], resourceNames: [b]}", true),
            ("{resources: [pods], resourceNames: [a]}", "{resources: [pods], resourceNames: [a, b]}", false),
            ("{resources: [pods], resourceNames: [a]}", "{resources: [pods]}", false),
            ("{resources: [pods]}", "{resources: [pods], resourceNames: [a]}", true),
            (
                "{resources: [pods], resourceNames: [a]}, {resources: [pods], resourceNames: [b]}",
                "{resources: [pods], resourceNames: [a, b]}",
                true,
            ),
        ] {
            let rules = [format!("resources: [{earlier}]"), format!("resources: [{later}]")];
            assert_warns(&[&rules[0], &rules[1]], if hidden { "rules[1] is never used" } else { "" });
        }
        assert_warns(&["resources: [{group: \"*\"}]", "namespaces: [a]"], "rules[1] is never used");
        assert_warns(&["resources: [{group: \"*\", resources: [pods]}]", "namespaces: [a]"], "");
    }

    #[test]
    fn two_stars_are_no_wildcard() {
        for rules in [["\"*/*\"", "pods/*"], ["\"*/*\"", "pods/log"], ["\"*/*\"", "\"*/log\""]] {
            let rules = rules.map(|resource| format!("resources: [{{resources: [{resource}]}}]"));
            assert_warns(&[&rules[0], &rules[1]], "\"*/*\" matches nothing");
        }
    }

    #[test]
    fn a_rule_for_everything_ends_the_policy() {
        assert_warns(&["users: [a]", "level: Metadata"], "");
        assert_warns(
            &["users: [a]", "level: Metadata", "verbs: [get]", "users: [b]"],
            "5:3: warning: rules[1] matches every",
        );
    }

    #[test]
    fn a_policy_that_records_nothing_is_told() {
        let nothing = "4:3: warning: this policy records nothing";
        assert_warns(&["level: None, users: [a]", "level: None"], nothing);
        assert_warns(&["omitStages: [RequestReceived, ResponseStarted, ResponseComplete, Panic]"], nothing);
        assert_warns(&["omitStages: [RequestReceived, ResponseStarted, Panic]"], "");
        assert_warns(&["level: None, users: [a]", "users: [b]"], "");
        assert_eq!(warnings(&["level: None", "level: Metadata"]).len(), 2, "the only rule that records is hidden");
    }

    #[test]
    fn verbs_are_those_that_requests_carry() {
        let (pods, url) = ("resources: [{resources: [pods]}]", "nonResourceURLs: [/version]");
        for (verb, others, expected) in [
            ("get, list, watch, create, update, patch, delete, deletecollection, proxy", pods, ""),
            ("get, head, post, put, patch, delete, options", url, ""),
            ("get, list, post", "users: [a]", ""),
            (
                "\"*\"",
                pods,
                "4:29: warning: rules[0].verbs: no request has \"*\"; verbs have no wildcards: remove verbs",
            ),
            ("Get", pods, "verbs are in lower case: write get"),
            ("post", pods, "for resources, write create"),
            ("put", pods, "for resources, write update"),
            ("head", pods, "for resources, write get"),
            ("list", url, "for URLs, write get"),
            ("watch", url, "for URLs, write get"),
            ("create", url, "for URLs, write post"),
            ("update", url, "for URLs, write put"),
            ("deletecollection", url, "for URLs, write delete"),
            ("read", url, "write get and head"),
            ("read", pods, "write get, list and watch"),
            ("modify", url, "write post, put, patch and delete"),
            ("remove", pods, "write delete"),
            ("write", "users: [a]", "write create, update, patch, delete and deletecollection"),
            ("connect", pods, "write get and create, with the resource pods/exec"),
            ("impersonate", "users: [a]", "only RBAC uses it"),
            ("delete-collection", pods, "did you mean deletecollection?"),
            ("frobnicate", url, "the known verbs are get, head, post"),
        ] {
            assert_warns(&[&format!("verbs: [{verb}], {others}")], expected);
        }
    }

    #[test]
    fn resources_are_those_that_requests_name() {
        for (entry, expected) in [
            ("resources: [pods, pods/exec, pods/*, \"*/status\", \"*\", services/proxy]", ""),
            ("group: cert-manager.io, resources: [certificates, pod, deploy, secrets]", ""),
            ("group: metrics.k8s.io, resources: [pods, nodes]", ""),
            ("group: events.k8s.io, resources: [events]", ""),
            ("group: extensions", ""),
            ("group: apps, resources: [somethingnew]", ""),
            ("group: \"*\", resources: [deployments, pots]", ""),
            ("resources: [Pod]", "4:46: warning: rules[0].resources[0].resources: \"Pod\" is a kind"),
            ("resources: [Pod]", "write \"pods\""),
            ("resources: [Deployment]", "write \"deployments\" in group \"apps\""),
            ("group: apps, resources: [Deployment/Scale]", "write \"deployments/scale\""),
            ("group: example.com, resources: [Widget]", "write its plural in lower case"),
            ("resources: [secret]", "\"secret\" matches nothing; requests have the plural: write \"secrets\""),
            ("resources: [endpoint]", "write \"endpoints\""),
            ("group: networking.k8s.io, resources: [networkpolicy]", "write \"networkpolicies\""),
            ("group: networking.k8s.io, resources: [ingress]", "write \"ingresses\""),
            ("group: storage.k8s.io, resources: [storageclass]", "write \"storageclasses\""),
            ("group: coordination.k8s.io, resources: [lease]", "write \"leases\""),
            ("group: \"*\", resources: [deployment]", "write \"deployments\""),
            ("group: metrics.k8s.io, resources: [pod]", "write \"pods\""),
            ("resources: [pod/exec]", "write \"pods/exec\""),
            ("resources: [cm]", "write \"configmaps\""),
            ("group: apps, resources: [deploy]", "write \"deployments\""),
            ("resources: [deployments]", "\"deployments\" is in group \"apps\", not in \"\""),
            ("group: apps, resources: [pods]", "\"pods\" is in group \"\", not in \"apps\""),
            (
                "group: extensions, resources: [ingresses]",
                "is in group \"networking.k8s.io\", not in \"extensions\"",
            ),
            (
                "group: authentication.k8s.io, resources: [serviceaccounts/token]",
                "\"serviceaccounts/token\" is in group \"\"",
            ),
            ("resources: [secrest]", "did you mean \"secrets\"?"),
            ("resources: [deployments.apps]", "write \"deployments\", and group: \"apps\""),
            ("resources: [pods/]", "\"pods/\" matches nothing; write a resource, or resource/subresource"),
            ("resources: [pods/exec/x]", "write a resource, or resource/subresource"),
            ("resources: [\"pod*\"]", "write a wildcard as one of"),
            ("resources: [\"pods/ex*\"]", "write a wildcard as one of"),
            ("resources: [\"*/*\"]", "write a wildcard as one of"),
        ] {
            assert_warns(&[&format!("resources: [{{{entry}}}]")], expected);
        }
        let same_group = warnings(&["resources: [{group: apps, resources: [deploy]}]"]);
        assert!(same_group[0].ends_with("write \"deployments\""), "{same_group:?}");
    }

    #[test]
    fn groups_are_those_that_exist() {
        for (group, expected) in [
            (
                "core",
                "4:41: warning: rules[0].resources[0].group: no request has \"core\"; for the core group, write \"\"",
            ),
            ("v1", "for the core group, write \"\""),
            ("rbac", "did you mean rbac.authorization.k8s.io?"),
            ("app", "did you mean apps?"),
            ("widgets", "write a built-in group, or one with a dot in its name"),
            ("widgets.example.com", ""),
        ] {
            assert_warns(&[&format!("resources: [{{group: {group}}}]")], expected);
        }
    }

    #[test]
    fn a_request_that_nobody_makes_is_doubted() {
        for (verb, group, resource, expected) in [
            ("get", "", "pods", ""),
            ("get", "apps", "deployments", ""),
            ("get", "example.com", "deploy", ""),
            ("get", "", "somethingnew", ""),
            ("POST", "", "pods", "no request has the verb \"POST\"; for resources, write create"),
            ("get", "", "deployments", "did you mean deployments in group \"apps\"?"),
            ("get", "", "Pod", "there are no \"Pod\" in group \"\"; did you mean pods in group \"\"?"),
        ] {
            let target = Target::Resource {
                group: group.into(),
                resource: resource.into(),
                subresource: String::new(),
                namespace: String::new(),
                name: String::new(),
            };
            let request = Request { user: "a".into(), groups: Vec::new(), verb: verb.into(), target };
            let found = doubts(&request).join("\n");
            assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{resource}: {found}");
        }
        let target = Target::Url("/healthz".into());
        let request = Request { user: "a".into(), groups: Vec::new(), verb: "list".into(), target };
        assert_eq!(doubts(&request), ["no request has the verb \"list\"; for URLs, write get"]);
    }

    #[test]
    fn names_have_no_wildcard() {
        for (fields, expected) in [
            (
                "users: [\"system:serviceaccount:*\"]",
                "4:29: warning: rules[0].users: \"system:serviceaccount:*\" matches only",
            ),
            ("userGroups: [\"*\"]", "rules[0].userGroups: \"*\" matches only itself"),
            ("namespaces: [\"kube-*\"]", "rules[0].namespaces: \"kube-*\" matches only itself"),
            (
                "resources: [{resources: [pods], resourceNames: [\"web-*\"]}]",
                "rules[0].resources[0].resourceNames: \"web-*\" matches only itself",
            ),
            ("users: [\"system:admin\"], namespaces: [\"\"]", ""),
        ] {
            assert_warns(&[fields], expected);
        }
    }
}
