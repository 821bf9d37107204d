//! What to say about a certificate chain that was refused: the chain, the near misses, the fix.

use std::net::IpAddr;

use pki_types::CertificateDer;

use crate::verify::{RevokedBy, VerifyCause, VerifyError};
use crate::x509::{CertificateFacts, escape_control, format_utc};

/// Names and URLs shown; more would push the fix off the screen.
const SHOWN_MAX: usize = 4;

/// What to do about it. No answer is ever to verify less.
pub(super) fn fix(error: &VerifyError) -> Option<String> {
    use VerifyCause as C;
    let text = match &error.cause {
        C::NoCertificate => "the server needs a certificate: suites without one protect nothing",
        C::ChainTooLarge { .. } => {
            "the peer must send its own certificate and its intermediates only"
        }
        C::NoTrustAnchors => {
            "install the platform's CA certificates, or trust some (--cacert FILE)"
        }
        C::Expired { .. } if error.at_index == Some(0) => {
            "renew the certificate; if it is fresh, check this machine's clock"
        }
        C::Expired { .. } => {
            "the authority is out of date: the peer must send its successor, or this machine trust it"
        }
        C::NotYetValid { .. } => "check the clocks of both machines",
        C::InvalidValidity { .. } => "the certificate can never be valid: issue another",
        C::NameMismatch { .. } => "ask for one of the names that the certificate is valid for",
        C::NoSubjectAltName { .. } => {
            "the certificate needs subject alternative names; a common name alone counts no more"
        }
        C::UnknownIssuer { .. } if error.cause.id() == "missing-intermediate" => {
            "serve the full chain: append the certificate of the issuer to the server's chain file"
        }
        C::UnknownIssuer { .. } => {
            "if you know this issuer, trust its certificate (--cacert FILE); if it is an \
             intermediate, the server must serve the full chain"
        }
        C::SelfSigned { .. } => {
            "if it is your own server, trust its certificate (--cacert FILE); better, have one \
             issued: `handfast ca issue`"
        }
        C::UntrustedRoot { .. } => {
            "if you know this root, and got it from its owner, trust it (--cacert FILE)"
        }
        C::LikelyInterception { .. } => {
            "ask whoever runs this network; if you mean it to be read, trust the product's root \
             (--cacert FILE)"
        }
        C::NotACa {
            is_trusted_as_itself: true,
            ..
        } => {
            "trust the authority that issued the peer's certificate, not another server's certificate"
        }
        C::NotACa { .. } => "nobody but a certificate authority may sign: treat this as an attack",
        C::CaUsedAsEndEntity { .. } => {
            "issue the server a certificate of its own, and keep the authority's key off it"
        }
        C::PathTooLong { .. } => "leave the extra authority out, or have its issuer allow it",
        C::DepthExceeded { .. } => "raise the limit on the chain's depth if the chain is right",
        C::PathTooComplex => "the peer should send only the certificates that its path needs",
        C::NameConstraint { .. } => {
            "the authority may not issue for this name: take one that may, or another name"
        }
        C::ExtendedKeyUsage { .. } => {
            "the certificate was issued for something else: issue another for this purpose"
        }
        C::KeyUsage { .. } => "issue the certificate again, with the key usage that it lacks",
        C::BadSignature { .. } => {
            "the peer mixes certificates of two issuers of one name, or somebody changed one: \
             install the chain anew"
        }
        C::WeakSignature { .. } | C::WeakKey { .. } => {
            "have it issued again with a key and a signature of today: EC P-256 with SHA-256"
        }
        C::UnsupportedSignature { .. } => {
            "have it issued again with ECDSA, Ed25519 or RSA and SHA-256 or better"
        }
        C::SignatureAlgorithmMismatch { .. } | C::Malformed { .. } => {
            "the certificate is damaged or badly made: issue it again"
        }
        C::UnknownCriticalExtension { .. } => {
            "have it issued without this extension, or with the extension not critical"
        }
        C::UnsupportedVersion { .. } => "have it issued as X.509 version 3, with extensions",
        C::Revoked { .. } => "the issuer has taken it back: the peer needs a new certificate",
        C::RevocationUnknown { .. } => "give the issuer's list, too (--crl FILE)",
        C::CrlExpired { .. } => "fetch the issuer's current list",
        C::CrlUnusable { .. } => "fetch the list again from its issuer",
        C::PinMismatch { .. } => {
            "either the server changed its key, or this is not the server you know"
        }
        C::Other { .. } => "please report this with the chain: it should have a name of its own",
    };
    Some(text.to_owned())
}

