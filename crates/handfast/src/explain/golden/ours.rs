//! Errors of our own: settings, files with certificates and keys, trust stores.

use std::io;
use std::sync::Arc;

use super::row::{Row, io_error};
use crate::error::{ConfigurationCause, Error, Negotiated};
use crate::identity::{IdentityError, IdentityPart, IdentityProblem};
use crate::phase::Phase;
use crate::trust::{AnchorProblem, AnchorProblemKind, TrustError, TrustProblem};

pub(super) fn configurations() -> Vec<Row> {
    let configure = |cause: ConfigurationCause| Error::new(Phase::Configure, cause);
    let trust = |problem| {
        Error::from(TrustError {
            path: Some("ca.pem".into()),
            problem,
        })
    };
    vec![
        (
            "identity-missing",
            configure(ConfigurationCause::IdentityMissing),
        ),
        (
            "invalid-server-name",
            configure(ConfigurationCause::ServerName {
                text: "shop..example".to_owned(),
                problem: "a label is empty".to_owned(),
            }),
        ),
        (
            "unknown-name",
            configure(ConfigurationCause::UnknownName {
                what: Negotiated::KeyExchangeGroup,
                name: "x25591".to_owned(),
                known: vec!["x25519", "secp256r1"],
            }),
        ),
        (
            "nothing-left-to-negotiate",
            configure(ConfigurationCause::NothingLeft {
                what: "cipher suite for the chosen protocol versions and groups",
            }),
        ),
        (
            "file-unusable",
            configure(ConfigurationCause::File {
                path: "keys.log".into(),
                source: io_error(io::ErrorKind::PermissionDenied),
            }),
        ),
        (
            "trust-file-unreadable",
            trust(TrustProblem::Unreadable(Arc::new(io_error(
                io::ErrorKind::NotFound,
            )))),
        ),
        ("trust-file-without-certificate", trust(TrustProblem::Empty)),
        (
            "trust-file-holds-something-else",
            trust(TrustProblem::OtherPemSections {
                labels: vec!["PRIVATE KEY".to_owned()],
            }),
        ),
        (
            "trust-file-openssl-trusted",
            trust(TrustProblem::OpensslTrustedCertificate),
        ),
        (
            "trust-file-malformed",
            trust(TrustProblem::Malformed {
                index: 1,
                line: Some(23),
                detail: "it ends too early".to_owned(),
            }),
        ),
        (
            "trust-file-unusable",
            trust(TrustProblem::NoneUsable {
                problems: vec![AnchorProblem {
                    path: None,
                    index: Some(0),
                    line: Some(1),
                    subject: "CN=Old".to_owned(),
                    kind: AnchorProblemKind::OldVersion {
                        version: 1,
                        is_root: false,
                    },
                }],
            }),
        ),
        (
            "no-trust-anchors.store",
            trust(TrustProblem::NothingTrusted(vec![AnchorProblem {
                path: Some("/etc/ssl/certs/ca-certificates.crt".into()),
                index: None,
                line: None,
                subject: String::new(),
                kind: AnchorProblemKind::Unreadable {
                    detail: "permission denied".to_owned(),
                },
            }])),
        ),
    ]
}

pub(super) fn identities() -> Vec<Row> {
    use IdentityProblem as P;
    let locked = || "PBES2, PBKDF2 with SHA-256, AES-256-CBC".to_owned();
    let found = || vec!["PRIVATE KEY".to_owned()];
    let rows: Vec<(&'static str, IdentityPart, P)> = vec![
        (
            "identity-unreadable",
            IdentityPart::Key,
            P::Unreadable(io_error(io::ErrorKind::NotFound)),
        ),
        (
            "identity-too-large",
            IdentityPart::Chain,
            P::TooLarge {
                bytes_max: 1_048_576,
            },
        ),
        ("identity-empty", IdentityPart::Chain, P::Empty),
        (
            "identity-unrecognised",
            IdentityPart::Chain,
            P::Unrecognised {
                found: "text".to_owned(),
            },
        ),
        (
            "identity-indefinite-lengths",
            IdentityPart::Both,
            P::IndefiniteLengths,
        ),
        (
            "identity-malformed-pem",
            IdentityPart::Chain,
            P::MalformedPem {
                line: 7,
                detail: "the base64 of CERTIFICATE is broken".to_owned(),
            },
        ),
        (
            "identity-malformed-der",
            IdentityPart::Key,
            P::MalformedDer {
                what: "a private key".to_owned(),
                detail: "it ends too early".to_owned(),
            },
        ),
        (
            "certificate-missing",
            IdentityPart::Chain,
            P::NoCertificate { found: found() },
        ),
        (
            "private-key-missing",
            IdentityPart::Key,
            P::NoKey {
                found: vec!["CERTIFICATE".to_owned()],
            },
        ),
        ("chain-and-key-swapped", IdentityPart::Both, P::Swapped),
        ("public-key-given", IdentityPart::Key, P::PublicKeyGiven),
        (
            "certificate-request-given",
            IdentityPart::Chain,
            P::RequestGiven,
        ),
        (
            "key-parameters-only",
            IdentityPart::Key,
            P::ParametersOnly {
                found: "EC PARAMETERS".to_owned(),
            },
        ),
        (
            "several-private-keys",
            IdentityPart::Key,
            P::SeveralKeys { count: 2 },
        ),
        (
            "passphrase-needed",
            IdentityPart::Key,
            P::PassphraseNeeded {
                encryption: locked(),
            },
        ),
        (
            "passphrase-unavailable",
            IdentityPart::Key,
            P::PassphraseUnavailable(io::Error::other("the variable SECRET is not set")),
        ),
        (
            "wrong-passphrase",
            IdentityPart::Key,
            P::WrongPassphrase {
                encryption: locked(),
            },
        ),
        (
            "unsupported-key-encryption",
            IdentityPart::Key,
            P::UnsupportedEncryption {
                encryption: "1.2.840.113549.1.5.3".to_owned(),
            },
        ),
        (
            "key-format-left-out",
            IdentityPart::Both,
            P::FormatLeftOut {
                format: "a PKCS#12 file",
                feature: "pkcs12",
            },
        ),
        (
            "unsupported-key-type",
            IdentityPart::Key,
            P::UnsupportedKey {
                algorithm: "DSA".to_owned(),
            },
        ),
        (
            "key-size-refused",
            IdentityPart::Key,
            P::KeySize {
                bits: 1024,
                bits_min: 2048,
                bits_max: 8192,
            },
        ),
        (
            "key-mismatch",
            IdentityPart::Key,
            P::KeyMismatch {
                subject: "CN=shop.example".to_owned(),
                certificate_key: "EC P-256, SHA-256 of the public key 0123".to_owned(),
                private_key: "EC P-256, SHA-256 of the public key 4567".to_owned(),
            },
        ),
        (
            "chain-out-of-order",
            IdentityPart::Chain,
            P::EndEntityNotFirst {
                first: "CN=Example Intermediate".to_owned(),
                end_entity: "CN=shop.example".to_owned(),
                at_index: 1,
            },
        ),
        (
            "chain-unrelated-certificate",
            IdentityPart::Chain,
            P::UnrelatedCertificate {
                at_index: 1,
                found: "CN=Other".to_owned(),
                expected: "CN=Example Intermediate".to_owned(),
            },
        ),
    ];
    let file = |part| match part {
        IdentityPart::Key => "shop.key",
        _ => "shop.pem",
    };
    rows.into_iter()
        .map(|(name, part, problem)| {
            let error = IdentityError {
                part,
                path: Some(file(part).into()),
                problem,
            };
            (name, Error::from(error))
        })
        .collect()
}
