//! The state machine of one TLS connection: bytes in, bytes out, no I/O.
//!
//! rustls does the handshake (`tls.rs` has its types); then `records.rs` uses the keys. This module has the buffers: received and not decrypted,
//! decrypted and not read, written and not yet a record, a record and not yet
//! sent. Channels, time limits and waiting are in `blocking.rs` and `async_stream.rs`, or in a caller
//! that multiplexes connections itself.

mod handshake;
mod incoming;
mod pieces;
mod protocol;
mod records;
mod step;

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

use rustls::InvalidMessage;

use self::pieces::Pieces;
use self::protocol::Tls;
use self::step::{Job, Next, Place, Step, Target};
use crate::alert::Alert;
use crate::buffers::Window;
use crate::callback_data::{self, Evidence};
use crate::classify;
use crate::close::Ending;
use crate::context::{Clock, ResumedServer, Settings};
use crate::error::{Cause, Error, LocalCause, PeerCause};
use crate::exporter::{ExportError, Exporter};
use crate::facts::Facts;
use crate::offer::ClientOffer;
use crate::phase::Phase;
use crate::record::{RECORD_MAX, Sizer};
use crate::report::{Report, Ticket, Traffic};
use crate::side::Side;
#[cfg(any(test, fuzzing))]
use crate::tls::Established;
use crate::tls::{Handshake, ServerConfig};
use crate::verify::ClientVerifier;
#[cfg(feature = "tokio")]
use crate::version::TlsVersion;

/// The limit on ciphertext that waits for the channel; then [`Connection::write`] accepts no more. With the record that
/// exceeds it, this is one buffer, and one system call.
const OUTGOING_MAX: usize = crate::buffers::BUFFER_SIZE / 8 * 7;

/// The room for one read of the channel: at least a record; a buffer, so that several records arrive
/// with one system call.
const INCOMING_ROOM_MIN: usize = 16 * 1024 + 5 + 256;

/// The limit on buffered handshake bytes. TLS
/// messages have at most 64 KiB; the rest is for record headers.
const HANDSHAKE_BYTES_MAX: usize = 256 * 1024;

/// The first bytes of a peer that does not speak TLS, kept as evidence.
const FIRST_BYTES_MAX: usize = 256;

/// How many of a client's first bytes a server keeps during the handshake, to report what was
/// offered if it fails: enough for every hello except those with several large tickets.
const HELLO_BYTES_MAX: usize = 8 * 1024;

/// The result of [`Connection::read`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOutcome {
    /// The number of bytes of plaintext, at least one unless the buffer was empty.
    Data(usize),
    /// No data: more input from the peer is needed.
    WouldBlock,
    /// The peer's direction has ended like this. All data before it has been read.
    End(Ending),
}

/// The result of one read of a channel (`Connection::receive_from`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// The number of bytes; 0 at the end of the channel.
    pub count: usize,
    /// They filled all the room: the channel may have more.
    pub is_full: bool,
}

