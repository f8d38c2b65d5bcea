//! Random policies, right and broken ones, and random requests.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::{Oracle, Random, number};
use crate::audit::policy::Policy;
use crate::audit::policy::compose::{Source, Sources};
use crate::audit::policy::evaluate::{Request, Target, evaluate};
use crate::audit::policy::findings::Finding;
use crate::audit::policy::read::{Reading, parse, parse_as};
use crate::audit::profiles::PROFILES;
use crate::audit::version::Version;
use crate::yaml;
use crate::yaml::fields::Severity;

/// Requests for each policy.
const REQUESTS: usize = 20;

/// Whether a finding in a text is of some kind.
type Kind = fn(&Finding, &str) -> bool;

/// Where the program is stricter than the API server on purpose: a name, and how to recognise its finding.
const STRICTER: [(&str, Kind); 10] = [
    ("an empty word in a list", |finding, _| finding.message.ends_with("is empty; remove it")),
    ("null for an empty string", |finding, _| finding.message.contains("is null; write \"\"")),
    ("an empty entry, for the whole core group", |finding, _| finding.message.contains("is an empty entry")),
    ("a policy without its kind", |finding, _| finding.message.starts_with("kind is missing")),
    ("a second document", |finding, _| finding.message.starts_with("there is a second document")),
    ("a second document that is no YAML", |finding, text| {
        let end = text.lines().skip(1).position(|line| line.starts_with("---") || line.starts_with("..."));
        let behind = end.is_some_and(|end| finding.position.line > end + 1);
        yaml::parse(text).is_err() && (behind || finding.message.contains("expected <document start>"))
    }),
    ("a tag that changes what is written", |finding, _| {
        let ours = ["is not supported here", "as a part of the tag", "while scanning a tag"];
        ours.iter().any(|part| finding.message.contains(part))
    }),
    ("a colon before a comma in brackets", |finding, _| finding.message.contains("found unexpected ':'")),
    ("metadata that is of no use", |finding, _| finding.message.contains("no effect in a policy")),
    ("JSON that is no YAML", |finding, text| yaml::is_json(text) && finding.message.starts_with("not YAML")),
];

/// A part of a YAML text.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    /// A scalar as it is written.
    Word(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
    /// An anchor or a tag before a node.
    Marked(String, Box<Tree>),
}

use Tree::{List, Map, Marked, Word};

