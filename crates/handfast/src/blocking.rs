//! TLS over a blocking channel: connect, accept, read, write, close in two phases.
//!
//! The I/O and its limits; the protocol is in `connection.rs`.

mod split;
mod transfer;

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::split::{ReadHalf, WriteHalf};
use self::transfer::{Armed, Arrival, Deadline, Sent, io_error, unless_accepted};
use crate::alert::Alert;
use crate::channel::Channel;
use crate::close::{CloseOutcome, ClosePolicy, Ending, LingerLimits, Lingering};
use crate::connection::{Connection, ReadOutcome};
use crate::context::{ClientContext, ServerContext, Timeouts};
use crate::error::{Error, NetworkCause};
use crate::exporter::ExportError;
use crate::phase::Phase;
use crate::report::{Report, Ticket, Traffic};

/// The limit of [`Stream::read_to_ending`] in bytes, for peers that send without end.
/// Larger transfers must be read in parts.
const READ_TO_ENDING_MAX: usize = 256 * 1024 * 1024;

impl ClientContext {
    /// Completes the handshake as the client over any channel, and verifies that the peer is `server_name`.
    ///
    /// # Errors
    /// The failure, with the channel and what the peer had sent.
    pub fn secure<C: Channel>(
        &self,
        server_name: &str,
        channel: C,
    ) -> Result<Stream<C>, HandshakeFailure<C>> {
        match self.connection(server_name) {
            Ok(connection) => Stream::handshake(connection, channel, self.timeouts()),
            Err(error) => Err(HandshakeFailure::before(error, channel)),
        }
    }
}

impl ServerContext {
    /// Completes the handshake as the server over any channel: a TCP stream, a Unix socket, pipes, a terminal.
    ///
    /// # Errors
    /// The failure, with the channel and what the peer had sent.
    pub fn accept<C: Channel>(&self, channel: C) -> Result<Stream<C>, HandshakeFailure<C>> {
        match self.connection() {
            Ok(connection) => Stream::handshake(connection, channel, self.timeouts()),
            Err(error) => Err(HandshakeFailure::before(error, channel)),
        }
    }
}

/// A failed handshake, with its channel.
#[derive(Debug)]
#[non_exhaustive]
pub struct HandshakeFailure<C> {
    /// Why it failed.
    pub error: Error,
    /// The channel, after the alert was sent. If the peer does not speak TLS, it can be
    /// answered in the peer's own protocol.
    pub channel: C,
    /// What the peer sent if it was not TLS, up to 8 KiB (256 bytes for a client); otherwise empty.
    pub received: Vec<u8>,
    /// The failed connection; `None` if there was none.
    pub(crate) connection: Option<Box<Connection>>,
}

impl<C> HandshakeFailure<C> {
    /// No connection was made.
    pub(crate) fn before(error: Error, channel: C) -> Self {
        Self {
            error,
            channel,
            received: Vec::new(),
            connection: None,
        }
    }

    pub(crate) fn of(error: Error, channel: C, connection: Connection) -> Self {
        let received = connection.received_instead();
        let error = connection.with_evidence(error);
        Self {
            error,
            channel,
            received,
            connection: Some(Box::new(connection)),
        }
    }

    /// The alert to the peer, if any.
    pub fn alert_sent(&self) -> Option<Alert> {
        self.connection.as_ref()?.alert_sent()
    }

    /// The fatal alert from the peer, if any.
    pub fn alert_received(&self) -> Option<Alert> {
        self.connection.as_ref()?.alert_received()
    }

    /// How many bytes the peer had sent.
    pub fn bytes_received(&self) -> u64 {
        let connection = self.connection.as_ref();
        connection.map_or(0, |connection| connection.traffic().bytes_received)
    }
}

