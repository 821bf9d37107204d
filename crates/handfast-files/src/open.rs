//! Opens files beneath a directory.
//!
//! On Linux the kernel resolves the whole name under `RESOLVE_BENEATH`: there is no moment between a
//! check and a use. Elsewhere each component is opened in turn without following symbolic links.
//!
//! Only regular files and directories are opened, because opening a pipe unblocks its writer, and opening
//! a device may have side effects: the target of a name is looked up first (`O_PATH`), and the opened file is
//! compared with it.

#[path = "open/unlinked.rs"]
mod unlinked;

#[cfg(not(unix))]
#[path = "open/other.rs"]
mod platform;
#[cfg(unix)]
#[path = "open/unix.rs"]
mod platform;
#[cfg(all(test, unix))]
mod tests;

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) use self::unlinked::Unlinked;
use crate::path::Target;

/// A kernel's clock for files goes by its ticks, of at most 10 ms: after two of them another change has other times.
const SETTLED: Duration = Duration::from_millis(20);

/// The same for file systems that store whole seconds, or two of them (ext3, FAT): their times have no fraction.
const SETTLED_COARSE: Duration = Duration::from_secs(3);

/// The facts of an opened file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileFacts {
    /// Device and inode number, if the platform has them.
    pub(crate) identity: (u64, u64),
    pub(crate) size: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified_ns: u128,
    pub(crate) changed_ns: u128,
}

impl FileFacts {
    pub(crate) fn modified(&self) -> SystemTime {
        time_of(self.modified_ns)
    }

    /// Whether another change from now on would give it other times: the last one is older than the file system's clock
    /// is coarse. Only the system sets the time of change where there is one; a time of modification says nothing.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        self.unsettled_for(now).is_zero()
    }

    /// How long to wait until [it is settled](Self::is_settled), if that is but moments.
    pub(crate) fn settles_soon(&self, now: SystemTime) -> Option<Duration> {
        let wait = self.unsettled_for(now);
        (!wait.is_zero() && wait <= SETTLED).then_some(wait)
    }

    fn unsettled_for(&self, now: SystemTime) -> Duration {
        let last_ns = match cfg!(unix) {
            true => self.changed_ns,
            false => self.changed_ns.max(self.modified_ns),
        };
        let margin = match last_ns % 1_000_000_000 {
            0 => SETTLED_COARSE,
            _ => SETTLED,
        };
        let now_ns = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        let wait_ns = (last_ns + margin.as_nanos()).saturating_sub(now_ns);
        Duration::from_nanos(u64::try_from(wait_ns).unwrap_or(u64::MAX))
    }
}

/// A time in nanoseconds since 1970.
fn time_of(ns: u128) -> SystemTime {
    let seconds = u64::try_from(ns / 1_000_000_000).unwrap_or(u64::MAX);
    let nanos = u32::try_from(ns % 1_000_000_000).unwrap_or(0);
    UNIX_EPOCH
        .checked_add(Duration::new(seconds, nanos))
        // Not representable in HTTP: the file has no such field.
        .filter(|_| seconds < 253_402_300_800)
        .unwrap_or(UNIX_EPOCH)
}

/// An opened file or directory.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) file: File,
    pub(crate) kind: Kind,
}

/// The types that are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File(FileFacts),
    Directory {
        /// Nanoseconds since 1970.
        modified_ns: u128,
    },
}

impl Kind {
    pub(crate) fn modified(&self) -> SystemTime {
        match self {
            Self::File(facts) => facts.modified(),
            Self::Directory { modified_ns } => time_of(*modified_ns),
        }
    }
}

/// The type of an entry according to the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    File,
    Directory,
    /// A pipe, a socket or a device.
    Neither,
    /// A symbolic link, or unknown to the file system.
    Unknown,
}

/// Why nothing was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotOpened {
    /// It does not exist, is not beneath the directory, or is neither file nor directory.
    Missing,
    /// It may not be read.
    Forbidden,
    /// The process or the system has no descriptors left.
    Exhausted,
    /// The disk must be read.
    WouldBlock,
    /// Any other error of the operating system.
    Failed,
}

