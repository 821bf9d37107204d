//! Files that are written beneath a directory, whole or not at all. What is here may wait for a disk.
//!
//! A file is written without a name (`O_TMPFILE`), or under a hidden one where the file system cannot do that, and gets its name
//! when all of it is on the disk. Names are resolved by the kernel beneath the directory, and no symbolic link is followed.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use http::header::{
    HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

/// How much is written before the space on the disk is looked at again, in bytes.
const LOOK_EVERY: u64 = 64 * 1024 * 1024;

/// Names that are tried for a temporary file: each is random, so one is enough.
const ATTEMPTS: usize = 4;

/// Everyone may read, as the umask allows.
const MODE: Mode = Mode::from_raw_mode(0o666);

/// The fields of a request that say on which condition a file is changed (RFC 9110, section 13.1).
const CONDITIONS: [HeaderName; 3] = [IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE];

/// Why nothing was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreError {
    /// The directory of the file does not exist.
    NoDirectory,
    /// There is a file of this name, and it must not be replaced.
    Exists,
    /// There is something else of this name.
    NotAFile,
    /// A condition of the request does not hold.
    Condition,
    /// The disk is full, or nearly.
    NoSpace,
    /// The server may not write here.
    Forbidden,
    /// Too many files are open.
    Exhausted,
    /// Any other error of the operating system.
    Failed,
}

impl From<Errno> for StoreError {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG => {
                Self::NoDirectory
            }
            Errno::EXIST => Self::Exists,
            Errno::ISDIR => Self::NotAFile,
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Self::NoSpace,
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Self::Forbidden,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => Self::Exhausted,
            _ => Self::Failed,
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Errno::from_io_error(&error).map_or(Self::Failed, Self::from)
    }
}

/// What may be stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// A file may be replaced.
    pub(crate) replace: bool,
    /// Bytes that stay free on the disk.
    pub(crate) free_min: u64,
}

/// The directory that files are stored beneath.
#[derive(Debug)]
pub(crate) struct Store {
    /// Absolute. It is opened for each file, so that a directory that was made again is the one that is written to.
    path: PathBuf,
    /// From looking at what is there to putting a file in its place.
    commit: Mutex<()>,
    /// Files are written without a name where that is possible.
    unnamed: bool,
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Draft {
    directory: OwnedFd,
    file: File,
    /// Its name, if it had to have one.
    temporary: Option<String>,
    written: u64,
    looked_at: u64,
    policy: Policy,
}

/// A file that was stored.
#[derive(Debug)]
pub(crate) struct Stored {
    /// There was none of that name.
    pub(crate) created: bool,
    pub(crate) etag: Option<HeaderValue>,
}

impl Store {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        rustix::fs::open(&path, DIRECTORY, Mode::empty())?;
        Ok(Self {
            path,
            commit: Mutex::default(),
            unnamed: cfg!(target_os = "linux"),
        })
    }

    /// Whether files are stored in the same place.
    pub(crate) fn has_place_of(&self, other: &Self) -> bool {
        self.path == other.path
    }

    /// Begins with a file of which `announced` bytes will come, and judges whether it can be stored. `parents` and `name` were
    /// checked.
    pub(crate) fn begin(
        &self,
        parents: &[String],
        name: &str,
        announced: u64,
        conditions: &HeaderMap,
        policy: Policy,
    ) -> Result<Draft, StoreError> {
        let root = rustix::fs::open(&self.path, DIRECTORY, Mode::empty())?;
        let directory = beneath(root, parents)?;
        judge(&directory, name, conditions, policy)?;
        let (file, temporary) = temporary(&directory, self.unnamed)?;
        let draft = Draft {
            directory,
            file,
            temporary,
            written: 0,
            looked_at: 0,
            policy,
        };
        draft.check_space(announced)?;
        Ok(draft)
    }

