//! Hides secrets in texts that are shown. A diff has the lines around an edit, too, and may be in the boot log, which
//! more people read than the file.
//!
//! A secret is known by its field (`token`, `client-key-data`) or by its shape (a bootstrap token, a password in a URL).
//! The whole text is read, because a field may be some lines above its value, where a diff doesn't reach. What is hidden
//! by mistake costs less than what is shown by mistake.

use crate::yaml::node::NodeKind;
use crate::yaml::{self, Node};

const HIDDEN: &str = "<hidden>";

/// How the name of a field or flag with a secret ends, in lower case, without dashes, underscores and dots.
const NAMES: [&str; 16] = [
    "token",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "certificatekey",
    "clientkeydata",
    "tlskeydata",
    "privatekey",
    "privatekeydata",
    "secretkey",
    "accesskey",
    "apikey",
    "authorization",
];

/// How the tokens of GitHub and GitLab begin.
const FORGES: [&str; 6] = ["ghp_", "gho_", "ghs_", "ghu_", "github_pat_", "glpat-"];

/// The lines of a text, without the secrets in them. The number of lines and their indentation stay.
///
/// If the text is YAML, its fields show what is a secret, however they are written. What looks like one is hidden in
/// any text.
pub fn hide(text: &str) -> Vec<String> {
    let mut values = Vec::new();
    for document in yaml::parse_lenient(text).unwrap_or_default().0 {
        find_values(&document.root, &mut values);
    }
    values.sort_unstable();
    let mut shown = hide_lines(&without_long(text, &values));
    for (start, end) in values {
        let line = text[..start].lines().count().max(1) - usize::from(!text[..start].ends_with('\n'));
        let line = if start == 0 { 0 } else { line };
        let raw = &text[start..end];
        // In a line with something hidden, a short value could be a part of that.
        let is_sure = |one: &String| !one.contains(HIDDEN) || raw.len() > 3 && !HIDDEN.contains(raw);
        let Some(one) = shown.get_mut(line).filter(|one| !raw.contains('\n') && is_sure(one)) else {
            continue;
        };
        *one = one.replace(raw, HIDDEN);
    }
    shown
}

/// The offsets of the scalars that are the values of fields with secrets.
fn find_values(node: &Node, values: &mut Vec<(usize, usize)>) {
    node.items().unwrap_or_default().iter().for_each(|item| find_values(item, values));
    let pairs = node.pairs().unwrap_or_default();
    let is_secret = |name: &str| is_secret_name(name.rsplit(['/', '=']).next().unwrap_or_default());
    // An entry of a list, such as an environment variable or an operation of a JSON patch.
    let is_named = pairs.iter().any(|(key, value)| {
        matches!(key.scalar(), Some("name" | "path")) && value.scalar().is_some_and(is_secret)
    });
    for (key, value) in pairs {
        let name = key.scalar().unwrap_or_default();
        let has_secret = is_secret_name(name) || is_named && name == "value";
        let is_text = |text: &str| !["", "true", "false", "null", "~"].contains(&text);
        if has_secret && matches!(&value.kind, NodeKind::Scalar { value, .. } if is_text(value)) {
            values.push((value.start, value.end));
        }
        find_values(value, values);
    }
}

/// The text without the secrets that take several lines. The number of lines and their indentation stay.
fn without_long(text: &str, values: &[(usize, usize)]) -> String {
    let (mut shown, mut at) = (String::with_capacity(text.len()), 0);
    for (start, end) in values.iter().filter(|(start, end)| text[*start..*end].trim_end().contains('\n')) {
        if *start < at {
            continue;
        }
        shown.push_str(&text[at..*start]);
        for (index, line) in text[*start..*end].split('\n').enumerate() {
            if index > 0 {
                shown.push('\n');
            }
            let is_header = index == 0 && line.starts_with(['|', '>']);
            if is_header {
                shown.push_str(line);
            } else if !line.trim().is_empty() {
                shown.push_str(&line[..indent_of(line)]);
                shown.push_str(HIDDEN);
            }
        }
        at = *end;
    }
    shown.push_str(&text[at..]);
    shown
}

