//! Opens files whose kind is known before: opening a FIFO waits, and opening `/dev/watchdog` or a tape acts.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, major, minor};

/// What a caller opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A regular file.
    File,
    /// A block device.
    BlockDevice,
    /// What can be read like a file: a regular file, a pipe, a terminal or `/dev/null`.
    Readable,
}

impl Expected {
    fn is_met_by(self, stat: &FileStat) -> bool {
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        // Linux, Documentation/admin-guide/devices.txt: null, and all kinds of terminals.
        let (major, minor) = (major(stat.st_rdev), minor(stat.st_rdev));
        let is_harmless = (major, minor) == (1, 3) || matches!(major, 4 | 5 | 136..=143);
        match self {
            Expected::File => kind == SFlag::S_IFREG,
            Expected::BlockDevice => kind == SFlag::S_IFBLK,
            Expected::Readable => {
                matches!(kind, SFlag::S_IFREG | SFlag::S_IFIFO) || kind == SFlag::S_IFCHR && is_harmless
            }
        }
    }
}

/// Opens a file of the running system for reading, through links. Opens nothing that is not `expected`; that is the
/// error [`Errno::EINVAL`]. `flags` are added.
///
/// # Errors
///
/// It is of another kind, or can't be opened.
pub fn open_known(path: &Path, expected: Expected, flags: OFlag) -> std::io::Result<File> {
    let found = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC | flags & OFlag::O_NOFOLLOW, Mode::empty())?;
    let stat = fstat(&found)?;
    // The kernel's own errors come first: for a directory, EISDIR.
    if stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits() {
        return Err(Errno::EISDIR.into());
    }
    if !expected.is_met_by(&stat) {
        let kind = crate::facts::file::FileKind::of(stat.st_mode);
        return Err(std::io::Error::other(format!("this is {kind}, which is not opened here")));
    }
    Ok(File::from(reopen(&found, flags, |flags| open(path, flags, Mode::empty()))?))
}

/// Opens for reading what an `O_PATH` descriptor stands for. `/proc` may not be mounted, as in the chroot of an image:
/// then `again` opens it by its name, and must find the same file.
///
/// # Errors
///
/// Among others, ESTALE: another file has that name by now.
pub(super) fn reopen(
    found: &OwnedFd,
    flags: OFlag,
    again: impl FnOnce(OFlag) -> nix::Result<OwnedFd>,
) -> nix::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    let flags = flags | OFlag::O_RDONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    match open(path.as_str(), flags.difference(OFlag::O_NOFOLLOW), Mode::empty()) {
        Err(Errno::ENOENT) => {
            let opened = again(flags)?;
            let (before, now) = (fstat(found)?, fstat(&opened)?);
            match (now.st_dev, now.st_ino) == (before.st_dev, before.st_ino) {
                true => Ok(opened),
                false => Err(Errno::ESTALE),
            }
        }
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn what_is_of_another_kind_is_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("file"), "text").unwrap();
        mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        let read = |path: &Path, expected, flags| {
            let mut text = String::new();
            open_known(path, expected, flags)?.read_to_string(&mut text).map(|_| text)
        };
        for expected in [Expected::File, Expected::Readable] {
            assert_eq!(read(&at("file"), expected, OFlag::empty()).unwrap(), "text");
            assert_eq!(read(&at("link"), expected, OFlag::empty()).unwrap(), "text");
            assert!(read(&at("link"), expected, OFlag::O_NOFOLLOW).is_err());
        }
        assert_eq!(read(Path::new("/dev/null"), Expected::Readable, OFlag::empty()).unwrap(), "");
        // Nothing waits for a writer.
        for (path, expected) in [
            (at("fifo"), Expected::File),
            (at("fifo"), Expected::BlockDevice),
            (at("file"), Expected::BlockDevice),
            (Path::new("/dev/null").to_owned(), Expected::File),
            (Path::new("/dev/zero").to_owned(), Expected::Readable),
            (directory.path().to_owned(), Expected::Readable),
        ] {
            assert!(read(&path, expected, OFlag::empty()).is_err(), "{path:?} {expected:?}");
        }
    }
}
