//! The target of a body: stdout, or a file that gets its name only when complete.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use handfast_https::client::{Download, Error, Response, Whole};

use super::destination::Target;
use super::outcome;
use crate::failure::Failure;

/// When the exchange must be over, and after how long.
type Deadline = (Instant, Duration);

/// Where the part is that has arrived.
pub(super) struct Kept {
    pub(super) path: PathBuf,
    /// The same command with -C - goes on with it.
    pub(super) goes_on: bool,
}

pub(super) enum Sink {
    Stdout(Screen),
    File(Box<Download>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    All,
    /// The reader of stdout has closed it.
    ReaderGone,
    /// The time limit passed while stdout was not read.
    Unread(Duration),
}

impl Sink {
    /// `begun`: a download that goes on; a new one keeps what is needed to go on if `is_body`, which is all that is written.
    pub(super) fn open(
        target: &Target,
        begun: Option<Download>,
        response: &Response,
        is_body: bool,
        deadline: Option<Deadline>,
    ) -> Result<Self, Failure> {
        match (target, begun) {
            (Target::Stdout, _) => Ok(Self::Stdout(Screen::new(deadline))),
            (Target::File(place), Some(mut download)) => {
                place.set_time(&mut download, response);
                Ok(Self::File(Box::new(download)))
            }
            (Target::File(place), None) => {
                let mut download = place.open(response)?;
                if is_body {
                    download.begin(response).map_err(outcome::explained)?;
                }
                Ok(Self::File(Box::new(download)))
            }
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<Written, Error> {
        match self {
            Self::Stdout(screen) => screen.write_checked(bytes),
            Self::File(download) => download.write(bytes).map(|()| Written::All),
        }
    }

    /// No more arrives at the moment: what is gathered gets into the file.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::File(download) => download.flush(),
        }
    }

    /// What goes to stdout goes there by this way.
    pub(super) fn through(&mut self, out: impl Write + 'static) {
        if let Self::Stdout(screen) = self {
            screen.out = Box::new(out);
        }
    }

    /// Whether something was written that cannot be taken back.
    pub(super) fn is_spent(&self) -> bool {
        matches!(self, Self::Stdout(screen) if screen.is_spent)
    }

    /// The file with the part that arrived.
    pub(super) fn part(&self) -> Option<PathBuf> {
        match self {
            Self::Stdout(_) => None,
            Self::File(download) => download.part().map(Path::to_owned),
        }
    }

    /// Could what arrived be continued, if the rest does not come?
    pub(super) fn is_resumable(&self) -> bool {
        matches!(self, Self::File(download) if download.is_resumable())
    }

    /// The file that has the body when it is complete.
    pub(super) fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Stdout(_) => None,
            Self::File(download) => Some(download.path().to_owned()),
        }
    }

    /// The file, if it is one.
    pub(super) fn download(&mut self) -> Option<&mut Download> {
        match self {
            Self::Stdout(_) => None,
            Self::File(download) => Some(download),
        }
    }

    /// Whether it is written to a terminal.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Stdout(screen) if screen.is_terminal)
    }

    /// Whether the cursor of a terminal is after the last byte of a body.
    pub(super) fn is_mid_line(&self) -> bool {
        matches!(self, Self::Stdout(screen) if screen.is_terminal && screen.mid_line)
    }

    /// What arrived is wrong, and is not continued.
    pub(super) fn reject(self, failure: Failure, removes: bool) -> Failure {
        match self {
            Self::File(download) if removes => download.discard(),
            Self::File(download) => download.reject(),
            Self::Stdout(_) => {}
        }
        failure
    }

    /// The bytes that were written so far can be read from the file.
    pub(super) fn path_of_held(&self) -> Option<&Path> {
        match self {
            Self::Stdout(_) => None,
            Self::File(download) => Some(download.path()),
        }
    }

    /// The body is complete: the file that has it.
    pub(super) async fn complete(self, whole: Whole) -> Result<Option<PathBuf>, Error> {
        match self {
            Self::Stdout(_) => Ok(None),
            Self::File(download) => complete(*download, whole).await.map(Some),
        }
    }

    /// The body is incomplete: the failure, with the path of the part that arrived, unless that is removed. `may_continue`: the
    /// command can be given with -C, too.
    pub(super) fn keep(self, failure: Failure, removes: bool, may_continue: bool) -> Failure {
        match self {
            Self::File(download) if removes => {
                download.discard();
                failure
            }
            Self::File(download) if download.part().is_some() => {
                let goes_on = may_continue && download.is_resumable();
                outcome::kept_in(failure, download.path(), goes_on)
            }
            _ => failure,
        }
    }
}

