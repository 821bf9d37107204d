//! Recognizing what a DER blob is, before it is parsed.
//!
//! Owns recognition: certificate, request, key and its encoding, encrypted or not. Whether it is valid is
//! determined by the parser of each kind.

use crate::der::{
    BIT_STRING, CONTEXT_0, Element, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE,
};
use crate::key_algorithm::KeyAlgorithm;
use crate::wire::bit_length;

const PKCS7: &str = "1.2.840.113549.1.7.";

/// The kind of a DER blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Certificate,
    Request,
    RevocationList,
    /// SubjectPublicKeyInfo, or PKCS#1's RSAPublicKey.
    PublicKey,
    Pkcs1,
    Sec1,
    Pkcs8,
    EncryptedPkcs8,
    /// The legacy encoding of OpenSSL.
    DsaKey,
    Pkcs12,
    Pkcs7,
    Parameters,
}

impl Kind {
    /// With an article, for messages.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Certificate => "a certificate",
            Self::Request => "a certificate signing request",
            Self::RevocationList => "a revocation list",
            Self::PublicKey => "a public key",
            Self::Pkcs1 | Self::Sec1 | Self::Pkcs8 => "a private key",
            Self::EncryptedPkcs8 => "an encrypted private key",
            Self::DsaKey => "a DSA private key",
            Self::Pkcs12 => "a PKCS#12 file",
            Self::Pkcs7 => "a PKCS#7 bundle",
            Self::Parameters => "key parameters",
        }
    }
}

/// Recognizes a blob by its outermost structure.
pub(crate) fn recognise(der: &[u8]) -> Option<Kind> {
    let outer = Element::only(der)?;
    if outer.tag == OBJECT_IDENTIFIER {
        return Some(Kind::Parameters);
    }
    if outer.tag != SEQUENCE {
        return None;
    }
    // More elements than the longest of these structures has need not be read.
    let children: Vec<_> = outer.children().take(10).collect();
    let tags: Vec<u8> = children.iter().map(|child| child.tag).collect();
    match tags.as_slice() {
        [SEQUENCE, OCTET_STRING] => Some(Kind::EncryptedPkcs8),
        [SEQUENCE, BIT_STRING] => Some(Kind::PublicKey),
        [SEQUENCE, SEQUENCE, BIT_STRING] => children.first().copied().and_then(signed),
        [INTEGER, SEQUENCE, OCTET_STRING, ..] => Some(Kind::Pkcs8),
        [INTEGER, OCTET_STRING, ..] => Some(Kind::Sec1),
        [INTEGER, SEQUENCE, ..] => {
            let content_type = children.get(1).and_then(|child| child.children().next());
            let is_pkcs7 = content_type
                .and_then(Element::oid)
                .is_some_and(|oid| oid.starts_with(PKCS7));
            // Otherwise explicit curve parameters.
            Some(if is_pkcs7 {
                Kind::Pkcs12
            } else {
                Kind::Parameters
            })
        }
        [OBJECT_IDENTIFIER, CONTEXT_0] => children
            .first()
            .and_then(|child| child.oid())
            .filter(|oid| oid.starts_with(PKCS7))
            .map(|_| Kind::Pkcs7),
        [INTEGER, rest @ ..] if rest.iter().all(|tag| *tag == INTEGER) => match tags.len() {
            9 => Some(Kind::Pkcs1),
            6 => Some(Kind::DsaKey),
            // An RSA exponent is far smaller than its modulus. A Diffie-Hellman prime and its
            // generator look the same, but are not used in DER.
            2 => Some(Kind::PublicKey),
            _ => Some(Kind::Parameters),
        },
        _ => None,
    }
}

/// Distinguishes signed structures: a certificate, a request, a revocation list.
fn signed(body: Element<'_>) -> Option<Kind> {
    let tags: Vec<u8> = body.children().take(5).map(|child| child.tag).collect();
    match tags.as_slice() {
        [CONTEXT_0, INTEGER, SEQUENCE, SEQUENCE, ..]
        | [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE] => Some(Kind::Certificate),
        [INTEGER, SEQUENCE, SEQUENCE, ..]
            if tags.get(3) != Some(&0x17) && tags.get(3) != Some(&0x18) =>
        {
            Some(Kind::Request)
        }
        [INTEGER, SEQUENCE, SEQUENCE, ..] | [SEQUENCE, SEQUENCE, ..] => Some(Kind::RevocationList),
        _ => None,
    }
}

