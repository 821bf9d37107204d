//! IANA's names of negotiated parameters, if rustls' names differ.

use rustls::{CipherSuite, NamedGroup};

/// The IANA name of a cipher suite. rustls' own name has a prefix for the TLS 1.3 ones.
pub(crate) fn suite_name(suite: CipherSuite) -> &'static str {
    let name = suite.as_str().unwrap_or("unknown");
    match name {
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        other => other,
    }
}

/// The IANA name of a key exchange group.
pub(crate) fn group_name(group: NamedGroup) -> &'static str {
    match group {
        NamedGroup::X25519 => "x25519",
        other => other.as_str().unwrap_or("unknown"),
    }
}
