//! Where our own validation may overrule webpki: limits of webpki's that RFC 5280 does not have.
//!
//! A path that webpki refuses is accepted only if it needs at least one of these, and if webpki, asked about
//! this very path, refuses it with the error that this limit leads to. Anything else is a fault of one of
//! the two, and a reason to refuse.

use pki_types::{CertificateDer, Der, TrustAnchor};
use webpki::Error;
use x509_parser::oid_registry as oids;

use super::certificate::Certificate;
use super::walk::Walk;
use crate::der::{Element, SEQUENCE};

/// What webpki is told when it would accept a path that our rules do not: an error that lets it try the
/// next path, and that it has for nothing else here. The reason is found by our own validation.
pub(in crate::verify) const REFUSED_BY_US: Error = Error::UnsupportedNameType;

/// A limit of webpki's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::verify) enum Limit {
    /// It compares names byte by byte. RFC 5280, 7.1: two names are the same in another string type, in
    /// upper or lower case, and with other white space.
    NameComparison,
    /// It reads no time before 1970. RFC 5280, 4.1.2.5: years from 1950 on, and from 0 on.
    TimesBefore1970,
    /// It refuses critical extensions about certificate policies. RFC 5280, 4.2.1.4 and the others about
    /// policies: they are to be processed.
    CriticalPolicies,
    /// It processes name constraints on DNS names and addresses alone, and refuses other forms. RFC 5280,
    /// 4.2.1.10: at least directory names are to be processed, and mail addresses and URIs should be.
    ConstraintForms,
    /// It counts self-issued certificates in path lengths, holds them to name constraints, and follows no more
    /// than six intermediates of any kind. RFC 5280, 4.2.1.9 and 6.1.3 (b): self-issued ones are exempt.
    SelfIssued,
    /// It takes no anchor of this certificate: one of version 1, or without basic constraints, that the
    /// user named. RFC 5280, 6.1.1 (d): of an anchor its name and its key count.
    AnchorForm,
    /// It accepts the path, and did not find it: it gives up after a number of signatures, and does not
    /// enter an authority twice.
    Search,
}

impl Limit {
    /// Whether webpki's error about the path is what this limit leads to.
    fn explains(self, opinion: &Result<(), Error>) -> bool {
        match self {
            Self::NameComparison => matches!(opinion, Err(Error::UnknownIssuer)),
            Self::TimesBefore1970 => matches!(opinion, Err(Error::BadDerTime)),
            Self::CriticalPolicies => matches!(opinion, Err(Error::UnsupportedCriticalExtension)),
            Self::ConstraintForms => matches!(opinion, Err(Error::NameConstraintViolation)),
            Self::SelfIssued => matches!(
                opinion,
                // A self-issued certificate's issuer bears its own name: what webpki says may be
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

/// The limits that a path needs, or what webpki says of it, in its own word.
///
/// # Errors
/// When no limit explains why webpki refuses the path.
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

/// Whether webpki accepts this path, whatever our rules beside it say.
pub(super) fn is_accepted_by_webpki(walk: &Walk<'_, '_>, ask: Ask<'_>) -> bool {
    matches!(opinion(walk, ask), Ok(()) | Err(REFUSED_BY_US))
}

/// Asks webpki about one path: this anchor, and no intermediates but these.
pub(in crate::verify) type Ask<'a> =
    &'a dyn Fn(&TrustAnchor<'_>, &[CertificateDer<'_>]) -> Result<(), Error>;

fn opinion(walk: &Walk<'_, '_>, ask: Ask<'_>) -> Result<(), Error> {
    let intermediates: Vec<CertificateDer<'_>> = walk
        .issuers()
        .map(|issuer| CertificateDer::from(issuer.der))
        .collect();
    match (walk.webpki_anchor(), anchor_by_hand(walk)) {
        // The very anchor, because our rules on its path look for it among all of them.
        (Some(anchor), _) => ask(anchor, &intermediates),
        (None, Some(anchor)) => ask(&anchor, &intermediates),
        (None, None) => Err(Error::UnknownIssuer),
    }
}

/// The path's anchor as webpki would have it, where webpki would not take its certificate.
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

/// The path's certificates, each with the one that issued it.
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
