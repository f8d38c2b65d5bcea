//! For which requests two policies differ, and how.
//!
//! The requests that the policies can tell apart are a `Space`. It is split rule by rule: where a rule matches only a
//! part of an area, the area is divided by the first of the rule's lists that does so. An area in which both policies
//! have their deciding rule, and record different things by these rules, is a difference. An area in which both
//! policies have the same rules left, or in which all rules left record the same, is not looked at any further; so the
//! work depends on the differences more than on the policies.
//!
//! * `space` has the axes of the space, `bits` the sets of their words.
//! * [`words`] describes an area.

mod bits;
mod space;
pub mod words;

use super::evaluate::{Decision, Request, decision};
use super::{Level, Policy, STAGES};
use bits::Bits;
#[cfg(test)]
pub use space::can_be;
use space::{AXES, Area, KINDS, NAMES, Space};

/// How many times a rule is compared with an area, at most.
const MAX_WORK: usize = 20_000_000;
/// The largest number of areas.
const MAX_AREAS: usize = 20_000;

/// What a difference means for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The first policy records nothing.
    New,
    /// The second policy records nothing.
    Gone,
    More,
    Less,
    /// More in one way, and less in another one.
    Other,
}

/// The requests that one rule of each policy decides, where what they record differs.
#[derive(Debug)]
pub struct Class {
    pub change: Change,
    /// What the first policy decides, and what the second one does.
    pub decisions: [Decision; 2],
    /// One of the requests.
    pub witness: Request,
    areas: Vec<Area>,
}

/// The differences of two policies.
#[derive(Debug)]
pub struct Differences {
    /// In the order of the rules of the first policy, then of the second one.
    pub classes: Vec<Class>,
    space: Space,
}

/// A rule, or a part of one, as sets of the space.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    /// `None` for what is behind the last rule.
    rule: Option<usize>,
    sets: [Option<Bits>; AXES],
    groups: Option<Bits>,
    /// What is recorded: equal numbers, equal records.
    answer: usize,
    /// Equal numbers, equal sets and answers.
    shape: usize,
}

/// By what a row divides an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Split {
    Axis(usize),
    Groups,
}

/// The rows of each policy that are left in an area, and by what each divides it; `None`: it matches all of the area.
type Left = [Vec<(usize, Option<Split>)>; 2];

/// Finds the differences of two policies. `None`: it would take too long.
pub fn compare(policies: [&Policy; 2]) -> Option<Differences> {
    let space = Space::of(policies);
    let mut known = Vec::new();
    let rows = policies.map(|policy| rows(policy, &space, &mut known));
    let all: Vec<_> = rows.each_ref().map(|rows| (0..rows.len()).collect::<Vec<_>>()).into();
    // The last one is taken first.
    let mut open: Vec<_> = [true, false].map(|is_url| (space.all(is_url), all.clone())).into();
    let (mut found, mut areas, mut work) = (Vec::new(), 0, 0);
    while let Some((area, candidates)) = open.pop() {
        if area.sets[KINDS].is_empty() {
            continue;
        }
        let left: Left = [0, 1].map(|side| {
            let candidates = candidates.get(side).map(Vec::as_slice).unwrap_or_default();
            work += candidates.len();
            narrow(candidates, &rows[side], &area, &space)
        });
        if work > MAX_WORK {
            return None;
        }
        let row = |side: usize, at: usize| left[side].get(at).map(|(index, split)| (&rows[side][*index], *split));
        match divide(&left, &rows) {
            None => {}
            Some((side, at)) => match row(side, at) {
                Some((by, Some(split))) => {
                    let indexes = left
                        .each_ref()
                        .map(|left| left.iter().map(|(index, _)| *index).collect::<Vec<_>>())
                        .to_vec();
                    for part in parts(&area, by, split, &space) {
                        open.push((part, indexes.clone()));
                    }
                }
                _ => {
                    if let (Some((first, _)), Some((second, _))) = (row(0, 0), row(1, 0))
                        && space.witness(&area).is_some()
                    {
                        areas += 1;
                        work += put(&mut found, [first.rule, second.rule], area);
                    }
                }
            },
        }
        if areas > MAX_AREAS {
            return None;
        }
    }
    Some(Differences { classes: classes(policies, found, &space), space })
}