/// One TLS connection without I/O.
///
/// Getters may be called at any time. The others are called in a loop:
///
/// 1. send [`outgoing`](Self::outgoing), and report it by [`sent`](Self::sent);
/// 2. read from the channel into [`receive_room`](Self::receive_room), and report it by
///    [`received`](Self::received), [`received_end`](Self::received_end) or
///    [`received_reset`](Self::received_reset); then call [`process`](Self::process);
/// 3. once [`is_handshaking`](Self::is_handshaking) is false, [`read`](Self::read),
///    [`write`](Self::write), [`flush`](Self::flush), [`send_close_notify`](Self::send_close_notify).
///
/// After an error, `outgoing` has the alert for the peer: send it, then
/// drop the connection. Dropping sends nothing: an aborted exchange must look aborted.
///
/// ```
/// # fn main() -> Result<(), handfast::Error> {
/// use handfast::ClientContext;
/// let client = ClientContext::builder().build()?;
/// let connection = client.connection("example.org")?;
/// assert!(connection.is_handshaking());
/// assert!(!connection.outgoing().is_empty()); // the ClientHello
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Connection {
    tls: Tls,
    incoming: Window,
    receive_max: usize,
    /// During the handshake: how much of `incoming` is passed to rustls, in whole records.
    shown: usize,
    /// Bytes of rejected early data so far.
    skipped: usize,
    plaintext: Window,
    /// Plaintext that is not a full record yet.
    staged: Window,
    outgoing: Window,
    sizer: Sizer,
    write_buffer_size: usize,
    /// How the channel ended; valid once all of `incoming` is processed.
    channel_ended: Option<Ending>,
    reset_noted: bool,
    ending: Option<Ending>,
    close_notify_sent: bool,
    failure: Option<Error>,
    alert_sent: Option<Alert>,
    report: Option<Arc<Report>>,
    exporter: Option<Box<Exporter>>,
    facts: Facts,
    traffic: Traffic,
    started: Instant,
    client_verifier: Option<(Arc<ClientVerifier>, Clock)>,
    resumed_server: Option<Arc<ResumedServer>>,
    /// A server's alternative configuration, for clients that prefer it.
    other: Option<ServerConfig>,
}

// Getters.
impl Connection {
    /// Whether the handshake is not complete.
    pub fn is_handshaking(&self) -> bool {
        self.report.is_none()
    }

    /// The negotiated parameters, once the handshake is complete. Shared: keeping it costs only a clone of the
    /// `Arc`.
    pub fn report(&self) -> Option<&Arc<Report>> {
        self.report.as_ref()
    }

    /// How the peer's direction ended, once all data before the end has been read.
    pub fn ending(&self) -> Option<Ending> {
        self.ending.filter(|_| self.plaintext.is_empty())
    }

    /// The tickets that the server has sent so far, at most 16: for clients, kept by contexts
    /// that [`note_tickets`](crate::ClientContextBuilder::note_tickets). In TLS 1.3 they are sent after the
    /// handshake, and are received by reading.
    pub fn tickets(&self) -> &[Ticket] {
        &self.facts.tickets
    }

    /// Bytes and records so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Whether our `close_notify` is in `outgoing` or sent.
    pub fn close_notify_sent(&self) -> bool {
        self.close_notify_sent
    }

    /// Is there something to be sent, in [`outgoing`](Self::outgoing)? What was written and not
    /// [flushed](Self::flush) does not count. With [`wants_read`](Self::wants_read), what an event loop registers for.
    ///
    /// ```
    /// # fn main() -> Result<(), handfast::Error> {
    /// let mut client = handfast::ClientContext::builder().build()?.connection("example.org")?;
    /// assert!(client.wants_write(), "the ClientHello");
    /// client.sent(client.outgoing().len());
    /// assert!(client.wants_read() && !client.wants_write(), "the server's turn");
    /// # Ok(())
    /// # }
    /// ```
    pub fn wants_write(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Is it of use to receive more? Not after the peer's end or a failure, nor while there is plaintext to be read
    /// ([`has_plaintext`](Self::has_plaintext)): a caller that reads slowly holds the peer back by it.
    pub fn wants_read(&self) -> bool {
        self.failure.is_none()
            && self.ending.is_none()
            && self.channel_ended.is_none()
            && !self.has_plaintext()
    }

    /// Fills `output` with keying material that only the two peers can derive (RFC 8446, section 7.5; in TLS
    /// 1.2, RFC 5705): for a protocol above that needs keys of its own. At most 255 hashes of the cipher suite, 8,160 bytes
    /// by SHA-256.
    ///
    /// Labels begin with `EXPORTER` when they are registered, with `EXPERIMENTAL` when they are not. In TLS 1.2 no context
    /// and an empty one give different material, in TLS 1.3 the same. Without an
    /// [extended master secret](Self::channel_binding), material of TLS 1.2 may not be this connection's alone.
    ///
    /// # Errors
    /// [`ExportError`]: the handshake is not finished, or the label, the context or the length cannot be.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let socket = std::net::TcpStream::connect("example.org:443")?;
    /// # let stream = handfast::ClientContext::builder().build()?.secure("example.org", socket)?;
    /// let mut key = [0; 32];
    /// stream.export_keying_material(b"EXPERIMENTAL my protocol", None, &mut key)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn export_keying_material(
        &self,
        label: &[u8],
        context: Option<&[u8]>,
        output: &mut [u8],
    ) -> Result<(), ExportError> {
        self.exporter()?.export(label, context, output)
    }

