//! Signals as a descriptor that can be waited for with others.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

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
