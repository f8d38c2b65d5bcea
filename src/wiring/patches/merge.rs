//! Merge patches (RFC 7386), and strategic merge patches of a pod, as kubeadm applies them
//! (`k8s.io/apimachinery/pkg/util/strategicpatch`).

use std::cmp::Ordering;

use serde_json::{Map, Value};

/// Applies a merge patch: a mapping is merged, null removes a field, and everything else replaces.
///
/// # Errors
///
/// The patch is no mapping.
pub fn merge(document: &mut Value, patch: &Value) -> Result<(), String> {
    let (Value::Object(map), Value::Object(changes)) = (document, patch) else {
        return Err("it is not a mapping".to_owned());
    };
    for (key, change) in changes {
        if change.is_null() {
            map.remove(key);
            continue;
        }
        let value = map.entry(key.clone()).or_insert(Value::Null);
        if value.is_object() && change.is_object() {
            merge(value, change)?;
        } else {
            *value = change.clone();
            without_nulls(value);
        }
    }
    Ok(())
}

/// Removes the fields that are null.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// The types of a pod whose lists are merged by a key. All other lists are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Schema {
    Pod,
    Meta,
    Spec,
    Container,
    Other,
}

impl Schema {
    fn of_field(self, key: &str) -> Schema {
        match (self, key) {
            (Schema::Pod, "metadata") => Schema::Meta,
            (Schema::Pod, "spec") => Schema::Spec,
            _ => Schema::Other,
        }
    }

    /// The key by which the items of a list are merged, and their type; an empty key: the items are words. `None`: the
    /// list is replaced. From the `patchMergeKey` of `k8s.io/api/core/v1`, 1.37.
    fn of_list(self, key: &str) -> Option<(&'static str, Schema)> {
        Some(match (self, key) {
            (Schema::Spec, "containers" | "initContainers" | "ephemeralContainers") => ("name", Schema::Container),
            (
                Schema::Spec,
                "volumes" | "imagePullSecrets" | "schedulingGates" | "resourceClaims" | "evictionResponders",
            )
            | (Schema::Container, "env") => ("name", Schema::Other),
            (Schema::Spec, "hostAliases") => ("ip", Schema::Other),
            (Schema::Spec, "topologySpreadConstraints") => ("topologyKey", Schema::Other),
            (Schema::Container, "ports") => ("containerPort", Schema::Other),
            (Schema::Container, "volumeMounts") => ("mountPath", Schema::Other),
            (Schema::Container, "volumeDevices") => ("devicePath", Schema::Other),
            (Schema::Meta, "ownerReferences") => ("uid", Schema::Other),
            (Schema::Meta, "finalizers") => ("", Schema::Other),
            _ => return None,
        })
    }
}

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Applies a strategic merge patch to a pod. `is_old`: as kubeadm did before 1.28, which kept the directives of fields
/// that the pod does not have, and took a list of words to delete for a list that replaces.
///
/// # Errors
///
/// kubeadm cannot apply it: why.
pub fn strategic(document: &mut Value, patch: &Value, is_old: bool) -> Result<(), String> {
    let (Value::Object(map), Value::Object(changes)) = (&mut *document, patch) else {
        return Err("it is not a mapping".to_owned());
    };
    let merged = Merger { is_old }.map(std::mem::take(map), changes.clone(), Schema::Pod)?;
    *document = merged.into();
    Ok(())
}

#[derive(Clone, Copy)]
struct Merger {
    is_old: bool,
}

impl Merger {
    fn map(
        self,
        mut original: Map<String, Value>,
        mut patch: Map<String, Value>,
        schema: Schema,
    ) -> Result<Map<String, Value>, String> {
        match patch.remove(PATCH) {
            None => {}
            Some(Value::String(directive)) if directive == "replace" => return Ok(patch),
            Some(Value::String(directive)) if directive == "delete" => return Ok(Map::new()),
            Some(other) => return Err(format!("$patch: {other} is unknown")),
        }
        retain(&mut original, &mut patch)?;
        self.ordered_lists(&mut original, &mut patch, schema)?;
        for (key, change) in patch {
            let (key, deletes) = match key.strip_prefix(DELETE) {
                Some(key) => (key.to_owned(), true),
                None if key.starts_with("$deleteFromPrimitiveList") => return Err(format!("{key} names no list")),
                None => (key, false),
            };
            if change.is_null() {
                original.remove(&key);
                continue;
            }
            let value = match (original.remove(&key), change) {
                (Some(Value::Object(old)), Value::Object(new)) if !deletes => {
                    Some(self.map(old, new, schema.of_field(&key))?.into())
                }
                (Some(Value::Array(old)), Value::Array(new)) => {
                    Some(self.list(old, new, schema.of_list(&key), deletes)?.into())
                }
                (old, _) if deletes => old,
                (old, mut new) => {
                    // Go's JSON has one type for all numbers.
                    if old.as_ref().is_none_or(|old| std::mem::discriminant(old) != std::mem::discriminant(&new)) {
                        without_nulls(&mut new);
                    }
                    self.without_directives(new)
                }
            };
            if let Some(value) = value {
                original.insert(key, value);
            }
        }
        Ok(original)
    }

