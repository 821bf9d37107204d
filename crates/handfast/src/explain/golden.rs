//! Every explanation as a person reads it, compared with the files in `tests/explanations`.
//!
//! `HANDFAST_WRITE_EXPLANATIONS=1` writes them anew: read each one that changes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use handfast_testbed::pki::{Issued, Spec};

use crate::error::{
    Alert, Cause, ConfigurationCause, Error, Hearsay, LocalCause, NetworkCause, PeerCause, Phase,
};
use crate::identity::{IdentityError, IdentityPart, IdentityProblem};
use crate::probe::{Finding, GroupId, Probed, SchemeId, ServerHello, SuiteId, WireVersion};
use crate::proxy::{ProxyError, ProxyProblem, Target};
use crate::starttls::{StartTls, StartTlsError, StartTlsProblem};
use crate::trust::{TrustError, TrustProblem};
use crate::verify::{Purpose, RevokedBy, SpkiSha256, VerifyCause, VerifyError};

const DAY: i64 = 86_400;
/// A day in November 2023.
const NOW: i64 = 1_700_000_000;
/// An explanation longer than this pushes what it is about off the screen.
const LINES_MAX: usize = 24;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explanations")
}

/// A file name (the id, perhaps with a variant behind a dot) and the error.
type Row = (&'static str, Error);

fn handshake(cause: impl Into<Cause>) -> Error {
    Error::new(Phase::Handshake, cause).with_server_name("shop.example")
}

/// As the operating system gives it.
fn io_error(kind: io::ErrorKind) -> io::Error {
    let number = match kind {
        io::ErrorKind::NotFound => 2,
        io::ErrorKind::PermissionDenied => 13,
        io::ErrorKind::NetworkUnreachable => 101,
        _ => 5,
    };
    io::Error::from_raw_os_error(number)
}

fn spec(spec: Spec) -> Spec {
    spec.valid_between((NOW - 300 * DAY) as u64, (NOW + 60 * DAY) as u64)
}

/// A chain whose dates do not depend on the day.
struct Chains {
    root: Issued,
    middle: Issued,
    end: Issued,
}

impl Chains {
    fn new() -> Self {
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
            purpose: Purpose::ServerAuth,
            name: Some("shop.example".to_owned()),
            now: NOW as u64,
        })))
    }

    fn rows(&self) -> Vec<Row> {
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
        };
        let mut dated = Hearsay::new(200);
        dated.date = Some(NOW);
        let mut portal = Hearsay::new(302);
        portal.redirects_to = Some("login.hotel.example".to_owned());
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
                "clock-skew",
                self.refused(expired(NOW + 61 * DAY), Some(0))
                    .with_hearsay(dated),
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
                "captive-portal.tls",
                self.refused(
                    mismatch("shop.example", vec!["*.hotel.example".to_owned()]),
                    Some(0),
                )
                .with_hearsay(portal),
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
                    },
                    Some(2),
                    self.end.chain_with(&[&self.middle, &self.root]),
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
                        presented: names(),
                        constrained_by: vec![middle()],
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
                        by: RevokedBy::List,
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
                    },
                    Some(0),
                ),
            ),
            (
                "crl-expired",
                self.refused(
                    VerifyCause::CrlExpired {
                        issuer: middle(),
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
                        detail: "its signature is not its issuer's".to_owned(),
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
                "verification-failed",
                self.refused(
                    VerifyCause::Other {
                        detail: "the verifier's own words".to_owned(),
                    },
                    None,
                ),
            ),
        ]
    }
}

fn hello(version: WireVersion, suite: u16, group: u16) -> ServerHello {
    ServerHello {
        version,
        suite: SuiteId(suite),
        group: Some(GroupId(group)),
        dh_bits: None,
        alpn: None,
        scheme: None,
        timestamps: Vec::new(),
        is_retry: false,
    }
}

fn probed(finding: Finding, cause: Option<PeerCause>, failed_with: u8) -> Error {
    let failed_with = PeerCause::Alert(Alert::new(failed_with));
    let said = super::what(&failed_with.clone().into());
    handshake(failed_with).with_probed(
        cause,
        Probed {
            connections: 4,
            finding,
            failed_with: said,
        },
    )
}

