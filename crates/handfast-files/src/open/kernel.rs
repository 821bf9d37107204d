//! Resolution by the kernel (`openat2`, since Linux 5.6; without blocking on a disk, since 5.12).

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::super::{Links, NotOpened, Target, Waiting};
use super::{FLAGS, check_kind, classify};

/// By what a name is resolved. Links of `/proc`, which lead past all names, are never followed.
fn resolve(links: Links) -> ResolveFlags {
    match links {
        Links::Beneath => ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        Links::Anywhere => ResolveFlags::NO_MAGICLINKS,
    }
}

/// Leads to a file without opening it.
const PATH: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// A rename elsewhere can make the kernel unsure whether `..` in a symbolic link stayed
/// beneath; it then asks to try again. A file may also be replaced between being looked up and opened.
const ATTEMPTS: usize = 16;

/// What this kernel turned out not to know.
#[derive(Debug, Default)]
pub(crate) struct Abilities {
    no_openat2: AtomicBool,
    no_cached: AtomicBool,
}

impl Abilities {
    /// `None` when the kernel has no `openat2`.
    pub(crate) fn look_up(
        &self,
        directory: &OwnedFd,
        target: &Target,
        links: Links,
        waiting: Waiting,
    ) -> Option<Result<Metadata, NotOpened>> {
        let Some(path) = target.relative() else {
            return Some(Err(NotOpened::Missing));
        };
        self.metadata(directory, &path, links, waiting)
    }

    fn metadata(
        &self,
        directory: &OwnedFd,
        path: &OsStr,
        links: Links,
        waiting: Waiting,
    ) -> Option<Result<Metadata, NotOpened>> {
        let found = match self.walk(directory, path, links, PATH, waiting)? {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        Some(found.metadata().map_err(|_| NotOpened::Failed))
    }

    /// `None` when the kernel has no `openat2`.
    pub(crate) fn open(
        &self,
        directory: &OwnedFd,
        target: &Target,
        links: Links,
        waiting: Waiting,
    ) -> Option<Result<(File, Metadata), NotOpened>> {
        let Some(path) = target.relative() else {
            return Some(Err(NotOpened::Missing));
        };
        for _ in 0..ATTEMPTS {
            let seen = match self.metadata(directory, &path, links, waiting)? {
                Ok(seen) => seen,
                Err(error) => return Some(Err(error)),
            };
            if let Err(error) = check_kind(FileType::from_raw_mode(seen.mode())) {
                return Some(Err(error));
            }
            let file = match self.walk(directory, &path, links, FLAGS, waiting)? {
                Ok(file) => file,
                Err(error) => return Some(Err(error)),
            };
            match file.metadata() {
                Ok(it) if (it.dev(), it.ino()) == (seen.dev(), seen.ino()) => {
                    return Some(Ok((file, it)));
                }
                Ok(_) => {}
                Err(_) => return Some(Err(NotOpened::Failed)),
            }
        }
        Some(Err(NotOpened::Missing))
    }

    fn walk(
        &self,
        directory: &OwnedFd,
        path: &OsStr,
        links: Links,
        flags: OFlags,
        waiting: Waiting,
    ) -> Option<Result<File, NotOpened>> {
        match waiting {
            Waiting::Never => Some(self.walk_cached(directory, path, links, flags)),
            Waiting::Allowed => self.walk_blocking(directory, path, links, flags),
        }
    }

    fn walk_cached(
        &self,
        directory: &OwnedFd,
        path: &OsStr,
        links: Links,
        flags: OFlags,
    ) -> Result<File, NotOpened> {
        if self.no_cached.load(Ordering::Relaxed) {
            return Err(NotOpened::WouldBlock);
        }
        let how = resolve(links) | ResolveFlags::CACHED;
        match open(directory, path, flags, how) {
            Ok(file) => Ok(file.into()),
            Err(Errno::AGAIN) => Err(NotOpened::WouldBlock),
            // Before Linux 5.12, or no openat2 at all: the other way finds out which.
            Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
                self.no_cached.store(true, Ordering::Relaxed);
                Err(NotOpened::WouldBlock)
            }
            Err(error) => Err(classify(error)),
        }
    }

    fn walk_blocking(
        &self,
        directory: &OwnedFd,
        path: &OsStr,
        links: Links,
        flags: OFlags,
    ) -> Option<Result<File, NotOpened>> {
        if self.no_openat2.load(Ordering::Relaxed) {
            return None;
        }
        for _ in 0..ATTEMPTS {
            match open(directory, path, flags, resolve(links)) {
                Ok(file) => return Some(Ok(file.into())),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOSYS) => {
                    self.no_openat2.store(true, Ordering::Relaxed);
                    return None;
                }
                Err(error) => return Some(Err(classify(error))),
            }
        }
        Some(Err(NotOpened::Missing))
    }
}

/// A directory by its path, if the kernel has all of its names cached.
pub(super) fn open_cached(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = PATH | OFlags::DIRECTORY;
    openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED)
}

fn open(
    directory: &OwnedFd,
    path: &OsStr,
    flags: OFlags,
    how: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    openat2(directory, path, flags, Mode::empty(), how)
}
