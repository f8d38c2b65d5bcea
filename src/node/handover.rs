//! For the kubeadm hook: finds the real kubeadm, and hands files over to it that the user doesn't have on disk: a
//! configuration that came through a pipe, and patches.
//!
//! Those files are in `/run`, where only the root user can read them: kubeadm needs them once, and they may hold a
//! token.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;
use std::{env, process};

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{AccessFlags, access};

use super::obstacle;
use super::opening::{Expected, open_known};
use super::root::{MAX_LINKS, Root, split};
use crate::facts::file::{Attributes, FileKind};
use crate::path::path_fault;
use crate::wiring::patches::file::{is_misnamed, is_patch};
use crate::yaml::tree::MAX_BYTES;

/// The name of the kubeadm program.
pub const KUBEADM: &str = "kubeadm";

const DIRECTORY: &str = "/run/kube-audit-bootstrap";
/// The limits of a directory of patches: the number of files, and the depth of directories.
const MAX_PATCHES: usize = 1000;
const MAX_DEPTH: usize = 8;
/// The largest number of names in a directory of patches and below it.
const MAX_NAMES: usize = 10_000;

/// A file to hand over: its path below the handed-over directory, and its bytes.
pub type Handed = (String, Vec<u8>);

/// Reads a file of the running system to its end, as kubeadm would: it waits for the writer of a pipe.
///
/// # Errors
///
/// It can't be read, or is too large for a configuration.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let name = || path.display().to_string();
    let mut bytes = Vec::new();
    let file = open_known(path, Expected::Readable, OFlag::empty()).with_context(name)?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).with_context(name)?;
    if bytes.len() > MAX_BYTES {
        bail!("{}: more than {MAX_BYTES} bytes, too large for a kubeadm configuration; check the path", name());
    }
    Ok(bytes)
}

/// Removes a directory that [`write()`] made, if kubeadm doesn't start. If it can't, the directory stays.
pub fn discard(directory: &str) {
    if let Err(error) = fs::remove_dir_all(directory) {
        log::info!("{directory}: {error}");
    }
}

/// Writes files into a new directory that only the root user can enter. Returns its path.
pub fn write(root: &Root, files: &[Handed]) -> Result<String> {
    // The name is unique, so no files of an earlier call are there.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let directory = format!("{DIRECTORY}/{}-{}", process::id(), now.as_nanos());
    let private = Attributes::new(0o700, nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    root.make_directory(&directory, &private, &mut |_| {})?;
    for (name, bytes) in files {
        let path = format!("{directory}/{name}");
        root.make_directory(split(&path)?.0, &private, &mut |_| {})?;
        let slot = root.slot(&path)?;
        slot.create(&slot.name, bytes, None).map_err(|errno| root.error("write", &path, errno))?;
    }
    Ok(directory)
}

/// Holds a file in memory for the program that this process becomes. Returns its path there.
pub fn hold(bytes: &[u8]) -> Result<String> {
    // Without MFD_CLOEXEC: the descriptor stays open in kubeadm.
    let file = memfd_create("kubeadm.yaml", MFdFlags::empty()).context("can't hand the file over in memory")?;
    let mut file = File::from(file);
    file.write_all(bytes).context("can't hand the file over in memory")?;
    Ok(format!("/proc/self/fd/{}", file.into_raw_fd()))
}

/// Reads the patches in a directory and its subdirectories, as kubeadm does. The paths are relative to the directory.
/// `None`: there is no such directory.
///
/// # Errors
///
/// It is not a directory, or has something that can't be handed over.
pub fn patches(root: &Root, directory: &str) -> Result<Option<Vec<Handed>>> {
    if root.list(directory)?.is_none() {
        return Ok(None);
    }
    let mut files = Vec::new();
    collect(root, directory, "", 0, &mut Found { names: 0, files: &mut files })?;
    Ok(Some(files))
}

/// What was found so far in a directory of patches.
struct Found<'f> {
    /// The number of all names, also of those that are no patches.
    names: usize,
    files: &'f mut Vec<Handed>,
}

