//! The kubeconfig of an audit webhook: what in it keeps an API server from starting, and which files it names.
//!
//! The rules are those of client-go: it decodes the whole file (`tools/clientcmd/api/v1`), checks the context, the
//! cluster and the user that are selected (`DirectClientConfig.ConfirmUsable`), and makes the client of them (`rest`
//! and `transport`), all when the API server starts. It looks at credentials only if the server's URL is https.

use super::pem::{decode_base64, has_certificate, pair_fault};
use super::url::Url;
use crate::yaml::fields::{Finding, Severity};
use crate::yaml::scalar::{Type, resolve};
use crate::yaml::{Node, Position};

/// What a kubeconfig names a file for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRole {
    Authority,
    Certificate,
    Key,
    Token,
}

impl FileRole {
    /// The name of the field.
    pub fn name(self) -> &'static str {
        match self {
            FileRole::Authority => "certificate-authority",
            FileRole::Certificate => "client-certificate",
            FileRole::Key => "client-key",
            FileRole::Token => "tokenFile",
        }
    }
}

/// A file that a kubeconfig names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    pub role: FileRole,
    /// As the API server sees it. A relative path is relative to the directory of the kubeconfig.
    pub path: String,
    /// The position of the name in the kubeconfig.
    pub position: Position,
    /// Without the file, the API server does not start.
    pub is_needed: bool,
}

/// A kubeconfig that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kubeconfig {
    /// The files that the API server opens.
    pub files: Vec<NamedFile>,
    /// An error keeps the API server from starting. With a warning it starts, and events may not arrive.
    pub findings: Vec<Finding>,
    /// The URL of the server is https, so the API server looks at the credentials.
    is_https: bool,
    /// `client-certificate-data` and `client-key-data`, decoded.
    pair: [Option<Vec<u8>>; 2],
}

/// What a value must be, as Kubernetes decodes it. Fields that are not listed are ignored.
enum Shape {
    Text,
    Bool,
    /// Text that is base64.
    Bytes,
    Texts,
    TextMap,
    TextsMap,
    One(&'static [(&'static str, Shape)]),
    Many(&'static [(&'static str, Shape)]),
}

use Shape::{Bool, Bytes, Many, One, Text, TextMap, Texts, TextsMap};

const CLUSTER: Shape = One(&[
    ("server", Text),
    ("tls-server-name", Text),
    ("insecure-skip-tls-verify", Bool),
    ("certificate-authority", Text),
    ("certificate-authority-data", Bytes),
    ("proxy-url", Text),
    ("disable-compression", Bool),
]);
const EXEC: Shape = One(&[
    ("command", Text),
    ("args", Texts),
    ("env", Many(&[("name", Text), ("value", Text)])),
    ("apiVersion", Text),
    ("installHint", Text),
    ("provideClusterInfo", Bool),
    ("interactiveMode", Text),
]);
const USER: Shape = One(&[
    ("client-certificate", Text),
    ("client-certificate-data", Bytes),
    ("client-key", Text),
    ("client-key-data", Bytes),
    ("token", Text),
    ("tokenFile", Text),
    ("as", Text),
    ("as-uid", Text),
    ("as-groups", Texts),
    ("as-user-extra", TextsMap),
    ("username", Text),
    ("password", Text),
    ("auth-provider", One(&[("name", Text), ("config", TextMap)])),
    ("exec", EXEC),
]);
const CONTEXT: Shape = One(&[("cluster", Text), ("user", Text), ("namespace", Text)]);
const KUBECONFIG: Shape = One(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("preferences", One(&[("colors", Bool)])),
    ("clusters", Many(&[("name", Text), ("cluster", CLUSTER)])),
    ("users", Many(&[("name", Text), ("user", USER)])),
    ("contexts", Many(&[("name", Text), ("context", CONTEXT)])),
    ("current-context", Text),
]);

