//! The rules for a path, each a function with its section of RFC 5280.
//!
//! They are applied in the order of [`RULES`], and the first that fails is the reason for refusing the path:
//! first rules about the peer's own certificate, which are the same on every path; then whether its issuers
//! may issue at all; then trust; then the limits of the authorities of a trusted path. Paths are ranked by the
//! position of the failed rule.

use x509_parser::certificate::X509Certificate;

use super::super::constraints::Breach;
use super::super::error::VerifyCause;
use super::super::finding::Finding;
use super::super::policies::{self, PolicyProblem};
use super::super::revocation::Signer;
use super::super::{anchor, interception, keys};
use super::certificate::Certificate;
use super::paths::{DeadEnd, End, Issuer};
use super::signature::Signature;
use super::walk::Walk;
use crate::trust::AnchorLimits;
use crate::x509::{self, CertificateFacts};

/// A rule.
pub(super) type Rule = fn(&Walk<'_, '_>) -> Result<(), Finding>;

/// The validators that apply a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Our own validation and webpki, in the same way: if this rule fails, webpki must not accept the path.
    Both,
    /// Only our own validation, or more strictly than webpki.
    Us,
}

/// All rules with their names, in the order in which they are applied.
pub(super) const RULES: &[(&str, Rule, By)] = &[
    (
        "own_certificate_is_usable",
        own_certificate_is_usable,
        By::Us,
    ),
    ("own_validity", own_validity, By::Both),
    (
        "own_certificate_is_not_a_ca",
        own_certificate_is_not_a_ca,
        By::Both,
    ),
    ("own_purpose", own_purpose, By::Both),
    ("issuers_are_usable", issuers_are_usable, By::Us),
    ("issuers_are_authorities", issuers_are_authorities, By::Both),
    (
        "issuers_may_sign_certificates",
        issuers_may_sign_certificates,
        By::Us,
    ),
    (
        "signatures_can_be_verified",
        signatures_can_be_verified,
        By::Both,
    ),
    ("issuer_is_trusted", issuer_is_trusted, By::Us),
    ("no_key_is_distrusted", no_key_is_distrusted, By::Both),
    ("anchor_is_usable", anchor_is_usable, By::Us),
    (
        "anchor_may_sign_certificates",
        anchor_may_sign_certificates,
        By::Us,
    ),
    ("issuers_validity", issuers_validity, By::Both),
    ("anchor_validity", anchor_validity, By::Us),
    ("path_lengths", path_lengths, By::Us),
    ("depth", depth, By::Us),
    ("issuers_purposes", issuers_purposes, By::Both),
    ("anchor_purpose", anchor_purpose, By::Us),
    ("within_name_constraints", within_name_constraints, By::Us),
    ("has_a_policy", has_a_policy, By::Us),
    ("not_revoked", not_revoked, By::Us),
    ("pinned", pinned, By::Us),
];

/// The position of the first failed rule, with its finding; `None` if the path passes every rule.
pub(super) fn first_failure(walk: &Walk<'_, '_>) -> Option<(usize, Finding)> {
    RULES
        .iter()
        .enumerate()
        .find_map(|(stage, (_, rule, _))| Some((stage, rule(walk).err()?)))
}

fn at(certificate: &Certificate<'_>, cause: VerifyCause) -> Finding {
    Finding {
        cause,
        at_index: certificate.index,
    }
}

/// RFC 5280, 4.1 and 6.1.5 (e): it can be parsed, has version 3, is consistent, and has no critical
/// extension that is not processed.
fn own_certificate_is_usable(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    walk.end_entity().map_or(Ok(()), usable)
}

/// The same for the authorities: RFC 5280, 6.1.4 (k) and (o).
fn issuers_are_usable(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    walk.issuers().try_for_each(usable)
}

fn usable(certificate: &Certificate<'_>) -> Result<(), Finding> {
    match certificate.fault() {
        Some(cause) => Err(at(certificate, cause.clone())),
        None => Ok(()),
    }
}

