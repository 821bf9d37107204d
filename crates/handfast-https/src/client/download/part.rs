//! `NAME.part`: what it is called, and that one download alone writes to it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::client::error::Error;

/// Opens the file that the bytes go to meanwhile, with what is in it.
pub(super) fn open_part_of(target: &Path) -> Result<(File, PathBuf), Error> {
    let part = part_of(target, 0);
    Ok((open_part(&part)?, part))
}

/// The highest number in the name of a part that is created.
const NUMBER_MAX: u32 = 100;

/// Creates the file that the bytes go to meanwhile. A file that has the name already is not touched: somebody else may have
/// chosen the target's name, and the part's is made of it.
pub(super) fn create_part_of(target: &Path) -> Result<(File, PathBuf), Error> {
    for number in 0..=NUMBER_MAX {
        let part = part_of(target, number);
        match create_new(&part) {
            Ok(file) => {
                lock(&file, &part)?;
                return Ok((file, part));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // If it is written to, another download will take the target's name.
                if let Err(error @ Error::DownloadRunning { .. }) = open_part(&part) {
                    return Err(error);
                }
            }
            Err(error) => return Err(unusable(&part, "create", error)),
        }
    }
    let taken = io::Error::from(io::ErrorKind::AlreadyExists);
    Err(unusable(&part_of(target, 0), "create", taken))
}

/// `NAME.part`, or `NAME.NUMBER.part`; where the file system takes no name as long as that of its state, a shorter one made of
/// it.
fn part_of(target: &Path, number: u32) -> PathBuf {
    let name = target.file_name().unwrap_or_default();
    let mut part = match name.len() > SHORT_NAME_BYTES {
        true => short_name_of(target).into_os_string(),
        false => target.as_os_str().to_owned(),
    };
    if number > 0 {
        part.push(format!(".{number}"));
    }
    part.push(".part");
    part.into()
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
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

/// `BEGINNING-CHECKSUM`. Two downloads of one name must meet in it, of two names must not.
fn short_name_of(target: &Path) -> PathBuf {
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
    target.with_file_name(format!("{beginning}-{sum:016x}"))
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
    use rustix::fs::{FileType, Mode, OFlags, fstat, stat};
    use rustix::io::Errno;
    let failed = |error: Errno| unusable(part, "write", error.into());
    // Another user may own the directory: follow no symbolic link, and do not wait for the reader of a pipe.
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    loop {
        let file = match create_new(part) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match rustix::fs::open(part, flags, Mode::empty()) {
                    Ok(file) => {
                        let file = File::from(file);
                        let found = fstat(&file).map_err(failed)?;
                        let is_file =
                            FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
                        if !is_file || found.st_uid != rustix::process::geteuid().as_raw() {
                            return Err(unusable(part, "write", foreign()));
                        }
                        file
                    }
                    // It was renamed at this moment.
                    Err(Errno::NOENT) => continue,
                    Err(Errno::NXIO) => return Err(unusable(part, "write", foreign())),
                    Err(error) => return Err(failed(error)),
                }
            }
            Err(error) => return Err(unusable(part, "write", error)),
        };
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

/// Who owns a part could change it after it was checked.
#[cfg(unix)]
fn foreign() -> io::Error {
    let what = "it is there already, and is not a file of this user";
    io::Error::new(io::ErrorKind::PermissionDenied, what)
}
