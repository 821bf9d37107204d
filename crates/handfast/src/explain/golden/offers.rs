//! Two ends that have nothing in common, and what questions found out about it.

use super::{Row, handshake};
use crate::error::{Alert, Error, PeerCause};
use crate::probe::{Finding, GroupId, Probed, SchemeId, ServerHello, SuiteId, WireVersion};

fn hello(version: WireVersion, suite: u16, group: u16) -> ServerHello {
    ServerHello {
        version,
        suite: SuiteId(suite),
        group: Some(GroupId(group)),
        dh_bits: None,
        alpn: None,
        scheme: None,
        certificate_key: None,
        timestamps: Vec::new(),
        is_retry: false,
    }
}

fn probed(finding: Finding, cause: Option<PeerCause>, failed_with: u8) -> Error {
    let failed_with = PeerCause::Alert(Alert::new(failed_with));
    let said = crate::explain::what(&failed_with.clone().into());
    handshake(failed_with).with_probed(
        cause,
        Probed {
            connections: 4,
            finding,
            failed_with: said,
        },
    )
}

pub(super) fn offers() -> Vec<Row> {
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
            "no-shared-signature-scheme.curve",
            probed(
                Finding::CertificateKey {
                    theirs: "EC secp256k1".to_owned(),
                },
                lacking("signature scheme"),
                40,
            ),
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
