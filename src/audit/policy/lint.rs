//! Finds what is legal in a policy but probably a mistake: rules that no request reaches, and words that no request
//! has.

use super::super::version::Version;
use super::cover::hiders;
use super::evaluate::{
    LONG, PROFILER, Request, Target, contains, evaluate, groups_of, is_resource_path, url_matches,
};
use super::findings::{Finding, Id, Report};
use super::read::{Reading, read};
use super::words::{gone_group, group_advice, is_namespaced, resource_advice, verb_advice};
use super::{GroupResources, Level, Policy, Rule, Scope, Stage, Word, allow, bodies, floor, identity};
use crate::yaml::fields::brief;

/// Checks the text of a policy file for an API server of that version. Returns all findings, in the order of the
/// file. An error means that the file must not be used. A warning means that it is legal, but probably a mistake.
/// Without a version, the policy must be right for every supported version.
pub fn check(text: &str, version: Option<Version>) -> Vec<Finding> {
    check_as(text, version, Reading::Strict).1
}

/// As [`check`], with the policy if it has no error, and for a [`Reading`].
pub fn check_as(text: &str, version: Option<Version>, reading: Reading) -> (Option<Policy>, Vec<Finding>) {
    let (policy, mut report, allows) = read(text, version, reading);
    if let Some(policy) = &policy {
        lint(policy, &mut report);
        allow::apply(policy, &allows, &mut report);
        report.findings.sort_by_key(|finding| finding.position);
    }
    (policy, report.findings)
}

/// The findings in one of the texts that a policy is made of. `of_whole`: what is found in its rules because of the rules of
/// all texts, with the number of the rule in this text, from 0. The comments of the text allow that, too.
pub(super) fn check_part(text: &str, version: Option<Version>, of_whole: &[(usize, Id, String)]) -> Vec<Finding> {
    let (policy, mut report, allows) = read(text, version, Reading::Strict);
    let Some(policy) = policy else { return report.findings };
    lint(&policy, &mut report);
    report.findings.retain(|finding| !is_about_the_whole(finding.id));
    for (at, id, message) in of_whole {
        if let Some(rule) = policy.rules.get(*at) {
            report.add(*id, rule, message);
        }
    }
    allow::apply(&policy, &allows, &mut report);
    // A comment that is of use for the text alone may stay.
    let alone = check(text, version);
    report.findings.retain(|finding| finding.id != Id::IdleAllow || alone.contains(finding));
    report.findings.sort_by_key(|finding| finding.position);
    report.findings
}

/// Adds the warnings about a valid policy to `out`.
fn lint(policy: &Policy, out: &mut Report<'_>) {
    if unreachable_rules(policy, out) {
        stages(policy, out);
        bodies::check(policy, out);
        let with_pods = pods_alone(policy, out);
        floor::check(policy, with_pods, out);
    }
    for (i, rule) in policy.rules.iter().enumerate() {
        for verb in &rule.verbs {
            if let Some(advice) = verb_advice(&verb.text, rule.scope()) {
                let message = format!("rules[{i}].verbs: no request has {}; {advice}", brief(&verb.text));
                out.add(Id::UnknownVerb, verb, message);
            }
        }
        no_wildcard(&rule.users, &format!("rules[{i}].users"), out);
        no_wildcard(&rule.user_groups, &format!("rules[{i}].userGroups"), out);
        no_wildcard(&rule.namespaces, &format!("rules[{i}].namespaces"), out);
        identity::check(rule, &format!("rules[{i}]"), out);
        paths_of_resources(&rule.non_resource_urls, &format!("rules[{i}].nonResourceURLs"), out);
        names(rule, &format!("rules[{i}]"), out);
        out_of_namespaces(rule, &format!("rules[{i}]"), out);
        for (j, entry) in rule.resources.iter().enumerate() {
            let path = format!("rules[{i}].resources[{j}]");
            if let Some(advice) = group_advice(&entry.group) {
                let message = format!("{path}.group: no request has {}; {advice}", brief(&entry.group));
                out.add(Id::UnknownGroup, entry, message);
            }
            if let Some(why) = gone_group(&entry.group) {
                let found = brief(&entry.group);
                // A rule without resources is for all of them.
                let is_all = rule.resources.iter().all(|entry| gone_group(&entry.group).is_some());
                let what = if is_all { "the rule" } else { "it" };
                let message = format!("{path}.group: no request has {found}: {why}; remove {what}");
                out.add(Id::GoneGroup, entry, message);
                continue;
            }
            for resource in &entry.resources {
                if resource.text.starts_with('/') {
                    let found = brief(&resource.text);
                    let message = format!("{path}.resources: {found} is a path; write it in nonResourceURLs");
                    out.add(Id::UrlAsResource, resource, message);
                } else if let Some(advice) = resource_advice(&entry.group, &resource.text) {
                    out.add(Id::UnknownResource, resource, format!("{path}.resources: {advice}"));
                }
            }
            no_wildcard(&entry.resource_names, &format!("{path}.resourceNames"), out);
        }
    }
}

