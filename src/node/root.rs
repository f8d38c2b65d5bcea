//! A node's root directory: `/`, or the root directory of an image that is being built.
//!
//! Paths are absolute, as the node sees them. No path leads out of an image: links, absolute ones and `..` included, lead
//! where they would lead if the image were `/`.
//!
//! Other users may write to some directories of a node, and may have put anything there. So nothing is opened before its
//! kind is known: opening a FIFO waits, and opening `/dev/watchdog` or a tape acts. And a link that another user may have
//! put there is not followed: see [`Root::follows`].

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{
    AtFlags, OFlag, OpenHow, RenameFlags, ResolveFlag, openat, openat2, readlinkat, renameat, renameat2,
};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fsync, getegid, geteuid, linkat, unlinkat};

use super::names::temporary_name;
use super::opening::reopen;
use crate::facts::backup::{fingerprint, fingerprint_on};
use crate::facts::file::{Attributes, Entry, FileIdentity, FileKind, Snapshot, Text, text_of};
use crate::facts::obstacle::Lock;
use crate::path::{program, typed};
use crate::yaml::tree::MAX_BYTES;

/// How many links the kernel follows in one path (path_resolution(7)); this program follows as many.
pub(super) const MAX_LINKS: usize = 40;

/// A system call that failed, with its error number for callers that need it.
#[derive(Debug)]
pub struct Failed {
    pub errno: Errno,
    /// A link that another user may have put there was not followed.
    is_planted: bool,
    message: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failed {}

/// A node's root directory, held open.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    path: PathBuf,
    host: bool,
    /// The user that the root directory belongs to: everything on the node is that user's.
    owner: u32,
}

