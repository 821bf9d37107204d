//! From webpki's one error to a cause with a culprit.
//!
//! webpki says what was wrong with the most promising path, not with which certificate. This walks the
//! chain as it was sent, by names, and finds the certificate that the error must mean. It runs only
//! after a refusal and can turn no refusal into acceptance: nothing here needs to be fast or right
//! about anything but words.

use pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use webpki::{EndEntityCert, Error};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::Oid;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::error::VerifyCause;
use super::interception;
use super::issued;
use super::name::server_names;
use super::path::{Attempt, Finding, RSA_BITS_MIN, weak_key};
use crate::x509::{self, CertificateFacts, Depth};

/// The cause and the place of webpki's `error`.
pub(super) fn explain(
    attempt: &Attempt<'_>,
    end_entity: &X509Certificate<'_>,
    error: Error,
) -> Finding {
    let walk = Walk::along(attempt);
    match error {
        Error::CertExpired { not_after, .. } => {
            let not_after = signed(not_after.as_secs());
            walk.find(|link| link.not_after() == not_after).map_or_else(
                || other(&error),
                |link| {
                    let (subject, now) = (link.subject(), signed(attempt.now.as_secs()));
                    link.finding(VerifyCause::Expired {
                        subject,
                        not_after,
                        now,
                    })
                },
            )
        }
        Error::CertNotValidYet { not_before, .. } => {
            let not_before = signed(not_before.as_secs());
            walk.find(|link| link.not_before() == not_before)
                .map_or_else(
                    || other(&error),
                    |link| {
                        let (subject, now) = (link.subject(), signed(attempt.now.as_secs()));
                        link.finding(VerifyCause::NotYetValid {
                            subject,
                            not_before,
                            now,
                        })
                    },
                )
        }
        Error::InvalidCertValidity => walk
            .find(|link| link.not_before() > link.not_after())
            .map_or_else(
                || other(&error),
                |link| {
                    link.finding(VerifyCause::InvalidValidity {
                        subject: link.subject(),
                        not_before: link.not_before(),
                        not_after: link.not_after(),
                    })
                },
            ),
        Error::CaUsedAsEndEntity => {
            let subject = x509::describe_name(end_entity.subject());
            // Seen first by webpki, but the lesser fault: what `openssl req -x509` makes is an
            // authority by default, and trusting it is what would help.
            let is_self_issued = end_entity.subject().as_raw() == end_entity.issuer().as_raw();
            Finding::at(
                0,
                if is_self_issued {
                    VerifyCause::SelfSigned { subject }
                } else {
                    VerifyCause::CaUsedAsEndEntity { subject }
                },
            )
        }
        Error::EndEntityUsedAsCa => walk
            .issuers()
            .find(|link| !x509::is_authority(&link.outline))
            .map_or_else(|| other(&error), |link| not_a_ca(attempt, link)),
        Error::UnknownIssuer => unknown_issuer(attempt, &walk),
        Error::PathLenConstraintViolated => path_too_long(&walk),
        Error::MaximumPathDepthExceeded => Finding::anywhere(VerifyCause::DepthExceeded {
            depth: walk.links.len().saturating_sub(1),
            depth_max: attempt.chain_depth_max,
        }),
        Error::MaximumSignatureChecksExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumNameConstraintComparisonsExceeded => {
            Finding::anywhere(VerifyCause::PathTooComplex)
        }
        // A name that cannot be compared with the constraints is not within them.
        Error::NameConstraintViolation | Error::MalformedDnsIdentifier => {
            name_constraint(attempt, &walk)
        }
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
            wrong_purpose(attempt, &walk)
        }
        Error::InvalidSignatureForPublicKey
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            bad_signature(attempt, &walk)
        }
        Error::UnsupportedSignatureAlgorithmContext(context) => {
            unsupported_signature(&walk, &context.signature_algorithm_id)
        }
        error => first_unreadable(attempt).unwrap_or_else(|| other(&error)),
    }
}

