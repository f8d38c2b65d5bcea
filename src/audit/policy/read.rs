//! Reads and validates a policy, more strictly than the API server itself.
//!
//! The API server refuses a file for the reasons in `k8s.io/apiserver/pkg/apis/audit/validation`. It only warns in its
//! log about unknown and duplicate fields, and drops them (`pkg/audit/policy/reader.go`). If it drops a misspelt
//! `verb:`, the rule matches every verb. So here such a field is an error, but for [`Reading::AsServed`].

use std::slice;

use super::super::version::Version;
use super::allow::{self, Allow};
use super::findings::{Finding, Id, Place, Report};
use super::{GroupResources, LEVELS, Level, Policy, Rule, STAGES, Scope, Stage, Word};
use crate::yaml::fields::{Decoder, Fault, Severity, brief, join, likely};
use crate::yaml::scalar::MARKS;
use crate::yaml::tree::{HAS_TABS, IS_TEMPLATE};
use crate::yaml::{Document, Node, Position, is_json, parse_lenient};

/// The fields of a rule.
const RULE_FIELDS: [&str; 9] = [
    "level",
    "users",
    "userGroups",
    "verbs",
    "resources",
    "namespaces",
    "nonResourceURLs",
    "omitStages",
    "omitManagedFields",
];

/// The only version of the policy API since Kubernetes 1.24; served since 1.12.
const API_VERSION: &str = "audit.k8s.io/v1";

/// How to take what the API server loads in another way than it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As an error.
    Strict,
    /// As a warning: the policy is what the API server makes of it.
    AsServed,
}

/// Reads and validates the text of a policy file, without the warnings of [`super::lint`]. The findings are in the
/// order of the file. If one of them is an error, there is no policy.
pub fn parse(text: &str, version: Option<Version>) -> (Option<Policy>, Vec<Finding>) {
    parse_as(text, version, Reading::Strict)
}

/// As [`parse`], for a [`Reading`].
pub fn parse_as(text: &str, version: Option<Version>, reading: Reading) -> (Option<Policy>, Vec<Finding>) {
    let (policy, report, _) = read(text, version, reading);
    (policy, report.findings)
}

/// As [`parse_as`], with the report that further findings can be added to, and the comments that allow some.
pub(super) fn read(
    text: &str,
    version: Option<Version>,
    reading: Reading,
) -> (Option<Policy>, Report<'_>, Vec<Allow>) {
    let (decoder, allows) = (Decoder::default(), Vec::new());
    let mut reader = Reader { decoder, report: Report::new(text), allows, version, reading };
    let policy = reader.file(text);
    let Reader { decoder, mut report, allows, .. } = reader;
    for found in decoder.findings {
        let id = if found.fault == Some(Fault::Template) { Id::Template } else { Id::WrongType };
        report.add(id, Place { position: found.position, end: found.end }, found.message);
    }
    report.findings.sort_by_key(|finding| finding.position);
    (policy.filter(|_| !report.failed()), report, allows)
}

struct Reader<'t> {
    /// Has what the decoder itself finds.
    decoder: Decoder,
    report: Report<'t>,
    allows: Vec<Allow>,
    version: Option<Version>,
    reading: Reading,
}

