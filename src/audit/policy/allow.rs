//! Comments that allow findings: `# kube-audit-bootstrap: allow PA109`, above a rule or in one of its lines. Elsewhere,
//! such a comment is about the whole policy.

use super::Policy;
use super::findings::{Finding, Id, Place, Report};
use crate::yaml::fields::{Severity, brief, likely};
use crate::yaml::{Document, Node, NodeKind, Position};

const MARK: &str = "kube-audit-bootstrap:";
const VERB: &str = "allow";

/// A comment that allows findings.
#[derive(Debug)]
pub struct Allow {
    /// The offset of the comment's first word, and the offset after it.
    verb: (usize, usize),
    /// The word is `allow` itself, not a similar one.
    is_right: bool,
    /// The codes, with the offset of each.
    codes: Vec<(String, usize)>,
}

/// The comments of a text that allow findings.
pub fn read(text: &str, documents: &[Document]) -> Vec<Allow> {
    if !text.contains(MARK) {
        return Vec::new();
    }
    let mut scalars = Vec::new();
    documents.iter().for_each(|document| collect(&document.root, &mut scalars));
    scalars.sort_unstable();
    let is_value = |at: usize| {
        let before = scalars.partition_point(|(start, _)| *start <= at);
        before.checked_sub(1).and_then(|last| scalars.get(last)).is_some_and(|(_, end)| at < *end)
    };
    text.match_indices(MARK)
        .filter(|(at, _)| is_comment(&text[..*at]) && !is_value(*at))
        .filter_map(|(at, _)| allow(text, at + MARK.len()))
        .collect()
}

/// The ranges of the scalars, in which a `#` is no comment.
fn collect(node: &Node, scalars: &mut Vec<(usize, usize)>) {
    match &node.kind {
        NodeKind::Scalar { .. } => scalars.push((node.start, node.end)),
        NodeKind::Sequence { items, .. } => items.iter().for_each(|item| collect(item, scalars)),
        NodeKind::Mapping { pairs, .. } => pairs.iter().for_each(|(key, value)| {
            collect(key, scalars);
            collect(value, scalars);
        }),
        NodeKind::Alias(_) => {}
    }
}

/// Does a comment begin at the end of a text?
fn is_comment(before: &str) -> bool {
    let blank = [' ', '\t'];
    let before = before.trim_end_matches(blank);
    let outside = before.trim_end_matches('#');
    outside.len() < before.len()
        && (outside.is_empty() || outside.ends_with([' ', '\t', '\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']))
}

/// The comment after its mark, if its verb is `allow` or like it.
fn allow(text: &str, start: usize) -> Option<Allow> {
    let line = text[start..].lines().next().unwrap_or_default();
    let mut words = line.split([' ', '\t', ',']).filter(|word| !word.is_empty());
    let at = |word: &str| start + (word.as_ptr() as usize - line.as_ptr() as usize);
    let verb = words.next()?;
    let name = verb.trim_end_matches(':');
    likely(name, &[VERB])?;
    // What follows the codes says why.
    let is_code = |word: &&str| word.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("PA"));
    let clean = |word: &str| word.trim_end_matches([':', '.', ';']).to_owned();
    let codes = words.take_while(is_code).map(|word| (clean(word), at(word))).collect();
    Some(Allow { verb: (at(verb), at(verb) + name.len()), is_right: name == VERB, codes })
}

/// Takes out of the report what the comments allow. What a comment allows in vain is found.
pub fn apply(policy: &Policy, allows: &[Allow], report: &mut Report<'_>) {
    for allow in allows {
        let (start, end) = allow.verb;
        let place = Place { position: report.position(start), end: Some(end) };
        if !allow.is_right {
            let message = format!("this comment is not read; write {MARK} {VERB}, and the ids of findings");
            report.add(Id::IdleAllow, place, message);
            continue;
        }
        if allow.codes.is_empty() {
            let message = "no id follows; write the ids of the findings that are meant, such as PA109";
            report.add(Id::IdleAllow, place, message);
        }
        let lines = scope(policy, report, place.position);
        for (code, at) in &allow.codes {
            let id = Id::of_code(code);
            let is_allowed = |found: &Finding| {
                Some(found.id) == id
                    && found.severity == Severity::Warning
                    && (lines.0..=lines.1).contains(&found.position.line)
            };
            let before = report.findings.len();
            report.findings.retain(|found| !is_allowed(found));
            if report.findings.len() < before {
                continue;
            }
            let message = match id {
                None => format!("no finding has the id {}; write an id such as PA109", brief(code)),
                Some(id) if id.kind().severity == Severity::Error => {
                    format!("{code} is an error, which nothing allows; remove {code}")
                }
                Some(_) => format!("there is no {code} here; remove {code}"),
            };
            let place = Place { position: report.position(*at), end: Some(at + code.len()) };
            report.add(Id::IdleAllow, place, message);
        }
    }
}

