//! Reads a YAML text into a tree of nodes that know their position.
//!
//! The events come from libyaml. go-yaml, which Kubernetes uses, is a port of libyaml, so both accept the same texts;
//! the few exceptions are refused here. yaml_serde uses the same library, but doesn't return positions.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::slice;

use libyaml_rs as sys;

use super::node::{Document, NOT_YAML, Node, NodeKind, Position, Style, YamlFault, position_at};
use super::scalar::{MARKS, tag_fault};

/// The largest text that is read, in bytes. The API server limits a ConfigMap, where a kubeadm configuration is
/// stored, to 1 MiB. Manifests and policies are much smaller.
pub const MAX_BYTES: usize = 1024 * 1024;
/// The deepest nesting that is read.
pub const MAX_DEPTH: usize = 64;
/// The largest number of nodes in a text. The nodes of an anchor count again for each alias.
pub const MAX_NODES: usize = 100_000;

type Result<T> = std::result::Result<T, YamlFault>;

fn fault<T>(position: Position, message: impl Into<String>) -> Result<T> {
    Err(YamlFault { position, message: message.into() })
}

/// Reads all documents of a text.
///
/// # Errors
///
/// Bad syntax, a duplicate key, an undefined alias, or more than one of the limits above allows, with line and column.
pub fn parse(text: &str) -> Result<Vec<Document>> {
    let (documents, mut repeated) = parse_lenient(text)?;
    if repeated.is_empty() { Ok(documents) } else { Err(repeated.swap_remove(0)) }
}

/// As [`parse`], for what a reader of Kubernetes takes that is not strict: of a key that is there twice, the last value
/// counts. Returns each such key, too, as a fault.
///
/// # Errors
///
/// As [`parse`], except for a duplicate key.
pub fn parse_lenient(text: &str) -> Result<(Vec<Document>, Vec<YamlFault>)> {
    if text.len() > MAX_BYTES {
        return fault(
            Position::START,
            format!("{} bytes, but at most {MAX_BYTES} are read; name another file", text.len()),
        );
    }
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(at) = body.find('\u{feff}') {
        let position = position_at(text, text.len() - body.len() + at);
        return fault(
            position,
            "a byte order mark is in the middle of the file, where Kubernetes can't read it; remove it",
        );
    }
    Builder {
        events: ParserEvents::new(text)?,
        text,
        anchors: HashMap::new(),
        repeated: Vec::new(),
        used: Vec::new(),
        nodes: 0,
        flows: 0,
    }
    .documents()
}

/// Whether this is a `%YAML` directive of another version than 1.1, the one that go-yaml reads.
fn is_other_version(text: &str) -> bool {
    text.strip_prefix("%YAML").is_some_and(|rest| {
        let line = rest.lines().next().unwrap_or_default();
        line.split('#').next().unwrap_or_default().trim() != "1.1"
    })
}

/// Whether Kubernetes reads a text as JSON: it begins with a brace (`GuessJSONStream` of
/// `k8s.io/apimachinery/pkg/util/yaml`).
pub fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

fn has_escaped_slash(quoted: &str) -> bool {
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        if character == '\\' && characters.next() == Some('/') {
            return true;
        }
    }
    false
}

struct Builder<'t> {
    events: ParserEvents<'t>,
    text: &'t str,
    anchors: HashMap<String, Node>,
    /// The start of each node whose anchor an alias uses.
    used: Vec<usize>,
    /// The keys that are there twice.
    repeated: Vec<YamlFault>,
    nodes: usize,
    /// How many flow collections are open.
    flows: usize,
}

