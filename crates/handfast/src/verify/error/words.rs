//! Each cause in one sentence: what was wrong, and with whose certificate.

use std::fmt;

use super::VerifyCause;
use crate::x509::format_utc;

impl fmt::Display for VerifyCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("there is no certificate"),
            Self::ChainTooLarge {
                certificates,
                bytes,
            } => {
                write!(
                    f,
                    "it sent {certificates} certificates ({bytes} bytes), more than the limit"
                )
            }
            Self::NoTrustAnchors => f.write_str("no certificate authority is trusted"),
            Self::Expired {
                subject, not_after, ..
            } => {
                write!(
                    f,
                    "the certificate of {} expired on {}",
                    or_unnamed(subject),
                    format_utc(*not_after)
                )
            }
            Self::NotYetValid {
                subject,
                not_before,
                ..
            } => write!(
                f,
                "the certificate of {} is not valid before {}",
                or_unnamed(subject),
                format_utc(*not_before)
            ),
            Self::InvalidValidity { subject, .. } => {
                write!(
                    f,
                    "the certificate of {} ends before it begins",
                    or_unnamed(subject)
                )
            }
            Self::NameMismatch {
                expected,
                presented,
            } => {
                write!(
                    f,
                    "the certificate is not valid for {expected}; it names {}",
                    list(presented)
                )
            }
            Self::NoSubjectAltName {
                expected,
                common_name,
            } => {
                write!(
                    f,
                    "the certificate has no DNS or IP subject alternative name, so it is not valid for {expected}"
                )?;
                match common_name {
                    Some(name) => write!(f, " (its common name {name} is not used)"),
                    None => Ok(()),
                }
            }
            Self::UnknownIssuer {
                subject,
                issuer,
                has_trusted_namesake: true,
                ..
            } => write!(
                f,
                "the certificate of {} was issued by {}, but with another key than that of the trusted authority of this name",
                or_unnamed(subject),
                or_unnamed(issuer)
            ),
            Self::UnknownIssuer {
                subject, issuer, ..
            } => write!(
                f,
                "the certificate of {} was issued by {}, which is neither trusted nor in the chain",
                or_unnamed(subject),
                or_unnamed(issuer)
            ),
            Self::LikelyInterception { issuer, product } => write!(
                f,
                "it was issued by {issuer}, which is not trusted and has the name of {product}, a product that intercepts TLS"
            ),
            Self::SelfSigned { subject } => {
                write!(
                    f,
                    "the certificate of {} is self-signed and not trusted",
                    or_unnamed(subject)
                )
            }
            Self::UntrustedRoot {
                subject,
                has_trusted_namesake: false,
            } => write!(
                f,
                "the chain ends at {}, which is not trusted",
                or_unnamed(subject)
            ),
            Self::UntrustedRoot {
                subject,
                has_trusted_namesake: true,
            } => write!(
                f,
                "the chain ends at {}, which is not trusted: the trusted root of this name has another key",
                or_unnamed(subject)
            ),
            Self::TrustedIssuerUnusable {
                subject, issuer, ..
            } => write!(
                f,
                "the certificate of {} was issued by {}, whose certificate is among the trusted ones \
                 but cannot be used",
                or_unnamed(subject),
                or_unnamed(issuer)
            ),
            Self::NotACa { subject, .. } => write!(
                f,
                "{} issued a certificate, but its own certificate is not a CA certificate",
                or_unnamed(subject)
            ),
            Self::CaUsedAsEndEntity { subject } => write!(
                f,
                "the certificate of {} is a CA certificate, not one for a server or client",
                or_unnamed(subject)
            ),
            Self::PathTooLong {
                subject,
                path_len: Some(path_len),
            } => write!(
                f,
                "{} allows {path_len} authorities below it, the chain has more",
                or_unnamed(subject)
            ),
            Self::PathTooLong {
                subject,
                path_len: None,
            } => {
                write!(
                    f,
                    "the chain has more authorities than {} allows",
                    or_unnamed(subject)
                )
            }
            Self::DepthExceeded { depth, depth_max } => {
                write!(
                    f,
                    "intermediates that the chain needs: {depth}; allowed: {depth_max}"
                )
            }
            Self::PathTooComplex => {
                f.write_str("the chain allows too many paths to check them all")
            }
            Self::NameConstraint {
                name,
                constrained_by,
                ..
            } => write!(f, "{} may not issue for {name}", or_unnamed(constrained_by)),
            Self::NoValidPolicy {
                subject,
                demanded_by,
            } => write!(
                f,
                "{} requires a certificate policy that is valid for the whole chain; at the certificate of {} none is left",
                or_unnamed(demanded_by),
                or_unnamed(subject)
            ),
            Self::ExtendedKeyUsage {
                subject,
                required,
                presented,
            } => write!(
                f,
                "the extended key usage of {} does not include {required}; it has {}",
                or_unnamed(subject),
                list(presented)
            ),
            Self::KeyUsage {
                subject,
                required,
                presented,
            } => write!(
                f,
                "the key usage of {} does not include {required}; it has {}",
                or_unnamed(subject),
                list(presented)
            ),
            Self::BadSignature { subject, issuer } => write!(
                f,
                "the certificate of {} was not signed by the key of {}",
                or_unnamed(subject),
                or_unnamed(issuer)
            ),
            Self::WeakSignature { subject, algorithm } => write!(
                f,
                "the certificate of {} is signed with {algorithm}, which is broken",
                or_unnamed(subject)
            ),
            Self::UnsupportedSignature { subject, algorithm } => write!(
                f,
                "the certificate of {} is signed with {algorithm}, which is not supported",
                or_unnamed(subject)
            ),
            Self::SignatureAlgorithmMismatch { subject } => write!(
                f,
                "the certificate of {} names two different signature algorithms",
                or_unnamed(subject)
            ),
            Self::UnsupportedKey { subject, algorithm } => write!(
                f,
                "the key of {} is of an unsupported kind: {}",
                or_unnamed(subject),
                algorithm
            ),
            Self::WeakKey {
                subject,
                algorithm,
                bits,
                bits_min,
            } => write!(
                f,
                "the {algorithm} key of {} has {bits} bits, at least {bits_min} are required",
                or_unnamed(subject)
            ),
            Self::KeyTooLarge {
                subject,
                algorithm,
                bits,
                bits_max,
            } => write!(
                f,
                "the {algorithm} key of {} has {bits} bits, more than the {bits_max} that are supported",
                or_unnamed(subject)
            ),
            Self::DistrustedKey => {
                f.write_str("a key in the chain is on the list of distrusted keys")
            }
            Self::UnknownCriticalExtension { subject, oid } => write!(
                f,
                "the certificate of {} has the critical extension {oid}, which is not supported",
                or_unnamed(subject)
            ),
            Self::UnsupportedVersion { subject, version } => write!(
                f,
                "the certificate of {} is of version {version}, not 3",
                or_unnamed(subject)
            ),
            Self::Malformed { detail } => write!(f, "a certificate cannot be read: {detail}"),
            Self::Revoked {
                subject, serial, ..
            } => write!(
                f,
                "the certificate of {} (serial {serial}) was revoked",
                or_unnamed(subject)
            ),
            Self::RevocationUnknown {
                subject,
                issuer,
                uncounted,
            } => {
                let subject = or_unnamed(subject);
                write!(
                    f,
                    "the revocation status of the certificate of {subject} is unknown: "
                )?;
                let issuer = or_unnamed(issuer);
                match uncounted.len() {
                    0 => write!(f, "no list of {issuer} was given"),
                    1 => write!(f, "the list of {issuer} does not apply to it"),
                    count => write!(f, "none of the {count} lists of {issuer} applies to it"),
                }
            }
            Self::CrlExpired {
                list, next_update, ..
            } => write!(
                f,
                "the revocation list of {} is out of date: a new one was due on {}",
                or_unnamed(&list.issuer),
                format_utc(*next_update)
            ),
            Self::CrlUnusable { list, fault } => write!(
                f,
                "the revocation list of {} cannot be used: {fault}",
                or_unnamed(&list.issuer)
            ),
            Self::PinMismatch { .. } => f.write_str("none of the keys in the chain is pinned"),
            Self::RefusedByApplication { reason } => {
                write!(f, "a check of the application refuses it: {reason}")
            }
            Self::VerifiersDisagree { ours, webpki } => write!(
                f,
                "the two verifiers disagree: handfast: \"{ours}\", webpki: \"{webpki}\""
            ),
        }
    }
}

fn or_unnamed(name: &str) -> &str {
    if name.is_empty() {
        "an unnamed subject"
    } else {
        name
    }
}

fn list<T: AsRef<str>>(items: &[T]) -> String {
    if items.is_empty() {
        return "nothing".to_owned();
    }
    items
        .iter()
        .map(AsRef::as_ref)
        .collect::<Vec<_>>()
        .join(", ")
}
