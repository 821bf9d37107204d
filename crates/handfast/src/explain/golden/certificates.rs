//! Rejected chains of servers, for every cause.

use std::sync::Arc;

use handfast_testbed::pki::{Issued, Spec};

use super::row::{DAY, NOW, Row, handshake};
use crate::error::{Error, PeerCause};
use crate::trust::{AnchorProblem, AnchorProblemKind};
use crate::verify::{
    CrlFault, CrlSummary, Purpose, RevokedBy, SpkiSha256, Uncounted, UncountedCrl, VerifyCause,
    VerifyError,
};

fn spec(spec: Spec) -> Spec {
    spec.valid_between((NOW - 300 * DAY) as u64, (NOW + 60 * DAY) as u64)
}

/// A list of the intermediate authority.
fn list(next_update: i64) -> Arc<CrlSummary> {
    Arc::new(CrlSummary {
        issuer: "CN=Example Intermediate".to_owned(),
        this_update: next_update - 7 * DAY,
        next_update: Some(next_update),
        number: Some("41".to_owned()),
        delta_of: None,
        scope: "all certificates".to_owned(),
        entries: 3,
        file: Some("crl.pem".into()),
    })
}

/// Lists that do not apply, for every reason.
fn uncounted() -> Vec<UncountedCrl> {
    let detail = "it covers only CA certificates".to_owned();
    let missing = "keyCompromise, cACompromise".to_owned();
    [
        (NOW, Uncounted::OtherScope { detail }),
        (NOW + 12 * DAY, Uncounted::FromTheFuture { now: NOW }),
        (NOW + DAY, Uncounted::OtherKey),
        (NOW + DAY, Uncounted::SomeReasons { missing }),
    ]
    .into_iter()
    .map(|(next_update, reason)| UncountedCrl {
        list: list(next_update),
        reason,
    })
    .collect()
}

/// A chain whose dates do not depend on the day.
pub(super) struct Chains {
    root: Issued,
    middle: Issued,
    end: Issued,
}

impl Chains {
    pub(super) fn new() -> Self {
        let root = spec(Spec::authority("Example Root")).self_signed();
        let middle = root.issue(spec(Spec::authority("Example Intermediate")));
        let end = middle.issue(spec(Spec::server(&["www.shop.example"])));
        Self { root, middle, end }
    }

    fn refused(&self, cause: VerifyCause, at_index: Option<usize>) -> Error {
        let chain = self.end.chain_with(&[&self.middle]);
        self.refused_with(cause, at_index, chain)
    }

