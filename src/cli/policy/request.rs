//! A request as it is printed.

use serde_json::{Value, json};

use crate::audit::policy::evaluate::{Request, Target};

/// A request as words of a command line: what `policy explain` takes.
pub fn typed(request: &Request) -> String {
    let words: Vec<_> =
        request.options().iter().map(|(option, value)| format!("--{option} {}", shell_word(value))).collect();
    words.join(" ")
}

/// A text as one word of a shell.
fn shell_word(text: &str) -> String {
    match !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+=@,%:".contains(c)) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// A request as JSON.
pub fn json(request: &Request) -> Value {
    let mut value = json!({"user": request.user, "groups": request.groups, "verb": request.verb});
    match &request.target {
        Target::Url(path) => value["path"] = json!(path),
        Target::Resource { group, resource, subresource, namespace, name } => {
            value["apiGroup"] = json!(group);
            value["resource"] = json!(resource);
            value["subresource"] = json!(subresource);
            value["namespace"] = json!(namespace);
            value["name"] = json!(name);
        }
    }
    value
}
