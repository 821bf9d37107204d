//! One connection to the runner: handshake, expectations, echo, end.

use std::fmt;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use handfast::{
    Alert, Cause, Connection, Ending, Error, Explanation, NetworkCause, PeerCause, Phase,
    ReadOutcome, Report, Side, TlsVersion, certificates_from_file,
};

use super::contexts::{group_name, suite_name};
use super::flags::{ExchangeOptions, Expectations, protocols};

/// Long enough for a loaded machine; the runner itself waits 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(14);

/// How long further input is read and discarded before the socket is closed: with an unread byte the
/// operating system would send a reset, which could discard our alert.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Sizes around the limits of records, as the runner's tests expect them.
const MANY_SIZES: [usize; 11] = [
    0, 1, 255, 256, 257, 16383, 16384, 16385, 32767, 32768, 32769,
];

/// The random of a ServerHello that is a HelloRetryRequest (RFC 8446, section 4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Why an exchange failed.
#[derive(Debug)]
pub enum Failure {
    /// The library failed, and has sent this alert.
    Tls(Error, Option<Alert>),
    /// An expectation of the runner was not met.
    Unexpected(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Tls(error, None)
    }
}

impl fmt::Display for Failure {
    /// The id, the message and the evidence, in which the runner looks for the expected error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected(what) => write!(f, "{what}"),
            Self::Tls(error, None) if needs_alert(error) => {
                // Not in a form that a test may look for: it has to fail.
                let Explanation { id, .. } = error.explain();
                write!(f, "no alert was sent: {}", id.to_uppercase())
            }
            Self::Tls(error, alert) => {
                let explanation = error.explain();
                write!(f, "[{}] {}", explanation.id, explanation.what)?;
                for line in &explanation.evidence {
                    write!(f, "; {line}")?;
                }
                match alert {
                    Some(alert) => write!(f, " [alert sent: {alert}]"),
                    None => write!(f, " [no alert sent]"),
                }
            }
        }
    }
}

/// Whether an alert must be sent (RFC 8446, section 6.2): for violations of the peer, but not if it closed the
/// connection or does not speak TLS.
fn needs_alert(error: &Error) -> bool {
    matches!(
        error.cause(),
        Cause::Peer(
            PeerCause::ProtocolViolation { .. }
                | PeerCause::BadRecord
                | PeerCause::Certificate(_)
                | PeerCause::NothingInCommon { .. }
                | PeerCause::ClientCertificateMissing
        )
    )
}

fn unexpected<T>(what: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Unexpected(what.into()))
}

/// Connects, and runs this connection according to the options.
///
/// # Errors
/// A failure of the library, or an expectation that was not met.
pub fn exchange(
    options: &ExchangeOptions,
    connection: Connection,
    is_resumption: bool,
) -> Result<(), Failure> {
    let address = match options.ipv6 {
        true => SocketAddr::from((Ipv6Addr::LOCALHOST, options.port)),
        false => SocketAddr::from((Ipv4Addr::LOCALHOST, options.port)),
    };
    let mut socket = TcpStream::connect(address).map_err(io_failure)?;
    socket
        .set_nodelay(true)
        .and_then(|()| socket.set_read_timeout(Some(SILENCE_MAX)))
        .and_then(|()| socket.write_all(&options.shim_id.to_le_bytes()))
        .map_err(io_failure)?;
    let mut wire = Wire {
        socket,
        connection,
        byte_by_byte: options.byte_by_byte,
        clear: Vec::new(),
        advertised_alpn: None,
    };
    let result = wire.run(options, is_resumption);
    // Make sure that an alert arrives.
    let _ = wire.flush();
    if let Err(Failure::Tls(error, _)) = &result
        && let Some(expected) = &options.expects.ech_retry_configs
        && let Cause::Peer(PeerCause::EchRejected { retry_configs }) = error.cause()
        && retry_configs.as_deref().unwrap_or_default() != expected
    {
        return unexpected("other configurations to retry by");
    }
    let result = result.map_err(|failure| match failure {
        Failure::Tls(error, _) => Failure::Tls(error, wire.connection.alert_sent()),
        other => other,
    });
    wire.drain();
    result
}

fn io_failure(error: io::Error) -> Failure {
    Error::new(Phase::Connect, NetworkCause::from(error)).into()
}

