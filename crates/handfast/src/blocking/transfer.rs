//! One read or one write of a blocking channel, within a time limit. A stream and its halves have these rules in
//! common.

use std::io;
use std::time::{Duration, Instant};

use crate::channel::Channel;
use crate::error::{Cause, Error, NetworkCause};
use crate::phase::Phase;

/// Until when a transfer may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    /// The time, and the limit that it results from. A limit that overflows is no limit.
    at: Option<(Instant, Duration)>,
    renews: bool,
}

impl Deadline {
    /// The limit is for all of it.
    pub(super) fn total(limit: Option<Duration>) -> Self {
        let at = limit.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit)));
        Self { at, renews: false }
    }

    /// The limit is for the time without progress.
    pub(super) fn without_progress(limit: Option<Duration>) -> Self {
        Self {
            renews: true,
            ..Self::total(limit)
        }
    }

    fn progressed(&mut self) {
        if let (true, Some((_, limit))) = (self.renews, self.at) {
            *self = Self::without_progress(Some(limit));
        }
    }

    /// The time until then, or the error if it has passed.
    fn left(&self, phase: Phase) -> Result<Option<Duration>, Error> {
        let Some((at, limit)) = self.at else {
            return Ok(None);
        };
        match at.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(Some(left)),
            _ => Err(timed_out(phase, limit)),
        }
    }

    /// What it means that the channel, with the limit `armed` on it, transferred nothing: the time has passed, or the
    /// channel is non-blocking and says so immediately.
    fn is_over(
        &self,
        phase: Phase,
        armed: Option<Option<Duration>>,
        error: &io::Error,
    ) -> Option<Error> {
        let (at, limit) = self.at?;
        let armed = armed.flatten()?;
        // The operating system measures with a coarser clock.
        let is_late = Instant::now() + armed / 4 >= at;
        (is_late || error.kind() == io::ErrorKind::TimedOut).then(|| timed_out(phase, limit))
    }
}

/// Time limits as last set on the channel: setting one costs a system call.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Armed {
    read: Option<Option<Duration>>,
    write: Option<Option<Duration>>,
}

/// The result of reading once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    Bytes(usize),
    End,
    Reset,
    /// A non-blocking channel has nothing.
    Nothing,
}

/// The result of writing once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Bytes(usize),
    Reset,
}

impl Armed {
    /// The limit on reads was changed elsewhere.
    pub(super) fn forget_read(&mut self) {
        self.read = None;
    }

    /// Reads once.
    pub(super) fn receive<C: Channel>(
        &mut self,
        channel: &mut C,
        room: &mut [u8],
        deadline: Deadline,
        phase: Phase,
    ) -> Result<Arrival, Error> {
        loop {
            let left = deadline.left(phase)?;
            if !serves(self.read, left) {
                let limited = channel.limit_read(left);
                limited.map_err(|error| io_error(phase, error))?;
                self.read = Some(left);
            }
            return match channel.read(room) {
                Ok(0) => Ok(Arrival::End),
                Ok(count) => Ok(Arrival::Bytes(count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_timeout(&error) => {
                    match deadline.is_over(phase, self.read, &error) {
                        Some(late) => Err(late),
                        None if error.kind() == io::ErrorKind::WouldBlock => Ok(Arrival::Nothing),
                        None => Err(io_error(phase, error)),
                    }
                }
                Err(error) if NetworkCause::is_reset(&error) => Ok(Arrival::Reset),
                Err(error) => Err(io_error(phase, error)),
            };
        }
    }

    /// Writes once. A non-blocking channel that takes nothing is an error: see [`would_block`].
    pub(super) fn send<C: Channel>(
        &mut self,
        channel: &mut C,
        bytes: &[u8],
        deadline: &mut Deadline,
        phase: Phase,
    ) -> Result<Sent, Error> {
        loop {
            let left = deadline.left(phase)?;
            if !serves(self.write, left) {
                let limited = channel.limit_write(left);
                limited.map_err(|error| io_error(phase, error))?;
                self.write = Some(left);
            }
            return match channel.write(bytes) {
                Ok(0) => Err(io_error(phase, io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    deadline.progressed();
                    Ok(Sent::Bytes(count))
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_timeout(&error) => {
                    let late = deadline.is_over(phase, self.write, &error);
                    Err(late.unwrap_or_else(|| io_error(phase, error)))
                }
                Err(error) if NetworkCause::is_reset(&error) => Ok(Sent::Reset),
                Err(error) => Err(io_error(phase, error)),
            };
        }
    }
}

/// Whether the limit that is already set is sufficient. A slightly different one does no
/// harm, and setting a new one for every record would double the number of system calls.
fn serves(armed: Option<Option<Duration>>, left: Option<Duration>) -> bool {
    // More than the instructions between two readings of the clock take.
    const JITTER: Duration = Duration::from_millis(1);
    match (armed, left) {
        (Some(Some(armed)), Some(left)) => left <= armed + JITTER && armed <= left + left / 8,
        (armed, left) => armed == Some(left),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn timed_out(phase: Phase, limit: Duration) -> Error {
    Error::new(phase, NetworkCause::TimedOut { limit })
}

pub(super) fn io_error(phase: Phase, error: io::Error) -> Error {
    Error::new(phase, NetworkCause::from(error))
}

/// The result of a write that accepted `count` bytes and then sent records: accepted bytes will be sent, so that
/// only the next call can wait for a non-blocking channel.
pub(super) fn unless_accepted(count: usize, sent: Result<(), Error>) -> Result<(), Error> {
    match sent {
        Err(error) if count > 0 && would_block(&error) => Ok(()),
        sent => sent,
    }
}

/// Whether a non-blocking channel takes nothing now.
pub(super) fn would_block(error: &Error) -> bool {
    matches!(error.cause(), Cause::Network(NetworkCause::Io(inner))
        if inner.kind() == io::ErrorKind::WouldBlock)
}
