//! Why a chain was refused: typed causes with their evidence, and the errors for rustls.

mod words;

use std::fmt;
use std::sync::Arc;

use pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, OtherError};

use super::pin::{self, SpkiSha256};
use super::purpose::Purpose;
use super::revocation::{CrlFault, CrlSummary, UncountedCrl};
use crate::trust::AnchorProblem;

/// A peer's chain was refused. Carries all evidence, including the unverified chain.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VerifyError {
    /// The cause.
    pub cause: VerifyCause,
    /// The position in [`chain`](Self::chain) of the certificate at fault; `None` if the fault is in the trust
    /// anchor, the path as a whole, or no certificate that the peer sent.
    pub at_index: Option<usize>,
    /// The chain as the peer sent it. It must not be trusted.
    pub chain: Vec<CertificateDer<'static>>,
    /// Trusted certificates that cannot be used, and may be the reason why no path was found.
    pub trust_problems: Vec<AnchorProblem>,
    /// The purpose for which the peer presented it.
    pub purpose: Purpose,
    /// The server name that was expected.
    pub name: Option<String>,
    /// When the chain was verified, in unix seconds.
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
    /// A server that presents no certificate: rustls does not call the verifier then.
    pub(crate) fn no_server_certificate(name: Option<String>) -> Self {
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

    /// The error for rustls, which determines the alert (RFC 8446, 6.2).
    pub(crate) fn to_rustls(&self) -> rustls::Error {
        rustls::Error::InvalidCertificate(self.cause.to_rustls())
    }
}