/// RFC 5280, 6.1.3 (a) 2, for the peer's own certificate.
fn own_validity(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    walk.end_entity()
        .map_or(Ok(()), |certificate| valid_now(walk, certificate))
}

/// RFC 5280, 6.1.3 (a) 2, for the authorities.
fn issuers_validity(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    walk.issuers()
        .try_for_each(|certificate| valid_now(walk, certificate))
}

fn valid_now(walk: &Walk<'_, '_>, certificate: &Certificate<'_>) -> Result<(), Finding> {
    let (not_before, not_after) = certificate.lifetime();
    if not_before > not_after {
        return Err(at(
            certificate,
            VerifyCause::InvalidValidity {
                subject: certificate.subject_text(),
                not_before,
                not_after,
            },
        ));
    }
    check_lifetime(not_before, not_after, walk.question.now_seconds(), || {
        certificate.subject_text()
    })
    .map_err(|cause| at(certificate, cause))
}

/// The validity of the trust anchor.
fn anchor_validity(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    of_anchor(walk, |limits| {
        anchor::check_lifetime(limits, walk.question.now)
    })
}

/// Applies the limits of the anchor's certificate, if the path ends at an anchor (see `anchor`).
fn of_anchor(
    walk: &Walk<'_, '_>,
    check: impl FnOnce(&AnchorLimits) -> Result<(), VerifyCause>,
) -> Result<(), Finding> {
    walk.anchor_limits()
        .map_or(Ok(()), check)
        .map_err(Finding::anywhere)
}

/// RFC 5280, 4.2: a critical extension of the anchor that is not processed.
fn anchor_is_usable(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    of_anchor(walk, anchor::check_extensions)
}

/// RFC 5280, 4.2.1.3, for the anchor.
fn anchor_may_sign_certificates(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    of_anchor(walk, anchor::check_key_usage)
}

/// RFC 5280, 4.2.1.12, for the anchor.
fn anchor_purpose(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    of_anchor(walk, |limits| {
        anchor::check_purpose(limits, walk.question.purpose)
    })
}

/// Whether `now` is within a validity, both ends inclusive.
pub(in crate::verify) fn check_lifetime(
    not_before: i64,
    not_after: i64,
    now: i64,
    subject: impl FnOnce() -> String,
) -> Result<(), VerifyCause> {
    if now > not_after {
        Err(VerifyCause::Expired {
            subject: subject(),
            not_after,
            now,
        })
    } else if now < not_before {
        Err(VerifyCause::NotYetValid {
            subject: subject(),
            not_before,
            now,
        })
    } else {
        Ok(())
    }
}

/// RFC 5280, 4.2.1.9: a CA certificate is not an end-entity certificate. Self-signed certificates made by
/// `openssl req -x509` are CA certificates by default: for these the missing trust is reported instead.
fn own_certificate_is_not_a_ca(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    let Some(certificate) = walk.end_entity().filter(|own| own.is_authority()) else {
        return Ok(());
    };
    if matches!(walk.path.end, End::Nowhere(DeadEnd::SelfSigned)) && walk.certificates.len() == 1 {
        return Ok(());
    }
    let subject = certificate.subject_text();
    Err(at(certificate, VerifyCause::CaUsedAsEndEntity { subject }))
}

/// RFC 5280, 4.2.1.12, for the peer's own certificate.
fn own_purpose(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    walk.end_entity()
        .map_or(Ok(()), |certificate| for_purpose(walk, certificate))
}

/// The same for the authorities, whose purposes limit those of the certificates that they issue: as required by
/// the CA/Browser Forum's baseline (7.1.2.2) and every browser.
fn issuers_purposes(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    walk.issuers()
        .try_for_each(|certificate| for_purpose(walk, certificate))
}