/// Reads the kubeconfig in a directory of the API server's container.
pub fn read(text: &str, directory: &str) -> Kubeconfig {
    let mut kubeconfig = Kubeconfig::default();
    match crate::yaml::parse_lenient(text) {
        Err(fault) => kubeconfig.fault(fault.position, fault.message),
        Ok((documents, repeated)) => {
            for fault in repeated {
                kubeconfig.warn(fault.position, format!("{}; the API server takes the last one", fault.message));
            }
            match documents.first().map(|document| &document.root) {
                Some(root) => kubeconfig.look(root, directory),
                None => kubeconfig.fault(
                    Position::START,
                    "the file is empty; write a kubeconfig with a cluster, a context and current-context",
                ),
            }
        }
    }
    kubeconfig
}

impl Kubeconfig {
    fn fault(&mut self, position: Position, message: impl Into<String>) {
        self.findings.push(Finding::new(position, Severity::Error, message));
    }

    fn warn(&mut self, position: Position, message: impl Into<String>) {
        self.findings.push(Finding::new(position, Severity::Warning, message));
    }

    /// Does the API server start with this file, if each file that it names is right?
    pub fn is_usable(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }

    fn look(&mut self, root: &Node, directory: &str) {
        self.check_shape(root, "the kubeconfig", &KUBECONFIG);
        for (field, expected) in [("apiVersion", "v1"), ("kind", "Config")] {
            if let Some(node) = root.get(field).filter(|_| !["", expected].contains(&text(root, field))) {
                let found = text(root, field);
                self.fault(
                    node.position,
                    format!(
                        "this is no kubeconfig: its {field} is {found}, not {expected}; write {field}: {expected}"
                    ),
                );
            }
        }
        for list in ["clusters", "users", "contexts"] {
            let items = items(root, list);
            for (index, item) in items.iter().enumerate() {
                let name = text(item, "name");
                if items[..index].iter().any(|other| text(other, "name") == name) {
                    self.fault(item.position, format!("two of {list} have the name {name:?}; remove one"));
                }
            }
        }
        if !self.is_usable() {
            return;
        }
        let current = text(root, "current-context");
        let context = named(root, "contexts", current);
        if context.is_none() && !current.is_empty() {
            let position = root.get("current-context").map_or(root.position, |node| node.position);
            return self.fault(
                position,
                format!(
                    "current-context is {current:?}, and no context has that name; set it to the name of a context"
                ),
            );
        }
        // Without a context, client-go takes the cluster and the user without a name.
        let position = context.map_or(root.position, |node| node.position);
        let field = |name: &str| context.and_then(|item| item.get("context")).map_or("", |node| text(node, name));
        let name = field("cluster");
        let Some(cluster) = named(root, "clusters", name).and_then(|item| item.get("cluster")) else {
            let reason = match context {
                None => "current-context is missing; set it to the name of a context".to_owned(),
                Some(_) => {
                    format!(
                        "the context {current:?} names the cluster {name:?}, and no cluster has that name; set it to \
                         the name of a cluster"
                    )
                }
            };
            return self.fault(position, reason);
        };
        self.look_at_cluster(cluster, name, directory);
        let name = field("user");
        match named(root, "users", name) {
            Some(item) => {
                if let Some(user) = item.get("user").filter(|node| !node.is_null()) {
                    self.look_at_user(user, directory);
                }
            }
            None if name.is_empty() => {}
            None => self.warn(
                position,
                format!(
                    "the context {current:?} names the user {name:?}, and no user has that name, so the API server \
                     sends its events without credentials; set it to the name of a user"
                ),
            ),
        }
    }