    /// The channel binding `tls-exporter` (RFC 9266): the same 32 bytes at both ends of this connection, and at no other.
    /// An authentication above TLS that covers them (as SCRAM's `-PLUS` mechanisms do) cannot be relayed to another
    /// connection.
    ///
    /// # Errors
    /// [`ExportError::HandshakeNotFinished`]; or [`ExportError::NotUnique`] for TLS 1.2 without the extended master secret
    /// (RFC 7627), which a peer from before 2015 may not have.
    pub fn channel_binding(&self) -> Result<[u8; 32], ExportError> {
        self.exporter()?.channel_binding()
    }

    fn exporter(&self) -> Result<&Exporter, ExportError> {
        self.exporter
            .as_deref()
            .filter(|_| self.report.is_some())
            .ok_or(ExportError::HandshakeNotFinished)
    }

    /// Ciphertext to be sent to the peer.
    pub fn outgoing(&self) -> &[u8] {
        self.outgoing.filled()
    }

    /// Whether data can be read without more input. A whole record counts, although it may contain
    /// no data.
    pub fn has_plaintext(&self) -> bool {
        let has_record = matches!(self.tls, Tls::Records(_))
            && self.ending.is_none()
            && !matches!(records::first_record(self.incoming.filled()), Ok(None));
        !self.plaintext.is_empty() || has_record
    }

    /// Memory held in buffers, in bytes; nearly none while idle.
    pub fn memory_held(&self) -> usize {
        let message = match &self.tls {
            Tls::Records(records) => records.memory_held(),
            _ => 0,
        };
        let buffers = [
            &self.incoming,
            &self.plaintext,
            &self.staged,
            &self.outgoing,
        ];
        buffers.iter().map(|buffer| buffer.held()).sum::<usize>() + message
    }

    /// The part of it that is for what was written and not yet sent.
    pub fn unsent_memory_held(&self) -> usize {
        self.staged.held() + self.outgoing.held()
    }

    /// What the peer sent, if it does not speak TLS; otherwise empty.
    pub fn first_bytes(&self) -> &[u8] {
        let kept = self.facts.first_bytes.as_slice();
        kept.get(..FIRST_BYTES_MAX).unwrap_or(kept)
    }

    /// For a server: what the client offered, as far as it has arrived. `None` before a hello has
    /// begun, once the handshake is complete, and for a client.
    pub fn client_offer(&self) -> Option<ClientOffer> {
        match self.facts.side {
            Some(Side::Server) => ClientOffer::parse(&self.facts.first_bytes),
            _ => None,
        }
    }

    /// The fatal alert about the failure of the connection, once it is in
    /// [`outgoing`](Self::outgoing).
    pub fn alert_sent(&self) -> Option<Alert> {
        self.alert_sent
    }

    /// The fatal alert by which the peer ended the connection.
    pub fn alert_received(&self) -> Option<Alert> {
        self.facts.alert_received
    }
}

// What goes to the channel.
impl Connection {
    /// The first `count` bytes of [`outgoing`](Self::outgoing) have been sent.
    pub fn sent(&mut self, count: usize) {
        self.traffic.bytes_sent += count as u64;
        self.outgoing.consume(count);
    }

    /// The same while a reader waits and a writer may continue: written data stays in its buffer.
    #[cfg(feature = "tokio")]
    pub(crate) fn rest_reading(&mut self) {
        self.incoming.rest();
        self.plaintext.rest();
        self.staged.rest_if_empty();
        self.outgoing.rest_if_empty();
    }

