//! The configuration of a server.

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use handfast::{ClosePolicy, ServerContext};

use super::listener::Listener;
use super::observer::{Observer, Silent};

/// The application protocols that the server speaks, for
/// [`ServerContextBuilder::alpn`](handfast::ServerContextBuilder::alpn): without it clients get
/// HTTP/1.1.
pub const ALPN: [&str; 2] = ["h2", "http/1.1"];

/// Bounds on what clients may take, all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at once. At the limit more wait, one with each listener and the others in the system's
    /// queue, and those that are open make room: kept ones that have been idle for 5 s are closed, and replies end
    /// their connections. The last 64 places (of fewer than 1024, one in 16) are given away for one request each.
    /// Default 8192: what a process with 20,000 descriptors can give a file each.
    pub connections_max: usize,
    /// From the accepting of a connection to the end of its first request head, handshake included;
    /// for a later request on it, from the head's first byte to its last. Default 15 s: a handshake
    /// and a head over a path that loses packets.
    pub head: Duration,
    /// Between a reply and the next request. Default 60 s.
    pub idle: Duration,
    /// The span in which a client has to take [`write_rate_min`](Self::write_rate_min) bytes of its replies for
    /// each second. One that does not is dropped, at most a quarter of the span later. Default 60 s.
    pub write: Duration,
    /// Bytes a second that a client has to take, on average over [`write`](Self::write): counted when it has
    /// acknowledged them, if the system reports it (as on Linux; elsewhere, when the system accepted them).
    /// Time in which nothing was there to be taken does not count. Default 128: a modem's hundredth part, and
    /// too much for those who hold connections up by taking a byte now and then.
    pub write_rate_min: u32,
    /// Of silence while a handler waits for the request's body. Default 30 s.
    pub read: Duration,
    /// Bytes a second that a client has to send of a request's body, on average over [`read`](Self::read): only time counts
    /// in which a handler waits for it. Default 128, as for [`write_rate_min`](Self::write_rate_min); 0 is no limit, for handlers that are
    /// meant to read what comes now and then.
    pub read_rate_min: u32,
    /// Bytes of a request head. Default 32 KiB; less than 8 KiB is 8 KiB.
    pub head_bytes_max: usize,
    /// Header fields of a request. Default 100.
    pub fields_max: usize,
    /// HTTP/2 streams at once on a connection. Default 128: RFC 9113 recommends no less than 100.
    pub streams_max: u32,
    /// The limit on bytes of an unread request body that are discarded so that the reply arrives
    /// and the connection can be used again. Default 4 MiB.
    pub discard_max: u64,
    /// Connections at once from one address: an IPv4 address, or an IPv6 network of 64 bits. A further one is reset before TLS:
    /// that costs the server three system calls and leaves nothing behind, and clients see that the server is there and
    /// does not want them. Default: no limit, as for the two below: behind address translation hundreds of people
    /// share an address, and behind a load balancer all do, so that any number would be wrong for some. What
    /// keeps one client from taking the whole server without them is that connections that are idle or slow make room.
    /// Servers that clients reach directly do well with some 100 connections, and 20 handshakes and 200 requests a second.
    /// Loopback is an address like others; clients of Unix sockets have none.
    pub connections_per_address_max: Option<NonZeroUsize>,
    /// TLS handshakes of one address, and connections to listeners that redirect. One too many is reset before TLS. Default:
    /// no limit.
    pub handshakes_per_address: Option<Rate>,
    /// Requests of one address. One too many gets 429 (Too Many Requests) with `Retry-After`, and no handler sees it.
    /// Default: no limit.
    pub requests_per_address: Option<Rate>,
    /// Bytes of replies that were made and could not be sent yet, of all connections together; 256 KiB of one
    /// connection. At the limit replies are made record by record, so that those who take them are
    /// served all the same. Default 128 MiB: what 512 downloads to slow clients hold at most.
    pub held_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 8192,
            head: Duration::from_secs(15),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(60),
            write_rate_min: 128,
            read: Duration::from_secs(30),
            read_rate_min: 128,
            head_bytes_max: 32 * 1024,
            fields_max: 100,
            streams_max: 128,
            discard_max: 4 * 1024 * 1024,
            connections_per_address_max: None,
            handshakes_per_address: None,
            requests_per_address: None,
            held_bytes_max: 128 * 1024 * 1024,
        }
    }
}

/// How often something may happen: so many times a second on average, and so many at once after a pause (a token
/// bucket of that depth).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rate {
    /// On average.
    pub per_second: NonZeroU32,
    /// At once; 0 is 1.
    pub burst: u32,
}

impl Rate {
    /// So many a second on average, and so many at once.
    pub const fn new(per_second: NonZeroU32, burst: u32) -> Self {
        Self { per_second, burst }
    }
}

/// How a [`Server`](super::Server) is to be set up.
#[derive(Clone)]
#[must_use]
pub struct ServerConfig {
    pub(super) context: ServerContext,
    pub(super) listen: Vec<Listener>,
    pub(super) threads: Option<NonZeroUsize>,
    pub(super) limits: Limits,
    pub(super) close: ClosePolicy,
    pub(super) observer: Arc<dyn Observer>,
}

impl ServerConfig {
    /// A server with this identity and policy towards clients. It listens nowhere yet.
    pub fn new(context: ServerContext) -> Self {
        Self {
            context,
            listen: Vec::new(),
            threads: None,
            limits: Limits::default(),
            close: ClosePolicy::default(),
            observer: Arc::new(Silent),
        }
    }

    /// Adds an address to listen on. Port 0 takes a free one, which
    /// [`Server::local_addrs`](super::Server::local_addrs) returns. Default: none.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen.push(Listener::address(address));
        self
    }

    /// Adds what to listen on: an address, a Unix socket, or a socket that was bound before, for HTTPS or for redirects
    /// to it. Default: none.
    pub fn listener(mut self, listener: Listener) -> Self {
        self.listen.push(listener);
        self
    }

    /// How many threads serve. Default: one per core that the process may use.
    pub fn threads(mut self, count: NonZeroUsize) -> Self {
        self.threads = Some(count);
        self
    }

    /// Bounds on what clients may take. Default: see [`Limits`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How to close connections. Default: [`ClosePolicy::Linger`], with which a reply is never
    /// destroyed by unread bytes of the request.
    pub fn close_policy(mut self, policy: ClosePolicy) -> Self {
        self.close = policy;
        self
    }

    /// The observer of events. Default: none.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// How many threads that makes.
    pub fn thread_count(&self) -> usize {
        self.threads
            .or_else(|| thread::available_parallelism().ok())
            .map_or(1, NonZeroUsize::get)
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("context", &self.context)
            .field("listen", &self.listen)
            .field("threads", &self.threads)
            .field("limits", &self.limits)
            .field("close", &self.close)
            .finish_non_exhaustive()
    }
}
