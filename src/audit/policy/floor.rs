//! The floor: the requests that each audit log must have, as data, and what a policy loses of it.
//!
//! A rule sees no response. So that refused requests are in the log, reads of people are a part of the floor.

use std::fmt::Write as _;

use super::evaluate::{
    self, Request, Target, combined, contains, evaluate, group_matches, groups_of, resource_matches,
};
use super::findings::{Id, Report};
use super::identity::{Who, is_group, is_user, who};
use super::words::{gone_group, group_advice, is_namespaced, is_served, resource_advice};
use super::{GroupResources, Level, Policy, Rule, Stage, Word};

/// A part of the floor: every request of one of these, with one of these verbs, for one of these resources.
#[derive(Debug)]
pub struct Demand {
    /// A word for it. The documentation says more.
    pub name: &'static str,
    pub who: &'static [Who],
    pub verbs: &'static [&'static str],
    pub what: What,
}

/// The resources of a [`Demand`].
#[derive(Debug)]
pub enum What {
    /// Each resource of each group.
    Each,
    /// Each resource but those in `QUIET`; and with get, each other URL of which nothing is known.
    Loud,
    /// These: the group, the resource and the subresource.
    These(&'static [(&'static str, &'static str, &'static str)]),
}

const ANYBODY: &[Who] = &[Who::Person, Who::Account, Who::Stranger, Who::Component];
const WRITES: &[&str] = &["update", "patch", "create"];
const EXEC: &str = "exec";
const RBAC: &str = "rbac.authorization.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";

/// The floor.
pub const FLOOR: [Demand; 10] = [
    Demand { name: "writes", who: &[Who::Person, Who::Account], verbs: WRITES, what: What::Loud },
    Demand { name: "deletes", who: ANYBODY, verbs: &["delete", "deletecollection"], what: What::Each },
    Demand {
        name: "secrets",
        who: ANYBODY,
        verbs: &["get", "list", "watch", "create", "update", "patch"],
        what: What::These(&[("", "secrets", "")]),
    },
    Demand {
        name: "RBAC",
        who: ANYBODY,
        verbs: WRITES,
        what: What::These(&[
            (RBAC, "roles", ""),
            (RBAC, "rolebindings", ""),
            (RBAC, "clusterroles", ""),
            (RBAC, "clusterrolebindings", ""),
        ]),
    },
    Demand {
        name: EXEC,
        who: ANYBODY,
        verbs: &["get", "create"],
        what: What::These(&[("", "pods", "exec"), ("", "pods", "attach"), ("", "pods", "portforward")]),
    },
    Demand {
        name: "proxies",
        who: ANYBODY,
        verbs: &["get", "create", "update", "patch"],
        what: What::These(&[("", "pods", "proxy"), ("", "services", "proxy"), ("", "nodes", "proxy")]),
    },
    Demand {
        name: "tokens",
        who: ANYBODY,
        verbs: &["create"],
        what: What::These(&[("", "serviceaccounts", "token")]),
    },
    Demand {
        name: "certificates",
        who: ANYBODY,
        verbs: WRITES,
        what: What::These(&[
            (CERTIFICATES, "certificatesigningrequests", ""),
            (CERTIFICATES, "certificatesigningrequests", "approval"),
            (CERTIFICATES, "certificatesigningrequests", "status"),
        ]),
    },
    Demand {
        name: "reads of people",
        who: &[Who::Person, Who::Stranger],
        verbs: &["get", "list", "watch"],
        what: What::Loud,
    },
    Demand {
        name: "failed logins",
        who: &[Who::Nobody],
        verbs: &["get", "list", "watch", "create", "update", "patch", "delete"],
        what: What::Loud,
    },
];

/// Resources that are written and read all the time: the group, and the resource, or all resources of the group.
const QUIET: [(&str, Option<&str>); 7] = [
    ("", Some("events")),
    ("events.k8s.io", None),
    ("coordination.k8s.io", None),
    ("discovery.k8s.io", None),
    // Reviews change nothing.
    ("authorization.k8s.io", None),
    ("authentication.k8s.io", None),
    ("metrics.k8s.io", None),
];

