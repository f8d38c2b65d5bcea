//! Where the real kubeadm is, and what it is called with where that is no file of the user's: a configuration that came through a pipe, and
//! patches.
//!
//! The latter lies in `/run`, where nobody but root reads it: it is needed once, and may hold a token.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;
use std::{env, process};

use anyhow::{Context, Result, bail};
use nix::unistd::{AccessFlags, access};

use super::root::{Root, split};
use super::storage::mounted_at;
use crate::facts::file::{Attributes, FileKind};
use crate::path::path_fault;
use crate::wiring::patch::is_patch;
use crate::yaml::tree::MAX_BYTES;

/// The name of the program.
pub const KUBEADM: &str = "kubeadm";

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
        let slot = root.slot(&path)?;
        slot.create(&slot.name, bytes, None).map_err(|errno| root.error("write", &path, errno))?;
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
            Some(FileKind::Directory) if root.real(&path)? != format!("{}/{name}", root.real(&directory)?) => {}
            Some(FileKind::Directory) if depth < MAX_DEPTH => {
                collect(root, top, &format!("{below}/{name}"), depth + 1, files)?;
            }
            Some(FileKind::Directory) => {
                bail!("{}: there are too many folders in folders here", root.shown(&path))
            }
            _ if !is_patch(&name) => {}
            Some(FileKind::File) if files.len() < MAX_PATCHES => {
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

/// Where kubeadm is if not on `PATH`, which a service may have none of.
pub const USUAL: &[&str] = &["/usr/bin", "/usr/local/bin", "/opt/bin"];

/// Can what lies there be read once? What a descriptor leads to is the caller's, also where that is a file.
pub fn is_stream(path: &Path) -> bool {
    ["/dev", "/proc"].iter().any(|top| path.starts_with(top))
        || fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
}

/// Is it something else than a file that can be edited where it lies?
pub fn needs_copy(path: &Path, shown: &str) -> Result<bool> {
    Ok(is_stream(path) || path_fault("", shown).is_some() || mounted_at(shown)?.is_some())
}

/// A file's path from the root on, without `.` and `..`.
pub fn on_host(file: &Path) -> std::io::Result<PathBuf> {
    // One that begins with two slashes is the same.
    let path: PathBuf = std::path::absolute(file)?.components().collect();
    // Where `..` leads, the links before it decide.
    match path.components().any(|part| part == Component::ParentDir) {
        true => fs::canonicalize(path),
        false => Ok(path),
    }
}

/// The first kubeadm on `path`, then in `usual`, that isn't this program.
pub fn real_kubeadm(path: &OsStr, usual: &[&str]) -> Result<PathBuf> {
    let own = Path::new("/proc/self/exe");
    let own_meta =
        fs::metadata(own).context("/proc/self/exe: this program can't be told from kubeadm; mount /proc")?;
    let is_own = |path: &Path, meta: &fs::Metadata| {
        (meta.dev(), meta.ino()) == (own_meta.dev(), own_meta.ino())
            // A copy.
            || meta.len() == own_meta.len() && matches!((fs::read(path), fs::read(own)), (Ok(a), Ok(b)) if a == b)
    };
    // Not from the working directory, which may be anybody's.
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
        "kubeadm: there is none but this hook, neither in PATH ({}) nor in {}; install kubeadm, or put its directory into \
         PATH",
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
            // Missing, and a directory: said by who reads them.
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
