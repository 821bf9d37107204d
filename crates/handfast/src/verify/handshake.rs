//! Verifying the peer's signature in the handshake with the key of its certificate.
//!
//! rustls takes the key from a certificate that webpki can parse. Path validation accepts some that webpki cannot:
//! those with a critical extension about certificate policies. For these the key is read here.

use pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{self, WebPkiSupportedAlgorithms};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme};
use webpki::{EndEntityCert, RawPublicKeyEntity};

use crate::x509::{self, Depth};

/// The meaning of a signature scheme depends on the protocol's version.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Tls12,
    Tls13,
}

/// Whether the key of an accepted certificate made the signature.
pub(super) fn check(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
    version: Version,
) -> Result<HandshakeSignatureValid, Error> {
    let checked = match version {
        Version::Tls12 => crypto::verify_tls12_signature(message, certificate, signed, algorithms),
        Version::Tls13 => crypto::verify_tls13_signature(message, certificate, signed, algorithms),
    };
    let is_unread = || {
        matches!(
            EndEntityCert::try_from(certificate),
            Err(webpki::Error::UnsupportedCriticalExtension)
        )
    };
    match checked {
        Err(Error::InvalidCertificate(_)) if is_unread() => {
            check_by_key(message, certificate, signed, algorithms, version)
        }
        checked => checked,
    }
}

/// The same for a certificate that webpki need not be able to parse.
pub(super) fn check_by_key(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
    version: Version,
) -> Result<HandshakeSignatureValid, Error> {
    // RFC 8446, 4.2.3: these must not sign a handshake, even if they were offered for certificates.
    let is_legacy = matches!(
        signed.scheme,
        SignatureScheme::RSA_PKCS1_SHA1
            | SignatureScheme::ECDSA_SHA1_Legacy
            | SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512
    );
    if is_legacy && version == Version::Tls13 {
        return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    }
    let bad_encoding = || Error::InvalidCertificate(CertificateError::BadEncoding);
    let outline = x509::parse(certificate, Depth::Outline).map_err(|_| bad_encoding())?;
    let key = SubjectPublicKeyInfoDer::from(outline.public_key().raw);
    let key = RawPublicKeyEntity::try_from(&key).map_err(|_| bad_encoding())?;
    let (_, candidates) = algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == signed.scheme)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    // In TLS 1.3 a scheme includes its curve, and the first algorithm is the right one.
    let count = match version {
        Version::Tls12 => candidates.len(),
        Version::Tls13 => 1,
    };
    let is_made = candidates.iter().take(count).any(|algorithm| {
        key.verify_signature(*algorithm, message, signed.signature())
            .is_ok()
    });
    match is_made {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(Error::InvalidCertificate(CertificateError::BadSignature)),
    }
}