    /// Gives a file that is whole its name. Returns what was stored.
    pub(crate) fn commit(
        &self,
        mut draft: Draft,
        name: &str,
        conditions: &HeaderMap,
    ) -> Result<Stored, StoreError> {
        draft.file.sync_all()?;
        let existed = {
            let _one_at_a_time = self.commit.lock().unwrap_or_else(PoisonError::into_inner);
            let existed = judge(&draft.directory, name, conditions, draft.policy)?;
            draft.take_name(name, existed)?;
            existed
        };
        // The name, too, survives a loss of power.
        rustix::fs::fsync(&draft.directory)?;
        Ok(Stored {
            created: !existed,
            // May wait, which no other upload should.
            etag: handfast_files::entity_tag(&draft.file).ok(),
        })
    }
}

/// May a file of this name be stored? Returns whether there is one.
fn judge(
    directory: &OwnedFd,
    name: &str,
    conditions: &HeaderMap,
    policy: Policy,
) -> Result<bool, StoreError> {
    let exists = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => true,
            _ => return Err(StoreError::NotAFile),
        },
        Err(Errno::NOENT) => false,
        Err(error) => return Err(error.into()),
    };
    let has_conditions = CONDITIONS.iter().any(|name| conditions.contains_key(name));
    if has_conditions {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = if exists {
            let opened = rustix::fs::openat(directory, name, flags, Mode::empty())?;
            Some(File::from(opened))
        } else {
            None
        };
        if !handfast_files::condition_holds(conditions, file.as_ref()) {
            return Err(StoreError::Condition);
        }
    }
    if exists && !policy.replace {
        return Err(StoreError::Exists);
    }
    Ok(exists)
}

impl Draft {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        if self.written - self.looked_at >= LOOK_EVERY {
            self.looked_at = self.written;
            self.check_space(0)?;
        }
        Ok(())
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Is there room for so many bytes more?
    fn check_space(&self, more: u64) -> Result<(), StoreError> {
        let disk = rustix::fs::fstatvfs(&self.directory)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < self.policy.free_min.saturating_add(more) {
            return Err(StoreError::NoSpace);
        }
        Ok(())
    }

    fn take_name(&mut self, name: &str, replace: bool) -> Result<(), StoreError> {
        if self.temporary.is_none() && !replace {
            return Ok(self.link(name)?);
        }
        if self.temporary.is_none() {
            // Only renaming replaces a file.
            let temporary = temporary_name()?;
            self.link(&temporary)?;
            self.temporary = Some(temporary);
        }
        let Some(temporary) = &self.temporary else {
            return Err(StoreError::Failed);
        };
        if replace {
            rustix::fs::renameat(&self.directory, temporary, &self.directory, name)?;
            self.temporary = None;
        } else {
            // Fails where there is a file; renaming would replace it.
            rustix::fs::linkat(
                &self.directory,
                temporary,
                &self.directory,
                name,
                AtFlags::empty(),
            )?;
            // Changes the file's times, of which its tag is made: before that.
            rustix::fs::unlinkat(&self.directory, temporary, AtFlags::empty())?;
            self.temporary = None;
        }
        Ok(())
    }

