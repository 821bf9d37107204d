//! Supported keys and signature algorithms, and limits on key sizes.

use std::time::Duration;

use pki_types::{CertificateDer, UnixTime};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use webpki::EndEntityCert;
use x509_parser::certificate::X509Certificate;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::error::VerifyCause;
use crate::x509::{self, RSA_BITS};

/// Signature algorithms for certificates: what the cryptographic provider verifies.
pub(super) fn signature_algorithms() -> WebPkiSupportedAlgorithms {
    aws_lc_rs::default_provider().signature_verification_algorithms
}

/// Whether this key (SPKI, DER) is on webpki's list of distrusted keys. webpki is given a minimal certificate with
/// the key, because for a real one it might report another error first.
pub(super) fn is_distrusted(key: &[u8]) -> bool {
    const VERSION_AND_SERIAL_NUMBER: &[u8] = &[0xa0, 3, 2, 1, 2, 2, 1, 1];
    // Ed25519, the shortest.
    const ALGORITHM: &[u8] = &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70];
    const NO_NAME: &[u8] = &[0x30, 0];
    const VALIDITY: &[u8] = b"\x30\x1e\x17\x0d700101000000Z\x17\x0d700101000000Z";
    const NO_SIGNATURE: &[u8] = &[3, 1, 0];
    let head = [
        VERSION_AND_SERIAL_NUMBER,
        ALGORITHM,
        NO_NAME,
        VALIDITY,
        NO_NAME,
    ];
    let signed = x509::wrap_sequence(&[&head.concat(), key].concat());
    let whole = x509::wrap_sequence(&[&signed, ALGORITHM, NO_SIGNATURE].concat());
    let der = CertificateDer::from(whole);
    EndEntityCert::try_from(&der).is_ok_and(|certificate| {
        let verdict = certificate.verify_for_usage(
            signature_algorithms().all,
            &[],
            &[],
            UnixTime::since_unix_epoch(Duration::ZERO),
            webpki::KeyUsage::server_auth(),
            None,
            None,
        );
        matches!(verdict, Err(webpki::Error::CertDistrusted))
    })
}

/// The cause if a certificate's key is too small to be secure.
pub(super) fn weak_key(outline: &X509Certificate<'_>) -> Option<VerifyCause> {
    let subject = || x509::describe_name(outline.subject());
    refused_size(outline.public_key(), subject)
        .filter(|cause| matches!(cause, VerifyCause::WeakKey { .. }))
}

/// The cause if handshake signatures by the certificate's key are not supported.
pub(super) fn unsupported_key(outline: &X509Certificate<'_>) -> Option<VerifyCause> {
    let (algorithm, _) = x509::describe_key(outline.public_key());
    (!algorithm.is_supported()).then(|| VerifyCause::UnsupportedKey {
        subject: x509::describe_name(outline.subject()),
        algorithm: algorithm.to_string(),
    })
}

/// The cause if a key is too small to be secure, or larger than supported.
pub(super) fn refused_size(
    key: &SubjectPublicKeyInfo<'_>,
    subject: impl FnOnce() -> String,
) -> Option<VerifyCause> {
    let (algorithm, bits) = x509::describe_key(key);
    let bits = bits.filter(|_| algorithm.is_rsa())?;
    let algorithm = algorithm.to_string();
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
