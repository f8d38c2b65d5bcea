//! Reads the fragments of the policy from the node.

use anyhow::{Result, bail, ensure};

use super::root::Root;
use crate::audit::policy::compose::Source;
use crate::config::FRAGMENTS;
use crate::facts::file::Attributes;
use crate::path::typed;
use crate::yaml::tree::MAX_BYTES;

/// How many fragments there can be. Together, they can have as many bytes as one text.
const MOST: usize = 100;

/// The ending of a fragment's name.
const ENDING: &str = ".yaml";

/// The fragments in [`FRAGMENTS`], in the order of their names, and warnings about files there that are left alone but
/// look like fragments. Files whose names begin with a dot, or end otherwise, are left alone.
///
/// # Errors
///
/// A fragment can't be read, or another user can write it; there are too many.
pub fn fragments(root: &Root) -> Result<(Vec<Source>, Vec<String>)> {
    let names = root.list(FRAGMENTS)?.unwrap_or_default();
    let mut names: Vec<_> = names.into_iter().filter(|name| !name.starts_with('.')).collect();
    let mut warnings = Vec::new();
    for name in names.extract_if(.., |name| !name.ends_with(ENDING)) {
        if let Some(stem) = name.strip_suffix(".yml") {
            warnings.push(format!(
                "{FRAGMENTS}/{name}: this file is left alone, because the name of a fragment ends in {ENDING}; rename it \
                 to {stem}{ENDING}, or remove it"
            ));
        }
    }
    ensure!(
        names.len() <= MOST,
        "{}: there are {} fragments, and at most {MOST} are read; put several into one file",
        root.shown(FRAGMENTS),
        names.len()
    );
    if !names.is_empty()
        && let Some(entry) = root.stat(FRAGMENTS)?
    {
        expect_closed(root, FRAGMENTS, &entry.attributes)?;
    }
    let (mut fragments, mut bytes) = (Vec::new(), 0);
    for name in names {
        let path = format!("{FRAGMENTS}/{name}");
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
            bail!("{path:?}: the name of a fragment must have only letters, digits, `.`, `_` and `-`; rename it");
        }
        let Some(text) = root.text(&path)? else { continue };
        expect_closed(root, &path, &text.snapshot.attributes)?;
        bytes += text.text.len();
        ensure!(
            bytes <= MAX_BYTES,
            "{path}: up to this one, the fragments have more than {MAX_BYTES} bytes together; remove rules"
        );
        fragments.push(Source { name: path, text: text.text });
    }
    Ok((fragments, warnings))
}

/// # Errors
///
/// Another user can write the fragment, or the directory of the fragments.
fn expect_closed(root: &Root, path: &str, found: &Attributes) -> Result<()> {
    if root.trusts(found.uid) && found.mode & 0o002 == 0 {
        return Ok(());
    }
    let (what, typed) =
        (if path == FRAGMENTS { "to this directory" } else { "this fragment" }, typed(&root.on_machine(), path));
    bail!(
        "{path}: another user can write {what} (mode {:04o}, owner {}:{}); check what is in it, and run \
         chown root:root {typed} && chmod go-w {typed}",
        found.mode,
        found.uid,
        found.gid
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;
    use crate::node::testing::Node;

    fn path(name: &str) -> String {
        format!("{FRAGMENTS}/{name}")
    }

    #[test]
    fn fragments_come_in_the_order_of_their_names_and_other_files_are_left_alone() {
        let files = ["20-b.yaml", "10-a.yaml", "9-c.yaml", ".x.yaml", "10-a.yaml~", "README", "10-a.yml", "d.yml"];
        let files = files.map(path);
        let node = Node::with(&files.each_ref().map(|path| (path.as_str(), "text")));
        let (found, warnings) = fragments(&node.root).unwrap();
        let names: Vec<_> = found.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names, ["10-a.yaml", "20-b.yaml", "9-c.yaml"].map(path));
        assert!(found.iter().all(|source| source.text == "text"));
        let start = |name: &str| format!("{}: this file is left alone", path(name));
        assert!(warnings.len() == 2 && warnings[0].starts_with(&start("10-a.yml")), "{warnings:?}");
        assert!(warnings[1].ends_with("rename it to d.yaml, or remove it"), "{warnings:?}");
        assert_eq!(fragments(&Node::with(&[("/etc/x", "")]).root).unwrap(), (Vec::new(), Vec::new()));
    }

    #[test]
    fn what_is_no_fragment_of_the_administrator_is_refused() {
        let many: Vec<_> = (0..=MOST).map(|n| path(&format!("{n}.yaml"))).collect();
        let all: Vec<_> = many.iter().map(|path| (path.as_str(), "")).collect();
        let node = Node::with(&all[1..]);
        assert_eq!(fragments(&node.root).unwrap().0.len(), MOST);
        let refused = |node: &Node| format!("{:#}", fragments(&node.root).unwrap_err());
        assert!(refused(&Node::with(&all)).contains("there are 101 fragments, and at most 100 are read"));

        let long = "x".repeat(MAX_BYTES / 2 + 1);
        let large = Node::with(&[(all[1].0, long.as_str()), (all[2].0, long.as_str())]);
        assert!(refused(&large).contains("/2.yaml: up to this one, the fragments have more than 1048576 bytes"));

        let one = path("1.yaml");
        let node = || Node::with(&[(one.as_str(), "text"), ("/outside", "text")]);
        let linked = node();
        fs::remove_file(linked.host(&one)).unwrap();
        linked.link(&one, "/etc/passwd");
        assert!(refused(&linked).contains("1.yaml"), "{}", refused(&linked));
        // A link within the root directory is followed.
        fs::remove_file(linked.host(&one)).unwrap();
        linked.link(&one, "/outside");
        assert_eq!(fragments(&linked.root).unwrap().0[0].text, "text");

        let writable = node();
        fs::set_permissions(writable.host(FRAGMENTS), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(refused(&writable).contains("another user can write to this directory (mode 0777"));
        fs::set_permissions(writable.host(FRAGMENTS), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(writable.host(&one), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(refused(&writable).contains("another user can write this fragment (mode 0666"));
        if nix::unistd::geteuid().is_root() {
            let of_another = node();
            chown(of_another.host(&one), Some(7), Some(7)).unwrap();
            assert!(refused(&of_another).contains("owner 7:7); check what is in it, and run chown root:root "));
        }
        let awkward = path("a\nb.yaml");
        assert!(refused(&Node::with(&[(awkward.as_str(), "")])).contains("a\\nb.yaml\": the name of a fragment"));
        fs::write(writable.host(&one), [0xff]).unwrap();
        assert!(refused(&writable).contains("1.yaml"));
        let directory = path("x.yaml/y");
        assert!(refused(&Node::with(&[(directory.as_str(), "")])).contains("x.yaml"));
    }
}
