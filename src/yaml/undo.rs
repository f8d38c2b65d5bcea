//! Takes an earlier edit out of a text that somebody has changed since: a three-way edit, on the data.
//!
//! What the edit added goes, what it changed gets its previous value, and everything else stays, byte for byte. If
//! somebody has also changed what the edit wrote, nothing is undone.

use std::slice;

use super::edit::{New, Op, PathStep, RefusedEdit, edit};
use super::node::{Node, NodeKind};
use super::scalar::{Type, resolve};
use super::tree::parse;

/// Undoes in `now` the edit that made `written` of `previous`.
///
/// # Errors
///
/// The position in `now`, and why the edit can't be undone there alone.
pub fn undo(previous: &str, written: &str, now: &str) -> Result<String, RefusedEdit> {
    let fault = |fault: super::node::YamlFault| RefusedEdit { position: fault.position, reason: fault.message };
    let (previous, written) = (parse(previous).map_err(fault)?, parse(written).map_err(fault)?);
    let mut text = now.to_owned();
    for at in 0..written.len() {
        let documents = parse(&text).map_err(fault)?;
        if documents.len() != written.len() || previous.len() != written.len() {
            let position = documents.first().map(|document| document.root.position).unwrap_or_default();
            return Err(RefusedEdit { position, reason: "this file has other documents than before".to_owned() });
        }
        let mut ops = Vec::new();
        let sides = Sides { previous: Some(&previous[at].root), written: &written[at].root };
        if sides.compare(&documents[at].root, &[], &mut ops)? == Rest::Nothing {
            return Err(refused(&documents[at].root, "nothing would be left of this"));
        }
        if !ops.is_empty() {
            text = edit(&text, &documents, at, &ops)?;
        }
    }
    Ok(text)
}

/// What is left of a value after the edit is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Something,
    /// The edit had added all of it.
    Nothing,
}

/// A value before the edit, if it was there, and after it.
#[derive(Clone, Copy)]
struct Sides<'n> {
    previous: Option<&'n Node>,
    written: &'n Node,
}

fn refused(node: &Node, reason: &str) -> RefusedEdit {
    RefusedEdit { position: node.position, reason: reason.to_owned() }
}

