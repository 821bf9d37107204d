//! One connection: socket, TLS, HTTP. Never blocks.
//!
//! Readiness is edge-triggered, so reading continues until the socket is drained, which a read
//! that does not fill the buffer shows without a further call.

use std::io::{self, ErrorKind, IoSlice, Write as _};
use std::net::Shutdown;
use std::time::Duration;

use handfast::{Connection, Ending, Error, NetworkCause, PeerCause, Phase, ReadOutcome};
use handfast_dial::connect_error;
use mio::net::TcpStream;
use mio::{Interest, Token};

use super::desk::{Asked, Desk, Shared};
use super::http1::{Fed, Parser};
use super::http2::Session;
use super::measure::Fault;
use super::outcome::Broken;
use super::plan::Protocol;
use super::schedule::Nanos;

/// How long to wait for a server to close a connection after it announced that, or after we ended ours.
const CLOSING_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct MeasuredConnection {
    socket: TcpStream,
    tls: Connection,
    http: Http,
    stage: Stage,
    pub(super) opened: Nanos,
    /// Whether the channel permanently accepts no more data.
    write_closed: bool,
    /// HTTP/1.1: how much of the end of the request is unsent.
    unsent: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Connecting,
    Handshaking,
    Ready,
    /// No more requests; the deadline for the server's end.
    Closing {
        until: Nanos,
    },
}

#[derive(Debug)]
enum Http {
    Unknown,
    One {
        parser: Parser,
        asked: Option<Asked>,
    },
    Two(Box<Session<Asked>>),
}

/// Whether a connection is still open after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Open,
    Over,
}

// Getters.
impl MeasuredConnection {
    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    pub(super) fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// Whether it can take another request now.
    pub(super) fn has_room(&self) -> bool {
        self.is_ready()
            && match &self.http {
                Http::Unknown => false,
                Http::One { asked, .. } => asked.is_none(),
                Http::Two(session) => session.has_room(),
            }
    }

    /// Open requests: those without and those with a response that has begun.
    pub(super) fn under_way(&self) -> (u64, u64) {
        match &self.http {
            Http::One {
                parser,
                asked: Some(_),
            } => match parser.has_begun() {
                false => (1, 0),
                true => (0, 1),
            },
            Http::Two(session) => {
                session.under_way().fold(
                    (0, 0),
                    |(no, yes), (_, begun)| {
                        if begun { (no, yes + 1) } else { (no + 1, yes) }
                    },
                )
            }
            _ => (0, 0),
        }
    }

    /// When the oldest open request was sent.
    pub(super) fn oldest(&self) -> Option<Nanos> {
        match &self.http {
            Http::Unknown => None,
            Http::One { asked, .. } => asked.map(|asked| asked.sent),
            Http::Two(session) => session.under_way().map(|(asked, _)| asked.sent).min(),
        }
    }

    /// Its phase, for a time-out.
    pub(super) fn phase(&self) -> Phase {
        match self.stage {
            Stage::Connecting => Phase::Connect,
            Stage::Handshaking => Phase::Handshake,
            Stage::Ready | Stage::Closing { .. } => Phase::Response,
        }
    }
}

impl MeasuredConnection {
    /// Begins to connect to the preferred address.
    pub(super) fn open(token: Token, desk: &mut Desk<'_>) -> Result<Self, Fault> {
        let shared = desk.shared;
        let address = shared.addresses.get(desk.preferred).copied();
        let Some(address) = address.or_else(|| shared.addresses.first().copied()) else {
            let cause = handfast_dial::Cause::Refused {
                addresses: Vec::new(),
            };
            return Err(Fault::dial(handfast_dial::Error::new(
                Phase::Connect,
                cause,
            )));
        };
        desk.sample.connections += 1;
        let tls = shared
            .context
            .connection(&shared.plan.target.host)
            .map_err(Fault::tls)?;
        let opened = desk.now;
        let connect = || -> io::Result<TcpStream> {
            let mut socket = TcpStream::connect(address)?;
            let both = Interest::READABLE | Interest::WRITABLE;
            desk.registry.register(&mut socket, token, both)?;
            // Records are sent whole: waiting to fill segments only delays their tails.
            let _ = socket.set_nodelay(true);
            Ok(socket)
        };
        let socket = connect().map_err(|error| transport(Phase::Connect, error, desk))?;
        let mut connection = Self {
            socket,
            tls,
            http: Http::Unknown,
            stage: Stage::Connecting,
            opened,
            write_closed: false,
            unsent: 0,
        };
        // To a nearby server, the connection may be established already.
        connection.push(desk)?;
        Ok(connection)
    }