/// A certificate that webpki cannot even parse.
pub(super) fn unreadable(index: usize, der: &CertificateDer<'_>, error: &Error) -> Finding {
    let malformed = || VerifyCause::Malformed {
        detail: in_words(error),
    };
    let cause = match CertificateFacts::from_der(der) {
        Err(_) => malformed(),
        Ok(facts) => {
            let subject = facts.subject;
            match error {
                Error::UnsupportedCertVersion if facts.version != 3 => {
                    VerifyCause::UnsupportedVersion {
                        subject,
                        version: facts.version,
                    }
                }
                Error::UnsupportedCriticalExtension => VerifyCause::UnknownCriticalExtension {
                    subject,
                    oid: facts
                        .unknown_critical_extensions
                        .into_iter()
                        .next()
                        .unwrap_or_default(),
                },
                Error::SignatureAlgorithmMismatch => {
                    VerifyCause::SignatureAlgorithmMismatch { subject }
                }
                _ => malformed(),
            }
        }
    };
    Finding::at(index, cause)
}

/// The path that the peer seems to have meant: from its own certificate, each followed by the first
/// that bears the issuer's name, until an anchor's name or a dead end.
struct Walk<'a> {
    links: Vec<Link<'a>>,
}

struct Link<'a> {
    index: usize,
    der: &'a CertificateDer<'a>,
    outline: X509Certificate<'a>,
}

impl<'a> Walk<'a> {
    fn along(attempt: &Attempt<'a>) -> Self {
        let mut unused: Vec<Link<'a>> = attempt
            .intermediates
            .iter()
            .enumerate()
            .filter_map(|(position, der)| Link::read(position.saturating_add(1), der))
            .collect();
        let mut links = Vec::new();
        let mut next = Link::read(0, attempt.end_entity);
        while let Some(link) = next {
            let is_anchored = attempt
                .trust
                .anchors
                .iter()
                .any(|anchor| link.is_issued_by(&anchor.subject));
            next = if is_anchored || link.is_self_issued() {
                None
            } else {
                unused
                    .iter()
                    .position(|issuer| issuer.outline.subject().as_raw() == link.issuer_der())
                    .map(|position| unused.remove(position))
            };
            links.push(link);
        }
        Self { links }
    }

    fn find(&self, is_it: impl Fn(&Link<'_>) -> bool) -> Option<&Link<'a>> {
        self.links.iter().find(|link| is_it(link))
    }

    fn issuers(&self) -> impl Iterator<Item = &Link<'a>> {
        self.links.iter().skip(1)
    }
}

impl<'a> Link<'a> {
    fn read(index: usize, der: &'a CertificateDer<'a>) -> Option<Self> {
        let outline = x509::parse(der, Depth::Outline).ok()?;
        Some(Self {
            index,
            der,
            outline,
        })
    }

    fn finding(&self, cause: VerifyCause) -> Finding {
        Finding::at(self.index, cause)
    }

    fn facts(&self) -> Option<CertificateFacts> {
        CertificateFacts::from_der(self.der).ok()
    }

    fn subject(&self) -> String {
        x509::describe_name(self.outline.subject())
    }

    fn issuer(&self) -> String {
        x509::describe_name(self.outline.issuer())
    }

    fn issuer_der(&self) -> &[u8] {
        self.outline.issuer().as_raw()
    }

    /// `subject` as webpki has it: without the outer SEQUENCE.
    fn is_issued_by(&self, subject: &[u8]) -> bool {
        self.issuer_der() == x509::wrap_sequence(subject)
    }

    fn is_self_issued(&self) -> bool {
        self.outline.subject().as_raw() == self.issuer_der()
    }

    fn not_before(&self) -> i64 {
        self.outline.validity().not_before.timestamp()
    }

    fn not_after(&self) -> i64 {
        self.outline.validity().not_after.timestamp()
    }

