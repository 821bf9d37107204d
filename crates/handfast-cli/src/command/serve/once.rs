//! Files that can be read once only: pipes, as shells make them for `<(...)`. They are read at the start, and what they held is kept.
//!
//! A pipe that is opened again is empty, or opening it blocks until a process writes to it. While the server runs, the thread that would
//! block is the one that handles signals: so no pipe is opened then.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

/// Maximum length of a pipe's content, in bytes: as of the other files that certificates and passwords are read from.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What was read of pipes; clones have it in common.
#[derive(Debug, Clone, Default)]
pub(super) struct Once(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// No pipe is opened any more.
    is_running: bool,
    contents: HashMap<PathBuf, Arc<Zeroizing<Vec<u8>>>>,
}

impl Once {
    /// From now on no pipe is opened.
    pub(super) fn runs(&self) {
        self.lock().is_running = true;
    }

    /// May something that is not a regular file be opened now?
    ///
    /// # Errors
    /// If the server runs.
    pub(super) fn check(&self, path: &Path) -> io::Result<()> {
        match is_pipe(path) && self.lock().is_running {
            true => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "it is not a regular file, and such are read at the start only: give a file, or restart",
            )),
            false => Ok(()),
        }
    }

    /// The content of a pipe; `None` if this is a file, which can be read at any time.
    ///
    /// # Errors
    /// If it cannot be read, is too large, or is a pipe that was not read before the server ran.
    pub(super) fn content(&self, path: &Path) -> io::Result<Option<Arc<Zeroizing<Vec<u8>>>>> {
        if let Some(known) = self.lock().contents.get(path) {
            return Ok(Some(Arc::clone(known)));
        }
        if !is_pipe(path) {
            return Ok(None);
        }
        self.check(path)?;
        let mut content = Zeroizing::new(Vec::new());
        File::open(path)?
            .take(BYTES_MAX + 1)
            .read_to_end(&mut content)?;
        if content.len() as u64 > BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "it has more than 16 MiB",
            ));
        }
        let content = Arc::new(content);
        self.lock()
            .contents
            .insert(path.to_owned(), Arc::clone(&content));
        Ok(Some(content))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this is something that can be read once only.
pub(super) fn is_pipe(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| !found.is_file() && !found.is_dir())
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;

    use super::*;

    fn fifo(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
    }

    #[test]
    fn a_pipe_is_read_once_and_none_is_opened_while_the_server_runs() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "f").unwrap();
        fifo(&path("pipe"));
        fifo(&path("other"));
        let writer = std::thread::spawn({
            let pipe = path("pipe");
            move || fs::write(pipe, "content").unwrap()
        });
        let once = Once::default();
        let content = |name: &str| once.content(&path(name));
        let held = |name: &str| content(name).unwrap().map(|held| held.to_vec());
        assert_eq!(held("pipe").unwrap(), b"content");
        writer.join().unwrap();
        assert_eq!(held("file"), None);
        assert_eq!(held("missing"), None);
        once.clone().runs();
        // No process writes to it any more: opening it again would block.
        assert_eq!(held("pipe").unwrap(), b"content");
        assert_eq!(held("file"), None);
        let refused = content("other").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
        assert!(once.check(&path("other")).is_err());
        assert!(once.check(&path("file")).is_ok());
    }

    #[test]
    fn a_device_without_an_end_is_not_read_to_the_end() {
        let refused = Once::default().content(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
    }
}