fn for_purpose(walk: &Walk<'_, '_>, certificate: &Certificate<'_>) -> Result<(), Finding> {
    let required = walk.question.purpose.name();
    match certificate.purposes() {
        Some(presented) if !presented.iter().any(|purpose| purpose == required) => Err(at(
            certificate,
            VerifyCause::ExtendedKeyUsage {
                subject: certificate.subject_text(),
                required,
                presented,
            },
        )),
        _ => Ok(()),
    }
}

/// RFC 5280, 6.1.4 (k): basic constraints with CA:TRUE. The highest certificate without is reported, since
/// those that it issued cannot be valid either.
fn issuers_are_authorities(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    let is_trusted_as_itself = |certificate: &Certificate<'_>| {
        let mut trusted = walk.question.trust.certificates.iter();
        trusted.any(|der| der.as_ref() == certificate.der)
    };
    let only_itself = walk
        .trusted()
        .filter(|trusted| !trusted.is_anchor())
        .map(|trusted| &trusted.certificate);
    let not_an_authority = walk
        .issuers()
        .filter(|certificate| !certificate.is_authority())
        .last();
    match only_itself.or(not_an_authority) {
        Some(certificate) => Err(at(
            certificate,
            VerifyCause::NotACa {
                subject: certificate.subject_text(),
                is_trusted_as_itself: is_trusted_as_itself(certificate),
            },
        )),
        None => Ok(()),
    }
}

/// RFC 5280, 6.1.4 (n): a key usage, if present, must include keyCertSign.
fn issuers_may_sign_certificates(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    walk.issuers().try_for_each(|certificate| {
        let usage = certificate.outline.as_ref().and_then(x509::key_usage);
        match usage {
            Some(usage) if !usage.key_cert_sign() => Err(at(
                certificate,
                VerifyCause::KeyUsage {
                    subject: certificate.subject_text(),
                    required: "keyCertSign",
                    presented: x509::describe_key_usage(&usage),
                },
            )),
            _ => Ok(()),
        }
    })
}

/// RFC 5280, 6.1.3 (a) 1: every link of the path has a supported signature algorithm and a key of a
/// supported size.
fn signatures_can_be_verified(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    let trusted = walk.trusted().map(|trusted| &trusted.certificate);
    let issuers = walk.issuers().chain(trusted);
    let links = walk.certificates.iter().zip(issuers);
    for ((certificate, issuer), signature) in links.zip(&walk.path.signatures) {
        match signature {
            Signature::Made => {}
            Signature::Unsupported(cause) => return Err(at(certificate, cause.clone())),
            Signature::KeyUnusable(cause) => return Err(at(issuer, cause.clone())),
            // Paths with such a link are not followed.
            Signature::NotMade => {
                return Err(bad_signature(certificate));
            }
        }
    }
    Ok(())
}

fn bad_signature(certificate: &Certificate<'_>) -> Finding {
    at(
        certificate,
        VerifyCause::BadSignature {
            subject: certificate.subject_text(),
            issuer: certificate.issuer_text(),
        },
    )
}

/// RFC 5280, 6.1.1 (d): the path ends at a trust anchor.
fn issuer_is_trusted(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    let (End::Nowhere(dead_end), Some(last)) = (&walk.path.end, walk.certificates.last()) else {
        return Ok(());
    };
    let is_missing = !matches!(dead_end, DeadEnd::SelfSigned) || walk.certificates.len() > 1;
    if is_missing && let Some(product) = interception::product(&last.issuer_text()) {
        let issuer = last.issuer_text();
        return Err(at(
            last,
            VerifyCause::LikelyInterception { issuer, product },
        ));
    }
    // A trusted authority of this name did not sign: it was created again, with another key.
    let is_trusted_namesake = |form: &[u8]| {
        let mut trusted = walk.paths.trusted.iter();
        trusted.any(|one| one.is_anchor() && one.certificate.subject_form == form)
    };
    match dead_end {
        DeadEnd::SelfSigned if walk.certificates.len() == 1 => {
            let subject = last.subject_text();
            Err(at(last, VerifyCause::SelfSigned { subject }))
        }
        DeadEnd::SelfSigned => Err(at(
            last,
            VerifyCause::UntrustedRoot {
                subject: last.subject_text(),
                has_trusted_namesake: is_trusted_namesake(&last.subject_form),
            },
        )),
        DeadEnd::Cycle(position) => {
            let issuer = walk.paths.sent.get(*position).unwrap_or(last);
            Err(at(
                issuer,
                VerifyCause::UntrustedRoot {
                    subject: issuer.subject_text(),
                    has_trusted_namesake: is_trusted_namesake(&issuer.subject_form),
                },
            ))
        }
        DeadEnd::OtherKeys(issuers) if !names_another_key(walk, last, issuers) => {
            Err(bad_signature(last))
        }
        DeadEnd::NoIssuer | DeadEnd::OtherKeys(_) => Err(at(
            last,
            VerifyCause::UnknownIssuer {
                subject: last.subject_text(),
                issuer: last.issuer_text(),
                ca_issuer_urls: ca_issuer_urls(last),
                is_end_entity: last.index == Some(0),
                has_trusted_namesake: is_trusted_namesake(&last.issuer_form),
            },
        )),
    }
}