    /// Whether any supported algorithm finds this certificate signed by `key`.
    fn is_signed_by(&self, key: &SubjectPublicKeyInfoDer<'_>) -> bool {
        issued::is_signed_by(&self.outline, key)
    }
}

fn not_a_ca(attempt: &Attempt<'_>, link: &Link<'_>) -> Finding {
    link.finding(VerifyCause::NotACa {
        subject: link.subject(),
        is_trusted_as_itself: attempt.trust.certificates.contains(link.der),
    })
}

fn unknown_issuer(attempt: &Attempt<'_>, walk: &Walk<'_>) -> Finding {
    let Some(last) = walk.links.last() else {
        return other(&Error::UnknownIssuer);
    };
    if let Some(link) = walk
        .issuers()
        .find(|link| !x509::is_authority(&link.outline))
    {
        return not_a_ca(attempt, link);
    }
    let subject = last.subject();
    if (last.index > 0 || !last.is_self_issued())
        && let Some(product) = interception::product(&last.issuer())
    {
        let issuer = last.issuer();
        return last.finding(VerifyCause::LikelyInterception { issuer, product });
    }
    if last.is_self_issued() {
        return last.finding(if last.index == 0 {
            VerifyCause::SelfSigned { subject }
        } else {
            VerifyCause::UntrustedRoot { subject }
        });
    }
    // The issuer's certificate is known to us, trusted even, but as a mere end entity.
    let is_trusted_as_itself = attempt.trust.certificates.iter().any(|der| {
        x509::parse(der, Depth::Outline).is_ok_and(|outline| {
            outline.subject().as_raw() == last.issuer_der() && !x509::is_authority(&outline)
        })
    });
    if is_trusted_as_itself {
        let subject = last.issuer();
        return Finding::anywhere(VerifyCause::NotACa {
            subject,
            is_trusted_as_itself,
        });
    }
    last.finding(VerifyCause::UnknownIssuer {
        subject,
        issuer: last.issuer(),
        ca_issuer_urls: last
            .facts()
            .map(|facts| {
                facts
                    .ca_issuer_urls
                    .iter()
                    .map(|url| x509::escape_control(url).into_owned())
                    .collect()
            })
            .unwrap_or_default(),
        is_end_entity: last.index == 0,
    })
}

fn path_too_long(walk: &Walk<'_>) -> Finding {
    for (below, link) in walk.issuers().enumerate() {
        let path_len = link.facts().and_then(|facts| facts.path_len);
        if path_len.is_some_and(|path_len| (path_len as usize) < below) {
            return link.finding(VerifyCause::PathTooLong {
                subject: link.subject(),
                path_len,
            });
        }
    }
    other(&Error::PathLenConstraintViolated)
}

fn name_constraint(attempt: &Attempt<'_>, walk: &Walk<'_>) -> Finding {
    let mut constrained_by: Vec<String> = walk
        .issuers()
        .filter(|link| x509::has_name_constraints(&link.outline))
        .map(Link::subject)
        .collect();
    if let Some(last) = walk.links.last() {
        constrained_by.extend(
            attempt
                .trust
                .anchors
                .iter()
                .filter(|anchor| {
                    anchor.name_constraints.is_some() && last.is_issued_by(&anchor.subject)
                })
                .map(|anchor| x509::describe_name_content(&anchor.subject)),
        );
    }
    let presented = CertificateFacts::from_der(attempt.end_entity)
        .map(|facts| server_names(&facts))
        .unwrap_or_default();
    Finding::at(
        0,
        VerifyCause::NameConstraint {
            presented,
            constrained_by,
        },
    )
}

fn wrong_purpose(attempt: &Attempt<'_>, walk: &Walk<'_>) -> Finding {
    let required = attempt.purpose.name();
    for link in &walk.links {
        if let Some(presented) = link.facts().and_then(|facts| facts.extended_key_usage)
            && !presented.iter().any(|purpose| purpose == required)
        {
            let subject = link.subject();
            return link.finding(VerifyCause::ExtendedKeyUsage {
                subject,
                required,
                presented,
            });
        }
    }
    Finding::anywhere(VerifyCause::ExtendedKeyUsage {
        subject: String::new(),
        required,
        presented: Vec::new(),
    })
}

/// Finds the signature that fails, and whether the issuer's key is to blame.
fn bad_signature(attempt: &Attempt<'_>, walk: &Walk<'_>) -> Finding {
    for (position, link) in walk.links.iter().enumerate() {
        let (subject, issuer) = (link.subject(), link.issuer());
        let issuer_link = position
            .checked_add(1)
            .and_then(|next| walk.links.get(next));
        let keys: Vec<SubjectPublicKeyInfoDer<'static>> = match issuer_link {
            Some(issuer) => {
                vec![SubjectPublicKeyInfoDer::from(
                    issuer.outline.public_key().raw.to_vec(),
                )]
            }
            None => attempt
                .trust
                .anchors
                .iter()
                .filter(|anchor| link.is_issued_by(&anchor.subject))
                .map(webpki::spki_for_anchor)
                .collect(),
        };
        if keys.iter().any(|key| link.is_signed_by(key)) {
            continue;
        }
        if let Some((issuer, cause)) =
            issuer_link.and_then(|issuer| Some((issuer, weak_key(&issuer.outline)?)))
        {
            return issuer.finding(cause);
        }
        for key in &keys {
            let Ok((_, key)) = SubjectPublicKeyInfo::from_der(key) else {
                continue;
            };
            let (algorithm, bits) = x509::describe_key(&key);
            match bits {
                Some(bits) if algorithm == "RSA" && bits < RSA_BITS_MIN => {
                    let bits_min = RSA_BITS_MIN;
                    let subject = issuer;
                    return Finding::anywhere(VerifyCause::WeakKey {
                        subject,
                        algorithm,
                        bits,
                        bits_min,
                    });
                }
                Some(_) => {}
                // A kind of key that nobody here can use, such as secp256k1.
                None => {
                    return link.finding(VerifyCause::UnsupportedSignature { subject, algorithm });
                }
            }
        }
        return link.finding(VerifyCause::BadSignature { subject, issuer });
    }
    other(&Error::InvalidSignatureForPublicKey)
}