fn hide_lines(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut shown = Vec::with_capacity(lines.len());
    let mut within = Within::Nothing;
    for (at, line) in lines.iter().enumerate() {
        let indent = indent_of(line);
        let content = &line[indent..];
        if content.is_empty() {
            shown.push((*line).to_owned());
            continue;
        }
        within = match within {
            // Of a text of several lines, only its indentation shows where it ends.
            Within::Secret { outer, .. } if indent <= outer => Within::Nothing,
            Within::Item(outer) if !content.starts_with("- ") && indent <= outer => Within::Nothing,
            other => other,
        };
        let next = match begins_key(content) {
            true => Within::PrivateKey,
            false => within_after(content, indent),
        };
        match within {
            Within::PrivateKey => {
                let is_end = content.contains("-----END");
                shown.push(format!("{}{HIDDEN}", &line[..indent]));
                within = if is_end { Within::Nothing } else { Within::PrivateKey };
                continue;
            }
            Within::Secret { is_text, .. } if is_text || !is_entry(content) => {
                shown.push(format!("{}{HIDDEN}", &line[..indent]));
                continue;
            }
            Within::Item(_) if content.starts_with("- ") => shown.push(format!("{}- {HIDDEN}", &line[..indent])),
            _ => {
                let shown_line = hide_line(line, is_value_of_secret(&lines, at));
                let names_users = is_user_name(content) || is_item_of_users(&lines, at);
                shown.push(if names_users { shown_line } else { hide_pairs(&shown_line) });
            }
        }
        within = next;
    }
    shown
}

/// A line of a text that was not seen as a whole.
pub fn hide_alone(line: &str) -> String {
    hide_pairs(&hide_line(line, false))
}

/// What the next lines belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    /// The value of a field with a secret: the indentation of the field, and whether the value can only be text.
    Secret {
        outer: usize,
        is_text: bool,
    },
    /// The item of a list behind a flag that takes a secret; the indentation of the flag.
    Item(usize),
    /// A private key in PEM.
    PrivateKey,
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '\t']).len()
}

fn begins_key(content: &str) -> bool {
    content.contains("-----BEGIN") && content.contains("PRIVATE KEY") && !content.contains("-----END")
}

/// Whether a line in the value of a field is a field or an item itself, and so no text.
fn is_entry(content: &str) -> bool {
    content.starts_with('#')
        || content.starts_with("- ")
        || content.split_once(':').is_some_and(|(name, rest)| {
            (rest.is_empty() || rest.starts_with(' ')) && name.trim_matches(['"', '\'']).chars().all(is_word)
        })
}

/// What follows a line whose field has no value in it: the value is in the next lines.
fn within_after(content: &str, indent: usize) -> Within {
    let whole = content.strip_prefix("- ").map_or(content, str::trim_start);
    let field_indent = indent + content.len() - whole.len();
    let bare = without_comment(whole).trim_end();
    let unquoted = bare.trim_end_matches([',', '"', '\'']).trim_start_matches(['"', '\'']);
    if content.starts_with("- ") && unquoted.starts_with("--") && is_secret_name(unquoted) {
        return Within::Item(indent);
    }
    let Some((name, value)) = bare.split_once(':') else { return Within::Nothing };
    let is_text = value.trim_start().starts_with(['|', '>']);
    if (is_text || value.trim().is_empty()) && is_secret_name(name.trim_matches(['"', '\'', ' '])) {
        return Within::Secret { outer: field_indent, is_text };
    }
    Within::Nothing
}

