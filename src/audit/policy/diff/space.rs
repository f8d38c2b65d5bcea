//! The requests that two policies can tell apart.
//!
//! A policy compares words: two requests that differ only in words that it doesn't name are the same to it. So on each
//! axis (users, verbs, resources and paths, namespaces, names) there are the words that a policy names, and one word
//! that stands for all others. Axes with patterns have one word for each set that the patterns can tell apart.
//! Groups are no axis, as a user has any number of them.

use super::bits::Bits;
use crate::audit::policy::evaluate::{
    Request, Target, combined, group_matches, groups_of, is_resource_path, resource_matches, url_matches,
};
use crate::audit::policy::identity::account_fault;
use crate::audit::policy::words::{RESOURCE_VERBS, URL_VERBS, builtin_resources, refusal, resource_refusal};
use crate::audit::policy::{Policy, Rule, Scope, Word};

/// The groups of which every user has one.
const EVERYBODY: [&str; 2] = ["system:authenticated", "system:unauthenticated"];

/// A user who can be.
const SOMEBODY: &str = "alice";

pub const USERS: usize = 0;
pub const VERBS: usize = 1;
pub const KINDS: usize = 2;
pub const NAMESPACES: usize = 3;
pub const NAMES: usize = 4;
pub const AXES: usize = 5;

/// Users that the policies can't tell apart.
#[derive(Debug)]
pub struct User {
    /// One of them.
    pub name: String,
    /// The user by name, or a pattern that ends in a star, for all whom the policies don't name.
    pub label: String,
    is_named: bool,
    /// The groups that they have anyway, among those of the space.
    own: Bits,
    /// The group of everybody that they have if they are in neither by name.
    default: usize,
}

/// Words, of which the first stands for all that the policies don't name.
#[derive(Debug)]
pub struct Axis {
    pub words: Vec<String>,
}

/// What a request is for.
#[derive(Debug)]
pub enum Kind {
    /// `label` is the resource as a rule names it, with a star for what the policies don't name; so is `in_group`.
    Resource { group: String, resource: String, subresource: String, in_group: String, label: String },
    /// `label` is the path, or a pattern for all paths that begin so and are not told apart.
    Url { path: String, label: String },
}

impl Kind {
    pub fn is_url(&self) -> bool {
        matches!(self, Kind::Url { .. })
    }
}

#[derive(Debug)]
pub struct Space {
    /// The first one stands for whoever is none of the others; the last one is nobody, as after a failed
    /// authentication.
    pub users: Vec<User>,
    /// The groups that a policy names, and those of everybody.
    pub groups: Vec<String>,
    pub everybody: Bits,
    pub verbs: Axis,
    pub kinds: Vec<Kind>,
    pub namespaces: Axis,
    pub names: Axis,
}

/// Requests: those that have a value of each of the sets, that have one group of each set of `one_of`, and no group of
/// `none_of`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// Whether the requests are for paths; else they are for resources.
    pub is_url: bool,
    pub sets: [Bits; AXES],
    pub one_of: Vec<Bits>,
    pub none_of: Bits,
}

/// The first of the words that is free, or else the last one with a number.
fn fresh(words: &[&str], is_taken: &dyn Fn(&str) -> bool) -> String {
    if let Some(word) = words.iter().find(|word| !is_taken(word)) {
        return (*word).to_owned();
    }
    let last = words.last().copied().unwrap_or_default();
    let numbered = (1..).map(|number| format!("{last}{number}"));
    numbered.into_iter().find(|word| !is_taken(word)).unwrap_or_default()
}

fn add(words: &mut Vec<String>, word: &str) {
    if !words.iter().any(|known| known == word) {
        words.push(word.to_owned());
    }
}

fn add_number(numbers: &mut Vec<usize>, number: usize) {
    if !numbers.contains(&number) {
        numbers.push(number);
    }
}

impl Axis {
    /// The words of the lists. `others` are words that may stand for all others.
    fn new(always: &[&str], lists: &[&[Word]], others: &[&str]) -> Axis {
        let mut words: Vec<String> = always.iter().map(|word| (*word).to_owned()).collect();
        lists.iter().flat_map(|list| list.iter()).for_each(|word| add(&mut words, &word.text));
        let other = fresh(others, &|word| words.iter().any(|known| known == word));
        words.insert(0, other);
        Axis { words }
    }

