//! HTTP/1.1 and HTTP/1.0, the server's side (RFC 9112): one request after the other.
//!
//! `handfast-http` cuts heads and bodies, `reply.rs` writes replies; here they take turns.
//! A connection that waits for a request holds no buffer.

mod reply;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use handfast::AsyncStream;
use handfast_http::h1::request::{self, Bounds, Head, Refusal};
use handfast_http::h1::{Body as Decoder, Found, Framing};
use http::header::TE;
use http::{HeaderMap, Method, StatusCode, Version};
use tokio::io::AsyncWrite as _;

use self::reply::{Reply, Terms};
use super::engine::{Engine, Failure, Transport};
use super::event_loop;
use super::handler::{Handler, RequestBody};
use super::incoming::{Broken, Incoming};
use super::receive::{Received, poll_receive};
use super::service::{Tracked, answer};
use super::shared::Shared;
use super::state::ConnectionState;

/// Requests that a client sends ahead of their replies, in bytes: more are left to the system.
const AHEAD_MAX: usize = 64 * 1024;

/// Requests answered, and reads, before the thread's other connections get their turn.
const WORK_MAX: u32 = 16;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

type Answer = Pin<Box<dyn Future<Output = http::Response<Tracked>>>>;

/// One connection.
pub(super) struct Http1<H> {
    shared: Arc<Shared<H>>,
    connection: Rc<ConnectionState>,
    received: Received,
    /// Bytes of it in which no end of a head was found.
    seen: usize,
    exchange: Option<Box<Exchange>>,
    /// What came was no request.
    refused: Option<Refusal>,
    winding_up: bool,
    /// After what is being written the connection ends.
    closing: bool,
}

/// A request under way.
struct Exchange {
    answer: Option<Answer>,
    reply: Option<Reply>,
    replied: bool,
    body: Option<Body>,
    version: Version,
    is_head: bool,
    persistent: bool,
    /// The client takes trailer fields.
    trails: bool,
}

/// A request body that is arriving.
struct Body {
    decoder: Decoder,
    incoming: Incoming,
    discarded: u64,
    /// What is left to be said before the client sends it.
    leave: Option<&'static [u8]>,
}

impl<H: Handler> Http1<H> {
    pub(super) fn new(shared: Arc<Shared<H>>, connection: Rc<ConnectionState>) -> Self {
        Self {
            shared,
            connection,
            received: Received::default(),
            seen: 0,
            exchange: None,
            refused: None,
            winding_up: false,
            closing: false,
        }
    }

    fn next_head(&mut self) -> Option<Result<Head, Refusal>> {
        let limits = &self.shared.limits;
        let bounds = Bounds {
            bytes_max: limits.head_bytes_max.max(8 * 1024),
            fields_max: limits.fields_max,
        };
        // Blank lines before a head are ignored (RFC 9112, section 2.2), and are not parsed again.
        let is_blank = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        let blank = self.received.bytes().iter().take_while(is_blank).count();
        if blank > 0 {
            self.received.consume(blank);
            self.seen = self.seen.saturating_sub(blank);
        }
        let Some(found) = request::find(self.received.bytes(), self.seen, bounds) else {
            self.seen = self.received.bytes().len();
            return None;
        };
        self.seen = 0;
        Some(found.map(|(head, length)| {
            self.received.consume(length);
            head
        }))
    }

    fn begin(&mut self, head: Head) {
        let decoder = Decoder::of_request(head.framing);
        let announced = match head.framing {
            Framing::Length(length) => Some(length),
            Framing::None | Framing::Chunked | Framing::UntilClose => None,
        };
        let trails = takes_trailers(&head.fields);
        let incoming = (!decoder.is_done()).then(|| Incoming::new(announced));
        let limits = &self.shared.limits;
        let body = RequestBody::new(incoming.clone(), limits.read, limits.read_rate_min);
        let mut request = http::Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = head.target;
        *request.version_mut() = head.version;
        *request.headers_mut() = head.fields;
        self.exchange = Some(Box::new(Exchange {
            version: head.version,
            is_head: request.method() == Method::HEAD,
            persistent: head.persistent,
            trails,
            answer: Some(Box::pin(answer(
                Arc::clone(&self.shared),
                Rc::clone(&self.connection),
                request,
            ))),
            reply: None,
            replied: false,
            body: incoming.map(|incoming| Body {
                decoder,
                incoming,
                discarded: 0,
                leave: head.expects.then_some(CONTINUE),
            }),
        }));
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.refused = Some(refusal);
        self.closing = true;
        self.exchange = Some(Box::new(Exchange {
            answer: None,
            reply: Some(Reply::refusing(refusal)),
            replied: false,
            body: None,
            version: Version::HTTP_11,
            is_head: false,
            persistent: false,
            trails: false,
        }));
    }

