//! Kinds of public keys: which they are is decided by an enum, and shown as text only at the end.

use std::fmt;

use x509_parser::x509::SubjectPublicKeyInfo;

/// The algorithm of a public key: by its identifier and, on elliptic curves, the curve.
///
/// Shown by its usual name: `RSA`, `EC P-256`, `Ed25519`, or a dotted object identifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// RSA, for either padding.
    Rsa,
    /// RSA for signatures with PSS padding only (RFC 4055, section 1.2).
    RsaPss,
    /// ECDSA on P-256.
    EcP256,
    /// ECDSA on P-384.
    EcP384,
    /// ECDSA on P-521.
    EcP521,
    /// ECDSA on another curve, by its name or dotted object identifier, if the key names one.
    EcOther(Option<String>),
    /// Ed25519.
    Ed25519,
    /// Ed448, which is not supported.
    Ed448,
    /// Another one, by its name or dotted object identifier.
    Other(String),
}

impl KeyAlgorithm {
    pub(crate) fn of(key: &SubjectPublicKeyInfo<'_>) -> Self {
        let id = key.algorithm.algorithm.to_id_string();
        match id.as_str() {
            "1.2.840.113549.1.1.1" => Self::Rsa,
            "1.2.840.113549.1.1.10" => Self::RsaPss,
            "1.2.840.10045.2.1" => {
                let parameters = key.algorithm.parameters.as_ref();
                let curve = parameters.and_then(|any| any.as_oid().ok());
                Self::of_curve(curve.map(|oid| oid.to_id_string()))
            }
            "1.3.101.112" => Self::Ed25519,
            "1.3.101.113" => Self::Ed448,
            // Not supported; the names are for reports.
            "2.16.840.1.101.3.4.3.17" => Self::Other("ML-DSA-44".to_owned()),
            "2.16.840.1.101.3.4.3.18" => Self::Other("ML-DSA-65".to_owned()),
            "2.16.840.1.101.3.4.3.19" => Self::Other("ML-DSA-87".to_owned()),
            "1.2.840.10040.4.1" => Self::Other("DSA".to_owned()),
            _ => Self::Other(id),
        }
    }

    /// ECDSA on the curve with this object identifier.
    pub(crate) fn of_curve(id: Option<String>) -> Self {
        let name = match id.as_deref() {
            Some("1.2.840.10045.3.1.7") => return Self::EcP256,
            Some("1.3.132.0.34") => return Self::EcP384,
            Some("1.3.132.0.35") => return Self::EcP521,
            // Not supported for signatures; the names are for reports.
            Some("1.3.132.0.10") => "secp256k1",
            Some("1.3.132.0.33") => "P-224",
            Some("1.2.840.10045.3.1.1") => "P-192",
            Some("1.3.36.3.3.2.8.1.1.7") => "brainpoolP256r1",
            Some("1.3.36.3.3.2.8.1.1.11") => "brainpoolP384r1",
            Some("1.3.36.3.3.2.8.1.1.13") => "brainpoolP512r1",
            _ => return Self::EcOther(id),
        };
        Self::EcOther(Some(name.to_owned()))
    }

    /// Whether it is RSA, with any padding.
    pub fn is_rsa(&self) -> bool {
        matches!(self, Self::Rsa | Self::RsaPss)
    }

    /// Whether it is ECDSA, on any curve.
    pub fn is_ecdsa(&self) -> bool {
        matches!(
            self,
            Self::EcP256 | Self::EcP384 | Self::EcP521 | Self::EcOther(_)
        )
    }

    /// Whether handshake signatures by such keys are supported.
    pub(crate) fn is_supported(&self) -> bool {
        matches!(
            self,
            Self::Rsa | Self::EcP256 | Self::EcP384 | Self::EcP521 | Self::Ed25519
        )
    }

    /// The kind by which a client can ask for such a certificate, if it can.
    pub fn kind(&self) -> Option<KeyKind> {
        match self {
            Self::Rsa | Self::RsaPss => Some(KeyKind::Rsa),
            Self::EcP256 | Self::EcP384 | Self::EcP521 | Self::EcOther(_) => Some(KeyKind::Ecdsa),
            Self::Ed25519 => Some(KeyKind::Ed25519),
            Self::Ed448 | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa => "RSA",
            Self::RsaPss => "RSA-PSS",
            Self::EcP256 => "EC P-256",
            Self::EcP384 => "EC P-384",
            Self::EcP521 => "EC P-521",
            Self::EcOther(None) => "EC",
            Self::EcOther(Some(curve)) => return write!(f, "EC {curve}"),
            Self::Ed25519 => "Ed25519",
            Self::Ed448 => "Ed448",
            Self::Other(name) => name,
        })
    }
}

/// A kind of key that a server's certificate may have. A server with certificates of several kinds selects one
/// by the signature schemes that the client offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyKind {
    /// RSA, with either padding.
    Rsa,
    /// ECDSA, on any curve.
    Ecdsa,
    /// Ed25519.
    Ed25519,
}

impl KeyKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rsa, Self::Ecdsa, Self::Ed25519];
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa => "RSA",
            Self::Ecdsa => "ECDSA",
            Self::Ed25519 => "Ed25519",
        })
    }
}