    fn look_at_cluster(&mut self, cluster: &Node, name: &str, directory: &str) {
        let server = text(cluster, "server");
        let position = cluster.get("server").map_or(cluster.position, |node| node.position);
        if server.is_empty() {
            return self
                .fault(position, format!("the cluster {name:?} has no server; set server to the receiver's URL"));
        }
        match Url::of_server(server) {
            Some(url) => {
                self.is_https = url.is_https();
                // The API server starts, but its HTTP client sends nothing there.
                if !["http", "https", ""].contains(&url.scheme.as_str()) {
                    self.warn(
                        position,
                        format!(
                            "no event arrives: server begins with {}://, which an API server can't send events to; \
                             write https://HOST:PORT/PATH",
                            url.scheme
                        ),
                    );
                }
            }
            // A URL can have a password.
            None => self.fault(position, "server is no URL; write https://HOST:PORT/PATH"),
        }
        let proxy = text(cluster, "proxy-url");
        let is_proxy = |url: Url| ["http", "https", "socks5"].contains(&url.scheme.as_str());
        if !proxy.is_empty() && !Url::parse(proxy).is_some_and(is_proxy) {
            let position = cluster.get("proxy-url").map_or(position, |node| node.position);
            self.fault(
                position,
                "proxy-url must be a URL that begins with http://, https:// or socks5://; write it so, or remove it",
            );
        }
        self.add_file(cluster, FileRole::Authority, directory, true);
        if let Some(data) = self.data(cluster, FileRole::Authority) {
            let at = |name: &str| cluster.get(name).map_or(position, |node| node.position);
            if self.is_https && !data.is_empty() && !has_certificate(&data) {
                self.fault(
                    at("certificate-authority-data"),
                    "certificate-authority-data has no certificate in PEM; put one there, encoded with base64 -w0",
                );
            }
        }
        let has_authority = ["certificate-authority", "certificate-authority-data"]
            .iter()
            .any(|field| !text(cluster, field).is_empty());
        let skip = cluster.get("insecure-skip-tls-verify");
        if let Some(skip) = skip.filter(|skip| self.is_https && has_authority && resolve(skip) == Type::Bool(true))
        {
            self.fault(
                skip.position,
                "insecure-skip-tls-verify can't be combined with a certificate-authority; remove one",
            );
        }
    }

    fn look_at_user(&mut self, user: &Node, directory: &str) {
        let has = |field: &str| !text(user, field).is_empty();
        let at = |field: &str| user.get(field).map_or(user.position, |node| node.position);
        let (is_https, has_token) = (self.is_https, has("token"));
        let has_name = has("username") || has("password");
        if has_token && has_name || is_https && has("tokenFile") && has("username") {
            self.fault(at("username"), "a token and a username can't be combined; remove one");
        }
        if has("client-certificate") || has("client-certificate-data") {
            for role in [FileRole::Certificate, FileRole::Key] {
                self.add_file(user, role, directory, true);
            }
            self.pair = [FileRole::Certificate, FileRole::Key].map(|role| self.data(user, role));
            if !has("client-key") && !has("client-key-data") {
                self.fault(user.position, "a client-certificate needs a client-key or client-key-data; add it");
            }
        }
        if is_https && has("tokenFile") {
            // Beside a token, the API server reads the file later.
            self.add_file(user, FileRole::Token, directory, !has_token);
        }
        let extras = ["as-uid", "as-groups", "as-user-extra"];
        let extra = extras.into_iter().find(|field| {
            has(field)
                || user.get(field).is_some_and(|node| node.items().is_some_and(|items| !items.is_empty()))
                || user.get(field).is_some_and(|node| !node.entries().is_empty())
        });
        if let Some(extra) = extra.filter(|_| !has("as")) {
            self.fault(at(extra), format!("{extra} needs a user to impersonate; add `as`, or remove {extra}"));
        }
        let provider = user.get("auth-provider").filter(|node| !node.is_null());
        if let Some(exec) = user.get("exec").filter(|node| !node.is_null()) {
            self.look_at_exec(exec);
            if provider.is_some() {
                self.fault(exec.position, "exec can't be combined with auth-provider; remove one");
            }
        }
        if let Some(provider) = provider.filter(|_| is_https) {
            let name = text(provider, "name");
            let has = |field: &str| provider.get("config").is_some_and(|config| !text(config, field).is_empty());
            // The other providers of client-go are gone since 1.26 (`plugin/pkg/client/auth`).
            if name != "oidc" {
                let reason = format!(
                    "an API server has no auth-provider {name:?}; use a client certificate or a tokenFile"
                );
                self.fault(provider.position, reason);
            } else if !has("idp-issuer-url") || !has("client-id") {
                self.fault(
                    provider.position,
                    "the auth-provider oidc needs idp-issuer-url and client-id; add them",
                );
            }
        }
    }