    /// Handles an event of the socket. `insist` if the server's direction has ended: the end
    /// must be read, because it is not announced again.
    pub(super) fn event(&mut self, insist: bool, desk: &mut Desk<'_>) -> Result<Status, Fault> {
        if self.stage == Stage::Connecting {
            self.push(desk)?;
        }
        self.receive(insist, desk)
    }

    /// Queues the request; [`flush`](Self::flush) sends it.
    pub(super) fn ask(&mut self, asked: Asked, desk: &Desk<'_>) {
        match &mut self.http {
            Http::Unknown => {}
            Http::One { asked: slot, .. } => {
                *slot = Some(asked);
                self.unsent = desk.shared.http1.len();
            }
            Http::Two(session) => session.start(&desk.shared.http2, asked),
        }
    }

    /// Makes records of the data to send, and sends what the channel accepts.
    pub(super) fn flush(&mut self, desk: &mut Desk<'_>) -> Result<(), Fault> {
        loop {
            let more = self.write(desk.shared)?;
            self.push(desk)?;
            if !more || !self.tls.outgoing().is_empty() || self.write_closed {
                break;
            }
        }
        self.tls.rest();
        if let Http::Two(session) = &mut self.http {
            session.rest();
        }
        Ok(())
    }

    /// The test is over, or the connection has failed: closes it as far as possible.
    pub(super) fn leave(mut self, ending: Option<Ending>, desk: &mut Desk<'_>) {
        if ending != Some(Ending::Reset) && !self.write_closed {
            if let Http::Two(session) = &mut self.http
                && self.stage == Stage::Ready
            {
                session.leave();
            }
            let _ = self.flush(desk);
            let _ = self.tls.send_close_notify();
            let _ = self.push(desk);
        }
        desk.sample.ended(ending, &self.tls.traffic());
    }
}

// Receiving.
impl MeasuredConnection {
    fn receive(&mut self, insist: bool, desk: &mut Desk<'_>) -> Result<Status, Fault> {
        loop {
            let drained = match receive(&mut self.tls, &self.socket) {
                Ok(received) => {
                    let (count, is_full) = received;
                    desk.sample.bytes_received += count as u64;
                    count == 0 || !is_full && !insist
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::NotConnected => return Ok(Status::Open),
                    ErrorKind::Interrupted => continue,
                    ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::BrokenPipe
                        if self.stage != Stage::Connecting =>
                    {
                        self.tls.received_reset();
                        true
                    }
                    _ => return Err(transport(self.phase(), error, desk)),
                },
            };
            desk.look_at_the_clock();
            if self.tls.is_handshaking() {
                self.tls.process().map_err(Fault::tls)?;
                if !self.tls.is_handshaking() {
                    self.handshake_done(desk)?;
                }
                self.push(desk)?;
            }
            if !self.tls.is_handshaking() {
                loop {
                    match self.read(desk)? {
                        ReadOutcome::Data(_) => {}
                        ReadOutcome::WouldBlock => break,
                        ReadOutcome::End(ending) => return Ok(self.end(ending, desk)),
                    }
                }
            }
            if drained {
                return Ok(Status::Open);
            }
        }
    }