impl Root {
    /// Opens the directory `path` of the running system as a node's root directory.
    ///
    /// # Errors
    ///
    /// It is not a directory that can be opened.
    pub fn open(path: &Path) -> Result<Root> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let open = |path: &Path| nix::fcntl::open(path, flags, Mode::empty());
        let failed = || format!("cannot open the root directory {}; name an existing directory", path.display());
        let fd = open(path).map_err(describe).with_context(failed)?;
        let ours = fstat(&fd).map_err(describe).with_context(failed)?;
        let slash = open(Path::new("/")).and_then(fstat).map_err(describe).with_context(failed)?;
        Ok(Root { host: identity(&ours) == identity(&slash), fd, path: path.to_owned(), owner: ours.st_uid })
    }

    /// Whether this is the running system's own root directory, under whatever name it was given.
    pub fn is_host(&self) -> bool {
        self.host
    }

    /// This program with the option that names this root directory, for commands in messages.
    pub fn program(&self) -> String {
        program(&self.on_machine())
    }

    /// Where this directory is on this machine, for paths in commands; empty for the running system.
    pub fn on_machine(&self) -> String {
        if self.host { String::new() } else { self.path.display().to_string().trim_end_matches('/').to_owned() }
    }

    /// `path` for messages: as the node sees it, with its path on the host in parentheses if that differs.
    pub fn shown(&self, path: &str) -> String {
        if self.host {
            path.to_owned()
        } else {
            format!("{path} ({})", self.path.join(path.trim_start_matches('/')).display())
        }
    }

    /// Reads the regular file at `path`, through links. `None` if nothing is there. Never waits, not even for a FIFO.
    ///
    /// # Errors
    ///
    /// More than `limit` bytes; not a regular file; a link to nothing or in a circle; a parent that isn't
    /// a directory; no permission.
    pub fn read(&self, path: &str, limit: usize) -> Result<Option<Snapshot>> {
        let fd = match self.find(path) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return self.check_missing(path).map(|()| None),
            Err(errno) => return Err(self.error("read", path, errno)),
        };
        self.read_found(path, &fd, limit).map(Some)
    }

    /// Reads a file that a run may write. What stands in for a missing file counts as nothing.
    ///
    /// # Errors
    ///
    /// As [`Root::read`].
    pub fn read_target(&self, path: &str, limit: usize) -> Result<Option<Snapshot>> {
        if self.is_stand_in(path) { Ok(None) } else { self.read(path, limit) }
    }

    /// Is there an empty directory at the path of a file? The container runtime makes one where the file is missing when
    /// the API server starts, and then neither starts. A run that writes the file removes it.
    pub fn is_stand_in(&self, path: &str) -> bool {
        let is_directory =
            self.stat(path).is_ok_and(|entry| entry.is_some_and(|entry| entry.kind == FileKind::Directory));
        is_directory && self.list(path).is_ok_and(|names| names.is_some_and(|names| names.is_empty()))
    }

    /// Reads the regular file that was found at `path`.
    fn read_found(&self, path: &str, found: &OwnedFd, limit: usize) -> Result<Snapshot> {
        let failed = |errno| self.error("read", path, errno);
        let stat = fstat(found).map_err(failed)?;
        self.expect(path, kind_of(&stat), FileKind::File)?;
        let fd = self.reopen_found(path, found).map_err(failed)?;
        let stat = fstat(&fd).map_err(failed)?;
        let attributes = attributes(&fd, &stat).map_err(failed)?;
        let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        // With a little more room than the size, the end of the file is found without another allocation.
        let mut bytes = Vec::with_capacity(size.min(limit).saturating_add(64));
        if size <= limit {
            let take = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
            let read = File::from(fd).take(take).read_to_end(&mut bytes);
            read.map_err(|error| failed(Errno::try_from(error).unwrap_or(Errno::EIO)))?;
        }
        ensure!(
            size.max(bytes.len()) <= limit,
            "{} has {} bytes, more than the {limit} that are read; check that this is the right file",
            self.shown(path),
            size.max(bytes.len())
        );
        Ok(Snapshot { bytes, attributes, identity: identity(&stat) })
    }

    /// Reads a text file. `None` if it doesn't exist.
    ///
    /// # Errors
    ///
    /// As [`Root::read`]; it is not UTF-8 text.
    pub fn text(&self, path: &str) -> Result<Option<Text>> {
        let Some(snapshot) = self.read(path, MAX_BYTES)? else {
            return Ok(None);
        };
        // The position follows the path as the node sees it: PATH:LINE:COLUMN.
        let text = text_of(&snapshot.bytes).map_err(|error| anyhow!("{path}:{error}"))?.to_owned();
        Ok(Some(Text { path: path.to_owned(), text, snapshot }))
    }

    /// What is at `path`, through links. `None` if nothing is there.
    ///
    /// # Errors
    ///
    /// As [`Root::read`], without the limit.
    pub fn stat(&self, path: &str) -> Result<Option<Entry>> {
        match self.find(path) {
            Ok(fd) => self.entry(path, &fd).map(Some),
            Err(Errno::ENOENT) => self.check_missing(path).map(|()| None),
            Err(errno) => Err(self.error("look at", path, errno)),
        }
    }

    /// What is at `path`; a link there is not followed. `None` if nothing is there.
    ///
    /// # Errors
    ///
    /// As [`Root::stat`].
    pub fn look(&self, path: &str) -> Result<Option<Entry>> {
        match self.find_name(path) {
            Ok(fd) => self.entry(path, &fd).map(Some),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.error("look at", path, errno)),
        }
    }

    fn entry(&self, path: &str, fd: &OwnedFd) -> Result<Entry> {
        let stat = fstat(fd).map_err(|errno| self.error("look at", path, errno))?;
        let kind = kind_of(&stat);
        let mut attributes = plain_attributes(&stat);
        if matches!(kind, FileKind::File | FileKind::Directory) {
            // An O_PATH descriptor has no extended attributes. Without permission to open the file, its label is left
            // out.
            attributes.label = match self.reopen_found(path, fd) {
                Ok(fd) => label::get(&fd).map_err(|errno| self.error("read the label of", path, errno))?,
                Err(Errno::EACCES) => None,
                Err(errno) => return Err(self.error("read the label of", path, errno)),
            };
        }
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        Ok(Entry { kind, attributes, size, identity: identity(&stat), is_linked: stat.st_nlink > 1 })
    }

    /// When the content of what is at `path` was last changed, as far as the file tells; `None` if nothing can be seen
    /// there.
    pub fn written(&self, path: &str) -> Option<SystemTime> {
        times(&fstat(self.find(path).ok()?).ok()?).map(|(written, _)| written)
    }

    /// The links and directories by which `path` leads to what is there.
    pub(super) fn way(&self, path: &str) -> nix::Result<Vec<FileStat>> {
        self.walk(path, true).map(|place| place.way).map_err(|stop| stop.errno)
    }

    /// Does an access control list say more about the file or directory at `path` than its mode does?
    pub fn has_acl(&self, path: &str) -> bool {
        let fd = self.find(path).and_then(|found| self.reopen_found(path, &found));
        fd.is_ok_and(|fd| label::attribute(fd, c"system.posix_acl_access").is_ok_and(|found| found.is_some()))
    }

    /// The attribute of chattr(1) that keeps the file or directory at `path` from changes. `None`: it has none, or the file
    /// system knows none.
    pub fn lock(&self, path: &str) -> Option<Lock> {
        let fd = self.find(path).and_then(|found| self.reopen_found(path, &found)).ok()?;
        label::lock(fd)
    }

    /// The names in the directory `path`, sorted, without `.` and `..`. `None` if nothing is there. A name that isn't
    /// UTF-8 is left out, with a warning.
    pub fn list(&self, path: &str) -> Result<Option<Vec<String>>> {
        self.list_or_tell(path, "ignoring a file name that isn't UTF-8; rename the file")
    }

    /// As [`Root::list`], with the warning of a name that isn't UTF-8.
    pub fn list_or_tell(&self, path: &str, warning: &str) -> Result<Option<Vec<String>>> {
        let failed = |errno| self.error("list", path, errno);
        let fd = match self.open_directory(path) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return self.check_missing(path).map(|()| None),
            Err(errno) => return Err(failed(errno)),
        };
        let mut names = Vec::new();
        for entry in Dir::from_fd(fd).map_err(failed)?.iter() {
            match entry.map_err(failed)?.file_name().to_str() {
                Ok("." | "..") => {}
                Ok(name) => names.push(name.to_owned()),
                Err(_) => log::warn!("{}: {warning}", self.shown(path)),
            }
        }
        names.sort_unstable();
        Ok(Some(names))
    }

    /// The path that `path` leads to if it is a link, through further links, or `path` itself. Writing there replaces
    /// the link's target.
    ///
    /// # Errors
    ///
    /// A link to a missing file or in a circle, or one that is not followed.
    pub fn real(&self, path: &str) -> Result<String> {
        let mut at = path.to_owned();
        for links in 0..=MAX_LINKS {
            match self.link(&at) {
                Ok(Some(target)) => {
                    // The kernel resolves the parents, `..` included, because `..` may come after another link.
                    at = if target.starts_with('/') { target } else { format!("{}/{target}", split(&at)?.0) };
                }
                Ok(None) => return Ok(at),
                Err(Errno::ENOENT) if links == 0 => return Ok(at),
                Err(Errno::ENOENT) => bail!(self.dangling(path)),
                Err(Errno::EILSEQ) => {
                    bail!("{} is a link to a name that isn't UTF-8; correct the link", self.shown(&at))
                }
                Err(errno) => return Err(self.error("look at", &at, errno)),
            }
        }
        Err(self.error("look at", path, Errno::ELOOP))
    }

    /// How many links a path is, one leading to the next.
    pub fn links(&self, path: &str) -> usize {
        let mut at = path.to_owned();
        let mut follow = || {
            let target = self.link(&at).ok()??;
            at = if target.starts_with('/') { target } else { format!("{}/{target}", split(&at).ok()?.0) };
            Some(())
        };
        (0..MAX_LINKS).take_while(|_| follow().is_some()).count()
    }

    /// Where a path leads, with all links in it resolved, as the node sees it. `None` if there are no links in it, or
    /// if nothing is there.
    pub fn leads_to(&self, path: &str) -> Option<String> {
        Some(self.walk(path, true).ok()?.path).filter(|real| real != path)
    }

    /// Whether a link is followed: not if another user may have put it there, that is, if others than the root user can
    /// write to its directory, and the link is not the root user's. The user of the program and the owner of the root
    /// directory count as the root user.
    fn follows(&self, directory: &FileStat, link: &FileStat) -> bool {
        !self.is_shared(directory) || self.trusts(link.st_uid)
    }

    /// Whether what belongs to this user is the administrator's.
    pub fn trusts(&self, uid: u32) -> bool {
        uid == 0 || uid == self.owner || uid == geteuid().as_raw()
    }

    /// Whether other users than the root user can write to a directory. An access control list shows in the bits of the
    /// group.
    pub(super) fn is_shared(&self, directory: &FileStat) -> bool {
        !self.trusts(directory.st_uid) || directory.st_mode & 0o022 != 0
    }

    /// Finds what is at `path`, through links, and opens nothing: the descriptor only stands for it (`O_PATH`).
    pub(super) fn find(&self, path: &str) -> nix::Result<OwnedFd> {
        self.search(path, true)
    }

    /// As [`Root::find`], but a link at the end of the path is not followed.
    pub(super) fn find_name(&self, path: &str) -> nix::Result<OwnedFd> {
        self.search(path, false)
    }

    fn search(&self, path: &str, follow: bool) -> nix::Result<OwnedFd> {
        if !path.starts_with('/') {
            return Err(Errno::EINVAL);
        }
        // Most paths have no links, and the kernel finds them in one call.
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS;
        let flags = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
        match openat2(
            &self.fd,
            path,
            OpenHow::new().flags(flags | OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve),
        ) {
            // A link; names that change elsewhere; a kernel before 5.6, or a filter of system calls.
            Err(Errno::ELOOP | Errno::EAGAIN | Errno::EINTR | Errno::ENOSYS | Errno::EPERM) => {}
            other => return other,
        }
        self.walk(path, follow).map(|place| place.found.fd).map_err(|stop| stop.errno)
    }

    /// Finds what is at `path`, name by name: each in its open directory, so that nobody can exchange a directory or a
    /// link meanwhile.
    fn walk(&self, path: &str, follow: bool) -> std::result::Result<Place, Stop> {
        let names = |path: &str| -> Vec<String> {
            let end = if path.ends_with('/') { "." } else { "" };
            let names = path.split('/').chain([end]).filter(|name| !name.is_empty());
            names.rev().map(str::to_owned).collect()
        };
        let (mut rest, mut links, mut way) = (names(path), 0, Vec::new());
        // The directories above the one that was reached, from the root directory on, and the one that was reached.
        let (mut above, mut at): (Vec<Found>, Found) = (Vec::new(), self.top()?);
        while let Some(name) = rest.pop() {
            if name == "." || name == ".." {
                if name == ".." {
                    at = above.pop().map_or_else(|| self.top(), Ok)?;
                }
                continue;
            }
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let fd = openat(&at.fd, name.as_str(), flags, Mode::empty())?;
            let stat = fstat(&fd)?;
            if matches!(kind_of(&stat), FileKind::Link | FileKind::Directory) {
                way.push(stat);
            }
            match kind_of(&stat) {
                FileKind::Link if !rest.is_empty() || follow => {
                    if !self.follows(&at.stat, &stat) {
                        let link = Some((path_of(&above, &[&at.name, &name]), stat.st_uid));
                        return Err(Stop { errno: Errno::EACCES, link });
                    }
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::ELOOP.into());
                    }
                    let target = readlinkat(&fd, "")?.into_string().map_err(|_| Errno::EILSEQ)?;
                    if target.starts_with('/') {
                        above.clear();
                        at = self.top()?;
                    }
                    rest.extend(names(&target));
                }
                FileKind::Directory => above.push(std::mem::replace(&mut at, Found { fd, stat, name })),
                _ if rest.is_empty() => {
                    let path = path_of(&above, &[&at.name, &name]);
                    return Ok(Place { path, way, directory: Some(at.fd), found: Found { fd, stat, name } });
                }
                _ => return Err(Errno::ENOTDIR.into()),
            }
        }
        Ok(Place { path: path_of(&above, &[&at.name]), way, directory: None, found: at })
    }

    /// The root directory as the start of a search.
    fn top(&self) -> nix::Result<Found> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = openat(&self.fd, ".", flags, Mode::empty())?;
        Ok(Found { stat: fstat(&fd)?, fd, name: String::new() })
    }

    /// Finds what is at `path`, through links, and the directory in which it is, if it is not a directory itself. Nobody
    /// can exchange one of them meanwhile.
    pub(super) fn find_in(&self, path: &str) -> nix::Result<(OwnedFd, Option<OwnedFd>)> {
        let place = self.walk(path, true).map_err(|stop| stop.errno)?;
        Ok((place.found.fd, place.directory))
    }

    /// Opens the directory `path`.
    pub(super) fn open_directory(&self, path: &str) -> nix::Result<OwnedFd> {
        open_found_directory(&self.find(path)?)
    }

    /// Opens for reading what was found at `path`, which must be a regular file or a directory.
    pub(super) fn reopen_found(&self, path: &str, found: &OwnedFd) -> nix::Result<OwnedFd> {
        match kind_of(&fstat(found)?) {
            FileKind::Directory => open_found_directory(found),
            FileKind::File => reopen(found, OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW, |flags| {
                // It is found again, in its open directory.
                let place = self.walk(path, true).map_err(|stop| stop.errno)?;
                openat(place.directory.ok_or(Errno::ESTALE)?, place.found.name.as_str(), flags, Mode::empty())
            }),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The target of the link at `path`, as it is written; `None` if no link is there. Links above it are followed.
    ///
    /// # Errors
    ///
    /// EACCES if the link is not followed, EILSEQ if its target isn't UTF-8.
    pub(super) fn link(&self, path: &str) -> nix::Result<Option<String>> {
        let (parent, name) = split(path).map_err(|_| Errno::EINVAL)?;
        let directory = self.find(parent)?;
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let link = openat(&directory, name, flags, Mode::empty())?;
        let stat = fstat(&link)?;
        match kind_of(&stat) {
            FileKind::Link if !self.follows(&fstat(&directory)?, &stat) => Err(Errno::EACCES),
            FileKind::Link => readlinkat(&link, "")?.into_string().map(Some).map_err(|_| Errno::EILSEQ),
            _ => Ok(None),
        }
    }

    /// The open directory of `path`'s last name, and that name. A link with that name is not followed.
    pub(super) fn slot(&self, path: &str) -> Result<Slot> {
        let (parent, name) = split(path)?;
        let dir = self.open_directory(parent).map_err(|errno| self.error("open the directory of", path, errno))?;
        Ok(Slot { dir, name: name.to_owned(), path: path.to_owned() })
    }

    /// The directories that must be made so that the directory `path` exists, outermost first.
    pub(super) fn missing_directories<'p>(&self, path: &'p str) -> Result<Vec<&'p str>> {
        let mut missing = Vec::new();
        let mut at = path.trim_end_matches('/');
        while !at.is_empty() {
            match self.stat(at)? {
                None => missing.push(at),
                Some(entry) => {
                    self.expect(at, entry.kind, FileKind::Directory)?;
                    break;
                }
            }
            at = split(at)?.0.trim_end_matches('/');
        }
        missing.reverse();
        Ok(missing)
    }

    /// Makes the directory `path` with these attributes, and its missing parents with 0755. Calls `made` for each.
    /// Each is durable in its parent on return. If the directory exists, sets its attributes.
    pub(super) fn make_directory(
        &self,
        path: &str,
        wanted: &Attributes,
        made: &mut dyn FnMut(Slot),
    ) -> Result<()> {
        let missing = self.missing_directories(path)?;
        let there = missing.first().map_or(Ok(path), |first| split(first).map(|(parent, _)| parent))?;
        let opened = self.open_directory(there);
        let mut dir = opened.map_err(|errno| self.error("open the directory", there, errno))?;
        for missing in missing {
            let failed = |errno| self.error("make the directory", missing, errno);
            let slot = Slot { dir, name: split(missing)?.1.to_owned(), path: missing.to_owned() };
            // The mode is right from the start, because a run may be interrupted before it sets it.
            let mode = if missing == path.trim_end_matches('/') { wanted.mode } else { 0o755 };
            let is_made = match mkdirat(&slot.dir, slot.name.as_str(), Mode::from_bits_truncate(mode)) {
                // Another run made it meanwhile, before it took the lock.
                Err(Errno::EEXIST) => false,
                made => made.map(|()| true).map_err(failed)?,
            };
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let inner = openat(&slot.dir, slot.name.as_str(), flags, Mode::empty());
            let is_ours = inner.as_ref().map(|inner| self.is_new(&slot.dir, inner));
            if is_made {
                let synced = fsync(&slot.dir);
                // Whatever failed, the directory is there.
                made(slot);
                synced.map_err(failed)?;
            }
            let is_ours = is_ours.map_err(|errno| failed(*errno))?.map_err(failed)?;
            let inner = inner.map_err(failed)?;
            if is_made {
                fchmod(&inner, Mode::from_bits_truncate(mode)).map_err(failed)?;
            }
            ensure!(
                is_ours,
                "{} was made by another user meanwhile, so it is left alone; check it, and run again",
                self.shown(missing)
            );
            dir = inner;
        }
        set_attributes(&dir, wanted).map_err(|errno| self.error("set the owner and mode of", path, errno))
    }

    /// Whether a directory is this run's own, and nothing is in it. Where others can write, one of them may have put
    /// another directory in its place, even one of the root user's.
    fn is_new(&self, parent: &OwnedFd, inner: &OwnedFd) -> nix::Result<bool> {
        let is_ours = fstat(inner)?.st_uid == geteuid().as_raw();
        if !is_ours || !self.is_shared(&fstat(parent)?) {
            return Ok(is_ours);
        }
        let names =
            Dir::from_fd(inner.try_clone().map_err(|error| Errno::try_from(error).unwrap_or(Errno::EIO))?)?;
        Ok(names.into_iter().flatten().all(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")))
    }

    /// Writes a file of the program's own, durably: the file has the new text in full, or is as before.
    pub(super) fn replace(&self, path: &str, text: &str) -> Result<()> {
        let slot = self.slot(path)?;
        let new = temporary_name(&slot.name);
        let written = slot.remove(&new).and_then(|()| slot.create(&new, text.as_bytes(), None));
        let named = written.and_then(|()| slot.rename(&new, &slot.name)).inspect_err(|_| {
            // The first error is the one to report.
            let _ = slot.remove(&new);
        });
        named.and_then(|()| slot.sync()).map_err(|errno| self.error("write", path, errno))
    }

    /// Makes a directory that only this user can enter, if it doesn't exist.
    pub(super) fn make_private(&self, path: &str) -> Result<()> {
        match self.is_private(path)? {
            true => Ok(()),
            false => {
                let attributes = Attributes::new(0o700, geteuid().as_raw(), getegid().as_raw());
                self.make_directory(path, &attributes, &mut |_| {})
            }
        }
    }

    /// Whether a directory exists that only this user can write to.
    ///
    /// # Errors
    ///
    /// What is there is no directory, or other users can write to it.
    pub(super) fn is_private(&self, path: &str) -> Result<bool> {
        let Some(entry) = self.stat(path)? else { return Ok(false) };
        self.expect(path, entry.kind, FileKind::Directory)?;
        let Attributes { mode, uid, .. } = entry.attributes;
        ensure!(
            self.trusts(uid) && mode & 0o022 == 0,
            "{}: other users can write here, and the program keeps its own files here; run: chown root {typed}; \
             chmod go-w {typed}",
            self.shown(path),
            typed = typed(&self.on_machine(), path)
        );
        Ok(true)
    }

    /// `errno` as an error that says what failed on which path, and what to do next.
    pub(super) fn error(&self, what: &str, path: &str, errno: Errno) -> anyhow::Error {
        let planted = match errno {
            // The search stopped at a link.
            Errno::EACCES => self.walk(path, true).err().and_then(|stop| stop.link),
            _ => None,
        };
        let why = match &planted {
            Some((link, uid)) => format!(
                "{} is a symbolic link of user {uid}, in a directory that others than root can write to, so it is not \
                 followed; name the path that it leads to, or remove it",
                self.shown(link)
            ),
            None => describe(errno).to_string(),
        };
        let is_planted = planted.is_some();
        Failed { errno, is_planted, message: format!("cannot {what} {}: {why}", self.shown(path)) }.into()
    }

    /// An error if `path` is not of the expected kind.
    pub(super) fn expect(&self, path: &str, kind: FileKind, expected: FileKind) -> Result<()> {
        ensure!(
            kind == expected,
            "{} is {kind}, not {expected}; correct the path, or, if nothing needs what is there, move it away",
            self.shown(path)
        );
        Ok(())
    }

    /// What is wrong with a link to a missing file.
    fn dangling(&self, path: &str) -> String {
        let target = self.link(path).ok().flatten().map(|target| format!(", {target}")).unwrap_or_default();
        let shown = self.shown(path);
        format!("{shown} is a symbolic link to nothing{target}; remove it, or create what it points to")
    }

    /// Finds out whether ENOENT comes from a link to a missing file, which is a mistake on the node: looks at `path`
    /// and then at its parents for the first that exists.
    fn check_missing(&self, path: &str) -> Result<()> {
        let mut at = path.trim_end_matches('/');
        while !at.is_empty() {
            if self.find_name(at).is_ok() {
                ensure!(!matches!(self.find(at), Err(Errno::ENOENT)), self.dangling(at));
                return Ok(());
            }
            at = split(at)?.0.trim_end_matches('/');
        }
        Ok(())
    }
}

/// When the content of a file was last changed, as far as it tells, and when anything of it was. `None` if these are no
/// times.
pub(super) fn times(stat: &FileStat) -> Option<(SystemTime, SystemTime)> {
    let at = |seconds: i64, rest: i64| {
        SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds.try_into().ok()?, rest.try_into().ok()?))
    };
    Some((at(stat.st_mtime, stat.st_mtime_nsec)?, at(stat.st_ctime, stat.st_ctime_nsec)?))
}