impl Builder<'_> {
    fn documents(mut self) -> Result<(Vec<Document>, Vec<YamlFault>)> {
        let mut documents = Vec::new();
        loop {
            let event = self.events.next()?;
            match event.kind {
                EventKind::StreamEnd => break,
                EventKind::Scalar { .. }
                | EventKind::SequenceStart { .. }
                | EventKind::MappingStart { .. }
                | EventKind::Alias => {
                    let root = self.node(event, 0)?;
                    documents.push(Document { root });
                    self.anchors.clear();
                }
                _ if is_other_version(&self.text[event.start..]) => {
                    return fault(event.position, "Kubernetes reads only YAML 1.1; remove this line");
                }
                _ => {}
            }
        }
        for document in &mut documents {
            mark_shared(&mut document.root, &self.used);
        }
        Ok((documents, self.repeated))
    }

    fn node(&mut self, event: Event, depth: usize) -> Result<Node> {
        let Event { kind, start, end, position, anchor, tag } = event;
        if depth > MAX_DEPTH {
            return fault(
                position,
                format!("nested more than {MAX_DEPTH} levels deep; write it with fewer levels"),
            );
        }
        self.count(1, position)?;
        let (kind, end) = match kind {
            EventKind::Scalar { value, style } => {
                if let Some(message) = self.scalar_fault(&value, style, tag.as_deref(), start..end) {
                    return fault(position, message);
                }
                let end = if style == Style::Block { self.block_scalar_end(start, end) } else { end };
                (NodeKind::Scalar { value, style }, end)
            }
            EventKind::SequenceStart { flow } => self.sequence(flow, end, depth)?,
            EventKind::MappingStart { flow } => self.mapping(flow, end, depth)?,
            EventKind::Alias => {
                let target = self.target(&anchor.unwrap_or_default(), position)?;
                let kind = NodeKind::Alias(Box::new(target));
                return Ok(Node { kind, start, end, position, tag: None, shared: false });
            }
            _ => return fault(position, "this is not a value"),
        };
        let node = Node { kind, start, end, position, tag, shared: false };
        if let Some(name) = anchor {
            self.anchors.insert(name, node.clone());
        }
        Ok(node)
    }

    /// Why Kubernetes reads a scalar differently, or not at all. `written` is the range of its bytes in the text.
    fn scalar_fault(&self, value: &str, style: Style, tag: Option<&str>, written: Range<usize>) -> Option<String> {
        if let Some(message) = tag.and_then(|tag| tag_fault(tag, value)) {
            return Some(message);
        }
        // go-yaml is a port of an older libyaml, which reads these scalars differently.
        let message = if self.flows > 0
            && style == Style::Plain
            && tag.is_some()
            && value.is_empty()
            && self.text[written.end..].starts_with(',')
        {
            "Kubernetes reads the comma as a part of the tag; write \"\" before it"
        } else if self.flows > 0 && style == Style::Plain && value.contains('?') {
            "in brackets or braces, Kubernetes ends a word before a ?; put the word in quotes"
        } else if style == Style::DoubleQuoted && !is_json(self.text) && has_escaped_slash(&self.text[written]) {
            r"Kubernetes doesn't know the escape \/; write / alone"
        } else {
            return None;
        };
        Some(message.to_owned())
    }

    /// The items of a sequence up to its end, and the offset where its text ends.
    fn sequence(&mut self, flow: bool, end: usize, depth: usize) -> Result<(NodeKind, usize)> {
        self.flows += usize::from(flow);
        let mut items = Vec::new();
        let close = loop {
            let event = self.events.next()?;
            if matches!(event.kind, EventKind::SequenceEnd) {
                break event.end;
            }
            items.push(self.node(event, depth + 1)?);
        };
        self.flows -= usize::from(flow);
        // The end event of a block collection is at the next token, far after its last value.
        let end = if flow { close } else { items.last().map_or(end, |last| last.end.max(end)) };
        Ok((NodeKind::Sequence { items, flow }, end))
    }

    /// The pairs of a mapping up to its end, and the offset where its text ends.
    fn mapping(&mut self, flow: bool, end: usize, depth: usize) -> Result<(NodeKind, usize)> {
        self.flows += usize::from(flow);
        let mut pairs: Vec<(Node, Node)> = Vec::new();
        let mut known = HashMap::new();
        let close = loop {
            let event = self.events.next()?;
            if matches!(event.kind, EventKind::MappingEnd) {
                break event.end;
            }
            let key = self.node(event, depth + 1)?;
            self.repeated.extend(check_key(&key, &mut known)?);
            let event = self.events.next()?;
            let value = self.node(event, depth + 1)?;
            let mut sources = value.items().unwrap_or(slice::from_ref(&value)).iter();
            if key.is_merge() && !sources.all(|source| source.pairs().is_some()) {
                return fault(value.position, "<< needs a mapping, or a list of mappings");
            }
            pairs.push((key, value));
        };
        self.flows -= usize::from(flow);
        let end = if flow { close } else { pairs.last().map_or(end, |(_, last)| last.end.max(end)) };
        Ok((NodeKind::Mapping { pairs, flow }, end))
    }

    /// A copy of the node that an alias stands for.
    fn target(&mut self, name: &str, position: Position) -> Result<Node> {
        let Some(target) = self.anchors.get(name) else {
            return fault(
                position,
                format!(
                    "the alias *{name} has no anchor before it; write &{name} before the value that is meant, or put a \
                     word that begins with * in quotes"
                ),
            );
        };
        let (target, size) = (target.clone(), target.size());
        self.count(size, position)?;
        self.used.push(target.start);
        Ok(target)
    }

    fn count(&mut self, more: usize, position: Position) -> Result<()> {
        self.nodes += more;
        if self.nodes > MAX_NODES {
            let advice = match self.used.is_empty() {
                true => "remove what is not needed",
                false => "those of an anchor count again for each alias: remove aliases",
            };
            return fault(position, format!("more than {MAX_NODES} values; {advice}"));
        }
        Ok(())
    }

    /// The offset where a `|` or `>` scalar ends: after its last line that isn't blank. With `+`, blank lines belong
    /// to the value, so it ends after them. libyaml reports the start of the line of the next token instead.
    fn block_scalar_end(&self, start: usize, end: usize) -> usize {
        let text = &self.text[start..end];
        let header = text.lines().next().unwrap_or_default();
        let header = header.split(" #").next().unwrap_or_default();
        let trimmed = text.trim_end_matches([' ', '\t', '\r', '\n']);
        if header.contains('+') {
            let kept = text.trim_end_matches([' ', '\t']);
            return start + kept.strip_suffix('\n').map_or(kept, |kept| kept.trim_end_matches('\r')).len();
        }
        start + trimmed.len()
    }
}