    /// Ready when the reply was handed over and the request's body is out of the way.
    fn poll_exchange<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut AsyncStream<T>,
    ) -> Poll<Result<(), Failure>> {
        let Some(exchange) = &mut self.exchange else {
            return Poll::Ready(Ok(()));
        };
        loop {
            if let Some(answer) = &mut exchange.answer
                && let Poll::Ready(response) = answer.as_mut().poll(cx)
            {
                exchange.answer = None;
                // A client that was not sent 100 (Continue) may or may not send its body now: nothing
                // after it can be understood.
                let untold = exchange
                    .body
                    .as_ref()
                    .is_some_and(|body| body.leave.is_some());
                let terms = Terms {
                    version: exchange.version,
                    is_head: exchange.is_head,
                    trails: exchange.trails,
                    persistent: exchange.persistent
                        && !self.winding_up
                        && !self.closing
                        && !untold
                        && !self.connection.closes_soon(),
                };
                let reply = Reply::new(response, terms);
                self.closing |= reply.closes;
                exchange.reply = Some(reply);
            }
            if let Some(reply) = &mut exchange.reply
                && reply.poll(cx, stream, &self.connection)?.is_ready()
            {
                exchange.reply = None;
                exchange.replied = true;
            }
            let body_moved = match &mut exchange.body {
                Some(body) => {
                    let end = body.poll(cx, stream, &mut self.received, &self.connection)?;
                    self.closing |= end == BodyState::Abandoned;
                    if matches!(end, BodyState::Done | BodyState::Abandoned) {
                        exchange.body = None;
                        self.connection.activity.discards(false);
                    }
                    end == BodyState::Moved
                }
                None if exchange.replied => return Poll::Ready(Ok(())),
                // Is the client still there?
                None => {
                    while !self.received.has_ended()
                        && self.received.bytes().len() < AHEAD_MAX
                        && poll_receive(cx, stream, &mut self.received, &self.connection)?
                            .is_ready()
                    {}
                    false
                }
            };
            if exchange.replied
                && let Some(body) = &exchange.body
            {
                if body.leave.is_some() {
                    exchange.body = None;
                    continue;
                }
                if body.incoming.is_unwanted() {
                    // The client may wait with reading until it has sent all.
                    let _ = poll_flush(cx, stream, &self.connection)?;
                    self.connection.activity.discards(true);
                }
            }
            if exchange.replied && exchange.body.is_none() {
                return Poll::Ready(Ok(()));
            }
            if !body_moved {
                return Poll::Pending;
            }
        }
    }
}

