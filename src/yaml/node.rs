//! The nodes of a YAML text: the kind of each node, and its position. `scalar` decides what a node means to Kubernetes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::slice;

/// A line and a column in a text, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Position {
    /// The start of a text.
    pub const START: Position = Position { line: 1, column: 1 };
}

impl Default for Position {
    fn default() -> Position {
        Position::START
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a YAML text can't be used, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlFault {
    pub position: Position,
    pub message: String,
}

impl YamlFault {
    /// Does every YAML reader stop here? This program also refuses what others read.
    pub fn is_syntax(&self) -> bool {
        self.message.starts_with(NOT_YAML)
    }
}

/// How the message of a text begins that is not YAML at all.
pub(super) const NOT_YAML: &str = "not YAML:";

impl fmt::Display for YamlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.message)
    }
}

impl std::error::Error for YamlFault {}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    /// `|` or `>`.
    Block,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum NodeKind {
    Scalar {
        value: String,
        style: Style,
    },
    Sequence {
        items: Vec<Node>,
        flow: bool,
    },
    Mapping {
        pairs: Vec<(Node, Node)>,
        flow: bool,
    },
    /// `*name`, with a copy of the node that it stands for.
    Alias(Box<Node>),
}

/// A value and its position in the text.
#[derive(Clone, Debug)]
pub struct Node {
    pub kind: NodeKind,
    /// The byte offset of its first character, anchor and tag included.
    pub start: usize,
    /// The byte offset after its last character. A block collection ends where its last value ends.
    pub end: usize,
    pub position: Position,
    /// An explicit tag such as `!!str`.
    pub tag: Option<String>,
    /// The node has an anchor, and an alias uses it.
    pub shared: bool,
}

/// One document of a text.
#[derive(Clone, Debug)]
pub struct Document {
    pub root: Node,
}

impl Node {
    /// The node itself, or the node that this alias stands for.
    pub fn resolved(&self) -> &Node {
        match &self.kind {
            NodeKind::Alias(target) => target.resolved(),
            _ => self,
        }
    }

    /// The items of a sequence.
    pub fn items(&self) -> Option<&[Node]> {
        match &self.resolved().kind {
            NodeKind::Sequence { items, .. } => Some(items),
            _ => None,
        }
    }

    /// The pairs of a mapping, as written: merge keys (`<<`) are still keys.
    pub fn pairs(&self) -> Option<&[(Node, Node)]> {
        match &self.resolved().kind {
            NodeKind::Mapping { pairs, .. } => Some(pairs),
            _ => None,
        }
    }

    /// The pairs of a mapping as data, as go-yaml v2 reads them (`decode.go`). If a key is there twice, once by `<<`,
    /// the later one counts. If a merge is a list of mappings, the earlier mapping counts.
    pub fn entries(&self) -> Vec<(&Node, &Node)> {
        let mut entries: Vec<(&Node, &Node)> = Vec::new();
        let mut known = HashMap::new();
        let mut put = |key, value| match known.entry(Node::scalar(key)) {
            Entry::Occupied(index) => entries[*index.get()] = (key, value),
            Entry::Vacant(vacant) => {
                vacant.insert(entries.len());
                entries.push((key, value));
            }
        };
        for (key, value) in self.pairs().unwrap_or_default() {
            if key.is_merge() {
                let sources = value.items().unwrap_or(slice::from_ref(value));
                sources.iter().rev().flat_map(Node::entries).for_each(|(key, value)| put(key, value));
            } else {
                put(key, value);
            }
        }
        entries
    }

    /// The value of a key, whether the mapping itself has it or a merge key brings it in.
    pub fn get(&self, name: &str) -> Option<&Node> {
        if self.pairs()?.iter().any(|(key, _)| key.is_merge()) {
            return self.entries().into_iter().find(|(key, _)| key.scalar() == Some(name)).map(|(_, value)| value);
        }
        self.own(name)
    }

    /// The value of a key that the mapping itself has, not one that `<<` brings in.
    pub fn own(&self, name: &str) -> Option<&Node> {
        // Of a key that is there twice, the last one counts.
        self.pairs()?.iter().rfind(|(key, _)| key.scalar() == Some(name)).map(|(_, value)| value)
    }

    /// The value at the end of a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, name| node.get(name))
    }

    /// The text of a scalar, whatever its type.
    pub fn scalar(&self) -> Option<&str> {
        match &self.resolved().kind {
            NodeKind::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    /// Whether the node is the merge key: `<<` without quotes.
    pub fn is_merge(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar { value, style: Style::Plain } if value == "<<")
    }

    pub(super) fn size(&self) -> usize {
        1 + match &self.kind {
            NodeKind::Scalar { .. } => 0,
            NodeKind::Sequence { items, .. } => items.iter().map(Node::size).sum(),
            NodeKind::Mapping { pairs, .. } => pairs.iter().map(|(key, value)| key.size() + value.size()).sum(),
            NodeKind::Alias(target) => target.size(),
        }
    }
}

/// The line and column of a byte offset in a text.
pub fn position_at(text: &str, offset: usize) -> Position {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let line = String::from_utf8_lossy(&before[line_start..]);
    // A byte order mark takes no column.
    let column = line.trim_start_matches('\u{feff}').chars().count() + 1;
    Position { line: before.iter().filter(|&&byte| byte == b'\n').count() + 1, column }
}
