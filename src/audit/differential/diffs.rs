//! Differences of random policies: each request for which two policies differ is in a class, no other request is, and
//! the API server's code sees each difference, too.

use serde_json::Value;

use super::policies::{Tree, question, request, sound_policy, sound_rule, write};
use super::{Oracle, Random, number};
use crate::audit::policy::Policy;
use crate::audit::policy::diff::{Differences, answer, can_be, compare};
use crate::audit::policy::evaluate::{Decision, Request, evaluate, groups_of};
use crate::audit::policy::read::parse;
use crate::audit::policy::request::Asked;
use crate::audit::version::Version;

/// Requests for each pair of policies.
const REQUESTS: usize = 30;
const USERS: [&str; 8] = [
    "alice",
    "bob",
    "system:admin",
    "system:serviceaccount:web:app",
    "system:serviceaccount:web:other",
    "system:serviceaccount:shop:app",
    "system:anonymous",
    "system:node:a",
];
const GROUPS: [&str; 8] = [
    "ops",
    "dev",
    "system:masters",
    "system:nodes",
    "system:authenticated",
    "system:unauthenticated",
    "system:serviceaccounts",
    "system:serviceaccounts:web",
];

/// Two policies as texts; often the second is the first with another rule.
fn pair(random: &mut Random, version: Version) -> [String; 2] {
    let first = sound_policy(random, version);
    let second = match random.one_in(3) {
        true => sound_policy(random, version),
        false => {
            let mut second = first.clone();
            if let Tree::Map(fields) = &mut second
                && let Some((_, Tree::List(rules))) = fields.iter_mut().find(|(name, _)| name == "rules")
            {
                let at = random.below(rules.len());
                match random.below(4) {
                    0 if rules.len() > 1 => drop(rules.remove(at)),
                    1 => rules.swap(0, at),
                    2 => rules[at] = sound_rule(random, version),
                    _ => rules.insert(at, sound_rule(random, version)),
                }
            }
            second
        }
    };
    let mut texts = [first, second].map(|tree| {
        let mut text = String::new();
        write(random, &tree, 0, false, &mut text);
        text
    });
    // Users and groups that imply each other.
    for (plain, others) in [("alice", &USERS[3..]), ("bob", &USERS), ("ops", &GROUPS[3..]), ("dev", &GROUPS[3..])]
    {
        let other = random.pick(others);
        texts = texts.map(|text| text.replace(plain, other));
    }
    texts
}

/// A request that can exist.
fn possible(random: &mut Random) -> Request {
    loop {
        let mut request = request(random);
        request.user = if random.one_in(12) { String::new() } else { random.pick(&USERS).to_owned() };
        let groups = random.some(3, &GROUPS).into_iter().skip(1).map(str::to_owned).collect();
        let groups = if request.user.is_empty() { Vec::new() } else { groups };
        request.groups = groups_of(&request.user, groups);
        if can_be(&request.user, &request.verb, &request.target) {
            return request;
        }
    }
}

fn decisions(policies: [&Policy; 2], request: &Request) -> [Decision; 2] {
    policies.map(|policy| evaluate(policy, request))
}

fn differs(decisions: &[Decision; 2]) -> bool {
    answer(&decisions[0]) != answer(&decisions[1])
}

/// The request that `policy explain` makes of the options that are printed for a request.
fn explained(request: &Request) -> Request {
    let options = request.options();
    let of = |name: &str| options.iter().find(|(option, _)| *option == name).map(|(_, value)| value.as_str());
    let groups: Vec<_> =
        options.iter().filter(|(option, _)| *option == "group").map(|(_, group)| group.clone()).collect();
    let asked = Asked {
        user: of("user").unwrap(),
        groups: &groups,
        verb: of("verb").unwrap(),
        resource: of("resource").unwrap_or_default(),
        api_group: of("api-group").unwrap_or_default(),
        namespace: of("namespace"),
        name: of("name").unwrap_or_default(),
        path: of("path"),
    };
    asked.request().unwrap_or_else(|refusal| panic!("{request:?}: {refusal:?}")).0
}

