//! What is known of the connection that an exchange goes over, and how long its parts took.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use handfast::Report;
use handfast_dial::proxy::Proxy;

/// The connection of an exchange: which one, how it was made, who its peer is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionFacts {
    /// Its number among those that the client has made, counted from 1.
    pub number: u64,
    /// How many exchanges had begun on it before this one. 0: it was made for this one.
    pub exchanges_before: u64,
    /// Where it leads: an address of the server, or of the proxy.
    pub peer_address: SocketAddr,
    /// The Unix socket that it leads to; the address is `0.0.0.0:0` then.
    pub unix_socket: Option<PathBuf>,
    /// Our end of it, where the operating system tells.
    pub local_address: Option<SocketAddr>,
    /// The proxy that it goes through, as `host:port`.
    pub proxy: Option<String>,
    /// The handshake: versions, cipher suite, application protocol, whether it resumed a session, and the peer's
    /// certificate chain and identity. `None` without TLS, for a URL of the scheme http.
    pub report: Option<Arc<Report>>,
    /// How long it took to make it.
    pub setup: SetupTimes,
}

impl ConnectionFacts {
    /// Has an earlier exchange gone over it?
    pub fn is_reused(&self) -> bool {
        self.exchanges_before > 0
    }

    /// Did its handshake resume a session of an earlier connection (RFC 8446, section 2.2)?
    pub fn is_resumed(&self) -> bool {
        self.report.as_ref().is_some_and(|report| report.resumed)
    }
}

/// How long each step took in making a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SetupTimes {
    /// Name resolution, of the server or the proxy.
    pub resolve: Duration,
    /// TCP: until one of the addresses answered.
    pub connect: Duration,
    /// The request to the proxy, where there is one.
    pub proxy: Option<Duration>,
    /// TLS, as this end has measured it.
    pub handshake: Duration,
}

/// How long the parts of an exchange took, each counted from the call of
/// [`Client::send`](super::Client::send), redirects included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ExchangeTimes {
    /// Until there was a connection, new or kept, for the last of its requests.
    pub connection: Duration,
    /// Until the head of the response had come.
    pub head: Duration,
}

/// A connection as it was made, and how many exchanges have begun on it.
#[derive(Debug)]
pub(super) struct Opened {
    facts: ConnectionFacts,
    /// The proxy that is given the requests themselves.
    forward: Option<Proxy>,
    exchanges: AtomicU64,
}

impl Opened {
    pub(super) fn new(facts: ConnectionFacts, forward: Option<Proxy>) -> Self {
        Self {
            facts,
            forward,
            exchanges: AtomicU64::new(0),
        }
    }

    pub(super) fn forward(&self) -> Option<&Proxy> {
        self.forward.as_ref()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.facts.peer_address
    }

    /// Another exchange begins: the facts for it.
    pub(super) fn begin(&self) -> ConnectionFacts {
        ConnectionFacts {
            exchanges_before: self.exchanges.fetch_add(1, Ordering::Relaxed),
            ..self.facts.clone()
        }
    }
}
