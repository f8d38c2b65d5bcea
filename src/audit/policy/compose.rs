//! Puts a policy together of a base and fragments. A fragment is a policy of its own; its rules come before those of the
//! base, or behind them if it says so.

use std::fmt::{self, Write as _};

use super::super::version::Version;
use super::cover::covers;
use super::findings::{Checked, Finding, Id, Report, lines};
use super::lint::{check_as, check_part, is_about_the_whole};
use super::read::{Reading, parse};
use super::{Policy, Rule, Word};
use crate::yaml::fields::{Severity, likely};
use crate::yaml::scalar::quote;
use crate::yaml::{Node, Position};

/// The prefix of the annotations that a fragment may have.
const PREFIX: &str = "kube-audit-bootstrap/";

/// The annotation that says where the rules of a fragment go, and its values.
const POSITION: &str = "kube-audit-bootstrap/position";
const POSITIONS: [&str; 2] = ["before", "after"];

/// A text, and where it is from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// A path or a profile, for messages.
    pub name: String,
    pub text: String,
}

/// What a policy is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    pub base: Source,
    /// In the order of their names.
    pub fragments: Vec<Source>,
    /// What was left alone beside them, as warnings.
    pub left_alone: Vec<String>,
    /// What the comments of the composed policy call the base, if that is not its name.
    pub label: Option<&'static str>,
}

/// Where a rule of a composed policy is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// A path or a profile.
    pub name: String,
    /// The number of the rule there, from 1.
    pub number: usize,
    pub position: Position,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}, rule {}", self.name, self.position, self.number)
    }
}

/// A composed policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// Without fragments, the text of the base. The same sources always make the same text.
    pub text: String,
    /// One for each rule. Empty without fragments.
    pub origins: Vec<Origin>,
    /// The sources, with what is legal in them, but probably a mistake.
    pub checked: Vec<Checked>,
    /// What was left alone beside them, as warnings.
    pub left_alone: Vec<String>,
}

impl Composed {
    /// All warnings, as lines.
    pub fn warnings(&self) -> Vec<String> {
        [self.left_alone.clone(), lines(&self.checked, Severity::Warning)].concat()
    }
}

impl Sources {
    /// A policy without fragments.
    pub fn of(name: &str, text: &str) -> Sources {
        Sources { base: Source { name: name.to_owned(), text: text.to_owned() }, ..Sources::default() }
    }

    /// A warning that scanners which read the policy of a profile don't pass it with these fragments.
    pub fn tell_of_scanners(&self) -> Option<String> {
        let is_before =
            |fragment: &Source| place(&fragment.text, &mut Report::new(&fragment.text)) == Place::Before;
        let (scanners, advice) = match self.base.name.as_str() {
            "profile cis" if self.fragments.iter().any(is_before) => {
                ("want the first rules to be those of CIS 3.2.2", "let the fragments come after")
            }
            "profile stig" if !self.fragments.is_empty() => {
                ("want exactly one rule (V-242403)", "remove the fragments")
            }
            _ => return None,
        };
        Some(format!(
            "{}: with fragments, scanners that read the policy no longer pass it, because they {scanners}; {advice}, or \
             choose another profile",
            self.base.name
        ))
    }