fn map(fields: Vec<(&str, Tree)>) -> Tree {
    Map(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A string in one of the ways to write it.
fn word(random: &mut Random, text: &str) -> Tree {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    Word(match random.below(6) {
        0 => format!("'{text}'"),
        1 => format!("{text:?}"),
        _ if plain => text.to_owned(),
        _ => format!("{text:?}"),
    })
}

fn words(random: &mut Random, most: usize, from: &[&'static str]) -> Tree {
    let some = random.some(most, from);
    List(some.into_iter().map(|text| word(random, text)).collect())
}

const LEVELS: [&str; 4] = ["None", "Metadata", "Request", "RequestResponse"];
const STAGES: [&str; 4] = ["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"];
const USERS: [&str; 4] = ["alice", "bob", "system:admin", "*"];
const GROUPS: [&str; 4] = ["ops", "dev", "system:masters", "*"];
const VERBS: [&str; 5] = ["get", "list", "create", "post", "*"];
const NAMESPACES: [&str; 4] = ["", "default", "kube-system", "*"];
const API_GROUPS: [&str; 4] = ["", "apps", "batch", "example.com"];
const PATTERNS: [&str; 14] = [
    "pods",
    "pods/log",
    "pods/*",
    "*/log",
    "*",
    "*/*",
    "deployments",
    "deployments/status",
    "*/status",
    "pods/",
    "*/",
    "pod",
    "pods/log/*",
    "/*",
];
const RESOURCES: [&str; 5] = ["pods", "deployments", "pod", "*", "log"];
const SUBRESOURCES: [&str; 6] = ["", "", "log", "status", "*", "pods"];
const NAMES: [&str; 3] = ["a", "b", ""];
const URLS: [&str; 9] = ["*", "/", "/*", "/healthz", "/healthz*", "/healthz/*", "/version", "/api*", "/health"];
const PATHS: [&str; 8] = ["/", "/healthz", "/healthz/", "/healthz/etcd", "/version", "/api", "/health*", "*"];

pub(super) fn sound_rule(random: &mut Random, version: Version) -> Tree {
    let level = random.pick(&LEVELS);
    let mut fields = vec![("level", word(random, level))];
    if random.one_in(3) {
        fields.push(("users", words(random, 3, &USERS)));
    }
    if random.one_in(3) {
        fields.push(("userGroups", words(random, 3, &GROUPS)));
    }
    if random.one_in(3) {
        fields.push(("verbs", words(random, 3, &VERBS)));
    }
    let scope = random.below(8);
    if scope < 2 || scope == 4 {
        fields.push(("namespaces", words(random, 2, &NAMESPACES)));
    }
    if (1..4).contains(&scope) {
        let entries = (0..1 + random.below(3)).map(|_| entry(random, version)).collect();
        fields.push(("resources", List(entries)));
    }
    if scope == 5 {
        fields.push(("nonResourceURLs", words(random, 3, &URLS)));
    }
    if random.one_in(4) {
        fields.push(("omitStages", words(random, 3, &STAGES)));
    }
    if random.one_in(4) {
        fields.push(("omitManagedFields", Word(random.pick(&["true", "false", "yes", "off", "null"]).to_owned())));
    }
    // The order of fields has no meaning.
    for i in 1..fields.len() {
        fields.swap(i, random.below(i + 1));
    }
    map(fields)
}

fn entry(random: &mut Random, version: Version) -> Tree {
    let mut fields = Vec::new();
    if !random.one_in(4) {
        let every = version >= Version::new(36) && random.one_in(4);
        let group = if every { "*" } else { random.pick(&API_GROUPS) };
        fields.push(("group", word(random, group)));
    }
    if fields.is_empty() || !random.one_in(4) {
        fields.push(("resources", words(random, 3, &PATTERNS)));
        if random.one_in(3) {
            fields.push(("resourceNames", words(random, 2, &NAMES)));
        }
    }
    map(fields)
}

pub(super) fn sound_policy(random: &mut Random, version: Version) -> Tree {
    let rules = (0..1 + random.below(5)).map(|_| sound_rule(random, version)).collect();
    let mut fields = vec![
        ("apiVersion", word(random, "audit.k8s.io/v1")),
        ("kind", word(random, "Policy")),
        ("rules", List(rules)),
    ];
    if random.one_in(4) {
        let name = word(random, "site");
        let mut metadata = vec![("name", name), ("labels", map(vec![("a", Word("b".to_owned()))]))];
        if random.one_in(2) {
            let field = random.pick(&[
                "uid",
                "annotations",
                "generation",
                "creationTimestamp",
                "finalizers",
                "verbs",
                "Name",
            ]);
            metadata.push((field, Word(random.pick(&ODD).to_owned())));
        }
        fields.push(("metadata", map(metadata)));
    }
    if random.one_in(3) {
        fields.push(("omitStages", words(random, 3, &STAGES)));
    }
    if random.one_in(3) {
        fields.push(("omitManagedFields", Word(random.pick(&["true", "false", "On"]).to_owned())));
    }
    map(fields)
}

/// Values that people write by mistake: YAML 1.1's words, numbers, tags, bits of syntax, and values of no type.
const ODD: [&str; 64] = [
    "",
    "~",
    "null",
    "NULL",
    "yes",
    "no",
    "on",
    "y",
    "true",
    "True",
    "0",
    "-1",
    "30",
    "0644",
    "0o17",
    "0x1F",
    "1_000",
    "1e3",
    "1.5",
    ".5",
    ".inf",
    "-.inf",
    ".nan",
    "2024-01-01",
    "2024-01-01T00:00:00Z",
    "12:30:45",
    "99999999999999999999",
    "\"\"",
    "''",
    "\"30\"",
    "'true'",
    "[]",
    "{}",
    "[~]",
    "[[]]",
    "{a: b}",
    "[a, b]",
    "!!str 5",
    "!!int \"5\"",
    "!!binary aGk=",
    "!!binary \"?\"",
    "! x",
    "! 5",
    "!!null ''",
    "!foo bar",
    "!!float 1",
    "!!bool yes",
    "!!bool \"yes\"",
    "!!timestamp 2024-01-01",
    "!!str",
    "*a",
    "&a x",
    "'x",
    "\"\\x41\\u00e9\"",
    "@x",
    "%x",
    "`x",
    "a: b",
    "a #b",
    "{{ x }}",
    "metadata",
    "audit.k8s.io/v1beta1",
    "\"a\\0b\"",
    "\"\\uD800\"",
];

/// A random node of the tree.
fn node<'t>(random: &mut Random, tree: &'t mut Tree) -> &'t mut Tree {
    let children = match tree {
        List(items) => items.len(),
        Map(pairs) => pairs.len(),
        Marked(..) => 1,
        Word(_) => 0,
    };
    if children == 0 || random.one_in(5) {
        return tree;
    }
    let at = random.below(children);
    match tree {
        List(items) => node(random, &mut items[at]),
        Map(pairs) => node(random, &mut pairs[at].1),
        Marked(_, inner) => node(random, inner),
        Word(_) => tree,
    }
}

fn misspelt(random: &mut Random, name: &str) -> String {
    let at = random.below(name.len().max(1));
    match random.below(6) {
        0 => name.chars().enumerate().filter(|(i, _)| *i != at).map(|(_, c)| c).collect(),
        1 => name.to_lowercase(),
        2 => name.to_uppercase(),
        3 => format!("{name}s"),
        4 => random
            .pick(&["name", "level", "verb", "group", "uid", "<<", "1", "\"1\"", "yes", "~", "\"\"", "? a", "x y"])
            .to_owned(),
        _ => format!("{:?}", name),
    }
}

/// Changes one node of the tree, usually so that it becomes wrong.
fn break_tree(random: &mut Random, tree: &mut Tree) {
    if random.one_in(8) {
        let anchored = node(random, tree);
        *anchored = Marked("&a ".to_owned(), Box::new(anchored.clone()));
        *node(random, tree) = Word("*a".to_owned());
        return;
    }
    let spare = node(random, tree).clone();
    let node = node(random, tree);
    let kind = random.below(10);
    match (kind, node) {
        (0, node) => *node = Word(random.pick(&ODD).to_owned()),
        (1, node) => *node = List(vec![node.clone()]),
        (2, node) => *node = spare,
        (3, node) => {
            let mark = random.pick(&["&a ", "!!map ", "!!seq ", "!!str ", "!foo ", "! "]);
            *node = Marked(mark.to_owned(), Box::new(node.clone()));
        }
        (_, List(items)) if !items.is_empty() => {
            let at = random.below(items.len());
            match kind {
                4 => items.insert(at, Word(random.pick(&ODD).to_owned())),
                5 => drop(items.remove(at)),
                6 => items.insert(at, spare),
                _ => items[at] = Word(random.pick(&ODD).to_owned()),
            }
        }
        (_, Map(pairs)) if !pairs.is_empty() => {
            let at = random.below(pairs.len());
            match kind {
                4 => pairs[at].0 = misspelt(random, &pairs[at].0),
                5 => drop(pairs.remove(at)),
                6 => pairs.push((pairs[at].0.clone(), spare)),
                7 => pairs.push((misspelt(random, "metadata"), spare)),
                8 => {
                    let fields = random.pick(&["users: [alice]", "verbs: [get]", "level: None", "x: 1", ""]);
                    let list = random.pick(&["{FIELDS}", "[{FIELDS}]", "[{FIELDS}, {verbs: [list]}]", "~", "*a"]);
                    pairs.push(("<<".to_owned(), Word(list.replace("FIELDS", fields))));
                }
                _ => pairs[at].1 = Word(random.pick(&ODD).to_owned()),
            }
        }
        (4, Word(text)) => *text = misspelt(random, text),
        (_, node) => *node = Word(random.pick(&ODD).to_owned()),
    }
}

/// Writes a node after `key:` or `-`, or at the top, in block or flow style.
pub(super) fn write(random: &mut Random, tree: &Tree, indent: usize, flow: bool, out: &mut String) {
    let flow = flow || (indent > 0 && random.one_in(4));
    let start = |out: &mut String| {
        if indent > 0 && !flow {
            out.push('\n');
        }
    };
    match tree {
        Word(text) => {
            out.push_str(text);
        }
        Marked(mark, inner) => {
            out.push_str(mark);
            write(random, inner, indent, true, out);
        }
        List(items) if flow || items.is_empty() => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                write(random, item, indent, true, out);
            }
            out.push(']');
        }
        Map(pairs) if flow || pairs.is_empty() => {
            out.push('{');
            for (i, (key, value)) in pairs.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                out.push_str(&format!("{key}: "));
                write(random, value, indent, true, out);
            }
            out.push('}');
        }
        List(items) => {
            start(out);
            for item in items {
                out.push_str(&format!("{:indent$}- ", ""));
                write(random, item, indent + 2, matches!(item, List(_)), out);
                if !out.ends_with('\n') {
                    out.push('\n');
                }
            }
        }
        Map(pairs) => {
            start(out);
            for (key, value) in pairs {
                out.push_str(&format!("{:indent$}{key}: ", ""));
                write(random, value, indent + 2, false, out);
                if !out.ends_with('\n') {
                    out.push('\n');
                }
            }
        }
    }
}

