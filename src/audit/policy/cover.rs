//! Whether one rule matches every request that another one matches.

use super::evaluate::{contains, group_matches, resource_matches, url_matches};
use super::identity::{groups_of_group, groups_of_user};
use super::{GroupResources, Rule, Scope, Word};

/// How many parts of a rule are looked for, and in how many rules, at most.
const PARTS: usize = 64;
const RULES: usize = 300;

/// The rules that match every request that `later` matches: one, or several that do so together, each a part of it. None
/// if in doubt.
pub fn hiders(earlier: &[Rule], later: &Rule) -> Vec<usize> {
    let first = |part: &Rule| earlier.iter().position(|rule| covers(rule, part));
    if let Some(at) = first(later) {
        return vec![at];
    }
    let parts = if earlier.len() <= RULES { parts(later) } else { Vec::new() };
    let mut found: Vec<_> = parts.iter().map(first).collect::<Option<_>>().unwrap_or_default();
    found.sort_unstable();
    found.dedup();
    found
}

/// A rule as one rule for each combination of a user, a verb, and the like. Together they match what the rule matches. None
/// if they are too many.
fn parts(rule: &Rule) -> Vec<Rule> {
    fn split<T: Clone>(rules: &[Rule], list: fn(&mut Rule) -> &mut Vec<T>) -> Vec<Rule> {
        let mut out = Vec::new();
        for rule in rules {
            let words = std::mem::take(list(&mut rule.clone()));
            if words.len() < 2 {
                out.push(rule.clone());
                continue;
            }
            for word in words.iter().take(PARTS + 1) {
                let mut part = rule.clone();
                *list(&mut part) = vec![word.clone()];
                out.push(part);
            }
            if out.len() > PARTS {
                break;
            }
        }
        out
    }
    let mut rules = vec![rule.clone()];
    for list in
        [|rule| &mut rule.users, |rule| &mut rule.user_groups, |rule| &mut rule.verbs, |rule| &mut rule.namespaces]
            as [fn(&mut Rule) -> &mut Vec<Word>; 4]
    {
        if rules.len() <= PARTS {
            rules = split(&rules, list);
        }
    }
    if rules.len() <= PARTS {
        rules = split(&rules, |rule| &mut rule.resources);
    }
    if rules.len() <= PARTS { rules } else { Vec::new() }
}

/// Whether `earlier` matches every request that `later` matches: [`super::evaluate::mismatch`] for sets of requests.
/// False if in doubt.
pub fn covers(earlier: &Rule, later: &Rule) -> bool {
    identities_cover(earlier, later)
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

/// A rule with groups matches whoever has one of them: so it covers the groups, and the users, that surely have one.
fn identities_cover(earlier: &Rule, later: &Rule) -> bool {
    let groups = |groups: &[String]| groups.iter().any(|group| contains(&earlier.user_groups, group));
    let by_groups = earlier.user_groups.is_empty()
        || !later.user_groups.is_empty()
            && later
                .user_groups
                .iter()
                .all(|group| contains(&earlier.user_groups, &group.text) || groups(&groups_of_group(&group.text)));
    list_covers(&earlier.users, &later.users)
        && (by_groups
            || !later.users.is_empty() && later.users.iter().all(|user| groups(&groups_of_user(&user.text))))
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
