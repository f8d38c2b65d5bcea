//! Tests with random files: an edit is right or is refused, and never panics.
//!
//! A file is written from a tape of random bytes. Each byte chooses a part of the layout: indentation, block or flow,
//! quotes, comments, blank lines, line endings, block scalars beside the edit, keys that are null, empty or missing.
//! Zero is the simplest choice, so proptest shrinks a failing tape to a simple file. The code that writes a line knows
//! whether an edit must change it, and then marks it. All other lines must still be there after the edit, byte for
//! byte.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::kubeadm::Reader;
use super::{Wanted, kubeadm, manifest};
use crate::audit::{flags, policy};
use crate::config::Config;

/// The mark in a line that an edit must change; [`unmark`] removes it.
const MARK: char = '\u{1}';

struct Tape<'t> {
    bytes: &'t [u8],
    at: usize,
    eol: &'static str,
    comments: usize,
    /// The last value is a block scalar: deeper lines belong to it, and so does the last line break.
    block: bool,
}

impl Tape<'_> {
    /// One of `n` choices.
    fn choose(&mut self, n: u8) -> u8 {
        let byte = self.bytes.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        byte % n
    }

    fn word(&mut self, words: &[&str]) -> String {
        words[self.choose(words.len() as u8) as usize].to_owned()
    }

    /// The end of a line, with or without a comment.
    fn end(&mut self) -> String {
        self.block = false;
        self.comments += 1;
        match self.choose(6) {
            1 => format!("   # comment {}{}", self.comments, self.eol),
            2 => format!("\t# tab {}{}", self.comments, self.eol),
            3 => format!("  {}", self.eol),
            _ => self.eol.to_owned(),
        }
    }

    /// Blank lines and comments between other lines, at any indentation.
    fn between(&mut self, indent: usize) -> String {
        self.comments += 1;
        let eol = self.eol;
        match self.choose(8) {
            1 => format!("{:indent$}# between {}{eol}", "", self.comments),
            2 => eol.to_owned(),
            3 => format!("# left {}{eol}", self.comments),
            4 if !self.block => {
                format!("{:deep$}# deep {}: not 'a' value{eol}", "", self.comments, deep = indent + 3)
            }
            5 => format!("{:indent$}{eol}", ""),
            _ => String::new(),
        }
    }

    fn key(&mut self, key: &str) -> String {
        match self.choose(5) {
            1 => format!("\"{key}\""),
            2 => format!("'{key}'"),
            _ => key.to_owned(),
        }
    }

    /// A value of another program, which YAML 1.1 and YAML 1.2 read differently.
    fn foreign(&mut self, indent: usize) -> String {
        let eol = self.eol;
        let pad = " ".repeat(indent);
        self.block = true;
        match self.choose(9) {
            1 => format!("0644{}", self.end()),
            2 => format!("1.30{}", self.end()),
            3 => format!("'it''s # no comment'{}", self.end()),
            4 => format!("|{eol}{pad}line one{eol}{eol}{pad}  # no comment{eol}"),
            5 => format!(">-{eol}{pad}folded{eol}{pad}text{eol}"),
            6 => format!("|+{eol}{pad}kept{eol}{eol}"),
            7 => format!("plain on{eol}{pad}two lines{}", self.end()),
            _ => format!("yes{}", self.end()),
        }
    }
}

/// A mark, if the value of a flag is not the wanted one.
fn mark(flag: &str, value: &str) -> &'static str {
    let value = value.trim_matches(['"', '\'']);
    let differs = wanted().flags.iter().any(|(name, wanted)| *name == flags::normal(flag) && value != wanted);
    if differs { "\u{1}" } else { "" }
}

/// A text without its marks, and the lines without a mark, which must stay.
fn unmark(marked: &str) -> (String, Vec<String>) {
    let stay = marked.split_inclusive('\n').filter(|line| !line.contains(MARK)).map(str::to_owned).collect();
    (marked.replace(MARK, ""), stay)
}

const VALUES: &[&str] = &["\"30\"", "'7'", "\"1_000\"", "json", "/var/log/x.log", "\"\""];

