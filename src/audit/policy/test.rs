//! Tests of a policy: a file of requests, and of what is expected of each.

use super::evaluate::{Decision, Request};
use super::request::Asked;
use super::{LEVELS, Level, STAGES, Stage};
use crate::yaml::fields::{Decoder, Finding, brief, join, likely};
use crate::yaml::{Node, Position};

const API_VERSION: &str = "kube-audit-bootstrap/v1alpha1";
const KIND: &str = "AuditPolicyTest";

/// The largest number of requests in a file, when its tables are written out.
pub const MAX_REQUESTS: usize = 50_000;

/// The fields of a request of which each can be a list. A list of groups is the groups of one user.
const COLUMNS: [&str; 7] = ["user", "verb", "resource", "apiGroup", "namespace", "name", "path"];

/// A word and its place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub position: Position,
}

/// A file of tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// The policy that the file names.
    pub policy: Option<Word>,
    pub tests: Vec<Test>,
}

/// Requests of which the same is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    pub position: Position,
    /// `tests[0]`, if the file gives it no name.
    pub name: String,
    pub requests: Vec<Request>,
    /// At least one.
    pub expected: Vec<Expected>,
}

/// One of the things that are expected of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub position: Position,
    pub wanted: Wanted,
}

/// What is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One of these levels.
    Level(Vec<Level>),
    /// Exactly these stages, in any order.
    OmitStages(Vec<Stage>),
    OmitManagedFields(bool),
    /// The index of the rule that decides; `None`: no rule matches.
    Rule(Option<usize>),
}

impl Wanted {
    /// Its field in the file.
    pub fn field(&self) -> &'static str {
        match self {
            Wanted::Level(_) => "level",
            Wanted::OmitStages(_) => "omitStages",
            Wanted::OmitManagedFields(_) => "omitManagedFields",
            Wanted::Rule(_) => "rule",
        }
    }

    /// What is expected, and what a decision gives instead, both as words. `None` if the decision is as expected.
    pub fn missed(&self, decision: &Decision) -> Option<(String, String)> {
        let (is_right, wanted, got) = match self {
            Wanted::Level(levels) => {
                let names: Vec<_> = levels.iter().map(ToString::to_string).collect();
                (levels.contains(&decision.level), names.join(" or "), decision.level.to_string())
            }
            Wanted::OmitStages(stages) => {
                let wanted: Vec<_> =
                    STAGES.iter().map(|(_, stage)| *stage).filter(|stage| stages.contains(stage)).collect();
                (wanted == decision.omit_stages, listed(&wanted), listed(&decision.omit_stages))
            }
            Wanted::OmitManagedFields(wanted) => {
                let got = decision.omit_managed_fields;
                (*wanted == got, wanted.to_string(), got.to_string())
            }
            Wanted::Rule(wanted) => (*wanted == decision.rule, numbered(*wanted), numbered(decision.rule)),
        };
        (!is_right).then_some((wanted, got))
    }
}

fn listed(stages: &[Stage]) -> String {
    let names: Vec<_> = stages.iter().map(ToString::to_string).collect();
    format!("[{}]", names.join(", "))
}

fn numbered(rule: Option<usize>) -> String {
    rule.map_or("none".to_owned(), |index| (index + 1).to_string())
}

/// Reads the text of a file of tests. The findings are in the order of the file. If one of them is an error, there is
/// no file; the others are doubts about its requests.
pub fn read(text: &str) -> (Option<File>, Vec<Finding>) {
    let mut reader = Reader { decoder: Decoder::default(), requests: 0 };
    let file = reader.file(text).filter(|_| !reader.decoder.failed());
    let mut findings = reader.decoder.findings;
    findings.sort_by(|a, b| (a.position, &a.message).cmp(&(b.position, &b.message)));
    // A word of a table is in many requests.
    findings.dedup();
    (file, findings)
}

struct Reader {
    decoder: Decoder,
    /// The number of requests so far.
    requests: usize,
}

