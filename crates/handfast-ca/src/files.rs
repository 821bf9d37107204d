//! Files that are written atomically, with their final mode from the first byte, and changed by one
//! process at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use crate::error::CaError;

/// The prefix of temporary files, so that a user who finds one can see which program left it.
pub(crate) const UNFINISHED_PREFIX: &str = ".handfast-unfinished-";

/// Under the lock a process only appends a line and renames files: one that holds it for longer
/// hangs.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(10);

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Its owner.
    Owner,
    /// All users, as far as the umask allows.
    All,
    /// All users, whatever the umask: a file of the system's.
    Everybody,
}

/// A file that is complete and on disk, but not under its final name.
///
/// Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Staged {
    file: NamedTempFile,
    target: PathBuf,
}

impl Staged {
    /// Writes `bytes` into the directory of `target`.
    pub(crate) fn write(target: &Path, bytes: &[u8], readers: Readers) -> Result<Self, CaError> {
        let dir = parent_of(target);
        let mut builder = tempfile::Builder::new();
        builder.prefix(UNFINISHED_PREFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // At creation, not afterwards: other users must not be able to read a key for a moment.
            builder.permissions(fs::Permissions::from_mode(match readers {
                Readers::Owner => 0o600,
                Readers::All | Readers::Everybody => 0o644,
            }));
        }
        #[cfg(not(unix))]
        let _ = readers;
        let mut file = builder
            .tempfile_in(dir)
            .map_err(CaError::file("create a file in", dir))?;
        #[cfg(unix)]
        if readers == Readers::Everybody {
            use std::os::unix::fs::PermissionsExt;
            file.as_file()
                .set_permissions(fs::Permissions::from_mode(0o644))
                .map_err(CaError::file("write", target))?;
        }
        file.write_all(bytes)
            .and_then(|()| file.as_file().sync_all())
            .map_err(CaError::file("write", target))?;
        Ok(Self {
            file,
            target: target.to_owned(),
        })
    }

    /// Renames it to its final name. Replaces an existing file only if `overwrite` is set.
    pub(crate) fn publish(self, overwrite: bool) -> Result<(), CaError> {
        let Self { file, target } = self;
        let published = if overwrite {
            file.persist(&target)
        } else {
            file.persist_noclobber(&target)
        };
        match published {
            Ok(_) => sync_dir(parent_of(&target)),
            Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(CaError::FileExists { path: target })
            }
            Err(failed) => Err(CaError::file("write", &target)(failed.error)),
        }
    }
}

/// Writes a file and replaces the one that was there.
pub(crate) fn replace(target: &Path, bytes: &[u8], readers: Readers) -> Result<(), CaError> {
    Staged::write(target, bytes, readers)?.publish(true)
}

/// Creates a directory that only its owner can access, and its parents. An existing one is left
/// unchanged.
pub(crate) fn create_private_dir(dir: &Path) -> Result<(), CaError> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent).map_err(CaError::file("create", parent))?;
    }
    match private_dir_builder().create(dir) {
        Ok(()) => sync_dir(parent_of(dir)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) => Err(CaError::file("create", dir)(error)),
    }
}

#[cfg(unix)]
fn private_dir_builder() -> fs::DirBuilder {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700);
    builder
}

#[cfg(not(unix))]
fn private_dir_builder() -> fs::DirBuilder {
    fs::DirBuilder::new()
}

/// Makes a directory accessible to its owner only.
pub(crate) fn make_private(dir: &Path) -> Result<(), CaError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
            .map_err(CaError::file("protect", dir))?;
    }
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}

/// Refuses a key that users other than its owner can read or write.
pub(crate) fn require_private(path: &Path) -> Result<(), CaError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let metadata = fs::metadata(path).map_err(CaError::file("read", path))?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(CaError::KeyExposed {
                path: path.to_owned(),
                mode,
            });
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Flushes a directory, so that renames in it survive a power failure.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), CaError> {
    #[cfg(unix)]
    File::open(dir)
        .and_then(|open| open.sync_all())
        .map_err(CaError::file("write", dir))?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}

/// Opens a file for appending; creates it with mode 0600 if it does not exist.
pub(crate) fn open_for_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The exclusive right to change what is in a directory, until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for it, at most [`LOCK_WAIT_MAX`]. The kernel releases it when the process ends.
    pub(crate) fn acquire(path: &Path) -> Result<Self, CaError> {
        let started = Instant::now();
        loop {
            if let Some(file) = try_lock(path).map_err(CaError::file("lock", path))? {
                return Ok(Self { _file: file });
            }
            let waited = started.elapsed();
            if waited >= LOCK_WAIT_MAX {
                return Err(CaError::Busy {
                    path: path.to_owned(),
                    waited_secs: waited.as_secs(),
                });
            }
            thread::sleep(LOCK_POLL);
        }
    }
}

#[cfg(unix)]
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    use rustix::fs::{FlockOperation, flock};
    let file = open_for_append(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(windows)]
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    use std::os::windows::fs::OpenOptionsExt;
    /// Another process has the file open without sharing it.
    const ERROR_SHARING_VIOLATION: i32 = 32;
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .share_mode(0)
        .open(path);
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(None),
        Err(error) => Err(error),
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_in(dir: &Path) -> Vec<String> {
        fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_is_written_atomically() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.key");
        let staged = Staged::write(&target, b"secret", Readers::Owner).unwrap();
        assert!(!target.exists());
        drop(staged);
        assert_eq!(names_in(dir.path()), Vec::<String>::new());

        let staged = Staged::write(&target, b"secret", Readers::Owner).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = staged
                .file
                .as_file()
                .metadata()
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o7777, 0o600);
        }
        staged.publish(false).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"secret");
    }

    #[test]
    fn nothing_is_overwritten_by_default() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.key");
        replace(&target, b"first", Readers::Owner).unwrap();
        let refused = Staged::write(&target, b"second", Readers::Owner)
            .unwrap()
            .publish(false);
        assert!(matches!(refused, Err(CaError::FileExists { path }) if path == target));
        assert_eq!(fs::read(&target).unwrap(), b"first");
        assert_eq!(names_in(dir.path()), ["a.key"]);
        replace(&target, b"second", Readers::Owner).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"second");
    }

    #[test]
    fn only_one_process_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::acquire(&path).unwrap();
        assert!(try_lock(&path).unwrap().is_none());
        drop(held);
        assert!(try_lock(&path).unwrap().is_some());
    }
}
