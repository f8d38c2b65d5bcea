//! The user's cache folder, where all that takes long to make is kept, each thing under the hash of what it is made of.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use fs_err::{self as fs, File};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

/// How much of a hash is in a name.
const KEY_BYTES: usize = 8;

/// How long something isn't used before it may go, when another one takes its place: longer than any case.
const UNUSED: Duration = Duration::from_secs(3 * 3600);

/// What a thing is made of, as a hash.
#[derive(Clone, Debug, Default)]
pub struct Key(Sha256);

impl Key {
    /// The key with one more part.
    pub fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// The key with a file's text.
    ///
    /// # Errors
    ///
    /// The file can't be read.
    pub fn with_file(self, path: &Path) -> Result<Self> {
        let text = fs::read(path)?;
        Ok(self.with(text))
    }

    /// The key with a program, by its path, size and time: those of the cache have a hash in their path.
    ///
    /// # Errors
    ///
    /// It isn't there.
    pub fn with_program(self, path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path)?;
        let (size, time) = (metadata.len(), metadata.mtime());
        Ok(self.with(path.as_os_str().as_encoded_bytes()).with(format!("{size} {time}")))
    }

    /// The key with the names and texts of all files below a folder.
    ///
    /// # Errors
    ///
    /// One of them can't be read.
    pub fn with_folder(mut self, path: &Path) -> Result<Self> {
        let mut entries: Vec<_> =
            fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>()?;
        entries.sort();
        for entry in entries {
            self = self.with(entry.file_name().unwrap_or_default().as_encoded_bytes());
            self = if entry.is_dir() { self.with_folder(&entry)? } else { self.with_file(&entry)? };
        }
        Ok(self)
    }

    fn text(&self) -> String {
        hex(&self.0.clone().finalize()[..KEY_BYTES])
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The cache folder: `kube-audit-bootstrap` in `$XDG_CACHE_HOME`, or in `~/.cache`.
///
/// # Errors
///
/// There is neither variable, or the folder can't be made.
pub fn dir() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(base) => PathBuf::from(base),
        None => Path::new(&std::env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    let dir = std::path::absolute(base)?.join("kube-audit-bootstrap");
    // Options of mount(8) and of QEMU are separated by these.
    let odd = dir.to_string_lossy().contains([',', ':', '\\', '"', '\n']);
    ensure!(
        !odd,
        "{}: a cache folder has no comma, colon, quote or backslash in its name; see XDG_CACHE_HOME",
        dir.display()
    );
    fs::create_dir_all(&dir).with_context(|| format!("can't make the cache folder {}", dir.display()))?;
    Ok(dir)
}

/// The folder `NAME-KEY` of the cache. Where it isn't there, `make` fills it, and those of the same name that nobody used for hours are
/// removed, and what a run began that was killed; half a folder is never seen, and two runs at once don't make it twice.
///
/// # Errors
///
/// What `make` fails with, or what the file system does.
pub fn folder(name: &str, key: &Key, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let dir = dir()?;
    let path = dir.join(format!("{name}-{}", key.text()));
    if used(&path)? {
        return Ok(path);
    }
    let _lock = lock(&dir.join(format!(".{name}.lock")))?;
    if used(&path)? {
        return Ok(path);
    }
    remove_older(&dir, name)?;
    let half = dir.join(format!(".{name}-{}{HALF}", key.text()));
    fs::create_dir_all(&half)?;
    make(&half)?;
    fs::rename(&half, &path)?;
    Ok(path)
}

/// Is it there? Then its time is that of its last use.
fn used(path: &Path) -> Result<bool> {
    match File::open(path) {
        Ok(folder) => Ok(folder.set_modified(SystemTime::now()).map(|()| true)?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What a folder's name ends with while it is made.
const HALF: &str = ".half";

/// Removes what a folder was before, unless somebody may still be at it, and halves: who makes one has the lock of its name.
fn remove_older(dir: &Path, name: &str) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let other = entry.file_name().to_string_lossy().into_owned();
        let half = other.strip_prefix('.').and_then(|rest| rest.strip_suffix(HALF));
        let key =
            half.unwrap_or(&other).strip_prefix(name).and_then(|rest| rest.strip_prefix('-')).unwrap_or_default();
        let is_key = key.len() == KEY_BYTES * 2 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_key && (half.is_some() || entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age > UNUSED)) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// An exclusive lock on a file, until it is dropped.
///
/// # Errors
///
/// The file system's.
pub fn lock(path: &Path) -> Result<Flock<std::fs::File>> {
    let file = File::create(path)?.into_file();
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_ones_of_the_same_name_are_removed() {
        let dir = std::env::temp_dir().join(format!("cache-{}", std::process::id()));
        let key = "0123456789abcdef";
        let other = "fedcba9876543210";
        for (name, hours) in [
            (format!("disk-1.37.2-{key}"), 4),
            (format!("disk-1.37.2-{other}"), 1),
            (format!("disk-1.37.2-more-{key}"), 4),
            (format!("disk-{key}"), 4),
            (format!(".disk-1.37.2-{key}.half"), 0),
            (format!(".disk-{key}.half"), 0),
        ] {
            fs::create_dir_all(dir.join(&name)).unwrap();
            let then = SystemTime::now() - Duration::from_secs(hours * 3600);
            File::open(dir.join(&name)).unwrap().set_modified(then).unwrap();
        }
        remove_older(&dir, "disk-1.37.2").unwrap();
        let mut left: Vec<_> =
            fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        fs::remove_dir_all(&dir).unwrap();
        let kept = [
            format!(".disk-{key}.half"),
            format!("disk-{key}"),
            format!("disk-1.37.2-{other}"),
            format!("disk-1.37.2-more-{key}"),
        ];
        assert_eq!(left, kept);
    }
}
