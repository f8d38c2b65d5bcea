//! Every message says what to type or do. `messages.tsv` has each text of the program that a user can see, and the part
//! of it that is the advice, as a person has read it. The texts are read from the source: every string of three words
//! or more, so that no message escapes because a new function carries it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/messages.tsv");
/// A shorter text is a word of a file or of an option.
const WORDS: usize = 3;
/// What these get is a report of what goes well, or never comes to a user.
const REPORTS: [&str; 6] = ["info!", "debug!", "progress", "writeln!", "debug_assert!", "unreachable!"];
const HEAD: &str = "\
# Each text that a user can see: the text, a tab, and the part of it that says what to type or do.
# A part in braces stands for such a part, which is a text of its own in this table, or comes from the caller.
# Or, instead of the part, a dash, a tab, and why no advice is needed:
#   cause   it is put into another message, which has the advice
#   report  it tells a result, a state or a progress, with which nothing is wrong
#   file    it is written to a file, or compared with what another program says
#   else, a sentence
# UPDATE_MESSAGES=1 cargo test --locked --test messages adds new texts, and removes those that are gone.
";

/// A piece of Rust's source.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A name, with the exclamation mark of a macro.
    Name(String),
    /// The value of a string.
    Text(String),
    Mark(char),
}

use Token::{Mark, Name, Text};

/// The tokens of a source, without its comments, characters, numbers and lifetimes.
fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let prefix = rest.find(|c: char| !"brc".contains(c)).unwrap_or(rest.len());
        let hashes = rest[prefix..].len() - rest[prefix..].trim_start_matches('#').len();
        let is_raw = rest[..prefix].ends_with('r');
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            end_of_comment(rest)
        } else if is_raw && rest[prefix + hashes..].starts_with('"') {
            let (start, end) = (prefix + hashes + 1, format!("\"{}", "#".repeat(hashes)));
            let length = rest[start..].find(&end).expect("a raw string has an end");
            tokens.push(Text(rest[start..start + length].to_owned()));
            start + length + end.len()
        } else if rest[prefix..].starts_with('"') {
            let (value, length) = string(&rest[prefix + 1..]);
            tokens.push(Text(value));
            prefix + 1 + length
        } else if first == '\'' {
            let mut chars = rest[1..].char_indices().map(|(at, c)| (at + 1, c));
            match (chars.next(), chars.next()) {
                (Some((_, '\\')), Some((at, _))) => at + 1 + rest[at + 1..].find('\'').unwrap_or_default() + 1,
                (_, Some((at, '\''))) => at + 1,
                _ => 1 + rest[1..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len() - 1),
            }
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let is_macro = rest[end..].starts_with('!') && !rest[end..].starts_with("!=");
            let length = end + usize::from(is_macro);
            tokens.push(Name(rest[..length].to_owned()));
            length
        } else {
            if !first.is_whitespace() {
                tokens.push(Mark(first));
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

/// Where a comment ends that can have others in it.
fn end_of_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = &text[at..];
        depth += i32::from(rest.starts_with("/*")) - i32::from(rest.starts_with("*/"));
        match rest.chars().next() {
            None => return at,
            Some(_) if rest.starts_with("/*") || rest.starts_with("*/") => at += 2,
            Some(c) => at += c.len_utf8(),
        }
        if depth == 0 {
            return at;
        }
    }
}

