//! Verifiers that accept any chain, for callers that use `danger`.
//!
//! The handshake's signature is still checked against the key in the peer's certificate, so the peer holds that
//! key, and its fingerprint can be compared.

use pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::error::{VerifyCause, VerifyError};
use super::handshake::{self, Version};
use super::keys::{signature_algorithms, weak_key};
use super::name::ServerName as PeerName;
use super::ocsp::StapledResponse;
use super::policy::VerificationPolicy;
use super::purpose::Purpose;
use crate::callback_data;
use crate::key_algorithm::KeyKind;
use crate::x509::{self, Depth};

/// Accepts any chain.
#[derive(Debug)]
pub(crate) struct AcceptAny {
    algorithms: WebPkiSupportedAlgorithms,
    /// Offers only signature schemes for this kind of key, or all.
    key: Option<KeyKind>,
    /// Its pins have to be the peer's own key: no other certificate of the chain is verified.
    policy: VerificationPolicy,
    /// The name that the peer would have to have, if it is not the one that was asked for.
    expected: Option<PeerName>,
    /// Whether the policy's verdict is noted.
    judges: bool,
}

impl AcceptAny {
    pub(crate) fn new(
        key: Option<KeyKind>,
        policy: VerificationPolicy,
        expected: Option<PeerName>,
        judges: bool,
    ) -> Self {
        Self {
            algorithms: signature_algorithms(),
            key,
            policy,
            expected,
            judges,
        }
    }

    fn check_pins(&self, end_entity: &CertificateDer<'_>) -> Result<(), VerifyCause> {
        VerifyCause::check_own_key(self.policy.pins(), end_entity)?;
        VerifyCause::check_own_key(self.policy.own_key_pins(), end_entity)
    }

    /// Unlike rustls' own function, this takes the key also from certificates that webpki cannot parse (version 1,
    /// unknown critical extensions), for which users typically disable verification.
    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        version: Version,
    ) -> Result<HandshakeSignatureValid, Error> {
        let checked =
            handshake::check_by_key(message, certificate, signed, &self.algorithms, version);
        checked.map_err(|error| {
            let is_bad = error == Error::InvalidCertificate(CertificateError::BadSignature);
            let weak = x509::parse(certificate, Depth::Outline)
                .ok()
                .and_then(|outline| weak_key(&outline));
            match weak.filter(|_| is_bad) {
                // The signature cannot be verified with this key.
                Some(cause) => refused(cause, certificate),
                None => error,
            }
        })
    }
}

/// A server that is refused although certificates are not verified: it has not the pinned key, or its signature cannot be
/// checked.
fn refused(cause: VerifyCause, certificate: &CertificateDer<'_>) -> Error {
    let error = VerifyError {
        cause,
        at_index: Some(0),
        chain: vec![certificate.clone().into_owned()],
        trust_problems: Vec::new(),
        purpose: Purpose::ServerAuth,
        name: None,
        now: UnixTime::now().as_secs(),
    };
    let alert = error.to_rustls();
    callback_data::deposit_failure(error);
    alert
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // For the report only: it does not affect the result.
        callback_data::note_staple((!ocsp_response.is_empty()).then(|| {
            StapledResponse::check_unverified(ocsp_response, end_entity, intermediates, now)
        }));
        if self.judges {
            let asked = PeerName::from_rustls(server_name);
            let name = self.expected.as_ref().unwrap_or(&asked);
            let judged =
                self.policy
                    .check_server(end_entity, intermediates, name, ocsp_response, now);
            callback_data::note_objection(judged.err());
        }
        self.check_pins(end_entity)
            .map_err(|cause| refused(cause, end_entity))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signed, Version::Tls12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signed, Version::Tls13)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.algorithms.supported_schemes();
        schemes.retain(|scheme| self.key.is_none_or(|key| signs_by(key, *scheme)));
        schemes
    }
}

fn signs_by(kind: KeyKind, scheme: SignatureScheme) -> bool {
    use SignatureScheme as S;
    match kind {
        KeyKind::Rsa => matches!(
            scheme,
            S::RSA_PSS_SHA256
                | S::RSA_PSS_SHA384
                | S::RSA_PSS_SHA512
                | S::RSA_PKCS1_SHA256
                | S::RSA_PKCS1_SHA384
                | S::RSA_PKCS1_SHA512
        ),
        KeyKind::Ecdsa => matches!(
            scheme,
            S::ECDSA_NISTP256_SHA256 | S::ECDSA_NISTP384_SHA384 | S::ECDSA_NISTP521_SHA512
        ),
        KeyKind::Ed25519 => scheme == S::ED25519,
    }
}
