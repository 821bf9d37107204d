//! Why a chain was refused: typed causes with their evidence, and what rustls is told of them.

mod words;

use std::fmt;
use std::sync::Arc;

use pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, OtherError};

use super::pin::SpkiSha256;
use super::purpose::Purpose;
use super::revocation::{CrlFault, CrlSummary, UncountedCrl};
use crate::trust::AnchorProblem;

/// A peer's chain was refused. Carries all that is known, the unverified chain included.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VerifyError {
    /// What was wrong.
    pub cause: VerifyCause,
    /// Which certificate of [`chain`](Self::chain) it is about; `None` when it is about the trust
    /// anchor, the path as a whole, or nothing that the peer sent.
    pub at_index: Option<usize>,
    /// The chain as the peer sent it. Nothing in it may be believed.
    pub chain: Vec<CertificateDer<'static>>,
    /// What is among the trusted certificates, cannot be used, and may be why the chain ends nowhere.
    pub trust_problems: Vec<AnchorProblem>,
    /// What the peer wanted to prove with it.
    pub purpose: Purpose,
    /// The server name that was expected.
    pub name: Option<String>,
    /// When the judgement was made, in unix seconds.
    pub now: u64,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.purpose, &self.name) {
            (Purpose::ServerAuth, Some(name)) => {
                write!(f, "the server did not prove that it is {name}")
            }
            (Purpose::ServerAuth, None) => f.write_str("the server did not prove who it is"),
            (Purpose::ClientAuth, _) => f.write_str("the client did not prove who it is"),
        }
    }
}

impl std::error::Error for VerifyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl VerifyError {
    /// A server that presents no certificate at all: rustls does not even ask the verifier then.
    pub(crate) fn of_silent_server(name: Option<String>) -> Self {
        Self {
            cause: VerifyCause::NoCertificate,
            at_index: None,
            chain: Vec::new(),
            trust_problems: Vec::new(),
            purpose: Purpose::ServerAuth,
            name,
            now: UnixTime::now().as_secs(),
        }
    }

    /// What rustls is told, so that the peer gets the alert that fits (RFC 8446, 6.2).
    pub(crate) fn to_rustls(&self) -> rustls::Error {
        rustls::Error::InvalidCertificate(self.cause.to_rustls())
    }
}

