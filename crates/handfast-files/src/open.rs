//! Opens files beneath a directory.
//!
//! On Linux the kernel resolves the whole name under `RESOLVE_BENEATH`: there is no moment between a
//! check and a use. Elsewhere each component is opened in turn without following symbolic links.
//!
//! Only regular files and directories are opened, because opening a pipe unblocks its writer, and opening
//! a device may have side effects: the target of a name is looked up first (`O_PATH`), and the opened file is
//! compared with it.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
        let seconds = u64::try_from(self.modified_ns / 1_000_000_000).unwrap_or(u64::MAX);
        let nanos = u32::try_from(self.modified_ns % 1_000_000_000).unwrap_or(0);
        UNIX_EPOCH
            .checked_add(Duration::new(seconds, nanos))
            // Not representable in HTTP: the file has no such field.
            .filter(|_| seconds < 253_402_300_800)
            .unwrap_or(UNIX_EPOCH)
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
    Directory,
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

/// The directory served.
#[derive(Debug)]
pub(crate) struct Root(platform::Root);

impl Root {
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        platform::Root::open(directory).map(Self)
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
fn examine(file: File) -> Result<Found, NotOpened> {
    let metadata = file.metadata().map_err(|_| NotOpened::Failed)?;
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
        metadata.is_dir().then_some(Kind::Directory)
    }
}