    /// The word that stands for this one.
    pub fn index(&self, text: &str) -> usize {
        self.words.iter().skip(1).position(|word| word == text).map_or(0, |at| at + 1)
    }

    /// The words of a list, or none if the list is empty and so limits nothing.
    fn limit(&self, list: &[Word]) -> Option<Bits> {
        let indexes: Vec<_> = list.iter().map(|word| self.index(&word.text)).collect();
        (!list.is_empty()).then(|| Bits::of(self.words.len(), |number| indexes.contains(&number)))
    }

    fn all(&self) -> Bits {
        Bits::of(self.words.len(), |_| true)
    }
}

impl Space {
    /// What the two policies can tell apart.
    pub fn of(policies: [&Policy; 2]) -> Space {
        let rules: Vec<&Rule> = policies.iter().flat_map(|policy| &policy.rules).collect();
        let lists = |list: fn(&Rule) -> &[Word]| rules.iter().map(|rule| list(rule)).collect::<Vec<_>>();
        let entries = rules.iter().flat_map(|rule| &rule.resources);
        let names: Vec<&[Word]> = entries.map(|entry| entry.resource_names.as_slice()).collect();
        let mut groups: Vec<String> = EVERYBODY.map(str::to_owned).to_vec();
        lists(|rule| &rule.user_groups).into_iter().flatten().for_each(|word| add(&mut groups, &word.text));
        let named = Axis::new(&[], &lists(|rule| &rule.users), &["alice", "bob", "carol", "user"]).words;
        Space {
            users: users(named, &groups),
            everybody: Bits::of(groups.len(), |group| group < EVERYBODY.len()),
            groups,
            // Which verbs there are depends on the kind, so a witness picks its own.
            verbs: Axis::new(&[], &lists(|rule| &rule.verbs), &["other"]),
            kinds: kinds(&rules),
            namespaces: Axis::new(&[""], &lists(|rule| &rule.namespaces), &["web", "shop", "team"]),
            names: Axis::new(&[""], &names, &["main", "extra", "object"]),
        }
    }

    /// All requests for resources, or all others.
    pub fn all(&self, is_url: bool) -> Area {
        Area {
            is_url,
            sets: [
                Bits::of(self.users.len(), |_| true),
                self.verbs.all(),
                Bits::of(self.kinds.len(), |kind| self.kinds[kind].is_url() == is_url),
                self.namespaces.all(),
                self.names.all(),
            ],
            one_of: Vec::new(),
            none_of: Bits::of(self.groups.len(), |_| false),
        }
    }

    /// What a rule's lists of words limit: its users, verbs and namespaces.
    pub fn limits(&self, rule: &Rule) -> [Option<Bits>; AXES] {
        let users: Vec<_> = rule.users.iter().map(|word| word.text.as_str()).collect();
        let is_user = |number: usize| {
            let user = &self.users[number];
            user.is_named && users.contains(&user.name.as_str())
        };
        [
            (!users.is_empty()).then(|| Bits::of(self.users.len(), is_user)),
            self.verbs.limit(&rule.verbs),
            None,
            self.namespaces.limit(&rule.namespaces),
            None,
        ]
    }

    /// The groups of a rule; `None` if it has none.
    pub fn groups_of_rule(&self, rule: &Rule) -> Option<Bits> {
        let is_in = |group: usize| rule.user_groups.iter().any(|word| word.text == self.groups[group]);
        (!rule.user_groups.is_empty()).then(|| Bits::of(self.groups.len(), is_in))
    }