/// The chain as the peer sent it, the element at fault marked, and what else shows the cause.
pub(super) fn evidence(error: &VerifyError) -> Vec<String> {
    // Where none is kept, the cause itself says how many came.
    let mut lines = match error.chain.is_empty() {
        true => Vec::new(),
        false => vec!["the chain as sent:".to_owned()],
    };
    lines.extend(error.chain.iter().enumerate().map(|(index, certificate)| {
        let mark = if error.at_index == Some(index) {
            "->"
        } else {
            "  "
        };
        format!("{mark} {index} {}", line(certificate))
    }));
    lines.extend(details(error));
    lines
}

/// What shows the cause besides the chain.
pub(crate) fn details(error: &VerifyError) -> Vec<String> {
    use VerifyCause as C;
    match &error.cause {
        C::Expired { now, .. } | C::NotYetValid { now, .. } | C::CrlExpired { now, .. } => {
            vec![format!("this machine's clock says {}", format_utc(*now))]
        }
        C::NameMismatch {
            expected,
            presented,
        } => near_miss(expected, presented).into_iter().collect(),
        C::UnknownIssuer { ca_issuer_urls, .. } => ca_issuer_urls
            .iter()
            .take(SHOWN_MAX)
            .map(|url| format!("the issuer's certificate is said to be at {url}"))
            .collect(),
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
        _ => Vec::new(),
    }
}

/// Says how a name nearly fits.
fn near_miss(expected: &str, presented: &[String]) -> Option<String> {
    if expected.parse::<IpAddr>().is_ok() {
        return Some(match presented.iter().any(|name| name == expected) {
            true => format!("{expected} stands in it as a DNS name, which names no address"),
            false => "an address must be among its names as an IP address".to_owned(),
        });
    }
    presented.iter().find_map(|name| {
        if let Some(parent) = name.strip_prefix("*.") {
            if expected == parent {
                return Some(format!("{name} does not cover {parent} itself"));
            }
            let front = expected.strip_suffix(parent)?.strip_suffix('.')?;
            return front
                .contains('.')
                .then(|| format!("{name} covers one label, and {front} are several"));
        }
        if expected.strip_prefix("www.") == Some(name.as_str()) {
            return Some(format!("it is for {name}, without www."));
        }
        if name.strip_prefix("www.") == Some(expected) {
            return Some(format!("it is for {name}, with www."));
        }
        is_one_letter_off(expected, name)
            .then(|| format!("{expected} is one letter off {}", escape_control(name)))
    })
}

/// Whether one letter was changed, left out, added, or exchanged with its neighbour.
fn is_one_letter_off(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let (short, long) = if one.len() <= other.len() {
        (one, other)
    } else {
        (other, one)
    };
    if long.len() - short.len() > 1 || one == other {
        return false;
    }
    let same = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    let (short_rest, long_rest) = (&short[same..], &long[same..]);
    if short.len() < long.len() {
        return short_rest == &long_rest[1..];
    }
    short_rest[1..] == long_rest[1..]
        || matches!((short_rest, long_rest), ([a, b, rest @ ..], [c, d, other @ ..])
            if a == d && b == c && rest == other)
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
        Err(_) => format!("{} bytes that are no certificate", certificate.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c2_near_misses_are_named() {
        for (expected, presented, says) in [
            ("www.shop.example", "shop.example", "without www."),
            ("shop.example", "www.shop.example", "with www."),
            (
                "shop.example",
                "*.shop.example",
                "does not cover shop.example itself",
            ),
            (
                "a.b.shop.example",
                "*.shop.example",
                "covers one label, and a.b are several",
            ),
            ("shop.exmaple", "shop.example", "one letter off"),
            ("shp.example", "shop.example", "one letter off"),
            ("shopp.example", "shop.example", "one letter off"),
            ("shap.example", "shop.example", "one letter off"),
            ("10.0.0.1", "shop.example", "as an IP address"),
            ("10.0.0.1", "10.0.0.1", "as a DNS name"),
        ] {
            let told = near_miss(expected, &[presented.to_owned()]);
            assert!(
                told.as_ref().is_some_and(|told| told.contains(says)),
                "{expected} {presented} {told:?}"
            );
        }
        for (expected, presented) in [
            ("shop.example", "other.example"),
            ("shop.example", "*.other.example"),
            ("xshop.example", "*.shop.example"),
            ("a", "abc"),
            ("ab", "cd"),
        ] {
            assert_eq!(
                near_miss(expected, &[presented.to_owned()]),
                None,
                "{expected}"
            );
        }
    }
}