/// The tree as JSON, if its words allow this.
fn to_json(tree: &Tree) -> Value {
    match tree {
        Word(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text.trim_matches('\''))),
        List(items) => items.iter().map(to_json).collect(),
        Map(pairs) => pairs.iter().map(|(key, value)| (key.clone(), to_json(value))).collect(),
        Marked(_, inner) => to_json(inner),
    }
}

/// Changes the text, usually so that it becomes wrong.
fn break_text(random: &mut Random, text: &mut String) {
    let line = |random: &mut Random, text: &str| {
        let starts: Vec<_> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        if starts.is_empty() { 0 } else { starts[random.below(starts.len())] }
    };
    let mut at = random.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    match random.below(12) {
        0 => text
            .insert_str(0, random.pick(&["---\n", "--- # a\n", "%YAML 1.1\n---\n", "\u{feff}", "\n# a\n", " "])),
        1 => text.push_str(random.pick(&[
            "---\n",
            "...\n",
            "---\nkind: Policy\n",
            "---\n\tx\n",
            "...\nx: y\n",
            "--- ~\n",
        ])),
        2 => text.insert_str(0, random.pick(&["---\n---\n", "~\n---\n", "{}\n---\n", "a: b\n---\n", "\t\n"])),
        3 => text.insert_str(
            line(random, text),
            random.pick(&["\t", " ", "---\n", "# a\n", "...\n", "  \t# a\n", "x: y\n"]),
        ),
        4 => {
            let from = line(random, text);
            let end = text[from..].find('\n').map_or(text.len(), |length| from + length + 1);
            let copy = text[from..end].to_owned();
            if random.one_in(2) {
                text.insert_str(from, &copy);
            } else {
                text.replace_range(from..end, "");
            }
        }
        5 => text.truncate(at),
        6 => *text = text.replace('\n', "\r\n"),
        7 => *text = text.replace(": ", random.pick(&[":\t", ":  ", ":", ":\n", " : "])),
        8 => *text = text.replace("- ", random.pick(&["-\t", "-", "-  ", "-\n  "])),
        9 if at < text.len() => drop(text.remove(at)),
        _ => text.insert(
            at,
            random
                .pick(&[":-[]{}#&*!|>'\"%@`,?\t\n\r ~\u{85}\u{2028}\u{e9}\u{7f}aA0="])
                .chars()
                .nth(random.below(32))
                .unwrap_or('x'),
        ),
    }
}