impl Reader {
    fn file(&mut self, text: &str) -> Option<File> {
        let documents = match crate::yaml::parse(text) {
            Ok(documents) => documents,
            Err(fault) => {
                self.decoder.error(fault.position, fault.message);
                return None;
            }
        };
        let root = match documents.as_slice() {
            [] => None,
            [document] => Some(&document.root),
            [_, second, ..] => {
                let message = "the file must have one document; here is a second one; write it to another file";
                self.decoder.error(second.root.position, message);
                return None;
            }
        };
        let Some(root) = root.filter(|root| !root.is_null()) else {
            let message = format!("the file is empty; write apiVersion: {API_VERSION}, kind: {KIND} and tests");
            self.decoder.error(Position::START, message);
            return None;
        };
        self.header(root)?;
        let mut file = File::default();
        let mut tests: &[Node] = &[];
        for (name, value) in self.decoder.mapping(root, "", &["apiVersion", "kind", "policy", "tests"]) {
            match name {
                "policy" => {
                    file.policy = self.word(value, "policy", false);
                    if value.scalar() == Some("-") {
                        let message = "policy can't be standard input; name a file, or use --policy -";
                        self.decoder.error(value.position, message);
                    }
                }
                "tests" => tests = self.decoder.list(value, "tests"),
                _ => {}
            }
        }
        if tests.is_empty() {
            let position = root.get("tests").map_or(root.position, |tests| tests.position);
            self.decoder.error(position, "there are no tests; write at least one, with requests and expect");
        }
        for (i, test) in tests.iter().enumerate() {
            file.tests.extend(self.test(test, &format!("tests[{i}]")));
        }
        Some(file)
    }

    /// Checks apiVersion and kind. `None` if the file is something else, and the rest is not to be checked.
    fn header(&mut self, root: &Node) -> Option<()> {
        if root.pairs().is_none() {
            self.decoder.wrong_type(root, "", "tests of a policy: a mapping of fields");
            return None;
        }
        for (name, expected) in [("kind", KIND), ("apiVersion", API_VERSION)] {
            let value = root.get(name).filter(|value| !value.is_null());
            let found = value.map(|value| self.decoder.string(value, name));
            if found.as_ref().is_some_and(|found| found.as_deref() == Some(expected)) {
                continue;
            }
            let position = value.map_or(root.position, |value| value.position);
            let message = match found.flatten() {
                Some(found) => {
                    format!(
                        "these are no tests of a policy: {name} is {found:?}; write {expected}, or name another file"
                    )
                }
                None => format!("{name} is missing; write {name}: {expected}"),
            };
            self.decoder.error(position, message);
            return None;
        }
        Some(())
    }

    fn test(&mut self, node: &Node, path: &str) -> Option<Test> {
        let (mut name, mut requests, mut expected) = (None, None, None);
        for (field, value) in self.decoder.mapping(node, path, &["name", "requests", "expect"]) {
            let path = join(path, field);
            match field {
                "name" => {
                    name = self.decoder.string(value, &path).filter(|name| !name.is_empty());
                    if name.as_ref().is_some_and(|name| name.contains(char::is_control)) {
                        let message =
                            format!("{path} has a line break or another control character; write one line");
                        self.decoder.error(value.position, message);
                    }
                }
                "requests" => requests = Some(self.table(value, &path)),
                _ => expected = Some((value.position, self.expectations(value, &path))),
            }
        }
        let requests = requests.unwrap_or_else(|| {
            self.decoder.error(node.position, format!("{path}.requests is missing; write at least one request"));
            Vec::new()
        });
        let (position, expected) = expected.unwrap_or((node.position, Vec::new()));
        if expected.is_empty() && !self.decoder.failed() {
            let message = format!(
                "{path}.expect says nothing, so the test judges nothing; write level, omitStages, omitManagedFields or \
                 rule"
            );
            self.decoder.error(position, message);
        }
        Some(Test { position: node.position, name: name.unwrap_or_else(|| path.to_owned()), requests, expected })
    }