impl<H: Handler, T: Transport> Engine<T> for Http1<H> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut AsyncStream<T>,
    ) -> Poll<Result<(), Failure>> {
        let mut work = 0;
        loop {
            ready!(self.poll_exchange(cx, stream))?;
            self.exchange = None;
            work += 1;
            if work > WORK_MAX {
                event_loop::give_way(cx);
                return Poll::Pending;
            }
            if !self.closing {
                match self.next_head() {
                    // What follows belongs to the tunnelled server.
                    Some(Ok(head)) if head.method == Method::CONNECT => {
                        self.refuse(Refusal {
                            status: StatusCode::METHOD_NOT_ALLOWED,
                            what: "this server is not a proxy",
                        });
                        continue;
                    }
                    Some(Ok(head)) => {
                        self.begin(head);
                        continue;
                    }
                    Some(Err(refusal)) => {
                        self.refuse(refusal);
                        continue;
                    }
                    None => {}
                }
            }
            let idle = self.received.bytes().is_empty();
            if self.closing || self.received.has_ended() || (self.winding_up && idle) {
                // The last reply and the end of the connection leave together.
                ready!(stream.poll_finish(cx)).map_err(|error| Failure::io(error.into()))?;
                self.connection.settle(true);
                return Poll::Ready(match self.refused {
                    Some(refusal) => Err(Failure::BadRequest(refusal.what.to_owned())),
                    None => Ok(()),
                });
            }
            // Replies to requests that came together leave together: flushed is what must wait.
            if !stream.has_plaintext() {
                ready!(poll_flush(cx, stream, &self.connection))?;
            }
            self.received.rest();
            if poll_receive(cx, stream, &mut self.received, &self.connection)?.is_pending() {
                // What had come held no data after all.
                ready!(poll_flush(cx, stream, &self.connection))?;
                return Poll::Pending;
            }
        }
    }

    fn wind_up(&mut self) {
        self.winding_up = true;
    }

    fn give_up_discarding(&mut self) {
        self.connection.activity.discards(false);
        if let Some(exchange) = &mut self.exchange
            && exchange.replied
            && exchange.body.take().is_some()
        {
            self.closing = true;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyState {
    /// Nothing can be done now.
    Waits,
    /// The handler has something new to look at.
    Moved,
    Done,
    /// There is more of it, or it is malformed: what follows is no request.
    Abandoned,
}

impl Body {
    fn poll<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut AsyncStream<T>,
        received: &mut Received,
        connection: &ConnectionState,
    ) -> Result<BodyState, Failure> {
        let mut state = BodyState::Waits;
        loop {
            let discards = self.incoming.is_unwanted();
            if discards && self.leave.is_some() {
                return Ok(state);
            }
            if !discards && !self.incoming.poll_wanted(cx) {
                return Ok(state);
            }
            if !self.poll_leave(cx, stream)? {
                return Ok(state);
            }
            let mut rest = received.bytes();
            let before = rest.len();
            let found = self.decoder.read(&mut rest);
            let used = before - rest.len();
            match found {
                Ok(Found::Piece(piece)) => {
                    self.incoming.push(piece);
                    let count = piece.len() as u64;
                    received.consume(used);
                    if discards {
                        self.discarded += count;
                        if self.discarded > connection.discard_max {
                            return Ok(BodyState::Abandoned);
                        }
                    }
                    state = BodyState::Moved;
                }
                Ok(Found::End) => {
                    received.consume(used);
                    if let Some(fields) = self.decoder.take_trailers() {
                        self.incoming.put_trailers(fields);
                    }
                    self.incoming.finish(Ok(()));
                    return Ok(BodyState::Done);
                }
                Ok(Found::More) => {
                    received.consume(used);
                    if received.has_ended() {
                        let cut =
                            Broken::Cut("the client ended the connection within a request's body");
                        self.incoming.finish(Err(cut));
                        return Ok(BodyState::Abandoned);
                    }
                    if poll_receive(cx, stream, received, connection)?.is_pending() {
                        return Ok(state);
                    }
                }
                Err(malformed) => {
                    self.incoming.finish(Err(Broken::Malformed(malformed.what)));
                    return Ok(BodyState::Abandoned);
                }
            }
        }
    }

    /// Sends 100 (Continue) if the client waits for it; true once it was sent.
    fn poll_leave<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut AsyncStream<T>,
    ) -> Result<bool, Failure> {
        while let Some(rest) = self.leave {
            if rest.is_empty() {
                // A reader that waits flushes nothing itself.
                if Pin::new(&mut *stream)
                    .poll_flush(cx)
                    .map_err(Failure::io)?
                    .is_pending()
                {
                    return Ok(false);
                }
                self.leave = None;
                break;
            }
            match Pin::new(&mut *stream)
                .poll_write(cx, rest)
                .map_err(Failure::io)?
            {
                Poll::Ready(count) => self.leave = rest.get(count..),
                Poll::Pending => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// Does the client say that it does not discard trailer fields (RFC 9110, section 10.1.4)?
fn takes_trailers(fields: &HeaderMap) -> bool {
    fields.get_all(TE).iter().any(|value| {
        let mut members = value.as_bytes().split(|byte| *byte == b',');
        members.any(|member| member.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}

/// Flushes; what was handed over before is then on its way.
fn poll_flush<T: Transport>(
    cx: &mut Context<'_>,
    stream: &mut AsyncStream<T>,
    connection: &ConnectionState,
) -> Poll<Result<(), Failure>> {
    ready!(connection.poll_flush(cx, stream))?;
    connection.settle(true);
    Poll::Ready(Ok(()))
}