fn collect(root: &Root, top: &str, below: &str, depth: usize, found: &mut Found<'_>) -> Result<()> {
    let directory = format!("{top}{below}");
    for name in root.list(&directory)?.unwrap_or_default() {
        let path = format!("{directory}/{name}");
        found.names += 1;
        if found.names > MAX_NAMES {
            bail!(
                "{}: there are more than {MAX_NAMES} files in this directory of patches and below it; move the patches \
                 to a directory of their own",
                root.shown(top)
            );
        }
        let kind = match root.stat(&path) {
            // kubeadm ignores a file that is not a patch.
            Err(_) if !is_patch(&name) => continue,
            entry => entry?.map(|entry| entry.kind),
        };
        match kind {
            // kubeadm doesn't follow links to directories.
            Some(FileKind::Directory) if root.real(&path)? != format!("{}/{name}", root.real(&directory)?) => {}
            Some(FileKind::Directory) if depth < MAX_DEPTH => {
                collect(root, top, &format!("{below}/{name}"), depth + 1, found)?;
            }
            Some(FileKind::Directory) => {
                bail!("{}: directories are nested too deep here; move the patches up", root.shown(&path))
            }
            _ if !is_patch(&name) && !is_misnamed(&name) => {}
            Some(FileKind::File) if found.files.len() < MAX_PATCHES => {
                let bytes = root.read(&path, MAX_BYTES)?.map(|snapshot| snapshot.bytes).unwrap_or_default();
                found.files.push((format!("{below}/{name}").trim_start_matches('/').to_owned(), bytes));
            }
            _ => bail!(
                "{}: this is not a regular file, or the directory has more than {MAX_PATCHES} patches; \
                 remove it from the directory of patches",
                root.shown(&path)
            ),
        }
    }
    Ok(())
}

/// The directories where kubeadm is searched for after `PATH`, because a service may have no `PATH`.
pub const USUAL: &[&str] = &["/usr/bin", "/usr/local/bin", "/opt/bin"];

/// Whether a path can be read only once: it is no regular file, or it leads through `/proc`, as `/dev/stdin` does. There
/// it may be a descriptor of the caller, even if that is one of a file.
pub fn is_stream(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) || leads_through_proc(path)
}

fn leads_through_proc(path: &Path) -> bool {
    let mut at = path.to_owned();
    for _ in 0..MAX_LINKS {
        // The links before the last name, too.
        if let (Some(parent), Some(name)) = (at.parent(), at.file_name())
            && let Ok(real) = fs::canonicalize(parent)
        {
            at = real.join(name);
        }
        match fs::read_link(&at) {
            _ if at.starts_with("/proc") => return true,
            Ok(target) => at = at.parent().unwrap_or(Path::new("/")).join(target),
            Err(_) => return false,
        }
    }
    false
}

/// Whether kubeadm needs a copy, because the file of the running system can't be edited at its own path: it is a stream,
/// or [fixed](is_fixed).
pub fn needs_copy(root: &Root, path: &Path, shown: &str) -> bool {
    is_stream(path) || path_fault("", shown).is_some() || is_fixed(root, shown)
}

/// Whether a file of the node can't be replaced: it is a mount of its own, or on a file system that is mounted read-only.
pub fn is_fixed(root: &Root, path: &str) -> bool {
    obstacle::of_file(root, path).is_ok_and(|found| found.is_some())
}

/// The absolute path of a file, without `.` and `..`.
pub fn on_host(file: &Path) -> std::io::Result<PathBuf> {
    // Two slashes at the start mean the same as one.
    let path: PathBuf = std::path::absolute(file)?.components().collect();
    // The links before a `..` decide where it leads.
    match path.components().any(|part| part == Component::ParentDir) {
        true => fs::canonicalize(path),
        false => Ok(path),
    }
}

