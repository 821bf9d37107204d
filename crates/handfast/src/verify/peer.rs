//! A verified identity, as a type that only verification can create.

use std::sync::Arc;

use pki_types::CertificateDer;

use super::path::VerifiedPath;
use super::pin::SpkiSha256;
use crate::x509::{CertificateFacts, MalformedCertificate, SubjectAltName};

/// The verified identity of the peer: the chain was verified, and the handshake proved that the peer holds
/// the key. Only this crate creates one, and only by verification; cheap to clone.
///
/// Text from the certificate is not escaped: escape it before printing
/// ([`escape_control`](crate::escape_control)), except [`subject`](Self::subject), which is escaped.
#[derive(Clone, Debug)]
pub struct VerifiedPeer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: VerifiedPath,
    facts: CertificateFacts,
}

impl VerifiedPeer {
    /// # Errors
    /// If the certificate cannot be parsed.
    pub(crate) fn new(path: VerifiedPath) -> Result<Self, MalformedCertificate> {
        let end_entity = path
            .chain()
            .first()
            .map_or(&[][..], |certificate| certificate.as_ref());
        let facts = CertificateFacts::from_der(end_entity)?;
        Ok(Self {
            inner: Arc::new(Inner { path, facts }),
        })
    }

    /// The verified chain: end entity first, then the intermediates used.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        self.inner.path.chain()
    }

    /// The whole verified path, with its trust anchor.
    pub fn path(&self) -> &VerifiedPath {
        &self.inner.path
    }

    /// The content of the peer's certificate.
    pub fn facts(&self) -> &CertificateFacts {
        &self.inner.facts
    }

    /// The subject's name in the form of RFC 4514, escaped.
    pub fn subject(&self) -> &str {
        &self.inner.facts.subject
    }

    /// The subject's common name.
    pub fn common_name(&self) -> Option<&str> {
        self.inner.facts.common_name.as_deref()
    }

    /// The subject's alternative names.
    pub fn names(&self) -> &[SubjectAltName] {
        &self.inner.facts.names
    }

    /// The serial number, hexadecimal.
    pub fn serial(&self) -> &str {
        &self.inner.facts.serial
    }

    /// Fingerprint of the peer's key, which stays the same when a certificate is renewed with it.
    pub fn spki_sha256(&self) -> SpkiSha256 {
        SpkiSha256::from_bytes(self.inner.facts.spki_sha256)
    }
}
