//! Finds rules by which a log gets what is secret: bodies that have secrets, tokens or kubeconfigs.

use super::cover::hiders;
use super::evaluate::{combined, contains, group_matches, resource_matches};
use super::findings::{Id, Report};
use super::identity::is_of_anybody;
use super::words::is_namespaced;
use super::{GroupResources, Level, Policy, Rule, Stage, Word};

/// A resource whose bodies are secret.
struct Secret {
    name: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    /// The verbs of requests whose body is secret.
    requests: &'static [&'static str],
    /// The verbs of requests whose response is secret. The events of a watch are never recorded.
    responses: &'static [&'static str],
}

/// How many pairs of rules are compared, at most: those of 2000 rules.
const MOST: usize = 2_000_000;

const WRITES: &[&str] = &["create", "update", "patch"];

const SECRETS: [Secret; 3] = [
    Secret {
        name: "secrets",
        group: "",
        resource: "secrets",
        subresource: "",
        requests: WRITES,
        // A delete that has to wait, as for a finalizer, answers with the object.
        responses: &["get", "list", "create", "update", "patch", "delete", "deletecollection"],
    },
    Secret {
        name: "the tokens of service accounts",
        group: "",
        resource: "serviceaccounts",
        subresource: "token",
        requests: &[],
        responses: &["create"],
    },
    Secret {
        name: "the tokens in tokenreviews",
        group: "authentication.k8s.io",
        resource: "tokenreviews",
        subresource: "",
        requests: &["create"],
        responses: &["create"],
    },
];

/// Adds a finding for each rule that records what is secret.
pub fn check(policy: &Policy, out: &mut Report<'_>) {
    let mut left = MOST;
    for (i, rule) in policy.rules.iter().enumerate() {
        // Bodies are in the events of the later stages.
        let is_omitted =
            policy.omit_stages.iter().chain(&rule.omit_stages).any(|one| *one == Stage::ResponseComplete);
        if rule.level < Level::Request || is_omitted || !is_of_anybody(rule) {
            continue;
        }
        let Some(rest) = left.checked_sub(i) else { return };
        left = rest;
        let earlier = &policy.rules[..i];
        let found = SECRETS.iter().filter(|secret| is_recorded(secret, rule, earlier)).map(|secret| secret.name);
        let kubeconfigs = is_of_kubeconfigs(rule, earlier).then_some("kubeconfigs");
        let found: Vec<_> = found.chain(kubeconfigs).collect();
        if !found.is_empty() {
            let message = format!(
                "rules[{i}] puts the bodies of requests for {} into the log; put a rule with level Metadata for them \
                 before it",
                found.join(", ")
            );
            out.add(Id::Bodies, rule, message);
        }
    }
}

fn is_recorded(secret: &Secret, rule: &Rule, earlier: &[Rule]) -> bool {
    let responses = if rule.level == Level::RequestResponse { secret.responses } else { &[] };
    let verbs = secret.requests.iter().chain(responses);
    let name = combined(secret.resource, secret.subresource);
    let entries: Vec<&GroupResources> = rule
        .resources
        .iter()
        .filter(|entry| {
            let has = |word: &Word| resource_matches(&word.text, secret.resource, secret.subresource);
            group_matches(&entry.group, secret.group)
                && (entry.resources.is_empty() || entry.resources.iter().any(has))
        })
        .collect();
    if is_namespaced(secret.group, secret.resource) == Some(false)
        && !rule.namespaces.is_empty()
        && !contains(&rule.namespaces, "")
    {
        return false;
    }
    let is_any = rule.resources.is_empty() && rule.non_resource_urls.is_empty();
    let names = entries.iter().map(|entry| entry.resource_names.clone());
    let names: Vec<Vec<Word>> = if is_any { vec![Vec::new()] } else { names.collect() };
    let has_verb = |verb: &&&str| rule.verbs.is_empty() || contains(&rule.verbs, verb);
    verbs.filter(has_verb).any(|verb| {
        names.iter().any(|names| {
            let part = part(rule, secret.group, &name, names, Some(verb));
            hiders(earlier, &part).is_empty()
        })
    })
}

/// Does the rule itself name a resource of kubeconfigs, such as Gardener's `shoots/adminkubeconfig`?
fn is_of_kubeconfigs(rule: &Rule, earlier: &[Rule]) -> bool {
    rule.resources.iter().any(|entry| {
        entry.resources.iter().filter(|word| word.text.contains("kubeconfig")).any(|word| {
            let part = part(rule, &entry.group, &word.text, &entry.resource_names, None);
            hiders(earlier, &part).is_empty()
        })
    })
}