    /// What is expected.
    fn expectations(&mut self, node: &Node, path: &str) -> Vec<Expected> {
        let mut expected = Vec::new();
        for (field, value) in
            self.decoder.mapping(node, path, &["level", "omitStages", "omitManagedFields", "rule"])
        {
            if value.is_null() {
                continue;
            }
            let path = join(path, field);
            let wanted = match field {
                "level" => Some(Wanted::Level(self.named(value, &path, &LEVELS))),
                "omitStages" if value.items().is_some_and(<[_]>::is_empty) => Some(Wanted::OmitStages(Vec::new())),
                "omitStages" => Some(Wanted::OmitStages(self.named(value, &path, &STAGES))),
                "omitManagedFields" => self.decoder.boolean(value, &path).map(Wanted::OmitManagedFields),
                _ if value.scalar() == Some("none") => Some(Wanted::Rule(None)),
                _ => match self.decoder.integer(value, &path).map(usize::try_from) {
                    Some(Ok(number)) if number > 0 => Some(Wanted::Rule(Some(number - 1))),
                    Some(_) => {
                        let message = format!("{path}: the first rule is 1; write its number, or none");
                        self.decoder.error(value.position, message);
                        None
                    }
                    None => None,
                },
            };
            expected.extend(wanted.map(|wanted| Expected { position: value.position, wanted }));
        }
        expected
    }

    /// The values that a word or a list of words names.
    fn named<T: Copy>(&mut self, node: &Node, path: &str, known: &[(&str, T)]) -> Vec<T> {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        let mut values = Vec::new();
        for word in self.words(node, path, false) {
            let value = known.iter().find(|(name, _)| *name == word.text);
            if value.is_none() {
                let hint = match likely(&word.text, &names) {
                    Some(likely) => format!("did you mean {likely}?"),
                    None => format!("write one of {}", names.join(", ")),
                };
                self.decoder.error(word.position, format!("{path} can't be {}; {hint}", brief(&word.text)));
            }
            values.extend(value.map(|(_, value)| *value));
        }
        values
    }

    /// All requests of a test.
    fn table(&mut self, node: &Node, path: &str) -> Vec<Request> {
        let items = self.decoder.list(node, path);
        if items.is_empty() && (node.is_null() || node.items().is_some()) {
            self.decoder.error(node.position, format!("{path} is empty; write at least one request"));
        }
        let mut requests = Vec::new();
        for (i, item) in items.iter().enumerate() {
            self.requests_of(item, &format!("{path}[{i}]"), &mut requests);
        }
        requests
    }

    /// Adds the requests of an entry: one for each combination of the words of its columns.
    fn requests_of(&mut self, node: &Node, path: &str, requests: &mut Vec<Request>) {
        let mut columns: [Vec<Word>; COLUMNS.len()] = Default::default();
        let mut groups = Vec::new();
        let known = [&["groups"], &COLUMNS[..]].concat();
        let before = self.decoder.findings.len();
        for (field, value) in self.decoder.mapping(node, path, &known) {
            let path = join(path, field);
            match COLUMNS.iter().position(|column| *column == field) {
                Some(column) => {
                    let may_be_empty = ["user", "apiGroup", "namespace", "name"].contains(&field);
                    columns[column] = self.words(value, &path, may_be_empty);
                }
                None => groups = self.words(value, &path, false).into_iter().map(|word| word.text).collect(),
            }
        }
        if self.decoder.findings.len() > before || self.faulty(node, path) {
            return;
        }
        let count = columns.iter().fold(1, |count: usize, column| count.saturating_mul(column.len().max(1)));
        self.requests = self.requests.saturating_add(count);
        if self.requests > MAX_REQUESTS {
            let message = format!(
                "with {path}, the file has {} requests, but at most {MAX_REQUESTS} are read; shorten the lists, or \
                 write several files",
                self.requests
            );
            self.decoder.error(node.position, message);
            return;
        }
        for number in 0..count {
            let mut rest = number;
            let mut picked = columns.each_ref().map(|_| None);
            // The last column changes first, as in a table that is read line by line.
            for (picked, column) in picked.iter_mut().zip(&columns).rev() {
                *picked = column.get(rest % column.len().max(1));
                rest /= column.len().max(1);
            }
            let [user, verb, resource, api_group, namespace, name, url] =
                picked.map(|word| word.map(|word| word.text.as_str()));
            let asked = Asked {
                user: user.unwrap_or_default(),
                groups: &groups,
                verb: verb.unwrap_or_default(),
                resource: resource.unwrap_or_default(),
                api_group: api_group.unwrap_or_default(),
                namespace,
                name: name.unwrap_or_default(),
                path: url,
            };
            match asked.request() {
                Ok((request, doubts)) => {
                    doubts
                        .into_iter()
                        .for_each(|doubt| self.decoder.warning(node.position, format!("{path}: {doubt}")));
                    requests.push(request);
                }
                Err(refusal) => {
                    let column = COLUMNS.iter().position(|column| *column == refusal.field);
                    let word = column.and_then(|column| picked[column]);
                    let position = word.map_or(node.position, |word| word.position);
                    self.decoder.error(position, format!("{path}.{} {}", refusal.field, refusal.message));
                }
            }
        }
    }

