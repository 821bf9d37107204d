//! `NAME.part`: what it is called, and that one download alone writes to it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::client::error::Error;

/// Opens the file that the bytes go to meanwhile: `NAME.part`, or where the file system takes no name as long
/// as that, a shorter one made of it.
pub(super) fn open_part_of(target: &Path) -> Result<(File, PathBuf), Error> {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    match open_part(&part) {
        Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::InvalidFilename => {
            let part = short_part_of(target);
            Ok((open_part(&part)?, part))
        }
        opened => Ok((opened?, part)),
    }
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

/// Opens a `.part` file for us alone.
///
/// Two downloads of one name must not mix their bytes, nor must one give its name to the other's
/// half: so the file is locked as long as it is open, and emptied only under the lock.
#[cfg(unix)]
fn open_part(part: &Path) -> Result<File, Error> {
    use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, stat};
    let failed = |error: rustix::io::Errno| unusable(part, "write", error.into());
    loop {
        // Follow no symbolic link: another user may own the directory.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        let file = File::from(rustix::fs::open(part, flags, mode).map_err(failed)?);
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::DownloadRunning {
                    part: part.to_owned(),
                });
            }
            Err(error) => return Err(failed(error)),
        }
        // Between opening and locking another download may have completed and renamed this very
        // file: then it is no longer ours to empty.
        let ours = fstat(&file).map_err(failed)?;
        let named = stat(part);
        if named.is_ok_and(|named| (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)) {
            file.set_len(0)
                .map_err(|error| unusable(part, "write", error))?;
            return Ok(file);
        }
    }
}

#[cfg(not(unix))]
fn open_part(part: &Path) -> Result<File, Error> {
    File::create(part).map_err(|error| unusable(part, "write", error))
}