fn kubeadm_file(tape: &mut Tape, list: bool) -> String {
    let eol = tape.eol;
    let step = 2 + tape.choose(3) as usize;
    let dash = if tape.choose(2) == 0 { 0 } else { step };
    let version = if list { "v1beta4" } else { "v1beta3" };
    let mut text = String::new();
    if tape.choose(3) == 1 {
        text += &format!("---{eol}apiVersion: kubeadm.k8s.io/{version}{eol}kind: InitConfiguration{eol}---{eol}");
    }
    text += &tape.between(0);
    text += &format!("apiVersion: kubeadm.k8s.io/{version}{}kind: ClusterConfiguration{}", tape.end(), tape.end());
    text += &tape.between(0);
    text += &format!("{}: {}", tape.key("clusterName"), tape.foreign(step));
    text += &tape.between(0);
    let key = tape.key("apiServer");
    match tape.choose(8) {
        1 => text += &format!("{key}: {MARK}{{}}{}", tape.end()),
        2 => text += &format!("{key}:{}", tape.end()),
        3 => text += &format!("{key}: {MARK}~{}", tape.end()),
        4 => {}
        _ => {
            text += &format!("{key}:{}", tape.end());
            let pad = " ".repeat(step);
            text += &format!("{pad}{}: {}", tape.key("timeoutForControlPlane"), tape.foreign(2 * step));
            text += &tape.between(step);
            let names = ["authorization-mode", "audit-log-maxage", "audit_log_maxsize", "audit-log-mode"];
            let (count, key) = (tape.choose(4) as usize, tape.key("extraArgs"));
            match tape.choose(6) {
                1 => text += &format!("{pad}{key}: {MARK}{}{}", if list { "[]" } else { "{}" }, tape.end()),
                2 => text += &format!("{pad}{key}:{}", tape.end()),
                3 => {
                    let pair = |name: &&str| {
                        let mark = mark(name, "1");
                        if list {
                            format!("{mark}{{name: {name}, value: \"1\"}}")
                        } else {
                            format!("{mark}{name}: \"1\"")
                        }
                    };
                    let pairs: Vec<_> = names[..count].iter().map(pair).collect();
                    let (open, close) = if list { ("[", "]") } else { ("{", "}") };
                    // A new item comes after the last one, or else after the bracket.
                    let (first, last) = if pairs.is_empty() { ("\u{1}", "") } else { ("", "\u{1}") };
                    text += &match tape.choose(2) {
                        1 => format!(
                            "{pad}{key}: {open}{first}{eol}{pad}  {}{last}{eol}{pad}  {close}{}",
                            pairs.join(&format!(",{eol}{pad}  ")),
                            tape.end()
                        ),
                        _ => format!("{pad}{key}: {open}{}{MARK}{close}{}", pairs.join(", "), tape.end()),
                    };
                }
                _ if count == 0 => {}
                _ => {
                    text += &format!("{pad}{key}:{}", tape.end());
                    for name in &names[..count] {
                        text += &tape.between(2 * step);
                        let value = tape.word(VALUES);
                        let value = format!("{}{value}", mark(name, &value));
                        if list {
                            let pad = " ".repeat(step + dash);
                            text +=
                                &format!("{pad}- name: {name}{}{pad}  value: {value}{}", tape.end(), tape.end());
                        } else {
                            text += &format!("{pad}{pad}{name}: {value}{}", tape.end());
                        }
                    }
                }
            }
            text += &tape.between(step);
            if tape.choose(3) == 1 {
                let pad_item = " ".repeat(step + dash);
                text += &format!("{pad}extraVolumes:{}{pad_item}- name: audit{}", tape.end(), tape.end());
                text +=
                    &format!("{pad_item}  hostPath: /opt{}{pad_item}  mountPath: /opt{}", tape.end(), tape.end());
            }
        }
    }
    text += &tape.between(0);
    if tape.choose(2) == 1 {
        text += &format!("networking:{}{}podSubnet: {}", tape.end(), " ".repeat(step), tape.foreign(2 * step));
    }
    finish(tape, text)
}

