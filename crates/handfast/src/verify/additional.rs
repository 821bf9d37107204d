//! Demands of the caller's own on a peer that has passed every check: they can refuse it, never accept one that was
//! refused.

use std::fmt;
use std::sync::Arc;

use super::name::ServerName;
use super::path::VerifiedPath;
use crate::x509::{self, CertificateFacts, MalformedCertificate};

/// A check that comes after all others, by the caller: an account that is closed, an organisation that has to be in the
/// subject, a certificate that has to be in a log.
///
/// Any `Fn(&Candidate<'_>) -> Result<(), Objection>` is one. It is called during the handshake, and must not wait for
/// long. It may be called several times in one connection, and is called again for each session that is resumed.
///
/// ```
/// # fn main() -> Result<(), handfast::Error> {
/// use handfast::{Candidate, ClientContext, Objection};
///
/// let client = ClientContext::builder()
///     .also_verify(|server: &Candidate<'_>| {
///         let facts = server.facts().map_err(|error| Objection::new(error.to_string()))?;
///         match facts.subject.contains("O=Example Ltd") {
///             true => Ok(()),
///             false => Err(Objection::new(format!("{} is not of Example Ltd", facts.subject))),
///         }
///     })
///     .build()?;
/// # let _ = client;
/// # Ok(())
/// # }
/// ```
pub trait AdditionalVerification: Send + Sync {
    /// Looks at a peer whose chain was verified.
    ///
    /// # Errors
    /// The peer is refused: the handshake fails with
    /// [`VerifyCause::RefusedByApplication`](crate::VerifyCause::RefusedByApplication), and the alert `access_denied`
    /// (RFC 8446, section 6.2).
    fn verify(&self, peer: &Candidate<'_>) -> Result<(), Objection>;
}

impl<F: Fn(&Candidate<'_>) -> Result<(), Objection> + Send + Sync> AdditionalVerification for F {
    fn verify(&self, peer: &Candidate<'_>) -> Result<(), Objection> {
        self(peer)
    }
}

/// A peer whose chain was verified, and its name where it is a server. That it holds the key is shown only
/// afterwards, by the handshake.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Candidate<'c> {
    /// The name that the server's certificate is valid for; `None` for a client.
    pub server_name: Option<&'c ServerName>,
    /// The verified path, end-entity certificate first.
    pub path: &'c VerifiedPath,
}

impl Candidate<'_> {
    /// What the peer's certificate says.
    ///
    /// # Errors
    /// It cannot be read after all.
    pub fn facts(&self) -> Result<CertificateFacts, MalformedCertificate> {
        let end_entity = self.path.chain().first();
        CertificateFacts::from_der(end_entity.map_or(&[][..], |der| der.as_ref()))
    }
}

/// Why a peer is refused that every other check accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    reason: String,
}

impl Objection {
    /// `reason` is for people, and goes into the error; what is not printable in it is escaped.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: x509::escape_control(&reason.into()).into_owned(),
        }
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// All that a policy has, in order.
#[derive(Clone, Default)]
pub(crate) struct Additional(Vec<Arc<dyn AdditionalVerification>>);

impl Additional {
    pub(crate) fn push(&mut self, check: Arc<dyn AdditionalVerification>) {
        self.0.push(check);
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first objection.
    pub(crate) fn verify(&self, peer: &Candidate<'_>) -> Result<(), Objection> {
        self.0.iter().try_for_each(|check| check.verify(peer))
    }
}

impl fmt::Debug for Additional {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} checks", self.0.len())
    }
}
