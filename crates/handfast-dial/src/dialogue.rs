//! Runs a plaintext dialogue over a channel: with a proxy, or with a server before TLS.
//!
//! This is the I/O and its limits; the messages are those of the [`Dialogue`].

use std::io;
use std::time::{Duration, Instant};

use handfast::{Channel, Phase};

use crate::error::{Cause, Error};

/// How much is read at once; answers are shorter.
const CHUNK: usize = 4096;

/// A dialogue without I/O.
pub(crate) trait Dialogue {
    /// The phase in which it happens.
    const PHASE: Phase;
    /// Whether a reset is treated as an end.
    const RESET_IS_END: bool;

    fn outgoing(&self) -> &[u8];
    fn sent(&mut self, count: usize);
    fn is_done(&self) -> bool;
    /// How many bytes to read at most: what follows may belong to the tunnelled server.
    fn wanted(&self) -> usize;
    fn received(&mut self, bytes: &[u8]) -> Result<(), Error>;
    /// The peer has ended the connection: the error to report.
    fn received_end(&mut self) -> Error;

    /// The peer has refused: how long to wait for the rest of its reply.
    fn rest_within(&self) -> Option<Duration> {
        None
    }
}

/// Runs it to its end over a blocking channel, which has no time limits afterwards.
pub(crate) fn run<C: Channel, D: Dialogue>(
    mut dialogue: D,
    channel: &mut C,
    limit: Option<Duration>,
) -> Result<(), Error> {
    let deadline = limit.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit)));
    let left = || match deadline {
        None => Ok(None),
        Some((at, limit)) => match at.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(timed_out::<D>(limit)),
            left => Ok(Some(left)),
        },
    };
    let failed = |error: io::Error| match (error.kind(), limit) {
        (io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut, Some(limit)) => timed_out::<D>(limit),
        _ => Error::new(D::PHASE, error),
    };
    let mut chunk = [0; CHUNK];
    loop {
        while !dialogue.outgoing().is_empty() {
            channel.limit_write(left()?).map_err(failed)?;
            match channel.write(dialogue.outgoing()) {
                Ok(0) => return Err(failed(io::ErrorKind::WriteZero.into())),
                Ok(count) => dialogue.sent(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        channel.flush().map_err(failed)?;
        if dialogue.is_done() {
            channel.limit_read(None).map_err(failed)?;
            return channel.limit_write(None).map_err(failed);
        }
        let rest = dialogue.rest_within();
        let wait = match (left()?, rest) {
            (Some(left), Some(rest)) => Some(left.min(rest)),
            (left, rest) => left.or(rest),
        };
        channel.limit_read(wait).map_err(failed)?;
        let room = dialogue.wanted().min(CHUNK);
        match channel.read(chunk.get_mut(..room).unwrap_or_default()) {
            Ok(0) => return Err(dialogue.received_end()),
            Ok(count) => dialogue.received(chunk.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if rest.is_some() || is_end::<D>(&error) => {
                return Err(dialogue.received_end());
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

pub(crate) fn timed_out<D: Dialogue>(limit: Duration) -> Error {
    Error::new(D::PHASE, Cause::TimedOut { limit })
}

pub(crate) fn is_end<D: Dialogue>(error: &io::Error) -> bool {
    D::RESET_IS_END && error.kind() == io::ErrorKind::ConnectionReset
}