/// The part of a rule that is about one resource, and about one verb if there is one.
fn part(rule: &Rule, group: &str, resource: &str, names: &[Word], verb: Option<&str>) -> Rule {
    let word = |text: &str| Word { text: text.to_owned(), position: rule.position, end: rule.end };
    let entry = GroupResources {
        group: group.to_owned(),
        resources: vec![word(resource)],
        resource_names: names.to_vec(),
        position: rule.position,
        end: rule.end,
    };
    let verbs = verb.map_or(rule.verbs.clone(), |verb| vec![word(verb)]);
    // After a login that failed, there is no body.
    let user_groups = match rule.users.is_empty() && rule.user_groups.is_empty() {
        true => ["system:authenticated", "system:unauthenticated"].map(word).to_vec(),
        false => rule.user_groups.clone(),
    };
    Rule { verbs, user_groups, resources: vec![entry], ..rule.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::findings::Id;
    use super::super::lint::check;

    #[test]
    fn what_is_secret_is_found_where_a_body_has_it() {
        let (secrets, tokens, reviews) =
            ("secrets", "the tokens of service accounts", "the tokens in tokenreviews");
        let core = "resources: [{group: \"\"}]";
        let named = |resource: &str| format!("resources: [{{resources: [{resource}]}}]");
        for (earlier, rule, expected) in [
            ("", "level: RequestResponse".to_owned(), vec![secrets, tokens, reviews]),
            ("", "level: Request".to_owned(), vec![secrets, reviews]),
            ("", "level: Metadata".to_owned(), vec![]),
            ("", format!("level: RequestResponse, {core}"), vec![secrets, tokens]),
            ("", format!("level: Request, {core}, verbs: [get, list, watch, delete]"), vec![]),
            ("", format!("level: RequestResponse, {core}, verbs: [watch]"), vec![]),
            ("", format!("level: RequestResponse, {core}, verbs: [delete]"), vec![secrets]),
            ("", format!("level: Request, {core}, verbs: [delete]"), vec![]),
            ("", "level: Request, namespaces: [team]".to_owned(), vec![secrets]),
            ("", "level: Request, namespaces: [\"\"], verbs: [create], resources: [{group: authentication.k8s.io}]".to_owned(), vec![reviews]),
            // Nobody has these names.
            ("", format!("level: RequestResponse, users: [\"system:nodes\"], {core}"), vec![]),
            ("", format!("level: RequestResponse, userGroups: [\"system:node:a\"], {core}"), vec![]),
            // Who has the one group has the other.
            ("level: Metadata, userGroups: [\"system:serviceaccounts\"]", "level: RequestResponse, users: [\"system:serviceaccount:a:b\"]".to_owned(), vec![]),
            ("level: Metadata, userGroups: [\"system:authenticated\"]", "level: RequestResponse, users: [alice]".to_owned(), vec![]),
            ("level: Metadata, userGroups: [\"system:authenticated\"]", "level: RequestResponse".to_owned(), vec![secrets, tokens, reviews]),
            ("level: Metadata, userGroups: [\"system:authenticated\", \"system:unauthenticated\"]", "level: RequestResponse".to_owned(), vec![]),
            ("level: Metadata, users: [a]}\n- {level: Metadata, users: [b]", "level: Request, users: [a, b]".to_owned(), vec![]),
            ("", format!("level: RequestResponse, {core}, verbs: [deletecollection]"), vec![secrets]),
            ("", format!("level: RequestResponse, {}", named("pods, \"*/status\"")), vec![]),
            ("", format!("level: RequestResponse, {}", named("\"*/token\"")), vec![tokens]),
            ("", "level: RequestResponse, namespaces: [team]".to_owned(), vec![secrets, tokens]),
            ("", "level: RequestResponse, nonResourceURLs: [/x]".to_owned(), vec![]),
            ("", "level: Request, omitStages: [ResponseComplete]".to_owned(), vec![]),
            ("level: Metadata, resources: [{resources: [secrets]}]", format!("level: Request, {core}"), vec![]),
            ("level: None, users: [a], resources: [{resources: [secrets]}]", format!("level: Request, {core}"), vec![secrets]),
            ("level: None, users: [a, b], resources: [{resources: [secrets]}]", format!("level: Request, users: [b], {core}"), vec![]),
            ("level: Metadata, verbs: [create], resources: [{resources: [secrets]}]", format!("level: Request, {core}"), vec![secrets]),
            (
                "level: Metadata, resources: [{resources: [secrets], resourceNames: [a]}]",
                "level: Request, resources: [{resources: [secrets], resourceNames: [a]}]".to_owned(),
                vec![],
            ),
            (
                "",
                "level: RequestResponse, resources: [{group: core.gardener.cloud, resources: [shoots/adminkubeconfig]}]".to_owned(),
                vec!["kubeconfigs"],
            ),
        ] {
            let earlier = if earlier.is_empty() { String::new() } else { format!("- {{{earlier}}}\n") };
            let text = format!(
                "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{earlier}- {{{rule}}}\n- level: Metadata\n"
            );
            let found = check(&text, None).into_iter().find(|found| found.id == Id::Bodies);
            let expected = (!expected.is_empty()).then(|| format!("requests for {} into", expected.join(", ")));
            assert_eq!(found.is_some(), expected.is_some(), "{text}{found:?}");
            let (found, expected) = (found.map(|found| found.message), expected.unwrap_or_default());
            assert!(found.unwrap_or_default().contains(&expected), "{text}{expected}");
        }
    }
}