/// The fault of a chain. Names in it are escaped: they are safe to print.
///
/// Times are unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyCause {
    /// The peer sent no certificate.
    NoCertificate,
    /// More certificates or bytes than the limit.
    ChainTooLarge {
        /// How many were sent.
        certificates: usize,
        /// Their size together.
        bytes: usize,
    },
    /// There are no trust anchors, so no peer can be verified.
    NoTrustAnchors,
    /// A certificate has expired.
    Expired {
        /// The subject of the certificate.
        subject: String,
        /// The last second of its validity.
        not_after: i64,
        /// When it was verified.
        now: i64,
    },
    /// A certificate is not yet valid, or our clock is wrong.
    NotYetValid {
        /// The subject of the certificate.
        subject: String,
        /// The first second of its validity.
        not_before: i64,
        /// When it was verified.
        now: i64,
    },
    /// The certificate's validity ends before it begins.
    InvalidValidity {
        /// The subject of the certificate.
        subject: String,
        /// The first second of its validity.
        not_before: i64,
        /// The last second of its validity.
        not_after: i64,
    },
    /// The certificate is for other names.
    NameMismatch {
        /// The expected server name.
        expected: String,
        /// Every DNS name and IP address that the certificate is for.
        presented: Vec<String>,
    },
    /// The certificate has no subject alternative name of DNS or IP type.
    NoSubjectAltName {
        /// The expected server name.
        expected: String,
        /// The subject's common name, which must not be used (RFC 9525).
        common_name: Option<String>,
    },
    /// The issuer is not trusted, and its certificate was not sent.
    UnknownIssuer {
        /// The subject of the certificate whose issuer is missing.
        subject: String,
        /// The issuer's name.
        issuer: String,
        /// Where the issuer's certificate is available, according to the certificate.
        ca_issuer_urls: Vec<String>,
        /// Whether it is the peer's own certificate: then the server is probably not configured to send the
        /// intermediate.
        is_end_entity: bool,
        /// Whether a trusted authority has the issuer's name and another key: then the authority was
        /// probably created again.
        has_trusted_namesake: bool,
    },
    /// The peer's certificate is self-signed and not trusted.
    SelfSigned {
        /// The subject of the certificate.
        subject: String,
    },
    /// The chain ends at a root that is not trusted.
    UntrustedRoot {
        /// The root's name.
        subject: String,
        /// Whether a trusted root has this name and another key: then the root was probably created again.
        has_trusted_namesake: bool,
    },
    /// The issuer is not trusted, and has the name of a product that intercepts TLS: a company's proxy, a virus
    /// scanner, a debugging tool.
    LikelyInterception {
        /// The issuer's name.
        issuer: String,
        /// The product.
        product: &'static str,
    },
    /// The certificate of the issuer is among the trusted ones, and cannot be used as a trust anchor.
    TrustedIssuerUnusable {
        /// The subject of the certificate that it issued.
        subject: String,
        /// The issuer's name.
        issuer: String,
        /// Where its certificate is, and its fault.
        problem: Box<AnchorProblem>,
    },
    /// A certificate that is not a CA certificate issued another.
    NotACa {
        /// Its subject.
        subject: String,
        /// Whether the caller trusts this certificate as an end-entity certificate, which does not allow it to issue.
        is_trusted_as_itself: bool,
    },
    /// An authority's certificate was presented as the peer's own.
    CaUsedAsEndEntity {
        /// The subject of the certificate.
        subject: String,
    },
    /// An authority has more intermediates below it than it allows.
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
    /// Path building was given up: there are too many paths.
    PathTooComplex,
    /// A name violates an authority's name constraints.
    NameConstraint {
        /// The subject of the certificate with the name.
        subject: String,
        /// The name that is not allowed.
        name: String,
        /// The authority with the constraints.
        constrained_by: String,
        /// How the name violates its constraints.
        constraint: String,
    },
    /// A certificate of the path requires a certificate policy for the whole path, and none is valid.
    NoValidPolicy {
        /// The certificate at which no policy is left.
        subject: String,
        /// The subject of the certificate that requires one.
        demanded_by: String,
    },
    /// The certificate is for other purposes.
    ExtendedKeyUsage {
        /// The subject of the certificate.
        subject: String,
        /// The purpose that it lacks.
        required: &'static str,
        /// The purposes that it has.
        presented: Vec<String>,
    },
    /// The key must not be used for this.
    KeyUsage {
        /// The subject of the certificate.
        subject: String,
        /// The usage that it lacks.
        required: &'static str,
        /// The usages that it has.
        presented: Vec<&'static str>,
    },
    /// A signature was not made with the issuer's key: the certificate was changed, or another issuer has the same
    /// name.
    BadSignature {
        /// The subject of the certificate with the signature.
        subject: String,
        /// The issuer that should have made it.
        issuer: String,
    },
    /// A broken signature algorithm.
    WeakSignature {
        /// The subject of the certificate with the signature.
        subject: String,
        /// The algorithm.
        algorithm: String,
    },
    /// A signature algorithm that is not supported, or not with the issuer's kind of key.
    UnsupportedSignature {
        /// The subject of the certificate with the signature.
        subject: String,
        /// The algorithm.
        algorithm: String,
    },
    /// The two signature algorithm fields of a certificate differ.
    SignatureAlgorithmMismatch {
        /// The subject of the certificate.
        subject: String,
    },
    /// The peer's key is of a kind, or on a curve, that is not supported for handshake signatures.
    UnsupportedKey {
        /// The subject of the certificate.
        subject: String,
        /// The kind of key.
        algorithm: String,
    },
    /// A key too small to be safe.
    WeakKey {
        /// The subject of the certificate.
        subject: String,
        /// The kind of key.
        algorithm: String,
        /// Its size.
        bits: u32,
        /// The smallest size accepted.
        bits_min: u32,
    },
    /// A key that is larger than supported.
    KeyTooLarge {
        /// The subject of the certificate.
        subject: String,
        /// The kind of key.
        algorithm: String,
        /// Its size.
        bits: u32,
        /// The largest size accepted.
        bits_max: u32,
    },
    /// A key of the chain is on webpki's list of keys that browsers distrust.
    DistrustedKey,
    /// A critical extension that is not supported.
    UnknownCriticalExtension {
        /// The subject of the certificate.
        subject: String,
        /// The extension's identifier, dotted.
        oid: String,
    },
    /// Not X.509 version 3.
    UnsupportedVersion {
        /// The subject of the certificate.
        subject: String,
        /// The version: 1 or 2.
        version: u32,
    },
    /// A certificate that cannot be parsed.
    Malformed {
        /// The parser's error.
        detail: String,
    },
    /// The issuer has revoked the certificate.
    Revoked {
        /// The subject of the certificate.
        subject: String,
        /// Its serial number, hexadecimal.
        serial: String,
        /// The source of this information.
        by: RevokedBy,
    },
    /// No revocation list covers the certificate, and the policy requires one.
    RevocationUnknown {
        /// The subject of the certificate.
        subject: String,
        /// The issuer whose list is missing.
        issuer: String,
        /// The lists of that issuer that were given, and why each does not apply.
        uncounted: Vec<UncountedCrl>,
    },
    /// The revocation list that covers the certificate is out of date.
    CrlExpired {
        /// The list.
        list: Arc<CrlSummary>,
        /// When a new one was due.
        next_update: i64,
        /// When it was verified.
        now: i64,
    },
    /// The revocation list that covers the certificate cannot be used.
    CrlUnusable {
        /// The list.
        list: Arc<CrlSummary>,
        /// Its fault.
        fault: CrlFault,
    },
    /// The chain is valid, but none of its keys is pinned.
    PinMismatch {
        /// The pins.
        expected: Vec<SpkiSha256>,
        /// The keys in the path, end entity first.
        presented: Vec<SpkiSha256>,
    },
    /// The chain is valid, but an additional check of the application refused the peer
    /// ([`AdditionalVerification`](crate::AdditionalVerification)).
    RefusedByApplication {
        /// The reason from the check.
        reason: String,
    },
    /// The two verifiers, webpki and the validation of this library, disagree, and no known limit of
    /// webpki explains it. One of them has a bug.
    VerifiersDisagree {
        /// The result of this library's validation.
        ours: String,
        /// The result of webpki.
        webpki: String,
    },
}