    /// Gives a file without a name one that is free.
    fn link(&self, name: &str) -> Result<(), Errno> {
        rustix::fs::linkat(
            CWD,
            own_descriptor(&self.file),
            &self.directory,
            name,
            AtFlags::SYMLINK_FOLLOW,
        )
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // There is nowhere to report it; it is hidden, and its name is not used again.
            let _ = rustix::fs::unlinkat(&self.directory, temporary, AtFlags::empty());
        }
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// A directory beneath another one. No symbolic link is followed.
fn beneath(root: OwnedFd, parents: &[String]) -> Result<OwnedFd, Errno> {
    if parents.is_empty() {
        return Ok(root);
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::fs::ResolveFlags;
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&root, parents.join("/"), DIRECTORY, Mode::empty(), how) {
            // Before Linux 5.6.
            Err(Errno::NOSYS) => {}
            opened => return opened,
        }
    }
    let mut here = root;
    for name in parents {
        here = rustix::fs::openat(&here, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(here)
}

/// A file without a name, or with a hidden one.
// Other systems have only files with names.
#[cfg_attr(not(target_os = "linux"), allow(unused_variables))]
fn temporary(directory: &OwnedFd, unnamed: bool) -> Result<(File, Option<String>), StoreError> {
    #[cfg(target_os = "linux")]
    if unnamed {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        if let Ok(file) = rustix::fs::openat(directory, ".", flags, MODE) {
            let file = File::from(file);
            // It gets its name by way of /proc, which may not be there.
            if rustix::fs::readlinkat(CWD, own_descriptor(&file), Vec::new()).is_ok() {
                return Ok((file, None));
            }
        }
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for _ in 0..ATTEMPTS {
        let name = temporary_name()?;
        match rustix::fs::openat(directory, &name, flags, MODE) {
            Ok(file) => return Ok((File::from(file), Some(name))),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Failed)
}

fn own_descriptor(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Hidden, so that it is never served.
fn temporary_name() -> Result<String, StoreError> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| StoreError::Failed)?;
    Ok(format!(
        ".handfast-upload-{:032x}",
        u128::from_be_bytes(random)
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const POLICY: Policy = Policy {
        replace: false,
        free_min: 0,
    };

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    /// As a request for it gives, whose tag is made when all is over.
    fn tag(path: &Path) -> Option<HeaderValue> {
        handfast_files::entity_tag(&File::open(path).unwrap()).ok()
    }

    #[test]
    fn the_tag_of_a_stored_file_is_the_one_that_it_has_from_then_on() {
        for unnamed in [true, false] {
            let directory = tempfile::tempdir().unwrap();
            let mut store = Store::open(directory.path()).unwrap();
            store.unnamed &= unnamed;
            let none = HeaderMap::new();
            for replace in [false, true] {
                let policy = Policy { replace, ..POLICY };
                let mut draft = store.begin(&[], "f", 3, &none, policy).unwrap();
                draft.write(b"one").unwrap();
                let stored = store.commit(draft, "f", &none).unwrap();
                let path = directory.path().join("f");
                assert_eq!(stored.etag, tag(&path), "{unnamed} {replace}");
            }
        }
    }

    /// With and without a name while it is written, the result is the same.
    #[test]
    fn a_file_is_there_when_it_is_whole() {
        for unnamed in [true, false] {
            let directory = tempfile::tempdir().unwrap();
            let mut store = Store::open(directory.path()).unwrap();
            store.unnamed &= unnamed;
            let none = HeaderMap::new();
            let begin = |policy| store.begin(&[], "f", 3, &none, policy);
            let mut draft = begin(POLICY).unwrap();
            draft.write(b"one").unwrap();
            assert!(
                names(directory.path())
                    .iter()
                    .all(|name| name.starts_with('.'))
            );
            // Another one is quicker.
            let mut other = begin(POLICY).unwrap();
            other.write(b"two").unwrap();
            assert!(store.commit(other, "f", &none).unwrap().created);
            assert_eq!(
                store.commit(draft, "f", &none).unwrap_err(),
                StoreError::Exists
            );
            assert_eq!(fs::read(directory.path().join("f")).unwrap(), b"two");
            assert_eq!(names(directory.path()), ["f"]);

            assert_eq!(begin(POLICY).unwrap_err(), StoreError::Exists);
            let replace = Policy {
                replace: true,
                ..POLICY
            };
            let mut draft = begin(replace).unwrap();
            draft.write(b"three").unwrap();
            assert!(!store.commit(draft, "f", &none).unwrap().created);
            assert_eq!(fs::read(directory.path().join("f")).unwrap(), b"three");
            drop(begin(replace).unwrap());
            assert_eq!(names(directory.path()), ["f"]);

            fs::remove_file(directory.path().join("f")).unwrap();
            fs::create_dir(directory.path().join("f")).unwrap();
            assert_eq!(begin(replace).unwrap_err(), StoreError::NotAFile);
            let full = Policy {
                free_min: u64::MAX,
                ..POLICY
            };
            let failed = store.begin(&[], "g", 1, &none, full).unwrap_err();
            assert_eq!(failed, StoreError::NoSpace);
            assert_eq!(names(directory.path()), ["f"]);
        }
    }
}
