//! Opening on systems that are not Unix.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{FileFacts, Hint, Links, NotOpened, Target, Waiting};

/// `ERROR_TOO_MANY_OPEN_FILES` of Windows.
const TOO_MANY_OPEN_FILES: i32 = 4;

/// The best that the standard library can do: the resolved name must lie beneath.
#[derive(Debug)]
pub(crate) struct Root {
    directory: PathBuf,
    links: Links,
}

impl Root {
    pub(crate) fn open(directory: &Path, links: Links) -> io::Result<Self> {
        let directory = directory.canonicalize()?;
        if !directory.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { directory, links })
    }

    pub(crate) fn with_links(&self, links: Links) -> Self {
        let directory = self.directory.clone();
        Self { directory, links }
    }

    pub(crate) fn is_at(&self, path: &Path) -> io::Result<bool> {
        Ok(path.canonicalize()? == self.directory)
    }

    pub(crate) fn is_at_cached(&self, _path: &Path) -> bool {
        false
    }

    pub(crate) fn look_up(&self, target: &Target, waiting: Waiting) -> Result<Metadata, NotOpened> {
        let (_, metadata) = self.open_beneath(target, waiting)?;
        Ok(metadata)
    }

    pub(crate) fn open_beneath(
        &self,
        target: &Target,
        waiting: Waiting,
    ) -> Result<(File, Metadata), NotOpened> {
        if waiting == Waiting::Never {
            return Err(NotOpened::WouldBlock);
        }
        let relative = target.relative().ok_or(NotOpened::Missing)?;
        let resolved = self
            .directory
            .join(relative)
            .canonicalize()
            .map_err(|_| NotOpened::Missing)?;
        if self.links == Links::Beneath && !resolved.starts_with(&self.directory) {
            return Err(NotOpened::Missing);
        }
        let metadata = resolved.metadata().map_err(|_| NotOpened::Missing)?;
        if !metadata.is_file() && !metadata.is_dir() {
            return Err(NotOpened::Missing);
        }
        let file = open(&resolved).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => NotOpened::Missing,
            io::ErrorKind::PermissionDenied => NotOpened::Forbidden,
            _ if error.raw_os_error() == Some(TOO_MANY_OPEN_FILES) => NotOpened::Exhausted,
            _ => NotOpened::Failed,
        })?;
        let metadata = file.metadata().map_err(|_| NotOpened::Failed)?;
        Ok((file, metadata))
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
