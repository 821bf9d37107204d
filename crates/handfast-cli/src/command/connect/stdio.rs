//! Our own standard input and output: files, pipes, terminals or sockets that belong to whoever
//! started us, and that must neither block the session nor be left in another mode.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

/// What a pipe that polls as writable takes without blocking (POSIX's `PIPE_BUF` on Linux).
const CAUTIOUS_BYTES: usize = 4096;

/// Standard input, unbuffered.
#[derive(Debug)]
pub(super) struct Input {
    stdin: io::Stdin,
    crlf: Option<Crlf>,
}

/// Gives a line feed the carriage return that it lacks.
#[derive(Debug, Default)]
struct Crlf {
    read: Vec<u8>,
    after_cr: bool,
}

/// What a read of standard input found.
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

    /// Reads once. Only when it polls as readable: then it does not block.
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
            // Somebody made it non-blocking, and somebody else was faster.
            Err(Errno::AGAIN | Errno::INTR) => Ok(Typed::Nothing),
            // A terminal that is gone has ended.
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
    /// The same pipe or terminal, opened once more so that it can be non-blocking for us alone.
    Reopened(File),
    /// A little at a time, and only when it polls as writable.
    Cautious,
}

/// What a write to standard output did.
pub(super) enum Written {
    Bytes(usize),
    Nothing,
    /// Nobody reads it any more.
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
                // Elsewhere `/dev/fd/1` shares its mode with the original.
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

    /// To be polled for room, or, without it, only for nobody being there any more.
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
            let now = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            if !matches!(poll(&mut fds, Some(&now)), Ok(1..)) {
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
    fn crlf_adds_what_is_missing_and_nothing_else_across_reads() {
        let mut crlf = Crlf::default();
        let mut told = Vec::new();
        for part in [&b"a\nb\r"[..], b"\nc\r\r\n\n", b"\r", b"x\n"] {
            crlf.read = part.to_vec();
            let mut bytes = [0; 16];
            let count = crlf.copy(part.len(), &mut bytes);
            told.extend_from_slice(&bytes[..count]);
        }
        assert_eq!(told, b"a\r\nb\r\nc\r\r\n\r\n\rx\r\n");
    }
}