/// Whether it may block on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Never,
    Allowed,
}

/// Where symbolic links in the directory may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// Beneath the directory; where the kernel cannot say that, none is followed.
    Beneath,
    Anywhere,
}

/// The directory served.
#[derive(Debug)]
pub(crate) struct Root(platform::Root, Option<Unlinked>);

impl Root {
    pub(crate) fn open(directory: &Path, links: Links) -> io::Result<Self> {
        platform::Root::open(directory, links).map(|root| Self(root, None))
    }

    /// The same directory with other rules.
    pub(crate) fn with_rules(&self, links: Links, unlinked: Option<Unlinked>) -> Self {
        Self(self.0.with_links(links), unlinked)
    }

    fn check(&self, found: Found, target: &Target) -> Result<Found, NotOpened> {
        match &self.1 {
            Some(unlinked) if unlinked.has(&found.file, target) => Err(NotOpened::Missing),
            _ => Ok(found),
        }
    }

    /// Whether a path leads to this directory. May block.
    pub(crate) fn is_at(&self, path: &Path) -> io::Result<bool> {
        self.0.is_at(path)
    }

    /// Whether it surely does, without blocking on a disk.
    pub(crate) fn is_at_cached(&self, path: &Path) -> bool {
        self.0.is_at_cached(path)
    }

    /// Finds a target without blocking on a disk, or returns that it would block.
    pub(crate) fn find_cached(&self, target: &Target) -> Result<Found, NotOpened> {
        self.0
            .open_beneath(target, Waiting::Never)
            .and_then(examine)
            .and_then(|found| self.check(found, target))
    }

    /// Whether the target still leads to the file with these facts, unchanged. By the rules of
    /// opening, and without blocking on a disk: `false` may mean that it would block.
    pub(crate) fn still_leads_to(&self, target: &Target, facts: &FileFacts) -> bool {
        self.0
            .look_up(target, Waiting::Never)
            .is_ok_and(|metadata| metadata.is_file() && platform::facts(&metadata) == *facts)
    }

    /// Passes `take` the names in a directory and their types, until it returns `false`.
    /// May block.
    pub(crate) fn each_entry(
        &self,
        directory: &File,
        target: &Target,
        take: &mut dyn FnMut(&[u8], Hint) -> io::Result<bool>,
    ) -> io::Result<()> {
        self.0.each_entry(directory, target, take)
    }

    /// The type of a target, without opening it. May block.
    pub(crate) fn kind_of(&self, target: &Target) -> Option<Kind> {
        let metadata = self.0.look_up(target, Waiting::Allowed).ok()?;
        kind(&metadata)
    }

    /// Finds a target. May block.
    pub(crate) fn find(&self, target: &Target) -> Result<Found, NotOpened> {
        self.0
            .open_beneath(target, Waiting::Allowed)
            .and_then(examine)
            .and_then(|found| self.check(found, target))
    }
}

/// The type of a name in an open directory, if it can be determined without opening it: regular files and
/// directories that are readable by all. `None` is undetermined: use [`Root::find`].
pub(crate) fn glance(directory: &File, name: &[u8]) -> Option<Kind> {
    platform::glance(directory, name)
}

/// The current facts of an open file. An error if it is not a regular file.
pub(crate) fn look_at(file: &File) -> io::Result<FileFacts> {
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok(platform::facts(&metadata))
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

/// By the descriptor, not the name, which may be another file now.
fn examine((file, metadata): (File, Metadata)) -> Result<Found, NotOpened> {
    match kind(&metadata) {
        Some(kind) => Ok(Found { file, kind }),
        None => Err(NotOpened::Missing),
    }
}

/// `None` for a pipe, a socket or a device: reading could block for ever, or have side effects.
fn kind(metadata: &Metadata) -> Option<Kind> {
    if metadata.is_file() {
        Some(Kind::File(platform::facts(metadata)))
    } else {
        metadata.is_dir().then(|| Kind::Directory {
            modified_ns: platform::facts(metadata).modified_ns,
        })
    }
}