    fn refused_with(
        &self,
        cause: VerifyCause,
        at_index: Option<usize>,
        chain: Vec<pki_types::CertificateDer<'static>>,
    ) -> Error {
        handshake(PeerCause::Certificate(Box::new(VerifyError {
            cause,
            at_index,
            chain,
            trust_problems: Vec::new(),
            purpose: Purpose::ServerAuth,
            name: Some("shop.example".to_owned()),
            now: NOW as u64,
        })))
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let subject = || "CN=www.shop.example".to_owned();
        let middle = || "CN=Example Intermediate".to_owned();
        let names = || vec!["www.shop.example".to_owned()];
        let expired = |now| VerifyCause::Expired {
            subject: subject(),
            not_after: NOW + 60 * DAY,
            now,
        };
        let mismatch = |expected: &str, presented: Vec<String>| VerifyCause::NameMismatch {
            expected: expected.to_owned(),
            presented,
        };
        let unknown = |urls: &[&str]| VerifyCause::UnknownIssuer {
            subject: subject(),
            issuer: middle(),
            ca_issuer_urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            is_end_entity: true,
            has_trusted_namesake: false,
        };
        let end = || vec![self.end.chain_with(&[]).remove(0)];
        vec![
            (
                "no-certificate",
                self.refused_with(VerifyCause::NoCertificate, None, Vec::new()),
            ),
            (
                "chain-too-large",
                self.refused_with(
                    VerifyCause::ChainTooLarge {
                        certificates: 40,
                        bytes: 61_234,
                    },
                    None,
                    Vec::new(),
                ),
            ),
            (
                "no-trust-anchors",
                self.refused(VerifyCause::NoTrustAnchors, None),
            ),
            (
                "certificate-expired",
                self.refused(expired(NOW + 61 * DAY), Some(0)),
            ),
            (
                "certificate-expired.intermediate",
                self.refused(
                    VerifyCause::Expired {
                        subject: middle(),
                        not_after: NOW + 60 * DAY,
                        now: NOW + 61 * DAY,
                    },
                    Some(1),
                ),
            ),
            (
                "certificate-not-yet-valid",
                self.refused(
                    VerifyCause::NotYetValid {
                        subject: subject(),
                        not_before: NOW - 300 * DAY,
                        now: NOW - 301 * DAY,
                    },
                    Some(0),
                ),
            ),
            (
                "certificate-validity-reversed",
                self.refused(
                    VerifyCause::InvalidValidity {
                        subject: subject(),
                        not_before: NOW,
                        not_after: NOW - DAY,
                    },
                    Some(0),
                ),
            ),
            (
                "name-mismatch",
                self.refused(mismatch("shop.example", names()), Some(0)),
            ),
            (
                "ip-address-not-listed",
                self.refused(mismatch("192.0.2.7", names()), Some(0))
                    .with_server_name("192.0.2.7"),
            ),
            (
                "no-subject-alt-name",
                self.refused(
                    VerifyCause::NoSubjectAltName {
                        expected: "shop.example".to_owned(),
                        common_name: Some("shop.example".to_owned()),
                    },
                    Some(0),
                ),
            ),
            (
                "missing-intermediate",
                self.refused_with(unknown(&["http://ca.example/middle.der"]), Some(0), end()),
            ),
            (
                "unknown-issuer",
                self.refused_with(unknown(&[]), Some(0), end()),
            ),
            (
                "self-signed",
                self.refused(VerifyCause::SelfSigned { subject: subject() }, Some(0)),
            ),
            (
                "untrusted-root",
                self.refused_with(
                    VerifyCause::UntrustedRoot {
                        subject: "CN=Example Root".to_owned(),
                        has_trusted_namesake: false,
                    },
                    Some(2),
                    self.end.chain_with(&[&self.middle, &self.root]),
                ),
            ),
            (
                "untrusted-root.made-again",
                self.refused_with(
                    VerifyCause::UntrustedRoot {
                        subject: "CN=Example Root".to_owned(),
                        has_trusted_namesake: true,
                    },
                    Some(2),
                    self.end.chain_with(&[&self.middle, &self.root]),
                ),
            ),
            (
                "unknown-issuer.made-again",
                self.refused_with(
                    VerifyCause::UnknownIssuer {
                        subject: subject(),
                        issuer: "CN=Example Root".to_owned(),
                        ca_issuer_urls: Vec::new(),
                        is_end_entity: true,
                        has_trusted_namesake: true,
                    },
                    Some(0),
                    end(),
                ),
            ),
            (
                "trusted-issuer-unusable",
                self.refused(
                    VerifyCause::TrustedIssuerUnusable {
                        subject: middle(),
                        issuer: "CN=Example Root".to_owned(),
                        problem: Box::new(AnchorProblem {
                            path: Some("/etc/ssl/certs/ca-certificates.crt".into()),
                            index: Some(141),
                            line: Some(3303),
                            subject: "CN=Example Root".to_owned(),
                            kind: AnchorProblemKind::OldVersion {
                                version: 1,
                                is_root: true,
                            },
                        }),
                    },
                    Some(1),
                ),
            ),
            (
                "wrong-key-usage.root",
                self.refused(
                    VerifyCause::KeyUsage {
                        subject: "CN=Example Root".to_owned(),
                        required: "keyCertSign",
                        presented: vec!["cRLSign"],
                    },
                    None,
                ),
            ),
            (
                "wrong-purpose.root",
                self.refused(
                    VerifyCause::ExtendedKeyUsage {
                        subject: "CN=Example Root".to_owned(),
                        required: "serverAuth",
                        presented: vec!["clientAuth".to_owned()],
                    },
                    None,
                ),
            ),
            (
                "likely-interception",
                self.refused(
                    VerifyCause::LikelyInterception {
                        issuer: "CN=Zscaler Root CA".to_owned(),
                        product: "Zscaler",
                    },
                    Some(1),
                ),
            ),
            (
                "issuer-not-a-ca",
                self.refused(
                    VerifyCause::NotACa {
                        subject: middle(),
                        is_trusted_as_itself: false,
                    },
                    Some(1),
                ),
            ),
            (
                "issuer-not-a-ca.trusted",
                self.refused(
                    VerifyCause::NotACa {
                        subject: middle(),
                        is_trusted_as_itself: true,
                    },
                    Some(1),
                ),
            ),
            (
                "ca-used-as-end-entity",
                self.refused(
                    VerifyCause::CaUsedAsEndEntity { subject: subject() },
                    Some(0),
                ),
            ),
            (
                "path-too-long",
                self.refused(
                    VerifyCause::PathTooLong {
                        subject: middle(),
                        path_len: Some(0),
                    },
                    Some(1),
                ),
            ),
            (
                "chain-too-deep",
                self.refused(
                    VerifyCause::DepthExceeded {
                        depth: 7,
                        depth_max: 5,
                    },
                    None,
                ),
            ),
            (
                "path-too-complex",
                self.refused(VerifyCause::PathTooComplex, None),
            ),
            (
                "name-constraint",
                self.refused(
                    VerifyCause::NameConstraint {
                        subject: subject(),
                        name: "www.shop.example".to_owned(),
                        constrained_by: middle(),
                        constraint: "permitted DNS names: other.example".to_owned(),
                    },
                    Some(0),
                ),
            ),
            (
                "no-valid-policy",
                self.refused(
                    VerifyCause::NoValidPolicy {
                        subject: subject(),
                        demanded_by: middle(),
                    },
                    Some(0),
                ),
            ),
            (
                "wrong-purpose",
                self.refused(
                    VerifyCause::ExtendedKeyUsage {
                        subject: subject(),
                        required: "serverAuth",
                        presented: vec!["clientAuth".to_owned()],
                    },
                    Some(0),
                ),
            ),
            (
                "wrong-key-usage",
                self.refused(
                    VerifyCause::KeyUsage {
                        subject: middle(),
                        required: "keyCertSign",
                        presented: vec!["digitalSignature"],
                    },
                    Some(1),
                ),
            ),
            (
                "bad-signature",
                self.refused(
                    VerifyCause::BadSignature {
                        subject: subject(),
                        issuer: middle(),
                    },
                    Some(0),
                ),
            ),
            (
                "weak-signature",
                self.refused(
                    VerifyCause::WeakSignature {
                        subject: subject(),
                        algorithm: "sha1WithRSAEncryption".to_owned(),
                    },
                    Some(0),
                ),
            ),
            (
                "unsupported-signature",
                self.refused(
                    VerifyCause::UnsupportedSignature {
                        subject: subject(),
                        algorithm: "1.2.3.4".to_owned(),
                    },
                    Some(0),
                ),
            ),
            (
                "signature-algorithm-mismatch",
                self.refused(
                    VerifyCause::SignatureAlgorithmMismatch { subject: subject() },
                    Some(0),
                ),
            ),
            (
                "unsupported-key",
                self.refused(
                    VerifyCause::UnsupportedKey {
                        subject: subject(),
                        algorithm: "EC secp256k1".to_owned(),
                    },
                    Some(0),
                ),
            ),
            (
                "weak-key",
                self.refused(
                    VerifyCause::WeakKey {
                        subject: subject(),
                        algorithm: "RSA".to_owned(),
                        bits: 1024,
                        bits_min: 2048,
                    },
                    Some(0),
                ),
            ),
            (
                "unsupported-signature.key-too-large",
                self.refused(
                    VerifyCause::KeyTooLarge {
                        subject: middle(),
                        algorithm: "RSA".to_owned(),
                        bits: 16_384,
                        bits_max: 8192,
                    },
                    Some(1),
                ),
            ),
            (
                "unknown-critical-extension",
                self.refused(
                    VerifyCause::UnknownCriticalExtension {
                        subject: subject(),
                        oid: "1.3.6.1.4.1.99999.1".to_owned(),
                    },
                    Some(0),
                ),
            ),
            (
                "unsupported-certificate-version",
                self.refused(
                    VerifyCause::UnsupportedVersion {
                        subject: subject(),
                        version: 1,
                    },
                    Some(0),
                ),
            ),
            (
                "malformed-certificate",
                self.refused_with(
                    VerifyCause::Malformed {
                        detail: "a length that is not minimal".to_owned(),
                    },
                    Some(0),
                    vec![vec![0x30, 0x82].into()],
                ),
            ),
            (
                "certificate-revoked",
                self.refused(
                    VerifyCause::Revoked {
                        subject: subject(),
                        serial: "2a".to_owned(),
                        by: RevokedBy::List {
                            list: list(NOW + 6 * DAY),
                            at: NOW - 2 * DAY,
                            reason: Some("keyCompromise"),
                        },
                    },
                    Some(0),
                ),
            ),
            (
                "certificate-revoked.stapled",
                self.refused(
                    VerifyCause::Revoked {
                        subject: subject(),
                        serial: "2a".to_owned(),
                        by: RevokedBy::StapledResponse {
                            at: NOW - 30 * DAY,
                            reason: Some("keyCompromise"),
                            produced_at: NOW - DAY,
                        },
                    },
                    Some(0),
                ),
            ),
            (
                "revocation-unknown",
                self.refused(
                    VerifyCause::RevocationUnknown {
                        subject: subject(),
                        issuer: middle(),
                        uncounted: Vec::new(),
                    },
                    Some(0),
                ),
            ),
            (
                "revocation-unknown.uncounted",
                self.refused(
                    VerifyCause::RevocationUnknown {
                        subject: subject(),
                        issuer: middle(),
                        uncounted: uncounted(),
                    },
                    Some(0),
                ),
            ),
            (
                "crl-expired",
                self.refused(
                    VerifyCause::CrlExpired {
                        list: list(NOW - DAY),
                        next_update: NOW - DAY,
                        now: NOW,
                    },
                    Some(0),
                ),
            ),
            (
                "crl-unusable",
                self.refused(
                    VerifyCause::CrlUnusable {
                        list: list(NOW + 6 * DAY),
                        fault: CrlFault::WrongSignature,
                    },
                    Some(0),
                ),
            ),
            (
                "crl-unusable.may-not-sign",
                self.refused(
                    VerifyCause::CrlUnusable {
                        list: list(NOW + 6 * DAY),
                        fault: CrlFault::MayNotSign,
                    },
                    Some(0),
                ),
            ),
            (
                "pin-mismatch",
                self.refused(
                    VerifyCause::PinMismatch {
                        expected: vec![SpkiSha256::from_bytes([1; 32])],
                        presented: vec![SpkiSha256::from_bytes([2; 32])],
                    },
                    None,
                ),
            ),
            (
                "refused-by-application",
                self.refused(
                    VerifyCause::RefusedByApplication {
                        reason: "the account is closed".to_owned(),
                    },
                    Some(0),
                ),
            ),
            (
                "distrusted-key",
                self.refused(VerifyCause::DistrustedKey, None),
            ),
            (
                "verifiers-disagree",
                self.refused(
                    VerifyCause::VerifiersDisagree {
                        ours: "verified".to_owned(),
                        webpki: "BadDer".to_owned(),
                    },
                    None,
                ),
            ),
        ]
    }
}