/// The first kubeadm in the directories of `path`, then in those of `usual`, that is not this program.
///
/// # Errors
///
/// There is none; `/proc` is not mounted.
pub fn real_kubeadm(path: &OsStr, usual: &[&str]) -> Result<PathBuf> {
    let own = Path::new("/proc/self/exe");
    let own_meta = fs::metadata(own)
        .context("/proc/self/exe: without it, this program can't be distinguished from kubeadm; mount /proc")?;
    let is_own = |path: &Path, meta: &fs::Metadata| {
        (meta.dev(), meta.ino()) == (own_meta.dev(), own_meta.ino())
            // A copy has the same bytes.
            || meta.len() == own_meta.len() && matches!((fs::read(path), fs::read(own)), (Ok(a), Ok(b)) if a == b)
    };
    // A relative directory is skipped: any user may have written to the working directory.
    let on_path = env::split_paths(path).filter(|directory| directory.is_absolute());
    for directory in on_path.chain(usual.iter().map(PathBuf::from)) {
        let candidate = directory.join(KUBEADM);
        if let Ok(meta) = fs::metadata(&candidate)
            && meta.is_file()
            && access(&candidate, AccessFlags::X_OK).is_ok()
            && !is_own(&candidate, &meta)
        {
            return Ok(candidate);
        }
    }
    bail!(
        "kubeadm: found only this hook, not the real kubeadm, in PATH ({}) and in {}; install kubeadm, \
         or add its directory to PATH",
        path.display(),
        usual.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

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
        let found = patches(&node.root, "/p").unwrap().unwrap();
        let found: Vec<_> =
            found.iter().map(|(name, bytes)| (name.as_str(), String::from_utf8_lossy(bytes))).collect();
        let expected =
            [("deep/etcd.yaml", "a: 1"), ("kube-apiserver+json.json", "[]"), ("kube-apiserver.yaml", "a: 2")];
        assert_eq!(found, expected.map(|(name, text)| (name, text.into())));
        assert!(patches(&node.root, "/none").unwrap().is_none());
        node.link("/p/other9.yaml", "/no/such");
        assert_eq!(patches(&node.root, "/p").unwrap().unwrap().len(), 3);
        node.link("/p/kube-apiserver9.yaml", "/no/such");
        assert!(patches(&node.root, "/p").is_err());
        node.put("/q/1/2/3/4/5/6/7/8/9/etcd.yaml", "");
        assert!(patches(&node.root, "/q").unwrap_err().to_string().contains("nested too deep"));
        node.put("/r/deep/etcd.yaml", "");
        for number in 0..=MAX_NAMES {
            fs::write(node.host(&format!("/r/deep/{number}")), "").unwrap();
        }
        assert!(patches(&node.root, "/r").unwrap_err().to_string().contains("more than 10000 files"));
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

    #[test]
    fn what_cannot_be_edited_is_a_stream() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (path, stream) in [
            (Path::new("/dev/stdin"), true),
            (Path::new("/dev/fd/63"), true),
            (Path::new("/proc/self/fd/3"), true),
            (&pipe, true),
            (&file, false),
            // A missing file and a directory are reported when they are read.
            (Path::new("/no/such/file"), false),
            (directory.path(), false),
        ] {
            assert_eq!(is_stream(path), stream, "{}", path.display());
        }
    }

    #[test]
    fn the_real_one_is_the_first_that_is_another_program() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).join(KUBEADM);
        for name in ["link", "hard", "copy", "plain", "directory/kubeadm", "dangling", "real", "usual"] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        let own = env::current_exe().unwrap();
        symlink(&own, at("link")).unwrap();
        fs::copy(&own, at("copy")).unwrap();
        fs::hard_link(at("copy"), at("hard")).unwrap();
        symlink("/no/such", at("dangling")).unwrap();
        fs::write(at("plain"), "").unwrap();
        fs::set_permissions(at("plain"), fs::Permissions::from_mode(0o644)).unwrap();
        for name in ["real", "usual"] {
            fs::write(at(name), name).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = |names: &[&str]| env::join_paths(names.iter().map(|name| directory.path().join(name))).unwrap();
        let usual = directory.path().join("usual");
        let usual = [usual.to_str().unwrap()];
        let none = ["missing", "link", "hard", "copy", "plain", "directory", "dangling"];
        assert_eq!(real_kubeadm(&path(&[&none[..], &["real"]].concat()), &usual).unwrap(), at("real"));
        assert_eq!(real_kubeadm(&path(&none), &usual).unwrap(), at("usual"));
        assert_eq!(real_kubeadm(OsStr::new(""), &usual).unwrap(), at("usual"));
        let error = real_kubeadm(&path(&none), &["/no/such"]).unwrap_err().to_string();
        assert!(error.contains(path(&none).to_str().unwrap()) && error.contains("/no/such"), "{error}");
    }

    #[test]
    fn paths_are_absolute_and_plain() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("far/below")).unwrap();
        fs::write(top.join("far/file"), "").unwrap();
        symlink("far/below", top.join("link")).unwrap();
        let here = env::current_dir().unwrap();
        assert_eq!(on_host(Path::new("a")).unwrap(), here.join("a"));
        assert_eq!(on_host(Path::new("./a/.//b")).unwrap(), here.join("a/b"));
        assert_eq!(on_host(Path::new("/a")).unwrap(), Path::new("/a"));
        assert_eq!(on_host(&top.join("link/../file")).unwrap(), top.join("far/file"), "as the kernel has it");
    }
}
