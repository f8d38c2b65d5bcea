//! Decides how a policy records a request: `EvaluatePolicyRule` of `k8s.io/apiserver/pkg/audit/policy/checker.go`.

use std::fmt::Write as _;

use super::{GroupResources, Level, Policy, Rule, STAGES, Scope, Stage, Word};
use crate::yaml::fields::brief;

/// A request, as the API server sees it when it looks for a rule: the fields of `authorizer.Attributes` that rules
/// use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Empty if no user is known, as after a failed authentication. No rule can name the empty user.
    pub user: String,
    pub groups: Vec<String>,
    pub verb: String,
    pub target: Target,
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Strings that don't apply are empty: the namespace of a cluster-scoped object, the name of a list.
    Resource { group: String, resource: String, subresource: String, namespace: String, name: String },
    /// The path of any other URL, such as `/healthz`.
    Url(String),
}

impl Target {
    /// The kind of rules that are about it.
    pub fn scope(&self) -> Scope {
        match self {
            Target::Resource { .. } => Scope::Resources,
            Target::Url(_) => Scope::NonResourceUrls,
        }
    }
}

/// How a request is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The index of the rule that decided. `None`: no rule matched, and the request is not recorded.
    pub rule: Option<usize>,
    pub level: Level,
    /// The stages at which no event is recorded: each once, in the order in which a request passes them.
    pub omit_stages: Vec<Stage>,
    pub omit_managed_fields: bool,
}

/// Why a rule doesn't match a request: the first of its lists, in the API server's order, that doesn't match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    User,
    Groups,
    Verb,
    /// The rule is about resources and the request is not, or the reverse.
    Scope,
    Namespace,
    ApiGroup,
    Resource,
    Name,
    Url,
}

/// How the policy records the request: the first rule that matches decides.
pub fn evaluate(policy: &Policy, request: &Request) -> Decision {
    decision(policy, policy.rules.iter().position(|rule| mismatch(rule, request).is_none()))
}

/// How the policy records the requests that a rule decides, or those that no rule matches.
pub fn decision(policy: &Policy, found: Option<usize>) -> Decision {
    let rule = found.and_then(|index| policy.rules.get(index));
    let omits = |stage: &Stage| {
        policy.omit_stages.contains(stage) || rule.is_some_and(|rule| rule.omit_stages.contains(stage))
    };
    Decision {
        rule: found,
        level: rule.map_or(Level::None, |rule| rule.level),
        omit_stages: STAGES.iter().map(|(_, stage)| *stage).filter(omits).collect(),
        omit_managed_fields: rule.and_then(|rule| rule.omit_managed_fields).unwrap_or(policy.omit_managed_fields),
    }
}

/// Why the rule doesn't match the request; `None` if it does.
pub fn mismatch(rule: &Rule, request: &Request) -> Option<Mismatch> {
    let lacks = |list: &[Word], text: &str| !list.is_empty() && !contains(list, text);
    if lacks(&rule.users, &request.user) {
        return Some(Mismatch::User);
    }
    if !rule.user_groups.is_empty() && !request.groups.iter().any(|group| contains(&rule.user_groups, group)) {
        return Some(Mismatch::Groups);
    }
    if lacks(&rule.verbs, &request.verb) {
        return Some(Mismatch::Verb);
    }
    match (rule.scope(), &request.target) {
        (Scope::Everything, _) => None,
        (Scope::Resources, Target::Resource { namespace, .. }) if lacks(&rule.namespaces, namespace) => {
            Some(Mismatch::Namespace)
        }
        (Scope::Resources, Target::Resource { group, resource, subresource, name, .. }) => {
            if rule.resources.is_empty() {
                return None;
            }
            let mut closest = Mismatch::ApiGroup;
            for entry in rule.resources.iter().filter(|entry| group_matches(&entry.group, group)) {
                if entry.resources.is_empty() {
                    return None;
                }
                if !entry.resources.iter().any(|one| resource_matches(&one.text, resource, subresource)) {
                    closest = if closest == Mismatch::ApiGroup { Mismatch::Resource } else { closest };
                } else if lacks(&entry.resource_names, name) {
                    closest = Mismatch::Name;
                } else {
                    return None;
                }
            }
            Some(closest)
        }
        (Scope::NonResourceUrls, Target::Url(path)) => {
            let matches = rule.non_resource_urls.iter().any(|url| url_matches(&url.text, path));
            (!matches).then_some(Mismatch::Url)
        }
        _ => Some(Mismatch::Scope),
    }
}

