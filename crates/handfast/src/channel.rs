//! The channels of a blocking stream: any byte channel, not only TCP.
//!
//! A small trait that adds time limits and half-closing to `Read + Write`, and its
//! implementations for types of the standard library.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// A byte channel for a blocking [`Stream`](crate::Stream).
///
/// Implemented for TCP and Unix sockets, for files that are terminals or devices, for a pair of a
/// reader and a writer ([`Pair`]: pipes, a child's stdio) and for memory. For another type, either
/// implement it (all methods have defaults) or wrap the value in [`Plain`].
pub trait Channel: Read + Write {
    /// Limits how long each later read may block; `None` waits for ever.
    ///
    /// A read that exceeds it fails with `WouldBlock` or `TimedOut`. A channel that cannot
    /// be limited ignores this: time limits are then checked between reads only.
    ///
    /// # Errors
    /// The operating system's error.
    fn limit_read(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let _ = limit;
        Ok(())
    }

    /// Limits how long each later write may block; as [`limit_read`](Self::limit_read).
    ///
    /// # Errors
    /// The operating system's error.
    fn limit_write(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let _ = limit;
        Ok(())
    }

    /// Ends our direction (FIN) and leaves the other open. Does nothing if the channel has no such operation.
    ///
    /// # Errors
    /// The operating system's error.
    fn half_close(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<C: Channel + ?Sized> Channel for &mut C {
    fn limit_read(&mut self, limit: Option<Duration>) -> io::Result<()> {
        (**self).limit_read(limit)
    }
    fn limit_write(&mut self, limit: Option<Duration>) -> io::Result<()> {
        (**self).limit_write(limit)
    }
    fn half_close(&mut self) -> io::Result<()> {
        (**self).half_close()
    }
}

impl<C: Channel + ?Sized> Channel for Box<C> {
    fn limit_read(&mut self, limit: Option<Duration>) -> io::Result<()> {
        (**self).limit_read(limit)
    }
    fn limit_write(&mut self, limit: Option<Duration>) -> io::Result<()> {
        (**self).limit_write(limit)
    }
    fn half_close(&mut self) -> io::Result<()> {
        (**self).half_close()
    }
}

/// For the operating system, a limit of zero would mean no limit.
fn at_least_a_moment(limit: Option<Duration>) -> Option<Duration> {
    limit.map(|limit| limit.max(Duration::from_millis(1)))
}

macro_rules! socket_channel {
    ($socket:ty) => {
        impl Channel for $socket {
            fn limit_read(&mut self, limit: Option<Duration>) -> io::Result<()> {
                self.set_read_timeout(at_least_a_moment(limit))
            }
            fn limit_write(&mut self, limit: Option<Duration>) -> io::Result<()> {
                self.set_write_timeout(at_least_a_moment(limit))
            }
            fn half_close(&mut self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }
        }
    };
}

socket_channel!(TcpStream);
#[cfg(unix)]
socket_channel!(std::os::unix::net::UnixStream);

/// Any `Read + Write` as a channel, without time limits inside an operation and without half-close.
#[derive(Debug)]
pub struct Plain<T>(pub T);

impl<T: Read> Read for Plain<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<T: Write> Write for Plain<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<T: Read + Write> Channel for Plain<T> {}

/// A reader and a writer as one channel: two pipes, or the stdio of a child process.
///
/// Half-closing drops the writer, which ends the pipe.
#[derive(Debug)]
pub struct Pair<R, W> {
    reader: R,
    writer: Option<W>,
    #[cfg_attr(not(unix), allow(dead_code))]
    limits: [Option<Duration>; 2],
}

impl<R, W> Pair<R, W> {
    /// Reads from `reader`, writes to `writer`.
    pub fn new(reader: R, writer: W) -> Self {
        Self {
            reader,
            writer: Some(writer),
            limits: [None; 2],
        }
    }
}

/// What time limits on a [`Pair`] and a terminal need: on Unix a file descriptor.
#[cfg(unix)]
pub trait Waitable: std::os::fd::AsFd {}
#[cfg(unix)]
impl<T: std::os::fd::AsFd> Waitable for T {}

/// What time limits on a [`Pair`] need: on other platforms there are none.
#[cfg(not(unix))]
pub trait Waitable {}
#[cfg(not(unix))]
impl<T> Waitable for T {}

#[cfg(unix)]
fn wait<F: Waitable>(
    channel: &F,
    direction: rustix::event::PollFlags,
    limit: Option<Duration>,
) -> io::Result<()> {
    use rustix::event::{PollFd, Timespec, poll};
    let Some(limit) = limit else { return Ok(()) };
    let timespec = Timespec {
        tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    };
    match poll(&mut [PollFd::new(channel, direction)], Some(&timespec)) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Ok(_) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

impl<R: Read + Waitable, W> Read for Pair<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        wait(&self.reader, rustix::event::PollFlags::IN, self.limits[0])?;
        self.reader.read(buffer)
    }
}

impl<R, W: Write + Waitable> Write for Pair<R, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let writer = self.writer.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        #[cfg(unix)]
        wait(writer, rustix::event::PollFlags::OUT, self.limits[1])?;
        writer.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl<R: Read + Waitable, W: Write + Waitable> Channel for Pair<R, W> {
    fn limit_read(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.limits[0] = limit;
        Ok(())
    }
    fn limit_write(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.limits[1] = limit;
        Ok(())
    }
    fn half_close(&mut self) -> io::Result<()> {
        self.flush()?;
        self.writer = None;
        Ok(())
    }
}

/// A terminal or another device that is one file in both directions: a serial line.
///
/// A serial line has no FIN: only `close_notify` ends a direction.
#[cfg(unix)]
#[derive(Debug)]
pub struct Device {
    file: std::fs::File,
    limits: [Option<Duration>; 2],
}

#[cfg(unix)]
impl Device {
    /// Over this open device. The caller sets the line's speed and raw mode.
    pub fn new(file: std::fs::File) -> Self {
        Self {
            file,
            limits: [None; 2],
        }
    }
}

#[cfg(unix)]
impl Read for Device {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        wait(&self.file, rustix::event::PollFlags::IN, self.limits[0])?;
        self.file.read(buffer)
    }
}

#[cfg(unix)]
impl Write for Device {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        wait(&self.file, rustix::event::PollFlags::OUT, self.limits[1])?;
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(unix)]
impl Channel for Device {
    fn limit_read(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.limits[0] = limit;
        Ok(())
    }
    fn limit_write(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.limits[1] = limit;
        Ok(())
    }
}
