//! Our own path validation according to RFC 5280, section 6: it runs after webpki's refusal and determines the
//! reason.
//!
//! If webpki refuses, this module checks every path that the sent certificates and the trusted ones allow, rule
//! by rule. The reported reason is that of the best path: the one that passes the most rules; among equals the
//! one with the fewest certificates. A certificate that is on no path is never reported, nor is an authority of
//! the issuer's name whose key did not sign.
//!
//! It may accept a chain only if a limit of webpki explains the refusal (`limits`). If both apply a rule in the same
//! way, its refusal is valid only if webpki does not accept that path either. Any other difference is a bug in one of
//! the two.
//!
//! Pure and bounded: certificates, anchors, lists, purpose and time in, a verdict out.
//!
//! ```text
//!   question.rs -> paths.rs (certificate.rs, signature.rs, bounds.rs) -> walk.rs -> rules.rs -> the best path's reason
//!                                                                           | all rules pass
//!                                                                        limits.rs: webpki's result for this path
//! ```

mod bounds;
mod certificate;
mod limits;
mod paths;
mod question;
mod rules;
mod signature;
#[cfg(test)]
mod tests;
mod walk;

use std::cell::RefCell;
use std::cmp::Reverse;

use pki_types::CertificateDer;

use self::certificate::Certificate;
use self::limits::Ask;
pub(super) use self::limits::{Limit, REFUSED_BY_US};
use self::paths::{End, Path, Paths};
pub(super) use self::question::Question;
use self::rules::By;
pub(super) use self::rules::check_lifetime;
use self::walk::Walk;
use super::constraints::Budget;
use super::error::VerifyCause;
use super::finding::Finding;

/// A path that passes every rule.
pub(super) struct Accepted {
    /// The intermediates, the end entity's issuer first.
    pub(super) intermediates: Vec<CertificateDer<'static>>,
    /// The trust anchor's certificate, DER.
    pub(super) anchor: Vec<u8>,
    /// Why webpki did not accept it. Used by tests only.
    #[allow(dead_code)]
    pub(super) limits: Vec<Limit>,
}

/// The rank of a path: whether it is anchored, which rule fails, and how few certificates it has.
type Progress = (bool, usize, Reverse<usize>);

/// Validates a chain that webpki refused with `refusal`; `ask` asks webpki about one path alone.
///
/// # Errors
/// The cause, and the certificate at fault.
pub(super) fn validate(
    question: &Question<'_>,
    refusal: &webpki::Error,
    ask: Ask<'_>,
) -> Result<Accepted, Finding> {
    let Some(paths) = Paths::find(question.end_entity, question.intermediates, question.trust)
    else {
        let detail = "it is not a certificate".to_owned();
        return Err(Finding::at(0, VerifyCause::Malformed { detail }));
    };
    let comparisons = RefCell::new(Budget::new());
    let mut best: Option<(Progress, Finding, &Path)> = None;
    let mut disagreement = None;
    for path in &paths.found {
        let walk = Walk::along(question, &paths, path, &comparisons);
        let Some((stage, finding)) = rules::first_failure(&walk) else {
            match limits::needed(&walk, ask) {
                Ok(limits) => return accepted(&walk, limits),
                Err(
                    webpki::Error::MaximumNameConstraintComparisonsExceeded
                    | webpki::Error::MaximumPathBuildCallsExceeded
                    | webpki::Error::MaximumSignatureChecksExceeded,
                ) => return Err(Finding::anywhere(VerifyCause::PathTooComplex)),
                Err(webpki::Error::CertDistrusted) => {
                    return Err(Finding::anywhere(VerifyCause::DistrustedKey));
                }
                Err(error) => disagreement = Some(error),
            }
            continue;
        };
        let is_anchored = matches!(path.end, End::Trusted(_));
        let certificates = path.certificates.len();
        let progress = (is_anchored, stage, Reverse(certificates));
        if best
            .as_ref()
            .is_none_or(|(furthest, ..)| progress > *furthest)
        {
            best = Some((progress, finding, path));
        }
    }
    if let Some(error) = disagreement {
        return Err(disagree(&error));
    }
    match best {
        Some(((true, stage, _), finding, path)) => {
            let is_webpkis = matches!(rules::RULES.get(stage), Some((_, _, By::Both)));
            let walk = Walk::along(question, &paths, path, &comparisons);
            if is_webpkis && limits::is_accepted_by_webpki(&walk, ask) {
                return Err(Finding {
                    at_index: finding.at_index,
                    cause: VerifyCause::VerifiersDisagree {
                        ours: finding.cause.to_string(),
                        webpki: "verified".to_owned(),
                    },
                });
            }
            Err(finding)
        }
        // A better path may be among those that were not checked.
        _ if paths.is_cut_short => Err(Finding::anywhere(VerifyCause::PathTooComplex)),
        Some((_, finding, _)) => Err(finding),
        None => Err(disagree(refusal)),
    }
}

/// Why a certificate cannot be used, regardless of its position.
pub(super) fn fault(der: &CertificateDer<'_>) -> Option<VerifyCause> {
    match Certificate::read(Some(0), der) {
        Some(certificate) => certificate.fault().cloned(),
        None => Some(VerifyCause::Malformed {
            detail: "it is not a certificate".to_owned(),
        }),
    }
}

fn accepted(walk: &Walk<'_, '_>, limits: Vec<Limit>) -> Result<Accepted, Finding> {
    let anchor = walk.anchor().map(|anchor| anchor.der.to_vec());
    Ok(Accepted {
        intermediates: walk
            .issuers()
            .map(|issuer| CertificateDer::from(issuer.der.to_vec()))
            .collect(),
        anchor: anchor.unwrap_or_default(),
        limits,
    })
}

/// One of the two has a bug, so the chain is refused.
fn disagree(error: &webpki::Error) -> Finding {
    let webpki = match *error {
        REFUSED_BY_US => "verified, but refused by the additional rules".to_owned(),
        ref error => format!("{error:?}"),
    };
    Finding::anywhere(VerifyCause::VerifiersDisagree {
        ours: "verified".to_owned(),
        webpki,
    })
}
