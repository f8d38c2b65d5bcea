//! JSON patches (RFC 6902), as `evanphx/json-patch` v4 applies them, which kubeadm uses. It differs from the RFC: an
//! index can be negative, `replace` adds a missing key, and what stands before the first slash of a path is ignored.

use serde_json::Value;

/// Applies an operation.
///
/// # Errors
///
/// kubeadm cannot apply it: why.
pub fn apply(document: &mut Value, operation: &Value) -> Result<(), String> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str);
    let value = || operation.get("value").cloned().unwrap_or_default();
    let op = text("op").unwrap_or("unknown");
    let path = text("path").ok_or("it has no path");
    match op {
        "add" => add(document, path?, value()),
        "replace" if path == Ok("") => {
            *document = value();
            Ok(())
        }
        "replace" => replace(document, path?, value()),
        "remove" => take(document, path?).map(drop),
        "move" => {
            let value = take(document, text("from").ok_or("it has no from")?)?;
            add(document, path?, value)
        }
        "copy" => {
            let from = text("from").ok_or("it has no from")?;
            let (parent, key) = find(document, from)?;
            let value = get(parent, &key).cloned()?;
            add(document, path?, value)
        }
        // Whether a test succeeds depends on values that are not known here. If it fails, kubeadm says so.
        "test" => Ok(()),
        _ => Err(format!("{op:?} is no operation")),
    }
}

/// Why an operation can't be applied to anything.
pub fn shape_fault(operation: &Value) -> Option<String> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str);
    match text("op").unwrap_or("unknown") {
        "add" | "replace" | "remove" | "move" | "copy" | "test" => {
            text("path").is_none().then(|| "it has no path".to_owned())
        }
        op => Some(format!("{op:?} is no operation")),
    }
}

/// Whether a test succeeds, if the operation is a test.
pub fn test(document: &Value, operation: &Value) -> Option<bool> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str);
    (text("op") == Some("test")).then(|| {
        let wanted = operation.get("value").unwrap_or(&Value::Null);
        let path = text("path").unwrap_or_default();
        let mut document = document.clone();
        let found = if path.is_empty() {
            Some(document)
        } else {
            find(&mut document, path).ok().and_then(|(parent, key)| get(parent, &key).ok().cloned())
        };
        found.as_ref() == Some(wanted)
    })
}

/// The parent of what a path names, and the last part of the path.
fn find<'d>(document: &'d mut Value, path: &str) -> Result<(&'d mut Value, String), String> {
    let missing = || format!("the manifest has no {path:?}");
    let decoded = |part: &str| part.replace("~1", "/").replace("~0", "~");
    let (parents, key) = path.rsplit_once('/').ok_or_else(missing)?;
    let mut at = document;
    for part in parents.split('/').skip(1) {
        let part = decoded(part);
        at = match at {
            Value::Object(map) => map.get_mut(&part),
            Value::Array(items) => {
                let length = items.len();
                let item = index(&part, length).and_then(|index| items.get_mut(index));
                Some(item.ok_or_else(|| format!("in {path:?}, {}", no_index(&part, length)))?)
            }
            _ => None,
        }
        .filter(|next| !next.is_null())
        .ok_or_else(missing)?;
    }
    match at {
        Value::Object(_) | Value::Array(_) => Ok((at, decoded(key))),
        _ => Err(missing()),
    }
}

/// An index into a list of this length; a negative one counts from its end.
fn index(part: &str, length: usize) -> Option<usize> {
    let number: i64 = part.parse().ok()?;
    let index = if number < 0 { number.checked_add(i64::try_from(length).ok()?)? } else { number };
    usize::try_from(index).ok().filter(|index| *index < length)
}

fn get<'v>(parent: &'v Value, key: &str) -> Result<&'v Value, String> {
    match parent {
        Value::Object(map) => Ok(map.get(key).unwrap_or(&Value::Null)),
        Value::Array(items) => {
            index(key, items.len()).and_then(|index| items.get(index)).ok_or_else(|| no_index(key, items.len()))
        }
        _ => Err("the manifest has no such field".to_owned()),
    }
}

fn no_index(key: &str, length: usize) -> String {
    match length {
        1 => format!("{key:?} names no item of a list that has only the item 0"),
        0 => format!("{key:?} names an item of a list, and the list is empty"),
        _ => format!("{key:?} names no item of a list with the items 0 to {}", length - 1),
    }
}

fn add(document: &mut Value, path: &str, value: Value) -> Result<(), String> {
    match find(document, path)? {
        (Value::Object(map), key) => {
            map.insert(key, value);
        }
        (Value::Array(items), key) if key == "-" => items.push(value),
        (Value::Array(items), key) => {
            let length = items.len();
            let at = index(&key, length + 1)
                .ok_or_else(|| format!("{}; write - to add an item at its end", no_index(&key, length)))?;
            items.insert(at, value);
        }
        _ => return Err(format!("the manifest has no {path:?}")),
    }
    Ok(())
}

