//! Everything that the check of a policy can find, in one table. `docs/policy-findings.md` has a section for each id.
//!
//! An id never changes its meaning, and the id of a finding that is gone is never used again.

use std::fmt;

use super::{GroupResources, Rule, Word};
use crate::yaml::fields::Severity;
use crate::yaml::{Node, Position};

/// A kind of finding.
#[derive(Debug)]
pub struct Kind {
    pub id: Id,
    /// Such as `PA009`.
    pub code: &'static str,
    /// Such as `unknown-field`.
    pub name: &'static str,
    pub severity: Severity,
    pub summary: &'static str,
}

macro_rules! kinds {
    ($($id:ident $code:literal $name:literal $severity:ident $summary:literal;)*) => {
        /// The kinds of findings.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Id {
            $($id),*
        }

        /// All kinds, in the order of [`Id`].
        pub const KINDS: &[Kind] = &[
            $(Kind { id: Id::$id, code: $code, name: $name, severity: Severity::$severity, summary: $summary }),*
        ];
    };
}

kinds! {
    NotYaml "PA001" "not-yaml" Error "The file is not YAML as Kubernetes reads it";
    Template "PA002" "template" Error "The file is a template that nobody filled in";
    Tabs "PA003" "tabs" Error "The file is indented with tabs";
    NotJson "PA004" "not-json" Error "The file begins with a brace, and is not JSON";
    Documents "PA005" "one-document" Error "The file has no policy, or more than one document";
    NotPolicy "PA006" "not-a-policy" Error "The file is something else than an audit policy";
    ApiVersion "PA007" "api-version" Error "The apiVersion or the kind is wrong";
    Missing "PA008" "missing-field" Error "A field that must be there is missing";
    UnknownField "PA009" "unknown-field" Error "A field is not known, and the API server drops it";
    MisplacedField "PA010" "misplaced-field" Error "A field of the rule is in an entry of its resources";
    Repeated "PA011" "repeated-field" Error "A field is there twice";
    WrongType "PA012" "wrong-type" Error "A value has another type than its field";
    UnknownValue "PA013" "unknown-value" Error "A level or a stage does not exist";
    EmptyValue "PA014" "empty-value" Error "A list has an empty entry";
    GroupForm "PA015" "group-form" Error "A group is not written as a group";
    NamesAlone "PA016" "names-without-resources" Error "There are names of objects without the resources that have them";
    UrlForm "PA017" "url-form" Error "A URL is not written as the API server reads it";
    TwoScopes "PA018" "two-scopes" Error "A rule is about resources and about other URLs";
    TooNew "PA019" "needs-newer-version" Error "A feature needs a later version of Kubernetes";
    Useless "PA020" "useless-metadata" Error "A field of the metadata has no effect in a policy";
    EmptyList "PA101" "empty-list" Warning "An empty list means the same as no list";
    NeverUsed "PA102" "never-used" Warning "An earlier rule matches every request that this rule matches";
    BeforeOthers "PA103" "catch-all-first" Warning "A rule that matches every request is not the last one";
    RecordsNothing "PA104" "records-nothing" Warning "No rule records anything";
    UnknownVerb "PA105" "unknown-verb" Warning "No request has this verb";
    Wildcard "PA106" "no-wildcard" Warning "This field has no wildcards";
    UnknownGroup "PA107" "unknown-group" Warning "No API group has this name";
    UnknownResource "PA108" "unknown-resource" Warning "No request has this resource";
    Bodies "PA109" "secret-bodies" Warning "The log gets secrets, tokens or kubeconfigs";
    GroupAsUser "PA110" "group-as-user" Warning "This is a group, and users is for users";
    UserAsGroup "PA111" "user-as-group" Warning "This is a user, and userGroups is for groups";
    ImpossibleName "PA112" "impossible-identity" Warning "No user or group can have this name";
    NoStage "PA113" "no-stage-left" Warning "A rule omits every stage that its requests have";
    ResourceAsUrl "PA114" "resource-as-url" Warning "This path is a resource, and nonResourceURLs is for the others";
    UrlAsResource "PA115" "url-as-resource" Warning "This is a path, and resources is for resources";
    GoneIdentity "PA116" "gone-identity" Warning "No supported Kubernetes has this user";
    GoneGroup "PA117" "gone-group" Warning "No supported Kubernetes has this API group";
    WithoutSubresources "PA118" "pods-without-exec" Warning "A rule records pods, and nothing records exec into them";
    NameOfCreate "PA119" "name-on-create" Warning "A request that creates an object has no name";
    NameOfList "PA120" "name-on-list" Warning "A list of objects has no name";
    DropsFloor "PA121" "drops-the-floor" Warning "A rule drops requests that each audit log must have";
    CatchesNoRest "PA122" "no-catch-all" Warning "No rule matches requests that each audit log must have";
    IdleAllow "PA123" "idle-allow" Warning "A comment allows what is not found";
    OutOfNamespaces "PA124" "out-of-namespaces" Warning "A rule for namespaces names resources that are in none";
}

impl Id {
    /// The row of the table.
    pub fn kind(self) -> &'static Kind {
        &KINDS[self as usize]
    }

    /// The id with this code, such as `PA101`.
    pub fn of_code(code: &str) -> Option<Id> {
        KINDS.iter().find(|kind| kind.code == code).map(|kind| kind.id)
    }
}

/// What the check found, and where. A finding of a policy always has its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub id: Id,
    pub position: Position,
    /// The place after the last character that it is about. `None` if it is about no text, such as a missing field.
    pub end: Option<Position>,
    pub severity: Severity,
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.position, self.severity.prefix(), self.message)
    }
}

/// A text that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// A path or a profile.
    pub name: String,
    pub text: String,
    pub findings: Vec<Finding>,
}