/// The first and the last line that a comment is about.
fn scope(policy: &Policy, report: &Report<'_>, at: Position) -> (usize, usize) {
    let line = at.line;
    let lines_of = |rule: &super::Rule| (rule.position.line, report.position(rule.end).line);
    let around: Vec<_> =
        policy.rules.iter().map(lines_of).filter(|(first, last)| (*first..=*last).contains(&line)).collect();
    if let (Some((first, _)), Some((_, last))) = (around.first(), around.last()) {
        return (*first, *last);
    }
    // The rule may begin in the line after its dash.
    let is_skipped = |text: &str| text.is_empty() || text.starts_with('#') || text == "-";
    // Behind a rule, a comment is about the rule if it is indented as the rule's fields are.
    let lines: Vec<_> = report.text.lines().map(str::trim).collect();
    let is_behind =
        |last: usize| lines.get(last..line).is_some_and(|between| between.iter().copied().all(is_skipped));
    let indent = report.text.lines().nth(line - 1).map_or(0, |text| text.len() - text.trim_start().len());
    let before = policy.rules.iter().rfind(|rule| lines_of(rule).1 < line);
    if let Some(rule) = before.filter(|rule| indent + 1 >= rule.position.column && is_behind(lines_of(rule).1)) {
        return lines_of(rule);
    }
    let below = lines.iter().skip(line).position(|text| !is_skipped(text));
    let next = below.map(|below| line + 1 + below);
    let rule = policy.rules.iter().find(|rule| Some(rule.position.line) == next);
    rule.map_or((0, usize::MAX), lines_of)
}

#[cfg(test)]
mod tests {
    use super::super::lint::check;

    /// The codes and the lines of what is found in the rules, which begin in line 4.
    fn found(rules: &str) -> String {
        let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{rules}");
        let findings = check(&text, None).into_iter().filter(|found| found.id != super::Id::DropsFloor);
        let shown = |found: &super::Finding| format!("{}:{}", found.id.kind().code, found.position);
        findings.map(|found| shown(&found)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_comment_allows_what_is_at_its_rule() {
        let rest = "- level: Metadata\n";
        let allow = "# kube-audit-bootstrap: allow";
        for (rules, expected) in [
            (format!("- level: Metadata\n  verbs: []\n{rest}"), "PA103:4:3 PA101:5:10"),
            (format!("- users: [\"a*\"]\n  level: Metadata\n{rest}"), "PA106:4:11"),
            (format!("{allow} PA106\n- users: [\"a*\"]\n  level: Metadata\n{rest}"), ""),
            (format!("- users: [\"a*\"]  {allow} PA106: the user has a star\n  level: Metadata\n{rest}"), ""),
            (format!("- users: [\"a*\"]\n  level: Metadata {allow} PA106\n{rest}"), ""),
            (format!("- users: [\"a*\"]\n  level: Metadata\n{allow} PA106\n{rest}"), "PA106:4:11 PA123:6:31"),
            (
                format!(
                    "{allow} PA101, PA106\n\n# why\n-\n  users: [\"a*\"]\n  verbs: []\n  level: Metadata\n{rest}"
                ),
                "",
            ),
            (format!("- users: [\"a*\"]\n  level: Metadata\n{rest}{allow} PA106\n"), ""),
            // Below a rule, its indentation says which rule it is about.
            (format!("- users: [\"a*\"]\n  level: Metadata\n  {allow} PA106\n{rest}"), ""),
            (format!("- users: [\"a*\"]\n  level: Metadata\n\n  # why\n  {allow} PA106\n{rest}"), ""),
            (
                format!(
                    "- users: [a]\n  level: Metadata\n  {allow} PA106\n- users: [\"a*\"]\n  level: Metadata\n{rest}"
                ),
                "PA123:6:33 PA106:7:11",
            ),
            (
                format!("  - users: [\"a*\"]\n    level: Metadata\n  {allow} PA106\n  - level: Metadata\n"),
                "PA106:4:13 PA123:6:33",
            ),
            // Only YAML knows this break of a line.
            (format!("# why\u{2028}{allow} PA106\n- users: [\"a*\"]\n  level: Metadata\n{rest}"), ""),
            (format!("{allow} PA106\n{rest}"), "PA123:4:31"),
            (format!("{allow} PA999\n{rest}"), "PA123:4:31"),
            (format!("{allow}\n{rest}"), "PA123:4:25"),
            (format!("# kube-audit-bootstrap: alow PA106\n{rest}"), "PA123:4:25"),
            (format!("# kube-audit-bootstrap: made by hand\n{rest}"), ""),
            (format!("{allow} PA009\n- level: Metadata\n  verb: [get]\n"), "PA009:6:3"),
            (format!("{allow} PA009\n{rest}"), "PA123:4:31"),
            // This is a value, not a comment.
            (format!("- users: [\"a*\", \"{allow} PA106\"]\n  level: Metadata\n{rest}"), "PA106:4:11"),
            (format!("- {{level: Metadata, users: [\"a*\"]}} {allow} PA106\n{rest}"), ""),
        ] {
            assert_eq!(found(&rules), expected, "{rules}");
        }
        let text = "# kube-audit-bootstrap: allow PA106\napiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n\
                    - {level: Metadata, users: [\"a*\"]}\n- level: Metadata\n";
        assert_eq!(check(text, None), []);
    }
}