    /// What a rule is for: sets of kinds, each with the names that it is limited to.
    pub fn kinds_of_rule(&self, rule: &Rule) -> Vec<(Option<Bits>, Option<Bits>)> {
        let set = |is_it: &dyn Fn(&Kind) -> bool| Bits::of(self.kinds.len(), |kind| is_it(&self.kinds[kind]));
        match rule.scope() {
            Scope::Everything => vec![(None, None)],
            Scope::NonResourceUrls => {
                let urls = &rule.non_resource_urls;
                let matches = |path: &str| urls.iter().any(|url| url_matches(&url.text, path));
                vec![(Some(set(&|kind| matches!(kind, Kind::Url { path, .. } if matches(path)))), None)]
            }
            Scope::Resources if rule.resources.is_empty() => vec![(Some(set(&|kind| !kind.is_url())), None)],
            Scope::Resources => {
                let mut limits: Vec<(Bits, Option<Bits>)> = Vec::new();
                for entry in &rule.resources {
                    let matches = |kind: &Kind| match kind {
                        Kind::Url { .. } => false,
                        Kind::Resource { group, resource, subresource, .. } => {
                            let words = &entry.resources;
                            group_matches(&entry.group, group)
                                && (words.is_empty()
                                    || words
                                        .iter()
                                        .any(|word| resource_matches(&word.text, resource, subresource)))
                        }
                    };
                    // Without resources, the API server doesn't look at the names.
                    let names = if entry.resources.is_empty() { &[] } else { entry.resource_names.as_slice() };
                    let (kinds, names) = (set(&matches), self.names.limit(names));
                    match limits.iter_mut().find(|(_, known)| *known == names) {
                        Some((known, _)) => *known = known.or(&kinds),
                        None => limits.push((kinds, names)),
                    }
                }
                limits.into_iter().map(|(kinds, names)| (Some(kinds), names)).collect()
            }
        }
    }

    /// Leaves out the users who can't have such groups. False if nobody is left.
    pub fn settle(&self, area: &mut Area) -> bool {
        let is_possible = |number: usize| {
            let user = &self.users[number];
            area.sets[USERS].has(number)
                && match user.name.is_empty() {
                    true => area.one_of.is_empty(),
                    false => !user.own.meets(&area.none_of) && !self.everybody.is_within(&area.none_of),
                }
        };
        area.sets[USERS] = Bits::of(self.users.len(), is_possible);
        !area.sets[USERS].is_empty() && !area.one_of.iter().any(|set| set.is_within(&area.none_of))
    }

    /// Whether each request of an area has one of these groups (true), none has one (false), or some do (`None`).
    pub fn is_in(&self, area: &Area, groups: &Bits) -> Option<bool> {
        let users = || area.sets[USERS].iter().filter_map(|number| self.users.get(number));
        if groups.is_within(&area.none_of) || users().all(|user| user.name.is_empty()) {
            return Some(false);
        }
        let is_among = |set: &Bits| set.without(&area.none_of).is_within(groups);
        let somebody = users().all(|user| !user.name.is_empty());
        let always = area.one_of.iter().any(is_among)
            || is_among(&self.everybody)
            || users().all(|user| user.own.meets(groups));
        (somebody && always).then_some(true)
    }

    /// A request of the area that can exist. `None` if none can.
    pub fn witness(&self, area: &Area) -> Option<Request> {
        let (user, groups) = area.sets[USERS]
            .iter()
            .filter_map(|number| {
                self.groups_in(area, &self.users[number]).map(|(picked, groups)| (picked, number, groups))
            })
            .min_by_key(|(picked, number, _)| (*picked, *number))
            .map(|(_, number, groups)| (self.users[number].name.clone(), groups))?;
        let mut kinds: Vec<_> = area.sets[KINDS].iter().map(|number| &self.kinds[number]).collect();
        kinds.sort_by_key(|kind| matches!(kind, Kind::Resource { subresource, .. } if !subresource.is_empty()));
        for kind in kinds {
            for verb in area.sets[VERBS].iter() {
                if let Some(verb) = self.verb(verb, kind)
                    && let Some(target) = self.target(area, kind, &verb)
                {
                    return Some(Request { user, groups, verb, target });
                }
            }
        }
        None
    }

    /// Groups with which a user is in the area: how many must be named, and all of them. `None` if there are none.
    fn groups_in(&self, area: &Area, user: &User) -> Option<(usize, Vec<String>)> {
        if user.name.is_empty() {
            return area.one_of.is_empty().then(|| (0, Vec::new()));
        }
        let mut picked: Vec<usize> = Vec::new();
        if area.none_of.has(user.default) {
            picked.extend((0..EVERYBODY.len()).find(|group| !area.none_of.has(*group)));
        }
        for set in &area.one_of {
            // One who is in a group of everybody by name is not in the other one by default.
            let is_default =
                |group: usize| group == user.default && !picked.iter().any(|one| self.everybody.has(*one));
            let has = |group: usize| user.own.has(group) || picked.contains(&group) || is_default(group);
            if !set.iter().any(has) {
                let free = set.iter().filter(|group| !area.none_of.has(*group));
                picked.push(free.min_by_key(|group| (self.groups[*group].starts_with("system:"), *group))?);
            }
        }
        if picked.iter().any(|one| self.everybody.has(*one)) && !area.none_of.has(user.default) {
            add_number(&mut picked, user.default);
        }
        let named = picked.iter().map(|group| self.groups[*group].clone()).collect();
        Some((picked.len(), groups_of(&user.name, named)))
    }