/// No key is distrusted by browsers, according to webpki's list; webpki checks only the part of a path that it
/// reaches.
fn no_key_is_distrusted(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    let mut certificates = walk.certificates.iter().copied().chain(walk.anchor());
    match certificates.find(|certificate| keys::is_distrusted(certificate.key)) {
        Some(certificate) => Err(at(certificate, VerifyCause::DistrustedKey)),
        None => Ok(()),
    }
}

/// Whether the key identifiers show that the issuer is none of the available ones with its name
/// (RFC 5280, 4.2.1.1). Without identifiers the certificate may have been changed instead.
fn names_another_key(walk: &Walk<'_, '_>, child: &Certificate<'_>, issuers: &[Issuer]) -> bool {
    issuers
        .iter()
        .filter_map(|issuer| walk.paths.issuer(*issuer))
        .all(|issuer| child.names_another_key_than(issuer))
}

fn ca_issuer_urls(certificate: &Certificate<'_>) -> Vec<String> {
    CertificateFacts::from_der(certificate.der).map_or_else(
        |_| Vec::new(),
        |facts| {
            facts
                .ca_issuer_urls
                .iter()
                .map(|url| x509::escape_control(url).into_owned())
                .collect()
        },
    )
}

/// RFC 5280, 6.1.4 (l) and (m): the path length limits of all authorities, including the anchor.
fn path_lengths(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    for (position, certificate) in walk.certificates.iter().enumerate().skip(1) {
        let below = walk.counted_below(position);
        let path_len = certificate.path_len();
        if path_len.is_some_and(|path_len| (path_len as usize) < below) {
            let subject = certificate.subject_text();
            return Err(at(
                certificate,
                VerifyCause::PathTooLong { subject, path_len },
            ));
        }
    }
    of_anchor(walk, |limits| {
        anchor::check_path_len(limits, walk.counted_below(walk.certificates.len()))
    })
}

/// The caller's limit on intermediates, counted as a path length is.
fn depth(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    let depth = walk.counted_below(walk.certificates.len());
    let depth_max = walk.question.chain_depth_max;
    if depth > depth_max {
        return Err(Finding::anywhere(VerifyCause::DepthExceeded {
            depth,
            depth_max,
        }));
    }
    Ok(())
}