impl Sides<'_> {
    /// Adds the operations that undo the edit in `now`, whose path is `path`.
    fn compare(self, now: &Node, path: &[PathStep], ops: &mut Vec<Op>) -> Result<Rest, RefusedEdit> {
        let Sides { previous, written } = self;
        match previous {
            Some(previous) if same(previous, written) || same(previous, now) => return Ok(Rest::Something),
            None if same(written, now) => return Ok(Rest::Nothing),
            _ => {}
        }
        let mapping = |node: &Node| matches!(node.resolved().kind, NodeKind::Mapping { .. }) || node.is_null();
        let list = |node: &Node| matches!(node.resolved().kind, NodeKind::Sequence { .. }) || node.is_null();
        if mapping(written) && mapping(now) && previous.is_none_or(mapping) {
            return self.compare_mappings(now, path, ops);
        }
        if list(written) && list(now) && previous.is_none_or(list) {
            return self.compare_lists(now, path, ops);
        }
        let value = previous.filter(|_| same(written, now)).and_then(value_of);
        let value = value.ok_or_else(|| refused(now, "somebody has changed what was written here"))?;
        ops.push(Op::Set { path: path.to_vec(), value });
        Ok(Rest::Something)
    }

    fn compare_mappings(self, now: &Node, path: &[PathStep], ops: &mut Vec<Op>) -> Result<Rest, RefusedEdit> {
        let (mut inner, mut gone) = (Vec::new(), Vec::new());
        for (key, written) in self.written.entries() {
            let name = key.scalar().unwrap_or_default();
            // What somebody has removed is not there to be undone.
            let Some(found) = now.get(name) else { continue };
            let sides = Sides { previous: self.previous.and_then(|previous| previous.get(name)), written };
            let step = PathStep::from(name);
            match sides.compare(found, &[path, slice::from_ref(&step)].concat(), &mut inner)? {
                Rest::Something => {}
                Rest::Nothing => gone.push(step),
            }
        }
        self.check_removed(now, entry_names(self.previous), &entry_names(Some(self.written)))?;
        let count = now.entries().len();
        Ok(self.end(path, (inner, gone), count, ops))
    }

    fn compare_lists(self, now: &Node, path: &[PathStep], ops: &mut Vec<Op>) -> Result<Rest, RefusedEdit> {
        let items = |node: Option<&Node>| -> Vec<Node> {
            node.and_then(Node::items).map(<[Node]>::to_vec).unwrap_or_default()
        };
        let (before, after, present) = (items(self.previous), items(Some(self.written)), items(Some(now)));
        let names = |items: &[Node]| items.iter().map(name_of).collect::<Vec<_>>();
        let (old, new, found) = (names(&before), names(&after), names(&present));
        let place = |names: &[String], name: &String| names.iter().position(|other| other == name);
        let (mut inner, mut gone) = (Vec::new(), Vec::new());
        // An item that the edit gave another name, such as a mount with another path, is at the same place.
        let renamed = |at: usize| {
            let before = old.get(at).filter(|before| !new.contains(before))?;
            (!old.contains(&new[at])).then_some(before)
        };
        for (at, name) in new.iter().enumerate() {
            let is_single = |names: &[String]| names.iter().filter(|other| *other == name).count() <= 1;
            if !(is_single(&old) && is_single(&new) && is_single(&found)) {
                // It is not known which one is which, which only matters where the edit changed one.
                let of = |items: &[Node]| -> Vec<Node> {
                    items.iter().filter(|item| name_of(item) == *name).cloned().collect()
                };
                let (before, after) = (of(&before), of(&after));
                let is_unchanged =
                    before.len() == after.len() && before.iter().zip(&after).all(|(a, b)| same(a, b));
                if is_unchanged {
                    continue;
                }
                return Err(refused(now, &format!("{name} is here more than once")));
            }
            let Some(index) = place(&found, name) else { continue };
            let previous = place(&old, name).or(renamed(at).and(Some(at))).map(|at| &before[at]);
            let step = PathStep::from(index);
            let sides = Sides { previous, written: &after[at] };
            match sides.compare(&present[index], &[path, slice::from_ref(&step)].concat(), &mut inner)? {
                Rest::Something => {}
                Rest::Nothing => gone.push(step),
            }
        }
        let kept: Vec<_> = (0..new.len()).filter_map(renamed).chain(&new).cloned().collect();
        self.check_removed(now, old, &kept)?;
        Ok(self.end(path, (inner, gone), present.len(), ops))
    }

    /// Refuses an edit that removed something: to undo it, something would have to be added, and it isn't known where.
    fn check_removed(self, now: &Node, old: Vec<String>, new: &[String]) -> Result<(), RefusedEdit> {
        match old.into_iter().find(|name| !new.contains(name)) {
            Some(name) => Err(refused(
                now,
                &format!("a run had removed {name} here, and it is not known where it belongs now"),
            )),
            None => Ok(()),
        }
    }

    /// The operations on a collection with `count` parts, from those on its parts and those of its parts that go.
    fn end(
        self,
        path: &[PathStep],
        (inner, gone): (Vec<Op>, Vec<PathStep>),
        count: usize,
        ops: &mut Vec<Op>,
    ) -> Rest {
        // A null and an empty collection are as good as missing.
        let is_void = |node: &Node| {
            is_unset(node)
                || node.items().is_some_and(<[Node]>::is_empty)
                || node.pairs().is_some_and(<[_]>::is_empty)
        };
        if self.previous.is_none_or(is_void) && count == gone.len() {
            return Rest::Nothing;
        }
        // `edit` does the removals in reverse, so those in a part come before the part's own.
        if !gone.is_empty() {
            ops.push(Op::Remove { path: path.to_vec(), gone });
        }
        ops.extend(inner);
        Rest::Something
    }
}

fn entry_names(node: Option<&Node>) -> Vec<String> {
    let entries = node.map(Node::entries).unwrap_or_default();
    entries.into_iter().filter_map(|(key, _)| key.scalar().map(str::to_owned)).collect()
}

