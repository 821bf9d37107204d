//! The parts of an exchange, as errors name them.

use std::fmt;

/// The part of an exchange in which an error happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Building a context: identities, trust anchors, policy. There is no peer yet.
    Configure,
    /// Name resolution.
    Resolve,
    /// TCP connect, or opening another channel.
    Connect,
    /// The plaintext dialogue of a protocol with STARTTLS.
    StartTls,
    /// The TLS handshake, including verification of the peer.
    Handshake,
    /// Sending to the peer after the handshake.
    Request,
    /// Receiving from the peer after the handshake.
    Response,
    /// Ending the exchange.
    Close,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configure => "configuration",
            Self::Resolve => "name resolution",
            Self::Connect => "connect",
            Self::StartTls => "STARTTLS",
            Self::Handshake => "handshake",
            Self::Request => "request",
            Self::Response => "response",
            Self::Close => "close",
        })
    }
}