/// Finds rules of which at most a panic is recorded, because they omit every other stage.
fn stages(policy: &Policy, out: &mut Report<'_>) {
    let stages = [Stage::RequestReceived, Stage::ResponseStarted, Stage::ResponseComplete];
    for (i, rule) in policy.rules.iter().enumerate() {
        let omits = |stage| policy.omit_stages.contains(stage) || rule.omit_stages.contains(stage);
        // Without the stage in the middle, only what runs long has an event.
        let is_needed = |stage: &Stage| *stage != Stage::ResponseStarted || can_run_long(rule);
        if rule.level != Level::None && stages.iter().filter(|stage| is_needed(stage)).all(omits) {
            let message = format!(
                "rules[{i}] omits, with the policy's omitStages, every stage of the requests that it matches; omit fewer \
                 stages, or set level: None"
            );
            out.add(Id::NoStage, rule, message);
        }
    }
}

/// Can a rule match a request that runs long, or a login that failed?
fn can_run_long(rule: &Rule) -> bool {
    if rule.users.is_empty() && rule.user_groups.is_empty()
        || rule.scope() != Scope::NonResourceUrls
            && (rule.verbs.is_empty()
                || rule.verbs.iter().any(|verb| ["watch", "proxy"].contains(&verb.text.as_str())))
    {
        return true;
    }
    let is_long = |word: &Word| {
        let (resource, subresource) = word.text.split_once('/').unwrap_or((&word.text, ""));
        resource == "*" && subresource.is_empty() || subresource == "*" || LONG.contains(&subresource)
    };
    match rule.scope() {
        Scope::Everything => true,
        Scope::Resources => {
            rule.resources.is_empty()
                || rule
                    .resources
                    .iter()
                    .any(|entry| entry.resources.is_empty() || entry.resources.iter().any(is_long))
        }
        Scope::NonResourceUrls => rule
            .non_resource_urls
            .iter()
            .any(|url| url.text.starts_with(PROFILER) || url_matches(&url.text, PROFILER)),
    }
}

/// Finds a rule that records pods although nothing records exec into them: `pods` is none of its subresources.
fn pods_alone(policy: &Policy, out: &mut Report<'_>) -> bool {
    let pods =
        policy.rules.iter().enumerate().filter(|(_, rule)| is_recorded(policy, rule)).find_map(|(i, rule)| {
            let of_core = rule.resources.iter().enumerate().filter(|(_, entry)| entry.group.is_empty());
            let pods = of_core.flat_map(|(j, entry)| entry.resources.iter().map(move |word| (j, word)));
            let (j, pods) = pods.into_iter().find(|(_, word)| word.text == "pods")?;
            let user = rule.users.first().map_or("jane", |user| &user.text);
            let groups = rule.user_groups.first().map(|group| group.text.clone());
            let exec = Request {
                user: user.to_owned(),
                groups: groups_of(user, groups.into_iter().collect()),
                verb: "create".to_owned(),
                target: Target::Resource {
                    group: String::new(),
                    resource: "pods".to_owned(),
                    subresource: "exec".to_owned(),
                    namespace: rule
                        .namespaces
                        .first()
                        .map_or_else(String::new, |namespace| namespace.text.clone()),
                    name: "web".to_owned(),
                },
            };
            let creates = rule.verbs.is_empty() || contains(&rule.verbs, "create");
            (creates && evaluate(policy, &exec).rule.is_none()).then_some((i, j, pods))
        });
    if let Some((i, j, word)) = pods {
        let message = format!(
            "rules[{i}].resources[{j}].resources: \"pods\" is none of its subresources, and no rule matches exec, attach and \
             port-forward; write \"pods/*\", or a rule for \"pods/exec\", \"pods/attach\" and \"pods/portforward\""
        );
        out.add(Id::WithoutSubresources, word, message);
    }
    pods.is_some()
}

