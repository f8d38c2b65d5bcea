//! Edits YAML that people wrote, and leaves every other byte where it was.
//!
//! An edit splices text: it inserts lines in the file's own style, or replaces one scalar. Then the edit is checked:
//! yaml_serde reads the text before and after. The new documents must equal the previous ones with the same operations
//! done to them as data. An edit can't lose a comment, because it removes no text that may hold one. It can't put a
//! comment into a value, because the values are compared.

use std::fmt;
use std::ops::Range;

use serde::de::Deserialize;
use serde_yaml::Value;

use super::node::{Document, Node, NodeKind, Position, Style, position_at};
use super::scalar::{double_quoted, quote, quote_like};

/// A value to write.
#[derive(Clone, Debug, PartialEq)]
pub enum New {
    Str(String),
    Bool(bool),
    List(Vec<New>),
    Map(Vec<(String, New)>),
}

impl New {
    /// A string.
    pub fn str(text: impl Into<String>) -> New {
        New::Str(text.into())
    }

    /// A mapping from its pairs.
    pub fn map<const N: usize>(pairs: [(&str, New); N]) -> New {
        New::Map(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathStep {
    Key(String),
    Index(usize),
}

impl From<&str> for PathStep {
    fn from(key: &str) -> PathStep {
        PathStep::Key(key.to_owned())
    }
}

impl From<usize> for PathStep {
    fn from(index: usize) -> PathStep {
        PathStep::Index(index)
    }
}

/// An operation on a document. No operation may touch what another one writes.
#[derive(Clone, Debug)]
pub enum Op {
    /// Gives a scalar another value.
    Set { path: Vec<PathStep>, value: New },
    /// Adds pairs to a mapping. Null counts as an empty mapping.
    Insert { path: Vec<PathStep>, pairs: Vec<(String, New)> },
    /// Adds items to a list. Null counts as an empty list.
    Append { path: Vec<PathStep>, items: Vec<New> },
    /// Removes items of a list, or pairs of a mapping. The indexes are those before the edit.
    Remove { path: Vec<PathStep>, gone: Vec<PathStep> },
}

/// Why an edit was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedEdit {
    pub position: Position,
    pub reason: String,
}

impl fmt::Display for RefusedEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.reason)
    }
}

/// Does the operations on the document with index `document` of a text, and returns the new text. `documents` is the
/// result of [`super::parse`] for `text`.
///
/// # Errors
///
/// The reason and the position if the new text would differ in anything except the operations.
pub fn edit(text: &str, documents: &[Document], document: usize, ops: &[Op]) -> Result<String, RefusedEdit> {
    let root = &documents[document].root;
    let editor = Editor { text, style: Layout::of(root, text) };
    let mut splices = Vec::new();
    for op in ops {
        editor.op(root, op, &mut splices)?;
    }
    let edited = splice(text, splices).ok_or_else(|| refused(root.position, "two of the edits overlap"))?;

    let mut target = read(text).map_err(|reason| refused(root.position, reason))?;
    // What is removed moves the items behind it, so it is removed last: the inner ones first.
    let (removals, others): (Vec<_>, Vec<_>) = ops.iter().partition(|op| matches!(op, Op::Remove { .. }));
    let mut ordered = others.into_iter().chain(removals.into_iter().rev());
    let done = target.get_mut(document).map(|target| ordered.try_for_each(|op| apply(target, op)));
    if done.flatten().is_none() {
        return Err(refused(root.position, "the two YAML readers disagree about this document"));
    }
    match read(&edited) {
        Ok(found) if found == target => Ok(edited),
        Ok(_) => Err(refused(root.position, "the edit would have changed more than the audit settings")),
        Err(reason) => Err(refused(root.position, format!("the edit would have broken the file: {reason}"))),
    }
}

/// Appends a document to a text. Returns the new text, checked as in [`edit`].
pub fn append_document(text: &str, pairs: Vec<(String, New)>) -> Result<String, RefusedEdit> {
    let end = position_at(text, text.len());
    let eol = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let style = Layout::default();
    let mut edited = text.to_owned();
    if !edited.is_empty() && !edited.ends_with('\n') {
        edited.push_str(eol);
    }
    edited.push_str("---");
    for (key, value) in &pairs {
        edited.push_str(&style.pair(key, value, 0, eol));
    }
    edited.push_str(eol);
    let mut target = read(text).map_err(|reason| refused(end, reason))?;
    // A marker with nothing after it is also a document, and would get the content.
    if target.last().is_some_and(Value::is_null) {
        return Err(refused(end, "the last document is empty; remove its `---`"));
    }
    target.push(data(&New::Map(pairs)));
    match read(&edited) {
        Ok(found) if found == target => Ok(edited),
        _ => Err(refused(end, "a document can't be appended to this file")),
    }
}

