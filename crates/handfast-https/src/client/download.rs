//! A download's file: it has its final name only once it is whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::completeness::Whole;
use super::error::Error;

/// A file that is being downloaded.
///
/// Bytes go to `NAME.part` beside the final name. [`complete`](Self::complete) demands the proof that
/// the response was whole and gives the file its name; without, the `.part` stays what it is. A name
/// that stands for something other than a file (a device, a pipe) is written to directly.
#[derive(Debug)]
pub struct Download {
    /// Small pieces, such as small chunks, are gathered; whole records go past the buffer.
    file: BufWriter<File>,
    target: PathBuf,
    part: Option<PathBuf>,
}

impl Download {
    /// Begins a download to this file. What an earlier one left in `NAME.part` is overwritten.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be written, [`Error::DownloadRunning`] when another download
    /// of the same name has not ended.
    pub fn create(target: impl AsRef<Path>) -> Result<Self, Error> {
        // Through a symbolic link the file that it leads to is replaced, not the link.
        let target = target.as_ref();
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        match fs::metadata(&target) {
            Ok(found) if found.is_dir() => Err(unusable(
                &target,
                "write",
                io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"),
            )),
            Ok(found) if !found.is_file() => {
                let file = OpenOptions::new()
                    .write(true)
                    .open(&target)
                    .map_err(|error| unusable(&target, "write", error))?;
                Ok(Self {
                    file: buffered(file),
                    target,
                    part: None,
                })
            }
            _ => {
                let (file, part) = open_part_of(&target)?;
                Ok(Self {
                    file: buffered(file),
                    target,
                    part: Some(part),
                })
            }
        }
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file
            .write_all(bytes)
            .map_err(|error| unusable(self.path(), "write", error))
    }

    /// Where the bytes are now.
    pub fn path(&self) -> &Path {
        self.part.as_deref().unwrap_or(&self.target)
    }

    /// The `.part` file, unless the name stands for something that is no file.
    pub fn part(&self) -> Option<&Path> {
        self.part.as_deref()
    }

    /// Gives the file its final name, of which there was proof. Its bytes are on the disk before: what has the
    /// name is whole, also when the power fails the moment after. The name is on the disk afterwards, where the system can do that.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be written out or renamed: then it keeps the name that ends in `.part`.
    pub fn complete(mut self, _proof: &Whole) -> Result<PathBuf, Error> {
        self.file
            .flush()
            .map_err(|error| unusable(self.path(), "write", error))?;
        if let Some(part) = &self.part {
            let file = self.file.get_ref();
            if let Ok(old) = fs::metadata(&self.target) {
                // The permissions of the old file apply to the new one, too.
                let _ = file.set_permissions(old.permissions());
            }
            // A full disk may be reported only now.
            file.sync_data()
                .map_err(|error| unusable(part, "write", error))?;
            fs::rename(part, &self.target).map_err(|error| unusable(part, "rename", error))?;
            sync_directory_of(&self.target);
        }
        Ok(self.target)
    }
}

/// Writes the name to the disk, too. The file is whole either way, so a directory that cannot be read or synchronized is no
/// error.
#[cfg(unix)]
fn sync_directory_of(path: &Path) {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let opened = File::open(directory);
    let _ = opened.and_then(|directory| directory.sync_all());
}

/// Other systems open no directory.
#[cfg(not(unix))]
fn sync_directory_of(_: &Path) {}

/// Pieces of less than this are gathered: half of a record.
const GATHERED_BYTES: usize = 8 * 1024;

fn buffered(file: File) -> BufWriter<File> {
    BufWriter::with_capacity(GATHERED_BYTES, file)
}

/// Opens the file that the bytes go to meanwhile: `NAME.part`, or where the file system takes no name as long
/// as that, a shorter one made of it.
fn open_part_of(target: &Path) -> Result<(File, PathBuf), Error> {
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

fn unusable(path: &Path, action: &'static str, source: io::Error) -> Error {
    Error::File {
        path: path.to_owned(),
        action,
        source,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::completeness::{Framing, Verdict, judge};

    fn proof() -> Whole {
        match judge(Framing::NoBody, 0, true, None) {
            Verdict::Whole(whole) => whole,
            Verdict::Truncated { .. } => unreachable!(),
        }
    }

    #[test]
    fn a_file_has_its_name_only_when_whole() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("page.html");
        fs::write(&target, "old").unwrap();

        let mut cut_off = Download::create(&target).unwrap();
        cut_off.write(b"half of a long ").unwrap();
        let part = cut_off.path().to_owned();
        assert!(matches!(
            Download::create(&target),
            Err(Error::DownloadRunning { .. })
        ));
        drop(cut_off);
        assert_eq!(fs::read(&target).unwrap(), b"old");
        assert_eq!(fs::read(&part).unwrap(), b"half of a long ");

        let mut whole = Download::create(&target).unwrap();
        whole.write(b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"old");
        assert_eq!(
            whole.complete(&proof()).unwrap(),
            target.canonicalize().unwrap()
        );
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert!(!part.exists());
    }

    #[test]
    fn a_name_as_long_as_the_file_system_allows_is_saved() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "n".repeat(250),
            "n".repeat(251),
            "n".repeat(255),
            "\u{e9}".repeat(127),
        ] {
            let target = directory.path().join(&name);
            let mut download = Download::create(&target).unwrap();
            download.write(b"whole").unwrap();
            let part = download.part().unwrap().to_owned();
            assert_eq!(part.extension(), Some("part".as_ref()), "{name}");
            assert!(matches!(
                Download::create(&target),
                Err(Error::DownloadRunning { .. })
            ));
            // Another name that begins alike has a part of its own.
            let other = directory
                .path()
                .join(name.replacen(['n', '\u{e9}'], "m", 1));
            assert_ne!(Download::create(other).unwrap().part(), Some(&*part));
            download.complete(&proof()).unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"whole", "{name}");
            assert!(!part.exists());
        }
        let too_long = directory.path().join("n".repeat(256));
        let download = Download::create(&too_long).unwrap();
        assert!(matches!(
            download.complete(&proof()),
            Err(Error::File {
                action: "rename",
                ..
            })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn links_devices_and_modes_are_respected() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().join("real");
        let link = directory.path().join("link");
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&real, &link).unwrap();
        let mut download = Download::create(&link).unwrap();
        download.write(b"new").unwrap();
        download.complete(&proof()).unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(link.symlink_metadata().unwrap().is_symlink());

        let mut nowhere = Download::create("/dev/null").unwrap();
        nowhere.write(b"gone").unwrap();
        assert_eq!(nowhere.part(), None);
        nowhere.complete(&proof()).unwrap();

        // A trap laid in a directory that others can write to.
        let trap = directory.path().join("name.part");
        symlink(&real, &trap).unwrap();
        assert!(Download::create(directory.path().join("name")).is_err());
        assert!(Download::create(directory.path()).is_err());
        assert_eq!(fs::read(&real).unwrap(), b"new");
    }
}
