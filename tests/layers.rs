//! Tests which folder of `src/` can use which, and that no file of a crate needs itself through other files. Both are
//! read from the `use` lines and the paths in the source. Test code, under `#[cfg(test)]`, does not count.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layers of `src/`, the lowest first: each folder or file, and the folders and files that it can use.
///
/// The list is exact: a use that is not in it is a fault, and so is an entry that no file needs.
const LAYERS: [(&str, &[&str]); 18] = [
    // Text and numbers.
    ("path", &[]),
    ("pflag", &[]),
    ("quantity", &[]),
    ("time", &[]),
    ("yaml", &[]),
    ("audit", &["pflag", "yaml"]),
    // What is known about the log directory, and the configuration.
    ("storage", &["audit", "path", "quantity", "time", "yaml"]),
    ("config", &["audit", "path", "storage", "yaml"]),
    // What passes between `plan` and `node`: what was observed, and what to do.
    ("facts", &["audit", "path", "storage", "time", "yaml"]),
    ("change", &["facts", "storage"]),
    // Edits of files of kubeadm and of administrators, and snippets for other programs.
    ("wiring", &["audit", "config", "facts", "path", "pflag", "quantity", "yaml"]),
    ("render", &["config", "facts", "path", "storage", "wiring", "yaml"]),
    // `plan` decides, and touches no node. `node` touches the node, and decides nothing.
    ("plan", &["audit", "change", "config", "facts", "path", "storage", "wiring", "yaml"]),
    ("node", &["audit", "change", "config", "facts", "path", "pflag", "storage", "time", "wiring", "yaml"]),
    // `run` leads, and knows both.
    ("run", &["audit", "change", "config", "facts", "node", "path", "plan", "time", "wiring", "yaml"]),
    // `cli` faces the user: it prints what passes between the others, and calls `run`. It knows only two files of
    // `node`: the root directory, and where kubeadm is.
    (
        "cli",
        &[
            "audit",
            "change",
            "config",
            "facts",
            "node/handover",
            "node/root",
            "path",
            "pflag",
            "plan",
            "render",
            "run",
            "storage",
            "time",
            "wiring",
            "yaml",
        ],
    ),
    ("lib", &["cli"]),
    ("main", &[]),
];

/// The crates in which no file can need itself through other files: the folder of each.
const WITHOUT_CIRCLES: [&str; 2] = ["src", "vm-tests/src"];

/// A line in which one file uses another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    from: PathBuf,
    line: usize,
    to: PathBuf,
}

/// A module, from the root of the crate: `node::root` is `["node", "root"]`, and the root itself is empty.
type Module = Vec<String>;

/// The source of a crate: its modules without test code, and the file of each.
struct Source {
    folder: PathBuf,
    files: BTreeMap<Module, (PathBuf, String)>,
}

impl Source {
    fn read(folder: &Path) -> Source {
        // If there is a library, `main.rs` is the root of its own crate, which uses the library.
        let root = if folder.join("lib.rs").exists() { "lib" } else { "main" };
        let mut files = BTreeMap::new();
        let mut folders = vec![(folder.to_owned(), Module::new())];
        while let Some((path, module)) = folders.pop() {
            for entry in fs::read_dir(&path).unwrap() {
                let path = entry.unwrap().path();
                let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
                let inner = [module.clone(), vec![stem.clone()]].concat();
                if path.is_dir() {
                    folders.push((path, inner));
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = without_comments_and_strings(&fs::read_to_string(&path).unwrap());
                    let is_root = stem == root && module.is_empty();
                    let module = if is_root || stem == "mod" { module.clone() } else { inner };
                    files.insert(module, (path, text));
                }
            }
        }
        let mut source = Source { folder: folder.to_owned(), files };
        source.cut_tests();
        source
    }