/// Names that a policy does not have.
const SOMEBODY: &str = "jane";
const NAMESPACE: &str = "team-7f3a";
const OBJECT: &str = "object-7f3a";
const GROUP: &str = "example-7f3a.com";
const RESOURCE: &str = "widgets7f3a";
const URL: &str = "/path-7f3a";

/// How many words of rules are compared with requests, at most. A policy of people needs a small part of it.
const MOST: usize = 20_000_000;

/// What a policy loses of the floor.
#[derive(Debug)]
pub struct Loss {
    pub demand: &'static Demand,
    /// The rule that drops it. `None`: no rule matches it.
    pub rule: Option<usize>,
    /// A request that is lost.
    pub witness: Request,
}

/// What the policy loses of the floor: for each rule, and for the requests that no rule matches, each demand once.
///
/// A rule that matches a name which the policy does not have matches every name. So the rule's own names, and one that
/// the policy does not have, stand for all.
pub fn lost(policy: &Policy) -> Vec<Loss> {
    let mut losses = Vec::new();
    let mut left = MOST;
    let cost: usize = policy.rules.iter().map(words).sum::<usize>().max(1);
    let rules = policy.rules.iter().enumerate().filter(|(_, rule)| can_lose(policy, rule));
    for (at, rule) in rules.map(|(at, rule)| (Some(at), Some(rule))).chain([(None, None)]) {
        for demand in &FLOOR {
            let mut is_lost = |request: &Request| {
                left = left.checked_sub(cost)?;
                let decision = evaluate(policy, request);
                Some(decision.rule == at && !evaluate::is_recorded(&decision, request))
            };
            if let Some(witness) = find(demand, rule, &mut is_lost) {
                losses.push(Loss { demand, rule: at, witness });
            }
        }
    }
    losses
}

/// Can there be a request that the rule matches, and that leaves no event?
fn can_lose(policy: &Policy, rule: &Rule) -> bool {
    let omits = |stage| policy.omit_stages.contains(&stage) || rule.omit_stages.contains(&stage);
    rule.level == Level::None || omits(Stage::ResponseStarted) || omits(Stage::ResponseComplete)
}

/// How many words a rule has.
fn words(rule: &Rule) -> usize {
    let lists = [&rule.users, &rule.user_groups, &rule.verbs, &rule.namespaces, &rule.non_resource_urls];
    let entries = rule.resources.iter().map(|entry| 1 + entry.resources.len() + entry.resource_names.len());
    1 + lists.iter().map(|list| list.len()).sum::<usize>() + entries.sum::<usize>()
}

/// A request of the demand that the rule can match, and for which `is_lost` holds. Without a rule, any. `is_lost` says
/// nothing when it was asked too often.
fn find(
    demand: &Demand,
    rule: Option<&Rule>,
    is_lost: &mut dyn FnMut(&Request) -> Option<bool>,
) -> Option<Request> {
    let objects = objects(demand, rule);
    let is_of_urls = matches!(demand.what, What::Loud) && demand.verbs.contains(&"get");
    for (user, groups) in identities(rule).into_iter().filter(|(user, _)| demand.who.contains(&who(user))) {
        for verb in demand.verbs {
            for (group, resource, subresource, name) in &objects {
                if !is_served(group, resource, subresource, verb) {
                    continue;
                }
                let is_unnamed = ["list", "watch", "deletecollection"].contains(verb)
                    || *verb == "create" && subresource.is_empty();
                for (namespace, name) in places(rule, group, resource, name, is_unnamed) {
                    let target = Target::Resource {
                        group: group.clone(),
                        resource: resource.clone(),
                        subresource: subresource.clone(),
                        namespace,
                        name,
                    };
                    let request =
                        Request { user: user.clone(), groups: groups.clone(), verb: (*verb).to_owned(), target };
                    if is_lost(&request)? {
                        return Some(request);
                    }
                }
            }
        }
        if is_of_urls {
            let request = Request { user, groups, verb: "get".to_owned(), target: Target::Url(URL.to_owned()) };
            if is_lost(&request)? {
                return Some(request);
            }
        }
    }
    None
}

