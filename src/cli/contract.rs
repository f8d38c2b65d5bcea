//! Reads the section "JSON" of README.md, which has the shape of each JSON document. Tests compare the output with it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// The names of the shapes, in the order in which README.md has them.
const NAMES: [&str; 13] = [
    "plan",
    "proof",
    "no proof",
    "nothing to prove",
    "status",
    "restore",
    "list",
    "check",
    "explain",
    "resource",
    "show",
    "test",
    "diff",
];

/// The keys that a change has only if its action has them.
const OPTIONAL: [&str; 4] = ["mode", "uid", "gid", "diff"];

/// The shape with this name. `...` and ` or null` are the notation of README.md.
pub fn shape(name: &str) -> Value {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once("\n### JSON\n").expect("the section JSON");
    let (section, _) = section.split_once("\n## ").expect("a section after it");
    let mut shapes: Vec<String> = Vec::new();
    let mut lines = section.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(first) = line.strip_prefix("    {") {
            let mut block = format!("{{{first}");
            while let Some(more) = lines.next_if(|line| line.starts_with("    ")) {
                block += more.trim_start();
            }
            shapes.push(block);
        } else {
            shapes.extend(
                line.split('`').skip(1).step_by(2).filter(|span| span.starts_with('{')).map(str::to_owned),
            );
        }
    }
    assert_eq!(shapes.len(), NAMES.len(), "{shapes:#?}");
    let at = NAMES.iter().position(|known| *known == name).expect(name);
    let text = or_null(shapes[at].replace(", ...]", "]"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"))
}

/// Replaces `X or null` by the object `{"or null": X}`.
fn or_null(mut text: String) -> String {
    while let Some(end) = text.find(" or null") {
        let mut depth = 0;
        let start = match text[..end].ends_with('}') {
            true => text[..end].rfind(|c| {
                depth += i32::from(c == '}') - i32::from(c == '{');
                depth == 0
            }),
            false => text[..end].rfind(": ").map(|at| at + 2),
        };
        let start = start.expect("a value");
        text =
            format!("{}{{\"or null\": {}}}{}", &text[..start], &text[start..end], &text[end + " or null".len()..]);
    }
    text
}

/// Asserts that each document has all keys of the shape and no others, and that each key has a value in one document
/// at least.
pub fn holds(shape: &Value, documents: &[Value]) {
    let mut seen = BTreeSet::new();
    for document in documents {
        fits("", shape, document, &mut seen);
    }
    let mut all = BTreeSet::new();
    paths("", shape, &mut all);
    let unseen: Vec<_> = all.difference(&seen).collect();
    assert!(unseen.is_empty(), "nothing has a value for {unseen:?}: {documents:#?}");
}

fn plain(shape: &Value) -> &Value {
    shape.get("or null").unwrap_or(shape)
}

fn keys(object: &Map<String, Value>) -> BTreeMap<&str, &Value> {
    object.iter().map(|(key, value)| (key.as_str(), value)).collect()
}

fn fits(at: &str, shape: &Value, found: &Value, seen: &mut BTreeSet<String>) {
    if shape.get("or null").is_some() && found.is_null() {
        return;
    }
    seen.insert(at.to_owned());
    let is_right = match (plain(shape), found) {
        (Value::Object(wanted), Value::Object(found)) => {
            let (wanted, found) = (keys(wanted), keys(found));
            for (key, value) in &found {
                let shape = wanted.get(key).unwrap_or_else(|| panic!("{at}.{key} is not in README.md"));
                fits(&format!("{at}.{key}"), shape, value, seen);
            }
            let is_missing =
                |key: &&str| !(found.contains_key(key) || at.ends_with(".changes[]") && OPTIONAL.contains(key));
            let missing: Vec<_> = wanted.into_keys().filter(is_missing).collect();
            assert!(missing.is_empty(), "{at}: README.md also has {missing:?}: {found:?}");
            true
        }
        (Value::Array(wanted), Value::Array(found)) => {
            found
                .iter()
                .zip(wanted.iter().cycle())
                .for_each(|(item, shape)| fits(&format!("{at}[]"), shape, item, seen));
            !wanted.is_empty() || found.is_empty()
        }
        (Value::String(wanted), Value::String(found)) => {
            // A word in capitals stands for any word.
            let is_it = |word: &str| word == found || word == word.to_uppercase();
            !wanted.contains('|') || wanted.split('|').any(is_it)
        }
        (Value::Number(_), Value::Number(_)) | (Value::Bool(_), Value::Bool(_)) | (Value::Null, Value::Null) => {
            true
        }
        _ => false,
    };
    assert!(is_right, "{at}: {found} is not {shape}, as README.md has it");
}

fn paths(at: &str, shape: &Value, all: &mut BTreeSet<String>) {
    all.insert(at.to_owned());
    match plain(shape) {
        Value::Object(object) => object.iter().for_each(|(key, shape)| paths(&format!("{at}.{key}"), shape, all)),
        Value::Array(items) => items.iter().for_each(|shape| paths(&format!("{at}[]"), shape, all)),
        _ => {}
    }
}

/// The words that README.md lists at a path of a shape.
pub fn words(shape: &Value, path: &[&str]) -> Vec<String> {
    let found = path.iter().fold(shape, |shape, step| match plain(shape) {
        Value::Array(items) => &items[0][step],
        shape => &shape[step],
    });
    plain(found).as_str().expect("words").split('|').map(str::to_owned).collect()
}

#[test]
fn the_notation_is_read() {
    let text = or_null(r#"{"a": {"b": "x|y" or null, "c": 1.5 or null} or null, "d": [{"e": true}]}"#.to_owned());
    let read: Value = serde_json::from_str(&text).unwrap();
    let wanted = serde_json::json!({
        "a": {"or null": {"b": {"or null": "x|y"}, "c": {"or null": 1.5}}},
        "d": [{"e": true}],
    });
    assert_eq!(read, wanted);
    assert_eq!(words(&read, &["a", "b"]), ["x", "y"]);
}

#[test]
fn a_document_that_is_other_than_its_shape_is_seen() {
    let shape = serde_json::json!({"a": {"or null": "x|y"}, "b": [{"c": 1}], "d": null});
    let good = serde_json::json!({"a": "x", "b": [{"c": 2}], "d": null});
    holds(&shape, std::slice::from_ref(&good));
    holds(&shape, &[serde_json::json!({"a": null, "b": [], "d": null}), good]);
    for wrong in [
        serde_json::json!({"a": "z", "b": [{"c": 2}], "d": null}),
        serde_json::json!({"a": null, "b": [{"c": 2}], "d": null}),
        serde_json::json!({"a": "x", "b": [], "d": null}),
        serde_json::json!({"a": "x", "b": [{"c": "2"}], "d": null}),
        serde_json::json!({"a": "x", "b": [{"c": 2}], "d": 1}),
        serde_json::json!({"a": "x", "b": [{"c": 2}]}),
        serde_json::json!({"a": "x", "b": [{"c": 2, "e": 2}], "d": null}),
        serde_json::json!({"A": "x", "b": [{"c": 2}], "d": null}),
    ] {
        let judged = std::panic::catch_unwind(|| holds(&shape, std::slice::from_ref(&wrong)));
        assert!(judged.is_err(), "{wrong}");
    }
}
