//! The forms of the texts in a pod (`k8s.io/apimachinery/pkg/util/validation`).

use std::net::IpAddr;

/// What a text must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A label of DNS (RFC 1123).
    Label,
    /// A name of DNS: labels with dots between them, of any length.
    Subdomain,
    /// A name of DNS in which underscores are allowed, with or without a dot at the end.
    Search,
    /// The key of a label.
    Key,
    /// The value of a label.
    Value,
    /// A name of a service (RFC 6335).
    PortName,
    Variable,
    Address,
    /// The name of a header of HTTP.
    Header,
    Sysctl,
    /// A path without `..`.
    Straight,
    /// A path below a directory, without `..`.
    Below,
    /// A path below a directory that does not begin with two dots.
    File,
    Absolute,
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Whether a text is made of these bytes, with a letter or a digit at each end.
fn is_word(text: &str, is_edge: fn(u8) -> bool, others: &[u8]) -> bool {
    let edges = [text.bytes().next(), text.bytes().last()];
    edges.into_iter().all(|byte| byte.is_some_and(is_edge))
        && text.bytes().all(|byte| is_edge(byte) || others.contains(&byte))
}

fn is_qualified(text: &str) -> bool {
    text.len() <= 63 && is_word(text, |byte| byte.is_ascii_alphanumeric(), b"-_.")
}

impl Form {
    /// Whether a text has the form.
    pub fn fits(self, text: &str) -> bool {
        let is_straight = |text: &str| text.split('/').all(|part| part != "..");
        match self {
            Form::Label => text.len() <= 63 && is_word(text, is_lower, b"-"),
            Form::Subdomain => text.len() <= 253 && text.split('.').all(|part| is_word(part, is_lower, b"-")),
            Form::Search => {
                let is_part = |part: &str| is_word(part.strip_prefix('_').unwrap_or(part), is_lower, b"-_");
                let name = text.strip_suffix('.').unwrap_or(text);
                text == "." || name.len() <= 253 && name.split('.').all(is_part)
            }
            Form::Key => match text.split_once('/') {
                Some((prefix, name)) => Form::Subdomain.fits(prefix) && is_qualified(name),
                None => is_qualified(text),
            },
            Form::Value => text.is_empty() || is_qualified(text),
            Form::PortName => {
                text.len() <= 15
                    && is_word(text, is_lower, b"-")
                    && text.bytes().any(|byte| byte.is_ascii_lowercase())
                    && !text.contains("--")
            }
            Form::Variable => {
                !text.is_empty() && text.bytes().all(|byte| (32..127).contains(&byte) && byte != b'=')
            }
            Form::Address => text.parse::<IpAddr>().is_ok(),
            Form::Header => {
                !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            }
            Form::Sysctl => text.len() <= 253 && text.split(['.', '/']).all(|part| is_word(part, is_lower, b"-_")),
            Form::Straight => is_straight(text),
            Form::Below => !text.starts_with('/') && is_straight(text),
            Form::File => !text.starts_with(['/']) && !text.starts_with("..") && is_straight(text),
            Form::Absolute => text.starts_with('/'),
        }
    }

    /// What a text must be, and what to do with one that is not.
    pub fn words(self) -> &'static str {
        match self {
            Form::Label => {
                "must be at most 63 lower-case letters, digits and dashes, without a dash at an end; rename it"
            }
            Form::Subdomain => "must be lower-case letters, digits, dashes and dots; rename it",
            Form::Search => "must be a domain name; correct it",
            Form::Key => "must be a key of labels, such as example.com/name; rename or remove it",
            Form::Value => "must be a label's value: at most 63 letters, digits, -, _ and .; correct it",
            Form::PortName => "must be a port's name: at most 15 lower-case letters, digits and dashes; rename it",
            Form::Variable => "must be a variable's name, without =; rename it",
            Form::Address => "must be an IP address; correct it",
            Form::Header => "must be a header's name: letters, digits and dashes; rename it",
            Form::Sysctl => "must be a sysctl's name; correct it",
            Form::Straight => "must not contain ..; write the path without it",
            Form::Below | Form::File => {
                "must be a path below a directory, without a slash before it and without ..; correct it"
            }
            Form::Absolute => "must be an absolute path; correct it",
        }
    }
}

/// A time as RFC 3339 writes it.
pub fn is_time(text: &str) -> bool {
    let (seconds, rest) = text.split_at_checked(19).unwrap_or_default();
    let fits = |text: &str, form: &str| {
        text.len() == form.len()
            && text
                .bytes()
                .zip(form.bytes())
                .all(|(byte, form)| if form == b'0' { byte.is_ascii_digit() } else { byte == form })
    };
    let number = |at: usize| seconds.get(at..at + 2).and_then(|text| text.parse::<u32>().ok()).unwrap_or(99);
    let zone = match rest.strip_prefix(['.', ',']) {
        Some(fraction) if fraction.starts_with(|c: char| c.is_ascii_digit()) => {
            fraction.trim_start_matches(|c: char| c.is_ascii_digit())
        }
        _ => rest,
    };
    fits(seconds, "0000-00-00T00:00:00")
        && (1..=12).contains(&number(5))
        && (1..=31).contains(&number(8))
        && number(11) < 24
        && number(14) < 60
        && number(17) < 60
        && (zone == "Z" || fits(zone, "+00:00") || fits(zone, "-00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_a_form() {
        use Form::*;
        for (form, right, wrong) in [
            (Label, &["a", "a-1"][..], &["", "-a", "A", "a.b"][..]),
            (Subdomain, &["a.b-c"], &["", "a..b", "a_b"]),
            (Search, &[".", "_tcp.a_b.", "a"], &["", "a..b", "A"]),
            (Key, &["a", "A_b.c", "a.b/C"], &["", "/a", "a/", "a/b/c", "A/b", "a b"]),
            (Value, &["", "A.b_c"], &["-", "a b"]),
            (PortName, &["a1", "http-2"], &["", "1", "a--b", "A", "abcdefghijklmnop"]),
            (Variable, &["a b", "1"], &["", "a=b"]),
            (Address, &["10.0.0.1", "::1"], &["", "10.0.0", "a"]),
            (Header, &["X-A"], &["", "a b"]),
            (Sysctl, &["kernel.shm_rmid", "net/ipv4"], &["", "a..b", "A"]),
            (Straight, &["/a", "a..b", ""], &["a/../b", ".."]),
            (Below, &["a", "..a"], &["/a", "../a"]),
            (File, &["a"], &["/a", "..a"]),
            (Absolute, &["/"], &["", "a"]),
        ] {
            assert!(right.iter().all(|text| form.fits(text)), "{form:?} {right:?}");
            assert!(!wrong.iter().any(|text| form.fits(text)), "{form:?} {wrong:?}");
        }
    }
}
