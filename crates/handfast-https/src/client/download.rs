//! A download's file: it has its final name only once it is whole.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::completeness::Whole;
use super::error::Error;
use super::spans::Spans;
use arrived::Arrived;
pub(super) use arrived::Saving;
use part::{create_part_of, open_part_of, unusable};
use version::{Evidence, Version, state_of};
use writer::Writer;

mod arrived;
mod part;
mod resume;
mod scattered;
mod version;
mod writer;

/// What becomes of a file that has the name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Existing {
    /// The download takes its place when it is complete.
    #[default]
    Replaced,
    /// It stays, and the download fails.
    Refused,
    /// It stays, and the download gets another name: `NAME.1`, or the next number that is free.
    Numbered,
}

/// The highest number of [`Existing::Numbered`], as in curl: a directory with more copies is a mistake.
const NUMBER_MAX: u32 = 100;

/// What a response is to a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Begun {
    /// Its body is the file from the start.
    FromStart,
    /// The same, and what an earlier download left is of no use: it belongs to another version, or the server sends no ranges.
    StartedOver,
    /// Its body goes on where the earlier download stopped.
    Continued,
    /// Nothing is missing: the earlier download had everything.
    Complete,
    /// What is there is of no use, and the response is not, either: the whole has to be requested
    /// ([`Download::start_over`]).
    AskAgain,
}

/// A file that is being downloaded.
///
/// Bytes go to `NAME.part` beside the final name. [`complete`](Self::complete) demands the proof that
/// the response was whole and gives the file its name; without, the `.part` stays what it is. A name
/// that stands for something other than a file (a device, a pipe) is written to directly.
#[derive(Debug)]
pub struct Download {
    file: Writer,
    /// The name that was asked for.
    asked: PathBuf,
    target: PathBuf,
    part: Option<PathBuf>,
    existing: Existing,
    modified: Option<SystemTime>,
    /// The URL that is requested, without its query.
    url: Option<String>,
    /// How many bytes an earlier download left, and how many of them are kept.
    found: u64,
    held: u64,
    /// How many bytes the file has now, and how many it must have in the end, where the response alone does not say so.
    written: u64,
    total: Option<u64>,
    /// What is known of the file that `held` bytes are there of, and what shows that it is still the same.
    version: Option<Version>,
    evidence: Evidence,
    /// What an earlier download left, if it did not come in order, and what there is now.
    left: Option<Spans>,
    arrived: Option<Arrived>,
}

impl Download {
    /// Begins a download to this file. What an earlier one left in `NAME.part` is overwritten.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be written, [`Error::DownloadRunning`] when another download
    /// of the same name has not ended.
    pub fn create(target: impl AsRef<Path>) -> Result<Self, Error> {
        Self::create_beside(target, Existing::Replaced)
    }

    /// The same, and what becomes of a file that has the name already.
    ///
    /// # Errors
    /// As [`create`](Self::create); [`Error::File`] when the name is taken and must not be.
    pub fn create_beside(target: impl AsRef<Path>, existing: Existing) -> Result<Self, Error> {
        // Through a symbolic link the file that it leads to is replaced, not the link.
        let target = target.as_ref();
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        match fs::metadata(&target) {
            Ok(found) if found.is_dir() => Err(unusable(
                &target,
                "write",
                io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"),
            )),
            Ok(found) if !found.is_file() && existing == Existing::Replaced => {
                let file = OpenOptions::new()
                    .write(true)
                    .open(&target)
                    .map_err(|error| unusable(&target, "write", error))?;
                Ok(Self {
                    part: None,
                    ..Self::new(file, target, existing)
                })
            }
            Ok(_) if existing == Existing::Replaced => {
                check_writable(&target)?;
                Self::begin_part(target, existing)
            }
            _ => Self::begin_part(target, existing),
        }
    }

    fn new(file: File, target: PathBuf, existing: Existing) -> Self {
        Self {
            file: Writer::new(file),
            asked: target.clone(),
            target,
            part: None,
            existing,
            modified: None,
            url: None,
            found: 0,
            held: 0,
            written: 0,
            total: None,
            version: None,
            evidence: Evidence::None,
            left: None,
            arrived: None,
        }
    }

