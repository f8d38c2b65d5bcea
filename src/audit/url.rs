//! URLs as Go's `net/url` and client-go's `rest.DefaultServerURL` read them: which texts are none.

/// A URL, as far as it matters whether an API server takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Url {
    /// In lower case.
    pub scheme: String,
    pub host: String,
    pub path: String,
}

impl Url {
    /// The URL of a kubeconfig's `server`. Without a scheme, it is http, and must have no path.
    pub fn of_server(text: &str) -> Option<Url> {
        if let Some(url) = Url::parse(text).filter(|url| !url.scheme.is_empty() && !url.host.is_empty()) {
            return Some(url);
        }
        Url::parse(&format!("http://{text}")).filter(|url| url.path.is_empty() || url.path == "/")
    }

    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// Go's `url.Parse`.
    pub fn parse(text: &str) -> Option<Url> {
        let text = match text.split_once('#') {
            Some((text, fragment)) => {
                is_escaped(fragment, |_| true).then_some(())?;
                text
            }
            None => text,
        };
        if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return None;
        }
        if text == "*" {
            return Some(Url { path: "*".to_owned(), ..Url::default() });
        }
        let (scheme, rest) = split_scheme(text)?;
        let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
        let mut url = Url { scheme: scheme.to_ascii_lowercase(), ..Url::default() };
        if !rest.starts_with('/') {
            if !scheme.is_empty() {
                return Some(url);
            }
            // Without a scheme, a colon in the first part of the path would look like one.
            if rest.split('/').next().is_some_and(|first| first.contains(':')) {
                return None;
            }
        }
        let mut path = rest;
        if (!scheme.is_empty() || !rest.starts_with("///"))
            && let Some(rest) = rest.strip_prefix("//")
        {
            let end = rest.find('/').unwrap_or(rest.len());
            url.host = host_of(&rest[..end])?;
            path = &rest[end..];
        }
        is_escaped(path, |_| true).then_some(())?;
        path.clone_into(&mut url.path);
        Some(url)
    }
}

/// The scheme, which may be empty, and the rest; `None` for a colon at the start.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return None,
            b':' => return Some((&text[..at], &text[at + 1..])),
            _ => return Some(("", text)),
        }
    }
    Some(("", text))
}

/// The host and the port of an authority, if they are right.
fn host_of(authority: &str) -> Option<String> {
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(user, host)| (user, host));
    let in_user = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !user.bytes().all(in_user) || !is_escaped(user, |_| true) {
        return None;
    }
    let port = match host.strip_prefix('[') {
        Some(_) => &host[host.rfind(']')? + 1..],
        None => host.rfind(':').map_or("", |at| &host[at..]),
    };
    let is_port =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    let in_host =
        |byte: u8| byte >= 0x80 || byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"%".contains(&byte);
    // A host can have only bytes outside ASCII escaped, and `%25` before the zone of an address.
    let is_foreign = |byte: u8| byte >= 0x80 || byte == b'%';
    (is_port && host.bytes().all(in_host) && is_escaped(host, is_foreign)).then(|| host.to_owned())
}

/// Is each percent sign followed by two hexadecimal digits, of a byte that may be escaped?
fn is_escaped(text: &str, may: impl Fn(u8) -> bool) -> bool {
    text.as_bytes().iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
        let byte = text.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()).is_some_and(&may)
    })
}