/// Whether a line is the `value` of an entry whose `name` beside it (or `path`, in a JSON patch) is that of a secret.
fn is_value_of_secret(lines: &[&str], at: usize) -> bool {
    let field = |line: &str, names: &[&str]| -> Option<(usize, String)> {
        let indent = indent_of(line);
        let content = &line[indent..];
        let whole = content.strip_prefix("- ").map_or(content, str::trim_start);
        let (name, value) = whole.split_once(':')?;
        let value = without_comment(value).trim().trim_end_matches(',').trim_matches(['"', '\'']);
        let is_meant = names.contains(&name.trim().trim_matches(['"', '\'']));
        is_meant.then(|| (indent + content.len() - whole.len(), value.to_owned()))
    };
    let Some((indent, _)) = field(lines[at], &["value"]) else { return false };
    let is_beside = |line: &&str| indent_of(line) + usize::from(line.trim_start().starts_with("- ")) * 2 >= indent;
    let is_first = |line: &str| line.trim_start().starts_with("- ");
    let above = if is_first(lines[at]) { &[] } else { &lines[..at] };
    let before = above.iter().copied().rev().take(8).take_while(is_beside);
    let mut entry: Vec<&str> = Vec::new();
    for line in before {
        entry.push(line);
        if is_first(line) {
            break;
        }
    }
    entry.extend(lines[at + 1..].iter().copied().take(8).take_while(|line| is_beside(line) && !is_first(line)));
    entry.iter().any(|line| {
        field(line, &["name", "path"]).is_some_and(|(other, name)| {
            other == indent && is_secret_name(name.rsplit(['/', '=']).next().unwrap_or_default())
        })
    })
}

fn without_comment(text: &str) -> &str {
    text.find(" #").map_or(text, |at| &text[..at])
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.')
}

/// Whether a field, a flag or an environment variable of this name has a secret.
fn is_secret_name(name: &str) -> bool {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|char| char.to_ascii_lowercase()).collect();
    NAMES.iter().any(|ending| plain.ends_with(ending))
        || ["pass", "pw"].contains(&name.to_lowercase().rsplit('_').next().unwrap_or_default())
}

/// A line without its secrets. With `is_secret`, its field `value` has one.
fn hide_line(line: &str, is_secret: bool) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    // The field that names a secret, of the entry here; empty if it is on another line.
    let mut named_by = is_secret.then_some("");
    while let Some(start) = rest.find(is_word) {
        shown.push_str(&rest[..start]);
        rest = &rest[start..];
        let word = &rest[..rest.find(|char| !is_word(char)).unwrap_or(rest.len())];
        let behind = &rest[word.len()..];
        // A flow mapping: {name: password, value: ...}, or an operation of a JSON patch. The next one may follow.
        if matches!(word, "name" | "path") && names_secret(behind) {
            named_by = Some(word);
        } else if named_by == Some(word) && behind.trim_start_matches(['"', '\'']).trim_start().starts_with(':') {
            named_by = None;
        }
        let has_secret = is_secret_name(word) || named_by.is_some() && word == "value" || is_scheme(word);
        if has_secret && let Some((gap, value)) = value_behind(word, behind, shown.contains(['{', '[', '"'])) {
            shown.push_str(word);
            shown.push_str(&behind[..gap]);
            shown.push_str(&in_quotes(&behind[gap..gap + value]));
            rest = &behind[gap + value..];
            continue;
        }
        shown.push_str(&if is_secret_shape(word, shown.ends_with("sha256:")) {
            let end = word.trim_end_matches('.').len();
            format!("{HIDDEN}{}", &word[end..])
        } else {
            word.to_owned()
        });
        rest = behind;
    }
    hide_key(hide_user_info(&(shown + rest)))
}

/// A message without the secrets that their shape shows. The words of a message are no fields, so what stands behind them
/// is no secret, and 64 hexadecimal digits are the ID of a container.
pub fn hide_shapes(message: &str) -> String {
    let mut shown = String::with_capacity(message.len());
    for word in message.split_inclusive(|char| !is_word(char)) {
        let (word, end) = word.split_at(word.trim_end_matches(|char| !is_word(char)).len());
        shown.push_str(if is_secret_shape(word, true) { HIDDEN } else { word });
        shown.push_str(end);
    }
    hide_user_info(&shown)
}

/// Whether a line is a field with names of users, which may have a colon and an `@`, as those of OpenID Connect do:
/// `oidc:me@example.org`.
fn is_user_name(content: &str) -> bool {
    let field = content.trim_start_matches(['-', ' ', '"', '\'']);
    ["user", "users", "userGroups", "name", "username"].iter().any(|name| {
        field.strip_prefix(name).is_some_and(|rest| rest.trim_start_matches(['"', '\'']).starts_with(':'))
    })
}