impl Reader<'_> {
    /// Adds what the API server loads all the same.
    fn loaded(&mut self, id: Id, place: impl Into<Place>, message: impl Into<String>) {
        let severity = if self.reading == Reading::Strict { Severity::Error } else { Severity::Warning };
        self.report.add_as(severity, id, place, message);
    }

    fn file(&mut self, text: &str) -> Option<Policy> {
        self.json(text);
        let (documents, repeated) = match parse_lenient(text) {
            Ok(read) => read,
            Err(fault) => {
                let is_template = MARKS.iter().chain(&["{#"]).any(|mark| text.contains(mark));
                let id = match () {
                    () if is_template && fault.message.contains(IS_TEMPLATE) => Id::Template,
                    () if fault.message.ends_with(HAS_TABS) => Id::Tabs,
                    () => Id::NotYaml,
                };
                self.report.add(id, fault.position, fault.message);
                return None;
            }
        };
        self.allows = allow::read(text, &documents);
        // Go's reader of JSON puts the values of a field that is there twice together.
        let is_loaded = !is_json(text);
        for fault in repeated {
            let end = documents.iter().find_map(|document| end_of_key(&document.root, fault.position));
            let place = Place { position: fault.position, end };
            match is_loaded {
                true => self.loaded(Id::Repeated, place, fault.message),
                false => self.report.add(Id::Repeated, place, fault.message),
            }
        }
        let first = self.only(&documents)?;
        let before = self.report.findings.len();
        let policy = self.policy(first);
        if policy.is_none() && before > 0 {
            // It is no policy at all, and an error tells already what to mend first.
            self.report.findings.truncate(before);
        }
        policy
    }

    /// The document that is the policy.
    fn only<'d>(&mut self, documents: &'d [Document]) -> Option<&'d Node> {
        let (first, rest) = match documents.split_first() {
            Some((first, rest)) if !first.root.is_null() => (&first.root, rest),
            Some((first, [_, ..])) => {
                let message = "the first document is empty, and the API server reads only the first; remove the \
                               \"---\" after it";
                self.report.add(Id::Documents, first.root.position, message);
                return None;
            }
            _ => {
                let message =
                    format!("the file is empty; write apiVersion: {API_VERSION}, kind: Policy and rules");
                self.report.add(Id::Documents, Position::START, message);
                return None;
            }
        };
        if let Some(second) = rest.iter().find(|document| !document.root.is_null()) {
            let message =
                "there is a second document, but the API server reads only the first; keep one policy in the file";
            self.loaded(Id::Documents, second.root.position, message);
        }
        Some(first)
    }

    /// Checks a file that begins with a brace: the API server reads it only as JSON, never as YAML
    /// (`k8s.io/apimachinery/pkg/runtime/serializer/json`, `RecognizesData`).
    fn json(&mut self, text: &str) {
        // A template is no JSON, and its fault as YAML says so.
        let is_template = ["{{", "{%"].iter().any(|mark| text.trim_start().starts_with(mark));
        if is_json(text)
            && !is_template
            && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text)
        {
            let position = Position { line: error.line().max(1), column: error.column().max(1) };
            let problem = error.to_string();
            let problem = problem.split(" at line ").next().unwrap_or_default();
            let message = format!(
                "the file begins with {{, so the API server reads it as JSON, but it is not valid JSON: {problem}; \
                 write JSON, or YAML without these braces"
            );
            self.report.add(Id::NotJson, position, message);
        }
    }

    fn policy(&mut self, node: &Node) -> Option<Policy> {
        if !self.is_policy(node) {
            return None;
        }
        let mut policy = Policy::default();
        let mut rules = None;
        let known = ["apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"];
        for (name, value) in self.mapping(node, "", &known) {
            match name {
                "metadata" => self.metadata(value),
                "rules" => rules = Some(value),
                "omitStages" => policy.omit_stages = self.stages(value, "omitStages"),
                "omitManagedFields" => {
                    policy.omit_managed_fields =
                        self.omit_managed_fields(value, "omitManagedFields").unwrap_or(false);
                }
                _ => {}
            }
        }
        match rules.filter(|rules| !rules.is_null()) {
            None => {
                let position = rules.map_or(node.position, |rules| rules.position);
                let message = "rules are missing; write at least one rule, such as level: Metadata";
                self.report.add(Id::Missing, position, message);
            }
            Some(list) => {
                let items = self.decoder.list(list, "rules");
                if items.is_empty() && list.items().is_some() {
                    let message =
                        "there are no rules, and the API server refuses such a policy; write at least one rule";
                    self.report.add(Id::Missing, list, message);
                }
                for (i, item) in items.iter().enumerate() {
                    policy.rules.extend(self.rule(item, &format!("rules[{i}]")));
                }
            }
        }
        Some(policy)
    }

    /// Whether apiVersion and kind are close enough to a policy's to check the rest.
    fn is_policy(&mut self, node: &Node) -> bool {
        if node.pairs().is_none() {
            self.decoder.wrong_type(node, "", "a policy: a mapping of fields");
            return false;
        }
        if let Some(kind) = self.header(node, "kind", "Policy") {
            let found = brief(&kind.text);
            if likely(&kind.text, &["Policy"]).is_none() {
                let message =
                    format!("this is not an audit policy: its kind is {found}, not Policy; name another file");
                self.report.add(Id::NotPolicy, &kind, message);
                return false;
            }
            let message = format!("kind must be Policy, not {found}; write kind: Policy");
            self.report.add(Id::ApiVersion, &kind, message);
        }
        let Some(version) = self.header(node, "apiVersion", API_VERSION) else {
            return true;
        };
        let found = brief(&version.text);
        let known = version.text.strip_prefix("audit.k8s.io/");
        let is_typo = likely(&version.text, &[API_VERSION]).is_some();
        let message = match known {
            Some("v1alpha1" | "v1beta1") => format!(
                "apiVersion {found} was removed in Kubernetes 1.24; write {API_VERSION}, which every version \
                 since 1.12 reads"
            ),
            _ if known.is_some() || is_typo => format!("unknown apiVersion {found}; write {API_VERSION}"),
            _ => format!(
                "this is not an audit policy: its apiVersion is {found}, not {API_VERSION}; name another file"
            ),
        };
        let is_close = known.is_some() || is_typo;
        self.report.add(if is_close { Id::ApiVersion } else { Id::NotPolicy }, &version, message);
        is_close
    }

    /// The value of a field that must be `expected`, if it is something else. A missing field is an error.
    fn header(&mut self, node: &Node, name: &str, expected: &str) -> Option<Word> {
        match node.get(name) {
            Some(value) if !value.is_null() && value.scalar() != Some("") => {
                let text = self.decoder.string(value, name)?;
                (text != expected).then_some(word(text, value))
            }
            other => {
                let position = other.map_or(node.position, |value| value.position);
                let message = format!("{name} is missing; write {name}: {expected}");
                // The API server takes a document without a kind for a policy.
                match name {
                    "kind" => self.loaded(Id::Missing, position, message),
                    _ => self.report.add(Id::Missing, position, message),
                }
                None
            }
        }
    }

    fn rule(&mut self, node: &Node, path: &str) -> Option<Rule> {
        let mut level = None;
        let mut urls = None;
        let mut rule = Rule {
            position: node.position,
            end: node.end,
            level: Level::None,
            users: Vec::new(),
            user_groups: Vec::new(),
            verbs: Vec::new(),
            resources: Vec::new(),
            namespaces: Vec::new(),
            non_resource_urls: Vec::new(),
            omit_stages: Vec::new(),
            omit_managed_fields: None,
        };
        for (name, value) in self.mapping(node, path, &RULE_FIELDS) {
            let path = join(path, name);
            match name {
                "level" => level = Some(value),
                "users" => rule.users = self.selector(value, &path),
                "userGroups" => rule.user_groups = self.selector(value, &path),
                "verbs" => rule.verbs = self.selector(value, &path),
                "namespaces" => {
                    self.warn_if_empty(value, &path);
                    // "" matches requests outside of namespaces.
                    rule.namespaces = self.words(value, &path, true);
                }
                "nonResourceURLs" => {
                    urls = Some(value);
                    rule.non_resource_urls = self.selector(value, &path);
                    self.urls(&rule.non_resource_urls, &path);
                }
                "resources" => {
                    self.warn_if_empty(value, &path);
                    for (i, item) in self.decoder.list(value, &path).iter().enumerate() {
                        rule.resources.extend(self.group_resources(item, &format!("{path}[{i}]")));
                    }
                }
                "omitStages" => rule.omit_stages = self.stages(value, &path),
                "omitManagedFields" => rule.omit_managed_fields = self.omit_managed_fields(value, &path),
                _ => {}
            }
        }
        if let Some(urls) = urls
            && !rule.non_resource_urls.is_empty()
            && rule.scope() == Scope::Resources
        {
            let message =
                "a rule can't have nonResourceURLs together with resources or namespaces; split it into two rules";
            self.report.add(Id::TwoScopes, urls, format!("{path}: {message}"));
        }
        let path = join(path, "level");
        rule.level = match level.filter(|level| !level.is_null()) {
            Some(node) => {
                let text = self.decoder.string(node, &path)?;
                self.one_of(word(text, node), &path, &LEVELS)?
            }
            None => {
                let position = level.map_or(node.position, |level| level.position);
                let message = format!("{path} is missing; write one of {}", names(&LEVELS));
                // A rule of a wrong type has no fields, and that error is reported already.
                if node.pairs().is_some() || node.is_null() {
                    self.report.add(Id::Missing, position, message);
                }
                return None;
            }
        };
        Some(rule)
    }

    fn group_resources(&mut self, node: &Node, path: &str) -> Option<GroupResources> {
        if node.is_null() {
            let message =
                "is an empty entry, which stands for the whole core group; write group: \"\", or remove it";
            self.loaded(Id::EmptyValue, node, format!("{path} {message}"));
            return Some(GroupResources { position: node.position, end: node.end, ..GroupResources::default() });
        }
        let mut entry = GroupResources { position: node.position, end: node.end, ..GroupResources::default() };
        let (mut resources, mut names) = (None, None);
        for (name, value) in self.mapping(node, path, &["group", "resources", "resourceNames"]) {
            let path = join(path, name);
            match name {
                "group" => {
                    (entry.position, entry.end) = (value.position, value.end);
                    entry.group = self.decoder.string(value, &path).unwrap_or_default();
                    if let Some(fault) = self.group_fault(&entry.group) {
                        let id = if entry.group == "*" { Id::TooNew } else { Id::GroupForm };
                        self.report.add(id, value, format!("{path} {} {fault}", brief(&entry.group)));
                    }
                }
                "resources" => {
                    resources = value.items();
                    entry.resources = self.selector(value, &path);
                }
                // "" matches requests without a name, such as a list.
                "resourceNames" => {
                    names = Some(value);
                    entry.resource_names = self.words(value, &path, true);
                }
                _ => {}
            }
        }
        if let Some(names) = names
            && resources.is_none_or(<[_]>::is_empty)
            && names.items().is_some_and(|items| !items.is_empty())
        {
            let message =
                format!("{path}.resourceNames needs resources; name the resources that have these names");
            self.report.add(Id::NamesAlone, names, message);
        }
        Some(entry)
    }

    /// What is wrong with the name of an API group, and what to write; `None` if it is right.
    fn group_fault(&self, group: &str) -> Option<String> {
        if group == "*" {
            return match self.version {
                Some(version) if version >= Version::new(36) => None,
                Some(version) => Some(format!(
                    "stands for every group from Kubernetes 1.36 on, and this is {version}; name the groups, or \
                     leave resources out"
                )),
                None => Some(
                    "stands for every group from Kubernetes 1.36 on, and earlier versions refuse it; \
                     name the groups, or leave resources out"
                        .to_owned(),
                ),
            };
        }
        if group.is_empty() || is_dns_subdomain(group) {
            return None;
        }
        Some(match group.split_once('/') {
            // Kubernetes writes the core group's version without a group.
            Some(("core" | "", _)) => "must be a group without its version: write \"\", the core group".to_owned(),
            Some((name, _)) if is_dns_subdomain(name) => {
                format!("must be a group without its version: write {name:?}")
            }
            _ if is_dns_subdomain(&group.to_ascii_lowercase()) => {
                format!("must be in lower case: write {:?}", group.to_ascii_lowercase())
            }
            _ => {
                "is not an API group; write a DNS name such as apps or rbac.authorization.k8s.io, or \"\" for the \
                  core group"
                    .to_owned()
            }
        })
    }

    fn urls(&mut self, urls: &[Word], path: &str) {
        for (i, url) in urls.iter().enumerate().filter(|(_, url)| url.text != "*") {
            let found = brief(&url.text);
            if !url.text.starts_with('/') {
                self.report.add(Id::UrlForm, url, format!("{path}[{i}] {found} must begin with \"/\""));
            }
            if let Some((plain, _)) = url.text.split_once(['?', '#']) {
                let message = format!("{path}[{i}] {found} has a query, and no path has one; write {plain:?}");
                self.report.add_as(Severity::Warning, Id::UrlForm, url, message);
            }
            if url.text.strip_suffix('*').unwrap_or(&url.text).contains('*') {
                self.report.add(Id::UrlForm, url, format!("{path}[{i}] {found} can have a \"*\" only at its end"));
            }
        }
    }

    fn omit_managed_fields(&mut self, node: &Node, path: &str) -> Option<bool> {
        if let Some(version) = self.version.filter(|version| *version < Version::new(23)) {
            let message =
                format!("{path} needs Kubernetes 1.23, and this is {version}, which ignores it; remove it");
            self.report.add(Id::TooNew, node, message);
        }
        self.decoder.boolean(node, path)
    }

    fn stages(&mut self, node: &Node, path: &str) -> Vec<Stage> {
        let words = self.words(node, path, false);
        let words = words.into_iter().filter(|word| !is_placeholder(&word.text));
        words.filter_map(|word| self.one_of(word, path, &STAGES)).collect()
    }

    /// The value that a word names. Upper and lower case are different.
    fn one_of<T: Copy>(&mut self, word: Word, path: &str, known: &[(&str, T)]) -> Option<T> {
        let found = known.iter().find(|(name, _)| *name == word.text).map(|(_, value)| *value);
        if found.is_none() && is_placeholder(&word.text) {
            let message = format!("{path} {} is a placeholder of a template; fill it in", brief(&word.text));
            self.report.add(Id::Template, &word, message);
        } else if found.is_none() {
            let hint = match likely(&word.text, &known.iter().map(|(name, _)| *name).collect::<Vec<_>>()) {
                Some(likely) => format!("did you mean {likely}?"),
                None => format!("write one of {}", names(known)),
            };
            let message = format!("{path} can't be {}; {hint}", brief(&word.text));
            self.report.add(Id::UnknownValue, &word, message);
        }
        found
    }

    /// A list of strings that limits what a rule matches.
    fn selector(&mut self, node: &Node, path: &str) -> Vec<Word> {
        self.warn_if_empty(node, path);
        self.words(node, path, false)
    }

    fn warn_if_empty(&mut self, node: &Node, path: &str) {
        if node.is_null() || node.items().is_some_and(|items| items.is_empty()) {
            let message = format!(
                "{path} is empty, which means the same as no such field; remove it, or name what to match"
            );
            self.report.add(Id::EmptyList, node, message);
        }
    }

    /// A list of strings. Go's decoder reads a null in such a list as an empty string, which is never meant.
    fn words(&mut self, node: &Node, path: &str, may_be_empty: bool) -> Vec<Word> {
        let mut words = Vec::new();
        for (i, item) in self.decoder.list(node, path).iter().enumerate() {
            let path = format!("{path}[{i}]");
            let message = match self.decoder.string(item, &path) {
                Some(text) if !text.is_empty() || may_be_empty => {
                    if is_placeholder(&text) {
                        let found = brief(&text);
                        let message = format!("{path} {found} is a placeholder of a template; fill it in");
                        self.loaded(Id::Template, item, message);
                    }
                    words.push(word(text, item));
                    continue;
                }
                None if !item.is_null() => continue,
                _ if may_be_empty => {
                    format!("{path} is null; write \"\" if you mean an empty string, or remove it")
                }
                _ => format!("{path} is empty; remove it"),
            };
            self.loaded(Id::EmptyValue, item, message);
            if self.reading == Reading::AsServed {
                words.push(word(String::new(), item));
            }
        }
        words
    }

    /// The fields of a mapping. The error about an unknown field also says what the API server would do with it.
    fn mapping<'n>(&mut self, node: &'n Node, path: &str, known: &[&str]) -> Vec<(&'n str, &'n Node)> {
        let before = self.decoder.findings.len();
        let fields = self.decoder.mapping(node, path, known);
        let (unknown, others): (Vec<_>, Vec<_>) =
            self.decoder.findings.drain(before..).partition(|found| found.fault == Some(Fault::Field));
        self.decoder.findings.extend(others);
        for found in unknown {
            let place = Place { position: found.position, end: found.end };
            let name = node.entries().into_iter().find(|(key, _)| key.position == found.position);
            let name = name.and_then(|(key, _)| key.scalar()).unwrap_or_default();
            let mut message = found.message;
            if MARKS.iter().any(|mark| name.contains(mark)) {
                self.report.add(Id::Template, place, format!("{message}; {IS_TEMPLATE}"));
                continue;
            }
            let stop = if message.ends_with('?') { "" } else { "." };
            let mut id = Id::UnknownField;
            if path.contains(".resources[") && RULE_FIELDS.contains(&name) {
                id = Id::MisplacedField;
                message.push_str(&format!("; {name} is a field of the rule, so write it beside its resources"));
            }
            let rule = if path.starts_with("rules") { ", and the rule could match more than it says" } else { "" };
            let drops = if self.reading == Reading::Strict { "would drop" } else { "drops" };
            message.push_str(&format!("{stop} The API server {drops} it with only a warning in its log{rule}"));
            self.loaded(id, place, message);
        }
        self.merges(node);
        fields
    }

    /// YAML readers disagree whether a field or a merge key wins, so a merge must bring in only new fields.
    fn merges(&mut self, node: &Node) {
        let pairs = node.pairs().unwrap_or_default();
        let mut fields = pairs.iter().filter(|(key, _)| !key.is_merge()).count();
        for (key, value) in pairs.iter().filter(|(key, _)| key.is_merge()) {
            let sources = value.items().unwrap_or(slice::from_ref(value));
            fields += sources.iter().map(|source| source.entries().len()).sum::<usize>();
            if fields > node.entries().len() {
                let message = "<< brings in a field that is already there; write the field once";
                self.loaded(Id::Repeated, key, message);
                return;
            }
        }
    }

    /// Checks ObjectMeta, which has no effect in a policy. But the API server doesn't start if a field has the wrong
    /// type, and drops a field that it doesn't know.
    fn metadata(&mut self, node: &Node) {
        const TEXTS: [&str; 6] = ["name", "generateName", "namespace", "selfLink", "uid", "resourceVersion"];
        const OTHERS: [&str; 9] = [
            "labels",
            "annotations",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
            "finalizers",
            "ownerReferences",
            "managedFields",
        ];
        for (name, value) in self.mapping(node, "metadata", &[&TEXTS[..], &OTHERS[..]].concat()) {
            let path = join("metadata", name);
            match name {
                "labels" | "annotations" => {
                    if value.pairs().is_none() && !value.is_null() {
                        self.decoder.wrong_type(value, &path, "a mapping of strings");
                    }
                    self.merges(value);
                    for (key, value) in value.entries() {
                        self.decoder.string(value, &join(&path, key.scalar().unwrap_or_default()));
                    }
                }
                _ if TEXTS.contains(&name) => {
                    self.decoder.string(value, &path);
                }
                // Tools that write Kubernetes objects leave such nulls behind.
                _ if value.is_null() => {}
                _ => self.report.add(Id::Useless, value, format!("{path} has no effect in a policy; remove it")),
            }
        }
    }
}

