//! HTTP/2 (RFC 9113): one end of a connection, client or server.
//!
//! A [`Connection`] is given what was received and what the time is, and yields [`Event`]s; it is told what to
//! send, and keeps it until its driver takes it ([`Connection::output`]). It owns frames, header
//! compression, the states of streams, windows in both directions and the bounds on what a peer may
//! cost. Its driver owns the channel, the bodies, and what messages mean.
//!
//! ```text
//! received bytes -> receive() -> Head, Data, Trailers, Lost …        release(): room for more
//! turn() -> which stream may send how much -> put_data(), fill() -> output() -> bytes to be sent
//! due(), expire(): streams that the peer keeps from being sent
//! ```
//!
//! Both ends, joined without a wire:
//!
//! ```
//! use std::time::Instant;
//!
//! use handfast_http::h2::{Connection, Event, Limits, NewRequest, Requests, Responses};
//! use http::{HeaderMap, Method, StatusCode};
//!
//! let now = Instant::now();
//! let mut client = Connection::<Responses, ()>::new(Limits::default(), now);
//! let mut server = Connection::<Requests, ()>::new(Limits::default(), now);
//! let fields = HeaderMap::new();
//! let get = NewRequest {
//!     method: &Method::GET,
//!     authority: b"example.org",
//!     path: b"/",
//!     fields: &fields,
//!     length: None,
//!     end: true,
//! };
//! let asked = client.open(&get, (), now).unwrap();
//!
//! let mut rest = client.output().as_slice();
//! while let Some(event) = server.receive(&mut rest, now) {
//!     if let Event::Head { stream, message, .. } = event {
//!         assert_eq!(message.head.uri(), "https://example.org/");
//!         server.put_head(stream, StatusCode::OK, &fields, Some(5), None, false);
//!         server.want(stream, now);
//!     }
//! }
//! while let Some(turn) = server.turn() {
//!     server.put_data(turn, b"hello", true);
//! }
//!
//! let mut rest = server.output().as_slice();
//! let mut body = Vec::new();
//! while let Some(event) = client.receive(&mut rest, now) {
//!     if let Event::Data { stream, body: part, .. } = event {
//!         assert_eq!(stream, asked);
//!         body.extend_from_slice(part);
//!         client.release(stream, part.len() as u32);
//!     }
//! }
//! assert_eq!(body, b"hello");
//! ```
//!
//! # Order of calls
//!
//! After bytes were received: [`Connection::receive`] until it gives nothing, whatever it gives. Then
//! turns for as long as there are any and the driver wants to send, then the output. Errors of the peer
//! are in the events; no call panics, whatever a peer sends or a driver asks for.
//!
//! # Bounds
//!
//! Nothing is asked for ahead of what may be sent: [`Connection::turn`] names a stream only if both
//! windows are open. A stream that has something to send and whose peer opens its window too slowly, or
//! not at all, is reset ([`Limits::span`], [`Limits::rate_min`]); after the peer's end of input what its
//! window blocks is dropped at once. Frames that bring nothing forward, and streams that come to nothing before any
//! reply began, are counted in buckets that leak; one that runs over ends the connection.

pub mod frame;
pub mod hpack;

mod block;
mod connection;
mod flood;
mod output;
mod receive;
mod request;
mod response;
mod send;
mod stream;

use std::fmt::Debug;
use std::time::Duration;

use http::HeaderMap;

pub use self::connection::{CannotOpen, Connection, NewRequest};
pub use self::output::{Output, release_unused_buffers};
pub use self::request::{Request, Requests};
pub use self::response::{Response, Responses};
pub use self::send::{Filling, Turn};

/// What a connection may cost and how much it may have under way.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Streams of the peer's at once.
    pub streams_max: u32,
    /// Bytes of a header list, as RFC 9113, section 6.5.2, counts them.
    pub head_bytes_max: usize,
    /// Header fields of one message.
    pub fields_max: usize,
    /// What the peer may send of one body before it was read, in bytes. Less than 65,535 is 65,535, which it may
    /// send before it has seen any limit.
    pub stream_window: u32,
    /// The same of all bodies together: no less than `stream_window`.
    pub connection_window: u32,
    /// A stream that is kept from sending is reset when so long has gone by since it was last let send what
    /// [`rate_min`](Self::rate_min) makes of this time.
    pub span: Duration,
    /// What such a stream must be allowed to send, in bytes a second.
    pub rate_min: u32,
}

impl Limits {
    /// What has to be let through in each span, in bytes: something, however short it is.
    fn enough(&self) -> u64 {
        let span_ms = u64::try_from(self.span.as_millis()).unwrap_or(u64::MAX);
        (u64::from(self.rate_min).saturating_mul(span_ms) / 1000).max(1)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams_max: 128,
            head_bytes_max: 32 * 1024,
            fields_max: 100,
            stream_window: 1024 * 1024,
            connection_window: 4 * 1024 * 1024,
            span: Duration::from_secs(60),
            rate_min: 128,
        }
    }
}