fn unsupported_signature(walk: &Walk<'_>, algorithm_id: &[u8]) -> Finding {
    let Ok((_, oid)) = Oid::from_der(algorithm_id) else {
        return Finding::anywhere(VerifyCause::Other {
            detail: format!("signature algorithm {}", x509::hex(algorithm_id)),
        });
    };
    let algorithm = x509::describe_signature_algorithm(&oid);
    let is_broken = matches!(
        algorithm.as_str(),
        "md2WithRSAEncryption"
            | "md5WithRSAEncryption"
            | "sha1WithRSAEncryption"
            | "dsa-with-SHA1"
            | "ecdsa-with-SHA1"
    );
    let culprit = walk.find(|link| link.outline.signature_algorithm.algorithm == oid);
    let subject = culprit.map(Link::subject).unwrap_or_default();
    let cause = if is_broken {
        VerifyCause::WeakSignature { subject, algorithm }
    } else {
        VerifyCause::UnsupportedSignature { subject, algorithm }
    };
    Finding {
        cause,
        at_index: culprit.map(|link| link.index),
    }
}

fn first_unreadable(attempt: &Attempt<'_>) -> Option<Finding> {
    attempt
        .intermediates
        .iter()
        .enumerate()
        .find_map(|(position, der)| {
            let error = EndEntityCert::try_from(der).err()?;
            Some(unreadable(position.saturating_add(1), der, &error))
        })
}

fn other(error: &Error) -> Finding {
    Finding::anywhere(VerifyCause::Other {
        detail: in_words(error),
    })
}

fn in_words(error: &Error) -> String {
    match error {
        Error::BadDer => "its DER encoding is wrong".to_owned(),
        Error::BadDerTime => "a time in it is wrongly encoded".to_owned(),
        Error::ExtensionValueInvalid => "an extension in it has no valid value".to_owned(),
        Error::MalformedExtensions => "its extensions are wrongly encoded".to_owned(),
        Error::InvalidSerialNumber => "its serial number is wrongly encoded".to_owned(),
        Error::TrailingData(_) => "bytes follow where it should end".to_owned(),
        Error::CertDistrusted => "a key in the chain is known to be abused".to_owned(),
        error => format!("{error:?}"),
    }
}

fn signed(unix_seconds: u64) -> i64 {
    i64::try_from(unix_seconds).unwrap_or(i64::MAX)
}