fn manifest_file(tape: &mut Tape) -> String {
    let eol = tape.eol;
    let dash = 2 * tape.choose(2) as usize;
    let mut text = tape.between(0);
    text += &format!("apiVersion: v1{}kind: Pod{}", tape.end(), tape.end());
    text += &format!("metadata: {{name: kube-apiserver}}{}spec:{}", tape.end(), tape.end());
    text += &format!("  priorityClassName: {}", tape.foreign(4));
    text += &format!("  containers:{eol}");
    let (item, pad) = (" ".repeat(2 + dash), " ".repeat(4 + dash));
    text += &format!("{item}- name: kube-apiserver{}", tape.end());
    text += &tape.between(4 + dash);
    let flags = ["--secure-port=6443", "--audit-log-maxage=3", "--audit_log_maxsize=4", "--audit-log-compress"];
    let flags: Vec<_> = flags[..1 + tape.choose(4) as usize]
        .iter()
        .map(|flag| {
            let (name, value) = flag[2..].split_once('=').unwrap_or((&flag[2..], "true"));
            (*flag, mark(name, value))
        })
        .collect();
    let marked: Vec<_> = flags.iter().map(|(flag, mark)| format!("{mark}{flag}")).collect();
    let key = tape.key("command");
    match tape.choose(4) {
        1 => text += &format!("{pad}{key}: {MARK}[kube-apiserver, \"{}\"]{}", marked.join("\", \""), tape.end()),
        2 => {
            text += &format!(
                "{pad}{key}: [{eol}{pad}  kube-apiserver,{}{pad}  {}{MARK}",
                tape.end(),
                marked.join(&format!(",{eol}{pad}  "))
            );
            text += &format!("{}{eol}{pad}]{}", if tape.choose(2) == 1 { "," } else { "" }, tape.end());
        }
        _ => {
            text += &format!("{pad}{key}:{}{pad}{:dash$}- kube-apiserver{}", tape.end(), "", tape.end());
            for (flag, mark) in flags {
                text += &tape.between(4 + dash);
                let flag = match tape.choose(4) {
                    1 => format!("{mark}\"{flag}\""),
                    2 => format!("{mark}'{flag}'"),
                    3 => format!(">-{mark}{eol}{pad}{:dash$}  {mark}{flag}", ""),
                    _ => format!("{mark}{flag}"),
                };
                let end = if flag.starts_with('>') { eol.to_owned() } else { tape.end() };
                tape.block = flag.starts_with('>');
                text += &format!("{pad}{:dash$}- {flag}{end}", "");
            }
        }
    }
    text += &tape.between(4 + dash);
    match tape.choose(5) {
        1 => text += &format!("{pad}volumeMounts: {MARK}[]{}", tape.end()),
        2 => text += &format!("{pad}volumeMounts:{}", tape.end()),
        3 => {
            text += &format!(
                "{pad}volumeMounts:{}{pad}{:dash$}- {{mountPath: /opt, name: x}}{}",
                tape.end(),
                "",
                tape.end()
            )
        }
        _ => {}
    }
    text += &format!("{pad}image: {}", tape.foreign(6 + dash));
    text += &tape.between(2);
    match tape.choose(4) {
        1 => text += &format!("  volumes: {MARK}null{}", tape.end()),
        2 => {
            text += &format!(
                "  volumes:{}  {:dash$}- name: x{}  {:dash$}  hostPath: {{path: /data}}{}",
                tape.end(),
                "",
                tape.end(),
                "",
                tape.end()
            )
        }
        3 => text += &format!("  hostname: {}", tape.foreign(4)),
        _ => {}
    }
    text += &tape.between(0);
    finish(tape, text)
}

/// With or without a last line break, a byte order mark, a document end.
fn finish(tape: &mut Tape, text: String) -> String {
    match tape.choose(5) {
        1 if !tape.block => text.trim_end_matches(['\r', '\n']).to_owned(),
        2 => format!("\u{feff}{text}"),
        3 => format!("{text}...{}", tape.eol),
        _ => text,
    }
}

/// Checks that every line in `stay` is in `after`, in order, and every comment of `before`, too.
fn nothing_lost(before: &str, stay: &[String], after: &str) -> Result<(), TestCaseError> {
    let mut left = after.split_inclusive('\n');
    for line in stay {
        // A last line gets its line break.
        let is_it =
            |other: &str| other == line || !line.ends_with('\n') && other.trim_end_matches(['\r', '\n']) == line;
        prop_assert!(left.any(is_it), "the line {line:?} is lost:\n{before}\n{after}");
    }
    for line in before.lines() {
        let comment = line.trim_end().split_once(" # ").or_else(|| line.trim_end().split_once("\t# "));
        if let Some((_, comment)) = comment {
            prop_assert!(after.contains(comment), "the comment {comment:?} is lost:\n{before}\n{after}");
        }
    }
    prop_assert_eq!(before.contains('\r'), after.contains('\r'));
    if before.contains('\r') {
        prop_assert!(!after.replace("\r\n", "").contains('\n'), "mixed line endings:\n{after:?}");
    }
    prop_assert_eq!(before.starts_with('\u{feff}'), after.starts_with('\u{feff}'));
    Ok(())
}

