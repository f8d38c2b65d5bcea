//! The findings of `policy check`, for people and for programs: text with the line that is meant, JSON, SARIF, and
//! commands of GitHub's workflows.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::audit::policy::findings::{Checked, Finding, KINDS};
use crate::cli::common::OutputFormat;
use crate::yaml::Position;
use crate::yaml::fields::Severity;

/// The page about a finding.
const PAGES: &str = "docs/policy-findings.md";
/// The longest part of a line that is shown, in characters.
const WIDTH: usize = 100;

/// Prints what was found. `denies`: warnings count as errors do.
pub fn print(checked: &[Checked], denies: bool, format: OutputFormat, out: &mut String) {
    let _ = match format {
        OutputFormat::Json => writeln!(out, "{:#}", document(checked)),
        OutputFormat::Sarif => writeln!(out, "{:#}", sarif(checked)),
        OutputFormat::Github => write!(out, "{}", checked.iter().flat_map(commands).collect::<String>()),
        _ => write!(out, "{}", text(checked, denies)),
    };
}

fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn text(checked: &[Checked], denies: bool) -> String {
    let mut out = String::new();
    for one in checked {
        for finding in &one.findings {
            let (place, code) = (finding.position, finding.id.kind().code);
            let _ = writeln!(out, "{}:{place}: {}: {} [{code}]", one.name, severity(finding), finding.message);
            out.push_str(&excerpt(&one.text, finding));
        }
        if one.accepted() {
            let _ = writeln!(out, "{}: accepted", one.name);
        }
    }
    let count = |wanted| {
        let all = checked.iter().flat_map(|one| &one.findings);
        all.filter(|finding| finding.severity == wanted).count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if checked.len() > 1 || errors + warnings > 0 {
        let refused = checked.iter().filter(|one| !one.accepted()).count();
        let policies = number(checked.len(), "policy", "policies");
        let errors = number(errors, "error", "errors");
        let _ =
            write!(out, "{policies}: {refused} refused, {errors}, {}", number(warnings, "warning", "warnings"));
        out.push_str(if denies && warnings > 0 { ", which --deny does not let pass\n" } else { "\n" });
    }
    out
}

fn number(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The line of a finding, with a mark below what is meant. Empty if the text has no such line.
fn excerpt(text: &str, finding: &Finding) -> String {
    let Position { line, column } = finding.position;
    let Some(shown) = text.trim_start_matches('\u{feff}').lines().nth(line - 1) else {
        return String::new();
    };
    let shown: Vec<char> = shown.trim_end().chars().collect();
    if shown.is_empty() {
        return String::new();
    }
    let start = (column - 1).min(shown.len());
    let end = match finding.end {
        Some(end) if end.line == line => end.column - 1,
        // A rule: what the first line has of it.
        Some(_) => shown.len(),
        None => start + 1,
    };
    let end = end.clamp(start + 1, shown.len().max(start + 1));
    // Of a long line, the part around the mark.
    let from = if shown.len() <= WIDTH { 0 } else { start.saturating_sub(WIDTH / 2) };
    let to = shown.len().min(from + WIDTH);
    // A tab stays one, so that the mark stays below; other control characters would move the terminal.
    let plain = |c: &char| if c.is_control() && *c != '\t' { '\u{fffd}' } else { *c };
    let part: String = shown[from..to].iter().map(plain).collect();
    let blank: String = shown[from..start].iter().map(|c| if *c == '\t' { '\t' } else { ' ' }).collect();
    let mark = "^".repeat(end.min(to.max(start + 1)) - start);
    let width = line.to_string().len().max(4);
    format!("{line:width$} | {part}\n{:width$} | {blank}{mark}\n", "")
}

/// A finding as JSON.
pub fn finding(name: &str, finding: &Finding) -> Value {
    let kind = finding.id.kind();
    json!({
        "id": kind.code,
        "name": kind.name,
        "severity": severity(finding),
        "file": name,
        "line": finding.position.line,
        "column": finding.position.column,
        "endLine": finding.end.map(|end| end.line),
        "endColumn": finding.end.map(|end| end.column),
        "message": finding.message,
    })
}

fn document(checked: &[Checked]) -> Value {
    let name = match checked {
        [only] => Some(&only.name),
        _ => None,
    };
    let all = checked.iter().flat_map(|one| one.findings.iter().map(|found| finding(&one.name, found)));
    json!({
        "file": name,
        "accepted": checked.iter().all(Checked::accepted),
        "findings": all.collect::<Vec<_>>(),
        "files": checked.iter().map(|one| json!({"file": one.name, "accepted": one.accepted()})).collect::<Vec<_>>(),
    })
}

/// SARIF 2.1.0 (OASIS), with the table of findings as rules.
fn sarif(checked: &[Checked]) -> Value {
    let rules: Vec<_> = KINDS
        .iter()
        .map(|kind| {
            let level = if kind.severity == Severity::Error { "error" } else { "warning" };
            json!({
                "id": kind.code,
                "name": kind.name,
                "shortDescription": {"text": format!("{}.", kind.summary)},
                "help": {"text": format!("See {PAGES}, {}.", kind.code)},
                "defaultConfiguration": {"level": level},
            })
        })
        .collect();
    let results: Vec<_> =
        checked.iter().flat_map(|one| one.findings.iter().map(|found| result(&one.name, found))).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": env!("CARGO_PKG_NAME"),
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "artifacts": checked.iter().map(|one| json!({"location": {"uri": uri(&one.name)}})).collect::<Vec<_>>(),
            "results": results,
        }],
    })
}

