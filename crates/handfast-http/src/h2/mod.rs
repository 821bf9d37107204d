//! HTTP/2 (RFC 9113): one end of a connection, client or server.
//!
//! A [`Connection`] is given received bytes and the time, and returns [`Event`]s; it encodes what is to be
//! sent into a buffer that its driver drains ([`Connection::output`]). It owns frames, header
//! compression, the states of streams, windows in both directions and the limits on a peer.
//! Its driver owns the channel, the bodies, and the semantics of messages.
//!
//! ```text
//! received bytes -> receive() -> Head, Data, Trailers, Lost …        release(): opens the window
//! turn() -> which stream may send how much -> put_data(), fill(), put_trailers() -> output() -> bytes to be sent
//! due(), expire(): deadlines of streams that the peer's windows block
//! ```
//!
//! Both ends, connected in memory:
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
//! After bytes were received, call [`Connection::receive`] until it returns `None`. Then take turns
//! while there are any and the driver has data to send, then send the output. Errors of the peer
//! are events; no call panics, whatever a peer sends and whatever a driver passes.
//!
//! # Bounds
//!
//! Which stream has its turn follows the client's priorities (RFC 9218), in requests and in PRIORITY_UPDATE frames. Where it says
//! nothing, streams take turns.
//!
//! Data is requested only when it can be sent: [`Connection::turn`] returns a stream only if both
//! windows are open. A stream that has something to send and whose peer opens its window too slowly, or
//! not at all, is reset ([`Limits::span`], [`Limits::rate_min`]); after the peer's end of input, streams that
//! its window blocks are dropped at once. Frames that make no progress, and streams that are cancelled before their
//! reply began, are counted in leaky buckets; one that overflows ends the connection.

pub mod frame;
pub mod hpack;

mod block;
mod connection;
mod flood;
mod output;
mod priority;
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

/// Limits of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The peer's concurrent streams.
    pub streams_max: u32,
    /// The size of a header list in bytes, as defined in RFC 9113, section 6.5.2.
    pub head_bytes_max: usize,
    /// Header fields of one message.
    pub fields_max: usize,
    /// How much of one body the peer may send before it was read, in bytes. At least 65,535, because the peer may
    /// send as much before our SETTINGS arrive.
    pub stream_window: u32,
    /// The same for all bodies together: at least `stream_window`.
    pub connection_window: u32,
    /// A stream is reset if, over this time, its window lets it send less than [`rate_min`](Self::rate_min) requires, or
    /// the connection's window lets all streams together send less than that.
    pub span: Duration,
    /// The rate that each of these windows must let through, in bytes per second.
    pub rate_min: u32,
}

impl Limits {
    /// How many bytes the peer must let through in each span: at least one.
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

/// The role of an end, and the types that its peer's messages are parsed into.
pub trait Role: hpack::Fields + Debug {
    /// Whether it is the server.
    const IS_SERVER: bool;
    /// A head that is being assembled.
    type Head: Default;
    /// A complete head.
    type Message: Debug;

    /// Adds a field, as far as the bounds allow; `size` is its size in the header list.
    fn add(head: &mut Self::Head, field: &Self::Field, size: usize, bounds: Bounds);

    /// Validates a complete header block.
    fn judge(head: Self::Head, bounds: Bounds) -> Judged<Self::Message>;

    /// The fields of a trailer section.
    ///
    /// # Errors
    /// The reason if it is malformed.
    fn trailers(head: Self::Head, bounds: Bounds) -> Result<HeaderMap, &'static str>;

    /// The length that a message announces.
    fn length(message: &Self::Message) -> Option<u64>;

    /// The header fields that say how urgent the reply is (RFC 9218, section 5), of a request.
    fn priority(_message: &Self::Message) -> Option<&HeaderMap> {
        None
    }

    /// Whether another head follows on the same stream.
    fn is_interim(_message: &Self::Message) -> bool {
        false
    }
}

/// The result of validating a header block.
#[derive(Debug)]
pub enum Judged<M> {
    /// A message's head.
    Message(M),
    /// A head that exceeds the bounds.
    TooLarge,
    /// Malformed: a stream error (RFC 9113, section 8.1.1).
    Malformed(&'static str),
}

/// An event on a connection.
#[derive(Debug)]
pub enum Event<'b, R: Role, T> {
    /// A message begins: a request, which opens its stream; a response; an interim response.
    Head {
        /// Its stream.
        stream: u32,
        /// Its head.
        message: R::Message,
        /// Whether the message ends with it.
        end: bool,
    },
    /// A request whose head is too large: its stream is open, and expects the response 431.
    TooLarge {
        /// Its stream.
        stream: u32,
        /// Whether the message ends with it.
        end: bool,
    },
    /// A part of a body. Its bytes count against the window until they are [released](Connection::release).
    Data {
        /// Its stream.
        stream: u32,
        /// The bytes; may be empty if it is the last part.
        body: &'b [u8],
        /// Whether it is the last part.
        end: bool,
    },
    /// The fields after a body, which ends with them.
    Trailers {
        /// Its stream.
        stream: u32,
        /// The fields.
        fields: HeaderMap,
    },
    /// The input ended within a request's body. The reply may still be sent.
    BodyCut {
        /// Its stream.
        stream: u32,
    },
    /// A stream ended prematurely.
    Lost {
        /// Its stream.
        stream: u32,
        /// The driver's data for it.
        own: T,
        /// Why.
        cut: Cut,
    },
    /// The peer sent GOAWAY: no more streams can be opened. Those that it does not process are lost, with
    /// [`Cut::Unprocessed`].
    Going {
        /// Why.
        code: u32,
        /// Its debug data, at most 256 bytes.
        debug: Vec<u8>,
    },
    /// The peer violated the protocol. The output contains a GOAWAY; after it the connection must end.
    Failed(Violation),
}

/// Why a stream ended prematurely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The peer reset it.
    Reset(u32),
    /// The peer did not process it: the request may be sent again (RFC 9113, section 8.7).
    Unprocessed(u32),
    /// The peer's message is malformed; the stream was reset.
    Malformed(&'static str),
    /// The peer opened its window too slowly; the stream was reset.
    Stalled,
    /// The connection ended.
    Ended,
    /// The connection failed.
    Failed,
}

impl Cut {
    /// Whether it is certain that the peer has not processed the request.
    pub fn is_unprocessed(self) -> bool {
        matches!(
            self,
            Self::Unprocessed(_) | Self::Reset(frame::code::REFUSED_STREAM)
        )
    }
}

/// A violation of the protocol by the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The error code for the GOAWAY (RFC 9113, section 7).
    pub code: u32,
    /// A description.
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
