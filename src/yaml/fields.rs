//! Strict decoding: every field must be known, every value must have its type, and each fault names its position.

use std::fmt;

use super::node::{Node, Position};
use super::scalar::{MARKS, Type, resolve};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file can't be used.
    Error,
    /// Legal, but probably a mistake.
    Warning,
}

impl Severity {
    /// What stands before the message of a finding.
    pub fn prefix(self) -> &'static str {
        match self {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        }
    }
}

/// What the decoder itself finds wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A field that is not known.
    Field,
    /// A value of another type.
    Type,
    /// A value of a template that nobody filled in.
    Template,
}

/// What is wrong at a position in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub position: Position,
    /// The byte offset after the text that it is about, if the decoder itself found it.
    pub end: Option<usize>,
    pub fault: Option<Fault>,
    pub severity: Severity,
    pub message: String,
}

impl Finding {
    /// A finding of a caller of the decoder.
    pub fn new(position: Position, severity: Severity, message: impl Into<String>) -> Finding {
        Finding { position, end: None, fault: None, severity, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.position, self.severity.prefix(), self.message)
    }
}

/// Collects the findings while nodes are decoded.
#[derive(Debug, Default)]
pub struct Decoder {
    pub findings: Vec<Finding>,
    /// The position of each single value, by its path.
    positions: Vec<(String, Position)>,
}

impl Decoder {
    /// Adds an error at a position.
    pub fn error(&mut self, position: Position, message: impl Into<String>) {
        self.findings.push(Finding::new(position, Severity::Error, message));
    }

    /// Adds a warning at a position.
    pub fn warning(&mut self, position: Position, message: impl Into<String>) {
        self.findings.push(Finding::new(position, Severity::Warning, message));
    }

    fn fault(&mut self, fault: Fault, node: &Node, message: String) {
        let (end, fault) = (Some(node.end), Some(fault));
        let found = Finding::new(node.position, Severity::Error, message);
        self.findings.push(Finding { end, fault, ..found });
    }

    /// The position of the value at a path such as `log.maxAge`, or else of a value beside it. `None` if neither was
    /// read.
    pub fn position(&self, path: &str) -> Option<Position> {
        let beside = path.rsplit_once('.').map_or(path, |(parent, _)| parent);
        let find = |wanted: &dyn Fn(&str) -> bool| self.positions.iter().find(|(known, _)| wanted(known));
        let beside = || find(&|known| known.strip_prefix(beside).is_some_and(|rest| rest.starts_with('.')));
        self.own_position(path).or_else(|| beside().map(|(_, position)| *position))
    }

    /// The position of the value at this path alone.
    pub fn own_position(&self, path: &str) -> Option<Position> {
        self.positions.iter().find(|(known, _)| known == path).map(|(_, position)| *position)
    }

    /// Whether any finding is an error.
    pub fn failed(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// The fields of a mapping, with merge keys resolved. A key that is not in `known` is an error that suggests the
    /// most similar known one. Null counts as a mapping without fields.
    pub fn mapping<'n>(&mut self, node: &'n Node, path: &str, known: &[&str]) -> Vec<(&'n str, &'n Node)> {
        if node.pairs().is_none() {
            if !node.is_null() {
                self.wrong_type(node, path, "a mapping of fields");
                let example = known.first().copied().unwrap_or_default();
                self.advise(&format!("write it as {{{example}: ...}}"));
            }
            return Vec::new();
        }
        let mut fields = Vec::new();
        for (key, value) in node.entries() {
            match key.scalar() {
                Some(name) if known.contains(&name) => fields.push((name, value)),
                Some(name) => {
                    let hint = match likely(name, known) {
                        Some(likely) => format!("did you mean {likely:?}?"),
                        None => format!("the known fields are {}", known.join(", ")),
                    };
                    self.fault(Fault::Field, key, format!("unknown field {:?}; {hint}", join(path, name)));
                }
                None => {
                    self.fault(Fault::Type, key, format!("a field's name in {} must be a word", named(path)));
                }
            }
        }
        fields
    }