pub(super) fn request(random: &mut Random) -> Request {
    let target = if random.one_in(3) {
        Target::Url(random.pick(&PATHS).to_owned())
    } else {
        Target::Resource {
            group: random.pick(&API_GROUPS).to_owned(),
            resource: random.pick(&RESOURCES).to_owned(),
            subresource: random.pick(&SUBRESOURCES).to_owned(),
            namespace: random.pick(&NAMESPACES).to_owned(),
            name: random.pick(&NAMES).to_owned(),
        }
    };
    let groups = random.some(3, &GROUPS).into_iter().skip(1).map(str::to_owned).collect();
    Request { user: random.pick(&USERS).to_owned(), groups, verb: random.pick(&VERBS).to_owned(), target }
}

/// A request with the names that the profiles have.
fn request_for_profiles(random: &mut Random) -> Request {
    let target = if random.one_in(4) {
        Target::Url(
            random.pick(&["/livez", "/livez/ping", "/metrics", "/openapi/v3", "/version", "/apis"]).to_owned(),
        )
    } else {
        let (group, resources): (_, &[&str]) = match random.below(6) {
            0 => ("coordination.k8s.io", &["leases", "leasecandidates"]),
            1 => ("authentication.k8s.io", &["tokenreviews"]),
            2 => (
                random.pick(&["rbac.authorization.k8s.io", "certificates.k8s.io", "apps"]),
                &["roles", "deployments"],
            ),
            3 => (random.pick(&["discovery.k8s.io", "events.k8s.io"]), &["endpointslices", "events"]),
            _ => ("", &["secrets", "serviceaccounts", "pods", "nodes", "services", "events", "configmaps"]),
        };
        Target::Resource {
            group: group.to_owned(),
            resource: random.pick(resources).to_owned(),
            subresource: random.pick(&["", "", "token", "exec", "proxy", "status"]).to_owned(),
            namespace: random.pick(&NAMESPACES).to_owned(),
            name: random.pick(&NAMES).to_owned(),
        }
    };
    let groups =
        ["system:nodes", "system:authenticated", "system:monitoring", "system:serviceaccounts:kube-system"];
    let groups = random.some(3, &groups).into_iter().skip(1).map(str::to_owned).collect();
    let user = random.pick(&["alice", "system:apiserver", "system:kube-scheduler", ""]).to_owned();
    let verb = random.pick(&["get", "watch", "list", "create", "patch", "delete", "deletecollection"]).to_owned();
    Request { user, groups, verb, target }
}

