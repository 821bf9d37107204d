//! Keys and the signatures that they make: what is supported, and what is too weak or too large to be.

use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use x509_parser::certificate::X509Certificate;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::error::VerifyCause;
use crate::x509::{self, RSA_BITS};

/// Signature algorithms for certificates: what the cryptographic provider verifies.
pub(super) fn signature_algorithms() -> WebPkiSupportedAlgorithms {
    aws_lc_rs::default_provider().signature_verification_algorithms
}

/// Says so if a certificate's key is too small to mean anything.
pub(super) fn weak_key(outline: &X509Certificate<'_>) -> Option<VerifyCause> {
    let subject = || x509::describe_name(outline.subject());
    refused_size(outline.public_key(), subject)
        .filter(|cause| matches!(cause, VerifyCause::WeakKey { .. }))
}

/// Says so if nothing here checks signatures by the certificate's key, as a peer makes them in a handshake.
pub(super) fn unsupported_key(outline: &X509Certificate<'_>) -> Option<VerifyCause> {
    const SUPPORTED: [&str; 5] = ["RSA", "EC P-256", "EC P-384", "EC P-521", "Ed25519"];
    let (algorithm, _) = x509::describe_key(outline.public_key());
    (!SUPPORTED.contains(&algorithm.as_str())).then(|| VerifyCause::UnsupportedKey {
        subject: x509::describe_name(outline.subject()),
        algorithm,
    })
}

/// Says so if a key is too small to mean anything, or larger than what can be verified.
pub(super) fn refused_size(
    key: &SubjectPublicKeyInfo<'_>,
    subject: impl FnOnce() -> String,
) -> Option<VerifyCause> {
    let (algorithm, bits) = x509::describe_key(key);
    let bits = bits.filter(|_| algorithm.starts_with("RSA"))?;
    let (bits_min, bits_max) = (*RSA_BITS.start(), *RSA_BITS.end());
    if bits < bits_min {
        return Some(VerifyCause::WeakKey {
            subject: subject(),
            algorithm,
            bits,
            bits_min,
        });
    }
    (bits > bits_max).then(|| VerifyCause::KeyTooLarge {
        subject: subject(),
        algorithm,
        bits,
        bits_max,
    })
}
