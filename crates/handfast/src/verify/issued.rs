//! Checking one link of a chain, for callers that build chains.

use pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use webpki::RawPublicKeyEntity;
use x509_parser::certificate::X509Certificate;

use super::keys::signature_algorithms;
use crate::x500;
use crate::x509::{self, Depth};

/// Whether the subject of `issuer` is the issuer name of `certificate`, and its key made the signature.
///
/// Nothing else is checked: neither whether the issuer may issue, nor whether it is trusted. Use a
/// [`VerificationPolicy`](crate::VerificationPolicy) for that.
pub fn is_issued_by(certificate: &CertificateDer<'_>, issuer: &CertificateDer<'_>) -> bool {
    let (Ok(certificate), Ok(issuer)) = (
        x509::parse(certificate, Depth::Outline),
        x509::parse(issuer, Depth::Outline),
    ) else {
        return false;
    };
    x500::equal(certificate.issuer().as_raw(), issuer.subject().as_raw())
        && is_signed_by(
            &certificate,
            &SubjectPublicKeyInfoDer::from(issuer.public_key().raw),
        )
}

/// Whether this certificate was signed by `key`, with any supported algorithm.
pub(super) fn is_signed_by(
    certificate: &X509Certificate<'_>,
    key: &SubjectPublicKeyInfoDer<'_>,
) -> bool {
    let Ok(key) = RawPublicKeyEntity::try_from(key) else {
        return false;
    };
    let message = certificate.tbs_certificate.as_ref();
    let signature = certificate.signature_value.data.as_ref();
    signature_algorithms()
        .all
        .iter()
        .any(|algorithm| key.verify_signature(*algorithm, message, signature).is_ok())
}