/// Where a revocation was found.
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
    /// The OCSP response that the server stapled.
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
    /// One of `pins`, if there are any, must be among the keys of the path.
    pub(super) fn check_pins(pins: &[SpkiSha256], path: &[[u8; 32]]) -> Result<(), Self> {
        match pin::hold(pins, path) {
            true => Ok(()),
            false => Err(Self::PinMismatch {
                expected: pins.to_vec(),
                presented: path.iter().copied().map(SpkiSha256::from_bytes).collect(),
            }),
        }
    }

    /// One of `pins`, if there are any, must be the key of this certificate.
    pub(super) fn check_own_key(
        pins: &[SpkiSha256],
        end_entity: &CertificateDer<'_>,
    ) -> Result<(), Self> {
        if pins.is_empty() {
            return Ok(());
        }
        let own = SpkiSha256::of_certificate(end_entity).ok();
        let own = own.map(|key| *key.as_bytes());
        Self::check_pins(pins, own.as_slice())
    }

    /// An authority that says where its certificate is, and stands directly above the peer's: an intermediate.
    pub(crate) fn is_missing_intermediate(&self) -> bool {
        matches!(self, Self::UnknownIssuer { ca_issuer_urls, is_end_entity: true, .. } if !ca_issuer_urls.is_empty())
    }

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
            Self::UnknownIssuer { .. } if self.is_missing_intermediate() => "missing-intermediate",
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
            // Its signatures cannot be verified.
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

    /// The resulting alerts are those of OpenSSL (`ssl_x509err2alert`) wherever it has the same
    /// cause, so that peers report the same as with other implementations.
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

/// Whether an address was expected and there is none among the names. An address in a DNS name does not
/// match.
fn names_no_address(expected: &str, presented: &[String]) -> bool {
    let is_address = |text: &str| text.parse::<std::net::IpAddr>().is_ok();
    is_address(expected)
        && presented
            .iter()
            .all(|name| name == expected || !is_address(name))
}
