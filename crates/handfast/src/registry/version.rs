//! Protocol versions by number, from the first that was deployed.

use std::fmt;

use super::judgement::Judgement;

/// A protocol version as on the wire, from SSL 3 to TLS 1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum WireVersion {
    /// SSL 3 (RFC 6101).
    Ssl3,
    /// TLS 1.0 (RFC 2246).
    Tls10,
    /// TLS 1.1 (RFC 4346).
    Tls11,
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl WireVersion {
    /// All of them, the oldest first.
    pub const ALL: [Self; 5] = [
        Self::Ssl3,
        Self::Tls10,
        Self::Tls11,
        Self::Tls12,
        Self::Tls13,
    ];

    /// The number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::Ssl3 => 0x0300,
            Self::Tls10 => 0x0301,
            Self::Tls11 => 0x0302,
            Self::Tls12 => 0x0303,
            Self::Tls13 => 0x0304,
        }
    }

    /// The version with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|version| version.number() == number)
    }

    /// `SSL 3`, `TLS 1.0` and so on.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ssl3 => "SSL 3",
            Self::Tls10 => "TLS 1.0",
            Self::Tls11 => "TLS 1.1",
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        }
    }

    /// What to think of a server that speaks it.
    pub const fn judgement(self) -> Judgement {
        match self {
            Self::Ssl3 => Judgement::broken("its padding gives plaintext away (POODLE, RFC 7568)"),
            Self::Tls10 | Self::Tls11 => {
                Judgement::weak("signs with SHA-1 and MD5; deprecated (RFC 8996)")
            }
            Self::Tls12 => Judgement::fine("as good as the cipher suite"),
            Self::Tls13 => Judgement::fine("the current version"),
        }
    }
}

impl fmt::Display for WireVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