/// The mounts that the API server needs, as README.md has them: path, read-only, type.
const MOUNTS: [(&str, bool, &str); 2] = [
    ("/etc/kubernetes/audit-policy.yaml", true, "File"),
    ("/var/log/kubernetes/audit", false, "DirectoryOrCreate"),
];

/// The items of a list; none if the file has no list.
fn items(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

/// Checks that the items of `before` come first and are unchanged. Returns the other items.
fn added(before: &Value, after: &Value) -> Result<Vec<Value>, TestCaseError> {
    let (before, mut after) = (items(before), items(after));
    prop_assert!(after.starts_with(&before), "{before:?} are not first in {after:?}");
    Ok(after.split_off(before.len()))
}

fn wanted() -> Wanted {
    Wanted::of(&Config::default())
}

/// Checks that the file has the wanted flags, as the other YAML parser reads it.
fn has_flags(found: &Value, pick: impl Fn(&str) -> Option<String>) -> Result<(), TestCaseError> {
    for (name, value) in wanted().flags {
        let there = pick(&name);
        prop_assert!(
            there.as_ref().is_some_and(|there| flags::is_equivalent(&name, there, &value)),
            "{name} is {there:?} in {found}"
        );
    }
    Ok(())
}

fn documents(text: &str) -> Vec<Value> {
    use serde::Deserialize;
    let text = text.trim_start_matches('\u{feff}');
    serde_yaml::Deserializer::from_str(text).map(|one| Value::deserialize(one).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_kubeadm_files_are_edited_right(bytes in prop::collection::vec(any::<u8>(), 90), list: bool, crlf: bool) {
        let mut tape = Tape { bytes: &bytes, at: 0, eol: if crlf { "\r\n" } else { "\n" }, comments: 0, block: false };
        let (text, stay) = unmark(&kubeadm_file(&mut tape, list));
        let file = kubeadm::read(&text, "/f", Reader::Unknown).map_err(|refusal| TestCaseError::fail(format!("{refusal}\n{text}")))?;
        let wired = kubeadm::wire(&text, &file, &wanted(), None)
            .map_err(|refusal| TestCaseError::fail(format!("{refusal}\n{text}")))?;
        nothing_lost(&text, &stay, &wired.text)?;
        let all = documents(&wired.text);
        let cluster = all.iter().find(|one| one["kind"] == "ClusterConfiguration").unwrap();
        let args = &cluster["apiServer"]["extraArgs"];
        has_flags(args, |name| match args {
            Value::Array(items) => {
                items.iter().rev().find(|item| item["name"] == name || item["name"] == name.replace('-', "_"))
                    .and_then(|item| item["value"].as_str().map(str::to_owned))
                    .or_else(|| items.iter().rev().find(|item| flags::normal(item["name"].as_str().unwrap()) == name)?["value"].as_str().map(str::to_owned))
            }
            map => map.as_object()?.iter().find(|(key, _)| flags::normal(key) == name)?.1.as_str().map(str::to_owned),
        })?;
        let volumes = |text: &str| {
            let all = documents(text);
            let cluster = all.iter().find(|one| one["kind"] == "ClusterConfiguration").cloned();
            cluster.unwrap_or_default()["apiServer"]["extraVolumes"].clone()
        };
        let before = volumes(&text);
        // A name that another volume has is not used again.
        let policy = if items(&before).is_empty() { "audit" } else { "audit-2" };
        let ours: Vec<_> = MOUNTS
            .iter()
            .zip([policy, "audit-log"])
            .map(|((path, read_only, kind), name)| {
                json!({"name": name, "hostPath": path, "mountPath": path, "readOnly": read_only, "pathType": kind})
            })
            .collect();
        prop_assert_eq!(added(&before, &volumes(&wired.text))?, ours);
        let again = kubeadm::read(&wired.text, "/f", Reader::Unknown).unwrap();
        prop_assert_eq!(&kubeadm::wire(&wired.text, &again, &wanted(), None).unwrap().text, &wired.text);
    }

    #[test]
    fn random_manifests_are_edited_right(bytes in prop::collection::vec(any::<u8>(), 90), crlf: bool) {
        let mut tape = Tape { bytes: &bytes, at: 0, eol: if crlf { "\r\n" } else { "\n" }, comments: 0, block: false };
        let (text, stay) = unmark(&manifest_file(&mut tape));
        let file = manifest::read(&text).map_err(|refusal| TestCaseError::fail(format!("{refusal}\n{text}")))?;
        let wired = manifest::wire(&text, &file, &wanted(), None)
            .map_err(|refusal| TestCaseError::fail(format!("{refusal}\n{text}")))?;
        nothing_lost(&text, &stay, &wired.text)?;
        let all = documents(&wired.text);
        let command = &all[0]["spec"]["containers"][0]["command"];
        has_flags(command, |name| {
            let flag = command.as_array()?.iter().rev().filter_map(|item| item.as_str()?.strip_prefix("--"))
                .map(|flag| flag.split_once('=').unwrap_or((flag, "true")))
                .find(|(found, _)| flags::normal(found) == name)?;
            Some(flag.1.to_owned())
        })?;
        let before = documents(&text);
        let names = ["audit", "audit-log"];
        let mounts = MOUNTS.iter().zip(names).map(|((path, read_only, _), name)| {
            json!({"mountPath": path, "name": name, "readOnly": read_only})
        });
        let list = |pod: &Value| pod["spec"]["containers"][0]["volumeMounts"].clone();
        prop_assert_eq!(added(&list(&before[0]), &list(&all[0]))?, mounts.collect::<Vec<_>>());
        let volumes = MOUNTS.iter().zip(names).map(|((path, _, kind), name)| {
            json!({"hostPath": {"path": path, "type": kind}, "name": name})
        });
        let list = |pod: &Value| pod["spec"]["volumes"].clone();
        prop_assert_eq!(added(&list(&before[0]), &list(&all[0]))?, volumes.collect::<Vec<_>>());
        let again = manifest::read(&wired.text).unwrap();
        prop_assert_eq!(&manifest::wire(&wired.text, &again, &wanted(), None).unwrap().text, &wired.text);
    }

    /// A good file with some bytes replaced, or cut off: the edit is right, or it is refused. It is refused if the two
    /// readers of YAML disagree.
    #[test]
    fn broken_files_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 90),
        hits in prop::collection::vec((any::<prop::sample::Index>(), "[\\PC\t\n\r\u{0}]|[-:#{}\\[\\]&*!|>'\"%@`,? ]"), 1..6),
        cut in any::<prop::sample::Index>(),
        truncate: bool,
        which: bool,
    ) {
        let mut tape = Tape { bytes: &bytes, at: 0, eol: "\n", comments: 0, block: false };
        let marked = if which { manifest_file(&mut tape) } else { kubeadm_file(&mut tape, bytes[0] % 2 == 1) };
        let mut text = unmark(&marked).0;
        for (at, mark) in hits {
            let at = at.index(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                text.replace_range(at..at + 1, &mark);
            }
        }
        if truncate {
            let at = cut.index(text.len());
            text.truncate((0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default());
        }
        if let Ok(file) = manifest::read(&text)
            && let Ok(wired) = manifest::wire(&text, &file, &wanted(), None)
        {
            let again = manifest::read(&wired.text).map_err(|refusal| TestCaseError::fail(format!("{refusal}\n{text}")))?;
            let twice = manifest::wire(&wired.text, &again, &wanted(), None)
                .map_err(|refusal| TestCaseError::fail(format!("{refusal}\n{text}")))?;
            prop_assert_eq!(&twice.text, &wired.text);
        }
        if let Ok(file) = kubeadm::read(&text, "/f", Reader::Unknown)
            && let Ok(wired) = kubeadm::wire(&text, &file, &wanted(), None)
        {
            let again = kubeadm::read(&wired.text, "/f", Reader::Unknown).map_err(|refusal| TestCaseError::fail(format!("{refusal}\n{text}")))?;
            let twice = kubeadm::wire(&wired.text, &again, &wanted(), None)
                .map_err(|refusal| TestCaseError::fail(format!("{refusal}\n{text}")))?;
            prop_assert_eq!(&twice.text, &wired.text);
        }
        // The other readers of YAML must not panic either.
        let _ = Config::parse(&text, "config");
        let _ = policy::lint::check(&text, None);
    }
}