    fn begin_part(asked: PathBuf, existing: Existing) -> Result<Self, Error> {
        let mut taken = None;
        for target in existing.candidates(&asked) {
            if existing != Existing::Replaced && target.symlink_metadata().is_ok() {
                taken = Some(is_taken(&target));
                continue;
            }
            let part = match existing {
                Existing::Replaced => open_part_of(&target),
                Existing::Refused | Existing::Numbered => create_part_of(&target),
            };
            match part {
                // Another download will take the name.
                Err(error @ Error::DownloadRunning { .. }) if existing == Existing::Numbered => {
                    taken = Some(error);
                }
                Err(error) => return Err(error),
                Ok((file, part)) => {
                    let mut download = Self {
                        asked,
                        part: Some(part),
                        ..Self::new(file, target, existing)
                    };
                    download.empty()?;
                    return Ok(download);
                }
            }
        }
        Err(taken.unwrap_or_else(|| is_taken(&asked)))
    }

    /// When the file was last modified, for the server: the complete file gets this time.
    pub fn set_modified(&mut self, time: SystemTime) {
        self.modified = Some(time);
    }

    /// Writes the next bytes. Those that come fast are gathered, and written in large pieces.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.go_on_in_order()?;
        self.file
            .write(bytes)
            .map_err(|error| unusable(self.path(), "write", error))?;
        self.written = self.written.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Writes what is gathered to the file: for when no more arrives at the moment. At the end it is written anyway.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.file
            .flush()
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

    /// Whether [`resume`](Self::resume) would go on with what arrives, should the rest not come: the server has said what
    /// identifies this version of the file, and that is kept beside the part.
    pub fn is_resumable(&self) -> bool {
        let is_known = self
            .version
            .as_ref()
            .is_some_and(|version| version.if_range().is_some());
        let mut state = self.part.as_deref().map(state_of).into_iter();
        is_known && state.any(|state| state.exists())
    }

    /// What has arrived is wrong: it stays to be looked at, under the name that ends in `.part`, and is not continued.
    pub fn reject(mut self) {
        self.end_arrived();
        if let Some(part) = &self.part {
            let _ = fs::remove_file(state_of(part));
        }
    }

    /// Gives up, and removes what has arrived.
    pub fn discard(mut self) {
        self.end_arrived();
        if let Some(part) = &self.part {
            // If it cannot be removed it stays what it is: a part.
            let _ = fs::remove_file(part);
            let _ = fs::remove_file(state_of(part));
        }
    }

    /// Gives the file its final name, of which there was proof. Its bytes are on the disk before: what has the
    /// name is whole, also when the power fails the moment after. The name is on the disk afterwards, where the system can do that.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be written out or renamed: then it keeps the name that ends in `.part`.
    pub fn complete(mut self, _proof: &Whole) -> Result<PathBuf, Error> {
        self.flush()?;
        self.check_total()?;
        self.end_arrived();
        if let Some(part) = &self.part {
            if let Ok(old) = fs::metadata(&self.target) {
                take_owner(self.file.file(), &old);
            }
            self.file
                .sync()
                .map_err(|error| unusable(part, "write", error))?;
            if let Some(time) = self.modified {
                // A file system without times has the file nevertheless.
                let _ = self.file.file().set_modified(time);
            }
            self.target = self.existing.rename(part, &self.asked, self.target)?;
            // A state without a part means nothing.
            let _ = fs::remove_file(state_of(part));
            sync_directory_of(&self.target);
        }
        Ok(self.target)
    }
}

/// The owner and the permissions of the old file apply to the new one, too, as far as that is allowed; but what came from
/// elsewhere runs with nobody else's rights.
#[cfg(unix)]
fn take_owner(file: &File, old: &fs::Metadata) {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
    let is_other = file
        .metadata()
        .is_ok_and(|new| (new.uid(), new.gid()) != (old.uid(), old.gid()));
    if is_other {
        let _ = fchown(file, Some(old.uid()), Some(old.gid()));
    }
    let _ = file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o777));
}

#[cfg(not(unix))]
fn take_owner(file: &File, old: &fs::Metadata) {
    let _ = file.set_permissions(old.permissions());
}

/// A file that may not be written to may not be replaced, either.
#[cfg(unix)]
pub(super) fn check_writable(target: &Path) -> Result<(), Error> {
    use rustix::fs::{Access, access};
    access(target, Access::WRITE_OK).map_err(|error| unusable(target, "write", error.into()))
}