impl<C: Channel> HandshakeFailure<C> {
    /// Closes the channel so that the peer can read the alert: sends the remaining bytes, then
    /// FIN, then reads and discards within these limits.
    ///
    /// Without it, unread bytes of the peer make the operating system send a reset,
    /// which can destroy the alert.
    pub fn close(&mut self, limits: LingerLimits) -> CloseOutcome {
        let Some(connection) = &mut self.connection else {
            return CloseOutcome::PeerGone;
        };
        let mut armed = Armed::default();
        close_failed(&mut self.channel, connection, &mut armed, Some(limits))
    }
}

impl<C> std::fmt::Display for HandshakeFailure<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl<C: std::fmt::Debug> std::error::Error for HandshakeFailure<C> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl<C> From<HandshakeFailure<C>> for Error {
    fn from(failure: HandshakeFailure<C>) -> Self {
        failure.error
    }
}

impl<C> From<HandshakeFailure<C>> for io::Error {
    fn from(failure: HandshakeFailure<C>) -> Self {
        failure.error.into()
    }
}

/// A TLS stream over a blocking channel.
///
/// Writing is buffered: small writes share records. Reading, [`flush`](io::Write::flush) and
/// [`close`](Stream::close) send what was held back. Reading returns `Ok(0)` only after the peer's
/// `close_notify`; a premature end is an error of kind `UnexpectedEof`, a reset one of kind
/// `ConnectionReset`, both after all data that had arrived, both with an [`Error`] inside
/// ([`Error::from_io`]).
///
/// Dropping a stream closes the channel without `close_notify`: an aborted exchange must
/// look aborted to the peer. End it with `close`.
///
/// Over a non-blocking channel, `WouldBlock` passes through and the call can be repeated; only the
/// handshake cannot, and fails with it: use a [`Connection`] instead.
#[derive(Debug)]
pub struct Stream<C> {
    channel: C,
    connection: Connection,
    timeouts: Timeouts,
    report: Arc<Report>,
    armed: Armed,
}

impl<C: Channel> Stream<C> {
    /// The negotiated parameters, and the peer. Shared, so that keeping it costs no copy.
    pub fn report(&self) -> &Arc<Report> {
        &self.report
    }

    /// How the peer's direction ended, once everything before the end was read.
    pub fn ending(&self) -> Option<Ending> {
        self.connection.ending()
    }

    /// The tickets that the server has sent so far: see [`Connection::tickets`].
    pub fn tickets(&self) -> &[Ticket] {
        self.connection.tickets()
    }

    /// Bytes and records so far.
    pub fn traffic(&self) -> Traffic {
        self.connection.traffic()
    }

    /// Keying material for a protocol above: see [`Connection::export_keying_material`].
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn export_keying_material(
        &self,
        label: &[u8],
        context: Option<&[u8]>,
        output: &mut [u8],
    ) -> Result<(), ExportError> {
        self.connection
            .export_keying_material(label, context, output)
    }

    /// The channel binding `tls-exporter` (RFC 9266): see [`Connection::channel_binding`].
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn channel_binding(&self) -> Result<[u8; 32], ExportError> {
        self.connection.channel_binding()
    }

    /// The channel underneath.
    pub fn channel(&self) -> &C {
        &self.channel
    }

    /// The channel underneath. Reading or writing it directly breaks the TLS stream.
    pub fn channel_mut(&mut self) -> &mut C {
        &mut self.channel
    }

    /// The connection without its channel, for a caller that continues without blocking.
    pub fn into_parts(self) -> (C, Connection) {
        (self.channel, self.connection)
    }

    /// Changes the time limits of later operations.
    pub fn set_timeouts(&mut self, timeouts: Timeouts) {
        self.timeouts = timeouts;
    }

    /// Reads once; the peer's end of any kind is a value.
    ///
    /// # Errors
    /// A protocol error, an alert, a time-out; never an end.
    pub fn read_some(&mut self, buffer: &mut [u8]) -> Result<ReadOutcome, Error> {
        self.read_by(&mut |connection| connection.read(buffer))
    }

