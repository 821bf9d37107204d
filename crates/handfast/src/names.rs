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

/// Whether this is a name of a cipher suite: IANA's, which is also OpenSSL's for TLS 1.3, or OpenSSL's for TLS 1.2, such as
/// `ECDHE-RSA-AES128-GCM-SHA256`.
pub(crate) fn is_suite_name(suite: CipherSuite, text: &str) -> bool {
    let iana = suite_name(suite);
    if iana.eq_ignore_ascii_case(text) {
        return true;
    }
    let Some((exchange, rest)) = iana
        .strip_prefix("TLS_")
        .and_then(|name| name.split_once("_WITH_"))
    else {
        return false;
    };
    // OpenSSL leaves out the hash of ChaCha20-Poly1305, and joins a cipher with its key size.
    let rest = rest
        .replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305")
        .replace("AES_", "AES");
    format!("{exchange}-{rest}")
        .replace('_', "-")
        .eq_ignore_ascii_case(text)
}

/// Whether this is a name of a key exchange group: IANA's, or one that OpenSSL takes, such as `prime256v1` and `P-256`.
pub(crate) fn is_group_name(group: NamedGroup, text: &str) -> bool {
    let also: &[&str] = match group {
        NamedGroup::secp256r1 => &["P-256", "prime256v1"],
        NamedGroup::secp384r1 => &["P-384"],
        NamedGroup::secp521r1 => &["P-521"],
        _ => &[],
    };
    let mut names = also.iter().copied().chain([group_name(group)]);
    names.any(|name| name.eq_ignore_ascii_case(text))
}

/// The IANA name of a key exchange group.
pub(crate) fn group_name(group: NamedGroup) -> &'static str {
    match group {
        NamedGroup::X25519 => "x25519",
        other => other.as_str().unwrap_or("unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_and_groups_have_the_names_of_iana_and_openssl() {
        for (suite, name) in [
            (
                CipherSuite::TLS13_AES_128_GCM_SHA256,
                "TLS_AES_128_GCM_SHA256",
            ),
            (
                CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                "ECDHE-RSA-AES128-GCM-SHA256",
            ),
            (
                CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                "tls_ecdhe_rsa_with_aes_128_gcm_sha256",
            ),
            (
                CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                "ECDHE-ECDSA-AES256-GCM-SHA384",
            ),
            (
                CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                "ECDHE-ECDSA-CHACHA20-POLY1305",
            ),
        ] {
            assert!(is_suite_name(suite, name), "{name}");
            assert!(!is_suite_name(
                CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                name
            ));
        }
        for (group, name) in [
            (NamedGroup::secp256r1, "prime256v1"),
            (NamedGroup::secp256r1, "p-256"),
            (NamedGroup::secp384r1, "secp384r1"),
            (NamedGroup::X25519, "X25519"),
        ] {
            assert!(is_group_name(group, name), "{name}");
        }
        assert!(!is_group_name(NamedGroup::secp256r1, "P-384"));
    }
}
