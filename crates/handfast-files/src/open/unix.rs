//! Opening on Unix: with the kernel's resolution beneath a directory, or component by component.

#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "kernel.rs"]
mod kernel;

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, statat};
use rustix::io::Errno;

#[cfg(target_os = "linux")]
use super::Kind;
use super::{FileFacts, Hint, Links, NotOpened, Target, Waiting};

/// Never blocks on a pipe, acquires no controlling terminal, is not inherited.
const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

#[derive(Debug)]
pub(crate) struct Root {
    directory: Arc<OwnedFd>,
    links: Links,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    kernel: kernel::Abilities,
}

impl Root {
    pub(crate) fn open(directory: &Path, links: Links) -> io::Result<Self> {
        let flags = FLAGS | OFlags::DIRECTORY;
        let directory = rustix::fs::open(directory, flags, Mode::empty())?;
        Ok(Self {
            directory: Arc::new(directory),
            links,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            kernel: kernel::Abilities::default(),
        })
    }

    pub(crate) fn with_links(&self, links: Links) -> Self {
        Self {
            directory: Arc::clone(&self.directory),
            links,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            kernel: kernel::Abilities::default(),
        }
    }

    /// Compares device and inode number. An open directory's numbers are not given to another one.
    pub(crate) fn is_at(&self, path: &Path) -> io::Result<bool> {
        Ok(same(&rustix::fs::stat(path)?, &fstat(&*self.directory)?))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn is_at_cached(&self, path: &Path) -> bool {
        kernel::open_cached(path)
            .and_then(|found| Ok(same(&fstat(found)?, &fstat(&*self.directory)?)))
            .unwrap_or(false)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn is_at_cached(&self, _path: &Path) -> bool {
        false
    }

    /// Opens a regular file or a directory.
    pub(crate) fn open_beneath(
        &self,
        target: &Target,
        waiting: Waiting,
    ) -> Result<(File, Metadata), NotOpened> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(result) = self
            .kernel
            .open(&self.directory, target, self.links, waiting)
        {
            return result;
        }
        match waiting {
            Waiting::Never => Err(NotOpened::WouldBlock),
            Waiting::Allowed => with_metadata(self.open_in_steps(target)?),
        }
    }

    /// The target of a name, without opening it.
    pub(crate) fn look_up(&self, target: &Target, waiting: Waiting) -> Result<Metadata, NotOpened> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(result) = self
            .kernel
            .look_up(&self.directory, target, self.links, waiting)
        {
            return result;
        }
        let (_, metadata) = self.open_beneath(target, waiting)?;
        Ok(metadata)
    }

    pub(crate) fn each_entry(
        &self,
        directory: &File,
        _target: &Target,
        take: &mut dyn FnMut(&[u8], Hint) -> io::Result<bool>,
    ) -> io::Result<()> {
        for entry in rustix::fs::Dir::read_from(directory)? {
            let entry = entry?;
            let hint = match entry.file_type() {
                FileType::RegularFile => Hint::File,
                FileType::Directory => Hint::Directory,
                FileType::Symlink | FileType::Unknown => Hint::Unknown,
                _ => Hint::Neither,
            };
            if !take(entry.file_name().to_bytes(), hint)? {
                break;
            }
        }
        Ok(())
    }

    /// Component by component: all symbolic links are refused, unless they may lead anywhere.
    pub(crate) fn open_in_steps(&self, target: &Target) -> Result<File, NotOpened> {
        let mut here = rustix::fs::openat(
            &*self.directory,
            ".",
            FLAGS | OFlags::DIRECTORY,
            Mode::empty(),
        )
        .map_err(classify)?;
        let (no_follow, seen_flags) = match self.links {
            Links::Beneath => (OFlags::NOFOLLOW, AtFlags::SYMLINK_NOFOLLOW),
            Links::Anywhere => (OFlags::empty(), AtFlags::empty()),
        };
        let mut names = target.names().iter().peekable();
        while let Some(name) = names.next() {
            let mut flags = FLAGS | no_follow;
            if names.peek().is_some() {
                flags |= OFlags::DIRECTORY;
            } else {
                let seen = statat(&here, name.as_slice(), seen_flags);
                check_kind(FileType::from_raw_mode(seen.map_err(classify)?.st_mode))?;
            }
            here = rustix::fs::openat(&here, name.as_slice(), flags, Mode::empty())
                .map_err(classify)?;
        }
        Ok(here.into())
    }
}

fn with_metadata(file: File) -> Result<(File, Metadata), NotOpened> {
    let metadata = file.metadata().map_err(|_| NotOpened::Failed)?;
    Ok((file, metadata))
}

fn same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

fn check_kind(kind: FileType) -> Result<(), NotOpened> {
    match kind {
        FileType::RegularFile | FileType::Directory => Ok(()),
        _ => Err(NotOpened::Missing),
    }
}

pub(crate) fn facts(metadata: &Metadata) -> FileFacts {
    FileFacts {
        identity: (metadata.dev(), metadata.ino()),
        size: metadata.size(),
        modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    }
}

fn nanoseconds(seconds: i64, nanos: i64) -> u128 {
    u128::try_from(i128::from(seconds) * 1_000_000_000 + i128::from(nanos)).unwrap_or(0)
}

#[cfg(target_os = "linux")]
pub(crate) fn glance(directory: &File, name: &[u8]) -> Option<Kind> {
    use rustix::fs::{StatxFlags, statx};
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let seen = statx(directory, name, flags, StatxFlags::BASIC_STATS).ok()?;
    let mode = u32::from(seen.stx_mode);
    let everybody = |bits: u32| mode & bits == bits;
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile if everybody(0o444) => Some(Kind::File(facts_of(&seen))),
        FileType::Directory if everybody(0o555) => Some(Kind::Directory {
            modified_ns: facts_of(&seen).modified_ns,
        }),
        _ => None,
    }
}

#[cfg(target_os = "linux")]
fn facts_of(seen: &rustix::fs::Statx) -> FileFacts {
    FileFacts {
        identity: (
            rustix::fs::makedev(seen.stx_dev_major, seen.stx_dev_minor),
            seen.stx_ino,
        ),
        size: seen.stx_size,
        modified_ns: nanoseconds(seen.stx_mtime.tv_sec, seen.stx_mtime.tv_nsec.into()),
        changed_ns: nanoseconds(seen.stx_ctime.tv_sec, seen.stx_ctime.tv_nsec.into()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn glance(_directory: &File, _name: &[u8]) -> Option<super::Kind> {
    None
}

fn classify(error: Errno) -> NotOpened {
    match error {
        // EXDEV: it leads out. ENXIO: a socket, or a device without a driver.
        Errno::NOENT
        | Errno::NOTDIR
        | Errno::LOOP
        | Errno::XDEV
        | Errno::NAMETOOLONG
        | Errno::NXIO
        | Errno::NODEV
        | Errno::INVAL
        | Errno::ILSEQ => NotOpened::Missing,
        Errno::ACCESS | Errno::PERM => NotOpened::Forbidden,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => NotOpened::Exhausted,
        _ => NotOpened::Failed,
    }
}
