//! `NAME.part`: what it is called, and that one download alone writes to it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::client::error::Error;

/// Opens the file that the bytes go to meanwhile, with what is in it: `NAME.part`, or where the file system takes no name as
/// long as that of its state, a shorter one made of it.
pub(super) fn open_part_of(target: &Path) -> Result<(File, PathBuf), Error> {
    let name = target.file_name().unwrap_or_default();
    if name.len() > SHORT_NAME_BYTES {
        let part = short_part_of(target);
        return Ok((open_part(&part)?, part));
    }
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    Ok((open_part(&part)?, part))
}

/// Names of so many bytes leave room for `.part.state` in the 255 that file systems have room for.
const SHORT_NAME_BYTES: usize = 240;

/// Opens a file beside a part, and empties it.
pub(super) fn create_unlinked(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // Follow no symbolic link: another user may own the directory.
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let no_link = rustix::fs::OFlags::NOFOLLOW.bits();
        options.custom_flags(i32::try_from(no_link).unwrap_or_default());
    }
    options.open(path)
}

pub(super) fn unusable(path: &Path, action: &'static str, source: io::Error) -> Error {
    Error::File {
        path: path.to_owned(),
        action,
        source,
    }
}

/// The beginning of the name that a short `.part` keeps, in bytes: what every file system has room for, with
/// the rest.
const SHORT_PART_BYTES: usize = 100;

/// `BEGINNING-CHECKSUM.part`. Two downloads of one name must meet in it, of two names must not.
fn short_part_of(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default();
    // FNV-1a, 64 bits: the names are not chosen against each other.
    let sum = name
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let text = name.to_string_lossy();
    let fits = |(at, char): &(usize, char)| at + char.len_utf8() <= SHORT_PART_BYTES;
    let beginning: String = text
        .char_indices()
        .take_while(fits)
        .map(|(_, char)| char)
        .collect();
    target.with_file_name(format!("{beginning}-{sum:016x}.part"))
}

/// Locks a file, so that one download alone writes to it.
#[cfg(unix)]
pub(super) fn lock(file: &File, path: &Path) -> Result<(), Error> {
    use rustix::fs::{FlockOperation, flock};
    flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        rustix::io::Errno::WOULDBLOCK => Error::DownloadRunning {
            part: path.to_owned(),
        },
        error => unusable(path, "write", error.into()),
    })
}

#[cfg(not(unix))]
pub(super) fn lock(_: &File, _: &Path) -> Result<(), Error> {
    Ok(())
}

/// Opens a `.part` file for us alone.
///
/// Two downloads of one name must not mix their bytes, nor must one give its name to the other's
/// half: so the file is locked as long as it is open, and emptied only under the lock.
#[cfg(unix)]
fn open_part(part: &Path) -> Result<File, Error> {
    use rustix::fs::{Mode, OFlags, fstat, stat};
    let failed = |error: rustix::io::Errno| unusable(part, "write", error.into());
    loop {
        // Follow no symbolic link: another user may own the directory.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        let file = File::from(rustix::fs::open(part, flags, mode).map_err(failed)?);
        lock(&file, part)?;
        // Between opening and locking another download may have completed and renamed this very
        // file: then it is no longer ours to empty.
        let ours = fstat(&file).map_err(failed)?;
        let named = stat(part);
        if named.is_ok_and(|named| (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)) {
            return Ok(file);
        }
    }
}

#[cfg(not(unix))]
fn open_part(part: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let opened = options.open(part);
    opened.map_err(|error| unusable(part, "write", error))
}