fn offers() -> Vec<Row> {
    let lacking = |what| Some(PeerCause::NothingInCommon { what });
    let suite = || hello(WireVersion::Tls12, 0x002f, 0x0017);
    let version = |alert| PeerCause::ProtocolVersion { alert };
    vec![
        ("protocol-version", handshake(version(None))),
        (
            "protocol-version.probed",
            probed(
                Finding::Versions {
                    ours: vec![WireVersion::Tls12, WireVersion::Tls13],
                    theirs: hello(WireVersion::Tls10, 0xc013, 0x0017),
                },
                Some(version(Some(Alert::new(70)))),
                70,
            ),
        ),
        (
            "protocol-version.narrowed",
            probed(
                Finding::Versions {
                    ours: vec![WireVersion::Tls12],
                    theirs: hello(WireVersion::Tls13, 0x1301, 0x001d),
                },
                Some(version(Some(Alert::new(70)))),
                70,
            ),
        ),
        (
            "no-shared-cipher-suite",
            probed(
                Finding::Suites { theirs: suite() },
                lacking("cipher suite"),
                40,
            ),
        ),
        (
            "no-shared-group",
            probed(
                Finding::Groups {
                    ours: vec![GroupId(29), GroupId(23)],
                    theirs: hello(WireVersion::Tls13, 0x1301, 25),
                },
                lacking("key exchange group"),
                40,
            ),
        ),
        (
            "no-shared-signature-scheme",
            probed(
                Finding::Schemes {
                    theirs: vec![SchemeId(0x0808)],
                },
                lacking("signature scheme"),
                40,
            ),
        ),
        (
            "nothing-in-common",
            handshake(PeerCause::NothingInCommon {
                what: "point format",
            }),
        ),
        (
            "name-unrecognised.probed",
            probed(
                Finding::Name { theirs: suite() },
                Some(PeerCause::NameUnrecognised),
                40,
            ),
        ),
        (
            "alert-received.not-the-offer",
            probed(Finding::NotTheOffer, None, 40),
        ),
        (
            "alert-received.refuses-all",
            probed(Finding::RefusesAll, None, 40),
        ),
        (
            "alert-received",
            handshake(PeerCause::Alert(Alert::new(80))),
        ),
        (
            "alert-received.unknown",
            handshake(PeerCause::Alert(Alert::new(200))),
        ),
        ("name-unrecognised", handshake(PeerCause::NameUnrecognised)),
        (
            "name-needed",
            handshake(PeerCause::NameUnrecognised).with_server_name("192.0.2.7"),
        ),
        (
            "no-application-protocol",
            handshake(PeerCause::NoApplicationProtocol),
        ),
    ]
}

