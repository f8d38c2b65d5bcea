//! The user's cache folder. It keeps what takes long to make, each thing under the hash of what it is made of.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use fs_err::{self as fs, File};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

/// The number of bytes of a hash that are in a name.
const KEY_BYTES: usize = 8;

/// A thing that was not used for this long is removed when another one takes its place. No case takes so long.
const UNUSED: Duration = Duration::from_secs(3 * 3600);

/// The hash of what a thing is made of.
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

    /// The key with the content of a file.
    ///
    /// # Errors
    ///
    /// The file can't be read.
    pub fn with_file(self, path: &Path) -> Result<Self> {
        let text = fs::read(path)?;
        Ok(self.with(text))
    }

    /// The key with a program, by its path, size and time. A program of the cache has a hash in its path.
    ///
    /// # Errors
    ///
    /// The program isn't there.
    pub fn with_program(self, path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path)?;
        let (size, time) = (metadata.len(), metadata.mtime());
        Ok(self.with(path.as_os_str().as_encoded_bytes()).with(format!("{size} {time}")))
    }

    /// The key with the names and contents of all files below a folder.
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
/// Neither variable is set, or the folder can't be made.
pub fn find_dir() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(base) => PathBuf::from(base),
        None => Path::new(&std::env::var_os("HOME").context("HOME is not set: set it, or XDG_CACHE_HOME")?)
            .join(".cache"),
    };
    let dir = std::path::absolute(base)?.join("kube-audit-bootstrap");
    // These separate the options of mount(8) and of QEMU.
    let odd = dir.to_string_lossy().contains([',', ':', '\\', '"', '\n']);
    ensure!(
        !odd,
        "{}: a cache folder must not have a comma, colon, quote or backslash in its name: set XDG_CACHE_HOME",
        dir.display()
    );
    fs::create_dir_all(&dir).with_context(|| format!("can't make the cache folder {}", dir.display()))?;
    Ok(dir)
}

/// Provides the folder `NAME-KEY` of the cache. If it isn't there, `make` fills it. Then folders of the same name that
/// nobody used for hours are removed, and so is what a killed run left half made. Nobody sees half a folder, and two
/// runs at once don't make it twice.
///
/// # Errors
///
/// `make` fails, or the folder can't be made.
pub fn provide_folder(name: &str, key: &Key, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let dir = find_dir()?;
    let path = dir.join(format!("{name}-{}", key.text()));
    if is_there(&path)? {
        return Ok(path);
    }
    let _lock = lock(&dir.join(format!(".{name}.lock")))?;
    if is_there(&path)? {
        return Ok(path);
    }
    remove_older(&dir, name)?;
    let half = dir.join(format!(".{name}-{}{HALF}", key.text()));
    fs::create_dir_all(&half)?;
    make(&half)?;
    fs::rename(&half, &path)?;
    Ok(path)
}

/// Is a folder there? If so, this is its last use, which its time tells.
fn is_there(path: &Path) -> Result<bool> {
    match File::open(path) {
        Ok(folder) => Ok(folder.set_modified(SystemTime::now()).map(|()| true)?),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The end of a folder's name while the folder is made.
const HALF: &str = ".half";

/// Removes the older folders of a name, unless somebody may still use one, and those that are half made: whoever makes
/// one has the lock of the name, which is this process.
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

/// Takes an exclusive lock on a file, until it is dropped. Waits for other processes.
///
/// # Errors
///
/// The file can't be made or locked.
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
    fn older_folders_of_the_same_name_are_removed() {
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