/// go-yaml converts a mapping to JSON, so a key must be a word. `{{ .Name }}` is also YAML: a mapping whose key is not a
/// word. Returns what is wrong with a key that is there twice.
fn check_key(key: &Node, known: &mut HashMap<String, Position>) -> Result<Option<YamlFault>> {
    let Some(name) = key.scalar().filter(|_| !key.is_null()) else {
        return fault(
            key.position,
            "a key must be a word; if this is a template, fill it in; else put the key in quotes",
        );
    };
    if !key.is_merge()
        && let Some(first) = known.insert(name.to_owned(), key.position)
    {
        let message = format!("the key {name:?} is there twice, first at {first}; remove one");
        return Ok(Some(YamlFault { position: key.position, message }));
    }
    Ok(None)
}

/// The end of each fault's message that a template causes, and of each that tabs cause.
pub const IS_TEMPLATE: &str = "if this is a template, fill it in";
pub const HAS_TABS: &str = "indent with spaces instead of tabs";

/// What to do about a text that is no YAML at a position. libyaml's own words name neither tabs nor templates, which
/// are what people mostly have there.
fn advice(text: &str, position: Position) -> &'static str {
    let lines = text.lines().skip(position.line.saturating_sub(2)).take(2);
    let is_indented = |line: &str| line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t');
    let is_template = |line: &str| MARKS.iter().any(|mark| line.contains(mark));
    // A comment of a template is the start of a mapping, which ends elsewhere.
    let is_comment = |line: &str| line.trim_start().starts_with("{#");
    // git writes these around both sides of a conflict.
    let is_conflict = |line: &str| ["<<<<<<< ", ">>>>>>> "].iter().any(|mark| line.starts_with(mark));
    match () {
        () if text.lines().any(is_conflict) => {
            "the file has the marks of a conflict of git (<<<<<<<, =======, >>>>>>>): choose one of the sides, and remove them"
        }
        () if lines.clone().any(is_template) || text.lines().take(position.line).any(is_comment) => IS_TEMPLATE,
        () if lines.clone().any(is_indented) => HAS_TABS,
        () => "correct what is here or its indentation, or put it in quotes",
    }
}

