//! Whether one rule matches every request that another one matches.

use super::evaluate::{contains, group_matches, resource_matches, url_matches};
use super::{GroupResources, Rule, Scope, Word};

/// Whether `earlier` matches every request that `later` matches: [`super::evaluate::mismatch`] for sets of requests.
/// False if in doubt.
pub fn covers(earlier: &Rule, later: &Rule) -> bool {
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