    fn list(
        self,
        old: Vec<Value>,
        new: Vec<Value>,
        schema: Option<(&str, Schema)>,
        deletes: bool,
    ) -> Result<Vec<Value>, String> {
        match schema {
            None if !deletes || self.is_old => Ok(new),
            _ if old.is_empty() && new.is_empty() => Ok(old),
            _ if deletes => Ok(old.into_iter().filter(|item| !new.contains(item)).collect()),
            Some(("", _)) => {
                let mut all = old.clone();
                new.iter().for_each(|item| {
                    if !all.contains(item) {
                        all.push(item.clone());
                    }
                });
                Ok(in_order(all, &new, &old, ""))
            }
            Some((key, schema)) => self.keyed_list(old, new, key, schema),
            None => Ok(new),
        }
    }

    fn keyed_list(
        self,
        mut old: Vec<Value>,
        new: Vec<Value>,
        key: &str,
        schema: Schema,
    ) -> Result<Vec<Value>, String> {
        if old.iter().chain(&new).any(|item| !item.is_object()) {
            return Err("a list has items that are no mappings".to_owned());
        }
        let keyless = || format!("an item has no {key}, by which the list is merged");
        let (mut replaces, mut changes) = (false, Vec::new());
        for item in new {
            match item.get(PATCH).map(|directive| directive.as_str().unwrap_or_default()) {
                None => changes.push(item),
                Some("delete") => {
                    let name = item.get(key).ok_or_else(keyless)?;
                    old.retain(|item| item.get(key) != Some(name));
                }
                Some("replace") => replaces = true,
                Some(other) => return Err(format!("$patch: {other:?} is unknown in a list")),
            }
        }
        if replaces {
            old = std::mem::take(&mut changes);
        }
        let before = old.clone();
        for change in &changes {
            let name = change.get(key).ok_or_else(keyless)?;
            match (old.iter_mut().find(|item| item.get(key) == Some(name)), change) {
                (Some(Value::Object(item)), Value::Object(change)) => {
                    *item = self.map(std::mem::take(item), change.clone(), schema)?;
                }
                // The item is new, and stays as it is written.
                _ => old.push(change.clone()),
            }
        }
        if old.iter().any(|item| item.get(key).is_none()) {
            return Err(keyless());
        }
        Ok(in_order(old, &changes, &before, key))
    }

    /// Merges the lists whose order the patch gives (`$setElementOrder/LIST`).
    fn ordered_lists(
        self,
        original: &mut Map<String, Value>,
        patch: &mut Map<String, Value>,
        schema: Schema,
    ) -> Result<(), String> {
        let directives: Vec<_> = patch.keys().filter(|key| key.starts_with("$setElementOrder")).cloned().collect();
        for directive in directives {
            let wrong = || format!("{directive} is not right");
            let order = patch.remove(&directive).and_then(|order| order.as_array().cloned()).ok_or_else(wrong)?;
            let name = directive.strip_prefix(ORDER).ok_or_else(wrong)?;
            let list = |value: Option<Value>| match value {
                None => Ok(None),
                Some(Value::Array(items)) => Ok(Some(items)),
                Some(_) => Err(wrong()),
            };
            let (old, new) = (list(original.get(name).cloned())?, list(patch.remove(name))?);
            let key = schema.of_list(name).map_or("", |(key, _)| key);
            if !follows(new.as_deref().unwrap_or_default(), &order, key) {
                return Err(format!("the order of the list differs from {directive}"));
            }
            let before = old.clone().unwrap_or_default();
            let merged = match (old, new) {
                (Some(old), None) => old,
                (None, Some(new)) if self.is_old => new,
                (None, Some(new)) => new.into_iter().filter_map(|item| self.without_directives(item)).collect(),
                (Some(old), Some(new)) => self.list(old, new, schema.of_list(name), false)?,
                (None, None) => continue,
            };
            original.insert(name.to_owned(), in_order(merged, &order, &before, key).into());
        }
        Ok(())
    }