/// Pairs as a block of YAML, for a message.
pub fn render(pairs: &[(String, New)]) -> String {
    let style = Layout::default();
    let lines: String = pairs.iter().map(|(key, value)| style.pair(key, value, 0, "\n")).collect();
    lines.trim_start_matches('\n').to_owned()
}

fn refused(position: Position, reason: impl Into<String>) -> RefusedEdit {
    RefusedEdit { position, reason: reason.into() }
}

/// All documents of a text as data.
fn read(text: &str) -> Result<Vec<Value>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).map_err(|error| error.to_string()))
        .collect()
}

/// Does an operation on data. `None` if the path doesn't lead to a node that the operation can change.
fn apply(root: &mut Value, op: &Op) -> Option<()> {
    let (Op::Set { path, .. } | Op::Insert { path, .. } | Op::Append { path, .. } | Op::Remove { path, .. }) = op;
    let node = path.iter().try_fold(root, |node, step| match step {
        PathStep::Key(key) => node.as_mapping_mut()?.get_mut(key.as_str()),
        PathStep::Index(index) => node.as_sequence_mut()?.get_mut(*index),
    })?;
    match op {
        Op::Set { value, .. } => *node = data(value),
        Op::Insert { pairs, .. } => {
            if node.is_null() {
                *node = Value::Mapping(Default::default());
            }
            let mapping = node.as_mapping_mut()?;
            for (key, value) in pairs {
                if mapping.insert(Value::from(key.as_str()), data(value)).is_some() {
                    return None;
                }
            }
        }
        Op::Append { items, .. } => {
            if node.is_null() {
                *node = Value::Sequence(Vec::new());
            }
            node.as_sequence_mut()?.extend(items.iter().map(data));
        }
        Op::Remove { gone, .. } => match node {
            Value::Mapping(mapping) => {
                for step in gone {
                    let PathStep::Key(key) = step else { return None };
                    mapping.shift_remove(key.as_str())?;
                }
            }
            Value::Sequence(items) => {
                let mut at = 0;
                items.retain(|_| {
                    at += 1;
                    !gone.contains(&PathStep::Index(at - 1))
                });
            }
            _ => return None,
        },
    }
    Some(())
}

fn data(new: &New) -> Value {
    match new {
        New::Str(text) => Value::from(text.as_str()),
        New::Bool(value) => Value::from(*value),
        New::List(items) => Value::Sequence(items.iter().map(data).collect()),
        New::Map(pairs) => {
            Value::Mapping(pairs.iter().map(|(key, value)| (Value::from(key.as_str()), data(value))).collect())
        }
    }
}

/// Replaces `start..end` of a text.
struct Splice {
    start: usize,
    end: usize,
    text: String,
}

fn splice(text: &str, mut splices: Vec<Splice>) -> Option<String> {
    splices.sort_by_key(|splice| splice.start);
    let mut edited = String::with_capacity(text.len() + 2048);
    let mut done = 0;
    for splice in splices {
        edited.push_str(text.get(done..splice.start)?);
        edited.push_str(&splice.text);
        done = splice.end;
    }
    edited.push_str(text.get(done..)?);
    Some(edited)
}

/// The layout of a document, so that new lines look like the others.
struct Layout {
    /// How many columns the dashes of a list are to the right of its key.
    list: usize,
    /// How many columns the keys of a mapping are to the right of its own key.
    map: usize,
    /// Keys in flow collections are in quotes, as in JSON.
    json: bool,
}

impl Default for Layout {
    fn default() -> Self {
        // As kubeadm writes its files.
        Layout { list: 0, map: 2, json: false }
    }
}

impl Layout {
    fn of(root: &Node, text: &str) -> Layout {
        let default = Layout::default();
        let json = text[root.start..].starts_with('{');
        let (mut list, mut map) = (None, None);
        measure(root, text, &mut list, &mut map);
        Layout { list: list.unwrap_or(default.list), map: map.unwrap_or(default.map), json }
    }