/// What a search reached, or passed: a descriptor that only stands for it, and its name.
struct Found {
    fd: OwnedFd,
    stat: FileStat,
    name: String,
}

/// The path of names in a directory. `above`: the directories that a search passed, from the root directory on.
fn path_of(above: &[Found], names: &[&str]) -> String {
    let all: Vec<_> = above.iter().map(|found| found.name.as_str()).chain(names.iter().copied()).collect();
    // The root directory has no name.
    if all == [""] { "/".to_owned() } else { all.join("/") }
}

/// What a search reached, and its directory if it is not a directory itself.
struct Place {
    /// The path of it, without links.
    path: String,
    /// The links and directories that the search passed.
    way: Vec<FileStat>,
    directory: Option<OwnedFd>,
    found: Found,
}

/// Why a search ended.
struct Stop {
    errno: Errno,
    /// The path and the owner of a link that is not followed.
    link: Option<(String, u32)>,
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Stop {
        Stop { errno, link: None }
    }
}

/// Which file it is, and its content, at one moment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Standing {
    identity: FileIdentity,
    size: i64,
    /// The fingerprint of the content.
    pub print: u64,
}

/// A name in an open directory. The methods don't follow a link with that name.
#[derive(Debug)]
pub(super) struct Slot {
    /// The open directory.
    pub dir: OwnedFd,
    /// The name in it.
    pub name: String,
    /// The whole path, for messages.
    pub path: String,
}