    fn read_by(
        &mut self,
        read: &mut dyn FnMut(&mut Connection) -> Result<ReadOutcome, Error>,
    ) -> Result<ReadOutcome, Error> {
        let mut deadline = None;
        loop {
            match read(&mut self.connection) {
                Ok(ReadOutcome::WouldBlock) => {}
                Ok(found) => return Ok(found),
                Err(error) => {
                    self.send_alert();
                    return Err(error);
                }
            }
            self.connection.flush()?;
            self.transmit(Phase::Request)?;
            // Bytes without plaintext are no progress: a peer could send them for ever.
            let limit = self.timeouts.read;
            let deadline = *deadline.get_or_insert_with(|| Deadline::total(limit));
            if !self.io().receive(deadline, Phase::Response)? {
                return Ok(ReadOutcome::WouldBlock);
            }
        }
    }

    /// Reads everything up to the peer's end, and returns how it ended. Only
    /// [`Ending::CloseNotify`] proves that this was everything the peer sent.
    ///
    /// After an error nothing is lost: received data can still be read. Over a non-blocking channel, that
    /// includes `WouldBlock`, after which it can be called again.
    ///
    /// # Errors
    /// A protocol error, an alert, a time-out; or more than 256 MiB.
    pub fn read_to_ending(&mut self) -> Result<(Vec<u8>, Ending), Error> {
        let mut bytes = Vec::new();
        let error = loop {
            let limit = (READ_TO_ENDING_MAX + 1).saturating_sub(bytes.len());
            let read = self.read_by(&mut |connection| {
                connection.read_with(limit, &mut |piece| bytes.extend_from_slice(piece))
            });
            match read {
                Ok(ReadOutcome::Data(_)) => {}
                Ok(ReadOutcome::End(ending)) => return Ok((bytes, ending)),
                Ok(ReadOutcome::WouldBlock) => {
                    break io_error(Phase::Response, io::ErrorKind::WouldBlock.into());
                }
                Err(error) => break error,
            }
            if bytes.len() > READ_TO_ENDING_MAX {
                break too_much(READ_TO_ENDING_MAX);
            }
        };
        if !bytes.is_empty() {
            self.connection.unread(&bytes);
        }
        Err(error)
    }