/// Gives the file its name. Until its bytes are on the disk, which takes its time, other transfers go on.
pub(super) async fn complete(download: Download, whole: Whole) -> Result<PathBuf, Error> {
    let path = download.path().to_owned();
    let completing = tokio::task::spawn_blocking(move || download.complete(&whole));
    completing.await.unwrap_or_else(|error| {
        Err(Error::File {
            path,
            action: "write",
            source: io::Error::other(error),
        })
    })
}

/// Standard output, and whether that is a terminal.
pub(super) struct Screen {
    out: Box<dyn Write>,
    is_terminal: bool,
    mid_line: bool,
    is_spent: bool,
    deadline: Option<Deadline>,
}

/// How much a ready pipe or terminal accepts without blocking: `PIPE_BUF`, 4096 on Linux and 512 on other
/// systems.
#[cfg(unix)]
const READY_BYTES: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

impl Screen {
    fn new(deadline: Option<Deadline>) -> Self {
        Self {
            deadline,
            is_terminal: is_stdout_terminal(),
            out: out(),
            mid_line: false,
            is_spent: false,
        }
    }

    fn write_checked(&mut self, bytes: &[u8]) -> Result<Written, Error> {
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
                let _ = (deadline, limit);
                rest.len()
            };
            let (now, later) = rest.split_at(count.min(rest.len()));
            match checked(self.write_through(now))? {
                Written::All => rest = later,
                stopped => return Ok(stopped),
            }
        }
        checked(self.write_through(rest))
    }

    /// How many of `count` bytes may be written without blocking beyond the deadline; `None` if it has
    /// passed.
    #[cfg(unix)]
    fn ready(&self, count: usize, deadline: Instant) -> Option<usize> {
        use rustix::event::{PollFd, PollFlags};
        let stdout = io::stdout();
        let mut asked = [PollFd::new(&stdout, PollFlags::OUT)];
        match crate::poll::wait(&mut asked, Some(deadline)) {
            Ok(false) => None,
            // The write reports errors.
            Ok(true) => Some(count.min(READY_BYTES)),
            Err(_) => Some(count),
        }
    }

    /// Writes and flushes.
    fn write_through(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(last) = bytes.last() {
            self.mid_line = *last != b'\n';
            self.is_spent = true;
        }
        self.out.write_all(bytes)?;
        self.out.flush()
    }
}

/// Whether standard output is a terminal. Asked once, not for each of many URLs.
pub(super) fn is_stdout_terminal() -> bool {
    static IS_TERMINAL: OnceLock<bool> = OnceLock::new();
    *IS_TERMINAL.get_or_init(|| io::stdout().is_terminal())
}

/// Standard output without `io::Stdout`, which would search every piece for the last line end, and write the rest
/// separately.
pub(super) fn out() -> Box<dyn Write> {
    #[cfg(unix)]
    {
        static OWN: OnceLock<Option<std::fs::File>> = OnceLock::new();
        let own = OWN.get_or_init(|| {
            let own = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned();
            own.ok().map(std::fs::File::from)
        });
        if let Some(own) = own {
            return Box::new(own);
        }
    }
    Box::new(io::stdout())
}

fn checked(result: io::Result<()>) -> Result<Written, Error> {
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