impl Slot {
    /// Writes a new file under `name` in this directory: private until `attributes` are set, and durable except for
    /// its name. First removes a file with that name, which an interrupted run has left. After an error there is no
    /// file.
    pub fn create(&self, name: &str, bytes: &[u8], attributes: Option<&Attributes>) -> nix::Result<()> {
        let mut file = self.open_new(name)?;
        let written = file.write_all(bytes).map_err(|error| Errno::try_from(error).unwrap_or(Errno::EIO));
        let set = written.and_then(|()| attributes.map_or(Ok(()), |wanted| set_attributes(&file, wanted)));
        set.and_then(|()| fsync(&file)).inspect_err(|_| {
            // The first error is the one to report.
            let _ = self.remove(name);
        })
    }

    /// What the regular file `name` of this directory is now; `None` if there is none. A link is none.
    pub fn standing(&self, name: &str) -> nix::Result<Option<Standing>> {
        self.standing_of(name, None)
    }

    /// Has the regular file `name` of this directory these bytes?
    pub fn has(&self, name: &str, bytes: &[u8]) -> nix::Result<bool> {
        let found = self.standing_of(name, i64::try_from(bytes.len()).ok())?;
        Ok(found.is_some_and(|found| found.print == fingerprint(bytes)))
    }

    /// With `size`, a file of another size is none, and is not read: it may be of any size.
    fn standing_of(&self, name: &str, size: Option<i64>) -> nix::Result<Option<Standing>> {
        let file = match self.open(name) {
            Ok(file) => file,
            Err(Errno::ENOENT | Errno::EINVAL) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let stat = fstat(&file)?;
        if size.is_some_and(|size| size != stat.st_size) {
            return Ok(None);
        }
        let (mut print, mut bytes) = (fingerprint(b""), vec![0; 1 << 16]);
        let mut rest = file.take(u64::try_from(stat.st_size).unwrap_or_default());
        loop {
            match rest.read(&mut bytes) {
                Ok(0) => return Ok(Some(Standing { identity: identity(&stat), size: stat.st_size, print })),
                Ok(number) => print = fingerprint_on(print, bytes.get(..number).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Errno::try_from(error).unwrap_or(Errno::EIO)),
            }
        }
    }

    /// Is the file in this slot still the one that this was?
    pub fn is_still(&self, was: &Standing) -> nix::Result<bool> {
        Ok(self.standing_of(&self.name, Some(was.size))?.as_ref() == Some(was))
    }

    /// Renames `from` to the name of this slot, over a file that must be `over`. `RENAME_EXCHANGE` would leave no moment
    /// between the look and the rename, but it tells the kubelet that the manifest is gone.
    ///
    /// # Errors
    ///
    /// Among others, EEXIST: something else is there.
    pub fn put_back(&self, from: &str, over: &Standing) -> nix::Result<()> {
        match self.is_still(over)? {
            true => self.rename(from, &self.name).and_then(|()| self.sync()),
            false => Err(Errno::EEXIST),
        }
    }

    /// Creates an empty file that only this user can read, and opens it for writing. First removes a file with that
    /// name, which an interrupted run has left.
    pub fn open_new(&self, name: &str) -> nix::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let private = Mode::S_IRUSR | Mode::S_IWUSR;
        self.anew(name, || openat(&self.dir, name, flags, private)).map(File::from)
    }