fn word(text: String, node: &Node) -> Word {
    Word { text, position: node.position, end: node.end }
}

/// The byte offset after the key at a position.
fn end_of_key(node: &Node, position: Position) -> Option<usize> {
    let pairs = node.pairs().unwrap_or_default().iter();
    let items = node.items().unwrap_or_default().iter();
    let own = pairs.clone().find(|(key, _)| key.position == position).map(|(key, _)| key.end);
    own.or_else(|| pairs.map(|(_, value)| value).chain(items).find_map(|below| end_of_key(below, position)))
}

/// Whether a word is a placeholder of a template that nobody filled in.
fn is_placeholder(text: &str) -> bool {
    MARKS.iter().chain(&["$("]).any(|mark| text.contains(mark))
        || (text.len() > 2 && text.starts_with('@') && text.ends_with('@'))
        || (text.contains("%(") && text.ends_with(")s"))
}

fn names<T>(known: &[(&str, T)]) -> String {
    known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Whether a name is a DNS subdomain: `IsDNS1123Subdomain` of `k8s.io/apimachinery/pkg/util/validation`.
pub(super) fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Whether a name is a DNS label, as the name of a namespace is: `IsDNS1123Label`.
pub(super) fn is_dns_label(name: &str) -> bool {
    name.len() <= 63 && is_label(name)
}

fn is_label(label: &str) -> bool {
    label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::super::DEFAULT;
    use super::super::lint::check;
    use super::*;

    const HEAD: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";

    /// The findings in a policy with one rule, at level Metadata, with these fields in a flow mapping.
    fn in_rule(fields: &str, version: Option<Version>) -> String {
        found(&format!("{HEAD}rules:\n- {{level: Metadata, {fields}}}\n"), version)
    }

    fn found(text: &str, version: Option<Version>) -> String {
        let rest = [Id::CatchesNoRest, Id::Bodies, Id::WithoutSubresources];
        let findings = check(text, version).into_iter().filter(|finding| !rest.contains(&finding.id));
        findings.map(|finding| finding.to_string()).collect::<Vec<_>>().join("\n")
    }

    /// Checks that there is exactly one finding, with the expected text; an empty text means no finding.
    fn assert_found(found: &str, expected: &str, what: &str) {
        if expected.is_empty() {
            assert_eq!(found, "", "{what}");
        } else {
            assert!(found.contains(expected) && found.lines().count() == 1, "{what}\n{found}\nnot: {expected}");
        }
    }

    #[test]
    fn the_default_policy_is_faultless() {
        for version in [None, Some(Version::new(19)), Some(Version::new(36))] {
            assert_eq!(check(DEFAULT, version), []);
        }
        let (policy, _) = parse(DEFAULT, None);
        assert_eq!(policy.map(|policy| policy.rules[0].level), Some(Level::Metadata));
    }

    #[test]
    fn levels_and_stages_are_shown_as_they_are_written() {
        assert_eq!(LEVELS.map(|(_, level)| level.to_string()), LEVELS.map(|(name, _)| name));
        assert_eq!(STAGES.map(|(_, stage)| stage.to_string()), STAGES.map(|(name, _)| name));
    }

    #[test]
    fn a_policy_is_read_whole() {
        let text = "
apiVersion: audit.k8s.io/v1
kind: Policy
metadata: {name: site}
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: RequestResponse
  users: [alice]
  userGroups: [ops]
  verbs: [get]
  namespaces: ['']
  omitStages: [Panic]
  omitManagedFields: false
  resources:
  - {group: apps, resources: [deployments], resourceNames: [web]}
- level: None
  nonResourceURLs: [/healthz*]
- level: Metadata
";
        let (policy, findings) = parse(text, None);
        assert_eq!(findings, []);
        let policy = policy.unwrap();
        let texts = |words: &[Word]| words.iter().map(|word| word.text.clone()).collect::<Vec<_>>();
        let rule = &policy.rules[0];
        assert_eq!(
            (policy.omit_stages.as_slice(), policy.omit_managed_fields),
            (&[Stage::RequestReceived][..], true)
        );
        assert_eq!((rule.level, rule.position), (Level::RequestResponse, Position { line: 8, column: 3 }));
        assert_eq!((texts(&rule.users), texts(&rule.user_groups)), (vec!["alice".into()], vec!["ops".into()]));
        assert_eq!((texts(&rule.verbs), texts(&rule.namespaces)), (vec!["get".into()], vec!["".into()]));
        assert_eq!((rule.omit_stages.as_slice(), rule.omit_managed_fields), (&[Stage::Panic][..], Some(false)));
        assert_eq!(rule.resources[0].group, "apps");
        assert_eq!(texts(&rule.resources[0].resources), ["deployments"]);
        assert_eq!(texts(&rule.resources[0].resource_names), ["web"]);
        assert_eq!(texts(&policy.rules[1].non_resource_urls), ["/healthz*"]);
        let scopes = [Scope::Resources, Scope::NonResourceUrls, Scope::Everything];
        assert_eq!(policy.rules.iter().map(Rule::scope).collect::<Vec<_>>(), scopes);
    }

    #[test]
    fn a_file_that_is_no_single_policy_is_refused() {
        let rules = "rules: [{level: Metadata}]\n";
        let v1 = "apiVersion: audit.k8s.io/v1\n";
        for (text, expected) in [
            (String::new(), "1:1: the file is empty"),
            ("# nothing\n---\n".to_owned(), "1:1: the file is empty"),
            (
                format!("{{apiVersion: audit.k8s.io/v1, kind: Policy, {rules}}}").replace('\n', ""),
                "1:2: the file begins with {, so the API server reads it as JSON, but it is not valid JSON: key must be a string;",
            ),
            (
                "\u{2028} {\"apiVersion\": \"audit.k8s.io/v1\", \"kind\": \"Policy\", \"rules\": [{\"level\": \"None\"},]}"
                    .to_owned(),
                "it is not valid JSON: expected value",
            ),
            (
                "\n {\"apiVersion\": \"audit.k8s.io/v1\", \"kind\": \"Policy\", \"rules\": [{\"level\": \"Request\"}]}\n".to_owned(),
                "",
            ),
            (format!("{v1}kind: ''\n{rules}"), "2:7: kind is missing"),
            (format!("{HEAD}rules: [\n"), "4:1: not YAML"),
            (format!("{HEAD}{rules}---\nkind: Pod\n"), "5:1: there is a second document"),
            (format!("---\n---\n{HEAD}{rules}"), "2:1: the first document is empty"),
            (format!("---\n{HEAD}{rules}---\n# the end\n"), ""),
            ("- level: None\n".to_owned(), "1:1: the document must be a policy: a mapping of fields, not a list"),
            (format!("kind: Policy\n{rules}"), "1:1: apiVersion is missing; write apiVersion: audit.k8s.io/v1"),
            (format!("{v1}{rules}"), "1:1: kind is missing; write kind: Policy"),
            (format!("{v1}kind:\n{rules}"), "2:6: kind is missing"),
            (format!("{v1}kind: policy\n{rules}"), "2:7: kind must be Policy, not \"policy\""),
            (
                format!("{v1}kind: EventList\nitems: []\n"),
                "2:7: this is not an audit policy: its kind is \"EventList\"",
            ),
            (
                "apiVersion: v1\nkind: Pod\nspec: {}\n".to_owned(),
                "2:7: this is not an audit policy: its kind is \"Pod\"",
            ),
            (
                "apiVersion: kyverno.io/v1\nkind: Policy\nspec: {}\n".to_owned(),
                "its apiVersion is \"kyverno.io/v1\"",
            ),
            (
                format!("apiVersion: audit.k8s.io/v1beta1\nkind: Policy\n{rules}"),
                "was removed in Kubernetes 1.24; write",
            ),
            (
                format!("apiVersion: audit.k8s.io/v1alpha1\nkind: Policy\n{rules}"),
                "was removed in Kubernetes 1.24",
            ),
            (format!("apiVersion: audit.k8s.io/v2\nkind: Policy\n{rules}"), "1:13: unknown apiVersion"),
            (format!("{HEAD}{rules}rules: [{{level: None}}]\n"), "4:1: the key \"rules\" is there twice, first at 3:1"),
        ] {
            assert_found(&found(&text, Some(Version::new(23))), expected, &text);
        }
    }

    #[test]
    fn rules_and_their_levels_are_required() {
        for (rules, expected) in [
            ("", "1:1: rules are missing"),
            ("rules:\n", "3:7: rules are missing"),
            ("rules: []\n", "3:8: there are no rules"),
            ("rules: {}\n", "3:8: rules must be a list, not a mapping"),
            ("rules:\n- users: [a]\n", "4:3: rules[0].level is missing; write one of None, Metadata"),
            ("rules:\n-\n", "4:2: rules[0].level is missing"),
            ("rules:\n- level: ~\n", "4:10: rules[0].level is missing"),
            ("rules:\n- all\n", "4:3: rules[0] must be a mapping of fields, not a string"),
            ("rules:\n- level: metadata\n", "4:10: rules[0].level can't be \"metadata\"; did you mean Metadata?"),
            (
                "rules:\n- level: Verbose\n",
                "4:10: rules[0].level can't be \"Verbose\"; write one of None, Metadata",
            ),
            ("rules:\n- level: \"\"\n", "4:10: rules[0].level can't be \"\""),
            (
                "rules:\n- level: $(LEVEL)\n",
                "4:10: rules[0].level \"$(LEVEL)\" is a placeholder of a template; fill it in",
            ),
            ("rules:\n- level: no\n", "4:10: rules[0].level must be a string, but no is a boolean"),
            ("rules:\n- level: {{ level }}\n", "4:11: a key must be a word"),
        ] {
            assert_found(&found(&format!("{HEAD}{rules}"), None), expected, rules);
        }
    }

    #[test]
    fn the_policys_own_fields_are_checked() {
        for (fields, expected) in [
            ("omitStages: [RequestReceived, Panic]", ""),
            ("omitStages: []", ""),
            (
                "omitStages: [requestReceived]",
                "5:14: omitStages can't be \"requestReceived\"; did you mean RequestRec",
            ),
            ("omitStages: [~]", "5:14: omitStages[0] is empty"),
            ("omitStages: Panic", "5:13: omitStages must be a list"),
            ("omitManagedFields: yes", ""),
            ("omitManagedFields: \"true\"", "5:20: omitManagedFields must be true or false"),
            ("omitStage: [Panic]", "5:1: unknown field \"omitStage\"; did you mean \"omitStages\"?"),
            ("metadata: {name: site, labels: {a: b}, creationTimestamp: null}", ""),
            ("metadata: {uid: 7}", "5:17: metadata.uid must be a string"),
            ("metadata: {label: {a: b}}", "5:12: unknown field \"metadata.label\"; did you mean \"labels\"?"),
            ("metadata: {ownerReferences: []}", "5:29: metadata.ownerReferences has no effect in a policy"),
            ("metadata: {labels: ~}", ""),
            (
                "metadata: {labels: site}",
                "5:20: metadata.labels must be a mapping of strings, not a string (\"site\")",
            ),
            ("metadata: site", "5:11: metadata must be a mapping"),
            ("metadata: {name: 7}", "5:18: metadata.name must be a string"),
            ("metadata: {annotations: {done: yes}}", "5:32: metadata.annotations.done must be a string"),
        ] {
            assert_found(&found(&format!("{HEAD}rules:\n- level: Metadata\n{fields}\n"), None), expected, fields);
        }
    }

    #[test]
    fn a_rules_fields_are_checked() {
        for (fields, expected) in [
            (
                "verb: [get]",
                "unknown field \"rules[0].verb\"; did you mean \"verbs\"? The API server would drop it",
            ),
            ("Verbs: [get]", "did you mean \"verbs\"?"),
            ("verb: [get]", "the rule could match more than it says"),
            ("objectRef: {}", "unknown field \"rules[0].objectRef\"; the known fields are level,"),
            ("verbs: get", "rules[0].verbs must be a list, not a string"),
            ("verbs: [yes]", "rules[0].verbs[0] must be a string, but yes is a boolean"),
            ("users: [30]", "rules[0].users[0] must be a string, but 30 is a number"),
            ("users: [\"30\"]", ""),
            ("users: [[a]]", "rules[0].users[0] must be a string, not a list"),
            ("userGroups: [a, ~]", "rules[0].userGroups[1] is empty"),
            ("verbs: [\"\"]", "rules[0].verbs[0] is empty"),
            ("verbs: []", "warning: rules[0].verbs is empty, which means the same as no such field"),
            ("users: ~", "warning: rules[0].users is empty"),
            ("namespaces: [\"\"]", ""),
            ("namespaces: [~]", "rules[0].namespaces[0] is null; write \"\""),
            ("omitStages: [Panic]", ""),
            ("omitStages: [End]", "rules[0].omitStages can't be \"End\"; write one of RequestReceived,"),
            ("omitManagedFields: 1", "rules[0].omitManagedFields must be true or false"),
            ("omitStages: [\"$(STAGE)\"]", "\"$(STAGE)\" is a placeholder of a template; fill it in"),
            ("omitStages: [\"${STAGE}\"]", "is a placeholder of a template; fill it in"),
            ("users: [\"@USER@\"]", "rules[0].users[0] \"@USER@\" is a placeholder of a template; fill it in"),
            ("users: [\"%(user)s\"]", "is a placeholder of a template; fill it in"),
            ("users: [\"a-{{ user }}\"]", "is a placeholder of a template; fill it in"),
            ("users: [a@example.com, \"@a\", \"a%b\", \"$a\"]", ""),
        ] {
            assert_found(&in_rule(fields, None), expected, fields);
        }
    }

    #[test]
    fn resources_are_checked() {
        for (resources, expected) in [
            ("[{group: \"\"}, {group: apps, resources: [deployments], resourceNames: [a, \"\"]}]", ""),
            ("[{resources: [pods]}]", ""),
            ("[pods]", "rules[0].resources[0] must be a mapping of fields, not a string"),
            ("[~]", "rules[0].resources[0] is an empty entry, which stands for the whole core group"),
            (
                "[{resource: [pods]}]",
                "unknown field \"rules[0].resources[0].resource\"; did you mean \"resources\"? The",
            ),
            (
                "[{verbs: [get]}]",
                "resourceNames; verbs is a field of the rule, so write it beside its resources. The API server",
            ),
            ("[{group: \"\", resources: []}]", "warning: rules[0].resources[0].resources is empty"),
            ("[{group: 1}]", "rules[0].resources[0].group must be a string"),
            ("[{group: apps/v1}]", "group \"apps/v1\" must be a group without its version: write \"apps\""),
            ("[{group: core/v1}]", "write \"\", the core group"),
            ("[{group: Apps}]", "must be in lower case: write \"apps\""),
            ("[{group: a_b}]", "group \"a_b\" is not an API group"),
            ("[{group: a_b/v1}]", "group \"a_b/v1\" is not an API group"),
            ("[{group: -a.io}]", "group \"-a.io\" is not an API group"),
            ("[{group: a-.io}]", "group \"a-.io\" is not an API group"),
            ("[{group: a..io}]", "group \"a..io\" is not an API group"),
            ("[{group: \"*.io\"}]", "group \"*.io\" is not an API group"),
            ("[{resourceNames: [a]}]", "rules[0].resources[0].resourceNames needs resources"),
            ("[{resourceNames: [~], resources: [pods]}]", "resourceNames[0] is null"),
            ("[{resourceNames: [a], resources: [~]}]", "resources[0] is empty; remove it"),
        ] {
            assert_found(&in_rule(&format!("resources: {resources}"), None), expected, resources);
        }
        let long = format!("{}.io", "a".repeat(251));
        assert_found(
            &in_rule(&format!("resources: [{{group: {long}}}]"), None),
            "is not an API group",
            "254 letters",
        );
        assert_found(&in_rule(&format!("resources: [{{group: {}}}]", &long[1..]), None), "", "253 letters");
    }

    #[test]
    fn urls_are_checked() {
        for (fields, expected) in [
            ("nonResourceURLs: [\"*\", /, /version, /healthz*]", ""),
            ("nonResourceURLs: [version]", "rules[0].nonResourceURLs[0] \"version\" must begin with \"/\""),
            ("nonResourceURLs: [\"\"]", "rules[0].nonResourceURLs[0] is empty"),
            (
                "nonResourceURLs: [\"/readyz?verbose\"]",
                "warning: rules[0].nonResourceURLs[0] \"/readyz?verbose\" has a query, and no path has one; write \"/readyz\"",
            ),
            ("nonResourceURLs: [/a*/b]", "\"/a*/b\" can have a \"*\" only at its end"),
            ("nonResourceURLs: [/a**]", "\"/a**\" can have a \"*\" only at its end"),
            ("nonResourceURLs: [/a], namespaces: [b]", "rules[0]: a rule can't have nonResourceURLs together"),
            ("resources: [{group: \"\"}], nonResourceURLs: [/a]", "split it into two rules"),
        ] {
            assert_found(&in_rule(fields, None), expected, fields);
        }
    }

    #[test]
    fn what_a_version_lacks_is_refused_for_it() {
        let every_group = "resources: [{group: \"*\"}]";
        let (old, new) = ("needs Kubernetes 1.23, and this is 1.22", "and this is 1.35");
        for (fields, minor, expected) in [
            (every_group, None, "earlier versions refuse it"),
            (every_group, Some(35), new),
            (every_group, Some(36), ""),
            ("omitManagedFields: true", None, ""),
            ("omitManagedFields: true", Some(22), old),
            ("omitManagedFields: true", Some(23), ""),
        ] {
            assert_found(&in_rule(fields, minor.map(Version::new)), expected, &format!("{fields} {minor:?}"));
        }
        let text = format!("{HEAD}rules: [{{level: Metadata}}]\nomitManagedFields: true\n");
        assert_found(&found(&text, Some(Version::new(22))), old, "the policy's own");
    }

    #[test]
    fn merge_keys_bring_in_new_fields_only() {
        for (rule, expected) in [
            ("<<: {users: [a]}", ""),
            ("<<: [{users: [a]}, {verbs: [get]}]", ""),
            ("<<: {level: None}", "5:3: << brings in a field that is already there"),
            ("users: [a]\n  <<: {users: [b]}", "6:3: << brings in a field that is already there"),
            ("<<: [{users: [a]}, {users: [b]}]", "5:3: << brings in a field that is already there"),
            ("<<: {verb: [get]}", "5:8: unknown field \"rules[0].verb\""),
            ("<<: 3", "5:7: << needs a mapping"),
            ("<<: [~]", "5:7: << needs a mapping"),
        ] {
            assert_found(&found(&format!("{HEAD}rules:\n- level: Metadata\n  {rule}\n"), None), expected, rule);
        }
    }

    #[test]
    fn a_field_that_is_there_twice_hides_no_other_error() {
        let text = format!(
            "{HEAD}rules:\n- level: Metadata\n  verbs: [get]\n  verbs: [list]\n- verb: [get]\n  level: x\n"
        );
        let lines: Vec<_> = check(&text, None).iter().map(|finding| finding.position.line).collect();
        assert_eq!(lines, [6, 7, 8]);
    }

    #[test]
    fn findings_come_in_the_order_of_the_file() {
        let text = format!("rules:\n- users: [1]\n  verbs: []\n  level: all\nfoo: 1\n{HEAD}kin: x\n");
        let positions: Vec<_> = check(&text, None).iter().map(|finding| finding.position.line).collect();
        assert_eq!(positions, [2, 3, 4, 5, 8]);
    }
}