    fn handshake_done(&mut self, desk: &mut Desk<'_>) -> Result<(), Fault> {
        let Some(report) = self.tls.report() else {
            return Ok(());
        };
        let took = u64::try_from(report.handshake.as_nanos()).unwrap_or(Nanos::MAX);
        desk.sample.handshake.record(took);
        desk.sample.agreed(report);
        let plan = &desk.shared.plan;
        self.http = if report.alpn.as_deref() == Some(b"h2") {
            Http::Two(Box::new(Session::new(plan.streams)))
        } else if plan.protocol == Protocol::Http2 {
            let cause = PeerCause::NoApplicationProtocol;
            return Err(Fault::tls(Error::new(Phase::Handshake, cause)));
        } else {
            Http::One {
                parser: Parser::new(&plan.request.method),
                asked: None,
            }
        };
        self.stage = Stage::Ready;
        Ok(())
    }

    /// Parses plaintext where it was decrypted.
    fn read(&mut self, desk: &mut Desk<'_>) -> Result<ReadOutcome, Fault> {
        let mut passing = Passing {
            http: &mut self.http,
            desk,
            is_ready: self.stage == Stage::Ready,
            unsent: self.unsent > 0,
            close: None,
            result: Ok(()),
        };
        let take = &mut |bytes: &[u8]| passing.take(bytes);
        let read = self.tls.read_with(usize::MAX, take);
        let Passing { close, result, .. } = passing;
        let read = read.map_err(Fault::tls)?;
        result?;
        if let Some(first) = close {
            self.close(first, desk);
        }
        Ok(read)
    }

    /// No more requests on this connection. The server or the client ends it.
    fn close(&mut self, first: First, desk: &mut Desk<'_>) {
        if let Stage::Closing { .. } = self.stage {
            return;
        }
        let limit = u64::try_from(CLOSING_MAX.as_nanos()).unwrap_or(Nanos::MAX);
        self.stage = Stage::Closing {
            until: desk.now.saturating_add(limit),
        };
        if first == First::Server {
            return;
        }
        if let Http::Two(session) = &mut self.http {
            session.leave();
        }
        self.unsent = 0;
        // Do not wait for unsent data.
        let _ = self.flush(desk);
        let _ = self.tls.send_close_notify();
        let _ = self.push(desk);
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// The server's direction has ended.
    fn end(&mut self, ending: Ending, desk: &mut Desk<'_>) -> Status {
        match &mut self.http {
            Http::Unknown => {}
            Http::One { parser, asked } => {
                if let Some(request) = asked.take() {
                    match parser.end(ending) {
                        Ok(response) => desk.complete(request, response),
                        Err(broken) => desk.fail_by(broken),
                    }
                }
            }
            Http::Two(session) => {
                session.end(ending, &mut desk.done);
                desk.count_done();
            }
        }
        self.unsent = 0;
        Status::Over
    }

    /// How the server's direction ended, if it did.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.tls.ending()
    }
}

// Sending.
impl MeasuredConnection {
    /// Makes records of as much data as there is room for. Returns whether there is more.
    fn write(&mut self, shared: &Shared) -> Result<bool, Fault> {
        let lost = self.write_closed || self.tls.close_notify_sent();
        let tls = &mut self.tls;
        let mut write = |bytes: &[u8]| match lost {
            true => Ok(bytes.len()),
            false => tls.write(&[IoSlice::new(bytes)]),
        };
        match &mut self.http {
            Http::Unknown => Ok(false),
            Http::One { .. } => {
                if self.unsent > 0 {
                    let rest = shared.http1.get(shared.http1.len() - self.unsent..);
                    let taken = write(rest.unwrap_or_default());
                    self.unsent -= taken.map_err(Fault::tls)?;
                }
                Ok(self.unsent > 0)
            }
            Http::Two(session) => {
                let output = session.output(&shared.http2);
                if output.is_empty() {
                    return Ok(false);
                }
                let taken = write(output.as_slice()).map_err(Fault::tls)?;
                output.sent(taken);
                // There may be room for more of a body now.
                Ok(!session.output(&shared.http2).is_empty())
            }
        }
    }