/// What tells an item of a list from the others: the name of a flag, the field by which Kubernetes merges lists, or
/// the whole word. Items that have none of these have one name.
fn name_of(item: &Node) -> String {
    match item.scalar() {
        Some(word) if word.starts_with("--") => word.split('=').next().unwrap_or_default().replace('_', "-"),
        Some(word) => word.to_owned(),
        None => {
            let field = ["mountPath", "name"].into_iter().find_map(|field| item.get(field)?.scalar());
            field.unwrap_or_default().to_owned()
        }
    }
}

/// Are two values the same to Kubernetes? A field that is false, empty or null is as good as missing.
fn same(one: &Node, other: &Node) -> bool {
    let (a, b) = (one.resolved(), other.resolved());
    match (&a.kind, &b.kind) {
        (NodeKind::Mapping { .. }, NodeKind::Mapping { .. }) => {
            let fields = |node: &Node| -> Vec<String> {
                let entries = node.entries().into_iter().filter(|(_, value)| !is_unset(value));
                entries.map(|(key, _)| key.scalar().unwrap_or_default().to_owned()).collect()
            };
            let (fields, others) = (fields(a), fields(b));
            let is_same =
                |name: &String| a.get(name).zip(b.get(name)).is_some_and(|(value, other)| same(value, other));
            fields.len() == others.len() && fields.iter().all(is_same)
        }
        (NodeKind::Sequence { items, .. }, NodeKind::Sequence { items: others, .. }) => {
            items.len() == others.len() && items.iter().zip(others).all(|(item, other)| same(item, other))
        }
        (NodeKind::Scalar { .. }, NodeKind::Scalar { .. }) => {
            resolve(a) == resolve(b) && (a.scalar() == b.scalar() || a.is_null())
        }
        _ => false,
    }
}

fn is_unset(node: &Node) -> bool {
    matches!(resolve(node), Type::Null | Type::Bool(false)) || node.scalar().is_some_and(str::is_empty)
}