/// Which row to divide an area by: the policy's side and the place among the rows that are left. A row that matches all
/// of the area stands for a difference. `None` if there is no difference in the area.
fn divide(left: &Left, rows: &[Vec<Row>; 2]) -> Option<(usize, usize)> {
    let row = |side: usize, at: usize| left[side].get(at).map(|(index, split)| (&rows[side][*index], *split));
    let answers = |side: usize| left[side].iter().map(move |(index, _)| rows[side][*index].answer);
    let first = answers(0).next()?;
    if answers(0).chain(answers(1)).all(|answer| answer == first) {
        return None;
    }
    let shape = |side: usize, at: usize| row(side, at).map(|(row, _)| row.shape);
    // The rules in front of the first one that differs are the same in both policies: first go where it matches.
    let at = (0..left[0].len().max(left[1].len())).find(|at| shape(0, *at) != shape(1, *at))?;
    let divides = |side: usize| row(side, at).is_some_and(|(_, split)| split.is_some());
    match (divides(0), divides(1)) {
        (true, _) => Some((0, at)),
        (_, true) => Some((1, at)),
        _ => Some((0, 0)),
    }
}

/// The rows that match a part of the area, up to the first one that matches all of it.
fn narrow(candidates: &[usize], rows: &[Row], area: &Area, space: &Space) -> Vec<(usize, Option<Split>)> {
    let mut left = Vec::new();
    for index in candidates {
        let Some(row) = rows.get(*index) else { continue };
        if let Some(split) = relation(row, area, space) {
            left.push((*index, split));
            if split.is_none() {
                break;
            }
        }
    }
    left
}

/// By what a row divides an area: by nothing if it matches all of it. `None` if it matches nothing of it.
fn relation(row: &Row, area: &Area, space: &Space) -> Option<Option<Split>> {
    let mut split = None;
    for (axis, (set, of_area)) in row.sets.iter().zip(&area.sets).enumerate() {
        if let Some(set) = set {
            if !of_area.meets(set) {
                return None;
            }
            if split.is_none() && !of_area.is_within(set) {
                split = Some(Split::Axis(axis));
            }
        }
    }
    if let Some(groups) = &row.groups {
        match space.is_in(area, groups) {
            Some(false) => return None,
            Some(true) => {}
            None => split = split.or(Some(Split::Groups)),
        }
    }
    Some(split)
}

/// What is outside and what is inside of one of a row's lists.
fn parts(area: &Area, row: &Row, split: Split, space: &Space) -> Vec<Area> {
    let (mut outside, mut inside) = (area.clone(), area.clone());
    match split {
        Split::Axis(axis) => {
            if let Some(set) = &row.sets[axis] {
                outside.sets[axis] = area.sets[axis].without(set);
                inside.sets[axis] = area.sets[axis].and(set);
            }
        }
        Split::Groups => {
            if let Some(groups) = &row.groups {
                outside.none_of = area.none_of.or(groups);
                inside.one_of.push(groups.clone());
            }
        }
    }
    [outside, inside].into_iter().filter_map(|mut part| space.settle(&mut part).then_some(part)).collect()
}

/// A policy as rows; the last one is for what no rule matches. `known`: the answers and shapes so far.
fn rows(policy: &Policy, space: &Space, known: &mut Vec<Row>) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut push = |rule: Option<usize>, sets, groups| {
        let answer = answer(&decision(policy, rule));
        let mut row = Row { rule: None, sets, groups, answer, shape: 0 };
        row.shape = known.iter().position(|known| *known == row).unwrap_or(known.len());
        if row.shape == known.len() {
            known.push(row.clone());
        }
        row.shape += 1;
        row.rule = rule;
        rows.push(row);
    };
    for (index, rule) in policy.rules.iter().enumerate() {
        for (kinds, names) in space.kinds_of_rule(rule) {
            let mut sets = space.limits(rule);
            sets[KINDS] = kinds;
            sets[NAMES] = names;
            push(Some(index), sets, space.groups_of_rule(rule));
        }
    }
    push(None, Default::default(), None);
    rows
}

/// What is recorded, as a number. Without a level or a stage, nothing is. Without bodies, there are no managed fields.
pub fn answer(decision: &Decision) -> usize {
    if decision.level == Level::None || decision.omit_stages.len() == STAGES.len() {
        return 0;
    }
    let omitted = |bits: usize, (_, stage): &(_, _)| bits << 1 | usize::from(decision.omit_stages.contains(stage));
    let no_fields = decision.level > Level::Metadata && decision.omit_managed_fields;
    (decision.level as usize) << 5 | usize::from(no_fields) << 4 | STAGES.iter().fold(0, omitted)
}