    /// The value without the mappings that are directives. `None` if it is one.
    fn without_directives(self, value: Value) -> Option<Value> {
        match value {
            _ if self.is_old => Some(value),
            Value::Object(map) if map.contains_key(PATCH) => None,
            Value::Object(map) => {
                let kept = map.into_iter().filter_map(|(key, value)| Some((key, self.without_directives(value)?)));
                Some(kept.collect::<Map<_, _>>().into())
            }
            Value::Array(items) => {
                Some(items.into_iter().filter_map(|item| self.without_directives(item)).collect::<Vec<_>>().into())
            }
            value => Some(value),
        }
    }
}

/// Removes the fields that `$retainKeys` does not name.
fn retain(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), String> {
    let Some(names) = patch.remove(RETAIN) else { return Ok(()) };
    let wrong = || "$retainKeys does not name each field of its patch".to_owned();
    let names = names.as_array().cloned().ok_or_else(wrong)?;
    let is_kept = |key: &String| names.iter().any(|name| name.as_str() == Some(key));
    let is_list =
        |key: &String| key.starts_with("$deleteFromPrimitiveList") || key.starts_with("$setElementOrder");
    if patch.iter().any(|(key, value)| !value.is_null() && !is_list(key) && !is_kept(key)) {
        return Err(wrong());
    }
    original.retain(|key, _| is_kept(key));
    Ok(())
}

/// What tells an item from the others of its list.
fn name_of<'v>(item: &'v Value, key: &str) -> Option<&'v Value> {
    if key.is_empty() { Some(item) } else { item.get(key) }
}

fn place(list: &[Value], item: &Value, key: &str) -> Option<usize> {
    list.iter().position(|other| name_of(other, key) == name_of(item, key))
}

/// Does a list have its items in the order that another list has them?
fn follows(list: &[Value], order: &[Value], key: &str) -> bool {
    let mut left = order.iter();
    order.is_empty()
        || list
            .iter()
            .filter(|item| item.get(PATCH).is_none())
            .all(|item| left.any(|other| name_of(other, key) == name_of(item, key)))
}