/// Whether a line is an item of a list of users.
fn is_item_of_users(lines: &[&str], at: usize) -> bool {
    let begins_list = |line: &&&str| without_comment(line).trim_end().ends_with([':', '[']);
    let is_item = lines[at].trim_start().starts_with(['-', '"', '\'']);
    is_item && lines[..at].iter().rev().take(1000).find(begins_list).is_some_and(|line| is_user_name(line))
}

/// Hides the user and the password of addresses without a scheme: `user:password@host`.
fn hide_pairs(line: &str) -> String {
    let is_end = |char: char| char.is_whitespace() || "\"'`=,;()[]{}<>".contains(char);
    let mut shown = String::with_capacity(line.len());
    for word in line.split_inclusive(is_end) {
        let pair = word.rsplit_once('@').filter(|(pair, host)| {
            let host = host.trim_end_matches(is_end);
            // Not the digest of an image: `name:tag@sha256:...`.
            let is_host = host.starts_with(|char: char| char.is_ascii_alphanumeric() || char == '[')
                && !host.starts_with("sha256:")
                && !host.starts_with("sha512:");
            let parts = pair.split_once(':');
            is_host
                && parts.is_some_and(|(user, password)| {
                    !password.is_empty()
                        && !user.is_empty()
                        && user.chars().all(is_word)
                        && user != "mailto"
                        && !password.starts_with('/')
                })
        });
        match pair {
            Some((_, host)) => shown.push_str(&format!("{HIDDEN}@{host}")),
            None => shown.push_str(word),
        }
    }
    shown
}

/// Hides a private key in PEM that is whole in one line, as in JSON.
fn hide_key(line: String) -> String {
    const BEGIN: &str = "PRIVATE KEY-----";
    let key = line.find("-----BEGIN").and_then(|at| {
        let start = at + line[at..].find(BEGIN)? + BEGIN.len();
        Some((start, start + line[start..].find("-----END")?))
    });
    match key {
        Some((start, end)) => format!("{}{HIDDEN}{}", &line[..start], &line[end..]),
        None => line,
    }
}

/// Whether the value behind a `name` or `path` is the name of a secret.
fn names_secret(behind: &str) -> bool {
    let value = behind.trim_start_matches(['"', '\'']).trim_start().strip_prefix(':').unwrap_or_default();
    let value = value.trim_start_matches([' ', '"', '\'']);
    let value = &value[..value.find([' ', '"', '\'', ',', '}']).unwrap_or(value.len())];
    is_secret_name(value.rsplit('/').next().unwrap_or_default())
}

/// A word that a secret follows in a header: `Bearer abc`.
fn is_scheme(word: &str) -> bool {
    ["bearer", "basic"].contains(&word.to_ascii_lowercase().as_str())
}

/// Where the value of a field or flag begins behind its name, and how long it is. `None` if there is no value that could
/// be a secret.
fn value_behind(word: &str, behind: &str, in_flow: bool) -> Option<(usize, usize)> {
    let after_quote = behind.trim_start_matches(['"', '\'', '\\']);
    let after_space = after_quote.trim_start();
    let is_flag = word.starts_with("--");
    let (separator, value) = match after_space.chars().next()? {
        char @ (':' | '=') => (char, &after_space[1..]),
        // A flag and its value as two words, or as two items of a list.
        ',' if is_flag => (',', &after_space[1..]),
        _ if (is_flag || is_scheme(word)) && after_space.len() < after_quote.len() => (' ', after_space),
        _ => return None,
    };
    let value = value.trim_start();
    let gap = behind.len() - value.len();
    let length = match value.chars().next()? {
        quote @ ('"' | '\'') => 1 + end_of_quoted(&value[1..], quote) + 1,
        '\\' => value.len(),
        _ if separator == ':' && !in_flow => without_comment(value).trim_end().len(),
        _ if separator == ':' => value.find([',', '}', ']']).unwrap_or(value.len()),
        _ => value.find([' ', '\t', '"', '\'', ',', ';']).unwrap_or(value.len()),
    };
    let length = length.min(value.len());
    let bare = value[..length].trim_matches(['"', '\'']);
    let is_none = ["", "true", "false", "null", "~", HIDDEN].contains(&bare)
        || bare.starts_with(['{', '[', '|', '>', '*', '-'])
        || is_scheme(bare.split(' ').next().unwrap_or_default()) && !bare.contains(' ');
    (!is_none).then_some((gap, length))
}