/// What was wrong with a chain. Names in it are escaped: they are safe to print.
///
/// Times are unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyCause {
    /// The peer sent no certificate.
    NoCertificate,
    /// More certificates or bytes than any honest peer sends.
    ChainTooLarge {
        /// How many were sent.
        certificates: usize,
        /// Their size together.
        bytes: usize,
    },
    /// Nobody is trusted, so nobody can be verified.
    NoTrustAnchors,
    /// A certificate's validity is over.
    Expired {
        /// Whose it is.
        subject: String,
        /// Its last second.
        not_after: i64,
        /// When it was judged.
        now: i64,
    },
    /// A certificate's validity has not begun: or our clock is wrong.
    NotYetValid {
        /// Whose it is.
        subject: String,
        /// Its first second.
        not_before: i64,
        /// When it was judged.
        now: i64,
    },
    /// The certificate ends before it begins.
    InvalidValidity {
        /// Whose it is.
        subject: String,
        /// Its first second.
        not_before: i64,
        /// Its last second.
        not_after: i64,
    },
    /// The certificate is for other names.
    NameMismatch {
        /// The name that was to be reached.
        expected: String,
        /// Every DNS name and IP address that the certificate is for.
        presented: Vec<String>,
    },
    /// The certificate has no subject alternative name that could name a server.
    NoSubjectAltName {
        /// The name that was to be reached.
        expected: String,
        /// The subject's common name, which proves nothing (RFC 9525).
        common_name: Option<String>,
    },
    /// Nobody that we trust issued this, and the certificate of its issuer was not sent.
    UnknownIssuer {
        /// Whose issuer is missing.
        subject: String,
        /// The issuer's name.
        issuer: String,
        /// Where the issuer's certificate may be had, according to the certificate.
        ca_issuer_urls: Vec<String>,
        /// Whether it is the peer's own certificate: then the server likely forgot to send the
        /// intermediate.
        is_end_entity: bool,
        /// Whether a trusted authority has the issuer's name and another key: then the authority was
        /// likely made again.
        has_trusted_namesake: bool,
    },
    /// The peer's certificate vouches for itself, and we were not told to trust it.
    SelfSigned {
        /// Whose it is.
        subject: String,
    },
    /// The chain ends in a root that we do not trust.
    UntrustedRoot {
        /// The root's name.
        subject: String,
        /// Whether a trusted root has this name and another key: then the root was likely made again.
        has_trusted_namesake: bool,
    },
    /// Nobody that we trust issued this, and whoever did is named like a product that reads TLS on its
    /// way: a company's proxy, a virus scanner, a debugging tool.
    LikelyInterception {
        /// The issuer's name.
        issuer: String,
        /// The product.
        product: &'static str,
    },
    /// The certificate of the issuer is among the trusted ones, and cannot vouch for others.
    TrustedIssuerUnusable {
        /// Whose certificate it issued.
        subject: String,
        /// The issuer's name.
        issuer: String,
        /// Where its certificate is, and what is wrong with it.
        problem: Box<AnchorProblem>,
    },
    /// A certificate that is no authority was used to issue another.
    NotACa {
        /// Who issued without the right to.
        subject: String,
        /// Whether the caller trusts this very certificate, which does not let it issue.
        is_trusted_as_itself: bool,
    },
    /// An authority's certificate was presented as the peer's own.
    CaUsedAsEndEntity {
        /// Whose it is.
        subject: String,
    },
    /// An authority has more authorities below it than it may.
    PathTooLong {
        /// The authority whose limit is exceeded.
        subject: String,
        /// How many intermediates it allows below it.
        path_len: Option<u32>,
    },
    /// More intermediates than the caller allows.
    DepthExceeded {
        /// How many were needed; self-issued ones do not count.
        depth: usize,
        /// How many are allowed.
        depth_max: usize,
    },
    /// Path building was given up: it cost too much.
    PathTooComplex,
    /// A name lies outside what an authority may issue for.
    NameConstraint {
        /// Whose certificate has the name.
        subject: String,
        /// The name that is not allowed.
        name: String,
        /// The authority that may not issue for it.
        constrained_by: String,
        /// What its constraints say of names of this kind.
        constraint: String,
    },
    /// A certificate of the path demands that a certificate policy holds for all of it, and none does.
    NoValidPolicy {
        /// The certificate that leaves no policy.
        subject: String,
        /// Whose certificate demands one.
        demanded_by: String,
    },
    /// The certificate is made for other purposes.
    ExtendedKeyUsage {
        /// Whose it is.
        subject: String,
        /// The purpose it lacks.
        required: &'static str,
        /// The purposes it has.
        presented: Vec<String>,
    },
    /// The key may not be used for what it was used for.
    KeyUsage {
        /// Whose it is.
        subject: String,
        /// The use it lacks.
        required: &'static str,
        /// The uses it has.
        presented: Vec<&'static str>,
    },
    /// A signature does not fit the issuer's key: tampered with, or another issuer of the same name.
    BadSignature {
        /// Whose certificate has the signature.
        subject: String,
        /// Who should have made it.
        issuer: String,
    },
    /// A signature algorithm that has been broken.
    WeakSignature {
        /// Whose certificate has the signature.
        subject: String,
        /// The algorithm.
        algorithm: String,
    },
    /// A signature algorithm that is not supported, or not for the issuer's kind of key.
    UnsupportedSignature {
        /// Whose certificate has the signature.
        subject: String,
        /// The algorithm.
        algorithm: String,
    },
    /// The two places of a certificate that name its signature algorithm disagree.
    SignatureAlgorithmMismatch {
        /// Whose it is.
        subject: String,
    },
    /// The peer's key is of a kind, or on a curve, by which no handshake can be signed here.
    UnsupportedKey {
        /// Whose it is.
        subject: String,
        /// The kind of key.
        algorithm: String,
    },
    /// A key too small to be safe.
    WeakKey {
        /// Whose it is.
        subject: String,
        /// The kind of key.
        algorithm: String,
        /// Its size.
        bits: u32,
        /// The smallest size accepted.
        bits_min: u32,
    },
    /// A key larger than what is verified with.
    KeyTooLarge {
        /// Whose it is.
        subject: String,
        /// The kind of key.
        algorithm: String,
        /// Its size.
        bits: u32,
        /// The largest size accepted.
        bits_max: u32,
    },
    /// A key of the chain is one that browsers have withdrawn their trust from, and that webpki lists.
    DistrustedKey,
    /// An extension that must be understood, and is not.
    UnknownCriticalExtension {
        /// Whose it is.
        subject: String,
        /// The extension's identifier, dotted.
        oid: String,
    },
    /// Not X.509 version 3.
    UnsupportedVersion {
        /// Whose it is.
        subject: String,
        /// The version, as people count it.
        version: u32,
    },
    /// A certificate that cannot be read.
    Malformed {
        /// What the parser stumbled over.
        detail: String,
    },
    /// The issuer has revoked the certificate.
    Revoked {
        /// Whose it is.
        subject: String,
        /// Its serial number, hexadecimal.
        serial: String,
        /// Who says so.
        by: RevokedBy,
    },
    /// No revocation list covers the certificate, and the policy demands one.
    RevocationUnknown {
        /// Whose it is.
        subject: String,
        /// Whose list is missing.
        issuer: String,
        /// The lists of that issuer that were given, and why each did not count.
        uncounted: Vec<UncountedCrl>,
    },
    /// The revocation list that covers the certificate is out of date.
    CrlExpired {
        /// The list.
        list: Arc<CrlSummary>,
        /// When a new one was due.
        next_update: i64,
        /// When it was judged.
        now: i64,
    },
    /// The revocation list that covers the certificate was not made by its issuer, or not properly.
    CrlUnusable {
        /// The list.
        list: Arc<CrlSummary>,
        /// What is wrong with it.
        fault: CrlFault,
    },
    /// The chain is fine, but no key in it is a pinned one.
    PinMismatch {
        /// The pins.
        expected: Vec<SpkiSha256>,
        /// The keys in the path, end entity first.
        presented: Vec<SpkiSha256>,
    },
    /// The chain is fine, but a check of the program that uses this library refuses the peer
    /// ([`AdditionalVerification`](crate::AdditionalVerification)).
    RefusedByApplication {
        /// What the check says.
        reason: String,
    },
    /// The two verifiers, webpki and the validation of this library, do not agree, and no known limit of
    /// webpki explains it. One of them has a fault.
    VerifiersDisagree {
        /// What this library's validation says.
        ours: String,
        /// What webpki says.
        webpki: String,
    },
}