impl Checked {
    /// Whether there is no error.
    pub fn accepted(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }

    /// A finding as a line: `NAME:LINE:COLUMN: message`.
    pub fn line(&self, finding: &Finding) -> String {
        format!("{}:{}: {}", self.name, finding.position, finding.message)
    }
}

/// The findings of texts that have this severity, as lines.
pub fn lines(checked: &[Checked], severity: Severity) -> Vec<String> {
    let all = checked.iter().flat_map(|one| one.findings.iter().map(move |finding| (one, finding)));
    all.filter(|(_, finding)| finding.severity == severity).map(|(one, finding)| one.line(finding)).collect()
}

/// A part of a file: where it begins, and the byte offset after it, if it has an end.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub position: Position,
    pub end: Option<usize>,
}

impl From<Position> for Place {
    fn from(position: Position) -> Place {
        Place { position, end: None }
    }
}

impl From<&Node> for Place {
    fn from(node: &Node) -> Place {
        Place { position: node.position, end: Some(node.end) }
    }
}

impl From<&Word> for Place {
    fn from(word: &Word) -> Place {
        Place { position: word.position, end: Some(word.end) }
    }
}

impl From<&Rule> for Place {
    fn from(rule: &Rule) -> Place {
        Place { position: rule.position, end: Some(rule.end) }
    }
}

impl From<&GroupResources> for Place {
    fn from(entry: &GroupResources) -> Place {
        Place { position: entry.position, end: Some(entry.end) }
    }
}

/// Collects the findings about a text.
#[derive(Debug)]
pub struct Report<'t> {
    pub text: &'t str,
    /// The byte offset of each line.
    lines: Vec<usize>,
    pub findings: Vec<Finding>,
}

impl<'t> Report<'t> {
    pub fn new(text: &'t str) -> Report<'t> {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Report { text, lines: std::iter::once(0).chain(ends).collect(), findings: Vec::new() }
    }

    /// Adds a finding with the severity of its kind.
    pub fn add(&mut self, id: Id, place: impl Into<Place>, message: impl Into<String>) {
        self.add_as(id.kind().severity, id, place, message);
    }

    /// As [`Report::add`], with another severity.
    pub fn add_as(&mut self, severity: Severity, id: Id, place: impl Into<Place>, message: impl Into<String>) {
        let Place { position, end } = place.into();
        // A text of no characters, such as a missing value, has no end.
        let end = end.map(|end| self.position(end)).filter(|end| *end > position);
        self.findings.push(Finding { id, position, end, severity, message: message.into() });
    }

    /// The line and the column of a byte offset.
    pub fn position(&self, offset: usize) -> Position {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines[line - 1];
        let before = self.text.get(start..offset.min(self.text.len())).unwrap_or_default();
        Position { line, column: before.trim_start_matches('\u{feff}').chars().count() + 1 }
    }

    /// Whether any finding is an error.
    pub fn failed(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::super::lint::check;
    use super::*;

    #[test]
    fn each_id_is_its_own_and_says_how_bad_it_is() {
        for (at, kind) in KINDS.iter().enumerate() {
            assert_eq!(kind.id as usize, at, "{}", kind.code);
            assert_eq!(Id::of_code(kind.code), Some(kind.id));
            let (is_error, is_low) = (kind.severity == Severity::Error, kind.code < "PA100");
            assert_eq!(is_error, is_low, "{}", kind.code);
            assert_eq!(KINDS.iter().filter(|other| other.name == kind.name).count(), 1, "{}", kind.name);
            assert!(at == 0 || KINDS[at - 1].code < kind.code, "{}", kind.code);
        }
        assert_eq!(Id::of_code("PA999"), None);
    }

    /// The first and the second example of each section of the documentation, by the heading.
    fn pages() -> Vec<(&'static str, &'static str, Vec<String>)> {
        let text = include_str!("../../../docs/policy-findings.md");
        let section = |section: &'static str| {
            let (heading, body) = section.split_once('\n').unwrap();
            let examples = body.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
            let whole = |rules: &str| match rules.contains("kind") {
                true => rules.to_owned(),
                false => format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{rules}- level: Metadata\n"),
            };
            (heading, body, examples.map(whole).collect())
        };
        text.split("\n## ").skip(1).map(section).collect()
    }

    #[test]
    fn each_id_has_its_page_and_each_page_its_id() {
        let pages = pages();
        let headings: Vec<_> = pages.iter().map(|(heading, ..)| (*heading).to_owned()).collect();
        let kinds: Vec<_> = KINDS.iter().map(|kind| format!("{} {}", kind.code, kind.name)).collect();
        assert_eq!(headings, kinds);
        for ((_, body, _), kind) in pages.iter().zip(KINDS) {
            assert!(body.trim_start().starts_with(&format!("{}.\n", kind.summary)), "{}: {body}", kind.code);
        }
    }

    #[test]
    fn the_first_example_of_a_page_has_its_finding_and_the_second_has_none() {
        for ((_, _, examples), kind) in pages().iter().zip(KINDS) {
            let [bad, good] = examples.as_slice() else { panic!("{}: {examples:?}", kind.code) };
            let ids = |text: &str| check(text, None).iter().map(|found| found.id).collect::<Vec<_>>();
            assert_eq!(ids(bad), [kind.id], "{bad}");
            assert_eq!(check(good, None), [], "{good}");
        }
    }

    #[test]
    fn a_place_ends_after_its_last_character() {
        let text = "\u{feff}a\nb\u{e9}c\n";
        let report = Report::new(text);
        for (offset, line, column) in [(3, 1, 1), (4, 1, 2), (5, 2, 1), (8, 2, 3), (9, 2, 4), (99, 3, 1)] {
            assert_eq!(report.position(offset), Position { line, column }, "{offset}");
        }
    }
}