/// A policy that is put together of a profile or another base, and of fragments; and these parts, in the order of their
/// rules.
fn composed(random: &mut Random, version: Version) -> Option<(String, Vec<Policy>)> {
    let text = |random: &mut Random, place: Option<&str>| {
        let mut tree = sound_policy(random, version);
        if let Map(fields) = &mut tree {
            fields.retain(|(name, _)| name != "metadata");
            let word = |place: &str| map(vec![("kube-audit-bootstrap/position", Word(place.to_owned()))]);
            let metadata = place.map(|place| map(vec![("annotations", word(place))]));
            fields.extend(metadata.map(|metadata| ("metadata".to_owned(), metadata)));
        }
        let mut text = String::new();
        write(random, &tree, 0, false, &mut text);
        text
    };
    let base = match random.one_in(2) {
        true => PROFILES[random.below(PROFILES.len())].text.to_owned(),
        false => text(random, None),
    };
    let mut parts = vec![(1, base.clone())];
    let mut fragments = Vec::new();
    for number in 0..1 + random.below(3) {
        let (order, place) = [(0, None), (0, Some("before")), (2, Some("after"))][random.below(3)];
        let text = text(random, place);
        parts.push((order, text.clone()));
        fragments.push(Source { name: number.to_string(), text });
    }
    parts.sort_by_key(|(order, _)| *order);
    let composed =
        Sources { fragments, ..Sources::of("base", &base) }.compose(Some(version), Reading::Strict).ok()?;
    let parts = parts.iter().filter_map(|(_, text)| parse(text, Some(version)).0).collect();
    Some((composed.text, parts))
}

