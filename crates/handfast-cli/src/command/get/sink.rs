//! Where a body goes: stdout, or a file that has its name only when whole.

use std::io::{self, IsTerminal, Write};
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
    Stdout(Screen),
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
            Target::Stdout => Ok(Self::Stdout(Screen::new())),
            Target::File(path) => Download::create(path).map(Self::File),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<Written, Error> {
        match self {
            Self::Stdout(screen) => judged(screen.write_through(bytes)),
            Self::File(download) => download.write(bytes).map(|()| Written::All),
        }
    }

    /// Does a person read what is written?
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Stdout(screen) if screen.is_terminal)
    }

    /// Does the cursor of a terminal stand behind the last byte of a body?
    pub(super) fn is_mid_line(&self) -> bool {
        matches!(self, Self::Stdout(screen) if screen.is_terminal && screen.mid_line)
    }

    /// All of it came, and there is proof.
    pub(super) fn complete(self, whole: &Whole) -> Result<(), Error> {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::File(download) => download.complete(whole).map(|_| ()),
        }
    }

    /// It broke off: the failure, with the place of what arrived.
    pub(super) fn keep(self, failure: Failure) -> Failure {
        match &self {
            Self::File(download) if download.part().is_some() => {
                outcome::kept_in(failure, download.path())
            }
            _ => failure,
        }
    }
}

/// Standard output, and whether that is a terminal.
pub(super) struct Screen {
    out: Box<dyn Write>,
    is_terminal: bool,
    mid_line: bool,
}

impl Screen {
    fn new() -> Self {
        Self {
            is_terminal: io::stdout().is_terminal(),
            out: out(),
            mid_line: false,
        }
    }

    /// What arrived is shown at once.
    fn write_through(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(last) = bytes.last() {
            self.mid_line = *last != b'\n';
        }
        self.out.write_all(bytes)?;
        self.out.flush()
    }
}

/// Standard output without `io::Stdout`, which would look through every piece for the last end of a line,
/// and write what follows it by itself.
fn out() -> Box<dyn Write> {
    #[cfg(unix)]
    if let Ok(own) = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned() {
        return Box::new(std::fs::File::from(own));
    }
    Box::new(io::stdout())
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