    /// The policy that the sources make, for an API server of that version. The reading is of a base without fragments.
    ///
    /// # Errors
    ///
    /// The sources with their faults, and with what else is found in them.
    pub fn compose(&self, version: Option<Version>, reading: Reading) -> Result<Composed, Vec<Checked>> {
        let left_alone = self.left_alone.clone();
        if self.fragments.is_empty() {
            let checked = vec![self.base.checked(check_as(&self.base.text, version, reading).1)];
            return match checked.iter().all(Checked::accepted) {
                true => Ok(Composed { text: self.base.text.clone(), origins: Vec::new(), checked, left_alone }),
                false => Err(checked),
            };
        }
        let sources = || self.fragments.iter().map(|fragment| (fragment, false)).chain([(&self.base, true)]);
        let mut parts = Vec::new();
        let mut checked = Vec::new();
        for (source, is_base) in sources() {
            let mut report = Report::new(&source.text);
            let place = if is_base { Place::Base } else { place(&source.text, &mut report) };
            if let Some(policy) = parse(&source.text, version).0.filter(|_| !report.failed()) {
                parts.push(Part { place, source, rules: standalone(policy) });
            }
            checked.push((source, report.findings));
        }
        if parts.len() < checked.len() {
            let with_rest = |(source, mut findings): (&Source, Vec<Finding>)| {
                findings.extend(check_part(&source.text, version, &[]));
                findings.sort_by_key(|finding| finding.position);
                source.checked(findings)
            };
            return Err(checked.into_iter().map(with_rest).collect());
        }
        // Fragments of one place stay in the order of their names.
        parts.sort_by_key(|part| part.place);
        let text = written(&parts, self.label);
        let origins: Vec<_> =
            parts.iter().flat_map(|part| (0..part.rules.len()).map(|at| part.origin(at))).collect();
        let (policy, findings) = check_as(&text, version, Reading::Strict);
        let Some(policy) = policy.filter(|policy| policy.rules.len() == origins.len()) else {
            // Such as one that is too long.
            let of_whole = findings.into_iter().take(1).map(|finding| Finding {
                position: Position::START,
                end: None,
                message: format!("with all fragments, {}; remove rules", finding.message),
                ..finding
            });
            return Err(vec![self.base.checked(of_whole.collect())]);
        };
        let mut start = 0;
        let mut checked = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let mut of_whole = hidden(part, &parts[..number]);
            for finding in findings.iter().filter(|finding| is_about_the_whole(finding.id)) {
                let after = policy.rules.iter().take_while(|rule| rule.position <= finding.position).count();
                let whole = after.saturating_sub(1);
                if let Some(at) = whole.checked_sub(start).filter(|at| *at < part.rules.len()) {
                    of_whole.push((at, finding.id, in_source(&finding.message, whole, at)));
                }
            }
            checked.push(part.source.checked(check_part(&part.source.text, version, &of_whole)));
            start += part.rules.len();
        }
        Ok(Composed { text, origins, checked, left_alone })
    }
}

/// The message about a rule of the whole policy, for the rule in its source.
fn in_source(message: &str, whole: usize, at: usize) -> String {
    match message.strip_prefix(&format!("rules[{whole}]")) {
        Some(rest) => format!("rules[{at}]{rest}"),
        None => format!("with all fragments, {message}"),
    }
}

impl Source {
    fn checked(&self, findings: Vec<Finding>) -> Checked {
        Checked { name: self.name.clone(), text: self.text.clone(), findings }
    }
}

/// Where the rules of a source go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Before,
    Base,
    After,
}

/// The rules of one source.
struct Part<'s> {
    place: Place,
    source: &'s Source,
    rules: Vec<Rule>,
}

impl Part<'_> {
    fn origin(&self, at: usize) -> Origin {
        let position = self.rules.get(at).map_or(Position::START, |rule| rule.position);
        Origin { name: self.source.name.clone(), number: at + 1, position }
    }
}

/// Where a fragment says that its rules go.
fn place(text: &str, out: &mut Report<'_>) -> Place {
    let documents = crate::yaml::parse(text).unwrap_or_default();
    let annotations = documents.first().and_then(|document| document.root.at(&["metadata", "annotations"]));
    let mut place = Place::Before;
    for (key, value) in annotations.map(Node::entries).unwrap_or_default() {
        let Some(name) = key.scalar().filter(|name| name.starts_with(PREFIX)) else { continue };
        if name != POSITION {
            let message = format!("unknown annotation {name:?}; did you mean {POSITION:?}?");
            out.add(Id::UnknownField, key, message);
            continue;
        }
        place = match value.scalar() {
            Some("after") => Place::After,
            Some("before") => Place::Before,
            other => {
                let found = other.unwrap_or_default();
                let hint = match likely(found, &POSITIONS) {
                    Some(likely) => format!("did you mean {likely:?}?"),
                    None => format!("write one of {}", POSITIONS.join(", ")),
                };
                out.add(Id::UnknownValue, value, format!("{POSITION} can't be {found:?}; {hint}"));
                place
            }
        };
    }
    place
}