    /// Removes what is under `#[cfg(test)]`: a part of a file, or a whole file and those below it.
    fn cut_tests(&mut self) {
        let mut tests = Vec::new();
        for (module, (_, text)) in &mut self.files {
            while let Some(start) = text.find("#[cfg(test)]") {
                let rest = &text[start..];
                let end = match (rest.find(';'), rest.find('{')) {
                    (Some(semicolon), brace) if brace.is_none_or(|brace| semicolon < brace) => semicolon + 1,
                    (_, Some(brace)) => brace + closing(&rest[brace..]),
                    _ => rest.len(),
                };
                let item = &rest[..end];
                if let Some((_, name)) = item.strip_suffix(';').and_then(|item| item.rsplit_once("mod ")) {
                    tests.push([module.clone(), vec![name.trim().to_owned()]].concat());
                }
                let blank: String = item.chars().filter(|c| *c == '\n').collect();
                text.replace_range(start..start + end, &blank);
            }
        }
        self.files.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
    }

    /// All uses of one file by another file.
    fn uses(&self) -> BTreeSet<Use> {
        let mut uses = BTreeSet::new();
        for (module, (from, text)) in &self.files {
            let mut paths = Vec::new();
            // The path of each name that the file imports.
            let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (at, tree) in trees(text) {
                for path in leaves(&tree) {
                    let Some(path) = self.rooted(module, &path) else { continue };
                    if is_import(&text[..at]) && path.last().is_some_and(|name| name != "*") {
                        names.insert(path.last().unwrap().clone(), path.clone());
                    }
                    paths.push((at, path));
                }
            }
            for (at, tree) in trees(text) {
                for path in leaves(&tree) {
                    if let Some(meant) = names.get(&path[0]).filter(|_| !is_import(&text[..at])) {
                        paths.push((at, [meant, &path[1..]].concat()));
                    }
                }
            }
            for (at, path) in paths {
                let mut file =
                    (0..=path.len()).rev().find_map(|length| Some((length, self.files.get(&path[..length])?)));
                // A module alone is only a name: the items that are used in it count.
                file = file.filter(|(length, _)| *length < path.len());
                if let Some((_, (to, _))) = file.filter(|(_, (to, _))| to != from) {
                    let line = text[..at].matches('\n').count() + 1;
                    uses.insert(Use { from: from.clone(), line, to: to.clone() });
                }
            }
        }
        uses
    }

    /// A path from the root of the crate; `None` if it is from another crate, or not a path of modules.
    fn rooted(&self, module: &Module, path: &[String]) -> Option<Vec<String>> {
        let mut at: Module = match path[0].as_str() {
            "crate" => Vec::new(),
            "self" | "super" => module.clone(),
            child => {
                let inner = [module.clone(), vec![child.to_owned()]].concat();
                return self.files.contains_key(&inner).then(|| [module, path].concat());
            }
        };
        let mut rest = path;
        while let [first, tail @ ..] = rest
            && ["crate", "self", "super"].contains(&first.as_str())
        {
            if first == "super" {
                at.pop();
            }
            rest = tail;
        }
        at.extend(rest.iter().cloned());
        Some(at)
    }

    /// The layer of a module: the folder or file directly below the crate's folder.
    fn layer(&self, file: &Path) -> String {
        let path = file.strip_prefix(&self.folder).unwrap();
        Path::new(path.components().next().unwrap().as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned()
    }
}

/// Does a `use` of its own begin after this text?
fn is_import(before: &str) -> bool {
    let statement = before.rsplit([';', '}', '{', ']']).next().unwrap_or_default();
    statement.trim_end().ends_with("use")
}

/// The text begins with a bracket: the position of the closing one.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    text.char_indices()
        .find(|(_, c)| {
            depth += i32::from(*c == '{') - i32::from(*c == '}');
            depth == 0
        })
        .map_or(text.len(), |(at, _)| at + 1)
}