    /// A pair on lines of its own, each with a line break before it.
    fn pair(&self, key: &str, value: &New, indent: usize, eol: &str) -> String {
        format!("{eol}{:indent$}{}:{}", "", quote(key, false), self.value(value, indent, eol))
    }

    /// An item on lines of its own, each with a line break before it.
    fn item(&self, value: &New, indent: usize, eol: &str) -> String {
        let lead = format!("{eol}{:indent$}- ", "");
        match value {
            New::Map(pairs) if !pairs.is_empty() => {
                let inner = indent + 2;
                let lines: String = pairs.iter().map(|(key, value)| self.pair(key, value, inner, eol)).collect();
                lead + lines[eol.len()..].trim_start_matches(' ')
            }
            other => lead + &self.flow(other, false),
        }
    }

    /// What follows a key's colon.
    fn value(&self, value: &New, indent: usize, eol: &str) -> String {
        match value {
            New::List(items) if !items.is_empty() => {
                items.iter().map(|item| self.item(item, indent + self.list, eol)).collect()
            }
            New::Map(pairs) if !pairs.is_empty() => {
                pairs.iter().map(|(key, value)| self.pair(key, value, indent + self.map, eol)).collect()
            }
            other => format!(" {}", self.flow(other, false)),
        }
    }

    /// A value on one line.
    fn flow(&self, value: &New, inside: bool) -> String {
        match value {
            New::Str(text) => quote(text, inside),
            New::Bool(value) => value.to_string(),
            New::List(items) => {
                let items: Vec<_> = items.iter().map(|item| self.flow(item, true)).collect();
                format!("[{}]", items.join(", "))
            }
            New::Map(pairs) => {
                let pairs: Vec<_> = pairs.iter().map(|(key, value)| self.flow_pair(key, value)).collect();
                format!("{{{}}}", pairs.join(", "))
            }
        }
    }

    fn flow_pair(&self, key: &str, value: &New) -> String {
        let key = if self.json { double_quoted(key) } else { quote(key, false) };
        format!("{key}: {}", self.flow(value, true))
    }
}

/// Measures the indentation of the first list and the first mapping under a key.
fn measure(node: &Node, text: &str, list: &mut Option<usize>, map: &mut Option<usize>) {
    match &node.kind {
        NodeKind::Mapping { pairs, flow: false } => {
            for (key, value) in pairs {
                let slot = match &value.kind {
                    NodeKind::Sequence { flow: false, .. } => Some((&mut *list, value_start(text, value))),
                    NodeKind::Mapping { flow: false, .. } => Some((&mut *map, value_start(text, value))),
                    _ => None,
                };
                if let Some((slot @ None, start)) = slot {
                    let key_column = position_at(text, key.start).column;
                    *slot = position_at(text, start).column.checked_sub(key_column);
                }
                measure(value, text, list, map);
            }
        }
        NodeKind::Sequence { items, flow: false } => items.iter().for_each(|item| measure(item, text, list, map)),
        _ => {}
    }
}

/// The offset where a node's own text starts, after its anchor and tag.
fn value_start(text: &str, node: &Node) -> usize {
    let mut at = node.start;
    while text[at..].starts_with(['&', '!']) {
        at += text[at..].find([' ', '\t', '\r', '\n']).unwrap_or(0).max(1);
        loop {
            at += text[at..].len() - text[at..].trim_start().len();
            if !text[at..].starts_with('#') {
                break;
            }
            at = line_end(text, at);
        }
    }
    at.min(node.end)
}

/// The offset where the line around `at` ends, before its line break.
fn line_end(text: &str, at: usize) -> usize {
    let end = text[at..].find('\n').map_or(text.len(), |length| at + length);
    if text[at..end].ends_with('\r') { end - 1 } else { end }
}

/// The offset where the line around `at` starts.
fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |before| before + 1)
}

/// Whether the rest of the line has only blanks and a comment.
fn rest_is_blank(text: &str, at: usize) -> bool {
    let rest = text[at..line_end(text, at)].trim_start_matches([' ', '\t']);
    rest.is_empty() || rest.starts_with('#')
}

/// Refuses a value that is also used at another place of the document, whose other places would change, too.
fn unshared(root: &Node, node: &Node) -> Result<(), RefusedEdit> {
    let reason = match &node.kind {
        NodeKind::Alias(target) => {
            let other = target.position;
            format!("this is an alias of the value at {other}; first write out here what stands there")
        }
        _ if node.shared => {
            let mut others = Vec::new();
            find_aliases(root, node.start, &mut others);
            let others = others.join(" and ");
            format!("this has an anchor, and its value is also used at {others}; first write it out there")
        }
        _ => return Ok(()),
    };
    Err(refused(node.position, reason))
}