    /// Whether an entry has not the fields of a request. Then this is an error.
    fn faulty(&mut self, node: &Node, path: &str) -> bool {
        let has = |field: &str| node.get(field).is_some_and(|value| !value.is_null());
        let message = if !has("user") {
            "user is missing; name who makes the request, or write \"\" if the authentication failed"
        } else if !has("verb") {
            "verb is missing; write one such as get or list; for a path, the HTTP method in lower case"
        } else if has("path") == has("resource") {
            "a request is for a resource or for a path; write one of the two"
        } else if has("path") && ["apiGroup", "namespace", "name"].into_iter().any(has) {
            "a path has no apiGroup, namespace or name; remove them"
        } else {
            return self.decoder.failed();
        };
        if node.pairs().is_some() || node.is_null() {
            self.decoder.error(node.position, format!("{path}: {message}"));
        }
        true
    }

    /// A word, or the words of a list.
    fn words(&mut self, node: &Node, path: &str, may_be_empty: bool) -> Vec<Word> {
        let Some(items) = node.items() else {
            return self.word(node, path, may_be_empty).into_iter().collect();
        };
        if items.is_empty() {
            self.decoder.error(node.position, format!("{path} is an empty list; name at least one, or remove it"));
        }
        let mut words = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let path = format!("{path}[{i}]");
            if item.is_null() {
                self.decoder.error(
                    item.position,
                    format!("{path} is null; write \"\" if you mean an empty string, or remove it"),
                );
            }
            words.extend(self.word(item, &path, may_be_empty));
        }
        words
    }

    fn word(&mut self, node: &Node, path: &str, may_be_empty: bool) -> Option<Word> {
        let text = self.decoder.string(node, path)?;
        if text.is_empty() && !may_be_empty {
            self.decoder.error(node.position, format!("{path} is empty; name one, or remove it"));
        }
        Some(Word { text, position: node.position })
    }
}

#[cfg(test)]
mod tests {
    use super::super::evaluate::evaluate;
    use super::super::read::parse;
    use super::*;
    use crate::yaml::fields::Severity;

    const HEAD: &str = "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditPolicyTest\n";

