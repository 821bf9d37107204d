//! Plain data about a handshake and the traffic after it.

use std::time::Duration;

use pki_types::CertificateDer;

use crate::side::Side;
use crate::verify::{StapleProblem, StapledResponse, VerifiedPeer, VerifyError};
use crate::version::TlsVersion;

/// The negotiated parameters of a handshake.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// Our side.
    pub side: Side,
    /// The protocol version.
    pub version: TlsVersion,
    /// The cipher suite, by its IANA name.
    pub cipher_suite: &'static str,
    /// The key exchange group, by its IANA name; a resumed TLS 1.2 session has none.
    pub group: Option<&'static str>,
    /// The application protocol (RFC 7301), if any.
    pub alpn: Option<Vec<u8>>,
    /// The server's name: as requested (client) or as sent by the client (server).
    pub server_name: Option<String>,
    /// Whether this handshake resumed a session instead of authenticating with a certificate.
    pub resumed: bool,
    /// The peer's chain as it sent it, end-entity certificate first; from the earlier session when
    /// resumed. Empty if it sent none.
    pub peer_chain: Vec<CertificateDer<'static>>,
    /// The verified peer; `None` without verification.
    pub peer: Option<VerifiedPeer>,
    /// Why verification would have refused the server, where it is off and
    /// [`DangerousClient::accept_any_certificate_but_judge`](crate::DangerousClient::accept_any_certificate_but_judge)
    /// asked for that. `None` if it would have been accepted, and for a resumed session.
    pub objection: Option<Box<VerifyError>>,
    /// For clients: whether the server requested a client certificate.
    pub client_certificate_requested: bool,
    /// For clients: the issuers whose client certificates the server accepts, escaped;
    /// empty if it sent none.
    pub acceptable_issuers: Vec<String>,
    /// For clients: the result of checking the OCSP response that the server stapled to its certificate
    /// (RFC 6066, section 8). `None` without one, and for a resumed session, in which no certificate
    /// is sent. A response that revokes the certificate ends the handshake; an invalid one is
    /// reported here.
    pub staple: Option<Result<StapledResponse, StapleProblem>>,
    /// A client's view: was the ClientHello encrypted, and the server able to decrypt it (RFC 9849)?
    pub encrypted_client_hello: bool,
    /// From the creation of the connection to the end of the handshake.
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
    /// Bytes received from the channel.
    pub bytes_received: u64,
    /// Bytes sent to the channel.
    pub bytes_sent: u64,
}

impl Report {
    /// A report without a handshake.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of_known(side: Side) -> Self {
        Self {
            side,
            version: TlsVersion::Tls13,
            cipher_suite: "unknown",
            group: None,
            alpn: None,
            server_name: None,
            resumed: false,
            peer_chain: Vec::new(),
            peer: None,
            client_certificate_requested: false,
            acceptable_issuers: Vec::new(),
            objection: None,
            staple: None,
            encrypted_client_hello: false,
            handshake: Duration::ZERO,
        }
    }
}

/// A session ticket, or a session id of TLS 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ticket {
    /// Its lifetime according to the server, at most seven days (RFC 8446, section 4.6.1).
    /// `None` if unknown; a TLS 1.2 server may leave it unspecified by sending zero.
    pub lifetime: Option<Duration>,
    /// How much early data it allows (RFC 8446, section 4.2.10), in bytes; 0 for none, as in TLS 1.2.
    pub early_data_bytes_max: u32,
}
