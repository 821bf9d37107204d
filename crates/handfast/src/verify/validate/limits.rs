//! Limits of webpki that RFC 5280 does not have, for which our own validation may overrule webpki.
//!
//! A path that webpki refuses is accepted only if it needs at least one of these, and if webpki, asked about
//! this path alone, refuses it with the error that this limit causes. Any other difference is a bug in one of
//! the two, and the path is refused.

use pki_types::{CertificateDer, Der, TrustAnchor};
use webpki::Error;
use x509_parser::oid_registry as oids;

use super::certificate::Certificate;
use super::walk::Walk;
use crate::der::{Element, SEQUENCE};

/// The error returned to webpki if our rules refuse a candidate path: it makes webpki try the next path, and is
/// not used otherwise. Our own validation determines the reason.
pub(in crate::verify) const REFUSED_BY_US: Error = Error::UnsupportedNameType;

/// A limit of webpki.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::verify) enum Limit {
    /// It compares names byte by byte. RFC 5280, 7.1: names with different string types, case or white space
    /// may be equal.
    NameComparison,
    /// It supports no time before 1970. RFC 5280, 4.1.2.5: years from 1950 on, and from 0 on.
    TimesBefore1970,
    /// It refuses critical policy extensions. RFC 5280, 4.2.1.4 and others: they must be processed.
    CriticalPolicies,
    /// It supports name constraints only on DNS names and addresses, and refuses other forms. RFC 5280,
    /// 4.2.1.10: directory names must be supported, mail addresses and URIs should be.
    ConstraintForms,
    /// It counts self-issued certificates in path lengths, applies name constraints to them, and follows at most
    /// six intermediates of any kind. RFC 5280, 4.2.1.9 and 6.1.3 (b): self-issued ones are exempt.
    SelfIssued,
    /// It does not accept this certificate as an anchor: it has version 1 or no basic constraints, and the
    /// user gave it explicitly. RFC 5280, 6.1.1 (d): only an anchor's name and key are used.
    AnchorForm,
    /// It accepts the path but did not find it: it gives up after a number of signatures, and visits no
    /// authority twice.
    Search,
}

impl Limit {
    /// Whether this limit causes webpki's error about the path.
    fn explains(self, opinion: &Result<(), Error>) -> bool {
        match self {
            Self::NameComparison => matches!(opinion, Err(Error::UnknownIssuer)),
            Self::TimesBefore1970 => matches!(opinion, Err(Error::BadDerTime)),
            Self::CriticalPolicies => matches!(opinion, Err(Error::UnsupportedCriticalExtension)),
            Self::ConstraintForms => matches!(opinion, Err(Error::NameConstraintViolation)),
            Self::SelfIssued => matches!(
                opinion,
                // A self-issued certificate and its issuer have the same name: webpki's error may be
                // about the one of the two keys that did not sign. We have verified the signatures.
                Err(Error::PathLenConstraintViolated
                    | Error::NameConstraintViolation
                    | Error::MaximumPathDepthExceeded
                    | Error::InvalidSignatureForPublicKey
                    | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_))
            ),
            Self::AnchorForm | Self::Search => opinion.is_ok(),
        }
    }
}

/// The limits that a path needs, or webpki's error.
///
/// # Errors
/// If no limit explains why webpki refuses the path.
pub(super) fn needed(walk: &Walk<'_, '_>, ask: Ask<'_>) -> Result<Vec<Limit>, Error> {
    let opinion = opinion(walk, ask);
    let needed: Vec<Limit> = [
        (Limit::NameComparison, compares_names(walk)),
        (Limit::TimesBefore1970, has_times_before_1970(walk)),
        (Limit::CriticalPolicies, has_critical_policies(walk)),
        (Limit::ConstraintForms, has_other_constraints(walk)),
        (Limit::SelfIssued, has_self_issued(walk)),
        (Limit::AnchorForm, walk.webpki_anchor().is_none()),
        (Limit::Search, opinion.is_ok()),
    ]
    .into_iter()
    .filter_map(|(limit, is_needed)| is_needed.then_some(limit))
    .collect();
    match opinion {
        opinion if needed.iter().any(|limit| limit.explains(&opinion)) => Ok(needed),
        Err(error) => Err(error),
        Ok(()) => Ok(needed),
    }
}

/// Whether webpki accepts this path, without our rules.
pub(super) fn is_accepted_by_webpki(walk: &Walk<'_, '_>, ask: Ask<'_>) -> bool {
    matches!(opinion(walk, ask), Ok(()) | Err(REFUSED_BY_US))
}

/// Asks webpki about one path: this anchor and only these intermediates.
pub(in crate::verify) type Ask<'a> =
    &'a dyn Fn(&TrustAnchor<'_>, &[CertificateDer<'_>]) -> Result<(), Error>;

fn opinion(walk: &Walk<'_, '_>, ask: Ask<'_>) -> Result<(), Error> {
    let intermediates: Vec<CertificateDer<'_>> = walk
        .issuers()
        .map(|issuer| CertificateDer::from(issuer.der))
        .collect();
    match (walk.webpki_anchor(), anchor_by_hand(walk)) {
        // The same anchor value, because our rules look it up among all anchors.
        (Some(anchor), _) => ask(anchor, &intermediates),
        (None, Some(anchor)) => ask(&anchor, &intermediates),
        (None, None) => Err(Error::UnknownIssuer),
    }
}

/// The path's anchor in webpki's form, if webpki does not accept its certificate.
fn anchor_by_hand<'w>(walk: &Walk<'w, '_>) -> Option<TrustAnchor<'w>> {
    let certificate = walk.anchor()?;
    let content =
        |der| Element::only_of(der, SEQUENCE).map(|element| Der::from_slice(element.content));
    let constraints = certificate.extension(&oids::OID_X509_EXT_NAME_CONSTRAINTS);
    Some(TrustAnchor {
        subject: content(certificate.subject)?,
        subject_public_key_info: content(certificate.key)?,
        name_constraints: constraints.and_then(content),
    })
}

/// The path's certificates, each with its issuer.
fn links<'w, 'q>(
    walk: &'w Walk<'w, 'q>,
) -> impl Iterator<Item = (&'w Certificate<'q>, &'w Certificate<'q>)> {
    let issuers = walk.issuers().chain(walk.anchor());
    walk.certificates.iter().copied().zip(issuers)
}

fn compares_names(walk: &Walk<'_, '_>) -> bool {
    links(walk).any(|(certificate, issuer)| certificate.issuer != issuer.subject)
}

fn has_times_before_1970(walk: &Walk<'_, '_>) -> bool {
    walk.certificates.iter().any(|certificate| {
        let (not_before, not_after) = certificate.lifetime();
        not_before < 0 || not_after < 0
    })
}

fn has_critical_policies(walk: &Walk<'_, '_>) -> bool {
    walk.certificates
        .iter()
        .any(|certificate| certificate.has_critical_policies())
}

fn has_other_constraints(walk: &Walk<'_, '_>) -> bool {
    let mut authorities = walk.issuers().chain(walk.anchor());
    authorities.any(|authority| {
        matches!(authority.name_constraints(), Some(Ok(constraints)) if constraints.has_other_forms())
    })
}

fn has_self_issued(walk: &Walk<'_, '_>) -> bool {
    walk.issuers().any(Certificate::is_self_issued)
}
