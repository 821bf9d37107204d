//! Verifying a client, behind rustls' interface.

use pki_types::{CertificateDer, UnixTime};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::error::VerifyError;
use super::handshake::{self, Version};
use super::keys::signature_algorithms;
use super::path::VerifiedPath;
use super::policy::VerificationPolicy;
use crate::by_name::ByName;
use crate::callback_data;
use crate::x509::{self, Depth};

/// The names of acceptable issuers are part of the CertificateRequest, whose limit is 64 KiB. If they are
/// longer than this, none are sent: the client may then offer any certificate, and is verified as usual.
const ISSUER_HINTS_BYTES_MAX: usize = 16 * 1024;

/// What clients have to present.
#[derive(Debug)]
pub(crate) struct Demand {
    policy: VerificationPolicy,
    required: bool,
    issuer_hints: Vec<DistinguishedName>,
}

impl Demand {
    pub(crate) fn new(policy: VerificationPolicy, required: bool) -> Self {
        let issuer_hints = issuer_hints(&policy);
        Self {
            policy,
            required,
            issuer_hints,
        }
    }
}

/// Applies [`VerificationPolicy`]s to clients, by the server name that they ask for, and deposits the result in
/// [`callback_data`].
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    /// For names that have no demand of their own, and clients that ask for none.
    others: Option<Demand>,
    named: ByName<Option<Demand>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientVerifier {
    pub(crate) fn new(others: Option<Demand>, named: ByName<Option<Demand>>) -> Self {
        Self {
            others,
            named,
            algorithms: signature_algorithms(),
        }
    }

    /// Are there clients that are asked for a certificate?
    pub(crate) fn requests_any(&self) -> bool {
        self.others.is_some() || self.named.values().any(Option::is_some)
    }

    fn demand_for(&self, name: Option<&str>) -> Option<&Demand> {
        match name.and_then(|name| self.named.find(name)) {
            Some(demand) => demand.as_ref(),
            None => self.others.as_ref(),
        }
    }

    /// Of the connection that rustls works for.
    fn with_demand<T>(&self, of: impl FnOnce(&Demand) -> T) -> Option<T> {
        callback_data::with_server_name(|name| self.demand_for(name).map(of))
    }

    /// Verifies the chain of a resumed session with a server of this name again. `None` if it requests no certificates.
    pub(crate) fn check(
        &self,
        name: Option<&str>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Option<Result<VerifiedPath, VerifyError>> {
        let demand = self.demand_for(name)?;
        Some(demand.policy.check_client_chain(chain, now))
    }
}

impl ClientCertVerifier for ClientVerifier {
    /// rustls asks before the hello, too, whether it has to expect certificates at all.
    fn offer_client_auth(&self) -> bool {
        if callback_data::has_seen_hello() {
            return self.with_demand(|_| ()).is_some();
        }
        self.requests_any()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.with_demand(|demand| demand.required).unwrap_or(false)
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        callback_data::with_server_name(|name| self.demand_for(name))
            .map_or(&[], |demand| demand.issuer_hints.as_slice())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let Some(demand) = callback_data::with_server_name(|name| self.demand_for(name)) else {
            // rustls accepts none that were not requested.
            return Err(Error::General("an unrequested certificate".into()));
        };
        match demand.policy.check_client(end_entity, intermediates, now) {
            Ok(path) => {
                let until = demand.policy.revocation_lists().changes_at(now);
                callback_data::deposit_verified(path, until);
                Ok(ClientCertVerified::assertion())
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

/// Names of the authorities, and of the issuers of certificates that are trusted as end-entity certificates: a
/// client selects its certificate by the issuer's name.
fn issuer_hints(policy: &VerificationPolicy) -> Vec<DistinguishedName> {
    let trust = policy.anchors().resolved();
    let mut hints: Vec<DistinguishedName> = trust
        .anchors
        .iter()
        .map(|anchor| DistinguishedName::in_sequence(anchor.subject.as_ref()))
        .collect();
    for certificate in &trust.certificates {
        let Ok(outline) = x509::parse(certificate, Depth::Outline) else {
            continue;
        };
        if !x509::is_authority(&outline) {
            let issuer = outline.issuer().as_raw();
            if !hints.iter().any(|hint| hint.as_ref() == issuer) {
                hints.push(DistinguishedName::from(issuer.to_vec()));
            }
        }
    }
    let bytes: usize = hints
        .iter()
        .map(|hint| hint.as_ref().len().saturating_add(2))
        .sum();
    if bytes > ISSUER_HINTS_BYTES_MAX {
        Vec::new()
    } else {
        hints
    }
}
