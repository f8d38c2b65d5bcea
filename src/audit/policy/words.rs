//! The words that requests have: verbs, API groups and resources; and what to write instead of another word.

use super::Scope;
use super::evaluate::{Request, Target, combined};
use super::findings::Id;
use super::identity::{account_fault, user_fault};
use super::read::{is_dns_label, is_dns_subdomain};
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

/// Built-in resources, by their group, that no supported Kubernetes has.
const GONE_RESOURCES: [(&str, &str, &str); 4] = [
    ("admissionregistration.k8s.io", "initializerconfigurations", "Kubernetes 1.14 removed it"),
    ("apps", "deployments/rollback", "Kubernetes 1.16 removed it"),
    ("batch", "scheduledjobs", "Kubernetes 1.8 renamed it to cronjobs"),
    ("policy", "podsecuritypolicies", "Kubernetes 1.25 removed it"),
];

/// Built-in resources that are in no namespace: the group, and the resource, or all of the group.
const CLUSTER_SCOPED: [(&str, Option<&str>); 33] = [
    ("", Some("componentstatuses")),
    ("", Some("namespaces")),
    ("", Some("nodes")),
    ("", Some("persistentvolumes")),
    ("admissionregistration.k8s.io", None),
    ("apiextensions.k8s.io", None),
    ("apiregistration.k8s.io", None),
    ("authentication.k8s.io", None),
    ("authorization.k8s.io", Some("selfsubjectaccessreviews")),
    ("authorization.k8s.io", Some("selfsubjectrulesreviews")),
    ("authorization.k8s.io", Some("subjectaccessreviews")),
    ("certificates.k8s.io", Some("certificatesigningrequests")),
    ("certificates.k8s.io", Some("clustertrustbundles")),
    ("flowcontrol.apiserver.k8s.io", None),
    ("internal.apiserver.k8s.io", None),
    ("metrics.k8s.io", Some("nodes")),
    ("networking.k8s.io", Some("clustercidrs")),
    ("networking.k8s.io", Some("ingressclasses")),
    ("networking.k8s.io", Some("ipaddresses")),
    ("networking.k8s.io", Some("servicecidrs")),
    ("node.k8s.io", None),
    ("rbac.authorization.k8s.io", Some("clusterrolebindings")),
    ("rbac.authorization.k8s.io", Some("clusterroles")),
    ("resource.k8s.io", Some("deviceclasses")),
    ("resource.k8s.io", Some("devicetaintrules")),
    ("resource.k8s.io", Some("resourceslices")),
    ("scheduling.k8s.io", Some("priorityclasses")),
    ("storage.k8s.io", Some("csidrivers")),
    ("storage.k8s.io", Some("csinodes")),
    ("storage.k8s.io", Some("storageclasses")),
    ("storage.k8s.io", Some("volumeattachments")),
    ("storage.k8s.io", Some("volumeattributesclasses")),
    ("storagemigration.k8s.io", None),
];

/// The subresources of built-in resources, with the verbs that the API server serves there.
const SUBRESOURCE_VERBS: [(&str, &[&str]); 15] = [
    ("approval", UPDATES),
    ("attach", &["get", "create"]),
    ("binding", &["create"]),
    ("ephemeralcontainers", UPDATES),
    ("eviction", &["create"]),
    ("exec", &["get", "create"]),
    ("finalize", &["update"]),
    ("log", &["get"]),
    ("portforward", &["get", "create"]),
    ("proxy", &["get", "create", "update", "patch", "delete"]),
    ("resize", UPDATES),
    ("scale", UPDATES),
    ("status", UPDATES),
    ("token", &["create"]),
    ("verify-for", UPDATES),
];

const UPDATES: &[&str] = &["get", "update", "patch"];

/// Built-in resources that the API server serves only with these verbs: the group, and the resource, or all of the group.
const FEW_VERBS: [(&str, Option<&str>, &[&str]); 5] = [
    ("", Some("bindings"), &["create"]),
    ("", Some("componentstatuses"), &["get", "list"]),
    ("authentication.k8s.io", None, &["create"]),
    ("authorization.k8s.io", None, &["create"]),
    ("metrics.k8s.io", None, &["get", "list"]),
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
    if verb.contains('*') {
        return Some(("verb", format!("{found}: no request has this verb; write one, such as get")));
    }
    if let Some(account) = account_fault(user) {
        return Some(("user", format!("{} {account}", brief(user))));
    }
    let is_group = matches!(user_fault(user), Some((Id::GroupAsUser, _)));
    is_group.then(|| ("user", format!("{} is a group; name a user, and name the group as a group", brief(user))))
}