    /// The verb with a number: one that requests for this kind have. `None` if all that they have are named.
    fn verb(&self, number: usize, kind: &Kind) -> Option<String> {
        let words = &self.verbs.words;
        let verbs = if kind.is_url() { URL_VERBS } else { RESOURCE_VERBS };
        match number {
            0 => verbs.iter().find(|verb| !words.iter().any(|word| word == *verb)).map(|verb| (*verb).to_owned()),
            _ => words.get(number).cloned(),
        }
    }

    /// What a request with a verb is for, with a namespace and a name of the area. `None` if no such request can exist.
    fn target(&self, area: &Area, kind: &Kind, verb: &str) -> Option<Target> {
        let Kind::Resource { group, resource, subresource, .. } = kind else {
            let Kind::Url { path, .. } = kind else { return None };
            let target = Target::Url(path.clone());
            return can_be(SOMEBODY, verb, &target).then_some(target);
        };
        let target = |namespace: &str, name: &str| Target::Resource {
            group: group.clone(),
            resource: resource.clone(),
            subresource: subresource.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let one_object = ["get", "update", "patch", "delete"].contains(&verb) || !subresource.is_empty();
        let mut names: Vec<&str> =
            area.sets[NAMES].iter().map(|number| self.names.words[number].as_str()).collect();
        names.sort_by_key(|name| name.is_empty() == one_object);
        // A namespace is its own name.
        let others = self.namespaces.words.iter().map(String::as_str);
        names.extend(others.filter(|word| area.sets[NAMES].has(self.names.index(word))));
        let mut spaces: Vec<&str> =
            area.sets[NAMESPACES].iter().map(|number| self.namespaces.words[number].as_str()).collect();
        spaces.sort_by_key(|space| !space.is_empty());
        for name in names {
            let own = [name];
            let is_namespace = resource == "namespaces" && !name.is_empty();
            let spaces = if is_namespace { &own[..] } else { &spaces };
            let is_right = |space: &&&str| {
                area.sets[NAMESPACES].has(self.namespaces.index(space))
                    && can_be(SOMEBODY, verb, &target(space, name))
            };
            if let Some(space) = spaces.iter().find(is_right) {
                return Some(target(space, name));
            }
        }
        None
    }

    /// Whether a request is in the area. False if the request can't exist.
    #[cfg(test)]
    pub fn contains(&self, area: &Area, request: &Request) -> bool {
        let named = |user: &&User| {
            user.is_named && user.name == request.user || request.user.is_empty() && user.name.is_empty()
        };
        let own = own_groups(&request.user, &self.groups);
        let alike =
            |user: &&User| !user.is_named && !user.name.is_empty() && (user.own.clone(), user.default) == own;
        let user = self
            .users
            .iter()
            .position(|user| named(&user))
            .or_else(|| self.users.iter().position(|user| alike(&user)));
        let user = user.expect("somebody stands for each user");
        let groups = Bits::of(self.groups.len(), |group| request.groups.contains(&self.groups[group]));
        let (kind, namespace, name) = match &request.target {
            Target::Url(path) => (self.url(path), None, None),
            Target::Resource { group, resource, subresource, namespace, name } => (
                self.resource(group, resource, subresource),
                Some(self.namespaces.index(namespace)),
                Some(self.names.index(name)),
            ),
        };
        area.sets[USERS].has(user)
            && area.sets[VERBS].has(self.verbs.index(&request.verb))
            && area.sets[KINDS].has(kind.expect("a kind stands for each request"))
            && namespace.is_none_or(|namespace| area.sets[NAMESPACES].has(namespace))
            && name.is_none_or(|name| area.sets[NAMES].has(name))
            && area.one_of.iter().all(|set| set.meets(&groups))
            && !area.none_of.meets(&groups)
    }

    #[cfg(test)]
    fn url(&self, path: &str) -> Option<usize> {
        let label = |kind: &Kind| match kind {
            Kind::Url { label, .. } => Some(label.clone()),
            Kind::Resource { .. } => None,
        };
        let labels = || self.kinds.iter().enumerate().filter_map(|(at, kind)| Some((at, label(kind)?)));
        labels().find(|(_, label)| label == path && !label.ends_with('*')).map(|(at, _)| at).or_else(|| {
            labels()
                .filter(|(_, label)| label.ends_with('*') && url_matches(label, path))
                .max_by_key(|(_, label)| label.len())
                .map(|(at, _)| at)
        })
    }

    #[cfg(test)]
    fn resource(&self, group: &str, resource: &str, subresource: &str) -> Option<usize> {
        let known = |group: &str, label: &str| {
            self.kinds.iter().position(|kind| matches!(kind, Kind::Resource { in_group, label: known, .. } if in_group == group && known == label))
        };
        let is_known = |group: &str| {
            self.kinds.iter().any(|kind| matches!(kind, Kind::Resource { in_group, .. } if in_group == group))
        };
        let group = if is_known(group) { group } else { "*" };
        let words = if known(group, resource).is_some() { resource } else { "*" };
        known(group, &combined(words, subresource)).or_else(|| known(group, &combined(words, "*")))
    }
}

/// Whether a user can make a request with this verb for this, as `policy explain` takes it: the URL of a create has no
/// name, nor has that of a deletecollection, and that of a namespace names it twice.
pub fn can_be(user: &str, verb: &str, target: &Target) -> bool {
    if refusal(user, verb, target.scope()).is_some() || resource_refusal(target).is_some() {
        return false;
    }
    match target {
        Target::Url(path) => path.starts_with('/') && !path.contains('?') && !is_resource_path(path),
        Target::Resource { resource, subresource, namespace, name, .. } => {
            name.is_empty()
                || (resource != "namespaces" || namespace == name)
                    && (verb != "create" || !subresource.is_empty())
                    && verb != "deletecollection"
        }
    }
}

/// The groups that a user has anyway, and the group of everybody that is added if neither is named.
fn own_groups(user: &str, groups: &[String]) -> (Bits, usize) {
    let default = groups_of(user, Vec::new());
    let default = EVERYBODY.iter().position(|group| default.iter().any(|own| own == group)).unwrap_or_default();
    // With the group of everybody named, the others are those that nothing can take away.
    let named = groups_of(user, vec![EVERYBODY[default].to_owned()]);
    let is_own = |group: usize| group >= EVERYBODY.len() && named.contains(&groups[group]);
    (Bits::of(groups.len(), is_own), default)
}

/// The users: first one for all others, then those whom a policy names, then those who are told apart by the groups
/// that they have anyway, and nobody.
fn users(named: Vec<String>, groups: &[String]) -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    let mut push = |name: &str, label: &str, is_named: bool| {
        let (own, default) = own_groups(name, groups);
        let is_alike = |user: &User| !user.is_named && (&user.own, user.default) == (&own, default);
        if is_named || name.is_empty() || !users.iter().any(is_alike) {
            users.push(User { name: name.to_owned(), label: label.to_owned(), is_named, own, default });
        }
    };
    let is_taken = |name: &str| named.iter().skip(1).any(|known| known == name);
    if let Some(other) = named.first() {
        push(other, "*", false);
    }
    // A rule for a user who can't be matches nobody.
    named.iter().skip(1).filter(|name| account_fault(name).is_none()).for_each(|name| push(name, name, true));
    let anonymous = "system:anonymous";
    if !is_taken(anonymous) {
        push(anonymous, anonymous, false);
    }
    push(&fresh(&["system:node:worker-1", "system:node:worker-2"], &is_taken), "system:node:*", false);
    let account = |namespace: &str, name: &str| format!("system:serviceaccount:{namespace}:{name}");
    let spaces = groups.iter().filter_map(|group| group.strip_prefix("system:serviceaccounts:"));
    let is_named_space = |space: &str| spaces.clone().any(|known| known == space);
    let other = fresh(&["web", "shop", "team"], &is_named_space);
    for space in spaces.clone().chain([other.as_str()]) {
        let names = [account(space, "default"), account(space, "app")];
        let name = fresh(&names.each_ref().map(String::as_str), &is_taken);
        let label = if is_named_space(space) { account(space, "*") } else { account("*", "*") };
        push(&name, &label, false);
    }
    push("", "", false);
    users
}