/// Where a quoted text ends; `text` begins behind the first quote.
fn end_of_quoted(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' if quote == '"' => drop(chars.next()),
            '\'' if quote == '\'' && chars.next_if(|(_, next)| *next == quote).is_some() => {}
            _ if char == quote => return at,
            _ => {}
        }
    }
    text.len()
}

/// What is shown for a value: its quotes stay.
fn in_quotes(value: &str) -> String {
    match value.chars().next() {
        Some(quote @ ('"' | '\'')) if value.len() > 1 && value.ends_with(quote) => {
            format!("{quote}{HIDDEN}{quote}")
        }
        _ => HIDDEN.to_owned(),
    }
}

/// Whether a word is a bootstrap token (`abcdef.0123456789abcdef`), a certificate key (64 hexadecimal digits), a signed
/// token (JWT), a token of a forge, or a private key in base64.
fn is_secret_shape(word: &str, is_digest: bool) -> bool {
    let is_token = |word: &str| {
        let word = word.trim_matches(['.', '-', '_']);
        let is_part = |part: &str| part.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit());
        word.split_once('.')
            .is_some_and(|(id, secret)| id.len() == 6 && secret.len() == 16 && is_part(id) && is_part(secret))
    };
    let is_key = |word: &str| word.len() == 64 && word.chars().all(|char| char.is_ascii_hexdigit());
    let is_signed = word.starts_with("eyJ") && word.len() >= 20;
    // In base64: "-----BEGIN", and "CERTIFICATE".
    let is_pem = word.strip_prefix("LS0tLS1CRUdJTi").is_some_and(|rest| !rest.starts_with("BDRVJUSUZJQ0FUR"));
    let is_of_forge = FORGES.iter().any(|prefix| word.starts_with(prefix)) && word.len() >= 20;
    is_signed
        || is_of_forge
        || is_pem
        || word.split(['-', '_']).any(is_token)
        || !is_digest && word.split(['-', '_', '.']).any(is_key)
}