/// Who says that a certificate is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevokedBy {
    /// A revocation list that the caller gave.
    List {
        /// The list.
        list: Arc<CrlSummary>,
        /// Since when, in unix seconds.
        at: i64,
        /// Why, as RFC 5280, 5.3.1 names it.
        reason: Option<&'static str>,
    },
    /// The OCSP response that the server itself stapled to its certificate.
    StapledResponse {
        /// Since when, in unix seconds.
        at: i64,
        /// Why, as RFC 5280, 5.3.1 names it.
        reason: Option<&'static str>,
        /// When the response was made.
        produced_at: i64,
    },
}

impl VerifyCause {
    /// A stable identifier: part of the interface, for scripts and documentation.
    pub fn id(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::ChainTooLarge { .. } => "chain-too-large",
            Self::NoTrustAnchors => "no-trust-anchors",
            Self::Expired { .. } => "certificate-expired",
            Self::NotYetValid { .. } => "certificate-not-yet-valid",
            Self::InvalidValidity { .. } => "certificate-validity-reversed",
            Self::NameMismatch {
                expected,
                presented,
            } if names_no_address(expected, presented) => "ip-address-not-listed",
            Self::NameMismatch { .. } => "name-mismatch",
            Self::NoSubjectAltName { .. } => "no-subject-alt-name",
            // An authority that says where its certificate is, and stands directly above the peer's:
            // an intermediate.
            Self::UnknownIssuer {
                ca_issuer_urls,
                is_end_entity: true,
                ..
            } if !ca_issuer_urls.is_empty() => "missing-intermediate",
            Self::UnknownIssuer { .. } => "unknown-issuer",
            Self::LikelyInterception { .. } => "likely-interception",
            Self::SelfSigned { .. } => "self-signed",
            Self::UntrustedRoot { .. } => "untrusted-root",
            Self::TrustedIssuerUnusable { .. } => "trusted-issuer-unusable",
            Self::NotACa { .. } => "issuer-not-a-ca",
            Self::CaUsedAsEndEntity { .. } => "ca-used-as-end-entity",
            Self::PathTooLong { .. } => "path-too-long",
            Self::DepthExceeded { .. } => "chain-too-deep",
            Self::PathTooComplex => "path-too-complex",
            Self::NameConstraint { .. } => "name-constraint",
            Self::NoValidPolicy { .. } => "no-valid-policy",
            Self::ExtendedKeyUsage { .. } => "wrong-purpose",
            Self::KeyUsage { .. } => "wrong-key-usage",
            Self::BadSignature { .. } => "bad-signature",
            Self::WeakSignature { .. } => "weak-signature",
            Self::UnsupportedSignature { .. } => "unsupported-signature",
            Self::SignatureAlgorithmMismatch { .. } => "signature-algorithm-mismatch",
            Self::UnsupportedKey { .. } => "unsupported-key",
            Self::WeakKey { .. } => "weak-key",
            // Its signatures are what cannot be verified.
            Self::KeyTooLarge { .. } => "unsupported-signature",
            Self::DistrustedKey => "distrusted-key",
            Self::UnknownCriticalExtension { .. } => "unknown-critical-extension",
            Self::UnsupportedVersion { .. } => "unsupported-certificate-version",
            Self::Malformed { .. } => "malformed-certificate",
            Self::Revoked { .. } => "certificate-revoked",
            Self::RevocationUnknown { .. } => "revocation-unknown",
            Self::CrlExpired { .. } => "crl-expired",
            Self::CrlUnusable { .. } => "crl-unusable",
            Self::PinMismatch { .. } => "pin-mismatch",
            Self::RefusedByApplication { .. } => "refused-by-application",
            Self::VerifiersDisagree { .. } => "verifiers-disagree",
        }
    }

    /// The alerts that follow are those of OpenSSL (`ssl_x509err2alert`) wherever it has the same
    /// cause, so that peers read from us what they read from others.
    fn to_rustls(&self) -> CertificateError {
        match self {
            Self::Expired { .. } | Self::InvalidValidity { .. } => CertificateError::Expired,
            Self::NotYetValid { .. } => CertificateError::NotValidYet,
            Self::NameMismatch { .. } | Self::NoSubjectAltName { .. } => {
                CertificateError::NotValidForName
            }
            Self::NoTrustAnchors
            | Self::UnknownIssuer { .. }
            | Self::SelfSigned { .. }
            | Self::UntrustedRoot { .. }
            | Self::LikelyInterception { .. }
            | Self::TrustedIssuerUnusable { .. }
            | Self::NotACa { .. }
            | Self::PathTooLong { .. }
            | Self::NoValidPolicy { .. }
            | Self::DistrustedKey
            | Self::DepthExceeded { .. }
            | Self::PathTooComplex
            | Self::ChainTooLarge { .. } => CertificateError::UnknownIssuer,
            Self::CaUsedAsEndEntity { .. }
            | Self::UnsupportedKey { .. }
            | Self::ExtendedKeyUsage { .. }
            | Self::KeyUsage { .. } => CertificateError::InvalidPurpose,
            Self::BadSignature { .. } => CertificateError::BadSignature,
            Self::UnknownCriticalExtension { .. } => CertificateError::UnhandledCriticalExtension,
            Self::Malformed { .. }
            | Self::UnsupportedVersion { .. }
            | Self::SignatureAlgorithmMismatch { .. }
            | Self::WeakKey { .. }
            | Self::KeyTooLarge { .. }
            | Self::WeakSignature { .. }
            | Self::UnsupportedSignature { .. } => CertificateError::BadEncoding,
            Self::Revoked { .. } => CertificateError::Revoked,
            Self::RevocationUnknown { .. } | Self::CrlUnusable { .. } => {
                CertificateError::UnknownRevocationStatus
            }
            Self::CrlExpired { .. } => CertificateError::ExpiredRevocationList,
            Self::PinMismatch { .. } | Self::RefusedByApplication { .. } => {
                CertificateError::ApplicationVerificationFailure
            }
            Self::NoCertificate | Self::NameConstraint { .. } | Self::VerifiersDisagree { .. } => {
                CertificateError::Other(OtherError(Arc::new(self.clone())))
            }
        }
    }
}

impl std::error::Error for VerifyCause {}

/// An address was asked for, and there is none among the names; one that is spelt as a DNS name is
/// none.
fn names_no_address(expected: &str, presented: &[String]) -> bool {
    let is_address = |text: &str| text.parse::<std::net::IpAddr>().is_ok();
    is_address(expected)
        && presented
            .iter()
            .all(|name| name == expected || !is_address(name))
}
