//! YAML as data, as Kubernetes reads it (`sigs.k8s.io/yaml`), and JSON's numbers.

use serde_json::{Map, Number, Value};

use crate::audit::flags;
use crate::yaml::Node;
use crate::yaml::scalar::{Type, resolve};

/// The value of a node, without what is at `omitted`: for each level, the number of the item or of the pair.
pub fn value_of(node: &Node, omitted: Option<&[usize]>) -> Value {
    let inner = |index: usize| omitted.and_then(|place| place.split_first()).filter(|(first, _)| **first == index);
    let is_omitted = |index: usize| inner(index).is_some_and(|(_, rest)| rest.is_empty());
    let below = |index: usize| inner(index).map(|(_, rest)| rest);
    if let Some(items) = node.items() {
        let kept = items.iter().enumerate().filter(|(index, _)| !is_omitted(*index));
        return kept.map(|(index, item)| value_of(item, below(index))).collect::<Vec<_>>().into();
    }
    let Some(pairs) = node.pairs() else { return scalar(node) };
    let mut map = Map::new();
    for (index, (key, value)) in pairs.iter().enumerate().filter(|(index, _)| !is_omitted(*index)) {
        if key.is_merge() {
            let sources = value.items().unwrap_or(std::slice::from_ref(value));
            for (key, value) in sources.iter().rev().flat_map(Node::entries) {
                map.insert(key.scalar().unwrap_or_default().to_owned(), value_of(value, None));
            }
        } else {
            map.insert(key.scalar().unwrap_or_default().to_owned(), value_of(value, below(index)));
        }
    }
    map.into()
}

fn scalar(node: &Node) -> Value {
    let text = node.scalar().unwrap_or_default();
    match resolve(node) {
        Type::Null => Value::Null,
        Type::Bool(value) => value.into(),
        Type::Int | Type::Float => number(text),
        Type::Str | Type::Collection => text.into(),
    }
}

/// The number that Go reads (`strconv.ParseInt(text, 0, 64)`, or else `ParseFloat`): a 0 at the start makes it octal.
fn number(text: &str) -> Value {
    let digits = text.replace('_', "");
    let whole = flags::integer(&digits).map(Number::from);
    let number = whole.or_else(|| digits.parse().ok().and_then(Number::from_f64));
    number.map_or_else(|| text.into(), Value::Number)
}

/// How large values may become. A few copies of a value into itself make it larger than any memory.
pub const MAX_VALUES: usize = 20_000;
pub const MAX_DEPTH: usize = 200;

/// Whether a value is within the limits.
pub fn is_small(value: &Value) -> bool {
    fn count(value: &Value, depth: usize, left: &mut usize) -> bool {
        if depth > MAX_DEPTH || *left == 0 {
            return false;
        }
        *left -= 1;
        match value {
            Value::Array(items) => items.iter().all(|item| count(item, depth + 1, left)),
            Value::Object(map) => map.values().all(|item| count(item, depth + 1, left)),
            _ => true,
        }
    }
    count(value, 0, &mut MAX_VALUES.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_become_what_kubernetes_reads() {
        for (text, expected) in [
            (
                "{a: yes, b: ~, c: 0644, d: '1', e: 1_000, f: -0x1f, g: 1.5, h: 099, i: 99999999999999999999}",
                json!({
                    "a": true, "b": null, "c": 420, "d": "1", "e": 1000, "f": -31, "g": 1.5, "h": 99.0, "i": 1e20
                }),
            ),
            (
                "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: [*x, 'a']\n",
                json!({
                    "x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}, "z": [{"a": 1, "b": 2}, "a"]
                }),
            ),
        ] {
            assert_eq!(value_of(&crate::yaml::parse(text).unwrap()[0].root, None), expected, "{text}");
        }
    }

    #[test]
    fn a_place_can_be_left_out() {
        let document = &crate::yaml::parse("a: [{b: 1, c: 2}, 3]\nd: 4\n").unwrap()[0].root;
        for (place, expected) in [
            (&[0][..], json!({"d": 4})),
            (&[0, 1], json!({"a": [{"b": 1, "c": 2}], "d": 4})),
            (&[0, 0, 1], json!({"a": [{"b": 1}, 3], "d": 4})),
        ] {
            assert_eq!(value_of(document, Some(place)), expected, "{place:?}");
        }
    }

    #[test]
    fn values_have_limits() {
        let mut deep = json!(1);
        for _ in 0..MAX_DEPTH {
            deep = json!([deep]);
        }
        assert!(is_small(&deep));
        assert!(!is_small(&json!([deep])));
        assert!(!is_small(&vec![0; MAX_VALUES].into()));
    }
}