    /// The findings in a file with one test, in flow style: its requests, and what is expected.
    fn found(requests: &str, expect: &str) -> Vec<String> {
        let text = format!("{HEAD}tests:\n- {{requests: {requests}, expect: {expect}}}\n");
        read(&text).1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_no_test_is_told_with_its_place() {
        const ONE: &str = "[{user: a, verb: get, path: /x}]";
        const EXPECT: &str = "{level: None}";
        let mut wrong = Vec::new();
        for (requests, expect, message) in [
            (ONE, EXPECT, ""),
            (ONE, "{}", "4:56: tests[0].expect says nothing"),
            (ONE, "{level: ~}", "4:56: tests[0].expect says nothing"),
            (ONE, "~", "4:56: tests[0].expect says nothing"),
            (ONE, "{levels: None}", "4:57: unknown field \"tests[0].expect.levels\"; did you mean \"level\"?"),
            (ONE, "{level: Meta}", "4:64: tests[0].expect.level can't be \"Meta\"; write one of None"),
            (ONE, "{level: []}", "4:64: tests[0].expect.level is an empty list"),
            (
                ONE,
                "{omitStages: [panic]}",
                "4:70: tests[0].expect.omitStages can't be \"panic\"; did you mean Panic?",
            ),
            (ONE, "{rule: 0}", "4:63: tests[0].expect.rule: the first rule is 1"),
            (ONE, "{rule: -1}", "4:63: tests[0].expect.rule: the first rule is 1"),
            (ONE, "{rule: first}", "4:63: tests[0].expect.rule must be a whole number"),
            (ONE, "{omitManagedFields: maybe}", "4:76: tests[0].expect.omitManagedFields must be true or false"),
            ("[]", EXPECT, "4:14: tests[0].requests is empty"),
            ("~", EXPECT, "4:14: tests[0].requests is empty"),
            ("alice", EXPECT, "4:14: tests[0].requests must be a list"),
            ("[{verb: get, path: /x}]", EXPECT, "4:15: tests[0].requests[0]: user is missing"),
            ("[{user: a, path: /x}]", EXPECT, "4:15: tests[0].requests[0]: verb is missing"),
            ("[~]", EXPECT, "4:15: tests[0].requests[0]: user is missing"),
            (
                "[{user: a, verb: get}]",
                EXPECT,
                "4:15: tests[0].requests[0]: a request is for a resource or for a path",
            ),
            (
                "[{user: a, verb: get, path: /x, resource: pods}]",
                EXPECT,
                "a request is for a resource or for a path",
            ),
            ("[{user: a, verb: get, path: /x, name: b}]", EXPECT, "a path has no apiGroup, namespace or name"),
            ("[{user: a, verb: [], path: /x}]", EXPECT, "4:31: tests[0].requests[0].verb is an empty list"),
            ("[{user: a, verb: [get, ~], path: /x}]", EXPECT, "4:37: tests[0].requests[0].verb[1] is null"),
            ("[{user: a, verb: '', path: /x}]", EXPECT, "4:31: tests[0].requests[0].verb is empty"),
            ("[{users: a, verb: get, path: /x}]", EXPECT, "did you mean \"user\"?"),
            ("[{user: a, verb: get, path: x}]", EXPECT, "4:42: tests[0].requests[0].path x: the path must begin"),
            (
                "[{user: a, verb: get, path: [/x, /api/v1/pods]}]",
                EXPECT,
                "4:47: tests[0].requests[0].path /api/v1/pods: this is the path of a resource",
            ),
            (
                "[{user: a, verb: get, resource: [pods, pods/]}]",
                EXPECT,
                "4:53: tests[0].requests[0].resource \"pods/\": write RESOURCE",
            ),
            ("[{user: '', groups: [b], verb: get, path: /x}]", EXPECT, "has no user, and so no groups"),
            ("[{user: '', verb: get, path: /x}]", EXPECT, ""),
            ("[{user: yes, verb: get, path: /x}]", EXPECT, "put it in quotes"),
            // A doubt, and not an error.
            (
                "[{user: a, verb: [lst, gett], resource: pods}]",
                EXPECT,
                "warning: tests[0].requests[0]: no request has the verb \"gett\"",
            ),
        ] {
            let found = found(requests, expect);
            if found.is_empty() != message.is_empty()
                || !found.iter().any(|one| one.contains(message)) && !found.is_empty()
            {
                wrong.push(format!("{requests} {expect}: {found:#?}, and not {message}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        for (text, message) in [
            ("", "1:1: the file is empty"),
            ("# nothing\n", "1:1: the file is empty"),
            ("tests: x: y\n", "1:9: "),
            ("[]\n", "1:1: the document must be tests of a policy"),
            ("kind: Policy\n", "1:7: these are no tests of a policy: kind is \"Policy\""),
            ("kind: AuditPolicyTest\n", "1:1: apiVersion is missing"),
            (
                "apiVersion: v1\nkind: AuditPolicyTest\n",
                "1:13: these are no tests of a policy: apiVersion is \"v1\"",
            ),
            (HEAD, "1:1: there are no tests"),
            (&format!("{HEAD}tests: []\n"), "3:8: there are no tests"),
            (&format!("{HEAD}policy: '-'\ntests: []\n"), "3:9: policy can't be standard input"),
            (&format!("{HEAD}tests:\n- name: \"a\\nb\"\n"), "4:9: tests[0].name has a line break"),
            (&format!("{HEAD}tests:\n- {{}}\n"), "4:3: tests[0].requests is missing"),
            (&format!("{HEAD}---\n{HEAD}"), "4:1: the file must have one document"),
        ] {
            let (file, findings) = read(text);
            assert!(file.is_none(), "{text}");
            let is_told = findings.iter().any(|finding| finding.to_string().starts_with(message));
            assert!(is_told, "{text}: {findings:?}");
        }
    }

    #[test]
    fn a_table_is_every_combination_of_its_words() {
        let text = format!(
            "{HEAD}policy: p.yaml\ntests:\n- requests:\n  - user: [alice, bob]\n    groups: [ops]\n    verb: [get, create]\n    \
             resource: [pods, pods/log]\n    name: x\n  - {{user: c, verb: get, path: [/a, /b]}}\n  expect: {{level: None}}\n"
        );
        let (file, findings) = read(&text);
        let file = file.unwrap();
        assert_eq!(file.policy.unwrap().text, "p.yaml");
        assert_eq!(file.tests[0].name, "tests[0]");
        let told: Vec<_> = file.tests[0]
            .requests
            .iter()
            .map(|request| {
                let options = request.options();
                options.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(
            told,
            [
                "alice ops get pods x",
                "alice ops get pods/log x",
                // The URL of a create has no name.
                "alice ops create pods",
                "alice ops create pods/log x",
                "bob ops get pods x",
                "bob ops get pods/log x",
                "bob ops create pods",
                "bob ops create pods/log x",
                "c get /a",
                "c get /b",
            ]
        );
        assert_eq!(findings.len(), 1, "one warning for all creates: {findings:?}");
        assert_eq!(findings[0].severity, Severity::Warning);
    }

    #[test]
    fn a_table_that_is_too_large_is_refused_before_it_is_written_out() {
        let list = |number: usize| (0..number).map(|i| format!("a{i}")).collect::<Vec<_>>().join(", ");
        let table = |users: usize, verbs: usize, names: usize| {
            let (users, verbs, names) = (list(users), list(verbs), list(names));
            format!("{{user: [{users}], verb: [{verbs}], resource: pods, name: [{names}]}}")
        };
        let (most, million) = (table(100, 50, 10), table(100, 100, 100));
        assert!(found(&format!("[{most}]"), "{level: None}").iter().all(|one| one.contains("warning")));
        for (requests, count) in [
            (format!("[{most}, {{user: a, verb: get, path: /x}}]"), "50001"),
            (format!("[{million}]"), "1000000"),
            (format!("[{}]", table(3000, 3000, 3000)), "27000000000"),
        ] {
            let found = found(&requests, "{level: None}");
            let error = found.iter().find(|one| !one.contains("warning")).unwrap();
            assert!(
                error.contains(&format!("the file has {count} requests, but at most 50000 are read")),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_expected_is_compared_with_what_is_decided() {
        let policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- {level: \
                      Request, verbs: [get], omitStages: [Panic], omitManagedFields: true}\n";
        let policy = parse(policy, None).0.unwrap();
        for (verb, expect, missed) in [
            ("get", "level: Request", ""),
            ("get", "level: [None, Request]", ""),
            ("get", "level: [None, Metadata]", "None or Metadata/Request"),
            ("list", "level: Metadata", "Metadata/None"),
            ("get", "omitStages: [Panic, RequestReceived]", ""),
            ("get", "omitStages: Panic", "[Panic]/[RequestReceived, Panic]"),
            ("list", "omitStages: []", "[]/[RequestReceived]"),
            ("get", "omitManagedFields: true", ""),
            ("get", "omitManagedFields: false", "false/true"),
            ("get", "rule: 1", ""),
            ("get", "rule: 2", "2/1"),
            ("get", "rule: none", "none/1"),
            ("list", "rule: none", ""),
            ("list", "{rule: 1, level: Request}", "1/none Request/None"),
        ] {
            let expect = if expect.starts_with('{') { expect.to_owned() } else { format!("{{{expect}}}") };
            let text =
                format!("{HEAD}tests:\n- requests: [{{user: a, verb: {verb}, path: /x}}]\n  expect: {expect}\n");
            let (file, findings) = read(&text);
            let file = file.unwrap_or_else(|| panic!("{findings:?}"));
            let decision = evaluate(&policy, &file.tests[0].requests[0]);
            let found: Vec<_> = file.tests[0]
                .expected
                .iter()
                .filter_map(|expected| expected.wanted.missed(&decision))
                .map(|(wanted, got)| format!("{wanted}/{got}"))
                .collect();
            assert_eq!(found.join(" "), missed, "{verb} {expect}");
        }
    }
}