/// The first request for which a composed policy does not decide as the first of its parts that has a rule for it.
fn misplaced(text: &str, parts: &[Policy], requests: &[Request], version: Version) -> Option<String> {
    let Some(policy) = parse(text, Some(version)).0 else {
        return Some("we refuse what we put together".to_owned());
    };
    requests.iter().find_map(|request| {
        let expected = parts.iter().map(|part| evaluate(part, request)).find(|decision| decision.rule.is_some());
        let found = evaluate(&policy, request);
        let is_same = match &expected {
            None => found.rule.is_none(),
            Some(expected) => {
                (expected.level, &expected.omit_stages, expected.omit_managed_fields)
                    == (found.level, &found.omit_stages, found.omit_managed_fields)
            }
        };
        (!is_same).then(|| format!("put together wrongly: {request:?}: {found:?}, and {expected:?} by the parts"))
    })
}

#[test]
fn what_is_put_together_decides_as_its_parts_do() {
    let version = Version::new(36);
    let mut random = Random::new(1, version);
    let mut done = 0;
    for _ in 0..1000 {
        let Some((text, parts)) = composed(&mut random, version) else { continue };
        let requests: Vec<_> = (0..REQUESTS)
            .map(|at| if at % 2 == 0 { request(&mut random) } else { request_for_profiles(&mut random) })
            .collect();
        assert_eq!(misplaced(&text, &parts, &requests, version), None, "{text}");
        done += 1;
    }
    assert!(done > 500, "{done}");
}

pub(super) fn question(text: &str, requests: &[Request]) -> Value {
    let requests: Vec<_> = requests
        .iter()
        .map(|request| {
            let mut value = json!({"user": request.user, "groups": request.groups, "verb": request.verb});
            match &request.target {
                Target::Url(path) => value["path"] = json!(path),
                Target::Resource { group, resource, subresource, namespace, name } => {
                    value["resourceRequest"] = json!(true);
                    value["group"] = json!(group);
                    value["resource"] = json!(resource);
                    value["subresource"] = json!(subresource);
                    value["namespace"] = json!(namespace);
                    value["name"] = json!(name);
                }
            }
            value
        })
        .collect();
    json!({"policy": text, "requests": requests})
}

