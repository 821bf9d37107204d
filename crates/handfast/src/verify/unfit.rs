//! Detecting refusals that are caused by a trusted certificate that cannot be used as a trust anchor.
//!
//! Runs after a refusal and changes only the cause: an issuer that is "unknown" although its certificate is in
//! the trust file has to be reported with the fault of that certificate.

use pki_types::CertificateDer;

use super::error::VerifyCause;
use super::finding::Finding;
use super::issued::is_issued_by;
use crate::trust::{AnchorProblem, AnchorProblemKind, Resolved};
use crate::x509;

/// The most problems in an error: more would fill the screen.
const PROBLEMS_MAX: usize = 4;

/// Replaces the finding by the problem of the issuer's unusable certificate, if there is one; returns also the other
/// problems that may be the reason.
pub(super) fn explain(
    finding: Finding,
    chain: &[CertificateDer<'_>],
    trust: &Resolved,
) -> (Finding, Vec<AnchorProblem>) {
    let is_about_trust = matches!(
        finding.cause,
        VerifyCause::NoTrustAnchors
            | VerifyCause::UnknownIssuer { .. }
            | VerifyCause::SelfSigned { .. }
            | VerifyCause::UntrustedRoot { .. }
            | VerifyCause::LikelyInterception { .. }
            | VerifyCause::NotACa {
                is_trusted_as_itself: true,
                ..
            }
    );
    if !is_about_trust || trust.unfit.is_empty() {
        return (finding, Vec::new());
    }
    let culprits = match finding.at_index {
        Some(index) => chain.get(index..=index).unwrap_or_default(),
        None => chain,
    };
    let of_issuer = trust.unfit.iter().find_map(|unfit| {
        let issuer = unfit.der.as_ref()?;
        let child = culprits.iter().find(|child| {
            // A root that was sent may be identical to the trusted one.
            is_issued_by(child, issuer) || **child == *issuer
        })?;
        Some((child, &unfit.problem))
    });
    match (of_issuer, &finding.cause) {
        (Some((_, problem)), VerifyCause::NotACa { .. }) => (finding, vec![problem.clone()]),
        (Some((child, problem)), _) => {
            let cause = VerifyCause::TrustedIssuerUnusable {
                subject: x509::subject_of(child),
                issuer: problem.subject.clone(),
                problem: Box::new(problem.clone()),
            };
            (Finding { cause, ..finding }, Vec::new())
        }
        (None, _) => {
            let unread = trust.unfit.iter().map(|unfit| &unfit.problem);
            let unread = unread.filter(|problem| {
                matches!(
                    problem.kind,
                    AnchorProblemKind::Unreadable { .. }
                        | AnchorProblemKind::Pem { .. }
                        | AnchorProblemKind::Malformed { .. }
                )
            });
            (finding, unread.take(PROBLEMS_MAX).cloned().collect())
        }
    }
}