    fn look_at_exec(&mut self, exec: &Node) {
        let at = |field: &str| exec.get(field).map_or(exec.position, |node| node.position);
        let version = text(exec, "apiVersion");
        let command = text(exec, "command");
        if command.is_empty() {
            self.fault(at("command"), "exec has no command; name the program");
        }
        let versions = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];
        if version.is_empty() || self.is_https && !versions.contains(&version) {
            self.fault(at("apiVersion"), format!("the apiVersion of exec must be {}", versions.join(" or ")));
        }
        if items(exec, "env").iter().any(|item| text(item, "name").is_empty()) {
            self.fault(at("env"), "a variable of exec has no name; name it");
        }
        let mode = text(exec, "interactiveMode");
        let has_default = ["client.authentication.k8s.io/v1beta1", "client.authentication.k8s.io/v1alpha1"];
        let is_given = ["Never", "IfAvailable", "Always"].contains(&mode);
        if !(is_given || mode.is_empty() && has_default.contains(&version)) {
            self.fault(at("interactiveMode"), "exec needs an interactiveMode; set it to Never");
        }
        if self.is_https {
            self.warn(
                at("command"),
                format!(
                    "the API server runs {command:?} in its own container, and Kubernetes' image of the API server has \
                     no such program; if yours has none, no event arrives: use a client certificate or a tokenFile"
                ),
            );
        }
    }

    /// Adds a file, if the node names one, and finds fault with a file and its data side by side.
    fn add_file(&mut self, node: &Node, role: FileRole, directory: &str, is_needed: bool) {
        let Some((name, found)) = node.get(role.name()).and_then(|node| Some((node.str()?, node))) else { return };
        if name.is_empty() {
            return;
        }
        if role != FileRole::Token && !text(node, &format!("{}-data", role.name())).is_empty() {
            let name = role.name();
            return self.fault(found.position, format!("{name} and {name}-data can't be combined; remove one"));
        }
        let path = absolute(directory, name);
        self.files.push(NamedFile { role, path, position: found.position, is_needed });
    }

    /// The data that stands in the kubeconfig in place of a file.
    fn data(&self, node: &Node, role: FileRole) -> Option<Vec<u8>> {
        let data = text(node, &format!("{}-data", role.name()));
        Some(data).filter(|data| !data.is_empty()).and_then(decode_base64)
    }

    /// What is wrong with the contents of the named files. `content` gives the content of a file, if it is known.
    pub fn judge<'c>(&self, content: impl Fn(&NamedFile) -> Option<&'c [u8]>) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.is_https {
            return findings;
        }
        let mut find = |file: &NamedFile, severity, message: String| {
            findings.push(Finding::new(file.position, severity, message));
        };
        let of = |role| self.files.iter().find(|file| file.role == role);
        for file in &self.files {
            let Some(content) = content(file) else { continue };
            let path = &file.path;
            match file.role {
                FileRole::Authority if !content.is_empty() && !has_certificate(content) => {
                    find(file, Severity::Error, format!("{path} has no certificate in PEM; put one there"));
                }
                FileRole::Token if content.is_empty() && file.is_needed => {
                    find(file, Severity::Error, format!("{path} is empty; put the token there"));
                }
                _ => {}
            }
        }
        let [certificate, key] = [FileRole::Certificate, FileRole::Key].map(of);
        let known = |at: usize, file: Option<&NamedFile>| {
            let data = self.pair[at].clone();
            data.or_else(|| file.and_then(&content).map(<[u8]>::to_vec))
        };
        let pair = known(0, certificate).zip(known(1, key));
        let Some(fault) = pair.and_then(|(certificate, key)| pair_fault(&certificate, &key)) else {
            return findings;
        };
        // The API server reads two files only when the receiver asks for a certificate, and again when they change.
        let severity = if certificate.is_some() && key.is_some() { Severity::Warning } else { Severity::Error };
        let position = certificate.or(key).map_or(Position::START, |file| file.position);
        let message = match severity {
            Severity::Warning => format!("no event arrives: {fault}"),
            Severity::Error => fault.to_owned(),
        };
        findings.push(Finding::new(position, severity, message));
        findings
    }

    /// Checks that a value can be decoded.
    fn check_shape(&mut self, node: &Node, name: &str, shape: &Shape) {
        let found = resolve(node);
        if found == Type::Null {
            return;
        }
        let wrong = |expected: &str| format!("{name} must be {expected}, and this is {}", found.name());
        match shape {
            Text if found == Type::Str => {}
            Bytes if found == Type::Str => {
                if decode_base64(node.scalar().unwrap_or_default()).is_none() {
                    self.fault(node.position, format!("{name} is no base64; encode it with base64 -w0"));
                }
            }
            // A list of numbers is bytes, too. Nobody writes that.
            Bytes if node.items().is_some_and(<[_]>::is_empty) => {}
            Text | Bytes => self.fault(node.position, format!("{}; put it in quotes", wrong("a string"))),
            Bool if matches!(found, Type::Bool(_)) => {}
            Bool => self.fault(node.position, wrong("true or false")),
            Texts | Many(_) => match node.items() {
                None => self.fault(node.position, wrong("a list")),
                Some(items) => {
                    for item in items {
                        match shape {
                            Many(fields) => self.check_fields(item, name, fields),
                            _ => self.check_shape(item, name, &Text),
                        }
                    }
                }
            },
            TextMap | TextsMap | One(_) if node.pairs().is_none() => self.fault(node.position, wrong("a mapping")),
            One(fields) => self.check_fields(node, name, fields),
            TextMap | TextsMap => {
                let inner = if matches!(shape, TextMap) { Text } else { Texts };
                node.entries().into_iter().for_each(|(_, value)| self.check_shape(value, name, &inner));
            }
        }
    }

    fn check_fields(&mut self, node: &Node, name: &str, fields: &[(&str, Shape)]) {
        if !node.is_null() && node.pairs().is_none() {
            let found = resolve(node).name();
            return self.fault(node.position, format!("{name} must have mappings, and this is {found}"));
        }
        for (field, shape) in fields {
            if let Some(value) = node.get(field) {
                self.check_shape(value, field, shape);
            }
        }
    }
}