/// A reason in words, such as `verbs: "get" is not in [create, patch]`.
pub fn reason(mismatch: Mismatch, rule: &Rule, request: &Request) -> String {
    let not_in = |list: &str, text: &str, words: &[Word]| {
        format!("{list}: {} is not in {}", brief(text), listed(words.iter().map(|word| word.text.as_str())))
    };
    match (mismatch, &request.target) {
        (Mismatch::User, _) => not_in("users", &request.user, &rule.users),
        (Mismatch::Groups, _) => {
            let groups = listed(request.groups.iter().map(String::as_str));
            let wanted = listed(rule.user_groups.iter().map(|word| word.text.as_str()));
            format!("userGroups: none of {groups} is in {wanted}")
        }
        (Mismatch::Verb, _) => not_in("verbs", &request.verb, &rule.verbs),
        (Mismatch::Url, Target::Url(path)) => not_in("nonResourceURLs", path, &rule.non_resource_urls),
        (Mismatch::Namespace, Target::Resource { namespace, .. }) => {
            not_in("namespaces", namespace, &rule.namespaces)
        }
        (Mismatch::ApiGroup, Target::Resource { group, .. }) => {
            let groups = listed(rule.resources.iter().map(|entry| entry.group.as_str()));
            format!("resources: group {} is not in {groups}", brief(group))
        }
        (Mismatch::Resource | Mismatch::Name, Target::Resource { group, resource, subresource, name, .. }) => {
            let entries = rule.resources.iter().filter(|entry| group_matches(&entry.group, group));
            if mismatch == Mismatch::Resource {
                let words: Vec<_> = entries.flat_map(|entry| entry.resources.iter().cloned()).collect();
                return not_in("resources", &combined(resource, subresource), &words);
            }
            let has = |entry: &&GroupResources| {
                entry.resources.iter().any(|one| resource_matches(&one.text, resource, subresource))
            };
            let words: Vec<_> =
                entries.filter(has).flat_map(|entry| entry.resource_names.iter().cloned()).collect();
            not_in("resourceNames", name, &words)
        }
        (_, Target::Url(_)) => "it is about resources, and the request is not".to_owned(),
        (_, Target::Resource { .. }) => {
            "it is about nonResourceURLs, and the request is for a resource".to_owned()
        }
    }
}

/// `resource`, or `resource/subresource` if there is a subresource.
pub fn combined(resource: &str, subresource: &str) -> String {
    if subresource.is_empty() { resource.to_owned() } else { format!("{resource}/{subresource}") }
}

/// Words as a list in brackets, cut after the eighth word.
fn listed<'w>(words: impl Iterator<Item = &'w str>) -> String {
    const SHOWN: usize = 8;
    let mut text = "[".to_owned();
    for (i, word) in words.enumerate() {
        if i == SHOWN {
            text.push_str(", ...");
            break;
        }
        let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic() && c != ',' && c != '"');
        let shown = if plain && word.len() <= 60 { word.to_owned() } else { brief(word) };
        let _ = write!(text, "{}{shown}", if i == 0 { "" } else { ", " });
    }
    text + "]"
}

/// The stages at which a request can have an event, but for a panic: `WithAudit` and `WithFailedAuthenticationAudit` of
/// `k8s.io/apiserver/pkg/endpoints/filters`. What runs long: `LongRunningFunc` of `k8s.io/kubernetes/pkg/controlplane`.
pub fn stages_of(request: &Request) -> &'static [Stage] {
    let has = |list: &[&str], word: &str| list.contains(&word);
    let is_long = has(&["watch", "proxy"], &request.verb)
        || match &request.target {
            Target::Resource { subresource, .. } => has(&LONG, subresource),
            Target::Url(path) => path.starts_with(PROFILER),
        };
    match () {
        // The login failed.
        () if request.user.is_empty() => &[Stage::ResponseStarted],
        () if is_long => &[Stage::RequestReceived, Stage::ResponseStarted, Stage::ResponseComplete],
        () => &[Stage::RequestReceived, Stage::ResponseComplete],
    }
}

