//! Files that were read while the process could, as root, and that the user which it became may not read: what they held stays in use as
//! long as they are the same files. Otherwise a key that only root can read would keep everything else from being read again.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::once::is_pipe;
use super::stamp::Stamp;

/// What was read last, by its files.
pub(super) struct LastRead<T>(HashMap<Vec<PathBuf>, Entry<T>>);

struct Entry<T> {
    /// From before it was read.
    stamps: Vec<Option<Stamp>>,
    value: T,
    /// Since unused entries were forgotten.
    is_used: bool,
}

impl<T> fmt::Debug for LastRead<T> {
    /// Without what was read: some of it is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<T> Default for LastRead<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone> LastRead<T> {
    /// Reads these files; or if this process may not, and they have not changed, gives what they held.
    pub(super) fn read<E>(
        &mut self,
        files: Vec<PathBuf>,
        read: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let stamps: Vec<_> = files.iter().map(|file| Stamp::of(file)).collect();
        let result = read();
        match (&result, self.0.get_mut(&files)) {
            (Ok(value), _) => {
                let entry = Entry {
                    stamps,
                    value: value.clone(),
                    is_used: true,
                };
                self.0.insert(files, entry);
            }
            (Err(_), Some(before))
                if files.iter().any(|file| is_closed(file))
                    && is_same(&files, &before.stamps, &stamps) =>
            {
                before.is_used = true;
                return Ok(before.value.clone());
            }
            (Err(_), _) => {}
        }
        result
    }

    /// Forgets what was not asked for since the last time.
    pub(super) fn forget_unused(&mut self) {
        self.0
            .retain(|_, entry| std::mem::replace(&mut entry.is_used, false));
    }
}

/// May this process not read the file?
pub(super) fn is_closed(file: &Path) -> bool {
    // Opening a pipe would wait.
    !is_pipe(file) && is_refused(File::open(file))
}

fn is_refused<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// Whether nothing is known to have changed: of files in a directory that is closed, nothing is known any more.
fn is_same(files: &[PathBuf], before: &[Option<Stamp>], now: &[Option<Stamp>]) -> bool {
    let all = files.iter().zip(before).zip(now);
    all.into_iter().all(|((file, before), now)| match now {
        Some(_) => before == now,
        None => is_refused(fs::metadata(file)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_is_read_and_other_errors_are_errors() {
        let directory = tempfile::tempdir().unwrap();
        let files = vec![directory.path().join("key")];
        fs::write(&files[0], "1").unwrap();
        let mut last = LastRead::default();
        assert_eq!(last.read(files.clone(), || Ok::<_, ()>(1)), Ok(1));
        assert_eq!(last.read(files.clone(), || Ok::<_, ()>(2)), Ok(2));
        // The file can be read: what is wrong with it is to be told.
        assert_eq!(last.read(files.clone(), || Err("broken")), Err("broken"));
        fs::remove_file(&files[0]).unwrap();
        assert_eq!(last.read(files, || Err("missing")), Err("missing"));
        last.forget_unused();
        assert_eq!(last.0.len(), 1);
        last.forget_unused();
        assert!(last.0.is_empty());
    }
}