    /// Opens the regular file `name` of this directory for reading.
    ///
    /// # Errors
    ///
    /// Among others, EINVAL: it is not a regular file.
    pub fn open(&self, name: &str) -> nix::Result<File> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let found = openat(&self.dir, name, flags, Mode::empty())?;
        if kind_of(&fstat(&found)?) != FileKind::File {
            return Err(Errno::EINVAL);
        }
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
        reopen(&found, flags, |flags| openat(&self.dir, name, flags, Mode::empty())).map(File::from)
    }

    /// The identity of the directory.
    pub fn identity(&self) -> nix::Result<FileIdentity> {
        fstat(&self.dir).map(|stat| identity(&stat))
    }

    /// The identity of what has the name `name` in this directory; a link is not followed.
    pub fn identity_of(&self, name: &str) -> nix::Result<FileIdentity> {
        fstatat(&self.dir, name, AtFlags::AT_SYMLINK_NOFOLLOW).map(|stat| identity(&stat))
    }

    /// Whether this is a link with this target.
    pub fn is_link_to(&self, target: &str) -> bool {
        readlinkat(&self.dir, self.name.as_str()).is_ok_and(|found| found == target)
    }

    /// Reads the regular file with this name. `None` if there is none.
    pub fn read(&self, root: &Root, limit: usize) -> Result<Option<Snapshot>> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(&self.dir, self.name.as_str(), flags, Mode::empty()) {
            Ok(found) => root.read_found(&self.path, &found, limit).map(Some),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(root.error("read", &self.path, errno)),
        }
    }

    /// Makes a hard link `name` to the file, in the same directory.
    pub fn link(&self, name: &str) -> nix::Result<()> {
        self.anew(name, || linkat(&self.dir, self.name.as_str(), &self.dir, name, AtFlags::empty()))
    }

    /// Renames within the directory.
    pub fn rename(&self, from: &str, to: &str) -> nix::Result<()> {
        renameat(&self.dir, from, &self.dir, to)
    }

    /// Renames within the directory, unless the new name exists.
    pub fn rename_new(&self, from: &str, to: &str) -> nix::Result<()> {
        match renameat2(&self.dir, from, &self.dir, to, RenameFlags::RENAME_NOREPLACE) {
            // The file system doesn't support this flag, as NFS.
            Err(Errno::EINVAL | Errno::ENOSYS) => self.rename_by_link(from, to),
            other => other,
        }
    }

    /// A new link is never made over a file. A directory has no second name, and some file systems have no links.
    fn rename_by_link(&self, from: &str, to: &str) -> nix::Result<()> {
        match linkat(&self.dir, from, &self.dir, to, AtFlags::empty()) {
            Ok(()) => self.remove(from),
            Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::EMLINK | Errno::ENOSYS) => match self.identity_of(to) {
                Err(Errno::ENOENT) => self.rename(from, to),
                other => other.and(Err(Errno::EEXIST)),
            },
            Err(errno) => Err(errno),
        }
    }

    /// Removes the file `name` of this directory, if it exists.
    pub fn remove(&self, name: &str) -> nix::Result<()> {
        match unlinkat(&self.dir, name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::ENOENT) => Ok(()),
            other => other,
        }
    }

    /// Makes the names in this directory durable.
    pub fn sync(&self) -> nix::Result<()> {
        fsync(&self.dir)
    }

    fn anew<T>(&self, name: &str, make: impl Fn() -> nix::Result<T>) -> nix::Result<T> {
        match make() {
            Err(Errno::EEXIST) => self.remove(name).and_then(|()| make()),
            other => other,
        }
    }
}

