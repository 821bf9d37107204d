//! Where a body goes: stdout, or a file that has its name only when whole.

use std::io::{self, Write};
use std::path::PathBuf;

use handfast_https::client::{Download, Error, Whole};

use super::outcome;
use crate::failure::Failure;

#[derive(Debug)]
pub(super) enum Target {
    Stdout,
    File(PathBuf),
}

pub(super) enum Sink {
    Stdout(io::Stdout),
    File(Download),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    All,
    /// Whoever read our stdout has enough.
    ReaderGone,
}

impl Sink {
    pub(super) fn open(target: Target) -> Result<Self, Error> {
        match target {
            Target::Stdout => Ok(Self::Stdout(io::stdout())),
            Target::File(path) => Download::create(path).map(Self::File),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<Written, Error> {
        match self {
            Self::Stdout(stdout) => judged(write_through(stdout, bytes)),
            Self::File(download) => download.write(bytes).map(|()| Written::All),
        }
    }

    pub(super) fn flush(&mut self) -> Result<Written, Error> {
        match self {
            Self::Stdout(stdout) => judged(stdout.flush()),
            Self::File(_) => Ok(Written::All),
        }
    }

    /// All of it came, and there is proof.
    pub(super) fn complete(self, whole: &Whole) -> Result<(), Error> {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::File(download) => download.complete(whole).map(|_| ()),
        }
    }

    /// It broke off: the failure, with the place of what arrived.
    pub(super) fn keep(mut self, failure: Failure) -> Failure {
        let _ = self.flush();
        match &self {
            Self::File(download) if download.part().is_some() => {
                outcome::kept_in(failure, download.path())
            }
            _ => failure,
        }
    }
}

/// What arrived is shown at once: stdout by itself would wait for the end of a line.
fn write_through(stdout: &io::Stdout, bytes: &[u8]) -> io::Result<()> {
    let mut lock = stdout.lock();
    lock.write_all(bytes)?;
    lock.flush()
}

fn judged(result: io::Result<()>) -> Result<Written, Error> {
    match result {
        Ok(()) => Ok(Written::All),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Written::ReaderGone),
        Err(source) => Err(Error::File {
            path: "stdout".into(),
            action: "write",
            source,
        }),
    }
}