    /// Ends our direction (flush, `close_notify`, FIN); reading continues: a half-closed stream.
    ///
    /// # Errors
    /// As writing.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.connection.send_close_notify()?;
        self.transmit(Phase::Close)?;
        half_close(&mut self.channel)
    }

    /// Closes in two phases: ours as [`finish`](Self::finish), then waits for the peer's end as
    /// the policy requires, discarding further data. Never fails: the outcome is returned.
    ///
    /// A failed connection cannot be closed in order. If there is an alert, it is sent in place of
    /// `close_notify`, and the peer has the same time to read it.
    pub fn close(&mut self, policy: ClosePolicy) -> CloseOutcome {
        if self.connection.has_failed() {
            let limits = policy.limits();
            return close_failed(
                &mut self.channel,
                &mut self.connection,
                &mut self.armed,
                limits,
            );
        }
        if self.finish().is_err() {
            return CloseOutcome::PeerGone;
        }
        let Some(mut lingering) = Lingering::new(policy) else {
            return CloseOutcome::after(self.connection.ending());
        };
        let began = Instant::now();
        let mut discarded = vec![0; 16 * 1024];
        while let Some(limit) = lingering.next_limit() {
            let before = self.connection.traffic().bytes_received;
            match self.connection.read(&mut discarded) {
                Ok(ReadOutcome::End(ending)) => return CloseOutcome::after(Some(ending)),
                Ok(ReadOutcome::Data(_)) => continue,
                Ok(ReadOutcome::WouldBlock) => {}
                // Further data cannot be decrypted; only FIN ends the connection.
                Err(_) if lingering.insists() => return CloseOutcome::SentOnly,
                Err(_) => return discard_raw(&mut self.channel, lingering, began),
            }
            match self.receive(Some(limit), Phase::Close) {
                Ok(true) => {}
                Ok(false) | Err(_) => return CloseOutcome::SentOnly,
            }
            let received = self.connection.traffic().bytes_received - before;
            lingering.progressed(began.elapsed(), received);
        }
        CloseOutcome::SentOnly
    }

    fn handshake(
        mut connection: Connection,
        mut channel: C,
        timeouts: Timeouts,
    ) -> Result<Self, HandshakeFailure<C>> {
        let deadline = Deadline::total(timeouts.handshake);
        let mut armed = Armed::default();
        let result = loop {
            let mut io = Io {
                channel: &mut channel,
                connection: &mut connection,
                armed: &mut armed,
            };
            let step = io.transmit(deadline, Phase::Handshake).and_then(|()| {
                if io.connection.is_handshaking() {
                    if !io.receive(deadline, Phase::Handshake)? {
                        // Non-blocking: retrying would be a busy loop.
                        let error = io::ErrorKind::WouldBlock.into();
                        return Err(io_error(Phase::Handshake, error));
                    }
                    io.connection.process()
                } else {
                    Ok(())
                }
            });
            if let Err(error) = step {
                // Send the alert; the result is the same whether or not it arrives.
                let _ = io.transmit(deadline, Phase::Handshake);
                break Err(error);
            }
            if !connection.is_handshaking() && connection.outgoing().is_empty() {
                break Ok(());
            }
        };
        match (result, connection.report().cloned()) {
            (Ok(()), Some(report)) => Ok(Self {
                channel,
                connection,
                timeouts,
                report,
                armed,
            }),
            (Ok(()), None) => unreachable!("a handshake that is done has a report"),
            (Err(error), _) => Err(HandshakeFailure::of(error, channel, connection)),
        }
    }

    fn io(&mut self) -> Io<'_, C> {
        Io {
            channel: &mut self.channel,
            connection: &mut self.connection,
            armed: &mut self.armed,
        }
    }

    fn transmit(&mut self, phase: Phase) -> Result<(), Error> {
        let deadline = Deadline::without_progress(self.timeouts.write);
        self.io().transmit(deadline, phase)
    }

    /// One read of the channel; `false` if a non-blocking channel has no data.
    fn receive(&mut self, limit: Option<Duration>, phase: Phase) -> Result<bool, Error> {
        self.io().receive(Deadline::total(limit), phase)
    }

    fn send_alert(&mut self) {
        let _ = self.transmit(Phase::Response);
    }
}

/// Ends our direction of a channel, if it is open.
fn half_close<C: Channel>(channel: &mut C) -> Result<(), Error> {
    match channel.half_close() {
        // The peer has closed both directions already.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        result => result.map_err(|error| Error::new(Phase::Close, NetworkCause::from(error))),
    }
}

/// The error of `read_to_ending` for a peer that exceeds the limit.
pub(crate) fn too_much(bytes_max: usize) -> Error {
    let text = format!("more than {bytes_max} bytes at once");
    let error = io::Error::new(io::ErrorKind::OutOfMemory, text);
    Error::new(Phase::Response, NetworkCause::Io(error))
}

/// Sends the alert of a failed connection, half-closes, and discards further data.
fn close_failed<C: Channel>(
    channel: &mut C,
    connection: &mut Connection,
    armed: &mut Armed,
    limits: Option<LingerLimits>,
) -> CloseOutcome {
    if connection.alert_sent().is_none() {
        return CloseOutcome::PeerGone;
    }
    let mut io = Io {
        channel,
        connection,
        armed,
    };
    let limit = limits.unwrap_or(LingerLimits::AFTER_REFUSAL).silence;
    let sent = io.transmit(Deadline::total(Some(limit)), Phase::Close);
    if sent.is_err() || channel.half_close().is_err() {
        return CloseOutcome::PeerGone;
    }
    let outcome = match limits.map(ClosePolicy::Linger).and_then(Lingering::new) {
        Some(lingering) => discard_raw(channel, lingering, Instant::now()),
        None => CloseOutcome::SentOnly,
    };
    match outcome {
        CloseOutcome::PeerGone => CloseOutcome::PeerGone,
        _ => CloseOutcome::AlertSent,
    }
}