/// Whether a request that is decided so has an event, even without a panic.
pub fn is_recorded(decision: &Decision, request: &Request) -> bool {
    decision.level != Level::None && stages_of(request).iter().any(|stage| !decision.omit_stages.contains(stage))
}

/// The subresources whose requests run long.
pub const LONG: [&str; 5] = ["attach", "exec", "proxy", "log", "portforward"];

/// The URLs below it run long.
pub const PROFILER: &str = "/debug/pprof/";

/// Whether `text` is one of the words.
pub fn contains(words: &[Word], text: &str) -> bool {
    words.iter().any(|word| word.text == text)
}

/// Whether a nonResourceURL matches a path. A star at the end matches every rest.
pub fn url_matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => pattern == path,
    }
}

/// Whether a group in a rule matches a group. A star matches every group; API servers before 1.36 refuse it.
pub fn group_matches(pattern: &str, group: &str) -> bool {
    pattern == "*" || pattern == group
}

/// Whether a resource in a rule matches. `*` matches every resource and subresource, `*/sub` that subresource of all
/// resources, and `res/*` the resource `res` and all its subresources. Everything else matches only itself.
pub fn resource_matches(pattern: &str, resource: &str, subresource: &str) -> bool {
    let whole = match pattern.strip_prefix(resource) {
        Some(rest) if subresource.is_empty() => rest.is_empty(),
        Some(rest) => rest.strip_prefix('/') == Some(subresource),
        None => false,
    };
    pattern == "*"
        || whole
        || (!subresource.is_empty() && pattern.strip_prefix("*/") == Some(subresource))
        || pattern.strip_suffix("/*") == Some(resource)
}

/// All groups of a user, as rules see them. The API server adds `system:authenticated` or
/// `system:unauthenticated`, and the groups of service accounts (`k8s.io/apiserver/pkg/authentication`: `group`,
/// `serviceaccount`). The certificate of a node has the group `system:nodes`. The empty user, of a request whose
/// authentication failed, has no groups.
pub fn groups_of(user: &str, mut named: Vec<String>) -> Vec<String> {
    if user.is_empty() {
        return named;
    }
    let mut add = |group: String| {
        if !named.contains(&group) {
            named.push(group);
        }
    };
    if let Some((namespace, _)) =
        user.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':'))
    {
        add("system:serviceaccounts".to_owned());
        add(format!("system:serviceaccounts:{namespace}"));
    }
    if user.starts_with("system:node:") {
        add("system:nodes".to_owned());
    }
    let groups = ["system:authenticated", "system:unauthenticated"];
    if !named.iter().any(|group| groups.contains(&group.as_str())) {
        named.push(groups[usize::from(user == "system:anonymous")].to_owned());
    }
    named
}