    /// Releases what is not needed while idle. The streams call it before they wait.
    pub fn rest(&mut self) {
        self.incoming.rest();
        self.plaintext.rest();
        self.staged.rest();
        self.outgoing.rest();
    }
}

// Commands.
impl Connection {
    /// Reads plaintext.
    ///
    /// A small buffer costs no more than a large one: the rest of a record is kept.
    ///
    /// # Errors
    /// A protocol error or a fatal alert of the peer. An end of any kind is not an error here:
    /// it is [`ReadOutcome::End`].
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<ReadOutcome, Error> {
        if !self.plaintext.is_empty() || buffer.is_empty() {
            let count = self.plaintext.take_into(buffer);
            return Ok(ReadOutcome::Data(count));
        }
        if let Some(ending) = self.ending {
            return Ok(ReadOutcome::End(ending));
        }
        self.read_to(&mut Target::of(buffer))
    }

    /// Reads plaintext without a buffer: passes `take` the received data, record by record, at most
    /// `limit` bytes of it. Avoids the copy that [`read`](Self::read) makes.
    ///
    /// # Errors
    /// As `read`, with which it can be mixed.
    pub fn read_with(
        &mut self,
        limit: usize,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<ReadOutcome, Error> {
        if !self.plaintext.is_empty() || limit == 0 {
            let filled = self.plaintext.filled();
            let piece = filled.get(..limit).unwrap_or(filled);
            let count = piece.len();
            if count > 0 {
                take(piece);
            }
            self.plaintext.consume(count);
            return Ok(ReadOutcome::Data(count));
        }
        if let Some(ending) = self.ending {
            return Ok(ReadOutcome::End(ending));
        }
        self.read_to(&mut Target {
            place: Place::Taker(take),
            room: limit,
            filled: 0,
        })
    }

    /// Answers a key update, without sending what [`write`](Self::write) kept.
    pub(crate) fn answer_key_update(&mut self) -> Result<(), Error> {
        if self.failure.is_none()
            && let Tls::Records(records) = &mut self.tls
            && let Err(error) = records.answer_key_update(&mut self.outgoing)
        {
            self.failed(0, error)?;
        }
        Ok(())
    }

    /// Puts back plaintext, in front of the unread data.
    pub(crate) fn unread(&mut self, bytes: &[u8]) {
        let rest = std::mem::take(&mut self.plaintext);
        self.plaintext.extend(bytes);
        self.plaintext.extend(rest.filled());
    }

    /// Processes everything that was received without reading it: plaintext is kept.
    ///
    /// # Errors
    /// As [`read`](Self::read); during the handshake as [`process`](Self::process).
    pub(crate) fn look_ahead(&mut self) -> Result<(), Error> {
        if self.report.is_none() {
            return self.process();
        }
        self.check()?;
        if self.ending.is_none() {
            self.advance(&mut Target::none(), None)?;
        }
        Ok(())
    }

    /// Accepts plaintext to be sent, and returns how many bytes of the concatenated slices it accepted.
    ///
    /// Zero means that some of [`outgoing`](Self::outgoing) must be sent first. Less than
    /// a record is kept until the next write, or [`flush`](Self::flush):
    /// small writes are sent in few, large records, such as head and body in one.
    ///
    /// # Errors
    /// The connection has failed, is still in its handshake, or was closed by us; or its key has reached its
    /// limit, and TLS 1.2 has no key update: reading and closing are still possible.
    pub fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, Error> {
        self.check_writable()?;
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        if offered == 0 || self.outgoing.len() >= OUTGOING_MAX {
            return Ok(0);
        }
        let now = self.sizer.now();
        let mut pieces = Pieces::new(slices);
        while pieces.left() > 0 && self.outgoing.len() < OUTGOING_MAX {
            let record = self
                .sizer
                .next_record(now, self.staged.len() + pieces.left());
            let buffered = record.min(self.write_buffer_size);
            if self.staged.len() + pieces.left() < buffered {
                pieces.append_to(&mut self.staged, usize::MAX);
            } else if self.staged.is_empty()
                && let Some(direct) = pieces.contiguous(record)
            {
                self.encrypt(now, direct)?;
                pieces.advance(direct.len());
            } else {
                let missing = record.saturating_sub(self.staged.len());
                pieces.append_to(&mut self.staged, missing);
                self.encrypt_staged(now)?;
            }
        }
        Ok(offered - pieces.left())
    }

    /// Makes a record of the data that [`write`](Self::write) kept.
    ///
    /// # Errors
    /// As `write`.
    pub fn flush(&mut self) -> Result<(), Error> {
        if !self.staged.is_empty() {
            self.check_writable()?;
            self.encrypt_staged(self.sizer.now())?;
        }
        self.answer_key_update()
    }

    /// Ends our direction: flushes, then puts `close_notify` into [`outgoing`](Self::outgoing).
    /// Reading continues. A second call does nothing.
    ///
    /// # Errors
    /// As `write`.
    pub fn send_close_notify(&mut self) -> Result<(), Error> {
        if self.close_notify_sent {
            return Ok(());
        }
        self.check()?;
        if self.report.is_none() {
            // There are no keys, so there is no close in order: the caller must drop it.
            return Ok(());
        }
        self.flush()?;
        self.advance(&mut Target::none(), Some(Job::CloseNotify))?;
        self.close_notify_sent = true;
        Ok(())
    }
}

// Helpers.
impl Connection {
    /// Whether the peer needs the outgoing bytes to complete its handshake: all except the
    /// tickets of a TLS 1.3 server, for which the handshake does not wait.
    #[cfg(feature = "tokio")]
    pub(crate) fn owes_handshake(&self) -> bool {
        !self.outgoing.is_empty()
            && self.report.as_ref().is_none_or(|report| {
                report.side == Side::Client || report.version != TlsVersion::Tls13
            })
    }