struct Wire {
    socket: TcpStream,
    connection: Connection,
    byte_by_byte: bool,
    /// The handshake bytes in both directions.
    clear: Vec<u8>,
    advertised_alpn: Option<Vec<Vec<u8>>>,
}

impl Wire {
    fn run(&mut self, options: &ExchangeOptions, is_resumption: bool) -> Result<(), Failure> {
        self.handshake(options)?;
        if options.expects_no_handshake {
            return unexpected("the handshake was completed, which was not expected");
        }
        if options.handshakes_again {
            let before = self.connection.outgoing().len();
            self.connection.process()?;
            if self.connection.outgoing().len() != before {
                return unexpected("processing again after the handshake produced output");
            }
        }
        let Some(report) = self.connection.report().cloned() else {
            return unexpected("a handshake without a report");
        };
        let expects = &options.expects;
        self.check(expects, &report)?;
        self.export(options)?;
        if is_resumption && report.resumed == expects.session_miss {
            return unexpected(format!("resumed: {}", report.resumed));
        }
        if options.writes_many_sizes {
            self.write_many_sizes()?;
        } else {
            self.write_and_echo(options)?;
        }
        let is_tls13_client = report.side == Side::Client && report.version == TlsVersion::Tls13;
        if is_tls13_client && !options.shuts_down {
            let got = !self.connection.tickets().is_empty();
            if got == expects.no_session {
                return unexpected(format!("a new session: {got}"));
            }
        }
        self.end(options)
    }

    fn handshake(&mut self, options: &ExchangeOptions) -> Result<(), Failure> {
        loop {
            self.flush()?;
            if !self.connection.is_handshaking() {
                return Ok(());
            }
            self.fill()?;
            // Once per read: byte by byte it would be too often.
            if options.expects.advertised_alpn.is_some() && self.advertised_alpn.is_none() {
                let offer = self.connection.client_offer();
                self.advertised_alpn = offer.filter(|offer| offer.complete).map(|o| o.alpn);
            }
            self.connection.process()?;
        }
    }

    /// Keying material, for the runner to compare with its own.
    fn export(&mut self, options: &ExchangeOptions) -> Result<(), Failure> {
        let Some(count) = options.exports.filter(|count| *count > 0) else {
            return Ok(());
        };
        let context = options
            .uses_export_context
            .then_some(&options.export_context[..]);
        let mut material = vec![0; count];
        let exported =
            self.connection
                .export_keying_material(&options.export_label, context, &mut material);
        if let Err(error) = exported {
            return unexpected(format!("no keying material: {error}"));
        }
        self.write(&material)?;
        self.connection.flush()?;
        self.flush()
    }

    fn write_many_sizes(&mut self) -> Result<(), Failure> {
        for size in MANY_SIZES {
            self.write(&vec![0x42; size])?;
            self.connection.flush()?;
            self.flush()?;
        }
        Ok(())
    }

    fn write_and_echo(&mut self, options: &ExchangeOptions) -> Result<(), Failure> {
        let first = options.initial_write.as_deref().unwrap_or(b"hello");
        if options.reads_with_unfinished_write {
            self.write(first)?;
            self.connection.flush()?;
            self.send(1)?;
        } else if options.writes_first {
            for _ in 0..options.initial_writes.unwrap_or(1) {
                self.write(first)?;
                self.connection.flush()?;
                self.flush()?;
            }
        }
        if options.shuts_down {
            return Ok(());
        }
        let mut held_back = options.reads_with_unfinished_write;
        // Without a write there is nothing to flush: pending output of the library is sent with the next data.
        let mut unflushed = false;
        let mut buffer = vec![0; options.read_size.unwrap_or(512)];
        loop {
            match self.connection.read(&mut buffer)? {
                ReadOutcome::End(_) => return Ok(()),
                ReadOutcome::WouldBlock => {
                    if unflushed && !held_back {
                        self.connection.flush()?;
                        unflushed = false;
                    }
                    if !held_back {
                        self.flush()?;
                    }
                    self.fill()?;
                }
                ReadOutcome::Data(count) => {
                    held_back = false;
                    unflushed = true;
                    let echo: Vec<u8> = buffer.iter().take(count).map(|byte| !byte).collect();
                    self.write(&echo)?;
                }
            }
        }
    }