#[cfg(unix)]
mod platform {
    use std::fs::{File, Metadata};
    use std::io;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, statat};
    use rustix::io::Errno;

    #[cfg(target_os = "linux")]
    use super::Kind;
    use super::{FileFacts, Hint, NotOpened, Target, Waiting};

    /// Never blocks on a pipe, acquires no controlling terminal, is not inherited.
    const FLAGS: OFlags = OFlags::RDONLY
        .union(OFlags::NONBLOCK)
        .union(OFlags::NOCTTY)
        .union(OFlags::CLOEXEC);

    #[derive(Debug)]
    pub(crate) struct Root {
        directory: OwnedFd,
        #[cfg(any(target_os = "linux", target_os = "android"))]
        kernel: kernel::Abilities,
    }

    impl Root {
        pub(crate) fn open(directory: &Path) -> io::Result<Self> {
            let flags = FLAGS | OFlags::DIRECTORY;
            let directory = rustix::fs::open(directory, flags, Mode::empty())?;
            Ok(Self {
                directory,
                #[cfg(any(target_os = "linux", target_os = "android"))]
                kernel: kernel::Abilities::default(),
            })
        }

        /// Compares device and inode number. An open directory's numbers are not given to another one.
        pub(crate) fn is_at(&self, path: &Path) -> io::Result<bool> {
            Ok(same(&rustix::fs::stat(path)?, &fstat(&self.directory)?))
        }

        #[cfg(any(target_os = "linux", target_os = "android"))]
        pub(crate) fn is_at_cached(&self, path: &Path) -> bool {
            kernel::open_cached(path)
                .and_then(|found| Ok(same(&fstat(found)?, &fstat(&self.directory)?)))
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
        ) -> Result<File, NotOpened> {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            if let Some(result) = self.kernel.open(&self.directory, target, waiting) {
                return result;
            }
            match waiting {
                Waiting::Never => Err(NotOpened::WouldBlock),
                Waiting::Allowed => self.open_in_steps(target),
            }
        }

        /// The target of a name, without opening it.
        pub(crate) fn look_up(
            &self,
            target: &Target,
            waiting: Waiting,
        ) -> Result<Metadata, NotOpened> {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            if let Some(result) = self.kernel.look_up(&self.directory, target, waiting) {
                return result;
            }
            let file = self.open_beneath(target, waiting)?;
            file.metadata().map_err(|_| NotOpened::Failed)
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

        /// Component by component: all symbolic links are refused.
        pub(crate) fn open_in_steps(&self, target: &Target) -> Result<File, NotOpened> {
            let mut here = rustix::fs::openat(
                &self.directory,
                ".",
                FLAGS | OFlags::DIRECTORY,
                Mode::empty(),
            )
            .map_err(classify)?;
            let mut names = target.names().iter().peekable();
            while let Some(name) = names.next() {
                let mut flags = FLAGS | OFlags::NOFOLLOW;
                if names.peek().is_some() {
                    flags |= OFlags::DIRECTORY;
                } else {
                    let seen = statat(&here, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW);
                    check_kind(FileType::from_raw_mode(seen.map_err(classify)?.st_mode))?;
                }
                here = rustix::fs::openat(&here, name.as_slice(), flags, Mode::empty())
                    .map_err(classify)?;
            }
            Ok(here.into())
        }
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
            FileType::Directory if everybody(0o555) => Some(Kind::Directory),
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

    #[cfg(any(target_os = "linux", target_os = "android"))]
    mod kernel {
        use std::ffi::OsString;
        use std::fs::{File, Metadata};
        use std::os::fd::OwnedFd;
        use std::os::unix::fs::MetadataExt as _;
        use std::path::Path;
        use std::sync::atomic::{AtomicBool, Ordering};

        use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, openat2};
        use rustix::io::Errno;

        use super::super::{NotOpened, Target, Waiting};
        use super::{FLAGS, check_kind, classify};

        const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

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
                waiting: Waiting,
            ) -> Option<Result<Metadata, NotOpened>> {
                let path = match self.walk(directory, target, PATH, waiting)? {
                    Ok(path) => path,
                    Err(error) => return Some(Err(error)),
                };
                Some(path.metadata().map_err(|_| NotOpened::Failed))
            }

            /// `None` when the kernel has no `openat2`.
            pub(crate) fn open(
                &self,
                directory: &OwnedFd,
                target: &Target,
                waiting: Waiting,
            ) -> Option<Result<File, NotOpened>> {
                for _ in 0..ATTEMPTS {
                    let seen = match self.look_up(directory, target, waiting)? {
                        Ok(seen) => seen,
                        Err(error) => return Some(Err(error)),
                    };
                    if let Err(error) = check_kind(FileType::from_raw_mode(seen.mode())) {
                        return Some(Err(error));
                    }
                    let file = match self.walk(directory, target, FLAGS, waiting)? {
                        Ok(file) => file,
                        Err(error) => return Some(Err(error)),
                    };
                    match file.metadata() {
                        Ok(it) if (it.dev(), it.ino()) == (seen.dev(), seen.ino()) => {
                            return Some(Ok(file));
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
                target: &Target,
                flags: OFlags,
                waiting: Waiting,
            ) -> Option<Result<File, NotOpened>> {
                match waiting {
                    Waiting::Never => Some(self.walk_cached(directory, target, flags)),
                    Waiting::Allowed => self.walk_beneath(directory, target, flags),
                }
            }

            fn walk_cached(
                &self,
                directory: &OwnedFd,
                target: &Target,
                flags: OFlags,
            ) -> Result<File, NotOpened> {
                if self.no_cached.load(Ordering::Relaxed) {
                    return Err(NotOpened::WouldBlock);
                }
                let Some(path) = target.relative() else {
                    return Err(NotOpened::Missing);
                };
                match open(directory, &path, flags, BENEATH | ResolveFlags::CACHED) {
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

            fn walk_beneath(
                &self,
                directory: &OwnedFd,
                target: &Target,
                flags: OFlags,
            ) -> Option<Result<File, NotOpened>> {
                if self.no_openat2.load(Ordering::Relaxed) {
                    return None;
                }
                let Some(path) = target.relative() else {
                    return Some(Err(NotOpened::Missing));
                };
                for _ in 0..ATTEMPTS {
                    match open(directory, &path, flags, BENEATH) {
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
            path: &OsString,
            flags: OFlags,
            how: ResolveFlags,
        ) -> Result<OwnedFd, Errno> {
            openat2(directory, path.as_os_str(), flags, Mode::empty(), how)
        }
    }
}

#[cfg(not(unix))]
mod platform {
    use std::fs::{File, Metadata};
    use std::io;
    use std::path::{Path, PathBuf};
    use std::time::UNIX_EPOCH;

    use super::{FileFacts, Hint, NotOpened, Target, Waiting};

    /// `ERROR_TOO_MANY_OPEN_FILES` of Windows.
    const TOO_MANY_OPEN_FILES: i32 = 4;

    /// The best that the standard library can do: the resolved name must lie beneath.
    #[derive(Debug)]
    pub(crate) struct Root {
        directory: PathBuf,
    }

    impl Root {
        pub(crate) fn open(directory: &Path) -> io::Result<Self> {
            let directory = directory.canonicalize()?;
            if !directory.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Ok(Self { directory })
        }

        pub(crate) fn is_at(&self, path: &Path) -> io::Result<bool> {
            Ok(path.canonicalize()? == self.directory)
        }

        pub(crate) fn is_at_cached(&self, _path: &Path) -> bool {
            false
        }

        pub(crate) fn look_up(
            &self,
            target: &Target,
            waiting: Waiting,
        ) -> Result<Metadata, NotOpened> {
            let file = self.open_beneath(target, waiting)?;
            file.metadata().map_err(|_| NotOpened::Failed)
        }

        pub(crate) fn open_beneath(
            &self,
            target: &Target,
            waiting: Waiting,
        ) -> Result<File, NotOpened> {
            if waiting == Waiting::Never {
                return Err(NotOpened::WouldBlock);
            }
            let relative = target.relative().ok_or(NotOpened::Missing)?;
            let resolved = self
                .directory
                .join(relative)
                .canonicalize()
                .map_err(|_| NotOpened::Missing)?;
            if !resolved.starts_with(&self.directory) {
                return Err(NotOpened::Missing);
            }
            let metadata = resolved.metadata().map_err(|_| NotOpened::Missing)?;
            if !metadata.is_file() && !metadata.is_dir() {
                return Err(NotOpened::Missing);
            }
            open(&resolved).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => NotOpened::Missing,
                io::ErrorKind::PermissionDenied => NotOpened::Forbidden,
                _ if error.raw_os_error() == Some(TOO_MANY_OPEN_FILES) => NotOpened::Exhausted,
                _ => NotOpened::Failed,
            })
        }
    }

    impl Root {
        pub(crate) fn each_entry(
            &self,
            _directory: &File,
            target: &Target,
            take: &mut dyn FnMut(&[u8], Hint) -> io::Result<bool>,
        ) -> io::Result<()> {
            let relative = target.relative().ok_or(io::ErrorKind::NotFound)?;
            for entry in std::fs::read_dir(self.directory.join(relative))? {
                let entry = entry?;
                let hint = match entry.file_type() {
                    Ok(kind) if kind.is_file() => Hint::File,
                    Ok(kind) if kind.is_dir() => Hint::Directory,
                    // What a link leads to is not known.
                    Ok(kind) if !kind.is_symlink() => Hint::Neither,
                    _ => Hint::Unknown,
                };
                let name = entry.file_name().into_string().unwrap_or_default();
                if !take(name.as_bytes(), hint)? {
                    break;
                }
            }
            Ok(())
        }
    }

    /// Windows opens a directory only for those who ask for it by a flag that is meant for backups
    /// (`FILE_FLAG_BACKUP_SEMANTICS`).
    #[cfg(windows)]
    fn open(path: &Path) -> io::Result<File> {
        use std::os::windows::fs::OpenOptionsExt;
        const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
        let mut options = File::options();
        options.read(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS);
        options.open(path)
    }

    #[cfg(not(windows))]
    fn open(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    pub(crate) fn glance(_directory: &File, _name: &[u8]) -> Option<super::Kind> {
        None
    }

    pub(crate) fn facts(metadata: &Metadata) -> FileFacts {
        let nanoseconds = |time: io::Result<std::time::SystemTime>| {
            time.ok()
                .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
                .map_or(0, |since| since.as_nanos())
        };
        FileFacts {
            identity: (0, 0),
            size: metadata.len(),
            modified_ns: nanoseconds(metadata.modified()),
            changed_ns: nanoseconds(metadata.created()),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn target(path: &str) -> Target {
        Target::parse(path).unwrap()
    }

    /// Both ways of resolving, over the same tree.
    #[test]
    fn the_kernel_keeps_names_beneath_the_directory() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        let base = tempfile::tempdir().unwrap();
        let root = base.path();
        fs::create_dir(root.join("d")).unwrap();
        fs::write(root.join("d/f"), "12345").unwrap();
        symlink("d/f", root.join("inside")).unwrap();
        symlink("../inside", root.join("d/up")).unwrap();
        symlink(outside.path().join("secret"), root.join("absolute")).unwrap();
        symlink("../../../../../../../../etc/passwd", root.join("climbing")).unwrap();
        symlink(outside.path(), root.join("out")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let opened = Root::open(root).unwrap();
        // Path, with the kernel's help, without it.
        let cases = [
            ("/", true, true),
            ("/d/", true, true),
            ("/d/f", true, true),
            ("/inside", true, false),
            ("/d/up", true, false),
            ("/absolute", false, false),
            ("/climbing", false, false),
            ("/out/secret", false, false),
            ("/magic/etc/passwd", false, false),
            ("/loop", false, false),
            ("/d/f/x", false, false),
            ("/none", false, false),
        ];
        for (path, with, without) in cases {
            let found = opened.find(&target(path));
            if cfg!(target_os = "linux") {
                assert_eq!(found.is_ok(), with, "{path}: {found:?}");
                let again = opened.find_cached(&target(path));
                assert_eq!(again.is_ok(), with, "{path}, cached: {again:?}");
            }
            let found = opened.0.open_in_steps(&target(path));
            assert_eq!(found.is_ok(), without, "{path}, in steps: {found:?}");
        }
    }

    /// Opening it for reading would let a writer go on: there is none, and the next one still waits.
    #[test]
    fn a_pipe_is_not_found_and_not_opened() {
        let base = tempfile::tempdir().unwrap();
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            base.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        );
        if made.is_err() {
            return;
        }
        symlink("pipe", base.path().join("link")).unwrap();
        let opened = Root::open(base.path()).unwrap();
        // A reader that sees whether another process opens the other end.
        let watched = Watched::new(base.path().join("pipe"));
        for path in ["/pipe", "/link"] {
            let found = opened.find(&target(path)).map(|found| found.kind);
            assert_eq!(found, Err(NotOpened::Missing), "{path}");
            assert!(opened.find_cached(&target(path)).is_err(), "{path}");
            let found = opened.0.open_in_steps(&target(path)).err();
            assert_eq!(found, Some(NotOpened::Missing), "{path}");
        }
        assert!(watched.ends_untouched(), "it was opened");
    }

    /// A process that waits to write into a pipe until it has a reader.
    struct Watched(std::process::Child);

    impl Watched {
        fn new(pipe: std::path::PathBuf) -> Self {
            let child = std::process::Command::new("sh")
                .args(["-c", "exec 3>\"$0\"", &pipe.display().to_string()])
                .spawn()
                .unwrap();
            // It sleeps when it waits; before, being untouched would prove nothing.
            let state = format!("/proc/{}/stat", child.id());
            let deadline = std::time::Instant::now() + Duration::from_secs(20);
            let sleeps = || fs::read_to_string(&state).is_ok_and(|stat| stat.contains(") S "));
            while !sleeps() && std::time::Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            Self(child)
        }

        fn ends_untouched(mut self) -> bool {
            let untouched = matches!(self.0.try_wait(), Ok(None));
            let _ = self.0.kill();
            let _ = self.0.wait();
            untouched
        }
    }
}
