//! Where a body goes: stdout, or a file that has its name only when whole.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use handfast_https::client::{Download, Error, Whole};

use super::outcome;
use crate::failure::Failure;

#[derive(Debug)]
pub(super) enum Target {
    Stdout,
    File(PathBuf),
}

impl Target {
    /// Whether what arrives is kept under another name until all of it is there.
    pub(super) fn keeps_a_part(&self) -> bool {
        match self {
            Self::Stdout => false,
            // A device or a pipe is written to directly.
            Self::File(path) => path.metadata().map_or(true, |found| found.is_file()),
        }
    }
}

/// When the exchange must be over, and after how long.
type Deadline = (Instant, Duration);

pub(super) enum Sink {
    Stdout(Screen),
    File(Download),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    All,
    /// Whoever read our stdout has enough.
    ReaderGone,
    /// The limit on time passed while our stdout was not read.
    Unread(Duration),
}

impl Sink {
    pub(super) fn open(target: Target, deadline: Option<Deadline>) -> Result<Self, Error> {
        match target {
            Target::Stdout => Ok(Self::Stdout(Screen::new(deadline))),
            Target::File(path) => Download::create(path).map(Self::File),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<Written, Error> {
        match self {
            Self::Stdout(screen) => screen.judged_write(bytes),
            Self::File(download) => download.write(bytes).map(|()| Written::All),
        }
    }

    /// The file that keeps what arrived when it breaks off.
    pub(super) fn part(&self) -> Option<PathBuf> {
        match self {
            Self::Stdout(_) => None,
            Self::File(download) => download.part().map(Path::to_owned),
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
    deadline: Option<Deadline>,
}

/// What a pipe or a terminal that is ready takes without waiting: `PIPE_BUF`, which is this on Linux and the
/// others' 512 elsewhere.
#[cfg(unix)]
const READY_BYTES: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

impl Screen {
    fn new(deadline: Option<Deadline>) -> Self {
        Self {
            deadline,
            is_terminal: io::stdout().is_terminal(),
            out: out(),
            mid_line: false,
        }
    }

    fn judged_write(&mut self, bytes: &[u8]) -> Result<Written, Error> {
        let mut rest = bytes;
        while let Some((deadline, limit)) = self.deadline
            && !rest.is_empty()
        {
            #[cfg(unix)]
            let Some(count) = self.ready(rest.len(), deadline) else {
                return Ok(Written::Unread(limit));
            };
            #[cfg(not(unix))]
            let count = {
                let _ = deadline;
                rest.len()
            };
            let (now, later) = rest.split_at(count.min(rest.len()));
            match judged(self.write_through(now))? {
                Written::All => rest = later,
                stopped => return Ok(stopped),
            }
        }
        judged(self.write_through(rest))
    }

    /// How many of so many bytes may be written without waiting beyond the deadline; `None` when it has
    /// passed.
    #[cfg(unix)]
    fn ready(&self, count: usize, deadline: Instant) -> Option<usize> {
        use rustix::event::{PollFd, PollFlags, poll};
        let stdout = io::stdout();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut asked = [PollFd::new(&stdout, PollFlags::OUT)];
            match poll(
                &mut asked,
                rustix::time::Timespec::try_from(left).ok().as_ref(),
            ) {
                Ok(0) => return None,
                // What is wrong with it is told by the write.
                Ok(_) => return Some(count.min(READY_BYTES)),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Some(count),
            }
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