fn mark_shared(node: &mut Node, used: &[usize]) {
    // A block collection without an anchor starts where its first value starts. So it may be marked because of that
    // value's anchor. Then an edit of it is refused without need, which does no harm.
    node.shared = used.contains(&node.start);
    match &mut node.kind {
        NodeKind::Sequence { items, .. } => items.iter_mut().for_each(|item| mark_shared(item, used)),
        NodeKind::Mapping { pairs, .. } => pairs.iter_mut().for_each(|(key, value)| {
            mark_shared(key, used);
            mark_shared(value, used);
        }),
        _ => {}
    }
}

struct Event {
    kind: EventKind,
    start: usize,
    end: usize,
    position: Position,
    anchor: Option<String>,
    tag: Option<String>,
}

enum EventKind {
    Scalar { value: String, style: Style },
    SequenceStart { flow: bool },
    SequenceEnd,
    MappingStart { flow: bool },
    MappingEnd,
    Alias,
    StreamEnd,
    Other,
}

/// The parser of libyaml as a stream of events.
struct ParserEvents<'t> {
    parser: Box<MaybeUninit<sys::yaml_parser_t>>,
    text: &'t str,
    /// The length of a byte order mark, which is not passed to libyaml.
    skipped: usize,
    /// Where the last event began, if the text has breaks of lines that only YAML knows, so that libyaml counts other lines.
    last: Option<(usize, Position)>,
}

#[allow(unsafe_code)]
impl<'t> ParserEvents<'t> {
    fn new(text: &'t str) -> Result<Self> {
        let mut parser = Box::new(MaybeUninit::<sys::yaml_parser_t>::uninit());
        let body = text.strip_prefix('\u{feff}').unwrap_or(text);
        // SAFETY: the parser is in a box, so it never moves; `text` lives as long as it does.
        unsafe {
            if sys::yaml_parser_initialize(parser.as_mut_ptr()).fail {
                return fault(Position::START, "out of memory");
            }
            sys::yaml_parser_set_encoding(parser.as_mut_ptr(), sys::YAML_UTF8_ENCODING);
            sys::yaml_parser_set_input_string(parser.as_mut_ptr(), body.as_ptr(), body.len() as u64);
        }
        let bytes = body.as_bytes();
        let is_old = |(at, byte): (usize, &u8)| *byte == b'\r' && bytes.get(at + 1) != Some(&b'\n');
        let has_breaks = body.contains(['\u{85}', '\u{2028}', '\u{2029}']) || bytes.iter().enumerate().any(is_old);
        let skipped = text.len() - body.len();
        Ok(ParserEvents { parser, text, skipped, last: has_breaks.then_some((skipped, Position::START)) })
    }

    /// The position of a mark.
    fn position(&mut self, mark: sys::yaml_mark_t) -> Position {
        let Some((from, position)) = &mut self.last else { return position_of(mark) };
        let at = (mark.index as usize + self.skipped).min(self.text.len());
        match self.text.get(*from..at) {
            Some(between) => {
                let rest = between.rsplit('\n').next().unwrap_or_default();
                let lines = between.matches('\n').count();
                position.line += lines;
                position.column = rest.chars().count() + if lines > 0 { 1 } else { position.column };
            }
            None => *position = position_at(self.text, at),
        }
        *from = at;
        *position
    }