/// The kinds of resources, group by group, and then of paths.
fn kinds(rules: &[&Rule]) -> Vec<Kind> {
    let entries: Vec<_> = rules.iter().flat_map(|rule| &rule.resources).collect();
    let mut groups: Vec<String> = Vec::new();
    entries.iter().filter(|entry| entry.group != "*").for_each(|entry| add(&mut groups, &entry.group));
    let other = fresh(&["", "apps", "example.com"], &|group| groups.iter().any(|known| known == group));
    let mut kinds = Vec::new();
    for (group, label) in groups.iter().map(|group| (group, group.as_str())).chain([(&other, "*")]) {
        let of_group = entries.iter().filter(|entry| group_matches(&entry.group, group));
        let patterns: Vec<&str> =
            of_group.flat_map(|entry| entry.resources.iter().map(|word| word.text.as_str())).collect();
        resources(group, label, &patterns, &mut kinds);
    }
    let urls: Vec<_> =
        rules.iter().flat_map(|rule| &rule.non_resource_urls).map(|word| word.text.as_str()).collect();
    paths(&urls, &mut kinds);
    kinds
}

/// Adds the resources of a group that patterns can tell apart.
fn resources(group: &str, in_group: &str, patterns: &[&str], kinds: &mut Vec<Kind>) {
    let (mut named, mut everywhere, mut subs) = (Vec::new(), Vec::new(), Vec::new());
    for pattern in patterns {
        let (resource, sub) = pattern.split_once('/').unwrap_or((pattern, ""));
        if !resource.is_empty() && resource != "*" {
            add(&mut named, resource);
        }
        // No request has a subresource with a slash.
        if !sub.is_empty() && sub != "*" && !sub.contains('/') {
            add(&mut subs, sub);
            if resource == "*" {
                add(&mut everywhere, sub);
            }
        }
    }
    let builtin = builtin_resources(group).unwrap_or_default();
    let preferred = if group.is_empty() { &["pods", "services"][..] } else { &[] };
    let others = [preferred, builtin, &["widgets"]].concat();
    let other = fresh(&others, &|word| named.iter().any(|known| known == word));
    let other_sub = fresh(&["status", "scale", "other"], &|word| subs.iter().any(|known| known == word));
    for (resource, label) in named.iter().map(|name| (name, name.as_str())).chain([(&other, "*")]) {
        let mut of_this = everywhere.clone();
        for pattern in patterns {
            if let Some((before, sub)) = pattern.split_once('/')
                && before == resource
                && subs.iter().any(|known| known == sub)
            {
                add(&mut of_this, sub);
            }
        }
        let of_this = of_this.iter().map(|sub| (sub.as_str(), sub.as_str()));
        for (sub, sub_label) in [("", "")].into_iter().chain(of_this).chain([(other_sub.as_str(), "*")]) {
            kinds.push(Kind::Resource {
                group: group.to_owned(),
                resource: resource.clone(),
                subresource: sub.to_owned(),
                in_group: in_group.to_owned(),
                label: combined(label, sub_label),
            });
        }
    }
}