#[cfg(not(unix))]
pub(super) fn check_writable(_: &Path) -> Result<(), Error> {
    Ok(())
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

impl Existing {
    /// The names that a download may get, in order.
    fn candidates(self, asked: &Path) -> impl Iterator<Item = PathBuf> + use<> {
        let last = if self == Self::Numbered {
            NUMBER_MAX
        } else {
            0
        };
        let asked = asked.to_owned();
        (0..=last).map(move |number| {
            let mut name = asked.clone().into_os_string();
            if number > 0 {
                name.push(format!(".{number}"));
            }
            name.into()
        })
    }

    /// Gives the complete file its name.
    fn rename(self, part: &Path, asked: &Path, target: PathBuf) -> Result<PathBuf, Error> {
        let failed = |error| unusable(part, "rename", error);
        if self == Self::Replaced {
            fs::rename(part, &target).map_err(failed)?;
            return Ok(target);
        }
        // In the meantime the name may have been taken. A link takes the place of nothing.
        for target in std::iter::once(target).chain(self.candidates(asked)) {
            match fs::hard_link(part, &target) {
                Ok(()) => {
                    fs::remove_file(part).map_err(failed)?;
                    return Ok(target);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                // A file system without links: the best that can be done.
                Err(_) if target.symlink_metadata().is_err() => {
                    fs::rename(part, &target).map_err(failed)?;
                    return Ok(target);
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Err(is_taken(asked))
    }
}

fn is_taken(target: &Path) -> Error {
    let taken = io::Error::new(io::ErrorKind::AlreadyExists, "File exists");
    unusable(target, "create", taken)
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

    #[test]
    fn a_name_that_somebody_else_chose_touches_no_file_that_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let there = |name: &str| fs::read(directory.path().join(name)).unwrap();
        for name in ["thesis.part", "thesis.part.state"] {
            fs::write(directory.path().join(name), "precious").unwrap();
        }
        for (existing, name) in [
            (Existing::Refused, "thesis"),
            (Existing::Numbered, "thesis.1"),
        ] {
            let target = directory.path().join("thesis");
            let mut download = Download::create_beside(&target, existing).unwrap();
            download.write(b"whole").unwrap();
            download.complete(&proof()).unwrap();
            assert_eq!(there(name), b"whole");
            assert_eq!(there("thesis.part"), b"precious");
            assert_eq!(there("thesis.part.state"), b"precious");
        }
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_to_a_pipe_that_was_not_chosen() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = |name: &str| {
            let path = directory.path().join(name);
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
                .unwrap();
            path
        };
        let target = pipe("pipe");
        // None of these waits for a reader.
        assert!(Download::create_beside(&target, Existing::Refused).is_err());
        let numbered = Download::create_beside(&target, Existing::Numbered).unwrap();
        assert_eq!(
            numbered.target,
            directory.path().canonicalize().unwrap().join("pipe.1")
        );
        pipe("file.part");
        assert!(Download::create(directory.path().join("file")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_may_not_be_written_to_is_not_replaced() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("page.html");
        fs::write(&target, "old").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o444)).unwrap();
        // Root may write to every file.
        if !rustix::process::geteuid().is_root() {
            assert!(Download::create(&target).is_err());
            assert!(Download::resume(&target).is_err());
        }
        // What was downloaded does not run with the rights of the old file's owner.
        fs::set_permissions(&target, fs::Permissions::from_mode(0o4755)).unwrap();
        let mut download = Download::create(&target).unwrap();
        download.write(b"new").unwrap();
        download.complete(&proof()).unwrap();
        let mode = fs::metadata(&target).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
    }

    #[test]
    fn a_name_that_is_taken_is_replaced_refused_or_numbered() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("page.html");
        fs::write(&target, "old").unwrap();
        let refused = Download::create_beside(&target, Existing::Refused);
        assert!(matches!(
            refused,
            Err(Error::File {
                action: "create",
                ..
            })
        ));

        let numbered = |text: &str| {
            let mut download = Download::create_beside(&target, Existing::Numbered).unwrap();
            download.write(text.as_bytes()).unwrap();
            download
        };
        let [one, two] = [numbered("1"), numbered("2")];
        // Another program takes the name before it is complete.
        fs::write(directory.path().join("page.html.2"), "other").unwrap();
        for (download, name) in [(two, "page.html.1"), (one, "page.html.3")] {
            let path = download.complete(&proof()).unwrap();
            assert_eq!(path.file_name(), Some(name.as_ref()));
        }
        assert_eq!(fs::read(&target).unwrap(), b"old");
        let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(left.len(), 4);

        let late = directory.path().join("late");
        let download = Download::create_beside(&late, Existing::Refused).unwrap();
        fs::write(&late, "other").unwrap();
        assert!(download.complete(&proof()).is_err());
        assert_eq!(fs::read(&late).unwrap(), b"other");
    }

    #[test]
    fn a_complete_file_gets_the_time_that_it_has_on_the_server() {
        let directory = tempfile::tempdir().unwrap();
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(784_111_777);
        let mut download = Download::create(directory.path().join("page")).unwrap();
        download.write(b"new").unwrap();
        download.set_modified(time);
        let path = download.complete(&proof()).unwrap();
        assert_eq!(path.metadata().unwrap().modified().unwrap(), time);
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