    fn next(&mut self) -> Result<Event> {
        let mut raw = MaybeUninit::<sys::yaml_event_t>::uninit();
        // SAFETY: `new` initialised the parser; the event is read only after libyaml filled it, each union
        // field only under its own type, and deleted before it goes.
        unsafe {
            let parser = self.parser.as_mut_ptr();
            if sys::yaml_parser_parse(parser, raw.as_mut_ptr()).fail {
                return Err(self.error());
            }
            let event = raw.assume_init_ref();
            let none = ptr::null_mut();
            let (kind, anchor, tag) = match event.type_ {
                sys::YAML_SCALAR_EVENT => {
                    let scalar = &event.data.scalar;
                    let value = slice::from_raw_parts(scalar.value, scalar.length as usize);
                    let value = String::from_utf8_lossy(value).into_owned();
                    let style = match scalar.style {
                        sys::YAML_SINGLE_QUOTED_SCALAR_STYLE => Style::SingleQuoted,
                        sys::YAML_DOUBLE_QUOTED_SCALAR_STYLE => Style::DoubleQuoted,
                        sys::YAML_LITERAL_SCALAR_STYLE | sys::YAML_FOLDED_SCALAR_STYLE => Style::Block,
                        _ => Style::Plain,
                    };
                    (EventKind::Scalar { value, style }, scalar.anchor, scalar.tag)
                }
                sys::YAML_SEQUENCE_START_EVENT => {
                    let start = &event.data.sequence_start;
                    let flow = start.style == sys::YAML_FLOW_SEQUENCE_STYLE;
                    (EventKind::SequenceStart { flow }, start.anchor, start.tag)
                }
                sys::YAML_MAPPING_START_EVENT => {
                    let start = &event.data.mapping_start;
                    let flow = start.style == sys::YAML_FLOW_MAPPING_STYLE;
                    (EventKind::MappingStart { flow }, start.anchor, start.tag)
                }
                sys::YAML_ALIAS_EVENT => (EventKind::Alias, event.data.alias.anchor, none),
                sys::YAML_SEQUENCE_END_EVENT => (EventKind::SequenceEnd, none, none),
                sys::YAML_MAPPING_END_EVENT => (EventKind::MappingEnd, none, none),
                sys::YAML_STREAM_END_EVENT => (EventKind::StreamEnd, none, none),
                _ => (EventKind::Other, none, none),
            };
            let (anchor, tag) = (text_of(anchor), text_of(tag));
            let (start_mark, end_mark) = (event.start_mark, event.end_mark);
            let clamp = |mark: sys::yaml_mark_t| (mark.index as usize + self.skipped).min(self.text.len());
            let (start, end) = (clamp(start_mark), clamp(end_mark));
            sys::yaml_event_delete(raw.as_mut_ptr());
            let position = self.position(start_mark);
            Ok(Event { kind, start, end: end.max(start), position, anchor, tag })
        }
    }

    fn error(&self) -> YamlFault {
        // SAFETY: as above; libyaml's messages are static C strings or null.
        let (problem, mark, context) = unsafe {
            let parser = self.parser.assume_init_ref();
            let text = |pointer: *const i8| text_of(pointer.cast::<u8>().cast_mut()).unwrap_or_default();
            // A character that libyaml's reader refuses (a control character) has an offset, but no mark yet.
            let mark = match parser.problem_offset {
                0 if self.last.is_some() => {
                    position_at(self.text, parser.problem_mark.index as usize + self.skipped)
                }
                0 => position_of(parser.problem_mark),
                offset => position_at(self.text, offset as usize + self.skipped),
            };
            (text(parser.problem), mark, text(parser.context))
        };
        let context = if context.is_empty() { context } else { format!(" ({context})") };
        let advice = advice(self.text, mark);
        YamlFault { position: mark, message: format!("{NOT_YAML} {problem}{context}; {advice}") }
    }
}

#[allow(unsafe_code)]
impl Drop for ParserEvents<'_> {
    fn drop(&mut self) {
        // SAFETY: `new` initialised it, and nothing uses it after this.
        unsafe { sys::yaml_parser_delete(self.parser.as_mut_ptr()) }
    }
}