/// The namespaces that a rule can match in a request for the resource, and the name of the object.
fn places(
    rule: Option<&Rule>,
    group: &str,
    resource: &str,
    name: &str,
    is_unnamed: bool,
) -> Vec<(String, String)> {
    let own = rule.map(|rule| rule.namespaces.as_slice()).unwrap_or_default();
    // The URL of a namespace is one in that namespace.
    let is_namespace = (group, resource) == ("", "namespaces") && !is_unnamed;
    let is_namespaced = is_namespace || is_namespaced(group, resource) != Some(false);
    let namespaces: Vec<&str> = match is_namespaced {
        false if own.is_empty() || contains(own, "") => vec![""],
        false => Vec::new(),
        true if own.is_empty() => vec![if is_namespace { name } else { NAMESPACE }],
        true => own.iter().map(|word| word.text.as_str()).collect(),
    };
    let place = |namespace: &str| {
        let name = match () {
            () if is_unnamed => "",
            () if is_namespace => namespace,
            () => name,
        };
        (namespace.to_owned(), name.to_owned())
    };
    namespaces.into_iter().map(place).collect()
}

/// Users that a rule can match, with their groups.
fn identities(rule: Option<&Rule>) -> Vec<(String, Vec<String>)> {
    let known = |user: &str, group: Option<&str>| {
        (user.to_owned(), groups_of(user, group.map(str::to_owned).into_iter().collect()))
    };
    let all = |group: Option<&str>| {
        let users = [
            SOMEBODY,
            "system:serviceaccount:team-7f3a:robot",
            "system:anonymous",
            "system:kube-controller-manager",
            "system:serviceaccount:kube-system:robot",
            "system:node:node-7f3a",
        ];
        // Nobody has a group.
        let nobody = group.is_none().then_some("");
        users.into_iter().chain(nobody).map(move |user| known(user, group)).collect::<Vec<_>>()
    };
    let Some(rule) = rule else { return all(None) };
    let groups: Vec<Option<&str>> = match rule.user_groups.as_slice() {
        [] => vec![None],
        groups => {
            groups.iter().map(|group| group.text.as_str()).filter(|group| is_group(group)).map(Some).collect()
        }
    };
    let users = rule.users.iter().map(|user| user.text.as_str()).filter(|user| is_user(user));
    if !rule.users.is_empty() {
        return users.flat_map(|user| groups.iter().map(move |group| known(user, *group))).collect();
    }
    let of_group = |group: &Option<&str>| match group.unwrap_or_default() {
        "" | "system:serviceaccounts" => all(None),
        "system:nodes" => vec![known("system:node:node-7f3a", *group)],
        "system:unauthenticated" => vec![known("system:anonymous", None)],
        "system:authenticated" => all(None).into_iter().filter(|(user, _)| who(user) != Who::Stranger).collect(),
        name => match name.strip_prefix("system:serviceaccounts:") {
            Some(namespace) => vec![known(&format!("system:serviceaccount:{namespace}:robot"), None)],
            None => vec![known(SOMEBODY, *group)],
        },
    };
    groups.iter().flat_map(of_group).collect()
}