/// Whether the error is about the path itself: a link to a missing file or in a circle, not a directory, not a file,
/// not text. Then no other program can read it either. False for an error that may pass, such as one of the disk.
pub fn stays_wrong(error: &anyhow::Error) -> bool {
    let failed = error.downcast_ref::<Failed>();
    failed.is_none_or(|failed| matches!(failed.errno, Errno::ELOOP | Errno::ENOTDIR))
}

/// Whether the error is about a link that another user may have put there. Other programs follow it.
pub fn is_planted(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failed>().is_some_and(|failed| failed.is_planted)
}

/// Warns about an error while cleaning up, which must not end a run.
pub(super) fn warn_on_error(result: Result<()>) {
    if let Err(error) = result {
        log::warn!("{error:#}");
    }
}

/// Splits an absolute path into its directory and its last name.
pub(super) fn split(path: &str) -> Result<(&str, &str)> {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", name)) if !name.is_empty() => Ok(("/", name)),
        Some((parent, name)) if path.starts_with('/') => Ok((parent, name)),
        _ => bail!("{path:?} is not an absolute path to a file or directory; begin it with /"),
    }
}

/// Sets the owner, then the mode (a change of the owner clears set-id bits), then the label if `wanted` has one.
pub(super) fn set_attributes(fd: impl AsFd, wanted: &Attributes) -> nix::Result<()> {
    let fd = fd.as_fd();
    fchown(fd, Some(Uid::from_raw(wanted.uid)), Some(Gid::from_raw(wanted.gid)))?;
    fchmod(fd, Mode::from_bits_truncate(wanted.mode))?;
    match &wanted.label {
        Some(wanted) => label::set(fd, wanted),
        None => Ok(()),
    }
}

/// The attributes of an open file.
pub(super) fn attributes(fd: impl AsFd, stat: &FileStat) -> nix::Result<Attributes> {
    Ok(Attributes { label: label::get(fd)?, ..plain_attributes(stat) })
}

fn plain_attributes(stat: &FileStat) -> Attributes {
    Attributes::new(stat.st_mode & 0o7777, stat.st_uid, stat.st_gid)
}

pub(super) fn kind_of(stat: &FileStat) -> FileKind {
    FileKind::of(stat.st_mode)
}

