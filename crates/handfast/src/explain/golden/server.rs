//! Failed handshakes as their server tells them.

use std::time::Duration;

use super::row::Row;
use crate::alert::Alert;
use crate::error::{Cause, Error, Negotiated, NetworkCause, PeerCause};
use crate::offer::ClientOffer;
use crate::offer::sample::Hello;
use crate::phase::Phase;
use crate::registry::{GroupId, SuiteId};
use crate::side::Side;

/// Each failure as the server tells it, for the comparison with `tests/explanations`.
pub(super) fn rows() -> Vec<Row> {
    let offer = |hello: Hello| ClientOffer::parse(&hello.encode());
    let modern = || {
        let mut hello = Hello::of(0x0304);
        hello.alpn = vec!["imap"];
        offer(hello)
    };
    let mut narrow = Hello::of(0x0303);
    narrow.suites = vec![SuiteId(0x002f), SuiteId(0xfefe)];
    narrow.groups = vec![GroupId(21)];
    narrow.schemes = vec![0x0202, 0x9999];
    let narrow = offer(narrow);
    let server = |cause: Cause, offer: Option<ClientOffer>| {
        Error::new(Phase::Handshake, cause).seen_by(Some(Side::Server), offer)
    };
    let alert = |code| PeerCause::Alert(Alert::new(code)).into();
    let nothing = |what| PeerCause::NothingInCommon { what }.into();
    let mut cut = Hello::of(0x0304).encode();
    cut.truncate(120);
    let cut = ClientOffer::parse(&cut);
    let closed = |bytes_received| PeerCause::ClosedInHandshake { bytes_received }.into();
    vec![
        ("issuer-distrusted-by-client", server(alert(48), modern())),
        ("certificate-refused-by-client", server(alert(42), modern())),
        (
            "certificate-refused-by-client.expired",
            server(alert(45), modern()),
        ),
        (
            "certificate-refused-by-client.revoked",
            server(alert(44), modern()),
        ),
        (
            "certificate-refused-by-client.unsupported",
            server(alert(43), modern()),
        ),
        ("alert-received.client", server(alert(80), modern())),
        ("alert-received.cancelled", server(alert(90), modern())),
        ("closed-without-a-byte.client", server(closed(0), None)),
        ("closed-in-hello", server(closed(120), cut.clone())),
        ("closed-in-hello.begun", server(closed(7), None)),
        ("closed-in-handshake.client", server(closed(512), modern())),
        (
            "reset-in-handshake.client",
            server(
                PeerCause::ResetInHandshake {
                    bytes_received: 512,
                }
                .into(),
                modern(),
            ),
        ),
        (
            "protocol-version.client",
            server(
                PeerCause::ProtocolVersion {
                    alert: None,
                    theirs: None,
                }
                .into(),
                offer(Hello::of(0x0301)),
            ),
        ),
        (
            "protocol-version.client-tls12",
            server(
                PeerCause::ProtocolVersion {
                    alert: None,
                    theirs: None,
                }
                .into(),
                offer(Hello::of(0x0303)),
            ),
        ),
        (
            "no-shared-cipher-suite.client",
            server(nothing(Negotiated::CipherSuite), narrow.clone()),
        ),
        (
            "no-shared-group.client",
            server(nothing(Negotiated::KeyExchangeGroup), narrow.clone()),
        ),
        (
            "no-shared-signature-scheme.client",
            server(nothing(Negotiated::SignatureScheme), narrow),
        ),
        (
            "no-application-protocol.client",
            server(PeerCause::NoApplicationProtocol.into(), modern()),
        ),
        (
            "not-tls.client",
            server(
                PeerCause::NotTls {
                    first_bytes: b"GET / HTTP/1.1\r\nHost: shop.example\r\n".to_vec(),
                }
                .into(),
                None,
            ),
        ),
        (
            "timed-out.client",
            server(
                NetworkCause::TimedOut {
                    limit: Duration::from_secs(15),
                }
                .into(),
                cut,
            ),
        ),
        (
            "protocol-violation.client",
            server(
                PeerCause::ProtocolViolation {
                    what: "missing key share".into(),
                }
                .into(),
                modern(),
            ),
        ),
        (
            "bad-record.client",
            server(PeerCause::BadRecord.into(), modern()),
        ),
    ]
}