/// Two random policies and their differences. `None` if the API server would refuse one of them.
fn compared(random: &mut Random, version: Version) -> Option<([String; 2], [Policy; 2], Differences)> {
    let texts = pair(random, version);
    let [first, second] = texts.each_ref().map(|text| parse(text, Some(version)).0);
    let policies = [first?, second?];
    let differences = compare(policies.each_ref()).expect("small policies are compared");
    Some((texts, policies, differences))
}

#[test]
fn the_requests_that_differ_are_those_of_the_classes() {
    let version = Version::new(36);
    let mut random = Random::new(number("SEED", 1), version);
    let (mut pairs, mut classes, mut different, mut same) = (0, 0, 0, 0);
    // As in the other tests, a pair for PAIRS is a request with what is asked about it.
    while pairs * REQUESTS as u64 <= number("PAIRS", 45_000) {
        let Some((texts, policies, differences)) = compared(&mut random, version) else { continue };
        let policies = policies.each_ref();
        pairs += 1;
        let told = || format!("{}\n{}\n{differences:#?}", texts[0], texts[1]);
        for class in &differences.classes {
            let found = decisions(policies, &class.witness);
            assert!(differs(&found) && found == class.decisions, "{:?}: {found:?}: {}", class.witness, told());
            let of_witness = differences.class_of(&class.witness);
            assert!(of_witness.is_some_and(|of| std::ptr::eq(of, class)), "{:?}: {}", class.witness, told());
            assert_eq!(explained(&class.witness), class.witness, "{}", told());
            classes += 1;
        }
        for _ in 0..REQUESTS {
            let request = possible(&mut random);
            let found = decisions(policies, &request);
            let class = differences.class_of(&request).map(|class| &class.decisions);
            assert_eq!(class, differs(&found).then_some(&found), "{request:?}: {}", told());
            *if differs(&found) { &mut different } else { &mut same } += 1;
        }
    }
    println!("{pairs} pairs, {classes} classes, {different} requests that differ, {same} that do not");
    assert!(classes > pairs && different > pairs && same > pairs, "{classes} {different} {same}");
}

#[test]
#[ignore = "needs the API server's own code: ORACLES"]
fn what_differs_to_us_differs_to_the_api_server() {
    let (seed, most) = (number("SEED", 1), number("PAIRS", 20_000));
    let mut oracles = Oracle::all("ORACLES");
    let share = most.div_ceil(oracles.len() as u64);
    for oracle in &mut oracles {
        let version = oracle.version;
        let mut random = Random::new(seed, version);
        let (mut pairs, mut witnesses) = (0, 0);
        while witnesses < share {
            let Some((texts, _, differences)) = compared(&mut random, version) else { continue };
            pairs += 1;
            let requests: Vec<_> = differences.classes.iter().map(|class| class.witness.clone()).collect();
            let answers = texts.each_ref().map(|text| oracle.ask(&question(text, &requests)));
            for (i, class) in differences.classes.iter().enumerate() {
                for (answer, ours) in answers.iter().zip(&class.decisions) {
                    let theirs = &answer["decisions"][i];
                    let mut stages: Vec<_> =
                        theirs["omitStages"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
                    let mut our_stages: Vec<_> = ours.omit_stages.iter().map(ToString::to_string).collect();
                    stages.sort_unstable();
                    stages.dedup();
                    our_stages.sort_unstable();
                    let is_same = theirs["level"] == ours.level.to_string()
                        && stages == our_stages
                        && theirs["omitManagedFields"] == ours.omit_managed_fields;
                    assert!(is_same, "{version}: {:?}: {theirs}, and {ours:?} by us: {texts:?}", class.witness);
                }
            }
            witnesses += requests.len() as u64;
        }
        println!("{version}: seed {seed}, {pairs} pairs of policies, {witnesses} differences that both see");
    }
}
