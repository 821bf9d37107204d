//! The server's events: values for an audit log, never text on a stream.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use handfast::{Alert, ClientOffer, CloseOutcome, Ending, Error, Traffic, VerifiedPeer};
use http::header::{HOST, HeaderMap, HeaderValue, REFERER, USER_AGENT};
use http::{Method, StatusCode, Uri, Version};

use super::address::{LocalAddress, PeerAddress};
use super::handler::ConnectionInfo;

/// Receives events, on the serving threads: it must not block for long. One that panics loses the event, and the server goes on.
///
/// What a client sent (targets, names, first bytes) is given as it was sent; before it goes to a
/// terminal or a line-based log it must be escaped ([`handfast::escape_control`]).
pub trait Observer: Send + Sync + 'static {
    /// A request has been answered, or its answer broke off.
    fn request(&self, event: &RequestEvent<'_>) {
        let _ = event;
    }

    /// Whether requests' header fields are wanted ([`RequestEvent::fields`]): keeping them costs an allocation for
    /// each request. Asked once for each connection.
    fn wants_fields(&self) -> bool {
        false
    }

    /// A handshake has succeeded: the connection is going to be served.
    fn connection_opened(&self, connection: &ConnectionInfo) {
        let _ = connection;
    }

    /// A handshake failed: one event for each, also for a connection that was opened and closed
    /// without a byte, and for one that was cut off because the server stops.
    fn handshake_failed(&self, event: &HandshakeEvent<'_>) {
        let _ = event;
    }

    /// A connection to a listener for plain HTTP, which [redirects](super::Redirect) to https, has ended.
    fn redirected(&self, event: &RedirectEvent<'_>) {
        let _ = event;
    }

    /// A connection whose handshake had succeeded has ended.
    fn connection_closed(&self, event: &CloseEvent<'_>) {
        let _ = event;
    }

    /// As many connections are open as may be ([`Limits::connections_max`](super::Limits::connections_max)), and
    /// another one waits. Told once until there is room again.
    fn connections_full(&self, connections_max: usize) {
        let _ = connections_max;
    }

    /// An address took more than its limits allow ([`Limits`](super::Limits)), and something was cut. Told at the first
    /// cut, and then at most once a minute for each address and limit, with how many it were since; of an attack from many
    /// addresses, 64 a minute are told and the others as one sum.
    fn address_limited(&self, event: &LimitEvent) {
        let _ = event;
    }

    /// The system refused to hand out a connection (no descriptors, no memory). The server goes on
    /// after `pause`; if that is zero, it closes the listener, and connections in its queue are reset.
    fn accept_failed(&self, error: &io::Error, pause: Duration) {
        let _ = (error, pause);
    }
}

/// A limit on what one address may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressLimit {
    /// [`Limits::connections_per_address_max`](super::Limits::connections_per_address_max): a connection was reset.
    Connections,
    /// [`Limits::handshakes_per_address`](super::Limits::handshakes_per_address): a connection was reset.
    Handshakes,
    /// [`Limits::requests_per_address`](super::Limits::requests_per_address): a request got 429.
    Requests,
}

impl AddressLimit {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Connections, Self::Handshakes, Self::Requests];

    /// A word for it: `connections`, `handshakes`, `requests`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Handshakes => "handshakes",
            Self::Requests => "requests",
        }
    }
}

/// Something was cut because an address took more than its limits allow.
#[derive(Debug)]
#[non_exhaustive]
pub struct LimitEvent {
    /// When it is told.
    pub time: SystemTime,
    /// The limit that was reached.
    pub limit: AddressLimit,
    /// The IPv4 address, or the first address of the IPv6 network of 64 bits. `None`: several, too many to tell each.
    pub address: Option<IpAddr>,
    /// Connections or requests that were cut and not told before.
    pub count: u64,
}

/// The observer that keeps everything to itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}

/// How the transfer of a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransferEnd {
    /// All of it was handed to the transport and flushed.
    Complete,
    /// It broke off: the client went away or stalled, the file shrank, the server stopped.
    Aborted,
}

/// Why the transfer of a reply broke off. What else happened to its connection is told when that ends
/// ([`CloseEvent::reason`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AbortReason {
    /// The client reset the HTTP/2 stream, with this error code (RFC 9113, section 7).
    Reset(u32),
    /// The client violated HTTP/2 on this stream.
    Malformed,
    /// The client took less than [`Limits::write_rate_min`](super::Limits::write_rate_min), of this reply or of all.
    Stalled,
    /// The reply's body failed: a file shrank, or reading it failed.
    Body,
    /// The connection ended before the reply was sent.
    Connection,
    /// The server stopped, and the time for running replies was over.
    Stopped,
}

impl AbortReason {
    /// A word for it: `reset`, `malformed`, `stalled`, `body`, `connection`, `stopped`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reset(_) => "reset",
            Self::Malformed => "malformed",
            Self::Stalled => "stalled",
            Self::Body => "body",
            Self::Connection => "connection",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for AbortReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset(code) => {
                let name = handfast_http::h2::frame::code::name(*code);
                write!(f, "stream reset by the client ({name})")
            }
            Self::Malformed => f.write_str("the client violated HTTP/2"),
            Self::Stalled => f.write_str("the client took too little"),
            Self::Body => f.write_str("the content could not be read to its end"),
            Self::Connection => f.write_str("the connection ended"),
            Self::Stopped => f.write_str("the server stopped"),
        }
    }
}