fn replace(document: &mut Value, path: &str, value: Value) -> Result<(), String> {
    match find(document, path)? {
        (Value::Object(map), key) => {
            map.insert(key, value);
        }
        (Value::Array(items), key) => {
            let length = items.len();
            let item = index(&key, length).and_then(|index| items.get_mut(index));
            *item.ok_or_else(|| no_index(&key, length))? = value;
        }
        _ => return Err(format!("the manifest has no {path:?}")),
    }
    Ok(())
}

/// Removes what a path names.
fn take(document: &mut Value, path: &str) -> Result<Value, String> {
    match find(document, path)? {
        (Value::Object(map), key) => map.remove(&key).ok_or_else(|| format!("the manifest has no {path:?}")),
        (Value::Array(items), key) => {
            let at = index(&key, items.len()).ok_or_else(|| no_index(&key, items.len()))?;
            Ok(items.remove(at))
        }
        _ => Err(format!("the manifest has no {path:?}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_are_applied_as_kubeadm_applies_them() {
        for (operation, expected) in [
            (json!({"op": "add", "path": "/l/-", "value": 4}), Some(json!({"l": [1, 2, 3, 4], "m": {"a/b": 1}}))),
            (json!({"op": "add", "path": "/l/0", "value": 4}), Some(json!({"l": [4, 1, 2, 3], "m": {"a/b": 1}}))),
            (json!({"op": "add", "path": "/l/-1", "value": 4}), Some(json!({"l": [1, 2, 3, 4], "m": {"a/b": 1}}))),
            (json!({"op": "add", "path": "/l/3", "value": 4}), Some(json!({"l": [1, 2, 3, 4], "m": {"a/b": 1}}))),
            (json!({"op": "add", "path": "/l/4", "value": 4}), None),
            (
                json!({"op": "add", "path": "x/n", "value": 4}),
                Some(json!({"l": [1, 2, 3], "m": {"a/b": 1}, "n": 4})),
            ),
            (json!({"op": "add", "path": "/n"}), Some(json!({"l": [1, 2, 3], "m": {"a/b": 1}, "n": null}))),
            (json!({"op": "add", "path": "", "value": 4}), None),
            (json!({"op": "add", "path": "/n/m", "value": 4}), None),
            (
                json!({"op": "replace", "path": "/m/a~1b", "value": 4}),
                Some(json!({"l": [1, 2, 3], "m": {"a/b": 4}})),
            ),
            (
                json!({"op": "replace", "path": "/m/new", "value": 4}),
                Some(json!({"l": [1, 2, 3], "m": {"a/b": 1, "new": 4}})),
            ),
            (
                json!({"op": "replace", "path": "/l/-1", "value": 4}),
                Some(json!({"l": [1, 2, 4], "m": {"a/b": 1}})),
            ),
            (json!({"op": "replace", "path": "/l/-", "value": 4}), None),
            (json!({"op": "replace", "path": "", "value": {}}), Some(json!({}))),
            (json!({"op": "remove", "path": "/l/1"}), Some(json!({"l": [1, 3], "m": {"a/b": 1}}))),
            (json!({"op": "remove", "path": "/n"}), None),
            (
                json!({"op": "move", "from": "/l/0", "path": "/m/x"}),
                Some(json!({"l": [2, 3], "m": {"a/b": 1, "x": 1}})),
            ),
            (
                json!({"op": "copy", "from": "/m", "path": "/l/0"}),
                Some(json!({"l": [{"a/b": 1}, 1, 2, 3], "m": {"a/b": 1}})),
            ),
            (json!({"op": "test", "path": "/l/0", "value": 7}), Some(json!({"l": [1, 2, 3], "m": {"a/b": 1}}))),
            (json!({"op": "other", "path": "/l"}), None),
            (json!({"op": "remove"}), None),
            (json!("add"), None),
        ] {
            let mut document = json!({"l": [1, 2, 3], "m": {"a/b": 1}});
            let result = apply(&mut document, &operation).ok().map(|()| document);
            assert_eq!(result, expected, "{operation}");
        }
    }

    #[test]
    fn tests_compare_values() {
        let document = json!({"l": [1, 2], "n": null});
        for (operation, expected) in [
            (json!({"op": "test", "path": "/l/1", "value": 2}), Some(true)),
            (json!({"op": "test", "path": "/l/1", "value": 1}), Some(false)),
            (json!({"op": "test", "path": "/none"}), Some(true)),
            (json!({"op": "test", "path": "", "value": {"l": [1, 2], "n": null}}), Some(true)),
            (json!({"op": "add", "path": "/l/1"}), None),
        ] {
            assert_eq!(test(&document, &operation), expected, "{operation}");
        }
    }
}
