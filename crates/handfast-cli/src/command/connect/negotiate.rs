//! From an open channel to a secured one: the plain-text dialogue, if any, and the handshake.

use std::io;
use std::time::{Duration, Instant};

use handfast::{Connection, Error, NetworkCause, Phase};
use handfast_dial::{ConnectError, StartTlsDialogue, StartTlsError};
use rustix::event::{PollFd, PollFlags};

use super::channel::{PolledChannel, Received, Sent};
use super::signals::Signals;
use crate::poll;

/// A deadline, and the limit that it results from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// `limit` from now.
    pub(super) fn after(limit: Duration) -> Self {
        Self {
            at: Instant::now() + limit,
            limit,
        }
    }

    fn passed(self, phase: Phase) -> Error {
        let limit = self.limit;
        Error::new(phase, NetworkCause::TimedOut { limit })
    }
}

/// The result of waiting.
enum Waited {
    Readable,
    Writable,
    Interrupted,
    /// The time limit passed.
    TimedOut,
}

/// Completes the dialogue; `false` if a signal arrived first.
///
/// If a server has not sent a byte when `silence` is over, or when it closes the connection, `speaks_tls` probes
/// whether it waits for TLS.
pub(super) fn begin_tls(
    channel: &PolledChannel,
    mut dialogue: StartTlsDialogue,
    deadline: Deadline,
    silence: Duration,
    signals: &Signals,
    speaks_tls: impl FnOnce() -> Option<StartTlsError>,
) -> Result<bool, ConnectError> {
    const PHASE: Phase = Phase::StartTls;
    let mut room = [0; 4096];
    let mut speaks_tls = Some(speaks_tls);
    let mut greeting = Some(Instant::now() + silence).filter(|until| *until < deadline.at);
    loop {
        if greeting.is_some() && !dialogue.is_unanswered() {
            greeting = None;
        }
        while !dialogue.outgoing().is_empty() {
            match channel.send(dialogue.outgoing()).map_err(failed(PHASE))? {
                Sent::Bytes(count) => dialogue.sent(count),
                Sent::Nothing => break,
                Sent::Gone => return Err(refused(dialogue.received_end())),
            }
        }
        if dialogue.is_done() {
            return Ok(true);
        }
        let sending = !dialogue.outgoing().is_empty();
        match wait(
            channel,
            sending,
            greeting.unwrap_or(deadline.at),
            PHASE,
            signals,
        )? {
            Waited::Interrupted => return Ok(false),
            Waited::Writable => {}
            Waited::TimedOut if greeting.take().is_some() => {
                if let Some(error) = speaks_tls.take().and_then(|ask| ask()) {
                    return Err(refused(error));
                }
            }
            Waited::TimedOut => return Err(deadline.passed(PHASE).into()),
            Waited::Readable => match channel.receive(&mut room).map_err(failed(PHASE))? {
                Received::Bytes(count) => {
                    dialogue
                        .received(room.get(..count).unwrap_or_default())
                        .map_err(refused)?;
                }
                Received::Nothing => {}
                Received::End | Received::Reset => {
                    let ended = dialogue.received_end();
                    let unanswered = dialogue.is_unanswered();
                    let ask = speaks_tls.take().filter(|_| unanswered);
                    return Err(refused(ask.and_then(|ask| ask()).unwrap_or(ended)));
                }
            },
        }
    }
}

/// Performs the handshake; `false` if a signal arrived first.
pub(super) fn handshake(
    channel: &PolledChannel,
    connection: &mut Connection,
    deadline: Deadline,
    signals: &Signals,
) -> Result<bool, Error> {
    const PHASE: Phase = Phase::Handshake;
    let mut gone = false;
    loop {
        while !gone && !connection.outgoing().is_empty() {
            match channel.send(connection.outgoing()).map_err(failed(PHASE))? {
                Sent::Bytes(count) => connection.sent(count),
                Sent::Nothing => break,
                // Data that it sent before closing may show the reason.
                Sent::Gone => gone = true,
            }
        }
        let sending = !gone && !connection.outgoing().is_empty();
        if !connection.is_handshaking() && !sending {
            return Ok(true);
        }
        match wait(channel, sending, deadline.at, PHASE, signals)? {
            Waited::Interrupted => return Ok(false),
            Waited::Writable => {}
            Waited::TimedOut => return Err(deadline.passed(PHASE)),
            Waited::Readable => {
                match channel
                    .receive(connection.receive_room())
                    .map_err(failed(PHASE))?
                {
                    Received::Bytes(count) => connection.received(count),
                    Received::Nothing => continue,
                    Received::End => connection.received_end(),
                    Received::Reset => connection.received_reset(),
                }
                if let Err(error) = connection.process() {
                    // Send the alert, if that does not block.
                    let _ = channel.send(connection.outgoing());
                    return Err(error);
                }
            }
        }
    }
}

fn refused(error: StartTlsError) -> ConnectError {
    handfast_dial::Error::from(error).into()
}

fn wait(
    channel: &PolledChannel,
    sending: bool,
    until: Instant,
    phase: Phase,
    signals: &Signals,
) -> Result<Waited, Error> {
    let mut fds = vec![signals.poll_fd()];
    if let Some(reader) = channel.reader() {
        fds.push(PollFd::from_borrowed_fd(reader, PollFlags::IN));
    }
    if let Some(writer) = channel.writer().filter(|_| sending) {
        fds.push(PollFd::from_borrowed_fd(writer, PollFlags::OUT));
    }
    if !poll::wait(&mut fds, Some(until)).map_err(failed(phase))? {
        return Ok(Waited::TimedOut);
    }
    let mut ready = fds.iter().map(poll::is_ready);
    Ok(match (ready.next(), ready.next()) {
        (Some(true), _) => Waited::Interrupted,
        (_, Some(true)) => Waited::Readable,
        _ => Waited::Writable,
    })
}

pub(super) fn failed(phase: Phase) -> impl Fn(io::Error) -> Error {
    move |error| Error::new(phase, NetworkCause::from(error))
}
