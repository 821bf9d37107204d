//! Plain data about a handshake and what flowed after it.

use std::time::Duration;

use pki_types::CertificateDer;

use crate::side::Side;
use crate::verify::{StapleProblem, StapledResponse, VerifiedPeer};

/// What a handshake agreed on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// Which end we are.
    pub side: Side,
    /// The protocol version: `TLS 1.2` or `TLS 1.3`.
    pub version: &'static str,
    /// The cipher suite, by its IANA name.
    pub cipher_suite: &'static str,
    /// The key exchange group, by its IANA name; a resumed TLS 1.2 session has none.
    pub group: Option<&'static str>,
    /// The application protocol (RFC 7301), if one was agreed on.
    pub alpn: Option<Vec<u8>>,
    /// The server's name: the one asked for (client) or the one the client sent (server).
    pub server_name: Option<String>,
    /// Did this handshake take up an earlier session instead of authenticating anew?
    pub resumed: bool,
    /// The peer's chain as it sent it, end-entity certificate first; from the earlier session when
    /// resumed. Empty when it sent none.
    pub peer_chain: Vec<CertificateDer<'static>>,
    /// Who the peer is, when that was verified.
    pub peer: Option<VerifiedPeer>,
    /// A client's view: did the server ask for a client certificate?
    pub client_certificate_requested: bool,
    /// A client's view: the issuers that the server would accept a client certificate from, escaped;
    /// empty when it named none.
    pub acceptable_issuers: Vec<String>,
    /// A client's view: the verdict on the OCSP response that the server stapled to its certificate
    /// (RFC 6066, section 8). `None` without one, and for a resumed session, in which no certificate
    /// is sent. A response that revokes the certificate ends the handshake; one that cannot be
    /// believed is worth a remark.
    pub staple: Option<Result<StapledResponse, StapleProblem>>,
    /// A client's view: was the ClientHello encrypted, and the server able to decrypt it (RFC 9849)?
    pub encrypted_client_hello: bool,
    /// From the making of the connection to the end of the handshake.
    pub handshake: Duration,
}

/// Bytes and records of a connection so far. Records are those that carry application data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Traffic {
    /// Records decrypted.
    pub records_received: u64,
    /// Records made.
    pub records_sent: u64,
    /// Plaintext bytes decrypted.
    pub plaintext_received: u64,
    /// Plaintext bytes encrypted.
    pub plaintext_sent: u64,
    /// Bytes that came from the channel.
    pub bytes_received: u64,
    /// Bytes that the channel took.
    pub bytes_sent: u64,
}

impl Report {
    /// Of a handshake that never was.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of_known(side: Side) -> Self {
        Self {
            side,
            version: "unknown",
            cipher_suite: "unknown",
            group: None,
            alpn: None,
            server_name: None,
            resumed: false,
            peer_chain: Vec::new(),
            peer: None,
            client_certificate_requested: false,
            acceptable_issuers: Vec::new(),
            staple: None,
            encrypted_client_hello: false,
            handshake: Duration::ZERO,
        }
    }
}

/// What a server gave out for its session to be taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ticket {
    /// How long the server means it to be used: at most seven days count (RFC 8446, section 4.6.1).
    /// `None` when that is not known; a TLS 1.2 server may leave it open by saying zero.
    pub lifetime: Option<Duration>,
    /// How much early data it allows (RFC 8446, section 4.2.10), in bytes; 0 for none, as in TLS 1.2.
    pub early_data_bytes_max: u32,
}