/// Finds where aliases stand for the value that begins at `start`.
fn find_aliases(node: &Node, start: usize, found: &mut Vec<String>) {
    match &node.kind {
        NodeKind::Alias(target) if target.start == start => found.push(node.position.to_string()),
        NodeKind::Sequence { items, .. } => items.iter().for_each(|item| find_aliases(item, start, found)),
        NodeKind::Mapping { pairs, .. } => {
            pairs.iter().flat_map(|(key, value)| [key, value]).for_each(|node| find_aliases(node, start, found));
        }
        NodeKind::Alias(_) | NodeKind::Scalar { .. } => {}
    }
}

/// Refuses a node with a tag: the tag would stay before the new value and give it another type.
fn untagged(node: &Node) -> Result<(), RefusedEdit> {
    match node.tag.as_deref().filter(|tag| *tag != "tag:yaml.org,2002:str") {
        Some(tag) => {
            let tag = tag.replace("tag:yaml.org,2002:", "!!");
            Err(refused(node.position, format!("this value has the tag {tag}; remove the tag")))
        }
        None => Ok(()),
    }
}

struct Editor<'t> {
    text: &'t str,
    style: Layout,
}

/// The surroundings of a value: its key, the column of the key (from 0), and whether it is in a flow collection.
#[derive(Clone, Copy)]
struct Context<'n> {
    key: Option<&'n Node>,
    indent: usize,
    flow: bool,
}