    /// The items of a list. Null counts as an empty list.
    pub fn list<'n>(&mut self, node: &'n Node, path: &str) -> &'n [Node] {
        match node.items() {
            Some(items) => items,
            None => {
                if !node.is_null() {
                    self.wrong_type(node, path, "a list");
                    if let Some(text) = node.scalar() {
                        self.advise(&format!("write [{}]", brief_plain(text)));
                    }
                }
                &[]
            }
        }
    }

    /// A string that Kubernetes also reads as a string. `None` for null, and for a wrong type, which is added as an
    /// error.
    pub fn string(&mut self, node: &Node, path: &str) -> Option<String> {
        self.positions.push((path.to_owned(), node.position));
        match resolve(node) {
            Type::Str if is_placeholder(node) => {
                self.wrong_type(node, path, "a string");
                None
            }
            Type::Str => node.scalar().map(str::to_owned),
            Type::Null => None,
            Type::Collection => {
                self.wrong_type(node, path, "a string");
                None
            }
            other => {
                let text = node.scalar().unwrap_or_default();
                let message = format!(
                    "{} must be a string, but {text} is {} in YAML; put it in quotes",
                    named(path),
                    other.name()
                );
                self.fault(Fault::Type, node, message);
                None
            }
        }
    }

    /// A boolean. `None` as for [`Decoder::string`].
    pub fn boolean(&mut self, node: &Node, path: &str) -> Option<bool> {
        self.positions.push((path.to_owned(), node.position));
        match resolve(node) {
            Type::Bool(value) => Some(value),
            Type::Null => None,
            _ => {
                self.wrong_type(node, path, "true or false");
                None
            }
        }
    }

    /// A whole number. `None` as for [`Decoder::string`].
    pub fn integer(&mut self, node: &Node, path: &str) -> Option<i64> {
        self.positions.push((path.to_owned(), node.position));
        match resolve(node) {
            Type::Null => None,
            // Only decimal: readers disagree about 0644 and 1_000.
            Type::Int => node.scalar().and_then(decimal).or_else(|| {
                self.wrong_type(node, path, "a number of at most 18 digits, without a leading 0");
                None
            }),
            _ => {
                self.wrong_type(node, path, "a whole number");
                // 100M, 30d: the unit is that of the field.
                let text = node.scalar().unwrap_or_default();
                let digits = &text[..text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())];
                if decimal(digits).is_some() {
                    self.advise(&format!("write {digits}"));
                }
                None
            }
        }
    }

    /// Adds what to type to the error that was added last, unless that says what to do.
    fn advise(&mut self, what: &str) {
        if let Some(last) = self.findings.last_mut().filter(|last| !last.message.contains(';')) {
            last.message = format!("{}; {what}", last.message);
        }
    }

    /// Adds the error that a value has the wrong type.
    pub fn wrong_type(&mut self, node: &Node, path: &str, expected: &str) {
        if is_placeholder(node) {
            let message = format!("{} is a placeholder of a template; fill it in", named(path));
            return self.fault(Fault::Template, node, message);
        }
        let found = match resolve(node) {
            Type::Collection if node.items().is_some() => "a list".to_owned(),
            Type::Collection => "a mapping".to_owned(),
            Type::Int | Type::Float => node.scalar().unwrap_or_default().to_owned(),
            other => match node.scalar() {
                Some("") | None => other.name().to_owned(),
                Some(text) => format!("{} ({})", other.name(), brief(text)),
            },
        };
        self.fault(Fault::Type, node, format!("{} must be {expected}, not {found}", named(path)));
    }
}

/// Is a value a placeholder of a template, in quotes or not?
fn is_placeholder(node: &Node) -> bool {
    node.scalar().is_some_and(|text| MARKS.iter().any(|mark| text.contains(mark)))
}

fn decimal(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = digits == "0" || !digits.starts_with('0');
    if canonical { text.parse().ok() } else { None }
}

/// `a.b` from a path and a field's name.
pub fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn named(path: &str) -> &str {
    if path.is_empty() { "the document" } else { path }
}