/// Finds paths of resources among other URLs.
fn paths_of_resources(urls: &[Word], path: &str, out: &mut Report<'_>) {
    for word in urls {
        let (url, rest) = match word.text.strip_suffix('*') {
            // The path below, of anything.
            Some(prefix) if prefix.ends_with('/') => (prefix, "x"),
            Some(prefix) => (prefix, ""),
            None => (word.text.as_str(), ""),
        };
        if is_resource_path(&format!("{url}{rest}")) {
            let message =
                "is the path of resources; write them in resources, with their group and without a version";
            out.add(Id::ResourceAsUrl, word, format!("{path}: {} {message}", brief(&word.text)));
        }
    }
}

/// Finds resources that are in no namespace, in a rule for requests in namespaces.
fn out_of_namespaces(rule: &Rule, path: &str, out: &mut Report<'_>) {
    if rule.namespaces.is_empty() || contains(&rule.namespaces, "") {
        return;
    }
    for (j, entry) in rule.resources.iter().enumerate() {
        for word in &entry.resources {
            let resource = word.text.split('/').next().unwrap_or_default();
            // The request for a namespace is in that namespace.
            let is_namespace = entry.group.is_empty() && resource == "namespaces";
            if !is_namespace && is_namespaced(&entry.group, resource) == Some(false) {
                let found = brief(&word.text);
                let message = format!(
                    "{path}.resources[{j}].resources: {found} are in no namespace, so that this rule never matches them; \
                     write them in a rule without namespaces"
                );
                out.add(Id::OutOfNamespaces, word, message);
            }
        }
    }
}

/// Finds names of objects in rules for requests that have none: to create, and to list.
fn names(rule: &Rule, path: &str, out: &mut Report<'_>) {
    let is_named = |entry: &GroupResources| {
        let is_plain = |word: &Word| !word.text.contains(['/', '*']);
        !entry.resource_names.is_empty()
            && entry.resource_names.iter().all(|name| !name.text.is_empty())
            && entry.resources.iter().all(is_plain)
    };
    if rule.resources.is_empty() || !rule.resources.iter().all(is_named) {
        return;
    }
    // A client that watches one object by its name also lists it so.
    let is_watched = contains(&rule.verbs, "watch");
    for verb in &rule.verbs {
        let path = format!("{path}.verbs");
        // A rule without verbs is for all of them.
        let what = if rule.verbs.len() == 1 { "the rule" } else { verb.text.as_str() };
        match verb.text.as_str() {
            "create" => out.add(
                Id::NameOfCreate,
                verb,
                format!("{path}: a request to create an object has no name, so resourceNames never match; remove {what}, or \
                         write a rule without resourceNames"),
            ),
            "list" if !is_watched => out.add(
                Id::NameOfList,
                verb,
                format!("{path}: a list has a name only with the field selector metadata.name, so resourceNames hardly match; \
                         remove {what}, or write a rule without resourceNames"),
            ),
            "deletecollection" => out.add(
                Id::NameOfList,
                verb,
                format!("{path}: a deletecollection never has a name, so resourceNames never match; remove {what}, or write a \
                         rule without resourceNames"),
            ),
            _ => {}
        }
    }
}