/// Replaces comments, strings and characters by blanks; line breaks stay.
fn without_comments_and_strings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = out.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let hashes = rest.chars().skip(1).take_while(|c| *c == '#').count();
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first == 'r' && !word && rest[1 + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            rest[hashes + 2..].find(&end).map_or(rest.len(), |at| hashes + 2 + at + end.len())
        } else if first == '"' {
            let mut escaped = false;
            let end = rest[1..].char_indices().find(|(_, c)| {
                let is_end = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                is_end
            });
            end.map_or(rest.len(), |(at, _)| at + 2)
        } else if rest.starts_with("'\\") {
            rest[3..].find('\'').map_or(rest.len(), |at| at + 4)
        } else if first == '\'' && rest.chars().nth(2) == Some('\'') {
            2 + rest.chars().nth(1).unwrap().len_utf8()
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        out.extend(rest[..length].chars().map(|c| if c == '\n' { c } else { ' ' }));
        rest = &rest[length..];
    }
    out
}

/// Each path of two or more names: its position, and the path with the braces after it.
fn trees(text: &str) -> Vec<(usize, String)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut trees = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(|c: char| c.is_alphabetic() || c == '_').map(|found| at + found) {
        let mut end = start + text[start..].find(|c| !is_word(c)).unwrap_or(text.len() - start);
        let is_first = !text[..start].ends_with([':', '.']);
        while is_first && text[end..].starts_with("::") {
            let rest = &text[end + 2..];
            end += 2 + match rest.chars().next() {
                Some('{') => closing(rest),
                Some('*') => 1,
                _ => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            };
            // The parameters of a type.
            if text[..end].ends_with("::") {
                break;
            }
        }
        let tree = &text[start..end];
        if tree.contains("::") {
            trees.push((start, tree.trim_end_matches("::").to_owned()));
        }
        at = end.max(start + 1);
    }
    trees.retain(|(_, tree)| tree.contains("::"));
    trees
}

/// The single paths of a tree: those of `a::{b, c::d}` are `a::b` and `a::c::d`. A name after `as` is skipped.
fn leaves(tree: &str) -> Vec<Vec<String>> {
    let Some((head, inner)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim();
        return vec![path.split("::").map(|name| name.trim().to_owned()).collect()];
    };
    let inner = inner.trim_end().strip_suffix('}').unwrap_or(inner);
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            parts.push(&inner[start..at]);
            start = at + 1;
        }
    }
    parts.push(&inner[start..]);
    let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
    let whole = |part: &str| match part {
        "self" => head.trim().trim_end_matches("::").to_owned(),
        part => format!("{}{part}", head.trim()),
    };
    parts.flat_map(|part| leaves(&whole(part))).collect()
}

/// The shortest circle from a file back to itself, if the crate has one.
fn circle<'a>(all: &'a BTreeSet<Use>) -> Option<Vec<&'a Use>> {
    // A file that uses no other file is in no circle, and neither are files that only lead to such files.
    let mut uses: Vec<_> = all.iter().collect();
    loop {
        let before = uses.len();
        let users: BTreeSet<_> = uses.iter().map(|one| &one.from).collect();
        uses.retain(|one| users.contains(&one.to));
        if uses.len() == before {
            break;
        }
    }
    let back = |first: &&'a Use| {
        let mut ways = vec![vec![*first]];
        let mut seen = BTreeSet::new();
        while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in ways {
                let end = &way.last()?.to;
                if *end == first.from {
                    return Some(way);
                }
                if seen.insert(end.clone()) {
                    let next = uses.iter().filter(|next| next.from == *end);
                    longer.extend(next.map(|next| [way.as_slice(), &[*next]].concat()));
                }
            }
            ways = longer;
        }
        None
    };
    uses.iter().filter_map(back).min_by_key(Vec::len)
}

fn told(one: &Use) -> String {
    let shown = |path: &Path| path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(path).display().to_string();
    format!("{}:{} uses {}", shown(&one.from), one.line, shown(&one.to))
}

fn crate_at(folder: &str) -> Source {
    Source::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
}

