//! The words that requests have: verbs, API groups and resources; and what to write instead of another word.

use super::Scope;
use super::evaluate::{Request, Target};
use super::identity::account_fault;
use crate::yaml::fields::{brief, likely};

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

/// API groups that no supported Kubernetes has.
const GONE_GROUPS: [(&str, &str); 3] = [
    ("auditregistration.k8s.io", "Kubernetes 1.19 removed it"),
    ("extensions", "Kubernetes 1.22 removed its last resource"),
    ("settings.k8s.io", "Kubernetes 1.20 removed it"),
];

/// Why no request of a supported Kubernetes has this API group any more; `None` if one can have it.
pub fn gone_group(group: &str) -> Option<&'static str> {
    GONE_GROUPS.iter().find(|(gone, _)| *gone == group).map(|(_, why)| *why)
}

/// Words of kubectl, and plurals, for subresources.
const SUBRESOURCES: [(&str, &str); 9] = [
    ("approve", "approval"),
    ("attaches", "attach"),
    ("evict", "eviction"),
    ("execs", "exec"),
    ("logs", "log"),
    ("port-forward", "portforward"),
    ("portforwards", "portforward"),
    ("statuses", "status"),
    ("tokens", "token"),
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

/// Why no request can have this user, or this verb for resources or for paths: the field that is wrong, and what to write
/// there; `None` if one can.
pub fn refusal(user: &str, verb: &str, scope: Scope) -> Option<(&'static str, String)> {
    let found = brief(verb);
    if verb.is_empty() {
        return Some(("verb", format!("{found}: the verb is empty; write one such as get")));
    }
    if verb.contains(|c: char| c.is_ascii_uppercase()) {
        let lower = verb.to_ascii_lowercase();
        let advice = verb_advice(&lower, scope).unwrap_or_else(|| format!("write {lower}"));
        return Some(("verb", format!("{found}: verbs are in lower case; {advice}")));
    }
    account_fault(user).map(|account| ("user", format!("{} {account}", brief(user))))
}

/// Warnings about a request: a verb or a resource that no request has.
pub fn doubts(request: &Request) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Some(advice) = verb_advice(&request.verb, request.target.scope()) {
        doubts.push(format!("no request has the verb {}; {advice}", brief(&request.verb)));
    }
    let Target::Resource { group, resource, subresource, .. } = &request.target else { return doubts };
    if let Some((name, rest)) = resource.split_once('.') {
        doubts.push(format!(
            "no resource has a dot in its name, as in {}; did you mean {name} in group {rest:?}?",
            brief(resource)
        ));
    }
    if let Some((_, right)) = SUBRESOURCES.iter().find(|(word, _)| word == subresource) {
        doubts.push(format!("there is no subresource {}; did you mean {right}?", brief(subresource)));
    }
    if builtin_resources(group).is_some_and(|known| !known.contains(&resource.as_str()))
        && let Some((home, plural)) = builtin(group, &resource.to_ascii_lowercase())
    {
        doubts.push(format!(
            "there are no {} in group {group:?}; did you mean {plural} in group {home:?}?",
            brief(resource)
        ));
    } else if resource.contains(|c: char| c.is_ascii_uppercase()) {
        let found = brief(resource);
        doubts.push(format!("{found} is a kind, or has capital letters; requests have the plural in lower case"));
    }
    doubts
}

/// What to write instead of a verb that no request of that kind has; `None` if the verb is right.
pub fn verb_advice(verb: &str, scope: Scope) -> Option<String> {
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
pub fn group_advice(group: &str) -> Option<String> {
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
pub fn resource_advice(group: &str, word: &str) -> Option<String> {
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
        _ if known.contains(&resource) => {
            let right = SUBRESOURCES.iter().find(|(word, _)| Some(*word) == subresource)?.1;
            Some(format!("{found} matches nothing; write \"{resource}/{right}\""))
        }
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