impl Editor<'_> {
    fn op(&self, root: &Node, op: &Op, splices: &mut Vec<Splice>) -> Result<(), RefusedEdit> {
        match op {
            Op::Set { path, value } => {
                let (node, context) = self.locate(root, path)?;
                let NodeKind::Scalar { style, .. } = node.kind else {
                    return Err(refused(node.position, "a single value is expected here"));
                };
                untagged(node)?;
                let start = value_start(self.text, node);
                if style == Style::Block && self.text[start..node.end].contains('#') {
                    return Err(refused(node.position, "this block may hold a comment"));
                }
                let text = match value {
                    New::Str(text) => quote_like(text, style, context.flow),
                    other => self.style.flow(other, true),
                };
                // Null may be no text at all, directly after the colon.
                let bare = start == node.end && !self.text[..start].ends_with([' ', '\t', '\n']);
                let text = if bare { format!(" {text}") } else { text };
                splices.push(Splice { start, end: node.end, text });
                Ok(())
            }
            Op::Insert { path, pairs } => {
                let (node, context) = self.locate(root, path)?;
                if let Some((key, _)) =
                    pairs.iter().find(|(key, _)| node.own(key).is_none() && node.get(key).is_some())
                {
                    let reason = format!(
                        "<< already brings in {key}, and a strict reader refuses a second one; write it here instead"
                    );
                    return Err(refused(node.position, reason));
                }
                match &node.kind {
                    // A block is never empty.
                    NodeKind::Mapping { pairs: own, flow: false } => {
                        let start = value_start(self.text, node);
                        // `? key` starts with the mark, a plain key with itself.
                        let key = own.first().filter(|_| !self.text[start..].starts_with("? "));
                        let first = key.map_or(start, |(key, _)| key.start);
                        let indent = position_at(self.text, first).column - 1;
                        let at = line_end(self.text, node.end);
                        let eol = self.eol(at);
                        let text = pairs.iter().map(|(key, value)| self.style.pair(key, value, indent, eol));
                        splices.push(Splice { start: at, end: at, text: text.collect() });
                        Ok(())
                    }
                    NodeKind::Mapping { pairs: own, flow: true }
                        if !own.is_empty() || self.spread(node) || context.flow =>
                    {
                        let texts = pairs.iter().map(|(key, value)| self.style.flow_pair(key, value)).collect();
                        let last = own.last().map(|(key, value)| key.start..value.end);
                        self.flow_insert(node, last, texts, splices);
                        Ok(())
                    }
                    _ => self.fill(node, context, New::Map(pairs.clone()), splices),
                }
            }
            Op::Append { path, items } => {
                let (node, context) = self.locate(root, path)?;
                match &node.kind {
                    NodeKind::Sequence { flow: false, .. } => {
                        let indent = position_at(self.text, value_start(self.text, node)).column - 1;
                        let at = line_end(self.text, node.end);
                        let eol = self.eol(at);
                        let text = items.iter().map(|item| self.style.item(item, indent, eol)).collect();
                        splices.push(Splice { start: at, end: at, text });
                        Ok(())
                    }
                    NodeKind::Sequence { items: own, flow: true }
                        if !own.is_empty() || self.spread(node) || context.flow =>
                    {
                        let texts = items.iter().map(|item| self.style.flow(item, true)).collect();
                        self.flow_insert(node, own.last().map(|last| last.start..last.end), texts, splices);
                        Ok(())
                    }
                    _ => self.fill(node, context, New::List(items.clone()), splices),
                }
            }
            Op::Remove { path, gone } => {
                let (node, _) = self.locate(root, path)?;
                self.remove(node, gone, splices)
            }
        }
    }

    /// Removes items or pairs with their lines; in a flow collection, with their commas.
    fn remove(&self, node: &Node, gone: &[PathStep], splices: &mut Vec<Splice>) -> Result<(), RefusedEdit> {
        let parts: Vec<(Range<usize>, bool)> = match &node.kind {
            NodeKind::Sequence { items, .. } => {
                let is_gone = |at: usize| gone.contains(&PathStep::Index(at));
                items.iter().enumerate().map(|(at, item)| (item.start..item.end, is_gone(at))).collect()
            }
            NodeKind::Mapping { pairs, .. } => {
                let is_gone = |key: &Node| {
                    gone.iter().any(|step| matches!(step, PathStep::Key(name) if key.scalar() == Some(name)))
                };
                pairs.iter().map(|(key, value)| (key.start..value.end.max(key.end), is_gone(key))).collect()
            }
            _ => return Err(refused(node.position, "a list or a mapping is expected here")),
        };
        let is_flow =
            matches!(node.kind, NodeKind::Sequence { flow: true, .. } | NodeKind::Mapping { flow: true, .. });
        let is_list = matches!(node.kind, NodeKind::Sequence { .. });
        for (at, (part, _)) in parts.iter().enumerate().filter(|(_, (_, is_gone))| *is_gone) {
            let range = if is_flow {
                // A part goes with the comma behind it; the last ones go with the comma before them.
                let kept_after = parts[at..].iter().any(|(_, is_gone)| !is_gone);
                let kept_before = parts[..at].iter().any(|(_, is_gone)| !is_gone);
                let before = at.checked_sub(1).map(|before| parts[before].0.end);
                match (parts.get(at + 1), before) {
                    (Some((next, _)), _) if kept_after || !kept_before => part.start..next.start,
                    (_, Some(before)) if kept_before => before..part.end,
                    _ => part.clone(),
                }
            } else {
                let start = if is_list { self.dash_before(part.start) } else { Some(part.start) };
                let line = start.map(|start| (line_start(self.text, start), start));
                let own = line.filter(|(line, start)| self.text[*line..*start].trim().is_empty());
                let (Some((line, _)), true) = (own, rest_is_blank(self.text, part.end)) else {
                    return Err(refused(position_at(self.text, part.start), "this has no line of its own"));
                };
                let end = line_end(self.text, part.end);
                line..self.text[end..].find('\n').map_or(end, |eol| end + eol + 1)
            };
            // A comment in it may be somebody's.
            if self.text[range.clone()].contains('#') {
                return Err(refused(position_at(self.text, part.start), "this may hold a comment"));
            }
            splices.push(Splice { start: range.start, end: range.end, text: String::new() });
        }
        Ok(())
    }

    /// The offset of the dash of a list's item.
    fn dash_before(&self, item: usize) -> Option<usize> {
        self.text[..item].trim_end_matches([' ', '\t', '\r', '\n']).strip_suffix('-').map(str::len)
    }

    /// Follows a path through the document's own nodes, not through merge keys or aliases.
    fn locate<'n>(&self, root: &'n Node, path: &[PathStep]) -> Result<(&'n Node, Context<'n>), RefusedEdit> {
        let mut node = root;
        let mut context = Context { key: None, indent: 0, flow: false };
        for step in path {
            unshared(root, node)?;
            context.flow |=
                matches!(node.kind, NodeKind::Mapping { flow: true, .. } | NodeKind::Sequence { flow: true, .. });
            let next = match (step, &node.kind) {
                (PathStep::Key(name), NodeKind::Mapping { pairs, .. }) => {
                    pairs.iter().find(|(key, _)| key.scalar() == Some(name)).map(|(key, value)| {
                        context.key = Some(key);
                        context.indent = position_at(self.text, key.start).column - 1;
                        value
                    })
                }
                (PathStep::Index(index), NodeKind::Sequence { items, .. }) => {
                    context.key = None;
                    items.get(*index)
                }
                _ => None,
            };
            let missing = || match step {
                PathStep::Key(name) => {
                    refused(node.position, format!("{name} is not written in this mapping itself"))
                }
                PathStep::Index(index) => refused(node.position, format!("this list has no item {index}")),
            };
            node = next.ok_or_else(missing)?;
        }
        unshared(root, node)?;
        Ok((node, context))
    }

    /// Whether an empty collection spreads over lines, or holds a comment.
    fn spread(&self, node: &Node) -> bool {
        self.text[node.start..node.end].contains(['\n', '#'])
    }

    /// Replaces null or an empty collection by a value.
    fn fill(&self, node: &Node, context: Context, new: New, splices: &mut Vec<Splice>) -> Result<(), RefusedEdit> {
        untagged(node)?;
        let empty = match &node.kind {
            NodeKind::Sequence { items, .. } => items.is_empty() && matches!(new, New::List(_)),
            NodeKind::Mapping { pairs, .. } => pairs.is_empty() && matches!(new, New::Map(_)),
            _ => node.is_null(),
        };
        if !empty {
            let expected = if matches!(new, New::List(_)) { "a list" } else { "a mapping" };
            return Err(refused(node.position, format!("{expected} is expected here")));
        }
        let start = value_start(self.text, node);
        if context.flow {
            let space = if start == node.end && !self.text[..start].ends_with(' ') { " " } else { "" };
            let text = format!("{space}{}", self.style.flow(&new, true));
            splices.push(Splice { start, end: node.end, text });
            return Ok(());
        }
        let Some(key) = context.key else {
            return Err(refused(node.position, "there is nothing here to add to"));
        };
        // Removes the token and the blanks before it. What follows in the line, a comment, stays.
        let before = self.text[..start].trim_end_matches([' ', '\t']).len();
        splices.push(Splice { start: before, end: node.end, text: String::new() });
        let at = line_end(self.text, node.end.max(key.end));
        let text = self.style.value(&new, context.indent, self.eol(at));
        splices.push(Splice { start: at, end: at, text });
        Ok(())
    }

    /// Adds texts to a flow collection: each on its own line if the last item has its own line, or else after that
    /// item.
    fn flow_insert(&self, node: &Node, last: Option<Range<usize>>, texts: Vec<String>, splices: &mut Vec<Splice>) {
        let Some(last) = last else {
            let at = value_start(self.text, node) + 1;
            return splices.push(Splice { start: at, end: at, text: texts.join(", ") });
        };
        let start = line_start(self.text, last.start);
        let own_line = self.text[start..last.start].trim().is_empty();
        let after =
            last.end + self.text[last.end..].len() - self.text[last.end..].trim_start_matches([' ', '\t']).len();
        let comma = self.text[after..].starts_with(',');
        let rest = if comma { after + 1 } else { last.end };
        if own_line && rest_is_blank(self.text, rest) {
            let indent = &self.text[start..last.start];
            let at = line_end(self.text, rest);
            let eol = self.eol(at);
            let close = if comma { "," } else { "" };
            if !comma {
                splices.push(Splice { start: last.end, end: last.end, text: ",".to_owned() });
            }
            let text = format!("{eol}{indent}{}{close}", texts.join(&format!(",{eol}{indent}")));
            splices.push(Splice { start: at, end: at, text });
        } else {
            splices.push(Splice { start: last.end, end: last.end, text: format!(", {}", texts.join(", ")) });
        }
    }

    /// The line break of the line around `at`; on the last line, the first line break of the file.
    fn eol(&self, at: usize) -> &'static str {
        let rest = &self.text[at..];
        let rest = if rest.contains('\n') { rest } else { self.text };
        match rest.find('\n') {
            Some(end) if rest[..end].ends_with('\r') => "\r\n",
            _ => "\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(steps: &str) -> Vec<PathStep> {
        let step = |word: &str| word.parse().map_or_else(|_| PathStep::from(word), PathStep::Index);
        steps.split('/').filter(|word| !word.is_empty()).map(step).collect()
    }

    fn append(steps: &str) -> Op {
        Op::Append { path: path(steps), items: vec![New::str("--x=y"), New::map([("name", New::str("1"))])] }
    }

    fn insert(steps: &str) -> Op {
        let list = New::List(vec![New::str("i")]);
        let pairs = New::map([("k", New::str("v")), ("l", list), ("m", New::map([("b", New::Bool(true))]))]);
        let New::Map(pairs) = pairs else { unreachable!("a mapping") };
        Op::Insert { path: path(steps), pairs }
    }

    fn append_empty(steps: &str) -> Op {
        Op::Append { path: path(steps), items: vec![New::map([]), New::List(Vec::new())] }
    }

    fn insert_empty(steps: &str) -> Op {
        let pairs =
            [("l", New::List(Vec::new())), ("m", New::map([]))].map(|(key, value)| (key.to_owned(), value));
        Op::Insert { path: path(steps), pairs: pairs.to_vec() }
    }

    fn set(steps: &str) -> Op {
        Op::Set { path: path(steps), value: New::str("30") }
    }

    fn edited(text: &str, op: Op) -> Result<String, RefusedEdit> {
        edit(text, &crate::yaml::parse(text).unwrap(), 0, &[op])
    }

    #[test]
    fn edits_keep_the_style_around_them() {
        for (before, op, after) in [
            // Lists.
            ("a:\n- x\n", append("a"), "a:\n- x\n- --x=y\n- name: \"1\"\n"),
            ("a:\n  - x\nb: c\n", append("a"), "a:\n  - x\n  - --x=y\n  - name: \"1\"\nb: c\n"),
            ("a:\n- x # c\n# d\nb: c\n", append("a"), "a:\n- x # c\n- --x=y\n- name: \"1\"\n# d\nb: c\n"),
            ("a:\r\n- x\r\n", append("a"), "a:\r\n- x\r\n- --x=y\r\n- name: \"1\"\r\n"),
            ("a:\n- x", append("a"), "a:\n- x\n- --x=y\n- name: \"1\""),
            ("a: [x]  # c\n", append("a"), "a: [x, \"--x=y\", {name: \"1\"}]  # c\n"),
            ("a: [x,]\n", append("a"), "a: [x, \"--x=y\", {name: \"1\"},]\n"),
            ("a: [\n  x  # c\n]\n", append("a"), "a: [\n  x,  # c\n  \"--x=y\",\n  {name: \"1\"}\n]\n"),
            ("a: [\n  x,  # c\n]\n", append("a"), "a: [\n  x,  # c\n  \"--x=y\",\n  {name: \"1\"},\n]\n"),
            ("a: [\n  x]\n", append("a"), "a: [\n  x, \"--x=y\", {name: \"1\"}]\n"),
            ("a: []  # c\n", append("a"), "a:  # c\n- --x=y\n- name: \"1\"\n"),
            ("a: [\n]\n", append("a"), "a: [\"--x=y\", {name: \"1\"}\n]\n"),
            ("a:  # c\n# d\nb: c\n", append("a"), "a:  # c\n- --x=y\n- name: \"1\"\n# d\nb: c\n"),
            ("a: ~\n", append("a"), "a:\n- --x=y\n- name: \"1\"\n"),
            ("{\"a\": []}\n", append("a"), "{\"a\": [\"--x=y\", {\"name\": \"1\"}]}\n"),
            ("a: [\n  x, y\n]\n", append("a"), "a: [\n  x, y, \"--x=y\", {name: \"1\"}\n]\n"),
            ("x: {a: }\n", append("x/a"), "x: {a: [\"--x=y\", {name: \"1\"}]}\n"),
            ("x: {\"a\":}\n", append("x/a"), "x: {\"a\": [\"--x=y\", {name: \"1\"}]}\n"),
            ("{x: {a: }}\n", append("x/a"), "{x: {a: [\"--x=y\", {\"name\": \"1\"}]}}\n"),
            ("{\"a\":null}\n", append("a"), "{\"a\":[\"--x=y\", {\"name\": \"1\"}]}\n"),
            ("{\"a\": null}\n", append("a"), "{\"a\": [\"--x=y\", {\"name\": \"1\"}]}\n"),
            // Mappings.
            ("a: b\n", insert(""), "a: b\nk: v\nl:\n- i\nm:\n  b: true\n"),
            ("? a\n: b\n", insert(""), "? a\n: b\nk: v\nl:\n- i\nm:\n  b: true\n"),
            ("&n a: b\n", insert(""), "&n a: b\nk: v\nl:\n- i\nm:\n  b: true\n"),
            ("a:\n    b: c\n", insert("a"), "a:\n    b: c\n    k: v\n    l:\n    - i\n    m:\n        b: true\n"),
            ("x:\n  - y\na: {}\n", insert("a"), "x:\n  - y\na:\n  k: v\n  l:\n    - i\n  m:\n    b: true\n"),
            ("a: {b: c}\n", insert("a"), "a: {b: c, k: \"v\", l: [\"i\"], m: {b: true}}\n"),
            ("a: {\n}\n", insert("a"), "a: {k: \"v\", l: [\"i\"], m: {b: true}\n}\n"),
            ("a:\n", insert("a"), "a:\n  k: v\n  l:\n  - i\n  m:\n    b: true\n"),
            ("- a:\n    - x\n", insert("0"), "- a:\n    - x\n  k: v\n  l:\n    - i\n  m:\n    b: true\n"),
            ("- a: b\n", insert("0"), "- a: b\n  k: v\n  l:\n  - i\n  m:\n    b: true\n"),
            // Empty collections.
            ("a:\n- x\n", append_empty("a"), "a:\n- x\n- {}\n- []\n"),
            ("a: ~\n", append_empty("a"), "a:\n- {}\n- []\n"),
            ("a: b\n", insert_empty(""), "a: b\nl: []\nm: {}\n"),
            // Scalars.
            ("a: 7  # c\n", set("a"), "a: \"30\"  # c\n"),
            ("{\"a\":7}\n", set("a"), "{\"a\":\"30\"}\n"),
            ("a: '7'\n", set("a"), "a: '30'\n"),
            ("a: \"7\"\n", set("a"), "a: \"30\"\n"),
            ("a: &name   7\n", set("a"), "a: &name   \"30\"\n"),
            ("a: !!str 7\n", set("a"), "a: !!str \"30\"\n"),
            ("a:\nb: c\n", set("a"), "a: \"30\"\nb: c\n"),
            ("a: >-\n  7\nb: c\n", set("a"), "a: \"30\"\nb: c\n"),
        ] {
            assert_eq!(edited(before, op).as_deref(), Ok(after), "{before:?}");
        }
    }

    #[test]
    fn what_can_not_be_proved_is_refused() {
        for (text, op, reason) in [
            (
                "a: &x [i]\nb: *x\nc: [*x]\n",
                append("a"),
                "1:4: this has an anchor, and its value is also used at 2:4 and 3:5; first write it out there",
            ),
            ("a: &x [i]\nb: *x\n", append("b"), "2:4: this is an alias of the value at 1:4; first write out here"),
            ("a: {}\n", append("a"), "a list is expected"),
            ("a: []\n", insert("a"), "a mapping is expected"),
            ("a: b\n", append("a"), "a list is expected"),
            ("a: [b]\n", insert("a"), "a mapping is expected"),
            ("k: there\n", insert(""), "disagree"),
            ("a: |+\n  text\n  # no comment\n", set("a"), "may hold a comment"),
            ("a: |\n  text", insert(""), "more than the audit settings"),
            ("a: b\n", set("c"), "c is not written in this mapping"),
            ("a: !!int 7\n", set("a"), "1:4: this value has the tag !!int; remove the tag"),
        ] {
            let refused = edited(text, op).unwrap_err();
            assert!(refused.to_string().contains(reason), "{text:?}: {refused}");
        }
    }

    #[test]
    fn a_document_is_appended() {
        let pairs = || vec![("kind".to_owned(), New::str("X"))];
        for (before, after) in [
            ("a: b\n", Some("a: b\n---\nkind: X\n")),
            ("a: b", Some("a: b\n---\nkind: X\n")),
            ("a: b\r\n", Some("a: b\r\n---\r\nkind: X\r\n")),
            ("a: b\n...\n", Some("a: b\n...\n---\nkind: X\n")),
            ("a: b\n---\n", None),
            // The line break would become a part of the text.
            ("a: |\n  text", None),
        ] {
            assert_eq!(append_document(before, pairs()).ok().as_deref(), after, "{before:?}");
        }
    }
}