/// The algorithm of a PKCS#1, SEC1 or PKCS#8 private key, and the size of an RSA modulus in bits.
pub(super) fn describe_private_key(kind: Kind, der: &[u8]) -> (KeyAlgorithm, Option<u32>) {
    let other = |name: &str| (KeyAlgorithm::Other(name.to_owned()), None);
    let children = Element::only(der).map(|outer| outer.children().collect::<Vec<_>>());
    let children = children.unwrap_or_default();
    match kind {
        Kind::Pkcs1 => (
            KeyAlgorithm::Rsa,
            children
                .get(1)
                .filter(|modulus| modulus.tag == INTEGER)
                .and_then(|modulus| bit_length(modulus.content)),
        ),
        Kind::Sec1 => {
            let curve = children
                .iter()
                .find(|child| child.tag == CONTEXT_0)
                .and_then(|parameters| parameters.children().next());
            (curve_algorithm(curve), None)
        }
        Kind::Pkcs8 => {
            let mut algorithm = children.get(1).map(|id| id.children());
            let id = algorithm.as_mut().and_then(Iterator::next);
            let parameters = algorithm.as_mut().and_then(Iterator::next);
            let id = id.and_then(Element::oid).unwrap_or_default();
            match id.as_str() {
                "1.2.840.113549.1.1.1" => {
                    let inner = children.get(2).map_or(&[][..], |key| key.content);
                    describe_private_key(Kind::Pkcs1, inner)
                }
                "1.2.840.10045.2.1" => (curve_algorithm(parameters), None),
                _ => (algorithm_of(&id), None),
            }
        }
        Kind::DsaKey => other("DSA"),
        _ => other("not a private key"),
    }
}

fn curve_algorithm(curve: Option<Element<'_>>) -> KeyAlgorithm {
    let Some(id) = curve.and_then(Element::oid) else {
        let none = "with explicit or missing curve parameters";
        return KeyAlgorithm::EcOther(Some(none.to_owned()));
    };
    KeyAlgorithm::of_curve(Some(id))
}

fn algorithm_of(id: &str) -> KeyAlgorithm {
    let name = match id {
        "1.3.101.112" => return KeyAlgorithm::Ed25519,
        "1.3.101.113" => return KeyAlgorithm::Ed448,
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.113549.1.3.1" => "Diffie-Hellman",
        "1.2.840.10040.4.1" => "DSA",
        "1.3.101.110" => "X25519",
        "1.3.101.111" => "X448",
        "2.16.840.1.101.3.4.3.17" => "ML-DSA-44",
        "2.16.840.1.101.3.4.3.18" => "ML-DSA-65",
        "2.16.840.1.101.3.4.3.19" => "ML-DSA-87",
        "" => "of an unreadable type",
        other => return KeyAlgorithm::Other(format!("object identifier {other}")),
    };
    KeyAlgorithm::Other(name.to_owned())
}

/// Every object identifier in a blob, in order, including octet strings that contain DER: to name an
/// algorithm that the parser does not support.
#[cfg(feature = "encrypted-keys")]
pub(super) fn object_identifiers(der: &[u8]) -> Vec<String> {
    // Deep enough for PKCS#12, which nests most, without exhausting the stack.
    const DEPTH_MAX: u8 = 24;
    const COUNT_MAX: usize = 64;
    fn walk(bytes: &[u8], depth: u8, found: &mut Vec<String>) {
        let mut rest = bytes;
        while let Some((element, after)) = Element::first(rest) {
            if found.len() >= COUNT_MAX {
                return;
            }
            found.extend(element.oid());
            let holds_elements = element.tag & 0x20 != 0
                || (element.tag == OCTET_STRING && Element::only(element.content).is_some());
            if depth > 0 && holds_elements {
                walk(element.content, depth - 1, found);
            }
            rest = after;
        }
    }
    let mut found = Vec::new();
    walk(der, DEPTH_MAX, &mut found);
    found
}

/// Why a blob is not DER, as far as known.
pub(crate) fn complaint(der: &[u8]) -> &'static str {
    match Element::first(der) {
        _ if der.first() != Some(&SEQUENCE) => "it does not begin with a DER SEQUENCE",
        None => "it is truncated",
        Some((_, [])) => "it has an unknown structure",
        Some(_) => "more bytes follow it",
    }
}

/// Whether it begins with a SEQUENCE of indefinite length, which BER allows and DER does not.
pub(super) fn is_indefinite(bytes: &[u8]) -> bool {
    bytes.starts_with(&[SEQUENCE, 0x80])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_lengths_are_refused() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0x80, 0, 0],
            &[0x30, 2, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 0x88, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(Element::first(bytes).is_none(), "{bytes:?}");
            assert_eq!(recognise(bytes), None);
        }
    }

    #[cfg(feature = "encrypted-keys")]
    #[test]
    fn deep_nesting_is_limited() {
        let mut bytes = vec![0x06, 1, 0x2a];
        for _ in 0..60 {
            let length = u8::try_from(bytes.len()).unwrap();
            bytes.splice(0..0, [0x30, length]);
        }
        assert_eq!(object_identifiers(&bytes), Vec::<String>::new());
        assert_eq!(object_identifiers(&[0x30, 3, 0x06, 1, 0x2a]), ["1.2"]);
    }
}