    pub(crate) fn client(
        handshake: Handshake,
        settings: &Settings,
        name: &str,
        seen: Evidence,
    ) -> Self {
        let mut facts = Facts {
            side: Some(Side::Client),
            server_name: Some(name.to_owned()),
            client_certificate_sent: settings.has_client_certificate,
            hello_encrypted: settings.encrypts_hello,
            ..Facts::default()
        };
        facts.absorb(seen);
        Self::new(Tls::Handshake(Box::new(handshake)), settings, facts)
    }

    /// `other` replaces its configuration if the client prefers ChaCha20-Poly1305.
    pub(crate) fn server(
        handshake: Handshake,
        other: Option<ServerConfig>,
        settings: &Settings,
    ) -> Self {
        let facts = Facts {
            side: Some(Side::Server),
            ..Facts::default()
        };
        let mut connection = Self::new(Tls::Handshake(Box::new(handshake)), settings, facts);
        connection.other = other;
        connection
    }

    /// Without a handshake, with given keys.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn with_known_keys(
        side: Side,
        keys: impl Into<Established>,
    ) -> Result<Self, rustls::Error> {
        let facts = Facts {
            side: Some(side),
            ..Facts::default()
        };
        let records = records::Records::new(keys.into(), side, callback_data::Session::default())?;
        let mut connection =
            Self::new(Tls::Records(Box::new(records)), &Settings::default(), facts);
        connection.report = Some(Arc::new(Report::of_known(side)));
        Ok(connection)
    }

    fn new(tls: Tls, settings: &Settings, facts: Facts) -> Self {
        Self {
            tls,
            incoming: Window::shown(),
            receive_max: usize::MAX,
            shown: 0,
            skipped: 0,
            plaintext: Window::default(),
            staged: Window::default(),
            outgoing: Window::default(),
            sizer: Sizer::new(settings.record_sizing),
            write_buffer_size: settings.write_buffer_size.clamp(1, RECORD_MAX),
            channel_ended: None,
            reset_noted: false,
            ending: None,
            close_notify_sent: false,
            failure: None,
            alert_sent: None,
            report: None,
            exporter: None,
            facts,
            traffic: Traffic::default(),
            started: Instant::now(),
            client_verifier: settings.client_verifier.clone(),
            resumed_server: settings.resumed_server.clone(),
            other: None,
        }
    }