/// The rules, each with what the policy says for all of them, so that they mean the same in another policy.
fn standalone(policy: Policy) -> Vec<Rule> {
    let Policy { mut rules, omit_stages, omit_managed_fields } = policy;
    for rule in &mut rules {
        // The API server leaves out the stages of both.
        let missing: Vec<_> =
            omit_stages.iter().filter(|stage| !rule.omit_stages.contains(stage)).copied().collect();
        rule.omit_stages.extend(missing);
        if omit_managed_fields {
            rule.omit_managed_fields.get_or_insert(true);
        }
    }
    rules
}

/// The rules that a rule of an earlier source hides, as findings: one for each of these sources.
fn hidden(later: &Part<'_>, before: &[Part<'_>]) -> Vec<(usize, Id, String)> {
    let by_source = before.iter().filter_map(|earlier| {
        let hides = |rule: &Rule| earlier.rules.iter().position(|first| covers(first, rule));
        let found: Vec<_> =
            later.rules.iter().enumerate().filter_map(|(at, rule)| Some((at, hides(rule)?))).collect();
        let &(rule, by) = found.first()?;
        let more = match found.len() {
            1 => String::new(),
            2 => " (and so is another rule of this file)".to_owned(),
            all => format!(" (and so are {} other rules of this file)", all - 1),
        };
        let advice = match later.place {
            Place::After => format!("remove the rule, or its annotation {POSITION}"),
            Place::Before => "rename the fragments to change their order, or remove the rule".to_owned(),
            Place::Base => "if this is not meant, let that rule match less".to_owned(),
        };
        let message = format!(
            "rule {} is never used{more}: {} comes first and matches every request that it matches; {advice}",
            rule + 1,
            earlier.origin(by)
        );
        Some((rule, Id::NeverUsed, message))
    });
    by_source.collect()
}

/// The text of a policy that has the rules of all parts.
fn written(parts: &[Part], label: Option<&str>) -> String {
    let mut out =
        "# kube-audit-bootstrap put this policy together. Edit the files that it names, and run apply.\n\
                   apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n"
            .to_owned();
    for part in parts {
        for (at, rule) in part.rules.iter().enumerate() {
            // A path may hold anything, and a comment ends with its line.
            let shown = |c: char| if c == ' ' || c.is_alphanumeric() || c.is_ascii_graphic() { c } else { '?' };
            let name = label.filter(|_| part.place == Place::Base).unwrap_or(&part.source.name);
            let name: String = name.chars().map(shown).collect();
            let _ = writeln!(out, "# {name}, rule {}", at + 1);
            write_rule(rule, &mut out);
        }
    }
    out
}

fn write_rule(rule: &Rule, out: &mut String) {
    let _ = writeln!(out, "- level: {}", rule.level);
    write_list(out, "  users", &rule.users);
    write_list(out, "  userGroups", &rule.user_groups);
    write_list(out, "  verbs", &rule.verbs);
    if !rule.resources.is_empty() {
        out.push_str("  resources:\n");
    }
    for entry in &rule.resources {
        let _ = writeln!(out, "  - group: {}", quote(&entry.group, false));
        write_list(out, "    resources", &entry.resources);
        write_list(out, "    resourceNames", &entry.resource_names);
    }
    write_list(out, "  namespaces", &rule.namespaces);
    write_list(out, "  nonResourceURLs", &rule.non_resource_urls);
    if !rule.omit_stages.is_empty() {
        out.push_str("  omitStages:\n");
    }
    for stage in &rule.omit_stages {
        let _ = writeln!(out, "  - {stage}");
    }
    if let Some(omit) = rule.omit_managed_fields {
        let _ = writeln!(out, "  omitManagedFields: {omit}");
    }
}

/// Writes a list with its name, which is indented. An empty list means the same as none.
fn write_list(out: &mut String, name: &str, words: &[Word]) {
    if words.is_empty() {
        return;
    }
    let indent = name.len() - name.trim_start().len();
    let _ = writeln!(out, "{name}:");
    for word in words {
        let _ = writeln!(out, "{:indent$}- {}", "", quote(&word.text, false));
    }
}

#[cfg(test)]
mod tests {
    use super::super::evaluate::evaluate;
    use super::*;

    const HEAD: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";
    const AFTER: &str = "metadata: {annotations: {kube-audit-bootstrap/position: after}}\n";