    /// Closes our direction, and checks the peer's end if required.
    fn end(&mut self, options: &ExchangeOptions) -> Result<(), Failure> {
        if options.shuts_down || options.checks_close_notify {
            self.connection.send_close_notify()?;
        }
        // A peer that has closed does not need our end.
        match self.flush() {
            Err(_) if self.connection.ending().is_some() => {}
            other => other?,
        }
        if !options.checks_close_notify {
            return Ok(());
        }
        loop {
            match self.connection.read(&mut [0; 4096])? {
                ReadOutcome::Data(_) => {}
                ReadOutcome::WouldBlock => self.fill()?,
                ReadOutcome::End(Ending::CloseNotify) => return Ok(()),
                ReadOutcome::End(other) => return unexpected(format!("no close_notify: {other}")),
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let taken = self.connection.write(&[IoSlice::new(bytes)])?;
            if taken == 0 {
                self.flush()?;
            }
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.send(usize::MAX)
    }

    fn send(&mut self, mut most: usize) -> Result<(), Failure> {
        while most > 0 && !self.connection.outgoing().is_empty() {
            let outgoing = self.connection.outgoing();
            let limit = if self.byte_by_byte { 1 } else { most };
            let piece = outgoing.get(..limit).unwrap_or(outgoing);
            let count = self.socket.write(piece).map_err(io_failure)?;
            if self.connection.is_handshaking() {
                self.clear.extend(piece.iter().take(count));
            }
            self.connection.sent(count);
            most -= count;
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<(), Failure> {
        let room = self.connection.receive_room();
        let room = match self.byte_by_byte {
            true => &mut room[..1],
            false => room,
        };
        match self.socket.read(room) {
            Ok(0) => self.connection.received_end(),
            Ok(count) => {
                if self.connection.is_handshaking() {
                    let room = self.connection.receive_room();
                    self.clear.extend(room.iter().take(count));
                }
                self.connection.received(count);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                self.connection.received_reset();
            }
            Err(error) => return Err(io_failure(error)),
        }
        Ok(())
    }

    /// Half-closes, and reads until the runner has closed, too.
    fn drain(&mut self) {
        let until = Instant::now() + DRAIN_MAX;
        let _ = self.socket.shutdown(Shutdown::Write);
        let mut discarded = [0; 4096];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.socket.set_read_timeout(Some(left)).is_err() {
                return;
            }
            match self.socket.read(&mut discarded) {
                Ok(count) if count > 0 => {}
                _ => return,
            }
        }
    }

    fn check(&self, expects: &Expectations, report: &Report) -> Result<(), Failure> {
        if let Some(alpn) = &expects.alpn
            && report.alpn.as_deref().unwrap_or_default() != alpn
        {
            return unexpected(format!("protocol: {:?}", report.alpn));
        }
        if let Some(list) = &expects.advertised_alpn
            && self.advertised_alpn != protocols(list)
        {
            return unexpected(format!("protocols offered: {:?}", self.advertised_alpn));
        }
        if expects.server_name.is_some() && report.server_name != expects.server_name {
            return unexpected(format!("server name: {:?}", report.server_name));
        }
        // A resumed session of TLS 1.2 has no key exchange.
        if let Some(number) = expects.group
            && let Some(group) = report.group
            && group != group_name(number)
        {
            return unexpected(format!("group: {group}"));
        }
        if let Some(retry) = expects.retry {
            let seen = self.clear.windows(32).any(|bytes| bytes == RETRY_RANDOM);
            if seen != retry {
                return unexpected(format!("HelloRetryRequest: {seen}"));
            }
        }
        if let Some(number) = expects.cipher_suite
            && report.cipher_suite != suite_name(number)
        {
            return unexpected(format!("cipher suite: {}", report.cipher_suite));
        }
        if let Some(aes) = expects.aes
            && report.cipher_suite.contains("AES") != aes
        {
            return unexpected(format!("cipher suite: {}", report.cipher_suite));
        }
        if report.encrypted_client_hello != expects.ech_accepted {
            return unexpected(format!(
                "encrypted hello: {}",
                report.encrypted_client_hello
            ));
        }
        if expects.no_peer_certificate && !report.peer_chain.is_empty() {
            return unexpected("the peer sent a certificate");
        }
        if let Some(path) = &expects.peer_chain {
            let chain = certificates_from_file(path);
            if !chain.is_ok_and(|chain| chain == report.peer_chain) {
                return unexpected("the peer sent another chain");
            }
        }
        Ok(())
    }
}
