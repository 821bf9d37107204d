//! Explanations of rejected certificate chains: the chain, the evidence, and in
//! `advice.rs` what to do.

mod advice;
mod names;

use pki_types::CertificateDer;

use super::text::{Seen, Text};
use crate::phase::Phase;
use crate::verify::{Purpose, RevokedBy, VerifyCause, VerifyError};
use crate::x509::{CertificateFacts, escape_control, format_utc};

/// The limit on names and URLs shown.
const SHOWN_MAX: usize = 4;

pub(super) fn explain(refused: &VerifyError, seen: &Seen<'_>) -> Text {
    let id = refused.cause.id();
    let holder = match refused.purpose {
        Purpose::ServerAuth => "server",
        Purpose::ClientAuth => "client",
    };
    let what = format!(
        "the {holder}'s certificate was not accepted: {}",
        refused.cause
    );
    let told = match seen.by_server() {
        true => Text::of_client(id, what),
        false => Text::new(id, what),
    };
    told.evidence(evidence(refused, seen.phase))
        .fix(advice::fix(refused, seen.phase))
}

/// The chain as the peer sent it, with the failing element marked, and other evidence.
fn evidence(error: &VerifyError, phase: Option<Phase>) -> Vec<String> {
    let mut lines = trust_problems(error);
    // If no chain is kept, the cause has its length.
    if !error.chain.is_empty() {
        lines.push("the chain:".to_owned());
    }
    lines.extend(error.chain.iter().enumerate().map(|(index, certificate)| {
        let mark = if error.at_index == Some(index) {
            "->"
        } else {
            "  "
        };
        format!("{mark} {index} {}", line(certificate))
    }));
    lines.extend(details(error, phase));
    lines
}

/// Problems of the trusted certificates that are, or may be, the reason.
fn trust_problems(error: &VerifyError) -> Vec<String> {
    if let VerifyCause::TrustedIssuerUnusable { problem, .. } = &error.cause {
        return vec![problem.to_string()];
    }
    let mut lines: Vec<String> = error
        .trust_problems
        .iter()
        .map(|problem| format!("among the trusted certificates: {problem}"))
        .collect();
    let is_anchors = matches!(
        error.cause,
        VerifyCause::ExtendedKeyUsage { .. }
            | VerifyCause::KeyUsage { .. }
            | VerifyCause::UnknownCriticalExtension { .. }
    );
    if is_anchors && error.at_index.is_none() {
        lines.push("it is a trusted root, and its constraints apply to what it issued".to_owned());
    }
    lines
}

/// Evidence other than the chain.
fn details(error: &VerifyError, phase: Option<Phase>) -> Vec<String> {
    use VerifyCause as C;
    let time = |now: i64| match phase {
        // Without a connection, who asks gives the time.
        Some(Phase::Configure) => format!("verified as of {}", format_utc(now)),
        _ => format!("this machine's clock says {}", format_utc(now)),
    };
    match &error.cause {
        C::Expired { now, .. } | C::NotYetValid { now, .. } => {
            vec![time(*now)]
        }
        C::CrlExpired { now, list, .. } => vec![list.to_string(), time(*now)],
        C::CrlUnusable { list, .. } => vec![list.to_string()],
        C::RevocationUnknown { uncounted, .. } => uncounted
            .iter()
            .take(SHOWN_MAX)
            .map(ToString::to_string)
            .collect(),
        C::NameMismatch {
            expected,
            presented,
        } => {
            let unusable = names::of(error).unusable;
            let mut lines: Vec<String> = unusable
                .iter()
                .take(SHOWN_MAX)
                .map(|(name, why)| format!("\"{}\" never matches: {why}", escape_control(name)))
                .collect();
            if let Some(more) = unusable
                .len()
                .checked_sub(SHOWN_MAX)
                .filter(|more| *more > 0)
            {
                lines.push(format!("and {more} more"));
            }
            if lines.is_empty() {
                lines.extend(names::near_miss(expected, presented));
            }
            lines
        }
        C::UnknownIssuer { ca_issuer_urls, .. } => ca_issuer_urls
            .iter()
            .take(SHOWN_MAX)
            .map(|url| format!("the certificate has the URL of its issuer: {url}"))
            .collect(),
        C::NameConstraint { constraint, .. } => vec![constraint.clone()],
        C::PinMismatch {
            expected,
            presented,
        } => {
            let list = |label: &str, pins: &[crate::SpkiSha256]| {
                let pins: Vec<String> = pins.iter().map(ToString::to_string).collect();
                format!("{label} {}", pins.join(", "))
            };
            vec![list("pinned:", expected), list("presented:", presented)]
        }
        C::Revoked {
            by:
                RevokedBy::StapledResponse {
                    at,
                    reason,
                    produced_at,
                },
            ..
        } => {
            let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
            vec![format!(
                "revoked since {}{reason}, by the OCSP response that the server stapled, of {}",
                format_utc(*at),
                format_utc(*produced_at)
            )]
        }
        C::Revoked {
            by: RevokedBy::List { list, at, reason },
            ..
        } => {
            let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
            vec![
                format!("revoked since {}{reason}", format_utc(*at)),
                list.to_string(),
            ]
        }
        _ => Vec::new(),
    }
}

/// One certificate in one line.
fn line(certificate: &CertificateDer<'_>) -> String {
    match CertificateFacts::from_der(certificate) {
        Ok(facts) => {
            let subject = if facts.subject.is_empty() {
                "(no subject)"
            } else {
                &facts.subject
            };
            let kind = if facts.is_ca { "CA, " } else { "" };
            format!(
                "{subject}, {kind}issued by {}, {} to {}",
                facts.issuer,
                format_utc(facts.not_before),
                format_utc(facts.not_after)
            )
        }
        Err(_) => format!("{} bytes that are not a certificate", certificate.len()),
    }
}