/// Adds an area to those that the same two rules decide, as a part of another area if both together are one. Returns how
/// many areas it was compared with.
fn put(found: &mut Vec<([Option<usize>; 2], Vec<Area>)>, rules: [Option<usize>; 2], mut area: Area) -> usize {
    // What no rule matches comes last.
    let order = |rules: &[Option<usize>; 2]| rules.map(|rule| rule.unwrap_or(usize::MAX));
    let at = found.partition_point(|(known, _)| order(known) < order(&rules));
    if found.get(at).is_none_or(|(known, _)| *known != rules) {
        found.insert(at, (rules, Vec::new()));
    }
    let Some((_, areas)) = found.get_mut(at) else { return 0 };
    let mut work = 0;
    while let Some((known, joined)) =
        areas.iter().enumerate().find_map(|(known, one)| Some((known, joined(one, &area)?)))
    {
        work += areas.len();
        area = joined;
        areas.remove(known);
    }
    areas.push(area);
    work + areas.len()
}

/// Two areas as one, if they differ on at most one axis.
fn joined(one: &Area, other: &Area) -> Option<Area> {
    if one.is_url != other.is_url || one.one_of != other.one_of || one.none_of != other.none_of {
        return None;
    }
    let mut differing = (0..AXES).filter(|axis| one.sets[*axis] != other.sets[*axis]);
    let mut joined = one.clone();
    if let Some(axis) = differing.next() {
        joined.sets[axis] = one.sets[axis].or(&other.sets[axis]);
    }
    differing.next().is_none().then_some(joined)
}

fn classes(policies: [&Policy; 2], found: Vec<([Option<usize>; 2], Vec<Area>)>, space: &Space) -> Vec<Class> {
    let class = |(rules, areas): ([Option<usize>; 2], Vec<Area>)| {
        let witness = areas.iter().find_map(|area| space.witness(area))?;
        let decisions = [decision(policies[0], rules[0]), decision(policies[1], rules[1])];
        Some(Class { change: change(&decisions), decisions, witness, areas })
    };
    found.into_iter().filter_map(class).collect()
}

fn change(decisions: &[Decision; 2]) -> Change {
    let [from, to] = decisions;
    let is_at_most = |one: &Decision, other: &Decision| {
        one.level <= other.level
            && other.omit_stages.iter().all(|stage| one.omit_stages.contains(stage))
            && (one.level <= Level::Metadata || one.omit_managed_fields || !other.omit_managed_fields)
    };
    match (answer(from), answer(to)) {
        (0, _) => Change::New,
        (_, 0) => Change::Gone,
        _ if is_at_most(from, to) => Change::More,
        _ if is_at_most(to, from) => Change::Less,
        _ => Change::Other,
    }
}

impl Differences {
    /// Descriptions of the areas of a class, which together are all of its requests.
    pub fn described<'d>(&'d self, class: &'d Class) -> impl ExactSizeIterator<Item = words::Described> + 'd {
        class.areas.iter().map(|area| words::Described::of(area, &self.space))
    }
}