/// The header fields of a request that logs usually have.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestFields {
    /// Host (RFC 9110, section 7.2). HTTP/2 has it in the target instead.
    pub host: Option<HeaderValue>,
    /// Referer (RFC 9110, section 10.1.3).
    pub referer: Option<HeaderValue>,
    /// User-Agent (RFC 9110, section 10.1.5).
    pub user_agent: Option<HeaderValue>,
}

impl RequestFields {
    pub(super) fn of(fields: &HeaderMap) -> Self {
        Self {
            host: fields.get(HOST).cloned(),
            referer: fields.get(REFERER).cloned(),
            user_agent: fields.get(USER_AGENT).cloned(),
        }
    }
}

/// A request and what became of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct RequestEvent<'a> {
    /// When its head had arrived.
    pub time: SystemTime,
    /// The client and its connection.
    pub connection: &'a ConnectionInfo,
    /// Its method.
    pub method: &'a Method,
    /// Its target as sent.
    pub target: &'a Uri,
    /// Its protocol version.
    pub version: Version,
    /// The user named by the handler; what the client calls itself, as it was sent.
    pub user: Option<&'a str>,
    /// The answer's status; `None` when the client went away before there was one.
    pub status: Option<StatusCode>,
    /// Bytes of the answer's body that were handed to the transport.
    pub bytes: u64,
    /// From the head's arrival to the end of the answer.
    pub duration: Duration,
    /// Whether all of the answer went out.
    pub end: TransferEnd,
    /// Why not.
    pub abort: Option<AbortReason>,
    /// Some of its header fields, if they are [wanted](Observer::wants_fields).
    pub fields: Option<&'a RequestFields>,
}

impl RequestEvent<'_> {
    /// The client's verified identity, if a certificate was requested.
    pub fn client(&self) -> Option<&VerifiedPeer> {
        self.connection.client()
    }
}

/// A handshake that failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct HandshakeEvent<'a> {
    /// When it failed.
    pub time: SystemTime,
    /// The client's address.
    pub peer: PeerAddress,
    /// Where it connected to.
    pub local: &'a LocalAddress,
    /// The server name that the client asked for (RFC 6066), if it came that far.
    pub server_name: Option<&'a str>,
    /// What the client offered in its ClientHello, as far as that arrived.
    pub offer: Option<&'a ClientOffer>,
    /// The alert sent to the client.
    pub alert_sent: Option<Alert>,
    /// The alert by which the client gave up.
    pub alert_received: Option<Alert>,
    /// Bytes that the client had sent.
    pub bytes_received: u64,
    /// Why it failed.
    pub error: &'a Error,
    /// What the client sent instead of TLS: its first bytes.
    pub first_bytes: &'a [u8],
    /// The status of the plain HTTP reply, where the client spoke plain HTTP: 308 or 400.
    pub plain_http: Option<StatusCode>,
    /// From accepting to the failure.
    pub duration: Duration,
}

/// What was answered to a client of plain HTTP.
#[derive(Debug)]
#[non_exhaustive]
pub struct RedirectEvent<'a> {
    /// When.
    pub time: SystemTime,
    /// The client's address.
    pub peer: PeerAddress,
    /// Where it connected to.
    pub local: &'a LocalAddress,
    /// The status of the reply: 308 (Permanent Redirect), 400 (Bad Request) or 421 (Misdirected Request). `None` when
    /// nothing was answered: no HTTP came, or the client left.
    pub status: Option<StatusCode>,
    /// The URL in the reply.
    pub location: Option<&'a str>,
    /// The first line of the request as it was sent, without its end; at most 256 bytes.
    pub request_line: &'a [u8],
    /// From accepting to the end.
    pub duration: Duration,
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// HTTP was done: the last reply said so, or the client left between requests.
    Finished,
    /// No request came for [`Limits::idle`](super::Limits::idle).
    Idle,
    /// No request came for some seconds, and its place was wanted for another connection
    /// ([`Limits::connections_max`](super::Limits::connections_max)).
    MadeRoom,
    /// A request head did not end within [`Limits::head`](super::Limits::head).
    HeadTimedOut,
    /// The client took less of its replies than [`Limits::write_rate_min`](super::Limits::write_rate_min).
    Stalled,
    /// The client's data is not HTTP; it got an error response if the protocol allows it.
    BadRequest(String),
    /// The exchange broke off.
    BrokenOff(String),
    /// The server stopped, and the time for running replies was over.
    Stopped,
}

/// How a connection ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct CloseEvent<'a> {
    /// When.
    pub time: SystemTime,
    /// Which connection.
    pub connection: &'a ConnectionInfo,
    /// Why.
    pub reason: CloseReason,
    /// How the two-phase close went; `None` when the connection was cut instead, so that the client
    /// cannot take what it has for whole.
    pub outcome: Option<CloseOutcome>,
    /// How the client's direction had ended.
    pub ending: Option<Ending>,
    /// Bytes and records.
    pub traffic: Traffic,
    /// How many requests it carried.
    pub requests: u64,
    /// From accepting to the end.
    pub duration: Duration,
}