fn discard_raw<C: Channel>(
    channel: &mut C,
    mut lingering: Lingering,
    began: Instant,
) -> CloseOutcome {
    let mut discarded = [0; 16 * 1024];
    while let Some(limit) = lingering.next_limit() {
        if channel.limit_read(Some(limit)).is_err() {
            break;
        }
        match channel.read(&mut discarded) {
            Ok(0) => break,
            Ok(count) => lingering.progressed(began.elapsed(), count as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if NetworkCause::is_reset(&error) => return CloseOutcome::PeerGone,
            Err(_) => break,
        }
    }
    CloseOutcome::SentOnly
}

/// The channel and the connection while bytes move between them.
struct Io<'s, C> {
    channel: &'s mut C,
    connection: &'s mut Connection,
    armed: &'s mut Armed,
}

impl<C: Channel> Io<'_, C> {
    fn transmit(&mut self, mut deadline: Deadline, phase: Phase) -> Result<(), Error> {
        while !self.connection.outgoing().is_empty() {
            let outgoing = self.connection.outgoing();
            match self
                .armed
                .send(self.channel, outgoing, &mut deadline, phase)?
            {
                Sent::Bytes(count) => self.connection.sent(count),
                Sent::Reset => return Err(self.last_words(phase)),
            }
        }
        self.channel.flush().map_err(|error| io_error(phase, error))
    }

    /// The connection is lost; the data before that may contain an alert with the reason. Other data, such as
    /// an early answer, can still be read afterwards.
    fn last_words(&mut self, phase: Phase) -> Error {
        let _ = self.channel.limit_read(Some(Duration::from_millis(1)));
        self.armed.forget_read();
        for _ in 0..64 {
            match self.channel.read(self.connection.receive_room()) {
                Ok(count) if count > 0 => self.connection.received(count),
                _ => break,
            }
            if let Err(error) = self.connection.look_ahead() {
                return error;
            }
        }
        self.connection.received_reset();
        if self.connection.is_handshaking()
            && let Err(error) = self.connection.process()
        {
            return error;
        }
        Error::new(phase, NetworkCause::Reset)
    }

    fn receive(&mut self, deadline: Deadline, phase: Phase) -> Result<bool, Error> {
        let room = self.connection.receive_room();
        match self.armed.receive(self.channel, room, deadline, phase)? {
            Arrival::Bytes(count) => self.connection.received(count),
            Arrival::End => self.connection.received_end(),
            Arrival::Reset => self.connection.received_reset(),
            Arrival::Nothing => return Ok(false),
        }
        Ok(true)
    }
}

impl<C: Channel> io::Read for Stream<C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes_received = self.connection.traffic().plaintext_received;
        match self.read_some(buffer)? {
            ReadOutcome::Data(count) => Ok(count),
            ReadOutcome::End(ending) => ending_as_io(ending, bytes_received),
            ReadOutcome::WouldBlock => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// The result of `Read` and `AsyncRead` for an end: only `close_notify` is `Ok(0)`.
pub(crate) fn ending_as_io(ending: Ending, bytes_received: u64) -> io::Result<usize> {
    match ending {
        Ending::CloseNotify => Ok(0),
        Ending::Premature => {
            let cause = crate::error::PeerCause::PrematureEnd { bytes_received };
            Err(Error::new(Phase::Response, cause).into())
        }
        Ending::Reset => Err(Error::new(Phase::Response, NetworkCause::Reset).into()),
    }
}

impl<C: Channel> io::Write for Stream<C> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if slices.iter().all(|slice| slice.is_empty()) {
            return Ok(0);
        }
        loop {
            let count = self.connection.write(slices)?;
            // Full records are sent immediately; the rest waits for more data.
            if count == 0 || !self.connection.outgoing().is_empty() {
                unless_accepted(count, self.transmit(Phase::Request))?;
            }
            if count > 0 {
                return Ok(count);
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.connection.flush()?;
        Ok(self.transmit(Phase::Request)?)
    }
}
