//! What a word means to Kubernetes, and how to write a word so that it keeps its meaning.
//!
//! Kubernetes reads YAML with go.yaml.in/yaml/v2 (through sigs.k8s.io/yaml), which keeps much of YAML 1.1: it reads
//! `yes`, `on` and `n` as booleans, and `0644` and `1_000` as numbers.

use super::node::{Node, NodeKind, Style};

/// The type that Kubernetes gives to a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Null,
    Bool(bool),
    Int,
    Float,
    Str,
    /// Not a scalar at all.
    Collection,
}

impl Type {
    /// Its name in an error message.
    pub fn name(self) -> &'static str {
        match self {
            Type::Null => "nothing",
            Type::Bool(_) => "a boolean",
            Type::Int | Type::Float => "a number",
            Type::Str => "a string",
            Type::Collection => "a list or a mapping",
        }
    }
}

/// The type of a node: by its tag, or else its quotes, or else its text.
pub fn resolve(node: &Node) -> Type {
    let node = node.resolved();
    let NodeKind::Scalar { value, style } = &node.kind else {
        return Type::Collection;
    };
    match node.tag.as_deref().map(|tag| tag.strip_prefix("tag:yaml.org,2002:").unwrap_or(tag)) {
        Some("bool" | "int" | "float" | "null") => plain(value),
        // go-yaml reads a value with any other tag as a string, too.
        Some(_) => Type::Str,
        None if *style == Style::Plain => plain(value),
        None => Type::Str,
    }
}

impl Node {
    /// The text of a scalar that Kubernetes reads as a string.
    pub fn str(&self) -> Option<&str> {
        match resolve(self) {
            Type::Str => self.scalar(),
            _ => None,
        }
    }

    /// Whether Kubernetes reads the node as null: nothing, `~` or `null`.
    pub fn is_null(&self) -> bool {
        resolve(self) == Type::Null
    }
}

/// What is wrong with a scalar's tag, and what to do; `None` if it is right. go-yaml refuses a word that does not have
/// the type of its tag. It reads `!!binary` and `!!timestamp` as another value than the one that is written.
pub fn tag_fault(tag: &str, value: &str) -> Option<String> {
    let tag = tag.strip_prefix("tag:yaml.org,2002:")?;
    let fits = match (tag, plain(value)) {
        ("binary" | "timestamp", _) => {
            return Some(format!("the tag !!{tag} is not supported here; write the value itself, in quotes"));
        }
        ("bool", found) => matches!(found, Type::Bool(_)),
        ("int", found) => found == Type::Int,
        ("float", found) => matches!(found, Type::Int | Type::Float),
        ("null", found) => found == Type::Null,
        _ => true,
    };
    (!fits).then(|| format!("the tag !!{tag} does not fit this value; remove the tag"))
}

/// The type of a word without quotes, by the table and the number rules of go-yaml v2's `resolve.go`.
pub fn plain(word: &str) -> Type {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => return Type::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Type::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Type::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => return Type::Float,
        _ => {}
    }
    let digits = word.replace('_', "");
    if is_int(&digits) {
        Type::Int
    } else if is_float(&digits) {
        Type::Float
    } else {
        Type::Str
    }
}

/// Whether Go's `strconv.ParseInt(text, 0, 64)` reads the text, numbers that are too large included: an optional sign,
/// and the base by prefix.
fn is_int(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let all = |digits: &str, radix| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => all(&digits[2..], 16),
        Some("0b") => all(&digits[2..], 2),
        Some("0o") => all(&digits[2..], 8),
        _ => all(digits, 10),
    }
}

/// Whether the text matches `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`.
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (text, None),
    };
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

/// The first word below a node that looks like a template that was not filled in. Words in quotes don't count, because
/// they may be meant literally. `$(NAME)` doesn't count either: Kubernetes expands it itself.
pub fn template_mark(node: &Node) -> Option<&Node> {
    match &node.kind {
        NodeKind::Scalar { value, style: Style::Plain } => has_mark(value).then_some(node),
        NodeKind::Sequence { items, .. } => items.iter().find_map(template_mark),
        NodeKind::Mapping { pairs, .. } => pairs.iter().find_map(|(_, value)| template_mark(value)),
        NodeKind::Scalar { .. } | NodeKind::Alias(_) => None,
    }
}

/// What begins a placeholder in a template, in no matter which word.
pub const MARKS: [&str; 4] = ["${", "{{", "{%", "<%"];

/// Whether a word has a template's mark: `${x}`, `{{x}}`, `{%x%}`, `<%x%>`, or `{X}`, `<X>`, `__X__` around a name in
/// capitals.
pub fn has_mark(word: &str) -> bool {
    let name = |open: &str, close: &str| {
        word.match_indices(open).any(|(at, _)| {
            let rest = &word[at + open.len()..];
            let name = rest.find(close).map_or("", |end| &rest[..end]);
            name.len() > 1
                && name.starts_with(|c: char| c.is_ascii_uppercase())
                && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        })
    };
    MARKS.iter().any(|mark| word.contains(mark)) || name("{", "}") || name("<", ">") || name("__", "__")
}

/// Writes a string so that every YAML reader, 1.1 or 1.2, reads back the same string: without quotes only if no reader
/// can read it as something else, or else in double quotes. In a flow collection or JSON, always in double quotes.
pub fn quote(word: &str, flow: bool) -> String {
    if !flow && surely_plain(word) { word.to_owned() } else { double_quoted(word) }
}

/// Whether no reader takes the word for a number, boolean, null, time or date: letters, digits and a few marks.
fn surely_plain(word: &str) -> bool {
    let flag = word.strip_prefix("--").unwrap_or(word);
    flag.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && flag.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=,".contains(c))
        && plain(word) == Type::Str
}