/// A merged list in its order: items of the patch are in the order of `wanted`, the others in that of `before`
/// (`normalizeElementOrder`).
fn in_order(merged: Vec<Value>, wanted: &[Value], before: &[Value], key: &str) -> Vec<Value> {
    let (mut patched, mut others): (Vec<_>, Vec<_>) =
        merged.into_iter().partition(|item| place(wanted, item, key).is_some());
    let by = |order: &[Value], a: &Value, b: &Value| match (place(order, a, key), place(order, b, key)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => Ordering::Equal,
    };
    patched.sort_by(|a, b| by(wanted, a, b));
    others.sort_by(|a, b| by(before, a, b));
    let mut all = Vec::new();
    let (mut patched, mut others) = (patched.into_iter().peekable(), others.into_iter().peekable());
    loop {
        let is_other_first = match (others.peek(), patched.peek()) {
            (Some(other), Some(patch)) => match (place(before, other, key), place(before, patch, key)) {
                (Some(other), Some(patch)) => other < patch,
                _ => false,
            },
            (Some(_), None) => true,
            (None, _) => false,
        };
        match if is_other_first { others.next() } else { patched.next() } {
            Some(item) => all.push(item),
            None => return all,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merge_patches_replace_lists() {
        for (patch, expected) in [
            (
                json!({"a": {"b": null, "n": {"x": 1, "y": null}}}),
                Some(json!({"a": {"c": 2, "n": {"x": 1}}, "l": [1]})),
            ),
            (json!({"l": [2]}), Some(json!({"a": {"b": 1, "c": 2}, "l": [2]}))),
            (json!({"a": 3, "l": null}), Some(json!({"a": 3}))),
            (json!([1]), None),
        ] {
            let mut document = json!({"a": {"b": 1, "c": 2}, "l": [1]});
            let result = merge(&mut document, &patch).ok().map(|()| document);
            assert_eq!(result, expected, "{patch}");
        }
    }

    /// A pod with two volumes and a container.
    fn pod() -> Value {
        json!({"spec": {
            "volumes": [{"name": "a", "hostPath": {"path": "/a"}}, {"name": "b", "emptyDir": {}}],
            "containers": [{
                "name": "c",
                "command": ["x", "--v=1"],
                "volumeMounts": [{"mountPath": "/a", "name": "a"}, {"mountPath": "/b", "name": "b"}]
            }]
        }})
    }

    #[test]
    fn strategic_patches_merge_lists_by_their_keys() {
        let named = |name: &str| json!({"name": name});
        for (patch, path, expected) in [
            // Lists of mappings are merged by their keys, and others are replaced.
            (json!({"containers": [{"name": "c", "command": ["y"]}]}), "/spec/containers/0/command", json!(["y"])),
            (
                json!({"containers": [{"name": "c", "volumeMounts": [{"mountPath": "/b", "name": "z"}]}]}),
                "/spec/containers/0/volumeMounts",
                json!([{"mountPath": "/a", "name": "a"}, {"mountPath": "/b", "name": "z"}]),
            ),
            (
                json!({"volumes": [{"name": "a", "emptyDir": {}}]}),
                "/spec/volumes/0",
                json!({"name": "a", "hostPath": {"path": "/a"}, "emptyDir": {}}),
            ),
            // A new container comes first, unless the patch has both.
            (json!({"containers": [{"name": "d"}]}), "/spec/containers/0", named("d")),
            (json!({"containers": [{"name": "c"}, {"name": "d"}]}), "/spec/containers/1", named("d")),
            // Directives.
            (
                json!({"volumes": [{"name": "a", "$patch": "delete"}]}),
                "/spec/volumes",
                json!([{"name": "b", "emptyDir": {}}]),
            ),
            (json!({"volumes": [{"$patch": "replace"}, {"name": "z"}]}), "/spec/volumes", json!([named("z")])),
            (json!({"$patch": "replace", "x": 1}), "/spec", json!({"x": 1})),
            (json!({"$patch": "delete"}), "/spec", json!({})),
            (
                json!({"volumes": [{"name": "a", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}]}),
                "/spec/volumes/0",
                json!({"name": "a", "emptyDir": {}}),
            ),
            (
                json!({"containers": [{"name": "c", "$deleteFromPrimitiveList/command": ["--v=1"]}]}),
                "/spec/containers/0/command",
                json!(["x"]),
            ),
            (
                json!({"$setElementOrder/volumes": [{"name": "b"}, {"name": "a"}]}),
                "/spec/volumes/0",
                json!({"name": "b", "emptyDir": {}}),
            ),
            (json!({"containers": null}), "/spec/containers", Value::Null),
            (json!({"new": {"a": null, "b": [{"$patch": "delete"}]}}), "/spec/new", json!({"b": []})),
        ] {
            let mut document = pod();
            strategic(&mut document, &json!({"spec": patch}), false).unwrap();
            assert_eq!(document.pointer(path).unwrap_or(&Value::Null), &expected, "{patch}");
        }
        for patch in [
            json!({"spec": {"volumes": [{"emptyDir": {}}]}}),
            json!({"spec": {"volumes": ["a"]}}),
            json!({"spec": {"volumes": [{"name": "a", "$patch": "merge"}]}}),
            json!({"spec": {"$patch": "other"}}),
            json!({"spec": {"$retainKeys": [], "a": 1}}),
            json!({"spec": {"$setElementOrder/volumes": [{"name": "b"}], "volumes": [{"name": "z"}]}}),
            json!([]),
        ] {
            assert!(strategic(&mut pod(), &patch, false).is_err(), "{patch}");
        }
    }

    #[test]
    fn before_1_28_directives_had_other_effects() {
        let patch = json!({"spec": {
            "containers": [{"name": "c", "$deleteFromPrimitiveList/command": ["--v=1"]}],
            "new": {"$patch": "delete"}
        }});
        let mut document = pod();
        strategic(&mut document, &patch, true).unwrap();
        assert_eq!(document["spec"]["containers"][0]["command"], json!(["--v=1"]));
        assert_eq!(document["spec"]["new"], json!({"$patch": "delete"}));
    }
}