/// Why there can't be a request for this resource: the field that is wrong, and what to write there; `None` if there can.
pub fn resource_refusal(target: &Target) -> Option<(&'static str, String)> {
    let Target::Resource { group, resource, subresource, namespace, name } = target else { return None };
    if resource.contains('*') || subresource.contains('*') {
        let found = brief(&combined(resource, subresource));
        return Some((
            "resource",
            format!("{found} has a wildcard; write one resource, such as pods or pods/log"),
        ));
    }
    let of_group = |message: String| Some(("api-group", format!("{} {message}", brief(group))));
    if let Some((_, version)) = group.split_once('/') {
        return of_group(format!("has a version; remove /{version}"));
    }
    if let Some(advice) = group_advice(group) {
        return of_group(format!("is the API group of no request; {advice}"));
    }
    if !group.is_empty() && !is_dns_subdomain(group) {
        return of_group("is no API group; write a name such as apps".to_owned());
    }
    if !namespace.is_empty() && !is_dns_label(namespace) {
        return Some(("namespace", format!("{} is no namespace; write its name", brief(namespace))));
    }
    // A segment of the URL's path.
    if name.contains(['/', '%']) || [".", ".."].contains(&name.as_str()) {
        return Some(("name", format!("{} is the name of no object; write a name without / and %", brief(name))));
    }
    let is_own = (group.as_str(), resource.as_str()) == ("", "namespaces") && namespace == name;
    if !namespace.is_empty() && !is_own && is_namespaced(group, resource) == Some(false) {
        let message = format!("{}: {} are in no namespace; leave it out", brief(namespace), brief(resource));
        return Some(("namespace", message));
    }
    None
}

/// Whether the objects of a resource are in namespaces; `None` if that is not known.
pub fn is_namespaced(group: &str, resource: &str) -> Option<bool> {
    if !builtin_resources(group)?.contains(&resource) {
        return None;
    }
    let is = |(at, name): &(&str, Option<&str>)| *at == group && name.is_none_or(|name| name == resource);
    Some(!CLUSTER_SCOPED.iter().any(is))
}

/// Whether the API server serves the verb, as far as that is known: `k8s.io/kubernetes/pkg/registry`, and the discovery of
/// an API server.
pub fn is_served(group: &str, resource: &str, subresource: &str, verb: &str) -> bool {
    let Some(known) = builtin_resources(group) else { return true };
    if let Some((_, verbs)) = SUBRESOURCE_VERBS.iter().find(|(name, _)| *name == subresource) {
        return verbs.contains(&verb);
    }
    let few =
        |(at, name, _): &&(&str, Option<&str>, &[&str])| *at == group && name.is_none_or(|name| name == resource);
    match FEW_VERBS.iter().find(few) {
        Some((_, _, verbs)) => verbs.contains(&verb),
        None => (group, resource, verb) != ("", "namespaces", "deletecollection") || !known.contains(&resource),
    }
}

/// A group as `kubectl` takes it after a resource, without its version: `apps` of `v1.apps`.
fn without_version(group: &str) -> &str {
    match group.split_once('.') {
        Some((version, rest))
            if version.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) =>
        {
            rest
        }
        _ => group,
    }
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
            "no resource has a dot in its name, as in {}; did you mean {name} in group {:?}?",
            brief(resource),
            without_version(rest)
        ));
    }
    if let Some((_, right)) = SUBRESOURCES.iter().find(|(word, _)| word == subresource) {
        doubts.push(format!("there is no subresource {}; did you mean {right}?", brief(subresource)));
    } else if is_namespaced(group, resource).is_some()
        && !subresource.is_empty()
        && !SUBRESOURCE_VERBS.iter().any(|(name, _)| name == subresource)
    {
        let (resource, found) = (brief(resource), brief(subresource));
        doubts.push(format!("{resource} has no subresource {found}; for an object, write its name with --name"));
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
        let rest = without_version(rest);
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
    let is_gone = |(at, name, _): &&(&str, &str, &str)| *at == group && (*name == word || *name == resource);
    if let Some((.., why)) = GONE_RESOURCES.iter().find(is_gone) {
        return Some(format!("{found} matches nothing: {why}; remove it"));
    }
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
        _ => match likely(resource, &known) {
            Some(likely) => Some(format!("{found} is not in group {group:?}; did you mean {likely:?}?")),
            // Nobody can add a resource to the core group.
            None if group.is_empty() => Some(format!(
                "{found} matches nothing: the core group has no such resource; write its group, or a URL such as /healthz in \
                 nonResourceURLs, or remove it"
            )),
            None => None,
        },
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