/// The value of a string after its first quote, and its length with the last quote.
fn string(text: &str) -> (String, usize) {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, at + 1),
            '\\' => match chars.next().expect("a backslash is before a character").1 {
                // The line goes on at the next word.
                '\n' => while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {},
                'n' => value.push('\n'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    panic!("a string has no end: {text:.60}");
}

/// The position behind the bracket that closes the one at a position.
fn closing(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0;
    for (length, token) in tokens[at..].iter().enumerate() {
        match token {
            Mark('(' | '[' | '{') => depth += 1,
            Mark(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + length + 1;
        }
    }
    tokens.len()
}

/// What a source says to a user: its texts of some words, outside attributes and tests. Modules for tests are named in
/// `tests`.
fn texts(tokens: &[Token], tests: &mut Vec<String>) -> Vec<String> {
    let is_report = |calls: &[String]| calls.iter().any(|call| REPORTS.contains(&call.as_str()));
    let mut texts = Vec::new();
    let mut calls: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let attribute = match &tokens[at..] {
            [Mark('#'), Mark('['), ..] => Some(at + 1),
            [Mark('#'), Mark('!'), Mark('['), ..] => Some(at + 2),
            _ => None,
        };
        if let Some(start) = attribute {
            let end = closing(tokens, start);
            at = end;
            if tokens[start..end] == self::tokens("[cfg(test)]") {
                at += tokens[end..].iter().take_while(|token| !matches!(token, Mark('{' | ';'))).count();
                if let Some([Name(word), Name(name)]) = tokens[..at].last_chunk::<2>()
                    && word == "mod"
                {
                    tests.push(name.clone());
                }
                at = closing(tokens, at);
            }
            continue;
        }
        match token {
            Mark('(' | '[' | '{') => calls.push(match at.checked_sub(1).map(|before| &tokens[before]) {
                Some(Name(name)) => name.clone(),
                _ => String::new(),
            }),
            Mark(')' | ']' | '}') => {
                calls.pop();
            }
            Text(text) if text.split_whitespace().count() >= WORDS && !is_report(&calls) => {
                texts.push(text.clone())
            }
            _ => {}
        }
        at += 1;
    }
    texts
}

/// The texts of the program, by file.
fn collect(folder: &Path) -> Vec<(String, Vec<String>)> {
    let mut files = BTreeMap::new();
    let mut tests: Vec<PathBuf> = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(path) = folders.pop() {
        for entry in fs::read_dir(&path).unwrap() {
            let file = entry.unwrap().path();
            if file.is_dir() {
                folders.push(file);
            } else if file.extension().is_some_and(|extension| extension == "rs") {
                let mut names = Vec::new();
                let texts = texts(&tokens(&fs::read_to_string(&file).unwrap()), &mut names);
                tests.extend(names.iter().map(|name| path.join(name)));
                files.insert(file, texts);
            }
        }
    }
    files.retain(|file, texts| {
        !texts.is_empty() && !tests.iter().any(|test| file.starts_with(test) || file.with_extension("") == *test)
    });
    let name = |file: &Path| file.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
    files.iter().map(|(file, texts)| (name(file), texts.clone())).collect()
}

/// A text as it is in the table, in one line that is no comment.
fn escaped(text: &str) -> String {
    let line = text.replace('\\', r"\\").replace('\n', r"\n").replace('\t', r"\t");
    if line.starts_with('#') { format!(r"\{line}") } else { line }
}

/// The table: for each text the rest of its line.
fn read(table: &str) -> BTreeMap<String, String> {
    let lines = table.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut rows = BTreeMap::new();
    for line in lines {
        let (text, rest) = line.split_once('\t').unwrap_or((line, ""));
        assert!(
            rows.insert(text.to_owned(), rest.to_owned()).is_none(),
            "messages.tsv has this twice; remove one: {text}"
        );
    }
    rows
}

/// What is wrong with a line of the table, and what to do.
fn fault(text: &str, rest: &str) -> Option<String> {
    let problem = match rest.split_once('\t') {
        Some(("-", reason)) if !reason.trim().is_empty() => return None,
        Some(("-", _)) => "has no reason behind its dash; write why it needs no advice",
        None if rest == "-" => "has no reason behind its dash; write why it needs no advice",
        Some(_) => "has a second tab, which only a dash can have; remove it",
        None if rest.is_empty() => {
            "has no advice; write behind the tab the part of the message that says what to type or do. If it has none, \
             write one in the source; if it needs none, write a dash, a tab and why"
        }
        None if !text.contains(rest) => {
            return Some(format!(
                "messages.tsv: the message does not have its advice; correct one of them: {rest:?} in {text}"
            ));
        }
        None => return None,
    };
    Some(format!("messages.tsv: this message {problem}: {text}"))
}

/// What is wrong with a table.
fn faults(found: &[(String, Vec<String>)], rows: &BTreeMap<String, String>) -> Vec<String> {
    let mut unused: BTreeMap<_, _> = rows.iter().collect();
    let mut faults = Vec::new();
    for (file, texts) in found {
        for text in texts.iter().map(|text| escaped(text)) {
            unused.remove(&text);
            if !rows.contains_key(&text) {
                faults.push(format!(
                    "src/{file}: this message is not in messages.tsv; run the test with UPDATE_MESSAGES=1, then fill \
                     in its advice: {text}"
                ));
            }
        }
    }
    let gone = unused.keys().map(|text| {
        format!(
            "messages.tsv: no message is so any more; run the test with UPDATE_MESSAGES=1, which removes it: {text}"
        )
    });
    faults.extend(gone);
    faults.extend(rows.iter().filter_map(|(text, rest)| fault(text, rest)));
    faults
}

/// The table with each text in the order of the source; what is known of it stays.
fn updated(found: &[(String, Vec<String>)], rows: &BTreeMap<String, String>) -> String {
    let mut table = HEAD.to_owned();
    let mut told = std::collections::BTreeSet::new();
    for (file, texts) in found {
        let texts: Vec<_> =
            texts.iter().map(|text| escaped(text)).filter(|text| told.insert(text.clone())).collect();
        if !texts.is_empty() {
            let _ = writeln!(table, "\n# src/{file}");
        }
        for text in texts {
            let _ = writeln!(table, "{text}\t{}", rows.get(&text).map_or("", String::as_str));
        }
    }
    table
}

#[test]
fn each_message_says_what_to_do_as_a_person_has_read_it() {
    let found = collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let mut rows = read(&fs::read_to_string(TABLE).unwrap_or_default());
    if std::env::var_os("UPDATE_MESSAGES").is_some() {
        let table = updated(&found, &rows);
        fs::write(TABLE, &table).unwrap();
        rows = read(&table);
    }
    let faults = faults(&found, &rows);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn the_scanner_reads_what_rust_reads() {
    let cases: [(&str, &[&str]); 9] = [
        (r#"bail!("{path}: this is wrong; \"go\" \\ on")"#, &[r#"{path}: this is wrong; "go" \ on"#]),
        ("bail!(\"this is \\\n          one line\")", &["this is one line"]),
        (
            "// bail!(\"this is commented\")\n/* \"so is /* this */ too\" */ x(\"but not this one\")",
            &["but not this one"],
        ),
        (r##"x(r#"a raw "one" here"#, br"and b here")"##, &[r#"a raw "one" here"#, "and b here"]),
        (
            "x('\"', '\\'', 'a', \"after a quote character\"); fn f<'a>(x: &'a str) { y(\"after a life time\") }",
            &["after a quote character", "after a life time"],
        ),
        (
            "#[arg(help = \"words of an option\")] struct A; const B: &str = \"words of a constant\";",
            &["words of a constant"],
        ),
        (
            "#[cfg(test)]\nmod tests { fn f() { g(\"words of a test\") } }\nx(\"words after a test\")",
            &["words after a test"],
        ),
        (
            "log::info!(\"words of a report: {}\", x(\"and its {y} words\")); x(format!(\"{a} != b; {}\", !c))",
            &["{a} != b; {}"],
        ),
        ("x(\"two words\", \"with three words\")", &["with three words"]),
    ];
    for (source, expected) in cases {
        assert_eq!(texts(&tokens(source), &mut Vec::new()), expected, "{source}");
    }
    let mut tests = Vec::new();
    assert_eq!(texts(&tokens("#[cfg(test)]\npub mod testing;\nx(\"words of a program\")"), &mut tests).len(), 1);
    assert_eq!(tests, ["testing"]);
}

#[test]
fn a_table_that_differs_from_the_program_is_a_fault() {
    let found = [("a.rs".to_owned(), vec!["it is wrong; correct it".to_owned()])];
    let cases = [
        ("it is wrong; correct it\tcorrect it\n", None),
        ("it is wrong; correct it\t-\tcause\n", None),
        ("", Some("is not in messages.tsv")),
        ("it is wrong; correct it\t\n", Some("has no advice")),
        ("it is wrong; correct it\t-\n", Some("no reason")),
        ("it is wrong; correct it\t-\t \n", Some("no reason")),
        ("it is wrong; correct it\tremove it\n", Some("does not have its advice")),
        ("it is wrong; correct it\tcorrect it\tcause\n", Some("second tab")),
        (
            "it is wrong; correct it\tcorrect it\nan old one; remove it\tremove it\n",
            Some("no message is so any more"),
        ),
    ];
    for (table, expected) in cases {
        let faults = faults(&found, &read(table));
        match expected {
            None => assert_eq!(faults, [""; 0], "{table}"),
            Some(words) => assert!(faults.len() == 1 && faults[0].contains(words), "{table}: {faults:?}"),
        }
    }
}