/// The text of a field; empty if it is missing.
fn text<'n>(node: &'n Node, field: &str) -> &'n str {
    node.get(field).and_then(Node::str).unwrap_or_default()
}

fn items<'n>(node: &'n Node, field: &str) -> &'n [Node] {
    node.get(field).and_then(Node::items).unwrap_or_default()
}

fn named<'n>(root: &'n Node, list: &str, name: &str) -> Option<&'n Node> {
    items(root, list).iter().find(|item| text(item, "name") == name)
}

/// A path without `.`, `..` and double slashes; a relative path is relative to a directory.
pub fn absolute(directory: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    let mut parts = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_key_that_is_there_twice_the_last_one_counts() {
        for (server, kinds) in [
            ("server: 'https://a', server: 'https:///b'", vec![Severity::Warning, Severity::Error]),
            ("server: 'https:///b', server: 'https://a'", vec![Severity::Warning]),
        ] {
            let text = format!(
                "clusters: [{{name: a, cluster: {{{server}}}}}]\ncontexts: [{{name: a, context: {{cluster: a}}}}]\ncurrent-context: a\n"
            );
            let found = read(&text, "/").findings;
            assert_eq!(found.iter().map(|one| one.severity).collect::<Vec<_>>(), kinds, "{found:?}");
            assert!(found[0].message.ends_with("the API server takes the last one"), "{found:?}");
        }
    }

    #[test]
    fn a_server_that_gets_no_event_is_told() {
        for (server, severity) in [
            ("https://a/b", None),
            ("http://a", None),
            ("a:443", None),
            ("ftp://a", Some(Severity::Warning)),
            ("https:///b", Some(Severity::Error)),
            ("/b", Some(Severity::Error)),
        ] {
            let text = format!(
                "clusters: [{{name: a, cluster: {{server: '{server}'}}}}]\ncontexts: [{{name: a, context: {{cluster: a}}}}]\ncurrent-context: a\n"
            );
            let found = read(&text, "/");
            let told = found.findings.first().map(|finding| finding.severity);
            assert_eq!(told, severity, "{server}: {:?}", found.findings);
        }
    }
}