    fn read_to(&mut self, target: &mut Target<'_>) -> Result<ReadOutcome, Error> {
        self.check()?;
        // Readers read until no data is left.
        if self.incoming.is_empty()
            && self.channel_ended.is_none()
            && matches!(self.tls, Tls::Records(_))
        {
            return Ok(ReadOutcome::WouldBlock);
        }
        let count = self.advance(target, None)?;
        if count > 0 {
            return Ok(ReadOutcome::Data(count));
        }
        Ok(match self.ending {
            Some(ending) => ReadOutcome::End(ending),
            None => ReadOutcome::WouldBlock,
        })
    }

    fn check(&self) -> Result<(), Error> {
        self.failure
            .as_ref()
            .map_or(Ok(()), |failure| Err(failure.duplicate()))
    }

    fn check_writable(&self) -> Result<(), Error> {
        self.check()?;
        if self.close_notify_sent || self.report.is_none() {
            return Err(Error::new(Phase::Request, LocalCause::AfterEnd));
        }
        Ok(())
    }

    fn fail(&mut self, phase: Phase, cause: impl Into<Cause>) -> Error {
        let mut error = Error::new(phase, cause);
        if let Some(name) = &self.facts.server_name {
            error = error.with_server_name(name.clone());
        }
        error = self.with_evidence(error);
        self.failure = Some(error.duplicate());
        error
    }

    /// The error with the server's name, the side and the client's offer.
    pub(crate) fn with_evidence(&self, error: Error) -> Error {
        error.seen_by(self.facts.side, self.client_offer())
    }

    /// What the peer sent, if the handshake failed because it was not TLS: a server that answers in the
    /// peer's own protocol needs more of it than the error quotes.
    pub(crate) fn received_instead(&self) -> Vec<u8> {
        match self.failure.as_ref().map(Error::cause) {
            Some(Cause::Peer(PeerCause::NotTls { .. })) => self.facts.first_bytes.clone(),
            _ => Vec::new(),
        }
    }