/// Whether the API server reads a URL's path as a resource: `/api/VERSION/...` and `/apis/GROUP/VERSION/...`, as in
/// `NewRequestInfo` of `k8s.io/apiserver/pkg/endpoints/request`.
pub fn is_resource_path(path: &str) -> bool {
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    match parts.first() {
        Some(&"api") => parts.len() >= 3,
        Some(&"apis") => parts.len() >= 4,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::version::Version;
    use super::super::read::parse;
    use super::*;

    fn policy(rules: &[&str]) -> Policy {
        let mut text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n".to_owned();
        for rule in rules {
            let level = if rule.contains("level:") { "" } else { "level: Metadata, " };
            text += &format!("- {{{level}{rule}}}\n");
        }
        let (policy, findings) = parse(&text, Some(Version::new(36)));
        policy.unwrap_or_else(|| panic!("{text}{findings:?}"))
    }

    /// `get pods/log apps ns name` by alice of ops and dev, or `get /url`; `-` is an empty string.
    fn request(text: &str) -> Request {
        let mut words = text.split(' ').map(|word| if word == "-" { "" } else { word }.to_owned());
        let mut next = || words.next().unwrap_or_default();
        let (verb, what) = (next(), next());
        let target = if what.starts_with('/') {
            Target::Url(what)
        } else {
            let (resource, subresource) = what.split_once('/').unwrap_or((&what, ""));
            Target::Resource {
                resource: resource.to_owned(),
                subresource: subresource.to_owned(),
                group: next(),
                namespace: next(),
                name: next(),
            }
        };
        Request { user: "alice".into(), groups: vec!["ops".into(), "dev".into()], verb, target }
    }

    #[test]
    fn a_rule_matches_or_says_why_not() {
        for (rule, about, expected) in [
            ("", "get pods", ""),
            ("", "get /x", ""),
            ("users: [bob, alice]", "get pods", ""),
            ("users: [bob]", "get pods", "users: \"alice\" is not in [bob]"),
            ("userGroups: [x, dev]", "get pods", ""),
            ("userGroups: [x]", "get /x", "userGroups: none of [ops, dev] is in [x]"),
            ("verbs: [create, get]", "get /x", ""),
            ("verbs: [create, patch]", "get pods", "verbs: \"get\" is not in [create, patch]"),
            ("verbs: [\"*\"]", "get pods", "verbs: \"get\" is not in [*]"),
            ("namespaces: [a, b]", "get pods - b", ""),
            ("namespaces: [a, \"\"]", "get pods - c", "namespaces: \"c\" is not in [a, \"\"]"),
            ("namespaces: [\"\"]", "get nodes", ""),
            ("namespaces: [\"\"]", "get /x", "it is about resources, and the request is not"),
            ("resources: [{}]", "get /x", "it is about resources, and the request is not"),
            (
                "nonResourceURLs: [\"*\"]",
                "get pods",
                "it is about nonResourceURLs, and the request is for a resource",
            ),
            ("nonResourceURLs: [\"*\"]", "get /x", ""),
            ("nonResourceURLs: [/x]", "get /x", ""),
            ("nonResourceURLs: [/x]", "get /x/", "nonResourceURLs: \"/x/\" is not in [/x]"),
            ("nonResourceURLs: [/healthz*]", "get /healthz/etcd", ""),
            ("nonResourceURLs: [/healthz/*]", "get /healthz", "nonResourceURLs: \"/healthz\" is not in"),
            ("resources: [{}]", "get pods/log - a b", ""),
            ("resources: [{group: apps}, {group: batch}]", "get jobs batch", ""),
            (
                "resources: [{group: apps}, {}]",
                "get jobs batch",
                "resources: group \"batch\" is not in [apps, \"\"]",
            ),
            ("resources: [{group: \"*\"}]", "get jobs batch", ""),
            ("resources: [{resources: [pods]}]", "get pods", ""),
            ("resources: [{resources: [pods]}]", "get pods/log", "resources: \"pods/log\" is not in [pods]"),
            ("resources: [{resources: [pods/log]}]", "get pods/log", ""),
            ("resources: [{resources: [pods/log]}]", "get pods", "resources: \"pods\" is not in [pods/log]"),
            ("resources: [{resources: [pod]}]", "get pods", "resources: \"pods\" is not in [pod]"),
            ("resources: [{resources: [pods]}]", "get pod", "resources: \"pod\" is not in [pods]"),
            ("resources: [{resources: [\"*\"]}]", "get pods/log", ""),
            ("resources: [{resources: [\"*/log\"]}]", "get pods/log", ""),
            ("resources: [{resources: [\"*/log\"]}]", "get pods", "resources: \"pods\" is not in [*/log]"),
            ("resources: [{resources: [pods/*]}]", "get pods/log", ""),
            ("resources: [{resources: [pods/*]}]", "get pods", ""),
            ("resources: [{resources: [pods/*]}]", "get nodes/log", "resources: \"nodes/log\" is not in [pods/*]"),
            ("resources: [{resources: [\"*/*\"]}]", "get pods/log", "resources: \"pods/log\" is not in [*/*]"),
            // No client sends this, but the server answers it.
            ("resources: [{resources: [\"*/*\"]}]", "get */log", ""),
            ("resources: [{resources: [\"*/\"]}]", "get pods", "resources: \"pods\" is not in [*/]"),
            ("resources: [{resources: [pods], resourceNames: [a, b]}]", "get pods - ns b", ""),
            (
                "resources: [{resources: [pods], resourceNames: [a]}, {resources: [nodes]}]",
                "get pods - ns c",
                "resourceNames: \"c\" is not in [a]",
            ),
            (
                "resources: [{resources: [pods], resourceNames: [a]}, {group: \"*\", resources: [pods]}]",
                "get pods - ns c",
                "",
            ),
            ("resources: [{resources: [pods], resourceNames: [\"\"]}]", "list pods", ""),
            ("users: [bob], verbs: [create]", "get pods", "users: "),
            ("namespaces: [a], resources: [{group: apps}]", "get pods", "namespaces: \"\" is not in [a]"),
        ] {
            let (policy, request) = (policy(&[rule]), request(about));
            let rule = &policy.rules[0];
            let found = mismatch(rule, &request).map(|why| reason(why, rule, &request)).unwrap_or_default();
            assert_eq!(found.is_empty(), expected.is_empty(), "{rule:?} {about}: {found}");
            assert!(found.starts_with(expected), "{rule:?} {about}: {found}");
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let mut policy = policy(&[
            "level: None, users: [bob]",
            "level: Request, verbs: [get], omitStages: [Panic, RequestReceived], omitManagedFields: false",
            "level: Metadata, namespaces: [a]",
        ]);
        policy.omit_stages = vec![Stage::RequestReceived, Stage::RequestReceived];
        policy.omit_managed_fields = true;
        let received = vec![Stage::RequestReceived];
        for (about, rule, level, omit_stages, omit_managed_fields) in [
            ("get /x", Some(1), Level::Request, vec![Stage::RequestReceived, Stage::Panic], false),
            ("list pods - a", Some(2), Level::Metadata, received.clone(), true),
            ("list pods - b", None, Level::None, received, true),
        ] {
            let decision = Decision { rule, level, omit_stages, omit_managed_fields };
            assert_eq!(evaluate(&policy, &request(about)), decision, "{about}");
        }
    }

    #[test]
    fn reasons_stay_short() {
        let users: Vec<_> = (0..100).map(|i| format!("u{i}")).collect();
        let policy = policy(&[&format!("users: [\"a b\", {}]", users.join(", "))]);
        let request = request("get pods");
        assert_eq!(
            reason(Mismatch::User, &policy.rules[0], &request),
            "users: \"alice\" is not in [\"a b\", u0, u1, u2, u3, u4, u5, u6, ...]"
        );
    }

    #[test]
    fn users_have_the_groups_that_the_api_server_adds() {
        for (user, named, expected) in [
            ("alice", "ops", "ops system:authenticated"),
            ("alice", "system:authenticated", "system:authenticated"),
            ("alice", "system:unauthenticated", "system:unauthenticated"),
            ("system:anonymous", "", "system:unauthenticated"),
            ("", "", ""),
            ("system:node:a", "", "system:nodes system:authenticated"),
            ("system:node:a", "system:nodes", "system:nodes system:authenticated"),
            (
                "system:serviceaccount:kube-system:x",
                "",
                "system:serviceaccounts system:serviceaccounts:kube-system system:authenticated",
            ),
        ] {
            let named = named.split_whitespace().map(str::to_owned).collect();
            assert_eq!(groups_of(user, named).join(" "), expected, "{user}");
        }
    }

    #[test]
    fn an_event_needs_a_stage_that_the_request_has() {
        let stages = |list: &str| format!("omitStages: [{list}]");
        let (response, start, panics) = (
            stages("RequestReceived, ResponseComplete"),
            stages("RequestReceived, ResponseStarted"),
            stages("Panic"),
        );
        for (rule, user, about, expected) in [
            (&response, "alice", "get pods", false),
            (&response, "alice", "get pods/log", true),
            (&response, "alice", "watch pods", true),
            (&response, "alice", "get /debug/pprof/heap", true),
            (&response, "alice", "get /x", false),
            (&response, "", "get /x", true),
            (&start, "", "watch pods", false),
            (&start, "", "get pods", false),
            (&start, "alice", "get pods", true),
            (&start, "alice", "create pods/exec", true),
            (&panics, "alice", "get pods", true),
        ] {
            let policy = policy(&[rule]);
            let request = Request { user: user.to_owned(), ..request(about) };
            assert_eq!(is_recorded(&evaluate(&policy, &request), &request), expected, "{rule} {user} {about}");
        }
    }

    #[test]
    fn the_paths_of_resources_are_told_from_others() {
        for (path, expected) in [
            ("/", false),
            ("/healthz", false),
            ("/api", false),
            ("/api/v1", false),
            ("/api/v1/pods", true),
            ("/apis/apps/v1/", false),
            ("/apis/apps/v1/deployments", true),
            ("/openapi/v3/apis/apps/v1", false),
        ] {
            assert_eq!(is_resource_path(path), expected, "{path}");
        }
    }
}