    fn sources(base: &str, fragments: &[(&str, &str)]) -> Sources {
        let fragments = fragments
            .iter()
            .map(|(name, text)| Source { name: (*name).to_owned(), text: format!("{HEAD}{text}") })
            .collect();
        Sources { fragments, ..Sources::of("base", &format!("{HEAD}{base}")) }
    }

    #[test]
    fn fragments_come_before_the_base_or_behind_it_and_keep_what_holds_for_all_their_rules() {
        let composed = sources(
            "omitStages: [RequestReceived]\nrules:\n- level: Metadata # all\n  omitStages: [Panic]\n  verbs: [get]\n",
            &[
                ("a", &format!("{AFTER}rules: [{{level: Request}}]\n")),
                (
                    "b",
                    "omitManagedFields: true\nrules:\n- {level: None, users: ['0', system:x]}\n- level: Metadata\n  omitManagedFields: \
                     false\n  resources: [{resources: [pods/*], resourceNames: ['']}, {group: apps}]\n",
                ),
                ("c", "rules: [{level: None, nonResourceURLs: [/healthz*], namespaces: []}, {level: None, namespaces: ['', a]}]"),
            ],
        )
        .compose(None, Reading::Strict)
        .unwrap();
        assert_eq!(
            composed.text,
            "# kube-audit-bootstrap put this policy together. Edit the files that it names, and run apply.\n\
             apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n\
             # b, rule 1\n- level: None\n  users:\n  - \"0\"\n  - \"system:x\"\n  omitManagedFields: true\n\
             # b, rule 2\n- level: Metadata\n  resources:\n  - group: \"\"\n    resources:\n    - \"pods/*\"\n    resourceNames:\n    - \"\"\n  \
             - group: apps\n  omitManagedFields: false\n\
             # c, rule 1\n- level: None\n  nonResourceURLs:\n  - \"/healthz*\"\n\
             # c, rule 2\n- level: None\n  namespaces:\n  - \"\"\n  - a\n\
             # base, rule 1\n- level: Metadata\n  verbs:\n  - get\n  omitStages:\n  - Panic\n  - RequestReceived\n\
             # a, rule 1\n- level: Request\n"
        );
        let origins: Vec<_> = composed.origins.iter().map(ToString::to_string).collect();
        assert_eq!(
            origins,
            [
                "b:5:3, rule 1",
                "b:6:3, rule 2",
                "c:3:9, rule 1",
                "c:3:70, rule 2",
                "base:5:3, rule 1",
                "a:4:9, rule 1"
            ]
        );
    }

    #[test]
    fn without_fragments_the_text_of_the_base_stays() {
        let text = format!("# mine\n{HEAD}rules: [level: Metadata]\n");
        let composed = Sources::of("base", &text).compose(None, Reading::Strict).unwrap();
        assert_eq!(composed.warnings(), [""; 0]);
        assert_eq!((composed.text, composed.origins), (text, Vec::new()));
    }

    /// Each source by itself decides as its part of the composed policy does.
    #[test]
    fn every_rule_of_the_composed_policy_is_the_rule_of_its_source() {
        let parts: Vec<_> = super::super::super::profiles::PROFILES.iter().map(|profile| profile.text).collect();
        for base in &parts {
            let fragments = parts
                .iter()
                .enumerate()
                .map(|(at, text)| Source { name: at.to_string(), text: (*text).to_owned() });
            let sources = Sources { fragments: fragments.collect(), ..Sources::of("base", base) };
            let composed = sources.compose(None, Reading::Strict).unwrap();
            let (policy, findings) = parse(&composed.text, None);
            assert_eq!(findings, []);
            let policy = policy.unwrap();
            let mut expected = Vec::new();
            for text in parts.iter().chain([base]) {
                expected.extend(standalone(parse(text, None).0.unwrap()));
            }
            assert_eq!(policy.rules.len(), expected.len());
            for (ours, theirs) in policy.rules.iter().zip(&expected) {
                assert_eq!(without_positions(ours), without_positions(theirs));
            }
            assert_eq!((policy.omit_stages.len(), policy.omit_managed_fields), (0, false));
        }
    }