/// A single value, to write it again.
fn value_of(node: &Node) -> Option<New> {
    match resolve(node) {
        Type::Str => Some(New::str(node.scalar()?)),
        Type::Bool(value) => Some(New::Bool(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str = "# ours\nspec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --v=2\n    image: a:1\n    name: a\n  hostNetwork: true\n";
    const WIRED: &str = "# ours\nmetadata:\n  annotations:\n    mark: p1\nspec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --v=2\n    - --audit-log-path=/l\n    image: a:1\n    name: a\n    volumeMounts:\n    - mountPath: /l\n      name: audit\n      readOnly: false\n  hostNetwork: true\n  volumes:\n  - hostPath:\n      path: /l\n    name: audit\n";

    #[test]
    fn what_somebody_else_changed_stays_and_the_edit_goes() {
        for (now, wanted) in [
            (WIRED.to_owned(), BARE.to_owned()),
            (BARE.to_owned(), BARE.to_owned()),
            // Another flag, a comment, another image.
            (WIRED.replace("--v=2", "--v=7 # more"), BARE.replace("--v=2", "--v=7 # more")),
            (WIRED.replace("a:1", "a:2"), BARE.replace("a:1", "a:2")),
            (WIRED.replace("# ours\n", "# ours\n# theirs\n"), BARE.replace("# ours\n", "# ours\n# theirs\n")),
            // A program that writes the file anew: in another order, without what is false, without the mark.
            (
                WIRED
                    .replace("metadata:\n  annotations:\n    mark: p1\n", "")
                    .replace(
                        "    - --v=2\n    - --audit-log-path=/l\n",
                        "    - --audit-log-path=/l\n    - --v=2\n",
                    )
                    .replace("      readOnly: false\n", ""),
                BARE.to_owned(),
            ),
            // Others have something in the same lists.
            (
                WIRED.replace("  volumes:\n", "  volumes:\n  - emptyDir: {}\n    name: theirs\n"),
                format!("{BARE}  volumes:\n  - emptyDir: {{}}\n    name: theirs\n"),
            ),
            (
                WIRED.replace("    mark: p1\n", "    mark: p1\n    theirs: x\n"),
                BARE.replace("# ours\n", "# ours\nmetadata:\n  annotations:\n    theirs: x\n"),
            ),
        ] {
            assert_eq!(undo(BARE, WIRED, &now).as_deref(), Ok(wanted.as_str()), "{now}");
            let crlf = |text: &str| text.replace('\n', "\r\n");
            assert_eq!(undo(&crlf(BARE), &crlf(WIRED), &crlf(&now)), Ok(crlf(&wanted)), "{now}");
        }
    }

    #[test]
    fn a_changed_value_gets_the_previous_one_in_any_style() {
        for (previous, written, now, wanted) in [
            (
                "a: [--x=1, --y=2]\n",
                "a: [--x=9, --y=2, --z=3]\n",
                "a: [--z=3, --y=5, --x=9]\n",
                "a: [--y=5, --x=1]\n",
            ),
            ("a: []\nb: 1\n", "a: [x]\nb: 1\n", "a: [x]\nb: 2\n", "b: 2\n"),
            (
                "{\"a\": {\"b\": \"1\"}}",
                "{\"a\": {\"b\": \"1\", \"c\": \"2\"}}",
                "{\"a\": {\"c\": \"2\", \"b\": \"7\"}}",
                "{\"a\": {\"b\": \"7\"}}",
            ),
            ("{\"b\": 1}", "{\"b\": 1, \"c\": 2, \"d\": 3}", "{\"b\": 5, \"c\": 2, \"d\": 3}", "{\"b\": 5}"),
            (
                "a:\n  x: 'no'\n",
                "a:\n  x: 'yes'\n  y: n\n",
                "a:\n  y: n\n  x: 'yes' # why\n",
                "a:\n  x: 'no' # why\n",
            ),
            (
                "- {name: a, on: true}\n",
                "- {name: a, on: false}\n- {name: b}\n",
                "- {name: c}\n- {name: b}\n- {name: a, on: false}\n",
                "- {name: c}\n- {name: a, on: true}\n",
            ),
            // The edit gave an item another name.
            (
                "a:\n- mountPath: /l\n  name: l # log\n- mountPath: /p\n",
                "a:\n- mountPath: /k\n  name: l # log\n- mountPath: /p\n- mountPath: /n\n",
                "a:\n- mountPath: /x\n- mountPath: /p\n- mountPath: /k\n  name: l # log\n- mountPath: /n\n",
                "a:\n- mountPath: /x\n- mountPath: /p\n- mountPath: /l\n  name: l # log\n",
            ),
            ("a: 1\n---\nb: 1\n", "a: 1\n---\nb: 1\nc: 1\n", "a: 2\n---\nb: 1\nc: 1\n", "a: 2\n---\nb: 1\n"),
        ] {
            assert_eq!(undo(previous, written, now).as_deref(), Ok(wanted), "{now}");
        }
    }

    #[test]
    fn what_somebody_else_has_touched_is_not_undone() {
        for (previous, written, now, why) in [
            ("a: [--x=1]\n", "a: [--x=9]\n", "a: [--x=5]\n", "1:5: somebody has changed what was written here"),
            ("a: 1\n", "a: 1\nb: {c: 1}\n", "a: 1\nb: 2\n", "2:4: somebody has changed what was written here"),
            ("a: [x, y]\n", "a: [x]\n", "a: [x, z]\n", "1:4: a run had removed y here"),
            (
                "a: [--x=1]\n",
                "a: [--x=1, --y=1]\n",
                "a: [--y=1, --x=1, --y=2]\n",
                "1:4: --y is here more than once",
            ),
            ("a: 1\n", "a: 1\nb: 2\n", "a: 1\nb: 2 # mine\n", "2:1: this may hold a comment"),
            ("a: 1\n", "a: 1\nb: 2\n", "a: 1\n---\nb: 2\n", "1:1: this file has other documents than before"),
            ("a: 1\n", "a: 1\nb: 2\n", "a: [\n", ""),
        ] {
            let refused = undo(previous, written, now).unwrap_err().to_string();
            assert!(refused.contains(why), "{now}: {refused}");
        }
    }
}
