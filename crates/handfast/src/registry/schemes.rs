//! Signature schemes by number, and their names.

use super::judgement::Judgement;

/// A signature scheme by its number on the wire (RFC 8446, section 4.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemeId(pub u16);

const TABLE: &[(u16, &str)] = &[
    (0x0201, "rsa_pkcs1_sha1"),
    (0x0202, "dsa_sha1"),
    (0x0203, "ecdsa_sha1"),
    (0x0302, "dsa_sha224"),
    (0x0401, "rsa_pkcs1_sha256"),
    (0x0402, "dsa_sha256"),
    (0x0403, "ecdsa_secp256r1_sha256"),
    (0x0501, "rsa_pkcs1_sha384"),
    (0x0503, "ecdsa_secp384r1_sha384"),
    (0x0601, "rsa_pkcs1_sha512"),
    (0x0603, "ecdsa_secp521r1_sha512"),
    (0x0804, "rsa_pss_rsae_sha256"),
    (0x0805, "rsa_pss_rsae_sha384"),
    (0x0806, "rsa_pss_rsae_sha512"),
    (0x0807, "ed25519"),
    (0x0808, "ed448"),
    (0x0809, "rsa_pss_pss_sha256"),
    (0x080a, "rsa_pss_pss_sha384"),
    (0x080b, "rsa_pss_pss_sha512"),
    (0x081a, "ecdsa_brainpoolP256r1tls13_sha256"),
    (0x081b, "ecdsa_brainpoolP384r1tls13_sha384"),
    (0x081c, "ecdsa_brainpoolP512r1tls13_sha512"),
    (0x0904, "mldsa44"),
    (0x0905, "mldsa65"),
    (0x0906, "mldsa87"),
];

impl SchemeId {
    /// The kind of key that signs so, where that is an unsupported kind.
    pub fn foreign_key(self) -> Option<&'static str> {
        Some(match self.0 {
            0x0202 | 0x0302 | 0x0402 => "DSA",
            0x0808 => "Ed448",
            0x0809..=0x080b => "RSA-PSS",
            0x081a..=0x081c => "EC Brainpool",
            0x0904..=0x0906 => "ML-DSA",
            _ => return None,
        })
    }

    /// What to think of a server that signs its handshakes so.
    pub fn judgement(self) -> Judgement {
        match self.0 {
            0x0201..=0x0203 => Judgement::weak("signs with SHA-1 (RFC 9155)"),
            0x0302 | 0x0402 => Judgement::weak("DSA: a reused nonce gives the key away"),
            0x0401 | 0x0501 | 0x0601 => Judgement::fine("an old padding; TLS 1.3 has none of it"),
            _ => Judgement::fine("a signature of today"),
        }
    }

    /// Its name in IANA's registry, or its number for one that is not in the table.
    pub fn name(self) -> String {
        TABLE.iter().find(|(code, _)| *code == self.0).map_or_else(
            || format!("0x{:04x}", self.0),
            |(_, name)| (*name).to_owned(),
        )
    }
}