/// RFC 5280, 6.1.3 (b) and (c): every name of the path satisfies the constraints of each authority above it.
/// Self-issued certificates are exempt, except the end entity's.
fn within_name_constraints(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    let malformed = |detail| VerifyCause::Malformed { detail };
    let issuers = walk.issuers().map(Some).chain([walk.anchor()]);
    // The anchor's first: constraints of a higher authority explain more.
    let constrained: Vec<(usize, &Certificate<'_>)> = (1..)
        .zip(issuers)
        .filter_map(|(position, issuer)| Some((position, issuer?)))
        .collect();
    for (position, authority) in constrained.into_iter().rev() {
        let Some(constraints) = authority.name_constraints() else {
            continue;
        };
        let constraints = constraints.map_err(|detail| at(authority, malformed(detail)))?;
        for (below, certificate) in walk.certificates.iter().take(position).enumerate() {
            if below > 0 && certificate.is_self_issued() {
                continue;
            }
            let names = certificate
                .names()
                .map_err(|detail| at(certificate, malformed(detail)))?;
            let checked = constraints.check(&names, &mut walk.comparisons.borrow_mut());
            checked.map_err(|violation| match violation.breach {
                Breach::TooManyComparisons => Finding::anywhere(VerifyCause::PathTooComplex),
                _ => at(
                    certificate,
                    VerifyCause::NameConstraint {
                        subject: certificate.subject_text(),
                        constraint: violation.to_string(),
                        name: violation.name,
                        constrained_by: authority.subject_text(),
                    },
                ),
            })?;
        }
    }
    Ok(())
}

/// RFC 5280, 6.1.5 (g): if a certificate requires a valid policy, there is one; and critical policy extensions
/// can be parsed.
fn has_a_policy(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    let path: Vec<&X509Certificate<'_>> = walk
        .certificates
        .iter()
        .filter_map(|certificate| certificate.outline.as_ref())
        .collect();
    // Other policy extensions of an anchor need not be parsed.
    let is_demanded = path.iter().any(|one| policies::may_demand_policy(one))
        || walk
            .anchor_limits()
            .is_some_and(|limits| limits.may_demand_policy);
    let anchor = walk.anchor().filter(|_| is_demanded);
    let place = |index: usize| walk.certificates.get(index).copied().or(anchor);
    let subject = |index: usize| place(index).map_or_else(String::new, Certificate::subject_text);
    let (index, cause) =
        match policies::check(&path, anchor.and_then(|anchor| anchor.outline.as_ref())) {
            Ok(()) => return Ok(()),
            Err(PolicyProblem::Malformed { index, detail }) => {
                (index, VerifyCause::Malformed { detail })
            }
            Err(PolicyProblem::UnknownQualifier { index, oid }) => {
                let subject = subject(index);
                (
                    index,
                    VerifyCause::UnknownCriticalExtension { subject, oid },
                )
            }
            Err(PolicyProblem::NoValidPolicy { index, demanded_by }) => (
                index,
                VerifyCause::NoValidPolicy {
                    subject: subject(index),
                    demanded_by: subject(demanded_by),
                },
            ),
        };
    Err(Finding {
        cause,
        at_index: place(index).and_then(|certificate| certificate.index),
    })
}

/// RFC 5280, 6.1.3 (a) 3 and 6.3: no list revokes a certificate of the path, as far as the caller requires it.
fn not_revoked(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    let lists = walk.question.revocation;
    let path: Vec<&X509Certificate<'_>> = walk
        .certificates
        .iter()
        .filter_map(|certificate| certificate.outline.as_ref())
        .collect();
    let (Some(anchor), false) = (walk.anchor(), lists.is_empty()) else {
        return Ok(());
    };
    let signer = Signer {
        name: anchor.subject,
        key: anchor.key,
        key_usage: anchor.outline.as_ref().and_then(x509::key_usage),
    };
    let sent = walk.question.intermediates;
    lists
        .check_path(&path, &signer, sent, walk.question.now_seconds())
        .map_err(|(position, cause)| Finding {
            cause,
            at_index: walk
                .certificates
                .get(position)
                .and_then(|certificate| certificate.index),
        })
}

/// RFC 7469, 2.6: one of the pinned keys is on the path.
fn pinned(walk: &Walk<'_, '_>) -> Result<(), Finding> {
    let certificates = walk.certificates.iter().copied().chain(walk.anchor());
    let keys: Vec<_> = certificates
        .map(|certificate| x509::sha256(certificate.key))
        .collect();
    VerifyCause::check_pins(walk.question.pins, &keys).map_err(Finding::anywhere)
}