fn strangers() -> Vec<Row> {
    let not_tls = |bytes: &[u8]| {
        handshake(PeerCause::NotTls {
            first_bytes: bytes.to_vec(),
        })
    };
    let starttls = |problem| {
        Error::from(StartTlsError {
            protocol: StartTls::Smtp,
            problem,
        })
        .with_server_name("mail.example")
    };
    let answer = || b"454 4.7.0 TLS not available\r\n".to_vec();
    let awaited = "the answer to STARTTLS";
    let issuers = || {
        vec![vec![
            0x30, 0x0f, 0x31, 0x0d, 0x30, 0x0b, 0x06, 3, 0x55, 4, 3, 0x0c, 4, b'S', b't', b'a',
            b'f',
        ]]
    };
    vec![
        ("not-tls", not_tls(b"\x1b[2J\0\xff what is this")),
        (
            "not-tls.http",
            not_tls(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n"),
        ),
        (
            "not-tls.smtp",
            not_tls(b"220 mail.example ESMTP Postfix\r\n"),
        ),
        ("not-tls.ssh", not_tls(b"SSH-2.0-OpenSSH_9.2\r\n")),
        (
            "captive-portal",
            not_tls(b"HTTP/1.1 302 Found\r\nLocation: http://login.hotel.example/\r\n\r\n"),
        ),
        (
            "closed-in-handshake",
            handshake(PeerCause::ClosedInHandshake { bytes_received: 0 }),
        ),
        (
            "reset-in-handshake",
            handshake(PeerCause::ResetInHandshake {
                bytes_received: 1234,
            }),
        ),
        (
            "premature-end",
            Error::new(
                Phase::Response,
                PeerCause::PrematureEnd {
                    bytes_received: 4321,
                },
            )
            .with_server_name("shop.example"),
        ),
        (
            "protocol-violation",
            handshake(PeerCause::ProtocolViolation {
                what: "missing key share".to_owned(),
            }),
        ),
        ("bad-record", handshake(PeerCause::BadRecord)),
        (
            "client-certificate-required",
            handshake(PeerCause::ClientCertificateRequired {
                alert: Alert::new(116),
                acceptable_issuers: issuers(),
            }),
        ),
        (
            "client-certificate-refused",
            handshake(PeerCause::ClientCertificateRefused {
                alert: Alert::new(48),
            }),
        ),
        (
            "client-certificate-missing",
            Error::new(Phase::Handshake, PeerCause::ClientCertificateMissing),
        ),
        (
            "starttls-not-offered",
            starttls(StartTlsProblem::NotOffered {
                offered: b"250-mail\r\n250 SIZE\r\n".to_vec(),
            }),
        ),
        (
            "starttls-refused",
            starttls(StartTlsProblem::Refused { answer: answer() }),
        ),
        (
            "starttls-unexpected-answer",
            starttls(StartTlsProblem::Unexpected {
                awaited,
                answer: answer(),
            }),
        ),
        (
            "starttls-injection",
            starttls(StartTlsProblem::Injected {
                bytes: b"250 OK\r\n".to_vec(),
            }),
        ),
        (
            "starttls-ended",
            starttls(StartTlsProblem::Ended { awaited }),
        ),
        (
            "starttls-already-tls",
            starttls(StartTlsProblem::AlreadyTls),
        ),
    ]
}

fn networks() -> Vec<Row> {
    let connect = |cause| Error::new(Phase::Connect, cause).with_server_name("shop.example");
    let addresses = || {
        vec![
            "192.0.2.7:443".parse().unwrap(),
            "[2001:db8::7]:443".parse().unwrap(),
        ]
    };
    let proxy = |problem| {
        connect(NetworkCause::Proxy(Box::new(ProxyError {
            target: Target::new("proxy.example:3128", "shop.example", 443),
            problem,
        })))
    };
    vec![
        (
            "name-not-resolved",
            Error::new(
                Phase::Resolve,
                NetworkCause::NotResolved {
                    host: "shop.exmaple".to_owned(),
                    source: io::Error::other("Name or service not known"),
                },
            ),
        ),
        (
            "connection-refused",
            connect(NetworkCause::Refused {
                addresses: addresses(),
            }),
        ),
        (
            "unreachable",
            connect(NetworkCause::Unreachable {
                addresses: addresses(),
                source: io_error(io::ErrorKind::NetworkUnreachable),
            }),
        ),
        (
            "timed-out",
            handshake(NetworkCause::TimedOut {
                limit: Duration::from_secs(10),
            }),
        ),
        (
            "timed-out.connect",
            connect(NetworkCause::TimedOut {
                limit: Duration::from_millis(2500),
            }),
        ),
        (
            "reset",
            Error::new(Phase::Response, NetworkCause::Reset).with_server_name("shop.example"),
        ),
        (
            "transport-error",
            connect(NetworkCause::Io(io_error(io::ErrorKind::PermissionDenied))),
        ),
        ("proxy-not-resolved", proxy(ProxyProblem::NotResolved)),
        (
            "proxy-unreachable",
            proxy(ProxyProblem::Unreachable {
                why: "the connection was refused".to_owned(),
            }),
        ),
        (
            "proxy-authentication-required",
            proxy(ProxyProblem::AuthenticationRequired {
                schemes: vec!["Basic".to_owned(), "Negotiate".to_owned()],
                was_sent: false,
            }),
        ),
        (
            "proxy-authentication-required.sent",
            proxy(ProxyProblem::AuthenticationRequired {
                schemes: vec!["Negotiate".to_owned()],
                was_sent: true,
            }),
        ),
        (
            "proxy-refused",
            proxy(ProxyProblem::Refused {
                status: 403,
                reason: "Forbidden\u{1b}[2J".to_owned(),
                body: b"<h1>Blocked by policy 7</h1>\r\n".to_vec(),
            }),
        ),
        (
            "proxy-refused.gateway",
            proxy(ProxyProblem::Refused {
                status: 502,
                reason: String::new(),
                body: Vec::new(),
            }),
        ),
        (
            "proxy-not-http",
            proxy(ProxyProblem::NotHttp {
                first_bytes: b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
            }),
        ),
        ("proxy-ended", proxy(ProxyProblem::Ended)),
        (
            "no-randomness",
            Error::new(Phase::Configure, LocalCause::RandomUnavailable),
        ),
        (
            "used-after-end",
            Error::new(Phase::Request, LocalCause::AfterEnd),
        ),
        (
            "server-stopping",
            Error::new(Phase::Handshake, LocalCause::Stopping),
        ),
        (
            "unrecognised",
            handshake(LocalCause::Unrecognised {
                said: "an error of tomorrow".to_owned(),
                first_bytes: b"\x16\x03\x03\0\x05hello".to_vec(),
            }),
        ),
        (
            "internal",
            Error::new(
                Phase::Handshake,
                LocalCause::Internal("two states at once".to_owned()),
            ),
        ),
    ]
}

fn configurations() -> Vec<Row> {
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
            "invalid-address",
            configure(ConfigurationCause::Address {
                text: "shop.example:https".to_owned(),
            }),
        ),
        (
            "unknown-name",
            configure(ConfigurationCause::UnknownName {
                what: "key exchange group",
                name: "x25591".to_owned(),
                known: vec!["x25519", "secp256r1"],
            }),
        ),
        (
            "nothing-left-to-negotiate",
            configure(ConfigurationCause::NothingLeft {
                what: "cipher suite for the protocol versions and groups chosen",
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
                detail: "it ends too early".to_owned(),
            }),
        ),
        (
            "trust-file-unusable",
            trust(TrustProblem::NoneUsable {
                details: vec!["CN=Old: its key is too small".to_owned()],
            }),
        ),
        (
            "no-trust-anchors.store",
            trust(TrustProblem::NothingTrusted(vec![
                "the platform's store is empty".to_owned(),
            ])),
        ),
    ]
}