    fn without_positions(rule: &Rule) -> String {
        let text = format!("{rule:?}");
        let parts: Vec<_> = text.split("Position {").collect();
        let text = parts[1..].iter().fold(parts[0].to_owned(), |all, part| all + part.split_once('}').unwrap().1);
        let parts: Vec<_> = text.split(" end: ").collect();
        parts[1..]
            .iter()
            .fold(parts[0].to_owned(), |all, part| all + part.trim_start_matches(|c: char| c.is_ascii_digit()))
    }

    #[test]
    fn faults_and_warnings_name_their_file_and_line() {
        let base = "rules: [{level: Metadata}]\n";
        let delete = "rules: [{level: None, verbs: [delete]}]\n";
        let quiet = "rules: [{level: None, users: [a], nonResourceURLs: [/x]}]\n";
        for (base, fragments, expected) in [
            (base, vec![("f", quiet)], ""),
            (base, vec![("f", "rules: [{level: Nix}]")], "f:3:17: rules[0].level can't be \"Nix\""),
            (base, vec![("f", "rules: [{level: None, user: [a]}]")], "f:3:23: unknown field"),
            (base, vec![("f", "")], "f:1:1: rules are missing"),
            ("x: 1\n", vec![("f", "x: 2\n")], "f:3:1: unknown field \"x\""),
            (
                base,
                vec![(
                    "f",
                    "metadata: {annotations: {kube-audit-bootstrap/position: behind}}\nrules: [{level: None}]",
                )],
                "f:3:57: kube-audit-bootstrap/position can't be \"behind\"; write one of before, after",
            ),
            (
                base,
                vec![(
                    "f",
                    "metadata: {annotations: {kube-audit-bootstrap/place: after}}\nrules: [{level: None}]",
                )],
                "f:3:26: unknown annotation \"kube-audit-bootstrap/place\"",
            ),
            (
                base,
                vec![(
                    "f",
                    "metadata: {annotations: {x/y: after}}\nrules: [{level: None, nonResourceURLs: [/x]}]",
                )],
                "",
            ),
            // What a fragment hides of the base.
            (
                "rules: [{level: None, users: [a]}, {level: None, users: [b]}, {level: Metadata}]",
                vec![("f", "rules: [{level: Metadata, verbs: [get]}, {level: Request, users: [a, b]}]")],
                "base:3:9: rule 1 is never used (and so is another rule of this file): f:3:42, rule 2 comes first and \
                 matches every request that it matches; if this is not meant, let that rule match less",
            ),
            // What an earlier fragment hides of a fragment.
            (
                base,
                vec![("f", "rules: [{level: None, users: [a, b]}]"), ("g", quiet)],
                "g:3:9: rule 1 is never used: f:3:9, rule 1 comes first and matches every request that it matches; rename",
            ),
            // What the base hides of a fragment.
            (
                base,
                vec![(
                    "f",
                    "metadata: {annotations: {kube-audit-bootstrap/position: after}}\nrules: [{level: None, users: [a]}]",
                )],
                "f:4:9: rule 1 is never used: base:3:9, rule 1 comes first and matches every request that it matches; \
                 remove the rule, or its annotation kube-audit-bootstrap/position",
            ),
            // A comment at that rule allows it.
            (
                base,
                vec![(
                    "f",
                    "metadata: {annotations: {kube-audit-bootstrap/position: after}}\nrules:\n# kube-audit-bootstrap: allow \
                     PA102\n- {level: None, users: [a]}\n",
                )],
                "",
            ),
            // What is said about all rules is said about all rules.
            (
                "rules: [{level: None, nonResourceURLs: [/x]}]",
                vec![(
                    "f",
                    "metadata: {annotations: {kube-audit-bootstrap/position: after}}\nrules: [{level: Metadata}]",
                )],
                "",
            ),
            (base, vec![("f", delete)], "f:3:9: rules[0] drops what an audit log needs: deletes"),
            (
                "rules: [{level: Metadata, users: [x]}, {level: None, verbs: [delete]}, {level: Metadata}]",
                vec![("f", quiet)],
                "base:3:40: rules[1] drops what an audit log needs: deletes",
            ),
            // What an earlier fragment records is not lost.
            (
                base,
                vec![
                    ("e", "rules: [{level: Metadata, verbs: [delete]}]"),
                    ("f", "rules: [{level: None, users: [a], verbs: [delete, head]}]"),
                ],
                "",
            ),
            // A comment allows it, with all fragments and alone.
            (base, vec![("f", &format!("# kube-audit-bootstrap: allow PA121\n{delete}"))], ""),
            (
                base,
                vec![("f", &format!("# kube-audit-bootstrap: allow PA106\n{quiet}"))],
                "f:3:31: there is no PA106",
            ),
            (
                "rules: [{level: None}]",
                vec![("f", quiet)],
                "f:3:9: with all fragments, this policy records nothing",
            ),
            // The findings in a fragment.
            (
                base,
                vec![("f", "rules: [{level: None, verbs: [GET]}]")],
                "f:3:31: rules[0].verbs: no request has \"GET\"",
            ),
        ] {
            let said = match sources(base, &fragments).compose(None, Reading::Strict) {
                Ok(composed) => composed.warnings(),
                Err(checked) => lines(&checked, Severity::Error),
            };
            let is_right = match expected {
                "" => said.is_empty(),
                expected => said.iter().any(|line| line.starts_with(expected)),
            };
            assert!(is_right, "{expected}: {said:#?}");
        }
        let both = sources("x: 1\n", &[("f", "x: 2\n")]).compose(None, Reading::Strict).unwrap_err();
        let both = lines(&both, Severity::Error);
        assert!(both.iter().any(|line| line.starts_with("base:3:1: ")), "{both:?}");
    }