/// Resources of a demand that a rule can match: group, resource, subresource, and the name of an object.
fn objects(demand: &Demand, rule: Option<&Rule>) -> Vec<(String, String, String, String)> {
    let entries = rule.map(|rule| rule.resources.as_slice()).unwrap_or_default();
    if !entries.is_empty() && entries.iter().all(is_gone) {
        return Vec::new();
    }
    let names = |entry: Option<&GroupResources>| match entry.map(|entry| entry.resource_names.as_slice()) {
        None | Some([]) => vec![OBJECT.to_owned()],
        Some(names) => names.iter().map(|name| name.text.clone()).collect(),
    };
    let mut found = Vec::new();
    let mut add = |group: &str, resource: &str, subresource: &str, entry: Option<&GroupResources>| {
        for name in names(entry) {
            found.push((group.to_owned(), resource.to_owned(), subresource.to_owned(), name));
        }
    };
    if let What::These(these) = &demand.what {
        for (group, resource, subresource) in *these {
            let has = |word: &Word| resource_matches(&word.text, resource, subresource);
            for entry in entries.iter().filter(|entry| group_matches(&entry.group, group)) {
                if entry.resources.is_empty() || entry.resources.iter().any(has) {
                    add(group, resource, subresource, Some(entry));
                }
            }
            if entries.is_empty() {
                add(group, resource, subresource, None);
            }
        }
        return found;
    }
    let is_quiet = |group: &str, resource: &str| {
        let quiet = |(at, name): &(&str, Option<&str>)| *at == group && name.is_none_or(|name| name == resource);
        matches!(demand.what, What::Loud) && QUIET.iter().any(quiet)
    };
    for entry in entries.iter().filter(|entry| !is_gone(entry)) {
        let group = if entry.group == "*" { GROUP } else { &entry.group };
        let words = entry.resources.iter().map(|word| word.text.as_str());
        let words: Vec<_> = if entry.resources.is_empty() { vec!["*"] } else { words.collect() };
        for word in words.into_iter().filter(|word| resource_advice(&entry.group, word).is_none()) {
            let (resource, subresource) = word.split_once('/').unwrap_or((word, ""));
            let resource = if resource == "*" { RESOURCE } else { resource };
            let subresource = if subresource == "*" { "" } else { subresource };
            if !is_quiet(group, resource) {
                add(group, resource, subresource, Some(entry));
            }
        }
    }
    if entries.is_empty() {
        add(GROUP, RESOURCE, "", None);
    }
    found
}

/// Whether no request has the group of an entry.
fn is_gone(entry: &GroupResources) -> bool {
    gone_group(&entry.group).is_some() || group_advice(&entry.group).is_some()
}

/// Adds a finding for each rule that drops a part of the floor, and one for what no rule matches. `with_pods`: that exec
/// is lost is told already.
pub fn check(policy: &Policy, with_pods: bool, out: &mut Report<'_>) {
    let losses = lost(policy);
    let mut with_logins = false;
    for (at, rule) in policy.rules.iter().enumerate() {
        let mut of_rule: Vec<_> =
            losses.iter().filter(|loss| loss.rule == Some(at) && is_told(loss, rule)).collect();
        if of_rule.is_empty() {
            continue;
        }
        // A rule that drops more drops failed logins along with it; and that the policy's stages lose them is told once.
        let is_of_logins = |loss: &&Loss| loss.demand.who == [Who::Nobody];
        if of_rule.iter().all(is_of_logins) {
            if rule.level != Level::None && std::mem::replace(&mut with_logins, true) {
                continue;
            }
        } else {
            of_rule.retain(|loss| !is_of_logins(loss));
        }
        let parts = parts(&of_rule);
        let message = if rule.level == Level::None {
            format!(
                "rules[{at}] drops what an audit log needs{parts}; limit the rule by users, verbs or resources, or set \
                 its level to Metadata"
            )
        } else {
            format!(
                "rules[{at}] and the policy omit each stage of what an audit log needs{parts}; omit only RequestReceived"
            )
        };
        out.add(Id::DropsFloor, rule, message);
    }
    let of_none = losses.iter().filter(|loss| loss.rule.is_none() && !(with_pods && loss.demand.name == EXEC));
    let of_none: Vec<_> = of_none.collect();
    if let Some(last) = policy.rules.last().filter(|_| !of_none.is_empty()) {
        let parts = parts(&of_none);
        let message = format!(
            "no rule matches what an audit log needs{parts}; end the policy with a rule that has only level: Metadata"
        );
        out.add(Id::CatchesNoRest, last, message);
    }
}