fn identities() -> Vec<Row> {
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

fn all() -> Vec<Row> {
    let mut rows = Chains::new().rows();
    rows.extend(offers());
    rows.extend(strangers());
    rows.extend(networks());
    rows.extend(configurations());
    rows.extend(identities());
    rows.extend(super::server::tests::rows());
    rows
}

#[test]
fn c2_explanations_read_as_they_were_read() {
    let write = std::env::var_os("HANDFAST_WRITE_EXPLANATIONS").is_some();
    let mut names = BTreeSet::new();
    let mut wrong = Vec::new();
    for (name, error) in all() {
        let explanation = error.explain();
        let text = format!("{explanation}\n");
        let id = name.split('.').next().unwrap_or(name);
        assert_eq!(explanation.id, id, "{name}: {text}");
        assert!(text.lines().count() <= LINES_MAX, "{name} is long: {text}");
        assert!(
            !text.chars().any(|c| c.is_control() && c != '\n'),
            "{name}: {text:?}"
        );
        assert!(
            text.lines().all(|line| line.len() <= 230),
            "{name} is wide: {text}"
        );
        for debugging in ["Some(", "None,", "Os {", "Custom", "::", " { ", "os error"] {
            assert!(
                !text
                    .replace("2001:db8::7", "")
                    .replace("[::1]", "")
                    .contains(debugging),
                "{name}: {text}"
            );
        }
        for advice in [
            "--insecure",
            " -k ",
            "accept_any",
            "verification off",
            "danger",
        ] {
            assert!(
                !text.contains(advice),
                "{name} advises to verify less: {text}"
            );
        }
        assert!(names.insert(name), "{name} twice");
        let file = directory().join(format!("{name}.txt"));
        if write {
            fs::create_dir_all(directory()).unwrap();
            fs::write(&file, &text).unwrap();
        }
        if fs::read_to_string(&file).ok().as_deref() != Some(&text) {
            wrong.push(format!("{}:\n{text}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "these changed:\n{}", wrong.join("\n"));
    for entry in fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(
            names.contains(name.as_str()),
            "{} is nobody's",
            path.display()
        );
    }
}

/// What the peer did wrong and what we did wrong never share a message.
#[test]
fn c2_faults_of_different_ends_are_told_apart() {
    let mut seen: Vec<(String, &'static str)> = Vec::new();
    for (name, error) in all() {
        let side = match error.cause() {
            Cause::Configuration(_) => "ours",
            Cause::Peer(_) => "the peer's",
            Cause::Network(_) => "the network's",
            Cause::Local(_) => "this machine's",
        };
        let id = error.explain().id.to_owned();
        // Trusting nobody is found out at either time, and ours both times.
        if id == "no-trust-anchors" {
            continue;
        }
        if let Some((_, other)) = seen.iter().find(|(known, _)| *known == id) {
            assert_eq!(*other, side, "{name}");
        }
        seen.push((id, side));
    }
}
