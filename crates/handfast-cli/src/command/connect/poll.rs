//! Waiting for several descriptors and signals.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Waits until one of `fds` is ready; `false` if the time limit passes first.
pub(super) fn wait(fds: &mut [PollFd<'_>], until: Option<Instant>) -> io::Result<bool> {
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        match poll(fds, left.as_ref()) {
            Ok(0) if until.is_some_and(|until| until <= Instant::now()) => return Ok(false),
            // A handled signal interrupts the call, and has written to the pipe that is polled.
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether it is ready. Errors and hang-ups are reported by the next read or write.
pub(super) fn is_ready(fd: &PollFd<'_>) -> bool {
    !fd.revents().is_empty()
}

/// The signals that end the program gracefully.
#[derive(Debug)]
pub(super) struct Signals {
    reader: UnixStream,
}

impl Signals {
    /// From here on these signals no longer have their default effect.
    pub(super) fn install() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        Ok(Self { reader })
    }

    pub(super) fn poll_fd(&self) -> PollFd<'_> {
        PollFd::new(&self.reader, PollFlags::IN)
    }

    /// Whether one has arrived since the last call.
    pub(super) fn take(&self) -> bool {
        let mut bytes = [0; 16];
        matches!(rustix::io::read(&self.reader, &mut bytes[..]), Ok(1..))
    }
}

/// Makes this open file non-blocking. Only for files that are not shared with another process.
pub(super) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let flags = fcntl_getfl(fd.as_fd())?;
    Ok(fcntl_setfl(fd, flags | OFlags::NONBLOCK)?)
}