/// What a rule drops by names of its own is meant so: single objects, resources of users, or reads of users. What must
/// never be lost counts all the same.
fn is_told(loss: &Loss, rule: &Rule) -> bool {
    if matches!(loss.demand.what, What::These(_)) {
        return true;
    }
    let is_named = |entry: &GroupResources| {
        !entry.resources.is_empty()
            && entry.resources.iter().all(|word| !word.text.contains('*') || word.text.len() > 2)
    };
    let by_names =
        !rule.resources.is_empty() && rule.resources.iter().all(|entry| !entry.resource_names.is_empty());
    let of_users = !rule.users.is_empty() && !rule.resources.is_empty() && rule.resources.iter().all(is_named);
    let reads = !rule.users.is_empty() && loss.demand.verbs.contains(&"get");
    !(by_names || of_users || reads)
}

/// The parts that are lost, with the first example that says more than the part.
fn parts(losses: &[&Loss]) -> String {
    let is_known = |loss: &&Loss| !matches!(who(&loss.witness.user), Who::Stranger | Who::Nobody);
    let mut text = if losses.iter().any(is_known) { ": " } else { " of requests without a login: " }.to_owned();
    let mut example = None;
    for (at, Loss { demand, witness, .. }) in losses.iter().enumerate() {
        let _ = write!(text, "{}{}", if at == 0 { "" } else { ", " }, demand.name);
        if let Target::Resource { resource, subresource, .. } = &witness.target
            && !matches!(demand.what, What::These(_))
            && resource != RESOURCE
        {
            example.get_or_insert(format!("{} {}", witness.verb, combined(resource, subresource)));
        }
    }
    text + &example.map(|example| format!(" (such as {example})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::read::parse;
    use super::*;

    /// What a policy with these rules loses: the rule, and the names of the demands.
    fn of(rules: &[&str]) -> String {
        let mut text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n".to_owned();
        rules.iter().for_each(|rule| text += &format!("- {{{rule}}}\n"));
        let (policy, findings) = parse(&text, None);
        let policy = policy.unwrap_or_else(|| panic!("{text}{findings:?}"));
        let losses = lost(&policy);
        for loss in &losses {
            let decided = evaluate(&policy, &loss.witness);
            assert_eq!(decided.rule, loss.rule, "{text}{loss:?}");
            assert!(loss.demand.who.contains(&who(&loss.witness.user)), "{loss:?}");
        }
        let rule = |loss: &Loss| loss.rule.map_or("end".to_owned(), |at| at.to_string());
        losses.iter().map(|loss| format!("{} {}", rule(loss), loss.demand.name)).collect::<Vec<_>>().join(", ")
    }

    /// The floor as a file of tests, which people can take for policies of their own, asks for each part of it.
    #[test]
    fn the_file_of_tests_has_the_whole_floor() {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/policies/floor.yaml"));
        let (file, findings) = super::super::test::read(text);
        assert_eq!(findings, []);
        let tests = file.unwrap().tests;
        assert_eq!(
            tests.iter().map(|test| test.name.as_str()).collect::<Vec<_>>(),
            FLOOR.each_ref().map(|demand| demand.name)
        );
        for (demand, test) in FLOOR.iter().zip(&tests) {
            let these = match &demand.what {
                What::These(these) => *these,
                What::Each => {
                    &[("", "events", ""), ("coordination.k8s.io", "leases", ""), ("apps", "deployments", "")]
                }
                What::Loud => &[("", "pods", ""), ("apps", "deployments", ""), ("example.com", "widgets", "")],
            };
            for by in demand.who {
                for verb in demand.verbs {
                    for these in these {
                        let is_it = |request: &Request| {
                            let Target::Resource { group, resource, subresource, .. } = &request.target else {
                                return false;
                            };
                            who(&request.user) == *by
                                && request.verb == *verb
                                && (group.as_str(), resource.as_str(), subresource.as_str()) == *these
                        };
                        assert!(
                            test.requests.iter().any(is_it),
                            "{}: nothing asks for {by:?} {verb} {these:?}",
                            demand.name
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_rule_that_drops_loses_what_it_matches_of_the_floor() {
        let rest = "level: Metadata";
        for (rule, expected) in [
            (
                "level: None, users: [\"system:kube-proxy\"], verbs: [watch], resources: [{resources: [endpoints]}]",
                "",
            ),
            ("level: None, userGroups: [\"system:nodes\"], verbs: [get], resources: [{resources: [nodes]}]", ""),
            ("level: None, nonResourceURLs: [\"*\"]", "0 reads of people, 0 failed logins"),
            ("level: None, nonResourceURLs: [\"/*\"], verbs: [post]", ""),
            ("level: None, nonResourceURLs: [\"/healthz*\", /version, \"/api*\"]", ""),
            // No API server serves these.
            ("level: None, resources: [{group: authentication.k8s.io}, {group: authorization.k8s.io}]", ""),
            (
                "level: None, userGroups: [\"system:nodes\"], resources: [{resources: [nodes/status, pods/status, pods/eviction]}]",
                "",
            ),
            ("level: None, resources: [{resources: [\"pods/log\"]}], verbs: [update, delete]", ""),
            ("level: None, resources: [{group: metrics.k8s.io}]", ""),
            ("level: None, resources: [{group: extensions}]", ""),
            // No such request is in a namespace.
            (
                "level: None, namespaces: [x], resources: [{group: rbac.authorization.k8s.io, resources: [clusterroles]}]",
                "",
            ),
            ("level: None, namespaces: [x], resources: [{resources: [nodes/proxy, persistentvolumes]}]", ""),
            (
                "level: None, namespaces: [\"\"], verbs: [delete], resources: [{resources: [persistentvolumes]}]",
                "0 deletes, 0 failed logins",
            ),
            (
                "level: None, namespaces: [x], verbs: [delete], resources: [{resources: [namespaces]}]",
                "0 deletes, 0 failed logins",
            ),
            ("level: None, namespaces: [x], verbs: [list], resources: [{resources: [namespaces]}]", ""),
            ("level: None, resources: [{resources: [events]}, {group: events.k8s.io}]", "0 deletes"),
            (
                "level: None, verbs: [get, list, watch, create, update, patch], resources: [{resources: [events]}]",
                "",
            ),
            ("level: None, verbs: [list], resources: [{resources: [pods]}]", "0 reads of people, 0 failed logins"),
            ("level: None, users: [\"system:kube-scheduler\"], verbs: [list]", "0 secrets"),
            (
                "level: None, userGroups: [\"system:serviceaccounts:kube-system\"], verbs: [update], resources: [{resources: [pods]}]",
                "",
            ),
            (
                "level: None, userGroups: [\"system:serviceaccounts:team\"], verbs: [update], resources: [{resources: [pods]}]",
                "0 writes",
            ),
            (
                "level: None, userGroups: [\"system:serviceaccounts\"], verbs: [update], resources: [{resources: [pods]}]",
                "0 writes",
            ),
            (
                "level: None, userGroups: [\"system:unauthenticated\"], verbs: [get]",
                "0 secrets, 0 exec, 0 proxies, 0 reads of people",
            ),
            (
                "level: None, resources: [{resources: [\"pods/exec\"]}], verbs: [create]",
                "0 writes, 0 exec, 0 failed logins",
            ),
            ("level: None, resources: [{resources: [\"*/token\"]}], users: [\"system:node:a\"]", "0 tokens"),
            ("level: None, namespaces: [a], verbs: [delete]", "0 deletes, 0 failed logins"),
            (
                "level: None, resources: [{group: rbac.authorization.k8s.io}], users: [\"system:x\"], verbs: [patch]",
                "0 RBAC",
            ),
            (
                "level: None, resources: [{group: certificates.k8s.io}], users: [\"system:x\"], verbs: [update]",
                "0 certificates",
            ),
            (
                "level: None, resources: [{resources: [secrets], resourceNames: [a]}], verbs: [get], users: [\"system:x\"]",
                "0 secrets",
            ),
            // Nothing has these names.
            ("level: None, resources: [{group: extensions}]", ""),
            ("level: None, resources: [{group: extensions, resources: [ingresses]}, {group: aps}]", ""),
            (
                "level: None, resources: [{group: extensions}, {group: apps}]",
                "0 writes, 0 deletes, 0 reads of people, 0 failed logins",
            ),
            ("level: None, users: [kubelet, \"system:serviceaccount:*\"]", ""),
            ("level: None, resources: [{resources: [Pod, \"*/*\"]}]", ""),
            (
                "level: Metadata, omitStages: [RequestReceived, ResponseStarted, ResponseComplete], verbs: [delete]",
                "0 deletes, 0 failed logins",
            ),
            // Only what runs long, and a login that failed, has the stage that is left.
            ("level: Metadata, omitStages: [RequestReceived, ResponseComplete], verbs: [delete]", "0 deletes"),
            (
                "level: Metadata, omitStages: [RequestReceived, ResponseComplete], users: [alice], verbs: [watch]",
                "",
            ),
            ("level: Metadata, omitStages: [RequestReceived, ResponseStarted]", "0 failed logins"),
            ("level: Metadata, omitStages: [RequestReceived, ResponseStarted], users: [alice]", ""),
            ("level: Metadata, omitStages: [ResponseStarted, ResponseComplete, Panic]", "0 failed logins"),
        ] {
            assert_eq!(of(&[rule, rest]), expected, "{rule}");
        }
    }

    #[test]
    fn what_an_earlier_rule_records_is_not_lost() {
        let none = "level: None, verbs: [delete]";
        for (earlier, expected) in [
            ("level: Metadata, verbs: [delete]", ""),
            ("level: Metadata, users: [alice]", "1 deletes, 1 failed logins"),
            ("level: Metadata, userGroups: [\"system:authenticated\"]", "1 deletes, 1 failed logins"),
            ("level: Metadata, resources: [{resources: [\"*\"]}]", "1 deletes, 1 failed logins"),
            ("level: Metadata, resources: [{resources: [\"*\"]}, {group: apps}]", "1 deletes, 1 failed logins"),
        ] {
            assert_eq!(of(&[earlier, none, "level: Metadata"]), expected, "{earlier}");
        }
        let all = "writes, end deletes, end secrets, end RBAC, end exec, end proxies, end tokens, end certificates, end reads \
                   of people, end failed logins";
        assert_eq!(of(&["level: Metadata, resources: [{resources: [pods]}]"]), format!("end {all}"));
        assert_eq!(
            of(&["level: Metadata, verbs: [create, update, patch, delete, deletecollection]"]),
            "end secrets, end exec, end proxies, end reads of people, end failed logins"
        );
        assert_eq!(of(&["level: Metadata"]), "");
    }

    #[test]
    fn a_policy_of_many_rules_is_judged_in_bounded_steps() {
        let words = |word: char| (0..8000).map(|i| format!("{word}{i}")).collect::<Vec<_>>().join(", ");
        let named =
            format!("namespaces: [{}], resources: [{{group: a.b, resources: [{}]}}]", words('n'), words('r'));
        // Each request of the second rule is asked for, and none is lost.
        let (first, second) = (format!("level: Metadata, {named}"), format!("level: None, {named}"));
        assert_eq!(of(&[&first, &second, "level: Metadata"]), "");
    }
}
