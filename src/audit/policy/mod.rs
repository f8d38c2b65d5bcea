//! The audit policy (`audit.k8s.io/v1`), as types.
//!
//! * [`read`] reads and validates a policy; [`lint`] finds rules that are legal but probably mistakes. [`findings`] is
//!   the table of all that they can find, and [`allow`] reads the comments that allow a finding.
//! * [`compose`] puts a policy together of several files.
//! * [`evaluate`] finds the rule that decides how a request is recorded; [`request`] is a request as people write it.
//!   [`floor`] has the requests that each log needs.
//! * [`diff`] finds the requests for which two policies differ.
//! * [`mod@test`] is what people expect of a policy, request by request.
//! * [`words`] knows the verbs and resources of requests, [`identity`] their users and groups, and `bodies` what is
//!   secret. `cover` compares two rules.

pub mod allow;
mod bodies;
pub mod compose;
mod cover;
pub mod diff;
pub mod evaluate;
pub mod findings;
pub mod floor;
pub mod identity;
pub mod lint;
pub mod read;
pub mod request;
pub mod test;
pub mod words;

use std::fmt;

use crate::yaml::Position;

/// The default policy: it records every request at level Metadata.
pub const DEFAULT: &str = include_str!("../profiles/default.yaml");

/// How much of a request is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

const LEVELS: [(&str, Level); 4] = [
    ("None", Level::None),
    ("Metadata", Level::Metadata),
    ("Request", Level::Request),
    ("RequestResponse", Level::RequestResponse),
];

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&LEVELS, self))
    }
}

/// The moments of a request at which an event can be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
}

const STAGES: [(&str, Stage); 4] = [
    ("RequestReceived", Stage::RequestReceived),
    ("ResponseStarted", Stage::ResponseStarted),
    ("ResponseComplete", Stage::ResponseComplete),
    ("Panic", Stage::Panic),
];

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&STAGES, self))
    }
}

/// A string of the policy and its position in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub position: Position,
    /// The byte offset in the file after it.
    pub end: usize,
}

/// A policy: the first rule that matches a request decides. If no rule matches, the request is not recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub rules: Vec<Rule>,
    pub omit_stages: Vec<Stage>,
    pub omit_managed_fields: bool,
}

/// A rule: it matches a request if each of its lists matches the request. An empty list matches every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub position: Position,
    /// The byte offset in the file after its last value.
    pub end: usize,
    pub level: Level,
    pub users: Vec<Word>,
    pub user_groups: Vec<Word>,
    pub verbs: Vec<Word>,
    pub resources: Vec<GroupResources>,
    /// `""` matches requests outside of namespaces.
    pub namespaces: Vec<Word>,
    pub non_resource_urls: Vec<Word>,
    pub omit_stages: Vec<Stage>,
    /// Overrides the policy's `omit_managed_fields`.
    pub omit_managed_fields: Option<bool>,
}

/// Resources of one API group. If `resources` is empty, the entry matches all resources of the group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupResources {
    /// `""` is the core group. `"*"` is every group, from Kubernetes 1.36 on.
    pub group: String,
    /// Where the group is written, or else the entry.
    pub position: Position,
    pub end: usize,
    pub resources: Vec<Word>,
    pub resource_names: Vec<Word>,
}

/// The kind of requests that a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Everything,
    Resources,
    NonResourceUrls,
}

impl Rule {
    /// The kind of requests that the rule is about. Source: `ruleMatches` of `pkg/audit/policy/checker.go`.
    pub fn scope(&self) -> Scope {
        if !self.resources.is_empty() || !self.namespaces.is_empty() {
            Scope::Resources
        } else if !self.non_resource_urls.is_empty() {
            Scope::NonResourceUrls
        } else {
            Scope::Everything
        }
    }
}

fn name_of<T: PartialEq>(known: &[(&'static str, T)], value: &T) -> &'static str {
    known.iter().find(|(_, one)| one == value).map_or("", |(name, _)| name)
}