/// A text as an item of an example: cut as by [`brief`], and in quotes only if it needs them.
fn brief_plain(text: &str) -> String {
    let is_plain = text.len() <= 60 && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    if is_plain { text.to_owned() } else { brief(text) }
}

/// A text for an error message: in quotes, and cut after 60 characters.
pub fn brief(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    format!("{short:?}")
}

/// The known word that a misspelt one probably means: the nearest one that differs in at most two letters, upper and
/// lower case ignored. `None` if there is none.
pub fn likely<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let lower = word.to_lowercase();
    known
        .iter()
        .map(|known| (distance(&lower, &known.to_lowercase()), *known))
        .filter(|(distance, known)| *distance <= 2 && *distance < known.len().max(2) / 2 + 1)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Levenshtein's edit distance. A word over 64 bytes is as far as possible from every other word.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_words_find_their_likely_name() {
        let known = ["verbs", "users", "userGroups", "resources", "level"];
        for (word, expected) in [
            ("verb", Some("verbs")),
            ("resource", Some("resources")),
            ("usergroups", Some("userGroups")),
            ("Level", Some("level")),
            ("leevl", Some("level")),
            ("resour", None),
            ("objectRef", None),
            ("", None),
        ] {
            assert_eq!(likely(word, &known), expected, "{word:?}");
        }
        // A short word is similar to few others, and a word that is too long to none.
        let long = |letters| "a".repeat(letters);
        for (word, known, is_likely) in [
            ("in", "on", true),
            ("xy", "on", false),
            (&long(64), &format!("{}b", long(63)), true),
            (&long(65), &long(64), false),
            (&long(64), &long(65), false),
        ] {
            assert_eq!(likely(word, &[known]), is_likely.then_some(known), "{word:?}");
        }
        for (a, b, expected) in [("", "ab", 2), ("ab", "", 2), ("abc", "bc", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), expected, "{a:?} {b:?}");
        }
    }

    #[test]
    fn long_texts_are_cut() {
        for (letters, expected) in [(60, "\""), (61, "...\"")] {
            let found = brief(&"\u{e9}".repeat(letters));
            assert_eq!(found, format!("\"{}{expected}", "\u{e9}".repeat(60)));
        }
    }

    fn root(text: &str) -> Node {
        crate::yaml::parse(text).unwrap().remove(0).root
    }

    #[test]
    fn whole_numbers_are_decimal() {
        let digits = "n must be a number of at most 18 digits, without a leading 0, not ";
        for (text, expected) in [
            ("7", Ok(Some(7))),
            ("0", Ok(Some(0))),
            ("-7", Ok(Some(-7))),
            ("~", Ok(None)),
            ("0644", Err(format!("1:1: {digits}0644"))),
            ("-01", Err(format!("1:1: {digits}-01"))),
            ("1_000", Err(format!("1:1: {digits}1_000"))),
            ("1.5", Err("1:1: n must be a whole number, not 1.5; write 1".to_owned())),
            ("100M", Err("1:1: n must be a whole number, not a string (\"100M\"); write 100".to_owned())),
            ("x", Err("1:1: n must be a whole number, not a string (\"x\")".to_owned())),
            ("[]", Err("1:1: n must be a whole number, not a list".to_owned())),
        ] {
            let mut decoder = Decoder::default();
            let found = decoder.integer(&root(text), "n");
            let fault = decoder.findings.first().map(Finding::to_string);
            assert_eq!(fault.map_or(Ok(found), Err), expected, "{text}");
        }
    }

    #[test]
    fn a_value_that_is_missing_is_looked_for_beside_its_neighbours() {
        let root = root("a:\n  b: 1\n  c: x\n");
        let mut decoder = Decoder::default();
        for name in ["b", "c"] {
            decoder.string(root.at(&["a", name]).unwrap(), &join("a", name));
        }
        for (path, line) in [("a.b", Some(2)), ("a.c", Some(3)), ("a.d", Some(2)), ("ab.c", None), ("b", None)] {
            assert_eq!(decoder.position(path).map(|position| position.line), line, "{path}");
        }
    }
}