/// The word in double quotes, escaped as in JSON, which YAML readers also read.
pub fn double_quoted(word: &str) -> String {
    serde_json::Value::from(word).to_string()
}

/// The word in the quotes of the previous value, so that an edit changes only the value.
pub fn quote_like(word: &str, style: Style, flow: bool) -> String {
    match style {
        Style::SingleQuoted if !word.contains(|c: char| c.is_control()) => {
            format!("'{}'", word.replace('\'', "''"))
        }
        Style::SingleQuoted | Style::DoubleQuoted => double_quoted(word),
        Style::Plain if flow && surely_plain(word) && !word.contains(',') => word.to_owned(),
        Style::Plain | Style::Block => quote(word, flow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_have_the_type_that_go_yaml_gives_them() {
        for (words, expected) in [
            (&["", "~", "null"][..], Type::Null),
            (&["yes", "y", "On", "TRUE"], Type::Bool(true)),
            (&["no", "n", "OFF", "False"], Type::Bool(false)),
            (&["0", "30", "-1", "+7", "0644", "0o644", "0x1F", "0b11", "1_000"], Type::Int),
            (&["1.30", "1e3", ".5", "5.", "-.inf", ".nan", "1_0.5"], Type::Float),
            (
                &["v1.30", "12:30:45", "2024-01-01", "0x", "1.2.3", "yES", "-", ".", "e3", "1e", "1ex", "="],
                Type::Str,
            ),
        ] {
            for word in words {
                assert_eq!(plain(word), expected, "{word:?}");
            }
        }
    }

    #[test]
    fn tags_are_taken_as_go_yaml_takes_them() {
        for (text, expected) in [
            ("!!str 5", Type::Str),
            ("! 5", Type::Str),
            ("!!int \"5\"", Type::Int),
            ("!!float 1", Type::Int),
            ("!!bool 'yes'", Type::Bool(true)),
            ("!!null ''", Type::Null),
            ("!!map false", Type::Str),
            ("!foo yes", Type::Str),
        ] {
            assert_eq!(resolve(&crate::yaml::parse(text).unwrap()[0].root), expected, "{text}");
        }
        for text in [
            "!!int x",
            "!!bool 1",
            "!!null x",
            "!!float x",
            "!!int 1.5",
            "!!binary YQ==",
            "!!timestamp 2024-01-01",
        ] {
            let fault = crate::yaml::parse(&format!("a: {text}\n")).unwrap_err().to_string();
            assert!(fault.starts_with("1:4: the tag !!"), "{text}: {fault}");
        }
    }

    #[test]
    fn template_marks_are_told_from_words() {
        for (word, expected) in [
            ("${pod_cidr}", true),
            ("https://127.0.0.1:${PORT}", true),
            ("v{{ .Version }}", true),
            ("{% if x %}", true),
            ("--advertise-address={HOST_IP}", true),
            ("<HOST_IP>", true),
            ("hyperkube:__RELEASE__", true),
            ("--advertise-address=$(POD_IP)", false),
            ("a__b__c", false),
            ("{a}", false),
            ("{A}", false),
            ("<none>", false),
            ("node$", false),
            ("__", false),
        ] {
            assert_eq!(has_mark(word), expected, "{word}");
        }
    }

    #[test]
    fn a_new_value_has_the_quotes_of_the_old_one() {
        for (word, style, flow, expected) in [
            ("it's", Style::SingleQuoted, false, "'it''s'"),
            ("a\nb", Style::SingleQuoted, false, "\"a\\nb\""),
            ("json", Style::DoubleQuoted, false, "\"json\""),
            ("json", Style::Plain, true, "json"),
            ("a,b", Style::Plain, true, "\"a,b\""),
            ("a,b", Style::Plain, false, "a,b"),
            ("30", Style::Plain, true, "\"30\""),
            ("30", Style::Plain, false, "\"30\""),
            ("json", Style::Block, true, "\"json\""),
        ] {
            assert_eq!(quote_like(word, style, flow), expected, "{word:?} {style:?} {flow}");
        }
    }

    #[test]
    fn a_template_is_known_by_its_first_plain_mark() {
        for (text, expected) in [
            ("a: [b, '${x}']\nc:\n- d: ${y}\n- ${z}\n", Some("${y}")),
            ("a: ${x}-${y}\n", Some("${x}-${y}")),
            ("a: &n b\nc: *n\n", None),
        ] {
            let root = crate::yaml::parse(text).unwrap().remove(0).root;
            assert_eq!(template_mark(&root).and_then(Node::scalar), expected, "{text}");
        }
    }

    #[test]
    fn our_own_words_are_quoted_unless_surely_plain() {
        for (word, block) in [
            ("json", "json"),
            ("/var/log/audit.log", "/var/log/audit.log"),
            ("--audit-log-path=/var/log/a.log", "--audit-log-path=/var/log/a.log"),
            ("audit.k8s.io/v1", "audit.k8s.io/v1"),
            ("30", "\"30\""),
            ("true", "\"true\""),
            ("y", "\"y\""),
            ("1_000", "\"1_000\""),
            ("12:30:45", "\"12:30:45\""),
            ("2024-01-01", "\"2024-01-01\""),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a: b", "\"a: b\""),
            ("a #b", "\"a #b\""),
            ("*x", "\"*x\""),
            ("a\"b\n", "\"a\\\"b\\n\""),
            ("é", "\"é\""),
        ] {
            assert_eq!(quote(word, false), block);
            assert_eq!(quote(word, true), double_quoted(word));
        }
    }
}