    #[test]
    fn a_name_cannot_leave_its_comment() {
        let sources = Sources {
            fragments: vec![Source {
                name: "a\n\u{2028}\u{85}b ä".to_owned(),
                text: format!("{HEAD}rules: [{{level: None}}]"),
            }],
            ..Sources::of("base", &format!("{HEAD}rules: [{{level: Metadata}}]"))
        };
        let text = sources.compose(None, Reading::Strict).unwrap().text;
        assert!(text.contains("\n# a???b ä, rule 1\n"), "{text}");
        let request = super::super::evaluate::Request {
            user: "a".to_owned(),
            groups: Vec::new(),
            verb: "get".to_owned(),
            target: super::super::evaluate::Target::Url("/".to_owned()),
        };
        assert_eq!(evaluate(&parse(&text, None).0.unwrap(), &request).rule, Some(0));
    }

    #[test]
    fn fragments_that_a_scanner_does_not_pass_are_told() {
        let after = format!("{AFTER}rules: [{{level: Metadata, users: [a]}}]");
        let before = "rules: [{level: Metadata, users: [a]}]";
        for (base, fragment, is_told) in [
            ("profile cis", before, true),
            ("profile cis", &after, false),
            ("profile stig", before, true),
            ("profile stig", &after, true),
            ("profile default", before, false),
        ] {
            let sources = sources("rules: [{level: Metadata}]", &[("f", fragment)]);
            let sources = Sources { base: Source { name: base.to_owned(), ..sources.base }, ..sources };
            let told = sources.tell_of_scanners();
            assert_eq!(told.is_some(), is_told, "{base} {fragment} {told:?}");
        }
    }

    #[test]
    fn a_label_stands_for_a_name_that_may_change() {
        let sources = sources("rules: [{level: Metadata}]", &[("f", "rules: [{level: Metadata, users: [a]}]")]);
        let composed = Sources { label: Some("--policy"), ..sources }.compose(None, Reading::Strict).unwrap();
        assert!(composed.text.contains("\n# f, rule 1\n") && composed.text.contains("\n# --policy, rule 1\n"));
        assert_eq!(composed.origins[1].name, "base");
    }

    #[test]
    fn what_is_too_long_together_is_refused() {
        let long = |name: &str| {
            let rules = format!("- {{level: None, users: [{}]}}\n", "a".repeat(1000)).repeat(900);
            Source { name: name.to_owned(), text: format!("{HEAD}rules:\n{rules}") }
        };
        let sources = Sources {
            fragments: vec![long("f"), long("g")],
            ..Sources::of("base", &format!("{HEAD}rules: [{{level: None}}]"))
        };
        let faults = lines(&sources.compose(None, Reading::Strict).unwrap_err(), Severity::Error);
        assert!(faults.len() == 1 && faults[0].starts_with("base:1:1: with all fragments, "), "{faults:?}");
        assert!(faults[0].ends_with("; remove rules"), "{faults:?}");
    }
}
