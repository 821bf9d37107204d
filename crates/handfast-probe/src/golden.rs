//! Every explanation as printed, compared with the files in `tests/explanations`.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use handfast::registry::{GroupId, SchemeId, SuiteId, WireVersion};
use handfast::{
    Alert, ClientContext, Clock, Connection, Error, Identity, Negotiated, Passphrase, PeerCause,
    Phase, ServerContext, TrustAnchors,
};
use handfast_testbed::golden;
use handfast_testbed::pki::Spec;

use crate::answer::ServerHello;
use crate::explain::refine;
use crate::finding::{Finding, Probed};
use crate::reply::UnverifiedReply;

const DAY: i64 = 86_400;
/// A day in November 2023.
const NOW: i64 = 1_700_000_000;
/// The limit on an explanation's length.
const LINES_MAX: usize = 24;

/// A file name (the id, perhaps with a variant behind a dot) and the error.
type Row = (&'static str, Error);

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

fn refused(cause: PeerCause) -> Error {
    Error::new(Phase::Handshake, cause).with_server_name("shop.example")
}

fn probed(finding: Finding, cause: Option<PeerCause>, failed_with: u8) -> Error {
    let error = refused(PeerCause::Alert(Alert::new(failed_with)));
    let probed = Probed {
        connections: 4,
        finding,
        failed_with: error.cause().to_string(),
    };
    refine(error, cause, &probed)
}

fn offers() -> Vec<Row> {
    let lacking = |what| Some(PeerCause::NothingInCommon { what });
    let suite = || hello(WireVersion::Tls12, 0x002f, 0x0017);
    let version = |alert| PeerCause::ProtocolVersion {
        alert,
        theirs: None,
    };
    vec![
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
            "protocol-version.widened",
            probed(
                Finding::Versions {
                    ours: vec![WireVersion::Tls13],
                    theirs: hello(WireVersion::Tls12, 0xc02f, 0x001d),
                },
                Some(version(Some(Alert::new(70)))),
                70,
            ),
        ),
        (
            "no-shared-cipher-suite",
            probed(
                Finding::Suites { theirs: suite() },
                lacking(Negotiated::CipherSuite),
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
                lacking(Negotiated::KeyExchangeGroup),
                40,
            ),
        ),
        (
            "no-shared-signature-scheme",
            probed(
                Finding::Schemes {
                    theirs: vec![SchemeId(0x0808)],
                },
                lacking(Negotiated::SignatureScheme),
                40,
            ),
        ),
        (
            "no-shared-signature-scheme.curve",
            probed(
                Finding::CertificateKey {
                    theirs: "EC secp256k1".to_owned(),
                },
                lacking(Negotiated::SignatureScheme),
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
    ]
}

/// A client's error for the chain of a server with this name, at `now`.
fn verified(presented: &str, now: i64) -> Error {
    let spec = |spec: Spec| spec.valid_between((NOW - 300 * DAY) as u64, (NOW + 60 * DAY) as u64);
    let root = spec(Spec::authority("Example Root")).self_signed();
    let middle = root.issue(spec(Spec::authority("Example Intermediate")));
    let end = middle.issue(spec(Spec::server(&[presented])));
    let (chain, key) = (end.chain_pem(&[&middle]), end.key_pem());
    let identity = Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none());
    let server = ServerContext::builder().identity(identity.unwrap());
    let trust = TrustAnchors::empty().with_certificate_der(root.der.clone());
    let client = ClientContext::builder()
        .trust(trust.unwrap())
        .clock(Clock::new(move || {
            UNIX_EPOCH + Duration::from_secs(now as u64)
        }));
    let mut client = client.build().unwrap().connection("shop.example").unwrap();
    let mut server = server.build().unwrap().connection().unwrap();
    let carry = |from: &mut Connection, to: &mut Connection| {
        let bytes = from.outgoing().to_vec();
        to.receive(&bytes);
        from.sent(bytes.len());
    };
    loop {
        carry(&mut client, &mut server);
        server.process().unwrap();
        carry(&mut server, &mut client);
        if let Err(error) = client.process() {
            return error;
        }
    }
}

fn reply() -> Vec<Row> {
    let mut dated = UnverifiedReply::new(200);
    dated.date = Some(NOW);
    let mut portal = UnverifiedReply::new(302);
    portal.redirects_to = Some("login.hotel.example".to_owned());
    vec![
        (
            "clock-skew",
            dated.refine(verified("shop.example", NOW + 61 * DAY)),
        ),
        (
            "captive-portal.tls",
            portal.refine(verified("*.hotel.example", NOW)),
        ),
    ]
}

#[test]
fn explanations_match_the_golden_files() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explanations");
    let mut rows = offers();
    rows.extend(reply());
    let texts = rows.into_iter().map(|(name, error)| {
        let explanation = error.explain();
        assert_eq!(Some(explanation.id), name.split('.').next(), "{name}");
        (name.to_owned(), format!("{explanation}\n"))
    });
    golden::compare(&directory, LINES_MAX, texts);
}
