//! What questions to a server found out about a handshake that failed.

use handfast::registry::{GroupId, SchemeId, WireVersion};

use crate::answer::ServerHello;

/// What an inquiry found a server to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probed {
    /// How many connections were made for it.
    pub connections: usize,
    /// Where the two offers do not meet.
    pub finding: Finding,
    /// What the handshake itself had failed with, in one sentence.
    pub failed_with: String,
}

/// Where the offers of a client and a server do not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// No protocol version is common.
    Versions {
        /// Ours.
        ours: Vec<WireVersion>,
        /// What the server would take.
        theirs: ServerHello,
    },
    /// No cipher suite is.
    Suites {
        /// What the server would take.
        theirs: ServerHello,
    },
    /// No key exchange group is.
    Groups {
        /// Ours.
        ours: Vec<GroupId>,
        /// What the server would take.
        theirs: ServerHello,
    },
    /// The server can sign by no scheme that we check.
    Schemes {
        /// What it would sign by; one of them, where several could not be told apart, or none.
        theirs: Vec<SchemeId>,
    },
    /// The key of its certificate is of a kind that we do not support, or on a curve that we do not offer: before
    /// TLS 1.3 the groups offered are the curves of certificates, too (RFC 8422, section 5.1).
    CertificateKey {
        /// The kind of its key, such as "EC secp256k1".
        theirs: String,
    },
    /// It answers when it is not told the name.
    Name {
        /// What it would take then.
        theirs: ServerHello,
    },
    /// It took the same offer from a probe: the cause lies elsewhere.
    NotTheOffer,
    /// It refused every offer that there is.
    RefusesAll,
}