/// Hides the user and the password of URLs: `https://user:password@host`, also where a URL was taken for a path, and so
/// has one slash.
fn hide_user_info(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(":/") {
        let (before, behind) = rest.split_at(at + if rest[at..].starts_with("://") { 3 } else { 2 });
        shown.push_str(before);
        // A password may have a comma, which also separates URLs.
        let end = behind.find(|char: char| char.is_whitespace() || char == '"').unwrap_or(behind.len());
        let end = behind[..end].find(":/").unwrap_or(end);
        rest = behind;
        if let Some(at) = behind[..end].rfind('@') {
            let user = &behind[..at];
            if !user.contains('/') || user.split('/').next().is_some_and(|host| host.contains(':')) {
                shown.push_str(HIDDEN);
                rest = &behind[at..];
            }
        }
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_shape() {
        let key = "0123456789ABCDEF".repeat(4);
        let signed = format!("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJr{}.c2ln", "A".repeat(20));
        for (line, shown) in [
            (" - token: abcdef.0123456789abcdef", " - token: <hidden>".to_owned()),
            (" 'token': \"abcdef.0123456789abcdef\"  # mine", " 'token': \"<hidden>\"  # mine".to_owned()),
            (" # before: abcdef.0123456789abcdef.", " # before: <hidden>.".to_owned()),
            (" # (abcdef.0123456789abcdef), x", " # (<hidden>), x".to_owned()),
            (
                " - kubeadm join 10.0.0.1 --token abcdef.0123456789abcdef",
                " - kubeadm join 10.0.0.1 --token <hidden>".to_owned(),
            ),
            (&format!("   {key}"), "   <hidden>".to_owned()),
            (&format!(" {{x: {key}}}"), " {x: <hidden>}".to_owned()),
            (&format!(" {{certificateKey: {key}}}"), " {certificateKey: <hidden>}".to_owned()),
            (&format!(" echo {signed}"), " echo <hidden>".to_owned()),
            (&format!(" value: ghp_{}", "a1B2".repeat(9)), " value: <hidden>".to_owned()),
            (
                " - --etcd-servers=https://me:p,w@10.0.0.1:2379,https://10.0.0.2:2379",
                " - --etcd-servers=https://<hidden>@10.0.0.1:2379,https://10.0.0.2:2379".to_owned(),
            ),
            (
                " value: http://proxy:pass@proxy.example:3128",
                " value: http://<hidden>@proxy.example:3128".to_owned(),
            ),
            // Without a scheme.
            (" - --x=me:pass@h", " - --x=<hidden>@h".to_owned()),
            (" value: \"me:p@ss:w/@db.example:5432/x\"", " value: \"<hidden>@db.example:5432/x\"".to_owned()),
            (" # ask me:pass@10.0.0.1 first", " # ask <hidden>@10.0.0.1 first".to_owned()),
            (" server: 'https://me@example.org/x'", " server: 'https://<hidden>@example.org/x'".to_owned()),
        ] {
            assert_eq!(hide_alone(line), shown);
        }
    }

    #[test]
    fn a_message_shows_no_secret_that_was_taken_for_a_path() {
        let signed = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";
        for (message, shown) in [
            (
                "/m: --f is /https:/u:pass@h/x, which does not exist",
                "/m: --f is /https:/<hidden>@h/x, which does not exist",
            ),
            ("token: not a text; correct it", "token: not a text; correct it"),
            ("/m:3:4: a (b), \u{e9} c://d", "/m:3:4: a (b), \u{e9} c://d"),
        ] {
            assert_eq!(hide_shapes(message), shown);
        }
        let message = format!("/etc/wh.yaml:2:3: tokenFile is /etc/{signed}, which does not exist");
        let shown = "/etc/wh.yaml:2:3: tokenFile is /etc/<hidden>, which does not exist";
        assert_eq!(hide_shapes(&message), shown);
    }

    #[test]
    fn secrets_are_known_by_their_field() {
        for (text, shown) in [
            ("token: x1", "token: <hidden>"),
            // In comments, too.
            ("# pw: abc", "# pw: <hidden>"),
            ("a: 1 # password: abc", "a: 1 # password: <hidden>"),
            ("DB_PW=abc", "DB_PW=<hidden>"),
            ("- users: [a]\n  x: me:pass@h", "- users: [a]\n  x: <hidden>@h"),
            ("    password: 'it''s: one'", "    password: '<hidden>'"),
            ("    password: correct horse # battery", "    password: <hidden> # battery"),
            ("client-key-data: LS0tLS1CRUdJTg==", "client-key-data: <hidden>"),
            ("{user: {token: abc, name: me}}", "{user: {token: <hidden>, name: me}}"),
            (r#"{"token":"a\"b,c","x":1}"#, r#"{"token":"<hidden>","x":1}"#),
            (
                r#"[{"op":"add","path":"/a/password","value":"abc"}]"#,
                r#"[{"op":"add","path":"/a/password","value":"<hidden>"}]"#,
            ),
            ("- {name: DB_PASSWORD, value: abc}", "- {name: DB_PASSWORD, value: <hidden>}"),
            (
                "a: [{name: oidc-client-secret, value: abcd}, {name: v, value: 2}, {\"name\": \"x\", \"value\": \"y\"}]",
                "a: [{name: oidc-client-secret, value: <hidden>}, {name: v, value: 2}, {\"name\": \"x\", \"value\": \"y\"}]",
            ),
            (
                "a: [{name: a-secret, value: abcd}, {value: efgh, name: b-secret}]",
                "a: [{name: a-secret, value: <hidden>}, {value: <hidden>, name: b-secret}]",
            ),
            ("- name: DB_PASSWORD\n  value: abc", "- name: DB_PASSWORD\n  value: <hidden>"),
            ("- value: abc\n  name: DB_PASSWORD", "- value: <hidden>\n  name: DB_PASSWORD"),
            (
                "- name: a\n  value: abc\n- name: DB_PASSWORD\n  value: b",
                "- name: a\n  value: abc\n- name: DB_PASSWORD\n  value: <hidden>",
            ),
            (
                "- op: add\n  path: /users/0/user/token\n  value: abc",
                "- op: add\n  path: /users/0/user/token\n  value: <hidden>",
            ),
            ("- --token=abc --v=2", "- --token=<hidden> --v=2"),
            // However the field is written.
            (
                "- name: A_TOKEN\n  value: |\n    abc\n    def\n- x",
                "- name: A_TOKEN\n  value: |\n    <hidden>\n    <hidden>\n- x",
            ),
            ("- name: A_TOKEN\n  value:\n    abc\n- x", "- name: A_TOKEN\n  value:\n    <hidden>\n- x"),
            (
                "- name: A_TOKEN\n  value: \"abc\n    def\"\n- x",
                "- name: A_TOKEN\n  value: <hidden>\n    <hidden>\n- x",
            ),
            ("- {name: A_TOKEN,\n   value: abc}\n- x", "- {name: A_TOKEN,\n   value: <hidden>}\n- x"),
            (
                "- name: A_TOKEN\n\n  # of the database\n  value: abc",
                "- name: A_TOKEN\n\n  # of the database\n  value: <hidden>",
            ),
            ("- ? name\n  : A_TOKEN\n  ? value\n  : abc", "- ? name\n  : A_TOKEN\n  ? value\n  : <hidden>"),
            ("- --token\n- abc\n- --v=2", "- --token\n- <hidden>\n- --v=2"),
            ("[\"--token\", \"abc\"]", "[\"--token\", \"<hidden>\"]"),
            ("run --password abc -v", "run --password <hidden> -v"),
            ("Authorization: Bearer abc", "Authorization: <hidden>"),
            ("curl -H 'X: Bearer abc'", "curl -H 'X: Bearer <hidden>'"),
            (
                "a:\n  secret: |\n    one: 1\n\n    two\n  b: 1",
                "a:\n  secret: |\n    <hidden>\n\n    <hidden>\n  b: 1",
            ),
            (
                r#"{"x":"-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n"}"#,
                r#"{"x":"-----BEGIN PRIVATE KEY-----<hidden>-----END PRIVATE KEY-----\n"}"#,
            ),
            ("x: LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCg==", "x: <hidden>=="),
            ("token:\n  abc\nb: 1", "token:\n  <hidden>\nb: 1"),
            (
                "x: |\n  -----BEGIN RSA PRIVATE KEY-----\n  abc\n  -----END RSA PRIVATE KEY-----\n  y",
                "x: |\n  -----BEGIN RSA PRIVATE KEY-----\n  <hidden>\n  <hidden>\n  y",
            ),
        ] {
            assert_eq!(hide(text).join("\n"), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        for text in [
            "    value: /var/log/kubernetes/audit/audit.log",
            " image: registry.k8s.io/kube-apiserver:v1.31.4",
            "image: registry.k8s.io/kube-apiserver@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUM=",
            "automountServiceAccountToken: false",
            "tokenFile: /etc/kubernetes/token",
            "- secret:\n    secretName: x\n  name: y",
            "- --service-account-signing-key-file=/etc/kubernetes/pki/sa.key",
            "- --enable-bootstrap-token-auth=true",
            "  - resources: [\"secrets\", \"configmaps\", \"tokenreviews\"]",
            "- name: audit-log-path\n  value: /var/log/a",
            "url: https://example.org/a@b",
            "image: registry.local:5000/kube-apiserver:v1.31.4@sha256:0123456789abcdef",
            "image: a:b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "- --etcd-servers=10.0.0.1:2379,[::1]:2379",
            "current-context: kubernetes-admin@kubernetes",
            "# ask me@example.org, or mailto:me@example.org",
            "# git@github.com:me/x, at 12:30 @home",
            "users: [\"oidc:me@example.org\"]",
            "- users:\n  # by OpenID Connect\n  - oidc:me@example.org\n  - \"oidc:you@example.org\"",
            "subjects:\n- kind: User\n  name: oidc:me@example.org",
            "- system:serviceaccount:a:b",
            "",
        ] {
            assert_eq!(hide(text).join("\n"), text);
        }
    }
}