/// The faults in the uses of a crate, by the list of its layers.
fn faults(source: &Source, uses: &BTreeSet<Use>, layers: &[(&str, &[&str])]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut needed = BTreeSet::new();
    for one in uses {
        let (from, to) = (source.layer(&one.from), source.layer(&one.to));
        if from == to {
            continue;
        }
        let file = one.to.strip_prefix(&source.folder).unwrap().with_extension("");
        let may = layers.iter().filter(|(layer, _)| *layer == from).flat_map(|(_, may)| *may);
        match may.copied().find(|may| file.starts_with(may)) {
            Some(may) => _ = needed.insert((from, may)),
            None => faults.push(format!("{}: {from} may not use {to}", told(one))),
        }
    }
    for (layer, may) in layers {
        if !source.files.values().any(|(file, _)| source.layer(file) == *layer) {
            faults.push(format!("there is no {layer}"));
        }
        let unneeded = may.iter().filter(|to| !needed.contains(&((*layer).to_owned(), **to)));
        faults.extend(unneeded.map(|to| format!("{layer} may use {to}, and does not: remove it from the list")));
    }
    faults
}

#[test]
fn each_folder_uses_what_it_may() {
    let source = crate_at("src");
    let faults = faults(&source, &source.uses(), &LAYERS);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The words that a part of `src/` does not have: those parts, the files in them that may have them, the words, and why.
const WITHOUT: [(&str, &str, &[&str], &str); 2] = [
    (
        "run/",
        "run/given.rs",
        &["fs::", ".exists()", ".is_file()", ".is_dir()", ".metadata()", "canonicalize"],
        "only `node` reads the files of a node, where a link of somebody else is not followed",
    ),
    ("", "node/process.rs", &["thread::spawn", "Builder::new()"], "a thread takes no signal: process::spawn"),
];

fn forbidden(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in source.files.values() {
        let name = path.strip_prefix(&source.folder).unwrap().to_str().unwrap();
        for (part, except, words, why) in WITHOUT {
            let words =
                words.iter().filter(|word| name.starts_with(part) && name != except && text.contains(**word));
            found.extend(words.map(|word| format!("{name} has {word}: {why}")));
        }
    }
    found.sort();
    found
}

#[test]
fn what_one_part_does_for_all_no_other_does() {
    assert_eq!(forbidden(&crate_at("src")), [] as [&str; 0]);
    let text = "fn f() { fs::read(x); thread::spawn(g); }\n#[cfg(test)]\nmod tests { fn f() { p.exists() } }";
    let files = ["lib.rs", "run/a.rs", "run/given.rs", "node/process.rs"];
    let (_directory, source) = written(&files.map(|name| (name, text)));
    let found: Vec<_> = forbidden(&source).iter().map(|one| one.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(found, ["lib.rs has thread", "run/a.rs has fs", "run/a.rs has thread", "run/given.rs has thread"]);
}

#[test]
fn no_file_needs_itself_by_way_of_others() {
    for folder in WITHOUT_CIRCLES {
        let uses = crate_at(folder).uses();
        assert!(!uses.is_empty(), "{folder}");
        if let Some(circle) = circle(&uses) {
            let lines: Vec<_> = circle.into_iter().map(told).collect();
            panic!("{folder} has a circle of files:\n{}", lines.join("\n"));
        }
    }
}

/// A crate with these files, in its own temporary folder.
fn written(files: &[(&str, &str)]) -> (tempfile::TempDir, Source) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let source = Source::read(directory.path());
    (directory, source)
}

#[test]
fn a_use_is_found_however_it_is_written() {
    for (text, to) in [
        ("use crate::b::Thing;", "b/mod.rs:1"),
        ("use crate::b::{\n    c::{self, X},\n};", "b/c.rs:1"),
        ("\nuse super::b::Thing;", "b/mod.rs:2"),
        ("use crate::b::c;\nfn f() { c::f() }", "b/c.rs:2"),
        ("use crate::b;\n\nfn f() -> b::c::X { todo }", "b/c.rs:3"),
        ("fn f() { crate::b::c::f::<u8>() }", "b/c.rs:1"),
        ("pub use crate::b::*;", "b/mod.rs:1"),
        ("use crate::b::c as other;", ""),
        // These use no other file.
        ("use crate::b::c;", ""),
        ("use std::b::c;", ""),
        (
            "// use crate::b::Thing;\nconst T: &str = \"crate::b::Thing\";\nconst R: &str = r#\"\"crate::b::X\"#;",
            "",
        ),
        ("const C: char = '\"';\nconst D: char = '\\'';\nfn f<'a>(x: &'a str) {}", ""),
        ("#[cfg(test)]\nmod tests {\n    use crate::b::Thing;\n}", ""),
        ("fn f() { x.b::<u8>() }", ""),
    ] {
        let (_directory, source) = written(&[("main.rs", ""), ("a.rs", text), ("b/mod.rs", ""), ("b/c.rs", "")]);
        let found: Vec<_> = source.uses().into_iter().collect();
        let found: Vec<_> = found
            .iter()
            .map(|one| format!("{}:{}", one.to.strip_prefix(&source.folder).unwrap().display(), one.line))
            .collect();
        assert_eq!(found.join(" "), to, "{text}");
    }
}

#[test]
fn test_code_may_use_anything() {
    let (_directory, source) = written(&[
        ("main.rs", "mod a;\n#[cfg(test)]\nmod testing;\nmod b;"),
        ("a.rs", "#[cfg(test)]\npub mod tests {\n    use crate::b::X;\n    fn f() { if x { y } }\n}\nfn g() {}"),
        ("testing.rs", "use crate::a::X;"),
        ("testing/deep.rs", "use crate::a::X;"),
        ("b.rs", "use crate::a::X;"),
    ]);
    let found: Vec<_> = source.uses().into_iter().map(|one| one.from).collect();
    assert_eq!(found, [source.folder.join("b.rs")]);
}

#[test]
fn a_circle_is_told_with_its_lines() {
    let (_directory, source) = written(&[
        ("main.rs", "mod a;\nuse a::X;"),
        ("a.rs", "use crate::b::X;"),
        ("b.rs", "\nuse crate::c::X;"),
        ("c.rs", "\n\nuse crate::a::X;\nuse crate::d::X;"),
        ("d.rs", ""),
    ]);
    let uses = source.uses();
    let found: Vec<_> = circle(&uses).unwrap().into_iter().map(|one| one.line).collect();
    assert_eq!(found, [1, 2, 3]);
    let open: BTreeSet<_> = uses.into_iter().filter(|one| !one.from.ends_with("c.rs")).collect();
    assert_eq!(circle(&open), None);
}

#[test]
fn a_use_that_is_not_allowed_and_a_permission_that_nobody_needs_are_told() {
    let (_directory, source) =
        written(&[("main.rs", ""), ("a.rs", "\nuse crate::b::c::X;"), ("b/mod.rs", ""), ("b/c.rs", "")]);
    let uses = source.uses();
    let judge = |layers: &[(&str, &[&str])]| faults(&source, &uses, layers).join("\n");
    assert_eq!(judge(&[("a", &["b"]), ("b", &[]), ("main", &[])]), "");
    let found = judge(&[("a", &[]), ("b", &[]), ("main", &[])]);
    assert!(found.contains("a.rs:2 uses ") && found.ends_with("b/c.rs: a may not use b"), "{found}");
    assert_eq!(judge(&[("a", &["b/c"]), ("b", &[]), ("main", &[])]), "");
    assert!(judge(&[("a", &["b/d"]), ("b", &[]), ("main", &[])]).contains("a may not use b"));
    let found = judge(&[("a", &["b"]), ("b", &["a"]), ("main", &[])]);
    assert_eq!(found, "b may use a, and does not: remove it from the list");
    assert_eq!(judge(&[("a", &["b"]), ("b", &[]), ("main", &[]), ("c", &[])]), "there is no c");
}
