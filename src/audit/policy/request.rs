//! A request as people write it: the options of `policy explain`, or the fields of a test.

use super::evaluate::{Request, Target, groups_of, is_resource_path};
use super::words::{doubts, refusal, resource_refusal};

/// What is said of a request. An API group that is not said is the core group; a namespace or a name that is not said
/// is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Empty if no user is known, as after a failed authentication.
    pub user: &'a str,
    pub groups: &'a [String],
    pub verb: &'a str,
    /// The resource, with its subresource after a slash. It counts only without a path.
    pub resource: &'a str,
    pub api_group: &'a str,
    pub namespace: Option<&'a str>,
    pub name: &'a str,
    /// The path of a request that is not for a resource.
    pub path: Option<&'a str>,
}

/// Why there can't be such a request: the field to change, its value, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub field: &'static str,
    pub message: String,
}

impl Asked<'_> {
    /// The request as the API server sees it, and warnings about it.
    ///
    /// # Errors
    ///
    /// There can't be such a request.
    pub fn request(&self) -> Result<(Request, Vec<String>), Refusal> {
        let refused = |field, message| Err(Refusal { field, message });
        let mut warnings = Vec::new();
        let target = match self.path {
            Some(path) if !path.starts_with('/') || path.contains('?') => {
                let message = format!("{path}: the path must begin with \"/\", and have no query");
                return refused("path", message);
            }
            Some(path) if is_resource_path(path) => {
                return refused(
                    "path",
                    format!("{path}: this is the path of a resource; name the resource instead"),
                );
            }
            Some(path) => Target::Url(path.to_owned()),
            None => self.resource(&mut warnings)?,
        };
        if self.user.is_empty() && !self.groups.is_empty() {
            let message = "\"\": a request whose authentication failed has no user, and so no groups; name the user, \
                           or remove the groups";
            return refused("user", message.to_owned());
        }
        let refusal = refusal(self.user, self.verb, target.scope()).or_else(|| resource_refusal(&target));
        if let Some((field, message)) = refusal {
            return refused(field, message);
        }
        let request = Request {
            groups: groups_of(self.user, self.groups.to_vec()),
            user: self.user.to_owned(),
            verb: self.verb.to_owned(),
            target,
        };
        warnings.extend(doubts(&request));
        Ok((request, warnings))
    }

    fn resource(&self, warnings: &mut Vec<String>) -> Result<Target, Refusal> {
        let (resource, subresource) = match self.resource.split_once('/') {
            Some((resource, sub)) if !sub.is_empty() && !sub.contains('/') => (resource, sub),
            None => (self.resource, ""),
            _ => ("", ""),
        };
        if resource.is_empty() {
            let message =
                format!("{:?}: write RESOURCE or RESOURCE/SUBRESOURCE, such as pods or pods/log", self.resource);
            return Err(Refusal { field: "resource", message });
        }
        let mut name = self.name;
        if self.verb == "deletecollection" && !name.is_empty() {
            warnings.push(
                "a deletecollection has no name, not even with a field selector: the name is ignored".to_owned(),
            );
            name = "";
        }
        // The URL of a create request has a name only for a subresource, whose object exists.
        if self.verb == "create" && subresource.is_empty() && !name.is_empty() {
            warnings.push(
                "the API server doesn't look at the name of an object that a request creates: the name is ignored"
                    .to_owned(),
            );
            name = "";
        }
        // The API server reads the URL of a namespace as a request in that namespace.
        let own = if resource == "namespaces" { name } else { "" };
        Ok(Target::Resource {
            group: self.api_group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: self.namespace.unwrap_or(own).to_owned(),
            name: name.to_owned(),
        })
    }
}

impl Request {
    /// The request as the options of `policy explain`: each option with its value. A group that the user has anyway is
    /// left out.
    pub fn options(&self) -> Vec<(&'static str, String)> {
        let mut options = vec![("user", self.user.clone())];
        let own = groups_of(&self.user, Vec::new());
        // A group that a user has by default goes where another one is named.
        let named: Vec<_> = self.groups.iter().filter(|group| !own.contains(group)).cloned().collect();
        let named = if groups_of(&self.user, named.clone()) == self.groups { named } else { self.groups.clone() };
        options.extend(named.into_iter().map(|group| ("group", group)));
        options.push(("verb", self.verb.clone()));
        match &self.target {
            Target::Url(path) => options.push(("path", path.clone())),
            Target::Resource { group, resource, subresource, namespace, name } => {
                options.push(("resource", super::evaluate::combined(resource, subresource)));
                let others = [("api-group", group), ("namespace", namespace), ("name", name)];
                options.extend(
                    others
                        .into_iter()
                        .filter(|(_, value)| !value.is_empty())
                        .map(|(option, value)| (option, value.clone())),
                );
            }
        }
        options
    }
}