/// Warns about rules that no request reaches, and about a policy that records nothing. Returns whether it records
/// anything.
fn unreachable_rules(policy: &Policy, out: &mut Report<'_>) -> bool {
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
        out.add(Id::BeforeOthers, &rules[at], format!("rules[{at}] {message}"));
    }
    let mut records = false;
    for (i, rule) in rules[..end].iter().enumerate() {
        let by = hiders(&rules[..i.min(MOST)], rule);
        let named: Vec<_> = by.iter().map(|at| format!("rules[{at}] ({})", rules[*at].position)).collect();
        let why = match named.as_slice() {
            [] => {
                records |= is_recorded(policy, rule);
                continue;
            }
            [one] => format!("{one} comes first and matches every request that it matches"),
            many => format!("{} come first and together match every request that it matches", many.join(", ")),
        };
        out.add(Id::NeverUsed, rule, format!("rules[{i}] is never used: {why}; move it up, or remove it"));
    }
    if let Some(first) = rules.first()
        && !records
    {
        let message = "this policy records nothing: each rule that is used has level None or omits every stage; \
             set a level such as Metadata, or omit fewer stages";
        out.add(Id::RecordsNothing, first, message);
    }
    records
}

/// Whether a finding of a rule depends on the rules before it or behind it, in whatever file they are.
pub(super) fn is_about_the_whole(id: Id) -> bool {
    use Id::{Bodies, CatchesNoRest, DropsFloor, NoStage, RecordsNothing, WithoutSubresources};
    matches!(id, RecordsNothing | NoStage | Bodies | WithoutSubresources | DropsFloor | CatchesNoRest)
}

/// Whether at least one event is recorded for a request that the rule matches.
fn is_recorded(policy: &Policy, rule: &Rule) -> bool {
    let stages = [Stage::RequestReceived, Stage::ResponseStarted, Stage::ResponseComplete, Stage::Panic];
    let omitted = |stage| policy.omit_stages.contains(stage) || rule.omit_stages.contains(stage);
    rule.level != Level::None && !stages.iter().all(omitted)
}

fn no_wildcard(words: &[Word], path: &str, out: &mut Report<'_>) {
    for word in words.iter().filter(|word| word.text.contains('*')) {
        let message = "this field has no wildcards; write the full names, or remove the field to match all";
        out.add(Id::Wildcard, word, format!("{path}: {} matches only itself: {message}", brief(&word.text)));
    }
}

/// In how many rules one is looked for that hides another, at most.
const MOST: usize = 5000;

#[cfg(test)]
mod tests {
    use super::super::super::version::Version;
    use super::super::Scope;
    use super::super::words::{doubts, refusal, resource_refusal};
    use super::{Id, Request, Target, check};

