//! Standard input and output: files, pipes, terminals or sockets that are shared with the parent process; they
//! must neither block the session nor be left in another mode.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

use crate::poll;

/// How much a pipe that polls as writable accepts without blocking (POSIX's `PIPE_BUF` on Linux).
const CAUTIOUS_BYTES: usize = 4096;

/// Standard input, unbuffered.
#[derive(Debug)]
pub(super) struct Input {
    stdin: io::Stdin,
    crlf: Option<Crlf>,
}

/// Adds missing carriage returns before line feeds.
#[derive(Debug, Default)]
struct Crlf {
    read: Vec<u8>,
    after_cr: bool,
}

/// The result of a read of standard input.
pub(super) enum Typed {
    Bytes(usize),
    Nothing,
    End,
}

impl Input {
    /// `crlf`: a line feed without a carriage return before it gets one.
    pub(super) fn new(crlf: bool) -> Self {
        Self {
            stdin: io::stdin(),
            crlf: crlf.then(Crlf::default),
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.stdin.is_terminal()
    }

    pub(super) fn poll_fd(&self) -> PollFd<'_> {
        PollFd::new(&self.stdin, PollFlags::IN)
    }

    /// Reads once. Call only if it polls as readable, so that it does not block.
    pub(super) fn read(&mut self, target: &mut [u8]) -> io::Result<Typed> {
        let result = match &mut self.crlf {
            None => rustix::io::read(&self.stdin, &mut *target),
            Some(crlf) => {
                crlf.read.resize(target.len() / 2, 0);
                rustix::io::read(&self.stdin, crlf.read.as_mut_slice())
                    .map(|count| crlf.copy(count, target))
            }
        };
        match result {
            Ok(0) => Ok(Typed::End),
            Ok(count) => Ok(Typed::Bytes(count)),
            // Another process made it non-blocking, and read first.
            Err(Errno::AGAIN | Errno::INTR) => Ok(Typed::Nothing),
            // A terminal that was closed.
            Err(Errno::IO) if self.is_terminal() => Ok(Typed::End),
            Err(error) => Err(error.into()),
        }
    }
}

impl Crlf {
    /// Copies `count` bytes of what was read into `target`, which has room for twice as many.
    fn copy(&mut self, count: usize, target: &mut [u8]) -> usize {
        let mut room = target.iter_mut();
        let mut copied = 0;
        let mut put = |byte| {
            if let Some(place) = room.next() {
                *place = byte;
                copied += 1;
            }
        };
        for byte in self.read.iter().copied().take(count) {
            if byte == b'\n' && !self.after_cr {
                put(b'\r');
            }
            self.after_cr = byte == b'\r';
            put(byte);
        }
        copied
    }
}

/// Standard output, unbuffered, never blocking.
#[derive(Debug)]
pub(super) struct Output {
    stdout: io::Stdout,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// A file on disk never blocks.
    Direct,
    /// The same pipe or terminal, opened again so that it is non-blocking only for this process.
    Reopened(File),
    /// Small writes, only if it polls as writable.
    Cautious,
}

/// The result of a write to standard output.
pub(super) enum Written {
    Bytes(usize),
    Nothing,
    /// The reader has closed it.
    Closed,
}

impl Output {
    pub(super) fn new() -> Self {
        let stdout = io::stdout();
        let kind = fstat(&stdout).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let way = match kind {
            Ok(FileType::RegularFile | FileType::BlockDevice) => Way::Direct,
            Ok(FileType::Fifo | FileType::CharacterDevice) => {
                let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                // On other systems `/dev/fd/1` shares its mode with the original.
                match open("/proc/self/fd/1", flags, Mode::empty()) {
                    Ok(fd) => Way::Reopened(fd.into()),
                    Err(_) => Way::Cautious,
                }
            }
            _ => Way::Cautious,
        };
        Self { stdout, way }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.way {
            Way::Reopened(file) => file.as_fd(),
            Way::Direct | Way::Cautious => self.stdout.as_fd(),
        }
    }

    /// For polling for room, or only for being closed.
    pub(super) fn poll_fd(&self, for_room: bool) -> PollFd<'_> {
        let flags = if for_room {
            PollFlags::OUT
        } else {
            PollFlags::empty()
        };
        PollFd::from_borrowed_fd(self.fd(), flags)
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<Written> {
        let bytes = if matches!(self.way, Way::Cautious) {
            let mut fds = [self.poll_fd(true)];
            if !matches!(poll::wait(&mut fds, Some(Instant::now())), Ok(true)) {
                return Ok(Written::Nothing);
            }
            bytes.get(..CAUTIOUS_BYTES).unwrap_or(bytes)
        } else {
            bytes
        };
        match rustix::io::write(self.fd(), bytes) {
            Ok(count) => Ok(Written::Bytes(count)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Written::Nothing),
            Err(Errno::PIPE) => Ok(Written::Closed),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crlf_adds_missing_carriage_returns_across_reads() {
        let mut crlf = Crlf::default();
        let mut written = Vec::new();
        for part in [&b"a\nb\r"[..], b"\nc\r\r\n\n", b"\r", b"x\n"] {
            crlf.read = part.to_vec();
            let mut bytes = [0; 16];
            let count = crlf.copy(part.len(), &mut bytes);
            written.extend_from_slice(&bytes[..count]);
        }
        assert_eq!(written, b"a\r\nb\r\nc\r\r\n\r\n\rx\r\n");
    }
}