/// Adds the paths that patterns can tell apart: each path that is named, and for each prefix one that no longer prefix
/// matches.
fn paths(patterns: &[&str], kinds: &mut Vec<Kind>) {
    let (mut exact, mut prefixes) = (Vec::new(), vec![String::new()]);
    for pattern in patterns {
        match pattern.strip_suffix('*') {
            Some(prefix) => add(&mut prefixes, prefix),
            None => add(&mut exact, pattern),
        }
    }
    let can_be = |path: &str| can_be(SOMEBODY, "get", &Target::Url(path.to_owned()));
    for path in exact.iter().filter(|path| can_be(path)) {
        kinds.push(Kind::Url { path: path.clone(), label: path.clone() });
    }
    for prefix in &prefixes {
        let is_apart = |path: &String| {
            let longest = prefixes.iter().filter(|known| path.starts_with(*known)).map(String::len).max();
            can_be(path) && longest == Some(prefix.len()) && !exact.contains(path)
        };
        // If each next letter begins a longer prefix, no path is left for this one.
        let start = if prefix.is_empty() { "/" } else { prefix.as_str() };
        let longer = ('!'..='~').rev().map(|letter| format!("{start}{letter}"));
        let mut candidates = ["/version", start].map(str::to_owned).into_iter().chain(longer);
        if let Some(path) = candidates.find(is_apart) {
            kinds.push(Kind::Url { path, label: format!("{prefix}*") });
        }
    }
}