fn open_found_directory(found: &OwnedFd) -> nix::Result<OwnedFd> {
    openat(found, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

fn identity(stat: &FileStat) -> FileIdentity {
    FileIdentity { device: stat.st_dev, inode: stat.st_ino }
}

/// What `errno` means and, if this is known, what to do.
fn describe(errno: Errno) -> anyhow::Error {
    let next = match errno {
        Errno::EACCES => "; run as root",
        Errno::EPERM => "; run as root, and check with lsattr whether it is immutable",
        Errno::EROFS => "; mount it read-write",
        Errno::ENOSPC | Errno::EDQUOT => "; make room",
        Errno::ELOOP => "; its links lead in a circle, or there are too many: correct the links",
        Errno::ENOTDIR => {
            "; a part of this path should be a directory: correct the path, or, if nothing needs the file there, move it away"
        }
        Errno::EBUSY | Errno::EXDEV => {
            "; something is mounted there: change the mounted file or directory instead"
        }
        Errno::EIO => "; the disk fails: read the kernel's log",
        _ => "",
    };
    anyhow!("{}{next}", errno.desc())
}

/// The extended attribute `security.selinux`, and the attributes of chattr(1), for which nix has no calls.
#[allow(unsafe_code)]
mod label {
    use std::ffi::CStr;
    use std::os::fd::{AsFd, AsRawFd};

    use nix::errno::Errno;
    use nix::libc;

    use crate::facts::obstacle::Lock;

    const NAME: &CStr = c"security.selinux";

    /// The label of an open file, without the NUL at its end. `None` if the file has no label, or the file system
    /// doesn't support labels.
    pub fn get(fd: impl AsFd) -> nix::Result<Option<Vec<u8>>> {
        let label = attribute(fd, NAME)?;
        Ok(label.map(|label| label.strip_suffix(b"\0").unwrap_or(&label).to_vec()))
    }

    /// An extended attribute of an open file.
    pub fn attribute(fd: impl AsFd, name: &CStr) -> nix::Result<Option<Vec<u8>>> {
        let mut label = [0u8; 4096];
        // SAFETY: the name is a C string, and the kernel writes at most `label.len()` bytes into `label`; both
        // live until the call returns.
        let size = unsafe {
            libc::fgetxattr(fd.as_fd().as_raw_fd(), name.as_ptr(), label.as_mut_ptr().cast(), label.len())
        };
        match Errno::result(size) {
            Ok(size) => {
                let label = label.get(..usize::try_from(size).unwrap_or(0)).unwrap_or_default();
                Ok(Some(label.to_vec()))
            }
            Err(Errno::ENODATA | Errno::ENOTSUP) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The attribute of an open file that keeps it from changes.
    pub fn lock(fd: impl AsFd) -> Option<Lock> {
        // As in linux/fs.h.
        const IMMUTABLE: libc::c_int = 0x10;
        const APPEND_ONLY: libc::c_int = 0x20;
        // Whatever the type says, the kernel writes an int; there is room for a long.
        let mut flags: [libc::c_int; 2] = [0; 2];
        // SAFETY: the kernel writes one int into `flags`, which lives until the call returns.
        let done = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::FS_IOC_GETFLAGS as _, flags.as_mut_ptr()) };
        Errno::result(done).ok()?;
        match flags[0] {
            flags if flags & IMMUTABLE != 0 => Some(Lock::Immutable),
            flags if flags & APPEND_ONLY != 0 => Some(Lock::AppendOnly),
            _ => None,
        }
    }

    /// Sets the label of an open file.
    pub fn set(fd: impl AsFd, label: &[u8]) -> nix::Result<()> {
        let label = [label, b"\0"].concat();
        // SAFETY: the name is a C string, and the kernel reads at most `label.len()` bytes from `label`; both live
        // until the call returns.
        let done = unsafe {
            libc::fsetxattr(fd.as_fd().as_raw_fd(), NAME.as_ptr(), label.as_ptr().cast(), label.len(), 0)
        };
        Errno::result(done).map(drop)
    }
}

/// Whether the last link of `link`, or `link` itself, leads to the name `path`, and not to another name of the same file.
///
/// # Errors
///
/// A path can't be looked at.
pub fn leads_to(root: &Root, link: &str, path: &str) -> Result<bool> {
    let real = root.real(link)?;
    let ((directory, name), (parent, other)) = (split(&real)?, split(path)?);
    let identity = |path: &str| Ok::<_, anyhow::Error>(root.stat(path)?.map(|entry| entry.identity));
    Ok(name == other && identity(directory)? == identity(parent)?)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Node, mode};
    use super::*;

    #[test]
    fn links_resolve_as_if_the_root_were_slash() {
        let node = Node::with(&[("/etc/real/file", "inside"), ("/secret", "inside too")]);
        std::fs::write(node.outside.path().join("secret"), "outside").unwrap();
        node.link("/absolute", "/etc/real/file");
        node.link("/relative", "etc/real/file");
        node.link("/etc/up", "../../../../../secret");
        node.link("/etc/directory", "/etc/real");
        node.link("/chain", "/etc/up");
        for (path, real, text) in [
            ("/etc/real/file", "/etc/real/file", "inside"),
            ("/absolute", "/etc/real/file", "inside"),
            ("/relative", "//etc/real/file", "inside"),
            ("/etc/directory/file", "/etc/directory/file", "inside"),
            ("/etc/up", "/etc/../../../../../secret", "inside too"),
            ("/chain", "/etc/../../../../../secret", "inside too"),
            ("/../secret", "/../secret", "inside too"),
        ] {
            assert_eq!(node.snapshot(path).bytes, text.as_bytes(), "{path}");
            assert_eq!(node.root.real(path).unwrap(), real, "{path}");
        }
        for (path, leads_to) in [
            ("/etc/real", None),
            ("/etc/directory", Some("/etc/real")),
            ("/etc/directory/file", Some("/etc/real/file")),
            ("/chain", Some("/secret")),
            ("/none", None),
            ("/", None),
            ("/etc/directory/..", Some("/etc")),
            ("/etc/directory/../..", Some("/")),
        ] {
            assert_eq!(node.root.leads_to(path).as_deref(), leads_to, "{path}");
        }
    }

    #[test]
    fn nothing_there_is_no_error() {
        let node = Node::with(&[("/etc/file", "")]);
        for path in ["/none", "/none/below", "/etc/none"] {
            assert_eq!(node.root.read(path, 10).unwrap(), None, "{path}");
            assert_eq!(node.root.stat(path).unwrap(), None, "{path}");
            assert_eq!(node.root.list(path).unwrap(), None, "{path}");
            assert_eq!(node.root.real(path).unwrap(), path);
        }
    }

    #[test]
    fn what_is_not_a_readable_file_is_named() {
        let node = Node::with(&[("/file", "")]);
        std::fs::create_dir(node.host("/directory")).unwrap();
        nix::unistd::mkfifo(&node.host("/fifo"), Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(node.host("/socket")).unwrap();
        node.link("/dangling", "/none");
        node.link("/to-dangling", "dangling");
        node.link("/circle", "circle2");
        node.link("/circle2", "/circle");
        for (path, expected) in [
            ("/directory", "is a directory, not a regular file"),
            ("/fifo", "is a FIFO, not a regular file"),
            ("/socket", "is a socket, not a regular file"),
            ("/dangling", "/dangling) is a symbolic link to nothing"),
            ("/to-dangling", "is a symbolic link to nothing"),
            ("/dangling/below", "/dangling) is a symbolic link to nothing"),
            ("/circle", "links lead in a circle"),
            ("/file/below", "should be a directory"),
            ("relative", "cannot read relative"),
        ] {
            let error = format!("{:#}", node.root.read(path, 10).unwrap_err());
            assert!(error.contains(expected), "{path}: {error}");
        }
        for path in ["/dangling", "/circle"] {
            assert!(node.root.real(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_file_is_read_up_to_the_limit_and_not_beyond() {
        let node = Node::with(&[("/file", "12345")]);
        assert_eq!(node.root.read("/file", 5).unwrap().unwrap().bytes, b"12345");
        let error = node.root.read("/file", 4).unwrap_err().to_string();
        assert!(error.contains("has 5 bytes, more than the 4"), "{error}");
        // The kernel reports size 0 for these files.
        let host = Root::open(Path::new("/")).unwrap();
        assert!(!host.read("/proc/self/status", 1 << 20).unwrap().unwrap().bytes.is_empty());
        assert!(host.read("/proc/self/status", 10).is_err());
    }

    #[test]
    fn a_file_of_any_size_is_known_again() {
        let node = Node::with(&[("/d/file", ""), ("/d/other", "")]);
        node.link("/d/link", "file");
        let slot = node.root.slot("/d/file").unwrap();
        for size in [0, 5, 3 * MAX_BYTES] {
            let bytes = vec![b'x'; size];
            std::fs::write(node.host("/d/file"), &bytes).unwrap();
            std::fs::write(node.host("/d/other"), &bytes).unwrap();
            let standing = slot.standing("file").unwrap().unwrap();
            assert!(standing.print == fingerprint(&bytes) && slot.is_still(&standing).unwrap(), "{size}");
            assert!(slot.has("file", &bytes).unwrap() && !slot.has("file", b"other").unwrap(), "{size}");
            // The same content, but another file.
            assert_ne!(slot.standing("other").unwrap().unwrap(), standing, "{size}");
            assert_eq!(slot.standing("link").unwrap(), None);
            std::fs::write(node.host("/d/file"), [&bytes[..], b"y"].concat()).unwrap();
            assert!(!slot.is_still(&standing).unwrap() && !slot.has("file", &bytes).unwrap(), "{size}");
        }
    }

    #[test]
    fn the_host_is_known_by_its_inode() {
        for (path, host) in [("/", true), ("/.", true), ("/proc/self/root", true), ("/usr", false)] {
            assert_eq!(Root::open(Path::new(path)).unwrap().is_host(), host, "{path}");
        }
    }

    #[test]
    fn messages_name_the_path_on_the_host_only_where_it_differs() {
        let node = Node::new();
        let host = node.host("/etc/x").display().to_string();
        assert_eq!(node.root.shown("/etc/x"), format!("/etc/x ({host})"));
        assert_eq!(Root::open(Path::new("/")).unwrap().shown("/etc/x"), "/etc/x");
    }

    #[test]
    fn stat_tells_kind_and_attributes() {
        let node = Node::with(&[("/file", "")]);
        node.chmod("/file", 0o4750);
        node.link("/link", "file");
        let entry = node.root.stat("/link").unwrap().unwrap();
        let label = entry.attributes.label.clone();
        assert_eq!((entry.kind, &entry.attributes), (FileKind::File, &Attributes { label, ..mode(0o4750) }));
        assert_eq!(entry.identity, node.snapshot("/file").identity);
        assert_eq!(entry.attributes, node.snapshot("/file").attributes);
    }

    #[test]
    fn a_label_is_read_as_it_was_set() {
        let node = Node::with(&[("/file", "")]);
        let before = node.snapshot("/file").attributes.label;
        let wanted = b"system_u:object_r:etc_t:s0".to_vec();
        let fd = node.root.find("/file").and_then(|found| node.root.reopen_found("/file", &found)).unwrap();
        // Only the root user can set a label, and a kernel with SELinux may refuse this one.
        let expected = label::set(&fd, &wanted).map_or(before, |()| Some(wanted));
        assert_eq!(node.snapshot("/file").attributes.label, expected);
    }

    #[test]
    fn what_somebody_made_meanwhile_is_not_written_over() {
        let node = Node::with(&[("/d/new", "ours"), ("/d/there", "theirs")]);
        let slot = node.root.slot("/d/there").unwrap();
        // On some file systems, it is done by a link.
        for rename in [Slot::rename_new, Slot::rename_by_link] {
            assert_eq!(rename(&slot, "new", "there"), Err(Errno::EEXIST));
            assert_eq!((node.text("/d/new").as_str(), node.text("/d/there").as_str()), ("ours", "theirs"));
            rename(&slot, "new", "free").unwrap();
            assert_eq!(node.root.list("/d").unwrap().unwrap(), ["free", "there"]);
            slot.rename("free", "new").unwrap();
        }
        std::fs::create_dir(node.host("/d/directory")).unwrap();
        assert_eq!(slot.rename_by_link("directory", "there"), Err(Errno::EEXIST));
        slot.rename_by_link("directory", "renamed").unwrap();
        assert_eq!(node.root.list("/d").unwrap().unwrap(), ["new", "renamed", "there"]);
    }

    #[test]
    fn names_are_sorted() {
        let node = Node::with(&[("/d/b", ""), ("/d/a/x", ""), ("/d/.c", "")]);
        assert_eq!(node.root.list("/d").unwrap().unwrap(), [".c", "a", "b"]);
        assert!(node.root.list("/d/b").is_err());
    }

    #[test]
    fn missing_parents_are_made_and_told() {
        let node = Node::with(&[("/var/file", "")]);
        let mut made = Vec::new();
        node.root.make_directory("/var/a/b/c/", &mode(0o1710), &mut |slot| made.push(slot.path)).unwrap();
        assert_eq!(made, ["/var/a", "/var/a/b", "/var/a/b/c"]);
        assert_eq!([node.mode("/var/a"), node.mode("/var/a/b"), node.mode("/var/a/b/c")], [0o755, 0o755, 0o1710]);
        let error = node.root.make_directory("/var/file/d", &mode(0o700), &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("should be a directory"), "{error}");
    }
}