/// The bounds on a head.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes of the header list.
    pub bytes_max: usize,
    /// Its fields.
    pub fields_max: usize,
}

/// Which end a connection is, and what its peer's messages are read into.
pub trait Role: hpack::Fields + Debug {
    /// Does it answer requests?
    const IS_SERVER: bool;
    /// A head that is being put together.
    type Head: Default;
    /// A whole head.
    type Message: Debug;

    /// Adds a field, as far as the bounds allow; `size` is what it counts for the list.
    fn add(head: &mut Self::Head, field: &Self::Field, size: usize, bounds: Bounds);

    /// What the fields together are.
    fn judge(head: Self::Head, bounds: Bounds) -> Judged<Self::Message>;

    /// The fields of a trailer section.
    ///
    /// # Errors
    /// What makes it malformed.
    fn trailers(head: Self::Head, bounds: Bounds) -> Result<HeaderMap, &'static str>;

    /// The length that a message announces.
    fn length(message: &Self::Message) -> Option<u64>;

    /// Does another head follow on the same stream?
    fn is_interim(_message: &Self::Message) -> bool {
        false
    }
}

/// What a header block was.
#[derive(Debug)]
pub enum Judged<M> {
    /// A message's head.
    Message(M),
    /// One, but more of it than is taken.
    TooLarge,
    /// An error of its stream (RFC 9113, section 8.1.1).
    Malformed(&'static str),
}

/// What happened on a connection.
#[derive(Debug)]
pub enum Event<'b, R: Role, T> {
    /// A message begins: a request, which opens its stream; a response; an interim response.
    Head {
        /// Its stream.
        stream: u32,
        /// Its head.
        message: R::Message,
        /// Does the message end with it?
        end: bool,
    },
    /// A request whose head is too large: its stream is open, and wants the answer 431.
    TooLarge {
        /// Its stream.
        stream: u32,
        /// Does the message end with it?
        end: bool,
    },
    /// Some of a body. Its bytes count against the window until they are
    /// [released](Connection::release).
    Data {
        /// Its stream.
        stream: u32,
        /// The bytes; may be empty at the end.
        body: &'b [u8],
        /// Is it the last?
        end: bool,
    },
    /// The fields behind a body, which ends with them.
    Trailers {
        /// Its stream.
        stream: u32,
        /// The fields.
        fields: HeaderMap,
    },
    /// The peer has ended the connection within a request's body. Its reply may still be sent.
    BodyCut {
        /// Its stream.
        stream: u32,
    },
    /// A stream ended before its time.
    Lost {
        /// Its stream.
        stream: u32,
        /// What the driver kept with it.
        own: T,
        /// Why.
        cut: Cut,
    },
    /// The peer goes: no more streams can be opened. Those that it does not take care of are lost, with
    /// [`Cut::Unprocessed`].
    Going {
        /// Why.
        code: u32,
        /// What it says about it, at most 256 bytes.
        debug: Vec<u8>,
    },
    /// The peer broke the protocol. What is in the output tells it so; then the connection must end.
    Failed(Violation),
}

/// Why a stream ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The peer reset it.
    Reset(u32),
    /// The peer says that it did nothing with it: the request may be sent again (RFC 9113, section 8.7).
    Unprocessed(u32),
    /// What the peer sent on it is malformed; it was reset.
    Malformed(&'static str),
    /// Its peer did not open its window for too long; it was reset.
    Stalled,
    /// The connection ended.
    Ended,
    /// The connection failed.
    Failed,
}

impl Cut {
    /// Is it certain that the peer has not processed the request?
    pub fn is_unprocessed(self) -> bool {
        matches!(
            self,
            Self::Unprocessed(_) | Self::Reset(frame::code::REFUSED_STREAM)
        )
    }
}

/// How the peer broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// The error code that it is told (RFC 9113, section 7).
    pub code: u32,
    /// The same in words.
    pub what: &'static str,
}

impl Violation {
    pub(crate) const fn new(code: u32, what: &'static str) -> Self {
        Self { code, what }
    }

    pub(crate) const fn protocol(what: &'static str) -> Self {
        Self::new(frame::code::PROTOCOL_ERROR, what)
    }

    pub(crate) const fn size(what: &'static str) -> Self {
        Self::new(frame::code::FRAME_SIZE_ERROR, what)
    }

    pub(crate) const fn flow(what: &'static str) -> Self {
        Self::new(frame::code::FLOW_CONTROL_ERROR, what)
    }

    pub(crate) const fn calm(what: &'static str) -> Self {
        Self::new(frame::code::ENHANCE_YOUR_CALM, what)
    }
}

#[cfg(test)]
mod tests;