#[cfg(test)]
impl Differences {
    /// The class that a request is in.
    pub fn class_of(&self, request: &Request) -> Option<&Class> {
        self.classes.iter().find(|class| class.areas.iter().any(|area| self.space.contains(area, request)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::parse;
    use super::*;

    fn policy(fields: &str) -> Policy {
        let (policy, findings) = parse(&format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{fields}"), None);
        policy.unwrap_or_else(|| panic!("{fields}: {findings:?}"))
    }

    /// `policy explain` refuses such requests, too.
    #[test]
    fn what_no_request_can_be_is_no_difference() {
        let all = "verbs: [get, list, watch, create, update, patch, delete, deletecollection, proxy]";
        for (rule, is_found) in [
            ("verbs: [GET]", false),
            ("verbs: [\"GET\", get]", true),
            ("users: [\"system:serviceaccount:web\"]", false),
            ("users: [\"system:serviceaccount:web:app\"]", true),
            ("namespaces: [a], resources: [{resources: [namespaces], resourceNames: [b]}]", false),
            ("namespaces: [a], resources: [{resources: [namespaces], resourceNames: [a]}]", true),
        ] {
            let to = policy(&format!("rules: [{{level: None, {rule}}}, {{level: Metadata}}]\n"));
            let from = policy("rules: [level: Metadata]\n");
            assert_eq!(!compare([&from, &to]).unwrap().classes.is_empty(), is_found, "{rule}");
        }
        // A resource has no other verb than these.
        let [from, to] = ["Metadata", "None"].map(|rest| {
            policy(&format!("rules: [{{level: Metadata, namespaces: [a], {all}}}, {{level: {rest}, namespaces: [a]}}, {{level: Request}}]\n"))
        });
        assert!(compare([&from, &to]).unwrap().classes.is_empty());
    }

    #[test]
    fn what_is_recorded_is_more_or_less() {
        for (from, to, expected) in [
            ("level: None", "level: Metadata", Some(Change::New)),
            ("level: Metadata", "level: None", Some(Change::Gone)),
            ("level: Metadata", "level: Request", Some(Change::More)),
            ("level: RequestResponse", "level: Request", Some(Change::Less)),
            ("level: Request", "level: Request, omitStages: [Panic]", Some(Change::Less)),
            ("level: Request, omitStages: [Panic]", "level: Request", Some(Change::More)),
            (
                "level: Request, omitStages: [Panic]",
                "level: Request, omitStages: [RequestReceived]",
                Some(Change::Other),
            ),
            ("level: Request, omitStages: [Panic]", "level: Metadata", Some(Change::Other)),
            ("level: Request", "level: Request, omitManagedFields: true", Some(Change::Less)),
            ("level: Request, omitManagedFields: true", "level: Request", Some(Change::More)),
            (
                "level: Request, omitManagedFields: true",
                "level: Request, omitStages: [Panic]",
                Some(Change::Other),
            ),
            ("level: Metadata", "level: Request, omitManagedFields: true", Some(Change::More)),
            // Nothing else is recorded.
            ("level: Metadata", "level: Metadata, omitManagedFields: true", None),
            ("level: None", "level: None, omitStages: [Panic]", None),
            (
                "level: None",
                "level: Metadata, omitStages: [RequestReceived, ResponseStarted, ResponseComplete, Panic]",
                None,
            ),
        ] {
            let [from, to] = [from, to].map(|rule| policy(&format!("rules: [{{{rule}}}]\n")));
            let found = compare([&from, &to]).unwrap();
            let changes: Vec<_> = found.classes.iter().map(|class| class.change).collect();
            assert_eq!(changes, Vec::from_iter(expected), "{from:?} {to:?}");
        }
    }

    /// A policy with many rules, each for some user, verb and group, and a resource of its own.
    fn large(rules: usize, prefix: &str, level: &str) -> Policy {
        let rule = |number: usize| {
            format!(
                "- {{level: {level}, users: [{prefix}{}], verbs: [v{prefix}{}], resources: [{{group: {prefix}{}.io, \
                 resources: [r{number}]}}]}}\n",
                number % 50,
                number % 70,
                number % 90
            )
        };
        policy(&format!("rules:\n{}", (0..rules).map(rule).collect::<String>()))
    }

    #[test]
    fn a_thousand_rules_are_compared_or_refused() {
        let first = large(1000, "a", "Metadata");
        let mut second = first.clone();
        second.rules[700].level = Level::Request;
        second.rules.remove(300);
        let found = compare([&first, &second]).unwrap();
        let rules: Vec<_> =
            found.classes.iter().map(|class| class.decisions.each_ref().map(|one| one.rule)).collect();
        assert_eq!(rules, [[Some(300), None], [Some(700), Some(699)]]);
        assert!(compare([&first, &policy("rules: [{level: Metadata}]\n")]).is_some());
        let small = [large(200, "a", "Metadata"), large(200, "b", "Request")];
        assert_eq!(compare(small.each_ref()).unwrap().classes.len(), 400);
        let [users, verbs] = ["users", "verbs"].map(|list| {
            let rule = |number: usize| {
                format!("- {{level: Request, {list}: [x{number}], omitManagedFields: {}}}\n", list == "users")
            };
            policy(&format!("rules:\n{}", (0..200).map(rule).collect::<String>()))
        });
        assert!(compare([&users, &verbs]).is_none());
    }
}
