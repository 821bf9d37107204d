//! A part whose bytes do not come in order: which of them are there stands in its state.
//!
//! The state never says more than what is in the part: bytes are on the disk before it names them. What came since is fetched
//! again after a process was killed, or the power failed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::part::unusable;
use super::version::{Version, state_of};
use crate::client::error::Error;
use crate::client::spans::Spans;

/// The bytes that are there. Dropped, it keeps that in the state.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) spans: Spans,
    file: File,
    state: PathBuf,
    version: Version,
    saves: u64,
    last: Arc<Mutex<u64>>,
}

/// A state that is to be kept.
#[derive(Debug)]
pub(in crate::client) struct Saving {
    number: u64,
    spans: Spans,
    file: File,
    state: PathBuf,
    version: Version,
    /// The number of the last one that was kept.
    last: Arc<Mutex<u64>>,
}

impl Saving {
    /// Waits for the disk.
    pub(in crate::client) fn save(self) -> io::Result<()> {
        self.file.sync_data()?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if self.number < *last {
            return Ok(());
        }
        *last = self.number;
        // Whole, or what it was.
        let new = new_of(&self.state);
        self.version.write(&new, Some(&self.spans))?;
        fs::rename(&new, &self.state)
    }
}

fn new_of(state: &Path) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

impl Arrived {
    pub(super) fn begin(
        file: File,
        part: &Path,
        version: Version,
        spans: Spans,
    ) -> Result<Self, Error> {
        let mut arrived = Self {
            spans,
            file,
            state: state_of(part),
            version,
            saves: 0,
            last: Arc::default(),
        };
        let saved = arrived.saving().and_then(Saving::save);
        saved.map_err(|error| unusable(&arrived.state, "write", error))?;
        Ok(arrived)
    }

    pub(super) fn saving(&mut self) -> io::Result<Saving> {
        self.saves += 1;
        Ok(Saving {
            number: self.saves,
            spans: self.spans.clone(),
            file: self.file.try_clone()?,
            state: self.state.clone(),
            version: self.version.clone(),
            last: Arc::clone(&self.last),
        })
    }

    /// Nothing is kept of it any more.
    pub(super) fn end(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = u64::MAX;
        let _ = fs::remove_file(new_of(&self.state));
    }

    #[cfg(unix)]
    pub(super) fn write_all_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, at)
    }

    #[cfg(not(unix))]
    pub(super) fn write_all_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        use std::io::{Seek as _, SeekFrom, Write as _};
        let mut file = &self.file;
        file.seek(SeekFrom::Start(at))?;
        file.write_all(bytes)
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        let is_over = *self.last.lock().unwrap_or_else(PoisonError::into_inner) == u64::MAX;
        if !is_over {
            // Room that was reserved behind the end is given back.
            let length = self.file.metadata().map(|found| found.len());
            let _ = length.and_then(|length| self.file.set_len(length));
            // There is nowhere left to report errors. The state says less than there is.
            let _ = self.saving().and_then(Saving::save);
        }
    }
}
