//! Plain data about a handshake and what flowed after it.

use std::time::Duration;

use pki_types::CertificateDer;

use crate::classify::Facts;
use crate::tls::Agreed;
use crate::verify::{StapleProblem, StapledResponse, VerifiedPeer};

/// Which end of the connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// We opened the handshake.
    Client,
    /// We answered it.
    Server,
}

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
    /// From the making of the connection to the end of the handshake.
    pub handshake: Duration,
}

/// Bytes and records of a connection so far. Records are those that carry application data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
            handshake: Duration::ZERO,
        }
    }

    pub(crate) fn new(agreed: &Agreed<'_>, facts: &Facts, handshake: Duration) -> Self {
        let peer_chain = agreed.peer_chain.unwrap_or_default().to_vec();
        let peer = facts
            .session
            .path
            .as_deref()
            .cloned()
            .map(VerifiedPeer::new)
            .transpose()
            .ok()
            .flatten();
        Self {
            side: facts.side.unwrap_or(Side::Client),
            version: match agreed.version {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
                _ => "unknown",
            },
            cipher_suite: agreed.cipher_suite.map_or("unknown", suite_name),
            group: agreed.group.map(group_name),
            alpn: agreed.alpn.map(<[u8]>::to_vec),
            server_name: facts.server_name.clone(),
            resumed: agreed.resumed,
            peer_chain,
            peer,
            client_certificate_requested: facts.certificate_request.is_some(),
            acceptable_issuers: facts
                .certificate_request
                .iter()
                .flatten()
                .map(|issuer| crate::x509::describe_name_der(issuer))
                .collect(),
            staple: facts.staple.clone(),
            handshake,
        }
    }
}

/// The IANA name of a cipher suite. rustls' own name has a prefix for the TLS 1.3 ones.
pub(crate) fn suite_name(suite: rustls::CipherSuite) -> &'static str {
    let name = suite.as_str().unwrap_or("unknown");
    match name {
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        other => other,
    }
}

/// The IANA name of a key exchange group.
pub(crate) fn group_name(group: rustls::NamedGroup) -> &'static str {
    match group {
        rustls::NamedGroup::X25519 => "x25519",
        other => other.as_str().unwrap_or("unknown"),
    }
}