/// How both sides treated a policy.
enum Outcome {
    Same(&'static str),
    Stricter(Vec<&'static str>),
    /// The number of requests for which a rule decided.
    Pairs(usize),
    Differs(String),
}

fn compare(oracle: &mut Oracle, text: &str, requests: &[Request]) -> Outcome {
    let answer = oracle.ask(&question(text, requests));
    let (policy, findings) = parse(text, Some(oracle.version));
    let errors: Vec<&Finding> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    let told = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let refusal = answer["error"].as_str();
    let Some(policy) = policy else {
        if refusal.is_some() {
            return Outcome::Same("refused by both");
        }
        let about_it = ["unknown field", "is there twice", "<< brings in a field"];
        let lenient = answer["lenient"] == true;
        // What is kept is explained as the API server reads it.
        let served = parse_as(text, Some(oracle.version), Reading::AsServed).0;
        if let Some(Err(how)) = served.map(|served| same_decisions(&served, &answer, requests)) {
            return Outcome::Differs(how);
        }
        if lenient && about_it.iter().any(|about| told.contains(about)) {
            return Outcome::Same("taken leniently, and refused by us for that");
        }
        let reasons: Option<Vec<_>> = errors
            .iter()
            .map(|error| STRICTER.iter().find(|(_, is_it)| is_it(error, text)).map(|(name, _)| *name))
            .collect();
        return match reasons {
            // In a text that can't be read to its end, not all faults are found.
            Some(names) if !names.is_empty() && (!lenient || yaml::parse(text).is_err()) => {
                Outcome::Stricter(names)
            }
            _ if lenient => {
                Outcome::Differs(format!("taken leniently, and refused by us for something else: {told}"))
            }
            _ => Outcome::Differs(format!("accepted strictly, and refused by us: {told}")),
        };
    };
    if let Some(error) = refusal {
        return Outcome::Differs(format!("refused ({error}), and accepted by us"));
    }
    if answer["lenient"] == true {
        return Outcome::Differs("taken leniently, and accepted by us".to_owned());
    }
    match same_decisions(&policy, &answer, requests) {
        Ok(matched) => Outcome::Pairs(matched),
        Err(how) => Outcome::Differs(how),
    }
}

/// The number of requests for which a rule decides, if both sides decide the same for each.
fn same_decisions(policy: &Policy, answer: &Value, requests: &[Request]) -> Result<usize, String> {
    let mut matched = 0;
    for (i, request) in requests.iter().enumerate() {
        let theirs = &answer["decisions"][i];
        let ours = evaluate(policy, request);
        matched += usize::from(ours.rule.is_some());
        let mut stages: Vec<_> =
            theirs["omitStages"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let mut our_stages: Vec<_> = ours.omit_stages.iter().map(ToString::to_string).collect();
        // The API server's list has no order. If no rule matches, it repeats the policy's stages as they are written.
        stages.sort_unstable();
        stages.dedup();
        our_stages.sort_unstable();
        if theirs["level"] != ours.level.to_string()
            || stages != our_stages
            || theirs["omitManagedFields"] != ours.omit_managed_fields
        {
            return Err(format!("{request:?}: {theirs}, and {ours:?} by us"));
        }
    }
    Ok(matched)
}

#[test]
#[ignore = "needs the API server's own code: ORACLES"]
fn policies_mean_to_us_what_they_mean_to_the_api_server() {
    let (seed, pairs) = (number("SEED", 1), number("PAIRS", 20_000) as usize);
    // The shortest text for each kind of difference.
    let mut differences: BTreeMap<String, String> = BTreeMap::new();
    let mut oracles = Oracle::all("ORACLES");
    let share = pairs.div_ceil(oracles.len());
    for oracle in &mut oracles {
        let (version, began) = (oracle.version, Instant::now());
        let mut random = Random::new(seed, version);
        let mut counts = BTreeMap::new();
        let (mut policies, mut accepted, mut done, mut matched) = (0, 0, 0, 0);
        while done < share {
            let mut tree = sound_policy(&mut random, version);
            for _ in 0..random.below(5).saturating_sub(2) {
                break_tree(&mut random, &mut tree);
            }
            let mut text = String::new();
            if random.one_in(10) {
                text = to_json(&tree).to_string();
            } else {
                let flow = random.one_in(20);
                write(&mut random, &tree, 0, flow, &mut text);
            }
            if random.one_in(2) {
                break_text(&mut random, &mut text);
            }
            let mut requests: Vec<_> = (0..REQUESTS).map(|_| request(&mut random)).collect();
            let mut parts = None;
            if random.one_in(4)
                && let Some((whole, policies)) = composed(&mut random, version)
            {
                (text, parts) = (whole, Some(policies));
                requests.extend((0..REQUESTS).map(|_| request_for_profiles(&mut random)));
                *counts.entry("put together of fragments").or_insert(0) += 1;
            }
            policies += 1;
            let wrong = parts.and_then(|parts| misplaced(&text, &parts, &requests, version));
            match wrong.map_or_else(|| compare(oracle, &text, &requests), Outcome::Differs) {
                Outcome::Same(what) => *counts.entry(what).or_insert(0) += 1,
                Outcome::Stricter(names) => {
                    names.into_iter().for_each(|name| *counts.entry(name).or_insert(0) += 1);
                }
                Outcome::Pairs(of_these) => {
                    done += requests.len();
                    matched += of_these;
                    accepted += 1;
                }
                Outcome::Differs(how) => {
                    let kind =
                        how.chars().take_while(|c| *c != '{').filter(|c| c.is_alphabetic()).take(100).collect();
                    let example = format!("{version}: {how}\n{text}");
                    let known = differences.entry(kind).or_insert(example.clone());
                    if example.len() < known.len() {
                        *known = example;
                    }
                    // If every policy differed, this would never end.
                    done += 1;
                }
            }
        }
        let rate = done as f64 / began.elapsed().as_secs_f64();
        println!(
            "{version}: seed {seed}, {policies} policies, {accepted} accepted by both; {done} pairs, {matched} decided by a \
             rule, {rate:.0}/s"
        );
        for (what, count) in counts {
            println!("  {count:6} {what}");
        }
    }
    let differences: Vec<_> = differences.into_values().collect();
    assert!(
        differences.is_empty(),
        "{} differences with SEED={seed} PAIRS={pairs}\n\n{}",
        differences.len(),
        differences.join("\n\n")
    );
}
