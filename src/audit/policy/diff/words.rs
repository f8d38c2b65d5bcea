//! An area in words: on each axis the values that a request can have.

use super::bits::Bits;
use super::space::{Area, Axis, KINDS, Kind, NAMES, NAMESPACES, Space, USERS, VERBS};

/// Some words, or all but some. A word with a star at its end stands for all that begin so and that the policies don't
/// name; a star alone for all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    pub except: bool,
    pub words: Vec<String>,
}

/// Resources: those of some API groups, or all but those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    pub except: bool,
    /// The group, `*` for all that the policies don't name, and its resources.
    pub groups: Vec<(String, Words)>,
}

/// An area in words. `None`, and an empty list: any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub is_url: bool,
    pub users: Option<Words>,
    /// The user has a group of each of these lists.
    pub one_of: Vec<Vec<String>>,
    /// The user has none of these groups.
    pub none_of: Vec<String>,
    pub verbs: Option<Words>,
    pub resources: Option<Resources>,
    pub paths: Option<Words>,
    pub namespaces: Option<Words>,
    pub names: Option<Words>,
}

impl Described {
    /// The words for an area.
    pub(super) fn of(area: &Area, space: &Space) -> Described {
        let is_url = area.is_url;
        let groups = |set: &Bits| set.iter().map(|group| space.groups[group].clone()).collect::<Vec<_>>();
        // Users who can't have such groups need no mention.
        let mut possible = space.all(is_url);
        possible.one_of.clone_from(&area.one_of);
        possible.none_of.clone_from(&area.none_of);
        space.settle(&mut possible);
        let user = |number: usize| space.users[number].label.as_str();
        let all = space.all(is_url);
        let paths = all.sets[KINDS].iter().filter_map(|number| match &space.kinds[number] {
            Kind::Url { label, .. } if is_url => Some((label.as_str(), area.sets[KINDS].has(number))),
            _ => None,
        });
        Described {
            is_url,
            users: words(possible.sets[USERS].iter().map(|number| (user(number), area.sets[USERS].has(number)))),
            one_of: area.one_of.iter().map(groups).collect(),
            none_of: groups(&area.none_of),
            verbs: of_axis(&space.verbs, &area.sets[VERBS]),
            resources: if is_url { None } else { resources(area, space) },
            paths: words(paths),
            namespaces: of_axis(&space.namespaces, &area.sets[NAMESPACES]),
            names: of_axis(&space.names, &area.sets[NAMES]),
        }
    }
}

/// Words, and whether each is in the set, in short. `None`: all are.
fn words<'w>(all: impl Iterator<Item = (&'w str, bool)>) -> Option<Words> {
    let all: Vec<_> = all.collect();
    let except = all.iter().any(|(word, is_in)| *word == "*" && *is_in);
    let words: Vec<_> =
        all.iter().filter(|(_, is_in)| *is_in != except).map(|(word, _)| (*word).to_owned()).collect();
    (!all.iter().all(|(_, is_in)| *is_in)).then_some(Words { except, words })
}

fn of_axis(axis: &Axis, set: &Bits) -> Option<Words> {
    let word = |number: usize| if number == 0 { "*" } else { axis.words[number].as_str() };
    words((0..axis.words.len()).map(|number| (word(number), set.has(number))))
}

/// The resources of an area. `None`: all of them.
fn resources(area: &Area, space: &Space) -> Option<Resources> {
    let resource = |number: usize| match &space.kinds[number] {
        Kind::Resource { in_group, label, .. } => {
            Some((in_group.as_str(), label.as_str(), area.sets[KINDS].has(number)))
        }
        Kind::Url { .. } => None,
    };
    let all: Vec<_> = (0..space.kinds.len()).filter_map(resource).collect();
    if all.iter().all(|(.., is_in)| *is_in) {
        return None;
    }
    let except = all.iter().filter(|(group, ..)| *group == "*").all(|(.., is_in)| *is_in);
    let mut groups = Vec::new();
    for of_group in all.chunk_by(|(one, ..), (other, ..)| one == other) {
        let Some((group, ..)) = of_group.first() else { continue };
        if of_group.iter().any(|(.., is_in)| *is_in != except) {
            let listed = words(of_group.iter().map(|(_, word, is_in)| (*word, *is_in != except)));
            let listed = listed.unwrap_or(Words { except: true, words: Vec::new() });
            groups.push(((*group).to_owned(), listed));
        }
    }
    Some(Resources { except, groups })
}
