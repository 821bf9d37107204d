//! A path validation of our own, after RFC 5280, section 6: the judgement after webpki's refusal, and its
//! reason.
//!
//! webpki is the fast way to "verified"; when it refuses, this goes over every path that the sent
//! certificates and the trusted ones allow, rule by rule. The explanation is that of the best path: the one
//! that comes furthest along the rules; among equals the one with the fewest certificates. A certificate on
//! no path is never blamed, nor is an authority of the issuer's name whose key did not sign.
//!
//! Its yes counts where a limit of webpki's explains the refusal (`limits`). Where both apply a rule alike, its no
//! counts only if webpki does not accept that path either. Anything else is a fault of one of the two.
//!
//! Pure and bounded: certificates, anchors, lists, purpose and time in, a judgement out.
//!
//! ```text
//!   question.rs -> paths.rs (certificate.rs, signature.rs, bounds.rs) -> walk.rs -> rules.rs -> the best path's reason
//!                                                                           | all rules kept
//!                                                                        limits.rs: what does webpki say of this path?
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

/// A path that keeps every rule.
pub(super) struct Accepted {
    /// The intermediates, the end entity's issuer first.
    pub(super) intermediates: Vec<CertificateDer<'static>>,
    /// The trust anchor's certificate, DER.
    pub(super) anchor: Vec<u8>,
    /// Why webpki did not find it. Tests alone ask.
    #[allow(dead_code)]
    pub(super) limits: Vec<Limit>,
}

/// How far a path comes: whether it is anchored, which rule it breaks, and how few certificates it has.
type Progress = (bool, usize, Reverse<usize>);

/// Judges a chain that webpki refused with `refusal`; `ask` asks it about one path alone.
///
/// # Errors
/// What is wrong, and with which certificate.
pub(super) fn judge(
    question: &Question<'_>,
    refusal: &webpki::Error,
    ask: Ask<'_>,
) -> Result<Accepted, Finding> {
    let Some(paths) = Paths::find(question.end_entity, question.intermediates, question.trust)
    else {
        let detail = "it is no certificate".to_owned();
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
        // Something better may have been among what was not looked at.
        _ if paths.is_cut_short => Err(Finding::anywhere(VerifyCause::PathTooComplex)),
        Some((_, finding, _)) => Err(finding),
        None => Err(disagree(refusal)),
    }
}

/// Why a certificate can be used for nothing, whatever its place.
pub(super) fn fault(der: &CertificateDer<'_>) -> Option<VerifyCause> {
    match Certificate::read(Some(0), der) {
        Some(certificate) => certificate.fault().cloned(),
        None => Some(VerifyCause::Malformed {
            detail: "it is no certificate".to_owned(),
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

/// One of the two is wrong, so nothing is accepted.
fn disagree(error: &webpki::Error) -> Finding {
    let webpki = match *error {
        REFUSED_BY_US => "verified, but the rules that are applied beside it refuse".to_owned(),
        ref error => format!("{error:?}"),
    };
    Finding::anywhere(VerifyCause::VerifiersDisagree {
        ours: "verified".to_owned(),
        webpki,
    })
}