    /// Sends what the channel accepts.
    fn push(&mut self, desk: &mut Desk<'_>) -> Result<(), Fault> {
        while !self.tls.outgoing().is_empty() {
            match self.socket.write(self.tls.outgoing()) {
                Ok(count) => {
                    self.tls.sent(count);
                    if self.stage == Stage::Connecting {
                        self.stage = Stage::Handshaking;
                        desk.look_at_the_clock();
                        let took = desk.now.saturating_sub(self.opened);
                        desk.sample.connect.record(took);
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::NotConnected => break,
                    ErrorKind::Interrupted => {}
                    _ if self.stage == Stage::Connecting => {
                        return Err(transport(Phase::Connect, error, desk));
                    }
                    // The server may have responded before it closed: read first.
                    _ => {
                        self.write_closed = true;
                        let lost = self.tls.outgoing().len();
                        self.tls.sent(lost);
                    }
                },
            }
        }
        Ok(())
    }
}

/// Which end closes a connection first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    We,
    Server,
}

/// Passes plaintext from a connection's records to HTTP.
struct Passing<'l, 'd, 's> {
    http: &'l mut Http,
    desk: &'d mut Desk<'s>,
    is_ready: bool,
    /// HTTP/1.1: whether some of the request is unsent.
    unsent: bool,
    /// The connection must be ended.
    close: Option<First>,
    result: Result<(), Fault>,
}

impl Passing<'_, '_, '_> {
    fn take(&mut self, bytes: &[u8]) {
        // After an error, further bytes are ignored.
        if self.result.is_ok() {
            self.result = self.look_at(bytes).map_err(Fault::Http);
        }
    }

    fn look_at(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let desk = &mut *self.desk;
        match &mut *self.http {
            Http::Unknown => {}
            Http::One { parser, asked } => {
                let Some(request) = *asked else {
                    if self.is_ready && self.close.is_none() {
                        desk.sample.surplus += 1;
                        self.close = Some(First::We);
                    }
                    return Ok(());
                };
                if let Fed::Complete {
                    response,
                    used,
                    keep_alive,
                } = parser.feed(bytes)?
                {
                    *asked = None;
                    desk.complete(request, response);
                    let surplus = used < bytes.len();
                    desk.sample.surplus += u64::from(surplus);
                    if surplus || !keep_alive || desk.one_shot() || self.unsent {
                        self.close = Some(match !keep_alive && !self.unsent {
                            true => First::Server,
                            false => First::We,
                        });
                    }
                }
            }
            Http::Two(session) => {
                let fed = session.feed(bytes, desk.instant, &mut desk.done);
                let over = session.open() == 0
                    && (session.is_going() || !desk.done.is_empty() && desk.one_shot());
                desk.count_done();
                fed?;
                if over && self.is_ready {
                    self.close = Some(First::We);
                }
            }
        }
        Ok(())
    }
}

/// Reads once from the socket: how much, and whether that filled the buffer.
#[cfg(unix)]
fn receive(tls: &mut Connection, socket: &TcpStream) -> io::Result<(usize, bool)> {
    let received = tls.receive_from(socket)?;
    Ok((received.count, received.is_full))
}

#[cfg(not(unix))]
fn receive(tls: &mut Connection, socket: &TcpStream) -> io::Result<(usize, bool)> {
    let room = tls.receive_room();
    let offered = room.len();
    let count = io::Read::read(&mut &*socket, room)?;
    match count {
        0 => tls.received_end(),
        _ => tls.received(count),
    }
    Ok((count, count == offered))
}

/// The error for the operating system's error in this phase.
fn transport(phase: Phase, error: io::Error, desk: &Desk<'_>) -> Fault {
    match phase {
        Phase::Connect => {
            let host = &desk.shared.plan.target.host;
            let addresses = desk.shared.addresses.clone();
            Fault::dial(connect_error(host, addresses, Some(error)))
        }
        _ => Fault::tls(Error::new(phase, NetworkCause::from(error))),
    }
}