    /// The warnings for a policy with these rules, each the text of a flow mapping. A rule without a level gets
    /// Metadata.
    fn warnings(rules: &[&str]) -> Vec<String> {
        let mut text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n".to_owned();
        for rule in rules {
            let level = if rule.contains("level:") { "" } else { "level: Metadata, " };
            text += &format!("- {{{level}{rule}}}\n");
        }
        // Rules by themselves leave most requests to no rule.
        let rest = [Id::CatchesNoRest, Id::DropsFloor, Id::Bodies, Id::WithoutSubresources];
        let findings = check(&text, Some(Version::new(36))).into_iter().filter(|found| !rest.contains(&found.id));
        let findings: Vec<_> = findings.map(|found| found.to_string()).collect();
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
            // Who has the one group has the other.
            ("userGroups: [\"system:authenticated\"]", "userGroups: [g]", true),
            ("userGroups: [\"system:authenticated\"]", "users: [a]", true),
            ("userGroups: [\"system:authenticated\"]", "users: [\"system:serviceaccount:a:b\"]", true),
            ("userGroups: [\"system:authenticated\"]", "users: [\"system:anonymous\"]", false),
            ("userGroups: [\"system:authenticated\"]", "users: [\"system:apiserver\"]", false),
            ("userGroups: [\"system:authenticated\"]", "userGroups: [\"system:unauthenticated\"]", false),
            ("userGroups: [\"system:authenticated\"]", "userGroups: [\"system:masters\"]", false),
            ("userGroups: [\"system:authenticated\"]", "verbs: [get]", false),
            ("userGroups: [\"system:authenticated\"], users: [a]", "users: [a, b]", false),
            ("userGroups: [\"system:unauthenticated\"]", "users: [\"system:anonymous\"]", true),
            ("userGroups: [\"system:serviceaccounts\"]", "userGroups: [\"system:serviceaccounts:a\"]", true),
            ("userGroups: [\"system:serviceaccounts\"]", "users: [\"system:serviceaccount:a:b\"]", true),
            ("userGroups: [\"system:serviceaccounts:a\"]", "users: [\"system:serviceaccount:a:b\"]", true),
            ("userGroups: [\"system:serviceaccounts:b\"]", "users: [\"system:serviceaccount:a:b\"]", false),
            ("userGroups: [\"system:serviceaccounts:b\"]", "userGroups: [\"system:serviceaccounts\"]", false),
            ("userGroups: [\"system:nodes\"]", "users: [\"system:node:a\"], verbs: [get]", true),
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
    fn a_rule_is_hidden_by_several_that_each_match_a_part() {
        for (earlier, later, hidden) in [
            (["users: [a]", "users: [b]"], "users: [a, b]", true),
            (["users: [a]", "users: [b]"], "users: [a, b, c]", false),
            (["userGroups: [a]", "userGroups: [b], verbs: [get]"], "userGroups: [b, a], verbs: [get]", true),
            (["verbs: [get]", "verbs: [list, watch]"], "verbs: [get, list], users: [a]", true),
            (["verbs: [get]", "users: [a]"], "verbs: [get, list], users: [a, b]", false),
            (["verbs: [get]", "users: [a, b]"], "verbs: [get, list], users: [a, b]", true),
            (["namespaces: [a]", "namespaces: [b]"], "namespaces: [a, b]", true),
            (
                ["resources: [{group: apps}]", "resources: [{group: batch}]"],
                "resources: [{group: batch}, {group: apps}]",
                true,
            ),
        ] {
            let found = "rules[2] is never used: rules[0] (4:3), rules[1] (5:3) come first and together match";
            let found = match earlier[1] == "users: [a, b]" {
                true => "rules[2] is never used: rules[1] (5:3) comes first",
                false => found,
            };
            assert_warns(&[earlier[0], earlier[1], later], if hidden { found } else { "" });
        }
    }

    #[test]
    fn what_is_in_no_namespace_is_not_for_a_rule_with_namespaces() {
        let found = "are in no namespace, so that this rule never matches them";
        for (namespaces, resources, expected) in [
            ("a", "{resources: [persistentvolumes]}", found),
            ("a", "{resources: [nodes/proxy]}", found),
            ("a", "{group: rbac.authorization.k8s.io, resources: [roles, clusterroles]}", found),
            ("a", "{group: certificates.k8s.io, resources: [certificatesigningrequests]}", found),
            ("a, \"\"", "{resources: [persistentvolumes]}", ""),
            ("a", "{resources: [namespaces, pods, pods/log]}", ""),
            ("a", "{group: example.com, resources: [widgets]}", ""),
        ] {
            assert_warns(&[&format!("namespaces: [{namespaces}], resources: [{resources}]")], expected);
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

    /// Without the last entry of a list, a rule would match more than before.
    #[test]
    fn the_last_entry_of_a_list_goes_only_with_its_rule() {
        for (rule, expected) in [
            ("users: [kubelet, alice]", "of the group system:nodes; remove it"),
            ("users: [kubelet]", "; remove the rule"),
            ("resources: [{group: extensions}, {group: apps}]", "; remove it"),
            ("resources: [{group: extensions}]", "; remove the rule"),
            (
                "verbs: [get, create], resources: [{resources: [pods], resourceNames: [a]}]",
                "; remove create, or write",
            ),
            (
                "verbs: [create], resources: [{resources: [pods], resourceNames: [a]}]",
                "; remove the rule, or write",
            ),
            ("verbs: [list], resources: [{resources: [pods], resourceNames: [a]}]", "; remove the rule, or write"),
            (
                "verbs: [get, list], resources: [{resources: [pods], resourceNames: [a]}]",
                "; remove list, or write",
            ),
        ] {
            assert_warns(&[rule], expected);
        }
        let rules = |rules: &str| {
            let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{rules}- level: Metadata\n");
            check(&text, None)
        };
        for list in [
            "users: [kubelet, \"system:unsecured\"]",
            "resources: [{group: extensions}, {group: settings.k8s.io}]",
        ] {
            let found = rules(&format!("- {{level: Metadata, {list}}}\n"));
            assert!(found.iter().all(|one| one.message.ends_with("; remove the rule")), "{found:?}");
        }
        // What no request has drops nothing of the floor.
        let found = rules("- {level: None, resources: [{group: extensions}]}\n");
        assert_eq!(found.iter().map(|one| one.id).collect::<Vec<_>>(), [Id::GoneGroup]);
    }

    #[test]
    fn resources_are_those_that_requests_name() {
        for (entry, expected) in [
            ("resources: [pods, pods/exec, pods/*, \"*/status\", \"*\", services/proxy]", ""),
            ("group: cert-manager.io, resources: [certificates, pod, deploy, secrets]", ""),
            ("group: metrics.k8s.io, resources: [pods, nodes]", ""),
            ("group: events.k8s.io, resources: [events]", ""),
            (
                "group: extensions",
                "rules[0].resources[0].group: no request has \"extensions\": Kubernetes 1.22 removed its last",
            ),
            ("group: apps, resources: [somethingnew]", ""),
            ("resources: [foo]", "\"foo\" matches nothing: the core group has no such resource"),
            ("resources: [healthz]", "a URL such as /healthz in nonResourceURLs"),
            ("resources: [tokenrequests]", "matches nothing"),
            (
                "group: policy, resources: [podsecuritypolicies]",
                "matches nothing: Kubernetes 1.25 removed it; remove it",
            ),
            ("group: batch, resources: [scheduledjobs]", "renamed it to cronjobs"),
            ("group: apps, resources: [deployments/rollback]", "Kubernetes 1.16 removed it"),
            ("group: apps, resources: [deployments/scale]", ""),
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
            ("group: extensions, resources: [ingresses]", "no request has \"extensions\""),
            (
                "group: authentication.k8s.io, resources: [serviceaccounts/token]",
                "\"serviceaccounts/token\" is in group \"\"",
            ),
            ("resources: [secrest]", "did you mean \"secrets\"?"),
            ("resources: [pods/logs]", "\"pods/logs\" matches nothing; write \"pods/log\""),
            ("resources: [deployments.apps]", "write \"deployments\", and group: \"apps\""),
            ("resources: [deployments.v1.apps]", "write \"deployments\", and group: \"apps\""),
            ("resources: [certificates.v1beta1.cert-manager.io]", "and group: \"cert-manager.io\""),
            ("resources: [volumes.vsphere.example.com]", "and group: \"vsphere.example.com\""),
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
            ("post", "", "pods", "no request has the verb \"post\"; for resources, write create"),
            ("get", "", "deployments.apps", "did you mean deployments in group \"apps\"?"),
            ("get", "", "deployments.v1.apps", "did you mean deployments in group \"apps\"?"),
            ("get", "", "secrets/web", "\"secrets\" has no subresource \"web\""),
            ("get", "", "po", "there are no \"po\" in group \"\"; did you mean pods in group \"\"?"),
            ("get", "apps", "Deployment", "did you mean deployments in group \"apps\"?"),
            ("get", "", "svc", "did you mean services in group \"\"?"),
            ("get", "", "pods/logs", "there is no subresource \"logs\"; did you mean log?"),
            ("get", "example.com", "Widget", "requests have the plural in lower case"),
            ("get", "", "deployments", "did you mean deployments in group \"apps\"?"),
            ("get", "", "Pod", "there are no \"Pod\" in group \"\"; did you mean pods in group \"\"?"),
        ] {
            let target = Target::Resource {
                group: group.into(),
                resource: resource.split('/').next().unwrap().into(),
                subresource: resource.split('/').nth(1).unwrap_or_default().into(),
                namespace: String::new(),
                name: String::new(),
            };
            let request = Request { user: "a".into(), groups: Vec::new(), verb: verb.into(), target };
            let found = doubts(&request).join("\n");
            assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{resource}: {found}");
        }
        let no_account = "is no service account; write system:serviceaccount:NAMESPACE:NAME";
        for (user, verb, expected) in [
            ("a", "", "verb \"\": the verb is empty; write one such as get".to_owned()),
            ("a", "GET", "verb \"GET\": verbs are in lower case; write get".to_owned()),
            ("a", "POST", "verb \"POST\": verbs are in lower case; for resources, write create".to_owned()),
            ("system:serviceaccount:web", "get", format!("user \"system:serviceaccount:web\" {no_account}")),
            (
                "system:serviceaccount:web:a:b",
                "get",
                format!("user \"system:serviceaccount:web:a:b\" {no_account}"),
            ),
            ("system:serviceaccount:web:robot.x", "get", String::new()),
            ("", "frobnicate", String::new()),
            ("a", "*", "verb \"*\": no request has this verb; write one, such as get".to_owned()),
            (
                "system:nodes",
                "get",
                "user \"system:nodes\" is a group; name a user, and name the group as a group".to_owned(),
            ),
        ] {
            let refusal = refusal(user, verb, Scope::Resources);
            let found = refusal.map(|(field, message)| format!("{field} {message}")).unwrap_or_default();
            assert_eq!(found, expected, "{user} {verb}");
        }
        for (resource, group, namespace, name, expected) in [
            ("pods/*", "", "", "", "\"pods/*\" has a wildcard"),
            ("deployments", "apps/v1", "", "", "\"apps/v1\" has a version; remove /v1"),
            ("pods", "core", "", "", "\"core\" is the API group of no request; for the core group, write \"\""),
            ("widgets", "Example.com", "", "", "\"Example.com\" is no API group"),
            ("pods", "", "A_b", "", "\"A_b\" is no namespace"),
            ("pods", "", "a", "a/b", "\"a/b\" is the name of no object"),
            ("nodes", "", "x", "", "\"x\": \"nodes\" are in no namespace; leave it out"),
            ("tokenreviews", "authentication.k8s.io", "x", "", "are in no namespace"),
            ("namespaces", "", "x", "x", ""),
            ("namespaces", "", "x", "y", "are in no namespace"),
            ("widgets", "example.com", "x", "y", ""),
            ("pods/log", "", "x", "y", ""),
        ] {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let [group, resource, subresource, namespace, name] =
                [group, resource, subresource, namespace, name].map(str::to_owned);
            let target = Target::Resource { group, resource, subresource, namespace, name };
            let found = resource_refusal(&target).map(|(_, message)| message).unwrap_or_default();
            assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{target:?}: {found}");
        }
        let target = Target::Url("/healthz".into());
        let request = Request { user: "a".into(), groups: Vec::new(), verb: "list".into(), target };
        assert_eq!(doubts(&request), ["no request has the verb \"list\"; for URLs, write get"]);
    }

    #[test]
    fn paths_of_resources_stand_apart_from_other_urls() {
        let found = "is the path of resources";
        for (url, expected) in [
            ("/api*", ""),
            ("/api/*", ""),
            ("/api/v1", ""),
            ("/api/v1*", ""),
            ("/api/v1/*", found),
            ("/api/v1/pods", found),
            ("/api/v1/pods*", found),
            ("/apis/*", ""),
            ("/apis/apps/*", ""),
            ("/apis/apps/v1", ""),
            ("/apis/apps/v1/*", found),
            ("/apis/apps/v1/deployments", found),
            ("/openapi/v3/apis/apps/v1", ""),
            ("\"*\"", ""),
        ] {
            assert_warns(&[&format!("nonResourceURLs: [{url}]")], expected);
        }
        assert_warns(
            &["resources: [{resources: [/healthz]}]"],
            "\"/healthz\" is a path; write it in nonResourceURLs",
        );
    }

    #[test]
    fn names_of_objects_are_for_requests_that_have_one() {
        let create = "a request to create an object has no name";
        for (verbs, resources, expected) in [
            ("create", "deployments], resourceNames: [web", create),
            ("create", "deployments", ""),
            ("create, get", "deployments], resourceNames: [web", create),
            // A subresource of an object that exists.
            ("create", "deployments/scale], resourceNames: [web", ""),
            ("create", "\"*\"], resourceNames: [web", ""),
            ("create", "deployments], resourceNames: [web, \"\"", ""),
            ("get, list", "deployments], resourceNames: [web", "a list has a name only with the field selector"),
            ("deletecollection", "deployments], resourceNames: [web", "a deletecollection never has a name"),
            (
                "watch, deletecollection",
                "deployments], resourceNames: [web",
                "a deletecollection never has a name",
            ),
            // So do the reflectors of client-go.
            ("get, list, watch", "deployments], resourceNames: [web", ""),
            ("get, update", "deployments], resourceNames: [web", ""),
        ] {
            assert_warns(
                &[&format!("verbs: [{verbs}], resources: [{{group: apps, resources: [{resources}]}}]")],
                expected,
            );
        }
        let unnamed =
            "verbs: [create], resources: [{resources: [pods], resourceNames: [a]}, {resources: [secrets]}]";
        assert_warns(&[unnamed], "");
    }

    #[test]
    fn pods_stand_for_themselves_alone() {
        let text = |rules: &str| format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{rules}");
        let pods = "- {level: Metadata, resources: [{resources: [secrets, pods]}]}\n";
        for (rules, expected) in [
            (pods.to_owned(), Some("5:55")),
            (pods.replace("pods", "pods/*"), None),
            (pods.replace("level", "verbs: [get, delete], level"), None),
            (pods.replace("level", "verbs: [create], level"), Some("5:72")),
            (pods.replace("Metadata", "None"), None),
            (format!("{pods}- {{level: Metadata, resources: [{{resources: [pods/exec]}}]}}\n"), None),
            (format!("{pods}- {{level: Metadata, users: [a]}}\n"), Some("5:55")),
            (format!("{pods}- {{level: None}}\n"), None),
            (format!("{pods}- {{level: Metadata}}\n"), None),
        ] {
            let findings = check(&text(&format!("- {{level: None, users: [x]}}\n{rules}")), None);
            let found = findings.iter().find(|found| found.id == Id::WithoutSubresources);
            assert_eq!(found.map(|found| found.position.to_string()).as_deref(), expected, "{rules}");
            // Exec is told once.
            let rest = findings.iter().find(|found| found.id == Id::CatchesNoRest);
            assert!(!(found.is_some() && rest.is_some_and(|rest| rest.message.contains("exec"))), "{rules}");
        }
    }

    #[test]
    fn stages_of_the_policy_and_of_the_rule_count_together() {
        for (stages, expected) in [
            (
                "[RequestReceived, ResponseComplete, ResponseStarted, Panic]",
                "omits, with the policy's omitStages, every stage",
            ),
            ("[RequestReceived, ResponseComplete, ResponseStarted]", "every stage"),
            ("[RequestReceived, ResponseComplete]", ""),
            ("[RequestReceived, ResponseComplete], verbs: [get]", ""),
            (
                "[RequestReceived, ResponseComplete], verbs: [get], resources: [{group: apps, resources: [deployments]}]",
                "every stage",
            ),
            (
                "[RequestReceived, ResponseComplete], verbs: [get, watch], resources: [{group: apps, resources: [deployments]}]",
                "",
            ),
            ("[RequestReceived, ResponseComplete], verbs: [get], resources: [{resources: [pods/log]}]", ""),
            ("[RequestReceived, ResponseComplete], nonResourceURLs: [/version]", "every stage"),
            ("[RequestReceived, ResponseComplete], nonResourceURLs: [\"*\"]", ""),
            ("[ResponseComplete, Panic]", ""),
        ] {
            assert_warns(&[&format!("users: [a], omitStages: {stages}"), "level: Metadata"], expected);
            assert_warns(&[&format!("level: None, users: [a], omitStages: {stages}"), "level: Metadata"], "");
        }
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
