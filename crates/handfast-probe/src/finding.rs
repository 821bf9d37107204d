//! Findings of probes after a failed handshake.

use handfast::registry::{GroupId, SchemeId, WireVersion};

use crate::answer::ServerHello;

/// The result of an inquiry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probed {
    /// The number of connections made.
    pub connections: usize,
    /// What client and server do not have in common.
    pub finding: Finding,
    /// The error of the handshake itself, in one sentence.
    pub failed_with: String,
}

/// What a client and a server do not have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// No common protocol version.
    Versions {
        /// Ours.
        ours: Vec<WireVersion>,
        /// What the server accepts.
        theirs: ServerHello,
    },
    /// No common cipher suite.
    Suites {
        /// What the server accepts.
        theirs: ServerHello,
    },
    /// No common key exchange group.
    Groups {
        /// Ours.
        ours: Vec<GroupId>,
        /// What the server accepts.
        theirs: ServerHello,
    },
    /// No common signature scheme.
    Schemes {
        /// The schemes of the server; one of them if several cannot be distinguished, or none.
        theirs: Vec<SchemeId>,
    },
    /// The key of its certificate has an unsupported type, or is on a curve that is not offered: before
    /// TLS 1.3 the offered groups also apply to certificates (RFC 8422, section 5.1).
    CertificateKey {
        /// The type of its key, such as "EC secp256k1".
        theirs: String,
    },
    /// It accepts a hello without the server name.
    Name {
        /// What the server accepts then.
        theirs: ServerHello,
    },
    /// It accepted the same offer from a probe: the cause is not the offer.
    NotTheOffer,
    /// It refused every offer.
    RefusesAll,
}