#[allow(unsafe_code)]
unsafe fn text_of(pointer: *mut u8) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the caller passes a C string of libyaml's.
    let text = unsafe { std::ffi::CStr::from_ptr(pointer.cast_const().cast()) };
    Some(text.to_string_lossy().into_owned())
}

fn position_of(mark: sys::yaml_mark_t) -> Position {
    Position { line: mark.line as usize + 1, column: mark.column as usize + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(text: &str) -> Node {
        parse(text).unwrap().remove(0).root
    }

    #[test]
    fn nodes_know_their_text() {
        for (text, path, expected) in [
            ("a: b\n", &["a"][..], "b"),
            ("a: \"b c\"  # d\n", &["a"], "\"b c\""),
            ("\u{feff}a: é\nb: c\n", &["b"], "c"),
            ("a:\n  b: [x, y]  # z\n", &["a", "b"], "[x, y]"),
            ("a:\n- x\n- y # c\n\n# d\nb: c\n", &["a"], "- x\n- y"),
            ("a: &n\n  b: c\n", &["a"], "&n\n  b: c"),
            ("a: |\n  text\n\nb: c\n", &["a"], "|\n  text"),
            ("a: |+\n  text\n\nb: c\n", &["a"], "|+\n  text\n"),
            ("a:\nb: c\n", &["a"], ""),
        ] {
            let root = root(text);
            let node = root.at(path).unwrap();
            assert_eq!(&text[node.start..node.end], expected, "{text:?}");
        }
    }

    #[test]
    fn merge_keys_bring_in_what_go_yaml_says() {
        for (text, expected) in [
            ("m: {<<: *b, k: own}", "own"),
            ("m: {k: own, <<: *b}", "base"),
            ("m: {<<: [*b, *c]}", "base"),
            ("m: {<<: [*c, *b]}", "other"),
            ("m: {k: own}", "own"),
        ] {
            let root = root(&format!("b: &b {{k: base}}\nc: &c {{k: other}}\n{text}\n"));
            assert_eq!(root.at(&["m", "k"]).and_then(Node::scalar), Some(expected), "{text}");
        }
    }

    #[test]
    fn anchors_that_are_used_are_known() {
        let used = root("a: &x {k: v}\nb: *x\nc: &y {k: v}\nd: [e, &z f]\ng: *z\n");
        let in_list: Vec<_> =
            used.own("d").and_then(Node::items).unwrap().iter().map(|item| item.shared).collect();
        assert_eq!(in_list, [false, true]);
        let shared = |key: &str| used.own(key).unwrap().shared;
        assert_eq!((shared("a"), shared("b"), shared("c")), (true, false, false));
    }

    #[test]
    fn an_empty_value_in_quotes_may_have_a_tag() {
        for text in ["a: {b: !!str \"\", c: d}\n", "a: [!!str '', b]\n"] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn question_marks_stand_in_words_outside_of_brackets_and_braces() {
        for text in ["a: b?c\n", "a: [b]\nc: d?e\n", "a: {b: c}\nd: e?f\n"] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_too_much_is_refused_and_nothing_less() {
        let nested = |open: &str, close: &str, depth: usize| {
            format!("{}{}", open.repeat(depth), close.repeat(depth)).replace(": }", ": b}")
        };
        // The mapping has 5 nodes, and each alias is one more.
        let many = |more: usize| {
            let aliases = (MAX_NODES - 6 - 2) / 6;
            format!("[&x {{k: [a, b]}}, {}{}]", "*x,".repeat(aliases), "c,".repeat(more + (MAX_NODES - 6 - 2) % 6))
        };
        for (fits, too_much, expected) in [
            ("#".repeat(MAX_BYTES), "#".repeat(MAX_BYTES + 1), "1:1: 1048577 bytes, but at most 1048576 are read"),
            (
                nested("[", "]", MAX_DEPTH + 1),
                nested("[", "]", MAX_DEPTH + 2),
                "1:66: nested more than 64 levels deep",
            ),
            (
                nested("{a: ", "}", MAX_DEPTH),
                nested("{a: ", "}", MAX_DEPTH + 1),
                "1:258: nested more than 64 levels deep",
            ),
            (
                many(2),
                many(3),
                "more than 100000 values; those of an anchor count again for each alias: remove aliases",
            ),
            (
                format!("[{}]", "c,".repeat(MAX_NODES - 1)),
                format!("[{}]", "c,".repeat(MAX_NODES)),
                "more than 100000 values; remove what is not needed",
            ),
        ] {
            assert!(parse(&fits).is_ok(), "{expected}: {:?}", parse(&fits).err());
            let fault = parse(&too_much).unwrap_err().to_string();
            assert!(fault.contains(expected), "{fault}");
        }
    }

    #[test]
    fn a_line_ends_where_editors_end_it() {
        for mark in ["\u{85}", "\u{2028}", "\u{2029}", "x", "\r"] {
            let text = format!("\u{feff}# a{mark}# b\nc: [d,\n e]\nf: g\n");
            let root = root(&text);
            let at = |path: &[&str]| root.at(path).map(|node| node.position.to_string());
            assert_eq!(at(&["f"]).as_deref(), Some("4:4"), "{mark:?}");
            let items = root.at(&["c"]).and_then(Node::items).unwrap();
            assert_eq!(items[1].position.to_string(), "3:2", "{mark:?}");
            let fault = parse(&format!("# a{mark}# b\na: *x\n")).unwrap_err();
            assert_eq!(fault.position.to_string(), "2:4", "{mark:?}");
            let fault = parse(&format!("# a{mark}# b\na: 'b\n")).unwrap_err();
            assert!(fault.position.line >= 2 && fault.position.line <= 3, "{mark:?} {fault:?}");
        }
    }

    #[test]
    fn faults_have_their_place() {
        for (text, expected) in [
            ("a: b\na: c\n", "2:1: the key \"a\" is there twice, first at 1:1; remove one"),
            ("a: *x\n", "1:4: the alias *x has no anchor before it"),
            (
                "a: {{ b }}\n",
                "1:5: a key must be a word; if this is a template, fill it in; else put the key in quotes",
            ),
            ("a:\n  <<: 3\n", "2:7: << needs a mapping, or a list of mappings"),
            ("~: b\n", "1:1: a key must be a word"),
            ("%YAML 1.2\n---\na: b\n", "1:1: Kubernetes reads only YAML 1.1"),
            ("a: b\n\u{feff}c: d\n", "2:1: a byte order mark is in the middle"),
            (r#"a: "\/""#, r"1:4: Kubernetes doesn't know the escape \/"),
            ("a: [!!str, b]\n", "1:5: Kubernetes reads the comma as a part of the tag"),
            ("a: !!str &x, b\n", "1:12: not YAML: did not find expected key"),
            ("a: b: c\n", "; correct what is here or its indentation, or put it in quotes"),
            (
                "a: b\n<<<<<<< HEAD\nc: d\n=======\nc: e\n>>>>>>> main\n",
                "; the file has the marks of a conflict of git",
            ),
            ("a:\n\tb: c\n", "; indent with spaces instead of tabs"),
            ("a: b\n\tc: d\n", "; indent with spaces instead of tabs"),
            ("a: b\n{% if c %}\n", "; if this is a template, fill it in"),
            ("a: b\n{{- c }}\n", "; if this is a template, fill it in"),
            ("a: %{c}\n{{ d }}: e\n", "; if this is a template, fill it in"),
            (
                "a: [b?c]\n",
                "1:5: in brackets or braces, Kubernetes ends a word before a ?; put the word in quotes",
            ),
            ("a: 'b\n", "not YAML: found unexpected end of stream"),
            ("a: \u{1}\n", "1:4: not YAML: control characters are not allowed"),
            ("\u{feff}a: \u{1}\n", "1:4: not YAML: control characters are not allowed"),
        ] {
            let fault = parse(text).unwrap_err().to_string();
            assert!(fault.contains(expected), "{text:?}: {fault}");
        }
    }
}