fn result(name: &str, finding: &Finding) -> Value {
    let mut region = json!({"startLine": finding.position.line, "startColumn": finding.position.column});
    if let Some(end) = finding.end {
        region["endLine"] = json!(end.line);
        region["endColumn"] = json!(end.column);
    }
    json!({
        "ruleId": finding.id.kind().code,
        "ruleIndex": finding.id as usize,
        "level": severity(finding),
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri(name)}, "region": region}}],
    })
}

/// A path as a reference in a URI (RFC 3986). A relative path stays one, so that a repository's root can be its base.
fn uri(name: &str) -> String {
    let mut uri = String::from(if name.starts_with('/') { "file://" } else { "" });
    for byte in name.trim_start_matches("./").bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(byte.into()),
            _ => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}

/// Commands of GitHub's workflows, one line each, in the escaping of its toolkit (`packages/core/src/command.ts`).
fn commands(checked: &Checked) -> Vec<String> {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let command = |finding: &Finding| {
        let (kind, Position { line, column }) = (finding.id.kind(), finding.position);
        let place = match finding.end {
            // GitHub takes columns only of a place in one line.
            Some(end) if end.line != line => format!("line={line},endLine={}", end.line),
            Some(end) => format!("line={line},col={column},endLine={line},endColumn={}", end.column),
            None => format!("line={line},col={column}"),
        };
        let title = property(&format!("{} {}", kind.code, kind.name));
        let (level, file) = (severity(finding), property(&checked.name));
        format!("::{level} file={file},{place},title={title}::{}\n", data(&finding.message))
    };
    checked.findings.iter().map(command).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::policy::lint::check;

    const HEAD: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n";

    fn checked(name: &str, rules: &str) -> Checked {
        let text = format!("{HEAD}{rules}");
        Checked { name: name.to_owned(), findings: check(&text, None), text }
    }

    #[test]
    fn the_mark_is_below_what_is_meant() {
        let long = format!("{}, verb: [get]", "# ".repeat(80));
        for (rules, expected) in [
            ("- level: metadata", "   4 | - level: metadata\n     |          ^^^^^^^^\n"),
            (
                "- level: \"m\u{e9}t\u{e9}\" # \u{e9}",
                "   4 | - level: \"m\u{e9}t\u{e9}\" # \u{e9}\n     |          ^^^^^^\n",
            ),
            ("- users: [a]\r", "   4 | - users: [a]\n     |   ^\n"),
            // What a terminal would obey is not shown.
            ("- level: \"a\u{1b}[2J\"", "   4 | - level: \"a\u{fffd}[2J\"\n"),
            (
                "- {level: None,\tverb: [get]}",
                "   4 | - {level: None,\tverb: [get]}\n     |                \t^^^^\n",
            ),
        ] {
            let one = checked("p", rules);
            let shown = one.findings.first().map(|found| excerpt(&one.text, found));
            assert!(shown.as_ref().is_some_and(|shown| shown.starts_with(expected)), "{rules}: {shown:?}");
        }
        let one = checked("p", &format!("- {{level: None, users: [\"{long}\"], verb: [get]}}"));
        let shown = excerpt(&one.text, &one.findings[0]);
        let lines: Vec<_> = shown.lines().map(|line| line.chars().collect::<Vec<_>>()).collect();
        let at = lines[1].iter().position(|c| *c == '^').unwrap();
        assert_eq!(lines[0][at..at + 4].iter().collect::<String>(), "verb", "{shown}");
        assert!(lines[0].len() <= WIDTH + 7, "{shown}");
    }

    #[test]
    fn what_is_no_text_has_no_excerpt() {
        for text in ["", "\n", "a"] {
            for (line, column) in [(1, 1), (2, 9), (3, 1)] {
                let position = Position { line, column };
                let end = Some(Position { line, column: column + 5 });
                let finding = Finding { position, end, ..checked("p", "- level: x").findings.remove(0) };
                let shown = excerpt(text, &finding);
                assert_eq!(shown.is_empty(), !(text == "a" && line == 1), "{text:?} {position}: {shown}");
            }
        }
    }

    #[test]
    fn what_means_something_to_github_is_escaped() {
        let line = commands(&checked("a,b:c%.yaml", "- {level: None, users: [a], \"x%\\r\\n:,\": 1}")).concat();
        assert!(line.starts_with("::error file=a%2Cb%3Ac%25.yaml,line=4,col=29,endLine=4,endColumn="), "{line}");
        assert!(line.contains(",title=PA009 unknown-field::unknown field \"rules[0].x%25"), "{line}");
        assert_eq!((line.matches('\n').count(), line.ends_with('\n')), (1, true), "{line}");
        // A place of several lines has no columns.
        let line = commands(&checked("p", "- level: None\n  users: [a]\n- level: None\n")).concat();
        assert!(line.starts_with("::warning file=p,line=4,endLine=5,title=PA104 records-nothing::"), "{line}");
    }

    #[test]
    fn sarif_has_every_rule_and_each_place() {
        let log =
            sarif(&[checked("a b/\u{e9}.yaml", "- level: x\n"), checked("/p", "- verbs: []\n  level: None\n")]);
        let run = &log["runs"][0];
        assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), KINDS.len());
        for result in run["results"].as_array().unwrap() {
            let rule = &run["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
            assert_eq!(
                (&rule["id"], &rule["defaultConfiguration"]["level"]),
                (&result["ruleId"], &result["level"])
            );
        }
        let place = &run["results"][0]["locations"][0]["physicalLocation"];
        let region = json!({"startLine": 4, "startColumn": 10, "endLine": 4, "endColumn": 11});
        assert_eq!((&place["artifactLocation"]["uri"], &place["region"]), (&json!("a%20b/%C3%A9.yaml"), &region));
        assert_eq!(run["artifacts"][1]["location"]["uri"], "file:///p");
    }
}
