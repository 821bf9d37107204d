//! Verifying a server, behind rustls' interface.

use pki_types::{CertificateDer, ServerName as RustlsName, UnixTime};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use super::handshake::{self, Version};
use super::keys::signature_algorithms;
use super::name::ServerName;
use super::policy::VerificationPolicy;
use crate::callback_data;

/// Applies a [`VerificationPolicy`] to servers and deposits the result in [`callback_data`].
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    policy: VerificationPolicy,
    /// For a server that rejected the encrypted hello.
    public_name_policy: VerificationPolicy,
    expected: Option<ServerName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    /// Servers must match `expected`, or else the server name of the connection.
    pub(crate) fn new(policy: VerificationPolicy, expected: Option<ServerName>) -> Self {
        Self {
            public_name_policy: policy.for_ech_public_name(),
            policy,
            expected,
            algorithms: signature_algorithms(),
        }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &RustlsName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let asked = ServerName::from_rustls(server_name);
        let (policy, name) = match callback_data::is_asked_for_public_name(asked.as_str()) {
            true => (&self.public_name_policy, asked),
            false => (&self.policy, self.expected.clone().unwrap_or(asked)),
        };
        match policy.check_server(end_entity, intermediates, &name, ocsp_response, now) {
            Ok((path, staple)) => {
                callback_data::note_staple(staple);
                let until = policy.revocation_lists().changes_at(now);
                callback_data::deposit_verified(path, until);
                Ok(ServerCertVerified::assertion())
            }
            Err(error) => {
                let alert = error.to_rustls();
                callback_data::deposit_failure(error);
                Err(alert)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        handshake::check(
            message,
            certificate,
            signed,
            &self.algorithms,
            Version::Tls12,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        handshake::check(
            message,
            certificate,
            signed,
            &self.algorithms,
            Version::Tls13,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
