//! What kubeadm is called with, where that is no file of the user's: a configuration that came through a pipe, and patches.
//!
//! It lies in `/run`, where nobody but root reads it: it is needed once, and may hold a token.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use super::root::{Kind, Root, split};
use crate::facts::file::Attributes;
use crate::wiring::patch::is_patch;
use crate::yaml::tree::MAX_BYTES;

const DIRECTORY: &str = "/run/kube-audit-bootstrap";
/// More files than this, or folders in folders, are no patches.
const MAX_PATCHES: usize = 1000;
const MAX_DEPTH: usize = 8;

/// A file's path below the directory that is handed over, and its bytes.
pub type Handed = (String, Vec<u8>);

/// Reads what the running system has at a path, to its end, as kubeadm would: a pipe is waited for.
///
/// Errors: it can't be read, or is too large to be a configuration.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let name = || path.display().to_string();
    let mut bytes = Vec::new();
    File::open(path).with_context(name)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).with_context(name)?;
    if bytes.len() > MAX_BYTES {
        bail!("{}: more than {MAX_BYTES} bytes, too large to be such a file", name());
    }
    Ok(bytes)
}

/// Takes away again what was written to the running system's directory, where kubeadm doesn't start. What can't be stays.
pub fn discard(directory: &str) {
    if let Err(error) = fs::remove_dir_all(directory) {
        log::info!("{directory}: {error}");
    }
}

/// Writes files into a new directory. Returns its path.
pub fn write(root: &Root, files: &[Handed]) -> Result<String> {
    // Nobody else's, and none of an earlier call, whose files may be there.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let directory = format!("{DIRECTORY}/{}-{}", process::id(), now.as_nanos());
    let private = Attributes::new(0o700, nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    root.make_directory(&directory, &private, &mut |_| {})?;
    for (name, bytes) in files {
        let path = format!("{directory}/{name}");
        root.make_directory(split(&path)?.0, &private, &mut |_| {})?;
        let place = root.place(&path)?;
        place.create(&place.name, bytes, None).map_err(|errno| root.error("write", &path, errno))?;
    }
    Ok(directory)
}

/// Reads the files of a directory of patches, as kubeadm does: those in directories below it, too. Their paths are relative to it.
///
/// Errors: it is no directory, or holds what can't be handed over.
pub fn patches(root: &Root, directory: &str) -> Result<Vec<Handed>> {
    let mut files = Vec::new();
    collect(root, directory, "", 0, &mut files)?;
    Ok(files)
}

fn collect(root: &Root, top: &str, below: &str, depth: usize, files: &mut Vec<Handed>) -> Result<()> {
    let directory = format!("{top}{below}");
    let Some(names) = root.list(&directory)? else {
        bail!("{}: there is no such directory of patches; correct --patches", root.shown(&directory))
    };
    for name in names {
        let path = format!("{directory}/{name}");
        let kind = match root.stat(&path) {
            // kubeadm says that it ignores it, or not.
            Err(_) if !is_patch(&name) => continue,
            entry => entry?.map(|entry| entry.kind),
        };
        match kind {
            // kubeadm follows no links to directories.
            Some(Kind::Directory) if root.real(&path)? != format!("{}/{name}", root.real(&directory)?) => {}
            Some(Kind::Directory) if depth < MAX_DEPTH => {
                collect(root, top, &format!("{below}/{name}"), depth + 1, files)?;
            }
            Some(Kind::Directory) => bail!("{}: there are too many folders in folders here", root.shown(&path)),
            _ if !is_patch(&name) => {}
            Some(Kind::File) if files.len() < MAX_PATCHES => {
                let bytes = root.read(&path, MAX_BYTES)?.map(|snapshot| snapshot.bytes).unwrap_or_default();
                files.push((format!("{below}/{name}").trim_start_matches('/').to_owned(), bytes));
            }
            _ => bail!(
                "{}: this is no patch, or one too many; remove it from the directory of --patches",
                root.shown(&path)
            ),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Node;
    use super::*;

    #[test]
    fn patches_are_found_as_kubeadm_finds_them() {
        let node = Node::with(&[
            ("/p/kube-apiserver+json.json", "[]"),
            ("/p/deep/etcd.yaml", "a: 1"),
            ("/p/README", "no patch"),
            ("/p/other.yaml", "no patch"),
            ("/elsewhere/etcd.yaml", "a: 2"),
        ]);
        node.link("/p/linked", "/elsewhere");
        node.link("/p/kube-apiserver.yaml", "/elsewhere/etcd.yaml");
        let found = patches(&node.root, "/p").unwrap();
        let found: Vec<_> =
            found.iter().map(|(name, bytes)| (name.as_str(), String::from_utf8_lossy(bytes))).collect();
        let expected =
            [("deep/etcd.yaml", "a: 1"), ("kube-apiserver+json.json", "[]"), ("kube-apiserver.yaml", "a: 2")];
        assert_eq!(found, expected.map(|(name, text)| (name, text.into())));
        assert!(patches(&node.root, "/none").unwrap_err().to_string().contains("correct --patches"));
        node.link("/p/other9.yaml", "/no/such");
        assert_eq!(patches(&node.root, "/p").unwrap().len(), 3);
        node.link("/p/kube-apiserver9.yaml", "/no/such");
        assert!(patches(&node.root, "/p").is_err());
        node.put("/q/1/2/3/4/5/6/7/8/9/etcd.yaml", "");
        assert!(patches(&node.root, "/q").unwrap_err().to_string().contains("too many folders"));
    }

    #[test]
    fn what_is_handed_over_is_private_and_new() {
        let node = Node::with(&[("/run/x", "")]);
        let files = [("a/b.json".to_owned(), b"[]".to_vec()), ("c".to_owned(), b"token".to_vec())];
        let directory = write(&node.root, &files).unwrap();
        assert_eq!(node.root.stat(&directory).unwrap().unwrap().attributes.mode, 0o700);
        assert_eq!(node.root.read(&format!("{directory}/a/b.json"), MAX_BYTES).unwrap().unwrap().bytes, b"[]");
        let secret = node.root.read(&format!("{directory}/c"), MAX_BYTES).unwrap().unwrap();
        assert_eq!((secret.bytes.as_slice(), secret.attributes.mode), (&b"token"[..], 0o600));
        assert_ne!(write(&node.root, &files).unwrap(), directory);
    }
}
