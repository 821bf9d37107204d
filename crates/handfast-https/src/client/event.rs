//! Progress events of a client, as for `handfast get -v`.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use handfast::{CloseOutcome, Ending, Report, Traffic};
use http::{HeaderMap, Method, StatusCode, Version};

use super::completeness::{Framing, Whole};
use super::error::Error;

/// A progress event of an exchange.
///
/// Header fields are as sent and received: before they are printed, secrets must be hidden and control characters escaped.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'e> {
    /// The name has these addresses.
    Resolved {
        /// The name, or an IP address.
        host: &'e str,
        /// In the order in which they are tried.
        addresses: &'e [SocketAddr],
        /// How long it took.
        took: Duration,
    },
    /// One of them answered.
    Connected {
        /// Which one.
        address: SocketAddr,
        /// How long it took.
        took: Duration,
    },
    /// A proxy has connected to the server for us.
    Proxied {
        /// The proxy, as `host:port`.
        proxy: &'e str,
        /// The server, as `host:port`.
        server: &'e str,
        /// How long it took.
        took: Duration,
    },
    /// The handshake is done and the server is who it should be, unless that is not being verified.
    Secured {
        /// What was agreed on, and who the server is.
        report: &'e Report,
    },
    /// The connection has no TLS: the URL's scheme is http.
    Unsecured {
        /// Where it leads.
        address: SocketAddr,
    },
    /// The handshake failed, and the server is being asked what it would have taken, or for its clock.
    Probing {
        /// What it failed with.
        error: &'e handfast::Error,
    },
    /// A connection made earlier serves this request, too.
    Reused {
        /// Where it leads.
        address: SocketAddr,
    },
    /// The request is sent again: a connection that was kept had gone in the meantime, the server says that
    /// it has not processed it, or asks for it over HTTP/1.1.
    Retrying {
        /// What happened at first.
        error: &'e Error,
    },
    /// A request is being sent.
    Requesting {
        /// Its method.
        method: &'e Method,
        /// Its target.
        url: &'e str,
        /// The version it is written in.
        version: Version,
        /// Its header fields.
        headers: &'e HeaderMap,
        /// The size of its body, in bytes; `None` when it is not known.
        body_bytes: Option<u64>,
    },
    /// A piece of an [`Upload`](super::Upload) goes to the connection.
    Uploading {
        /// The piece.
        piece: &'e [u8],
    },
    /// The head of a response has come.
    Responding {
        /// Its version.
        version: Version,
        /// Its status.
        status: StatusCode,
        /// Its header fields.
        headers: &'e HeaderMap,
        /// How the end of its body will be known.
        framing: Framing,
    },
    /// A redirect is being followed.
    Redirecting {
        /// Where to.
        url: &'e str,
        /// With which method.
        method: &'e Method,
    },
    /// A response is complete.
    Completed {
        /// The proof, with a remark where there is one.
        whole: &'e Whole,
        /// The fields after its body.
        trailers: Option<&'e HeaderMap>,
        /// What went over the connection since it was made.
        traffic: Traffic,
        /// How the connection ended; `None` while it goes on.
        ending: Option<Ending>,
        /// The server answered before it had taken the whole request, and not all of it was sent.
        request_cut_short: bool,
    },
    /// A connection was closed, in two phases.
    Closed {
        /// Where it led.
        address: SocketAddr,
        /// How that went.
        outcome: CloseOutcome,
    },
}

/// Receives the events of an exchange.
#[derive(Clone)]
pub(super) struct Callback(pub(super) Arc<dyn Fn(&Event<'_>) + Send + Sync>);

/// All who are told of an exchange: the observer of its client, and that of its request.
#[derive(Debug, Clone, Default)]
pub(super) struct Callbacks {
    pub(super) client: Option<Callback>,
    pub(super) request: Option<Callback>,
}

impl Callbacks {
    pub(super) fn is_empty(&self) -> bool {
        self.client.is_none() && self.request.is_none()
    }

    pub(super) fn tell(&self, event: &Event<'_>) {
        for Callback(observe) in [&self.client, &self.request].into_iter().flatten() {
            observe(event);
        }
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}