    /// Whether it has failed and cannot be closed in order.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    fn encrypt(&mut self, now: Option<Instant>, record: &[u8]) -> Result<(), Error> {
        if let Tls::Records(records) = &self.tls
            && records.is_worn_out()
        {
            return Err(Error::new(Phase::Request, LocalCause::KeyWornOut));
        }
        self.advance(&mut Target::none(), Some(Job::Record(record)))?;
        self.sizer.sent(now, record.len());
        self.traffic.records_sent += 1;
        self.traffic.plaintext_sent += record.len() as u64;
        Ok(())
    }

    fn encrypt_staged(&mut self, now: Option<Instant>) -> Result<(), Error> {
        let mut staged = std::mem::take(&mut self.staged);
        let result = self.encrypt(now, staged.filled());
        staged.clear();
        self.staged = staged;
        result
    }

    /// Processes received bytes until more are needed, `target` is full or `job` is done. Returns the number of
    /// bytes of plaintext put into `target`.
    fn advance(
        &mut self,
        target: &mut Target<'_>,
        mut job: Option<Job<'_>>,
    ) -> Result<usize, Error> {
        loop {
            // Later there are only tickets, which are noted where they are handled.
            let witnessed = self.report.is_none();
            if witnessed {
                callback_data::begin(&self.facts.session);
                if self.facts.hello_encrypted {
                    callback_data::set_encrypted_for(self.facts.server_name.clone());
                }
                if self.client_verifier.is_some() && self.facts.server_name.is_some() {
                    callback_data::note_server_name(self.facts.server_name.as_deref());
                }
            }
            let visible = match self.tls.handshake() {
                Some(_) => self.shown,
                None => self.incoming.len(),
            };
            let incoming = self.incoming.filled_mut();
            let incoming = incoming.get_mut(..visible).unwrap_or_default();
            let mut step = Step::new(&mut self.outgoing, &mut self.plaintext, target, job.take());
            let (discard, next) = self.tls.step(&mut step, incoming);
            job = step.job.take();
            if !step.tickets.is_empty() {
                self.facts.note_tickets(std::mem::take(&mut step.tickets));
            }
            self.facts.renegotiation_refused |= step.renegotiation_refused;
            self.traffic.records_received += step.records;
            self.traffic.plaintext_received += step.plaintext_received;
            self.incoming.consume(discard);
            self.shown = self.shown.saturating_sub(discard);
            if witnessed {
                let seen = callback_data::end();
                let skips = seen.unopened && !matches!(next, Next::Failed(_));
                self.facts.absorb(seen);
                if skips {
                    self.skip_shown()?;
                }
            }
            if self.report.is_none()
                && let Some(handshake) = self.tls.handshake()
                && handshake.is_done()
            {
                self.finish_handshake()?;
            }
            match next {
                // Without a target, plaintext is kept; a job waits.
                Next::More if target.is_full() && job.is_none() => return Ok(target.filled),
                Next::More => {}
                Next::JobDone => return Ok(target.filled),
                Next::Ended => {
                    // Data after close_notify is ignored (RFC 8446, section 6.1).
                    self.incoming.clear();
                    self.ending = Some(Ending::CloseNotify);
                    if job.is_none() {
                        return Ok(target.filled);
                    }
                }
                Next::Failed(error) => return self.failed(target.filled, error),
                Next::Drained if self.goes_on()? => {}
                Next::Drained if target.filled > 0 => return Ok(target.filled),
                Next::Drained => return self.drained(job.is_some()),
            }
        }
    }

    /// All input is processed: whether the peer's direction is still open.
    fn drained(&mut self, job_undone: bool) -> Result<usize, Error> {
        if job_undone {
            return Err(Error::new(Phase::Request, LocalCause::AfterEnd));
        }
        if self.ending.is_some() {
            self.incoming.clear();
            return Ok(0);
        }
        let bytes_received = self.facts.bytes_received;
        match (self.channel_ended, self.report.is_some()) {
            (Some(ending), true) if self.plaintext.is_empty() => {
                self.incoming.clear();
                self.ending = Some(ending);
            }
            (Some(Ending::Reset), false) => {
                let cause = PeerCause::ResetInHandshake { bytes_received };
                return Err(self.fail(Phase::Handshake, cause));
            }
            (Some(_), false) => {
                let cause = PeerCause::ClosedInHandshake { bytes_received };
                return Err(self.fail(Phase::Handshake, cause));
            }
            _ if self.incoming.len() > HANDSHAKE_BYTES_MAX => {
                return self.failed(0, InvalidMessage::HandshakePayloadTooLarge.into());
            }
            _ => {}
        }
        Ok(0)
    }

    /// Data decrypted before the failure is delivered first; the failure is kept.
    fn failed(&mut self, filled: usize, error: rustls::Error) -> Result<usize, Error> {
        self.alert_sent = match &self.tls {
            Tls::Records(records) => records.alert_sent(),
            Tls::Neither => None,
            Tls::Handshake(_) => self.alert_of_failure(&error),
        };
        self.facts.message_too_large = classify::message_too_large(self.incoming.filled());
        self.incoming.clear();
        self.shown = 0;
        let phase = self.phase();
        let mut cause = classify::cause(error, &mut self.facts, self.report.is_some());
        if self.report.is_none()
            && self.alert_sent.is_some()
            && let Some(offer) = self.client_offer()
        {
            cause = classify::reconsidered(cause, &offer);
            self.correct_alert(&cause);
        }
        let error = self.fail(phase, cause);
        if filled > 0 { Ok(filled) } else { Err(error) }
    }

    fn phase(&self) -> Phase {
        if self.report.is_some() {
            Phase::Response
        } else {
            Phase::Handshake
        }
    }
}
